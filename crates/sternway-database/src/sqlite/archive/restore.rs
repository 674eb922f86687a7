//! Putting rows back: all that still fit, in one go where that works, and one by one where it does
//! not, so that each row that stays has its reason.
//!
//! No trigger of the application's fires. Foreign keys are looked at when everything is in place, so
//! that neither the order of tables nor cycles among them matter: what turns out to lead nowhere is
//! taken out, and the rest is put back anew, until all of it holds.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::{PutBack, Restored};
use sternway_model::catalog::TrackName;
use sternway_model::effect::Lost;

use super::shape::{Shape, count, look, number, rows, text};
use super::{data, image, is_same, matches, orphan, stored};
use crate::kept::{Layout, Stored, direction, misfits, opposite, reason};
use crate::port::{Care, DatabaseError};
use crate::sqlite::Sqlite;

/// What waits to be put back, with what was found in its place: batches, the newest first, of groups
/// of entries that share their rows.
pub struct Waiting(Vec<Vec<Group>>);

impl Waiting {
    /// Nothing.
    pub const NONE: Waiting = Waiting(Vec::new());
}

/// Entries that share their rows.
struct Group {
    entries: Vec<Stored>,
    data: i64,
    layout: Layout,
    kind: Kind,
    /// Whether a later batch has rows of its table too: then what is there is newer.
    older: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Rows,
    Columns,
}

/// Looks at what an earlier run of the other half kept, before the body of this one.
pub async fn waiting(sqlite: &mut Sqlite, care: &Care<'_>) -> Result<Waiting, DatabaseError> {
    let TrackName(track) = care.track;
    let condition = format!(
        "app = {} AND schema = {} AND track = {} AND version = {} AND direction = '{}' AND restored IS NULL",
        Sqlite::literal(care.app),
        Sqlite::literal(&sqlite.identity.schema),
        Sqlite::literal(track),
        care.version,
        direction(opposite(care.direction)),
    );
    look_at(sqlite, &condition).await
}

/// Looks at entries, and at what is in their place now.
pub async fn look_at(sqlite: &mut Sqlite, condition: &str) -> Result<Waiting, DatabaseError> {
    let mut batches: BTreeMap<i64, BTreeMap<i64, Group>> = BTreeMap::new();
    for entry in stored(sqlite, condition).await? {
        let kind = match entry.lost {
            Lost::Column { .. } => Kind::Columns,
            Lost::Rows { .. } => Kind::Rows,
            Lost::Table { .. } | Lost::Sequence { .. } => Kind::Table,
        };
        let (data, layout) = (entry.data, entry.layout.clone());
        let batch = batches.entry(entry.step).or_default();
        let group = batch.entry(data).or_insert(Group {
            entries: Vec::new(),
            data,
            layout,
            kind,
            older: false,
        });
        group.entries.push(entry);
    }
    let mut found: Vec<Vec<Group>> = Vec::new();
    for (_, batch) in batches.into_iter().rev() {
        let mut groups: Vec<Group> = batch.into_values().collect();
        for group in &mut groups {
            let newer = found.iter().flatten().any(|it| it.layout.table == group.layout.table);
            group.older = newer;
            group.layout.carried |= newer;
            before(sqlite, group).await?;
        }
        // What looks for a row by its contents has to see the table without the others.
        groups.sort_by_key(|group| group.kind != Kind::Columns);
        found.push(groups);
    }
    Ok(Waiting(found))
}

