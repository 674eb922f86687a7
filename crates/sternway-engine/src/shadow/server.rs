//! Where shadow databases are made.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sternway_database::dialect::{create_shadow, remove_shadow, shadow_server};
#[cfg(feature = "embedded")]
use sternway_database::embedded;
use sternway_database::{Database, Dialect};
use sternway_model::catalog::Digest;
use tokio::sync::OnceCell;

use super::{Cache, Material, RehearsalError};

/// Raised when what is asked of shadow databases changes its shape.
const FORMAT: u32 = 1;

/// The database that SQLite rehearses in.
const IN_MEMORY: &str = "sqlite://:memory:";

/// Where clean installs are made. Nothing is started before it is needed.
pub struct Shadow {
    /// What it has to speak.
    dialect: Dialect,
    /// The server's URL; a database inside this process where there is none.
    url: Option<String>,
    /// What is run on each database before anything else.
    setup: Option<Setup>,
    /// What was answered before; nothing is kept where there is none.
    cache: Option<Cache>,
    /// What decides, beside the bodies, how the server answers; `None` where it does not say.
    server: OnceCell<Option<String>>,
    /// The databases made on that server.
    made: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// One that is done with, and may serve for what goes on from there.
    idle: Mutex<Option<Idle>>,
}

/// A script for what only an administrator can make, and no migration does: extensions, roles, schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Where it was read from.
    pub file: String,
    /// What it says, in the database's SQL.
    pub text: String,
}

/// A database that nobody uses now.
pub(super) struct Idle {
    pub database: Box<dyn Database>,
    /// What was done on it.
    pub history: Digest,
}

impl Shadow {
    /// Shadow databases inside this process: the embedded PostgreSQL, or SQLite in memory.
    pub fn inside(dialect: Dialect) -> Shadow {
        Shadow::new(dialect, None)
    }

    /// Shadow databases on the server that `url` leads to, in databases of its own, which it drops again.
    pub fn on(dialect: Dialect, url: String) -> Shadow {
        Shadow::new(dialect, Some(url))
    }

    fn new(dialect: Dialect, url: Option<String>) -> Shadow {
        Shadow {
            dialect,
            url,
            setup: None,
            cache: None,
            server: OnceCell::new(),
            made: Mutex::default(),
            count: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// The same, with what was answered before. What is found there is not asked again.
    pub fn with_cache(self, cache: Option<Cache>) -> Shadow {
        Shadow { cache, ..self }
    }

    /// The same, with a script that is run on each database before anything else.
    pub fn with_setup(self, setup: Option<Setup>) -> Shadow {
        Shadow { setup, ..self }
    }

    /// What is run on each database before anything else.
    pub(super) fn setup(&self) -> Option<&Setup> {
        self.setup.as_ref()
    }

    /// How many databases had to be made: none where all that was asked was known.
    pub fn made(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether it makes its databases inside this process, on the embedded PostgreSQL.
    pub(super) fn is_inside(&self) -> bool {
        self.url.is_none() && self.dialect == Dialect::Postgres
    }

    /// What it speaks.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What was answered before, and all that decides, before anything is done on it, what a database for
    /// this material answers. No cache where the server does not say what it is.
    pub(super) async fn root(&self, material: &Material<'_>) -> (Option<&Cache>, Digest) {
        let server = match &self.cache {
            Some(_) => self.server.get_or_init(|| self.describe()).await.as_deref(),
            None => None,
        };
        let cache = self.cache.as_ref().filter(|_| server.is_some());
        let (build, extensions) = (cache.map(Cache::build), self.extensions(material));
        let program = (FORMAT, env!("CARGO_PKG_VERSION"), build);
        let server = (self.dialect, &self.url, server, extensions);
        let Material { schema, collation, tables, .. } = material;
        let root = format!("{program:?} {server:?} {schema:?} {collation:?} {tables:?}");
        (cache, Digest::of_bytes(root.as_bytes()))
    }

    async fn describe(&self) -> Option<String> {
        let described = match (&self.url, self.dialect) {
            (Some(url), _) => shadow_server(url).await,
            (None, Dialect::Sqlite) => shadow_server(IN_MEMORY).await,
            #[cfg(feature = "embedded")]
            (None, Dialect::Postgres) => Ok(embedded::description()),
            (None, _) => return None,
        };
        match described {
            Ok(description) => Some(description),
            Err(error) => {
                tracing::debug!("what the server for rehearsals is is not known: {error}");
                None
            }
        }
    }

    /// The extensions that a database inside this process has to offer.
    fn extensions(&self, material: &Material<'_>) -> BTreeSet<String> {
        let setup = self.setup.iter().map(|it| it.text.as_str());
        let texts = material.bodies.values().map(String::as_str).chain(setup);
        match (&self.url, self.dialect) {
            (None, Dialect::Postgres) => {
                texts.flat_map(|text| self.dialect.facts(text).creates_extensions).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// A database on which the beginning of `history` was done, the longer the better; says how much.
    pub(super) async fn database(
        &self,
        material: &Material<'_>,
        history: &[Digest],
    ) -> Result<(Box<dyn Database>, usize), RehearsalError> {
        // One that is of no use here is closed before another is opened: each takes its memory.
        if let Some(idle) = self.idle().take()
            && let Some(done) = history.iter().rposition(|it| *it == idle.history)
        {
            return Ok((idle.database, done));
        }
        Ok((self.empty(material).await?, 0))
    }

    /// Takes a database back that is done with.
    pub(super) fn is_idle(&self, idle: Idle) {
        let earlier = self.idle().replace(idle);
        drop(earlier);
    }

    fn idle(&self) -> MutexGuard<'_, Option<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn empty(&self, material: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let url = match (&self.url, self.dialect) {
            (Some(url), _) => url,
            (None, Dialect::Postgres) => return self.embedded(material).await,
            (None, Dialect::Sqlite) => IN_MEMORY,
            (None, Dialect::MySql) => return Err(RehearsalError::NotInside(self.dialect)),
        };
        let created = create_shadow(url, material.schema, material.collation).await;
        let (database, name) = created.map_err(RehearsalError::Server)?;
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        Ok(database)
    }

    /// An empty database inside this process, which offers the extensions that the material makes.
    #[cfg(feature = "embedded")]
    async fn embedded(&self, material: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
        let wanted: Vec<String> = self.extensions(material).into_iter().collect();
        for name in wanted.iter().filter(|name| embedded::stands_in_for(name)) {
            tracing::info!("in the rehearsal, plain functions stand in for the extension `{name}`");
        }
        let place = embedded::Place::Temporary;
        // On the heap: this is asked for below everything else.
        let database = Box::pin(embedded::connect_in(&place, &wanted, material.schema)).await;
        Ok(Box::new(database.map_err(RehearsalError::Server)?))
    }

    #[cfg(not(feature = "embedded"))]
    async fn embedded(&self, _: &Material<'_>) -> Result<Box<dyn Database>, RehearsalError> {
        Err(RehearsalError::NotInside(self.dialect))
    }

    /// Drops what was made on a server, after `result` was had from it.
    pub(crate) async fn tidied<T>(&self, result: T) -> T {
        if self.url.is_some() {
            drop(self.idle().take());
        }
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for name in made {
            let url = self.url.as_deref().unwrap_or(IN_MEMORY);
            if let Err(error) = remove_shadow(url, &name).await {
                tracing::warn!("the database `{name}` is left behind: {error}");
            }
        }
        result
    }
}
