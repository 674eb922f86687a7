//! The proof: the schema that a database has, held against the one that it should have.
//!
//! A [`Fingerprint`] is a canonical description of a schema, one line an object. It leaves out what
//! Sternway and the tracking tables add, and what belongs to an extension. The order of columns is
//! kept apart: it is reported and never a failure, because it depends on how a table came about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Digest;

/// What an object is called, such as the column `user_id` of the table `task`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The kind in the server's words, such as `table` or `index`.
    pub kind: String,
    /// Its name; qualified unless it lives in the application's schema.
    pub name: String,
    /// The table that it is a part of.
    pub table: Option<String>,
}

impl ObjectName {
    /// An object that stands alone.
    pub fn new(kind: &str, name: &str) -> ObjectName {
        ObjectName { kind: kind.to_owned(), name: name.to_owned(), table: None }
    }

    /// The name by which a person means it: `table.column`, or the name of an object.
    pub fn plain(&self) -> String {
        let plain = |text: &str| text.replace(['"', '`'], "");
        match &self.table {
            Some(table) => format!("{}.{}", plain(table), plain(&self.name)),
            None => plain(&self.name),
        }
    }

    /// Whether a person means it by this name; one that ends with `*` means all that begin so.
    pub fn is_called(&self, name: &str) -> bool {
        let (own, name) = (self.plain(), name.replace(['"', '`'], ""));
        match name.strip_suffix('*') {
            Some(beginning) => own.starts_with(beginning),
            None => own == name,
        }
    }

    /// Whether it is a column with this definition that no row may leave out.
    pub fn needs_value(&self, definition: &str) -> bool {
        let has_value = [" default ", " generated ", " auto_increment", " identity"];
        self.kind == "column"
            && definition.contains(" not null")
            && !has_value.iter().any(|word| definition.contains(word))
    }

    /// What it says of which other object, where it is no object of its own: a comment, a storage parameter, what
    /// everybody may.
    pub fn described(&self) -> Option<&str> {
        match self.kind.as_str() {
            "comment" => Some(self.table.as_deref().unwrap_or(&self.name)),
            "replica identity" | "clustering" => Some(&self.name),
            "storage parameter" | "option" | "column option" | "grant" | "revoked default" => {
                self.table.as_deref()
            }
            _ => None,
        }
    }

    /// The table that stands for this part of it, where its absence or presence changes what the table means.
    pub fn table(&self) -> Option<ObjectName> {
        let is_part = matches!(self.kind.as_str(), "column" | "constraint");
        self.table.as_ref().filter(|_| is_part).map(|table| ObjectName::new("table", table))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{} `{}` of `{table}`", self.kind, self.name),
            None => write!(f, "{} `{}`", self.kind, self.name),
        }
    }
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    /// In the server's words; empty where its being there says all.
    pub text: String,
    /// What is asked of it besides whether it is the same.
    #[serde(default)]
    pub facts: Facts,
}

/// What is asked of objects of some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// Nothing.
    #[default]
    None,
    /// Of a constraint that refers to another table.
    ForeignKey(ForeignKey),
    /// Of an index.
    Index {
        /// Whether no two rows may have the same.
        unique: bool,
        /// Whether the server uses it: making it may have failed halfway.
        valid: bool,
    },
}

/// What a foreign key leads to. Names are as [`ObjectName`] has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that it refers to.
    pub parent: String,
    /// The columns there; none where it refers to the primary key without saying so.
    pub parent_columns: Vec<String>,
    /// What happens to a row whose parent gets another key.
    pub on_update: Action,
    /// What happens to a row whose parent is deleted.
    pub on_delete: Action,
}

/// What a foreign key does when the parent's row changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The change is refused, at the end of the statement or later.
    NoAction,
    /// The change is refused at once.
    Restrict,
    /// The row changes or goes as well.
    Cascade,
    /// The row refers to nothing.
    SetNull,
    /// The row refers to what the default says.
    SetDefault,
}

impl Action {
    /// Whether rows change with their parent.
    pub fn reaches(self) -> bool {
        !matches!(self, Self::NoAction | Self::Restrict)
    }
}

