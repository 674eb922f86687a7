//! The application's schema, which is the database.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::{MySql, attributes, introspect, progress, statements_from};
use crate::port::{DatabaseError, Schema};

#[async_trait]
impl Schema for MySql {
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        Err(DatabaseError::NoSchemas { schema: schema.to_owned() })
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        let names = self.tables_of("TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')").await?;
        Ok(names.into_iter().filter(|name| !except.contains(name)).collect())
    }

    /// There are none.
    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        Ok(BTreeSet::new())
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(self, except).await
    }

    async fn statements_from(
        &mut self,
        from: &Fingerprint,
        except: &[String],
    ) -> Result<Vec<String>, DatabaseError> {
        statements_from::statements_from(self, from, except).await
    }

    /// Views stay, as with golang-migrate, and so do Sternway's records.
    /// Grants are by name here, and outlive what they are for.
    async fn attributes(&mut self, object: &ObjectName) -> Result<Vec<String>, DatabaseError> {
        attributes::attributes(self, object).await
    }

    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        let names = self.tables_of("TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW')").await?;
        let checks = "@sternway_checks = @@SESSION.foreign_key_checks, SESSION foreign_key_checks";
        self.run("leave foreign keys unchecked", format!("SET {checks} = 0")).await?;
        let mut dropped = Ok(());
        for name in &names {
            let sql = format!("DROP TABLE IF EXISTS {}", self.table(name));
            dropped = self.run(&format!("drop the table `{name}`"), sql).await;
            if dropped.is_err() {
                break;
            }
        }
        let sql = "SET SESSION foreign_key_checks = @sternway_checks";
        self.run("check foreign keys again", sql.to_owned()).await?;
        dropped?;
        for name in &names {
            self.tracked.remove(name);
            progress::remove(self, name).await?;
        }
        Ok(names)
    }
}
