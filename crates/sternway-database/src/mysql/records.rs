//! Sternway's own records, in tables beside the application's: the migrations with both bodies, the
//! releases made of them, the runs and their journals.
//!
//! Losing them loses the way back without a source, and nothing else: neither the application nor
//! golang-migrate looks at them. Rows belong to an application, so that several can share a database.

mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::mysql::MySqlRow;
use sternway_model::catalog::{Digest, Half, Migration, MigrationSet, TrackName};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Plan};
use sternway_model::state::{Numbers, Records, RecordsAccess};

use super::{MySql, cell, number, number_in, optional, recorded, track};
use crate::port::{DatabaseError, RecordStore, RunId, RunSummary, Unfinished};
use crate::records::{self as shared, Access, LastRun, damaged, left_by, release};

pub(super) use write::insert;

/// The shape of the records. A later one is left alone.
const FORMAT: i32 = 1;

/// The tables. The one that says the format is made last: where it is, all are.
pub(super) const TABLES: [&str; 5] = [
    "sternway_migration",
    "sternway_release",
    "sternway_run",
    "sternway_journal",
    "sternway_about",
];

/// Their columns, in the same order. Names are told apart as the application tells them.
const COLUMNS: [&str; 5] = [
    "app varchar(128) NOT NULL, track varchar(128) NOT NULL, version bigint NOT NULL,
     up_file text, up_hash varchar(80), up_body longtext,
     down_file text, down_hash varchar(80), down_body longtext,
     met_at datetime NOT NULL, PRIMARY KEY (app, track, version)",
    "app varchar(128) NOT NULL, `release` varchar(128) NOT NULL, numbers longtext NOT NULL,
     PRIMARY KEY (app, `release`)",
    "id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, app varchar(128) NOT NULL,
     course varchar(16) NOT NULL, source varchar(128), target varchar(128) NOT NULL,
     steps int NOT NULL, plan longtext NOT NULL, plan_hash varchar(80) NOT NULL,
     sternway varchar(40) NOT NULL, run_by varchar(128) NOT NULL, started_at datetime(6) NOT NULL",
    "entry bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, run bigint NOT NULL, at datetime(6) NOT NULL,
     record longtext NOT NULL, KEY (run)",
    "format int NOT NULL PRIMARY KEY",
];

