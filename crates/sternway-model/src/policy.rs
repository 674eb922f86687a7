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
    /// A release runs on the schemas of its own minor and of the next one.
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
    /// Whether an upgrade has to have a way back.
    #[serde(default)]
    pub require_way_back: bool,
    /// What no schema shows.
    #[serde(default)]
    pub hazards: Vec<Hazard>,
}

/// What is asked of a snapshot before the schema is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// Whether it has to be proven: restored on trial, and compared.
    pub proven: bool,
    /// How long it takes about, in seconds, where an earlier one tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// A border between two releases that no schema shows, such as another format of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hazard {
    /// What it is called.
    pub name: String,
    /// The last release on one side, and the first on the other.
    pub between: (Release, Release),
    /// Whether a journey across is refused; else it is told.
    pub refuses: bool,
    /// What happens there.
    pub message: String,
}

impl Hazard {
    /// Whether a journey from one release to the other crosses the border, in either direction. A release
    /// that lies on the border itself may be on either side, and counts as on the other one.
    fn lies_between(&self, from: &Release, to: &Release) -> bool {
        let (older, newer) = (from.min(to), from.max(to));
        let (below, above) = &self.between;
        (older <= below && newer > below) || (older < above && newer >= above)
    }
}

impl Policy {
    /// The borders that a journey between two releases crosses, in either direction.
    pub fn hazards_between<'a>(
        &'a self,
        one: &'a Release,
        other: &'a Release,
    ) -> impl Iterator<Item = &'a Hazard> {
        self.hazards.iter().filter(|it| it.lies_between(one, other))
    }

    /// Whether `release` starts on a schema ahead of it that only `schema` and later minors have.
    ///
    /// "The next minor" is the next one that the catalog has, so that a project may skip numbers.
    pub fn tolerates(&self, release: &Release, schema: Minor, catalog: &Catalog) -> bool {
        let since = self.ahead_ok_since.as_ref();
        if since.is_none_or(|since| release < since) {
            return false;
        }
        match self.window {
            Window::None => false,
            Window::Minor if schema <= release.minor() => true,
            Window::Minor => {
                let minors = catalog.minors();
                minors.into_iter().find(|minor| *minor > release.minor()) == Some(schema)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Migration, ReleaseEntry};

    /// A catalog of 1.0, 1.2 and 2.0; 1.1 was never released, and 1.9 has no migrations.
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for release in ["1.0.0", "1.2.0-rc1", "1.2.0", "1.9.0", "2.0.0"] {
            let migration = Migration { version: 1, up: None, down: None };
            let set = [migration].into_iter().filter(|_| release != "1.9.0").collect();
            let tracks = [("core".into(), set)].into();
            let entry = ReleaseEntry { label: release.to_owned(), commit: None, tracks };
            catalog.releases.insert(release.parse().unwrap(), entry);
        }
        catalog
    }

    fn check(window: Window, since: Option<&str>, release: &str, schema: (u64, u64)) -> bool {
        let ahead_ok_since = since.map(|since| since.parse().unwrap());
        let policy = Policy { window, ahead_ok_since, ..Policy::default() };
        let schema = Minor { major: schema.0, minor: schema.1 };
        policy.tolerates(&release.parse().unwrap(), schema, &catalog())
    }

    #[test]
    fn the_window_ends_at_the_next_minor_that_has_migrations() {
        let check = |release, schema| check(Window::Minor, Some("1.0.0"), release, schema);
        assert!(check("1.0.0", (1, 0)), "a schema of a later patch release");
        assert!(check("1.0.0", (1, 2)), "there is no 1.1");
        assert!(!check("1.0.0", (2, 0)));
        assert!(check("1.2.0", (2, 0)), "1.9 has no migrations, and a major may follow");
        assert!(check("2.0.0", (1, 2)), "nothing that 1.2 has is too new");
    }

    #[test]
    fn only_releases_since_the_first_that_can_start_on_a_schema_ahead() {
        let check = |since, release| check(Window::Minor, since, release, (1, 2));
        assert!(check(Some("1.2.0"), "1.2.0"));
        assert!(!check(Some("1.2.0"), "1.2.0-rc1"));
        assert!(!check(Some("1.2.0"), "1.0.0"));
        assert!(!check(None, "1.2.0"), "nobody said that any release can");
    }

    #[test]
    fn without_a_window_no_release_starts_on_a_schema_ahead() {
        assert!(!check(Window::None, Some("1.0.0"), "1.0.0", (1, 0)));
        assert!(!check(Window::None, Some("1.0.0"), "1.0.0", (1, 2)));
    }

    #[test]
    fn a_border_is_crossed_in_either_direction() {
        let release = |text: &str| text.parse::<Release>().expect(text);
        let hazard = Hazard {
            name: "rows".to_owned(),
            between: (release("0.10.0-rc3"), release("0.11.0")),
            refuses: true,
            message: String::new(),
        };
        let crosses = |from: &str, to: &str| hazard.lies_between(&release(from), &release(to));
        assert!(crosses("0.10.0-rc3", "0.11.0") && crosses("0.11.0", "0.9.12"));
        assert!(!crosses("0.9.12", "0.10.0-rc3") && !crosses("0.11.0", "0.12.1"));
        assert!(crosses("0.11.0-beta1", "0.10.0-rc3"), "nobody says on which side a beta is");
        assert!(crosses("0.11.0-beta1", "0.11.0"));
        assert!(!crosses("0.11.0", "0.11.0"));
    }
}
