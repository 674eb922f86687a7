//! One file a command: its arguments' doc comments are the help text, its body the data flow.

pub mod demo;
pub mod releases;
pub mod bundle;
pub mod status;
pub mod can_run;
pub mod doctor;
pub mod plan;
pub mod runbook;
pub mod apply;
pub mod journey;
pub mod job;
pub mod resume;
pub mod abort;
pub mod history;
pub mod archive;
pub mod snapshot;

use std::io::Write;
use std::path::Path;

/// Writes a file beside its place first: half of it is never found there.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
