//! Taking a snapshot: rows counted, schema read and database written as of one moment, and the manifest last.

use std::collections::BTreeMap;
use std::time::Instant;

use sternway_database::failpoint::{self, Point};
use sternway_database::{Contents, Dialect, Whole};
use sternway_model::catalog::{Release, TrackName};
use sternway_model::proof::Fingerprint;
use sternway_model::state::{Identity, TrackingRow};

use crate::dump::{self, Dumped, Place, Tool};
use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::restore::mend;
use crate::seal::AGE;
use crate::stream::Meter;
use crate::{Progress, Settings, Watch};

/// What is known of the application's database.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The release whose schema it has, if that is known.
    pub release: Option<Release>,
    /// What each track's tracking table says.
    pub tracks: BTreeMap<TrackName, TrackingRow>,
    /// The tracking tables.
    pub tables: Vec<String>,
}

/// What a database is at one moment.
pub(crate) struct Look {
    pub contents: Contents,
    pub fingerprint: Fingerprint,
}

/// Reads it, between `hold` and `release`.
pub(crate) async fn look(whole: &mut dyn Whole, tables: &[String]) -> Result<Look, SnapshotError> {
    let contents = whole.contents().await?;
    let fingerprint = whole.fingerprint(tables).await?;
    Ok(Look { contents, fingerprint })
}

/// The same, of this moment alone.
pub(crate) async fn look_once(
    whole: &mut dyn Whole,
    tables: &[String],
) -> Result<Look, SnapshotError> {
    whole.hold().await?;
    let looked = look(whole, tables).await;
    let released = whole.release().await;
    let found = looked?;
    released?;
    Ok(found)
}

/// How long a snapshot of a database of this size takes about, in seconds: as the last one took, by its size.
///
/// # Errors
/// When the store cannot be read. Nothing where there is no earlier one.
pub async fn estimate(settings: &Settings, bytes: u64) -> Result<Option<f64>, SnapshotError> {
    Ok(last(settings).await?.map(|it| it.seconds * ratio(bytes, it.database_bytes)))
}

