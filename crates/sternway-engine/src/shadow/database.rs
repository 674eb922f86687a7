//! One shadow database: what is done on it, and what it answers then.
//!
//! What it answers is decided by what was done on it, so that an answer is found by the hash of its
//! history. Only where an answer is not known yet is there a database at all, and all that was to be
//! done on it is done then.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sternway_database::{
    Database, Dialect, Limits, NOTHING_DISCARDED, Preservation, Settings, StepError, Work,
};
use sternway_model::catalog::Digest;
use sternway_model::effect::Effects;
use sternway_model::plan::{Migrate, Plan, Step, Taken};
use sternway_model::position::Position;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::server::Idle;
use super::written::{self, WrittenTables};
use super::{Cache, Material, Positions, RehearsalError, Shadow, start_step};
use crate::taken::staying_after;

/// A database that is empty at first, and on which bodies are run.
pub(crate) struct ShadowDatabase<'a> {
    shadow: &'a Shadow,
    cache: Option<&'a Cache>,
    material: Material<'a>,
    acts: Vec<Act>,
    /// The hash of what was done before each act, and after the last one.
    history: Vec<Digest>,
    /// The database itself. There is none as long as all that was asked is known.
    live: Option<Live>,
    /// Whether an act has failed: what it left is not told by the history.
    failed: bool,
}

/// A body, or a part of one, that is run on a shadow database.
struct Act {
    how: How,
    step: Migrate,
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
enum How {
    /// As what only an administrator can make, before everything else.
    Setup,
    /// As a step of a clean install.
    Install,
    /// As a step of a journey.
    Run,
    /// As a part of a body, whose settings are not taken back.
    Part,
    /// With the archive's care for this application, which finds out what it changes.
    Rehearse(String),
}

/// A database that is there.
struct Live {
    database: Box<dyn Database>,
    /// How many acts were done on it.
    done: usize,
    /// What the last of them changed, where that was looked at.
    effects: Option<Effects>,
}

impl<'a> ShadowDatabase<'a> {
    /// A database on which nothing was done yet.
    pub async fn open(shadow: &'a Shadow, material: &Material<'a>) -> ShadowDatabase<'a> {
        let (cache, root) = shadow.root(material).await;
        let mut database = ShadowDatabase {
            shadow,
            cache,
            material: material.clone(),
            acts: Vec::new(),
            history: vec![root],
            live: None,
            failed: false,
        };
        if let (Some(setup), Some((track, table))) = (shadow.setup(), material.tracks.first()) {
            let step =
                Migrate::staying(track.clone(), table.clone(), Position::Nothing, &setup.file);
            database.act(How::Setup, &step, setup.text.clone());
        }
        database
    }

    /// Makes a clean install. Whether its bodies run is found out by what is asked next.
    ///
    /// # Errors
    /// When a body is not known.
    pub fn install(&mut self, ends_at: &Positions) -> Result<(), RehearsalError> {
        for step in self.material.install(ends_at)? {
            self.install_step(&step);
        }
        Ok(())
    }

    /// Makes a clean install of where a plan starts.
    ///
    /// # Errors
    /// As [`ShadowDatabase::install`].
    pub fn install_start(&mut self, plan: &Plan) -> Result<(), RehearsalError> {
        for step in super::install_start(plan)? {
            self.install_step(&step);
        }
        Ok(())
    }

    /// Makes the schema from which a plan starts: a clean install, and what this database has
    /// otherwise. Whether it can be made is found out by what is asked next.
    ///
    /// # Errors
    /// As [`ShadowDatabase::install`].
    pub fn begin(&mut self, plan: &Plan) -> Result<(), RehearsalError> {
        self.install_start(plan)?;
        if let Some(step) = start_step(plan) {
            for statement in &plan.basis.deviation.statements {
                self.act(How::Part, &step, statement.clone());
            }
        }
        Ok(())
    }

