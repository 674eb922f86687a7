//! Releases in a bucket: a folder for each, as on a disk; or a bundle, which takes one request.
//!
//! A bucket keeps its own listing, page by page, and every file is asked for once. Nothing of it is kept between
//! readings: what an object holds, only its bytes tell.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::path::Path as Place;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore};
use sternway_model::catalog::Release;

use crate::directory::{Labels, labels, only};
use crate::files::buckets::store;
use crate::files::{Environment, LONGEST};
use crate::folder::{Body, File, Folder, first, is_migration};
use crate::reading::{Builder, Found};
use crate::{Bucket, Layout, Reading, SourceError, Warning, bundle};

/// How many keys are listed at most, and how many bytes are read in all.
const KEYS: usize = 1_000_000;
const INSIDE: usize = 512 << 20;

/// How many files are asked for at once.
const AT_ONCE: usize = 16;

/// Reads the releases in a bucket.
pub(crate) fn read(bucket: &Bucket, layout: &Layout) -> Result<Reading, SourceError> {
    // The caller may be inside of a runtime, where nothing may wait for another one.
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|cause| failed(bucket, cause))?;
            runtime.block_on(read_in(bucket, layout, &Environment::of_process()))
        });
        reading.join().unwrap_or_else(|_| Err(failed(bucket, "its reader broke down")))
    })
}

fn failed(bucket: &Bucket, source: impl Into<Box<dyn StdError + Send + Sync>>) -> SourceError {
    SourceError::Remote { place: bucket.to_string(), source: source.into() }
}

async fn read_in(
    bucket: &Bucket,
    layout: &Layout,
    environment: &Environment,
) -> Result<Reading, SourceError> {
    let failed = |cause: Error| failed(bucket, cause);
    let store = store(&bucket.scheme, &bucket.name, environment).map_err(failed)?;
    let place = bucket.to_string();
    let prefix = Path::parse(&bucket.path).map_err(|cause| failed(cause.into()))?;
    if !bucket.path.is_empty()
        && let Some(bytes) = whole(bucket, &*store, &prefix, LARGEST).await?
    {
        return bundle::read_bytes(&bytes, Place::new(&place), layout);
    }
    let keys = keys(bucket, &*store, &prefix).await?;
    if keys.is_empty() {
        return Err(self::failed(bucket, "nothing has a key that begins so"));
    }
    let folders: BTreeSet<&str> = keys.iter().filter_map(|it| it.split('/').next()).collect();
    let folders: Vec<String> = folders.into_iter().map(str::to_owned).collect();
    let Labels { releases, missed } = labels(Place::new(&place), &folders, layout)?;
    let mut builder = Builder::new(layout);
    if !missed.is_empty() {
        builder.warn(Warning::NoNumber { names: missed });
    }
    let wanted = wanted(&keys, &releases, layout);
    let bodies = bodies(bucket, &*store, wanted).await?;
    for (release, labels) in releases {
        let found = only(&release, &labels).map(|it| found(&keys, &bodies, it, &release, layout));
        builder.add(release, found);
    }
    builder.finish()
}

/// How large a bundle may be.
const LARGEST: usize = bundle::LARGEST as usize;

/// The keys of migrations below the prefix, without it.
async fn keys(
    bucket: &Bucket,
    store: &dyn ObjectStore,
    prefix: &Path,
) -> Result<BTreeSet<String>, SourceError> {
    let (mut keys, mut seen) = (BTreeSet::new(), 0);
    let mut listing = store.list(Some(prefix));
    while let Some(object) = listing.next().await {
        let location = object.map_err(|cause| failed(bucket, cause))?.location;
        seen += 1;
        if seen > KEYS {
            return Err(failed(bucket, format!("it has more than {KEYS} keys")));
        }
        let Some(parts) = location.prefix_match(prefix) else { continue };
        let parts: Vec<String> = parts.map(|it| it.as_ref().to_owned()).collect();
        // Whoever has a folder has it, whatever lies there.
        keys.insert(parts.join("/"));
    }
    Ok(keys)
}

/// The names of the migrations in a folder; none where there is no such folder.
fn names<'k>(keys: &'k BTreeSet<String>, folder: &str) -> Option<Vec<&'k str>> {
    let begin = format!("{folder}/");
    let inside = keys.range(begin.clone()..).take_while(|it| it.starts_with(&begin));
    let inside: Vec<&str> = inside.map(|it| &it[begin.len()..]).collect();
    let names = inside.iter().copied().filter(|it| !it.contains('/') && is_migration(it)).collect();
    (!inside.is_empty()).then_some(names)
}

