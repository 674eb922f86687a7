//! SQLite's SQL turned into plain facts: where statements end, which cannot run in a transaction,
//! and what they take away.
//!
//! `PRAGMA foreign_keys` does nothing inside a transaction. Where a body begins by switching the
//! keys off, as SQLite's manual advises for making a table anew, they are switched off before the
//! transaction begins ([`without_foreign_keys`]), and the body still commits whole.

mod destroys;
pub(super) mod words;

use std::borrow::Cow;

use sternway_model::body::{BodyFacts, Mode};

use words::{Kind, Word, split};

use crate::external;
use crate::port::DatabaseError;
use crate::query::only;
use crate::tokens::{self, Lines, Role, Split, added_columns, client_command};

pub use crate::tokens::Control;

/// One statement of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text, from its first word to before its semicolon.
    pub text: &'a str,
    /// Where it begins in the body, in bytes.
    pub offset: usize,
    /// Whether it begins or ends a transaction.
    pub transaction: Option<Control>,
    /// Whether it cannot run in a transaction, or does something else there.
    pub alone: bool,
    /// Whether it is only about the session: a setting, or a file that is attached.
    pub sets: bool,
}

/// The words of a statement.
pub(crate) fn words_of(statement: &str) -> Vec<Word<'_>> {
    split(statement).statements.into_iter().next().unwrap_or_default()
}

/// The statements of a body, in order; comments between them belong to none.
pub fn statements(body: &str) -> Vec<Statement<'_>> {
    let split = split(body);
    let statements = split.statements.iter().filter_map(|words| {
        let (first, last) = (words.first()?, words.last()?);
        Some(Statement {
            text: body.get(first.offset..last.end())?,
            offset: first.offset,
            transaction: control(words),
            alone: outside_transaction(words).is_some() || sets(words),
            sets: sets(words),
        })
    });
    statements.collect()
}

/// The words of each statement, for the body's normal form; none where that is not certain.
pub(crate) fn normal_words(body: &str) -> Option<crate::normal::Words> {
    let split = split(body);
    let ranges = |words: &Vec<Word<'_>>| words.iter().map(|it| it.offset..it.end()).collect();
    split.obstacle.is_none().then(|| split.statements.iter().map(ranges).collect())
}

/// In which of these statements, from 1, the transaction of the body's own began in which `statement`
/// stands, if it stands in one.
pub(super) fn began(statements: &[Statement<'_>], statement: usize) -> Option<usize> {
    tokens::began(statements.iter().map(|it| it.transaction), statement)
}

/// What a body says.
pub fn facts(body: &str) -> BodyFacts {
    let split = split(body);
    let mut facts = BodyFacts { obstacle: split.obstacle, ..BodyFacts::default() };
    facts.moves_tables = external::moves_tables(body);
    let mut reason = None;
    let mut open = false;
    let added = added_columns(&split.statements);
    let mut lines = Lines::of(body);
    for words in &split.statements {
        match control(words) {
            Some(Control::Begin) => open = true,
            Some(Control::End) if !open => {
                let text = "it ends a transaction that it does not begin".to_owned();
                facts.obstacle.get_or_insert(text);
            }
            Some(Control::End) => open = false,
            None => {}
        }
        if let Some(first) = words.first().filter(|it| it.text == ".") {
            let command = body[first.offset..].split_whitespace().next().unwrap_or_default();
            let line = lines.at(first.offset);
            let command = client_command(command, line, "the sqlite3 shell");
            facts.obstacle.get_or_insert(command);
        }
        reason = reason.or_else(|| outside_transaction(words));
        facts.destroys.extend(destroys::destroys(&mut lines, words, &added));
        facts.creates_tables.extend(creates_table(words));
    }
    if open {
        facts.obstacle = Some("it begins a transaction and does not end it".to_owned());
    }
    if let Some(reason) = reason.filter(|_| one_transaction(&split.statements).is_none()) {
        facts.mode = Mode::Dirty { reason };
    }
    facts
}

/// A body as it runs in a transaction of ours: without the `BEGIN` and the `COMMIT` of its own, where
/// it is one transaction.
pub(super) fn in_ours(body: &str) -> Cow<'_, str> {
    let statements = split(body).statements;
    match one_transaction(&statements) {
        Some((begins, commits)) => {
            Cow::Owned(tokens::without(body, [&statements[begins], &statements[commits]]))
        }
        None => Cow::Borrowed(body),
    }
}

