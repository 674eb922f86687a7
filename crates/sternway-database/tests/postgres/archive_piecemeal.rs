//! What bodies destroy that cannot run in one transaction is kept, statement by statement, and put back
//! once the migration is applied the other way again.

use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Done, Preservation, RunId, StepError, Work};
use sternway_model::catalog::Direction;
use sternway_model::effect::Effects;
use sternway_model::journal::{Progress, Record};
use sternway_model::state::TrackingRow;

use crate::support::cases::{Case, begin, end};
use crate::support::{self, Fresh, ask, down, everywhere, fresh, holds, plan, up, whole};

/// Runs the body of migration 2 in one direction, from `first` on.
async fn run(
    session: &mut Postgres,
    direction: Direction,
    body: &str,
    journal: Option<(RunId, usize)>,
    first: usize,
    planned: Option<&Effects>,
) -> Result<Done, StepError> {
    let mut step = match direction {
        Direction::Up => up(2, body),
        Direction::Down => down(2, Some(1), body),
    };
    step.mode = session.facts(body).mode;
    let care = Preservation { planned, ..support::care("shop", 2, direction) };
    let work = Work { first, ..Work::of(&step, body, journal) };
    session.migrate_preserving(&work, &care).await
}

async fn well(session: &mut Postgres, direction: Direction, body: &str) -> Done {
    let done = run(session, direction, body, None, 1, None).await;
    done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)))
}

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, b int); CREATE INDEX i ON t (b);
    INSERT INTO t SELECT n, 'a' || n, CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, 10) n;
    CREATE TYPE mood AS ENUM ('ok'); CREATE PROCEDURE empty() LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; END';";

const WHOLE: &str = "(SELECT count(*) = 10 AND sum(b) = 30 AND bool_and(a = 'a' || id) FROM t)";

