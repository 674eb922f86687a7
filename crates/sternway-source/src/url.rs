//! A URL without its secrets, and a text without its escapes.

/// The URL as it may be shown: what stands before the last `@` and what follows `?` is hidden. It
/// hides too much rather than too little, because a password may hold any character. A `file:` URL
/// has no secret and is shown as it is.
pub fn redacted(url: &str) -> String {
    if url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:")) {
        return url.to_owned();
    }
    let shown = match url.rsplit_once('@') {
        None => url.to_owned(),
        Some((before, after)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{after}"),
            None => format!("***@{after}"),
        },
    };
    match shown.split_once('?') {
        None => shown,
        Some((before, query)) => match query.split_once('#') {
            Some((_, fragment)) => format!("{before}?***#{fragment}"),
            None => format!("{before}?***"),
        },
    }
}

/// The text with `%XX` decoded; the text itself if it has an escape that is none, or if the result
/// is not UTF-8.
pub(crate) fn unescaped(text: &str) -> String {
    decode(text.as_bytes()).and_then(|it| String::from_utf8(it).ok()).unwrap_or(text.to_owned())
}

fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte == b'%' {
            let digits = [hex(*rest.next()?)?, hex(*rest.next()?)?];
            decoded.push(digits[0] << 4 | digits[1]);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        let cases = [
            ("github://u:secret@o/r#main", "github://***@o/r#main"),
            ("github://u:sec@ret/x@o/r", "github://***@o/r"),
            ("github-ee://u:s@h/o/r?token=x#v1", "github-ee://***@h/o/r?***#v1"),
            ("u:secret@host", "***@host"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("file:///a@b?c", "file:///a@b?c"),
            ("", ""),
        ];
        for (url, shown) in cases {
            assert_eq!(redacted(url), shown);
        }
    }
}
