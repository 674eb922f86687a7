//! What a body really changes: the system catalogs before and after it, by OID and column number, so
//! that a new name is no loss, and a table that is dropped and made again is one.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sternway_model::effect::{Lock, Loss, Lost};

pub(super) use self::objects::{differences, objects};
use super::{Postgres, failed, literal};
use crate::port::DatabaseError;
use crate::records::damaged;

/// The server's number for an object.
pub(super) type Oid = i64;

/// A relation that holds data, or the shape of a type.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Relation {
    pub oid: Oid,
    pub schema: String,
    pub name: String,
    /// As [`sternway_model::proof::ObjectName`] has it.
    pub shown: String,
    /// Its name as `regclass` prints it while the search path leads to the server's own schema alone.
    pub full: String,
    /// `r` table, `p` partitioned table, `S` sequence, `v` view, `m` materialized view, `c` composite
    /// type.
    pub kind: char,
    /// The file that holds its rows: another one after it was truncated or rewritten.
    pub node: Option<i64>,
    /// The partitioned table that it is a part of.
    pub parent: Option<Oid>,
    /// Whether row-level security binds its owner as well.
    pub forced: bool,
    /// Whether triggers of the user's fire on its rows.
    pub triggered: bool,
    /// The type of its rows.
    pub row_type: Oid,
    /// How many rows this transaction inserted, changed and deleted, as far as the server counts.
    pub inserted: i64,
    pub updated: i64,
    pub deleted: i64,
    /// How much this transaction read in it, as far as the server counts: more, where it read again.
    pub read: i64,
    pub indexes: Vec<Oid>,
    /// Of a sequence that we may alter, how many numbers it has ready at once, and the last that it
    /// has given, if any.
    pub counting: Option<(i64, Option<i64>)>,
    pub columns: Vec<Column>,
}

/// A column of a relation.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Column {
    pub number: i64,
    pub name: String,
    /// Quoted where SQL needs it.
    pub shown: String,
    pub type_oid: Oid,
    /// The type in the server's words.
    pub type_name: String,
    /// Whether a migration or an extension made the type or the collation, or may have made what the values
    /// are the numbers of, as in a `regclass`.
    pub foreign: bool,
    /// Of an array, the type of its elements.
    pub element: Option<Oid>,
    /// Whether the type, or that of its elements, is composite or a domain that a migration made, or has
    /// the numbers of objects for its values.
    pub shaped: bool,
    pub generated: bool,
}

impl Relation {
    /// Its name as SQL has it, qualified.
    pub fn sql(&self) -> String {
        format!("{}.{}", Postgres::quote(&self.schema), Postgres::quote(&self.name))
    }

    /// What its own rows are selected from. A partitioned table has none but those of its parts.
    pub fn rows(&self) -> String {
        let only = if self.kind == 'r' { "ONLY " } else { "" };
        format!("{only}{}", self.sql())
    }

    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

/// What is there at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// The relations that are not the server's own.
    pub relations: BTreeMap<Oid, Relation>,
    /// How many large objects this transaction has taken so far.
    pub large_objects_gone: i64,
}

/// OIDs from here on are of objects that people made (`FirstNormalObjectId`, PostgreSQL's
/// access/transam.h).
pub(super) const FIRST_OID: u32 = 16384;

