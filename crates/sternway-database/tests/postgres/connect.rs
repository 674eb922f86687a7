//! Every way to say which database, and every way in which it can fail.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sternway_database::port::prelude::*;
use sternway_database::postgres::connect;
use sternway_database::{Connect, DatabaseError};
use url::Url;

use crate::support::{self, execute, fresh, holds, session, variable, whole};

const SSL: &str = "(SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())";

async fn refusal(url: &str) -> Connect {
    connect(url, None).await.err().unwrap_or_else(|| panic!("{url} was to fail"))
}

/// A URL with another host.
fn at_localhost(url: &str) -> String {
    let mut url = Url::parse(url).expect("a URL");
    url.set_host(Some("localhost")).expect("a host");
    url.into()
}

#[tokio::test]
async fn every_sslmode_is_as_secure_as_it_says() {
    let Some(fresh) = fresh().await else { return };
    for (mode, secure) in
        [("disable", false), ("allow", false), ("prefer", true), ("require", true)]
    {
        let mut session = session(&fresh.url_with(&format!("sslmode={mode}"))).await;
        holds(&mut session, &format!("{SSL} = {secure}")).await;
    }
}

#[tokio::test]
async fn the_certificate_is_verified_as_far_as_the_sslmode_says() {
    let Some(fresh) = fresh().await else { return };
    let Some(ca) = variable("STERNWAY_TEST_PG_CA") else { return };
    let with = |mode: &str| fresh.url_with(&format!("sslmode={mode}&sslrootcert={ca}"));
    for url in [with("verify-ca"), at_localhost(&with("verify-full"))] {
        holds(&mut session(&url).await, SSL).await;
    }
    // The certificate is for localhost, and its CA is nobody's.
    let nowhere = "sslmode=verify-ca&sslrootcert=/nowhere/ca.crt";
    for url in [with("verify-full"), fresh.url_with("sslmode=verify-ca"), fresh.url_with(nowhere)] {
        let error = refusal(&url).await;
        assert!(matches!(error, Connect::Tls { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let Some(fresh) = support::Fresh::on("STERNWAY_TEST_PGVECTOR_URL").await else { return };
    holds(&mut session(&fresh.url_with("sslmode=prefer")).await, &format!("NOT {SSL}")).await;
    let error = refusal(&fresh.url_with("sslmode=require")).await;
    assert!(matches!(error, Connect::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn allow_asks_for_tls_where_it_is_refused_without() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = server.local_addr().expect("an address").port();
    let serve = std::thread::spawn(move || {
        let mut head = [0; 8];
        let (mut first, _) = server.accept().expect("a client");
        first.read_exact(&mut head).expect("its start");
        let fields = b"SFATAL\0C28000\0Mno pg_hba.conf entry, no encryption\0\0";
        let length = u32::try_from(fields.len() + 4).expect("a length").to_be_bytes();
        first.write_all(&[b"E", &length[..], fields].concat()).expect("an answer");
        let (mut second, _) = server.accept().expect("a client");
        second.read_exact(&mut head).expect("its start");
        second.write_all(b"N").expect("an answer");
        head
    });
    let error = refusal(&format!("postgres://me@127.0.0.1:{port}/app?sslmode=allow")).await;
    assert!(matches!(error, Connect::Tls { .. }), "{error:?}");
    // The protocol's SSLRequest.
    assert_eq!(serve.join().expect("a server"), [0, 0, 0, 8, 4, 210, 22, 47]);
}

#[tokio::test]
async fn a_socket_is_named_with_a_user_and_no_host() {
    let Some(fresh) = fresh().await else { return };
    let Some(folder) = variable("STERNWAY_TEST_PG_SOCKET") else { return };
    let address = fresh.address();
    let (port, password) = (address.port().expect("a port"), address.password().expect("one"));
    let place = format!("host={folder}&port={port}");
    for url in [
        format!("postgres://postgres:{password}@/{}?{place}", fresh.name),
        format!("postgresql:///{}?{place}&user=postgres&password={password}", fresh.name),
    ] {
        holds(&mut session(&url).await, "inet_server_addr() IS NULL").await;
    }
    let nowhere = format!("postgres://postgres@/app?host={folder}/nowhere&port={port}");
    let error = refusal(&nowhere).await;
    assert!(matches!(error, Connect::Unreachable { .. }), "{error:?}");
}

/// Runs itself in a process of its own, which has the variable.
#[tokio::test]
async fn a_password_file_is_read() {
    if let Ok(url) = std::env::var("STERNWAY_TEST_CHILD_URL") {
        session(&url).await;
        return;
    }
    let Some(fresh) = fresh().await else { return };
    let mut url = fresh.address();
    let (port, password) = (url.port().expect("a port"), url.password().expect("one").to_owned());
    url.set_password(None).expect("a URL");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pgpass");
    let run = |password: &str| {
        fs::write(&file, format!("127.0.0.1:{port}:*:postgres:{password}\n")).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("its mode");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "connect::a_password_file_is_read"]);
        command.env("PGPASSFILE", &file).env("STERNWAY_TEST_CHILD_URL", url.as_str());
        command.output().expect("an end").status.success()
    };
    assert!(run(&password));
    assert!(!run("wrong"));
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    let Some(fresh) = fresh().await else { return };
    let mut url = fresh.address();
    url.set_password(Some("s3cret")).expect("a URL");
    let error = refusal(url.as_str()).await;
    assert!(matches!(&error, Connect::Refused { user, .. } if user == "postgres"), "{error:?}");
    assert!(!whole(&error).contains("s3cret"), "{}", whole(&error));
}

#[tokio::test]
async fn the_password_given_apart_counts() {
    let Some(fresh) = fresh().await else { return };
    let right = fresh.address();
    let mut wrong = right.clone();
    wrong.set_password(Some("s3cret")).expect("a URL");
    connect(wrong.as_str(), right.password()).await.expect("a session");
    let error = connect(right.as_str(), Some("s3cret")).await.err().expect("a refusal");
    assert!(matches!(error, Connect::Refused { .. }), "{error:?}");
    assert!(!whole(&error).contains("s3cret"), "{}", whole(&error));
}

#[tokio::test]
async fn a_password_may_hold_any_character() {
    let Some(mut fresh) = fresh().await else { return };
    let (_, url) = fresh.role("100%/:@?#é'\\ %41").await;
    let mut session = session(url.as_str()).await;
    holds(&mut session, "true").await;
}

#[tokio::test]
async fn where_nothing_answers_the_place_is_told() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    for place in [format!("127.0.0.1:{port}"), "no-such-host.invalid:5432".to_owned()] {
        let error = refusal(&format!("postgres://me:s3cret@{place}/app")).await;
        assert!(matches!(error, Connect::Unreachable { .. }), "{error:?}");
        let text = whole(&error);
        assert!(text.contains(&place) && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_named() {
    let Some(fresh) = fresh().await else { return };
    let mut url = fresh.address();
    url.set_path("no such");
    let error = refusal(url.as_str()).await;
    assert!(
        matches!(&error, Connect::NoDatabase { database, .. } if database == "no such"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_search_path_of_the_url_leads_to_the_schema() {
    let Some(fresh) = fresh().await else { return };
    execute(&mut fresh.watch().await, "CREATE SCHEMA \"My app\"; CREATE SCHEMA other").await;
    for parameters in [
        "sslmode=disable&search_path=%22My%20app%22&x-migrations-table=t&connect_timeout=5",
        "sslmode=disable&options=-csearch_path%3D%22My%5C%20app%22",
    ] {
        let session = session(&fresh.url_with(parameters)).await;
        assert_eq!(session.identity().schema, "My app");
        assert_eq!(session.identity().database, fresh.name);
        assert_eq!(session.identity().user, "postgres");
    }
    let error = refusal(&fresh.url_with("sslmode=disable&search_path=nowhere")).await;
    let Connect::Session { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(source, DatabaseError::NoSchema), "{source:?}");
}

#[tokio::test]
async fn the_session_has_a_name_for_the_administrator() {
    let Some(fresh) = fresh().await else { return };
    holds(&mut fresh.session().await, "current_setting('application_name') = 'sternway'").await;
    let named = fresh.url_with("sslmode=disable&application_name=mine");
    holds(&mut session(&named).await, "current_setting('application_name') = 'mine'").await;
}

#[tokio::test]
async fn the_first_of_several_hosts_is_taken_that_answers_and_is_wanted() {
    let Some(fresh) = fresh().await else { return };
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = free.local_addr().expect("an address").port();
    drop(free);
    let address = fresh.address();
    let (port, password) = (address.port().expect("a port"), address.password().expect("one"));
    let url = |more: &str| {
        let hosts = format!("127.0.0.1:{dead},127.0.0.1:{port}");
        format!("postgres://postgres:{password}@{hosts}/{}?sslmode=disable{more}", fresh.name)
    };
    for more in ["", "&target_session_attrs=read-write", "&target_session_attrs=prefer-standby"] {
        let mut session = session(&url(more)).await;
        holds(&mut session, &format!("inet_server_port() = {port}")).await;
    }
    let error = refusal(&url("&target_session_attrs=standby")).await;
    assert!(
        matches!(&error, Connect::NotWanted { wanted, .. } if wanted == "a standby"),
        "{error:?}"
    );
    let error = refusal(
        &url("&target_session_attrs=standby").replace(&port.to_string(), &dead.to_string()),
    )
    .await;
    assert!(matches!(error, Connect::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_parameter_that_nobody_knows_is_called_that() {
    let Some(fresh) = fresh().await else { return };
    let known = "sslmode=disable&binary_parameters=yes&default_query_exec_mode=exec&krbsrvname=x";
    session(&fresh.url_with(known)).await;
    for (parameter, said) in
        [("no_such_parameter=1", "no_such_parameter"), ("work_mem=much", "work_mem")]
    {
        let error = refusal(&fresh.url_with(&format!("sslmode=disable&{parameter}"))).await;
        assert!(
            matches!(&error, Connect::Setting { reason, .. } if reason.contains(said)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://me@127.0.0.1:{port}/app?connect_timeout=1&sslmode=disable");
    let refusal = tokio::time::timeout(std::time::Duration::from_secs(10), refusal(&url)).await;
    assert!(matches!(refusal, Ok(Connect::Unreachable { .. })), "{refusal:?}");
}
