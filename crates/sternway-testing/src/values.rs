//! Values of any type, as text that the server reads: ordinary ones and those at the edges.

use std::collections::BTreeMap;

use crate::fill::{constants, fitting};
use crate::random::Random;
use crate::tables::{Column, Table, Type};

/// What texts are made of.
const WORDS: [&str; 24] = [
    "",
    " ",
    "a",
    "harbour",
    "O'Hara",
    "back\\slash",
    "two\nlines",
    "tab\tand\r\nreturn",
    "\"quoted\"",
    "'; DROP TABLE it; --",
    "$$ $1 %s {} ${HOME}",
    "NULL",
    "\\N",
    "\\.",
    "{a,b}",
    "(1,2)",
    "e\u{301}\u{308}",
    "\u{1f469}\u{200d}\u{1f4bb}\u{1f1f5}\u{1f1f1}",
    "\u{feff}mark",
    "\u{5d0}\u{202e}abc",
    "\u{10ffff}",
    "Stra\u{df}e \u{130}i",
    "\u{6f22}\u{5b57}",
    " trailing ",
];

/// How large and how strange values are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The column is indexed, so that it cannot hold a long value.
    pub short: bool,
    /// One value in so many is larger than a page.
    pub large: usize,
    /// It is a part of another value, where nothing can be filtered.
    pub part: bool,
}

impl Style {
    /// How a column's values are.
    pub fn of(table: &Table, column: &Column, large: usize) -> Style {
        Style { short: table.is_indexed(column.number), large, part: false }
    }
}

/// Makes values.
pub(crate) struct Values<'a> {
    types: BTreeMap<i64, &'a Type>,
}

