//! Why a LED does not do what it should.

use std::io;
use std::path::PathBuf;

/// Why a LED does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such LED.
    #[error("there is no such LED in {}", folder.display())]
    NoLed {
        /// Where LEDs are.
        folder: PathBuf,
    },
    /// The kernel does not let it be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The LED's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such GPIO chip.
    #[error("there is no {}", chip.display())]
    NoChip {
        /// The chip.
        chip: PathBuf,
    },
    /// The GPIO line cannot be had.
    #[error("the line cannot be had ({reason})")]
    Line {
        /// What the kernel says.
        reason: String,
    },
    /// What was there before could not be kept.
    #[error("what it showed before cannot be kept in {}", file.display())]
    Keep {
        /// Where.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl embedded_hal::digital::Error for Error {
    fn kind(&self) -> embedded_hal::digital::ErrorKind {
        embedded_hal::digital::ErrorKind::Other
    }
}
