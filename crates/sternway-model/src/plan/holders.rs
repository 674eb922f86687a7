//! Who has a migration: the releases that are asked for one.
//!
//! Most releases have the very migrations of the one before, and a catalog may have thousands of them. Of
//! releases in a row that have the same set of a track, only those are asked that a rule may prefer: the
//! oldest, the running one, the newest stable one and the newest.

use std::collections::BTreeMap;

use crate::catalog::{Catalog, MigrationSet, Release, ReleaseEntry, TrackName, once_in_a_row};

/// The releases that are asked for migrations, by track, the oldest first.
#[derive(Debug)]
pub(super) struct Holders<'a>(BTreeMap<&'a TrackName, Vec<(&'a Release, &'a MigrationSet)>>);

impl<'a> Holders<'a> {
    /// Those of a catalog.
    pub fn of(catalog: &'a Catalog, running: Option<&Release>) -> Holders<'a> {
        let mut tracks: BTreeMap<&TrackName, Vec<Row>> = BTreeMap::new();
        for (release, entry) in &catalog.releases {
            for (track, set) in &entry.tracks {
                let rows = tracks.entry(track).or_default();
                match rows.last_mut().filter(|row| row.set == set) {
                    Some(row) => row.releases.push(release),
                    None => rows.push(Row { set, releases: vec![release] }),
                }
            }
        }
        let asked = |rows: Vec<Row<'a>>| rows.iter().flat_map(|row| row.asked(running)).collect();
        Holders(tracks.into_iter().map(|(track, rows)| (track, asked(rows))).collect())
    }

    /// Those of a track.
    pub fn in_track(&self, track: &TrackName) -> &[(&'a Release, &'a MigrationSet)] {
        self.0.get(track).map_or(&[], Vec::as_slice)
    }
}

/// Releases in a row that have the same set.
struct Row<'a> {
    set: &'a MigrationSet,
    releases: Vec<&'a Release>,
}

impl<'a> Row<'a> {
    fn asked(&self, running: Option<&Release>) -> Vec<(&'a Release, &'a MigrationSet)> {
        let last = self.releases.len() - 1;
        let stable = self.releases.iter().rposition(|release| !release.is_prerelease());
        let running = self.releases.iter().position(|release| Some(*release) == running);
        let mut asked: Vec<usize> =
            [Some(0), running, stable, Some(last)].into_iter().flatten().collect();
        asked.sort_unstable();
        asked.dedup();
        asked.into_iter().map(|index| (self.releases[index], self.set)).collect()
    }
}

/// The releases for which a condition holds that depends on their migrations alone. Of releases in a row
/// with the same ones the first is asked.
pub(super) fn that<'r>(
    releases: impl IntoIterator<Item = (&'r Release, &'r ReleaseEntry)>,
    condition: impl Fn(&Release, &ReleaseEntry) -> bool,
) -> impl Iterator<Item = (&'r Release, &'r ReleaseEntry)> {
    let mut holds = once_in_a_row(condition);
    releases.into_iter().filter(move |(release, entry)| holds(release, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_releases_with_the_same_migrations_those_are_asked_that_a_rule_may_prefer() {
        let track = TrackName::from("core");
        let entry = |last: u64| {
            let migration = |version| crate::catalog::Migration { version, up: None, down: None };
            let set: MigrationSet = (1..=last).map(migration).collect();
            ReleaseEntry {
                label: String::new(),
                commit: None,
                tracks: [(track.clone(), set)].into(),
            }
        };
        let releases = [
            ("1.0", 1),
            ("1.1", 1),
            ("1.2", 1),
            ("1.3", 1),
            ("1.4-rc1", 1),
            ("1.4-rc2", 1),
            ("1.4", 2),
        ];
        let releases = releases.map(|(name, last)| (name.parse().expect("a release"), entry(last)));
        let catalog = Catalog { releases: releases.into(), ..Catalog::default() };
        let running: Release = "1.1".parse().expect("a release");
        let asked = |running: Option<&Release>| -> Vec<String> {
            let holders = Holders::of(&catalog, running);
            holders.in_track(&track).iter().map(|(release, _)| release.to_string()).collect()
        };
        assert_eq!(asked(None), ["1.0", "1.3", "1.4-rc2", "1.4"]);
        assert_eq!(asked(Some(&running)), ["1.0", "1.1", "1.3", "1.4-rc2", "1.4"]);

        let questions = std::cell::Cell::new(0);
        let last_is_1 = |_: &Release, entry: &ReleaseEntry| {
            questions.set(questions.get() + 1);
            entry.set(&track).last() == 1
        };
        assert_eq!(that(&catalog.releases, last_is_1).count(), 6);
        assert_eq!(questions.get(), 2);
    }
}
