//! PostgreSQL: on the servers that `STERNWAY_TEST_PG_URL` and its like name, and inside the process.

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod archive_piecemeal;
mod blocked;
mod connect;
mod effects;
mod embedded;
mod execute;
mod failures;
mod fence;
mod fingerprint;
mod kept_settings;
mod lock;
mod measure;
mod pooled;
mod records;
mod row_locks;
mod schemes;
mod statements;
mod tables;
mod track;
mod trips;
