//! The archive: what bodies would have destroyed, in the same database.
//!
//! `sternway.archive` says what is kept, `sternway.kept_N` has the rows of entry N. Values of the
//! server's own types are kept as they are; those of types that people made, as text, because a later
//! body may drop the type.

pub(super) mod anew;
pub(super) mod keep;
pub(super) mod relocate;
pub(super) mod restore;
mod conflicts;
pub(super) mod merge;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sternway_model::archive::{Conflict, Entry, EntryId, Page, Restoration, Restored};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Lost;
use sternway_model::plan::Migrate;
use sternway_model::proof::ObjectName;

use super::effects::{FIRST_OID, json};
use super::records::unreadable;
use super::{Postgres, failed, literal};
use crate::archive::{direction, left, reason};
use crate::asked::Misfits;
use crate::port::DatabaseError;
use crate::records::damaged;

/// The index of the archive.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS sternway.archive (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL, schema text NOT NULL, run bigint, track text NOT NULL, version bigint NOT NULL,
    direction text NOT NULL, kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lost text NOT NULL, detail text NOT NULL, rows bigint,
    restored_at timestamptz, back bigint, misfits text
);
";

/// The column of a kept table that says why a row cannot be restored.
const CONFLICT: &str = "sternway_misfit";
/// The column of kept rows that has what the body made of them, by column, as text.
const AFTER: &str = "sternway_after";

/// The column of kept columns that tells whether the rest of a row has changed: the hash of each value.
const REST: &str = "sternway_rest";

/// The column of kept columns that has what the other half would have made of the row when it was kept,
/// as hashes in the order of the columns; nothing where that is what the row had, and none where it would
/// not have made the row.
const ANEW: &str = "sternway_anew";

/// The hash of a value.
fn hash(value: &str) -> String {
    format!("pg_catalog.hashtextextended({value}::text COLLATE pg_catalog.\"C\", 0)")
}

/// What restoring an entry needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Detail {
    /// The table's schema and name.
    pub schema: String,
    pub table: String,
    /// The columns of the kept table, without those of our own.
    pub columns: Vec<KeptColumn>,
    /// The columns that tell the rows of the table apart; none where it has no key.
    pub key: Vec<String>,
    /// The columns whose values went, where the table stayed.
    pub lost: Vec<String>,
    /// Whether the body put rows somewhere.
    pub carries: bool,
    /// Whether the columns stayed with other values, which are kept beside the old ones.
    #[serde(default)]
    pub retyped: bool,
    /// Whether rows were changed that cannot be found again.
    pub uncertain: bool,
    /// What the sequence belongs to: the table and the column.
    pub owner: Option<(String, String)>,
    /// The columns that stayed beside the lost ones, in the order of their hashes.
    #[serde(default)]
    pub rest: Vec<String>,
    /// The columns that the body made beside the lost ones, where the other half may read them.
    #[serde(default)]
    pub made: Vec<String>,
    /// Whether it is noted what the other half would have made of the columns.
    #[serde(default)]
    pub anew: bool,
    /// Whether it is noted, too, which of the rows the other half would have made.
    #[serde(default)]
    pub remade: bool,
    /// What made it together with others, where that was no run.
    #[serde(default)]
    pub batch: Option<String>,
}

/// A column of a kept table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptColumn {
    pub name: String,
    /// Its type in the table that it came from.
    pub type_name: String,
    /// Whether it is kept as text.
    pub text: bool,
    pub generated: bool,
}

/// An entry with all that restoring it needs.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub entry: Entry,
    pub detail: Detail,
}

impl Stored {
    /// The table that has its rows.
    pub fn store(&self) -> String {
        store(self.entry.id)
    }

    /// The table that they came from.
    pub fn table(&self) -> String {
        let Detail { schema, table, .. } = &self.detail;
        format!("{}.{}", Postgres::quote(schema), Postgres::quote(table))
    }

    /// The columns of which it is noted what the other half makes of them, where it is: those that went, or
    /// all beside the key of rows that did.
    pub fn noted(&self) -> Vec<&String> {
        let Detail { columns, key, lost, .. } = &self.detail;
        match self.entry.lost {
            Lost::Column { .. } => lost.iter().collect(),
            _ => {
                let plain = columns.iter().filter(|it| !it.generated && !key.contains(&it.name));
                plain.map(|it| &it.name).collect()
            }
        }
    }

