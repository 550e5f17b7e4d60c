//! Why an LED does not do what it should.

use std::io;
use std::path::PathBuf;

/// Why an LED does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such LED.
    #[error("there is no such LED in {}", folder.display())]
    NoLed { folder: PathBuf },
    /// The kernel does not let it be written.
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// There is no such GPIO chip.
    #[error("there is no {}", chip.display())]
    NoChip { chip: PathBuf },
    /// The GPIO line cannot be had.
    #[error("the line is not available ({reason})")]
    Line {
        /// What the kernel says.
        reason: String,
    },
    /// What was there before could not be kept.
    #[error("what it showed before cannot be kept in {}", file.display())]
    Keep {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl embedded_hal::digital::Error for Error {
    fn kind(&self) -> embedded_hal::digital::ErrorKind {
        embedded_hal::digital::ErrorKind::Other
    }
}
