//! Snapshots of PostgreSQL, by pg_dump and pg_restore.

use sqlx::{Connection as _, PgConnection};
use sternway_testing::Snapshot as Rows;

use super::{Port, corrupt};
use crate::support::{SECRET, Server, ask, block_on, execute, skip};

/// A port on a server, whose user may create databases.
pub fn port(test: &str) -> Option<(Server, Port)> {
    let server = Server::new(test)?;
    execute(&server.as_admin(), &format!("ALTER ROLE {} CREATEDB", server.name));
    let url = server.url.clone();
    let mut port = Port::new(|_| url);
    port.admin = Some((server.as_admin(), server.name.clone()));
    Some((server, port))
}

/// Rows of every kind.
pub fn fill(url: &str) {
    execute(
        url,
        "INSERT INTO ship (id, name, kind) SELECT n, 'ship ' || n, CASE n % 2 WHEN 0 THEN 'tug' END FROM generate_series(1, 500) n",
    );
    execute(
        url,
        "INSERT INTO berth (id, ship, depth) SELECT n, n * 2, n / 3.0 FROM generate_series(1, 100) n",
    );
}

/// Every row, read by other means.
pub fn rows(url: &str) -> Rows {
    block_on(async {
        let mut session = PgConnection::connect(url).await.expect("a session");
        Rows::of(&mut session, "public", &[]).await
    })
}

/// Drops whatever restores have left, so that the server is as it was.
pub fn tidy(port: &Port) {
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    assert_eq!(port.left("swapped_out").len() + port.left("unfinished").len(), 0);
}

/// Scenario 24: back to a snapshot of an older release. The restored database has nothing of the newer one, the row
/// counts are those of the manifest, and the old database is kept until somebody says otherwise.
#[test]
fn a_snapshot_is_taken_proven_restored_and_what_was_there_is_kept() {
    let Some((server, port)) = port("snapshots") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    execute(
        &server.as_admin(),
        &format!(
            "ALTER DATABASE {0} SET search_path TO \"$user\", public; ALTER DATABASE {0} SET application_name TO 'it''s';
             COMMENT ON DATABASE {0} IS 'a comment'; REVOKE TEMPORARY ON DATABASE {0} FROM PUBLIC",
            server.name
        ),
    );
    let attributes = "SELECT concat_ws(' ', (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), shobj_description(d.oid, 'pg_database'), pg_get_userbyid(datdba),
            (SELECT array_agg(c ORDER BY c) FROM pg_db_role_setting s, unnest(setconfig) c WHERE setdatabase = d.oid))
        FROM pg_database d WHERE datname = current_database()";
    let before = ask(&server.url, attributes);
    let taken = rows(&server.url);
    let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    assert_eq!(
        (&shape["release"], &shape["tables"]["public.ship"]),
        (&"1.1.0".into(), &500.into())
    );
    assert_eq!(shape["tracks"]["core"]["version"], 2);
    assert!(shape["proven"].is_object(), "{shape}");
    let id = shape["id"].as_str().expect("a name");
    // Then life goes on, to a newer schema.
    port.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    execute(&server.url, "CREATE TABLE session_share (id int PRIMARY KEY)");
    execute(&server.url, "INSERT INTO session_share VALUES (1), (2), (3)");
    // Its name is no reason to call it ours.
    execute(&server.url, "CREATE TABLE sternway_notes (id int PRIMARY KEY)");
    execute(&server.url, "INSERT INTO ship (id, name, flag) VALUES (501, 'new', 'de')");
    let later = rows(&server.url);
    port.run(&["snapshot", "restore", id, "--yes"]).ended(0).says(&[
        "public.ship: 500 rows then, 501 now",
        "public.session_share: not there then, 3 rows now",
        "public.sternway_notes: not there then, 0 rows now",
        "restored",
        "what was there is",
    ]);
    assert_eq!(rows(&server.url).differences(&taken), []);
    assert_eq!(ask(&server.url, attributes), before);
    assert_eq!(
        ask(&server.url, "SELECT coalesce(to_regclass('session_share')::text, 'none')"),
        "none"
    );
    assert_eq!(ask(&server.url, "SELECT version::text FROM schema_migrations"), "2");
    port.run(&["status"]).ended(0).says(&["of 1.1.0", "drift: none"]);
    // What was there is whole.
    let [kept] = port.left("swapped_out").try_into().expect("one");
    let old = server.as_admin().replace(&format!("/{}?", server.name), &format!("/{kept}?"));
    assert_eq!(rows(&old).differences(&later), []);
    tidy(&port);
}

