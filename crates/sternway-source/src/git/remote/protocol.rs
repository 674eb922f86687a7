//! The second version of git's protocol, as far as reading tags and objects needs it.
//!
//! A message is a series of packets: four hexadecimal digits of length, and what they count. `0000` ends a
//! message and `0001` a part of one (gitprotocol-v2).

use std::fmt::Write;

use gix::ObjectId;

use crate::cache::Id;

const AGENT: &str = concat!("sternway/", env!("CARGO_PKG_VERSION"));

/// A packet of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'m> {
    Data(&'m [u8]),
    /// The end of a part.
    Delimiter,
    /// The end of a message.
    Flush,
}

/// The packets of a message.
pub(super) struct Packets<'m>(pub &'m [u8]);

impl<'m> Iterator for Packets<'m> {
    type Item = Result<Packet<'m>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let packet = packet(self.0);
        self.0 = match &packet {
            Ok((_, rest)) => rest,
            Err(_) => &[],
        };
        Some(packet.map(|(packet, _)| packet))
    }
}

/// The first packet, and what follows it.
fn packet(message: &[u8]) -> Result<(Packet<'_>, &[u8]), String> {
    let wrong = || "something else than packets of git's protocol".to_owned();
    let (digits, rest) = message.split_at_checked(4).ok_or_else(wrong)?;
    let digits = str::from_utf8(digits).map_err(|_| wrong())?;
    match usize::from_str_radix(digits, 16).map_err(|_| wrong())? {
        0 | 2 => Ok((Packet::Flush, rest)),
        1 => Ok((Packet::Delimiter, rest)),
        3 => Err(wrong()),
        length => {
            let cut = || "an answer that breaks off".to_owned();
            let (data, rest) = rest.split_at_checked(length - 4).ok_or_else(cut)?;
            Ok((Packet::Data(data), rest))
        }
    }
}

/// Whether a message that is still coming is whole. Its packets are looked at once each: up to `seen` they were before.
pub(super) fn is_whole(message: &[u8], seen: &mut usize) -> Result<bool, String> {
    while let Some(rest) = message.get(*seen..)
        && let Some(digits) = rest.get(..4)
    {
        match packet(rest) {
            Ok((_, after)) => *seen = message.len() - after.len(),
            Err(_) if rest.len() < MOST && packet_length(digits).is_some() => return Ok(false),
            Err(what) => return Err(what),
        }
        if digits == b"0000" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How long a packet may be.
const MOST: usize = 65_520;

fn packet_length(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(str::from_utf8(digits).ok()?, 16)
        .ok()
        .filter(|it| (4..=MOST).contains(it))
}

/// What a server can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// It sends parts of its history.
    pub filters: bool,
}

/// What a server says at the beginning.
pub(super) fn abilities(message: &[u8]) -> Result<Abilities, String> {
    let mut second = false;
    let mut filters = false;
    for packet in Packets(message) {
        let Packet::Data(line) = packet? else { continue };
        let line = line.trim_ascii_end();
        match line {
            b"version 2" => second = true,
            b"object-format=sha256" => {
                return Err("that its objects have SHA-256 hashes, which this version cannot read"
                    .to_owned());
            }
            _ => {}
        }
        if let Some(fetch) = line.strip_prefix(b"fetch=") {
            filters = fetch.split(|it| *it == b' ').any(|it| it == b"filter");
        }
    }
    if second {
        Ok(Abilities { filters })
    } else {
        Err("in an older version of git's protocol than 2".to_owned())
    }
}

/// A request for something.
struct Request(String);

impl Request {
    fn new(command: &str) -> Request {
        let mut request = Request(String::new());
        for line in [&format!("command={command}"), &format!("agent={AGENT}"), "object-format=sha1"]
        {
            request.line(line);
        }
        request.0.push_str("0001");
        request
    }

    fn line(&mut self, line: &str) {
        // Never fails for a text.
        writeln!(self.0, "{:04x}{line}", line.len() + 5).ok();
    }

    fn finished(mut self) -> Vec<u8> {
        self.0.push_str("0000");
        self.0.into_bytes()
    }
}

/// Asks for all tags.
pub(super) fn tags_request() -> Vec<u8> {
    let mut request = Request::new("ls-refs");
    request.line("peel");
    request.line("ref-prefix refs/tags/");
    request.finished()
}

/// The tags in an answer, with what they lead to.
pub(super) fn tags(message: &[u8]) -> Result<Vec<(String, Id)>, String> {
    let mut tags = Vec::new();
    for packet in Packets(message) {
        let line = match packet? {
            Packet::Data(line) => line.trim_ascii_end(),
            Packet::Flush => return Ok(tags),
            Packet::Delimiter => continue,
        };
        refusal(line)?;
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        let (Some(id), Some(name)) = (words.next(), words.next()) else { return Err(odd()) };
        let peeled = words.find_map(|it| it.strip_prefix("peeled:"));
        let id = ObjectId::from_hex(peeled.unwrap_or(id).as_bytes()).map_err(|_| odd())?;
        if let Some(name) = name.strip_prefix("refs/tags/") {
            tags.push((name.to_owned(), Id(id)));
        }
    }
    Err("a list of tags that breaks off".to_owned())
}

fn odd() -> String {
    "something else than a list of tags".to_owned()
}

/// What a server says where it refuses.
fn refusal(line: &[u8]) -> Result<(), String> {
    match line.strip_prefix(b"ERR ") {
        Some(said) => Err(format!("that it refuses: {}", printable(said))),
        None => Ok(()),
    }
}

fn printable(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    said.trim().chars().filter(|it| !it.is_control()).take(200).collect()
}

/// Asks for objects. Of commits only themselves are wanted, not those before them.
pub(super) fn objects_request(ids: &[ObjectId], of_commits: bool, abilities: Abilities) -> Vec<u8> {
    let mut request = Request::new("fetch");
    request.line("no-progress");
    request.line("ofs-delta");
    if of_commits {
        request.line("deepen 1");
    }
    if abilities.filters {
        // What is asked for by its id comes all the same.
        request.line("filter tree:0");
    }
    for id in ids {
        request.line(&format!("want {id}"));
    }
    request.line("done");
    request.finished()
}

/// The pack in an answer.
pub(super) fn pack(message: &[u8]) -> Result<Vec<u8>, String> {
    let (mut pack, mut inside) = (Vec::new(), false);
    for packet in Packets(message) {
        match packet? {
            Packet::Data(line) if !inside => {
                refusal(line)?;
                inside = line.trim_ascii_end() == b"packfile";
            }
            Packet::Data([1, data @ ..]) => pack.extend_from_slice(data),
            Packet::Data([2, ..]) => {}
            Packet::Data([3, said @ ..]) => {
                return Err(format!("that it failed: {}", printable(said)));
            }
            Packet::Data(_) => return Err("something else than a pack".to_owned()),
            Packet::Delimiter => {}
            Packet::Flush => return Ok(pack),
        }
    }
    Err("a pack that breaks off".to_owned())
}
