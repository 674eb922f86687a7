//! Random schemas, random rows, random bodies that destroy, random writes in between: every row is
//! back, or in the archive, or was the older release's to change.
//!
//! `STERNWAY_TEST_SEEDS=n` runs so many cases, `STERNWAY_TEST_SEEDS=m-n` those from m to n. A case that fails prints what replays it:
//! `STERNWAY_TEST_SEED=n` runs that one alone.

#![allow(clippy::print_stderr, reason = "the number of cases is to be read")]

#[path = "random_schemas/bodies.rs"]
mod bodies;
#[path = "random_schemas/rounds.rs"]
mod rounds;
#[path = "random_schemas/schema.rs"]
mod schema;
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sqlx::PgConnection;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Preservation, StepError, Work};
use sternway_model::catalog::Direction;
use sternway_model::state::TrackingRow;
use sternway_testing::{
    Account, Fill, Journey, KeptRows, Random, Snapshot, fill, old_release_writes, run,
};

use bodies::{Bodies, Maker};
use schema::Schema;
use support::{Fresh, TABLE, care, down, open, seeds, session, up, whole};

/// How many cases the test suite runs.
const CASES: u64 = 2_020;
/// After so many failures no more cases are begun.
const MOST: usize = 60;
/// How many connections run them.
const WORKERS: u64 = 4;

/// Where cases are run.
struct Shadow {
    session: Postgres,
    watch: PgConnection,
}

/// What a case came to.
#[derive(Default)]
struct Case {
    account: Account,
    kinds: Vec<&'static str>,
    journeys: u64,
    /// Ups that cannot work after what the older release wrote, with or without the archive.
    impossible: u64,
}

impl Shadow {
    /// An empty schema, and nothing in the archive.
    async fn clear(&mut self) {
        let sql =
            "DROP SCHEMA IF EXISTS it CASCADE; CREATE SCHEMA it; SET search_path TO it, public";
        run(&mut self.watch, sql.to_owned()).await.expect("an empty schema");
        let forget = "DO $$ DECLARE t record; BEGIN
            IF to_regclass('sternway.archive') IS NOT NULL THEN
                FOR t IN SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('sternway')
                         AND relkind = 'r' AND relname LIKE 'kept\\_%' LOOP
                    EXECUTE format('DROP TABLE sternway.%I CASCADE', t.relname);
                END LOOP;
                DELETE FROM sternway.archive;
            END IF; END $$";
        run(&mut self.watch, forget.to_owned()).await.expect("an empty archive");
        self.session.enter_schema("it").await.expect("the schema");
        self.session.prepare_records().await.expect("records");
        let row = TrackingRow::clean(2);
        self.session.set_track(TABLE, row).await.expect("a track");
    }

    /// Whether bodies work at all; nothing of them is left.
    async fn works(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let ran =
            run(&mut self.watch, format!("BEGIN; {sql}; SET CONSTRAINTS ALL IMMEDIATE")).await;
        run(&mut self.watch, "ROLLBACK".to_owned()).await.expect("a rollback");
        ran
    }

    /// The rows as a body leaves them by itself; nothing of it is left.
    async fn by_itself(&mut self, sql: &str) -> Option<Snapshot> {
        // A sequence goes on counting whatever is taken back.
        if ["nextval", "serial", "IDENTITY"].iter().any(|it| sql.contains(it)) {
            return None;
        }
        let ran = run(&mut self.watch, format!("BEGIN; {sql}")).await;
        let rows = match ran {
            Ok(()) => Some(self.rows().await),
            Err(_) => None,
        };
        run(&mut self.watch, "ROLLBACK".to_owned()).await.expect("a rollback");
        rows
    }

    async fn go(&mut self, direction: Direction, body: &str, keep: bool) -> Result<(), StepError> {
        let step = match direction {
            Direction::Down => down(2, Some(1), body),
            Direction::Up => up(2, body),
        };
        let work = Work { durable: false, ..Work::of(&step, body, None) };
        let care = Preservation { keep, ..care("random", 2, direction) };
        self.session.migrate_preserving(&work, &care).await.map(drop)
    }

    async fn rows(&mut self) -> Snapshot {
        Snapshot::of(&mut self.watch, "it", &[TABLE.to_owned()]).await
    }

