//! Restoring: all rows that still fit go back, in batches where that works, and by halves where it does
//! not, so that each row that stays has its reason. What becomes of a row is decided in one function,
//! [`verdict()`].
//!
//! Nothing that is newer is overwritten. The newest entry comes first, and an older one fills only what
//! that has nothing for. A value goes back over what the body of the other half has just made of a row,
//! unless that computes it from what has changed since ([`Origin`]); where no body has just run, it goes
//! back only where nothing is.
//!
//! Foreign keys are looked at when everything is in place, so that neither the order of tables nor
//! cycles among them matter: what turns out to lead nowhere is taken out, and the rest is restored
//! anew, until all of it holds. All of it happens in a transaction, which is the caller's.

mod verdict;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::{Restoration, Restored};

use self::verdict::{Verdict, verdict};
use self::waiting::{Group, Kind};
pub use self::waiting::{Origins, Waiting, look_at};
use super::entry::{Stored, conflicts, left};
use super::store::{Act, BATCH, Contents, Found, Place, RowStore};
use super::{Result, reason};
use crate::origin::Origin;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What became of each entry.
    pub restored: Vec<Restoration>,
    /// The tables of the archive, by number, of which no row is left.
    pub emptied: Vec<i64>,
}

/// Lets entries stay whose rows are laid out as those of copies: nobody restores them by itself.
pub async fn leave<S: RowStore>(store: &mut S, entries: &[Stored]) -> Result<Vec<Restoration>> {
    let mut all = Vec::new();
    for Stored { entry, data, .. } in entries {
        let restoration = left(entry);
        store.refuse(*data, None, reason::left(&entry.lost)).await?;
        store.note(entry.id, &restoration.restored).await?;
        all.push(restoration);
    }
    Ok(all)
}

/// Lets the tables of what waits go on with their numbers where they were.
pub async fn advance<S: RowStore>(store: &mut S, waiting: &Waiting) -> Result<()> {
    for group in waiting.0.iter().flatten().filter(|group| group.kind != Kind::Columns) {
        let Some(sequence) = group.layout.sequence else { continue };
        if let Some(shape) = store.table(&group.layout.table).await? {
            store.advance(&shape, sequence).await?;
        }
    }
    Ok(())
}

/// Restores what waits, in the transaction that is open.
pub async fn restore<S: RowStore>(store: &mut S, waiting: Waiting) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    supersede(store, &waiting).await?;
    for groups in waiting.0 {
        let mut batch = Vec::new();
        for group in groups {
            let held = group.held(store).await?;
            let shape = store.table(&group.layout.table).await?;
            let (is_held, is_there) = (held.is_some(), shape.is_some());
            let place = held.zip(shape).map(|(held, shape)| group.place(held, shape));
            batch.push(Aim { group, is_held, is_there, place });
        }
        fit(store, &batch).await?;
        for aim in batch {
            account(store, aim, &mut outcome).await?;
        }
    }
    Ok(outcome)
}

/// Keeps older entries from what later ones have: asked before any of them is restored.
async fn supersede<S: RowStore>(store: &mut S, waiting: &Waiting) -> Result<()> {
    let mut newer: Vec<&Group> = Vec::new();
    for groups in &waiting.0 {
        for group in groups.iter().filter(|group| group.older) {
            let same =
                |it: &&&Group| it.kind == group.kind && it.layout.table == group.layout.table;
            for later in newer.iter().filter(same) {
                let ids = [group, later].map(|it| it.entries.first().map_or(0, |it| it.entry.id));
                let (of, later) = (place_of(store, group).await?, place_of(store, later).await?);
                let (Some(place), Some(later)) = (of, later) else { continue };
                // Where the table went in between, a row with the same key is another one.
                let went = place.of_columns && store.went(&place.layout.table, ids).await?;
                match went {
                    true => store.refuse(place.data, None, reason::NEWER).await?,
                    false => store.supersede(&place, &later).await?,
                }
            }
        }
        newer.extend(groups);
    }
    Ok(())
}

