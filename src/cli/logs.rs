//! The agent's log, on stderr.

use tracing::level_filters::LevelFilter;

use super::table::Colour;
use super::terminal;

/// Sends the log down to this level to stderr from now on. Who looks closely sees who speaks, too.
pub(super) fn start(level: LevelFilter) {
    let targets = level >= LevelFilter::DEBUG;
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let log = log.with_target(targets).with_ansi(terminal::colour_on_stderr() == Colour::Yes);
    // Only a second start could fail, and then the first log goes on.
    let _ = if terminal::logs_to_journal() {
        tracing::subscriber::set_global_default(log.without_time().finish())
    } else {
        tracing::subscriber::set_global_default(log.finish())
    };
}
