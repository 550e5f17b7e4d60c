//! Sends lines of the log to syslog (OpenWrt's logd, or any that listens at /dev/log), each with its level.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

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
        for line in text.lines() {
            let said = format!("<{}>sparelink[{}]: {line}", DAEMON << 3 | level, self.process);
            self.socket.send_to(said.as_bytes(), &self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                assert_eq!(said, format!("<28>sparelink[{own}]: {line}"));
            }
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
