//! The archive's SQL, as far as the dialects have it in common, over the few things in which they
//! differ. The table that holds the rows of an entry is `k` in it, and the application's table `t`.
//!
//! In the first, `n` is the number of a row, `u` what the body did to it (`c` changed, `d` deleted, `m` deleted,
//! where the other half would have made it again),
//! `w` what was found of it, and `m` why it does not fit.

mod words;

use std::collections::BTreeMap;

use async_trait::async_trait;
use sternway_model::archive::{EntryId, Restored};
use sternway_model::effect::Lost;

use self::words::Words;
use super::shape::{Column, ForeignKey, Shape};
use super::store::{Act, BATCH, Contents, Found, Match, Place, RowStore, Value};
use super::{INDEX, PREFIX, Result, number};
use crate::port::DatabaseError;

/// The values of a row as text.
pub type Cells = Vec<Option<String>>;

/// What an `UPDATE` of one table with the values of another one is made of.
pub struct Update<'a> {
    /// The table that is written to, and what it is called in the statement.
    pub table: &'a str,
    pub alias: &'a str,
    /// The other table, with what it is called.
    pub from: &'a str,
    /// Which of its rows goes with which.
    pub on: &'a str,
    /// The columns, each with what it gets.
    pub set: &'a [(String, String)],
    /// Which rows are written.
    pub condition: &'a str,
}

/// What a dialect does in its own way.
#[async_trait]
pub trait SqlStore: Send {
    /// How an `INSERT` begins that no rule of the table turns into something else.
    const INSERT: &'static str;
    /// What keeps the rows that a query reads from being changed by others.
    const LOCK: &'static str;
    /// Whether foreign keys are looked at when all rows are in place.
    const DEFERS: bool;
    /// The state of an entry, its age in seconds and when it was made, as columns of the index.
    const STATE: &'static str;
    const AGE: &'static str;
    const SINCE: &'static str;
    /// The number that the last row got that was inserted.
    const LAST_ID: &'static str;

    /// A name as SQL has it.
    fn quote(name: &str) -> String;

    /// A text as SQL has it.
    fn literal(text: &str) -> String;

    /// A table of the database as SQL has it.
    fn qualified(&self, table: &str) -> String;

    /// The condition for the entries of an application.
    fn of_app(&self, app: &str) -> String;

