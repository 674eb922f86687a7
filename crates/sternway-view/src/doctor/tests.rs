use sternway_model::state::TrackingRow;

use super::*;

fn examined(
    dialect: Dialect,
    row: TrackingRow,
    in_doubt: Vec<InDoubt>,
    repairs: Vec<Repair>,
) -> Examination {
    let diagnosis = Diagnosis {
        track: "core".into(),
        table: "schema_migrations".to_owned(),
        row,
        fits: vec![6.into()],
        by_downs: false,
        in_doubt,
        repairs,
    };
    Examination {
        app: "harbour".to_owned(),
        dialect,
        schema: "public".to_owned(),
        tables: Vec::new(),
        found: Default::default(),
        diagnoses: vec![diagnosis],
    }
}

fn half_done() -> (InDoubt, Repair) {
    let in_doubt = InDoubt {
        version: 7,
        direction: Direction::Up,
        file: "7_a.up.sql".to_owned(),
        undone: 6.into(),
        done: 7.into(),
        parts: vec!["CREATE TABLE a ()".to_owned(), "CREATE TABLE b ()".to_owned()],
        at_once: false,
        took: vec![1],
        silent: Vec::new(),
        invalid: Vec::new(),
        stays: Some(Stays::NoWayBack),
    };
    let repair = Repair {
        kind: RepairKind::Finish,
        file: in_doubt.file.clone(),
        version: 7,
        direction: Direction::Up,
        sql: "CREATE TABLE b ();\n".to_owned(),
        closed_by: Vec::new(),
        to: 7.into(),
        unkept: vec!["table c".to_owned()],
    };
    (in_doubt, repair)
}

#[test]
fn a_body_that_came_to_its_middle_is_told_with_what_finishes_it() {
    let (in_doubt, repair) = half_done();
    let row = TrackingRow::dirty(7);
    let examined = examined(Dialect::Postgres, row, vec![in_doubt], vec![repair]);
    assert_eq!(
        text(Paint::Plain, &examined, &examined.diagnoses[0], &[]),
        "track core: the row says 7 (dirty); the schema is that of 6\n  \
         `7_a.up.sql` may have been under way: 1 of its 2 parts took effect\n    \
           it cannot be undone: the other file does not lead back from there\n  \
         --finish: run what is left of `7_a.up.sql`, which leads to 7\n      \
             CREATE TABLE b ();\n      \
             UPDATE \"public\".\"schema_migrations\" SET version = 7, dirty = false;\n    \
           destroys table c, which cannot be kept\n"
    );
    let json = serde_json::to_value(tracks(&examined)).expect("JSON");
    assert_eq!(json[0]["doubts"][0]["took"], serde_json::json!([1]));
    assert_eq!(json[0]["exits"][0]["exit"], "finish");
}

#[test]
fn a_row_that_is_not_there_is_inserted() {
    let (_, repair) = half_done();
    let repair = Repair { kind: RepairKind::SetRow, sql: String::new(), to: 6.into(), ..repair };
    let examined = examined(Dialect::MySql, TrackingRow::default(), Vec::new(), vec![repair]);
    let sql = &tracks(&examined)[0].repairs[0].sql;
    assert_eq!(sql, "INSERT INTO `public`.`schema_migrations` (version, dirty) VALUES (6, false);");
}
