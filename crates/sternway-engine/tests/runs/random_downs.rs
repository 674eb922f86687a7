//! Random applications whose down files are incomplete, on databases that somebody has changed: a journey
//! is refused before its first write, or arrives; it says "proved" where an independent look finds a clean
//! install and nowhere else; `status` agrees with it; and nothing is left that cannot be ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use sternway_database::Dialect;
use sternway_database::dialect::connect;
use sternway_engine::event::Quiet;
use sternway_engine::gather::{Settings, gather};
use sternway_engine::journey::{Approval, JourneyError, Manner, Ports, prepare, travel};
use sternway_engine::run::Outcome;
use sternway_engine::shadow::Shadow;
use sternway_engine::status::{Schema, Verdict, status};
use sternway_model::catalog::{Enabled, Track};
use sternway_model::plan::{Course, Request};
use sternway_model::policy::Policy;
use sternway_source::{Layout, Location};

use super::journey::Shelf;
use crate::support::{App, release};

/// How many cases the suite makes; `STERNWAY_TEST_DOWNS=FIRST..LAST` makes others.
const CASES: std::ops::Range<u64> = 0..120;

/// Numbers that look random, and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A schema as the generator of bodies knows it: tables with their columns, and indexes.
#[derive(Clone, Default)]
struct Model {
    tables: Vec<(String, Vec<String>)>,
    indexes: Vec<(String, String)>,
    made: u64,
}

impl Model {
    fn name(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }

    /// A statement and the one that undoes it.
    fn change(&mut self, dice: &mut Dice) -> (String, String) {
        let table = dice.roll(self.tables.len().max(1) as u64) as usize;
        match dice.roll(6) {
            0 | 1 if !self.tables.is_empty() => {
                let column = self.name("c");
                let table = &mut self.tables[table];
                table.1.push(column.clone());
                let table = &table.0;
                (
                    format!(
                        "ALTER TABLE {table} ADD COLUMN {column} integer DEFAULT {};",
                        dice.roll(9)
                    ),
                    format!("ALTER TABLE {table} DROP COLUMN {column};"),
                )
            }
            2 if self.tables.get(table).is_some_and(|it| !it.1.is_empty()) => {
                let indexed: BTreeSet<String> =
                    self.indexes.iter().map(|(_, column)| column.clone()).collect();
                let table = &mut self.tables[table];
                let Some(at) = table.1.iter().position(|it| !indexed.contains(it)) else {
                    return ("SELECT 1;".to_owned(), "SELECT 1;".to_owned());
                };
                let column = table.1.remove(at);
                let table = &table.0;
                (
                    format!("ALTER TABLE {table} DROP COLUMN {column};"),
                    format!("ALTER TABLE {table} ADD COLUMN {column} integer;"),
                )
            }
            3 if self.tables.get(table).is_some_and(|it| !it.1.is_empty()) => {
                let index = self.name("i");
                let (table, columns) = &self.tables[table];
                let column = columns[dice.roll(columns.len() as u64) as usize].clone();
                let up = format!("CREATE INDEX {index} ON {table} ({column});");
                self.indexes.push((index.clone(), column));
                (up, format!("DROP INDEX {index};"))
            }
            _ => {
                let (table, column) = (self.name("t"), self.name("c"));
                let up =
                    format!("CREATE TABLE {table} (id integer PRIMARY KEY, {column} integer);");
                self.tables.push((table.clone(), vec![column]));
                (up, format!("DROP TABLE {table};"))
            }
        }
    }
}

/// Writes three releases, and says what the newest has.
fn write(folder: &Path, dice: &mut Dice) -> Model {
    let mut model = Model::default();
    let mut files: Vec<(String, String)> = Vec::new();
    for number in 1..=3 {
        let (mut up, mut down) = (String::new(), Vec::new());
        for _ in 0..=dice.roll(3) {
            let (forth, back) = model.change(dice);
            up.push_str(&format!("{forth}\n"));
            // Some of what is done is not undone.
            if number == 1 || !dice.one_in(3) {
                down.push(back);
            }
        }
        down.reverse();
        if number > 1 && dice.one_in(6) {
            down.clear();
        }
        files.push((format!("{number}_m.up.sql"), up));
        files.push((format!("{number}_m.down.sql"), format!("-- back\n{}", down.join("\n"))));
        let release = folder.join(format!("1.{number}.0/m"));
        fs::create_dir_all(&release).expect("a folder");
        for (file, text) in &files {
            fs::write(release.join(file), text).expect("a file");
        }
    }
    model
}

/// What the database itself says of its schema, by another way than the fingerprint: tables, columns and
/// indexes, without what belongs to migrators and to nobody's migrations.
async fn described(connection: &mut SqliteConnection) -> BTreeSet<String> {
    let sql = "SELECT m.type || ' ' || m.name || ' ' || coalesce(
                   (SELECT group_concat(name || type || \"notnull\" || coalesce(dflt_value, '-') || pk || hidden)
                    FROM (SELECT * FROM pragma_table_xinfo(m.name) ORDER BY name)), '') || ' ' || coalesce(
                   (SELECT group_concat(name) FROM (SELECT * FROM pragma_index_info(m.name) ORDER BY seqno)), '')
               FROM sqlite_schema m
               WHERE name NOT LIKE 'sqlite%' AND name NOT LIKE 'sternway%' AND tbl_name <> 'migrations'
                 AND NOT (name LIKE 'hand%' AND type <> 'table')";
    let rows = sqlx::query(sql).fetch_all(connection).await.expect("a schema");
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn open(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .expect("a file")
}

/// What a clean install of a release looks like, made by hand.
async fn clean(folder: &Path, number: u64) -> BTreeSet<String> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a database");
    for step in 1..=number {
        let body =
            fs::read_to_string(folder.join(format!("1.3.0/m/{step}_m.up.sql"))).expect("a body");
        sqlx::raw_sql(sqlx::AssertSqlSafe(body)).execute(&mut connection).await.expect("a step");
    }
    described(&mut connection).await
}