    /// Columns of the index that only this dialect has, with what a new entry has in them.
    fn own_columns(&self, state: &str) -> Vec<(&'static str, String)>;

    /// The condition under which two values are one, bit by bit.
    fn same(own: &Column, value: &str, their: &Column, other: &str) -> String;

    /// Values in one text: equal where they are one by one.
    fn image(values: &[(&Column, String)]) -> String;

    /// The statement.
    fn update(update: &Update<'_>) -> String;

    /// The rule of a table that an error says is broken; other errors are errors.
    fn broken_rule(error: DatabaseError) -> Result<&'static str>;

    /// Whether an error says that a table or a column is gone, or a lock was not had in time.
    fn is_passing(error: &DatabaseError) -> bool;

    /// Runs statements.
    async fn run(&mut self, doing: &str, sql: String) -> Result<()>;

    /// Runs statements that write, together or not at all where the dialect can.
    async fn run_whole(&mut self, doing: &str, sql: String) -> Result<()>;

    /// The rows of a query.
    async fn cells(&mut self, doing: &str, sql: String) -> Result<Vec<Cells>>;

    /// A table as it is now, unless it is not there or is a view.
    async fn look(&mut self, table: &str) -> Result<Option<Shape>>;

    /// The tables whose foreign keys lead to this one, in the words of SQL.
    async fn referring(&mut self, table: &str) -> Result<Vec<String>>;

    /// Whether there is a table of this name.
    async fn is_table(&mut self, table: &str) -> Result<bool>;

    /// How many bytes a table takes.
    async fn size(&mut self, table: &str) -> Result<u64>;

    /// As [`RowStore::check_foreign_keys`].
    async fn check_keys(&mut self, on: bool) -> Result<()>;

    /// The condition under which a foreign key that leads nowhere from a row `k` is a conflict.
    async fn has_to_lead(&mut self) -> Result<&'static str>;

    /// As [`RowStore::advance`].
    async fn go_on(&mut self, shape: &Shape, sequence: u64) -> Result<()>;

    /// Fills the table `sternway_pair` with the number `n` of each row at which `condition` holds, the
    /// number `r` of its row in the table, and `how` it was found: `there`, `gone` or `alike`. `old` is what
    /// a row looks like, `value` what would go back to it, and `new` what those of the table look like.
    async fn pair_by(
        &mut self,
        place: &Place,
        condition: &str,
        [old, value, new]: [&str; 3],
    ) -> Result<()>;
}

/// The table that holds the rows of an entry.
pub fn data<S: SqlStore>(store: &S, id: i64) -> String {
    store.qualified(&format!("{PREFIX}{id}"))
}

/// The condition under which the row `t` of a table, which calls its columns by `names`, is the row `k`.
pub fn matches<S: SqlStore>(key: &[usize], names: impl Fn(usize) -> Option<String>) -> String {
    let part = |at: &usize| {
        let name = S::quote(&names(*at).unwrap_or_default());
        format!("t.{name} = k.c{at}")
    };
    all(key.iter().map(part))
}

/// That all conditions hold.
pub fn all(conditions: impl Iterator<Item = String>) -> String {
    let conditions: Vec<String> = conditions.collect();
    if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") }
}

/// The number that a query gives.
pub async fn count<S: SqlStore>(store: &mut S, sql: String) -> Result<u64> {
    let rows = store.cells("count rows", sql).await?;
    match rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten() {
        Some(text) => number(&text),
        // The sum of nothing.
        None => Ok(0),
    }
}

/// How many rows a `FROM` gives.
pub async fn rows_of<S: SqlStore>(store: &mut S, from: &str) -> Result<u64> {
    count(store, format!("SELECT COUNT(*) FROM {from}")).await
}

/// Whether there is a row, in a table as SQL has it.
pub async fn has_rows<S: SqlStore>(store: &mut S, table: &str) -> Result<bool> {
    Ok(rows_of(store, &format!("(SELECT 1 AS one FROM {table} LIMIT 1) AS x")).await? > 0)
}

/// The numbers of the rows that have their like in another table, as many as are there.
pub fn paired(kept: &str, condition: &str, old: &str, table: &str, new: &str) -> String {
    format!(
        "(SELECT o.n AS n FROM (SELECT n, {old} AS image, ROW_NUMBER() OVER (PARTITION BY {old} ORDER BY n) AS i
                                FROM {kept} AS k WHERE {condition}) AS o
          JOIN (SELECT {new} AS image, COUNT(*) AS many FROM {table} AS t GROUP BY 1) AS l
            ON l.image = o.image AND o.i <= l.many) AS x"
    )
}

/// The condition under which a foreign key leads nowhere from the values that `value` gives.
pub async fn leads_nowhere<S: SqlStore>(
    store: &mut S,
    key: &ForeignKey,
    value: impl Fn(&str) -> String,
) -> Result<String> {
    let given = all(key.columns.iter().map(|(column, _)| format!("{} IS NOT NULL", value(column))));
    let parent = store.look(&key.parent).await?;
    let there = |parent: &Shape| key.columns.iter().all(|(_, to)| parent.column(to).is_some());
    let Some(parent) = parent.filter(there) else { return Ok(format!("({given})")) };
    let met = |(column, to): &(String, String)| format!("p.{} = {}", S::quote(to), value(column));
    let (parent, met) = (store.qualified(&parent.name), all(key.columns.iter().map(met)));
    Ok(format!("({given} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {met}))"))
}

/// That rows have these numbers.
fn numbered(rows: &[i64]) -> String {
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    format!("k.n IN ({})", rows.join(", "))
}

#[async_trait]
impl<S: SqlStore> RowStore for S {
    fn defers_foreign_keys(&self) -> bool {
        S::DEFERS
    }

    async fn table(&mut self, name: &str) -> Result<Option<Shape>> {
        self.look(name).await
    }

