//! A database on SQLite that goes back and forth with an archive, and what is asked of it.

#![allow(dead_code, reason = "each test uses its part")]

use sqlx::{AssertSqlSafe, Row};
use sternway_database::port::prelude::*;
use sternway_database::{Done, StepError};
use sternway_model::archive::Restored;
use sternway_model::catalog::Direction;
use sternway_model::effect::{Effects, Lost};

use crate::support::sqlite::{Place, open};
use crate::support::{TABLE, go, whole};

/// A database whose first migration is applied, and whose second goes to and fro.
pub struct Journey {
    pub place: Place,
    pub session: Box<dyn Database>,
    pub rehearses: bool,
}

impl Journey {
    pub async fn of(schema: &str) -> Journey {
        Journey::with("", schema).await
    }

    /// With a query of the URL.
    pub async fn with(query: &str, schema: &str) -> Journey {
        let place = Place::new();
        // What is tested here is no crash.
        let session = open(&place.url(&format!("_pragma=synchronous(off)&{query}"))).await;
        let mut journey = Journey { place, session, rehearses: false };
        journey.execute(schema).await;
        journey
            .session
            .set_track(TABLE, sternway_model::state::TrackingRow::clean(2))
            .await
            .expect("a track");
        journey
    }

    pub async fn execute(&self, sql: &str) {
        let plain = "PRAGMA foreign_keys = off; PRAGMA synchronous = off; BEGIN;";
        self.place.execute(&format!("{plain} {sql}; COMMIT")).await;
    }

    pub async fn go(
        &mut self,
        direction: Direction,
        body: &str,
        keep: bool,
        planned: Option<&Effects>,
    ) -> Result<Done, StepError> {
        go(&mut *self.session, direction, body, keep, planned, self.rehearses).await
    }

    /// What a rehearsal of a body in `schema` foresees.
    pub async fn foresees(query: &str, schema: &str, body: &str) -> Effects {
        let mut shadow = Journey::with(query, schema).await;
        shadow.rehearses = true;
        let done = shadow.go(Direction::Down, body, false, None).await.expect("a rehearsal");
        done.effects.expect("effects")
    }

    pub async fn down(&mut self, body: &str) -> Done {
        let done = self.go(Direction::Down, body, true, None).await;
        done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)))
    }

    pub async fn up(&mut self, body: &str) -> Done {
        let done = self.go(Direction::Up, body, true, None).await;
        done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)))
    }

    /// Down and up again, after which everything is back.
    pub async fn there_and_back(&mut self, down: &str, up: &str) -> (Done, Done) {
        let before = self.dump().await;
        let (down, up) = (self.down(down).await, self.up(up).await);
        assert_eq!(self.dump().await, before);
        let kept: Vec<_> = down.kept.iter().map(|kept| (kept.id, kept.rows)).collect();
        let mut back: Vec<_> = up.restored.iter().map(|put| (put.id, put.restored.back)).collect();
        back.sort_unstable();
        assert_eq!(back, kept);
        assert!(
            up.restored.iter().all(|put| put.restored.conflicts.is_empty()),
            "{:?}",
            up.restored
        );
        (down, up)
    }

    /// Every row of every table, value by value with its type, sorted.
    pub async fn dump(&self) -> Vec<String> {
        let mut watch = self.place.watch().await;
        let tables = sqlx::query(
            "SELECT s.name, group_concat('typeof(' || quote(c.name) || ')', ''), group_concat(c.name, ' ')
             FROM sqlite_schema s, pragma_table_xinfo(s.name) c
             WHERE s.type = 'table' AND s.name NOT LIKE 'sternway%' AND s.name NOT LIKE 'sqlite%' GROUP BY 1",
        );
        let tables = tables.fetch_all(&mut watch).await.expect("tables");
        let mut lines = Vec::new();
        for table in tables {
            let name: String = table.get(0);
            let sql = format!("SELECT name FROM pragma_table_xinfo('{name}') ORDER BY name");
            let columns = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&mut watch);
            let values: Vec<String> = columns
                .await
                .expect("columns")
                .iter()
                .map(|it| it.replace('"', "\"\""))
                .map(|it| {
                    format!("'{}=' || typeof(\"{it}\") || quote(\"{it}\")", it.replace('\'', ""))
                })
                .collect();
            let sql = format!("SELECT {} FROM \"{name}\"", values.join(" || ' ' || "));
            let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&mut watch);
            lines.extend(rows.await.expect("rows").into_iter().map(|row| format!("{name}: {row}")));
        }
        lines.sort();
        lines
    }

    pub async fn waiting(&mut self) -> u64 {
        let entries = self.session.archive("app").await.expect("entries");
        entries.iter().map(sternway_model::archive::Entry::waiting).sum()
    }
}

pub fn table(name: &str) -> Lost {
    Lost::Table { table: name.to_owned() }
}

pub fn rows(name: &str) -> Lost {
    Lost::Rows { table: name.to_owned() }
}

pub fn column(table: &str, column: &str) -> Lost {
    Lost::Column { table: table.to_owned(), column: column.to_owned() }
}

/// How many are back, and why how many are not.
pub fn outcome(restored: &Restored) -> (u64, Vec<(&str, u64)>) {
    (restored.back, restored.conflicts.iter().map(|it| (it.reason.as_str(), it.rows)).collect())
}

pub const VALUES: &str =
    "INSERT INTO t VALUES (1, 'a', x'00ff', 1.5, NULL), (2, '1', 2, 9007199254740993, 'ß'),
    (3, '', x'', 1e308, '☂'), (4, NULL, '7', -0.1, 0), (9223372036854775807, 'x', 0.1, 3, 'y')";
