//! Encryption by the program `age`: what goes into a store can be read only by whoever has an identity. Keys are in
//! files or are public; none is on a command line.

use std::process::Stdio;

use crate::Settings;
use crate::error::SnapshotError;
use crate::manifest::Manifest;
use crate::stream::Running;

/// What snapshots are encrypted with, as manifests call it.
pub(crate) const AGE: &str = "age";

/// What encrypts all that it reads, where somebody is named for whom.
pub(crate) fn seal(settings: &Settings, from: Stdio) -> Result<Running, SnapshotError> {
    let mut command = settings.programs.command(AGE.as_ref());
    command.arg("--encrypt");
    for recipient in &settings.recipients {
        // A recipient is a key, or a file of them.
        let is_file = std::path::Path::new(recipient).is_file();
        command.arg(if is_file { "--recipients-file" } else { "--recipient" }).arg(recipient);
    }
    Running::start(AGE, command, from)
}

/// What decrypts all that it reads.
pub(crate) fn unseal(
    settings: &Settings,
    of: &Manifest,
    from: Stdio,
) -> Result<Running, SnapshotError> {
    let Some(identity) = &settings.identity else {
        return Err(SnapshotError::NoIdentity(of.id.clone()));
    };
    let mut command = settings.programs.command(AGE.as_ref());
    command.arg("--decrypt").arg("--identity").arg(identity);
    Running::start(AGE, command, from)
}
