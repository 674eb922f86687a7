//! Sternway's own records, as tables beside the application's: the migrations with both bodies, the
//! releases made of them, the runs and their journals.
//!
//! Losing them loses the way back without a source, and nothing else. They have neither foreign keys
//! nor AUTOINCREMENT: golang-migrate's `drop` would stumble over the first, and over the table that
//! SQLite makes for the second. The SQL is one that every SQLite of the last years can read, because
//! a file whose schema it cannot read is lost to the application too.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sternway_model::catalog::{Digest, Half, Migration, MigrationSet, Release, TrackName};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Plan};
use sternway_model::state::{Numbers, Records, RecordsAccess};

use super::{Sqlite, archive, connect, failed};
use crate::port::{DatabaseError, RecordStore, RunId, RunSummary, Unfinished};
use crate::records::{self as shared, LastRun, damaged, left_by, release};

/// The shape of the records. A later one is left alone.
const FORMAT: i32 = 1;

/// The tables.
const NAMES: [&str; 5] = [
    "sternway_about",
    "sternway_migration",
    "sternway_release",
    "sternway_run",
    "sternway_journal",
];

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS main.sternway_about (format integer NOT NULL);
INSERT INTO main.sternway_about (format) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM main.sternway_about);
CREATE TABLE IF NOT EXISTS main.sternway_migration (
    app text NOT NULL, schema text NOT NULL, track text NOT NULL, version integer NOT NULL,
    up_file text, up_hash text, up_body text, down_file text, down_hash text, down_body text,
    met_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
    PRIMARY KEY (app, schema, track, version)
);
CREATE TABLE IF NOT EXISTS main.sternway_release (
    app text NOT NULL, schema text NOT NULL, release text NOT NULL, numbers text NOT NULL,
    PRIMARY KEY (app, schema, release)
);
CREATE TABLE IF NOT EXISTS main.sternway_run (
    id integer PRIMARY KEY,
    app text NOT NULL, schema text NOT NULL, course text NOT NULL, source text, target text NOT NULL,
    steps integer NOT NULL, plan text NOT NULL, plan_hash text NOT NULL, sternway text NOT NULL,
    run_by text NOT NULL, started_at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))
);
CREATE TABLE IF NOT EXISTS main.sternway_journal (
    entry integer PRIMARY KEY, run integer NOT NULL,
    at text NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')), record text NOT NULL
);
CREATE INDEX IF NOT EXISTS main.sternway_journal_run ON sternway_journal (run)";

/// Whether a table is one of Sternway's own.
pub(super) fn is_ours(table: &str) -> bool {
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(table)) || archive::is_ours(table)
}

