//! Scenarios of kagent's history that lose data where nobody takes care, with its real migrations
//! and the built-in profile.
//!
//! Runs when `STERNWAY_KAGENT_REPO` is the path of a clone with tags.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Machine, Run, Server, ask, execute, variable};

struct Kagent {
    machine: Machine,
    server: Server,
    repository: String,
}

impl Kagent {
    /// A release of it on a server, with rows.
    fn installed(test: &str, release: &str, rows: &str) -> Option<Kagent> {
        let repository = variable("STERNWAY_KAGENT_REPO", test)?;
        let kagent = Kagent { machine: Machine::empty(), server: Server::new(test)?, repository };
        kagent.go(&["upgrade", "--to", release]);
        execute(&kagent.server.url, rows);
        Some(kagent)
    }

    fn on(&self, arguments: &[&str]) -> Run {
        let settings = ["--profile", "kagent", "--source", &self.repository];
        self.machine.on(&self.server.url, &[arguments, &settings].concat())
    }

    fn go(&self, arguments: &[&str]) -> Run {
        self.on(&[arguments, &["--yes"]].concat()).ended(0)
    }

    fn ask(&self, sql: &str) -> String {
        ask(&self.server.url, sql)
    }

    /// Every row of a table, and how many there are.
    fn digest(&self, table: &str) -> String {
        self.ask(&format!(
            "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t"
        ))
    }

