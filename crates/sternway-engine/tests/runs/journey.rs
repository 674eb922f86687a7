//! A whole rollback as a page or an operator makes it: through the engine's public functions, with an
//! approval and an observer of its own.

use std::error::Error;

use sternway_database::Dialect;
use sternway_database::port::prelude::*;
use sternway_engine::event::{Event, Observer};
use sternway_engine::gather::{Settings, Source};
use sternway_engine::journey::{Approval, Journey, Manner, Ports, prepare, travel};
use sternway_engine::run::Outcome;
use sternway_engine::shadow::Shadow;
use sternway_model::catalog::Catalog;
use sternway_model::plan::{Course, Request};

use crate::support::{Proofs, embedded, release};

/// Where the releases are.
pub struct Shelf(pub Catalog);

impl Source for Shelf {
    fn catalog(&mut self) -> Result<Catalog, Box<dyn Error + Send + Sync>> {
        Ok(self.0.clone())
    }
}

/// What was told.
#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Migrated { step, .. } => self.0.push(step.file.clone()),
            Event::Proved { release, .. } => self.0.push(format!("{release} is proved")),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_program_makes_a_journey_without_a_command_line() {
    let (app, _folder) = super::run::harbour();
    let mut database = embedded(&["vector"]).await;
    app.install(&Proofs::default(), &mut database, "1.1.2").await;
    let settings = Settings {
        app: "harbour".to_owned(),
        tracks: app.catalog.tracks.clone(),
        policy: app.policy.clone(),
        dialect: Dialect::Postgres,
        running: Some(release("1.1.2")),
        offline: false,
    };
    let (mut source, mut log) = (Shelf(app.catalog.clone()), Log::default());
    let request = Request { course: Some(Course::Rollback), ..Request::to(release("1.0.3")) };
    let mut ports = Ports {
        source: Some(&mut source),
        database: &mut database,
        app: None,
        snapshots: None,
        shadow: &Shadow::inside(Dialect::Postgres),
        observer: &mut log,
    };
    let manner = Manner::default();
    let denied = prepare(&settings, &request, &manner, &mut ports).await.expect("a journey");
    travel(denied, &manner, |_| Approval::Denied, &mut ports)
        .await
        .expect_err("it was not approved");
    let journey = prepare(&settings, &request, &manner, &mut ports).await.expect("a journey");
    let approve = |journey: &Journey| {
        assert!(journey.plan().steps().all(|step| step.effects.is_some()), "it is not final");
        Approval::Given
    };
    let (_, outcome) = travel(journey, &manner, approve, &mut ports).await.expect("an end");
    assert!(matches!(outcome, Outcome::Arrived { .. }), "{outcome:?}");
    assert_eq!(log.0.last().map(String::as_str), Some("1.0.3 is proved"));
    assert_eq!(log.0.len(), 6, "{:?}", log.0);
    assert!(database.unfinished("harbour").await.expect("records").is_none());
}
