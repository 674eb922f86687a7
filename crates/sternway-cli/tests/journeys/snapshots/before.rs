//! A snapshot before a journey changes the schema, by policy or by hand.

use super::{postgres, sqlite};
use crate::support::{Run, ask, execute};

/// Scenario 4: a database without a tracking table is adopted, and the snapshot is what leads back from there.
#[test]
fn an_adopted_database_has_a_snapshot_to_go_back_to() {
    let Some((server, port)) = postgres::port("adopted") else { return };
    execute(&server.url, "CREATE TABLE of_old (id int PRIMARY KEY); INSERT INTO of_old VALUES (1)");
    let upgrade = ["upgrade", "--to", "1.0.0", "--adopt", "--snapshot", "proven", "--yes"];
    port.run(&upgrade).ended(0).says(&[
        "snapshot: a copy of the whole database, restored on trial and compared",
        "proven",
    ]);
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM of_old"), "1");
    port.run(&["snapshot", "restore", "latest", "--yes"]).ended(0);
    assert_eq!(ask(&server.url, "SELECT coalesce(to_regclass('ship')::text, 'none')"), "none");
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM of_old"), "1");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
}

/// Scenario 5: below the floor nothing is done, not even a snapshot.
#[test]
fn below_the_floor_no_snapshot_is_taken() {
    let port = sqlite::port();
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let back = ["rollback", "--to", "1.0.0", "--floor", "1.1.0", "--snapshot", "taken", "--yes"];
    port.run(&back).ended(3).explains(&["1.1.0"]);
    port.run(&["snapshot", "list"]).ended(0).says(&["no snapshot of harbour"]);
}

#[test]
fn a_policy_has_a_snapshot_taken_before_anything_is_changed() {
    let port = sqlite::port();
    let settings = port.machine.read("sternway.toml");
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let file = port.machine.text("harbour.db");
    sqlite::execute(&file, sqlite::FILL);
    let taken = sqlite::rows(&file);
    port.machine.write("sternway.toml", &format!("{settings}\n[policy]\nsnapshot = \"proven\"\n"));
    let plan = port.run(&["plan", "--to", "1.0.0"]).ended(0);
    plan.says(&["snapshot: a copy of the whole database, restored on trial and compared (how long it takes is not known)"]);
    port.run(&["plan", "--to", "1.0.0", "--out", "back.json"]).ended(0);
    let run = port.run(&["apply", "back.json", "--yes"]).ended(0);
    run.says(&["snapshot 20", "proven", "rolled back to 1.0.0"]);
    // Now it is known how long one takes; where the schema stays there is none.
    port.run(&["plan", "--to", "1.1.0"]).ended(0).says(&["compared (about "]);
    let list = port.json("sternway.snapshot.list/1", &["snapshot", "list"]);
    assert_eq!(list["snapshots"][0]["proven"], true, "{list}");
    port.run(&["snapshot", "restore", "latest", "--yes"]).ended(0);
    assert_eq!(sqlite::rows(&file), taken);
    port.run(&["status"]).ended(0).says(&["of 1.1.0"]);
    // A setting that is none is refused, and so is a plan that nobody can carry out.
    port.run(&["plan", "--to", "1.0.0", "--snapshot", "maybe"])
        .ended(2)
        .explains(&["`maybe` says nothing of a snapshot"]);
    let mut without = port.command(&["apply", "back.json", "--yes"]);
    without.env_remove("STERNWAY_SNAPSHOT_STORE");
    Run::of(without).ended(2).explains(&["nothing says where snapshots are kept"]);
}

/// The application is stopped first, and started again where there is no snapshot: nothing was changed.
#[test]
fn without_a_snapshot_nothing_is_changed() {
    let Some((server, port)) = postgres::port("refused") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let log = port.machine.text("app.log");
    let app = |word: &str| format!("echo {word} >> {log}");
    let (stop, swap, start) = (app("stop"), app("swap"), app("start"));
    let deploy = [
        "--deploy-stop",
        &stop,
        "--deploy-swap",
        &swap,
        "--deploy-start",
        &start,
        "--from",
        "1.1.0",
    ];
    let back = [
        &["rollback", "--to", "1.0.0", "--reset-schema", "--snapshot", "taken", "--yes"][..],
        &deploy,
    ]
    .concat();
    let mut command = port.command(&back);
    command.env("STERNWAY_SNAPSHOT_TOOLS", port.machine.text("nothing"));
    Run::of(command).ended(1).explains(&[
        "there is no snapshot as the plan wants it",
        "no pg_restore fits",
        "goes without",
    ]);
    assert_eq!(port.machine.read("app.log"), "stop\nstart\n");
    assert_eq!(ask(&server.url, "SELECT version::text FROM schema_migrations"), "2");
    port.run(&["status"]).ended(0).says(&["of 1.1.0"]);
    port.run(&back).ended(0).says(&["app: stop", "snapshot 20", "rolled back to 1.0.0"]);
    assert_eq!(port.machine.read("app.log"), "stop\nstart\nstop\nswap\nstart\n");
}

/// Behind a fence that lets only others read, the snapshot is proven all the same, and what is restored of it is no
/// run that anybody has to end.
#[test]
fn a_snapshot_is_proven_behind_a_fence() {
    let Some((server, port)) = postgres::port("behind") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    postgres::fill(&server.url);
    let back = [
        "rollback",
        "--to",
        "1.0.0",
        "--snapshot",
        "proven",
        "--fence",
        "read-only",
        "--fence-role",
        &server.name,
        "--yes",
    ];
    port.run(&back).ended(0).says(&[
        "the fence stands",
        "snapshot 20",
        "proven",
        "rolled back to 1.0.0",
    ]);
    port.run(&["snapshot", "restore", "latest", "--yes"])
        .ended(0)
        .says(&["public.berth: 100 rows then, not there now"]);
    let status = port.json("sternway.status/1", &["status"]);
    assert!(status["unfinished"].is_null(), "{status}");
    assert_eq!(status["releases"], serde_json::json!(["1.1.0"]));
    // The fence was up when the snapshot was taken, and is not up here.
    port.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    execute(&server.url, "INSERT INTO ship (id, name) VALUES (9999, 'written')");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
}

/// Killed while its snapshot is taken, a journey is resumed: it takes another one.
#[test]
fn a_journey_that_is_killed_at_its_snapshot_is_resumed() {
    let port = sqlite::port();
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    for point in ["dump.ended", "seal.ended"] {
        let mut command =
            port.command(&["rollback", "--to", "1.0.0", "--snapshot", "taken", "--yes"]);
        command.env("FAILPOINTS", point);
        assert!(Run::of(command).stderr.contains(&format!("killed at {point}")));
        port.run(&["resume", "--yes"]).ended(0).says(&["snapshot 20"]);
        port.run(&["status"]).ended(0).says(&["of 1.0.0"]);
        port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    }
    let mut command = port.command(&["rollback", "--to", "1.0.0", "--snapshot", "taken", "--yes"]);
    command.env("FAILPOINTS", "dump.begins");
    assert!(Run::of(command).stderr.contains("killed at dump.begins"));
    port.run(&["abort", "--yes"]).ended(0);
    port.run(&["status"]).ended(0).says(&["of 1.1.0"]);
}
