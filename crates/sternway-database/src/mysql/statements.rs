//! MySQL's SQL turned into plain facts: where statements end, and what they take away.
//!
//! No body runs in a transaction: each change to the schema commits by itself. The lexer knows
//! MySQL's strings with backslashes, its three kinds of comments and those that servers run
//! (`/*! … */`), and the bodies of stored programs, inside which a semicolon ends no statement of
//! ours. Where such a body does not come out even, the rest is left for the server to cut.

mod destroys;
mod programs;
mod quotes;
mod subjects;
mod databases;
mod words;

use std::collections::BTreeSet;

use sternway_model::body::{BodyFacts, Mode};

use programs::{Program, begins_program, is_program};
use quotes::Session;
use words::Lexer;

pub(super) use destroys::{What, added_columns, alteration, insert_target, split_at_commas, takes};
pub use quotes::Quotes;
pub(super) use subjects::{Subjects, subjects};
pub(super) use words::{Word, after_guard, name};

use super::MySql;
use crate::external;
use crate::port::DatabaseError;
use crate::query::only;
use crate::tokens::{Lines, client_command};

/// Why no body runs in a transaction.
const REASON: &str = "MySQL commits each change to the schema by itself";

/// One statement of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text, from its first word to before its semicolon.
    pub text: &'a str,
    /// Where it begins in the body, in bytes.
    pub offset: usize,
    /// The line it begins in, from 1.
    pub line: usize,
    /// Whether it may be several: everything from a stored program on whose end is not plain to see.
    pub rest: bool,
    /// How quotes are read in it.
    pub quotes: Quotes,
}

/// The statements of a body, in order; comments between them belong to none. `quotes`: how they are
/// read at its beginning; what its statements make of that is heeded.
pub fn statements(body: &str, quotes: Quotes) -> Vec<Statement<'_>> {
    let split = split(body, quotes);
    let mut lines = Lines::of(body);
    let mut statements = Vec::new();
    for (index, part) in split.parts.iter().enumerate() {
        let rest = split.uncertain && index + 1 == split.parts.len();
        if let Some(text) = body.get(part.start..part.end) {
            let (offset, line) = (part.start, lines.at(part.start));
            statements.push(Statement { text, offset, line, rest, quotes: part.quotes });
        }
    }
    statements
}

