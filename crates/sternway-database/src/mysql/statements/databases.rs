//! Which database a statement names. Before a dot stands one where a table can stand, and where a function is
//! called; elsewhere it is the table of a column.

use super::words::Word;
use crate::external::qualifier;

/// Where in a statement a name with a dot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Tables,
    Columns,
    /// In the condition of a join, behind which a comma leads to the next table.
    Condition,
}

/// The first of `names` that is a database in these words. Strings may be code.
pub fn named<'a>(words: &[&Word<'_>], names: &'a [String]) -> Option<&'a str> {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|it| it.is(text));
    let (mut place, mut outer) = (Place::Tables, Vec::new());
    for (at, word) in words.iter().enumerate() {
        place = match word.key.as_str() {
            "SELECT" | "WHERE" | "HAVING" | "SET" | "BY" => Place::Columns,
            "ON" => Place::Condition,
            "FROM" | "JOIN" | "STRAIGHT_JOIN" | "UPDATE" | "DELETE" | "INTO" | "TABLE"
            | "REFERENCES" | "CALL" | "DROP" | "RENAME" | "TO" => Place::Tables,
            _ => match word.text {
                "(" => {
                    outer.push(place);
                    if place == Place::Condition { Place::Columns } else { place }
                }
                ")" => outer.pop().unwrap_or(Place::Tables),
                "," if place == Place::Condition => Place::Tables,
                ";" => Place::Tables,
                _ => place,
            },
        };
        if word.text.starts_with(['\'', '"']) && !is(at + 1, ".") {
            if let Some(name) = qualifier(word.text, names) {
                return Some(name);
            }
            continue;
        }
        if !is(at + 1, ".") || (at > 0 && is(at - 1, ".")) {
            continue;
        }
        let name = word.name().unwrap_or_else(|| word.text.to_owned());
        let Some(found) = names.iter().find(|it| it.eq_ignore_ascii_case(&name)) else { continue };
        // `database.table.column`, `database.function(…)`, and the table of a trigger.
        let goes_on = ["(", "."].iter().any(|it| is(at + 3, it));
        let of_trigger = at > 0 && is(at - 1, "ON") && is(at + 3, "FOR");
        if place == Place::Tables || goes_on || of_trigger {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::super::statements::{Quotes, words_of};
    use super::*;

    fn names_shop(sql: &str) -> bool {
        let words = words_of(sql, Quotes::PLAIN);
        named(&words.iter().collect::<Vec<_>>(), &["shop".to_owned()]).is_some()
    }

    #[test]
    fn a_database_is_named_where_a_table_or_a_function_can_stand() {
        for sql in [
            "DELETE FROM shop.t",
            "UPDATE a, `SHOP` . `t` SET a.b = 1",
            "INSERT INTO shop.t VALUES (1)",
            "SELECT shop.f(1)",
            "SELECT shop.t.c FROM a",
            "SELECT 1 FROM a JOIN b ON a.x = b.x, shop.t",
            "SELECT 1 FROM (SELECT x FROM a ORDER BY y) d, shop.t",
            "SELECT 1 FROM a WHERE x IN (SELECT y FROM shop.t)",
            "CREATE INDEX i ON shop.t (c)",
            "CREATE TRIGGER g BEFORE INSERT ON shop.t FOR EACH ROW SET @a = 1",
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id) ON DELETE SET NULL, RENAME TO shop.t",
            "CREATE TABLE a LIKE shop.t",
            "RENAME TABLE a TO shop.a",
            "CALL shop.p()",
            "DELETE a, shop.t FROM a",
            "PREPARE s FROM 'delete from shop.t'",
        ] {
            assert!(names_shop(sql), "{sql}");
        }
    }

    #[test]
    fn a_table_before_its_column_is_no_database() {
        for sql in [
            "CREATE VIEW v AS select `shop`.`id` AS `id` from `shop`",
            "SELECT shop.* FROM ship shop WHERE shop.a > 1 ORDER BY shop.b",
            "SELECT 1 FROM a JOIN shop ON a.x = shop.x AND shop.y > 1",
            "UPDATE shop SET shop.a = shop.b WHERE shop.c IS NULL",
            "CREATE TABLE shop (id int)",
        ] {
            assert!(!names_shop(sql), "{sql}");
        }
    }
}
