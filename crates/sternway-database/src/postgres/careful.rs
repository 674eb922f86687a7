//! Running a body with care: it is run once to see what it changes, taken back, what it destroys is
//! kept, and it is run again. A body that destroys nothing is run once. The tracking row, the archive
//! and the journal commit together.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::PgRow;
use sternway_model::archive::{EntryId, Kept};
use sternway_model::body::Mode;
use sternway_model::catalog::Direction;
use sternway_model::effect::{Effects, Lock, Lost};
use sternway_model::proof::Fingerprint;

use super::archive::keep::{Looks, Way};
use super::archive::{self, Which, again, aside, back, keep};
use super::blockers::Watcher;
use super::effects::{self, Oid, Snapshot, Taken};
use super::execute::{self, Ended};
use super::limits;
use super::send::{self, Failure, Piece};
use super::statements::{self, statements};
use super::{Postgres, failed, literal, piecemeal, track};
use crate::failpoint::{self, Point};
use crate::port::{Care, DatabaseError, Done, StepError, Work};

/// Runs the body of `work` with care.
pub(super) async fn migrate(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: &Care<'_>,
) -> Result<Done, StepError> {
    let file = work.file.to_owned();
    let ready = match postgres.forget_prepared().await {
        Ok(()) => track::look(postgres, work.table).await,
        forgotten => forgotten,
    };
    if let Err(source) = ready {
        return Err(StepError::Database { file, source });
    }
    let watcher = Watcher::start(postgres, care.limits);
    let ended = careful(postgres, work, care).await;
    // What a transaction of the body's own has done is taken back with it.
    let goes_on = statements(work.body).iter().all(|it| it.transaction.is_none());
    watcher.explain(ended, goes_on).await
}

async fn careful(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: &Care<'_>,
) -> Result<Done, StepError> {
    let file = work.file.to_owned();
    let start = std::time::Instant::now();
    match work.mode {
        Mode::Transaction => {
            let piece = Piece { before: "", text: work.body, body: work.body, offset: 0 };
            let ended = in_transaction(postgres, work, care, piece).await;
            match &ended {
                Ok(_) => drop(postgres.tracked.insert(work.table.to_owned(), true)),
                Err(_) => drop(postgres.tracked.remove(work.table)),
            }
            ended.map_err(|trouble| match trouble.of(file) {
                StepError::TakenBack { file, mut source } => {
                    limits::explain(&mut source, care.limits, start.elapsed());
                    StepError::TakenBack { file, source }
                }
                other => other,
            })
        }
        Mode::Dirty { reason } => {
            if !care.keep && !care.each_lock {
                execute::migrate(postgres, work, care.limits).await?;
                return Ok(Done::default());
            }
            piecemeal::migrate(postgres, work, care, reason).await
        }
    }
}

/// Why a body did not run with care.
pub(super) enum Trouble {
    /// Something failed.
    Sql(Failure),
    /// It destroys what the plan does not say.
    Beyond(Vec<Lost>),
    /// It destroys what cannot be kept.
    CannotKeep(String),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Trouble {
        Trouble::Sql(Failure::Other(error))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        Trouble::Sql(failure)
    }
}

impl Trouble {
    /// As the error of a body that was taken back whole.
    pub fn of(self, file: String) -> StepError {
        match self {
            Trouble::Sql(Failure::Sql(source)) => StepError::TakenBack { file, source },
            Trouble::Sql(Failure::Other(source)) => match send::locked(&source) {
                Some(source) => StepError::TakenBack { file, source },
                None => StepError::Database { file, source },
            },
            Trouble::Beyond(more) => StepError::Beyond { file, more },
            Trouble::CannotKeep(reason) => StepError::CannotKeep { file, reason },
        }
    }
}

async fn in_transaction(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: &Care<'_>,
    piece: Piece<'_>,
) -> Result<Done, Trouble> {
    let ran = async {
        failpoint::hit(Point::BodyBegins);
        let opening = format!("BEGIN; {}", limits::set(care.limits));
        let mut careful = Careful::begin(postgres, work, care, &opening, None).await?;
        let done = careful.run(&piece).await?;
        failpoint::hit(Point::BodyDone);
        execute::finish(postgres, work, Ended::Whole, care.limits).await?;
        failpoint::hit(Point::Committed);
        Ok(done)
    };
    let ran: Result<Done, Trouble> = ran.await;
    if ran.is_err() {
        // A connection that is gone has rolled back by itself.
        let _ = postgres.run("roll back", format!("ROLLBACK; {}", execute::reset(postgres))).await;
    }
    ran
}

