//! Where the values come from that a body gives a column of rows that are there, read from its words.
//!
//! A value that somebody has written is theirs. One that a body computes from the rest of its row is
//! worth what that was when it was computed. Whoever restores a column has to know which of the two the
//! body makes of it; what its words do not tell, he finds out from the rows.

use std::collections::BTreeSet;

use crate::tokens::{
    Spelling, Word, added_columns, after_guard, alteration, name, split_at_commas,
};

/// Where the values of a column come from. A later one says more of them depend on something.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// From nothing that is in a row: a default, a constant, a clock, chance.
    #[default]
    Constant,
    /// From these columns of the same row.
    Row(BTreeSet<String>),
    /// From something that the words do not tell.
    Hidden,
    /// From other rows as well.
    Elsewhere,
    /// From whoever has written to it: the column is there without the body.
    Anybody,
}

impl Origin {
    /// Whether a value may come from more than its row.
    pub fn reaches_beyond_its_row(&self) -> bool {
        matches!(self, Origin::Hidden | Origin::Elsewhere)
    }

    fn and(self, other: Origin) -> Origin {
        match (self, other) {
            (Origin::Row(mut one), Origin::Row(other)) => {
                one.extend(other);
                Origin::Row(one)
            }
            (one, other) => one.max(other),
        }
    }
}

/// Whether a body may make rows of a table from other rows: it names the table, and asks something. What it
/// puts there of itself is the same each time.
pub fn may_fill(body: &str, table: &str) -> bool {
    let body = body.to_uppercase();
    body.contains("SELECT") && body.contains(&table.to_uppercase())
}

/// A table whose columns a body fills, as it is known before and after the body.
pub struct Filled<'a> {
    /// Its name, without its schema.
    pub table: &'a str,
    /// All of its columns.
    pub columns: &'a [String],
    /// Those of them that were not there before the body.
    pub new: &'a [String],
}

/// What a body runs that is not among its statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen {
    /// Code that it calls.
    pub code: bool,
    /// Triggers that it makes.
    pub triggers: bool,
}

/// Where the values of `column` come from, by the statements of a body.
pub fn origin<K: Spelling>(
    statements: &[Vec<Word<'_, K>>],
    unseen: Unseen,
    filled: &Filled<'_>,
    column: &str,
) -> Origin {
    // A trigger only has a part in what is written to its table.
    let names = names(statements, filled.table);
    let updates = |words: &Vec<Word<'_, K>>| {
        words.iter().position(|it| it.is("UPDATE")).is_some_and(|at| is_update(words, at, &names))
    };
    // What fills a whole table inserts.
    let inserts = |words: &Vec<Word<'_, K>>| filled.new.is_empty() && inserts_into(words, &names);
    let writes = |words: &Vec<Word<'_, K>>| updates(words) || inserts(words);
    let opaque = unseen.code || unseen.triggers && statements.iter().any(writes);
    let mut seen = BTreeSet::new();
    follow(statements, opaque, filled, column, &mut seen)
}

