//! Random rounds on every dialect: down, and up again by Sternway or by the application itself, with people at
//! work on both sides.
//!
//! `STERNWAY_TEST_SEEDS=m-n` tries those seeds.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::catalog::Direction::{Down, Up};
use sternway_testing::Random;

use super::newer::{at_two, keeping, knowing, list, write};
use super::support::seeds;
use super::{Ground, Session, went};

/// However often the application migrates up by itself between rollbacks: in the end each row has what
/// was last written to it.
pub async fn the_last_value_of_every_row_comes_back(ground: &Ground) {
    for seed in seeds(6) {
        let mut random = Random::new(seed);
        let start = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20)); CREATE TABLE w (id INT PRIMARY KEY, v VARCHAR(20))";
        let ground = ground.another().await;
        let mut session = at_two(&ground, start).await;
        let (down, up) = (
            "ALTER TABLE t DROP COLUMN v; DROP TABLE w",
            "ALTER TABLE t ADD COLUMN v VARCHAR(20); CREATE TABLE w (id INT PRIMARY KEY, v VARCHAR(20))",
        );
        let mut last: [BTreeMap<u64, Option<String>>; 2] = Default::default();
        let mut sql = String::new();
        for id in 1..=6 {
            last[0].insert(id, None);
            sql.push_str(&format!("INSERT INTO t (id) VALUES ({id});"));
        }
        write(&mut session, 2, &sql).await;
        let rounds = 1 + random.below(4);
        for round in 0..=rounds {
            let mut sql = String::new();
            for id in 1..=6 {
                let value = format!("{round} {id}");
                match random.below(6) {
                    0 | 1 if last[0].contains_key(&id) => {
                        sql.push_str(&format!("UPDATE t SET v = '{value}' WHERE id = {id};"));
                        last[0].insert(id, Some(value));
                    }
                    2 if last[0].contains_key(&id) && id > 3 => {
                        sql.push_str(&format!("DELETE FROM t WHERE id = {id};"));
                        last[0].remove(&id);
                    }
                    3 | 4 => {
                        // What was kept of it is in the archive: the table is empty after each way up.
                        sql.push_str(&format!("INSERT INTO w VALUES ({id}, '{value}');"));
                        last[1].insert(id, Some(value));
                    }
                    _ => {}
                }
            }
            if !sql.is_empty() {
                write(&mut session, 2, &sql).await;
            }
            keeping(&mut session, Down, down).await;
            if round < rounds {
                went(&mut session, Some(1), Some(2), up).await;
            }
        }
        let restored = keeping(&mut session, Up, up).await.restored;
        for (table, last) in ["t", "w"].iter().zip(&last) {
            let wanted: Vec<String> =
                last.values().map(|it| it.clone().unwrap_or("-".to_owned())).collect();
            let found = list(&mut session, &format!("SELECT v FROM {table} ORDER BY id")).await;
            let server = &session.identity().server;
            assert_eq!(
                found, wanted,
                "{server}, seed {seed}, {rounds} rounds, {table}: {restored:?}"
            );
        }
    }
}

/// A table with what the up body makes of it.
struct Ledger {
    down: String,
    up: String,
    /// What its column `c` is computed from, and what from that.
    inputs: &'static [&'static str],
    computed: fn(&Row) -> String,
    has_seeds: bool,
}

/// A row's values by their columns.
type Row = BTreeMap<&'static str, String>;

/// What stands for no value.
const NONE: &str = "-";

