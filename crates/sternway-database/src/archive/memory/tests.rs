//! Restoring: the algorithm by itself.

use sternway_model::archive::{Conflict, Restored};
use sternway_model::effect::Lost;

use super::{Kept, Memory, Values};
use crate::archive::entry::Stored;
use crate::archive::reason;
use crate::archive::restore::{Outcome, advance, look_at, restore};
use crate::archive::shape::{ForeignKey, Given};
use crate::archive::store::BATCH;

use crate::origin::{Filled, Origin};

fn gone(values: &[i64]) -> Kept {
    let values = values.iter().copied().map(Some).collect();
    Kept { values, ..Kept::default() }
}

fn changed(values: &[i64], after: &[i64]) -> Kept {
    let after = after.iter().copied().map(Some).collect();
    Kept { changed: true, after, ..gone(values) }
}

fn row(values: &[i64]) -> Values {
    values.iter().copied().map(Some).collect()
}

fn of_table(table: &str) -> Lost {
    Lost::Table { table: table.to_owned() }
}

fn of_rows(table: &str) -> Lost {
    Lost::Rows { table: table.to_owned() }
}

fn conflicts(of: &[(&str, u64)]) -> Vec<Conflict> {
    of.iter().map(|(reason, rows)| Conflict { reason: (*reason).to_owned(), rows: *rows }).collect()
}

/// Restores entries, between which and the look at them `meanwhile` happens.
async fn there_and_back(
    store: &mut Memory,
    entries: Vec<Stored>,
    meanwhile: impl FnOnce(&mut Memory),
) -> Outcome {
    let constant = |_: &Filled<'_>, _: &str| Origin::Constant;
    let waiting = look_at(store, entries, Some(&constant), false).await.expect("a look");
    meanwhile(store);
    advance(store, &waiting).await.expect("numbers");
    let outcome = restore(store, waiting).await.expect("an outcome");
    assert!(store.marks.is_empty());
    outcome
}

/// Restores entries of the column `t.a`, which the other half makes between the look and that.
async fn made_again(store: &mut Memory, entries: Vec<Stored>, origin: Origin) -> Outcome {
    let shape = store.shapes["t"].clone();
    store.shape("t").columns.retain(|it| it.name != "a");
    let origins = |_: &Filled<'_>, _: &str| origin.clone();
    let waiting = look_at(store, entries, Some(&origins), false).await.expect("a look");
    store.shapes.insert("t".to_owned(), shape);
    restore(store, waiting).await.expect("an outcome")
}

#[tokio::test]
async fn a_row_that_breaks_a_rule_is_found_by_halves() {
    let mut store = Memory::default();
    let rows: Vec<Kept> = (1..=4_096).map(|n| gone(&[n, n % 1_000])).collect();
    store.table("t", &["id", "a"], Vec::new());
    store.rule = Some(|row, _| if row[0] == Some(1_234) { Err(reason::CHECK) } else { Ok(()) });
    let entry = store.entry(1, of_table("t"), &["id", "a"], rows);
    let outcome = there_and_back(&mut store, vec![entry], |_| {}).await;
    let expected = Restored { back: 4_095, conflicts: conflicts(&[(reason::CHECK, 1)]) };
    assert_eq!(outcome.restored[0].restored, expected);
    assert_eq!(store.notes[&1], expected);
    assert_eq!((store.rows("t").len(), outcome.emptied), (4_095, vec![]));
    assert!(store.written < 40, "{} statements for one row of 4,096", store.written);
    assert_eq!(store.sequences["t"], 100);
}

#[tokio::test]
async fn rows_that_have_to_stay_are_named_in_batches() {
    let mut store = Memory::default();
    let rows: Vec<Kept> = (1..=2_500).map(|n| gone(&[n, n + 10])).collect();
    store.table("p", &["id"], vec![row(&[11])]);
    store.table("t", &["id", "p"], Vec::new());
    let columns = vec![("p".to_owned(), "id".to_owned())];
    let key = ForeignKey { parent: "p".to_owned(), columns, ..ForeignKey::default() };
    store.shape("t").foreign_keys.push(key);
    let entry = store.entry(1, of_table("t"), &["id", "p"], rows);
    let outcome = there_and_back(&mut store, vec![entry], |_| {}).await;
    let expected = Restored { back: 1, conflicts: conflicts(&[(reason::ORPHAN, 2_499)]) };
    assert_eq!(outcome.restored[0].restored, expected);
    assert_eq!((store.rows("t"), store.longest), (&[row(&[1, 11])][..], BATCH));
}

