//! What a body has taken, by comparing its copies with what is there: that is kept, as the entries that it turned out
//! to be.

use sternway_model::archive::Preserved;
use sternway_model::effect::Lost;

use super::data;
use super::keep::{place, throw_away};
use super::shape::{self, look};
use super::written::Written;
use crate::archive::compare::{Pair, by_contents, by_row, drop_unchanged, renamed, split_columns};
use crate::archive::shape::Shape;
use crate::archive::sql::{has_rows, rows_of};
use crate::archive::{INDEX, KEPT, Layout, NewEntry, PREFIX, Stored, Trouble, last_id};
use crate::mysql::MySql;
use crate::port::DatabaseError;

/// Writes the entries that one entry turned out to be, all or none, in the transaction that is open.
pub(super) async fn keep(
    mysql: &mut MySql,
    entry: &Stored,
    made: &[NewEntry],
) -> Result<Vec<Preserved>, Trouble> {
    let index = mysql.table(INDEX);
    let id = entry.entry.id;
    let mut kept = Vec::new();
    for NewEntry { lost, data, layout, rows } in made {
        let json =
            |text: Result<String, serde_json::Error>| MySql::literal(&text.unwrap_or_default());
        let (lost_json, layout) =
            (json(serde_json::to_string(lost)), json(serde_json::to_string(layout)));
        let sql = format!(
            "INSERT INTO {index} (app, track, version, direction, run, step, since, state, lost, data, layout, row_count)
             SELECT app, track, version, direction, run, step, since, '{KEPT}', {lost_json}, {data}, {layout}, {rows}
             FROM {index} WHERE id = {id}"
        );
        mysql.run("write the archive", sql).await?;
        let id = last_id(mysql).await?;
        kept.push(Preserved { id, lost: lost.clone(), rows: *rows, estimated: false });
    }
    let sql = format!("DELETE FROM {index} WHERE id = {id} LIMIT 1; COMMIT");
    mysql.run("write the archive", sql).await?;
    Ok(kept)
}

/// Keeps a whole table, unless it had no rows and had given none a number.
pub(super) async fn keep_whole(
    mysql: &mut MySql,
    entry: &Stored,
    layout: Layout,
) -> Result<Vec<Preserved>, Trouble> {
    let kept = data(mysql, entry.data);
    let rows = rows_of(mysql, &kept).await?;
    if rows == 0 && layout.sequence.is_none() {
        throw_away(mysql, entry).await?;
        return Ok(Vec::new());
    }
    mysql.run("write the archive", "START TRANSACTION READ WRITE".to_owned()).await?;
    let lost = Lost::Table { table: layout.table.clone() };
    keep(mysql, entry, &[NewEntry { lost, data: entry.data, layout, rows }]).await
}

/// The columns beside the key that stayed what they were.
fn rest(layout: &Layout, key: &[usize], now: &Shape) -> Vec<usize> {
    let same = |at: &usize| {
        let now = layout.renamed(*at).and_then(|name| now.column(name));
        now.zip(layout.types.get(*at)).is_some_and(|(now, kind)| now.kind == *kind)
    };
    (0..layout.columns.len()).filter(|at| !key.contains(at)).filter(same).collect()
}

/// Columns that tell the kept rows apart, and the rows of the table as it is now.
async fn other_key(
    mysql: &mut MySql,
    id: i64,
    layout: &Layout,
    now: &Shape,
) -> Result<Option<Vec<String>>, Trouble> {
    for unique in &now.unique {
        let was = unique.iter().map(|name| {
            (0..layout.columns.len())
                .find(|at| layout.renamed(*at).is_some_and(|it| it.eq_ignore_ascii_case(name)))
        });
        let Some(was) = was.collect::<Option<Vec<usize>>>() else { continue };
        let columns: Vec<String> = was.iter().map(|at| format!("c{at}")).collect();
        let none: Vec<String> = columns.iter().map(|it| format!("{it} IS NULL")).collect();
        let kept = data(mysql, id);
        let unfit = format!(
            "(SELECT 1 FROM {kept} WHERE {} UNION ALL SELECT 1 FROM {kept} GROUP BY {} HAVING COUNT(*) > 1) AS x",
            none.join(" OR "),
            columns.join(", ")
        );
        if rows_of(mysql, &unfit).await? == 0 {
            return Ok(Some(was.iter().map(|at| layout.columns[*at].clone()).collect()));
        }
    }
    Ok(None)
}

