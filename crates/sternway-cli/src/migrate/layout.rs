//! Go's way to lay out a time: by showing how the second of January 2006, 15:04:05, would look.
//!
//! The source is the documentation of Go's package `time`.

use jiff::Zoned;

/// The pieces of a layout, those first that begin like others.
const PIECES: [&str; 37] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "__2",
    "_2",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "1",
    "2",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    ".000",
    ",000",
    ".999",
    ",999",
];

/// Writes `time` as `layout` shows it.
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let length = match piece(rest) {
            Some((piece, length)) => {
                text.push_str(&shown(time, piece));
                length
            }
            None => {
                text.push(first);
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    text
}

/// The piece that `text` begins with, and how much of it that is.
fn piece(text: &str) -> Option<(&str, usize)> {
    // A fraction of a second is a point and as many zeros or nines as wanted, and no digit more.
    if text.starts_with(['.', ',']) {
        let digit = text[1..].chars().next().filter(|it| matches!(it, '0' | '9'))?;
        let length = 1 + text[1..].chars().take_while(|it| *it == digit).count();
        let followed = text[length..].starts_with(|it: char| it.is_ascii_digit());
        return (!followed).then(|| (&text[..length], length));
    }
    let known = PIECES.iter().find(|piece| text.starts_with(**piece))?;
    // `Jan` begins words of its own too: Go wants no small letter after it.
    let word = matches!(*known, "Jan" | "Mon");
    let followed = text[known.len()..].starts_with(|it: char| it.is_ascii_lowercase());
    (!(word && followed)).then(|| (&text[..known.len()], known.len()))
}

fn shown(time: &Zoned, piece: &str) -> String {
    let hour = time.hour();
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let strftime = |how: &str| time.strftime(how).to_string();
    match piece {
        "January" => strftime("%B"),
        "Jan" => strftime("%b"),
        "Monday" => strftime("%A"),
        "Mon" => strftime("%a"),
        "MST" => strftime("%Z"),
        "2006" => format!("{:04}", time.year()),
        "06" => format!("{:02}", time.year().rem_euclid(100)),
        "__2" => format!("{:>3}", time.day_of_year()),
        "002" => format!("{:03}", time.day_of_year()),
        "_2" => format!("{:>2}", time.day()),
        "01" => format!("{:02}", time.month()),
        "02" => format!("{:02}", time.day()),
        "03" => format!("{twelve:02}"),
        "04" => format!("{:02}", time.minute()),
        "05" => format!("{:02}", time.second()),
        "15" => format!("{hour:02}"),
        "1" => time.month().to_string(),
        "2" => time.day().to_string(),
        "3" => twelve.to_string(),
        "4" => time.minute().to_string(),
        "5" => time.second().to_string(),
        "PM" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        "pm" => if hour < 12 { "am" } else { "pm" }.to_owned(),
        _ if piece.starts_with(['Z', '-']) => offset(time, piece),
        _ => fraction(time, piece),
    }
}

/// The distance from UTC, such as `+02:00`; `Z` for none where the layout has a `Z`.
fn offset(time: &Zoned, piece: &str) -> String {
    let seconds = time.offset().seconds();
    if seconds == 0 && piece.starts_with('Z') {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let colon = if piece.contains(':') { ":" } else { "" };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match piece.chars().filter(char::is_ascii_digit).count() {
        2 => format!("{sign}{hours:02}"),
        4 => format!("{sign}{hours:02}{colon}{minutes:02}"),
        _ => format!("{sign}{hours:02}{colon}{minutes:02}{colon}{seconds:02}"),
    }
}

/// A fraction of a second; nines leave zeros at the end out.
fn fraction(time: &Zoned, piece: &str) -> String {
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let wanted = (piece.len() - 1).min(9);
    let digits = &nanos[..wanted];
    let digits = if piece.ends_with('9') { digits.trim_end_matches('0') } else { digits };
    if digits.is_empty() { String::new() } else { format!("{}{digits}", &piece[..1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_look_as_in_go() {
        let time = jiff::civil::date(2000, 12, 25).at(0, 1, 2, 30_000_000);
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time");
        for (layout, expected) in [
            ("20060102150405", "20001225000102"),
            ("2006-01-02T15:04:05Z07:00", "2000-12-25T00:01:02Z"),
            ("Mon Jan _2 3:04PM 2006", "Mon Dec 25 12:01AM 2000"),
            ("002 06 1 2 5", "360 00 12 25 2"),
            ("05.000", "02.030"),
            ("05.999", "02.03"),
            ("-0700", "+0000"),
            ("zz", "zz"),
            ("é2006", "é2000"),
            ("", ""),
        ] {
            assert_eq!(format(&time, layout), expected, "{layout}");
        }
    }
}
