//! What bodies destroy is kept, and put back once the migration is applied the other way again.

mod support;

use std::collections::BTreeMap;

use sternway_database::postgres::Postgres;
use sternway_database::{Care, Database, Done, Limits, StepError, Work};
use sternway_model::archive::Misfit;
use sternway_model::catalog::{Direction, TrackName};
use sternway_model::effect::Effects;
use support::{Fresh, ask, down, everywhere, execute, fresh, holds, up, whole};

/// Runs the body of migration 2 in one direction, with care.
async fn careful(
    session: &mut Postgres,
    direction: Direction,
    body: &str,
    keep: bool,
    planned: Option<&Effects>,
) -> Result<Done, StepError> {
    let track = TrackName::from("core");
    let step = match direction {
        Direction::Up => up(2, body),
        Direction::Down => down(2, Some(1), body),
    };
    let care = Care {
        app: "shop",
        track: &track,
        version: 2,
        direction,
        keep,
        planned,
        each_lock: false,
        limits: Limits::default(),
    };
    session.migrate_with_care(&Work::of(&step, body, None), &care).await
}

async fn there_and_back(
    session: &mut Postgres,
    down: &str,
    between: &str,
    up: &str,
) -> (Done, Done) {
    let gone = careful(session, Direction::Down, down, true, None).await;
    let gone = gone.unwrap_or_else(|error| panic!("{down}: {}", whole(&error)));
    session.execute(between).await.unwrap_or_else(|error| panic!("{between}: {}", whole(&error)));
    let back = careful(session, Direction::Up, up, true, None).await;
    let back = back.unwrap_or_else(|error| panic!("{up}: {}", whole(&error)));
    for entry in &back.put_back {
        let kept = gone.kept.iter().find(|it| it.id == entry.id).expect("an entry").rows;
        let restored = &entry.restored;
        assert_eq!(kept, restored.back + restored.left(), "{down}: {entry:?}");
    }
    (gone, back)
}

/// A case: what there is, the down body, what the old release does, the up body, what must hold
/// afterwards, and the misfits.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, u64)],
);

const T: &str = "CREATE TABLE t (id int PRIMARY KEY, a text, b int);
    INSERT INTO t SELECT n, 'a' || n, CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, 10) n;";

