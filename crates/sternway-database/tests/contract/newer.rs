//! Nothing that is newer is overwritten by what was kept, and nothing that a body makes anew is doubled.

use sternway_database::{Done, Preservation};
use sternway_model::archive::{Restoration, Restored};
use sternway_model::catalog::Direction::{self, Down, Up};

use super::support::{care, careful, go, whole};
use super::{Ground, Session, went};

/// A session at migration 2, with what `start` makes.
pub async fn at_two(ground: &Ground, start: &str) -> Session {
    let mut session = ground.session().await;
    session.prepare_records().await.expect("records");
    went(&mut session, None, Some(1), "-- nothing\n").await;
    went(&mut session, Some(1), Some(2), start).await;
    session
}

/// Runs a half with the archive's care.
pub async fn keeping(session: &mut Session, direction: Direction, body: &str) -> Done {
    let done = go(&mut **session, direction, body, true, None, false).await;
    done.unwrap_or_else(|error| panic!("{}: {body}: {}", session.identity().server, whole(&error)))
}

/// The same, where it is known what the other half says.
pub async fn knowing(session: &mut Session, direction: Direction, body: &str, other: &str) -> Done {
    let care = Preservation { other: Some(other), ..care("app", 2, direction) };
    let done = careful(&mut **session, &care, body).await;
    done.unwrap_or_else(|error| panic!("{}: {body}: {}", session.identity().server, whole(&error)))
}

/// What others write, at migration `at`.
pub async fn write(session: &mut Session, at: u64, sql: &str) {
    went(session, Some(at), Some(at), sql).await;
}

pub async fn list(session: &mut Session, query: &str) -> Vec<String> {
    let found = session.query(query, 99).await.expect("rows");
    found.into_iter().map(|it| it.unwrap_or("-".to_owned())).collect()
}

fn numbers(restored: &[Restoration]) -> Vec<(u64, u64)> {
    restored.iter().map(|it| (it.restored.back, it.restored.left())).collect()
}

/// After the application has migrated up by itself, what was kept goes back only where nothing is.
pub async fn what_somebody_wrote_since_is_not_overwritten(ground: &Ground) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, n VARCHAR(9), v VARCHAR(9) DEFAULT 'no');
        CREATE TABLE w (id INT PRIMARY KEY, v VARCHAR(9));
        INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z'), (4, 'd', 'same');
        INSERT INTO w VALUES (1, 'x'), (2, 'y')";
    let (down, up) = (
        "ALTER TABLE t DROP COLUMN v; DROP TABLE w",
        "ALTER TABLE t ADD COLUMN v VARCHAR(9) DEFAULT 'no'; CREATE TABLE w (id INT PRIMARY KEY, v VARCHAR(9))",
    );
    let mut session = at_two(ground, start).await;
    let kept = keeping(&mut session, Down, down).await.kept;
    went(&mut session, Some(1), Some(2), up).await;
    let written = "UPDATE t SET v = 'new' WHERE id = 1; UPDATE t SET v = NULL WHERE id = 2;
        UPDATE t SET v = 'same' WHERE id = 4; INSERT INTO w VALUES (1, 'new')";
    write(&mut session, 2, written).await;
    let ids: Vec<i64> = kept.iter().map(|it| it.id).collect();
    let mut restored = session.restore(&ids).await.expect("an answer");
    restored.sort_by_key(|it| it.restored.back);
    assert_eq!(numbers(&restored), [(1, 1), (3, 1)], "{restored:?}");
    assert_eq!(list(&mut session, "SELECT v FROM t ORDER BY id").await, ["new", "y", "z", "same"]);
    assert_eq!(list(&mut session, "SELECT v FROM w ORDER BY id").await, ["new", "y"]);
    // What is left is told, and is still there.
    let left: u64 =
        session.archive("app").await.expect("entries").iter().map(|it| it.waiting()).sum();
    assert_eq!(left, 2);
}

