//! Folders of migration files: here, on hosts, in buckets.

#[path = "../server/mod.rs"]
mod server;

mod bitbucket;
mod buckets;
mod directory;
mod github;
mod gitlab;