/// Whether a body is one transaction of its own.
pub(super) fn is_one_transaction(body: &str) -> bool {
    one_transaction(&split(body).statements).is_some()
}

/// Which statements begin and commit a body that is one transaction of its own.
fn one_transaction(statements: &[Vec<Word<'_>>]) -> Option<(usize, usize)> {
    let roles: Vec<Role> = statements.iter().map(|words| role(words)).collect();
    let (begins, commits) = tokens::one_transaction(&roles)?;
    // What is checked in it was to be decided before it begins.
    let keys_on = |words: &Vec<Word<'_>>| {
        pragma(words).is_some_and(|(name, value)| {
            name == "foreign_keys" && value.is_some_and(|value| !is_off(&value))
        })
    };
    let before = statements.get(..begins)?;
    (!before.iter().any(keys_on)).then_some((begins, commits))
}

fn role(words: &[Word<'_>]) -> Role {
    match (words.first().map_or("", |word| word.key.as_str()), control(words)) {
        (_, Some(Control::Begin)) => Role::Begins,
        ("COMMIT" | "END", Some(_)) => Role::Commits,
        (_, Some(_)) => Role::Apart,
        _ if outside_transaction(words).is_some() => Role::Apart,
        ("PRAGMA", _) => Role::Anywhere,
        _ => Role::Inside,
    }
}

/// Whether a pragma's value switches it off.
fn is_off(value: &str) -> bool {
    ["off", "0", "false", "no"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

/// The statement that a query of the user's own is, if it can stand in one of ours.
pub(super) fn one_query(query: &str) -> Result<&str, DatabaseError> {
    let Split { statements, obstacle } = split(query);
    only(query, &statements, obstacle)
}

/// What a body would do outside of its database.
pub(super) fn elsewhere(body: &str) -> Option<String> {
    let is = |words: &&Vec<Word<'_>>| {
        let first = words.first();
        first.is_some_and(|it| it.is("ATTACH"))
            || first.is_some_and(|it| it.is("VACUUM")) && words.iter().any(|it| it.is("INTO"))
    };
    let split = split(body);
    let found = split.statements.iter().find(is)?;
    Some(external::says(&found.first()?.key))
}

/// Whether a body begins by switching the foreign keys off.
pub fn without_foreign_keys(body: &str) -> bool {
    // Most bodies do not, and need not be cut.
    if !body.as_bytes().windows(12).any(|it| it.eq_ignore_ascii_case(b"foreign_keys")) {
        return false;
    }
    let split = split(body);
    let pragmas = split.statements.iter().map_while(|words| pragma(words));
    let mut keys = pragmas.filter(|(name, _)| name == "foreign_keys");
    keys.any(|(_, value)| value.is_some_and(|value| is_off(&value)))
}

/// The word of a syntax error's message, where it stands once in its statement: its place in the
/// body, in bytes.
pub(super) fn place_of(message: &str, statement: &Statement<'_>) -> Option<usize> {
    let near = message.strip_prefix("near \"")?.strip_suffix("\": syntax error")?;
    let split = split(statement.text);
    let mut places = split.statements.iter().flatten().filter(|word| word.text == near);
    let place = places.next()?;
    places.next().is_none().then_some(statement.offset + place.offset)
}

/// Whether a statement is about the session alone.
fn sets(words: &[Word<'_>]) -> bool {
    let first = words.first().map_or("", |word| word.key.as_str());
    matches!(first, "PRAGMA" | "ATTACH" | "DETACH")
}

fn control(words: &[Word<'_>]) -> Option<Control> {
    match words.first()?.key.as_str() {
        "BEGIN" => Some(Control::Begin),
        "COMMIT" | "END" => Some(Control::End),
        "ROLLBACK" if !words.iter().any(|word| word.is("TO")) => Some(Control::End),
        _ => None,
    }
}

/// The name of a pragma, in lower case and without its schema, and the value it is given.
fn pragma(words: &[Word<'_>]) -> Option<(String, Option<String>)> {
    let [first, rest @ ..] = words else { return None };
    if !first.is("PRAGMA") {
        return None;
    }
    let parts = words::name(rest);
    let rest = rest.get((parts.len() * 2).saturating_sub(1)..).unwrap_or_default();
    let value = match rest {
        [sign, value, ..] if sign.is("=") || sign.is("(") => {
            Some(value.name().unwrap_or_else(|| value.text.to_owned()))
        }
        _ => None,
    };
    Some((parts.last()?.to_ascii_lowercase(), value))
}

/// Why the statement cannot run in a transaction, if it cannot.
fn outside_transaction(words: &[Word<'_>]) -> Option<String> {
    let reason = match words.first()?.key.as_str() {
        _ if control(words).is_some() => "it controls transactions itself",
        "VACUUM" => "VACUUM",
        "ATTACH" => "ATTACH",
        "DETACH" => "DETACH",
        "PRAGMA" => {
            let (name, value) = pragma(words)?;
            match (name.as_str(), value) {
                ("journal_mode" | "synchronous" | "temp_store" | "locking_mode", Some(_))
                | ("wal_checkpoint", _) => return Some(format!("PRAGMA {name}")),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(reason.to_owned())
}

fn creates_table(words: &[Word<'_>]) -> Option<String> {
    let rest = match words {
        [create, table, rest @ ..] if create.is("CREATE") && table.is("TABLE") => rest,
        [create, kind, _, rest @ ..] if create.is("CREATE") && kind.is("VIRTUAL") => rest,
        _ => return None,
    };
    let mut parts = words::name(words::after_guard(rest));
    let in_main = parts.len() < 2 || parts[0].eq_ignore_ascii_case("main");
    in_main.then(|| parts.pop()).flatten()
}

/// The words of a definition in one form, whatever their spacing, quoting and case.
pub(super) fn plain(words: &[Word<'_>]) -> String {
    let mut text = String::new();
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &words[before]);
        let close = word.is(",") || word.is(")") || word.is(".") || word.is(";");
        let tight = before.is_none_or(|it| it.is("(") || it.is("."));
        if !close && !tight {
            text.push(' ');
        }
        // A string after DEFAULT may be in double quotes.
        match word.kind {
            Kind::Quoted if before.is_some_and(|it| it.is("DEFAULT")) => {
                let inner = word.name().unwrap_or_default();
                text.push_str(&format!("'{}'", inner.replace('\'', "''")));
            }
            Kind::Plain | Kind::Quoted => {
                text.push_str(&word.name().unwrap_or_default().to_ascii_lowercase());
            }
            Kind::Text => text.push_str(word.text),
            Kind::Other => text.push_str(&word.text.to_ascii_lowercase()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        statements(body).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn semicolons_in_strings_comments_and_triggers_end_nothing() {
        assert_eq!(
            texts("select 1; -- a;b\n select ';', \"x;y\", [a;b], `c;d` ; "),
            ["select 1", "select ';', \"x;y\", [a;b], `c;d`"]
        );
        assert_eq!(texts("/* a; /* b; */ select 'it''s;' ;; --"), ["select 'it''s;'"]);
        assert_eq!(texts("select x';'; select \"a\"\";b\""), ["select x';'", "select \"a\"\";b\""]);
        let trigger = "create temp trigger if not exists \"begin\" after update on t \
                       when case when new.a then 1 else 0 end begin \
                       update t set b = case when new.a then 1 else 2 end; delete from u; end";
        assert_eq!(texts(&format!("{trigger}; select 3")), [trigger, "select 3"]);
        assert_eq!(
            texts("begin; create table trigger (a); commit"),
            ["begin", "create table trigger (a)", "commit"]
        );
        assert!(texts(" -- nothing\n").is_empty());
        assert!(texts("/* no end").is_empty());
    }

    fn mode(body: &str) -> Option<String> {
        match facts(body).mode {
            Mode::Transaction => None,
            Mode::Dirty { reason } => Some(reason),
        }
    }

    #[test]
    fn what_cannot_run_in_a_transaction_is_recognised() {
        for body in [
            "begin; select 1; commit; begin; select 2; commit",
            "select 1; begin immediate transaction; select 2; end",
            "pragma foreign_keys = on; begin; select 1; commit",
            "pragma journal_mode = wal; begin; select 1; commit",
            "begin; select 1; rollback",
            "select 1; vacuum",
            "vacuum into 'x'",
            "attach 'x' as y",
            "detach y",
            "pragma journal_mode = wal",
            "pragma main.journal_mode(delete)",
            "pragma synchronous = off",
            "pragma wal_checkpoint",
            "rollback",
        ] {
            assert!(mode(body).is_some(), "{body}");
        }
    }

    #[test]
    fn what_only_looks_like_it_runs_in_a_transaction() {
        for body in [
            "-- begin; commit;\nselect 'vacuum'",
            "begin; select 1; commit",
            "begin immediate transaction; savepoint a; rollback to a; end transaction",
            "pragma foreign_keys = off; begin exclusive; select 1; commit; pragma foreign_keys = on",
            "create trigger g after insert on t begin select 1; end",
            "savepoint a; rollback to a; release a",
            "pragma journal_mode; pragma foreign_keys = off; pragma user_version = 3",
            "",
        ] {
            assert_eq!(mode(body), None, "{body}");
        }
    }

    #[test]
    fn foreign_keys_are_off_where_a_body_begins_with_it() {
        for body in [
            "pragma foreign_keys = off; drop table t",
            "PRAGMA legacy_alter_table=ON; PRAGMA main.Foreign_Keys(0);",
            "/* x */ pragma foreign_keys='false'",
        ] {
            assert!(without_foreign_keys(body), "{body}");
        }
        for body in [
            "pragma foreign_keys = on; drop table t",
            "drop table t; pragma foreign_keys = off",
            "-- pragma foreign_keys = off",
            "pragma foreign_keys",
        ] {
            assert!(!without_foreign_keys(body), "{body}");
        }
    }

    #[test]
    fn obstacles_are_named() {
        for body in [
            "begin; select 1",
            "select 'a",
            "select \"a",
            "select [a",
            "select `a``",
            "select x'0",
            "create trigger g after insert on t begin select 1;",
            "select 1\0",
            ".mode csv\nselect 1",
        ] {
            assert!(facts(body).obstacle.is_some(), "{body}");
        }
        for body in ["begin; select 1; commit", "select 1 /* a", "select '''', \"\"\"\"", "x"] {
            assert_eq!(facts(body).obstacle, None, "{body}");
        }
    }

    #[test]
    fn what_a_body_creates_is_found() {
        let facts = facts(
            "create table if not exists main.\"Big\" (a int); create table [Small] as select 1;
             create temp table gone (a); create virtual table f using fts5(a);
             create table other.b (a)",
        );
        assert_eq!(facts.creates_tables, ["Big", "Small", "f"]);
    }

    #[test]
    fn the_place_of_a_syntax_error_is_told_where_it_is_certain() {
        let body = "select 1;\n create TABLEE a (b)";
        let statement = &statements(body)[1];
        assert_eq!(place_of("near \"TABLEE\": syntax error", statement), Some(18));
        assert_eq!(place_of("near \"x\": syntax error", statement), None);
        assert_eq!(place_of("no such table: a", statement), None);
    }
}