/// Notes in `w` what is in the place of each row: `taken`, `same`, `other` or nothing.
async fn before(sqlite: &mut Sqlite, group: &Group) -> Result<(), DatabaseError> {
    let (kept, layout) = (data(group.data), &group.layout);
    let there = format!("SELECT count(*) FROM main.sqlite_schema WHERE 'main.' || name = '{kept}'");
    if count(sqlite, &there).await? == 0 {
        return Ok(());
    }
    sqlite.run("look at the archive", format!("UPDATE {kept} SET w = NULL, m = NULL")).await?;
    let key = layout.keys();
    let Some(after) =
        layout.after.as_deref().filter(|_| group.kind == Kind::Rows && !key.is_empty())
    else {
        return Ok(());
    };
    let Some(shape) = look(sqlite, after).await? else { return Ok(()) };
    let names: Vec<String> =
        key.iter().filter_map(|at| layout.renamed.get(*at).cloned().flatten()).collect();
    if !shape.is_unique(&names) {
        return Ok(());
    }
    let row = matches(&key, &layout.renamed);
    let same: Vec<String> = (0..layout.columns.len())
        .filter_map(|at| {
            let name =
                layout.renamed.get(at)?.as_ref().filter(|name| shape.column(name).is_some())?;
            Some(is_same(&format!("k.a{at}"), &format!("t.{}", Sqlite::quote(name))))
        })
        .collect();
    let sql = format!(
        "UPDATE {kept} AS k SET w = CASE WHEN k.u IS NOT 'c' THEN 'taken' WHEN {} THEN 'same' ELSE 'other' END
         FROM {} AS t WHERE {row}",
        same.join(" AND "),
        shape.table()
    );
    sqlite.run("look at what is in their place", sql).await
}

/// Puts back what waits.
pub async fn put_back(
    sqlite: &mut Sqlite,
    waiting: Waiting,
) -> Result<Vec<PutBack>, DatabaseError> {
    let mut done = Vec::new();
    for batch in waiting.0 {
        let triggers = silence(sqlite, &batch).await?;
        sqlite.run("put rows back", "PRAGMA defer_foreign_keys = on".to_owned()).await?;
        fit(sqlite, &batch).await?;
        for sql in triggers {
            sqlite.run("make a trigger again", sql).await?;
        }
        for group in batch {
            done.extend(account(sqlite, group).await?);
        }
    }
    Ok(done)
}

/// Takes the triggers of the tables away, and returns the statements that make them again.
async fn silence(sqlite: &mut Sqlite, batch: &[Group]) -> Result<Vec<String>, DatabaseError> {
    let tables: BTreeSet<String> = batch
        .iter()
        .map(|group| Sqlite::literal(&group.layout.table.to_ascii_lowercase()))
        .collect();
    let tables = tables.into_iter().collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) IN ({tables}) ORDER BY rowid"
    );
    let mut found = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        let drop = format!("DROP TRIGGER {}", Sqlite::table(&text(row, 0)?));
        sqlite.run("set a trigger aside", drop).await?;
        found.push(text(row, 1)?);
    }
    Ok(found)
}

/// Puts a batch back until every foreign key of it holds.
async fn fit(sqlite: &mut Sqlite, batch: &[Group]) -> Result<(), DatabaseError> {
    let mut orphans: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    loop {
        sqlite.run("put rows back", "SAVEPOINT sternway_fit".to_owned()).await?;
        for group in batch {
            if let Some(known) = orphans.get(&group.data) {
                mark(sqlite, group, known, reason::ORPHAN).await?;
            }
            apply(sqlite, group).await?;
        }
        let mut more = false;
        for group in batch {
            let found = lead_nowhere(sqlite, group).await?;
            more |= !found.is_empty();
            orphans.entry(group.data).or_default().extend(found);
        }
        if !more {
            return sqlite.run("put rows back", "RELEASE sternway_fit".to_owned()).await;
        }
        let again = "ROLLBACK TO sternway_fit; RELEASE sternway_fit";
        sqlite.run("put rows back", again.to_owned()).await?;
    }
}

async fn mark(
    sqlite: &mut Sqlite,
    group: &Group,
    which: &BTreeSet<i64>,
    why: &str,
) -> Result<(), DatabaseError> {
    let which: Vec<String> = which.iter().map(ToString::to_string).collect();
    for part in which.chunks(5_000) {
        let sql = format!(
            "UPDATE {} SET m = '{why}' WHERE m IS NULL AND n IN ({})",
            data(group.data),
            part.join(", ")
        );
        sqlite.run("note what does not fit", sql).await?;
    }
    Ok(())
}