/// A value that a body takes from another table is judged by what the body makes of it now and would have
/// made of it then.
pub async fn a_value_from_another_table_is_as_fresh_as_that(ground: &Ground) {
    let (down, up) = (
        "ALTER TABLE t DROP COLUMN c",
        "ALTER TABLE t ADD COLUMN c VARCHAR(9); UPDATE t SET c = (SELECT o.x FROM o WHERE o.id = t.o)",
    );
    let start = format!(
        "CREATE TABLE o (id INT PRIMARY KEY, x VARCHAR(9), seen INT);
         CREATE TABLE t (id INT PRIMARY KEY, o INT);
         INSERT INTO o VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0);
         INSERT INTO t VALUES (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, NULL); {up}"
    );
    let mut session = at_two(ground, &start).await;
    write(
        &mut session,
        2,
        "UPDATE t SET c = 'mine' WHERE id IN (1, 2, 6); UPDATE t SET c = NULL WHERE id = 5",
    )
    .await;
    knowing(&mut session, Down, down, up).await;
    let written = "UPDATE o SET x = 'new' WHERE id = 2; UPDATE o SET seen = 1; UPDATE t SET o = 2 WHERE id = 4";
    write(&mut session, 1, written).await;
    let restored = knowing(&mut session, Up, up, down).await.restored;
    let found = list(&mut session, "SELECT c FROM t ORDER BY id").await;
    assert_eq!(found, ["mine", "new", "new", "new", "-", "mine"], "{restored:?}");
    assert_eq!(restored[0].restored.left(), 3, "{restored:?}");
    // Where nobody knows what the other half says, what is there stays, and what was kept is told.
    let down = keeping(&mut session, Down, down).await.kept;
    assert_eq!(down.len(), 1);
    let restored = keeping(&mut session, Up, up).await.restored;
    let found = list(&mut session, "SELECT c FROM t ORDER BY id").await;
    assert_eq!(found, ["a", "new", "new", "new", "c", "mine"], "{restored:?}");
    let left: u64 = restored.iter().map(|it| it.restored.left()).sum();
    assert_eq!(left, 2, "{restored:?}");
}

/// A table that a body makes of other rows comes back with what people wrote into it, and with what those rows
/// make of it now where they have changed.
pub async fn a_table_that_a_body_fills_is_as_fresh_as_its_source(ground: &Ground) {
    let up = "CREATE TABLE f (id INT PRIMARY KEY, x VARCHAR(9), note VARCHAR(9));
        INSERT INTO f SELECT id, upper(x), NULL FROM o";
    let start = format!(
        "CREATE TABLE o (id INT PRIMARY KEY, x VARCHAR(9));
         INSERT INTO o VALUES (1, 'a'), (2, 'b'), (3, 'c'); {up}"
    );
    let mut session = at_two(ground, &start).await;
    let edits = "UPDATE f SET x = 'mine', note = 'one' WHERE id = 1;
        UPDATE f SET note = 'two' WHERE id = 2; INSERT INTO f VALUES (9, 'own', 'nine')";
    write(&mut session, 2, edits).await;
    knowing(&mut session, Down, "DROP TABLE f", up).await;
    write(&mut session, 1, "UPDATE o SET x = 'new' WHERE id = 2; INSERT INTO o VALUES (4, 'd')")
        .await;
    let restored = knowing(&mut session, Up, up, "DROP TABLE f").await.restored;
    let server = session.identity().server.clone();
    let found = list(&mut session, "SELECT x FROM f ORDER BY id").await;
    assert_eq!(found, ["mine", "NEW", "C", "D", "own"], "{server}: {restored:?}");
    let found = list(&mut session, "SELECT note FROM f ORDER BY id").await;
    assert_eq!(found, ["one", "two", "-", "-", "nine"], "{server}: {restored:?}");
    assert_eq!(numbers(&restored), [(3, 1)], "{server}: {restored:?}");
}

