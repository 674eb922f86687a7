//! An entry beside the table that its rows go back to, in the server's words.

use sternway_model::effect::Lost;

use super::super::conflicts::{Live, LiveColumn, Part};
use super::super::{AFTER, ANEW, CONFLICT, KeptColumn, Stored, hash};
use super::{After, DOING};
use crate::archive::reason;
use crate::failpoint::{Rule, holds};
use crate::origin::{Filled, Origin};
use crate::port::DatabaseError;
use crate::postgres::effects::json;
use crate::postgres::{Postgres, literal, statements};

/// An entry, and the table that it goes back to.
pub(in crate::postgres::archive) struct Target<'a> {
    pub(super) stored: &'a Stored,
    pub(super) live: &'a Live,
    pub(super) after: After<'a>,
    /// Whether a later batch has rows of its table too: then what is there is newer.
    pub(super) older: bool,
}

impl<'a> Target<'a> {
    /// An entry by itself.
    pub(in crate::postgres::archive) fn of(stored: &'a Stored, live: &'a Live) -> Target<'a> {
        Target { stored, live, after: After::Anybody, older: false }
    }

    /// A kept column as the table has it.
    pub(super) fn value(&self, column: &KeptColumn) -> String {
        let name = Postgres::quote(&column.name);
        let live = self.live.columns.iter().find(|it| it.name == column.name);
        match live {
            Some(live) if live.type_name == column.type_name && !column.text => format!("k.{name}"),
            Some(live) => format!("CAST(k.{name}::text AS {})", live.type_name),
            None => format!("k.{name}"),
        }
    }

    /// The table, where its own rows are meant.
    pub(in crate::postgres::archive) fn rows(&self) -> String {
        self.live.rows(&self.stored.table())
    }

    pub(super) fn kept(&self, name: &str) -> Option<&KeptColumn> {
        self.stored.detail.columns.iter().find(|it| it.name == name)
    }

    /// That a row `t` of the table has the key of the kept row `k`; `None` where there is no key, and
    /// where the table has lost it.
    pub(in crate::postgres::archive) fn key(&self) -> Option<String> {
        let key = &self.stored.detail.key;
        if !key.iter().all(|name| self.live.columns.iter().any(|it| it.name == *name)) {
            return None;
        }
        let same = key.iter().map(|name| {
            let value = self.value(self.kept(name)?);
            Some(format!("t.{} = {value}", Postgres::quote(name)))
        });
        let same: Option<Vec<String>> = same.collect();
        same.filter(|it| !it.is_empty()).map(|it| it.join(" AND "))
    }

    /// The same before the body of the other half has run: what has another type then may fit no row's.
    pub(super) fn key_before(&self) -> Option<String> {
        let same = self.stored.detail.key.iter().map(|name| {
            let kept = self.kept(name)?;
            let live = self.live.columns.iter().find(|it| it.name == *name)?;
            let name = Postgres::quote(name);
            Some(match live.type_name == kept.type_name && !kept.text {
                true => format!("t.{name} = k.{name}"),
                false => format!("t.{name}::text = k.{name}::text"),
            })
        });
        let same: Option<Vec<String>> = same.collect();
        same.filter(|it| !it.is_empty()).map(|it| it.join(" AND "))
    }

    /// Where the body takes the values of a column from; `None` where none has just run.
    pub(super) fn origin(&self, column: &str, new: &[String]) -> Option<Origin> {
        let (After::Body(body) | After::Committed(body)) = self.after else { return None };
        let detail = &self.stored.detail;
        let columns = self.live.columns.iter().map(|it| it.name.clone());
        // What the other half has made may be gone again.
        let columns: Vec<String> = columns.chain(detail.made.iter().cloned()).collect();
        let filled = Filled { table: &detail.table, columns: &columns, new };
        Some(statements::origin(body, &filled, column))
    }

    /// The condition under which a value of a lost column goes over what the row `t` has there, unless
    /// that is any. `unmoved` is the one under which columns are what they were when it was kept.
    pub(super) async fn fits(
        &self,
        postgres: &mut Postgres,
        column: &LiveColumn,
        new: &[String],
        unmoved: &(dyn Fn(Option<&[String]>) -> String + Sync),
    ) -> Result<Option<String>, DatabaseError> {
        Ok(match self.origin(&column.name, new) {
            None if !holds(Rule::NewerStays) => None,
            Some(_) if !holds(Rule::ComputedStays) => None,
            Some(Origin::Constant) => None,
            Some(Origin::Row(inputs))
                if self.stored.detail.made.iter().any(|it| inputs.contains(it)) =>
            {
                let made_again = self.made_again(&column.name).filter(|_| self.stored.detail.anew);
                Some(made_again.unwrap_or_else(|| column.blank()))
            }
            Some(Origin::Row(inputs)) => {
                let inputs: Vec<String> = inputs.into_iter().collect();
                Some(unmoved(Some(&inputs)))
            }
            Some(Origin::Hidden) if self.is_uniform(postgres, column).await? => None,
            Some(Origin::Hidden | Origin::Elsewhere) if self.stored.detail.anew => {
                Some(self.made_again(&column.name).unwrap_or_else(|| column.blank()))
            }
            Some(Origin::Hidden) if self.stored.detail.made.is_empty() => {
                Some(format!("{} OR {}", column.blank(), unmoved(None)))
            }
            // Nobody can tell whether the other rows are what they were.
            Some(Origin::Hidden | Origin::Elsewhere | Origin::Anybody) | None => {
                Some(column.blank())
            }
        })
    }

    /// That the row `t` has in a column what the other half would have made of it when the row `k` was
    /// kept.
    pub(super) fn made_again(&self, name: &str) -> Option<String> {
        let at = self.stored.noted().into_iter().position(|it| it == name)? + 1;
        let now = hash(&format!("t.{}", Postgres::quote(name)));
        Some(format!(
            "CASE WHEN k.{ANEW} IS NULL THEN {}
                  ELSE k.{ANEW} <> '{{}}' AND k.{ANEW}[{at}] IS NOT DISTINCT FROM {now} END",
            self.has(name)?
        ))
    }

    /// That the other half would have made the row `k` when it was kept, where that is known.
    pub(super) fn was_made(&self) -> Option<String> {
        let is_noted = self.stored.detail.remade && holds(Rule::ComputedStays);
        is_noted.then(|| format!("(k.{ANEW} IS NULL OR k.{ANEW} <> '{{}}')"))
    }

    /// Whether all rows have the same in a column, and there are several.
    pub(super) async fn is_uniform(
        &self,
        postgres: &mut Postgres,
        column: &LiveColumn,
    ) -> Result<bool, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.to_json(pg_catalog.count(*) > 1 AND pg_catalog.count(DISTINCT t.{}::text) < 2)::text
             FROM {} AS t",
            Postgres::quote(&column.name),
            self.rows()
        );
        json(postgres, DOING, sql).await
    }

    /// That the row `t` has the value of the kept row `k` in a column.
    pub(in crate::postgres::archive) fn has(&self, name: &str) -> Option<String> {
        let value = self.value(self.kept(name)?);
        let name = Postgres::quote(name);
        Some(format!("t.{name}::text IS NOT DISTINCT FROM ({value})::text"))
    }

    /// The columns that can be written.
    pub(super) fn written(&self) -> impl Iterator<Item = &KeptColumn> {
        let live = |name: &str| self.live.columns.iter().find(|it| it.name == name);
        let columns = self.stored.detail.columns.iter();
        columns.filter(move |it| live(&it.name).is_some_and(|live| !live.generated))
    }

    /// That all that was kept is the same in `t`.
    pub(super) fn same(&self) -> String {
        let same = self.written().map(|it| {
            let name = Postgres::quote(&it.name);
            format!("t.{name}::text COLLATE pg_catalog.\"C\" IS NOT DISTINCT FROM k.{name}::text")
        });
        same.chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND ")
    }

    /// The insertion of kept rows at which `filter` holds.
    pub(super) fn insertion<'b>(&'b self, filter: &str) -> Part<'b> {
        let (stored, live) = (self.stored, self.live);
        let columns: Vec<&KeptColumn> = self.written().collect();
        let names = columns.iter().map(|it| Postgres::quote(&it.name)).collect::<Vec<_>>();
        let values = columns.iter().map(|it| self.value(it)).collect::<Vec<_>>();
        let store = stored.store();
        let all = stored.detail.columns.iter();
        let all = all.map(|it| format!(", {} AS {}", self.value(it), Postgres::quote(&it.name)));
        let all: String = all.collect();
        let candidates = format!(
            "SELECT k.ctid AS sternway_place, NULL::oid AS sternway_part, NULL::tid AS sternway_row{all} FROM {store} AS k WHERE {filter}"
        );
        let statement = match columns.is_empty() {
            // A table without columns has rows all the same.
            true => {
                format!("INSERT INTO {} SELECT FROM {store} AS k WHERE {filter}", stored.table())
            }
            false => format!(
                "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {store} AS k WHERE {filter}",
                stored.table(),
                names.join(", "),
                values.join(", ")
            ),
        };
        Part { stored, live, statement, candidates, inserts: true, changes: Vec::new() }
    }

    /// The change of rows that are there: of `columns`, each with the expression that it gets, where
    /// `filter` holds for the kept row `k` and the row `t`.
    pub(super) fn change<'b>(&'b self, columns: &[(String, String)], filter: &str) -> Part<'b> {
        let (stored, live) = (self.stored, self.live);
        let (store, rows) = (stored.store(), self.rows());
        let list =
            columns.iter().map(|(name, value)| format!("{} = {value}", Postgres::quote(name)));
        let list = list.collect::<Vec<_>>().join(", ");
        let all = self.live.columns.iter().map(|it| {
            let value = columns.iter().find(|(name, _)| *name == it.name);
            let name = Postgres::quote(&it.name);
            format!(", {} AS {name}", value.map_or(format!("t.{name}"), |(_, value)| value.clone()))
        });
        let all: String = all.collect();
        Part {
            stored,
            live,
            statement: format!("UPDATE {rows} AS t SET {list} FROM {store} AS k WHERE {filter}"),
            candidates: format!(
                "SELECT k.ctid AS sternway_place, t.tableoid AS sternway_part, t.ctid AS sternway_row{all}
                 FROM {store} AS k, {rows} AS t WHERE {filter}"
            ),
            inserts: false,
            changes: columns.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// How many kept rows have no reason to stay.
    pub(super) async fn waiting(&self, postgres: &mut Postgres) -> Result<u64, DatabaseError> {
        let sql = format!(
            "SELECT pg_catalog.to_json(pg_catalog.count(*))::text FROM {} AS k WHERE k.{CONFLICT} IS NULL",
            self.stored.store()
        );
        json(postgres, DOING, sql).await
    }

    /// Gives a reason to kept rows.
    pub(super) async fn mark(
        &self,
        postgres: &mut Postgres,
        reason: &str,
        filter: &str,
    ) -> Result<u64, DatabaseError> {
        let (store, reason) = (self.stored.store(), literal(reason));
        let sql = format!(
            "UPDATE {store} AS k SET {CONFLICT} = {reason} WHERE k.{CONFLICT} IS NULL AND {filter}"
        );
        postgres.count(DOING, sql).await
    }
}

