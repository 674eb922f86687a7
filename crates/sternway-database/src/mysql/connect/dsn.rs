//! What a URL of golang-migrate's says: a DSN of its driver, or an ordinary URL.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

use crate::go;
use crate::port::Connect;

/// What a URL says.
#[derive(Debug, Clone)]
pub(in crate::mysql) struct Target {
    /// How to connect.
    pub options: MySqlConnectOptions,
    /// Whether the URL forbids TLS.
    pub plain: bool,
    /// How long to wait for the server.
    pub connect_timeout: Duration,
    /// What the session is set to.
    pub settings: Vec<String>,
    /// The tracking table.
    pub table: String,
    /// Whether golang-migrate's lock is left alone.
    pub no_lock: bool,
    /// How long a body may take.
    pub timeout: Option<Duration>,
    /// The password, for the server's own programs.
    pub password: Option<String>,
    /// The files of TLS, for the same.
    pub tls: TlsFiles,
}

/// The files that a URL names for TLS.
#[derive(Debug, Clone, Default)]
pub(in crate::mysql) struct TlsFiles {
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

/// How long a server may take to answer, where `timeout` does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The parameters of the driver that have no meaning here.
const WITHOUT_MEANING: [&str; 19] = [
    "allowAllFiles",
    "allowCleartextPasswords",
    "allowFallbackToPlaintext",
    "allowNativePasswords",
    "allowOldPasswords",
    "checkConnLiveness",
    "clientFoundRows",
    "columnsWithAlias",
    "compress",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "rejectReadOnly",
    "serverPubKey",
    "writeTimeout",
];

/// Reads a URL. Only its shape is told in an error: it may hold a password.
pub(super) fn read(url: &str) -> Result<Target, Connect> {
    let text = match url.split_once("://") {
        Some(("mysql", text)) => text,
        Some((scheme, _)) => return Err(Connect::Scheme(scheme.to_owned())),
        None => return bad("it does not begin with mysql://"),
    };
    let (server, rest) = cut(text)?;
    let (database, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (credentials, address) = match server.rsplit_once('@') {
        Some((credentials, address)) => (credentials, address),
        None => ("", server),
    };
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    let dsn = is_dsn(address);
    // No statement of a body is to behave differently than under golang-migrate.
    let mut options = MySqlConnectOptions::new()
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .disable_statement_logging()
        .username(&decoded(user, dsn));
    if let Some(password) = password {
        options = options.password(&decoded(password, dsn));
    }
    options = addressed(options, address)?;
    if !database.is_empty() {
        options = options.database(&decoded(database, false));
    }
    let mut target = parameters(options, query)?;
    target.password = password.map(|it| decoded(it, dsn));
    Ok(target)
}

fn bad<T>(what: &str) -> Result<T, Connect> {
    Err(Connect::Url(what.to_owned()))
}

/// The server's part, and what follows the slash behind it. The driver looks for the last slash; one
/// in a parameter does not count here if a better one is to be had.
fn cut(text: &str) -> Result<(&str, &str), Connect> {
    let after_address = text.rmatch_indices('/').find(|(at, _)| text[..*at].ends_with(')'));
    let before_query = || text.split('?').next().unwrap_or_default().rfind('/');
    let Some(at) = after_address.map(|(at, _)| at).or_else(before_query) else {
        return bad("invalid DSN: missing the slash separating the database name");
    };
    Ok((&text[..at], &text[at + 1..]))
}

/// Whether the address is one of the driver's, such as `tcp(host:port)` or nothing at all.
fn is_dsn(address: &str) -> bool {
    address.contains('(') || matches!(address, "" | "tcp" | "tcp4" | "tcp6" | "unix")
}

fn addressed(options: MySqlConnectOptions, address: &str) -> Result<MySqlConnectOptions, Connect> {
    let (network, place) = match address.split_once('(') {
        Some((network, place)) => match place.strip_suffix(')') {
            Some(place) => (network, place),
            None if place.contains(')') => {
                return bad("invalid DSN: did you forget to escape a param value?");
            }
            None => {
                return bad("invalid DSN: network address not terminated (missing closing brace)");
            }
        },
        None if is_dsn(address) => (address, ""),
        None => ("tcp", address),
    };
    match network {
        "unix" => Ok(options.socket(if place.is_empty() { "/tmp/mysql.sock" } else { place })),
        "" | "tcp" | "tcp4" | "tcp6" => {
            let (host, port) = host_and_port(place)?;
            Ok(options.host(if host.is_empty() { "127.0.0.1" } else { host }).port(port))
        }
        // Its text is left out: a password with an @ or a slash may have ended up in it.
        _ => bad("default addr for network unknown: it is neither tcp(host:port) nor unix(path)"),
    }
}

fn host_and_port(place: &str) -> Result<(&str, u16), Connect> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None if place.matches(':').count() > 1 => (place, None),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    match port.map_or(Ok(3306), str::parse) {
        Ok(port) => Ok((host, port)),
        Err(_) => bad("the port is not a number"),
    }
}

/// Takes percent signs with two hexadecimal digits for what they stand for. golang-migrate takes a
/// plus for a space where it reads a DSN, and in parameters.
fn decoded(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let digits = text.get(index + 1..index + 3);
        let plain = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match (bytes[index], plain.and_then(|it| u8::from_str_radix(it, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 2;
            }
            (b'+', _) if plus => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Reads the parameters, with golang-migrate's words for what is wrong with them.
fn parameters(options: MySqlConnectOptions, query: &str) -> Result<Target, Connect> {
    let mut target = Target {
        options,
        plain: false,
        connect_timeout: CONNECT_TIMEOUT,
        settings: Vec::new(),
        table: "schema_migrations".to_owned(),
        no_lock: false,
        timeout: None,
        password: None,
        tls: TlsFiles::default(),
    };
    let pairs: Vec<(&str, String)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key, decoded(value, true)))
        .collect();
    let value = |name: &str| {
        let pair = pairs.iter().find(|(key, _)| *key == name);
        pair.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    for (key, value) in &pairs {
        match *key {
            "timeout" => match duration(value) {
                Some(Duration::ZERO) => {}
                Some(connect_timeout) => target.connect_timeout = connect_timeout,
                None => return bad("timeout is not a duration such as 10s"),
            },
            // Of several, the first that the server knows; only the first is tried here.
            "charset" => {
                let charset = value.split(',').next().unwrap_or_default();
                target.settings.push(format!("SET NAMES {charset}"));
            }
            "collation" => {
                let charset = value.split('_').next().unwrap_or_default();
                target.settings.push(format!("SET NAMES {charset} COLLATE {value}"));
            }
            key if key == "tls" || key.starts_with("x-") => {}
            key if WITHOUT_MEANING.contains(&key) => {
                tracing::debug!(key, "a parameter of golang-migrate's driver is left out");
            }
            key => target.settings.push(format!("SET {key}={value}")),
        }
    }
    if let Some(table) = value("x-migrations-table") {
        table.clone_into(&mut target.table);
    }
    if let Some(text) = value("x-no-lock") {
        let flag = go_bool(text);
        target.no_lock = flag.ok_or_else(|| parse_error("x-no-lock as bool", "ParseBool", text))?;
    }
    if let Some(text) = value("x-statement-timeout") {
        let wrong =
            |why| Connect::Url(format!("could not parse x-statement-timeout as float: {why}"));
        let number = u64::try_from(go::atoi(text).map_err(wrong)?).unwrap_or(0);
        target.timeout = (number > 0).then(|| Duration::from_millis(number));
    }
    let file = |name: &str| value(name).map(str::to_owned);
    target.tls =
        TlsFiles { ca: file("x-tls-ca"), cert: file("x-tls-cert"), key: file("x-tls-key") };
    secured(target, value)
}

fn parse_error(what: &str, function: &str, text: &str) -> Connect {
    Connect::Url(format!(
        "could not parse {what}: strconv.{function}: parsing {text:?}: invalid syntax"
    ))
}

/// How secure the connection has to be: not at all, where the URL does not say.
fn secured<'a>(
    mut target: Target,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<Target, Connect> {
    let tls = value("tls");
    let mode = match tls.map(str::to_lowercase).as_deref() {
        None => MySqlSslMode::Disabled,
        Some("0" | "false") => {
            target.plain = true;
            MySqlSslMode::Disabled
        }
        Some("1" | "true") => MySqlSslMode::VerifyIdentity,
        Some("skip-verify") => MySqlSslMode::Required,
        Some("preferred") if value("x-tls-ca").is_none() => MySqlSslMode::Preferred,
        Some(_) => {
            let name = value("x-tls-ca").unwrap_or_default();
            let pem = std::fs::read(name).map_err(|error| {
                Connect::Url(format!("x-tls-ca cannot be read: open {name}: {error}"))
            })?;
            if !pem.windows(10).any(|window| window == b"-----BEGIN") {
                return bad("failed to append PEM");
            }
            target.options = target.options.ssl_ca_from_pem(pem);
            match (value("x-tls-cert"), value("x-tls-key")) {
                (None, None) => {}
                (Some(cert), Some(key)) => {
                    target.options = target.options.ssl_client_cert(cert).ssl_client_key(key);
                }
                _ => {
                    return bad(
                        "to use TLS client authentication, both x-tls-cert and x-tls-key must not be empty",
                    );
                }
            }
            match value("x-tls-insecure-skip-verify").map(|it| (it, go_bool(it))) {
                None | Some((_, Some(false))) => MySqlSslMode::VerifyIdentity,
                Some((_, Some(true))) => MySqlSslMode::Required,
                Some((text, None)) => {
                    return Err(parse_error(
                        "x-tls-insecure-skip-verify as bool",
                        "ParseBool",
                        text,
                    ));
                }
            }
        }
    };
    target.options = target.options.ssl_mode(mode);
    Ok(target)
}

fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration as Go writes it, such as `1m30s` or `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|it: char| it.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests;
