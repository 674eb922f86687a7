//! Queries of the user's own.

use sqlx::{AssertSqlSafe, Row};

use super::statements::one_query;
use super::{Sqlite, connect, failed};
use crate::port::DatabaseError;
use crate::query::DOING;

/// What a query answers, while the session may write nothing.
pub(super) async fn query(
    sqlite: &mut Sqlite,
    query: &str,
    most: usize,
) -> Result<Vec<Option<String>>, DatabaseError> {
    connect::use_file(sqlite, false).await?;
    // The first branch gives the column a name.
    let sql = format!(
        "SELECT CAST(x AS TEXT) FROM (
            SELECT NULL AS x WHERE 0 UNION ALL SELECT * FROM ({})) LIMIT {most}",
        one_query(query)?
    );
    sqlite.run(DOING, "PRAGMA query_only = on".to_owned()).await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut sqlite.connection).await;
    let ended = sqlite.run(DOING, sqlite.settings()).await;
    let rows = rows.map_err(failed(DOING))?;
    ended?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(DOING))).collect()
}
