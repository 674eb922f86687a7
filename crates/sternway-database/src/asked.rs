//! What an object asks of the rows among which it is made, by its definition in a fingerprint: nothing, what
//! a query tells, or what they cannot have.

use std::collections::BTreeSet;

use sternway_model::proof::{Definition, Facts, Fingerprint, ForeignKey, ObjectName};

use crate::Dialect;

/// What an object asks of the rows that are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// Something that a query on this table tells.
    OfRows(String),
    /// A value for each row of this table.
    Values(String),
    /// What they cannot have.
    TooMuch,
}

/// What an object with this definition asks of the rows in a database with the schema `here`, which lacks it
/// or has it otherwise.
pub fn asked(
    dialect: Dialect,
    object: &ObjectName,
    definition: &Definition,
    here: &Fingerprint,
) -> Asked {
    let has = |table: &str| here.objects.contains_key(&ObjectName::new("table", table));
    let found = here.objects.get(object);
    let definitions = dialect.definitions();
    let of_index = || definitions.table_of_index(&definition.text, here);
    let is_index = object.kind == "index";
    let table = object.table.clone().or_else(|| is_index.then(of_index).flatten());
    let Some(table) = table.filter(|_| object.kind != "table") else {
        let asks = match (object.kind.as_str(), found) {
            // Who may see its rows, and whether they survive a crash, is nothing that they are.
            ("table", Some(found)) => of_rows(&found.text) != of_rows(&definition.text),
            ("type" | "domain", Some(_)) => true,
            _ => false,
        };
        return if asks { Asked::TooMuch } else { Asked::Nothing };
    };
    // Of a table that comes whole, all of it does.
    if !has(&table) {
        return Asked::Nothing;
    }
    match object.kind.as_str() {
        "column" => match found {
            None if object.needs_value(&definition.text) => Asked::Values(table),
            None => Asked::Nothing,
            Some(_) if !definitions.are_altered() => Asked::TooMuch,
            Some(found) => {
                match (not_null(without_identity(&found.text)), not_null(&definition.text)) {
                    ((was, _), (is, _)) if was != is => Asked::TooMuch,
                    ((_, false), (_, true)) => Asked::OfRows(table),
                    _ => Asked::Nothing,
                }
            }
        },
        "constraint" | "check" if !definitions.are_altered() => Asked::TooMuch,
        "constraint" | "check" => Asked::OfRows(table),
        "index" if matches!(definition.facts, Facts::Index { unique: true, .. }) => {
            match includes_a_key(dialect, definition, &table, here) {
                true => Asked::Nothing,
                false => Asked::OfRows(table),
            }
        }
        _ => Asked::Nothing,
    }
}

/// Whether a unique index has all columns of a key of its table that is there: then no two rows are alike.
fn includes_a_key(
    dialect: Dialect,
    definition: &Definition,
    table: &str,
    here: &Fingerprint,
) -> bool {
    let names = |text: &str| -> BTreeSet<String> {
        let list = in_parentheses(text).map(|(list, _)| split(list)).unwrap_or_default();
        list.iter().map(|it| it.trim_matches('`').to_owned()).collect()
    };
    let columns = names(&definition.text);
    here.objects.iter().any(|(it, key)| {
        let of = it.kind == "constraint" && it.table.as_deref() == Some(table);
        let key = dialect.definitions().primary_key(it, key).filter(|_| of);
        key.is_some_and(|text| {
            let key = names(&text);
            !key.is_empty() && key.is_subset(&columns)
        })
    })
}

