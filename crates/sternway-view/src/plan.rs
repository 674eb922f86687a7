//! Plans. Their shape for machines is [`Plan`]'s own, and so is their text; here it is coloured.

use std::fmt::Write as _;

use sternway_model::plan::Plan;

use crate::Paint;

/// A plan as text: what destroys, and what to note, is marked.
pub fn text(paint: Paint, plan: &Plan) -> String {
    painted(paint, &plan.to_string())
}

/// Colours the lines of a plan.
pub fn painted(paint: Paint, text: &str) -> String {
    let mut painted = String::new();
    for (index, line) in text.trim_end().lines().enumerate() {
        let trimmed = line.trim_start();
        let line = match trimmed {
            _ if index == 0 || trimmed.starts_with("hop ") => paint.strong(line),
            _ if trimmed.starts_with("destroys ")
                || trimmed.starts_with("nobody can foresee ")
                || trimmed.starts_with("cannot be kept: ")
                || trimmed.starts_with("note: ")
                || trimmed.ends_with("LOST") =>
            {
                paint.alarm(line)
            }
            _ => line.to_owned(),
        };
        let _ = writeln!(painted, "{line}");
    }
    painted
}

/// The bodies of a plan's migrations, in order.
pub fn sql(plan: &Plan) -> String {
    let mut text = String::new();
    for step in plan.steps() {
        let body = plan.bodies.get(&step.hash).map_or("", String::as_str);
        text.push_str(&format!("\n-- {}: {}\n{}\n", step.track, step.file, body.trim_end()));
    }
    text
}
