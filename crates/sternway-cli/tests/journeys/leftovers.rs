//! Down files that leave something out, and what is on the way beside the application: told before the first
//! write, closed where that can be, and never called proved where it is not.

use crate::both::server::Kind;
use crate::harbour::{ALL, LATER, alone, with};

/// The up half takes a column and a table away and makes another; the down half does nothing.
const EMPTY: [(&str, &[&str], &str); 6] = [
    (
        "1_flow.up.sql",
        ALL,
        "CREATE TABLE flow (id integer PRIMARY KEY, template integer NOT NULL DEFAULT 0);\n\
         CREATE TABLE request (id integer PRIMARY KEY, note varchar(20) NOT NULL);",
    ),
    ("1_flow.down.sql", ALL, "DROP TABLE request;\nDROP TABLE flow;"),
    (
        "2_stage.up.sql",
        LATER,
        "ALTER TABLE flow DROP COLUMN template;\nDROP TABLE request;\n\
         CREATE TABLE stage (id integer PRIMARY KEY, note varchar(20));\n\
         INSERT INTO stage VALUES (1, 'seed');",
    ),
    ("2_stage.down.sql", LATER, "-- nothing is taken back"),
    ("3_more.up.sql", &["1.2.0"], "ALTER TABLE stage ADD COLUMN more integer;"),
    ("3_more.down.sql", &["1.2.0"], "ALTER TABLE stage DROP COLUMN more;"),
];

/// What an empty down half leaves out is generated, its data comes back, and what it leaves over is named,
/// recorded, and passed over on the way up. Twice, with the same end.
fn empty_down_half(kind: Kind, test: &str) {
    with(kind, test, &EMPTY, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        sql("INSERT INTO flow VALUES (1, 7)");
        sql("INSERT INTO request VALUES (1, 'kept')");
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("INSERT INTO stage VALUES (2, 'mine', 5)");
        for round in 0..2 {
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0).says(&[
                "generated, for the file leaves it out: ",
                "table `stage` should not be there",
                "(the application's own migrations)",
                "ok 1.1.0: the schema is proved",
                "ok 1.0.0: the schema is as rehearsed, and not that of a clean install",
                "rolled back to 1.0.0; the schema is that of a clean install of core 1 but for 1 difference",
            ]);
            assert_eq!(sql("SELECT template FROM flow WHERE id = 1"), ["7"]);
            assert_eq!(sql("SELECT note FROM request"), ["kept"]);
            harbour
                .run(&["status"])
                .ended(0)
                .says(&["drift: none", "known from before: table `stage` should not be there"]);
            // The same again does nothing, and says so.
            harbour
                .run(&["rollback", "--to", "1.0.0", "--yes"])
                .ended(0)
                .says(&["schema: no change"]);
            harbour.run(&["status"]).ended(0).says(&["known from before: table `stage`"]);
            harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0).says(&[
                "passed over, for it is there: CREATE TABLE stage",
                "passed over, for it is there: INSERT INTO stage",
                "ok 1.2.0: the schema is proved",
                "upgraded to 1.2.0; the schema is that of a clean install of core 3",
            ]);
            let rows = sql("SELECT id FROM stage ORDER BY id");
            assert_eq!(rows, ["1", "2"], "round {round}");
            assert_eq!(sql("SELECT more FROM stage WHERE id = 2"), ["5"], "round {round}");
            harbour.run(&["status"]).ended(0).says(&["schema: of 1.2.0", "drift: none"]);
        }
    });
}

#[test]
fn an_empty_down_half_is_completed_on_mariadb() {
    empty_down_half(Kind::MariaDb, "an empty down half on MariaDB");
}

#[test]
fn an_empty_down_half_is_completed_on_sqlite() {
    empty_down_half(Kind::Sqlite, "an empty down half on SQLite");
}

