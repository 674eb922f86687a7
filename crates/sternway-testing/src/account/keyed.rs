//! Tables whose rows have a key: each value is followed by itself.

use std::collections::BTreeMap;

use super::{Account, Doubt, one, shown};
use crate::journey::Part;
use crate::kept::Shelf;
use crate::snapshot::Row;

/// Rows by their key.
type Rows<'a> = BTreeMap<Row, &'a Row>;

/// Accounts for a table, if its key tells its rows apart all the way.
pub(crate) fn account(
    part: &Part<'_>,
    shelf: &mut Shelf<'_>,
    owed: &mut Shelf<'_>,
    account: &mut Account,
) -> bool {
    let (table, name) = (part.before, part.name);
    let (in_old, in_after) = (part.columns_of_old(), part.columns_after());
    let places = |key: &[usize], of: &[Option<usize>]| {
        key.iter().map(|at| of[*at]).collect::<Option<Vec<_>>>()
    };
    // A key that the older release has as well.
    let has = |key: &&Vec<usize>| part.old.is_none() || places(key, &in_old).is_some();
    let Some(key_of) = table.keys.iter().find(has) else { return false };
    let old_key = places(key_of, &in_old).unwrap_or_default();
    let after_key = part.after.and_then(|_| places(key_of, &in_after));
    let old = part.old.map(|old| old.by(&old_key));
    let old_after = part.old_after.map(|old| old.by(&old_key));
    let after = part.after.zip(after_key.as_ref()).map(|(after, key)| after.by(key));
    // Where two rows have the same key, it is none.
    if [&old, &old_after, &after].into_iter().any(|rows| matches!(rows, Some(None))) {
        return false;
    }
    let (old, old_after, after) = (old.flatten(), old_after.flatten(), after.flatten());
    let key = |row: &Row| key_of.iter().map(|at| row[*at].clone()).collect::<Row>();
    for row in &table.rows {
        let key = key(row);
        let there = |rows: &Option<Rows<'_>>| {
            rows.as_ref().and_then(|rows| rows.get(&key).map(|row| (*row).clone()))
        };
        let (old, old_after, after) = (there(&old), there(&old_after), there(&after));
        let deleted = old.is_some() && old_after.is_none();
        let taken = old.is_none() && old_after.is_some();
        let (mut destroyed, mut left, mut written, mut lost) = (false, Vec::new(), false, false);
        let mut doubtful = Vec::new();
        for (at, column) in table.columns.iter().enumerate() {
            if column.generated {
                continue;
            }
            let value = &row[at];
            let of = |row: &Option<Row>, places: &[Option<usize>]| {
                row.as_ref().and_then(|row| places[at].map(|place| row[place].clone()))
            };
            let (found, was) = (of(&after, &in_after), of(&old, &in_old));
            let became = of(&old_after, &in_old);
            // What the way up had overwritten is there again instead: that takes nothing away.
            let replaced = match (part.old, &old, in_old[at]) {
                (Some(table), Some(row), Some(place)) if was.as_ref() != Some(value) => {
                    owed.has(part.old_name, table, &old_key, row, place)
                }
                _ => false,
            };
            let survived = was.as_ref() == Some(value) || replaced;
            destroyed |= !survived;
            let changed = deleted || (was.is_some() && was != became);
            if found.as_ref() == Some(value) {
                continue;
            }
            if survived && changed {
                written = true;
            } else if shelf.has(name, table, key_of, row, at) {
                left.push(at);
                // What the way up has taken waits for the next way down.
                let computed = match (&old, &old_after) {
                    (Some(found), Some(left)) => part.is_computed_anew(&column.name, found, left),
                    _ => false,
                };
                if after.is_some() && !survived && !changed && !taken && !computed {
                    doubtful.push(at);
                }
            } else {
                lost = true;
                let now = match (&after, &found) {
                    (None, _) => "the row is gone".to_owned(),
                    (_, None) => "the column is gone".to_owned(),
                    (_, Some(found)) => format!("it is {}", one(found)),
                };
                let how = if survived { "survived the way down" } else { "was destroyed" };
                account.find(
                    name,
                    format!("{} = {} {how}, {now}: {}", column.name, one(value), shown(table, row)),
                );
            }
        }
        account.destroyed += u64::from(destroyed);
        if !lost {
            account.count(destroyed, !left.is_empty(), written || !left.is_empty());
        }
        let nowhere = after.is_none() && old.is_none() && !taken;
        if nowhere && !left.is_empty() && !part.is_made_anew(row, key_of) {
            account.doubts.push(Doubt::of(name, table, row, &[], Vec::new()));
        }
        if !doubtful.is_empty() && !part.carried {
            account.doubts.push(Doubt::of(name, table, row, key_of, doubtful));
        }
        if let (Some(now), true) = (&after, deleted)
            && !part.is_seed(now)
        {
            let row = shown(table, row);
            account.find(name, format!("the older release deleted {row}, and it is here again"));
        }
    }
    strangers(part, account, key_of, after.as_ref());
    true
}

/// Rows that nobody has inserted.
fn strangers(part: &Part<'_>, account: &mut Account, key: &[usize], after: Option<&Rows<'_>>) {
    let (Some(rows), Some(table), Some(known)) = (after, part.after, part.before.by(key)) else {
        return;
    };
    let written = part.origin.and_then(|origin| {
        let number = |at: &usize| {
            let name = &part.before.columns[*at].name;
            origin.numbered(table.columns[table.named_at(name)?].number)
        };
        origin.by(&key.iter().map(number).collect::<Option<Vec<_>>>()?)
    });
    for (key, row) in rows {
        let written = written.as_ref().is_some_and(|rows| rows.contains_key(key));
        if !known.contains_key(key) && !written && !part.is_seed(row) {
            account.find(part.name, format!("nobody has inserted {}", shown(table, row)));
        }
    }
}