/// Where a group goes, unless one of the two tables is not there.
async fn place_of<S: RowStore>(store: &mut S, group: &Group) -> Result<Option<Place>> {
    let held = group.held(store).await?;
    let shape = store.table(&group.layout.table).await?;
    Ok(held.zip(shape).map(|(held, shape)| group.place(held, shape)))
}

/// A group, and where it goes.
struct Aim {
    group: Group,
    /// Whether the table that holds its rows is there.
    is_held: bool,
    /// Whether the table that they go back to is.
    is_there: bool,
    /// Both, if both are.
    place: Option<Place>,
}

/// Restores a batch until every foreign key of it holds.
async fn fit<S: RowStore>(store: &mut S, batch: &[Aim]) -> Result<()> {
    let mut orphans: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    loop {
        store.mark("sternway_fit").await?;
        for aim in batch.iter().filter(|aim| aim.is_held) {
            let data = aim.group.data;
            if let Some(known) = orphans.get(&data) {
                refuse(store, data, known.iter().copied(), reason::ORPHAN).await?;
            }
            match &aim.place {
                Some(place) => apply(store, &aim.group, place).await?,
                None => store.refuse(data, None, reason::NO_TABLE).await?,
            }
        }
        let mut holds = true;
        for place in batch.iter().filter_map(|aim| aim.place.as_ref()) {
            let found = lead_nowhere(store, place).await?;
            holds &= found.is_empty();
            orphans.entry(place.data).or_default().extend(found);
        }
        store.unmark("sternway_fit", holds).await?;
        if holds {
            return Ok(());
        }
    }
}

async fn refuse<S: RowStore>(
    store: &mut S,
    data: i64,
    rows: impl IntoIterator<Item = i64>,
    why: &str,
) -> Result<()> {
    let rows: Vec<i64> = rows.into_iter().collect();
    for some in rows.chunks(BATCH) {
        store.refuse(data, Some(some), why).await?;
    }
    Ok(())
}

/// Restores a group as far as its table lets it. Everything is decided before anything is written.
async fn apply<S: RowStore>(store: &mut S, group: &Group, place: &Place) -> Result<()> {
    let (both, (values, stay)) = (place.with_both(), place.gone_and_left());
    // A row that is to be written has to have a key or a number.
    let by_number = group.layout.key.is_empty() && place.shape.rowid.is_some();
    let find = match group.kind {
        Kind::Columns if by_number => {
            Some(Contents::Pair { changed: false, stay: &stay, values: &values })
        }
        Kind::Rows if !group.layout.uncertain && by_number => {
            Some(Contents::Pair { changed: true, stay: &both, values: &both })
        }
        Kind::Table => Some(Contents::Whole),
        Kind::Rows if group.layout.uncertain => Some(Contents::Whole),
        Kind::Columns | Kind::Rows => None,
    };
    if let Some(contents) = find.filter(|_| place.key.is_empty()) {
        store.find(place, contents).await?;
    }
    if group.is_numbered_anew(place) && !place.fires("DELETE") {
        store.twins_give_way(place).await?;
    }
    if group.has_seeds() && !place.fires("UPDATE") {
        seeds_give_way(store, place).await?;
    }
    if matches!(group.kind, Kind::Table | Kind::Rows) && place.given().is_some() {
        store.look_for_alike(place, Found::Anew).await?;
    }
    let uniform = uniform(store, group, place).await?;
    let mut acts: BTreeMap<Act, Vec<i64>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let rows = store.matching(place, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.row;
        let (mut stays, mut deleted) = (BTreeMap::new(), Vec::new());
        for mut row in rows {
            row.values.iter_mut().zip(&uniform).for_each(|(it, uniform)| it.blank |= uniform);
            match verdict(group, place, &row) {
                Verdict::Back => {}
                Verdict::Stay(why) => stays.entry(why).or_insert_with(Vec::new).push(row.row),
                Verdict::Part(act, why) => {
                    stays.entry(why).or_insert_with(Vec::new).push(row.row);
                    acts.entry(act).or_default().push(row.row);
                }
                Verdict::Act(act) => {
                    if row.changed && act == Act::Insert {
                        deleted.push(row.row);
                    }
                    acts.entry(act).or_default().push(row.row);
                }
            }
        }
        for (why, rows) in stays {
            store.refuse(place.data, Some(&rows), &why).await?;
        }
        if !deleted.is_empty() {
            store.take_for_deleted(place.data, &deleted).await?;
        }
    }
    write(store, place, acts).await
}