/// What cannot be made among rows is refused before the first write, and accepted by name.
fn lacking(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id integer PRIMARY KEY, name varchar(20) NOT NULL);",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE ship;"),
        ("2_no_name.up.sql", LATER, "ALTER TABLE ship DROP COLUMN name;"),
        ("2_no_name.down.sql", LATER, "-- nothing is taken back"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO ship (id) VALUES (1)");
        harbour.refuses_back(&[
            "rows of `ship` have no value for column `name` of `ship`",
            "nothing was touched",
            "--accept-difference ship.name",
        ]);
        harbour.run(&["status"]).ended(0).says(&["drift: none"]);
        let accepted = ["rollback", "--to", "1.0.0", "--yes", "--accept-difference", "ship.name"];
        harbour.run(&accepted).ended(0).says(&[
            "(accepted)",
            "accepted: column `name` of `ship` is missing",
            "the schema is that of a clean install of core 1 but for 1 difference",
        ]);
        harbour.run(&["status"]).ended(0).says(&["known from before: column `name` of `ship`"]);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
            "is there already: only its row is written",
            "the schema is that of a clean install of core 2",
        ]);
        assert_eq!(sql("SELECT id FROM ship"), ["1"]);
    });
}

#[test]
fn what_cannot_be_made_again_is_refused_on_mariadb() {
    lacking(Kind::MariaDb, "a column that is lacking on MariaDB");
}

#[test]
fn what_cannot_be_made_again_is_refused_on_sqlite() {
    lacking(Kind::Sqlite, "a column that is lacking on SQLite");
}

/// What a down half adds, and the up half takes away.
const INDEX: (&str, &str) =
    ("DROP INDEX IF EXISTS a_place;", "CREATE UNIQUE INDEX a_place ON a (place);");

/// A down half makes what a clean install never had: the middle of the way up does not stop for it.
fn what_a_down_half_adds(kind: Kind, test: &str, (takes, adds): (&str, &str)) {
    let files: [(&str, &[&str], &str); 6] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY, place varchar(20));"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "CREATE TABLE b (id integer PRIMARY KEY);"),
        ("2_b.down.sql", LATER, "DROP TABLE b;"),
        ("3_c.up.sql", &["1.2.0"], takes),
        ("3_c.down.sql", &["1.2.0"], adds),
    ];
    with(kind, test, &files, |harbour, _| {
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        harbour.run(&["status"]).ended(0);
        let up = harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0).says(&[
            "ok 1.2.0: the schema is proved",
            "upgraded to 1.2.0; the schema is that of a clean install of core 3",
        ]);
        assert!(!up.stdout.contains("others made"), "it is the application's own: {}", up.stdout);
        harbour.run(&["resume"]).ended(3).explains(&["no run is unfinished"]);
    });
}

#[test]
fn what_a_down_half_adds_is_no_drift_on_sqlite() {
    what_a_down_half_adds(Kind::Sqlite, "a down half that adds on SQLite", INDEX);
}

/// A down half makes a table that a clean install never had: it is the application's all the same, and the
/// way up takes it without asking.
#[test]
fn a_table_that_only_a_down_half_makes_is_no_foreign_one_on_sqlite() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "DROP TABLE IF EXISTS old;"),
        ("2_b.down.sql", LATER, "CREATE TABLE old (i integer);"),
    ];
    with(Kind::Sqlite, "a table of a down half on SQLite", &files, |harbour, _| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        for _ in 0..2 {
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
            harbour
                .run(&["upgrade", "--to", "1.1.0", "--yes"])
                .ended(0)
                .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        }
    });
}

/// A trigger or a rule of the tracking table swallows what is written there: the run notices it, and takes back
/// what it can.
fn swallowed_row(kind: Kind, test: &str, swallow: &[&str], undo: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "CREATE TABLE b (id integer PRIMARY KEY);"),
        ("2_b.down.sql", LATER, "DROP TABLE b;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        swallow.iter().for_each(|it| drop(sql(it)));
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(1).explains(&[
            "the tracking table `schema_migrations` does not say what was just written into it",
            "a rule or a trigger of that table",
            "sternway resume",
        ]);
        let tables = match kind {
            Kind::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = 'b'",
            _ => {
                "SELECT count(*) FROM information_schema.tables WHERE table_name = 'b' AND table_schema IN (database(), 'public')"
            }
        };
        let tables = if kind == Kind::PostgreSql {
            tables.replace("database()", "current_schema()")
        } else {
            tables.to_owned()
        };
        assert_eq!(sql(&tables), ["0"], "nothing of the body stays");
        sql(undo);
        harbour
            .run(&["resume", "--yes"])
            .ended(0)
            .says(&["upgraded to 1.1.0; the schema is that of a clean install of core 2"]);
        harbour.run(&["status"]).ended(0).says(&["core   schema_migrations  2 ", "drift: none"]);
    });
}

