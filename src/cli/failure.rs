//! Why a command could not do its work, in words for the person who typed it.

use std::fmt;
use std::process::ExitCode;

use super::terminal;
use crate::config;

/// "No": the command did its work, and the answer is no.
pub(super) const NO: u8 = 1;
/// "Error": the command could not do its work.
pub(super) const ERROR: u8 = 2;

/// What went wrong, what to do about it, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// An error with a hint.
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: format!("error: {}", text.into()), hint: Some(hint.into()), code: ERROR }
    }

    /// An error that explains itself.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: format!("error: {}", text.into()), hint: None, code: ERROR }
    }

    /// The same with another hint, or none.
    pub(super) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same with another exit code.
    pub(super) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// Says it on stderr and returns the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        terminal::print_error(&format!("{self}\n"));
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl From<config::Error> for Failure {
    /// The mistakes as they are: each line names its file.
    fn from(error: config::Error) -> Self {
        Self { text: error.to_string(), hint: None, code: ERROR }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<config::Error>() {
            Ok(mistakes) => mistakes.into(),
            Err(other) => Self::plain(format!("{other:#}")),
        }
    }
}
