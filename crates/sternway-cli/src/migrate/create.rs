//! `create`: two empty files for a new migration.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::flags::{Flag, Takes};
use super::layout;
use sternway_model::catalog::FileName;

/// The options of `create`.
pub const FLAGS: [Flag; 7] = [
    Flag { name: "ext", takes: Takes::Text },
    Flag { name: "dir", takes: Takes::Text },
    Flag { name: "seq", takes: Takes::Switch },
    Flag { name: "digits", takes: Takes::Signed },
    Flag { name: "format", takes: Takes::Text },
    Flag { name: "tz", takes: Takes::Text },
    Flag { name: "help", takes: Takes::Switch },
];

/// How golang-migrate writes the time where nothing is said.
pub const DEFAULT_FORMAT: &str = "20060102150405";

/// What to make.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The folder; empty is this one.
    pub dir: &'a str,
    /// The extension, with or without its point.
    pub ext: &'a str,
    /// The title.
    pub name: &'a str,
    /// A sequence number of so many digits, in place of the time.
    pub sequence: Option<i64>,
    /// How the time is written.
    pub format: &'a str,
    /// The zone of the time.
    pub zone: &'a str,
}

/// Makes both files, the one that goes up first, and returns their paths; both or none.
///
/// # Errors
/// In golang-migrate's words, its prefix `error: ` among them where it has one.
pub fn create(wanted: &Wanted<'_>, now: Timestamp) -> Result<[PathBuf; 2], String> {
    let error = |text: String| format!("error: {text}");
    if wanted.ext.is_empty() {
        return Err(error("-ext flag must be specified".to_owned()));
    }
    let ext = wanted.ext.strip_prefix('.').unwrap_or(wanted.ext);
    let zone = zone(wanted.zone)?;
    if wanted.sequence.is_some() && wanted.format != DEFAULT_FORMAT {
        return Err(error("The seq and format options are mutually exclusive".to_owned()));
    }
    let dir = clean(wanted.dir);
    let there = names(&dir, ext).map_err(|cause| error(shown("open", &dir, &cause)))?;
    let version = match wanted.sequence {
        Some(digits) => next(&dir, &there, digits).map_err(error)?,
        None => time(&now.to_zoned(zone), wanted.format).map_err(error)?,
    };
    let taken = |name: &String| name.split_once('_').is_some_and(|(number, _)| number == version);
    if there.iter().any(taken) {
        return Err(error(format!("duplicate migration version: {version}")));
    }
    if let Some(file) = dir.ancestors().find(|it| it.exists() && !it.is_dir()) {
        return Err(error(format!("mkdir {}: not a directory", file.display())));
    }
    fs::create_dir_all(&dir).map_err(|cause| error(shown("mkdir", &dir, &cause)))?;
    let path = |direction: &str| dir.join(format!("{version}_{}.{direction}.{ext}", wanted.name));
    let [up, down] = [path("up"), path("down")];
    make(&up).map_err(error)?;
    if let Err(cause) = make(&down) {
        // Half a pair is worse than none.
        let _ = fs::remove_file(&up);
        return Err(error(cause));
    }
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok([absolute(&up), absolute(&down)])
}

/// A path without `.`, `..` after a name, and doubled slashes, as Go's `filepath.Clean` leaves it.
fn clean(dir: &str) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in Path::new(dir).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(cleaned.components().next_back(), Some(Component::Normal(_))) =>
            {
                cleaned.pop();
            }
            Component::ParentDir if cleaned.has_root() => {}
            part => cleaned.push(part),
        }
    }
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

/// The names of the folder's files that have this extension, sorted.
fn names(dir: &Path, ext: &str) -> io::Result<Vec<String>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // It is about to be made, or cannot be.
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let ending = format!(".{ext}");
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(&ending)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The number after the highest one. golang-migrate takes the number of the last name, which is
/// another where widths are mixed, and fails where a file that is no migration comes last.
fn next(dir: &Path, names: &[String], digits: i64) -> Result<String, String> {
    if digits <= 0 {
        return Err("Digits must be positive".to_owned());
    }
    let mut highest = None;
    for name in names {
        let number = match FileName::parse(name) {
            Some(name) => name.version,
            // A name that only golang-migrate's `create` would look at counts where it is last.
            None if Some(name) == names.last() => number_of(dir, name)?,
            None => continue,
        };
        highest = highest.max(Some(number));
    }
    let next = highest.map_or(Some(1), |it| it.checked_add(1)).unwrap_or(u64::MAX).to_string();
    let width = usize::try_from(digits).unwrap_or(usize::MAX).min(20);
    if next.len() > width && digits < 20 {
        return Err(format!(
            "Next sequence number {next} too large. At most {digits} digits are allowed"
        ));
    }
    Ok(format!("{next:0>width$}"))
}

