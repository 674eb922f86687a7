//! `sternway doctor`: what became of a migration that did not end, and the repairs.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{self, Machine, Run, Server, ask, block_on, execute, variable};

/// Two releases of a shop: the second one's migration cannot run in a transaction.
fn shop() -> Machine {
    let machine = Machine::of("shop", "m");
    let first = "CREATE TABLE item (id integer, name text);";
    let second = "ALTER TABLE item ADD COLUMN price integer;\n\
        CREATE UNIQUE INDEX CONCURRENTLY item_id ON item (id);\n\
        ALTER TABLE item ADD COLUMN weight integer;\n";
    let back = "ALTER TABLE item DROP COLUMN weight;\nDROP INDEX item_id;\n\
        ALTER TABLE item DROP COLUMN price;\n";
    for release in ["1.0.0", "1.1.0"] {
        machine.write(&format!("releases/v{release}/m/1_item.up.sql"), first);
        machine.write(&format!("releases/v{release}/m/1_item.down.sql"), "DROP TABLE item;");
    }
    machine.write("releases/v1.1.0/m/2_price.up.sql", second);
    machine.write("releases/v1.1.0/m/2_price.down.sql", back);
    machine
}

/// The one track of a diagnosis.
fn track(run: &Run) -> Value {
    run.json("sternway.doctor/1")["tracks"][0].clone()
}

/// The repairs of it: their names and where they lead.
fn exits(track: &Value) -> Vec<(String, Option<u64>)> {
    let exits = track["exits"].as_array().expect("exits").iter();
    let text = |it: &Value| it["exit"].as_str().expect("a name").to_owned();
    exits.map(|it| (text(it), it["to"].as_u64())).collect()
}

fn exit(name: &str, to: u64) -> (String, Option<u64>) {
    (name.to_owned(), Some(to))
}