    /// Where a plan's journey is after its first `migrations`.
    ///
    /// # Errors
    /// When what comes before does not run.
    pub async fn along(
        shadow: &'a Shadow,
        plan: &'a Plan,
        migrations: usize,
    ) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let mut journey = ShadowDatabase::open(shadow, &Material::of(plan)).await;
        journey.begin(plan)?;
        for step in plan.on_the_way(migrations) {
            match step {
                Step::Migrate(step) => journey.run(step).await?,
                Step::Rebuild { taken } => journey.rebuild(plan, taken),
                _ => {}
            }
        }
        Ok(journey)
    }

    /// Makes again what others had made. Whether it can be made is found out by what is asked next.
    pub fn rebuild(&mut self, plan: &Plan, taken: &[Taken]) {
        for it in taken {
            let up = plan.steps().find(|step| step.track == it.track && step.version == it.version);
            let Some(step) = up.map(staying_after) else { continue };
            for statement in &it.statements {
                self.act(How::Part, &step, statement.clone());
            }
        }
    }

    /// The statements that make the schema `from` into the one after all that was done.
    ///
    /// # Errors
    /// As [`ShadowDatabase::fingerprint`].
    pub async fn statements_from(
        &mut self,
        from: &Fingerprint,
    ) -> Result<Vec<String>, RehearsalError> {
        let (acts, tables) = (self.acts.len(), self.material.tables);
        let question = format!("statements from {}", from.digest());
        self.answer(acts, &question, async |it| {
            Ok(it.after(acts).await?.database.statements_from(from, tables).await?)
        })
        .await
    }

    /// Which of these statements run here, in an order in which they do: each is tried again as long as
    /// others took effect. Where the database is then is not known: nothing else can be asked.
    ///
    /// # Errors
    /// When what was done before does not run.
    pub async fn runnable(
        mut self,
        step: &Migrate,
        statements: &[String],
    ) -> Result<Vec<String>, RehearsalError> {
        let question = format!("runnable {statements:?}");
        let ask = async |it: &mut Self| -> Result<Vec<String>, RehearsalError> {
            let live = it.after(it.acts.len()).await?;
            let (mut ran, mut left) = (Vec::new(), statements.to_vec());
            loop {
                let (mut later, tried) = (Vec::new(), left.len());
                for text in std::mem::take(&mut left) {
                    let act = Act { how: How::Part, step: step.clone(), text };
                    match act.carry_out(&mut *live.database).await {
                        Ok(_) => ran.push(act.text),
                        Err(error) => {
                            tracing::debug!("`{}` does not run yet: {error}", act.text);
                            later.push(act.text);
                        }
                    }
                }
                if later.is_empty() || later.len() == tried {
                    return Ok(ran);
                }
                left = later;
            }
        };
        let ran = self.answer(self.acts.len(), &question, ask).await;
        self.failed = true;
        ran
    }

    /// Goes on with a clean install. Whether the body runs is found out by what is asked next.
    pub fn install_step(&mut self, step: &Migrate) {
        self.act(How::Install, step, self.body(step));
    }

    /// Runs a step.
    ///
    /// # Errors
    /// When it, or what comes before it, does not run.
    pub async fn run(&mut self, step: &Migrate) -> Result<(), RehearsalError> {
        self.act(How::Run, step, self.body(step));
        self.done().await
    }

    /// Runs a step with another body than its own.
    ///
    /// # Errors
    /// As [`ShadowDatabase::run`].
    pub async fn run_instead(&mut self, step: &Migrate, body: &str) -> Result<(), RehearsalError> {
        self.act(How::Run, step, body.to_owned());
        self.done().await
    }

    /// Runs a part of a step's body, and takes no settings of its back.
    ///
    /// # Errors
    /// As [`ShadowDatabase::run`].
    pub async fn run_text(&mut self, step: &Migrate, text: &str) -> Result<(), RehearsalError> {
        self.act(How::Part, step, text.to_owned());
        self.done().await
    }

    /// Runs a step of the application `app`, and says what it changes; `None` where that could not be
    /// found out.
    ///
    /// # Errors
    /// As [`ShadowDatabase::run`].
    pub async fn rehearse(
        &mut self,
        app: &str,
        step: &Migrate,
    ) -> Result<Option<Effects>, RehearsalError> {
        self.act(How::Rehearse(app.to_owned()), step, self.body(step));
        self.answer(self.acts.len(), "effects", async |it| it.effects().await).await
    }

    /// The schema after all that was done, without tracking tables.
    ///
    /// # Errors
    /// When it cannot be read, or what was done before does not run.
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, RehearsalError> {
        self.fingerprint_after(self.acts.len()).await
    }

    /// The names of all that is there once more steps were tried, of each track up to one that does not
    /// run. Where the database is then is not known: nothing else can be asked.
    ///
    /// # Errors
    /// As [`ShadowDatabase::fingerprint`].
    pub async fn names_beyond(
        mut self,
        tracks: &[Vec<Migrate>],
    ) -> Result<BTreeSet<ObjectName>, RehearsalError> {
        let act = |step: &Migrate| Act { how: How::Run, step: step.clone(), text: self.body(step) };
        let tables = self.material.tables;
        let acts: Vec<Vec<Act>> =
            tracks.iter().map(|steps| steps.iter().map(act).collect()).collect();
        let described = acts.iter().map(|acts| acts.iter().map(Act::described));
        let described: Vec<Vec<String>> = described.map(Iterator::collect).collect();
        let question = format!("names beyond {described:?}");
        let ask = async |it: &mut Self| -> Result<BTreeSet<ObjectName>, RehearsalError> {
            let live = it.after(it.acts.len()).await?;
            for acts in &acts {
                for act in acts {
                    if act.carry_out(&mut *live.database).await.is_err() {
                        break;
                    }
                }
            }
            let schema = live.database.fingerprint(tables).await?;
            Ok(schema.objects.into_keys().collect())
        };
        let names = self.answer(self.acts.len(), &question, ask).await;
        self.failed = true;
        names
    }

    async fn fingerprint_after(&mut self, acts: usize) -> Result<Fingerprint, RehearsalError> {
        let tables = self.material.tables;
        self.answer(acts, "fingerprint", async |it| {
            Ok(it.after(acts).await?.database.fingerprint(tables).await?)
        })
        .await
    }

    /// Sees to it that the last act ends well.
    async fn done(&mut self) -> Result<(), RehearsalError> {
        let acts = self.acts.len();
        self.answer(acts, "done", async |it| it.after(acts).await.map(drop)).await
    }

    fn body(&self, step: &Migrate) -> String {
        if step.is_there {
            return String::new();
        }
        self.material.bodies.get(&step.hash).cloned().unwrap_or_default()
    }

    fn act(&mut self, how: How, step: &Migrate, text: String) {
        let act = Act { how, step: step.clone(), text };
        let before = self.history[self.acts.len()];
        self.history.push(Digest::of_bytes(format!("{before} {}", act.described()).as_bytes()));
        self.acts.push(act);
    }

    /// What is known of the database after so many acts, or else what `ask` finds out.
    async fn answer<T: Serialize + DeserializeOwned>(
        &mut self,
        acts: usize,
        question: &str,
        ask: impl AsyncFnOnce(&mut Self) -> Result<T, RehearsalError>,
    ) -> Result<T, RehearsalError> {
        let Some(cache) = self.cache.filter(|_| !self.failed) else { return ask(self).await };
        let key = Digest::of_bytes(format!("{} {question}", self.history[acts]).as_bytes());
        if let Some(answer) = cache.get(key) {
            return Ok(answer);
        }
        let answer = ask(self).await?;
        cache.put(key, &answer);
        Ok(answer)
    }

    /// The database after so many acts; those that are not done yet are done.
    async fn after(&mut self, acts: usize) -> Result<&mut Live, RehearsalError> {
        let live = match self.live.take() {
            Some(live) => live,
            None => {
                let history = &self.history[..=acts];
                let (database, done) = self.shadow.database(&self.material, history).await?;
                Live { database, done, effects: None }
            }
        };
        let live = self.live.insert(live);
        while live.done < acts {
            let act = &self.acts[live.done];
            live.done += 1;
            match act.carry_out(&mut *live.database).await {
                Ok(effects) => live.effects = effects,
                Err(error) => {
                    self.failed = true;
                    let earlier = self.acts[..live.done].iter().map(|it| it.text.as_str());
                    let caught = self.shadow.is_inside() && act.caught(&error, earlier);
                    return Err(act.failed(error, caught));
                }
            }
        }
        Ok(live)
    }

    /// Does the last act, and says what it changes.
    async fn effects(&mut self) -> Result<Option<Effects>, RehearsalError> {
        let (before, after) = (self.acts.len() - 1, self.acts.len());
        let text = self.acts[before].text.clone();
        let facts = self.after(before).await?.database.facts(&text);
        let written = match facts.changes.is_empty() && facts.fills.is_empty() {
            true => WrittenTables::default(),
            false => {
                let schema = self.fingerprint_after(before).await?;
                WrittenTables::by(&facts, &schema, self.material.schema)
            }
        };
        let Some(mut effects) = self.after(after).await?.effects.take() else { return Ok(None) };
        written.add_to(&mut effects);
        if !facts.unforeseen.is_empty() {
            let schema = self.fingerprint_after(before).await?;
            effects.unforeseen.extend(written::unlinking(&text, &schema));
        }
        effects.unforeseen.extend(facts.unforeseen);
        if written::writes(&effects) {
            let mut called = written::called(&effects, &self.fingerprint_after(after).await?);
            called.retain(|it| !effects.unforeseen.contains(it));
            effects.unforeseen.extend(called);
        }
        Ok(Some(effects))
    }
}

