//! The parameters of a URL that libpq, lib/pq and pgx know and the server does not.

use crate::port::Connect;

/// Those that say how another driver talks to the server, and change nothing of what it is told.
const WITHOUT_MEANING: [&str; 29] = [
    "binary_parameters",
    "default_query_exec_mode",
    "description_cache_capacity",
    "disable_prepared_binary_result",
    "gssdelegation",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbspn",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conns",
    "pool_min_conns",
    "pool_min_idle_conns",
    "prefer_simple_protocol",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "statement_cache_capacity",
    "statement_cache_mode",
    "tcp_user_timeout",
];

/// Those that ask for something that this driver does not do, and the values with which they ask for
/// nothing.
const NOT_HERE: [(&str, &[&str]); 17] = [
    ("channel_binding", &["disable", "prefer"]),
    ("client_encoding", &["utf8", "UTF8", "utf-8", "UTF-8", "auto"]),
    ("gssencmode", &["disable", "prefer"]),
    ("passfile", &[]),
    ("replication", &["false", "off", "no", "0"]),
    ("require_auth", &[]),
    ("requirepeer", &[]),
    ("requiressl", &["0"]),
    ("service", &[]),
    ("servicefile", &[]),
    ("ssl_max_protocol_version", &["TLSv1.3"]),
    ("sslcertmode", &["allow", "disable"]),
    ("sslcrl", &[]),
    ("sslcrldir", &[]),
    ("sslinline", &["false", "0"]),
    ("sslnegotiation", &["postgres"]),
    ("sslpassword", &[]),
];

/// Whether a parameter is one of a driver's that is left out here, rather than a setting of the session.
///
/// # Errors
/// Where it asks for what is not to be had: leaving it out would be less than what was asked for.
pub(super) fn is_a_drivers(key: &str, value: &str) -> Result<bool, Connect> {
    if WITHOUT_MEANING.contains(&key) {
        tracing::debug!(key, "a parameter of another driver is left out");
        return Ok(true);
    }
    let Some((_, nothing)) = NOT_HERE.iter().find(|(name, _)| *name == key) else {
        return Ok(false);
    };
    if value.is_empty() || nothing.contains(&value) {
        return Ok(true);
    }
    let instead = match key {
        "passfile" => "; the variable PGPASSFILE names a password file",
        "service" | "servicefile" => "; write what the service says into the URL",
        "sslinline" => "; sslcert, sslkey and sslrootcert name files",
        _ => "",
    };
    let but = match nothing {
        [] => String::new(),
        some => format!(" but as {}", some.join(" or ")),
    };
    Err(Connect::Url(format!("the parameter {key} is not to be had here{but}{instead}")))
}
