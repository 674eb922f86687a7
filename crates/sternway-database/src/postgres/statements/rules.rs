//! What a body does to tables, indexes, extensions and schemas, for the rules of several tracks.
//!
//! A `DO` block is looked into for tables that it alters or indexes, wherever they stand in it; its
//! guards are its own matter. SQL that code puts together at run time is not seen.

use sternway_model::rules::{Deed, What};

use super::words::{Word, split};
use crate::tokens::{after_guard, line_of, name, split_at_commas};

/// What a body does, in its order.
pub fn deeds(body: &str) -> Vec<Deed> {
    let mut found = Found { deeds: Vec::new() };
    for words in &split(body).statements {
        let line = words.first().map_or(1, |word| line_of(body, word.offset));
        found.statement(words, line);
        found.schemas(body, words);
        if words.first().is_some_and(|word| word.is("DO")) {
            for word in words {
                let Some(code) = word.code() else { continue };
                let start = word.offset + word.text.find(code).unwrap_or_default();
                found.code(code, line_of(body, start));
            }
        }
    }
    found.deeds
}

struct Found {
    deeds: Vec<Deed>,
}

impl Found {
    fn add(&mut self, line: usize, what: What, parts: &[String], guarded: bool) {
        let name = parts.last().cloned().unwrap_or_default();
        let schema = parts.len().checked_sub(2).and_then(|at| parts.get(at)).cloned();
        self.deeds.push(Deed { line, what, schema, name, guarded });
    }

