//! What a user does wrong, and what is said: what happened, where, why, and what to do about it.
//! No panic and no password is shown in any run; `support` looks for them.

use crate::support::{self, APP, CORE, Machine, SEARCH, SECRET};

// --- what is typed

#[test]
fn a_release_that_is_not_there_is_answered_with_the_nearest() {
    let machine = Machine::new();
    let plan = |to| machine.run(&["plan", "--from", "1.2.1", "--to", to]);
    plan("1.0.4").ended(2).explains(&[
        "cannot plan the way to release 1.0.4",
        "release 1.0.4 is not in the catalog",
        "did you mean 1.0.3 or",
        "`sternway releases` lists them all",
    ]);
    plan("1.1.x").ended(2).explains(&[
        "`1.1.x` is not a release number such as 1.2.3",
        "did you mean 1.1.2 or 1.1.1 or 1.1.0?",
    ]);
    plan("1.1").ended(0).quiet().says(&["rollback of harbour from 1.2.1 to 1.1.0"]);
    plan("1.3").ended(2).explains(&["release 1.3 is not in the catalog", "did you mean 1.0.3 or"]);
    plan("v1.0.3").ended(0).quiet().says(&["rollback of harbour from 1.2.1 to 1.0.3"]);
    let run = machine.run(&["plan", "--from", "1.2.2", "--to", "1.0.3"]).ended(2);
    run.explains(&["release 1.2.2 is not in the catalog", "did you mean 1.2.1"]);
}

#[test]
fn a_misspelt_track_is_answered_with_the_nearest() {
    let machine = Machine::new();
    for switch in ["--enable", "--disable"] {
        let run = machine.run(&["releases", switch, "serch"]).ended(2);
        run.explains(&["there is no track `serch`", "did you mean `search`?"]);
    }
    machine.run(&["releases", "--track", "name=core,pth=x"]).ended(2).explains(&[
        "--track name=core,pth=x: `pth` is none of name, path, table",
        "a track looks like name=core,path=db/migrations,table=schema_migrations",
    ]);
    let run = machine.run(&["releases", "--track", "name=core"]).ended(2);
    run.explains(&["--track name=core: missing field `path`"]);
    let run = machine.run(&["releases", "--track", "core"]).ended(2);
    run.explains(&["`core` is no key=value"]);
}

#[test]
fn every_track_switched_off_is_too_many() {
    let machine = Machine::with_core();
    let url = machine.embedded();
    let run = machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes", "--disable", "core"]);
    run.ended(2).explains(&["every track is switched off", "--enable TRACK switches one on"]);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let machine = Machine::new();
    let run = |arguments: &[&str]| machine.run(&[&["releases"], arguments].concat()).ended(2);
    run(&["--window", "major"]).explains(&["`major` is no window", "minor: on the next minor's"]);
    run(&["--floor", "old"]).explains(&["cannot use the value of --floor", "`old`"]);
    run(&["--tag", "release"]).explains(&["cannot use the value of tag", "{version}"]);
    run(&["--profile", "kagnet"]).explains(&["there is no profile `kagnet`", "kagent"]);
    run(&["--config", "nowhere.toml"])
        .explains(&["cannot read the settings in nowhere.toml", "No such file"]);
}

// --- sternway.toml

/// Checks what is said about a file of settings.
#[track_caller]
fn bad_settings(text: &str, parts: &[&str]) {
    let machine = Machine::new();
    machine.write("sternway.toml", text);
    machine.run(&["releases"]).ended(2).explains(parts);
}

#[test]
fn a_misspelt_key_is_pointed_at() {
    bad_settings(
        &format!("{APP}[policy]\nwindov = \"minor\"\n{CORE}"),
        &["the key `windov` is not known", "sternway.toml:5:1", "did you mean `window`?"],
    );
    bad_settings(
        &format!("{APP}[[track]]\nname = \"core\"\npth = \"x\"\n"),
        &["the key `pth` is not known", "did you mean `path`?"],
    );
}

#[test]
fn a_password_of_its_own_is_answered_with_better_places() {
    let text = format!("{APP}{CORE}[database]\npassword = \"{SECRET}\"\n");
    bad_settings(
        &text,
        &[
            "the key `password` is not known",
            "password = \"***********\"",
            "write ${VAR} into the URL",
        ],
    );
}

