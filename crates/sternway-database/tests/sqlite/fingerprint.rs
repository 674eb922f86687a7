//! SQLite's fingerprint: whatever changes what the schema is moves it, and nothing else does.

use sternway_database::dialect::connect;
use sternway_database::port::prelude::*;
use sternway_database::{Settings, Work};
use sternway_model::body::Mode;
use sternway_model::position::Position;
use sternway_model::proof::{Fingerprint, ObjectName};

use crate::support::TABLE;

const SCHEMA: &str = "
CREATE TABLE person (
    id INTEGER PRIMARY KEY,
    name VARCHAR(40) NOT NULL DEFAULT 'it''s' COLLATE NOCASE UNIQUE,
    born TEXT CHECK (born > '1900-01-01'),
    shout TEXT GENERATED ALWAYS AS (upper(name)) STORED,
    flag INTEGER DEFAULT 1
);
CREATE TABLE pet (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    person INTEGER REFERENCES person (id) ON DELETE CASCADE,
    name TEXT,
    fed REAL,
    CONSTRAINT once UNIQUE (person, name),
    CHECK (length(name) < 99)
);
CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE firm (a INTEGER NOT NULL) STRICT;
CREATE VIRTUAL TABLE note USING fts5(body);
CREATE INDEX pet_name ON pet (lower(name)) WHERE name IS NOT NULL;
CREATE UNIQUE INDEX pet_fed ON pet (fed DESC, name COLLATE NOCASE);
CREATE VIEW people AS SELECT id, name FROM person;
CREATE TRIGGER touch AFTER UPDATE ON pet WHEN new.fed > 1 BEGIN
    UPDATE person SET flag = CASE WHEN 1 THEN 2 END; DELETE FROM pair;
END;";

/// What is replaced in the schema, by what. Each changes what it is.
const MOVES: [(&str, &str); 49] = [
    ("CREATE TABLE pair (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;", ""),
    ("CREATE TABLE pair", "CREATE TABLE extra (a); CREATE TABLE pair"),
    ("CREATE TABLE firm", "CREATE TABLE solid"),
    ("WITHOUT ROWID", ""),
    ("STRICT", ""),
    ("PRIMARY KEY (a, b)", "PRIMARY KEY (b, a)"),
    ("PRIMARY KEY (a, b)", "PRIMARY KEY (a)"),
    (", flag INTEGER", ", other INTEGER"),
    ("VARCHAR(40)", "VARCHAR(41)"),
    ("VARCHAR(40)", "TEXT"),
    ("VARCHAR(40) NOT NULL", "VARCHAR(40)"),
    ("NOT NULL DEFAULT", "NOT NULL ON CONFLICT IGNORE DEFAULT"),
    ("'it''s'", "'its'"),
    ("'it''s'", "'It''s'"),
    ("DEFAULT 'it''s'", ""),
    ("COLLATE NOCASE UNIQUE", "UNIQUE"),
    ("COLLATE NOCASE UNIQUE", "COLLATE RTRIM UNIQUE"),
    ("COLLATE NOCASE UNIQUE", "COLLATE NOCASE"),
    ("COLLATE NOCASE UNIQUE", "COLLATE NOCASE UNIQUE ON CONFLICT REPLACE"),
    ("TEXT CHECK (born > '1900-01-01')", "TEXT"),
    ("'1900-01-01'", "'1901-01-01'"),
    ("(upper(name))", "(lower(name))"),
    ("STORED", "VIRTUAL"),
    ("GENERATED ALWAYS AS (upper(name)) STORED", ""),
    ("flag INTEGER DEFAULT 1", "flag INTEGER DEFAULT -1"),
    ("flag INTEGER DEFAULT 1", "flag INTEGER DEFAULT '1'"),
    ("flag INTEGER DEFAULT 1", "flag INTEGER DEFAULT 1, extra"),
    (" AUTOINCREMENT", ""),
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "INT PRIMARY KEY"),
    ("REFERENCES person (id) ON DELETE CASCADE", ""),
    ("ON DELETE CASCADE", ""),
    ("ON DELETE CASCADE", "ON UPDATE CASCADE"),
    ("ON DELETE CASCADE", "ON DELETE SET NULL"),
    ("ON DELETE CASCADE", "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"),
    ("person (id) ON", "pet (id) ON"),
    ("CONSTRAINT once UNIQUE", "CONSTRAINT twice UNIQUE"),
    ("(person, name),", "(person, fed),"),
    ("CHECK (length(name) < 99)", "CHECK (length(name) < 98)"),
    ("fts5(body)", "fts5(body, title)"),
    ("lower(name)", "upper(name)"),
    (" WHERE name IS NOT NULL", ""),
    ("UNIQUE INDEX", "INDEX"),
    ("fed DESC", "fed"),
    ("name COLLATE NOCASE)", "name)"),
    ("INDEX pet_name ON pet", "INDEX pet_named ON pet"),
    ("SELECT id, name FROM person", "SELECT id FROM person"),
    ("AFTER UPDATE ON pet", "BEFORE UPDATE ON pet"),
    ("new.fed > 1", "new.fed > 2"),
    ("DELETE FROM pair", "DELETE FROM firm"),
];

