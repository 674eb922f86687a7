//! The database as a whole, and others beside it: what `pg_dump` and `pg_restore` are told, how many rows there
//! are, and two databases that change places in one transaction.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgSslMode;
use sternway_model::proof::Fingerprint;
use sternway_model::state::Identity;

use super::carry::Two;
use super::connect::{connect_to, read};
use super::{NAME, Postgres, blockers, failed, introspect, literal};
use crate::Dialect;
use crate::carry::carry;
use crate::port::{
    Carried, Connect, Contents, Database, DatabaseError, Rows, Session, SwapError, Told, Whole,
    occupants,
};

/// For how long sessions that were told to end may take.
const TO_END: Duration = Duration::from_secs(15);

/// For how long a session of ours may take that was closed.
const TO_CLOSE: Duration = Duration::from_secs(3);

/// For how long two databases that change places may wait for others.
const TO_SWAP: &str = "SET LOCAL lock_timeout TO '10s';";

/// Values are printed alike in every session, so that their checksums can be compared. What somebody may not see
/// is an error, and not left out.
const PRINTING: &str = "SET LOCAL TimeZone TO 'UTC'; SET LOCAL DateStyle TO 'ISO, MDY';
SET LOCAL IntervalStyle TO postgres; SET LOCAL bytea_output TO hex; SET LOCAL extra_float_digits TO 1;
SET LOCAL lc_monetary TO 'C'; SET LOCAL xmlbinary TO base64; SET LOCAL row_security TO off;
SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO '10s';";

/// The tables with rows of their own, from `pg_class AS c` and `pg_namespace AS n`: no system's, no extension's,
/// nothing temporary.
pub(super) const TABLES: &str = "
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
  AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.objid = c.oid AND d.deptype = 'e'
                    AND d.classid = 'pg_catalog.pg_class'::regclass)";

/// The statement that makes a database with the owner of the current one, in words that begin as `{begin}`.
const LIKE: &str = "
SELECT pg_catalog.concat_ws(' ', {begin},
    CASE WHEN pg_catalog.pg_get_userbyid(d.datdba) <> current_user
         THEN pg_catalog.format('OWNER %I', pg_catalog.pg_get_userbyid(d.datdba)) END,
    CASE WHEN t.spcname <> 'pg_default' THEN pg_catalog.format('TABLESPACE %I', t.spcname) END,
    'CONNECTION LIMIT', d.datconnlimit)
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = current_database()";

/// An empty one.
const EMPTY: &str = "
    pg_catalog.format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L', {name},
        pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype),
    CASE WHEN to_jsonb(d) ->> 'datlocprovider' = 'i' THEN pg_catalog.format('LOCALE_PROVIDER icu ICU_LOCALE %L',
        coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')) END";

/// A copy of another one. A large one is copied by its files: otherwise all of it would go through the log.
const COPY: &str = "
    pg_catalog.format('CREATE DATABASE %I TEMPLATE %I', {name}, {from}),
    CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 150000
          AND pg_catalog.pg_database_size({from}) > 256 * 1024 * 1024 THEN 'STRATEGY file_copy' END";

/// The statements that give a database what the current one has beside its tables: grants, settings, a comment.
const ATTRIBUTES: &str = "
WITH own AS (SELECT d.*, {name}::text AS new FROM pg_catalog.pg_database d WHERE datname = current_database())
SELECT coalesce(pg_catalog.string_agg(statement, '; '), '') FROM (
    SELECT pg_catalog.format('REVOKE ALL ON DATABASE %I FROM PUBLIC', new) FROM own WHERE datacl IS NOT NULL
    UNION ALL
    SELECT pg_catalog.format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, new,
        CASE a.grantee WHEN 0 THEN 'PUBLIC'
             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM own, pg_catalog.aclexplode(datacl) a WHERE a.grantee <> datdba
    UNION ALL
    SELECT pg_catalog.format('ALTER %s SET %s TO %s',
        CASE s.setrole WHEN 0 THEN pg_catalog.format('DATABASE %I', new)
             ELSE pg_catalog.format('ROLE %I IN DATABASE %I', pg_catalog.pg_get_userbyid(s.setrole), new) END,
        pg_catalog.split_part(c, '=', 1),
        -- What is a list has its quotes already.
        CASE WHEN pg_catalog.lower(pg_catalog.split_part(c, '=', 1)) IN ('search_path', 'temp_tablespaces',
            'session_preload_libraries', 'local_preload_libraries') AND substr(c, strpos(c, '=') + 1) <> ''
             THEN substr(c, strpos(c, '=') + 1) ELSE pg_catalog.quote_literal(substr(c, strpos(c, '=') + 1)) END)
    FROM own JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = own.oid, unnest(s.setconfig) c
    UNION ALL
    SELECT pg_catalog.format('COMMENT ON DATABASE %I IS %L', new, pg_catalog.shobj_description(oid, 'pg_database'))
    FROM own WHERE pg_catalog.shobj_description(oid, 'pg_database') IS NOT NULL) AS each(statement)";

/// A database, and its server.
pub(crate) struct Cluster {
    session: Postgres,
    url: String,
    password: Option<String>,
}

/// Opens the database of the URL, or another one beside it.
pub(crate) async fn open(
    url: &str,
    password: Option<&str>,
    name: Option<&str>,
) -> Result<Cluster, Connect> {
    let session = connect(url, password, name).await?;
    Ok(Cluster { session, url: url.to_owned(), password: password.map(str::to_owned) })
}

/// Opens a session that may write, whomever a fence keeps from it.
async fn connect(
    url: &str,
    password: Option<&str>,
    name: Option<&str>,
) -> Result<Postgres, Connect> {
    let mut session = connect_to(read(url)?, password, name).await?;
    let sql = "SET default_transaction_read_only TO off".to_owned();
    let set = session.run("begin a session that may write", sql).await;
    let place = session.identity.server.clone();
    set.map_err(|source| Connect::Session { place, source })?;
    Ok(session)
}

/// The password that a URL holds.
fn password_in(url: &str) -> Option<String> {
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|it| it.into_owned())
    };
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let in_authority = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    in_authority.and_then(|(_, password)| decoded(password)).or_else(|| parameter(url, "password"))
}

