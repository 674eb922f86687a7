//! The database as a whole, and others beside it: what `mariadb-dump` and `mysqldump` are told, and how many rows
//! there are.

use std::path::Path;

use async_trait::async_trait;
use sqlx::mysql::MySqlSslMode;
use sternway_model::proof::Fingerprint;
use sternway_model::state::Identity;

use super::connect::{session, target};
use super::{MySql, carry, cell, exact, failed, introspect, number_in, swap};
use crate::Dialect;
use crate::port::{
    Carried, Connect, Contents, Database, DatabaseError, Rows, SwapError, Told, Whole, occupants,
};

/// A database, and its server.
pub(crate) struct Server {
    pub(super) session: MySql,
    url: String,
    password: Option<String>,
}

/// Opens the database of the URL, or another one beside it.
pub(crate) async fn open(
    url: &str,
    password: Option<&str>,
    name: Option<&str>,
) -> Result<Server, Connect> {
    let mut target = target(url, password)?;
    if let Some(name) = name {
        target.options = target.options.database(name);
    }
    if target.options.get_database().is_none() {
        return Err(Connect::Url("no database name".to_owned()));
    }
    let session = session(target).await?;
    Ok(Server { session, url: url.to_owned(), password: password.map(str::to_owned) })
}

impl Server {
    /// A session with another database.
    pub(super) async fn session_with(&self, name: &str) -> Result<MySql, DatabaseError> {
        let doing = format!("open the database `{name}`");
        let why = |error: Connect| failed(&doing)(sqlx::Error::Configuration(error.into()));
        self.connect(name).await.map_err(why)
    }

    /// The same, with the driver's own words where it is not to be had.
    pub(super) async fn connect(&self, name: &str) -> Result<MySql, Connect> {
        open(&self.url, self.password.as_deref(), Some(name)).await.map(|it| it.session)
    }
}

