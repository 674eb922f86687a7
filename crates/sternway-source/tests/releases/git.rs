//! Reading git repositories of every kind.

#![cfg(feature = "git")]

use std::fs;
use std::os::unix::fs::symlink;
use sternway_model::catalog::{Digest, Enabled, ReleaseEntry, TrackPath};
use sternway_model::position::Position::{At, Nothing};
use sternway_source::{CloneKind, Location, SourceError, Warning, read};

use crate::common::{Place, chain, files, git_in, layout, read_git, release, track};

#[test]
fn lightweight_annotated_loose_and_packed_tags_are_releases() {
    let place = Place::one_release();
    place.write("sql/core/2_b.up.sql", "SELECT 2;\n");
    place.commit();
    place.git(&["tag", "--annotate", "v1.1.0-rc1", "--message", "a candidate"]);
    place.git(&["tag", "--annotate", "v1.1.0+nested", "--message", "twice", "v1.1.0-rc1"]);
    place.git(&["tag", "v1.x"]);
    place.git(&["symbolic-ref", "refs/tags/v1.0.1", "refs/tags/v1.0.0"]);
    let expected = [
        "1.0.0: 1_a.up.sql 1_a.down.sql",
        "1.0.1: 1_a.up.sql 1_a.down.sql",
        "1.1.0-rc1: 1_a.up.sql 1_a.down.sql 2_b.up.sql",
        "1.1.0+nested: 1_a.up.sql 1_a.down.sql 2_b.up.sql",
    ];
    let loose = read_git(place.path()).expect("a repository");
    assert_eq!(files(&loose), expected);
    let left_out = Warning::NoNumber { names: vec!["v1.x".to_owned()] };
    assert_eq!(loose.warnings, [left_out]);
    let entry = &loose.catalog.releases[&release("1.1.0-rc1")];
    assert_eq!(entry.label, "v1.1.0-rc1");
    assert_eq!(entry.commit, Some(place.git(&["rev-parse", "HEAD"])));

    place.git(&["pack-refs", "--all"]);
    place.git(&["gc", "--quiet"]);
    assert_eq!(read_git(place.path()).expect("a repository"), loose);
}

#[test]
fn bare_and_linked_repositories_read_the_same() {
    let place = Place::one_release();
    let expected = read_git(place.path()).expect("a repository");
    let other = Place::empty();
    let path = place.path().to_str().expect("a path");
    other.git(&["clone", "--quiet", "--bare", path, "bare"]);
    place.git(&[
        "worktree",
        "add",
        "--quiet",
        "--detach",
        other.join("linked").to_str().expect("a path"),
    ]);
    for path in [other.join("bare"), other.join("linked"), place.join(".git")] {
        assert_eq!(read_git(&path).expect("a repository"), expected, "{}", path.display());
        let plain = read(&Location::Path(path), &layout(), None);
        assert_eq!(plain.expect("a repository"), expected);
    }
}

#[test]
fn nothing_but_migration_files_directly_in_the_folder_is_read() {
    let place = Place::one_release();
    place.write("sql/core/README.md", "1_a.up.sql");
    place.write("sql/core/2_b.up.sql/3_c.up.sql", "SELECT 3;\n");
    place.write("sql/core/99999999999999999999_x.up.sql", "SELECT 9;\n");
    place.write("sql/core/4_run.up.sql", "SELECT 4;\n");
    symlink("1_a.up.sql", place.join("sql/core/5_link.up.sql")).expect("a link");
    place.release("v1.1.0");
    place.release("v1.2.0");
    let reading = read_git(place.path()).expect("a repository");
    assert_eq!(files(&reading)[1], "1.1.0: 1_a.up.sql 1_a.down.sql 4_run.up.sql");
    let link = Warning::Link {
        track: "core".into(),
        file: "5_link.up.sql".to_owned(),
        releases: vec![release("1.1.0"), release("1.2.0")],
    };
    assert_eq!(reading.warnings, [link]);
    assert_eq!(
        reading.warnings[0].to_string(),
        "`5_link.up.sql` in track `core` is a symbolic link and was not read, in release 1.1.0 and \
         1 more"
    );
}

