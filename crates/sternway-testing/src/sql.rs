//! Names, texts and questions.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

/// A name as SQL has it.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value as SQL has it.
pub(crate) fn value(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), literal)
}

/// Runs statements.
///
/// # Errors
/// When the server refuses one of them.
pub async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Runs statements that nothing is wrong with.
pub(crate) async fn must(connection: &mut PgConnection, sql: String) {
    let ran = run(connection, sql.clone()).await;
    ran.unwrap_or_else(|error| panic!("{error}\n{}", shortened(&sql)));
}

/// The rows that a question is answered with.
pub(crate) async fn rows(
    connection: &mut PgConnection,
    sql: String,
) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await
}

/// The rows that a question that nothing is wrong with is answered with.
pub(crate) async fn ask(connection: &mut PgConnection, sql: String) -> Vec<PgRow> {
    let rows = rows(connection, sql.clone()).await;
    rows.unwrap_or_else(|error| panic!("{error}\n{}", shortened(&sql)))
}

/// The document that a question is answered with.
pub(crate) async fn document(connection: &mut PgConnection, sql: String) -> String {
    let rows = ask(connection, sql).await;
    rows.first().expect("a row").try_get(0).expect("a text")
}

/// A list of texts as the driver reads it without loss. Of an array it takes the text `NULL` for null.
pub(crate) fn texts(expressions: &str) -> String {
    format!("to_json(ARRAY[{expressions}]::text[])::text")
}

/// The texts of such a list.
pub(crate) fn read_texts(row: &PgRow, at: usize) -> Vec<Option<String>> {
    let text: String = row.try_get(at).expect("a list");
    serde_json::from_str(&text).expect("a list of texts")
}

/// Runs each statement by itself; those that fail leave no trace. Returns how many did not.
///
/// As one trip to the server: a block for each, inside one of `DO`.
pub(crate) async fn attempt(connection: &mut PgConnection, statements: &[String]) -> u64 {
    if statements.is_empty() {
        return 0;
    }
    let mut body = String::new();
    for statement in statements {
        body.push_str("BEGIN ");
        body.push_str(statement);
        body.push_str("; done := done + 1; EXCEPTION WHEN OTHERS THEN NULL; END;\n");
    }
    let sql = format!(
        "DO $sternway_testing$ #variable_conflict use_column\nDECLARE done bigint := 0; BEGIN\n{body}
         PERFORM set_config('sternway_testing.done', done::text, false);
         END $sternway_testing$; SELECT current_setting('sternway_testing.done')"
    );
    document(connection, sql).await.parse().expect("a number")
}

fn shortened(sql: &str) -> String {
    match sql.char_indices().nth(4000) {
        Some((end, _)) => format!("{}...", &sql[..end]),
        None => sql.to_owned(),
    }
}
