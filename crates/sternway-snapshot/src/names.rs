//! What databases are called that a restore leaves beside the present one.

use sternway_database::Dialect;
use sternway_model::catalog::Digest;

/// How many letters the end of a name has: `_sternway_old_20261130T160201123Z`.
const END: usize = 33;

/// What the databases beside one are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    begin: String,
}

impl Names {
    /// Those beside the database of this name; on SQLite that is its file's path.
    pub fn beside(dialect: Dialect, name: &str) -> Names {
        let longest = match dialect {
            Dialect::Postgres => 63,
            Dialect::MySql => 64,
            Dialect::Sqlite => usize::MAX,
        };
        let room = longest - END;
        if name.len() <= room {
            return Names { begin: format!("{name}_sternway_") };
        }
        // Two long names may begin alike.
        let hash = Digest::of_bytes(name.as_bytes()).short();
        let mut end = room - hash.len() - 1;
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        Names { begin: format!("{}_{hash}_sternway_", &name[..end]) }
    }

    /// A database that is not in its place yet, or never will be.
    pub fn fresh(&self) -> String {
        format!("{}new_{}", self.begin, now())
    }

    /// The database that was swapped out.
    pub fn old(&self) -> String {
        format!("{}old_{}", self.begin, now())
    }

    /// The database that a snapshot is which is kept on the server.
    pub fn copy(&self, id: &str) -> String {
        format!("{}copy_{id}", self.begin)
    }

    /// Whether a name can be that of the database which the snapshot `id` is: nobody is led to another one by a store.
    pub(crate) fn is_copy(name: &str, id: &str) -> bool {
        name.ends_with(&format!("_sternway_copy_{id}"))
    }

    /// What all that are not in their place begin with.
    pub fn all_new(&self) -> String {
        format!("{}new_", self.begin)
    }

    /// What all that were swapped out begin with.
    pub fn all_old(&self) -> String {
        format!("{}old_", self.begin)
    }
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    format!("{}{:03}Z", now.strftime("%Y%m%dT%H%M%S"), now.subsec_millisecond())
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Names};

    #[test]
    fn no_name_is_too_long_and_long_ones_are_told_apart() {
        let (one, two) = ("a".repeat(50) + "é1", "a".repeat(50) + "é2");
        let [first, second] = [&one, &two].map(|it| Names::beside(Dialect::Postgres, it));
        assert_ne!(first, second);
        assert!(first.old().len() <= 63, "{}", first.old());
        let short = Names::beside(Dialect::Postgres, "harbour");
        assert!(short.old().starts_with("harbour_sternway_old_2"), "{}", short.old());
    }
}
