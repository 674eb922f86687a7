//! Whether a release may run on the schema as it is: most rollbacks need no change of it.

use std::fmt;

use crate::catalog::{Direction, Release, TrackName};
use crate::plan::course::Gap;
use crate::plan::{Facts, PlanError, applied, course};
use crate::position::Position;

/// Whether a release may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Yes,
    /// It may not.
    No,
    /// Nobody says, and the words of the migrations do not tell.
    Unknown,
}

/// Whether a release may run, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanRun {
    /// The release, as the catalog writes it.
    pub release: Release,
    /// Whether it may.
    pub answer: Answer,
    /// Why, the most important first.
    pub reasons: Vec<Reason>,
}

/// Why a release may run, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The schema is its own.
    Own,
    /// It needs migrations that are not applied.
    Behind {
        /// The track.
        track: TrackName,
        /// Where that stands.
        at: Position,
        /// Where the release needs it.
        needs: Position,
    },
    /// What is applied is not what it has.
    Apart(String),
    /// The schema is ahead of it.
    Ahead {
        /// The track.
        track: TrackName,
        /// Where that stands.
        at: Position,
        /// What the release has.
        has: Position,
    },
    /// The policy says that it starts on a schema as far ahead as this.
    InWindow,
    /// The schema is further ahead than the policy's window.
    BeyondWindow,
    /// Only later releases start on a schema ahead of them.
    StartsOnlySince(Release),
    /// Nobody says whether it starts on a schema ahead of it.
    NobodySays,
    /// A migration ahead of it takes away what its own schema has.
    Takes {
        /// The file.
        file: String,
        /// What, as the file says it.
        what: String,
    },
    /// By their words, the migrations ahead of it take nothing away.
    TakesNothing,
    /// A border lies between it and the release that the schema is of.
    Hazard {
        /// What it is called.
        name: String,
        /// What happens there.
        message: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("the schema is its own"),
            Self::Behind { track, at, needs } => {
                write!(f, "track `{track}` stands at {at}, and it needs {needs}")
            }
            Self::Apart(reason) => f.write_str(reason),
            Self::Ahead { track, at, has } => {
                write!(f, "track `{track}` stands at {at}, ahead of its {has}")
            }
            Self::InWindow => f.write_str("the policy says that it starts on a schema as far ahead as this"),
            Self::BeyondWindow => f.write_str("the schema is further ahead than the policy's window"),
            Self::StartsOnlySince(since) => {
                write!(f, "only releases since {since} start on a schema ahead of them")
            }
            Self::NobodySays => f.write_str(
                "nobody says whether it starts on a schema ahead of it (ahead_ok_since and window of [policy])",
            ),
            Self::Takes { file, what } => write!(f, "`{file}` takes away {what}, which its own schema has"),
            Self::TakesNothing => {
                f.write_str("by their words, the migrations ahead of it only add; what they ask of new rows was not looked at")
            }
            Self::Hazard { name, message } => write!(f, "hazard `{name}`: {message}"),
        }
    }
}

/// Finds out whether a release may run on the schema as it is.
///
/// # Errors
/// Where it is not in the catalog, or what is applied cannot be told.
pub fn can_run(facts: &Facts<'_>, release: &Release) -> Result<CanRun, PlanError> {
    let entry = course::target(facts, release)?;
    // As the catalog writes it.
    let known = facts.catalog.releases.get_key_value(release);
    let release = known.map_or(release, |(known, _)| known);
    let applied = applied::applied(facts)?;
    let said = |answer, reasons| Ok(CanRun { release: release.clone(), answer, reasons });
    let gaps = match course::gaps(facts, &applied.tracks, &applied.sets, release, false) {
        Ok(gaps) => gaps,
        Err(apart) if apart.differs() => {
            return said(Answer::No, vec![Reason::Apart(apart.to_string())]);
        }
        Err(error) => return Err(error),
    };
    let (mut behind, mut ahead, mut takes) = (Vec::new(), Vec::new(), Vec::new());
    for (name, gap) in &gaps {
        let (track, ours, theirs) = (name.clone(), applied.set(name), entry.set(name));
        let (at, has) = (ours.last(), theirs.last());
        match gap {
            Gap::Behind => behind.push(Reason::Behind { track, at, needs: has }),
            Gap::Ahead => {
                ahead.push(Reason::Ahead { track, at, has });
                let beyond = ours.iter().filter(|it| has < it.version);
                for up in beyond.filter_map(|it| it.half(Direction::Up)) {
                    let destroys = facts.bodies.get(&up.hash).map(|it| &it.destroys);
                    takes.extend(destroys.into_iter().flatten().map(|it| Reason::Takes {
                        file: up.file.clone(),
                        what: it.what.to_string(),
                    }));
                }
            }
            Gap::Equal | Gap::Retired | Gap::Apart(_) => {}
        }
    }
    if !behind.is_empty() {
        return said(Answer::No, behind);
    }
    let hazards = hazards(facts, release);
    if !hazards.is_empty() {
        return said(Answer::No, [hazards, ahead].concat());
    }
    if ahead.is_empty() {
        return said(Answer::Yes, vec![Reason::Own]);
    }
    let policy = facts.policy;
    let in_window = applied.minor.is_some_and(|it| policy.tolerates(release, it, facts.catalog));
    let (answer, why) = match &policy.ahead_ok_since {
        Some(since) if release < since => (Answer::No, Reason::StartsOnlySince(since.clone())),
        Some(_) if in_window && takes.is_empty() => (Answer::Yes, Reason::InWindow),
        // The policy says one thing and a file another.
        Some(_) if in_window => (Answer::Unknown, Reason::InWindow),
        Some(_) => (Answer::No, Reason::BeyondWindow),
        None if takes.is_empty() => (Answer::Unknown, Reason::NobodySays),
        None => (Answer::No, Reason::NobodySays),
    };
    let words = if takes.is_empty() { vec![Reason::TakesNothing] } else { takes };
    said(answer, [vec![why], ahead, words].concat())
}

/// The borders between a release and the one that runs, or that the schema is of.
fn hazards(facts: &Facts<'_>, release: &Release) -> Vec<Reason> {
    let standing = super::standing(facts).ok();
    let newest = || standing.as_ref().and_then(|it| it.releases.last());
    let Some(from) = facts.app.running.as_ref().or_else(newest) else { return Vec::new() };
    let crossed = facts.policy.hazards_between(from, release).filter(|it| it.refuses);
    crossed
        .map(|it| Reason::Hazard { name: it.name.clone(), message: it.message.clone() })
        .collect()
}
