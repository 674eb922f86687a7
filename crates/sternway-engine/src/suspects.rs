//! What a dirty mark may mean, and what the schema says about it.
//!
//! golang-migrate marks a track with the number that it was going *to*: an up to 7 that failed says
//! 7, and so does a down from 8. The number alone therefore does not tell which body was under way.

use std::fmt;

use sternway_database::{Database, DatabaseError};
use sternway_model::body::Destroyed;
use sternway_model::catalog::Direction;
use sternway_model::position::Position;

use crate::folder::Folder;

/// A body that may have been under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// The number of the migration.
    pub version: u64,
    /// Whether its up or its down half.
    pub direction: Direction,
    /// The file.
    pub file: String,
    /// What the row has to say if nothing of the body took effect.
    pub undone: Position,
    /// What the row has to say if all of it did.
    pub done: Position,
    /// Tables that the body makes or drops: their names, and whether they are there.
    pub signs: Vec<(String, bool)>,
}

impl fmt::Display for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Suspect { file, undone, done, .. } = self;
        write!(
            f,
            "`{file}` may not have ended: the schema is at {undone} if nothing of it took effect, \
             and at {done} if all of it did"
        )?;
        for (table, there) in &self.signs {
            write!(f, "; table `{table}` is {}", if *there { "there" } else { "not there" })?;
        }
        Ok(())
    }
}

/// The suspects in words, to follow a message about the mark.
pub(crate) fn listed(suspects: &[Suspect]) -> String {
    suspects.iter().map(|suspect| format!("; {suspect}")).collect()
}

/// The bodies that a dirty mark at `position` may mean.
///
/// # Errors
/// When the tables cannot be listed.
pub async fn suspects(
    database: &mut dyn Database,
    folder: &Folder,
    position: Position,
) -> Result<Vec<Suspect>, DatabaseError> {
    let tables = database.tables(&[]).await?;
    let set = folder.set();
    let here = position.number();
    let up = here.map(|version| (version, Direction::Up, set.before(version), position));
    let after = set.after(position);
    let down = after.map(|after| (after, Direction::Down, Position::At(after), position));
    let mut suspects = Vec::new();
    for (version, direction, undone, done) in up.into_iter().chain(down) {
        let file = set.get(version).and_then(|pair| pair.file(direction));
        let Some(file) = file.map(str::to_owned) else { continue };
        // A body that cannot be read tells nothing.
        let body = folder.body(&file).await.unwrap_or_default();
        let facts = database.facts(&body);
        let dropped = facts.destroys.iter().filter_map(|it| match &it.what {
            Destroyed::Table { table } => Some(table.clone()),
            _ => None,
        });
        let dropped = dropped.filter(|it| !facts.creates_tables.contains(it));
        let named = facts.creates_tables.iter().cloned().chain(dropped);
        let signs = named.map(|table| (table.clone(), tables.contains(&table))).collect();
        suspects.push(Suspect { version, direction, file, undone, done, signs });
    }
    Ok(suspects)
}
