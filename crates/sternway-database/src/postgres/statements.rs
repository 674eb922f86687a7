//! PostgreSQL's SQL turned into plain facts: where statements end, which cannot run in a
//! transaction, and what they take away.
//!
//! The text is cut by a lexer that knows PostgreSQL's strings, dollar quotes and nested comments.
//! What cannot run in a transaction block is what PostgreSQL's manual says so of on the page of each
//! command.

mod calls;
mod destroys;
pub mod rules;
pub(super) mod trace;
mod words;

use std::borrow::Cow;
use std::collections::BTreeSet;

use sternway_model::body::{BodyFacts, Mode};

use words::{Word, split};

use super::Postgres;
use crate::external;
use crate::origin::{self, Filled, Origin, Unseen};
use crate::port::DatabaseError;
use crate::query::only;
use crate::tokens::{self, Role, Split, after_guard, name};

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
    /// Whether it cannot run in a transaction, as far as can be told from it.
    pub alone: bool,
    /// Whether it runs code that may end transactions, or may not: then it is `alone`, and can run in
    /// one all the same where the code does not.
    pub calls: bool,
    /// Whether it sets what the session goes by, such as the search path.
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
            alone: outside_transaction(words).is_some(),
            calls: first.is("CALL") || first.is("DO"),
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
    let added = tokens::added_columns(&split.statements);
    for words in &split.statements {
        match control(words) {
            Some(Control::Begin) => open = true,
            Some(Control::End) => open = false,
            None => {}
        }
        reason = reason.or_else(|| outside_transaction(words));
        facts.destroys.extend(destroys::destroys(body, words, &added));
        facts.changes.extend(destroys::changes(words, &added));
        facts.fills.extend(destroys::fills(words, &added));
        facts.unforeseen.extend(calls::unforeseen(body, words));
        facts.creates_tables.extend(creates_table(words));
        facts.creates_extensions.extend(creates_extension(words));
        if is_copy_from_stdin(words) {
            facts.obstacle = Some("it reads from the client with COPY … FROM STDIN".to_owned());
        }
    }
    if split.statements.iter().any(|words| unlocks(words)) {
        facts.obstacle = Some("it gives the migrators' locks back".to_owned());
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
    tokens::one_transaction(&roles)
}

fn role(words: &[Word<'_>]) -> Role {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
    let key = words.first().map_or("", |word| word.key.as_str());
    // What our own transaction is, too. An isolation level has to be the transaction's own.
    const MODES: [&str; 13] = [
        "BEGIN",
        "START",
        "WORK",
        "TRANSACTION",
        "READ",
        "WRITE",
        "ISOLATION",
        "LEVEL",
        "COMMITTED",
        "UNCOMMITTED",
        "NOT",
        "DEFERRABLE",
        ",",
    ];
    let plain = || words.iter().all(|word| MODES.iter().any(|mode| word.is(mode)));
    match (key, control(words)) {
        ("BEGIN" | "START", Some(_)) if plain() => Role::Begins,
        ("COMMIT" | "END", Some(Control::End)) => Role::Commits,
        (_, Some(_)) => Role::Apart,
        ("SET", _) if is(1, "TRANSACTION") => Role::Apart,
        // What it sets is what later transactions begin as.
        ("SET", _) if words.iter().any(|word| begins_transactions(&word.key)) => Role::Apart,
        ("SAVEPOINT" | "RELEASE" | "ROLLBACK", _) if !is(1, "PREPARED") => Role::Inside,
        // In a transaction block, they cannot commit.
        ("CALL" | "DO", _) => Role::Inside,
        _ if outside_transaction(words).is_some() => Role::Apart,
        _ if sets(words) => Role::Anywhere,
        _ => Role::Inside,
    }
}

/// Whether a setting, in upper case, is about how transactions begin.
fn begins_transactions(setting: &str) -> bool {
    setting == "CHARACTERISTICS" || setting.starts_with("DEFAULT_TRANSACTION_")
}

/// The statement that a query of the user's own is, if it can stand in one of ours.
pub(super) fn one_query(query: &str) -> Result<&str, DatabaseError> {
    let Split { statements, obstacle } = split(query);
    only(query, &statements, obstacle)
}

/// What a body would do outside of its database, in the server's other ones, to all of it, or to its
/// files.
pub(super) fn elsewhere(body: &str) -> Option<String> {
    let shared = ["database", "role", "user", "group", "tablespace", "server", "subscription"];
    let own =
        ["alter system", "drop owned", "reassign owned", "import foreign", "comment on database"];
    let all = external::phrases(&["create", "alter", "drop"], &shared, &own);
    let anywhere = [
        "dblink",
        "dblink_exec",
        "lo_export",
        "to program",
        "from program",
        "pg_reload_conf",
        "pg_terminate_backend",
        "pg_cancel_backend",
    ];
    for statement in split(body).statements {
        let words: Vec<&str> = statement.iter().map(|it| it.text).collect();
        // Other strings are data.
        let runs = statement.first().is_some_and(|it| it.is("DO") || it.is("CREATE"));
        let code = statement.iter().filter(|_| runs).filter_map(Word::code);
        let says = external::begins(&words, &all)
            .or_else(|| code.clone().find_map(|it| external::phrase(it, &all)))
            .or_else(|| external::phrase(&words.join(" "), &anywhere));
        let to_file = statement.first().is_some_and(|it| it.is("COPY"))
            && statement.windows(2).any(|it| it[0].is("TO") && it[1].code().is_some());
        if let Some(says) = says.or(to_file.then_some("copy to")) {
            return Some(external::says(says));
        }
    }
    None
}

/// Where a body takes the values of a column from that it fills.
pub(crate) fn origin(body: &str, filled: &Filled<'_>, column: &str) -> Origin {
    let mut statements = split(body).statements;
    let is_trigger = |words: &Vec<Word<'_>>| {
        words.first().is_some_and(|it| it.is("CREATE"))
            && words.iter().take(5).any(|it| it.is("TRIGGER"))
    };
    let triggers = statements.iter().any(is_trigger);
    let unseen = Unseen { code: !facts(body).unforeseen.is_empty(), triggers };
    let blocks = statements.iter().filter(|words| words.first().is_some_and(|it| it.is("DO")));
    let code: Vec<&str> = blocks.flatten().filter_map(Word::code).collect();
    statements.extend(code.into_iter().flat_map(|code| split(code).statements));
    origin::origin(&statements, unseen, filled, column)
}

