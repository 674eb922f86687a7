//! Keeping what a body takes away: by copies made before it, and by relocating tables before the
//! statements that drop them. What is still there afterwards is thrown away again.

use std::collections::BTreeMap;

use sternway_model::archive::Preserved;
use sternway_model::effect::{Effects, Loss, Lost, Unkept};
use sternway_model::proof::Fingerprint;

use super::shape::{self, look};
use super::stock::{keep, keep_whole, take_stock};
use super::written::{Take, Written, written};
use super::{LENIENT, STAND_IN, STRICT, data, make, sequences};
use crate::archive::Result;
use crate::archive::compare::rows_lost;
use crate::archive::shape::{Column, Shape};
use crate::archive::sql::has_rows;
use crate::archive::{
    INDEX, KEPT, Layout, NewEntry, PREFIX, Stored, Trouble, insertion, last_id, measure, of_step,
    one, stored,
};
use crate::effects::effects;
use crate::mysql::statements::Statement;
use crate::mysql::{MySql, cell, introspect, number, track};
use crate::port::{Preservation, Work};

/// What is kept while a body runs.
pub struct Keeper<'a> {
    care: &'a Preservation<'a>,
    fingerprint: Fingerprint,
    except: Vec<String>,
    written: Written,
    /// What the words say is lost, with counts, for whoever keeps nothing.
    losses: Vec<Loss>,
    run: Option<i64>,
    /// What it will take and cannot be kept, for whoever keeps nothing.
    unkept: Vec<Unkept>,
    /// Whether nothing of the body has taken effect in this run.
    anew: bool,
    /// The tables that were relocated for the statement under way.
    relocated: Vec<(i64, String)>,
}

/// Looks at what a body will take, refuses what cannot be kept, and copies what has to be copied.
pub async fn prepare<'a>(
    mysql: &mut MySql,
    work: &Work<'_>,
    care: &'a Preservation<'a>,
    statements: &[Statement<'_>],
) -> Result<Keeper<'a>, Trouble> {
    end_others(mysql, care).await?;
    if care.keep {
        cut_dropped(mysql, care).await?;
    }
    let mut except: Vec<String> = mysql.tracked.iter().cloned().collect();
    except.push(work.table.to_owned());
    let fingerprint = introspect::fingerprint(mysql, &except).await?;
    let mut written = written(mysql, statements).await?;
    written.copied.retain(|table, _| !care.discards(table));
    written.moved.values_mut().for_each(|tables| tables.retain(|it| !care.discards(it)));
    let fresh =
        |lost: &Lost| Loss { lost: lost.clone(), rows: None, bytes: None, estimated: false };
    let mut losses: Vec<Loss> = written.lost.iter().map(fresh).collect();
    measure(mysql, &mut losses).await?;
    let foreseen = Effects { losses: losses.clone(), ..Effects::default() };
    let more = care.planned.map(|planned| foreseen.beyond(planned)).unwrap_or_default();
    // Where a body goes on in its middle, its plan was looked at before it began: what it has made since
    // is nothing of others that it takes away.
    if !more.is_empty() && work.first <= 1 {
        return Err(Trouble::Beyond(more));
    }
    let run = work.journal.map(|(run, _)| run);
    let (anew, relocated) = (work.first <= 1, Vec::new());
    let unkept = Vec::new();
    let mut keeper =
        Keeper { care, fingerprint, except, written, losses, run, unkept, anew, relocated };
    if care.each_lock {
        keeper.unkept = keeper.unkept(mysql).await?;
    }
    if care.keep {
        if let Some(reason) = &keeper.written.refused {
            return Err(Trouble::CannotKeep(reason.clone()));
        }
        keeper.copy_all(mysql).await?;
    }
    Ok(keeper)
}

/// Makes an end of what other steps have left half kept: their bodies will not go on.
async fn end_others(mysql: &mut MySql, care: &Preservation<'_>) -> Result<(), Trouble> {
    let others = format!("state <> '{KEPT}' AND NOT ({})", of_step(mysql, care, care.direction));
    let left = stored(mysql, &others).await?;
    if left.is_empty() {
        return Ok(());
    }
    mysql.run("prepare the session for the archive", STRICT.to_owned()).await?;
    let ended = async {
        for entry in left {
            end(mysql, &entry, &Written::default(), false).await?;
        }
        Ok::<_, Trouble>(())
    };
    let ended = ended.await;
    mysql.run("prepare the session for the archive", LENIENT.to_owned()).await?;
    ended
}