    /// What the archive has got since the entry `last`.
    async fn kept(&mut self, last: i64) -> Vec<KeptRows> {
        let entries = self.session.archive("random").await.expect("the archive");
        let mut kept = Vec::new();
        for entry in entries.into_iter().filter(|it| it.id > last) {
            let page = self.session.archive_page(entry.id, 0, 1_000_000).await.expect("a page");
            kept.push(KeptRows::new(entry, vec![page]));
        }
        kept
    }
}

/// Runs a case; `keep` says whether the archive is on.
async fn case(shadow: &mut Shadow, seed: u64, keep: bool) -> Result<Case, String> {
    let mut random = Random::new(seed);
    shadow.clear().await;
    let schema = Schema::random(&mut random);
    let sql = Bodies::text(&schema.all());
    run(&mut shadow.watch, sql.clone()).await.map_err(|error| format!("{error}\n{sql}"))?;
    let except = [TABLE.to_owned()];
    let how =
        |seed: u64, rows: usize| Fill { large: 300, ..Fill::new(seed, rows).without(&except) };
    let many = 3 + random.below(10);
    fill(&mut shadow.watch, "it", &how(random.number(), many)).await;
    let mut before = shadow.rows().await;
    let bodies = bodies(shadow, &schema, &before, &mut random).await;
    let Some(bodies) = bodies else { return Ok(Case::default()) };
    let (down, up) = (Bodies::text(&bodies.down), Bodies::text(&bodies.up));
    let told = |what: String| {
        format!(
            "{what}\n-- schema\n{sql}-- down\n{down}-- up\n{up}-- replay: STERNWAY_TEST_SEED={seed}"
        )
    };
    // What a body writes may be what it takes from elsewhere: then nothing of it is put over rows.
    let writes = |it: &String| ["INSERT", "UPDATE"].iter().any(|word| it.contains(word));
    let carried = match bodies.down.iter().any(writes) {
        true => schema.tables.iter().map(|it| it.name.clone()).collect(),
        false => bodies.carried.clone(),
    };
    let mut case = Case { kinds: bodies.kinds.clone(), ..Case::default() };
    let (mut last, mut owed) = (0, Vec::new());
    let times = 1 + usize::from(random.once_in(5));
    for time in 0..times {
        let by_itself = shadow.by_itself(&down).await;
        let down_went = shadow.go(Direction::Down, &down, keep).await;
        if let Err(error) = down_went {
            if time > 0 && shadow.works(&down).await.is_err() {
                break;
            }
            return Err(told(format!("down {time}: {}", whole(&error))));
        }
        // What is kept is nothing to the body: it leaves the rows that it leaves without us. Later on
        // it finds more, which is put back to it.
        if let Some(by_itself) = by_itself.filter(|_| time == 0) {
            let differences = by_itself.differences(&shadow.rows().await);
            if !differences.is_empty() {
                let told_of: String = differences.iter().map(ToString::to_string).collect();
                return Err(told(format!("the down body did not do what it does:\n{told_of}")));
            }
        }
        let writes = random.below(4);
        let written =
            old_release_writes(&mut shadow.watch, "it", &how(random.number(), writes)).await;
        if let Err(error) = shadow.go(Direction::Up, &up, keep).await {
            if shadow.works(&up).await.is_err() {
                case.impossible += 1;
                break;
            }
            return Err(told(format!("up {time}: {}", whole(&error))));
        }
        let after = shadow.rows().await;
        let kept = shadow.kept(last).await;
        let journey = Journey {
            before: &before,
            written: &written,
            after: &after,
            kept: &kept,
            owed: &owed,
            seeds: &bodies.seeds,
            computed: &[],
            carried: &carried,
        };
        let mut account = journey.account();
        account.try_conflicts(&mut shadow.watch, "it").await;
        if !account.is_whole() {
            let entries = kept.iter().map(|it| {
                let (entry, rows) = (&it.entry, &it.rows);
                format!(
                    "{} {} {:?} {:?}\n  {rows:?}\n",
                    entry.lost, entry.direction, entry.restored, it.columns
                )
            });
            let entries: String = entries.collect();
            let changes = written.before.differences(&written.after);
            let changes: String = changes.iter().map(ToString::to_string).collect();
            let whole: Vec<String> =
                before.differences(&after).iter().map(ToString::to_string).collect();
            let whole = whole.concat();
            return Err(told(format!(
                "journey {time}: {account}-- the older release\n{changes}-- the whole journey\n{whole}\
                 -- the archive\n{entries}"
            )));
        }
        case.account.add(account);
        case.journeys += 1;
        last = kept.iter().map(|it| it.entry.id).max().unwrap_or(last);
        owed = kept.into_iter().filter(|it| it.entry.direction == Direction::Up).collect();
        before = after;
    }
    Ok(case)
}

