//! A case read from its `facts.toml`.
//!
//! A release lists the numbers that it has of each track, such as `core = "1-4, 6"`. What a number
//! means is the same everywhere, and its bodies say nothing of note, unless a `[[body]]` says more:
//! `of = "core 4 down"` names a half (`of = "core 4"` both), `in` the releases, among which
//! `"records"` is the database's own. A case of `catalog = "kagent"` takes its tracks, policy and
//! releases from `fixtures/plan/kagent.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sternway_model::body::{BodyFacts, Destroyed, Destruction, Mode};
use sternway_model::catalog::{
    Catalog, Digest, Direction, Enabled, Half, Migration, MigrationSet, Release, ReleaseEntry,
    Track, TrackName,
};
use sternway_model::check::Check;
use sternway_model::fence::FenceRequest;
use sternway_model::plan::{Course, Facts, Findings, Plan, PlanError, Question, Request, plan};
use sternway_model::policy::{Policy, Window};
use sternway_model::position::Position;
use sternway_model::state::{
    AppState, Identity, Numbers, Records, RecordsAccess, State, TrackState, TrackingRow,
};

/// All that [`Facts`] borrows, and what is asked for.
pub struct Case {
    pub request: Request,
    catalog: Catalog,
    bodies: BTreeMap<Digest, BodyFacts>,
    state: State,
    policy: Policy,
    app: AppState,
    findings: Findings,
    alike: Option<bool>,
}

impl Case {
    /// Plans, and answers what the planner asks.
    pub fn plan(&mut self) -> Result<Plan, PlanError> {
        loop {
            let refused = match plan(&self.facts(), &self.request) {
                Ok(plan) => return Ok(plan),
                Err(refused) => refused,
            };
            let open = refused.asks().filter(|it| self.findings.leaves_open(it));
            match (open, self.alike) {
                (Some(Question::Alike { one, other, .. }), Some(alike)) => {
                    self.findings.alike(one, other, Some(alike));
                }
                _ => return Err(refused),
            }
        }
    }

    pub fn read(facts_file: &Path) -> Result<Case, Box<dyn Error>> {
        let mut file: File = toml::from_str(&fs::read_to_string(facts_file)?)?;
        if let Some(shared) = &file.catalog {
            let path = facts_file.with_file_name(format!("../{shared}.toml"));
            let shared: Shared = toml::from_str(&fs::read_to_string(path)?)?;
            (file.tracks, file.policy, file.releases) =
                (shared.tracks, shared.policy, shared.releases);
        }
        file.case()
    }

    pub fn facts(&self) -> Facts<'_> {
        let Case { catalog, bodies, state, policy, app, findings, .. } = self;
        Facts::new(catalog, bodies, state, policy, app, findings)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    catalog: Option<String>,
    #[serde(default)]
    tracks: Vec<TrackFacts>,
    #[serde(default)]
    policy: PolicyFacts,
    #[serde(default)]
    releases: Releases,
    running: Option<Release>,
    to: Release,
    course: Option<Course>,
    #[serde(default)]
    reset_schema: bool,
    #[serde(default)]
    adopt: bool,
    #[serde(default)]
    redo: bool,
    /// What clean installs say of lineages that differ in words; nothing where they were not made.
    alike: Option<bool>,
    #[serde(default)]
    deploy: bool,
    fence: Option<FenceRequest>,
    #[serde(default)]
    check: Vec<Check>,
    #[serde(default)]
    database: DatabaseFacts,
    #[serde(default)]
    body: Vec<Body>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    tracks: Vec<TrackFacts>,
    policy: PolicyFacts,
    releases: Releases,
}

