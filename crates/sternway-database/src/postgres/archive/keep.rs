//! Keeping what a body takes away, before it runs; and, once it has run, dropping what it did not
//! take after all.

use std::collections::BTreeSet;

use serde::Deserialize;
use sqlx::Row;
use sternway_model::archive::{EntryId, Preserved};
use sternway_model::effect::Lost;

use super::relocate::{self, Relocation};
use super::{AFTER, CONFLICT, Detail, KeptColumn, REST, dropping, hash, store};
use crate::failpoint::{Rule, holds};
use crate::port::{DatabaseError, Preservation};
use crate::postgres::effects::{Column, Oid, Relation, Snapshot, Taken, WrittenTable, json};
use crate::postgres::{Postgres, failed, literal};

const DOING: &str = "keep what the body destroys";

/// Tables that are relocated are counted up to this size, in bytes: it takes some milliseconds.
const COUNTED: u64 = 4 << 20;

/// The columns that say where a row was that a body may have changed, until it has run.
const PART: &str = "sternway_part";
const PLACE: &str = "sternway_place";

/// Something kept, until the body has run.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Keeping {
    pub id: EntryId,
    pub lost: Lost,
    pub detail: Detail,
    pub rows: u64,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// The rows that a body changed or deleted, which are compared once it has run.
    pub written: Option<WrittenTable>,
    /// The table of kept rows and columns, as it was called before the body.
    pub relation: Option<Relation>,
}

/// How whole tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Means {
    /// Relocated, where that can be done.
    Relocation,
    /// Copied.
    Copy,
}

/// The looks at the catalogs that say what is kept.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct Looks<'a> {
    /// What there is now.
    pub before: &'a Snapshot,
    /// What there was before the whole body, whose names the other half will meet.
    pub known: &'a Snapshot,
}

impl Looks<'_> {
    fn table(&self, oid: &Oid) -> Option<Source> {
        let is = self.before.relations.get(oid)?.clone();
        let Some(was) = self.known.relations.get(oid) else {
            return Some(Source { known: is.clone(), is });
        };
        let columns = is.columns.iter().filter_map(|it| {
            let was = was.columns.iter().find(|was| was.number == it.number)?;
            let (name, shown) = (was.name.clone(), was.shown.clone());
            Some(Column { name, shown, ..it.clone() })
        });
        let known = Relation {
            schema: was.schema.clone(),
            name: was.name.clone(),
            shown: was.shown.clone(),
            columns: columns.collect(),
            ..is.clone()
        };
        Some(Source { is, known })
    }
}

/// What keeps something.
pub(in crate::postgres) struct Owner<'a> {
    pub care: &'a Preservation<'a>,
    pub run: Option<i64>,
    /// What tells what it keeps from what others do, where that is no run.
    pub batch: Option<String>,
}

/// Where something is kept from.
#[derive(Debug, Clone)]
struct Source {
    /// As it is called now.
    is: Relation,
    /// As it was called before the body, with the columns that it had.
    known: Relation,
}

impl Source {
    /// A column in the list of what is copied.
    fn copied(&self, column: &KeptColumn, number: i64) -> String {
        let known = Postgres::quote(&column.name);
        let is = self.now(number, &column.name);
        match (column.text, is == known) {
            // Nor must it rest on a collation that somebody made.
            (true, _) => format!("{is}::text COLLATE pg_catalog.\"default\" AS {known}"),
            (false, true) => is,
            (false, false) => format!("{is} AS {known}"),
        }
    }

    /// What a column is called now, that was once called `known`.
    fn now(&self, number: i64, known: &str) -> String {
        let is = self.is.columns.iter().find(|it| it.number == number);
        Postgres::quote(is.map_or(known, |it| &it.name))
    }