    async fn begin_anew(&mut self, id: i64) -> Result<()> {
        let sql = format!("UPDATE {} SET w = NULL, m = NULL", data(self, id));
        self.run("look at the archive", sql).await
    }

    async fn look_in_place(&mut self, place: &Place) -> Result<()> {
        let (words, layout) = (Words::of(self, place), &place.layout);
        let stayed = (0..layout.columns.len()).filter_map(|at| Some((at, layout.renamed(at)?)));
        let found = format!(
            "CASE WHEN COALESCE(k.u, '') <> 'c' THEN 'taken' WHEN {} THEN 'same' ELSE 'other' END",
            words.same('a', stayed)
        );
        let row = matches::<S>(&place.key, |at| layout.renamed(at).map(str::to_owned));
        let sql = words.note(&format!("{} AS t", words.table), &row, &found);
        self.run("look at what is in their place", sql).await
    }

    async fn find(&mut self, place: &Place, contents: Contents<'_>) -> Result<()> {
        let words = Words::of(self, place);
        let open = format!("k.m IS NULL AND NOT ({})", words.unplaced());
        let sql = match contents {
            Contents::Whole => {
                let (old, new) = words.images('c', &place.columns);
                let there = paired(&words.kept, &open, &old, &words.table, &new);
                words.note(&there, "x.n = k.n", "'there'")
            }
            Contents::Pair { changed, stay, values } => {
                let (letter, equals) = if changed { ('a', "=") } else { ('c', "<>") };
                let ((old, new), (value, _)) =
                    (words.images(letter, stay), words.images('c', values));
                let open = format!("{open} AND COALESCE(k.u, '') {equals} 'c'");
                self.pair_by(place, &open, [&old, &value, &new]).await?;
                words.note("sternway_pair AS p", "p.n = k.n", "p.how")
            }
        };
        self.run("find rows by their contents", sql).await
    }

    async fn matching(&mut self, place: &Place, after: i64) -> Result<Vec<Match>> {
        let words = Words::of(self, place);
        let columns = place.columns.iter().map(|at| (*at, words.plain(*at)));
        let (join, there, same) = match (place.key.first(), place.shape.rowid) {
            (Some(first), _) => (
                format!("LEFT JOIN {} AS t ON {}", words.table, words.row()),
                format!("t.{} IS NOT NULL", words.name(*first)),
                words.same('c', columns),
            ),
            (None, Some(rowid)) if place.of_columns => (
                format!(
                    "LEFT JOIN sternway_pair AS p ON p.n = k.n LEFT JOIN {} AS t ON t.{rowid} = p.r",
                    words.table
                ),
                "p.r IS NOT NULL".to_owned(),
                words.same('c', columns),
            ),
            (None, _) => (String::new(), "1 = 0".to_owned(), "1 = 0".to_owned()),
        };
        let flag = |condition: &str| format!("CASE WHEN {condition} THEN 1 ELSE 0 END");
        let asked = (place.of_columns || !place.inputs.is_empty()) && !join.is_empty();
        let values = if asked { words.values() } else { Vec::new() };
        let values: String =
            values.iter().flatten().map(|condition| format!(", {}", flag(condition))).collect();
        let sql = format!(
            "SELECT k.n, {}, {}, COALESCE(k.w, ''), {}, {}, {}{values} FROM {} AS k {join}
             WHERE k.m IS NULL AND k.n > {after} ORDER BY k.n LIMIT {BATCH}",
            flag("k.u = 'c'"),
            flag("k.u = 'm'"),
            flag(&words.unplaced()),
            flag(&there),
            flag(&format!("{there} AND {same}")),
            words.kept
        );
        self.cells("compare the archive with what is there", sql)
            .await?
            .iter()
            .map(matched)
            .collect()
    }