const CASES: &[Case] = &[
    // A table, a column, rows; each beside what needs to be alone.
    (T, "DROP INDEX CONCURRENTLY i; DROP TABLE t", "",
     "CREATE TABLE t (id int PRIMARY KEY, a text, b int); CREATE INDEX CONCURRENTLY i ON t (b)", WHOLE, &[]),
    (T, "ALTER TABLE t DROP COLUMN b; VACUUM t", "INSERT INTO t VALUES (77, 'new'); DELETE FROM t WHERE id = 4",
     "ALTER TABLE t ADD COLUMN b int DEFAULT 5; CREATE INDEX CONCURRENTLY i ON t (b)",
     "(SELECT b IS NULL FROM t WHERE id = 1) AND (SELECT b = 2 FROM t WHERE id = 2) AND (SELECT b = 5 FROM t WHERE id = 77)",
     &[("the row was deleted meanwhile", 1)]),
    (T, "DELETE FROM t WHERE id > 8; DROP INDEX CONCURRENTLY i; UPDATE t SET a = 'old' WHERE id <= 2",
     "UPDATE t SET a = 'newer' WHERE id = 1; INSERT INTO t VALUES (10, 'taken', 0)", "CREATE INDEX CONCURRENTLY i ON t (b)",
     "(SELECT a = 'newer' FROM t WHERE id = 1) AND (SELECT a = 'a2' FROM t WHERE id = 2) AND (SELECT a = 'a9' FROM t WHERE id = 9)",
     &[("a row with its key is there", 1), ("the row was changed meanwhile", 1)]),
    // Two statements that change, delete or drop the same values.
    (T, "UPDATE t SET a = 'x'; UPDATE t SET a = 'y' WHERE id > 3; UPDATE t SET b = -1 WHERE id > 5; DROP INDEX CONCURRENTLY i; DELETE FROM t WHERE id > 8",
     "UPDATE t SET a = 'newer' WHERE id IN (1, 6)", "CREATE INDEX CONCURRENTLY i ON t (b)",
     "(SELECT count(*) = 10 AND bool_and(a = 'a' || id OR id IN (1, 6)) AND bool_and(coalesce(b, -9) = CASE WHEN id % 2 = 0 THEN id ELSE -9 END OR id = 6) FROM t)
      AND (SELECT bool_and(a = 'newer') FROM t WHERE id IN (1, 6))",
     &[("the row was changed meanwhile", 2)]),
    (T, "UPDATE t SET a = 'x', b = 0; ALTER TABLE t DROP COLUMN b; CREATE INDEX CONCURRENTLY j ON t (a); ALTER TABLE t DROP COLUMN a", "",
     "ALTER TABLE t ADD COLUMN a text; CREATE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD COLUMN b int", WHOLE, &[]),
    // What was called otherwise before is put back to that name.
    (T, "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN a TO z; DROP INDEX CONCURRENTLY i; UPDATE u SET z = 'x' WHERE id < 3; ALTER TABLE u DROP COLUMN b; DELETE FROM u WHERE id = 3", "",
     "ALTER TABLE u ADD COLUMN b int; ALTER TABLE u RENAME COLUMN z TO a; ALTER TABLE u RENAME TO t; CREATE INDEX CONCURRENTLY i ON t (b)", WHOLE, &[]),
    (T, "ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME COLUMN a TO z; DROP INDEX CONCURRENTLY i; DROP TABLE u", "",
     "CREATE TABLE u (id int PRIMARY KEY, z text, b int); ALTER TABLE u RENAME COLUMN z TO a; ALTER TABLE u RENAME TO t; CREATE INDEX CONCURRENTLY i ON t (b)", WHOLE, &[]),
    // Nothing is lost that the body made itself.
    (T, "CREATE TABLE other AS TABLE t; ALTER TABLE t ADD COLUMN c int; UPDATE other SET a = ''; DROP INDEX CONCURRENTLY i; DROP TABLE other; ALTER TABLE t DROP COLUMN c", "",
     "CREATE INDEX CONCURRENTLY i ON t (b)", WHOLE, &[]),
    // Transactions of the body's own, with settings and savepoints; one is taken back.
    (T, "BEGIN; SET LOCAL search_path = pg_catalog; DELETE FROM app.t WHERE id < 3; SAVEPOINT s; DELETE FROM app.t WHERE id < 5; ROLLBACK TO s; COMMIT;
         BEGIN; DROP TABLE t; ROLLBACK; BEGIN; UPDATE t SET a = NULL; UPDATE t SET b = NULL; COMMIT", "",
     "BEGIN; SELECT 1; COMMIT", WHOLE, &[]),
    // A procedure that does not commit, and one that does but takes nothing of what is kept.
    (T, "CALL empty()", "", "SELECT 1; VACUUM t", WHOLE, &[]),
    // What was set for the session is there for the next statement.
    (T, "SET search_path = pg_catalog; DELETE FROM app.t; VACUUM app.t; DO 'BEGIN ASSERT to_regclass(''t'') IS NULL; END'", "", "SELECT 1", WHOLE, &[]),
    (T, "ALTER TYPE mood ADD VALUE 'new'; BEGIN; ALTER TABLE t ADD COLUMN m mood DEFAULT 'new'; ALTER TABLE t DROP COLUMN a; COMMIT", "",
     "BEGIN; ALTER TABLE t ADD COLUMN a text; COMMIT", WHOLE, &[]),
];

#[tokio::test]
async fn what_a_body_destroys_piecemeal_is_back_afterwards() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        for case in CASES {
            begin(&mut session, case).await;
            let (_, down, between, up, ..) = case;
            let gone = well(&mut session, Direction::Down, down).await;
            session.execute(between).await.unwrap_or_else(|e| panic!("{between}: {}", whole(&e)));
            let back = well(&mut session, Direction::Up, up).await;
            end(&mut session, case, &gone, &back).await;
            let at = session.track("schema_migrations").await.expect("a track").row();
            assert_eq!(at, TrackingRow::clean(2));
        }
    }
}

