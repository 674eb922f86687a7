//! Several ways down and up, of which the application has gone those up by itself: what was written on
//! each stay in the newer schema, beside what there is in the end.

use crate::account::{Finding, one, shown};
use crate::kept::{KeptRows, Shelf};
use crate::snapshot::{Row, Snapshot, Table};

/// A stay in the newer schema.
#[derive(Debug, Clone, Default)]
pub struct Stay {
    /// What was there at its beginning, in which nobody has written anything yet.
    pub found: Snapshot,
    /// What was there at its end, before the way down.
    pub left: Snapshot,
    /// What the way down has left of that, for the older release.
    pub below: Snapshot,
}

/// Says what was written on one of the stays, did not survive the way down after it, and is neither there
/// in the end nor in the archive; and what is there in the end though something newer was written.
pub fn wander(stays: &[Stay], after: &Snapshot, kept: &[KeptRows]) -> Vec<Finding> {
    let mut shelf = Shelf::new(kept);
    let mut findings = Vec::new();
    for (name, table) in stays.iter().flat_map(|stay| &stay.left.tables) {
        let Some(key) = table.keys.first() else { continue };
        for (at, column) in table.columns.iter().enumerate() {
            if column.generated || key.contains(&at) {
                continue;
            }
            for row in &table.rows {
                let key: Row = key.iter().map(|at| row[*at].clone()).collect();
                let written: Vec<Option<String>> = stays
                    .iter()
                    .filter_map(|stay| written(stay, name, &table_key(table), &key, &column.name))
                    .collect();
                let now = after.tables.get(name);
                let now = now.and_then(|now| cell(now, &table_key(table), &key, &column.name));
                let told = |what: String| Finding {
                    place: name.clone(),
                    what: format!("{} {what}: {}", column.name, shown(table, row)),
                };
                let Some(newest) = written.last() else { continue };
                if now.as_ref() == Some(newest) {
                    continue;
                }
                // What was there last is not older than what was written before.
                let last = stays.last().and_then(|stay| stay.left.tables.get(name));
                let last = last.and_then(|it| cell(it, &table_key(table), &key, &column.name));
                let older = written.iter().any(|it| it.is_some() && now.as_ref() == Some(it));
                // Nor does a value tell anything that other rows have too.
                let common = |value: &Option<String>| {
                    let lefts = stays.iter().filter_map(|stay| stay.left.tables.get(name));
                    let mut rows =
                        lefts.flat_map(|it| it.named_at(&column.name).map(|at| (it, at)));
                    rows.any(|(it, at)| {
                        it.rows.iter().any(|other| {
                            let same = it.keys.first().is_some_and(|places| {
                                places
                                    .iter()
                                    .zip(&key)
                                    .all(|(place, value)| other[*place] == *value)
                            });
                            !same && other[at] == *value
                        })
                    })
                };
                let older = older && now != last && !now.as_ref().is_some_and(common);
                if older {
                    let now = now.flatten();
                    findings.push(told(format!("is {} and was {}", one(&now), one(newest))));
                }
                let mut wanted = row.clone();
                wanted[at].clone_from(newest);
                let place = &table.keys[0];
                if newest.is_some() && !shelf.has(name, table, place, &wanted, at) {
                    findings.push(told(format!("was {}, which is nowhere", one(newest))));
                }
            }
        }
    }
    findings.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
    findings.dedup();
    findings
}

/// The names of the columns that tell the rows of a table apart.
fn table_key(table: &Table) -> Vec<&str> {
    let first = table.keys.first().into_iter().flatten();
    first.map(|at| table.columns[*at].name.as_str()).collect()
}

/// A value of a row.
fn cell(table: &Table, key: &[&str], values: &Row, column: &str) -> Option<Option<String>> {
    let places: Option<Vec<usize>> = key.iter().map(|name| table.named_at(name)).collect();
    let (places, at) = (places?, table.named_at(column)?);
    let is = |row: &&Row| places.iter().zip(values).all(|(place, value)| row[*place] == *value);
    table.rows.iter().find(is).map(|row| row[at].clone())
}

/// What somebody has written on a stay, if that did not survive the way down.
fn written(
    stay: &Stay,
    name: &str,
    key: &[&str],
    values: &Row,
    column: &str,
) -> Option<Option<String>> {
    let table = stay.left.tables.get(name)?;
    let value = cell(table, key, values, column)?;
    let found = stay.found.tables.get(name);
    if found.and_then(|found| cell(found, key, values, column)) == Some(value.clone()) {
        return None;
    }
    let number = table.columns[table.named_at(column)?].number;
    let below = stay.below.tables.values().find(|it| it.oid == table.oid);
    let survived = below.is_some_and(|below| {
        let places = key.iter().map(|name| {
            let at = table.named_at(name)?;
            below.numbered(table.columns[at].number)
        });
        let is = |row: &Row| {
            let mut places = places.clone().zip(values);
            places.all(|(place, value)| place.is_none_or(|place| row[place] == *value))
        };
        below.numbered(number).is_some() && below.rows.iter().any(is)
    });
    (!survived).then_some(value)
}
