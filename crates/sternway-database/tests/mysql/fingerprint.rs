//! The fingerprint is the same in every database, and moved by every change that matters.

use sternway_database::port::prelude::*;
use sternway_model::catalog::Digest;

use crate::server::{Fresh, execute, fresh};
use crate::support::TABLE;

const SCHEMA: &str = "
CREATE TABLE parent (id int PRIMARY KEY AUTO_INCREMENT, name varchar(20) NOT NULL DEFAULT 'x',
    code int, total int AS (code * 2) STORED, at timestamp NULL, UNIQUE KEY u (name), KEY k (code),
    CONSTRAINT positive CHECK (code > 0));
CREATE TABLE child (id int PRIMARY KEY, parent int, n int CHECK (n < 9), txt text,
    CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE, FULLTEXT KEY f (txt));
CREATE TABLE parts (id int, y int) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (10));
CREATE VIEW v AS SELECT p.id, c.n FROM parent p JOIN child c ON c.parent = p.id;
CREATE PROCEDURE pr(IN a int) BEGIN SELECT a; END;
CREATE FUNCTION fn(a int) RETURNS int DETERMINISTIC RETURN a + 1;
CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.n = 1;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO DELETE FROM child;
CREATE SEQUENCE sq START WITH 1;";

async fn digest(fresh: &Fresh) -> Digest {
    let except = [TABLE.to_owned()];
    fresh.session().await.fingerprint(&except).await.expect("a fingerprint").digest()
}

#[tokio::test]
async fn the_same_schema_has_the_same_digest_in_databases_of_different_names() {
    let (Some(one), Some(two)) = (fresh().await, fresh().await) else { return };
    execute(&mut one.watch().await, SCHEMA).await;
    let mut other = two.watch().await;
    execute(&mut other, SCHEMA).await;
    let same = digest(&one).await;
    let (mut a, mut b) = (one.session().await, two.session().await);
    let found = [a.fingerprint(&[]).await.expect("one"), b.fingerprint(&[]).await.expect("two")];
    assert_eq!(found[0].objects, found[1].objects);
    for change in [
        "INSERT INTO parent (name, code) VALUES ('a', 1), ('b', 2)",
        "ALTER TABLE parent AUTO_INCREMENT = 500",
        "CREATE TABLE schema_migrations (version bigint, dirty boolean)",
        "ALTER TABLE parent COMMENT 'a comment', MODIFY at timestamp NULL COMMENT 'another'",
        "SELECT NEXT VALUE FOR sq",
        "ALTER TABLE parent MODIFY at timestamp NULL FIRST",
    ] {
        execute(&mut other, change).await;
        assert_eq!(digest(&two).await, same, "{change}");
    }
    b.prepare_records().await.expect("records");
    crate::server::run_up(&mut b, 1, "SELECT 1").await;
    execute(&mut other, "SET sql_mode = 'ANSI'").await;
    assert_eq!(digest(&two).await, same, "Sternway's own");
    let order = b.fingerprint(&[]).await.expect("two").column_order;
    assert_ne!(order, found[0].column_order, "the order is kept apart");
}

#[tokio::test]
async fn every_change_that_matters_moves_the_digest() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    execute(&mut watch, SCHEMA).await;
    let mut seen = vec![digest(&fresh).await];
    for change in [
        "ALTER TABLE parent ADD COLUMN extra int",
        "ALTER TABLE parent DROP COLUMN extra, MODIFY name varchar(30) NOT NULL DEFAULT 'x'",
        "ALTER TABLE parent MODIFY name varchar(30) DEFAULT 'x'",
        "ALTER TABLE parent MODIFY name varchar(30) DEFAULT 'y'",
        "ALTER TABLE parent MODIFY name varchar(30)",
        "ALTER TABLE parent MODIFY name varchar(30) COLLATE utf8mb4_bin",
        "ALTER TABLE parent DROP COLUMN total, ADD COLUMN total int AS (code * 3) STORED",
        "ALTER TABLE parent DROP COLUMN total, ADD COLUMN total int AS (code * 3) VIRTUAL",
        "ALTER TABLE parent MODIFY at timestamp NULL ON UPDATE CURRENT_TIMESTAMP",
        "ALTER TABLE parent MODIFY code int UNSIGNED",
        "ALTER TABLE parent DROP KEY u",
        "ALTER TABLE parent ADD UNIQUE KEY u (name(5))",
        "ALTER TABLE parent DROP KEY k",
        "ALTER TABLE parent ADD KEY k (code, name)",
        "ALTER TABLE parent ALTER INDEX k IGNORED",
        "ALTER TABLE parent DROP CONSTRAINT positive",
        "ALTER TABLE parent ADD CONSTRAINT positive CHECK (code > 1)",
        "ALTER TABLE parent DEFAULT COLLATE utf8mb4_unicode_ci",
        "ALTER TABLE child MODIFY n int CHECK (n < 8)",
        "ALTER TABLE child DROP FOREIGN KEY fk",
        "ALTER TABLE child ADD CONSTRAINT fk FOREIGN KEY (parent) REFERENCES parent (id)",
        "ALTER TABLE child DROP FOREIGN KEY fk, ADD CONSTRAINT fk2 FOREIGN KEY (parent) REFERENCES parent (id) ON UPDATE SET NULL",
        "ALTER TABLE child DROP KEY f",
        "ALTER TABLE child DROP PRIMARY KEY",
        "ALTER TABLE parts ADD PARTITION (PARTITION p1 VALUES LESS THAN (20))",
        "ALTER TABLE parts REMOVE PARTITIONING",
        "ALTER TABLE parts ENGINE = MyISAM",
        "CREATE OR REPLACE VIEW v AS SELECT p.id FROM parent p",
        "CREATE OR REPLACE SQL SECURITY INVOKER VIEW v AS SELECT p.id FROM parent p",
        "CREATE OR REPLACE PROCEDURE pr(IN a int) BEGIN SELECT a + 1; END",
        "CREATE OR REPLACE PROCEDURE pr(INOUT a int) BEGIN SELECT a + 1; END",
        "CREATE OR REPLACE FUNCTION fn(a int) RETURNS bigint DETERMINISTIC RETURN a + 1",
        "CREATE OR REPLACE FUNCTION fn(a int) RETURNS bigint RETURN a + 1",
        "CREATE OR REPLACE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW SET NEW.n = 2",
        "CREATE OR REPLACE TRIGGER tr BEFORE UPDATE ON child FOR EACH ROW SET NEW.n = 2",
        "ALTER EVENT ev ON SCHEDULE EVERY 2 DAY",
        "ALTER EVENT ev DISABLE",
        "CREATE OR REPLACE SEQUENCE sq START WITH 1 INCREMENT BY 2",
        "DROP TRIGGER tr",
        "DROP PROCEDURE pr",
        "DROP EVENT ev",
        "DROP SEQUENCE sq",
        "DROP VIEW v",
        "DROP TABLE child",
        "RENAME TABLE parts TO pieces",
        "CREATE TABLE more (id int)",
    ] {
        execute(&mut watch, change).await;
        let now = digest(&fresh).await;
        assert!(!seen.contains(&now), "{change}");
        seen.push(now);
    }
}
