//! What a statement does to rows, by its words.

use crate::tokens::{Spelling, Word, name};

/// A statement that is about rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfRows {
    /// What it does to them.
    pub deed: RowDeed,
    /// The name of their table, without its schema, where the first words tell it.
    table: Option<String>,
}

/// What is done to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowDeed {
    /// They are put into a table.
    Puts,
    /// They are changed.
    Changes,
    /// They are deleted.
    Deletes,
    /// More than the first words tell.
    Other,
}

impl OfRows {
    /// Whether the rows are those of the table with this name in a fingerprint.
    pub fn is_of(&self, table: &str) -> bool {
        let own = table.rsplit('.').next().unwrap_or(table).trim_matches(['"', '`']);
        self.table.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(own))
    }
}

/// What a statement of these words does to rows; none where it is not about them.
pub(crate) fn of_rows<K: Spelling>(words: &[Word<'_, K>]) -> Option<OfRows> {
    let (first, rest) = words.split_first()?;
    let deed = match first.key.as_str() {
        "INSERT" | "REPLACE" | "COPY" | "MERGE" => RowDeed::Puts,
        "UPDATE" => RowDeed::Changes,
        "DELETE" => RowDeed::Deletes,
        "TRUNCATE" | "WITH" | "LOAD" => return Some(OfRows { deed: RowDeed::Other, table: None }),
        _ => return None,
    };
    // `OR REPLACE` is SQLite's.
    let rest = match rest {
        [or, _, rest @ ..] if or.is("OR") => rest,
        rest => rest,
    };
    let modifiers =
        ["INTO", "FROM", "IGNORE", "ONLY", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK"];
    let is_modifier = |word: &Word<'_, K>| modifiers.iter().any(|it| word.is(it));
    let at = rest.iter().position(|word| !is_modifier(word))?;
    Some(OfRows { deed, table: name(&rest[at..]).pop() })
}

#[cfg(test)]
mod tests {
    use super::RowDeed::{self, Changes, Deletes, Other, Puts};
    use crate::Dialect;

    #[test]
    fn statements_about_rows_are_known_by_their_words() {
        let [postgres, mysql, sqlite] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];
        let cases: [(Dialect, &str, Option<RowDeed>, Option<&str>); 12] = [
            (postgres, "INSERT INTO ship VALUES (1)", Some(Puts), Some("ship")),
            (
                mysql,
                "-- seeds\n/* all */ insert ignore into `app`.`Ship`(id) SELECT 1",
                Some(Puts),
                Some("Ship"),
            ),
            (sqlite, "INSERT OR REPLACE INTO [ship] VALUES (1)", Some(Puts), Some("ship")),
            (
                postgres,
                "COPY \"public\".\"Ship\" (id) FROM stdin",
                Some(Puts),
                Some("aside.\"Ship\""),
            ),
            (postgres, "UPDATE ONLY ship SET id = 1", Some(Changes), Some("public.ship")),
            (mysql, "DELETE QUICK FROM ship;", Some(Deletes), Some("`ship`")),
            (postgres, "DELETE FROM ONLY ship;", Some(Deletes), Some("ship")),
            (
                postgres,
                "WITH new AS (SELECT 1) INSERT INTO ship SELECT * FROM new",
                Some(Other),
                None,
            ),
            (mysql, "TRUNCATE ship", Some(Other), None),
            (postgres, "CREATE TABLE ship (id integer)", None, None),
            (sqlite, "INSERT", None, None),
            (sqlite, "", None, None),
        ];
        for (dialect, statement, deed, table) in cases {
            let found = dialect.of_rows(statement);
            assert_eq!(found.as_ref().map(|it| it.deed), deed, "{statement}");
            if let (Some(found), Some(table)) = (found, table) {
                assert!(found.is_of(table), "{statement}: {found:?}");
                assert!(!found.is_of("boat"), "{statement}");
            }
        }
    }
}