#[tokio::test]
async fn what_could_not_be_kept_is_not_run() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    session.execute(T).await.expect("a table");
    session.execute("DROP PROCEDURE empty; CREATE PROCEDURE empty() LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; COMMIT; END'").await.expect("a procedure");
    for (body, why) in [
        ("CALL empty()", "whatever the code it runs takes away, outside a transaction"),
        ("DO $$ BEGIN DELETE FROM t; COMMIT; END $$", "whatever the code it runs takes away"),
        ("DROP DATABASE other", "database other, outside a transaction (DROP DATABASE)"),
    ] {
        let refused = run(&mut session, Direction::Down, body, None, 1, None).await;
        match refused {
            Err(error @ StepError::CannotKeep { .. }) => {
                assert!(whole(&error).contains(why), "{}", whole(&error));
            }
            other => panic!("{body}: {other:?}"),
        }
        let at = session.track("schema_migrations").await.expect("a track").row();
        assert!(!at.dirty, "{body}");
    }
    let planned = Effects::default();
    let body = "DROP INDEX CONCURRENTLY i; DROP TABLE t";
    let refused = run(&mut session, Direction::Down, body, None, 1, Some(&planned)).await;
    assert!(matches!(refused, Err(StepError::Beyond { .. })), "{refused:?}");
    holds(&mut session, WHOLE).await;
}

/// The session is lost in each statement in turn, and another one goes on.
#[tokio::test]
async fn a_death_in_any_statement_loses_nothing() {
    let Some(fresh) = fresh().await else { return };
    let fresh: Fresh = fresh;
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    let die = "CREATE TABLE dies (at int); CREATE FUNCTION die(n int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN IF EXISTS (SELECT FROM dies WHERE at = n) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN n; END $$";
    session.execute(die).await.expect("a function");
    let gone = "UPDATE t SET a = 'x' WHERE die(1) = 1; UPDATE t SET a = 'y', b = 0 WHERE die(2) = 2;
        DROP INDEX CONCURRENTLY i; DELETE FROM t WHERE id > 5 AND die(3) = 3; ALTER TABLE t DROP COLUMN b;
        SELECT die(4); DROP TABLE t; SELECT die(5); VACUUM dies";
    let back = "CREATE TABLE t (id int PRIMARY KEY, a text); SELECT die(6); CREATE INDEX CONCURRENTLY j ON t (a);
        ALTER TABLE t ADD COLUMN b int; SELECT die(7); CREATE INDEX CONCURRENTLY i ON t (b); SELECT die(8)";
    let mut watch = fresh.watch().await;
    for death in 1..=8 {
        session
            .execute(
                "DROP TYPE IF EXISTS mood; DROP PROCEDURE IF EXISTS empty; DROP TABLE IF EXISTS t",
            )
            .await
            .expect("room");
        session.execute(T).await.expect("a table");
        session
            .execute(&format!("TRUNCATE dies; INSERT INTO dies VALUES ({death})"))
            .await
            .expect("a death");
        let mut died = 0;
        for (direction, body) in [(Direction::Down, gone), (Direction::Up, back)] {
            let id = session.begin_run(&plan("shop", "1.0.0", &[body])).await.expect("a run");
            session.record(id, &Record::Started { step: 0 }).await.expect("a record");
            let mut first = 1;
            while run(&mut session, direction, body, Some((id, 0)), first, None).await.is_err() {
                died += 1;
                assert!(died < 2, "{death}");
                session = fresh.session().await;
                session.execute("TRUNCATE dies").await.expect("life");
                let found = session.unfinished("shop").await.expect("the records").expect("a run");
                let Progress::InDoubt { reached, .. } = found.progress else {
                    panic!("{death}: {}", found.progress)
                };
                assert_eq!(reached.statement, None, "{death}");
                first = reached.done + 1;
            }
            session.record(id, &Record::Finished).await.expect("a record");
        }
        assert_eq!(died, 1, "{death}");
        holds(&mut session, WHOLE).await;
        let left: i64 =
            ask(&mut watch, "SELECT coalesce(sum(rows - back), 0)::bigint FROM sternway.archive")
                .await;
        assert_eq!(left, 0, "{death}");
    }
}
