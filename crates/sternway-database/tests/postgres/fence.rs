//! The sessions of other clients, and the fence that keeps them out and leaves no trace.

use sqlx::{Connection, PgConnection};
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_database::{DatabaseError, FenceKind, Raised};

use crate::support::{self, Fresh, ask, everywhere, execute, fresh, open, session, until, whole};

const APP: &str = "app";

fn no_connect(roles: &[&str]) -> FenceKind {
    FenceKind::NoConnect { roles: roles.iter().map(|role| (*role).to_owned()).collect() }
}

fn read_only(roles: &[&str]) -> FenceKind {
    FenceKind::ReadOnly { roles: roles.iter().map(|role| (*role).to_owned()).collect() }
}

async fn raise(session: &mut Postgres, kind: &FenceKind) -> Raised {
    let fence = session.prepare_fence(kind).await.unwrap_or_else(|it| panic!("{}", whole(&it)));
    let raised = session.raise_fence(APP, None, &fence).await;
    raised.unwrap_or_else(|it| panic!("{}", whole(&it)))
}

async fn refusal(session: &mut Postgres, kind: &FenceKind) -> String {
    let error = session.prepare_fence(kind).await.expect_err("a refusal");
    assert!(matches!(error, DatabaseError::Fence { .. }), "{error:?}");
    error.to_string()
}

/// Who may do what with the database, and what is set for it. No list of rights means the default.
async fn all(watch: &mut PgConnection) -> String {
    ask(
        watch,
        "SELECT (SELECT array_agg(e::text ORDER BY e::text) FROM pg_database d,
                    aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) e
                 WHERE datname = current_database())::text
             || coalesce((SELECT array_agg(s::text ORDER BY s::text) FROM pg_db_role_setting s
                 WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))::text, '')",
    )
    .await
}

async fn connects(url: &url::Url) -> bool {
    match PgConnection::connect(url.as_str()).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(error) => {
            let code = error.as_database_error().and_then(|it| it.code()).unwrap_or_default();
            assert_eq!(code, "42501", "{error}");
            false
        }
    }
}

async fn lower_twice(fresh: &Fresh, raised: &Raised, before: &str) {
    // Another session, as after a crash: it knows what the records say.
    let mut session = fresh.session().await;
    let fences = session.fences(APP).await.expect("the fences");
    assert_eq!(fences, std::slice::from_ref(raised));
    assert_eq!(session.fences("another").await.expect("the fences"), []);
    let mut watch = fresh.watch().await;
    session.lower_fence(&fences[0]).await.unwrap_or_else(|it| panic!("{}", whole(&it)));
    assert_eq!(all(&mut watch).await, before);
    assert_eq!(session.fences(APP).await.expect("the fences"), []);
    // What is changed afterwards is no matter of the fence's.
    execute(&mut watch, &format!("GRANT TEMPORARY ON DATABASE {} TO PUBLIC", fresh.name)).await;
    let later = all(&mut watch).await;
    session.lower_fence(raised).await.expect("nothing to do");
    assert_eq!(all(&mut watch).await, later);
}

#[tokio::test]
async fn a_role_that_may_connect_as_everybody_may_is_kept_out_and_let_in_again() {
    let Some(mut fresh) = fresh().await else { return };
    let ((app, app_url), (_, other_url)) = (fresh.role("secret").await, fresh.role("secret").await);
    let (_, third_url) = fresh.role("secret").await;
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let (mut inside, _other) = (open(app_url.as_str()).await, open(other_url.as_str()).await);
    let before = all(&mut watch).await;
    let raised = raise(&mut session, &no_connect(&[&app, &app])).await;
    assert_ne!(all(&mut watch).await, before);
    assert!(!connects(&app_url).await);
    assert!(connects(&other_url).await, "the fence is not for this one, who is here");
    assert!(!connects(&third_url).await, "who may connect with everybody may not meanwhile");
    ask::<i32>(&mut inside, "SELECT 1").await;
    lower_twice(&fresh, &raised, &before).await;
    assert!(connects(&app_url).await && connects(&third_url).await);
}

