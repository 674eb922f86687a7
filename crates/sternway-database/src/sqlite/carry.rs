//! Carrying rows between two files, the other of which is attached.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row, TypeInfo as _, ValueRef as _};

use super::{Sqlite, failed, records};
use crate::carry::{Carrier, Column, Common, Table};
use crate::port::DatabaseError;

/// What the other file is called.
pub(super) const OTHER: &str = "sternway_other";

/// A session that has both files.
pub(super) struct Two<'a> {
    pub session: &'a mut Sqlite,
    /// The statements that make the triggers again which were taken away meanwhile.
    pub triggers: Vec<String>,
}

impl Two<'_> {
    async fn ask(&mut self, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let doing = "look at what is carried over";
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut self.session.connection).await;
        let text = |row: &sqlx::sqlite::SqliteRow, place: usize| -> sqlx::Result<Option<String>> {
            let value = row.try_get_raw(place)?;
            match value.type_info().name() {
                "NULL" => Ok(None),
                "INTEGER" => Ok(Some(row.try_get::<i64, _>(place)?.to_string())),
                _ => row.try_get(place),
            }
        };
        let rows = rows.map_err(failed(doing))?;
        let texts = rows.iter().map(|row| (0..row.len()).map(|place| text(row, place)).collect());
        texts.collect::<sqlx::Result<_>>().map_err(failed(doing))
    }
}

#[async_trait]
impl Carrier for Two<'_> {
    async fn tables(
        &mut self,
        other: bool,
        except: &[String],
    ) -> Result<Vec<Table>, DatabaseError> {
        let schema = if other { OTHER } else { "main" };
        let names = self
            .ask(format!(
                "SELECT name FROM pragma_table_list WHERE schema = '{schema}' AND type = 'table'
                   AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"
            ))
            .await?;
        let mut tables = Vec::new();
        for name in names.into_iter().filter_map(|row| row.into_iter().next().flatten()) {
            if records::is_ours(&name) || except.contains(&name) {
                continue;
            }
            let literal = Sqlite::literal(&name);
            let sql = format!(
                "SELECT name, type, CAST(pk AS text), CAST(hidden AS text) FROM pragma_table_xinfo({literal}, '{schema}')
                 ORDER BY cid"
            );
            let (mut columns, mut key) = (Vec::new(), Vec::new());
            for row in self.ask(sql).await? {
                let mut values = row.into_iter().map(Option::unwrap_or_default);
                let mut next = || values.next().unwrap_or_default();
                let (name, kind, pk, hidden) = (next(), next(), next(), next());
                if pk != "0" {
                    key.push((pk.parse::<u32>().unwrap_or(0), name.clone()));
                }
                columns.push(Column { name, kind, generated: hidden != "0", collation: None });
            }
            key.sort();
            let sql = format!(
                "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list({literal}, '{schema}')"
            );
            let parents = self.ask(sql).await?.into_iter().flatten().flatten();
            tables.push(Table {
                name: Sqlite::quote(&name),
                told: name,
                columns,
                key: key.into_iter().map(|(_, name)| name).collect(),
                parents: parents.map(|it| Sqlite::quote(&it)).collect(),
                barred: None,
            });
        }
        Ok(tables)
    }

    async fn fetch(
        &mut self,
        table: &Table,
        columns: &[Common<'_>],
        key: &[usize],
        to: &str,
    ) -> Result<(), DatabaseError> {
        // A column without a type takes values as they are.
        let made: String = (0..columns.len()).map(|place| format!(", c{place}")).collect();
        self.run(format!("CREATE TEMPORARY TABLE {to} (n INTEGER PRIMARY KEY{made}, state)"))
            .await?;
        let values: String =
            columns.iter().map(|it| format!(", {}", Sqlite::quote(&it.here.name))).collect();
        self.run(format!("INSERT INTO {to} SELECT NULL{values}, NULL FROM {OTHER}.{}", table.name))
            .await?;
        if key.is_empty() {
            return Ok(());
        }
        let key: Vec<String> = key.iter().map(|place| format!("c{place}")).collect();
        self.run(format!("CREATE INDEX {to}_key ON {to} ({})", key.join(", "))).await
    }

    async fn count(&mut self, table: &Table) -> Result<u64, DatabaseError> {
        let sql = format!("SELECT CAST(count(*) AS text) FROM {OTHER}.{}", table.name);
        let found = self.ask(sql).await?;
        let count = found.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        count.ok_or_else(|| failed("count rows")(sqlx::Error::RowNotFound))
    }

    async fn run(&mut self, sql: String) -> Result<(), DatabaseError> {
        self.session.run("carry rows over", sql).await
    }

    async fn rows(&mut self, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        self.ask(sql).await
    }

    /// Triggers cannot be switched off: they are taken away, and made again in the same transaction.
    async fn quiet(&mut self, table: &Table, quiet: bool) -> Result<(), DatabaseError> {
        if !quiet {
            for sql in std::mem::take(&mut self.triggers) {
                self.run(sql).await?;
            }
            return Ok(());
        }
        let literal = Sqlite::literal(&table.told);
        let sql = format!(
            "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower({literal})"
        );
        for row in self.ask(sql).await? {
            let mut values = row.into_iter().flatten();
            if let (Some(name), Some(sql)) = (values.next(), values.next()) {
                self.run(format!("DROP TRIGGER main.{}", Sqlite::quote(&name))).await?;
                self.triggers.push(sql);
            }
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<(), DatabaseError> {
        let sql = format!(
            "SELECT CAST(count(*) AS text) FROM (SELECT name FROM main.sqlite_schema WHERE name = 'sqlite_sequence'
             UNION ALL SELECT name FROM {OTHER}.sqlite_schema WHERE name = 'sqlite_sequence')"
        );
        if self.ask(sql).await? != [[Some("2".to_owned())]] {
            return Ok(());
        }
        self.run(format!(
            "UPDATE main.sqlite_sequence AS h SET seq = o.seq FROM {OTHER}.sqlite_sequence AS o
             WHERE o.name = h.name AND o.seq > h.seq"
        ))
        .await
    }

    fn quote(&self, name: &str) -> String {
        Sqlite::quote(name)
    }

    fn only(&self, table: &Table) -> String {
        format!("main.{}", table.name)
    }

    /// Whatever the collation of the column calls the same.
    fn same(&self, here: &str, fetched: &str, _: Common<'_>) -> String {
        format!("{here} IS {fetched} COLLATE BINARY")
    }

    fn matches(&self, here: &str, fetched: &str, _: Common<'_>) -> String {
        format!("{here} = {fetched} COLLATE BINARY")
    }

    fn stored(&self, fetched: &str, _: Common<'_>) -> String {
        fetched.to_owned()
    }

    fn shown(&self, value: &str, _: Common<'_>, _: bool) -> String {
        format!(
            "CASE typeof({value}) WHEN 'blob' THEN 'X''' || hex({value}) || '''' ELSE CAST({value} AS text) END"
        )
    }
}