/// Scenario 25: where `pg_restore --clean` leaves a mixture, ours is the snapshot and nothing else, and the mixture is
/// seen.
#[test]
fn a_restore_in_place_is_a_mixture_and_ours_is_not() {
    let Some((server, port)) = port("mixture") else { return };
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let id = port.take(&[]);
    port.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    let dump = port.file(&id);
    let mut clean = port.machine.program("pg_restore".as_ref());
    clean.args(["--clean", "--if-exists", "--dbname", &server.as_admin()]).arg(dump);
    let _ = clean.output().expect("pg_restore");
    // What the snapshot does not have has stayed.
    assert_eq!(ask(&server.url, "SELECT coalesce(to_regclass('berth')::text, 'none')"), "berth");
    let mixture = port.run(&["status"]);
    assert_eq!(mixture.code, Some(4), "{}", mixture.stdout);
    port.run(&["snapshot", "restore", &id, "--yes"]).ended(0);
    assert_eq!(ask(&server.url, "SELECT coalesce(to_regclass('berth')::text, 'none')"), "none");
    port.run(&["status"]).ended(0).says(&["of 1.0.0", "drift: none"]);
    tidy(&port);
}

#[test]
fn a_snapshot_that_was_changed_by_one_byte_is_refused() {
    let Some((server, port)) = port("corrupted") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    let id = port.take(&[]);
    let before = rows(&server.url);
    corrupt(&port.file(&id));
    for command in [&["snapshot", "prove", &id][..], &["snapshot", "restore", &id, "--yes"]] {
        port.run(command).ended(3).explains(&["is damaged", "the checksum of database.dump"]);
    }
    assert_eq!(rows(&server.url).differences(&before), []);
    assert_eq!(port.left("unfinished"), [""; 0]);
    // A manifest that was changed with it deceives nobody: what it restores to is compared.
    let manifest = port.store().join("harbour").join(&id).join("manifest.json");
    let text = std::fs::read_to_string(&manifest).expect("a manifest");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let other = port.take(&[]);
    let folder = port.store().join("harbour");
    for file in ["database.dump", "schema.json"] {
        std::fs::copy(folder.join(&other).join(file), folder.join(&id).join(file)).expect("a copy");
    }
    let there: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(folder.join(&other).join("manifest.json")).expect("a manifest"),
    )
    .expect("JSON");
    value["files"] = there["files"].clone();
    value["contents"]["public.ship"]["count"] = 499.into();
    std::fs::write(&manifest, value.to_string()).expect("a manifest");
    port.run(&["snapshot", "restore", &id, "--yes"]).ended(3).explains(&[
        "does not restore to what was taken: table public.ship has 500 rows and had 499",
    ]);
    assert_eq!(rows(&server.url).differences(&before), []);
    assert_eq!(port.left("unfinished"), [""; 0]);
    // Nothing of the password is anywhere in the store.
    let all = std::process::Command::new("grep").args(["-r", SECRET]).arg(port.store()).output();
    assert_eq!(all.expect("grep").status.code(), Some(1));
}

/// Whoever is connected is named, and nothing is done; or told to go.
#[test]
fn others_who_are_connected_are_in_the_way() {
    let Some((server, port)) = port("connected") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let id = port.take(&[]);
    execute(&server.url, "INSERT INTO ship (id, name) VALUES (1, 'since')");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let url = format!("{}&application_name=harbourmaster", server.url);
    let mut other = runtime.block_on(PgConnection::connect(&url)).expect("a session");
    port.run(&["snapshot", "restore", &id, "--yes"]).ended(3).explains(&[
        "others are connected",
        "harbourmaster",
        "stop the application",
    ]);
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM ship"), "1");
    port.run(&["snapshot", "restore", &id, "--end-sessions", "--yes"]).ended(0);
    assert!(runtime.block_on(other.ping()).is_err(), "the session goes on");
    assert_eq!(ask(&server.url, "SELECT count(*)::text FROM ship"), "0");
    tidy(&port);
}

/// Several tables at once, into a folder; and into a database beside the present one.
#[test]
fn a_folder_is_written_by_several_and_restored_beside() {
    let Some((server, port)) = port("several") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    let before = rows(&server.url);
    let id = port.take(&["--snapshot-jobs", "2", "--snapshot-compression", "0"]);
    let beside = format!("{}_beside", server.name);
    port.run(&["snapshot", "restore", &id, "--into", &beside, "--snapshot-jobs", "2", "--yes"])
        .ended(0);
    let url = server.as_admin().replace(&format!("/{}?", server.name), &format!("/{beside}?"));
    assert_eq!(rows(&url).differences(&before), []);
    execute(&server.as_admin(), &format!("DROP DATABASE {beside}"));
}

