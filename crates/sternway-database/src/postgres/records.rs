//! Sternway's own records, in the schema `sternway`: the migrations with both bodies, the releases
//! made of them, the runs and their journals.
//!
//! Losing the schema loses the way back without a source, and nothing else: neither the application
//! nor golang-migrate looks at it. Rows belong to an application in a schema, so that several can
//! share a database.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sternway_model::catalog::{Digest, Half, Migration, MigrationSet, TrackName};
use sternway_model::journal::{Progress, Record};
use sternway_model::plan::{Course, Plan};
use sternway_model::state::{Numbers, Records, RecordsAccess};

use super::parameters::Server;
use super::{Postgres, archive, execute, failed, literal};
use crate::port::{DatabaseError, RecordStore, RunId, RunSummary, Unfinished};
use crate::records::{self as shared, Access, LastRun, damaged, left_by, release};

/// The shape of the records. A later one is left alone.
const FORMAT: i32 = 1;

/// A schema that an administrator has made is used; to make one takes a right that users seldom have.
const SCHEMA: &str = "
DO $$ BEGIN
    IF to_regnamespace('sternway') IS NULL THEN CREATE SCHEMA IF NOT EXISTS sternway; END IF;
END $$;
";

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS sternway.about (format integer NOT NULL);
INSERT INTO sternway.about (format) SELECT 1 WHERE NOT EXISTS (SELECT FROM sternway.about);
CREATE TABLE IF NOT EXISTS sternway.migration (
    app text NOT NULL, schema text NOT NULL, track text NOT NULL, version bigint NOT NULL,
    up_file text, up_hash text, up_body text, down_file text, down_hash text, down_body text,
    met_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, schema, track, version)
);
CREATE TABLE IF NOT EXISTS sternway.release (
    app text NOT NULL, schema text NOT NULL, release text NOT NULL, numbers text NOT NULL,
    PRIMARY KEY (app, schema, release)
);
CREATE TABLE IF NOT EXISTS sternway.run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL, schema text NOT NULL, course text NOT NULL, source text, target text NOT NULL,
    steps integer NOT NULL, plan text NOT NULL, plan_hash text NOT NULL, sternway text NOT NULL,
    run_by text NOT NULL DEFAULT session_user, started_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS sternway.journal (
    run bigint NOT NULL REFERENCES sternway.run, entry bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), record text NOT NULL,
    PRIMARY KEY (run, entry)
);
";