#[async_trait]
impl RecordStore for MySql {
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        let (are_there, access) = access(self).await?.parts();
        let mut records = Records { access, ..Records::default() };
        if !are_there {
            return Ok(records);
        }
        let doing = "read Sternway's records";
        let of_app = format!("WHERE app = {}", MySql::literal(app));
        let sql = format!("SELECT * FROM {} {of_app}", self.table("sternway_migration"));
        for row in &self.fetch(doing, sql).await? {
            let version = cell(row, "version");
            let version = version
                .parse()
                .map_err(|_| DatabaseError::RecordsDamaged(format!("version {version}")))?;
            let up = half(row, "up", &mut records.bodies)?;
            let down = half(row, "down", &mut records.bodies)?;
            let set: &mut MigrationSet =
                records.migrations.entry(TrackName(cell(row, "track"))).or_default();
            set.insert(Migration { version, up, down });
        }
        let sql = format!("SELECT * FROM {} {of_app}", self.table("sternway_release"));
        for row in &self.fetch(doing, sql).await? {
            let numbers: Numbers =
                serde_json::from_str(&cell(row, "numbers")).map_err(|e| damaged(&e))?;
            records.releases.insert(release(&cell(row, "release"))?, numbers);
        }
        let runs = runs(self, app).await?;
        let last = runs.into_iter().find(|run| run.progress == Progress::Finished);
        if let Some(last) = last {
            let run = self.table("sternway_run");
            let sql = format!(
                "SELECT JSON_EXTRACT(plan, CONCAT('$.hops[', JSON_LENGTH(plan, '$.hops') - 1, '].leaves'))
                        AS leaves, JSON_EXTRACT(plan, '$.taken') AS taken FROM {run} WHERE id = {}",
                last.id
            );
            for row in &self.fetch(doing, sql).await? {
                left_by(optional(row, "leaves"), optional(row, "taken"), &mut records);
            }
            records.leaves.extend(last.accepted);
            records.arrived_at = Some(last.target);
        }
        Ok(records)
    }

    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError> {
        match access(self).await? {
            Access::Ready(access) => return Ok(access),
            Access::Refused(reason) => return Ok(RecordsAccess::Unavailable(reason)),
            Access::Absent => {}
        }
        let mut sql = String::new();
        for (table, columns) in TABLES.iter().zip(COLUMNS) {
            let table = self.table(table);
            sql.push_str(&format!(
                "CREATE TABLE IF NOT EXISTS {table} ({columns})
                 ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;\n"
            ));
        }
        let about = self.table("sternway_about");
        sql.push_str(&format!("INSERT IGNORE INTO {about} (format) VALUES ({FORMAT})"));
        match self.run("make the records", sql).await {
            Ok(()) => Ok(RecordsAccess::Available),
            Err(error) => match refusal(&error) {
                Some(reason) => Ok(RecordsAccess::Unavailable(reason)),
                None => Err(error),
            },
        }
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        write::begin_run(self, plan).await
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        let sql = insert(self, run, record);
        self.commit("write the journal", "", &sql).await
    }

    async fn record_migrations(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError> {
        write::record_migrations(self, app, track, migrations, bodies).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        let Access::Ready(_) = access(self).await? else { return Ok(None) };
        let sql = format!(
            "SELECT id, plan, sternway, run_by, DATE_FORMAT(started_at, '%Y-%m-%d %H:%i:%s') AS started
             FROM {} WHERE app = {} ORDER BY id DESC LIMIT 1",
            self.table("sternway_run"),
            MySql::literal(app)
        );
        let rows = self.fetch("look for an unfinished run", sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let id = recorded(row, "sternway_run", "id")?;
        let last = LastRun {
            id,
            plan: cell(row, "plan"),
            sternway: cell(row, "sternway"),
            user: cell(row, "run_by"),
            started: cell(row, "started"),
            records: journal(self, id).await?,
        };
        last.unfinished()
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        match access(self).await? {
            Access::Ready(_) => runs(self, app).await,
            Access::Absent | Access::Refused(_) => Ok(Vec::new()),
        }
    }
}

/// The server's words, where it refuses for lack of a right or because it is read-only.
fn refusal(error: &DatabaseError) -> Option<String> {
    let refused = matches!(number(error)?, 1044 | 1142 | 1143 | 1227 | 1290 | 1792 | 1836);
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return None;
    };
    refused.then(|| error.message().to_owned())
}

async fn access(mysql: &mut MySql) -> Result<Access, DatabaseError> {
    if !track::exists(mysql, "sternway_about").await? {
        return Ok(Access::Absent);
    }
    ask(mysql).await.map_err(unreadable)
}

async fn ask(mysql: &mut MySql) -> Result<Access, DatabaseError> {
    let doing = "look for Sternway's records";
    // Before anything else: a later format may have other tables.
    let sql = format!("SELECT MAX(format) AS format FROM {}", mysql.table("sternway_about"));
    let rows = mysql.fetch(doing, sql).await?;
    // Reading nothing takes the right to read all the same.
    let tables = TABLES.map(|it| mysql.table(it)).join(", ");
    mysql.fetch(doing, format!("SELECT 1 AS one FROM {tables} LIMIT 0")).await?;
    let found = match rows.first().filter(|row| optional(row, "format").is_some()) {
        Some(row) => recorded(row, "sternway_about", "format")?,
        None => 0,
    };
    if found > FORMAT {
        return Err(DatabaseError::RecordsFormat { found, known: FORMAT });
    }
    // That nothing is inserted takes the right to insert all the same.
    let journal = mysql.table("sternway_journal");
    let sql =
        format!("EXPLAIN INSERT INTO {journal} (run, at, record) VALUES (0, '2000-01-01', '')");
    let may_write = match mysql.fetch(doing, sql).await {
        Ok(_) => RecordsAccess::Available,
        Err(error) => RecordsAccess::Unavailable(refusal(&error).ok_or(error)?),
    };
    Ok(if found == 0 { Access::Absent } else { Access::Ready(may_write) })
}