    /// The columns to keep at which `wanted` holds, and the list of what is copied for them.
    fn columns(&self, wanted: impl Fn(&Column) -> bool) -> (Vec<KeptColumn>, Vec<String>) {
        let columns = self.known.columns.iter().filter(|it| wanted(it));
        let columns = columns.map(|it| {
            let kept = kept_column(it);
            let copied = self.copied(&kept, it.number);
            (kept, copied)
        });
        columns.unzip()
    }

    /// Whether it is still called as it was, with all its columns.
    fn is_known(&self) -> bool {
        let names = |of: &Relation| of.columns.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        self.is.sql() == self.known.sql() && names(&self.is) == names(&self.known)
    }
}

/// Keeps all that `taken` says. The tables are locked.
pub(in crate::postgres) async fn keep(
    postgres: &mut Postgres,
    owner: Owner<'_>,
    looks: Looks<'_>,
    taken: &Taken,
    transaction: i64,
    means: Means,
) -> Result<Vec<Keeping>, DatabaseError> {
    let mut kept = Vec::new();
    let relation = |oid: &Oid| looks.table(oid);
    let mut copier = Copier { postgres, owner };
    // The positions of sequences first: a table that is moved takes its own along.
    for sequence in taken.sequences.iter().filter_map(relation) {
        kept.push(copier.sequence(&sequence).await?);
    }
    for table in taken.rows.iter() {
        let Some(relation) = relation(&table.table) else { continue };
        kept.push(copier.rows(&relation, table, transaction).await?);
    }
    for (oid, numbers) in &taken.columns {
        let Some(relation) = relation(oid) else { continue };
        kept.push(copier.columns(&relation, numbers).await?);
    }
    let tables: Vec<Source> = taken.tables.iter().filter_map(relation).collect();
    let names: Vec<String> = tables.iter().map(|it| it.is.full.clone()).collect();
    let mut moves = Relocation::default();
    for table in &tables {
        let movable =
            means == Means::Relocation && relocate::is_movable(&table.is) && table.is_known();
        let movable = movable && !taken.read.contains(&table.is.oid);
        let relocation = movable.then_some((&mut moves, &names[..]));
        kept.push(copier.table(table, taken.carries(table.is.oid), relocation).await?);
    }
    moves.run(postgres).await?;
    Ok(kept)
}

/// The columns of the table's key, as `relation` calls them: of the primary key, or of a unique index that leaves out no row.
/// Of `lost` columns there is none.
pub(super) async fn key(
    postgres: &mut Postgres,
    relation: &Relation,
    lost: &[i64],
) -> Result<Vec<String>, DatabaseError> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(columns ORDER BY rank, width, index), '[]')::text FROM (
            SELECT NOT i.indisprimary AS rank, i.indnkeyatts AS width, i.indexrelid AS index,
                   pg_catalog.json_agg(a.attnum ORDER BY k.place) AS columns
            FROM pg_catalog.pg_index i
            CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
            WHERE i.indrelid = {}::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
              AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
            GROUP BY i.indexrelid, i.indisprimary, i.indnkeyatts
            HAVING pg_catalog.bool_and(a.attnotnull)) AS found",
        relation.oid
    );
    let keys: Vec<Vec<i64>> = json(postgres, DOING, sql).await?;
    let stays = |number: &i64| {
        let known = relation.columns.iter().find(|it| it.number == *number)?;
        (!lost.contains(number)).then(|| known.name.clone())
    };
    let mut keys = keys.into_iter().map(|key| key.iter().map(stays).collect::<Option<Vec<_>>>());
    Ok(keys.find_map(|key| key).unwrap_or_default())
}

/// What a column is kept as.
pub(super) fn kept_column(column: &Column) -> KeptColumn {
    KeptColumn {
        name: column.name.clone(),
        type_name: column.type_name.clone(),
        text: column.foreign,
        generated: column.generated,
    }
}

struct Copier<'a, 'c> {
    postgres: &'a mut Postgres,
    owner: Owner<'c>,
}