/// Makes of the rows that the body has just put into a table the kept ones that have the same in another key, such as
/// a name: the body has given them numbers of its own. One that others refer to stays, and the kept one is told of.
async fn seeds_give_way<S: RowStore>(store: &mut S, place: &Place) -> Result<()> {
    if place.key.is_empty() {
        return Ok(());
    }
    for unique in place.uniques_beside() {
        let rows = store.claimants(place, &unique).await?;
        store.check_foreign_keys(true).await?;
        write_some(store, place, &Act::Claim { unique }, &rows).await?;
    }
    Ok(())
}

/// Of each column that went, whether the body has given all rows the same, as far as its words do not tell.
async fn uniform<S: RowStore>(store: &mut S, group: &Group, place: &Place) -> Result<Vec<bool>> {
    let mut uniform = Vec::new();
    for (at, origin) in place.layout.gone().into_iter().zip(group.origins.iter().flatten()) {
        let asked = *origin == Origin::Hidden && place.columns.contains(&at);
        uniform.push(asked && store.is_uniform(place, at).await?);
    }
    Ok(uniform)
}

/// Writes rows, and those that break a rule again as long as there is progress: one may wait for another
/// to move away.
async fn write<S: RowStore>(
    store: &mut S,
    place: &Place,
    mut acts: BTreeMap<Act, Vec<i64>>,
) -> Result<()> {
    let count = |of: &BTreeMap<Act, Vec<i64>>| of.values().map(Vec::len).sum::<usize>();
    loop {
        let mut left: BTreeMap<Act, Vec<i64>> = BTreeMap::new();
        let mut broken = Broken::new();
        for (act, rows) in &acts {
            // Who refers to whom is looked at when all are in place. Only who refers to a row that stays
            // may have a say in its change.
            store.check_foreign_keys(matches!(act, Act::Set { .. })).await?;
            for (row, why) in write_some(store, place, act, rows).await? {
                left.entry(act.clone()).or_default().push(row);
                broken.entry(why).or_default().push(row);
            }
        }
        store.check_foreign_keys(true).await?;
        if count(&left) == count(&acts) {
            return match broken.contains_key(reason::UNIQUE) {
                true => change_places(store, place, left, broken).await,
                false => refuse_all(store, place, broken).await,
            };
        }
        acts = left;
    }
}

/// Rows, by the rule that keeps them from what they are to get.
type Broken = BTreeMap<&'static str, Vec<i64>>;

async fn refuse_all<S: RowStore>(store: &mut S, place: &Place, broken: Broken) -> Result<()> {
    for (why, rows) in broken {
        refuse(store, place.data, rows, why).await?;
    }
    Ok(())
}

