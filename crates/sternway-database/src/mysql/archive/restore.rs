//! Putting rows back, in a transaction: all that still fit, in one go where that works, and one by one
//! where it does not, so that each row that stays has its reason.
//!
//! Rows of tables that refer to one another go in together, so they are inserted with the server's
//! checks of foreign keys off, and every one is then looked at under a lock on the rows it refers to:
//! what leads nowhere is taken out, and the rest is put back anew, until all of it holds.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::{PutBack, Restored};
use sternway_model::effect::Lost;

use super::keep::{fill, place as make_place};
use super::shape::{ForeignKey, Shape, count, look};
use super::{LENIENT, NAME, PREFIX, STRICT, data, image, matches, of_step, stored};
use crate::kept::{Layout, Stored, misfits, opposite, reason};
use crate::mysql::{MySql, cell, number, track};
use crate::port::{Care, DatabaseError};

/// What waits to be put back: batches, the newest first, of groups of entries that share their rows.
pub struct Waiting(Vec<Vec<Group>>);

impl Waiting {
    /// Nothing.
    pub const NONE: Waiting = Waiting(Vec::new());
}

/// Entries that share their rows.
struct Group {
    /// Whether it is put back before its time: where nothing of it fits then, it goes on waiting.
    early: bool,
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
pub async fn waiting(mysql: &mut MySql, care: &Care<'_>) -> Result<Waiting, DatabaseError> {
    let step = of_step(care, opposite(care.direction));
    let condition = format!("{step} AND state = 'kept' AND restored IS NULL");
    if stored(mysql, &condition).await?.is_empty() {
        return Ok(Waiting::NONE);
    }
    mysql.run("look at the archive", STRICT.to_owned()).await?;
    let waiting = look_at(mysql, &condition, false).await;
    mysql.run("look at the archive", LENIENT.to_owned()).await?;
    waiting
}

/// Looks at entries, and at what is in their place now.
pub async fn look_at(
    mysql: &mut MySql,
    condition: &str,
    early: bool,
) -> Result<Waiting, DatabaseError> {
    let mut batches: BTreeMap<i64, BTreeMap<i64, Group>> = BTreeMap::new();
    for (_, entry) in stored(mysql, condition).await? {
        let kind = match entry.lost {
            Lost::Column { .. } => Kind::Columns,
            Lost::Rows { .. } => Kind::Rows,
            Lost::Table { .. } | Lost::Sequence { .. } => Kind::Table,
        };
        let (data, layout, older) = (entry.data, entry.layout.clone(), false);
        let batch = batches.entry(entry.step).or_default();
        let group = batch.entry(data).or_insert(Group {
            early,
            entries: Vec::new(),
            data,
            layout,
            kind,
            older,
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
            lay_out(mysql, group).await?;
            before(mysql, group).await?;
        }
        // Values go back to rows that are there.
        groups.sort_by_key(|group| group.kind == Kind::Columns);
        found.push(groups);
    }
    Ok(Waiting(found))
}

/// Lays the rows of a table that was moved aside out as those of copies are.
async fn lay_out(mysql: &mut MySql, group: &mut Group) -> Result<(), DatabaseError> {
    if !group.layout.moved {
        return Ok(());
    }
    let Some(shape) = look(mysql, &format!("{PREFIX}{}", group.data)).await? else { return Ok(()) };
    let (from, id) = (data(mysql, group.data), -group.data);
    make_place(mysql, id, &shape.plain()).await?;
    fill(mysql, id, &shape, &from).await?;
    group.layout.moved = false;
    let layout = MySql::literal(&serde_json::to_string(&group.layout).unwrap_or_default());
    let index = mysql.table(NAME);
    let sql = format!(
        "UPDATE {index} SET data = {id}, layout = {layout} WHERE data = {} LIMIT 1000; COMMIT; DROP TABLE {from}",
        group.data
    );
    mysql.run("lay the rows out", sql).await?;
    group.data = id;
    Ok(())
}

/// Notes in `w` what is in the place of each row: `taken`, `same`, `other` or nothing.
async fn before(mysql: &mut MySql, group: &Group) -> Result<(), DatabaseError> {
    let (kept, layout) = (data(mysql, group.data), &group.layout);
    if !track::exists(mysql, &format!("{PREFIX}{}", group.data)).await? {
        return Ok(());
    }
    mysql.run("look at the archive", format!("UPDATE {kept} SET w = NULL, m = NULL")).await?;
    let key = layout.keys();
    let Some(after) =
        layout.after.as_deref().filter(|_| group.kind == Kind::Rows && !key.is_empty())
    else {
        return Ok(());
    };
    let Some(shape) = look(mysql, after).await? else { return Ok(()) };
    let names: Vec<String> =
        key.iter().filter_map(|at| layout.renamed.get(*at).cloned().flatten()).collect();
    let Some(held) = look(mysql, &format!("{PREFIX}{}", group.data)).await? else { return Ok(()) };
    if !shape.is_unique(&names) {
        return Ok(());
    }
    let same: Vec<String> = (0..layout.columns.len())
        .filter_map(|at| {
            let now = shape.column(layout.renamed.get(at)?.as_ref()?)?;
            let own = held.column(&format!("a{at}"))?;
            Some(own.is_same(&format!("k.a{at}"), now, &format!("t.{}", MySql::quote(&now.name))))
        })
        .collect();
    let sql = format!(
        "UPDATE {kept} k JOIN {} t ON {} SET k.w = CASE WHEN NOT (k.u <=> 'c') THEN 'taken' WHEN {} THEN 'same' ELSE 'other' END",
        mysql.table(after),
        matches(&key, &layout.renamed),
        same.join(" AND ")
    );
    mysql.run("look at what is in their place", sql).await
}

/// Puts back what waits.
pub async fn put_back(mysql: &mut MySql, waiting: Waiting) -> Result<Vec<PutBack>, DatabaseError> {
    let mut done = Vec::new();
    if waiting.0.is_empty() {
        return Ok(done);
    }
    let checks = "@sternway_checks = @@SESSION.foreign_key_checks";
    mysql
        .run("put rows back", format!("{STRICT}; SET {checks}, SESSION foreign_key_checks = 1"))
        .await?;
    let put = async {
        for group in waiting.0.iter().flatten() {
            advance(mysql, group).await?;
        }
        mysql.run("put rows back", "START TRANSACTION READ WRITE".to_owned()).await?;
        let mut emptied = Vec::new();
        for batch in waiting.0 {
            fit(mysql, &batch).await?;
            for group in batch {
                emptied.extend(account(mysql, group, &mut done).await?);
            }
        }
        mysql.run("put rows back", "COMMIT".to_owned()).await?;
        for kept in emptied {
            mysql.run("empty the archive", format!("DROP TABLE IF EXISTS {kept}")).await?;
        }
        Ok::<_, DatabaseError>(())
    };
    let put = put.await;
    if put.is_err() {
        // A connection that is gone has done this by itself.
        let _ = mysql.run("put rows back", "ROLLBACK".to_owned()).await;
    }
    let settings = format!("{LENIENT}, SESSION foreign_key_checks = @sternway_checks");
    let settled = mysql.run("put rows back", settings).await;
    put?;
    settled.map(|()| done)
}

/// Puts a batch back until every foreign key of it holds.
async fn fit(mysql: &mut MySql, batch: &[Group]) -> Result<(), DatabaseError> {
    let mut orphans: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    loop {
        mysql.run("put rows back", "SAVEPOINT sternway_fit".to_owned()).await?;
        for group in batch {
            if let Some(known) = orphans.get(&group.data) {
                mark(mysql, group, known, reason::ORPHAN).await?;
            }
            apply(mysql, group).await?;
        }
        let mut more = false;
        for group in batch {
            let found = lead_nowhere(mysql, group).await?;
            more |= !found.is_empty();
            orphans.entry(group.data).or_default().extend(found);
        }
        if !more {
            return mysql.run("put rows back", "RELEASE SAVEPOINT sternway_fit".to_owned()).await;
        }
        mysql.run("put rows back", "ROLLBACK TO SAVEPOINT sternway_fit".to_owned()).await?;
    }
}

async fn mark(
    mysql: &mut MySql,
    group: &Group,
    which: &BTreeSet<i64>,
    why: &str,
) -> Result<(), DatabaseError> {
    let which: Vec<String> = which.iter().map(ToString::to_string).collect();
    for part in which.chunks(5_000) {
        refuse(mysql, group, &format!("k.n IN ({})", part.join(", ")), why).await?;
    }
    Ok(())
}

/// Marks the rows for which a condition holds as misfits.
async fn refuse(
    mysql: &mut MySql,
    group: &Group,
    condition: &str,
    why: &str,
) -> Result<(), DatabaseError> {
    let kept = data(mysql, group.data);
    let sql = format!("UPDATE {kept} k SET k.m = '{why}' WHERE k.m IS NULL AND ({condition})");
    mysql.run("note what does not fit", sql).await
}

/// A table that rows go back to.
struct Place {
    shape: Shape,
    /// The archive's own table.
    held: Shape,
    /// The columns of the layout that it has.
    columns: Vec<usize>,
    /// Those that tell its rows apart, if they do.
    key: Vec<usize>,
    /// The condition under which a row `t` of it is the row `k` of the archive.
    row: String,
    table: String,
    kept: String,
}

impl Place {
    fn name(&self, group: &Group, at: usize) -> String {
        MySql::quote(&group.layout.columns[at])
    }

    /// The condition under which `k` and `t` have the same values in these columns.
    fn same(&self, group: &Group, columns: &[usize]) -> String {
        let one = |at: &usize| {
            let own = self.held.column(&format!("c{at}"))?;
            let now = self.shape.column(&group.layout.columns[*at])?;
            Some(own.is_same(&format!("k.c{at}"), now, &format!("t.{}", self.name(group, *at))))
        };
        columns.iter().filter_map(one).collect::<Vec<_>>().join(" AND ")
    }

    /// What keeps the columns that count the changes of a row from counting these, of columns
    /// that are not set anyhow.
    fn unmoved(&self, set: &[String]) -> Vec<String> {
        let counts = self.shape.columns.iter().filter(|column| column.touched);
        let own = counts.map(|column| format!("t.{}", MySql::quote(&column.name)));
        let is_set = |own: &String| set.iter().any(|it| it.starts_with(&format!("{own} = ")));
        own.filter(|own| !is_set(own)).map(|own| format!("{own} = {own}")).collect()
    }

    fn fires(&self, event: &str) -> bool {
        self.shape.triggers.iter().any(|it| it == event)
    }
}

/// The table that a group goes back to.
async fn place(mysql: &mut MySql, group: &Group) -> Result<Option<Place>, DatabaseError> {
    let layout = &group.layout;
    let Some(held) = look(mysql, &format!("{PREFIX}{}", group.data)).await? else {
        return Ok(None);
    };
    let Some(shape) = look(mysql, &layout.table).await? else { return Ok(None) };
    let has = |at: &usize| shape.column(&layout.columns[*at]).is_some_and(|it| !it.generated);
    let columns = (0..layout.columns.len()).filter(has).collect();
    let key = if shape.is_unique(&layout.key) { layout.keys() } else { Vec::new() };
    let names: Vec<Option<String>> = layout.columns.iter().cloned().map(Some).collect();
    let row = matches(&key, &names);
    let (table, kept) = (mysql.table(&shape.name), data(mysql, group.data));
    Ok(Some(Place { shape, held, columns, key, row, table, kept }))
}

/// Puts a group back as far as its table lets it.
async fn apply(mysql: &mut MySql, group: &Group) -> Result<(), DatabaseError> {
    if !track::exists(mysql, &format!("{PREFIX}{}", group.data)).await? {
        return Ok(());
    }
    let Some(place) = place(mysql, group).await? else {
        return refuse(mysql, group, "1", reason::NO_TABLE).await;
    };
    for at in 0..group.layout.columns.len() {
        let generated =
            place.shape.column(&group.layout.columns[at]).is_some_and(|it| it.generated);
        if !place.columns.contains(&at) && !generated {
            refuse(mysql, group, &format!("k.c{at} IS NOT NULL"), reason::NO_COLUMN).await?;
        }
    }
    if group.layout.uncertain && group.kind != Kind::Columns {
        // Those that the other half has brought back are there as they were.
        let same = place.same(group, &place.columns);
        let Place { table, row, .. } = &place;
        let gone = match place.key.is_empty() {
            true => "1".to_owned(),
            false => {
                format!("NOT EXISTS (SELECT 1 FROM {table} t WHERE {row} AND {same})")
            }
        };
        refuse(mysql, group, &gone, reason::LOST_TRACK).await?;
    }
    match group.kind {
        Kind::Columns => columns(mysql, group, &place).await,
        Kind::Rows => {
            changed(mysql, group, &place).await?;
            insert(mysql, group, &place).await
        }
        Kind::Table => insert(mysql, group, &place).await,
    }
}

/// Puts the values of columns back.
async fn columns(mysql: &mut MySql, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let layout = &group.layout;
    let is_lost = |at: &usize| layout.renamed.get(*at).is_none_or(Option::is_none);
    let lost: Vec<usize> = place.columns.iter().copied().filter(is_lost).collect();
    let mut set: Vec<String> =
        lost.iter().map(|at| format!("t.{} = k.c{at}", place.name(group, *at))).collect();
    if set.is_empty() {
        return refuse(mysql, group, "1", reason::NO_COLUMN).await;
    }
    if place.key.is_empty() {
        return refuse(mysql, group, "1", reason::NO_KEY).await;
    }
    let Place { table, kept, row, .. } = place;
    let gone = format!("NOT EXISTS (SELECT 1 FROM {table} t WHERE {row})");
    refuse(mysql, group, &gone, reason::DELETED).await?;
    if group.older {
        return refuse(mysql, group, "1", reason::NEWER).await;
    }
    if place.fires("UPDATE") {
        return refuse(mysql, group, "1", reason::TRIGGERS).await;
    }
    set.extend(place.unmoved(&set));
    let sql =
        format!("UPDATE {table} t JOIN {kept} k ON {row} SET {} WHERE k.m IS NULL", set.join(", "));
    each(mysql, group, &[sql], "1").await
}

/// Gives changed rows the values back that the body changed, where nobody has written to them since.
async fn changed(mysql: &mut MySql, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let Place { table, kept, row, .. } = place;
    let some = format!("SELECT COUNT(*) AS n FROM {kept} WHERE u = 'c'");
    if count(mysql, &some).await? == 0 {
        return Ok(());
    }
    let both = |at: &usize| place.held.column(&format!("a{at}")).is_some();
    let mut set: Vec<String> = place
        .columns
        .iter()
        .filter(|at| both(at))
        .filter_map(|at| {
            let (after, old) =
                (place.held.column(&format!("a{at}"))?, place.held.column(&format!("c{at}"))?);
            let same = after.is_same(&format!("k.a{at}"), old, &format!("k.c{at}"));
            let name = place.name(group, *at);
            Some(format!("t.{name} = IF({same}, t.{name}, k.c{at})"))
        })
        .collect();
    if set.is_empty() || place.key.is_empty() {
        return refuse(mysql, group, "k.u = 'c'", reason::NO_KEY).await;
    }
    if group.older {
        return refuse(mysql, group, "k.u = 'c'", reason::NEWER).await;
    }
    if place.fires("UPDATE") {
        return refuse(mysql, group, "k.u = 'c'", reason::TRIGGERS).await;
    }
    refuse(mysql, group, "k.u = 'c' AND k.w IS NULL", reason::DELETED).await?;
    refuse(mysql, group, "k.u = 'c' AND k.w <> 'same'", reason::CHANGED).await?;
    // What the other half took away although nobody had touched it is as good as deleted.
    let sql = format!(
        "UPDATE {kept} k SET k.u = 'd', k.w = NULL WHERE k.u = 'c' AND k.m IS NULL
         AND NOT EXISTS (SELECT 1 FROM {table} t WHERE {row})"
    );
    mysql.run("look for the rows that were changed", sql).await?;
    set.extend(place.unmoved(&set));
    let sql = format!(
        "UPDATE {table} t JOIN {kept} k ON {row} SET {} WHERE k.m IS NULL AND k.u = 'c'",
        set.join(", ")
    );
    each(mysql, group, &[sql], "k.u = 'c'").await
}

/// Inserts rows that are gone.
async fn insert(mysql: &mut MySql, group: &Group, place: &Place) -> Result<(), DatabaseError> {
    let Place { table, kept, row, .. } = place;
    let names: Vec<String> = place.columns.iter().map(|at| place.name(group, *at)).collect();
    let values: Vec<String> = place.columns.iter().map(|at| format!("k.c{at}")).collect();
    let gone = "NOT (k.u <=> 'c')";
    if names.is_empty() {
        return refuse(mysql, group, gone, reason::NO_COLUMN).await;
    }
    if place.fires("INSERT") {
        return refuse(mysql, group, gone, reason::TRIGGERS).await;
    }
    let which = format!("k.m IS NULL AND {gone}");
    let mut statements = Vec::new();
    let mut free = String::new();
    if !place.key.is_empty() {
        refuse(mysql, group, &format!("{gone} AND k.w = 'taken'"), reason::TAKEN).await?;
        if group.layout.carried || place.fires("UPDATE") {
            // What is there may be the row itself, carried over, and newer.
            let same = place.same(group, &place.columns);
            let taken =
                format!("{gone} AND EXISTS (SELECT 1 FROM {table} t WHERE {row} AND NOT ({same}))");
            refuse(mysql, group, &taken, reason::TAKEN).await?;
        } else {
            let mut set: Vec<String> = names
                .iter()
                .zip(&values)
                .map(|(name, value)| format!("t.{name} = {value}"))
                .collect();
            set.extend(place.unmoved(&set));
            statements.push(format!(
                "UPDATE {table} t JOIN {kept} k ON {row} SET {} WHERE {which}",
                set.join(", ")
            ));
        }
        free = format!("AND NOT EXISTS (SELECT 1 FROM {table} t WHERE {row})");
    } else if group.kind == Kind::Table {
        // What the other half puts there is among the rows that were kept, and not beside them.
        let old =
            image(place.columns.iter().filter_map(|at| {
                Some(place.held.column(&format!("c{at}"))?.bytes(&format!("c{at}")))
            }));
        let new = image(place.columns.iter().filter_map(|at| {
            Some(place.shape.column(&group.layout.columns[*at])?.bytes(&place.name(group, *at)))
        }));
        let sql = format!(
            "UPDATE {kept} k JOIN (
                 SELECT o.n AS n FROM (SELECT n, {old} AS image, ROW_NUMBER() OVER (PARTITION BY {old} ORDER BY n) AS i
                                       FROM {kept} WHERE m IS NULL) o
                 JOIN (SELECT {new} AS image, COUNT(*) AS many FROM {table} GROUP BY 1) t
                   ON t.image = o.image AND o.i <= t.many) x ON x.n = k.n SET k.w = 'there'"
        );
        mysql.run("find rows that are there", sql).await?;
        free = "AND NOT (k.w <=> 'there')".to_owned();
    }
    statements.push(format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {kept} k WHERE {which} {free} ORDER BY k.n",
        names.join(", "),
        values.join(", ")
    ));
    // Who refers to whom is looked at when all are in place.
    let checks = |on: u8| format!("SET SESSION foreign_key_checks = {on}");
    mysql.run("put rows back", checks(0)).await?;
    let inserted = each(mysql, group, &statements, gone).await;
    mysql.run("put rows back", checks(1)).await?;
    inserted
}

