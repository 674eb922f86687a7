//! What every dialect's records are read by, once the cells of a row are had.

use std::collections::BTreeMap;
use std::sync::Arc;

use sternway_model::catalog::{Digest, Half, Release};

use crate::port::DatabaseError;

/// One half of a migration: the name of its file, its hash and its body, which is put to the others.
/// A body that does not have its hash is no body of ours.
pub fn half(
    cells: [Option<String>; 3],
    bodies: &mut BTreeMap<Digest, Arc<str>>,
) -> Result<Option<Half>, DatabaseError> {
    let [Some(file), Some(hash), Some(body)] = cells else { return Ok(None) };
    let hash: Digest = hash.parse().map_err(|e| damaged(&e))?;
    if Digest::of_body(&body) != hash {
        return Err(DatabaseError::RecordsDamaged(format!("`{file}` does not have its hash")));
    }
    bodies.insert(hash, body.into());
    Ok(Some(Half { file, hash }))
}

/// A release as it was written.
pub fn release(text: &str) -> Result<Release, DatabaseError> {
    text.parse().map_err(|e| damaged(&e))
}

/// Records that say what cannot be.
pub fn damaged(error: &dyn std::error::Error) -> DatabaseError {
    DatabaseError::RecordsDamaged(error.to_string())
}
