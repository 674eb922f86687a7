//! The other clients of a database while `upgrade` and `rollback` are at work.

use crate::support::{Machine, SECRET, Server, Session, ask, block_on, execute, variable};

/// Who may connect, and what is set for this database.
fn rights(server: &Server) -> String {
    let rights = "SELECT coalesce(datacl, acldefault('d', datdba))::text || (SELECT count(*)
        FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)
        FROM pg_database d WHERE datname = current_database()";
    ask(&server.as_admin(), rights)
}

/// A role of the application's, which goes away with this value.
struct App<'a> {
    server: &'a Server,
    role: String,
    url: String,
}

impl<'a> App<'a> {
    fn new(server: &'a Server) -> App<'a> {
        let role = format!("{}_app", server.name);
        execute(&server.as_admin(), &format!("CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'"));
        let (place, name) = (server.place(), &server.name);
        let url = format!(
            "postgres://{role}:{SECRET}@{place}/{name}?sslmode=disable&application_name=shipping"
        );
        App { server, role, url }
    }
}

impl Drop for App<'_> {
    fn drop(&mut self) {
        execute(&self.server.as_admin(), &format!("DROP OWNED BY {0}; DROP ROLE {0}", self.role));
    }
}

#[test]
fn the_application_is_kept_out_and_comes_back() {
    let Some(server) = Server::new("kept_out") else { return };
    let machine = Machine::with_core();
    let app = App::new(&server);
    // The owner may look at sessions, and end them, of roles that he belongs to.
    execute(&server.as_admin(), &format!("GRANT {} TO {}", app.role, server.name));
    let before = rights(&server);
    let upgrade = |to, more: &[&str]| {
        machine.on(&server.url, &[&["upgrade", "--to", to, "--yes"], more].concat())
    };
    upgrade("1.0.0", &["--fence", "no-connect"]).ended(0).quiet();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime, which the client lives in");
    let mut client = runtime.block_on(Session::open(&app.url));
    runtime.block_on(client.run("BEGIN; SELECT 'at work'"));
    let refused = upgrade("1.0.2", &["--fence", "no-connect", "--wait-for-sessions", "1"]);
    refused.ended(3).explains(&[
        "cannot keep the application from writing meanwhile",
        "other clients did not leave: session",
        "(shipping) from 127.0.0.1, idle in transaction",
        "--end-sessions",
        "BEGIN; SELECT 'at work'",
    ]);
    assert_eq!(rights(&server), before);
    let ran = upgrade("1.0.2", &["--fence", "read-only", "--fence-role", "nobody_at_all"]).ended(1);
    ran.explains(&["there is no role `nobody_at_all`", "--fence none goes on without it"]);
    let ran = upgrade("1.0.2", &["--fence", "no-connect", "--end-sessions"]).ended(0);
    ran.says(&["the fence stands: no connections for", "ending the sessions", "may write again"]);
    assert_eq!(rights(&server), before);
    block_on(Session::open(&app.url));
}

/// Raises a fence, and leaves nobody who would lower it.
fn leave_fence(server: &Server, app: &App<'_>) {
    block_on(async {
        use sternway_database::FenceKind;
        use sternway_database::port::prelude::*;
        let mut sternway =
            sternway_database::postgres::connect(&server.url, None).await.expect("a session");
        let kind = FenceKind::NoConnect { roles: vec![app.role.clone()] };
        let fence = sternway.prepare_fence(&kind).await.expect("a fence");
        sternway.raise_fence("harbour", None, &fence).await.expect("a fence");
    });
}

#[test]
fn a_fence_that_a_crash_left_is_taken_away_by_the_next_run() {
    let Some(server) = Server::new("left_fence") else { return };
    let machine = Machine::with_core();
    let app = App::new(&server);
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let before = rights(&server);
    leave_fence(&server, &app);
    assert_ne!(rights(&server), before);
    let ran = machine.on(&server.url, &["upgrade", "--to", "1.0.2", "--yes"]).ended(0);
    ran.says(&["took away a fence that a run left at"]);
    assert_eq!(rights(&server), before);
}

