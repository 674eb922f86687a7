//! The ways out of a body in doubt, each tried on a shadow where anything is run.

use sternway_database::Dialect;
use sternway_model::body::Mode;
use sternway_model::catalog::Direction;

use super::trial::{Case, Trial};
use super::{Exit, Stays, Told, Way};
use crate::rehearse::{HalfDone, RehearsalError};

/// How an index is dropped without holding anybody up.
const CONCURRENTLY: &str = "CONCURRENTLY ";

/// The ways out, where it is known how much of the body took effect.
pub(super) async fn out_of(
    case: &Case<'_>,
    trial: &mut Trial,
    told: &Told,
) -> Result<Vec<Exit>, RehearsalError> {
    let took = match (told.took, trial.doubt.took.as_slice()) {
        (Some(told), took) if took.contains(&told) => told,
        (None, [took]) => *took,
        _ => return Ok(Vec::new()),
    };
    let doubt = &trial.doubt;
    let dialect = case.shadow.dialect();
    let exit = |way, direction, sql: String, to| Exit {
        way,
        file: doubt.file.clone(),
        version: doubt.version,
        direction,
        unkept: unkept(dialect, &sql),
        sql,
        to,
    };
    let cleared = |how: &str, sql: String| -> String {
        let drops = doubt.invalid.iter().map(|name| format!("DROP INDEX {how}IF EXISTS {name};\n"));
        drops.collect::<String>() + &sql
    };
    let rest = match took {
        0 if doubt.invalid.is_empty() => {
            case.half(doubt.version, doubt.direction).map_or("", |(_, body)| body).to_owned()
        }
        took if took == doubt.parts.len() => String::new(),
        took => cleared(CONCURRENTLY, Dialect::joined(&doubt.parts[took..])),
    };
    let finish = exit(Way::Finish, doubt.direction, rest, doubt.done);
    let back = doubt.direction.opposite();
    let (undo, stays) = if took == doubt.parts.len() {
        (None, Some(Stays::IsWhole))
    } else if took == 0 {
        let sql = if doubt.invalid.is_empty() {
            String::new()
        } else {
            cleared(CONCURRENTLY, String::new())
        };
        (Some(exit(Way::Undo, back, sql, doubt.undone)), None)
    } else {
        match way_back(case, trial, took).await? {
            // In the one transaction of what takes columns away, so that these are kept.
            Some(sql) => (Some(exit(Way::Undo, back, cleared("", sql), doubt.undone)), None),
            None => (None, Some(Stays::NoWayBack)),
        }
    };
    trial.doubt.stays = stays;
    Ok(undo.into_iter().chain([finish]).collect())
}

/// The statements of the other half that lead from the part that took effect to where nothing of it
/// had, tried on the shadow.
async fn way_back(
    case: &Case<'_>,
    trial: &Trial,
    took: usize,
) -> Result<Option<String>, RehearsalError> {
    let doubt = &trial.doubt;
    let other = doubt.direction.opposite();
    let Some((_, body)) = case.half(doubt.version, other) else { return Ok(None) };
    let (forth, back) = (case.step(doubt, doubt.direction), case.step(doubt, other));
    let took: Vec<&str> = doubt.parts[..took].iter().map(String::as_str).collect();
    let statements = case.shadow.dialect().parts(body);
    let half = HalfDone { forth: &forth, took: &took, back: &back, statements: &statements };
    half.way_back(async || case.shadow(doubt.undone).await).await
}

/// Writing the row and nothing else.
pub(super) fn set_row(to: Option<u64>) -> Exit {
    let (version, direction) = (to.unwrap_or_default(), Direction::Up);
    Exit {
        way: Way::SetRow,
        file: String::new(),
        version,
        direction,
        sql: String::new(),
        to,
        unkept: Vec::new(),
    }
}

/// What statements destroy that is not kept because not all of them can run in one transaction.
fn unkept(dialect: Dialect, sql: &str) -> Vec<String> {
    if dialect.facts(sql).mode == Mode::Transaction {
        return Vec::new();
    }
    let facts = dialect.parts(sql).into_iter().map(|part| dialect.facts(part));
    let alone = |mode: &Mode| matches!(mode, Mode::Dirty { .. });
    let lost = facts.filter(|facts| match dialect {
        // It keeps statement by statement.
        Dialect::Postgres => alone(&facts.mode),
        Dialect::MySql | Dialect::Sqlite => !alone(&facts.mode),
    });
    let lost = lost.flat_map(|facts| facts.destroys).map(|it| it.what);
    lost.filter(|it| !it.starts_with("index")).collect()
}
