//! Writing the records.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Row};
use sternway_model::catalog::{Digest, Migration, Release, TrackName};
use sternway_model::journal::Record;
use sternway_model::plan::Plan;

use super::super::{MySql, failed};
use crate::port::{DatabaseError, RunId};

/// How much goes into one statement: the server takes no more than `max_allowed_packet`, which was 4
/// MB on older ones, and a larger migration goes alone.
const BATCH_BYTES: usize = 1 << 20;

/// How many migrations go into one statement.
const BATCH_ROWS: usize = 200;

/// Keeps what the plan knows, and notes the run.
pub(in crate::mysql) async fn begin_run(
    mysql: &mut MySql,
    plan: &Plan,
) -> Result<RunId, DatabaseError> {
    together(mysql, "note the run", async |mysql| {
        for (track, migrations) in &plan.migrations {
            record_each(mysql, &plan.app, track, migrations, &plan.bodies).await?;
        }
        note(mysql, plan).await
    })
    .await
}

/// Records migrations of a track, with the bodies that are given.
pub(in crate::mysql) async fn record_migrations(
    mysql: &mut MySql,
    app: &str,
    track: &TrackName,
    migrations: &[Migration],
    bodies: &BTreeMap<Digest, String>,
) -> Result<(), DatabaseError> {
    together(mysql, "record the migrations", async |mysql| {
        record_each(mysql, app, track, migrations, bodies).await
    })
    .await
}

/// Does something in a transaction.
async fn together<T>(
    mysql: &mut MySql,
    doing: &str,
    what: impl AsyncFnOnce(&mut MySql) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    mysql.run(doing, "START TRANSACTION READ WRITE".to_owned()).await?;
    let done = what(mysql).await;
    if done.is_err() {
        // The first error is what matters; a connection that is gone has rolled back by itself.
        let _ = mysql.run(doing, "ROLLBACK".to_owned()).await;
        return done;
    }
    mysql.run(doing, "COMMIT".to_owned()).await?;
    done
}

/// File, hash and body of both halves, where their bodies are given.
type Halves = (u64, [Option<String>; 6]);

async fn record_each(
    mysql: &mut MySql,
    app: &str,
    track: &TrackName,
    migrations: &[Migration],
    bodies: &BTreeMap<Digest, String>,
) -> Result<(), DatabaseError> {
    let mut batch: Vec<Halves> = Vec::new();
    let mut size = 0;
    for migration in migrations {
        let [mut up, mut down] = [&migration.up, &migration.down].map(|half| {
            let body = half.as_ref().and_then(|half| Some((half, bodies.get(&half.hash)?)));
            body.map(|(half, body)| [half.file.clone(), half.hash.to_string(), body.clone()])
                .map_or([None, None, None], |texts| texts.map(Some))
        });
        let texts = [
            up[0].take(),
            up[1].take(),
            up[2].take(),
            down[0].take(),
            down[1].take(),
            down[2].take(),
        ];
        let bytes: usize = texts.iter().flatten().map(String::len).sum();
        if !batch.is_empty() && (size + bytes > BATCH_BYTES || batch.len() >= BATCH_ROWS) {
            record_batch(mysql, app, track, std::mem::take(&mut batch)).await?;
            size = 0;
        }
        size += bytes;
        batch.push((migration.version, texts));
    }
    if batch.is_empty() { Ok(()) } else { record_batch(mysql, app, track, batch).await }
}

async fn record_batch(
    mysql: &mut MySql,
    app: &str,
    track: &TrackName,
    batch: Vec<Halves>,
) -> Result<(), DatabaseError> {
    let columns = ["up_file", "up_hash", "up_body", "down_file", "down_hash", "down_body"];
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP())";
    let sql = format!(
        "INSERT INTO {} (app, track, version, {}, met_at) VALUES {}
         ON DUPLICATE KEY UPDATE {}",
        mysql.table("sternway_migration"),
        columns.join(", "),
        vec![row; batch.len()].join(", "),
        columns.map(|it| format!("{it} = COALESCE(VALUES({it}), {it})")).join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for (version, texts) in batch {
        query = query.bind(app).bind(&track.0).bind(i64::try_from(version).unwrap_or(i64::MAX));
        for text in texts {
            query = query.bind(text);
        }
    }
    let recorded = query.execute(&mut mysql.connection).await;
    recorded.map(drop).map_err(failed("record the migrations"))
}

async fn note(mysql: &mut MySql, plan: &Plan) -> Result<RunId, DatabaseError> {
    let release_table = mysql.table("sternway_release");
    for (release, numbers) in &plan.releases {
        let sql = format!(
            "INSERT INTO {release_table} (app, `release`, numbers) VALUES (?, ?, ?)
             ON DUPLICATE KEY UPDATE numbers = VALUES(numbers)"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(&plan.app)
            .bind(release.to_string())
            .bind(serde_json::to_string(numbers).unwrap_or_default())
            .execute(&mut mysql.connection)
            .await
            .map_err(failed("record the releases"))?;
    }
    let steps: usize = plan.hops.iter().map(|hop| hop.steps.len()).sum();
    let sql = format!(
        "INSERT INTO {} (app, course, source, target, steps, plan, plan_hash, sternway, run_by, started_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6))",
        mysql.table("sternway_run")
    );
    let doing = "note the run";
    sqlx::query(AssertSqlSafe(sql))
        .bind(&plan.app)
        .bind(plan.course.to_string())
        .bind(plan.running.as_ref().map(Release::to_string))
        .bind(plan.target.to_string())
        .bind(i32::try_from(steps).unwrap_or(i32::MAX))
        .bind(plan.to_json())
        .bind(plan.digest().to_string())
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(&mysql.identity.user)
        .execute(&mut mysql.connection)
        .await
        .map_err(failed(doing))?;
    let id = sqlx::query("SELECT CAST(LAST_INSERT_ID() AS SIGNED)");
    let row = id.fetch_one(&mut mysql.connection).await.map_err(failed(doing))?;
    row.try_get(0).map_err(failed(doing))
}

/// The statement that adds a record to the journal of a run.
pub(in crate::mysql) fn insert(mysql: &MySql, run: RunId, record: &Record) -> String {
    let record = serde_json::to_string(record).unwrap_or_default();
    format!(
        "INSERT INTO {} (run, at, record) VALUES ({run}, UTC_TIMESTAMP(6), {});\n",
        mysql.table("sternway_journal"),
        MySql::literal(&record)
    )
}
