//! What is taken care of while a body runs: its effects are found out, what it destroys is preserved, and
//! what an earlier run of the other half preserved is restored. The executor ([`super::execute`]) begins
//! and ends the transactions; an [`Attempt`] runs a piece of the body in one.
//!
//! A body that runs in a transaction is one piece. Of any other, each statement that can run in a
//! transaction is one: what the archive keeps of it and the journal's note that it is done commit together
//! with it, so that a death leaves no statement of which nobody knows. Those that cannot destroy no data,
//! or are not run. What waits to be restored is looked at together with the dirty mark, and restored
//! together with its end.

use std::collections::BTreeSet;

use sternway_model::archive::{EntryId, Restoration};
use sternway_model::body::{Destroyed, Mode};
use sternway_model::effect::{Effects, Unkept};
use sternway_model::proof::Fingerprint;

use super::archive::restore::After;
use super::archive::{self, Which, anew, restore};
use super::attempt::{Attempt, Part};
use super::effects::{self, Oid, Snapshot};
use super::send::{self, Failure, Piece};
use super::statements::{self, Statement, statements};
use super::{Postgres, execute, limits};
use crate::port::{DatabaseError, Done, Preservation, Work};

/// What is taken care of while one body runs.
pub(super) struct Keeper<'a> {
    work: &'a Work<'a>,
    care: &'a Preservation<'a>,
    /// What an earlier run of the other half has preserved.
    waiting: Vec<archive::Stored>,
    /// Where the body began and how far it has come, if it runs statement by statement.
    so_far: Option<SoFar>,
    done: Done,
}

/// A body at work, statement by statement.
struct SoFar {
    /// What there was before it: what it makes itself is nothing to be preserved.
    start: Snapshot,
    objects: Option<Fingerprint>,
    /// What tells what its statements make in the archive from what others do, where that is no run.
    batch: Option<String>,
    /// What the archive has of its statements.
    entries: Vec<EntryId>,
    /// Whether they put rows somewhere, and the tables that they read.
    writes: bool,
    read: BTreeSet<Oid>,
}