/// Cuts those tables loose that an earlier try of the step relocated, and whose place was dropped.
async fn cut_dropped(mysql: &mut MySql, care: &Preservation<'_>) -> Result<(), Trouble> {
    let own = format!("state = 'moving' AND {}", of_step(mysql, care, care.direction));
    for entry in stored(mysql, &own).await? {
        let kept = track::exists(mysql, &format!("{PREFIX}{}", entry.data)).await?;
        let place = look(mysql, &entry.layout.table).await?;
        let stands_in = format!("{STAND_IN}{}", entry.entry.id);
        if kept && place.is_none_or(|place| place.comment != stands_in) {
            cut_loose(mysql, entry.entry.id).await?;
        }
    }
    Ok(())
}

/// Why nothing of a table can be kept that is taken so, as far as the table tells.
fn unkeepable(table: &str, shape: &Shape, how: Take) -> Option<String> {
    if !shape.engine.eq_ignore_ascii_case("InnoDB") {
        let engine = &shape.engine;
        return Some(format!("the table `{table}` is kept by {engine}, which has no transactions"));
    }
    if !shape.plain {
        return Some(format!("`{table}` is no plain table"));
    }
    let keyless = shape.unique.is_empty() && matches!(how, Take::Columns | Take::Change);
    keyless.then(|| format!("rows of `{table}` have no key by which they could be found again"))
}

