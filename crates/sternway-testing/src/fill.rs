//! Rows for every table of a schema.
//!
//! Parents are filled before their children. Where tables lead to each other in a circle, columns that
//! may be null are written afterwards, and the keys that deferred constraints lead to are agreed on
//! before the row is there. What a check allows is found by trying: more rows are offered than are
//! wanted, made of the values that the check names, and the check itself is asked which of them may
//! go in. A row whose key is taken is left out.

mod candidates;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::random::Random;
use crate::sql::{ask, attempt, must, quote, read_texts, rows, texts, value};
use crate::tables::{Foreign, Table, Tables};
use crate::values::Values;

pub(crate) use candidates::{Pools, constants, fitting};

/// How a schema is filled.
#[derive(Debug, Clone)]
pub struct Fill {
    /// What the rows are made from.
    pub seed: u64,
    /// How many rows a table gets; fewer where its keys do not allow them.
    pub rows: usize,
    /// One value in so many is larger than a page, in columns that can hold it.
    pub large: usize,
    /// One value in so many is null, in columns that may be.
    pub nulls: usize,
    /// Tables that are left alone.
    pub except: Vec<String>,
}

impl Fill {
    /// So many rows a table, made from a seed.
    pub fn new(seed: u64, rows: usize) -> Fill {
        Fill { seed, rows, large: 40, nulls: 5, except: Vec::new() }
    }

    /// The same without these tables.
    pub fn without(mut self, tables: &[String]) -> Fill {
        self.except.extend_from_slice(tables);
        self
    }
}

/// How many rows each table got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled(pub BTreeMap<String, u64>);

impl Filled {
    /// How many rows that are.
    pub fn rows(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Fills every table of a schema.
pub async fn fill(connection: &mut PgConnection, schema: &str, how: &Fill) -> Filled {
    let tables = Tables::read(connection, schema).await.without(&how.except);
    insert(connection, &tables, how).await
}

/// Adds rows to these tables.
pub(crate) async fn insert(connection: &mut PgConnection, tables: &Tables, how: &Fill) -> Filled {
    let mut filling = Filling {
        tables,
        values: Values::new(tables.types()),
        random: Random::new(how.seed),
        how,
        parents: BTreeMap::new(),
        promised: BTreeMap::new(),
    };
    filling.all(connection).await
}

/// The values of some columns of a row, by the columns' numbers.
type Keyed = BTreeMap<i16, Option<String>>;

struct Filling<'a> {
    tables: &'a Tables,
    values: Values<'a>,
    random: Random,
    how: &'a Fill,
    /// The rows of each table that others lead to.
    parents: BTreeMap<i64, Vec<Keyed>>,
    /// Keys that rows lead to which are not there yet.
    promised: BTreeMap<i64, Vec<Keyed>>,
}

impl Filling<'_> {
    async fn all(&mut self, connection: &mut PgConnection) -> Filled {
        let everything: Vec<&Table> = self.tables.tables.iter().collect();
        let mut begin = "BEGIN".to_owned();
        let order = order::order(self.tables);
        if order.iter().any(|it| !it.promising.is_empty()) {
            begin.push_str("; SET CONSTRAINTS ALL DEFERRED");
        }
        must(connection, begin).await;
        self.learn(connection, &everything).await;
        let mut filled = Filled::default();
        for turn in &order {
            let table = &self.tables.tables[turn.table];
            let many = self.table(connection, table, turn).await;
            filled.0.insert(table.name.clone(), many);
        }
        let mut updates = Vec::new();
        for turn in &order {
            let table = &self.tables.tables[turn.table];
            for foreign in &turn.later {
                updates.extend(self.lead(table, &table.foreign[*foreign]));
            }
        }
        attempt(connection, &updates).await;
        must(connection, "COMMIT".to_owned()).await;
        filled
    }

    /// The columns of a table that others lead to.
    fn wanted(&self, table: &Table) -> BTreeSet<i16> {
        let all = self.tables.tables.iter().flat_map(|it| &it.foreign);
        let here = all.filter(|foreign| foreign.parent == table.oid);
        here.flat_map(|foreign| foreign.parent_columns.iter().copied()).collect()
    }