/// Reads the catalogs, in one trip.
pub(super) async fn snapshot(postgres: &mut Postgres) -> Result<Snapshot, DatabaseError> {
    let schema = literal(&postgres.identity.schema);
    let sql = format!(
        "SELECT pg_catalog.json_build_object('large_objects_gone', coalesce(
            pg_catalog.pg_stat_get_xact_tuples_deleted('pg_catalog.pg_largeobject_metadata'::pg_catalog.regclass), 0),
         'relations', coalesce((
            SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
                'full', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
                'shown', CASE WHEN n.nspname = {schema} THEN '' ELSE pg_catalog.quote_ident(n.nspname) || '.' END
                         || pg_catalog.quote_ident(c.relname),
                'node', pg_catalog.pg_relation_filenode(c.oid)::bigint, 'forced', c.relforcerowsecurity,
                'row_type', c.reltype::bigint,
                'triggered', EXISTS (SELECT FROM pg_catalog.pg_trigger
                                     WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D'),
                'parent', CASE WHEN c.relispartition THEN (SELECT inhparent::bigint FROM pg_catalog.pg_inherits
                                                           WHERE inhrelid = c.oid LIMIT 1) END,
                'inserted', pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid),
                'updated', pg_catalog.pg_stat_get_xact_tuples_updated(c.oid),
                'deleted', pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid),
                'read', {read},
                'indexes', (SELECT coalesce(pg_catalog.json_agg(indexrelid::bigint), '[]') FROM pg_catalog.pg_index
                            WHERE indrelid = c.oid),
                'counting', CASE WHEN c.relkind = 'S' AND pg_catalog.pg_has_role(c.relowner, 'USAGE') THEN
                    (SELECT pg_catalog.json_build_array(seqcache, pg_catalog.pg_sequence_last_value(c.oid))
                     FROM pg_catalog.pg_sequence WHERE seqrelid = c.oid) END,
                'columns', coalesce((
                    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                        'number', a.attnum, 'name', a.attname, 'shown', pg_catalog.quote_ident(a.attname), 'type_oid', a.atttypid::bigint,
                        'type_name', pg_catalog.format_type(a.atttypid, a.atttypmod),
                        'foreign', a.atttypid >= {FIRST_OID} OR a.attcollation >= {FIRST_OID} OR {names},
                        'element', (SELECT t.typelem::bigint FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typelem <> 0),
                        'shaped', {names} OR a.atttypid >= {FIRST_OID} AND EXISTS (
                            SELECT FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
                            WHERE t.oid = a.atttypid AND (t.typtype IN ('c', 'd') OR e.typtype IN ('c', 'd'))),
                        'generated', a.attgenerated <> '') ORDER BY a.attnum)
                    FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'c')), '[]')))
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'c') AND n.nspname <> 'sternway'
              AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'), '[]'))::text",
        names = "EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typname ~ '^_?reg'
                                 AND t.typnamespace = 'pg_catalog'::regnamespace)",
        read = reading("c.oid", "ARRAY(SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = c.oid)"),
    );
    #[derive(Deserialize)]
    struct Read {
        large_objects_gone: i64,
        relations: Vec<Relation>,
    }
    let Read { large_objects_gone, relations } =
        json(postgres, "look at the catalogs", sql).await?;
    let relations = relations.into_iter().map(|it| (it.oid, it)).collect();
    Ok(Snapshot { relations, large_objects_gone })
}

/// How much this transaction has read of a table and its indexes. The server counts the begin of each
/// scan, whether it finds a row or not, and each row that it returns.
fn reading(table: &str, indexes: &str) -> String {
    format!(
        "(pg_catalog.pg_stat_get_xact_numscans({table}) + pg_catalog.pg_stat_get_xact_tuples_returned({table})
          + pg_catalog.pg_stat_get_xact_tuples_fetched({table})
          + coalesce((SELECT pg_catalog.sum(pg_catalog.pg_stat_get_xact_numscans(i))
                      FROM pg_catalog.unnest({indexes}) AS i), 0))::bigint"
    )
}

/// The tables that were read between two looks. The server goes on counting for what is gone until the
/// transaction ends. Of partitions, the whole that they are parts of is named.
pub(super) async fn read_between(
    postgres: &mut Postgres,
    before: &Snapshot,
    after: &Snapshot,
) -> Result<BTreeSet<Oid>, DatabaseError> {
    let tables = || before.relations.values().filter(|it| it.is_table());
    let more = |it: &&Relation| after.relations.get(&it.oid).is_some_and(|is| is.read > it.read);
    let mut read: BTreeSet<Oid> = tables().filter(more).map(|it| whole(before, it.oid)).collect();
    let gone = tables().filter(|it| !after.relations.contains_key(&it.oid));
    let gone = gone.map(|it| {
        let indexes = it.indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("({}::oid, '{{{indexes}}}'::oid[], {}::bigint)", it.oid, it.read)
    });
    let gone: Vec<String> = gone.collect();
    if gone.is_empty() {
        return Ok(read);
    }
    let sql = format!(
        "SELECT coalesce(pg_catalog.json_agg(t.id::bigint), '[]')::text
         FROM (VALUES {}) AS t(id, indexes, before) WHERE {} > t.before",
        gone.join(", "),
        reading("t.id", "t.indexes"),
    );
    let gone: Vec<Oid> = json(postgres, "look at what the body read", sql).await?;
    read.extend(gone.into_iter().map(|oid| whole(before, oid)));
    Ok(read)
}