/// One statement of a body that runs statement by statement.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Which, from 1.
    pub number: usize,
    /// Whether it stands in a transaction of the body's own.
    pub own: bool,
    /// What there was before the body: what that makes itself is nothing to be kept.
    pub start: &'a Snapshot,
    /// What the archive has of the statements before it.
    pub entries: &'a [EntryId],
    /// Whether those have put rows somewhere, and the tables that they read.
    pub writes: bool,
    pub read: &'a BTreeSet<Oid>,
}

/// A body, or a statement of one, that is being run with care, in its transaction.
pub(super) struct Careful<'a, 'w> {
    postgres: &'a mut Postgres,
    work: &'a Work<'w>,
    care: &'a Care<'w>,
    part: Option<Part<'a>>,
    /// What gives the body the search path and the role back that it is to find.
    finds: String,
    /// The same, as the body has left them; where our transaction goes on as its own.
    leaves: String,
    /// The number of the transaction.
    transaction: i64,
}

/// What a body did in its transaction.
pub(super) struct Ran {
    before: Snapshot,
    after: Snapshot,
    pub taken: Taken,
    /// What it changed.
    pub effects: Effects,
    /// What there was afterwards, where a table goes that could be moved aside.
    objects: Option<Fingerprint>,
}

const SEE: &str = "see what the body changes";

/// The server's code for an object that others depend on.
const DEPENDENT: &str = "2BP01";

/// What a body goes by.
const SETTINGS: &str = "pg_catalog.current_setting('search_path'), session_user::text, \
                        pg_catalog.current_setting('role')";

impl<'a, 'w> Careful<'a, 'w> {
    /// Begins, with `opening`, what can be taken back.
    pub async fn begin(
        postgres: &'a mut Postgres,
        work: &'a Work<'w>,
        care: &'a Care<'w>,
        opening: &str,
        part: Option<Part<'a>>,
    ) -> Result<Careful<'a, 'w>, Trouble> {
        let sql = format!(
            "{opening} SELECT {SETTINGS}, (pg_catalog.txid_current() % 4294967296)::bigint,
             pg_catalog.current_setting('track_counts') = 'on'"
        );
        let row = postgres.ask_one("begin the transaction", sql).await?;
        let finds = settings(postgres, &row)?;
        let transaction: i64 = row.try_get(3).map_err(failed(SEE))?;
        let counts: bool = row.try_get(4).map_err(failed(SEE))?;
        if !counts && care.keep {
            let reason = "the server does not count (track_counts is off), so that nobody can tell which tables the body changes rows in";
            return Err(Trouble::CannotKeep(reason.to_owned()));
        }
        let leaves = String::new();
        Ok(Careful { postgres, work, care, part, finds, leaves, transaction })
    }

    /// Makes what follows ours, and not the body's: its search path and its role do not matter.
    async fn ours(&mut self) -> Result<(), DatabaseError> {
        let sql =
            format!("{} SET LOCAL search_path TO pg_catalog", execute::be_ourselves(self.postgres));
        self.postgres.run(SEE, sql).await
    }

    /// Gives the search path back to the body.
    async fn theirs(&mut self, savepoint: &str) -> Result<(), DatabaseError> {
        let sql = format!("{} SAVEPOINT {savepoint}", self.finds);
        self.postgres.run(SEE, sql).await
    }

    /// As [`Careful::ours`], after the body.
    async fn ours_again(&mut self) -> Result<(), DatabaseError> {
        if self.part.is_some_and(|it| it.own) {
            let row = self.postgres.ask_one(SEE, format!("SELECT {SETTINGS}")).await?;
            self.leaves = settings(self.postgres, &row)?;
        }
        self.ours().await
    }

    /// Gives a transaction back to the body whose own it is.
    pub async fn leave(&mut self) -> Result<(), DatabaseError> {
        self.postgres
            .run(SEE, format!("RELEASE SAVEPOINT sternway_statement; {}", self.leaves))
            .await
    }

    async fn run(&mut self, piece: &Piece<'_>) -> Result<Done, Trouble> {
        let waiting = match self.care.keep {
            true => waiting(self.postgres, self.care).await?,
            false => Vec::new(),
        };
        self.ours().await?;
        back::before(self.postgres, &waiting).await?;
        let (ran, kept) = self.take(piece).await?;
        let put_back = match waiting.is_empty() {
            true => Vec::new(),
            false => back::put_back(self.postgres, &waiting).await?,
        };
        Ok(Done { effects: Some(ran.effects), kept, put_back })
    }