#[async_trait]
impl RecordStore for Sqlite {
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        connect::use_file(self, false).await?;
        let mut records = Records { access: writable(self), ..Records::default() };
        if is_there(self).await? < NAMES.len() {
            return Ok(records);
        }
        let doing = "read Sternway's records";
        let schema = self.identity.schema.clone();
        let rows = sqlx::query(
            "SELECT track, version, up_file, up_hash, up_body, down_file, down_hash, down_body
             FROM main.sternway_migration WHERE app = ? AND schema = ?",
        )
        .bind(app)
        .bind(&schema)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed(doing))?;
        for row in &rows {
            let track = TrackName(row.try_get(0).map_err(failed(doing))?);
            let version: i64 = row.try_get(1).map_err(failed(doing))?;
            let version = u64::try_from(version)
                .map_err(|_| DatabaseError::RecordsDamaged(format!("version {version}")))?;
            let up = half(row, 2, &mut records.bodies)?;
            let down = half(row, 5, &mut records.bodies)?;
            let set: &mut MigrationSet = records.migrations.entry(track).or_default();
            set.insert(Migration { version, up, down });
        }
        let rows = sqlx::query(
            "SELECT release, numbers FROM main.sternway_release WHERE app = ? AND schema = ?",
        )
        .bind(app)
        .bind(&schema)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed(doing))?;
        for row in &rows {
            let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
            let numbers: Numbers = serde_json::from_str(&text(1)?).map_err(|e| damaged(&e))?;
            records.releases.insert(release(&text(0)?)?, numbers);
        }
        let runs = runs(self, app).await?;
        let last = runs.into_iter().find(|run| run.progress == Progress::Finished);
        if let Some(last) = last {
            let sql =
                "SELECT json_extract(plan, '$.hops[#-1].leaves'), json_extract(plan, '$.taken')
                       FROM main.sternway_run WHERE id = ?";
            let row = sqlx::query(sql).bind(last.id).fetch_one(&mut self.connection);
            let row = row.await.map_err(failed(doing))?;
            let text = |column: usize| row.try_get(column).map_err(failed(doing));
            left_by(text(0)?, text(1)?, &mut records);
            records.leaves.extend(last.accepted);
            records.arrived_at = Some(last.target);
        }
        Ok(records)
    }

    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError> {
        connect::use_file(self, true).await?;
        if is_there(self).await? == NAMES.len() {
            return Ok(writable(self));
        }
        match self.run_whole("make the records", TABLES.to_owned()).await {
            Ok(()) => Ok(RecordsAccess::Available),
            Err(error) => match refusal(&error) {
                Some(reason) => Ok(RecordsAccess::Unavailable(reason)),
                None => Err(error),
            },
        }
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        connect::use_file(self, true).await?;
        begin(self).await?;
        let begun = record_and_note(self, plan).await;
        end(self, begun).await
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        connect::use_file(self, true).await?;
        let sql = insert(run, record);
        self.run("write the journal", sql).await
    }

    async fn record_migrations(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError> {
        connect::use_file(self, true).await?;
        begin(self).await?;
        let recorded = record_migrations(self, app, track, migrations, bodies).await;
        end(self, recorded).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        connect::use_file(self, false).await?;
        if is_there(self).await? < NAMES.len() {
            return Ok(None);
        }
        let doing = "look for an unfinished run";
        let row = sqlx::query(
            "SELECT id, plan, sternway, run_by, substr(started_at, 1, 19)
             FROM main.sternway_run WHERE app = ? AND schema = ? ORDER BY id DESC LIMIT 1",
        )
        .bind(app)
        .bind(&self.identity.schema)
        .fetch_optional(&mut self.connection)
        .await
        .map_err(failed(doing))?;
        let Some(row) = row else { return Ok(None) };
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        let id: RunId = row.try_get(0).map_err(failed(doing))?;
        let records = sqlx::query_scalar(
            "SELECT record FROM main.sternway_journal WHERE run = ? ORDER BY entry",
        )
        .bind(id)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed(doing))?;
        let (plan, sternway, user, started) = (text(1)?, text(2)?, text(3)?, text(4)?);
        LastRun { id, plan, sternway, user, started, records }.unfinished()
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        connect::use_file(self, false).await?;
        if is_there(self).await? < NAMES.len() { Ok(Vec::new()) } else { runs(self, app).await }
    }
}

/// SQLite's words, where it may not write.
fn refusal(error: &DatabaseError) -> Option<String> {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return None;
    };
    let code: i32 = error.code()?.parse().ok()?;
    (code & 0xff == 8).then(|| error.message().to_owned())
}

/// Whether the file may be written, as far as can be told without trying.
pub(super) fn writable(sqlite: &Sqlite) -> RecordsAccess {
    let read_only = |path: std::path::PathBuf| {
        std::fs::metadata(path).is_ok_and(|it| it.permissions().readonly())
    };
    if sqlite.options.read_only || sqlite.options.path().is_some_and(read_only) {
        return RecordsAccess::Unavailable("the database file is read-only".to_owned());
    }
    RecordsAccess::Available
}