/// Lets sequences go on from where they stood before a body that was taken back, which does not take
/// the numbers back that it drew: when it runs again, it is to find the same. A sequence from which
/// somebody else has drawn meanwhile stays.
pub(super) async fn count_again(
    postgres: &mut Postgres,
    before: &Snapshot,
    after: &Snapshot,
) -> Result<(), DatabaseError> {
    let both = before.relations.values();
    let both = both.filter_map(|was| Some((was, after.relations.get(&was.oid)?)));
    for (was, is) in both.filter(|(was, is)| was.node == is.node && was.counting != is.counting) {
        let (Some((cache, first)), Some((_, Some(last)))) = (was.counting, is.counting) else {
            continue;
        };
        let to = match first {
            Some(first) => format!("{first}, true"),
            None => "s.seqstart, false".to_owned(),
        };
        // The change that is none keeps others from drawing until the transaction ends.
        let sql = format!(
            "ALTER SEQUENCE {} CACHE {cache};
             SELECT pg_catalog.setval(s.seqrelid::regclass, {to}) FROM pg_catalog.pg_sequence AS s
             WHERE s.seqrelid = {}::oid AND pg_catalog.pg_sequence_last_value(s.seqrelid) = {last}",
            was.sql(),
            was.oid
        );
        postgres.run("let a sequence go on from where it stood", sql).await?;
    }
    Ok(())
}

/// How many rows were inserted, changed and deleted between two looks, by the name of the table.
pub(super) fn written(before: &Snapshot, after: &Snapshot) -> BTreeMap<String, [i64; 3]> {
    let counts = |it: &Relation| [it.inserted, it.updated, it.deleted];
    let tables = after.relations.values().filter(|it| it.kind == 'r');
    let written = tables.map(|is| {
        let was = before.relations.get(&is.oid).map_or([0; 3], counts);
        let is_now = counts(is);
        (is.full.clone(), std::array::from_fn(|at| is_now[at] - was[at]))
    });
    written.filter(|(_, counts)| *counts != [0; 3]).collect()
}

/// What a question of our own is answered, in one cell of JSON.
pub(super) async fn json<T: DeserializeOwned>(
    postgres: &mut Postgres,
    doing: &str,
    sql: String,
) -> Result<T, DatabaseError> {
    let row = postgres.ask_one(doing, sql).await?;
    let text: String = row.try_get(0).map_err(failed(doing))?;
    serde_json::from_str(&text).map_err(|error| damaged(&error))
}

/// Rows that a body changed or deleted in a table that stays.
#[derive(Debug, Clone)]
pub(super) struct WrittenTable {
    /// The table; of partitions, the whole that they are parts of.
    pub table: Oid,
    /// Whether nothing but the whole table tells which: its file is another one.
    pub rewritten: bool,
    /// How many were changed, deleted and added, as far as the server counts.
    pub updated: i64,
    pub deleted: i64,
    pub inserted: i64,
}

/// What a body takes away.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub tables: Vec<Oid>,
    /// By table, the numbers of the columns.
    pub columns: BTreeMap<Oid, Vec<i64>>,
    pub rows: Vec<WrittenTable>,
    pub sequences: Vec<Oid>,
    /// Whether it also put rows somewhere.
    pub writes: bool,
    /// The tables that it read.
    pub read: BTreeSet<Oid>,
}

impl Taken {
    /// Whether the rows of a table may have been carried over to another one.
    pub fn carries(&self, table: Oid) -> bool {
        self.writes && self.read.contains(&table)
    }

    /// Whether nothing has to be kept.
    pub fn is_nothing(&self) -> bool {
        self.tables.is_empty()
            && self.columns.is_empty()
            && self.rows.is_empty()
            && self.sequences.is_empty()
    }

    /// The same, without what goes of tables and sequences at which `discards` holds.
    pub fn but(&self, discards: impl Fn(&Oid) -> bool) -> Taken {
        let mut kept = self.clone();
        kept.tables.retain(|oid| !discards(oid));
        kept.columns.retain(|oid, _| !discards(oid));
        kept.rows.retain(|it| !discards(&it.table));
        kept.sequences.retain(|oid| !discards(oid));
        kept
    }

    /// The views that go between two looks: their statements, should they have to be helped.
    pub fn views(before: &Snapshot, after: &Snapshot) -> Vec<Relation> {
        let views = before.relations.values().filter(|it| matches!(it.kind, 'v' | 'm'));
        views.filter(|it| !after.relations.contains_key(&it.oid)).cloned().collect()
    }

