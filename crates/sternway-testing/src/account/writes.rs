//! What the older release wrote must still be there, or in the archive.

use super::{Account, one, shown};
use crate::journey::Journey;
use crate::kept::Shelf;
use crate::snapshot::{Row, Table};

/// Accounts for the values that the older release has written.
pub(crate) fn account(journey: &Journey<'_>, shelf: &mut Shelf<'_>, account: &mut Account) {
    for (name, table) in &journey.written.after.tables {
        let before = journey.written.before.numbered(table.oid);
        let after = journey.after.numbered(table.oid);
        let in_after: Vec<Option<usize>> = table
            .columns
            .iter()
            .map(|column| after.and_then(|after| after.numbered(column.number)))
            .collect();
        let stays = |key: &&Vec<usize>| key.iter().all(|at| in_after[*at].is_some());
        let Some(key_of) = table.keys.iter().find(stays).or(table.keys.first()) else {
            // Those that were there before are looked at with the rows that they lost.
            if journey.before.numbered(table.oid).is_none() {
                all(name, table, after, shelf, account);
            }
            continue;
        };
        let before = before.and_then(|it| it.by(key_of)).unwrap_or_default();
        let key = key_of.iter().map(|at| in_after[*at]).collect::<Option<Vec<_>>>();
        let rows = after.zip(key).and_then(|(after, key)| after.by(&key)).unwrap_or_default();
        for row in &table.rows {
            let key: Row = key_of.iter().map(|at| row[*at].clone()).collect();
            let (was, is) = (before.get(&key), rows.get(&key));
            for (at, column) in table.columns.iter().enumerate() {
                let untouched = was.is_some_and(|was| was[at] == row[at]);
                let there = is.zip(in_after[at]).is_some_and(|(is, place)| is[place] == row[at]);
                if column.generated || untouched || there || shelf.has(name, table, key_of, row, at)
                {
                    continue;
                }
                let now = match is.zip(in_after[at]) {
                    Some((is, place)) => format!("it is {}", one(&is[place])),
                    None => "it is gone".to_owned(),
                };
                account.find(
                    name,
                    format!(
                        "{} = {} was written by the older release, {now}: {}",
                        column.name,
                        one(&row[at]),
                        shown(table, row)
                    ),
                );
            }
        }
    }
}

/// A table without a key that only the older release has.
fn all(
    name: &str,
    table: &Table,
    after: Option<&Table>,
    shelf: &mut Shelf<'_>,
    account: &mut Account,
) {
    // Columns that were added since are nobody's business here.
    let places = |after: &Table| -> Vec<Option<usize>> {
        table.columns.iter().map(|column| after.numbered(column.number)).collect()
    };
    let of = |after: &Table| -> Vec<Row> {
        let places = places(after);
        let part = |row: &Row| places.iter().map(|at| at.and_then(|at| row[at].clone())).collect();
        after.rows.iter().map(part).collect()
    };
    let mut there = after.map(of).unwrap_or_default();
    for row in &table.rows {
        if let Some(at) = there.iter().position(|it| it == row) {
            there.swap_remove(at);
        } else if shelf.take(name, table, row).is_empty() {
            account.find(
                name,
                format!("the older release left {}, and it is gone", shown(table, row)),
            );
        }
    }
}
