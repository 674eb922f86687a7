//! Snapshots of SQLite: copies of its file.

use std::fs;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use super::{Port, corrupt};
use crate::support::block_on;

pub fn port() -> Port {
    Port::new(|machine| format!("sqlite://{}", machine.text("harbour.db")))
}

fn open(file: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    block_on(SqliteConnection::connect_with(&options)).expect("a session")
}

pub fn execute(file: &str, sql: &str) {
    let mut session = open(file);
    block_on(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut session)).expect(sql);
    block_on(session.close()).expect("a closed file");
}

pub fn ask(file: &str, sql: &str) -> String {
    let mut session = open(file);
    let row =
        block_on(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(&mut session)).expect(sql);
    block_on(session.close()).expect("a closed file");
    row.get(0)
}

/// Every row, read by other means.
pub fn rows(file: &str) -> Vec<String> {
    let sql = "SELECT 'ship ' || id || name || coalesce(kind, '') FROM ship
               UNION ALL SELECT 'berth ' || id || coalesce(ship, '') || quote(depth) FROM berth ORDER BY 1";
    let mut session = open(file);
    let rows = block_on(sqlx::raw_sql(sql).fetch_all(&mut session)).expect("rows");
    block_on(session.close()).expect("a closed file");
    rows.iter().map(|row| row.get(0)).collect()
}

pub const FILL: &str = "
INSERT INTO ship (id, name, kind) VALUES (1, 'Anna', 'tug'), (2, 'Berta', NULL), (3, 'C', 'ferry');
INSERT INTO berth (id, ship, depth) VALUES (1, 1, 0.1), (2, NULL, 1e300)";

fn journey(mode: &str) {
    let port = port();
    let file = port.machine.text("harbour.db");
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    execute(&file, &format!("PRAGMA journal_mode = {mode}"));
    execute(&file, FILL);
    let taken = rows(&file);
    let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    assert_eq!((&shape["release"], &shape["tables"]["ship"]), (&"1.1.0".into(), &3.into()));
    assert!(shape["proven"].is_object(), "{shape}");
    let id = shape["id"].as_str().expect("a name");
    execute(
        &file,
        "DELETE FROM berth; UPDATE ship SET name = 'other' WHERE id = 1; INSERT INTO ship (id, name) VALUES (4, 'D')",
    );
    let later = rows(&file);
    let restored = port.run(&["snapshot", "restore", id, "--yes"]).ended(0);
    restored.says(&["berth: 2 rows then, 0 now", "ship: 3 rows then, 4 now", "restored"]);
    assert_eq!(rows(&file), taken);
    let [kept] = port.left("swapped_out").try_into().expect("one");
    assert_eq!(rows(&kept), later);
    // The file keeps its log as it did.
    let mut session = open(&file);
    let is: String = block_on(sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut session))
        .expect("a mode");
    assert_eq!(is, mode);
    block_on(session.close()).expect("a closed file");
    port.run(&["status"]).ended(0).says(&["of 1.1.0", "drift: none"]);
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    assert!(!fs::exists(&kept).expect("a look"));
    corrupt(&port.file(id));
    port.run(&["snapshot", "restore", id, "--yes"]).ended(3).explains(&["is damaged"]);
    assert_eq!(rows(&file), taken);
}

#[test]
fn a_file_is_copied_proven_and_restored() {
    journey("delete");
}

#[test]
fn a_file_with_a_log_beside_it_is_copied_proven_and_restored() {
    journey("wal");
}
