//! What a table looks like to whoever preserves its rows or restores them.

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Its name, as the database spells it.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The columns that tell its rows apart, the primary key first; each set does so alone.
    pub unique: Vec<Vec<String>>,
    /// The foreign keys that its rows have to obey.
    pub foreign_keys: Vec<ForeignKey>,
    /// The events on which triggers fire that nobody can keep from firing: `INSERT`, `UPDATE`.
    pub triggers: Vec<String>,
    /// What the number of a row can be asked for by, where rows have one that is no column.
    pub rowid: Option<&'static str>,
    /// Where the numbers that it gives its rows have come to, as the dialect counts them.
    pub sequence: Option<u64>,
    /// What stores its rows, where there are several such engines.
    pub engine: String,
    /// Whether it is a table like most: no view, no history of versions.
    pub plain: bool,
    /// Its comment.
    pub comment: String,
    /// Whether a row that has the key of another may take its place, by what the table says itself.
    pub replaces: bool,
}

/// A column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in full.
    pub kind: String,
    /// Its type without a length, in lower case, where the type decides how values compare.
    pub base: String,
    /// The character set and the collation of a text, where they are the column's own.
    pub collation: Option<(String, String)>,
    /// Whether a row may have none in it.
    pub nullable: bool,
    /// Whether its values are computed, so that none can be written.
    pub generated: bool,
    /// Whether a change of its row changes it too, unless it is given a value.
    pub touched: bool,
    /// What a row has in it that it is given no value for.
    pub given: Given,
}

/// What a row has in a column that it is given no value for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Given {
    /// None.
    #[default]
    Null,
    /// The same as every other, as SQL has it.
    Constant(String),
    /// One of its own: a number, a time, chance.
    Own,
}

/// A foreign key.
#[derive(Debug, Clone, Default)]
pub struct ForeignKey {
    /// Its name, where it has one.
    pub name: String,
    /// The table that it refers to.
    pub parent: String,
    /// Its columns, and those that they refer to.
    pub columns: Vec<(String, String)>,
}

impl Shape {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Whether these columns tell its rows apart.
    pub fn is_unique(&self, columns: &[String]) -> bool {
        let has = |name: &String| columns.iter().any(|other| other.eq_ignore_ascii_case(name));
        self.unique.iter().any(|unique| unique.iter().all(has))
    }

    /// The columns that hold values of their own.
    pub fn written(&self) -> Vec<&Column> {
        self.columns.iter().filter(|column| !column.generated).collect()
    }
}
