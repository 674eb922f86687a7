//! `sternway snapshot`: copies of the whole database, and the way back to one.

use async_trait::async_trait;
use sternway_engine::observe::{observe, tables};
use sternway_engine::snapshot::Snapshots;
use sternway_model::catalog::Release;
use sternway_model::plan::{Request, standing};
use sternway_model::policy::SnapshotRequest;
use sternway_model::state::State;
use sternway_snapshot::{
    About, Progress, Selection, Settings, Watch, Way, carry, copy, estimate, leftovers, prove,
    prune, restore as put_back, take, written_since,
};
use sternway_source::Layout;
use sternway_view::snapshot as view;

use crate::args::{
    CarryArgs, CreateArgs, PruneArgs, Shared, SnapshotArgs, SnapshotCommand, SnapshotRestoreArgs,
};
use crate::failure::{BoxError, Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn snapshot(ui: &Ui, shared: &Shared, args: &SnapshotArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    match &args.command {
        SnapshotCommand::Create(args) => create(&setup, args).await,
        SnapshotCommand::List => list(&setup).await,
        SnapshotCommand::Show(args) => show(&setup, &args.id).await,
        SnapshotCommand::Prove(args) => prove_one(&setup, &args.id).await,
        SnapshotCommand::Restore(args) => restore(&setup, args).await,
        SnapshotCommand::Carry(args) => carry_over(&setup, args).await,
        SnapshotCommand::Prune(args) => prune_some(&setup, args).await,
    }
}

/// Tells how far it is: a line for each thing that begins, and on a terminal one that changes.
struct Told<'a>(&'a Ui);

impl Watch for Told<'_> {
    fn tell(&mut self, progress: Progress) {
        match &progress {
            Progress::Doing(_) if self.0.is_json() => {}
            Progress::Doing(what) => {
                self.0.progress("");
                self.0.note(what);
            }
            Progress::Bytes { .. } => self.0.progress(view::progress(&progress)),
        }
    }
}

impl Told<'_> {
    /// Leaves the line behind that changes.
    fn end(&self) {
        self.0.progress("");
    }
}

async fn create(setup: &Setup<'_>, args: &CreateArgs) -> Result<Exit, Failure> {
    let (ui, settings) = (setup.ui, setup.snapshots(args.to.as_deref())?);
    let mut whole = setup.whole().await?;
    let about = about(setup).await?;
    let mut told = Told(ui);
    let failed = |cause| Failure::to_snapshot("cannot take a snapshot", cause);
    let taken = match args.on_server {
        true => copy(&mut *whole, &about, args.end_sessions, &settings, &mut told).await,
        false => take(&mut *whole, &about, &settings, &mut told).await,
    };
    let mut manifest = taken.map_err(failed)?;
    told.end();
    for table in &manifest.written_meanwhile {
        ui.note(format!("warning: {table} was written to while the snapshot was taken, so that it cannot be proven"));
    }
    if args.prove {
        let id = manifest.id.clone();
        let proven = prove(&mut *whole, manifest, &settings, &mut told).await;
        manifest = proven.map_err(|cause| {
            let attempt = format!("snapshot {id} is taken, and cannot be proven");
            Failure::to_snapshot(&attempt, cause)
        })?;
        told.end();
    }
    let shape = view::Snapshot::of(&manifest, settings.store.place());
    ui.show(|paint| shape.taken(paint), &shape);
    Ok(Exit::Done)
}

/// What is known of the database, as far as that can be told.
async fn about(setup: &Setup<'_>) -> Result<About, Failure> {
    let (layout, mut database) = (&setup.config.layout, setup.connect().await?);
    let state = observe(&mut *database, &layout.app, &layout.tracks).await;
    let state = state.map_err(|cause| Failure::to_ask("cannot look at the database", cause))?;
    let typed = crate::config::release("--from", &setup.shared.from)?;
    let release = match typed {
        Some(release) => Some(release),
        // Where no source can be read, the snapshot is as good.
        None => match setup.know(&mut *database).await {
            Ok(known) => standing(&known.facts()).ok().and_then(|standing| {
                let arrived = known.state.records.arrived_at.clone();
                match standing.releases.as_slice() {
                    [one] => Some(one.clone()),
                    several => arrived.filter(|it| several.contains(it)),
                }
            }),
            Err(_) => state.records.arrived_at.clone(),
        },
    };
    Ok(about_state(&state, layout, release))
}