#[test]
fn a_hazard_that_is_half_described_is_refused() {
    bad_settings(&format!("{APP}{CORE}[[hazard]]\nmessage = \"x\"\n"), &["missing field `name`"]);
    let three = "[[hazard]]\nname = \"x\"\nmessage = \"x\"\nbetween = [\"1.0.0\"]\n";
    bad_settings(&format!("{APP}{CORE}{three}"), &["between"]);
}

#[test]
fn a_cluster_that_is_half_described_is_refused() {
    let kubernetes = |text: &str| format!("{APP}{CORE}[deploy.kubernetes]\n{text}\n");
    bad_settings(
        &kubernetes("namespace = \"x\""),
        &["[deploy.kubernetes] has no `stop`", "stop = [\"deployment/harbour\"]"],
    );
    bad_settings(
        &kubernetes("stop = [\"daemonset/x\"]"),
        &["`daemonset/x` is none of deployment/NAME, statefulset/NAME"],
    );
    bad_settings(
        &kubernetes("stop = [\"deployment/x\"]"),
        &["does not say how another release is put in place", "[[deploy.kubernetes.helm]]"],
    );
    bad_settings(
        &kubernetes("stop = [\"deployment/x\"]\nimage = \"x:1.0.0\""),
        &["`image` has no {version}"],
    );
    bad_settings(
        &kubernetes("stop = [\"deployment/x\"]\nimage = \"x:{version}\"\nhealth = \"x\""),
        &["`health`: `x` is no PORT/PATH"],
    );
    bad_settings(
        &kubernetes("stop = [\"deployment/x\"]\nnamespaces = \"x\""),
        &["the key `namespaces` is not known", "did you mean `namespace`?"],
    );
}

#[test]
fn wrong_values_are_pointed_at() {
    bad_settings("[app]\nname = 5\n", &["invalid type: integer `5`", "sternway.toml:2:8"]);
    bad_settings(
        &format!("{APP}{CORE}[policy]\nfloor = \"old\"\n"),
        &["`old` is not a release number", "sternway.toml:9:9"],
    );
    bad_settings(
        &format!("{APP}{CORE}[policy]\nwindow = \"major\"\n"),
        &["unknown variant `major`", "sternway.toml:9:10"],
    );
    bad_settings("[app\nname = 5\n", &["sternway.toml:1:5", "unclosed table"]);
    bad_settings(APP, &["the settings name no track", "a [[track]] has a name"]);
    bad_settings(
        &format!("{APP}{CORE}{CORE}"),
        &["track `core` has the name or the table of one before it"],
    );
}

#[test]
fn an_error_in_the_settings_shows_no_password() {
    for line in [
        format!("url = postgres://me:{SECRET}@h/db"),
        format!("ulr = \"postgres://me:{SECRET}@h/db\""),
        format!("url = [\"postgres://h/db?password={SECRET}\"]"),
        format!("password = \"{SECRET}\""),
        format!("url = \"postgres://me:{SECRET}@h/db"),
    ] {
        let machine = Machine::new();
        machine.write("sternway.toml", &format!("{APP}{CORE}[database]\n{line}\n"));
        machine.run(&["status"]).ended(2).explains(&["sternway.toml:9:"]);
        machine.run(&["status", "--output", "json"]).ended(2).failure();
    }
}

#[test]
fn nothing_at_all_is_answered_with_the_ways_to_begin() {
    Machine::empty().run(&["status"]).ended(2).explains(&[
        "nothing says which application this is",
        "write a sternway.toml",
        "--profile kagent",
        "`sternway demo` needs none of it",
    ]);
}

// --- the source

/// Checks what is said about a source.
#[track_caller]
fn bad_source(machine: &Machine, source: &str, code: i32, parts: &[&str]) {
    machine.run(&["releases", "--source", source]).ended(code).explains(parts);
}

