//! Keeps passwords out of what is shown.

/// Puts stars in the place of every password, and keeps the length: those in a URL, and whatever
/// follows `password =` on its line.
pub fn redact(text: &str) -> String {
    text.split_inclusive('\n').map(|line| assignments(&urls(line))).collect()
}

/// Whether there is a password in a URL.
pub fn holds_password(url: &str) -> bool {
    redact(url) != url
}

fn urls(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        redacted.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`".contains(c));
        let (url, others) = after.split_at(end.unwrap_or(after.len()));
        // The last @: a password may contain one that nobody escaped.
        let host = url.rfind('@').unwrap_or(0);
        match url[..host].find(':') {
            Some(colon) => {
                redacted.push_str(&url[..=colon]);
                redacted.push_str(&stars(&url[colon + 1..host]));
                redacted.push_str(&url[host..]);
            }
            None => redacted.push_str(url),
        }
        rest = others;
    }
    redacted.push_str(rest);
    redacted
}

/// `password = "…"` in a file and `?password=…` in a URL; `password_command` too.
fn assignments(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let key = lower.find("password").map(|at| at + "password".len());
    let Some(sign) = key.and_then(|at| Some(at + lower[at..].find('=')?)) else {
        return line.to_owned();
    };
    let (before, value) = line.split_at(sign + 1);
    let quote = |c: char| c.is_whitespace() || "\"'".contains(c);
    let inner = value.trim_matches(quote);
    let start = value.len() - value.trim_start_matches(quote).len();
    let end = start + inner.len();
    format!("{before}{}{}{}", &value[..start], stars(inner), &value[end..])
}

fn stars(secret: &str) -> String {
    "*".repeat(secret.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let redacted = redact(text);
        assert_eq!(redacted.len(), text.len());
        assert_eq!(redacted, expected);
    }

    #[test]
    fn passwords_in_urls_are_starred_and_positions_kept() {
        check(
            "url = \"postgres://me:p@ss/wörd@h/db\" # and http://x/y",
            "url = \"postgres://me:**********@h/db\" # and http://x/y",
        );
        check("postgres://h/db?password=p&a=b", "postgres://h/db?password=*****");
        check("postgres://me@h/db?sslmode=require", "postgres://me@h/db?sslmode=require");
    }

    #[test]
    fn passwords_under_a_key_are_starred() {
        check(
            "[database]\nPassword = \"s3 cret\"\nurl_file = \"x\"\n",
            "[database]\nPassword = \"*******\"\nurl_file = \"x\"\n",
        );
        check("password_command = 'cat x'", "password_command = '*****'");
        check("unknown field `password`, expected", "unknown field `password`, expected");
    }
}
