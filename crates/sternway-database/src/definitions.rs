//! What each dialect says of the definitions in its fingerprints.

use sternway_model::proof::{Definition, Fingerprint, ObjectName};

use crate::{Dialect, Late, mysql, postgres, sqlite};

/// How the definitions of a dialect's fingerprints become SQL.
pub(crate) trait Definitions {
    /// A name as SQL has it.
    fn name(&self, name: &str) -> String;

    /// Whether a table that is there gets other columns and constraints in its place.
    fn are_altered(&self) -> bool;

    /// Whether rows get a value of the server's own where a column comes that each needs one for.
    fn fill_needed(&self) -> bool;

    /// Whether an object of this kind holds no data and goes by itself.
    fn go_alone(&self, kind: &str) -> bool;

    /// The table of an index that has a name of its own.
    fn table_of_index(&self, definition: &str, here: &Fingerprint) -> Option<String>;

    /// What a constraint says that is a primary key.
    fn primary_key(&self, object: &ObjectName, definition: &Definition) -> Option<String>;

    /// What an object is, in words.
    fn words(&self, _: &ObjectName, definition: &Definition) -> String {
        definition.text.clone()
    }

    /// Whether a primary key takes rows without a value.
    fn null_in_keys(&self) -> bool {
        false
    }

    /// The condition of the rows whose values a `column` does not take that `statement` gives another
    /// definition; none where no condition tells. `now` has the types that it may be of.
    fn misfit(
        &self,
        _column: &str,
        _definitions: (&str, &str),
        _statement: &str,
        _now: &Fingerprint,
    ) -> Option<String> {
        None
    }

    /// The condition on which the server refuses rows that a body's column does not take; none where it always
    /// does.
    fn refuses_where(&self) -> Option<&'static str> {
        None
    }

    /// The condition on which foreign keys are looked at; none where they always are.
    fn keys_are_checked(&self) -> Option<&'static str> {
        None
    }

    /// What a new column with this definition has in rows that are there; none where others decide that.
    fn new_value(&self, definition: &str) -> Option<String> {
        let own = [" generated ", " as ", " auto_increment"];
        let is_computed = own.iter().any(|it| definition.contains(it));
        let (_, default) = definition.split_once(" default ").unwrap_or((definition, "NULL"));
        (!is_computed).then(|| default.to_owned())
    }

    /// The way to a column of a table whose definition has this before its `NOT NULL` and that behind it. It is made by
    /// the name `made_as`, and may have been renamed since.
    fn late(&self, table: &str, name: &str, made_as: &str, around: (&str, &str)) -> Late;
}

/// The numbers that a type of integers takes.
pub(crate) fn integers(kind: &str) -> Option<(i128, i128)> {
    let unsigned = kind.contains("unsigned");
    let name = kind.split([' ', '(']).next().unwrap_or_default();
    let bits = match name {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" | "integer" => 32,
        "bigint" => 64,
        _ => return None,
    };
    let all = 1_i128 << bits;
    Some(if unsigned { (0, all - 1) } else { (-all / 2, all / 2 - 1) })
}

/// What a definition says before any of these words.
pub(crate) fn before<'d>(definition: &'d str, words: &[&str]) -> &'d str {
    let end = words.iter().filter_map(|it| definition.find(it)).min();
    definition.get(..end.unwrap_or(definition.len())).unwrap_or_default()
}

/// How many letters a type of texts takes, by its name with the number in parentheses.
pub(crate) fn letters(kind: &str, names: &[&str]) -> Option<u64> {
    let (name, rest) = kind.split_once('(')?;
    names.contains(&name).then_some(())?;
    rest.split(')').next()?.parse().ok()
}

/// What a constraint's words say of a primary key.
pub(crate) fn primary_key(text: &str) -> Option<String> {
    text.to_uppercase().starts_with("PRIMARY KEY").then(|| text.to_owned())
}

impl Dialect {
    pub(crate) fn definitions(self) -> &'static dyn Definitions {
        match self {
            Dialect::Postgres => &postgres::definitions::Postgres,
            Dialect::MySql => &mysql::definitions::MySql,
            Dialect::Sqlite => &sqlite::definitions::Sqlite,
        }
    }

    /// Whether a column that each row needs a value for can be added among rows as it is: the server gives
    /// each of them one of its own.
    pub fn fills_needed(self) -> bool {
        self.definitions().fill_needed()
    }

    /// Whether an object of a fingerprint holds no data and can be dropped by itself.
    pub fn goes_alone(self, object: &ObjectName) -> bool {
        self.definitions().go_alone(&object.kind)
    }

    /// The condition on which the server refuses rows that a body's column does not take; none where it always
    /// does.
    pub fn refuses_where(self) -> Option<&'static str> {
        self.definitions().refuses_where()
    }

    /// A query that answers 1 where a table has no rows, and else 0, by the table's name in a fingerprint.
    pub fn is_empty(self, table: &str) -> String {
        let table = self.definitions().name(table);
        format!("SELECT CASE WHEN EXISTS (SELECT 1 FROM {table}) THEN 0 ELSE 1 END")
    }
}