fn number_of(dir: &Path, name: &str) -> Result<u64, String> {
    let number = match name.split_once('_') {
        Some((number, _)) if !number.is_empty() => number,
        _ => {
            let path = if dir == Path::new(".") { PathBuf::from(name) } else { dir.join(name) };
            return Err(format!("Malformed migration filename: {}", path.display()));
        }
    };
    let cause = match number.parse::<u64>() {
        Ok(parsed) if !number.starts_with('+') => return Ok(parsed),
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => "value out of range",
        Ok(_) | Err(_) => "invalid syntax",
    };
    Err(format!("strconv.ParseUint: parsing {number:?}: {cause}"))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        _ => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
    }
}

fn time(now: &Zoned, format: &str) -> Result<String, String> {
    match format {
        "" => Err("Time format may not be empty".to_owned()),
        "unix" => Ok(now.timestamp().as_second().to_string()),
        "unixNano" => Ok(now.timestamp().as_nanosecond().to_string()),
        _ => Ok(layout::format(now, format)),
    }
}

fn make(path: &Path) -> Result<(), String> {
    let file = fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.map(drop).map_err(|cause| shown("open", path, &cause))
}

/// An error as Go's `os.PathError` shows it.
fn shown(doing: &str, path: &Path, cause: &io::Error) -> String {
    // Go has the system's words in small letters, and no number.
    let words = cause.to_string();
    let words = words.split(" (os error ").next().unwrap_or_default();
    let mut letters = words.chars();
    let first = letters.next().map(|it| it.to_ascii_lowercase());
    let words: String = first.into_iter().chain(letters).collect();
    format!("{doing} {}: {words}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(names: &[&str], digits: i64) -> Result<String, String> {
        next(Path::new("m"), &names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), digits)
    }

    #[test]
    fn the_next_number_is_golang_migrates() {
        let next = |names: &[&str], digits| next_of(names, digits).unwrap_or_else(|error| error);
        assert_eq!(next(&[], 1), "1");
        assert_eq!(next(&["3_test.up.sql", "4_test.up.sql"], 1), "5");
        assert!(next(&["9_test.up.sql"], 1).starts_with("Next sequence number 10 too large"));
        assert_eq!(next(&[], 6), "000001");
        assert_eq!(next(&["000003_test.up.sql", "000004_test.up.sql"], 6), "000005");
        assert!(next(&["999999_test.up.sql"], 6).contains("1000000 too large"));
        assert_eq!(next(&["bad"], 6), "Malformed migration filename: m/bad");
        assert!(next(&["bad_bad"], 6).contains("parsing \"bad\": invalid syntax"));
        assert!(next(&["-5_test"], 6).contains("parsing \"-5\": invalid syntax"));
        assert_eq!(next(&["1_a.up.sql"], 0), "Digits must be positive");
        assert_eq!(next(&["1_a.up.sql"], -1), "Digits must be positive");
        assert_eq!(next(&["18446744073709551614_a.up.sql"], i64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn widths_may_be_mixed() {
        assert_eq!(
            next_of(&["000001_a.up.sql", "000003_c.up.sql", "002_b.up.sql"], 2),
            Ok("04".to_owned())
        );
    }

    #[test]
    fn paths_are_cleaned_by_their_letters() {
        for (dir, expected) in [
            ("", "."),
            (".", "."),
            ("./", "."),
            ("a/b/../c/", "a/c"),
            ("..", ".."),
            ("../a/..", ".."),
            ("/a//b", "/a/b"),
            ("/..", "/"),
            ("./a/./b", "a/b"),
        ] {
            assert_eq!(clean(dir), Path::new(expected), "{dir}");
        }
    }
}
