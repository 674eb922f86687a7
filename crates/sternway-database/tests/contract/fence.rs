//! A fence keeps other clients out, and leaves no trace; a dialect without one says so.

use sternway_database::dialect::connect;
use sternway_database::{DatabaseError, FenceKind};

use super::{Ground, Session, whole};

/// A user of the database who is nobody but the application: the statements that make it and take it
/// away, and its URL. `None` where there are no users.
fn client(ground: &Ground, session: &Session) -> Option<(String, [String; 2], String)> {
    let database = &session.identity().database;
    let user = format!("{database}_client");
    let (scheme, rest) = ground.url.split_once("://")?;
    let address = rest.rsplit_once('@')?.1;
    let url = format!("{scheme}://{user}:secret@{address}");
    let (make, drop) = match session.identity().server.split(' ').next()? {
        "PostgreSQL" => {
            (format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'"), format!("DROP ROLE {user}"))
        }
        _ => (
            format!(
                "CREATE OR REPLACE USER {user} IDENTIFIED BY 'secret';
                 GRANT ALL ON {database}.* TO {user}"
            ),
            format!("DROP USER {user}"),
        ),
    };
    Some((user, [make, drop], url))
}

/// A fence keeps a client out until it is lowered, whoever lowers it, and only one stands at a time.
pub async fn a_fence_stands_until_it_is_lowered(ground: &Ground) {
    let mut session = ground.session().await;
    session.prepare_records().await.expect("records");
    assert_eq!(session.fences("app").await.expect("the fences"), []);
    let Some((user, [make, drop], url)) = client(ground, &session) else {
        let kind = FenceKind::NoConnect { roles: vec!["client".to_owned()] };
        let none = session.prepare_fence(&kind).await.expect_err("no fence");
        assert!(matches!(none, DatabaseError::NoFence { .. }), "{none:?}");
        return;
    };
    super::went(&mut session, None, Some(1), &make).await;
    let may_connect = async || connect(&url, None).await.is_ok();
    assert!(may_connect().await);
    let kind = FenceKind::NoConnect { roles: vec![user] };
    let fence = session.prepare_fence(&kind).await;
    let fence = fence.unwrap_or_else(|error| panic!("{}", whole(&error)));
    assert!(may_connect().await, "to find out changes nothing");
    let raised = session.raise_fence("app", None, &fence).await;
    let raised = raised.unwrap_or_else(|error| panic!("{}", whole(&error)));
    assert!(!may_connect().await);
    // Who comes after a crash finds it, and no second one is raised.
    let mut second = ground.session().await;
    let found = second.fences("app").await.expect("the fences");
    assert_eq!(found, std::slice::from_ref(&raised));
    assert_eq!(second.fences("other").await.expect("the fences"), []);
    assert!(second.raise_fence("app", None, &fence).await.is_err());
    assert!(!may_connect().await);
    second.lower_fence(&raised).await.expect("lowered");
    assert!(may_connect().await);
    assert_eq!(session.fences("app").await.expect("the fences"), []);
    session.lower_fence(&raised).await.expect("nothing to lower");
    super::went(&mut session, Some(1), None, &drop).await;
}