/// Marks the rows for which a condition holds as misfits.
async fn refuse(
    sqlite: &mut Sqlite,
    group: &Group,
    condition: &str,
    why: &str,
) -> Result<(), DatabaseError> {
    let sql = format!(
        "UPDATE {} AS k SET m = '{why}' WHERE m IS NULL AND ({condition})",
        data(group.data)
    );
    sqlite.run("note what does not fit", sql).await
}

/// A table that rows go back to.
struct Place {
    shape: Shape,
    /// The columns of the layout that it has.
    columns: Vec<usize>,
    /// Those that tell its rows apart, if they do.
    key: Vec<usize>,
    /// The condition under which a row `t` of it is the row `k` of the archive.
    row: String,
}

impl Place {
    fn name(&self, group: &Group, at: usize) -> String {
        Sqlite::quote(&group.layout.columns[at])
    }
}

/// The table that a group goes back to.
async fn place(sqlite: &mut Sqlite, group: &Group) -> Result<Option<Place>, DatabaseError> {
    let layout = &group.layout;
    let Some(shape) = look(sqlite, &layout.table).await? else { return Ok(None) };
    let has = |at: &usize| shape.column(&layout.columns[*at]).is_some_and(|it| !it.generated);
    let columns = (0..layout.columns.len()).filter(has).collect();
    let key = if shape.is_unique(&layout.key) { layout.keys() } else { Vec::new() };
    let names: Vec<Option<String>> = layout.columns.iter().cloned().map(Some).collect();
    let row = matches(&key, &names);
    Ok(Some(Place { shape, columns, key, row }))
}

/// Puts a group back as far as its table lets it.
async fn apply(sqlite: &mut Sqlite, group: &Group) -> Result<(), DatabaseError> {
    let Some(place) = place(sqlite, group).await? else {
        return refuse(sqlite, group, "1", reason::NO_TABLE).await;
    };
    for at in 0..group.layout.columns.len() {
        let generated =
            place.shape.column(&group.layout.columns[at]).is_some_and(|it| it.generated);
        if !place.columns.contains(&at) && !generated {
            refuse(sqlite, group, &format!("c{at} IS NOT NULL"), reason::NO_COLUMN).await?;
        }
    }
    match group.kind {
        Kind::Columns => columns(sqlite, group, &place).await,
        Kind::Rows => {
            if group.layout.uncertain {
                uncertain(sqlite, group, &place).await?;
            } else {
                changed(sqlite, group, &place).await?;
                insert(sqlite, group, &place).await?;
            }
            advance(sqlite, group, &place).await
        }
        Kind::Table => {
            insert(sqlite, group, &place).await?;
            advance(sqlite, group, &place).await
        }
    }
}

/// Puts the values of columns back.
async fn columns(sqlite: &mut Sqlite, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let layout = &group.layout;
    let is_lost = |at: &usize| layout.renamed.get(*at).is_none_or(Option::is_none);
    let lost: Vec<usize> = place.columns.iter().copied().filter(is_lost).collect();
    let set: Vec<String> =
        lost.iter().map(|at| format!("{} = k.c{at}", place.name(group, *at))).collect();
    if set.is_empty() {
        return refuse(sqlite, group, "1", reason::NO_COLUMN).await;
    }
    let (kept, table) = (data(group.data), place.shape.table());
    if !layout.key.is_empty() {
        if place.key.is_empty() {
            return refuse(sqlite, group, "1", reason::NO_KEY).await;
        }
        let gone = format!("NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {})", place.row);
        refuse(sqlite, group, &gone, reason::DELETED).await?;
        if group.older {
            return refuse(sqlite, group, "1", reason::NEWER).await;
        }
        let sql = format!(
            "UPDATE OR ABORT {table} AS t SET {} FROM {kept} AS k WHERE {} AND k.m IS NULL",
            set.join(", "),
            place.row
        );
        return each(sqlite, group, &[sql], "1").await;
    }
    if group.older {
        return refuse(sqlite, group, "1", reason::NEWER).await;
    }
    let stay: Vec<usize> = place.columns.iter().copied().filter(|at| !is_lost(at)).collect();
    let old = image(stay.iter().map(|at| format!("c{at}")));
    let values = image(lost.iter().map(|at| format!("c{at}")));
    pair(sqlite, group, place, &stay, &old, &values, "1").await?;
    if let Some(rowid) = place.shape.rowid {
        let sql = format!(
            "UPDATE OR ABORT {table} AS t SET {} FROM {kept} AS k, temp.sternway_pair AS p
             WHERE p.n = k.n AND t.{rowid} = p.r AND k.m IS NULL",
            set.join(", ")
        );
        each(sqlite, group, &[sql], "1").await?;
    }
    sqlite.run("put rows back", "DROP TABLE temp.sternway_pair".to_owned()).await
}