/// A row that a body makes anew under its own key gets what somebody had made of it; one that somebody has
/// made meanwhile stays.
pub async fn a_seed_that_somebody_changed_comes_back(ground: &Ground) {
    let (down, up) = (
        "DELETE FROM s WHERE name IN ('theme', 'own')",
        "INSERT INTO s (name, v) SELECT 'theme', 'light'",
    );
    let start = format!(
        "CREATE TABLE s (name VARCHAR(9) PRIMARY KEY, v VARCHAR(9)); {up}; INSERT INTO s VALUES ('own', 'old')"
    );
    let mut session = at_two(ground, &start).await;
    write(&mut session, 2, "UPDATE s SET v = 'dark' WHERE name = 'theme'").await;
    keeping(&mut session, Down, down).await;
    write(&mut session, 1, "INSERT INTO s VALUES ('own', 'new')").await;
    let restored = keeping(&mut session, Up, up).await.restored;
    let server = session.identity().server.clone();
    let found = list(&mut session, "SELECT v FROM s ORDER BY name").await;
    assert_eq!(found, ["new", "dark"], "{server}: {restored:?}");
    assert_eq!(numbers(&restored), [(1, 1)], "{server}: {restored:?}");
}

/// Of a row that a body deletes, no value goes to another one that has its key later.
pub async fn values_of_a_deleted_row_go_to_no_other(ground: &Ground) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, n VARCHAR(9), v VARCHAR(9));
        INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'b', 'z')";
    let down = "DELETE FROM t WHERE n = 'b'; ALTER TABLE t DROP COLUMN v";
    let mut session = at_two(ground, start).await;
    keeping(&mut session, Down, down).await;
    write(&mut session, 1, "INSERT INTO t VALUES (2, 'other')").await;
    let restored =
        keeping(&mut session, Up, "ALTER TABLE t ADD COLUMN v VARCHAR(9)").await.restored;
    let server = session.identity().server.clone();
    let found = list(&mut session, "SELECT v FROM t ORDER BY id").await;
    assert_eq!(found, ["x", "-", "z"], "{server}: {restored:?}");
    let left: u64 = restored.iter().map(|it| it.restored.left()).sum();
    assert_eq!(left, 1, "{server}: {restored:?}");
}

/// Where the body gives a column another name, what it has was written under the former one.
pub async fn what_a_body_renames_is_not_overwritten(ground: &Ground) {
    let down = "ALTER TABLE t DROP COLUMN v; ALTER TABLE t ADD COLUMN w VARCHAR(9)";
    let written = "UPDATE t SET w = 'new' WHERE id = 1";
    stays(ground, down, written, "ALTER TABLE t RENAME COLUMN w TO v").await;
}

/// Where a column is there without the body that runs, what it has was written since.
pub async fn what_is_there_without_the_body_is_not_overwritten(ground: &Ground) {
    let written = "ALTER TABLE t ADD COLUMN v VARCHAR(9); UPDATE t SET v = 'new' WHERE id = 1";
    let up = "CREATE TABLE w (id INT PRIMARY KEY)";
    stays(ground, "ALTER TABLE t DROP COLUMN v", written, up).await;
}

/// After these, the first row has what was written, and only the second one what it had.
async fn stays(ground: &Ground, down: &str, written: &str, up: &str) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO t VALUES (1, 'x'), (2, 'y')";
    let mut session = at_two(ground, start).await;
    keeping(&mut session, Down, down).await;
    write(&mut session, 1, written).await;
    let done = keeping(&mut session, Up, up).await;
    let server = session.identity().server.clone();
    let found = list(&mut session, "SELECT v FROM t ORDER BY id").await;
    assert_eq!(found, ["new", "y"], "{server}: {:?}", done.restored);
    assert_eq!(numbers(&done.restored), [(1, 1)], "{server}: {:?}", done.restored);
}