#[tokio::test]
async fn rights_of_ones_own_come_back_as_they_were() {
    let Some(mut fresh) = fresh().await else { return };
    let ((app, app_url), (other, other_url)) =
        (fresh.role("secret").await, fresh.role("secret").await);
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let name = &fresh.name;
    let sql = format!(
        "REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT, CREATE ON DATABASE {name} TO {other};
         GRANT CONNECT ON DATABASE {name} TO {app} WITH GRANT OPTION; GRANT TEMPORARY ON DATABASE {name} TO {app}"
    );
    execute(&mut watch, &sql).await;
    let before = all(&mut watch).await;
    let raised = raise(&mut session, &no_connect(&[&app])).await;
    assert!(!connects(&app_url).await && connects(&other_url).await);
    lower_twice(&fresh, &raised, &before).await;
    assert!(connects(&app_url).await);
}

#[tokio::test]
async fn an_owner_keeps_the_application_out_and_not_himself() {
    let Some(mut fresh) = fresh().await else { return };
    let (owner, owner_url) = fresh.role("secret").await;
    let (app, app_url) = fresh.role("secret").await;
    let (member, mut member_url) = fresh.role("secret").await;
    let mut watch = fresh.watch().await;
    let name = fresh.name.clone();
    let sql = format!(
        "ALTER DATABASE {name} OWNER TO {owner};
         ALTER ROLE {member} NOINHERIT; GRANT {owner} TO {member}"
    );
    execute(&mut watch, &sql).await;
    let before = all(&mut watch).await;
    let mut first = session(owner_url.as_str()).await;
    let refused = refusal(&mut first, &no_connect(&[&owner])).await;
    assert!(refused.contains("own user"), "{refused}");
    let raised = raise(&mut first, &no_connect(&[&app])).await;
    assert!(!connects(&app_url).await && connects(&owner_url).await);
    first.lower_fence(&raised).await.expect("a way out");
    assert_eq!(all(&mut watch).await, before);
    drop(first);
    // Who acts as the owner and inherits nothing gets a right of his own for the time.
    member_url.set_query(Some(&format!("sslmode=disable&options=-c role={owner}")));
    let mut second = session(member_url.as_str()).await;
    let raised = raise(&mut second, &no_connect(&[&app])).await;
    assert!(connects(&member_url).await && !connects(&app_url).await);
    second.lower_fence(&raised).await.expect("a way out");
    assert_eq!(all(&mut watch).await, before);
    drop(second);
    execute(&mut watch, &format!("REASSIGN OWNED BY {owner} TO postgres")).await;
}

#[tokio::test]
async fn what_would_not_hold_is_refused_and_nothing_is_changed() {
    let Some(mut fresh) = fresh().await else { return };
    let ((app, app_url), (group, _)) = (fresh.role("secret").await, fresh.role("secret").await);
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let sql =
        format!("GRANT CONNECT ON DATABASE {} TO {group}; GRANT {group} TO {app}", fresh.name);
    execute(&mut watch, &sql).await;
    let before = all(&mut watch).await;
    let refused = refusal(&mut session, &no_connect(&[&app])).await;
    assert!(refused.contains(&format!("member of {group}")), "{refused}");
    execute(&mut watch, &format!("ALTER ROLE {app} SUPERUSER")).await;
    let refused = refusal(&mut session, &no_connect(&[&app])).await;
    assert!(refused.contains("is a superuser"), "{refused}");
    execute(&mut watch, &format!("ALTER ROLE {app} NOSUPERUSER; REVOKE {group} FROM {app}")).await;
    for kind in [no_connect(&["no_such_role"]), read_only(&["no_such_role"])] {
        assert!(refusal(&mut session, &kind).await.contains("no role `no_such_role`"));
    }
    // One who owns nothing can change nothing.
    let mut other = support::session(app_url.as_str()).await;
    let refused = refusal(&mut other, &no_connect(&[&group])).await;
    assert!(refused.contains("who owns the database"), "{refused}");
    // A right that another role has passed on is found when it still holds.
    let sql = format!(
        "REVOKE CONNECT ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {group} WITH GRANT OPTION;
         SET ROLE {group}; GRANT CONNECT ON DATABASE {0} TO {app}; RESET ROLE",
        fresh.name
    );
    execute(&mut watch, &sql).await;
    let passed = all(&mut watch).await;
    let fence = session.prepare_fence(&no_connect(&[&app])).await.expect("a fence");
    let error = session.raise_fence(APP, None, &fence).await.expect_err("a right that stays");
    assert!(error.to_string().contains("may still connect"), "{error}");
    assert_eq!(all(&mut watch).await, passed);
    assert_eq!(session.fences(APP).await.expect("the fences"), []);
    assert_ne!(before, passed);
    execute(&mut watch, &format!("REVOKE CONNECT ON DATABASE {} FROM {group} CASCADE", fresh.name))
        .await;
}

