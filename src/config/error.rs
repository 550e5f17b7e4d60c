//! What is wrong with a configuration file, ready for people.

use std::fmt;
use std::io;

/// Why there is no configuration. Its text is ready for people: one line for each mistake, as
/// `FILE:LINE:COLUMN: what is wrong`, followed by a `hint:` line where one helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error("{file}: {what}\n  hint: {hint}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        what: String,
        hint: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than a configuration can be.
    #[error(
        "{file}: the file is larger than 1 MiB\n  hint: this does not look like a configuration; \
         name the right file with --config FILE"
    )]
    TooLarge {
        /// The file, as it was named.
        file: String,
    },
    /// The file was read and is wrong.
    #[error("{}", Listed { file, mistakes, more: *more })]
    Mistakes {
        /// The file, as it was named.
        file: String,
        /// What is wrong, in the order of the file; never empty.
        mistakes: Vec<Mistake>,
        /// How many more there are than are listed.
        more: usize,
    },
}

/// One thing that is wrong in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Prints mistakes as `FILE:LINE:COLUMN: what is wrong`.
struct Listed<'a> {
    file: &'a str,
    mistakes: &'a [Mistake],
    more: usize,
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            let Mistake { line, column, text, hint } = mistake;
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{line}:{column}: {text}", self.file)?;
            if let Some(hint) = hint {
                write!(f, "\n  hint: {hint}")?;
            }
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more mistakes", self.file, self.more)?;
        }
        Ok(())
    }
}