#[tokio::test]
async fn tables_that_refer_to_one_another_are_restored_together() {
    let mut store = Memory::default();
    for (table, parent) in [("a", "b"), ("b", "a")] {
        store.table(table, &["id", "ref"], Vec::new());
        let columns = vec![("ref".to_owned(), "id".to_owned())];
        let key = ForeignKey { parent: parent.to_owned(), columns, ..ForeignKey::default() };
        store.shape(table).foreign_keys.push(key);
    }
    let a = store.entry(1, of_table("a"), &["id", "ref"], vec![gone(&[1, 1]), gone(&[2, 2])]);
    // Nobody is there for the second one of `b`, and then nobody for the second one of `a`.
    let b = store.entry(2, of_table("b"), &["id", "ref"], vec![gone(&[1, 1]), gone(&[2, 7])]);
    let entries = vec![a, Stored { step: 1, ..b }];
    let outcome = there_and_back(&mut store, entries, |_| {}).await;
    for entry in outcome.restored {
        let expected = Restored { back: 1, conflicts: conflicts(&[(reason::ORPHAN, 1)]) };
        assert_eq!(entry.restored, expected);
    }
}

#[tokio::test]
async fn a_row_that_waits_for_another_one_to_move_away_is_tried_again() {
    let mut store = Memory::default();
    // The body turned two unique values into others; each is free once the other row has its own.
    store.table("t", &["id", "u"], vec![row(&[1, 20]), row(&[2, 30])]);
    let unique = |row: &Values, others: &[Values]| {
        let taken = others.iter().any(|other| other[1] == row[1]);
        if taken { Err(reason::UNIQUE) } else { Ok(()) }
    };
    store.rule = Some(unique);
    let rows = vec![changed(&[1, 30], &[1, 20]), changed(&[2, 40], &[2, 30])];
    let entry = store.entry(1, of_rows("t"), &["id", "u"], rows);
    let outcome = there_and_back(&mut store, vec![entry], |_| {}).await;
    assert_eq!(outcome.restored[0].restored, Restored { back: 2, conflicts: Vec::new() });
    assert_eq!(outcome.emptied, [1]);
    assert!(store.rows("t").contains(&row(&[1, 30])) && store.rows("t").contains(&row(&[2, 40])));
}

#[tokio::test]
async fn what_somebody_wrote_meanwhile_stays() {
    let mut store = Memory::default();
    let now = [row(&[1, 0]), row(&[2, 7]), row(&[4, 4]), row(&[6, 0])];
    store.table("t", &["id", "a"], now.to_vec());
    let rows = vec![
        changed(&[1, 1], &[1, 0]),
        changed(&[2, 2], &[2, 0]),
        changed(&[3, 3], &[3, 0]),
        gone(&[4, 4]),
        gone(&[5, 5]),
        changed(&[6, 6], &[6, 0]),
    ];
    let entry = store.entry(1, of_rows("t"), &["id", "a"], rows);
    // The other half takes away a row that nobody had touched: it is as good as deleted.
    let outcome = there_and_back(&mut store, vec![entry], |store| {
        store.data.tables.get_mut("t").expect("t").retain(|it| it[0] != Some(6));
    });
    let stay = [(reason::TAKEN, 1), (reason::CHANGED, 1), (reason::DELETED, 1)];
    let outcome = outcome.await;
    assert_eq!(outcome.restored[0].restored, Restored { back: 3, conflicts: conflicts(&stay) });
    let mut rows = store.rows("t").to_vec();
    rows.sort();
    assert_eq!(rows, [[1, 1], [2, 7], [4, 4], [5, 5], [6, 6]].map(|it| row(&it)));
}