/// What a body computes from the rest of a row stays where that has changed; what somebody has written
/// over it comes back where it has not, and over a constant in any case.
pub async fn what_a_body_computes_is_told_from_what_somebody_wrote(ground: &Ground) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, n VARCHAR(9), o VARCHAR(9));
        INSERT INTO t VALUES (1, 'a', 'p'), (2, 'b', 'p'), (3, 'c', 'p'), (4, 'd', 'p')";
    let written = "UPDATE t SET v = 'own' WHERE id IN (3, 4)";
    let meanwhile = "UPDATE t SET n = 'z' WHERE id IN (2, 4); UPDATE t SET o = 'q' WHERE id = 3";
    for (up, expected, left) in [
        (
            "ALTER TABLE t ADD COLUMN v VARCHAR(9); UPDATE t SET v = UPPER(n)",
            ["A", "Z", "own", "Z"],
            2,
        ),
        (
            "ALTER TABLE t ADD COLUMN v VARCHAR(9); UPDATE t SET v = 'one'",
            ["one", "one", "own", "own"],
            0,
        ),
        ("ALTER TABLE t ADD COLUMN v VARCHAR(9) DEFAULT 'one'", ["one", "one", "own", "own"], 0),
        ("ALTER TABLE t ADD COLUMN v VARCHAR(9)", ["-", "-", "own", "own"], 0),
        (
            "ALTER TABLE t ADD COLUMN v VARCHAR(9); UPDATE t SET v = 'one' WHERE n > 'a'",
            ["-", "one", "own", "one"],
            1,
        ),
        (
            "ALTER TABLE t ADD COLUMN w VARCHAR(9); ALTER TABLE t ADD COLUMN v VARCHAR(9);
             UPDATE t SET w = UPPER(n); UPDATE t SET v = w",
            ["A", "Z", "own", "Z"],
            2,
        ),
    ] {
        let ground = ground.another().await;
        let mut session = at_two(&ground, &format!("{start}; {up}; {written}")).await;
        let down = match up.contains(" w ") {
            true => "ALTER TABLE t DROP COLUMN v; ALTER TABLE t DROP COLUMN w",
            false => "ALTER TABLE t DROP COLUMN v",
        };
        keeping(&mut session, Down, down).await;
        write(&mut session, 1, meanwhile).await;
        let done = keeping(&mut session, Up, up).await;
        let server = session.identity().server.clone();
        let found = list(&mut session, "SELECT v FROM t ORDER BY id").await;
        assert_eq!(found, expected, "{server}: {up}: {:?}", done.restored);
        let Restored { conflicts, .. } = &done.restored[0].restored;
        let stay: u64 = conflicts.iter().map(|it| it.rows).sum();
        assert_eq!(stay, left, "{server}: {up}: {conflicts:?}");
        assert!(conflicts.iter().all(|it| it.reason.contains("computes")), "{conflicts:?}");
    }
}

/// Rows that a body takes and its other half makes again, with a key of their own, are there once,
/// however often that is done; rows of somebody's that look like them are not touched.
pub async fn rows_that_are_made_anew_are_there_once(ground: &Ground) {
    let key = match ground.session().await.identity().server.split(' ').next() {
        Some("PostgreSQL") => "SERIAL PRIMARY KEY",
        Some("SQLite") => "INTEGER PRIMARY KEY AUTOINCREMENT",
        _ => "INT AUTO_INCREMENT PRIMARY KEY",
    };
    let up = "INSERT INTO t (n, o) SELECT 'seed', 'p' FROM one WHERE NOT EXISTS (SELECT 1 FROM t WHERE n = 'seed')";
    let down = "DELETE FROM t WHERE n <> 'own'";
    let start = format!(
        "CREATE TABLE one (a INT); INSERT INTO one VALUES (1); CREATE TABLE t (id {key}, n VARCHAR(9), o VARCHAR(9));
         INSERT INTO t (n, o) VALUES ('own', 'p'); {up}; INSERT INTO t (n, o) VALUES ('more', 'p'), ('more', 'p')"
    );
    let mut session = at_two(ground, &start).await;
    for round in 0..3 {
        keeping(&mut session, Down, down).await;
        write(&mut session, 1, "INSERT INTO t (n, o) VALUES ('own', 'p')").await;
        let done = keeping(&mut session, Up, up).await;
        let mut found = list(&mut session, "SELECT n FROM t").await;
        found.sort();
        let mut wanted = vec!["more", "more"];
        wanted.extend(vec!["own"; 2 + round]);
        wanted.push("seed");
        assert_eq!(found, wanted, "{}: {:?}", session.identity().server, done.restored);
        assert_eq!(numbers(&done.restored), [(2, 1)], "{:?}", done.restored);
    }
}