/// Rows are written all the time: they are in the snapshot or not, and it is proven all the same.
#[test]
fn a_snapshot_is_of_one_moment() {
    let Some((server, port)) = port("moment") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    let (stop, url) = (std::sync::atomic::AtomicBool::new(false), server.url.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async {
                let mut session = crate::support::Session::open(&url).await;
                let mut number = 1000;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    number += 1;
                    session
                        .run(&format!("INSERT INTO ship (id, name) VALUES ({number}, 'x')"))
                        .await;
                }
            });
        });
        let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(shape["proven"].is_object(), "{shape}");
    });
}

#[test]
fn a_program_that_is_too_old_or_absent_is_told_before_anything() {
    let Some((_server, port)) = port("tools") else { return };
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let tools = port.machine.text("tools");
    let create = ["snapshot", "create", "--snapshot-tools", &tools];
    port.run(&create).ended(1).explains(&["no pg_restore fits PostgreSQL", "there is none in"]);
    for program in ["pg_dump", "pg_restore"] {
        port.machine.write(
            &format!("tools/{program}"),
            &format!("#!/bin/sh\necho '{program} (PostgreSQL) 9.6.1'\n"),
        );
        let made = std::process::Command::new("chmod")
            .arg("+x")
            .arg(port.machine.path("tools").join(program))
            .status();
        assert!(made.expect("chmod").success());
    }
    port.run(&create).ended(1).explains(&["there is only pg_restore 9.6.1, which is too old"]);
    port.run(&["snapshot", "list"]).ended(0).says(&["no snapshot of harbour"]);
}

#[test]
fn snapshots_are_removed_by_name_age_and_number() {
    let Some((_server, port)) = port("pruned") else { return };
    port.run(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let ids = [port.take(&[]), port.take(&[]), port.take(&[])];
    let unfinished = port.store().join("harbour/20200101T000000Z");
    std::fs::create_dir_all(&unfinished).expect("a folder");
    port.run(&["snapshot", "list"]).ended(0).says(&["20200101T000000Z", "unfinished", "taken"]);
    port.run(&["snapshot", "restore", "20200101T000000Z", "--yes"])
        .ended(3)
        .explains(&["is unfinished"]);
    port.run(&["snapshot", "prune", "--keep", "1"]).ended(2).explains(&["--yes"]);
    port.run(&["snapshot", "prune", "--keep", "1", "--unfinished", "--yes"]).ended(0).says(&[
        &format!("removed snapshot {}", ids[0]),
        &format!("removed snapshot {}", ids[1]),
        "removed snapshot 20200101T000000Z",
    ]);
    port.run(&["snapshot", "show", "latest"]).ended(0).says(&[
        &ids[2],
        "track        core at 1",
        "release      1.0.0",
    ]);
    port.run(&["snapshot", "prune", &ids[2], "--yes"]).ended(0);
    port.run(&["snapshot", "show", "latest"]).ended(2).explains(&["there is no snapshot `latest`"]);
}

/// Encrypted by the program age, where it is.
#[test]
fn an_encrypted_snapshot_is_read_only_with_its_identity() {
    let Some((server, port)) = port("sealed") else { return };
    let key = port.machine.text("key");
    let made = std::process::Command::new("age-keygen").args(["-o", &key]).output();
    let Ok(made) = made else { return skip("sealed", "there is no program age") };
    let words = String::from_utf8_lossy(&made.stderr).into_owned();
    let recipient = words.split_whitespace().last().expect("a key").to_owned();
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    fill(&server.url);
    let id = port.take(&["--snapshot-recipient", &recipient]);
    let bytes = std::fs::read(port.file(&id)).expect("a file");
    assert!(bytes.starts_with(b"age-encryption.org"));
    port.run(&["snapshot", "prove", &id])
        .ended(2)
        .explains(&["is encrypted", "--snapshot-identity"]);
    port.run(&["snapshot", "prove", &id, "--snapshot-identity", &key]).ended(0).says(&["proven"]);
    let id = port.take(&["--snapshot-recipient", &recipient, "--snapshot-jobs", "2"]);
    port.run(&["snapshot", "prove", &id, "--snapshot-identity", &key]).ended(0).says(&["proven"]);
}