    /// Runs the body, and keeps what it takes.
    pub async fn take(&mut self, piece: &Piece<'_>) -> Result<(Ran, Vec<Kept>), Trouble> {
        self.ours().await?;
        let mut locked = BTreeSet::new();
        loop {
            let ran = self.see(piece).await?;
            if ran.taken.is_nothing() {
                return Ok((ran, Vec::new()));
            }
            if let Some(planned) = self.care.planned {
                let beyond = ran.effects.beyond(planned);
                if !beyond.is_empty() {
                    return Err(Trouble::Beyond(beyond));
                }
            }
            if !self.care.keep {
                return Ok((ran, Vec::new()));
            }
            // The marks in rows are those of the last run, under the lock or before it.
            let needed = ran.taken.locked();
            let again = ran.taken.rows.iter().any(|it| !locked.contains(&it.table));
            let back = "ROLLBACK TO SAVEPOINT sternway_body; RELEASE SAVEPOINT sternway_body";
            self.postgres.run(SEE, back.to_owned()).await?;
            self.ours().await?;
            effects::count_again(self.postgres, &ran.before, &ran.after).await?;
            self.lock(&ran.before, &needed, &mut locked).await?;
            if again {
                continue;
            }
            let kept = self.keep(piece, &ran).await?;
            return Ok((ran, kept));
        }
    }

    /// Runs the body behind a savepoint, and looks at what it changed. What is kept already must not
    /// stand in its way, nor go with a type that it drops.
    async fn see(&mut self, piece: &Piece<'_>) -> Result<Ran, Trouble> {
        let bound = archive::bound(self.postgres).await?;
        match self.look(piece).await {
            Ok(ran) if bound.is_empty() => return Ok(ran),
            Ok(ran) => {
                let still = archive::bound(self.postgres).await?;
                if bound.iter().all(|it| still.contains(it)) {
                    return Ok(ran);
                }
            }
            Err(Trouble::Sql(Failure::Sql(error)))
                if !bound.is_empty() && error.code == DEPENDENT => {}
            Err(other) => return Err(other),
        }
        self.postgres.run(SEE, "ROLLBACK TO SAVEPOINT sternway_body".to_owned()).await?;
        self.ours().await?;
        archive::loosen(self.postgres, &bound).await?;
        self.look(piece).await
    }

    async fn look(&mut self, piece: &Piece<'_>) -> Result<Ran, Trouble> {
        let tracking = self.tracking();
        let before = effects::snapshot(self.postgres).await?;
        let objects = match self.care.each_lock && self.part.is_none() {
            true => Some(effects::objects(self.postgres, &tracking).await?),
            false => None,
        };
        self.theirs("sternway_body").await?;
        let mut effects = Effects::default();
        match self.care.each_lock {
            true => effects.locks = self.each(piece, &before).await?,
            false => self.body(piece).await?,
        }
        self.ours_again().await?;
        let after = effects::snapshot(self.postgres).await?;
        if let Some(objects) = &objects {
            let now = effects::objects(self.postgres, &tracking).await?;
            let locks = std::mem::take(&mut effects.locks);
            let changed = effects::differences((objects, &before), (&now, &after));
            effects = Effects { locks, ..changed };
        }
        let mut taken = self.taken(&before, &after);
        taken.read.extend(effects::read_between(self.postgres, &before, &after).await?);
        effects.losses = taken.losses(self.known(&before));
        // What reads a table has to find its rows there.
        let movable = taken.tables.iter().filter(|oid| !taken.read.contains(*oid));
        let mut movable = movable.filter_map(|oid| before.relations.get(oid));
        let objects = match self.care.keep && movable.any(aside::is_movable) {
            true => Some(effects::objects(self.postgres, &tracking).await?),
            false => None,
        };
        Ok(Ran { before, after, taken, effects, objects })
    }

    /// The names by which what went is known: those from before the body.
    fn known<'b>(&'b self, before: &'b Snapshot) -> &'b Snapshot {
        self.part.map_or(before, |it| it.start)
    }