impl Copier<'_, '_> {
    /// Notes an entry in the index.
    async fn note(&mut self, lost: Lost, detail: Detail) -> Result<Keeping, DatabaseError> {
        let Preservation { app, track, version, direction, .. } = self.owner.care;
        let run = self.owner.run.map_or("NULL".to_owned(), |it| it.to_string());
        let sql = format!(
            "INSERT INTO sternway.archive (app, schema, run, track, version, direction, lost, detail, rows)
             VALUES ({}, {}, {run}, {}, {}, {}, {}, {}, 0) RETURNING id",
            literal(app),
            literal(&self.postgres.identity.schema),
            literal(&track.0),
            i64::try_from(*version).unwrap_or(i64::MAX),
            literal(&direction.to_string()),
            literal(&serde_json::to_string(&lost).unwrap_or_default()),
            literal(&serde_json::to_string(&detail).unwrap_or_default()),
        );
        let id = self.postgres.ask_one(DOING, sql).await?.try_get(0).map_err(failed(DOING))?;
        Ok(Keeping { id, lost, detail, rows: 0, estimated: false, written: None, relation: None })
    }

    fn detail(&self, relation: &Relation, columns: Vec<KeptColumn>, key: Vec<String>) -> Detail {
        Detail {
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            columns,
            key,
            lost: Vec::new(),
            carries: false,
            retyped: false,
            uncertain: false,
            owner: None,
            rest: Vec::new(),
            made: Vec::new(),
            anew: false,
            remade: false,
            batch: self.owner.batch.clone(),
        }
    }

    /// Copies what `select` says to the entry's table, and counts it.
    async fn copy(&mut self, kept: &mut Keeping, select: &str) -> Result<(), DatabaseError> {
        let store = store(kept.id);
        let sql = format!("CREATE TABLE {store} AS {select}");
        kept.rows = self.postgres.count(DOING, sql).await?;
        // It has no key, and is published where all tables are.
        let identity = format!("ALTER TABLE {store} REPLICA IDENTITY FULL");
        self.postgres.run(DOING, identity).await
    }

    /// Relocates a table, where that is wanted and can be done, and copies it otherwise.
    async fn table(
        &mut self,
        source: &Source,
        carries: bool,
        relocation: Option<(&mut Relocation, &[String])>,
    ) -> Result<Keeping, DatabaseError> {
        let Source { is: relation, known } = source;
        let (columns, list) = source.columns(|_| true);
        let key = key(self.postgres, known, &[]).await?;
        let detail = Detail { carries, ..self.detail(known, columns, key) };
        let lost = Lost::Table { table: known.shown.clone() };
        let mut kept = self.note(lost, detail).await?;
        if let Some((moves, others)) = relocation
            && moves.add(self.postgres, relation, &format!("kept_{}", kept.id), others).await?
        {
            let (rows, estimated) = self.rows_of(relation).await?;
            (kept.rows, kept.estimated) = (rows, estimated);
            return Ok(kept);
        }
        let select = format!("SELECT {} FROM {}", list.join(", "), relation.rows());
        self.copy(&mut kept, &select).await?;
        Ok(kept)
    }

