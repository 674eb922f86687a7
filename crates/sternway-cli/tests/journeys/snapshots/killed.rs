//! A snapshot, its proof and its restore, killed at every point, and without room on the disk: the database is as it
//! was or as it should become, and whoever calls again arrives.

use std::process::Command;

use super::{Port, postgres, sqlite};
use crate::support::{Run, skip};

/// Calls a command again and again, each time killed one point later, until it ends by itself. `check` looks at what
/// is there each time.
pub fn killed_everywhere(
    port: &Port,
    arguments: &[&str],
    mut check: impl FnMut(&str),
) -> Vec<String> {
    let mut points = Vec::new();
    for number in 1..100 {
        let mut command = port.command(arguments);
        command.env("FAILPOINTS", number.to_string());
        let run = Run::of(command);
        let Some(point) = run.stderr.lines().find_map(|it| it.strip_prefix("killed at ")) else {
            run.ended(0);
            return points;
        };
        points.push(point.to_owned());
        check(point);
    }
    panic!("it never ends: {points:?}");
}

/// Takes, proves and restores on a database, whose rows `count` counts.
fn survives(port: &Port, count: impl Fn() -> String, write: impl Fn()) {
    let before = count();
    let points = killed_everywhere(port, &["snapshot", "create", "--prove"], |point| {
        assert_eq!(count(), before, "{point}");
        port.run(&["status"]).ended(0);
    });
    let expected = [
        "snapshot.begins",
        "dump.begins",
        "dump.ended",
        "seal.begins",
        "seal.ended",
        "make.begins",
        "make.ended",
        "load.ended",
        "compare.ended",
    ];
    assert_eq!(points, expected);
    // What was cut short before its manifest is named, and removed when that is asked for.
    let list = port.json("sternway.snapshot.list/1", &["snapshot", "list"]);
    let unfinished = list["snapshots"].as_array().expect("rows").iter();
    assert_eq!(unfinished.filter(|it| it["error"] == "unfinished").count(), 3, "{list}");
    assert!(!port.left("unfinished").is_empty());
    port.run(&["snapshot", "prune", "--unfinished", "--databases", "--yes"]).ended(0);
    assert_eq!(port.left("unfinished"), [""; 0]);
    let id = port.take(&[]);
    write();
    let (since, mut swapped) = (count(), false);
    assert_ne!(since, before);
    let points = killed_everywhere(port, &["snapshot", "restore", &id, "--yes"], |point| {
        swapped |= point == "swap.ended";
        assert_eq!(count(), if swapped { before.clone() } else { since.clone() }, "{point}");
        port.run(&["status"]).ended(0);
    });
    let expected = [
        "snapshot.begins",
        "make.begins",
        "make.ended",
        "load.ended",
        "compare.ended",
        "swap.begins",
        "swap.ended",
    ];
    assert_eq!(points, expected);
    assert_eq!(count(), before);
    port.run(&["snapshot", "prune", "--databases", "--unfinished", "--yes"]).ended(0);
    assert_eq!(count(), before);
    assert_eq!(port.left("swapped_out").len() + port.left("unfinished").len(), 0);
    port.run(&["status"]).ended(0);
}

#[test]
fn snapshots_are_killed_everywhere_on_postgresql() {
    let Some((server, port)) = postgres::port("felled") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    postgres::fill(&server.url);
    let count = || crate::support::ask(&server.url, "SELECT count(*)::text FROM ship");
    let write = || {
        crate::support::execute(&server.url, "INSERT INTO ship (id, name) VALUES (9999, 'since')")
    };
    survives(&port, count, write);
}

#[test]
fn snapshots_are_killed_everywhere_on_sqlite() {
    let port = sqlite::port();
    let file = port.machine.text("harbour.db");
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    sqlite::execute(&file, sqlite::FILL);
    let count = || sqlite::rows(&file).len().to_string();
    survives(&port, count, || {
        sqlite::execute(&file, "INSERT INTO ship (id, name) VALUES (9999, 'since')")
    });
}

/// A small disk of a test's own.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(port: &Port, test: &str) -> Option<Disk> {
        let path = port.machine.path("disk");
        std::fs::create_dir(&path).expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=600k", "tmpfs"])
            .arg(&path)
            .output();
        if mount.is_ok_and(|it| it.status.success()) {
            return Some(Disk(path));
        }
        skip(test, "a small disk can only be made by root");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_store_without_room_leaves_no_snapshot_and_says_so() {
    let Some((server, port)) = postgres::port("full") else { return };
    let Some(disk) = Disk::new(&port, "a full store") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    // Nothing that compresses.
    crate::support::execute(
        &server.url,
        "INSERT INTO ship (id, name) SELECT n, md5(n::text) || md5((n + 1)::text) FROM generate_series(1, 30000) n",
    );
    let store = disk.0.display().to_string();
    port.run(&["snapshot", "create", "--to", &store])
        .ended(1)
        .explains(&["cannot write database.dump", "No space left"]);
    let several = ["snapshot", "create", "--to", &store, "--snapshot-jobs", "2"];
    port.run(&several).ended(1).explains(&["pg_dump ended with", "No space left"]);
    port.run(&["snapshot", "list", "--snapshot-store", &store])
        .ended(0)
        .says(&["no snapshot of harbour"]);
}

#[test]
fn a_database_without_room_beside_it_stays_as_it_is() {
    let mut port = sqlite::port();
    let Some(disk) = Disk::new(&port, "a full disk") else { return };
    let file = disk.0.join("harbour.db").display().to_string();
    port.url = format!("sqlite://{file}");
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    sqlite::execute(
        &file,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
         INSERT INTO ship (id, name) SELECT n, hex(randomblob(40)) FROM n",
    );
    let id = port.take(&[]);
    let before = sqlite::rows(&file);
    port.run(&["snapshot", "restore", &id, "--yes"])
        .ended(1)
        .explains(&["cannot write", "No space left"]);
    assert_eq!(sqlite::rows(&file), before);
    assert_eq!(port.left("unfinished"), [""; 0]);
}