#[test]
fn a_swallowed_tracking_row_is_noticed_on_mariadb() {
    let changes = "CREATE TRIGGER swallow BEFORE INSERT ON schema_migrations FOR EACH ROW SET NEW.version = 1";
    swallowed_row(Kind::MariaDb, "a swallowed row on MariaDB", &[changes], "DROP TRIGGER swallow");
}

#[test]
fn a_swallowed_tracking_row_is_noticed_on_sqlite() {
    let swallows =
        "CREATE TRIGGER swallow BEFORE INSERT ON schema_migrations BEGIN SELECT RAISE(IGNORE); END";
    swallowed_row(Kind::Sqlite, "a swallowed row on SQLite", &[swallows], "DROP TRIGGER swallow");
}

/// What others have made on a table that goes is named, goes with consent only, and is made again.
fn what_others_made_goes_with_consent_and_comes_again() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_person.up.sql", LATER, "CREATE TABLE person (id integer PRIMARY KEY, name text);"),
        ("2_person.down.sql", LATER, "DROP TABLE person CASCADE;"),
    ];
    with(Kind::PostgreSql, "what others made on PostgreSQL", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO person VALUES (1, 'Anna')");
        sql("CREATE VIEW of_others AS SELECT name FROM person");
        sql("CREATE TABLE visit (person integer REFERENCES person (id))");
        sql("INSERT INTO visit VALUES (1)");
        sql("CREATE INDEX of_others_by_name ON person (name)");
        for role in ["sternway_guest", "sternway_host"] {
            sql(&format!(
                "DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF; END $$"
            ));
        }
        sql(
            "CREATE FUNCTION everybody() RETURNS SETOF person LANGUAGE sql AS 'SELECT * FROM person'",
        );
        for attribute in [
            "ALTER VIEW of_others SET (security_barrier = true)",
            "GRANT SELECT ON of_others TO sternway_guest WITH GRANT OPTION",
            "GRANT UPDATE (name) ON of_others TO PUBLIC",
            "COMMENT ON VIEW of_others IS 'it''s ours'",
            "COMMENT ON COLUMN of_others.name IS 'a name'",
            "ALTER VIEW of_others OWNER TO sternway_host",
            "REVOKE ALL ON FUNCTION everybody() FROM PUBLIC",
            "COMMENT ON CONSTRAINT visit_person_fkey ON visit IS 'a key'",
        ] {
            sql(attribute);
        }
        let attributes = "SELECT concat_ws(' | ', relowner::regrole, reloptions, obj_description(c.oid, 'pg_class'), col_description(c.oid, 1),
                (SELECT string_agg(it::text, ' ' ORDER BY it::text) FROM unnest(relacl) AS it), a.attacl,
                (SELECT proacl FROM pg_proc WHERE proname = 'everybody'),
                (SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'visit_person_fkey'))
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum = 1 WHERE relname = 'of_others'";
        sql("GRANT pg_read_all_data TO sternway_host");
        let had = sql(attributes);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(3).explains(&[
            "2_person.down.sql takes along what others have made",
            "view `of_others`",
            "nothing was touched",
            "--accept of_others",
            "--accept visit.visit_person_fkey",
        ]);
        assert_eq!(sql("SELECT name FROM of_others"), ["Anna"]);
        let accept = ["--accept", "of_others", "--accept", "visit.*", "--accept", "everybody()"];
        let back = [&["rollback", "--to", "1.0.0", "--yes"], &accept[..]].concat();
        harbour.run(&back).ended(0).says(&[
            "takes along what others made: view `of_others`; made again on the way back",
            "rolled back to 1.0.0; the schema is that of a clean install of core 1",
        ]);
        harbour.run(&["status"]).ended(0).says(&["taken along, to be made again on the way back"]);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
            "made again: view `of_others`, which others had made",
            "made again: index `of_others_by_name`",
            "upgraded to 1.1.0; the schema is that of a clean install of core 2",
        ]);
        assert_eq!(sql("SELECT name FROM of_others"), ["Anna"]);
        assert_eq!(sql("SELECT name FROM everybody()"), ["Anna"]);
        assert_eq!(sql(attributes), had);
        let keys = "SELECT count(*) FROM pg_constraint WHERE conname = 'visit_person_fkey'
                    AND connamespace = current_schema()::regnamespace AND convalidated";
        assert_eq!(sql(keys), ["1"]);
        // The same where the program is killed after it has made them: nobody is said to have done that.
        harbour.run(&back).ended(0);
        let mut killed = harbour.machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
        killed.env("STERNWAY_DATABASE", harbour.url()).env("FAILPOINTS", "proof.begins");
        assert!(!killed.output().expect("a run").status.success());
        harbour.run(&["resume", "--yes"]).ended(0).says(&["upgraded to 1.1.0"]);
        assert_eq!(sql("SELECT name FROM of_others"), ["Anna"]);
        assert_eq!(sql(keys), ["1"]);
        assert_eq!(sql(attributes), had);
        // What a role had that is gone meanwhile cannot come back, and is told.
        harbour.run(&back).ended(0);
        sql("DROP OWNED BY sternway_guest");
        sql("DROP ROLE sternway_guest");
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
            "made again: view `of_others`, which others had made, without 1 grant, owner or definer that it had: the role is gone",
        ]);
        sql("DROP OWNED BY sternway_host");
        sql("DROP ROLE sternway_host");
    });
}

