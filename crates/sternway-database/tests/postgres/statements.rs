//! No text is too strange for the lexer: a body comes from a file that anyone may have written.

use proptest::prelude::*;
use sternway_database::postgres::statements::{facts, statements};

/// Words and signs that the rules about statements look for, and what may stand between them.
const PIECES: [&str; 52] = [
    "ALTER",
    "TABLE",
    "TYPE",
    "DROP",
    "COLUMN",
    "ADD",
    "ATTRIBUTE",
    "CONSTRAINT",
    "CREATE",
    "TEMP",
    "INDEX",
    "CONCURRENTLY",
    "IF",
    "NOT",
    "EXISTS",
    "ONLY",
    "UPDATE",
    "SET",
    "WHERE",
    "FROM",
    "DELETE",
    "TRUNCATE",
    "WITH",
    "MERGE",
    "INTO",
    "DO",
    "CALL",
    "COPY",
    "STDIN",
    "BEGIN",
    "ATOMIC",
    "CASE",
    "END",
    "COMMIT",
    "ROLLBACK",
    "TO",
    "EXTENSION",
    "MATERIALIZED",
    "t",
    "\"Quoted \"\" name\"",
    ".",
    ",",
    "(",
    ")",
    ";",
    "=",
    "$$ BEGIN COMMIT; $$",
    "$\u{e9}$ x $\u{e9}$",
    "'it''s'",
    "-- line\n",
    "/* a /* b */ */",
    "\u{1F6A2}",
];

fn sql() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let gap = prop::sample::select(vec![" ", "", "\n"]);
    prop::collection::vec((piece, gap), 0..24).prop_map(|pieces| {
        pieces.into_iter().flat_map(|(piece, gap)| [piece, gap.to_owned()]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_statement_is_a_piece_of_its_body_and_facts_are_found_in_any_text(body in sql()) {
        let mut end = 0;
        for statement in statements(&body) {
            prop_assert!(statement.offset >= end, "statements neither overlap nor go back");
            end = statement.offset + statement.text.len();
            prop_assert_eq!(body.get(statement.offset..end), Some(statement.text));
        }
        let lines = body.lines().count().max(1);
        for destruction in facts(&body).destroys {
            prop_assert!((1..=lines).contains(&destruction.line), "line {}", destruction.line);
        }
    }
}