    async fn look_for_alike(&mut self, place: &Place, found: Found) -> Result<()> {
        let Some(given) = place.given() else { return Ok(()) };
        let words = Words::of(self, place);
        let (old, new) = words.images('c', &given);
        let (row, Words { kept, table, .. }) = (words.row(), &words);
        let open = format!(
            "k.m IS NULL AND k.w IS NULL AND COALESCE(k.u, '') <> 'c'
             AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {row})"
        );
        let others = format!(
            "(SELECT t.* FROM {table} AS t WHERE NOT EXISTS (SELECT 1 FROM {kept} AS k WHERE {row}))"
        );
        let note = format!("'{}'", written(found));
        let sql = words.note(&paired(kept, &open, &old, &others, &new), "x.n = k.n", &note);
        self.run("look for rows that are alike", sql).await
    }

    async fn look_for_holders(&mut self, place: &Place, unique: &[usize]) -> Result<()> {
        let words = Words::of(self, place);
        let row = matches::<S>(unique, |at| place.layout.renamed(at).map(str::to_owned));
        let on = format!("{row} AND k.w IS NULL AND COALESCE(k.u, '') <> 'c'");
        let sql = words.note(&format!("{} AS t", words.table), &on, "'taken'");
        self.run("look at what is in their place", sql).await
    }

    async fn claimants(&mut self, place: &Place, unique: &[usize]) -> Result<Vec<i64>> {
        let words = Words::of(self, place);
        let Words { kept, table, .. } = &words;
        let same = matches::<S>(unique, |at| Some(words.plain(at).to_owned()));
        let sql = format!(
            "SELECT MIN(k.n) FROM {kept} AS k JOIN {table} AS t ON {same}
             WHERE k.m IS NULL AND k.w IS NULL AND COALESCE(k.u, '') <> 'c' AND NOT ({})
               AND NOT EXISTS (SELECT 1 FROM {kept} AS k WHERE {row})
               AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {row}) GROUP BY {} ORDER BY 1",
            words.unplaced(),
            unique.iter().map(|at| format!("k.c{at}")).collect::<Vec<_>>().join(", "),
            row = words.row()
        );
        let found = self.cells("compare the archive with what is there", sql).await?;
        found.iter().flatten().flatten().map(|text| number(text)).collect()
    }

    async fn twins_give_way(&mut self, place: &Place) -> Result<()> {
        let Some(given) = place.given() else { return Ok(()) };
        let words = Words::of(self, place);
        if !has_rows(self, &words.table).await? {
            return Ok(());
        }
        for table in self.referring(&place.shape.name).await? {
            if has_rows(self, &table).await? {
                return Ok(());
            }
        }
        let sql = words.twins(&given);
        self.run("look for rows that are alike", sql).await
    }

    async fn is_uniform(&mut self, place: &Place, column: usize) -> Result<bool> {
        let words = Words::of(self, place);
        let Some((live, value)) = words.live(words.plain(column)) else { return Ok(false) };
        let sql = format!(
            "SELECT CASE WHEN COUNT(*) > 1 AND COUNT(DISTINCT {}) = 1 THEN 1 ELSE 0 END FROM {} AS t",
            S::image(&[(live, value)]),
            words.table
        );
        Ok(count(self, sql).await? == 1)
    }

    async fn went(&mut self, table: &str, [after, before]: [EntryId; 2]) -> Result<bool> {
        let index = self.qualified(INDEX);
        let sql = format!("SELECT lost FROM {index} WHERE id > {after} AND id < {before}");
        let found = self.cells("read the archive", sql).await?;
        let whole = Lost::Table { table: table.to_owned() };
        let lost = found.into_iter().flatten().flatten();
        Ok(lost.into_iter().any(|it| serde_json::from_str::<Lost>(&it).is_ok_and(|it| it == whole)))
    }

    async fn supersede(&mut self, place: &Place, newer: &Place) -> Result<()> {
        let words = Words::of(self, place);
        let Some(row) = words.is_of(newer) else { return Ok(()) };
        let (kept, other) = (&words.kept, data(self, newer.data));
        let mark = |from: &str, on: &str, condition: &str, why: &str| {
            let set = [("m".to_owned(), S::literal(why))];
            let condition = format!("k.m IS NULL AND {condition}");
            S::update(&Update {
                table: kept,
                alias: "k",
                from,
                on,
                set: &set,
                condition: &condition,
            })
        };
        let sql = if !place.of_columns {
            mark(&format!("{other} AS j"), &row, "1 = 1", super::reason::NEWER)
        } else {
            if place.key.is_empty() {
                return Ok(());
            }
            // What the later one has is what the row has anyway: then nobody has written to it.
            let later = Words::<S>::of(self, newer);
            let same = place.layout.gone().into_iter().filter_map(|at| {
                let (live, value) = words.live(words.plain(at))?;
                let theirs = newer.layout.at(words.plain(at))?;
                let (held, _) = later.held('c', theirs)?;
                Some(S::same(held, &format!("j.c{theirs}"), live, &value))
            });
            let differs = format!("NOT ({})", all(same));
            let from = format!("{other} AS j JOIN {} AS t", words.table);
            let on = format!("{row} AND {}", words.row());
            let changed = mark(&from, &on, &differs, super::reason::NEWER);
            let there = format!("EXISTS (SELECT 1 FROM {other} AS j WHERE {row})");
            let why = S::literal(super::reason::DELETED);
            format!("{changed}; UPDATE {kept} AS k SET m = {why} WHERE k.m IS NULL AND NOT {there}")
        };
        self.run("look at what was kept later", sql).await
    }

    async fn refuse(&mut self, id: i64, rows: Option<&[i64]>, reason: &str) -> Result<()> {
        let which = rows.map_or("1 = 1".to_owned(), numbered);
        // As much of it as there is room for.
        let reason: String = reason.chars().take(100).collect();
        let (kept, why) = (data(self, id), S::literal(&reason));
        let sql = format!("UPDATE {kept} AS k SET m = {why} WHERE k.m IS NULL AND {which}");
        self.run("note what does not fit", sql).await
    }

    async fn take_for_deleted(&mut self, id: i64, rows: &[i64]) -> Result<()> {
        let (kept, which) = (data(self, id), numbered(rows));
        let sql = format!("UPDATE {kept} AS k SET u = 'd', w = NULL WHERE {which}");
        self.run("look for the rows that were changed", sql).await
    }

    async fn check_foreign_keys(&mut self, on: bool) -> Result<()> {
        self.check_keys(on).await
    }

    async fn write(
        &mut self,
        place: &Place,
        act: &Act,
        rows: &[i64],
    ) -> Result<std::result::Result<(), &'static str>> {
        let (words, which) = (Words::of(self, place), numbered(rows));
        let sql = match act {
            Act::Set { columns, only_changed } => {
                words.update(&words.set(columns, *only_changed), &which)
            }
            Act::Replace => words.update(&words.set(&place.columns, false), &which),
            Act::Claim { unique } => {
                let same = matches::<S>(unique, |at| Some(words.plain(at).to_owned()));
                let Words { table, kept, .. } = &words;
                S::update(&Update {
                    table,
                    alias: "t",
                    from: &format!("{kept} AS k"),
                    on: &same,
                    set: &words.set(&place.columns, false),
                    condition: &which,
                })
            }
            Act::Vacate { columns, only_changed } => {
                let mut vacant = BTreeMap::new();
                for (at, (value, asked)) in
                    columns.iter().filter_map(|at| Some((*at, words.vacant(*at)?)))
                {
                    let Some(sql) = asked else {
                        vacant.insert(at, value);
                        continue;
                    };
                    let found = self.cells("compare the archive with what is there", sql).await?;
                    let end = found.into_iter().flatten().next().flatten().unwrap_or_default();
                    vacant.insert(at, value.replacen("{}", &end, 1));
                }
                let columns: Vec<usize> = vacant.keys().copied().collect();
                words.update(
                    &words.set_to(&columns, *only_changed, |at| vacant[&at].clone()),
                    &which,
                )
            }
            Act::Insert => {
                let names: Vec<String> = place.columns.iter().map(|at| words.name(*at)).collect();
                let values: Vec<String> =
                    place.columns.iter().map(|at| format!("k.c{at}")).collect();
                let (names, values) = (names.join(", "), values.join(", "));
                let Words { table, kept, .. } = words;
                format!(
                    "{} INTO {table} ({names}) SELECT {values} FROM {kept} AS k WHERE {which} ORDER BY k.n",
                    S::INSERT
                )
            }
        };
        match self.run("restore rows", sql).await {
            Ok(()) => Ok(Ok(())),
            Err(error) => S::broken_rule(error).map(Err),
        }
    }

    async fn orphans(
        &mut self,
        place: &Place,
        key: &ForeignKey,
        own: bool,
        after: i64,
    ) -> Result<Vec<i64>> {
        let words = Words::of(self, place);
        let value = |column: &str| match place.layout.at(column).filter(|_| own) {
            Some(at) => format!("k.c{at}"),
            None => format!("t.{}", S::quote(column)),
        };
        let join = match own {
            true => String::new(),
            false => format!("JOIN {} AS t ON {}", words.table, words.row()),
        };
        let nowhere = leads_nowhere(self, key, value).await?;
        let known = self.has_to_lead().await?;
        let sql = format!(
            "SELECT k.n FROM {} AS k {join} WHERE k.m IS NULL AND k.n > {after} AND {known} AND {nowhere}
             ORDER BY k.n LIMIT {BATCH}{}",
            words.kept,
            S::LOCK
        );
        let found = self.cells("look at the foreign keys", sql).await?;
        found.iter().flatten().flatten().map(|text| number(text)).collect()
    }

    async fn mark(&mut self, name: &str) -> Result<()> {
        self.run("restore rows", format!("SAVEPOINT {name}")).await
    }

    async fn unmark(&mut self, name: &str, stay: bool) -> Result<()> {
        let back = if stay { String::new() } else { format!("ROLLBACK TO SAVEPOINT {name}; ") };
        self.run("restore rows", format!("{back}RELEASE SAVEPOINT {name}")).await
    }

    async fn advance(&mut self, shape: &Shape, sequence: u64) -> Result<()> {
        self.go_on(shape, sequence).await
    }

    async fn empty(&mut self, id: i64) -> Result<(u64, BTreeMap<String, u64>)> {
        let kept = data(self, id);
        let back = rows_of(self, &format!("{kept} WHERE m IS NULL")).await?;
        let sql = format!("SELECT m, COUNT(*) FROM {kept} WHERE m IS NOT NULL GROUP BY m");
        let mut left = BTreeMap::new();
        for row in self.cells("count rows", sql).await? {
            if let [Some(reason), Some(rows)] = row.as_slice() {
                left.insert(reason.clone(), number(rows)?);
            }
        }
        let sql = format!("DELETE FROM {kept} WHERE m IS NULL");
        self.run("empty the archive of what is restored", sql).await?;
        Ok((back, left))
    }

    async fn note(&mut self, id: EntryId, restored: &Restored) -> Result<()> {
        let json = S::literal(&serde_json::to_string(restored).unwrap_or_default());
        let index = self.qualified(INDEX);
        let sql = format!("UPDATE {index} SET restored = {json} WHERE id = {id}");
        self.run("note what is restored", sql).await
    }
}