impl Keeper<'_> {
    /// What the body will take and cannot be kept.
    async fn unkept(&self, mysql: &mut MySql) -> Result<Vec<Unkept>, Trouble> {
        let refused = self.written.refused.iter().cloned();
        let mut unkept: Vec<Unkept> =
            refused.map(|reason| Unkept { table: String::new(), reason }).collect();
        let moved = self.written.moved.values().flatten();
        let copied = self.written.copied.iter().map(|(table, how)| (table, *how));
        for (table, how) in moved.map(|table| (table, Take::Drop)).chain(copied) {
            let Some(shape) = look(mysql, table).await? else { continue };
            let reason = unkeepable(table, &shape, how);
            unkept.extend(reason.map(|reason| Unkept { table: table.clone(), reason }));
        }
        Ok(unkept)
    }

    async fn copy_all(&mut self, mysql: &mut MySql) -> Result<(), Trouble> {
        let mut shapes = Vec::new();
        let moved = self.written.moved.values().flatten();
        let copied = self.written.copied.iter().map(|(table, how)| (table, *how));
        for (table, how) in moved.map(|table| (table, Take::Drop)).chain(copied) {
            if self.except.contains(table) {
                continue;
            }
            let Some(shape) = look(mysql, table).await? else { continue };
            let reason = if let Some(reason) = unkeepable(table, &shape, how) {
                // Nothing of it has to be kept.
                if !has_rows(mysql, &mysql.table(table)).await? {
                    continue;
                }
                reason
            } else if !self.written.moved.values().flatten().any(|moved| moved == table)
                && !has_room(mysql, &shape).await?
            {
                format!("`{table}` has more columns than can be kept beside their former values")
            } else {
                shapes.push((shape, how));
                continue;
            };
            return Err(Trouble::CannotKeep(reason));
        }
        if shapes.is_empty() && self.written.sequences.is_empty() {
            return Ok(());
        }
        make(mysql).await?;
        mysql.run("keep", STRICT.to_owned()).await?;
        let copied = async {
            let moved: Vec<&String> = self.written.moved.values().flatten().collect();
            if self.anew {
                self.drop_stale(mysql).await?;
            }
            let known = self.known(mysql).await?;
            for (shape, _) in &shapes {
                if !moved.contains(&&shape.name) && !known.contains_key(&shape.name) {
                    self.copy(mysql, shape).await?;
                }
            }
            for name in self.written.sequences.iter().filter(|it| !known.contains_key(*it)) {
                sequences::copy(mysql, self.care, self.run, name).await?;
            }
            Ok::<_, Trouble>(())
        };
        let copied = copied.await;
        mysql.run("keep", LENIENT.to_owned()).await?;
        copied
    }

    /// Throws away the copies that an earlier try of this run has made, where nothing took effect after
    /// them: others may have written since.
    async fn drop_stale(&self, mysql: &mut MySql) -> Result<(), Trouble> {
        let Some(run) = self.run else { return Ok(()) };
        let own = of_step(mysql, self.care, self.care.direction);
        let stale = format!("state = 'pending' AND run = {run} AND {own}");
        for entry in stored(mysql, &stale).await? {
            throw_away(mysql, &entry).await?;
        }
        Ok(())
    }

    /// What an earlier try of the same step has kept already, by table.
    async fn known(&self, mysql: &mut MySql) -> Result<BTreeMap<String, i64>, Trouble> {
        let own =
            format!("state <> '{KEPT}' AND {}", of_step(mysql, self.care, self.care.direction));
        let mut known = BTreeMap::new();
        for entry in stored(mysql, &own).await? {
            let is_there = track::exists(mysql, &format!("{PREFIX}{}", entry.data)).await?;
            if entry.state == "pending" || (entry.state == "moving" && is_there) {
                known.insert(entry.layout.table.clone(), entry.entry.id);
            } else {
                throw_away(mysql, &entry).await?;
            }
        }
        Ok(known)
    }

    /// Notes an entry whose rows are about to be kept.
    async fn note(&self, mysql: &mut MySql, state: &str, layout: &Layout) -> Result<i64, Trouble> {
        let lost = Lost::Table { table: layout.table.clone() };
        let entry = NewEntry { lost, data: 0, layout: layout.clone(), rows: 0 };
        Ok(insert(mysql, self.care, self.run, state, &entry).await?)
    }

    async fn copy(&self, mysql: &mut MySql, shape: &Shape) -> Result<(), Trouble> {
        let mut layout = layout(shape);
        layout.carried = self.written.inserts;
        let id = self.note(mysql, "copying", &layout).await?;
        place(mysql, id, &shape.written()).await?;
        fill(mysql, id, shape, &mysql.table(&shape.name)).await?;
        let index = mysql.table(INDEX);
        let sql = format!("UPDATE {index} SET state = 'pending' WHERE id = {id} LIMIT 1");
        mysql.run("keep", format!("{sql}; COMMIT")).await?;
        Ok(())
    }

    /// Relocates the tables that the statement drops.
    pub async fn before(&mut self, mysql: &mut MySql, statement: usize) -> Result<(), Trouble> {
        let Some(tables) = self.written.moved.get(&statement).filter(|_| self.care.keep) else {
            return Ok(());
        };
        let known = self.known(mysql).await?;
        for table in tables {
            let Some(shape) = look(mysql, table).await? else { continue };
            if let Some(id) = known.get(table) {
                if shape.comment == format!("{STAND_IN}{id}") {
                    self.relocated.push((*id, shape.name));
                }
                continue;
            }
            let mut layout = layout(&shape);
            layout.carried = self.written.inserts;
            layout.moved = true;
            let id = self.note(mysql, "moving", &layout).await?;
            let stand_in = mysql.table(&format!("{STAND_IN}{id}"));
            let (own, kept) = (mysql.table(&shape.name), data(mysql, id));
            let sql = format!(
                "CREATE TABLE {stand_in} LIKE {own}; ALTER TABLE {stand_in} COMMENT = '{STAND_IN}{id}';
                 RENAME TABLE {own} TO {kept}, {stand_in} TO {own}"
            );
            mysql.run("relocate a table", sql).await?;
            self.relocated.push((id, shape.name));
        }
        Ok(())
    }

    /// Makes an end of what was relocated: the statement did what it says, or it failed.
    pub async fn ran(&mut self, mysql: &mut MySql, well: bool) -> Result<(), Trouble> {
        for (id, table) in std::mem::take(&mut self.relocated) {
            match well {
                true => cut_loose(mysql, id).await?,
                false => move_back(mysql, id, &table).await?,
            }
        }
        Ok(())
    }

    /// Finds out what the body took away, keeps that, and throws the rest of the copies away.
    pub async fn finish(self, mysql: &mut MySql) -> Result<(Effects, Vec<Preserved>), Trouble> {
        let now = introspect::fingerprint(mysql, &self.except).await?;
        let mut effects = effects(&self.fingerprint, &now);
        if !self.care.keep {
            (effects.losses, effects.unkept) = (self.losses, self.unkept);
            return Ok((effects, Vec::new()));
        }
        let mut kept = Vec::new();
        let own =
            format!("state <> '{KEPT}' AND {}", of_step(mysql, self.care, self.care.direction));
        let left = stored(mysql, &own).await?;
        if left.is_empty() {
            return Ok((effects, kept));
        }
        mysql.run("keep", STRICT.to_owned()).await?;
        let ended = async {
            for entry in left {
                kept.extend(end(mysql, &entry, &self.written, true).await?);
            }
            for it in &kept {
                let Stored { data, layout, .. } = one(mysql, it.id).await?;
                let rows = Some(rows_lost(mysql, &it.lost, data, &layout, it.rows).await?);
                let lost = it.lost.clone();
                effects.losses.push(Loss { lost, rows, bytes: None, estimated: false });
            }
            Ok::<_, Trouble>(())
        };
        let ended = ended.await;
        mysql.run("keep", LENIENT.to_owned()).await?;
        ended.map(|()| (effects, kept))
    }
}

/// Adds an entry to the index, whose step is the first that its half has begun and not ended.
pub(super) async fn insert(
    mysql: &mut MySql,
    care: &Preservation<'_>,
    run: Option<i64>,
    state: &str,
    entry: &NewEntry,
) -> Result<i64> {
    let (index, condition) = (mysql.table(INDEX), of_step(mysql, care, care.direction));
    let sql = format!(
        "{} SET @sternway_id = LAST_INSERT_ID();
         UPDATE {index} SET data = IF(data = 0, id, data), step = COALESCE(
             (SELECT s FROM (SELECT MIN(o.id) AS s FROM {index} o WHERE o.state <> '{KEPT}' AND {condition}) x), id)
         WHERE id = @sternway_id LIMIT 1; COMMIT",
        insertion(mysql, care, run, state, entry, "0")
    );
    mysql.run("write the archive", sql).await?;
    last_id(mysql).await
}