    /// How many rows a table has, counted where that is quickly done, and estimated otherwise.
    async fn rows_of(&mut self, relation: &Relation) -> Result<(u64, bool), DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.json_build_array(pg_catalog.pg_relation_size({oid}::oid),
                greatest(pg_catalog.pg_stat_get_live_tuples({oid}::oid),
                         (SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = {oid}::oid), 0))::text",
            oid = relation.oid
        );
        let (bytes, about): (u64, u64) = json(self.postgres, DOING, sql).await?;
        if bytes > COUNTED {
            return Ok((about, true));
        }
        let sql = format!(
            "SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {}",
            relation.rows()
        );
        Ok((json(self.postgres, DOING, sql).await?, false))
    }

    async fn columns(
        &mut self,
        source: &Source,
        numbers: &[i64],
    ) -> Result<Keeping, DatabaseError> {
        let Source { is: relation, known } = source;
        let key = key(self.postgres, known, numbers).await?;
        let goes = |it: &Column| numbers.contains(&it.number);
        // Without a key, all that stays has to tell where a value came from.
        let tells = |it: &Column| key.is_empty() || key.contains(&it.name);
        let (columns, mut list) = source.columns(|it| goes(it) || tells(it));
        let stays = |it: &&Column| !goes(it) && !tells(it) && !it.generated;
        let rest: Vec<&Column> = known.columns.iter().filter(stays).collect();
        if !rest.is_empty() {
            let hashes = rest.iter().map(|it| hash(&source.now(it.number, &it.name)));
            let hashes = hashes.collect::<Vec<_>>().join(", ");
            list.push(format!("ARRAY[{hashes}]::bigint[] AS {REST}"));
        }
        let rest = rest.iter().map(|it| it.name.clone()).collect();
        let lost: Vec<&Column> = known.columns.iter().filter(|it| goes(it)).collect();
        let mut detail = Detail { rest, ..self.detail(known, columns, key) };
        detail.lost = lost.iter().map(|it| it.name.clone()).collect();
        let column = lost.iter().map(|it| it.shown.as_str()).collect::<Vec<_>>().join(", ");
        let lost = Lost::Column { table: known.shown.clone(), column };
        let mut kept = self.note(lost, detail).await?;
        let select = format!("SELECT {} FROM {}", list.join(", "), relation.rows());
        self.copy(&mut kept, &select).await?;
        kept.relation = Some(known.clone());
        Ok(kept)
    }

    async fn rows(
        &mut self,
        source: &Source,
        written: &WrittenTable,
        transaction: i64,
    ) -> Result<Keeping, DatabaseError> {
        let Source { is: relation, known } = source;
        let (columns, mut list) = source.columns(|_| true);
        list.push(format!("NULL::jsonb AS {AFTER}"));
        if !written.rewritten {
            list.extend([format!("tableoid AS {PART}"), format!("ctid AS {PLACE}")]);
        }
        let key = key(self.postgres, known, &[]).await?;
        let detail = self.detail(known, columns, key);
        let lost = Lost::Rows { table: known.shown.clone() };
        let mut kept = self.note(lost, detail).await?;
        let filter = if written.rewritten { String::new() } else { ended_by(transaction) };
        let select = format!("SELECT {} FROM {} {filter}", list.join(", "), relation.rows());
        self.copy(&mut kept, &select).await?;
        kept.written = Some(written.clone());
        kept.relation = Some(known.clone());
        Ok(kept)
    }

    async fn sequence(&mut self, source: &Source) -> Result<Keeping, DatabaseError> {
        let Source { is: relation, known } = source;
        let owner = format!(
            "SELECT coalesce((SELECT pg_catalog.json_build_array(t.relname, a.attname)
                FROM pg_catalog.pg_depend d
                JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
                JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = {}::oid
                  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
                LIMIT 1), 'null')::text",
            relation.oid
        );
        let owner: Option<(String, String)> = json(self.postgres, DOING, owner).await?;
        let column = |name: &str, type_name: &str| KeptColumn {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            text: false,
            generated: false,
        };
        let columns = vec![column("last_value", "bigint"), column("is_called", "boolean")];
        let mut detail = self.detail(known, columns, Vec::new());
        detail.owner = owner;
        let lost = Lost::Sequence { sequence: known.shown.clone() };
        let mut kept = self.note(lost, detail).await?;
        let select = format!("SELECT last_value, is_called FROM {}", relation.sql());
        self.copy(&mut kept, &select).await?;
        Ok(kept)
    }
}

