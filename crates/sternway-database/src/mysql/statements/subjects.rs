//! What a statement that changes the schema makes, alters or drops.

use sternway_model::proof::{Fingerprint, ObjectName};

use super::words::{Word, after_guard, name};
use crate::tokens::{alteration, names, split_at_commas};

/// The objects that a statement is about, all of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mysql) struct Subjects {
    /// `table` for whatever has its name among the tables, or else the kind as fingerprints have it.
    kind: String,
    /// Their names, in lower case and without the database.
    names: Vec<String>,
    /// Whether none of them is left once the statement took effect.
    pub drops: bool,
}

impl Subjects {
    /// These objects, with all that belongs to them, as a fingerprint has them. The order of columns is
    /// left out.
    pub fn within(&self, schema: &Fingerprint) -> Fingerprint {
        let is_named = |name: &String| self.names.contains(&name.to_lowercase());
        let is_one = |object: &ObjectName| match self.kind.as_str() {
            "table" => {
                let alone = ["table", "view", "sequence"].contains(&object.kind.as_str());
                object.table.as_ref().is_some_and(is_named) || (alone && is_named(&object.name))
            }
            kind => object.kind.starts_with(kind) && is_named(&object.name),
        };
        let mut found = schema.clone();
        found.objects.retain(|object, _| is_one(object));
        found.column_order.clear();
        found
    }
}

/// What a statement is about, where its words say so and the schema of `database` shows whether it took
/// effect.
pub(in crate::mysql) fn subjects(words: &[Word<'_>], database: &str) -> Option<Subjects> {
    let verb = words.first()?.key.as_str();
    if verb == "TRUNCATE" && !words.get(1)?.is("TABLE") {
        let names = vec![unqualified(&name(&words[1..]), database)?];
        return Some(Subjects { kind: "table".to_owned(), names, drops: false });
    }
    let tables = ["TABLE", "TABLES"];
    let programs = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"];
    let others = ["INDEX", "VIEW", "SEQUENCE"];
    let foreign = ["USER", "ROLE", "DATABASE", "SCHEMA", "SERVER", "TABLESPACE", "("];
    let mut heads = words.iter().enumerate().skip(1).take(20);
    let (at, head) = heads.find(|(_, word)| {
        let known = tables.iter().chain(&programs).chain(&others).chain(&foreign);
        known.into_iter().any(|it| word.is(it))
    })?;
    let (head, rest) = (head.key.as_str(), &words[at + 1..]);
    let mut drops = verb == "DROP";
    let found = match (verb, head) {
        ("RENAME", "TABLE" | "TABLES") => renamed(rest)?,
        ("ALTER", "TABLE") => altered(rest)?,
        ("CREATE", "TABLE") => vec![name(after_guard(rest))],
        ("CREATE" | "DROP", "INDEX") => {
            drops = false;
            let on = rest.iter().position(|word| word.is("ON"))?;
            vec![name(&rest[on + 1..])]
        }
        ("DROP", "TABLE" | "TABLES" | "VIEW" | "SEQUENCE") => names(after_guard(rest)).collect(),
        ("CREATE" | "ALTER", "VIEW" | "SEQUENCE") => vec![name(after_guard(rest))],
        ("CREATE" | "ALTER" | "DROP", kind) if programs.contains(&kind) => {
            let body = rest.first().is_some_and(|word| word.is("BODY"));
            vec![name(after_guard(&rest[usize::from(body)..]))]
        }
        ("TRUNCATE" | "ANALYZE" | "OPTIMIZE", "TABLE" | "TABLES") => names(rest).collect(),
        _ => return None,
    };
    let kind = if programs.contains(&head) { head.to_lowercase() } else { "table".to_owned() };
    let names = found.iter().map(|it| unqualified(it, database)).collect::<Option<_>>()?;
    Some(Subjects { kind, names, drops })
}

/// The name of an object of this database, in lower case.
fn unqualified(parts: &[String], database: &str) -> Option<String> {
    match parts {
        [name] => Some(name.to_lowercase()),
        [of, name] if of.eq_ignore_ascii_case(database) => Some(name.to_lowercase()),
        _ => None,
    }
}

/// The former and the later names of tables. Where one is given away and taken again, as when two change
/// places, the schema may be the same before and after.
fn renamed(words: &[Word<'_>]) -> Option<Vec<Vec<String>>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for pair in split_at_commas(words) {
        let to = pair.iter().position(|word| word.is("TO"))?;
        found.extend([name(after_guard(&pair[..to])), name(&pair[to + 1..])]);
    }
    let mut apart: Vec<String> = found.iter().map(|it| it.join(".").to_lowercase()).collect();
    apart.sort();
    apart.dedup();
    (apart.len() == found.len()).then_some(found)
}

/// A table, and the name that it gets. Where it changes rows with another, the schema stays the same.
fn altered(words: &[Word<'_>]) -> Option<Vec<Vec<String>>> {
    let (table, actions) = alteration(words);
    let mut found = vec![table];
    for action in split_at_commas(actions) {
        let parts = ["COLUMN", "INDEX", "KEY", "CONSTRAINT"];
        match action {
            [first, ..] if first.is("EXCHANGE") => return None,
            [first, second, ..] if first.is("RENAME") && !parts.iter().any(|it| second.is(it)) => {
                let skips = ["TO", "AS", "="].iter().any(|it| second.is(it));
                found.push(name(&action[1 + usize::from(skips)..]));
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Quotes, words_of};
    use super::*;

    fn found(sql: &str) -> Option<(String, Vec<String>, bool)> {
        subjects(&words_of(sql, Quotes::PLAIN), "app").map(|it| (it.kind, it.names, it.drops))
    }

    #[test]
    fn a_statement_is_about_what_it_makes_alters_or_drops() {
        for (sql, kind, names, drops) in [
            ("create table if not exists App.`A` (x int references b)", "table", "a", false),
            ("create or replace temporary table t as select 1 from u", "table", "t", false),
            ("alter online table t add x int, rename to s", "table", "t s", false),
            ("alter table t rename column a to b, rename index i to j", "table", "t", false),
            ("rename table a to b, c to d", "table", "a b c d", false),
            ("create unique index i on t (a)", "table", "t", false),
            ("drop index i on t", "table", "t", false),
            ("drop table a, app.b", "table", "a b", true),
            ("drop view v, w", "table", "v w", true),
            (
                "create definer = `a`@`b` sql security invoker view v as select 1 from t",
                "table",
                "v",
                false,
            ),
            (
                "create definer = x@y trigger g after insert on t for each row do 1",
                "trigger",
                "g",
                false,
            ),
            ("drop procedure p", "procedure", "p", true),
            ("create or replace package body k as end", "package", "k", false),
            ("optimize local table t", "table", "t", false),
            ("truncate app.t", "table", "t", false),
            ("/*!50001 create view v as select 1 */", "table", "v", false),
        ] {
            let names = names.split(' ').map(str::to_owned).collect();
            assert_eq!(found(sql), Some((kind.to_owned(), names, drops)), "{sql}");
        }
    }

    #[test]
    fn what_the_schema_does_not_show_is_about_nothing() {
        for sql in [
            "create user a",
            "drop database app",
            "rename user a to b",
            "create table other.t (x int)",
            "rename table a to tmp, b to a, tmp to b",
            "alter table t exchange partition p with table u",
            "analyze update t set a = a + 1",
        ] {
            assert_eq!(found(sql), None, "{sql}");
        }
    }
}
