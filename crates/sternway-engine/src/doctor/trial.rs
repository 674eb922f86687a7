//! Trying on a shadow what a body leads to, part by part.

use sternway_model::body::Mode;
use sternway_model::catalog::{Direction, Half, TrackName};
use sternway_model::plan::Migrate;
use sternway_model::position::Position;
use sternway_model::proof::{Difference, Expected, Fingerprint, compare};

use super::{InDoubt, Signs};
use crate::shadow::{Material, Positions, RehearsalError, Shadow, ShadowDatabase};

/// One track of a database that is looked into.
pub(super) struct Case<'a> {
    pub shadow: &'a Shadow,
    pub material: &'a Material<'a>,
    pub track: &'a TrackName,
    pub table: &'a str,
    /// What the rows of all tracks say.
    pub others: Positions,
    /// What the last journey is known to have left otherwise than a clean install has it.
    pub left: &'a [Difference],
}

/// A body in doubt, and the schema after each of its parts, from none to all. What could not be run
/// has none.
pub(super) struct Trial {
    pub in_doubt: InDoubt,
    pub after: Vec<Option<Fingerprint>>,
}

impl Trial {
    /// Finds out how much of the body took effect.
    pub fn judge(&mut self, signs: &Signs) {
        let InDoubt { parts, at_once, took, silent, invalid, .. } = &mut self.in_doubt;
        let fits = |after: &Option<Fingerprint>| after.as_ref().is_some_and(|it| signs.fit(it));
        let all = parts.len();
        *took = (0..=all).filter(|count| self.after.get(*count).is_some_and(fits)).collect();
        // What one transaction does is done whole or not at all; other states that look alike are
        // no answers.
        if *at_once && took.iter().any(|count| *count == 0 || *count == all) {
            took.retain(|count| *count == 0 || *count == all);
        }
        let same = |count: &usize| match (&self.after[count - 1], &self.after[*count]) {
            (Some(before), Some(after)) => before.objects == after.objects,
            _ => false,
        };
        *silent = (1..self.after.len()).filter(same).collect();
        let made = |name: &&_| self.after.iter().flatten().any(|it| it.objects.contains_key(name));
        *invalid = signs.invalid.iter().filter(made).map(|name| name.name.clone()).collect();
    }
}

impl<'a> Case<'a> {
    /// A clean install of every position of the track, in order, the other tracks where they are.
    /// Migrations behind one that does not run on the shadow are left out.
    pub async fn installs(&self) -> Result<Vec<(Position, Fingerprint)>, RehearsalError> {
        let mut shadow = self.shadow(Position::Nothing).await?;
        let mut installs = vec![(Position::Nothing, shadow.fingerprint().await?)];
        for migration in self.material.migrations.get(self.track).into_iter().flatten() {
            let Ok(step) = self.material.up(self.track, self.table, migration) else { break };
            if shadow.run(&step).await.is_err() {
                break;
            }
            installs.push((migration.version.into(), shadow.fingerprint().await?));
        }
        Ok(installs)
    }

