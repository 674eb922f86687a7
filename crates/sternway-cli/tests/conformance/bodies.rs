//! What a file may hold, and how it fails.

use super::case::{ALL, Case, MARIADB, POSTGRESQL, SQLITE, case, exits};

pub fn cases() -> Vec<Case> {
    let mut cases = odd();
    cases.extend(failing());
    cases.extend(postgresql());
    cases.extend(several());
    cases.extend(mariadb());
    cases.extend(sqlite());
    cases
}

fn body(name: &str, kinds: &'static [super::Kind], body: &str) -> Case {
    case(format!("body: {name}"), kinds)
        .file("1_a.up.sql", "CREATE TABLE a (x int)")
        .file("2_b.up.sql", body)
        .file("3_c.up.sql", "CREATE TABLE c (x int)")
}

fn odd() -> Vec<Case> {
    const BUT_MARIADB: &[super::Kind] = &[super::Kind::PostgreSql, super::Kind::Sqlite];
    let mut cases = vec![
        body("empty", BUT_MARIADB, ""),
        body("blanks", BUT_MARIADB, " \n\t\r\n"),
        body("a comment", ALL, "-- nothing\n"),
        body("a long comment", ALL, "/* nothing\n at all */"),
        body("a byte order mark", POSTGRESQL, "\u{feff}CREATE TABLE b (x int)").differs(
            "D29",
            exits(1).says("syntax error").at("2 dirty").tables("a"),
            exits(0).says("3/u c").at("3").tables("a b c"),
        ),
        body("two statements", ALL, "CREATE TABLE b (x int); INSERT INTO b VALUES (1);"),
        body(
            "a semicolon in a text",
            ALL,
            "CREATE TABLE b (x varchar(9)); INSERT INTO b VALUES ('a;b')",
        ),
        body("carriage returns", ALL, "CREATE TABLE b (x int);\r\nINSERT INTO b VALUES (1);\r\n"),
        body(
            "letters that are not ASCII",
            ALL,
            "CREATE TABLE b (x varchar(9)); INSERT INTO b VALUES ('é→')",
        ),
        body(
            "no end of the last statement",
            ALL,
            "CREATE TABLE b (x int);\nINSERT INTO b VALUES (1)",
        ),
        body("a comment at the end", ALL, "CREATE TABLE b (x int);\n-- that is all\n"),
        body("a comment without a line's end", ALL, "CREATE TABLE b (x int);\n-- that is all"),
        body("a query", ALL, "SELECT 1;"),
        body("a query and more", ALL, "SELECT x FROM a; CREATE TABLE b (x int)"),
        body(
            "a large one",
            ALL,
            &format!("CREATE TABLE b (x int);\n{}", "-- words\n".repeat(20_000)),
        ),
        body("its tracking table is gone", ALL, "DROP TABLE schema_migrations")
            .taken_back("absent", "1"),
        body("a view", ALL, "CREATE VIEW b AS SELECT x FROM a"),
        body("the tracking row", ALL, "UPDATE schema_migrations SET version = 9"),
        body(
            "question marks and dollars",
            ALL,
            "CREATE TABLE b (x varchar(9)); INSERT INTO b VALUES ('?$1:a')",
        ),
        body("a backslash", ALL, "CREATE TABLE b (x varchar(9)); INSERT INTO b VALUES ('a\\\\b')"),
    ];
    for (name, text) in [("empty", ""), ("blanks", " \n\t\n")] {
        let case = body(&format!("{name} on MariaDB"), MARIADB, text);
        cases.push(case.differs(
            "D15",
            exits(1).says("Error 1065").at("2 dirty").tables("a"),
            exits(0).says("3/u c").at("3").tables("a c"),
        ));
    }
    cases
}

fn failing() -> Vec<Case> {
    let fails = |name: &str, text: &str| body(name, ALL, text).taken_back("2 dirty", "1");
    let mut cases = vec![
        fails("the first statement fails", "SELECT * FROM nowhere; CREATE TABLE b (x int)"),
        fails("the second statement fails", "CREATE TABLE b (x int); SELECT * FROM nowhere"),
        fails(
            "the middle fails",
            "CREATE TABLE b (x int);\nINSERT INTO b VALUES (1);\nINSERT INTO nowhere VALUES (2);\n\
             INSERT INTO b VALUES (3);\n",
        ),
        fails("a word is misspelt", "CREATE TABLEE b (x int)"),
        fails("a word is misspelt in line 3", "SELECT 1;\n\nCREATE TABLEE b (x int)"),
        fails("a table is there already", "CREATE TABLE a (x int)"),
        fails(
            "a key is there already",
            "CREATE TABLE b (x int PRIMARY KEY); INSERT INTO b VALUES (1); INSERT INTO b VALUES (1)",
        ),
        fails("a column is missing", "INSERT INTO a (y) VALUES (1)"),
        refused("an unfinished text", ALL, "INSERT INTO a VALUES ('x"),
        fails("words", "this is no SQL"),
        fails(
            "carriage returns before a mistake",
            "SELECT 1;\r\nSELECT 2;\r\nCREATE TABLEE b (x int)",
        ),
    ];
    for command in ["up", "up 1", "up 2", "up 3", "goto 2", "goto 3"] {
        let name = format!("a failing one, {command}");
        let text = "SELECT * FROM nowhere";
        cases.push(match command {
            "up 1" => body(&name, ALL, text).run(command),
            _ => fails(&name, text).run(command),
        });
    }
    cases
}