#[tokio::test]
async fn a_read_only_role_writes_nothing_until_the_fence_is_gone() {
    let Some(mut fresh) = fresh().await else { return };
    let ((app, app_url), (other, _)) = (fresh.role("secret").await, fresh.role("secret").await);
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    let name = &fresh.name;
    let sql = format!(
        "CREATE TABLE t (x int); GRANT ALL ON t TO {app};
         ALTER ROLE {app} IN DATABASE {name} SET work_mem = '8MB';
         ALTER ROLE {app} IN DATABASE {name} SET default_transaction_read_only = off;
         ALTER ROLE {app} IN DATABASE {name} SET search_path = public, \"a b\""
    );
    execute(&mut watch, &sql).await;
    let before = all(&mut watch).await;
    let mut inside = open(app_url.as_str()).await;
    let raised = raise(&mut session, &read_only(&[&app, &other])).await;
    execute(&mut inside, "INSERT INTO t VALUES (1)").await;
    let mut outside = open(app_url.as_str()).await;
    let refused = sqlx::raw_sql("INSERT INTO t VALUES (2)").execute(&mut outside).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("read-only")));
    lower_twice(&fresh, &raised, &before).await;
    execute(&mut open(app_url.as_str()).await, "INSERT INTO t VALUES (3)").await;
    // A pool would keep the session that began behind the fence, and never write again.
    sqlx::raw_sql("SELECT 1").execute(&mut outside).await.expect_err("an end");
    execute(&mut inside, "INSERT INTO t VALUES (4)").await;
}

#[tokio::test]
async fn behind_a_fence_for_its_own_user_sternway_takes_it_away_and_writes() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    let mut watch = fresh.watch().await;
    execute(&mut watch, &format!("ALTER DATABASE {} OWNER TO {role}", fresh.name)).await;
    let before = all(&mut watch).await;
    let mut first = session(url.as_str()).await;
    raise(&mut first, &read_only(&[&role])).await;
    first.execute("CREATE TABLE a (x int)").await.expect("a session from before");
    // It dies; the next one finds the fence.
    drop(first);
    let mut next = session(url.as_str()).await;
    next.execute("CREATE TABLE b (x int)").await.expect_err("a fence");
    let fences = next.fences(APP).await.expect("the fences");
    next.lower_fence(&fences[0]).await.expect("a way out");
    let body = "CREATE TABLE b (x int)";
    for body in [body, "CREATE TABLE c (x int)"] {
        let step = support::up(1, body);
        let done = next.migrate(&sternway_database::Work::of(&step, body, None)).await;
        done.unwrap_or_else(|it| panic!("{}", whole(&it)));
    }
    assert_eq!(all(&mut watch).await, before);
    drop(next);
    execute(&mut watch, &format!("REASSIGN OWNED BY {role} TO postgres")).await;
}

