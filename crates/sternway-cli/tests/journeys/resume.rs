//! Runs that are killed, and what is made of them, through the program and nothing else.

#![cfg(unix)]

use std::process::{Child, Command, Stdio};

use crate::support::{self, Machine, Run, Server, Session, block_on};

/// That a session of Sternway's stands before a lock of the test's.
const WAITING: &str = "EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name = 'sternway' AND wait_event_type = 'Lock'
      AND datname = current_database())";

/// That no session of Sternway's is left.
const GONE: &str = "NOT EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name = 'sternway' AND datname = current_database())";

/// A run that stands at a lock which `closed` takes.
struct Scene<'a> {
    machine: &'a Machine,
    server: &'a Server,
    keeper: Session,
    watcher: Session,
}

/// The demo's application at 1.0.0, with a reader of the table that the next step alters.
fn on_scene(test: &str, what: impl AsyncFnOnce(Scene<'_>)) {
    let Some(server) = Server::new(test) else { return };
    let machine = Machine::with_core();
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    block_on(async {
        let mut keeper = Session::open(&server.url).await;
        keeper.run("BEGIN; SELECT FROM port_call").await;
        let watcher = Session::open(&server.url).await;
        what(Scene { machine: &machine, server: &server, keeper, watcher }).await;
    });
}

impl Scene<'_> {
    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.machine.command(arguments);
        command.env("STERNWAY_DATABASE", &self.server.url);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program")
    }

    /// Kills an upgrade in the middle of its first body.
    async fn killed(&mut self) {
        let mut child = self.start(&["upgrade", "--to", "1.1.2", "--yes", "--lock-wait", "0"]);
        self.watcher.until(WAITING).await;
        child.kill().expect("a kill");
        child.wait().expect("an end");
    }

    async fn open(&mut self) {
        self.keeper.run("COMMIT").await;
    }

    #[track_caller]
    fn on(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.server.url, arguments)
    }

    async fn at(&mut self, row: &str) {
        let rows = "SELECT string_agg(version || ' ' || dirty, ', ') FROM schema_migrations";
        assert_eq!(self.watcher.ask(rows).await, row);
    }
}

#[test]
fn a_killed_run_stands_in_the_way_until_it_is_finished() {
    on_scene("killed", async |mut scene| {
        scene.killed().await;
        // The server does not know yet that nobody is there any more.
        let run = scene.on(&["resume", "--yes", "--lock-timeout", "1"]).ended(6);
        run.explains(&["another migrator is at work", "(sternway, user", "--end-orphans"]);
        let run = scene.on(&["upgrade", "--to", "1.1.2", "--yes", "--lock-timeout", "1"]);
        run.ended(6).explains(&["another migrator is at work"]);
        scene.open().await;
        scene.watcher.until(GONE).await;
        scene.at("2 false").await;
        for command in [["upgrade", "--to", "1.1.2"], ["rollback", "--to", "1.0.0"]] {
            let run = scene.on(&[&command[..], &["--yes"]].concat()).ended(3);
            run.explains(&[
                "run 2, the upgrade to 1.1.2, step 1 in doubt, is unfinished",
                "`sternway resume` finishes it, `sternway abort` takes it back",
                "--abandon leaves it as it is and plans anew",
            ]);
        }
        let status = scene.on(&["status"]).ended(0);
        status.says(&["unfinished: run 2, the upgrade to 1.1.2: step 1 in doubt"]);
        scene.on(&["resume"]).ended(2).explains(&["--yes goes ahead without asking"]);
        let run = scene.on(&["resume", "--yes"]).ended(0);
        run.quiet().says(&[
            "1  in doubt      core: 000003_port_call_priority.up.sql",
            "6  not done      prove the schema of 1.1.2",
            "upgraded to 1.1.2; the schema is that of a clean install of core 7",
        ]);
        scene.at("7 false").await;
        scene.on(&["history"]).ended(0).quiet().says(&["upgrade to 1.1.2", "finished"]);
        for command in ["resume", "abort"] {
            scene.on(&[command, "--yes"]).ended(3).explains(&["no run is unfinished"]);
        }
    });
}

#[test]
fn a_killed_run_is_taken_back() {
    on_scene("taken_back", async |mut scene| {
        scene.killed().await;
        scene.open().await;
        let run = scene.on(&["abort", "--yes"]).ended(0);
        run.quiet().says(&["run 2 is taken back; the schema is what it was before the run"]);
        scene.at("2 false").await;
        scene.on(&["history"]).ended(0).says(&["taken back"]);
        scene.on(&["upgrade", "--to", "1.1.2", "--yes"]).ended(0);
    });
}

#[test]
fn what_a_killed_run_left_on_the_server_is_ended() {
    on_scene("orphans", async |mut scene| {
        scene.killed().await;
        let orphan = "SELECT pid::text FROM pg_stat_activity
            WHERE application_name = 'sternway' AND datname = current_database()";
        let orphan = scene.watcher.ask(orphan).await;
        let child = scene.start(&["resume", "--yes", "--end-orphans", "--lock-wait", "0"]);
        let gone = format!("NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {orphan})");
        scene.watcher.until(&gone).await;
        scene.open().await;
        let run = Run::ended_as("resume".to_owned(), &child.wait_with_output().expect("an end"));
        run.ended(0).quiet().says(&["upgraded to 1.1.2"]);
        scene.at("7 false").await;
    });
}

