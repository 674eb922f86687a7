//! A pack: objects as git sends them, some as what differs from others.
//!
//! A pack from elsewhere is foreign text. What it says of sizes is a limit and never a reason to reserve memory,
//! and an object is who it is by its hash, which is computed here.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::bufread::ZlibDecoder;
use gix::ObjectId;
use gix::objs::Kind;

/// How large one object may be, and how large all objects of a pack together, in bytes.
const LARGEST: usize = 64 << 20;
const ALL: usize = 512 << 20;

/// How long a chain of differences may be; git's own are at most 4,095 long.
const CHAIN: usize = 4_095;

/// Objects by their id.
pub(in crate::git) type Found = BTreeMap<ObjectId, (Kind, Vec<u8>)>;

/// An object of the pack as it is sent.
enum Sent {
    Whole(Kind),
    /// What differs from the object that begins at that byte.
    From(usize),
    /// What differs from the object of that id.
    FromId(ObjectId),
}

/// The objects in a pack. The error says what is wrong with it.
pub(super) fn objects(pack: &[u8]) -> Result<Found, String> {
    let count = match pack {
        [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, a, b, c, d, ..] => {
            u32::from_be_bytes([*a, *b, *c, *d])
        }
        _ => return Err("it does not begin as a pack does".to_owned()),
    };
    let mut sent: BTreeMap<usize, (Sent, Vec<u8>)> = BTreeMap::new();
    let (mut at, mut all) = (12, 0);
    for _ in 0..count {
        let start = at;
        let (how, size) = header(pack, &mut at)?;
        if size > LARGEST {
            return Err(format!(
                "an object in it has {size} bytes, more than {} MB",
                LARGEST >> 20
            ));
        }
        let how = match how {
            1 => Sent::Whole(Kind::Commit),
            2 => Sent::Whole(Kind::Tree),
            3 => Sent::Whole(Kind::Blob),
            4 => Sent::Whole(Kind::Tag),
            6 => Sent::From(start.checked_sub(distance(pack, &mut at)?).ok_or_else(broken)?),
            7 => {
                let id = pack.get(at..at + 20).ok_or_else(broken)?;
                at += 20;
                Sent::FromId(ObjectId::try_from(id).map_err(|_| broken())?)
            }
            _ => return Err(broken()),
        };
        let rest = pack.get(at..).ok_or_else(broken)?;
        let mut decoder = ZlibDecoder::new(rest);
        let mut data = Vec::new();
        // One byte more than it says would be noticed.
        let read = decoder.by_ref().take(size as u64 + 1).read_to_end(&mut data);
        if read.is_err() || data.len() != size {
            return Err(broken());
        }
        at += usize::try_from(decoder.total_in()).map_err(|_| broken())?;
        all += size;
        if all > ALL {
            return Err(format!("its objects have more than {} MB", ALL >> 20));
        }
        sent.insert(start, (how, data));
    }
    Resolved::of(sent, all).map(|it| it.by_id)
}

fn broken() -> String {
    "it is damaged".to_owned()
}

/// The kind and the size that begin at `at`, which moves behind them.
fn header(pack: &[u8], at: &mut usize) -> Result<(u8, usize), String> {
    let mut byte = *pack.get(*at).ok_or_else(broken)?;
    *at += 1;
    let (kind, mut size, mut shift) = (byte >> 4 & 7, usize::from(byte & 15), 4);
    while byte & 0x80 != 0 {
        byte = *pack.get(*at).ok_or_else(broken)?;
        *at += 1;
        let more = usize::from(byte & 0x7f);
        size |= if shift < 57 { more << shift } else { return Err(broken()) };
        shift += 7;
    }
    Ok((kind, size))
}

/// How far back the base of a difference begins.
fn distance(pack: &[u8], at: &mut usize) -> Result<usize, String> {
    let mut distance = 0_usize;
    for step in 0..9 {
        let byte = *pack.get(*at).ok_or_else(broken)?;
        *at += 1;
        distance = (if step == 0 { 0 } else { distance + 1 }) << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok(distance);
        }
    }
    Err(broken())
}

/// Objects whose differences were applied.
#[derive(Default)]
struct Resolved {
    by_id: Found,
    ids: BTreeMap<usize, ObjectId>,
}

