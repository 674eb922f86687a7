//! Values as Go reads them: golang-migrate's parameters are read by its rules, and refused in its
//! words.

use std::num::IntErrorKind;

/// Go's `strconv.ParseBool`.
///
/// # Errors
/// Go's own text.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Go's `strconv.Atoi`.
///
/// # Errors
/// Go's own text.
pub fn atoi(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let what = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {text:?}: {what}")
    })
}

#[cfg(test)]
mod tests {
    use super::{atoi, parse_bool};

    #[test]
    fn a_boolean_is_one_of_twelve_words() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("False"), Ok(false));
        for text in ["yeppers", "yes", "tRUE", "", " 1"] {
            let expected = format!("strconv.ParseBool: parsing \"{text}\": invalid syntax");
            assert_eq!(parse_bool(text), Err(expected));
        }
    }

    #[test]
    fn a_number_may_have_a_sign_and_nothing_else() {
        assert_eq!((atoi("+5"), atoi("-1")), (Ok(5), Ok(-1)));
        assert_eq!(atoi("1k"), Err("strconv.Atoi: parsing \"1k\": invalid syntax".to_owned()));
        let large = "99999999999999999999";
        let expected = format!("strconv.Atoi: parsing \"{large}\": value out of range");
        assert_eq!(atoi(large), Err(expected));
    }
}
