//! The names of migration files, read as golang-migrate 4 reads them.

use super::Direction;

/// A name of the form `{version}_{title}.{up|down}.{extension}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    /// The number before the first underscore.
    pub version: u64,
    /// What stands between the number and the direction.
    pub title: String,
    /// `up` or `down`, in lower case.
    pub direction: Direction,
    /// What follows the direction; golang-migrate asks nothing of it.
    pub extension: String,
}

impl FileName {
    /// Reads a bare file name; `None` for a name that golang-migrate passes over.
    ///
    /// The rule is golang-migrate's pattern `^([0-9]+)_(.*)\.(down|up)\.(.*)$`: the title takes as
    /// much as it can, so the last `.up.` or `.down.` counts. A number of more than 64 bits is
    /// passed over too. Like Go's `.`, a title does not match a line break.
    pub fn parse(name: &str) -> Option<FileName> {
        let (number, rest) = name.split_once('_')?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if rest.contains('\n') {
            return None;
        }
        let version = number.parse().ok()?;
        let up = rest.rfind(".up.").map(|at| (at, Direction::Up, ".up.".len()));
        let down = rest.rfind(".down.").map(|at| (at, Direction::Down, ".down.".len()));
        let (at, direction, length) = up.max(down)?;
        Some(FileName {
            version,
            title: rest[..at].to_owned(),
            direction,
            extension: rest[at + length..].to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(u64, &str, Direction, &str)>) {
        let expected = expected.map(|(version, title, direction, extension)| FileName {
            version,
            title: title.to_owned(),
            direction,
            extension: extension.to_owned(),
        });
        assert_eq!(FileName::parse(name), expected, "{name}");
    }

    #[test]
    fn names_that_golang_migrate_reads_are_read() {
        use Direction::{Down, Up};
        check("1_foobar.up.sql", Some((1, "foobar", Up, "sql")));
        check(
            "20170412214116_date_foobar.up.sql",
            Some((20_170_412_214_116, "date_foobar", Up, "sql")),
        );
        check("1_f-o_ob+ar.up.sql", Some((1, "f-o_ob+ar", Up, "sql")));
        check("0_a.up.sql", Some((0, "a", Up, "sql")));
        check("4_.up.sql", Some((4, "", Up, "sql")));
        check("3_y.up.", Some((3, "y", Up, "")));
        check("5_a.up.b.down.sql", Some((5, "a.up.b", Down, "sql")));
        check("6_a.down.b.up.sql", Some((6, "a.down.b", Up, "sql")));
        check("11_x.up.sql.bak", Some((11, "x", Up, "sql.bak")));
        check("1_a.up.sql~", Some((1, "a", Up, "sql~")));
        check("10_x y.up.sql", Some((10, "x y", Up, "sql")));
        check("12_é.up.sql", Some((12, "é", Up, "sql")));
        check("000007_task_owner.down.sql", Some((7, "task_owner", Down, "sql")));
        check("18446744073709551615_x.up.sql", Some((u64::MAX, "x", Up, "sql")));
    }

    #[test]
    fn names_that_golang_migrate_passes_over_are_passed_over() {
        for name in [
            "-1_x.up.sql",
            "foobar.up.sql",
            "1.up.sql",
            "1_foobar.sql",
            "1_foobar.up",
            "1_A.UP.SQL",
            " 9_x.up.sql",
            "99999999999999999999_x.up.sql",
            "_x.up.sql",
            "1_x\n.up.sql",
            "",
        ] {
            check(name, None);
        }
    }
}