impl<'a> Values<'a> {
    pub fn new(types: BTreeMap<i64, &'a Type>) -> Values<'a> {
        Values { types }
    }

    /// What a domain narrows in the end, with its modifier, or the type itself.
    pub fn base(&self, mut kind: i64, mut modifier: i32) -> (i64, i32) {
        while let Some(it) = self.types.get(&kind).filter(|it| it.kind == "d") {
            (kind, modifier) = (it.of, it.of_modifier);
        }
        (kind, modifier)
    }

    /// What a domain narrows in the end, in the server's words.
    pub fn words(&self, mut kind: i64) -> Option<&str> {
        let mut words = None;
        while let Some(it) = self.types.get(&kind).filter(|it| it.kind == "d") {
            words = it.of_words.as_deref();
            kind = it.of;
        }
        words
    }

    /// The checks of a domain and of those that it is made of.
    pub fn checks(&self, mut kind: i64) -> Vec<&str> {
        let mut checks = Vec::new();
        while let Some(it) = self.types.get(&kind).filter(|it| it.kind == "d") {
            checks.extend(it.checks.iter().map(String::as_str));
            kind = it.of;
        }
        checks
    }

    /// Whether a domain takes no null.
    pub fn not_null(&self, mut kind: i64) -> bool {
        while let Some(it) = self.types.get(&kind).filter(|it| it.kind == "d") {
            if it.not_null {
                return true;
            }
            kind = it.of;
        }
        false
    }

    /// The name of a type without its modifier; what a domain narrows.
    pub fn name(&self, kind: i64) -> &str {
        let (kind, _) = self.base(kind, -1);
        self.types.get(&kind).map_or("", |it| it.name.as_str())
    }

    /// Whether a text is a value of this enumeration.
    pub fn is_label(&self, kind: i64, text: &str) -> bool {
        let (kind, _) = self.base(kind, -1);
        self.types.get(&kind).is_some_and(|it| it.labels.iter().any(|label| label == text))
    }

    /// A value; `None` where the type is not known.
    pub fn any(
        &self,
        random: &mut Random,
        kind: i64,
        modifier: i32,
        style: Style,
    ) -> Option<String> {
        let checks = self.checks(kind);
        let (kind, modifier) = self.base(kind, modifier);
        let it = self.types.get(&kind)?;
        if !checks.is_empty() {
            let named = checks.iter().flat_map(|check| constants(check));
            let named = fitting(self, kind, named.collect());
            if let (Some(named), false) = (random.choose(&named), !style.part && random.once_in(3))
            {
                return Some(named.clone());
            }
        }
        if it.element != 0 {
            return Some(self.array(random, it.element, modifier, style));
        }
        match it.kind.as_str() {
            "e" => random.choose(&it.labels).cloned(),
            "c" => Some(self.composite(random, it, style)),
            "r" => Some(self.range(random, it.of)),
            "m" => Some(format!("{{{}}}", self.range(random, it.of))),
            _ => plain(random, &it.name, modifier, style),
        }
    }

    fn array(&self, random: &mut Random, element: i64, modifier: i32, style: Style) -> String {
        let long = if random.once_in(style.large * 4) && !style.short { 400 } else { 4 };
        let elements = (0..random.below(long)).map(|_| match random.once_in(6) {
            true => "NULL".to_owned(),
            false => {
                let style = Style { short: true, part: true, ..style };
                let value = self.any(random, element, modifier, style);
                value.map_or("NULL".to_owned(), |it| in_quotes(&it))
            }
        });
        format!("{{{}}}", elements.collect::<Vec<_>>().join(","))
    }

    fn composite(&self, random: &mut Random, of: &Type, style: Style) -> String {
        let style = Style { part: true, ..style };
        let parts = of.attributes.iter().map(|part| match random.once_in(6) {
            true => String::new(),
            false => {
                let value = self.any(random, part.kind, part.modifier, style);
                value.map_or(String::new(), |it| in_quotes(&it))
            }
        });
        format!("({})", parts.collect::<Vec<_>>().join(","))
    }

    fn range(&self, random: &mut Random, of: i64) -> String {
        let whole = random.between(-1000, 1000);
        let (from, to) = match self.name(of) {
            "date" => ("2024-02-29".to_owned(), format!("2025-0{}-01", random.between(1, 9))),
            "timestamp" | "timestamptz" => {
                ("2024-02-29 00:00:00".to_owned(), "2025-03-01 12:00:00.5".to_owned())
            }
            _ => (whole.to_string(), (whole + random.between(1, 99)).to_string()),
        };
        match random.below(6) {
            0 => "empty".to_owned(),
            1 => format!("({from},)"),
            2 => format!("(,{to}]"),
            3 => format!("({from},{to}]"),
            _ => format!("[{from},{to})"),
        }
    }
}

/// A part of an array or of a composite value.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value of a type that is made of no other.
fn plain(random: &mut Random, name: &str, modifier: i32, style: Style) -> Option<String> {
    let one_of = |random: &mut Random, from: &[&str]| Some((*random.pick(from)).to_owned());
    let length = usize::try_from(modifier).ok();
    Some(match name {
        "bool" => random.pick(&["true", "false"]).to_string(),
        "int2" => integer(random, i64::from(i16::MIN), i64::from(i16::MAX)),
        "int4" => integer(random, i64::from(i32::MIN), i64::from(i32::MAX)),
        "int8" => integer(random, i64::MIN, i64::MAX),
        "oid" | "xid" | "cid" => random.between(1, i64::from(u32::MAX)).to_string(),
        "float4" | "float8" => float(random, name == "float4"),
        "numeric" => numeric(random, modifier),
        "money" => format!("{}.{:02}", random.between(-9999, 9999), random.below(100)),
        "xml" => return one_of(random, &["<a/>", "<a b=\"1\">\u{e9}</a>"]),
        "text" | "citext" => text(random, None, style),
        "varchar" | "bpchar" => text(random, length.map(|it| it.saturating_sub(4)), style),
        "name" => text(random, Some(15), style),
        "char" => return one_of(random, &["a", "Z", "0", " "]),
        "uuid" => {
            let (a, b) = (random.number(), random.number());
            let hex = format!("{a:016x}{b:016x}");
            let (one, two, three) = (&hex[..8], &hex[8..12], &hex[12..16]);
            format!("{one}-{two}-{three}-{}-{}", &hex[16..20], &hex[20..])
        }
        "bytea" => bytes(random, style),
        "json" | "jsonb" => json(random, name == "jsonb", style),
        "jsonpath" => return one_of(random, &["$.a", "$[*]", "$.\"b c\" ? (@ > 1)"]),
        "date" => match random.below(12) {
            0 => "infinity".to_owned(),
            1 => "-infinity".to_owned(),
            2 => "0044-03-15 BC".to_owned(),
            _ => date(random),
        },
        "timestamp" | "timestamptz" => match random.below(12) {
            0 => "infinity".to_owned(),
            1 => "-infinity".to_owned(),
            2 => "0001-01-01 00:00:00.000001 BC".to_owned(),
            3 => "1999-12-31 23:59:59.999999".to_owned(),
            _ => format!("{} {}", date(random), time(random)),
        },
        "time" => match random.once_in(10) {
            true => "24:00:00".to_owned(),
            false => time(random),
        },
        "timetz" => format!("{}{:+03}", time(random), random.between(-15, 15)),
        "interval" => match random.below(8) {
            0 => "00:00:00".to_owned(),
            1 => "-00:00:00.000001".to_owned(),
            2 => "1 mon -1 day 00:00:01".to_owned(),
            _ => format!(
                "{} years {} mons {} days {}",
                random.between(-999, 999),
                random.between(-11, 11),
                random.between(-40, 40),
                time(random)
            ),
        },
        "bit" => bits(random, length.unwrap_or(1)),
        "varbit" => {
            let many = random.below(length.unwrap_or(20) + 1);
            bits(random, many)
        }
        "inet" => match random.below(4) {
            0 => return one_of(random, &["::1", "0.0.0.0", "::ffff:1.2.3.4", "fe80::1/64"]),
            _ => format!("10.{}.{}.1/24", random.below(256), random.below(256)),
        },
        "cidr" => format!("10.{}.0.0/16", random.below(256)),
        "macaddr" => format!("08:00:2b:01:02:{:02x}", random.below(256)),
        "macaddr8" => format!("08:00:2b:ff:fe:01:02:{:02x}", random.below(256)),
        "point" => point(random),
        "lseg" => format!("[{},{}]", point(random), point(random)),
        "box" => format!("{},{}", point(random), point(random)),
        "path" => format!("[{},{},{}]", point(random), point(random), point(random)),
        "polygon" => format!("({},{},{})", point(random), point(random), point(random)),
        "circle" => format!("<{},{}>", point(random), random.below(100)),
        "line" => format!("{{1,{},{}}}", random.between(-9, 9), random.between(-9, 9)),
        "tsvector" => return one_of(random, &["", "'a':1 'b':2A", "'it''s' 'x y':3"]),
        "tsquery" => return one_of(random, &["'a' & 'b'", "!'x' | 'y':*", "'a' <-> 'b'"]),
        "pg_lsn" => format!("{:X}/{:X}", random.below(99), random.below(1 << 30)),
        "vector" | "halfvec" => {
            let many = length.unwrap_or(3);
            let zero = random.once_in(40);
            let one = |random: &mut Random| match zero {
                true => "0".to_owned(),
                false => format!("{:.5}", random.between(-99_999, 99_999) as f64 / 100_000.0),
            };
            let parts: Vec<String> = (0..many).map(|_| one(random)).collect();
            format!("[{}]", parts.join(","))
        }
        "sparsevec" => format!("{{1:0.5}}/{}", length.unwrap_or(3)),
        "regclass" => return one_of(random, &["pg_class", "pg_type"]),
        _ => return None,
    })
}

fn integer(random: &mut Random, from: i64, to: i64) -> String {
    match random.below(12) {
        0 => from,
        1 => to,
        2 => 0,
        3..=7 => random.between(-99, 9_999),
        _ => random.between(from, to),
    }
    .to_string()
}

fn float(random: &mut Random, single: bool) -> String {
    let edges = ["NaN", "Infinity", "-Infinity", "-0", "0", "1e-30", "0.1", "3.4e38"];
    let number = f64::from_bits(random.number());
    match random.below(4) {
        0 => (*random.pick(&edges)).to_owned(),
        1 if single => format!("{:e}", random.between(-99_999_999, 99_999_999) as f32 / 7.0),
        1 if number.is_finite() && number.abs() > 1e-300 => format!("{number:e}"),
        _ => format!("{}", random.between(-9_999, 9_999) as f64 / 8.0),
    }
}

fn numeric(random: &mut Random, modifier: i32) -> String {
    if random.once_in(12) {
        return "NaN".to_owned();
    }
    let (whole, places) = if modifier < 4 {
        (random.below(25), random.below(20))
    } else {
        let (precision, scale) = ((modifier - 4) >> 16, (modifier - 4) & 0x7ff);
        let whole = usize::try_from(precision - scale).unwrap_or(0);
        (random.below(whole + 1), usize::try_from(scale).unwrap_or(0))
    };
    let digits = |random: &mut Random, many: usize| -> String {
        (0..many).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
    };
    let (whole, after) = (digits(random, whole), digits(random, places));
    let sign = if random.once_in(3) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { &whole };
    if after.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{after}") }
}

fn text(random: &mut Random, length: Option<usize>, style: Style) -> String {
    if !style.short && length.is_none() && random.once_in(style.large) {
        // Nothing that a compression would make small.
        let long = 500 + random.below(900);
        return (0..long).map(|_| format!("{:016x}", random.number())).collect();
    }
    let mut text = (*random.pick(&WORDS)).to_owned();
    if !random.once_in(8) {
        text.push_str(&format!("{}{:x}", random.pick(&WORDS), random.number() & 0xff_ffff));
    }
    match length {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    }
}

fn bytes(random: &mut Random, style: Style) -> String {
    let many = match style.short {
        false if random.once_in(style.large) => 9_000,
        _ => random.below(20),
    };
    let mut hex = String::from("\\x");
    while hex.len() < 2 + many * 2 {
        hex.push_str(&format!("{:02x}", random.number() & 0xff));
    }
    hex
}

fn json(random: &mut Random, binary: bool, style: Style) -> String {
    let inner = text(random, None, style);
    let inner = serde_json::Value::String(inner).to_string();
    match random.below(8) {
        0 => "null".to_owned(),
        1 => "[]".to_owned(),
        2 => "12345678901234567890.12300".to_owned(),
        3 => inner,
        // Spaces, the order of the keys and keys that come twice mean something in one of the two.
        4 if !binary => format!("{{ \"b\":1,  \"a\" : {inner}, \"b\": 2 }}"),
        _ => format!("{{\"a\": {inner}, \"n\": [1, null, {{\"x\": 1.50}}]}}"),
    }
}

fn date(random: &mut Random) -> String {
    let (year, month) = (random.between(1900, 2100), random.between(1, 12));
    format!("{year}-{month:02}-{:02}", random.between(1, 28))
}

fn time(random: &mut Random) -> String {
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    format!("{hour:02}:{minute:02}:{second:02}.{:06}", random.below(1_000_000))
}

fn bits(random: &mut Random, many: usize) -> String {
    (0..many).map(|_| if random.once_in(2) { '1' } else { '0' }).collect()
}

fn point(random: &mut Random) -> String {
    format!("({},{})", random.between(-99, 99), random.between(-999, 999) as f64 / 8.0)
}
