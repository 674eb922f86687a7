//! The statements that take something away, named from their words.

use std::collections::BTreeSet;

use sternway_model::body::Destruction;

use super::Lines;
use super::words::{Word, after_guard, name};

/// What one statement takes away. Code that is called may take away more than its words say, and
/// is named as such.
pub(super) fn destroys(
    lines: &mut Lines<'_>,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let Some(first) = words.first() else { return Vec::new() };
    let line = lines.at(first.offset);
    let one = |what: String| vec![Destruction { line, what }];
    let second = words.get(1).map_or("", |word| word.key.as_str());
    match (first.key.as_str(), second) {
        ("ALTER", "TABLE") => alter_table(lines, &words[2..]),
        ("ALTER", "ONLINE" | "IGNORE") if words.get(2).is_some_and(|it| it.is("TABLE")) => {
            alter_table(lines, &words[3..])
        }
        ("DROP", "TABLE" | "DATABASE" | "SCHEMA" | "SEQUENCE") => {
            let kind = second.to_lowercase();
            let names = names(after_guard(&words[2..]));
            names.map(|it| Destruction { line, what: format!("{kind} {it}") }).collect()
        }
        ("TRUNCATE", _) => {
            let table = after_guard(&words[1 + usize::from(second == "TABLE")..]);
            one(format!("all rows of {}", name(table).join(".")))
        }
        ("REPLACE" | "LOAD", _) => {
            let Some(into) = words.iter().position(|word| word.is("INTO")) else {
                return Vec::new();
            };
            let into = into + 1 + usize::from(words.get(into + 1).is_some_and(|it| it.is("TABLE")));
            let replaces = words[..into].iter().any(|word| word.is("REPLACE"));
            let table = name(&words[into.min(words.len())..]).join(".");
            if replaces { one(format!("rows of {table}")) } else { Vec::new() }
        }
        ("DELETE" | "UPDATE" | "WITH", _) => changes(lines, words, added),
        ("CALL" | "EXECUTE", _) | ("BEGIN", "NOT") => {
            one("whatever the code it runs takes away".to_owned())
        }
        _ => Vec::new(),
    }
}

/// The table, and the actions on it.
fn alteration<'a, 'b>(words: &'b [Word<'a>]) -> (String, &'b [Word<'a>]) {
    let rest = after_guard(words);
    let parts = name(rest);
    let actions = (parts.len() * 2).saturating_sub(1).min(rest.len());
    (parts.join("."), &rest[actions..])
}

fn alter_table(lines: &mut Lines<'_>, words: &[Word<'_>]) -> Vec<Destruction> {
    let (table, actions) = alteration(words);
    let mut destroyed = Vec::new();
    for action in split_at_commas(actions) {
        let Some(first) = action.first() else { continue };
        let second = action.get(1).map_or("", |word| word.key.as_str());
        let column_word = usize::from(second == "COLUMN");
        let named = after_guard(&action[(1 + column_word).min(action.len())..]);
        let column = name(named).join(".");
        let what = match (first.key.as_str(), second) {
            (
                "DROP",
                "PRIMARY" | "INDEX" | "KEY" | "FOREIGN" | "CONSTRAINT" | "CHECK" | "PERIOD",
            ) => continue,
            ("DROP" | "TRUNCATE", "PARTITION") => {
                let partitions = after_guard(&action[2..]);
                format!("rows of partition {} of {table}", name(partitions).join("."))
            }
            ("DROP", "SYSTEM") => format!("former rows of {table}"),
            ("DROP", _) => format!("column {table}.{column}"),
            ("MODIFY" | "CHANGE", _) => format!("the former type of column {table}.{column}"),
            _ => continue,
        };
        destroyed.push(Destruction { line: lines.at(first.offset), what });
    }
    destroyed
}

