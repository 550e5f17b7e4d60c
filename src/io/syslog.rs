//! Sends lines of the log to syslog (OpenWrt's logd, or any that listens at /dev/log), each with its level.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::clock;
use crate::time::Utc;
use crate::time::day::Day;

/// Where syslog listens.
pub const SOCKET: &str = "/dev/log";
/// What a daemon says, in syslog's own count (syslog(3): `LOG_DAEMON`).
const DAEMON: u8 = 3;

/// A way to syslog.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    process: u32,
}

impl Syslog {
    /// A way to the syslog that listens at `path`, now or later: one that starts again is found again. What is sent never
    /// waits for it.
    ///
    /// # Errors
    ///
    /// When there is no socket to be had.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_owned(), process: std::process::id() })
    }

    /// Sends a line of the log; `level` is syslog's, 0 to 7.
    ///
    /// # Errors
    ///
    /// When it is not taken: nobody listens, or he is busy.
    pub fn send(&self, level: u8, text: &str) -> io::Result<()> {
        let stamp = stamp(clock::now().utc.unwrap_or(Utc(0)));
        for line in text.lines() {
            let level = DAEMON << 3 | level;
            let said = format!("<{level}>{stamp} sparelink[{}]: {line}", self.process);
            self.socket.send_to(said.as_bytes(), &self.path)?;
        }
        Ok(())
    }
}

/// The time as syslog has it (RFC 3164), in UTC: `Nov  3 07:05:09`. Those who listen at this socket know their own time; logd
/// cuts off sixteen bytes if the last of them is blank, whatever they are.
fn stamp(at: Utc) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.0 / 1000;
    let days = i64::try_from(seconds / 86_400).ok().and_then(Day::from_days);
    let (_, month, day) = days.map_or((1970, 1, 1), Day::date);
    let month = MONTHS.get(usize::from(month).saturating_sub(1)).unwrap_or(&"Jan");
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_written_as_syslog_has_it() {
        let stamp = |text| stamp(Utc::parse(text).unwrap());
        assert_eq!(stamp("2026-11-03T07:05:09Z"), "Nov  3 07:05:09");
        assert_eq!(stamp("2028-02-29T23:59:59.999Z"), "Feb 29 23:59:59");
        assert_eq!(stamp("1970-01-01T00:00:00Z").len(), 15);
    }

    #[test]
    fn each_line_has_its_level_and_a_syslog_that_starts_again_is_found() {
        let dir = std::env::temp_dir().join(format!("sl-syslog-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("log");
        let syslog = Syslog::open(&path).unwrap();
        assert!(syslog.send(6, "nobody listens").is_err());
        let own = std::process::id();
        for _ in 0..2 {
            let listener = UnixDatagram::bind(&path).unwrap();
            syslog.send(4, "two\nlines").unwrap();
            for line in ["two", "lines"] {
                let mut buffer = [0; 128];
                let length = listener.recv(&mut buffer).unwrap();
                let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
                // As logd reads it: what stands for the time goes, and all of the rest stays.
                let rest = said.strip_prefix("<28>").unwrap();
                assert_eq!(rest.as_bytes()[15], b' ', "{said}");
                assert_eq!(rest[16..], format!("sparelink[{own}]: {line}"));
            }
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
