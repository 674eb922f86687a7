//! What holds for every plan, over catalogs made at random: several minors with patch releases and
//! prereleases, one to three tracks whose sets grow from release to release, with gaps in their
//! numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sternway_model::body::BodyFacts;
use sternway_model::catalog::{
    Catalog, Digest, Direction, Enabled, Half, Migration, MigrationSet, Minor, Release,
    ReleaseEntry, Track, TrackName,
};
use sternway_model::plan::{
    Course, Facts, Findings, Hop, Note, Plan, PlanError, PlanFileError, Request, Step, plan,
    standing,
};
use sternway_model::policy::{Policy, Window};
use sternway_model::position::Position;
use sternway_model::state::{AppState, State, TrackState, TrackingRow};

/// Everything but the state, the running release and the request.
#[derive(Debug, Clone)]
struct World {
    catalog: Catalog,
    bodies: BTreeMap<Digest, BodyFacts>,
    policy: Policy,
}

type Positions = BTreeMap<TrackName, Position>;

impl World {
    /// The release in that place, counted round.
    fn release(&self, place: usize) -> &Release {
        let place = place % self.catalog.releases.len();
        self.catalog.releases.keys().nth(place).expect("a release")
    }

    /// Where a database of that release stands.
    fn positions(&self, release: &Release) -> Positions {
        let entry = &self.catalog.releases[release];
        let tracks = self.catalog.tracks.iter().filter(|track| track.enabled != Enabled::Never);
        tracks.map(|track| (track.name.clone(), entry.set(&track.name).last())).collect()
    }

    /// Plans from there.
    fn plan(
        &self,
        positions: &Positions,
        running: Option<&Release>,
        request: &Request,
    ) -> Result<Plan, PlanError> {
        self.look(positions, running, |facts| plan(facts, request))
    }

