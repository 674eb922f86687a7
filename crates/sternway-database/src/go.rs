//! What golang-migrate has of its own, whatever the database: its parameters are read by Go's rules
//! and refused in Go's words, and its locks are numbers made of names.

use std::num::IntErrorKind;

/// golang-migrate's constant: CRC-32 is multiplied by it, modulo 2^32.
const SALT: u32 = 1_486_364_155;

/// The number that golang-migrate makes of the name of a lock.
pub fn lock_number(name: &str) -> u32 {
    crc32fast::hash(name.as_bytes()).wrapping_mul(SALT)
}

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
