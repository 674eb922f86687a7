//! An application's start: a beekeeper's books, with two tracks of migrations compiled in.
//!
//! ```text
//! DATABASE_URL=postgres://user@localhost/bees cargo run -p sternway --example startup
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::process::ExitCode;

use include_dir::{Dir, include_dir};
use sternway::{Error, Event, Migrations, Migrator, Raised, Rules, Startup, Track};

static CORE: Dir = include_dir!("$CARGO_MANIFEST_DIR/examples/startup/migrations/core");
static HARVEST: Dir = include_dir!("$CARGO_MANIFEST_DIR/examples/startup/migrations/harvest");

/// The tracks of this application.
fn migrator(url: &str) -> Migrator {
    Migrator::new(url)
        .track(Track::new("core", Migrations::embedded(&CORE)))
        .track(
            Track::new("harvest", Migrations::embedded(&HARVEST))
                .table("harvest_schema_migrations"),
        )
        .rules(Rules { cross_track: true, guards: true, no_schemas: true })
        .on_event(|event| match event {
            Event::Ends { track, leg, took, .. } => {
                println!("{track}: {} {} ({took:.1?})", leg.direction, leg.version);
            }
            Event::Ahead { track, last, .. } => {
                eprintln!("warning: {track} is ahead of this program, which ends at {last}");
            }
            _ => {}
        })
}

async fn start(url: &str) -> Result<Startup, Error> {
    migrator(url).up().await
    // Here an application opens its pool of connections and serves.
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("DATABASE_URL is not set, such as to postgres://user@localhost/bees");
        return ExitCode::from(2);
    };
    match start(&url).await {
        Ok(done) => {
            for raised in &done.raised {
                let Raised { track, to, legs, .. } = raised;
                println!("{track}: at {to}, {} applied", legs.len());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |it| it.source());
            let words: Vec<String> = causes.map(ToString::to_string).collect();
            eprintln!("the database is not ready: {}", words.join(": "));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_migrations_keep_the_rules() {
        let violations = super::migrator("postgres://localhost/bees").check().await;
        assert_eq!(violations.expect("the files can be read"), []);
    }
}
