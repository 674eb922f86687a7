//! Identity: which migrations are the same, by what they say and by what they make.
//!
//! Two bodies are the same where their normal forms are: comments, white space and a transaction around
//! all of it do not count. Where the words differ, a shadow database can tell what they make: a
//! [`Question`] says what has to be found out, [`Findings`] what was. What nobody has found out is
//! taken for different, so that a planner without a shadow database refuses rather than errs.

use std::collections::BTreeMap;

use crate::catalog::{Digest, Half, Migration, MigrationSet, Release, TrackName};
use crate::plan::Facts;
use crate::position::Position;

/// The migrations of one track that are applied, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The migrations.
    pub set: MigrationSet,
    /// The down half that is run after them, where that is asked about: its migration is the last.
    pub then: Option<Half>,
    /// What names it: two with one key say the same.
    key: Digest,
}

/// What a shadow database can tell and words cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Which of these lineages a database has, the likeliest first.
    Which {
        /// The track.
        track: TrackName,
        /// What it may have.
        lineages: Vec<Lineage>,
    },
    /// Whether two lineages lead to the same schema.
    Alike {
        /// The track.
        track: TrackName,
        /// One.
        one: Box<Lineage>,
        /// The other.
        other: Box<Lineage>,
    },
}

/// What was found out of lineages on shadow databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Whether two lineages lead to the same schema; `None` where that cannot be found out.
    alike: BTreeMap<(Digest, Digest), Option<bool>>,
    /// The lineage that the database has of a track; `None` where it has none of those in question.
    has: BTreeMap<TrackName, Option<Digest>>,
}

static NOTHING: Findings = Findings { alike: BTreeMap::new(), has: BTreeMap::new() };

impl Findings {
    /// Those of somebody who has no shadow database.
    pub fn none() -> &'static Findings {
        &NOTHING
    }

    /// Writes down which lineage the database has.
    pub fn has(&mut self, track: &TrackName, lineage: Option<&Lineage>) {
        self.has.insert(track.clone(), lineage.map(|it| it.key));
    }

    /// Writes down whether two lineages lead to the same schema.
    pub fn alike(&mut self, one: &Lineage, other: &Lineage, alike: Option<bool>) {
        self.alike.insert(pair(one.key, other.key), alike);
    }

    /// Whether nobody has tried to answer a question yet.
    pub fn leaves_open(&self, question: &Question) -> bool {
        match question {
            Question::Which { track, .. } => !self.has.contains_key(track),
            Question::Alike { one, other, .. } => {
                !self.alike.contains_key(&pair(one.key, other.key))
            }
        }
    }

    fn are_alike(&self, one: Digest, other: Digest) -> Option<bool> {
        self.alike.get(&pair(one, other)).copied().flatten()
    }
}

fn pair(one: Digest, other: Digest) -> (Digest, Digest) {
    (one.min(other), one.max(other))
}

impl Facts<'_> {
    /// What two bodies that do the same have in common.
    pub(super) fn normal(&self, half: &Half) -> Digest {
        self.bodies.get(&half.hash).and_then(|body| body.normal).unwrap_or(half.hash)
    }

    /// Whether two halves do the same by their words. One that is missing contradicts none.
    pub(super) fn same_half(&self, one: Option<&Half>, other: Option<&Half>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => {
                one.hash == other.hash || self.normal(one) == self.normal(other)
            }
            _ => true,
        }
    }

    /// Whether two migrations have up halves that do the same by their words.
    pub(super) fn same_up(&self, one: &Migration, other: &Migration) -> bool {
        self.same_half(one.up.as_ref(), other.up.as_ref())
    }

    /// Whether two sets have the same numbers, and mean the same by them as far as words tell.
    pub(super) fn same_words(&self, one: &MigrationSet, other: &MigrationSet) -> bool {
        one == other
            || (one.same_versions(other)
                && one.iter().zip(other.iter()).all(|(a, b)| self.same_up(a, b)))
    }

    /// What is asked about.
    pub(super) fn lineage(&self, track: &TrackName, set: MigrationSet) -> Lineage {
        let mut text = format!("{track}\n");
        for migration in set.iter() {
            let up = migration.up.as_ref().map(|half| self.normal(half).to_string());
            text.push_str(&format!("{} {}\n", migration.version, up.unwrap_or_default()));
        }
        Lineage { set, then: None, key: Digest::of_bytes(text.as_bytes()) }
    }

    /// The same, and then `down`, the other half of its last migration.
    pub(super) fn lineage_then(&self, track: &TrackName, set: MigrationSet, down: Half) -> Lineage {
        let lineage = self.lineage(track, set);
        let key = Digest::of_bytes(format!("{} {}", lineage.key, self.normal(&down)).as_bytes());
        Lineage { then: Some(down), key, ..lineage }
    }

    /// Whether what is applied leads to what a release has, by the words or by what was found out.
    ///
    /// Where a release has more migrations and otherwise the same ones, and yet the same schema, what
    /// is lacking changes rows: that is not the same.
    pub(super) fn same(
        &self,
        track: &TrackName,
        ours: &MigrationSet,
        theirs: &MigrationSet,
    ) -> bool {
        let words = self.same_words(ours, theirs);
        if words || self.findings.alike.is_empty() {
            return words;
        }
        let keys = [ours, theirs].map(|set| self.lineage(track, set.clone()).key);
        self.findings.are_alike(keys[0], keys[1]) == Some(true) && !self.lacks(ours, theirs)
    }

    /// Whether two lineages were found to lead to the same schema, or not; `None` where that is open.
    pub(super) fn found(&self, one: &Lineage, other: &Lineage) -> Option<bool> {
        self.findings.are_alike(one.key, other.key)
    }

    /// The lineage of a track that the database was found to have.
    pub(super) fn found_in_database(&self, track: &TrackName) -> Option<Digest> {
        self.findings.has.get(track).copied().flatten()
    }

    fn lacks(&self, ours: &MigrationSet, theirs: &MigrationSet) -> bool {
        let nothing = Digest::of_bytes(b"");
        let in_theirs =
            |it: &Migration| theirs.get(it.version).is_some_and(|theirs| self.same_up(it, theirs));
        let says_something =
            |it: &Migration| it.up.as_ref().is_some_and(|half| self.normal(half) != nothing);
        ours.iter().all(in_theirs)
            && theirs.iter().any(|it| ours.get(it.version).is_none() && says_something(it))
    }

    /// Up to where two sets are the same by their words.
    pub(super) fn shared(&self, one: &MigrationSet, other: &MigrationSet) -> Position {
        let same = |(a, b): &(&Migration, &Migration)| a.version == b.version && self.same_up(a, b);
        one.iter().zip(other.iter()).take_while(same).last().map(|(it, _)| it.version).into()
    }

    /// Whether a release has no longer a track that an older one has.
    pub(super) fn is_retired(&self, track: &TrackName, release: &Release) -> bool {
        let releases = &self.catalog.releases;
        let lacks = releases.get(release).is_some_and(|it| it.set(track).is_empty());
        lacks && releases.range(..release).any(|(_, it)| !it.set(track).is_empty())
    }
}

impl Lineage {
    /// Whether it is the one that goes by this key.
    pub(super) fn is(&self, key: Digest) -> bool {
        self.key == key
    }
}
