//! What is kept: found, looked at, taken out of the database in forms that other programs read, put
//! back, and let go.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Machine, Run, Server, ask, execute, settings};

/// What a name and a value may be.
const CREATE: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'it''s \\\\odd\\\\, \\\"so\\\"');
    CREATE TABLE \"Odd \"\"name\"\" of; a table\" (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        \"select\" text, \"a\\\\b\" text, mood mood, data jsonb, bytes bytea, tags text[], price numeric(10, 2),
        at timestamptz, twice bigint GENERATED ALWAYS AS (id * 2) STORED);";

/// Two releases: the second has one table more, and one column more in the table of the first.
fn letters() -> Machine {
    let machine = Machine::of("letters", "migrations");
    let up = CREATE.replace("\\\\", "\\").replace("\\\"", "\"");
    let files = [
        ("000001_letter.up.sql", "CREATE TABLE letter (id int PRIMARY KEY, body text);"),
        ("000001_letter.down.sql", "DROP TABLE letter;"),
        ("000002_odd.up.sql", &format!("{up} ALTER TABLE letter ADD COLUMN \"re, ply\" text;")),
        (
            "000002_odd.down.sql",
            "DROP TABLE \"Odd \"\"name\"\" of; a table\"; DROP TYPE mood; ALTER TABLE letter DROP COLUMN \"re, ply\";",
        ),
    ];
    for (name, sql) in files {
        if name.starts_with("000001") {
            machine.write(&format!("releases/1.0.0/migrations/{name}"), sql);
        }
        machine.write(&format!("releases/1.1.0/migrations/{name}"), sql);
    }
    machine
}

const FILL: &str = "
    INSERT INTO letter SELECT n, 'body ' || n, CASE WHEN n % 2 = 0 THEN 'reply; ' || n END FROM generate_series(1, 10) n;
    INSERT INTO \"Odd \"\"name\"\" of; a table\" (\"select\", \"a\\b\", mood, data, bytes, tags, price, at) VALUES
        (NULL, '', 'calm', NULL, NULL, NULL, NULL, NULL),
        ('', NULL, E'it''s \\\\odd\\\\, \"so\"', '{\"a\": \"b\\\\n\"}', '\\x00ff5c27', '{\"a,b\",\"\\\"\",NULL}', -1.50, '2026-01-02 03:04:05.678+09'),
        (E'a,b\\r\\n\"c\"\\td;''--\\\\', E'\\\\''; DROP TABLE letter; --', 'calm', '[]', '', '{}', 0, 'infinity'),
        ('\\N', 'NULL', 'calm', '\"x\"', '\\x', NULL, 99999999.99, '-infinity'),
        (repeat('ü🚢', 20000), '$$ :name :''name'' \\d', NULL, NULL, NULL, NULL, NULL, NULL);";

/// A digest of every row.
const SUM: &str = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) || count(*) FROM \"Odd \"\"name\"\" of; a table\" t";
const REPLIES: &str = "SELECT md5(string_agg(t::text, '|' ORDER BY id)) || count(*) FROM letter t";

struct Case {
    machine: Machine,
    server: Server,
}

impl Case {
    fn new(test: &str) -> Option<Case> {
        let server = Server::new(test)?;
        let case = Case { machine: letters(), server };
        case.on(&["upgrade", "--to", "1.1.0", "--yes", "--unproven"]).ended(0);
        execute(&case.server.url, FILL);
        Some(case)
    }

    fn on(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.server.url, arguments)
    }

    fn ask(&self, sql: &str) -> String {
        ask(&self.server.url, sql)
    }

    fn roll_back(&self) {
        self.on(&["rollback", "--to", "1.0.0", "--yes", "--unproven"]).ended(0);
    }

    fn list(&self) -> Vec<Value> {
        let list = self.on(&["archive", "list", "--output", "json"]).ended(0);
        let list = list.json("sternway.archive.list/1");
        list["entries"].as_array().expect("entries").clone()
    }

    /// The number of the entry of this kind.
    fn id(&self, lost: &str) -> String {
        let list = self.list();
        let entry = list.iter().find(|it| it["lost"] == lost);
        entry.unwrap_or_else(|| panic!("{lost}: {list:?}"))["id"].to_string()
    }

    fn psql(&self, sql: &[u8]) {
        let mut psql = self.machine.program("psql".as_ref());
        let url = &self.server.url;
        psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", url]);
        feed(psql, sql);
    }
}

/// Runs a program that is given this to read.
fn feed(mut command: Command, input: &[u8]) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("its input").write_all(input).expect("it to read");
    let output = child.wait_with_output().expect("its end");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
}

