//! SQLite: its URLs, what a body leaves, and who is kept out.

use std::time::Duration;

use sternway_database::dialect::connect;
use sternway_database::{Connect, DatabaseError, LockError, StepError};
use sternway_model::body::Mode;
use sternway_model::state::{RecordsAccess, TrackState, TrackingRow};

use crate::support::sqlite::{Place, go, open, track, up};
use crate::support::{TABLE, at, dirty, whole};

async fn refused(url: &str) -> Connect {
    match connect(url, None).await {
        Ok(_) => panic!("{url} opens"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn asking_makes_no_file() {
    let place = Place::new();
    let mut session = place.session().await;
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    assert!(session.tables(&[]).await.expect("tables").is_empty());
    session.fingerprint(&[]).await.expect("a fingerprint");
    session.records("app").await.expect("records");
    assert!(!place.file().exists());
    // What another makes meanwhile is seen.
    place.execute("CREATE TABLE a (x)").await;
    assert_eq!(session.tables(&[]).await.expect("tables"), ["a".to_owned()].into());
    session.prepare_track(TABLE).await.expect("a table");
    assert_eq!(track(&mut session).await, at(None));
    let left: Vec<_> = std::fs::read_dir(place.folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn what_is_no_database_is_refused_with_the_reason() {
    let place = Place::new();
    let folder = place.folder.path().display();
    std::fs::write(place.folder.path().join("text"), "x".repeat(5000)).expect("a file");
    for (url, reason) in [
        (format!("sqlite3://{folder}/no/app.db"), "no does not exist"),
        (format!("sqlite3://{folder}"), "it is a directory"),
        (format!("sqlite3://{folder}/text"), "file is not a database"),
        (format!("sqlite3://{folder}/app.db?mode=ro"), "it does not exist"),
        (format!("sqlite3://{folder}/app.db?mode=rw"), "it does not exist"),
        (format!("sqlite3://{folder}/text/app.db"), "text is not a directory"),
    ] {
        let error = refused(&url).await;
        assert!(matches!(error, Connect::File { .. }), "{}", whole(&error));
        assert!(error.to_string().contains(reason), "{error}");
    }
    let error = refused("sqlite3://x?x-no-tx-wrap=yeppers").await;
    let go = "x-no-tx-wrap: strconv.ParseBool: parsing \"yeppers\": invalid syntax";
    assert!(error.to_string().contains(go), "{error}");
}

#[tokio::test]
async fn a_file_in_use_is_locked_and_says_so() {
    let place = Place::new();
    place.execute("CREATE TABLE a (x)").await;
    let mut other = place.watch().await;
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.expect("a lock");
    let error = refused(&place.url("_busy_timeout=10")).await;
    assert!(error.to_string().contains("database is locked"), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_works_and_so_do_the_other_forms() {
    let place = Place::new();
    let folder = place.folder.path().display();
    for url in [
        "sqlite3://:memory:".to_owned(),
        format!("sqlite3://file:{folder}/b.db"),
        format!("sqlite://{folder}/c%20d.db"),
    ] {
        let mut session = open(&url).await;
        session.lock(&[], Duration::ZERO).await.expect("a lock");
        up(&mut session, 1, "CREATE TABLE a (x)").await;
        assert_eq!(track(&mut session).await, at(1));
    }
    assert!(place.folder.path().join("b.db").exists());
    assert!(place.folder.path().join("c d.db").exists());
}

#[tokio::test]
async fn the_tracking_table_may_have_any_name_and_there_may_be_several() {
    let place = Place::new();
    let mut session = open(&place.url("x-migrations-table=a-b")).await;
    assert_eq!(session.tracking_table(), "a-b");
    for table in [TABLE, "a-b", "say \"x\""] {
        session.prepare_track(table).await.expect(table);
        let row = TrackingRow::clean(3);
        session.set_track(table, row).await.expect(table);
        assert_eq!(session.track(table).await.expect(table), TrackState::At(row));
    }
    assert_eq!(
        place.ask("SELECT group_concat(name, ',') FROM sqlite_schema WHERE type = 'index' ORDER BY name").await,
        "version_unique,a-b_version_unique,say \"x\"_version_unique"
    );
    place.execute("INSERT INTO schema_migrations VALUES (4, 0)").await;
    let error = session.track(TABLE).await.expect_err("two rows");
    assert!(matches!(error, DatabaseError::SeveralRows { .. }));
}

#[tokio::test]
async fn a_body_that_fails_leaves_nothing_and_says_where() {
    let place = Place::new();
    let mut session = place.session().await;
    up(&mut session, 1, "CREATE TABLE a (x PRIMARY KEY)").await;
    for (body, message, line, column) in [
        ("CREATE TABLE b (x);\n  CREATE TABLEE c (x)", "near \"TABLEE\": syntax error", 2, 10),
        (
            "CREATE TABLE b (x);;\nINSERT INTO a VALUES (1);\n\n INSERT INTO a\nVALUES (1)",
            "UNIQUE constraint failed: a.x",
            4,
            2,
        ),
        ("CREATE TABLE b (x); DROP TABLE missing", "no such table: missing", 1, 21),
    ] {
        let error = go(&mut session, Some(1), Some(2), body).await.expect_err(body);
        let StepError::TakenBack { source, .. } = error else { panic!("{}", whole(&error)) };
        assert_eq!((source.message.as_str(), source.at), (message, Some((line, column))));
        assert_eq!(track(&mut session).await, at(1));
        assert_eq!(place.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'b'").await, "0");
        assert_eq!(place.ask("SELECT count(*) FROM a").await, "0");
    }
    let error = go(&mut session, Some(1), Some(2), "SELECT 1\0").await.expect_err("a NUL");
    assert!(matches!(error, StepError::TakenBack { .. }));
}

#[tokio::test]
async fn foreign_keys_that_wait_for_the_commit_fail_as_the_body() {
    let place = Place::new();
    let mut session = open(&place.url("_foreign_keys=1")).await;
    up(
        &mut session,
        1,
        "CREATE TABLE a (x PRIMARY KEY);
         CREATE TABLE b (x REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let error = go(&mut session, Some(1), Some(2), "INSERT INTO b VALUES (1)").await;
    let Err(StepError::TakenBack { source, .. }) = error else { panic!("{error:?}") };
    assert_eq!(source.message, "FOREIGN KEY constraint failed");
    assert_eq!(track(&mut session).await, at(1));
    up(&mut session, 2, "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)").await;
}

#[tokio::test]
async fn a_table_is_made_anew_with_the_keys_off_and_in_one_transaction() {
    let place = Place::new();
    let mut session = open(&place.url("_pragma=foreign_keys(1)")).await;
    let schema =
        "CREATE TABLE a (x PRIMARY KEY); CREATE TABLE b (x REFERENCES a ON DELETE CASCADE);
                  INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)";
    up(&mut session, 1, schema).await;
    let anew = "PRAGMA foreign_keys = OFF; CREATE TABLE c (x PRIMARY KEY, y);
                INSERT INTO c (x) SELECT x FROM a; DROP TABLE a; ALTER TABLE c RENAME TO a;
                PRAGMA foreign_keys = ON";
    assert_eq!(session.facts(anew).mode, Mode::Transaction);
    up(&mut session, 2, anew).await;
    assert_eq!(place.ask("SELECT count(*) FROM b").await, "1");
    // The next body has the keys that the URL asks for.
    let error = go(&mut session, Some(2), Some(3), "INSERT INTO b VALUES (9)").await;
    assert!(matches!(error, Err(StepError::TakenBack { .. })), "{error:?}");
}

#[tokio::test]
async fn outside_a_transaction_a_failure_says_which_statement() {
    let place = Place::new();
    let mut session = place.session().await;
    let body =
        "CREATE TABLE a (x); BEGIN; CREATE TABLE b (x);\nINSERT INTO missing VALUES (1); COMMIT";
    let error = go(&mut session, None, Some(1), body).await.expect_err(body);
    let StepError::Dirty { statement, source, .. } = error else { panic!("{}", whole(&error)) };
    assert_eq!((statement, source.at), (4, Some((2, 1))));
    assert_eq!(track(&mut session).await, dirty(1));
    assert_eq!(session.tables(&[TABLE.to_owned()]).await.expect("tables"), ["a".to_owned()].into());
    let clean = TrackingRow::default();
    session.set_track(TABLE, clean).await.expect("a row");
    let body =
        "BEGIN; CREATE TABLE b (x); COMMIT; VACUUM; PRAGMA query_only = on; ATTACH ':memory:' AS c";
    up(&mut session, 1, body).await;
    up(&mut session, 2, body.replace("TABLE b", "TABLE d").as_str()).await;
    assert_eq!(track(&mut session).await, at(2));
}

#[tokio::test]
async fn without_the_wrap_bodies_run_as_they_are() {
    let place = Place::new();
    let mut session = open(&place.url("x-no-tx-wrap=true")).await;
    assert!(matches!(session.facts("SELECT 1").mode, Mode::Dirty { .. }));
    up(&mut session, 1, "BEGIN; CREATE TABLE a (x); COMMIT;").await;
    up(&mut session, 2, "PRAGMA journal_mode = WAL; CREATE TABLE b (x)").await;
    assert_eq!(place.ask("SELECT journal_mode FROM pragma_journal_mode").await, "wal");
}

#[tokio::test]
async fn a_row_that_has_moved_is_not_written_over() {
    let place = Place::new();
    let mut session = place.session().await;
    up(&mut session, 1, "CREATE TABLE a (x)").await;
    place.execute("UPDATE schema_migrations SET version = 2").await;
    for body in ["CREATE TABLE b (x)", "CREATE TABLE b (x); VACUUM"] {
        let error = go(&mut session, Some(1), Some(2), body).await.expect_err("a refusal");
        assert!(whole(&error).contains("says 2 and no longer 1"), "{}", whole(&error));
        assert_eq!(session.tables(&[TABLE.to_owned()]).await.expect("tables").len(), 1);
        assert_eq!(track(&mut session).await, at(2));
    }
}

#[tokio::test]
async fn dropping_leaves_views_and_what_is_sqlites_own() {
    let place = Place::new();
    let mut session = open(&place.url("_fk=1")).await;
    let schema = "CREATE TABLE \"a b\" (x INTEGER PRIMARY KEY AUTOINCREMENT);
                  CREATE TABLE c (x REFERENCES \"a b\"); CREATE VIEW v AS SELECT * FROM c;
                  CREATE VIRTUAL TABLE f USING fts5(y); INSERT INTO \"a b\" VALUES (1);
                  INSERT INTO c VALUES (1)";
    up(&mut session, 1, schema).await;
    let dropped = session.drop_tables().await.expect("dropped");
    assert_eq!(dropped, ["a b", "c", "f", TABLE]);
    let left = "SELECT group_concat(name) FROM sqlite_schema";
    assert_eq!(place.ask(left).await, "v");
    assert_eq!(track(&mut session).await, TrackState::NoTable);
    up(&mut session, 1, "CREATE TABLE a (x)").await;
}

#[tokio::test]
async fn a_read_only_session_reads() {
    let place = Place::new();
    place.session().await.set_track(TABLE, TrackingRow::clean(1)).await.expect("a row");
    let mut session = open(&place.url("mode=ro")).await;
    assert_eq!(track(&mut session).await, at(1));
    let access = session.prepare_records().await.expect("an answer");
    assert!(matches!(access, RecordsAccess::Unavailable(_)), "{access:?}");
    assert!(go(&mut session, Some(1), Some(2), "SELECT 1").await.is_err());
}

#[tokio::test]
async fn the_lock_names_its_holder_and_leaves_no_file() {
    let place = Place::new();
    let (mut one, mut two) = (place.session().await, place.session().await);
    for _ in 0..2 {
        one.lock(&[], Duration::ZERO).await.expect("a lock");
    }
    let held = two.lock(&[], Duration::from_millis(50)).await.expect_err("held");
    let LockError::Held(holders) = held else { panic!("{held:?}") };
    assert_eq!(holders[0].pid, i32::try_from(std::process::id()).expect("a number"));
    drop(one);
    two.lock(&[], Duration::from_secs(5)).await.expect("a lock");
    two.unlock().await.expect("unlocked");
    assert_eq!(std::fs::read_dir(place.folder.path()).expect("a folder").count(), 0);
}

#[tokio::test]
async fn a_statement_under_way_can_be_ended() {
    let place = Place::new();
    let mut session = place.session().await;
    let interrupt = session.interrupter();
    let body = "CREATE TABLE a (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                SELECT count(*) FROM n";
    let later = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        interrupt.interrupt().await.expect("asked");
    };
    let (ran, ()) = tokio::join!(go(&mut session, None, Some(1), body), later);
    let Err(StepError::TakenBack { source, .. }) = ran else { panic!("{ran:?}") };
    assert_eq!(source.code, "SQLITE_INTERRUPT");
    up(&mut session, 1, "CREATE TABLE a (x)").await;
}
