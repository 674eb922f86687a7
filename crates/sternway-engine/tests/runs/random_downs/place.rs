//! Where an application is tried: a database that is made empty for each, with a session of its own that
//! looks and writes as people do, and never through Sternway.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sqlx::mysql::MySqlConnection;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection,
    sqlite::SqliteConnectOptions,
};
use sternway_database::Dialect;
use sternway_engine::shadow::{Cache, Shadow};
use tempfile::TempDir;

use crate::support::{fresh, needs, other_database};

/// The tracking table of every application here.
pub const TRACKING: &str = "migrations";

enum Session {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MySql(MySqlConnection),
}

/// A database.
pub struct Place {
    pub dialect: Dialect,
    pub url: String,
    session: Session,
    server: String,
    folder: TempDir,
    made: u64,
}

impl Place {
    /// A database of a test's own; none where its server is not there.
    pub async fn on(dialect: Dialect, test: &str) -> Option<Place> {
        let folder = in_memory();
        let (server, url) = match dialect {
            Dialect::Sqlite => (String::new(), String::new()),
            Dialect::Postgres => {
                let server = needs(test, "STERNWAY_TEST_PG_URL")?;
                let url = fresh(&server, &format!("sternway_downs_{test}")).await;
                (server, url)
            }
            Dialect::MySql => {
                let server = needs(test, "STERNWAY_TEST_MARIADB")?;
                let url = other_database(&format!("{server}x"), &format!("sternway_downs_{test}"));
                (server, url)
            }
        };
        let session = match dialect {
            Dialect::Sqlite => Session::Sqlite(open(&folder.path().join("none")).await),
            Dialect::Postgres => {
                Session::Postgres(PgConnection::connect(&url).await.expect("a session"))
            }
            Dialect::MySql => Session::MySql(mysql(&server).await),
        };
        let mut place = Place { dialect, url, session, server, folder, made: 0 };
        place.empty().await;
        Some(place)
    }

    /// Takes everything out of it.
    pub async fn empty(&mut self) {
        self.made += 1;
        match &self.session {
            Session::Sqlite(_) => {
                let file = self.file();
                self.session = Session::Sqlite(open(&file).await);
                self.url = format!("sqlite://{}", file.display());
                let _ =
                    std::fs::remove_file(self.folder.path().join(format!("{}.db", self.made - 1)));
            }
            Session::Postgres(_) => {
                let sql = "DO $$ DECLARE s text; BEGIN
                        FOR s IN SELECT nspname FROM pg_namespace
                                 WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
                            EXECUTE format('DROP SCHEMA %I CASCADE', s);
                        END LOOP;
                    END $$; CREATE SCHEMA public";
                self.run(sql).await.expect("an empty database");
            }
            Session::MySql(_) => {
                let name = self.url.rsplit_once('/').expect("a name").1;
                let name = name.split('?').next().expect("a name").to_owned();
                let sql =
                    format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name}");
                self.run(&sql).await.expect("an empty database");
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.made))
    }

    /// Where the rehearsals of a case are made: on PostgreSQL inside the process, or on the server.
    pub fn shadow(&self, seed: u64) -> Shadow {
        let on_server = match self.dialect {
            Dialect::Sqlite => false,
            Dialect::Postgres => seed.is_multiple_of(2),
            Dialect::MySql => true,
        };
        let shadow = match on_server {
            true => Shadow::on(self.dialect, self.server.clone()),
            false => Shadow::inside(self.dialect),
        };
        let cache = Cache::at(self.folder.path().join("cache"), "random downs".to_owned());
        shadow.with_cache(Some(cache))
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.session {
            Session::Sqlite(it) => sql.execute(it).await.map(drop),
            Session::Postgres(it) => sql.execute(it).await.map(drop),
            Session::MySql(it) => sql.execute(it).await.map(drop),
        }
    }

    /// The answers to a question with one text a row.
    pub async fn texts(&mut self, sql: &str) -> Vec<String> {
        let question = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let answers: Result<Vec<String>, sqlx::Error> = match &mut self.session {
            Session::Sqlite(it) => {
                let rows = question.fetch_all(it).await;
                rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            }
            Session::Postgres(it) => {
                let rows = question.fetch_all(it).await;
                rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            }
            Session::MySql(it) => {
                let rows = question.fetch_all(it).await;
                rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
            }
        };
        answers.unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    /// What the database itself says of the application's schema, by another way than the fingerprint: without
    /// what belongs to migrators and what others have made.
    pub async fn look(&mut self) -> BTreeSet<String> {
        let sql = match self.dialect {
            Dialect::Sqlite => SQLITE,
            Dialect::Postgres => POSTGRES,
            Dialect::MySql => MYSQL,
        };
        self.texts(sql).await.into_iter().collect()
    }

    /// What others have made, by the names that people have for it.
    pub async fn of_others(&mut self) -> BTreeSet<String> {
        let sql = match self.dialect {
            Dialect::Sqlite => "SELECT name FROM sqlite_schema WHERE name LIKE 'hand%' AND type <> 'trigger'
                UNION ALL SELECT tbl_name || '.' || name FROM sqlite_schema WHERE name LIKE 'hand%' AND type = 'trigger'",
            Dialect::Postgres => OTHERS_ON_POSTGRES,
            Dialect::MySql => "SELECT table_name FROM information_schema.tables
                WHERE table_schema = database() AND table_name LIKE 'hand%'
                UNION ALL SELECT concat(event_object_table, '.', trigger_name) FROM information_schema.triggers
                WHERE trigger_schema = database() AND trigger_name LIKE 'hand%'",
        };
        self.texts(sql).await.into_iter().collect()
    }
}

