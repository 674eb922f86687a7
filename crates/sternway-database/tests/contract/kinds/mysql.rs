//! The kinds of objects that a column depends on in MariaDB.

use super::{DEFAULTS, Kind, NOTHING, NUMBERS, TEXTS};

/// A sequence of its own is refused, and what a table with triggers has lost waits in the archive: other tests
/// see to these.
pub const MYSQL: &[Kind] = &[
    ("virtual column", "", "INT AS (id + 1) VIRTUAL", "", DEFAULTS, NOTHING),
    (
        "virtual column in an index",
        "",
        "INT AS (id + 1) VIRTUAL",
        "CREATE INDEX i ON t (v)",
        DEFAULTS,
        NOTHING,
    ),
    ("stored column", "", "INT AS (id + 1) STORED", "", DEFAULTS, NOTHING),
    ("default that is computed", "", "INT DEFAULT (1 + 1)", "", ["7", "DEFAULT", "NULL"], NOTHING),
    ("check", "", "INT CHECK (v > 0)", "", NUMBERS, NOTHING),
    (
        "table that is referred to",
        "CREATE TABLE k (id INT PRIMARY KEY); INSERT INTO k VALUES (1), (2)",
        "INT REFERENCES k (id)",
        "",
        NUMBERS,
        "DROP TABLE k",
    ),
    (
        "spatial index",
        "",
        "POINT NOT NULL",
        "CREATE SPATIAL INDEX i ON t (v)",
        ["POINT(1, 2)", "POINT(0, 0)", "POINT(3, 4)"],
        NOTHING,
    ),
    ("full text", "", "TEXT", "CREATE FULLTEXT INDEX i ON t (v)", TEXTS, NOTHING),
    ("view", "", "VARCHAR(9)", "CREATE VIEW k AS SELECT v FROM t", TEXTS, "DROP VIEW k"),
    (
        "trigger of another table",
        "CREATE TABLE k (id INT)",
        "VARCHAR(9)",
        "CREATE TRIGGER g AFTER INSERT ON k FOR EACH ROW UPDATE t SET v = 'x'",
        TEXTS,
        "DROP TABLE k",
    ),
    (
        "numbers that it gives",
        "",
        "INT NOT NULL UNIQUE AUTO_INCREMENT",
        "",
        ["7", "8", "9"],
        NOTHING,
    ),
    ("enum", "", "ENUM('a', 'b')", "", TEXTS, NOTHING),
    (
        "set of characters",
        "",
        "VARCHAR(9) CHARACTER SET latin1 COLLATE latin1_german1_ci",
        "",
        TEXTS,
        NOTHING,
    ),
    ("JSON", "", "JSON", "", ["'{\"a\": 1}'", "'[]'", "NULL"], NOTHING),
    ("compressed", "", "TEXT COMPRESSED", "", TEXTS, NOTHING),
    ("invisible", "", "INT INVISIBLE", "", NUMBERS, NOTHING),
    (
        "parts",
        "",
        "CREATE TABLE t (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 2",
        "",
        NUMBERS,
        NOTHING,
    ),
];
