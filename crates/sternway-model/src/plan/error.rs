//! The reasons to refuse a plan. An edge adds what to do about each.

use std::fmt;

use thiserror::Error;

use crate::catalog::{Digest, Direction, Release, TrackName};
use crate::plan::Course;
use crate::plan::identity::Question;
use crate::position::Position;

/// Who has a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The database's own records.
    Records,
    /// A release of the catalog.
    Release(Release),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records => f.write_str("the database's records"),
            Self::Release(release) => write!(f, "release {release}"),
        }
    }
}

/// Why there is no plan. Each variant carries what its reader has to look at.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The catalog does not have the release.
    #[error("release {0} is not in the catalog")]
    UnknownRelease(Release),
    /// The catalog has the release, and its source could not be read.
    #[error("release {release} is left out: {reason}")]
    LeftOut {
        /// The release asked for.
        release: Release,
        /// What is wrong with it.
        reason: String,
    },
    /// The release has no migrations, so its schema is not known.
    #[error("release {0} has no migrations in any track, so the schema that it needs is unknown")]
    NoMigrations(Release),
    /// What the application runs now is not known, so that nobody could put it back.
    #[error("it is not known which release of the application runs now")]
    RunningUnknown,
    /// The policy forbids going back so far.
    #[error("release {target} is older than {floor}, the oldest that can be gone back to")]
    BelowFloor {
        /// The release asked for.
        target: Release,
        /// The policy's limit.
        floor: Release,
    },
    /// A migration started and did not finish.
    #[error("track `{track}` is dirty at {}", at.number().map_or("no migration".to_owned(), |it| format!("migration {it}")))]
    Dirty {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        at: Position,
    },
    /// The tracking row has a number that neither a release nor the records have.
    #[error("track `{track}` is at migration {version}, which no release has{}", newest.number().map_or(String::new(), |it| format!(" (the newest known is {it})")))]
    UnknownVersion {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        version: u64,
        /// The highest number in the catalog.
        newest: Position,
    },
    /// Releases disagree about what comes before the number in the tracking row.
    #[error(
        "track `{track}` is at migration {version}, and releases {one} and {other} have different migrations up to there"
    )]
    Diverged {
        /// The track.
        track: TrackName,
        /// What its tracking row says.
        version: u64,
        /// A release that has it.
        one: Release,
        /// Another one.
        other: Release,
    },
    /// One number, several contents.
    #[error(
        "the {direction} half of migration {version} of track `{track}` has different contents: {}{}",
        list(holders),
        told(*compared)
    )]
    Contents {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
        /// The half that differs.
        direction: Direction,
        /// Who has which content.
        holders: Vec<(Holder, Digest)>,
        /// The last number up to which the database and the target are the same, where these differ.
        shared: Position,
        /// Whether they lead to the same schema, where that was found out.
        compared: Option<bool>,
        /// What would tell whether they differ in more than words.
        asks: Option<Box<Question>>,
    },
    /// The tracking row's single number cannot say what the target needs.
    #[error("track `{track}` cannot get to release {to}: {}{}", fork(missing, extra), told(*compared))]
    Forked {
        /// The track.
        track: TrackName,
        /// The release to arrive at.
        to: Release,
        /// What the release has and the database lacks below its number.
        missing: Vec<u64>,
        /// What the database has and the release lacks below its number.
        extra: Vec<u64>,
        /// The last number up to which the two are the same.
        shared: Position,
        /// A release in between that can be reached, and that may lead there.
        by: Option<Release>,
        /// Whether they lead to the same schema, where that was found out.
        compared: Option<bool>,
        /// What would tell whether they differ in more than words.
        asks: Option<Box<Question>>,
    },
    /// The journey crosses a border that no schema shows, and the policy forbids it.
    #[error("hazard `{name}` lies between {} and {}: {message}", .between.0, .between.1)]
    Hazard {
        /// What it is called.
        name: String,
        /// The releases on both sides.
        between: (Release, Release),
        /// What happens there.
        message: String,
    },
    /// The policy wants an upgrade to have a way back.
    #[error("there would be no way back to {to}: {cause}")]
    NoWayBack {
        /// The present release.
        to: Release,
        /// Why.
        cause: Box<PlanError>,
    },
    /// A migration lacks the half that the plan needs.
    #[error("migration {version} of track `{track}` has no {direction} file")]
    MissingBody {
        /// The track.
        track: TrackName,
        /// The migration.
        version: u64,
        /// The half.
        direction: Direction,
    },
    /// The half exists and its content could not be read.
    #[error("`{file}` of track `{track}` ({holder}) could not be read")]
    UnreadableBody {
        /// The track.
        track: TrackName,
        /// The file.
        file: String,
        /// Where it is.
        holder: Holder,
    },
    /// A body that Sternway cannot run.
    #[error("`{file}` of track `{track}` cannot be run: {obstacle}")]
    Obstacle {
        /// The track.
        track: TrackName,
        /// The file.
        file: String,
        /// Why not.
        obstacle: String,
    },
    /// The target lies the other way.
    #[error("{}", wrong_way(*course, target, behind))]
    WrongWay {
        /// The way asked for.
        course: Course,
        /// The release asked for.
        target: Release,
        /// A track, where it stands and where the target has it.
        behind: Option<(TrackName, Position, Position)>,
    },
    /// An upgrade would leave the schema ahead of a release that does not start on it.
    #[error(
        "release {target} does not start on the schema in the database: track `{track}` is at {at}, the release has {has}"
    )]
    AheadOfTarget {
        /// The release asked for.
        target: Release,
        /// The track.
        track: TrackName,
        /// Where it stands.
        at: Position,
        /// What the release has.
        has: Position,
    },
    /// None of the application's tracks is in the database.
    #[error("database `{database}` is not one of `{app}`: {}", not_this(expected, found))]
    NotThisApp {
        /// The application.
        app: String,
        /// The database.
        database: String,
        /// What the application would have.
        expected: Vec<String>,
        /// What is there.
        found: Vec<String>,
    },
    /// The database has tables, but nothing that tells their version.
    #[error(
        "database `{database}` has {} but no tracking table of `{app}` with a version",
        tables(found)
    )]
    Untracked {
        /// The application.
        app: String,
        /// The database.
        database: String,
        /// The tables that are there.
        found: Vec<String>,
    },
    /// A track needs an extension that the server does not have.
    #[error("track `{track}` needs the extension `{extension}`, which this server does not offer")]
    ExtensionMissing {
        /// The track.
        track: TrackName,
        /// The extension.
        extension: String,
    },
    /// No track takes part.
    #[error("every track is switched off")]
    NoTracks,
}

