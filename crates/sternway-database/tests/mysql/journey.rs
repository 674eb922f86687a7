//! A migration that goes to and fro, with what it takes away.

use sternway_database::mysql::MySql;
use sternway_database::port::prelude::*;
use sternway_database::{Done, StepError};
use sternway_model::archive::Restored;
use sternway_model::catalog::Direction;
use sternway_model::effect::{Effects, Lost};
use sternway_model::state::TrackingRow;

use crate::server::{Fresh, ask, execute, fresh};
use crate::support::{TABLE, go, whole};

/// A database whose first migration is applied, and whose second goes to and fro.
pub struct Journey {
    pub fresh: Fresh,
    pub session: MySql,
}

impl Journey {
    pub async fn of(schema: &str) -> Option<Journey> {
        let fresh = fresh().await?;
        let session = fresh.session().await;
        let mut journey = Journey { fresh, session };
        journey.execute(schema).await;
        journey.at(2).await;
        Some(journey)
    }

    pub async fn at(&mut self, version: u64) {
        let row = TrackingRow::clean(version);
        self.session.set_track(TABLE, row).await.expect("a track");
    }

    pub async fn execute(&self, sql: &str) {
        execute(&mut self.fresh.watch().await, sql).await;
    }

    pub async fn ask(&self, sql: &str) -> String {
        ask(&mut self.fresh.watch().await, sql).await
    }

    pub async fn go(
        &mut self,
        direction: Direction,
        body: &str,
        keep: bool,
        planned: Option<&Effects>,
    ) -> Result<Done, StepError> {
        go(&mut self.session, direction, body, keep, planned, false).await
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
    pub async fn there_and_back(&mut self, down: &str, up: &str) -> Done {
        let before = self.dump().await;
        let (done, back) = (self.down(down).await, self.up(up).await);
        assert_eq!(self.dump().await, before, "{down}\n{up}\n{:?} {:?}", done.kept, back.restored);
        let mut put: Vec<_> = back.restored.iter().map(|put| (put.id, put.restored.back)).collect();
        put.sort_unstable();
        let mut kept: Vec<_> = done.kept.iter().map(|kept| (kept.id, kept.rows)).collect();
        kept.sort_unstable();
        assert_eq!(put, kept);
        assert_eq!(self.waiting().await, 0, "{down}: {:?}", back.restored);
        let left = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME REGEXP '^sternway_(kept|stand)'";
        assert_eq!(self.ask(left).await, "0", "{down}");
        done
    }

    /// Every row of every table, value by value, sorted.
    pub async fn dump(&self) -> Vec<String> {
        let mut watch = self.fresh.watch().await;
        let tables = "SELECT GROUP_CONCAT(TABLE_NAME ORDER BY TABLE_NAME SEPARATOR '|') FROM information_schema.TABLES
            WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'sternway%'";
        let mut lines = Vec::new();
        for table in ask(&mut watch, tables).await.split('|') {
            let columns = format!(
                "SELECT GROUP_CONCAT(CONCAT('''', COLUMN_NAME, '='', IFNULL(HEX(CAST(`', COLUMN_NAME, '` AS BINARY)), ''-'')') ORDER BY COLUMN_NAME SEPARATOR ', ')
                 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
            );
            let columns = ask(&mut watch, &columns).await;
            let rows = format!(
                "SELECT GROUP_CONCAT(x ORDER BY x SEPARATOR '\n') FROM (SELECT CONCAT('{table} ', {columns}) AS x FROM `{table}`) y"
            );
            execute(&mut watch, "SET group_concat_max_len = 10000000").await;
            lines.extend(ask(&mut watch, &rows).await.lines().map(str::to_owned));
        }
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

pub fn lost(done: &Done) -> Vec<(Lost, u64)> {
    done.kept.iter().map(|kept| (kept.lost.clone(), kept.rows)).collect()
}
