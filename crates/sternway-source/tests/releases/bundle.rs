//! Every release in one file.

#![cfg(feature = "git")]

use std::fs;
use std::io::Write;

use sternway_source::{Location, bundle, read};

use crate::common::{Place, chain, files, layout, read_git};

#[test]
fn a_bundle_is_read_as_what_it_was_made_of() {
    let place = Place::one_release();
    place.write("sql/core/2_b.up.sql", b"\xff");
    place.release("v1.1.0");
    place.write("sql/core/2_c.up.sql", "SELECT 2;\n");
    place.release("v1.2.0-rc1");
    let repository = read_git(place.path()).expect("a repository");
    let bytes = bundle(&repository.catalog).expect("memory");
    assert_eq!(bytes, bundle(&repository.catalog).expect("memory"));
    place.write("app.bundle", &bytes);
    for location in
        [Location::Bundle(place.join("app.bundle")), Location::Path(place.join("app.bundle"))]
    {
        let reading = read(&location, &layout(), None).expect("a bundle");
        assert_eq!(files(&reading), files(&repository));
        assert_eq!(reading.catalog, repository.catalog);
        // A bundle of a bundle is the same.
        assert_eq!(bundle(&reading.catalog).expect("memory"), bytes);
    }
}

#[test]
fn releases_share_what_they_have_in_common() {
    let place = Place::one_release();
    for number in 0..200 {
        place.git(&["tag", &format!("v1.1.{number}")]);
    }
    let bytes = bundle(&read_git(place.path()).expect("a repository").catalog).expect("memory");
    assert!(bytes.len() < 4_000, "{}", bytes.len());
}

#[test]
fn a_bundle_that_was_changed_is_refused() {
    let place = Place::one_release();
    let good = bundle(&read_git(place.path()).expect("a repository").catalog).expect("memory");
    let path = place.join("app.bundle");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("a file");
        chain(&read(&Location::Bundle(path.clone()), &layout(), None).expect_err("it is refused"))
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        refused(&bad);
    }
    assert!(refused(&good[..good.len() - 1]).contains("changed or cut short"));
    assert!(refused(b"").contains("does not begin as a bundle does"));
    // What fits its checksum, and holds a lie.
    let packed = |content: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).expect("memory");
        let packed = encoder.finish().expect("memory");
        let sha256 = sternway_model::catalog::Digest::of_bytes(&packed);
        [
            format!("{{\"format\":\"sternway.bundle/1\",\"sha256\":\"{sha256}\"}}\n").into_bytes(),
            packed,
        ]
        .concat()
    };
    let lie = format!(
        "{{\"app\":\"a\",\"releases\":{{}},\"left_out\":{{}},\"folders\":{{}},\"bodies\":{{\"{}\":\"DROP TABLE x\"}}}}",
        sternway_model::catalog::Digest::of_body("SELECT 1")
    );
    assert!(refused(&packed(lie.as_bytes())).contains("does not fit what it names"));
    assert!(refused(&packed(b"[]")).contains("makes no sense"));
    // A bomb: 600 MB of blanks.
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..600 {
        encoder.write_all(&blanks).expect("memory");
    }
    let bomb = encoder.finish().expect("memory");
    let sha256 = sternway_model::catalog::Digest::of_bytes(&bomb);
    let head =
        format!("{{\"format\":\"sternway.bundle/1\",\"sha256\":\"{sha256}\"}}\n").into_bytes();
    assert!(refused(&[head, bomb].concat()).contains("more than 512 MB"));
}