    /// A shadow on which the track is at `position`.
    pub async fn shadow(&self, position: Position) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let mut shadow = ShadowDatabase::open(self.shadow, self.material).await;
        let mut positions = self.others.clone();
        positions.insert(self.track.clone(), position);
        shadow.install(&positions)?;
        Ok(shadow)
    }

    /// The bodies that a dirty mark at `mark` may mean: golang-migrate marks a track with the number
    /// that it was going to.
    pub fn suspects(&self, mark: Position) -> Vec<InDoubt> {
        let up = mark.number().and_then(|version| self.in_doubt(version, Direction::Up));
        let above = self.versions().find(|version| mark < *version);
        let down = above.and_then(|version| self.in_doubt(version, Direction::Down));
        up.into_iter().chain(down).collect()
    }

    fn versions(&self) -> impl DoubleEndedIterator<Item = u64> {
        let migrations = self.material.migrations.get(self.track).into_iter().flatten();
        migrations.map(|migration| migration.version)
    }

    /// Where the track stands before a migration.
    fn before(&self, version: u64) -> Position {
        self.versions().rev().find(|it| *it < version).into()
    }

    /// One half of a migration, and what it says.
    pub fn half(&self, version: u64, direction: Direction) -> Option<(&'a Half, &'a str)> {
        let mut migrations = self.material.migrations.get(self.track)?.iter();
        let half = migrations.find(|it| it.version == version)?.half(direction)?;
        Some((half, self.material.bodies.get(&half.hash)?))
    }

    fn in_doubt(&self, version: u64, direction: Direction) -> Option<InDoubt> {
        let (half, body) = self.half(version, direction)?;
        let (before, after) = (self.before(version), Position::At(version));
        let (undone, done) = match direction {
            Direction::Up => (before, after),
            Direction::Down => (after, before),
        };
        let dialect = self.shadow.dialect();
        Some(InDoubt {
            version,
            direction,
            file: half.file.clone(),
            undone,
            done,
            parts: dialect.parts(body).into_iter().map(str::to_owned).collect(),
            at_once: dialect.facts(body).mode == Mode::Transaction,
            took: Vec::new(),
            silent: Vec::new(),
            invalid: Vec::new(),
            stays: None,
        })
    }

    /// Runs a body in doubt from where nothing of it had taken effect.
    pub async fn try_out(&self, in_doubt: InDoubt) -> Result<Trial, RehearsalError> {
        let step = self.step(&in_doubt, in_doubt.direction);
        let mut shadow = self.shadow(in_doubt.undone).await?;
        let mut after = vec![Some(shadow.fingerprint().await?)];
        for part in &in_doubt.parts {
            if shadow.run_text(&step, part).await.is_err() {
                break;
            }
            after.push(Some(shadow.fingerprint().await?));
        }
        if after.len() <= in_doubt.parts.len() {
            // Statement by statement it does not run; as a whole it may.
            after.resize(in_doubt.parts.len(), None);
            let mut shadow = self.shadow(in_doubt.undone).await?;
            after.push(match shadow.run(&step).await {
                Ok(()) => Some(shadow.fingerprint().await?),
                Err(_) => None,
            });
        }
        Ok(Trial { in_doubt, after })
    }

    /// A step that runs one half of the migration in doubt on a shadow.
    pub fn step(&self, in_doubt: &InDoubt, direction: Direction) -> Migrate {
        let (from, to) = match direction == in_doubt.direction {
            true => (in_doubt.undone, in_doubt.done),
            false => (in_doubt.done, in_doubt.undone),
        };
        self.migrate(in_doubt.version, direction, from, to)
    }

    fn migrate(&self, version: u64, direction: Direction, from: Position, to: Position) -> Migrate {
        let half = self.half(version, direction).map(|(half, _)| half);
        Migrate {
            version,
            direction,
            to,
            hash: half.map_or_else(|| sternway_model::catalog::Digest::of_body(""), |it| it.hash),
            // The dialect says better in which mode it is run.
            ..Migrate::staying(
                self.track.clone(),
                self.table.to_owned(),
                from,
                half.map_or("", |it| &it.file),
            )
        }
    }

    /// Whether the schema is a clean install of what the row says but for what the last journey has left.
    pub fn is_as_left(
        &self,
        installs: &[(Position, Fingerprint)],
        row: Position,
        found: &Fingerprint,
    ) -> bool {
        let known = installs.iter().flat_map(|(_, it)| it.objects.keys()).cloned().collect();
        let install = installs.iter().find(|(version, _)| *version == row);
        install.is_some_and(|(_, clean)| {
            let expected = Expected { clean: clean.clone(), known, ..Expected::default() };
            let mut comparison = compare(&expected, found);
            comparison.know(self.left);
            comparison.holds()
        })
    }

    /// Whether the down halves lead from one of the positions `fits` to the row, and to the schema
    /// that was found: then they leave it as it is, and the row is right.
    pub async fn downs_leave(&self, row: Position, fits: &[Position], found: &Fingerprint) -> bool {
        for from in fits.iter().filter(|from| **from > row) {
            let Ok(mut shadow) = self.shadow(*from).await else { continue };
            let Ok(before) = shadow.fingerprint().await else { continue };
            let undone = self.versions().rev().filter(|it| *from >= *it && row < *it);
            let undone: Vec<u64> = undone.collect();
            let mut ran = true;
            for version in undone {
                let to = self.before(version);
                let step = self.migrate(version, Direction::Down, version.into(), to);
                let there = self.half(version, Direction::Down).is_some();
                ran = ran && there && shadow.run(&step).await.is_ok();
            }
            let Ok(after) = shadow.fingerprint().await else { continue };
            if ran && Signs::of([&before, &after].into_iter(), found).fit(&after) {
                return true;
            }
        }
        false
    }
}