/// Compares a copy with what is there.
pub(super) async fn take_stock(
    mysql: &mut MySql,
    entry: &Stored,
    written: &Written,
) -> Result<Vec<Preserved>, Trouble> {
    let mut layout = entry.layout.clone();
    let table = layout.table.clone();
    let kept = data(mysql, entry.data);
    let name = written.renamed.get(&table).cloned().unwrap_or_else(|| table.clone());
    let Some(now) = look(mysql, &name).await? else {
        return keep_whole(mysql, entry, layout).await;
    };
    let names = written.columns.get(&table);
    layout.renamed = renamed(&layout.columns, &now, |column| {
        let known = names?.iter().find(|(own, _)| own.eq_ignore_ascii_case(column));
        known.map(|(_, name)| name.clone())
    });
    layout.after = Some(now.name.clone());
    let key_now: Option<Vec<String>> =
        layout.keys().iter().map(|at| layout.renamed(*at).map(str::to_owned)).collect();
    let mut key =
        if key_now.is_some_and(|it| now.is_unique(&it)) { layout.keys() } else { Vec::new() };
    let sets = written.sets.get(&table);
    let is_set = |name: &String| {
        let same = |set: &String| set == "*" || set.eq_ignore_ascii_case(name);
        sets.is_some_and(|sets| sets.iter().any(same))
    };
    // Rows may be there that were kept, by another key.
    let mut moves = layout.key.iter().any(is_set);
    moves = moves || layout.keys().iter().any(|at| layout.renamed(*at).is_none());
    if key.is_empty()
        && let Some(other) = other_key(mysql, entry.data, &layout, &now).await?
        && !other.iter().any(is_set)
    {
        (layout.key, moves) = (other, false);
        key = layout.keys();
    }
    let held_name = format!("{PREFIX}{}", entry.data);
    let gone = || DatabaseError::RecordsDamaged(held_name.clone());
    let mut held = look(mysql, &held_name).await?.ok_or_else(gone)?;
    let lost = layout.gone();
    let mut columns = None;
    let rest = rest(&layout, &key, &now);
    if !lost.is_empty() && !key.is_empty() {
        let split = key.iter().chain(&rest).chain(&lost);
        let split = split.filter_map(|at| held.column(&format!("c{at}")));
        // Its number is that of no entry of the index, present or to come.
        let id = -entry.entry.id;
        place(mysql, id, &split.collect::<Vec<_>>()).await?;
        columns = Some(id);
    }
    if !key.is_empty() {
        let added: Vec<String> = (0..layout.columns.len())
            .filter(|at| held.column(&format!("a{at}")).is_none())
            .filter_map(|at| {
                let now = now.column(layout.renamed(at)?)?;
                Some(format!("ADD COLUMN a{at} {}", shape::kept(now)))
            })
            .collect();
        if !added.is_empty() {
            let sql = format!("ALTER TABLE {kept} {}", added.join(", "));
            mysql.run("make a place for what is there", sql).await?;
            held = look(mysql, &held_name).await?.ok_or_else(gone)?;
        }
    }
    let here = mysql.table(&now.name);
    mysql.run("compare what is there", "START TRANSACTION READ WRITE".to_owned()).await?;
    let pair =
        Pair { data: entry.data, held: &held, layout: &layout.clone(), now: &now, key: &key };
    if key.is_empty() && !(lost.is_empty() && layout.key.is_empty()) {
        // What told the rows apart is gone with the body: all of them are kept, as they were.
        layout.carried = true;
        layout.after = None;
        layout.uncertain = moves && has_rows(mysql, &here).await?;
        mysql.run("keep all rows", format!("UPDATE {kept} SET u = 'd'")).await?;
    } else if key.is_empty() {
        by_contents(mysql, &pair).await?;
    } else {
        let row = pair.row::<MySql>();
        by_row(mysql, &pair, &row).await?;
        if moves {
            let new =
                format!("{here} AS t WHERE NOT EXISTS (SELECT 1 FROM {kept} AS k WHERE {row})");
            layout.uncertain = rows_of(mysql, &new).await? > 0
                && rows_of(mysql, &format!("{kept} WHERE u = 'd'")).await? > 0;
        }
    }
    let mut made = Vec::new();
    if let Some(id) = columns {
        let pair = Pair { layout: &layout, ..pair };
        let beside: Vec<usize> = key.iter().chain(&rest).copied().collect();
        let value = |at| match rest.contains(&at) {
            true => format!("CASE WHEN u = 'c' THEN a{at} ELSE c{at} END"),
            false => format!("c{at}"),
        };
        made = split_columns(mysql, &pair, id, &beside, "", value).await?;
    }
    let rows = drop_unchanged(mysql, entry.data).await?;
    if rows > 0 {
        made.push(NewEntry { lost: Lost::Rows { table }, data: entry.data, layout, rows });
    }
    let done = keep(mysql, entry, &made).await?;
    for id in columns.into_iter().chain([entry.data]) {
        if !made.iter().any(|it| it.data == id) {
            let sql = format!("DROP TABLE IF EXISTS {}", data(mysql, id));
            mysql.run("throw a copy away", sql).await?;
        }
    }
    Ok(done)
}
