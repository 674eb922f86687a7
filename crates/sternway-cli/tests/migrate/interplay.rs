//! golang-migrate's own command line and Sternway take turns on one database.

#![allow(clippy::print_stdout, reason = "how many programs wrote is to be read")]

use std::path::Path;

use std::process::{Child, Command, Stdio};

use sqlx::{Connection, PgConnection};
use sternway_testing::{Fill, Snapshot, fill};

use crate::support::{self, Machine, Run, Server, Session, block_on, variable};

/// A machine with golang-migrate and a database.
struct Both {
    machine: Machine,
    server: Server,
    migrate: String,
}

impl Both {
    fn new(test: &str) -> Option<Both> {
        let migrate = variable("STERNWAY_TEST_MIGRATE", test)?;
        Some(Both { server: Server::new(test)?, machine: Machine::with_core(), migrate })
    }

    /// golang-migrate on the migrations of the newest release.
    fn golang_migrate(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.program(Path::new(&self.migrate));
        command.args(["-path", "app/migrations/core", "-database", &self.server.url]);
        command.args(arguments);
        command
    }

    #[track_caller]
    fn migrate(&self, arguments: &[&str]) {
        let output = self.golang_migrate(arguments).output().expect("migrate");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "migrate {arguments:?}: {errors}");
    }

    fn sternway(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.server.url, arguments)
    }

    /// The one row of the tracking table.
    #[track_caller]
    fn is_at(&self, row: &str) {
        let rows = "SELECT string_agg(version || ' ' || dirty, ', ') FROM schema_migrations";
        assert_eq!(support::ask(&self.server.url, rows), row);
    }
}

#[test]
fn they_take_turns() {
    let Some(both) = Both::new("turns") else { return };
    both.migrate(&["up"]);
    both.is_at("9 false");
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.2.0 to 1.2.1", "drift: none"]);
    both.sternway(&["rollback", "--to", "1.0.3", "--yes"]).ended(0);
    both.is_at("4 false");
    both.migrate(&["up", "3"]);
    both.is_at("7 false");
    let run = both.sternway(&["upgrade", "--to", "1.2.1", "--yes"]).ended(0);
    run.says(&["upgraded to 1.2.1; the schema is that of a clean install of core 9"]);
    both.is_at("9 false");
    both.migrate(&["goto", "2"]);
    both.is_at("2 false");
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    both.migrate(&["goto", "9"]);
    both.sternway(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&["rolled back to 1.0.0"]);
}

