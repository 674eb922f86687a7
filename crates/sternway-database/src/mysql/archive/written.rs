//! Which tables a body takes rows from, and what becomes of names, from the facts about each of its
//! statements. What they do not tell is refused.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::effect::Lost;

use super::super::statements::{
    Statement, What, Word, added_columns, begins_conditionally, insert_target, takes, words_of,
};
use super::super::{MySql, cell, is_ours};
use super::known::{Programs, made, made_name, unknown, writes};
use super::names::{Found, Names};
use super::shape::look;
use crate::archive::Result;
use crate::archive::shape::Column;
use crate::archive::sql::SqlStore;
use crate::definitions::integers;

/// What a body takes, before it runs.
#[derive(Debug, Default)]
pub struct Written {
    /// The tables that are copied, with why.
    pub copied: BTreeMap<String, Take>,
    /// The tables that a statement drops and nothing else touches: by its number, from 1.
    pub moved: BTreeMap<usize, Vec<String>>,
    /// The sequences that are dropped.
    pub sequences: BTreeSet<String>,
    /// What each table is called in the end.
    pub renamed: BTreeMap<String, String>,
    /// What each column is called in the end, by table.
    pub columns: BTreeMap<String, BTreeMap<String, String>>,
    /// The columns that statements set, by table; `*` where they may be any.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// Whether rows are added or changed: then data may have been carried over.
    pub inserts: bool,
    /// What is lost, as far as the words tell.
    pub lost: BTreeSet<Lost>,
    /// The tables whose triggers for an event were looked at.
    reached: BTreeSet<(String, String)>,
    /// What cannot be kept.
    pub refused: Option<String>,
}

/// What is taken from a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Take {
    /// Columns.
    Columns,
    /// Rows are deleted.
    Delete,
    /// All of it.
    Drop,
    /// Rows are changed.
    Change,
}

