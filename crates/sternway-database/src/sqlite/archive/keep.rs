//! Keeping what a body takes away: every table that it may touch is copied before it, and what is
//! still there afterwards is thrown away again, all in the transaction of the body.

use sternway_model::archive::Kept;
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::{Effects, Loss, Lost};
use sternway_model::proof::Fingerprint;

use super::shape::{Shape, count, look, rows, text};
use super::touch::{Touched, touched};
use super::{INDEX, Trouble, data, image, is_same, matches, orphan};
use crate::kept::{Layout, direction, effects};
use crate::port::{Care, Work};
use crate::sqlite::{Sqlite, introspect};

/// What was there before a body.
pub struct Before {
    fingerprint: Fingerprint,
    except: Vec<String>,
    touched: Touched,
    copies: Vec<Copy>,
    /// Why a table that it touches cannot be copied.
    elsewhere: Option<String>,
}

/// A table as it was, copied.
struct Copy {
    shape: Shape,
    /// The number of the copy.
    id: i64,
    columns: Vec<String>,
    types: Vec<String>,
    sequence: Option<u64>,
}

/// A table that stays, beside its copy.
struct Pair<'a> {
    copy: &'a Copy,
    now: Shape,
    /// What each column of the copy is called now.
    renamed: Vec<Option<String>>,
    /// The columns of the copy that tell the rows of both apart.
    key: Vec<usize>,
    /// Whether the rows have kept their numbers.
    same: bool,
}

/// Copies what the body may touch.
pub async fn before(sqlite: &mut Sqlite, work: &Work<'_>) -> Result<Before, Trouble> {
    let mut except: Vec<String> = sqlite.tracked.iter().cloned().collect();
    except.push(work.table.to_owned());
    let fingerprint = introspect::fingerprint(sqlite, &except).await?;
    let touched = touched(sqlite, work.body).await?;
    if !touched.tables.is_empty() {
        sqlite.run("make the archive", INDEX.to_owned()).await?;
    }
    let mut copies = Vec::new();
    let mut elsewhere = None;
    let mut id = next(sqlite, &touched).await?;
    for name in &touched.tables {
        if except.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            continue;
        }
        let Some(shape) = look(sqlite, name).await? else {
            let literal = Sqlite::literal(name);
            let sql = format!(
                "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'virtual'
                 AND name = {literal} COLLATE NOCASE"
            );
            if count(sqlite, &sql).await? > 0 {
                elsewhere = Some(format!("the virtual table `{name}` holds its rows elsewhere"));
            }
            continue;
        };
        copies.push(copy(sqlite, shape, id).await?);
        id += 1;
    }
    Ok(Before { fingerprint, except, touched, copies, elsewhere })
}

/// The first number that no entry and no table of the archive has.
async fn next(sqlite: &mut Sqlite, touched: &Touched) -> Result<i64, Trouble> {
    if touched.tables.is_empty() {
        return Ok(1);
    }
    let sql = "SELECT max((SELECT coalesce(max(id), 0) FROM main.sternway_archive), coalesce(max(CAST(
               substr(name, 15) AS INTEGER)), 0)) FROM main.sqlite_schema WHERE name LIKE 'sternway\\_kept\\_%' ESCAPE '\\'";
    Ok(i64::try_from(count(sqlite, sql).await?).unwrap_or(i64::MAX - 1) + 1)
}

async fn copy(sqlite: &mut Sqlite, shape: Shape, id: i64) -> Result<Copy, Trouble> {
    let plain: Vec<_> = shape.columns.iter().filter(|column| !column.generated).collect();
    let columns: Vec<String> = plain.iter().map(|column| column.name.clone()).collect();
    let types = plain.iter().map(|column| column.kind.clone()).collect();
    make(sqlite, id, columns.len()).await?;
    let mut orphans = vec!["0".to_owned()];
    for key in &shape.foreign_keys {
        orphans.push(orphan(sqlite, key, |column| format!("t.{}", Sqlite::quote(column))).await?);
    }
    let rowid = shape.rowid.map_or("NULL".to_owned(), |rowid| format!("t.{rowid}"));
    let sql = format!(
        "INSERT INTO {} (r, f, {}) SELECT {rowid}, {}, {} FROM {} AS t {}",
        data(id),
        (0..columns.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", "),
        orphans.join(" OR "),
        columns.iter().map(|it| format!("t.{}", Sqlite::quote(it))).collect::<Vec<_>>().join(", "),
        shape.table(),
        shape.rowid.map_or(String::new(), |rowid| format!("ORDER BY t.{rowid}")),
    );
    sqlite.run("copy what the body may take away", sql).await?;
    let sequence = sequence(sqlite, &shape).await?;
    Ok(Copy { shape, id, columns, types, sequence })
}