fn follow<K: Spelling>(
    statements: &[Vec<Word<'_, K>>],
    opaque: bool,
    filled: &Filled<'_>,
    column: &str,
    seen: &mut BTreeSet<String>,
) -> Origin {
    if !seen.insert(column.to_lowercase()) {
        return Origin::Constant;
    }
    let names = names(statements, filled.table);
    if let Some(former) = statements.iter().filter_map(|it| former(it, &names, column)).next_back()
    {
        let is_it = |(table, added): &(String, String)| {
            names.contains(&table.to_lowercase()) && added.eq_ignore_ascii_case(&former)
        };
        return match added_columns(statements).iter().any(is_it) {
            true => follow(statements, opaque, filled, &former, seen),
            false => Origin::Anybody,
        };
    }
    let made = statements.iter().map(|words| made(words, &names, filled, column));
    let found = made.flatten().fold(None, |found: Option<Origin>, it| {
        Some(found.map_or_else(|| it.clone(), |found| found.and(it.clone())))
    });
    let origin = match found {
        Some(origin) => origin,
        None if opaque => Origin::Hidden,
        None => Origin::Constant,
    };
    let Origin::Row(inputs) = origin else { return origin };
    // What is new as well is computed from something else.
    let (new, mut stay): (BTreeSet<String>, BTreeSet<String>) =
        inputs.into_iter().partition(|it| is_among(filled.new, it));
    let mut whole = Origin::Constant;
    for column in new {
        whole = whole.and(follow(statements, opaque, filled, &column, seen));
    }
    match whole {
        Origin::Constant if stay.is_empty() => Origin::Constant,
        Origin::Constant => Origin::Row(stay),
        Origin::Row(more) => {
            stay.extend(more);
            Origin::Row(stay)
        }
        other => other,
    }
}

fn is_among(columns: &[String], column: &str) -> bool {
    columns.iter().any(|it| it.eq_ignore_ascii_case(column))
}

/// What a table is called in the course of a body that ends as `table`.
fn names<K: Spelling>(statements: &[Vec<Word<'_, K>>], table: &str) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = [table.to_lowercase()].into();
    for words in statements.iter().rev() {
        let [first, second, rest @ ..] = words.as_slice() else { continue };
        let pairs: Vec<(Vec<String>, Vec<String>)> = if first.is("ALTER") && second.is("TABLE") {
            let (from, actions) = alteration(rest);
            match actions {
                [rename, to, new @ ..] if rename.is("RENAME") && to.is("TO") => {
                    vec![(from, name(new))]
                }
                _ => Vec::new(),
            }
        } else if first.is("RENAME") && second.is("TABLE") {
            let pair = |part: &[Word<'_, K>]| {
                let to = part.iter().position(|it| it.is("TO"))?;
                Some((name(part), name(&part[to + 1..])))
            };
            split_at_commas(rest).filter_map(pair).collect()
        } else {
            Vec::new()
        };
        let last = |parts: Vec<String>| parts.last().map(|it| it.to_lowercase());
        for (from, to) in pairs {
            if last(to).is_some_and(|to| names.contains(&to)) {
                names.extend(last(from));
            }
        }
    }
    names
}

/// Where one statement takes the values of a column from, if it gives it any.
fn made<K: Spelling>(
    words: &[Word<'_, K>],
    names: &BTreeSet<String>,
    filled: &Filled<'_>,
    column: &str,
) -> Option<Origin> {
    let [first, ..] = words else { return None };
    if first.is("CREATE") {
        return None;
    }
    if first.is("ALTER") {
        return by_default(words, names, filled, column);
    }
    if let Some(at) = words.iter().position(|it| it.is("INSERT") || it.is("REPLACE")) {
        return by_insertion(&words[at..], names, filled, column);
    }
    let at = words.iter().position(|it| it.is("UPDATE"))?;
    by_update(words, at, names, filled, column)
}

/// What a column was called before a statement named it `column`.
fn former<K: Spelling>(
    words: &[Word<'_, K>],
    names: &BTreeSet<String>,
    column: &str,
) -> Option<String> {
    let [alter, table, rest @ ..] = words else { return None };
    if !alter.is("ALTER") || !table.is("TABLE") {
        return None;
    }
    let (table, actions) = alteration(rest);
    if !table.last().is_some_and(|it| names.contains(&it.to_lowercase())) {
        return None;
    }
    split_at_commas(actions).find_map(|action| {
        let [first, rest @ ..] = action else { return None };
        let rest = match rest {
            [it, rest @ ..] if it.is("COLUMN") => after_guard(rest),
            rest => after_guard(rest),
        };
        let (from, to) = match rest {
            [from, to, new, ..] if first.is("RENAME") && to.is("TO") => (from, new),
            [from, new, ..] if first.is("CHANGE") => (from, new),
            _ => return None,
        };
        let (from, to) = (from.name()?, to.name()?);
        (to.eq_ignore_ascii_case(column) && !from.eq_ignore_ascii_case(column)).then_some(from)
    })
}

/// The default of a column that is added, where it is an expression over others.
fn by_default<K: Spelling>(
    words: &[Word<'_, K>],
    names: &BTreeSet<String>,
    filled: &Filled<'_>,
    column: &str,
) -> Option<Origin> {
    let (table, actions) = alteration(words.get(2..)?);
    if !table.last().is_some_and(|it| names.contains(&it.to_lowercase())) {
        return None;
    }
    let mut actions = split_at_commas(actions);
    let action = actions.find(|action| {
        let added = action.iter().take(6).filter_map(Word::name);
        action.first().is_some_and(|it| it.is("ADD"))
            && added.skip(1).any(|it| it.eq_ignore_ascii_case(column))
    })?;
    let at = action.iter().position(|it| it.is("DEFAULT"))?;
    let rest = action.get(at + 1..)?;
    if !rest.first()?.is("(") {
        return None;
    }
    let mut depth = 0_usize;
    let end = rest.iter().position(|it| {
        depth += usize::from(it.is("("));
        depth -= usize::from(it.is(")") && depth > 0);
        depth == 0
    });
    Some(inputs(&rest[..end?], names, filled, column))
}

/// `UPDATE t SET a = …, b = … FROM … WHERE …`
fn by_update<K: Spelling>(
    words: &[Word<'_, K>],
    update: usize,
    names: &BTreeSet<String>,
    filled: &Filled<'_>,
    column: &str,
) -> Option<Origin> {
    if !is_update(words, update, names) {
        return None;
    }
    let set = update + words.get(update..)?.iter().position(|it| it.is("SET"))?;
    let targets = &words[update + 1..set];
    let rest = &words[set + 1..];
    let mut depth = 0_usize;
    let outside: Vec<bool> = rest
        .iter()
        .map(|it| {
            depth -= usize::from(it.is(")") && depth > 0);
            let outside = depth == 0;
            depth += usize::from(it.is("("));
            outside
        })
        .collect();
    let find = |key: &[&str]| {
        (0..rest.len()).find(|at| {
            let distinct = *at > 0 && rest[*at - 1].is("DISTINCT");
            outside[*at] && !distinct && key.iter().any(|key| rest[*at].is(key))
        })
    };
    let ends = ["FROM", "WHERE", "RETURNING", "ORDER", "LIMIT", "END"];
    let end = find(&ends).unwrap_or(rest.len());
    let mut parts = split_at_commas(&rest[..end]).filter_map(|part| {
        let equals = part.iter().position(|it| it.is("="))?;
        Some((&part[..equals], &part[equals + 1..]))
    });
    let value = parts.find_map(|(columns, value)| {
        let tells = |it: &Word<'_, K>| it.name().is_some_and(|it| it.eq_ignore_ascii_case(column));
        let named = match columns {
            [open, ..] if open.is("(") => columns.iter().any(tells),
            columns => columns.last().is_some_and(tells),
        };
        named.then_some(value)
    })?;
    let joins = |it: &Word<'_, K>| it.is("JOIN") || it.is("STRAIGHT_JOIN") || it.is(",");
    let elsewhere = words.first().is_some_and(|it| it.is("WITH"))
        || targets.iter().any(joins)
        || find(&["FROM"]).is_some();
    let condition = find(&["WHERE"]).map_or(&[][..], |at| &rest[at..]);
    let found = inputs(value, names, filled, column).and(inputs(condition, names, filled, column));
    Some(if elsewhere { Origin::Elsewhere } else { found })
}

/// Whether the `UPDATE` at a place is one of the table.
fn is_update<K: Spelling>(words: &[Word<'_, K>], update: usize, names: &BTreeSet<String>) -> bool {
    let rest = &words[update + 1..];
    let Some(set) = rest.iter().position(|it| it.is("SET")) else { return false };
    let tables = rest[..set].iter().filter_map(Word::name);
    tables.into_iter().any(|it| names.contains(&it.to_lowercase()))
}

/// Whether a statement inserts into the table.
fn inserts_into<K: Spelling>(words: &[Word<'_, K>], names: &BTreeSet<String>) -> bool {
    let into = words.iter().position(|it| it.is("INTO"));
    let table = into.map_or_else(Vec::new, |into| name(&words[into + 1..]));
    table.last().is_some_and(|it| names.contains(&it.to_lowercase()))
}

/// `INSERT INTO t (a, b) SELECT …, … FROM …`: how a table is made anew, or filled from others.
fn by_insertion<K: Spelling>(
    words: &[Word<'_, K>],
    names: &BTreeSet<String>,
    filled: &Filled<'_>,
    column: &str,
) -> Option<Origin> {
    if !inserts_into(words, names) {
        return None;
    }
    let select = words.iter().position(|it| it.is("SELECT"))?;
    let is_it = |it: &str| it.eq_ignore_ascii_case(column);
    let place = match words[..select].iter().position(|it| it.is("(")) {
        Some(open) => {
            let close = open + words[open..].iter().position(|it| it.is(")"))?;
            let mut columns = split_at_commas(&words[open + 1..close]);
            columns.position(|it| name(it).last().is_some_and(|it| is_it(it)))?
        }
        // In the order of a table that the body makes as it is.
        None if filled.new.is_empty() => filled.columns.iter().position(|it| is_it(it))?,
        None => return Some(Origin::Hidden),
    };
    let rest = &words[select + 1..];
    let mut depth = 0_usize;
    let from = rest.iter().position(|it| {
        depth -= usize::from(it.is(")") && depth > 0);
        let found = depth == 0 && it.is("FROM");
        depth += usize::from(it.is("("));
        found
    });
    let (items, source) = rest.split_at(from.unwrap_or(rest.len()));
    let has = |words: &[Word<'_, K>], keys: &[&str]| {
        words.iter().any(|it| keys.iter().any(|key| it.is(key)))
    };
    let plain = !has(items, &["*", "DISTINCT", "SELECT"]) && !has(source, &["UNION"]);
    let item = split_at_commas(items).nth(place);
    if plain && item.is_some_and(reads_nothing) {
        return Some(Origin::Constant);
    }
    let own = source.get(1..).map_or_else(Vec::new, |it| name(it));
    let own = own.last().is_some_and(|it| names.contains(&it.to_lowercase()));
    let several = ["JOIN", "UNION", "SELECT", ","];
    if words[0].is("WITH") || !own || has(source, &several) {
        return Some(Origin::Elsewhere);
    }
    Some(item.map_or(Origin::Hidden, |item| inputs(item, names, filled, column)))
}

/// Whether an expression reads no row: it has values, functions and casts alone.
fn reads_nothing<K: Spelling>(words: &[Word<'_, K>]) -> bool {
    let values = ["NULL", "TRUE", "FALSE", "INTERVAL", "CURRENT_TIMESTAMP", "CURRENT_DATE"];
    let values = |it: &Word<'_, K>| values.iter().any(|key| it.is(key));
    // What it is called, or is cast to, says nothing of what it is.
    let named = |at: usize| at > 0 && (["AS", ":", "::"].iter().any(|it| words[at - 1].is(it)));
    words.iter().enumerate().all(|(at, word)| {
        let calls = words.get(at + 1).is_some_and(|it| it.is("("));
        let is_name = word.name().is_some() && !word.text.starts_with('\'') && !calls;
        !is_name || values(word) || word.is("AS") || named(at)
    })
}

/// The columns of the row that an expression reads, beside `column` itself.
fn inputs<K: Spelling>(
    words: &[Word<'_, K>],
    names: &BTreeSet<String>,
    filled: &Filled<'_>,
    column: &str,
) -> Origin {
    if words.iter().any(|it| it.is("SELECT")) {
        return Origin::Elsewhere;
    }
    let mut found = BTreeSet::new();
    for (at, word) in words.iter().enumerate() {
        let next = |by: usize, key: &str| words.get(at + by).is_some_and(|it| it.is(key));
        // SQLite takes a string for a name where only a name can stand; here a value can.
        let is_name = !word.text.starts_with('\'') && !next(1, "(");
        let Some(named) = word.name().filter(|_| is_name) else { continue };
        let known = filled.columns.iter().find(|it| it.eq_ignore_ascii_case(&named));
        match known {
            Some(known) if !next(1, ".") => {
                found.extend((!known.eq_ignore_ascii_case(column)).then(|| known.clone()));
            }
            // The whole row.
            _ if names.contains(&named.to_lowercase()) && (!next(1, ".") || next(2, "*")) => {
                let all = filled.columns.iter().filter(|it| !it.eq_ignore_ascii_case(column));
                found.extend(all.cloned());
            }
            _ => {}
        }
    }
    if found.is_empty() { Origin::Constant } else { Origin::Row(found) }
}

#[cfg(test)]
mod tests {
    use super::{Filled, Origin};
    use crate::postgres::statements::origin;

    /// Where the column `v` of `t`, which has `n` and `o` besides, comes from.
    fn of(body: &str) -> Origin {
        let columns = ["id", "n", "o", "v", "w"].map(str::to_owned);
        let new = ["v", "w"].map(str::to_owned);
        origin(body, &Filled { table: "t", columns: &columns, new: &new }, "v")
    }

    #[test]
    fn it_is_read_from_the_words_of_a_body() {
        let row =
            |columns: &[&str]| Origin::Row(columns.iter().map(|it| (*it).to_owned()).collect());
        let add = "ALTER TABLE t ADD COLUMN v text";
        for (body, expected) in [
            ("", Origin::Constant),
            ("ALTER TABLE t ADD v text DEFAULT gen_random_uuid()", Origin::Constant),
            ("UPDATE t SET v = 'n'", Origin::Constant),
            ("UPDATE t SET v = now(), o = n", Origin::Constant),
            ("UPDATE t SET v = v || '!' WHERE v IS NOT NULL", Origin::Constant),
            ("UPDATE other SET v = n", Origin::Constant),
            ("UPDATE ONLY public.t AS x SET o = 1, v = upper(x.n)", row(&["n"])),
            ("UPDATE t SET v = 'x' WHERE n LIKE 'a%' AND o IS DISTINCT FROM 'b'", row(&["n", "o"])),
            ("UPDATE t SET (v, o) = (n, 'x')", row(&["n"])),
            ("UPDATE t SET w = n; UPDATE t SET v = w || o", row(&["n", "o"])),
            ("UPDATE t SET v = md5(t::text)", row(&["id", "n", "o"])),
            ("UPDATE t SET v = CASE WHEN o > 'a' THEN substring(n FROM 2) END", row(&["n", "o"])),
            ("DO $$ BEGIN UPDATE t SET v = lower(n); END $$", row(&["n"])),
            ("DO $$ BEGIN EXECUTE 'UPDATE t SET v = n'; END $$", Origin::Hidden),
            ("SELECT fill()", Origin::Hidden),
            (
                "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
                Origin::Constant,
            ),
            (
                "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); UPDATE t SET o = o",
                Origin::Hidden,
            ),
            ("ALTER TABLE t RENAME COLUMN x TO v", Origin::Anybody),
            ("ALTER TABLE IF EXISTS t RENAME x TO v; UPDATE t SET v = 'x'", Origin::Anybody),
            ("ALTER TABLE other RENAME x TO v", Origin::Constant),
            (
                "ALTER TABLE t ADD x text; UPDATE t SET x = n; ALTER TABLE t RENAME x TO v",
                row(&["n"]),
            ),
            ("UPDATE t SET v = p.n FROM p WHERE p.id = t.o", Origin::Elsewhere),
            ("UPDATE t SET v = (SELECT max(n) FROM p)", Origin::Elsewhere),
            ("WITH p AS (SELECT 1 AS n) UPDATE t SET v = n", Origin::Elsewhere),
            (
                "INSERT INTO u (id, v) SELECT id, upper(n) FROM t; DROP TABLE t; ALTER TABLE u RENAME TO t",
                row(&["n"]),
            ),
            (
                "INSERT INTO u (id, v) SELECT id, 'x' FROM t; ALTER TABLE u RENAME TO t",
                Origin::Constant,
            ),
            ("INSERT INTO t (id, v) SELECT a.id, b.n FROM a JOIN b USING (id)", Origin::Elsewhere),
            ("INSERT INTO t (id, v) SELECT a.id, a.n FROM a", Origin::Elsewhere),
            ("INSERT INTO t (id, v) SELECT id, random()::text AS n FROM a", Origin::Constant),
        ] {
            assert_eq!(of(&format!("{add}; {body}")), expected, "{body}");
        }
    }

    /// A table that a body fills from others has columns of which nothing in those has a part.
    #[test]
    fn what_a_filled_table_gives_itself_is_constant() {
        let columns = ["id", "n", "v"].map(str::to_owned);
        let of =
            |body: &str| origin(body, &Filled { table: "t", columns: &columns, new: &[] }, "v");
        for (body, expected) in [
            ("INSERT INTO t SELECT id, name, gen_random_uuid() FROM a", Origin::Constant),
            ("INSERT INTO t SELECT id, gen_random_uuid(), name FROM a", Origin::Elsewhere),
            ("INSERT INTO t (id, n) SELECT id, name FROM a", Origin::Constant),
            ("INSERT INTO t SELECT a.*, 'x' FROM a", Origin::Elsewhere),
            (
                "INSERT INTO t SELECT id, 'x', now() - interval '1 day' FROM a JOIN b USING (id)",
                Origin::Constant,
            ),
            (
                "INSERT INTO t SELECT id, 'x', 'a' FROM a UNION SELECT id, 'x', name FROM b",
                Origin::Elsewhere,
            ),
            (
                "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); INSERT INTO t (id) SELECT id FROM a",
                Origin::Hidden,
            ),
        ] {
            assert_eq!(of(body), expected, "{body}");
        }
    }
}
