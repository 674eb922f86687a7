//! A track as an application registers it, and what is wrong with a registration.

use sternway_model::catalog::TrackName;

use crate::{Migrations, SetupError};

/// The longest name that PostgreSQL keeps whole.
const LONGEST: usize = 63;

/// One ordered list of migrations with its own tracking table.
#[derive(Debug, Clone)]
pub struct Track {
    pub(crate) name: TrackName,
    pub(crate) migrations: Migrations,
    pub(crate) table: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) requires_extension: Option<String>,
}

impl Track {
    /// A track with this name: lower-case letters, digits, `_` and `-`, a letter first.
    pub fn new(name: impl Into<String>, migrations: Migrations) -> Track {
        Track {
            name: TrackName(name.into()),
            migrations,
            table: None,
            schema: None,
            requires_extension: None,
        }
    }

    /// Its tracking table. Without this it is the one that the URL names with `x-migrations-table`, or
    /// golang-migrate's default, `schema_migrations`.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Track {
        self.table = Some(table.into());
        self
    }

    /// Its schema, which is made where there is none, and is alone on the search path of its
    /// migrations. Without this it is the one that the connection leads to. PostgreSQL only.
    ///
    /// An extension is found only where the search path leads: let the migration that creates it name
    /// the schema.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Track {
        self.schema = Some(schema.into());
        self
    }

    /// An extension that the server has to offer. It is asked for before anything is created; a
    /// migration of the track creates it.
    #[must_use]
    pub fn requires_extension(mut self, extension: impl Into<String>) -> Track {
        self.requires_extension = Some(extension.into());
        self
    }

    /// Checks what can be checked of one track without a database.
    fn validate(&self) -> Result<(), SetupError> {
        let track = || self.name.clone();
        if !is_name(&self.name.0, |c| c.is_ascii_lowercase(), '-') {
            return Err(SetupError::Name { track: track() });
        }
        if self.table.as_ref().is_some_and(String::is_empty) {
            return Err(SetupError::Table { track: track() });
        }
        if let Some(schema) = &self.schema {
            let fits = is_name(schema, |c| c.is_ascii_lowercase() || c == '_', '_');
            if !fits || schema.len() > LONGEST {
                return Err(SetupError::Schema { track: track(), schema: schema.clone() });
            }
        }
        Ok(())
    }
}

/// Whether a name begins with `first` and goes on with small letters, digits, `_` or `also`.
fn is_name(name: &str, first: impl Fn(char) -> bool, also: char) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == also;
    name.starts_with(first) && name.chars().all(inner)
}

/// Checks what can be checked of all tracks without a database and without their files.
pub(crate) fn validate(tracks: &[Track]) -> Result<(), SetupError> {
    if tracks.is_empty() {
        return Err(SetupError::NoTracks);
    }
    for (index, track) in tracks.iter().enumerate() {
        track.validate()?;
        let before = &tracks[..index];
        if before.iter().any(|it| it.name == track.name) {
            return Err(SetupError::Twice { track: track.name.clone() });
        }
        let same = |it: &&Track| it.table == track.table && it.schema == track.schema;
        if let Some(first) = before.iter().find(same) {
            return Err(SetupError::Shared {
                first: first.name.clone(),
                second: track.name.clone(),
                table: track.table.clone(),
                schema: track.schema.clone(),
            });
        }
    }
    Ok(())
}
