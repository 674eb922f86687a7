//! Restoring: all rows that still fit go back, in batches where that works, and by halves where it does
//! not, so that each row that stays has its reason. What becomes of a row is decided in one function,
//! [`verdict`].
//!
//! Nothing that is newer is overwritten. The newest entry comes first, and an older one fills only what
//! that has nothing for. A value goes back over what the body of the other half has just made of a row,
//! unless that computes it from what has changed since ([`Origin`]); where no body has just run, it goes
//! back only where nothing is.
//!
//! Foreign keys are looked at when everything is in place, so that neither the order of tables nor
//! cycles among them matter: what turns out to lead nowhere is taken out, and the rest is restored
//! anew, until all of it holds. All of it happens in a transaction, which is the caller's.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::archive::{Conflict, Restoration, Restored};
use sternway_model::effect::Lost;

use super::entry::{Stored, conflicts};
use super::shape::Shape;
use super::store::{Act, BATCH, Contents, Found, Inputs, Match, Place, RowStore, Value};
use super::{Layout, PREFIX, Result, reason};
use crate::failpoint::{Rule, holds};
use crate::origin::{Filled, Origin};

/// What waits to be restored, with what was found in its place: batches, the newest first, of groups
/// of entries that share their rows.
#[derive(Debug)]
pub struct Waiting(Vec<Vec<Group>>);

impl Waiting {
    /// Nothing.
    pub const NONE: Waiting = Waiting(Vec::new());

    /// Whether that is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tables that rows go back to.
    pub fn tables(&self) -> BTreeSet<&str> {
        self.0.iter().flatten().map(|group| group.layout.table.as_str()).collect()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What became of each entry.
    pub restored: Vec<Restoration>,
    /// The tables of the archive, by number, of which no row is left.
    pub emptied: Vec<i64>,
}

/// Where the body of the other half takes the values of a column of a table from.
pub type Origins<'a> = dyn Fn(&Filled<'_>, &str) -> Origin + Send + Sync + 'a;

/// Entries that share their rows.
#[derive(Debug)]
struct Group {
    entries: Vec<Stored>,
    data: i64,
    layout: Layout,
    kind: Kind,
    /// Whether a later batch has rows of its table too: then what is there is newer.
    older: bool,
    /// Of each column that went, where the other half takes its values from; `None` where that does not
    /// run now, so that anybody may have written since it did.
    origins: Option<Vec<Origin>>,
    /// Whether there is a table in the place of a whole one before the other half runs.
    is_theirs: bool,
    /// The columns of the key of a whole table that the other half gives nothing of a row or another table.
    plain_key: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Rows,
    Columns,
}

/// Lets entries stay whose rows are laid out as those of copies: nobody restores them by itself.
pub async fn leave<S: RowStore>(store: &mut S, entries: &[Stored]) -> Result<()> {
    for Stored { entry, data, .. } in entries {
        store.refuse(*data, None, reason::TAKEN_BACK).await?;
        let conflict = Conflict { reason: reason::TAKEN_BACK.to_owned(), rows: entry.rows };
        let conflicts = Some(conflict).filter(|it| it.rows > 0).into_iter().collect();
        store.note(entry.id, &Restored { back: 0, conflicts }).await?;
    }
    Ok(())
}