impl Drop for ShadowDatabase<'_> {
    /// Leaves the database to another that goes on from where it is.
    fn drop(&mut self) {
        if let Some(Live { database, done, .. }) = self.live.take().filter(|_| !self.failed) {
            self.shadow.is_idle(Idle { database, history: self.history[done] });
        }
    }
}

impl Act {
    /// All that decides what it leads to.
    fn described(&self) -> String {
        // A step of a clean install leads to what it leads to on any other way.
        let how = if self.how == How::Install { &How::Run } else { &self.how };
        let Migrate { track, table, version, direction, from, to, closed_by, .. } = &self.step;
        let hash = Digest::of_bytes(self.text.as_bytes());
        format!("{:?} {hash}", (how, track, table, version, direction, from, to, closed_by))
    }

    async fn carry_out(&self, database: &mut dyn Database) -> Result<Option<Effects>, StepError> {
        let Act { how, step, text } = self;
        // A role is beyond the database, and is what the script is for.
        if *how != How::Setup {
            stays(database, step, text).await?;
        }
        let mode = &database.facts(text).mode;
        let settings = if *how == How::Part { Settings::Kept } else { Settings::Reset };
        // A part of a body leaves the track where it is.
        let to = if *how == How::Part { step.from } else { step.to };
        let closed_by = if *how == How::Part { &[] } else { &step.closed_by[..] };
        let work = Work { mode, settings, to, closed_by, ..Work::of(step, text, None) };
        let How::Rehearse(app) = how else {
            return database.migrate(&work).await.map(|()| None);
        };
        let care = Preservation {
            app,
            track: &step.track,
            version: step.version,
            direction: step.direction,
            other: None,
            keep: false,
            planned: None,
            discards: &NOTHING_DISCARDED,
            each_lock: true,
            limits: Limits::default(),
        };
        Ok(database.migrate_preserving(&work, &care).await?.effects)
    }

