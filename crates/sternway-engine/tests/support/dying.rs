//! A session that dies at a call, and an application that remembers what was asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sternway_database::port::prelude::*;
use sternway_database::port::{Execution, Locks, RecordStore, Schema, Tracking};
use sternway_database::{
    DatabaseError, Done, Holder, LockError, Preservation, Reconciled, RunId, RunSummary, SqlError,
    StepError, Underway, Unfinished, Work,
};
use sternway_model::app::{App, AppError, Deployment};
use sternway_model::catalog::{Digest, Migration, Release, TrackName};
use sternway_model::journal::Record;
use sternway_model::plan::Plan;
use sternway_model::proof::{Fingerprint, ObjectName};
use sternway_model::state::{Records, RecordsAccess, TrackState, TrackingRow};
use sternway_testing::forward;

/// A session that is lost before, or after, one of its calls; everything fails from then on.
pub struct Dying {
    pub database: Box<dyn Database>,
    /// How many calls are left.
    pub calls: usize,
    /// Whether the last call still takes effect, and only its answer is lost.
    pub after: bool,
    /// How often a migration is blocked before it runs.
    pub blocked: usize,
    /// The statement at which a migration waits in vain before that, once.
    pub waits_at: Option<usize>,
    /// The statement at which each migration that was asked for begins.
    pub firsts: Vec<usize>,
    /// The calls that were made.
    pub made: Vec<&'static str>,
}

fn lost() -> DatabaseError {
    let source = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
    DatabaseError::Query { doing: "go on".to_owned(), source }
}

impl Dying {
    pub fn never(database: Box<dyn Database>) -> Dying {
        let (made, firsts) = (Vec::new(), Vec::new());
        let calls = usize::MAX;
        Dying { database, calls, after: false, blocked: 0, waits_at: None, firsts, made }
    }

    /// Whether the call is carried out, and whether its answer arrives.
    fn tick(&mut self, call: &'static str) -> (bool, bool) {
        self.made.push(call);
        match self.calls {
            0 => (false, false),
            1 if self.after => {
                self.calls = 0;
                (true, false)
            }
            1 => {
                self.calls = 0;
                (false, false)
            }
            _ => {
                self.calls -= 1;
                (true, true)
            }
        }
    }
}

/// A call that may be the last one.
macro_rules! call {
    ($self:ident, $name:literal, $call:expr) => {{
        let (runs, answers) = $self.tick($name);
        if !runs {
            return Err(lost().into());
        }
        let answer = $call.await;
        if answers { answer } else { Err(lost().into()) }
    }};
}

forward!(Dying, database: Connection, Archive, Clients, Fences);

#[async_trait]
impl Locks for Dying {
    async fn lock(&mut self, tables: &[String], lock_timeout: Duration) -> Result<(), LockError> {
        call!(self, "lock", self.database.lock(tables, lock_timeout))
    }

    async fn end_orphans(&mut self, tables: &[String]) -> Result<Vec<Holder>, DatabaseError> {
        self.database.end_orphans(tables).await
    }

    async fn unlock(&mut self) -> Result<(), DatabaseError> {
        call!(self, "unlock", self.database.unlock())
    }
}

#[async_trait]
impl Tracking for Dying {
    async fn track(&mut self, table: &str) -> Result<TrackState, DatabaseError> {
        self.database.track(table).await
    }

    async fn prepare_track(&mut self, table: &str) -> Result<(), DatabaseError> {
        self.database.prepare_track(table).await
    }

    async fn set_track(&mut self, table: &str, at: TrackingRow) -> Result<(), DatabaseError> {
        call!(self, "set_track", self.database.set_track(table, at))
    }

    async fn underway(&mut self, table: &str) -> Result<Option<Underway>, DatabaseError> {
        self.database.underway(table).await
    }
}

#[async_trait]
impl Schema for Dying {
    async fn enter_schema(&mut self, schema: &str) -> Result<(), DatabaseError> {
        self.database.enter_schema(schema).await
    }

    async fn tables(&mut self, except: &[String]) -> Result<BTreeSet<String>, DatabaseError> {
        self.database.tables(except).await
    }

    async fn extensions(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        self.database.extensions().await
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        call!(self, "fingerprint", self.database.fingerprint(except))
    }

    async fn statements_from(
        &mut self,
        from: &Fingerprint,
        except: &[String],
    ) -> Result<Vec<String>, DatabaseError> {
        self.database.statements_from(from, except).await
    }

    async fn attributes(&mut self, object: &ObjectName) -> Result<Vec<String>, DatabaseError> {
        self.database.attributes(object).await
    }

    async fn drop_tables(&mut self) -> Result<Vec<String>, DatabaseError> {
        self.database.drop_tables().await
    }
}