#[test]
fn what_is_exported_as_sql_loads_whatever_is_in_it() {
    let Some(case) = Case::new("export_sql") else { return };
    let (sum, replies) = (case.ask(SUM), case.ask(REPLIES));
    case.roll_back();
    let export = |lost: &str| {
        let id = case.id(lost);
        case.on(&["archive", "export", &id, "--format", "sql"]).ended(0).quiet().stdout
    };
    let (table, column, sequence) = (export("table"), export("column"), export("sequence"));
    // The schema comes back, and the archive's rows do not.
    case.on(&[
        "archive",
        "drop",
        &case.id("table"),
        &case.id("column"),
        &case.id("sequence"),
        "--yes",
    ])
    .ended(0);
    case.on(&["upgrade", "--to", "1.1.0", "--yes", "--unproven"]).ended(0);
    assert_ne!(case.ask(REPLIES), replies);
    case.psql(table.as_bytes());
    case.psql(column.as_bytes());
    case.psql(sequence.as_bytes());
    assert_eq!((case.ask(SUM), case.ask(REPLIES)), (sum, replies));
    execute(
        &case.server.url,
        "INSERT INTO \"Odd \"\"name\"\" of; a table\" (\"select\") VALUES ('new')",
    );
    assert_eq!(case.ask("SELECT max(id)::text FROM \"Odd \"\"name\"\" of; a table\""), "6");
}

/// More rows than are read at once, and a script that gives those that are there what they had.
#[test]
fn rows_that_were_changed_are_exported_page_by_page_and_loaded_as_often_as_one_likes() {
    let Some(case) = Case::new("export_rows") else { return };
    for number in ["000001_letter", "000002_odd"] {
        for half in ["up", "down"] {
            let file = format!("migrations/{number}.{half}.sql");
            let body = case.machine.read(&format!("releases/1.1.0/{file}"));
            case.machine.write(&format!("releases/1.2.0/{file}"), &body);
        }
    }
    let down =
        "UPDATE letter SET body = 'gone' WHERE id % 3 > 0; DELETE FROM letter WHERE id % 3 = 0;";
    for (half, body) in [("up", "SELECT 1;"), ("down", down)] {
        case.machine.write(&format!("releases/1.2.0/migrations/000003_cut.{half}.sql"), body);
    }
    case.on(&["upgrade", "--to", "1.2.0", "--yes", "--unproven"]).ended(0);
    let more = "INSERT INTO letter SELECT n, CASE WHEN n % 7 > 0 THEN 'body ' || n END FROM generate_series(11, 45000) n";
    execute(&case.server.url, more);
    let before = case.ask(REPLIES);
    case.on(&["rollback", "--to", "1.1.0", "--yes", "--unproven"]).ended(0);
    let id = case.id("rows");
    let export = ["archive", "export", &id, "--format", "sql", "--out", "rows.sql"];
    case.on(&export).ended(0).explains(&["45,000 rows of rows of letter written to rows.sql"]);
    let script = case.machine.read("rows.sql");
    let found = script.lines().filter(|it| it.starts_with("INSERT INTO letter ")).count();
    assert_eq!(found, 45_000);
    // What the older release has written to another column stays.
    execute(&case.server.url, "UPDATE letter SET \"re, ply\" = 'later' WHERE id = 1");
    for _ in 0..2 {
        case.psql(script.as_bytes());
        assert_eq!(case.ask("SELECT \"re, ply\" FROM letter WHERE id = 1"), "later");
    }
    execute(&case.server.url, "UPDATE letter SET \"re, ply\" = NULL WHERE id = 1");
    assert_eq!(case.ask(REPLIES), before);
}

#[test]
fn what_is_exported_as_csv_tells_null_from_empty() {
    let Some(case) = Case::new("export_csv") else { return };
    let kept = "SELECT md5(string_agg((to_jsonb(k) - 'sternway_misfit')::text, '|' ORDER BY id)) || count(*) FROM ";
    case.roll_back();
    let id = case.id("table");
    let kept_sum = case.ask(&format!("{kept} sternway.kept_{id} k"));
    case.on(&["archive", "export", &id, "--out", "rows.csv"])
        .ended(0)
        .explains(&["5 rows of table \"Odd \"\"name\"\" of; a table\" written to rows.csv"]);
    let csv = case.machine.read("rows.csv");
    // As RFC 4180 has it …
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let heads = reader.headers().expect("heads").clone();
    assert_eq!(heads.iter().take(3).collect::<Vec<_>>(), ["id", "select", "a\\b"]);
    let records: Vec<csv::StringRecord> = reader.records().map(|it| it.expect("a row")).collect();
    assert_eq!(records.len(), 5);
    assert_eq!(&records[2][1], "a,b\r\n\"c\"\td;'--\\");
    assert!(csv.contains("\"1\",,\"\","), "{csv}");
    // … and as PostgreSQL reads it.
    execute(
        &case.server.url,
        &format!(
            "CREATE TABLE again (LIKE sternway.kept_{id}); ALTER TABLE again DROP COLUMN sternway_misfit"
        ),
    );
    let path = case.machine.text("rows.csv");
    case.psql(format!("\\copy again FROM '{path}' WITH (FORMAT csv, HEADER)\n").as_bytes());
    assert_eq!(case.ask(&format!("{kept} again k")), kept_sum);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(case.machine.path("rows.csv")).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}

