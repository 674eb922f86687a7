//! Release numbers: semver's, with any number of parts, and calendar dates among them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A version of the application, such as `0.9.12`, `0.10.0-rc3`, `2.0`, `1.2.3.4` or `2024.01.05`.
///
/// It is shown as it is written and compared by its numbers: `2.0` and `2.0.0` are one release, and so are
/// `2024.1.5` and `2024.01.05`. Prereleases follow semver 2.0.0 section 11 and not the alphabet, so
/// `beta10` comes after `beta9` only when the number stands alone (`beta.10`). Most projects write
/// `beta10`; a word with digits at its end is therefore compared by the word and then by the number.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Release(Arc<Version>);

#[derive(Debug)]
struct Version {
    /// The numbers without zeros at their end.
    numbers: Vec<u64>,
    /// What follows a `-`; empty for a release that is final.
    prerelease: String,
    /// What follows a `+`.
    build: String,
    /// As it is written.
    text: String,
}

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
#[error("`{text}` is not a release number such as 1.2.3, 1.3.0-rc1, 2.0 or 2024.01.05")]
pub struct InvalidRelease {
    /// The text.
    pub text: String,
}

impl Release {
    /// The minor it belongs to; a prerelease belongs to the minor that it leads up to.
    pub fn minor(&self) -> Minor {
        let number = |index: usize| self.0.numbers.get(index).copied().unwrap_or(0);
        Minor { major: number(0), minor: number(1) }
    }

    /// Whether it has a prerelease suffix.
    pub fn is_prerelease(&self) -> bool {
        !self.0.prerelease.is_empty()
    }

    /// How many numbers it is written with: of two that are the same release, the longer one says more.
    pub fn parts(&self) -> usize {
        let core = self.0.text.split(['-', '+']).next().unwrap_or_default();
        core.split('.').count()
    }

    /// Whether `longer` is a release that this one, written with one or two numbers, may stand for: the
    /// newest of a line is often tagged so as well.
    pub fn abbreviates(&self, longer: &Release) -> bool {
        let suffix = self.is_prerelease() || !self.0.build.is_empty();
        let begins = || {
            let longer = longer.0.text.split(['.', '-', '+']).map(str::parse::<u64>);
            let own = self.0.text.split('.').map(str::parse::<u64>);
            own.zip(longer).all(|(own, longer)| own == longer)
        };
        !suffix && self.parts() <= 2 && self.parts() < longer.parts() && begins()
    }
}

impl FromStr for Release {
    type Err = InvalidRelease;

    /// Reads a release; a leading `v`, as tags have it, is allowed, and so is a date with hyphens.
    fn from_str(text: &str) -> Result<Self, InvalidRelease> {
        let invalid = || InvalidRelease { text: text.to_owned() };
        let bare = text.trim();
        let bare = bare.strip_prefix(['v', 'V']).unwrap_or(bare);
        let (rest, build) = bare.split_once('+').map_or((bare, None), |(it, b)| (it, Some(b)));
        let (numbers, prerelease) = match date_with_hyphens(rest) {
            Some(date) => (date, None),
            None => {
                let (core, pre) =
                    rest.split_once('-').map_or((rest, None), |(it, p)| (it, Some(p)));
                let number = |part: &str| {
                    let digits = !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
                    digits.then(|| part.parse::<u64>().ok()).flatten()
                };
                let numbers: Option<Vec<u64>> = core.split('.').map(number).collect();
                (numbers.ok_or_else(invalid)?, pre)
            }
        };
        let is_identifier =
            |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let is_suffix = |it: &str| it.split('.').all(is_identifier);
        if !prerelease.is_none_or(is_suffix) || !build.is_none_or(is_suffix) {
            return Err(invalid());
        }
        let mut numbers = numbers;
        // What follows a date is no prerelease where it is a number: it is another release of that day.
        let mut prerelease = prerelease;
        let of_that_day = prerelease.and_then(|it| it.parse::<u64>().ok());
        if let (Some(number), Some(1900..=2999)) = (of_that_day, numbers.first()) {
            numbers.push(number);
            prerelease = None;
        }
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Ok(Release(Arc::new(Version {
            numbers,
            prerelease: prerelease.unwrap_or_default().to_owned(),
            build: build.unwrap_or_default().to_owned(),
            text: bare.to_owned(),
        })))
    }
}

