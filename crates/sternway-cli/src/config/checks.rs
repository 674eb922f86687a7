//! `[[check]]`: what the data has to be, before or after a journey.

use serde::Deserialize;
use sternway_model::catalog::Track;
use sternway_model::check::{Check, Severity, When};

use super::expand::expand;
use crate::failure::{Exit, Failure};

/// `[[check]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckTable {
    at: When,
    sql: String,
    message: String,
    #[serde(default)]
    severity: Severity,
    rows: Option<String>,
    migration: Option<String>,
    #[serde(default)]
    again: bool,
}

/// Reads the checks of the settings.
pub fn checks(tables: Vec<CheckTable>, tracks: &[Track]) -> Result<Vec<Check>, Failure> {
    tables.into_iter().map(|table| check(table, tracks)).collect()
}

fn check(table: CheckTable, tracks: &[Track]) -> Result<Check, Failure> {
    let CheckTable { at, sql, message, severity, rows, migration, again } = table;
    let message = expand(&message)?;
    let wrong = |what: &str| {
        let failure = Failure::new(format!("the check `{message}` {what}"), Exit::Usage);
        failure.hint("a check's `migration` is a track and a number, such as \"core 7\"")
    };
    let migration = match migration {
        None if again => return Err(wrong("does not say which migration to run again")),
        None => None,
        Some(_) if again && at == When::Before => {
            return Err(wrong("is asked before a journey, which runs nothing again"));
        }
        Some(text) => {
            let (track, number) = text.rsplit_once(' ').unwrap_or_default();
            let track = tracks.iter().find(|it| it.name.0 == track.trim());
            let (Some(track), Ok(number)) = (track, number.parse()) else {
                return Err(wrong(&format!("is of migration `{text}`, which is none")));
            };
            Some((track.name.clone(), number))
        }
    };
    let rows = rows.map(|it| expand(&it)).transpose()?;
    Ok(Check {
        at,
        sql: expand(&sql)?,
        message,
        severity,
        rows,
        migration,
        again,
        adds: None,
        count: None,
        firm: false,
    })
}
