//! Repairs as SQL, for those who run them by hand.

use sternway_database::Dialect;
use sternway_model::position::Position;
use sternway_model::state::TrackingRow;

use super::{Diagnosis, Repair};

/// The statement that makes a tracking table with a row say what the schema has.
pub fn row_statement(dialect: Dialect, schema: &str, table: &str, to: Position) -> String {
    dialect.repair(schema, table, true, to)
}

/// All that a repair does.
pub fn statements(
    dialect: Dialect,
    schema: &str,
    diagnosis: &Diagnosis,
    repair: &Repair,
) -> String {
    let mut sql = repair.sql.trim_end().to_owned();
    if !sql.is_empty() {
        sql.push('\n');
    }
    for statement in &repair.closed_by {
        sql.push_str(&format!("{statement}; -- once each row has its value\n"));
    }
    let is_there = diagnosis.row != TrackingRow::default();
    sql + &dialect.repair(schema, &diagnosis.table, is_there, repair.to)
}