#[async_trait]
impl RecordStore for Postgres {
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        let (are_there, access) = access(self).await?.parts();
        let mut records = Records { access, ..Records::default() };
        if !are_there {
            return Ok(records);
        }
        let doing = "read Sternway's records";
        let (app, schema) = (literal(app), literal(&self.identity.schema));
        let sql = format!(
            "SELECT track, version, up_file, up_hash, up_body, down_file, down_hash, down_body
             FROM sternway.migration WHERE app = {app} AND schema = {schema}"
        );
        let rows = self.ask(doing, sql).await?;
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
        let sql = format!(
            "SELECT release, numbers FROM sternway.release WHERE app = {app} AND schema = {schema}"
        );
        let rows = self.ask(doing, sql).await?;
        for row in &rows {
            let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
            let numbers: Numbers = serde_json::from_str(&text(1)?).map_err(|e| damaged(&e))?;
            records.releases.insert(release(&text(0)?)?, numbers);
        }
        let runs = runs(self, &app).await?;
        let last = runs.into_iter().find(|run| run.progress == Progress::Finished);
        if let Some(last) = last {
            let sql = format!(
                "SELECT (plan::json -> 'hops' -> -1 -> 'leaves')::text, (plan::json -> 'taken')::text
                 FROM sternway.run WHERE id = {}",
                last.id
            );
            for row in &self.ask(doing, sql).await? {
                let text = |column: usize| row.try_get(column).map_err(failed(doing));
                left_by(text(0)?, text(1)?, &mut records);
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
        let made = self
            .run("make the records", format!("BEGIN; {SCHEMA} {TABLES} {} COMMIT", archive::TABLE))
            .await;
        match made {
            Ok(()) => Ok(RecordsAccess::Available),
            Err(error) => {
                self.run("roll back", "ROLLBACK".to_owned()).await?;
                match refusal(&error) {
                    Some(reason) => Ok(RecordsAccess::Unavailable(reason)),
                    None => Err(error),
                }
            }
        }
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        let doing = "note the run";
        let (app, schema) = (literal(&plan.app), literal(&self.identity.schema));
        let mut sql = "BEGIN;\n".to_owned();
        for (track, migrations) in &plan.migrations {
            sql.push_str(&recording(&app, &schema, track, migrations, &plan.bodies));
        }
        for (release, numbers) in &plan.releases {
            let release = literal(&release.to_string());
            let numbers = literal(&serde_json::to_string(numbers).unwrap_or_default());
            sql.push_str(&format!(
                "INSERT INTO sternway.release (app, schema, release, numbers)
                 VALUES ({app}, {schema}, {release}, {numbers})
                 ON CONFLICT (app, schema, release) DO UPDATE SET numbers = excluded.numbers
                 WHERE release.numbers <> excluded.numbers;\n"
            ));
        }
        let steps: usize = plan.hops.iter().map(|hop| hop.steps.len()).sum();
        let running = plan.running.as_ref().map(|release| literal(&release.to_string()));
        sql.push_str(&format!(
            "INSERT INTO sternway.run (app, schema, course, source, target, steps, plan, plan_hash, sternway)
             VALUES ({app}, {schema}, {}, {}, {}, {}, {}, {}, {}) RETURNING id; COMMIT",
            literal(&plan.course.to_string()),
            running.as_deref().unwrap_or("NULL"),
            literal(&plan.target.to_string()),
            i32::try_from(steps).unwrap_or(i32::MAX),
            literal(&plan.to_json()),
            literal(&plan.digest().to_string()),
            literal(env!("CARGO_PKG_VERSION")),
        ));
        match self.ask(doing, sql).await {
            Ok(rows) => {
                let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed(doing))?;
                row.try_get(0).map_err(failed(doing))
            }
            Err(error) => {
                let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
                Err(error)
            }
        }
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        let sql = execute::apart(self, &insert(run, record));
        self.run("write the journal", sql).await
    }

