//! A journey as a page of manual steps, for somebody without Sternway: a shell, the database's own client,
//! golang-migrate, and kubectl and Helm or the application's own commands. Every number is filled in.
//!
//! What is here says what the steps are; `shell.rs` says how each is typed, and `page.rs` how it looks.

mod page;
mod shell;

use std::collections::BTreeMap;

use serde::Serialize;
use sternway_model::catalog::{Catalog, Direction, Enabled, Release, ReleaseEntry, TrackName};
use sternway_model::check::{Check, Severity, When};
use sternway_model::plan::{BodyOrigin, Course, Migrate, Note, Plan, Step};
use sternway_model::position::Position;

pub use shell::Client;
use shell::{File, quoted};

/// What a page is made for, beside the plan.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The releases, for the names of tags and the paths of tracks.
    pub catalog: &'a Catalog,
    /// Where the files of migrations come from.
    pub files: Files,
    /// Which client the database has.
    pub client: Client,
    /// How the application is moved.
    pub moves: Moves,
}

/// Where the files of migrations come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// A git repository that can be cloned: its URL, without user and password.
    Repository(String),
    /// A folder with one folder for each release.
    Folder(String),
    /// The page itself: they are written into it.
    Page,
}

/// How the application is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moves {
    /// It is not.
    Nothing,
    /// By commands, with their placeholders.
    Commands {
        /// Stops it.
        stop: String,
        /// Puts another release in place.
        swap: String,
        /// Starts it.
        start: String,
        /// Succeeds once it is ready.
        ready: Option<String>,
    },
    /// On a cluster.
    Cluster(Cluster),
}

/// An application on a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The kubeconfig's context, where it is named.
    pub context: Option<String>,
    /// The namespace, where it is named.
    pub namespace: Option<String>,
    /// The workloads, as `deployment/controller`, in the order in which they stop.
    pub stop: Vec<String>,
    /// The charts, in the order of an upgrade.
    pub charts: Vec<Chart>,
    /// The image to set, and its container.
    pub image: Option<(String, String)>,
    /// The command that swaps.
    pub command: Option<String>,
}

/// A chart of a Helm release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// The release's name.
    pub release: String,
    /// Where its chart comes from.
    pub chart: String,
    /// Its version.
    pub version: String,
    /// The URL of a classic repository.
    pub repository: Option<String>,
}

/// `sternway.runbook/1`
#[derive(Debug, Serialize)]
pub struct Runbook {
    format: &'static str,
    /// The application.
    pub app: String,
    /// Which way it goes.
    pub course: Course,
    /// The release that runs.
    pub from: Option<Release>,
    /// The release to arrive at.
    pub to: Release,
    /// The programs that it takes.
    pub needs: Vec<String>,
    /// What is lost on this way, where nothing is kept.
    pub loses: Vec<String>,
    /// What the reader should know before.
    pub notes: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Act>,
    /// The other way: back to a dump that was taken before; none on the way up.
    pub by_dump: Vec<Act>,
}

/// One thing to do.
#[derive(Debug, Serialize)]
pub struct Act {
    /// What it is.
    pub title: String,
    /// Why it is done so.
    pub why: Vec<String>,
    /// The commands.
    pub run: String,
    /// Commands that succeed where it is done; empty where the commands themselves tell.
    pub check: String,
}

impl Act {
    fn new(title: impl Into<String>, run: impl Into<String>) -> Act {
        Act { title: title.into(), why: Vec::new(), run: run.into(), check: String::new() }
    }

    fn why(mut self, why: impl Into<String>) -> Act {
        self.why.push(why.into());
        self
    }

    fn check(mut self, check: impl Into<String>) -> Act {
        self.check = check.into();
        self
    }
}