    /// Leaves out the tables of which the body does nothing but fill columns that it has added itself:
    /// `fills` by their names, where no trigger and no other code can do more than the body says.
    /// `added` are the columns that it adds; one that was there already, and that it adds only if it is
    /// not, has values of its own.
    pub fn pass_over(
        &mut self,
        fills: &BTreeSet<String>,
        added: &BTreeSet<(String, String)>,
        looks: (&Snapshot, &Snapshot),
        schema: &str,
    ) {
        let (before, after) = looks;
        let written = self.rows.iter().filter_map(|it| after.relations.get(&it.table));
        if fills.is_empty() || written.clone().any(|it| it.triggered) {
            return;
        }
        let is_new = |is: &Relation, column: &str| {
            let was = before.relations.get(&is.oid).map_or(&[][..], |it| &it.columns);
            let column = is.columns.iter().find(|it| it.name == column);
            column.is_some_and(|it| !was.iter().any(|was| was.number == it.number))
        };
        let filled: BTreeSet<Oid> = written
            .filter(|it| {
                let mut columns = added.iter().filter(|(table, _)| *table == it.name);
                columns.all(|(_, column)| is_new(it, column))
            })
            .filter(|it| {
                let here = it.schema == schema && fills.contains(&it.name);
                here || fills.contains(&format!("{}.{}", it.schema, it.name))
            })
            .map(|it| it.oid)
            .collect();
        let only_filled =
            |it: &WrittenTable| filled.contains(&it.table) && it.deleted == 0 && !it.rewritten;
        self.rows.retain(|it| !only_filled(it));
    }

    /// Leaves out what was not there at `start`.
    pub fn pass_over_what_is_new(&mut self, start: &Snapshot) {
        let old = |oid: &Oid| start.relations.contains_key(oid);
        self.tables.retain(old);
        self.sequences.retain(old);
        self.rows.retain(|it| old(&it.table));
        for (oid, numbers) in &mut self.columns {
            let columns = start.relations.get(oid).map_or(&[][..], |it| &it.columns);
            numbers.retain(|number| columns.iter().any(|it| it.number == *number));
        }
        self.columns.retain(|_, numbers| !numbers.is_empty());
    }

    /// The tables that have to be locked before they are copied.
    pub fn locked(&self) -> BTreeSet<Oid> {
        let rows = self.rows.iter().map(|it| it.table);
        self.tables.iter().chain(self.columns.keys()).copied().chain(rows).collect()
    }

