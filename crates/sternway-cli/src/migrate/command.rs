//! The commands on one folder and one database.

use std::io::BufRead;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sternway_database::Settings;
use sternway_engine::event::Quiet;
use sternway_engine::suspects::suspects;
use sternway_engine::walk::{MigrateError, Steps, Track, drop_tables, force, migrate, standings};
use sternway_model::body::Mode;
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;
use sternway_model::walk::{Goal, Leg, WalkError};
use sternway_view::migrate::{Dropped, Listed, Outcome, Ran, TrackRan, Versions};

use super::create::{self, Wanted};
use super::flags::Given;
use super::log::Log;
use super::open::{Opened, both};
use super::progress::{Progress, name};
use super::show::{self, Trouble};
use super::signals::Signals;
use super::{End, text, tracks};

/// What golang-migrate says at its end.
const CLOSING: &str = "Closing source and database";

/// How long golang-migrate waits for a lock, in seconds.
const LOCK_TIMEOUT: u64 = 15;

/// Runs a command.
pub async fn run(log: &Log, command: &str, given: &Given<'_>, local: &Given<'_>) -> End {
    let ended = match command {
        "create" => make(log, local),
        _ if tracks::asked_for(given) => tracks::run(log, command, given, local).await,
        // Its question comes before a database that cannot be opened is told.
        "drop" => match confirmed_drop(log, given, local) {
            Ok(()) => on_database(log, command, given, local).await,
            Err(trouble) => Err(trouble),
        },
        _ => on_database(log, command, given, local).await,
    };
    ended.unwrap_or_else(|trouble| trouble.say(log))
}

async fn on_database(
    log: &Log,
    command: &str,
    given: &Given<'_>,
    local: &Given<'_>,
) -> Result<End, Trouble> {
    let mut opened = both(given, log).await?;
    let job = Job::new(log, given, local);
    match command {
        "goto" => job.walk(&mut opened, command, goto(local)?).await,
        "up" => job.walk(&mut opened, command, up(local)?).await,
        "down" => job.walk(&mut opened, command, down(log, given, local)?).await,
        "drop" => job.drop(&mut opened).await,
        "force" => job.force(&mut opened, forced(local)?).await,
        "status" => job.status(&mut opened).await,
        _ => job.version(&mut opened).await,
    }
}

/// Where `goto` goes.
pub fn goto(local: &Given<'_>) -> Result<Goal, Trouble> {
    match local.rest.first().map(String::as_str) {
        None => Err(Trouble::new("please specify version argument V")
            .hint("`status` lists the versions; `goto nil` takes everything back")),
        Some("nil") => Ok(Goal::To(Position::Nothing)),
        Some(word) => match text::version(word) {
            Some(version) => Ok(Goal::To(version.into())),
            None => Err(Trouble::new("can't read version argument V").hint(format!(
                "`{word}` is no number of a migration; `goto nil` is below the first"
            ))),
        },
    }
}

/// How far `up` goes.
pub fn up(local: &Given<'_>) -> Result<Goal, Trouble> {
    let Some(word) = local.rest.first() else { return Ok(Goal::Up(None)) };
    limit(word).map(|limit| Goal::Up(Some(limit)))
}

fn limit(word: &str) -> Result<u64, Trouble> {
    let read = text::version(word);
    read.ok_or_else(|| {
        Trouble::new("can't read limit argument N")
            .hint(format!("`{word}` is no number of migrations"))
    })
}

/// How far `down` goes; asks before it takes everything back.
fn down(log: &Log, given: &Given<'_>, local: &Given<'_>) -> Result<Goal, Trouble> {
    let all = local.on("all");
    match local.rest {
        [_, ..] if all => Err(Trouble::new("-all cannot be used with other arguments")),
        [] if all || is_dry(given, local) => Ok(Goal::Down(None)),
        [] => {
            let question = "Are you sure you want to apply all down migrations? [y/N]";
            match asked(log, question) {
                true => {
                    log.line("Applying all down migrations");
                    Ok(Goal::Down(None))
                }
                false => Err(Trouble::bare("Not applying all down migrations")),
            }
        }
        [word] => limit(word).map(|limit| Goal::Down(Some(limit))),
        _ => Err(Trouble::new("too many arguments")),
    }
}

fn confirmed_drop(log: &Log, given: &Given<'_>, local: &Given<'_>) -> Result<(), Trouble> {
    if local.on("f") || is_dry(given, local) {
        return Ok(());
    }
    let question = "Are you sure you want to drop the entire database schema? [y/N]";
    if !asked(log, question) {
        return Err(Trouble::bare("Aborted dropping the entire database schema"));
    }
    log.line("Dropping the entire database schema");
    Ok(())
}

