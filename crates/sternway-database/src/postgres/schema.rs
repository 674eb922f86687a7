//! The application's schema, and the one that a session works in where that is not the one its URL
//! leads to.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::Row;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::parameters::{Server, Strategy};
use super::{Postgres, attributes, failed, introspect, literal, statements_from};
use crate::port::{DatabaseError, Schema};

#[async_trait]
impl Schema for Postgres {
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        let reset = format!("SET search_path TO {};", Postgres::quote(schema));
        self.run("set the search path", reset.clone()).await?;
        self.reset = reset;
        self.identity.schema = schema.to_owned();
        self.tracked.clear();
        self.entered = true;
        Ok(())
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        let doing = "list the tables";
        let except: Vec<String> = self.except(except).iter().map(|name| literal(name)).collect();
        let sql = format!(
            "SELECT c.relname::text FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = {} AND c.relkind IN ('r', 'p')
               AND c.relname <> ALL (ARRAY[{}]::text[])
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                               WHERE d.objid = c.oid AND d.deptype = 'e'
                                 AND d.classid = 'pg_catalog.pg_class'::regclass)",
            literal(&self.identity.schema),
            except.join(", ")
        );
        let rows = self.ask(doing, sql).await?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
    }

    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let doing = "list the extensions";
        let sql = "SELECT name::text FROM pg_catalog.pg_available_extensions".to_owned();
        let rows = self.ask(doing, sql).await?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(self, &self.except(except)).await
    }

    async fn statements_from(
        &mut self,
        from: &Fingerprint,
        except: &[String],
    ) -> Result<Vec<String>, DatabaseError> {
        statements_from::statements_from(self, from, &self.except(except)).await
    }

    async fn attributes(&mut self, object: &ObjectName) -> Result<Vec<String>, DatabaseError> {
        attributes::attributes(self, object).await
    }

    /// Drops every table of the current schema, one by one, with what depends on it.
    ///
    /// As with golang-migrate: the tracking tables go too, views stay unless they depend on a table or
    /// the server is CockroachDB, and a lock table of pgx's stays. The lock tables of the other servers
    /// go, the last of all, and with them the locks.
    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        let doing = "list the tables";
        let kinds = match self.parameters.server {
            Server::Cockroach => "'BASE TABLE', 'VIEW'",
            Server::Postgres | Server::Yugabyte | Server::Redshift => "'BASE TABLE'",
        };
        let schema = literal(&self.identity.schema);
        let sql = format!(
            "SELECT table_name::text, table_type = 'VIEW' FROM information_schema.tables
             WHERE table_schema = {schema} AND table_type IN ({kinds}) ORDER BY 1"
        );
        let mut found = Vec::new();
        for row in self.ask(doing, sql).await? {
            let name: String = row.try_get(0).map_err(failed(doing))?;
            let view: bool = row.try_get(1).map_err(failed(doing))?;
            found.push((name, view));
        }
        if let Strategy::Table(lock) = &self.parameters.strategy {
            let (locks, others): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|(name, _)| *name == lock.name);
            found = others;
            if self.parameters.server != Server::Postgres {
                found.extend(locks);
            }
        }
        self.tracked.clear();
        let mut dropped = Vec::new();
        for (name, view) in found {
            let kind = if view { "VIEW" } else { "TABLE" };
            let sql = format!("DROP {kind} IF EXISTS {} CASCADE", self.table(&name));
            self.run(&format!("drop the table `{name}`"), sql).await?;
            dropped.push(name);
        }
        Ok(dropped)
    }
}

/// Makes the schema that was entered, before a tracking table that is not known to exist, if there is
/// none. The schema that the URL leads to is never made.
///
/// The server refuses even `IF NOT EXISTS` to a user who may make no schema, so it is asked before.
pub(super) async fn prepare(postgres: &mut Postgres, table: &str) -> Result<(), DatabaseError> {
    if !postgres.entered || postgres.tracked.get(table) == Some(&true) {
        return Ok(());
    }
    let schema = postgres.identity.schema.clone();
    let doing = format!("make the schema `{schema}`");
    let exists: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)",
    )
    .bind(&schema)
    // A body's end deallocates what is prepared.
    .persistent(false)
    .fetch_one(&mut postgres.connection)
    .await
    .map_err(failed(&doing))?;
    if exists {
        return Ok(());
    }
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", Postgres::quote(&schema));
    postgres.run(&doing, sql).await
}