    /// Works out what went between two looks at the catalogs.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Taken {
        let mut taken = Taken::default();
        let gone = |oid: &Oid| !after.relations.contains_key(oid);
        let covered = |relation: &Relation| relation.parent.is_some_and(|it| gone(&it));
        for (oid, was) in &before.relations {
            match (after.relations.get(oid), was.kind) {
                (None, 'S') => taken.sequences.push(*oid),
                (None, 'c' | 'v' | 'm') => {}
                // The rows of a partition go with the whole that it is a part of.
                (None, _) if covered(was) => {}
                (None, _) => taken.tables.push(*oid),
                // It was set to another number: by `RESTART`, or with the rows of its table.
                (Some(is), 'S') if was.node != is.node => taken.sequences.push(*oid),
                (Some(is), 'r' | 'p') => taken.stays(before, after, was, is),
                (Some(_), _) => {}
            }
        }
        for written in &mut taken.rows {
            let parts = after.relations.values().filter(|it| whole(after, it.oid) == written.table);
            let was = |oid: &Oid| before.relations.get(oid).map_or(0, |it| it.inserted);
            written.inserted = parts.map(|it| it.inserted - was(&it.oid)).sum();
        }
        let rewritten =
            |is: &Relation, was: Option<&Relation>| was.is_some_and(|it| it.node != is.node);
        taken.writes = after.relations.values().any(|is| {
            let was = before.relations.get(&is.oid);
            let more = is.inserted + is.updated > was.map_or(0, |it| it.inserted + it.updated);
            more && !rewritten(is, was)
        });
        taken
    }

    /// Looks at a table that is there before and after.
    fn stays(&mut self, before: &Snapshot, after: &Snapshot, was: &Relation, is: &Relation) {
        let here: BTreeSet<i64> = is.columns.iter().map(|it| it.number).collect();
        let lost = was.columns.iter().filter(|it| !it.generated);
        let lost: Vec<i64> = lost
            .filter(|it| !here.contains(&it.number) || shrunk(before, after, it, 0))
            .map(|it| it.number)
            .collect();
        // What a whole loses, its partitions lose as well, and it is kept once.
        if !lost.is_empty() && was.parent.is_none() {
            self.columns.insert(was.oid, lost);
        }
        let (updated, deleted) = (is.updated - was.updated, is.deleted - was.deleted);
        let rewritten = was.kind == 'r' && was.node != is.node;
        if updated > 0 || deleted > 0 || rewritten {
            let table = whole(after, is.oid);
            match self.rows.iter_mut().find(|it| it.table == table) {
                Some(part) => {
                    part.rewritten |= rewritten;
                    part.updated += updated;
                    part.deleted += deleted;
                }
                None => {
                    let written = WrittenTable { table, rewritten, updated, deleted, inserted: 0 };
                    self.rows.push(written);
                }
            }
        }
    }

    /// The losses as a plan tells them, not counted yet.
    pub fn losses(&self, before: &Snapshot) -> Vec<Loss> {
        let relation = |oid: &Oid| before.relations.get(oid);
        let shown = |oid: &Oid| relation(oid).map_or_else(String::new, |it| it.shown.clone());
        let tables = self.tables.iter().map(|it| Lost::Table { table: shown(it) });
        let columns = self.columns.iter().flat_map(|(oid, numbers)| {
            let columns = relation(oid).map_or(&[][..], |it| &it.columns);
            let lost = columns.iter().filter(|it| numbers.contains(&it.number));
            lost.map(|it| Lost::Column { table: shown(oid), column: it.shown.clone() })
        });
        let rows = self.rows.iter().map(|it| Lost::Rows { table: shown(&it.table) });
        let sequences = self.sequences.iter().map(|it| Lost::Sequence { sequence: shown(it) });
        let losses = tables.chain(columns).chain(rows).chain(sequences);
        losses.map(|lost| Loss { lost, rows: None, bytes: None, estimated: false }).collect()
    }
}

/// Whether a composite type that values of this column are made of has lost an attribute, and with it
/// what they had there. Types are not made of themselves, but the number of steps is bounded all the same.
fn shrunk(before: &Snapshot, after: &Snapshot, column: &Column, depth: usize) -> bool {
    let types = [Some(column.type_oid), column.element];
    let mut shapes = before.relations.values().filter(|it| types.contains(&Some(it.row_type)));
    depth < 20
        && shapes.any(|shape| {
            let Some(now) = after.relations.get(&shape.oid) else { return true };
            let kept = |it: &Column| now.columns.iter().any(|other| other.number == it.number);
            !shape.columns.iter().all(|it| kept(it) && !shrunk(before, after, it, depth + 1))
        })
}

/// The whole that a partition is a part of; any other table is its own.
fn whole(snapshot: &Snapshot, oid: Oid) -> Oid {
    let parent = snapshot.relations.get(&oid).and_then(|it| it.parent);
    match parent.filter(|it| snapshot.relations.contains_key(it)) {
        Some(parent) => whole(snapshot, parent),
        None => oid,
    }
}

/// The locks on relations that this transaction holds, as pairs of the relation and the mode.
pub(super) async fn locks(
    postgres: &mut Postgres,
    statement: usize,
    before: &Snapshot,
) -> Result<Vec<Lock>, DatabaseError> {
    let sql = "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(relation::bigint, mode)), '[]')::text
               FROM pg_catalog.pg_locks
               WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation' AND granted
                 -- What a serializable transaction has read keeps nobody out.
                 AND mode <> 'SIReadLock'";
    let held: Vec<(Oid, String)> = json(postgres, "look at the locks", sql.to_owned()).await?;
    let lock = |(oid, mode): (Oid, String)| {
        let relation = before.relations.get(&oid).filter(|it| it.is_table())?;
        Some(Lock { statement, table: relation.shown.clone(), mode: words(&mode) })
    };
    Ok(held.into_iter().filter_map(lock).collect())
}

/// `AccessExclusiveLock` as the manual writes it: `ACCESS EXCLUSIVE`.
fn words(mode: &str) -> String {
    let mut words = String::new();
    for c in mode.strip_suffix("Lock").unwrap_or(mode).chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_uppercase());
    }
    words
}