#[test]
fn a_fence_that_a_crash_left_is_taken_away_by_the_doctor() {
    let Some(server) = Server::new("doctored_fence") else { return };
    let machine = Machine::with_core();
    let app = App::new(&server);
    machine.on(&server.url, &["upgrade", "--to", "1.0.2", "--yes"]).ended(0);
    let before = rights(&server);
    leave_fence(&server, &app);
    assert_ne!(rights(&server), before);
    let version = ask(&server.url, "SELECT version::text FROM schema_migrations");
    execute(&server.url, "UPDATE schema_migrations SET version = version - 1");
    // To look changes nothing.
    let stands = format!("a fence stands: no connections for {}, since ", app.role);
    machine.on(&server.url, &["doctor"]).ended(4).says(&[&stands]);
    assert_ne!(rights(&server), before);
    let ran = machine.on(&server.url, &["doctor", "--set-row", &version, "--yes"]).ended(0);
    ran.says(&["took away a fence that a run left at"]);
    assert_eq!(rights(&server), before);
    block_on(Session::open(&app.url));
    // The same where nothing else is amiss.
    leave_fence(&server, &app);
    let on = |arguments: &[&str]| machine.on(&server.url, arguments);
    on(&["status"]).ended(0).says(&[&stands, "`sternway doctor --lower-fence` takes it away"]);
    on(&["doctor"]).ended(4).says(&[&stands, "all is well"]);
    on(&["doctor", "--lower-fence"]).ended(2).explains(&["nobody can be asked here"]);
    assert_ne!(rights(&server), before);
    let ran = on(&["doctor", "--lower-fence", "--yes", "--output", "json"]).ended(0);
    assert_eq!(ran.json("sternway.doctor/1")["did"], "lower_fence");
    assert_eq!(rights(&server), before);
    on(&["doctor", "--lower-fence", "--yes"]).ended(3).explains(&["no fence stands"]);
    on(&["doctor"]).ended(0);
}

#[cfg(unix)]
#[test]
fn a_killed_run_keeps_others_out_until_it_is_made_up_for() {
    let Some(server) = Server::new("killed_fence") else { return };
    let machine = Machine::with_core();
    let app = App::new(&server);
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let before = rights(&server);
    for (makes_up, ends_at) in [("abort", "1.0.0"), ("resume", "1.0.2")] {
        block_on(async {
            let mut keeper = Session::open(&server.url).await;
            keeper.run("BEGIN; SELECT FROM port_call").await;
            let arguments = ["upgrade", "--to", "1.0.2", "--yes", "--lock-wait", "0"];
            let fence = ["--fence", "no-connect", "--fence-role", &app.role];
            let mut command = machine.command(&[&arguments[..], &fence].concat());
            command.env("STERNWAY_DATABASE", &server.url);
            let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("a run");
            let mut watcher = Session::open(&server.url).await;
            watcher
                .until(
                    "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                AND application_name = 'sternway' AND datname = current_database())",
                )
                .await;
            child.kill().expect("a kill");
            child.wait().expect("an end");
            keeper.run("COMMIT").await;
        });
        assert_ne!(rights(&server), before);
        let ran = machine.on(&server.url, &[makes_up, "--yes", "--end-orphans"]).ended(0);
        ran.says(&["took away a fence that a run left at"]);
        assert_eq!(rights(&server), before);
        let status = machine.on(&server.url, &["status", "--output", "json"]).ended(0);
        let releases = status.json("sternway.status/1")["releases"].to_string();
        assert!(releases.contains(&format!("\"{ends_at}\"")), "{releases}");
    }
}

#[test]
fn a_transaction_pool_is_refused_unless_it_is_wanted() {
    let test = "a_transaction_pool";
    let (Some(server), Some(proxy)) =
        (Server::new(test), variable("STERNWAY_TEST_PGBOUNCER", test))
    else {
        return;
    };
    let machine = Machine::with_core();
    let url = proxy.replace("/postgres?", &format!("/{}?", server.name));
    let run = machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(3);
    run.explains(&["session locks mean nothing there", "--through-pooler"]);
    assert_eq!(
        ask(&server.as_admin(), "SELECT (to_regclass('schema_migrations') IS NULL)::text"),
        "true"
    );
    let run = machine.on(&url, &["upgrade", "--to", "1.0.0", "--yes", "--through-pooler"]);
    run.explains(&["warning: the connection goes through a proxy"]);
}
