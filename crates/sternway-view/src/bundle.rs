//! A bundle that was written.

use serde::Serialize;
use sternway_model::catalog::Catalog;

use crate::words::plural;

/// `sternway.bundle.written/1`
#[derive(Debug, Serialize)]
pub struct Written {
    format: &'static str,
    /// The application.
    pub app: String,
    /// The file.
    pub file: String,
    /// How large it is.
    pub bytes: usize,
    /// How many releases are in it.
    pub releases: usize,
    /// How many bodies of migrations are in it.
    pub bodies: usize,
    /// How many releases could not be read.
    pub left_out: usize,
}

impl Written {
    /// The bundle of a catalog, in a file of that size.
    pub fn of(catalog: &Catalog, file: String, bytes: usize) -> Written {
        Written {
            format: "sternway.bundle.written/1",
            app: catalog.app.clone(),
            file,
            bytes,
            releases: catalog.releases.len(),
            bodies: catalog.bodies.len(),
            left_out: catalog.left_out.len(),
        }
    }

    /// The same for people.
    pub fn text(&self) -> String {
        let releases = plural(self.releases, "release", "releases");
        let bodies = plural(self.bodies, "body", "bodies");
        let file = &self.file;
        format!("{file} has {releases} of {} with {bodies}, in {} bytes", self.app, self.bytes)
    }
}