const CASES: &[Case] = &[
    // A column that the body would have added, and that is there, has values to lose.
    (T, "SELECT 1", "UPDATE t SET b = 100 WHERE id = 1", "ALTER TABLE t ADD COLUMN IF NOT EXISTS b int; UPDATE t SET b = 0 WHERE b > 8",
     "(SELECT count(*) = 2 FROM t WHERE b = 0) AND (SELECT rows = 2 FROM sternway.archive WHERE direction = 'up' ORDER BY id DESC LIMIT 1)", &[]),
    // Rows that the body has locked and left, where no key tells them apart.
    ("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2), (2), (3)",
     "DO $$ BEGIN PERFORM FROM t WHERE a > 1 FOR UPDATE; DELETE FROM t WHERE a = 1; END $$", "DELETE FROM t WHERE a = 3", "SELECT 1",
     "(SELECT array_agg(a ORDER BY a) = '{1,2,2}' FROM t)", &[]),
    // A whole table.
    (T, "DROP TABLE t", "", "CREATE TABLE t (id int PRIMARY KEY, a text, b int)",
     "(SELECT count(*) = 10 AND sum(b) = 30 AND min(a) = 'a1' FROM t)", &[]),
    // Its archived rows win over the rows that the up body makes.
    (T, "DROP TABLE t", "", "CREATE TABLE t (id int PRIMARY KEY, a text, b int); INSERT INTO t VALUES (1, 'seed', 0), (99, 'seed', 0)",
     "(SELECT count(*) = 11 FROM t) AND (SELECT a = 'a1' AND b IS NULL FROM t WHERE id = 1)", &[]),
    // A column, nulls too, and the backfill does not win.
    (T, "ALTER TABLE t DROP COLUMN b", "DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (77, 'new')",
     "ALTER TABLE t ADD COLUMN b int DEFAULT 5; UPDATE t SET b = 6",
     "(SELECT b IS NULL FROM t WHERE id = 1) AND (SELECT b = 2 FROM t WHERE id = 2) AND (SELECT b = 6 FROM t WHERE id = 77)",
     &[("the row was deleted meanwhile", 1)]),
    // Rows that are deleted, and rows that are changed; one of each is not free any more.
    (T, "DELETE FROM t WHERE id > 8; UPDATE t SET a = 'old' WHERE id <= 2",
     "UPDATE t SET a = 'newer' WHERE id = 1; UPDATE t SET b = 0 WHERE id = 2; INSERT INTO t VALUES (10, 'taken', 0)", "SELECT 1",
     "(SELECT a = 'newer' FROM t WHERE id = 1) AND (SELECT a = 'a2' AND b = 0 FROM t WHERE id = 2)
      AND (SELECT a = 'a9' FROM t WHERE id = 9) AND (SELECT a = 'taken' FROM t WHERE id = 10)",
     &[("a row with its key is there", 1), ("the row was changed meanwhile", 1)]),
    (T, "TRUNCATE t", "", "SELECT 1", "(SELECT count(*) = 10 AND sum(b) = 30 FROM t)", &[]),
    // A narrowing change of a type.
    (T, "ALTER TABLE t ALTER COLUMN a TYPE varchar(1) USING left(a, 1)", "", "ALTER TABLE t ALTER COLUMN a TYPE text",
     "(SELECT a = 'a10' FROM t WHERE id = 10)", &[]),
    // Rows without a key.
    ("CREATE TABLE t (a text, b int, c text); INSERT INTO t VALUES ('x', 1, 'p'), ('x', 1, 'q'), ('y', 2, 'r'), ('y', 2, 's'), ('z', 3, NULL)",
     "ALTER TABLE t DROP COLUMN c", "DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE a = 'y')",
     "ALTER TABLE t ADD COLUMN c text DEFAULT 'none'",
     "(SELECT array_agg(c ORDER BY c) = '{p,q}' FROM t WHERE a = 'x') AND (SELECT c = 'none' FROM t WHERE a = 'y') AND (SELECT c IS NULL FROM t WHERE a = 'z')",
     &[("several rows look alike", 2)]),
    ("CREATE TABLE t (a text); INSERT INTO t VALUES ('x'), ('x'), ('y')", "DELETE FROM t WHERE a = 'x'", "", "SELECT 1",
     "(SELECT count(*) = 2 FROM t WHERE a = 'x')", &[]),
    // A circle of foreign keys that may not wait, and a row whose parent is gone.
    ("CREATE TABLE keep (id int PRIMARY KEY); INSERT INTO keep VALUES (1), (2);
      CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL, k int REFERENCES keep ON DELETE CASCADE); CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a);
      WITH x AS (INSERT INTO a VALUES (1, 1, 1), (2, 2, 2), (3, 3, NULL)) INSERT INTO b VALUES (1, 1), (2, 2), (3, 3);
      ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
     "DROP TABLE a, b CASCADE", "DELETE FROM keep WHERE id = 2",
     "CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL, k int REFERENCES keep); CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
     "(SELECT array_agg(id ORDER BY id) = '{1,3}' FROM a) AND (SELECT array_agg(id ORDER BY id) = '{1,3}' FROM b)",
     &[("the row that a_k_fkey refers to is not there", 1), ("the row that b_a_fkey refers to is not there", 1)]),
    // A check over two columns that go together, an enum that goes as well, an identity, a generated column.
    ("CREATE TYPE mood AS ENUM ('ok', 'not ok'); CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood, why text,
      up text GENERATED ALWAYS AS (upper(why)) STORED, CHECK ((m = 'not ok') = (why IS NOT NULL)));
      INSERT INTO t (m, why) VALUES ('ok', NULL), ('not ok', 'rain'), ('not ok', 'snow')",
     "ALTER TABLE t DROP COLUMN up, DROP COLUMN m, DROP COLUMN why; DROP TYPE mood", "INSERT INTO t DEFAULT VALUES",
     "CREATE TYPE mood AS ENUM ('ok', 'not ok'); ALTER TABLE t ADD COLUMN m mood DEFAULT 'ok', ADD COLUMN why text, ADD COLUMN up text GENERATED ALWAYS AS (upper(why)) STORED,
      ADD CHECK ((m = 'not ok') = (why IS NOT NULL))",
     "(SELECT array_agg(up ORDER BY id) = '{NULL,RAIN,SNOW,NULL}' FROM t)", &[]),
    ("CREATE TYPE mood AS ENUM ('ok', 'not ok'); CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood); INSERT INTO t (m) VALUES ('ok'), ('not ok'); DELETE FROM t WHERE id = 1",
     "DROP TABLE t; DROP TYPE mood", "",
     "CREATE TYPE mood AS ENUM ('ok', 'not ok'); CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m mood)",
     "(SELECT array_agg(id || m::text) = '{2not ok}' FROM t) AND nextval('t_id_seq') = 3", &[]),
    // Parts of a whole; a name that SQL has taken.
    ("CREATE TABLE \"select\" (\"order\" int, at date, x text, PRIMARY KEY (\"order\", at)) PARTITION BY RANGE (at);
      CREATE TABLE p1 PARTITION OF \"select\" FOR VALUES FROM ('2020-01-01') TO ('2021-01-01'); CREATE TABLE p2 PARTITION OF \"select\" DEFAULT;
      INSERT INTO \"select\" VALUES (1, '2020-05-05', 'a'), (2, '2022-05-05', 'b')",
     "UPDATE \"select\" SET at = '2022-01-01', x = 'moved' WHERE \"order\" = 1; DROP TABLE \"select\"", "",
     "CREATE TABLE \"select\" (\"order\" int, at date, x text, PRIMARY KEY (\"order\", at)) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF \"select\" DEFAULT",
     "(SELECT array_agg(x ORDER BY x) = '{a,b}' FROM \"select\")", &[]),
    // Rows that go by a trigger and by a foreign key, and a trigger that must sleep.
    ("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, at timestamptz);
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.at := 'infinity'; RETURN NEW; END $$;
      INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (1, 1, '2020-01-01'), (2, 2, '2020-01-02');
      CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON c FOR EACH ROW EXECUTE FUNCTION touch()",
     "DELETE FROM p WHERE id = 1", "", "SELECT 1",
     "(SELECT at = '2020-01-01' FROM c WHERE id = 1) AND (SELECT count(*) = 2 FROM p) AND (SELECT tgenabled = 'O' FROM pg_trigger WHERE tgname = 'touch')", &[]),
    // What the body carried over, and the old release changed there, is newer.
    ("CREATE TABLE t (id int PRIMARY KEY, first text, last text, whole text); INSERT INTO t VALUES (1, 'a', 'b', ''), (2, 'c', 'd', '')",
     "UPDATE t SET whole = first || ' ' || last; ALTER TABLE t DROP COLUMN first, DROP COLUMN last",
     "UPDATE t SET whole = 'x y' WHERE id = 1",
     "ALTER TABLE t ADD COLUMN first text, ADD COLUMN last text; UPDATE t SET first = split_part(whole, ' ', 1), last = split_part(whole, ' ', 2)",
     "(SELECT first = 'x' AND last = 'y' FROM t WHERE id = 1) AND (SELECT first = 'c' AND whole = '' FROM t WHERE id = 2)",
     &[("the row was changed meanwhile", 2)]),
    // A view that keeps rows is shown anew.
    ("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t",
     "DROP MATERIALIZED VIEW m; DROP TABLE t", "", "CREATE TABLE t (id int PRIMARY KEY); CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t",
     "(SELECT n = 2 FROM m)", &[]),
    // A key comes back before the rows that refer to it, which would follow the rows that have their number meanwhile.
    ("CREATE TABLE p (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a text); INSERT INTO p VALUES (7, 'x'), (1, 'y'), (2, 'z');
      CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON UPDATE CASCADE); INSERT INTO c VALUES (1, 7), (2, 2), (3, 1), (4, NULL)",
     "DROP TABLE c; ALTER TABLE p DROP COLUMN id", "",
     "ALTER TABLE p ADD COLUMN id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY; CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON UPDATE CASCADE)",
     "(SELECT array_agg(a || id ORDER BY a) = '{x7,y1,z2}' FROM p) AND (SELECT array_agg(a ORDER BY c.id) = '{x,z,y,NULL}' FROM c LEFT JOIN p ON p.id = c.p)
      AND (SELECT count(*) = 1 AND bool_and(convalidated) FROM pg_constraint WHERE conname = 'c_p_fkey')", &[]),
    // Rows that exchange their keys are in nobody's way, even where a new row has the key of a third.
    ("CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a text); INSERT INTO t VALUES (2, 'x'), (1, 'y'), (4, 'z')",
     "ALTER TABLE t DROP COLUMN id", "INSERT INTO t VALUES ('new')", "ALTER TABLE t ADD COLUMN id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
     "(SELECT array_agg(a || id ORDER BY a) = '{new4,x2,y1,z3}' FROM t)", &[("another row has the same id", 1)]),
    // A table that inherits has keys of its own, or none.
    ("CREATE TABLE t (id int PRIMARY KEY, a text UNIQUE); CREATE TABLE c () INHERITS (t); INSERT INTO t VALUES (1, 'x'), (2, 'y'); INSERT INTO c VALUES (1, 'z')",
     "TRUNCATE t", "INSERT INTO c VALUES (8, 'x'); INSERT INTO t VALUES (9, 'y')", "SELECT 1",
     "(SELECT array_agg(a || id ORDER BY a) = '{x1,y9}' FROM ONLY t) AND (SELECT count(*) = 2 FROM c)", &[("another row has the same a", 1)]),
    // The same without a key, where somebody has written to what was narrowed.
    ("CREATE TABLE t (a text, b int); INSERT INTO t VALUES ('one', 1), ('two', 2), ('three', 3), ('three', 3), ('four', 4), ('five', 4), ('six', 5), ('seven', 5), ('eight', 6)",
     "ALTER TABLE t ALTER COLUMN a TYPE varchar(1) USING left(a, 1)",
     "UPDATE t SET a = 'w' WHERE b = 2; UPDATE t SET a = 'w' WHERE ctid = (SELECT min(ctid) FROM t WHERE b = 5); INSERT INTO t VALUES ('t', 3), ('n', 7); UPDATE t SET a = NULL WHERE b = 6",
     "ALTER TABLE t ALTER COLUMN a TYPE text",
     "(SELECT array_agg(a ORDER BY b, a) FILTER (WHERE b < 5) = '{one,w,t,three,three,five,four}' FROM t) AND (SELECT array_agg(a ORDER BY a) = '{s,w}' FROM t WHERE b = 5)
      AND (SELECT a IS NULL FROM t WHERE b = 6) AND (SELECT count(*) = 11 FROM t)",
     &[("several rows look alike", 2), ("the row was changed meanwhile", 2)]),
    // Nothing is lost by a new name, another schema, a wider type, or rows that become the same.
    (T, "ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t RENAME TO u; ALTER TABLE u ALTER COLUMN b TYPE bigint; UPDATE u SET z = z", "",
     "ALTER TABLE u RENAME TO t; ALTER TABLE t RENAME COLUMN z TO a", "(SELECT count(*) = 10 FROM t)", &[]),
];

