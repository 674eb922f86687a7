//! The PostgreSQL inside the process: a real PostgreSQL 17 with pgvector, and nothing to install.
//!
//! Two extensions that it cannot have are stood in for by plain functions of the same names, for rehearsals.
//! It has one connection. It serves for clean installs, rehearsals and the demo, not for load.

use std::path::{Path, PathBuf};
use std::{fs, io};

use pglite_oxide::{PgliteServer, extensions};
use tempfile::TempDir;

use crate::port::{Connect, Schema};
use crate::postgres::{self, Postgres};

/// A running server. It stops when it is dropped, which must be after its session.
pub struct Server {
    server: Option<PgliteServer>,
    // The socket's folder, which nobody else may enter.
    _socket: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        if let Err(error) = server.shutdown() {
            tracing::warn!("the embedded PostgreSQL did not stop well: {error:#}");
        }
    }
}

/// Where the embedded server keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a temporary folder, gone with the session.
    Temporary,
    /// In this folder, kept.
    Kept(PathBuf),
}

impl Place {
    /// Reads `embedded:` and `embedded:DIR`; `None` for any other URL.
    pub fn parse(url: &str) -> Option<Place> {
        match url.strip_prefix("embedded:")? {
            "" => Some(Place::Temporary),
            folder => Some(Place::Kept(PathBuf::from(folder))),
        }
    }
}

/// The server inside the process, by the crate that brings it; a test holds it against `Cargo.lock`.
const VERSION: &str = "pglite-oxide 0.5.1";

/// All that decides, beside the bodies, what they lead to in a temporary database: the server, and what
/// the environment says about sessions with it. Nothing is started.
pub fn description() -> String {
    let variables = ["PGOPTIONS", "PGTZ", "TZ"].map(std::env::var_os);
    format!("{VERSION} {variables:?}")
}

/// Starts a server and opens its one session. `wanted` are the extensions to offer; one that the
/// server does not come with is not offered.
///
/// # Errors
/// When the server cannot start, for example because another process has its folder open.
pub async fn connect(place: &Place, wanted: &[String]) -> Result<Postgres, Connect> {
    connect_in(place, wanted, "public").await
}

/// As [`connect`], with `schema` for the current schema; it is made where it does not exist.
///
/// # Errors
/// As [`connect`].
pub async fn connect_in(
    place: &Place,
    wanted: &[String],
    schema: &str,
) -> Result<Postgres, Connect> {
    let unusable = |error: crate::port::DatabaseError| Connect::Embedded(error.to_string());
    let known = wanted.iter().filter(|name| extensions::by_sql_name(name).is_some());
    let mut missing: Vec<String> = known.cloned().collect();
    if let Place::Kept(_) = place {
        let mut postgres = open(place, &[]).await?;
        let offered = postgres.extensions().await;
        let offered = offered.map_err(unusable)?;
        missing.retain(|name| !offered.contains(name));
        if missing.is_empty() {
            postgres.live_in(schema).await.map_err(unusable)?;
            return Ok(postgres);
        }
    }
    // The server makes each extension that it is started with; a migration expects to do that.
    let mut postgres = open(place, &missing).await?;
    postgres.drop_extensions(&missing).await.map_err(unusable)?;
    postgres.live_in(schema).await.map_err(unusable)?;
    Ok(postgres)
}

/// An extension that the server does not come with, and what stands in for it.
struct StandIn {
    name: &'static str,
    version: &'static str,
    /// Functions that do the same, or say where they are called that they cannot.
    functions: &'static str,
    /// The name of the one that computes SHA-1, which the server cannot.
    sha1: &'static str,
}

const STAND_INS: [StandIn; 2] = [
    StandIn {
        name: "uuid-ossp",
        version: "1.1",
        functions: include_str!("embedded/uuid-ossp.sql"),
        sha1: "uuid_ossp_sha1",
    },
    StandIn {
        name: "pgcrypto",
        version: "1.3",
        functions: include_str!("embedded/pgcrypto.sql"),
        sha1: "pgcrypto_sha1",
    },
];

/// Whether plain functions stand in for this extension in a temporary database.
pub fn stands_in_for(extension: &str) -> bool {
    STAND_INS.iter().any(|it| it.name == extension)
}

impl StandIn {
    /// Writes it to where the server with this root looks for extensions.
    fn write(&self, root: &Path) -> io::Result<()> {
        let StandIn { name, version, functions, sha1 } = self;
        let folder = root.join("tmp/pglite/share/postgresql/extension");
        fs::create_dir_all(&folder)?;
        let control =
            format!("default_version = '{version}'\nrelocatable = false\ntrusted = true\n");
        fs::write(folder.join(format!("{name}.control")), control)?;
        let sql = [include_str!("embedded/sha1.sql"), functions].concat().replace("NAME", sha1);
        fs::write(folder.join(format!("{name}--{version}.sql")), sql)
    }
}

async fn open(place: &Place, with: &[String]) -> Result<Postgres, Connect> {
    let (place, with) = (place.clone(), with.to_vec());
    let started = tokio::task::spawn_blocking(move || start(&place, &with)).await;
    let server = started.map_err(|error| Connect::Embedded(error.to_string()))??;
    let url = server.server.as_ref().map(PgliteServer::database_url).unwrap_or_default();
    let mut postgres = postgres::connect(&url, None).await?;
    postgres.live_on(server);
    Ok(postgres)
}

fn start(place: &Place, with: &[String]) -> Result<Server, Connect> {
    let failed = |error: &dyn std::fmt::Display| Connect::Embedded(error.to_string());
    let socket = tempfile::Builder::new().prefix("sternway-").tempdir().map_err(|e| failed(&e))?;
    let builder = PgliteServer::builder();
    let builder = match place {
        // All of its buffers are filled with zeros first: a few will do where there are no rows.
        Place::Temporary => builder.temporary().postgres_config("shared_buffers", "16MB"),
        Place::Kept(folder) => builder.path(folder),
    };
    let builder = builder
        .extensions(with.iter().filter_map(|name| extensions::by_sql_name(name)))
        .unix(socket.path().join(".s.PGSQL.5432"));
    let server = builder.start().map_err(|error| Connect::Embedded(format!("{error:#}")))?;
    if *place == Place::Temporary {
        for extension in &STAND_INS {
            extension.write(server.root()).map_err(|error| failed(&error))?;
        }
    }
    Ok(Server { server: Some(server), _socket: socket })
}
