//! Running a body with care that cannot run in one transaction: each of its statements that can run in
//! one is looked at, kept and run as a whole body is. Those that cannot destroy no data, or are not run.
//!
//! A statement, what the archive keeps of it and the journal's note that it is done commit together, so
//! that a death leaves no statement of which nobody knows. What an earlier run of the other half has
//! kept is looked at together with the dirty mark, and put back together with its end.

use std::collections::BTreeSet;

use sternway_model::archive::EntryId;
use sternway_model::effect::Effects;

use super::archive::{self, Which, back};
use super::careful::{self, Careful, Part, Trouble};
use super::effects::{self, Oid, Snapshot};
use super::execute;
use super::send::Piece;
use super::statements::{self, Statement, statements};
use super::{Postgres, limits};
use crate::port::{Care, DatabaseError, Done, Limits, StepError, Work};

/// Runs the body of `work` with care, outside a transaction for this `reason`.
pub(super) async fn migrate(
    postgres: &mut Postgres,
    work: &Work<'_>,
    care: &Care<'_>,
    reason: &str,
) -> Result<Done, StepError> {
    let file = work.file.to_owned();
    if care.keep
        && let Some(what) = alone(work)
    {
        let reason = format!("{what}, outside a transaction ({reason})");
        return Err(StepError::CannotKeep { file, reason });
    }
    let begun = Piecemeal::begin(postgres, work, care).await;
    let mut piecemeal = begun.map_err(|source| StepError::Database { file, source })?;
    execute::outside(postgres, work, care.limits, Some(&mut piecemeal)).await?;
    piecemeal
        .end(postgres)
        .await
        .map_err(|source| StepError::Database { file: work.file.to_owned(), source })
}

/// What a statement destroys that can never be looked at first. An index holds no data.
fn alone(work: &Work<'_>) -> Option<String> {
    let statements = statements(work.body).into_iter().skip(work.first.saturating_sub(1));
    let alone = statements.filter(|it| it.alone && !it.calls);
    alone.map(|it| destroyed(&it)).find(Option::is_some).flatten()
}

/// What a statement destroys by its words, beside indexes.
pub(super) fn destroyed(statement: &Statement<'_>) -> Option<String> {
    let destroys = statements::facts(statement.text).destroys.into_iter();
    destroys.map(|it| it.what).find(|it| !it.starts_with("index"))
}

/// A body at work, statement by statement.
pub(super) struct Piecemeal<'c> {
    care: &'c Care<'c>,
    /// The tracking tables, which are no objects of the application's.
    tracking: Vec<String>,
    /// What there was before it: what it makes itself is nothing to be kept.
    start: Snapshot,
    objects: Option<sternway_model::proof::Fingerprint>,
    /// What the archive has of its statements.
    entries: Vec<EntryId>,
    /// Whether they put rows somewhere, and the tables that they read.
    writes: bool,
    read: BTreeSet<Oid>,
    /// What an earlier run of the other half has kept.
    waiting: Vec<archive::Stored>,
    done: Done,
}

impl<'c> Piecemeal<'c> {
    async fn begin(
        postgres: &mut Postgres,
        work: &Work<'_>,
        care: &'c Care<'c>,
    ) -> Result<Self, DatabaseError> {
        let tracking = vec![work.table.to_owned()];
        let start = effects::snapshot(postgres).await?;
        let objects = match care.each_lock {
            true => Some(whole(postgres, &tracking).await?),
            false => None,
        };
        let waiting = match care.keep {
            true => careful::waiting(postgres, care).await?,
            false => Vec::new(),
        };
        // What a session kept that has died.
        let Care { track, version, direction, .. } = *care;
        let entries = match work.journal.filter(|_| work.first > 1 && care.keep) {
            Some((run, _)) => {
                archive::stored(postgres, Which::OfRun { run, track, version, direction }).await?
            }
            None => Vec::new(),
        };
        let entries = entries.iter().map(|it| it.entry.id).collect();
        let done = Done { effects: Some(Effects::default()), ..Done::default() };
        // Of statements that another session ran, nobody knows.
        let (writes, read) = match work.first > 1 {
            true => (true, start.relations.keys().copied().collect()),
            false => (false, BTreeSet::new()),
        };
        Ok(Piecemeal { care, tracking, start, objects, entries, writes, read, waiting, done })
    }

    /// What it keeps, or whether it only looks.
    pub fn keeps(&self) -> bool {
        self.care.keep
    }