#[test]
fn a_source_that_is_none_is_named() {
    let machine = Machine::new();
    let help = "--source names a clone of the application's repository";
    bad_source(
        &machine,
        "nowhere",
        1,
        &["cannot read the releases from nowhere", "does not exist", help],
    );
    bad_source(&machine, "git+file:tmp", 1, &["is not a git repository", help]);
    bad_source(&machine, "sternway.toml", 1, &["`sternway.toml`"]);
    bad_source(
        &machine,
        "github://kagent-dev",
        2,
        &["not of the form github://OWNER/REPOSITORY", "such as github://OWNER/REPOSITORY"],
    );
    bad_source(&machine, &format!("https://me:{SECRET}@h/x"), 2, &["`https:` is not a kind"]);
    machine.write("sternway.toml", &format!("[app]\nname = \"harbour\"\n{CORE}"));
    let run = machine.run(&["releases"]).ended(2);
    run.explains(&["nothing says where the releases are", "give --source"]);
}

#[test]
fn a_repository_without_releases_says_what_it_has() {
    let machine = Machine::new();
    machine.git(".", &["clone", "--quiet", "--no-tags", "app", "bare-of-tags"]);
    bad_source(&machine, "bare-of-tags", 1, &["has no tags", "`git fetch --tags` brings them"]);
    let run = machine.run(&["releases", "--tag", "release-{version}"]).ended(1);
    run.explains(&[
        "none of the 10 tags in",
        "matches `release-{version}`: `v1.0.0`",
        "--tag says what a release's tag looks like",
    ]);
    let origin = format!("file://{}", machine.text("app"));
    machine.git(".", &["clone", "--quiet", "--depth=1", "--no-tags", &origin, "shallow"]);
    bad_source(
        &machine,
        "shallow",
        1,
        &["is a shallow clone without tags", "`git fetch --unshallow --tags` brings the rest"],
    );
    machine.git(".", &["clone", "--quiet", "--depth=1", "--branch=v1.2.1", &origin, "one"]);
    let run = machine.run(&["releases", "--source", "one"]).ended(0);
    run.explains(&["warning: `one` is a shallow clone: it may lack releases"]).says(&["1.2.1"]);
}

#[test]
fn a_track_whose_folder_is_nowhere_is_named() {
    let machine = Machine::new();
    let track = "name=core,path=db/core";
    let run = machine.run(&["releases", "--track", track]).ended(1);
    run.explains(&["no release has a folder `db/core`", "`path` of each track"]);
}

// --- the database

#[test]
fn no_database_is_answered_with_the_ways_to_name_one() {
    let machine = Machine::new();
    machine.run(&["status"]).ended(2).explains(&[
        "nothing says which database",
        "give --database, STERNWAY_DATABASE, or url in [database] of sternway.toml",
    ]);
    let run = machine.run(&["plan", "--to", "1.0.0"]).ended(2);
    run.explains(&["With --from RELEASE a plan needs none"]);
    machine.write("sternway.toml", &format!("{APP}{CORE}[database]\nurl = \"${{APP_URL}}\"\n"));
    machine
        .run(&["status"])
        .ended(2)
        .explains(&["set APP_URL, which the settings take the URL from"]);
    let url = "[database]\nurl = \"postgres://${APP_USER}@h/db\"\n";
    machine.write("sternway.toml", &format!("{APP}{CORE}{url}"));
    machine.run(&["status"]).ended(2).explains(&["the settings need the variable APP_USER"]);
}

#[test]
fn a_url_that_is_none_is_refused_without_repeating_it() {
    let machine = Machine::new();
    for (url, part) in [
        ("app", "it does not begin with a scheme such as postgres://"),
        ("oracle://me:s3cr3t_w0rd@h/db", "the scheme `oracle`"),
        ("postgres://me:s3cr3t_w0rd@h:port/db", "invalid port number"),
        ("postgres:me:s3cr3t_w0rd", "it has no // after its scheme"),
    ] {
        machine.on(url, &["status"]).ended(2).explains(&["cannot connect to the database", part]);
        machine.on(url, &["status", "-v", "--output", "json"]).ended(2).failure();
    }
    let run = machine.run(&["status", "--database-url-file", "nowhere"]).ended(2);
    run.explains(&["cannot read the database's URL from nowhere", "No such file"]);
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let machine = Machine::new();
    let help = "check host and port, and that the server runs";
    let url = format!("postgres://me:{SECRET}@127.0.0.1:1/db");
    let run = machine.on(&url, &["status", "-v"]).ended(1);
    run.explains(&["no database server answers at 127.0.0.1:1", "refused", help]);
    let url = format!("postgres://me:{SECRET}@no-such-host.invalid/db");
    let run = machine.on(&url, &["status"]).ended(1);
    run.explains(&["no database server answers at no-such-host.invalid:5432", help]);
}

