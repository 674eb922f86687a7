//! A store in memory, with the statements counted that it is sent: its tests try restoring by itself.

mod tests;

use std::collections::BTreeMap;
use std::iter;

use async_trait::async_trait;
use sternway_model::archive::{Entry, EntryId, Restored};
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Lost;

use super::entry::{KEPT, Stored};
use super::shape::{Column, ForeignKey, Shape};
use super::store::{Act, BATCH, Contents, Found, Inputs, Match, Place, RowStore, Value};
use super::{Layout, PREFIX, Result, reason};

type Values = Vec<Option<i64>>;

/// A row that was preserved.
#[derive(Debug, Clone, Default)]
struct Kept {
    /// Whether the body gave it other values, and did not delete it.
    changed: bool,
    /// Whether it deleted it, and the other half would have made it again.
    was_made: bool,
    found: Option<Found>,
    conflict: Option<String>,
    /// Its values, and those that the body gave it.
    values: Values,
    after: Values,
}

/// Tables of numbers, by name, and the rows that were preserved of them, by number.
#[derive(Debug, Clone, Default)]
struct Data {
    tables: BTreeMap<String, Vec<Values>>,
    kept: BTreeMap<i64, BTreeMap<i64, Kept>>,
}

/// What a row has to be like beside the others; else why it is not.
type Rule = fn(&Values, &[Values]) -> Result<(), &'static str>;

/// A database in memory.
#[derive(Debug, Default)]
struct Memory {
    shapes: BTreeMap<String, Shape>,
    data: Data,
    marks: Vec<(String, Data)>,
    /// What a row has to be like.
    rule: Option<Rule>,
    notes: BTreeMap<EntryId, Restored>,
    sequences: BTreeMap<String, u64>,
    /// How many statements were sent that write rows.
    written: usize,
    /// The longest list of numbers in a statement.
    longest: usize,
}

impl Memory {
    /// A table whose first column is its key.
    fn table(&mut self, name: &str, columns: &[&str], rows: Vec<Values>) {
        let column = |name: &&str| Column { name: (*name).to_owned(), ..Column::default() };
        let columns: Vec<Column> = columns.iter().map(column).collect();
        let unique = vec![vec![columns[0].name.clone()]];
        let shape = Shape { name: name.to_owned(), columns, unique, ..Shape::default() };
        self.shapes.insert(name.to_owned(), shape);
        self.data.tables.insert(name.to_owned(), rows);
    }

    /// An entry of rows that were preserved of a table.
    fn entry(&mut self, id: i64, lost: Lost, columns: &[&str], rows: Vec<Kept>) -> Stored {
        let (Lost::Table { table } | Lost::Rows { table } | Lost::Column { table, .. }) = &lost
        else {
            panic!("a sequence has no rows");
        };
        let names: Vec<String> = columns.iter().map(|it| (*it).to_owned()).collect();
        let stayed = |name: &String| match &lost {
            Lost::Column { column, .. } => (column != name).then(|| name.clone()),
            _ => Some(name.clone()),
        };
        let layout = Layout {
            table: table.clone(),
            types: vec!["int".to_owned(); names.len()],
            key: vec![names[0].clone()],
            after: matches!(lost, Lost::Rows { .. }).then(|| table.clone()),
            renamed: match lost {
                Lost::Table { .. } => Vec::new(),
                _ => names.iter().map(stayed).collect(),
            },
            columns: names,
            sequence: Some(100),
            ..Layout::default()
        };
        let held = (0..layout.columns.len()).flat_map(|at| [format!("c{at}"), format!("a{at}")]);
        let held = held.map(|name| Column { name, ..Column::default() }).collect();
        let name = format!("{PREFIX}{id}");
        self.shapes.insert(name.clone(), Shape { name, columns: held, ..Shape::default() });
        let numbers = 1..;
        self.data.kept.insert(id, numbers.zip(rows).collect());
        let entry = Entry {
            id,
            run: None,
            track: TrackName("core".to_owned()),
            version: 2,
            direction: Direction::Down,
            since: String::new(),
            age: 0.0,
            lost,
            columns: layout.columns.clone(),
            rows: 0,
            bytes: 0,
            restored: None,
        };
        Stored { entry, data: id, step: id, state: KEPT.to_owned(), layout }
    }

