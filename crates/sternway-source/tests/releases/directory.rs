//! Reading folders with one folder for each release.

use std::fs;
use std::os::unix::fs::symlink;
use sternway_model::catalog::Digest;
use sternway_source::{Location, Reading, SourceError, read};

use crate::common::{Place, chain, files, layout, release};

fn read_folder(place: &Place) -> Result<Reading, SourceError> {
    read(&Location::Directory(place.path().into()), &layout(), None)
}

#[test]
fn folders_are_releases_by_the_pattern_or_by_number() {
    let place = Place::empty();
    place.write("v1.0.0/sql/core/1_a.up.sql", "\u{feff}SELECT 1;\r\n");
    place.write("1.1.0-rc1/sql/core/1_a.up.sql", "SELECT 1;\n");
    place.write("1.1.0-rc1/sql/core/2_b.up.sql", b"\xff");
    place.write("1.1.0-rc1/sql/core/notes.txt", "");
    place.write("1.1.0-rc1/sql/core/3_folder.up.sql/3_c.up.sql", "");
    place.write("0.9.0/README.md", "no tracks");
    place.write("other/sql/core/1_a.up.sql", "");
    place.write("2.0.0", "a file");
    let reading = read_folder(&place).expect("a folder of releases");
    assert_eq!(
        files(&reading),
        ["0.9.0:", "1.0.0: 1_a.up.sql", "1.1.0-rc1: 1_a.up.sql 2_b.up.sql"]
    );
    assert!(reading.catalog.releases[&release("0.9.0")].tracks.is_empty());
    let entry = &reading.catalog.releases[&release("1.0.0")];
    assert_eq!((entry.label.as_str(), entry.commit.as_deref()), ("v1.0.0", None));
    assert_eq!(&*reading.catalog.bodies[&Digest::of_body("SELECT 1;\n")], "SELECT 1;\r\n");
    assert_eq!(reading.catalog.bodies.len(), 1);
    assert_eq!(reading.warnings.len(), 1);

    let plain = read(&Location::Path(place.path().into()), &layout(), None);
    assert_eq!(plain.expect("a folder of releases"), reading);
}

#[test]
fn a_folder_without_migrations_is_not_where_a_track_is() {
    let place = Place::empty();
    place.write("1.0.0/sql/core/1_a.up.sql", "SELECT 1;\n");
    place.write("1.1.0/sql/core/README.md", "moved\n");
    place.write("1.1.0/db/core/1_a.up.sql", "SELECT 1;\n");
    let mut layout = layout();
    layout.tracks[0].paths = vec!["sql/core".into(), "db/core".into()];
    let reading = read(&Location::Directory(place.path().into()), &layout, None);
    let reading = reading.expect("a folder of releases");
    assert_eq!(files(&reading), ["1.0.0: 1_a.up.sql", "1.1.0: 1_a.up.sql"]);
}

#[test]
fn links_are_followed() {
    let place = Place::empty();
    place.write("data/1_a.up.sql", "SELECT 1;\n");
    fs::create_dir_all(place.join("1.0.0/sql")).expect("a folder");
    symlink(place.join("data"), place.join("1.0.0/sql/core")).expect("a link");
    place.write("1.1.0/sql/core/1_a.down.sql", "SELECT 0;\n");
    symlink("../../../data/1_a.up.sql", place.join("1.1.0/sql/core/1_a.up.sql")).expect("a link");
    let reading = read_folder(&place).expect("a folder of releases");
    assert_eq!(files(&reading), ["1.0.0: 1_a.up.sql", "1.1.0: 1_a.up.sql 1_a.down.sql"]);

    symlink("nowhere", place.join("1.1.0/sql/core/2_b.up.sql")).expect("a link");
    let reading = read_folder(&place).expect("what can be read");
    assert_eq!(files(&reading), ["1.0.0: 1_a.up.sql"]);
    let warning = reading.warnings[0].to_string();
    assert!(warning.starts_with("release 1.1.0 is left out: cannot read"), "{warning}");
}

#[test]
fn what_is_not_a_folder_of_releases_is_explained() {
    let place = Place::empty();
    let path = place.path().display().to_string();
    let nothing = read_folder(&place).expect_err("an empty folder").to_string();
    assert_eq!(
        nothing,
        format!(
            "none of the 0 folders in `{path}` is named after a release, by its number or as \
             `v{{version}}`"
        )
    );
    place.write("src/main.rs", "");
    let refused = read_folder(&place).expect_err("no releases").to_string();
    assert!(refused.ends_with("as `v{version}`: `src`"), "{refused}");
    let file = Location::Path(place.join("src/main.rs"));
    let refused = read(&file, &layout(), None).expect_err("a file");
    assert!(matches!(refused, SourceError::NotAFolder { .. }), "{refused}");

    place.write("1.0.0/README.md", "");
    let refused = read_folder(&place).expect_err("no tracks").to_string();
    assert_eq!(refused, "no release has a folder `sql/core`");
    place.write("v1.0.0/README.md", "");
    let refused = read_folder(&place).expect_err("one release twice").to_string();
    assert_eq!(refused, "release 1.0.0 has two folders: `1.0.0` and `v1.0.0`");
    place.write("2024.01/sql/core/1_a.up.sql", "");
    place.write("v1.x/sql/core/1_a.up.sql", "");
    let reading = read_folder(&place).expect("another release");
    assert_eq!(files(&reading), ["2024.01: 1_a.up.sql"]);
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "1 name is left out: `v1.x` has no release number",
            "release 1.0.0 is left out: release 1.0.0 has two folders: `1.0.0` and `v1.0.0`",
        ]
    );
}

#[test]
fn a_folder_that_golang_migrate_refuses_is_refused() {
    let place = Place::empty();
    place.write("1.0.0/sql/core/1_a.up.sql", "");
    place.write("1.0.0/sql/core/1_a.up.sql~", "");
    let refused = chain(&read_folder(&place).expect_err("a duplicate"));
    assert!(refused.ends_with("migration 1: `1_a.up.sql` and `1_a.up.sql~`"), "{refused}");
    fs::remove_file(place.join("1.0.0/sql/core/1_a.up.sql~")).expect("a file");
    place.write("1.0.0/sql/core/18446744073709551615_b.up.sql", "");
    let refused = read_folder(&place).expect_err("a huge number");
    assert!(matches!(refused, SourceError::NumberTooLarge { .. }), "{refused}");
}
