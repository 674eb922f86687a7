//! Running a piece of a body with care, in a transaction that somebody else begins and ends: it is run
//! once to see what it changes, taken back, what it destroys is preserved, and it is run again. A piece
//! that destroys nothing is run once.

use std::collections::BTreeSet;

use sqlx::Row;
use sqlx::postgres::PgRow;
use sternway_model::archive::{EntryId, Preserved};
use sternway_model::effect::{Effects, Lock};
use sternway_model::proof::Fingerprint;

use super::archive::keep::{self, Keeping, Looks, Means, Owner};
use super::archive::{self, merge, relocate};
use super::effects::{self, Oid, Snapshot, Taken};
use super::execute;
use super::send::{self, Failure, Piece};
use super::statements::{self, statements};
use super::{Postgres, failed, literal};
use crate::port::{DatabaseError, Preservation, Work, recorded};

/// One statement of a body that runs statement by statement.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// Which, from 1.
    pub number: usize,
    /// Whether it stands in a transaction of the body's own.
    pub own: bool,
    /// What there was before the body: what that makes itself is nothing to be kept.
    pub start: &'a Snapshot,
    /// What tells what the body makes in the archive from what others do, where that is no run.
    pub batch: Option<&'a str>,
    /// What the archive has of the statements before it.
    pub entries: &'a [EntryId],
    /// Whether those have put rows somewhere, and the tables that they read.
    pub writes: bool,
    pub read: &'a BTreeSet<Oid>,
}

/// A body, or a statement of one, that is being run with care, in its transaction.
pub(super) struct Attempt<'a> {
    pub postgres: &'a mut Postgres,
    work: &'a Work<'a>,
    care: &'a Preservation<'a>,
    part: Option<Part<'a>>,
    /// What gives the body the search path and the role back that it is to find.
    pub finds: String,
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
    /// What there was afterwards, where a table goes that could be relocated.
    objects: Option<Fingerprint>,
}

const SEE: &str = "see what the body changes";
const KEEP: &str = "keep what the body destroys";

/// The server's code for an object that others depend on.
const DEPENDENT: &str = "2BP01";

/// What a body goes by.
const SETTINGS: &str = "pg_catalog.current_setting('search_path'), session_user::text, \
                        pg_catalog.current_setting('role')";