    fn rows(&self, table: &str) -> &[Values] {
        &self.data.tables[table]
    }

    fn shape(&mut self, table: &str) -> &mut Shape {
        self.shapes.get_mut(table).expect("a table")
    }

    /// What a row has in the columns of a place, as the table has them.
    fn live(&self, place: &Place, kept: &Kept) -> Option<&Values> {
        let rows = self.data.tables.get(&place.shape.name)?;
        let at = |at: &usize| position(&place.shape, &place.layout.columns[*at]);
        let is = |row: &&Values| place.key.iter().all(|key| row[at(key)] == kept.values[*key]);
        rows.iter().find(is)
    }

    fn is_same(&self, place: &Place, kept: &Kept, row: &Values) -> bool {
        let same = |at: &usize| {
            row[position(&place.shape, &place.layout.columns[*at])] == kept.values[*at]
        };
        place.columns.iter().all(same)
    }

    /// The rows of an entry without a conflict.
    fn open(&self, data: i64) -> impl Iterator<Item = (i64, &Kept)> {
        let open = self.data.kept[&data].iter().filter(|(_, kept)| kept.conflict.is_none());
        open.map(|(row, kept)| (*row, kept))
    }

    fn kept(&mut self, data: i64) -> &mut BTreeMap<i64, Kept> {
        self.data.kept.get_mut(&data).expect("rows")
    }
}

fn position(shape: &Shape, column: &str) -> usize {
    shape.columns.iter().position(|it| it.name == column).expect("a column")
}

#[async_trait]
impl RowStore for Memory {
    fn defers_foreign_keys(&self) -> bool {
        true
    }

    async fn table(&mut self, name: &str) -> Result<Option<Shape>> {
        Ok(self.shapes.get(name).cloned())
    }

    async fn begin_anew(&mut self, data: i64) -> Result<()> {
        for kept in self.kept(data).values_mut() {
            (kept.found, kept.conflict) = (None, None);
        }
        Ok(())
    }

    async fn look_in_place(&mut self, place: &Place) -> Result<()> {
        for (n, row) in self.data.kept[&place.data].clone() {
            let found = self.live(place, &row).map(|live| match row.changed {
                true if *live == row.after => Found::Same,
                true => Found::Other,
                false => Found::Taken,
            });
            self.kept(place.data).get_mut(&n).expect("a row").found = found;
        }
        Ok(())
    }

    async fn find(&mut self, _: &Place, _: Contents<'_>) -> Result<()> {
        unreachable!("every table has a key")
    }

    async fn matching(&mut self, place: &Place, after: i64) -> Result<Vec<Match>> {
        let has = |name: &String| place.shape.column(name).is_some();
        let columns = &place.layout.columns;
        let read = |(row, kept): (i64, &Kept)| {
            let live = self.live(place, kept);
            let unplaced = columns.iter().zip(&kept.values).any(|(it, v)| !has(it) && v.is_some());
            let is_same = live.is_some_and(|live| self.is_same(place, kept, live));
            let (changed, found, is_there) = (kept.changed, kept.found, live.is_some());
            let value = |(at, inputs): (usize, &Inputs)| {
                let now = |at: usize| live.and_then(|it| it[position(&place.shape, &columns[at])]);
                let same = |at: &usize| now(*at) == kept.values[*at];
                let moved = match inputs {
                    Inputs::Columns(inputs) => !inputs.iter().all(same),
                    Inputs::Anew => kept.after[at] != now(at),
                    Inputs::Unknown => true,
                };
                Value { same: same(&at), blank: now(at).is_none(), moved }
            };
            let inputs = place.inputs.iter().chain(iter::repeat(&Inputs::Unknown));
            let values = match place.of_columns || !place.inputs.is_empty() {
                true => place.judged.iter().copied().zip(inputs).map(value).collect(),
                false => Vec::new(),
            };
            Match {
                row,
                changed,
                was_made: kept.was_made,
                found,
                unplaced,
                is_there,
                is_same,
                values,
            }
        };
        Ok(self.open(place.data).filter(|(row, _)| *row > after).take(BATCH).map(read).collect())
    }

