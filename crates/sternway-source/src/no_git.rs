//! Stands in for `git.rs` in a build without the feature `git`: a repository is told from a folder
//! of releases, but cannot be read.

use std::path::Path;

use crate::{Layout, Reading, SourceError};

/// Whether a git repository with a work tree is at `path`, without looking upwards.
pub fn is_repository(path: &Path) -> bool {
    path.join(".git").exists()
}

/// Refuses: this build has no reader for it.
pub(crate) fn read(path: &Path, _: &Layout, _: Option<&Path>) -> Result<Reading, SourceError> {
    let source = "this build cannot read git repositories".into();
    Err(SourceError::Repository { path: path.into(), source })
}

/// The same, for repositories on other hosts.
pub(crate) mod remote {
    use crate::{Layout, Reading, Remote, SourceError};

    /// Refuses: this build has no reader for it.
    pub(crate) fn read(
        remote: &Remote,
        _: &Layout,
        _: Option<&std::path::Path>,
    ) -> Result<Reading, SourceError> {
        let source = "this build cannot read git repositories".into();
        Err(SourceError::Remote { place: remote.to_string(), source })
    }
}