impl From<String> for Definition {
    fn from(text: String) -> Definition {
        Definition { text, facts: Facts::None }
    }
}

impl From<&str> for Definition {
    fn from(text: &str) -> Definition {
        text.to_owned().into()
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A canonical description of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Each object's definition.
    #[serde(with = "pairs")]
    pub objects: BTreeMap<ObjectName, Definition>,
    /// The columns of each table in their order, and its triggers where the server runs them in one; not part of
    /// the hash.
    #[serde(with = "pairs")]
    pub column_order: BTreeMap<ObjectName, Vec<String>>,
}

/// A map as a list of pairs: in JSON, a key is a text and nothing else.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub fn deserialize<
        'de,
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    >(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Fingerprint {
    /// The hash of the objects, by the server's words.
    pub fn digest(&self) -> Digest {
        let lines = self.objects.iter().map(|(name, it)| format!("{name}: {it}\n"));
        Digest::of_bytes(lines.collect::<String>().as_bytes())
    }

    /// The names of the objects that stand alone.
    pub fn names(&self) -> BTreeSet<&str> {
        let alone = self.objects.keys().filter(|it| it.table.is_none() && it.described().is_none());
        alone.map(|it| it.name.as_str()).collect()
    }

    /// Whether it has an index of this name that nothing uses, because making it failed halfway.
    pub fn is_invalid(&self, name: &ObjectName) -> bool {
        let facts = self.objects.get(name).map(|it| &it.facts);
        matches!(facts, Some(Facts::Index { valid: false, .. }))
    }
}

/// How one object differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "difference")]
pub enum Difference {
    /// It should be there and is not.
    Missing {
        /// The object.
        object: ObjectName,
        /// What it should be.
        expected: String,
    },
    /// It is there and should not be.
    Unexpected {
        /// The object.
        object: ObjectName,
        /// What it is.
        found: String,
    },
    /// It is there and is something else.
    Changed {
        /// The object.
        object: ObjectName,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl Difference {
    /// What differs.
    pub fn object(&self) -> &ObjectName {
        match self {
            Self::Missing { object, .. }
            | Self::Unexpected { object, .. }
            | Self::Changed { object, .. } => object,
        }
    }

    /// Whether a program that was made for the other schema lacks something: an object, or a definition,
    /// or that it may leave a column out. What is only there besides is no hindrance.
    pub fn is_lack(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            // What holds for all rows holds for the new ones.
            Self::Changed { expected, found, .. } => {
                !has_labels(expected, found) && expected.strip_suffix(" NOT VALID") != Some(found)
            }
            Self::Unexpected { object, found } => object.needs_value(found),
        }
    }

    /// Whether an object differs in this way in the schema `there`, whatever it is compared with.
    pub fn is_so_in(&self, there: &Fingerprint) -> bool {
        let here = there.objects.get(self.object()).map(|it| &it.text);
        match self {
            Self::Missing { .. } => here.is_none(),
            Self::Unexpected { found, .. } | Self::Changed { found, .. } => here == Some(found),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { object, expected } => {
                write!(f, "{object} is missing{}", after_colon(expected))
            }
            Self::Unexpected { object, found } => {
                write!(f, "{object} should not be there{}", after_colon(found))
            }
            Self::Changed { object, expected, found } => {
                let (first, second) = (abridged(found), abridged(expected));
                match first == second {
                    true => write!(f, "{object} is not what it should be: {first}"),
                    false => write!(f, "{object} is `{first}` and should be `{second}`"),
                }
            }
        }
    }
}

/// The labels of an enumeration, in quotes, by its definition.
pub fn labels(definition: &str) -> Option<Vec<String>> {
    let list = definition.strip_prefix("enum (")?.strip_suffix(')')?;
    Some(list.split(", '").map(|it| format!("'{}", it.trim_start_matches('\''))).collect())
}

/// Whether an enumeration has every label that another one has, or a column of one has, and is the same
/// otherwise.
fn has_labels(expected: &str, found: &str) -> bool {
    if let (Some(expected), Some(found)) = (labels(expected), labels(found)) {
        return expected.iter().all(|label| found.contains(label));
    }
    match (labels_of_column(expected), labels_of_column(found)) {
        (Some((expected, is)), Some((found, is_found))) => {
            is == is_found && expected.iter().all(|label| found.contains(label))
        }
        _ => false,
    }
}

/// The labels of a column that is an enumeration of its own, as on MySQL, or a set of them, and what else it is.
fn labels_of_column(definition: &str) -> Option<(Vec<&str>, [&str; 2])> {
    let (kind, list) = definition.split_once('(').filter(|(it, _)| ["enum", "set"].contains(it))?;
    let (mut labels, mut rest) = (Vec::new(), list);
    loop {
        // A quote in a label is doubled.
        let mut end = 1 + rest.strip_prefix('\'')?.find('\'')?;
        while rest[end + 1..].starts_with('\'') {
            end += 2 + rest[end + 2..].find('\'')?;
        }
        labels.push(&rest[..=end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Some((labels, [kind, rest])),
        }
    }
}

/// A definition; objects such as plain tables have none.
fn after_colon(definition: &str) -> String {
    if definition.is_empty() { String::new() } else { format!(": {}", abridged(definition)) }
}

/// The first line of a definition that has several, such as a function's.
fn abridged(definition: &str) -> String {
    match definition.trim().split_once('\n') {
        Some((first, _)) => format!("{first} …"),
        None => definition.to_owned(),
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// What is wrong with this database.
    pub drift: Vec<Difference>,
    /// What differs from a clean install because the application's own down migrations do not
    /// restore it; any database that goes this way has it.
    pub of_the_migrations: Vec<Difference>,
    /// What differed in the same way before, and was known: a journey found it, or left it.
    #[serde(default)]
    pub there_before: Vec<Difference>,
    /// What was accepted by its name.
    #[serde(default)]
    pub accepted: Vec<Difference>,
    /// Objects that no track created; they are left alone.
    pub foreign: Vec<ObjectName>,
    /// Tables whose columns stand in another order than in a clean install, and triggers that run in another one.
    pub reordered: Vec<ObjectName>,
}

impl Comparison {
    /// Whether the schema is the one promised.
    pub fn holds(&self) -> bool {
        self.drift.is_empty()
    }

    /// Whether the schema is that of a clean install, foreign objects left aside.
    pub fn is_clean_install(&self) -> bool {
        let others = [&self.of_the_migrations, &self.there_before, &self.accepted];
        self.holds() && others.iter().all(|it| it.is_empty())
    }

    /// Takes what is known from before for no drift.
    pub fn know(&mut self, known: &[Difference]) {
        self.there_before.extend(self.drift.extract_if(.., |it| known.contains(it)));
    }

    /// Takes what is accepted for no drift.
    pub fn accept(&mut self, accepts: impl Fn(&Difference) -> bool) {
        for differences in [&mut self.drift, &mut self.of_the_migrations, &mut self.there_before] {
            self.accepted.extend(differences.extract_if(.., |it| accepts(it)));
        }
    }
}

/// What a schema is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// A clean install.
    pub clean: Fingerprint,
    /// What the journey itself leads to from the schema that the database has, where that differs.
    pub journey: Option<Fingerprint>,
    /// How the schema differed from a clean install before the journey.
    pub before: Vec<Difference>,
    /// Everything that the application's migrations create anywhere on the journey.
    pub known: BTreeSet<ObjectName>,
}

/// Compares `found` with what is expected.
pub fn compare(expected: &Expected, found: &Fingerprint) -> Comparison {
    let mut comparison = Comparison::default();
    let is_ours = |object: &ObjectName| {
        expected.known.contains(object)
            || object.table().is_some_and(|table| expected.known.contains(&table))
    };
    for difference in differences(&expected.clean, found) {
        let object = difference.object();
        let promised = expected
            .journey
            .as_ref()
            .is_some_and(|journey| journey.objects.get(object) == found.objects.get(object));
        if matches!(difference, Difference::Unexpected { .. }) && !is_ours(object) {
            // What an administrator says of an object is no object.
            if object.described().is_none() {
                comparison.foreign.push(object.clone());
            }
        } else if promised && expected.before.contains(&difference) {
            comparison.there_before.push(difference);
        } else if promised {
            comparison.of_the_migrations.push(difference);
        } else {
            comparison.drift.push(difference);
        }
    }
    let orders = expected.clean.column_order.iter();
    let reordered = orders.filter(|(table, order)| {
        let Some(there) = found.column_order.get(*table) else { return false };
        let both = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|it| other.contains(it)).cloned().collect()
        };
        both(order, there) != both(there, order)
    });
    comparison.reordered = reordered.map(|(table, _)| table.clone()).collect();
    comparison
}

/// Every object that is not the same in both. A table that only one has stands for its columns and
/// constraints too, and a constraint for its index.
pub fn differences(expected: &Fingerprint, found: &Fingerprint) -> Vec<Difference> {
    let names: BTreeSet<&ObjectName> =
        expected.objects.keys().chain(found.objects.keys()).collect();
    let constraints = |of: &Fingerprint| -> BTreeSet<String> {
        let names = of.objects.keys().filter(|it| it.kind == "constraint");
        names.map(|it| it.name.clone()).collect()
    };
    let (theirs, ours) = (constraints(expected), constraints(found));
    let (names_expected, names_found) = (expected.names(), found.names());
    // A table stands for its parts, and a constraint for the index of its name.
    let told_by_another = |object: &ObjectName, there: &Fingerprint| {
        let (has, lacks) =
            if std::ptr::eq(there, found) { (&theirs, &ours) } else { (&ours, &theirs) };
        let is_of_a_constraint =
            object.kind == "index" && has.contains(&object.name) && !lacks.contains(&object.name);
        let names = if std::ptr::eq(there, found) { &names_found } else { &names_expected };
        is_of_a_constraint
            || object.table().is_some_and(|table| !there.objects.contains_key(&table))
            || object.described().is_some_and(|of| !names.contains(of))
    };
    let mut differences = Vec::new();
    for object in names {
        let object = object.clone();
        match (expected.objects.get(&object), found.objects.get(&object)) {
            (Some(definition), None) if !told_by_another(&object, found) => {
                differences.push(Difference::Missing { object, expected: definition.to_string() });
            }
            (None, Some(definition)) if !told_by_another(&object, expected) => {
                differences.push(Difference::Unexpected { object, found: definition.to_string() });
            }
            (Some(expected), Some(found)) if expected != found => {
                let (expected, found) = (expected.to_string(), found.to_string());
                differences.push(Difference::Changed { object, expected, found });
            }
            _ => {}
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(table: &str, name: &str) -> ObjectName {
        ObjectName { table: Some(table.to_owned()), ..ObjectName::new("column", name) }
    }

    fn fingerprint(objects: &[(ObjectName, &str)]) -> Fingerprint {
        let objects = objects.iter().map(|(name, it)| (name.clone(), (*it).into())).collect();
        Fingerprint { objects, column_order: BTreeMap::new() }
    }

    #[test]
    fn more_labels_are_no_lack() {
        let changed = |expected: &str, found: &str| Difference::Changed {
            object: column("log", "e"),
            expected: expected.to_owned(),
            found: found.to_owned(),
        };
        let column = "enum('a','it''s') default NULL";
        for (expected, found, is_lack) in [
            ("enum ('a')", "enum ('c', 'a')", false),
            (column, "enum('a','x,','it''s') default NULL", false),
            (column, "enum('a','it') default NULL", true),
            (column, "enum('a','it''s','c') not null", true),
            (column, "enum('a", true),
            ("set('a','b')", "set('a','b','c')", false),
            ("set('a','b')", "enum('a','b','c')", true),
        ] {
            assert_eq!(changed(expected, found).is_lack(), is_lack, "{found}");
        }
    }

    /// A clean install of one table with a column; the journey knows the table `share` too.
    fn expected() -> Expected {
        let clean = fingerprint(&[
            (ObjectName::new("table", "task"), "ordinary"),
            (column("task", "id"), "bigint not null"),
        ]);
        let known = [ObjectName::new("table", "task"), ObjectName::new("table", "share")];
        Expected { clean, known: known.into(), ..Expected::default() }
    }

    /// What is found: the clean install with `changes`; `None` takes an object away.
    fn check(expected: &Expected, changes: &[(ObjectName, Option<&str>)]) -> Comparison {
        let mut found = expected.clean.clone();
        for (object, change) in changes {
            match change {
                Some(it) => found.objects.insert(object.clone(), (*it).into()),
                None => found.objects.remove(object),
            };
        }
        compare(expected, &found)
    }

    fn drift(comparison: &Comparison) -> Vec<String> {
        assert_eq!(comparison.holds(), comparison.drift.is_empty());
        comparison.drift.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_clean_install_holds() {
        assert_eq!(check(&expected(), &[]), Comparison::default());
    }

    #[test]
    fn what_is_missing_or_changed_is_drift() {
        let missing = check(&expected(), &[(column("task", "id"), None)]);
        assert_eq!(drift(&missing), ["column `id` of `task` is missing: bigint not null"]);

        let changed = check(&expected(), &[(column("task", "id"), Some("bigint"))]);
        let sentence = "column `id` of `task` is `bigint` and should be `bigint not null`";
        assert_eq!(drift(&changed), [sentence]);
    }

    #[test]
    fn what_a_migration_creates_elsewhere_is_drift() {
        let share = check(&expected(), &[(ObjectName::new("table", "share"), Some("ordinary"))]);
        assert_eq!(drift(&share), ["table `share` should not be there: ordinary"]);
    }

    #[test]
    fn an_unknown_column_of_a_known_table_is_drift_and_an_index_is_not() {
        let column = check(&expected(), &[(column("task", "note"), Some("text"))]);
        assert_eq!(drift(&column), ["column `note` of `task` should not be there: text"]);

        let index = ObjectName { table: Some("task".to_owned()), ..ObjectName::new("index", "i") };
        let found = check(&expected(), &[(index.clone(), Some("btree (id)"))]);
        assert!(found.holds());
        assert_eq!(found.foreign, [index]);
    }

    #[test]
    fn what_no_track_created_is_foreign() {
        let report = ObjectName::new("view", "report");
        let found = check(&expected(), &[(report.clone(), Some("select 1"))]);
        assert!(found.holds());
        assert_eq!(found.foreign, [report]);
    }

    #[test]
    fn what_the_journey_leads_to_is_of_the_migrations() {
        let mut expected = expected();
        let mut journey = expected.clean.clone();
        journey.objects.insert(column("task", "id"), "bigint".into());
        expected.journey = Some(journey);

        let found = check(&expected, &[(column("task", "id"), Some("bigint"))]);
        assert!(found.holds());
        assert_eq!(found.of_the_migrations.len(), 1);

        // A database that is as clean as new is fine too, and a third form is drift.
        assert_eq!(check(&expected, &[]), Comparison::default());
        let other = check(&expected, &[(column("task", "id"), Some("integer"))]);
        assert_eq!(drift(&other).len(), 1);
        assert_eq!(other.of_the_migrations, []);
    }

    #[test]
    fn another_order_of_columns_is_reported_and_holds() {
        let task = ObjectName::new("table", "task");
        let order = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let mut expected = expected();
        expected.clean.column_order.insert(task.clone(), order(&["id", "owner"]));
        let mut found = expected.clean.clone();
        found.column_order.insert(task.clone(), order(&["owner", "id"]));
        let comparison = compare(&expected, &found);
        assert!(comparison.holds());
        assert_eq!(comparison.reordered, std::slice::from_ref(&task));
        assert_eq!(found.digest(), expected.clean.digest());

        // A column more or less is a difference already, and no other order.
        found.column_order.insert(task, order(&["owner"]));
        assert_eq!(compare(&expected, &found).reordered, []);
    }
}