    /// Marks the track dirty with `mark`, and looks at what waits to be put back while it is as the body
    /// of the other half left it.
    pub async fn mark(&self, postgres: &mut Postgres, mark: &str) -> Result<(), DatabaseError> {
        let begin = format!(
            "BEGIN READ WRITE; {} SET LOCAL search_path TO pg_catalog; {}",
            execute::be_ourselves(postgres),
            back::forget_reasons(&self.waiting)
        );
        let doing = "mark the track dirty";
        let marked = async {
            postgres.run(doing, begin).await?;
            back::before(postgres, &self.waiting).await?;
            postgres.run(doing, format!("{mark} COMMIT")).await
        };
        let marked = marked.await;
        or_roll_back(postgres, marked).await
    }

    /// Runs a statement with care, in a transaction of its own, which the caller ends, or in one of the
    /// body's.
    pub async fn run(
        &mut self,
        postgres: &mut Postgres,
        work: &Work<'_>,
        statement: &Statement<'_>,
        number: usize,
        own: bool,
    ) -> Result<(), Trouble> {
        let opening = if own { "SAVEPOINT sternway_statement;" } else { "BEGIN;" };
        let Piecemeal { start, entries, writes, read, .. } = &*self;
        let part = Part { number, own, start, entries, writes: *writes, read };
        let Statement { text, offset, .. } = *statement;
        let piece = Piece { before: "", text, body: work.body, offset };
        let mut careful = Careful::begin(postgres, work, self.care, opening, Some(part)).await?;
        let (ran, kept) = careful.take(&piece).await?;
        if own {
            careful.leave().await?;
        }
        self.entries.extend(kept.iter().map(|it| it.id));
        self.writes |= ran.taken.writes;
        self.read.extend(ran.taken.read);
        self.done.kept.extend(kept);
        if let Some(effects) = &mut self.done.effects {
            let known = |lost| effects.losses.iter().any(|it| it.lost == lost);
            let new: Vec<_> =
                ran.effects.losses.into_iter().filter(|it| !known(it.lost.clone())).collect();
            effects.losses.extend(new);
            effects.locks.extend(ran.effects.locks);
        }
        Ok(())
    }

    /// Puts back what waits, together with `end`, which takes the mark away.
    pub async fn close(
        &mut self,
        postgres: &mut Postgres,
        end: &str,
        limits: Limits,
    ) -> Result<(), DatabaseError> {
        let begin = format!(
            "BEGIN READ WRITE; {} SET LOCAL search_path TO pg_catalog; {}",
            execute::be_ourselves(postgres),
            limits::set(limits)
        );
        let closed = async {
            postgres.run("put back what the archive keeps", begin).await?;
            let back = match self.waiting.is_empty() {
                true => Vec::new(),
                false => back::put_back(postgres, &self.waiting).await?,
            };
            postgres.run("write the tracking row", format!("{end} COMMIT")).await?;
            Ok(back)
        };
        let closed = closed.await;
        self.done.put_back = or_roll_back(postgres, closed).await?;
        Ok(())
    }

    async fn end(mut self, postgres: &mut Postgres) -> Result<Done, DatabaseError> {
        if let (Some(objects), Some(done)) = (&self.objects, &mut self.done.effects) {
            let now = whole(postgres, &self.tracking).await?;
            let after = effects::snapshot(postgres).await?;
            let Effects { losses, locks, .. } = std::mem::take(done);
            let changed = effects::differences((objects, &self.start), (&now, &after));
            *done = Effects { losses, locks, ..changed };
        }
        Ok(self.done)
    }
}

/// Every object by its name.
async fn whole(
    postgres: &mut Postgres,
    except: &[String],
) -> Result<sternway_model::proof::Fingerprint, DatabaseError> {
    let look = async {
        postgres
            .run("look at the schema", "BEGIN; SET LOCAL search_path TO pg_catalog".to_owned())
            .await?;
        let found = effects::objects(postgres, except).await?;
        postgres.run("look at the schema", "COMMIT".to_owned()).await?;
        Ok(found)
    };
    let found = look.await;
    or_roll_back(postgres, found).await
}

async fn or_roll_back<T>(
    postgres: &mut Postgres,
    ended: Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    if ended.is_err() {
        let _ = postgres.run("roll back", "ROLLBACK".to_owned()).await;
    }
    ended
}