impl Ledger {
    fn random(random: &mut Random) -> Ledger {
        type Way = (&'static str, &'static [&'static str], fn(&Row) -> String);
        let ways: [Way; 6] = [
            ("UPDATE t SET c = UPPER(n);", &["n"], |row| upper_or_none(&row["n"])),
            ("UPDATE t SET c = COALESCE(UPPER(o), UPPER(n));", &["n", "o"], |row| {
                upper_or_none(if row["o"] == NONE { &row["n"] } else { &row["o"] })
            }),
            ("UPDATE t SET c = UPPER(o) WHERE n IS NOT NULL;", &["n", "o"], |row| {
                upper_or_none(if row["n"] == NONE { &row["n"] } else { &row["o"] })
            }),
            ("UPDATE t SET c = 'all';", &[], |_| "all".to_owned()),
            ("DEFAULT", &[], |_| "usual".to_owned()),
            ("", &[], |_| NONE.to_owned()),
        ];
        let (fill, inputs, computed) = *random.pick(&ways);
        let mut up = match fill {
            "DEFAULT" => "ALTER TABLE t ADD COLUMN c VARCHAR(40) DEFAULT 'usual';".to_owned(),
            fill => format!("ALTER TABLE t ADD COLUMN c VARCHAR(40);{fill}"),
        };
        let mut down = "ALTER TABLE t DROP COLUMN c".to_owned();
        let has_seeds = random.once_in(2);
        if has_seeds {
            up.push_str(
                "INSERT INTO t (n, o) SELECT 'seed', 'p' FROM one WHERE NOT EXISTS (SELECT 1 FROM t WHERE n = 'seed')",
            );
            down = format!("DELETE FROM t WHERE n = 'seed';{down}");
        }
        Ledger { down, up: up.trim_end_matches(';').to_owned(), inputs, computed, has_seeds }
    }
}

/// What a column computed from others should have, and what somebody wrote into it, comes back by row: fresh where
/// what it is computed from has changed, and else as it was. What the body makes anew is there once.
pub async fn a_random_ledger_is_as_fresh_as_its_rows(ground: &Ground) {
    let mut failures = Vec::new();
    for seed in seeds(12) {
        let ground = ground.another().await;
        if let Err(error) = rounds(&ground, seed).await {
            failures.push(format!("seed {seed}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn rounds(ground: &Ground, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let ledger = Ledger::random(&mut random);
    let Ledger { down, up, .. } = &ledger;
    let server = ground.session().await.identity().server.clone();
    let key = match server.split(' ').next() {
        Some("PostgreSQL") => "SERIAL PRIMARY KEY",
        Some("SQLite") => "INTEGER PRIMARY KEY AUTOINCREMENT",
        _ => "INT AUTO_INCREMENT PRIMARY KEY",
    };
    let start = format!(
        "CREATE TABLE one (a INT); INSERT INTO one VALUES (1); CREATE TABLE t (id {key}, n VARCHAR(40), o VARCHAR(40));
         INSERT INTO t (n, o) VALUES ('a', 'p'), ('b', 'q'), ('c', 'r'), ('d', 's'), ('e', 't'); {up}"
    );
    let mut session = at_two(ground, &start).await;
    let (times, mut taken) = (1 + random.below(3), BTreeSet::new());
    let mut log = vec![format!("{server}\n{down}\n{up}")];
    for time in 0..times {
        writes(&mut session, (2, time), &mut random, &mut taken, &mut log).await;
        let was = rows(&mut session, &["n", "c"]).await;
        knowing(&mut session, Down, down, up).await;
        let before = rows(&mut session, &["n", "o"]).await;
        writes(&mut session, (1, time), &mut random, &mut taken, &mut log).await;
        let since = rows(&mut session, &["n", "o"]).await;
        if time + 1 < times {
            went(&mut session, Some(1), Some(2), up).await;
            continue;
        }
        let restored = knowing(&mut session, Up, up, down).await.restored;
        let now = rows(&mut session, &["n", "o", "c"]).await;
        let told = |what: String| Err(format!("{what}\n{}\n{restored:?}", log.join("\n")));
        for (id, row) in now.iter().filter(|(_, row)| row["n"] != "seed") {
            let (fresh, c) = ((ledger.computed)(row), &row["c"]);
            let moved = |from: &Row| ledger.inputs.iter().any(|it| from[it] != since[id][it]);
            match before.get(id) {
                None if *c != fresh => {
                    return told(format!("row {id} is new and has {c}, not {fresh}"));
                }
                Some(before) if moved(before) && *c != fresh => {
                    return told(format!("row {id} has {c}, and should have {fresh}"));
                }
                Some(before) => {
                    let (had, made) = (&was[id]["c"], (ledger.computed)(before));
                    if !moved(before) && *had != made && c != had {
                        return told(format!("row {id} has {c}, and had {had}"));
                    }
                }
                None => {}
            }
        }
        let seeds = now.values().filter(|row| row["n"] == "seed").count();
        if seeds != usize::from(ledger.has_seeds) {
            return told(format!("{seeds} seed rows: {now:?}"));
        }
        let back: BTreeSet<&u64> = now.keys().filter(|id| taken.contains(*id)).collect();
        if !back.is_empty() {
            return told(format!("{back:?} were deleted, and are there again"));
        }
    }
    Ok(())
}

fn upper_or_none(value: &str) -> String {
    if value == NONE { NONE.to_owned() } else { value.to_uppercase() }
}

/// What people write at migration `at`; the rows that they delete are `taken`.
async fn writes(
    session: &mut Session,
    (at, time): (u64, usize),
    random: &mut Random,
    taken: &mut BTreeSet<u64>,
    log: &mut Vec<String>,
) {
    let ids: Vec<u64> = rows(session, &["n"])
        .await
        .into_iter()
        .filter(|(_, it)| it["n"] != "seed")
        .map(|(id, _)| id)
        .collect();
    let mut sql = Vec::new();
    for id in ids {
        let value = format!("'{time} {id} at {at}'");
        let set = match random.below(9) {
            0 => format!("n = {value}"),
            1 => format!("o = {value}"),
            2 => "n = NULL".to_owned(),
            3 | 4 if at == 2 => format!("c = {value}"),
            5 if at == 2 => "c = NULL".to_owned(),
            6 => "o = o".to_owned(),
            7 if random.once_in(3) => {
                taken.insert(id);
                sql.push(format!("DELETE FROM t WHERE id = {id}"));
                continue;
            }
            _ => continue,
        };
        sql.push(format!("UPDATE t SET {set} WHERE id = {id}"));
    }
    if random.once_in(2) {
        sql.push(format!("INSERT INTO t (n, o) VALUES ('more {time} at {at}', 'x')"));
    }
    if !sql.is_empty() {
        let sql = sql.join(";");
        write(session, at, &sql).await;
        log.push(format!("at {at}: {sql}"));
    }
}

async fn rows(session: &mut Session, columns: &[&'static str]) -> BTreeMap<u64, Row> {
    let mut rows: BTreeMap<u64, Row> = BTreeMap::new();
    let ids = list(session, "SELECT id FROM t ORDER BY id").await;
    let ids: Vec<u64> = ids.iter().map(|it| it.parse().expect("a number")).collect();
    for column in columns {
        let values = list(session, &format!("SELECT {column} FROM t ORDER BY id")).await;
        for (id, value) in ids.iter().zip(values) {
            rows.entry(*id).or_default().insert(column, value);
        }
    }
    rows
}
