//! Random rounds: down, and up again by Sternway or by the application itself, with people at work on
//! both sides. Of the random schemas, by whatever bodies take columns, rows and tables; and of a table
//! that the up body computes a column of, puts seed rows into and extends the enum of.

use std::collections::BTreeMap;

use sternway_database::failpoint::{Rule, break_rule};
use sternway_model::catalog::Direction;
use sternway_testing::{Fill, Random, Snapshot, Stay, fill, old_release_writes, run, wander};

use super::bodies::Bodies;
use super::schema::Schema;
use super::support::{Fresh, TABLE, seeds, whole};
use super::{Shadow, bodies, shadow};

/// How many cases the test suite runs of each kind.
const CASES: u64 = 150;

/// Goes through rounds of a random schema. Tells what is lost or stale.
async fn of_a_schema(shadow: &mut Shadow, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    shadow.clear().await;
    let schema = Schema::random(&mut random);
    let sql = Bodies::text(&schema.all());
    run(&mut shadow.watch, sql.clone()).await.map_err(|error| format!("{error}\n{sql}"))?;
    let except = [TABLE.to_owned()];
    let how =
        |seed: u64, rows: usize| Fill { large: 300, ..Fill::new(seed, rows).without(&except) };
    fill(&mut shadow.watch, "it", &how(random.number(), 6)).await;
    let before = shadow.rows().await;
    let Some(bodies) = bodies(shadow, &schema, &before, &mut random).await else { return Ok(()) };
    let plain = ["drop column", "drop table", "delete", "truncate", "drop type"];
    if bodies.kinds.iter().any(|kind| !plain.contains(kind)) {
        return Ok(());
    }
    let (down, up) = (Bodies::text(&bodies.down), Bodies::text(&bodies.up));
    let told = |what: String| format!("{what}\n-- schema\n{sql}-- down\n{down}-- up\n{up}");
    let rounds = 1 + random.below(4);
    let (mut stays, mut found) = (Vec::new(), Snapshot::default());
    for round in 0..rounds {
        let left = shadow.rows().await;
        if let Err(error) = shadow.go(Direction::Down, &down, true).await {
            return match shadow.works(&down).await {
                Err(_) => Ok(()),
                Ok(()) => Err(told(whole(&error))),
            };
        }
        let below = shadow.rows().await;
        let writes = random.below(3);
        old_release_writes(&mut shadow.watch, "it", &how(random.number(), writes)).await;
        stays.push(Stay { found, left, below });
        let last = round + 1 == rounds;
        if let Err(error) = shadow.go(Direction::Up, &up, last).await {
            return match shadow.works(&up).await {
                Err(_) => Ok(()),
                Ok(()) => Err(told(whole(&error))),
            };
        }
        found = shadow.rows().await;
        if !last {
            old_release_writes(&mut shadow.watch, "it", &how(random.number(), 2)).await;
        }
    }
    let kept = shadow.kept(0).await;
    let findings = wander(&stays, &found, &kept);
    match findings.is_empty() {
        true => Ok(()),
        false => {
            let findings: String = findings.iter().map(|it| format!("{it}\n")).collect();
            Err(told(format!("{rounds} rounds: {findings}{kept:?}")))
        }
    }
}

/// What a column should have, from its row's `n` and `o`.
type Computed = fn(&str, &str) -> String;

/// A table with what the up body makes of it.
struct Ledger {
    down: String,
    up: String,
    /// What the column is computed from, and what from that.
    inputs: Vec<&'static str>,
    computed: Computed,
    seeds: bool,
    grows: bool,
}

impl Ledger {
    fn random(random: &mut Random) -> Ledger {
        let add = "ALTER TABLE t ADD COLUMN c text;";
        let (fill, inputs, computed): (&str, Vec<&'static str>, Computed) = match random.below(5) {
            0 => ("UPDATE t SET c = 'of ' || n", vec!["n"], |n, _| format!("of {n}")),
            1 => ("UPDATE t SET c = o || n", vec!["n", "o"], |n, o| format!("{o}{n}")),
            2 => ("DO $$ BEGIN UPDATE t SET c = 'by ' || o; END $$", vec!["o"], |_, o| {
                format!("by {o}")
            }),
            3 => ("UPDATE t SET c = 'all'", Vec::new(), |_, _| "all".to_owned()),
            _ => ("", Vec::new(), |_, _| "-".to_owned()),
        };
        let (seeds, grows) = (random.once_in(2), random.once_in(2));
        let mut up = format!("{add} {fill};");
        let mut down = String::new();
        if seeds {
            up.push_str(
                "INSERT INTO t (n, o) SELECT 'seed', 'p' WHERE NOT EXISTS (SELECT FROM t WHERE n = 'seed');",
            );
            down.push_str("DELETE FROM t WHERE n = 'seed';");
        }
        if grows {
            up.push_str("ALTER TYPE state ADD VALUE 'late';");
            down.push_str(
                "UPDATE t SET s = 'done' WHERE s = 'late'; ALTER TYPE state RENAME TO was;
                 CREATE TYPE state AS ENUM ('open', 'done'); ALTER TABLE t ALTER COLUMN s DROP DEFAULT;
                 ALTER TABLE t ALTER COLUMN s TYPE state USING s::text::state;
                 ALTER TABLE t ALTER COLUMN s SET DEFAULT 'open'; DROP TYPE was;",
            );
        }
        down.push_str("ALTER TABLE t DROP COLUMN c;");
        Ledger { down, up, inputs, computed, seeds, grows }
    }

