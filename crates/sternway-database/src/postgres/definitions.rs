//! What the definitions in PostgreSQL's fingerprints say; names have quotes there where they need them.

use sternway_model::proof::{Definition, Fingerprint, ObjectName, labels};

use super::statements_from;
use crate::Late;
use crate::definitions::{self, Definitions};

/// PostgreSQL's.
pub(crate) struct Postgres;

impl Definitions for Postgres {
    fn name(&self, name: &str) -> String {
        name.to_owned()
    }

    fn are_altered(&self) -> bool {
        true
    }

    fn fill_needed(&self) -> bool {
        false
    }

    fn go_alone(&self, kind: &str) -> bool {
        ["index", "trigger", "view", "constraint", "check", "policy"].contains(&kind)
    }

    fn table_of_index(&self, definition: &str, _: &Fingerprint) -> Option<String> {
        let (_, rest) = definition.split_once(" ON ")?;
        let rest = rest.trim_start_matches("ONLY ");
        let end = rest.find([' ', '(']).unwrap_or(rest.len());
        Some(rest[..end].to_owned()).filter(|_| rest.contains('('))
    }

    fn primary_key(&self, _: &ObjectName, definition: &Definition) -> Option<String> {
        definitions::primary_key(&definition.text)
    }

    fn new_value(&self, definition: &str) -> Option<String> {
        if definition.contains(" generated ") || definition.contains(" as ") {
            return None;
        }
        let (before, default) = definition.split_once(" default ").unwrap_or((definition, "NULL"));
        let kind = before.split(" collate ").next().unwrap_or_default().replace(" not null", "");
        Some(format!("CAST({default} AS {kind})"))
    }

    fn misfit(
        &self,
        column: &str,
        (from, to): (&str, &str),
        statement: &str,
        now: &Fingerprint,
    ) -> Option<String> {
        let (was, is) = (kind(from), kind(to));
        if was == is {
            return None;
        }
        let using = using(statement);
        // What is made of a value, without the step to the new type; an expression may do anything else.
        let value = match using {
            None => Some(column.to_owned()),
            Some(it) => before_cast(it, is),
        };
        let of_type = |it: &&ObjectName| it.kind == "type" && it.name == is;
        let definition = now.objects.iter().find(|(it, _)| of_type(it));
        if let Some(labels) = definition.and_then(|(_, it)| labels(&it.text)) {
            return Some(format!("({})::text NOT IN ({})", value?, labels.join(", ")));
        }
        if let Some(most) = definitions::letters(is, &["character varying", "character"]) {
            // An explicit cast cuts it.
            let text = using.is_none() && is_text(was);
            return text.then(|| format!("char_length(rtrim({column}::text, ' ')) > {most}"));
        }
        if definitions::integers(was).is_some() || was.starts_with("numeric") {
            let (least, most) = definitions::integers(is)?;
            return Some(format!("NOT ({} BETWEEN {least} AND {most})", value?));
        }
        let pattern = match is {
            "smallint" | "integer" | "bigint" => "^\\s*[-+]?([0-9][0-9_]*|0[xob][0-9a-f_]+)\\s*$",
            "numeric" | "real" | "double precision" => {
                "^\\s*[-+]?([0-9][0-9_]*\\.?[0-9_]*|\\.[0-9]+|0[xob][0-9a-f_]+)(e[-+]?[0-9]+)?\\s*$|nan|inf"
            }
            "uuid" => "^\\s*\\{?([0-9a-f]{4}-?){8}\\}?\\s*$",
            "boolean" => {
                "^\\s*(t|tr|tru|true|f|fa|fal|fals|false|y|ye|yes|n|no|on|of|off|1|0)\\s*$"
            }
            _ => return None,
        };
        (is_text(was) && using.is_some()).then_some(())?;
        Some(format!("({})::text !~* '{pattern}'", value?))
    }

    fn late(&self, table: &str, name: &str, _: &str, (before, after): (&str, &str)) -> Late {
        let alter = format!("ALTER TABLE {table}");
        Late {
            made_by: format!(
                "{alter} ADD COLUMN {name} {}",
                statements_from::declared(&format!("{before}{after}"))
            ),
            closed_by: vec![format!("{alter} ALTER COLUMN {name} SET NOT NULL")],
        }
    }
}