/// Runs statements for all rows at once. Where a rule of the table forbids that, for one row after the
/// other, again and again as long as there is progress, because one may wait for another to move away.
async fn each(
    mysql: &mut MySql,
    group: &Group,
    statements: &[String],
    which: &str,
) -> Result<(), DatabaseError> {
    mysql.run("put rows back", "SAVEPOINT sternway_all".to_owned()).await?;
    let mut whole = Ok(());
    for sql in statements {
        whole = mysql.run("put rows back", sql.clone()).await;
        if whole.is_err() {
            break;
        }
    }
    let Err(error) = whole else {
        return mysql.run("put rows back", "RELEASE SAVEPOINT sternway_all".to_owned()).await;
    };
    why(error)?;
    mysql.run("put rows back", "ROLLBACK TO SAVEPOINT sternway_all".to_owned()).await?;
    let sql = format!(
        "SELECT k.n AS n FROM {} k WHERE k.m IS NULL AND {which} ORDER BY k.n",
        data(mysql, group.data)
    );
    let rows = mysql.fetch("put rows back", sql).await?;
    let mut left: Vec<i64> = rows.iter().filter_map(|row| cell(row, "n").parse().ok()).collect();
    loop {
        let mut refused: Vec<(i64, &'static str)> = Vec::new();
        for n in &left {
            for sql in statements {
                let sql = sql.replace("k.m IS NULL", &format!("k.m IS NULL AND k.n = {n}"));
                if let Err(error) = mysql.run("put a row back", sql).await {
                    refused.push((*n, why(error)?));
                    break;
                }
            }
        }
        if refused.len() == left.len() {
            for (n, why) in refused {
                mark(mysql, group, &BTreeSet::from([n]), why).await?;
            }
            return Ok(());
        }
        left = refused.into_iter().map(|(n, _)| n).collect();
    }
}

/// The rule that a row breaks; other errors are errors.
fn why(error: DatabaseError) -> Result<&'static str, DatabaseError> {
    match number(&error) {
        Some(1062) => Ok(reason::UNIQUE),
        Some(1048 | 1364) => Ok(reason::NULL),
        Some(3819 | 4025) => Ok(reason::CHECK),
        Some(1216 | 1217 | 1451 | 1452) => Ok(reason::ORPHAN),
        Some(1264 | 1265 | 1292 | 1366 | 1406 | 3140) => Ok(reason::TYPE),
        _ => Err(error),
    }
}

