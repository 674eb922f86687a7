//! The archive on SQLite: what a plan foresees, what is refused, and what is shown of what is kept.

use sternway_database::StepError;
use sternway_model::catalog::Direction;
use sternway_model::effect::{Effects, Loss, Lost};

use crate::journey::{Journey, column, outcome, rows, table};
use crate::support::{TABLE, whole};

#[tokio::test]
async fn what_the_plan_does_not_say_or_nobody_can_keep_is_not_run() {
    let schema = "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); CREATE VIRTUAL TABLE f USING fts5(x)";
    let mut journey = Journey::of(schema).await;
    let before = journey.dump().await;
    let error = journey.go(Direction::Down, "DROP TABLE t", true, Some(&Effects::default())).await;
    assert!(matches!(error, Err(StepError::Beyond { more, .. }) if more == [table("t")]));
    for body in ["DROP TABLE f", "DROP TABLE t; VACUUM", "DELETE FROM f"] {
        let error = journey.go(Direction::Down, body, true, None).await;
        assert!(matches!(error, Err(StepError::CannotKeep { .. })), "{body}: {error:?}");
    }
    assert_eq!(journey.dump().await, before);
    let planned = Effects {
        losses: vec![Loss { lost: table("t"), rows: None, bytes: None, estimated: false }],
        ..Effects::default()
    };
    let done = journey
        .go(Direction::Down, "DROP TABLE t; CREATE TABLE n (x)", false, Some(&planned))
        .await
        .expect("discarded");
    let effects = done.effects.expect("effects");
    assert_eq!((effects.losses[0].rows, done.kept.len()), (Some(1), 0));
    let names = |from: &std::collections::BTreeSet<sternway_model::proof::ObjectName>| {
        from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(names(&effects.created), "column `x` of `n`, table `n`");
    assert!(names(&effects.destroyed).contains("table `t`"), "{effects:?}");
    assert_eq!(journey.session.archive("app").await.expect("entries"), []);
    assert_eq!(
        journey
            .place
            .ask("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sternway%kept%'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn an_entry_whose_rows_are_back_has_no_others() {
    let schema =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v); CREATE TABLE u (id INTEGER PRIMARY KEY);
                  INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (7)";
    let mut journey = Journey::of(schema).await;
    for (direction, body) in [
        (Direction::Down, "ALTER TABLE t DROP COLUMN v"),
        (Direction::Up, "ALTER TABLE t ADD COLUMN v"),
        (Direction::Down, "DROP TABLE u"),
    ] {
        journey.go(direction, body, true, None).await.expect(body);
    }
    let entries = journey.session.archive("app").await.expect("entries");
    assert_eq!(entries.len(), 2, "{entries:?}");
    let page = journey.session.archive_page(entries[0].id, 0, 10).await.expect("a page");
    assert!(page.rows.is_empty(), "{page:?}");
    journey.session.drop_entry(entries[0].id).await.expect("an entry less");
    let page = journey.session.archive_page(entries[1].id, 0, 10).await.expect("a page");
    assert_eq!(page.rows, [[Some("7".to_owned())]]);
}

#[tokio::test]
async fn what_the_words_do_not_say_is_foreseen() {
    let keys = "_foreign_keys=1";
    let anew = "CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT)";
    let end = "DROP TABLE t; ALTER TABLE n RENAME TO t";
    let t = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";
    let fill = "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')";
    let cases: Vec<(&str, String, &str, String, Vec<Lost>)> = vec![
        // Foreign keys hand it on, as far as they go, and not further.
        (
            keys,
            format!("{t}; CREATE TABLE c (id INTEGER PRIMARY KEY REFERENCES t ON DELETE CASCADE);
                     CREATE TABLE d (c REFERENCES c ON DELETE SET NULL); CREATE TABLE e (c REFERENCES c);
                     CREATE TABLE f (d REFERENCES c ON UPDATE CASCADE)"),
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1), (2); INSERT INTO d VALUES (1)",
            "DELETE FROM t WHERE id = 1".to_owned(),
            vec![rows("c"), rows("d"), rows("t")],
        ),
        (
            keys,
            format!("{t}; CREATE TABLE c (id INTEGER PRIMARY KEY, t REFERENCES t ON UPDATE CASCADE);
                     CREATE TABLE d (t REFERENCES t ON DELETE CASCADE)"),
            "INSERT INTO t VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1)",
            "INSERT INTO c VALUES (7, NULL); UPDATE t SET id = 9 WHERE id = 1".to_owned(),
            vec![rows("c"), rows("t")],
        ),
        (
            keys,
            format!("{t}; CREATE TABLE c (id INTEGER PRIMARY KEY REFERENCES t ON DELETE SET DEFAULT ON UPDATE CASCADE)"),
            fill,
            "INSERT INTO t VALUES (9, 'x'); UPDATE t SET v = 'y'".to_owned(),
            vec![rows("t")],
        ),
        (
            "",
            format!("{t}; CREATE TABLE c (id INTEGER PRIMARY KEY REFERENCES t ON DELETE CASCADE)"),
            "INSERT INTO t VALUES (1, 'a'); INSERT INTO c VALUES (1)",
            "DELETE FROM t".to_owned(),
            vec![rows("t")],
        ),
        // What a plain INSERT takes the place of.
        (
            "",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT REPLACE)".to_owned(),
            fill,
            "INSERT INTO t VALUES (9, 'a')".to_owned(),
            vec![rows("t")],
        ),
        (
            keys,
            "CREATE TABLE t (id INTEGER, v, PRIMARY KEY (id) ON CONFLICT REPLACE);
             CREATE TABLE c (t REFERENCES t ON DELETE CASCADE)".to_owned(),
            "INSERT INTO t VALUES (1, 'a'); INSERT INTO c VALUES (1)",
            "INSERT INTO t VALUES (1, 'b')".to_owned(),
            vec![rows("c"), rows("t")],
        ),
        // A column made anew does not get what it had.
        ("", t.to_owned(), fill, "ALTER TABLE t DROP COLUMN v; ALTER TABLE t ADD COLUMN v TEXT".to_owned(), vec![rows("t")]),
        ("", t.to_owned(), fill, "ALTER TABLE t ADD COLUMN w; ALTER TABLE \"t\" DROP v; ALTER TABLE t RENAME w TO v".to_owned(), vec![rows("t")]),
        // What a table made anew does not get.
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, v FROM t; {end}"), vec![]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, v FROM t WHERE id < 3; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, upper(v) FROM t; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, substr(v, 1, 0) FROM t LIMIT 1; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id) SELECT id FROM t; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, v FROM t; UPDATE n SET v = 0; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("{anew}; INSERT INTO n (id, v) SELECT id, v FROM t; DELETE FROM n WHERE id = 1; {end}"), vec![rows("t")]),
        ("", t.to_owned(), fill, format!("CREATE TABLE n (id INTEGER PRIMARY KEY); INSERT INTO n (id) SELECT id FROM t; {end}"), vec![column("t", "v")]),
        ("", t.to_owned(), "INSERT INTO t VALUES (1, '07')", format!("CREATE TABLE n (id INTEGER PRIMARY KEY, v INT); INSERT INTO n (id, v) SELECT id, v FROM t; {end}"), vec![rows("t")]),
        ("", t.to_owned(), "INSERT INTO t VALUES (1, 'a'), (2, 'a')", format!("CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT UNIQUE ON CONFLICT IGNORE); INSERT INTO n (id, v) SELECT id, v FROM t; {end}"), vec![rows("t")]),
        ("", t.to_owned(), "INSERT INTO t VALUES (1, 'a'), (2, 'a')", format!("CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT UNIQUE); INSERT OR IGNORE INTO n (id, v) SELECT id, v FROM t; {end}"), vec![rows("t")]),
    ];
    for (query, schema, fill, down, expected) in cases {
        let effects = Journey::foresees(query, &schema, &down).await;
        let mut losses: Vec<Lost> = effects.losses.iter().map(|it| it.lost.clone()).collect();
        losses.sort();
        assert_eq!(losses, expected, "{down}");
        let mut journey = Journey::with(query, &format!("{schema}; {fill}")).await;
        let before = journey.dump().await;
        let done = journey.go(Direction::Down, &down, true, Some(&effects)).await;
        done.unwrap_or_else(|error| panic!("{down}: {}", whole(&error)));
        // A column of another type cannot hold what was there.
        let up = match down.contains("v INT") {
            true => format!("{anew}; INSERT INTO n (id, v) SELECT id, v FROM t; {end}"),
            false => "SELECT 1".to_owned(),
        };
        journey.up(&up).await;
        let there = journey.dump().await;
        let back = before
            .iter()
            .filter(|row| !row.starts_with("schema"))
            .filter(|row| !there.contains(row));
        // Other rows may be in their place.
        let back = u64::try_from(back.count()).expect("a number");
        assert!(back <= journey.waiting().await, "{down}: {before:?} {there:?}");
    }
}

#[tokio::test]
async fn who_discards_what_the_plan_says_keeps_the_rest() {
    let schema =
        "CREATE TABLE t (id INTEGER PRIMARY KEY); CREATE TABLE u (id INTEGER PRIMARY KEY, a, b);
        INSERT INTO t VALUES (1), (2); INSERT INTO u VALUES (1, 2, 3)";
    let mut journey = Journey::of(schema).await;
    let of = |lost| Loss { lost, rows: None, bytes: None, estimated: false };
    let losses = vec![of(rows("t")), of(column("u", "a"))];
    let planned = Effects { losses, ..Effects::default() };
    let down = "DELETE FROM t; ALTER TABLE u DROP a; ALTER TABLE u DROP b";
    let done = journey.go(Direction::Down, down, false, Some(&planned)).await.expect("discarded");
    let kept: Vec<Lost> = done.kept.iter().map(|it| it.lost.clone()).collect();
    assert_eq!(kept, [column("u", "b")]);
    let done = journey.up("ALTER TABLE u ADD b").await;
    assert_eq!(outcome(&done.restored[0].restored), (1, vec![]));
    assert_eq!(
        journey.place.ask("SELECT (SELECT b FROM u) || (SELECT count(*) FROM t)").await,
        "30"
    );
}

#[tokio::test]
async fn the_archive_is_no_part_of_the_schema_and_is_measured() {
    let mut journey = Journey::of(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 2), (2, NULL)",
    )
    .await;
    let mut losses: Vec<Loss> = [table("t"), column("t", "a"), table("none")]
        .map(|lost| Loss { lost, rows: None, bytes: None, estimated: false })
        .into();
    journey.session.measure(&mut losses).await.expect("measured");
    assert_eq!(losses.iter().map(|it| it.rows).collect::<Vec<_>>(), [Some(2), Some(1), None]);
    let print = journey.session.fingerprint(&[TABLE.to_owned()]).await.expect("a fingerprint");
    journey.down("ALTER TABLE t RENAME TO u; DELETE FROM u").await;
    journey.up("ALTER TABLE u RENAME TO t").await;
    journey.down("DELETE FROM t").await;
    assert_eq!(
        journey.session.fingerprint(&[TABLE.to_owned()]).await.expect("a fingerprint"),
        print
    );
    assert_eq!(journey.session.tables(&[TABLE.to_owned()]).await.expect("tables").len(), 1);
    let dropped = journey.session.drop_tables().await.expect("dropped");
    assert!(dropped.iter().all(|name| !name.starts_with("sternway")), "{dropped:?}");
    assert_eq!(journey.waiting().await, 2, "what is kept stays");
}

#[tokio::test]
async fn what_is_kept_is_shown_even_where_it_is_no_text_and_has_a_size() {
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b)";
    for (encoding, bad) in
        [("UTF8", "CAST(X'6180FF' AS TEXT)"), ("UTF16le", "CAST(X'610000D8' AS TEXT)")]
    {
        let fill = "INSERT INTO t VALUES (1, CAST(x'6180ff' AS TEXT), 'ß'), (2, NULL, x'80'), (3, '', 1.5)";
        let mut journey = Journey::with(&format!("_pragma=encoding({encoding})"), "SELECT 1").await;
        let fill = match encoding {
            "UTF8" => fill.to_owned(),
            _ => fill.replace("6180ff", "610000d8"),
        };
        journey.execute(&format!("{create}; {fill}")).await;
        let all = "SELECT group_concat(typeof(a) || hex(a) || quote(b)) FROM t";
        let before = journey.place.ask(all).await;
        let id = journey.down("DROP TABLE t").await.kept[0].id;
        let page = journey.session.archive_page(id, 0, 10).await.expect("a page");
        let text = |value: &str| Some(value.to_owned());
        let rows = [
            [text("1"), text(bad), text("ß")],
            [text("2"), None, text("X'80'")],
            [text("3"), text(""), text("1.5")],
        ];
        assert_eq!(page.rows, rows, "{encoding}");
        let literals = [[true, true, false], [true, false, true], [true, false, true]];
        assert_eq!(page.literals, literals);
        let entries = journey.session.archive("app").await.expect("entries");
        assert!(entries[0].bytes > 0, "{entries:?}");
        journey.up(create).await;
        assert_eq!(journey.place.ask(all).await, before);
    }
    let mut journey = Journey::of(&format!("{create}; INSERT INTO t VALUES (1, 2, 3)")).await;
    let mut losses = vec![Loss { lost: table("t"), rows: None, bytes: None, estimated: false }];
    journey.session.measure(&mut losses).await.expect("measured");
    assert!(losses[0].bytes > Some(0), "{losses:?}");
}