/// A view that is left over and shows what is gone has its name all the same: the way up makes it anew.
#[test]
fn a_view_left_over_of_what_is_gone_is_made_anew_on_mariadb() {
    let files: [(&str, &[&str], &str); 6] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_c.up.sql", LATER, "ALTER TABLE a ADD COLUMN c integer;"),
        ("2_c.down.sql", LATER, "ALTER TABLE a DROP COLUMN c;"),
        ("3_v.up.sql", &["1.2.0"], "CREATE VIEW v AS SELECT id, c FROM a;"),
        ("3_v.down.sql", &["1.2.0"], "-- nothing is taken back"),
    ];
    with(Kind::MariaDb, "a broken view on MariaDB", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
        sql("INSERT INTO a VALUES (1, 7)");
        harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(0);
        harbour.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0).says(&[
            "passed over, for it is there: CREATE VIEW v",
            "upgraded to 1.2.0; the schema is that of a clean install of core 3",
        ]);
        assert_eq!(sql("SELECT c FROM v"), ["7"]);
    });
}

/// What others have made is defined by whom it was.
#[test]
fn what_comes_again_has_its_definer_on_mariadb() {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_person.up.sql", LATER, "CREATE TABLE person (id integer PRIMARY KEY);"),
        ("2_person.down.sql", LATER, "DROP TABLE person;"),
    ];
    with(Kind::MariaDb, "a definer on MariaDB", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql(
            "CREATE DEFINER = sternway_host@localhost TRIGGER of_others AFTER DELETE ON person FOR EACH ROW SET @x = 1",
        );
        let accept = ["rollback", "--to", "1.0.0", "--yes", "--accept", "person.of_others"];
        harbour.run(&accept).ended(0);
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0).says(&[
            "made again: trigger `of_others` of `person`, which others had made\n",
            "upgraded to 1.1.0; the schema is that of a clean install of core 2",
        ]);
        let definer =
            "SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()";
        assert_eq!(sql(definer), ["sternway_host@localhost"]);
    });
}