#[test]
fn a_killed_run_can_be_left_as_it_is() {
    on_scene("abandoned", async |mut scene| {
        scene.killed().await;
        scene.open().await;
        scene.watcher.until(GONE).await;
        let run = scene.on(&["upgrade", "--to", "1.0.3", "--yes", "--abandon"]).ended(0);
        run.explains(&["run 2 is left as it is"]).says(&["upgraded to 1.0.3"]);
        scene.at("4 false").await;
        scene.on(&["history"]).ended(0).says(&["abandoned", "finished"]);
    });
}

#[test]
fn what_changed_behind_a_killed_run_is_told() {
    on_scene("behind", async |mut scene| {
        scene.killed().await;
        scene.open().await;
        scene.watcher.until(GONE).await;
        // Somebody has run the body in doubt by hand, and said so to the tracking table.
        scene.keeper.run("ALTER TABLE port_call ADD COLUMN mast text").await;
        scene.keeper.run("UPDATE schema_migrations SET version = 3").await;
        for command in ["resume", "abort"] {
            let run = scene.on(&[command, "--yes"]).ended(4);
            run.explains(&["track `core` was left at 2 and is at 3", "--abandon"]);
        }
        scene.keeper.run("UPDATE schema_migrations SET version = 2").await;
        for command in ["resume", "abort"] {
            let run = scene.on(&[command, "--yes"]).ended(4);
            run.explains(&["column `mast` of `port_call` should not be there"]);
        }
        scene.keeper.run("ALTER TABLE port_call DROP COLUMN mast").await;
        scene.on(&["resume", "--yes"]).ended(0).says(&["upgraded to 1.1.2"]);
    });
}

#[test]
fn a_run_of_several_steps_is_taken_back_to_its_beginning() {
    let Some(server) = Server::new("several") else { return };
    let machine = Machine::with_core();
    machine.on(&server.url, &["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    // A down half of the second hop fails, after an index went that is dropped concurrently.
    // A rehearsal does not see why.
    support::execute(
        &server.as_admin(),
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
             'BEGIN IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                               WHERE object_identity LIKE ''%port_call'')
              THEN RAISE EXCEPTION ''not today''; END IF; END';
         CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
             EXECUTE FUNCTION refuse()",
    );
    let run = machine.on(&server.url, &["rollback", "--to", "1.0.3", "--yes"]).ended(1);
    run.explains(&["failed and was taken back whole", "`sternway abort` takes everything back"]);
    let run = machine.on(&server.url, &["abort", "--yes", "--output", "json"]).ended(0);
    assert_eq!(run.json("sternway.abort/1")["outcome"], "taken_back");
    let rows = "SELECT string_agg(version || ' ' || dirty, ', ') FROM schema_migrations";
    assert_eq!(support::ask(&server.url, rows), "9 false");
    machine.on(&server.url, &["history"]).ended(0).says(&["taken back"]);
}

/// kagent's core track, which begins at its release 0.9.12 and goes to 0.10.0-rc3: its seventh file
/// adds a column and fills it from another table.
#[test]
fn scenario_28_a_tool_that_is_killed_in_file_7_goes_on_to_the_same_end() {
    let test = "scenario 28";
    let Some(kagent) = support::variable("STERNWAY_KAGENT_REPO", test) else { return };
    let Some(server) = Server::new("scenario_28") else { return };
    let machine = Machine::empty();
    let command = |arguments: &[&str]| {
        let kagent = ["--profile", "kagent", "--source", &kagent, "--disable", "vector"];
        let mut command = machine.command(&[arguments, &kagent].concat());
        command.env("STERNWAY_DATABASE", &server.url);
        command
    };
    let on = |arguments: &[&str]| Run::of(command(arguments));
    on(&["upgrade", "--to", "0.9.12", "--yes"]).ended(0);
    support::execute(
        &server.url,
        "INSERT INTO session (id, user_id) SELECT 's' || n, 'u' || n FROM generate_series(1, 2000) n;
         INSERT INTO task (id, session_id, data)
         SELECT 't' || n, 's' || n % 2000 + 1, '{}' FROM generate_series(1, 200000) n",
    );
    block_on(async {
        let mut watcher = Session::open(&server.url).await;
        let mut upgrade = command(&["upgrade", "--to", "0.10.0-rc3", "--yes", "--lock-wait", "0"]);
        let mut child: Child =
            upgrade.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program");
        // The rows are many: the column is there already, and nothing is committed.
        let at_work = "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active'
            AND datname = current_database() AND application_name = 'sternway'
            AND query LIKE '%UPDATE task%')";
        watcher.until(at_work).await;
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-KILL", &pid]).status().expect("kill");
        assert!(kill.success());
        child.wait().expect("an end");
        // The server goes on, and has to be waited for.
        on(&["resume", "--yes"]).ended(0).says(&["upgraded to 0.10.0-rc3; the schema is that of"]);
        let owned =
            "SELECT count(*) FILTER (WHERE user_id = 'u' || substr(session_id, 2)) || ' of ' ||
            count(*) FROM task";
        assert_eq!(watcher.ask(owned).await, "200000 of 200000");
        let row = "SELECT version || ' ' || dirty FROM schema_migrations";
        assert_eq!(watcher.ask(row).await, "7 false");
    });
    on(&["status"]).ended(0).says(&["drift: none"]);
    on(&["history"]).ended(0).says(&["finished"]);
}
