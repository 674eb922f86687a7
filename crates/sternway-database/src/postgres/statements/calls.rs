//! The code that a statement calls, of which nobody can tell from the statement what it does.
//!
//! PostgreSQL's own functions that only compute are known by name; any other call in a statement
//! that reads or writes rows is named.

use super::words::Word;
use crate::tokens::line_of;

/// The calls of one statement, such as `the call of f (line 3)`.
pub(super) fn unforeseen(body: &str, words: &[Word<'_>]) -> Vec<String> {
    let Some(first) = words.first() else { return Vec::new() };
    let line = |word: &Word<'_>| line_of(body, word.offset);
    match first.key.as_str() {
        "DO" => {
            let mut code = vec![format!("the DO block in line {}", line(first))];
            if words.iter().any(|it| it.text.to_lowercase().contains(UNLINKS)) {
                code.push(call(UNLINKS, line(first)));
            }
            code
        }
        "EXECUTE" => vec![format!("the prepared statement in line {}", line(first))],
        "SELECT" | "WITH" | "VALUES" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "CALL" => {
            calls(words).map(|(name, word)| call(&name, line(word))).collect()
        }
        // What is computed from the rows that are there.
        "CREATE" => {
            let table = words.iter().take(4).any(|word| word.is("TABLE") || word.is("VIEW"));
            let query = words.iter().position(|word| word.is("SELECT") || word.is("WITH"));
            let only_written = words.iter().take(4).any(|word| word.is("VIEW"))
                && !words.iter().take(4).any(|word| word.is("MATERIALIZED"));
            match query {
                Some(query) if table && !only_written => {
                    calls(&words[query..]).map(|(name, word)| call(&name, line(word))).collect()
                }
                _ => Vec::new(),
            }
        }
        "ALTER" => {
            let using = words.iter().position(|word| word.is("USING")).unwrap_or(words.len());
            calls(&words[using..]).map(|(name, word)| call(&name, line(word))).collect()
        }
        _ => Vec::new(),
    }
}

/// The server's own function that takes away what no table has.
const UNLINKS: &str = "lo_unlink";

fn call(name: &str, line: usize) -> String {
    format!("the call of {name} (line {line})")
}

/// The functions that are called and not known to be harmless, with their last word.
fn calls<'a, 'b>(words: &'b [Word<'a>]) -> impl Iterator<Item = (String, &'b Word<'a>)> {
    words.iter().enumerate().filter_map(|(at, word)| {
        let name = word.name()?;
        if !words.get(at + 1)?.is("(") {
            return None;
        }
        let mut start = at;
        let mut parts = vec![name];
        while start >= 2 && words[start - 1].is(".") {
            parts.insert(0, words[start - 2].name()?);
            start -= 2;
        }
        let before = start.checked_sub(1).map(|before| &words[before]);
        // A table or a type with a list of its own.
        let listed = ["INTO", "AS", "WITH", "RECURSIVE", ":"];
        if before.is_some_and(|before| listed.iter().any(|it| before.is(it))) {
            return None;
        }
        if is_named_query(&words[at + 1..]) {
            return None;
        }
        let harmless = match parts.as_slice() {
            [_] => HARMLESS.contains(&word.key.to_lowercase().as_str()),
            [schema, name @ ..] => schema == "pg_catalog" && name != [UNLINKS],
            [] => false,
        };
        (!harmless).then(|| (parts.join("."), word))
    })
}

