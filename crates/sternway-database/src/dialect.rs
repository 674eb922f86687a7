//! The dialects, and which of them a URL means.

use std::fmt;

use sternway_model::body::BodyFacts;
use sternway_model::catalog::Digest;
use sternway_model::position::Position;
use sternway_model::rules::Deed;

use crate::pieces::{Piece, pieces};
use crate::port::{Connect, Database, DatabaseError, Whole};
use crate::rows::{OfRows, PutFrom, of_rows, put_from};
use crate::{mysql, normal, postgres, sqlite};

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

/// The schemes of golang-migrate's URLs that are known, in alphabetical order.
pub const SCHEMES: [&str; 16] = [
    "cockroach",
    "cockroachdb",
    "crdb-postgres",
    "mysql",
    "pgx",
    "pgx4",
    "pgx5",
    "postgres",
    "postgresql",
    "redshift",
    "sqlite",
    "sqlite3",
    "yugabyte",
    "yugabytedb",
    "ysql",
    "embedded",
];

impl Dialect {
    /// The dialect of a URL; its scheme is read verbatim, as golang-migrate does.
    ///
    /// # Errors
    /// When the scheme is missing or not known.
    pub fn of(url: &str) -> Result<Dialect, Connect> {
        let (scheme, _) = url.split_once(':').ok_or_else(|| {
            Connect::Url("it does not begin with a scheme such as postgres://".to_owned())
        })?;
        match scheme {
            "mysql" => Ok(Dialect::MySql),
            "sqlite" | "sqlite3" => Ok(Dialect::Sqlite),
            _ if SCHEMES.contains(&scheme) => Ok(Dialect::Postgres),
            _ => Err(Connect::Scheme(scheme.to_owned())),
        }
    }

    /// The parts of a body that take effect by themselves, in order: statements, and transactions
    /// that the body begins and ends.
    pub fn parts(self, body: &str) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut open = None;
        for (offset, length, begins) in self.spans(body) {
            match begins {
                Some(true) => drop(open.get_or_insert(offset)),
                None if open.is_some() => {}
                Some(false) | None => {
                    let start = open.take().unwrap_or(offset);
                    parts.extend(body.get(start..offset + length));
                }
            }
        }
        parts.extend(open.and_then(|start| body.get(start..)).map(str::trim_end));
        parts
    }

    /// The statements of a body as a journal counts them, where none of them begins or ends a
    /// transaction.
    pub fn statements(self, body: &str) -> Option<Vec<&str>> {
        let spans = self.spans(body).into_iter();
        spans
            .map(|(at, length, begins)| match begins {
                None => body.get(at..at + length),
                Some(_) => None,
            })
            .collect()
    }

    /// The statements of a part that neither begin nor end a transaction.
    pub fn inside(self, part: &str) -> Vec<&str> {
        let spans = self.spans(part).into_iter().filter(|(_, _, begins)| begins.is_none());
        spans.filter_map(|(at, length, _)| part.get(at..at + length)).collect()
    }

    /// The statements of a body as ones that each do one thing; none where it begins or ends transactions.
    pub fn pieces(self, body: &str) -> Vec<Piece> {
        let statements = self.statements(body).unwrap_or_default();
        self.apart(&statements)
    }

    /// As [`Dialect::pieces`], of those that stand in transactions of its own as well.
    pub fn pieces_inside(self, body: &str) -> Vec<Piece> {
        self.apart(&self.inside(body))
    }

    fn apart(self, statements: &[&str]) -> Vec<Piece> {
        match self {
            Dialect::Postgres => pieces(statements, postgres::statements::words_of),
            Dialect::Sqlite => pieces(statements, sqlite::statements::words_of),
            Dialect::MySql => pieces(statements, mysql::statements::plain_words_of),
        }
    }

    /// What gives their names back to what a body renames, the last one first.
    pub fn names_back(self, body: &str) -> Vec<String> {
        self.pieces(body).into_iter().rev().filter_map(|it| it.named_back).collect()
    }

    /// What a statement does to rows; none where it is not about them.
    pub fn of_rows(self, statement: &str) -> Option<OfRows> {
        match self {
            Dialect::Postgres => of_rows(&postgres::statements::words_of(statement)),
            Dialect::Sqlite => of_rows(&sqlite::statements::words_of(statement)),
            Dialect::MySql => of_rows(&mysql::statements::plain_words_of(statement)),
        }
    }

    /// What a statement puts into a table from a query; none where it does otherwise.
    pub fn put_from(self, statement: &str) -> Option<PutFrom> {
        match self {
            Dialect::Postgres => put_from(statement, &postgres::statements::words_of(statement)),
            Dialect::Sqlite => put_from(statement, &sqlite::statements::words_of(statement)),
            Dialect::MySql => put_from(statement, &mysql::statements::plain_words_of(statement)),
        }
    }

    /// A body of these parts.
    pub fn joined(parts: &[impl AsRef<str>]) -> String {
        parts.iter().map(|part| format!("{};\n", part.as_ref())).collect()
    }

    /// Where each statement of a body begins, how long it is, and whether it begins a transaction or
    /// ends one.
    fn spans(self, body: &str) -> Vec<(usize, usize, Option<bool>)> {
        match self {
            Dialect::Postgres => {
                use postgres::statements::{Control, statements};
                let begins = |control| control == Control::Begin;
                let found = statements(body).into_iter();
                found.map(|it| (it.offset, it.text.len(), it.transaction.map(begins))).collect()
            }
            Dialect::Sqlite => {
                use sqlite::statements::{Control, statements};
                let begins = |control| control == Control::Begin;
                let found = statements(body).into_iter();
                found.map(|it| (it.offset, it.text.len(), it.transaction.map(begins))).collect()
            }
            Dialect::MySql => {
                let found = mysql::statements::statements(body, mysql::statements::Quotes::PLAIN)
                    .into_iter();
                found.map(|it| (it.offset, it.text.len(), None)).collect()
            }
        }
    }

    /// What a body says, without asking a server.
    pub fn facts(self, body: &str) -> BodyFacts {
        let facts = match self {
            Dialect::Postgres => postgres::statements::facts(body),
            Dialect::MySql => mysql::statements::facts(body),
            Dialect::Sqlite => sqlite::statements::facts(body),
        };
        BodyFacts { normal: self.normal(body), ..facts }
    }

    /// The hash of a body's normal form; none where it cannot be cut into words with certainty.
    fn normal(self, body: &str) -> Option<Digest> {
        let form = |words: normal::Words| normal::digest(body, &words);
        match self {
            Dialect::Postgres => postgres::statements::normal_words(body).map(form),
            Dialect::Sqlite => sqlite::statements::normal_words(body).map(form),
            Dialect::MySql => {
                let escaped = mysql::statements::normal_words(body, true).map(form)?;
                if !body.contains('\\') {
                    return Some(escaped);
                }
                // The session decides what a backslash means, so that both have to be the same.
                let plain = mysql::statements::normal_words(body, false).map(form);
                let plain = plain.unwrap_or_else(|| Digest::of_body(body));
                Some(Digest::of_bytes(format!("{escaped} {plain}").as_bytes()))
            }
        }
    }
}