impl Runbook {
    /// The page for a plan.
    pub fn of(plan: &Plan, ground: &Ground<'_>) -> Runbook {
        let maker = Maker { plan, ground };
        let losses: Vec<String> = plan.losses().map(ToString::to_string).collect();
        let by_words = plan.steps().flat_map(|step| {
            let destroys = step.destroys.iter();
            destroys.map(move |it| format!("{} ({})", it.what, step.file))
        });
        let loses = match plan.steps().any(|it| it.effects.is_some()) {
            true => losses,
            false => by_words.collect(),
        };
        Runbook {
            format: "sternway.runbook/1",
            app: plan.app.clone(),
            course: plan.course,
            from: plan.running.clone().or_else(|| plan.schema_of.clone()),
            to: plan.target.clone(),
            needs: maker.needs(),
            loses,
            notes: plan.notes.iter().map(ToString::to_string).collect(),
            steps: maker.steps(),
            by_dump: if plan.course == Course::Rollback { maker.by_dump() } else { Vec::new() },
        }
    }
}

/// What makes the steps of a page.
struct Maker<'a> {
    plan: &'a Plan,
    ground: &'a Ground<'a>,
}

/// Migrations of one track that follow each other, in one direction and from the files of one release.
struct Leg<'a> {
    steps: Vec<&'a Migrate>,
    files: Option<&'a Release>,
}

impl<'a> Leg<'a> {
    fn first(&self) -> &'a Migrate {
        self.steps[0]
    }

    fn to(&self) -> Position {
        self.steps[self.steps.len() - 1].to
    }

    /// What is run behind it, where each row has a value then.
    fn closing(&self) -> impl Iterator<Item = &'a String> {
        self.steps.iter().flat_map(|it| &it.closed_by)
    }

    fn goes_on_with(&self, step: &Migrate, files: Option<&Release>) -> bool {
        let first = self.first();
        let closes = self.closing().next().is_some();
        first.track == step.track
            && first.direction == step.direction
            && self.files == files
            && !closes
    }
}

impl<'a> Maker<'a> {
    fn needs(&self) -> Vec<String> {
        let client = self.ground.client;
        let mut needs = vec![client.programs().to_owned()];
        if self.plan.steps().next().is_some() {
            needs.push(format!("golang-migrate 4.19 with the driver for {}: `go install -tags '{}' github.com/golang-migrate/migrate/v4/cmd/migrate@v4.19.1`", client.name(), client.tag()));
            if let Files::Repository(_) = self.ground.files {
                needs.push("git".to_owned());
            }
        }
        if self.plan.deploys()
            && let Moves::Cluster(cluster) = &self.ground.moves
        {
            needs.push("kubectl".to_owned());
            if !cluster.charts.is_empty() {
                needs.push("helm, 3.8 or later".to_owned());
            }
        }
        needs
    }

    fn steps(&self) -> Vec<Act> {
        let client = self.ground.client;
        let mut acts =
            vec![Act::new("Say where the database is", client.variables()).why(client.secrets())];
        acts.extend(self.files());
        acts.extend(self.stands());
        if !self.plan.is_app_only() {
            acts.push(
                Act::new("Take a dump", client.dump("before.dump"))
                    .why("Down files destroy what they drop, and nothing keeps it: this is the only way to get it back.")
                    .check("[ -s before.dump ]"),
            );
        }
        for hop in &self.plan.hops {
            let mut leg: Option<Leg<'a>> = None;
            for step in &hop.steps {
                if let Step::Migrate(step) = step {
                    let files = self.origin(step);
                    match &mut leg {
                        Some(leg) if leg.goes_on_with(step, files) => leg.steps.push(step),
                        _ => {
                            acts.extend(
                                leg.take().into_iter().flat_map(|leg| self.migrate(&hop.to, &leg)),
                            );
                            leg = Some(Leg { steps: vec![step], files });
                        }
                    }
                    continue;
                }
                acts.extend(leg.take().into_iter().flat_map(|leg| self.migrate(&hop.to, &leg)));
                acts.extend(self.other(step));
            }
            acts.extend(leg.take().into_iter().flat_map(|leg| self.migrate(&hop.to, &leg)));
        }
        acts.extend(self.arrived());
        acts
    }