/// A parameter of a URL.
fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[async_trait]
impl Whole for Cluster {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn identity(&self) -> &Identity {
        &self.session.identity
    }

    fn session(&mut self) -> &mut dyn Database {
        &mut self.session
    }

    fn is_ours(&self, table: &str) -> bool {
        table.starts_with("sternway.")
    }

    fn told(&self, name: &str) -> Told {
        let options = &self.session.backend.options;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let sslmode = match options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        let mut environment = vec![
            ("PGHOST".to_owned(), host),
            ("PGPORT".to_owned(), options.get_port().to_string()),
            ("PGUSER".to_owned(), options.get_username().to_owned()),
            ("PGDATABASE".to_owned(), name.to_owned()),
            ("PGSSLMODE".to_owned(), sslmode.to_owned()),
            ("PGAPPNAME".to_owned(), NAME.to_owned()),
            // What the URL sets is for the application's statements, and a fence is for others.
            ("PGOPTIONS".to_owned(), "-c default_transaction_read_only=off".to_owned()),
        ];
        let password = self.password.clone().or_else(|| password_in(&self.url));
        environment.extend(password.map(|it| ("PGPASSWORD".to_owned(), it)));
        for name in ["sslrootcert", "sslcert", "sslkey"] {
            let value = parameter(&self.url, name);
            environment.extend(value.map(|it| (format!("PG{}", name.to_uppercase()), it)));
        }
        Told { environment, options: None }
    }

