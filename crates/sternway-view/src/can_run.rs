//! Whether a release may run on the schema as it is.

use serde::Serialize;
use sternway_model::catalog::Release;
use sternway_model::plan::{self, Answer};

/// `sternway.can_run/1`
#[derive(Debug, Serialize)]
pub struct CanRun {
    format: &'static str,
    /// The application.
    pub app: String,
    /// The release.
    pub release: Release,
    /// `yes`, `no` or `unknown`.
    pub answer: &'static str,
    /// Why, the most important first.
    pub reasons: Vec<String>,
}

impl CanRun {
    /// What was found out.
    pub fn of(app: &str, found: &plan::CanRun) -> CanRun {
        CanRun {
            format: "sternway.can_run/1",
            app: app.to_owned(),
            release: found.release.clone(),
            answer: match found.answer {
                Answer::Yes => "yes",
                Answer::No => "no",
                Answer::Unknown => "unknown",
            },
            reasons: found.reasons.iter().map(ToString::to_string).collect(),
        }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let reasons: String = self.reasons.iter().map(|it| format!("\n  {it}")).collect();
        format!("{} {} on this schema: {}{reasons}", self.app, self.release, self.answer)
    }
}
