//! What became of a statement that was under way outside a transaction when its session was lost.

use super::statements::{Statement, statements};
use crate::port::{Reconciled, Work};

/// Looks whether statement `number` of the body took effect. Only the body tells: all that could show
/// in the file commits together with its journal record.
pub(super) fn reconcile(work: &Work<'_>, number: usize) -> Reconciled {
    let statements = statements(work.body);
    let statement = number.checked_sub(1).and_then(|index| statements.get(index));
    match statement {
        // The body's own transaction writes the journal before it commits: it did not.
        Some(statement) if statement.transaction.is_some() => Reconciled::NotDone,
        Some(statement) if statement.sets || is_vacuum(statement) => Reconciled::NotDone,
        _ => Reconciled::Unknown,
    }
}

fn is_vacuum(statement: &Statement<'_>) -> bool {
    statement.text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("vacuum"))
}
