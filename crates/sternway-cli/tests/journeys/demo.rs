//! `sternway demo`, the first thing that a new user tries.

use crate::support::Machine;

#[test]
fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let machine = Machine::bare();
    machine.run(&["demo"]).ended(0).quiet().says(&[
        "== A harbour office, with ten releases",
        "== Day 1: release 1.0.0 is installed",
        "upgraded to 1.2.1; the schema is that of a clean install of core 9, search 3",
        "table berth_booking: 156 rows, about 80.0 kB; kept in the archive",
        "rolled back to 1.0.3; the schema is that of a clean install of core 4",
        "now:    berth 12, cargo 3636, pilot 12, pilotage 2388, port_call 2436, ship 400",
        "every row that the rollback had taken away was put back by the upgrade",
        "run 3: rollback 1.2.1 -> 1.0.3, 10 steps, finished",
        "run 4: upgrade 1.0.3 -> 1.2.1",
        "nothing was installed",
    ]);
    let left: Vec<_> = std::fs::read_dir(machine.path("tmp")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_demo_that_is_kept_can_be_looked_at() {
    let machine = Machine::new();
    let folder = machine.text("kept");
    machine.run(&["demo", "--keep", &folder]).ended(0).says(&["the database is kept"]);
    let status = ["status", "--database", &format!("embedded:{folder}")];
    let run = machine.run(&status).ended(0).quiet();
    run.says(&[
        "core    schema_migrations         9   9       clean",
        "schema: of 2 releases, 1.2.0 to 1.2.1",
        "drift: none",
    ]);
    machine
        .run(&["demo", "--keep", &folder])
        .ended(2)
        .explains(&["the folder to keep the demo in exists already"]);
}

#[test]
fn the_demo_is_not_for_machines() {
    let failure = Machine::empty().run(&["demo", "--output", "json"]).ended(2).failure();
    assert_eq!(failure["error"], "the demo is a story for people");
}
