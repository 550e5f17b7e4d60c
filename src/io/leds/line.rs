//! An LED on a GPIO line that nobody else drives, by the kernel's character device
//! (linux/gpio.h, version 2, since Linux 5.10).

use std::path::Path;

use embedded_hal::digital::{ErrorType, OutputPin};
use gpiocdev::Request;
use gpiocdev::line::Value;

use super::error::Error;

/// How a line stands while its LED is lit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    High,
    Low,
}

/// A line that is ours. The kernel gives it free when this is dropped, or the agent is killed.
#[derive(Debug)]
pub(super) struct Line(Request);

impl Line {
    /// Takes a line, dark.
    ///
    /// # Errors
    ///
    /// When there is no such chip or line, somebody else has it, or it may not be had.
    pub(super) fn open(root: &Path, chip: &str, line: u32, lit: Level) -> Result<Self, Error> {
        let chip = root.join("dev").join(chip);
        if !chip.exists() {
            return Err(Error::NoChip { chip });
        }
        let mut desired = Request::builder();
        desired.on_chip(chip).with_consumer("sparelink").with_line(line);
        desired.as_output(Value::Inactive);
        if lit == Level::Low {
            desired.as_active_low();
        }
        desired.request().map(Self).map_err(|error| reason(&error))
    }

    fn set(&self, value: Value) -> Result<(), Error> {
        self.0.set_lone_value(value).map_err(|error| reason(&error))
    }
}

/// What the kernel says, without the names of calls.
fn reason(error: &gpiocdev::Error) -> Error {
    let reason = if let gpiocdev::Error::Uapi(_, kernel) = error {
        kernel.to_string()
    } else {
        error.to_string()
    };
    Error::Line { reason }
}

impl ErrorType for Line {
    type Error = Error;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), Error> {
        self.set(Value::Inactive)
    }

    fn set_high(&mut self) -> Result<(), Error> {
        self.set(Value::Active)
    }
}
