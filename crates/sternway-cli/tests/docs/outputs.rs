//! `docs/` says what is so: each field that it names is in a real output, and each field of a real
//! output is named; each flag is there with its variable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{self, APP, CORE, Machine, SEARCH};

fn document(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    fs::read_to_string(docs.join(name)).expect(name)
}

/// The fields that `docs/output.md` names, by format.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = document("output.md");
    let mut formats: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (format, rest) = section.split_once('\n').expect("a heading");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        formats.insert(format.to_owned(), rows.map(|(field, _)| field.to_owned()).collect());
    }
    formats
}

/// Every field in `value`, a path each.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            found.insert(path.clone());
            fields(value, &path, found);
        }),
        Value::Array(array) => array.iter().for_each(|value| {
            let path = format!("{path}[]");
            found.insert(path.clone());
            fields(value, &path, found);
        }),
        _ => {}
    }
}

/// Whether a field is what the pattern means. Releases contain dots, so they are gone already.
fn fits(pattern: &str, field: &str) -> bool {
    let (patterns, fields) = (pattern.split('.'), field.split('.'));
    patterns.clone().count() == fields.clone().count()
        && patterns.zip(fields).all(|(pattern, field)| match pattern.strip_prefix('*') {
            Some(list) => {
                field.ends_with(list) && !field[..field.len() - list.len()].ends_with("[]")
            }
            None => pattern == field,
        })
}

/// Keys that are releases, without their dots.
fn undotted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            object.into_iter().map(|(key, it)| (key.replace('.', "-"), undotted(it))).collect()
        }
        Value::Array(array) => array.into_iter().map(undotted).collect(),
        other => other,
    }
}

