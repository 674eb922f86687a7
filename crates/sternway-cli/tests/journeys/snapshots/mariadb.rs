//! Snapshots of MariaDB, by mariadb-dump; its databases change places by their tables.

use super::killed::killed_everywhere;
use super::{Port, corrupt};
use crate::both::server::{Admin, Kind};
use crate::both::{Pair, Place};

const ROWS: &str = "
INSERT INTO ship (id, name, kind) VALUES (1, 'Anna', 'tug'), (2, 'Bérta', NULL), (3, '', 'ferry');
INSERT INTO berth (id, ship, depth) VALUES (1, 1, 0.1), (2, NULL, 1e30);
CREATE TABLE of_all (id bigint AUTO_INCREMENT PRIMARY KEY, b blob, t timestamp(3) NULL, d decimal(20,5), j json, n int,
    g int GENERATED ALWAYS AS (n + 1) STORED, s set('x','y'), bits bit(5));
INSERT INTO of_all (n, b, t, d, j, s, bits) VALUES (7, x'00ff27', '2026-01-02 03:04:05.678', 1.5, '{\"a\": 1}', 'x,y', b'10101');
CREATE VIEW named AS SELECT id, name FROM ship;
CREATE VIEW aa_first AS SELECT name FROM named;
CREATE TRIGGER ship_named BEFORE INSERT ON ship FOR EACH ROW SET NEW.name = TRIM(NEW.name);
CREATE PROCEDURE p() SELECT 1";