#[test]
fn bodies_are_canonical_and_raw_bytes_have_none() {
    let place = Place::one_release();
    place.write("sql/core/2_b.up.sql", "\u{feff}SELECT 1;\r\n");
    place.write("sql/core/3_c.up.sql", b"SELECT '\xff';\n");
    place.release("v1.1.0");
    let reading = read_git(place.path()).expect("a repository");
    let set = reading.catalog.releases[&release("1.1.0")].set(&"core".into());
    let hash = |version| set.get(version).and_then(|it| it.up.as_ref()).expect("a half").hash;
    assert_eq!(hash(2), hash(1));
    assert_eq!(&*reading.catalog.bodies[&hash(2)], "SELECT 1;\n");
    assert_eq!(hash(3), Digest::of_bytes(b"SELECT '\xff';\n"));
    assert!(!reading.catalog.bodies.contains_key(&hash(3)));
    assert_eq!(
        reading.warnings[0].to_string(),
        "`3_c.up.sql` in track `core` is not UTF-8 and has no body, in release 1.1.0"
    );
}

#[test]
fn a_missing_folder_leaves_its_track_out() {
    let place = Place::repository();
    place.write("README.md", "empty");
    place.release("v0.1.0");
    place.write("sql/core/1_a.up.sql", "SELECT 1;\n");
    place.release("v1.0.0");
    let mut layout = layout();
    layout.tracks.push(track("vector", "sql/vector"));
    layout.tracks.push(track("readme", "README.md"));
    let mut never = track("never", "../elsewhere");
    never.enabled = Enabled::Never;
    layout.tracks.push(never);
    let reading = read(&Location::Git(place.path().into()), &layout, None).expect("a repository");
    assert!(reading.catalog.releases[&release("0.1.0")].tracks.is_empty());
    assert_eq!(reading.catalog.releases[&release("1.0.0")].tracks.len(), 1);
    assert_eq!(reading.catalog.tracks, layout.tracks);
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "no release has the folder `sql/vector` of track `vector`",
            "no release has the folder `README.md` of track `readme`",
        ]
    );

    layout.tracks = vec![track("core", "sql/cor"), track("vector", "vector")];
    let refused = read(&Location::Git(place.path().into()), &layout, None).expect_err("no folder");
    assert_eq!(refused.to_string(), "no release has a folder `sql/cor` or `vector`");
    layout.tracks = vec![track("core", "sql/../core")];
    let refused = read(&Location::Git(place.path().into()), &layout, None).expect_err("a bad path");
    assert_eq!(refused.to_string(), "the path `sql/../core` of track `core` contains `..`");
}

#[test]
fn a_release_that_golang_migrate_refuses_is_left_out_and_hides_no_other() {
    let place = Place::one_release();
    place.write("sql/core/001_b.up.sql", "SELECT 2;\n");
    place.release("v1.1.0");
    place.git(&["rm", "--quiet", "sql/core/001_b.up.sql"]);
    place.write("sql/core/9223372036854775807_b.up.sql", "SELECT 2;\n");
    place.release("v1.2.0");
    place.write("sql/core/9223372036854775808_c.up.sql", "SELECT 2;\n");
    place.release("v1.3.0");
    let reading = read_git(place.path()).expect("two of four");
    let read: Vec<String> = reading.catalog.releases.keys().map(ToString::to_string).collect();
    assert_eq!(read, ["1.0.0", "1.2.0"]);
    let left_out: Vec<String> = reading.catalog.left_out.keys().map(ToString::to_string).collect();
    assert_eq!(left_out, ["1.1.0", "1.3.0"]);
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "release 1.1.0 is left out: cannot read track `core` of release 1.1.0, in `sql/core`: two \
             files hold the up half of migration 1: `001_b.up.sql` and `1_a.up.sql`",
            "release 1.3.0 is left out: the number of `9223372036854775808_c.up.sql` in track `core` of \
             release 1.3.0 is above 9223372036854775807",
        ]
    );
    for tag in ["v1.0.0", "v1.2.0"] {
        place.git(&["tag", "--delete", tag]);
    }
    let refused = read_git(place.path()).expect_err("none is left");
    assert!(matches!(refused, SourceError::Duplicate { .. }), "{refused}");
}

