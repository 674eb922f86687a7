//! Keeping what a body takes away: by copies made before it, and by moving tables aside before the
//! statements that drop them. What is still there afterwards is thrown away again.

use std::collections::BTreeMap;

use sternway_model::archive::Kept;
use sternway_model::catalog::TrackName;
use sternway_model::effect::{Effects, Loss, Lost};
use sternway_model::proof::Fingerprint;

use super::shape::{Column, Shape, count, look};
use super::touch::{Take, Touched, touched};
use super::{
    LENIENT, NAME, PREFIX, STAND_IN, STRICT, Trouble, data, image, make, matches, of_step, stored,
};
use crate::kept::{Layout, Stored, effects};
use crate::mysql::statements::Statement;
use crate::mysql::{MySql, cell, introspect, number, track};
use crate::port::{Care, DatabaseError, Work};

/// What is kept while a body runs.
pub struct Keeper<'a> {
    care: &'a Care<'a>,
    fingerprint: Fingerprint,
    except: Vec<String>,
    touched: Touched,
    /// What the words say is lost, with counts, for whoever keeps nothing.
    losses: Vec<Loss>,
    run: Option<i64>,
    /// Whether nothing of the body has taken effect in this run.
    anew: bool,
    /// The tables that were moved aside for the statement under way.
    aside: Vec<(i64, String)>,
}

/// Looks at what a body will take, refuses what cannot be kept, and copies what has to be copied.
pub async fn prepare<'a>(
    mysql: &mut MySql,
    work: &Work<'_>,
    care: &'a Care<'a>,
    statements: &[Statement<'_>],
) -> Result<Keeper<'a>, Trouble> {
    settle(mysql, care).await?;
    if care.keep {
        cut_dropped(mysql, care).await?;
    }
    let mut except: Vec<String> = mysql.tracked.iter().cloned().collect();
    except.push(work.table.to_owned());
    let fingerprint = introspect::fingerprint(mysql, &except).await?;
    let touched = touched(mysql, statements).await?;
    let fresh =
        |lost: &Lost| Loss { lost: lost.clone(), rows: None, bytes: None, estimated: false };
    let mut losses: Vec<Loss> = touched.lost.iter().map(fresh).collect();
    super::measure(mysql, &mut losses).await?;
    let foreseen = Effects { losses: losses.clone(), ..Effects::default() };
    let more = care.planned.map(|planned| foreseen.beyond(planned)).unwrap_or_default();
    // Where a body goes on in its middle, its plan was looked at before it began: what it has made since
    // is nothing of others that it takes away.
    if !more.is_empty() && work.first <= 1 {
        return Err(Trouble::Beyond(more));
    }
    let run = work.journal.map(|(run, _)| run);
    let (anew, aside) = (work.first <= 1, Vec::new());
    let mut keeper = Keeper { care, fingerprint, except, touched, losses, run, anew, aside };
    if care.keep {
        if let Some(reason) = &keeper.touched.refused {
            return Err(Trouble::CannotKeep(reason.clone()));
        }
        keeper.copy_all(mysql).await?;
    }
    Ok(keeper)
}

/// Makes an end of what other steps have left half kept: their bodies will not go on.
async fn settle(mysql: &mut MySql, care: &Care<'_>) -> Result<(), Trouble> {
    let others = format!("state <> 'kept' AND NOT ({})", of_step(care, care.direction));
    let left = stored(mysql, &others).await?;
    if left.is_empty() {
        return Ok(());
    }
    mysql.run("settle the archive", STRICT.to_owned()).await?;
    let settled = async {
        for (state, entry) in left {
            end(mysql, &state, &entry, &Touched::default(), false).await?;
        }
        Ok::<_, Trouble>(())
    };
    let settled = settled.await;
    mysql.run("settle the archive", LENIENT.to_owned()).await?;
    settled
}