#[test]
fn a_rollback_of_an_empty_database_creates_nothing() {
    let machine = Machine::new();
    let url = machine.embedded();
    machine.on(&url, &["rollback", "--to", "1.0.0", "--yes"]).ended(3).explains(&[
        "cannot plan the way to release 1.0.0",
        "is not one of `harbour`",
        "where nothing is installed yet, `sternway upgrade --to 1.0.0` does that",
    ]);
    let status = machine.on(&url, &["status", "--output", "json"]).ended(0);
    assert_eq!(status.json("sternway.status/1")["tracks"][0]["table_exists"], false);
    let run = machine.on(&url, &["history"]).ended(0);
    run.says(&["Sternway has not run on this database"]);
    let run = machine.on(&url, &["status", "--offline"]).ended(3);
    run.explains(&["the database carries no releases"]);
}

#[test]
fn a_database_of_another_application_is_left_alone() {
    let machine = Machine::with_core();
    let url = machine.embedded();
    let sql = "CREATE TABLE invoice (id int); CREATE TABLE customer (id int)";
    support::execute(&url, sql);
    machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(3).explains(&[
        "has the tables `customer`, `invoice`",
        "no tracking table of `harbour`",
        "--adopt installs beside the tables",
    ]);
    let run = machine.on(&url, &["rollback", "--to", "1.0.0", "--yes"]).ended(3);
    run.explains(&["is not one of `harbour`", "check the database's URL"]);
    support::execute(
        &url,
        "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
         INSERT INTO schema_migrations VALUES (9, false)",
    );
    for arguments in [["rollback", "--to", "1.0.0"], ["upgrade", "--to", "1.2.1"]] {
        let run = machine.on(&url, &[&arguments[..], &["--yes"]].concat()).ended(3);
        run.explains(&["is not one of `harbour`"]);
    }
    let run = machine.on(&url, &["status"]).ended(3);
    run.says(&["problem: the tracking tables are here and no table of `harbour` is"]);
}

// --- what is asked for

#[test]
fn the_wrong_way_is_refused_with_the_right_one() {
    let machine = Machine::new();
    let url = machine.installed("1.1.0");
    machine.on(&url, &["rollback", "--to", "1.2.0", "--yes"]).ended(3).explains(&[
        "going to 1.2.0 is no rollback: track `core` is at 6, the release has 9",
        "`sternway upgrade --to 1.2.0`",
    ]);
    let run = machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(3);
    run.explains(&["`sternway rollback --to 1.0.0`"]);
    let run =
        machine.on(&url, &["rollback", "--to", "1.0.0", "--yes", "--floor", "1.0.2"]).ended(3);
    run.explains(&["release 1.0.0 is older than 1.0.2, the oldest", "restore a snapshot"]);
}

#[test]
fn without_yes_and_without_a_terminal_nothing_is_touched() {
    let machine = Machine::new();
    let url = machine.embedded();
    for output in ["text", "json"] {
        let arguments = ["upgrade", "--to", "1.0.0", "--output", output];
        let run = machine.on(&url, &arguments).ended(2);
        run.explains(&["nobody can be asked here", "nothing was touched; --yes goes ahead"]);
    }
    machine.on(&url, &["status"]).ended(0).says(&["not installed", "records: 0 migrations"]);
}

#[test]
fn a_plan_that_cannot_be_trusted_is_not_executed() {
    let machine = Machine::new();
    let url = machine.embedded();
    machine.on(&url, &["plan", "--to", "1.0.0", "--out", "plan.json"]).ended(0);
    let good = machine.read("plan.json");
    let apply = |text: &str| {
        machine.write("bad.json", text);
        machine.on(&url, &["apply", "bad.json", "--yes"])
    };
    apply("{").ended(2).explains(&["cannot read the plan in bad.json", "not a plan", "EOF"]);
    apply(&good.replace("CREATE TABLE IF NOT EXISTS ship", "DROP TABLE ship")).ended(2).explains(
        &["was changed after the plan was made", "`sternway plan --to RELEASE --out FILE`"],
    );
    apply(&good.replace("sternway.plan/4", "sternway.plan/1")).ended(2).explains(&[
        "the plan has the format `sternway.plan/1`, and this version reads `sternway.plan/4`",
    ]);
    apply(&good.replace("\"app\": \"harbour\"", "\"app\": \"market\""))
        .ended(2)
        .explains(&["the plan is for market, the settings are for harbour"]);
    let run = machine.on(&url, &["apply", "nowhere.json", "--yes"]).ended(2);
    run.explains(&["cannot read the plan in nowhere.json", "No such file"]);
    machine.on(&url, &["apply", "plan.json", "--yes"]).ended(0);
    let run = machine.on(&url, &["apply", "plan.json", "--yes"]).ended(3);
    run.explains(&[
        "the database has changed since the plan was made: track `core` was at nothing and is at 2",
        "nothing was touched; plan again",
    ]);
    let run = machine.on(&url, &["plan", "--to", "1.0.0", "--out", "nowhere/plan.json"]).ended(1);
    run.explains(&["cannot write the plan to nowhere/plan.json"]);
}

