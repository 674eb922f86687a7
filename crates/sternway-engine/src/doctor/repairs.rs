//! The repairs of a body in doubt, each tried on a shadow where anything is run.

use sternway_database::Dialect;
use sternway_model::body::Mode;
use sternway_model::catalog::Direction;
use sternway_model::position::Position;

use super::trial::{Case, Trial};
use super::{Repair, RepairKind, Reported, Stays};
use crate::needed::without_not_null;
use crate::shadow::{PartialBody, RehearsalError};

/// How an index is dropped without holding anybody up.
const CONCURRENTLY: &str = "CONCURRENTLY ";

/// The repairs, where it is known how much of the body took effect.
pub(super) async fn of(
    case: &Case<'_>,
    trial: &mut Trial,
    reported: &Reported,
) -> Result<Vec<Repair>, RehearsalError> {
    let took = match (reported.took, trial.in_doubt.took.as_slice()) {
        (Some(reported), took) if took.contains(&reported) => reported,
        (None, [took]) => *took,
        _ => return Ok(Vec::new()),
    };
    let in_doubt = &trial.in_doubt;
    let dialect = case.shadow.dialect();
    let repair = |kind, direction, sql: String, to| Repair {
        kind,
        file: in_doubt.file.clone(),
        version: in_doubt.version,
        direction,
        unkept: unkept(dialect, &sql),
        sql,
        closed_by: Vec::new(),
        to,
    };
    let cleared = |how: &str, sql: String| -> String {
        let drops =
            in_doubt.invalid.iter().map(|name| format!("DROP INDEX {how}IF EXISTS {name};\n"));
        drops.collect::<String>() + &sql
    };
    let rest = match took {
        0 if in_doubt.invalid.is_empty() => {
            case.half(in_doubt.version, in_doubt.direction).map_or("", |(_, body)| body).to_owned()
        }
        took if took == in_doubt.parts.len() => String::new(),
        took => cleared(CONCURRENTLY, Dialect::joined(&in_doubt.parts[took..])),
    };
    let finish = repair(RepairKind::Finish, in_doubt.direction, rest, in_doubt.done);
    let back = in_doubt.direction.opposite();
    let (undo, stays) = if took == in_doubt.parts.len() {
        (None, Some(Stays::IsWhole))
    } else if took == 0 {
        let sql = if in_doubt.invalid.is_empty() {
            String::new()
        } else {
            cleared(CONCURRENTLY, String::new())
        };
        (Some(repair(RepairKind::Undo, back, sql, in_doubt.undone)), None)
    } else {
        match way_back(case, trial, took).await? {
            // In the one transaction of what takes columns away, so that these are kept.
            Some((sql, closed_by)) => {
                let undo = repair(RepairKind::Undo, back, cleared("", sql), in_doubt.undone);
                (Some(Repair { closed_by, ..undo }), None)
            }
            None => (None, Some(Stays::NoWayBack)),
        }
    };
    // What does not even run where nothing is in its way is no way out.
    let finish = Some(finish).filter(|_| {
        took == in_doubt.parts.len() || trial.after.last().is_some_and(Option::is_some)
    });
    trial.in_doubt.stays = stays;
    Ok(undo.into_iter().chain(finish).collect())
}

/// The statements of the other half that lead from the part that took effect to where nothing of it
/// had, tried on the shadow, and those behind what the archive restores.
async fn way_back(
    case: &Case<'_>,
    trial: &Trial,
    took: usize,
) -> Result<Option<(String, Vec<String>)>, RehearsalError> {
    let in_doubt = &trial.in_doubt;
    let other = in_doubt.direction.opposite();
    let Some((_, body)) = case.half(in_doubt.version, other) else { return Ok(None) };
    let forth = case.step(in_doubt, in_doubt.direction);
    let took: Vec<&str> = in_doubt.parts[..took].iter().map(String::as_str).collect();
    let statements = case.shadow.dialect().parts(body);
    let dialect = case.shadow.dialect();
    let (forth, took, statements) = (&forth, &took[..], &statements[..]);
    let half = PartialBody { dialect, forth, took, statements };
    let way = half.way_back(async || case.shadow(in_doubt.undone).await).await?;
    let Some(way) = way else { return Ok(None) };
    if dialect.fills_needed() {
        return Ok(Some((way, Vec::new())));
    }
    let mut there = case.shadow(in_doubt.undone).await?;
    for statement in took {
        there.run_text(forth, statement).await?;
    }
    Ok(Some(without_not_null(dialect, there, forth, way).await?))
}

/// Writing the row and nothing else.
pub(super) fn set_row(to: Position) -> Repair {
    let (version, direction) = (to.number().unwrap_or_default(), Direction::Up);
    Repair {
        kind: RepairKind::SetRow,
        file: String::new(),
        version,
        direction,
        sql: String::new(),
        closed_by: Vec::new(),
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
    lost.flat_map(|facts| facts.destroys).map(|it| it.what.to_string()).collect()
}
