//! Sends lines of the log to journald with fields of their own, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): `journalctl SPARELINK_CODE=switched` finds them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// A way to journald.
#[derive(Debug)]
pub struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    /// Connects to the journald that listens at `path`. What is sent later never waits for it.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends one line of the log: its fields, `MESSAGE` among them.
    ///
    /// # Errors
    ///
    /// When journald does not take it: it is gone, or busy, or this is more than a datagram holds.
    pub fn send(&self, fields: &[(&str, &str)]) -> io::Result<()> {
        self.socket.send(&encoded(fields)).map(drop)
    }
}

/// `KEY=value` lines; a value of several lines stands behind its length.
fn encoded(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in fields {
        bytes.extend(key.as_bytes());
        if value.contains('\n') {
            let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
            bytes.push(b'\n');
            bytes.extend(length.to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Whether a stream is the one that systemd connected to the journal: `JOURNAL_STREAM` has its device and inode
/// (systemd.exec(5)). A child whose stderr was led elsewhere inherits the variable all the same.
#[must_use]
pub fn is_stream(stream: impl AsFd, told: &str) -> bool {
    let known = || {
        let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
        let meta = file.metadata().ok()?;
        Some(format!("{}:{}", meta.dev(), meta.ino()))
    };
    known().is_some_and(|own| own == told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arrives_with_its_fields_and_a_long_one_with_its_length() {
        let dir = std::env::temp_dir().join(format!("sl-journald-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("socket");
        assert!(Journald::connect(&path).is_err(), "nobody listens");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journald = Journald::connect(&path).unwrap();
        journald.send(&[("MESSAGE", "Back on cable"), ("SPARELINK_CODE", "switched")]).unwrap();
        journald.send(&[("MESSAGE", "a\nb"), ("PRIORITY", "4")]).unwrap();
        let mut buffer = [0; 256];
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"MESSAGE=Back on cable\nSPARELINK_CODE=switched\n");
        let length = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\n");
        // One that does not listen any more, or not fast enough, holds nobody up.
        let answers = (0..10_000).map(|_| journald.send(&[("MESSAGE", "x")]));
        assert!(answers.into_iter().any(|answer| answer.is_err()), "the queue has an end");
        drop(listener);
        assert!(journald.send(&[("MESSAGE", "x")]).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_stream_is_known_by_device_and_inode() {
        let file = File::open("/dev/null").unwrap();
        let meta = file.metadata().unwrap();
        assert!(is_stream(&file, &format!("{}:{}", meta.dev(), meta.ino())));
        assert!(!is_stream(&file, "1:2") && !is_stream(&file, ""));
    }
}
