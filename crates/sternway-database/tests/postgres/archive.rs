//! What bodies destroy is kept, and put back once the migration is applied the other way again.

use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{Done, Preservation, StepError, Work};
use sternway_model::archive::Conflict;
use sternway_model::catalog::Direction;
use sternway_model::effect::Effects;

use crate::support::cases::{Case, begin, end};
use crate::support::{self, Fresh, ask, down, everywhere, execute, fresh, holds, whole};

/// Runs the body of migration 2 in one direction, with care.
async fn careful(
    session: &mut Postgres,
    direction: Direction,
    body: &str,
    keep: bool,
    planned: Option<&Effects>,
) -> Result<Done, StepError> {
    let care = Preservation { keep, planned, ..support::care("shop", 2, direction) };
    support::careful(session, &care, body).await
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
    for entry in &back.restored {
        let kept = gone.kept.iter().find(|it| it.id == entry.id).expect("an entry").rows;
        let restored = &entry.restored;
        assert_eq!(kept, restored.back + restored.left(), "{down}: {entry:?}");
    }
    (gone, back)
}

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
    // What only the server finds is found by halves, batch by batch.
    ("CREATE TABLE t (id int PRIMARY KEY, b int); INSERT INTO t SELECT n, n FROM generate_series(1, 2500) n",
     "DROP TABLE t", "",
     "CREATE TABLE t (id int PRIMARY KEY, b int, EXCLUDE (b WITH =)); INSERT INTO t VALUES (5000, 7), (5001, 2222)",
     "(SELECT count(*) = 2500 FROM t)",
     &[("conflicting key value violates exclusion constraint \"t_b_excl\"", 2)]),
    // Its plain indexes go along, and bind it to nothing that the body drops as well.
    ("CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE FUNCTION f(t text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT upper(t)';
      CREATE TABLE t (id int PRIMARY KEY, m mood UNIQUE, a text, b int, UNIQUE (a, b), EXCLUDE (b WITH =));
      CREATE INDEX t_f ON t (f(a)); CREATE INDEX t_b ON t (b); CREATE INDEX t_part ON t (b) WHERE b > 0; INSERT INTO t VALUES (1, 'sad', 'x', 2)",
     "DROP TABLE t; DROP FUNCTION f", "",
     "CREATE TABLE t (id int PRIMARY KEY, m mood UNIQUE, a text, b int, UNIQUE (a, b)); CREATE INDEX t_b ON t (b)",
     "(SELECT (id, m, a, b) = (1, 'sad'::mood, 'x', 2) FROM t)
      AND (SELECT count(*) = 3 FROM pg_index WHERE indrelid = (SELECT ('sternway.kept_' || max(id))::regclass FROM sternway.archive))", &[]),
    // Rules of the user's sleep as triggers do.
    ("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, 'y'); CREATE TABLE log (id int);
      CREATE RULE r1 AS ON INSERT TO t DO INSTEAD NOTHING; CREATE RULE r2 AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES (NEW.id); ALTER TABLE t ENABLE ALWAYS RULE r1",
     "DELETE FROM t WHERE id = 1; ALTER TABLE t DROP COLUMN a", "", "ALTER TABLE t ADD COLUMN a text",
     "(SELECT array_agg(a ORDER BY id) = '{x,y}' FROM t) AND (SELECT count(*) = 0 FROM log) AND (SELECT string_agg(ev_enabled::text, '' ORDER BY rulename) = 'AO' FROM pg_rewrite WHERE ev_class = 't'::regclass)", &[]),
    // What the older release wrote into a table that was made anew is no seed.
    ("CREATE TABLE t (id int PRIMARY KEY, a text, w text); INSERT INTO t VALUES (1, 'a', 'w'), (2, 'b', 'x'), (4, 'd', NULL)",
     "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (2, 'new'), (3, 'c'), (4, 'd')", "ALTER TABLE t ADD COLUMN w text",
     "(SELECT array_agg(a ORDER BY id) = '{a,new,c,d}' FROM t) AND (SELECT w = 'w' FROM t WHERE id = 1)", &[("a row with its key is there", 1)]),
    // … unless the other half makes the table anew once more.
    ("CREATE TABLE t (id int PRIMARY KEY, a text, w text); INSERT INTO t VALUES (1, 'a', 'w')",
     "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'seed')", "", "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text, w text)",
     "(SELECT (a, w) = ('a', 'w') FROM t)", &[]),
    // What looks the same in another type is not the same value.
    ("CREATE TABLE t (id int PRIMARY KEY, v jsonb, o int); INSERT INTO t VALUES (1, '{\"a\": 1}', 42), (2, '\"s\"', 7), (3, NULL, NULL)",
     "ALTER TABLE t ALTER v TYPE text USING v::text, ALTER o TYPE text USING o::text", "",
     "ALTER TABLE t ALTER v TYPE jsonb USING to_jsonb(v), ALTER o TYPE int USING NULL",
     "(SELECT array_agg(v ORDER BY id) = ARRAY['{\"a\": 1}', '\"s\"', NULL]::jsonb[] AND array_agg(o ORDER BY id) = '{42,7,NULL}' FROM t)", &[]),
    // Attributes of composite types, in arrays and in one another, and of the type of a table's rows.
    ("CREATE TYPE c AS (x int, y text); CREATE TYPE d AS (c c); CREATE TABLE r (id int PRIMARY KEY, v text); CREATE TABLE t (id int PRIMARY KEY, a c, b c[], e d, f r);
      INSERT INTO t VALUES (1, ROW(1, 'y'), ARRAY[ROW(2, 'z')::c], ROW(ROW(3, 'w')::c), ROW(4, 'v')); INSERT INTO r VALUES (1, 'r')",
     "ALTER TYPE c DROP ATTRIBUTE y; ALTER TABLE r DROP COLUMN v", "", "ALTER TYPE c ADD ATTRIBUTE y text; ALTER TABLE r ADD COLUMN v text",
     "(SELECT (a, b, e, f)::text = ROW(ROW(1, 'y')::c, ARRAY[ROW(2, 'z')::c], ROW(ROW(3, 'w')::c)::d, ROW(4, 'v')::r)::text FROM t) AND (SELECT v = 'r' FROM r)", &[]),
    // A key that is another text in another type, and a row that goes to another partition.
    ("CREATE TABLE t (a text PRIMARY KEY, c text); INSERT INTO t VALUES ('k1', 'x'), ('k02', 'y')",
     "ALTER TABLE t ALTER a TYPE int USING substr(a, 2)::int", "", "ALTER TABLE t ALTER a TYPE text USING 'k' || a",
     "(SELECT count(*) = 2 AND string_agg(c, '' ORDER BY c) = 'xy' FROM t)", &[("the row was changed and cannot be told from others", 1)]),
    ("CREATE TABLE t (id int, d int, PRIMARY KEY (id, d)) PARTITION BY RANGE (d); CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (99);
      INSERT INTO t VALUES (1, 1), (2, 2)",
     "UPDATE t SET d = d + 50 WHERE d < 10", "", "SELECT 1", "(SELECT count(*) = 2 FROM t)", &[("the row was changed and cannot be told from others", 2)]),
    // A value that the body adds can only be written once that is committed.
    ("CREATE TYPE m AS ENUM ('a', 'b', 'c'); CREATE TABLE t (id int PRIMARY KEY, m m); INSERT INTO t VALUES (1, 'a'), (2, 'c')",
     "UPDATE t SET m = 'b' WHERE m = 'c'; ALTER TYPE m RENAME TO o; CREATE TYPE m AS ENUM ('a', 'b'); ALTER TABLE t ALTER m TYPE m USING m::text::m; DROP TYPE o", "",
     "ALTER TYPE m ADD VALUE 'c'", "(SELECT string_agg(m::text, '' ORDER BY id) = 'ac' FROM t)", &[]),
    // A body that is tried before it runs draws its numbers once.
    ("CREATE TABLE k (id serial PRIMARY KEY, v text); CREATE TABLE i (id bigint GENERATED ALWAYS AS IDENTITY (START 7) PRIMARY KEY, v text); CREATE TABLE o (id int); INSERT INTO o VALUES (1);
      CREATE SEQUENCE s CACHE 5 INCREMENT -2; INSERT INTO i (v) VALUES ('first')",
     "DROP TABLE o; INSERT INTO k (v) VALUES ('admin'), ('guest'); INSERT INTO i (v) VALUES ('second'); CREATE TABLE perm (k int REFERENCES k, s int DEFAULT nextval('s')); INSERT INTO perm VALUES (1), (2)", "",
     "CREATE TABLE o (id int)",
     "(SELECT array_agg(id ORDER BY id) = '{1,2}' FROM k) AND (SELECT array_agg(id ORDER BY id) = '{7,8}' FROM i) AND (SELECT array_agg(s ORDER BY k) = '{-1,-3}' FROM perm)
      AND (SELECT seqcache = 5 FROM pg_sequence WHERE seqrelid = 's'::regclass)", &[]),
    // Where all tables are published, what is kept can be written all the same.
    ("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'); CREATE PUBLICATION everything FOR ALL TABLES",
     "UPDATE t SET a = 'z'", "", "DROP PUBLICATION everything", "(SELECT a = 'x' FROM t)", &[]),
    // A seed that has another number this time makes room for the row that had its name.
    ("CREATE TABLE r (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, note text); INSERT INTO r (name, note) VALUES ('admin', 'mine'), ('guest', 'x');
      CREATE TABLE m (id int PRIMARY KEY, r uuid NOT NULL REFERENCES r); INSERT INTO m SELECT 1, id FROM r WHERE name = 'admin'",
     "DROP TABLE m; DROP TABLE r", "",
     "CREATE TABLE r (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, note text); INSERT INTO r (name) VALUES ('admin'), ('new');
      CREATE TABLE m (id int PRIMARY KEY, r uuid NOT NULL REFERENCES r)",
     "(SELECT count(*) = 1 AND min(note) = 'mine' FROM m JOIN r ON r.id = m.r) AND (SELECT array_agg(name ORDER BY name) = '{admin,guest,new}' FROM r)", &[]),
    // What is kept is published to nobody.
    ("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE PUBLICATION p FOR TABLE t",
     "DROP TABLE t; DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM pg_publication_rel); END $$", "", "CREATE TABLE t (id int PRIMARY KEY)",
     "(SELECT count(*) = 1 FROM t) AND NOT EXISTS (SELECT FROM pg_publication_rel)", &[]),
    // What reads the table that it drops does not read a stand-in: by itself, by an index, through a
    // view, a function, a condition.
    ("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'), (2, 'y'); CREATE SEQUENCE s",
     "CREATE TABLE u AS SELECT a FROM t; SELECT setval('s', max(id)) FROM t; DROP TABLE t",
     "DO $$ BEGIN ASSERT (SELECT array_agg(a ORDER BY a) = '{x,y}' FROM u); ASSERT (SELECT last_value = 2 FROM s); END $$",
     "CREATE TABLE t (id int PRIMARY KEY, a text)", "(SELECT count(*) = 2 FROM t)", &[]),
    ("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'x'); CREATE TABLE u (a text); ANALYZE t; SET enable_seqscan = off",
     "INSERT INTO u SELECT a FROM t WHERE id = 1; DROP TABLE t; SET enable_seqscan = on",
     "DO $$ BEGIN ASSERT (SELECT a = 'x' FROM u); END $$",
     "CREATE TABLE t (id int PRIMARY KEY, a text)", "(SELECT count(*) = 1 FROM t)", &[]),
    ("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE u (n int); CREATE VIEW v AS SELECT * FROM t;
      CREATE FUNCTION n() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t); END'",
     "INSERT INTO u VALUES (n()); INSERT INTO u SELECT id + 8 FROM v; DO $$ BEGIN IF EXISTS (SELECT FROM t) THEN INSERT INTO u VALUES (10); END IF; END $$; DROP TABLE t CASCADE",
     "DO $$ BEGIN ASSERT (SELECT array_agg(n ORDER BY n) = '{1,9,10}' FROM u); END $$",
     "CREATE TABLE t (id int PRIMARY KEY)", "(SELECT count(*) = 1 FROM t)", &[]),
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
    begin(session, case).await;
    let (_, down, between, up, ..) = case;
    let (gone, back) = there_and_back(session, down, between, up).await;
    end(session, case, &gone, &back).await;
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
        for body in [
            "DROP TYPE mood",
            "CREATE TYPE mood AS ENUM ('ok', 'not ok')",
            "DROP TYPE mood CASCADE",
            "CREATE TYPE mood AS ENUM ('ok', 'not ok')",
        ] {
            let care = support::care("shop", 1, Direction::Down);
            let step = down(1, None, body);
            let done = session.migrate_preserving(&Work::of(&step, body, None), &care).await;
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
        let restored = &down.restored[0].restored;
        let reason = "column id is not there".to_owned();
        assert_eq!(
            (restored.back, &restored.conflicts[..]),
            (0, &[Conflict { reason, rows: 10 }][..])
        );
        holds(&mut session, "(SELECT count(*) = 10 FROM t WHERE a = 'x')").await;
    }
}