/// A shop whose upgrade failed at its second statement.
fn halfway(test: &str) -> Option<(Machine, Server)> {
    let server = Server::new(test)?;
    let machine = shop();
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    execute(&server.url, "INSERT INTO item VALUES (1, 'a'), (1, 'b')");
    machine.on_before_rows(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(5);
    let run = machine.on(&server.url, &["doctor"]).ended(5);
    let run = run.explains(&["is unfinished; `sternway resume` finishes it"]);
    run.says(&[
        "track core: the row says 2 (dirty)",
        "`2_price.up.sql` may have been under way: 1 of its 3 parts took effect",
        "index item_id was not finished and is invalid",
        "--finish: run what is left of `2_price.up.sql`, which leads to 2",
        "DROP INDEX CONCURRENTLY IF EXISTS item_id;",
        "--undo: take back what is there of `2_price.up.sql`, which leads to 1",
        "UPDATE \"public\".\"schema_migrations\" SET version = 1, dirty = false;",
    ]);
    let found = track(&machine.on(&server.url, &["doctor", "--output", "json"]).ended(5));
    assert_eq!(found["doubts"][0]["took"], json!([1]));
    assert_eq!(exits(&found), [exit("undo", 1), exit("finish", 2)]);
    // Without a terminal nobody is asked, and nothing is done.
    machine.on(&server.url, &["doctor", "--undo", "--abandon"]).ended(2);
    // What Sternway itself left behind is its journal's to mend, unless it is told otherwise.
    let refused = machine.on(&server.url, &["doctor", "--undo", "--yes"]).ended(3);
    refused.explains(&["is unfinished", "`sternway abort` takes it back"]);
    Some((machine, server))
}

#[test]
fn what_is_left_of_a_body_is_run_when_told() {
    let Some((machine, server)) = halfway("doctor_finish") else { return };
    let again = ["doctor", "--finish", "--yes", "--abandon"];
    let again = machine.on(&server.url, &again).ended(5);
    again.explains(&["could not create unique index"]);
    execute(&server.url, "DELETE FROM item WHERE name = 'b'");
    let ran = machine.on(&server.url, &["doctor", "--finish", "--yes"]).ended(0);
    ran.says(&["track `core`: the row says 2"]);
    machine.on(&server.url, &["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    machine.on(&server.url, &["doctor"]).ended(0).quiet().says(&["all is well"]);
}

#[test]
fn what_took_effect_of_a_body_is_taken_back_when_told() {
    let Some((machine, server)) = halfway("doctor_undo") else { return };
    execute(&server.url, "UPDATE item SET price = 7");
    machine.on(&server.url, &["doctor", "--undo", "--yes", "--abandon"]).ended(0);
    machine.on(&server.url, &["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM item"), "2");
    // What was in the column meanwhile is kept.
    let kept = machine.on(&server.url, &["archive", "list", "--output", "json"]).ended(0);
    let kept = kept.json("sternway.archive.list/1")["entries"].clone();
    assert_eq!((&kept[0]["column"], &kept[0]["rows"]), (&json!("price"), &json!(2)), "{kept}");
    execute(&server.url, "DELETE FROM item WHERE name = 'b'");
    machine.on(&server.url, &["upgrade", "--to", "1.1.0", "--yes", "--abandon"]).ended(0);
}

/// A shop at whose way back somebody else stopped after the first statement; `last` is its last.
fn halfway_back(server: &Server, last: &str) -> Machine {
    let machine = shop();
    let back = "ALTER TABLE item DROP COLUMN weight;\nDROP INDEX CONCURRENTLY item_id;\n";
    machine.write("releases/v1.1.0/m/2_price.down.sql", &format!("{back}{last}\n"));
    machine.on(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    execute(
        &server.url,
        "INSERT INTO item VALUES (1, 'a', 7, 8); ALTER TABLE item DROP COLUMN weight;
         UPDATE schema_migrations SET version = 1, dirty = true",
    );
    machine
}

#[test]
fn what_cannot_be_kept_is_not_destroyed_unless_told() {
    let Some(server) = Server::new("doctor_unkept") else { return };
    let last = "DO $$ BEGIN ALTER TABLE item DROP COLUMN price; COMMIT; END $$;";
    let machine = halfway_back(&server, last);
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    let found = track(&on(&["doctor", "--output", "json"]).ended(5));
    assert_eq!(exits(&found), [exit("undo", 2), exit("finish", 1)], "{found}");
    assert_eq!(found["exits"][1]["unkept"], json!(["whatever the code it runs takes away"]));
    let refused = on(&["doctor", "--finish", "--yes"]).ended(3);
    refused.explains(&["would destroy whatever the code", "and cannot keep it", "--discard"]);
    assert_eq!(ask(&server.url, "SELECT price::text FROM item"), "7");
    on(&["doctor", "--finish", "--yes", "--discard"]).ended(0);
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
}

/// What can run in a transaction is kept, whatever stands beside it.
#[test]
fn what_a_way_out_destroys_is_kept_statement_by_statement() {
    let Some(server) = Server::new("doctor_kept") else { return };
    let machine = halfway_back(&server, "ALTER TABLE item DROP COLUMN price;");
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    let found = track(&on(&["doctor", "--output", "json"]).ended(5));
    assert_eq!(found["exits"][1]["unkept"], json!([]), "{found}");
    on(&["doctor", "--finish", "--yes"]).ended(0);
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
    on(&["upgrade", "--to", "1.1.0", "--yes"])
        .ended(0)
        .says(&["put back column item.price: 1 row"]);
    assert_eq!(ask(&server.url, "SELECT price::text FROM item"), "7");
}

#[test]
fn what_the_schema_does_not_tell_is_asked_and_not_guessed() {
    let Some(server) = Server::new("doctor_data") else { return };
    let machine = shop();
    machine.write("releases/v1.0.0/m/2_data.up.sql", "UPDATE item SET id = id + 1;");
    machine.write("releases/v1.0.0/m/2_data.down.sql", "UPDATE item SET id = id - 1;");
    std::fs::remove_dir_all(machine.path("releases/v1.1.0")).expect("a folder");
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    execute(&server.url, "UPDATE schema_migrations SET dirty = true");
    on(&["doctor"]).ended(5).says(&[
        "nothing of it or all of it took effect; the schema does not tell which",
        "part 1 changes data alone",
        "--file 2_data.up.sql --took COUNT",
    ]);
    on(&["doctor", "--finish", "--yes"]).ended(3).explains(&["nothing here that could be done"]);
    on(&["doctor", "--finish", "--file", "2_data.up.sql", "--took", "5", "--yes"]).ended(3);
    on(&["doctor", "--finish", "--file", "2_data.up.sql", "--took", "1", "--yes"]).ended(0);
    assert_eq!(
        ask(&server.url, "SELECT version || ' ' || dirty FROM schema_migrations"),
        "2 false"
    );
}

#[test]
fn a_row_that_the_applications_own_downs_lead_to_is_right() {
    let Some(server) = Server::new("doctor_downs") else { return };
    let machine = shop();
    let up = "ALTER TABLE item ADD COLUMN IF NOT EXISTS price integer;";
    machine.write("releases/v1.1.0/m/2_price.up.sql", up);
    machine.write("releases/v1.1.0/m/2_price.down.sql", "SELECT 1;");
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    on(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    on(&["doctor"]).ended(0).says(&["all is well: the application's own down migrations"]);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    // A row that is ahead of its schema is no such thing.
    execute(&server.url, "ALTER TABLE item DROP COLUMN price");
    on(&["rollback", "--to", "1.0.0", "--yes"])
        .ended(4)
        .explains(&["says 2, and the schema is that of 1"]);
    on(&["doctor"]).ended(4).says(&["--set-row 1: write what the schema is"]);
    on(&["doctor", "--set-row", "2", "--yes"]).ended(3);
    on(&["doctor", "--set-row", "1", "--yes"]).ended(0);
    on(&["doctor"]).ended(0);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
}

#[test]
fn a_session_that_a_killed_migrator_left_is_found_waited_for_and_ended() {
    let test = "doctor_orphan";
    let Some(server) = Server::new(test) else { return };
    let Some(migrate) = variable("STERNWAY_TEST_MIGRATE", test) else { return };
    let machine = shop();
    // Slow where there are rows, and not on the shadow.
    let slow = "ALTER TABLE item ADD COLUMN price integer;\nSELECT pg_sleep(300) FROM item;";
    machine.write("releases/v1.1.0/m/2_price.up.sql", slow);
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    execute(&server.url, "INSERT INTO item VALUES (1, 'a')");
    let mut killed = Command::new(migrate)
        .args(["-path", &machine.text("releases/v1.1.0/m"), "-database", &server.url, "up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("golang-migrate");
    block_on(async {
        let mut session = support::Session::open(&server.url).await;
        let sleeps = "EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%'
            AND state = 'active' AND wait_event = 'PgSleep' AND datname = current_database())";
        session.until(sleeps).await;
    });
    killed.kill().expect("a kill");
    killed.wait().expect("an end");
    let waiting =
        on(&["doctor", "--lock-timeout", "1"]).ended(6).explains(&["waiting for session"]);
    waiting.says(&["locks and is at a migration", "--end-orphans ends it"]);
    let orphans = on(&["doctor", "--lock-timeout", "0", "--output", "json"]).ended(6);
    let orphans = orphans.json("sternway.doctor/1")["orphans"].clone();
    assert_eq!(orphans.as_array().map(Vec::len).filter(|it| *it > 0), Some(1), "{orphans}");
    let ended = on(&["doctor", "--end-orphans"]).ended(5).explains(&["ending session"]);
    ended.says(&["`2_price.up.sql` may have been under way: nothing of it took effect"]);
    on(&["doctor", "--undo", "--yes"]).ended(0);
    on(&["status"]).ended(0).says(&["schema: of 1.0.0"]);
}

/// kagent's migrations: those of its releases, and those of its main branch as a release to come.
struct Kagent {
    machine: Machine,
    url: String,
    _server: Server,
}

impl Kagent {
    fn new(test: &str) -> Option<Kagent> {
        let repository = variable("STERNWAY_KAGENT_REPO", test)?;
        let server = Server::with_vector(test)?;
        let machine = Machine::empty();
        for (of, release) in
            [("v0.9.12", "v0.9.12"), ("v0.10.0-rc3", "v0.10.0-rc3"), ("main", "v0.11.0")]
        {
            let folder = machine.path("releases").join(release);
            std::fs::create_dir_all(&folder).expect("a folder");
            let take =
                format!("git -C \"$1\" archive {of} go/core/pkg/migrations | tar -x -C \"$2\"");
            let mut sh = machine.program("sh".as_ref());
            sh.args(["-c", &take, "sh", &repository]).arg(&folder);
            assert!(sh.status().expect("sh").success(), "{of} is not in the clone");
        }
        Some(Kagent { machine, url: server.as_admin(), _server: server })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let profile = ["--profile", "kagent", "--source", "dir:releases"];
        self.machine.on(&self.url, &[arguments, &profile].concat())
    }

    fn install(&self, release: &str, vector: bool) {
        let options = if vector { &["--enable", "vector"][..] } else { &[] };
        self.run(&[&["upgrade", "--to", release, "--yes"], options].concat()).ended(0);
    }

    /// Applies a migration of the main branch as whoever made this mess did.
    fn body(&self, number: u64, half: &str) -> String {
        let folder = self.machine.path("releases/v0.11.0/go/core/pkg/migrations/core");
        let mut files = std::fs::read_dir(folder).expect("a folder").map(|it| it.expect("a file"));
        let file = files.find(|it| {
            let name = it.file_name().into_string().expect("text");
            name.starts_with(&format!("{number:06}_")) && name.ends_with(&format!(".{half}.sql"))
        });
        std::fs::read_to_string(file.expect("a migration").path()).expect("a body")
    }

    fn row(&self, table: &str, version: i64, dirty: bool) {
        execute(&self.url, &format!("UPDATE {table} SET version = {version}, dirty = {dirty}"));
    }

    fn says(&self, sql: &str) -> String {
        ask(&self.url, &format!("SELECT ({sql})::text"))
    }

    /// What the doctor says of a track.
    fn track(&self, name: &str, code: i32) -> Value {
        let run = self.run(&["doctor", "--output", "json"]).ended(code);
        let result = run.json("sternway.doctor/1");
        let tracks = result["tracks"].as_array().expect("tracks");
        tracks.iter().find(|it| it["track"] == name).expect("a track").clone()
    }
}

const ROW: &str = "SELECT version || ' ' || dirty FROM schema_migrations";

#[test]
fn scenario_15_a_vector_track_that_could_not_be_emptied_is_at_1() {
    let Some(kagent) = Kagent::new("scenario_15") else { return };
    kagent.install("0.10.0-rc3", true);
    execute(
        &kagent.url,
        "CREATE TABLE of_others (v vector(3)); INSERT INTO of_others VALUES ('[1,2,3]');
         ALTER TABLE memory ALTER COLUMN id DROP DEFAULT; DROP INDEX idx_memory_embedding_hnsw",
    );
    kagent.row("vector_schema_migrations", -1, true);
    let found = kagent.track("vector", 5);
    assert_eq!(exits(&found).first(), Some(&exit("undo", 1)), "{found}");
    // golang-migrate marks the nothing that it was going to.
    kagent
        .run(&["doctor", "--finish", "--of", "vector", "--yes"])
        .ended(5)
        .explains(&["depend on it"]);
    kagent.run(&["doctor", "--undo", "--of", "vector", "--yes"]).ended(0);
    let row = "SELECT version || ' ' || dirty FROM vector_schema_migrations";
    assert_eq!(kagent.says(row), "1 false");
    assert_eq!(kagent.says("SELECT count(*) FROM of_others"), "1");
}

#[test]
fn scenario_18_a_crash_whose_body_was_committed_is_marked_clean_and_never_undone() {
    let Some(kagent) = Kagent::new("scenario_18") else { return };
    kagent.install("0.10.0-rc3", false);
    execute(&kagent.url, "INSERT INTO task (id, data, user_id) VALUES ('t', '{}', 'alice')");
    kagent.row("schema_migrations", 7, true);
    let found = kagent.track("core", 5);
    assert_eq!(found["fits"], json!([7]));
    assert_eq!(exits(&found), [exit("finish", 7)], "{found}");
    // The backfill leaves no sign, but what one transaction does is done whole.
    assert_eq!(found["doubts"][0]["took"], json!([2]));
    let sql = found["exits"][0]["sql"].as_str().expect("SQL");
    assert_eq!(sql, "UPDATE \"public\".\"schema_migrations\" SET version = 7, dirty = false;");
    kagent.run(&["doctor", "--undo", "--yes"]).ended(3);
    kagent.run(&["doctor", "--finish", "--yes"]).ended(0);
    assert_eq!(kagent.says(ROW), "7 false");
    assert_eq!(kagent.says("SELECT user_id FROM task"), "alice");
}

#[test]
fn scenario_19_a_crash_whose_body_was_taken_back_is_reset_and_applied_again() {
    let Some(kagent) = Kagent::new("scenario_19") else { return };
    kagent.install("0.10.0-rc3", false);
    execute(&kagent.url, &kagent.body(7, "down"));
    kagent.row("schema_migrations", 7, true);
    let found = kagent.track("core", 5);
    assert_eq!(found["fits"], json!([6]));
    assert_eq!(exits(&found), [exit("undo", 6), exit("finish", 7)], "{found}");
    kagent.run(&["doctor", "--undo", "--yes"]).ended(0);
    assert_eq!(kagent.says(ROW), "6 false");
    kagent.run(&["upgrade", "--to", "0.10.0-rc3", "--yes"]).ended(0);
    // Or at once.
    execute(&kagent.url, &kagent.body(7, "down"));
    kagent.row("schema_migrations", 7, true);
    kagent.run(&["doctor", "--finish", "--yes"]).ended(0);
    kagent.run(&["status"]).ended(0).says(&["schema: of 0.10.0-rc3"]);
}

#[test]
fn scenario_20_a_failed_down_marks_its_target_and_the_schema_is_above() {
    let Some(kagent) = Kagent::new("scenario_20") else { return };
    kagent.install("0.10.0-rc3", false);
    kagent.row("schema_migrations", 6, true);
    let found = kagent.track("core", 5);
    assert_eq!(found["fits"], json!([7]));
    assert_eq!(exits(&found), [exit("undo", 7), exit("finish", 6)], "{found}");
    assert_eq!(found["exits"][0]["file"], "000007_task_owner.down.sql");
    kagent.run(&["doctor", "--undo", "--yes"]).ended(0);
    assert_eq!(kagent.says(ROW), "7 false");
    let retried = ["rollback", "--to", "0.9.12", "--from", "0.10.0-rc3", "--reset-schema", "--yes"];
    kagent.run(&retried).ended(0);
    assert_eq!(kagent.says(ROW), "5 false");
}

#[test]
fn scenario_21_an_unguarded_migration_that_is_there_is_marked_clean() {
    let Some(kagent) = Kagent::new("scenario_21") else { return };
    kagent.install("0.11.0", false);
    for number in [13, 12, 11] {
        execute(&kagent.url, &kagent.body(number, "down"));
    }
    // It was forced to 9 and applied again: the constraint was there already.
    kagent.row("schema_migrations", 10, true);
    let found = kagent.track("core", 5);
    assert_eq!(found["fits"], json!([10]));
    assert_eq!(exits(&found), [exit("finish", 10)], "{found}");
    kagent.run(&["doctor", "--finish", "--yes"]).ended(0);
    assert_eq!(kagent.says(ROW), "10 false");
    kagent.run(&["upgrade", "--to", "0.11.0", "--yes"]).ended(0);
}

#[test]
fn section_2_4_live_rows_behind_a_row_that_lags_are_never_dropped() {
    let Some(kagent) = Kagent::new("section_2_4") else { return };
    kagent.install("0.11.0", false);
    for number in [13, 12, 11] {
        execute(&kagent.url, &kagent.body(number, "down"));
    }
    execute(
        &kagent.url,
        "INSERT INTO agent_instance (id, namespace, user_id, request_id, state, data)
         VALUES ('i', 'n', 'u', 'r', 'READY', '')",
    );
    kagent.row("schema_migrations", 8, false);
    let says =
        ["the row of track `core` says 8, and the schema is that of 10", "`sternway doctor`"];
    for command in [&["upgrade", "--to", "0.11.0", "--yes"][..], &["plan", "--to", "0.11.0"]] {
        kagent.run(command).ended(4).explains(&says);
    }
    for command in ["rollback", "plan"] {
        let yes = if command == "rollback" { &["--yes"][..] } else { &[] };
        // The border of its rows is another reason to refuse.
        let across = ["--accept-hazard", "a2a-row-format"];
        let way = [command, "--to", "0.9.12", "--from", "0.11.0", "--reset-schema"];
        let arguments = [&way[..], &across, yes].concat();
        kagent.run(&arguments).ended(4).explains(&says);
    }
    assert_eq!(kagent.says(ROW), "8 false");
    let found = kagent.track("core", 4);
    assert_eq!(exits(&found), [exit("set_row", 10)], "{found}");
    kagent.run(&["doctor", "--set-row", "10", "--yes"]).ended(0);
    assert_eq!(kagent.says(ROW), "10 false");
    kagent.run(&["upgrade", "--to", "0.11.0", "--yes"]).ended(0);
    assert_eq!(kagent.says("SELECT id FROM agent_instance"), "i");
}

/// An index that a failed attempt left invalid is none, whatever the row says.
#[test]
fn an_index_that_is_invalid_is_made_anew_although_the_row_is_clean() {
    let Some(server) = Server::new("doctor_invalid") else { return };
    let machine = Machine::of("shop", "m");
    for release in ["1.0.0", "1.1.0"] {
        let write = |file: &str, text: &str| {
            machine.write(&format!("releases/v{release}/m/{file}"), text);
        };
        write("1_item.up.sql", "CREATE TABLE item (id integer, name text);");
        write("1_item.down.sql", "DROP TABLE item;");
    }
    let index = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS item_id ON item (id);";
    machine.write("releases/v1.1.0/m/2_index.up.sql", index);
    machine.write("releases/v1.1.0/m/2_index.down.sql", "DROP INDEX CONCURRENTLY item_id;");
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    execute(
        &server.as_admin(),
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'item_id'::regclass",
    );
    let found = on(&["doctor"]).ended(4);
    found.says(&["index item_id was not finished and is invalid", "DROP INDEX CONCURRENTLY"]);
    on(&["doctor", "--finish", "--yes"]).ended(0);
    on(&["status"]).ended(0).says(&["schema: of 1.1.0", "drift: none"]);
    let valid = "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'item_id'::regclass";
    assert_eq!(ask(&server.url, valid), "true");
}

/// What deletes rows in a transaction of its own has nothing to take back where only the schema changed;
/// and what does not even run on a clean install is no way out.
#[test]
fn only_what_took_effect_is_undone() {
    let Some(server) = Server::new("doctor_transactions") else { return };
    let machine = Machine::of("shop", "m");
    for release in ["1.0.0", "1.1.0"] {
        let write = |file: &str, text: &str| {
            machine.write(&format!("releases/v{release}/m/{file}"), text);
        };
        write("1_item.up.sql", "CREATE TABLE item (id integer, name text);");
        write("1_item.down.sql", "DROP TABLE item;");
    }
    machine.write(
        "releases/v1.1.0/m/2_price.up.sql",
        "BEGIN; ALTER TABLE item ADD COLUMN price int; COMMIT;
         BEGIN; CREATE TABLE x (id int); INSERT INTO x VALUES (1 / 0); COMMIT;",
    );
    machine.write(
        "releases/v1.1.0/m/2_price.down.sql",
        "BEGIN; DELETE FROM item WHERE name IS NULL; COMMIT;
         BEGIN; ALTER TABLE item DROP COLUMN price; COMMIT;",
    );
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    execute(
        &server.url,
        "INSERT INTO item VALUES (1, NULL); ALTER TABLE item ADD COLUMN price int;
         UPDATE schema_migrations SET version = 2, dirty = true",
    );
    let found = track(&on(&["doctor", "--output", "json"]).ended(5));
    assert_eq!(exits(&found), [exit("undo", 1)]);
    on(&["doctor", "--undo", "--yes"]).ended(0);
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM item"), "1");
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
}

/// A column that each row needs a value for comes again with its values, as it does where a run is taken back.
#[test]
fn what_each_row_needs_comes_again_with_its_values() {
    let Some(server) = Server::new("doctor_needed") else { return };
    let machine = Machine::of("shop", "m");
    for release in ["1.0.0", "1.1.0"] {
        let write = |file: &str, text: &str| {
            machine.write(&format!("releases/v{release}/m/{file}"), text);
        };
        write(
            "1_item.up.sql",
            "CREATE TABLE item (id integer PRIMARY KEY, name text, price integer NOT NULL);",
        );
        write("1_item.down.sql", "DROP TABLE item;");
    }
    machine.write(
        "releases/v1.1.0/m/2_name.up.sql",
        "ALTER TABLE item DROP COLUMN price;\nCREATE UNIQUE INDEX CONCURRENTLY item_name ON item (name);",
    );
    machine.write(
        "releases/v1.1.0/m/2_name.down.sql",
        "DROP INDEX item_name;\nALTER TABLE item ADD COLUMN price integer NOT NULL;",
    );
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    execute(&server.url, "INSERT INTO item VALUES (1, 'a', 5), (2, 'a', 6)");
    machine.on_before_rows(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(5);
    on(&["doctor"]).ended(5).says(&[
        "ALTER TABLE item ADD COLUMN price integer;",
        "ALTER TABLE item ALTER COLUMN price SET NOT NULL; -- once each row has its value",
    ]);
    on(&["doctor", "--undo", "--yes", "--abandon"]).ended(0);
    assert_eq!(
        ask(&server.url, "SELECT string_agg(price::text, ' ' ORDER BY id) FROM item"),
        "5 6"
    );
    on(&["status"]).ended(0).says(&["schema: of 1.0.0", "drift: none"]);
}
