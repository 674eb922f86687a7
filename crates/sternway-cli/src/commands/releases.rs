//! `sternway releases`

use std::collections::BTreeMap;

use sternway_model::catalog::{Catalog, Enabled, Release, ReleaseEntry, Track};

use crate::args::{ReleasesArgs, Shared};
use crate::failure::{Exit, Failure};
use crate::output::{ReleaseRow, Releases};
use crate::ui::{Ui, table};
use crate::wiring::Setup;

pub async fn releases(ui: &Ui, shared: &Shared, args: &ReleasesArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?;
    let catalog = match (&setup.config.source, &setup.config.database) {
        (Some(_), _) => setup.catalog()?,
        // Neither is named. A source is what this command is about, unless it may not be read.
        (None, Err(_)) if !shared.offline => setup.catalog()?,
        (None, _) => setup.know(&mut *setup.connect().await?).await?.catalog,
    };
    let rows = rows(&catalog, args.stable);
    ui.say(text(&catalog, &rows));
    ui.json(&Releases { format: "sternway.releases/1", app: catalog.app, releases: rows });
    Ok(Exit::Done)
}

/// The whole catalog as a table.
#[cfg(feature = "embedded")] // Only the demo shows it.
pub fn text_of(catalog: &Catalog) -> String {
    text(catalog, &rows(catalog, false))
}

fn rows(catalog: &Catalog, stable: bool) -> Vec<ReleaseRow> {
    // The oldest of these releases with each schema, by the migrations that make it.
    let mut schemas: BTreeMap<String, Release> = BTreeMap::new();
    let releases = catalog.releases.iter();
    let releases = releases.filter(|(release, _)| !(stable && release.is_prerelease()));
    releases
        .map(|(release, entry)| {
            let schema = (!entry.is_empty()).then(|| {
                schemas.entry(schema(catalog, entry)).or_insert_with(|| release.clone()).clone()
            });
            ReleaseRow {
                release: release.clone(),
                prerelease: release.is_prerelease(),
                label: entry.label.clone(),
                commit: entry.commit.clone(),
                tracks: tracks(catalog)
                    .map(|track| (track.name.clone(), entry.set(&track.name).last()))
                    .collect(),
                schema_of: schema,
            }
        })
        .collect()
}

fn tracks(catalog: &Catalog) -> impl Iterator<Item = &Track> {
    catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never)
}

/// What two releases with the same schema have in common: the hashes of their up bodies.
fn schema(catalog: &Catalog, entry: &ReleaseEntry) -> String {
    let mut key = String::new();
    for track in tracks(catalog) {
        for migration in entry.set(&track.name).iter() {
            let hash = migration.up.as_ref().map(|half| half.hash.to_string());
            key.push_str(&format!(
                "{} {} {}\n",
                track.name,
                migration.version,
                hash.unwrap_or_default()
            ));
        }
    }
    key
}

fn text(catalog: &Catalog, rows: &[ReleaseRow]) -> String {
    let mut lines = vec![vec!["RELEASE".to_owned()]];
    lines[0].extend(tracks(catalog).map(|track| track.name.0.to_uppercase()));
    lines[0].push("SCHEMA".to_owned());
    let without = rows.iter().filter(|row| row.schema_of.is_none()).count();
    for row in rows.iter().filter(|row| row.schema_of.is_some()) {
        let mut line = vec![row.release.to_string()];
        for track in tracks(catalog) {
            let version = row.tracks.get(&track.name).copied().flatten();
            line.push(version.map_or("-".to_owned(), |version| version.to_string()));
        }
        line.push(match &row.schema_of {
            Some(schema) if *schema == row.release => "new".to_owned(),
            Some(schema) => format!("as {schema}"),
            None => String::new(),
        });
        lines.push(line);
    }
    let mut text = table(&lines);
    if without > 0 {
        text.push_str(&format!("{without} more releases have no migrations\n"));
    }
    text.trim_end().to_owned()
}