/// Reads a date such as `2024-01-05`.
fn date_with_hyphens(text: &str) -> Option<Vec<u64>> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_date = matches!(parts.as_slice(), [y, m, d] if (y.len(), m.len(), d.len()) == (4, 2, 2));
    let digits = text.bytes().all(|it| it.is_ascii_digit() || it == b'-');
    (is_date && digits).then(|| parts.iter().filter_map(|it| it.parse().ok()).collect())
}

impl TryFrom<String> for Release {
    type Error = InvalidRelease;

    fn try_from(text: String) -> Result<Self, InvalidRelease> {
        text.parse()
    }
}

impl From<Release> for String {
    fn from(release: Release) -> String {
        release.0.text.clone()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl PartialEq for Release {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Release {}

impl Hash for Release {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.0.numbers, &self.0.prerelease, &self.0.build).hash(state);
    }
}

impl PartialOrd for Release {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Release {
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after its prereleases, and before what was built of it again.
        let (this, other) = (&self.0, &other.0);
        let is_final = this.prerelease.is_empty().cmp(&other.prerelease.is_empty());
        this.numbers
            .cmp(&other.numbers)
            .then(is_final)
            .then_with(|| compare(&this.prerelease, &other.prerelease))
            .then_with(|| this.build.is_empty().cmp(&other.build.is_empty()).reverse())
            .then_with(|| compare(&this.build, &other.build))
    }
}

/// Compares as semver does, but takes a number at the end of a word as a number.
fn compare(a: &str, b: &str) -> Ordering {
    let split = |text: &str| -> Vec<(String, u64)> {
        text.split('.')
            .map(|part| {
                let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
                (word.to_owned(), part[word.len()..].parse().unwrap_or(0))
            })
            .collect()
    };
    split(a).cmp(&split(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        text.parse().expect(text)
    }

    fn check_order(order: &str) {
        let releases: Vec<Release> = order.split(' ').map(release).collect();
        let mut sorted = releases.clone();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, releases);
        for pair in releases.windows(2) {
            assert!(pair[0] < pair[1], "{} {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn prereleases_come_in_the_order_people_mean() {
        check_order(
            "0.9.0-beta1 0.9.0-beta9 0.9.0-beta10 0.9.0-rc1 0.9.0 0.9.1 0.10.0-alpha.2 0.10.0-alpha.11 0.10.0 0.10.0+build5 0.10.0+build10",
        );
    }

    #[test]
    fn releases_of_any_number_of_parts_are_ordered_among_one_another() {
        check_order("0 1 1.2.0.1 1.2.1-rc1 1.2.1 1.2.3.4 1.2.3.10 1.10 2 2.0.0.1");
        check_order(
            "2023.12.31 2024.01.05-rc1 2024.01.05 2024.01.05-2 2024.1.6 2024-02-01 2024.10.01",
        );
    }

    #[test]
    fn a_release_is_shown_as_written_and_found_by_its_numbers() {
        for (one, other) in [
            ("2.0", "2.0.0"),
            ("2", "2.0.0.0"),
            ("2024.01.05", "2024.1.5"),
            ("1.2-rc1", "1.2.0-rc1"),
        ] {
            assert_eq!(release(one), release(other));
            assert_eq!(release(one).to_string(), one);
            assert_eq!(release(one).minor(), release(other).minor());
        }
        assert_ne!(release("2.0"), release("2.0.1"));
        assert_ne!(release("2.0"), release("2.0-rc1"));
    }

    #[test]
    fn a_leading_v_is_read_and_not_kept() {
        assert_eq!(release("v1.2.3").to_string(), "1.2.3");
        for text in ["", "v", "nightly", "1.x", "1..2", "1.2.", "1.2-", "1.2+", "1.2-a b", "-1.2"] {
            assert!(text.parse::<Release>().is_err(), "{text}");
        }
        assert!("99999999999999999999.0".parse::<Release>().is_err(), "no number that fits");
    }

    #[test]
    fn a_tag_that_follows_a_line_abbreviates_its_releases() {
        assert!(release("1").abbreviates(&release("1.4.2")));
        assert!(release("1.4").abbreviates(&release("1.4.2")));
        assert!(!release("1.4").abbreviates(&release("1.5.0")));
        assert!(!release("1.4.2").abbreviates(&release("1.4")));
        assert!(!release("1.4").abbreviates(&release("1.4")));
        assert!(!release("1.4.2").abbreviates(&release("1.4.2.1")));
    }
}
