//! How the rows of an entry are laid out, and how they are found again.

use serde::{Deserialize, Serialize};
use sternway_model::effect::Lost;

use super::Result;
use super::shape::Shape;
use crate::port::DatabaseError;

/// How the rows of an entry are laid out, and how they are found again. The table that holds them
/// calls the values `c0`, `c1` and so on, and those that a body gave them `a0`, `a1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// The table they were taken from.
    pub table: String,
    /// Its columns that are preserved.
    pub columns: Vec<String>,
    /// Their types in the server's words.
    pub types: Vec<String>,
    /// Those that tell one row from another; none where the whole row does.
    pub key: Vec<String>,
    /// What the table was called when the body had run, if it stayed.
    pub after: Option<String>,
    /// What each of the columns was called then, if it stayed.
    pub renamed: Vec<Option<String>>,
    /// Whether the body also added rows: then what a later one puts there may be newer.
    pub carried: bool,
    /// Whether rows may have got another key from the body, so that nobody can tell which are gone.
    pub uncertain: bool,
    /// Where the numbers of the table had come to.
    pub sequence: Option<u64>,
    /// Whether it has, beside the columns that went, all that stayed: what they were computed from.
    pub rest: bool,
    /// Whether it has, as what a body gave the columns or rows that went, what the other half would have made
    /// of them when they were kept.
    pub anew: bool,
    /// Whether the table itself was relocated, and calls its columns by their own names.
    pub moved: bool,
}

impl Layout {
    /// The layout of all that a table holds; what tells its rows apart is left open.
    pub fn of(shape: &Shape) -> Layout {
        let written = shape.written();
        Layout {
            table: shape.name.clone(),
            columns: written.iter().map(|column| column.name.clone()).collect(),
            types: written.iter().map(|column| column.kind.clone()).collect(),
            ..Layout::default()
        }
    }

    /// The number of a column.
    pub fn at(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))
    }

    /// The numbers of the columns of the key; none where one of them is not preserved.
    pub fn keys(&self) -> Vec<usize> {
        self.key.iter().map(|column| self.at(column)).collect::<Option<_>>().unwrap_or_default()
    }

    /// What a column was called when the body had run, if it stayed.
    pub fn renamed(&self, at: usize) -> Option<&str> {
        self.renamed.get(at)?.as_deref()
    }

    /// Whether a column is there only to tell whether its row has changed since.
    pub fn is_beside(&self, at: usize) -> bool {
        self.rest
            && !self.key.is_empty()
            && self.renamed(at).is_some()
            && !self.keys().contains(&at)
    }

    /// The columns of which a body left nothing.
    pub fn gone(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| self.renamed(*at).is_none()).collect()
    }

    /// Their names.
    pub fn gone_names(&self) -> Vec<String> {
        self.gone().into_iter().filter_map(|at| self.columns.get(at).cloned()).collect()
    }

    /// Of an entry of `lost`, the columns of which it is judged whether what
    /// they are computed from has changed since.
    pub fn judged(&self, lost: &Lost) -> Vec<usize> {
        let keys = self.keys();
        match lost {
            Lost::Rows { .. } => (0..self.columns.len()).filter(|it| !keys.contains(it)).collect(),
            _ => self.gone(),
        }
    }

    /// The names of its columns, and of those that its table has now.
    pub fn columns_and(&self, now: Option<&Shape>) -> Vec<String> {
        let now = now.iter().flat_map(|it| &it.columns).map(|it| it.name.clone());
        self.columns.iter().cloned().chain(now).collect()
    }

    /// The layout of some of its columns.
    pub fn part(&self, of: &[usize]) -> Layout {
        let part = |from: &[String]| of.iter().filter_map(|at| from.get(*at).cloned()).collect();
        Layout {
            columns: part(&self.columns),
            types: part(&self.types),
            renamed: of.iter().map(|at| self.renamed(*at).map(str::to_owned)).collect(),
            sequence: None,
            ..self.clone()
        }
    }

    /// The columns that an entry of `lost` shows: of a lost column, what tells its rows apart and
    /// itself.
    pub fn shown(&self, lost: &Lost) -> Vec<usize> {
        let own = |at: &usize| match lost {
            Lost::Column { column, .. } => {
                let tells = self.renamed(*at).is_some() && !self.is_beside(*at);
                self.columns[*at] == *column || tells
            }
            _ => true,
        };
        (0..self.columns.len()).filter(own).collect()
    }

    /// Looks whether a layout that was read can be one: what follows relies on its lists being of
    /// one length.
    ///
    /// # Errors
    /// When they are not, or the column that was lost is not among them.
    pub fn check(&self, id: i64, lost: &Lost) -> Result<()> {
        let damaged = |what: String| {
            Err(DatabaseError::RecordsDamaged(format!("entry {id} of the archive has {what}")))
        };
        let columns = self.columns.len();
        if self.types.len() != columns {
            return damaged(format!("{columns} columns and {} types", self.types.len()));
        }
        if !self.renamed.is_empty() && self.renamed.len() != columns {
            return damaged(format!("{columns} columns and {} later names", self.renamed.len()));
        }
        if self.table.is_empty() {
            return damaged("no table".to_owned());
        }
        match lost {
            Lost::Column { column, .. } if self.at(column).is_none() => {
                damaged(format!("no column `{column}`, which it says was lost"))
            }
            _ => Ok(()),
        }
    }
}
