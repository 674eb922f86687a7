//! An application that the embedded PostgreSQL cannot install is rehearsed on a server.

use crate::support::{self, Machine, Server, ask, execute};

/// Two releases; the first needs what the embedded server does not have of an extension, the second
/// has a handler that catches an exception, which that server does not survive.
fn letters() -> Machine {
    let machine = Machine::of("letters", "migrations");
    let first = [
        (
            "000001_letter.up.sql",
            "CREATE EXTENSION pgcrypto; CREATE TABLE letter (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), seal text); INSERT INTO letter (seal) VALUES (crypt('x', gen_salt('bf')));",
        ),
        ("000001_letter.down.sql", "DROP TABLE letter; DROP EXTENSION pgcrypto;"),
    ];
    let second = [
        (
            "000002_mood.up.sql",
            "CREATE TYPE mood AS ENUM ('x'); DO $$ BEGIN CREATE TYPE mood AS ENUM ('y'); EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
        ),
        ("000002_mood.down.sql", "DROP TYPE mood;"),
    ];
    for (name, sql) in first {
        machine.write(&format!("releases/1.0.0/migrations/{name}"), sql);
        machine.write(&format!("releases/1.1.0/migrations/{name}"), sql);
    }
    for (name, sql) in second {
        machine.write(&format!("releases/1.1.0/migrations/{name}"), sql);
    }
    machine
}

/// How many databases to rehearse in there are, of this test's user.
fn left_behind(server: &Server) -> String {
    let left = "SELECT count(*)::text FROM pg_database JOIN pg_roles r ON r.oid = datdba
                WHERE datname LIKE 'sternway\\_rehearsal\\_%' AND rolname = current_user";
    ask(&server.url, left)
}

/// A user who may create databases, and is no superuser.
fn server(test: &str) -> Option<Server> {
    let server = Server::new(test)?;
    execute(&server.as_admin(), &format!("ALTER ROLE {} CREATEDB", server.name));
    Some(server)
}

#[test]
fn a_server_stands_in_for_the_embedded_one() {
    let Some(server) = server("rehearsal") else { return };
    let machine = letters();
    let url = &server.url;

    let refused = machine.on(url, &["upgrade", "--to", "1.1.0", "--yes"]).ended(3);
    refused.explains(&[
        "the journey fails",
        "gen_salt() of the extension pgcrypto",
        "--rehearsal",
        "--unproven",
    ]);
    assert_eq!(ask(url, "SELECT count(*)::text FROM pg_class WHERE relname = 'letter'"), "0");

    let with = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("STERNWAY_DATABASE", url).env("STERNWAY_REHEARSAL", url);
        support::Run::of(command)
    };
    with(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&["a clean install of core 2"]);
    with(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&["a clean install of core 1"]);
    with(&["status"]).ended(0).says(&["drift: none"]);
    assert_eq!(left_behind(&server), "0", "every database to rehearse in is dropped again");
}

#[test]
fn a_failed_rehearsal_leaves_no_database_behind() {
    let Some(server) = server("rehearsal_failed") else { return };
    let machine = letters();
    machine
        .write("releases/1.1.0/migrations/000002_mood.up.sql", "CREATE TABLE broken (a nothing);");
    let mut command = machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
    let url = &server.url;
    command.env("STERNWAY_DATABASE", url).env("STERNWAY_REHEARSAL", url);
    support::Run::of(command).ended(3).explains(&["the journey fails", "line 1"]);
    let mine = "SELECT count(*)::text FROM pg_class WHERE relname = 'letter'";
    assert_eq!(ask(url, mine), "0", "nothing was touched");
    assert_eq!(left_behind(&server), "0");
}