/// Looks at entries, and at what is in their place now: before the body of the other half, whose `origins`
/// tell what it makes of their columns, or without one. `begun`: whether part of that body has run already, so that what
/// is there may be its own.
pub async fn look_at<S: RowStore>(
    store: &mut S,
    entries: Vec<Stored>,
    origins: Option<&Origins<'_>>,
    begun: bool,
) -> Result<Waiting> {
    let mut batches: BTreeMap<i64, BTreeMap<i64, Group>> = BTreeMap::new();
    for stored in entries {
        let kind = match stored.entry.lost {
            Lost::Column { .. } => Kind::Columns,
            Lost::Rows { .. } => Kind::Rows,
            Lost::Table { .. } | Lost::Sequence { .. } => Kind::Table,
        };
        let (data, layout, entries) = (stored.data, stored.layout.clone(), Vec::new());
        // What is in a table that is there is somebody's, and newer.
        let is_theirs =
            kind == Kind::Table && !begun && store.table(&layout.table).await?.is_some();
        let plain_key = match origins {
            Some(origins) if kind == Kind::Table && !is_theirs => plain_key(&layout, origins),
            _ => Vec::new(),
        };
        let origins = match origins {
            Some(origins) if kind == Kind::Columns => Some(of(store, &layout, origins).await?),
            other => other.map(|_| Vec::new()),
        };
        let group =
            Group { entries, data, layout, kind, older: false, origins, plain_key, is_theirs };
        let batch = batches.entry(stored.step).or_default();
        batch.entry(data).or_insert(group).entries.push(stored);
    }
    let mut found: Vec<Vec<Group>> = Vec::new();
    for (_, batch) in batches.into_iter().rev() {
        let mut groups: Vec<Group> = batch.into_values().collect();
        for group in &mut groups {
            let newer = found.iter().flatten().any(|it| it.layout.table == group.layout.table)
                && holds(Rule::NewerStays);
            group.older = newer;
            let is_theirs = group.is_theirs || group.origins.is_none();
            group.layout.carried |= newer || (is_theirs && holds(Rule::NewerStays));
            look_in_place(store, group).await?;
        }
        // Values go back to rows that are there, and what is referred to has to be there first. What
        // looks for a row by its contents has to see the table without the others.
        let last = !store.defers_foreign_keys();
        groups.sort_by_key(|group| (group.kind == Kind::Columns) == last);
        found.push(groups);
    }
    Ok(Waiting(found))
}

fn plain_key(layout: &Layout, origins: &Origins<'_>) -> Vec<String> {
    let filled = Filled { table: &layout.table, columns: &layout.columns, new: &[] };
    let plain = |column: &&String| origins(&filled, column) == Origin::Constant;
    layout.key.iter().filter(plain).cloned().collect()
}

/// Where the other half takes the values of the columns from that went.
async fn of<S: RowStore>(
    store: &mut S,
    layout: &Layout,
    origins: &Origins<'_>,
) -> Result<Vec<Origin>> {
    let gone = layout.gone();
    let new: Vec<String> = gone.iter().filter_map(|at| layout.columns.get(*at).cloned()).collect();
    let mut columns = layout.columns.clone();
    let shape = store.table(&layout.table).await?;
    let there = shape.iter().flat_map(|it| &it.columns);
    columns.extend(there.clone().map(|it| it.name.clone()));
    let filled = Filled { table: &layout.table, columns: &columns, new: &new };
    let is_there = |column: &str| {
        let column = shape.as_ref().and_then(|it| it.column(column));
        column.is_some_and(|it| !it.generated) && holds(Rule::NewerStays)
    };
    // What it has now beside what was kept may be what the values are made of.
    let has_more = there.clone().any(|it| layout.at(&it.name).is_none());
    let of = |column: &String| match is_there(column) {
        true => Origin::Anybody,
        false => match origins(&filled, column) {
            Origin::Hidden if has_more => Origin::Elsewhere,
            origin => origin,
        },
    };
    Ok(new.iter().map(of).collect())
}

