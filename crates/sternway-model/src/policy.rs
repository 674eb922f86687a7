//! The policy: which release may run on which schema, and how far back one may go.

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Minor, Release};

/// How far ahead of its own schema an application may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A release runs on its own schema only.
    #[default]
    None,
    /// A release runs on the schemas of the next minor too.
    Minor,
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// The compatibility window.
    pub window: Window,
    /// The oldest release that can be gone back to.
    pub floor: Option<Release>,
    /// The first release that starts on a schema ahead of it. Without it, none does.
    pub ahead_ok_since: Option<Release>,
}

impl Policy {
    /// Whether `release` starts on a schema that only `schema` and later minors have.
    ///
    /// "The next minor" is the next one that the catalog has, so that a project may skip numbers.
    pub fn tolerates(&self, release: &Release, schema: Minor, catalog: &Catalog) -> bool {
        let since = self.ahead_ok_since.as_ref();
        if since.is_none_or(|since| release < since) {
            return false;
        }
        if schema <= release.minor() {
            return true;
        }
        match self.window {
            Window::None => false,
            Window::Minor => {
                let minors = catalog.minors();
                minors.into_iter().find(|minor| *minor > release.minor()) == Some(schema)
            }
        }
    }
}
