//! A session with a server, as its administrator, to prepare databases and to look at them.

use std::path::Path;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection, Database, Decode, Executor, MySqlConnection,
    PgConnection, Row, SqliteConnection, Type,
};
use tokio::runtime::Runtime;

use super::Place;

/// A database that golang-migrate and Sternway both know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PostgreSql,
    MariaDb,
    Sqlite,
    /// For commands that need none.
    None,
}

/// A session. SQLite has none: each use opens the file.
pub struct Admin {
    runtime: Runtime,
    session: Session,
    created: Vec<String>,
}

enum Session {
    PostgreSql(PgConnection),
    MariaDb(MySqlConnection),
    None,
}

impl Admin {
    pub fn new(kind: Kind, url: Option<&str>) -> Admin {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let session = runtime.block_on(async {
            match (kind, url) {
                (Kind::PostgreSql, Some(url)) => {
                    Session::PostgreSql(PgConnection::connect(url).await.expect("a session"))
                }
                (Kind::MariaDb, Some(url)) => {
                    let options = mariadb(url);
                    let session = MySqlConnection::connect_with(&options).await;
                    Session::MariaDb(session.expect("a session"))
                }
                _ => Session::None,
            }
        });
        Admin { runtime, session, created: Vec::new() }
    }

    /// Makes a schema on PostgreSQL, a database on MariaDB. They are removed with the session.
    pub fn create(&mut self, name: &str) {
        match self.session {
            Session::PostgreSql(_) => self.run(&format!("CREATE SCHEMA {name}")),
            Session::MariaDb(_) => self.run(&format!("CREATE DATABASE {name}")),
            Session::None => return,
        }
        self.created.push(name.to_owned());
    }

    /// Carries out SQL, several statements or one.
    fn run(&mut self, sql: &str) {
        let told = sql;
        let sql = AssertSqlSafe(sql.to_owned());
        self.runtime.block_on(async {
            match &mut self.session {
                Session::PostgreSql(it) => drop(sqlx::raw_sql(sql).execute(it).await.expect(told)),
                Session::MariaDb(it) => drop(sqlx::raw_sql(sql).execute(it).await.expect(told)),
                Session::None => unreachable!("no session"),
            }
        });
    }

    /// Carries out SQL on a place's database.
    pub fn execute(&mut self, place: &Place, sql: &str) {
        match self.session {
            Session::PostgreSql(_) => {
                self.run(&format!("SET search_path = {}", place.name));
                self.run(sql);
            }
            Session::MariaDb(_) => {
                self.run(&format!("USE {}", place.name));
                self.run(sql);
            }
            Session::None => self.runtime.block_on(async {
                let mut session = open(&place.database_file()).await;
                let sql = AssertSqlSafe(sql.to_owned());
                sqlx::raw_sql(sql).execute(&mut session).await.expect("SQL");
                session.close().await.expect("a closed file");
            }),
        }
    }

    /// The rows that a query on a place's database has, the columns of each between bars.
    pub fn rows(&mut self, place: &Place, sql: &str) -> Vec<String> {
        let told = sql;
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.session {
            Session::PostgreSql(_) => self.run(&format!("SET search_path = {}", place.name)),
            Session::MariaDb(_) => self.run(&format!("USE {}", place.name)),
            Session::None => {}
        }
        self.runtime.block_on(async {
            match &mut self.session {
                Session::PostgreSql(it) => texts(&it.fetch_all(sql).await.expect(told)),
                Session::MariaDb(it) => texts(&it.fetch_all(sql).await.expect(told)),
                Session::None => {
                    let mut session = open(&place.database_file()).await;
                    let rows = texts(&session.fetch_all(sql).await.expect(told));
                    session.close().await.expect("a closed file");
                    rows
                }
            }
        })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        for name in std::mem::take(&mut self.created) {
            if std::thread::panicking() {
                return; // The servers are thrown away as well.
            }
            match &self.session {
                Session::PostgreSql(_) => self.run(&format!(
                    "SET client_min_messages = error;
                     DO $$ DECLARE it text; BEGIN
                       FOR it IN SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{name}')
                       LOOP EXECUTE format('DROP SCHEMA %I CASCADE', it); END LOOP;
                       FOR it IN SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{name}')
                       LOOP EXECUTE format('DROP OWNED BY %I', it);
                            EXECUTE format('DROP ROLE %I', it); END LOOP;
                     END $$"
                )),
                Session::MariaDb(_) => self.run(&format!("DROP DATABASE {name}")),
                Session::None => {}
            }
        }
    }
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.expect("a file")
}

/// The options that golang-migrate's URL of a server means.
fn mariadb(url: &str) -> MySqlConnectOptions {
    let parts = || {
        let (user, place) = url.strip_prefix("mysql://")?.split_once("@tcp(")?;
        let ((user, password), (host, port)) =
            (user.split_once(':')?, place.strip_suffix(")/")?.split_once(':')?);
        Some((user, password, host, port.parse().ok()?))
    };
    let (user, password, host, port) = parts().expect("mysql://USER:PASSWORD@tcp(HOST:PORT)/");
    MySqlConnectOptions::new().username(user).password(password).host(host).port(port)
}

fn texts<R>(rows: &[R]) -> Vec<String>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, <R as Row>::Database> + Type<<R as Row>::Database>,
    R::Database: Database,
{
    let text = |row: &R, index| {
        let value: Option<String> = row.try_get_unchecked(index).expect("a text");
        value.unwrap_or_else(|| "NULL".to_owned())
    };
    let line = |row: &R| (0..row.len()).map(|it| text(row, it)).collect::<Vec<_>>().join("|");
    rows.iter().map(line).collect()
}
