//! What to look for in a source: which names are releases, and where their migrations are.

use std::fmt;
use std::str::FromStr;

use sternway_model::catalog::{Enabled, Release, Track};
use thiserror::Error;

use crate::SourceError;

/// How an application lays out its releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The application's name; it ends up in the catalog.
    pub app: String,
    /// Which tags, or folders, are releases.
    pub tag: TagPattern,
    /// The tracks in registration order. One that is never enabled is listed, but not read.
    pub tracks: Vec<Track>,
}

impl Layout {
    /// The tracks that are read.
    pub(crate) fn read_tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.enabled != Enabled::Never)
    }

    /// Refuses a track whose path could lead out of its release.
    pub(crate) fn check(&self) -> Result<(), SourceError> {
        let paths =
            self.read_tracks().flat_map(|track| track.paths.iter().map(move |it| (track, it)));
        let mut leading_out = paths.filter(|(_, it)| path_parts(&it.path).any(|part| part == ".."));
        match leading_out.next() {
            None => Ok(()),
            Some((track, it)) => {
                Err(SourceError::TrackPath { track: track.name.clone(), path: it.path.clone() })
            }
        }
    }
}

/// The folders that a track's path goes through, from the root of a release.
pub(crate) fn path_parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

/// What the tags of releases look like, such as `v{version}` or `app/v{version}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern {
    prefix: String,
    suffix: String,
}

/// A text that is no tag pattern.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("the tag pattern `{text}` has {} `{{version}}`", if *.count == 0 { "no" } else { "more than one" })]
pub struct InvalidTagPattern {
    /// The text.
    pub text: String,
    /// How often `{version}` stands in it.
    pub count: usize,
}

const PLACEHOLDER: &str = "{version}";

impl TagPattern {
    /// The release that a tag of this name stands for; `None` for other tags.
    ///
    /// `v{version}` matches `v1.2.3`, `v1.2` and `v2024.01.05`, but not `vv1.2.3`.
    pub fn release(&self, tag: &str) -> Option<Release> {
        bare_release(self.version(tag)?)
    }

    /// Whether a tag seems to be meant for a release, and has no release number.
    pub(crate) fn is_missed_by(&self, tag: &str) -> bool {
        let version = self.version(tag).unwrap_or_default();
        let seems = !self.prefix.is_empty() || version.starts_with(|it: char| it.is_ascii_digit());
        !version.is_empty() && seems && bare_release(version).is_none()
    }

    fn version<'t>(&self, tag: &'t str) -> Option<&'t str> {
        tag.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)
    }
}

/// The release whose number is exactly `text`.
pub(crate) fn bare_release(text: &str) -> Option<Release> {
    // Parsing alone would let a leading `v` and blanks pass.
    text.parse().ok().filter(|release: &Release| release.to_string() == text)
}

impl FromStr for TagPattern {
    type Err = InvalidTagPattern;

    fn from_str(text: &str) -> Result<Self, InvalidTagPattern> {
        let count = text.matches(PLACEHOLDER).count();
        match text.split_once(PLACEHOLDER) {
            Some((prefix, suffix)) if count == 1 => {
                Ok(Self { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
            }
            _ => Err(InvalidTagPattern { text: text.to_owned(), count }),
        }
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACEHOLDER}{}", self.prefix, self.suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, tag: &str, expected: Option<&str>) {
        let pattern: TagPattern = pattern.parse().expect("a pattern");
        let release = pattern.release(tag).map(|it| it.to_string());
        assert_eq!(release.as_deref(), expected, "{pattern} {tag}");
    }

    #[test]
    fn tags_that_follow_the_pattern_are_releases() {
        check("v{version}", "v0.10.0-rc3", Some("0.10.0-rc3"));
        check("{version}", "1.2.3+build.5", Some("1.2.3+build.5"));
        check("app/v{version}", "app/v1.2.3", Some("1.2.3"));
        check("v{version}-app", "v1.2.3-rc.1-app", Some("1.2.3-rc.1"));
        check("v{version}", "v1.2", Some("1.2"));
        check("v{version}", "v1.2.3.4", Some("1.2.3.4"));
        check("v{version}", "v01.2.3", Some("01.2.3"));
        check("v{version}", "v2024.01.05", Some("2024.01.05"));
        check("{version}", "2024-01-05", Some("2024-01-05"));
    }

    #[test]
    fn other_tags_are_not() {
        for tag in ["1.2.3", "vv1.2.3", "v 1.2.3", "v1.2.3 ", "v1.2.x", "v", "", "V1.2.3"] {
            check("v{version}", tag, None);
        }
        check("{version}", "v1.2.3", None);
        check("v{version}v", "v", None);
    }

    #[test]
    fn tags_that_seem_to_be_meant_for_releases_are_noticed() {
        let missed = |pattern: &str, tag: &str| {
            pattern.parse::<TagPattern>().expect("a pattern").is_missed_by(tag)
        };
        assert!(missed("v{version}", "v1.x") && missed("app/v{version}", "app/vnext"));
        assert!(!missed("v{version}", "v1.2") && !missed("v{version}", "v"));
        assert!(missed("{version}", "1.2.3_hotfix") && !missed("{version}", "nightly"));
        assert!(!missed("app/v{version}", "v1.x"));
    }

    #[test]
    fn a_pattern_has_one_placeholder() {
        let refused = |text: &str| text.parse::<TagPattern>().expect_err(text).to_string();
        assert_eq!(refused("v{ver}"), "the tag pattern `v{ver}` has no `{version}`");
        assert_eq!(
            refused("{version}{version}"),
            "the tag pattern `{version}{version}` has more than one `{version}`"
        );
    }
}
