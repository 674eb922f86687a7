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
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// As SQL has it.
    pub name: String,
    pub columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
    /// The tables that it refers to, as SQL has them.
    pub parents: Vec<String>,
}

/// What carrying needs of a dialect, which has this database and the other one at hand.
#[async_trait]
pub(crate) trait Carrier: Send {
    /// The tables with the application's rows, of the other database or of this one.
    async fn tables(&mut self, other: bool) -> Result<Vec<Table>, DatabaseError>;

    /// Makes the temporary table `to` of the other database's rows: a number `n`, the columns in their order as `c0`,
    /// `c1` and so on, and a `state` that is null.
    async fn fetch(
        &mut self,
        table: &Table,
        columns: &[&Column],
        to: &str,
    ) -> Result<(), DatabaseError>;

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

    /// A value of this database, to be compared with one that was fetched.
    fn fetched(&self, value: &str) -> String;

    /// A value that was fetched, for a column.
    fn stored(&self, value: &str, column: &Column) -> String;

    /// What lets values in that the server would give itself.
    fn overriding(&self) -> &'static str;
}

/// A table on its way.
struct Way<'t> {
    table: &'t Table,
    columns: Vec<&'t Column>,
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
    let is_meant = |table: &Table| {
        let plain = table.name.rsplit('.').next().unwrap_or_default().trim_matches('"');
        !except.iter().any(|it| it == plain)
    };
    let here: Vec<Table> = carrier.tables(false).await?.into_iter().filter(is_meant).collect();
    let other: Vec<Table> = carrier.tables(true).await?.into_iter().filter(is_meant).collect();
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
    there: Option<&Table>,
    number: usize,
) -> Result<Way<'t>, DatabaseError> {
    let has =
        |name: &str| there.is_some_and(|it| it.columns.iter().any(|column| column.name == name));
    let columns: Vec<&Column> =
        table.columns.iter().filter(|it| !it.generated && has(&it.name)).collect();
    let place = |name: &String| columns.iter().position(|it| it.name == *name);
    let key: Option<Vec<usize>> = table.key.iter().map(place).collect();
    let known = |name: &str| table.columns.iter().any(|it| it.name == name);
    let theirs = there.map(|it| it.columns.iter()).into_iter().flatten();
    let left_columns = theirs.filter(|it| !known(&it.name)).map(|it| it.name.clone()).collect();
    let temporary = format!("sternway_carry_{number}");
    if let Some(there) = there {
        carrier.fetch(there, &columns, &temporary).await?;
    } else {
        carrier.run(format!("CREATE TEMPORARY TABLE {temporary} (n bigint, state text)")).await?;
    }
    let carried = Carried { table: table.name.clone(), left_columns, ..Carried::default() };
    let (key, reasons) = (key.unwrap_or_default(), BTreeMap::new());
    let way = Way { table, columns, key, temporary, carried, reasons };
    if way.columns.is_empty() {
        return Ok(way);
    }
    let (only, temporary) = (carrier.only(table), &way.temporary);
    let same =
        way.equal(carrier, &(0..way.columns.len()).collect::<Vec<_>>(), "IS NOT DISTINCT FROM");
    let mark = match way.key.as_slice() {
        [] => format!("UPDATE {temporary} AS s SET state = 's' FROM {only} AS t WHERE {same}"),
        key => {
            let indexed: Vec<String> = key.iter().map(|it| format!("c{it}")).collect();
            carrier
                .run(format!(
                    "CREATE INDEX {temporary}_key ON {temporary} ({})",
                    indexed.join(", ")
                ))
                .await?;
            format!(
                "UPDATE {temporary} AS s SET state = CASE WHEN {same} THEN 's' ELSE 'u' END
                 FROM {only} AS t WHERE {}",
                way.equal(carrier, key, "=")
            )
        }
    };
    carrier.run(mark).await?;
    let rest = if way.key.is_empty() { "x" } else { "i" };
    carrier.run(format!("UPDATE {temporary} SET state = '{rest}' WHERE state IS NULL")).await?;
    Ok(way)
}

impl Way<'_> {
    /// That the values of these columns are the same here and there.
    fn equal(&self, carrier: &dyn Carrier, places: &[usize], how: &str) -> String {
        let each = places.iter().map(|place| {
            let name = format!("t.{}", carrier.quote(&self.columns[*place].name));
            format!("{} {how} s.c{place}", carrier.fetched(&name))
        });
        each.collect::<Vec<_>>().join(" AND ")
    }

    /// The statement that brings rows of a state over, those with a number between two.
    fn statement(&self, carrier: &dyn Carrier, state: char, from: i64, to: i64) -> String {
        let (only, temporary) = (carrier.only(self.table), &self.temporary);
        let which = format!("s.state = '{state}' AND s.n BETWEEN {from} AND {to}");
        let columns = || self.columns.iter().enumerate();
        if state == 'i' {
            let names = columns().map(|(_, it)| carrier.quote(&it.name)).collect::<Vec<_>>();
            let values = columns().map(|(place, it)| carrier.stored(&format!("s.c{place}"), it));
            return format!(
                "INSERT INTO {} ({}) {} SELECT {} FROM {temporary} AS s WHERE {which} ORDER BY s.n",
                self.table.name,
                names.join(", "),
                carrier.overriding(),
                values.collect::<Vec<_>>().join(", ")
            );
        }
        let others = columns().filter(|(place, _)| !self.key.contains(place));
        let values = others.map(|(place, it)| {
            format!("{} = {}", carrier.quote(&it.name), carrier.stored(&format!("s.c{place}"), it))
        });
        format!(
            "UPDATE {only} AS t SET {} FROM {temporary} AS s WHERE {which} AND {}",
            values.collect::<Vec<_>>().join(", "),
            self.equal(carrier, &self.key, "=")
        )
    }
}

