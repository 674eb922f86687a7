//! A kept copy does not depend on what goes with it: of every kind of object that a column can depend on,
//! the body that drops it runs with the archive's care as it does without, and all values come back.

#[path = "kinds/mysql.rs"]
mod mysql;
#[path = "kinds/postgres.rs"]
mod postgres;
#[path = "kinds/sqlite.rs"]
mod sqlite;

use sternway_database::{Dialect, StepError};
use sternway_model::catalog::Direction;
use sternway_model::state::TrackingRow;

use self::mysql::MYSQL;
use self::postgres::POSTGRES;
use self::sqlite::SQLITE;
use super::support::{TABLE, care, careful, whole};
use super::{Ground, Session, go};

/// What it is, what makes it, the column `v` or the whole table `t` that depends on it, what is made of the
/// table then, three values, and what drops it.
type Kind =
    (&'static str, &'static str, &'static str, &'static str, [&'static str; 3], &'static str);

const NOTHING: &str = "SELECT 1";
const DEFAULTS: [&str; 3] = ["DEFAULT"; 3];
const NUMBERS: [&str; 3] = ["1", "2", "NULL"];
const TEXTS: [&str; 3] = ["'a'", "'b'", "NULL"];

/// The halves that take something away, the last one first, and those that make it again.
type Way = Vec<(String, String)>;

fn is_table(kind: &Kind) -> bool {
    kind.2.starts_with("CREATE TABLE")
}

fn table(kind: &Kind, always: bool) -> String {
    let unless = if always { "" } else { "IF NOT EXISTS " };
    match is_table(kind) {
        true => kind.2.replacen("CREATE TABLE ", &format!("CREATE TABLE {unless}"), 1),
        false => format!("CREATE TABLE {unless}t (id INT PRIMARY KEY, v {})", kind.2),
    }
}

/// Every way on which the object and what depends on it go.
fn ways(dialect: Dialect, kind: &Kind) -> Vec<Way> {
    let (_, make, column, after, _, drop) = *kind;
    let drops_column = "ALTER TABLE t DROP COLUMN v".to_owned();
    let makes_column = format!("ALTER TABLE t ADD COLUMN v {column}");
    let both = |first: &str, second: &str| format!("{first};\n{second}");
    let one = |down: String, up: String| vec![(down, both(&up, after))];
    let new = table(kind, true);
    let mut ways = vec![
        one(both("DROP TABLE t", drop), both(make, &new)),
        one(both(drop, "DROP TABLE t"), both(make, &new)),
        one(both("DELETE FROM t WHERE id = 1", &both("DROP TABLE t", drop)), both(make, &new)),
        // The one long after the other.
        vec![(drop.to_owned(), make.to_owned()), ("DROP TABLE t".to_owned(), both(&new, after))],
    ];
    if !is_table(kind) {
        ways.extend([
            one(both(&drops_column, drop), both(make, &makes_column)),
            one(both(drop, &drops_column), both(make, &makes_column)),
            vec![
                (drop.to_owned(), make.to_owned()),
                (drops_column.clone(), both(&makes_column, after)),
            ],
            vec![
                (both(&drops_column, drop), both(make, &makes_column)),
                ("DELETE FROM t WHERE id = 2".to_owned(), after.to_owned()),
            ],
        ]);
    }
    if dialect == Dialect::Postgres {
        let again = match is_table(kind) {
            true => table(kind, false),
            false => {
                let column = makes_column.replace("COLUMN", "COLUMN IF NOT EXISTS");
                both(&table(kind, false), &column)
            }
        };
        let cascade = format!("{drop} CASCADE");
        // A value stays where it is, and is that of nothing then.
        if !kind.0.ends_with("as a value") {
            ways.push(vec![(cascade.clone(), both(make, &again))]);
            ways.push(vec![(both("VACUUM pg_am", &cascade), both(make, &again))]);
        }
        // Statement by statement.
        ways.push(one(both("DROP TABLE t; VACUUM pg_am", drop), both(make, &new)));
        if !is_table(kind) {
            let down = both(&drops_column, &both("VACUUM pg_am", drop));
            ways.push(one(down, both(make, &makes_column)));
            let down = both("ALTER TABLE t ALTER v TYPE text USING v::text", drop);
            ways.push(one(
                down,
                both(make, &format!("ALTER TABLE t ALTER v TYPE {column} USING v::{column}")),
            ));
        }
    }
    ways
}

/// Runs a half of a migration, with the archive's care where there is an application.
async fn half(
    session: &mut Session,
    direction: Direction,
    version: u64,
    body: &str,
    app: Option<&str>,
) -> Result<(), StepError> {
    let (from, to) = match direction {
        Direction::Down => (version, version - 1),
        Direction::Up => (version - 1, version),
    };
    let Some(app) = app else { return go(session, from, to, body, None).await };
    careful(&mut **session, &care(app, version, direction), body).await.map(drop)
}

/// Makes the object, the table, and three rows; says whether there can be such an object.
async fn filled(session: &mut Session, dialect: Dialect, kind: &Kind) -> bool {
    let (name, make, _, after, values, _) = kind;
    let rows = values.iter().zip(1..).map(|(value, id)| match value.is_empty() {
        true => format!("INSERT INTO t (id) VALUES ({id})"),
        false => format!("INSERT INTO t (id, v) VALUES ({id}, {value})"),
    });
    let rows = rows.collect::<Vec<_>>().join(";\n");
    let clean = match dialect {
        Dialect::Postgres => {
            "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS k CASCADE; DROP PUBLICATION IF EXISTS k;
             DROP ACCESS METHOD IF EXISTS k CASCADE; DROP FOREIGN DATA WRAPPER IF EXISTS w CASCADE; CREATE SCHEMA public;
             CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
        }
        _ => NOTHING,
    };
    let all = [clean, make, &table(kind, true), after, &rows].join(";\n");
    session.prepare_track(TABLE).await.expect("a track");
    if let Err(error) = go(session, None, None, &all, None).await {
        let said = whole(&error);
        assert!(said.contains("is not available"), "{name}: {all}: {said}");
        return false;
    }
    let row = TrackingRow::clean(3);
    session.set_track(TABLE, row).await.expect("a position");
    true
}

async fn rows(session: &mut Session, dialect: Dialect) -> Vec<Option<String>> {
    let value = match dialect {
        Dialect::Postgres => "concat_ws('|', id, v::text)",
        Dialect::MySql => "concat_ws('|', id, hex(v))",
        Dialect::Sqlite => "id || '|' || quote(v)",
    };
    let rows = session.query(&format!("SELECT {value} FROM t ORDER BY id"), 9).await;
    rows.unwrap_or_default()
}

/// A way as the halves in their order: direction, number, body.
fn halves(way: &Way) -> Vec<(Direction, u64, &str)> {
    let first = 4 - way.len() as u64;
    let mut downs: Vec<_> =
        way.iter().zip(first..).map(|((down, _), at)| (Direction::Down, at, &**down)).collect();
    downs.reverse();
    let ups = way.iter().zip(first..).map(|((_, up), at)| (Direction::Up, at, &**up));
    downs.into_iter().chain(ups).collect()
}

/// Whether a way can be gone without care: what does not run by itself is nothing to be cared for.
async fn runs(session: &mut Session, dialect: Dialect, way: &Way) -> bool {
    if dialect != Dialect::Postgres {
        for (direction, version, body) in halves(way) {
            if half(session, direction, version, body, None).await.is_err() {
                return false;
            }
        }
        return true;
    }
    let bodies = halves(way).into_iter().map(|(_, _, body)| body.replace("VACUUM pg_am", NOTHING));
    let bodies: Vec<String> = bodies.chain(["SELECT 1 / 0".to_owned()]).collect();
    let ran = go(session, Some(3), Some(3), &bodies.join(";\n"), None).await;
    whole(&ran.expect_err("a division by zero")).contains("division by zero")
}

/// Goes one way with the archive's care, if it can be gone at all. Says what is wrong.
async fn gone(
    ground: &Ground,
    session: &mut Session,
    dialect: Dialect,
    kind: &Kind,
    number: usize,
    way: &Way,
) -> Option<Result<(), String>> {
    // PostgreSQL's is emptied, and takes back what was only tried.
    let mut fresh = None;
    if dialect != Dialect::Postgres {
        let tried = ground.another().await;
        let mut alone = tried.session().await;
        if !filled(&mut alone, dialect, kind).await || !runs(&mut alone, dialect, way).await {
            return None;
        }
        *session = fresh.insert(ground.another().await).session().await;
    }
    if !filled(session, dialect, kind).await {
        return None;
    }
    if dialect == Dialect::Postgres && !runs(session, dialect, way).await {
        return None;
    }
    session.prepare_records().await.expect("records");
    let before = rows(session, dialect).await;
    assert_eq!(before.len(), 3, "{}", kind.0);
    let app = format!("app {number}");
    for (direction, version, body) in halves(way) {
        if let Err(error) = half(session, direction, version, body, Some(&app)).await {
            return Some(Err(format!("{direction}: {body}: {}", whole(&error))));
        }
    }
    let after = rows(session, dialect).await;
    let entries = session.archive(&app).await.expect("the archive");
    let waiting: Vec<_> =
        entries.iter().filter(|it| it.direction == Direction::Down && it.waiting() > 0).collect();
    let good = before == after && waiting.is_empty();
    Some(good.then_some(()).ok_or_else(|| format!("{way:?}: {before:?} {after:?} {waiting:?}")))
}

/// What is kept comes back, whatever went with it.
pub async fn a_kept_copy_does_not_depend_on_what_goes_with_it(ground: &Ground) {
    let dialect = Dialect::of(&ground.url).expect("a dialect");
    let kinds = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::MySql => MYSQL,
        Dialect::Sqlite => SQLITE,
    };
    let mut wrong = Vec::new();
    let every = std::env::var_os("STERNWAY_TEST_EVERY_KIND").is_some();
    for (at, kind) in kinds.iter().enumerate() {
        let ground = ground.another().await;
        let mut session = ground.session().await;
        let mut went = 0;
        for (number, way) in ways(dialect, kind).iter().enumerate() {
            // Each other kind goes each other way, and every kind goes on one.
            if (at + number) % 2 > 0 && went > 0 && !every {
                continue;
            }
            match gone(&ground, &mut session, dialect, kind, number, way).await {
                Some(Ok(())) => went += 1,
                Some(Err(said)) => wrong.push(format!("{}: {said}", kind.0)),
                None => {}
            }
        }
        if went == 0 && !kind.1.contains("EXTENSION") {
            wrong.push(format!("{}: on no way", kind.0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