    async fn record_migrations(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError> {
        let (app, schema) = (literal(app), literal(&self.identity.schema));
        let sql = recording(&app, &schema, track, migrations, bodies);
        self.run("record the migrations", sql).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        let Access::Ready(_) = access(self).await? else { return Ok(None) };
        let doing = "look for an unfinished run";
        let sql = format!(
            "SELECT r.id, r.plan, r.sternway, r.run_by,
                    to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                    ARRAY(SELECT j.record FROM sternway.journal j WHERE j.run = r.id ORDER BY j.entry)
             FROM sternway.run r WHERE r.app = {} AND r.schema = {} ORDER BY r.id DESC LIMIT 1",
            literal(app),
            literal(&self.identity.schema)
        );
        let rows = self.ask(doing, sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        let last = LastRun {
            id: row.try_get(0).map_err(failed(doing))?,
            plan: text(1)?,
            sternway: text(2)?,
            user: text(3)?,
            started: text(4)?,
            records: row.try_get(5).map_err(failed(doing))?,
        };
        last.unfinished()
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        match access(self).await? {
            Access::Ready(_) => runs(self, &literal(app)).await,
            Access::Absent | Access::Refused(_) => Ok(Vec::new()),
        }
    }
}

/// The server's words, where it refuses for lack of a right or because it is read-only.
fn refusal(error: &DatabaseError) -> Option<String> {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return None;
    };
    let code = error.code()?;
    matches!(code.as_ref(), "42501" | "25006").then(|| error.message().to_owned())
}

async fn access(postgres: &mut Postgres) -> Result<Access, DatabaseError> {
    if let Server::Cockroach | Server::Redshift = postgres.parameters.server {
        let server = &postgres.identity.server;
        return Ok(Access::Refused(format!("this version keeps no records on {server}")));
    }
    ask(postgres).await.map_err(unreadable)
}

/// An error that says that the records cannot be read, where the server refuses it for lack of a right.
pub(super) fn unreadable(error: DatabaseError) -> DatabaseError {
    refusal(&error).map_or(error, DatabaseError::RecordsUnreadable)
}

async fn ask(postgres: &mut Postgres) -> Result<Access, DatabaseError> {
    let doing = "look for Sternway's records";
    let sql = "
        SELECT to_regclass('sternway.about') IS NOT NULL,
               to_regnamespace('sternway') IS NULL,
               has_database_privilege(current_database(), 'CREATE'),
               coalesce(has_schema_privilege(to_regnamespace('sternway'), 'CREATE'), false),
               bool_and(to_regclass(name) IS NOT NULL),
               bool_and(coalesce(has_table_privilege(to_regclass(name), 'INSERT'), true)),
               bool_and(coalesce(has_table_privilege(to_regclass(name), 'SELECT'), true))
        FROM unnest('{sternway.migration, sternway.release, sternway.run, sternway.journal, sternway.archive}'::text[]) AS name";
    let row = postgres.ask_one(doing, sql.to_owned()).await?;
    let answer = |column: usize| row.try_get::<bool, _>(column).map_err(failed(doing));
    let (about, absent, whole, may_write) = (answer(0)?, answer(1)?, answer(4)?, answer(5)?);
    let (may_create_schema, may_create_table) = (answer(2)?, answer(3)?);
    if !answer(6)? {
        let user = &postgres.identity.user;
        let reason = format!("user `{user}` may not read the tables in the schema sternway");
        return Err(DatabaseError::RecordsUnreadable(reason));
    }
    if about {
        // Before anything else: a later format may have other tables.
        let sql = "SELECT coalesce(max(format), 0) FROM sternway.about";
        let row = postgres.ask_one(doing, sql.to_owned()).await?;
        let found: i32 = row.try_get(0).map_err(failed(doing))?;
        if found > FORMAT {
            return Err(DatabaseError::RecordsFormat { found, known: FORMAT });
        }
    }
    let (database, user) = (&postgres.identity.database, &postgres.identity.user);
    if about && whole {
        return Ok(Access::Ready(match may_write {
            true => RecordsAccess::Available,
            false => RecordsAccess::Unavailable(format!(
                "user `{user}` may not write to schema sternway"
            )),
        }));
    }
    Ok(match (absent, may_create_schema, may_create_table) {
        (true, true, _) | (false, _, true) => Access::Absent,
        (true, false, _) => Access::Refused(format!(
            "user `{user}` may not create the schema sternway in database `{database}`"
        )),
        (false, _, false) => {
            Access::Refused(format!("user `{user}` may not create tables in the schema sternway"))
        }
    })
}

fn half(
    row: &PgRow,
    column: usize,
    bodies: &mut BTreeMap<Digest, Arc<str>>,
) -> Result<Option<Half>, DatabaseError> {
    let text = |ahead: usize| {
        let text = row.try_get::<Option<String>, _>(column + ahead);
        text.map_err(failed("read Sternway's records"))
    };
    shared::half([text(0)?, text(1)?, text(2)?], bodies)
}

/// The one statement that records migrations of a track. What it finds as it should be stays as it is.
fn recording(
    app: &str,
    schema: &str,
    track: &TrackName,
    migrations: &[Migration],
    bodies: &BTreeMap<Digest, String>,
) -> String {
    let part = |half: &Option<Half>| {
        let half = half.as_ref()?;
        let body = bodies.get(&half.hash)?;
        Some([half.file.clone(), half.hash.to_string(), body.clone()])
    };
    let number = |version| i64::try_from(version).unwrap_or(i64::MAX);
    let rows: Vec<_> =
        migrations.iter().map(|it| (number(it.version), part(&it.up), part(&it.down))).collect();
    let rows = literal(&serde_json::to_string(&rows).unwrap_or_default());
    let track = literal(&track.0);
    format!(
        "INSERT INTO sternway.migration AS old (app, schema, track, version, up_file, up_hash, up_body, down_file, down_hash, down_body)
         SELECT {app}, {schema}, {track}, (m->>0)::bigint, m->1->>0, m->1->>1, m->1->>2, m->2->>0, m->2->>1, m->2->>2
         FROM json_array_elements({rows}::json) AS m
         ON CONFLICT (app, schema, track, version) DO UPDATE SET
            up_file = coalesce(excluded.up_file, old.up_file),
            up_hash = coalesce(excluded.up_hash, old.up_hash),
            up_body = coalesce(excluded.up_body, old.up_body),
            down_file = coalesce(excluded.down_file, old.down_file),
            down_hash = coalesce(excluded.down_hash, old.down_hash),
            down_body = coalesce(excluded.down_body, old.down_body)
         WHERE (excluded.up_hash IS NOT NULL AND (excluded.up_file, excluded.up_hash, excluded.up_body)
                    IS DISTINCT FROM (old.up_file, old.up_hash, old.up_body))
            OR (excluded.down_hash IS NOT NULL AND (excluded.down_file, excluded.down_hash, excluded.down_body)
                    IS DISTINCT FROM (old.down_file, old.down_hash, old.down_body));\n"
    )
}

/// The statement that adds a record to the journal of a run.
pub(super) fn insert(run: RunId, record: &Record) -> String {
    let record = literal(&serde_json::to_string(record).unwrap_or_default());
    format!("INSERT INTO sternway.journal (run, record) VALUES ({run}, {record});\n")
}

/// The runs, where the records are known to be there. `app` is a literal.
async fn runs(postgres: &mut Postgres, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
    let schema = literal(&postgres.identity.schema);
    let sql = format!(
        "SELECT r.id, r.course, r.source, r.target, r.steps, r.run_by,
                to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                coalesce(extract(epoch FROM max(j.at) - r.started_at), 0)::float8,
                coalesce(array_agg(j.record ORDER BY j.entry) FILTER (WHERE j.record IS NOT NULL), '{{}}'),
                r.plan_hash
         FROM sternway.run r LEFT JOIN sternway.journal j ON j.run = r.id
         WHERE r.app = {app} AND r.schema = {schema} GROUP BY r.id ORDER BY r.id DESC"
    );
    let rows = postgres.ask("read the history", sql).await?;
    rows.iter().map(summary).collect()
}

fn summary(row: &PgRow) -> Result<RunSummary, DatabaseError> {
    let doing = || failed("read the history");
    let text = |column: usize| row.try_get::<String, _>(column).map_err(doing());
    let course = match text(1)?.as_str() {
        "rollback" => Course::Rollback,
        "upgrade" => Course::Upgrade,
        other => return Err(DatabaseError::RecordsDamaged(format!("course `{other}`"))),
    };
    let from: Option<String> = row.try_get(2).map_err(doing())?;
    let steps: i32 = row.try_get(4).map_err(doing())?;
    let records: Vec<String> = row.try_get(8).map_err(doing())?;
    let records: Vec<Record> = records
        .iter()
        .map(|record| serde_json::from_str(record))
        .collect::<Result<_, _>>()
        .map_err(|e| damaged(&e))?;
    Ok(RunSummary {
        id: row.try_get(0).map_err(doing())?,
        plan: text(9)?.parse().map_err(|e| damaged(&e))?,
        course,
        from: from.as_deref().map(release).transpose()?,
        target: release(&text(3)?)?,
        started: text(6)?,
        seconds: row.try_get(7).map_err(doing())?,
        steps: usize::try_from(steps).unwrap_or(0),
        accepted: Record::accepted(&records),
        progress: Progress::of(records).map_err(|e| damaged(&e))?,
        user: text(5)?,
    })
}