/// The path of a track in a release, and the names of its migrations.
fn folder<'k>(
    keys: &'k BTreeSet<String>,
    label: &str,
    paths: impl Iterator<Item = String>,
) -> Option<(String, Vec<&'k str>)> {
    let places = paths.map(|path| {
        let inside = names(keys, &key(&[label, &path]));
        Ok::<_, Infallible>(inside.map(|inside| (path, inside)))
    });
    let Ok(found) = first(places, |(_, names): &(String, Vec<&str>)| !names.is_empty());
    found
}

fn key(parts: &[&str]) -> String {
    let parts = parts.iter().flat_map(|it| it.split('/')).filter(|it| !it.is_empty() && *it != ".");
    parts.collect::<Vec<_>>().join("/")
}

/// The keys of all files that are to be read.
fn wanted(
    keys: &BTreeSet<String>,
    releases: &BTreeMap<Release, Vec<String>>,
    layout: &Layout,
) -> Vec<String> {
    let mut wanted = Vec::new();
    for (release, labels) in releases {
        let Ok(label) = only(release, labels) else { continue };
        for track in layout.read_tracks() {
            let paths = track.paths_in(release).map(ToOwned::to_owned);
            let Some((path, names)) = folder(keys, label, paths) else { continue };
            wanted.extend(names.into_iter().map(|it| key(&[label, &path, it])));
        }
    }
    wanted
}

/// What these files hold.
async fn bodies(
    bucket: &Bucket,
    store: &dyn ObjectStore,
    wanted: Vec<String>,
) -> Result<BTreeMap<String, Body>, SourceError> {
    let each = stream::iter(wanted).map(|name| async move {
        let path = Path::parse(key(&[&bucket.path, &name]));
        let path = path.map_err(|cause| failed(bucket, cause))?;
        let bytes = whole(bucket, store, &path, LONGEST).await?;
        let gone = || failed(bucket, format!("`{name}` is listed and not there"));
        Ok::<_, SourceError>((name.clone(), bytes.ok_or_else(gone)?))
    });
    let mut each = each.buffer_unordered(AT_ONCE);
    let (mut bodies, mut size) = (BTreeMap::new(), 0);
    while let Some((name, bytes)) = each.try_next().await? {
        size += bytes.len();
        if size > INSIDE {
            return Err(failed(bucket, format!("its files have more than {} MB", INSIDE >> 20)));
        }
        bodies.insert(name, Body::of(&bytes));
    }
    Ok(bodies)
}

/// An object, to its end; nothing where there is none.
async fn whole(
    bucket: &Bucket,
    store: &dyn ObjectStore,
    path: &Path,
    longest: usize,
) -> Result<Option<Vec<u8>>, SourceError> {
    let found = match store.get_opts(path, GetOptions::default()).await {
        Ok(found) => found,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(cause) => return Err(failed(bucket, cause)),
    };
    let expected = found.meta.size;
    let (mut bytes, mut rest) = (Vec::new(), found.into_stream());
    while let Some(more) = rest.next().await {
        bytes.extend(more.map_err(|cause| failed(bucket, cause))?);
        if bytes.len() > longest {
            return Err(failed(bucket, format!("`{path}` has more than {} MB", longest >> 20)));
        }
    }
    if bytes.len() as u64 != expected {
        let got = bytes.len();
        let what = format!("`{path}` was cut short: {got} of {expected} bytes arrived");
        return Err(failed(bucket, what));
    }
    Ok(Some(bytes))
}

/// The release in the folder `label`.
fn found(
    keys: &BTreeSet<String>,
    bodies: &BTreeMap<String, Body>,
    label: &str,
    release: &Release,
    layout: &Layout,
) -> Found {
    let folders = layout.read_tracks().map(|track| {
        let paths = track.paths_in(release).map(ToOwned::to_owned);
        let (path, names) = folder(keys, label, paths)?;
        let file = |name: &str| File {
            name: name.to_owned(),
            body: bodies.get(&key(&[label, &path, name])).cloned(),
        };
        let files: Vec<File> = names.into_iter().map(file).collect();
        Some(Folder { path: path.clone(), files: files.into() })
    });
    Found { label: label.to_owned(), commit: None, folders: folders.collect() }
}
