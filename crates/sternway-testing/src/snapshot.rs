//! Every row of every table of a schema, as text.

use std::collections::BTreeMap;
use std::fmt;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use sternway_model::catalog::Digest;

use crate::sql::{ask, literal, quote, read_texts, texts};
use crate::tables::Tables;

/// The values of a row, in the order of the table's columns; `None` is null.
pub type Row = Vec<Option<String>>;

/// What is in a schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The tables by name. Of a partitioned one the root has all rows; those that inherit from
    /// another one stand for themselves.
    pub tables: BTreeMap<String, Table>,
    /// What each sequence gives next.
    pub sequences: BTreeMap<String, i64>,
}

/// What is in a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The server's number for it: another one where it was dropped and made again.
    pub oid: i64,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The places of the columns that tell which row it is; several of them may, and none.
    pub keys: Vec<Vec<usize>>,
    /// The names of its partitions.
    pub parts: Vec<String>,
    /// Its rows, sorted.
    pub rows: Vec<Row>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The server's number for it: another one where it was dropped and made again.
    pub number: i16,
    /// Its type in the server's words.
    pub words: String,
    /// Whether it follows from others.
    pub generated: bool,
}

impl Snapshot {
    /// Looks at a schema, without the tables of these names.
    pub async fn of(connection: &mut PgConnection, schema: &str, except: &[String]) -> Snapshot {
        let tables = Tables::read(connection, schema).await.without(except);
        Snapshot::with(connection, &tables).await
    }

    /// Looks at these tables.
    pub(crate) async fn with(connection: &mut PgConnection, tables: &Tables) -> Snapshot {
        let mut parts = Vec::new();
        let mut snapshot = Snapshot::default();
        for (index, table) in tables.tables.iter().enumerate() {
            let columns = table.columns.iter().map(|it| format!("{}::text", quote(&it.name)));
            let columns = columns.collect::<Vec<_>>().join(", ");
            let from = tables.only(table);
            parts.push(format!("SELECT {index}, {} FROM {from}", texts(&columns)));
            let column = |it: &crate::tables::Column| Column {
                name: it.name.clone(),
                number: it.number,
                words: it.words.clone(),
                generated: it.generated.is_some(),
            };
            let found = Table {
                oid: table.oid,
                columns: table.columns.iter().map(column).collect(),
                keys: table.keys(),
                parts: table.partitions.iter().map(|it| it.name.clone()).collect(),
                rows: Vec::new(),
            };
            snapshot.tables.insert(table.name.clone(), found);
        }
        for sequence in &tables.sequences {
            let (name, step) = (literal(&sequence.name), sequence.increment);
            let from = format!("{}.{}", quote(&tables.schema), quote(&sequence.name));
            let next = "CASE WHEN is_called THEN last_value + step ELSE last_value END";
            let next = next.replace("step", &step.to_string());
            let both = texts(&format!("{name}, ({next})::text"));
            parts.push(format!("SELECT -1, {both} FROM {from}"));
        }
        if parts.is_empty() {
            return snapshot;
        }
        let names: Vec<&String> = tables.tables.iter().map(|it| &it.name).collect();
        for row in ask(connection, parts.join("\nUNION ALL ")).await {
            let index: i32 = row.try_get(0).expect("a number");
            let values: Row = read_texts(&row, 1);
            match usize::try_from(index) {
                Ok(index) => {
                    let table = snapshot.tables.get_mut(names[index]).expect("a table");
                    table.rows.push(values);
                }
                Err(_) => {
                    let mut values = values.into_iter().flatten();
                    let (name, next) = (values.next(), values.next());
                    let next = next.and_then(|it| it.parse().ok()).expect("a number");
                    snapshot.sequences.insert(name.expect("a name"), next);
                }
            }
        }
        snapshot.tables.values_mut().for_each(|table| table.rows.sort());
        snapshot
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows.len() as u64).sum()
    }

    /// The table with this number.
    pub fn numbered(&self, oid: i64) -> Option<&Table> {
        self.tables.values().find(|table| table.oid == oid)
    }

    /// What the table with this number is called; nothing where there is none.
    pub(crate) fn name_of(&self, oid: i64) -> &str {
        let found = self.tables.iter().find(|(_, table)| table.oid == oid);
        found.map_or("", |(name, _)| name)
    }

    /// The checksum of each table.
    pub fn checksums(&self) -> BTreeMap<&str, Digest> {
        self.tables.iter().map(|(name, table)| (name.as_str(), table.checksum())).collect()
    }

    /// The rows that one of two has and the other has not, by table; a column is told apart by its
    /// name, so that their order does not matter.
    pub fn differences(&self, other: &Snapshot) -> Vec<Difference> {
        let names = self
            .tables
            .keys()
            .chain(other.tables.keys().filter(|name| !self.tables.contains_key(*name)));
        let none = Table::default();
        let mut found = Vec::new();
        for name in names {
            let (here, there) = (self.tables.get(name), other.tables.get(name));
            let (here, there) = (here.unwrap_or(&none), there.unwrap_or(&none));
            let (only_here, only_there) = apart(&here.named(), &there.named());
            if !only_here.is_empty() || !only_there.is_empty() || here.names() != there.names() {
                found.push(Difference { table: name.clone(), only_here, only_there });
            }
        }
        found
    }
}

impl Table {
    /// The checksum of its rows, whatever the order of its columns.
    pub fn checksum(&self) -> Digest {
        let mut rows = self.named();
        rows.sort();
        Digest::of_bytes(serde_json::to_string(&rows).expect("a document").as_bytes())
    }

    /// The columns' names, sorted.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The rows with the name of each value.
    fn named(&self) -> Vec<BTreeMap<String, Option<String>>> {
        let names = || self.columns.iter().map(|it| it.name.clone());
        self.rows.iter().map(|row| names().zip(row.iter().cloned()).collect()).collect()
    }
}

/// How one table differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The rows that only the first one has.
    pub only_here: Vec<BTreeMap<String, Option<String>>>,
    /// The rows that only the second one has.
    pub only_there: Vec<BTreeMap<String, Option<String>>>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:", self.table)?;
        for (sign, rows) in [('-', &self.only_here), ('+', &self.only_there)] {
            for row in rows.iter().take(5) {
                let row = serde_json::to_string(row).expect("a document");
                writeln!(f, "  {sign} {}", row.chars().take(400).collect::<String>())?;
            }
            if rows.len() > 5 {
                writeln!(f, "  {sign} and {} more", rows.len() - 5)?;
            }
        }
        Ok(())
    }
}

/// What only the first has, and what only the second has; a row that comes twice counts twice.
pub(crate) fn apart<T: Ord + Clone>(first: &[T], second: &[T]) -> (Vec<T>, Vec<T>) {
    let mut counts: BTreeMap<&T, i64> = BTreeMap::new();
    first.iter().for_each(|it| *counts.entry(it).or_default() += 1);
    second.iter().for_each(|it| *counts.entry(it).or_default() -= 1);
    let of = |sign: i64| {
        let wanted = counts.iter().filter(|(_, count)| **count * sign > 0);
        let rows = wanted.flat_map(|(row, count)| {
            std::iter::repeat_n((*row).clone(), usize::try_from(count.abs()).unwrap_or(0))
        });
        rows.collect::<Vec<T>>()
    };
    (of(1), of(-1))
}