    /// Whether an error comes from code that catches exceptions, its own or that of an act before it.
    fn caught<'a>(&'a self, error: &StepError, earlier: impl Iterator<Item = &'a str>) -> bool {
        let (StepError::TakenBack { source, .. } | StepError::Dirty { source, .. }) = error else {
            return false;
        };
        source.at.is_some_and(|at| Dialect::Postgres.catches(&self.text, at, earlier))
    }

    /// Why it failed; `caught` where code catches exceptions that the server does not survive.
    fn failed(&self, error: StepError, caught: bool) -> RehearsalError {
        match self.how {
            _ if caught => {
                RehearsalError::Caught { file: self.step.file.clone(), source: Box::new(error) }
            }
            How::Setup => RehearsalError::Setup(Box::new(error)),
            How::Install => RehearsalError::Install(Box::new(error)),
            How::Run | How::Part | How::Rehearse(_) => RehearsalError::Journey(Box::new(error)),
        }
    }
}

/// Refuses a body that would not keep to the rehearsal's database.
async fn stays(database: &mut dyn Database, step: &Migrate, body: &str) -> Result<(), StepError> {
    let file = || step.file.clone();
    match database.external_effects(body).await {
        Ok(None) => Ok(()),
        Ok(Some(what)) => Err(StepError::ExternalEffects { file: file(), what }),
        Err(source) => Err(StepError::Database { file: file(), source }),
    }
}
