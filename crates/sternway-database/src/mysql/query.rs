//! Queries of the user's own.

use sqlx::AssertSqlSafe;

use super::statements::one_query;
use super::{MySql, failed, optional};
use crate::port::DatabaseError;
use crate::query::DOING;

/// What a query answers, in a transaction that may write nothing.
pub(super) async fn query(
    mysql: &mut MySql,
    query: &str,
    most: usize,
) -> Result<Vec<Option<String>>, DatabaseError> {
    // The first branch gives the column a name.
    let sql = format!(
        "SELECT CONVERT(x USING utf8mb4) AS answer FROM (
            SELECT NULL AS x FROM DUAL WHERE 1 = 0 UNION ALL SELECT * FROM ({}) AS q
         ) AS w LIMIT {most}",
        one_query(query, mysql.quotes)?
    );
    mysql.run(DOING, "START TRANSACTION READ ONLY".to_owned()).await?;
    // The server takes one statement at a time where it is to be prepared, whatever our lexer says.
    let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    let rows = query.fetch_all(&mut mysql.connection).await.map_err(failed(DOING));
    let ended = mysql.run(DOING, "ROLLBACK".to_owned()).await;
    let rows = rows?;
    ended?;
    Ok(rows.iter().map(|row| optional(row, "answer")).collect())
}
