//! Opening a session: golang-migrate's DSN or an ordinary URL.

mod dsn;

use std::collections::BTreeMap;
use std::io::ErrorKind;

use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection};
use sternway_model::state::Identity;

use super::{MySql, cell, failed, number, number_in};
use crate::port::{Connect, DatabaseError, in_plain_words};

pub(super) use dsn::Target;

/// Opens a session with the database that `url` names.
///
/// # Errors
/// When the URL is none, nothing answers, or the server refuses. The URL is never repeated.
pub async fn connect(url: &str, password: Option<&str>) -> Result<MySql, Connect> {
    let target = target(url, password)?;
    if target.options.get_database().is_none() {
        return Err(Connect::Url("no database name".to_owned()));
    }
    session(target).await
}

/// As [`connect`], with another database than the URL's.
pub(super) async fn connect_to(url: &str, database: &str) -> Result<MySql, Connect> {
    let mut target = target(url, None)?;
    target.options = target.options.database(database);
    session(target).await
}

/// Reads a URL to its end, and connects to nothing.
pub fn check(url: &str) -> Result<(), Connect> {
    target(url, None).map(drop)
}

/// What a URL says.
pub(super) fn target(url: &str, password: Option<&str>) -> Result<Target, Connect> {
    let mut target = dsn::read(url)?;
    if let Some(password) = password {
        target.options = target.options.password(password);
        target.password = Some(password.to_owned());
    }
    Ok(target)
}

/// A connection that nobody has set up yet.
pub(super) async fn open(target: &Target) -> Result<MySqlConnection, Connect> {
    let connected = match open_with(&target.options, target).await {
        // The password goes encrypted or not at all, and to encrypt it without TLS is left out.
        Err(error) if needs_tls(&error) && !target.plain => {
            open_with(&target.options.clone().ssl_mode(MySqlSslMode::Required), target).await
        }
        connected => connected,
    };
    connected.map_err(|source| explain(&target.options, source))
}

async fn open_with(
    options: &MySqlConnectOptions,
    target: &Target,
) -> sqlx::Result<MySqlConnection> {
    match tokio::time::timeout(target.connect_timeout, MySqlConnection::connect_with(options)).await
    {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::Io(ErrorKind::TimedOut.into())),
    }
}

/// What the driver adds to the session's `sql_mode`, taken away again unless the server has it too.
const AS_THE_SERVER_SAYS: &str = "SET SESSION sql_mode = IF(
    FIND_IN_SET('IGNORE_SPACE', @@GLOBAL.sql_mode), @@SESSION.sql_mode,
    TRIM(BOTH ',' FROM REPLACE(CONCAT(',', @@SESSION.sql_mode, ','), ',IGNORE_SPACE,', ',')))";

pub(super) async fn session(target: Target) -> Result<MySql, Connect> {
    let place = place(&target.options);
    let connection = open(&target).await?;
    let mut mysql = MySql::of(connection, target);
    let ready = set_up(&mut mysql).await;
    ready.map_err(|source| match number(&source) {
        // A variable that it does not know or that is not the session's, or a value that it does not take.
        Some(1193 | 1229 | 1231 | 1232 | 1238 | 1115 | 1273) => {
            Connect::Setting { place, reason: words(&source) }
        }
        _ => Connect::Session { place, source },
    })?;
    Ok(mysql)
}

/// What the server said.
fn words(error: &DatabaseError) -> String {
    std::error::Error::source(error).and_then(in_plain_words).unwrap_or_default()
}

/// The settings of a session that are put back after a body, where the server has them. Left out are
/// those that take a right to be set.
const SETTINGS: [&str; 37] = [
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "check_constraint_checks",
    "collation_connection",
    "default_storage_engine",
    "default_week_format",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "innodb_lock_wait_timeout",
    "lc_time_names",
    "lock_wait_timeout",
    "max_error_count",
    "max_execution_time",
    "max_join_size",
    "max_statement_time",
    "old_mode",
    "optimizer_switch",
    "print_identified_with_as_hex",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_mode",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "sql_select_limit",
    "sql_warnings",
    "system_versioning_alter_history",
    "time_zone",
    "transaction_isolation",
    "transaction_read_only",
    "tx_isolation",
    "tx_read_only",
    "unique_checks",
    "updatable_views_with_limit",
];

