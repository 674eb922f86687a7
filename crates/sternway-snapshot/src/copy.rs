//! Snapshots that are databases on the server of their original: `CREATE DATABASE … TEMPLATE` copies files, where
//! `pg_dump` writes every row and `pg_restore` makes every index again.
//!
//! What it is of is in the store as for any other, so that it is proven, restored and pruned like one; what it is, is
//! gone with the server. What the manifest says is read from the copy, and not from its original: whoever writes
//! there, it is what was copied.

use sternway_database::failpoint::{self, Point};
use sternway_database::{Dialect, Whole};

use crate::dump::Dumped;
use crate::error::SnapshotError;
use crate::manifest::{self, File, Manifest};
use crate::names::Names;
use crate::restore::mend;
use crate::take::{About, Begun, Look, Taken, look_once};
use crate::{Progress, Settings, Watch};

/// Takes a snapshot that is a database on the server. `end_sessions`: whether sessions of others are ended, which are in
/// the way. No session of ours may be open on the database but `whole`.
///
/// # Errors
/// Where there is none afterwards.
pub async fn copy(
    whole: &mut dyn Whole,
    about: &About,
    end_sessions: bool,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<Manifest, SnapshotError> {
    failpoint::hit(Point::Snapshot);
    if whole.dialect() != Dialect::Postgres {
        return Err(SnapshotError::NoCopies(whole.dialect().to_string()));
    }
    mend(whole).await?;
    let begun = Begun::now(whole, settings).await?;
    let database = begun.identity.database.clone();
    let name = Names::beside(whole.dialect(), &database).copy(&begun.id);
    let written = File::of(manifest::COPY, name.as_bytes());
    let made = async {
        // Whoever finds it unfinished knows what to drop.
        let (app, id) = (&settings.app, &begun.id);
        settings.store.write(app, id, manifest::COPY, name.as_bytes()).await?;
        watch.tell(Progress::Doing(format!("copying `{database}` to `{name}`, on the server")));
        failpoint::hit(Point::Dumping);
        whole.copy(&database, &name, end_sessions).await?;
        failpoint::hit(Point::Dumped);
        let looked = look_at(whole, &name, about, watch).await;
        if looked.is_err()
            && let Err(left) = whole.remove(&name).await
        {
            tracing::warn!("`{name}` stays: {left}");
        }
        looked
    };
    let look = match made.await {
        Ok(look) => look,
        Err(error) => {
            begun.give_up(settings).await;
            return Err(error);
        }
    };
    let tool = format!("CREATE DATABASE of {}", begun.identity.server);
    let dumped = Dumped { files: vec![written], is_folder: false };
    let taken = Taken { look, written_meanwhile: Vec::new(), dumped, copy: Some(name), tool };
    begun.end(whole, about, settings, taken).await
}

/// What a copy holds; nobody changes it from then on.
async fn look_at(
    whole: &mut dyn Whole,
    name: &str,
    about: &About,
    watch: &mut dyn Watch,
) -> Result<Look, SnapshotError> {
    watch.tell(Progress::Doing("counting the rows of every table".to_owned()));
    let mut copy = whole.open(name).await?;
    let look = look_once(&mut *copy, &about.tables).await?;
    drop(copy);
    whole.shut(name).await?;
    Ok(look)
}

/// Makes the database `name` of a snapshot that is the database `copy`.
pub(crate) async fn make(
    whole: &mut dyn Whole,
    manifest: &Manifest,
    copy: &str,
    name: &str,
) -> Result<(), SnapshotError> {
    let is_there = whole.beside(copy).await?.iter().any(|it| it == copy);
    if !is_there || !Names::is_copy(copy, &manifest.id) {
        let (id, database) = (manifest.id.clone(), copy.to_owned());
        return Err(SnapshotError::Gone { id, database });
    }
    Ok(whole.copy(copy, name, false).await?)
}
