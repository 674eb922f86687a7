//! What of a program's words is compared.
//!
//! - What differs between any two runs is replaced: durations, times of day, the names of database
//!   and folder, and the order of the drivers that the usage lists.
//! - Of a usage text only the complaint before it counts, and that it lists the drivers: its wording
//!   is nobody's interface.
//! - An error that a server or its client library words is compared as far as golang-migrate itself
//!   words it: `error: failed to open database: `, `error: migration failed`, or just `error: `.
//!   What PostgreSQL's server says is the same for both, and is compared as well, without the
//!   position. What follows such an error in the output is not: golang-migrate repeats the body.
//! - Sternway may say more: lines that begin with `warning: `, and a clearer end of an error's line.

use super::{Place, Ran};

/// A message in the form to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub lines: Vec<String>,
    /// Whether a usage text that lists the drivers follows.
    pub usage: bool,
}

/// What golang-migrate says, of which a part is a driver's.
pub fn expected(place: &Place, ran: &Ran) -> Message {
    let mut message = plain(place, &ran.stderr);
    if let Some(at) = message.lines.iter().position(|it| class(it).is_some()) {
        let class = class(&message.lines[at]).expect("a class");
        message.lines.truncate(at);
        message.lines.push(class);
    }
    message
}

/// Whether Sternway's words are those that are expected.
pub fn agrees(expected: &Message, place: &Place, ran: &Ran) -> bool {
    let mut message = plain(place, &ran.stderr);
    message.lines.retain(|it| !it.starts_with("warning: "));
    let failed = ran.code != Some(0) && !message.usage;
    let (usage, count) = (message.usage, expected.lines.len());
    let enough = if failed { message.lines.len() >= count } else { message.lines.len() == count };
    let fits = |(ours, theirs): (&String, &String)| {
        ours == theirs || failed && theirs.contains("error: ") && ours.starts_with(theirs.as_str())
    };
    usage == expected.usage && enough && message.lines.iter().zip(&expected.lines).all(fits)
}

/// A message without what differs between any two runs.
pub fn plain(place: &Place, stderr: &str) -> Message {
    let text = stderr.replace(&place.name, "DB");
    let text = text.replace(&place.work().display().to_string(), "DIR");
    let text = undated(&text);
    let lists = text.contains("\nSource drivers: ") && text.contains("\nDatabase drivers: ");
    let mut lines: Vec<String> = text.lines().map(line).collect();
    if let Some(at) = lines.iter().position(|it| it.starts_with("Usage")) {
        lines.truncate(at);
    }
    // golang-migrate reads ahead in other threads, which tell so whenever they come to it.
    let (mut ahead, rest): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|it| it.starts_with("TIME Start buffering") || it.starts_with("TIME Scheduled"));
    ahead.sort();
    ahead.extend(rest);
    Message { lines: ahead, usage: lists }
}

/// A text without numbers that are the current time, as `create` puts them into names.
pub fn undated(text: &str) -> String {
    let mut rest = text;
    let mut undated = String::new();
    while let Some(at) = rest.find(|it: char| it.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let length = from.len() - from.trim_start_matches(|it: char| it.is_ascii_digit()).len();
        let (number, after) = from.split_at(length);
        let timely = match length {
            12 | 14 => number.starts_with("20"),
            10 | 19 => number.starts_with("1"),
            _ => false,
        };
        undated += before;
        undated += if timely { "NOW" } else { number };
        rest = after;
    }
    undated + rest
}

fn line(line: &str) -> String {
    let shape = "dddd/dd/dd dd:dd:dd ";
    let fits =
        |(ours, shape)| if shape == 'd' { char::is_ascii_digit(&ours) } else { ours == shape };
    let timed = line.len() >= shape.len() && line.chars().zip(shape.chars()).all(fits);
    let rest = if timed { &line[shape.len()..] } else { line };
    let mut words: Vec<String> = Vec::new();
    for word in rest.split(' ') {
        let bare = word.trim_start_matches('(').trim_end_matches([')', ',']);
        let after = words.last().is_some_and(|it| ["after", "(read", "ran"].contains(&it.as_str()));
        let told = after || word.starts_with('(') && word.ends_with(')');
        let time = if told && duration(bare) { word.replace(bare, "T") } else { word.to_owned() };
        words.push(time);
    }
    let prefix = if timed { "TIME " } else { "" };
    format!("{prefix}{}", words.join(" "))
}

/// Whether a text is a duration as Go writes it, such as `3.380326ms` or `2m12.1s`.
fn duration(text: &str) -> bool {
    let units = ["ns", "µs", "ms", "s", "m", "h"];
    let mut rest = text.trim_start_matches('-');
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.');
        let unit = units.iter().find_map(|it| number.strip_prefix(it));
        let Some(after) = unit.filter(|_| number.len() < rest.len()) else { return false };
        rest = after;
    }
    !text.is_empty()
}

/// The part of an error that golang-migrate words, if the rest is a driver's.
fn class(line: &str) -> Option<String> {
    let (before, error) = line.split_once("error: ")?;
    let own = if let Some(text) = error.strip_prefix("failed to open database: ") {
        drivers_own(text).then(|| "failed to open database: ".to_owned())?
    } else {
        let (text, _) = error.split_once(" in line ")?;
        let text = text.split(" (column ").next().expect("a part");
        match text.split_once(": ") {
            Some(("migration failed", _)) => text.to_owned(),
            _ if text == "migration failed" => text.to_owned(),
            _ => String::new(),
        }
    };
    Some(format!("{before}error: {own}"))
}

/// Whether the reason that a database did not open is in a driver's or a library's words.
fn drivers_own(text: &str) -> bool {
    let first = [
        "pq: ",
        "dial ",
        "Error ",
        "parse ",
        "invalid DSN",
        "default addr",
        "unable to ",
        "open ",
        "invalid URL escape",
        "file is not a database",
    ];
    let first = first.iter().any(|it| text.starts_with(it));
    first || text.contains(" in line ") || text.contains("SQL logic error")
}
