//! `sternway demo`: the main job, end to end, on the embedded PostgreSQL.
//!
//! The application is a harbour office of our own making, in `demo/`. Its releases are laid out as
//! folders, and from there on everything is what the other commands do.

#[cfg(feature = "embedded")]
use std::path::Path;
#[cfg(feature = "embedded")]
use std::time::Instant;

#[cfg(feature = "embedded")]
use include_dir::{Dir, include_dir};
#[cfg(feature = "embedded")]
use serde::Deserialize;
#[cfg(feature = "embedded")]
use sternway_database::embedded::{Place, connect};
#[cfg(feature = "embedded")]
use sternway_database::postgres::Postgres;
#[cfg(feature = "embedded")]
use sternway_model::plan::Course;
#[cfg(feature = "embedded")]
use sternway_view::releases::Releases;

#[cfg(feature = "embedded")]
use super::journey;
use crate::args::DemoArgs;
#[cfg(feature = "embedded")]
use crate::args::{ExecuteArgs, Shared, WayArgs};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
#[cfg(feature = "embedded")]
use crate::wiring::Setup;

#[cfg(not(feature = "embedded"))]
pub async fn demo(_ui: &Ui, _args: &DemoArgs) -> Result<Exit, Failure> {
    Err(Failure::new("this build has no embedded PostgreSQL to show the demo on", Exit::Usage))
}

#[cfg(feature = "embedded")]
static DEMO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/demo");

#[cfg(feature = "embedded")]
pub async fn demo(ui: &Ui, args: &DemoArgs) -> Result<Exit, Failure> {
    if ui.is_json() {
        let failure = Failure::new("the demo is a story for people", Exit::Usage);
        return Err(failure.hint("leave --output json out"));
    }
    let start = Instant::now();
    let folder =
        tempfile::tempdir().map_err(|error| Failure::of("cannot begin the demo", error))?;
    lay_out(folder.path()).map_err(|error| Failure::of("cannot lay out the demo", error))?;
    let settings = folder.path().join("sternway.toml");
    let running = |release: Option<&str>| Shared {
        config: Some(settings.clone()),
        from: release.map(str::to_owned),
        ..Shared::default()
    };
    let (nothing, old, new) = (running(None), running(Some("1.0.0")), running(Some("1.2.1")));
    let place = args.keep.clone().map_or(Place::Temporary, Place::Kept);
    if args.keep.as_ref().is_some_and(|folder| folder.exists()) {
        return Err(Failure::new("the folder to keep the demo in exists already", Exit::Usage));
    }
    let mut database =
        connect(&place, &["vector".to_owned()]).await.map_err(Failure::to_connect)?;

    let head = |text: &str| ui.say(format!("\n{}", ui.strong(&format!("== {text}"))));
    head("A harbour office, with ten releases over three minors and two tracks of migrations");
    let catalog = Setup::new(ui, &nothing)?.catalog()?;
    ui.say(Releases::of(&catalog, false, |hash| hash).text(&catalog).trim_end());

    head("Day 1: release 1.0.0 is installed on an empty PostgreSQL, and people work with it");
    go(ui, &nothing, &mut database, "1.0.0", Course::Upgrade).await?;
    load(&mut database, "data.sql").await?;
    ui.say(format!("now it holds {}", counts(&mut database).await?));

    head("Day 2: an upgrade to 1.2.1, two minors on, and people go on working");
    go(ui, &old, &mut database, "1.2.1", Course::Upgrade).await?;
    load(&mut database, "data_newest.sql").await?;
    let before = counts(&mut database).await?;
    ui.say(format!("now it holds {before}"));

    head("Night 3: 1.2.1 has to go. Back to 1.0.3, one minor at a time");
    go(ui, &new, &mut database, "1.0.3", Course::Rollback).await?;
    ui.say(format!("before: {before}"));
    ui.say(format!("now:    {}", counts(&mut database).await?));
    ui.say("Every row of the tables that 1.0.3 knows is there, those written on day 2 too. What its newer");
    ui.say("tables and columns held is in the archive, and comes back with the next upgrade.");

    head("Day 4: 1.2.1 is mended and comes again, and finds what it had");
    let mended = running(Some("1.0.3"));
    go(ui, &mended, &mut database, "1.2.1", Course::Upgrade).await?;
    let after = counts(&mut database).await?;
    let verdict = match after == before {
        true => "every row that the rollback had taken away was put back by the upgrade",
        false => "not every row is back; `sternway archive list` says why",
    };
    ui.say(format!("before: {before}\nnow:    {after}\n{}", ui.good(verdict)));

    head("What happened, from the database's own journal");
    for run in history(&mut database).await? {
        ui.say(run);
    }
    if let Some(folder) = &args.keep {
        ui.say(format!(
            "\nthe database is kept: psql cannot open it, `--database embedded:{}` can",
            folder.display()
        ));
    }
    let seconds = start.elapsed().as_secs_f64();
    ui.say(format!("\n{} in {seconds:.1} s, nothing was installed", ui.good("done")));
    Ok(Exit::Done)
}

