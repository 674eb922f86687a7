//! Words and tables that several texts are made of.

use std::fmt::{Display, Write as _};

use sternway_model::catalog::Release;
use sternway_model::plan::Course;
use sternway_model::position::Position;

/// Positions of which any may be meant, in words.
pub fn positions(any: &[Position]) -> String {
    let any: Vec<String> = any.iter().map(Position::to_string).collect();
    any.join(" or ")
}

/// A course with its ends, such as `rollback 1.1.0 -> 1.0.0`; without a beginning that nobody named,
/// `rollback to 1.0.0`.
pub fn course(course: Course, from: Option<&Release>, target: &Release) -> String {
    match from {
        Some(from) => format!("{course} {from} -> {target}"),
        None => format!("{course} to {target}"),
    }
}

/// A number of things whose name has a plural of its own.
pub fn plural<N: Display + From<u8> + PartialEq>(number: N, one: &str, more: &str) -> String {
    format!("{number} {}", if number == N::from(1) { one } else { more })
}

/// Lines up rows in columns, the first row being the heads.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["A", "WIDE"], ["ähnlich", "b"], ["c", ""]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        assert_eq!(table(&rows), "A        WIDE\nähnlich  b\nc\n");
    }
}