/// Values that a body computes from what its other half has made of them come back, unless somebody has written that
/// since; whether the column is of that half's making or only what is in it.
pub async fn values_come_back_over_what_is_computed_of_them(ground: &Ground) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT); CREATE TABLE u (id INT PRIMARY KEY, a INT, b INT, s INT)";
    let mut session = at_two(ground, start).await;
    let server = session.identity().server.clone();
    for (table, make, take) in
        [("t", "ALTER TABLE t ADD COLUMN s INT;", "ALTER TABLE t DROP COLUMN s;"), ("u", "", "")]
    {
        let rows =
            format!("INSERT INTO {table} (id, a, b) VALUES (1, 3, 4), (2, 5, NULL), (3, 6, 6)");
        write(&mut session, 2, &rows).await;
        let down = format!(
            "{make} UPDATE {table} SET s = COALESCE(a, 0) + COALESCE(b, 0);
             ALTER TABLE {table} DROP COLUMN a; ALTER TABLE {table} DROP COLUMN b"
        );
        let up = format!(
            "ALTER TABLE {table} ADD COLUMN a INT; ALTER TABLE {table} ADD COLUMN b INT;
             UPDATE {table} SET a = s, b = s; {take}"
        );
        knowing(&mut session, Down, &down, &up).await;
        write(&mut session, 1, &format!("UPDATE {table} SET s = 90 WHERE id = 3")).await;
        knowing(&mut session, Up, &up, &down).await;
        let values = format!("SELECT a * 100 + COALESCE(b, 0) FROM {table} ORDER BY id");
        assert_eq!(list(&mut session, &values).await, ["304", "500", "9090"], "{server}: {down}");
    }
}

async fn numbers_of(session: &mut Session, table: &str, rows: &[u64]) -> Vec<String> {
    let mut found = Vec::new();
    for id in rows {
        found.extend(list(session, &format!("SELECT no FROM {table} WHERE id = {id}")).await);
    }
    found
}