/// Plans, shows, executes and proves one journey.
#[cfg(feature = "embedded")]
async fn go(
    ui: &Ui,
    shared: &Shared,
    database: &mut Postgres,
    to: &str,
    course: Course,
) -> Result<(), Failure> {
    let setup = Setup::new(ui, shared)?;
    let from = shared.from.as_ref().map_or(String::new(), |from| format!(" --from {from}"));
    ui.say(format!("$ sternway {course}{from} --to {to}"));
    let args = ExecuteArgs { yes: true, ..ExecuteArgs::default() };
    journey::go(&setup, database, to, course, WayArgs::default(), &args).await.map(drop)
}

#[cfg(feature = "embedded")]
async fn load(database: &mut Postgres, name: &str) -> Result<(), Failure> {
    let sql = DEMO.get_file(name).and_then(|file| file.contents_utf8()).unwrap_or_default();
    let loaded = database.execute(sql).await;
    loaded.map_err(|cause| Failure::to_ask(&format!("cannot load {name}"), cause))
}

/// How many rows there are in the tables that matter to the story.
#[cfg(feature = "embedded")]
async fn counts(database: &mut Postgres) -> Result<String, Failure> {
    let ask = |cause| Failure::to_ask("cannot count rows", cause);
    let tables = database.rows_per_table().await.map_err(ask)?;
    let counts = tables.iter().filter(|(name, _)| !name.ends_with("migrations"));
    let counts: Vec<String> = counts.map(|(name, rows)| format!("{name} {rows}")).collect();
    Ok(counts.join(", "))
}

#[cfg(feature = "embedded")]
async fn history(database: &mut Postgres) -> Result<Vec<String>, Failure> {
    use sternway_database::port::prelude::*;
    let runs = database.history("harbour").await;
    let runs = runs.map_err(|cause| Failure::to_ask("cannot read the history", cause))?;
    let line = |run: &sternway_database::RunSummary| {
        let from = run.from.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        let (id, course, target, steps) = (run.id, run.course, &run.target, run.steps);
        format!("run {id}: {course} {from} -> {target}, {steps} steps, {}", run.progress)
    };
    Ok(runs.iter().rev().map(line).collect())
}

/// Writes the releases as folders, and the settings beside them.
#[cfg(feature = "embedded")]
fn lay_out(folder: &Path) -> std::io::Result<()> {
    #[derive(Deserialize)]
    struct History {
        release: Vec<Release>,
    }
    #[derive(Deserialize)]
    struct Release {
        version: String,
        core: u64,
        search: u64,
    }
    let text = DEMO.get_file("releases.toml").and_then(|file| file.contents_utf8());
    let history: History =
        toml::from_str(text.unwrap_or_default()).map_err(std::io::Error::other)?;
    for release in history.release {
        for (track, newest) in [("core", release.core), ("search", release.search)] {
            let path = format!("migrations/{track}");
            let target = folder.join("releases").join(&release.version).join(&path);
            let files = DEMO.get_dir(&path).into_iter().flat_map(Dir::files);
            for file in files {
                let name = file.path().file_name().unwrap_or_default();
                let number = name.to_string_lossy();
                let number = number.split('_').next().and_then(|number| number.parse::<u64>().ok());
                if number.is_some_and(|number| number <= newest) {
                    std::fs::create_dir_all(&target)?;
                    std::fs::write(target.join(name), file.contents())?;
                }
            }
        }
    }
    let settings = DEMO.get_file("sternway.toml").map(|file| file.contents()).unwrap_or_default();
    std::fs::write(folder.join("sternway.toml"), settings)
}