/// What is there, and that all of it works. The session is elsewhere then: it would be in the way.
fn look(admin: &mut Admin, place: &Place<'_>) -> Vec<String> {
    read(
        admin,
        place,
        "SELECT CONCAT('ship ', id, ' ', name, ' ', COALESCE(kind, '')) FROM ship
         UNION ALL SELECT CONCAT('berth ', id, ' ', COALESCE(ship, '')) FROM berth
         UNION ALL SELECT CONCAT('view ', name) FROM aa_first
         UNION ALL SELECT CONCAT('all ', HEX(b), t, d, j, g, s, HEX(bits)) FROM of_all
         UNION ALL SELECT CONCAT('trigger ', TRIGGER_NAME, EVENT_OBJECT_TABLE) FROM information_schema.TRIGGERS
             WHERE TRIGGER_SCHEMA = DATABASE()
         UNION ALL SELECT CONCAT('routine ', ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
         UNION ALL SELECT CONCAT('key ', TABLE_NAME, ' ', REFERENCED_TABLE_NAME, ' ', UNIQUE_CONSTRAINT_SCHEMA = DATABASE())
             FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() ORDER BY 1",
    )
}

/// What a question is answered; the session is elsewhere then.
pub fn read(admin: &mut Admin, place: &Place<'_>, sql: &str) -> Vec<String> {
    let rows = admin.rows(place, sql);
    write(admin, place, "SELECT 1");
    rows
}

/// Writes, and is elsewhere then.
pub fn write(admin: &mut Admin, place: &Place<'_>, sql: &str) {
    place.execute(admin, &format!("{sql}; USE mysql"));
}

pub fn port(place: &Place<'_>) -> Port {
    let mut port = Port::new(|_| place.url(""));
    port.rehearsal = Some(place.url(""));
    port
}

/// A database at 1.1.0 with rows, and what it is then.
fn filled(admin: &mut Admin, place: &Place<'_>) -> (Port, Vec<String>) {
    let port = port(place);
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    write(admin, place, ROWS);
    let taken = look(admin, place);
    (port, taken)
}

#[test]
fn a_database_is_copied_proven_and_restored() {
    let Some(pair) = Pair::new(Kind::MariaDb, "snapshots of MariaDB") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let (port, taken) = filled(&mut admin, &place);
    let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    assert_eq!((&shape["release"], &shape["tables"]["ship"]), (&"1.1.0".into(), &3.into()));
    assert!(shape["proven"].is_object(), "{shape}");
    let id = shape["id"].as_str().expect("a name");
    let beside = format!("{}_beside", place.name);
    port.run(&["snapshot", "restore", id, "--into", &beside, "--yes"]).ended(0).says(&["restored"]);
    write(&mut admin, &place, &format!("DROP DATABASE {beside}"));
    // In its place, from a newer schema.
    port.run(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    let later = "DELETE FROM berth; INSERT INTO ship (id, name, flag) VALUES (4, ' D ', 'de'); DROP VIEW aa_first;
         CREATE TABLE later (id int); CREATE VIEW aa_first AS SELECT flag AS name FROM ship WHERE flag IS NOT NULL;
         DROP PROCEDURE p; CREATE PROCEDURE q() SELECT 2";
    place.execute(&mut admin, later);
    let restore = ["snapshot", "restore", id, "--yes"];
    port.run(&restore).ended(3).explains(&["others are connected"]);
    port.run(&[&restore[..], &["--end-sessions"]].concat()).ended(0).says(&[
        "berth: 2 rows then, 0 now",
        "later: not there then, 0 rows now",
        "restored",
    ]);
    let mut again = pair.admin();
    assert_eq!(look(&mut again, &place), taken);
    port.run(&["status"]).ended(0).says(&["of 1.1.0", "drift: none"]);
    write(&mut again, &place, "INSERT INTO ship (id, name) VALUES (9, ' trimmed ')");
    assert_eq!(again.rows(&place, "SELECT name FROM ship WHERE id = 9"), ["trimmed"]);
    // What was there is whole.
    let [kept] = port.left("swapped_out").try_into().expect("one");
    let whole = format!(
        "SELECT CONCAT((SELECT count(*) FROM {kept}.ship), ' ', (SELECT group_concat(name) FROM {kept}.aa_first), ' ',
            (SELECT group_concat(ROUTINE_NAME) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{kept}'), ' ',
            (SELECT group_concat(TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{kept}'))"
    );
    assert_eq!(again.rows(&place, &whole), ["4 de q ship_named"]);
    write(&mut again, &place, "DELETE FROM ship WHERE id = 9");
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    assert_eq!(look(&mut again, &place), taken);
    corrupt(&port.file(id));
    port.run(&["snapshot", "prove", id]).ended(3).explains(&["is damaged"]);
    // The session that was to drop it is gone.
    write(&mut again, &place, &format!("DROP DATABASE {}", place.name));
    std::mem::forget(admin);
}

/// Of a `FLOAT`, mariadb-dump writes six digits; of rows that the server keeps of earlier times, none by itself.
#[test]
fn values_are_copied_with_all_their_digits() {
    let Some(pair) = Pair::new(Kind::MariaDb, "snapshots of MariaDB, every digit") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let port = port(&place);
    port.run(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    let rows = "
        CREATE TABLE keyed (name varchar(20), at datetime(3), f float, g float(12,3), h float AS (f / 2) STORED,
            changed timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
            PRIMARY KEY (name, at)) CHARACTER SET latin1 COLLATE latin1_german1_ci;
        INSERT INTO keyed (name, at, f, g, changed) VALUES ('it''s', '2026-01-02 03:04:05.678', 123456.789, 1234567.891,
            '2020-01-01'), ('\\\\ ä\n', '2026-01-02', 3.14159274, 0.1, '2020-01-02'), ('', '2026-01-03', NULL, NULL, '2020-01-03'),
            ('even', '2026-01-04', 0.5, 1, '2020-01-04'), ('far', '2026-01-05', -3.40282346e38, 16777217.5, '2020-01-05'),
            ('near', '2026-01-06', 1.17549435e-38, 7, '2020-01-06');
        CREATE TABLE alike (f float, `a``'b` blob, t text, n decimal(30,10), b bit(5), d double);
        INSERT INTO alike VALUES (3.14159274, x'00ff', 'ä''\n', 0.1, b'101', 0.1e0 + 0.2e0),
            (3.1415920, x'00ff', 'ä''\n', 0.1, b'101', 0.1e0 + 0.2e0), (3.1415920, NULL, NULL, NULL, NULL, NULL),
            (3.14159, x'00ff', 'ä''\n', 0.1, b'101', 0.1e0 + 0.2e0);
        CREATE TABLE of_then (id int PRIMARY KEY, n int) WITH SYSTEM VERSIONING;
        INSERT INTO of_then VALUES (1, 1);
        UPDATE of_then SET n = 2;
        CREATE TABLE changes (n int AUTO_INCREMENT PRIMARY KEY);
        CREATE TRIGGER keyed_changes BEFORE UPDATE ON keyed FOR EACH ROW INSERT INTO changes VALUES (NULL);
        CREATE TRIGGER alike_changes AFTER UPDATE ON alike FOR EACH ROW INSERT INTO changes VALUES (NULL)";
    write(&mut admin, &place, rows);
    let found = |of: &str| {
        format!(
            "SELECT CONCAT_WS('|', 'keyed', HEX(name), at, f + 0e0, g + 0e0, h + 0e0, changed) FROM {of}.keyed
             UNION ALL SELECT CONCAT_WS('|', 'alike', f + 0e0, HEX(`a``'b`), HEX(t), n, b + 0, d) FROM {of}.alike
             UNION ALL SELECT CONCAT_WS('|', 'then', id, n, ROW_START, ROW_END) FROM {of}.of_then FOR SYSTEM_TIME ALL
             UNION ALL SELECT CONCAT('changes ', COUNT(*)) FROM {of}.changes
             UNION ALL SELECT CONCAT('trigger ', TRIGGER_NAME) FROM information_schema.TRIGGERS
                 WHERE TRIGGER_SCHEMA = '{of}' ORDER BY 1"
        )
    };
    let taken = read(&mut admin, &place, &found(&place.name));
    assert_eq!(taken.len(), 6 + 4 + 2 + 1 + 2, "{taken:?}");
    let shape = port.json("sternway.snapshot/1", &["snapshot", "create", "--prove"]);
    assert!(shape["proven"].is_object(), "{shape}");
    let id = shape["id"].as_str().expect("a name");
    let beside = format!("{}_beside", place.name);
    port.run(&["snapshot", "restore", id, "--into", &beside, "--yes"]).ended(0).says(&["restored"]);
    assert_eq!(read(&mut admin, &place, &found(&beside)), taken);
    write(&mut admin, &place, &format!("DROP DATABASE {beside}"));
}

#[test]
fn a_restore_is_killed_everywhere() {
    let Some(pair) = Pair::new(Kind::MariaDb, "snapshots of MariaDB, killed") else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let (port, taken) = filled(&mut admin, &place);
    let id = port.take(&[]);
    write(&mut admin, &place, "UPDATE ship SET name = 'later' WHERE id = 1");
    let later = look(&mut admin, &place);
    let mut seen = 0;
    killed_everywhere(&port, &["snapshot", "restore", &id, "--yes"], |point| {
        // Whoever calls again finds the whole of one or the other.
        port.take(&[]);
        let found = look(&mut admin, &place);
        assert!(found == taken || found == later, "{point}: {found:?}");
        seen += usize::from(found == taken);
    });
    assert!(seen > 0);
    assert_eq!(look(&mut admin, &place), taken);
    port.run(&["snapshot", "prune", "--databases", "--yes"]).ended(0);
    assert_eq!(port.left("swapped_out").len() + port.left("unfinished").len(), 0);
    assert_eq!(look(&mut admin, &place), taken);
}
