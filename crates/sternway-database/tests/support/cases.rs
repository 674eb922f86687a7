//! Bodies that destroy, what happens in between, and what must hold when their other half has run.

use std::collections::BTreeMap;

use sternway_database::Done;
use sternway_database::port::prelude::*;
use sternway_database::postgres::Postgres;
use sternway_model::archive::Conflict;

use super::{holds, whole};

/// A case: what there is, the down body, what the old release does, the up body, what must hold
/// afterwards, and the conflicts.
pub type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, u64)],
);

/// Makes what there is at the beginning of a case, in a schema of its own.
pub async fn begin(session: &mut Postgres, (start, ..): &Case) {
    let clean = "DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app; SET search_path TO app";
    session.execute(clean).await.expect("a schema");
    let _ = session.enter_schema("app").await;
    session.execute(start).await.unwrap_or_else(|error| panic!("{start}: {}", whole(&error)));
}

/// Fails unless the case ended as it says.
pub async fn end(session: &mut Postgres, case: &Case, gone: &Done, back: &Done) {
    let (_, down, .., holds_after, conflicts) = case;
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    for Conflict { reason, rows } in back.restored.iter().flat_map(|it| &it.restored.conflicts) {
        *left.entry(reason.clone()).or_default() += rows;
    }
    let expected: BTreeMap<String, u64> =
        conflicts.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect();
    assert_eq!(left, expected, "{down}\n{gone:?}\n{back:?}");
    holds(session, holds_after).await;
}
