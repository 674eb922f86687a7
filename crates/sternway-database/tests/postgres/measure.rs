//! How much there is to lose, asked of a database in use.

use std::time::{Duration, Instant};

use sternway_database::port::prelude::*;
use sternway_model::effect::{Loss, Lost};

use crate::support::{execute, fresh, session};

fn loss(lost: Lost) -> Loss {
    Loss { lost, rows: None, bytes: None, estimated: false }
}

fn table(table: &str) -> Loss {
    loss(Lost::Table { table: table.to_owned() })
}

fn column(table: &str, column: &str) -> Loss {
    loss(Lost::Column { table: table.to_owned(), column: column.to_owned() })
}

fn rows(table: &str) -> Loss {
    loss(Lost::Rows { table: table.to_owned() })
}

#[tokio::test]
async fn rows_and_values_are_counted_under_every_kind_of_name() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    execute(
        &mut watch,
        "CREATE SCHEMA \"Other one\";
         CREATE TABLE t (a int, b text, \"C c\" text);
         INSERT INTO t SELECT n, CASE WHEN n > 3 THEN 'b' END, 'c' FROM generate_series(1, 10) n;
         CREATE TABLE \"Other one\".\"T\"\"t\" (a int); INSERT INTO \"Other one\".\"T\"\"t\" VALUES (1);
         CREATE TABLE \"select\" (a int);
         CREATE TABLE p (a int) PARTITION BY RANGE (a);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5) TO (10);
         INSERT INTO p SELECT generate_series(0, 9);
         CREATE SEQUENCE s; CREATE VIEW v AS SELECT 1 AS a",
    )
    .await;
    let mut losses = [
        table("t"),
        column("t", "b"),
        column("t", "\"C c\""),
        rows("t"),
        table("\"Other one\".\"T\"\"t\""),
        table("\"select\""),
        table("p"),
        loss(Lost::Sequence { sequence: "s".to_owned() }),
        table("v"),
        table("gone"),
        column("t", "gone"),
    ];
    let mut database = session(&fresh.url()).await;
    database.measure(&mut losses).await.expect("numbers");
    let counts: Vec<Option<u64>> = losses.iter().map(|it| it.rows).collect();
    let none = [None; 4];
    let some = [10, 7, 10, 10, 1, 0, 10].map(Some);
    assert_eq!(counts, [&some[..], &none[..]].concat());
    assert!(losses.iter().all(|it| !it.estimated));
    let bytes: Vec<Option<u64>> = losses.iter().map(|it| it.bytes).collect();
    // A text of one letter takes two bytes.
    assert_eq!(bytes[1..3], [Some(14), Some(20)]);
    assert_eq!(bytes[4..7], [Some(8192), Some(0), Some(16384)]);
    assert!(bytes[0] > bytes[1] && bytes[0] >= bytes[3], "{bytes:?}");
}

#[tokio::test]
async fn a_large_table_is_estimated_and_the_same_twice() {
    let Some(fresh) = fresh().await else { return };
    let mut watch = fresh.watch().await;
    execute(
        &mut watch,
        "CREATE TABLE t (a int, b text);
         INSERT INTO t SELECT n, CASE WHEN n % 4 = 0 THEN repeat('b', 120) END
         FROM generate_series(1, 1200000) n",
    )
    .await;
    let mut database = session(&fresh.url()).await;
    let mut losses = [table("t"), column("t", "b")];
    let start = Instant::now();
    database.measure(&mut losses).await.expect("numbers");
    let took = start.elapsed();
    for (loss, real) in losses.iter().zip([1_200_000_u64, 300_000]) {
        let found = loss.rows.expect("a number");
        assert!(loss.estimated && found.abs_diff(real) < real / 20, "{loss:?}");
    }
    assert!(took < Duration::from_secs(2), "{took:?}");
    let again = losses.clone();
    database.measure(&mut losses).await.expect("numbers");
    assert_eq!(losses, again);
}

#[tokio::test]
async fn what_is_locked_or_forbidden_stays_open() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("pw").await;
    let mut watch = fresh.watch().await;
    execute(
        &mut watch,
        &format!(
            "CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE secret (a int);
             GRANT SELECT ON t TO {role}"
        ),
    )
    .await;
    let mut database = session(url.as_str()).await;
    let mut losses = [table("secret"), table("t")];
    database.measure(&mut losses).await.expect("numbers");
    assert_eq!(losses.clone().map(|it| it.rows), [None, Some(1)]);
    execute(&mut watch, "BEGIN; LOCK TABLE t").await;
    let mut losses = [table("t")];
    let start = Instant::now();
    database.measure(&mut losses).await.expect("an answer");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!((losses[0].rows, losses[0].bytes), (None, None));
    execute(&mut watch, "ROLLBACK").await;
    database.measure(&mut losses).await.expect("numbers");
    assert_eq!((losses[0].rows, losses[0].estimated), (Some(1), false));
}

#[tokio::test]
async fn what_policies_hide_in_part_is_not_counted() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("pw").await;
    let mut watch = fresh.watch().await;
    execute(
        &mut watch,
        &format!(
            "CREATE TABLE t (a int); CREATE TABLE own (a int); INSERT INTO t VALUES (1), (2); INSERT INTO own VALUES (1), (2);
             ALTER TABLE t OWNER TO {role}; ALTER TABLE own OWNER TO {role};
             ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
             CREATE POLICY one ON t USING (a = 1); ALTER TABLE own ENABLE ROW LEVEL SECURITY"
        ),
    )
    .await;
    let mut losses = [table("t"), column("t", "a"), rows("t"), table("own")];
    session(url.as_str()).await.measure(&mut losses).await.expect("numbers");
    assert_eq!(losses.map(|it| it.rows), [None, None, None, Some(2)]);
}
