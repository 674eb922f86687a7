//! Which tables a body takes rows from, and what becomes of names, from the facts about each of its
//! statements. What they do not tell is refused.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::effect::Lost;

use super::super::statements::{Statement, facts_with, plain_words};
use super::super::{MySql, cell, is_ours};
use crate::port::DatabaseError;

/// What a body takes, before it runs.
#[derive(Debug, Default)]
pub struct Touched {
    /// The tables that are copied, with why.
    pub copied: BTreeMap<String, Take>,
    /// The tables that a statement drops and nothing else touches: by its number, from 1.
    pub moved: BTreeMap<usize, Vec<String>>,
    /// What each table is called in the end.
    pub renamed: BTreeMap<String, String>,
    /// What each column is called in the end, by table.
    pub columns: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether rows are added.
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
pub async fn touched(
    mysql: &mut MySql,
    body: &str,
    statements: &[Statement<'_>],
) -> Result<Touched, DatabaseError> {
    let mut found = Touched::default();
    let escapes = mysql.escapes;
    let whole: BTreeSet<String> =
        facts_with(body, escapes).destroys.into_iter().map(|it| it.what).collect();
    let words: Vec<Vec<String>> =
        statements.iter().map(|it| plain_words(it.text, escapes)).collect();
    let takes = |words: &[String]| {
        let first = words.first().map_or("", String::as_str);
        matches!(first, "INSERT" | "REPLACE")
            || (first == "CREATE" && words.get(1).is_some_and(|it| it == "OR"))
    };
    if whole.is_empty() && !words.iter().any(|words| takes(words)) {
        return Ok(found);
    }
    let there = tables(mysql).await?;
    let mut names: BTreeMap<String, String> =
        there.iter().map(|name| (name.clone(), name.clone())).collect();
    let mut drops: Vec<(usize, String)> = Vec::new();
    let mut made: BTreeSet<String> = BTreeSet::new();
    for (index, statement) in statements.iter().enumerate() {
        let words = &words[index];
        let first = words.first().map_or("", String::as_str);
        found.inserts |= ["INSERT", "REPLACE", "LOAD"].contains(&first)
            || (first == "CREATE" && words.iter().any(|it| it == "SELECT"));
        let mut what: Vec<String> = facts_with(statement.text, escapes)
            .destroys
            .into_iter()
            .map(|it| it.what)
            .filter(|what| whole.contains(what))
            .collect();
        let target = |after: &str| {
            let at = words.iter().position(|it| it == after)?;
            words[at + 1..].iter().find_map(|it| names.get(it.trim_matches('`')).cloned())
        };
        if first == "INSERT" && words.iter().any(|it| it == "DUPLICATE") {
            what.extend(target("INSERT").map(|table| format!("former values in {table}")));
        }
        if first == "CREATE"
            && words.get(1).is_some_and(|it| it == "OR")
            && words.iter().take(4).any(|it| it == "TABLE")
        {
            let table = words.iter().skip(3).find(|it| names.contains_key(it.trim_matches('`')));
            what.extend(table.map(|table| format!("table {}", table.trim_matches('`'))));
        }
        if let "INSERT" | "REPLACE" = first
            && let Some(table) = target(first)
        {
            reach(mysql, &there, &table, "INSERT", &mut found).await?;
        }
        let several = matches!(first, "UPDATE" | "DELETE" | "WITH")
            && words.iter().any(|it| ["JOIN", "USING", ","].contains(&it.as_str()));
        for what in what {
            if several {
                let named = words.iter().filter_map(|it| names.get(it.trim_matches('`')).cloned());
                let named: Vec<String> = named.collect();
                for table in named {
                    take(mysql, &there, &table, Take::Change, &mut found).await?;
                }
                continue;
            }
            match meaning(&what, &names, &mysql.identity.database) {
                Some((Take::Drop, Some(table))) => {
                    found.lost.insert(Lost::Table { table: table.clone() });
                    drops.push((index + 1, table));
                }
                Some((Take::Columns, Some(table))) => {
                    let column = what.rsplit_once('.').map_or("", |(_, column)| column).to_owned();
                    found.lost.insert(Lost::Column { table: table.clone(), column });
                    take(mysql, &there, &table, Take::Columns, &mut found).await?;
                }
                Some((how, Some(table))) => take(mysql, &there, &table, how, &mut found).await?,
                // A table that is not there loses nothing.
                Some((Take::Drop | Take::Columns, None)) => {}
                _ if made.iter().any(|name| what.ends_with(name.as_str())) => {}
                _ => drop(found.refused.get_or_insert(what)),
            }
        }
        follow(words, &mut names, &mut found.columns, &mut made);
    }
    let rows = found.copied.iter().filter(|(_, how)| matches!(how, Take::Change | Take::Delete));
    found
        .lost
        .extend(rows.map(|(table, _)| Lost::Rows { table: table.clone() }).collect::<Vec<_>>());
    for (last, first) in &names {
        found.renamed.insert(first.clone(), last.clone());
    }
    let tangled = words.iter().any(|it| it.first().is_some_and(|it| it == "LOCK" || it == "USE"));
    if tangled
        && (!drops.is_empty() || !found.copied.is_empty())
        && words.iter().any(|it| it[0] == "USE")
    {
        found.refused.get_or_insert("it goes over to another database".to_owned());
    }
    for (statement, table) in &drops {
        let again = made.contains(table)
            || names.iter().any(|(last, first)| last == table && first != table);
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
        if names.get(&table) == Some(&table) {
            found.renamed.remove(&table);
        }
    }
    Ok(found)
}

/// What a fact says, and about which table by its first name; none where that is not there.
fn meaning(
    what: &str,
    names: &BTreeMap<String, String>,
    database: &str,
) -> Option<(Take, Option<String>)> {
    let find = |name: &str| {
        let own = name.strip_prefix(database).and_then(|name| name.strip_prefix('.'));
        names.get(name).or_else(|| names.get(own?)).cloned()
    };
    // The table of `table.column`, whatever dots are in either.
    let owner = |name: &str| {
        let dots = name.char_indices().filter(|(_, it)| *it == '.').map(|(at, _)| at);
        dots.collect::<Vec<_>>().into_iter().rev().find_map(|at| find(&name[..at]))
    };
    let known = |table: Option<String>, how: Take| Some((how, Some(table?)));
    if let Some(name) = what.strip_prefix("table ") {
        return Some((Take::Drop, find(name)));
    }
    if let Some(name) = what.strip_prefix("column ") {
        return Some((Take::Columns, owner(name)));
    }
    if let Some(name) = what.strip_prefix("the former type of column ") {
        return known(owner(name), Take::Change);
    }
    if let Some(name) = what.strip_prefix("rows of partition ") {
        return known(find(name.rsplit_once(" of ")?.1), Take::Delete);
    }
    if let Some(name) = what.strip_prefix("rows of ").or_else(|| what.strip_prefix("all rows of "))
    {
        return known(find(name), Take::Delete);
    }
    known(find(what.strip_prefix("former values in ")?), Take::Change)
}

/// Notes that rows of a table are taken, and of those that triggers and foreign keys reach from it.
async fn take(
    mysql: &mut MySql,
    there: &BTreeSet<String>,
    table: &str,
    how: Take,
    found: &mut Touched,
) -> Result<(), DatabaseError> {
    let known = found.copied.get(table).copied();
    if known.is_none_or(|known| known < how) {
        found.copied.insert(table.to_owned(), how);
    }
    if known.is_some_and(|known| known >= how) || how == Take::Columns {
        return Ok(());
    }
    let events: &[&str] = if how == Take::Change { &["UPDATE", "DELETE"] } else { &["DELETE"] };
    for event in events {
        reach(mysql, there, table, event, found).await?;
    }
    let sql = format!(
        "SELECT DISTINCT TABLE_NAME AS name FROM information_schema.REFERENTIAL_CONSTRAINTS
         WHERE CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {}
           AND (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL'))",
        MySql::literal(&mysql.identity.database),
        MySql::literal(table)
    );
    let children = mysql.fetch("look for foreign keys", sql).await?;
    for child in children.iter().map(|row| cell(row, "name")).filter(|name| !is_ours(name)) {
        Box::pin(take(mysql, there, &child, Take::Change, found)).await?;
    }
    Ok(())
}

/// Notes the tables that the triggers of a table name.
async fn reach(
    mysql: &mut MySql,
    there: &BTreeSet<String>,
    table: &str,
    event: &str,
    found: &mut Touched,
) -> Result<(), DatabaseError> {
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
        let words = plain_words(&cell(row, "action"), mysql.escapes);
        if words.iter().any(|it| it == "CALL") {
            found
                .refused
                .get_or_insert(format!("whatever the triggers of {table} call takes away"));
        }
        let takes = ["UPDATE", "DELETE", "REPLACE"];
        let takes = words.iter().any(|it| takes.contains(&it.as_str()));
        for word in words {
            let name = word.trim_matches('`').to_owned();
            let name = there.iter().find(|it| it.eq_ignore_ascii_case(&name)).cloned();
            let Some(name) = name.filter(|name| name != table) else { continue };
            if takes {
                Box::pin(take(mysql, there, &name, Take::Change, found)).await?;
            } else {
                Box::pin(reach(mysql, there, &name, "INSERT", found)).await?;
            }
        }
    }
    Ok(())
}

/// Whether another table refers to this one.
async fn refers(mysql: &mut MySql, table: &str) -> Result<bool, DatabaseError> {
    let sql = format!(
        "SELECT COUNT(*) AS n FROM information_schema.REFERENTIAL_CONSTRAINTS
         WHERE UNIQUE_CONSTRAINT_SCHEMA = {} AND REFERENCED_TABLE_NAME = {1} AND TABLE_NAME <> {1}",
        MySql::literal(&mysql.identity.database),
        MySql::literal(table)
    );
    Ok(super::shape::count(mysql, &sql).await? > 0)
}

/// The tables that are there.
async fn tables(mysql: &mut MySql) -> Result<BTreeSet<String>, DatabaseError> {
    let kinds = "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";
    Ok(mysql.tables_of(kinds).await?.into_iter().collect())
}

/// Follows names through a statement, whose words are in upper case where they are no quoted names.
fn follow(
    words: &[String],
    names: &mut BTreeMap<String, String>,
    columns: &mut BTreeMap<String, BTreeMap<String, String>>,
    made: &mut BTreeSet<String>,
) {
    let plain = |word: &String| word.trim_matches('`').to_owned();
    let mut rename = |old: &str, new: String| {
        if let Some(first) = names.remove(old) {
            names.insert(new, first);
        }
    };
    match words.first().map_or("", String::as_str) {
        "CREATE" => {
            let at = words.iter().take(4).position(|it| it == "TABLE");
            let guard = ["IF", "NOT", "EXISTS"];
            let name =
                at.and_then(|at| words[at + 1..].iter().find(|it| !guard.contains(&it.as_str())));
            made.extend(name.map(plain));
        }
        "RENAME" => {
            for part in words[2.min(words.len())..].split(|it| it == ",") {
                if let [old, to, new] = part
                    && to == "TO"
                {
                    made.insert(plain(new));
                    rename(&plain(old), plain(new));
                }
            }
        }
        "ALTER" => {
            let at = words.iter().position(|it| it == "TABLE").unwrap_or(0);
            let Some(table) = words.get(at + 1).map(plain) else { return };
            let first = names.get(&table).cloned().unwrap_or_else(|| table.clone());
            let mut last = |old: String, new: String| {
                let columns = columns.entry(first.clone()).or_default();
                let source =
                    columns.iter().find(|(_, it)| **it == old).map(|(source, _)| source.clone());
                columns.insert(source.unwrap_or(old), new);
            };
            let mut to = None;
            for (at, word) in words.iter().enumerate() {
                let rest: Vec<String> = words[at + 1..].iter().take(4).cloned().collect();
                match (word.as_str(), rest.as_slice()) {
                    ("CHANGE", [column, old, new, ..]) if column == "COLUMN" => {
                        last(plain(old), plain(new))
                    }
                    ("CHANGE", [old, new, ..]) => last(plain(old), plain(new)),
                    ("RENAME", [column, old, _, new]) if column == "COLUMN" => {
                        last(plain(old), plain(new))
                    }
                    ("RENAME", [key, ..]) if key == "INDEX" || key == "KEY" => {}
                    ("RENAME", [as_, new, ..]) if as_ == "TO" || as_ == "AS" => {
                        to = Some(plain(new))
                    }
                    ("RENAME", [new, ..]) => to = Some(plain(new)),
                    _ => {}
                }
            }
            if let Some(to) = to {
                made.insert(to.clone());
                let first = names.remove(&table);
                names.extend(first.map(|first| (to, first)));
            }
        }
        _ => {}
    }
}
