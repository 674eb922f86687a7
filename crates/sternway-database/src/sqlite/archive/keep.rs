//! Keeping what a body takes away: every table that it may touch is copied before it, and what is
//! still there afterwards is thrown away again, all in the transaction of the body.

use sternway_model::archive::Preserved;
use sternway_model::effect::{Effects, Loss, Lost, Unkept};
use sternway_model::proof::Fingerprint;

use super::MAKE;
use super::shape::{is_numbered, look, rows, text};
use super::written::{Written, written};
use crate::archive::Result;
use crate::archive::compare::{
    Pair, by_contents, by_row, drop_unchanged, renamed, rows_lost, split_columns,
};
use crate::archive::shape::Shape;
use crate::archive::sql::{SqlStore, count, data, leads_nowhere, rows_of};
use crate::archive::{KEPT, Layout, NewEntry, PREFIX, Trouble, insertion, last_id};
use crate::effects::effects;
use crate::port::{Preservation, Work};
use crate::sqlite::statements::words::split;
use crate::sqlite::{Sqlite, introspect};

/// What was there before a body.
pub struct Before {
    fingerprint: Fingerprint,
    except: Vec<String>,
    written: Written,
    copies: Vec<Copy>,
    /// The virtual tables that it touches, which hold their rows elsewhere.
    elsewhere: Vec<String>,
}

/// A table as it was, copied.
struct Copy {
    shape: Shape,
    /// The number of the copy.
    id: i64,
    layout: Layout,
}

/// Copies what the body may touch.
pub async fn before(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Preservation<'_>,
) -> Result<Before, Trouble> {
    let mut except: Vec<String> = sqlite.tracked.iter().cloned().collect();
    except.push(work.table.to_owned());
    let fingerprint = introspect::fingerprint(sqlite, &except).await?;
    let written = written(sqlite, work.body).await?;
    if !written.tables.is_empty() {
        sqlite.run("make the archive", MAKE.to_owned()).await?;
    }
    let mut copies = Vec::new();
    let mut elsewhere = Vec::new();
    let mut id = next(sqlite, &written).await?;
    for name in &written.tables {
        if except.iter().any(|it| it.eq_ignore_ascii_case(name)) || care.discards(name) {
            continue;
        }
        let Some(shape) = look(sqlite, name).await? else {
            if let Some(name) = holds_elsewhere(sqlite, name).await? {
                elsewhere.push(name);
            }
            continue;
        };
        copies.push(copy(sqlite, shape, id).await?);
        id += 1;
    }
    Ok(Before { fingerprint, except, written, copies, elsewhere })
}

/// The first number that no entry and no table of the archive has, nor had one whose rows are all back.
async fn next(sqlite: &mut Sqlite, written: &Written) -> Result<i64, Trouble> {
    if written.tables.is_empty() {
        return Ok(1);
    }
    Ok(last(sqlite).await? + 1)
}

/// The highest number of an entry or a table of the archive. An entry whose rows are all back has no table
/// any more, and goes on saying which one it had.
async fn last(sqlite: &mut Sqlite) -> Result<i64, Trouble> {
    let sql = format!(
        "SELECT max(coalesce((SELECT max(max(id), max(data)) FROM main.sternway_archive), 0),
                    coalesce((SELECT max(CAST(substr(name, {}) AS INTEGER)) FROM main.sqlite_schema
                              WHERE name GLOB '{PREFIX}*'), 0))",
        PREFIX.len() + 1
    );
    Ok(i64::try_from(count(sqlite, sql).await?).unwrap_or(i64::MAX))
}

async fn copy(sqlite: &mut Sqlite, shape: Shape, id: i64) -> Result<Copy, Trouble> {
    let sequence = shape.sequence.filter(|sequence| *sequence > 0);
    let layout = Layout { sequence, ..Layout::of(&shape) };
    make(sqlite, id, layout.columns.len()).await?;
    let mut orphans = vec!["0".to_owned()];
    for key in &shape.foreign_keys {
        let value = |column: &str| format!("t.{}", Sqlite::quote(column));
        orphans.push(leads_nowhere(sqlite, key, value).await?);
    }
    let rowid = shape.rowid.map_or("NULL".to_owned(), |rowid| format!("t.{rowid}"));
    let columns = layout.columns.iter().map(|it| format!("t.{}", Sqlite::quote(it)));
    let sql = format!(
        "INSERT INTO {} (r, f, {}) SELECT {rowid}, {}, {} FROM {} AS t {}",
        data(sqlite, id),
        (0..layout.columns.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", "),
        orphans.join(" OR "),
        columns.collect::<Vec<_>>().join(", "),
        sqlite.qualified(&shape.name),
        shape.rowid.map_or(String::new(), |rowid| format!("ORDER BY t.{rowid}")),
    );
    sqlite.run("copy what the body may take away", sql).await?;
    Ok(Copy { shape, id, layout })
}