    /// What went between two looks.
    fn taken(&self, before: &Snapshot, after: &Snapshot) -> Taken {
        let mut taken = Taken::between(before, after);
        if let Some(part) = &self.part {
            taken.pass_over_what_is_new(part.start);
            taken.writes |= part.writes;
            taken.read.extend(part.read);
        }
        let facts = statements::facts(self.work.body);
        if facts.unforeseen.is_empty() {
            let fills: BTreeSet<String> = facts.fills.difference(&facts.changes).cloned().collect();
            let added = statements::added_columns(self.work.body);
            let schema = &self.postgres.identity.schema;
            taken.pass_over(&fills, &added, (before, after), schema);
        }
        taken
    }

    /// The tracking tables, which are no object of the application's.
    fn tracking(&self) -> Vec<String> {
        vec![self.work.table.to_owned()]
    }

    async fn body(&mut self, piece: &Piece<'_>) -> Result<(), Failure> {
        if piece.text.trim().is_empty() {
            return Ok(());
        }
        send::body(self.postgres, Piece { before: "", ..*piece }).await
    }

    /// Runs the body statement by statement, and tells the locks that each one adds.
    async fn each(&mut self, piece: &Piece<'_>, before: &Snapshot) -> Result<Vec<Lock>, Trouble> {
        let mut locks: Vec<Lock> = Vec::new();
        let first = self.part.map_or(1, |it| it.number);
        for (index, statement) in statements(piece.text).into_iter().enumerate() {
            let part = Piece {
                before: "",
                text: statement.text,
                body: piece.body,
                offset: piece.offset + statement.offset,
            };
            self.body(&part).await?;
            let held = effects::locks(self.postgres, first + index, before).await?;
            let new =
                |it: &Lock| !locks.iter().any(|old| old.table == it.table && old.mode == it.mode);
            let new: Vec<_> = held.into_iter().filter(new).collect();
            locks.extend(new);
        }
        Ok(locks)
    }

    /// Locks tables, so that what is kept is what the body takes.
    async fn lock(
        &mut self,
        before: &Snapshot,
        needed: &BTreeSet<Oid>,
        locked: &mut BTreeSet<Oid>,
    ) -> Result<(), DatabaseError> {
        let tables = needed.difference(locked).filter_map(|oid| before.relations.get(oid));
        let names: Vec<String> = tables.map(|it| it.sql()).collect();
        locked.extend(needed);
        if names.is_empty() {
            return Ok(());
        }
        // Readers go on; writers and those who refer to its rows wait.
        let sql = format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
        self.postgres.run("lock what the body changes", sql).await
    }

    /// Keeps what the body takes, and runs it for good. Whole tables are moved aside; where the body
    /// then does not do the same, they are copied.
    async fn keep(&mut self, piece: &Piece<'_>, seen: &Ran) -> Result<Vec<Kept>, Trouble> {
        if let Some(wanted) = &seen.objects {
            self.postgres.run(SEE, "SAVEPOINT sternway_aside".to_owned()).await?;
            match self.keep_by(Way::Aside, piece, seen).await {
                Ok(kept) => {
                    if effects::objects(self.postgres, &self.tracking()).await?.objects
                        == wanted.objects
                    {
                        return Ok(kept);
                    }
                    tracing::debug!(
                        "{} does not treat a stand-in alike: rows are copied",
                        self.work.file
                    );
                }
                Err(Trouble::CannotKeep(reason)) => tracing::debug!("rows are copied: {reason}"),
                Err(Trouble::Sql(failure)) if is_of_the_statement(&failure) => {
                    let (file, words) = (self.work.file, failure.words());
                    tracing::debug!("{file} does not run on a stand-in ({words}): rows are copied");
                }
                Err(other) => return Err(other),
            }
            self.postgres.run(SEE, "ROLLBACK TO SAVEPOINT sternway_aside".to_owned()).await?;
            self.ours().await?;
            let now = effects::snapshot(self.postgres).await?;
            effects::count_again(self.postgres, &seen.before, &now).await?;
        }
        self.keep_by(Way::Copy, piece, seen).await
    }

