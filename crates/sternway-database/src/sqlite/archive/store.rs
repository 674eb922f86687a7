//! What of the archive's SQL is SQLite's own.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::shape::{look, rows, text};
use crate::archive::Result;
use crate::archive::shape::{Column, Shape};
use crate::archive::sql::{Cells, SqlStore, Update, count, data};
use crate::archive::{Place, reason};
use crate::port::DatabaseError;
use crate::sqlite::{Sqlite, failed};

#[async_trait]
impl SqlStore for Sqlite {
    const INSERT: &'static str = "INSERT OR ABORT";
    const LOCK: &'static str = "";
    const DEFERS: bool = true;
    const STATE: &'static str = "'kept'";
    const AGE: &'static str = "CAST((julianday('now') - julianday(since)) * 86400.0 AS TEXT)";
    const SINCE: &'static str = "substr(since, 1, 19)";
    const LAST_ID: &'static str = "last_insert_rowid()";

    fn quote(name: &str) -> String {
        Sqlite::quote(name)
    }

    fn literal(text: &str) -> String {
        Sqlite::literal(text)
    }

    fn qualified(&self, table: &str) -> String {
        Sqlite::table(table)
    }

    fn of_app(&self, app: &str) -> String {
        let schema = Sqlite::literal(&self.identity.schema);
        format!("app = {} AND schema = {schema}", Sqlite::literal(app))
    }

    fn own_columns(&self, _: &str) -> Vec<(&'static str, String)> {
        vec![("schema", Sqlite::literal(&self.identity.schema))]
    }

    /// Whatever the types and collations of their columns.
    fn same(_: &Column, value: &str, _: &Column, other: &str) -> String {
        format!("(typeof({value}) = typeof({other}) AND +{value} COLLATE BINARY IS +{other})")
    }

    fn image(values: &[(&Column, String)]) -> String {
        let one = |(_, value): &(&Column, String)| {
            format!(
                "CASE WHEN typeof({value}) IN ('text', 'blob')
                      THEN substr(typeof({value}), 1, 1) || hex({value}) ELSE quote({value}) END"
            )
        };
        let all: Vec<String> = values.iter().map(one).collect();
        if all.is_empty() { "''".to_owned() } else { all.join(" || ',' || ") }
    }

    fn update(update: &Update<'_>) -> String {
        let Update { table, alias, from, on, set, condition } = update;
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let set = set.join(", ");
        format!(
            "UPDATE OR ABORT {table} AS {alias} SET {set} FROM {from} WHERE {on} AND {condition}"
        )
    }

