//! Opening a session: a libpq URL, the environment that libpq reads, and the password file.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use sternway_model::state::Identity;
use url::Url;

use super::{Postgres, failed};
use crate::port::{Connect, DatabaseError};

/// The parameters that the driver understands; libpq's manual, section 34.1.2, says what they mean.
const KNOWN: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Opens a session with the database that `url` names.
///
/// Every `sslmode` works, and so do sockets (`?host=/run/postgresql`), `PGPASSFILE` and the other
/// variables that libpq reads. As with golang-migrate, a parameter that is none of libpq's is a
/// setting of the session, such as `search_path`; those that begin with `x-` are left out.
///
/// # Errors
/// When the URL is no URL, nothing answers, or the server refuses. The URL is never repeated.
pub async fn connect(url: &str, password: Option<&str>) -> Result<Postgres, Connect> {
    connect_to(url, password, None).await
}

/// As [`connect`], with another database than the URL's.
pub(super) async fn connect_to(
    url: &str,
    password: Option<&str>,
    database: Option<&str>,
) -> Result<Postgres, Connect> {
    let (mut options, patience) = options(url)?;
    if let Some(database) = database {
        options = options.database(database);
    }
    if let Some(password) = password {
        options = options.password(password);
    }
    let connection = match open(&options, patience).await {
        Err(error) if needs_tls(&options, &error) => {
            open(&options.clone().ssl_mode(PgSslMode::Require), patience).await
        }
        connected => connected,
    };
    let connection = connection.map_err(|source| explain(&options, source))?;
    let place = place(&options);
    let mut postgres = Postgres {
        connection,
        identity: Identity::default(),
        user: String::new(),
        reset: String::new(),
        tracked: BTreeSet::new(),
        locks: Vec::new(),
        #[cfg(feature = "embedded")]
        server: None,
    };
    let identity = identity(&mut postgres).await;
    postgres.identity = identity.map_err(|source| Connect::Session { place, source })?;
    Ok(postgres)
}

/// How long a server may take to answer, where `connect_timeout` does not say: as long as a person
/// waits before doubting the address.
const PATIENCE: Duration = Duration::from_secs(15);

async fn open(options: &PgConnectOptions, patience: Duration) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(patience, PgConnection::connect_with(options)).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// Reads a URL: how to connect, and how long to wait. Only its shape is told in an error.
fn options(text: &str) -> Result<(PgConnectOptions, Duration), Connect> {
    let bad = |error: &dyn std::fmt::Display| Connect::Url(error.to_string());
    let scheme = text.split(':').next().unwrap_or_default();
    if !text.contains(':') {
        return Err(Connect::Url("it does not begin with a scheme such as postgres://".to_owned()));
    }
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(Connect::Scheme(scheme.to_owned()));
    }
    // libpq allows a user without a host, as in postgres://user@/db?host=/socket; URLs do not.
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split(['/', '?']).next().unwrap_or_default();
            match authority.ends_with('@') {
                true => format!("{scheme}://{authority}localhost{}", &rest[authority.len()..]),
                false => text.to_owned(),
            }
        }
        None => return Err(Connect::Url("it has no // after its scheme".to_owned())),
    };
    let mut url = Url::parse(&text).map_err(|error| bad(&error))?;
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    let mut known = Vec::new();
    let mut settings = Vec::new();
    let mut patience = PATIENCE;
    for (key, value) in pairs {
        match key.as_str() {
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| {
                    Connect::Url("connect_timeout is not a number of seconds".to_owned())
                })?;
                // As with libpq, zero is for ever; a year will do.
                patience = Duration::from_secs(if seconds == 0 { 31_536_000 } else { seconds });
            }
            "fallback_application_name" => {}
            _ if key.starts_with("x-") => {
                tracing::debug!(key, "a parameter of golang-migrate's is left out");
            }
            _ if KNOWN.contains(&key.as_str()) || key.starts_with("options[") => {
                known.push((key, value));
            }
            _ => settings.push((key, value)),
        }
    }
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(&known);
    }
    let mut options = PgConnectOptions::from_str(url.as_str()).map_err(|error| match error {
        sqlx::Error::Configuration(source) => bad(&source),
        other => bad(&other),
    })?;
    if !settings.is_empty() {
        options = options.options(settings);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("sternway");
    }
    Ok((options.disable_statement_logging(), patience))
}

