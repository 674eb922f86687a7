//! How often the server is asked: what costs where the server is far away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sternway_database::port::prelude::*;
use sternway_database::{Settings, Work};
use sternway_model::catalog::Direction;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{self, TABLE, fresh, plan, session, up};

/// Passes on what client and server say, and counts how often the client begins to speak.
async fn relay(server: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut server = TcpStream::connect(server).await.expect("the server");
        let (mut from_client, mut from_server) = (vec![0; 65536], vec![0; 65536]);
        let mut client_spoke = false;
        loop {
            tokio::select! {
                Ok(read) = client.read(&mut from_client) => {
                    if read == 0 { return }
                    if !client_spoke { counted.fetch_add(1, Ordering::SeqCst); }
                    client_spoke = true;
                    server.write_all(&from_client[..read]).await.expect("the server");
                }
                Ok(read) = server.read(&mut from_server) => {
                    if read == 0 { return }
                    client_spoke = false;
                    client.write_all(&from_server[..read]).await.expect("the client");
                }
            }
        }
    });
    (port, turns)
}

#[tokio::test]
async fn a_migration_takes_two_trips_and_most_else_one() {
    let Some(fresh) = fresh().await else { return };
    let mut url = fresh.address();
    let server = format!("127.0.0.1:{}", url.port().expect("a port"));
    let (port, turns) = relay(server).await;
    url.set_port(Some(port)).expect("a port");
    let mut session = session(url.as_str()).await;
    // Hello, two of the password's, and which database this is.
    assert_eq!(turns.swap(0, Ordering::SeqCst), 4);
    let tables = [TABLE.to_owned()];
    session.lock(&tables, Duration::ZERO).await.expect("the locks");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 1, "lock");
    session.track(TABLE).await.expect("a track");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 1, "track");
    session.prepare_track(TABLE).await.expect("a table");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 2, "prepare_track");
    session.prepare_records().await.expect("records");
    turns.store(0, Ordering::SeqCst);
    let body = "CREATE TABLE a (x int); DROP TABLE a";
    let run = session.begin_run(&plan("app", "1.0.0", &[body, "SELECT 2"])).await.expect("a run");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 1, "begin_run");
    session.records("app").await.expect("records");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 5, "records");
    for settings in [Settings::Reset, Settings::Kept] {
        let step = up(1, body);
        let work = Work { settings, ..Work::of(&step, body, Some((run, 0))) };
        session.migrate(&work).await.expect("a step");
        assert_eq!(turns.swap(0, Ordering::SeqCst), 2, "migrate");
        session.migrate(&Work { body: "", ..work }).await.expect("a step");
        assert_eq!(turns.swap(0, Ordering::SeqCst), 1, "migrate nothing");
    }
    // As many looks, and none beside them; most of a journey's steps destroy nothing.
    let care = support::care("app", 1, Direction::Up);
    let step = up(1, body);
    let work = Work::of(&step, body, Some((run, 0)));
    session.migrate_preserving(&work, &care).await.expect("a step");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 10, "migrate_preserving");
    session.unlock().await.expect("no locks");
    assert_eq!(turns.swap(0, Ordering::SeqCst), 1, "unlock");
}
