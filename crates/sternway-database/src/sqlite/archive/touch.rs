//! Which tables a body may take rows from, and what becomes of their names, read from its words.
//!
//! Too many is no harm: what turns out to be unchanged is not kept.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Sqlite;
use super::super::statements::words::{Kind, Word, after_guard, name, split};
use super::shape::{rows, text};
use crate::port::DatabaseError;

/// What the words of a body say about the tables that are there before it. Names are in lower case.
#[derive(Debug, Default)]
pub struct Touched {
    /// The tables whose rows it may take away or change.
    pub tables: BTreeSet<String>,
    /// Those of them of which it takes no single rows, as far as its words say: they are dropped or
    /// altered, or get new rows.
    pub whole: BTreeSet<String>,
    /// What each table that was not made anew is called in the end: from its first name.
    pub renamed: BTreeMap<String, String>,
    /// What each column came to be called: by the first name of its table, from its own first name.
    pub columns: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether it adds rows.
    pub inserts: bool,
    /// The triggers of the tables that it writes to, and which table each is of.
    pub triggers: BTreeMap<String, String>,
    /// Why what it does cannot be foreseen.
    pub unforeseen: Option<String>,
}

/// A table while a body is read: its first name, and its columns' names, the first ones by the last.
type Line = (String, BTreeMap<String, String>);

