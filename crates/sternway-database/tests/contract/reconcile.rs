//! What became of a statement that was under way when its session was lost.

use sternway_database::{Reconciled, Work};
use sternway_model::journal::Record;
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;

use super::support::{TABLE, plan, up};
use super::{Ground, Session, digest, go, on, went};

/// Bodies whose statement cannot commit together with its record: one that works, with what can be known
/// of it, and one that fails after it has begun.
fn bodies(session: &Session) -> [(&'static str, Reconciled); 2] {
    match session.identity().server.split(' ').next() {
        // To run it again does no harm.
        Some("SQLite") => {
            [("VACUUM", Reconciled::NotDone), ("ATTACH '/' AS x", Reconciled::NotDone)]
        }
        Some("PostgreSQL") => [
            ("CREATE INDEX CONCURRENTLY i ON a (x)", Reconciled::Done),
            ("CREATE UNIQUE INDEX CONCURRENTLY j ON a (y)", Reconciled::NotDone),
        ],
        _ => [
            ("CREATE INDEX i ON a (x)", Reconciled::Done),
            ("CREATE UNIQUE INDEX j ON a (y)", Reconciled::NotDone),
        ],
    }
}

/// A statement that took effect is told from one that did not, whatever others have done meanwhile.
pub async fn a_statement_that_took_effect_is_told_from_one_that_did_not(ground: &Ground) {
    let mut session = ground.session().await;
    session.prepare_records().await.expect("records");
    went(&mut session, None, Some(1), "CREATE TABLE a (x INT, y INT)").await;
    went(&mut session, Some(1), Some(2), "INSERT INTO a VALUES (1, 1), (2, 1)").await;
    let mut other = ground.session().await;
    other.prepare_track("others").await.expect("a table");
    for (body, expected) in bodies(&session) {
        let before = digest(&mut session).await;
        let run = session.begin_run(&plan("app", "1.0.0", &[body])).await.expect("a run");
        session.record(run, &Record::Started { step: 0 }).await.expect("a record");
        let works = go(&mut session, Some(2), Some(2), body, Some((run, 0))).await.is_ok();
        let mode = session.facts(body).mode;
        let mut step = up(2, body);
        step.mode = mode;
        let work = Work { from: 2.into(), ..Work::of(&step, body, Some((run, 0))) };
        // Whoever is not kept out by our locks goes on with his own.
        let made = on(
            &mut other,
            "others",
            (Position::Nothing, 1.into()),
            "CREATE TABLE meanwhile (x INT)",
            None,
        )
        .await;
        made.expect("a table");
        let found = session.reconcile(&work, 1).await.expect("an answer");
        assert_eq!(found, expected, "{body}, which works: {works}");
        assert_eq!(session.reconcile(&work, 9).await.expect("an answer"), Reconciled::Unknown);
        let gone =
            on(&mut other, "others", (1.into(), Position::Nothing), "DROP TABLE meanwhile", None)
                .await;
        gone.expect("no table");
        if !works {
            // Nothing of it is in the way of running it again.
            assert_eq!(digest(&mut session).await, before, "{body}");
            let row = TrackingRow::clean(2);
            session.set_track(TABLE, row).await.expect("a row");
        }
    }
}