    fn statement(&mut self, words: &[Word<'_>], line: usize) {
        let Some(first) = words.first() else { return };
        let second = words.get(1).map_or("", |word| word.key.as_str());
        match (first.key.as_str(), second) {
            ("CREATE", _) => self.create(words, line),
            ("ALTER", "TABLE") => self.alter(&words[2..], line),
            ("DROP", "TABLE") => self.drop(What::DropsTable, &words[2..], line),
            ("DROP", "INDEX") => self.drop(What::DropsIndex, &words[2..], line),
            ("DROP", "EXTENSION") => self.drop(What::DropsExtension, &words[2..], line),
            _ => {}
        }
    }

    fn create(&mut self, words: &[Word<'_>], line: usize) {
        let kinds = ["TABLE", "INDEX", "EXTENSION"];
        let is_kind = |word: &Word<'_>| kinds.iter().any(|kind| word.is(kind));
        let Some(at) = words.iter().take(4).position(is_kind) else { return };
        let between = &words[1..at];
        let allowed = ["GLOBAL", "LOCAL", "UNLOGGED", "UNIQUE"];
        if !between.iter().all(|word| allowed.iter().any(|it| word.is(it))) {
            // A temporary table belongs to no track; the rest is no table and no index.
            return;
        }
        let rest = &words[at + 1..];
        let (guarded, parts) = (is_guarded(rest), name(after_guard(rest)));
        if words[at].is("TABLE") {
            self.add(line, What::CreatesTable, &parts, guarded);
        } else if words[at].is("EXTENSION") {
            self.add(line, What::CreatesExtension, &parts, guarded);
        } else {
            let nameless = after_guard(rest).first().is_some_and(|word| word.is("ON"));
            let parts = if nameless { Vec::new() } else { parts };
            self.add(line, What::CreatesIndex, &parts, guarded);
            if let Some(on) = rest.iter().position(|word| word.is("ON")) {
                self.add(line, What::IndexesTable, &name(after_guard(&rest[on + 1..])), guarded);
            }
        }
    }

    fn alter(&mut self, words: &[Word<'_>], line: usize) {
        let rest = after_guard(words);
        let table = name(rest);
        if table.is_empty() {
            return;
        }
        self.add(line, What::AltersTable, &table, is_guarded(words));
        let actions = &rest[(table.len() * 2 - 1).min(rest.len())..];
        for action in split_at_commas(actions) {
            let (what, rest) = match action {
                [add, rest @ ..] if add.is("ADD") => (What::AddsColumn, rest),
                [drop, rest @ ..] if drop.is("DROP") => (What::DropsColumn, rest),
                _ => continue,
            };
            let rest = match rest {
                [column, rest @ ..] if column.is("COLUMN") => rest,
                [other, ..] if NO_COLUMN.iter().any(|it| other.is(it)) => continue,
                rest => rest,
            };
            self.add(line, what, &name(after_guard(rest)), is_guarded(rest));
        }
    }

    fn drop(&mut self, what: What, words: &[Word<'_>], line: usize) {
        let guarded = is_guarded(words);
        for one in split_at_commas(after_guard(words)) {
            self.add(line, what, &name(one), guarded);
        }
    }

    /// What the code of a `DO` block does to tables, wherever the words stand.
    fn code(&mut self, code: &str, first_line: usize) {
        for words in &split(code).statements {
            for at in 0..words.len() {
                let rest = &words[at..];
                let line = first_line + line_of(code, words[at].offset) - 1;
                let mut inner = Found { deeds: Vec::new() };
                inner.statement(rest, line);
                let touches = |it: &Deed| matches!(it.what, What::AltersTable | What::IndexesTable);
                self.deeds.extend(inner.deeds.into_iter().filter(touches));
            }
        }
    }

    /// The schemas that a statement names where a table, an index or an extension stands.
    fn schemas(&mut self, body: &str, words: &[Word<'_>]) {
        let is = |at: usize, text: &str| words.get(at).is_some_and(|word: &Word<'_>| word.is(text));
        for (at, word) in words.iter().enumerate() {
            let line = line_of(body, word.offset);
            let says = |text: String| Deed {
                line,
                what: What::NamesSchema,
                schema: None,
                name: text,
                guarded: false,
            };
            if word.text.to_ascii_lowercase().contains("search_path") {
                self.deeds.push(says("search_path".to_owned()));
            } else if word.is("SCHEMA") && (at == 1 || is(at.wrapping_sub(1), "SET")) {
                let named = name(after_guard(&words[at + 1..])).join(".");
                self.deeds.push(says(format!("{} SCHEMA {named}", words[at - 1].key)));
            } else if leads_to_table(words, at) {
                let parts = name(after_guard(&words[at + 1..]));
                if parts.len() > 1 {
                    self.deeds.push(says(parts.join(".")));
                }
            }
        }
    }
}

/// What follows `ADD` or `DROP` in an `ALTER TABLE` and is no column.
const NO_COLUMN: [&str; 8] =
    ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE", "TABLE", "NOT"];

/// Whether the name of a table or an index follows this word.
fn leads_to_table(words: &[Word<'_>], at: usize) -> bool {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
    let begins = |text: &str| is(0, text);
    match words[at].key.as_str() {
        "TABLE" | "INTO" | "REFERENCES" | "JOIN" => true,
        "INDEX" => begins("DROP") || begins("CREATE"),
        "UPDATE" => at == 0,
        "FROM" => at > 0 && words[at - 1].is("DELETE"),
        "ON" => begins("CREATE") && words.iter().take(3).any(|word| word.is("INDEX")),
        _ => false,
    }
}

fn is_guarded(words: &[Word<'_>]) -> bool {
    let rest = match words {
        [first, rest @ ..] if first.is("CONCURRENTLY") => rest,
        words => words,
    };
    rest.first().is_some_and(|word| word.is("IF"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a deed: what, to what, `!` where it has no guard.
    fn check(body: &str, expected: &[&str]) {
        let told = |it: &Deed| {
            let schema = it.schema.as_ref().map(|it| format!("{it}.")).unwrap_or_default();
            let guard = if it.guarded { "" } else { "!" };
            format!("{} {} {schema}{}{guard}", it.line, it.what, it.name)
        };
        let found: Vec<String> = deeds(body).iter().map(told).collect();
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn what_is_created_is_named_with_its_guard() {
        check(
            "create table if not exists a (b int, unique (b));\ncreate unlogged table \"B\" ()",
            &["1 creates the table a", "2 creates the table B!"],
        );
        check(
            "create unique index concurrently if not exists i on only t (a); create index on t (a)",
            &[
                "1 creates the index i",
                "1 creates an index on the table t",
                "1 creates the index !",
                "1 creates an index on the table t!",
            ],
        );
        check("create extension if not exists vector", &["1 creates the extension vector"]);
        check("create temp table t (); create view v as select 1", &[]);
    }

    #[test]
    fn what_is_dropped_is_named_with_its_guard() {
        check(
            "drop table if exists a, b; drop index concurrently i; drop extension if exists e",
            &[
                "1 drops the table a",
                "1 drops the table b",
                "1 drops the index i!",
                "1 drops the extension e",
            ],
        );
    }

    #[test]
    fn an_altered_table_and_its_columns_are_named() {
        check(
            "alter table t add column if not exists a int, add b numeric(1, 2), drop c, \
             drop column if exists d, add constraint u unique (a), alter e drop not null",
            &[
                "1 alters the table t!",
                "1 adds the column a",
                "1 adds the column b!",
                "1 drops the column c!",
                "1 drops the column d",
            ],
        );
        check("alter table if exists only t rename to u", &["1 alters the table t"]);
        check("-- alter table t add a int\nselect 'alter table t'", &[]);
    }

    #[test]
    fn a_do_block_is_looked_into() {
        check(
            "do $$\nbegin\n  if true then\n    alter table t add a int;\n  end if;\nend $$",
            &["4 alters the table t!"],
        );
    }

    #[test]
    fn schemas_are_named() {
        check(
            "create schema s; set search_path to s; alter table t set schema u; \
             insert into s.t values (1); select a.b from t a join t c on a.b = c.b",
            &[
                "1 names a schema: CREATE SCHEMA s!",
                "1 names a schema: search_path!",
                "1 alters the table t!",
                "1 names a schema: SET SCHEMA u!",
                "1 names a schema: s.t!",
            ],
        );
    }
}