/// What was found of a row, as the archive has it.
fn written(found: Found) -> &'static str {
    match found {
        Found::Taken => "taken",
        Found::Same => "same",
        Found::Other => "other",
        Found::There => "there",
        Found::Alike => "alike",
        Found::Gone => "gone",
        Found::Like => "like",
        Found::Anew => "anew",
    }
}

/// Reads what was found of a row.
fn matched(row: &Cells) -> Result<Match> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let found = match text(3) {
        "" => None,
        "taken" => Some(Found::Taken),
        "same" => Some(Found::Same),
        "other" => Some(Found::Other),
        "there" => Some(Found::There),
        "alike" => Some(Found::Alike),
        "gone" => Some(Found::Gone),
        "like" => Some(Found::Like),
        "anew" => Some(Found::Anew),
        other => return Err(DatabaseError::RecordsDamaged(format!("`{other}` in the archive"))),
    };
    let row_length = row.len();
    let (row, yes) = (number(text(0))?, |at| text(at) == "1");
    let values = (7..row_length).step_by(3);
    let values = values.map(|at| Value { same: yes(at), blank: yes(at + 1), moved: yes(at + 2) });
    let values = values.collect();
    Ok(Match {
        row,
        changed: yes(1),
        was_made: yes(2),
        found,
        unplaced: yes(4),
        is_there: yes(5),
        is_same: yes(6),
        values,
    })
}