async fn each(session: &mut Postgres, case: &Case) {
    let (start, down, between, up, holds_after, misfits) = case;
    session
        .execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; SET search_path TO app")
        .await
        .expect("a schema");
    let _ = session.enter_schema("app").await;
    session.execute(start).await.unwrap_or_else(|error| panic!("{start}: {}", whole(&error)));
    let (gone, back) = there_and_back(session, down, between, up).await;
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    for Misfit { reason, rows } in back.put_back.iter().flat_map(|it| &it.restored.misfits) {
        *left.entry(reason.clone()).or_default() += rows;
    }
    let expected: BTreeMap<String, u64> =
        misfits.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect();
    assert_eq!(left, expected, "{down}\n{gone:?}\n{back:?}");
    holds(session, holds_after).await;
}

#[tokio::test]
async fn what_a_body_destroys_is_back_afterwards() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        for case in CASES {
            each(&mut session, case).await;
        }
    }
}

#[tokio::test]
async fn a_body_that_destroys_more_than_planned_is_not_run() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    session.execute(T).await.expect("a table");
    let planned = Effects::default();
    let ran = careful(&mut session, Direction::Down, "DROP TABLE t", true, Some(&planned));
    match ran.await {
        Err(StepError::Beyond { more, .. }) => assert_eq!(more[0].to_string(), "table t"),
        other => panic!("{other:?}"),
    }
    holds(&mut session, "(SELECT count(*) = 10 FROM t)").await;
    careful(&mut session, Direction::Down, "DROP TABLE t", false, None).await.expect("a step");
    assert!(session.archive("shop").await.expect("the archive").is_empty());
}