#[derive(Debug, Default)]
struct Count {
    proved: u64,
    told: u64,
    refused: u64,
}

async fn case(seed: u64, count: &mut Count) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("releases");
    let model = write(&folder, &mut dice);
    let track = Track {
        name: "core".into(),
        paths: vec!["m".into()],
        until: None,
        table: "migrations".to_owned(),
        enabled: Enabled::Always,
        requires_extension: None,
    };
    let layout = Layout {
        app: "random".to_owned(),
        tag: "{version}".parse().expect("a pattern"),
        tracks: vec![track],
    };
    let app = App::read(&Location::Directory(folder.clone()), &layout, Policy::default());
    let file = place.path().join("db.sqlite");
    let url = format!("sqlite://{}", file.display());
    let mut admin = open(&file).await;
    let mut database = connect(&url, None).await.expect("a session");
    let shadow = Shadow::inside(Dialect::Sqlite);
    let settings = Settings {
        app: "random".to_owned(),
        tracks: app.catalog.tracks.clone(),
        policy: Policy::default(),
        dialect: Dialect::Sqlite,
        running: None,
        offline: false,
    };
    let (mut at, mut ways) = (0, vec![(3, Course::Upgrade)]);
    for _ in 0..2 {
        let back = 1 + dice.roll(2);
        ways.extend([(back, Course::Rollback), (back, Course::Rollback), (3, Course::Upgrade)]);
    }
    for (index, (to, course)) in ways.into_iter().enumerate() {
        if index == 1 {
            for (table, columns) in &model.tables {
                let sql = format!("INSERT INTO {table} (id) VALUES (1), (2)");
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.expect("rows");
                if dice.one_in(4) {
                    let sql = format!("ALTER TABLE {table} ADD COLUMN hand{seed} integer");
                    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                        .execute(&mut admin)
                        .await
                        .expect("a column");
                }
                if let Some(column) = columns.first().filter(|_| dice.one_in(4)) {
                    let sql = format!("CREATE INDEX hand_{table} ON {table} ({column})");
                    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
                        .execute(&mut admin)
                        .await
                        .expect("an index");
                }
            }
        }
        let name = format!("seed {seed}, way {index}: {course} from {at} to {to}");
        let before = described(&mut admin).await;
        let request =
            Request { course: Some(course), ..Request::to(release(&format!("1.{to}.0"))) };
        let mut source = Shelf(app.catalog.clone());
        let mut quiet = Quiet;
        let mut ports = Ports {
            source: Some(&mut source),
            database: &mut *database,
            app: None,
            shadow: &shadow,
            observer: &mut quiet,
        };
        let manner = Manner::default();
        let journey = prepare(&settings, &request, &manner, &mut ports).await;
        let ended = match journey {
            Ok(journey) => travel(journey, &manner, |_| Approval::Given, &mut ports).await,
            Err(error) => Err(error),
        };
        let unfinished = database.unfinished("random").await.expect("records");
        assert!(unfinished.is_none(), "{name}: a run is left: {unfinished:?}");
        let now = described(&mut admin).await;
        let proofs = match ended {
            Ok((_, Outcome::Arrived { proofs, .. })) => proofs,
            Ok(other) => panic!("{name}: {other:?}"),
            Err(JourneyError::Run(error)) => panic!("{name}: it failed in the middle: {error}"),
            // Where it stands already, there is nothing to do.
            Err(error) => {
                assert_eq!(now, before, "{name}: refused after a write: {error}");
                count.refused += 1;
                continue;
            }
        };
        at = to;
        let proof = proofs.into_iter().next_back().flatten().expect("a proof");
        let is_clean = now == clean(&folder, to).await;
        assert_eq!(proof.is_clean_install(), is_clean, "{name}: {proof:?}\n{now:#?}");
        match is_clean {
            true => count.proved += 1,
            false => count.told += 1,
        }
        let mut source = Shelf(app.catalog.clone());
        let snapshot = gather(&settings, Some(&mut source), &mut *database, None, &mut quiet).await;
        let snapshot = snapshot.expect("facts");
        let found = status(&snapshot.facts(), &shadow, &mut *database).await.expect("a status");
        match found.verdict {
            Verdict::Stands { schema: Schema::Compared(comparison), .. } => {
                assert!(comparison.holds(), "{name}: status differs: {comparison:?}");
                assert_eq!(comparison.is_clean_install(), is_clean, "{name}: {comparison:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_journey_says_is_what_an_independent_look_finds() {
    let range = std::env::var("STERNWAY_TEST_DOWNS").ok().map(|text| {
        let (first, last) = text.split_once("..").expect("FIRST..LAST");
        first.parse().expect("a number")..last.parse().expect("a number")
    });
    let mut count = Count::default();
    for seed in range.clone().unwrap_or(CASES) {
        case(seed, &mut count).await;
    }
    // Each kind of end is met.
    if range.is_none() {
        assert!(count.proved > 100 && count.told > 30, "{count:?}");
    }
}