/// Whether words that begin with a parenthesis are the columns of a named query, as in
/// `WITH a (x) AS (SELECT 1)`.
fn is_named_query(words: &[Word<'_>]) -> bool {
    let Some(end) = words.iter().position(|word| word.is(")")) else { return false };
    let next = |ahead: usize, text: &str| words.get(end + ahead).is_some_and(|it| it.is(text));
    next(1, "AS") && (next(2, "(") || next(2, "MATERIALIZED") || next(2, "NOT"))
}

/// Words that may stand before a parenthesis, and functions of PostgreSQL's that change no row.
#[rustfmt::skip]
const HARMLESS: [&str; 224] = [
    // words
    "all", "and", "any", "array", "as", "between", "bigint", "bit", "bpchar", "by", "case",
    "cast", "char", "character", "conflict", "cube", "dec", "decimal", "distinct", "else",
    "except", "exists", "filter", "float", "from", "group", "grouping", "having", "ilike", "in",
    "int", "integer", "intersect", "interval", "is", "join", "lateral", "like", "limit",
    "materialized", "not", "nullif", "numeric", "offset", "on", "or", "over", "overlay",
    "partition", "precision", "returning", "rollup", "row", "rows", "select", "set", "sets",
    "similar", "some", "then", "time", "timestamp", "timestamptz", "union", "using", "values",
    "varbit", "varchar", "varying", "when", "where", "within", "xmlelement",
    // functions
    "abs", "age", "array_agg", "array_append", "array_cat", "array_fill", "array_length",
    "array_position", "array_remove", "array_replace", "array_to_json", "array_to_string",
    "ascii", "avg", "bool_and", "bool_or", "btrim", "cardinality", "ceil", "ceiling",
    "char_length", "chr", "clock_timestamp", "coalesce", "concat", "concat_ws", "convert_from",
    "convert_to", "count", "current_setting", "currval", "date_part", "date_trunc", "decode",
    "dense_rank", "digest", "div", "encode", "every", "exp", "extract", "first_value", "floor",
    "format", "gen_random_uuid", "generate_series", "greatest", "hashtext", "initcap",
    "json_agg", "json_array_elements", "json_build_array", "json_build_object",
    "json_object_agg", "json_typeof", "jsonb_agg", "jsonb_array_elements",
    "jsonb_array_elements_text", "jsonb_array_length", "jsonb_build_array",
    "jsonb_build_object", "jsonb_each", "jsonb_each_text", "jsonb_extract_path",
    "jsonb_extract_path_text", "jsonb_insert", "jsonb_object_agg", "jsonb_object_keys",
    "jsonb_set", "jsonb_strip_nulls", "jsonb_to_record", "jsonb_to_recordset", "jsonb_typeof",
    "lag", "last_value", "lead", "least", "left", "length", "ln", "log", "lower", "lpad",
    "ltrim", "make_date", "make_interval", "make_timestamp", "max", "md5", "min", "mod",
    "nextval", "now", "num_nonnulls", "num_nulls", "octet_length", "pg_get_serial_sequence",
    "pg_typeof", "position", "power", "quote_ident", "quote_literal", "random", "rank",
    "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array", "repeat",
    "replace", "reverse", "right", "round", "row_number", "row_to_json", "rpad", "rtrim",
    "session_user", "set_config", "setseed", "setval", "sha256", "sign", "split_part", "sqrt",
    "starts_with", "statement_timestamp", "stddev", "string_agg", "string_to_array", "strpos",
    "substr", "substring", "sum", "timezone", "to_char", "to_date", "to_json", "to_jsonb",
    "to_number", "to_timestamp", "to_tsvector", "transaction_timestamp", "translate", "trim",
    "trunc", "unnest", "upper", "uuid_generate_v4", "variance", "width_bucket",
];

#[cfg(test)]
mod tests {
    use super::super::facts;

    #[test]
    fn code_that_is_called_is_named() {
        for (body, expected) in [
            ("select f(1)", "the call of f (line 1)"),
            ("\nselect app.tidy_up()", "the call of app.tidy_up (line 2)"),
            ("do $$ begin delete from t; end $$", "the DO block in line 1"),
            ("call p()", "the call of p (line 1)"),
            ("select pg_catalog.lo_unlink(a) from t", "the call of pg_catalog.lo_unlink (line 1)"),
            ("insert into t (a) select \"F\"(b) from u", "the call of F (line 1)"),
            ("alter table t alter a type int using f(a)", "the call of f (line 1)"),
            ("create table t as select f(1)", "the call of f (line 1)"),
            ("update t set a = lower(g(a))", "the call of g (line 1)"),
        ] {
            assert_eq!(facts(body).unforeseen, [expected], "{body}");
        }
    }

    #[test]
    fn what_only_computes_is_no_call() {
        for body in [
            "insert into app.t (a, b) values (1, now()) on conflict (a) do update set b = coalesce(t.b, 2)",
            "with x (a) as (select 1), y (b) as materialized (select 2) select count(*) from x join y using (a)",
            "update t set a = pg_catalog.set_bit('a', 1, 1) where b in (select c from u) and (c or d)",
            "create function f() returns int language sql as 'select g()'",
            "create view v as select f(a) from t",
            "create table t (a int default f(), check (g(a)))",
            "create index i on t (f(a))",
            "select a::numeric(3, 1), cast(a as varchar(3)) from t",
            "alter table t alter a type int using a::int",
            "create trigger r after insert on t for each row execute function f()",
        ] {
            assert_eq!(facts(body).unforeseen, [""; 0], "{body}");
        }
    }

    #[test]
    fn tables_whose_rows_change_are_known() {
        let changes = |body: &str| facts(body).changes.into_iter().collect::<Vec<_>>();
        assert_eq!(
            changes(
                "delete from a; update only public.\"B\" set x = 1; truncate c, d cascade;
                 merge into e using f on true when matched then delete;
                 insert into g (x) values (1) on conflict (x) do update set x = 2;
                 with gone as (delete from h returning *) insert into i select * from gone;
                 alter table j alter column x type int; insert into k values (1)"
            ),
            ["a", "c", "d", "e", "g", "h", "j", "public.B"]
        );
        let filling = "alter table t add x int; update t set x = 1";
        assert_eq!(changes(filling), [""; 0]);
        assert_eq!(facts(filling).fills, ["t".to_owned()].into());
        assert_eq!(changes("alter table t add x int; update t set x = 1, y = 2"), ["t"]);
    }
}
