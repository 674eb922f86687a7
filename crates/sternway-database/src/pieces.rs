//! A body as statements that each do one thing, with what is known of each by its words.

use crate::tokens::{Spelling, Word, after_guard, alteration, split_at_commas};

/// A statement that does one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it says.
    pub text: String,
    /// Whether it takes something away, or its name, or may do so.
    pub takes: bool,
    /// Whether it adds something to a table.
    pub adds: bool,
    /// Whether it may ask something of the rows that are there.
    pub asks: bool,
    /// What gives back its name to what it renames.
    pub named_back: Option<String>,
}

/// The pieces of statements that `cut` cuts into words.
pub(crate) fn pieces<K: Spelling>(
    statements: &[&str],
    cut: impl for<'a> Fn(&'a str) -> Vec<Word<'a, K>>,
) -> Vec<Piece> {
    let apart = statements.iter().flat_map(|it| apart(it, &cut(it)));
    let piece = |text: String| {
        let words = cut(&text);
        // What a block runs is not seen.
        let takes = ["DROP", "RENAME", "DETACH", "CHANGE"];
        let takes = words.first().is_some_and(|it| it.is("DO"))
            || words.iter().any(|word| takes.iter().any(|it| word.is(it)));
        let alters = |to: &[&str]| {
            matches!(&words[..], [alter, table, rest @ ..]
                if alter.is("ALTER") && table.is("TABLE")
                    && rest.iter().any(|word| to.iter().any(|it| word.is(it))))
        };
        let adds = alters(&["ADD"]);
        let unique = matches!(&words[..], [create, unique, ..]
            if create.is("CREATE") && unique.is("UNIQUE"));
        let asks = unique || alters(&["ADD", "SET", "TYPE", "MODIFY", "CHANGE", "VALIDATE"]);
        let named_back = named_back(&text, &words);
        Piece { text, takes, adds, asks, named_back }
    };
    apart.map(piece).collect()
}

/// A statement that drops or alters several things at once as several that do so one by one.
fn apart<K: Spelling>(statement: &str, words: &[Word<'_, K>]) -> Vec<String> {
    let (list, last) = match words {
        [alter, table, rest @ ..] if alter.is("ALTER") && table.is("TABLE") => {
            (alteration(rest).1, None)
        }
        [drop, kind, rest @ ..]
            if drop.is("DROP") && ["TABLE", "VIEW", "INDEX"].iter().any(|it| kind.is(it)) =>
        {
            match after_guard(rest) {
                [list @ .., last] if last.is("CASCADE") || last.is("RESTRICT") => {
                    (list, Some(last.text))
                }
                list => (list, None),
            }
        }
        _ => (&words[..0], None),
    };
    let parts: Vec<&[Word<'_, K>]> = split_at_commas(list).collect();
    let begins = list.first().and_then(|it| statement.get(..it.offset)).map(str::trim_end);
    let each = parts.iter().map(|part| {
        let (first, last_word) = (part.first()?, part.last()?);
        let part = statement.get(first.offset..last_word.end())?;
        Some(format!("{} {part} {}", begins?, last.unwrap_or_default()).trim_end().to_owned())
    });
    let each: Option<Vec<String>> = each.collect();
    each.filter(|it| it.len() > 1).unwrap_or_else(|| vec![statement.to_owned()])
}

/// `ALTER … a RENAME TO b` and `ALTER … RENAME … a TO b` the other way round.
fn named_back<K: Spelling>(statement: &str, words: &[Word<'_, K>]) -> Option<String> {
    let rename = words.iter().position(|it| it.is("RENAME")).filter(|at| *at > 2)?;
    words.first().filter(|it| it.is("ALTER"))?;
    // A qualified name has several words.
    let mut name = rename - 1;
    while name > 3 && words[name - 1].is(".") {
        name -= 2;
    }
    let alter = statement.get(..words[name].offset)?;
    let space = statement.get(words[name].offset..words[rename - 1].offset)?;
    let own = words[rename - 1].text;
    match &words[rename + 1..] {
        [to, new] if to.is("TO") => Some(format!("{alter}{space}{} RENAME TO {own}", new.text)),
        [kind @ .., old, to, new] if to.is("TO") && kind.len() < 2 => {
            let kind = kind.first().map_or("COLUMN", |it| it.text);
            Some(format!("{alter}{space}{own} RENAME {kind} {} TO {}", new.text, old.text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::Dialect;

    #[test]
    fn what_does_several_things_at_once_is_taken_apart() {
        for (statement, parts) in [
            (
                "ALTER TABLE IF EXISTS ONLY a DROP COLUMN b,\n  ADD c numeric(9, 2) DEFAULT 1",
                &[
                    "ALTER TABLE IF EXISTS ONLY a DROP COLUMN b",
                    "ALTER TABLE IF EXISTS ONLY a ADD c numeric(9, 2) DEFAULT 1",
                ][..],
            ),
            (
                "drop table if exists a, \"b,\" CASCADE",
                &["drop table if exists a CASCADE", "drop table if exists \"b,\" CASCADE"],
            ),
            ("ALTER TABLE a DROP COLUMN b", &["ALTER TABLE a DROP COLUMN b"]),
            ("INSERT INTO a VALUES (1), (2)", &["INSERT INTO a VALUES (1), (2)"]),
            ("DROP TABLE", &["DROP TABLE"]),
        ] {
            let pieces = Dialect::Postgres.pieces(statement);
            assert_eq!(pieces.iter().map(|it| &it.text).collect::<Vec<_>>(), parts, "{statement}");
        }
        assert_eq!(Dialect::Postgres.pieces(""), []);
    }

    #[test]
    fn what_was_renamed_is_named_back() {
        for (statement, back) in [
            ("ALTER TABLE t RENAME COLUMN a TO b;", Some("ALTER TABLE t RENAME COLUMN b TO a")),
            ("alter table s.t rename a to \"B\"", Some("alter table s.t RENAME COLUMN \"B\" TO a")),
            ("ALTER TABLE s.t RENAME TO u", Some("ALTER TABLE s.u RENAME TO t")),
            ("ALTER TYPE e RENAME VALUE 'a' TO 'b'", Some("ALTER TYPE e RENAME VALUE 'b' TO 'a'")),
            ("ALTER TABLE t ADD COLUMN a text", None),
            ("ALTER TABLE t RENAME", None),
            ("RENAME", None),
        ] {
            let pieces = Dialect::Postgres.pieces(statement);
            assert_eq!(pieces[0].named_back.as_deref(), back, "{statement}");
        }
    }

    #[test]
    fn what_takes_is_seen_by_words_and_not_in_names() {
        for (dialect, statement, takes) in [
            (Dialect::Postgres, "ALTER TABLE t DETACH PARTITION p", true),
            (Dialect::Postgres, "DO $$ BEGIN DROP TABLE t; END $$", true),
            (Dialect::Postgres, "UPDATE t SET raindrop = 'DROP'", false),
            (Dialect::MySql, "ALTER TABLE t CHANGE a b int", true),
            (Dialect::MySql, "UPDATE t SET `DROP` = 1", false),
            (Dialect::Sqlite, "ALTER TABLE t RENAME TO u", true),
        ] {
            assert_eq!(dialect.pieces(statement)[0].takes, takes, "{statement}");
        }
    }
}
