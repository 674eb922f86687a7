//! Triggers, while rows are restored. Nothing keeps one from firing here, so they are taken away and made again, as
//! where rows are carried over.
//!
//! A trigger runs with the rights of whoever made it, and only they can make it so again: where one of a table is
//! somebody else's, all of them stay, and the rows that would make it fire stay in the archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::Result;
use crate::mysql::{MySql, cell, swap};

/// Takes the triggers of tables away that would fire when rows are restored, until [`swap::put_back`].
pub(super) async fn silence(mysql: &mut MySql, tables: &BTreeSet<&str>) -> Result<()> {
    let sql = format!(
        "SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS of, IF(DEFINER = CURRENT_USER(), 'own', '') AS own
         FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = {} AND EVENT_MANIPULATION IN ('INSERT', 'UPDATE')",
        MySql::literal(&mysql.identity.database)
    );
    let mut found: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for row in &mysql.fetch("look for triggers", sql).await? {
        let (of, own) = (cell(row, "of"), cell(row, "own") == "own");
        if tables.iter().any(|it| it.eq_ignore_ascii_case(&of)) {
            found.entry(of).or_default().push((cell(row, "name"), own));
        }
    }
    let all_own = |triggers: &Vec<(String, bool)>| triggers.iter().all(|(_, own)| *own);
    let names = found.into_values().filter(all_own).flatten().map(|(name, _)| name);
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let triggers = swap::triggers(mysql, Some(&names)).await?;
    swap::take_away(mysql, &triggers).await
}