    fn broken_rule(error: DatabaseError) -> Result<&'static str> {
        let code = match &error {
            DatabaseError::Query { source: sqlx::Error::Database(error), .. } => {
                error.code().and_then(|code| code.parse::<i32>().ok())
            }
            _ => None,
        };
        match code {
            Some(1555 | 2067 | 2579) => Ok(reason::UNIQUE),
            Some(1299) => Ok(reason::NULL),
            Some(275) => Ok(reason::CHECK),
            Some(787) => Ok(reason::ORPHAN),
            Some(3091 | 20) => Ok(reason::TYPE),
            _ => Err(error),
        }
    }

    /// Nobody else changes anything while a transaction looks.
    fn is_passing(_: &DatabaseError) -> bool {
        false
    }

    async fn run(&mut self, doing: &str, sql: String) -> Result<()> {
        Sqlite::run(self, doing, sql).await
    }

    async fn run_whole(&mut self, doing: &str, sql: String) -> Result<()> {
        Sqlite::run_whole(self, doing, sql).await
    }

    async fn cells(&mut self, doing: &str, sql: String) -> Result<Vec<Cells>> {
        rows(self, &sql).await?.iter().map(|row| texts(doing, row)).collect()
    }

    async fn look(&mut self, table: &str) -> Result<Option<Shape>> {
        look(self, table).await
    }

    async fn referring(&mut self, table: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT DISTINCT s.name FROM main.sqlite_schema s, pragma_foreign_key_list(s.name, 'main') f
             WHERE s.type = 'table' AND lower(f.\"table\") = lower({})",
            Sqlite::literal(table)
        );
        let found = rows(self, &sql).await?;
        found.iter().map(|row| Ok(self.qualified(&text(row, 0)?))).collect()
    }

    async fn is_table(&mut self, table: &str) -> Result<bool> {
        let name = Sqlite::literal(table);
        let sql = format!("SELECT count(*) FROM main.sqlite_schema WHERE name = {name}");
        Ok(count(self, sql).await? > 0)
    }

    async fn size(&mut self, table: &str) -> Result<u64> {
        let name = Sqlite::literal(table);
        let sql = format!("SELECT sum(pgsize) FROM dbstat WHERE name = {name} AND aggregate = 1");
        count(self, sql).await
    }

    /// They are deferred.
    async fn check_keys(&mut self, _: bool) -> Result<()> {
        Ok(())
    }

    /// A row from which one led nowhere when it was kept may do so again, where the session does not
    /// enforce foreign keys.
    async fn has_to_lead(&mut self) -> Result<&'static str> {
        let enforced = count(self, "PRAGMA foreign_keys".to_owned()).await? > 0;
        Ok(if enforced { "1 = 1" } else { "k.f IS NOT 1" })
    }

    async fn go_on(&mut self, shape: &Shape, sequence: u64) -> Result<()> {
        if shape.sequence.is_none() {
            return Ok(());
        }
        let name = Sqlite::literal(&shape.name);
        let sql = format!(
            "INSERT INTO main.sqlite_sequence (name, seq) SELECT {name}, 0
             WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = {name});
             UPDATE main.sqlite_sequence SET seq = max(seq, {sequence}) WHERE name = {name}"
        );
        Sqlite::run(self, "let the numbers go on", sql).await
    }

    async fn pair_by(
        &mut self,
        place: &Place,
        condition: &str,
        [old, value, new]: [&str; 3],
    ) -> Result<()> {
        let (kept, table) = (data(self, place.data), self.qualified(&place.shape.name));
        let rowid = place.shape.rowid.map_or("NULL".to_owned(), |rowid| format!("t.{rowid}"));
        let sql = format!(
            "DROP TABLE IF EXISTS temp.sternway_pair;
             CREATE TEMP TABLE sternway_pair AS
             WITH o AS (SELECT k.n AS n, {old} AS image, {value} AS value,
                               row_number() OVER (PARTITION BY {old} ORDER BY k.n) AS i
                        FROM {kept} AS k WHERE {condition}),
                  oc AS MATERIALIZED (SELECT image, count(*) AS many, count(DISTINCT value) AS ways FROM o GROUP BY image),
                  l AS (SELECT {rowid} AS r, {new} AS image,
                               row_number() OVER (PARTITION BY {new} ORDER BY {rowid}) AS i FROM {table} AS t),
                  lc AS MATERIALIZED (SELECT image, count(*) AS many FROM l GROUP BY image)
             SELECT o.n, l.r, CASE WHEN lc.many IS NULL THEN 'gone'
                                   WHEN lc.many <> oc.many AND oc.ways > 1 THEN 'alike'
                                   WHEN l.r IS NULL THEN 'gone' ELSE 'there' END AS how
             FROM o JOIN oc ON oc.image = o.image
             LEFT JOIN lc ON lc.image = o.image LEFT JOIN l ON l.image = o.image AND l.i = o.i"
        );
        Sqlite::run(self, "find the rows by their contents", sql).await
    }
}

/// The values of a row, in order.
fn texts(doing: &str, row: &SqliteRow) -> Result<Cells> {
    (0..row.len()).map(|at| row.try_get_unchecked(at).map_err(failed(doing))).collect()
}
