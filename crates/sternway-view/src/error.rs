//! Errors, as chains of words.

use std::error::Error;

use serde::Serialize;
use sternway_database::{SqlError, in_plain_words};

/// `sternway.error/1`: why a command failed.
#[derive(Debug, Serialize)]
pub struct Failed<'a> {
    /// The causes, the nearest first.
    pub causes: &'a [String],
    /// What was attempted.
    pub error: &'a str,
    /// The exit code of the command.
    pub exit: u8,
    format: &'static str,
    /// What to do about it, where there is something.
    pub hint: Option<&'a str>,
}

impl<'a> Failed<'a> {
    /// The shape of a failure.
    pub fn of(error: &'a str, causes: &'a [String], hint: Option<&'a str>, exit: u8) -> Failed<'a> {
        Failed { causes, error, exit, format: "sternway.error/1", hint }
    }
}

/// An error and the causes below it, in words. Libraries below ours repeat a cause's words in their own;
/// what was said is not said again. A server's words are said in full: whoever is shown them sees what they
/// repeat of rows, and the records do not.
pub fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let (mut all, mut next) = (Vec::<String>::new(), Some(error));
    while let Some(cause) = next {
        let plain = in_plain_words(cause);
        // A driver's error says all that its causes do.
        next = cause.source().filter(|_| plain.is_none());
        let words = match cause.downcast_ref::<SqlError>() {
            Some(error) => error.in_full().to_string(),
            None => plain.unwrap_or_else(|| cause.to_string()),
        };
        if all.last().is_none_or(|said| !said.ends_with(&words)) {
            all.push(words);
        }
    }
    all
}

/// An error and the causes below it, in one line.
pub fn in_a_line(error: &(dyn Error + 'static)) -> String {
    causes(error).join(": ")
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|it| it as _)
        }
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        let below = Layer("no route", Some(Box::new(Layer("route", None))));
        let error = Layer("cannot ask: no route", Some(Box::new(below)));
        let error = Layer("cannot look", Some(Box::new(error)));
        assert_eq!(in_a_line(&error), "cannot look: cannot ask: no route");
    }
}
