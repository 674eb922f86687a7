//! What a URL of golang-migrate's says with its scheme and its `x-` parameters.
//!
//! A value that golang-migrate refuses is refused in the words of its version 4.19.1.

use std::time::Duration;

use crate::go;
use crate::port::Connect;

/// What speaks PostgreSQL's protocol there.
///
/// Only PostgreSQL is at hand for the tests: what the others are sent is golang-migrate's own SQL
/// for them, tried on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    Cockroach,
    Yugabyte,
    Redshift,
}

impl Server {
    /// Whether the session can say whose authority a statement has, and check constraints early.
    pub fn has_authorities(self) -> bool {
        matches!(self, Server::Postgres | Server::Yugabyte)
    }

    /// The columns of golang-migrate's tracking table.
    pub fn tracking_columns(self) -> &'static str {
        match self {
            Server::Postgres | Server::Redshift => {
                "version bigint not null primary key, dirty boolean not null"
            }
            Server::Cockroach | Server::Yugabyte => {
                "version INT NOT NULL PRIMARY KEY, dirty BOOL NOT NULL"
            }
        }
    }
}

/// How golang-migrate keeps others out, with this URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Strategy {
    /// Advisory locks.
    Advisory,
    /// A row in a table of the current schema.
    Table(LockTable),
    /// Nothing outside the process.
    Process,
}

/// The table whose rows are locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockTable {
    /// Its name.
    pub name: String,
    /// The type of its one column, `lock_id`.
    pub column: &'static str,
    /// Whether a row that is there already is replaced.
    pub force: bool,
}

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters {
    pub server: Server,
    /// Whether golang-migrate opens this scheme with lib/pq, which asks for TLS by default.
    pub libpq: bool,
    /// The tracking table's schema, where the URL names one.
    pub schema: Option<String>,
    /// The tracking table.
    pub table: String,
    pub strategy: Strategy,
    /// How long a statement may take.
    pub statement_timeout: Option<Duration>,
    /// Whether each statement of a body is sent by itself, outside a transaction.
    pub multi_statement: bool,
}

impl Parameters {
    /// Reads the parameters of a URL with this scheme. The first of two of the same name counts.
    pub fn read(scheme: &str, pairs: &[(String, String)]) -> Result<Parameters, Connect> {
        let (server, libpq) = match scheme {
            "postgres" | "postgresql" => (Server::Postgres, true),
            "pgx" | "pgx4" | "pgx5" => (Server::Postgres, false),
            "cockroach" | "cockroachdb" | "crdb-postgres" => (Server::Cockroach, true),
            "yugabyte" | "yugabytedb" | "ysql" => (Server::Yugabyte, true),
            "redshift" => (Server::Redshift, true),
            _ => return Err(Connect::Scheme(scheme.to_owned())),
        };
        let given = |key: &str| {
            let value = pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
            value.filter(|value| !value.is_empty())
        };
        let (table, lock_table) = match server {
            Server::Yugabyte => ("migrations", "migrations_locks"),
            _ => ("schema_migrations", "schema_lock"),
        };
        let mut parameters = Parameters {
            server,
            libpq,
            schema: None,
            table: given("x-migrations-table").unwrap_or(table).to_owned(),
            strategy: Strategy::Advisory,
            statement_timeout: None,
            multi_statement: false,
        };
        let lock_table = |column| LockTable {
            name: given("x-lock-table").unwrap_or(lock_table).to_owned(),
            column,
            // As with golang-migrate, what is no boolean is no.
            force: server != Server::Postgres
                && given("x-force-lock").is_some_and(|it| go::parse_bool(it) == Ok(true)),
        };
        match server {
            Server::Postgres => parameters.read_postgres(given)?,
            Server::Cockroach => parameters.strategy = Strategy::Table(lock_table("INT")),
            Server::Yugabyte => parameters.strategy = Strategy::Table(lock_table("TEXT")),
            Server::Redshift => parameters.strategy = Strategy::Process,
        }
        if matches!(scheme, "pgx" | "pgx4") {
            match given("x-lock-strategy") {
                None | Some("advisory") => {}
                Some("table") => parameters.strategy = Strategy::Table(lock_table("BIGINT")),
                Some(other) => {
                    return Err(Connect::Url(format!("unknown lock strategy {other:?}")));
                }
            }
        }
        Ok(parameters)
    }

    /// What only golang-migrate's drivers for PostgreSQL itself read.
    fn read_postgres<'a>(
        &mut self,
        given: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Connect> {
        let flag = |key: &str| {
            given(key).map_or(Ok(false), |text| {
                go::parse_bool(text)
                    .map_err(|error| Connect::Url(format!("Unable to parse option {key}: {error}")))
            })
        };
        let number = |key: &str| given(key).map(go::atoi).transpose().map_err(Connect::Url);
        if flag("x-migrations-table-quoted")? {
            (self.schema, self.table) = quoted(given("x-migrations-table").unwrap_or_default())?;
        }
        let timeout = number("x-statement-timeout")?.and_then(|it| u64::try_from(it).ok());
        self.statement_timeout = timeout.filter(|it| *it > 0).map(Duration::from_millis);
        self.multi_statement = flag("x-multi-statement")?;
        // Bodies are read whole, so that there is no size to keep to; a bad one is an error still.
        number("x-multi-statement-max-size")?;
        Ok(())
    }
}

