//! MySQL and MariaDB, on a server that `STERNWAY_TEST_MARIADB` names.

#[path = "../support/mod.rs"]
mod support;

mod server;
mod journey;
mod archive;
mod archive_edges;
mod execute;
mod fence;
mod fingerprint;
mod interoperate;
mod killed;
mod records;
mod sessions;
mod statements;
