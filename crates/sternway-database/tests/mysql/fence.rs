//! The fence on MariaDB: accounts that are locked, and unlocked whatever happens.

use sqlx::mysql::MySqlConnection;
use sternway_database::mysql::MySql;
use sternway_database::port::prelude::*;
use sternway_database::{DatabaseError, FenceKind, Raised};

use crate::server::{Fresh, ask, execute, fresh, session};
use crate::support::whole;

const APP: &str = "app";
const PASSWORD: &str = "secret";

/// A user of the application's with two accounts, which go away with this value's test.
struct App {
    fresh: Fresh,
    watch: MySqlConnection,
    user: String,
}

impl App {
    async fn new() -> Option<App> {
        let fresh = fresh().await?;
        let mut watch = fresh.watch().await;
        // With all that a name may hold.
        let user = format!("{}_it's", fresh.name);
        let quoted = user.replace('\'', "''");
        for host in ["localhost", "127.0.0.1"] {
            let sql = format!(
                "CREATE OR REPLACE USER '{quoted}'@'{host}' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON {}.* TO '{quoted}'@'{host}'",
                fresh.name
            );
            execute(&mut watch, &sql).await;
        }
        Some(App { fresh, watch, user })
    }

    fn url(&self) -> String {
        self.fresh.url_of(&self.user.replace('\'', "%27"), PASSWORD)
    }

    async fn connects(&self) -> bool {
        match sternway_database::mysql::connect(&self.url(), None).await {
            Ok(_) => true,
            Err(error) => {
                let text = whole(&error);
                assert!(text.contains("account is locked"), "{text}");
                false
            }
        }
    }

    async fn locked(&mut self) -> String {
        let user = self.user.replace('\'', "''");
        let sql = format!(
            "SELECT COUNT(*) FROM mysql.global_priv
             WHERE User = '{user}' AND JSON_VALUE(Priv, '$.account_locked') = '1'"
        );
        ask(&mut self.watch, &sql).await
    }

    async fn gone(mut self) {
        let user = self.user.replace('\'', "''");
        let sql = format!("DROP USER IF EXISTS '{user}'@'localhost', '{user}'@'127.0.0.1'");
        execute(&mut self.watch, &sql).await;
    }
}

fn no_connect(role: &str) -> FenceKind {
    FenceKind::NoConnect { roles: vec![role.to_owned()] }
}

async fn raise(session: &mut MySql, role: &str) -> Result<Raised, DatabaseError> {
    let fence = session.prepare_fence(&no_connect(role)).await?;
    session.raise_fence(APP, None, &fence).await
}

async fn refusal(session: &mut MySql, role: &str) -> String {
    let error = raise(session, role).await.expect_err("a refusal");
    assert!(matches!(error, DatabaseError::Fence { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_user_is_kept_out_and_let_in_again() {
    let Some(mut app) = App::new().await else { return };
    let mut ours = app.fresh.session().await;
    let empty = ours.fingerprint(&[]).await.expect("a fingerprint");
    assert_eq!(ours.fences(APP).await.expect("the fences"), []);
    assert!(app.connects().await);
    let mut inside = session(&app.url()).await;
    let raised = raise(&mut ours, &app.user).await.expect("a fence");
    assert_eq!(app.locked().await, "2");
    assert!(!app.connects().await);
    // Who was here stays, and is seen.
    inside.track("none").await.expect("an answer");
    let mut seen = ours.sessions().await.expect("the sessions");
    seen.retain(|it| it.user == app.user);
    assert!(!seen.is_empty(), "a session of the application's");
    ours.end_sessions(&seen).await.expect("an end");
    inside.track("none").await.expect_err("no session");
    // The table is Sternway's own.
    assert_eq!(ours.fingerprint(&[]).await.expect("a fingerprint"), empty);
    let twice = refusal(&mut app.fresh.session().await, &app.user).await;
    assert!(twice.contains("is locked already"), "{twice}");
    // Another session, as after a crash: it knows what the records say.
    let mut later = app.fresh.session().await;
    assert_eq!(later.fences("another").await.expect("the fences"), []);
    let fences = later.fences(APP).await.expect("the fences");
    assert_eq!(fences, std::slice::from_ref(&raised));
    later.lower_fence(&fences[0]).await.expect("a way out");
    assert_eq!(
        (later.fences(APP).await.expect("the fences"), app.locked().await),
        (vec![], "0".to_owned())
    );
    assert!(app.connects().await);
    // Somebody locks them for good: that is no matter of the fence's.
    let user = app.user.replace('\'', "''");
    execute(&mut app.watch, &format!("ALTER USER '{user}'@'localhost' ACCOUNT LOCK")).await;
    later.lower_fence(&raised).await.expect("nothing to do");
    assert_eq!(app.locked().await, "1");
    app.gone().await;
}

#[tokio::test]
async fn at_most_one_fence_stands_and_a_dropped_account_is_in_nobodys_way() {
    let Some(mut app) = App::new().await else { return };
    let mut ours = app.fresh.session().await;
    let other = format!("{}_other", app.fresh.name);
    execute(&mut app.watch, &format!("CREATE OR REPLACE USER {other}@localhost")).await;
    let raised = raise(&mut ours, &app.user).await.expect("a fence");
    let second = refusal(&mut ours, &other).await;
    assert!(
        second.contains("one stands since 20") && second.contains("application app"),
        "{second}"
    );
    let user = app.user.replace('\'', "''");
    execute(
        &mut app.watch,
        &format!("DROP USER '{user}'@'localhost'; DROP USER {other}@localhost"),
    )
    .await;
    ours.lower_fence(&raised).await.expect("a way out");
    assert_eq!(app.locked().await, "0");
    assert!(app.connects().await);
    app.gone().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let Some(mut app) = App::new().await else { return };
    let mut ours = app.fresh.session().await;
    let own = ours.identity().user.clone();
    for (role, says) in [
        ("nobody_at_all", "there is no user `nobody_at_all`"),
        (own.as_str(), "is Sternway's own user"),
    ] {
        let refused = refusal(&mut ours, role).await;
        assert!(refused.contains(says), "{refused}");
    }
    let read_only = FenceKind::ReadOnly { roles: vec![app.user.clone()] };
    let error = ours.prepare_fence(&read_only).await.expect_err("no such fence");
    assert!(matches!(error, DatabaseError::NoFence { .. }), "{error:?}");
    // Who may not lock accounts, or not even see them.
    let mut theirs = session(&app.url()).await;
    let refused = refusal(&mut theirs, "root").await;
    assert!(refused.contains("denied"), "{refused}");
    let user = app.user.replace('\'', "''");
    let other = format!("{}_other", app.fresh.name);
    let sql = format!(
        "GRANT SELECT ON mysql.* TO '{user}'@'127.0.0.1'; CREATE OR REPLACE USER {other}@localhost"
    );
    execute(&mut app.watch, &sql).await;
    let mut theirs = session(&app.url()).await;
    let refused = refusal(&mut theirs, &other).await;
    assert!(refused.contains("CREATE USER"), "{refused}");
    assert_eq!(theirs.fences(APP).await.expect("the fences"), [], "it is not noted either");
    execute(&mut app.watch, &format!("DROP USER {other}@localhost")).await;
    assert_eq!(app.locked().await, "0");
    app.gone().await;
}