/// Values of which each is there only once come back, although the body has given each to another row.
pub async fn values_change_places(ground: &Ground) {
    let mut session = at_two(ground, "CREATE TABLE p (id INT PRIMARY KEY)").await;
    let server = session.identity().server.clone();
    let drop = if server.starts_with("MariaDB") {
        "DROP INDEX {t}_no ON {t}"
    } else {
        "DROP INDEX {t}_no"
    };
    for (table, kind, kept) in [
        ("n", "INT", ["3", "1", "2", "4"]),
        ("m", "INT NOT NULL DEFAULT 0", ["-3", "1", "2", "-1"]),
        ("s", "VARCHAR(9) NOT NULL DEFAULT '-'", ["2", "3", "1", "x"]),
    ] {
        let make = format!("CREATE TABLE {table} (id INT PRIMARY KEY)");
        let up = format!(
            "ALTER TABLE {table} ADD COLUMN no {kind}; ALTER TABLE {table} ADD COLUMN v INT;
             UPDATE {table} SET no = id; CREATE UNIQUE INDEX {table}_no ON {table} (no)"
        );
        let down = format!(
            "{}; ALTER TABLE {table} DROP COLUMN v; ALTER TABLE {table} DROP COLUMN no",
            drop.replace("{t}", table)
        );
        let rows = format!("INSERT INTO {table} (id) VALUES (1), (2), (3), (9)");
        write(&mut session, 2, &format!("{make}; {rows}; {up}")).await;
        for aside in ["5", ""] {
            for (id, no) in [1, 2, 3, 9].into_iter().zip(kept) {
                let no = if aside.is_empty() { no.to_owned() } else { format!("{aside}{id}") };
                let sql = format!("UPDATE {table} SET no = '{no}', v = 7 WHERE id = {id}");
                write(&mut session, 2, &sql).await;
            }
        }
        knowing(&mut session, Down, &down, &up).await;
        let done = knowing(&mut session, Up, &up, &down).await;
        let values = numbers_of(&mut session, table, &[1, 2, 3, 9]).await;
        assert_eq!(values, kept, "{server}: {kind}: {:?}", done.restored);
        assert!(
            done.restored.iter().all(|it| it.restored.conflicts.is_empty()),
            "{server}: {kind}"
        );
        // One that somebody else has now stays, and keeps no other one back.
        knowing(&mut session, Down, &down, &up).await;
        write(&mut session, 1, &format!("INSERT INTO {table} (id) VALUES (4)")).await;
        knowing(
            &mut session,
            Up,
            &up.replace(
                "SET no = id",
                &format!("SET no = CASE id WHEN 4 THEN '{}' ELSE id + 20 END", kept[1]),
            ),
            &down,
        )
        .await;
        let values = numbers_of(&mut session, table, &[1, 2, 3, 4, 9]).await;
        assert_eq!(values, [kept[0], "22", kept[2], kept[1], kept[3]], "{server}: {kind}");
    }
}

/// A seed that the body puts again makes room for the kept row that has its name, with the number and the values that
/// somebody gave it; where somebody has put one of that name meanwhile, theirs stays.
pub async fn a_seed_gives_way_by_its_name(ground: &Ground) {
    let key = match ground.session().await.identity().server.split(' ').next() {
        Some("PostgreSQL") => "INT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        Some("SQLite") => "INTEGER PRIMARY KEY AUTOINCREMENT",
        _ => "INT AUTO_INCREMENT PRIMARY KEY",
    };
    let mut session = at_two(ground, "CREATE TABLE p (id INT PRIMARY KEY)").await;
    let server = session.identity().server.clone();
    for whole in [true, false] {
        let t = if whole { "w" } else { "r" };
        let table =
            format!("CREATE TABLE {t} (id {key}, k VARCHAR(9) NOT NULL UNIQUE, v VARCHAR(9))");
        let seeds = format!("INSERT INTO {t} (k, v) VALUES ('theme', 'dark'), ('limit', '10')");
        write(&mut session, 2, &format!("{table}; {seeds}")).await;
        write(&mut session, 2, &format!("UPDATE {t} SET v = 'light' WHERE k = 'theme'")).await;
        write(&mut session, 2, &format!("INSERT INTO {t} (k, v) VALUES ('own', 'x')")).await;
        let (up, down) = match whole {
            true => (format!("{table}; {seeds}"), format!("DROP TABLE {t}")),
            false => (seeds, format!("DELETE FROM {t} WHERE k IN ('theme', 'limit')")),
        };
        let theme = format!("SELECT v FROM {t} WHERE k = 'theme' AND id = 1");
        for _ in 0..3 {
            knowing(&mut session, Down, &down, &up).await;
            knowing(&mut session, Up, &up, &down).await;
            assert_eq!(list(&mut session, &theme).await, ["light"], "{server}: {up}");
            let all = format!("SELECT COUNT(*) FROM {t}");
            assert_eq!(list(&mut session, &all).await, ["3"], "{server}: {up}");
        }
        if !whole {
            knowing(&mut session, Down, &down, &up).await;
            let theirs = format!("INSERT INTO {t} (k, v) VALUES ('theme', 'theirs')");
            write(&mut session, 1, &theirs).await;
            let up = format!("UPDATE {t} SET v = 'again' WHERE k = 'theme'");
            let done = knowing(&mut session, Up, &up, &down).await;
            let theme = format!("SELECT v FROM {t} WHERE k = 'theme'");
            assert_eq!(
                list(&mut session, &theme).await,
                ["again"],
                "{server}: {:?}",
                done.restored
            );
        }
    }
}

