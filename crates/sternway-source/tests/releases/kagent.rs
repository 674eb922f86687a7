//! What a clone of <https://github.com/kagent-dev/kagent> holds, release by release.
//!
//! Runs when `STERNWAY_KAGENT_REPO` is the path of a clone with tags.

#![cfg(feature = "git")]

use std::collections::BTreeMap;
use std::env;

use sternway_model::catalog::{Digest, Enabled, Release, Track, TrackName};
use sternway_source::{Layout, Location, Reading, read};

fn track(name: &str) -> Track {
    Track {
        name: name.into(),
        paths: vec![format!("go/core/pkg/migrations/{name}").as_str().into()],
        until: None,
        table: "unread".to_owned(),
        enabled: Enabled::Always,
        requires_extension: None,
    }
}

/// The highest number of `core` in each release that has migrations.
const CORE: [(u64, &[&str]); 6] = [
    (2, &["0.9.0-beta1", "0.9.0-beta2"]),
    (
        3,
        &[
            "0.9.0-beta3",
            "0.9.0-beta4",
            "0.9.0-beta5",
            "0.9.0-beta6",
            "0.9.0-beta7",
            "0.9.0-beta8",
            "0.9.0",
            "0.9.1",
            "0.9.2",
        ],
    ),
    (4, &["0.9.3", "0.9.4", "0.9.5", "0.9.6"]),
    (5, &["0.9.7", "0.9.8", "0.9.9", "0.9.10", "0.9.11", "0.9.12", "0.10.0-beta1"]),
    (
        6,
        &[
            "0.10.0-beta2",
            "0.10.0-beta3",
            "0.10.0-beta4",
            "0.10.0-beta5",
            "0.10.0-beta6",
            "0.10.0-beta7",
            "0.10.0-beta8",
            "0.10.0-beta9",
            "0.10.0-beta10",
        ],
    ),
    (7, &["0.10.0-beta11", "0.10.0-rc1", "0.10.0-rc2", "0.10.0-rc3"]),
];

fn check_numbers(reading: &Reading) {
    let (core, vector) = (TrackName::from("core"), TrackName::from("vector"));
    for (last, releases) in CORE {
        for release in releases {
            let entry = &reading.catalog.releases[&release.parse::<Release>().expect("a release")];
            assert_eq!(entry.label, format!("v{release}"));
            assert_eq!(entry.commit.as_ref().map(String::len), Some(40));
            assert!(entry.tracks[&core].versions().eq(1..=last), "core of {release}");
            assert!(entry.tracks[&vector].versions().eq(1..=3), "vector of {release}");
            for migration in entry.tracks.values().flat_map(|set| set.iter()) {
                assert!(migration.up.is_some() && migration.down.is_some(), "{release}");
            }
        }
    }
    let newest_without: Release = "0.8.6".parse().expect("a release");
    assert!(reading.catalog.releases.contains_key(&newest_without));
    for (release, entry) in reading.catalog.releases.range(..=newest_without) {
        assert!(entry.tracks.is_empty(), "{release}");
    }
}

fn check_contents(reading: &Reading) {
    let newest: Release = "0.10.0-rc3".parse().expect("a release");
    let mut hashes: BTreeMap<(&TrackName, &str), Digest> = BTreeMap::new();
    for (release, entry) in reading.catalog.releases.range(..=newest) {
        for (track, set) in &entry.tracks {
            for half in set.iter().flat_map(|it| [it.up.as_ref(), it.down.as_ref()]).flatten() {
                let first = *hashes.entry((track, &half.file)).or_insert(half.hash);
                assert_eq!(first, half.hash, "{} changed in {release}", half.file);
                assert_eq!(Digest::of_body(&reading.catalog.bodies[&half.hash]), half.hash);
            }
        }
    }
    assert_eq!(hashes.len(), 2 * (7 + 3));
}

#[test]
fn every_release_has_the_migrations_that_its_tag_shows() {
    let Some(path) = env::var_os("STERNWAY_KAGENT_REPO") else {
        #[expect(clippy::print_stderr, reason = "a test says why it checked nothing")]
        {
            eprintln!("skipped: kagent: STERNWAY_KAGENT_REPO is not set");
        }
        return;
    };
    let location = Location::Git(path.into());
    let layout = Layout {
        app: "kagent".to_owned(),
        tag: "v{version}".parse().expect("a pattern"),
        tracks: vec![track("core"), track("vector")],
    };
    let reading = read(&location, &layout, None).expect("the clone");
    check_numbers(&reading);
    check_contents(&reading);

    let cache = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let cached = read(&location, &layout, Some(cache.path())).expect("the clone");
        assert_eq!(cached, reading);
    }
}
