//! Why there is no plan, and which ways there are.

use sternway_engine::gather::Gathered;
use sternway_model::catalog::{Catalog, Digest, Direction, Release};
use sternway_model::plan::{Course, Holder, PlanError};
use sternway_model::position::Position;

use super::{Exit, Failure};

impl Failure {
    /// There is no plan.
    pub fn to_plan(target: &Release, known: &Gathered, cause: PlanError) -> Failure {
        let catalog = &known.catalog;
        // No `_` arm: a new reason to refuse has to choose its hint and its exit code here.
        let (hint, exit) = match &cause {
            PlanError::UnknownRelease(release) => {
                (nearest(&release.to_string(), catalog), Exit::Usage)
            }
            PlanError::LeftOut { .. } => (
                "mend that release in the source, or choose another; a fresh clone, or `git fetch --unshallow --tags`, brings what a clone lacks".to_owned(),
                Exit::Refused,
            ),
            PlanError::NoMigrations(_) => (no_migrations(catalog), Exit::Refused),
            PlanError::BelowFloor { .. } => {
                ("restore a snapshot that was taken with that release".to_owned(), Exit::Refused)
            }
            PlanError::Dirty { .. } => {
                ("`sternway status` finds out what the schema really has, and shows how to repair it".to_owned(), Exit::Dirty)
            }
            PlanError::UnknownVersion { .. } => {
                let left_out: Vec<String> =
                    catalog.left_out.keys().map(Release::to_string).collect();
                let left_out = match left_out.is_empty() {
                    true => String::new(),
                    false => format!(". It may be of a release that is left out: {}", left_out.join(", ")),
                };
                let text = "the source may be older than the database: fetch its tags. If another build made this schema, name that build's source with --source";
                (format!("{text}{left_out}"), Exit::Refused)
            }
            PlanError::Diverged { .. } => {
                ("name the release whose files made this database with --from".to_owned(), Exit::Refused)
            }
            PlanError::Contents { shared, holders, asks, direction, compared, .. } => {
                let way = match (asks, direction) {
                    (Some(_), Direction::Up) => redo(target, *shared, *compared),
                    _ => "--from RELEASE says whose files made this database".to_owned(),
                };
                let text = format!("a published migration was changed; {way}{}", differing(holders, known));
                (text, Exit::Refused)
            }
            PlanError::Forked { shared, by, compared, .. } => {
                let way = redo(target, *shared, *compared);
                let by = by.as_ref().map_or(String::new(), |by| {
                    format!(". `sternway upgrade --to {by}` may lead to where {target} goes on")
                });
                let text = "golang-migrate keeps one number per track, which cannot say this";
                (format!("{text}; {way}{by}"), Exit::Refused)
            }
            PlanError::Hazard { name, .. } => (
                format!("no schema shows this, so nothing here can check it; --accept-hazard {name} goes on all the same"),
                Exit::Refused,
            ),
            PlanError::NoWayBack { .. } => (
                "require_way_back in [policy] asks for one; --no-way-back goes on without, and a dump or snapshot is then all that leads back".to_owned(),
                Exit::Refused,
            ),
            PlanError::MissingBody { .. } => {
                ("without that file the step cannot be made; write it, and name its release with --from".to_owned(), Exit::Refused)
            }
            PlanError::UnreadableBody { .. } => {
                ("the clone may be partial, or the file not be UTF-8".to_owned(), Exit::Refused)
            }
            PlanError::Obstacle { .. } => {
                ("run that migration by hand, set the tracking row, then plan again".to_owned(), Exit::Refused)
            }
            PlanError::WrongWay { course: Course::Rollback, .. } => {
                (format!("`sternway upgrade --to {target}`"), Exit::Refused)
            }
            PlanError::WrongWay { course: Course::Upgrade, .. } | PlanError::AheadOfTarget { .. } => {
                (format!("`sternway rollback --to {target}` takes the schema back as well"), Exit::Refused)
            }
            PlanError::NotThisApp { found, .. } if found.is_empty() => (
                format!("check the database's URL and its search path; where nothing is installed yet, `sternway upgrade --to {target}` does that"),
                Exit::Refused,
            ),
            PlanError::NotThisApp { .. } => {
                ("check the database's URL, its search path, and `table` of each track".to_owned(), Exit::Refused)
            }
            PlanError::Untracked { .. } => (
                "check the database's URL and its search path. If it is right, --adopt installs beside the tables that are there".to_owned(),
                Exit::Refused,
            ),
            PlanError::ExtensionMissing { extension, track } => (
                format!("install {extension} on the server, or leave the track out with --disable {track}"),
                Exit::Refused,
            ),
            PlanError::RunningUnknown => {
                ("--from RELEASE says it; --no-deploy leaves the application alone".to_owned(), Exit::Usage)
            }
            PlanError::NoTracks => ("--enable TRACK switches one on".to_owned(), Exit::Usage),
        };
        Self::with(&format!("cannot plan the way to release {target}"), cause, &hint, exit)
    }
}