impl Dialect {
    /// Whether the statement of a body at this line and column runs code that catches exceptions, its own
    /// or that of a body before it.
    pub fn catches<'a>(
        self,
        body: &'a str,
        at: (usize, usize),
        earlier: impl Iterator<Item = &'a str>,
    ) -> bool {
        self == Dialect::Postgres && postgres::statements::catches(body, at, earlier)
    }

    /// What a body does to tables, indexes, extensions and schemas, for the rules of several tracks.
    /// MySQL's words are not read: its strings and comments are not PostgreSQL's.
    pub fn deeds(self, body: &str) -> Vec<Deed> {
        match self {
            Dialect::Postgres | Dialect::Sqlite => postgres::statements::rules::deeds(body),
            Dialect::MySql => Vec::new(),
        }
    }
}

impl Dialect {
    /// A name as this dialect's SQL has it, whatever it holds.
    pub fn quoted(self, name: &str) -> String {
        match self {
            Dialect::Postgres => postgres::Postgres::quote(name),
            Dialect::MySql => mysql::MySql::quote(name),
            Dialect::Sqlite => sqlite::Sqlite::quote(name),
        }
    }

    /// The statement that makes a tracking table say `to`, clean, for whoever types it into a client.
    /// `row`: whether the table has a row now.
    pub fn repair(self, schema: &str, table: &str, row: bool, to: Position) -> String {
        let table = format!("{}.{}", self.quoted(schema), self.quoted(table));
        match to {
            Position::Nothing => format!("DELETE FROM {table};"),
            Position::At(to) if row => format!("UPDATE {table} SET version = {to}, dirty = false;"),
            Position::At(to) => {
                format!("INSERT INTO {table} (version, dirty) VALUES ({to}, false);")
            }
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dialect::Postgres => "PostgreSQL",
            Dialect::MySql => "MySQL",
            Dialect::Sqlite => "SQLite",
        })
    }
}

