//! `sparelink status --watch`: the status again every second, until Ctrl-C or until its reader is gone.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::client::Client;
use super::failure::Failure;
use super::status::{ROUTE, Status, render};
use super::terminal::{self, Look, Reader};
use super::when;
use crate::io::clock;
use crate::time::Utc;

/// Which form the status takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Drawn in place, on a terminal.
    Screen,
    /// One after the other, as text.
    Text,
    /// One JSON document a line.
    Json,
}

impl Form {
    /// What stdout is good for.
    pub(super) fn of_stdout() -> Self {
        if terminal::is_terminal() { Self::Screen } else { Self::Text }
    }
}

/// Shows the status every second. An agent that goes away is waited for.
pub(super) fn watch(client: &Client, form: Form) -> Result<ExitCode, Failure> {
    let mut document = client.get(ROUTE)?;
    if form == Form::Screen {
        terminal::print(CLEAR)?;
    }
    loop {
        let status = Status::of(&document)?;
        if terminal::write(&drawn(&document, &status, form))? == Reader::Gone {
            return Ok(status.exit_code());
        }
        let mut gone_since = None;
        document = loop {
            if wait_a_second()? {
                return Ok(status.exit_code());
            }
            match client.get(ROUTE) {
                Ok(document) => break document,
                Err(failure) if gone_since.is_none() => {
                    let since = clock::now().utc;
                    gone_since = Some(since);
                    tell_gone(&gone(since, &failure), &status, form)?;
                }
                Err(_) => {}
            }
        };
    }
}

/// What is written for one state.
fn drawn(document: &Value, status: &Status, form: Form) -> String {
    match form {
        Form::Screen => in_place(&render(status, &Look::of_stdout())),
        Form::Text => format!("{}\n", render(status, &Look::of_stdout())),
        Form::Json => format!("{document}\n"),
    }
}

/// One line for the whole time without an agent: on the screen above the last state, else on stderr,
/// so that what reads the states is not disturbed.
fn tell_gone(line: &str, last: &Status, form: Form) -> Result<(), Failure> {
    match form {
        Form::Screen => {
            let text = format!("{line}\n\n{}", render(last, &Look::of_stdout()));
            terminal::print(&in_place(&text)).map(drop)
        }
        Form::Text | Form::Json => {
            terminal::print_error(&format!("{line}\n"));
            Ok(())
        }
    }
}

/// `agent gone since 18:18:01, waiting`; what else may be wrong is told as it is.
pub(super) fn gone(since: Option<Utc>, failure: &Failure) -> String {
    let since = since.and_then(when::clock_with_seconds);
    let since = since.map(|clock| format!(" since {clock}")).unwrap_or_default();
    if failure.means_no_agent() {
        format!("agent gone{since}, waiting")
    } else {
        format!("agent cannot be asked{since}, waiting ({})", failure.text())
    }
}

/// Clears the screen (ECMA-48); once, at the start.
const CLEAR: &str = "\x1b[2J";

/// Text over what stood there: from the upper left corner, each line erased behind its end and the
/// screen below the last, so that nothing flickers.
fn in_place(text: &str) -> String {
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}

/// Waits for the next second or for Ctrl-C; returns whether it was Ctrl-C.
pub(super) fn wait_a_second() -> Result<bool, Failure> {
    let cannot = |error| Failure::plain(format!("cannot wait: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot)?.block_on(async {
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed.map(|()| true).map_err(cannot),
            () = tokio::time::sleep(Duration::from_secs(1)) => Ok(false),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_drawn_over_and_never_cleared() {
        assert_eq!(in_place("a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn gone_is_one_line() {
        let line = gone(Some(Utc(1_767_268_800_000)), &Failure::plain("x").with_no_agent());
        let clock = when::clock_with_seconds(Utc(1_767_268_800_000)).unwrap();
        assert_eq!(line, format!("agent gone since {clock}, waiting"));
        assert_eq!(gone(None, &Failure::plain("x")), "agent cannot be asked, waiting (x)");
    }
}