/// Cuts those tables loose that an earlier try of the step moved aside, and whose place was dropped.
async fn cut_dropped(mysql: &mut MySql, care: &Care<'_>) -> Result<(), Trouble> {
    let own = format!("state = 'moving' AND {}", of_step(care, care.direction));
    for (_, entry) in stored(mysql, &own).await? {
        let kept = track::exists(mysql, &format!("{PREFIX}{}", entry.data)).await?;
        let place = look(mysql, &entry.layout.table).await?;
        let stands_in = format!("{STAND_IN}{}", entry.id);
        if kept && place.is_none_or(|place| place.comment != stands_in) {
            cut_loose(mysql, entry.id).await?;
        }
    }
    Ok(())
}

impl Keeper<'_> {
    async fn copy_all(&mut self, mysql: &mut MySql) -> Result<(), Trouble> {
        let mut shapes = Vec::new();
        let moved = self.touched.moved.values().flatten();
        let copied = self.touched.copied.iter().map(|(table, how)| (table, *how));
        for (table, how) in moved.map(|table| (table, Take::Drop)).chain(copied) {
            if self.except.contains(table) {
                continue;
            }
            let Some(shape) = look(mysql, table).await? else { continue };
            let reason = if !shape.engine.eq_ignore_ascii_case("InnoDB") {
                format!(
                    "the table `{table}` is kept by {}, which has no transactions",
                    shape.engine
                )
            } else if shape.kind != "BASE TABLE" {
                format!("`{table}` is no plain table")
            } else if shape.unique.is_empty() && matches!(how, Take::Columns | Take::Change) {
                format!("rows of `{table}` have no key by which they could be found again")
            } else if !self.touched.moved.values().flatten().any(|moved| moved == table)
                && !has_room(mysql, &shape).await?
            {
                format!("`{table}` has more columns than can be kept beside their former values")
            } else {
                shapes.push((shape, how));
                continue;
            };
            return Err(Trouble::CannotKeep(reason));
        }
        if shapes.is_empty() {
            return Ok(());
        }
        make(mysql).await?;
        mysql.run("keep", STRICT.to_owned()).await?;
        let copied = async {
            let moved: Vec<&String> = self.touched.moved.values().flatten().collect();
            if self.anew {
                self.forget_stale(mysql).await?;
            }
            let known = self.known(mysql).await?;
            for (shape, _) in &shapes {
                if !moved.contains(&&shape.name) && !known.contains_key(&shape.name) {
                    self.copy(mysql, shape).await?;
                }
            }
            Ok::<_, Trouble>(())
        };
        let copied = copied.await;
        mysql.run("keep", LENIENT.to_owned()).await?;
        copied
    }

    /// Throws away the copies that an earlier try of this run has made, where nothing took effect after
    /// them: others may have written since.
    async fn forget_stale(&self, mysql: &mut MySql) -> Result<(), Trouble> {
        let Some(run) = self.run else { return Ok(()) };
        let own = of_step(self.care, self.care.direction);
        let stale = format!("state = 'pending' AND run = {run} AND {own}");
        for (_, entry) in stored(mysql, &stale).await? {
            throw_away(mysql, &entry).await?;
        }
        Ok(())
    }

    /// What an earlier try of the same step has kept already, by table.
    async fn known(&self, mysql: &mut MySql) -> Result<BTreeMap<String, i64>, Trouble> {
        let own = format!("state <> 'kept' AND {}", of_step(self.care, self.care.direction));
        let mut known = BTreeMap::new();
        for (state, entry) in stored(mysql, &own).await? {
            let is_there = track::exists(mysql, &format!("{PREFIX}{}", entry.data)).await?;
            if state == "pending" || (state == "moving" && is_there) {
                known.insert(entry.layout.table.clone(), entry.id);
            } else {
                throw_away(mysql, &entry).await?;
            }
        }
        Ok(known)
    }

    /// Notes an entry whose rows are about to be kept.
    async fn note(&self, mysql: &mut MySql, state: &str, layout: &Layout) -> Result<i64, Trouble> {
        let lost = Lost::Table { table: layout.table.clone() };
        let id = insert(mysql, self.care, self.run, state, &lost, layout, 0).await?;
        Ok(id)
    }

    async fn copy(&self, mysql: &mut MySql, shape: &Shape) -> Result<(), Trouble> {
        let mut layout = layout(shape);
        layout.carried = self.touched.inserts;
        let id = self.note(mysql, "copying", &layout).await?;
        place(mysql, id, &shape.plain()).await?;
        fill(mysql, id, shape, &mysql.table(&shape.name)).await?;
        let index = mysql.table(NAME);
        let sql = format!("UPDATE {index} SET state = 'pending' WHERE id = {id} LIMIT 1");
        mysql.run("keep", format!("{sql}; COMMIT")).await?;
        Ok(())
    }

    /// Moves the tables aside that the statement drops.
    pub async fn before(&mut self, mysql: &mut MySql, statement: usize) -> Result<(), Trouble> {
        let Some(tables) = self.touched.moved.get(&statement).filter(|_| self.care.keep) else {
            return Ok(());
        };
        let known = self.known(mysql).await?;
        for table in tables {
            let Some(shape) = look(mysql, table).await? else { continue };
            if let Some(id) = known.get(table) {
                if shape.comment == format!("{STAND_IN}{id}") {
                    self.aside.push((*id, shape.name));
                }
                continue;
            }
            let mut layout = layout(&shape);
            layout.carried = self.touched.inserts;
            layout.moved = true;
            let id = self.note(mysql, "moving", &layout).await?;
            let stand_in = mysql.table(&format!("{STAND_IN}{id}"));
            let (own, kept) = (mysql.table(&shape.name), data(mysql, id));
            let sql = format!(
                "CREATE TABLE {stand_in} LIKE {own}; ALTER TABLE {stand_in} COMMENT = '{STAND_IN}{id}';
                 RENAME TABLE {own} TO {kept}, {stand_in} TO {own}"
            );
            mysql.run("move a table aside", sql).await?;
            self.aside.push((id, shape.name));
        }
        Ok(())
    }

    /// Makes an end of what was moved aside: the statement did what it says, or it failed.
    pub async fn ran(&mut self, mysql: &mut MySql, well: bool) -> Result<(), Trouble> {
        for (id, table) in std::mem::take(&mut self.aside) {
            match well {
                true => cut_loose(mysql, id).await?,
                false => move_back(mysql, id, &table).await?,
            }
        }
        Ok(())
    }

    /// Finds out what the body took away, keeps that, and throws the rest of the copies away.
    pub async fn finish(self, mysql: &mut MySql) -> Result<(Effects, Vec<Kept>), Trouble> {
        let now = introspect::fingerprint(mysql, &self.except).await?;
        let mut effects = effects(&self.fingerprint, &now);
        if !self.care.keep {
            effects.losses = self.losses;
            return Ok((effects, Vec::new()));
        }
        let mut kept = Vec::new();
        let own = format!("state <> 'kept' AND {}", of_step(self.care, self.care.direction));
        let left = stored(mysql, &own).await?;
        if left.is_empty() {
            return Ok((effects, kept));
        }
        mysql.run("keep", STRICT.to_owned()).await?;
        let ended = async {
            for (state, entry) in left {
                kept.extend(end(mysql, &state, &entry, &self.touched, true).await?);
            }
            for it in &kept {
                let rows = match &it.lost {
                    Lost::Column { column, .. } => {
                        let entry = super::one(mysql, it.id).await?;
                        let at = entry.layout.at(column).unwrap_or(0);
                        let kept = data(mysql, entry.data);
                        count(mysql, &format!("SELECT COUNT(c{at}) AS n FROM {kept}")).await?
                    }
                    _ => it.rows,
                };
                let lost = it.lost.clone();
                effects.losses.push(Loss { lost, rows: Some(rows), bytes: None, estimated: false });
            }
            Ok::<_, Trouble>(())
        };
        let ended = ended.await;
        mysql.run("keep", LENIENT.to_owned()).await?;
        ended.map(|()| (effects, kept))
    }
}

