//! The archive: what bodies would have taken away, in tables of the same database.
//!
//! Changes of the schema commit by themselves here, so nothing can be tried and taken back. What a
//! body will take is read from its statements before the first of them; what these do not tell is
//! refused. Rows are copied before the body and compared after it; a table that is only dropped is
//! moved aside, whatever its size, and an empty one is left in its place. Each of these is in the
//! index before it is done (`state`), so that whoever comes after a crash finds what was kept and
//! settles it: `copying` and `moving` may be half done, `pending` waits for the end of its body.

mod shape;
mod known;
mod names;
mod touch;
mod keep;
mod restore;

use sternway_model::archive::{Entry, EntryId, Page, PutBack};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::{Loss, Lost};

use super::{MySql, cell, number, optional, track};
use crate::kept::{Layout, Stored, damaged};
use crate::port::{Care, DatabaseError};
use shape::{Shape, count};

pub(super) use keep::{Keeper, prepare};
pub(super) use restore::{Waiting, put_back, waiting};

/// The index.
const NAME: &str = "sternway_archive";

/// What the names of the tables with the rows begin with, and of the empty ones left in their place.
const PREFIX: &str = "sternway_kept_";
const STAND_IN: &str = "sternway_stand_in_";

const COLUMNS: &str = "id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, app varchar(128) NOT NULL,
    track varchar(128) NOT NULL, version bigint unsigned NOT NULL, direction varchar(4) NOT NULL,
    run bigint, step bigint NOT NULL, since datetime NOT NULL, state varchar(8) NOT NULL,
    lost longtext NOT NULL, data bigint NOT NULL, layout longtext NOT NULL, row_count bigint NOT NULL,
    restored longtext";

/// How the session is while it keeps and puts back: nothing is bent to fit.
const STRICT: &str = "SET @sternway_mode = @@SESSION.sql_mode, @sternway_safe = @@SESSION.sql_safe_updates,
    SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', SESSION sql_safe_updates = 0";
const LENIENT: &str =
    "SET SESSION sql_mode = @sternway_mode, SESSION sql_safe_updates = @sternway_safe";

/// Why a body with what it takes away was not run.
pub(super) enum Trouble {
    /// A question failed.
    Database(DatabaseError),
    /// This cannot be kept.
    CannotKeep(String),
    /// The plan does not say so.
    Beyond(Vec<Lost>),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Trouble {
        Trouble::Database(error)
    }
}

/// Whether a table belongs to the archive.
pub(super) fn is_ours(table: &str) -> bool {
    table == NAME || table.starts_with(PREFIX) || table.starts_with(STAND_IN)
}

/// The table that holds the rows of an entry.
fn data(mysql: &MySql, id: i64) -> String {
    mysql.table(&format!("{PREFIX}{id}"))
}

/// The condition under which the row `t` of a table is the row `k` that was kept.
fn matches(key: &[usize], names: &[Option<String>]) -> String {
    let part = |at: &usize| {
        let name = names.get(*at).cloned().flatten().unwrap_or_default();
        format!("t.{} = k.c{at}", MySql::quote(&name))
    };
    key.iter().map(part).collect::<Vec<_>>().join(" AND ")
}

/// Values in one text: equal where they are one by one.
fn image(values: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = values.map(|bytes| format!("IFNULL(HEX({bytes}), '-')")).collect();
    format!("SHA2(CONCAT_WS(',', 0, {}), 256)", all.join(", "))
}

/// Whether there is an archive.
async fn is_there(mysql: &mut MySql) -> Result<bool, DatabaseError> {
    track::exists(mysql, NAME).await
}

/// Makes the index, where there is none.
async fn make(mysql: &mut MySql) -> Result<(), DatabaseError> {
    if is_there(mysql).await? {
        return Ok(());
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {} ({COLUMNS}) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
        mysql.table(NAME)
    );
    mysql.run("make the archive", sql).await
}

/// The condition for the entries of one step.
fn of_step(care: &Care<'_>, direction: Direction) -> String {
    let Care { app, track: TrackName(track), version, .. } = care;
    format!(
        "app = {} AND track = {} AND version = {version} AND direction = '{}'",
        MySql::literal(app),
        MySql::literal(track),
        crate::kept::direction(direction)
    )
}

