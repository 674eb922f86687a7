//! Releases in the text of a command.

use sternway_model::catalog::Release;

/// The command with `{version}` and `{from}` put in. A shell's `${version}` is the shell's.
pub(super) fn filled(
    command: &str,
    version: &Release,
    from: Option<&Release>,
) -> Result<String, String> {
    let mut text = String::with_capacity(command.len());
    let mut rest = command;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let whole = !before.ends_with('$');
        if let Some(after) = after.strip_prefix("{version}").filter(|_| whole) {
            text.push_str(&word(version)?);
            rest = after;
        } else if let Some(after) = after.strip_prefix("{from}").filter(|_| whole) {
            let from = from.ok_or("the release that {from} stands for is not known")?;
            text.push_str(&word(from)?);
            rest = after;
        } else {
            text.push('{');
            rest = &after[1..];
        }
    }
    text.push_str(rest);
    Ok(text)
}

/// What a command finds in its environment.
pub(super) fn variables(version: &Release, from: Option<&Release>) -> Vec<(&'static str, String)> {
    let version = ("STERNWAY_VERSION", version.to_string());
    let from = from.map(|from| ("STERNWAY_FROM", from.to_string()));
    [version].into_iter().chain(from).collect()
}

/// A release as a word that means nothing else to a shell, inside quotes or outside.
fn word(release: &Release) -> Result<String, String> {
    let text = release.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-+".contains(c);
    match text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_digit()) {
        true => Ok(text),
        false => Err(format!("release `{text}` has characters that a shell may take for its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &str, expected: Result<&str, &str>) {
        let version = "1.2.3-rc.1+b5".parse().expect("a release");
        let from: Release = "1.3.0".parse().expect("a release");
        let known = filled(command, &version, Some(&from));
        assert_eq!(known.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn placeholders_are_filled_and_what_is_the_shells_is_left() {
        check("get {version} for {from}", Ok("get 1.2.3-rc.1+b5 for 1.3.0"));
        check("'{version}' \"{version}\"", Ok("'1.2.3-rc.1+b5' \"1.2.3-rc.1+b5\""));
        check("echo ${version} {versions} { x; } é{", Ok("echo ${version} {versions} { x; } é{"));
        check("{{version}}", Ok("{1.2.3-rc.1+b5}"));
    }

    #[test]
    fn a_release_that_is_not_known_is_not_left_empty() {
        let version = "1.2.3".parse().expect("a release");
        assert!(filled("rm -r /srv/{from}", &version, None).is_err());
    }
}