/// Finds the rows that have nothing but their contents: as many of them as there are rows that look so.
/// `old` is what they look like, and `values` what would go back to them.
async fn pair(
    sqlite: &mut Sqlite,
    group: &Group,
    place: &Place,
    stay: &[usize],
    old: &str,
    values: &str,
    which: &str,
) -> Result<(), DatabaseError> {
    let (kept, table) = (data(group.data), place.shape.table());
    let new = image(stay.iter().map(|at| place.name(group, *at)));
    let rowid = place.shape.rowid.unwrap_or("NULL");
    let sql = format!(
        "DROP TABLE IF EXISTS temp.sternway_pair;
         CREATE TEMP TABLE sternway_pair AS
         WITH k AS (SELECT n, {old} AS image, {values} AS value,
                           row_number() OVER (PARTITION BY {old} ORDER BY n) AS i
                    FROM {kept} WHERE m IS NULL AND {which}),
              kc AS MATERIALIZED (SELECT image, count(*) AS many, count(DISTINCT value) AS ways FROM k GROUP BY image),
              t AS (SELECT {rowid} AS r, {new} AS image,
                           row_number() OVER (PARTITION BY {new} ORDER BY {rowid}) AS i FROM {table}),
              tc AS MATERIALIZED (SELECT image, count(*) AS many FROM t GROUP BY image)
         SELECT k.n, t.r, CASE WHEN tc.many IS NULL THEN 'gone'
                               WHEN tc.many <> kc.many AND kc.ways > 1 THEN 'alike'
                               WHEN t.r IS NULL THEN 'gone' ELSE 'found' END AS how
         FROM k JOIN kc ON kc.image = k.image
         LEFT JOIN tc ON tc.image = k.image LEFT JOIN t ON t.image = k.image AND t.i = k.i"
    );
    sqlite.run("find the rows by their contents", sql).await?;
    let how = |how: &str| format!("n IN (SELECT n FROM temp.sternway_pair WHERE how = '{how}')");
    refuse(sqlite, group, &how("alike"), reason::ALIKE).await?;
    refuse(sqlite, group, &how("gone"), reason::DELETED).await
}