async fn set_up(mysql: &mut MySql) -> Result<(), DatabaseError> {
    let mut sql = format!("{AS_THE_SERVER_SAYS};\n");
    for setting in &mysql.target.settings {
        sql.push_str(setting);
        sql.push_str(";\n");
    }
    mysql.run("set the session up", sql).await?;
    let names: Vec<String> = SETTINGS.iter().map(|name| format!("'{name}'")).collect();
    let sql = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(", "));
    let doing = "ask how the session is set";
    let rows = mysql.fetch(doing, sql).await?;
    let known: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (cell(row, "Variable_name").to_lowercase(), cell(row, "Value")))
        .collect();
    // MariaDB has two names for these from 11.1 on.
    let older = |name: &str| name.strip_prefix("tx_").map(|it| format!("transaction_{it}"));
    let names = known.keys().filter(|name| !older(name).is_some_and(|it| known.contains_key(&it)));
    let names: Vec<&String> = names.collect();
    let keep = names.iter().map(|name| format!("@sternway_{name} = @@SESSION.{name}"));
    let back = names.iter().map(|name| format!("SESSION {name} = @sternway_{name}"));
    let keep = format!("SET {}", keep.collect::<Vec<_>>().join(", "));
    let back = back.collect::<Vec<_>>().join(", ");
    mysql.run(doing, keep).await?;
    mysql.note_mode(known.get("sql_mode").map_or("", String::as_str));
    let sql = "SELECT VERSION() AS version, DATABASE() AS name, CONNECTION_ID() AS id,
               @@collation_database AS collation, SUBSTRING_INDEX(USER(), '@', 1) AS user";
    let doing = "ask which database this is";
    let rows = mysql.fetch(doing, sql.to_owned()).await?;
    let row = rows.first().ok_or_else(|| failed(doing)(sqlx::Error::RowNotFound))?;
    let version = cell(row, "version");
    mysql.mariadb = version.contains("MariaDB");
    let engine = if mysql.mariadb { "MariaDB" } else { "MySQL" };
    let number = version.trim_start_matches("5.5.5-").split('-').next().unwrap_or_default();
    mysql.id = number_in(Some(row), "id")?;
    let database = cell(row, "name");
    mysql.identity = Identity {
        server: format!("{engine} {number}"),
        schema: database.clone(),
        database,
        collation: cell(row, "collation"),
        user: cell(row, "user"),
    };
    mysql.reset = format!("SET {back};");
    if !mysql.identity.database.is_empty() {
        mysql.reset.push_str(&format!(" USE {};", MySql::quote(&mysql.identity.database)));
    }
    Ok(())
}

/// Where the server is, for people.
fn place(options: &MySqlConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Whether the server wants the password in a form that takes TLS here (`caching_sha2_password`).
fn needs_tls(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Configuration(source) if source.to_string().contains("RSA"))
}

fn explain(options: &MySqlConnectOptions, source: sqlx::Error) -> Connect {
    let place = place(options);
    let user = options.get_username().to_owned();
    match &source {
        sqlx::Error::Database(error) => {
            let number = error.try_downcast_ref::<MySqlDatabaseError>().map(|it| it.number());
            if number == Some(1049) {
                let database = options.get_database().unwrap_or_default().to_owned();
                return Connect::NoDatabase { place, database };
            }
            Connect::Refused { place, user, reason: error.message().to_owned() }
        }
        error if needs_tls(error) => Connect::Refused {
            place,
            user,
            reason:
                "its password (caching_sha2_password) can only be sent over TLS, which the URL \
                     turns off with tls=false"
                    .to_owned(),
        },
        sqlx::Error::Tls(_) => Connect::Tls { place, source },
        sqlx::Error::Io(error) if is_tls(options, error) => Connect::Tls { place, source },
        _ => Connect::Unreachable { place, source },
    }
}

/// Whether the driver means TLS by an input or output error: a certificate that is not believed, or
/// a file of the URL's that is not there.
fn is_tls(options: &MySqlConnectOptions, error: &std::io::Error) -> bool {
    match error.kind() {
        ErrorKind::InvalidData => true,
        ErrorKind::NotFound => options.get_socket().is_none(),
        _ => false,
    }
}

/// Sets the session of a helper up: it is not to wait for what the body has locked.
pub(super) async fn open_helper(target: &Target) -> Result<MySqlConnection, Connect> {
    let mut helper = open(target).await?;
    let sql = "SET SESSION autocommit = 1, lock_wait_timeout = 2, innodb_lock_wait_timeout = 2";
    let set = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut helper).await;
    set.map_err(|source| explain(&target.options, source))?;
    Ok(helper)
}