    /// What it is, for whoever reads what was restored.
    pub fn restoration(&self, restored: Restored) -> Restoration {
        Restoration { id: self.entry.id, lost: self.entry.lost.clone(), restored }
    }
}

/// The table that has the rows of an entry.
pub(super) fn store(id: EntryId) -> String {
    format!("sternway.kept_{id}")
}

/// Which entries.
pub(super) enum Which<'a> {
    /// All of an application.
    Of(&'a str),
    /// This one.
    One(EntryId),
    /// These.
    Among(&'a [EntryId]),
    /// Those that a run has made of one half of a migration.
    OfRun { run: i64, track: &'a TrackName, version: u64, direction: Direction },
    /// Those of one half of a migration that nobody has restored yet.
    Waiting { app: &'a str, track: &'a TrackName, version: u64, direction: Direction },
}

/// Reads entries, the oldest first; none where there is no archive.
pub(super) async fn stored(
    postgres: &mut Postgres,
    which: Which<'_>,
) -> Result<Vec<Stored>, DatabaseError> {
    let doing = "read the archive";
    let there = "SELECT pg_catalog.to_regclass('sternway.archive') IS NOT NULL".to_owned();
    // Without USAGE on the schema, to_regclass itself is refused.
    let there = postgres.ask_one(doing, there).await.map_err(unreadable)?;
    if !there.try_get::<bool, _>(0).map_err(failed(doing))? {
        return Ok(Vec::new());
    }
    let schema = literal(&postgres.identity.schema);
    let filter = match which {
        Which::Of(app) => format!("app = {} AND schema = {schema}", literal(app)),
        Which::One(id) => format!("id = {id}"),
        Which::Among(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!("id = ANY ('{{{}}}'::bigint[])", ids.join(","))
        }
        Which::OfRun { run, track, version, direction } => format!(
            "run = {run} AND track = {} AND version = {} AND direction = {} AND restored_at IS NULL",
            literal(&track.0),
            i64::try_from(version).unwrap_or(i64::MAX),
            literal(&direction.to_string()),
        ),
        Which::Waiting { app, track, version, direction } => format!(
            "app = {} AND schema = {schema} AND track = {} AND version = {} AND direction = {}
             AND restored_at IS NULL",
            literal(app),
            literal(&track.0),
            i64::try_from(version).unwrap_or(i64::MAX),
            literal(&direction.to_string()),
        ),
    };
    #[derive(Deserialize)]
    struct Read {
        id: EntryId,
        run: Option<i64>,
        track: String,
        version: u64,
        direction: String,
        since: String,
        age: f64,
        lost: String,
        detail: String,
        rows: Option<u64>,
        bytes: u64,
        back: Option<u64>,
        misfits: Option<String>,
    }
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'id', id, 'run', run, 'track', track, 'version', version, 'direction', direction,
            'since', pg_catalog.to_char(kept_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
            'age', extract(epoch FROM pg_catalog.clock_timestamp() - kept_at)::float8,
            'lost', lost, 'detail', detail, 'rows', rows,
            'bytes', coalesce(pg_catalog.pg_total_relation_size(
                pg_catalog.to_regclass('sternway.kept_' || id)), 0),
            'back', back, 'misfits', misfits) ORDER BY id), '[]')::text
         FROM sternway.archive WHERE {filter}"
    );
    let read: Vec<Read> = json(postgres, doing, sql).await.map_err(unreadable)?;
    let mut found = Vec::new();
    for it in read {
        let rows = match it.rows {
            Some(rows) => rows,
            None => counted(postgres, it.id).await?,
        };
        let lost: Lost = serde_json::from_str(&it.lost).map_err(|e| damaged(&e))?;
        let detail: Detail = serde_json::from_str(&it.detail).map_err(|e| damaged(&e))?;
        let misfits = it.misfits.as_deref().unwrap_or("[]");
        let conflicts: Vec<Conflict> = serde_json::from_str(misfits).map_err(|e| damaged(&e))?;
        let entry = Entry {
            id: it.id,
            run: it.run,
            track: TrackName(it.track),
            version: it.version,
            direction: direction(&it.direction)?,
            since: it.since,
            age: it.age,
            lost,
            columns: detail.columns.iter().map(|it| it.name.clone()).collect(),
            rows,
            bytes: it.bytes,
            restored: it.back.map(|back| Restored { back, conflicts }),
        };
        found.push(Stored { entry, detail });
    }
    Ok(found)
}