/// What a body does to the whole server would be done in earnest.
#[test]
fn what_reaches_out_of_its_database_is_not_rehearsed() {
    let Some(server) = server("rehearsal_reach") else { return };
    let machine = letters();
    let up = "DO $$ BEGIN CREATE  ROLE sternway_nobody; END $$;";
    machine.write("releases/1.1.0/migrations/000002_mood.up.sql", up);
    let mut command = machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
    command.env("STERNWAY_DATABASE", &server.url).env("STERNWAY_REHEARSAL", &server.url);
    let run = support::Run::of(command).ended(3);
    run.explains(&["`000002_mood.up.sql` cannot be rehearsed: it says CREATE ROLE"]);
    let roles = "SELECT count(*)::text FROM pg_roles WHERE rolname = 'sternway_nobody'";
    assert_eq!(ask(&server.url, roles), "0");
    assert_eq!(left_behind(&server), "0");
}

/// What an administrator makes is made for rehearsals by a script, and what the embedded server has not is
/// stood in for. The script's words count: another one is asked anew.
#[test]
fn a_script_makes_what_only_an_administrator_can() {
    let Some(server) = Server::new("rehearsal_setup") else { return };
    let machine = Machine::of("letters", "migrations");
    let up = "CREATE EXTENSION pgcrypto; CREATE TABLE letter (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), mark bytea DEFAULT digest('x', 'sha256'));
        GRANT SELECT ON letter TO sternway_reader; INSERT INTO letter DEFAULT VALUES; INSERT INTO audit.entry VALUES (1);";
    let down = "DELETE FROM audit.entry; DROP TABLE letter; DROP EXTENSION pgcrypto;";
    machine.write("releases/1.0.0/migrations/000001_a.up.sql", "CREATE TABLE a (x integer);");
    machine.write("releases/1.0.0/migrations/000001_a.down.sql", "DROP TABLE a;");
    machine.write("releases/1.1.0/migrations/000001_a.up.sql", "CREATE TABLE a (x integer);");
    machine.write("releases/1.1.0/migrations/000001_a.down.sql", "DROP TABLE a;");
    machine.write("releases/1.1.0/migrations/000002_letter.up.sql", up);
    machine.write("releases/1.1.0/migrations/000002_letter.down.sql", down);
    let admin = server.as_admin();
    let role = "DO $$ BEGIN IF to_regrole('sternway_reader') IS NULL THEN CREATE ROLE sternway_reader; END IF; END $$;";
    let schema = "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"; CREATE SCHEMA audit; CREATE TABLE audit.entry (id integer);";
    execute(&admin, &format!("{role} {schema}"));
    execute(
        &admin,
        &format!("GRANT ALL ON SCHEMA audit TO {0}; GRANT ALL ON audit.entry TO {0}", server.name),
    );
    let url = &server.url;
    let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
    let settings = |setup: &str| {
        let tables = support::settings("letters", "migrations");
        machine.write("sternway.toml", &format!("{tables}\n[rehearsal]\nsetup = \"{setup}\"\n"));
    };
    settings("db/nowhere.sql");
    machine
        .on(url, &upgrade)
        .ended(2)
        .explains(&["cannot read the script for rehearsals", "nowhere.sql"]);
    settings("db/admin.sql");
    machine.write("db/admin.sql", "CREATE SCHEMA audit;\nCREATE nothing;");
    machine.on(url, &upgrade).ended(3).explains(&[
        "the script for rehearsals fails",
        "admin.sql",
        "line 2",
        "`setup` in [rehearsal]",
    ]);
    machine.write("db/admin.sql", schema);
    machine.on(url, &upgrade).ended(3).explains(&["sternway_reader"]);
    machine.write("db/admin.sql", &format!("{role}\n{schema}"));
    let run = machine.on(url, &[&upgrade[..], &["--verbose"]].concat()).ended(0);
    run.says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"])
        .explains(&["plain functions stand in for the extension `pgcrypto`"]);
    machine.on(url, &["status"]).ended(0).says(&["drift: none"]);
    machine.on(url, &["rollback", "--to", "1.0.0", "--yes"]).ended(0);
    assert_eq!(ask(url, "SELECT count(*)::text FROM audit.entry"), "0");
    execute(&admin, "DROP OWNED BY sternway_reader; DROP ROLE sternway_reader");
}
