//! What waits to be restored, and what is found in its place before the body of the other half runs.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::effect::Lost;

use crate::archive::entry::Stored;
use crate::archive::shape::Shape;
use crate::archive::store::{Found, Inputs, Place, RowStore};
use crate::archive::{Layout, PREFIX, Result};
use crate::failpoint::{Rule, holds};
use crate::origin::{Filled, Origin};

/// What waits to be restored, with what was found in its place: batches, the newest first, of groups
/// of entries that share their rows.
#[derive(Debug)]
pub struct Waiting(pub(super) Vec<Vec<Group>>);

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

/// Where the body of the other half takes the values of a column of a table from.
pub type Origins<'a> = dyn Fn(&Filled<'_>, &str) -> Origin + Send + Sync + 'a;

/// Entries that share their rows.
#[derive(Debug)]
pub(super) struct Group {
    pub entries: Vec<Stored>,
    pub data: i64,
    pub layout: Layout,
    pub kind: Kind,
    /// Whether a later batch has rows of its table too: then what is there is newer.
    pub older: bool,
    /// Of each column that went, where the other half takes its values from; `None` where that does not
    /// run now, so that anybody may have written since it did.
    pub origins: Option<Vec<Origin>>,
    /// The columns of rows that the other half inserts which it gives nothing of a row or another table.
    plain: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Rows,
    Columns,
}

impl Group {
    /// The table that holds its rows.
    pub async fn held<S: RowStore>(&self, store: &mut S) -> Result<Option<Shape>> {
        store.table(&format!("{PREFIX}{}", self.data)).await
    }

    /// Whether the other half has just made the table and numbered its rows anew.
    pub fn is_numbered_anew(&self, place: &Place) -> bool {
        let is_plain = |at: &usize| {
            !place.is_own(*at)
                || place.layout.columns.get(*at).is_some_and(|it| self.plain.contains(it))
        };
        let is_new = self.kind == Kind::Table && !self.older && holds(Rule::OnlyOnce);
        is_new && place.given().is_some() && place.key.iter().all(is_plain)
    }

    /// Whether the other half has just made rows of the table: those that were not there before are its own.
    pub fn has_seeds(&self) -> bool {
        let its_own = !self.layout.carried && !self.layout.uncertain && !self.older;
        self.kind != Kind::Columns && self.origins.is_some() && its_own && holds(Rule::OnlyOnce)
    }

    pub fn place(&self, held: Shape, shape: Shape) -> Place {
        let layout = self.layout.clone();
        let has = |(_, name): &(usize, &String)| shape.column(name).is_some_and(|it| !it.generated);
        let columns = layout.columns.iter().enumerate().filter(has).map(|(at, _)| at);
        let columns = columns.filter(|at| !layout.is_beside(*at)).collect();
        let key = if shape.is_unique(&layout.key) { layout.keys() } else { Vec::new() };
        let of_columns = self.kind == Kind::Columns;
        let lost = self.entries.first().map(|it| &it.entry.lost);
        let judged = lost.map_or_else(Vec::new, |lost| layout.judged(lost));
        let inputs = match !of_columns && layout.anew {
            true => {
                let name = |at: &usize| layout.columns.get(*at);
                let of = |at: &usize| match name(at).is_some_and(|it| self.plain.contains(it)) {
                    true => Inputs::Columns(Vec::new()),
                    false => Inputs::Anew,
                };
                judged.iter().map(of).collect()
            }
            false => self.inputs(&layout),
        };
        Place { data: self.data, layout, held, shape, columns, key, judged, inputs, of_columns }
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
        let (data, mut layout, entries) = (stored.data, stored.layout.clone(), Vec::new());
        // What is in a table that is there is somebody's, and newer.
        let is_theirs =
            kind == Kind::Table && !begun && store.table(&layout.table).await?.is_some();
        layout.carried |= is_theirs && holds(Rule::NewerStays);
        let plain = match origins {
            Some(origins) if kind != Kind::Columns && !is_theirs => plain(&layout, origins),
            _ => Vec::new(),
        };
        let origins = match origins {
            Some(origins) if kind == Kind::Columns => Some(of(store, &layout, origins).await?),
            other => other.map(|_| Vec::new()),
        };
        let group = Group { entries, data, layout, kind, older: false, origins, plain };
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
            group.layout.carried |= newer || (group.origins.is_none() && holds(Rule::NewerStays));
            look_in_place(store, group, begun).await?;
        }
        // Values go back to rows that are there, and what is referred to has to be there first. What
        // looks for a row by its contents has to see the table without the others.
        let last = !store.defers_foreign_keys();
        groups.sort_by_key(|group| (group.kind == Kind::Columns) == last);
        found.push(groups);
    }
    Ok(Waiting(found))
}

fn plain(layout: &Layout, origins: &Origins<'_>) -> Vec<String> {
    let filled = Filled { table: &layout.table, columns: &layout.columns, new: &[] };
    let plain = |column: &&String| origins(&filled, column) == Origin::Constant;
    layout.columns.iter().filter(plain).cloned().collect()
}

/// Where the other half takes the values of the columns from that went.
async fn of<S: RowStore>(
    store: &mut S,
    layout: &Layout,
    origins: &Origins<'_>,
) -> Result<Vec<Origin>> {
    let shape = store.table(&layout.table).await?;
    let (new, columns) = (layout.gone_names(), layout.columns_and(shape.as_ref()));
    let filled = Filled { table: &layout.table, columns: &columns, new: &new };
    let is_there = |column: &str| {
        let column = shape.as_ref().and_then(|it| it.column(column));
        column.is_some_and(|it| !it.generated) && holds(Rule::NewerStays)
    };
    // What it has now beside what was kept may be what the values are made of.
    let has_more = columns.iter().any(|it| layout.at(it).is_none());
    let of = |column: &String| match is_there(column) {
        true => Origin::Anybody,
        false => match origins(&filled, column) {
            Origin::Hidden if has_more => Origin::Elsewhere,
            origin => origin,
        },
    };
    Ok(new.iter().map(of).collect())
}

async fn look_in_place<S: RowStore>(store: &mut S, group: &Group, begun: bool) -> Result<()> {
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
    for unique in place.uniques_beside() {
        let stays = |at: &usize| layout.renamed(*at).is_some();
        if unique.iter().all(stays) {
            store.look_for_holders(&place, &unique).await?;
        }
    }
    // What the body has made already is no other one than what it makes later.
    match group.origins.is_some() && !begun && place.given().is_some() {
        true => store.look_for_alike(&place, Found::Like).await,
        false => Ok(()),
    }
}