/// How many rows a table has that was relocated uncounted.
async fn counted(postgres: &mut Postgres, id: EntryId) -> Result<u64, DatabaseError> {
    let sql = format!("SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {}", store(id));
    json(postgres, "count what is kept", sql).await
}

/// One entry, or the error that there is none.
async fn one(postgres: &mut Postgres, id: EntryId) -> Result<Stored, DatabaseError> {
    let mut found = stored(postgres, Which::One(id)).await?;
    found.pop().ok_or(DatabaseError::NoEntry(id))
}

/// Rows of an entry. Those that do not fit have a column that says why.
pub(super) async fn page(
    postgres: &mut Postgres,
    id: EntryId,
    offset: u64,
    limit: u64,
) -> Result<Page, DatabaseError> {
    let doing = "read the archive";
    let stored = one(postgres, id).await?;
    let columns = &stored.detail.columns;
    let mut page = Page {
        columns: columns.iter().map(|it| it.name.clone()).collect(),
        types: columns.iter().map(|it| it.type_name.clone()).collect(),
        generated: columns.iter().filter(|it| it.generated).map(|it| it.name.clone()).collect(),
        key: stored.detail.key.clone(),
        changed: match stored.entry.lost {
            Lost::Rows { .. } => stored.detail.lost.clone(),
            _ => Vec::new(),
        },
        ..Page::default()
    };
    let cells = columns.iter().map(|it| format!("{}::text", Postgres::quote(&it.name)));
    let cells: Vec<String> = cells.collect();
    let list = if cells.is_empty() { "NULL::text".to_owned() } else { cells.join(", ") };
    let store = stored.store();
    // In the order of their places. The page after one that was read begins at the place where that
    // ended, so that nothing before it is read again.
    let from = match &postgres.paged {
        Some((of, end, place)) if (*of, *end) == (id, offset) => {
            format!("WHERE ctid > {}::tid ORDER BY ctid LIMIT {limit}", literal(place))
        }
        _ => format!("ORDER BY ctid LIMIT {limit} OFFSET {offset}"),
    };
    // As `ctid` the text would be what the server sorts by.
    let sql = format!("SELECT {list}, ctid::text AS sternway_at FROM {store} {from}");
    let rows = postgres.ask(doing, sql).await?;
    let place = columns.len().max(1);
    let last = rows.last().map(|row| row.try_get(place)).transpose().map_err(failed(doing))?;
    postgres.paged = last.map(|place| (id, offset + rows.len() as u64, place));
    for row in rows {
        let cell = |index: usize| row.try_get::<Option<String>, _>(index).map_err(failed(doing));
        page.rows.push((0..columns.len()).map(cell).collect::<Result<_, _>>()?);
    }
    Ok(page)
}

/// As [`crate::port::Archive::gives`].
pub(super) async fn gives(
    postgres: &mut Postgres,
    app: &str,
    step: &Migrate,
    column: &ObjectName,
) -> Result<Misfits, DatabaseError> {
    let table = column.table.as_deref().unwrap_or_default();
    let (track, version, direction) = (&step.track, step.version, step.direction.opposite());
    let waiting = stored(postgres, Which::Waiting { app, track, version, direction }).await?;
    let schema = &postgres.identity.schema;
    let plain = |name: &str| name.replace('"', "");
    let has = |it: &&Stored| {
        let Detail { schema: of, table: own, lost, .. } = &it.detail;
        let full = format!("{of}.{own}");
        let same = plain(table) == full || (of == schema && plain(table) == *own);
        same && lost.contains(&plain(&column.name))
    };
    let has: Vec<&Stored> = waiting.iter().filter(has).collect();
    let there = match has.iter().any(|it| it.detail.key.is_empty()) {
        true => columns_of(postgres, table).await?,
        false => Vec::new(),
    };
    let given = has.iter().map(|it| {
        let (store, name) = (it.store(), &column.name);
        if it.detail.key.is_empty() {
            let stays = |name: &&String| {
                let is_kept = it.detail.columns.iter().any(|kept| kept.name == **name);
                is_kept && !it.detail.lost.contains(*name)
            };
            let names = there.iter().filter(stays).map(|name| Postgres::quote(name));
            let names: Vec<String> = names.collect();
            let row = |of: &str| {
                let cells: Vec<String> =
                    names.iter().map(|name| format!("{of}.{name}::text")).collect();
                format!("ROW({})::text", cells.join(", "))
            };
            // Rows that look alike have one another's values, where there are as many.
            return format!(
                " AND (SELECT count(k.{name}) FROM {store} AS k WHERE k.{CONFLICT} IS NULL AND {} = {})
                   < (SELECT count(*) FROM {table} AS o WHERE {} = {})",
                row("k"), row("t"), row("o"), row("t")
            );
        }
        let key = it.detail.key.iter().map(|name| Postgres::quote(name));
        let same = key.map(|name| format!("k.{name}::text = t.{name}::text"));
        let same = same.collect::<Vec<_>>().join(" AND ");
        format!(" AND NOT EXISTS (SELECT FROM {store} AS k WHERE {same} AND k.{name} IS NOT NULL)")
    });
    let given: String = given.collect();
    Ok(Misfits::of(format!("SELECT 1 AS n FROM {table} AS t WHERE true{given}")))
}

