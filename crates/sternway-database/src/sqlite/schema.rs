//! The application's schema, which is `main`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::{Sqlite, connect, failed, introspect, records, statements_from};
use crate::port::{DatabaseError, Schema};

#[async_trait]
impl Schema for Sqlite {
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        Err(DatabaseError::NoSchemas { schema: schema.to_owned() })
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        connect::use_file(self, false).await?;
        let names = sqlx::query_scalar(
            "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND type IN ('table', 'virtual')
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed("list the tables"))?;
        let is_left_out = |name: &String| {
            let same = |other: &String| other.eq_ignore_ascii_case(name);
            except.iter().any(same) || records::is_ours(name)
        };
        Ok(names.into_iter().filter(|name| !is_left_out(name)).collect())
    }

    /// SQLite has modules that are built in, and none to install.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        Ok(BTreeSet::new())
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        connect::use_file(self, false).await?;
        introspect::fingerprint(self, except).await
    }

    async fn statements_from(
        &mut self,
        from: &Fingerprint,
        except: &[String],
    ) -> Result<Vec<String>, DatabaseError> {
        connect::use_file(self, false).await?;
        statements_from::statements_from(self, from, except).await
    }

    /// Views stay, as with golang-migrate, and so do Sternway's records.
    /// There are none: the file is everybody's who may write it.
    async fn attributes(&mut self, _: &ObjectName) -> Result<Vec<String>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        connect::use_file(self, true).await?;
        self.interrupted.clear();
        let names: Vec<String> = self.tables(&[]).await?.into_iter().collect();
        let drops = names.iter().map(|name| format!("DROP TABLE IF EXISTS {};", Self::table(name)));
        let doing = "drop the tables";
        // With foreign keys a table is emptied before it is dropped, row by row.
        self.run(doing, "PRAGMA foreign_keys = off".to_owned()).await?;
        let dropped = self.run_whole(doing, drops.collect()).await;
        self.run(doing, self.settings()).await?;
        dropped?;
        self.tracked.clear();
        if let Err(error) = self.run("give the free space back", "VACUUM".to_owned()).await {
            tracing::warn!(?error, "the tables are dropped and the file keeps its size");
        }
        Ok(names)
    }
}
