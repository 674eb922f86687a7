//! What a body destroys is kept, and restored.

use sternway_database::{DatabaseError, StepError};
use sternway_model::catalog::Direction::{Down, Up};
use sternway_model::effect::{Effects, Loss, Lost};

use super::support::{TABLE, at, go, whole};
use super::{Ground, Session, tables, track, went};

/// A session with rows to lose, at migration 2.
async fn full(ground: &Ground) -> Session {
    let mut session = ground.session().await;
    session.prepare_records().await.expect("records");
    went(&mut session, None, Some(1), "CREATE TABLE a (x INT PRIMARY KEY, y VARCHAR(9))").await;
    let rows = "INSERT INTO a VALUES (1, 'p'), (2, 'q'), (3, 'r')";
    went(&mut session, Some(1), Some(2), rows).await;
    session
}

async fn rows(session: &mut Session) -> Vec<Option<String>> {
    session.query("SELECT y FROM a ORDER BY x", 9).await.expect("rows")
}

fn of_a() -> Lost {
    Lost::Table { table: "a".to_owned() }
}

/// What one half destroys, the other half restores, to the last value.
pub async fn what_one_half_destroys_the_other_restores(ground: &Ground) {
    let (table, column) = ("a".to_owned(), "y".to_owned());
    for (down, up, lost, kept) in [
        ("DROP TABLE a", "CREATE TABLE a (x INT PRIMARY KEY, y VARCHAR(9))", of_a(), 3),
        (
            "ALTER TABLE a DROP COLUMN y",
            "ALTER TABLE a ADD COLUMN y VARCHAR(9)",
            Lost::Column { table: table.clone(), column },
            3,
        ),
        ("DELETE FROM a WHERE x > 1", "-- nothing\n", Lost::Rows { table }, 2),
    ] {
        let ground = ground.another().await;
        let mut session = full(&ground).await;
        let before = rows(&mut session).await;
        let done = go(&mut *session, Down, down, true, None, false).await;
        let done = done.unwrap_or_else(|error| panic!("{down}: {}", whole(&error)));
        let found: Vec<_> = done.kept.iter().map(|it| (it.lost.clone(), it.rows)).collect();
        assert_eq!(found, [(lost.clone(), kept)], "{down}");
        let id = done.kept[0].id;
        // Another session finds it, and another application does not.
        let mut second = ground.session().await;
        let entries = second.archive("app").await.expect("the archive");
        let found: Vec<_> =
            entries.iter().map(|it| (it.id, it.lost.clone(), it.waiting())).collect();
        assert_eq!(found, [(id, lost, kept)], "{down}");
        assert_eq!(second.archive("other").await.expect("the archive"), []);
        let page = second.archive_page(id, kept - 1, 9).await.expect("a page");
        assert_eq!(page.rows.len(), 1, "{page:?}");
        assert_eq!(second.archive_page(id, kept, 9).await.expect("a page").rows.len(), 0);
        drop(second);

        let done = go(&mut *session, Up, up, true, None, false).await;
        let done = done.unwrap_or_else(|error| panic!("{up}: {}", whole(&error)));
        let found: Vec<_> = done.restored.iter().map(|it| (it.id, it.restored.back)).collect();
        assert_eq!(found, [(id, kept)], "{up}");
        assert_eq!(rows(&mut session).await, before, "{up}");
        let entries = session.archive("app").await.expect("the archive");
        assert!(entries.iter().all(|it| it.waiting() == 0), "{entries:?}");
    }
}

/// An entry is restored and dropped by its number, and is no entry any more.
pub async fn an_entry_is_restored_and_dropped_by_its_number(ground: &Ground) {
    let mut session = full(ground).await;
    let before = rows(&mut session).await;
    let done = go(&mut *session, Down, "DROP TABLE a", true, None, false).await.expect("a step");
    let id = done.kept[0].id;
    went(&mut session, Some(1), Some(2), "CREATE TABLE a (x INT PRIMARY KEY, y VARCHAR(9))").await;
    let restored = session.restore(&[id]).await.expect("an entry").remove(0);
    assert_eq!((restored.id, restored.restored.back, restored.restored.left()), (id, 3, 0));
    assert_eq!(rows(&mut session).await, before);
    session.drop_entry(id).await.expect("an entry");
    assert_eq!(session.archive("app").await.expect("the archive"), []);
    let none = [
        session.drop_entry(id).await.expect_err("no entry"),
        session.restore(&[id]).await.map(drop).expect_err("no entry"),
        session.archive_page(id, 0, 9).await.expect_err("no entry"),
    ];
    for error in none {
        assert!(matches!(error, DatabaseError::NoEntry(it) if it == id), "{error:?}");
    }
}

/// What is not to be kept is not, and what the plan does not say is not destroyed.
pub async fn nothing_is_destroyed_that_the_plan_does_not_say(ground: &Ground) {
    let mut session = full(ground).await;
    let planned = Effects::default();
    let beyond = go(&mut *session, Down, "DROP TABLE a", true, Some(&planned), false).await;
    let Err(StepError::Beyond { more, .. }) = beyond else { panic!("{beyond:?}") };
    assert_eq!(more, [of_a()]);
    assert_eq!((track(&mut session).await, rows(&mut session).await.len()), (at(2), 3));
    let done = go(&mut *session, Down, "DROP TABLE a", false, None, false).await.expect("a step");
    assert_eq!(done.kept, []);
    assert_eq!(tables(&mut session).await, [""; 0]);
    assert_eq!(session.archive("app").await.expect("the archive"), []);
    assert_eq!(track(&mut session).await, at(1));
}

/// What there is to lose is counted, and asking changes nothing.
pub async fn what_there_is_to_lose_is_counted(ground: &Ground) {
    let mut session = full(ground).await;
    let loss = |lost| Loss { lost, rows: None, bytes: None, estimated: false };
    let nothing = Lost::Table { table: "nothing".to_owned() };
    let mut losses = [loss(of_a()), loss(nothing)];
    session.measure(&mut losses).await.expect("an answer");
    assert_eq!(losses.each_ref().map(|it| it.rows), [Some(3), None]);
    assert_eq!(
        session.tables(&[]).await.expect("tables"),
        ["a".to_owned(), TABLE.to_owned()].into()
    );
}