/// How many of the tables are there.
async fn is_there(sqlite: &mut Sqlite) -> Result<usize, DatabaseError> {
    let doing = "look for Sternway's records";
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name LIKE 'sternway\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut sqlite.connection)
    .await
    .map_err(failed(doing))?;
    if found.iter().any(|name| name == NAMES[0]) {
        // Before anything else: a later format may have other tables.
        let format: i32 =
            sqlx::query_scalar("SELECT coalesce(max(format), 0) FROM main.sternway_about")
                .fetch_one(&mut sqlite.connection)
                .await
                .map_err(failed(doing))?;
        if format > FORMAT {
            return Err(DatabaseError::RecordsFormat { found: format, known: FORMAT });
        }
    }
    Ok(found.iter().filter(|name| NAMES.contains(&name.as_str())).count())
}

fn half(
    row: &SqliteRow,
    column: usize,
    bodies: &mut BTreeMap<Digest, Arc<str>>,
) -> Result<Option<Half>, DatabaseError> {
    let text = |ahead: usize| {
        let text = row.try_get::<Option<String>, _>(column + ahead);
        text.map_err(failed("read Sternway's records"))
    };
    shared::half([text(0)?, text(1)?, text(2)?], bodies)
}

async fn begin(sqlite: &mut Sqlite) -> Result<(), DatabaseError> {
    sqlite.run("write Sternway's records", "BEGIN IMMEDIATE".to_owned()).await
}

async fn end<T>(
    sqlite: &mut Sqlite,
    written: Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let ended = match &written {
        Ok(_) => sqlite.run("write Sternway's records", "COMMIT".to_owned()).await,
        Err(_) => Ok(()),
    };
    if written.is_err() || ended.is_err() {
        sqlite.roll_back().await;
    }
    let written = written?;
    ended.map(|()| written)
}

async fn record_migrations(
    sqlite: &mut Sqlite,
    app: &str,
    track: &TrackName,
    migrations: &[Migration],
    bodies: &BTreeMap<Digest, String>,
) -> Result<(), DatabaseError> {
    let schema = sqlite.identity.schema.clone();
    for migration in migrations {
        let part = |half: &Option<Half>| {
            let half = half.as_ref()?;
            let body = bodies.get(&half.hash)?;
            Some((half.file.clone(), half.hash.to_string(), body.clone()))
        };
        let (up, down) = (part(&migration.up), part(&migration.down));
        let mut query = sqlx::query(
            "INSERT INTO main.sternway_migration AS migration
                (app, schema, track, version, up_file, up_hash, up_body, down_file, down_hash, down_body)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (app, schema, track, version) DO UPDATE SET
                up_file = coalesce(excluded.up_file, migration.up_file),
                up_hash = coalesce(excluded.up_hash, migration.up_hash),
                up_body = coalesce(excluded.up_body, migration.up_body),
                down_file = coalesce(excluded.down_file, migration.down_file),
                down_hash = coalesce(excluded.down_hash, migration.down_hash),
                down_body = coalesce(excluded.down_body, migration.down_body)",
        )
        .bind(app)
        .bind(&schema)
        .bind(&track.0)
        .bind(i64::try_from(migration.version).unwrap_or(i64::MAX));
        for part in [up, down] {
            let (file, hash, body) = part.map_or((None, None, None), |(file, hash, body)| {
                (Some(file), Some(hash), Some(body))
            });
            query = query.bind(file).bind(hash).bind(body);
        }
        query.execute(&mut sqlite.connection).await.map_err(failed("record the migrations"))?;
    }
    Ok(())
}