/// Whether a server that wants TLS refused an `sslmode=allow` without it.
fn needs_tls(options: &PgConnectOptions, error: &sqlx::Error) -> bool {
    let refused = error.as_database_error().is_some_and(|it| it.code().as_deref() == Some("28000"));
    refused && matches!(options.get_ssl_mode(), PgSslMode::Allow)
}

/// Where the server is, for people.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => format!("{} (port {})", socket.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

fn explain(options: &PgConnectOptions, source: sqlx::Error) -> Connect {
    let place = place(options);
    let code = source.as_database_error().and_then(|it| it.code()).unwrap_or_default().into_owned();
    match (&source, code.as_str()) {
        (_, "3D000") => {
            let database = options.get_database().unwrap_or(options.get_username()).to_owned();
            Connect::NoDatabase { place, database }
        }
        (sqlx::Error::Database(error), _) => {
            let user = options.get_username().to_owned();
            Connect::Refused { place, user, reason: error.message().to_owned() }
        }
        (sqlx::Error::Tls(_), _) => Connect::Tls { place, source },
        (sqlx::Error::Io(error), _) if is_tls(options, error) => Connect::Tls { place, source },
        _ => Connect::Unreachable { place, source },
    }
}

/// Whether the driver means TLS by an input or output error: a certificate that is not believed, or
/// a file of the URL's that is not there.
fn is_tls(options: &PgConnectOptions, error: &std::io::Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidData => true,
        ErrorKind::NotFound => options.get_socket().is_none(),
        _ => false,
    }
}

async fn identity(postgres: &mut Postgres) -> Result<Identity, DatabaseError> {
    let doing = "ask which database this is";
    let row = sqlx::query(
        "SELECT current_database()::text, current_schema()::text, current_user::text,
                current_setting('server_version'), session_user::text",
    )
    .fetch_one(&mut postgres.connection)
    .await
    .map_err(failed(doing))?;
    let text = |column| row.try_get::<Option<String>, _>(column).map_err(failed(doing));
    postgres.user = text(4)?.unwrap_or_default();
    let version = text(3)?.unwrap_or_default();
    let version = version.split(' ').next().unwrap_or_default();
    Ok(Identity {
        server: format!("PostgreSQL {version}"),
        database: text(0)?.unwrap_or_default(),
        schema: text(1)?.ok_or(DatabaseError::NoSchema)?,
        user: text(2)?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_a_user_and_no_host_is_read() {
        let (options, _) = options("postgres://me@/app?host=/run/pg&port=5433").expect("a URL");
        assert_eq!(place(&options), "/run/pg (port 5433)");
        assert_eq!(options.get_database(), Some("app"));
        assert_eq!(options.get_username(), "me");
    }

    #[test]
    fn a_parameter_of_no_ones_is_a_setting_of_the_session() {
        let url = "postgres://h/app?search_path=my app&x-migrations-table=t&sslmode=disable";
        let (options, _) = options(url).expect("a URL");
        assert_eq!(options.get_options(), Some("-c search_path=my\\ app"));
    }

    #[test]
    fn an_error_never_repeats_the_url() {
        for url in [
            "postgres://me:s3cret@host:port/app",
            "postgres://me:s3cret@h/app?sslmode=s3cret",
            "s3cret",
            "mysql://me:s3cret@h/app",
            "postgres:me:s3cret",
        ] {
            let error = options(url).expect_err(url).to_string();
            assert!(!error.contains("s3cret") || url.contains("sslmode"), "{error}");
        }
    }
}