/// Adds an entry to the index.
async fn insert(
    mysql: &mut MySql,
    care: &Care<'_>,
    run: Option<i64>,
    state: &str,
    lost: &Lost,
    layout: &Layout,
    data: i64,
) -> Result<i64, DatabaseError> {
    let index = mysql.table(NAME);
    let condition = of_step(care, care.direction);
    let TrackName(track) = care.track;
    let json = |text: Result<String, serde_json::Error>| MySql::literal(&text.unwrap_or_default());
    let sql = format!(
        "INSERT INTO {index} (app, track, version, direction, run, step, since, state, lost, data, layout, row_count)
         VALUES ({}, {}, {}, '{}', {}, 0, UTC_TIMESTAMP(), '{state}', {}, {data}, {}, 0);
         SET @sternway_id = LAST_INSERT_ID();
         UPDATE {index} SET data = IF(data = 0, id, data), step = COALESCE(
             (SELECT s FROM (SELECT MIN(o.id) AS s FROM {index} o WHERE o.state <> 'kept' AND {condition}) x), id)
         WHERE id = @sternway_id LIMIT 1; COMMIT",
        MySql::literal(care.app),
        MySql::literal(track),
        care.version,
        crate::kept::direction(care.direction),
        run.map_or("NULL".to_owned(), |run| run.to_string()),
        json(serde_json::to_string(lost)),
        json(serde_json::to_string(layout)),
    );
    mysql.run("write the archive", sql).await?;
    let rows = mysql.fetch("write the archive", "SELECT @sternway_id AS id".to_owned()).await?;
    Ok(rows.first().map_or(0, |row| cell(row, "id").parse().unwrap_or(0)))
}