/// Makes a table for kept rows: `n` is the number of a row and `r` the one that it had, `f` says that
/// a foreign key of it led nowhere, `u` whether it was deleted or changed, `w` what was found in its
/// place, and `m` why it cannot be put back.
async fn make(sqlite: &mut Sqlite, id: i64, columns: usize) -> Result<(), Trouble> {
    let columns: String = (0..columns).map(|at| format!(", c{at}, a{at}")).collect();
    let sql = format!(
        "CREATE TABLE {} (n INTEGER PRIMARY KEY, r, f, u, w, m{columns})",
        data(sqlite, id)
    );
    Ok(sqlite.run("make a place for what is kept", sql).await?)
}

/// Finds out what the body took away, keeps that, and throws the rest of the copies away. `beyond`
/// what the plan says nothing is taken.
pub async fn after(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Preservation<'_>,
    before: Before,
) -> Result<(Effects, Vec<Preserved>), Trouble> {
    let now = introspect::fingerprint(sqlite, &before.except).await?;
    let mut effects = effects(&before.fingerprint, &now);
    let mut made = Vec::new();
    let copies = before.copies.iter().filter(|_| !care.each_lock);
    for copy in copies {
        take_stock(sqlite, care, &before.written, copy, &mut made).await?;
    }
    for NewEntry { lost, data, layout, rows } in &made {
        let rows = Some(rows_lost(sqlite, lost, *data, layout, *rows).await?);
        let bytes = Some(sqlite.size(&format!("{PREFIX}{data}")).await?);
        effects.losses.push(Loss { lost: lost.clone(), rows, bytes, estimated: false });
    }
    if care.each_lock {
        effects.losses = foresee(sqlite, &before).await?;
        // A rehearsal has no rows, and sets most of them off in vain.
        let called = before.written.triggers.iter();
        let called = called.map(|(name, table)| format!("what the trigger {name} of {table} does"));
        effects.unforeseen.extend(called);
    }
    let unkept = unkept(&before, &now);
    if let (true, Some(first)) = (care.keep, unkept.first()) {
        return Err(Trouble::CannotKeep(first.reason.clone()));
    }
    effects.unkept = unkept;
    let more = care.planned.map(|planned| effects.beyond(planned)).unwrap_or_default();
    if care.keep && !more.is_empty() {
        return Err(Trouble::Beyond(more));
    }
    // Who discards what the plan says has not said so of the rest.
    let (keep, discard): (Vec<NewEntry>, Vec<NewEntry>) =
        made.into_iter().partition(|it| care.keep || more.contains(&it.lost));
    for it in &discard {
        let place = data(sqlite, it.data);
        let sql = match &it.lost {
            Lost::Column { column, .. } if keep.iter().any(|kept| kept.data == it.data) => {
                let Some(at) = it.layout.at(column) else { continue };
                format!("UPDATE {place} SET c{at} = NULL")
            }
            _ => format!("DROP TABLE IF EXISTS {place}"),
        };
        sqlite.run("discard", sql).await?;
    }
    let kept = note(sqlite, work, care, &keep).await?;
    Ok((effects, kept))
}

/// What a body has taken and cannot be kept. A virtual table that only got rows has lost none.
fn unkept(before: &Before, now: &Fingerprint) -> Vec<Unkept> {
    let unforeseen = before.written.unforeseen.iter().cloned();
    let unforeseen = unforeseen.map(|reason| Unkept { table: String::new(), reason });
    let only_added = |name: &str| {
        let there = now.objects.keys().any(|it| it.kind == "table" && it.name == name);
        there && before.written.whole.contains(&name.to_ascii_lowercase())
    };
    let elsewhere = before.elsewhere.iter().filter(|name| !only_added(name)).map(|name| Unkept {
        table: name.clone(),
        reason: format!("the virtual table `{name}` holds its rows elsewhere"),
    });
    unforeseen.chain(elsewhere).collect()
}

/// The name of a virtual table, if this is one that has rows of its own. An index over another table
/// (`content=`) is made of what that has.
async fn holds_elsewhere(sqlite: &mut Sqlite, name: &str) -> Result<Option<String>, Trouble> {
    let sql = format!(
        "SELECT s.name, coalesce(s.sql, '') FROM main.sqlite_schema s
         JOIN pragma_table_list l ON l.schema = 'main' AND l.name = s.name AND l.type = 'virtual'
         WHERE s.name = {} COLLATE NOCASE",
        Sqlite::literal(name)
    );
    let found = rows(sqlite, &sql).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let (name, sql) = (text(row, 0)?, text(row, 1)?);
    let split = split(&sql);
    let words = split.statements.first().map(Vec::as_slice).unwrap_or_default();
    let content = words.windows(3).any(|it| {
        it[0].is("CONTENT") && it[1].is("=") && it[2].name().is_some_and(|it| !it.is_empty())
    });
    Ok((!content).then_some(name))
}