#[tokio::test]
async fn the_newest_entry_comes_first_and_an_older_one_changes_nothing() {
    let mut store = Memory::default();
    store.table("t", &["id", "a"], vec![row(&[1, 0])]);
    let lost = Lost::Column { table: "t".to_owned(), column: "a".to_owned() };
    let older = store.entry(1, lost.clone(), &["id", "a"], vec![gone(&[1, 1])]);
    let newer = store.entry(2, lost, &["id", "a"], vec![gone(&[1, 2])]);
    let outcome = made_again(&mut store, vec![older, newer], Origin::Constant).await;
    let ids: Vec<_> = outcome.restored.iter().map(|it| (it.id, it.restored.back)).collect();
    assert_eq!((ids, store.rows("t")), (vec![(2, 1), (1, 0)], &[row(&[1, 2])][..]));
    assert_eq!(store.notes[&1].conflicts, conflicts(&[(reason::NEWER, 1)]));
}

#[tokio::test]
async fn where_nothing_fits_of_what_nobody_has_tried_it_goes_on_waiting() {
    let mut store = Memory::default();
    let entry = store.entry(1, of_table("t"), &["id"], vec![gone(&[1])]);
    let outcome = by_itself(&mut store, vec![entry]).await;
    assert_eq!(outcome.restored[0].restored.conflicts, conflicts(&[(reason::NO_TABLE, 1)]));
    assert_eq!((store.notes.len(), store.data.kept[&1][&1].conflict.as_deref()), (0, None));
    // A table without rows may still have numbers to go on with.
    let entry = store.entry(1, of_table("t"), &["id"], Vec::new());
    by_itself(&mut store, vec![entry.clone()]).await;
    assert_eq!(store.notes.len(), 0);
    store.table("t", &["id"], Vec::new());
    by_itself(&mut store, vec![entry]).await;
    assert_eq!(store.notes.len(), 1);
}

/// Restores entries while the other half does not run.
async fn by_itself(store: &mut Memory, entries: Vec<Stored>) -> Outcome {
    let waiting = look_at(store, entries, None, false).await.expect("a look");
    restore(store, waiting).await.expect("an outcome")
}

fn column_of_t() -> Lost {
    Lost::Column { table: "t".to_owned(), column: "a".to_owned() }
}

#[tokio::test]
async fn a_value_goes_back_by_itself_only_where_nothing_is() {
    let mut store = Memory::default();
    store.table("t", &["id", "a"], vec![row(&[1, 7]), vec![Some(2), None], row(&[3, 3])]);
    let rows = vec![gone(&[1, 1]), gone(&[2, 2]), gone(&[3, 3])];
    let entry = store.entry(1, column_of_t(), &["id", "a"], rows);
    let outcome = by_itself(&mut store, vec![entry]).await;
    let expected = Restored { back: 2, conflicts: conflicts(&[(reason::WRITTEN, 1)]) };
    assert_eq!(outcome.restored[0].restored, expected);
    let mut rows = store.rows("t").to_vec();
    rows.sort();
    assert_eq!(rows, [[1, 7], [2, 2], [3, 3]].map(|it| row(&it)));
}

#[tokio::test]
async fn an_older_entry_fills_what_a_newer_one_has_nothing_for() {
    let mut store = Memory::default();
    store.table("t", &["id", "a"], [1, 2, 3].map(|id| vec![Some(id), None]).to_vec());
    let older = [1, 2, 3].map(|id| gone(&[id, id * 10])).to_vec();
    let older = store.entry(1, column_of_t(), &["id", "a"], older);
    // In between nobody had written to the second row, and the third one was not there.
    let nothing = Kept { values: vec![Some(2), None], ..Kept::default() };
    let newer = store.entry(2, column_of_t(), &["id", "a"], vec![gone(&[1, 11]), nothing]);
    let outcome = there_and_back(&mut store, vec![older, newer], |_| {}).await;
    let left = conflicts(&[(reason::NEWER, 1), (reason::DELETED, 1)]);
    assert_eq!(outcome.restored[1].restored, Restored { back: 1, conflicts: left });
    let mut rows = store.rows("t").to_vec();
    rows.sort();
    assert_eq!(rows, [vec![Some(1), Some(11)], vec![Some(2), Some(20)], vec![Some(3), None]]);
}

