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

    /// A part of a table whose absence or presence changes what the table means.
    fn table(&self) -> Option<ObjectName> {
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

/// A canonical description of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// Each object's definition.
    pub objects: BTreeMap<ObjectName, String>,
    /// The columns of each table in their order; not part of the hash.
    pub column_order: BTreeMap<ObjectName, Vec<String>>,
}

impl Fingerprint {
    /// The hash of the objects.
    pub fn digest(&self) -> Digest {
        let lines = self.objects.iter().map(|(name, it)| format!("{name}: {it}\n"));
        Digest::of_bytes(lines.collect::<String>().as_bytes())
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

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { object, expected } => write!(f, "{object} is missing: {expected}"),
            Self::Unexpected { object, found } => {
                write!(f, "{object} should not be there: {found}")
            }
            Self::Changed { object, expected, found } => {
                write!(f, "{object} is `{found}` and should be `{expected}`")
            }
        }
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
    /// Objects that no track created; they are left alone.
    pub foreign: Vec<ObjectName>,
    /// Tables whose columns stand in another order than in a clean install.
    pub reordered: Vec<ObjectName>,
}

impl Comparison {
    /// Whether the schema is the one promised.
    pub fn holds(&self) -> bool {
        self.drift.is_empty()
    }
}

/// What a schema is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// A clean install.
    pub clean: Fingerprint,
    /// What the journey itself leads to on a schema without drift, where that differs.
    pub journey: Option<Fingerprint>,
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
        let object = match &difference {
            Difference::Missing { object, .. }
            | Difference::Unexpected { object, .. }
            | Difference::Changed { object, .. } => object,
        };
        let promised = expected
            .journey
            .as_ref()
            .is_some_and(|journey| journey.objects.get(object) == found.objects.get(object));
        if promised {
            comparison.of_the_migrations.push(difference);
        } else if matches!(difference, Difference::Unexpected { .. }) && !is_ours(object) {
            comparison.foreign.push(object.clone());
        } else {
            comparison.drift.push(difference);
        }
    }
    let orders = expected.clean.column_order.iter();
    let reordered = orders.filter(|(table, order)| {
        found.column_order.get(*table).is_some_and(|it| same_names(it, order) && it != *order)
    });
    comparison.reordered = reordered.map(|(table, _)| table.clone()).collect();
    comparison
}

/// Every object that is not the same in both.
pub fn differences(expected: &Fingerprint, found: &Fingerprint) -> Vec<Difference> {
    let names: BTreeSet<&ObjectName> =
        expected.objects.keys().chain(found.objects.keys()).collect();
    let mut differences = Vec::new();
    for object in names {
        let object = object.clone();
        match (expected.objects.get(&object), found.objects.get(&object)) {
            (Some(expected), None) => {
                differences.push(Difference::Missing { object, expected: expected.clone() });
            }
            (None, Some(found)) => {
                differences.push(Difference::Unexpected { object, found: found.clone() });
            }
            (Some(expected), Some(found)) if expected != found => {
                let (expected, found) = (expected.clone(), found.clone());
                differences.push(Difference::Changed { object, expected, found });
            }
            _ => {}
        }
    }
    differences
}

fn same_names(one: &[String], other: &[String]) -> bool {
    one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
}