/// Gives changed rows the values back that the body changed, where nobody has written to them since.
async fn changed(sqlite: &mut Sqlite, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let (kept, table) = (data(group.data), place.shape.table());
    let some = format!("SELECT EXISTS (SELECT 1 FROM {kept} WHERE u = 'c')");
    if count(sqlite, &some).await? == 0 {
        return Ok(());
    }
    let layout = &group.layout;
    let both: Vec<usize> = place
        .columns
        .iter()
        .copied()
        .filter(|at| layout.renamed.get(*at).is_some_and(Option::is_some))
        .collect();
    let set: Vec<String> = both
        .iter()
        .map(|at| {
            let name = place.name(group, *at);
            let same = is_same(&format!("k.a{at}"), &format!("k.c{at}"));
            format!("{name} = CASE WHEN {same} THEN t.{name} ELSE k.c{at} END")
        })
        .collect();
    if set.is_empty() {
        return refuse(sqlite, group, "u = 'c'", reason::NO_COLUMN).await;
    }
    if group.older {
        return refuse(sqlite, group, "u = 'c'", reason::NEWER).await;
    }
    if !layout.key.is_empty() {
        if place.key.is_empty() {
            return refuse(sqlite, group, "u = 'c'", reason::NO_KEY).await;
        }
        refuse(sqlite, group, "u = 'c' AND w IS NULL", reason::DELETED).await?;
        refuse(sqlite, group, "u = 'c' AND w <> 'same'", reason::CHANGED).await?;
        // What the other half took away although nobody had touched it is as good as deleted.
        let sql = format!(
            "UPDATE {kept} AS k SET u = 'd', w = NULL WHERE u = 'c' AND m IS NULL
             AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {})",
            place.row
        );
        sqlite.run("look for the rows that were changed", sql).await?;
        let sql = format!(
            "UPDATE OR ABORT {table} AS t SET {} FROM {kept} AS k WHERE {} AND k.m IS NULL AND k.u = 'c'",
            set.join(", "),
            place.row
        );
        return each(sqlite, group, &[sql], "u = 'c'").await;
    }
    let old = image(both.iter().map(|at| format!("a{at}")));
    let values = image(both.iter().map(|at| format!("c{at}")));
    pair(sqlite, group, place, &both, &old, &values, "u = 'c'").await?;
    if let Some(rowid) = place.shape.rowid {
        let sql = format!(
            "UPDATE OR ABORT {table} AS t SET {} FROM {kept} AS k, temp.sternway_pair AS p
             WHERE p.n = k.n AND t.{rowid} = p.r AND k.m IS NULL AND k.u = 'c'",
            set.join(", ")
        );
        each(sqlite, group, &[sql], "u = 'c'").await?;
    }
    sqlite.run("put rows back", "DROP TABLE temp.sternway_pair".to_owned()).await
}

/// Counts as back what is there again. Of the rest nobody can tell which rows they are now.
async fn uncertain(sqlite: &mut Sqlite, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let same = place.columns.iter().map(|at| {
        let name = place.name(group, *at);
        is_same(&format!("k.c{at}"), &format!("t.{name}"))
    });
    let same: Vec<String> = same.chain(["1".to_owned()]).collect();
    let row = if place.key.is_empty() { "1" } else { place.row.as_str() };
    let gone = format!(
        "NOT EXISTS (SELECT 1 FROM {} AS t WHERE {row} AND {})",
        place.shape.table(),
        same.join(" AND ")
    );
    refuse(sqlite, group, &gone, reason::LOST_TRACK).await
}