/// Reads `"table"` or `"schema"."table"`.
fn quoted(value: &str) -> Result<(Option<String>, String), Connect> {
    let inside = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    if !inside {
        return Err(Connect::Url(format!(
            "x-migrations-table must be quoted (for instance '\"migrate\".\"schema_migrations\"') \
             when x-migrations-table-quoted is enabled, current value is: {value}"
        )));
    }
    let pairs = value.matches('"').count() / 2;
    let parts: Vec<&str> = value.split('"').skip(1).step_by(2).take(pairs).collect();
    match parts.as_slice() {
        [table] => Ok((None, (*table).to_owned())),
        [schema, table] => Ok((Some((*schema).to_owned()), (*table).to_owned())),
        _ => Err(Connect::Url(format!(
            "\"{value}\" MigrationsTable contains too many dot characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(scheme: &str, query: &str) -> Result<Parameters, Connect> {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Parameters::read(scheme, &pairs)
    }

    fn ok(scheme: &str, query: &str) -> Parameters {
        read(scheme, query).unwrap_or_else(|error| panic!("{scheme} {query}: {error}"))
    }

    #[test]
    fn every_scheme_has_golang_migrates_defaults() {
        let table = |name: &str, column| LockTable { name: name.to_owned(), column, force: false };
        let crdb = Strategy::Table(table("schema_lock", "INT"));
        let yugabyte = Strategy::Table(table("migrations_locks", "TEXT"));
        for (schemes, server, libpq, name, strategy) in [
            (
                &["postgres", "postgresql"][..],
                Server::Postgres,
                true,
                "schema_migrations",
                Strategy::Advisory,
            ),
            (
                &["pgx", "pgx4", "pgx5"],
                Server::Postgres,
                false,
                "schema_migrations",
                Strategy::Advisory,
            ),
            (
                &["cockroach", "cockroachdb", "crdb-postgres"],
                Server::Cockroach,
                true,
                "schema_migrations",
                crdb,
            ),
            (&["yugabyte", "yugabytedb", "ysql"], Server::Yugabyte, true, "migrations", yugabyte),
            (&["redshift"], Server::Redshift, true, "schema_migrations", Strategy::Process),
        ] {
            for scheme in schemes {
                let found = ok(scheme, "");
                assert_eq!((found.server, found.libpq), (server, libpq), "{scheme}");
                assert_eq!((found.table.as_str(), &found.strategy), (name, &strategy), "{scheme}");
            }
        }
        assert!(matches!(read("POSTGRES", ""), Err(Connect::Scheme(_))));
    }

    #[test]
    fn the_lock_table_is_named_and_forced() {
        let lock = |scheme, query| ok(scheme, query).strategy;
        let table =
            |column, force| Strategy::Table(LockTable { name: "l".to_owned(), column, force });
        assert_eq!(lock("pgx4", "x-lock-strategy=table&x-lock-table=l"), table("BIGINT", false));
        assert_eq!(lock("cockroach", "x-lock-table=l&x-force-lock=1"), table("INT", true));
        assert_eq!(lock("ysql", "x-lock-table=l&x-force-lock=yeppers"), table("TEXT", false));
        assert_eq!(lock("pgx5", "x-lock-strategy=table&x-lock-table=l"), Strategy::Advisory);
        assert_eq!(lock("postgres", "x-lock-strategy=nope"), Strategy::Advisory);
        let error = read("pgx", "x-lock-strategy=nope").expect_err("a refusal").to_string();
        assert!(error.ends_with("unknown lock strategy \"nope\""), "{error}");
    }

    #[test]
    fn the_tracking_table_is_one_name_or_a_quoted_pair() {
        let table = |query| {
            let found = ok("postgres", query);
            (found.schema, found.table)
        };
        assert_eq!(table("x-migrations-table=a.b"), (None, "a.b".to_owned()));
        assert_eq!(
            table("x-migrations-table-quoted=1&x-migrations-table=%22a%22.%22b%22"),
            (Some("a".to_owned()), "b".to_owned())
        );
        assert_eq!(
            table("x-migrations-table-quoted=t&x-migrations-table=%22a.b%22"),
            (None, "a.b".to_owned())
        );
    }

    #[test]
    fn numbers_and_flags_are_read() {
        let found = ok(
            "postgres",
            "x-statement-timeout=250&x-multi-statement=T&x-multi-statement-max-size=-1",
        );
        assert_eq!(found.statement_timeout, Some(Duration::from_millis(250)));
        assert!(found.multi_statement);
        assert_eq!(ok("postgres", "x-statement-timeout=0").statement_timeout, None);
        // Not parameters of this driver's.
        assert!(!ok("redshift", "x-multi-statement=yeppers").multi_statement);
    }
}