    async fn look_for_alike(&mut self, place: &Place, found: Found) -> Result<()> {
        let given = place.given().expect("columns");
        let all = self.data.kept[&place.data].clone();
        let is_kept =
            |row: &&Values| !all.values().any(|kept| self.live(place, kept) == Some(*row));
        let at = |at: &usize| position(&place.shape, &place.layout.columns[*at]);
        let mut free: Vec<Values> =
            self.rows(&place.shape.name).iter().filter(is_kept).cloned().collect();
        for (n, kept) in all {
            let alike = |row: &Values| given.iter().all(|it| row[at(it)] == kept.values[*it]);
            let asked = !kept.changed && kept.found.is_none() && self.live(place, &kept).is_none();
            if let (true, Some(one)) = (asked, free.iter().position(alike)) {
                free.remove(one);
                self.kept(place.data).get_mut(&n).expect("a row").found = Some(found);
            }
        }
        Ok(())
    }

    async fn look_for_holders(&mut self, _: &Place, _: &[usize]) -> Result<()> {
        unreachable!("no table has another key")
    }

    async fn claimants(&mut self, _: &Place, _: &[usize]) -> Result<Vec<i64>> {
        unreachable!("no table has another key")
    }

    async fn twins_give_way(&mut self, place: &Place) -> Result<()> {
        let given = place.given().expect("columns");
        let at = |at: &usize| position(&place.shape, &place.layout.columns[*at]);
        let alike =
            |row: &Values, kept: &Kept| given.iter().all(|it| row[at(it)] == kept.values[*it]);
        let key =
            |row: &Values, kept: &Kept| place.key.iter().all(|it| row[at(it)] == kept.values[*it]);
        let rows = self.rows(&place.shape.name).to_vec();
        let all: Vec<Kept> = self.open(place.data).map(|(_, kept)| kept.clone()).collect();
        let same = |row: &Values, kept: &Kept| key(row, kept) && alike(row, kept);
        let is_there = |kept: &&Kept| rows.iter().any(|row| same(row, kept));
        let mut free: Vec<&Kept> = all.iter().filter(|kept| !is_there(kept)).collect();
        let stay = rows.iter().filter(|row| {
            let is_kept = all.iter().any(|kept| same(row, kept));
            let twin = free.iter().position(|kept| !is_kept && alike(row, kept));
            twin.map(|twin| free.remove(twin)).is_none()
        });
        let stay = stay.cloned().collect();
        self.data.tables.insert(place.shape.name.clone(), stay);
        Ok(())
    }

    async fn is_uniform(&mut self, place: &Place, column: usize) -> Result<bool> {
        let at = position(&place.shape, &place.layout.columns[column]);
        let rows = self.rows(&place.shape.name);
        Ok(rows.len() > 1 && rows.iter().all(|row| row[at] == rows[0][at]))
    }

    async fn went(&mut self, _: &str, _: [EntryId; 2]) -> Result<bool> {
        Ok(false)
    }

    async fn supersede(&mut self, place: &Place, newer: &Place) -> Result<()> {
        let later = self.data.kept[&newer.data].clone();
        for (n, kept) in self.data.kept[&place.data].clone() {
            let is = |it: &&Kept| {
                place
                    .layout
                    .keys()
                    .iter()
                    .zip(newer.layout.keys())
                    .all(|(at, other)| kept.values[*at] == it.values[other])
            };
            let live = self.live(place, &kept).cloned();
            let why = match (later.values().find(is), live, place.of_columns) {
                (None, _, true) => Some(reason::DELETED),
                (Some(_), _, false) => Some(reason::NEWER),
                (Some(other), Some(live), true) if !self.is_same(newer, other, &live) => {
                    Some(reason::NEWER)
                }
                _ => None,
            };
            if let Some(why) = why {
                self.kept(place.data).get_mut(&n).expect("a row").conflict = Some(why.to_owned());
            }
        }
        Ok(())
    }

