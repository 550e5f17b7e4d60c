//! Death at a chosen moment, so that tests can see what the kernel is left with. There is something
//! in here only in debug builds with the cargo feature `faults`; no release build has it.
//!
//! Like `io::clock` this is shared ground: every change of the kernel is announced here.

/// A file is about to be flushed; a disk may take its time for that, or fail.
#[cfg(not(all(feature = "faults", debug_assertions)))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "a disk can fail where faults are tried")]
pub(crate) const fn flush() -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(feature = "faults", debug_assertions))]
pub(crate) use deadly::flush;

/// The power is there, but in a test that cuts it.
#[cfg(not(test))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "a test can cut the power")]
pub(crate) const fn power() -> std::io::Result<()> {
    Ok(())
}

/// How many of so many bytes are still written.
#[cfg(not(test))]
#[inline]
pub(crate) const fn power_lasts(bytes: usize) -> usize {
    bytes
}

#[cfg(test)]
pub(crate) use cut::{power, power_lasts};

/// A power cut at a chosen step of what this thread does with the disk.
#[cfg(test)]
pub(crate) mod cut {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Steps until the power goes; from then on nothing reaches the disk.
        static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
        static TAKEN: Cell<u64> = const { Cell::new(0) };
        static GONE: Cell<bool> = const { Cell::new(false) };
    }

    /// The power goes after so many steps from now on, or stays.
    pub(crate) fn after(steps: Option<u64>) {
        LEFT.set(steps);
        TAKEN.set(0);
        GONE.set(false);
    }

    /// One step with the disk, for which there has to be power.
    pub(crate) fn power() -> io::Result<()> {
        TAKEN.set(TAKEN.get() + 1);
        match LEFT.get() {
            Some(0) => {
                GONE.set(true);
                Err(io::Error::other("the power is gone"))
            }
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How many of so many bytes are written: in the step in which the power goes a part of them, and none
    /// afterwards.
    pub(crate) fn power_lasts(bytes: usize) -> usize {
        match LEFT.get() {
            Some(0) if GONE.get() => 0,
            Some(0) => usize::try_from(TAKEN.get() * 7).unwrap_or(0) % (bytes + 1),
            Some(_) | None => bytes,
        }
    }
}

/// A change of the kernel that is about to be made, by its number since counting began.
#[derive(Debug)]
#[must_use = "what follows the change is told by `done`"]
pub(crate) struct Write {
    #[cfg(all(feature = "faults", debug_assertions))]
    number: Option<u64>,
}

/// Panics if an earlier run left this many switches and `SPARELINK_PANIC_IF_SWITCHES` names the same number.
pub(crate) fn panic_if_restored(switches: u64) {
    #[cfg(all(feature = "faults", debug_assertions))]
    {
        let named = std::env::var_os("SPARELINK_PANIC_IF_SWITCHES");
        assert!(named != Some(switches.to_string().into()), "asked to panic");
    }
    let _ = switches;
}

#[cfg(not(all(feature = "faults", debug_assertions)))]
impl Write {
    #[inline]
    pub(crate) const fn begin(_what: &str) -> Self {
        Self {}
    }

    #[inline]
    pub(crate) const fn done(self) {}
}

#[cfg(all(feature = "faults", debug_assertions))]
mod deadly {
    use std::fs::{File, read_to_string};
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use nix::sys::signal::{Signal, raise};

    use super::Write;

    /// Names a file with the moment of death, `before 3` or `after 3` for the third change from
    /// now on. As long as there is no such file nothing is counted; when its words change counting
    /// begins again. Each change adds a line to the file with `.log` at its name's end.
    const VARIABLE: &str = "SPARELINK_DIE_AT_SEND";

    /// Milliseconds that every flush of a file takes longer.
    const SLOW_DISK: &str = "SPARELINK_SLOW_DISK_MS";

    /// While there is a file of this name, flushes fail (`EIO`).
    const BROKEN_DISK: &str = "SPARELINK_BROKEN_DISK";

    /// A file is about to be flushed.
    pub(crate) fn flush() -> std::io::Result<()> {
        if std::env::var_os(BROKEN_DISK).is_some_and(|file| Path::new(&file).exists()) {
            return Err(nix::errno::Errno::EIO.into());
        }
        let slow = std::env::var_os(SLOW_DISK).and_then(|text| text.to_str()?.parse().ok());
        if let Some(milliseconds) = slow {
            std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        }
        Ok(())
    }

    /// The words that counting began with, and how many changes there were since.
    static COUNTED: Mutex<(String, u64)> = Mutex::new((String::new(), 0));

    impl Write {
        /// Announces a change; this may be the end.
        pub(crate) fn begin(what: &str) -> Self {
            let number = count(what);
            if let Some(number) = number {
                die_if(&format!("before {number}"));
            }
            Self { number }
        }

        /// The change is made; this may be the end.
        pub(crate) fn done(self) {
            if let Some(number) = self.number {
                die_if(&format!("after {number}"));
            }
        }
    }

    fn count(what: &str) -> Option<u64> {
        let file = std::env::var_os(VARIABLE)?;
        let words = read_to_string(&file).ok()?;
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != words {
            *counted = (words, 0);
        }
        counted.1 += 1;
        let log = Path::new(&file).with_extension("log");
        let line = format!("{} {what}\n", counted.1);
        // Without a log there is still a death.
        drop(File::options().create(true).append(true).open(log).map(|mut log| {
            let _ = log.write_all(line.as_bytes());
        }));
        Some(counted.1)
    }

    fn die_if(moment: &str) {
        let counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0.trim() == moment {
            let _ = raise(Signal::SIGKILL);
        }
    }
}