    /// Reads the rows that others may lead to.
    async fn learn(&mut self, connection: &mut PgConnection, tables: &[&Table]) {
        let mut parts = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let wanted = self.wanted(table);
            if wanted.is_empty() {
                continue;
            }
            let path = self.tables.only(table);
            let columns = columns_as_text(table, &wanted);
            parts.push(format!("SELECT {index} AS n, {} AS v FROM {path}", texts(&columns)));
            self.parents.insert(table.oid, Vec::new());
        }
        if parts.is_empty() {
            return;
        }
        let sql = format!("SELECT n, v FROM ({}) x ORDER BY n, v", parts.join(" UNION ALL "));
        for row in ask(connection, sql).await {
            let index: i32 = row.try_get(0).expect("a number");
            let table = tables[usize::try_from(index).expect("a place")];
            let keyed = self.keyed(table, &row, 1);
            self.parents.entry(table.oid).or_default().push(keyed);
        }
    }

    fn keyed(&self, table: &Table, row: &PgRow, at: usize) -> Keyed {
        let values = read_texts(row, at);
        self.wanted(table).into_iter().zip(values).collect()
    }

    /// Fills one table. Where few of the rows offered go in, more are offered.
    async fn table(
        &mut self,
        connection: &mut PgConnection,
        table: &Table,
        turn: &order::Turn,
    ) -> u64 {
        let mut many = 0;
        for _ in 0..4 {
            let left = self.how.rows - many as usize;
            let filter = self.filter(table);
            many += self.offer(connection, table, turn, left, &filter).await;
            if many as usize >= self.how.rows || filter.is_empty() {
                break;
            }
        }
        many
    }

    /// Offers rows to a table, until it has taken `wanted`.
    async fn offer(
        &mut self,
        connection: &mut PgConnection,
        table: &Table,
        turn: &order::Turn,
        wanted: usize,
        filter: &str,
    ) -> u64 {
        let places: Vec<usize> =
            (0..table.columns.len()).filter(|at| table.columns[*at].generated.is_none()).collect();
        if places.is_empty() {
            return 0;
        }
        let pools = Pools::of(table, &self.values);
        let offered = if filter.is_empty() { wanted } else { wanted * 8 };
        let mut counts = self.count(connection, table, offered).await;
        let mut candidates = Vec::new();
        for _ in 0..offered {
            let counted = counts.pop().unwrap_or_default();
            candidates.extend(self.candidate(table, turn, &pools, counted));
        }
        if candidates.is_empty() {
            return 0;
        }
        let cast = places.iter().map(|at| {
            let column = &table.columns[*at];
            format!("{}::{}", quote(&column.name), column.words)
        });
        let cast = cast.collect::<Vec<_>>().join(", ");
        let names = |from: &[usize]| {
            let names = from.iter().map(|at| quote(&table.columns[*at].name));
            names.collect::<Vec<_>>().join(", ")
        };
        // Not yet a domain: its check would fail instead of saying no.
        let typed = places.iter().map(|at| {
            let column = &table.columns[*at];
            let words = self.values.words(column.kind).unwrap_or(&column.words);
            format!("{0}::{words} AS {0}", quote(&column.name))
        });
        let typed = typed.collect::<Vec<_>>().join(", ");
        let head = format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE",
            self.tables.path(table),
            names(&places)
        );
        let tuple = |candidate: &Vec<Option<String>>| {
            let values = places.iter().map(|at| value(candidate[*at].as_deref()));
            format!("({})", values.collect::<Vec<_>>().join(", "))
        };
        let from = |tuples: &[String]| {
            format!(
                "(SELECT {typed} FROM (VALUES {}) \"sternway v\" ({})) \"sternway c\"",
                tuples.join(",\n"),
                names(&places)
            )
        };
        let tuples: Vec<String> = candidates.iter().map(tuple).collect();
        let returned = texts(&columns_as_text(table, &self.wanted(table)));
        let generated = table.columns.iter().filter_map(|column| {
            let expression = column.generated.as_ref()?;
            Some(format!(", ({expression}) AS {}", quote(&column.name)))
        });
        let from_all = match generated.collect::<String>() {
            none if none.is_empty() => from(&tuples),
            more => format!("(SELECT *{more} FROM {}) \"sternway d\"", from(&tuples)),
        };
        let sql = format!(
            "SAVEPOINT sternway_fill; {head} SELECT {cast} FROM {from_all}{filter} LIMIT {wanted}
             ON CONFLICT DO NOTHING RETURNING {returned}"
        );
        if let Ok(inserted) = rows(connection, sql).await {
            let keyed = inserted.iter().map(|row| self.keyed(table, row, 0));
            let keyed: Vec<Keyed> = keyed.collect();
            let many = keyed.len() as u64;
            if let Some(parents) = self.parents.get_mut(&table.oid) {
                parents.extend(keyed);
            }
            return many;
        }
        must(connection, "ROLLBACK TO SAVEPOINT sternway_fill".to_owned()).await;
        // One of them is to blame: each by itself, then.
        let each = tuples.iter().take(wanted * 2);
        let each = each.map(|tuple| {
            let from = from(std::slice::from_ref(tuple));
            format!("{head} SELECT {cast} FROM {from}")
        });
        let many = attempt(connection, &each.collect::<Vec<_>>()).await;
        self.learn(connection, &[table]).await;
        many
    }

    /// What the checks and the partitions ask of a row, as a condition.
    fn filter(&self, table: &Table) -> String {
        let mut conditions: Vec<String> =
            table.checks.iter().map(|it| format!("({}) IS NOT FALSE", it.expression)).collect();
        let leaves = table.partitions.iter().filter(|it| it.leaf);
        let leaves: Vec<&str> = leaves.filter_map(|it| it.constraint.as_deref()).collect();
        if table.kind == "p" && !leaves.is_empty() {
            conditions.push(format!("(({}))", leaves.join(") OR (")));
        }
        for column in &table.columns {
            for check in self.values.checks(column.kind) {
                let name = format!("({})", quote(&column.name));
                conditions.push(format!("({}) IS NOT FALSE", check.replace("VALUE", &name)));
            }
        }
        match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        }
    }

    /// The next numbers of the columns that are counted, a row's at a time.
    async fn count(
        &self,
        connection: &mut PgConnection,
        table: &Table,
        many: usize,
    ) -> Vec<Vec<String>> {
        let counted = table.columns.iter().filter_map(|it| it.counted.as_ref());
        let counted: Vec<String> = counted.map(|it| format!("({it})::text")).collect();
        if counted.is_empty() {
            return Vec::new();
        }
        let sql = format!("SELECT {} FROM generate_series(1, {many})", texts(&counted.join(", ")));
        let rows = ask(connection, sql).await;
        let mut rows: Vec<Vec<String>> =
            rows.iter().map(|row| read_texts(row, 0).into_iter().flatten().collect()).collect();
        // The smallest is used first, and taken from the end.
        rows.sort_by_key(|row| row.first().and_then(|it| it.parse::<i64>().ok()));
        rows.reverse();
        rows
    }

    /// Makes some rows lead to a parent that was not there when they were written.
    fn lead(&mut self, table: &Table, foreign: &Foreign) -> Vec<String> {
        let parents = self.parents.get(&foreign.parent).cloned().unwrap_or_default();
        let mut updates = Vec::new();
        for _ in 0..self.how.rows {
            let Some(parent) = self.random.choose(&parents) else { continue };
            let pairs = foreign.columns.iter().zip(&foreign.parent_columns);
            let sets = pairs.filter_map(|(own, theirs)| {
                let column = &table.columns[table.at(*own)?];
                let to = value(parent.get(theirs)?.as_deref());
                let set = format!("{} = {to}::{}", quote(&column.name), column.words);
                (!column.not_null).then_some(set)
            });
            let sets = sets.collect::<Vec<_>>().join(", ");
            let which = self.random.below(1 << 20);
            updates.push(one_row(self.tables, table, &format!("SET {sets}"), which));
        }
        updates
    }
}

/// An `UPDATE` (`SET …`) or, where `set` is empty, a `DELETE` of one row: number `which` of them in an
/// order that is always the same.
pub(crate) fn one_row(tables: &Tables, table: &Table, set: &str, which: usize) -> String {
    let (path, only) = (tables.path(table), tables.only(table));
    let verb = match set.is_empty() {
        true => format!("DELETE FROM {path}"),
        false => format!("UPDATE {path} {set}"),
    };
    format!(
        "{verb} WHERE (tableoid, ctid) = (
            SELECT \"sternway r\".tableoid, \"sternway r\".ctid FROM {only} AS \"sternway r\"
            ORDER BY (\"sternway r\".*)::text COLLATE \"C\"
            OFFSET {which} % greatest((SELECT count(*) FROM {only}), 1) LIMIT 1)"
    )
}

fn columns_as_text(table: &Table, numbers: &BTreeSet<i16>) -> String {
    let names = numbers.iter().filter_map(|number| table.at(*number));
    let names = names.map(|at| format!("{}::text", quote(&table.columns[at].name)));
    names.collect::<Vec<_>>().join(", ")
}