/// Row changes, also those after a `WITH`: the verb, then the table.
fn changes(
    lines: &mut Lines<'_>,
    words: &[Word<'_>],
    added: &BTreeSet<(String, String)>,
) -> Vec<Destruction> {
    let begins = |index: usize| index == 0 || words[index - 1].is(")");
    let verb = |word: &Word<'_>| word.is("DELETE") || word.is("UPDATE");
    let Some(index) = (0..words.len()).find(|index| verb(&words[*index]) && begins(*index)) else {
        return Vec::new();
    };
    let line = lines.at(words[index].offset);
    let rest = after_guard(&words[index + 1..]);
    if words[index].is("UPDATE") {
        let parts = name(rest);
        let fresh = |column| added.contains(&(parts.last().cloned().unwrap_or_default(), column));
        let set = set_columns(rest);
        if !set.is_empty() && set.into_iter().all(fresh) {
            return Vec::new();
        }
        return vec![Destruction { line, what: format!("former values in {}", parts.join(".")) }];
    }
    // DELETE FROM a …, DELETE a, b FROM …, DELETE FROM a, b USING …
    let rest = match rest {
        [from, rest @ ..] if from.is("FROM") => rest,
        rest => rest,
    };
    let ends = ["FROM", "USING", "WHERE", "ORDER", "LIMIT", "RETURNING"];
    let end = rest.iter().position(|word| ends.iter().any(|end| word.is(end)));
    let tables = names(&rest[..end.unwrap_or(rest.len())]);
    tables.map(|table| Destruction { line, what: format!("rows of {table}") }).collect()
}

/// The columns, with their unqualified tables, that a body adds: filling them destroys nothing.
pub(super) fn added_columns(statements: &[&[Word<'_>]]) -> BTreeSet<(String, String)> {
    let mut added = BTreeSet::new();
    for words in statements {
        let [alter, table, rest @ ..] = words else { continue };
        if !alter.is("ALTER") || !table.is("TABLE") {
            continue;
        }
        let table = name(after_guard(rest)).pop();
        let (_, actions) = alteration(rest);
        let Some(table) = table else { continue };
        for action in split_at_commas(actions) {
            let [add, rest @ ..] = action else { continue };
            let rest = match rest {
                [column, rest @ ..] if column.is("COLUMN") => rest,
                rest => rest,
            };
            if let (true, Some(column)) = (add.is("ADD"), name(after_guard(rest)).pop()) {
                added.insert((table.clone(), column));
            }
        }
    }
    added
}

/// The columns that an `UPDATE` sets; empty where that is not plain to see.
fn set_columns(words: &[Word<'_>]) -> Vec<String> {
    let Some(set) = words.iter().position(|word| word.is("SET")) else { return Vec::new() };
    let mut columns = Vec::new();
    for part in split_at_commas(&words[set + 1..]) {
        match part {
            [column, equals, ..] if equals.is("=") => columns.extend(column.name()),
            _ => return Vec::new(),
        }
        if part.iter().any(|word| word.is("WHERE")) {
            break;
        }
    }
    columns
}

/// The names in a list such as `a, b.c, d CASCADE`.
fn names<'a>(words: &'a [Word<'_>]) -> impl Iterator<Item = String> + 'a {
    split_at_commas(words).map(|words| name(words).join(".")).filter(|name| !name.is_empty())
}

/// Cuts at the commas that stand in no parenthesis.
fn split_at_commas<'a, 'b>(words: &'b [Word<'a>]) -> impl Iterator<Item = &'b [Word<'a>]> {
    let mut depth = 0_usize;
    words.split(move |word| {
        if word.is("(") {
            depth += 1;
        } else if word.is(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && word.is(",")
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts;

    fn check(body: &str, expected: &[(usize, &str)]) {
        let found = facts(body).destroys;
        let found: Vec<(usize, &str)> =
            found.iter().map(|it| (it.line, it.what.as_str())).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn dropped_tables_and_columns_are_named() {
        check("drop table if exists a, `B b` cascade", &[(1, "table a"), (1, "table B b")]);
        check(
            "alter table app.t\n  drop column if exists a,\n  drop b, drop primary key, drop index i, \
             drop foreign key f,\n modify c bigint, change column d e int, add f int, drop partition p",
            &[
                (2, "column app.t.a"),
                (3, "column app.t.b"),
                (4, "the former type of column app.t.c"),
                (4, "the former type of column app.t.d"),
                (4, "rows of partition p of app.t"),
            ],
        );
        check("drop view v; drop index i on t; drop procedure p; drop trigger g", &[]);
        check("drop database x; drop schema y", &[(1, "database x"), (1, "schema y")]);
        check("create procedure p() begin drop table t; end", &[]);
    }

    #[test]
    fn changed_rows_are_named() {
        check(
            "delete low_priority from t where a = 1;\nupdate ignore t set a = 1; truncate u",
            &[(1, "rows of t"), (2, "former values in t"), (2, "all rows of u")],
        );
        check("delete a, b from a join b", &[(1, "rows of a"), (1, "rows of b")]);
        check("with x as (select 1) delete from t", &[(1, "rows of t")]);
        check("insert into t values (1) on duplicate key update a = 2", &[]);
        check("create table t (a int references u on delete cascade on update set null)", &[]);
        check("replace into t values (1)", &[(1, "rows of t")]);
        check("alter table t add column c int; update t set c = 1 where c is null", &[]);
        check(
            "alter table t add column c int; update t set c = 1, e = 2",
            &[(1, "former values in t")],
        );
        check("call p()", &[(1, "whatever the code it runs takes away")]);
    }
}