    async fn size(&mut self) -> Result<u64, DatabaseError> {
        let doing = "ask how large the database is";
        let sql = "SELECT pg_catalog.pg_database_size(current_database())".to_owned();
        let bytes: i64 =
            self.session.ask_one(doing, sql).await?.try_get(0).map_err(failed(doing))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    async fn hold(&mut self) -> Result<Option<String>, DatabaseError> {
        let doing = "look at the database as it is";
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {PRINTING}");
        self.session.run(doing, begin).await?;
        let row = self.session.ask_one(doing, "SELECT pg_catalog.pg_export_snapshot()".to_owned());
        row.await?.try_get(0).map(Some).map_err(failed(doing))
    }

    async fn release(&mut self) -> Result<(), DatabaseError> {
        self.session.run("end looking at the database", "ROLLBACK".to_owned()).await
    }

    async fn contents(&mut self) -> Result<Contents, DatabaseError> {
        let doing = "list the tables";
        let sql =
            format!("SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) {TABLES} ORDER BY 1");
        let tables = self.session.ask(doing, sql).await?;
        let mut contents = Contents::new();
        for row in tables {
            let table: String = row.try_get(0).map_err(failed(doing))?;
            // Half of the hash is a number that can be added up.
            let sql = format!(
                "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(
                    ('x' || substr(pg_catalog.md5(t::text), 1, 16))::bit(64)::bigint::numeric), 0)::text
                 FROM ONLY {table} AS t"
            );
            let doing = format!("count the rows of {table}");
            let row = self.session.ask_one(&doing, sql).await?;
            let count: i64 = row.try_get(0).map_err(failed(&doing))?;
            let sum = row.try_get(1).map_err(failed(&doing))?;
            contents.insert(table, Rows { count: u64::try_from(count).unwrap_or(0), sum });
        }
        Ok(contents)
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        let nothing = "SELECT NULL::text, NULL::text, NULL::text, NULL::text WHERE false";
        introspect::inside(&mut self.session, except, nothing).await
    }

    async fn copy_into(&mut self, _: &Path) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    async fn exact(&mut self) -> Result<Option<String>, DatabaseError> {
        Ok(None)
    }

    async fn has_earlier_rows(&mut self) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Whole>, Connect> {
        Ok(Box::new(open(&self.url, self.password.as_deref(), Some(name)).await?))
    }

    async fn beside(&mut self, prefix: &str) -> Result<Vec<String>, DatabaseError> {
        let doing = "list the databases";
        let sql = format!(
            "SELECT datname::text FROM pg_catalog.pg_database
             WHERE pg_catalog.starts_with(datname::text, {}) ORDER BY 1",
            literal(prefix)
        );
        let rows = self.session.ask(doing, sql).await?;
        rows.iter().map(|row| row.try_get(0).map_err(failed(doing))).collect()
    }

    async fn create(&mut self, name: &str) -> Result<(), DatabaseError> {
        let doing = format!("make the database `{name}`");
        let create = self.like(&doing, &EMPTY.replace("{name}", &literal(name))).await?;
        self.session.run(&doing, create).await
    }

    async fn copy(&mut self, from: &str, to: &str, end: bool) -> Result<(), SwapError> {
        let doing = format!("copy the database `{from}`");
        let begin = COPY.replace("{name}", &literal(to)).replace("{from}", &literal(from));
        let create = self.like(&doing, &begin).await?;
        let name = self.session.identity.database.clone();
        if from != name {
            return alone(&mut self.session, from, &doing, &create, end).await;
        }
        self.go_elsewhere(&name).await?;
        let copied = alone(&mut self.session, from, &doing, &create, end).await;
        self.come_back(&name).await;
        copied
    }

    async fn shut(&mut self, name: &str) -> Result<(), DatabaseError> {
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", Postgres::quote(name));
        self.session.run(&format!("let nobody connect to `{name}`"), sql).await
    }

    async fn dress(&mut self, name: &str) -> Result<(), DatabaseError> {
        let doing = format!("give the database `{name}` the grants and settings of its original");
        let sql = ATTRIBUTES.replace("{name}", &literal(name));
        let row = self.session.ask_one(&doing, sql).await?;
        let attributes: String = row.try_get(0).map_err(failed(&doing))?;
        self.session.run(&doing, attributes).await
    }

    async fn remove(&mut self, name: &str) -> Result<(), DatabaseError> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", Postgres::quote(name));
        self.session.run(&format!("drop the database `{name}`"), sql).await
    }

    async fn may_swap(&mut self, end: bool) -> Result<(), SwapError> {
        occupants(self, end).await.map(drop)
    }

    async fn swap(&mut self, new: &str, old: &str, end: bool) -> Result<(), SwapError> {
        let name = self.session.identity.database.clone();
        self.go_elsewhere(&name).await?;
        let swapped = exchange(&mut self.session, &name, new, old, end).await;
        self.come_back(&name).await;
        swapped
    }

    /// A swap is whole or nothing here.
    async fn mend(&mut self, _: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn carry(&mut self, from: &str, except: &[String]) -> Result<Vec<Carried>, SwapError> {
        let mut other = self.connect(from).await?;
        let doing = "begin to carry rows over";
        let read = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {PRINTING}");
        other.run(doing, read).await?;
        let write = format!("BEGIN; {PRINTING} SET CONSTRAINTS ALL IMMEDIATE");
        self.session.run(doing, write).await?;
        let two = &mut Two { here: &mut self.session, other: &mut other };
        let carried = carry(two, except).await;
        let end = if carried.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.session.run("end carrying rows over", end.to_owned()).await;
        let carried = carried?;
        ended?;
        Ok(carried)
    }
}