/// Reads a URL to its end, and connects to nothing.
///
/// # Errors
/// Where [`connect`] would refuse the URL itself.
pub fn check(url: &str) -> Result<Dialect, Connect> {
    let dialect = Dialect::of(url)?;
    match dialect {
        Dialect::Postgres => postgres::check(url)?,
        Dialect::MySql => mysql::check(url)?,
        Dialect::Sqlite => sqlite::check(url)?,
    }
    Ok(dialect)
}

/// Opens a session with the database that `url` names. `password` stands in for the URL's.
///
/// # Errors
/// When there is no session. The URL is never repeated.
pub async fn connect(url: &str, password: Option<&str>) -> Result<Box<dyn Database>, Connect> {
    #[cfg(feature = "embedded")]
    if let Some(place) = crate::embedded::Place::parse(url) {
        return Ok(Box::new(crate::embedded::connect(&place, &[]).await?));
    }
    Ok(match Dialect::of(url)? {
        Dialect::Postgres => Box::new(postgres::connect(url, password).await?),
        Dialect::MySql => Box::new(mysql::connect(url, password).await?),
        Dialect::Sqlite => Box::new(sqlite::connect(url).await?),
    })
}

/// As [`connect`], where a URL that leaves open how secure the connection has to be means what it
/// means to golang-migrate: its drivers for PostgreSQL refuse a server without TLS, except pgx.
///
/// # Errors
/// As [`connect`].
pub async fn connect_like_golang_migrate(
    url: &str,
    password: Option<&str>,
) -> Result<Box<dyn Database>, Connect> {
    match Dialect::of(url)? {
        Dialect::Postgres => {
            Ok(Box::new(postgres::connect_like_golang_migrate(url, password).await?))
        }
        Dialect::MySql | Dialect::Sqlite => connect(url, password).await,
    }
}

/// All that decides, beside the bodies, what they lead to in a database that [`create_shadow`] makes on
/// the server of this URL: what it is, its settings, its extensions and its roles.
///
/// # Errors
/// When the server cannot be asked.
pub async fn shadow_server(url: &str) -> Result<String, Connect> {
    match Dialect::of(url)? {
        Dialect::Postgres => postgres::shadow::server(url).await,
        Dialect::MySql => mysql::shadow::server(url).await,
        Dialect::Sqlite => sqlite::shadow::server(url).await,
    }
}

/// An empty database to rehearse in, and what [`remove_shadow`] finds it by. On MySQL it has this
/// collation, or where it is empty that of the database that the URL names.
///
/// # Errors
/// When none can be made.
pub async fn create_shadow(
    url: &str,
    schema: &str,
    collation: &str,
) -> Result<(Box<dyn Database>, String), Connect> {
    match Dialect::of(url)? {
        Dialect::Postgres => {
            let (database, name) = postgres::shadow::create(url, schema).await?;
            Ok((Box::new(database), name))
        }
        Dialect::MySql => {
            let (database, name) = mysql::shadow::create(url, collation).await?;
            Ok((Box::new(database), name))
        }
        Dialect::Sqlite => {
            let (database, name) = sqlite::shadow::create(url).await?;
            Ok((Box::new(database), name))
        }
    }
}

/// Removes what [`create_shadow`] made.
///
/// # Errors
/// When it cannot be removed; it is then left behind.
pub async fn remove_shadow(url: &str, name: &str) -> Result<(), DatabaseError> {
    match Dialect::of(url) {
        Ok(Dialect::Postgres) => postgres::shadow::remove(url, name).await,
        Ok(Dialect::MySql) => mysql::shadow::remove(url, name).await,
        Ok(Dialect::Sqlite) => sqlite::shadow::remove().await,
        Err(_) => Ok(()),
    }
}

/// Opens a session for the whole of the database that `url` names, and for others beside it.
///
/// # Errors
/// As [`connect`]; and for the PostgreSQL inside the process, which is nobody's server.
pub async fn whole(url: &str, password: Option<&str>) -> Result<Box<dyn Whole>, Connect> {
    if url.starts_with("embedded:") {
        let text = "no program of a server's reaches the embedded PostgreSQL";
        return Err(Connect::Url(text.to_owned()));
    }
    Ok(match Dialect::of(url)? {
        Dialect::Postgres => Box::new(postgres::whole::open(url, password, None).await?),
        Dialect::MySql => Box::new(mysql::whole::open(url, password, None).await?),
        Dialect::Sqlite => Box::new(sqlite::whole::open(url, None).await?),
    })
}