impl PlanError {
    /// Whether it was found out that what differs in words differs in what it leads to.
    pub(super) fn differs(&self) -> bool {
        let (Self::Contents { compared, .. } | Self::Forked { compared, .. }) = self else {
            return false;
        };
        *compared == Some(false)
    }

    /// What has to be found out on a shadow database before this is a reason to refuse.
    pub fn asks(&self) -> Option<&Question> {
        match self {
            Self::Contents { asks, .. } | Self::Forked { asks, .. } => asks.as_deref(),
            _ => None,
        }
    }
}

/// What was found out about two lineages that differ in words.
fn told(compared: Option<bool>) -> &'static str {
    match compared {
        Some(false) => "; clean installs of the two do not have the same schema",
        Some(true) => {
            "; clean installs of the two have the same schema, but rows that it changes are not changed here"
        }
        None => "",
    }
}

fn numbers(of: &[u64]) -> String {
    of.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn list(holders: &[(Holder, Digest)]) -> String {
    let each = holders.iter().map(|(holder, hash)| format!("{} in {holder}", hash.short()));
    each.collect::<Vec<_>>().join(", ")
}

fn fork(missing: &[u64], extra: &[u64]) -> String {
    match (missing.is_empty(), extra.is_empty()) {
        (false, true) => format!("it lacks {}, below its own number", numbers(missing)),
        (true, false) => format!("it has {}, between the release's", numbers(extra)),
        _ => format!("it has {} and lacks {}", numbers(extra), numbers(missing)),
    }
}

fn wrong_way(
    course: Course,
    target: &Release,
    behind: &Option<(TrackName, Position, Position)>,
) -> String {
    match (course, behind) {
        (Course::Rollback, Some((track, at, has))) => format!(
            "going to {target} is no rollback: track `{track}` is at {at}, the release has {has}"
        ),
        (Course::Rollback, None) => {
            format!("going to {target} is no rollback: it is newer than what runs")
        }
        (Course::Upgrade, _) => {
            format!("going to {target} is no upgrade: it is older than what runs")
        }
    }
}

fn tables(found: &[String]) -> String {
    let shown = found.iter().take(3).map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    match found.len() {
        0 => "no table".to_owned(),
        1 => format!("the table {shown}"),
        2 | 3 => format!("the tables {shown}"),
        more => format!("{more} tables ({shown}, …)"),
    }
}

fn not_this(expected: &[String], found: &[String]) -> String {
    match expected.is_empty() {
        true => format!("it has {}", tables(found)),
        false => format!("it has {} and lacks {}", tables(found), tables(expected)),
    }
}