async fn record_and_note(sqlite: &mut Sqlite, plan: &Plan) -> Result<RunId, DatabaseError> {
    let schema = sqlite.identity.schema.clone();
    for (track, migrations) in &plan.migrations {
        record_migrations(sqlite, &plan.app, track, migrations, &plan.bodies).await?;
    }
    for (release, numbers) in &plan.releases {
        sqlx::query(
            "INSERT INTO main.sternway_release (app, schema, release, numbers) VALUES (?, ?, ?, ?)
             ON CONFLICT (app, schema, release) DO UPDATE SET numbers = excluded.numbers",
        )
        .bind(&plan.app)
        .bind(&schema)
        .bind(release.to_string())
        .bind(serde_json::to_string(numbers).unwrap_or_default())
        .execute(&mut sqlite.connection)
        .await
        .map_err(failed("record the releases"))?;
    }
    let steps: usize = plan.hops.iter().map(|hop| hop.steps.len()).sum();
    sqlx::query_scalar(
        "INSERT INTO main.sternway_run
            (app, schema, course, source, target, steps, plan, plan_hash, sternway, run_by)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(&plan.app)
    .bind(&schema)
    .bind(plan.course.to_string())
    .bind(plan.running.as_ref().map(Release::to_string))
    .bind(plan.target.to_string())
    .bind(i64::try_from(steps).unwrap_or(i64::MAX))
    .bind(plan.to_json())
    .bind(plan.digest().to_string())
    .bind(env!("CARGO_PKG_VERSION"))
    .bind(&sqlite.identity.user)
    .fetch_one(&mut sqlite.connection)
    .await
    .map_err(failed("note the run"))
}

/// The statement that adds a record to the journal of a run.
pub(super) fn insert(run: RunId, record: &Record) -> String {
    // JSON has no NUL byte: it writes it as \u0000.
    let record = serde_json::to_string(record).unwrap_or_default().replace('\'', "''");
    format!("INSERT INTO main.sternway_journal (run, record) VALUES ({run}, '{record}')")
}

/// The runs, where the records are known to be there.
async fn runs(sqlite: &mut Sqlite, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
    let doing = "read the history";
    let rows = sqlx::query(
        "SELECT id, course, source, target, steps, run_by, substr(started_at, 1, 19),
                (SELECT (julianday(max(j.at)) - julianday(started_at)) * 86400.0
                 FROM main.sternway_journal j WHERE j.run = r.id),
                (SELECT json_group_array(json(record)) FROM
                    (SELECT record FROM main.sternway_journal j WHERE j.run = r.id ORDER BY entry)),
                plan_hash
         FROM main.sternway_run r WHERE app = ? AND schema = ? ORDER BY id DESC",
    )
    .bind(app)
    .bind(&sqlite.identity.schema)
    .fetch_all(&mut sqlite.connection)
    .await
    .map_err(failed(doing))?;
    rows.iter().map(summary).collect()
}

fn summary(row: &SqliteRow) -> Result<RunSummary, DatabaseError> {
    let doing = || failed("read the history");
    let text = |column: usize| row.try_get::<String, _>(column).map_err(doing());
    let course = match text(1)?.as_str() {
        "rollback" => Course::Rollback,
        "upgrade" => Course::Upgrade,
        other => return Err(DatabaseError::RecordsDamaged(format!("course `{other}`"))),
    };
    let from: Option<String> = row.try_get(2).map_err(doing())?;
    let steps: i64 = row.try_get(4).map_err(doing())?;
    let seconds: Option<f64> = row.try_get(7).map_err(doing())?;
    let records: Vec<Record> = serde_json::from_str(&text(8)?).map_err(|e| damaged(&e))?;
    Ok(RunSummary {
        id: row.try_get(0).map_err(doing())?,
        plan: text(9)?.parse().map_err(|e| damaged(&e))?,
        course,
        from: from.as_deref().map(release).transpose()?,
        target: release(&text(3)?)?,
        started: text(6)?,
        seconds: seconds.unwrap_or(0.0).max(0.0),
        steps: usize::try_from(steps).unwrap_or(0),
        accepted: Record::accepted(&records),
        progress: Progress::of(records).map_err(|e| damaged(&e))?,
        user: text(5)?,
    })
}