#[tokio::test]
async fn one_fence_stands_at_a_time_and_dropped_roles_are_no_obstacle() {
    let Some(mut fresh) = fresh().await else { return };
    let (app, _) = fresh.role("secret").await;
    let (mut session, mut watch) = (fresh.session().await, fresh.watch().await);
    execute(&mut watch, &format!("CREATE ROLE {app}_gone LOGIN")).await;
    let before = all(&mut watch).await;
    let raised = raise(&mut session, &no_connect(&[&app, &format!("{app}_gone")])).await;
    let fence = session.prepare_fence(&read_only(&[&app])).await.expect("a fence");
    let error = session.raise_fence("another", None, &fence).await.expect_err("a second one");
    assert!(error.to_string().contains("for the application app"), "{error}");
    execute(&mut watch, &format!("DROP ROLE {app}_gone")).await;
    session.lower_fence(&raised).await.expect("a way out");
    assert_eq!(all(&mut watch).await, before);
}

#[tokio::test]
async fn without_records_there_is_no_fence() {
    let Some(mut fresh) = fresh().await else { return };
    let (role, url) = fresh.role("secret").await;
    let mut poor = session(url.as_str()).await;
    let fence = poor.prepare_fence(&read_only(&[&role])).await.expect("a fence");
    let error = poor.raise_fence(APP, None, &fence).await.expect_err("no place to write it down");
    assert!(error.to_string().contains("found again after a crash"), "{error}");
    assert_eq!(poor.fences(APP).await.expect("the fences"), []);
}

#[tokio::test]
async fn the_sessions_of_other_clients_are_seen_and_ended_and_those_of_sternway_are_not() {
    let Some(mut fresh) = fresh().await else { return };
    let (app, mut url) = fresh.role("secret").await;
    url.set_query(Some("sslmode=disable&application_name=controller"));
    let (mut session, mut sternway) = (fresh.session().await, fresh.session().await);
    assert_eq!(session.sessions().await.expect("the sessions"), []);
    let mut client = open(url.as_str()).await;
    execute(&mut client, "BEGIN; SELECT 'a'\n, 'b'").await;
    let found = session.sessions().await.expect("the sessions");
    assert_eq!(found.len(), 1, "{found:?}");
    let (name, user) = (found[0].application.as_str(), found[0].user.as_str());
    assert_eq!(
        (name, user, found[0].query.as_str()),
        ("controller", app.as_str(), "BEGIN; SELECT 'a'")
    );
    // The number of one of Sternway's is no reason to end it, nor that of one who has gone.
    let pid: i32 = ask(
        &mut fresh.watch().await,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'sternway' ORDER BY backend_start DESC LIMIT 1",
    )
    .await;
    let ours = sternway_database::Session {
        pid: pid.into(),
        user: "postgres".to_owned(),
        ..found[0].clone()
    };
    let gone = sternway_database::Session { pid: 999_999, ..found[0].clone() };
    session.end_sessions(&[ours, gone, found[0].clone()]).await.expect("an end");
    let mut watch = fresh.watch().await;
    execute(&mut watch, "SET application_name = 'sternway'").await;
    until(
        &mut watch,
        "(SELECT count(*) = 3 FROM pg_stat_activity WHERE datname = current_database())",
    )
    .await;
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut client).await.is_err());
    sternway.track("schema_migrations").await.expect("a session that lives");
    // Who may not see all sees that somebody is there, and cannot end him.
    let mut poor = support::session(url.as_str()).await;
    let _client = fresh.watch().await;
    let found = poor.sessions().await.expect("the sessions");
    assert!(found.iter().any(|it| it.user == "postgres" && it.query.is_empty()), "{found:?}");
    poor.end_sessions(&found).await.expect_err("a superuser's session");
}

#[tokio::test]
async fn where_there_is_room_for_one_session_there_are_no_others() {
    for (mut session, fresh) in everywhere().await {
        if fresh.is_none() {
            assert_eq!(session.sessions().await.expect("the sessions"), []);
            assert!(!session.is_pooled().await.expect("an answer"));
            session.prepare_fence(&read_only(&["postgres"])).await.expect_err("no fence");
        }
    }
}
