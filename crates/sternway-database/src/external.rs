//! External effects: what a body does beyond the database that it is run in. A rehearsal has a database of its own,
//! and everything else is shared with the real one: a body that names another database, a role or a
//! file does there what it says, and is not rehearsed.
//!
//! Code in strings reaches as far as any other, and is looked at too. What is found by mistake costs a
//! proof, and not data.

/// Each verb with each thing that it is about, such as `drop role`, and `others`.
pub fn phrases(verbs: &[&str], things: &[&str], others: &[&str]) -> Vec<String> {
    let about =
        |verb: &&str| things.iter().map(move |it| format!("{verb} {it}")).collect::<Vec<_>>();
    verbs.iter().flat_map(about).chain(others.iter().map(ToString::to_string)).collect()
}

/// What was found, as a reason.
pub fn says(phrase: &str) -> String {
    format!("it says {}", phrase.to_uppercase())
}

/// The one of `phrases` that a statement begins with.
pub fn begins<'a, S: AsRef<str>>(statement: &[&str], phrases: &'a [S]) -> Option<&'a str> {
    let begins = |phrase: &&str| {
        let mut words = statement.iter();
        phrase.split(' ').all(|it| words.next().is_some_and(|word| word.eq_ignore_ascii_case(it)))
    };
    phrases.iter().map(AsRef::as_ref).find(begins)
}

/// The first of `phrases` that stands in the text by itself, whatever blanks are between its words.
pub fn phrase<'a, S: AsRef<str>>(text: &str, phrases: &'a [S]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|it: char| !(it.is_alphanumeric() || it == '_'))
        .filter(|it| !it.is_empty())
        .collect();
    let stands = |phrase: &&str| {
        let wanted: Vec<&str> = phrase.split(' ').collect();
        words.windows(wanted.len()).any(|it| it == wanted)
    };
    phrases.iter().map(AsRef::as_ref).find(stands)
}

/// Whether a body may make tables elsewhere than in the application's schema, or give them other names.
pub fn moves_tables(body: &str) -> bool {
    phrase(body, &["rename", "schema", "search_path", "use"]).is_some()
}

/// The first of `names` that stands before a dot, as a database does that is named.
pub fn qualifier<'a>(text: &str, names: &'a [String]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let is_dotted = |rest: &str| {
        let rest = rest.trim_start_matches(['`', '"']).trim_start();
        rest.starts_with('.')
    };
    let of_a_name = |it: char| it.is_alphanumeric() || it == '_' || it == '$' || it == '@';
    let named = |name: &&String| {
        let name = name.to_lowercase();
        text.match_indices(&name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(of_a_name) && is_dotted(&text[at + name.len()..])
        })
    };
    names.iter().find(named).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_stand_by_themselves() {
        let phrases = ["create user", "use", "alter system"];
        assert_eq!(phrase("CREATE\n  USER x", &phrases), Some("create user"));
        assert_eq!(phrase("EXECUTE 'alter system set x'", &phrases), Some("alter system"));
        assert_eq!(phrase("CREATE TABLE user_use (create_user int)", &phrases), None);
    }

    #[test]
    fn a_database_is_named_before_a_dot() {
        let names = ["shop".to_owned(), "odd name".to_owned()];
        for named in ["DELETE FROM shop.t", "x `SHOP` . `t`", "'delete from shop.t'"] {
            assert_eq!(qualifier(named, &names), Some("shop"), "{named}");
        }
        assert_eq!(qualifier("DROP TABLE `odd name`.t", &names), Some("odd name"));
        for other in ["CREATE TABLE shop (id int)", "workshop.t", "my_shop.t", "shops.t", "@shop.t"]
        {
            assert_eq!(qualifier(other, &names), None, "{other}");
        }
    }
}
