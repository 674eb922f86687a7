//! `status`: every migration, applied and pending.

use serde::Serialize;
use sternway_engine::walk::Standing;
use sternway_model::catalog::{Direction, FileName};
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;

use crate::words::table;

/// A track as it is listed.
#[derive(Debug)]
pub struct Listed {
    /// Its name; a folder that `-path` names has none.
    pub name: Option<String>,
    /// Its tracking table.
    pub table: String,
    /// Where it stands.
    pub row: TrackingRow,
    /// Its migrations.
    pub standings: Vec<Standing>,
}

/// `sternway.migrate.status/1`
#[derive(Debug, Serialize)]
pub struct Status {
    format: &'static str,
    applied: usize,
    pending: usize,
    tracks: Vec<TrackStatus>,
}

#[derive(Debug, Serialize)]
struct TrackStatus {
    name: Option<String>,
    table: String,
    applied: usize,
    pending: usize,
    version: Position,
    dirty: bool,
    /// Whether the database is ahead of the files.
    ahead: bool,
    migrations: Vec<MigrationStatus>,
}

#[derive(Debug, Serialize)]
struct MigrationStatus {
    version: u64,
    title: String,
    applied: bool,
    up: bool,
    down: bool,
}

impl Listed {
    fn applied(&self) -> usize {
        self.standings.iter().filter(|it| it.applied).count()
    }

    fn pending(&self) -> usize {
        self.standings.len() - self.applied()
    }

    fn ahead(&self) -> bool {
        let last = self.standings.last().map(|it| it.version);
        self.row.position > Position::from(last)
    }

    /// `core: 2 applied (at 2), 1 pending`
    fn summary(&self) -> String {
        let (applied, pending) = (self.applied(), self.pending());
        let name = self.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let row = self.row;
        match (self.ahead(), row.position, row.dirty) {
            (true, ..) => format!(
                "{name}{applied} applied, {pending} pending (the database is at {row}, ahead of these files)"
            ),
            (false, Position::Nothing, false) => {
                format!("{name}{applied} applied, {pending} pending")
            }
            (false, ..) => format!("{name}{applied} applied (at {row}), {pending} pending"),
        }
    }

    fn status(&self) -> TrackStatus {
        let migration = |it: &Standing| MigrationStatus {
            version: it.version,
            title: title(it),
            applied: it.applied,
            up: it.halves.contains(&Direction::Up),
            down: it.halves.contains(&Direction::Down),
        };
        TrackStatus {
            name: self.name.clone(),
            table: self.table.clone(),
            applied: self.applied(),
            pending: self.pending(),
            version: self.row.position,
            dirty: self.row.dirty,
            ahead: self.ahead(),
            migrations: self.standings.iter().map(migration).collect(),
        }
    }
}

fn title(standing: &Standing) -> String {
    FileName::parse(&standing.file).map(|name| name.title).unwrap_or_default()
}

/// How many migrations of all tracks are applied, and how many are pending.
fn sums(tracks: &[Listed]) -> (usize, usize) {
    let applied = tracks.iter().map(Listed::applied).sum();
    (applied, tracks.iter().map(Listed::pending).sum())
}

impl Status {
    /// The shape of these tracks.
    pub fn of(tracks: &[Listed]) -> Status {
        let (applied, pending) = sums(tracks);
        let tracks = tracks.iter().map(Listed::status).collect();
        Status { format: "sternway.migrate.status/1", applied, pending, tracks }
    }
}

/// Every migration of these tracks, applied and pending.
pub fn text(tracks: &[Listed]) -> String {
    let mut text = String::new();
    if tracks.len() > 1 {
        let (applied, pending) = sums(tracks);
        text.push_str(&format!("{applied} migration(s) applied, {pending} pending\n"));
    }
    for track in tracks {
        let rows: Vec<Vec<String>> = track.standings.iter().map(|it| row(it, track.row)).collect();
        text.push_str(&format!("{}\n{}", track.summary(), table(&rows)));
    }
    text
}

fn row(standing: &Standing, row: TrackingRow) -> Vec<String> {
    let state = match standing.applied {
        true if row.dirty && row.position == standing.version => "dirty",
        true => "applied",
        false => "pending",
    };
    let lacks = match standing.halves.as_slice() {
        [Direction::Up] => "no down file",
        [Direction::Down] => "no up file",
        _ => "",
    };
    let version = format!("  {}", standing.version);
    vec![version, title(standing), state.to_owned(), lacks.to_owned()]
}
