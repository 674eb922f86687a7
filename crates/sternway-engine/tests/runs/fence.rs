//! The fence around a run, with real clients on the other side of it.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_engine::event::{Event, Observer};
use sternway_engine::fence::{FenceError, lower, raise};
use sternway_model::fence::{FenceMode, FenceRequest};

use crate::support::{self, ask, fresh, needs, session};

const APP: &str = "app";

/// What was told.
#[derive(Default)]
struct Told(Vec<&'static str>);

impl Observer for Told {
    fn tell(&mut self, event: &Event<'_>) {
        self.0.push(match event {
            Event::FenceFound(_) => "found",
            Event::FenceRaised(_) => "raised",
            Event::NobodyToFence => "nobody",
            Event::Waiting(_) => "waiting",
            Event::Ending(_) => "ending",
            other => panic!("{other:?}"),
        });
    }
}

/// A database with a role for the application.
struct Place {
    /// Sternway's session, as superuser.
    us: Postgres,
    role: String,
    url: String,
}

impl Place {
    async fn new(test: &str, name: &str) -> Option<Place> {
        let url = needs(test, "STERNWAY_TEST_PG_URL")?;
        let url = fresh(&url, name).await;
        let mut us = session(&url).await;
        let role = format!("{name}_app");
        us.execute(&format!("DROP ROLE IF EXISTS {role}")).await.expect("no such role");
        us.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await.expect("a role");
        let (_, server) = url.split_once('@').expect("a user in the URL");
        let url = format!("postgres://{role}:secret@{server}&application_name=controller");
        Some(Place { us, role, url })
    }

    async fn client(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url).await
    }

    async fn rights(&mut self) -> String {
        let rights =
            "SELECT coalesce(datacl, acldefault('d', datdba))::text || (SELECT count(*) FROM
            pg_db_role_setting s WHERE s.setdatabase = d.oid)
            FROM pg_database d WHERE datname = current_database()";
        ask(&mut self.us, rights).await
    }

    async fn gone(mut self) {
        self.us.execute(&format!("DROP ROLE {}", self.role)).await.expect("nothing left of it");
    }
}

fn asked(mode: impl Into<Option<FenceMode>>, end: bool, wait: u64) -> FenceRequest {
    FenceRequest { mode: mode.into(), roles: Vec::new(), others: true, end, wait }
}

#[tokio::test]
async fn a_client_that_stays_makes_the_run_give_up_and_the_fence_go() {
    let Some(mut place) = Place::new("a client that stays", "sternway_fence_stays").await else {
        return;
    };
    let before = place.rights().await;
    let mut client = place.client().await.expect("a client");
    for kind in [None, Some(FenceMode::ReadOnly), Some(FenceMode::NoConnect)] {
        let mut told = Told::default();
        let start = Instant::now();
        let error = raise(&mut place.us, APP, None, &asked(kind, false, 1), &mut told).await;
        let Err(FenceError::StillThere(there)) = error else { panic!("{error:?}") };
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(there.len(), 1);
        assert_eq!((&there[0].user, there[0].application.as_str()), (&place.role, "controller"));
        assert_eq!(told.0.last(), Some(&"waiting"));
        assert_eq!(place.rights().await, before);
    }
    // It was let be.
    sqlx::raw_sql("SELECT 1").execute(&mut client).await.expect("a session");
    drop(client);
    place.gone().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_waited_for_and_comes_back_when_the_fence_is_gone() {
    let Some(mut place) = Place::new("a client that leaves", "sternway_fence_leaves").await else {
        return;
    };
    let before = place.rights().await;
    let client = place.client().await.expect("a client");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        drop(client);
    });
    let mut told = Told::default();
    let options = asked(FenceMode::NoConnect, false, 10);
    let raised = raise(&mut place.us, APP, None, &options, &mut told).await;
    assert!(raised.expect("a fence").is_some());
    assert_eq!(told.0, ["raised", "waiting"]);
    place.client().await.expect_err("a fence");
    assert_eq!(lower(&mut place.us, APP).await.expect("a way out").len(), 1);
    assert_eq!(lower(&mut place.us, APP).await.expect("nothing to do").len(), 0);
    assert_eq!(place.rights().await, before);
    drop(place.client().await.expect("a client"));
    place.gone().await;
}

#[tokio::test]
async fn clients_are_ended_when_that_is_wanted() {
    let Some(mut place) = Place::new("clients are ended", "sternway_fence_ends").await else {
        return;
    };
    for kind in [None, Some(FenceMode::ReadOnly), Some(FenceMode::NoConnect)] {
        let mut client = place.client().await.expect("a client");
        let mut told = Told::default();
        let raised = raise(&mut place.us, APP, None, &asked(kind, true, 0), &mut told).await;
        assert_eq!(raised.expect("a way").is_some(), kind.is_some());
        assert_eq!(told.0.last(), Some(&"ending"));
        sqlx::raw_sql("SELECT 1").execute(&mut client).await.expect_err("an end");
        match kind {
            Some(FenceMode::NoConnect) => drop(place.client().await.expect_err("a fence")),
            Some(FenceMode::ReadOnly) => {
                let mut client = place.client().await.expect("a reader");
                let wrote = sqlx::raw_sql("CREATE TEMP TABLE t (x int); CREATE ROLE x")
                    .execute(&mut client);
                let error = wrote.await.expect_err("a fence").to_string();
                assert!(error.contains("read-only"), "{error}");
            }
            None => drop(place.client().await.expect("nobody is kept out")),
        }
        lower(&mut place.us, APP).await.expect("a way out");
    }
    place.gone().await;
}

#[tokio::test]
async fn what_a_crash_left_standing_is_found_by_the_next_run() {
    let Some(mut place) = Place::new("what a crash left", "sternway_fence_crash").await else {
        return;
    };
    let before = place.rights().await;
    let mut named = asked(FenceMode::NoConnect, false, 0);
    named.roles.push(place.role.clone());
    let raised = raise(&mut place.us, APP, None, &named, &mut Told::default()).await;
    let raised = raised.expect("a fence").expect("one that stands");
    // The process dies here. Another one knows nothing but the records.
    let url = needs("what a crash left", "STERNWAY_TEST_PG_URL").expect("a server");
    let url = support::other_database(&url, "sternway_fence_crash");
    place.us = session(&url).await;
    assert_eq!(place.us.fences(APP).await.expect("the fences"), [raised]);
    let mut told = Told::default();
    let again = raise(&mut place.us, APP, None, &asked(None, false, 0), &mut told).await;
    assert_eq!((again.expect("no fence"), told.0), (None, vec!["found"]));
    assert_eq!(place.rights().await, before);
    drop(place.client().await.expect("a client"));
    place.gone().await;
}

#[tokio::test]
async fn with_no_one_there_and_no_one_named_there_is_nothing_to_fence() {
    let Some(mut place) = Place::new("no one there", "sternway_fence_nobody").await else { return };
    let options = asked(FenceMode::NoConnect, true, 0);
    let raised = raise(&mut place.us, APP, None, &options, &mut Told::default()).await;
    assert_eq!(raised.expect("nothing"), None);
    place.gone().await;
}