async fn look_in_place<S: RowStore>(store: &mut S, group: &Group) -> Result<()> {
    let Some(held) = group.held(store).await? else { return Ok(()) };
    store.begin_anew(group.data).await?;
    let (layout, key) = (&group.layout, group.layout.keys());
    let after = layout.after.as_deref().filter(|_| group.kind == Kind::Rows && !key.is_empty());
    let Some(after) = after else { return Ok(()) };
    let Some(shape) = store.table(after).await? else { return Ok(()) };
    let names: Option<Vec<String>> =
        key.iter().map(|at| layout.renamed(*at).map(str::to_owned)).collect();
    if !names.is_some_and(|names| shape.is_unique(&names)) {
        return Ok(());
    }
    let place = Place { key, ..group.place(held, shape) };
    store.look_in_place(&place).await?;
    match group.origins.is_some() && place.given().is_some() {
        true => store.look_for_alike(&place, Found::Like).await,
        false => Ok(()),
    }
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

impl Group {
    /// The table that holds its rows.
    async fn held<S: RowStore>(&self, store: &mut S) -> Result<Option<Shape>> {
        store.table(&format!("{PREFIX}{}", self.data)).await
    }

    /// Whether the other half has just made the table and numbered its rows anew.
    fn is_numbered_anew(&self, place: &Place) -> bool {
        let is_plain = |at: &usize| {
            !place.is_own(*at)
                || place.layout.columns.get(*at).is_some_and(|it| self.plain_key.contains(it))
        };
        let is_new = self.kind == Kind::Table && !self.older && holds(Rule::OnlyOnce);
        is_new && place.given().is_some() && place.key.iter().all(is_plain)
    }

    fn place(&self, held: Shape, shape: Shape) -> Place {
        let layout = self.layout.clone();
        let has = |(_, name): &(usize, &String)| shape.column(name).is_some_and(|it| !it.generated);
        let columns = layout.columns.iter().enumerate().filter(has).map(|(at, _)| at);
        let columns = columns.filter(|at| !layout.is_beside(*at)).collect();
        let key = if shape.is_unique(&layout.key) { layout.keys() } else { Vec::new() };
        let of_columns = self.kind == Kind::Columns;
        let inputs = match self.kind == Kind::Table && layout.anew {
            true => vec![Inputs::Anew; layout.columns.len()],
            false => self.inputs(&layout),
        };
        Place { data: self.data, layout, held, shape, columns, key, inputs, of_columns }
    }

    /// Of each column that went, by what it is known whether what it is computed from has changed since.
    fn inputs(&self, layout: &Layout) -> Vec<Inputs> {
        let columns = 0..layout.columns.len();
        let beside: Vec<usize> = columns.filter(|at| layout.is_beside(*at)).collect();
        let of = |origin: &Origin| match origin {
            Origin::Constant | Origin::Anybody => Inputs::Columns(Vec::new()),
            Origin::Row(_) | Origin::Hidden | Origin::Elsewhere if layout.anew => Inputs::Anew,
            Origin::Row(inputs) if inputs.iter().any(|it| layout.at(it).is_none()) => {
                Inputs::Unknown
            }
            // Nobody can tell whether the other rows are what they were.
            Origin::Elsewhere => Inputs::Unknown,
            // It was found by all that stayed.
            _ if layout.key.is_empty() => Inputs::Columns(Vec::new()),
            Origin::Row(inputs) => {
                let is_key =
                    |it: &String| layout.key.iter().any(|key| key.eq_ignore_ascii_case(it));
                let inputs = inputs.iter().filter(|it| !is_key(it));
                let known: Option<Vec<usize>> =
                    inputs.map(|it| layout.at(it).filter(|at| beside.contains(at))).collect();
                known.map_or(Inputs::Unknown, Inputs::Columns)
            }
            Origin::Hidden if layout.rest => Inputs::Columns(beside.clone()),
            Origin::Hidden => Inputs::Unknown,
        };
        self.origins.iter().flatten().map(of).collect()
    }
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

/// What becomes of a row.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
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
fn verdict(group: &Group, place: &Place, row: &Match) -> Verdict {
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
            _ if fits(origin, value) => back.push(*at),
            _ => stays.push(place.layout.columns.get(*at).map_or("", String::as_str)),
        }
    }
    back_and_stays(back, stays.is_empty(), || match &group.origins {
        Some(origins) if !origins.contains(&Origin::Anybody) => reason::computed(&stays),
        _ => reason::WRITTEN.to_owned(),
    })
}

/// Whether a value goes over what the row has there.
fn fits(origin: Option<&Origin>, value: Value) -> bool {
    match origin {
        None if !holds(Rule::NewerStays) => true,
        Some(_) if !holds(Rule::ComputedStays) => true,
        None | Some(Origin::Anybody) => value.blank,
        Some(Origin::Constant) => true,
        Some(Origin::Row(_)) => !value.moved,
        Some(Origin::Hidden | Origin::Elsewhere) => value.blank || !value.moved,
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
    for (at, value) in place.layout.gone().into_iter().zip(&row.values) {
        match value {
            _ if value.same || !place.columns.contains(&at) => {}
            _ if value.moved => {
                stays.push(place.layout.columns.get(at).map_or("", String::as_str));
            }
            _ => back.push(at),
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
        let mut broken: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
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
            for (why, rows) in broken {
                refuse(store, place.data, rows, why).await?;
            }
            return Ok(());
        }
        acts = left;
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
