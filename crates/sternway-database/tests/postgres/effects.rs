//! What a body makes, changes and destroys is named, whatever kind of object it is.

use sternway_database::Preservation;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_model::catalog::Direction;
use sternway_model::effect::Effects;

use crate::support::{self, everywhere, whole};

/// Runs a body as a rehearsal does, and tells what it changed.
async fn effects(session: &mut Postgres, body: &str) -> Effects {
    let care =
        Preservation { keep: false, each_lock: true, ..support::care("shop", 2, Direction::Down) };
    let done = support::careful(session, &care, body).await;
    let done = done.unwrap_or_else(|error| panic!("{body}: {}", whole(&error)));
    done.effects.expect("effects")
}

const START: &str = "
    CREATE TYPE mood AS ENUM ('calm');
    CREATE TABLE t (id int PRIMARY KEY, a text, m mood, old int);
    CREATE TABLE whole (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE part (id int, at date);
    CREATE VIEW v AS SELECT id FROM t;
    CREATE MATERIALIZED VIEW mv AS SELECT 1 AS one;
    CREATE SEQUENCE seq;
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION g(n int) RETURNS int LANGUAGE sql AS 'SELECT n';
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    CREATE POLICY pol ON t USING (true);
    CREATE INDEX i ON t (a);
    COMMENT ON COLUMN t.a IS 'what is said';
    GRANT SELECT ON t TO public;";

/// A body, and all that it creates, alters and destroys.
type Case =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    (
        "CREATE TABLE u (id int CHECK (id > 0)); CREATE INDEX j ON u (id)",
        &["column `id` of `u`", "constraint `u_id_check` of `u`", "index `j`", "table `u`"],
        &[],
        &[],
    ),
    ("ALTER TABLE t ADD COLUMN b int", &["column `b` of `t`"], &[], &[]),
    ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", &[], &["column `a` of `t`"], &[]),
    ("ALTER TABLE t DROP COLUMN old", &[], &[], &["column `old` of `t`"]),
    (
        "ALTER TABLE t ADD CONSTRAINT k UNIQUE (a); ALTER INDEX i RENAME TO i2",
        &["constraint `k` of `t`", "index `i2`", "index `k`"],
        &[],
        &["index `i`"],
    ),
    // What has another name is no loss.
    ("ALTER TABLE t RENAME COLUMN old TO new", &[], &["column `old` of `t`"], &[]),
    ("ALTER TABLE part RENAME TO piece", &[], &["table `part`"], &[]),
    ("ALTER SEQUENCE seq INCREMENT 2", &[], &["sequence `seq`"], &[]),
    (
        "DROP SEQUENCE seq; CREATE SEQUENCE another",
        &["sequence `another`"],
        &[],
        &["sequence `seq`"],
    ),
    ("CREATE OR REPLACE VIEW v AS SELECT id + 1 - 1 AS id FROM t", &[], &["view `v`"], &[]),
    (
        "DROP VIEW v; DROP MATERIALIZED VIEW mv; CREATE VIEW w AS SELECT 1 AS one",
        &["view `w`"],
        &[],
        &["materialized view `mv`", "view `v`"],
    ),
    (
        "CREATE OR REPLACE FUNCTION g(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1'; CREATE FUNCTION h() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        &["function `h()`"],
        &["function `g(n integer)`"],
        &[],
    ),
    ("DROP TRIGGER tr ON t; DROP FUNCTION f", &[], &[], &["function `f()`", "trigger `tr` of `t`"]),
    ("ALTER TABLE t DISABLE TRIGGER tr", &[], &["trigger `tr` of `t`"], &[]),
    ("ALTER TYPE mood ADD VALUE 'wild'", &["enum value `'wild'` of `mood`"], &["type `mood`"], &[]),
    (
        "ALTER TYPE mood RENAME VALUE 'calm' TO 'still'",
        &["enum value `'still'` of `mood`"],
        &["type `mood`"],
        &["enum value `'calm'` of `mood`"],
    ),
    (
        "CREATE TYPE pair AS (a int, b int); CREATE DOMAIN tiny AS int CHECK (VALUE < 9)",
        &["domain `tiny`", "type `pair`"],
        &[],
        &[],
    ),
    (
        "CREATE SCHEMA extra; CREATE TABLE extra.x ()",
        &["schema `extra`", "table `extra.x`"],
        &[],
        &[],
    ),
    (
        "CREATE POLICY other ON t FOR SELECT USING (true); ALTER POLICY pol ON t USING (false)",
        &["policy `other` of `t`"],
        &["policy `pol` of `t`"],
        &[],
    ),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", &[], &["table `t`"], &[]),
    (
        "GRANT INSERT ON t TO public; GRANT UPDATE (a) ON t TO public; REVOKE SELECT ON t FROM public",
        &["grant `INSERT to public` of `t`", "grant `UPDATE (a) to public` of `t`"],
        &[],
        &["grant `SELECT to public` of `t`"],
    ),
    (
        "REVOKE EXECUTE ON FUNCTION g FROM public",
        &["revoked default `EXECUTE from public` of `g(n integer)`"],
        &[],
        &[],
    ),
    (
        "COMMENT ON TABLE t IS 'words'; COMMENT ON COLUMN t.a IS 'others'",
        &["comment `t`"],
        &["comment `a` of `t`"],
        &[],
    ),
    ("COMMENT ON COLUMN t.a IS NULL", &[], &[], &["comment `a` of `t`"]),
    (
        "ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        &[],
        &["table `part`"],
        &[],
    ),
    (
        "CREATE TABLE heir () INHERITS (part); ALTER TABLE heir NO INHERIT part",
        &["column `at` of `heir`", "column `id` of `heir`", "table `heir`"],
        &[],
        &[],
    ),
    ("ALTER TABLE t SET (fillfactor = 70)", &["storage parameter `fillfactor` of `t`"], &[], &[]),
    ("CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING", &["rule `r` of `t`"], &[], &[]),
    ("CREATE STATISTICS st ON id, a FROM t", &["statistics `st`"], &[], &[]),
    // Outside a transaction as well.
    (
        "CREATE INDEX CONCURRENTLY c ON t (old); ALTER TABLE t RENAME COLUMN a TO z; COMMENT ON TABLE t IS 'x'",
        &["comment `t`", "index `c`"],
        &["column `a` of `t`", "comment `a` of `t`", "index `i`"],
        &[],
    ),
];

#[tokio::test]
async fn every_kind_of_object_is_named() {
    for (mut session, fresh) in everywhere().await {
        session.prepare_records().await.expect("records");
        for (body, created, altered, destroyed) in CASES {
            let clean = "DROP SCHEMA IF EXISTS extra CASCADE; DROP SCHEMA IF EXISTS app CASCADE;
                CREATE SCHEMA app; SET search_path TO app";
            session.execute(clean).await.expect("a schema");
            let _ = session.enter_schema("app").await;
            session.execute(START).await.unwrap_or_else(|error| panic!("{}", whole(&error)));
            let found = effects(&mut session, body).await;
            let names = |of: &std::collections::BTreeSet<_>| -> Vec<String> {
                let mut names: Vec<String> = of.iter().map(ToString::to_string).collect();
                names.sort();
                names
            };
            let place = if fresh.is_some() { "the server" } else { "the embedded one" };
            let found = (names(&found.created), names(&found.altered), names(&found.destroyed));
            let all = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
            let expected = (all(created), all(altered), all(destroyed));
            assert_eq!(found, expected, "{place}: {body}");
        }
    }
}