/// Whether the statement of a body at this line and column runs code that catches exceptions: a block of
/// its own, or a function that it or a body before it has made.
pub(crate) fn catches<'a>(
    body: &'a str,
    at: (usize, usize),
    earlier: impl Iterator<Item = &'a str>,
) -> bool {
    let found = split(body).statements;
    let begins = |words: &&Vec<Word<'_>>| {
        words.first().is_some_and(|it| tokens::place_of(body, it.offset) <= at)
    };
    let Some(statement) = found.iter().rev().find(begins) else { return false };
    if statement.first().is_some_and(|it| it.is("DO")) {
        return statement.iter().any(handles);
    }
    let mut made = BTreeSet::new();
    for words in earlier.chain([body]).flat_map(|it| split(it).statements) {
        let kind = words.iter().take(5).position(|it| it.is("FUNCTION") || it.is("PROCEDURE"));
        let creates = words.first().is_some_and(|it| it.is("CREATE"));
        if let Some(kind) = kind.filter(|_| creates && words.iter().any(handles)) {
            made.extend(name(&words[kind + 1..]).pop());
        }
    }
    statement.iter().filter_map(Word::name).any(|name| made.contains(&name))
}

/// Whether a string is code with a handler of exceptions.
fn handles(word: &Word<'_>) -> bool {
    let Some(code) = word.code() else { return false };
    let when = |words: &Vec<Word<'_>>| {
        words.windows(2).any(|it| it[0].is("EXCEPTION") && it[1].is("WHEN"))
    };
    split(code).statements.iter().any(when)
}

/// What drops the temporary tables, views and sequences that a body makes.
pub(super) fn drop_temporary(body: &str) -> String {
    let mut sql = String::new();
    for words in split(body).statements {
        let head = words.iter().take(5);
        let temporary = head.clone().any(|it| it.is("TEMP") || it.is("TEMPORARY"));
        let kind = ["TABLE", "VIEW", "SEQUENCE"]
            .into_iter()
            .find_map(|kind| Some((kind, head.clone().position(|it| it.is(kind))?)));
        if let (true, true, Some((kind, at))) = (words[0].is("CREATE"), temporary, kind)
            && let Some(name) = name(after_guard(&words[at + 1..])).pop()
        {
            let name = Postgres::quote(&name);
            sql.push_str(&format!("DROP {kind} IF EXISTS pg_temp.{name} CASCADE;"));
        }
    }
    sql
}

/// The columns, with their unqualified tables, that a body adds.
pub(super) fn added_columns(body: &str) -> BTreeSet<(String, String)> {
    tokens::added_columns(&split(body).statements)
}