impl Cluster {
    async fn connect(&self, name: &str) -> Result<Postgres, Connect> {
        connect(&self.url, self.password.as_deref(), Some(name)).await
    }

    /// Leaves the database: one with a session of ours gets no other name, and is not copied.
    async fn go_elsewhere(&mut self, name: &str) -> Result<(), Connect> {
        let elsewhere = if name == "postgres" { "template1" } else { "postgres" };
        self.session = self.connect(elsewhere).await?;
        Ok(())
    }

    async fn come_back(&mut self, name: &str) {
        match self.connect(name).await {
            Ok(session) => self.session = session,
            Err(error) => tracing::debug!(?error, "the session stays elsewhere"),
        }
    }

    /// The statement that makes a database with the owner of this one.
    async fn like(&mut self, doing: &str, begin: &str) -> Result<String, DatabaseError> {
        let row = self.session.ask_one(doing, LIKE.replace("{begin}", begin)).await?;
        row.try_get(0).map_err(failed(doing))
    }
}

/// Lets two databases change places, from a session with a third one.
async fn exchange(
    server: &mut Postgres,
    name: &str,
    new: &str,
    old: &str,
    end: bool,
) -> Result<(), SwapError> {
    let renames = format!(
        "BEGIN; {TO_SWAP} ALTER DATABASE {name} RENAME TO {old};
         ALTER DATABASE {new} RENAME TO {name}; COMMIT",
        name = Postgres::quote(name),
        new = Postgres::quote(new),
        old = Postgres::quote(old),
    );
    let doing = format!("let `{new}` and `{name}` change places");
    alone(server, name, &doing, &renames, end).await
}

/// Runs statements while nobody is connected to a database.
async fn alone(
    server: &mut Postgres,
    name: &str,
    doing: &str,
    sql: &str,
    end: bool,
) -> Result<(), SwapError> {
    let (until, closed) = (Instant::now() + TO_END, Instant::now() + TO_CLOSE);
    loop {
        let sessions = connected(server, name).await?;
        // One of ours has been closed, and takes a moment to go.
        let going = |it: &Session| it.application == NAME && Instant::now() < closed;
        if sessions.iter().any(|it| !end && !going(it)) {
            return Err(SwapError::Occupied { database: name.to_owned(), sessions });
        }
        for Session { pid, .. } in sessions.iter().filter(|_| end) {
            let sql = format!("SELECT pg_catalog.pg_terminate_backend({pid})");
            server.run(&format!("end session {pid}"), sql).await?;
        }
        if sessions.is_empty() || end {
            let Err(error) = server.run(doing, sql.to_owned()).await else { return Ok(()) };
            let _ = server.run("roll back", "ROLLBACK".to_owned()).await;
            // Whoever was told to end, or has just come, is still there.
            if !is_in_use(&error) || Instant::now() > until {
                return Err(error.into());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who is connected to a database.
async fn connected(server: &mut Postgres, name: &str) -> Result<Vec<Session>, DatabaseError> {
    let doing = "list the sessions of other clients";
    let sql = format!(
        "SELECT {} FROM pg_catalog.pg_stat_activity a
         WHERE a.datname = {} AND coalesce(a.backend_type, 'client backend') = 'client backend' ORDER BY 1",
        blockers::COLUMNS,
        literal(name)
    );
    let rows = server.ask(doing, sql).await?;
    rows.iter().map(blockers::session).collect::<sqlx::Result<_>>().map_err(failed(doing))
}

fn is_in_use(error: &DatabaseError) -> bool {
    let DatabaseError::Query { source: sqlx::Error::Database(source), .. } = error else {
        return false;
    };
    source.code().is_some_and(|code| code == "55006")
}

#[cfg(test)]
mod tests {
    use super::password_in;

    #[test]
    fn the_password_is_found_where_a_url_has_it() {
        let is = |url: &str| password_in(url).unwrap_or_default();
        assert_eq!(is("postgres://u:p%40%2Fw@h/db?sslmode=disable"), "p@/w");
        assert_eq!(is("postgres://u@h/db?password=x%20y"), "x y");
        assert_eq!(is("postgres://u@h/db"), "");
        assert_eq!(is("postgres:///db?host=/run"), "");
    }
}