/// Makes a table for kept rows: `n` is the number of a row and `r` the one that it had, `f` says that
/// a foreign key of it led nowhere, `u` whether it was deleted or changed, `w` what was found in its
/// place, and `m` why it cannot be put back.
async fn make(sqlite: &mut Sqlite, id: i64, columns: usize) -> Result<(), Trouble> {
    let columns: String = (0..columns).map(|at| format!(", c{at}, a{at}")).collect();
    let sql = format!("CREATE TABLE {} (n INTEGER PRIMARY KEY, r, f, u, w, m{columns})", data(id));
    Ok(sqlite.run("make a place for what is kept", sql).await?)
}

/// Where the numbers of an AUTOINCREMENT have come to.
async fn sequence(sqlite: &mut Sqlite, shape: &Shape) -> Result<Option<u64>, Trouble> {
    if !shape.sql.to_ascii_uppercase().contains("AUTOINCREMENT") {
        return Ok(None);
    }
    let name = Sqlite::literal(&shape.name);
    let sql = format!("SELECT seq FROM main.sqlite_sequence WHERE name = {name}");
    Ok(Some(count(sqlite, &sql).await?).filter(|seq| *seq > 0))
}

/// Finds out what the body took away, keeps that, and throws the rest of the copies away. `beyond`
/// what the plan says nothing is taken.
pub async fn after(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Care<'_>,
    before: Before,
) -> Result<(Effects, Vec<Kept>), Trouble> {
    let now = introspect::fingerprint(sqlite, &before.except).await?;
    let mut effects = effects(&before.fingerprint, &now);
    let mut made: Vec<(Lost, i64, Layout, u64)> = Vec::new();
    let copies = before.copies.iter().filter(|_| !care.each_lock);
    for copy in copies {
        take_stock(sqlite, care, &before.touched, copy, &mut made).await?;
    }
    for (lost, data, layout, number) in &made {
        let rows = match lost {
            Lost::Column { column, .. } => {
                let at = layout.at(column).unwrap_or(0);
                count(sqlite, &format!("SELECT count(c{at}) FROM {}", super::data(*data))).await?
            }
            _ => *number,
        };
        let bytes = Some(super::bytes(sqlite, *data).await?);
        effects.losses.push(Loss { lost: lost.clone(), rows: Some(rows), bytes, estimated: false });
    }
    if care.each_lock {
        effects.losses = foresee(sqlite, &before).await?;
        // A rehearsal has no rows, and sets most of them off in vain.
        let called = before.touched.triggers.iter();
        let called = called.map(|(name, table)| format!("what the trigger {name} of {table} does"));
        effects.unforeseen.extend(called);
    }
    if care.keep {
        let reason = before.touched.unforeseen.or(before.elsewhere);
        if let Some(reason) = reason {
            return Err(Trouble::CannotKeep(reason));
        }
    }
    let more = care.planned.map(|planned| effects.beyond(planned)).unwrap_or_default();
    if care.keep && !more.is_empty() {
        return Err(Trouble::Beyond(more));
    }
    // Who discards what the plan says has not said so of the rest.
    let (keep, discard): (Vec<_>, Vec<_>) =
        made.into_iter().partition(|(lost, ..)| care.keep || more.contains(lost));
    for (lost, id, layout, _) in &discard {
        let sql = match lost {
            Lost::Column { column, .. } if keep.iter().any(|kept| kept.1 == *id) => {
                format!("UPDATE {} SET c{} = NULL", data(*id), layout.at(column).unwrap_or(0))
            }
            _ => format!("DROP TABLE IF EXISTS {}", data(*id)),
        };
        sqlite.run("discard", sql).await?;
    }
    let kept = note(sqlite, work, care, &keep).await?;
    Ok((effects, kept))
}

