//! What an older release does to the tables that it knows: new rows, changed ones, deleted ones.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use crate::fill::{Fill, insert, one_row};
use crate::random::Random;
use crate::snapshot::Snapshot;
use crate::sql::{attempt, must, quote, value};
use crate::tables::{Foreign, Table, Tables};
use crate::values::{Style, Values};

/// What an older release did.
///
/// What really happened is kept, with all that cascades, defaults and triggers made of it: the rows
/// before its first statement and after its last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// What it found.
    pub before: Snapshot,
    /// What it left.
    pub after: Snapshot,
    /// How many rows it inserted.
    pub inserted: u64,
    /// How many of its updates the server took.
    pub updated: u64,
    /// How many of its deletions the server took.
    pub deleted: u64,
}

/// Inserts, updates and deletes as many rows of each table as `how` says. A statement that the server
/// refuses leaves nothing behind: older releases are refused things too.
pub async fn old_release_writes(
    connection: &mut PgConnection,
    schema: &str,
    how: &Fill,
) -> Written {
    let tables = Tables::read(connection, schema).await.without(&how.except);
    let before = Snapshot::with(connection, &tables).await;
    let mut random = Random::new(how.seed);
    let inserted = match how.rows {
        0 => 0,
        _ => {
            insert(connection, &tables, &Fill { seed: random.number(), ..how.clone() }).await.rows()
        }
    };
    let values = Values::new(tables.types());
    let mut updates = Vec::new();
    let mut deletions = Vec::new();
    for table in &tables.tables {
        for _ in 0..how.rows {
            updates.extend(update(&mut random, &tables, table, &values, how));
        }
        for _ in 0..how.rows.div_ceil(2) {
            let which = random.below(1 << 20);
            deletions.push(one_row(&tables, table, "", which));
        }
    }
    must(connection, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await;
    let updated = attempt(connection, &updates).await;
    let deleted = attempt(connection, &deletions).await;
    must(connection, "COMMIT".to_owned()).await;
    let after = Snapshot::with(connection, &tables).await;
    Written { before, after, inserted, updated, deleted }
}

/// Gives a row other values in one or two columns. Its key stays, but for once in a while.
fn update(
    random: &mut Random,
    tables: &Tables,
    table: &Table,
    values: &Values<'_>,
    how: &Fill,
) -> Option<String> {
    let key = table.keys().into_iter().next().unwrap_or_default();
    let moves = random.once_in(12);
    let may = |at: &usize| table.columns[*at].generated.is_none() && (moves || !key.contains(at));
    let places: Vec<usize> = (0..table.columns.len()).filter(may).collect();
    let mut sets: BTreeMap<usize, String> = BTreeMap::new();
    for _ in 0..=random.below(2) {
        let at = *random.choose(&places)?;
        let column = &table.columns[at];
        let foreign = table.foreign.iter().find(|it| it.columns.contains(&column.number));
        if let Some(foreign) = foreign {
            let (at, set) = another_parent(random, tables, table, foreign)?;
            sets.insert(at, set);
            continue;
        }
        let pool = crate::fill::Pools::of(table, values).value(random, at);
        let style = Style::of(table, column, how.large);
        let null = !column.not_null && random.once_in(how.nulls);
        let any = |random: &mut Random| values.any(random, column.kind, column.modifier, style);
        let to = if null { None } else { pool.or_else(|| any(random)) };
        let to = value(to.as_deref());
        sets.insert(at, format!("{} = {to}::{}", quote(&column.name), column.words));
    }
    let sets = sets.into_values().collect::<Vec<_>>().join(", ");
    Some(one_row(tables, table, &format!("SET {sets}"), random.below(1 << 20)))
}

/// Makes a row lead to another parent.
fn another_parent(
    random: &mut Random,
    tables: &Tables,
    table: &Table,
    foreign: &Foreign,
) -> Option<(usize, String)> {
    let parent = tables.tables.iter().find(|it| it.oid == foreign.parent)?;
    let names = |of: &Table, numbers: &[i16]| {
        let names = numbers.iter().map(|number| Some(quote(&of.columns[of.at(*number)?].name)));
        names.collect::<Option<Vec<String>>>().map(|names| names.join(", "))
    };
    let (own, theirs) = (names(table, &foreign.columns)?, names(parent, &foreign.parent_columns)?);
    let (only, which) = (tables.only(parent), random.below(1 << 20));
    let set = format!(
        "({own}) = (SELECT {theirs} FROM {only} AS \"sternway p\"
         ORDER BY (\"sternway p\".*)::text COLLATE \"C\"
         OFFSET {which} % greatest((SELECT count(*) FROM {only}), 1) LIMIT 1)"
    );
    Some((table.at(*foreign.columns.first()?)?, set))
}
