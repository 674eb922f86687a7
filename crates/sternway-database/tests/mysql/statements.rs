//! No text is too strange for the lexer, and the server agrees with it on where statements end.

use proptest::prelude::*;
use sternway_database::mysql::statements::{Quotes, facts, statements};

/// Words and signs that the rules about statements look for, and what may stand between them.
const PIECES: [&str; 52] = [
    "CREATE",
    "ALTER",
    "TABLE",
    "PROCEDURE",
    "FUNCTION",
    "TRIGGER",
    "EVENT",
    "DEFINER",
    "OR",
    "REPLACE",
    "BEGIN",
    "NOT",
    "ATOMIC",
    "END",
    "IF",
    "THEN",
    "ELSE",
    "CASE",
    "WHEN",
    "WHILE",
    "DO",
    "LOOP",
    "REPEAT",
    "UNTIL",
    "FOR",
    "DROP",
    "COLUMN",
    "ADD",
    "MODIFY",
    "DELETE",
    "FROM",
    "UPDATE",
    "SET",
    "WITH",
    "TRUNCATE",
    "INTO",
    "DELIMITER",
    "t",
    "@end",
    ".",
    ",",
    "(",
    ")",
    ";",
    "=",
    "'it''s\\'",
    "\"a\\\"",
    "`b``;`",
    "-- line\n",
    "/* ; */",
    "/*!50003 ",
    "*/",
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
        for escapes in [true, false] {
            let mut end = 0;
            for statement in statements(&body, Quotes { escapes, names: !escapes }) {
                prop_assert!(statement.offset >= end, "statements neither overlap nor go back");
                end = statement.offset + statement.text.len();
                prop_assert_eq!(body.get(statement.offset..end), Some(statement.text));
                prop_assert_eq!(statement.line, body[..statement.offset].matches('\n').count() + 1);
            }
        }
        let lines = body.lines().count().max(1);
        for destruction in facts(&body).destroys {
            prop_assert!((1..=lines).contains(&destruction.line), "line {}", destruction.line);
        }
    }
}

#[test]
fn a_large_body_is_cut_in_a_blink() {
    for piece in
        ["IF (", "CREATE (", "INSERT INTO t VALUES ('a;');\n", "/*! ", "BEGIN NOT ATOMIC IF ", "`"]
    {
        let body = piece.repeat(200_000);
        let start = std::time::Instant::now();
        let _ = (facts(&body), statements(&body, Quotes::PLAIN));
        assert!(start.elapsed().as_secs() < 10, "{piece}: {:?}", start.elapsed());
    }
}
