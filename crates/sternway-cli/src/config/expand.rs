//! `${VAR}` in a value.

use crate::failure::{Exit, Failure};

/// Puts variables in; `$$` is a dollar.
pub fn expand(text: &str) -> Result<String, Failure> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('{').and_then(|inner| inner.split_once('}'))
        {
            expanded.push_str(&std::env::var(name).map_err(|_| {
                let failure =
                    Failure::new(format!("the settings need the variable {name}"), Exit::Usage);
                failure.hint(format!("set {name}, or write $$ for a dollar that means itself"))
            })?);
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The variables that a value takes in.
pub fn variables(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(name, _)| name.to_owned()).collect()
}

/// Whether a value is one variable and nothing else.
pub fn is_variable(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
    inner.is_some_and(|name| !name.contains(['$', '{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_dollars_kept() {
        let home = std::env::var("PATH").expect("PATH is set");
        assert_eq!(expand("a${PATH}b").map_err(|it| it.to_string()), Ok(format!("a{home}b")));
        assert_eq!(expand("a$b$$c$").map_err(|it| it.to_string()), Ok("a$b$c$".to_owned()));
        assert!(expand("${STERNWAY_NO_SUCH}").is_err());
        assert!(is_variable("${A}") && !is_variable("x${A}") && !is_variable("${A}${B}"));
    }
}
