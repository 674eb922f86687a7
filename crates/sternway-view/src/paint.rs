//! Colour, where there is any.

/// Whether texts are coloured, in the way of terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// They are not.
    #[default]
    Plain,
    /// They are.
    Coloured,
}

impl Paint {
    /// Makes text stand out.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Marks text as good.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Marks text as something to look at.
    pub fn alarm(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
