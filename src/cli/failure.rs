//! Why a command could not do its work, in words for the person who typed it.

use std::fmt;
use std::process::ExitCode;

use super::table::{Colour, Style};
use crate::config;

/// "No": the command did its work, and the answer is no.
pub(super) const NO: u8 = 1;
/// "Error": the command could not do its work.
pub(super) const ERROR: u8 = 2;

/// What went wrong, what to do about it, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    text: String,
    lead: Lead,
    hint: Option<String>,
    code: u8,
    cause: Cause,
}

/// What stands before the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead {
    Error,
    /// Nothing: each line of the text names its file.
    None,
}

/// As far as a command acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    NoAgent,
    Other,
}

impl Failure {
    /// An error with a hint.
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::plain(text) }
    }

    /// An error that explains itself.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let (lead, cause) = (Lead::Error, Cause::Other);
        Self { text: text.into(), lead, hint: None, code: ERROR, cause }
    }

    /// The same, because no agent is running.
    pub(super) fn with_no_agent(self) -> Self {
        Self { cause: Cause::NoAgent, ..self }
    }

    /// Whether it is only that no agent is running.
    pub(super) fn means_no_agent(&self) -> bool {
        self.cause == Cause::NoAgent
    }

    /// What went wrong, without what to do about it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The same with another hint, or none.
    pub(super) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same with another exit code.
    pub(super) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }

    /// What the program exits with.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// As it is told on stderr.
    pub(super) fn painted(&self, colour: Colour) -> String {
        let lead = match self.lead {
            Lead::Error => Style::Bad.paint("error:", colour) + " ",
            Lead::None => String::new(),
        };
        let hint = self
            .hint
            .as_ref()
            .map(|hint| format!("\n  {} {hint}", Style::Strong.paint("hint:", colour)));
        format!("{lead}{}{}", self.text, hint.unwrap_or_default())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.painted(Colour::No))
    }
}

impl From<config::Error> for Failure {
    /// The mistakes as they are: each line names its file.
    fn from(error: config::Error) -> Self {
        Self { lead: Lead::None, ..Self::plain(error.to_string()) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_red_where_there_are_colours_and_said_everywhere() {
        let failure = Failure::new("no", "yes");
        assert_eq!(failure.to_string(), "error: no\n  hint: yes");
        let painted = failure.painted(Colour::Yes);
        assert_eq!(painted, "\x1b[31merror:\x1b[0m no\n  \x1b[1mhint:\x1b[0m yes");
    }
}
