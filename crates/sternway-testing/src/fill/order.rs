//! Which table is filled after which.

use std::collections::BTreeSet;

use crate::tables::{Foreign, Table, Tables};

/// A table whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    /// Its place among the tables.
    pub table: usize,
    /// Its foreign keys that are null at first, and written when every table has rows.
    pub later: BTreeSet<usize>,
    /// Its foreign keys that lead to rows that will be there before the transaction ends.
    pub promising: BTreeSet<usize>,
}

/// An order in which every table comes after those that it leads to, as far as there is one.
pub(super) fn order(tables: &Tables) -> Vec<Turn> {
    let mut left: BTreeSet<usize> = (0..tables.tables.len()).collect();
    let mut order = Vec::new();
    while !left.is_empty() {
        let turns = left.iter().map(|at| turn(tables, *at, &left));
        // A table that leads to itself is not behind for that.
        let others = |it: &Turn| it.later.difference(&own(&tables.tables[it.table])).count();
        let best = turns.min_by_key(|(it, possible)| (!possible, it.promising.len(), others(it)));
        let Some((best, _)) = best else { break };
        left.remove(&best.table);
        order.push(best);
    }
    order
}

fn own(table: &Table) -> BTreeSet<usize> {
    let own = table.foreign.iter().enumerate().filter(|(_, it)| it.parent == table.oid);
    own.map(|(at, _)| at).collect()
}

/// What a table has to put off if it comes now, and whether that can be done.
fn turn(tables: &Tables, at: usize, left: &BTreeSet<usize>) -> (Turn, bool) {
    let table = &tables.tables[at];
    let mut turn = Turn { table: at, later: BTreeSet::new(), promising: BTreeSet::new() };
    let mut possible = true;
    for (index, foreign) in table.foreign.iter().enumerate() {
        let waits = left.iter().any(|other| tables.tables[*other].oid == foreign.parent);
        if !waits {
            continue;
        }
        if may_be_null(table, foreign) {
            turn.later.insert(index);
        } else if foreign.parent != table.oid {
            turn.promising.insert(index);
            possible &= foreign.deferrable;
        }
    }
    (turn, possible)
}

/// Whether a row may lead nowhere.
pub(super) fn may_be_null(table: &Table, foreign: &Foreign) -> bool {
    let nullable = |number: &i16| table.at(*number).is_some_and(|at| !table.columns[at].not_null);
    match foreign.full {
        true => foreign.columns.iter().all(nullable),
        false => foreign.columns.iter().any(nullable),
    }
}
