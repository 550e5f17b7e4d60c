//! An LED in `/sys/class/leds` (Documentation/leds/leds-class.rst in the kernel).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_hal::digital::{ErrorType, OutputPin};

use super::error::Error;
use super::kept::Before;
use crate::engine::status::leds::Pattern;

/// A kernel trigger drives an LED; this one leaves it to whoever writes its brightness.
const NONE: &str = "none";
const TIMER: &str = "timer";
/// Blinks in any rhythm (ledtrig-pattern, since Linux 4.20).
const PATTERN: &str = "pattern";
/// A trigger's own files belong to root until udev has heard of them and changed that.
const UDEV: (Duration, u32) = (Duration::from_millis(50), 20);

#[derive(Debug)]
pub(super) struct Class {
    name: String,
    dir: PathBuf,
    /// As bright as it gets.
    full: String,
    before: Before,
    /// What the kernel lets it be driven by; nothing is known of it at first.
    trigger: Option<&'static str>,
    /// Whether it was lit, when nothing drove it.
    lit: Option<bool>,
    /// Triggers that this kernel does not have.
    lacking: BTreeSet<&'static str>,
    /// Somebody gives the files of a new trigger away. Else they stay root's, and the LED is blinked by hand.
    has_udev: bool,
}

/// Where the LEDs are.
fn folder(root: &Path) -> PathBuf {
    root.join("sys/class/leds")
}

impl Class {
    /// The first LED of these names that there is. Changes nothing.
    ///
    /// # Errors
    ///
    /// When there is none, or it may not be written.
    pub(super) fn open(root: &Path, names: &[String]) -> Result<Self, Error> {
        let folder = folder(root);
        let Some(name) = names.iter().find(|name| folder.join(name).is_dir()) else {
            return Err(Error::NoLed { folder });
        };
        let dir = folder.join(name);
        let may_write = |file: &str| fs::OpenOptions::new().write(true).open(dir.join(file));
        let failed = |file: &str| {
            let path = dir.join(file);
            move |source| Error::Write { path, source }
        };
        may_write("brightness").map_err(failed("brightness"))?;
        match may_write("trigger") {
            // A kernel without triggers has none to be set aside.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => drop(other.map_err(failed("trigger"))?),
        }
        let full = read(&dir, "max_brightness");
        let full = if full.is_empty() { "1".to_owned() } else { full };
        let before = shown(&dir);
        let (trigger, lit, lacking) = (None, None, BTreeSet::new());
        let has_udev = root.join("run/udev").is_dir();
        Ok(Self { name: name.clone(), dir, full, before, trigger, lit, lacking, has_udev })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What it showed when it was found.
    pub(super) const fn before(&self) -> &Before {
        &self.before
    }

    /// What somebody else has made it show since, if it is not what it was made to show here. Nothing is known of it then.
    pub(super) fn taken(&mut self) -> Option<Before> {
        let trigger = self.trigger?;
        let now = shown(&self.dir);
        let driven = now.trigger.as_deref().is_some_and(|other| other != trigger);
        let bright: Option<u32> = now.brightness.parse().ok();
        let set = trigger == NONE && bright.is_some_and(|bright| self.lit == Some(bright == 0));
        if !driven && !set {
            return None;
        }
        (self.trigger, self.lit, self.before) = (None, None, now.clone());
        Some(now)
    }

    /// Lets the kernel blink it, if it can.
    ///
    /// # Errors
    ///
    /// When the LED is gone.
    pub(super) fn blink(&mut self, pattern: Pattern) -> Result<bool, Error> {
        let full = &self.full;
        let (trigger, files) = match pattern.steps() {
            [] => return Ok(false),
            [lit, dark] => {
                (TIMER, vec![("delay_on", lit.to_string()), ("delay_off", dark.to_string())])
            }
            steps => {
                // Each is given twice, the second time for no time at all: else it would be dimmed
                // from one to the next.
                let step = |(n, step): (usize, &u64)| {
                    let level = if n.is_multiple_of(2) { full } else { "0" };
                    format!("{level} {step} {level} 0")
                };
                let text: Vec<String> = steps.iter().enumerate().map(step).collect();
                (PATTERN, vec![("pattern", text.join(" "))])
            }
        };
        if self.lacking.contains(trigger) {
            return Ok(false);
        }
        let done = self.drive(trigger).and_then(|()| {
            files.iter().try_for_each(|(file, text)| self.write_patiently(file, text))
        });
        match done {
            Ok(()) => Ok(true),
            Err(_) if self.dir.is_dir() => {
                self.lacking.insert(trigger);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the kernel, or nobody, drive it.
    fn drive(&mut self, trigger: &'static str) -> Result<(), Error> {
        if self.trigger == Some(trigger) {
            return Ok(());
        }
        (self.trigger, self.lit) = (None, None);
        match self.write("trigger", trigger) {
            Err(Error::Write { source, .. })
                if trigger == NONE && source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.trigger = Some(trigger);
        Ok(())
    }

    fn write_patiently(&self, file: &str, text: &str) -> Result<(), Error> {
        let (pause, times) = if self.has_udev { UDEV } else { (Duration::ZERO, 0) };
        for _ in 0..times {
            match self.write(file, text) {
                Err(Error::Write { source, .. })
                    if source.kind() == io::ErrorKind::PermissionDenied => {}
                other => return other,
            }
            std::thread::sleep(pause);
        }
        self.write(file, text)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        write(&self.dir.join(file), text)
    }

    fn set(&mut self, level: &str) -> Result<(), Error> {
        self.drive(NONE)?;
        self.write("brightness", level)?;
        self.lit = Some(level != "0");
        Ok(())
    }
}

impl ErrorType for Class {
    type Error = Error;
}

impl OutputPin for Class {
    fn set_low(&mut self) -> Result<(), Error> {
        self.set("0")
    }

    fn set_high(&mut self) -> Result<(), Error> {
        let full = self.full.clone();
        self.set(&full)
    }
}

/// Has an LED show again what it showed; whether there is such an LED.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn restore(root: &Path, name: &str, before: &Before) -> Result<bool, Error> {
    let dir = folder(root).join(name);
    if name.contains('/') || name.starts_with('.') || !dir.is_dir() {
        return Ok(false);
    }
    match &before.trigger {
        Some(trigger) if trigger != NONE => write(&dir.join("trigger"), trigger)?,
        trigger => {
            if trigger.is_some() {
                write(&dir.join("trigger"), NONE)?;
            }
            write(&dir.join("brightness"), &before.brightness)?;
        }
    }
    Ok(true)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let open = || fs::OpenOptions::new().write(true).truncate(true).open(path);
    let written = open().and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap_or_default().trim().to_owned()
}

/// What an LED shows.
fn shown(dir: &Path) -> Before {
    Before { trigger: chosen(&read(dir, "trigger")), brightness: read(dir, "brightness") }
}

/// The trigger in brackets, of all that there are.
fn chosen(triggers: &str) -> Option<String> {
    let (_, rest) = triggers.split_once('[')?;
    rest.split_once(']').map(|(name, _)| name.to_owned())
}