#[tokio::test]
async fn several_rollbacks_have_an_archive_each() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    session.execute(T).await.expect("a table");
    for round in 0..3 {
        let between = format!("SELECT {round}");
        let up = "CREATE TABLE t (id int PRIMARY KEY, a text, b int)";
        there_and_back(&mut session, "DROP TABLE t", &between, up).await;
    }
    let entries = session.archive("shop").await.expect("the archive");
    assert_eq!(entries.len(), 3);
    assert!(entries.iter().all(|it| it.waiting() == 0 && it.rows == 10));
    holds(&mut session, "(SELECT count(*) = 10 FROM t)").await;
}

/// Somebody writes between the look at what a body takes and the keeping of it.
#[tokio::test]
async fn a_row_that_arrives_late_is_kept_too() {
    let Some(fresh) = fresh().await else { return };
    let fresh: Fresh = fresh;
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    session.execute(T).await.expect("a table");
    let url = fresh.url();
    let writer = tokio::spawn(async move {
        let mut connection = support::open(&url).await;
        for n in 1000..1400 {
            execute(&mut connection, &format!("DO $$ BEGIN INSERT INTO t VALUES ({n}); EXCEPTION WHEN undefined_table THEN NULL; END $$")).await;
        }
    });
    for _ in 0..5 {
        let up = "CREATE TABLE t (id int PRIMARY KEY, a text, b int)";
        there_and_back(&mut session, "DELETE FROM t WHERE id % 2 = 0", "", "SELECT 1").await;
        there_and_back(&mut session, "DROP TABLE t", "", up).await;
    }
    writer.await.expect("the writer");
    let mut watch = fresh.watch().await;
    let kept: i64 = ask(&mut watch, "SELECT sum(rows - back)::bigint FROM sternway.archive").await;
    assert_eq!(kept, 0);
}