/// Asks as golang-migrate does: the first word of a line has to be `y`.
fn asked(log: &Log, question: &str) -> bool {
    log.line(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let word = answer.split_whitespace().next().unwrap_or_default();
    read.is_ok() && word.eq_ignore_ascii_case("y")
}

/// What `force` writes.
pub fn forced(local: &Given<'_>) -> Result<Position, Trouble> {
    let Some(word) = local.rest.first() else {
        return Err(Trouble::new("please specify version argument V")
            .hint("`force -- -1` says that nothing is applied"));
    };
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    match word.parse::<i64>() {
        Ok(-1) => Ok(Position::Nothing),
        Ok(version) if plain => match u64::try_from(version) {
            Ok(version) => Ok(Position::At(version)),
            Err(_) => Err(Trouble::new("argument V must be >= -1")),
        },
        _ => Err(Trouble::new("can't read version argument V")
            .hint(format!("`{word}` is no number of a migration"))),
    }
}

fn make(log: &Log, local: &Given<'_>) -> Result<End, Trouble> {
    let Some(name) = local.rest.first() else {
        return Err(Trouble::new("please specify name").hint("create -ext sql -seq NAME"));
    };
    let wanted = Wanted {
        dir: local.text("dir"),
        ext: local.text("ext"),
        name,
        sequence: local.on("seq").then(|| local.signed("digits").unwrap_or(6)),
        format: local.text_or("format", create::DEFAULT_FORMAT),
        zone: local.text_or("tz", "UTC"),
    };
    let paths = create::create(&wanted, Timestamp::now()).map_err(Trouble::bare)?;
    for path in paths {
        log.line(path.display().to_string());
    }
    Ok(End::Done)
}

/// Whether nothing is to be run.
fn is_dry(given: &Given<'_>, local: &Given<'_>) -> bool {
    given.on("dry-run") || local.on("dry-run")
}

/// How long to wait for locks.
pub fn lock_timeout(given: &Given<'_>) -> Duration {
    Duration::from_secs(given.number("lock-timeout").unwrap_or(LOCK_TIMEOUT))
}

/// Whether golang-migrate would read ahead, as it tells in verbose lines.
pub fn reads_ahead(given: &Given<'_>) -> bool {
    given.number("prefetch") != Some(0)
}

/// What a command on one database has at hand.
struct Job<'a> {
    log: &'a Log,
    dry: bool,
    lock_timeout: Duration,
    ahead: bool,
    signals: Signals,
    start: Instant,
}