/// The rows that this transaction has ended, even if that was taken back: the mark stays in them.
/// Locks of other sessions are never newer, because the table is locked against them. Rows that carry
/// several marks at once are taken as well: those that the body left alone are found out later.
fn ended_by(transaction: i64) -> String {
    format!(
        "WHERE (xmax::text::bigint - {transaction} + 4294967296) % 4294967296 BETWEEN 1 AND 2147483647
            OR (xmax <> '0'::xid AND pg_catalog.mxid_age(xmax) BETWEEN 1 AND 10000000)"
    )
}

/// Drops what the body did not take after all, and notes what it made of what it changed. Returns
/// what is kept.
pub(in crate::postgres) async fn conclude(
    postgres: &mut Postgres,
    keepings: Vec<Keeping>,
    after: &Snapshot,
) -> Result<Vec<Preserved>, DatabaseError> {
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    for mut keeping in keepings {
        if let (Lost::Column { .. }, Some(of)) = (&keeping.lost, &keeping.relation) {
            for rows in deleted.iter().filter(|it: &&DeletedRows| it.oid == of.oid) {
                let pruned = without(postgres, &keeping, rows).await?;
                keeping.rows = keeping.rows.saturating_sub(pruned);
            }
        }
        if let (Some(written), Some(was)) = (keeping.written.clone(), keeping.relation.clone())
            && let Some(is) = after.relations.get(&was.oid)
        {
            compare(postgres, &mut keeping, &written, &was, is).await?;
            if keeping.rows == 0 {
                postgres.run(DOING, dropping(keeping.id)).await?;
                continue;
            }
            if written.deleted > 0 && !keeping.detail.uncertain {
                let key = keeping.detail.key.clone();
                deleted.push(DeletedRows { oid: was.oid, id: keeping.id, key });
            }
        }
        let Keeping { id, lost, rows, estimated, detail, written, .. } = keeping;
        let places = match written {
            Some(written) if !written.rewritten => {
                format!(", DROP COLUMN {PART}, DROP COLUMN {PLACE}")
            }
            _ => String::new(),
        };
        let exact = if estimated { "NULL".to_owned() } else { rows.to_string() };
        let sql = format!(
            "UPDATE sternway.archive SET rows = {exact}, detail = {}, lost = {} WHERE id = {id};
             ALTER TABLE {} ADD COLUMN {CONFLICT} text{places}",
            literal(&serde_json::to_string(&detail).unwrap_or_default()),
            literal(&serde_json::to_string(&lost).unwrap_or_default()),
            store(id)
        );
        postgres.run(DOING, sql).await?;
        kept.push(Preserved { id, lost, rows, estimated });
    }
    Ok(kept)
}

/// The entry of rows that a body has deleted, whole.
struct DeletedRows {
    oid: Oid,
    id: EntryId,
    key: Vec<String>,
}

/// Drops from a column's entry the values of rows that the same body has deleted: they are in the entry of
/// these rows, and a row that has their key later is another one. Returns how many they were.
async fn without(
    postgres: &mut Postgres,
    column: &Keeping,
    rows: &DeletedRows,
) -> Result<u64, DatabaseError> {
    if rows.key.is_empty() || rows.key != column.detail.key || !holds(Rule::DeletedApart) {
        return Ok(0);
    }
    let same = rows.key.iter().map(|it| Postgres::quote(it)).map(|it| format!("k.{it} = r.{it}"));
    let sql = format!(
        "DELETE FROM {} AS k USING {} AS r WHERE r.{AFTER} IS NULL AND {}",
        store(column.id),
        store(rows.id),
        same.collect::<Vec<_>>().join(" AND ")
    );
    postgres.count(DOING, sql).await
}

