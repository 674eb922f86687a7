//! Tables whose rows have no key: what counts is how often a row is there.

use std::collections::BTreeSet;

use super::{Account, Doubt, shown};
use crate::journey::Part;
use crate::kept::Shelf;
use crate::snapshot::{Row, Table, apart};

/// Accounts for a table.
pub(crate) fn account(part: &Part<'_>, shelf: &mut Shelf<'_>, account: &mut Account) {
    let (name, table) = (part.name, part.before);
    let (in_old, in_after) = (part.columns_of_old(), part.columns_after());
    let real: Vec<usize> =
        (0..table.columns.len()).filter(|at| !table.columns[*at].generated).collect();
    let whole = |row: &Row| real.iter().map(|at| row[*at].clone()).collect::<Row>();
    let before: Vec<Row> = table.rows.iter().map(whole).collect();
    let after: Vec<Row> = part
        .after
        .map(|after| {
            let place = |row: &Row| {
                real.iter().map(|at| in_after[*at].and_then(|it| row[it].clone())).collect()
            };
            after.rows.iter().map(place).collect()
        })
        .unwrap_or_default();
    // What the older release sees of a row.
    let seen: Vec<usize> = (0..real.len()).filter(|at| in_old[real[*at]].is_some()).collect();
    let shadow = |row: &Row| seen.iter().map(|at| row[*at].clone()).collect::<Row>();
    let shadows = |of: Option<&Table>| -> Vec<Row> {
        let place = |row: &Row| {
            let places = seen.iter().map(|at| in_old[real[*at]]);
            places.map(|it| it.and_then(|it| row[it].clone())).collect()
        };
        of.map(|of| of.rows.iter().map(place).collect()).unwrap_or_default()
    };
    let originals: Vec<Row> = before.iter().map(shadow).collect();
    let (found, left_by_old) = (shadows(part.old), shadows(part.old_after));
    let (mut removed, _) = apart(&found, &left_by_old);
    let (gone_down, made_down) = match part.old {
        Some(_) => apart(&originals, &found),
        None => (originals.clone(), Vec::new()),
    };
    let all_seen = seen.len() == real.len();
    let mut gone = gone_down.clone();
    let (missing, _) = apart(&before, &after);
    let mut missing = missing;
    for row in &table.rows {
        let it = whole(row);
        let shade = shadow(&it);
        let destroyed = part.old.is_none() || !all_seen || take(&mut gone, &shade);
        account.destroyed += u64::from(destroyed);
        if !take(&mut missing, &it) {
            account.count(destroyed, false, false);
            continue;
        }
        let covered = shelf.take(name, table, row);
        let wanted: BTreeSet<usize> = match part.old {
            None => real.iter().copied().collect(),
            Some(_) if all_seen => real.iter().copied().collect(),
            Some(_) => real.iter().copied().filter(|at| in_old[*at].is_none()).collect(),
        };
        if !covered.is_empty() && wanted.is_subset(&covered) {
            account.count(destroyed, true, true);
            if part.old.is_none() {
                account.doubts.push(Doubt::of(name, table, row, &[], Vec::new()));
            } else if !all_seen && alone(&shade, &[&originals, &found, &left_by_old]) {
                let tells = seen.iter().map(|at| real[*at]).collect::<Vec<_>>();
                let left = real.iter().copied().filter(|at| in_old[*at].is_none()).collect();
                account.doubts.push(Doubt::of(name, table, row, &tells, left));
            }
        } else if all_seen && take(&mut removed, &shade) {
            account.count(false, false, true);
        } else {
            let how = if destroyed { "was destroyed" } else { "survived the way down" };
            account.find(name, format!("a row {how} and is gone: {}", shown(table, row)));
        }
    }
    // What the older release left is still there, beside what has come back.
    let now: Vec<Row> = after.iter().map(shadow).collect();
    let (lost, more) = match part.old {
        Some(_) => apart(&left_by_old, &now),
        None => (Vec::new(), apart(&now, &originals).0),
    };
    let rows_made_down = made_down.len();
    let mut made = made_down;
    // What the way up has made of rows that it changed.
    let mut made_up = 0;
    let old_names: Vec<&str> = match part.old {
        Some(old) => {
            let places = seen.iter().filter_map(|at| in_old[real[*at]]);
            places.map(|at| old.columns[at].name.as_str()).collect()
        }
        None => Vec::new(),
    };
    for row in lost {
        let values: Vec<_> = old_names.iter().copied().zip(&row).collect();
        let made = take(&mut made, &row);
        if shelf.take_left(name, table, &values) {
            made_up += 1;
        } else if !made {
            account.find(name, format!("the older release left {row:?}, and it is gone"));
        }
    }
    let seeds = part.after.map(|it| it.rows.iter().filter(|row| part.is_seed(row)).count());
    // Rows that the way down deleted may come back; those that it changed are there already.
    let deleted = gone_down.len().saturating_sub(rows_made_down);
    let most = left_by_old.len() + deleted + seeds.unwrap_or(0);
    if part.old.is_some() && now.len() > most {
        let many = now.len();
        account.find(name, format!("there are {many} rows, and there should be {most} at most"));
    }
    let mut back = gone_down;
    let strangers: Vec<Row> =
        more.into_iter().filter(|row| part.old.is_none() || !take(&mut back, row)).collect();
    // Those of another table that has its name now.
    let others = match (part.old, part.origin) {
        (None, Some(origin)) => origin.rows.len(),
        _ => 0,
    };
    if strangers.len() > made_up + others + seeds.unwrap_or(0) {
        account.find(name, format!("nobody has inserted {:?}", strangers[0]));
    }
}

/// Takes one of them, if it is there.
fn take(from: &mut Vec<Row>, row: &Row) -> bool {
    let found = from.iter().position(|it| it == row);
    found.map(|at| from.swap_remove(at)).is_some()
}

/// Whether a row is there exactly once each time.
fn alone(row: &Row, times: &[&Vec<Row>]) -> bool {
    times.iter().all(|rows| rows.iter().filter(|it| *it == row).count() == 1)
}