/// Reads a body.
pub async fn touched(sqlite: &mut Sqlite, body: &str) -> Result<Touched, DatabaseError> {
    let cut = split(body);
    let statements: Vec<&[Word<'_>]> = cut.statements.iter().map(Vec::as_slice).collect();
    if !statements.iter().any(|words| may_take(words)) {
        return Ok(Touched::default());
    }
    let mut found = Touched::default();
    let there = objects(sqlite).await?;
    let mut lines: BTreeMap<String, Line> =
        there.keys().map(|name| (name.clone(), (name.clone(), BTreeMap::new()))).collect();
    let mut copied: Vec<(String, Line)> = Vec::new();
    let named = |words: &[Word<'_>]| -> Vec<String> {
        let names = words.iter().filter(|word| word.kind != Kind::Other).filter_map(Word::name);
        names.map(|name| name.to_ascii_lowercase()).filter(|it| there.contains_key(it)).collect()
    };
    let mut written: BTreeSet<String> = BTreeSet::new();
    let is_tangled = statements.iter().any(|words| {
        let renames = words.iter().any(|it| it.is("RENAME")) && first(words) == "ALTER";
        renames || (first(words) == "CREATE" && words.iter().take(3).any(|it| it.is("TRIGGER")))
    });
    for words in &statements {
        found.inserts |= words.iter().any(|it| it.is("INSERT") || it.is("REPLACE"))
            || (first(words) == "CREATE" && words.iter().any(|it| it.is("SELECT")));
        if is_tangled || may_take(words) {
            // Where the words are plain, only the table that is written to.
            let target = (!is_tangled).then(|| target(words)).flatten();
            let targets = target.filter(|name| there.contains_key(name)).map(|name| vec![name]);
            found.tables.extend(targets.unwrap_or_else(|| named(words)));
        }
        if let Some(target) = target(words) {
            let adds = first(words) == "INSERT"
                && !words.iter().any(|it| it.is("REPLACE") || it.is("CONFLICT"));
            match adds || matches!(first(words), "ALTER" | "DROP") {
                true => found.whole.insert(target),
                false => written.insert(target),
            };
        }
        let writes = words.iter().any(|it| it.is("=") || it.is("("));
        if first(words) == "PRAGMA" && writes && words.iter().any(|it| it.is("WRITABLE_SCHEMA")) {
            found.unforeseen = Some("it writes to the table of the schema".to_owned());
        }
        follow(words, &mut lines, &mut copied);
    }
    found.whole.retain(|it| !written.contains(it));
    let stay: BTreeSet<String> = lines.values().map(|(first, _)| first.clone()).collect();
    for (name, (first, columns)) in lines {
        let turned = |columns: &BTreeMap<String, String>| {
            columns.iter().map(|(last, first)| (first.clone(), last.clone())).collect()
        };
        if !first.is_empty() {
            found.columns.insert(first.clone(), turned(&columns));
            found.renamed.insert(first, name);
            continue;
        }
        // Made anew under the name of the table that it was filled from.
        let anew = copied.iter().find(|(table, (source, _))| *table == name && *source == name);
        if let (Some((_, (_, columns))), false) = (anew, stay.contains(&name)) {
            found.columns.insert(name, turned(columns));
        }
    }
    found.triggers = triggers(sqlite).await?;
    found.triggers.retain(|_, table| found.tables.contains(&table.to_ascii_lowercase()));
    // What triggers and foreign keys reach from there.
    loop {
        let reached: Vec<String> =
            found.tables.iter().filter_map(|name| there.get(name)).flatten().cloned().collect();
        let before = found.tables.len();
        for words in reached {
            if there.contains_key(&words) {
                found.tables.insert(words);
            }
        }
        if found.tables.len() == before {
            return Ok(found);
        }
    }
}

fn first<'a>(words: &'a [Word<'_>]) -> &'a str {
    words.first().map_or("", |word| word.key.as_str())
}

/// Whether a statement may take rows away, or fire a trigger that does.
fn may_take(words: &[Word<'_>]) -> bool {
    let second = words.get(1).map_or("", |word| word.key.as_str());
    match first(words) {
        "DROP" => second == "TABLE",
        "ALTER" => words.iter().any(|word| word.is("DROP")),
        "DELETE" | "UPDATE" | "REPLACE" | "WITH" | "INSERT" | "PRAGMA" => true,
        _ => false,
    }
}

/// The one table that a statement takes rows from, where that is plain.
fn target(words: &[Word<'_>]) -> Option<String> {
    let rest = words.get(1..)?;
    let rest = match (first(words), rest) {
        ("DROP" | "ALTER", [_, rest @ ..]) => after_guard(rest),
        ("DELETE", [from, rest @ ..]) if from.is("FROM") => rest,
        ("UPDATE" | "INSERT", [or, _, rest @ ..]) if or.is("OR") => rest,
        ("UPDATE" | "INSERT" | "REPLACE", rest) => rest,
        _ => return None,
    };
    let rest = if rest.first().is_some_and(|it| it.is("INTO")) { &rest[1..] } else { rest };
    name(rest).pop().map(|name| name.to_ascii_lowercase())
}

/// Follows the names of tables and columns through a statement.
fn follow(
    words: &[Word<'_>],
    lines: &mut BTreeMap<String, Line>,
    copied: &mut Vec<(String, Line)>,
) {
    let lower = |word: Option<&Word<'_>>| {
        word.and_then(Word::name).unwrap_or_default().to_ascii_lowercase()
    };
    let is_table = words.iter().take(4).any(|word| word.is("TABLE"));
    match first(words) {
        "DROP" if is_table => {
            let gone = target(words).unwrap_or_default();
            lines.remove(&gone);
            copied.retain(|(table, _)| *table != gone);
        }
        "CREATE" if is_table => {
            let at = words.iter().position(|word| word.is("TABLE")).unwrap_or(0);
            let table = name(after_guard(&words[at + 1..])).pop().unwrap_or_default();
            lines.entry(table.to_ascii_lowercase()).or_default();
        }
        "ALTER" => {
            let Some(table) = target(words) else { return };
            let Some(at) = words.iter().position(|word| word.is("RENAME")) else { return };
            match &words[at + 1..] {
                [to, named] if to.is("TO") => {
                    let new = lower(Some(named));
                    if let Some(line) = lines.remove(&table) {
                        lines.insert(new.clone(), line);
                    }
                    copied.iter_mut().filter(|it| it.0 == table).for_each(|it| it.0 = new.clone());
                }
                [.., old, to, new] if to.is("TO") => {
                    let (old, new) = (lower(Some(old)), lower(Some(new)));
                    if let Some((_, columns)) = lines.get_mut(&table) {
                        let first = columns.remove(&old).unwrap_or(old);
                        columns.insert(new, first);
                    }
                }
                _ => {}
            }
        }
        "INSERT" => copied.extend(copy(words, lines)),
        _ => {}
    }
}

/// `INSERT INTO new (a, b) SELECT c, d FROM old`: the new table, the first name of the old one, and its columns.
fn copy(words: &[Word<'_>], lines: &BTreeMap<String, Line>) -> Option<(String, Line)> {
    let table = target(words)?;
    let select = words.iter().position(|word| word.is("SELECT"))?;
    let from = words.iter().position(|word| word.is("FROM"))?;
    let open = words[..select].iter().position(|word| word.is("("))?;
    let list = |words: &[Word<'_>]| -> Option<Vec<String>> {
        let parts = words.split(|word| word.is(","));
        let one = |part: &[Word<'_>]| match part {
            [single] => single.name().map(|name| name.to_ascii_lowercase()),
            // An expression comes from no one column.
            _ => Some(String::new()),
        };
        parts.map(one).collect()
    };
    let new = list(words.get(open + 1..select.checked_sub(1)?)?)?;
    let old = list(words.get(select + 1..from)?)?;
    let source = name(words.get(from + 1..)?).pop()?.to_ascii_lowercase();
    let (first, renamed) = lines.get(&source)?;
    if new.len() != old.len() || first.is_empty() {
        return None;
    }
    let pairs = new.into_iter().zip(old).filter(|(_, old)| !old.is_empty());
    let pairs = pairs.map(|(new, old)| (new, renamed.get(&old).cloned().unwrap_or(old)));
    Some((table, (first.clone(), pairs.collect())))
}

/// Every trigger, and which table it is of.
async fn triggers(sqlite: &mut Sqlite) -> Result<BTreeMap<String, String>, DatabaseError> {
    let sql = "SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'trigger'";
    let mut found = BTreeMap::new();
    for row in &rows(sqlite, sql).await? {
        found.insert(text(row, 0)?, text(row, 1)?);
    }
    Ok(found)
}

/// Every table and view, with the names that writing to it may reach: those in its triggers, and the
/// tables whose foreign keys act when it is written to.
async fn objects(sqlite: &mut Sqlite) -> Result<BTreeMap<String, BTreeSet<String>>, DatabaseError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let sql = "SELECT type, lower(tbl_name), coalesce(sql, '') FROM main.sqlite_schema
               WHERE type IN ('table', 'view', 'trigger') ORDER BY type";
    for row in &rows(sqlite, sql).await? {
        let (kind, table, sql) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        if super::super::records::is_ours(&table) {
            continue;
        }
        let reached = found.entry(table).or_default();
        if kind == "trigger" {
            let cut = split(&sql);
            let names = cut.statements.iter().flatten().filter_map(Word::name);
            reached.extend(names.map(|name| name.to_ascii_lowercase()));
        }
    }
    let sql = "SELECT lower(f.\"table\"), lower(s.name) FROM main.sqlite_schema s,
                      pragma_foreign_key_list(s.name, 'main') f
               WHERE s.type = 'table' AND (SELECT foreign_keys FROM pragma_foreign_keys)";
    for row in &rows(sqlite, sql).await? {
        let (parent, child) = (text(row, 0)?, text(row, 1)?);
        found.entry(parent).or_default().insert(child);
    }
    Ok(found)
}