/// Inserts rows that are gone.
async fn insert(sqlite: &mut Sqlite, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let (kept, table) = (data(group.data), place.shape.table());
    let names: Vec<String> = place.columns.iter().map(|at| place.name(group, *at)).collect();
    let values: Vec<String> = place.columns.iter().map(|at| format!("k.c{at}")).collect();
    if names.is_empty() {
        return refuse(sqlite, group, "u IS NOT 'c'", reason::NO_COLUMN).await;
    }
    let which = "k.m IS NULL AND k.u IS NOT 'c'";
    let mut statements = Vec::new();
    let mut free = String::new();
    if !place.key.is_empty() {
        refuse(sqlite, group, "u IS NOT 'c' AND w = 'taken'", reason::TAKEN).await?;
        let row = &place.row;
        if group.layout.carried {
            // What is there may be the row itself, carried over, and newer.
            let same: Vec<String> = place
                .columns
                .iter()
                .map(|at| is_same(&format!("k.c{at}"), &format!("t.{}", place.name(group, *at))))
                .collect();
            let taken = format!(
                "u IS NOT 'c' AND EXISTS (SELECT 1 FROM {table} AS t WHERE {row} AND NOT ({}))",
                same.join(" AND ")
            );
            refuse(sqlite, group, &taken, reason::TAKEN).await?;
        } else {
            let set: Vec<String> = names
                .iter()
                .zip(&values)
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            statements.push(format!(
                "UPDATE OR ABORT {table} AS t SET {} FROM {kept} AS k WHERE {row} AND {which}",
                set.join(", ")
            ));
        }
        free = format!("AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {row})");
    } else if group.kind == Kind::Table {
        // What the other half puts there is among the rows that were kept, and not beside them.
        let old = image(place.columns.iter().map(|at| format!("k.c{at}")));
        let new = image(names.iter().cloned());
        let sql = format!(
            "UPDATE {kept} SET w = 'there' WHERE n IN (
                 SELECT o.n FROM (SELECT n, {old} AS image, row_number() OVER (PARTITION BY {old} ORDER BY n) AS i
                                  FROM {kept} AS k WHERE m IS NULL) o
                 JOIN (SELECT {new} AS image, count(*) AS many FROM {table} GROUP BY 1) t
                   ON t.image = o.image AND o.i <= t.many)"
        );
        sqlite.run("find rows that are there", sql).await?;
        free = "AND k.w IS NOT 'there'".to_owned();
    }
    statements.push(format!(
        "INSERT OR ABORT INTO {table} ({}) SELECT {} FROM {kept} AS k WHERE {which} {free} ORDER BY k.n",
        names.join(", "),
        values.join(", ")
    ));
    each(sqlite, group, &statements, "u IS NOT 'c'").await
}

/// Runs statements for all rows at once. Where a rule of the table forbids that, for one row after the
/// other, again and again as long as there is progress, because one may wait for another to move away.
async fn each(
    sqlite: &mut Sqlite,
    group: &Group,
    statements: &[String],
    which: &str,
) -> Result<(), DatabaseError> {
    sqlite.run("put rows back", "SAVEPOINT sternway_all".to_owned()).await?;
    let mut whole = Ok(());
    for sql in statements {
        whole = sqlite.run("put rows back", sql.clone()).await;
        if whole.is_err() {
            break;
        }
    }
    let Err(error) = whole else {
        return sqlite.run("put rows back", "RELEASE sternway_all".to_owned()).await;
    };
    why(error)?;
    let again = "ROLLBACK TO sternway_all; RELEASE sternway_all";
    sqlite.run("put rows back", again.to_owned()).await?;
    let sql =
        format!("SELECT n FROM {} AS k WHERE m IS NULL AND {which} ORDER BY n", data(group.data));
    let mut left: Vec<i64> = Vec::new();
    for row in &rows(sqlite, &sql).await? {
        left.push(number(row, 0)?);
    }
    loop {
        let mut refused: Vec<(i64, &'static str)> = Vec::new();
        for n in &left {
            for sql in statements {
                let sql = sql.replace("k.m IS NULL", &format!("k.m IS NULL AND k.n = {n}"));
                if let Err(error) = sqlite.run("put a row back", sql).await {
                    refused.push((*n, why(error)?));
                    break;
                }
            }
        }
        if refused.len() == left.len() {
            for (n, why) in refused {
                mark(sqlite, group, &BTreeSet::from([n]), why).await?;
            }
            return Ok(());
        }
        left = refused.into_iter().map(|(n, _)| n).collect();
    }
}

/// The rule that a row breaks; other errors are errors.
fn why(error: DatabaseError) -> Result<&'static str, DatabaseError> {
    let code = match &error {
        DatabaseError::Query { source: sqlx::Error::Database(error), .. } => {
            error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0)
        }
        _ => 0,
    };
    match code {
        1555 | 2067 | 2579 => Ok(reason::UNIQUE),
        1299 => Ok(reason::NULL),
        275 => Ok(reason::CHECK),
        787 => Ok(reason::ORPHAN),
        3091 | 20 => Ok(reason::TYPE),
        _ => Err(error),
    }
}