/// What a table's definition says of its rows.
fn of_rows(definition: &str) -> String {
    let no_matter = ["unlogged", "row level security", "forced"];
    let mut rest = definition.to_owned();
    for words in no_matter {
        rest = rest.replace(words, "");
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A column's definition without what gives new rows their numbers.
fn without_identity(definition: &str) -> &str {
    let [always, by_default] =
        ["always", "by default"].map(|it| format!(" generated {it} as identity"));
    let rest = definition.strip_suffix(&always).or(definition.strip_suffix(&by_default));
    rest.unwrap_or(definition)
}

/// What a column's definition says of its values but for their default, and whether each row needs one.
fn not_null(definition: &str) -> (String, bool) {
    let kind = definition.find(" default ").map_or(definition, |at| &definition[..at]);
    match kind.find(" not null") {
        Some(at) => (format!("{}{}", &kind[..at], &kind[at + " not null".len()..]), true),
        None => (kind.to_owned(), false),
    }
}

/// The rows of tables before a journey.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// The schema before the journey.
    pub start: &'a Fingerprint,
    /// The one that has what is made.
    pub clean: &'a Fingerprint,
    /// What comes before that, columns among it.
    pub new: &'a BTreeSet<ObjectName>,
}

/// A query for the rows that are not what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfits(String);

impl Misfits {
    /// Those that `query` finds: each line of its answer says in `n` for how many it stands.
    pub(crate) fn of(query: String) -> Misfits {
        Misfits(query)
    }

    /// The same, found only where a condition holds.
    pub fn only_where(self, condition: Option<&str>) -> Misfits {
        match condition {
            Some(it) => Misfits(format!("SELECT n FROM ({}) AS sternway_all WHERE {it}", self.0)),
            None => self,
        }
    }

    /// The query that answers 1 where there is none, and else 0.
    pub fn are_none(&self) -> String {
        format!("SELECT CASE WHEN EXISTS ({}) THEN 0 ELSE 1 END", self.0)
    }

    /// The query that counts them.
    pub fn count(&self) -> String {
        format!("SELECT coalesce(sum(n), 0) FROM ({}) AS sternway_misfits", self.0)
    }
}

/// Rows that a statement puts into a table that it has made.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// The columns that it names; none where it names none.
    pub columns: &'a [String],
    /// The query that it takes them from.
    pub query: &'a str,
}

impl Rows<'_> {
    /// The rows of a table that do not satisfy this; none where no query tells.
    pub fn misfits(
        &self,
        object: &ObjectName,
        definition: &Definition,
        table: &str,
    ) -> Option<Misfits> {
        if !self.start.objects.contains_key(&ObjectName::new("table", table)) {
            return None;
        }
        let says =
            format!("{} {}", self.dialect.definitions().words(object, definition), object.name);
        self.broken(object, definition, &self.rows(table, &says)?).map(Misfits)
    }

    /// As [`Rows::misfits`], of the rows that are put into a table.
    pub fn misfits_among(
        &self,
        object: &ObjectName,
        definition: &Definition,
        put: Put<'_>,
    ) -> Option<Misfits> {
        let names: Vec<String> = put.columns.iter().map(|it| self.name(it)).collect();
        let broken = self.broken(object, definition, "sternway_rows")?;
        Some(Misfits(format!(
            "WITH sternway_rows({}) AS ({}) SELECT n FROM ({broken}) AS sternway_broken",
            names.join(", "),
            put.query
        )))
    }

    /// The rows of a column's table whose values another type does not take; none where no query tells.
    /// `statement` gives it that type.
    pub fn misfits_of_type(
        &self,
        column: &ObjectName,
        (from, to): (&Definition, &Definition),
        statement: &str,
    ) -> Option<(Misfits, String)> {
        let table = column.table.as_deref()?;
        let definitions = self.dialect.definitions();
        let name = self.name(&column.name);
        let misfit = definitions.misfit(&name, (&from.text, &to.text), statement, self.clean)?;
        let rows = self.rows(table, &misfit)?;
        Some((Misfits(format!("SELECT 1 AS n FROM {rows} WHERE {misfit}")), misfit))
    }

    /// Which of these rows do not satisfy this.
    fn broken(&self, object: &ObjectName, definition: &Definition, rows: &str) -> Option<String> {
        let text = self.dialect.definitions().words(object, definition);
        let text = text.as_str();
        let upper = text.to_uppercase();
        if let Facts::ForeignKey(key) = &definition.facts {
            return Some(self.without_parent(rows, key));
        }
        if object.kind == "column" {
            return Some(format!(
                "SELECT 1 AS n FROM {rows} WHERE {} IS NULL",
                self.name(&object.name)
            ));
        }
        if upper.contains("NOT VALID")
            || upper.contains("NOT ENFORCED")
            || upper.starts_with("EXCLUDE")
        {
            return None;
        }
        let (columns, rest) = in_parentheses(text)?;
        if upper.starts_with("CHECK ") {
            return Some(format!("SELECT 1 AS n FROM {rows} WHERE NOT ({columns})"));
        }
        let parts = split(columns);
        let mut conditions: Vec<String> = Vec::new();
        let is_key = upper.starts_with("PRIMARY KEY") && !self.dialect.definitions().null_in_keys();
        if !upper.contains("NULLS NOT DISTINCT") && !is_key {
            conditions.extend(parts.iter().map(|it| format!("{it} IS NOT NULL")));
        }
        let of = rest.to_uppercase().find("WHERE ").and_then(|at| rest.get(at + 6..));
        conditions.extend(of.map(|it| format!("({it})")));
        let filter = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let twice = format!(
            "SELECT count(*) AS n FROM {rows}{filter} GROUP BY {} HAVING count(*) > 1",
            parts.join(", ")
        );
        if !is_key {
            return Some(twice);
        }
        let nulls: Vec<String> = parts.iter().map(|it| format!("{it} IS NULL")).collect();
        Some(format!("{twice} UNION ALL SELECT 1 FROM {rows} WHERE {}", nulls.join(" OR ")))
    }

    /// The rows of a table as they will be, with those of the columns that it gets which this names.
    fn rows(&self, table: &str, says: &str) -> Option<String> {
        let name = self.name(table);
        let is_its = |it: &&ObjectName| it.kind == "column" && it.table.as_deref() == Some(table);
        let is_new = |it: &&ObjectName| !self.start.objects.contains_key(*it);
        let is_named = |it: &&ObjectName| says.contains(it.name.trim_matches(['"', '`']));
        let mut new = Vec::new();
        for column in self.new.iter().filter(is_its).filter(is_new).filter(is_named) {
            let text = &self.clean.objects.get(column)?.text;
            let value = self.dialect.definitions().new_value(text)?;
            new.push(format!(", {value} AS {}", self.name(&column.name)));
        }
        Some(match new.is_empty() {
            true => format!("{name} AS sternway_rows"),
            false => format!("(SELECT {name}.*{} FROM {name}) AS sternway_rows", new.concat()),
        })
    }

    /// The rows that refer to none. A table that is not there yet has none to refer to.
    fn without_parent(&self, rows: &str, key: &ForeignKey) -> String {
        let own: Vec<String> = key.columns.iter().map(|it| self.name(it)).collect();
        let refer = own.iter().map(|it| format!("sternway_rows.{it} IS NOT NULL"));
        let refer = refer.collect::<Vec<_>>().join(" AND ");
        let checked = self.dialect.definitions().keys_are_checked();
        let refer = checked.map_or(refer.clone(), |it| format!("{refer} AND {it}"));
        if !self.start.objects.contains_key(&ObjectName::new("table", &key.parent)) {
            return format!("SELECT 1 AS n FROM {rows} WHERE {refer}");
        }
        let theirs = key.parent_columns.iter().map(|it| self.name(it));
        let same = theirs.zip(&own).map(|(it, own)| format!("p.{it} = sternway_rows.{own}"));
        let (same, parent) = (same.collect::<Vec<_>>().join(" AND "), self.name(&key.parent));
        format!(
            "SELECT 1 AS n FROM {rows} WHERE {refer} AND NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE {same})"
        )
    }

    fn name(&self, name: &str) -> String {
        self.dialect.definitions().name(name)
    }
}