/// A folder that no disk has to be waited for, where there is such a one.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder")
}

async fn open(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.expect("a file")
}

async fn mysql(server: &str) -> MySqlConnection {
    let url = server.replace("@tcp(", "@").replace(")/", "/");
    MySqlConnection::connect(&url).await.expect("a session")
}

const SQLITE: &str = "
SELECT m.type || ' ' || m.name || ' ' || coalesce(
       (SELECT group_concat(name || ' ' || type || \"notnull\" || coalesce(dflt_value, '-') || pk || hidden)
        FROM (SELECT * FROM pragma_table_xinfo(CASE m.type WHEN 'table' THEN m.name END) ORDER BY name)), '') || ' ' || coalesce(
       (SELECT group_concat(name) FROM (SELECT * FROM pragma_index_info(m.name) ORDER BY seqno)), '')
FROM sqlite_schema m
WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE 'sternway%' AND tbl_name <> 'migrations'
  AND name NOT LIKE 'hand%' AND tbl_name NOT LIKE 'hand%'";

const POSTGRES: &str = "
WITH space AS (
    SELECT oid, nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'sternway')
), relation AS (
    SELECT c.*, nspname || '.' || relname AS full_name
    FROM pg_class c JOIN space s ON s.oid = relnamespace
    WHERE relname NOT IN ('migrations', 'migrations_pkey') AND relname NOT LIKE 'hand%'
)
SELECT 'schema ' || nspname FROM space WHERE nspname <> 'public'
UNION ALL
SELECT concat_ws(' ', 'table', full_name, relrowsecurity) FROM relation WHERE relkind = 'r'
UNION ALL
SELECT concat_ws(' ', 'column', full_name, attname, format_type(atttypid, atttypmod), attnotnull,
                 attidentity, attgenerated, pg_get_expr(adbin, adrelid))
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE relkind = 'r'
UNION ALL
SELECT concat_ws(' ', 'constraint', full_name, conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k JOIN relation r ON r.oid = conrelid WHERE contype IN ('c', 'f', 'p', 'u')
UNION ALL
SELECT 'index ' || pg_get_indexdef(r.oid) FROM relation r WHERE relkind = 'i'
UNION ALL
SELECT concat_ws(' ', 'view', full_name, pg_get_viewdef(r.oid)) FROM relation r WHERE relkind = 'v'
UNION ALL
SELECT 'sequence ' || full_name FROM relation WHERE relkind = 'S'
UNION ALL
SELECT 'trigger ' || pg_get_triggerdef(g.oid)
FROM pg_trigger g JOIN relation r ON r.oid = tgrelid WHERE NOT tgisinternal AND tgname NOT LIKE 'hand%'
UNION ALL
SELECT concat_ws(' ', 'function', nspname, proname, pg_get_function_arguments(p.oid), prosrc)
FROM pg_proc p JOIN space s ON s.oid = pronamespace WHERE proname NOT LIKE 'hand%'
UNION ALL
SELECT concat_ws(' ', 'type', nspname, typname, (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder)
                                                 FROM pg_enum WHERE enumtypid = t.oid))