#[test]
fn entries_are_listed_shown_restored_and_dropped() {
    let Some(case) = Case::new("entries") else { return };
    case.on(&["archive", "list"]).ended(0).quiet().says(&["the archive is empty"]);
    let (sum, replies) = (case.ask(SUM), case.ask(REPLIES));
    case.on(&["plan", "--to", "1.0.0"]).ended(0).quiet().says(&[
        "destroys table `\"Odd \"\"name\"\" of; a table\"`, column `\"re, ply\"` of `letter`",
        "table \"Odd \"\"name\"\" of; a table\": 5 rows, about ",
        "column letter.\"re, ply\": 5 values, about 46 bytes; kept in the archive",
        "locks \"Odd \"\"name\"\" of; a table\", letter: ACCESS EXCLUSIVE",
    ]);
    case.roll_back();
    let states = |case: &Case| {
        let list = case.list();
        list.iter()
            .map(|it| (it["rows"].clone(), it["state"].clone(), it["waiting"].clone()))
            .collect::<Vec<_>>()
    };
    let rows = |rows: u64, state: &str, waiting: u64| (json!(rows), json!(state), json!(waiting));
    let waiting = [rows(1, "waiting", 1), rows(10, "waiting", 10), rows(5, "waiting", 5)];
    assert_eq!(states(&case), waiting);
    case.on(&["archive", "list"])
        .ended(0)
        .quiet()
        .says(&["core 2 down", "column letter.\"re, ply\""]);
    case.on(&["status"]).ended(0).says(&["archive: 3 entries, 16 rows nowhere else, "]);
    case.on(&["plan", "--to", "1.1.0"]).ended(0).quiet().says(&[
        "creates table `\"Odd \"\"name\"\" of; a table\"`, column `\"re, ply\"` of `letter`, type `mood`, 1 index, 1 sequence",
        "locks letter: ACCESS EXCLUSIVE",
    ]);
    let id = case.id("table");
    case.on(&["archive", "show", &id, "--limit", "2"]).ended(0).quiet().says(&[
        "5 rows, ",
        "columns: id bigint, select text, a\\b text, mood ",
        "NULL",
        "\"\"",
        "… and 3 more; --limit shows more",
    ]);
    // It cannot be put back where there is no table, and nothing of it is lost by trying.
    let restore = case.on(&["archive", "restore", &id, "--yes"]);
    restore
        .ended(0)
        .says(&["0 rows are back", "5 rows left in the archive: the table is not there"]);
    assert_eq!(states(&case), waiting);
    case.on(&["archive", "restore", "99", "--yes"])
        .ended(1)
        .explains(&["the archive has no entry 99"]);
    case.on(&["archive", "restore", &id]).ended(2).explains(&["nobody can be asked here"]);
    case.on(&["archive", "drop", &id]).ended(2).explains(&["nobody can be asked here"]);
    case.on(&["archive", "drop"]).ended(2).explains(&["required"]);
    case.on(&["archive", "drop", "--restored", "--yes"]).ended(0).says(&["nothing is dropped"]);
    case.on(&["archive", "export", &id, "--output", "json"]).ended(2).explains(&["--out FILE"]);
    case.on(&["upgrade", "--to", "1.1.0", "--yes", "--unproven"]).ended(0);
    assert_eq!((case.ask(SUM), case.ask(REPLIES)), (sum, replies));
    assert_eq!(states(&case), [rows(1, "back", 0), rows(10, "back", 0), rows(5, "back", 0)]);
    case.on(&["archive", "list"]).ended(0).says(&["put back"]);
    case.on(&["archive", "restore", &id, "--yes"]).ended(3).explains(&["is back already"]);
    let drop = case.on(&["archive", "drop", "--restored", "--yes", "--output", "json"]).ended(0);
    let dropped = drop.json("sternway.archive.drop/1");
    assert_eq!(dropped["dropped"].as_array().map(Vec::len), Some(3));
    assert!(case.list().is_empty());
}