#[test]
fn versions_of_any_shape_are_releases_and_what_is_left_out_is_named() {
    let place = Place::one_release();
    for tag in ["v1", "v1.0", "v1.0.0.1", "v2024.01.05", "v2024-02-01", "v1.x", "vnext", "nightly"]
    {
        place.git(&["tag", tag]);
    }
    place.write("sql/core/2_b.up.sql", "SELECT 2;\n");
    place.release("v2.0");
    place.git(&["tag", "v2.1.7"]);
    place.git(&["tag", "v2.1"]);
    let reading = read_git(place.path()).expect("a repository");
    let labels = reading.catalog.releases.values().map(|entry| entry.label.as_str());
    assert_eq!(
        labels.collect::<Vec<_>>(),
        ["v1.0.0", "v1.0.0.1", "v2.0", "v2.1.7", "v2024.01.05", "v2024-02-01"]
    );
    assert!(reading.catalog.releases.contains_key(&release("2.0.0")), "as 2.0");
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "2 names are left out: `v1.x`, `vnext` have no release number",
            "the tag `v1.0` is left out: it stands for release 1.0.0, as `v1.0.0` does",
            "the tag `v1` is left out: it stands for release 1.0.0, as `v1.0.0` does",
            "the tag `v2.1` is left out: it stands for release 2.1.7, as `v2.1.7` does",
        ]
    );
}

#[test]
fn a_track_may_move_between_releases_and_end() {
    let place = Place::one_release();
    place.write("db/core/1_a.up.sql", "SELECT 1;\n");
    place.write("db/core/2_b.up.sql", "SELECT 2;\n");
    place.release("v1.1.0");
    place.git(&["rm", "--quiet", "-r", "sql"]);
    // What is left where they were has no migrations.
    place.write("sql/core/README.md", "moved\n");
    place.release("v1.2.0");
    let read_with = |paths: &[(&str, Option<&str>)], until: Option<&str>| {
        let mut layout = layout();
        let path = |(path, since): &(&str, Option<&str>)| {
            let mut path = TrackPath::from(*path);
            path.since = since.map(release);
            path
        };
        layout.tracks[0].paths = paths.iter().map(path).collect();
        layout.tracks[0].until = until.map(release);
        let reading = read(&Location::Git(place.path().into()), &layout, None).expect("releases");
        let last = |entry: &ReleaseEntry| entry.set(&"core".into()).last();
        reading.catalog.releases.values().map(last).collect::<Vec<_>>()
    };
    let (old, new) = (("sql/core", None), ("db/core", None));
    assert_eq!(read_with(&[new], None), [Nothing, At(2), At(2)]);
    assert_eq!(read_with(&[new, old], None), [At(1), At(2), At(2)]);
    assert_eq!(read_with(&[old, new], None), [At(1), At(1), At(2)]);
    let since = ("db/core", Some("1.2.0"));
    assert_eq!(read_with(&[since, old], None), [At(1), At(1), At(2)]);
    assert_eq!(read_with(&[new, old], Some("1.1.0")), [At(1), At(2), Nothing]);
}

#[test]
fn what_is_not_a_repository_with_releases_is_explained() {
    let place = Place::empty();
    let refused = read_git(&place.join("nowhere")).expect_err("nothing there");
    assert!(matches!(refused, SourceError::NoSuchPath { .. }), "{refused}");
    let refused = read_git(place.path()).expect_err("an empty folder");
    assert!(matches!(refused, SourceError::NotARepository { .. }), "{refused}");

    let place = Place::repository();
    let refused = read_git(place.path()).expect_err("no tags");
    assert!(matches!(refused, SourceError::NoTags { .. }), "{refused}");
    place.release("one");
    for tag in ["1.0.0", "app/v1.0.0", "v1.x"] {
        place.git(&["tag", tag]);
    }
    let refused = read_git(place.path()).expect_err("no releases");
    assert_eq!(
        refused.to_string(),
        format!(
            "none of the 4 tags in `{}` matches `v{{version}}`: `1.0.0`, `app/v1.0.0`, `one`",
            place.path().display()
        )
    );

    let place = Place::one_release();
    place.git(&["tag", "v1.1.0", "HEAD^{tree}"]);
    let reading = read_git(place.path()).expect("a repository");
    assert_eq!(reading.warnings, [Warning::NotACommit { tag: "v1.1.0".to_owned() }]);
    place.write(".git/refs/tags/v1.2.0", "not an id\n");
    let refused = read_git(place.path()).expect_err("a broken tag");
    assert!(matches!(refused, SourceError::Repository { .. }), "{refused}");
}

