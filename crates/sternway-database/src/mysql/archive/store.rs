//! What of the archive's SQL is MySQL's own.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::shape::{bytes, is_same, look};
use crate::archive::shape::{Column, Shape};
use crate::archive::sql::{Cells, SqlStore, Update, count};
use crate::archive::{Place, Result, reason};
use crate::mysql::{MySql, cell, failed, number, track};
use crate::port::DatabaseError;

#[async_trait]
impl SqlStore for MySql {
    const INSERT: &'static str = "INSERT";
    const LOCK: &'static str = " LOCK IN SHARE MODE";
    const DEFERS: bool = false;
    const STATE: &'static str = "state";
    const AGE: &'static str = "TIMESTAMPDIFF(SECOND, since, UTC_TIMESTAMP())";
    const SINCE: &'static str = "DATE_FORMAT(since, '%Y-%m-%d %H:%i:%s')";
    const LAST_ID: &'static str = "LAST_INSERT_ID()";

    fn quote(name: &str) -> String {
        MySql::quote(name)
    }

    fn literal(text: &str) -> String {
        MySql::literal(text)
    }

    fn qualified(&self, table: &str) -> String {
        MySql::table(self, table)
    }

    fn of_app(&self, app: &str) -> String {
        format!("app = {}", MySql::literal(app))
    }

    fn own_columns(&self, state: &str) -> Vec<(&'static str, String)> {
        vec![("since", "UTC_TIMESTAMP()".to_owned()), ("state", MySql::literal(state))]
    }

    fn same(own: &Column, value: &str, their: &Column, other: &str) -> String {
        is_same(own, value, their, other)
    }

    fn image(values: &[(&Column, String)]) -> String {
        let one = |(column, value): &(&Column, String)| {
            format!(", IFNULL(HEX({}), '-')", bytes(column, value))
        };
        let all: String = values.iter().map(one).collect();
        format!("SHA2(CONCAT_WS(',', 0{all}), 256)")
    }

    fn update(update: &Update<'_>) -> String {
        let Update { table, alias, from, on, set, condition } = update;
        let set: Vec<String> =
            set.iter().map(|(name, value)| format!("{alias}.{name} = {value}")).collect();
        let set = set.join(", ");
        format!("UPDATE {table} AS {alias} JOIN {from} ON {on} SET {set} WHERE {condition}")
    }

    fn broken_rule(error: DatabaseError) -> Result<&'static str> {
        match number(&error) {
            Some(1062) => Ok(reason::UNIQUE),
            Some(1048 | 1364) => Ok(reason::NULL),
            Some(3819 | 4025) => Ok(reason::CHECK),
            Some(1216 | 1217 | 1451 | 1452) => Ok(reason::ORPHAN),
            Some(1264 | 1265 | 1292 | 1366 | 1406 | 3140) => Ok(reason::TYPE),
            _ => Err(error),
        }
    }

    /// No such column, no such table; a lock that was not had.
    fn is_passing(error: &DatabaseError) -> bool {
        matches!(number(error), Some(1054 | 1146 | 1205))
    }

    async fn run(&mut self, doing: &str, sql: String) -> Result<()> {
        MySql::run(self, doing, sql).await
    }

    /// A change of the schema commits what comes before it.
    async fn run_whole(&mut self, doing: &str, sql: String) -> Result<()> {
        self.commit(doing, "", &sql).await
    }

    async fn cells(&mut self, doing: &str, sql: String) -> Result<Vec<Cells>> {
        self.fetch(doing, sql).await?.iter().map(|row| texts(doing, row)).collect()
    }

    async fn look(&mut self, table: &str) -> Result<Option<Shape>> {
        look(self, table).await
    }

    async fn referring(&mut self, table: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT DISTINCT CONSTRAINT_SCHEMA AS own, TABLE_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
             WHERE UNIQUE_CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {}",
            MySql::literal(&self.identity.database),
            MySql::literal(table)
        );
        let rows = self.fetch("look for foreign keys", sql).await?;
        let name = |row: &MySqlRow, of: &str| MySql::quote(&cell(row, of));
        Ok(rows.iter().map(|row| format!("{}.{}", name(row, "own"), name(row, "name"))).collect())
    }

    async fn is_table(&mut self, table: &str) -> Result<bool> {
        track::exists(self, table).await
    }

    async fn size(&mut self, table: &str) -> Result<u64> {
        let sql = format!(
            "SELECT DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            MySql::literal(&self.identity.database),
            MySql::literal(table)
        );
        count(self, sql).await
    }

    async fn check_keys(&mut self, on: bool) -> Result<()> {
        let sql = format!("SET SESSION foreign_key_checks = {}", u8::from(on));
        MySql::run(self, "restore rows", sql).await
    }

    async fn has_to_lead(&mut self) -> Result<&'static str> {
        Ok("1 = 1")
    }

    /// The server takes no number that is too small.
    async fn go_on(&mut self, shape: &Shape, sequence: u64) -> Result<()> {
        if shape.sequence.is_none_or(|next| next >= sequence) {
            return Ok(());
        }
        let sql =
            format!("ALTER TABLE {} AUTO_INCREMENT = {sequence}", self.qualified(&shape.name));
        MySql::run(self, "let the numbers go on", sql).await
    }

    /// No table gives its rows numbers beside their columns, so nobody asks.
    async fn pair_by(&mut self, _: &Place, _: &str, _: [&str; 3]) -> Result<()> {
        Ok(())
    }
}

/// The values of a row, in order.
fn texts(doing: &str, row: &MySqlRow) -> Result<Cells> {
    let text = |at| {
        let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(at).map_err(failed(doing))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    (0..row.len()).map(text).collect()
}
