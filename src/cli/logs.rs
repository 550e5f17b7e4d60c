//! The agent's log: on stderr, with fields of its own in the journal, or with levels in syslog.

use std::fmt::{self, Write as _};
use std::path::Path;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use super::table::Colour;
use super::terminal;
use crate::io::journald::{self, Journald};
use crate::io::syslog::{self, Syslog};

/// Sends the log down to this level to the journal, to syslog or to stderr from now on. Who looks closely sees who speaks, too.
pub(super) fn start(level: LevelFilter) {
    let targets = level >= LevelFilter::DEBUG;
    let to_journal = terminal::logs_to_journal();
    let keeper = if to_journal {
        Journald::connect(Path::new(journald::SOCKET)).map(Keeper::Journal).ok()
    } else if terminal::logs_to_syslog() {
        Syslog::open(Path::new(syslog::SOCKET)).map(Keeper::Syslog).ok()
    } else {
        None
    };
    // Only a second start could fail, and then the first log goes on.
    if let Some(keeper) = keeper {
        let log = Registry::default().with(level).with(Kept(keeper));
        let _ = tracing::subscriber::set_global_default(log);
        return;
    }
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    let log = log.with_target(targets).with_ansi(terminal::colour_on_stderr() == Colour::Yes);
    let _ = if to_journal {
        tracing::subscriber::set_global_default(log.without_time().finish())
    } else {
        tracing::subscriber::set_global_default(log.finish())
    };
}

/// Who keeps the log of this box.
enum Keeper {
    Journal(Journald),
    Syslog(Syslog),
}

/// Gives each line to who keeps the log, and to stderr what is not taken.
struct Kept(Keeper);

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let meta = event.metadata();
        let priority = priority(*meta.level());
        let taken = match &self.0 {
            Keeper::Syslog(syslog) => syslog.send(priority, &line.message),
            Keeper::Journal(journald) => {
                let priority = priority.to_string();
                let mut fields = vec![
                    ("MESSAGE", line.message.as_str()),
                    ("PRIORITY", priority.as_str()),
                    ("SYSLOG_IDENTIFIER", "sparelink"),
                    ("SPARELINK_TARGET", meta.target()),
                ];
                fields.extend(line.code.as_deref().map(|code| ("SPARELINK_CODE", code)));
                fields.extend(line.uplink.as_deref().map(|uplink| ("SPARELINK_UPLINK", uplink)));
                journald.send(&fields)
            }
        };
        if taken.is_err() {
            // A stream to the journal takes the level so (sd-daemon(3)); procd's forgets it.
            for text in line.message.lines() {
                terminal::print_error(&format!("<{priority}>{text}\n"));
            }
        }
    }
}

/// As syslog counts (syslog(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// What is said in one line.
#[derive(Debug, Default)]
struct Line {
    message: String,
    /// Which kind of event it is, by its word in the catalogue.
    code: Option<String>,
    uplink: Option<String>,
}

impl Line {
    fn take(&mut self, name: &str, value: &dyn fmt::Display) {
        match name {
            "message" => self.message.insert_str(0, &value.to_string()),
            "code" => self.code = Some(value.to_string()),
            "uplink" => self.uplink = Some(value.to_string()),
            // Writing to a string cannot fail.
            other => {
                let _ = write!(self.message, " {other}={value}");
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field.name(), &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_journal_gets_code_and_uplink_as_fields() {
        let dir = std::env::temp_dir().join(format!("sl-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let listener = UnixDatagram::bind(dir.join("socket")).unwrap();
        let journald = Journald::connect(&dir.join("socket")).unwrap();
        let log = Registry::default().with(LevelFilter::INFO).with(Kept(Keeper::Journal(journald)));
        tracing::subscriber::with_default(log, || {
            let uplink = Some("mifi");
            tracing::info!(code = "switched", uplink, "from cable to {}", "mifi");
            tracing::debug!("not asked for");
            tracing::warn!(error = %"no", "two\nlines");
        });
        let mut buffer = [0; 1024];
        let mut told = || {
            let length = listener.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let first = told();
        for line in [
            "MESSAGE=from cable to mifi\n",
            "\nPRIORITY=6\n",
            "\nSYSLOG_IDENTIFIER=sparelink\n",
            "\nSPARELINK_CODE=switched\n",
            "\nSPARELINK_UPLINK=mifi\n",
        ] {
            assert!(first.contains(line), "{line}: {first}");
        }
        let second = told();
        assert!(second.starts_with("MESSAGE\n") && second.contains("two\nlines error=no\n"));
        assert!(second.contains("\nPRIORITY=4\n") && !second.contains("SPARELINK_CODE"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
