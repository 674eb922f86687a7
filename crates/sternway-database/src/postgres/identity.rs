//! Which database this is, and the settings that bodies find in the session.
//!
//! The driver opens each session with UTC for the time zone and with settings of its own for dates
//! and numbers; golang-migrate's sessions have the server's time zone. A client that has overridden
//! the server's own setting cannot ask for it any more, so that it is put together again from where
//! the server has it: the URL or the environment, the role, the database, and the configuration
//! file, for which `log_timezone` stands in, which the server's installation sets to the same.
//!
//! What a database or a role has set that would cut a journey short, or print names otherwise than a
//! clean install does, is not for our sessions.

use sqlx::Row;
use sternway_model::state::Identity;

use super::parameters::Server;
use super::{Postgres, failed, literal};
use crate::port::DatabaseError;

/// Settings that the driver sends after the URL's own, in lower case.
const OVERRIDDEN: [&str; 3] = ["timezone", "datestyle", "extra_float_digits"];

/// The time zone of the role or of the database, the more particular first.
const CONFIGURED: &str = "
(SELECT substr(setting, strpos(setting, '=') + 1)
 FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS setting
 WHERE s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
   AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
   AND lower(split_part(setting, '=', 1)) = 'timezone'
 ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1)";

/// The statements that undo settings of the database or the role: quotes around every name, and limits on
/// sessions that do nothing, as ours does while it is rehearsed elsewhere.
const NOT_OURS: &str = "concat_ws(' ',
    CASE WHEN current_setting('quote_all_identifiers', true) = 'on'
         THEN 'SET quote_all_identifiers TO off;' END,
    CASE WHEN current_setting('idle_session_timeout', true) <> '0'
         THEN 'SET idle_session_timeout TO 0;' END,
    CASE WHEN current_setting('idle_in_transaction_session_timeout', true) <> '0'
         THEN 'SET idle_in_transaction_session_timeout TO 0;' END)";

/// The settings in libpq's `options` that the driver would override.
pub(super) fn settings(options: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut letters = options.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => words.last_mut().into_iter().for_each(|word| word.extend(letters.next())),
            letter if letter.is_whitespace() => words.push(String::new()),
            letter => words.last_mut().into_iter().for_each(|word| word.push(letter)),
        }
    }
    let settings = words.iter().filter_map(|word| {
        let word = word.trim_start_matches("--");
        let (key, value) = word.strip_prefix("-c").unwrap_or(word).split_once('=')?;
        let key = key.to_lowercase().replace('-', "_");
        OVERRIDDEN.contains(&key.as_str()).then(|| (key, value.to_owned()))
    });
    settings.collect()
}

/// Asks which database this is, and gives the session the settings that golang-migrate's has.
pub(super) async fn learn(
    postgres: &mut Postgres,
    settings: &[(String, String)],
) -> Result<(), DatabaseError> {
    let doing = "ask which database this is";
    let of = |key: &str| {
        let given = settings.iter().rev().find(|(name, _)| name == key);
        given.map(|(_, value)| literal(value))
    };
    let postgresql = postgres.parameters.server.has_authorities();
    let rest = if postgresql {
        let environment = std::env::var("PGTZ").ok().filter(|zone| !zone.is_empty());
        let zone = of("timezone").or(environment.map(|zone| literal(&zone)));
        let zone = zone.unwrap_or_else(|| {
            format!("coalesce({CONFIGURED}, current_setting('log_timezone', true), 'UTC')")
        });
        let set = |key: &str| match of(key) {
            Some(value) => format!("set_config('{key}', {value}, false)"),
            None => "NULL::text".to_owned(),
        };
        let (dates, numbers) = (set("datestyle"), set("extra_float_digits"));
        format!("set_config('timezone', {zone}, false), {dates}, {numbers}, {NOT_OURS}")
    } else {
        "NULL::text, NULL::text, NULL::text, NULL::text".to_owned()
    };
    let version = match postgres.parameters.server {
        Server::Postgres => "'PostgreSQL ' || current_setting('server_version')",
        Server::Cockroach | Server::Yugabyte | Server::Redshift => "version()",
    };
    let sql = format!(
        "SELECT current_database()::text, current_schema()::text, current_user::text, {version},
                session_user::text, pg_backend_pid(), {rest}"
    );
    let row = postgres.ask_one(doing, sql).await?;
    let text = |column: usize| row.try_get::<Option<String>, _>(column).map_err(failed(doing));
    let version = text(3)?.unwrap_or_default();
    let version = version.split(" on ").next().unwrap_or_default();
    let version = version.split(" (").next().unwrap_or_default();
    postgres.identity = Identity {
        server: version.to_owned(),
        database: text(0)?.unwrap_or_default(),
        schema: text(1)?.ok_or(DatabaseError::NoSchema)?,
        collation: String::new(),
        user: text(2)?.unwrap_or_default(),
    };
    postgres.user = text(4)?.unwrap_or_default();
    postgres.backend.process = row.try_get(5).map_err(failed(doing))?;
    for (column, key) in [(6, "TimeZone"), (7, "DateStyle"), (8, "extra_float_digits")] {
        if let Some(value) = text(column)? {
            postgres.reset.push_str(&format!("SET {key} TO {};", literal(&value)));
        }
    }
    if let Some(sql) = text(9)?.filter(|sql| !sql.is_empty()) {
        postgres.reset.push_str(&sql);
        postgres.run(doing, sql).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn settings_of_the_options_are_found() {
        let found = settings("-c TimeZone=Europe/Berlin -csearch_path=a --datestyle=SQL,\\ DMY x");
        let found: Vec<(&str, &str)> =
            found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, [("timezone", "Europe/Berlin"), ("datestyle", "SQL, DMY")]);
        assert!(settings("").is_empty());
    }
}
