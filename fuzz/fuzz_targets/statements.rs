//! The lexers of every dialect: no panic, and statements that stand in the body where they say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sternway_database::{Dialect, mysql, postgres, sqlite};

fuzz_target!(|body: &str| {
    for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
        let facts = dialect.facts(body);
        let lines = body.lines().count().max(1);
        assert!(facts.destroys.iter().all(|it| (1..=lines + 1).contains(&it.line)), "{dialect}");
    }
    let mut pieces: Vec<Vec<(usize, &str)>> = vec![
        postgres::statements::statements(body).iter().map(|it| (it.offset, it.text)).collect(),
        sqlite::statements::statements(body).iter().map(|it| (it.offset, it.text)).collect(),
    ];
    for (escapes, names) in [(true, false), (false, true)] {
        let quotes = mysql::statements::Quotes { escapes, names };
        let statements = mysql::statements::statements(body, quotes);
        pieces.push(statements.iter().map(|it| (it.offset, it.text)).collect());
    }
    for statements in pieces {
        let mut end = 0;
        for (offset, text) in statements {
            assert!(offset >= end);
            assert_eq!(body.get(offset..offset + text.len()), Some(text));
            end = offset + text.len();
        }
    }
});