/// The rows of a group that are back and refer to what is not there. A row that did so when it was
/// kept may do so again, where the session does not enforce foreign keys.
async fn lead_nowhere(sqlite: &mut Sqlite, group: &Group) -> Result<BTreeSet<i64>, DatabaseError> {
    let mut found = BTreeSet::new();
    let Some(place) = place(sqlite, group).await? else { return Ok(found) };
    let enforced = count(sqlite, "PRAGMA foreign_keys").await? > 0;
    let layout = &group.layout;
    for key in &place.shape.foreign_keys {
        let written =
            |column: &str| layout.at(column).is_some_and(|at| place.columns.contains(&at));
        let (source, row) = if key.columns.iter().all(|(column, _)| written(column)) {
            (String::new(), "1".to_owned())
        } else if key.columns.iter().any(|(column, _)| written(column)) && !place.key.is_empty() {
            (format!(", {} AS t", place.shape.table()), place.row.clone())
        } else {
            continue;
        };
        let value = |column: &str| match layout.at(column).filter(|_| source.is_empty()) {
            Some(at) => format!("k.c{at}"),
            None => format!("t.{}", Sqlite::quote(column)),
        };
        let nowhere = orphan(sqlite, key, value).await?;
        let known = if enforced { "1" } else { "k.f IS NOT 1" };
        let sql = format!(
            "SELECT k.n FROM {} AS k{source} WHERE k.m IS NULL AND {known} AND {row} AND {nowhere}",
            data(group.data)
        );
        for row in &rows(sqlite, &sql).await? {
            found.insert(number(row, 0)?);
        }
    }
    Ok(found)
}

/// Lets an AUTOINCREMENT go on where it was.
async fn advance(sqlite: &mut Sqlite, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let Some(sequence) = group.layout.sequence else { return Ok(()) };
    if !place.shape.sql.to_ascii_uppercase().contains("AUTOINCREMENT") {
        return Ok(());
    }
    let name = Sqlite::literal(&place.shape.name);
    let sql = format!(
        "INSERT INTO main.sqlite_sequence (name, seq) SELECT {name}, 0
         WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_sequence WHERE name = {name});
         UPDATE main.sqlite_sequence SET seq = max(seq, {sequence}) WHERE name = {name}"
    );
    sqlite.run("let the numbers go on", sql).await
}

/// Counts what is back and what stays, and throws away what is back.
async fn account(sqlite: &mut Sqlite, group: Group) -> Result<Vec<PutBack>, DatabaseError> {
    let kept = data(group.data);
    let there = format!("SELECT count(*) FROM main.sqlite_schema WHERE 'main.' || name = '{kept}'");
    let mut back = 0;
    let mut left = BTreeMap::new();
    if count(sqlite, &there).await? > 0 {
        back = count(sqlite, &format!("SELECT count(*) FROM {kept} WHERE m IS NULL")).await?;
        let sql = format!("SELECT m, count(*) FROM {kept} WHERE m IS NOT NULL GROUP BY m");
        for row in &rows(sqlite, &sql).await? {
            left.insert(text(row, 0)?, u64::try_from(number(row, 1)?).unwrap_or(0));
        }
        let sql = match left.is_empty() {
            true => format!("DROP TABLE {kept}"),
            false => format!("DELETE FROM {kept} WHERE m IS NULL"),
        };
        sqlite.run("empty the archive of what is back", sql).await?;
    }
    let misfits = misfits(left);
    let mut done = Vec::new();
    for entry in group.entries {
        let before = entry.restored.map_or(0, |restored| restored.back);
        let restored = Restored { back: before + back, misfits: misfits.clone() };
        let json = Sqlite::literal(&serde_json::to_string(&restored).unwrap_or_default());
        let sql =
            format!("UPDATE main.sternway_archive SET restored = {json} WHERE id = {}", entry.id);
        sqlite.run("note what is back", sql).await?;
        done.push(PutBack { id: entry.id, lost: entry.lost, restored });
    }
    Ok(done)
}
