//! What is at the other end of stdout and stderr, and the few variables that a command reads.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::failure::Failure;

/// Writes data to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::plain(format!("cannot write the answer: {error}")))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Writes words for people to stderr, if there is one.
pub(super) fn print_error(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether stdout is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdout is a terminal that shows colours, and nobody asked for none
/// (<https://no-color.org>).
pub(super) fn has_colour() -> bool {
    is_terminal() && wants_colour()
}

/// The same for stderr.
pub(super) fn has_colour_on_stderr() -> bool {
    io::stderr().is_terminal() && wants_colour()
}

fn wants_colour() -> bool {
    variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Whether stderr goes to the journal, which adds the time itself (systemd.exec(5)).
pub(super) fn logs_to_journal() -> bool {
    !io::stderr().is_terminal() && variable("JOURNAL_STREAM").is_some()
}

/// An environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