FROM pg_type t JOIN space s ON s.oid = typnamespace WHERE typtype = 'e'
UNION ALL
SELECT concat_ws(' ', 'policy', full_name, polname, polcmd, pg_get_expr(polqual, polrelid))
FROM pg_policy l JOIN relation r ON r.oid = polrelid WHERE polname NOT LIKE 'hand%'";

const OTHERS_ON_POSTGRES: &str = "
SELECT relname::text FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace
WHERE relname LIKE 'hand%' AND nspname = 'public' AND relkind IN ('r', 'v')
UNION ALL
SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || relname || '.' || tgname
FROM pg_trigger g JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace s ON s.oid = relnamespace
WHERE tgname LIKE 'hand%'
UNION ALL
SELECT CASE nspname WHEN 'public' THEN '' ELSE nspname || '.' END || relname || '.' || polname
FROM pg_policy l JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace s ON s.oid = relnamespace
WHERE polname LIKE 'hand%'
UNION ALL
SELECT relname || '.' || conname FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
WHERE conname LIKE 'hand%' AND relname LIKE 'hand%' AND contype = 'f'";

const MYSQL: &str = "
SELECT concat_ws(' ', 'table', table_name, table_type) FROM information_schema.tables
WHERE table_schema = database() AND table_name NOT LIKE 'sternway%' AND table_name NOT LIKE 'hand%' AND table_name <> 'migrations'
UNION ALL
SELECT concat_ws(' ', 'column', table_name, column_name, column_type, is_nullable, column_default, extra, generation_expression)
FROM information_schema.columns
WHERE table_schema = database() AND table_name NOT LIKE 'sternway%' AND table_name NOT LIKE 'hand%' AND table_name <> 'migrations'
UNION ALL
SELECT concat_ws(' ', 'index', table_name, index_name, non_unique, group_concat(column_name ORDER BY seq_in_index))
FROM information_schema.statistics
WHERE table_schema = database() AND table_name NOT LIKE 'sternway%' AND table_name NOT LIKE 'hand%' AND table_name <> 'migrations'
  AND index_name NOT LIKE 'hand%'
GROUP BY table_name, index_name, non_unique
UNION ALL
SELECT concat_ws(' ', 'check', table_name, constraint_name, check_clause) FROM information_schema.check_constraints
WHERE constraint_schema = database() AND table_name NOT LIKE 'sternway%' AND table_name <> 'migrations'
UNION ALL
SELECT concat_ws(' ', 'foreign key', table_name, constraint_name, column_name, referenced_table_name, referenced_column_name)
FROM information_schema.key_column_usage
WHERE table_schema = database() AND referenced_table_name IS NOT NULL AND table_name NOT LIKE 'hand%'
UNION ALL
SELECT concat_ws(' ', 'trigger', event_object_table, trigger_name, action_timing, event_manipulation, action_statement)
FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name NOT LIKE 'hand%'";
