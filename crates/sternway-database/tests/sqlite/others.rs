//! SQLite with others at work on the same file: other Sternways, one that is killed, golang-migrate.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sternway_model::position::Position;
use sternway_model::state::{TrackState, TrackingRow};

use crate::support::sqlite::{Place, open, track, up};
use crate::support::{TABLE, at, variable};

#[tokio::test]
async fn twenty_at_once_apply_each_migration_once() {
    let place = Place::new();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let url = place.url("");
        tasks.push(tokio::spawn(async move {
            let mut session = open(&url).await;
            session.lock(&[], Duration::from_secs(60)).await.expect("a lock");
            let mut applied = 0;
            while let Some(next @ 1..=10) =
                Some(track(&mut session).await.row().position.number().unwrap_or(0) + 1)
            {
                up(&mut session, next, &format!("CREATE TABLE t{next} (x)")).await;
                applied += 1;
            }
            session.unlock().await.expect("unlocked");
            applied
        }));
    }
    let mut applied = 0;
    for task in tasks {
        applied += task.await.expect("a task");
    }
    assert_eq!(applied, 10);
}

const CHILD: &str = "STERNWAY_TEST_CHILD";
const ENDLESS: &str = "CREATE TABLE b (x); INSERT INTO a VALUES (1), (2);
    INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT randomblob(99) FROM n";

/// What the next test starts and kills.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let mut session = open(&url).await;
    session.lock(&[], Duration::ZERO).await.expect("a lock");
    up(&mut session, 2, ENDLESS).await;
}

#[tokio::test]
async fn killed_in_the_middle_of_a_body_nothing_is_left_of_it() {
    let place = Place::new();
    up(&mut place.session().await, 1, "CREATE TABLE a (x)").await;
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "others::child"])
        .env(CHILD, place.url(""))
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    // Until more is written than its memory holds.
    let start = Instant::now();
    let grown = |path: &Path| std::fs::metadata(path).is_ok_and(|it| it.len() > 4_000_000);
    while !grown(&place.file()) {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("killed");
    child.wait().expect("its end");
    let mut session = place.session().await;
    session.lock(&[], Duration::ZERO).await.expect("the lock of the dead");
    assert_eq!(track(&mut session).await, at(1));
    assert_eq!(place.ask("SELECT count(*) FROM a").await, "0");
    up(&mut session, 2, "CREATE TABLE b (x)").await;
}

/// golang-migrate over this file.
fn golang_migrate(place: &Place, arguments: &[&str]) -> Option<String> {
    let program = variable("STERNWAY_TEST_MIGRATE")?;
    let folder = place.folder.path().join("migrations");
    std::fs::create_dir_all(&folder).expect("a folder");
    for number in 1..=4 {
        let up = format!("CREATE TABLE t{number} (x);");
        std::fs::write(folder.join(format!("{number}_a.up.sql")), up).expect("a file");
        let down = format!("DROP TABLE t{number};");
        std::fs::write(folder.join(format!("{number}_a.down.sql")), down).expect("a file");
    }
    let url = format!("sqlite://{}", place.file().display());
    let output = Command::new(program)
        .arg("-path")
        .arg(folder)
        .args(["-database", &url])
        .args(arguments)
        .output()
        .expect("golang-migrate");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    Some(said)
}

#[tokio::test]
async fn golang_migrate_and_sternway_take_turns_on_a_file() {
    let place = Place::new();
    if golang_migrate(&place, &["up", "2"]).is_none() {
        return;
    }
    let mut session = place.session().await;
    assert_eq!(track(&mut session).await, at(2));
    session.prepare_records().await.expect("records");
    up(&mut session, 3, "CREATE TABLE t3 (x)").await;
    assert_eq!(golang_migrate(&place, &["version"]).as_deref(), Some("3"));
    golang_migrate(&place, &["up"]);
    assert_eq!(track(&mut session).await, at(4));
    golang_migrate(&place, &["down", "-all"]);
    assert_eq!(track(&mut session).await, at(None));
    up(&mut session, 1, "CREATE TABLE t1 (x)").await;
    assert_eq!(golang_migrate(&place, &["version"]).as_deref(), Some("1"));
    session.set_track(TABLE, TrackingRow::dirty(Position::Nothing)).await.expect("a row");
    golang_migrate(&place, &["force", "1"]);
    assert_eq!(track(&mut session).await, at(1));
    // Also the drop that would stumble over what AUTOINCREMENT makes.
    golang_migrate(&place, &["drop", "-f"]);
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    let table = session.tables(&[]).await.expect("tables");
    assert!(table.is_empty(), "{table:?}");
}

#[tokio::test]
async fn golang_migrate_opens_what_sternway_made() {
    let place = Place::new();
    let mut session = place.session().await;
    up(&mut session, 1, "CREATE TABLE t1 (x)").await;
    let Some(said) = golang_migrate(&place, &["up"]) else { return };
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_eq!(track(&mut session).await, at(4));
}