async fn last(settings: &Settings) -> Result<Option<Manifest>, SnapshotError> {
    let all = settings.store.list(&settings.app).await?.into_iter().rev();
    Ok(all.filter_map(|it| it.manifest.ok()).find(|it| it.database_bytes > 0 && it.copy.is_none()))
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

/// Takes a snapshot.
///
/// # Errors
/// Where there is none afterwards; what was written of it is removed, as far as that is possible.
pub async fn take(
    whole: &mut dyn Whole,
    about: &About,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<Manifest, SnapshotError> {
    failpoint::hit(Point::Snapshot);
    mend(whole).await?;
    let tool = dump::tool(whole, settings).await?;
    let last = last(settings).await?;
    let begun = Begun::now(whole, settings).await?;
    // What the program writes is smaller than the database, by about as much as the last time.
    let of = last.map(|it| (it.bytes() as f64 * ratio(begun.size, it.database_bytes)) as u64);
    let place = Place { settings, id: &begun.id };
    match write(whole, about, &tool, &place, of, watch).await {
        Ok(taken) => begun.end(whole, about, settings, taken).await,
        Err(error) => {
            begun.give_up(settings).await;
            Err(error)
        }
    }
}

/// A snapshot that is begun.
pub(crate) struct Begun {
    pub id: String,
    /// The database; the session may be elsewhere in the end.
    pub identity: Identity,
    at: String,
    since: Instant,
    size: u64,
}

/// What was taken of a database.
pub(crate) struct Taken {
    pub look: Look,
    pub written_meanwhile: Vec<String>,
    pub dumped: Dumped,
    /// The database that it is, where it is one.
    pub copy: Option<String>,
    /// What has done it, and its version.
    pub tool: String,
}

impl Begun {
    /// Makes its place in the store.
    pub async fn now(whole: &mut dyn Whole, settings: &Settings) -> Result<Begun, SnapshotError> {
        let (since, at) = (Instant::now(), manifest::now());
        let size = whole.size().await?;
        let id = settings.store.begin(&settings.app).await?;
        Ok(Begun { id, identity: whole.identity().clone(), at, since, size })
    }

    /// Removes it.
    pub async fn give_up(&self, settings: &Settings) {
        if let Err(left) = settings.store.remove(&settings.app, &self.id).await {
            tracing::warn!("the unfinished snapshot `{}` stays: {left}", self.id);
        }
    }

    /// Writes what it is of.
    pub async fn end(
        self,
        whole: &mut dyn Whole,
        about: &About,
        settings: &Settings,
        taken: Taken,
    ) -> Result<Manifest, SnapshotError> {
        let Taken { look, written_meanwhile, dumped: Dumped { mut files, is_folder }, .. } = taken;
        let is_sealed = taken.copy.is_none() && !settings.recipients.is_empty();
        let schema = serde_json::to_vec(&look.fingerprint).unwrap_or_default();
        settings.store.write(&settings.app, &self.id, manifest::SCHEMA, &schema).await?;
        files.push(File::of(manifest::SCHEMA, &schema));
        let manifest = Manifest {
            format: manifest::FORMAT,
            id: self.id,
            app: settings.app.clone(),
            taken_at: self.at,
            seconds: self.since.elapsed().as_secs_f64(),
            release: about.release.clone(),
            tracks: about.tracks.clone(),
            tables: about.tables.clone(),
            dialect: whole.dialect().to_string(),
            server: self.identity.server,
            database: self.identity.database,
            database_bytes: self.size,
            tool: taken.tool,
            sternway: env!("CARGO_PKG_VERSION").to_owned(),
            fingerprint: look.fingerprint.digest(),
            contents: look.contents,
            written_meanwhile,
            is_folder,
            sealed: is_sealed.then(|| AGE.to_owned()),
            copy: taken.copy,
            files,
            proven: None,
        };
        failpoint::hit(Point::Sealing);
        manifest.write(settings).await?;
        failpoint::hit(Point::Sealed);
        Ok(manifest)
    }
}

impl Manifest {
    /// Writes it into its snapshot.
    pub(crate) async fn write(&self, settings: &Settings) -> Result<(), SnapshotError> {
        let failed = |error| SnapshotError::store("write a manifest", error);
        let text = serde_json::to_vec_pretty(self).map_err(failed)?;
        settings.store.write(&settings.app, &self.id, manifest::NAME, &text).await
    }
}

async fn write(
    whole: &mut dyn Whole,
    about: &About,
    tool: &Tool,
    place: &Place<'_>,
    of: Option<u64>,
    watch: &mut dyn Watch,
) -> Result<Taken, SnapshotError> {
    watch.tell(Progress::Doing("counting the rows of every table".to_owned()));
    let moment = whole.hold().await?;
    let looked = look(whole, &about.tables).await;
    let at_one_moment = moment.is_some();
    let dumped = match looked {
        Err(error) => Err(error),
        Ok(mut look) => {
            if !at_one_moment {
                whole.release().await?;
            }
            watch.tell(Progress::Doing(format!("writing the database, by {}", tool.words())));
            failpoint::hit(Point::Dumping);
            let mut meter = Meter::new(watch, of);
            let dumped = dump::dump(whole, tool, moment.as_deref(), place, &mut meter).await;
            failpoint::hit(Point::Dumped);
            match dumped {
                Err(error) => Err(error),
                Ok(dumped) if at_one_moment => Ok((look, Vec::new(), dumped)),
                Ok(dumped) => {
                    watch.tell(Progress::Doing(
                        "looking whether anybody wrote meanwhile".to_owned(),
                    ));
                    let after = look_once(whole, &about.tables).await?;
                    let meanwhile = meanwhile(&mut look, &after);
                    Ok((look, meanwhile, dumped))
                }
            }
        }
    };
    if at_one_moment {
        let released = whole.release().await;
        if dumped.is_ok() {
            released?;
        }
    }
    let (look, written_meanwhile, dumped) = dumped?;
    Ok(Taken { look, written_meanwhile, dumped, copy: None, tool: tool.words() })
}

/// Leaves the tables out that were written to between two looks, and names them.
fn meanwhile(before: &mut Look, after: &Look) -> Vec<String> {
    let names = before.contents.keys().chain(after.contents.keys());
    let changed = |name: &&String| before.contents.get(*name) != after.contents.get(*name);
    let mut changed: Vec<String> = names.filter(changed).cloned().collect();
    changed.sort();
    changed.dedup();
    before.contents.retain(|name, _| !changed.contains(name));
    if before.fingerprint != after.fingerprint {
        changed.push("the schema itself".to_owned());
    }
    changed
}

/// Refuses a snapshot of another kind of database.
pub(crate) fn must_fit(manifest: &Manifest, dialect: Dialect) -> Result<(), SnapshotError> {
    let here = dialect.to_string();
    if manifest.dialect == here {
        return Ok(());
    }
    let (id, of) = (manifest.id.clone(), manifest.dialect.clone());
    Err(SnapshotError::OtherKind { id, of, here })
}