/// What is replaced in the schema, by what. None changes what it is.
const LEAVES: [(&str, &str); 20] = [
    ("CREATE TABLE person (", "create  table\n\"person\"( -- a person\n"),
    ("VARCHAR(40) NOT NULL", "varchar ( 40 ) /* long */ not null"),
    ("id INTEGER PRIMARY KEY,", "[id] Integer PRIMARY KEY ASC,"),
    ("NOT NULL DEFAULT 'it''s'", "DEFAULT \"it's\" NOT NULL"),
    ("DEFAULT 'it''s' COLLATE NOCASE UNIQUE", "UNIQUE COLLATE nocase DEFAULT ('it''s')"),
    ("flag INTEGER DEFAULT 1", "flag INTEGER NULL DEFAULT (1)"),
    ("STORED,", "STORED,/* */"),
    ("GENERATED ALWAYS AS (upper(name))", "AS (UPPER( \"name\" ))"),
    (
        "REFERENCES person (id) ON DELETE CASCADE",
        "REFERENCES `Person`(id) ON UPDATE NO ACTION ON DELETE CASCADE",
    ),
    ("CASCADE,", "CASCADE NOT DEFERRABLE,"),
    ("(person, name),", "(person ASC, name) ON CONFLICT ABORT"),
    ("CHECK (length(name) < 99)", "CHECK(length([name])<99)"),
    ("born TEXT CHECK (born > '1900-01-01')", "born TEXT"),
    ("SELECT id, name FROM person", "select ID,\n name from \"person\""),
    ("CREATE VIEW people", "CREATE TEMP TABLE gone (x); CREATE VIEW IF NOT EXISTS people"),
    ("DELETE FROM pair;", "DELETE FROM [pair] ; -- all\n"),
    ("ON pet (lower(name))", "ON \"pet\"(lower( name ))"),
    (
        "CREATE TABLE firm",
        "CREATE TABLE schema_migrations (version uint64,dirty bool); CREATE UNIQUE INDEX unique_again ON schema_migrations (version); CREATE TABLE firm",
    ),
    (
        "CREATE TABLE firm (a INTEGER NOT NULL) STRICT;",
        "CREATE TABLE solid (a INTEGER NOT NULL) STRICT; INSERT INTO solid VALUES (1); ALTER TABLE solid RENAME TO firm; ANALYZE;",
    ),
    ("CREATE VIEW", "INSERT INTO note VALUES ('a'); CREATE VIEW"),
];