    /// The release whose files a step's body comes from, best the one that runs; none where the page has them.
    fn origin(&self, step: &'a Migrate) -> Option<&'a Release> {
        if self.ground.files == Files::Page {
            return None;
        }
        if let BodyOrigin::Release(release) = &step.origin {
            return Some(release);
        }
        let half = self.plan.migration_of(step)?.half(step.direction)?;
        let has = |(release, entry): (&'a Release, &ReleaseEntry)| {
            let set = entry.tracks.get(&step.track)?;
            let mut halves = set.iter().filter_map(|it| it.half(step.direction));
            halves.any(|it| it == half).then_some(release)
        };
        let releases = &self.ground.catalog.releases;
        let running = self.plan.running.as_ref().and_then(|it| releases.get_key_value(it));
        running.and_then(has).or_else(|| releases.iter().rev().find_map(has))
    }

    /// Where the files of a track are, in the words of the shell.
    fn folder(&self, track: &TrackName, release: Option<&Release>) -> String {
        let Some(release) = release else { return quoted(&format!("migrations/{track}")) };
        let label = self.label(release);
        let root = match &self.ground.files {
            Files::Folder(folder) => format!("{folder}/{label}"),
            _ => format!("source-{}", label.replace('/', "-")),
        };
        let track = self.ground.catalog.track(track);
        let paths: Vec<&str> = track.into_iter().flat_map(|it| it.paths_in(release)).collect();
        let whole = |path: &&str| quoted(&format!("{root}/{path}"));
        match &*paths {
            [path] => whole(path),
            paths => {
                let all: Vec<String> = paths.iter().map(whole).collect();
                format!("\"$(ls -d {} 2>/dev/null | head -n 1)\"", all.join(" "))
            }
        }
    }

    fn label(&self, release: &Release) -> String {
        let entry = self.ground.catalog.releases.get(release);
        entry.map_or_else(|| format!("v{release}"), |it| it.label.clone())
    }

    /// Brings the files of migrations.
    fn files(&self) -> Option<Act> {
        let mut releases: Vec<&Release> =
            self.plan.steps().filter_map(|it| self.origin(it)).collect();
        releases.sort();
        releases.dedup();
        let mut run = Vec::new();
        if let Files::Repository(url) = &self.ground.files {
            for release in &releases {
                let label = self.label(release);
                let folder = quoted(&format!("source-{}", label.replace('/', "-")));
                run.push(format!(
                    "[ -d {folder} ] || git -c advice.detachedHead=false clone --quiet --depth 1 --branch {} {} {folder}",
                    quoted(&label),
                    quoted(url)
                ));
            }
        }
        let mut fitted = false;
        for step in self.plan.steps() {
            let origin = self.origin(step);
            if origin.is_none() {
                run.extend(self.written_files(&step.track));
            } else if step.is_fitted() || step.is_there {
                fitted = true;
                let folder = self.folder(&step.track, origin);
                let body = self.plan.body(step).unwrap_or_default();
                run.push(File { folder: &folder, name: &step.file, body }.written());
            }
        }
        run.dedup();
        if run.is_empty() {
            return None;
        }
        let newer = match self.plan.course {
            Course::Rollback => {
                "Down files are those of the newer release: the older one does not have them."
            }
            Course::Upgrade => "The files are those of the release to arrive at.",
        };
        let mut act = Act::new("Get the files of the migrations", run.join("\n")).why(newer);
        if fitted {
            act = act.why("A file that does not fit the schema is written anew here: as it is, it would fail, or leave something out that the target needs.");
        }
        Some(act)
    }

    /// The whole history of a track, as far as the plan has its bodies.
    fn written_files(&self, track: &TrackName) -> Vec<String> {
        let folder = quoted(&format!("migrations/{track}"));
        let migrations =
            self.plan.before.get(track).into_iter().chain(self.plan.migrations.get(track));
        let halves =
            migrations.flatten().flat_map(|it| [it.up.as_ref(), it.down.as_ref()]).flatten();
        let mut bodies: BTreeMap<&str, &str> = halves
            .filter_map(|half| Some((&*half.file, &**self.plan.bodies.get(&half.hash)?)))
            .collect();
        for step in self.plan.steps().filter(|it| it.track == *track) {
            bodies.insert(&step.file, self.plan.body(step).unwrap_or_default());
        }
        let file = |(name, body): (&&str, &&str)| File { folder: &folder, name, body }.written();
        let made = format!("mkdir -p {folder}");
        [made].into_iter().chain(bodies.iter().map(file)).collect()
    }

    /// Whether a step moves the track.
    fn moves(&self, track: &TrackName) -> bool {
        self.plan.steps().any(|it| it.track == *track)
    }

    /// The tracks whose rows are looked at: those that are there for certain, or move.
    fn tracks(&self) -> impl Iterator<Item = &(TrackName, String)> {
        let assumed = self.plan.notes.contains(&Note::AssumedState);
        let is_sure = move |track: &TrackName| {
            let track = self.ground.catalog.track(track);
            !assumed || track.is_none_or(|it| it.enabled == Enabled::Always)
        };
        self.plan.tracks.iter().filter(move |(track, _)| self.moves(track) || is_sure(track))
    }

    /// Whether the tracks stand where the page takes them to stand.
    fn stands(&self) -> Option<Act> {
        let mut lines = Vec::new();
        for (track, table) in self.tracks() {
            let state = self.plan.basis.tracks.get(track)?;
            let row = self.ground.client.row(table);
            lines.push(format!(
                "[ \"{row}\" = {} ]",
                quoted(&self.ground.client.stands(state.row().position))
            ));
        }
        let why = "These numbers are what the page was made for. Where one of them is another, stop here: the rest does not fit.";
        Some(Act::new("Look where the tracks stand", "").why(why).check(lines.join("\n")))
    }

    fn migrate(&self, to: &Release, leg: &Leg<'a>) -> Vec<Act> {
        let first = leg.first();
        let folder = self.folder(&first.track, leg.files);
        let command = match (leg.to(), first.direction) {
            (Position::At(number), _) => format!("goto {number}"),
            (Position::Nothing, _) => format!("down {}", leg.steps.len()),
        };
        let client = self.ground.client;
        let run =
            format!("migrate -path {folder} -database \"{}\" {command}", client.url(&first.table));
        let files: Vec<&str> = leg.steps.iter().map(|it| it.file.as_str()).collect();
        let way = if first.direction == Direction::Down { "back" } else { "up" };
        let newest = match leg.to() {
            Position::At(number) => {
                let migrations = self.plan.migrations.get(&first.track).into_iter().flatten();
                let its =
                    migrations.filter(|it| it.version == number).find_map(|it| it.up.as_ref());
                let its = its.map_or_else(|| number.to_string(), |half| half.file.clone());
                format!(
                    "{number}, because the newest file that {} has of it is {its}",
                    self.plan.target
                )
            }
            Position::Nothing => format!("nothing, because {} has no file of it", self.plan.target),
        };
        let newest = if *to == self.plan.target {
            newest
        } else {
            format!("{}, which the way by {to} needs", leg.to())
        };
        let check =
            format!("[ \"{}\" = {} ]", client.row(&first.table), quoted(&client.stands(leg.to())));
        let mut act = Act::new(format!("Take track {} {way}, to {}", first.track, leg.to()), run)
            .why(format!("It runs {}.", files.join(", ")))
            .why(format!(
                "Track {} (its tracking table is {}) goes to {newest}.",
                first.track, first.table
            ))
            .check(check);
        let losses =
            leg.steps.iter().filter_map(|it| it.effects.as_ref()).flat_map(|it| &it.losses);
        let losses: Vec<String> = losses.map(ToString::to_string).collect();
        if !losses.is_empty() {
            act = act.why(format!("This loses {}.", losses.join("; ")));
        }
        let closing: Vec<&str> = leg.closing().map(String::as_str).collect();
        let mut acts = vec![act];
        if !closing.is_empty() {
            let run = client.script(&format!("{};", closing.join(";\n")));
            let title = format!("Let track {} need its values again", first.track);
            acts.push(Act::new(title, run).why(
                "The target asks for a value in each row here. Sternway has those that it kept in its archive; by hand, fill them in first.",
            ));
        }
        acts
    }

    /// What is done around the migrations.
    fn other(&self, step: &Step) -> Vec<Act> {
        let client = self.ground.client;
        match step {
            Step::Migrate(_) | Step::Prove | Step::Unfence => Vec::new(),
            Step::Fence(_) => vec![Act::new("See to it that nobody else writes", "").why(
                "The plan keeps other clients of the database out; by hand, nothing does. Stop them, or lock their accounts.",
            )],
            // The page begins with a dump.
            Step::Snapshot(_) => Vec::new(),
            Step::Check { at } => self.checks(*at),
            Step::Rebuild { taken } => {
                let statements = taken.iter().flat_map(|it| it.statements.iter().chain(&it.attributes));
                let sql: Vec<String> = statements.map(|it| format!("{};", it.trim().trim_end_matches(';'))).collect();
                let names: Vec<String> = taken.iter().map(|it| it.object.to_string()).collect();
                vec![Act::new(format!("Make again {}", names.join(", ")), client.script(&sql.join("\n")))
                    .why("An earlier down file took it along; others had made it.")]
            }
            Step::Stop | Step::Swap { .. } | Step::Start { .. } => shell::moved(step, self.plan, &self.ground.moves),
        }
    }

    fn checks(&self, at: When) -> Vec<Act> {
        let client = self.ground.client;
        let check = |it: &Check| {
            let holds = format!("[ \"{}\" = {} ]", client.answer(&it.sql), client.yes());
            let said = quoted(&format!("warning: {}", it.message));
            let title = format!("Look that this is not so: {}", it.message);
            match it.severity {
                Severity::Warn => Act::new(title, format!("{holds} || echo {said} >&2")),
                _ => Act::new(title, "").check(holds),
            }
        };
        self.plan.checks_at(at).map(check).collect()
    }

    /// Whether the tracks stand where the page ends.
    fn arrived(&self) -> Option<Act> {
        let ends = &self.plan.hops.last()?.ends_at;
        let client = self.ground.client;
        let still = self.plan.tracks.iter().filter(|(track, _)| !self.moves(track));
        let still = still.filter_map(|(track, _)| Some((track, ends.get(track)?)));
        let why = still.map(|(track, at)| {
            format!("Track {track} does not move: where it is on, it stays at {at}.")
        });
        let why = why.collect();
        let mut lines = Vec::new();
        for (track, table) in self.tracks() {
            let at = *ends.get(track)?;
            lines.push(format!("[ \"{}\" = {} ]", client.row(table), quoted(&client.stands(at))));
        }
        let mut act = Act::new("Look whether it has arrived", "").check(lines.join("\n"));
        act.why = why;
        Some(act)
    }

    /// Back to a dump.
    fn by_dump(&self) -> Vec<Act> {
        let client = self.ground.client;
        let mut acts = vec![
            Act::new("Say where the database and the dump are", client.variables_of_dump()).why(format!(
                "The dump is one that was taken while {} or an older release ran. Everything written since is lost.",
                self.plan.target
            )),
        ];
        let all = self.plan.all_steps().map(|(_, step)| step);
        let around: Vec<&Step> = all.filter(|step| step.is_deployment()).collect();
        let (stop, rest): (Vec<&&Step>, Vec<&&Step>) =
            around.iter().partition(|it| ***it == Step::Stop);
        acts.extend(stop.into_iter().flat_map(|it| self.other(it)));
        acts.push(
            Act::new("Restore the dump beside the database", client.restore())
                .why("Into a new database: one that is restored over keeps what the dump does not know, such as tables of the newer release."),
        );
        let mut checks = Vec::new();
        for (track, table) in &self.plan.tracks {
            let newest =
                self.ground.catalog.releases.get(&self.plan.target).map(|it| it.set(track));
            let newest = newest.and_then(|set| set.iter().last().map(|it| it.version));
            if let Some(newest) = newest {
                checks.push(client.restored_at_most(table, newest));
            }
        }
        acts.push(
            Act::new("Look whether the dump fits the release", "")
                .why(format!(
                    "Its tracks may stand no higher than the files of {}.",
                    self.plan.target
                ))
                .check(checks.join("\n")),
        );
        acts.push(
            Act::new("Put it in the database's place", client.swap())
                .why("The other database stays under its new name until somebody drops it."),
        );
        acts.extend(rest.into_iter().flat_map(|it| self.other(it)));
        acts
    }
}