    /// What the archive keeps: what it is, how many rows, how many of them are nowhere else.
    fn kept(&self) -> Vec<(String, Value, Value)> {
        let list = self.on(&["archive", "list", "--output", "json"]).ended(0);
        let list = list.json("sternway.archive.list/1");
        let entries = list["entries"].as_array().expect("entries");
        let kept = entries.iter().map(|it| {
            let what = ["table", "column", "sequence"].map(|part| it[part].as_str().unwrap_or(""));
            let what: Vec<&str> = what.into_iter().filter(|it| !it.is_empty()).collect();
            (what.join("."), it["rows"].clone(), it["waiting"].clone())
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept
    }

    /// What the archive gives out of every entry, as SQL.
    fn exported(&self) -> String {
        let list = self.on(&["archive", "list", "--output", "json"]).ended(0);
        let list = list.json("sternway.archive.list/1");
        let ids =
            list["entries"].as_array().expect("entries").iter().map(|it| it["id"].to_string());
        // Parents were kept before their children, as the foreign keys want them.
        ids.map(|id| self.on(&["archive", "export", &id, "--format", "sql"]).ended(0).stdout)
            .collect()
    }

    fn psql(&self, sql: &str) {
        let mut psql = self.machine.program("psql".as_ref());
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            &self.server.url,
        ]);
        let child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("psql");
        child.stdin.take().expect("its input").write_all(sql.as_bytes()).expect("it to read");
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn all(kept: &[(&str, u64)], waiting: bool) -> Vec<(String, Value, Value)> {
    let each = |(what, rows): &(&str, u64)| {
        (what.to_string(), json!(rows), json!(if waiting { *rows } else { 0 }))
    };
    kept.iter().map(each).collect()
}

#[test]
fn scenario_08_the_protocol_versions_are_counted_kept_and_back() {
    let rows = "
        INSERT INTO task (id, data, protocol_version)
        SELECT 'task ' || n, '{}', CASE WHEN n <= 120 THEN '0.3' END FROM generate_series(1, 200) n;
        INSERT INTO push_notification (id, task_id, data, protocol_version)
        SELECT 'note ' || n, 'task ' || n, '{}', CASE WHEN n <= 7 THEN '0.2.6' END FROM generate_series(1, 30) n";
    let Some(kagent) = Kagent::installed("scenario_08", "0.9.9", rows) else { return };
    let before = ["task", "push_notification"].map(|table| kagent.digest(table));
    let plan = kagent.on(&["plan", "--from", "0.9.9", "--to", "0.9.3"]).ended(0).quiet();
    let plan = plan.says(&[
        "core 5 -> 4: 000005_a2a_protocol_version.down.sql",
        "column task.protocol_version: 120 values, about 480 bytes; kept in the archive",
        "column push_notification.protocol_version: 7 values, about 42 bytes; kept in the archive",
        "locks push_notification, task: ACCESS EXCLUSIVE",
    ]);
    assert_eq!(plan.stdout.matches(" -> ").count(), 1, "{}", plan.stdout);
    kagent
        .go(&["rollback", "--from", "0.9.9", "--to", "0.9.3"])
        .says(&["rolled back to 0.9.3; the schema is that of a clean install of core 4"]);
    // The nulls are kept too, so that no default takes their place later.
    let kept = [("push_notification.protocol_version", 30), ("task.protocol_version", 200)];
    assert_eq!(kagent.kept(), all(&kept, true));
    kagent.go(&["upgrade", "--from", "0.9.3", "--to", "0.9.9"]);
    assert_eq!(kagent.kept(), all(&kept, false));
    assert_eq!(["task", "push_notification"].map(|table| kagent.digest(table)), before);
}

/// Three shares and five tasks with owners that no session tells.
const SHARES: &str = "
    INSERT INTO session (id, user_id) VALUES ('s1', 'ada'), ('s2', 'bob');
    INSERT INTO session_share (token, session_id, user_id, read_only)
    VALUES ('t1', 's1', 'ada', true), ('t2', 's1', 'ada', false), ('t3', 's2', 'bob', true);
    INSERT INTO session_share_access (share_id, user_id) SELECT id, 'guest ' || id FROM session_share;
    INSERT INTO task (id, data, session_id, user_id, protocol_version)
    SELECT 'task ' || n, '{}', 's1', 'owner ' || n, '1.0' FROM generate_series(1, 5) n";

const TABLES: [&str; 3] = ["task", "session_share", "session_share_access"];

const KEPT: [(&str, u64); 6] = [
    ("push_notification.protocol_version", 0),
    ("session_share", 3),
    ("session_share_access", 3),
    ("session_share_id_seq", 1),
    ("task.protocol_version", 5),
    ("task.user_id", 5),
];

/// The archive gives all of it back by itself; and out of the database and in again, by hand.
#[test]
fn scenario_11_shares_and_owners_are_counted_kept_exported_and_back() {
    let Some(kagent) = Kagent::installed("scenario_11", "0.10.0-rc3", SHARES) else { return };
    let before = TABLES.map(|table| kagent.digest(table));
    let plan = kagent.on(&["plan", "--from", "0.10.0-rc3", "--to", "0.9.6"]).ended(0).quiet();
    plan.says(&[
        "core 7 -> 6: 000007_task_owner.down.sql",
        "column task.user_id: 5 values, ",
        "core 6 -> 5: 000006_session_shares.down.sql",
        "table session_share: 3 rows, ",
        "table session_share_access: 3 rows, ",
        "core 5 -> 4: 000005_a2a_protocol_version.down.sql",
        "column task.protocol_version: 5 values, ",
        "column push_notification.protocol_version: no values; kept in the archive",
    ]);
    let back = ["rollback", "--from", "0.10.0-rc3", "--to", "0.9.6"];
    // Without the archive nobody goes ahead unasked, and the numbers say what it would cost.
    let lossy = [&back[..], &["--discard"]].concat();
    kagent
        .on(&lossy)
        .ended(2)
        .says(&["table session_share: 3 rows, ", "; LOST"])
        .explains(&["nobody can be asked here"]);
    assert_eq!(kagent.ask("SELECT version::text FROM schema_migrations"), "7");

    kagent.go(&back);
    assert_eq!(kagent.kept(), all(&KEPT, true));
    kagent.go(&["upgrade", "--from", "0.9.6", "--to", "0.10.0-rc3"]);
    assert_eq!(TABLES.map(|table| kagent.digest(table)), before);
    assert_eq!(kagent.kept(), all(&KEPT, false));
    kagent.go(&["archive", "drop", "--restored"]);

    kagent.go(&back);
    let exported = kagent.exported();
    kagent.go(&["archive", "drop", "--older-than", "0"]);
    assert_eq!(kagent.kept(), []);
    kagent.go(&["upgrade", "--from", "0.9.6", "--to", "0.10.0-rc3"]);
    assert_eq!(kagent.ask("SELECT count(*)::text FROM session_share"), "0");
    kagent.psql(&exported);
    assert_eq!(TABLES.map(|table| kagent.digest(table)), before);
}

/// What an older release writes on the schema that it tolerates: tasks without an owner. The session of
/// one belongs to one user, that of another to two, that of the third is not there, and the last has
/// none.
const UNOWNED: &str = "
    INSERT INTO session (id, user_id) VALUES ('s1', 'ada'), ('s2', 'ada'), ('s2', 'bob');
    INSERT INTO task (id, data, session_id) VALUES
    ('t1', '{}', 's1'), ('t2', '{}', 's2'), ('t3', '{}', 's3'), ('t4', '{}', NULL)";

/// The backfill of file 7 does not run by itself: the schema is at 7 already. It is offered, and gives
/// owners only where there is no doubt.
#[test]
fn scenario_12_tasks_without_an_owner_are_told_and_file_7_is_offered_again() {
    let task = "INSERT INTO task (id, data, user_id) VALUES ('t0', '{}', 'eve')";
    let Some(kagent) = Kagent::installed("scenario_12", "0.10.0-rc3", task) else { return };
    let told = "check: tasks have no owner";
    let back = kagent.go(&["rollback", "--from", "0.10.0-rc3", "--to", "0.9.12"]);
    assert!(!back.stdout.contains(told), "{}", back.stdout);
    execute(&kagent.server.url, UNOWNED);
    let owners = "SELECT string_agg(id || coalesce(user_id, '?'), ' ' ORDER BY id) FROM task";

    let again = ["upgrade", "--from", "0.9.12", "--to", "0.10.0-rc3"];
    let doubtful = [
        "t2 of session s2, which several users have",
        "t3 of session s3, which is not there",
        "t4 of no session",
    ];
    let offer = "000007_task_owner.up.sql can run again for these: --again";
    let run = kagent.go(&again);
    run.says(&[&[told, "t1 of session s1, which belongs to ada", offer][..], &doubtful].concat());
    assert_eq!(kagent.ask(owners), "t0eve t1? t2? t3? t4?");
    assert_eq!(kagent.kept(), []);

    let again = [&again[..], &["--again"]].concat();
    let run = kagent.go(&again);
    let ran = ["000007_task_owner.up.sql ran again", told, "and leaves these as they are"];
    let run = run.says(&[&ran[..], &doubtful].concat());
    assert!(!run.stdout.contains("t1 of session"), "{}", run.stdout);
    assert_eq!(kagent.ask(owners), "t0eve t1ada t2? t3? t4?");
    assert_eq!(kagent.ask("SELECT version || ' ' || dirty FROM schema_migrations"), "7 false");
    // What it has written over is kept, as whatever a migration does.
    assert_eq!(kagent.kept(), all(&[("task", 1)], true));

    let run = kagent.go(&[&again[..], &["--output", "json"]].concat()).json("sternway.run/1");
    let check = json!({
        "message": "tasks have no owner, and are hidden from everybody", "severity": "warn",
        "holds": false, "rows": doubtful, "more": false,
        "again": "000007_task_owner.up.sql", "ran_again": true,
    });
    assert_eq!(run["checks"], json!([check]));

    execute(&kagent.server.url, "UPDATE task SET user_id = 'ada'");
    let run = kagent.go(&again);
    assert!(!run.stdout.contains(told) && !run.stdout.contains("ran again"), "{}", run.stdout);
    // Below 7 there is no such column, and nobody asks.
    kagent.go(&["rollback", "--from", "0.10.0-rc3", "--to", "0.9.6"]);
}