/// Moving is a change of the catalogs: the file of the rows stays the same.
#[tokio::test]
async fn a_table_is_moved_and_not_copied() {
    let Some(fresh) = fresh().await else { return };
    let mut session = fresh.session().await;
    session.prepare_records().await.expect("records");
    let mut watch = fresh.watch().await;
    for (shape, down) in [
        ("CREATE TABLE t (id serial PRIMARY KEY, a text UNIQUE CHECK (a <> ''))", "DROP TABLE t"),
        ("CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a text, b text GENERATED ALWAYS AS (upper(a)) STORED)", "DROP TABLE t"),
        ("CREATE TABLE run (id int PRIMARY KEY, t int); CREATE TABLE t (id int PRIMARY KEY, r int REFERENCES run); ALTER TABLE run ADD FOREIGN KEY (t) REFERENCES t; CREATE INDEX by_r ON t (r)",
         "DROP INDEX by_r; ALTER TABLE run DROP CONSTRAINT run_t_fkey; DROP TABLE t; DROP TABLE run"),
        ("CREATE TABLE u (id int PRIMARY KEY, t int); CREATE TABLE t (id int PRIMARY KEY, a text); ALTER TABLE u ADD FOREIGN KEY (t) REFERENCES t; CREATE VIEW v AS SELECT * FROM t",
         "DROP TABLE t CASCADE"),
        ("CREATE TABLE t (id int PRIMARY KEY, a text); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON t FOR SELECT TO PUBLIC USING (id > 0);
          CREATE STATISTICS st ON id, a FROM t; CREATE RULE quiet AS ON DELETE TO t DO INSTEAD NOTHING;
          CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
         "DROP TRIGGER g ON t; DROP POLICY mine ON t; DROP RULE quiet ON t; DROP STATISTICS st; DROP TABLE t; DROP FUNCTION f()"),
        ("CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (id int PRIMARY KEY, e e)", "DROP TABLE t"),
    ] {
        let clean = "DROP TABLE IF EXISTS t, u, run CASCADE; DROP FUNCTION IF EXISTS f";
        session.execute(clean).await.expect("a schema");
        session.execute(shape).await.expect(shape);
        let file: i64 = ask(&mut watch, "SELECT pg_relation_filenode('t')::bigint").await;
        let done = careful(&mut session, Direction::Down, down, true, None).await;
        let done = done.unwrap_or_else(|error| panic!("{down}: {}", whole(&error)));
        let entry = done.kept.iter().find(|it| it.lost.to_string() == "table t").expect("the table");
        let now = format!("SELECT pg_relation_filenode('sternway.kept_{}')::bigint", entry.id);
        assert_eq!(ask::<i64>(&mut watch, &now).await, file, "{down}");
        holds(&mut session, "(SELECT count(*) = 0 FROM pg_class WHERE relname IN ('t', 'v') AND relnamespace = 'public'::regnamespace)").await;
    }
}