/// Writes rows that stand in one another's way, because each is to have what another one has: all of them give
/// that up first. Those that break a rule even so stay in the archive, and what they have.
async fn change_places<S: RowStore>(
    store: &mut S,
    place: &Place,
    mut acts: BTreeMap<Act, Vec<i64>>,
    mut broken: Broken,
) -> Result<()> {
    const MARK: &str = "sternway_places";
    loop {
        let vacates = |act: &Act| match act {
            Act::Set { columns, only_changed } => {
                Some(Act::Vacate { columns: columns.clone(), only_changed: *only_changed })
            }
            Act::Replace => {
                Some(Act::Vacate { columns: place.columns.clone(), only_changed: false })
            }
            Act::Insert | Act::Claim { .. } | Act::Vacate { .. } => None,
        };
        if !acts.keys().any(|act| vacates(act).is_some()) {
            return refuse_all(store, place, broken).await;
        }
        store.mark(MARK).await?;
        let mut left = Vec::new();
        let mut can = true;
        store.check_foreign_keys(true).await?;
        for (act, rows) in &acts {
            let Some(vacate) = vacates(act) else { continue };
            can = can && write_some(store, place, &vacate, rows).await?.is_empty();
        }
        for (act, rows) in acts.iter().filter(|_| can) {
            left.extend(write_some(store, place, act, rows).await?);
        }
        let all = can && left.is_empty();
        store.unmark(MARK, all).await?;
        if all {
            return Ok(());
        }
        if !can {
            return refuse_all(store, place, broken).await;
        }
        for (row, why) in left {
            acts.values_mut().for_each(|rows| rows.retain(|it| *it != row));
            broken.values_mut().for_each(|rows| rows.retain(|it| *it != row));
            refuse(store, place.data, [row], why).await?;
        }
        acts.retain(|_, rows| !rows.is_empty());
    }
}

/// Writes rows in batches, by halves where a rule forbids one. Returns the rows that break a rule.
async fn write_some<S: RowStore>(
    store: &mut S,
    place: &Place,
    act: &Act,
    rows: &[i64],
) -> Result<Vec<(i64, &'static str)>> {
    let mut broken = Vec::new();
    let mut open: Vec<&[i64]> = rows.chunks(BATCH).rev().collect();
    while let Some(some) = open.pop() {
        match (store.write(place, act, some).await?, some) {
            (Ok(()), _) => {}
            (Err(why), [row]) => broken.push((*row, why)),
            (Err(_), some) => {
                let (first, second) = some.split_at(some.len() / 2);
                open.extend([second, first]);
            }
        }
    }
    Ok(broken)
}

/// The rows that are restored and refer to what is not there.
async fn lead_nowhere<S: RowStore>(store: &mut S, place: &Place) -> Result<BTreeSet<i64>> {
    let mut found = BTreeSet::new();
    for key in &place.shape.foreign_keys {
        let is_written = |(column, _): &(String, String)| {
            place.layout.at(column).is_some_and(|at| place.columns.contains(&at))
        };
        let own = key.columns.iter().all(is_written);
        if !own && (place.key.is_empty() || !key.columns.iter().any(is_written)) {
            continue;
        }
        let mut after = 0;
        loop {
            let some = store.orphans(place, key, own, after).await?;
            let Some(last) = some.last() else { break };
            after = *last;
            found.extend(some);
        }
    }
    Ok(found)
}

/// Counts what is restored and what stays, and throws away what is restored.
async fn account<S: RowStore>(store: &mut S, aim: Aim, outcome: &mut Outcome) -> Result<()> {
    let (back, left) = match aim.is_held {
        true => store.empty(aim.group.data).await?,
        false => (0, BTreeMap::new()),
    };
    let conflicts = conflicts(left);
    if aim.is_held && conflicts.is_empty() {
        outcome.emptied.push(aim.group.data);
    }
    // Where nothing fits of what nobody has tried to restore before, and the other half does not run now,
    // nothing was tried: it goes on waiting for that.
    let untried = aim.group.entries.iter().all(|it| it.entry.restored.is_none());
    let nothing = !aim.is_there || (back == 0 && !conflicts.is_empty());
    let in_vain = aim.group.origins.is_none() && untried && nothing;
    if in_vain && aim.is_held {
        store.begin_anew(aim.group.data).await?;
    }
    for Stored { entry, .. } in aim.group.entries {
        let before = entry.restored.map_or(0, |restored| restored.back);
        let restored = Restored { back: before + back, conflicts: conflicts.clone() };
        if !in_vain {
            store.note(entry.id, &restored).await?;
        }
        outcome.restored.push(Restoration { id: entry.id, lost: entry.lost, restored });
    }
    Ok(())
}
