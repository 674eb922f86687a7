//! Opening a session: a libpq URL, the environment that libpq reads, and the password file.

mod drivers;
mod hosts;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use sternway_model::state::Identity;
use url::Url;

use super::interrupt::Backend;
use super::parameters::Parameters;
use super::{NAME, Postgres, identity};
use crate::port::{Connect, DatabaseError};
use hosts::{Hosts, Wanted};

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

/// How secure a connection can be asked to be.
const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Opens a session with the database that `url` names.
///
/// Every `sslmode` works, and so do sockets (`?host=/run/postgresql`), `PGPASSFILE` and the other
/// variables that libpq reads. As with golang-migrate, a parameter that is none of libpq's is a
/// setting of the session, such as `search_path`; those that begin with `x-` are golang-migrate's.
/// A URL without `sslmode` means `prefer`.
///
/// # Errors
/// When the URL is no URL, nothing answers, or the server refuses. The URL is never repeated.
pub async fn connect(url: &str, password: Option<&str>) -> Result<Postgres, Connect> {
    connect_to(read(url)?, password, None).await
}

/// As [`connect`], where a URL without `sslmode` means what it means to golang-migrate: `require`
/// for all schemes but those of pgx.
///
/// # Errors
/// As [`connect`].
pub async fn connect_like_golang_migrate(
    url: &str,
    password: Option<&str>,
) -> Result<Postgres, Connect> {
    let mut address = read(url)?;
    if address.parameters.libpq && !address.says_sslmode {
        let secure = |it: PgConnectOptions| match it.get_socket() {
            Some(_) => it,
            None => it.ssl_mode(PgSslMode::Require),
        };
        address.options = address.options.into_iter().map(secure).collect();
    }
    connect_to(address, password, None).await
}

/// Opens a session, with another database than the URL's if one is given.
pub(super) async fn connect_to(
    address: Address,
    password: Option<&str>,
    database: Option<&str>,
) -> Result<Postgres, Connect> {
    let Address { options, wanted, connect_timeout, parameters, path, settings, .. } = address;
    let each = options.into_iter().map(|mut options| {
        if let Some(database) = database {
            options = options.database(database);
        }
        if let Some(password) = password {
            options = options.password(password);
        }
        options
    });
    let (connection, options) = first(each.collect(), wanted, connect_timeout).await?;
    let place = place(&options);
    let backend = Backend { options, connect_timeout, process: 0 };
    let mut postgres = Postgres::of(connection, parameters, path, backend, settings);
    postgres.learn().await.map_err(|source| Connect::Session { place, source })?;
    Ok(postgres)
}

impl Postgres {
    /// A session of which nothing is known yet.
    pub(super) fn of(
        connection: PgConnection,
        parameters: Parameters,
        path: String,
        backend: Backend,
        settings: Vec<(String, String)>,
    ) -> Postgres {
        Postgres {
            connection,
            identity: Identity::default(),
            user: String::new(),
            reset: String::new(),
            parameters,
            path,
            backend,
            settings,
            tracked: BTreeMap::new(),
            entered: false,
            paged: None,
            locks: Vec::new(),
            #[cfg(feature = "embedded")]
            server: None,
        }
    }

    async fn learn(&mut self) -> Result<(), DatabaseError> {
        let settings = self.settings.clone();
        identity::learn(self, &settings).await
    }

    /// The same session once more, where it is lost.
    pub(super) async fn connect_again(&mut self) -> Result<(), Connect> {
        #[cfg(feature = "embedded")]
        if self.server.is_some() {
            return Err(Connect::Embedded("it has room for one session".to_owned()));
        }
        let Backend { options, connect_timeout, .. } = self.backend.clone();
        let connection = open(&options, connect_timeout).await?;
        let place = place(&options);
        let backend = Backend { options, connect_timeout, process: 0 };
        let (parameters, path) = (self.parameters.clone(), self.path.clone());
        let mut new = Postgres::of(connection, parameters, path, backend, self.settings.clone());
        new.learn().await.map_err(|source| Connect::Session { place, source })?;
        *self = new;
        Ok(())
    }
}