/// An error that says that the records cannot be read, where the server refuses it for lack of a right.
fn unreadable(error: DatabaseError) -> DatabaseError {
    refusal(&error).map_or(error, DatabaseError::RecordsUnreadable)
}

fn half(
    row: &MySqlRow,
    direction: &str,
    bodies: &mut BTreeMap<Digest, Arc<str>>,
) -> Result<Option<Half>, DatabaseError> {
    let text = |what: &str| optional(row, &format!("{direction}_{what}"));
    shared::half([text("file"), text("hash"), text("body")], bodies)
}

/// The journal of a run, as it is written.
pub(super) async fn journal(mysql: &mut MySql, run: RunId) -> Result<Vec<String>, DatabaseError> {
    let journal = mysql.table("sternway_journal");
    let sql = format!("SELECT record FROM {journal} WHERE run = {run} ORDER BY entry");
    let rows = mysql.fetch("read the journal", sql).await?;
    Ok(rows.iter().map(|row| cell(row, "record")).collect())
}

/// The runs, where the records are known to be there.
async fn runs(mysql: &mut MySql, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
    let doing = "read the history";
    let (runs, journal) = (mysql.table("sternway_run"), mysql.table("sternway_journal"));
    let of_app = format!("WHERE r.app = {}", MySql::literal(app));
    let sql = format!(
        "SELECT j.run AS run, j.record AS record FROM {journal} j
         JOIN {runs} r ON r.id = j.run {of_app} ORDER BY j.entry"
    );
    let mut entries: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for row in &mysql.fetch(doing, sql).await? {
        let record = serde_json::from_str(&cell(row, "record")).map_err(|e| damaged(&e))?;
        entries.entry(cell(row, "run")).or_default().push(record);
    }
    let sql = format!(
        "SELECT r.id AS id, r.course AS course, r.source AS source, r.target AS target,
                r.steps AS steps, r.run_by AS run_by, r.plan_hash AS plan_hash,
                DATE_FORMAT(r.started_at, '%Y-%m-%d %H:%i:%s') AS started,
                COALESCE((SELECT TIMESTAMPDIFF(MICROSECOND, r.started_at, MAX(j.at))
                          FROM {journal} j WHERE j.run = r.id), 0) AS micros
         FROM {runs} r {of_app} ORDER BY r.id DESC"
    );
    let rows = mysql.fetch(doing, sql).await?;
    let summary = |row: &MySqlRow| {
        let course = match cell(row, "course").as_str() {
            "rollback" => Course::Rollback,
            "upgrade" => Course::Upgrade,
            other => return Err(DatabaseError::RecordsDamaged(format!("course `{other}`"))),
        };
        let records = entries.remove(&cell(row, "id")).unwrap_or_default();
        Ok(RunSummary {
            id: recorded(row, "sternway_run", "id")?,
            plan: cell(row, "plan_hash").parse().map_err(|e| damaged(&e))?,
            course,
            from: optional(row, "source").as_deref().map(release).transpose()?,
            target: release(&cell(row, "target"))?,
            started: cell(row, "started"),
            seconds: number_in::<f64>(Some(row), "micros")? / 1e6,
            steps: recorded(row, "sternway_run", "steps")?,
            accepted: Record::accepted(&records),
            progress: Progress::of(records).map_err(|e| damaged(&e))?,
            user: cell(row, "run_by"),
        })
    };
    rows.iter().map(summary).collect()
}