/// The numbers of each track, by release.
type Releases = BTreeMap<Release, BTreeMap<TrackName, String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrackFacts {
    name: TrackName,
    #[serde(default)]
    enabled: Enabled,
    requires_extension: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PolicyFacts {
    #[serde(default)]
    window: Window,
    floor: Option<Release>,
    ahead_ok_since: Option<Release>,
}

/// The database; `at` has a number or `"empty"` for each track with a tracking table.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DatabaseFacts {
    at: BTreeMap<TrackName, toml::Value>,
    dirty: Vec<TrackName>,
    tables: BTreeSet<String>,
    extensions: Option<BTreeSet<String>>,
    assumed: bool,
    records: BTreeMap<TrackName, String>,
    recorded_releases: Releases,
    records_unavailable: Option<String>,
    clients: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    of: String,
    #[serde(rename = "in")]
    holders: Option<Vec<String>>,
    is: Option<Is>,
    #[serde(default)]
    creates: Vec<String>,
    #[serde(default)]
    destroys: Vec<String>,
    no_transaction: Option<String>,
    obstacle: Option<String>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Is {
    /// There is no such file.
    Missing,
    /// There is one that could not be read.
    Unreadable,
    /// It says something else than elsewhere.
    Different,
}

impl File {
    fn case(self) -> Result<Case, Box<dyn Error>> {
        let mut bodies =
            Bodies { special: &self.body, texts: BTreeMap::new(), facts: BTreeMap::new() };
        let mut releases = BTreeMap::new();
        for (release, tracks) in &self.releases {
            let label = release.to_string();
            let tracks = bodies.sets(&label, tracks)?;
            releases.insert(release.clone(), ReleaseEntry { label, commit: None, tracks });
        }
        let read = bodies.texts.clone();
        let migrations = bodies.sets("records", &self.database.records)?;
        let mut tracks: Vec<Track> = self.tracks.iter().map(track).collect();
        if tracks.is_empty() {
            let core = TrackFacts {
                name: "core".into(),
                enabled: Enabled::Always,
                requires_extension: None,
            };
            tracks.push(track(&core));
        }
        let policy = self.policy;
        Ok(Case {
            request: Request {
                target: self.to,
                course: self.course,
                reset_schema: self.reset_schema,
                adopt: self.adopt,
                redo: self.redo,
                deploy: self.deploy,
                fence: self.fence,
                checks: self.check,
                ..Request::to("0.0.0".parse().expect("a release"))
            },
            catalog: Catalog {
                app: self.catalog.unwrap_or("shop".to_owned()),
                tracks,
                releases,
                left_out: BTreeMap::new(),
                bodies: read,
            },
            state: self.database.state(migrations, bodies.texts)?,
            bodies: bodies.facts,
            policy: Policy {
                window: policy.window,
                floor: policy.floor,
                ahead_ok_since: policy.ahead_ok_since,
                ..Policy::default()
            },
            app: AppState { running: self.running },
            findings: Findings::default(),
            alike: self.alike,
        })
    }
}

fn track(facts: &TrackFacts) -> Track {
    let name = &facts.name;
    let prefix = if name.0 == "core" { String::new() } else { format!("{name}_") };
    Track {
        name: name.clone(),
        paths: vec![format!("migrations/{name}").as_str().into()],
        until: None,
        table: format!("{prefix}schema_migrations"),
        enabled: facts.enabled,
        requires_extension: facts.requires_extension.clone(),
    }
}

impl DatabaseFacts {
    fn state(
        self,
        migrations: BTreeMap<TrackName, MigrationSet>,
        bodies: BTreeMap<Digest, Arc<str>>,
    ) -> Result<State, Box<dyn Error>> {
        let mut tracks = BTreeMap::new();
        for (track, at) in self.at {
            let position = match at {
                toml::Value::Integer(number) => Position::At(u64::try_from(number)?),
                toml::Value::String(text) if text == "empty" => Position::Nothing,
                other => return Err(format!("{track} cannot be at {other}").into()),
            };
            let dirty = self.dirty.contains(&track);
            tracks.insert(track, TrackState::At(TrackingRow { position, dirty }));
        }
        let mut releases = BTreeMap::new();
        for (release, tracks) in &self.recorded_releases {
            let each =
                tracks.iter().map(|(track, list)| Ok((track.clone(), numbers(list)?.into())));
            releases.insert(release.clone(), each.collect::<Result<Numbers, Box<dyn Error>>>()?);
        }
        let identity = Identity {
            server: "PostgreSQL 17.5".to_owned(),
            database: "shop_db".to_owned(),
            schema: "public".to_owned(),
            collation: String::new(),
            user: "shop".to_owned(),
        };
        Ok(State {
            identity: if self.assumed { Identity::default() } else { identity },
            tracks,
            tables: (!self.assumed).then_some(self.tables),
            extensions: self.extensions,
            records: Records {
                access: match self.records_unavailable {
                    Some(reason) => RecordsAccess::Unavailable(reason),
                    None => RecordsAccess::Available,
                },
                migrations,
                bodies,
                releases,
                arrived_at: None,
                leaves: Vec::new(),
                taken: Vec::new(),
            },
            fingerprint: None,
            clients: self.clients,
        })
    }
}

/// The bodies as they are met.
struct Bodies<'a> {
    special: &'a [Body],
    texts: BTreeMap<Digest, Arc<str>>,
    facts: BTreeMap<Digest, BodyFacts>,
}