/// The entries for which a condition holds, with their states, the oldest first.
async fn stored(
    mysql: &mut MySql,
    condition: &str,
) -> Result<Vec<(String, Stored)>, DatabaseError> {
    if !is_there(mysql).await? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT * FROM {} WHERE {condition} ORDER BY id", mysql.table(NAME));
    let json = |error: serde_json::Error| damaged(&error);
    let mut found = Vec::new();
    for row in &mysql.fetch("read the archive", sql).await? {
        let number = |name: &str| cell(row, name).parse().unwrap_or(0);
        let restored = optional(row, "restored");
        let stored = Stored {
            id: number("id"),
            data: number("data"),
            step: number("step"),
            lost: serde_json::from_str(&cell(row, "lost")).map_err(json)?,
            layout: serde_json::from_str(&cell(row, "layout")).map_err(json)?,
            rows: cell(row, "row_count").parse().unwrap_or(0),
            restored: restored.as_deref().map(serde_json::from_str).transpose().map_err(json)?,
        };
        found.push((cell(row, "state"), stored));
    }
    Ok(found)
}

/// What the archive keeps for an application, the oldest first.
pub(super) async fn list(mysql: &mut MySql, app: &str) -> Result<Vec<Entry>, DatabaseError> {
    let of_app = format!("app = {}", MySql::literal(app));
    let mut entries = Vec::new();
    for (_, stored) in stored(mysql, &of_app).await? {
        let sql = format!(
            "SELECT a.run AS run, a.track AS track, a.version AS version, a.direction AS direction,
                    DATE_FORMAT(a.since, '%Y-%m-%d %H:%i:%s') AS since,
                    TIMESTAMPDIFF(SECOND, a.since, UTC_TIMESTAMP()) AS age,
                    COALESCE((SELECT t.DATA_LENGTH + t.INDEX_LENGTH FROM information_schema.TABLES t
                              WHERE t.TABLE_SCHEMA = {} AND t.TABLE_NAME = '{PREFIX}{}'), 0) AS bytes
             FROM {} a WHERE a.id = {}",
            MySql::literal(&mysql.identity.database),
            stored.data,
            mysql.table(NAME),
            stored.id
        );
        let rows = mysql.fetch("read the archive", sql).await?;
        let Some(row) = rows.first() else { continue };
        entries.push(Entry {
            id: stored.id,
            run: optional(row, "run").and_then(|run| run.parse().ok()),
            track: TrackName(cell(row, "track")),
            version: cell(row, "version").parse().unwrap_or(0),
            direction: if cell(row, "direction") == "up" { Direction::Up } else { Direction::Down },
            since: cell(row, "since"),
            age: cell(row, "age").parse::<f64>().unwrap_or(0.0).max(0.0),
            columns: shown(&stored)
                .into_iter()
                .map(|at| stored.layout.columns[at].clone())
                .collect(),
            lost: stored.lost,
            rows: stored.rows,
            bytes: cell(row, "bytes").parse().unwrap_or(0),
            restored: stored.restored,
        });
    }
    Ok(entries)
}

/// The columns that an entry shows: of a lost one, what tells its rows apart and itself.
fn shown(stored: &Stored) -> Vec<usize> {
    let Layout { columns, renamed, .. } = &stored.layout;
    let own = |at: &usize| match &stored.lost {
        Lost::Column { column, .. } => {
            columns[*at] == *column || renamed.get(*at).is_some_and(Option::is_some)
        }
        _ => true,
    };
    (0..columns.len()).filter(own).collect()
}

async fn one(mysql: &mut MySql, id: EntryId) -> Result<Stored, DatabaseError> {
    let found = stored(mysql, &format!("id = {id}")).await?;
    let found = found.into_iter().next().ok_or(DatabaseError::NoEntry(id))?;
    if found.0 == "kept" {
        return Ok(found.1);
    }
    let reason = "the step that keeps it has not ended".to_owned();
    Err(DatabaseError::Entry { id, doing: "used", reason })
}

