//! The rows of an entry as CSV or SQL, a page at a time.

use std::io::{self, Write};

use sternway_database::Dialect;
use sternway_model::archive::{Entry, Page};
use sternway_model::state::Identity;

use super::sql::Sql;

/// How rows are written.
#[derive(Debug, Clone, Copy)]
pub enum Format<'a> {
    /// RFC 4180: values are always quoted, nulls are empty and never quoted.
    Csv,
    /// Statements that the database's own command line loads.
    Sql {
        /// What the database speaks.
        dialect: Dialect,
        /// Which database it is.
        identity: &'a Identity,
    },
}

/// Writes the rows of an entry.
pub struct Writer<W> {
    to: W,
    /// None for CSV.
    sql: Option<Sql>,
    begun: bool,
}

impl<W: Write> Writer<W> {
    /// Writes to `to`; nothing yet.
    pub fn new(format: Format<'_>, entry: &Entry, to: W) -> Writer<W> {
        let sql = match format {
            Format::Csv => None,
            Format::Sql { dialect, identity } => Some(Sql::of(dialect, identity, entry)),
        };
        Writer { to, sql, begun: false }
    }

    /// Writes a page, and before the first one what comes before all rows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn page(&mut self, page: &Page) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            match &self.sql {
                None => csv(&mut self.to, page.columns.iter().map(|it| Some(it.as_str())))?,
                Some(sql) => self.to.write_all(sql.head().as_bytes())?,
            }
        }
        let literals = page.literals.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        for (row, literals) in page.rows.iter().zip(literals) {
            match &self.sql {
                None => csv(&mut self.to, row.iter().map(Option::as_deref))?,
                Some(sql) => self.to.write_all(sql.row(page, row, literals).as_bytes())?,
            }
        }
        Ok(())
    }

    /// Writes what comes after all rows, and returns what was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if let Some(sql) = &self.sql {
            self.to.write_all(sql.tail().as_bytes())?;
        }
        Ok(self.to)
    }
}

/// A line of CSV as in RFC 4180. A value is always quoted and a null never is, which is what
/// PostgreSQL's COPY reads; writers that quote where they must cannot tell null from empty.
fn csv<'a>(to: &mut impl Write, values: impl Iterator<Item = Option<&'a str>>) -> io::Result<()> {
    for (index, value) in values.enumerate() {
        if index > 0 {
            to.write_all(b",")?;
        }
        if let Some(value) = value {
            write!(to, "\"{}\"", value.replace('"', "\"\""))?;
        }
    }
    to.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::csv;

    #[test]
    fn a_null_is_told_from_an_empty_text() {
        let mut written = Vec::new();
        csv(&mut written, [Some("a \"b\""), None, Some("")].into_iter()).expect("written");
        assert_eq!(String::from_utf8(written).expect("text"), "\"a \"\"b\"\"\",,\"\"\r\n");
    }
}