/// What a body takes away wherever there are rows, which a shadow has none of.
async fn foresee(sqlite: &mut Sqlite, before: &Before) -> Result<Vec<Loss>, Trouble> {
    let mut losses = Vec::new();
    let mut add = |lost| losses.push(Loss { lost, rows: None, bytes: None, estimated: false });
    for copy in &before.copies {
        let table = copy.shape.name.clone();
        let first = table.to_ascii_lowercase();
        let name = before.written.renamed.get(&first);
        match look(sqlite, name.map_or(table.as_str(), String::as_str)).await? {
            None => add(Lost::Table { table }),
            Some(now) => {
                let names = before.written.columns.get(&first);
                // Made anew, it has all of its rows where they were copied as they are.
                let stays = before.written.renamed.contains_key(&first);
                let mut whole = stays || before.written.copied.contains(&first);
                whole &= stays || !now.replaces;
                for (column, kind) in copy.layout.columns.iter().zip(&copy.layout.types) {
                    let known = names.and_then(|it| it.get(&column.to_ascii_lowercase()));
                    let name = known.map_or(column.as_str(), String::as_str);
                    let same = now.column(name).filter(|it| it.kind.eq_ignore_ascii_case(kind));
                    whole &=
                        stays || now.column(name).is_none() || (same.is_some() && known.is_some());
                    // Made anew, it has none of its values.
                    whole &= !before.written.drops(&first, column) || now.column(name).is_none();
                    if now.column(name).is_none_or(|it| it.generated) {
                        let (table, column) = (table.clone(), column.clone());
                        add(Lost::Column { table, column });
                    }
                }
                if !whole || !before.written.whole.contains(&first) {
                    add(Lost::Rows { table });
                }
            }
        }
        throw_away(sqlite, copy.id).await?;
    }
    Ok(losses)
}

/// Adds what a table lost.
async fn take_stock(
    sqlite: &mut Sqlite,
    care: &Preservation<'_>,
    written: &Written,
    copy: &Copy,
    made: &mut Vec<NewEntry>,
) -> Result<(), Trouble> {
    let table = copy.shape.name.clone();
    let first = table.to_ascii_lowercase();
    let mut layout = Layout { carried: written.carries, ..copy.layout.clone() };
    let kept = data(sqlite, copy.id);
    let all = rows_of(sqlite, &kept).await?;
    let name = written.renamed.get(&first).cloned();
    let same = name.is_some();
    let Some(now) = look(sqlite, name.as_deref().unwrap_or(&table)).await? else {
        layout.key = usable(sqlite, copy, |_| true).await?.unwrap_or_default();
        if all == 0 && layout.sequence.is_none() {
            return throw_away(sqlite, copy.id).await;
        }
        made.push(NewEntry { lost: Lost::Table { table }, data: copy.id, layout, rows: all });
        return Ok(());
    };
    let names = written.columns.get(&first);
    layout.renamed =
        renamed(&layout.columns, &now, |column| names?.get(&column.to_ascii_lowercase()).cloned());
    let stays = |set: &[String]| -> bool {
        let now_called = |name: &String| Some(layout.renamed(layout.at(name)?)?.to_owned());
        let names: Option<Vec<String>> = set.iter().map(now_called).collect();
        names.is_some_and(|names| now.is_unique(&names))
    };
    let key = match usable(sqlite, copy, |set| stays(set) && !written.sets(&table, set)).await? {
        Some(key) => key,
        // The body may give rows other keys. Their numbers stay, unless those are the key.
        None if same && is_numbered(&copy.shape) && !written.sets(&table, &[]) => Vec::new(),
        None => usable(sqlite, copy, stays).await?.unwrap_or_default(),
    };
    layout.key = key;
    layout.after = Some(now.name.clone());
    let key = layout.keys();
    let held = look(sqlite, &format!("{PREFIX}{}", copy.id)).await?.unwrap_or_default();
    let pair = Pair { data: copy.id, held: &held, layout: &layout, now: &now, key: &key };
    if !compare(sqlite, &pair, copy.shape.rowid.filter(|_| same)).await? && care.keep {
        let reason = format!("rows of `{table}` have no key by which they could be found again");
        return Err(Trouble::CannotKeep(reason));
    }
    if !layout.gone().is_empty() {
        columns(sqlite, &pair, made).await?;
    }
    let deleted = rows_of(sqlite, &format!("{kept} WHERE u = 'd'")).await?;
    let there = rows_of(sqlite, &sqlite.qualified(&now.name)).await?;
    let gone = drop_unchanged(sqlite, copy.id).await?;
    // Numbers that were given are not given again, whether their rows are there or not.
    if gone == 0 && now.sequence.filter(|sequence| *sequence > 0) >= copy.layout.sequence {
        return throw_away(sqlite, copy.id).await;
    }
    // More seem to be gone than there are fewer: some have another key now.
    let uncertain = written.sets(&table, &layout.key) && deleted > all.saturating_sub(there);
    let layout = Layout { uncertain, ..layout };
    made.push(NewEntry { lost: Lost::Rows { table }, data: copy.id, layout, rows: gone });
    Ok(())
}

