//! What is documented to differ and has no place among the other cases.

use super::case::{ALL, Case, POSTGRESQL, SQLITE, case, exits, says};

/// Differences that cases cannot show, and the test that does.
pub const SHOWN_ELSEWHERE: [(&str, &str); 6] = [
    ("D21", "interoperability: a_lock_that_is_held"),
    ("D23", "interoperability: an_index_is_built_while_another_waits"),
    ("D24", "message: every duration is replaced"),
    ("D30", "beyond: a_dirty_database_without_transactions_names_the_statement_under_way"),
    ("D33", "signals: every test"),
    ("D34", "kept_settings: a_commit_that_need_not_be_on_the_disk_leaves_the_next_one_as_it_is"),
];

pub fn cases() -> Vec<Case> {
    vec![
        case("a way up from the end", ALL).reference().after("up").run("up 1").differs(
            "D6",
            says("error: file does not exist"),
            says("error: file does not exist"),
        ),
        case("a file that comes too late", ALL)
            .reference()
            .after("goto 4")
            .file("2_late.up.sql", "CREATE TABLE late (x int)")
            .run("up"),
        case("a file whose name is nearly right", SQLITE)
            .reference()
            .file("8_F.UP.SQL", "CREATE TABLE t8 (x int)")
            .run("up")
            .differs(
                "D18",
                exits(0).lacks("warning"),
                exits(0).says("warning: ").says("8_F.UP.SQL"),
            ),
        case("a body with a secret fails", POSTGRESQL)
            .file(
                "1_a.up.sql",
                &format!("SELECT 'hush';\n{}SELECT nothing;", "SELECT 1;\n".repeat(40)),
            )
            .run("up")
            .differs(
                "D10",
                exits(1).says("hush").at("1 dirty"),
                exits(1).says("migration failed: column \"nothing\"").lacks("hush").at("none"),
            ),
        case("a mistake after carriage returns", POSTGRESQL)
            .file("1_a.up.sql", "SELECT 1;\r\nSELECT 2;\r\nCREATE TABLEE b (x int)")
            .run("up")
            .differs(
                "D11",
                says("(column 10) in line 3").at("1 dirty"),
                says("(column 8) in line 3").at("none"),
            ),
    ]
}
