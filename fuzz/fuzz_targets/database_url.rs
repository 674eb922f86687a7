//! The URL parsers of every dialect: no panic, and no password in an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sternway_database::dialect::{SCHEMES, check};

/// A word that no parser would say of its own accord.
const PASSWORD: &str = "pQ7zX9wK";

fuzz_target!(|input: (u8, bool, &str)| {
    let (scheme, with_password, rest) = input;
    let scheme = SCHEMES[usize::from(scheme) % SCHEMES.len()];
    let url = match with_password {
        true => format!("{scheme}://me:{PASSWORD}@{rest}"),
        false => format!("{scheme}:{rest}"),
    };
    if let Err(error) = check(&url) {
        assert!(!error.to_string().contains(PASSWORD), "{error}");
    }
});
