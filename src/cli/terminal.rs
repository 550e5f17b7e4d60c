//! What is at the other end of stdin, stdout and stderr, and the few variables that a command reads.

use std::io::{self, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};

use super::failure::Failure;

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;
/// The longest line that is read, in bytes. A terminal lets nobody type more (termios(3)).
const LONGEST_LINE: u64 = 4096;

/// Writes data to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    print_more(text).map(|_| ExitCode::SUCCESS)
}

/// The same for one who goes on writing: whether the reader has gone away.
pub(super) fn print_more(text: &str) -> Result<ControlFlow<()>, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(Failure::plain(format!("cannot write the answer: {error}"))),
    }
}

/// Writes words for people to stderr, if there is one.
pub(super) fn print_error(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// One line of stdin, without its end. At a terminal it is asked for with `prompt` and not shown;
/// `None`: the person gave up with Ctrl-C, or there is no line.
pub(super) fn secret(prompt: &str) -> io::Result<Option<String>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line_of(stdin.lock());
    }
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    // Whoever presses Ctrl-C must get a terminal back that shows what is typed. Without ISIG it is a
    // character like others; here it ends the line.
    hidden.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden)?;
    print_error(prompt);
    let line = line_of(stdin.lock());
    print_error("\n");
    tcsetattr(&stdin, SetArg::TCSANOW, &before)?;
    Ok(line?.filter(|line| !line.contains(char::from(CTRL_C))))
}

/// The first line, if there is one. No more is read than a line may have.
fn line_of(input: impl Read) -> io::Result<Option<String>> {
    let (mut line, mut input) = (Vec::new(), input.take(LONGEST_LINE));
    let mut byte = [0];
    // Byte by byte: what follows the line belongs to the next question.
    while input.read(&mut byte)? > 0 && byte[0] != b'\n' {
        line.push(byte[0]);
        if byte[0] == CTRL_C {
            break;
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.is_empty() {
        return Ok(None);
    }
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(line).map(Some).map_err(wrong)
}

/// Whether stdin is a terminal, at which somebody can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
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