impl<'a> Keeper<'a> {
    /// Looks at what there is before a body runs; `None` where nothing is to be taken care of.
    pub async fn prepare(
        postgres: &mut Postgres,
        work: &'a Work<'a>,
        care: &'a Preservation<'a>,
    ) -> Result<Option<Keeper<'a>>, Failure> {
        let mut so_far = None;
        let mut unkept = Vec::new();
        if let Mode::Dirty { reason } = work.mode {
            if !care.keep && !care.each_lock {
                return Ok(None);
            }
            let alone = alone(work).filter(|it| !care.discards(of(it)));
            if let Some(what) = &alone {
                let (table, reason) =
                    (of(what), format!("{what}, outside a transaction ({reason})"));
                if care.keep {
                    return Err(Failure::CannotKeep(reason));
                }
                unkept.push(Unkept { table: table.to_owned(), reason });
            }
            so_far = Some(SoFar::begin(postgres, work, care).await?);
        }
        let Preservation { app, track, version, direction, .. } = *care;
        let direction = direction.opposite();
        let waiting = match care.keep {
            true => {
                archive::stored(postgres, Which::Waiting { app, track, version, direction }).await?
            }
            false => Vec::new(),
        };
        let effects = Effects { unkept, ..Effects::default() };
        let done = Done { effects: Some(effects), ..Done::default() };
        Ok(Some(Keeper { work, care, waiting, so_far, done }))
    }

    /// Runs a whole body in the transaction that `begin` begins, which the caller ends. Where what waits
    /// can only be restored once that has committed, this is returned too, for the caller to close.
    pub async fn whole(
        mut self,
        postgres: &mut Postgres,
        begin: &str,
    ) -> Result<(Done, Option<Keeper<'a>>), Failure> {
        let mut attempt = Attempt::begin(postgres, self.work, self.care, begin, None).await?;
        restore::before(attempt.postgres, &self.waiting).await?;
        restore::written_since(attempt.postgres, &self.waiting).await?;
        let (ran, kept) = attempt.run(&Piece::whole(self.work.body)).await?;
        let finds = std::mem::take(&mut attempt.finds);
        self.done = Done { effects: Some(ran.effects), kept, restored: Vec::new() };
        if !self.waiting.is_empty() {
            match self.restored(postgres).await? {
                Some(restored) => self.done.restored = restored,
                None => return Ok((Done::default(), Some(self))),
            }
        }
        anew::note(postgres, self.care, &self.done.kept, &finds).await?;
        Ok((self.done, None))
    }

    /// Restores what waits, right after the body; `None` where the server wants that committed first.
    async fn restored(&self, postgres: &mut Postgres) -> Result<Option<Vec<Restoration>>, Failure> {
        let doing = "restore what the archive keeps";
        postgres.run(doing, "SAVEPOINT sternway_restored".to_owned()).await?;
        let after = After::Body(self.work.body);
        match restore::restore(postgres, &self.waiting, after).await {
            Ok(restored) => Ok(Some(restored)),
            Err(error) if is_unsafe_yet(&error) => {
                let back = "ROLLBACK TO SAVEPOINT sternway_restored";
                postgres.run(doing, back.to_owned()).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Marks the track dirty with `mark`, and looks at what waits to be restored while it is as the body
    /// of the other half left it.
    pub async fn mark(&self, postgres: &mut Postgres, mark: &str) -> Result<(), DatabaseError> {
        let begin = format!("{} {}", ours(postgres), restore::clear_reasons(&self.waiting));
        let doing = "mark the track dirty";
        let marked = async {
            postgres.run(doing, begin).await?;
            restore::before(postgres, &self.waiting).await?;
            restore::written_since(postgres, &self.waiting).await?;
            postgres.run(doing, format!("{mark} COMMIT")).await
        };
        let marked = marked.await;
        or_roll_back(postgres, marked).await
    }

    /// Runs a statement in a transaction of its own, which the caller ends, or in one of the body's
    /// own.
    pub async fn statement(
        &mut self,
        postgres: &mut Postgres,
        statement: &Statement<'_>,
        number: usize,
        own: bool,
    ) -> Result<(), Failure> {
        let opening = if own { "SAVEPOINT sternway_statement;" } else { execute::BEGIN_KEEPING };
        let part = self.so_far.as_ref().map(|so_far| {
            let SoFar { start, batch, entries, writes, read, .. } = so_far;
            let batch = batch.as_deref();
            Part { number, own, start, batch, entries, writes: *writes, read }
        });
        let mut attempt = Attempt::begin(postgres, self.work, self.care, opening, part).await?;
        let (ran, kept) = attempt.run(&Piece::of(statement, self.work.body)).await?;
        if own {
            attempt.leave().await?;
        }
        if let Some(so_far) = &mut self.so_far {
            so_far.entries.extend(kept.iter().map(|it| it.id));
            so_far.writes |= ran.taken.writes;
            so_far.read.extend(ran.taken.read);
        }
        self.done.kept.extend(kept);
        if let Some(effects) = &mut self.done.effects {
            for loss in ran.effects.losses {
                if !effects.losses.iter().any(|it| it.lost == loss.lost) {
                    effects.losses.push(loss);
                }
            }
            effects.locks.extend(ran.effects.locks);
        }
        Ok(())
    }

    /// What would be lost with a statement that can run in no transaction.
    pub fn loses(&self, statement: &Statement<'_>) -> Option<String> {
        let lost = destroyed(statement).filter(|it| self.care.keep && !self.care.discards(of(it)));
        lost.map(|it| it.to_string())
    }

    /// Restores what waits, together with `end`, which takes the mark away.
    pub async fn close(&mut self, postgres: &mut Postgres, end: &str) -> Result<(), Failure> {
        let begin = format!("{} {}", ours(postgres), limits::set(self.care.limits));
        let closed = async {
            postgres.run("restore what the archive keeps", begin).await?;
            let after = After::Committed(self.work.body);
            let restored = restore::restore(postgres, &self.waiting, after).await?;
            send::close(postgres, self.work).await?;
            postgres.run("write the tracking row", format!("{end} COMMIT")).await?;
            Ok(restored)
        };
        let closed: Result<_, Failure> = closed.await;
        self.done.restored = or_roll_back(postgres, closed).await?;
        Ok(())
    }

    /// Tells what the statements of a body have done, all in all.
    pub async fn done(mut self, postgres: &mut Postgres) -> Result<Done, DatabaseError> {
        let so_far = self.so_far.as_ref();
        if let Some(SoFar { start, objects: Some(objects), .. }) = so_far
            && let Some(effects) = &mut self.done.effects
        {
            let now = objects_now(postgres, self.work.table).await?;
            let after = effects::snapshot(postgres).await?;
            let Effects { losses, locks, unkept, .. } = std::mem::take(effects);
            let changed = effects::differences((objects, start), (&now, &after));
            *effects = Effects { losses, locks, unkept, ..changed };
        }
        Ok(self.done)
    }
}

/// Whether the server wants values that the body has added to an enum to be committed before anybody uses
/// them.
fn is_unsafe_yet(error: &DatabaseError) -> bool {
    let DatabaseError::Query { source: sqlx::Error::Database(error), .. } = error else {
        return false;
    };
    error.code().as_deref() == Some("55P04")
}

impl SoFar {
    async fn begin(
        postgres: &mut Postgres,
        work: &Work<'_>,
        care: &Preservation<'_>,
    ) -> Result<SoFar, DatabaseError> {
        let start = effects::snapshot(postgres).await?;
        let objects = match care.each_lock {
            true => Some(objects_now(postgres, work.table).await?),
            false => None,
        };
        // What a session preserved that has died.
        let Preservation { track, version, direction, .. } = *care;
        let entries = match work.journal.filter(|_| work.first > 1 && care.keep) {
            Some((run, _)) => {
                archive::stored(postgres, Which::OfRun { run, track, version, direction }).await?
            }
            None => Vec::new(),
        };
        let entries = entries.iter().map(|it| it.entry.id).collect();
        // Of statements that another session ran, nobody knows.
        let (writes, read) = match work.first > 1 {
            true => (true, start.relations.keys().copied().collect()),
            false => (false, BTreeSet::new()),
        };
        let batch = match work.journal.is_none() && care.keep {
            true => {
                let number =
                    "SELECT pg_catalog.to_json(pg_catalog.txid_current())::text".to_owned();
                Some(
                    effects::json::<i64>(postgres, "look at the catalogs", number)
                        .await?
                        .to_string(),
                )
            }
            false => None,
        };
        Ok(SoFar { start, objects, batch, entries, writes, read })
    }
}

/// What a statement destroys that can never be looked at first.
fn alone(work: &Work<'_>) -> Option<Destroyed> {
    let statements = statements(work.body).into_iter().skip(work.first.saturating_sub(1));
    let alone = statements.filter(|it| it.alone && !it.calls);
    alone.map(|it| destroyed(&it)).find(Option::is_some).flatten()
}

/// What a statement destroys by its words.
fn destroyed(statement: &Statement<'_>) -> Option<Destroyed> {
    statements::facts(statement.text).destroys.into_iter().next().map(|it| it.what)
}

/// The table that it is a loss of; empty where it is none's.
fn of(destroyed: &Destroyed) -> &str {
    destroyed.table().unwrap_or_default()
}

/// Begins a transaction that is ours, whatever the body has set.
fn ours(postgres: &Postgres) -> String {
    let us = execute::be_ourselves(postgres);
    format!("BEGIN READ WRITE; {us} SET LOCAL search_path TO pg_catalog;")
}

/// Every object by its name.
async fn objects_now(
    postgres: &mut Postgres,
    tracking: &str,
) -> Result<Fingerprint, DatabaseError> {
    let doing = "look at the schema";
    let look = async {
        let begin = "BEGIN; SET LOCAL search_path TO pg_catalog".to_owned();
        postgres.run(doing, begin).await?;
        let found = effects::objects(postgres, &[tracking.to_owned()]).await?;
        postgres.run(doing, "COMMIT".to_owned()).await?;
        Ok(found)
    };
    let found = look.await;
    or_roll_back(postgres, found).await
}

async fn or_roll_back<T, E>(postgres: &mut Postgres, ended: Result<T, E>) -> Result<T, E> {
    if ended.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    ended
}