async fn run(session: &mut Box<dyn Database>, sql: &str) {
    let (table, file, settings) = ("other", "1_a.up.sql", Settings::Reset);
    let (from, to, mode) = (Position::Nothing, Position::Nothing, &Mode::Transaction);
    let work = Work {
        table,
        from,
        to,
        file,
        body: sql,
        mode,
        journal: None,
        settings,
        durable: true,
        first: 1,
        closed_by: &[],
        undoing: false,
        dirty: false,
    };
    session.migrate(&work).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn fingerprint(sql: &str) -> Fingerprint {
    let mut session = connect("sqlite3://:memory:", None).await.expect("a session");
    run(&mut session, sql).await;
    let except = [TABLE.to_owned(), "other".to_owned()];
    session.fingerprint(&except).await.expect("a fingerprint")
}

fn replaced(from: &str, to: &str) -> String {
    // The schema in one line, so that what is looked for may cross lines.
    let schema = SCHEMA.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(schema.contains(from), "{from}");
    schema.replacen(from, to, 1)
}

#[tokio::test]
async fn each_change_moves_it() {
    let before = fingerprint(SCHEMA).await.digest();
    let mut missed = Vec::new();
    for (from, to) in MOVES {
        if fingerprint(&replaced(from, to)).await.digest() == before {
            missed.push((from, to));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), MOVES.len());
}

#[tokio::test]
async fn how_it_is_written_leaves_it() {
    let before = fingerprint(SCHEMA).await;
    for (from, to) in LEAVES {
        let sql = match from {
            // A constraint beside its column is the same below them all.
            "born TEXT CHECK (born > '1900-01-01')" => replaced(from, to).replacen(
                "DEFAULT 1 )",
                "DEFAULT 1, CHECK (born > '1900-01-01'))",
                1,
            ),
            _ => replaced(from, to),
        };
        assert_eq!(fingerprint(&sql).await.objects, before.objects, "{from} -> {to}");
    }
}

#[tokio::test]
async fn constraints_are_the_same_beside_their_column_and_below_them_all() {
    let beside = "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT, y TEXT UNIQUE REFERENCES a (x) CHECK (y > 1))";
    let below = "CREATE TABLE a (x INTEGER, y TEXT, CHECK (y > 1) FOREIGN KEY (y) REFERENCES a (x), UNIQUE (y), PRIMARY KEY (x AUTOINCREMENT))";
    let (beside, below) = (fingerprint(beside).await, fingerprint(below).await);
    let names = |it: &Fingerprint| it.objects.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&beside), names(&below));
    assert_eq!(
        names(&beside),
        [
            "column `x` of `a`",
            "column `y` of `a`",
            "constraint `check (y > 1)` of `a`",
            "constraint `foreign key (y) references a` of `a`",
            "constraint `primary key` of `a`",
            "constraint `unique (y)` of `a`",
            "table `a`",
        ]
    );
}

#[tokio::test]
async fn the_order_of_columns_is_kept_apart() {
    let one = fingerprint("CREATE TABLE t (a INT, b INT)").await;
    let two = fingerprint("CREATE TABLE t (b INT, a INT)").await;
    assert_eq!(one.objects, two.objects);
    let table = ObjectName::new("table", "t");
    assert_eq!(one.column_order[&table], ["a", "b"]);
    assert_eq!(two.column_order[&table], ["b", "a"]);
}

#[tokio::test]
async fn there_and_back_is_the_same() {
    let mut session = connect("sqlite3://:memory:", None).await.expect("a session");
    run(&mut session, SCHEMA).await;
    let before = session.fingerprint(&[]).await.expect("a fingerprint");
    for (up, down) in [
        ("ALTER TABLE pet ADD COLUMN z INT DEFAULT 3", "ALTER TABLE pet DROP COLUMN z"),
        ("ALTER TABLE pet RENAME TO beast", "ALTER TABLE beast RENAME TO pet"),
        ("ALTER TABLE pet RENAME fed TO fat", "ALTER TABLE pet RENAME COLUMN fat TO \"fed\""),
        ("DROP VIEW people", "CREATE VIEW people AS\nSELECT id,name FROM person"),
    ] {
        run(&mut session, up).await;
        let there = session.fingerprint(&[]).await.expect("a fingerprint");
        assert_ne!(there.digest(), before.digest(), "{up}");
        run(&mut session, down).await;
        let back = session.fingerprint(&[]).await.expect("a fingerprint");
        assert_eq!(back.objects, before.objects, "{down}");
    }
}
