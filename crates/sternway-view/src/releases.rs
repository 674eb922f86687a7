//! The releases of an application.

use std::collections::BTreeMap;

use serde::Serialize;
use sternway_model::catalog::{
    Catalog, Digest, Enabled, Release, ReleaseEntry, Track, TrackName, once_in_a_row,
};
use sternway_model::position::Position;

use crate::words::{plural, table};

/// `sternway.releases/1`
#[derive(Debug, Serialize)]
pub struct Releases {
    format: &'static str,
    /// The application.
    pub app: String,
    /// The releases, oldest first.
    pub releases: Vec<ReleaseRow>,
    /// Those that cannot be read, and why.
    pub left_out: BTreeMap<Release, String>,
}

/// One release.
#[derive(Debug, Serialize)]
pub struct ReleaseRow {
    /// Its version.
    pub release: Release,
    /// Whether it is a prerelease.
    pub prerelease: bool,
    /// What the source calls it: a tag or a folder.
    pub label: String,
    /// Its commit, where the source is a git repository.
    pub commit: Option<String>,
    /// Where each track of the release ends.
    pub tracks: BTreeMap<TrackName, Position>,
    /// The oldest release with the same migrations; none where it has none.
    pub schema_of: Option<Release>,
}

impl Releases {
    /// The releases of a catalog, or only those that are no prereleases. `normal` has what bodies that do
    /// the same have in common.
    pub fn of(catalog: &Catalog, stable: bool, normal: impl Fn(Digest) -> Digest) -> Releases {
        // The oldest of these releases with each schema, by the migrations that make it.
        let mut schemas: BTreeMap<String, Release> = BTreeMap::new();
        let releases = catalog.releases.iter();
        let releases = releases.filter(|(release, _)| !(stable && release.is_prerelease()));
        let mut schema_of = once_in_a_row(|release: &Release, entry| {
            (!entry.is_empty()).then(|| {
                let oldest = schemas.entry(schema(catalog, entry, &normal));
                oldest.or_insert_with(|| release.clone()).clone()
            })
        });
        let rows = releases.map(|(release, entry)| ReleaseRow {
            release: release.clone(),
            prerelease: release.is_prerelease(),
            label: entry.label.clone(),
            commit: entry.commit.clone(),
            tracks: tracks(catalog)
                .map(|track| (track.name.clone(), entry.set(&track.name).last()))
                .collect(),
            schema_of: schema_of(release, entry),
        });
        let releases = rows.collect();
        let (app, left_out) = (catalog.app.clone(), catalog.left_out.clone());
        Releases { format: "sternway.releases/1", app, releases, left_out }
    }

    /// A line each, with the tracks in the order of `catalog`.
    pub fn text(&self, catalog: &Catalog) -> String {
        let mut lines = vec![vec!["RELEASE".to_owned()]];
        lines[0].extend(tracks(catalog).map(|track| track.name.0.to_uppercase()));
        lines[0].push("SCHEMA".to_owned());
        for row in &self.releases {
            let Some(schema) = &row.schema_of else { continue };
            let mut line = vec![row.release.to_string()];
            for track in tracks(catalog) {
                let last = row.tracks.get(&track.name).and_then(|it| it.number());
                line.push(last.map_or("-".to_owned(), |number| number.to_string()));
            }
            line.push(match *schema == row.release {
                true => "new".to_owned(),
                false => format!("as {schema}"),
            });
            lines.push(line);
        }
        let mut text = table(&lines);
        let without = self.releases.iter().filter(|row| row.schema_of.is_none()).count();
        if without > 0 {
            let paths = tracks(catalog).flat_map(|track| &track.paths);
            let paths: Vec<String> = paths.map(|it| format!("`{}`", it.path)).collect();
            let more = plural(without, "more release has", "more releases have");
            text.push_str(&format!("{more} no migrations in {}\n", paths.join(" or ")));
        }
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.keys().map(Release::to_string).collect();
            let number = plural(names.len(), "release is", "releases are");
            text.push_str(&format!("{number} left out: {}\n", names.join(", ")));
        }
        text
    }
}

fn tracks(catalog: &Catalog) -> impl Iterator<Item = &Track> {
    catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never)
}

/// What two releases with the same migrations have in common: what their up bodies do.
fn schema(catalog: &Catalog, entry: &ReleaseEntry, normal: &impl Fn(Digest) -> Digest) -> String {
    let mut key = String::new();
    for track in tracks(catalog) {
        for migration in entry.set(&track.name).iter() {
            let hash = migration.up.as_ref().map(|half| normal(half.hash).to_string());
            let (track, version) = (&track.name, migration.version);
            key.push_str(&format!("{track} {version} {}\n", hash.unwrap_or_default()));
        }
    }
    key
}