/// A value in a file of options.
fn option(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[async_trait]
impl Whole for Server {
    fn dialect(&self) -> Dialect {
        Dialect::MySql
    }

    fn identity(&self) -> &Identity {
        &self.session.identity
    }

    fn session(&mut self) -> &mut dyn Database {
        &mut self.session
    }

    fn is_ours(&self, table: &str) -> bool {
        super::is_ours(table)
    }

    fn told(&self, _: &str) -> Told {
        let (target, mariadb) = (&self.session.target, self.session.mariadb);
        let mut text = "[client]\n".to_owned();
        match target.options.get_socket() {
            Some(socket) => text.push_str(&option("socket", &socket.display().to_string())),
            None => {
                text.push_str(&option("host", target.options.get_host()));
                text.push_str(&option("port", &target.options.get_port().to_string()));
                text.push_str("protocol=tcp\n");
            }
        }
        text.push_str(&option("user", target.options.get_username()));
        text.push_str(&option("password", target.password.as_deref().unwrap_or_default()));
        let checked = matches!(
            target.options.get_ssl_mode(),
            MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity
        );
        // The two kinds of programs have other words for the same.
        text.push_str(match (target.options.get_ssl_mode(), mariadb) {
            (MySqlSslMode::Disabled, true) => "skip-ssl\n",
            (MySqlSslMode::Disabled, false) => "ssl-mode=DISABLED\n",
            (MySqlSslMode::Preferred, _) => "",
            (_, true) if checked => "ssl\nssl-verify-server-cert\n",
            (_, true) => "ssl\nskip-ssl-verify-server-cert\n",
            (_, false) if checked => "ssl-mode=VERIFY_IDENTITY\n",
            (_, false) => "ssl-mode=REQUIRED\n",
        });
        let tls = &target.tls;
        for (name, file) in [("ssl-ca", &tls.ca), ("ssl-cert", &tls.cert), ("ssl-key", &tls.key)] {
            text.extend(file.iter().map(|file| option(name, file)));
        }
        Told { environment: Vec::new(), options: Some(text) }
    }

    async fn size(&mut self) -> Result<u64, DatabaseError> {
        let sql = format!(
            "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS bytes FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = {}",
            MySql::literal(&self.session.identity.database)
        );
        let rows = self.session.fetch("ask how large the database is", sql).await?;
        number_in(rows.first(), "bytes")
    }

    /// Nobody else can look at the same.
    async fn hold(&mut self) -> Result<Option<String>, DatabaseError> {
        let sql = "SET SESSION time_zone = '+00:00'; SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;
                   START TRANSACTION WITH CONSISTENT SNAPSHOT";
        self.session.run("look at the database as it is", sql.to_owned()).await?;
        Ok(None)
    }

    async fn release(&mut self) -> Result<(), DatabaseError> {
        let sql = format!("ROLLBACK; {}", self.session.reset);
        self.session.run("end looking at the database", sql).await
    }

    async fn contents(&mut self) -> Result<Contents, DatabaseError> {
        let database = MySql::literal(&self.session.identity.database);
        let sql = format!(
            "SELECT t.TABLE_NAME AS name, t.TABLE_TYPE AS type, c.COLUMN_NAME AS col, c.DATA_TYPE AS kind
             FROM information_schema.TABLES t
             JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
             WHERE t.TABLE_SCHEMA = {database} AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
             ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION"
        );
        let rows = self.session.fetch("list the tables", sql).await?;
        let mut tables: Vec<(String, bool, Vec<String>)> = Vec::new();
        for row in &rows {
            let (name, mut column) = (cell(row, "name"), MySql::quote(&cell(row, "col")));
            // It is printed with fewer digits than it has.
            if cell(row, "kind").eq_ignore_ascii_case("float") {
                column.push_str(" + 0e0");
            }
            // Bytes are told from nothing, and numbers as they are printed.
            let value = format!("COALESCE(HEX(CAST({column} AS BINARY)), '~')");
            match tables.last_mut().filter(|(last, ..)| *last == name) {
                Some((.., columns)) => columns.push(value),
                None => tables.push((name, cell(row, "type") == "SYSTEM VERSIONED", vec![value])),
            }
        }
        let mut contents = Contents::new();
        for (name, has_earlier_rows, columns) in tables {
            let sql = format!(
                "SELECT COUNT(*) AS n, CAST(COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('#', {})), 15), 16, 10)
                 AS UNSIGNED)), 0) AS CHAR) AS total FROM {}{}",
                columns.join(", "),
                self.session.table(&name),
                if has_earlier_rows { " FOR SYSTEM_TIME ALL" } else { "" }
            );
            let doing = format!("count the rows of `{name}`");
            let rows = self.session.fetch(&doing, sql).await?;
            let count = number_in(rows.first(), "n")?;
            let sum = rows.first().map(|row| cell(row, "total")).unwrap_or_default();
            contents.insert(name, Rows { count, sum });
        }
        Ok(contents)
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(&mut self.session, except).await
    }

    async fn copy_into(&mut self, _: &Path) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    async fn exact(&mut self) -> Result<Option<String>, DatabaseError> {
        exact::questions(&mut self.session).await
    }

    async fn has_earlier_rows(&mut self) -> Result<bool, DatabaseError> {
        let versioned = self.session.tables_of("TABLE_TYPE = 'SYSTEM VERSIONED'").await?;
        Ok(!versioned.is_empty())
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Whole>, Connect> {
        Ok(Box::new(open(&self.url, self.password.as_deref(), Some(name)).await?))
    }

    async fn beside(&mut self, prefix: &str) -> Result<Vec<String>, DatabaseError> {
        let sql = format!(
            "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA
             WHERE LEFT(SCHEMA_NAME, CHAR_LENGTH({prefix})) = {prefix} ORDER BY SCHEMA_NAME",
            prefix = MySql::literal(prefix)
        );
        let rows = self.session.fetch("list the databases", sql).await?;
        Ok(rows.iter().map(|row| cell(row, "name")).collect())
    }

    async fn create(&mut self, name: &str) -> Result<(), DatabaseError> {
        let doing = format!("make the database `{name}`");
        let sql = format!(
            "SELECT DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation
             FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            MySql::literal(&self.session.identity.database)
        );
        let rows = self.session.fetch(&doing, sql).await?;
        let text = |name| rows.first().map(|row| cell(row, name)).unwrap_or_default();
        let sql = format!(
            "CREATE DATABASE {} CHARACTER SET {} COLLATE {}",
            MySql::quote(name),
            MySql::quote(&text("charset")),
            MySql::quote(&text("collation"))
        );
        self.session.run(&doing, sql).await
    }

    async fn remove(&mut self, name: &str) -> Result<(), DatabaseError> {
        let sql = format!("DROP DATABASE IF EXISTS {}", MySql::quote(name));
        self.session.run(&format!("drop the database `{name}`"), sql).await
    }

    /// Grants are by name here.
    async fn dress(&mut self, _: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn may_swap(&mut self, end: bool) -> Result<(), SwapError> {
        occupants(self, end).await.map(drop)
    }

    async fn swap(&mut self, new: &str, old: &str, end: bool) -> Result<(), SwapError> {
        swap::swap(self, new, old, end).await
    }

    async fn mend(&mut self, old: &str) -> Result<(), DatabaseError> {
        swap::mend(self, old).await
    }

    async fn carry(&mut self, from: &str, except: &[String]) -> Result<Vec<Carried>, SwapError> {
        carry::carry(self, from, except).await
    }
}
