//! Looking at a database, and changing nothing.

use std::collections::{BTreeMap, BTreeSet};

use sternway_database::{Database, DatabaseError};
use sternway_model::catalog::{Enabled, Track};
use sternway_model::state::State;

/// Reads the state of the application `app` with these tracks.
///
/// # Errors
/// When a question fails; a missing tracking table is an answer.
pub async fn observe(
    database: &mut dyn Database,
    app: &str,
    tracks: &[Track],
) -> Result<State, DatabaseError> {
    let tables = tables(tracks);
    let mut states = BTreeMap::new();
    for track in tracks.iter().filter(|track| track.enabled != Enabled::Never) {
        states.insert(track.name.clone(), database.track(&track.table).await?);
    }
    Ok(State {
        identity: database.identity().clone(),
        tracks: states,
        tables: Some(database.tables(&tables).await?),
        extensions: Some(database.extensions().await?),
        records: database.records(app).await?,
        fingerprint: Some(database.fingerprint(&tables).await?.digest()),
        clients: BTreeSet::new(),
    })
}

/// The tracking tables of all tracks.
pub fn tables(tracks: &[Track]) -> Vec<String> {
    tracks.iter().map(|track| track.table.clone()).collect()
}
