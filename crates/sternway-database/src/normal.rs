//! The normal form of a body: what is left of it without comments, white space and a transaction around
//! all of it. Two bodies with one normal form do the same.
//!
//! The words are those of each dialect's own lexer, so that what stands in strings, dollar quotes and
//! quoted names counts, and so do the comments that MySQL runs. Optimizer hints are comments to all
//! three lexers and count all the same. Where it is not certain that two texts do the same, their
//! normal forms differ: what they lead to is compared then.

use std::ops::Range;

use sternway_model::catalog::Digest;

/// Where the words of each statement lie in a body.
pub(crate) type Words = Vec<Vec<Range<usize>>>;

/// The signs that may be one operator where nothing stands between them.
const OPERATOR: &str = "+-*/<>=~!@#%^&|`?:";

/// The statements that may stand around all others, and change nothing about what they lead to.
const BEGINS: [&str; 8] = [
    "BEGIN",
    "BEGIN WORK",
    "BEGIN TRANSACTION",
    "BEGIN DEFERRED",
    "BEGIN IMMEDIATE",
    "BEGIN DEFERRED TRANSACTION",
    "BEGIN IMMEDIATE TRANSACTION",
    "START TRANSACTION",
];
const ENDS: [&str; 6] =
    ["COMMIT", "COMMIT WORK", "COMMIT TRANSACTION", "END", "END WORK", "END TRANSACTION"];
/// What begins a statement that may begin or end a transaction.
const CONTROLS: [&str; 7] = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"];

/// The hash of the normal form of a body that is cut into these words.
pub(crate) fn digest(body: &str, words: &Words) -> Digest {
    let mut form = String::new();
    let mut end = 0;
    for statement in without_transaction(body, words) {
        for (index, word) in statement.iter().enumerate() {
            let between = body.get(end..word.start).unwrap_or_default();
            // What stands before a statement that was left out is not asked about.
            if between.contains("/*+") {
                form.push_str(between.trim());
            }
            let text = body.get(word.clone()).unwrap_or_default();
            let before = body.get(..end).unwrap_or_default();
            if index > 0 && !(between.is_empty() && belong_together(before, text)) {
                form.push('\u{1f}');
            }
            form.push_str(text);
            end = word.end;
        }
        form.push('\u{1e}');
    }
    Digest::of_bytes(form.as_bytes())
}

/// Whether a word that follows another at once may mean something else than behind a blank: an operator
/// of several signs, and what stands before a string, such as `E'…'`.
fn belong_together(before: &str, word: &str) -> bool {
    let (Some(last), Some(first)) = (before.chars().next_back(), word.chars().next()) else {
        return false;
    };
    let is_quote = |it: char| matches!(it, '\'' | '"' | '`');
    let is_word = |it: char| it.is_alphanumeric() || matches!(it, '_' | '$' | '&');
    (OPERATOR.contains(last) && OPERATOR.contains(first))
        || (is_word(last) && is_quote(first))
        || (is_quote(last) && is_quote(first))
}

/// The statements without those that begin and end one transaction around all of them.
fn without_transaction<'a>(body: &str, words: &'a Words) -> &'a [Vec<Range<usize>>] {
    let text = |statement: &[Range<usize>]| {
        let words = statement.iter().take(4).filter_map(|it| body.get(it.clone()));
        words.collect::<Vec<_>>().join(" ").to_ascii_uppercase()
    };
    let [first, middle @ .., last] = words.as_slice() else { return words };
    let controls = |statement: &Vec<Range<usize>>| {
        let first = statement.first().and_then(|it| body.get(it.clone())).unwrap_or_default();
        CONTROLS.iter().any(|it| first.eq_ignore_ascii_case(it))
    };
    let around = BEGINS.contains(&text(first).as_str()) && ENDS.contains(&text(last).as_str());
    if around && !middle.iter().any(controls) { middle } else { words }
}

#[cfg(test)]
mod tests {
    use crate::Dialect::{self, MySql, Postgres, Sqlite};

    fn same(dialect: Dialect, one: &str, other: &str) -> bool {
        let normal = |body| dialect.facts(body).normal.expect("a normal form");
        normal(one) == normal(other)
    }