/// Compares kept rows with what the body made of them.
async fn compare(
    postgres: &mut Postgres,
    keeping: &mut Keeping,
    written: &WrittenTable,
    was: &Relation,
    is: &Relation,
) -> Result<(), DatabaseError> {
    let store = store(keeping.id);
    // By number: the body may have given a column another name.
    let stays: Vec<(&Column, &Column)> = was
        .columns
        .iter()
        .filter(|it| !it.generated)
        .filter_map(|it| Some((it, is.columns.iter().find(|now| now.number == it.number)?)))
        .collect();
    let pairs: Vec<(String, String)> = stays
        .iter()
        .map(|(was, now)| {
            (
                format!("k.{}::text", Postgres::quote(&was.name)),
                format!("t.{}::text", Postgres::quote(&now.name)),
            )
        })
        .collect();
    let names: BTreeSet<&str> = stays.iter().map(|(was, _)| was.name.as_str()).collect();
    let keyed = !keeping.detail.key.is_empty()
        && keeping.detail.key.iter().all(|it| names.contains(it.as_str()));
    if !keyed {
        keeping.detail.key.clear();
        let retyped = stays
            .iter()
            .filter(|(was, now)| was.type_oid != now.type_oid || was.type_name != now.type_name);
        let retyped: Vec<&Column> = retyped.map(|(was, _)| *was).collect();
        let sql =
            format!("SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {}", is.rows());
        let left: u64 = if written.rewritten { json(postgres, DOING, sql).await? } else { 0 };
        if !retyped.is_empty() && left == keeping.rows && written.updated + written.deleted == 0 {
            // No row went; the values of these columns did, and what stayed tells whose they are.
            keeping.detail.lost = retyped.iter().map(|it| it.name.clone()).collect();
            let column = retyped.iter().map(|it| it.shown.as_str()).collect::<Vec<_>>().join(", ");
            keeping.lost = Lost::Column { table: was.shown.clone(), column };
            keeping.detail.retyped = true;
            return note_retyped(postgres, &store, &keeping.detail.lost, &stays, is).await;
        }
        let (old, new): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let sql = format!(
            "DELETE FROM {store} WHERE ctid IN (
                SELECT k.place FROM
                    (SELECT k.ctid AS place, r.value, pg_catalog.row_number() OVER (PARTITION BY r.value) AS number
                     FROM {store} k CROSS JOIN LATERAL (SELECT ROW({})::text) AS r(value)) AS k
                JOIN
                    (SELECT r.value, pg_catalog.row_number() OVER (PARTITION BY r.value) AS number
                     FROM {} t CROSS JOIN LATERAL (SELECT ROW({})::text) AS r(value)
                     WHERE r.value IN (SELECT ROW({})::text FROM {store} k)) AS t
                USING (value, number))",
            old.join(", "),
            is.rows(),
            new.join(", "),
            old.join(", "),
        );
        // Rows that look like a deleted one may have been there besides it. What is still in its place
        // was locked at most.
        let pruned = match written.rewritten {
            true => postgres.count(DOING, sql).await?,
            false => {
                let rows = is.rows();
                let sql = format!(
                    "DELETE FROM {store} AS k USING {rows} AS t
                     WHERE t.ctid = k.{PLACE} AND t.tableoid = k.{PART}"
                );
                postgres.count(DOING, sql).await?
            }
        };
        keeping.rows = keeping.rows.saturating_sub(pruned);
        keeping.detail.uncertain = written.updated > 0 || left > 0;
        return Ok(());
    }
    let key: Vec<String> = stays
        .iter()
        .filter(|(was, _)| keeping.detail.key.contains(&was.name))
        .map(|(was, now)| same(&Postgres::quote(&was.name), &Postgres::quote(&now.name), was, now))
        .collect();
    let changed: Vec<String> = stays
        .iter()
        .zip(&pairs)
        .map(|((was, now), (old, new))| {
            let name = literal(&was.name);
            // What looks the same in another type is another value: nobody knows how it is made back.
            let differs = match was.type_oid == now.type_oid {
                true => format!("{old} IS DISTINCT FROM {new}"),
                false => format!("({old} IS NOT NULL OR {new} IS NOT NULL)"),
            };
            format!("CASE WHEN {differs} THEN pg_catalog.jsonb_build_object({name}, {new}) ELSE '{{}}' END")
        })
        .collect();
    let (list, key) = (changed.join(" || "), key.join(" AND "));
    // One pass that notes what was changed; what was not, is dropped.
    let note =
        format!("UPDATE {store} AS k SET {AFTER} = {list} FROM {} AS t WHERE {key}", is.rows());
    let found = postgres.count(DOING, note).await?;
    let drop = format!("DELETE FROM {store} WHERE {AFTER} = '{{}}'");
    let pruned = postgres.count(DOING, drop).await?;
    let gone = keeping.rows.saturating_sub(found);
    keeping.rows = keeping.rows.saturating_sub(pruned);
    // More are gone than were deleted, or more are new than were inserted: some have another key now.
    // A row that goes from one partition to another is deleted and inserted.
    let number = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    keeping.detail.uncertain = match written.rewritten {
        false => {
            number(gone) > written.deleted
                || was.kind == 'p' && number(gone) > written.deleted - written.inserted
        }
        true if gone > 0 => {
            let sql =
                format!("SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {}", is.rows());
            let rows: u64 = json(postgres, DOING, sql).await?;
            number(rows) - number(found) > written.inserted
        }
        true => false,
    };
    #[derive(Deserialize)]
    struct Changed(Vec<String>);
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(DISTINCT sternway_changed.name), '[]')::text
         FROM {store}, pg_catalog.jsonb_object_keys({AFTER}) AS sternway_changed (name)"
    );
    let Changed(columns) = json(postgres, DOING, sql).await?;
    keeping.detail.lost = columns;
    Ok(())
}

