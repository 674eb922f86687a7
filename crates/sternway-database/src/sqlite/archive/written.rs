//! Which tables a body may take rows from, and what becomes of their names, read from its words.
//!
//! Too many is no harm: what turns out to be unchanged is not kept.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Sqlite;
use super::super::statements::words::{Kind, Word, after_guard, name, split};
use super::shape::{rows, text};
use crate::archive::Result;

/// What the words of a body say about the tables that are there before it. Names are in lower case.
#[derive(Debug, Default)]
pub struct Written {
    /// The tables whose rows it may take away or change.
    pub tables: BTreeSet<String>,
    /// Those of them of which it takes no single rows, as far as its words say: they are dropped or
    /// altered, or get new rows.
    pub whole: BTreeSet<String>,
    /// What each table that was not made anew is called in the end: from its first name.
    pub renamed: BTreeMap<String, String>,
    /// What each column came to be called: by the first name of its table, from its own first name.
    pub columns: BTreeMap<String, BTreeMap<String, String>>,
    /// The columns that it drops of each table, by their first names: one that is there again is another one.
    pub dropped: BTreeMap<String, BTreeSet<String>>,
    /// Whether it adds rows, or gives some what it reads elsewhere.
    pub carries: bool,
    /// The columns that it may set in rows that are there, by table; `*` is any.
    pub sets: BTreeMap<String, BTreeSet<String>>,
    /// The tables that rows are copied to from another one, each with all that it has in the columns
    /// that are copied.
    pub copied: BTreeSet<String>,
    /// The triggers of the tables that it writes to, and which table each is of.
    pub triggers: BTreeMap<String, String>,
    /// Why what it does cannot be foreseen.
    pub unforeseen: Option<String>,
}

impl Written {
    /// Whether it may set one of these columns.
    pub fn sets(&self, table: &str, columns: &[String]) -> bool {
        let set = self.sets.get(&table.to_ascii_lowercase());
        let is = |name: &String| set.is_some_and(|set| set.contains(&name.to_ascii_lowercase()));
        // The number of a row may be its key.
        let any = ["*", "rowid", "_rowid_", "oid"].map(str::to_owned);
        any.iter().chain(columns).any(is)
    }

    /// Whether it drops a column.
    pub fn drops(&self, table: &str, column: &str) -> bool {
        let dropped = self.dropped.get(table);
        dropped.is_some_and(|it| it.contains(&column.to_ascii_lowercase()))
    }
}

/// A table while a body is read: its first name, and its columns' names, the first ones by the last.
type Line = (String, BTreeMap<String, String>);

