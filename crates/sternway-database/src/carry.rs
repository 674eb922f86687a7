//! Rows that were written since a snapshot, brought from the database that was swapped out into the restored one.
//!
//! Both are compared by key. What only the other one has is inserted, what is different is updated, both in the
//! columns that the two have in common; what only this one has stays, and is named. It is one transaction. What the
//! server refuses is found by halving, and is tried again for as long as others have gone in meanwhile: a row may
//! need another one. Every row of either is accounted for.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::failpoint::{self, Point};
use crate::port::{Carried, DatabaseError, Unfit, recorded};

/// How many rows are named one by one.
const NAMED: usize = 100;

/// A column.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Column {
    pub name: String,
    /// Its type in the server's words.
    pub kind: String,
    /// Whether it follows from others.
    pub generated: bool,
    /// Its character set and collation, where the dialect needs them.
    #[serde(default)]
    pub collation: Option<[String; 2]>,
}

/// A column that both databases have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common<'t> {
    pub here: &'t Column,
    pub there: &'t Column,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// As SQL has it.
    pub name: String,
    /// As people are told it.
    pub told: String,
    pub columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// The tables that it refers to, as SQL has them.
    pub parents: Vec<String>,
    /// Why nothing is written to it: what could not be taken back there.
    pub barred: Option<String>,
}

/// What carrying needs of a dialect, which has this database and the other one at hand. In conditions and values `t` is
/// a table of this database, and `s` what was fetched for it.
#[async_trait]
pub(crate) trait Carrier: Send {
    /// The tables with the application's rows but those named `except`, of the other database or of this one.
    async fn tables(&mut self, other: bool, except: &[String])
    -> Result<Vec<Table>, DatabaseError>;