impl<'a> Attempt<'a> {
    /// Begins, with `opening`, what can be taken back; what follows is ours until the piece is run.
    pub async fn begin(
        postgres: &'a mut Postgres,
        work: &'a Work<'a>,
        care: &'a Preservation<'a>,
        opening: &str,
        part: Option<Part<'a>>,
    ) -> Result<Attempt<'a>, Failure> {
        let sql = format!(
            "{opening} SELECT {SETTINGS}, (pg_catalog.txid_current() % 4294967296)::bigint,
             pg_catalog.current_setting('track_counts') = 'on'; {}",
            be_ours(postgres)
        );
        let rows = postgres.ask("begin the transaction", sql).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed(SEE))?;
        let finds = settings(postgres, row)?;
        let transaction: i64 = row.try_get(3).map_err(failed(SEE))?;
        let counts: bool = row.try_get(4).map_err(failed(SEE))?;
        if !counts && care.keep {
            let reason = "the server does not count (track_counts is off), so that nobody can tell which tables the body changes rows in";
            return Err(Failure::CannotKeep(reason.to_owned()));
        }
        let leaves = String::new();
        Ok(Attempt { postgres, work, care, part, finds, leaves, transaction })
    }

    /// Makes what follows ours, after the body or what it was taken back to.
    async fn ours(&mut self) -> Result<(), DatabaseError> {
        let sql = be_ours(self.postgres);
        self.postgres.run(SEE, sql).await
    }

    /// Gives the search path back to the body.
    async fn theirs(&mut self, savepoint: &str) -> Result<(), DatabaseError> {
        let sql = format!("{} SAVEPOINT {savepoint}", self.finds);
        self.postgres.run(SEE, sql).await
    }

    /// As [`Attempt::ours`], after the body.
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

    /// Runs the piece, and preserves what it takes.
    pub async fn run(&mut self, piece: &Piece<'_>) -> Result<(Ran, Vec<Preserved>), Failure> {
        let mut locked = BTreeSet::new();
        loop {
            let ran = self.see(piece).await?;
            if ran.taken.is_nothing() {
                return Ok((ran, Vec::new()));
            }
            if let Some(planned) = self.care.planned {
                let beyond = ran.effects.beyond(planned);
                if !beyond.is_empty() {
                    return Err(Failure::Beyond(beyond));
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
    async fn see(&mut self, piece: &Piece<'_>) -> Result<Ran, Failure> {
        let bound = archive::bound(self.postgres).await?;
        match self.look(piece).await {
            Ok(ran) if bound.is_empty() => return Ok(ran),
            Ok(ran) => {
                let still = archive::bound(self.postgres).await?;
                if bound.iter().all(|it| still.contains(it)) {
                    return Ok(ran);
                }
            }
            Err(Failure::Sql(error)) if !bound.is_empty() && error.code == DEPENDENT => {}
            Err(other) => return Err(other),
        }
        self.postgres.run(SEE, "ROLLBACK TO SAVEPOINT sternway_body".to_owned()).await?;
        self.ours().await?;
        archive::loosen(self.postgres, &bound).await?;
        self.look(piece).await
    }

    async fn look(&mut self, piece: &Piece<'_>) -> Result<Ran, Failure> {
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
            false => send::body(self.postgres, *piece).await?,
        }
        self.ours_again().await?;
        let after = effects::snapshot(self.postgres).await?;
        let takes_large_objects = after.large_objects_gone > before.large_objects_gone;
        if takes_large_objects && self.care.keep && !self.may_unlink() {
            let reason = "it takes large objects, which the archive does not keep";
            return Err(Failure::CannotKeep(reason.to_owned()));
        }
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
        let objects = match self.care.keep && movable.any(relocate::is_movable) {
            true => Some(effects::objects(self.postgres, &tracking).await?),
            false => None,
        };
        Ok(Ran { before, after, taken, effects, objects })
    }

    /// Whether it was foreseen that large objects go, and somebody has agreed.
    fn may_unlink(&self) -> bool {
        let foreseen = self.care.planned.iter().flat_map(|it| &it.unforeseen);
        foreseen.into_iter().any(|it| it.contains("lo_unlink"))
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

    /// Runs the body statement by statement, and tells the locks that each one adds.
    async fn each(&mut self, piece: &Piece<'_>, before: &Snapshot) -> Result<Vec<Lock>, Failure> {
        let mut locks: Vec<Lock> = Vec::new();
        let first = self.part.map_or(1, |it| it.number);
        for (index, statement) in statements(piece.text).into_iter().enumerate() {
            let part = Piece {
                before: "",
                text: statement.text,
                body: piece.body,
                offset: piece.offset + statement.offset,
            };
            send::body(self.postgres, part).await?;
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

    /// Keeps what the body takes, and runs it for good. Whole tables are relocated; where the body
    /// then does not do the same, they are copied.
    async fn keep(&mut self, piece: &Piece<'_>, seen: &Ran) -> Result<Vec<Preserved>, Failure> {
        if let Some(wanted) = &seen.objects {
            self.postgres.run(SEE, "SAVEPOINT sternway_relocated".to_owned()).await?;
            match self.keep_by(Means::Relocation, piece, seen).await {
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
                Err(Failure::CannotKeep(reason)) => tracing::debug!("rows are copied: {reason}"),
                Err(failure) => {
                    let file = self.work.file;
                    let Some(words) = refused(&failure) else { return Err(failure) };
                    tracing::debug!("{file} does not run on a stand-in ({words}): rows are copied");
                }
            }
            self.postgres.run(SEE, "ROLLBACK TO SAVEPOINT sternway_relocated".to_owned()).await?;
            self.ours().await?;
            let now = effects::snapshot(self.postgres).await?;
            effects::count_again(self.postgres, &seen.before, &now).await?;
        }
        self.keep_by(Means::Copy, piece, seen).await
    }

    async fn keep_by(
        &mut self,
        means: Means,
        piece: &Piece<'_>,
        seen: &Ran,
    ) -> Result<Vec<Preserved>, Failure> {
        let keepings = self.preserve(means, seen).await?;
        let after = self.run_for_good(means, piece, seen).await?;
        let taken = self.taken(&seen.before, &after);
        let losses = |taken: &Taken| Effects {
            losses: taken.losses(self.known(&seen.before)),
            ..Effects::default()
        };
        let more = losses(&taken).beyond(&losses(&seen.taken));
        if !more.is_empty() {
            let more = more.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let reason = format!("it did not do the same twice, and took {more} the second time");
            return Err(Failure::CannotKeep(reason));
        }
        let kept = keep::conclude(self.postgres, keepings, &after).await?;
        Ok(match self.part {
            Some(part) => merge::merge(self.postgres, part.entries, kept).await?,
            None => kept,
        })
    }

    /// Preserves what the piece takes, all rows of it: policies that bind the owner as well sleep.
    async fn preserve(&mut self, means: Means, seen: &Ran) -> Result<Vec<Keeping>, DatabaseError> {
        let locked = seen.taken.locked();
        let locked = locked.iter().filter_map(|oid| seen.before.relations.get(oid));
        let forced: Vec<String> = locked.filter(|it| it.forced).map(|it| it.sql()).collect();
        let alter = |how: &str| -> String {
            forced.iter().map(|it| format!("ALTER TABLE {it} {how} ROW LEVEL SECURITY;")).collect()
        };
        let sleep = format!("{} SET LOCAL row_security = off", alter("NO FORCE"));
        self.postgres.run(KEEP, sleep).await?;
        let run = self.work.journal.map(|(run, _)| run);
        let known = self.part.map_or(&seen.before, |it| it.start);
        let looks = Looks { before: &seen.before, known };
        let discards = |oid: &Oid| {
            let relation = known.relations.get(oid).or(seen.before.relations.get(oid));
            relation.is_some_and(|it| self.care.discards(&it.shown))
        };
        let (taken, transaction) = (seen.taken.but(discards), self.transaction);
        let batch = match (run, self.part) {
            (Some(_), _) => None,
            (None, Some(part)) => part.batch.map(str::to_owned),
            (None, None) => Some(transaction.to_string()),
        };
        let owner = Owner { care: self.care, run, batch };
        let keepings = keep::keep(self.postgres, owner, looks, &taken, transaction, means).await?;
        let wake = format!("{} SET LOCAL row_security = on", alter("FORCE"));
        self.postgres.run(KEEP, wake).await?;
        Ok(keepings)
    }

    /// Runs the piece, once what it takes is preserved, and looks at what there is then. On stand-ins it
    /// has to do what it did on the tables themselves.
    async fn run_for_good(
        &mut self,
        means: Means,
        piece: &Piece<'_>,
        seen: &Ran,
    ) -> Result<Snapshot, Failure> {
        let bound = archive::bound(self.postgres).await?;
        let base = match means {
            Means::Relocation => Some(effects::snapshot(self.postgres).await?),
            Means::Copy => None,
        };
        self.theirs("sternway_body").await?;
        send::body(self.postgres, *piece).await?;
        self.ours_again().await?;
        let still = archive::bound(self.postgres).await?;
        if let Some((table, column)) = bound.iter().find(|it| !still.contains(it)) {
            let reason = format!("it drops the type of column {column}, kept in {table}");
            return Err(Failure::CannotKeep(reason));
        }
        let after = effects::snapshot(self.postgres).await?;
        if let Some(base) = base {
            // What reads a table unseen, as by the place of a row, shows in what it writes elsewhere.
            if effects::written(&base, &after) != effects::written(&seen.before, &seen.after) {
                return Err(Failure::CannotKeep("it writes other rows on a stand-in".to_owned()));
            }
        }
        // Views on a table that was relocated went with it, and not with the stand-in.
        let left = Taken::views(&seen.before, &seen.after);
        let left = left.iter().filter(|it| after.relations.contains_key(&it.oid));
        let drops = left.map(|it| match it.kind {
            'm' => format!("DROP MATERIALIZED VIEW IF EXISTS {} CASCADE;", it.sql()),
            _ => format!("DROP VIEW IF EXISTS {} CASCADE;", it.sql()),
        });
        let drops: String = drops.collect();
        if drops.is_empty() {
            return Ok(after);
        }
        self.postgres.run(SEE, drops).await?;
        Ok(effects::snapshot(self.postgres).await?)
    }
}

/// What makes a transaction ours, and not the body's: its search path and its role do not matter.
pub(super) fn be_ours(postgres: &Postgres) -> String {
    // Names are compared as the server quotes them.
    let plain = "SET LOCAL search_path TO pg_catalog; SET LOCAL quote_all_identifiers TO off";
    format!("{} {plain}", execute::be_ourselves(postgres))
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

/// The server's words, where it refused a statement for what that says, and not for a lock, a limit or
/// itself.
fn refused(failure: &Failure) -> Option<String> {
    let (code, words) = match failure {
        Failure::Sql(error) => (error.code.clone(), error.to_string()),
        Failure::Other(DatabaseError::Query {
            source: source @ sqlx::Error::Database(error),
            ..
        }) => (error.code().unwrap_or_default().into_owned(), recorded(source)),
        _ => return None,
    };
    // 55P03, 57014 and 57P01, 40P01, and what is of the system.
    let other = ["55P03", "40", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class));
    (!other).then_some(words)
}