/// Reads a body.
pub async fn written(sqlite: &mut Sqlite, body: &str) -> Result<Written> {
    let cut = split(body);
    let statements: Vec<&[Word<'_>]> = cut.statements.iter().map(Vec::as_slice).collect();
    if !statements.iter().any(|words| may_take(words)) {
        return Ok(Written::default());
    }
    let mut found = Written::default();
    let there = objects(sqlite).await?;
    let mut deleted: BTreeSet<String> = BTreeSet::new();
    let mut lines: BTreeMap<String, Line> =
        there.keys().map(|name| (name.clone(), (name.clone(), BTreeMap::new()))).collect();
    let mut copied: Vec<Copied> = Vec::new();
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
        let has = |word: &str| words.iter().any(|it| it.is(word));
        let reads = has("SELECT") || has("FROM");
        found.carries |= has("INSERT") || has("REPLACE");
        found.carries |= reads && (has("UPDATE") || first(words) == "CREATE");
        if is_tangled || may_take(words) {
            // Where the words are plain, only the table that is written to.
            let target = (!is_tangled).then(|| target(words)).flatten();
            let targets = target.filter(|name| there.contains_key(name)).map(|name| vec![name]);
            found.tables.extend(targets.unwrap_or_else(|| named(words)));
        }
        match Write::of(words) {
            Some(mut write) => {
                if let Some((first, columns)) =
                    lines.get(&write.table).filter(|it| !it.0.is_empty())
                {
                    write.table.clone_from(first);
                    for name in &mut write.sets {
                        if let Some(first) = columns.get(name) {
                            name.clone_from(first);
                        }
                    }
                }
                let replaces = there.get(&write.table).is_some_and(|it| it.replaces);
                let adds = write.adds && !replaces;
                match adds || matches!(first(words), "ALTER" | "DROP") {
                    true => found.whole.insert(write.table.clone()),
                    false => written.insert(write.table.clone()),
                };
                write.note(replaces, &mut found, &mut deleted);
            }
            // Nobody knows what becomes of what it names.
            None if may_take(words) || first(words) == "CREATE" && has("TRIGGER") => {
                for name in named(words) {
                    Write::any(name).note(true, &mut found, &mut deleted);
                }
            }
            None => {}
        }
        let writes = words.iter().any(|it| it.is("=") || it.is("("));
        if first(words) == "PRAGMA" && writes && words.iter().any(|it| it.is("WRITABLE_SCHEMA")) {
            found.unforeseen = Some("it writes to the table of the schema".to_owned());
        }
        if let Some((table, column)) = dropped_column(words, &lines) {
            found.dropped.entry(table).or_default().insert(column);
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
        let mut anew = copied.iter().filter(|it| it.table == name && it.line.0 == name);
        if let (Some(copy), false) = (anew.next(), stay.contains(&name)) {
            found.columns.insert(name.clone(), turned(&copy.line.1));
            found.sets.entry(name.clone()).or_default().extend(copy.computed.iter().cloned());
            if copy.whole && anew.next().is_none() && !written.contains(&name) {
                found.copied.insert(name);
            }
        }
    }
    found.triggers = triggers(sqlite).await?;
    found.triggers.retain(|_, table| found.tables.contains(&table.to_ascii_lowercase()));
    let keys = keys(sqlite).await?;
    // What triggers and foreign keys reach from there.
    loop {
        let size = |found: &Written, deleted: &BTreeSet<String>| {
            let sets = found.sets.values().map(BTreeSet::len).sum::<usize>();
            (found.tables.len(), deleted.len(), sets)
        };
        let before = size(&found, &deleted);
        let reached: Vec<String> = found.tables.iter().cloned().collect();
        for object in reached.iter().filter_map(|name| there.get(name)) {
            let names = object.reached.iter().filter(|name| there.contains_key(*name));
            found.tables.extend(names.cloned());
            for write in &object.writes {
                let replaces = there.get(&write.table).is_some_and(|it| it.replaces);
                write.note(replaces, &mut found, &mut deleted);
            }
        }
        for key in &keys {
            let goes = deleted.contains(&key.parent) && acts(&key.on_delete);
            let set = found.sets(&key.parent, std::slice::from_ref(&key.to));
            let moves = set && acts(&key.on_update);
            if !goes && !moves {
                continue;
            }
            if goes && key.on_delete == "CASCADE" {
                deleted.insert(key.child.clone());
            } else {
                found.sets.entry(key.child.clone()).or_default().insert(key.from.clone());
            }
            found.tables.insert(key.child.clone());
            found.whole.remove(&key.child);
        }
        if size(&found, &deleted) == before {
            return Ok(found);
        }
    }
}

/// What a statement does to the rows of one table.
struct Write {
    table: String,
    /// Whether rows go.
    deletes: bool,
    /// The columns that rows which are there get values in; `*` is any.
    sets: Vec<String>,
    /// Whether it only adds rows.
    adds: bool,
}

impl Write {
    fn of(words: &[Word<'_>]) -> Option<Write> {
        let table = target(words)?;
        let has = |word: &str| words.iter().any(|it| it.is(word));
        let verb = first(words);
        let deletes = matches!(verb, "DELETE" | "DROP") || (verb != "ALTER" && has("REPLACE"));
        let updates = verb == "UPDATE" || (verb != "ALTER" && has("CONFLICT"));
        let sets = if updates { set_columns(words) } else { Vec::new() };
        Some(Write { table, deletes, sets, adds: verb == "INSERT" && !deletes && !updates })
    }

    /// Whatever may happen to a table.
    fn any(table: String) -> Write {
        Write { table, deletes: true, sets: vec!["*".to_owned()], adds: false }
    }

    /// Adds it to what a body does. What `replaces` takes rows away that are in conflict with others.
    fn note(&self, replaces: bool, found: &mut Written, deleted: &mut BTreeSet<String>) {
        if self.deletes || (replaces && (self.adds || !self.sets.is_empty())) {
            deleted.insert(self.table.clone());
        }
        if !self.sets.is_empty() {
            found.sets.entry(self.table.clone()).or_default().extend(self.sets.iter().cloned());
        }
    }
}

/// The columns that a statement sets, in lower case.
fn set_columns(words: &[Word<'_>]) -> Vec<String> {
    let Some(set) = words.iter().rposition(|word| word.is("SET")) else { return Vec::new() };
    let (mut columns, mut depth, mut target) = (Vec::new(), 0_usize, true);
    for word in &words[set + 1..] {
        match word.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            "," if depth == 0 => target = true,
            "=" if depth == 0 => target = false,
            _ if depth == 0 && (word.is("FROM") || word.is("WHERE")) => break,
            _ if target => columns.extend(word.name().map(|name| name.to_ascii_lowercase())),
            _ => {}
        }
    }
    columns
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

/// The first names of the column that a statement drops and of its table, where that was there.
fn dropped_column(words: &[Word<'_>], lines: &BTreeMap<String, Line>) -> Option<(String, String)> {
    let at = words.iter().position(|word| word.is("DROP"))?;
    if first(words) != "ALTER" {
        return None;
    }
    let column = words.last()?.name()?.to_ascii_lowercase();
    let (table, columns) = lines.get(&target(words)?).filter(|_| at + 1 < words.len())?;
    Some((table.clone(), columns.get(&column).cloned().unwrap_or(column)))
}

/// Follows the names of tables and columns through a statement.
fn follow(words: &[Word<'_>], lines: &mut BTreeMap<String, Line>, copied: &mut Vec<Copied>) {
    let lower = |word: Option<&Word<'_>>| {
        word.and_then(Word::name).unwrap_or_default().to_ascii_lowercase()
    };
    let is_table = words.iter().take(4).any(|word| word.is("TABLE"));
    match first(words) {
        "DROP" if is_table => {
            let gone = target(words).unwrap_or_default();
            lines.remove(&gone);
            copied.retain(|it| it.table != gone);
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
                    let moved = copied.iter_mut().filter(|it| it.table == table);
                    moved.for_each(|it| it.table.clone_from(&new));
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
        "UPDATE" | "DELETE" | "REPLACE" | "WITH" => {
            let target = target(words);
            let all = target.is_none();
            for copy in copied.iter_mut().filter(|it| all || target.as_ref() == Some(&it.table)) {
                copy.computed.extend(set_columns(words));
                copy.whole = false;
            }
        }
        _ => {}
    }
}

/// Rows that are copied from one table to another.
struct Copied {
    /// The new table.
    table: String,
    /// The first name of the old one, and its columns.
    line: Line,
    /// The columns of the new one that get what is computed.
    computed: Vec<String>,
    /// Whether every row goes over as it is.
    whole: bool,
}

/// Reads `INSERT INTO new (a, b) SELECT c, d FROM old`.
fn copy(words: &[Word<'_>], lines: &BTreeMap<String, Line>) -> Option<Copied> {
    let table = target(words)?;
    let select = words.iter().position(|word| word.is("SELECT"))?;
    let from = words.iter().position(|word| word.is("FROM"))?;
    let open = words[..select].iter().position(|word| word.is("("))?;
    let list = |words: &[Word<'_>]| -> Option<Vec<String>> {
        let mut depth = 0_usize;
        let parts = words.split(|word| {
            match word.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && word.is(",")
        });
        let one = |part: &[Word<'_>]| match part {
            [single] => single.name().map(|name| name.to_ascii_lowercase()),
            // An expression comes from no one column.
            _ => Some(String::new()),
        };
        parts.map(one).collect()
    };
    let new = list(words.get(open + 1..select.checked_sub(1)?)?)?;
    let old = list(words.get(select + 1..from)?)?;
    let source = words.get(from + 1..)?;
    let named = name(source);
    let length = (named.len() * 2).saturating_sub(1);
    let (first, renamed) = lines.get(&named.last()?.to_ascii_lowercase())?;
    if new.len() != old.len() || first.is_empty() {
        return None;
    }
    let computed = new.iter().zip(&old).filter(|(_, old)| old.is_empty());
    let computed: Vec<String> = computed.map(|(new, _)| new.clone()).collect();
    let whole = computed.is_empty()
        && source.len() == length
        && words.get(1).is_some_and(|word| word.is("INTO"));
    let pairs = new.into_iter().zip(old).filter(|(_, old)| !old.is_empty());
    let pairs = pairs.map(|(new, old)| (new, renamed.get(&old).cloned().unwrap_or(old)));
    Some(Copied { table, line: (first.clone(), pairs.collect()), computed, whole })
}

/// Every trigger, and which table it is of.
async fn triggers(sqlite: &mut Sqlite) -> Result<BTreeMap<String, String>> {
    let sql = "SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'trigger'";
    let mut found = BTreeMap::new();
    for row in &rows(sqlite, sql).await? {
        found.insert(text(row, 0)?, text(row, 1)?);
    }
    Ok(found)
}

/// A table or view.
#[derive(Default)]
struct Object {
    /// The names in its triggers.
    reached: BTreeSet<String>,
    /// What those do.
    writes: Vec<Write>,
    /// Whether a row that is added takes away those that it is in conflict with.
    replaces: bool,
}

/// Every table and view.
async fn objects(sqlite: &mut Sqlite) -> Result<BTreeMap<String, Object>> {
    let mut found: BTreeMap<String, Object> = BTreeMap::new();
    let sql = "SELECT type, lower(tbl_name), coalesce(sql, '') FROM main.sqlite_schema
               WHERE type IN ('table', 'view', 'trigger') ORDER BY type";
    for row in &rows(sqlite, sql).await? {
        let (kind, table, sql) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        if super::super::records::is_ours(&table) {
            continue;
        }
        let object = found.entry(table).or_default();
        let cut = split(&sql);
        let words: Vec<&Word<'_>> = cut.statements.iter().flatten().collect();
        if kind == "trigger" {
            let names = words.iter().filter_map(|word| word.name());
            object.reached.extend(names.map(|name| name.to_ascii_lowercase()));
            let parts = cut.statements.iter().flat_map(|words| {
                let begin = words.iter().position(|word| word.is("BEGIN")).map_or(0, |at| at + 1);
                words[begin..].split(|word| word.is(";"))
            });
            object.writes.extend(parts.filter_map(Write::of));
        } else if kind == "table" {
            let replaces = |two: &[&Word<'_>]| two[0].is("CONFLICT") && two[1].is("REPLACE");
            object.replaces = words.windows(2).any(replaces);
        }
    }
    Ok(found)
}

/// A column of a foreign key that acts, with its names in lower case.
struct Key {
    parent: String,
    to: String,
    child: String,
    from: String,
    on_update: String,
    on_delete: String,
}

/// Whether an action of a foreign key changes rows.
fn acts(action: &str) -> bool {
    matches!(action, "CASCADE" | "SET NULL" | "SET DEFAULT")
}

/// The foreign keys that are enforced.
async fn keys(sqlite: &mut Sqlite) -> Result<Vec<Key>> {
    let sql = "SELECT lower(f.\"table\"), lower(coalesce(f.\"to\",
                          (SELECT name FROM pragma_table_xinfo(f.\"table\", 'main') WHERE pk = f.seq + 1), '')),
                      lower(s.name), lower(f.\"from\"), upper(f.on_update), upper(f.on_delete)
               FROM main.sqlite_schema s, pragma_foreign_key_list(s.name, 'main') f
               WHERE s.type = 'table' AND (SELECT foreign_keys FROM pragma_foreign_keys)";
    let mut found = Vec::new();
    for row in &rows(sqlite, sql).await? {
        found.push(Key {
            parent: text(row, 0)?,
            to: text(row, 1)?,
            child: text(row, 2)?,
            from: text(row, 3)?,
            on_update: text(row, 4)?,
            on_delete: text(row, 5)?,
        });
    }
    Ok(found)
}
