//! What a statement does to rows, by its words.

use crate::tokens::{Spelling, Word, name, name_and_rest, names, split_at_commas};

/// A statement that is about rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfRows {
    /// What it does to them.
    pub deed: RowDeed,
    /// The name of their table, without its schema, where the first words tell it.
    table: Option<String>,
    /// The columns that it changes, where its words tell them all.
    pub columns: Option<Vec<String>>,
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
        "TRUNCATE" | "WITH" | "LOAD" => {
            return Some(OfRows { deed: RowDeed::Other, table: None, columns: None });
        }
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
    let columns = if deed == RowDeed::Changes { set(&rest[at..]) } else { None };
    Some(OfRows { deed, table: name(&rest[at..]).pop(), columns })
}

/// The columns that an `UPDATE` sets one by one.
fn set<K: Spelling>(words: &[Word<'_, K>]) -> Option<Vec<String>> {
    let set = words.iter().position(|it| it.is("SET"))?;
    let parts = split_at_commas(&words[set + 1..]);
    let column = |part: &[Word<'_, K>]| match part {
        [column, is, ..] if is.is("=") => column.name(),
        [_, dot, column, is, ..] if dot.is(".") && is.is("=") => column.name(),
        _ => None,
    };
    parts.map(column).collect()
}

/// A statement that puts into a table what a query finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutFrom {
    /// The columns that it names; none where it names none.
    pub columns: Vec<String>,
    /// The query.
    pub query: String,
}

/// What a statement of these words puts into a table from a query; none where it does otherwise, or passes
/// over rows that do not fit.
pub(crate) fn put_from<K: Spelling>(statement: &str, words: &[Word<'_, K>]) -> Option<PutFrom> {
    let [insert, into, rest @ ..] = words else { return None };
    (insert.is("INSERT") && into.is("INTO")).then_some(())?;
    let (_, mut rest) = name_and_rest(rest);
    let mut columns = Vec::new();
    if rest.first()?.is("(") {
        let end = rest.iter().position(|it| it.is(")"))?;
        columns = names(&rest[1..end]).filter_map(|mut it| it.pop()).collect();
        rest = &rest[end + 1..];
    }
    let (first, last) = (rest.first()?, rest.last()?);
    let plain =
        first.is("SELECT") && !rest.iter().any(|it| it.is("CONFLICT") || it.is("DUPLICATE"));
    let query = statement.get(first.offset..last.end()).filter(|_| plain)?.to_owned();
    Some(PutFrom { columns, query: query.trim_end_matches(';').to_owned() })
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
        let columns = |statement: &str| postgres.of_rows(statement).and_then(|it| it.columns);
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        let update = "UPDATE t SET a = f(1, b), \"C\" = 2 FROM u WHERE t.x = u.y";
        assert_eq!(columns(update), names(&["a", "C"]));
        assert_eq!(columns("UPDATE t SET (a, b) = (1, 2)"), None);
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