/// A body that can be seen beforehand not to run.
fn refused(name: &str, kinds: &'static [super::Kind], text: &str) -> Case {
    body(name, kinds, text).differs(
        "D26",
        exits(1).says("1/u a").at("2 dirty").tables("a"),
        exits(1).says("error: `2_b.up.sql` cannot be run: ").lacks("1/u a").at("none").tables(""),
    )
}

/// A body that golang-migrate has to run whole, and cannot.
fn apart(name: &str, kinds: &'static [super::Kind], text: &str, tables: &str) -> Case {
    body(name, kinds, text).differs(
        "D27",
        exits(1).says("transaction").at("2 dirty").tables("a"),
        exits(0).says("3/u c").at("3").tables(tables),
    )
}

fn postgresql() -> Vec<Case> {
    let on = |name: &str, text: &str| body(name, POSTGRESQL, text);
    vec![
        on("a transaction of its own", "BEGIN; CREATE TABLE b (x int); COMMIT;"),
        on("a transaction in lower case", "begin;\ncreate table b (x int);\ncommit;\n"),
        on(
            "two transactions",
            "BEGIN; CREATE TABLE b (x int); COMMIT; BEGIN; CREATE TABLE d (x int); COMMIT;",
        ),
        on("a rollback", "BEGIN; CREATE TABLE b (x int); ROLLBACK;"),
        on(
            "a failing transaction",
            "BEGIN; CREATE TABLE b (x int); SELECT * FROM nowhere; COMMIT;",
        )
        .differs(
            "D25",
            exits(1).says("pq: current transaction is aborted").at("2 dirty"),
            exits(1)
                .says("migration failed: relation \"nowhere\" does not exist")
                .lacks("current transaction is aborted")
                .at("1"),
        ),
        on(
            "a failing transaction between settings",
            "SET statement_timeout = 60000; START TRANSACTION; CREATE TABLE b (x int); SELECT 1/0; \
             END; RESET statement_timeout",
        )
        .differs(
            "D25",
            exits(1).says("division by zero").at("2 dirty"),
            exits(1).says("division by zero").at("1"),
        ),
        on(
            "a failing transaction with a level of its own",
            "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE b (x int); SELECT 1/0; COMMIT",
        )
        .differs(
            "D25",
            exits(1).says("division by zero").at("2 dirty"),
            exits(1).says("division by zero").at("1"),
        ),
        on(
            "the second of two transactions fails",
            "BEGIN; CREATE TABLE b (x int); COMMIT; BEGIN; CREATE TABLE d (x int); SELECT 1/0; COMMIT",
        )
        .differs(
            "D8",
            exits(1).says("pq: current transaction is aborted").at("2 dirty"),
            exits(1)
                .says("division by zero")
                .lacks("current transaction is aborted")
                .says("what came before statement 4")
                .at("2 dirty"),
        ),
        refused("a transaction without an end", POSTGRESQL, "BEGIN; CREATE TABLE b (x int);"),
        on("an index concurrently", "CREATE INDEX CONCURRENTLY ai ON a (x)"),
        apart(
            "an index concurrently, and another statement",
            POSTGRESQL,
            "CREATE TABLE b (x int); CREATE INDEX CONCURRENTLY ai ON a (x)",
            "a b c",
        ),
        apart(
            "two indexes concurrently",
            POSTGRESQL,
            "CREATE INDEX CONCURRENTLY ai ON a (x); CREATE INDEX CONCURRENTLY aj ON a (x)",
            "a c",
        ),
        on(
            "an index that is there and invalid",
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ai ON a (x)",
        )
        .after("up 1")
        .sql("CREATE UNIQUE INDEX ai ON a (x); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ai'::regclass")
        .differs(
            "D36",
            exits(0).says("2/u b").at("3").tables("a c"),
            exits(1).says("ai is there already, and invalid").at("2 dirty").tables("a"),
        ),
        on(
            "an index concurrently, and a comment",
            "-- slow\nCREATE INDEX CONCURRENTLY ai ON a (x);\n-- end\n",
        ),
        on(
            "a function",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$",
        ),
        on("a block", "DO $$ BEGIN CREATE TABLE b (x int); END $$;"),
        on("a notice", "DO $$ BEGIN RAISE NOTICE 'hello'; END $$;"),
        on(
            "a raised error",
            "DO $$ BEGIN RAISE EXCEPTION 'no %', 1 USING DETAIL = 'a detail'; END $$;",
        )
        .taken_back("2 dirty", "1"),
        on("a type", "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE b (x mood)"),
        on(
            "another search path",
            "CREATE SCHEMA {db}_x; SET search_path = {db}_x; CREATE TABLE b (x int)",
        ),
        on(
            "another search path, for the statement",
            "CREATE SCHEMA {db}_x; CREATE TABLE {db}_x.b (x int)",
        ),
        on("an empty search path", "SELECT pg_catalog.set_config('search_path', '', false)")
            .taken_back("3 dirty", "2"),
        refused("copy from the input", POSTGRESQL, "COPY a FROM STDIN;\n1\n\\.\n"),
        refused("a command of psql", POSTGRESQL, "\\set x 1\nCREATE TABLE b (x int)"),
        on("a null byte", "CREATE TABLE b (x int);\u{0}").taken_back("2 dirty", "1"),
        on("a vacuum", "VACUUM a"),
        apart(
            "a vacuum and another statement",
            POSTGRESQL,
            "VACUUM a; CREATE TABLE b (x int)",
            "a b c",
        ),
        on("a setting that lasts", "SET statement_timeout = 60000"),
        on("a role", "SET ROLE pg_read_all_data").differs(
            "D31",
            exits(1).says("permission denied for table schema_migrations").at("2 dirty"),
            exits(1).says("2/u b").says("permission denied for schema").at("2"),
        ),
        on("a lock of its own", "SELECT pg_advisory_lock(1)"),
        on("a savepoint", "BEGIN; SAVEPOINT s; CREATE TABLE b (x int); ROLLBACK TO s; COMMIT"),
        on("a broken encoding", "SELECT '\u{fffd}'"),
        on("a prepared statement", "PREPARE p AS SELECT 1; EXECUTE p"),
        on(
            "a deferred key that fails at the end",
            "CREATE TABLE b (x int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
            INSERT INTO b VALUES (1); INSERT INTO b VALUES (1)",
        )
        .taken_back("2 dirty", "1"),
    ]
}

