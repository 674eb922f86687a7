//! What Helm has noted of a release: its revisions, and how each ended.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use sternway_model::app::Revision;

use super::program::{Program, json};

/// How long Helm gives a change where nothing else is said.
pub(in super::super) const LONGEST: Duration = Duration::from_secs(300);

/// How a revision ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in super::super) enum Status {
    /// It is in place.
    Deployed,
    /// It was in place until a later one was.
    Superseded,
    /// It failed, and may have changed a part of its objects.
    Failed,
    /// It is being taken away.
    Uninstalling,
    /// It was taken away, and the record was kept.
    Uninstalled,
    /// A Helm is at work on it, or was killed.
    PendingInstall,
    /// A Helm is at work on it, or was killed.
    PendingUpgrade,
    /// A Helm is at work on it, or was killed, or a hook of it failed.
    PendingRollback,
    /// A status of a later Helm.
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Whether a Helm is at work, or was killed at it.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback)
    }

    fn was_well(self) -> bool {
        matches!(self, Self::Deployed | Self::Superseded)
    }
}

/// A revision of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Entry {
    /// Its number.
    pub revision: u64,
    /// How it ended.
    pub status: Status,
    /// How it ended, in Helm's word.
    pub word: String,
    /// The version of its chart.
    pub version: String,
    /// When it was made, as Helm writes it.
    pub updated: String,
    /// What whoever made it has said.
    pub description: String,
}

impl Entry {
    /// Whether a Helm may be at work on it. One that was killed leaves for ever a revision that says so;
    /// it is taken for that once no Helm would work on it any more.
    pub fn may_be_under_way(&self) -> bool {
        let since = self.updated.parse::<Timestamp>();
        let age = since.ok().and_then(|it| Timestamp::now().duration_since(it).try_into().ok());
        self.status.is_pending() && age.is_none_or(|age: Duration| age < LONGEST)
    }

    /// As a plan remembers it.
    pub fn revision(&self) -> Revision {
        Revision { revision: self.revision, version: self.version.clone() }
    }
}

#[derive(Deserialize)]
struct Row {
    revision: u64,
    status: String,
    chart: String,
    #[serde(default)]
    updated: String,
    #[serde(default)]
    description: String,
}

/// The revisions, the newest last.
pub(super) async fn history(program: &Program, release: &str) -> Result<Vec<Entry>, String> {
    let words = ["history", release, "--max", "256", "--output", "json"];
    let text = match program.ask(&words).await {
        Ok(text) => text,
        Err(reason) if reason.contains("release: not found") => return Ok(Vec::new()),
        Err(reason) => return Err(reason),
    };
    read(&text).map_err(|error| format!("the history of {release} cannot be read: {error}"))
}

fn read(text: &str) -> serde_json::Result<Vec<Entry>> {
    let rows: Vec<Row> = serde_json::from_str(json(text))?;
    let entry = |row: Row| {
        let status = serde_json::from_value(row.status.clone().into()).unwrap_or(Status::Unknown);
        let version = version_of(&row.chart).to_owned();
        let Row { revision, status: word, updated, description, .. } = row;
        Entry { revision, status, word, version, updated, description }
    };
    let mut entries: Vec<Entry> = rows.into_iter().map(entry).collect();
    entries.sort_by_key(|it| it.revision);
    Ok(entries)
}

/// The version in a chart's name with its version, such as `kagent-crds-0.9.3-rc1`: it begins at the first
/// hyphen with a number and a dot behind it.
fn version_of(chart: &str) -> &str {
    let begins = chart.match_indices('-').map(|(at, _)| &chart[at + 1..]).find(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with('.')
    });
    begins.unwrap_or(chart)
}

/// The newest revision that is deployed; where none says so, the newest that once was.
pub(in super::super) fn deployed(history: &[Entry]) -> Option<&Entry> {
    let newest = |well: fn(&Entry) -> bool| history.iter().rev().find(|it| well(it));
    newest(|it| it.status == Status::Deployed).or_else(|| newest(|it| it.status.was_well()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64, status: &str) -> String {
        format!(
            r#"{{"revision":{revision},"status":"{status}","chart":"harbour-crds-1.{revision}.0-rc1","app_version":"","updated":"2026-08-01T00:00:00Z","description":"d"}}"#
        )
    }

    #[test]
    fn the_newest_deployed_revision_is_found_behind_failed_and_pending_ones() {
        let text = [
            entry(1, "superseded"),
            entry(2, "deployed"),
            entry(3, "failed"),
            entry(4, "pending-upgrade"),
        ];
        let history = read(&format!("[{}]", text.join(","))).expect("a history");
        let found = deployed(&history).expect("a revision");
        assert_eq!((found.revision, found.version.as_str()), (2, "1.2.0-rc1"));
        assert!(history[3].status.is_pending());
        let history = read(&format!("[{},{}]", entry(1, "superseded"), entry(2, "failed")))
            .expect("a history");
        assert_eq!(deployed(&history).map(|it| it.revision), Some(1));
        let history = read(&format!("[{}]", entry(1, "a-later-word"))).expect("a history");
        assert_eq!(deployed(&history), None);
    }

    #[test]
    fn a_chart_tells_its_version() {
        assert_eq!(version_of("kagent-0.9.3"), "0.9.3");
        assert_eq!(version_of("k8s-2-crds-0.10.0-rc3+b1"), "0.10.0-rc3+b1");
        assert_eq!(version_of("odd"), "odd");
    }
}