/// What SQLite has only from the application is named as the reason, and the way out is one.
#[test]
fn what_an_application_registers_on_sqlite_is_the_reason() {
    let files: [(&str, &[&str], &str); 4] = [
        (
            "1_ship.up.sql",
            ALL,
            "CREATE TABLE ship (id integer PRIMARY KEY, name text); INSERT INTO ship VALUES (1, slug('Anna'));",
        ),
        ("1_ship.down.sql", ALL, "DROP TABLE ship;"),
        ("2_flag.up.sql", LATER, "ALTER TABLE ship ADD COLUMN flag text;"),
        ("2_flag.down.sql", LATER, "ALTER TABLE ship DROP COLUMN flag;"),
    ];
    with(Kind::Sqlite, "a function of the application's on SQLite", &files, |harbour, sql| {
        // As the application has made it.
        sql("CREATE TABLE ship (id integer PRIMARY KEY, name text)");
        sql("CREATE TABLE schema_migrations (version uint64, dirty bool)");
        sql("INSERT INTO schema_migrations VALUES (1, 0)");
        let upgrade = ["upgrade", "--to", "1.1.0", "--yes"];
        harbour.run(&upgrade).ended(3).explains(&[
            "no such function: slug",
            "from the application that registers it",
            "--unproven goes on without a proof",
        ]);
        harbour.run(&[&upgrade[..], &["--unproven"]].concat()).ended(0);
        assert_eq!(sql("SELECT count(flag) FROM ship"), ["0"]);
        harbour.run(&["rollback", "--to", "1.0.0", "--yes", "--unproven"]).ended(0);
        assert_eq!(sql("SELECT count(*) FROM ship"), ["0"]);
    });
}

/// A difference that whoever resumes accepts is known afterwards, as one from the start is.
#[test]
fn what_a_resume_accepts_is_known_afterwards_on_sqlite() {
    accepted_late(Kind::Sqlite, "accepted late on SQLite");
}

#[test]
fn what_a_resume_accepts_is_known_afterwards_on_mariadb() {
    accepted_late(Kind::MariaDb, "accepted late on MariaDB");
}

fn accepted_late(kind: Kind, test: &str) {
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_b.up.sql", LATER, "CREATE TABLE b (id integer PRIMARY KEY);"),
        ("2_b.down.sql", LATER, "DROP TABLE b;"),
    ];
    with(kind, test, &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
        let mut killed = harbour.machine.command(&["upgrade", "--to", "1.1.0", "--yes"]);
        harbour.of(&mut killed);
        killed.env("FAILPOINTS", "proof.begins");
        assert!(!killed.output().expect("a run").status.success());
        sql("ALTER TABLE b ADD COLUMN late integer");
        harbour
            .run(&["resume", "--yes"])
            .ended(4)
            .explains(&["column `late` of `b`", "--accept-difference"]);
        let accepted = ["resume", "--yes", "--accept-difference", "b.late"];
        harbour.run(&accepted).ended(0).says(&["accepted: column `late` of `b`"]);
        harbour.run(&["status"]).ended(0).says(&["known from before: column `late` of `b`"]);
    });
}