/// Rows of an entry. Bytes that are no text are written as `0x…`, and none as `x''`.
pub(super) async fn page(
    mysql: &mut MySql,
    id: EntryId,
    offset: u64,
    limit: u64,
) -> Result<Page, DatabaseError> {
    let stored = one(mysql, id).await?;
    let layout = &stored.layout;
    let shown = shown(&stored);
    let of = |from: &[String]| shown.iter().map(|at| from[*at].clone()).collect();
    let mut page = Page {
        columns: of(&layout.columns),
        types: of(&layout.types),
        key: layout.key.clone(),
        ..Page::default()
    };
    if !track::exists(mysql, &format!("{PREFIX}{}", stored.data)).await? {
        return Ok(page);
    }
    let is_bytes = |at: &usize| {
        let kind = layout.types[*at].to_lowercase();
        ["binary", "blob", "bit", "geometry"].iter().any(|it| kind.contains(it))
    };
    let value = |at: &usize| {
        let name = if layout.moved { MySql::quote(&layout.columns[*at]) } else { format!("c{at}") };
        if is_bytes(at) {
            return format!("IF(LENGTH({name}) = 0, 'x''''', CONCAT('0x', HEX({name}))) AS v{at}");
        }
        // A float is shown by fewer digits than it has.
        if layout.types[*at].to_lowercase().starts_with("float") {
            return format!("CONVERT({name} + 0e0 USING utf8mb4) AS v{at}");
        }
        format!("CONVERT({name} USING utf8mb4) AS v{at}")
    };
    let values: Vec<String> = shown.iter().map(value).collect();
    let order = match layout.moved {
        true => layout.key.iter().map(|name| MySql::quote(name)).collect::<Vec<_>>().join(", "),
        false => "n".to_owned(),
    };
    let order = if order.is_empty() { String::new() } else { format!("ORDER BY {order}") };
    let sql = format!(
        "SELECT {} FROM {} {order} LIMIT {limit} OFFSET {offset}",
        values.join(", "),
        data(mysql, stored.data)
    );
    for row in &mysql.fetch("read the archive", sql).await? {
        page.rows.push(shown.iter().map(|at| optional(row, &format!("v{at}"))).collect());
        page.literals.push(shown.iter().map(is_bytes).collect());
    }
    Ok(page)
}

/// Drops an entry; its rows go with the last one that has them.
pub(super) async fn forget(mysql: &mut MySql, id: EntryId) -> Result<(), DatabaseError> {
    let stored = one(mysql, id).await?;
    let index = mysql.table(NAME);
    let others =
        format!("SELECT COUNT(*) AS n FROM {index} WHERE data = {} AND id <> {id}", stored.data);
    let last = count(mysql, &others).await? == 0;
    let sql = format!("DELETE FROM {index} WHERE id = {id} LIMIT 1");
    mysql.commit("drop an entry of the archive", "", &sql).await?;
    if last {
        let sql = format!("DROP TABLE IF EXISTS {}", data(mysql, stored.data));
        mysql.run("drop an entry of the archive", sql).await?;
    }
    Ok(())
}

/// Puts an entry back now, together with those that share its rows.
pub(super) async fn put_back_one(mysql: &mut MySql, id: EntryId) -> Result<PutBack, DatabaseError> {
    let stored = one(mysql, id).await?;
    let condition = format!("data = {} AND state = 'kept'", stored.data);
    mysql.run("put back", STRICT.to_owned()).await?;
    let put = async {
        let waiting = restore::look_at(mysql, &condition, true).await?;
        put_back(mysql, waiting).await
    };
    let put = put.await;
    mysql.run("put back", LENIENT.to_owned()).await?;
    let put = put?.into_iter().find(|put| put.id == id);
    put.ok_or(DatabaseError::NoEntry(id))
}

/// Fills in what there is to lose. What somebody else drops meanwhile, or keeps locked, stays open.
pub(super) async fn measure(mysql: &mut MySql, losses: &mut [Loss]) -> Result<(), DatabaseError> {
    for loss in losses {
        let mut measured = loss.clone();
        match measure_one(mysql, &mut measured).await {
            Ok(()) => *loss = measured,
            // No such column, no such table; a lock that was not had.
            Err(error) if matches!(number(&error), Some(1054 | 1146 | 1205)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn measure_one(mysql: &mut MySql, loss: &mut Loss) -> Result<(), DatabaseError> {
    let (table, what) = match &loss.lost {
        Lost::Table { table } | Lost::Rows { table } => (table, "*".to_owned()),
        Lost::Column { table, column } => (table, MySql::quote(column)),
        Lost::Sequence { .. } => return Ok(()),
    };
    let Some(Shape { name, columns, .. }) = shape::look(mysql, table).await? else { return Ok(()) };
    if let Lost::Column { column, .. } = &loss.lost
        && !columns.iter().any(|it| it.name.eq_ignore_ascii_case(column))
    {
        return Ok(());
    }
    let sql = format!("SELECT COUNT({what}) AS n FROM {}", mysql.table(&name));
    loss.rows = Some(count(mysql, &sql).await?);
    // Which rows a body touches is known when it has run.
    loss.estimated = matches!(loss.lost, Lost::Rows { .. });
    if matches!(loss.lost, Lost::Table { .. }) {
        let sql = format!(
            "SELECT DATA_LENGTH + INDEX_LENGTH AS n FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            MySql::literal(&mysql.identity.database),
            MySql::literal(&name)
        );
        loss.bytes = Some(count(mysql, &sql).await?);
    }
    Ok(())
}