/// What was rolled back by hand, as with another tool, comes back by hand too.
#[test]
fn an_entry_is_restored_as_far_as_it_fits() {
    let Some(case) = Case::new("restore") else { return };
    let sum = case.ask(SUM);
    case.roll_back();
    let up = case.machine.read("releases/1.1.0/migrations/000002_odd.up.sql");
    execute(&case.server.url, &up);
    execute(&case.server.url, "DELETE FROM letter WHERE id = 4");
    let restore = |id: &str| case.on(&["archive", "restore", id, "--yes", "--output", "json"]);
    let restored = restore(&case.id("table")).ended(0).json("sternway.archive.restore/1");
    assert_eq!(
        (&restored["restored"]["back"], &restored["table"]),
        (&json!(5), &json!("\"Odd \"\"name\"\" of; a table\""))
    );
    assert_eq!(case.ask(SUM), sum);
    let id = case.id("column");
    let restored = restore(&id).ended(0).json("sternway.archive.restore/1");
    let misfits = json!([{ "reason": "the row was deleted meanwhile", "rows": 1 }]);
    assert_eq!(restored["restored"], json!({ "back": 9, "misfits": misfits }));
    case.on(&["archive", "list"])
        .ended(0)
        .says(&["put back but 1: the row was deleted meanwhile (1)"]);
    let show = case.on(&["archive", "show", &id]).ended(0);
    show.says(&["1 row stays in the archive: the row was deleted meanwhile", "reply; 4"]);
}

#[test]
fn age_only_warns() {
    let Some(case) = Case::new("age") else { return };
    case.roll_back();
    case.on(&["archive", "list"]).ended(0).quiet();
    execute(
        &case.server.url,
        "UPDATE sternway.archive SET kept_at = now() - interval '91 days' WHERE lost::jsonb ->> 'lost' = 'table'",
    );
    let warning = "warning: the archive has kept 1 entry for more than 90 days, the oldest since";
    case.on(&["archive", "list"]).ended(0).explains(&[warning, "drop --older-than 90"]);
    case.on(&["status"]).ended(0).explains(&[warning]);
    case.on(&["archive", "list", "--warn-after-days", "100"]).ended(0).quiet();
    let run = case.on(&["rollback", "--to", "1.0.0", "--yes", "--unproven"]);
    run.ended(0).explains(&[warning]);
    case.machine.write(
        "sternway.toml",
        &format!("{}\n[archive]\nwarn_after_days = 100\n", settings("letters", "migrations")),
    );
    case.on(&["status"]).ended(0).quiet();
    let dropped = case.on(&["archive", "drop", "--older-than", "90", "--yes"]).ended(0);
    dropped
        .says(&["dropped: table \"Odd \"\"name\"\" of; a table\" (5 rows in the archive alone, "]);
    assert_eq!(case.list().len(), 2);
}

#[test]
fn what_is_discarded_is_lost_and_said_so_in_numbers() {
    let Some(case) = Case::new("discard") else { return };
    let plan = case.on(&["plan", "--to", "1.0.0", "--discard"]).ended(0).quiet();
    plan.says(&["column letter.\"re, ply\": 5 values, about 46 bytes; LOST"]);
    case.on(&["plan", "--to", "1.0.0", "--discard", "--no-effects"])
        .ended(0)
        .quiet()
        .says(&["destroys table Odd \"name\" of; a table (line 1), LOST"]);
    let rollback = ["rollback", "--to", "1.0.0", "--discard", "--yes", "--unproven"];
    case.on(&rollback).ended(0).says(&["; LOST"]);
    assert!(case.list().is_empty());
}

/// The application starts as the newer release and migrates up by itself, twice: what waits is told, and
/// put back where nobody has written since, the newest first.
#[test]
fn what_waits_after_the_application_has_migrated_by_itself_is_put_back() {
    let Some(case) = Case::new("by_itself") else { return };
    let up = case.machine.read("releases/1.1.0/migrations/000002_odd.up.sql");
    let by_itself = || {
        execute(&case.server.url, &up);
        execute(&case.server.url, "UPDATE schema_migrations SET version = 2");
    };
    let replies =
        "SELECT string_agg(coalesce(\"re, ply\", '-'), ',' ORDER BY id) FROM letter WHERE id < 5";
    assert_eq!(case.ask(replies), "-,reply; 2,-,reply; 4");
    case.roll_back();
    by_itself();
    execute(&case.server.url, "UPDATE letter SET \"re, ply\" = 'newer' WHERE id < 3");
    case.roll_back();
    by_itself();
    execute(&case.server.url, "UPDATE letter SET \"re, ply\" = 'newest' WHERE id = 1");
    case.on(&["status"]).ended(0).says(&["wait in the archive", "archive restore --waiting"]);
    let restored = case.on(&["archive", "restore", "--waiting", "--yes"]).ended(0);
    restored.says(&["the row has another value there now", "a later rollback kept newer values"]);
    assert_eq!(case.ask(replies), "newest,newer,-,reply; 4");
    assert_eq!(case.ask("SELECT count(*)::text FROM \"Odd \"\"name\"\" of; a table\""), "5");
    case.on(&["archive", "restore"]).ended(2);
    case.on(&["archive", "restore", "1", "--waiting"]).ended(2);
}