/// The layout of all that a table holds.
fn layout(shape: &Shape) -> Layout {
    Layout {
        key: shape.unique.first().cloned().unwrap_or_default(),
        sequence: shape.sequence.filter(|next| *next > 1),
        ..Layout::of(shape)
    }
}

/// Makes a table for kept rows: `n` is the number of a row, `u` whether it was deleted or changed, `w`
/// what was found in its place, and `m` why it cannot be put back.
pub(super) async fn place(mysql: &mut MySql, id: i64, columns: &[&Column]) -> Result<()> {
    let columns: String =
        columns.iter().enumerate().map(|(at, it)| format!(", c{at} {}", shape::kept(it))).collect();
    let kept = data(mysql, id);
    let sql = format!(
        "DROP TABLE IF EXISTS {kept};
         CREATE TABLE {kept} (n bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, u char(1) NULL, w varchar(8) NULL,
             m varchar(100) CHARACTER SET utf8mb4 NULL{columns}) ENGINE = InnoDB"
    );
    mysql.run("make a place for what is kept", sql).await
}

/// Whether a table for kept rows also holds what a body makes of them. That is found out before it.
async fn has_room(mysql: &mut MySql, shape: &Shape) -> Result<bool> {
    let plain = shape.written();
    if plain.len() < 60 || shape.unique.is_empty() {
        return Ok(true);
    }
    // The number of no entry.
    place(mysql, 0, &plain).await?;
    let more: Vec<String> = plain
        .iter()
        .enumerate()
        .map(|(at, column)| format!("ADD COLUMN a{at} {}", shape::kept(column)))
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
pub(super) async fn fill(mysql: &mut MySql, id: i64, shape: &Shape, from: &str) -> Result<()> {
    let plain = shape.written();
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

/// Takes from a table that was relocated what would be in the way of others: its foreign keys and
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
    let index = mysql.table(INDEX);
    sql.push_str(&format!("UPDATE {index} SET state = 'pending' WHERE id = {id} LIMIT 1; COMMIT"));
    Ok(mysql.run("strip a relocated table", sql).await?)
}

/// Moves a table back that was relocated for a statement that did nothing.
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
    let index = mysql.table(INDEX);
    let sql = format!("{sql} DELETE FROM {index} WHERE id = {id} LIMIT 1; COMMIT");
    Ok(mysql.run("move a table back", sql).await?)
}

/// Throws away what was not kept to the end, and its entry.
pub(super) async fn throw_away(mysql: &mut MySql, entry: &Stored) -> Result<(), Trouble> {
    let stand_in = mysql.table(&format!("{STAND_IN}{}", entry.entry.id));
    let (index, kept) = (mysql.table(INDEX), data(mysql, entry.data));
    let sql = format!(
        "DELETE FROM {index} WHERE id = {} LIMIT 1; COMMIT; DROP TABLE IF EXISTS {kept}; DROP TABLE IF EXISTS {stand_in}",
        entry.entry.id
    );
    Ok(mysql.run("throw a copy away", sql).await?)
}

/// Makes an end of an entry: what it kept and is still there goes, and the rest is kept. `ended`: its
/// body has run to its end.
async fn end(
    mysql: &mut MySql,
    entry: &Stored,
    written: &Written,
    ended: bool,
) -> Result<Vec<Preserved>, Trouble> {
    let name = format!("{PREFIX}{}", entry.data);
    if entry.state == "copying" || !track::exists(mysql, &name).await? {
        throw_away(mysql, entry).await?;
        return Ok(Vec::new());
    }
    if let Lost::Sequence { sequence } = &entry.entry.lost {
        if sequences::has_counted_on(mysql, sequence, entry.data).await? {
            throw_away(mysql, entry).await?;
            return Ok(Vec::new());
        }
        mysql.run("write the archive", "START TRANSACTION READ WRITE".to_owned()).await?;
        let (lost, layout) = (entry.entry.lost.clone(), entry.layout.clone());
        return keep(mysql, entry, &[NewEntry { lost, data: entry.data, layout, rows: 1 }]).await;
    }
    if entry.layout.moved {
        if entry.state == "moving" && !ended {
            move_back(mysql, entry.entry.id, &entry.layout.table).await?;
        }
        if !track::exists(mysql, &name).await? {
            return Ok(Vec::new());
        }
        return keep_whole(mysql, entry, entry.layout.clone()).await;
    }
    take_stock(mysql, entry, written).await
}