/// Bodies that work on the rows as they are.
async fn bodies(
    shadow: &mut Shadow,
    schema: &Schema,
    rows: &Snapshot,
    random: &mut Random,
) -> Option<Bodies> {
    let maker = Maker { schema, rows };
    let wanted = 1 + random.below(3);
    // Most bodies work. Where these do not, each is tried before the next is made.
    let before = random.clone();
    let all = more(&maker, wanted, random, async |_| true).await?;
    if shadow.works(&all.both()).await.is_ok() {
        return Some(all);
    }
    *random = before;
    more(&maker, wanted, random, async |sql| shadow.works(&sql).await.is_ok()).await
}

/// As many bodies as are wanted, together; each joins the others if they work with it.
async fn more(
    maker: &Maker<'_>,
    wanted: usize,
    random: &mut Random,
    mut works: impl AsyncFnMut(String) -> bool,
) -> Option<Bodies> {
    let mut found: Option<Bodies> = None;
    let mut kinds = 0;
    for _ in 0..12 {
        if kinds == wanted {
            break;
        }
        let Some(one) = maker.one(random) else { continue };
        if found
            .as_ref()
            .is_some_and(|it| !it.tables.is_disjoint(&one.tables) || it.kinds[0] == one.kinds[0])
        {
            continue;
        }
        let more = match &found {
            Some(found) => found.clone().and(one),
            None => one,
        };
        if works(more.both()).await {
            found = Some(more);
            kinds += 1;
        }
    }
    found
}

async fn shadow(fresh: &Fresh) -> Shadow {
    let mut watch = open(&fresh.url()).await;
    run(&mut watch, "SET client_min_messages = error; SET enable_seqscan = off".to_owned())
        .await
        .expect("a setting");
    Shadow { session: session(&fresh.url()).await, watch }
}

#[test]
fn every_row_of_every_random_schema_is_accounted_for() {
    let start = Instant::now();
    let seeds: Vec<u64> = seeds(CASES).collect();
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let all = Mutex::new((Case::default(), BTreeMap::<&str, u64>::new(), 0_u64));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(seeds.len() as u64) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let Some(fresh) = Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
                    let mut shadow = shadow(&fresh).await;
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let Some(seed) = seeds.get(at) else { break };
                        if failures.lock().expect("the lock").len() >= MOST {
                            break;
                        }
                        match case(&mut shadow, *seed, true).await {
                            Ok(case) => {
                                let mut all = all.lock().expect("the lock");
                                for kind in &case.kinds {
                                    *all.1.entry(kind).or_default() += 1;
                                }
                                all.0.account.add(case.account);
                                all.0.journeys += case.journeys;
                                all.0.impossible += case.impossible;
                                all.2 += 1;
                            }
                            Err(error) => {
                                let error = format!("seed {seed}: {error}");
                                failures.lock().expect("the lock").push(error);
                            }
                        }
                    }
                });
            });
        }
    });
    let (case, kinds, cases) = all.into_inner().expect("the lock");
    let failures = failures.into_inner().expect("the lock");
    eprintln!(
        "random schemas: {cases} cases, {} journeys, {} whose way up the older release's writes bar, \
         {kinds:?}, {:.1} s; {}",
        case.journeys,
        case.impossible,
        start.elapsed().as_secs_f64(),
        case.account
    );
    assert!(failures.is_empty(), "{} cases failed\n{}", failures.len(), failures.join("\n\n"));
}

/// The harness must be able to fail: without the archive, rows are unaccounted for.
#[tokio::test]
async fn without_the_archive_rows_are_unaccounted_for() {
    let Some(fresh) = Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    let mut shadow = shadow(&fresh).await;
    let (mut lost, mut whole) = (0, 0);
    for seed in 1..=30 {
        match case(&mut shadow, seed, false).await {
            Ok(_) => whole += 1,
            Err(error) if error.contains("was destroyed") => lost += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(lost > 15 && whole > 0, "{lost} of 30 cases lost rows");
}