    async fn refuse(&mut self, data: i64, rows: Option<&[i64]>, reason: &str) -> Result<()> {
        self.longest = self.longest.max(rows.map_or(0, <[i64]>::len));
        for (row, kept) in self.kept(data) {
            if rows.is_none_or(|rows| rows.contains(row)) {
                kept.conflict.get_or_insert_with(|| reason.to_owned());
            }
        }
        Ok(())
    }

    async fn take_for_deleted(&mut self, data: i64, rows: &[i64]) -> Result<()> {
        for row in rows {
            let kept = self.kept(data).get_mut(row).expect("a row");
            (kept.changed, kept.found) = (false, None);
        }
        Ok(())
    }

    async fn write(
        &mut self,
        place: &Place,
        act: &Act,
        rows: &[i64],
    ) -> Result<std::result::Result<(), &'static str>> {
        self.written += 1;
        self.longest = self.longest.max(rows.len());
        let before = self.data.tables.clone();
        for n in rows {
            let kept = self.data.kept[&place.data][n].clone();
            assert_eq!(kept.conflict, None);
            let live = self.live(place, &kept).cloned();
            let mut row = live.clone().unwrap_or(vec![None; place.shape.columns.len()]);
            let (columns, some, vacates) = match act {
                Act::Set { columns, only_changed } => (columns, *only_changed, false),
                Act::Vacate { columns, only_changed } => (columns, *only_changed, true),
                Act::Replace | Act::Insert => (&place.columns, false, false),
                Act::Claim { .. } => unreachable!("no table has another key"),
            };
            for at in columns.iter().filter(|at| !vacates || !place.key.contains(at)) {
                if !some || kept.after[*at] != kept.values[*at] {
                    let value = kept.values[*at].filter(|_| !vacates);
                    row[position(&place.shape, &place.layout.columns[*at])] = value;
                }
            }
            assert_eq!(live.is_none(), *act == Act::Insert);
            let table = self.data.tables.get_mut(&place.shape.name).expect("a table");
            table.retain(|it| Some(it) != live.as_ref());
            if let Some(Err(broken)) = self.rule.map(|rule| rule(&row, table)) {
                self.data.tables = before;
                return Ok(Err(broken));
            }
            table.push(row);
        }
        Ok(Ok(()))
    }

    async fn check_foreign_keys(&mut self, _: bool) -> Result<()> {
        Ok(())
    }

    async fn orphans(
        &mut self,
        place: &Place,
        key: &ForeignKey,
        own: bool,
        after: i64,
    ) -> Result<Vec<i64>> {
        assert!(own);
        let parent = &self.shapes[&key.parent];
        let leads = |kept: &Kept| {
            key.columns.iter().all(|(from, to)| {
                let value = kept.values[place.layout.at(from).expect("a column")];
                let to = position(parent, to);
                value.is_none() || self.rows(&parent.name).iter().any(|row| row[to] == value)
            })
        };
        let open = self.open(place.data).filter(|(row, kept)| *row > after && !leads(kept));
        Ok(open.map(|(row, _)| row).take(BATCH).collect())
    }

    async fn mark(&mut self, name: &str) -> Result<()> {
        self.marks.push((name.to_owned(), self.data.clone()));
        Ok(())
    }

    async fn unmark(&mut self, name: &str, stay: bool) -> Result<()> {
        let (marked, data) = self.marks.pop().expect("a mark");
        assert_eq!(marked, name);
        if !stay {
            self.data = data;
        }
        Ok(())
    }

    async fn advance(&mut self, shape: &Shape, sequence: u64) -> Result<()> {
        self.sequences.insert(shape.name.clone(), sequence);
        Ok(())
    }

    async fn empty(&mut self, data: i64) -> Result<(u64, BTreeMap<String, u64>)> {
        let rows = self.kept(data);
        let before = rows.len();
        rows.retain(|_, kept| kept.conflict.is_some());
        let mut left = BTreeMap::new();
        for why in rows.values().filter_map(|kept| kept.conflict.clone()) {
            *left.entry(why).or_default() += 1;
        }
        Ok(((before - rows.len()) as u64, left))
    }

    async fn note(&mut self, id: EntryId, restored: &Restored) -> Result<()> {
        self.notes.insert(id, restored.clone());
        Ok(())
    }
}