/// Whether a statement sets something for the rest of the session.
fn sets(words: &[Word<'_>]) -> bool {
    let is = |at: usize, texts: &[&str]| {
        words.get(at).is_some_and(|word| texts.iter().any(|text| word.is(text)))
    };
    (is(0, &["SET"]) && !is(1, &["LOCAL", "TRANSACTION", "CONSTRAINTS"])) || is(0, &["RESET"])
}

fn control(words: &[Word<'_>]) -> Option<Control> {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
    let first = words.first()?;
    if first.is("BEGIN") || (first.is("START") && is(1, "TRANSACTION")) {
        return Some(Control::Begin);
    }
    let prepared = is(1, "PREPARED");
    let to_savepoint = words.iter().any(|word| word.is("TO"));
    let chain = words.iter().any(|word| word.is("CHAIN")) && !words.iter().any(|it| it.is("NO"));
    match first.key.as_str() {
        "COMMIT" | "END" | "ROLLBACK" | "ABORT" if !prepared && !to_savepoint => {
            Some(if chain { Control::Begin } else { Control::End })
        }
        "PREPARE" if is(1, "TRANSACTION") => Some(Control::End),
        _ => None,
    }
}

/// Why the statement cannot run in a transaction block, if it cannot.
fn outside_transaction(words: &[Word<'_>]) -> Option<String> {
    let first = words.first()?;
    let second = words.get(1).map_or("", |word| word.key.as_str());
    let has = |text: &str| words.iter().any(|word| word.is(text));
    let concurrently = || words.iter().take(6).any(|word| word.is("CONCURRENTLY"));
    let reason = match (first.key.as_str(), second) {
        _ if control(words).is_some() => "it controls transactions itself",
        ("COMMIT" | "ROLLBACK", "PREPARED") => "it controls transactions itself",
        ("SAVEPOINT" | "RELEASE" | "ROLLBACK", _) => "it controls transactions itself",
        ("CREATE" | "DROP", _) if concurrently() && has("INDEX") => {
            return Some(format!("{} INDEX CONCURRENTLY", first.key));
        }
        ("REINDEX", _) if has("CONCURRENTLY") => "REINDEX CONCURRENTLY",
        ("REINDEX", _) if has("DATABASE") || has("SYSTEM") || has("SCHEMA") => {
            "REINDEX of more than one table"
        }
        ("ALTER", "TABLE") if has("DETACH") && has("CONCURRENTLY") => {
            "DETACH PARTITION CONCURRENTLY"
        }
        ("ALTER", "SYSTEM") => "ALTER SYSTEM",
        ("ALTER", "DATABASE") if has("TABLESPACE") => "ALTER DATABASE … SET TABLESPACE",
        ("CREATE" | "DROP", "DATABASE" | "TABLESPACE" | "SUBSCRIPTION") => {
            return Some(format!("{} {second}", first.key));
        }
        ("ALTER", "SUBSCRIPTION") if has("REFRESH") || has("PUBLICATION") => "ALTER SUBSCRIPTION",
        ("VACUUM", _) => "VACUUM",
        ("CLUSTER", "") => "CLUSTER of all tables",
        ("CALL", _) => "CALL of a procedure, which may commit",
        ("DO", _) if words.iter().any(commits) => "a DO block that commits",
        _ => return None,
    };
    Some(reason.to_owned())
}

/// Whether a statement gives back every advisory lock of its session, ours among them.
fn unlocks(words: &[Word<'_>]) -> bool {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word.is(text));
    (is(0, "DISCARD") && is(1, "ALL")) || words.iter().any(|it| it.is("PG_ADVISORY_UNLOCK_ALL"))
}

/// Whether a string is a code block in which a transaction ends.
fn commits(word: &Word<'_>) -> bool {
    let Some(code) = word.code() else { return false };
    let ends =
        |words: &Vec<Word<'_>>| words.iter().any(|word| word.is("COMMIT") || word.is("ROLLBACK"));
    split(code).statements.iter().any(ends)
}

fn creates_table(words: &[Word<'_>]) -> Option<String> {
    let table = words.iter().take(5).position(|word| word.is("TABLE"))?;
    let temporary = |word: &Word<'_>| word.is("TEMP") || word.is("TEMPORARY");
    if !words.first()?.is("CREATE") || words[..table].iter().any(temporary) {
        return None;
    }
    let mut parts = name(after_guard(&words[table + 1..]));
    // What goes to another schema is none of the current one's tables.
    let elsewhere = matches!(parts.as_slice(), [schema, _] if schema != "public");
    parts.pop().filter(|_| !elsewhere)
}

fn creates_extension(words: &[Word<'_>]) -> Option<String> {
    let [create, extension, rest @ ..] = words else { return None };
    let creates = create.is("CREATE") && extension.is("EXTENSION");
    creates.then(|| name(after_guard(rest)).pop()).flatten()
}

fn is_copy_from_stdin(words: &[Word<'_>]) -> bool {
    words.first().is_some_and(|word| word.is("COPY"))
        && words.windows(2).any(|pair| pair[0].is("FROM") && pair[1].is("STDIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        statements(body).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn semicolons_in_strings_comments_and_bodies_end_nothing() {
        assert_eq!(
            texts("select 1; -- a;b\n select ';', \"x;y\" ; "),
            ["select 1", "select ';', \"x;y\""]
        );
        assert_eq!(
            texts("do $a$ begin; $$ ; $$ end; $a$; select 2"),
            ["do $a$ begin; $$ ; $$ end; $a$", "select 2"]
        );
        assert_eq!(texts("/* a; /* b; */ c; */ select E'\\';' ;;"), ["select E'\\';'"]);
        let atomic = "create function f() returns int language sql begin atomic select 1; \
                      select case when true then 1 else 2 end; end";
        assert_eq!(texts(&format!("{atomic}; select 3")), [atomic, "select 3"]);
        assert_eq!(
            texts("create rule r as on insert to t do (delete from a; delete from b); select 4"),
            ["create rule r as on insert to t do (delete from a; delete from b)", "select 4"]
        );
        assert!(texts(" -- nothing\n").is_empty());
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
            "create unique index concurrently if not exists i on t (a)",
            "create index concurrently i on t (a)",
            "drop index concurrently if exists i",
            "select 1; vacuum analyze t",
            "begin; select 1; commit; begin; select 2; commit",
            "begin; select 1; commit; select 2",
            "begin isolation level serializable; select 1; commit",
            "begin; set transaction isolation level serializable; select 1; commit",
            "set default_transaction_isolation = 'serializable'; begin; select 1; commit",
            "begin; vacuum; commit",
            "begin; select 1; commit and chain; commit",
            "begin; select 1; rollback",
            "reindex table concurrently t",
            "reindex (concurrently) index i",
            "alter table t detach partition p concurrently",
            "create database x",
            "call p()",
            "do $$ begin insert into t values (1); commit; end $$",
            "alter system set work_mem = '1MB'",
            "cluster",
        ] {
            assert!(mode(body).is_some(), "{body}");
        }
    }

    #[test]
    fn what_only_looks_like_it_runs_in_a_transaction() {
        for body in [
            "-- begin; commit;\nselect 'vacuum'",
            "begin; select 1; commit",
            "start transaction read write; select 1; end transaction",
            "begin work; savepoint a; rollback to a; release a; call p(); commit work",
            "set lock_timeout = '1s'; begin isolation level read committed; select 1; commit; \
             reset lock_timeout",
            "begin; commit",
            "create table concurrently (a int)",
            "create index i on t (a); comment on index i is 'create index concurrently'",
            "create function f() returns trigger language plpgsql as $$ begin return new; end $$",
            "do $$ begin perform 1; /* commit */ raise notice 'rollback'; end $$",
            "alter type mood add value 'calm'",
            "cluster t using i",
            "",
        ] {
            assert_eq!(mode(body), None, "{body}");
        }
    }

    #[test]
    fn a_transaction_of_its_own_leaves_blanks() {
        assert_eq!(in_ours("BEGIN;\nx;\n  COMMIT ;"), "     ;\nx;\n         ;");
        assert_eq!(
            in_ours("start /* é\n*/ transaction; x; end"),
            "          \n              ; x;    "
        );
        assert_eq!(in_ours("begin; x; commit; y"), "begin; x; commit; y");
    }

    #[test]
    fn obstacles_are_named() {
        assert!(facts("begin; select 1").obstacle.is_some());
        assert!(facts("copy t from stdin").obstacle.is_some());
        assert!(facts("discard all").obstacle.is_some());
        assert!(facts("select pg_catalog.pg_advisory_unlock_all()").obstacle.is_some());
        let dumped = facts("--\n\\restrict x\nselect 1;\n\\unrestrict x").obstacle;
        let said = "\\restrict in line 2 is a command of psql, and no server knows it";
        assert_eq!(dumped.as_deref(), Some(said));
        assert!(facts("select E'\\\\', '\\x', $$\\n$$").obstacle.is_none());
        assert!(facts("discard plans").obstacle.is_none());
        assert!(facts("select 'a").obstacle.is_some());
        assert!(facts("select 1 /* a").obstacle.is_some());
        assert!(facts("select $$ a").obstacle.is_some());
        assert!(facts("begin; select 1; commit").obstacle.is_none());
        assert!(facts("begin; savepoint a; rollback to a; commit").obstacle.is_none());
    }

    #[test]
    fn what_a_body_creates_is_found() {
        let facts = facts(
            "create extension if not exists vector; create table if not exists app.\"Big\" (a int);
             create unlogged table Small as select 1; create temp table gone (a int);",
        );
        assert_eq!(facts.creates_extensions, ["vector"]);
        assert_eq!(facts.creates_tables, ["small"]);
    }
}