#[test]
fn every_field_is_documented_and_every_documented_field_is_real() {
    let machine = Machine::new();
    let url = machine.embedded();
    let json = |code: i32, format: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--output", "json"]].concat();
        (format.to_owned(), machine.on(&url, &arguments).ended(code).json(format))
    };
    let check = "[[check]]\nat = \"after\"\nseverity = \"warn\"\nmessage = \"there is nothing\"\nsql = \"select false\"\nrows = \"select 1\"\n";
    machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}{check}"));
    let mut outputs = vec![json(0, "sternway.releases/1", &["releases"])];
    outputs.push(json(0, "sternway.bundle.written/1", &["bundle", "--out", "app.bundle"]));
    machine.on(&url, &["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    // With an application that is away meanwhile.
    let upgrade = ["upgrade", "--to", "1.2.1", "--from", "1.2.0", "--yes"];
    let app = ["--deploy-stop=true", "--deploy-swap=true", "--deploy-start=true"];
    outputs.push(json(0, "sternway.run/1", &[&upgrade[..], &app].concat()));
    outputs.push(json(0, "sternway.plan/4", &["plan", "--to", "1.0.3", "--from", "1.2.1"]));
    outputs.push(json(0, "sternway.can_run/1", &["can-run", "1.2.1"]));
    outputs.push(json(0, "sternway.runbook/1", &["runbook", "--to", "1.0.3", "--from", "1.2.1"]));
    let assumed = ["plan", "--to", "1.0.3", "--from", "1.2.1", "--output", "json"];
    let plan = machine.run(&assumed).ended(0).json("sternway.plan/4");
    outputs.push(("sternway.plan/4".to_owned(), plan));
    // Everything that is done around the migrations.
    let around = "[[check]]\nat = \"before\"\nmessage = \"there is nothing\"\nsql = \"select true\"\nrows = \"select 1\"\nmigration = \"core 1\"\n\
        [deploy.commands]\nstop = \"true\"\nswap = \"true\"\nstart = \"true\"\n";
    machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}{around}"));
    let fenced = ["--fence", "no-connect", "--fence-role", "harbour", "--end-sessions"];
    let fenced = machine.run(&[&assumed[..], &fenced].concat()).ended(0).json("sternway.plan/4");
    outputs.push(("sternway.plan/4".to_owned(), fenced));
    // The search track is off where its table has no version.
    machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}enabled = \"auto\"\n"));
    let core = format!("embedded:{}", machine.text("core"));
    let plan = ["plan", "--to", "1.2.1", "--output", "json"];
    let plan = machine.on(&core, &plan).ended(0).json("sternway.plan/4");
    outputs.push(("sternway.plan/4".to_owned(), plan));
    outputs.extend(archived(&machine));
    outputs.extend(passed_over());
    outputs.push(warned());
    outputs.extend(snapshots());
    support::execute(&url, "UPDATE schema_migrations SET version = 8, dirty = true");
    outputs.push(json(5, "sternway.doctor/1", &["doctor"]));
    support::execute(&url, "UPDATE schema_migrations SET version = 9, dirty = false");
    support::execute(
        &url,
        "CREATE TABLE of_others (id int);
         ALTER TABLE ship DROP COLUMN operator;
         ALTER TABLE ship ADD COLUMN operator text;
         ALTER TABLE cargo DROP COLUMN goods;
         ALTER TABLE pilot ADD COLUMN nickname text",
    );
    outputs.push(json(4, "sternway.status/1", &["status", "--from", "1.2.1"]));
    let failed = machine.on(&url, &["rollback", "--to", "1.1.2", "--yes", "--output", "json"]);
    failed.ended(0);
    outputs.push(json(0, "sternway.status/1", &["status", "--from", "1.2.1"]));
    support::execute(&url, "CREATE INDEX of_others_by_payer ON port_call (billed_to)");
    outputs.push(json(0, "sternway.plan/4", &["plan", "--to", "1.2.1"]));
    outputs.push(json(0, "sternway.plan/4", &["plan", "--to", "1.0.3"]));
    let unknown = machine.on(&url, &["rollback", "--to", "9.9.9", "--yes", "--output", "json"]);
    outputs.push(("sternway.error/1".to_owned(), unknown.ended(2).failure()));
    // A run that was cut short says where.
    machine.on(&url, &["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    let mut killed = machine.command(&["rollback", "--to", "1.1.2", "--yes"]);
    killed.env("STERNWAY_DATABASE", &url).env("FAILPOINTS", "30");
    assert!(!killed.status().expect("a run").success());
    outputs.push(json(0, "sternway.history/1", &["history"]));
    outputs.push(json(0, "sternway.abort/1", &["abort", "--yes"]));
    // A run that failed says why: what others have made is not all that a rehearsal sees.
    support::execute(
        &url,
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql
             AS 'BEGIN RAISE EXCEPTION ''not today''; END';
         CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
             EXECUTE FUNCTION refuse()",
    );
    machine.on(&url, &["rollback", "--to", "1.1.2", "--yes"]).ended(1);
    let unfinished = machine.on(&url, &["status", "--output", "json"]);
    outputs.push(("sternway.status/1".to_owned(), unfinished.json("sternway.status/1")));
    outputs.push(json(0, "sternway.history/1", &["history"]));
    support::execute(&url, "DROP EVENT TRIGGER refuse");
    machine.on(&url, &["abort", "--yes"]).ended(0);
    support::execute(&url, "UPDATE schema_migrations SET version = 8, dirty = true");
    outputs.push(json(5, "sternway.status/1", &["status"]));
    outputs.push(json(0, "sternway.history/1", &["history"]));
    machine.write("m/1_a.up.sql", "CREATE TABLE a (x integer)");
    machine.write("m/1_a.down.sql", "DROP TABLE a");
    let migrate = |format: &str, command: &[&str]| {
        let options = ["migrate", "-output", "json", "-path", "m", "-database", "sqlite://a.db"];
        let ran = machine.run(&[&options, command].concat()).ended(0).quiet();
        (format.to_owned(), ran.json(format))
    };
    outputs.push(migrate("sternway.migrate/1", &["up"]));
    outputs.push(migrate("sternway.migrate.version/1", &["version"]));
    outputs.push(migrate("sternway.migrate.status/1", &["status"]));
    outputs.push(migrate("sternway.migrate.drop/1", &["drop", "-f"]));

    let mut real: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (format, mut value) in outputs {
        if format == "sternway.run/1" {
            value["plan"] = Value::Null; // It has a section of its own.
        }
        fields(&undotted(value), "", real.entry(format).or_default());
    }
    let documented = documented();
    assert_eq!(documented.keys().collect::<Vec<_>>(), real.keys().collect::<Vec<_>>());
    for (format, patterns) in &documented {
        let fields = &real[format];
        // A list is named by its elements; it may be empty.
        let list = |pattern: &str, field: &str| {
            pattern.strip_suffix("[]").is_some_and(|pattern| fits(pattern, field))
        };
        let means = |pattern: &str, field: &str| fits(pattern, field) || list(pattern, field);
        let unknown = fields.iter().filter(|field| !patterns.iter().any(|it| means(it, field)));
        let unreal = patterns.iter().filter(|it| !fields.iter().any(|field| means(it, field)));
        let (unknown, unreal): (Vec<_>, Vec<_>) = (unknown.collect(), unreal.collect());
        assert!(unknown.is_empty(), "{format}: not documented: {unknown:?}");
        assert!(unreal.is_empty(), "{format}: in no output: {unreal:?}");
    }
}

/// An upgrade across a hazard, without a way back.
fn warned() -> (String, Value) {
    let machine = Machine::of("shop", "m");
    let hazard = "[[hazard]]\nname = \"rows\"\nbetween = [\"1.0.0\", \"1.1.0\"]\nseverity = \"warn\"\nmessage = \"unreadable\"\n";
    machine.write("sternway.toml", &(machine.read("sternway.toml") + hazard));
    for release in ["1.0.0", "1.1.0"] {
        machine.write(&format!("releases/{release}/m/1_a.up.sql"), "CREATE TABLE a (x integer)");
    }
    machine.write("releases/1.1.0/m/2_b.up.sql", "CREATE TABLE b (x integer)");
    machine.on("sqlite://b.db", &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let plan = machine.on("sqlite://b.db", &["plan", "--to", "1.1.0", "--output", "json"]);
    ("sternway.plan/4".to_owned(), plan.ended(0).json("sternway.plan/4"))
}

/// A snapshot that is taken, proven, listed, restored and removed.
fn snapshots() -> Vec<(String, Value)> {
    let machine = Machine::of("shop", "m");
    machine.write("releases/1.1.0/m/1_a.up.sql", "CREATE TABLE a (x integer)");
    machine.write("releases/1.1.0/m/2_b.up.sql", "INSERT INTO a VALUES (1)");
    machine.write("releases/1.0.0/m/1_a.up.sql", "CREATE TABLE a (x integer)");
    let json = |format: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--snapshot-store", "store", "--output", "json"]].concat();
        (format.to_owned(), machine.on("sqlite://s.db", &arguments).ended(0).json(format))
    };
    machine.on("sqlite://s.db", &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let taken = json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    // A journey with another one, whose time is known by the first; its rows have no key to carry them over by.
    let plan = json("sternway.plan/4", &["plan", "--to", "1.1.0", "--snapshot", "proven"]);
    let there = ["migrate", "-path", "releases/1.1.0/m", "-database", "sqlite://s.db", "up"];
    machine.run(&there).ended(0);
    let restore = ["snapshot", "restore", "latest", "--then-carry", "--yes"];
    let restored = json("sternway.snapshot.restored/1", &restore);
    let carried = json("sternway.snapshot.carried/1", &["snapshot", "carry", "--yes"]);
    let list = json("sternway.snapshot.list/1", &["snapshot", "list"]);
    let pruned = json(
        "sternway.snapshot.pruned/1",
        &["snapshot", "prune", "--keep", "0", "--databases", "--yes"],
    );
    vec![taken, plan, restored, carried, list, pruned]
}

/// What is said of a release that cannot be read, and of a number that was put in below those applied.
fn passed_over() -> Vec<(String, Value)> {
    let machine = Machine::of("harbour", "db");
    let url = format!("sqlite://{}", machine.text("harbour.db"));
    for (release, numbers) in [("1.0.0", &[1, 5][..]), ("1.1.0", &[1, 3, 5, 9])] {
        for number in numbers {
            let file = |half| format!("releases/{release}/db/{number}_t.{half}.sql");
            machine.write(&file("up"), &format!("CREATE TABLE t{number} (x integer);"));
            machine.write(&file("down"), &format!("DROP TABLE t{number};"));
        }
    }
    for file in ["1_a.up.sql", "1_b.up.sql"] {
        machine.write(&format!("releases/0.9.0/db/{file}"), "");
    }
    let json = |code: i32, format: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--output", "json"]].concat();
        (format.to_owned(), machine.on(&url, &arguments).ended(code).json(format))
    };
    let releases = json(0, "sternway.releases/1", &["releases"]);
    machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let folder = machine.text("releases/1.1.0/db");
    machine.run(&["migrate", "-path", &folder, "-database", &url, "up"]).ended(0);
    let status = json(4, "sternway.status/1", &["status"]);
    let doctor = json(4, "sternway.doctor/1", &["doctor"]);
    let redo = json(0, "sternway.plan/4", &["plan", "--to", "1.1.0", "--redo"]);
    vec![releases, status, doctor, redo]
}

/// What the archive's commands print, and plans that take away every kind of data.
fn archived(machine: &Machine) -> Vec<(String, Value)> {
    let url = format!("embedded:{}", machine.text("kept"));
    let json = |format: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--output", "json"]].concat();
        (format.to_owned(), machine.on(&url, &arguments).ended(0).json(format))
    };
    machine.on(&url, &["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    support::execute(
        &url,
        "INSERT INTO ship (imo_number, name, operator, length_m) VALUES (1, 'a', 'b', 2), (2, 'c', 'd', 3);
         INSERT INTO port_call (reference, ship_id, arrives_at, billed_to, reported_via)
         SELECT name, id, now(), 'e', 'f' FROM ship",
    );
    let plan = json("sternway.plan/4", &["plan", "--to", "1.0.3"]);
    machine.on(&url, &["rollback", "--to", "1.0.3", "--yes"]).ended(0);
    support::execute(&url, "DELETE FROM port_call WHERE reference = 'a'");
    let up = json("sternway.plan/4", &["plan", "--to", "1.2.1"]);
    // A schema that is there again without the archive's knowledge.
    support::execute(&url, "ALTER TABLE port_call ADD COLUMN billed_to text");
    let list = machine.on(&url, &["archive", "list", "--output", "json"]).ended(0);
    let list = list.json("sternway.archive.list/1");
    let mut entries = list["entries"].as_array().expect("entries").iter();
    let id = entries.find(|it| it["column"] == "billed_to").expect("an entry")["id"].to_string();
    let export = ["archive", "export", &id, "--out", "rows.csv"];
    let export = json("sternway.archive.export/1", &export);
    let restore = json("sternway.archive.restore/1", &["archive", "restore", &id, "--yes"]);
    let show = json("sternway.archive.show/1", &["archive", "show", &id]);
    let list = json("sternway.archive.list/1", &["archive", "list"]);
    support::execute(
        &url,
        "ALTER TABLE port_call ADD COLUMN reported_via text; UPDATE schema_migrations SET version = 9",
    );
    let waiting = ["archive", "restore", "--waiting", "--yes"];
    let waiting = json("sternway.archive.restore.waiting/1", &waiting);
    let drop = json("sternway.archive.drop/1", &["archive", "drop", "--older-than", "0", "--yes"]);
    vec![plan, up, export, restore, show, list, waiting, drop]
}

#[test]
fn every_flag_is_documented_with_its_variable() {
    let text = document("settings.md");
    let help = Machine::empty().run(&["status", "--help"]).ended(0).stdout;
    let (_, settings) = help.split_once("Settings (").expect("a heading");
    let mut flag = String::new();
    let mut flags = 0;
    for line in settings.lines().map(str::trim) {
        if let Some(at) = line.find("--").filter(|_| line.starts_with('-')) {
            flag = line[at..].split_whitespace().next().expect("a flag").to_owned();
            flags += 1;
            assert!(text.contains(&format!("`{flag}")), "{flag} is not in settings.md");
        } else if let Some(rest) = line.strip_prefix("[env: ") {
            let name = rest.trim_end_matches([']', '=']);
            let row = text.lines().find(|row| row.contains(&format!("`{name}`")));
            assert!(row.is_some_and(|row| row.contains(&flag)), "{name} is not beside {flag}");
        }
    }
    assert!(flags > 15, "{help}");
}

#[test]
fn the_settings_of_the_example_are_read() {
    let text = document("settings.md");
    let example = text.split("```toml\n").nth(1).and_then(|it| it.split("```").next());
    let machine = Machine::new();
    let example = example.expect("an example").replace("../harbour", "app");
    machine.write("sternway.toml", &example);
    machine.run(&["releases"]).ended(0).quiet();
}
