//! Finding out what a body took away, by comparing a copy that was made before it with what is there
//! now.

use sternway_model::effect::Lost;

use super::Result;
use super::shape::{Column, Shape};
use super::sql::{SqlStore, Update, all, data, matches, paired, rows_of};
use super::{Layout, NewEntry};

/// A copy, beside the table that stayed.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The number of the copy.
    pub data: i64,
    /// The table that holds it.
    pub held: &'a Shape,
    /// What it is a copy of, with what the columns are called now.
    pub layout: &'a Layout,
    /// The table as it is now.
    pub now: &'a Shape,
    /// The columns of the copy that tell the rows of both apart.
    pub key: &'a [usize],
}

impl Pair<'_> {
    /// The columns that stayed: as the copy has them, and as the table does.
    fn stay(&self) -> impl Iterator<Item = (usize, &Column, &Column)> {
        (0..self.layout.columns.len()).filter_map(|at| {
            let now = self.now.column(self.layout.renamed(at)?)?;
            Some((at, self.held.column(&format!("c{at}"))?, now))
        })
    }

    /// That the row `t` of the table is the row `k` of the copy, by the key.
    pub fn row<S: SqlStore>(&self) -> String {
        matches::<S>(self.key, |at| self.layout.renamed(at).map(str::to_owned))
    }
}

/// What the columns of a layout are called now, where the body gave them the names that `known` tells.
pub fn renamed(
    columns: &[String],
    now: &Shape,
    known: impl Fn(&str) -> Option<String>,
) -> Vec<Option<String>> {
    let renamed = |column: &String| {
        let name = known(column);
        let found = now.column(name.as_deref().unwrap_or(column));
        found.filter(|it| !it.generated).map(|it| it.name.clone())
    };
    columns.iter().map(renamed).collect()
}

/// Says of each row of the copy whether the body deleted it (`d`) or changed it (`c`), and what it is now.
/// `row` is how a row of both is known.
pub async fn by_row<S: SqlStore>(store: &mut S, pair: &Pair<'_>, row: &str) -> Result<()> {
    let (kept, now) = (data(store, pair.data), store.qualified(&pair.now.name));
    let other = |column: &Column| format!("t.{}", S::quote(&column.name));
    let mut set = vec![("u".to_owned(), "'c'".to_owned())];
    set.extend(pair.stay().map(|(at, _, now)| (format!("a{at}"), other(now))));
    let same = all(pair
        .stay()
        .map(|(at, held, now)| S::same(held, &format!("k.c{at}"), now, &other(now))));
    let changed = S::update(&Update {
        table: &kept,
        alias: "k",
        from: &format!("{now} AS t"),
        on: row,
        set: &set,
        condition: &format!("NOT ({same})"),
    });
    let sql = format!(
        "UPDATE {kept} AS k SET u = 'd' WHERE NOT EXISTS (SELECT 1 FROM {now} AS t WHERE {row}); {changed}"
    );
    store.run("compare what is there", sql).await
}

/// The same of rows that have nothing but their contents: as many of them are still there as there
/// are rows that look so.
pub async fn by_contents<S: SqlStore>(store: &mut S, pair: &Pair<'_>) -> Result<()> {
    let (kept, now) = (data(store, pair.data), store.qualified(&pair.now.name));
    let old: Vec<_> = pair.stay().map(|(at, held, _)| (held, format!("k.c{at}"))).collect();
    let new = pair.stay().map(|(_, _, now)| (now, format!("t.{}", S::quote(&now.name))));
    let there = S::update(&Update {
        table: &kept,
        alias: "k",
        from: &paired(&kept, "1 = 1", &S::image(&old), &now, &S::image(&new.collect::<Vec<_>>())),
        on: "x.n = k.n",
        set: &[("u".to_owned(), "NULL".to_owned())],
        condition: "1 = 1",
    });
    store.run("compare what is there", format!("UPDATE {kept} SET u = 'd'; {there}")).await
}

/// Throws away what is still there. Returns how many rows are left.
pub async fn drop_unchanged<S: SqlStore>(store: &mut S, id: i64) -> Result<u64> {
    let kept = data(store, id);
    let sql = format!("DELETE FROM {kept} WHERE u IS NULL");
    store.run("throw away what is still there", sql).await?;
    rows_of(store, &kept).await
}

/// Copies columns that went from a copy into a table `into` of their own, of the rows that stayed, with
/// the columns `beside`: those that tell the rows apart, and whatever else stayed, by which it is known
/// whether a row has changed since. `also` names columns of the copy that go along, and
/// `value` is what a row has in a column. Returns an entry for each.
pub async fn split_columns<S: SqlStore>(
    store: &mut S,
    pair: &Pair<'_>,
    into: i64,
    beside: &[usize],
    also: &str,
    value: impl Fn(usize) -> String + Send,
) -> Result<Vec<NewEntry>> {
    let gone = pair.layout.gone();
    let columns: Vec<usize> = beside.iter().chain(&gone).copied().collect();
    let layout = Layout { rest: true, ..pair.layout.part(&columns) };
    let list = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(", ");
    let target = data(store, into);
    let sql = format!(
        "INSERT INTO {target} ({also}{}) SELECT {also}{} FROM {} WHERE COALESCE(u, '') <> 'd' ORDER BY n",
        list(&mut (0..columns.len()).map(|at| format!("c{at}"))),
        list(&mut columns.iter().map(|at| value(*at))),
        data(store, pair.data),
    );
    store.run("keep the columns", sql).await?;
    let rows = rows_of(store, &target).await?;
    let entry = |at: &usize| {
        let (table, column) = (layout.table.clone(), pair.layout.columns.get(*at)?.clone());
        let lost = Lost::Column { table, column };
        Some(NewEntry { lost, data: into, layout: layout.clone(), rows })
    };
    Ok(gone.iter().filter(|_| rows > 0).filter_map(entry).collect())
}

/// How many rows an entry really lost: of a column, those that had a value in it.
pub async fn rows_lost<S: SqlStore>(
    store: &mut S,
    lost: &Lost,
    data: i64,
    layout: &Layout,
    rows: u64,
) -> Result<u64> {
    let Lost::Column { column, .. } = lost else { return Ok(rows) };
    let Some(at) = layout.at(column) else { return Ok(rows) };
    let sql = format!("SELECT COUNT(c{at}) FROM {}", super::sql::data(store, data));
    super::sql::count(store, sql).await
}
