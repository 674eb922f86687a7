//! The grammar of golang-migrate's options: Go's package `flag`.
//!
//! One dash or two mean the same; a value follows after `=` or as the next word; a switch takes a
//! value only after `=`; the first word that is no option ends them, and so does `--`.

use std::collections::BTreeMap;

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A text.
    Text,
    /// `true` or `false`, and `true` where nothing is said.
    Switch,
    /// A number of up to 64 bits without a sign.
    Number,
    /// A number with a sign.
    Signed,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
}

/// Why the options were not read to their end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// `-h` or `-help` where no such option is defined.
    Help,
    /// They make no sense; the words are Go's.
    Wrong(String),
}

/// The options that were given, and the words after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<'a> {
    values: BTreeMap<&'static str, String>,
    /// What follows.
    pub rest: &'a [String],
}

impl<'a> Given<'a> {
    /// No option, and these words.
    pub fn of(rest: &'a [String]) -> Given<'a> {
        Given { values: BTreeMap::new(), rest }
    }

    /// The text of an option; empty where it was not given.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// The text of an option, or what it is by default.
    pub fn text_or<'b>(&'b self, name: &str, default: &'b str) -> &'b str {
        self.values.get(name).map_or(default, String::as_str)
    }

    /// Whether a switch is on.
    pub fn on(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| boolean(value) == Some(true))
    }

    /// The number of an option, if it was given.
    pub fn number(&self, name: &str) -> Option<u64> {
        number(self.values.get(name)?).ok()
    }

    /// The number of an option that may be negative, if it was given.
    pub fn signed(&self, name: &str) -> Option<i64> {
        signed(self.values.get(name)?).ok()
    }
}

/// Reads the options at the beginning of `words`.
///
/// # Errors
/// When help is asked for, or an option makes no sense.
pub fn read<'a>(flags: &[Flag], words: &'a [String]) -> Result<Given<'a>, Stop> {
    let mut given = Given::of(words);
    while let Some((word, rest)) = given.rest.split_first() {
        let Some(name) = word.strip_prefix('-').filter(|name| !name.is_empty()) else { break };
        given.rest = rest;
        if name == "-" {
            break; // `--` ends the options.
        }
        let name = name.strip_prefix('-').unwrap_or(name);
        if name.is_empty() || name.starts_with(['-', '=']) {
            return Err(Stop::Wrong(format!("bad flag syntax: {word}")));
        }
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let Some(flag) = flags.iter().find(|flag| flag.name == name) else {
            return Err(match name {
                "help" | "h" => Stop::Help,
                _ => Stop::Wrong(format!("flag provided but not defined: -{name}")),
            });
        };
        let value = match (value, flag.takes) {
            (Some(value), _) => value,
            (None, Takes::Switch) => "true".to_owned(),
            (None, _) => {
                let Some((value, rest)) = given.rest.split_first() else {
                    return Err(Stop::Wrong(format!("flag needs an argument: -{name}")));
                };
                given.rest = rest;
                value.clone()
            }
        };
        let wrong = match flag.takes {
            Takes::Text => None,
            Takes::Switch => boolean(&value).is_none().then_some("parse error"),
            Takes::Number => number(&value).err(),
            Takes::Signed => signed(&value).err(),
        };
        if let Some(wrong) = wrong {
            let what = if flag.takes == Takes::Switch { "boolean value" } else { "value" };
            let whose = if flag.takes == Takes::Switch { "" } else { "flag " };
            return Err(Stop::Wrong(format!(
                "invalid {what} {value:?} for {whose}-{name}: {wrong}"
            )));
        }
        given.values.insert(flag.name, value);
    }
    Ok(given)
}

/// Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseUint` with base 0: `0x`, `0o`, `0b` and a leading 0 choose another base.
fn number(text: &str) -> Result<u64, &'static str> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return Err("parse error");
    }
    u64::from_str_radix(digits, base).map_err(|_| "value out of range")
}

/// The same with a sign.
fn signed(text: &str) -> Result<i64, &'static str> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let number = i128::from(number(digits)?);
    i64::try_from(if negative { -number } else { number }).map_err(|_| "value out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 4] = [
        Flag { name: "path", takes: Takes::Text },
        Flag { name: "verbose", takes: Takes::Switch },
        Flag { name: "prefetch", takes: Takes::Number },
        Flag { name: "digits", takes: Takes::Signed },
    ];

    /// The options as `path=x`, then the words after them; or why there are none.
    fn told(words: &str) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        match read(&FLAGS, &words) {
            Ok(given) => {
                let options = given.values.iter().map(|(name, value)| format!("{name}={value}"));
                let options: Vec<String> = options.collect();
                format!("{} | {}", options.join(" "), given.rest.join(" "))
            }
            Err(Stop::Help) => "help".to_owned(),
            Err(Stop::Wrong(words)) => words,
        }
    }

    #[test]
    fn the_grammar_is_that_of_go() {
        for (words, expected) in [
            ("-path x up", "path=x | up"),
            ("--path=x up -verbose", "path=x | up -verbose"),
            ("-path= up", "path= | up"),
            ("-verbose true", "verbose=true | true"),
            ("-verbose=F up", "verbose=F | up"),
            ("-path a -path b", "path=b | "),
            ("-- -path x", " | -path x"),
            ("- -path x", " | - -path x"),
            ("-path -- up", "path=-- | up"),
            ("-h", "help"),
            ("--help", "help"),
            ("-nope x", "flag provided but not defined: -nope"),
            ("-1", "flag provided but not defined: -1"),
            ("---path x", "bad flag syntax: ---path"),
            ("-=x", "bad flag syntax: -=x"),
            ("-path", "flag needs an argument: -path"),
            ("-prefetch x", "invalid value \"x\" for flag -prefetch: parse error"),
            ("-prefetch -1", "invalid value \"-1\" for flag -prefetch: parse error"),
            (
                "-prefetch 18446744073709551616",
                "invalid value \"18446744073709551616\" for flag -prefetch: value out of range",
            ),
            ("-prefetch 0x10", "prefetch=0x10 | "),
            ("-verbose=maybe", "invalid boolean value \"maybe\" for -verbose: parse error"),
            ("-digits -3", "digits=-3 | "),
        ] {
            assert_eq!(told(words), expected, "{words}");
        }
    }

    #[test]
    fn numbers_are_read_in_gos_bases() {
        assert_eq!(number("0x1F"), Ok(31));
        assert_eq!(number("017"), Ok(15));
        assert_eq!(number("0"), Ok(0));
        assert_eq!(number(""), Err("parse error"));
        assert_eq!(number("é"), Err("parse error"));
        assert_eq!(signed("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(signed("9223372036854775808"), Err("value out of range"));
    }
}
