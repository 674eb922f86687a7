//! Carrying rows between two databases: those of the other one are copied into temporary tables, as texts.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::Row;

use super::whole::TABLES;
use super::{Postgres, failed};
use crate::carry::{Carrier, Common, Table};
use crate::port::DatabaseError;

/// A table, of those in [`TABLES`]: its names, columns, key, and parents. The type of a column is without a length: a
/// cast to one with a length cuts what is too long, and a column refuses it.
const TABLE: &str = "
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relname::text,
    coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname,
            'kind', pg_catalog.format_type(a.atttypid, -1),
            'generated', coalesce(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '') ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]')::text,
    coalesce((SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
        FROM pg_catalog.pg_index i, unnest(i.indkey::smallint[]) WITH ORDINALITY k(number, place), pg_catalog.pg_attribute a
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts AND a.attrelid = c.oid
          AND a.attnum = k.number), '[]')::text,
    coalesce((SELECT pg_catalog.json_agg(DISTINCT pg_catalog.format('%I.%I', pn.nspname, p.relname))
        FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class p ON p.oid = f.confrelid
        JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
        WHERE f.conrelid = c.oid AND f.contype = 'f'), '[]')::text";

/// The sequences, and what each gives next.
const SEQUENCES: &str = "
SELECT pg_catalog.format('%I.%I', schemaname, sequencename), last_value::text, increment_by::text
FROM pg_catalog.pg_sequences
WHERE last_value IS NOT NULL AND schemaname !~ '^pg_' AND schemaname NOT IN ('information_schema', 'sternway')";

/// Both databases.
pub(super) struct Two<'a> {
    pub here: &'a mut Postgres,
    pub other: &'a mut Postgres,
}

async fn texts(of: &mut Postgres, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
    let doing = "look at what is carried over";
    let rows = of.ask(doing, sql).await?;
    let texts = |row: &sqlx::postgres::PgRow| -> sqlx::Result<Vec<Option<String>>> {
        (0..row.len()).map(|place| row.try_get(place)).collect()
    };
    rows.iter().map(|row| texts(row).map_err(failed(doing))).collect()
}

#[async_trait]
impl Carrier for Two<'_> {
    async fn tables(
        &mut self,
        other: bool,
        except: &[String],
    ) -> Result<Vec<Table>, DatabaseError> {
        let session = if other { &mut *self.other } else { &mut *self.here };
        let mut tables = Vec::new();
        let sql = format!("{TABLE} {TABLES} AND n.nspname <> 'sternway' ORDER BY 1");
        for row in texts(session, sql).await? {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || values.next().unwrap_or_default();
            let (name, plain) = (next(), next());
            if except.contains(&plain) {
                continue;
            }
            let damaged =
                |error: serde_json::Error| DatabaseError::RecordsDamaged(error.to_string());
            tables.push(Table {
                told: name.clone(),
                name,
                columns: serde_json::from_str(&next()).map_err(damaged)?,
                key: serde_json::from_str(&next()).map_err(damaged)?,
                parents: serde_json::from_str(&next()).map_err(damaged)?,
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
        let doing = format!("fetch the rows of {}", table.name);
        let places: Vec<String> = (0..columns.len()).map(|place| format!("c{place}")).collect();
        let made: String = places.iter().map(|it| format!(", {it} text")).collect();
        let sql = format!("CREATE TEMPORARY TABLE {to} (n bigserial{made}, state text)");
        self.here.run(&doing, sql).await?;
        let values: Vec<String> =
            columns.iter().map(|it| format!("{}::text", Postgres::quote(&it.here.name))).collect();
        let (values, places) = match columns.is_empty() {
            true => ("NULL::text".to_owned(), "state".to_owned()),
            false => (values.join(", "), places.join(", ")),
        };
        let out = format!("COPY (SELECT {values} FROM ONLY {}) TO STDOUT", table.name);
        let into = format!("COPY {to} ({places}) FROM STDIN");
        let copy = async {
            let mut from = self.other.connection.copy_out_raw(&out).await?;
            let mut to = self.here.connection.copy_in_raw(&into).await?;
            while let Some(bytes) = from.try_next().await? {
                to.send(bytes).await?;
            }
            to.finish().await
        };
        copy.await.map(drop).map_err(failed(&doing))?;
        if key.is_empty() {
            return Ok(());
        }
        let key: Vec<String> = key.iter().map(|place| format!("c{place}")).collect();
        self.here.run(&doing, format!("CREATE INDEX ON {to} ({})", key.join(", "))).await
    }

    async fn count(&mut self, table: &Table) -> Result<u64, DatabaseError> {
        let doing = format!("count the rows of {}", table.name);
        let sql = format!("SELECT pg_catalog.count(*) FROM ONLY {}", table.name);
        let count: i64 =
            self.other.ask_one(&doing, sql).await?.try_get(0).map_err(failed(&doing))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn run(&mut self, sql: String) -> Result<(), DatabaseError> {
        self.here.run("carry rows over", sql).await
    }

    async fn rows(&mut self, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        texts(self.here, sql).await
    }

    async fn quiet(&mut self, table: &Table, quiet: bool) -> Result<(), DatabaseError> {
        let what = if quiet { "DISABLE" } else { "ENABLE" };
        // Only a table that has such triggers is touched: one that was off stays so then.
        let sql = format!(
            "DO $carry$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = '{0}'::regclass AND NOT tgisinternal)
             THEN ALTER TABLE {1} {what} TRIGGER USER; END IF; END $carry$",
            table.name.replace('\'', "''"),
            table.name
        );
        self.here.run("keep triggers quiet", sql).await
    }

    async fn go_on(&mut self) -> Result<(), DatabaseError> {
        let here: Vec<_> =
            texts(self.here, SEQUENCES.replace("last_value IS NOT NULL AND", "")).await?;
        for row in texts(self.other, SEQUENCES.to_owned()).await? {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || values.next().unwrap_or_default();
            let (name, last, step) = (next(), next(), next());
            if !here.iter().any(|it| it.first() == Some(&Some(name.clone()))) {
                continue;
            }
            let furthest = if step.starts_with('-') { "LEAST" } else { "GREATEST" };
            let sql = format!(
                "SELECT pg_catalog.setval({}, {furthest}({last}, last_value)) FROM {name} WHERE {furthest}({last}, last_value) = {last}",
                super::literal(&name)
            );
            self.here.run("let a sequence go on", sql).await?;
        }
        Ok(())
    }

    fn quote(&self, name: &str) -> String {
        Postgres::quote(name)
    }

    fn only(&self, table: &Table) -> String {
        format!("ONLY {}", table.name)
    }

    fn same(&self, here: &str, fetched: &str, _: Common<'_>) -> String {
        format!("{here}::text IS NOT DISTINCT FROM {fetched}")
    }

    fn matches(&self, here: &str, fetched: &str, _: Common<'_>) -> String {
        format!("{here}::text = {fetched}")
    }

    fn stored(&self, fetched: &str, column: Common<'_>) -> String {
        format!("{fetched}::{}", column.here.kind)
    }

    fn shown(&self, value: &str, _: Common<'_>, _: bool) -> String {
        self.text(value)
    }

    fn overriding(&self) -> &'static str {
        "OVERRIDING SYSTEM VALUE"
    }
}