/// The first server that answers and is what is wanted.
async fn first(
    each: Vec<PgConnectOptions>,
    wanted: Wanted,
    connect_timeout: Duration,
) -> Result<(PgConnection, PgConnectOptions), Connect> {
    let mut failed = None;
    let mut answered = Vec::new();
    for wanted in wanted.in_turn() {
        answered.clear();
        for options in &each {
            match open(options, connect_timeout).await {
                Ok(mut connection) => {
                    let place = place(options);
                    let is = wanted.is(&mut connection).await.map_err(|source| {
                        let doing = "ask what the server is".to_owned();
                        let source = DatabaseError::Query { doing, source };
                        Connect::Session { place: place.clone(), source }
                    });
                    if is? {
                        return Ok((connection, options.clone()));
                    }
                    answered.push(place);
                }
                // Another may answer.
                Err(error @ (Connect::Unreachable { .. } | Connect::Busy { .. })) => {
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    match failed {
        Some(error) if answered.is_empty() => Err(error),
        _ => Err(Connect::NotWanted {
            places: answered.join(", "),
            wanted: wanted.words().to_owned(),
        }),
    }
}

/// How long a server may take to answer, where `connect_timeout` does not say: as long as a person
/// waits before doubting the address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Opens a connection, with TLS where `sslmode=allow` is refused without.
pub(super) async fn open(
    options: &PgConnectOptions,
    connect_timeout: Duration,
) -> Result<PgConnection, Connect> {
    let connection = match once(options, connect_timeout).await {
        Err(error) if needs_tls(options, &error) => {
            once(&options.clone().ssl_mode(PgSslMode::Require), connect_timeout).await
        }
        connected => connected,
    };
    connection.map_err(|source| explain(options, source))
}

async fn once(options: &PgConnectOptions, connect_timeout: Duration) -> sqlx::Result<PgConnection> {
    match tokio::time::timeout(connect_timeout, PgConnection::connect_with(options)).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// What a URL says.
pub(super) struct Address {
    /// How each of the servers is connected to that it names.
    options: Vec<PgConnectOptions>,
    /// What a server has to be.
    wanted: Wanted,
    connect_timeout: Duration,
    parameters: Parameters,
    /// Whether it, or the environment, has an `sslmode`.
    says_sslmode: bool,
    /// Its path, which golang-migrate takes for the name of the database.
    path: String,
    /// Settings that the driver would set after those of the URL.
    settings: Vec<(String, String)>,
}

/// Reads a URL to its end, and connects to nothing.
pub fn check(url: &str) -> Result<(), Connect> {
    read(url).map(drop)
}

/// Reads a URL. Only its shape is told in an error.
pub(super) fn read(text: &str) -> Result<Address, Connect> {
    let bad = |error: &dyn std::fmt::Display| Connect::Url(error.to_string());
    let (scheme, rest) = text.split_once(':').ok_or_else(|| {
        Connect::Url("it does not begin with a scheme such as postgres://".to_owned())
    })?;
    Parameters::read(scheme, &[])?;
    let rest = rest
        .strip_prefix("//")
        .ok_or_else(|| Connect::Url("it has no // after its scheme".to_owned()))?;
    // libpq allows a user without a host, as in postgres://user@/db?host=/socket; URLs do not.
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    with_environment(authority, &mut pairs, |name| std::env::var(name).ok())?;
    let (place, hosts) = Hosts::take(authority, &mut pairs)?;
    let host = if place.ends_with('@') { "localhost" } else { "" };
    let text = format!("postgres://{place}{host}{}", &rest[authority.len()..]);
    let mut url = Url::parse(&text).map_err(|error| bad(&error))?;
    let parameters = Parameters::read(scheme, &pairs)?;
    let mut known = Vec::new();
    let mut settings = Vec::new();
    let mut connect_timeout = CONNECT_TIMEOUT;
    let mut wanted = Wanted::Any;
    let mut fallback = None;
    let mut read = BTreeSet::new();
    for (key, value) in pairs {
        // As with lib/pq, the first of two of the same name counts.
        if !read.insert(key.clone()) {
            continue;
        }
        match key.as_str() {
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| {
                    Connect::Url("connect_timeout is not a number of seconds".to_owned())
                })?;
                // As with libpq, zero is for ever; a year will do.
                connect_timeout =
                    Duration::from_secs(if seconds == 0 { 31_536_000 } else { seconds });
            }
            "fallback_application_name" => fallback = Some(value),
            "target_session_attrs" => wanted = Wanted::read(&value)?,
            "sslmode" if !SSLMODES.contains(&value.as_str()) => {
                return Err(Connect::Url(format!("sslmode is {}", SSLMODES.join(", "))));
            }
            _ if key.starts_with("x-") => {}
            _ if KNOWN.contains(&key.as_str()) || key.starts_with("options[") => {
                known.push((key, value));
            }
            _ if drivers::is_a_drivers(&key, &value)? => {}
            _ => settings.push((key, value)),
        }
    }
    let says_sslmode =
        known.iter().any(|(key, _)| key == "sslmode") || std::env::var_os("PGSSLMODE").is_some();
    url.set_query(None);
    let literal = match url.host() {
        // The brackets are the URL's.
        Some(url::Host::Ipv6(it)) if !known.iter().any(|(key, _)| key.starts_with("host")) => {
            Some(it.to_string())
        }
        _ => None,
    };
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(&known);
    }
    let mut options = PgConnectOptions::from_str(url.as_str()).map_err(|error| match error {
        sqlx::Error::Configuration(source) => bad(&source),
        other => bad(&other),
    })?;
    if let Some(host) = literal {
        options = options.host(&host);
    }
    if !settings.is_empty() {
        options = options.options(settings);
    }
    if options.get_application_name().is_none() {
        options = options.application_name(fallback.as_deref().unwrap_or(NAME));
    }
    let path = percent_encoding::percent_decode_str(url.path());
    let path = path.decode_utf8().map_err(|error| bad(&error))?.into_owned();
    let settings = identity::settings(options.get_options().unwrap_or_default());
    let options = hosts.each(options.disable_statement_logging());
    Ok(Address { options, wanted, connect_timeout, parameters, says_sslmode, path, settings })
}

/// Adds what the environment says where a URL does not, as far as the driver does not do that: several hosts, what a
/// server has to be, and how long to wait for it. Services are not read.
fn with_environment(
    authority: &str,
    pairs: &mut Vec<(String, String)>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(), Connect> {
    let places = authority.rsplit_once('@').map_or(authority, |(_, it)| it);
    let says = |pairs: &[(String, String)], key: &str| pairs.iter().any(|(name, _)| name == key);
    let names_host = !places.is_empty() || says(pairs, "host") || says(pairs, "hostaddr");
    let given = |name: &str| variable(name).filter(|it| !it.is_empty());
    let mut add = |name: &str, key: &str| {
        if let Some(value) = given(name).filter(|_| !says(pairs, key)) {
            pairs.push((key.to_owned(), value));
        }
    };
    if !names_host {
        if given("PGSERVICE").is_some() {
            return Err(Connect::Url(
                "PGSERVICE is set, and services are not read: name the server in the URL, or take PGSERVICE away".to_owned(),
            ));
        }
        if given("PGHOST").is_some_and(|it| it.contains(',')) {
            add("PGHOST", "host");
            add("PGPORT", "port");
        }
    }
    add("PGTARGETSESSIONATTRS", "target_session_attrs");
    add("PGCONNECT_TIMEOUT", "connect_timeout");
    match given("PGSSLMODE").filter(|it| !SSLMODES.contains(&it.as_str())) {
        Some(_) if !says(pairs, "sslmode") => {
            Err(Connect::Url(format!("PGSSLMODE is {}", SSLMODES.join(", "))))
        }
        _ => Ok(()),
    }
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
        None if options.get_host().contains(':') => {
            format!("[{}]:{}", options.get_host(), options.get_port())
        }
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
        (sqlx::Error::Database(error), "42704" | "22023" | "55P02") => {
            Connect::Setting { place, reason: error.message().to_owned() }
        }
        (sqlx::Error::Database(error), code)
            if code.starts_with("53") || code.starts_with("57") =>
        {
            Connect::Busy { place, reason: error.message().to_owned() }
        }
        (sqlx::Error::Database(error), "42501") if error.message().contains("parameter") => {
            Connect::Setting { place, reason: error.message().to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_with_a_user_and_no_host_is_read() {
        let url = "postgres://me@/app?host=/run/pg&port=5433";
        let Address { options, path, .. } = read(url).expect("a URL");
        let [options] = options.as_slice() else { panic!("{options:?}") };
        assert_eq!(path, "/app");
        assert_eq!(place(options), "/run/pg (port 5433)");
        assert_eq!(options.get_database(), Some("app"));
        assert_eq!(options.get_username(), "me");
    }

    #[test]
    fn what_the_environment_says_is_heeded_or_refused() {
        let read = |authority: &str, pairs: &[(&str, &str)], variables: &[(&str, &str)]| {
            let owned = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
            let mut pairs: Vec<(String, String)> = pairs.iter().map(owned).collect();
            let variable = |name: &str| {
                variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned())
            };
            let read = with_environment(authority, &mut pairs, variable);
            let joined = pairs.iter().map(|(key, value)| format!("{key}={value}"));
            read.map(|()| joined.collect::<Vec<_>>().join("&")).map_err(|it| it.to_string())
        };
        let hosts = [("PGHOST", "a,b"), ("PGPORT", "1,2"), ("PGTARGETSESSIONATTRS", "primary")];
        let all = "host=a,b&port=1,2&target_session_attrs=primary";
        assert_eq!(read("me@", &[], &hosts).as_deref(), Ok(all));
        assert_eq!(
            read("c", &[("target_session_attrs", "any")], &hosts).as_deref(),
            Ok("target_session_attrs=any")
        );
        assert!(read("", &[], &[("PGSERVICE", "s")]).is_err());
        assert!(read("h:5", &[], &[("PGSERVICE", "s")]).is_ok());
        assert!(read("h", &[], &[("PGSSLMODE", "on")]).is_err());
        assert!(read("h", &[("sslmode", "disable")], &[("PGSSLMODE", "on")]).is_ok());
    }

    #[test]
    fn a_parameter_of_no_ones_is_a_setting_of_the_session() {
        let url = "postgres://h/app?search_path=my app&x-migrations-table=t&sslmode=disable";
        let Address { options, .. } = read(url).expect("a URL");
        assert_eq!(options[0].get_options(), Some("-c search_path=my\\ app"));
    }

    #[test]
    fn the_parameters_of_other_drivers_are_no_settings() {
        let options = |query: &str| {
            let address = read(&format!("postgres://u@[::1]:7/app?{query}"))?;
            let [options] = address.options.as_slice() else { panic!("{:?}", address.options) };
            assert_eq!((options.get_host(), options.get_port()), ("::1", 7));
            Ok::<_, Connect>(options.get_options().unwrap_or_default().to_owned())
        };
        let plain = "binary_parameters=yes&krbsrvname=x&default_query_exec_mode=exec&\
                     target_session_attrs=any&channel_binding=prefer&gssencmode=disable";
        assert_eq!(options(plain).expect("a URL"), "");
        assert_eq!(options("nosuch=1").expect("a URL"), "-c nosuch=1");
        for (query, words) in [
            ("channel_binding=require", "channel_binding is not to be had here but as disable"),
            ("passfile=/x", "PGPASSFILE"),
            ("target_session_attrs=master", "target_session_attrs is any, read-write"),
        ] {
            let error = options(query).expect_err(query).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn several_hosts_are_tried_in_their_order() {
        let url = "postgres://u@a:1,[::2]:2,%2Frun%2Fpg/app?target_session_attrs=primary";
        let address = read(url).expect("a URL");
        let places: Vec<String> = address.options.iter().map(place).collect();
        assert_eq!(places, ["a:1", "[::2]:2", "/run/pg (port 5432)"]);
        assert_eq!((address.wanted, address.path.as_str()), (Wanted::Primary, "/app"));
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
            let error = read(url).err().expect(url).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