#[test]
fn what_golang_migrate_leaves_dirty_is_repaired() {
    let Some(both) = Both::new("dirty") else { return };
    both.migrate(&["goto", "4"]);
    // Its file 5 cannot be carried out, and golang-migrate marks it all the same.
    both.machine.write("app/migrations/core/000005_reported_via.up.sql", "SELECT nothing;\n");
    let mut command = both.machine.program(Path::new(&both.migrate));
    command.args(["-path", "app/migrations/core", "-database", &both.server.url, "up"]);
    assert!(!command.output().expect("migrate").status.success());
    both.is_at("5 true");
    let status = both.sternway(&["status"]).ended(5);
    let status = status.says(&["dirty; the schema is that of 3 or 4"]);
    let repair = status.stdout.lines().find_map(|line| line.strip_prefix("repair: "));
    support::execute(&both.server.url, repair.expect("a statement"));
    both.is_at("4 false");
    both.sternway(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    both.is_at("6 false");
}

/// Its track is dirty while golang-migrate is at work, and there is nothing to be mended.
#[test]
fn a_migrator_at_work_is_no_dirty_track() {
    let Some(both) = Both::new("at_work") else { return };
    both.migrate(&["goto", "4"]);
    let file = "app/migrations/core/000005_reported_via.up.sql";
    both.machine.write(file, "SELECT pg_advisory_xact_lock(5);\n");
    block_on(async {
        let mut keeper = support::Session::open(&both.server.url).await;
        keeper.run("BEGIN; SELECT pg_advisory_xact_lock(5)").await;
        let mut theirs = both.golang_migrate(&["goto", "5"]);
        let mut theirs = theirs.stderr(Stdio::null()).spawn().expect("golang-migrate");
        let mut watcher = support::Session::open(&both.server.url).await;
        watcher.until("(SELECT dirty FROM schema_migrations)").await;
        let status = both.sternway(&["status"]).ended(5);
        let status = status.says(&["dirty", "a migrator is at work"]);
        assert!(!status.stdout.contains("repair"), "{}", status.stdout);
        let plan = both.sternway(&["plan", "--to", "1.2.0", "--lock-timeout", "1"]).ended(6);
        assert!(!plan.stderr.contains("UPDATE"), "{}", plan.stderr);
        keeper.run("COMMIT").await;
        assert!(theirs.wait().expect("an end").success());
    });
    both.is_at("5 false");
}

#[test]
fn the_records_are_in_nobodys_way() {
    let Some(both) = Both::new("drop") else { return };
    both.sternway(&["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    both.migrate(&["drop", "-f"]);
    both.sternway(&["status"]).ended(0).says(&["not installed", "the last run arrived at 1.0.3"]);
    both.migrate(&["up", "2"]);
    both.sternway(&["status"])
        .ended(0)
        .says(&["schema: of 2 releases, 1.0.0 to 1.0.1", "drift: none"]);
    both.sternway(&["upgrade", "--to", "1.0.3", "--yes"]).ended(0);
    both.is_at("4 false");
}

/// Keeps in order who changes a schema or the tracking row, and takes its time over each statement.
const AUDIT: &str = "
CREATE SCHEMA audit;
CREATE TABLE audit.event (n bigserial, pid integer DEFAULT pg_backend_pid(), said text);
CREATE FUNCTION audit.statement() RETURNS event_trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.event (said) VALUES (tg_event || ' ' || tg_tag);
    PERFORM pg_sleep(0.02);
END $$;
CREATE FUNCTION audit.row() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.event (said) VALUES (tg_op || ' ' || coalesce(NEW.version || ' ' || NEW.dirty, ''));
    RETURN NULL;
END $$;
CREATE EVENT TRIGGER audit_start ON ddl_command_start EXECUTE FUNCTION audit.statement();
CREATE EVENT TRIGGER audit_end ON ddl_command_end EXECUTE FUNCTION audit.statement();
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON schema_migrations
    FOR EACH ROW EXECUTE FUNCTION audit.row()";

/// Half of them are golang-migrate; some go up and some down, and those of Sternway's that find the
/// schema moved under their plan do nothing. Whoever writes does so alone, from the first to the last.
#[test]
fn thirty_at_once_never_interleave() {
    let Some(both) = Both::new("thirty") else { return };
    both.sternway(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let admin = both.server.as_admin();
    let tracking = ["schema_migrations".to_owned()];
    let rows = || {
        block_on(async {
            let mut connection = PgConnection::connect(&admin).await.expect("a session");
            Snapshot::of(&mut connection, "public", &tracking).await
        })
    };
    block_on(async {
        let mut connection = PgConnection::connect(&admin).await.expect("a session");
        fill(&mut connection, "public", &Fill::new(30, 30).without(&tracking)).await;
    });
    let before = rows();
    support::execute(&admin, AUDIT);

    // The index of file 7 is left out: golang-migrate holds a snapshot while it waits.
    let start = |index: usize| -> Child {
        let to = [6, 2, 4, 3, 5][index / 2 % 5].to_string();
        let mut command = match (index % 2, index / 2 % 3) {
            (0, _) => both.golang_migrate(&["-lock-timeout", "100", "goto", &to]),
            (_, 0) => {
                let path = ["migrate", "-path", "app/migrations/core", "-lock-timeout", "100"];
                let database = ["-database", &both.server.url, "goto", &to];
                both.machine.command(&[&path[..], &database].concat())
            }
            (_, way) => {
                let journey =
                    [["rollback", "--to", "1.0.0"], ["upgrade", "--to", "1.1.0"]][way - 1];
                let more = ["--yes", "--unproven", "--lock-timeout", "100"];
                let mut command = both.machine.command(&[&journey[..], &more].concat());
                command.env("STERNWAY_DATABASE", &both.server.url);
                command
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program")
    };
    let programs: Vec<Child> = (0..30).map(start).collect();
    let ended: Vec<Run> = programs
        .into_iter()
        .enumerate()
        .map(|(index, program)| {
            let output = program.wait_with_output().expect("an end");
            Run::ended_as(format!("program {index}"), &output)
        })
        .collect();
    for (index, run) in ended.iter().enumerate() {
        // Golang-migrate's command line waits. A journey may find that it was planned for another
        // schema; what it never finds is a dirty track, or one that is out of step.
        let journey = index % 2 == 1 && index / 2 % 3 != 0;
        let moved = run.stderr.contains("the database has changed since the plan was made");
        let fits = run.code == Some(0) || journey && run.code == Some(3) && moved;
        assert!(fits, "{}: {:?}: {}", run.what, run.code, run.stderr);
    }
    let log =
        "SELECT coalesce(string_agg(pid || ' ' || said, E'\\n' ORDER BY n), '') FROM audit.event";
    let log = support::ask(&admin, log);
    let mut turns: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    turns.dedup();
    let mut writers = turns.clone();
    writers.sort_unstable();
    writers.dedup();
    assert_eq!(writers.len(), turns.len(), "somebody came between: {log}");
    println!("{} of 30 programs wrote, {} events", turns.len(), log.lines().count());

    let dirty = "SELECT count(*) || ' ' || bool_or(dirty) FROM schema_migrations";
    assert_eq!(support::ask(&admin, dirty), "1 false");
    support::execute(&admin, "DROP EVENT TRIGGER audit_start; DROP EVENT TRIGGER audit_end");
    both.sternway(&["status"]).ended(0).says(&["drift: none"]);
    both.migrate(&["goto", "2"]);
    let differences = before.differences(&rows());
    assert!(differences.is_empty(), "{differences:?}");
}

/// Somebody keeps even readers from a table, whose defaults the server does not print then.
#[test]
fn a_look_ends_where_a_table_is_locked_and_names_who_has_it() {
    let Some(server) = Server::new("locked_look") else { return };
    let machine = Machine::with_core();
    machine.on(&server.url, &["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    block_on(async {
        let mut keeper = Session::open(&server.url).await;
        keeper.run("SET application_name = 'reindexer'; BEGIN; LOCK TABLE port_call").await;
        let looks = [&["status"][..], &["plan", "--to", "1.0.2"]].map(|arguments| {
            let mut command = machine.command(arguments);
            command.env("STERNWAY_DATABASE", &server.url);
            std::thread::spawn(move || Run::of(command))
        });
        for look in looks {
            let run = look.join().expect("a look").ended(6);
            run.explains(&[
                "cannot read the schema: 15000 ms were not enough for a lock; session",
                "(reindexer)",
                "end those sessions, or let them end, and try again",
            ]);
        }
    });
    machine.on(&server.url, &["status"]).ended(0).quiet();
}
