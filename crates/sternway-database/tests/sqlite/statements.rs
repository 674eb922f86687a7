//! SQLite's lexer, on whatever text.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use sternway_database::sqlite::statements::{facts, statements, without_foreign_keys};

/// Pieces that mean something, in any order.
fn body() -> impl Strategy<Value = String> {
    let pieces = [
        "create trigger g after insert on t begin ",
        "create temp trigger ",
        "begin;",
        "end",
        ";",
        "case ",
        "when ",
        "'",
        "''",
        "\"",
        "`",
        "[",
        "]",
        "--",
        "\n",
        "/*",
        "*/",
        "x'",
        "é",
        "\0",
        "(",
        ")",
        ",",
        " select 1",
        " drop table ",
        "alter table t add ",
        "alter table t drop ",
        "update t set a = 1",
        "pragma foreign_keys = off",
        "pragma ",
        "=",
        ".",
        "insert or ",
        "with ",
        "commit",
        "\u{feff}",
        "$",
    ];
    let piece = prop_oneof![3 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_text_stops_it_and_every_statement_is_where_it_says(body in body()) {
        facts(&body);
        without_foreign_keys(&body);
        let mut end = 0;
        for statement in statements(&body) {
            prop_assert!(statement.offset >= end);
            end = statement.offset + statement.text.len();
            prop_assert_eq!(&body[statement.offset..end], statement.text);
            prop_assert!(!statement.text.is_empty());
        }
    }

    #[test]
    fn what_stands_between_semicolons_is_found(values in prop::collection::vec("[ -~é\n]{0,12}", 1..8)) {
        let each: Vec<String> = values
            .iter()
            .map(|it| format!("INSERT INTO t VALUES ('{}', \"{}\")", it.replace('\'', "''"), it.replace('"', "\"\"")))
            .collect();
        let found = statements(&each.join("; -- it's\n")).into_iter().map(|it| it.text.to_owned()).collect::<Vec<_>>();
        prop_assert_eq!(found, each);
    }
}

#[test]
fn a_long_body_takes_a_moment() {
    for piece in [
        "delete from t;\n",
        "(",
        "'",
        "[",
        "/*",
        "case ",
        "create trigger g begin x;",
        "--\n",
        "\"\" ",
    ] {
        let body = piece.repeat(2_000_000 / piece.len());
        let start = Instant::now();
        facts(&body);
        assert!(start.elapsed() < Duration::from_secs(10), "{piece}: {:?}", start.elapsed());
    }
}
