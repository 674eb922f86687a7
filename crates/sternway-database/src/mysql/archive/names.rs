//! What tables are called, before a body and in its course.

use std::collections::{BTreeMap, BTreeSet};

use super::super::statements::{Word, after_guard, alteration, name, split_at_commas};
use super::super::{MySql, cell, is_ours};
use super::known::{made, made_name};
use crate::archive::Result;
use crate::archive::sql::count;

/// The names of a database's tables.
#[derive(Debug, Default)]
pub struct Names {
    /// The tables that were there before the body, by what they are called now.
    pub now: BTreeMap<String, String>,
    /// The names that the body has given.
    pub made: BTreeSet<String>,
    there: BTreeSet<String>,
    views: BTreeSet<String>,
    sequences: BTreeSet<String>,
    database: String,
    others: BTreeSet<String>,
    /// Whether names are the same in upper and lower case.
    folded: bool,
}

/// What a name is.
pub enum Found {
    /// A table, by the name that it had before the body.
    Table(String),
    /// No table that was there before.
    Nowhere(String),
    /// Something whose rows cannot be kept.
    Beyond(String),
}

impl Names {
    /// What there is, and the views that a body makes.
    pub async fn of(mysql: &mut MySql, body: &[Vec<Word<'_>>]) -> Result<Names> {
        let folded = count(mysql, "SELECT @@lower_case_table_names".to_owned()).await? > 0;
        let there = mysql.tables_of("TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')").await?;
        let views = mysql.tables_of("TABLE_TYPE LIKE '%VIEW%'").await?;
        let sequences = mysql.tables_of("TABLE_TYPE = 'SEQUENCE'").await?;
        let sql = "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA".to_owned();
        let others = mysql.fetch("list the databases", sql).await?;
        let database = mysql.identity.database.clone();
        let mut names = Names {
            now: there.iter().map(|name| (name.clone(), name.clone())).collect(),
            there: there.into_iter().collect(),
            views: views.into_iter().collect(),
            sequences: sequences.into_iter().collect(),
            others: others.iter().map(|row| cell(row, "name")).collect(),
            folded,
            database,
            made: BTreeSet::new(),
        };
        names.others.remove(&names.database);
        let views = body.iter().filter(|words| {
            words.first().is_some_and(|it| it.is("CREATE")) && made(words) == Some("VIEW")
        });
        names.views.extend(views.filter_map(|words| made_name(words).pop()));
        Ok(names)
    }

    fn fold(&self, name: &str) -> String {
        if self.folded { name.to_lowercase() } else { name.to_owned() }
    }

    /// What a name in its parts is.
    pub fn find(&self, parts: &[String]) -> Found {
        let table = match parts {
            [table] => self.fold(table),
            [database, table] if self.fold(database) == self.fold(&self.database) => {
                self.fold(table)
            }
            parts => {
                return Found::Beyond(format!(
                    "what is in `{}`, another database",
                    parts.join(".")
                ));
            }
        };
        if self.views.contains(&table) {
            return Found::Beyond(format!("rows behind the view {table}"));
        }
        if self.sequences.contains(&table) {
            return Found::Beyond(format!("where the sequence {table} stood"));
        }
        if is_ours(&table) {
            return Found::Beyond(format!("what Sternway keeps in {table}"));
        }
        match self.now.get(&table) {
            Some(first) => Found::Table(first.clone()),
            None => Found::Nowhere(table),
        }
    }

    /// The sequence of this name; none where there is none, or it is elsewhere.
    pub fn sequence(&self, parts: &[String]) -> Option<String> {
        let elsewhere = parts.len() > 1 && self.fold(&parts[0]) != self.fold(&self.database);
        let name = parts.last().map(|it| self.fold(it)).filter(|_| !elsewhere)?;
        self.sequences.get(&name).cloned()
    }

    /// The tables that a statement names anywhere, or why these are not all.
    pub fn named_in(&self, words: &[Word<'_>]) -> Result<BTreeSet<String>, String> {
        self.all_in(words, |name| self.now.get(&self.fold(name)).cloned())
    }

    /// The tables that code from the catalog names anywhere.
    pub fn catalog(&self, words: &[Word<'_>]) -> Result<BTreeSet<String>, String> {
        self.all_in(words, |name| {
            self.there.iter().find(|it| it.eq_ignore_ascii_case(name)).cloned()
        })
    }

    fn all_in(
        &self,
        words: &[Word<'_>],
        table: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeSet<String>, String> {
        let mut found = BTreeSet::new();
        for (at, word) in words.iter().enumerate() {
            let Some(name) = word.name() else { continue };
            if self.views.contains(&self.fold(&name)) {
                return Err(format!("rows behind the view {name}"));
            }
            let qualifies = words.get(at + 1).is_some_and(|next| next.is("."));
            if qualifies && self.others.contains(&self.fold(&name)) {
                return Err(format!("what is in `{name}`, another database"));
            }
            found.extend(table(&name));
        }
        Ok(found)
    }

    /// Follows names through a statement; fails where it cannot.
    pub fn follow(
        &mut self,
        words: &[Word<'_>],
        columns: &mut BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<(), String> {
        let second = words.get(1).map_or("", |word| word.key.as_str());
        match words.first().map_or("", |word| word.key.as_str()) {
            "CREATE" if made(words) == Some("TABLE") => {
                let parts = made_name(words);
                let temporary = words.iter().take(4).any(|it| it.is("TEMPORARY"));
                if temporary && matches!(self.find(&parts), Found::Table(_)) {
                    return Err("it hides a table behind a temporary one".to_owned());
                }
                let name = parts.last().map(|name| self.fold(name));
                self.made.extend(name);
                Ok(())
            }
            "USE" => match words.get(1).and_then(Word::name) {
                Some(name) if self.fold(&name) == self.fold(&self.database) => Ok(()),
                _ => Err("it goes over to another database".to_owned()),
            },
            "RENAME" if second == "TABLE" || second == "TABLES" => {
                split_at_commas(after_guard(&words[2..])).try_for_each(|part| self.renamed(part))
            }
            "ALTER" => {
                let Some(at) = words.iter().take(4).position(|it| it.is("TABLE")) else {
                    return Ok(());
                };
                self.altered(&words[at + 1..], columns)
            }
            _ => Ok(()),
        }
    }

    /// Follows `a [WAIT n | NOWAIT] TO b`.
    fn renamed(&mut self, part: &[Word<'_>]) -> Result<(), String> {
        let (old, rest) = alteration(part);
        match rest {
            [to, new @ ..] if to.is("TO") && self.is_whole(new) => self.rename(&old, &name(new)),
            _ => Err("it renames tables in a way that is not understood".to_owned()),
        }
    }

    fn is_whole(&self, words: &[Word<'_>]) -> bool {
        let parts = name(words).len();
        parts > 0 && words.len() == parts * 2 - 1
    }

    fn rename(&mut self, old: &[String], new: &[String]) -> Result<(), String> {
        let new = match new {
            [new] => self.fold(new),
            [database, new] if self.fold(database) == self.fold(&self.database) => self.fold(new),
            _ => return Err("it moves a table into another database".to_owned()),
        };
        match self.find(old) {
            Found::Table(first) => {
                self.now.retain(|_, it| *it != first);
                self.now.insert(new.clone(), first);
            }
            Found::Nowhere(_) => {}
            Found::Beyond(why) => return Err(why),
        }
        self.made.insert(new);
        Ok(())
    }

    /// Follows what an `ALTER TABLE` says after these words.
    fn altered(
        &mut self,
        words: &[Word<'_>],
        columns: &mut BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<(), String> {
        let (table, actions) = alteration(words);
        let first = match self.find(&table) {
            Found::Table(first) | Found::Nowhere(first) => first,
            // What it takes away is refused by itself.
            Found::Beyond(_) => return Ok(()),
        };
        let mut last = |words: &[Word<'_>], between: usize| {
            let rest = after_guard(words);
            let (Some(old), Some(new)) =
                (rest.first().and_then(Word::name), rest.get(between).and_then(Word::name))
            else {
                return Err("it renames a column in a way that is not understood".to_owned());
            };
            let columns = columns.entry(first.clone()).or_default();
            let source = columns.iter().find(|(_, it)| it.eq_ignore_ascii_case(&old));
            let source = source.map(|(source, _)| source.clone());
            columns.insert(source.unwrap_or(old), new);
            Ok(())
        };
        let mut to = None;
        for action in split_at_commas(actions) {
            match action {
                [change, column, rest @ ..] if change.is("CHANGE") && column.is("COLUMN") => {
                    last(rest, 1)?;
                }
                [change, rest @ ..] if change.is("CHANGE") => last(rest, 1)?,
                [rename, column, rest @ ..] if rename.is("RENAME") && column.is("COLUMN") => {
                    last(rest, 2)?;
                }
                [rename, key, ..] if rename.is("RENAME") && (key.is("INDEX") || key.is("KEY")) => {}
                [rename, as_, new @ ..]
                    if rename.is("RENAME") && ["TO", "AS", "="].iter().any(|it| as_.is(it)) =>
                {
                    to = Some(name(new));
                }
                [rename, new @ ..] if rename.is("RENAME") => to = Some(name(new)),
                _ => {}
            }
        }
        match to {
            Some(new) if new.is_empty() => {
                Err("it renames a table in a way that is not understood".to_owned())
            }
            Some(new) => self.rename(&table, &new),
            None => Ok(()),
        }
    }
}