/// `x-multi-statement`: a piece at a time, outside any transaction.
fn several() -> Vec<Case> {
    let on = |name: &str, text: &str| {
        body(&format!("in pieces, {name}"), POSTGRESQL, text).parameters("x-multi-statement=true")
    };
    vec![
        on("two statements", "CREATE TABLE b (x int); INSERT INTO b VALUES (1);"),
        on("no end of the last", "CREATE TABLE b (x int); INSERT INTO b VALUES (1)"),
        on("empty", ""),
        on("a comment", "-- nothing"),
        on("empty pieces", ";; CREATE TABLE b (x int);\n\n; ;"),
        on(
            "an index concurrently",
            "CREATE TABLE b (x int); CREATE INDEX CONCURRENTLY bi ON b (x);",
        ),
        on(
            "the second fails",
            "CREATE TABLE b (x int); SELECT * FROM nowhere; CREATE TABLE d (x int)",
        ),
        on("a transaction", "BEGIN; CREATE TABLE b (x int); COMMIT;"),
        on("a failing transaction", "BEGIN; CREATE TABLE b (x int); SELECT 1/0; COMMIT;").differs(
            "D25",
            exits(1).says("division by zero").at("2 dirty"),
            exits(1).says("division by zero").at("1"),
        ),
        on("a small size", "CREATE TABLE b (x int); SELECT 1;")
            .parameters("x-multi-statement=true&x-multi-statement-max-size=10"),
        on("a size of nothing", "CREATE TABLE b (x int); SELECT 1;")
            .parameters("x-multi-statement=true&x-multi-statement-max-size=0"),
        on("a semicolon in a text", "CREATE TABLE b (x text); INSERT INTO b VALUES ('a;b');")
            .differs(
                "D9",
                exits(1).says("migration failed").at("2 dirty"),
                exits(0).says("3/u c").at("3").tables("a b c"),
            ),
        on(
            "a function",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;",
        )
        .differs(
            "D9",
            exits(1).at("2 dirty"),
            exits(0).says("3/u c").at("3").tables("a c"),
        ),
        on("a semicolon in a comment", "CREATE TABLE b (x int) -- one; two\n;").differs(
            "D9",
            exits(1).at("2 dirty").tables("a b"),
            exits(0).says("3/u c").at("3").tables("a b c"),
        ),
    ]
}