async fn throw_away(sqlite: &mut Sqlite, id: i64) -> Result<(), Trouble> {
    let sql = format!("DROP TABLE {}", data(sqlite, id));
    Ok(sqlite.run("throw a copy away", sql).await?)
}

/// The first columns that tell the rows of a copy apart, none of them empty, of those that `may`.
async fn usable(
    sqlite: &mut Sqlite,
    copy: &Copy,
    may: impl Fn(&[String]) -> bool,
) -> Result<Option<Vec<String>>, Trouble> {
    for set in copy.shape.unique.iter().filter(|set| may(set)) {
        let places: Option<Vec<usize>> = set.iter().map(|name| copy.layout.at(name)).collect();
        let Some(places) = places else { continue };
        let empty: Vec<String> = places.iter().map(|at| format!("c{at} IS NULL")).collect();
        let kept = data(sqlite, copy.id);
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {kept} WHERE {})", empty.join(" OR "));
        if count(sqlite, sql).await? == 0 {
            return Ok(Some(set.clone()));
        }
    }
    Ok(None)
}

/// Says of each row of the copy whether it is deleted (`d`) or changed (`c`), and what it is now, by its
/// key or else by its number `rowid`, or by its contents. Whether that can be said.
async fn compare(
    sqlite: &mut Sqlite,
    pair: &Pair<'_>,
    rowid: Option<&str>,
) -> Result<bool, Trouble> {
    if !pair.key.is_empty() {
        by_row(sqlite, pair, &pair.row::<Sqlite>()).await?;
        return Ok(true);
    }
    if let (Some(now), Some(_)) = (pair.now.rowid, rowid) {
        by_row(sqlite, pair, &format!("t.{now} = k.r")).await?;
        return Ok(true);
    }
    by_contents(sqlite, pair).await?;
    let kept = data(sqlite, pair.data);
    let gone = rows_of(sqlite, &format!("{kept} WHERE u IS NOT NULL")).await?;
    let there = rows_of(sqlite, &sqlite.qualified(&pair.now.name)).await?;
    let stayed = rows_of(sqlite, &format!("{kept} WHERE u IS NULL")).await?;
    Ok(gone == 0 || there == stayed)
}

/// Keeps the values of the columns that went, of the rows that stay, with what tells those apart.
async fn columns(
    sqlite: &mut Sqlite,
    pair: &Pair<'_>,
    made: &mut Vec<NewEntry>,
) -> Result<(), Trouble> {
    let layout = pair.layout;
    let stayed = |at: &usize| layout.renamed(*at).is_some();
    let beside: Vec<usize> = (0..layout.columns.len()).filter(stayed).collect();
    let free = last(sqlite).await? + 1;
    make(sqlite, free, beside.len() + layout.gone().len()).await?;
    // What the row is now: without a key it is found again by that.
    let value = |at| match stayed(&at) && !pair.key.contains(&at) {
        true => format!("CASE WHEN u = 'c' THEN a{at} ELSE c{at} END"),
        false => format!("c{at}"),
    };
    let split = split_columns(sqlite, pair, free, &beside, "r, f, ", value).await?;
    if split.is_empty() {
        return throw_away(sqlite, free).await;
    }
    made.extend(split);
    Ok(())
}

/// Notes what is kept in the index.
async fn note(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Preservation<'_>,
    made: &[NewEntry],
) -> Result<Vec<Preserved>, Trouble> {
    let run = work.journal.map(|(run, _)| run);
    let mut kept: Vec<Preserved> = Vec::new();
    for entry in made {
        let first = "(SELECT coalesce(max(id), 0) + 1 FROM main.sternway_archive)".to_owned();
        let step = kept.first().map_or(first, |first| first.id.to_string());
        let sql = insertion(sqlite, care, run, KEPT, entry, &step);
        sqlite.run("write the archive", sql).await?;
        let id = last_id(sqlite).await?;
        let (lost, rows) = (entry.lost.clone(), entry.rows);
        kept.push(Preserved { id, lost, rows, estimated: false });
    }
    Ok(kept)
}