    async fn keep_by(
        &mut self,
        way: Way,
        piece: &Piece<'_>,
        seen: &Ran,
    ) -> Result<Vec<Kept>, Trouble> {
        let run = self.work.journal.map(|(run, _)| run);
        let forced: Vec<String> = seen
            .taken
            .locked()
            .iter()
            .filter_map(|oid| seen.before.relations.get(oid))
            .filter(|it| it.forced)
            .map(|it| it.sql())
            .collect();
        let alter = |how: &str| -> String {
            forced.iter().map(|it| format!("ALTER TABLE {it} {how} ROW LEVEL SECURITY;")).collect()
        };
        let sleep = format!("{} SET LOCAL row_security = off", alter("NO FORCE"));
        self.postgres.run("keep what the body destroys", sleep).await?;
        let kept = keep::keep(
            self.postgres,
            self.care,
            run,
            Looks { before: &seen.before, known: self.part.map_or(&seen.before, |it| it.start) },
            &seen.taken,
            self.transaction,
            way,
        )
        .await?;
        let wake = format!("{} SET LOCAL row_security = on", alter("FORCE"));
        self.postgres.run("keep what the body destroys", wake).await?;
        let bound = archive::bound(self.postgres).await?;
        let base = match way {
            Way::Aside => Some(effects::snapshot(self.postgres).await?),
            Way::Copy => None,
        };
        self.theirs("sternway_body").await?;
        self.body(piece).await?;
        self.ours_again().await?;
        let still = archive::bound(self.postgres).await?;
        if let Some((table, column)) = bound.iter().find(|it| !still.contains(it)) {
            let reason = format!("it drops the type of column {column}, kept in {table}");
            return Err(Trouble::CannotKeep(reason));
        }
        let mut after = effects::snapshot(self.postgres).await?;
        if let Some(base) = base {
            // What reads a table unseen, as by the place of a row, shows in what it writes elsewhere.
            if effects::written(&base, &after) != effects::written(&seen.before, &seen.after) {
                return Err(Trouble::CannotKeep("it writes other rows on a stand-in".to_owned()));
            }
        }
        // Views on a table that was moved aside went with it, and not with the stand-in.
        let left = Taken::views(&seen.before, &seen.after);
        let left = left.iter().filter(|it| after.relations.contains_key(&it.oid));
        let drops: Vec<String> = left
            .map(|it| match it.kind {
                'm' => format!("DROP MATERIALIZED VIEW IF EXISTS {} CASCADE;", it.sql()),
                _ => format!("DROP VIEW IF EXISTS {} CASCADE;", it.sql()),
            })
            .collect();
        if !drops.is_empty() {
            self.postgres.run(SEE, drops.concat()).await?;
            after = effects::snapshot(self.postgres).await?;
        }
        let taken = self.taken(&seen.before, &after);
        let losses = |taken: &Taken| Effects {
            losses: taken.losses(self.known(&seen.before)),
            ..Effects::default()
        };
        let more = losses(&taken).beyond(&losses(&seen.taken));
        if !more.is_empty() {
            let more = more.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let reason = format!("it did not do the same twice, and took {more} the second time");
            return Err(Trouble::CannotKeep(reason));
        }
        let kept = keep::settle(self.postgres, kept, &after).await?;
        Ok(match self.part {
            Some(part) => again::join(self.postgres, part.entries, kept).await?,
            None => kept,
        })
    }
}

/// What an earlier run of the other half has kept.
pub(super) async fn waiting(
    postgres: &mut Postgres,
    care: &Care<'_>,
) -> Result<Vec<archive::Stored>, DatabaseError> {
    let Care { app, track, version, direction, .. } = *care;
    let direction = match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    };
    archive::stored(postgres, Which::Waiting { app, track, version, direction }).await
}

/// What gives a body back, until the transaction ends, what [`SETTINGS`] has found.
fn settings(postgres: &Postgres, row: &PgRow) -> Result<String, DatabaseError> {
    let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(SEE));
    let (path, session, role) = (text(0)?, text(1)?, text(2)?);
    let path = format!("SELECT pg_catalog.set_config('search_path', {}, true);", literal(&path));
    let ours = session == postgres.user && (role == "none" || role == postgres.identity.user);
    if ours {
        return Ok(path);
    }
    let role = if role == "none" { role } else { Postgres::quote(&role) };
    let session = Postgres::quote(&session);
    Ok(format!("SET LOCAL SESSION AUTHORIZATION {session}; SET LOCAL ROLE {role}; {path}"))
}

/// Whether the server refused a statement for what it says, and not for a lock, a limit or itself.
fn is_of_the_statement(failure: &Failure) -> bool {
    let code = match failure {
        Failure::Sql(error) => error.code.clone(),
        Failure::Other(DatabaseError::Query { source: sqlx::Error::Database(error), .. }) => {
            error.code().unwrap_or_default().into_owned()
        }
        Failure::Other(_) => return false,
    };
    // 55P03, 57014 and 57P01, 40P01, and what is of the system.
    !["55P03", "40", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class))
}
