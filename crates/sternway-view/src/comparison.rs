//! A schema beside the one that it should be.

use sternway_model::proof::Comparison;

use crate::Paint;

/// What a comparison found, a line each; empty where there is nothing to tell.
pub fn text(paint: Paint, comparison: &Comparison) -> String {
    let mut text = String::new();
    for difference in &comparison.drift {
        text.push_str(&format!("  {} {difference}\n", paint.alarm("drift:")));
    }
    for difference in &comparison.of_the_migrations {
        text.push_str(&format!("  the application's own migrations: {difference}\n"));
    }
    for difference in &comparison.there_before {
        text.push_str(&format!("  known from before: {difference}\n"));
    }
    for difference in &comparison.accepted {
        text.push_str(&format!("  accepted: {difference}\n"));
    }
    for object in &comparison.foreign {
        text.push_str(&format!("  foreign, left alone: {object}\n"));
    }
    for object in &comparison.reordered {
        let what = if object.kind == "table" { "columns " } else { "" };
        text.push_str(&format!("  {what}in another order: {object}\n"));
    }
    text
}
