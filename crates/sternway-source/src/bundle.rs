//! A bundle: every release's migrations in one file, for places that no source can be reached from.
//!
//! The first line is a header with the checksum of what follows, which is JSON in zlib's form. Bodies are kept
//! once each, under their hash, and so are the lists of files: most releases have the migrations of the one
//! before. A bundle from elsewhere is foreign text: nothing of it is believed before its hash was computed.

use std::collections::BTreeMap;
use std::fs::File as Open;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use sternway_model::catalog::{Catalog, Digest, Release, TrackName};

use crate::folder::{Body, File, Folder, is_migration};
use crate::reading::{Builder, Found};
use crate::{Layout, Reading, SourceError};

const FORMAT: &str = "sternway.bundle/1";

/// How large a bundle may be, and how large what is in it, in bytes.
pub(crate) const LARGEST: u64 = 256 << 20;
const INSIDE: u64 = 512 << 20;

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    sha256: Digest,
}

/// What follows it.
#[derive(Default, Serialize, Deserialize)]
struct Content {
    app: String,
    releases: BTreeMap<String, Packed>,
    /// The releases that could not be read, and why.
    left_out: BTreeMap<String, String>,
    /// Lists of files by their hash: names with the hashes of bodies.
    folders: BTreeMap<Digest, Vec<(String, Digest)>>,
    /// The bodies; one that is not UTF-8 is missing.
    bodies: BTreeMap<Digest, Arc<str>>,
}

/// A release in a bundle.
#[derive(Serialize, Deserialize)]
struct Packed {
    label: String,
    commit: Option<String>,
    tracks: BTreeMap<TrackName, Digest>,
}

/// The bundle of a catalog, as the bytes of a file. The same catalog gives the same bytes.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn bundle(catalog: &Catalog) -> Result<Vec<u8>, std::io::Error> {
    let mut content = Content { app: catalog.app.clone(), ..Content::default() };
    for (release, entry) in &catalog.releases {
        let mut tracks = BTreeMap::new();
        for (track, set) in &entry.tracks {
            let halves = set.iter().flat_map(|it| [it.up.as_ref(), it.down.as_ref()]).flatten();
            let files: Vec<(String, Digest)> =
                halves.map(|half| (half.file.clone(), half.hash)).collect();
            let digest = listing(&files)?;
            for (_, body) in &files {
                if let Some(text) = catalog.bodies.get(body) {
                    content.bodies.insert(*body, text.clone());
                }
            }
            content.folders.entry(digest).or_insert(files);
            tracks.insert(track.clone(), digest);
        }
        let (label, commit) = (entry.label.clone(), entry.commit.clone());
        content.releases.insert(release.to_string(), Packed { label, commit, tracks });
    }
    let left_out = catalog.left_out.iter();
    content.left_out = left_out.map(|(release, why)| (release.to_string(), why.clone())).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&serde_json::to_vec(&content)?)?;
    let packed = encoder.finish()?;
    let header = Header { format: FORMAT.to_owned(), sha256: Digest::of_bytes(&packed) };
    let mut bytes = serde_json::to_vec(&header)?;
    bytes.push(b'\n');
    bytes.extend(packed);
    Ok(bytes)
}

/// The hash of a list of files.
fn listing(files: &[(String, Digest)]) -> Result<Digest, serde_json::Error> {
    Ok(Digest::of_bytes(&serde_json::to_vec(files)?))
}

/// Whether the file at `path` begins as a bundle does.
pub(crate) fn is_bundle(path: &Path) -> bool {
    let begins = br#"{"format":"sternway.bundle"#;
    let mut first = [0; 26];
    path.is_file()
        && Open::open(path).and_then(|mut it| it.read_exact(&mut first)).is_ok()
        && first == *begins
}

/// Reads the bundle at `path`.
pub(crate) fn read(path: &Path, layout: &Layout) -> Result<Reading, SourceError> {
    let failed = |source| SourceError::File { path: path.into(), source };
    let mut bytes = Vec::new();
    let file = Open::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    read_bytes(&bytes, path, layout)
}

/// Reads a bundle whose bytes lie at `path`.
pub(crate) fn read_bytes(
    bytes: &[u8],
    path: &Path,
    layout: &Layout,
) -> Result<Reading, SourceError> {
    let wrong = |reason: &str| SourceError::Bundle { path: path.into(), reason: reason.to_owned() };
    let content = content(bytes, path)?;
    let mut builder = Builder::new(layout);
    for (release, why) in content.left_out {
        let release: Release =
            release.parse().map_err(|_| wrong("it names a release that is none"))?;
        builder.leave_out(release, why);
    }
    let mut known: BTreeMap<Digest, Arc<[File]>> = BTreeMap::new();
    for (release, packed) in content.releases {
        let release: Release =
            release.parse().map_err(|_| wrong("it names a release that is none"))?;
        let mut folders = Vec::new();
        for track in layout.read_tracks() {
            let Some(digest) = packed.tracks.get(&track.name) else {
                folders.push(None);
                continue;
            };
            let listed = content.folders.get(digest);
            let listed = listed.ok_or_else(|| wrong("a list of files is missing from it"))?;
            let files = known.entry(*digest).or_insert_with(|| {
                let file = |(name, digest): &(String, Digest)| {
                    let text = content.bodies.get(digest).cloned();
                    File { name: name.clone(), body: Some(Body { digest: *digest, text }) }
                };
                listed.iter().map(file).collect()
            });
            let files = files.clone();
            let path = track.paths_in(&release).next().unwrap_or_default().to_owned();
            folders.push(Some(Folder { path, files }));
        }
        let found = Found { label: packed.label, commit: packed.commit, folders };
        builder.add(release, Ok(found));
    }
    builder.finish()
}

/// What is in a bundle, once every hash was computed.
fn content(bytes: &[u8], path: &Path) -> Result<Content, SourceError> {
    let wrong = |reason: &str| SourceError::Bundle { path: path.into(), reason: reason.to_owned() };
    if bytes.len() as u64 > LARGEST {
        return Err(wrong(&format!("it has more than {} MB", LARGEST >> 20)));
    }
    let none = "it does not begin as a bundle does; `sternway bundle` writes one";
    let end = bytes.iter().take(4096).position(|it| *it == b'\n').ok_or_else(|| wrong(none))?;
    let (header, packed) = (&bytes[..end], &bytes[end + 1..]);
    let header: Header = serde_json::from_slice(header).map_err(|_| wrong(none))?;
    if header.format != FORMAT {
        return Err(wrong("it was written by another version of Sternway; write it again"));
    }
    if header.sha256 != Digest::of_bytes(packed) {
        return Err(wrong(
            "its checksum does not fit: it was changed or cut short; fetch it again",
        ));
    }
    let mut json = Vec::new();
    let unpacked = ZlibDecoder::new(packed).take(INSIDE + 1).read_to_end(&mut json);
    if json.len() as u64 > INSIDE {
        return Err(wrong(&format!("what is in it has more than {} MB", INSIDE >> 20)));
    }
    let content = unpacked.ok().and_then(|_| serde_json::from_slice(&json).ok());
    let content: Content = content.ok_or_else(|| wrong("what is in it makes no sense"))?;
    let folders = content.folders.iter();
    let named = folders.flat_map(|(_, files)| files).all(|(name, _)| is_migration(name));
    let listed =
        content.folders.iter().all(|(digest, files)| listing(files).is_ok_and(|it| it == *digest));
    let said = content.bodies.iter().all(|(digest, text)| Digest::of_body(text) == *digest);
    if named && listed && said {
        Ok(content)
    } else {
        Err(wrong("a hash in it does not fit what it names"))
    }
}