#[test]
fn drift_is_listed_before_the_run_and_after_it() {
    let machine = Machine::with_core();
    let url = machine.installed("1.0.3");
    support::execute(&url, "ALTER TABLE ship ADD COLUMN nickname text");
    let run = machine.on(&url, &["status"]).ended(4);
    run.says(&["drift:\n", "column `nickname` of `ship` should not be there"]);
    machine.on(&url, &["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
        "the schema differs from a clean install of that:",
        "column `nickname` of `ship` should not be there: text (known from before)",
        "the schema is as rehearsed, and not that of a clean install",
    ]);
}

#[test]
fn a_dirty_track_is_diagnosed_and_the_statement_repairs_it() {
    let machine = Machine::with_core();
    let url = machine.installed("1.1.0");
    // As golang-migrate leaves it, if it is killed before the body of 7 did anything.
    support::execute(&url, "UPDATE schema_migrations SET version = 7, dirty = true");
    let run = machine.on(&url, &["rollback", "--to", "1.0.0", "--yes"]).ended(5);
    run.explains(&[
        "track `core` is dirty at migration 7",
        "the schema is that of 6",
        "SET version = 6, dirty = false",
    ]);
    let status = machine.on(&url, &["status"]).ended(5);
    let status = status.says(&["dirty; the schema is that of 6", "repair: UPDATE"]);
    let repair = status.stdout.lines().find_map(|line| line.strip_prefix("repair: "));
    support::execute(&url, repair.expect("a statement"));
    machine.on(&url, &["status"]).ended(0).says(&["core   schema_migrations  6   9       clean"]);
    machine.on(&url, &["rollback", "--to", "1.0.0", "--yes"]).ended(0);
}