/// Notes what became of the values of `lost` columns, where no key tells the rows apart: of rows that
/// are alike in all that stayed, which became what does not matter, but all that they became does.
async fn note_retyped(
    postgres: &mut Postgres,
    store: &str,
    lost: &[String],
    stays: &[(&Column, &Column)],
    is: &Relation,
) -> Result<(), DatabaseError> {
    let (mut old, mut new, mut after) = (Vec::new(), Vec::new(), vec!["'{}'::jsonb".to_owned()]);
    for (was, now) in stays {
        let text = format!("t.{}::text", Postgres::quote(&now.name));
        if lost.contains(&was.name) {
            let name = literal(&was.name);
            after.push(format!("pg_catalog.jsonb_build_object({name}, {text})"));
        } else {
            old.push(format!("k.{}::text", Postgres::quote(&was.name)));
            new.push(text);
        }
    }
    let (old, new, after) = (old.join(", "), new.join(", "), after.join(" || "));
    let sql = format!(
        "UPDATE {store} AS k SET {AFTER} = now.after
         FROM (SELECT k.ctid AS place, r.value, pg_catalog.row_number() OVER (PARTITION BY r.value) AS number
               FROM {store} AS k CROSS JOIN LATERAL (SELECT ROW({old})::text) AS r(value)) AS was
         JOIN (SELECT {after} AS after, r.value, pg_catalog.row_number() OVER (PARTITION BY r.value) AS number
               FROM {} AS t CROSS JOIN LATERAL (SELECT ROW({new})::text) AS r(value)) AS now
            USING (value, number)
         WHERE was.place = k.ctid",
        is.rows()
    );
    postgres.run(DOING, sql).await
}

/// Two columns of the key are the same: as they are, where their types are, so that an index serves.
fn same(old: &str, new: &str, was: &Column, now: &Column) -> String {
    match !was.foreign && was.type_oid == now.type_oid {
        true => format!("k.{old} = t.{new}"),
        false => format!("k.{old}::text = t.{new}::text"),
    }
}

impl Postgres {
    /// Runs one statement, and tells how many rows it dealt with.
    pub(in crate::postgres) async fn count(
        &mut self,
        doing: &str,
        sql: String,
    ) -> Result<u64, DatabaseError> {
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        let done = query.execute(&mut self.connection).await.map_err(failed(doing))?;
        Ok(done.rows_affected())
    }
}