/// The columns of a table that hold values of their own.
async fn columns_of(postgres: &mut Postgres, table: &str) -> Result<Vec<String>, DatabaseError> {
    let doing = "read the columns of a table";
    let sql = format!(
        "SELECT attname::text FROM pg_catalog.pg_attribute
         WHERE attrelid = {}::pg_catalog.regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
         ORDER BY attnum",
        literal(table)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    let rows = rows.fetch_all(&mut postgres.connection).await.map_err(failed(doing))?;
    rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
}

/// Drops an entry with its rows.
pub(super) async fn drop_entry(postgres: &mut Postgres, id: EntryId) -> Result<(), DatabaseError> {
    let stored = one(postgres, id).await?;
    let drop = dropping(stored.entry.id);
    let ended = postgres.run("drop an entry of the archive", format!("BEGIN; {drop} COMMIT")).await;
    if ended.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    ended
}

/// Lets entries stay that nobody is to restore by itself.
pub(super) async fn leave(
    postgres: &mut Postgres,
    ids: &[EntryId],
) -> Result<Vec<Restoration>, DatabaseError> {
    let (mut sql, mut all) = (String::new(), Vec::new());
    for it in stored(postgres, Which::Among(ids)).await? {
        let (id, store, rows) = (it.entry.id, it.store(), it.entry.rows);
        let restoration = left(&it.entry);
        let conflicts = serde_json::to_string(&restoration.restored.conflicts).unwrap_or_default();
        sql.push_str(&format!(
            "UPDATE {store} SET {CONFLICT} = {why};
             UPDATE sternway.archive SET restored_at = pg_catalog.clock_timestamp(), back = 0, rows = {rows},
                 misfits = {conflicts} WHERE id = {id};",
            why = literal(reason::left(&it.entry.lost)),
            conflicts = literal(&conflicts),
        ));
        all.push(restoration);
    }
    let ended = postgres.run("leave what was kept", format!("BEGIN; {sql} COMMIT")).await;
    if ended.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    ended.map(|()| all)
}

/// The columns of kept tables that rest on a type or a collation that people made: table, column.
pub(super) async fn bound(postgres: &mut Postgres) -> Result<Vec<(String, String)>, DatabaseError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(c.relname, a.attname)
                                             ORDER BY c.oid, a.attnum), '[]')::text
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = pg_catalog.to_regnamespace('sternway') AND c.relkind = 'r'
           AND c.relname ^@ 'kept_' AND a.attnum > 0 AND NOT a.attisdropped
           AND (a.atttypid >= {FIRST_OID} OR a.attcollation >= {FIRST_OID})"
    );
    json(postgres, "look at the archive", sql).await
}

/// Makes such columns text, so that what they rest on can be dropped.
pub(super) async fn loosen(
    postgres: &mut Postgres,
    bound: &[(String, String)],
) -> Result<(), DatabaseError> {
    let change = |(table, column): &(String, String)| {
        let (table, column) = (Postgres::quote(table), Postgres::quote(column));
        format!(
            "ALTER TABLE sternway.{table} ALTER COLUMN {column} TYPE pg_catalog.text COLLATE pg_catalog.\"default\" USING {column}::pg_catalog.text;"
        )
    };
    let changes: String = bound.iter().map(change).collect();
    postgres.run("keep values as text", changes).await
}

/// What drops an entry.
fn dropping(id: EntryId) -> String {
    format!(
        "DROP TABLE IF EXISTS {store}; DELETE FROM sternway.archive WHERE id = {id};",
        store = store(id)
    )
}
