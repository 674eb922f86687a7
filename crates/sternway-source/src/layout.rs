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
        match self.read_tracks().find(|track| path_parts(&track.path).any(|part| part == "..")) {
            None => Ok(()),
            Some(track) => {
                Err(SourceError::TrackPath { track: track.name.clone(), path: track.path.clone() })
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
    /// The version has to be written out as semver 2.0.0 wants it, so no two tags stand for the same
    /// release: `v{version}` matches `v1.2.3`, but neither `v1.2` nor `vv1.2.3`.
    pub fn release(&self, tag: &str) -> Option<Release> {
        let version = tag.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
        bare_release(version)
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
    }

    #[test]
    fn other_tags_are_not() {
        for tag in ["1.2.3", "v1.2", "vv1.2.3", "v 1.2.3", "v1.2.3 ", "v01.2.3", "v", "", "V1.2.3"]
        {
            check("v{version}", tag, None);
        }
        check("{version}", "v1.2.3", None);
        check("v{version}v", "v", None);
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