impl Bodies<'_> {
    fn sets(
        &mut self,
        holder: &str,
        tracks: &BTreeMap<TrackName, String>,
    ) -> Result<BTreeMap<TrackName, MigrationSet>, Box<dyn Error>> {
        let mut sets = BTreeMap::new();
        for (track, list) in tracks {
            let migrations = numbers(list)?.into_iter().map(|version| Migration {
                version,
                up: self.half(holder, track, version, Direction::Up),
                down: self.half(holder, track, version, Direction::Down),
            });
            sets.insert(track.clone(), migrations.collect());
        }
        Ok(sets)
    }

    fn half(
        &mut self,
        holder: &str,
        track: &TrackName,
        version: u64,
        direction: Direction,
    ) -> Option<Half> {
        let migration = format!("{track} {version}");
        let name = format!("{migration} {direction}");
        let mut text = format!("-- {name}\n");
        let mut facts = BodyFacts::default();
        let mut readable = true;
        for (index, body) in self.special.iter().enumerate() {
            let here = body.holders.as_ref().is_none_or(|all| all.iter().any(|it| it == holder));
            if !here || (body.of != migration && body.of != name) {
                continue;
            }
            match body.is {
                Some(Is::Missing) => return None,
                Some(Is::Unreadable) => readable = false,
                Some(Is::Different) => {
                    text.push_str(&format!("-- in words of its own ({index})\n"))
                }
                None => {}
            }
            facts.creates_tables.extend(body.creates.iter().cloned());
            let taken = body.destroys.iter().enumerate();
            facts.destroys.extend(
                taken.map(|(line, what)| Destruction { line: line + 1, what: destroyed(what) }),
            );
            if let Some(reason) = body.no_transaction.clone() {
                facts.mode = Mode::Dirty { reason };
            }
            facts.obstacle = body.obstacle.clone().or(facts.obstacle);
        }
        let hash = Digest::of_body(&text);
        if readable {
            self.texts.insert(hash, text.into());
            self.facts.insert(hash, facts);
        }
        Some(Half { file: format!("{version:06}_{track}.{direction}.sql"), hash })
    }
}

/// Reads `table a` or `column a.b`.
fn destroyed(text: &str) -> Destroyed {
    let (kind, name) = text.split_once(' ').expect("a kind and a name");
    match (kind, name.split_once('.')) {
        ("column", Some((table, column))) => {
            Destroyed::Column { table: table.to_owned(), column: column.to_owned() }
        }
        ("table", _) => Destroyed::Table { table: name.to_owned() },
        _ => panic!("`{text}` is no table and no column"),
    }
}

/// Reads numbers such as `1-4, 6`.
fn numbers(list: &str) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.parse::<u64>()?..=last.parse::<u64>()?);
    }
    Ok(numbers)
}
