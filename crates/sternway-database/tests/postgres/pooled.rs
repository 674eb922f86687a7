//! Telling a proxy that shares its connections from the server itself.

use sternway_database::port::prelude::*;

use crate::support::{Fresh, as_scheme, fresh, open, session, variable};

/// Through the proxy's port, to the database of the test.
fn through(proxy: &str, fresh: &Fresh) -> String {
    let mut url = url::Url::parse(proxy).expect("a URL");
    url.set_path(&fresh.name);
    url.into()
}

#[tokio::test]
async fn a_transaction_pool_is_found_out_and_a_server_never_taken_for_one() {
    let Some(fresh) = fresh().await else { return };
    let Some(proxy) = variable("STERNWAY_TEST_PGBOUNCER") else { return };
    let url = through(&proxy, &fresh);
    let mut pooled = session(&url).await;
    assert!(pooled.is_pooled().await.expect("an answer"));
    // With others at work there, whose connections change hands all the time.
    let busy = tokio::spawn(async move {
        loop {
            let mut other = open(&url).await;
            for _ in 0..5 {
                let _ = sqlx::raw_sql("SELECT pg_sleep(0.01)").execute(&mut other).await;
            }
        }
    });
    for _ in 0..10 {
        let mut pooled = session(&through(&proxy, &fresh)).await;
        assert!(pooled.is_pooled().await.expect("an answer"));
    }
    busy.abort();
}

#[tokio::test]
async fn the_server_itself_is_not_taken_for_a_pool() {
    let Some(fresh) = fresh().await else { return };
    let urls = [
        fresh.url(),
        as_scheme("pgx5", &fresh.url(), ""),
        fresh.url_with("sslmode=disable&options=-c extra_float_digits%3D0 -c timezone%3DUTC"),
        fresh.url_with("sslmode=disable&application_name=other&search_path=public"),
    ];
    for url in urls {
        let mut direct = session(&url).await;
        assert!(!direct.is_pooled().await.expect("an answer"));
        direct
            .execute("SET extra_float_digits = 1; CREATE TABLE IF NOT EXISTS t (x int)")
            .await
            .expect("a setting");
        assert!(!direct.is_pooled().await.expect("an answer"), "after a setting");
    }
    // In one that is in a transaction of its own, too.
    let mut direct = fresh.session().await;
    direct.execute("BEGIN").await.expect("a transaction");
    assert!(!direct.is_pooled().await.expect("an answer"));
}
