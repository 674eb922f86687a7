//! Servers repeat what rows hold in their errors: `Key (id)=(1) already exists`, `Duplicate entry 'x'`.
//! Here their words are cut down to what may be recorded, with `…` in place of values.
//!
//! What is not known to be free of values is left out.

use std::error::Error;

use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::error::SqlError;
use super::plain::in_plain_words;

/// What stands for an error that the code of the application has raised, in its own words.
const RAISED: &str = "an error that the code of the application raises";

/// The classes of PostgreSQL's errors whose details and hints speak of the schema, of settings and of
/// sessions, and never of rows.
const WITHOUT_ROWS: [&str; 11] = ["0A", "25", "2B", "2D", "3D", "3F", "40", "42", "53", "55", "57"];

/// MySQL's errors of the classes 22 and 23 that name columns and keys alone.
const NAMES_ALONE: [u16; 8] = [1048, 1264, 1265, 1364, 1365, 1406, 1451, 1452];

/// MySQL's errors of other classes that repeat values.
const WITH_VALUES: [u16; 8] = [1366, 1367, 1411, 1525, 1526, 1916, 1918, 4078];

impl SqlError {
    /// The words of PostgreSQL's server, as they may be recorded and in full.
    pub(crate) fn of_postgres(error: &PgDatabaseError, at: Option<(usize, usize)>) -> SqlError {
        let full = SqlError {
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            ..SqlError::new(error.message(), error.code(), at)
        };
        let class = full.code.get(..2).unwrap_or_default();
        let speaks = WITHOUT_ROWS.contains(&class) && !is_raised(error);
        let short = SqlError {
            message: postgres(error),
            detail: full.detail.clone().filter(|_| speaks),
            hint: full.hint.clone().filter(|_| speaks),
            ..full.clone()
        };
        short.short_for(full)
    }

    /// The words of MySQL's server, as they may be recorded and in full.
    pub(crate) fn of_mysql(error: &MySqlDatabaseError, at: Option<(usize, usize)>) -> SqlError {
        let state = error.code().unwrap_or("HY000");
        let code = format!("{} ({state})", error.number());
        let short = SqlError::new(&mysql(error.number(), state, error.message()), &code, at);
        short.short_for(SqlError::new(error.message(), &code, at))
    }

    /// With these words to be shown to a person, where they say more.
    fn short_for(self, full: SqlError) -> SqlError {
        let full = (full != self).then(|| Box::new(full));
        SqlError { full, ..self }
    }
}

/// An error with its causes, as it may be recorded.
pub fn recorded(error: &(dyn Error + 'static)) -> String {
    if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
        return words(error.as_ref()).unwrap_or_else(|| error.message().to_owned());
    }
    if let Some(words) = in_plain_words(error) {
        return words;
    }
    match error.source() {
        Some(source) => format!("{error}: {}", recorded(source)),
        None => error.to_string(),
    }
}

/// What may be recorded of a server's words; `None` where it is SQLite, which repeats no values.
pub(crate) fn words(error: &dyn sqlx::error::DatabaseError) -> Option<String> {
    if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
        return Some(postgres(error));
    }
    let error = error.try_downcast_ref::<MySqlDatabaseError>()?;
    let (number, state) = (error.number(), error.code().unwrap_or("HY000"));
    Some(format!("{number} ({state}): {}", mysql(number, state, error.message())))
}

fn postgres(error: &PgDatabaseError) -> String {
    let message = error.message();
    match error.code().get(..2) {
        _ if is_raised(error) => RAISED.to_owned(),
        // What is wrong with a value: `invalid input syntax for type integer: "x"`.
        Some("22") => between(message, '"'),
        _ => message.to_owned(),
    }
}

/// Whether it is `RAISE`, `ASSERT` or a function like them that speaks.
fn is_raised(error: &PgDatabaseError) -> bool {
    let routine = error.routine().unwrap_or_default();
    ["exec_stmt_raise", "exec_stmt_assert"].contains(&routine)
        || ["P0001", "P0004"].contains(&error.code())
}

fn mysql(number: u16, state: &str, message: &str) -> String {
    let class = state.get(..2).unwrap_or_default();
    match number {
        // Duplicate entry 'x' for key 'k'; the name of the key comes last.
        1062 | 1586 => match message.rsplit_once("' for key ") {
            Some((_, key)) => format!("Duplicate entry '…' for key {key}"),
            None => between(message, '\''),
        },
        1526 => "Table has no partition for a value".to_owned(),
        _ if class == "45" || number == 1644 => RAISED.to_owned(),
        _ if NAMES_ALONE.contains(&number) => message.to_owned(),
        _ if ["22", "23"].contains(&class) || WITH_VALUES.contains(&number) => {
            between(message, '\'')
        }
        _ => message.to_owned(),
    }
}

/// Leaves out what stands between the first and the last of these quotes: the value has quotes of its
/// own, perhaps.
fn between(message: &str, quote: char) -> String {
    match (message.find(quote), message.rfind(quote)) {
        (Some(first), Some(last)) if first < last => {
            format!("{}…{}", &message[..=first], &message[last..])
        }
        (Some(first), _) => format!("{}…", &message[..=first]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{RAISED, between, mysql};

    #[test]
    fn values_are_left_out_and_names_are_not() {
        for (number, state, message, expected) in [
            (
                1062,
                "23000",
                "Duplicate entry 'a' b' for key 'PRIMARY'",
                "Duplicate entry '…' for key 'PRIMARY'",
            ),
            (
                1366,
                "22007",
                "Incorrect integer value: 'it''s' for column `a`.`b`.`c` at row 1",
                "Incorrect integer value: '…' for column `a`.`b`.`c` at row 1",
            ),
            (
                1526,
                "HY000",
                "Table has no partition for value 5",
                "Table has no partition for a value",
            ),
            (1644, "45000", "card 4711", RAISED),
            (1048, "23000", "Column 'a' cannot be null", "Column 'a' cannot be null"),
            (1146, "42S02", "Table 'a.b' doesn't exist", "Table 'a.b' doesn't exist"),
            (
                1690,
                "22003",
                "BIGINT value is out of range in '(4711 + 1)'",
                "BIGINT value is out of range in '…'",
            ),
        ] {
            assert_eq!(mysql(number, state, message), expected);
        }
        assert_eq!(between("invalid input: \"a\"b\"", '"'), "invalid input: \"…\"");
        assert_eq!(between("invalid input: \"a", '"'), "invalid input: \"…");
    }
}