/// What a column is, without what else its definition says.
fn kind(definition: &str) -> &str {
    definitions::before(
        definition,
        &[" not null", " default ", " collate ", " generated ", " identity"],
    )
}

fn is_text(kind: &str) -> bool {
    kind == "text" || kind.starts_with("character")
}

/// What an `ALTER COLUMN … TYPE` makes of the values, where it says so.
fn using(statement: &str) -> Option<&str> {
    let words = super::statements::words_of(statement);
    let using = words.iter().find(|it| it.is("USING"))?;
    Some(statement.get(using.end()..)?.trim().trim_end_matches(';').trim_end())
}

/// An expression without the cast to a type at its end; none where it has none there.
fn before_cast(expression: &str, kind: &str) -> Option<String> {
    let words = super::statements::words_of(expression);
    let colons = words.iter().rev().find(|it| it.text.ends_with(':'))?;
    let cast = expression.get(colons.end()..)?.trim();
    let same = match cast.to_lowercase().as_str() {
        "int" | "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "int2" => "smallint".to_owned(),
        "bool" => "boolean".to_owned(),
        "float8" => "double precision".to_owned(),
        "decimal" => "numeric".to_owned(),
        other => other.trim_start_matches("public.").replace('"', ""),
    };
    if same != kind.replace('"', "") {
        return None;
    }
    let value = expression.get(..colons.offset)?.trim_end_matches(':').trim_end();
    // `a + b::integer` casts `b` alone: it is one thing, a call, or what stands in parentheses.
    let of: Vec<_> = words.iter().filter(|it| it.end() <= value.len()).cloned().collect();
    let is_one = match of.as_slice() {
        [open, inner @ .., close] | [_, open, inner @ .., close]
            if open.is("(") && close.is(")") && crate::tokens::is_even(inner) =>
        {
            true
        }
        words => {
            let casts = |it: &str| it.ends_with(':') || it.eq_ignore_ascii_case("text");
            words.iter().filter(|it| !casts(it.text)).count() == 1
        }
    };
    is_one.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_will_not_take_is_a_condition() {
        let mut now = Fingerprint::default();
        let state = ObjectName::new("type", "state");
        now.objects.insert(state, "enum ('open', 'it''s')".into());
        let alter = "ALTER TABLE t ALTER COLUMN s TYPE";
        for (from, to, using, condition) in [
            (
                "state_old not null",
                "state not null",
                "state USING s::text::state",
                Some("(s::text)::text NOT IN ('open', 'it''s')"),
            ),
            (
                "text",
                "state",
                "state USING (CASE s WHEN 'a' THEN 'open' ELSE s END)::state",
                Some("((CASE s WHEN 'a' THEN 'open' ELSE s END))::text NOT IN ('open', 'it''s')"),
            ),
            ("text", "state", "state USING f(s)", None),
            ("text", "state", "state USING 'a' || s::state", None),
            (
                "text",
                "character varying(3)",
                "varchar(3)",
                Some("char_length(rtrim(s::text, ' ')) > 3"),
            ),
            ("text", "character varying(3)", "varchar(3) USING s::varchar(3)", None),
            ("bigint default 0", "smallint", "smallint", Some("NOT (s BETWEEN -32768 AND 32767)")),
            ("text", "text collate \"C\"", "text", None),
            ("text", "jsonb", "jsonb USING s::jsonb", None),
        ] {
            let statement = format!("{alter} {using};");
            let found = Postgres.misfit("s", (from, to), &statement, &now);
            assert_eq!(found.as_deref(), condition, "{statement}");
        }
        let found =
            Postgres.misfit("s", ("text", "integer"), &format!("{alter} int USING s::int"), &now);
        assert!(found.is_some_and(|it| it.starts_with("(s)::text !~* ")));
    }

    #[test]
    fn indexes_say_of_which_table_they_are() {
        for (definition, table) in [
            ("CREATE UNIQUE INDEX i ON ONLY s.t USING btree (a)", Some("s.t")),
            ("CREATE UNIQUE INDEX i ON \"T\" USING btree (a)", Some("\"T\"")),
            ("select 1", None),
        ] {
            let found = Postgres.table_of_index(definition, &Fingerprint::default());
            assert_eq!(found.as_deref(), table, "{definition}");
        }
    }
}