/// What a body takes away wherever there are rows, which a shadow has none of.
async fn foresee(sqlite: &mut Sqlite, before: &Before) -> Result<Vec<Loss>, Trouble> {
    let mut losses = Vec::new();
    let mut add = |lost| losses.push(Loss { lost, rows: None, bytes: None, estimated: false });
    for copy in &before.copies {
        let table = copy.shape.name.clone();
        let first = table.to_ascii_lowercase();
        let name = before.touched.renamed.get(&first);
        match look(sqlite, name.map_or(table.as_str(), String::as_str)).await? {
            None => add(Lost::Table { table }),
            Some(now) => {
                let names = before.touched.columns.get(&first);
                // Made anew, it has all of its rows where they were copied as they are.
                let stays = before.touched.renamed.contains_key(&first);
                let mut whole = stays || before.touched.copied.contains(&first);
                whole &= stays || !now.sql.to_ascii_uppercase().contains("CONFLICT");
                for (column, kind) in copy.columns.iter().zip(&copy.types) {
                    let known = names.and_then(|it| it.get(&column.to_ascii_lowercase()));
                    let name = known.map_or(column.as_str(), String::as_str);
                    let same = now.column(name).filter(|it| it.kind.eq_ignore_ascii_case(kind));
                    whole &=
                        stays || now.column(name).is_none() || (same.is_some() && known.is_some());
                    if now.column(name).is_none_or(|it| it.generated) {
                        let (table, column) = (table.clone(), column.clone());
                        add(Lost::Column { table, column });
                    }
                }
                if !whole || !before.touched.whole.contains(&first) {
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
    care: &Care<'_>,
    touched: &Touched,
    copy: &Copy,
    made: &mut Vec<(Lost, i64, Layout, u64)>,
) -> Result<(), Trouble> {
    let table = copy.shape.name.clone();
    let first = table.to_ascii_lowercase();
    let mut layout = Layout {
        table: table.clone(),
        columns: copy.columns.clone(),
        types: copy.types.clone(),
        sequence: copy.sequence,
        carried: touched.carries,
        ..Layout::default()
    };
    let all = count(sqlite, &format!("SELECT count(*) FROM {}", data(copy.id))).await?;
    let name = touched.renamed.get(&first).cloned();
    let same = name.is_some();
    let Some(now) = look(sqlite, name.as_deref().unwrap_or(&table)).await? else {
        layout.key = usable(sqlite, copy, |_| true).await?.unwrap_or_default();
        if all == 0 && copy.sequence.is_none() {
            return throw_away(sqlite, copy.id).await;
        }
        made.push((Lost::Table { table }, copy.id, layout, all));
        return Ok(());
    };
    let names = touched.columns.get(&first);
    let renamed: Vec<Option<String>> = copy
        .columns
        .iter()
        .map(|column| {
            let known = names.and_then(|it| it.get(&column.to_ascii_lowercase()));
            let name = known.map_or(column.as_str(), String::as_str);
            now.column(name).filter(|it| !it.generated).map(|it| it.name.clone())
        })
        .collect();
    let at = |name: &String| layout.at(name);
    let stays = |set: &[String]| -> bool {
        let names: Option<Vec<String>> =
            set.iter().map(|name| renamed.get(at(name)?).cloned().flatten()).collect();
        names.is_some_and(|names| now.is_unique(&names))
    };
    let key = match usable(sqlite, copy, |set| stays(set) && !touched.sets(&table, set)).await? {
        Some(key) => key,
        // The body may give rows other keys. Their numbers stay, unless those are the key.
        None if same && copy.shape.is_numbered() && !touched.sets(&table, &[]) => Vec::new(),
        None => usable(sqlite, copy, stays).await?.unwrap_or_default(),
    };
    layout.key.clone_from(&key);
    layout.after = Some(now.name.clone());
    layout.renamed.clone_from(&renamed);
    let key = layout.keys();
    let pair = Pair { copy, now, renamed, key, same };
    if !compare(sqlite, &pair).await? && care.keep {
        let reason = format!("rows of `{table}` have no key by which they could be found again");
        return Err(Trouble::CannotKeep(reason));
    }
    let lost: Vec<usize> =
        (0..copy.columns.len()).filter(|at| pair.renamed[*at].is_none()).collect();
    if !lost.is_empty() {
        columns(sqlite, &pair, &layout, &lost, made).await?;
    }
    let deleted = format!("SELECT count(*) FROM {} WHERE u = 'd'", data(copy.id));
    let deleted = count(sqlite, &deleted).await?;
    let there = count(sqlite, &format!("SELECT count(*) FROM {}", pair.now.table())).await?;
    // More seem to be gone than there are fewer: some have another key now.
    layout.uncertain = touched.sets(&table, &layout.key) && deleted > all.saturating_sub(there);
    let sql = format!("DELETE FROM {} WHERE u IS NULL", data(copy.id));
    sqlite.run("throw away what is still there", sql).await?;
    let gone = count(sqlite, &format!("SELECT count(*) FROM {}", data(copy.id))).await?;
    // Numbers that were given are not given again, whether their rows are there or not.
    if gone == 0 && sequence(sqlite, &pair.now).await? >= copy.sequence {
        return throw_away(sqlite, copy.id).await;
    }
    made.push((Lost::Rows { table }, copy.id, layout, gone));
    Ok(())
}

async fn throw_away(sqlite: &mut Sqlite, id: i64) -> Result<(), Trouble> {
    Ok(sqlite.run("throw a copy away", format!("DROP TABLE {}", data(id))).await?)
}

/// The first columns that tell the rows of a copy apart, none of them empty, of those that `may`.
async fn usable(
    sqlite: &mut Sqlite,
    copy: &Copy,
    may: impl Fn(&[String]) -> bool,
) -> Result<Option<Vec<String>>, Trouble> {
    let layout = Layout { columns: copy.columns.clone(), ..Layout::default() };
    for set in copy.shape.unique.iter().filter(|set| may(set)) {
        let places: Option<Vec<usize>> = set.iter().map(|name| layout.at(name)).collect();
        let Some(places) = places else { continue };
        let empty: Vec<String> = places.iter().map(|at| format!("c{at} IS NULL")).collect();
        let sql =
            format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {})", data(copy.id), empty.join(" OR "));
        if count(sqlite, &sql).await? == 0 {
            return Ok(Some(set.clone()));
        }
    }
    Ok(None)
}

/// Says of each row of the copy whether it is deleted (`d`) or changed (`c`), and what it is now.
/// Whether that can be said.
async fn compare(sqlite: &mut Sqlite, pair: &Pair<'_>) -> Result<bool, Trouble> {
    let (kept, now) = (data(pair.copy.id), pair.now.table());
    let stay: Vec<(usize, String)> = (0..pair.renamed.len())
        .filter_map(|at| Some((at, Sqlite::quote(pair.renamed[at].as_ref()?))))
        .collect();
    let row = if !pair.key.is_empty() {
        matches(&pair.key, &pair.renamed)
    } else if let (true, Some(rowid), Some(_)) = (pair.same, pair.now.rowid, pair.copy.shape.rowid)
    {
        format!("t.{rowid} = k.r")
    } else {
        return by_contents(sqlite, pair, &stay).await;
    };
    let set: Vec<String> = stay.iter().map(|(at, name)| format!(", a{at} = t.{name}")).collect();
    let same: Vec<String> =
        stay.iter().map(|(at, name)| is_same(&format!("k.c{at}"), &format!("t.{name}"))).collect();
    let same = if same.is_empty() { "1".to_owned() } else { same.join(" AND ") };
    let sql = format!(
        "UPDATE {kept} AS k SET u = 'd' WHERE NOT EXISTS (SELECT 1 FROM {now} AS t WHERE {row});
         UPDATE {kept} AS k SET u = 'c'{} FROM {now} AS t WHERE {row} AND NOT ({same})",
        set.concat()
    );
    sqlite.run("compare what is there", sql).await?;
    Ok(true)
}

/// Compares rows that have nothing but their contents.
async fn by_contents(
    sqlite: &mut Sqlite,
    pair: &Pair<'_>,
    stay: &[(usize, String)],
) -> Result<bool, Trouble> {
    let old = image(stay.iter().map(|(at, _)| format!("c{at}")));
    let new = image(stay.iter().map(|(_, name)| name.clone()));
    let (kept, now) = (data(pair.copy.id), pair.now.table());
    let sql = format!(
        "UPDATE {kept} SET u = 'd' WHERE n NOT IN (
             SELECT k.n FROM (SELECT n, {old} AS image,
                                     row_number() OVER (PARTITION BY {old} ORDER BY n) AS i FROM {kept}) k
             JOIN (SELECT {new} AS image, count(*) AS many FROM {now} GROUP BY 1) t
               ON t.image = k.image AND k.i <= t.many)"
    );
    sqlite.run("compare what is there", sql).await?;
    let gone = count(sqlite, &format!("SELECT count(*) FROM {kept} WHERE u IS NOT NULL")).await?;
    let there = count(sqlite, &format!("SELECT count(*) FROM {now}")).await?;
    let stayed = count(sqlite, &format!("SELECT count(*) FROM {kept} WHERE u IS NULL")).await?;
    Ok(gone == 0 || there == stayed)
}

/// Keeps the values of the columns `lost`, of the rows that stay, with what tells those apart.
async fn columns(
    sqlite: &mut Sqlite,
    pair: &Pair<'_>,
    whole: &Layout,
    lost: &[usize],
    made: &mut Vec<(Lost, i64, Layout, u64)>,
) -> Result<(), Trouble> {
    let copy = pair.copy;
    let beside: Vec<usize> = match pair.key.is_empty() {
        true => (0..copy.columns.len()).filter(|at| pair.renamed[*at].is_some()).collect(),
        false => pair.key.clone(),
    };
    let all: Vec<usize> = beside.iter().chain(lost).copied().collect();
    let names = |from: &[String]| all.iter().map(|at| from[*at].clone()).collect();
    let layout = Layout {
        columns: names(&copy.columns),
        types: names(&copy.types),
        renamed: all.iter().map(|at| pair.renamed[*at].clone()).collect(),
        sequence: None,
        ..whole.clone()
    };
    let taken = made.iter().map(|(_, id, ..)| *id).max().unwrap_or(0);
    let sql = "SELECT max(CAST(substr(name, 15) AS INTEGER)) FROM main.sqlite_schema WHERE name LIKE 'sternway\\_kept\\_%' ESCAPE '\\'";
    let free = i64::try_from(count(sqlite, sql).await?).unwrap_or(0).max(taken) + 1;
    make(sqlite, free, all.len()).await?;
    // Without a key, a row is found again by what it is now.
    let now = |at: &usize| {
        if pair.renamed[*at].is_some() && pair.key.is_empty() {
            format!("CASE WHEN u = 'c' THEN a{at} ELSE c{at} END")
        } else {
            format!("c{at}")
        }
    };
    let sql = format!(
        "INSERT INTO {} (r, f, {}) SELECT r, f, {} FROM {} WHERE u IS NOT 'd' ORDER BY n",
        data(free),
        (0..all.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", "),
        all.iter().map(now).collect::<Vec<_>>().join(", "),
        data(copy.id),
    );
    sqlite.run("keep the columns", sql).await?;
    let rows = count(sqlite, &format!("SELECT count(*) FROM {}", data(free))).await?;
    if rows == 0 {
        return throw_away(sqlite, free).await;
    }
    for at in lost {
        let (table, column) = (copy.shape.name.clone(), copy.columns[*at].clone());
        made.push((Lost::Column { table, column }, free, layout.clone(), rows));
    }
    Ok(())
}

/// Notes what is kept in the index.
async fn note(
    sqlite: &mut Sqlite,
    work: &Work<'_>,
    care: &Care<'_>,
    made: &[(Lost, i64, Layout, u64)],
) -> Result<Vec<Kept>, Trouble> {
    let run = work.journal.map_or("NULL".to_owned(), |(run, _)| run.to_string());
    let Care { app, track: TrackName(track), version, direction: half, .. } = care;
    let half: Direction = *half;
    let mut kept = Vec::new();
    let mut step = "(SELECT coalesce(max(id), 0) + 1 FROM main.sternway_archive)".to_owned();
    for (lost, data, layout, number) in made {
        let json = |text: Result<String, _>| Sqlite::literal(&text.unwrap_or_default());
        let sql = format!(
            "INSERT INTO main.sternway_archive (app, schema, track, version, direction, run, step, lost, data, layout, row_count)
             VALUES ({}, {}, {}, {version}, '{}', {run}, {step}, {}, {data}, {}, {number}) RETURNING CAST(id AS TEXT)",
            Sqlite::literal(app),
            Sqlite::literal(&sqlite.identity.schema),
            Sqlite::literal(track),
            direction(half),
            json(serde_json::to_string(lost)),
            json(serde_json::to_string(layout)),
        );
        let row = rows(sqlite, &sql).await?;
        let id = row.first().map(|row| text(row, 0)).transpose()?.unwrap_or_default();
        if kept.is_empty() {
            step.clone_from(&id);
        }
        kept.push(Kept {
            id: id.parse().unwrap_or(0),
            lost: lost.clone(),
            rows: *number,
            estimated: false,
        });
    }
    Ok(kept)
}
