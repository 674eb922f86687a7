//! The schema that a session works in, where that is not the one its URL leads to.

use super::{Postgres, failed};
use crate::port::DatabaseError;

/// Makes `schema` the current one. Nothing is created.
pub(super) async fn enter(postgres: &mut Postgres, schema: &str) -> Result<(), DatabaseError> {
    let reset = format!("SET search_path TO {};", Postgres::quote(schema));
    postgres.run("set the search path", reset.clone()).await?;
    postgres.reset = reset;
    postgres.identity.schema = schema.to_owned();
    postgres.tracked.clear();
    postgres.entered = true;
    Ok(())
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
    .fetch_one(&mut postgres.connection)
    .await
    .map_err(failed(&doing))?;
    if exists {
        return Ok(());
    }
    let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", Postgres::quote(&schema));
    postgres.run(&doing, sql).await
}
