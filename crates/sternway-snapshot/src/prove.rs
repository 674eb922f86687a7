//! Whether a snapshot is what was taken: restored into a scratch database, and compared.

use std::collections::BTreeMap;
use std::time::Instant;

use sternway_database::{Contents, Dialect, Whole};
use sternway_model::proof::{Difference, Fingerprint, differences as of_schemas};

use crate::error::SnapshotError;
use crate::load::make;
use crate::manifest::{self, Manifest, Proof};
use crate::names::Names;
use crate::take::Look;
use crate::{Settings, Watch};

/// Restores a snapshot into a scratch database on the server of `whole`, compares it with its manifest, drops it
/// again, and writes into the manifest that this was done.
///
/// # Errors
/// Where it cannot be restored, or is not what was taken.
pub async fn prove(
    whole: &mut dyn Whole,
    mut manifest: Manifest,
    settings: &Settings,
    watch: &mut dyn Watch,
) -> Result<Manifest, SnapshotError> {
    let begun = Instant::now();
    let name = Names::beside(whole.dialect(), &whole.identity().database).fresh();
    make(whole, &manifest, &name, settings, watch).await?;
    whole.remove(&name).await?;
    let (seconds, server) = (begun.elapsed().as_secs_f64(), whole.identity().server.clone());
    manifest.proven = Some(Proof { at: manifest::now(), seconds, server });
    manifest.write(settings).await?;
    Ok(manifest)
}

/// How what was restored differs from what was taken, in words.
pub(crate) fn differences(manifest: &Manifest, schema: &Fingerprint, found: &Look) -> Vec<String> {
    let mut all = Vec::new();
    if schema.digest() != manifest.fingerprint {
        all.push("the schema that lies with it is not the one that it was taken of".to_owned());
    }
    let is_postgres = manifest.dialect == Dialect::Postgres.to_string();
    let same = |it: &Difference| is_postgres && printed_anew(it, schema, &found.fingerprint);
    all.extend(
        of_schemas(schema, &found.fingerprint)
            .iter()
            .filter(|it| !same(it))
            .map(ToString::to_string),
    );
    let (then, now) = (&manifest.contents, &found.contents);
    for (table, rows) in then {
        all.extend(match now.get(table) {
            None => Some(format!("table {table} is missing")),
            Some(now) if now.count != rows.count => {
                Some(format!("table {table} has {} rows and had {}", now.count, rows.count))
            }
            Some(now) if now.sum != rows.sum => {
                Some(format!("the checksum of the rows of {table} is another one"))
            }
            Some(_) => None,
        });
    }
    let more = now.keys().filter(|table| !then.contains_key(*table));
    all.extend(more.map(|table| format!("table {table} should not be there")));
    all
}

/// Whether an object differs in casts and parentheses alone: PostgreSQL prints an expression that it has read back
/// from its own words in others, such as `'a'::text` for `('a'::varchar)::text`.
fn printed_anew(difference: &Difference, then: &Fingerprint, now: &Fingerprint) -> bool {
    let object = difference.object();
    let bare = |of: &Fingerprint| of.objects.get(object).map(|it| without_casts(&it.text));
    matches!((bare(then), bare(now)), (Some(then), Some(now)) if then == now)
}

/// An expression without what casts it and holds it together, outside of its literals.
fn without_casts(text: &str) -> String {
    let mut bare = String::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            bare.push_str(&format!("'{part}'"));
            continue;
        }
        let mut rest = part;
        while let Some((before, after)) = rest.split_once("::") {
            bare.extend(before.chars().filter(|it| !"() ".contains(*it)));
            rest = [
                "character varying",
                "timestamp with time zone",
                "timestamp without time zone",
                "time with time zone",
                "time without time zone",
                "double precision",
                "bit varying",
            ]
            .iter()
            .find_map(|name| after.strip_prefix(name))
            .unwrap_or_else(|| {
                let part = |it: char| !(it.is_alphanumeric() || "_.\"".contains(it));
                &after[after.find(part).unwrap_or(after.len())..]
            });
            // A length or precision, and the mark of an array.
            if let Some((number, after)) = rest.strip_prefix('(').and_then(|it| it.split_once(')'))
                && number.chars().all(|it| it.is_ascii_digit() || it == ',')
            {
                rest = after;
            }
            rest = rest.strip_prefix("[]").unwrap_or(rest);
        }
        bare.extend(rest.chars().filter(|it| !"() ".contains(*it)));
    }
    bare
}

/// What was written since a snapshot, as far as counts and checksums tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Since {
    /// Each table whose rows are others now: how many it had, and how many it has; none where there was no such
    /// table, or is none.
    pub tables: BTreeMap<String, (Option<u64>, Option<u64>)>,
    /// Tables of which nothing is known.
    pub unknown: Vec<String>,
}

/// What was written to this database since a snapshot. It reads every row.
///
/// # Errors
/// When a table cannot be read.
pub async fn written_since(
    whole: &mut dyn Whole,
    manifest: &Manifest,
) -> Result<Since, SnapshotError> {
    whole.hold().await?;
    let contents = whole.contents().await;
    let released = whole.release().await;
    let contents = contents?;
    released?;
    let is_ours = |table: &str| whole.is_ours(table);
    Ok(since(manifest, &contents, is_ours))
}

/// What was written since a snapshot: to every table but Sternway's own and the tracking tables.
fn since(manifest: &Manifest, now: &Contents, is_ours: impl Fn(&str) -> bool) -> Since {
    let is_theirs = |table: &&String| {
        let name = table.rsplit('.').next().unwrap_or(table).trim_matches('"');
        !is_ours(table) && !manifest.tables.iter().any(|it| it == name)
    };
    let then = &manifest.contents;
    let mut since = Since::default();
    for table in then.keys().chain(now.keys()).filter(is_theirs) {
        let (had, has) = (then.get(table), now.get(table));
        if manifest.written_meanwhile.contains(table) {
            since.unknown.push(table.clone());
        } else if had != has {
            since.tables.insert(table.clone(), (had.map(|it| it.count), has.map(|it| it.count)));
        }
    }
    since.unknown.sort();
    since.unknown.dedup();
    since
}

#[cfg(test)]
mod tests {
    use super::without_casts;

    #[test]
    fn what_postgresql_prints_anew_is_the_same() {
        let first = "CHECK (((state)::text = ANY ((ARRAY['a (b)'::character varying, 'b'::character varying])::text[])))";
        let again = "CHECK (((state)::text = ANY (ARRAY[('a (b)'::character varying)::text, ('b'::character varying)::text])))";
        assert_eq!(without_casts(first), without_casts(again));
        let other = "CHECK (((state)::text = ANY (ARRAY[('a b'::character varying)::text, ('b'::character varying)::text])))";
        assert_ne!(without_casts(first), without_casts(other));
        assert_eq!(without_casts("x::numeric(10,2)[] > 1"), "x>1");
    }
}