    /// Shows the facts of a database that stands there.
    fn look<T>(
        &self,
        positions: &Positions,
        running: Option<&Release>,
        at_facts: impl FnOnce(&Facts<'_>) -> T,
    ) -> T {
        let at = |position: &Position| match position {
            Position::At(_) => TrackState::At(TrackingRow::clean(*position)),
            Position::Nothing => TrackState::NoTable,
        };
        let tracks = positions.iter().map(|(track, position)| (track.clone(), at(position)));
        let state = State { tracks: tracks.collect(), ..State::default() };
        let app = AppState { running: running.cloned() };
        let (catalog, bodies, policy) = (&self.catalog, &self.bodies, &self.policy);
        at_facts(&Facts::new(catalog, bodies, &state, policy, &app, Findings::none()))
    }

    /// Puts a release in, with these numbers of each track.
    fn add(&mut self, release: &str, numbers: &[(TrackName, Vec<u64>)]) -> Release {
        let release: Release = release.parse().expect("a release");
        let mut tracks = BTreeMap::new();
        for (track, numbers) in numbers {
            let migrations = numbers.iter().map(|version| Migration {
                version: *version,
                up: Some(self.half(track, *version, Direction::Up)),
                down: Some(self.half(track, *version, Direction::Down)),
            });
            tracks.insert(track.clone(), migrations.collect::<MigrationSet>());
        }
        let entry = ReleaseEntry { label: release.to_string(), commit: None, tracks };
        self.catalog.releases.insert(release.clone(), entry);
        release
    }

    fn half(&mut self, track: &TrackName, version: u64, direction: Direction) -> Half {
        let text = format!("-- {track} {version} {direction}\n");
        let hash = Digest::of_body(&text);
        self.catalog.bodies.insert(hash, Arc::from(text));
        self.bodies.insert(hash, BodyFacts::default());
        Half { file: format!("{version}_x.{direction}.sql"), hash }
    }

    /// The minors with a stable release strictly between two.
    fn stops_between(&self, one: Minor, other: Minor) -> Vec<Minor> {
        let minors = self.catalog.minors().into_iter();
        let between = minors.filter(|it| *it > one.min(other) && *it < one.max(other));
        between.filter(|it| self.catalog.newest_stable(*it).is_some()).collect()
    }
}

/// Makes a world of these many prereleases and stable releases for each minor, where each track is
/// optional or not and grows by so many migrations, so far apart, from release to release.
fn world(
    minors: &[(usize, usize)],
    tracks: &[(bool, Vec<(usize, u64)>)],
    window: Window,
    ahead_ok_since: Option<usize>,
) -> World {
    let names = ["core", "audit", "search"];
    let mut releases = Vec::new();
    for (minor, (prereleases, stable)) in minors.iter().enumerate() {
        // Numbers with two digits, so that their order is not the alphabet's.
        let before = (0..*prereleases).map(|it| format!("0.{minor}.0-beta{}", it + 9));
        let after = (0..*stable).map(|it| format!("0.{minor}.{}", it * 9));
        releases.extend(before.chain(after));
    }
    let mut world = World {
        catalog: Catalog { app: "app".to_owned(), ..Catalog::default() },
        bodies: BTreeMap::new(),
        policy: Policy::default(),
    };
    let mut sets: Vec<(TrackName, Vec<u64>)> = Vec::new();
    for (name, (optional, _)) in names.iter().zip(tracks) {
        world.catalog.tracks.push(Track {
            name: (*name).into(),
            paths: vec![(*name).into()],
            until: None,
            table: format!("{name}_migrations"),
            enabled: if *optional { Enabled::Auto } else { Enabled::Always },
            requires_extension: None,
        });
        // A track that all releases have, so that no rollback switches an optional one off.
        let always = *optional || *name == "core";
        sets.push(((*name).into(), if always { vec![1] } else { Vec::new() }));
    }
    for (place, release) in releases.iter().enumerate() {
        for ((_, numbers), (_, growth)) in sets.iter_mut().zip(tracks) {
            let (count, apart) = growth[place % growth.len()];
            for _ in 0..count {
                numbers.push(numbers.last().map_or(0, |last| last + apart));
            }
        }
        world.add(release, &sets);
    }
    let since = ahead_ok_since.map(|place| world.release(place).clone());
    world.policy = Policy { window, ahead_ok_since: since, ..Policy::default() };
    world
}

fn worlds() -> impl Strategy<Value = World> {
    // One of the minors at least has a release, and most have several.
    let minors = vec((0..3_usize, 0..3_usize), 1..5).prop_map(|mut minors| {
        minors.push((1, 2));
        minors
    });
    let growth = vec((0..3_usize, 1..4_u64), 1..12);
    let tracks = vec((any::<bool>(), growth), 1..4);
    let window = prop_oneof![Just(Window::None), Just(Window::Minor)];
    (minors, tracks, window, option::of(0..16_usize)).prop_map(
        |(minors, mut tracks, window, since)| {
            tracks[0].0 = false;
            world(&minors, &tracks, window, since)
        },
    )
}

/// A journey: where each track stands, what runs and what is asked for.
#[derive(Debug, Clone)]
struct Journey {
    world: World,
    positions: Positions,
    running: Option<Release>,
    request: Request,
}

impl Journey {
    fn plan(&self) -> Result<Plan, PlanError> {
        self.world.plan(&self.positions, self.running.as_ref(), &self.request)
    }
}

/// Journeys from the schema of one release, with any release running or none known.
fn journeys() -> impl Strategy<Value = Journey> {
    let places = (0..32_usize, 0..32_usize, option::of(0..32_usize));
    let course = prop_oneof![Just(None), Just(Some(Course::Rollback)), Just(Some(Course::Upgrade))];
    let switches = (any::<bool>(), any::<bool>());
    (worlds(), places, course, switches).prop_map(|(world, (at, to, running), course, switches)| {
        let (reset_schema, off) = switches;
        let mut positions = world.positions(world.release(at));
        let optional = world.catalog.tracks.iter().filter(|it| it.enabled == Enabled::Auto);
        for track in optional.filter(|_| off) {
            positions.insert(track.name.clone(), Position::Nothing);
        }
        let running = running.map(|running| world.release(running).clone());
        let target = world.release(to).clone();
        let request = Request { course, reset_schema, ..Request::to(target) };
        Journey { world, positions, running, request }
    })
}

/// Journeys as above, and some whose tracks stand at different releases.
fn all_journeys() -> impl Strategy<Value = Journey> {
    (journeys(), option::of(0..32_usize)).prop_map(|(mut journey, other)| {
        if let Some(other) = other {
            let other = journey.world.positions(journey.world.release(other));
            let last = other.into_iter().next_back();
            let moved = last.filter(|(track, _)| journey.positions[track] != Position::Nothing);
            journey.positions.extend(moved);
        }
        journey
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn moves(plan: &Plan) -> Vec<(TrackName, u64)> {
    plan.steps().map(|step| (step.track.clone(), step.version)).collect()
}

fn ends(plan: &Plan) -> Positions {
    plan.hops.last().expect("a hop").ends_at.clone()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_rollback_and_an_upgrade_back_undo_each_other(
        world in worlds(), one in 0..32_usize, other in 0..32_usize,
    ) {
        let (one, other) = (world.release(one).clone(), world.release(other).clone());
        let (low, high) = (one.clone().min(other.clone()), one.max(other));
        let start = world.positions(&high);

        let request =
            Request { course: Some(Course::Rollback), reset_schema: true, ..Request::to(low.clone()) };
        let down = world.plan(&start, Some(&high), &request).expect("a rollback");
        prop_assert_eq!(ends(&down), world.positions(&low));

        let request = Request { course: Some(Course::Upgrade), ..Request::to(high) };
        let up = world.plan(&ends(&down), Some(&low), &request).expect("an upgrade");
        prop_assert_eq!(ends(&up), start);

        let mut undone = moves(&down);
        undone.reverse();
        prop_assert_eq!(undone, moves(&up));
    }

    #[test]
    fn a_database_of_the_running_release_is_recognised(world in worlds(), at in 0..32_usize) {
        let release = world.release(at);
        let standing = world.look(&world.positions(release), Some(release), standing);
        let standing = standing.expect("a standing");
        prop_assert!(standing.releases.contains(release));
        prop_assert!(standing.releases.is_sorted());
        prop_assert_eq!(standing.runs, Some(true));
        prop_assert!(standing.minor <= Some(release.minor()));
    }

    #[test]
    fn every_step_has_its_body_and_goes_the_way_of_the_plan(journey in all_journeys()) {
        let Ok(plan) = journey.plan() else { return Ok(()) };
        let way = match plan.course {
            Course::Rollback => Direction::Down,
            Course::Upgrade => Direction::Up,
        };
        for step in plan.steps() {
            prop_assert_eq!(step.direction, way);
            let body = plan.bodies.get(&step.hash).map(|body| Digest::of_body(body));
            prop_assert_eq!(body, Some(step.hash));
            let text = format!("-- {} {} {way}\n", step.track, step.version);
            prop_assert_eq!(step.hash, Digest::of_body(&text));
        }
    }

    #[test]
    fn each_track_moves_without_a_hole_from_where_it_stands_to_where_it_ends(
        journey in all_journeys(),
    ) {
        let Ok(plan) = journey.plan() else { return Ok(()) };
        let mut present = journey.positions.clone();
        for hop in &plan.hops {
            for step in hop.migrations() {
                let known = journey.world.catalog.releases.values().map(|it| it.set(&step.track));
                let all: BTreeSet<u64> =
                    known.flat_map(|set| set.versions().collect::<Vec<_>>()).collect();
                let below = all.range(..step.version).next_back().copied().into();
                let (from, to) = match step.direction {
                    Direction::Down => (step.version.into(), below),
                    Direction::Up => (below, step.version.into()),
                };
                prop_assert_eq!((present[&step.track], step.to), (from, to));
                present.insert(step.track.clone(), step.to);
            }
            for (track, end) in &hop.ends_at {
                prop_assert_eq!(present[track], *end);
            }
            prop_assert_eq!(hop.steps.last(), Some(&Step::Prove));
        }
    }

    #[test]
    fn an_unrelated_release_changes_no_plan(journey in journeys(), place in 0..3_usize) {
        let before = journey.plan();
        let mut journey = journey;
        let numbers = |release: &Release| -> Vec<(TrackName, Vec<u64>)> {
            let tracks = journey.world.catalog.releases[release].tracks.iter();
            tracks.map(|(track, set)| (track.clone(), set.versions().collect())).collect()
        };
        let mut shared = numbers(journey.world.release(0));
        let own = |numbers: &mut Vec<(TrackName, Vec<u64>)>| {
            numbers.iter_mut().find(|(track, _)| track.0 == "core").expect("core").1.push(9999);
        };
        own(&mut shared);
        match place {
            // Older than both ends.
            0 => journey.world.add("0.0.0-alpha1", &shared),
            // In a minor that no journey here passes, and a stable release.
            1 => journey.world.add("0.99.0", &[("core".into(), vec![9999])]),
            // A prerelease there, which has even less in common.
            _ => journey.world.add("0.99.0-rc1", &[("core".into(), vec![7777, 9999])]),
        };
        prop_assert_eq!(before, journey.plan());
    }

    #[test]
    fn a_plan_has_the_same_bytes_each_time(journey in all_journeys()) {
        let Ok(plan) = journey.plan() else { return Ok(()) };
        let text = plan.to_json();
        prop_assert_eq!(&text, &journey.plan().expect("the same plan").to_json());
        let read = Plan::from_json(&text).expect("a plan");
        prop_assert_eq!(&read, &plan);
        prop_assert_eq!(text, read.to_json());
        prop_assert_eq!(read.digest(), plan.digest());
    }

    #[test]
    fn a_plan_with_a_changed_or_a_missing_body_is_not_read(journey in all_journeys()) {
        let Ok(plan) = journey.plan() else { return Ok(()) };
        let Some(hash) = plan.steps().next().map(|step| step.hash) else { return Ok(()) };
        let mut changed = plan.clone();
        changed.bodies.insert(hash, "DROP TABLE task".to_owned());
        let read = Plan::from_json(&changed.to_json());
        prop_assert!(matches!(read, Err(PlanFileError::Tampered(it)) if it == hash));
        changed.bodies.remove(&hash);
        let read = Plan::from_json(&changed.to_json());
        prop_assert!(matches!(read, Err(PlanFileError::BodyMissing(_))));
    }

    #[test]
    fn a_journey_stops_at_every_minor_and_at_stable_releases_only(journey in all_journeys()) {
        let Ok(plan) = journey.plan() else { return Ok(()) };
        let world = &journey.world;
        let stops: Vec<&Release> = plan.hops.iter().map(|hop| &hop.to).collect();
        let (target, between) = stops.split_last().expect("a hop");
        prop_assert_eq!(*target, &plan.target);
        for stop in between {
            prop_assert_eq!(world.catalog.newest_stable(stop.minor()), Some(*stop));
        }
        for pair in stops.windows(2) {
            prop_assert_eq!(pair[0] < pair[1], plan.course == Course::Upgrade);
            prop_assert_eq!(world.stops_between(pair[0].minor(), pair[1].minor()), []);
        }
        if let (Some(start), false) = (&plan.schema_of, plan.is_app_only()) {
            prop_assert_eq!(world.stops_between(start.minor(), stops[0].minor()), []);
        }
        for note in &plan.notes {
            if let Note::MinorSkipped { minor } = note {
                prop_assert_eq!(world.catalog.newest_stable(*minor), None);
            }
        }
        prop_assert!(plan.hops.iter().all(|hop: &Hop| world.catalog.releases.contains_key(&hop.to)));
    }
}
