//! Rows with values that are written once and nowhere else, so that each can be looked for: in the tables, and
//! in the archive.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sternway_database::{Database, Dialect};
use sternway_testing::Random;

use super::case::chain;
use super::place::{Place, TRACKING};

/// Values that nothing else has are numbers from here on.
const FIRST: u64 = 1_000_000;

/// The table, the row's number, and the column.
type Cell = (String, u64, String);

/// What people have written.
pub struct Rows {
    next: u64,
    ids: u64,
    /// The last value of each cell.
    cells: BTreeMap<Cell, u64>,
    /// Values that people have replaced or deleted.
    over: BTreeSet<u64>,
    /// Values that are to be somewhere.
    live: BTreeSet<u64>,
    /// Numbers of rows that people have deleted: nobody uses them again.
    deleted: BTreeSet<u64>,
}

impl Rows {
    pub fn none() -> Rows {
        let (over, live, deleted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Rows { next: FIRST, ids: 0, cells: BTreeMap::new(), over, live, deleted }
    }

    /// Writes to each table, as it is now: new rows, and other values in some that are there.
    pub async fn write(&mut self, place: &mut Place, random: &mut Random) {
        for (table, columns) in tables(place).await {
            for _ in 0..=random.below(2) {
                self.insert(place, &table, &columns, random).await;
            }
            let rows = rows(place, &table, &columns).await;
            for row in rows {
                let Some(id) = row.get("id").and_then(Value::as_u64) else { continue };
                match random.below(6) {
                    0 => self.delete(place, &table, id, &row).await,
                    1 | 2 => self.update(place, &table, &columns, id, &row, random).await,
                    _ => {}
                }
            }
        }
    }

    fn mark(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    async fn insert(
        &mut self,
        place: &mut Place,
        table: &str,
        columns: &[Column],
        random: &mut Random,
    ) {
        // Some have the number of a row that was there once.
        let earlier = 1 + random.number() % (self.ids + 1);
        let id = match random.once_in(6) && !self.deleted.contains(&earlier) {
            true => earlier.min(self.ids.max(1)),
            false => {
                self.ids += 1;
                self.ids
            }
        };
        let mut values: Vec<(&Column, u64)> = Vec::new();
        for column in columns.iter().filter(|it| it.may_be_written()) {
            values.push((column, self.mark()));
        }
        let names: String =
            values.iter().map(|(column, _)| format!(", {}", column.quoted)).collect();
        let marks: String = values
            .iter()
            .map(|(column, mark)| column.value(*mark))
            .map(|it| format!(", {it}"))
            .collect();
        let sql = format!("INSERT INTO {table} (id{names}) VALUES ({id}{marks})");
        if place.run(&sql).await.is_ok() {
            for (column, mark) in values {
                self.wrote((table.to_owned(), id, column.quoted.clone()), mark, false);
            }
        }
    }

    async fn update(
        &mut self,
        place: &mut Place,
        table: &str,
        columns: &[Column],
        id: u64,
        row: &Value,
        random: &mut Random,
    ) {
        let columns: Vec<&Column> = columns.iter().filter(|it| it.may_be_written()).collect();
        let Some(column) = random.choose(&columns) else { return };
        let mark = self.mark();
        let sql = format!(
            "UPDATE {table} SET {} = {} WHERE id = {id}",
            column.quoted,
            column.value(mark)
        );
        if place.run(&sql).await.is_ok() {
            let was = row.get(&column.name).map(Value::to_string).unwrap_or_default();
            self.is_over(&was);
            self.wrote((table.to_owned(), id, column.quoted.clone()), mark, true);
        }
    }

    async fn delete(&mut self, place: &mut Place, table: &str, id: u64, row: &Value) {
        if place.run(&format!("DELETE FROM {table} WHERE id = {id}")).await.is_ok() {
            self.deleted.insert(id);
            self.is_over(&row.to_string());
            let of_it = |(name, number, _): &Cell| name == table && *number == id;
            let gone: Vec<Cell> = self.cells.keys().filter(|it| of_it(it)).cloned().collect();
            for mark in gone.iter().filter_map(|it| self.cells.remove(it)).collect::<Vec<_>>() {
                self.over.insert(mark);
                self.live.remove(&mark);
            }
        }
    }

    /// A value was written to a cell. One that was there before is over where the row is the same one; what was
    /// kept of an earlier row stays kept.
    fn wrote(&mut self, cell: Cell, mark: u64, same_row: bool) {
        self.live.insert(mark);
        if let Some(was) = self.cells.insert(cell, mark).filter(|_| same_row) {
            self.over.insert(was);
            self.live.remove(&was);
        }
    }

    fn is_over(&mut self, text: &str) {
        for mark in marks(text) {
            self.over.insert(mark);
            self.live.remove(&mark);
        }
    }

    /// The application has taken something away by itself, which nobody keeps.
    pub async fn forget(&mut self, place: &mut Place, database: &mut dyn Database) {
        let mut there = kept(database, &mut Vec::new()).await;
        for (table, columns) in tables(place).await {
            let rows = rows(place, &table, &columns).await;
            there.extend(rows.iter().flat_map(|row| marks(&row.to_string())));
        }
        self.live.retain(|it| there.contains(it));
    }

    /// What is neither in a table nor in the archive, and what is in a table though people have replaced it.
    pub async fn findings(&self, place: &mut Place, database: &mut dyn Database) -> Vec<String> {
        let (mut there, mut findings) = (BTreeSet::new(), Vec::new());
        for (table, columns) in tables(place).await {
            for row in rows(place, &table, &columns).await {
                let id = row.get("id").and_then(Value::as_u64).unwrap_or_default();
                for column in &columns {
                    let cell = (table.clone(), id, column.quoted.clone());
                    let value = row.get(&column.name).map(Value::to_string).unwrap_or_default();
                    let last = self.cells.get(&cell);
                    for mark in marks(&value) {
                        there.insert(mark);
                        if self.over.contains(&mark) || last.is_some_and(|last| mark < *last) {
                            findings.push(format!("{mark} of {cell:?} is stale: {last:?} {row}"));
                        }
                    }
                }
            }
        }
        let kept = kept(database, &mut findings).await;
        let of = |mark: &u64| {
            let cell = self.cells.iter().find(|(_, it)| *it == mark);
            cell.map(|(cell, _)| format!("{cell:?}")).unwrap_or_default()
        };
        let lost = self.live.iter().filter(|it| !there.contains(it) && !kept.contains(it));
        findings.extend(lost.map(|it| format!("{it} is nowhere {}", of(it))));
        findings
    }
}

/// A table and a column of it.
pub type Spot = (String, String);

/// Each value of people's that is in a table, and where.
pub async fn placed(place: &mut Place) -> BTreeMap<u64, Spot> {
    let mut placed = BTreeMap::new();
    for (table, columns) in tables(place).await {
        for row in rows(place, &table, &columns).await {
            for column in &columns {
                let value = row.get(&column.name).map(Value::to_string).unwrap_or_default();
                let spot = (table.clone(), column.quoted.clone());
                placed.extend(marks(&value).into_iter().map(|mark| (mark, spot.clone())));
            }
        }
    }
    placed
}

/// Every column that there is.
pub async fn spots(place: &mut Place) -> BTreeSet<Spot> {
    let tables = tables(place).await.into_iter();
    let spots = tables
        .flat_map(|(table, columns)| columns.into_iter().map(move |it| (table.clone(), it.quoted)));
    spots.collect()
}

/// The values in the archive.
async fn kept(database: &mut dyn Database, findings: &mut Vec<String>) -> BTreeSet<u64> {
    let mut kept = BTreeSet::new();
    for entry in database.archive("random").await.expect("the archive") {
        match database.archive_page(entry.id, 0, 10_000).await {
            Ok(page) => kept.extend(page.rows.iter().flatten().flatten().flat_map(|it| marks(it))),
            Err(error) => {
                findings.push(format!("entry {} cannot be read: {}", entry.id, chain(&error)));
            }
        }
    }
    kept
}

/// The numbers in a text that are values of people's.
fn marks(text: &str) -> Vec<u64> {
    let numbers = text.split(|it: char| !it.is_ascii_digit()).filter(|it| it.len() == 7);
    numbers.filter_map(|it| it.parse().ok()).filter(|it| *it > FIRST).collect()
}

/// A column of a table, as the database says.
pub struct Column {
    name: String,
    quoted: String,
    kind: String,
}

impl Column {
    fn may_be_written(&self) -> bool {
        let fits = ["int", "text", "char"].iter().any(|it| self.kind.contains(it));
        fits && self.name != "id" && !self.name.starts_with('r')
    }

    fn value(&self, mark: u64) -> String {
        if self.kind.contains("int") { mark.to_string() } else { format!("'{mark}'") }
    }
}

/// The tables, those of others too, and their columns that may be written.
async fn tables(place: &mut Place) -> BTreeMap<String, Vec<Column>> {
    let sql = match place.dialect {
        Dialect::Sqlite => {
            "SELECT json_array('\"' || m.name || '\"', c.name, '\"' || c.name || '\"', lower(c.type))
             FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE 'sternway%' AND hidden = 0"
        }
        Dialect::Postgres => {
            "SELECT json_build_array(quote_ident(nspname) || '.' || quote_ident(relname), attname, quote_ident(attname),
                                     format_type(atttypid, atttypmod))::text
             FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace
             JOIN pg_attribute a ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
             WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'sternway')"
        }
        Dialect::MySql => {
            "SELECT json_array(concat('`', table_name, '`'), column_name, concat('`', column_name, '`'), column_type)
             FROM information_schema.columns JOIN information_schema.tables t USING (table_schema, table_name)
             WHERE table_schema = database() AND t.table_type = 'BASE TABLE' AND table_name NOT LIKE 'sternway%'
               AND is_generated = 'NEVER'"
        }
    };
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for text in place.texts(sql).await {
        let [table, name, quoted, kind]: [String; 4] = serde_json::from_str(&text).expect("a list");
        tables.entry(table).or_default().push(Column { name, quoted, kind });
    }
    tables.retain(|name, _| !name.trim_matches(['"', '`']).ends_with(TRACKING));
    tables
}

/// Every row, as an object.
async fn rows(place: &mut Place, table: &str, columns: &[Column]) -> Vec<Value> {
    let pairs = || {
        columns
            .iter()
            .map(|it| format!("'{}', {}", it.name, it.quoted))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let sql = match place.dialect {
        Dialect::Sqlite | Dialect::MySql => format!("SELECT json_object({}) FROM {table}", pairs()),
        Dialect::Postgres => format!("SELECT to_jsonb(x)::text FROM {table} x"),
    };
    let rows = place.texts(&sql).await;
    rows.iter().map(|it| serde_json::from_str(it).expect("a row")).collect()
}
