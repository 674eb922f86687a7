//! What becomes of a row of the archive.

use super::waiting::{Group, Kind};
use crate::archive::reason;
use crate::archive::store::{Act, Found, Match, Place, Value};
use crate::failpoint::{Rule, holds};
use crate::origin::Origin;

/// What becomes of a row.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is there already.
    Back,
    /// It goes back so.
    Act(Act),
    /// It stays, for this reason.
    Stay(String),
    /// Some of its values go back so, and it stays because of the others.
    Part(Act, String),
}

fn stay(why: &str) -> Verdict {
    Verdict::Stay(why.to_owned())
}

/// Decides what becomes of a row of a group.
pub(super) fn verdict(group: &Group, place: &Place, row: &Match) -> Verdict {
    if row.unplaced {
        return stay(reason::NO_COLUMN);
    }
    match group.kind {
        Kind::Columns => value(group, place, row),
        // Those that the other half has brought back are there as they were. Of the rest nobody can
        // tell which rows they are now.
        Kind::Rows if group.layout.uncertain => match row.found {
            _ if row.is_same => Verdict::Back,
            Some(Found::There) => Verdict::Back,
            _ => stay(reason::LOST_TRACK),
        },
        Kind::Rows if row.changed => changed(group, place, row),
        Kind::Rows | Kind::Table => deleted(group, place, row),
    }
}

/// A row that stayed when columns of it went.
fn value(group: &Group, place: &Place, row: &Match) -> Verdict {
    let (columns, _) = place.gone_and_left();
    let by_key = !group.layout.key.is_empty();
    stay(match row.found {
        _ if columns.is_empty() => reason::NO_COLUMN,
        _ if by_key && place.key.is_empty() => reason::NO_KEY,
        _ if by_key && !row.is_there => reason::DELETED,
        _ if group.older && !by_key => reason::NEWER,
        _ if place.fires("UPDATE") => reason::TRIGGERS,
        Some(Found::Alike) => reason::ALIKE,
        Some(Found::Gone) => reason::DELETED,
        None if !by_key => reason::NO_KEY,
        _ => return set(group, place, row, &columns),
    })
}

/// Sets against what a row has the values that columns of it had.
fn set(group: &Group, place: &Place, row: &Match, columns: &[usize]) -> Verdict {
    let gone = place.layout.gone();
    let (mut back, mut stays) = (Vec::new(), Vec::new());
    for at in columns {
        let place_of = gone.iter().position(|it| it == at).unwrap_or_default();
        let value = row.values.get(place_of).copied().unwrap_or_default();
        let origin = group.origins.as_ref().and_then(|it| it.get(place_of));
        match value {
            _ if value.same => {}
            _ if fits(origin, value, place.layout.anew) => back.push(*at),
            _ => stays.push(place.layout.columns.get(*at).map_or("", String::as_str)),
        }
    }
    back_and_stays(back, stays.is_empty(), || match &group.origins {
        Some(origins) if !origins.contains(&Origin::Anybody) => reason::computed(&stays),
        _ => reason::WRITTEN.to_owned(),
    })
}

/// Whether a value goes over what the row has there. `noted`: what the other half would have made of it then.
fn fits(origin: Option<&Origin>, value: Value, noted: bool) -> bool {
    match origin {
        None if !holds(Rule::NewerStays) => true,
        Some(_) if !holds(Rule::ComputedStays) => true,
        None | Some(Origin::Anybody) => value.blank,
        Some(Origin::Constant) => true,
        Some(Origin::Row(_)) => !value.moved,
        Some(Origin::Hidden | Origin::Elsewhere) => !value.moved || value.blank && !noted,
    }
}

/// A row that the body changed: it gets the values back that the body changed, where nobody has written
/// to it since.
fn changed(group: &Group, place: &Place, row: &Match) -> Verdict {
    let columns = place.with_both();
    let by_key = !group.layout.key.is_empty();
    stay(match row.found {
        _ if columns.is_empty() => reason::NO_COLUMN,
        _ if by_key && place.key.is_empty() => reason::NO_KEY,
        _ if group.older && !by_key => reason::NEWER,
        _ if place.fires("UPDATE") => reason::TRIGGERS,
        Some(Found::Alike) => reason::ALIKE,
        Some(Found::Gone) => reason::DELETED,
        None if by_key => reason::DELETED,
        None => reason::NO_KEY,
        Some(Found::Other | Found::Taken | Found::Like | Found::Anew) => reason::CHANGED,
        // What the other half took away although nobody had touched it is as good as deleted.
        Some(Found::Same) if !row.is_there => return deleted(group, place, row),
        Some(Found::Same | Found::There) => {
            return Verdict::Act(Act::Set { columns, only_changed: true });
        }
    })
}

/// A row that is gone.
fn deleted(group: &Group, place: &Place, row: &Match) -> Verdict {
    // What is there may be the row itself, carried over, and newer.
    let is_newer = group.layout.carried || place.fires("UPDATE");
    stay(match row.found {
        _ if place.columns.is_empty() => reason::NO_COLUMN,
        _ if place.fires("INSERT") => reason::TRIGGERS,
        Some(Found::There) => return Verdict::Back,
        Some(Found::Taken) if !place.key.is_empty() => reason::TAKEN,
        Some(Found::Anew) if !row.is_there && holds(Rule::OnlyOnce) => reason::ANEW,
        _ if !row.is_there && row.was_made && holds(Rule::ComputedStays) => reason::UNMADE,
        _ if !row.is_there => return Verdict::Act(Act::Insert),
        _ if !is_newer && group.layout.anew && holds(Rule::ComputedStays) => {
            return merged(place, row);
        }
        _ if !is_newer => return Verdict::Act(Act::Replace),
        _ if row.is_same => return Verdict::Back,
        _ => reason::TAKEN,
    })
}

/// A row that is gone, and that the body has just made of others: it gets what was kept, but for what these
/// would have made otherwise when it was kept.
fn merged(place: &Place, row: &Match) -> Verdict {
    let (mut back, mut stays) = (Vec::new(), Vec::new());
    for (at, value) in place.judged.iter().zip(&row.values) {
        match value {
            _ if value.same || !place.columns.contains(at) => {}
            _ if value.moved => {
                stays.push(place.layout.columns.get(*at).map_or("", String::as_str));
            }
            _ => back.push(*at),
        }
    }
    back_and_stays(back, stays.is_empty(), || reason::computed(&stays))
}

/// Some values go back, and others may stay, for a reason.
fn back_and_stays(back: Vec<usize>, is_all: bool, why: impl FnOnce() -> String) -> Verdict {
    let nothing = back.is_empty();
    let act = Act::Set { columns: back, only_changed: false };
    match (nothing, is_all) {
        (true, true) => Verdict::Back,
        (false, true) => Verdict::Act(act),
        (true, false) => Verdict::Stay(why()),
        (false, false) => Verdict::Part(act, why()),
    }
}