/// The rows of a group that are back and refer to what is not there. What they refer to stays locked.
async fn lead_nowhere(mysql: &mut MySql, group: &Group) -> Result<BTreeSet<i64>, DatabaseError> {
    let mut found = BTreeSet::new();
    let Some(place) = place(mysql, group).await? else { return Ok(found) };
    let layout = &group.layout;
    for key in &place.shape.foreign_keys {
        let written =
            |column: &str| layout.at(column).is_some_and(|at| place.columns.contains(&at));
        let all = key.columns.iter().all(|(column, _)| written(column));
        if !all && (place.key.is_empty() || !key.columns.iter().any(|(column, _)| written(column)))
        {
            continue;
        }
        let value = |column: &str| match layout.at(column).filter(|_| all) {
            Some(at) => format!("k.c{at}"),
            None => format!("t.{}", MySql::quote(column)),
        };
        let from = match all {
            true => format!("{} k", place.kept),
            false => format!("{} k JOIN {} t ON {}", place.kept, place.table, place.row),
        };
        let sql = format!(
            "SELECT k.n AS n FROM {from} WHERE k.m IS NULL AND {} LOCK IN SHARE MODE",
            nowhere(mysql, key, value)
        );
        let rows = mysql.fetch("look at the foreign keys", sql).await?;
        found.extend(rows.iter().filter_map(|row| cell(row, "n").parse::<i64>().ok()));
    }
    Ok(found)
}

