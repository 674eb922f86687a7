//! A query of the user's own may only look, whatever it says.

use super::{Ground, Session, went};

/// Queries that would write, if they were put into ours as they are, or that are none.
const HOSTILE: [&str; 14] = [
    "",
    ";",
    "-- nothing",
    "DELETE FROM t",
    "SELECT 1; DELETE FROM t",
    "SELECT 1; COMMIT; DELETE FROM t; SELECT 1",
    "SELECT 1) AS q(x); COMMIT; DELETE FROM t; SELECT * FROM (SELECT 1",
    "SELECT 1) AS q) AS w; COMMIT; DELETE FROM t; SELECT * FROM (SELECT * FROM (SELECT 1",
    "SELECT 1)); PRAGMA query_only = 0; DELETE FROM t; SELECT * FROM (SELECT * FROM (SELECT 1",
    "SELECT 1) AS q(x) -- ",
    "SELECT 1) AS q) AS w INTO OUTFILE '/tmp/sternway-contract' -- ",
    "SELECT 1 INTO OUTFILE '/tmp/sternway-contract'",
    "SELECT 1 /*!50000 ) AS q) AS w; COMMIT; DELETE FROM t; -- */",
    "SELECT 'a",
];

async fn count(session: &mut Session) -> Option<String> {
    session.query("SELECT count(*) FROM t", 1).await.expect("a count").pop().flatten()
}

/// Whatever a query says, nothing is written, and the session goes on as before.
pub async fn a_query_writes_nothing_whatever_it_says(ground: &Ground) {
    let mut session = ground.session().await;
    went(&mut session, None, Some(1), "CREATE TABLE t (a int)").await;
    went(&mut session, Some(1), Some(2), "INSERT INTO t VALUES (1), (2)").await;
    let server = session.identity().server.clone();
    let runs_comments = server.contains("MariaDB") || server.starts_with("MySQL");
    for hostile in HOSTILE {
        if hostile.contains("/*!") && !runs_comments {
            continue; // A comment like any other.
        }
        let answer = session.query(hostile, 9).await;
        assert!(answer.is_err(), "{server}: {hostile}: {answer:?}");
        assert_eq!(count(&mut session).await.as_deref(), Some("2"), "{server}: {hostile}");
        assert_eq!(count(&mut ground.session().await).await.as_deref(), Some("2"), "{hostile}");
    }
    let semicolon = session.query("SELECT ';' FROM t WHERE a = (1)", 9).await.expect("an answer");
    assert_eq!(semicolon, [Some(";".to_owned())]);
    // Code that writes is refused by the server.
    let writes = match server.split(' ').next() {
        Some("SQLite") => return,
        Some("PostgreSQL") => {
            "CREATE FUNCTION w() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (9) RETURNING 1'"
        }
        _ => {
            "CREATE FUNCTION w() RETURNS int DETERMINISTIC
             BEGIN INSERT INTO t VALUES (9); RETURN 1; END"
        }
    };
    went(&mut session, Some(2), Some(3), writes).await;
    assert!(session.query("SELECT w()", 1).await.is_err(), "{server}");
    went(&mut session, Some(3), Some(4), "INSERT INTO t VALUES (3)").await;
    assert_eq!(count(&mut session).await.as_deref(), Some("3"), "{server}");
}