/// Names of columns that queries of ours use for something else.
#[tokio::test]
async fn any_name_may_be_a_columns() {
    const NAMES: [&str; 40] = [
        "name",
        "value",
        "key",
        "n",
        "t",
        "k",
        "v",
        "a",
        "b",
        "c",
        "e",
        "i",
        "j",
        "m",
        "o",
        "p",
        "q",
        "r",
        "s",
        "u",
        "w",
        "x",
        "old",
        "new",
        "was",
        "now",
        "is",
        "row",
        "rows",
        "lost",
        "number",
        "depth",
        "kept",
        "entry",
        "detail",
        "shows",
        "touched",
        "data",
        "user",
        "sternway_changed",
    ];
    let Some(fresh) = fresh().await else { return };
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    session.prepare_records().await.expect("records");
    let columns: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\" text")).collect();
    let columns = columns.join(", ");
    let values: Vec<String> = NAMES.iter().map(|name| format!("'{name}' || id")).collect();
    let names: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    for key in ["PRIMARY KEY", ""] {
        let table = format!("CREATE TABLE odd (id int {key}, {columns})");
        let fill = format!(
            "{table}; INSERT INTO odd (id, {names}) SELECT id, {values} FROM generate_series(1, 4) id"
        );
        let all =
            format!("SELECT array_agg(o ORDER BY id)::text FROM (SELECT id, {names} FROM odd) o");
        let mut journeys = vec![
            ("DELETE FROM odd WHERE id > 2".to_owned(), "SELECT 1".to_owned()),
            ("DROP TABLE odd".to_owned(), table),
        ];
        if !key.is_empty() {
            let all: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\" = 'x'")).collect();
            let sql = format!("UPDATE odd SET {} WHERE id > 1", all.join(", "));
            journeys.push((sql, "SELECT 1".to_owned()));
        }
        for pair in NAMES.chunks(20) {
            let drops: Vec<String> =
                pair.iter().map(|it| format!("DROP COLUMN \"{it}\"")).collect();
            let adds: Vec<String> =
                pair.iter().map(|it| format!("ADD COLUMN \"{it}\" text")).collect();
            journeys.push((
                format!("ALTER TABLE odd {}", drops.join(", ")),
                format!("ALTER TABLE odd {}", adds.join(", ")),
            ));
        }
        for (down, up) in journeys {
            execute(&mut watch, &format!("DROP TABLE IF EXISTS odd; {fill}")).await;
            let before: String = ask(&mut watch, &all).await;
            there_and_back(&mut session, &down, "SELECT 1", &up).await;
            let after: String = ask(&mut watch, &all).await;
            assert_eq!(after, before, "{key}: {down}");
        }
    }
}
