//! Release numbers, ordered as semver 2.0.0 section 11 orders them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A version of the application, such as `0.9.12` or `0.10.0-rc3`.
///
/// Prereleases follow semver and not the alphabet, so `beta10` comes after `beta9` only when the
/// number stands alone (`beta.10`). Most projects write `beta10`; a word with digits at its end is
/// therefore compared by the word and then by the number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(semver::Version);

/// The major and minor number of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Minor {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no release.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("`{text}` is not a release number such as 1.2.3 or 1.3.0-rc1")]
pub struct InvalidRelease {
    /// The text.
    pub text: String,
}

impl Release {
    /// The minor it belongs to; a prerelease belongs to the minor that it leads up to.
    pub fn minor(&self) -> Minor {
        Minor { major: self.0.major, minor: self.0.minor }
    }

    /// Whether it has a prerelease suffix.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

impl FromStr for Release {
    type Err = InvalidRelease;

    /// Reads a release; a leading `v`, as tags have it, is allowed.
    fn from_str(text: &str) -> Result<Self, InvalidRelease> {
        let bare = text.trim();
        let bare = bare.strip_prefix(['v', 'V']).unwrap_or(bare);
        let version = semver::Version::parse(bare);
        version.map(Self).map_err(|_| InvalidRelease { text: text.to_owned() })
    }
}

impl TryFrom<String> for Release {
    type Error = InvalidRelease;

    fn try_from(text: String) -> Result<Self, InvalidRelease> {
        text.parse()
    }
}

impl From<Release> for String {
    fn from(release: Release) -> String {
        release.to_string()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Release {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |it: &Self| (it.0.major, it.0.minor, it.0.patch);
        numbers(self)
            .cmp(&numbers(other))
            .then_with(|| compare_prerelease(&self.0.pre, &other.0.pre))
            .then_with(|| self.0.cmp(&other.0))
    }
}

/// Compares as semver does, but takes a number at the end of a word as a number.
fn compare_prerelease(a: &semver::Prerelease, b: &semver::Prerelease) -> std::cmp::Ordering {
    if a.is_empty() || b.is_empty() {
        return a.cmp(b); // A release comes after its prereleases.
    }
    let split = |text: &str| -> Vec<(String, u64)> {
        text.split('.')
            .map(|part| {
                let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
                (word.to_owned(), part[word.len()..].parse().unwrap_or(0))
            })
            .collect()
    };
    split(a.as_str()).cmp(&split(b.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prereleases_come_in_the_order_people_mean() {
        let order = "0.9.0-beta1 0.9.0-beta9 0.9.0-beta10 0.9.0-rc1 0.9.0 0.9.1 0.10.0-alpha.2 0.10.0-alpha.11 0.10.0";
        let releases: Vec<Release> =
            order.split(' ').map(|text| text.parse().expect("a release")).collect();
        let mut sorted = releases.clone();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, releases);
    }

    #[test]
    fn a_leading_v_is_read_and_not_kept() {
        assert_eq!("v1.2.3".parse::<Release>().map(|it| it.to_string()), Ok("1.2.3".to_owned()));
        assert!("1.2".parse::<Release>().is_err());
    }
}