#[tokio::test]
async fn what_is_computed_from_what_has_changed_stays() {
    let mut store = Memory::default();
    // The body makes `a` of `b`; of the second row that has changed, of the third one somebody had made
    // something else.
    let now = [[1, 10, 1], [2, 30, 3], [3, 30, 3]];
    store.table("t", &["id", "a", "b"], now.map(|it| row(&it)).to_vec());
    let rows = [[1, 10, 1], [2, 20, 2], [3, 99, 3]].map(|it| gone(&it)).to_vec();
    let mut entry = store.entry(1, column_of_t(), &["id", "a", "b"], rows);
    (entry.layout.rest, entry.layout.renamed[1]) = (true, None);
    let of_b = Origin::Row(["b".to_owned()].into());
    let outcome = made_again(&mut store, vec![entry], of_b).await;
    let left = vec![Conflict { reason: reason::computed(&["a"]), rows: 1 }];
    assert_eq!(outcome.restored[0].restored, Restored { back: 2, conflicts: left });
    let mut rows = store.rows("t").to_vec();
    rows.sort();
    assert_eq!(rows, [[1, 10, 1], [2, 30, 3], [3, 99, 3]].map(|it| row(&it)));
}

#[tokio::test]
async fn what_is_computed_from_other_rows_is_judged_by_what_it_would_have_been() {
    for (anew, expected) in [(true, [[1, 7], [2, 20]]), (false, [[1, 10], [2, 20]])] {
        let mut store = Memory::default();
        // The body would have made 10 of both rows, and now makes 20 of the second one.
        store.table("t", &["id", "a"], [[1, 10], [2, 20]].map(|it| row(&it)).to_vec());
        let rows = [[1, 7], [2, 7]].map(|it| Kept { after: row(&[it[0], 10]), ..gone(&it) });
        let mut entry = store.entry(1, column_of_t(), &["id", "a"], rows.to_vec());
        (entry.layout.rest, entry.layout.anew, entry.layout.renamed[1]) = (true, anew, None);
        let outcome = made_again(&mut store, vec![entry], Origin::Elsewhere).await;
        assert_eq!(outcome.restored[0].restored.left(), if anew { 1 } else { 2 });
        let mut rows = store.rows("t").to_vec();
        rows.sort();
        assert_eq!(rows, expected.map(|it| row(&it)));
    }
}

#[tokio::test]
async fn a_row_that_was_made_anew_under_another_key_stays() {
    let mut store = Memory::default();
    store.table("t", &["id", "a"], vec![row(&[5, 7])]);
    store.shape("t").columns[0].given = Given::Own;
    let entry = store.entry(
        1,
        of_rows("t"),
        &["id", "a"],
        [[1, 8], [2, 7], [3, 9]].map(|it| gone(&it)).to_vec(),
    );
    // What somebody else had put there before is another row.
    let outcome = there_and_back(&mut store, vec![entry], |store| {
        store.data.tables.get_mut("t").expect("t").push(row(&[6, 9]));
    });
    let outcome = outcome.await;
    let left = conflicts(&[(reason::ANEW, 1)]);
    assert_eq!(outcome.restored[0].restored, Restored { back: 2, conflicts: left });
    let mut rows = store.rows("t").to_vec();
    rows.sort();
    assert_eq!(rows, [[1, 8], [2, 7], [5, 7], [6, 9]].map(|it| row(&it)));
}

#[tokio::test]
async fn triggers_that_would_fire_keep_rows_from_going_back() {
    let mut store = Memory::default();
    store.table("t", &["id", "a"], vec![row(&[1, 0])]);
    store.shape("t").triggers = vec!["INSERT".to_owned(), "UPDATE".to_owned()];
    let rows = vec![changed(&[1, 1], &[1, 0]), gone(&[2, 2])];
    let entry = store.entry(1, of_rows("t"), &["id", "a"], rows);
    let outcome = there_and_back(&mut store, vec![entry], |_| {}).await;
    let stay = conflicts(&[(reason::TRIGGERS, 2)]);
    assert_eq!(outcome.restored[0].restored, Restored { back: 0, conflicts: stay });
    assert_eq!(store.rows("t"), [row(&[1, 0])]);
}