/// A row that the other half makes of other rows is gone with those; one that somebody has added to them comes back,
/// and what the other half makes of nothing in a row is worth what somebody had there: for a table that goes whole, and
/// for rows of one that stays.
pub async fn what_is_made_no_more_is_not_restored(ground: &Ground) {
    let (chance, kind) = match ground.session().await.identity().server.split(' ').next() {
        Some("PostgreSQL") => ("md5(random()::text)", "TEXT"),
        Some("SQLite") => ("hex(randomblob(16))", "TEXT"),
        _ => ("UUID()", "VARCHAR(40)"),
    };
    let people = "CREATE TABLE p (id INT PRIMARY KEY, role VARCHAR(9))";
    let mut session = at_two(ground, people).await;
    let server = session.identity().server.clone();
    for whole in [true, false] {
        let r = if whole { "w" } else { "r" };
        let table = format!(
            "CREATE TABLE {r} (id INT, role VARCHAR(9), token {kind} DEFAULT ({chance}), mark {kind}, PRIMARY KEY (id, role))"
        );
        let fill = format!("INSERT INTO {r} (id, role, mark) SELECT id, role, {chance} FROM p");
        let people = "DELETE FROM p; INSERT INTO p VALUES (1, 'admin'), (2, 'admin'), (3, 'user')";
        write(&mut session, 2, &format!("{people}; {table}; {fill}")).await;
        let (up, down) = match whole {
            true => (format!("{table}; {fill}"), format!("DROP TABLE {r}")),
            false => (fill, format!("DELETE FROM {r} WHERE id < 90")),
        };
        let added = format!("INSERT INTO {r} (id, role, token) VALUES (3, 'more', 't')");
        write(&mut session, 2, &added).await;
        let mine = format!("UPDATE {r} SET token = 'mine', mark = 'mine' WHERE id = 1");
        write(&mut session, 2, &mine).await;
        for _ in 0..2 {
            knowing(&mut session, Down, &down, &up).await;
            // The older release takes a right away.
            write(&mut session, 1, "UPDATE p SET role = 'user' WHERE id = 2").await;
            knowing(&mut session, Up, &up, &down).await;
            let mut rows = Vec::new();
            for (id, role) in [(1, "admin"), (2, "user"), (3, "more"), (3, "user")] {
                let sql = format!("SELECT COUNT(*) FROM {r} WHERE id = {id} AND role = '{role}'");
                rows.extend(list(&mut session, &sql).await);
            }
            rows.extend(list(&mut session, &format!("SELECT COUNT(*) FROM {r}")).await);
            assert_eq!(rows, ["1", "1", "1", "1", "4"], "{server}: {up}");
            let mine = format!("SELECT id FROM {r} WHERE token = 'mine' AND mark = 'mine'");
            assert_eq!(list(&mut session, &mine).await, ["1"], "{server}: {up}");
        }
    }
    // A table may be its key and nothing else.
    let table = "CREATE TABLE k (id INT, role VARCHAR(9), PRIMARY KEY (id, role))";
    let fill = "INSERT INTO k SELECT id, role FROM p";
    write(&mut session, 2, "DELETE FROM p; INSERT INTO p VALUES (1, 'admin'), (2, 'admin')").await;
    write(&mut session, 2, &format!("{table}; {fill}; INSERT INTO k VALUES (3, 'more')")).await;
    knowing(&mut session, Down, "DELETE FROM k WHERE id < 90", fill).await;
    write(&mut session, 1, "UPDATE p SET role = 'user' WHERE id = 2").await;
    knowing(&mut session, Up, fill, "DELETE FROM k WHERE id < 90").await;
    for (id, role) in [(1, "admin"), (2, "user"), (3, "more")] {
        let sql = format!("SELECT role FROM k WHERE id = {id}");
        assert_eq!(list(&mut session, &sql).await, [role], "{server}");
    }
}

