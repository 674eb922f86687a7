//! A row that a table may take.

use std::collections::BTreeMap;

use super::order::{Turn, may_be_null};
use super::{Filling, Keyed};
use crate::random::Random;
use crate::tables::{Column, Foreign, Table};
use crate::values::{Style, Values};

/// The values that checks and partitions name, by the place of the column.
pub(crate) struct Pools(BTreeMap<usize, Vec<String>>);

impl Pools {
    pub fn of(table: &Table, values: &Values<'_>) -> Pools {
        let mut pools: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (at, column) in table.columns.iter().enumerate() {
            let checks = table.checks.iter().filter(|it| it.columns.contains(&column.number));
            let mut texts: Vec<&str> = checks.map(|it| it.expression.as_str()).collect();
            texts.extend(values.checks(column.kind));
            for part in &table.partitions {
                let constraint = part.constraint.as_deref().unwrap_or_default();
                if constraint.contains(&column.name) {
                    texts.extend(part.bound.as_deref());
                }
            }
            let named: Vec<String> = texts.iter().flat_map(|text| constants(text)).collect();
            let fitting = fitting(values, column.kind, named);
            if !fitting.is_empty() {
                pools.insert(at, fitting);
            }
        }
        Pools(pools)
    }

    /// One of them, most times.
    pub fn value(&self, random: &mut Random, at: usize) -> Option<String> {
        let pool = self.0.get(&at)?;
        if random.once_in(3) {
            return None;
        }
        let numbers: Vec<i64> = pool.iter().filter_map(|it| it.parse().ok()).collect();
        if numbers.len() == pool.len() {
            let (from, to) = (numbers.iter().min()?, numbers.iter().max()?);
            let near = random.between(from.saturating_sub(2), to.saturating_add(99));
            return Some(near.to_string());
        }
        random.choose(pool).cloned()
    }
}

/// The texts and numbers that an expression names.
pub(crate) fn constants(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression.chars().peekable();
    let mut before = ' ';
    while let Some(next) = rest.next() {
        let mut text = String::new();
        if next == '\'' || next == '"' {
            while let Some(inside) = rest.next() {
                if inside == next && rest.next_if_eq(&next).is_none() {
                    break;
                }
                text.push(inside);
            }
            if next == '\'' {
                found.push(text);
            }
        } else if next.is_ascii_digit() && !(before.is_alphanumeric() || before == '_') {
            text.push(next);
            while let Some(digit) = rest.next_if(|it| it.is_ascii_digit() || *it == '.') {
                text.push(digit);
            }
            found.push(text);
        }
        before = next;
    }
    found
}

/// Those that the column's type can read.
pub(crate) fn fitting(values: &Values<'_>, kind: i64, named: Vec<String>) -> Vec<String> {
    let name = values.name(kind);
    let fits = |it: &String| match name {
        "int2" => it.parse::<i16>().is_ok(),
        "int4" => it.parse::<i32>().is_ok(),
        "int8" => it.parse::<i64>().is_ok(),
        "numeric" | "float4" | "float8" => it.parse::<f64>().is_ok(),
        "date" | "timestamp" | "timestamptz" => {
            it.len() > 7 && it.starts_with(|c: char| c.is_ascii_digit())
        }
        "text" | "varchar" | "bpchar" | "citext" | "name" => true,
        _ => values.is_label(kind, it),
    };
    named.into_iter().filter(fits).collect()
}