/// The layout of all that a table holds.
fn layout(shape: &Shape) -> Layout {
    let plain = shape.plain();
    Layout {
        table: shape.name.clone(),
        columns: plain.iter().map(|column| column.name.clone()).collect(),
        types: plain.iter().map(|column| column.kind.clone()).collect(),
        key: shape.unique.first().cloned().unwrap_or_default(),
        sequence: shape.next.filter(|next| *next > 1),
        ..Layout::default()
    }
}

/// Makes a table for kept rows: `n` is the number of a row, `u` whether it was deleted or changed, `w`
/// what was found in its place, and `m` why it cannot be put back.
pub(super) async fn place(
    mysql: &mut MySql,
    id: i64,
    columns: &[&Column],
) -> Result<(), DatabaseError> {
    let columns: String =
        columns.iter().enumerate().map(|(at, it)| format!(", c{at} {}", it.kept())).collect();
    let kept = data(mysql, id);
    let sql = format!(
        "DROP TABLE IF EXISTS {kept};
         CREATE TABLE {kept} (n bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, u char(1) NULL, w varchar(8) NULL,
             m varchar(100) CHARACTER SET utf8mb4 NULL{columns}) ENGINE = InnoDB"
    );
    mysql.run("make a place for what is kept", sql).await
}

/// Whether a table for kept rows also holds what a body makes of them. That is found out before it.
async fn has_room(mysql: &mut MySql, shape: &Shape) -> Result<bool, DatabaseError> {
    let plain = shape.plain();
    if plain.len() < 60 || shape.unique.is_empty() {
        return Ok(true);
    }
    // The number of no entry.
    place(mysql, 0, &plain).await?;
    let more: Vec<String> = plain
        .iter()
        .enumerate()
        .map(|(at, column)| format!("ADD COLUMN a{at} {}", column.kept()))
        .collect();
    let kept = data(mysql, 0);
    let sql = format!("ALTER TABLE {kept} {}", more.join(", "));
    let made = mysql.run("make a place for what is there", sql).await;
    mysql.run("throw a copy away", format!("DROP TABLE IF EXISTS {kept}")).await?;
    match made {
        Ok(()) => Ok(true),
        Err(error) if matches!(number(&error), Some(1005 | 1117 | 1118)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Fills it from a table, in a transaction that is left open.
pub(super) async fn fill(
    mysql: &mut MySql,
    id: i64,
    shape: &Shape,
    from: &str,
) -> Result<(), DatabaseError> {
    let plain = shape.plain();
    let into: Vec<String> = (0..plain.len()).map(|at| format!("c{at}")).collect();
    let values: Vec<String> = plain.iter().map(|it| MySql::quote(&it.name)).collect();
    let order: Vec<String> =
        shape.unique.first().into_iter().flatten().map(|it| MySql::quote(it)).collect();
    let order =
        if order.is_empty() { String::new() } else { format!("ORDER BY {}", order.join(", ")) };
    let sql = format!(
        "START TRANSACTION READ WRITE; INSERT INTO {} ({}) SELECT {} FROM {from} {order}",
        data(mysql, id),
        into.join(", "),
        values.join(", ")
    );
    mysql.run("copy what the body may take away", sql).await
}

/// Takes from a table that was moved aside what would be in the way of others: its foreign keys and
/// its triggers, which the statement would have dropped with it.
async fn cut_loose(mysql: &mut MySql, id: i64) -> Result<(), Trouble> {
    let name = format!("{PREFIX}{id}");
    let Some(shape) = look(mysql, &name).await? else { return Ok(()) };
    let kept = data(mysql, id);
    let mut sql = String::new();
    for key in &shape.foreign_keys {
        sql.push_str(&format!("ALTER TABLE {kept} DROP FOREIGN KEY {};", MySql::quote(&key.name)));
    }
    let (schema, table) = (MySql::literal(&mysql.identity.database), MySql::literal(&name));
    let triggers = format!(
        "SELECT TRIGGER_NAME AS name FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = {schema} AND EVENT_OBJECT_TABLE = {table}"
    );
    for row in &mysql.fetch("look for triggers", triggers).await? {
        sql.push_str(&format!("DROP TRIGGER {};", mysql.table(&cell(row, "name"))));
    }
    if !mysql.mariadb {
        let checks = format!(
            "SELECT CONSTRAINT_NAME AS name FROM information_schema.TABLE_CONSTRAINTS
             WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table} AND CONSTRAINT_TYPE = 'CHECK'"
        );
        for row in &mysql.fetch("look for checks", checks).await? {
            sql.push_str(&format!(
                "ALTER TABLE {kept} DROP CHECK {};",
                MySql::quote(&cell(row, "name"))
            ));
        }
    }
    let index = mysql.table(NAME);
    sql.push_str(&format!("UPDATE {index} SET state = 'pending' WHERE id = {id} LIMIT 1; COMMIT"));
    Ok(mysql.run("settle a table that was moved aside", sql).await?)
}

/// Moves a table back that was moved aside for a statement that did nothing.
async fn move_back(mysql: &mut MySql, id: i64, table: &str) -> Result<(), Trouble> {
    let (own, kept) = (mysql.table(table), data(mysql, id));
    let stand_in = mysql.table(&format!("{STAND_IN}{id}"));
    let there = look(mysql, table).await?;
    let sql = match there.map(|shape| shape.comment == format!("{STAND_IN}{id}")) {
        Some(true) => {
            format!("RENAME TABLE {own} TO {stand_in}, {kept} TO {own}; DROP TABLE {stand_in};")
        }
        None if track::exists(mysql, &format!("{STAND_IN}{id}")).await? => {
            format!("RENAME TABLE {kept} TO {own}; DROP TABLE {stand_in};")
        }
        // It was dropped after all.
        _ => return cut_loose(mysql, id).await,
    };
    let index = mysql.table(NAME);
    let sql = format!("{sql} DELETE FROM {index} WHERE id = {id} LIMIT 1; COMMIT");
    Ok(mysql.run("move a table back", sql).await?)
}

/// Throws away what was not kept to the end, and its entry.
async fn throw_away(mysql: &mut MySql, entry: &Stored) -> Result<(), Trouble> {
    let stand_in = mysql.table(&format!("{STAND_IN}{}", entry.id));
    let (index, kept) = (mysql.table(NAME), data(mysql, entry.data));
    let sql = format!(
        "DELETE FROM {index} WHERE id = {} LIMIT 1; COMMIT; DROP TABLE IF EXISTS {kept}; DROP TABLE IF EXISTS {stand_in}",
        entry.id
    );
    Ok(mysql.run("throw a copy away", sql).await?)
}

/// Makes an end of an entry: what it kept and is still there goes, and the rest is kept. `ended`: its
/// body has run to its end.
async fn end(
    mysql: &mut MySql,
    state: &str,
    entry: &Stored,
    touched: &Touched,
    ended: bool,
) -> Result<Vec<Kept>, Trouble> {
    let name = format!("{PREFIX}{}", entry.data);
    if state == "copying" || !track::exists(mysql, &name).await? {
        throw_away(mysql, entry).await?;
        return Ok(Vec::new());
    }
    if entry.layout.moved {
        if state == "moving" && !ended {
            move_back(mysql, entry.id, &entry.layout.table).await?;
        }
        if !track::exists(mysql, &name).await? {
            return Ok(Vec::new());
        }
        let rows =
            count(mysql, &format!("SELECT COUNT(*) AS n FROM {}", data(mysql, entry.data))).await?;
        if rows == 0 && entry.layout.sequence.is_none() {
            throw_away(mysql, entry).await?;
            return Ok(Vec::new());
        }
        mysql.run("write the archive", "START TRANSACTION READ WRITE".to_owned()).await?;
        return keep(mysql, entry, &[(entry.lost.clone(), entry.data, entry.layout.clone(), rows)])
            .await;
    }
    take_stock(mysql, entry, touched).await
}

/// Writes the entries that one entry turned out to be, all or none, in the transaction that is open.
async fn keep(
    mysql: &mut MySql,
    entry: &Stored,
    made: &[(Lost, i64, Layout, u64)],
) -> Result<Vec<Kept>, Trouble> {
    let index = mysql.table(NAME);
    let mut kept = Vec::new();
    for (lost, data, layout, rows) in made {
        let json =
            |text: Result<String, serde_json::Error>| MySql::literal(&text.unwrap_or_default());
        let (lost_json, layout) =
            (json(serde_json::to_string(lost)), json(serde_json::to_string(layout)));
        let sql = format!(
            "INSERT INTO {index} (app, track, version, direction, run, step, since, state, lost, data, layout, row_count)
             SELECT app, track, version, direction, run, step, since, 'kept', {lost_json}, {data}, {layout}, {rows}
             FROM {index} WHERE id = {}",
            entry.id
        );
        mysql.run("write the archive", sql).await?;
        let sql = "SELECT LAST_INSERT_ID() AS id".to_owned();
        let row = mysql.fetch("write the archive", sql).await?;
        let id = row.first().map_or(0, |row| cell(row, "id").parse().unwrap_or(0));
        kept.push(Kept { id, lost: lost.clone(), rows: *rows, estimated: false });
    }
    let sql = format!("DELETE FROM {index} WHERE id = {} LIMIT 1; COMMIT", entry.id);
    mysql.run("write the archive", sql).await?;
    Ok(kept)
}

/// Compares a copy with what is there.
async fn take_stock(
    mysql: &mut MySql,
    entry: &Stored,
    touched: &Touched,
) -> Result<Vec<Kept>, Trouble> {
    let mut layout = entry.layout.clone();
    let table = layout.table.clone();
    let kept = data(mysql, entry.data);
    let all = count(mysql, &format!("SELECT COUNT(*) AS n FROM {kept}")).await?;
    let name = touched.renamed.get(&table).cloned().unwrap_or_else(|| table.clone());
    let Some(now) = look(mysql, &name).await? else {
        if all == 0 && layout.sequence.is_none() {
            throw_away(mysql, entry).await?;
            return Ok(Vec::new());
        }
        mysql.run("write the archive", "START TRANSACTION READ WRITE".to_owned()).await?;
        return keep(mysql, entry, &[(Lost::Table { table }, entry.data, layout, all)]).await;
    };
    let names = touched.columns.get(&table);
    let renamed = |column: &String| {
        let own = names.and_then(|it| it.iter().find(|(own, _)| own.eq_ignore_ascii_case(column)));
        let name = own.map_or(column, |(_, name)| name);
        now.column(name).filter(|it| !it.generated).map(|it| it.name.clone())
    };
    layout.renamed = layout.columns.iter().map(renamed).collect();
    layout.after = Some(now.name.clone());
    let key_now: Option<Vec<String>> =
        layout.keys().iter().map(|at| layout.renamed[*at].clone()).collect();
    let key = if key_now.is_some_and(|it| now.is_unique(&it)) { layout.keys() } else { Vec::new() };
    let held = look(mysql, &format!("{PREFIX}{}", entry.data)).await?;
    let held =
        held.ok_or_else(|| DatabaseError::RecordsDamaged(format!("{PREFIX}{}", entry.data)))?;
    let place_of = |at: usize| held.column(&format!("c{at}")).cloned();
    let stay: Vec<(usize, Column, Column)> = (0..layout.columns.len())
        .filter_map(|at| {
            Some((at, place_of(at)?, now.column(layout.renamed[at].as_ref()?)?.clone()))
        })
        .collect();
    let lost: Vec<usize> =
        (0..layout.columns.len()).filter(|at| layout.renamed[*at].is_none()).collect();
    let here = mysql.table(&now.name);
    let mut columns = None;
    if !lost.is_empty() && !key.is_empty() {
        let held: Vec<Column> = key.iter().chain(&lost).filter_map(|at| place_of(*at)).collect();
        // Its number is that of no entry of the index, present or to come.
        let id = -entry.id;
        place(mysql, id, &held.iter().collect::<Vec<_>>()).await?;
        columns = Some(id);
    }
    if !key.is_empty() {
        let more: Vec<String> = stay
            .iter()
            .filter(|(at, ..)| held.column(&format!("a{at}")).is_none())
            .map(|(at, _, now)| format!("ADD COLUMN a{at} {}", now.kept()))
            .collect();
        if !more.is_empty() {
            let sql = format!("ALTER TABLE {kept} {}", more.join(", "));
            mysql.run("make a place for what is there", sql).await?;
        }
    }
    let sets = touched.sets.get(&table);
    let is_set = |name: &String| {
        let same = |set: &String| set == "*" || set.eq_ignore_ascii_case(name);
        sets.is_some_and(|sets| sets.iter().any(same))
    };
    // Rows may be there that were kept, by another key.
    let moves = layout.key.iter().any(is_set);
    let moves = moves || layout.keys().iter().any(|at| layout.renamed[*at].is_none());
    mysql.run("compare what is there", "START TRANSACTION READ WRITE".to_owned()).await?;
    if key.is_empty() && !(lost.is_empty() && layout.key.is_empty()) {
        // What told the rows apart is gone with the body: all of them are kept, as they were.
        layout.carried = true;
        layout.after = None;
        let there = format!("SELECT COUNT(*) AS n FROM (SELECT 1 FROM {here} LIMIT 1) x");
        layout.uncertain = moves && count(mysql, &there).await? > 0;
        mysql.run("keep all rows", format!("UPDATE {kept} SET u = 'd'")).await?;
    } else if key.is_empty() {
        let old = image(stay.iter().map(|(at, held, _)| held.bytes(&format!("c{at}"))));
        let new = image(stay.iter().map(|(_, _, now)| now.bytes(&MySql::quote(&now.name))));
        let sql = format!(
            "UPDATE {kept} SET u = 'd';
             UPDATE {kept} k JOIN (
                 SELECT o.n AS n FROM (SELECT n, {old} AS image, ROW_NUMBER() OVER (PARTITION BY {old} ORDER BY n) AS i
                                       FROM {kept}) o
                 JOIN (SELECT {new} AS image, COUNT(*) AS many FROM {here} GROUP BY 1) t
                   ON t.image = o.image AND o.i <= t.many) x ON x.n = k.n SET k.u = NULL"
        );
        mysql.run("compare what is there", sql).await?;
    } else {
        let row = matches(&key, &layout.renamed);
        let set: String = stay
            .iter()
            .map(|(at, _, now)| format!(", k.a{at} = t.{}", MySql::quote(&now.name)))
            .collect();
        let same: Vec<String> = stay
            .iter()
            .map(|(at, held, now)| {
                held.is_same(&format!("k.c{at}"), now, &format!("t.{}", MySql::quote(&now.name)))
            })
            .collect();
        let sql = format!(
            "UPDATE {kept} k LEFT JOIN {here} t ON {row} SET k.u = 'd' WHERE t.{} IS NULL;
             UPDATE {kept} k JOIN {here} t ON {row} SET k.u = 'c'{set} WHERE NOT ({})",
            MySql::quote(layout.renamed[key[0]].as_deref().unwrap_or_default()),
            same.join(" AND ")
        );
        mysql.run("compare what is there", sql).await?;
        if moves {
            let new = format!(
                "SELECT COUNT(*) AS n FROM {here} t WHERE NOT EXISTS (SELECT 1 FROM {kept} k WHERE {row})"
            );
            let gone = format!("SELECT COUNT(*) AS n FROM {kept} WHERE u = 'd'");
            layout.uncertain = count(mysql, &new).await? > 0 && count(mysql, &gone).await? > 0;
        }
    }
    let mut made = Vec::new();
    if let Some(id) = columns {
        let all: Vec<usize> = key.iter().chain(&lost).copied().collect();
        let of = |from: &[String]| all.iter().map(|at| from[*at].clone()).collect();
        let part = Layout {
            columns: of(&layout.columns),
            types: of(&layout.types),
            renamed: all.iter().map(|at| layout.renamed[*at].clone()).collect(),
            sequence: None,
            ..layout.clone()
        };
        let list =
            |at: &[usize]| at.iter().map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} FROM {kept} WHERE u IS NULL OR u = 'c' ORDER BY n",
            data(mysql, id),
            list(&(0..all.len()).collect::<Vec<_>>()),
            list(&all)
        );
        mysql.run("keep the columns", sql).await?;
        let rows = count(mysql, &format!("SELECT COUNT(*) AS n FROM {}", data(mysql, id))).await?;
        for at in lost.iter().filter(|_| rows > 0) {
            let (table, column) = (table.clone(), layout.columns[*at].clone());
            made.push((Lost::Column { table, column }, id, part.clone(), rows));
        }
    }
    mysql
        .run("throw away what is still there", format!("DELETE FROM {kept} WHERE u IS NULL"))
        .await?;
    let rows = count(mysql, &format!("SELECT COUNT(*) AS n FROM {kept}")).await?;
    if rows > 0 {
        made.push((Lost::Rows { table }, entry.data, layout, rows));
    }
    let done = keep(mysql, entry, &made).await?;
    let mut empty = Vec::new();
    if rows == 0 {
        empty.push(entry.data);
    }
    empty.extend(columns.filter(|id| !made.iter().any(|(_, data, ..)| data == id)));
    for id in empty {
        let sql = format!("DROP TABLE IF EXISTS {}", data(mysql, id));
        mysql.run("throw a copy away", sql).await?;
    }
    Ok(done)
}