fn about_state(state: &State, layout: &Layout, release: Option<Release>) -> About {
    let tracks = state.tracks.iter().map(|(name, it)| (name.clone(), it.row())).collect();
    About { release, tracks, tables: tables(&layout.tracks) }
}

async fn list(setup: &Setup<'_>) -> Result<Exit, Failure> {
    let settings = setup.snapshots(None)?;
    let failed = |cause| Failure::to_snapshot("cannot list the snapshots", cause);
    let found = settings.store.list(&settings.app).await.map_err(failed)?;
    let left = match &setup.config.database {
        Ok(_) => match setup.whole().await {
            Ok(mut whole) => Some(leftovers(&mut *whole).await.map_err(failed)?),
            Err(failure) => {
                let (text, _, _) = failure.parts();
                setup.ui.note(format!(
                    "note: the databases that restores have left are not listed: {text}"
                ));
                None
            }
        },
        Err(_) => None,
    };
    let list = view::List::of(&settings.app, settings.store.place(), &found, left);
    setup.ui.show(|_| list.text(), &list);
    Ok(Exit::Done)
}

async fn show(setup: &Setup<'_>, id: &str) -> Result<Exit, Failure> {
    let settings = setup.snapshots(None)?;
    let manifest = settings.store.find(&settings.app, id).await;
    let manifest =
        manifest.map_err(|cause| Failure::to_snapshot("cannot show the snapshot", cause))?;
    let shape = view::Snapshot::of(&manifest, settings.store.place());
    setup.ui.show(|_| shape.text(), &shape);
    Ok(Exit::Done)
}

async fn prove_one(setup: &Setup<'_>, id: &str) -> Result<Exit, Failure> {
    let settings = setup.snapshots(None)?;
    let failed = |cause| Failure::to_snapshot("cannot prove the snapshot", cause);
    let manifest = settings.store.find(&settings.app, id).await.map_err(failed)?;
    let mut whole = setup.whole().await?;
    let mut told = Told(setup.ui);
    let proven = prove(&mut *whole, manifest, &settings, &mut told).await.map_err(failed)?;
    told.end();
    let shape = view::Snapshot::of(&proven, settings.store.place());
    setup.ui.show(|paint| shape.taken(paint), &shape);
    Ok(Exit::Done)
}

async fn restore(setup: &Setup<'_>, args: &SnapshotRestoreArgs) -> Result<Exit, Failure> {
    let (ui, settings) = (setup.ui, setup.snapshots(None)?);
    let failed = |cause| Failure::to_snapshot("cannot restore the snapshot", cause);
    let manifest = settings.store.find(&settings.app, &args.id).await.map_err(failed)?;
    let mut whole = setup.whole().await?;
    let mut told = Told(ui);
    let since = match args.into {
        Some(_) => None,
        None => {
            told.tell(Progress::Doing("counting what was written since the snapshot".to_owned()));
            Some(written_since(&mut *whole, &manifest).await.map_err(failed)?)
        }
    };
    let database = whole.identity().database.clone();
    let (text, question) =
        view::question(&manifest, &database, args.into.as_deref(), since.as_ref());
    ui.say(text.trim_end());
    ui.confirm(&question, args.yes)?;
    let way = Way { into: args.into.clone(), end_sessions: args.end_sessions };
    let restored = put_back(&mut *whole, &manifest, &way, &settings, &mut told).await;
    told.end();
    let restored = restored.map_err(failed)?;
    let carried = match &restored.kept {
        Some(kept) if args.then_carry => {
            let carried = carry(&mut *whole, kept, &manifest.tables, &mut told).await;
            let attempt = "the snapshot is restored, and carrying rows over failed";
            Some(carried.map_err(|cause| Failure::to_carry(attempt, cause, kept))?)
        }
        _ => None,
    };
    let shape = view::Restored::of(&manifest, &restored, since, carried);
    ui.show(|paint| shape.text(paint), &shape);
    Ok(Exit::Done)
}