impl<'a> Job<'a> {
    fn new(log: &'a Log, given: &Given<'_>, local: &Given<'_>) -> Job<'a> {
        Job {
            log,
            dry: is_dry(given, local),
            lock_timeout: lock_timeout(given),
            ahead: reads_ahead(given),
            signals: Signals::default(),
            start: Instant::now(),
        }
    }

    async fn walk(&self, opened: &mut Opened, command: &str, goal: Goal) -> Result<End, Trouble> {
        let Opened { folder, database } = opened;
        let table = database.tracking_table().to_owned();
        if self.dry {
            return self.show(opened, command, &table, goal).await;
        }
        let track = Track { table: &table, folder, recorded_as: None, settings: Settings::Kept };
        self.signals.listen(*self.log, database.interrupter());
        let (log, signals, ahead) = (*self.log, self.signals.clone(), self.ahead);
        let mut progress = Progress { log, signals, ahead, prefix: String::new() };
        let ended = migrate(&mut **database, &track, goal, self.lock_timeout, &mut progress).await;
        let (outcome, legs) = match ended {
            Ok(walked) if walked.interrupted => (Outcome::Stopped, walked.legs),
            Ok(walked) => (Outcome::Done, walked.legs),
            Err(MigrateError::Walk(WalkError::NoChange)) => {
                self.log.tell("no change");
                (Outcome::NoChange, Vec::new())
            }
            Err(error) => {
                let trouble = self.explain(opened, error).await;
                if self.signals.insisted() {
                    trouble.say(self.log);
                    return Ok(End::Interrupted);
                }
                return Err(trouble);
            }
        };
        self.report(opened, command, &table, outcome, &legs).await?;
        self.finished();
        Ok(End::Done)
    }

    /// Tells machines what came of it.
    async fn report(
        &self,
        opened: &mut Opened,
        command: &str,
        table: &str,
        outcome: Outcome,
        legs: &[Leg],
    ) -> Result<(), Trouble> {
        if !self.log.json {
            return Ok(());
        }
        let stands = opened.row(table).await?.position;
        let track = TrackRan::of(None, table, stands, legs);
        let database = opened.database.identity();
        self.log.json(&Ran::new(command, database, outcome, vec![track]));
        Ok(())
    }

    fn finished(&self) {
        self.log.more(format!("Finished after {}", text::duration(self.start.elapsed())));
        self.log.more(CLOSING);
    }

    /// An error with what the database tells about it.
    async fn explain(&self, opened: &mut Opened, error: MigrateError) -> Trouble {
        let MigrateError::Walk(WalkError::Dirty(at)) = &error else {
            return show::migrate(error, &[]);
        };
        // The words stand without what cannot be found out.
        let found = suspects(&mut *opened.database, &opened.folder, *at).await;
        let table = opened.database.tracking_table().to_owned();
        let underway = opened.database.underway(&table).await.ok().flatten();
        let trouble = show::migrate(error, &found.unwrap_or_default());
        match underway {
            Some(underway) => trouble.below(show::underway(&underway)),
            None => trouble,
        }
    }

    /// Shows what would run.
    async fn show(
        &self,
        opened: &mut Opened,
        command: &str,
        table: &str,
        goal: Goal,
    ) -> Result<End, Trouble> {
        let row = opened.row(table).await?;
        let Opened { folder, database } = opened;
        let steps = Steps::plan(&mut **database, folder, row, goal, &mut Quiet).await;
        let steps = match steps {
            Ok(steps) => steps,
            Err(MigrateError::Walk(WalkError::NoChange)) => {
                self.log.tell("no change");
                self.report(opened, command, table, Outcome::NoChange, &[]).await?;
                return Ok(End::Done);
            }
            Err(error) => return Err(self.explain(opened, error).await),
        };
        for leg in &steps.legs {
            let (body, how) = match steps.body(leg) {
                None => ("", "no file: only the version moves".to_owned()),
                Some((body, facts)) => match &facts.mode {
                    Mode::Transaction => (body, "in a transaction".to_owned()),
                    Mode::Dirty { reason } => (body, format!("outside a transaction: {reason}")),
                },
            };
            self.log.result(format!("-- {} ({how})\n{}", name(leg), body.trim_end()));
        }
        self.report(opened, command, table, Outcome::DryRun, &steps.legs).await?;
        match steps.short {
            0 => Ok(End::Done),
            short => Err(show::migrate(MigrateError::Short(short), &[])),
        }
    }

    async fn drop(&self, opened: &mut Opened) -> Result<End, Trouble> {
        let table = opened.database.tracking_table().to_owned();
        if self.dry {
            let names: Vec<String> =
                opened.database.tables(&[]).await.map_err(show::question)?.into_iter().collect();
            for name in &names {
                self.log.result(format!("would drop table {name}"));
            }
            self.log.json(&Dropped::new(opened.database.identity(), Outcome::DryRun, names));
            return Ok(End::Done);
        }
        let dropped = drop_tables(&mut *opened.database, &table, self.lock_timeout).await;
        let dropped = dropped.map_err(|error| show::migrate(error, &[]))?;
        self.log.json(&Dropped::new(opened.database.identity(), Outcome::Done, dropped));
        self.finished();
        Ok(End::Done)
    }

    async fn force(&self, opened: &mut Opened, position: Position) -> Result<End, Trouble> {
        let table = opened.database.tracking_table().to_owned();
        if let Some(version) = position.number().filter(|it| opened.folder.set().get(*it).is_none())
        {
            self.log.tell(format!("warning: the folder has no migration {version}"));
        }
        if self.dry {
            self.log.result(format!("would set {table} to {position}"));
            self.report(opened, "force", &table, Outcome::DryRun, &[]).await?;
            return Ok(End::Done);
        }
        let written = force(&mut *opened.database, &table, position, self.lock_timeout).await;
        written.map_err(|error| show::migrate(error, &[]))?;
        self.report(opened, "force", &table, Outcome::Done, &[]).await?;
        self.finished();
        Ok(End::Done)
    }

    async fn version(&self, opened: &mut Opened) -> Result<End, Trouble> {
        let table = opened.database.tracking_table().to_owned();
        let row = opened.row(&table).await?;
        self.log.json(&Versions::of([(None, table.as_str(), row)]));
        match (row.position, row.dirty) {
            (Position::Nothing, false) => Err(Trouble::new("no migration")),
            (Position::Nothing, true) => Err(show::dirty("no migration (dirty)", &[])
                .below("the down half of the first migration did not end")),
            (Position::At(_), _) => {
                self.log.tell(row.to_string());
                self.log.more(CLOSING);
                Ok(End::Done)
            }
        }
    }

    async fn status(&self, opened: &mut Opened) -> Result<End, Trouble> {
        let table = opened.database.tracking_table().to_owned();
        let row = opened.row(&table).await?;
        let standings = standings(&opened.folder, row);
        tracks::list(self.log, &[Listed { name: None, table, row, standings }]);
        Ok(End::Done)
    }
}

impl Opened {
    async fn row(&mut self, table: &str) -> Result<TrackingRow, Trouble> {
        let state = self.database.track(table).await.map_err(show::track)?;
        Ok(state.row())
    }
}