    #[test]
    fn comments_white_space_and_a_transaction_around_all_do_not_count() {
        let plain = "CREATE TABLE a (i int);\nINSERT INTO a VALUES (1);\n";
        for dialect in [Postgres, MySql, Sqlite] {
            for other in [
                "CREATE TABLE a (i int); INSERT INTO a VALUES (1)",
                "-- first\nCREATE TABLE a (i int); -- Second\n\n/* third */ INSERT INTO a VALUES (1);;",
                "\tCREATE\n TABLE a(i/* x */int );\r\nINSERT INTO a VALUES(1);",
                "BEGIN;\nCREATE TABLE a (i int);\nINSERT INTO a VALUES (1);\nCOMMIT;\n",
            ] {
                assert!(same(dialect, plain, other), "{dialect}: {other}");
            }
            assert!(same(dialect, "", "-- nothing\n"), "{dialect}");
        }
        assert!(same(MySql, plain, &format!("# first\nSTART TRANSACTION; {plain} COMMIT;")));
        assert!(same(Sqlite, plain, &format!("BEGIN IMMEDIATE TRANSACTION; {plain} END;")));
        assert!(same(Postgres, plain, &format!("/* a /* b */ c */ begin work; {plain} end;")));
    }

    #[test]
    fn what_strings_and_names_hold_counts() {
        for dialect in [Postgres, MySql, Sqlite] {
            for (one, other) in [
                ("SELECT 'a -- b';", "SELECT 'a -- c';"),
                ("SELECT 'a  b';", "SELECT 'a b';"),
                ("SELECT '/* a */';", "SELECT '';"),
                ("SELECT 'a', 'b';", "SELECT 'a'', ''b';"),
                ("SELECT 1; SELECT 2;", "SELECT 1, 2;"),
                ("SELECT \"a -- b\" FROM t;", "SELECT \"a\" FROM t;"),
                ("CREATE TABLE a (i int);", "CREATE TABLE a (i bigint);"),
            ] {
                assert!(!same(dialect, one, other), "{dialect}: {one} {other}");
            }
        }
        let function = |code: &str| format!("CREATE FUNCTION f() RETURNS int AS $f${code}$f$;");
        assert!(!same(Postgres, &function("SELECT 1 -- a"), &function("SELECT 1 -- b")));
        assert!(!same(Postgres, "SELECT E'a'", "SELECT E 'a'"));
        assert!(!same(Postgres, "SELECT a <@ b", "SELECT a < @ b"));
    }

    #[test]
    fn hints_and_comments_that_servers_run_count() {
        assert!(!same(MySql, "/*!50100 CREATE TABLE a (i int) */;", ""));
        assert!(!same(
            MySql,
            "CREATE TABLE a (i int) /*!50100 ENGINE=x */;",
            "CREATE TABLE a (i int) /*!80000 ENGINE=x */;"
        ));
        assert!(!same(MySql, "CREATE TABLE a (i int) /*M!100100 X */;", "CREATE TABLE a (i int);"));
        assert!(same(MySql, "SELECT 1 /*! + 1 */;", "SELECT 1 /*!  +  1*/; -- one"));
        for dialect in [Postgres, MySql] {
            assert!(!same(dialect, "SELECT /*+ A */ 1;", "SELECT /*+ B */ 1;"), "{dialect}");
            assert!(!same(dialect, "/*+ A */ SELECT 1;", "SELECT 1;"), "{dialect}");
        }
    }

    #[test]
    fn a_transaction_counts_where_it_is_not_around_all() {
        for dialect in [Postgres, Sqlite] {
            let one = "BEGIN; SELECT 1; COMMIT; SELECT 2;";
            assert!(!same(dialect, one, "SELECT 1; SELECT 2;"), "{dialect}");
            let two = "BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;";
            assert!(!same(dialect, two, "SELECT 1; COMMIT; BEGIN; SELECT 2;"), "{dialect}");
            assert!(!same(dialect, "BEGIN; SELECT 1; ROLLBACK;", "SELECT 1;"), "{dialect}");
        }
        assert!(!same(
            Postgres,
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT",
            "SELECT 1"
        ));
    }

    #[test]
    fn a_backslash_is_read_both_ways_where_the_session_decides() {
        // A comment where a backslash means itself, and a part of the first string where it does not.
        let body = |comment: &str| format!("SELECT '\\' /* {comment} */ ' '\\' ';");
        assert!(!same(MySql, &body("a"), &body("b")));
        assert!(same(MySql, "SELECT 'a\\\\b'; -- a", "SELECT 'a\\\\b';"));
    }

    #[test]
    fn what_cannot_be_cut_has_no_normal_form() {
        for dialect in [Postgres, MySql, Sqlite] {
            assert_eq!(dialect.facts("SELECT 'a").normal, None, "{dialect}");
        }
    }
}