#[async_trait]
impl RecordStore for Dying {
    async fn records(&mut self, app: &str) -> Result<Records, DatabaseError> {
        self.database.records(app).await
    }

    async fn prepare_records(&mut self) -> Result<RecordsAccess, DatabaseError> {
        call!(self, "prepare_records", self.database.prepare_records())
    }

    async fn begin_run(&mut self, plan: &Plan) -> Result<RunId, DatabaseError> {
        call!(self, "begin_run", self.database.begin_run(plan))
    }

    async fn record(&mut self, run: RunId, record: &Record) -> Result<(), DatabaseError> {
        call!(self, "record", self.database.record(run, record))
    }

    async fn record_migrations(
        &mut self,
        app: &str,
        track: &TrackName,
        migrations: &[Migration],
        bodies: &BTreeMap<Digest, String>,
    ) -> Result<(), DatabaseError> {
        self.database.record_migrations(app, track, migrations, bodies).await
    }

    async fn unfinished(&mut self, app: &str) -> Result<Option<Unfinished>, DatabaseError> {
        if self.calls == 0 {
            return Err(lost());
        }
        self.database.unfinished(app).await
    }

    async fn history(&mut self, app: &str) -> Result<Vec<RunSummary>, DatabaseError> {
        self.database.history(app).await
    }
}

#[async_trait]
impl Execution for Dying {
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        self.database.migrate(work).await
    }

    async fn migrate_preserving(
        &mut self,
        work: &Work<'_>,
        care: &Preservation<'_>,
    ) -> Result<Done, StepError> {
        let file = work.file.to_owned();
        self.firsts.push(work.first);
        if let Some(statement) = self.waits_at.take() {
            let source = SqlError::new("a lock was not had", "55P03", None);
            return Err(StepError::Dirty {
                file,
                statement,
                since: statement,
                source,
                blockers: Some(Vec::new()),
            });
        }
        if self.blocked > 0 {
            self.blocked -= 1;
            let waited = Duration::from_secs(1);
            return Err(StepError::Blocked { file, waited, blockers: Vec::new() });
        }
        let (runs, answers) = self.tick("migrate");
        if !runs {
            return Err(StepError::Database { file, source: lost() });
        }
        let done = self.database.migrate_preserving(work, care).await;
        if answers { done } else { Err(StepError::Database { file, source: lost() }) }
    }

    async fn reconcile(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Reconciled, DatabaseError> {
        call!(self, "reconcile", self.database.reconcile(work, statement))
    }
}

/// What an application is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppIs {
    pub release: String,
    pub runs: bool,
}

/// An application of which only what was asked of it is real.
#[derive(Clone)]
pub struct Puppet {
    pub is: Arc<Mutex<AppIs>>,
    /// What it refuses: `stop`, `swap 1.0.0`, `start 1.0.0`.
    pub refuses: Vec<String>,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Puppet {
    pub fn at(release: &str) -> Puppet {
        let is = AppIs { release: release.to_owned(), runs: true };
        Puppet { is: Arc::new(Mutex::new(is)), refuses: Vec::new(), asked: Arc::default() }
    }

    pub fn is(&self) -> AppIs {
        self.is.lock().expect("a puppet").clone()
    }

    fn act(&self, what: &str, change: impl FnOnce(&mut AppIs)) -> Result<(), AppError> {
        self.asked.lock().expect("a list").push(what.to_owned());
        if self.refuses.iter().any(|it| it == what) {
            let doing = format!("{what} the application");
            return Err(AppError { doing, reason: "it will not".to_owned() });
        }
        change(&mut self.is.lock().expect("a puppet"));
        Ok(())
    }
}

#[async_trait]
impl App for Puppet {
    fn describe(&self) -> String {
        "a puppet".to_owned()
    }

    async fn running(&mut self) -> Result<Option<Release>, AppError> {
        Ok(self.is().release.parse().ok())
    }

    async fn survey(
        &mut self,
        _from: Option<&Release>,
        _to: &Release,
    ) -> Result<Deployment, AppError> {
        Ok(Deployment::default())
    }

    async fn stop(&mut self, _known: &Deployment) -> Result<(), AppError> {
        self.act("stop", |is| is.runs = false)
    }

    async fn swap(
        &mut self,
        _known: &Deployment,
        _from: Option<&Release>,
        to: &Release,
    ) -> Result<(), AppError> {
        self.act(&format!("swap {to}"), |is| {
            assert!(!is.runs, "it is swapped while it runs");
            is.release = to.to_string();
        })
    }

    async fn start(&mut self, _known: &Deployment, release: &Release) -> Result<(), AppError> {
        self.act(&format!("start {release}"), |is| {
            assert_eq!(is.release, release.to_string());
            is.runs = true;
        })
    }
}