impl Resolved {
    fn of(sent: BTreeMap<usize, (Sent, Vec<u8>)>, mut all: usize) -> Result<Resolved, String> {
        let mut resolved = Resolved::default();
        let mut waiting = Vec::new();
        for (start, (how, data)) in sent {
            match how {
                Sent::Whole(kind) => resolved.add(start, kind, data)?,
                how => waiting.push((start, how, data)),
            }
        }
        // Each turn resolves at least what is one difference further from a whole object.
        for _ in 0..CHAIN {
            if waiting.is_empty() {
                return Ok(resolved);
            }
            let mut left = Vec::new();
            for (start, how, delta) in waiting {
                let base = match &how {
                    Sent::From(base) => resolved.ids.get(base).copied(),
                    Sent::FromId(id) => Some(*id),
                    Sent::Whole(_) => None,
                };
                match base.and_then(|id| resolved.by_id.get(&id)) {
                    Some((kind, base)) => {
                        let (kind, data) = (*kind, applied(base, &delta)?);
                        all += data.len();
                        if all > ALL {
                            return Err(format!("its objects have more than {} MB", ALL >> 20));
                        }
                        resolved.add(start, kind, data)?;
                    }
                    None => left.push((start, how, delta)),
                }
            }
            waiting = left;
        }
        Err("it lacks what an object in it differs from".to_owned())
    }

    fn add(&mut self, start: usize, kind: Kind, data: Vec<u8>) -> Result<(), String> {
        let id =
            gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, &data).map_err(|_| broken())?;
        self.ids.insert(start, id);
        self.by_id.insert(id, (kind, data));
        Ok(())
    }
}

/// The object that a difference makes of its base.
fn applied(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, String> {
    let mut rest = delta.iter();
    let mut next = || rest.next().copied().ok_or_else(broken);
    let mut length = || -> Result<usize, String> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = next()?;
            length |=
                if shift < 57 { usize::from(byte & 0x7f) << shift } else { return Err(broken()) };
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
    };
    let (from, to) = (length()?, length()?);
    if from != base.len() || to > LARGEST {
        return Err(broken());
    }
    let mut made = Vec::new();
    while let Some(&op) = rest.next() {
        if op & 0x80 != 0 {
            let (mut offset, mut size) = (0, 0);
            for bit in 0..7 {
                if op >> bit & 1 == 1 {
                    let byte = usize::from(*rest.next().ok_or_else(broken)?);
                    if bit < 4 {
                        offset |= byte << (8 * bit)
                    } else {
                        size |= byte << (8 * (bit - 4))
                    }
                }
            }
            let size = if size == 0 { 0x10000 } else { size };
            made.extend_from_slice(base.get(offset..offset + size).ok_or_else(broken)?);
        } else {
            let size = usize::from(op);
            let added = rest.as_slice().get(..size).filter(|_| size > 0).ok_or_else(broken)?;
            made.extend_from_slice(added);
            rest = rest.as_slice()[size..].iter();
        }
        if made.len() > to {
            return Err(broken());
        }
    }
    if made.len() == to { Ok(made) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    /// A pack with a blob of ten bytes, and one that differs from it.
    fn pack() -> Vec<u8> {
        let whole = [&[0x3a][..], &packed(b"0123456789")].concat();
        // Ten bytes into twelve: five copied from the third on, seven added.
        let delta = [&[10, 12, 0x91, 3, 5, 7][..], b"abcdefg"].concat();
        let back = u8::try_from(whole.len()).expect("a short pack");
        let other =
            [&[0x60 | u8::try_from(delta.len()).expect("short"), back][..], &packed(&delta)]
                .concat();
        [b"PACK\0\0\0\x02\0\0\0\x02", &whole[..], &other].concat()
    }

    #[test]
    fn what_differs_is_made_whole() {
        let found = objects(&pack()).expect("a pack");
        let texts: Vec<&[u8]> = found.values().map(|(_, data)| &**data).collect();
        assert!(
            texts.contains(&&b"0123456789"[..]) && texts.contains(&&b"34567abcdefg"[..]),
            "{texts:?}"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_ends(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..90_usize, bit in 0..8_u8) {
            drop(objects(&bytes));
            drop(objects(&[b"PACK\0\0\0\x02\0\0\0\x03", &bytes[..]].concat()));
            let mut changed = pack();
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            drop(objects(&changed));
            drop(applied(b"0123456789", &bytes));
            drop(super::super::protocol::tags(&bytes));
            drop(super::super::protocol::abilities(&bytes));
            drop(super::super::protocol::pack(&bytes));
            drop(super::super::protocol::is_whole(&bytes, &mut 0));
        }
    }
}