/// Large objects are beyond the archive: their removal is refused, or accepted by name, whatever calls what
/// takes them.
fn large_objects_are_refused() {
    let function = "CREATE TABLE file (id integer PRIMARY KEY, data oid);\n\
        CREATE FUNCTION tidy() RETURNS void LANGUAGE sql AS 'SELECT lo_unlink(data) FROM file';";
    let plain = "CREATE TABLE file (id integer PRIMARY KEY, data oid);";
    let bodies = [
        (plain, "SELECT lo_unlink(data) FROM file;\nDROP TABLE file;"),
        (plain, "SELECT pg_catalog.lo_unlink(data) FROM file;\nDROP TABLE file;"),
        (plain, "DO $$ BEGIN PERFORM lo_unlink(data) FROM file; END $$;\nDROP TABLE file;"),
        (function, "SELECT tidy();\nDROP FUNCTION tidy;\nDROP TABLE file;"),
    ];
    for (up, down) in bodies {
        let files: [(&str, &[&str], &str); 4] = [
            ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
            ("1_a.down.sql", ALL, "DROP TABLE a;"),
            ("2_file.up.sql", LATER, up),
            ("2_file.down.sql", LATER, down),
        ];
        with(Kind::PostgreSql, "large objects on PostgreSQL", &files, |harbour, sql| {
            harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
            sql("INSERT INTO file VALUES (1, lo_from_bytea(0, 'hello'))");
            harbour.run(&["rollback", "--to", "1.0.0", "--yes"]).ended(3).explains(&[
                "2_file.down.sql calls lo_unlink: the large objects that it takes are not kept",
                "--accept lo_unlink",
            ]);
            assert_eq!(sql("SELECT convert_from(lo_get(data), 'UTF8') FROM file"), ["hello"]);
            let accepted = ["rollback", "--to", "1.0.0", "--yes", "--accept", "lo_unlink"];
            harbour.run(&accepted).ended(0);
        });
    }
    // Nobody can foresee this; the run notices.
    let hidden = "DO $$ BEGIN EXECUTE 'SELECT lo_' || 'unlink(data) FROM file'; END $$;";
    let files: [(&str, &[&str], &str); 4] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY);"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
        ("2_file.up.sql", LATER, plain),
        ("2_file.down.sql", LATER, &format!("{hidden}\nDROP TABLE file;")),
    ];
    with(Kind::PostgreSql, "hidden large objects on PostgreSQL", &files, |harbour, sql| {
        harbour.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
        sql("INSERT INTO file VALUES (1, lo_from_bytea(0, 'hello'))");
        harbour
            .run(&["rollback", "--to", "1.0.0", "--yes"])
            .ended(3)
            .explains(&["it takes large objects, which the archive does not keep"]);
        harbour.run(&["abort", "--yes"]).ended(0);
        assert_eq!(sql("SELECT convert_from(lo_get(data), 'UTF8') FROM file"), ["hello"]);
    });
}

/// Tables take over the collation of their database, and so they do where it is rehearsed, whatever the
/// server there has.
#[test]
fn a_database_of_another_collation_is_no_drift_on_mariadb() {
    let files: [(&str, &[&str], &str); 2] = [
        ("1_a.up.sql", ALL, "CREATE TABLE a (id integer PRIMARY KEY, name varchar(20));"),
        ("1_a.down.sql", ALL, "DROP TABLE a;"),
    ];
    with(Kind::MariaDb, "a collation on MariaDB", &files, |harbour, sql| {
        sql("ALTER DATABASE COLLATE latin1_bin");
        let url = harbour.url();
        let (server, _) = url.rsplit_once('/').expect("a URL with a database");
        let server = format!("{server}/");
        harbour
            .run(&["upgrade", "--to", "1.0.0", "--yes", "--rehearsal", &server])
            .ended(0)
            .says(&["upgraded to 1.0.0; the schema is that of a clean install of core 1"]);
        harbour.run(&["status", "--rehearsal", &server]).ended(0).says(&["drift: none"]);
    });
}

/// One after the other: they are in one database, and its fingerprint has every schema.
#[test]
fn all_on_postgresql() {
    let _alone = alone();
    empty_down_half(Kind::PostgreSql, "an empty down half on PostgreSQL");
    lacking(Kind::PostgreSql, "a column that is lacking on PostgreSQL");
    what_a_down_half_adds(Kind::PostgreSql, "a down half that adds on PostgreSQL", INDEX);
    let constraint = (
        "ALTER TABLE a DROP CONSTRAINT IF EXISTS a_place;",
        "ALTER TABLE a ADD CONSTRAINT a_place UNIQUE (place);",
    );
    what_a_down_half_adds(Kind::PostgreSql, "a constraint that a down half adds", constraint);
    what_others_made_goes_with_consent_and_comes_again();
    let rule = "CREATE RULE swallow AS ON INSERT TO schema_migrations DO INSTEAD NOTHING";
    let undo = "DROP RULE swallow ON schema_migrations";
    swallowed_row(Kind::PostgreSql, "a swallowed row on PostgreSQL", &[rule], undo);
    accepted_late(Kind::PostgreSql, "accepted late on PostgreSQL");
    large_objects_are_refused();
}