    /// What people write.
    fn writes(&self, random: &mut Random, round: usize, newer: bool) -> String {
        let mut sql = "SELECT 1;".to_owned();
        for id in 1..=5 {
            let value = format!("'{round} {id} {}'", if newer { "newer" } else { "older" });
            let set = match random.below(6) {
                0 => format!("n = {value}"),
                1 => format!("o = {value}"),
                2 if newer => format!("c = {value}"),
                3 if newer && self.grows => "s = 'late'".to_owned(),
                4 => "s = 'open'".to_owned(),
                _ => continue,
            };
            sql.push_str(&format!("UPDATE t SET {set} WHERE id = {id};"));
        }
        sql
    }
}

/// Rows of a query by their first column.
type Rows = BTreeMap<String, BTreeMap<&'static str, String>>;

async fn rows(shadow: &mut Shadow, columns: &[&'static str]) -> Rows {
    let all = shadow.rows().await;
    let table = &all.tables["t"];
    let at = |name: &str| table.columns.iter().position(|it| it.name == name).expect("a column");
    let one = |row: &sternway_testing::Row| {
        let values =
            columns.iter().map(|name| (*name, row[at(name)].clone().unwrap_or("-".to_owned())));
        (row[at("id")].clone().expect("a number"), values.collect())
    };
    table.rows.iter().map(one).collect()
}

/// Goes through rounds of such a table.
async fn of_a_ledger(shadow: &mut Shadow, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    shadow.clear().await;
    let ledger = Ledger::random(&mut random);
    let start = "CREATE TYPE state AS ENUM ('open', 'done');
        CREATE TABLE t (id serial PRIMARY KEY, n text, o text, s state DEFAULT 'open');
        INSERT INTO t (n, o) SELECT 'n' || i, 'o' || i FROM generate_series(1, 5) AS i";
    run(&mut shadow.watch, format!("{start}; {}", ledger.up)).await.expect("a start");
    let told = |what: String| format!("{what}\n-- down\n{}\n-- up\n{}", ledger.down, ledger.up);
    let rounds = 1 + random.below(3);
    let (mut stays, mut found) = (Vec::new(), Snapshot::default());
    for round in 0..rounds {
        run(&mut shadow.watch, ledger.writes(&mut random, round, true)).await.expect("writes");
        let left = shadow.rows().await;
        let was = rows(shadow, &["c", "s"]).await;
        let down = shadow.go(Direction::Down, &ledger.down, true).await;
        down.map_err(|error| told(whole(&error)))?;
        let (below, before) = (shadow.rows().await, rows(shadow, &["n", "o", "s"]).await);
        stays.push(Stay { found, left, below });
        run(&mut shadow.watch, ledger.writes(&mut random, round, false)).await.expect("writes");
        let since = rows(shadow, &["n", "o", "s"]).await;
        let last = round + 1 == rounds;
        let up = shadow.go(Direction::Up, &ledger.up, last).await;
        up.map_err(|error| told(whole(&error)))?;
        found = shadow.rows().await;
        if !last {
            continue;
        }
        let now = rows(shadow, &["n", "o", "c", "s"]).await;
        for (id, row) in now.iter().filter(|(_, row)| row["n"] != "seed") {
            let fresh = (ledger.computed)(&row["n"], &row["o"]);
            let moved = ledger.inputs.iter().any(|it| before[id][it] != since[id][it]);
            if moved && row["c"] != fresh {
                return Err(told(format!("row {id} has {}, and should have {fresh}", row["c"])));
            }
            // What somebody wrote last, and else what somebody wrote on an earlier stay.
            let computed = was[id]["c"] == (ledger.computed)(&before[id]["n"], &before[id]["o"]);
            if !moved && !computed && row["c"] != was[id]["c"] {
                return Err(told(format!("row {id} has {}, and had {}", row["c"], was[id]["c"])));
            }
            let untouched = before[id]["s"] == since[id]["s"];
            if was[id]["s"] == "late" && untouched && row["s"] != "late" {
                return Err(told(format!("row {id} was late and is {}", row["s"])));
            }
        }
        let seeds = now.values().filter(|row| row["n"] == "seed").count();
        if seeds != usize::from(ledger.seeds) {
            return Err(told(format!("{seeds} seed rows: {now:?}")));
        }
    }
    let kept = shadow.kept(0).await;
    let findings = wander(&stays, &found, &kept);
    let findings: Vec<String> = findings
        .iter()
        .filter(|it| !it.what.contains("\"seed\""))
        .map(ToString::to_string)
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(told(format!("{findings:?}\n{kept:?}"))) }
}

#[tokio::test]
async fn nothing_newer_is_overwritten_in_random_rounds() {
    let Some(fresh) = Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    let mut shadow = shadow(&fresh).await;
    let mut failures = Vec::new();
    for seed in seeds(CASES) {
        if let Err(error) = of_a_ledger(&mut shadow, seed).await {
            failures.push(format!("ledger {seed}: {error}"));
        }
        if let Err(error) = of_a_schema(&mut shadow, seed).await {
            failures.push(format!("schema {seed}: {error}"));
        }
        if failures.len() > 10 {
            break;
        }
    }
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n\n"));
}

/// The harness must be able to fail: with each of the rules of restoring switched off.
#[tokio::test]
async fn random_rounds_notice_where_a_rule_is_broken() {
    let Some(fresh) = Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    let mut shadow = shadow(&fresh).await;
    for rule in [Rule::NewerStays, Rule::ComputedStays, Rule::OnlyOnce] {
        break_rule(Some(rule));
        let mut noticed = 0;
        for seed in 1..=40 {
            noticed += u64::from(of_a_ledger(&mut shadow, seed).await.is_err());
        }
        break_rule(None);
        assert!(noticed > 2, "{noticed} of 40 cases notice that {rule:?} is broken");
    }
}
