//! Snapshots, and what became of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use sternway_database::Carried;
use sternway_model::catalog::{Digest, Release, TrackName};
use sternway_model::effect::size;
use sternway_model::state::TrackingRow;
use sternway_snapshot::{Found, Leftovers, Manifest, Progress, Since, SnapshotError};

use crate::Paint;
use crate::error::in_a_line;
use crate::words::{plural, table};

/// `sternway.snapshot/1`
#[derive(Debug, Serialize)]
pub struct Snapshot {
    format: &'static str,
    id: String,
    app: String,
    store: String,
    taken_at: String,
    seconds: f64,
    release: Option<Release>,
    tracks: BTreeMap<TrackName, TrackingRow>,
    dialect: String,
    server: String,
    database: String,
    database_bytes: u64,
    tool: String,
    bytes: u64,
    rows: u64,
    fingerprint: Digest,
    tables: BTreeMap<String, u64>,
    written_meanwhile: Vec<String>,
    encrypted: bool,
    copy: Option<String>,
    files: Vec<File>,
    proven: Option<Proven>,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: u64,
    sha256: Digest,
}

#[derive(Debug, Serialize)]
struct Proven {
    at: String,
    seconds: f64,
    server: String,
}

impl Snapshot {
    /// What a manifest says.
    pub fn of(manifest: &Manifest, store: String) -> Snapshot {
        let files = manifest.files.iter();
        let files =
            files.map(|it| File { name: it.name.clone(), bytes: it.bytes, sha256: it.sha256 });
        Snapshot {
            format: "sternway.snapshot/1",
            id: manifest.id.clone(),
            app: manifest.app.clone(),
            store,
            taken_at: manifest.taken_at.clone(),
            seconds: manifest.seconds,
            release: manifest.release.clone(),
            tracks: manifest.tracks.clone(),
            dialect: manifest.dialect.clone(),
            server: manifest.server.clone(),
            database: manifest.database.clone(),
            database_bytes: manifest.database_bytes,
            tool: manifest.tool.clone(),
            bytes: manifest.bytes(),
            rows: manifest.rows(),
            fingerprint: manifest.fingerprint,
            tables: manifest.contents.iter().map(|(name, it)| (name.clone(), it.count)).collect(),
            written_meanwhile: manifest.written_meanwhile.clone(),
            encrypted: manifest.sealed.is_some(),
            copy: manifest.copy.clone(),
            files: files.collect(),
            proven: manifest.proven.as_ref().map(|it| Proven {
                at: it.at.clone(),
                seconds: it.seconds,
                server: it.server.clone(),
            }),
        }
    }

    /// One that was just taken or proven, in a line.
    pub fn taken(&self, paint: Paint) -> String {
        let what = format!(
            "snapshot {} of {}: {} in {}, {} {}",
            self.id,
            self.database,
            plural(self.rows, "row", "rows"),
            plural(self.tables.len(), "table", "tables"),
            size(self.bytes),
            if self.copy.is_some() { "on the server" } else { "on disk" }
        );
        match &self.proven {
            Some(_) => format!(
                "{what}; {}: restored, and schema and rows are those that were taken",
                paint.good("proven")
            ),
            None => format!(
                "{what}; not proven: `sternway snapshot prove {}` restores it on trial",
                self.id
            ),
        }
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        let mut text = format!("snapshot {} of {}, in {}\n", self.id, self.app, self.store);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        line("taken", format!("{} UTC, in {:.1} s, by {}", self.taken_at, self.seconds, self.tool));
        line("release", self.release.as_ref().map_or("not known".to_owned(), Release::to_string));
        for (name, row) in &self.tracks {
            line("track", format!("{} at {row}", name.0));
        }
        line(
            "database",
            format!("{} on {}, {}", self.database, self.server, size(self.database_bytes)),
        );
        match &self.copy {
            Some(copy) => line("kept as", format!("the database {copy}, {}", size(self.bytes))),
            None => {
                let files = plural(self.files.len(), "file", "files");
                line("files", format!("{files}, {}", size(self.bytes)));
            }
        }
        line("encrypted", if self.encrypted { "yes, by age" } else { "no" }.to_owned());
        line(
            "proven",
            match &self.proven {
                Some(it) => format!("{} UTC on {}, in {:.1} s", it.at, it.server, it.seconds),
                None if !self.written_meanwhile.is_empty() => {
                    format!(
                        "no, and it cannot be: {} written to meanwhile",
                        self.written_meanwhile.join(", ")
                    )
                }
                None => "no".to_owned(),
            },
        );
        let mut rows = vec![vec!["  TABLE".to_owned(), "ROWS".to_owned()]];
        rows.extend(
            self.tables.iter().map(|(name, count)| vec![format!("  {name}"), count.to_string()]),
        );
        text + &table(&rows)
    }
}