/// Of a table that a body makes and fills, with numbers of its own, the rows come back under theirs: what the body has
/// made of them gives way, whatever the numbers that it got.
pub async fn a_table_that_is_numbered_anew_has_its_own_numbers(ground: &Ground) {
    let key = match ground.session().await.identity().server.split(' ').next() {
        Some("PostgreSQL") => "INT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        Some("SQLite") => "INTEGER PRIMARY KEY AUTOINCREMENT",
        _ => "INT AUTO_INCREMENT PRIMARY KEY",
    };
    let up = format!(
        "CREATE TABLE t (id {key}, p INT, n VARCHAR(9)); INSERT INTO t (p, n) SELECT id, n FROM p ORDER BY id"
    );
    let start = format!(
        "CREATE TABLE p (id INT PRIMARY KEY, n VARCHAR(9)); INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'); {up};
         DELETE FROM t WHERE p > 1; INSERT INTO t (p, n) VALUES (1, 'more'), (2, 'b'), (2, 'b'), (NULL, NULL)"
    );
    let mut session = at_two(ground, &start).await;
    let rows = "SELECT id * 100 + COALESCE(p, 0) * 10 + CASE n WHEN 'a' THEN 1 WHEN 'b' THEN 2 WHEN 'more' THEN 3 ELSE 0 END
        FROM t ORDER BY id";
    let before = list(&mut session, rows).await;
    assert_eq!(before, ["111", "413", "522", "622", "700"], "{}", session.identity().server);
    for round in 0..2 {
        keeping(&mut session, Down, "DROP TABLE t").await;
        // The older release has what was not there before.
        write(&mut session, 1, &format!("UPDATE p SET n = 'new{round}' WHERE id = 3")).await;
        keeping(&mut session, Up, &up).await;
        let found = list(&mut session, rows).await;
        let wanted = ["111", "330", "413", "522", "622", "700"];
        assert_eq!(found, wanted, "{}", session.identity().server);
        write(&mut session, 2, "DELETE FROM t WHERE p = 3").await;
    }
    // What somebody has put into a table of that name is theirs.
    keeping(&mut session, Down, "DROP TABLE t").await;
    let create = format!("CREATE TABLE IF NOT EXISTS t (id {key}, p INT, n VARCHAR(9))");
    write(&mut session, 1, &format!("{create}; INSERT INTO t (p, n) VALUES (1, 'more')")).await;
    keeping(&mut session, Up, &create).await;
    let found = list(&mut session, rows).await;
    assert!(found.contains(&"113".to_owned()), "{}: {found:?}", session.identity().server);
}

/// What a body that failed half way had made is in the archive, and is not restored by itself.
pub async fn what_is_left_is_not_restored_by_itself(ground: &Ground) {
    let start = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9)); INSERT INTO t VALUES (1, 'x');
        CREATE TABLE w (id INT PRIMARY KEY); INSERT INTO w VALUES (1)";
    let mut session = at_two(ground, start).await;
    let kept = keeping(&mut session, Down, "ALTER TABLE t DROP COLUMN v; DROP TABLE w").await.kept;
    let ids: Vec<i64> = kept.iter().map(|it| it.id).collect();
    session.leave(&ids).await.expect("left");
    let up = "ALTER TABLE t ADD COLUMN v VARCHAR(9); CREATE TABLE w (id INT PRIMARY KEY)";
    let done = keeping(&mut session, Up, up).await;
    assert_eq!(done.restored, []);
    assert_eq!(list(&mut session, "SELECT v FROM t").await, ["-"]);
    // By hand it still is.
    assert_eq!(numbers(&session.restore(&ids).await.expect("an answer")), [(1, 0), (1, 0)]);
    assert_eq!(list(&mut session, "SELECT v FROM t").await, ["x"]);
    assert_eq!(list(&mut session, "SELECT id FROM w").await, ["1"]);
}
