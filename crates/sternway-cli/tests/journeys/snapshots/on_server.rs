//! Snapshots that are databases on the server.

use sqlx::{Connection as _, PgConnection};

use super::killed::killed_everywhere;
use super::postgres::{fill, port, rows, tidy};
use super::{Port, sqlite};
use crate::support::{Server, ask, execute};

/// The databases beside the one of the test that are snapshots.
fn copies(server: &Server) -> Vec<String> {
    let like = "SELECT coalesce(string_agg(datname, ' ' ORDER BY 1), '') FROM pg_database WHERE starts_with(datname, '{}_sternway_copy_')";
    let names = ask(&server.as_admin(), &like.replace("{}", &server.name));
    names.split_whitespace().map(str::to_owned).collect()
}

fn filled(test: &str) -> Option<(Server, Port)> {
    let (server, port) = port(test)?;
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    Some((server, port))
}

const CREATE: [&str; 3] = ["snapshot", "create", "--on-server"];

#[test]
fn a_database_on_the_server_is_a_snapshot_as_files_are() {
    let Some((server, port)) = filled("on_server") else { return };
    let taken = rows(&server.url);
    let shape = port.json("sternway.snapshot/1", &[&CREATE[..], &["--prove"]].concat());
    let id = shape["id"].as_str().expect("a name");
    let [copy] = copies(&server).try_into().expect("one");
    assert_eq!(shape["copy"], *copy);
    assert_eq!(
        (&shape["release"], &shape["tables"]["public.ship"]),
        (&"1.1.0".into(), &500.into())
    );
    assert!(shape["proven"].is_object(), "{shape}");
    port.run(&["snapshot", "show", id]).ended(0).says(&["kept as", &copy]);
    // Nobody writes to it.
    let url = server.as_admin().replace(&format!("/{}?", server.name), &format!("/{copy}?"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(PgConnection::connect(&url)).expect_err("nobody connects");
    port.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    execute(&server.url, "DELETE FROM ship WHERE id > 400");
    // Twice: it is there afterwards.
    for _ in 0..2 {
        port.run(&["snapshot", "restore", "latest", "--yes"]).ended(0).says(&["restored"]);
        assert_eq!(rows(&server.url).differences(&taken), []);
        port.run(&["status"]).ended(0).says(&["of 1.1.0", "drift: none"]);
    }
    tidy(&port);
    assert_eq!(copies(&server), [&*copy]);
    // Who has changed it all the same is found out.
    execute(&server.as_admin(), &format!("ALTER DATABASE {copy:?} ALLOW_CONNECTIONS true"));
    execute(&url, "UPDATE ship SET name = 'other' WHERE id = 1");
    let restore = ["snapshot", "restore", id, "--yes"];
    port.run(&restore).ended(3).explains(&["the checksum of the rows of public.ship"]);
    // Whoever is connected to it is in the way of nothing but a copy.
    let mut other = runtime.block_on(PgConnection::connect(&url)).expect("a session");
    port.run(&restore).ended(3).explains(&["others are connected", &copy]);
    runtime.block_on(other.ping()).expect("nobody has ended it");
    drop(other);
    execute(&server.as_admin(), &format!("DROP DATABASE {copy:?} WITH (FORCE)"));
    port.run(&restore).ended(3).explains(&["there is none of that name on this server"]);
    assert_eq!(rows(&server.url).differences(&taken), []);
    port.run(&["snapshot", "prune", id, "--yes"]).ended(0).says(&["removed snapshot"]);
    // Nobody is led to another database by what lies in a store.
    let id = port.take(&["--on-server"]);
    let store = port.store().join("harbour").join(&id);
    std::fs::write(store.join("copy"), &server.name).expect("a file");
    port.run(&restore_of(&id)).ended(3).explains(&["is damaged"]);
    port.run(&["snapshot", "prune", &id, "--yes"]).ended(0);
    assert_eq!(rows(&server.url).differences(&taken), []);
}

fn restore_of(id: &str) -> [&str; 4] {
    ["snapshot", "restore", id, "--yes"]
}

#[test]
fn a_database_that_others_use_is_not_copied() {
    let Some((server, port)) = filled("copied_used") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let url = format!("{}&application_name=harbourmaster", server.url);
    let mut other = runtime.block_on(PgConnection::connect(&url)).expect("a session");
    port.run(&CREATE).ended(3).explains(&[
        "others are connected",
        "harbourmaster",
        "--end-sessions",
    ]);
    runtime.block_on(other.ping()).expect("nobody has ended it");
    assert_eq!(copies(&server), [""; 0]);
    port.run(&["snapshot", "list"]).ended(0).says(&["no snapshot of harbour"]);
    port.run(&[&CREATE[..], &["--end-sessions"]].concat()).ended(0).says(&["on the server"]);
    assert!(runtime.block_on(other.ping()).is_err(), "the session goes on");
    assert_eq!(copies(&server).len(), 1);
    port.run(&["snapshot", "prune", "--keep", "0", "--yes"]).ended(0).says(&["dropped database"]);
    assert_eq!(copies(&server), [""; 0]);
    sqlite::port().run(&CREATE).ended(2).explains(&["SQLite copies no databases", "--on-server"]);
}

/// Killed anywhere, nothing is left that cannot be removed, and what says that it is whole is so.
#[test]
fn a_copy_on_the_server_is_killed_everywhere() {
    let Some((server, port)) = filled("copied_cut") else { return };
    let taken = rows(&server.url);
    killed_everywhere(&port, &CREATE, |point| {
        assert_eq!(rows(&server.url).differences(&taken), [], "{point}");
        port.run(&["status"]).ended(0);
    });
    assert!(copies(&server).len() > 2, "{:?}", copies(&server));
    port.run(&["snapshot", "prune", "--unfinished", "--yes"]).ended(0).says(&["dropped database"]);
    let list = port.json("sternway.snapshot.list/1", &["snapshot", "list"]);
    let whole = list["snapshots"].as_array().expect("rows");
    assert!(whole.iter().all(|it| it["error"].is_null()), "{list}");
    assert_eq!(copies(&server).len(), whole.len());
    execute(&server.url, "DELETE FROM berth");
    killed_everywhere(&port, &restore_of("latest"), |point| {
        let count = ask(&server.url, "SELECT count(*)::text FROM berth");
        assert!(["0", "100"].contains(&&*count), "{point}: {count}");
    });
    assert_eq!(rows(&server.url).differences(&taken), []);
    killed_everywhere(&port, &["snapshot", "prune", "--keep", "0", "--yes"], |_| ());
    assert_eq!(copies(&server), [""; 0]);
    tidy(&port);
}
