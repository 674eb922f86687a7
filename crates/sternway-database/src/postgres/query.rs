//! Queries of the user's own.

use sqlx::{AssertSqlSafe, Row};

use super::statements::one_query;
use super::{Postgres, failed};
use crate::port::DatabaseError;
use crate::query::DOING;

/// What a query answers, in a transaction that may write nothing.
pub(super) async fn query(
    postgres: &mut Postgres,
    query: &str,
    most: usize,
) -> Result<Vec<Option<String>>, DatabaseError> {
    let sql = format!("SELECT (q.x)::text FROM ({}) AS q(x) LIMIT {most}", one_query(query)?);
    postgres.run(DOING, "BEGIN READ ONLY".to_owned()).await?;
    // The server takes one statement at a time where it is to be prepared, whatever our lexer says.
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    let rows = query.fetch_all(&mut postgres.connection).await.map_err(failed(DOING));
    let ended = postgres.run(DOING, "ROLLBACK".to_owned()).await;
    let rows = rows?;
    ended?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(DOING))).collect()
}