#[test]
fn a_shallow_clone_is_told_apart() {
    let place = Place::one_release();
    place.release("v1.1.0");
    let other = Place::empty();
    let url = format!("file://{}", place.path().display());
    other.git(&["clone", "--quiet", "--depth", "1", &url, "tagged"]);
    let reading = read_git(&other.join("tagged")).expect("a clone");
    assert_eq!(files(&reading), ["1.1.0: 1_a.up.sql 1_a.down.sql"]);
    assert_eq!(reading.warnings, [Warning::Shallow { path: other.join("tagged") }]);

    other.git(&["clone", "--quiet", "--depth", "1", "--no-tags", &url, "bare-of-tags"]);
    let refused = read_git(&other.join("bare-of-tags")).expect_err("no tags");
    assert!(matches!(refused, SourceError::ShallowWithoutTags { .. }), "{refused}");
    git_in(&other.join("bare-of-tags"), &["tag", "other"]);
    let refused = read_git(&other.join("bare-of-tags")).expect_err("no matching tags");
    assert!(matches!(refused, SourceError::ShallowWithoutTags { .. }), "{refused}");

    let old = place.git(&["rev-parse", "v1.0.0"]);
    fs::write(other.join("tagged/.git/refs/tags/v1.0.0"), format!("{old}\n")).expect("a tag");
    let reading = read_git(&other.join("tagged")).expect("the other release");
    assert_eq!(files(&reading), ["1.1.0: 1_a.up.sql 1_a.down.sql"]);
    assert_eq!(
        reading.catalog.left_out[&release("1.0.0")],
        format!(
            "cannot read tag `v1.0.0`: the object {old} is not in this clone, which is shallow"
        )
    );
}

#[test]
fn a_partial_clone_lacks_its_blobs() {
    let place = Place::one_release();
    place.git(&["config", "uploadpack.allowFilter", "true"]);
    let other = Place::empty();
    let url = format!("file://{}", place.path().display());
    other.git(&["clone", "--quiet", "--bare", "--filter=blob:none", &url, "partial"]);
    let refused = read_git(&other.join("partial")).expect_err("a missing blob");
    let SourceError::MissingObject { tag, object, clone } = refused else { panic!("{refused}") };
    assert_eq!((tag.as_str(), clone), ("v1.0.0", CloneKind::Partial));
    assert_eq!(object, place.git(&["rev-parse", "v1.0.0:sql/core/1_a.down.sql"]));
}

#[test]
fn a_damaged_object_is_an_error() {
    let place = Place::one_release();
    let id = place.git(&["rev-parse", "v1.0.0:sql/core/1_a.up.sql"]);
    let file = place.join(&format!(".git/objects/{}/{}", &id[..2], &id[2..]));
    fs::remove_file(&file).expect("an object");
    let refused = read_git(place.path()).expect_err("a missing object");
    let missing = matches!(
        refused,
        SourceError::MissingObject { clone: CloneKind::Damaged, ref object, .. } if *object == id
    );
    assert!(missing, "{refused}");
    fs::write(&file, "not zlib").expect("a file");
    let refused = read_git(place.path()).expect_err("a damaged object");
    assert!(matches!(refused, SourceError::DamagedObject { .. }), "{refused}");
}

#[test]
fn a_repository_of_an_unknown_kind_is_refused() {
    let place = Place::one_release();
    place.git(&["config", "core.repositoryFormatVersion", "1"]);
    place.git(&["config", "extensions.refStorage", "files"]);
    read_git(place.path()).expect("a repository");
    place.write(".git/config", "[extensions]\nrefStorage = reftable\n");
    let refused = chain(&read_git(place.path()).expect_err("a reftable"));
    assert!(refused.contains("references are stored as `reftable`"), "{refused}");

    let place = Place::empty();
    place.git(&["init", "--quiet", "--object-format=sha256", "."]);
    place.release("v1.0.0");
    let refused = chain(&read_git(place.path()).expect_err("another hash"));
    assert!(refused.contains("sha256"), "{refused}");
}

#[test]
fn replaced_objects_stay_as_they_were() {
    let place = Place::one_release();
    let expected = read_git(place.path()).expect("a repository");
    place.write("sql/core/2_b.up.sql", "SELECT 2;\n");
    place.commit();
    place.git(&["replace", "v1.0.0", "HEAD"]);
    assert_eq!(read_git(place.path()).expect("a repository"), expected);
}
