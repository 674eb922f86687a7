//! MySQL and MariaDB, on a server that `STERNWAY_TEST_MARIADB` names.

mod support;
#[path = "mysql/server.rs"]
mod server;
#[path = "mysql/execute.rs"]
mod execute;
#[path = "mysql/fingerprint.rs"]
mod fingerprint;
#[path = "mysql/interoperate.rs"]
mod interoperate;
#[path = "mysql/killed.rs"]
mod killed;
#[path = "mysql/records.rs"]
mod records;
#[path = "mysql/sessions.rs"]
mod sessions;
#[path = "mysql/statements.rs"]
mod statements;