/// The words between semicolons, with the marks of the comments that servers run, for the body's normal
/// form; none where that is not certain.
pub(crate) fn normal_words(body: &str, escapes: bool) -> Option<crate::normal::Words> {
    let quotes = Quotes { escapes, ..Quotes::PLAIN };
    if is_unsure(body, quotes) {
        return None;
    }
    let mut lexer = Lexer::of(body, quotes);
    let found: Vec<Word<'_>> = lexer.by_ref().collect();
    let statements = found.split(|word| word.is(";"));
    let ranges = |words: &[Word<'_>]| words.iter().map(|it| it.offset..it.end()).collect();
    let statements = statements.filter(|words| !words.is_empty()).map(ranges).collect();
    lexer.unterminated.is_none().then_some(statements)
}

/// What a body says.
pub fn facts(body: &str) -> BodyFacts {
    facts_with(body, Quotes::PLAIN)
}

/// Whether only the server can tell how quotes are read in a body.
pub(super) fn is_unsure(body: &str, quotes: Quotes) -> bool {
    split(body, quotes).unsure
}

/// What a body says in a session that reads quotes so.
pub(super) fn facts_with(body: &str, quotes: Quotes) -> BodyFacts {
    let split = split(body, quotes);
    let mode = Mode::Dirty { reason: REASON.to_owned() };
    let mut facts = BodyFacts { mode, ..BodyFacts::default() };
    facts.moves_tables = external::moves_tables(body);
    let line = |offset: usize| Lines::of(body).at(offset);
    facts.obstacle = split.unterminated.filter(|_| !split.unsure).map(|(what, offset)| {
        format!("the {what} that begins in line {} has no end", line(offset))
    });
    let statements: Vec<&[Word<'_>]> =
        split.parts.iter().map(|part| part.words.as_slice()).collect();
    let added = destroys::added_columns(&statements);
    let mut lines = Lines::of(body);
    for words in &statements {
        facts.destroys.extend(destroys::destroys(&mut lines, words, &added));
        facts.creates_tables.extend(creates_table(words));
        let Some(first) = words.first() else { continue };
        if first.is("DELIMITER") || first.is("SOURCE") || first.text == "\\" {
            let command = body[first.offset..].split_whitespace().next().unwrap_or_default();
            let line = line(first.offset);
            facts.obstacle = Some(client_command(command, line, "the mysql client"));
        }
        let plain = words.iter().find(|word| word.is("RELEASE_ALL_LOCKS"));
        if let (Some(_), false) = (plain, is_program(words)) {
            facts.obstacle = Some("it gives the migrators' locks back".to_owned());
        }
    }
    facts
}

/// The statement that a query of the user's own is, if it can stand in one of ours.
pub(super) fn one_query(query: &str, quotes: Quotes) -> Result<&str, DatabaseError> {
    let split = split(query, quotes);
    let conditional = Lexer::of(query, quotes).any(|word| word.opens());
    let obstacle = match split.unterminated {
        Some((what, _)) => Some(format!("a {what} in it has no end")),
        None => conditional.then(|| "it has a comment that only some servers run".to_owned()),
    };
    let statements: Vec<&[Word<'_>]> =
        split.parts.iter().map(|part| part.words.as_slice()).collect();
    only(query, &statements, obstacle)
}

/// The words of a statement, without the marks of comments that servers run.
pub(super) fn words_of(text: &str, quotes: Quotes) -> Vec<Word<'_>> {
    Lexer::of(text, quotes).filter(|word| !word.opens() && !word.closes()).collect()
}

/// The words of a statement where quotes are as the server has them at first.
pub(crate) fn plain_words_of(text: &str) -> Vec<Word<'_>> {
    words_of(text, Quotes::PLAIN)
}

/// Whether a statement begins in a comment that only some servers run, and goes on outside it.
pub(super) fn begins_conditionally(text: &str, quotes: Quotes) -> bool {
    let found: Vec<Word<'_>> = Lexer::of(text, quotes).collect();
    let mut inside = false;
    let outside = found.iter().any(|word| {
        inside = (inside || word.opens()) && !word.closes();
        !inside && !word.closes()
    });
    outside && found.first().is_some_and(Word::opens)
}

/// What a body would do outside of its database, where `others` are there as well.
pub(super) fn elsewhere(body: &str, quotes: Quotes, others: &[String]) -> Option<String> {
    let own = ["use", "shutdown", "kill", "set global", "set password", "set default role"];
    let shared = ["database", "schema", "user", "role", "server", "tablespace"];
    let verbs = ["create", "create or replace", "alter", "drop", "rename"];
    let all = external::phrases(&verbs, &shared, &own);
    let more = ["grant", "revoke", "install", "uninstall", "purge", "reset", "change", "flush"];
    for part in split(body, quotes).parts {
        let found = part.words.iter().filter(|it| !it.opens() && !it.closes());
        let found: Vec<&Word<'_>> = found.collect();
        let words: Vec<&str> = found.iter().map(|it| it.text).collect();
        let begins = external::begins(&words, &all).or_else(|| external::begins(&words, &more));
        // Other strings are data.
        let runs = external::begins(&words, &["set", "prepare", "execute", "begin", "create"]);
        let code = words.iter().filter(|it| runs.is_some() && it.starts_with(['\'', '"']));
        let says = begins.or_else(|| code.clone().find_map(|it| external::phrase(it, &all)));
        let file = ["outfile", "dumpfile"]
            .into_iter()
            .find(|it| words.iter().any(|word| word.eq_ignore_ascii_case(it)));
        if let Some(says) = says.or(file) {
            return Some(external::says(says));
        }
        if let Some(name) = databases::named(&found, others) {
            return Some(format!("it names the database `{name}`"));
        }
    }
    None
}

/// Whether a statement may change what the session is set to.
pub(super) fn may_set(statement: &Statement<'_>) -> bool {
    let mut words = Lexer::of(statement.text, statement.quotes);
    let plain = [
        "CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE", "REPLACE", "RENAME", "TRUNCATE",
        "GRANT", "REVOKE",
    ];
    let first = words.find(|word| !word.opens());
    statement.rest || !first.is_some_and(|word| plain.contains(&word.key.as_str()))
}

/// What takes away what statements leave in the session beside its settings: variables, and tables that
/// are the session's alone.
pub(super) fn clear_session(statements: &[Statement<'_>]) -> String {
    let mut variables = BTreeSet::new();
    let mut sql = String::new();
    for statement in statements {
        let words = words_of(statement.text, statement.quotes);
        let is_variable = |it: &&str| {
            it.strip_prefix('@').is_some_and(|it| !it.is_empty() && !it.starts_with(['@', '.']))
        };
        variables.extend(words.iter().map(|it| it.text).filter(is_variable));
        if let [create, temporary, table, rest @ ..] = words.as_slice()
            && create.is("CREATE")
            && temporary.is("TEMPORARY")
            && table.is("TABLE")
        {
            let name: Vec<String> =
                name(after_guard(rest)).iter().map(|it| MySql::quote(it)).collect();
            sql.push_str(&format!("DROP TEMPORARY TABLE IF EXISTS {};", name.join(".")));
        }
    }
    let variables: Vec<String> = variables.iter().map(|name| format!("{name} = NULL")).collect();
    if !variables.is_empty() {
        sql.push_str(&format!("SET {};", variables.join(", ")));
    }
    sql
}

/// The first two words of a statement, in upper case and without the comments that servers run; a
/// variable's name is with its `@`s.
pub(super) fn first_words(text: &str) -> (String, String) {
    let mut words = Lexer::of(text, Quotes::PLAIN).filter(|word| !word.opens() && !word.closes());
    let mut next = || words.next().map_or(String::new(), |word| word.text.to_ascii_uppercase());
    (next(), next())
}

fn creates_table(words: &[Word<'_>]) -> Option<String> {
    let table = words.iter().take(4).position(|word| word.is("TABLE"))?;
    let temporary = |word: &Word<'_>| word.is("TEMPORARY");
    if !words.first()?.is("CREATE") || words[..table].iter().any(temporary) {
        return None;
    }
    name(after_guard(&words[table + 1..])).pop()
}

/// The words of a statement, and where it lies.
struct Part<'a> {
    words: Vec<Word<'a>>,
    start: usize,
    end: usize,
    quotes: Quotes,
}

#[derive(Default)]
struct Split<'a> {
    parts: Vec<Part<'a>>,
    /// Whether the last part may be several statements.
    uncertain: bool,
    unterminated: Option<(&'static str, usize)>,
    /// Whether only the server can tell how quotes are read from some statement on.
    unsure: bool,
}

impl<'a> Split<'a> {
    /// Adds the statement that these words make, if they are any.
    fn push(&mut self, words: &mut Vec<Word<'a>>, quotes: Quotes) {
        let words = std::mem::take(words);
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
        let (start, end) = (first.offset, last.offset + last.text.len());
        let words: Vec<_> = words.into_iter().filter(|it| !it.opens() && !it.closes()).collect();
        if !words.is_empty() {
            self.parts.push(Part { words, start, end, quotes });
        }
    }
}

/// Cuts a body at the semicolons that end a statement: those in no stored program and in no comment.
fn split(body: &str, quotes: Quotes) -> Split<'_> {
    let mut lexer = Lexer::of(body, quotes);
    let mut session = Session::new(quotes);
    let mut split = Split::default();
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut program = None;
    let mut conditional = false;
    while let Some(word) = lexer.next() {
        conditional = (conditional || word.opens()) && !word.closes();
        if word.is(";") && !conditional {
            if program.as_mut().is_none_or(Program::may_end_at_semicolon) {
                session.after(&words);
                split.push(&mut words, lexer.quotes);
                lexer.quotes = session.now;
                program = None;
                continue;
            }
        } else if let Some(program) = &mut program {
            program.word(&word);
        } else if words.len() < 20 && begins_program(&words, &word) {
            let mut begun = Program::default();
            words.iter().for_each(|before| begun.word(before));
            begun.word(&word);
            program = Some(begun);
        }
        words.push(word);
    }
    split.uncertain = program.is_some_and(|mut program| !program.may_end_at_semicolon());
    split.push(&mut words, lexer.quotes);
    Split { unterminated: lexer.unterminated, unsure: session.unsure, ..split }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str) -> Vec<&str> {
        statements(body, Quotes::PLAIN).into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn semicolons_in_strings_comments_and_names_end_nothing() {
        assert_eq!(
            texts("select 1; -- a;b\n select ';', \"x;\\\"y\", `z;``;` ; # c;\nselect 'it''s;'"),
            ["select 1", "select ';', \"x;\\\"y\", `z;``;`", "select 'it''s;'"]
        );
        assert_eq!(texts("/* a; */ select 1--2; select 3 -- ;"), ["select 1--2", "select 3"]);
        assert_eq!(texts("select '\\';' ;;"), ["select '\\';'"]);
        assert!(texts(" -- nothing\n#\n/* no */;").is_empty());
        let plain =
            statements("select '\\'; select 2; -- '", Quotes { escapes: false, names: false });
        assert_eq!(plain.len(), 2, "where a backslash means itself");
    }

    #[test]
    fn what_a_body_sets_is_heeded() {
        let cut = |body: &str| texts(body).len();
        for set in [
            "set sql_mode = 'ANSI,no_backslash_escapes'",
            "SET @@session.sql_mode := concat(@@sql_mode, ',NO_BACKSLASH_ESCAPES')",
            "/*!40101 SET names utf8, SESSION sql_mode='NO_BACKSLASH_ESCAPES' */",
            "set sql_mode = 1048576",
            "set sql_mode = no_backslash_escapes",
            "set sql_mode = sys.list_add(@@sql_mode, 'NO_BACKSLASH_ESCAPES')",
        ] {
            assert_eq!(cut(&format!("{set}; select '\\'; select 2; -- '")), 3, "{set}");
            for back in [
                "set sql_mode = ''",
                "set sql_mode = default",
                "set @@sql_mode = (replace(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''))",
            ] {
                let body = format!("{set}; {back}; select '\\'; select 2; -- '");
                assert_eq!(cut(&body), 3, "{body}");
            }
            let kept = format!(
                "set @old = @@sql_mode, sql_mode = ''; {set}; select '\\'; \
                 set sql_mode = @old; select '\\'; ', 2"
            );
            assert_eq!(cut(&kept), 5, "{kept}");
        }
        for other in ["set global sql_mode = 'NO_BACKSLASH_ESCAPES'", "set @x = 1048576"] {
            assert_eq!(cut(&format!("{other}; select '\\'; select 2; -- '")), 2, "{other}");
        }
        assert_eq!(cut("set sql_mode = 'ANSI_QUOTES'; select \"\\\"; select 2; -- \""), 3);
        // Only the server can tell.
        assert!(facts("set sql_mode = @x; select '\\'").obstacle.is_none());
        assert!(facts("set sql_mode = ''; select '\\'").obstacle.is_some());
    }

    #[test]
    fn a_comment_that_servers_run_is_part_of_its_statement() {
        assert_eq!(
            texts(
                "/*!40101 SET NAMES utf8 */;\nCREATE TABLE t (a int) /*!40100 CHARSET=utf8 */; x"
            ),
            ["/*!40101 SET NAMES utf8 */", "CREATE TABLE t (a int) /*!40100 CHARSET=utf8 */", "x"]
        );
        let trigger = "/*!50003 CREATE*/ /*!50017 DEFINER=`u`@`h`*/ /*!50003 TRIGGER g BEFORE INSERT \
                       ON t FOR EACH ROW BEGIN SET NEW.a = 1; END */";
        assert_eq!(texts(&format!("{trigger};select 1")), [trigger, "select 1"]);
        assert_eq!(facts("/*M!100100 DROP TABLE t */").destroys.len(), 1);
        let dump = facts("/*!999999\\- enable the sandbox mode */ \nCREATE TABLE t (a int);");
        assert_eq!((dump.obstacle, dump.creates_tables), (None, vec!["t".to_owned()]));
    }

    #[test]
    fn a_stored_program_is_one_statement() {
        for program in [
            "create procedure p() begin select 1; select 2; end",
            "create procedure if not exists p() select if(1, 2, 3)",
            "create definer=user@localhost procedure p(a int) sql security invoker begin \
             if a then select 1; elseif (a = 2) then select case a when 1 then 2 end; else select 3; \
             end if; end",
            "create function f(a int) returns int deterministic return if(a, 1, 2)",
            "create or replace trigger g after insert on t for each row follows h begin declare x \
             int; while x > 0 do set x = x - 1; end while; l: loop leave l; end loop; repeat set x = \
             repeat('a', 2); until x end repeat; case x when 1 then select 1; else begin end; end \
             case; end",
            "create trigger g before update on t for each row if new.a < 0 then set new.a = 0; end if",
            "create event e on schedule every 1 day do begin drop table if exists a; select \
             case when if(a, b, c) then 1 end; end",
            "create procedure p() begin declare continue handler for not found begin end; for i in \
             1..3 do select i; end for; select @end, t.end, `end`; end",
            "create procedure p() repeat set @a = 1; until @a end repeat",
            "begin not atomic select 1; if 1 then select 2; end if; end",
            "if 1 then select 2; end if",
        ] {
            assert_eq!(texts(&format!("{program};\nselect 3;")), [program, "select 3"]);
        }
        assert_eq!(texts("begin; select 1; commit"), ["begin", "select 1", "commit"]);
        assert_eq!(texts("alter table t add column event int; x").len(), 2);
        let open =
            statements("select 1; create procedure p() begin select 1; select 2;", Quotes::PLAIN);
        assert_eq!((open.len(), open[1].rest), (2, true), "what does not come out even is one");
    }

    #[test]
    fn obstacles_are_named() {
        let obstacle = |body| facts(body).obstacle.unwrap_or_default();
        assert!(obstacle("select 1;\nselect 'a").contains("string that begins in line 2"));
        assert!(obstacle("select `a").contains("quoted name"));
        assert!(obstacle("select 1 /* a").contains("comment"));
        assert!(obstacle("select 1 /*!40101 a").contains("comment"));
        assert!(obstacle("\nDELIMITER //\ncreate procedure p() select 1 //").contains("in line 2"));
        assert!(obstacle("do release_all_locks()").contains("locks"));
        assert_eq!(obstacle("create procedure p() do release_all_locks()"), "");
        assert_eq!(obstacle("select delimiter from t; begin; select 1"), "");
    }

    #[test]
    fn what_a_body_creates_is_found_and_nothing_runs_in_a_transaction() {
        let facts = facts(
            "create table if not exists app.`Big` (a int); create or replace table b like c;
             create temporary table gone (a int); create table.x (a int)",
        );
        assert_eq!(facts.creates_tables, ["Big", "b"]);
        assert!(matches!(facts.mode, Mode::Dirty { .. }));
    }

    #[test]
    fn statements_that_may_change_settings_are_known() {
        let may = |body: &str| statements(body, Quotes::PLAIN).iter().any(may_set);
        assert!(may("use x") && may("set names utf8") && may("call p()"));
        assert!(may("/*!40101 SET sql_mode='' */"));
        assert!(!may("create table t (a int); insert into t values (1)"));
    }
}
