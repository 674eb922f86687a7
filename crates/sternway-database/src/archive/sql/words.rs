//! A place of the archive in SQL: what its columns are called in conditions and statements.

use std::iter;
use std::marker::PhantomData;

use super::{SqlStore, Update, all, data, matches};
use crate::archive::shape::{Column, Given};
use crate::archive::store::{Inputs, Place};

/// A place in SQL.
pub(super) struct Words<'a, S> {
    pub(super) place: &'a Place,
    pub(super) kept: String,
    pub(super) table: String,
    dialect: PhantomData<fn() -> S>,
}

impl<'a, S: SqlStore> Words<'a, S> {
    pub(super) fn of(store: &S, place: &'a Place) -> Self {
        let table = store.qualified(&place.shape.name);
        Words { place, kept: data(store, place.data), table, dialect: PhantomData }
    }

    /// The name of a column.
    pub(super) fn plain(&self, at: usize) -> &str {
        self.place.layout.columns.get(at).map_or("", String::as_str)
    }

    pub(super) fn name(&self, at: usize) -> String {
        S::quote(self.plain(at))
    }

    /// That `t` is `k` by the key.
    pub(super) fn row(&self) -> String {
        matches::<S>(&self.place.key, |at| Some(self.plain(at).to_owned()))
    }

    /// A column of the archive, with its name in SQL.
    pub(super) fn held(&self, letter: char, at: usize) -> Option<(&Column, String)> {
        let name = format!("{letter}{at}");
        Some((self.place.held.column(&name)?, format!("k.{name}")))
    }

    /// A column of the table.
    pub(super) fn live(&self, name: &str) -> Option<(&Column, String)> {
        let column = self.place.shape.column(name)?;
        Some((column, format!("t.{}", S::quote(&column.name))))
    }

    /// That a row has these values in both.
    pub(super) fn same<'b>(
        &'b self,
        letter: char,
        columns: impl Iterator<Item = (usize, &'b str)>,
    ) -> String {
        all(columns.filter_map(|(at, name)| {
            let ((own, value), (theirs, other)) = (self.held(letter, at)?, self.live(name)?);
            Some(S::same(own, &value, theirs, &other))
        }))
    }

    /// What rows look like in these columns: of the archive, and of the table.
    pub(super) fn images(&self, letter: char, columns: &[usize]) -> (String, String) {
        let old: Vec<_> = columns.iter().filter_map(|at| self.held(letter, *at)).collect();
        let new: Vec<_> = columns.iter().filter_map(|at| self.live(self.plain(*at))).collect();
        (S::image(&old), S::image(&new))
    }

    /// That a row has a value for which there is no column.
    pub(super) fn unplaced(&self) -> String {
        let is_there = |at: &usize| self.place.shape.column(self.plain(*at)).is_some();
        let layout = &self.place.layout;
        let wanted = (0..layout.columns.len()).filter(|at| !layout.is_beside(*at));
        let missing = wanted.filter(|at| !is_there(at));
        let missing: Vec<String> = missing.map(|at| format!("k.c{at} IS NOT NULL")).collect();
        if missing.is_empty() { "1 = 0".to_owned() } else { missing.join(" OR ") }
    }

    /// What a row has in the columns that a body took: whether that is the same, whether it is nothing of
    /// anybody's, and whether what it is computed from has changed since.
    pub(super) fn values(&self) -> Vec<[String; 3]> {
        let place = self.place;
        let value = |(at, inputs): (usize, Option<&Inputs>)| {
            let Some((live, other)) = self.live(self.plain(at)) else {
                return ["1 = 0", "1 = 0", "1 = 1"].map(str::to_owned);
            };
            let blank = match &live.given {
                Given::Constant(sql) => format!("({other} IS NULL OR {other} = {sql})"),
                Given::Null | Given::Own => format!("{other} IS NULL"),
            };
            let there = |at: &usize| place.shape.column(self.plain(*at)).is_some();
            let same = match inputs {
                Some(Inputs::Columns(inputs)) if inputs.iter().all(there) => {
                    Some(self.same('c', inputs.iter().map(|at| (*at, self.plain(*at)))))
                }
                Some(Inputs::Anew) => Some(self.same('a', iter::once((at, self.plain(at))))),
                _ => None,
            };
            let moved = same.map_or("1 = 1".to_owned(), |same| format!("NOT ({same})"));
            [self.same('c', iter::once((at, self.plain(at)))), blank, moved]
        };
        let judged = place.judged.iter().enumerate();
        judged.map(|(index, at)| value((*at, place.inputs.get(index)))).collect()
    }