/// `sternway.snapshot.list/1`
#[derive(Debug, Serialize)]
pub struct List {
    format: &'static str,
    app: String,
    store: String,
    snapshots: Vec<Row>,
    databases: Option<Databases>,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    taken_at: Option<String>,
    release: Option<Release>,
    database: Option<String>,
    rows: Option<u64>,
    bytes: Option<u64>,
    proven: bool,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Databases {
    swapped_out: Vec<String>,
    unfinished: Vec<String>,
}

impl List {
    /// What was found in a store, and beside a database.
    pub fn of(app: &str, store: String, found: &[Found], left: Option<Leftovers>) -> List {
        let row = |it: &Found| {
            let manifest = it.manifest.as_ref().ok();
            Row {
                id: it.id.clone(),
                taken_at: manifest.map(|it| it.taken_at.clone()),
                release: manifest.and_then(|it| it.release.clone()),
                database: manifest.map(|it| it.database.clone()),
                rows: manifest.map(Manifest::rows),
                bytes: manifest.map(Manifest::bytes),
                proven: manifest.is_some_and(|it| it.proven.is_some()),
                error: it.manifest.as_ref().err().map(|it| match it {
                    SnapshotError::Unfinished(_) => "unfinished".to_owned(),
                    error => in_a_line(error),
                }),
            }
        };
        List {
            format: "sternway.snapshot.list/1",
            app: app.to_owned(),
            store,
            snapshots: found.iter().map(row).collect(),
            databases: left
                .map(|it| Databases { swapped_out: it.swapped_out, unfinished: it.unfinished }),
        }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.snapshots.is_empty() {
            let _ = writeln!(text, "no snapshot of {} in {}", self.app, self.store);
        } else {
            let heads = ["SNAPSHOT", "RELEASE", "DATABASE", "ROWS", "SIZE", "STATE"];
            let mut rows = vec![heads.map(str::to_owned).to_vec()];
            for it in &self.snapshots {
                let number = |it: Option<u64>| it.map_or(String::new(), |it| it.to_string());
                rows.push(vec![
                    it.id.clone(),
                    it.release.as_ref().map_or(String::new(), Release::to_string),
                    it.database.clone().unwrap_or_default(),
                    number(it.rows),
                    it.bytes.map_or(String::new(), size),
                    match &it.error {
                        Some(error) => error.clone(),
                        None if it.proven => "proven".to_owned(),
                        None => "taken".to_owned(),
                    },
                ]);
            }
            text.push_str(&table(&rows));
        }
        for (what, names) in self.databases.iter().flat_map(|it| {
            [
                ("swapped out by a restore", &it.swapped_out),
                ("left by a restore or proof that did not end", &it.unfinished),
            ]
        }) {
            for name in names {
                let _ = writeln!(
                    text,
                    "database {name}: {what}; `sternway snapshot prune --databases` drops it"
                );
            }
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct Changes {
    tables: BTreeMap<String, Counts>,
    unknown: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Counts {
    had: Option<u64>,
    has: Option<u64>,
}

/// `sternway.snapshot.restored/1`
#[derive(Debug, Serialize)]
pub struct Restored {
    format: &'static str,
    id: String,
    release: Option<Release>,
    database: String,
    kept: Option<String>,
    since: Option<Changes>,
    carried: Option<Vec<Table>>,
}

impl Restored {
    /// What became of a restore.
    pub fn of(
        manifest: &Manifest,
        restored: &sternway_snapshot::Restored,
        since: Option<Since>,
        carried: Option<Vec<Carried>>,
    ) -> Restored {
        let since = since.map(|since| {
            let counts = |(name, (had, has))| (name, Counts { had, has });
            Changes {
                tables: since.tables.into_iter().map(counts).collect(),
                unknown: since.unknown,
            }
        });
        Restored {
            format: "sternway.snapshot.restored/1",
            id: manifest.id.clone(),
            release: manifest.release.clone(),
            database: restored.database.clone(),
            kept: restored.kept.clone(),
            since,
            carried: carried.map(|it| it.into_iter().map(Table::of).collect()),
        }
    }

    /// The same for people.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = format!(
            "{} {}: schema and rows are those of snapshot {}{}\n",
            paint.good("restored"),
            self.database,
            self.id,
            self.release.as_ref().map_or(String::new(), |it| format!(", of release {it}"))
        );
        if let Some(kept) = &self.kept {
            let _ = writeln!(
                text,
                "what was there is {kept}, as it was; `sternway snapshot prune --databases` drops it"
            );
        }
        text.extend(self.carried.iter().map(|it| carried_text(it)));
        text
    }
}

/// `sternway.snapshot.carried/1`
#[derive(Debug, Serialize)]
pub struct CarriedOver {
    format: &'static str,
    database: String,
    from: String,
    tables: Vec<Table>,
}

impl CarriedOver {
    /// What was carried over.
    pub fn of(database: String, from: String, carried: Vec<Carried>) -> CarriedOver {
        let tables = carried.into_iter().map(Table::of).collect();
        CarriedOver { format: "sternway.snapshot.carried/1", database, from, tables }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        carried_text(&self.tables)
    }
}

/// What became of the rows of one table.
#[derive(Debug, Serialize)]
struct Table {
    table: String,
    same: u64,
    inserted: u64,
    updated: u64,
    only_in_snapshot: u64,
    only_in_snapshot_keys: Vec<String>,
    unfit: u64,
    unfit_rows: Vec<Unfit>,
    left_columns: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Unfit {
    key: String,
    reason: String,
}

impl Table {
    fn of(carried: Carried) -> Table {
        let unfit = carried.unfit.into_iter();
        Table {
            table: carried.table,
            same: carried.same,
            inserted: carried.inserted,
            updated: carried.updated,
            only_in_snapshot: carried.only_here_count,
            only_in_snapshot_keys: carried.only_here,
            unfit: carried.unfit_count,
            unfit_rows: unfit.map(|it| Unfit { key: it.key, reason: it.reason }).collect(),
            left_columns: carried.left_columns,
        }
    }
}

/// How many rows are named one by one in a text.
const NAMED: usize = 5;

fn carried_text(tables: &[Table]) -> String {
    let heads = ["CARRIED OVER", "SAME", "INSERTED", "UPDATED", "ONLY IN SNAPSHOT", "DO NOT FIT"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for it in tables {
        let numbers = [it.same, it.inserted, it.updated, it.only_in_snapshot, it.unfit];
        rows.push([vec![it.table.clone()], numbers.map(|it| it.to_string()).to_vec()].concat());
    }
    let mut text = table(&rows);
    for it in tables {
        if !it.left_columns.is_empty() {
            let _ = writeln!(
                text,
                "{}: the snapshot has no column {}",
                it.table,
                it.left_columns.join(", ")
            );
        }
        for row in it.unfit_rows.iter().take(NAMED) {
            let _ = writeln!(text, "{} {} does not fit: {}", it.table, row.key, row.reason);
        }
        if it.only_in_snapshot > 0 {
            let keys: Vec<&str> =
                it.only_in_snapshot_keys.iter().take(NAMED).map(String::as_str).collect();
            let more = if it.only_in_snapshot > NAMED as u64 { " and others" } else { "" };
            let _ = writeln!(
                text,
                "{} {}{more}: deleted since, and there again",
                it.table,
                keys.join("; ")
            );
        }
    }
    text
}

/// What is about to be restored, and the question.
pub fn question(
    manifest: &Manifest,
    database: &str,
    into: Option<&str>,
    since: Option<&Since>,
) -> (String, String) {
    let mut text = format!(
        "snapshot {} of {}, taken {} UTC{}\n",
        manifest.id,
        manifest.database,
        manifest.taken_at,
        manifest.release.as_ref().map_or(String::new(), |it| format!(" at release {it}"))
    );
    if manifest.database != database && into.is_none() {
        let _ = writeln!(
            text,
            "it is of the database {}, and takes the place of {database}",
            manifest.database
        );
    }
    if let Some(since) = since {
        if since.tables.is_empty() && since.unknown.is_empty() {
            let _ = writeln!(text, "since then no row was written");
        }
        for (name, (had, has)) in &since.tables {
            let _ = writeln!(
                text,
                "{}",
                match (had, has) {
                    (Some(had), Some(has)) if had == has => format!(
                        "{name}: {} as then, and not the same ones",
                        plural(*has, "row", "rows")
                    ),
                    (Some(had), Some(has)) =>
                        format!("{name}: {} then, {has} now", plural(*had, "row", "rows")),
                    (None, Some(has)) =>
                        format!("{name}: not there then, {} now", plural(*has, "row", "rows")),
                    (Some(had), None) =>
                        format!("{name}: {} then, not there now", plural(*had, "row", "rows")),
                    (None, None) => String::new(),
                }
            );
        }
        for name in &since.unknown {
            let _ = writeln!(
                text,
                "{name}: not known, because it was written to while the snapshot was taken"
            );
        }
    }
    let question = match into {
        Some(name) => format!("Restore snapshot {} into the new database {name}?", manifest.id),
        None => format!(
            "Restore snapshot {}, and let it take the place of {database}, which stays under another name?",
            manifest.id
        ),
    };
    (text, question)
}

/// `sternway.snapshot.pruned/1`
#[derive(Debug, Serialize)]
pub struct Pruned {
    format: &'static str,
    snapshots: Vec<String>,
    databases: Vec<String>,
}

impl Pruned {
    /// What was removed.
    pub fn of(pruned: sternway_snapshot::Pruned) -> Pruned {
        let sternway_snapshot::Pruned { snapshots, databases, .. } = pruned;
        Pruned { format: "sternway.snapshot.pruned/1", snapshots, databases }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        if self.snapshots.is_empty() && self.databases.is_empty() {
            return "there is nothing of that kind\n".to_owned();
        }
        let snapshots = self.snapshots.iter().map(|it| format!("removed snapshot {it}\n"));
        snapshots
            .chain(self.databases.iter().map(|it| format!("dropped database {it}\n")))
            .collect()
    }
}

/// The question before something is removed.
pub fn prune_question(what: &sternway_snapshot::Pruned) -> String {
    let names = |kind: &str, names: &[String]| match names {
        [] => None,
        names => Some(format!("{kind} {}", names.join(", "))),
    };
    let databases = [&what.databases[..], &what.copies].concat();
    let all = [names("snapshots", &what.snapshots), names("databases", &databases)];
    format!("Remove {}, for good?", all.into_iter().flatten().collect::<Vec<_>>().join(" and "))
}

/// How far something is, in a line.
pub fn progress(progress: &Progress) -> String {
    match progress {
        Progress::Doing(what) => what.clone(),
        Progress::Bytes { done, of: None, seconds } => {
            format!("{}, {}/s", size(*done), size(rate(*done, *seconds)))
        }
        Progress::Bytes { done, of: Some(of), seconds } => {
            let left = of.saturating_sub(*done) as f64 / (rate(*done, *seconds).max(1)) as f64;
            format!(
                "{} of about {}, {}/s, about {left:.0} s left",
                size(*done),
                size(*of),
                size(rate(*done, *seconds))
            )
        }
    }
}

fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds.max(0.001)) as u64
}

#[cfg(test)]
mod tests {
    use super::{Progress, progress};

    #[test]
    fn bytes_and_time_left_are_told() {
        let half = Progress::Bytes { done: 512_000, of: Some(1 << 20), seconds: 2.0 };
        assert_eq!(progress(&half), "500.0 kB of about 1.0 MB, 250.0 kB/s, about 2 s left");
        let unknown = Progress::Bytes { done: 512_000, of: None, seconds: 2.0 };
        assert_eq!(progress(&unknown), "500.0 kB, 250.0 kB/s");
    }
}
