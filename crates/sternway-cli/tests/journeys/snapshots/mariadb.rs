//! Snapshots of MariaDB, by mariadb-dump. Here no two databases change places.

use crate::both::server::Kind;
use crate::both::{Pair, Place};

use super::{Port, corrupt};

#[test]
fn a_database_is_copied_proven_and_restored_beside() {
    let Some(pair) = Pair::new(Kind::MariaDb, "snapshots of MariaDB") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut port = Port::new(|_| place.url(""));
    port.rehearsal = Some(place.url(""));
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    place.execute(
        &mut admin,
        "INSERT INTO ship (id, name, kind) VALUES (1, 'Anna', 'tug'), (2, 'Bérta', NULL), (3, '', 'ferry');
         INSERT INTO berth (id, ship, depth) VALUES (1, 1, 0.1), (2, NULL, 1e30);
         CREATE TABLE of_all (id bigint AUTO_INCREMENT PRIMARY KEY, b blob, t timestamp(3) NULL, d decimal(20,5), j json,
             n int, g int GENERATED ALWAYS AS (n + 1) STORED, s set('x','y'), bits bit(5));
         INSERT INTO of_all (n, b, t, d, j, s, bits) VALUES (7, x'00ff27', '2026-01-02 03:04:05.678', 1.5, '{\"a\": 1}', 'x,y', b'10101');
         CREATE VIEW ships AS SELECT name FROM ship;
         CREATE TRIGGER ship_named BEFORE INSERT ON ship FOR EACH ROW SET NEW.name = TRIM(NEW.name);
         CREATE PROCEDURE p() SELECT 1",
    );
    let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    assert_eq!((&shape["release"], &shape["tables"]["ship"]), (&"1.1.0".into(), &3.into()));
    assert!(shape["proven"].is_object(), "{shape}");
    let id = shape["id"].as_str().expect("a name");
    let beside = format!("{}_beside", place.name);
    port.run(&["snapshot", "restore", id, "--into", &beside, "--yes"]).ended(0).says(&["restored"]);
    let other = place.url("").replace(&place.name, &beside);
    let names = |url: &str| {
        let mut command = port.machine.command(&["snapshot", "create", "--output", "json"]);
        command
            .env("STERNWAY_DATABASE", url)
            .env("STERNWAY_SNAPSHOT_STORE", port.machine.text("others"));
        let run = crate::support::Run::of(command).ended(0).json("sternway.snapshot/1");
        (run["tables"].clone(), run["fingerprint"].clone())
    };
    assert_eq!(names(&other), names(&place.url("")));
    place.execute(&mut admin, &format!("DROP DATABASE {beside}"));
    // In its place it cannot be.
    port.run(&["snapshot", "restore", id, "--yes"])
        .ended(3)
        .explains(&["cannot rename a database", "--into NAME"]);
    assert_eq!(port.left("unfinished"), [""; 0]);
    corrupt(&port.file(id));
    port.run(&["snapshot", "prove", id]).ended(3).explains(&["is damaged"]);
}