#[test]
fn a_track_that_needs_an_extension_names_it() {
    let Some(server) = support::Server::new("extension") else { return };
    let machine = Machine::new();
    let offered = "SELECT count(*)::text FROM pg_available_extensions WHERE name = 'vector'";
    if support::ask(&server.url, offered) != "0" {
        return;
    }
    machine.write("sternway.toml", &format!("{APP}{CORE}{SEARCH}"));
    machine.on(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(3).explains(&[
        "track `search` needs the extension `vector`, which this server does not offer",
        "leave the track out with --disable search",
    ]);
}

// --- a server

#[test]
fn who_is_refused_by_the_server_is_told_so() {
    let Some(server) = support::Server::new("refused") else { return };
    let machine = Machine::with_core();
    let wrong = server.open_url.replacen('@', &format!(":not_{SECRET}@"), 1);
    machine.on(&wrong, &["status", "-v"]).ended(1).explains(&[
        &format!("the server at {} refuses user `{}`", server.place(), server.name),
        "check the user, and the password in STERNWAY_DATABASE",
    ]);
    let none = server.url.replace(&format!("/{}?", server.name), "/nowhere?");
    machine.on(&none, &["status"]).ended(1).explains(&[
        "has no database `nowhere`",
        "check the name at the end of the URL; Sternway creates no databases",
    ]);
    let lost = format!("{}&search_path=nowhere", server.url);
    machine.on(&lost, &["status"]).ended(1).explains(&["search path", "a schema that exists"]);
}

#[test]
fn a_password_on_the_command_line_is_remarked_on() {
    let Some(server) = support::Server::new("remark") else { return };
    let machine = Machine::with_core();
    let note = "note: others on this machine can see the password in --database";
    let mut command = machine.command(&["status"]);
    command.args(["--database", &server.url]);
    let output = command.output().expect("the program");
    let run = support::Run::ended_as("status --database …".to_owned(), &output).ended(0);
    assert_eq!(run.explains(&[note]).stderr.lines().count(), 1);
    machine.on(&server.url, &["status"]).ended(0).quiet();
}

#[test]
fn a_user_who_may_not_keep_records_is_warned_and_served() {
    let Some(server) = support::Server::for_guest("guest") else { return };
    let machine = Machine::with_core();
    let run = machine.on(&server.url, &["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    run.explains(&["warning: no records are kept"])
        .says(&["no journal, no history, and a later rollback needs the source"]);
    machine.on(&server.url, &["status"]).ended(0).says(&["records: none can be kept"]);
    let run = machine.on(&server.url, &["rollback", "--to", "1.0.0", "--yes"]).ended(3);
    run.explains(&["there is no place to keep it", "--discard goes without keeping anything"]);
}

#[test]
fn another_migrator_is_named() {
    let Some(server) = support::Server::new("locked") else { return };
    let machine = Machine::with_core();
    let run = support::block_on(async {
        let mut other = support::Session::open(&server.url).await;
        other.run("SET application_name = 'the other one'").await;
        // golang-migrate's number for this table in this database, which its library asks for.
        let name = format!("public\0schema_migrations\0{}", server.name);
        let number = u64::from(crc32(name.as_bytes()).wrapping_mul(1_486_364_155));
        other.run(&format!("SELECT pg_advisory_lock({number})")).await;
        let arguments = ["upgrade", "--to", "1.0.0", "--yes", "--lock-timeout", "0"];
        let run = machine.on(&server.url, &arguments);
        other.run("SELECT pg_advisory_unlock_all()").await;
        run
    });
    run.ended(6).explains(&[
        "cannot upgrade to 1.0.0",
        "another migrator is at work on this database",
        "the other one",
        "wait for it to end, or give --lock-timeout more seconds; nothing was touched",
    ]);
    machine.on(&server.url, &["status"]).ended(0).says(&["not installed"]);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_step_that_fails_outside_a_transaction_leads_to_a_repair() {
    let Some(server) = support::Server::new("failing") else { return };
    let machine = Machine::with_core();
    machine.on(&server.url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    machine.write(
        "app/migrations/core/000010_one_name.up.sql",
        "CREATE UNIQUE INDEX CONCURRENTLY one_name ON ship (name);\n",
    );
    machine.write("app/migrations/core/000010_one_name.down.sql", "DROP INDEX one_name;\n");
    machine.release("v1.3.0");
    machine.on(&server.url, &["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    support::execute(
        &server.url,
        "INSERT INTO ship (imo_number, name, operator, length_m) VALUES (1, 'Tern', '', 9), (2, 'Tern', '', 9)",
    );
    let run = machine.on_before_rows(&server.url, &["upgrade", "--to", "1.3.0", "--yes"]).ended(5);
    run.explains(&[
        "step 1 of 2 failed",
        "`000010_one_name.up.sql` failed in statement 1",
        "could not create unique index",
        "mend the cause, then `sternway resume` goes on from there",
    ]);
    let run = machine.on(&server.url, &["upgrade", "--to", "1.3.0", "--yes"]).ended(3);
    run.explains(&[
        "is unfinished",
        "`sternway resume` finishes it",
        "--abandon leaves it as it is",
    ]);
    // The server leaves the broken index behind: the schema is neither that of 9 nor that of 10.
    let run = machine.on(&server.url, &["status"]).ended(5);
    run.says(&["dirty; the schema is that of no migration"]);
    let resume = ["resume", "--yes"];
    machine.on(&server.url, &resume).ended(5).explains(&["could not create unique index"]);
    support::execute(&server.url, "DELETE FROM ship WHERE imo_number = 2");
    let run = machine.on(&server.url, &resume).ended(0);
    run.says(&["1  failed        core: 000010_one_name.up.sql", "upgraded to 1.3.0"]);
    let run = machine.on(&server.url, &["history"]).ended(0);
    assert!(!run.stdout.contains("failed"), "{}", run.stdout);
    machine.on(&server.url, &["status"]).ended(0).says(&["drift: none"]);
}