    /// Makes the temporary table `to` of the rows of the other database's table: a number `n`, these columns in their
    /// order as `c0`, `c1` and so on, and a `state` that is null. Those at the places `key` are looked for.
    async fn fetch(
        &mut self,
        table: &Table,
        columns: &[Common<'_>],
        key: &[usize],
        to: &str,
    ) -> Result<(), DatabaseError>;

    /// How many rows a table of the other database has.
    async fn count(&mut self, table: &Table) -> Result<u64, DatabaseError>;

    /// Runs statements.
    async fn run(&mut self, sql: String) -> Result<(), DatabaseError>;

    /// What a question is answered, as texts.
    async fn rows(&mut self, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError>;

    /// Keeps the application's triggers from running on what is carried, or lets them again.
    async fn quiet(&mut self, table: &Table, quiet: bool) -> Result<(), DatabaseError>;

    /// Lets what gives numbers go on where it was in the other database.
    async fn go_on(&mut self) -> Result<(), DatabaseError>;

    /// A name as SQL has it.
    fn quote(&self, name: &str) -> String;

    /// A table of this database and none that inherits from it.
    fn only(&self, table: &Table) -> String;

    /// That a value of this database is the very one that was fetched, or both are null.
    fn same(&self, here: &str, fetched: &str, column: Common<'_>) -> String;

    /// That a value of a key is the very one that was fetched, so that the server finds the row by it.
    fn matches(&self, here: &str, fetched: &str, column: Common<'_>) -> String;

    /// A value that was fetched, for a column.
    fn stored(&self, fetched: &str, column: Common<'_>) -> String;

    /// A value of a column as people are told it; `fetched`, whether it is one that was fetched.
    fn shown(&self, value: &str, column: Common<'_>, fetched: bool) -> String;

    /// A number as text.
    fn text(&self, number: &str) -> String {
        format!("CAST({number} AS text)")
    }

    /// The statement that sets columns of a table with an alias, by the rows of another one for which a condition is so.
    fn update(
        &self,
        [table, alias]: [&str; 2],
        set: &[[String; 2]],
        with: &str,
        condition: &str,
    ) -> String {
        let set = set.iter().map(|[name, value]| format!("{name} = {value}"));
        let set = set.collect::<Vec<_>>().join(", ");
        format!("UPDATE {table} AS {alias} SET {set} FROM {with} WHERE {condition}")
    }

    /// What lets values in that the server would give itself.
    fn overriding(&self) -> &'static str {
        ""
    }
}

/// A table on its way.
struct Way<'t> {
    table: &'t Table,
    columns: Vec<Common<'t>>,
    /// The places of the key's columns; none where it has no key that both have.
    key: Vec<usize>,
    temporary: String,
    carried: Carried,
    reasons: BTreeMap<i64, String>,
}

/// Carries the rows, without those of the tables `except`. The transaction is the caller's.
pub(crate) async fn carry(
    carrier: &mut dyn Carrier,
    except: &[String],
) -> Result<Vec<Carried>, DatabaseError> {
    failpoint::hit(Point::Carrying);
    let here = carrier.tables(false, except).await?;
    let other = carrier.tables(true, except).await?;
    let mut ways = Vec::new();
    for (number, table) in parents_first(&here).into_iter().enumerate() {
        let there = other.iter().find(|it| it.name == table.name);
        ways.push(begin(carrier, table, there, number).await?);
    }
    for way in &ways {
        carrier.quiet(way.table, true).await?;
    }
    loop {
        let mut moved = false;
        for way in &mut ways {
            moved |= advance(carrier, way).await?;
        }
        if !moved {
            break;
        }
    }
    for way in &ways {
        carrier.quiet(way.table, false).await?;
    }
    carrier.go_on().await?;
    let mut all = Vec::new();
    for way in ways {
        all.push(account(carrier, way).await?);
    }
    for table in other.iter().filter(|it| !here.iter().any(|here| here.name == it.name)) {
        all.push(homeless(carrier, table).await?);
    }
    all.sort_by(|one, other| one.table.cmp(&other.table));
    failpoint::hit(Point::Carried);
    Ok(all)
}

/// The tables in an order in which each comes after those that it refers to, as far as there is one.
fn parents_first(tables: &[Table]) -> Vec<&Table> {
    let (mut ordered, mut known) = (Vec::new(), BTreeSet::new());
    let names: BTreeSet<&str> = tables.iter().map(|it| it.name.as_str()).collect();
    while ordered.len() < tables.len() {
        let left = || tables.iter().filter(|it| !known.contains(it.name.as_str()));
        let is_ready = |it: &&Table| {
            it.parents.iter().all(|parent| {
                *parent == it.name
                    || known.contains(parent.as_str())
                    || !names.contains(parent.as_str())
            })
        };
        // In a circle somebody has to be the first.
        let Some(next) = left().find(is_ready).or_else(|| left().next()) else { break };
        known.insert(next.name.as_str());
        ordered.push(next);
    }
    ordered
}

async fn begin<'t>(
    carrier: &mut dyn Carrier,
    table: &'t Table,
    there: Option<&'t Table>,
    number: usize,
) -> Result<Way<'t>, DatabaseError> {
    let theirs = there.map_or(&[][..], |it| it.columns.as_slice());
    let common = |here: &'t Column| {
        let there = theirs.iter().find(|it| it.name == here.name)?;
        (!here.generated).then_some(Common { here, there })
    };
    let columns: Vec<Common<'_>> = table.columns.iter().filter_map(common).collect();
    let place = |name: &String| columns.iter().position(|it| it.here.name == *name);
    let key: Option<Vec<usize>> = table.key.iter().map(place).collect();
    let known = |name: &str| table.columns.iter().any(|it| it.name == name);
    let left_columns =
        theirs.iter().filter(|it| !known(&it.name)).map(|it| it.name.clone()).collect();
    let temporary = format!("sternway_carry_{number}");
    let key = key.unwrap_or_default();
    if let Some(there) = there {
        carrier.fetch(there, &columns, &key, &temporary).await?;
    } else {
        carrier.run(format!("CREATE TEMPORARY TABLE {temporary} (n bigint, state text)")).await?;
    }
    let carried = Carried { table: table.told.clone(), left_columns, ..Carried::default() };
    let way = Way { table, columns, key, temporary, carried, reasons: BTreeMap::new() };
    if way.columns.is_empty() {
        return Ok(way);
    }
    let temporary = &way.temporary;
    let same = way.same(carrier);
    let (state, condition) = match way.key.is_empty() {
        true => ("'s'".to_owned(), same),
        false => (format!("CASE WHEN {same} THEN 's' ELSE 'u' END"), way.matches(carrier)),
    };
    let here = format!("{} AS t", carrier.only(table));
    let set = [["state".to_owned(), state]];
    carrier.run(carrier.update([temporary, "s"], &set, &here, &condition)).await?;
    let rest = if way.key.is_empty() { "x" } else { "i" };
    carrier.run(format!("UPDATE {temporary} SET state = '{rest}' WHERE state IS NULL")).await?;
    Ok(way)
}

impl Way<'_> {
    /// That a row is the same here and there, in the columns that both have.
    fn same(&self, carrier: &dyn Carrier) -> String {
        let each = self.columns.iter().enumerate().map(|(place, it)| {
            let here = format!("t.{}", carrier.quote(&it.here.name));
            carrier.same(&here, &format!("s.c{place}"), *it)
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    /// That a row has the same key here and there.
    fn matches(&self, carrier: &dyn Carrier) -> String {
        let each = self.key.iter().map(|place| {
            let it = self.columns[*place];
            let here = format!("t.{}", carrier.quote(&it.here.name));
            carrier.matches(&here, &format!("s.c{place}"), it)
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    /// The statement that brings rows of a state over, those with a number between two.
    fn statement(&self, carrier: &dyn Carrier, state: char, from: i64, to: i64) -> String {
        let (only, temporary) = (carrier.only(self.table), &self.temporary);
        let which = format!("s.state = '{state}' AND s.n BETWEEN {from} AND {to}");
        let columns = || self.columns.iter().enumerate();
        if state == 'i' {
            let names = columns().map(|(_, it)| carrier.quote(&it.here.name)).collect::<Vec<_>>();
            let values = columns().map(|(place, it)| carrier.stored(&format!("s.c{place}"), *it));
            return format!(
                "INSERT INTO {} ({}) {} SELECT {} FROM {temporary} AS s WHERE {which} ORDER BY s.n",
                self.table.name,
                names.join(", "),
                carrier.overriding(),
                values.collect::<Vec<_>>().join(", ")
            );
        }
        let others = columns().filter(|(place, _)| !self.key.contains(place));
        let set = others.map(|(place, it)| {
            [carrier.quote(&it.here.name), carrier.stored(&format!("s.c{place}"), *it)]
        });
        let condition = format!("{which} AND {}", self.matches(carrier));
        let set = set.collect::<Vec<_>>();
        carrier.update([&only, "t"], &set, &format!("{temporary} AS s"), &condition)
    }
}

/// Brings over what fits now; says whether anything did.
async fn advance(carrier: &mut dyn Carrier, way: &mut Way<'_>) -> Result<bool, DatabaseError> {
    if way.table.barred.is_some() {
        return Ok(false);
    }
    let mut moved = false;
    for state in ['u', 'i'] {
        let sql = format!(
            "SELECT {}, {} FROM {} WHERE state = '{state}'",
            carrier.text("min(n)"),
            carrier.text("max(n)"),
            way.temporary
        );
        let found = carrier.rows(sql).await?;
        let number = |place: usize| found.first()?.get(place)?.as_ref()?.parse::<i64>().ok();
        let (Some(from), Some(to)) = (number(0), number(1)) else { continue };
        let mut ranges = vec![(from, to)];
        while let Some((from, to)) = ranges.pop() {
            carrier.run("SAVEPOINT sternway_carry".to_owned()).await?;
            match carrier.run(way.statement(carrier, state, from, to)).await {
                Ok(()) => {
                    let done = state.to_ascii_uppercase();
                    let sql = format!(
                        "UPDATE {} SET state = '{done}' WHERE state = '{state}' AND n BETWEEN {from} AND {to}",
                        way.temporary
                    );
                    carrier.run(sql).await?;
                    carrier.run("RELEASE SAVEPOINT sternway_carry".to_owned()).await?;
                    moved = true;
                }
                Err(error) => {
                    for end in
                        ["ROLLBACK TO SAVEPOINT sternway_carry", "RELEASE SAVEPOINT sternway_carry"]
                    {
                        // Where there is nothing to go back to, all of it is lost, and this is why.
                        if carrier.run(end.to_owned()).await.is_err() {
                            return Err(error);
                        }
                    }
                    let half = from + (to - from) / 2;
                    match from == to {
                        true => drop(way.reasons.insert(from, reason(&error))),
                        false => ranges.extend([(half + 1, to), (from, half)]),
                    }
                }
            }
        }
    }
    // Where a range had gaps, nothing may have moved.
    let left = format!(
        "SELECT {} FROM {} WHERE state IN ('i', 'u')",
        carrier.text("count(*)"),
        way.temporary
    );
    Ok(moved && number(carrier, left).await? > 0)
}

/// The number that a question is answered by.
async fn number(carrier: &mut dyn Carrier, sql: String) -> Result<u64, DatabaseError> {
    let found = carrier.rows(sql).await?;
    let number = found.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
    number.ok_or_else(|| DatabaseError::Query {
        doing: "count rows that are carried over".to_owned(),
        source: sqlx::Error::RowNotFound,
    })
}

/// The server's words, without what rows hold.
fn reason(error: &DatabaseError) -> String {
    match std::error::Error::source(error) {
        Some(source) => recorded(source),
        None => recorded(error),
    }
}

async fn account(carrier: &mut dyn Carrier, way: Way<'_>) -> Result<Carried, DatabaseError> {
    let Way { table, key, temporary, columns, reasons, .. } = &way;
    let mut carried = way.carried.clone();
    let count = carrier.text("count(*)");
    let counts = format!("SELECT state, {count} FROM {temporary} GROUP BY state");
    for row in carrier.rows(counts).await? {
        let count = row.get(1).and_then(|it| it.as_ref()?.parse().ok()).unwrap_or(0);
        match row.first().and_then(|it| it.as_deref()) {
            Some("s") => carried.same = count,
            Some("I") => carried.inserted = count,
            Some("U") => carried.updated = count,
            _ => carried.unfit_count += count,
        }
    }
    let number_of = carrier.text("s.n");
    let there = match key.as_slice() {
        [] => number_of.clone(),
        key => names(key.iter().map(|it| carrier.shown(&format!("s.c{it}"), columns[*it], true))),
    };
    let unfit = format!(
        "SELECT {number_of}, {there} FROM {temporary} AS s WHERE s.state IN ('i', 'u', 'x') ORDER BY s.n LIMIT {NAMED}"
    );
    for row in carrier.rows(unfit).await? {
        let mut values = row.into_iter().flatten();
        let number: Option<i64> = values.next().and_then(|it| it.parse().ok());
        let reason = number.and_then(|it| reasons.get(&it).cloned());
        let reason = reason.or_else(|| table.barred.clone()).unwrap_or_else(|| {
            "the table has no key that both have, so that nobody can tell which row it is"
                .to_owned()
        });
        carried.unfit.push(Unfit { key: values.next().unwrap_or_default(), reason });
    }
    if !key.is_empty() {
        let matches = way.matches(carrier);
        let missing = format!(
            "FROM {} AS t WHERE NOT EXISTS (SELECT 1 FROM {temporary} AS s WHERE {matches})",
            carrier.only(table)
        );
        carried.only_here_count = number(carrier, format!("SELECT {count} {missing}")).await?;
        let here = names(key.iter().map(|it| {
            let name = format!("t.{}", carrier.quote(&columns[*it].here.name));
            carrier.shown(&name, columns[*it], false)
        }));
        let keys = format!("SELECT {here} {missing} ORDER BY 1 LIMIT {NAMED}");
        let keys = carrier.rows(keys).await?;
        carried.only_here =
            keys.into_iter().filter_map(|row| row.into_iter().flatten().next()).collect();
    }
    Ok(carried)
}

/// A key as people are told it.
fn names(values: impl Iterator<Item = String>) -> String {
    let each = values.map(|it| format!("coalesce({it}, 'null')"));
    format!("concat_ws(', ', {})", each.collect::<Vec<_>>().join(", "))
}

/// A table that only the other database has.
async fn homeless(carrier: &mut dyn Carrier, table: &Table) -> Result<Carried, DatabaseError> {
    let unfit_count = carrier.count(table).await?;
    let unfit = match unfit_count {
        0 => Vec::new(),
        _ => vec![Unfit {
            key: "all".to_owned(),
            reason: "the snapshot has no such table".to_owned(),
        }],
    };
    Ok(Carried { table: table.told.clone(), unfit_count, unfit, ..Carried::default() })
}

#[cfg(test)]
mod tests {
    use super::{Table, parents_first};

    #[test]
    fn parents_come_first_and_a_circle_ends() {
        let table = |name: &str, parents: &[&str]| Table {
            name: name.to_owned(),
            parents: parents.iter().map(|it| it.to_string()).collect(),
            ..Table::default()
        };
        let tables = [
            table("a", &["b", "a"]),
            table("b", &["c", "gone"]),
            table("c", &[]),
            table("x", &["y"]),
            table("y", &["x"]),
        ];
        let order: Vec<&str> = parents_first(&tables).iter().map(|it| it.name.as_str()).collect();
        assert_eq!(order, ["c", "b", "a", "x", "y"]);
    }
}
