//! A MariaDB database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::variable;

/// A database on the server of `STERNWAY_TEST_MARIADB`: `mysql://user:password@tcp(host:port)/`.
pub struct MariaDb {
    server: MySqlConnectOptions,
    name: String,
}

impl MariaDb {
    /// A new database and its URL.
    pub async fn fresh() -> Option<(String, MariaDb)> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = variable("STERNWAY_TEST_MARIADB")?;
        let parts = || {
            let (user, address) = url.strip_prefix("mysql://")?.rsplit_once("@tcp(")?;
            let (address, _) = address.split_once(')')?;
            Some((user.split_once(':').unwrap_or((user, "")), address.split_once(':')?))
        };
        let ((user, password), (host, port)) = parts().expect("a URL with tcp(host:port)");
        let server = MySqlConnectOptions::new().username(user).password(password).host(host);
        let server = server.port(port.parse().expect("a port"));
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sternway_contract_{}_{next}", std::process::id());
        execute(&server, &format!("DROP DATABASE IF EXISTS {name}")).await;
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        Some((format!("{}/{name}", url.trim_end_matches('/')), MariaDb { server, name }))
    }
}

async fn execute(server: &MySqlConnectOptions, sql: &str) {
    let mut connection = server.connect().await.expect("a connection");
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let (server, sql) = (self.server.clone(), format!("DROP DATABASE {}", self.name));
        // Drop is not async, and the test's runtime is busy with the test.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(execute(&server, &sql));
        });
        let dropped = dropped.join();
        assert!(dropped.is_ok() || std::thread::panicking(), "{} was not dropped", self.name);
    }
}