    /// That the row `k` of the table `held` is the row `j` of another one of the archive, by the key.
    pub(super) fn is_of(&self, other: &Place) -> Option<String> {
        let key = self.place.layout.keys();
        let pair = |at: &usize| Some(format!("j.c{} = k.c{at}", other.layout.at(self.plain(*at))?));
        let pairs: Option<Vec<String>> = key.iter().map(pair).collect();
        pairs.filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(" AND "))
    }

    /// What rows get in these columns, and what keeps the columns that count the changes of a row
    /// from counting this one.
    pub(super) fn set(&self, columns: &[usize], only_changed: bool) -> Vec<(String, String)> {
        self.set_to(columns, only_changed, |at| format!("k.c{at}"))
    }

    /// The same, where they get what `to` says.
    pub(super) fn set_to(
        &self,
        columns: &[usize],
        only_changed: bool,
        to: impl Fn(usize) -> String,
    ) -> Vec<(String, String)> {
        let value = |at: &usize| {
            let (name, to) = (self.name(*at), to(*at));
            match (self.held('a', *at), self.held('c', *at)) {
                (Some((after, new)), Some((before, old))) if only_changed => {
                    let same = S::same(after, &new, before, &old);
                    let value = format!("CASE WHEN {same} THEN t.{name} ELSE {to} END");
                    (name, value)
                }
                _ => (name, to),
            }
        };
        let mut set: Vec<(String, String)> = columns.iter().map(value).collect();
        for column in self.place.shape.columns.iter().filter(|column| column.touched) {
            let name = S::quote(&column.name);
            if !set.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                set.push((name.clone(), format!("t.{name}")));
            }
        }
        set
    }

    /// What no other row has in a column, and no row gets; none for the key. With it comes the question whose answer
    /// stands for `{}`, where there is one.
    pub(super) fn vacant(&self, at: usize) -> Option<(String, Option<String>)> {
        let (column, value) =
            self.live(self.plain(at)).filter(|_| !self.place.key.contains(&at))?;
        let kind = column.kind.to_lowercase();
        let (end, sign) = if kind.contains("unsigned") { ("MAX", "+") } else { ("MIN", "-") };
        let number = ["int", "dec", "num", "real", "float", "double"];
        Some(match number.iter().any(|it| kind.contains(it)) {
            _ if column.nullable => ("NULL".to_owned(), None),
            false => ("CONCAT('~', k.n)".to_owned(), None),
            // Beyond what rows have, and what they get.
            true => {
                let Words { kept, table, .. } = self;
                let all = format!(
                    "SELECT {value} AS v FROM {table} AS t UNION ALL SELECT k.c{at} FROM {kept} AS k UNION ALL SELECT 0"
                );
                (format!("({{}} {sign} k.n)"), Some(format!("SELECT {end}(v) FROM ({all}) AS x")))
            }
        })
    }

    /// The statement that gives rows of the table these columns.
    pub(super) fn update(&self, set: &[(String, String)], condition: &str) -> String {
        let Words { place, kept, table, .. } = self;
        let (from, on) = match place.shape.rowid.filter(|_| place.key.is_empty()) {
            Some(rowid) => (
                format!("{kept} AS k JOIN sternway_pair AS p ON p.n = k.n"),
                format!("t.{rowid} = p.r"),
            ),
            None => (format!("{kept} AS k"), self.row()),
        };
        S::update(&Update { table, alias: "t", from: &from, on: &on, set, condition })
    }

    /// The statement that deletes rows of the table which look in the columns `given` like rows of the archive that are
    /// not there with their own key.
    pub(super) fn twins(&self, given: &[usize]) -> String {
        let Words { place, kept, table, .. } = self;
        let (old, new) = self.images('c', given);
        let same = format!("{} AND {old} = {new}", self.row());
        let key = |of: &str| {
            let key = place.key.iter().map(|at| format!("{of}{}", self.name(*at)));
            key.collect::<Vec<_>>().join(", ")
        };
        format!(
            "DELETE FROM {table} WHERE ({plain}) IN (SELECT {l} FROM
                (SELECT {t}, {new} AS image, ROW_NUMBER() OVER (PARTITION BY {new} ORDER BY {t}) AS i
                 FROM {table} AS t WHERE NOT EXISTS (SELECT 1 FROM {kept} AS k WHERE {same})) AS l
                JOIN (SELECT {old} AS image, COUNT(*) AS many FROM {kept} AS k WHERE k.m IS NULL
                      AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE {same}) GROUP BY 1) AS o
                  ON o.image = l.image AND l.i <= o.many)",
            plain = key(""),
            l = key("l."),
            t = key("t."),
        )
    }

    /// The statement that notes of rows `k` what was found, beside `from`.
    pub(super) fn note(&self, from: &str, on: &str, found: &str) -> String {
        let set = [("w".to_owned(), found.to_owned())];
        let (table, condition) = (self.kept.as_str(), "k.m IS NULL");
        S::update(&Update { table, alias: "k", from, on, set: &set, condition })
    }
}