async fn carry_over(setup: &Setup<'_>, args: &CarryArgs) -> Result<Exit, Failure> {
    let failed = |cause| Failure::to_snapshot("cannot carry rows over", cause);
    let mut whole = setup.whole().await?;
    let database = whole.identity().database.clone();
    let from = match &args.out_of {
        Some(name) => name.clone(),
        None => {
            let left = leftovers(&mut *whole).await.map_err(failed)?;
            left.swapped_out.last().cloned().ok_or_else(|| {
                let failure = Failure::new("no database was swapped out", Exit::Usage);
                failure.hint("`sternway snapshot list` lists them; --out-of names one")
            })?
        }
    };
    let question =
        format!("Bring over into {database} what {from} has and it has not, or has otherwise?");
    setup.ui.confirm(&question, args.yes)?;
    let tables = tables(&setup.config.layout.tracks);
    let mut told = Told(setup.ui);
    let carried = carry(&mut *whole, &from, &tables, &mut told).await;
    let failed = |cause| Failure::to_carry("cannot carry rows over", cause, &from);
    let carried = carried.map_err(failed)?;
    let shape = view::CarriedOver::of(database, from, carried);
    setup.ui.show(|_| shape.text(), &shape);
    Ok(Exit::Done)
}

/// Takes the snapshot of a journey.
pub struct Taker<'a> {
    setup: &'a Setup<'a>,
    settings: Settings,
}

impl<'a> Taker<'a> {
    /// Nobody, where nothing says where snapshots are kept.
    pub fn of(setup: &'a Setup<'a>) -> Result<Option<Taker<'a>>, Failure> {
        if setup.config.snapshots.store.is_none() {
            return Ok(None);
        }
        Ok(Some(Taker { setup, settings: setup.snapshots(None)? }))
    }
}

#[async_trait]
impl Snapshots for Taker<'_> {
    async fn take(
        &mut self,
        request: SnapshotRequest,
        release: Option<Release>,
    ) -> Result<String, BoxError> {
        let layout = &self.setup.config.layout;
        let mut whole = self.setup.whole().await?;
        let state = observe(whole.session(), &layout.app, &layout.tracks).await?;
        let about = about_state(&state, layout, release);
        let mut told = Told(self.setup.ui);
        let mut manifest = take(&mut *whole, &about, &self.settings, &mut told).await?;
        if request.proven {
            manifest = prove(&mut *whole, manifest, &self.settings, &mut told).await?;
        }
        told.end();
        Ok(format!("snapshot {} in {}", manifest.id, self.settings.store.place()))
    }
}

/// The request, with how long its snapshot takes about, where an earlier one tells.
pub async fn estimated(setup: &Setup<'_>, request: Request) -> Result<Request, Failure> {
    let Some(wanted) = request.snapshot else { return Ok(request) };
    let settings = setup.snapshots(None)?;
    if setup.config.database.is_err() {
        return Ok(request);
    }
    let failed = |cause| Failure::to_snapshot("cannot tell how long a snapshot takes", cause);
    let mut whole = setup.whole().await?;
    let bytes = whole.size().await.map_err(|cause| failed(cause.into()))?;
    let seconds = estimate(&settings, bytes).await.map_err(failed)?;
    let seconds = seconds.map(|it| it.ceil() as u64);
    Ok(Request { snapshot: Some(SnapshotRequest { seconds, ..wanted }), ..request })
}

async fn prune_some(setup: &Setup<'_>, args: &PruneArgs) -> Result<Exit, Failure> {
    let settings = setup.snapshots(None)?;
    let failed = |cause| Failure::to_snapshot("cannot remove what is not wanted", cause);
    let selection = Selection {
        ids: args.ids.clone(),
        keep: args.keep,
        older_than: args.older_than,
        unfinished: args.unfinished,
        databases: args.databases,
    };
    let mut whole = match args.databases {
        true => Some(setup.whole().await?),
        false => None,
    };
    let mut pruned = selection.meant(whole.as_mut(), &settings).await.map_err(failed)?;
    if whole.is_none() && !pruned.copies.is_empty() {
        whole = Some(setup.whole().await?);
    }
    if !pruned.snapshots.is_empty() || !pruned.databases.is_empty() {
        setup.ui.confirm(&view::prune_question(&pruned), args.yes)?;
        pruned = prune(&pruned, whole.as_mut(), &settings).await.map_err(failed)?;
    }
    let shape = view::Pruned::of(pruned);
    setup.ui.show(|_| shape.text(), &shape);
    Ok(Exit::Done)
}