impl Filling<'_> {
    /// A row for a table; `None` where nothing is there that it would have to lead to.
    pub(super) fn candidate(
        &mut self,
        table: &Table,
        turn: &Turn,
        pools: &Pools,
        counted: Vec<String>,
    ) -> Option<Vec<Option<String>>> {
        let mut row: BTreeMap<i16, Option<String>> = BTreeMap::new();
        let numbers = table.columns.iter().filter(|it| it.counted.is_some());
        row.extend(numbers.zip(counted).map(|(column, number)| (column.number, Some(number))));
        if let Some(promise) = self.promised.get_mut(&table.oid).and_then(Vec::pop) {
            row.extend(promise);
        }
        for (index, foreign) in table.foreign.iter().enumerate() {
            if turn.later.contains(&index) {
                set_null(table, foreign, &mut row);
            } else if turn.promising.contains(&index) {
                self.promise(table, foreign, &mut row)?;
            } else if foreign.parent != table.oid {
                self.follow(table, foreign, &mut row)?;
            }
        }
        for (at, column) in table.columns.iter().enumerate() {
            if row.contains_key(&column.number) {
                continue;
            }
            let named = pools.value(&mut self.random, at);
            let value = self.value(table, column, named);
            row.insert(column.number, value);
        }
        for (index, foreign) in table.foreign.iter().enumerate() {
            if foreign.parent == table.oid && !turn.later.contains(&index) {
                let pairs = foreign.columns.iter().zip(&foreign.parent_columns);
                let own = pairs.map(|(from, to)| (*from, row.get(to).cloned().flatten()));
                let own: Vec<_> = own.collect();
                row.extend(own);
            }
        }
        table.columns.iter().map(|column| row.remove(&column.number)).collect()
    }

    fn value(&mut self, table: &Table, column: &Column, named: Option<String>) -> Option<String> {
        let may_be_null = !column.not_null && !self.values.not_null(column.kind);
        if may_be_null && self.random.once_in(self.how.nulls) {
            return None;
        }
        let style = Style::of(table, column, self.how.large);
        let any = |values: &Values<'_>, random: &mut Random| {
            values.any(random, column.kind, column.modifier, style)
        };
        let value = named.or_else(|| any(&self.values, &mut self.random));
        match value {
            None if !may_be_null => Some("1".to_owned()),
            value => value,
        }
    }

    /// Agrees on the key of a parent that is written later.
    fn promise(&mut self, table: &Table, foreign: &Foreign, row: &mut Keyed) -> Option<()> {
        let tables = self.tables;
        let parent = tables.tables.iter().find(|it| it.oid == foreign.parent)?;
        let mut promise = Keyed::new();
        for (own, theirs) in foreign.columns.iter().zip(&foreign.parent_columns) {
            let value = match row.get(own) {
                Some(value) => value.clone(),
                None => self.value(parent, &parent.columns[parent.at(*theirs)?], None),
            };
            promise.insert(*theirs, value.clone());
            table.at(*own)?;
            row.insert(*own, value);
        }
        self.promised.entry(parent.oid).or_default().push(promise);
        Some(())
    }

    /// Leads to a parent that is there.
    fn follow(&mut self, table: &Table, foreign: &Foreign, row: &mut Keyed) -> Option<()> {
        let may_be_null = may_be_null(table, foreign);
        if may_be_null && self.random.once_in(self.how.nulls) {
            set_null(table, foreign, row);
            return Some(());
        }
        let pairs: Vec<_> = foreign.columns.iter().zip(&foreign.parent_columns).collect();
        let fits = |parent: &&Keyed| {
            pairs.iter().all(|(own, theirs)| {
                let there = parent.get(theirs).cloned().flatten();
                there.is_some() && row.get(own).is_none_or(|set| *set == there)
            })
        };
        let all = self.parents.get(&foreign.parent).map(Vec::as_slice).unwrap_or_default();
        let fitting: Vec<&Keyed> = all.iter().filter(fits).collect();
        let Some(parent) = self.random.choose(&fitting) else {
            set_null(table, foreign, row);
            return may_be_null.then_some(());
        };
        let values =
            pairs.iter().map(|(own, theirs)| (**own, parent.get(theirs).cloned().flatten()));
        row.extend(values.collect::<Vec<_>>());
        Some(())
    }
}

/// Leads nowhere.
fn set_null(table: &Table, foreign: &Foreign, row: &mut Keyed) {
    for number in &foreign.columns {
        let nullable = table.at(*number).is_some_and(|at| !table.columns[at].not_null);
        if nullable {
            row.entry(*number).or_insert(None);
        }
    }
}
