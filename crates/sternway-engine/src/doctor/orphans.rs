//! Sessions that a migrator left behind: what they have not committed may yet be done or taken back.

use std::time::{Duration, Instant};

use sternway_database::{Database, Orphan};
use sternway_model::plan::Facts;

use super::rows;
use crate::material::InstallMaterial;
use crate::unanswered::Unanswered;

/// How long to wait before looking for them again.
const PAUSE: Duration = Duration::from_millis(200);

/// How it was waited for sessions that a migrator left behind.
#[derive(Debug)]
pub struct Waited {
    /// Whether there were any, so that what they did is part of what there is now.
    pub met: bool,
    /// Those that are still there.
    pub left: Vec<Orphan>,
}

/// Waits for as long as `lock_timeout` for the sessions to go that a migrator of this application left
/// behind, or ends them where `end` says so. `report` is told of those that were there at first.
///
/// # Errors
/// When the database does not answer.
pub async fn wait_for_orphans(
    facts: &Facts<'_>,
    database: &mut dyn Database,
    lock_timeout: Duration,
    end: bool,
    report: &mut (dyn FnMut(&[Orphan]) + Send),
) -> Result<Waited, Unanswered> {
    let install = InstallMaterial::newest(facts, &rows(facts));
    let bodies: Vec<&str> = install.bodies.values().map(String::as_str).collect();
    let start = Instant::now();
    let mut met = false;
    loop {
        let found = database.orphans(&install.tables, &bodies).await;
        let found =
            found.map_err(Unanswered::to("look for sessions that a migrator left behind"))?;
        if found.is_empty() || start.elapsed() >= lock_timeout {
            return Ok(Waited { met, left: found });
        }
        if !met {
            report(&found);
        }
        met = true;
        if end {
            let ended = database.end_found_orphans(&found).await;
            ended.map_err(Unanswered::to("end such a session"))?;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
