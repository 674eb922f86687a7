//! The statements that take something away, named from their words.

use std::collections::BTreeSet;

use sternway_model::body::{Destroyed, Destruction};

use super::words::{Kind, Word, after_guard, name};
use crate::tokens::{Lines, fills, name_and_rest, set_columns};

/// What one statement takes away.
pub(super) fn destroys(
    lines: &mut Lines<'_>,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let found = takes(words, added);
    found.map(|(at, what)| Destruction { line: lines.at(at), what }).into_iter().collect()
}

/// What it takes away, and where it says so.
fn takes(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Option<(usize, Destroyed)> {
    let first = words.first()?;
    let at = |what: Destroyed| Some((first.offset, what));
    let second = words.get(1).map_or("", |word| word.key.as_str());
    let rest = words.get(2..).unwrap_or_default();
    match (first.key.as_str(), second) {
        ("DROP", "TABLE") => at(Destroyed::Table { table: name(after_guard(rest)).join(".") }),
        ("ALTER", "TABLE") => {
            let (table, action) = name_and_rest(rest);
            match action {
                [drop, column, named @ ..] if drop.is("DROP") => {
                    let column = if column.is("COLUMN") { named.first() } else { Some(column) };
                    let column = column.and_then(Word::name).unwrap_or_default();
                    at(Destroyed::Column { table: table.join("."), column })
                }
                _ => None,
            }
        }
        ("DELETE" | "UPDATE" | "WITH" | "REPLACE" | "INSERT", _) => changes(words, added),
        ("PRAGMA", "WRITABLE_SCHEMA") if words.len() > 2 => {
            at(Destroyed::Unclear { code: "whatever is written to the schema table".to_owned() })
        }
        _ => None,
    }
}

/// Row changes, also those after a `WITH`: the verb, then the table. What a trigger will do when it
/// fires is not looked at.
fn changes(words: &[Word<'_>], added: &BTreeSet<(String, String)>) -> Option<(usize, Destroyed)> {
    let mut depth = 0_usize;
    let mut verb = None;
    for (index, word) in words.iter().enumerate() {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        let is_verb = matches!(word.key.as_str(), "DELETE" | "UPDATE" | "REPLACE" | "INSERT");
        if depth == 0 && is_verb {
            verb = Some(index);
            break;
        }
    }
    let index = verb?;
    let first = &words[index];
    let rest = &words[index + 1..];
    // UPDATE OR IGNORE t, INSERT OR REPLACE INTO t, REPLACE INTO t, DELETE FROM t.
    let (or, rest) = match rest {
        [or, how, rest @ ..] if or.is("OR") => (how.key.as_str(), rest),
        rest => ("", rest),
    };
    let rest = match rest {
        [into, rest @ ..] if into.is("INTO") || into.is("FROM") => rest,
        rest => rest,
    };
    let (table, after) = name_and_rest(rest);
    let what: fn(String) -> Destroyed = match (first.key.as_str(), or) {
        ("DELETE", _) => |table| Destroyed::Rows { table },
        ("UPDATE", _) => {
            if fills::<Kind>(&table, &set_columns(after), added) {
                return None;
            }
            |table| Destroyed::Values { table }
        }
        ("REPLACE", _) | ("INSERT", "REPLACE") => |table| Destroyed::RowsOrValues { table },
        _ => return None,
    };
    Some((first.offset, what(table.join("."))))
}

#[cfg(test)]
mod tests {
    use super::super::facts;

    fn check(body: &str, expected: &[(usize, &str)]) {
        let found = facts(body).destroys;
        let found: Vec<(usize, String)> =
            found.iter().map(|it| (it.line, it.what.to_string())).collect();
        let found: Vec<(usize, &str)> = found.iter().map(|(at, it)| (*at, it.as_str())).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn dropped_tables_and_columns_are_named() {
        check(
            "drop table if exists \"B b\";\n drop table main.[a]",
            &[(1, "table B b"), (2, "table main.a")],
        );
        check("alter table t drop column `a`", &[(1, "column t.a")]);
        check("alter table t drop a", &[(1, "column t.a")]);
        check("alter table t rename column a to b; alter table t add drop_me", &[]);
        check("drop view v; drop index i; drop trigger g", &[]);
    }

    #[test]
    fn changed_rows_are_named() {
        check(
            "delete from t where a = 1;\nupdate or ignore t set a = 1; replace into t values (1);
             insert or replace into t values (1)",
            &[
                (1, "rows of t"),
                (2, "former values in t"),
                (2, "rows or former values of t"),
                (3, "rows or former values of t"),
            ],
        );
        check("with x as (select 1) delete from t where a in x", &[(1, "rows of t")]);
        check("insert into t values (1) on conflict (a) do update set a = 2", &[]);
        check("with x as (select 1) select * from x", &[]);
        check("create trigger g after insert on t begin delete from u; end", &[]);
        check("alter table T add column c; update t set C = (select max(x) from u, v)", &[]);
        check("alter table t add c int; update t set c = 1, e = 2", &[(1, "former values in t")]);
    }
}