/// Reads a body.
pub async fn written(mysql: &mut MySql, statements: &[Statement<'_>]) -> Result<Written> {
    let mut found = Written::default();
    if statements.is_empty() {
        return Ok(found);
    }
    let words: Vec<Vec<Word<'_>>> =
        statements.iter().map(|it| words_of(it.text, it.quotes)).collect();
    let mut names = Names::of(mysql, &words).await?;
    let programs = Programs::of(mysql, &words).await?;
    let added = fresh(mysql, &words, &names).await?;
    let mut drops: Vec<(usize, String)> = Vec::new();
    let mut trigger = false;
    let all = &words;
    for (index, (statement, words)) in statements.iter().zip(all).enumerate() {
        let first = words.first().map_or("", |word| word.key.as_str());
        let refuse = |found: &mut Written, why: String| {
            found.refused.get_or_insert(why);
        };
        if statement.rest || begins_conditionally(statement.text, statement.quotes) {
            refuse(&mut found, "what a statement whose words are not plain takes away".to_owned());
        }
        let mut what: Vec<What> = takes(words, &added).into_iter().map(|(_, what)| what).collect();
        let why = unknown(words, what.is_empty()).or_else(|| programs.run_by(words));
        why.into_iter().for_each(|why| refuse(&mut found, why));
        let rows = ["INSERT", "REPLACE", "LOAD", "UPDATE", "DELETE", "WITH"].contains(&first);
        if rows && trigger {
            refuse(&mut found, "what a trigger that it makes takes away".to_owned());
        }
        trigger |= first == "CREATE"
            && made(words) == Some("TRIGGER")
            && words.iter().position(|it| it.is("ROW")).is_some_and(|row| writes(&words[row..]));
        found.inserts |= (rows && first != "DELETE")
            || (first == "CREATE" && words.iter().any(|it| it.is("SELECT")));
        if first == "INSERT" && words.iter().any(|it| it.is("DUPLICATE")) {
            what.push(What::Values(insert_target(words), Vec::new()));
        }
        let second = words.get(1).map_or("", |word| word.key.as_str());
        if first == "CREATE"
            && second == "OR"
            && made(words) == Some("TABLE")
            && !words.iter().take(4).any(|it| it.is("TEMPORARY"))
        {
            what.push(What::Table(made_name(words)));
        }
        if let "INSERT" | "REPLACE" | "LOAD" = first {
            match names.find(&insert_target(words)) {
                Found::Table(table) => {
                    reach(mysql, &names, &programs, &table, "INSERT", &mut found).await?;
                }
                Found::Nowhere(_) => {}
                Found::Beyond(why) => refuse(&mut found, why),
            }
        }
        let joins = ["JOIN", "STRAIGHT_JOIN", "USING", ","];
        let several = matches!(first, "UPDATE" | "DELETE" | "WITH")
            && words.iter().any(|it| joins.iter().any(|join| it.is(join)));
        if several && !what.is_empty() {
            match names.named_in(words) {
                Ok(tables) => {
                    for table in tables {
                        if first != "DELETE" {
                            let sets = found.sets.entry(table.clone()).or_default();
                            sets.insert("*".to_owned());
                        }
                        take(mysql, &names, &programs, &table, Take::Change, &mut found).await?;
                    }
                }
                Err(why) => refuse(&mut found, why),
            }
            // Each that it names is among them.
            what.clear();
        }
        for what in what {
            let shown = what.to_string();
            let (how, table, set) = match &what {
                What::Table(table) => (Take::Drop, table, Vec::new()),
                What::Column(table, _) => (Take::Columns, table, Vec::new()),
                What::Type(table, column, new) => {
                    if let Found::Table(table) = names.find(table)
                        && let Some(shape) = look(mysql, &table).await?
                        && let Some(column) = shape.column(column)
                        && stays(column, new, is_strict(mysql, all).await?)
                    {
                        continue;
                    }
                    (Take::Change, table, vec![column.clone()])
                }
                What::Values(table, set) if set.is_empty() => {
                    (Take::Change, table, vec!["*".to_owned()])
                }
                What::Values(table, set) => (Take::Change, table, set.clone()),
                What::Partition(table, _) | What::AllRows(table) | What::Rows(table) => {
                    (Take::Delete, table, Vec::new())
                }
                What::Sequence(parts) if names.sequence(parts).is_some() => {
                    found.sequences.extend(names.sequence(parts));
                    continue;
                }
                // One that is not there loses nothing.
                What::Sequence(parts) if parts.len() == 1 => continue,
                What::History(_) | What::Sequence(_) | What::Other(..) | What::Code(_) => {
                    refuse(&mut found, shown);
                    continue;
                }
            };
            match (names.find(table), what) {
                (Found::Table(table), What::Table(_)) => {
                    found.lost.insert(Lost::Table { table: table.clone() });
                    drops.push((index + 1, table));
                }
                (Found::Table(table), what) => {
                    if let What::Column(_, column) = what {
                        found.lost.insert(Lost::Column { table: table.clone(), column });
                    }
                    found.sets.entry(table.clone()).or_default().extend(set);
                    take(mysql, &names, &programs, &table, how, &mut found).await?;
                }
                // A table that is not there loses nothing, nor does one that the body makes.
                (Found::Nowhere(_), What::Table(_) | What::Column(..)) => {}
                (Found::Nowhere(name), _) if names.made.contains(&name) => {}
                (Found::Nowhere(_), _) => refuse(&mut found, shown),
                (Found::Beyond(why), _) => refuse(&mut found, why),
            }
        }
        if let Err(why) = names.follow(words, &mut found.columns) {
            refuse(&mut found, why);
        }
    }
    let rows = found.copied.iter().filter(|(_, how)| matches!(how, Take::Change | Take::Delete));
    let sequences = found.sequences.iter().cloned();
    found.lost.extend(sequences.map(|sequence| Lost::Sequence { sequence }).collect::<Vec<_>>());
    found
        .lost
        .extend(rows.map(|(table, _)| Lost::Rows { table: table.clone() }).collect::<Vec<_>>());
    for (last, first) in &names.now {
        found.renamed.insert(first.clone(), last.clone());
    }
    let tangled = words.iter().any(|it| it.first().is_some_and(|it| it.is("LOCK") || it.is("USE")));
    for (statement, table) in &drops {
        let again = names.made.contains(table)
            || names.now.iter().any(|(last, first)| last == table && first != table);
        let beside = drops.iter().any(|(other, name)| other == statement && name != table);
        if again
            || beside
            || tangled
            || found.copied.contains_key(table)
            || refers(mysql, table).await?
        {
            let entry = found.copied.entry(table.clone()).or_insert(Take::Drop);
            *entry = (*entry).max(Take::Drop);
        } else {
            found.renamed.remove(table);
            found.moved.entry(*statement).or_default().push(table.clone());
        }
    }
    for (_, table) in drops {
        if names.now.get(&table) == Some(&table) {
            found.renamed.remove(&table);
        }
    }
    Ok(found)
}

/// The columns that a body adds and whose filling takes nothing away: they are not there before, and
/// to change a row of their tables changes nothing else.
async fn fresh(
    mysql: &mut MySql,
    words: &[Vec<Word<'_>>],
    names: &Names,
) -> Result<BTreeSet<(String, String)>> {
    let slices: Vec<&[Word<'_>]> = words.iter().map(Vec::as_slice).collect();
    let mut added = BTreeSet::new();
    if words.iter().flatten().any(|word| word.is("RENAME")) {
        return Ok(added);
    }
    for (table, column) in added_columns(&slices) {
        let shape = match names.find(std::slice::from_ref(&table)) {
            Found::Table(table) => look(mysql, &table).await?,
            Found::Nowhere(_) => None,
            Found::Beyond(_) => continue,
        };
        let plain = shape.is_none_or(|shape| {
            shape.column(&column).is_none()
                && !shape.triggers.iter().any(|event| event == "UPDATE")
                && !shape.columns.iter().any(|column| column.touched)
        });
        if plain {
            added.insert((table, column));
        }
    }
    Ok(added)
}

/// Notes that rows of a table are taken, and of those that triggers and foreign keys reach from it.
async fn take(
    mysql: &mut MySql,
    names: &Names,
    programs: &Programs,
    table: &str,
    how: Take,
    found: &mut Written,
) -> Result<()> {
    let known = found.copied.get(table).copied();
    if known.is_none_or(|known| known < how) {
        found.copied.insert(table.to_owned(), how);
    }
    if known.is_some_and(|known| known >= how) || how == Take::Columns {
        return Ok(());
    }
    let events: &[&str] = if how == Take::Change { &["UPDATE", "DELETE"] } else { &["DELETE"] };
    for event in events {
        reach(mysql, names, programs, table, event, found).await?;
    }
    let sql = format!(
        "SELECT DISTINCT CONSTRAINT_SCHEMA AS own, TABLE_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
         WHERE UNIQUE_CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {}
           AND (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL'))",
        MySql::literal(&mysql.identity.database),
        MySql::literal(table)
    );
    let children = mysql.fetch("look for foreign keys", sql).await?;
    for (own, child) in children.iter().map(|row| (cell(row, "own"), cell(row, "name"))) {
        if own != mysql.identity.database {
            let why = format!("rows of `{own}`.`{child}`, which refer to {table}");
            found.refused.get_or_insert(why);
        } else if !is_ours(&child) {
            found.sets.entry(child.clone()).or_default().insert("*".to_owned());
            Box::pin(take(mysql, names, programs, &child, Take::Change, found)).await?;
        }
    }
    Ok(())
}

/// Notes the tables that the triggers of a table name.
async fn reach(
    mysql: &mut MySql,
    names: &Names,
    programs: &Programs,
    table: &str,
    event: &str,
    found: &mut Written,
) -> Result<()> {
    if !found.reached.insert((table.to_owned(), event.to_owned())) {
        return Ok(());
    }
    let sql = format!(
        "SELECT ACTION_STATEMENT AS action FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = {} AND EVENT_OBJECT_TABLE = {} AND EVENT_MANIPULATION = '{event}'",
        MySql::literal(&mysql.identity.database),
        MySql::literal(table)
    );
    for row in &mysql.fetch("look for triggers", sql).await? {
        let action = cell(row, "action");
        let words = words_of(&action, mysql.quotes);
        if words.iter().any(|it| it.is("CALL")) {
            let why = format!("whatever the triggers of {table} call takes away");
            found.refused.get_or_insert(why);
        }
        if let Some(why) = programs.run_by(&words) {
            found.refused.get_or_insert(why);
        }
        // What a trigger sets may be the key of the row.
        if event == "UPDATE" {
            found.sets.entry(table.to_owned()).or_default().insert("*".to_owned());
        }
        let writing = ["UPDATE", "DELETE", "REPLACE"];
        let takes = words.iter().any(|it| writing.iter().any(|write| it.is(write)));
        if !takes && !words.iter().any(|it| it.is("INSERT")) {
            continue;
        }
        let named = match names.catalog(&words) {
            Ok(named) => named,
            Err(why) => {
                found.refused.get_or_insert(why);
                continue;
            }
        };
        for name in named.into_iter().filter(|name| name != table) {
            if takes {
                found.sets.entry(name.clone()).or_default().insert("*".to_owned());
                Box::pin(take(mysql, names, programs, &name, Take::Change, found)).await?;
            }
            Box::pin(reach(mysql, names, programs, &name, "INSERT", found)).await?;
        }
    }
    Ok(())
}

/// Whether whatever a column has stays what it is where the column becomes what these words say. `strict`: the server
/// refuses a number that is too large, and makes no other of it.
fn stays(column: &Column, new: &str, strict: bool) -> bool {
    let (Some(old), Some(of)) = (integers(&column.kind), integers(new)) else { return false };
    let plain = !["generated", " as ", "zerofill"].iter().any(|it| new.contains(it));
    let has_room = of.0 <= old.0 && old.1 <= of.1 && !(column.nullable && new.contains("not null"));
    plain && !column.generated && (strict || has_room)
}

/// Whether the session is strict, and no statement says how strict it is.
async fn is_strict(mysql: &mut MySql, words: &[Vec<Word<'_>>]) -> Result<bool> {
    let sql = "SELECT @@SESSION.sql_mode AS mode".to_owned();
    let rows = mysql.fetch("ask how strict the session is", sql).await?;
    let is_said = words.iter().any(|it| it.first().is_some_and(|it| it.is("SET")));
    Ok(!is_said && rows.first().is_some_and(|row| cell(row, "mode").contains("STRICT_")))
}

/// Whether another table refers to this one.
async fn refers(mysql: &mut MySql, table: &str) -> Result<bool> {
    let own = mysql.table(table);
    Ok(mysql.referring(table).await?.iter().any(|it| *it != own))
}