/// What stands in the first parentheses, and what follows them.
fn in_parentheses(text: &str) -> Option<(&str, &str)> {
    let open = text.find('(')?;
    let end = ends(text.get(open + 1..)?, |letter, depth| letter == ')' && depth < 0)?;
    Some((&text[open + 1..open + 1 + end], &text[open + 2 + end..]))
}

/// What stands between the commas that are in no parentheses.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), list);
    while let Some(end) = ends(rest, |letter, depth| letter == ',' && depth == 0) {
        parts.push(rest[..end].trim());
        rest = &rest[end + 1..];
    }
    parts.push(rest.trim());
    parts
}

/// Where the first letter outside of quotes stands that is the one, at a depth of parentheses.
fn ends(text: &str, is_it: impl Fn(char, i32) -> bool) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            (_, Some(open)) => quote = Some(open).filter(|open| *open != letter),
            ('\'' | '"' | '`', None) => quote = Some(letter),
            ('(', None) => depth += 1,
            (')', None) => depth -= 1,
            _ => {}
        }
        if quote.is_none() && is_it(letter, depth) {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_outside_of_quotes_and_parentheses() {
        let (list, rest) = in_parentheses("UNIQUE (a, lower(b), 'x,)') WHERE (c)").expect("a list");
        assert_eq!((list, rest), ("a, lower(b), 'x,)'", " WHERE (c)"));
        assert_eq!(split(list), ["a", "lower(b)", "'x,)'"]);
        assert_eq!(in_parentheses("none"), None);
    }
}
