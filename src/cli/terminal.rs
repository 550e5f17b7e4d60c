//! What is at the other end of stdin, stdout and stderr, and the few variables that a command reads.

use std::io::{self, BufRead as _, IsTerminal, Read, Write};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::table::Colour;
use crate::io::sys::terminal_columns;
use crate::io::{clock, journald};
use crate::time::Utc;

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;
/// The longest line that is read, in bytes. No terminal lets a person type more (termios(3)).
const LONGEST_LINE: u64 = 4096;

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How text looks where it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) colour: Colour,
    /// Columns of the terminal; `None`: nothing is wrapped.
    pub(super) width: Option<usize>,
    /// What time it is, for "ago"; `None`: the box does not know.
    pub(super) now: Option<Utc>,
}

impl Look {
    pub(super) fn of_stdout() -> Self {
        let width = is_terminal().then(|| terminal_columns(io::stdout().as_fd())).flatten();
        Self { colour: colour(), width, now: clock::now().utc }
    }
}

/// What became of those who read stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    /// A pipe's other end is closed (`| head`).
    Gone,
}

/// Writes data to stdout, and tells whether it is still read.
pub(super) fn write(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::plain(format!("cannot write the answer: {error}"))),
    }
}

/// Writes data to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<ExitCode, Failure> {
    write(text).map(|_| ExitCode::SUCCESS)
}

/// Writes words for people to stderr, if there is one.
pub(super) fn print_error(text: &str) {
    // Where stderr is closed there is no reader to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Says on stderr why a command could not do its work, and returns the exit code.
pub(super) fn tell(failure: &Failure) -> ExitCode {
    print_error(&format!("{}\n", failure.painted(colour_on_stderr())));
    failure.code()
}

/// What was typed without being shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// A line, without its end.
    Line(String),
    /// An empty one.
    Empty,
    /// None, and there will be none: the person gave up with Ctrl-C, or nobody is there any more.
    Over,
}

impl Secret {
    /// The line, if there was one.
    pub(super) fn line(self) -> Option<String> {
        match self {
            Self::Line(line) => Some(line),
            Self::Empty | Self::Over => None,
        }
    }
}

/// One line of stdin. At a terminal it is asked for with `prompt` and not shown.
pub(super) fn secret(prompt: &str) -> io::Result<Secret> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line_of(stdin.lock());
    }
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    // After Ctrl-C the terminal must show again what is typed. Without ISIG it is a
    // character like others; here it ends the line.
    hidden.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden)?;
    print_error(prompt);
    let line = line_of(stdin.lock());
    print_error("\n");
    tcsetattr(&stdin, SetArg::TCSANOW, &before)?;
    line
}

/// One line of stdin, without its end, asked for with `prompt`; `None`: there is none, and will be none.
pub(super) fn line(prompt: &str) -> io::Result<Option<String>> {
    print_error(prompt);
    let mut line = String::new();
    let read = io::stdin().lock().take(LONGEST_LINE).read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}

/// The first line, if there is one. No more is read than a line may have.
fn line_of(input: impl Read) -> io::Result<Secret> {
    let (mut line, mut input) = (Vec::new(), input.take(LONGEST_LINE));
    let mut byte = [0];
    // Byte by byte: what follows the line belongs to the next question.
    let mut ended = false;
    while !ended && input.read(&mut byte)? > 0 {
        match byte[0] {
            b'\n' => ended = true,
            CTRL_C => return Ok(Secret::Over),
            other => line.push(other),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.is_empty() {
        return Ok(if ended { Secret::Empty } else { Secret::Over });
    }
    let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(line).map(Secret::Line).map_err(wrong)
}

/// Whether stdin is a terminal, at which a person can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Whether stdout is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stdout is a terminal that shows colours, and the user did not ask for none
/// (<https://no-color.org>).
pub(super) fn colour() -> Colour {
    colour_of(&io::stdout())
}

/// The same for stderr.
pub(super) fn colour_on_stderr() -> Colour {
    colour_of(&io::stderr())
}

fn colour_of(stream: &impl IsTerminal) -> Colour {
    let refused = variable("NO_COLOR").is_some() || variable("TERM").is_some_and(|t| t == "dumb");
    if stream.is_terminal() && !refused { Colour::Yes } else { Colour::No }
}

/// Whether stderr goes to the journal, which adds the time itself.
pub(super) fn logs_to_journal() -> bool {
    variable("JOURNAL_STREAM").is_some_and(|told| journald::is_stream(io::stderr(), &told))
}

/// Whether whoever starts the agent wants its log in syslog: OpenWrt's init script does, for procd would call each line
/// of stderr an error.
pub(super) fn logs_to_syslog() -> bool {
    variable("SPARELINK_LOG").is_some_and(|to| to == "syslog")
}

/// An environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