/// Brings over what fits now; says whether anything did.
async fn advance(carrier: &mut dyn Carrier, way: &mut Way<'_>) -> Result<bool, DatabaseError> {
    let mut moved = false;
    for state in ['u', 'i'] {
        let sql = format!(
            "SELECT CAST(min(n) AS text), CAST(max(n) AS text) FROM {} WHERE state = '{state}'",
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
                        carrier.run(end.to_owned()).await?;
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
    let left =
        format!("SELECT CAST(count(*) AS text) FROM {} WHERE state IN ('i', 'u')", way.temporary);
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
    let counts = format!("SELECT state, CAST(count(*) AS text) FROM {temporary} GROUP BY state");
    for row in carrier.rows(counts).await? {
        let count = row.get(1).and_then(|it| it.as_ref()?.parse().ok()).unwrap_or(0);
        match row.first().and_then(|it| it.as_deref()) {
            Some("s") => carried.same = count,
            Some("I") => carried.inserted = count,
            Some("U") => carried.updated = count,
            _ => carried.unfit_count += count,
        }
    }
    let name = |value: &dyn Fn(usize) -> String| -> String {
        let each = key.iter().map(|place| format!("coalesce({}, 'null')", value(*place)));
        let joined = each.collect::<Vec<_>>().join(" || ', ' || ");
        if joined.is_empty() { "CAST(s.n AS text)".to_owned() } else { joined }
    };
    let there = name(&|place| format!("CAST(s.c{place} AS text)"));
    let unfit = format!(
        "SELECT CAST(s.n AS text), {there} FROM {temporary} AS s WHERE s.state IN ('i', 'u', 'x') ORDER BY s.n LIMIT {NAMED}"
    );
    for row in carrier.rows(unfit).await? {
        let mut values = row.into_iter().flatten();
        let number: Option<i64> = values.next().and_then(|it| it.parse().ok());
        let reason = number.and_then(|it| reasons.get(&it).cloned());
        let reason = reason.unwrap_or_else(|| {
            "the table has no key that both have, so that nobody can tell which row it is"
                .to_owned()
        });
        carried.unfit.push(Unfit { key: values.next().unwrap_or_default(), reason });
    }
    let (only, missing) = (
        carrier.only(table),
        match key.is_empty() {
            true => String::new(),
            false => {
                format!("SELECT 1 FROM {temporary} AS s WHERE {}", way.equal(carrier, key, "="))
            }
        },
    );
    if !missing.is_empty() {
        let here =
            name(&|place| format!("CAST(t.{} AS text)", carrier.quote(&columns[place].name)));
        let count =
            format!("SELECT CAST(count(*) AS text) FROM {only} AS t WHERE NOT EXISTS ({missing})");
        carried.only_here_count = number(carrier, count).await?;
        let keys = format!(
            "SELECT {here} FROM {only} AS t WHERE NOT EXISTS ({missing}) ORDER BY 1 LIMIT {NAMED}"
        );
        let keys = carrier.rows(keys).await?;
        carried.only_here =
            keys.into_iter().filter_map(|row| row.into_iter().flatten().next()).collect();
    }
    Ok(carried)
}

/// A table that only the other database has.
async fn homeless(carrier: &mut dyn Carrier, table: &Table) -> Result<Carried, DatabaseError> {
    carrier.fetch(table, &[], "sternway_carry_other").await?;
    let sql = "SELECT CAST(count(*) AS text) FROM sternway_carry_other".to_owned();
    let unfit_count = number(carrier, sql).await?;
    carrier.run("DROP TABLE sternway_carry_other".to_owned()).await?;
    let unfit = match unfit_count {
        0 => Vec::new(),
        _ => vec![Unfit {
            key: "all".to_owned(),
            reason: "the snapshot has no such table".to_owned(),
        }],
    };
    Ok(Carried { table: table.name.clone(), unfit_count, unfit, ..Carried::default() })
}

#[cfg(test)]
mod tests {
    use super::{Table, parents_first};

    #[test]
    fn parents_come_first_and_a_circle_ends() {
        let table = |name: &str, parents: &[&str]| Table {
            name: name.to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
            parents: parents.iter().map(|it| it.to_string()).collect(),
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