/// What is kept does not stand in the way of later bodies, even of those that drop its types.
#[tokio::test]
async fn what_is_kept_binds_nothing() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session.execute("CREATE TYPE mood AS ENUM ('ok', 'not ok'); CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[]);
            INSERT INTO t VALUES (1, 'not ok', '{ok,not ok}')").await.expect("a table");
        careful(&mut session, Direction::Down, "DROP TABLE t", true, None).await.expect("a step");
        let track = TrackName::from("core");
        for body in [
            "DROP TYPE mood",
            "CREATE TYPE mood AS ENUM ('ok', 'not ok')",
            "DROP TYPE mood CASCADE",
            "CREATE TYPE mood AS ENUM ('ok', 'not ok')",
        ] {
            let care = Care {
                app: "shop",
                track: &track,
                version: 1,
                direction: Direction::Down,
                keep: true,
                planned: None,
                each_lock: false,
                limits: Limits::default(),
            };
            let step = down(1, None, body);
            let done = session.migrate_with_care(&Work::of(&step, body, None), &care).await;
            done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
        }
        careful(
            &mut session,
            Direction::Up,
            "CREATE TABLE t (id int PRIMARY KEY, m mood, ms mood[])",
            true,
            None,
        )
        .await
        .expect("a step");
        holds(&mut session, "(SELECT m = 'not ok' AND ms[2] = 'not ok' FROM t)").await;
    }
}

/// Whose they are cannot be told any more, and nobody guesses.
#[tokio::test]
async fn what_has_lost_its_key_stays_in_the_archive() {
    for (mut session, _fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        session.execute(T).await.expect("a table");
        let up = careful(&mut session, Direction::Up, "UPDATE t SET a = 'x'", true, None).await;
        assert_eq!(up.expect("the way up").kept.len(), 1);
        let drop = "ALTER TABLE t DROP COLUMN id";
        let down = careful(&mut session, Direction::Down, drop, true, None).await;
        let down = down.unwrap_or_else(|error| panic!("{}", whole(&error)));
        let restored = &down.put_back[0].restored;
        let reason = "column id is not there".to_owned();
        assert_eq!((restored.back, &restored.misfits[..]), (0, &[Misfit { reason, rows: 10 }][..]));
        holds(&mut session, "(SELECT count(*) = 10 FROM t WHERE a = 'x')").await;
    }
}