fn mariadb() -> Vec<Case> {
    let on = |name: &str, text: &str| body(name, MARIADB, text);
    let left_open = |name: &str, text: &str| {
        on(name, text).differs(
            "D32",
            exits(1).says("transaction start failed").at("2 dirty").tables("a"),
            exits(0).says("3/u c").at("3").tables("a c"),
        )
    };
    vec![
        on("a procedure", "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"),
        refused(
            "a delimiter",
            MARIADB,
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END //\nDELIMITER ;",
        ),
        on(
            "what came before a failure stays",
            "CREATE TABLE b (x int); INSERT INTO b VALUES (1); SELECT * FROM nowhere",
        ),
        on("a transaction", "START TRANSACTION; INSERT INTO a VALUES (1); COMMIT"),
        left_open("a transaction without an end", "START TRANSACTION; INSERT INTO a VALUES (1)"),
        on(
            "a failing transaction",
            "START TRANSACTION; INSERT INTO a VALUES (1); SELECT * FROM nowhere; COMMIT",
        ),
        on("a number sign", "# nothing\nCREATE TABLE b (x int)"),
        on("a conditional comment", "/*!40101 SET NAMES utf8mb4 */; CREATE TABLE b (x int)"),
        on("backslashes that mean themselves", "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE TABLE b (x char(9)); INSERT INTO b VALUES ('c:\\'); INSERT INTO b VALUES ('x;y')"),
        on("another database is left behind", "CREATE TABLE b (x int); USE information_schema").differs(
            "D35",
            exits(1).at("2 dirty").tables("a b"),
            exits(1)
                .says("2_b.up.sql: it ran, and leaves the session in the database `information_schema`")
                .at("2 dirty")
                .tables("a b"),
        ),
        on("another database is used for a while", "USE information_schema; SELECT 1; USE {db}; CREATE TABLE b (x int)"),
        on("quotes of ANSI", "SET sql_mode = 'ANSI_QUOTES'; CREATE TABLE \"b\" (x int)"),
        on("another database", "CREATE TABLE {db}.b (x int)"),
        on("a variable", "SET @x = 7; INSERT INTO a VALUES (@x)"),
        on("a trigger", "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.x = 1"),
        on("names are renamed", "RENAME TABLE a TO b"),
        on("a byte order mark on MariaDB", "\u{feff}CREATE TABLE b (x int)").differs(
            "D29",
            exits(1).says("Error 1064").at("2 dirty").tables("a"),
            exits(0).says("3/u c").at("3").tables("a b c"),
        ),
        left_open("no autocommit", "SET autocommit = 0; INSERT INTO a VALUES (1)"),
    ]
}

fn sqlite() -> Vec<Case> {
    let on = |name: &str, text: &str| body(name, SQLITE, text);
    let bare = |name: &str, text: &str| {
        on(&format!("without a transaction, {name}"), text).parameters("x-no-tx-wrap=true")
    };
    vec![
        apart(
            "a transaction of its own",
            SQLITE,
            "BEGIN; CREATE TABLE b (x int); COMMIT;",
            "a b c",
        ),
        on(
            "a trigger",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END; INSERT INTO a VALUES (1)",
        ),
        apart("a vacuum", SQLITE, "VACUUM", "a c"),
        on("a pragma", "PRAGMA foreign_keys = ON"),
        on(
            "foreign keys are off",
            "PRAGMA foreign_keys; CREATE TABLE b (x int REFERENCES nowhere(x)); INSERT INTO b VALUES (1)",
        ),
        on(
            "a failing one leaves nothing",
            "CREATE TABLE b (x int); INSERT INTO nowhere VALUES (1)",
        )
        .taken_back("2 dirty", "1"),
        refused("a rollback", SQLITE, "CREATE TABLE b (x int); ROLLBACK"),
        body("a commit", SQLITE, "CREATE TABLE b (x int); COMMIT").differs(
            "D26",
            exits(1).says("1/u a").at("2 dirty").tables("a b"),
            exits(1).says("cannot be run: ").lacks("1/u a").at("none").tables(""),
        ),
        on(
            "a number by itself",
            "CREATE TABLE b (x INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO b DEFAULT VALUES",
        ),
        bare("plain", "CREATE TABLE b (x int); INSERT INTO b VALUES (1)"),
        bare("empty", ""),
        bare("a transaction of its own", "BEGIN; CREATE TABLE b (x int); COMMIT;"),
        bare(
            "a failing one leaves a part",
            "CREATE TABLE b (x int); INSERT INTO nowhere VALUES (1)",
        ),
        bare("a vacuum", "VACUUM"),
        bare("a transaction without an end", "BEGIN; CREATE TABLE b (x int)").differs(
            "D26",
            // The file of SQLite's journal is there as well.
            exits(1).says("transaction start failed").at("2 dirty").files(&["db.sqlite-journal"]),
            exits(1).says("cannot be run: ").at("none").tables("").no_files(&["db.sqlite-journal"]),
        ),
    ]
}