impl Target<'_> {
    /// That these columns of the row `t`, or all, are what they were once the body had changed the kept
    /// row `k`. Those that it changed were looked at before.
    pub(super) fn unmoved(&self, inputs: Option<&[String]>) -> String {
        let all: Vec<String> = self.written().map(|it| it.name.clone()).collect();
        let same = inputs.unwrap_or(&all).iter().map(|name| {
            let same = self.has(name).unwrap_or("false".to_owned());
            format!("(pg_catalog.jsonb_exists(k.{AFTER}, {}) OR {same})", literal(name))
        });
        same.chain(["true".to_owned()]).collect::<Vec<_>>().join(" AND ")
    }

    /// Gives a reason to the kept rows of which a value stays, at which its condition holds for the kept
    /// row `k` and the row `t` of it, by `is_row`.
    pub(super) async fn stays(
        &self,
        postgres: &mut Postgres,
        is_row: &str,
        stay: &[(&str, String)],
    ) -> Result<(), DatabaseError> {
        if stay.is_empty() {
            return Ok(());
        }
        let (rows, any) = (self.rows(), any_of(stay));
        let filter = format!("EXISTS (SELECT FROM {rows} AS t WHERE {is_row} AND ({any}))");
        self.mark(postgres, &self.why(stay), &filter).await.map(drop)
    }

    /// Why a value stays.
    pub(super) fn why(&self, stay: &[(&str, String)]) -> String {
        let names: Vec<&str> = stay.iter().map(|(name, _)| *name).collect();
        match self.after {
            After::Anybody => reason::WRITTEN.to_owned(),
            After::Body(_) | After::Committed(_) => reason::computed(&names),
        }
    }
}

/// That one of the conditions holds.
pub(super) fn any_of(stay: &[(&str, String)]) -> String {
    let any = stay.iter().map(|(_, condition)| format!("({condition})"));
    any.chain(["false".to_owned()]).collect::<Vec<_>>().join(" OR ")
}

/// Rows that have a value for which there is no column do not fit.
pub(super) async fn missing_columns(
    postgres: &mut Postgres,
    target: &Target<'_>,
) -> Result<(), DatabaseError> {
    let there = |name: &str| target.live.columns.iter().any(|it| it.name == name);
    let Target { stored, .. } = target;
    let wanted = |it: &&KeptColumn| match stored.entry.lost {
        // Without its key nobody can tell whose a value is.
        Lost::Column { .. } => {
            stored.detail.lost.contains(&it.name) || stored.detail.key.contains(&it.name)
        }
        _ => !it.generated,
    };
    for column in stored.detail.columns.iter().filter(wanted).filter(|it| !there(&it.name)) {
        let reason = reason::no_column(&column.name);
        let has = format!("k.{} IS NOT NULL", Postgres::quote(&column.name));
        target.mark(postgres, &reason, &has).await?;
    }
    Ok(())
}