/// What is said of a release without migrations.
fn no_migrations(catalog: &Catalog) -> String {
    let paths = catalog.tracks.iter().flat_map(|track| &track.paths);
    let paths: Vec<String> = paths.map(|it| format!("`{}`", it.path)).collect();
    format!(
        "it has no folder {}. If they lay elsewhere then, `path` of the track takes a list of folders, of which the first that a release has counts: path = [\"NEW\", \"OLD\"]. If it is from before the application had migrations, a snapshot of its database is the only way back",
        paths.join(" or ")
    )
}

/// The way where the database and the target go apart.
fn redo(target: &Release, shared: Position, compared: Option<bool>) -> String {
    let back = match shared {
        Position::At(shared) => format!("{shared}, the last that both have,"),
        Position::Nothing => "nothing".to_owned(),
    };
    let unknown = match compared {
        Some(_) => "",
        None => {
            ". Whether the two lead to the same schema could not be found out: --rehearsal names a server on which it can"
        }
    };
    format!(
        "with --redo the way to {target} goes back to {back} and up again with the migrations of {target}: what that takes away is kept, and put back as far as it fits{unknown}"
    )
}

/// The first line in which the contents differ, as each holder has it.
fn differing(holders: &[(Holder, Digest)], known: &Gathered) -> String {
    let bodies =
        |hash: &Digest| known.catalog.bodies.get(hash).or(known.state.records.bodies.get(hash));
    let texts: Vec<(&Holder, Vec<&str>)> = holders
        .iter()
        .filter_map(|(holder, hash)| Some((holder, bodies(hash)?.lines().collect())))
        .collect();
    let longest = texts.iter().map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let differs = |line: &usize| {
        let mut lines = texts.iter().map(|(_, lines)| lines.get(*line));
        lines.next().is_some_and(|first| lines.any(|other| other != first))
    };
    let Some(line) = (0..longest).find(differs) else { return String::new() };
    let mut shown = format!(".\nThe first difference is in line {}:", line + 1);
    for (holder, lines) in &texts {
        let text = lines.get(line).map_or("(the end)", |text| text.trim());
        shown.push_str(&format!("\n  {holder}: {text}"));
    }
    shown
}

/// The releases that a mistyped one may have meant.
pub fn nearest(text: &str, catalog: &Catalog) -> String {
    let bare = text.trim().trim_start_matches(['v', 'V']);
    let mut near: Vec<(usize, bool, &Release)> = catalog
        .releases
        .iter()
        .filter(|(_, entry)| !entry.is_empty())
        .map(|(release, _)| {
            let name = release.to_string();
            let begins = name.starts_with(&format!("{bare}."));
            let distance = if begins { 0 } else { strsim::damerau_levenshtein(&name, bare) };
            (distance, release.is_prerelease(), release)
        })
        .collect();
    near.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.cmp(a.2)));
    let near: Vec<String> =
        near.iter().take(3).map(|(_, _, release)| release.to_string()).collect();
    match near.as_slice() {
        [] => "`sternway releases` lists them all".to_owned(),
        some => format!("did you mean {}? `sternway releases` lists them all", some.join(" or ")),
    }
}
