//! Dropping what golang-migrate's `drop` drops.

use sqlx::Row;

use super::parameters::{Server, Strategy};
use super::{Postgres, failed, literal};
use crate::port::DatabaseError;

/// Drops every table of the current schema, one by one, with what depends on it.
///
/// As with golang-migrate: the tracking tables go too, views stay unless they depend on a table or
/// the server is CockroachDB, and a lock table of pgx's stays. The lock tables of the other servers
/// go, the last of all, and with them the locks.
pub(super) async fn tables(postgres: &mut Postgres) -> Result<Vec<String>, DatabaseError> {
    let doing = "list the tables";
    let kinds = match postgres.parameters.server {
        Server::Cockroach => "'BASE TABLE', 'VIEW'",
        Server::Postgres | Server::Yugabyte | Server::Redshift => "'BASE TABLE'",
    };
    let schema = literal(&postgres.identity.schema);
    let sql = format!(
        "SELECT table_name::text, table_type = 'VIEW' FROM information_schema.tables
         WHERE table_schema = {schema} AND table_type IN ({kinds}) ORDER BY 1"
    );
    let mut found = Vec::new();
    for row in postgres.ask(doing, sql).await? {
        let name: String = row.try_get(0).map_err(failed(doing))?;
        let view: bool = row.try_get(1).map_err(failed(doing))?;
        found.push((name, view));
    }
    if let Strategy::Table(lock) = &postgres.parameters.strategy {
        let (locks, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(name, _)| *name == lock.name);
        found = others;
        if postgres.parameters.server != Server::Postgres {
            found.extend(locks);
        }
    }
    postgres.tracked.clear();
    let mut dropped = Vec::new();
    for (name, view) in found {
        let kind = if view { "VIEW" } else { "TABLE" };
        let sql = format!("DROP {kind} IF EXISTS {} CASCADE", postgres.table(&name));
        postgres.run(&format!("drop the table `{name}`"), sql).await?;
        dropped.push(name);
    }
    Ok(dropped)
}