/// The condition under which a foreign key leads nowhere from the values that `value` gives.
fn nowhere(mysql: &MySql, key: &ForeignKey, value: impl Fn(&str) -> String) -> String {
    let given = key.columns.iter().map(|(column, _)| format!("{} IS NOT NULL", value(column)));
    let given = given.collect::<Vec<_>>().join(" AND ");
    let met = key
        .columns
        .iter()
        .map(|(column, there)| format!("p.{} = {}", MySql::quote(there), value(column)));
    let met = met.collect::<Vec<_>>().join(" AND ");
    format!("({given} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {met}))", mysql.table(&key.parent))
}

/// Lets an AUTO_INCREMENT go on where it was. The server takes no number that is too small.
async fn advance(mysql: &mut MySql, group: &Group) -> Result<(), DatabaseError> {
    let Some(sequence) = group.layout.sequence.filter(|_| group.kind == Kind::Table) else {
        return Ok(());
    };
    let Some(shape) = look(mysql, &group.layout.table).await? else { return Ok(()) };
    if shape.next.is_none_or(|next| next >= sequence) {
        return Ok(());
    }
    let sql = format!("ALTER TABLE {} AUTO_INCREMENT = {sequence}", mysql.table(&shape.name));
    mysql.run("let the numbers go on", sql).await
}

