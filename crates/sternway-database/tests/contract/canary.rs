//! Dialects that do not keep the promises, and do not pass: without them nobody knows that the suite would
//! find one out.

use std::future::Future;

use async_trait::async_trait;
use sternway_database::failpoint::{Rule, break_rule};
use sternway_database::port::{Execution, Fences};
use sternway_database::{
    DatabaseError, Done, Fence, FenceKind, Preservation, Raised, Reconciled, RunId, StepError, Work,
};
use sternway_testing::forward;

use super::{Ground, Session, archive, fence, grounds, kinds, newer, random, reconcile, tracking};

/// What a dialect does that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sin {
    /// It runs bodies and keeps nothing.
    KeepsNothing,
    /// It takes every statement in doubt for one that took effect.
    Guesses,
    /// It says that a fence stands, and there is none.
    KeepsNobodyOut,
}

/// SQLite, but for a sin.
pub struct Sinner {
    pub session: Session,
    pub sin: Sin,
}

forward!(Sinner, session: Connection, Locks, Tracking, Schema, RecordStore, Archive, Clients);

#[async_trait]
impl Execution for Sinner {
    async fn migrate(&mut self, work: &Work<'_>) -> Result<(), StepError> {
        self.session.migrate(work).await
    }

    async fn migrate_preserving(
        &mut self,
        work: &Work<'_>,
        preservation: &Preservation<'_>,
    ) -> Result<Done, StepError> {
        match self.sin {
            Sin::KeepsNothing => self.session.migrate(work).await.map(|()| Done::default()),
            _ => self.session.migrate_preserving(work, preservation).await,
        }
    }

    async fn reconcile(
        &mut self,
        work: &Work<'_>,
        statement: usize,
    ) -> Result<Reconciled, DatabaseError> {
        match self.sin {
            Sin::Guesses => Ok(Reconciled::Done),
            _ => self.session.reconcile(work, statement).await,
        }
    }
}

#[async_trait]
impl Fences for Sinner {
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        match self.sin {
            Sin::KeepsNobodyOut => {
                Ok(Fence { kind: kind.clone(), database: String::new(), before: Vec::new() })
            }
            _ => self.session.prepare_fence(kind).await,
        }
    }

    async fn raise_fence(
        &mut self,
        app: &str,
        run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError> {
        self.session.raise_fence(app, run, fence).await
    }

    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError> {
        self.session.fences(app).await
    }

    async fn lower_fence(&mut self, fence: &Raised) -> Result<(), DatabaseError> {
        self.session.lower_fence(fence).await
    }
}

/// Fails unless the promise does, on SQLite, which is always there.
async fn fails<F, P>(sin: Option<Sin>, promise: P) -> bool
where
    P: FnOnce(Ground) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let ground = grounds().await.remove(0);
    tokio::spawn(promise(Ground { sin, ..ground })).await.is_err()
}

#[tokio::test]
async fn a_dialect_that_breaks_a_promise_does_not_pass() {
    use Sin::{Guesses, KeepsNobodyOut, KeepsNothing};
    macro_rules! caught {
        ($sin:expr, $promise:path) => {
            assert!(!fails(None, |ground: Ground| async move { $promise(&ground).await }).await);
            assert!(
                fails(Some($sin), |ground: Ground| async move { $promise(&ground).await }).await,
                "{:?} passes {}",
                $sin,
                stringify!($promise)
            );
        };
    }
    caught!(KeepsNothing, archive::what_one_half_destroys_the_other_restores);
    caught!(KeepsNothing, archive::an_entry_is_restored_and_dropped_by_its_number);
    caught!(KeepsNothing, archive::nothing_is_destroyed_that_the_plan_does_not_say);
    caught!(KeepsNothing, kinds::a_kept_copy_does_not_depend_on_what_goes_with_it);
    caught!(KeepsNothing, newer::what_is_left_is_not_restored_by_itself);
    caught!(Guesses, reconcile::a_statement_that_took_effect_is_told_from_one_that_did_not);
    caught!(KeepsNobodyOut, fence::a_fence_stands_until_it_is_lowered);
}

/// On each dialect, with a rule of restoring switched off.
#[tokio::test]
async fn a_suite_notices_where_a_rule_of_restoring_is_broken() {
    macro_rules! caught {
        ($rule:expr, $promise:path) => {
            caught!($rule, $promise, grounds().await)
        };
        ($rule:expr, $promise:path, $grounds:expr) => {
            for ground in $grounds {
                let server = ground.session().await.identity().server.clone();
                break_rule(Some($rule));
                let broken = tokio::spawn(async move { $promise(&ground).await }).await;
                break_rule(None);
                assert!(
                    broken.is_err(),
                    "{server} without {:?} passes {}",
                    $rule,
                    stringify!($promise)
                );
            }
        };
    }
    caught!(Rule::NewerStays, newer::what_somebody_wrote_since_is_not_overwritten);
    caught!(Rule::NewerStays, random::the_last_value_of_every_row_comes_back);
    caught!(Rule::ComputedStays, newer::what_a_body_computes_is_told_from_what_somebody_wrote);
    caught!(Rule::ComputedStays, newer::a_table_that_a_body_fills_is_as_fresh_as_its_source);
    caught!(Rule::ComputedStays, random::a_random_ledger_is_as_fresh_as_its_rows);
    caught!(Rule::OnlyOnce, newer::rows_that_are_made_anew_are_there_once);
    caught!(Rule::OnlyOnce, newer::a_table_that_is_numbered_anew_has_its_own_numbers);
    // The others compare when they restore.
    let postgres = Ground::postgres().await;
    let postgres = postgres.into_iter();
    caught!(Rule::DeletedApart, newer::values_of_a_deleted_row_go_to_no_other, postgres);
    caught!(Rule::RowReadBack, tracking::what_a_tracking_table_swallows_is_noticed);
}
