//! What is dropped, and what stands in the way.

use super::case::{ALL, Case, MARIADB, POSTGRESQL, case, exits};

pub fn cases() -> Vec<Case> {
    let drop = |name: &str, kinds, sql: &str| {
        case(format!("drop: {name}"), kinds).reference().after("goto 4").sql(sql).run("drop -f")
    };
    vec![
        drop("a table of somebody else", ALL, "CREATE TABLE theirs (x int)"),
        drop("a view", ALL, "CREATE VIEW v AS SELECT 1 AS x"),
        drop("a view of a table", ALL, "CREATE VIEW v AS SELECT x FROM t1"),
        drop(
            "a table that others refer to",
            ALL,
            "CREATE TABLE p (x int PRIMARY KEY); CREATE TABLE q (x int, FOREIGN KEY (x) REFERENCES p (x))",
        ),
        drop("an odd name", POSTGRESQL, "CREATE TABLE \"a b\" (x int); CREATE TABLE \"C\" (x int)"),
        drop("an odd name on MariaDB", MARIADB, "CREATE TABLE `a b` (x int)"),
        drop(
            "a sequence, a type and a function",
            POSTGRESQL,
            "CREATE SEQUENCE s; CREATE TYPE mood AS ENUM ('a'); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        drop("a materialized view", POSTGRESQL, "CREATE MATERIALIZED VIEW w AS SELECT 1 AS x"),
        drop(
            "a partitioned table",
            POSTGRESQL,
            "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        ),
        drop(
            "a table of another schema",
            POSTGRESQL,
            "CREATE SCHEMA {db}_x; CREATE TABLE {db}_x.t (x int)",
        ),
        drop("a procedure", MARIADB, "CREATE PROCEDURE p() SELECT 1"),
        drop("what is dirty", ALL, "UPDATE schema_migrations SET dirty = true"),
        drop("again", ALL, "DROP TABLE t1"),
        case("drop: nothing", ALL).run("drop -f"),
        case("drop: a fresh database and up again", ALL)
            .reference()
            .after("up")
            .after("drop -f")
            .run("up"),
        case("drop: twice", ALL).reference().after("up").after("drop -f").run("drop -f"),
        case("drop: then version", ALL)
            .reference()
            .after("up")
            .after("drop -f")
            .run("version")
            .differs("D3", exits(1).at("none"), exits(1).at("absent")),
    ]
}