/// Counts what is back and what stays, and throws away what is back. Returns the table that is empty.
async fn account(
    mysql: &mut MySql,
    group: Group,
    done: &mut Vec<PutBack>,
) -> Result<Option<String>, DatabaseError> {
    let kept = data(mysql, group.data);
    let mut back = 0;
    let mut left = BTreeMap::new();
    let there = track::exists(mysql, &format!("{PREFIX}{}", group.data)).await?;
    if there {
        back = count(mysql, &format!("SELECT COUNT(*) AS n FROM {kept} WHERE m IS NULL")).await?;
        let sql = format!("SELECT m, COUNT(*) AS n FROM {kept} WHERE m IS NOT NULL GROUP BY m");
        for row in &mysql.fetch("count rows", sql).await? {
            left.insert(cell(row, "m"), cell(row, "n").parse().unwrap_or(0));
        }
        let sql = format!("DELETE FROM {kept} WHERE m IS NULL");
        mysql.run("empty the archive of what is back", sql).await?;
    }
    let misfits = misfits(left);
    let index = mysql.table(NAME);
    for entry in group.entries {
        let untried = entry.restored.is_none();
        let before = entry.restored.map_or(0, |restored| restored.back);
        let restored = Restored { back: before + back, misfits: misfits.clone() };
        if group.early && untried && back == 0 && !misfits.is_empty() {
            done.push(PutBack { id: entry.id, lost: entry.lost, restored });
            continue;
        }
        let json = MySql::literal(&serde_json::to_string(&restored).unwrap_or_default());
        let sql = format!("UPDATE {index} SET restored = {json} WHERE id = {} LIMIT 1", entry.id);
        mysql.run("note what is back", sql).await?;
        done.push(PutBack { id: entry.id, lost: entry.lost, restored });
    }
    Ok((there && misfits.is_empty()).then_some(kept))
}
