//! Which migrations are the same where words do not tell: found out on shadow databases, by what they lead
//! to. The planner asks, [`resolve`] and [`planned`] answer.

use sternway_database::Database;
use sternway_model::catalog::{Direction, Half, TrackName};
use sternway_model::plan::{
    Lineage, Migrate, Plan, PlanError, Question, Request, doubts, lookalikes, plan, way_back,
};
use sternway_model::position::Position;
use sternway_model::proof::Fingerprint;

use crate::doctor::Signs;
use crate::gather::Gathered;
use crate::material::InstallMaterial;
use crate::shadow::{RehearsalError, Shadow, ShadowDatabase};
use crate::unanswered::Unanswered;
use crate::verify::fingerprint;

/// Finds out which migrations a database has, where its tracking rows may mean several, and which
/// releases have the same by other words. Nothing is asked where words tell.
///
/// # Errors
/// When the schema cannot be read. What no shadow database can tell is left open.
pub async fn resolve(
    gathered: &mut Gathered,
    shadow: &Shadow,
    database: &mut dyn Database,
) -> Result<(), Unanswered> {
    for question in doubts(&gathered.facts()) {
        let Question::Which { track, lineages } = &question else { continue };
        let tables = InstallMaterial::beside(&gathered.facts(), track, &lineages[0].set).tables;
        let found = fingerprint(database, &tables).await?;
        let which = which(gathered, shadow, track, lineages, &found).await;
        gathered.findings.has(track, which);
    }
    for question in lookalikes(&gathered.facts()) {
        answer(gathered, shadow, &question).await;
    }
    Ok(())
}

/// The plan, once everything was found out that decides whether there is one.
///
/// # Errors
/// As [`plan`].
pub async fn planned(
    gathered: &mut Gathered,
    request: &Request,
    shadow: &Shadow,
) -> Result<Plan, PlanError> {
    loop {
        let cause = match plan(&gathered.facts(), request) {
            Ok(mut plan) => match way_back(&gathered.facts(), request, &plan) {
                Ok(note) => {
                    plan.notes.extend(note);
                    return Ok(plan);
                }
                Err(cause) => cause,
            },
            Err(cause) => cause,
        };
        match cause.asks().filter(|question| gathered.findings.leaves_open(question)) {
            Some(question) => answer(gathered, shadow, question).await,
            None => return Err(cause),
        }
    }
}

/// Finds out whether two lineages lead to the same schema, and writes it down.
async fn answer(gathered: &mut Gathered, shadow: &Shadow, question: &Question) {
    let Question::Alike { track, one, other } = question else { return };
    let one_leads_to = leads_to(gathered, shadow, track, one).await;
    let other_leads_to = leads_to(gathered, shadow, track, other).await;
    let alike = match (one_leads_to, other_leads_to) {
        (Ok(one), Ok(other)) => Some(one.objects == other.objects),
        (Err(error), _) | (_, Err(error)) => {
            tracing::info!(
                "whether migrations of track `{track}` are the same is not known: {error}"
            );
            None
        }
    };
    gathered.findings.alike(one, other, alike);
}

/// The lineage that has the objects which tell them apart as they were found, the likeliest first; none
/// where no lineage has.
async fn which<'l>(
    gathered: &Gathered,
    shadow: &Shadow,
    track: &TrackName,
    lineages: &'l [Lineage],
    found: &Fingerprint,
) -> Option<&'l Lineage> {
    let mut installs = Vec::new();
    for lineage in lineages {
        match leads_to(gathered, shadow, track, lineage).await {
            Ok(install) => installs.push((lineage, install)),
            Err(error) => tracing::debug!("a lineage of track `{track}` does not run: {error}"),
        }
    }
    let signs = Signs::of(installs.iter().map(|(_, install)| install), found);
    let mut fitting = installs.iter().filter(|(_, install)| signs.fit(install));
    fitting.next().map(|(lineage, _)| *lineage)
}

/// The schema of a clean install of a lineage, beside the other tracks where they stand.
async fn leads_to(
    gathered: &Gathered,
    shadow: &Shadow,
    track: &TrackName,
    lineage: &Lineage,
) -> Result<Fingerprint, RehearsalError> {
    let install = InstallMaterial::beside(&gathered.facts(), track, &lineage.set);
    shadow.tidied(install_then(shadow, &install, track, lineage).await).await
}

async fn install_then(
    shadow: &Shadow,
    install: &InstallMaterial,
    track: &TrackName,
    lineage: &Lineage,
) -> Result<Fingerprint, RehearsalError> {
    let material = install.material();
    let mut database = ShadowDatabase::open(shadow, &material).await;
    database.install(&install.ends())?;
    if let (Some(down), Position::At(version)) = (&lineage.then, lineage.set.last()) {
        let table = material.tracks.iter().find(|(name, _)| name == track);
        let table = table.map_or("", |(_, table)| table.as_str());
        if let Some(last) = lineage.set.get(version) {
            let up = material.up(track, table, last)?;
            database.run(&undoing(&up, down)).await?;
        }
    }
    database.fingerprint().await
}

/// The step that takes a migration back by this half.
fn undoing(up: &Migrate, down: &Half) -> Migrate {
    Migrate {
        direction: Direction::Down,
        from: up.to,
        to: up.from,
        file: down.file.clone(),
        hash: down.hash,
        ..up.clone()
    }
}
