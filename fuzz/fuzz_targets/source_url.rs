//! The URL parsers of the sources: no panic, and no token in what is shown of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sternway_source::Location;
use sternway_source::files::redacted;

const TOKEN: &str = "pQ7zX9wK";

fuzz_target!(|input: (&str, &str)| {
    let (scheme, rest) = input;
    let _ = format!("{scheme}:{rest}").parse::<Location>();
    // A `file:` URL has no secret and is shown as it is.
    let local = scheme.eq_ignore_ascii_case("file");
    let plain = !local && !scheme.contains(TOKEN) && !rest.contains(TOKEN);
    if plain && !scheme.contains([':', '/', '@', '?', '#']) && !rest.contains(['@', '/']) {
        let shown = redacted(&format!("{scheme}://me:{TOKEN}@{rest}"));
        assert!(!shown.contains(TOKEN), "{shown}");
    }
    let _ = redacted(rest);
});
