//! How often a day the history may be written, and how much: flash wears out by it.
//!
//! A flush is allowed now and then, and some may be saved up for a bad hour. So a day has at most those that were
//! saved and those that come: 184 of 256 on a usual box, 20 of 24 on one whose flash is small; the others are for
//! what else is kept (`state.json`: two at each end and once a day).

use std::path::Path;
use std::time::Duration;

use crate::time::Instant;

/// What the box keeps its files on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Flash {
    /// A card, a disk.
    Usual,
    /// The few megabytes of a router, which cannot be replaced.
    Small,
}

impl Flash {
    pub(in crate::daemon) fn of_this_box() -> Self {
        if Path::new("/etc/openwrt_release").exists() { Self::Small } else { Self::Usual }
    }

    const fn rates(self) -> Rates {
        match self {
            Self::Usual => Rates {
                every: Duration::from_secs(600),
                bytes: 5 << 10,
                saved: 40,
                most: 128 << 10,
            },
            Self::Small => {
                Rates { every: Duration::from_secs(5400), bytes: 2 << 10, saved: 4, most: 12 << 10 }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rates {
    /// One flush comes this often, …
    every: Duration,
    /// … and with it so many bytes.
    bytes: i64,
    /// So many flushes are saved up, …
    saved: u64,
    /// … and bytes.
    most: i64,
}

/// How long a line may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    AtOnce,
    /// The last flush that is left is for what cannot.
    CanWait,
}

/// What is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    flash: Flash,
    flushes: u64,
    /// Below zero after a line that was larger than what was left.
    bytes: i64,
    filled: Instant,
}

impl Allowance {
    pub(super) const fn new(flash: Flash, now: Instant) -> Self {
        let rates = flash.rates();
        Self { flash, flushes: rates.saved, bytes: rates.most, filled: now }
    }

    /// Takes one flush; how many bytes it may have.
    ///
    /// # Errors
    ///
    /// When there is none left: when to ask again.
    pub(super) fn flush(&mut self, urgency: Urgency, now: Instant) -> Result<u64, Instant> {
        let rates = self.flash.rates();
        while now.since(self.filled) >= rates.every {
            self.filled = self.filled + rates.every;
            self.flushes = (self.flushes + 1).min(rates.saved);
            self.bytes = (self.bytes + rates.bytes).min(rates.most);
            if self.flushes == rates.saved && self.bytes == rates.most {
                // It may have been full for weeks.
                self.filled = self.filled.max(now - rates.every);
            }
        }
        let least = match urgency {
            Urgency::AtOnce => 1,
            Urgency::CanWait => 2,
        };
        let bytes = u64::try_from(self.bytes).unwrap_or(0);
        if self.flushes < least || bytes == 0 {
            return Err(self.filled + rates.every);
        }
        self.flushes -= 1;
        Ok(bytes)
    }

    /// How often it is said that the agent runs where nothing else says so: what a power cut leaves open is at most
    /// that long, and a tenth of the flushes are enough for it.
    pub(super) const fn marks_every(&self) -> Duration {
        match self.flash {
            Flash::Usual => Duration::from_secs(3600),
            Flash::Small => Duration::from_secs(6 * 3600),
        }
    }

    /// So many bytes were written.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// Flushes and bytes of the worst of ten days: a line as often as that, each written as soon as it may be.
    fn worst_day(flash: Flash, every: usize, urgency: Urgency) -> (u64, u64) {
        let mut allowance = Allowance::new(flash, at(0));
        let (mut waiting, mut worst) = (0, (0, 0));
        for day in 0..10 {
            let (mut flushes, mut bytes) = (0, 0);
            for second in (day * 86_400..(day + 1) * 86_400).step_by(every) {
                waiting += 350;
                if let Ok(most) = allowance.flush(urgency, at(second)) {
                    flushes += 1;
                    // The last line may be too large, and what waits is bounded.
                    let batch = waiting.min(most + 350);
                    bytes += batch;
                    allowance.spend(batch);
                    waiting = (waiting - batch).min(500 * 350);
                }
            }
            worst = (worst.0.max(flushes), worst.1.max(bytes));
        }
        worst
    }

    #[test]
    fn a_day_has_its_bounds_whatever_happens() {
        for urgency in [Urgency::AtOnce, Urgency::CanWait] {
            for every in [1, 7, 60, 600, 4000] {
                let (flushes, bytes) = worst_day(Flash::Usual, every, urgency);
                assert!(flushes <= 250 && bytes <= 1 << 20, "{every}: {flushes}, {bytes}");
                let (flushes, bytes) = worst_day(Flash::Small, every, urgency);
                assert!(flushes <= 20 && bytes <= 60 << 10, "{every}: {flushes}, {bytes}");
            }
        }
        let (flushes, bytes) = worst_day(Flash::Small, 600, Urgency::AtOnce);
        assert!(flushes >= 15 && bytes > 30 << 10, "control: {flushes}, {bytes}");
    }

    #[test]
    fn one_flush_is_left_for_what_cannot_wait() {
        let mut allowance = Allowance::new(Flash::Small, at(0));
        let flushed = (0..9).filter(|_| allowance.flush(Urgency::CanWait, at(1)).is_ok()).count();
        assert_eq!(flushed, 3);
        assert!(allowance.flush(Urgency::AtOnce, at(2)).is_ok());
        assert_eq!(allowance.flush(Urgency::AtOnce, at(3)), Err(at(5400)));
        assert!(allowance.flush(Urgency::AtOnce, at(5400)).is_ok());
        assert!(allowance.flush(Urgency::AtOnce, at(1_000_000)).is_ok());
        let many = (0..9).filter(|_| allowance.flush(Urgency::AtOnce, at(1_000_000)).is_ok());
        assert_eq!(many.count(), 3, "no more than four are saved up");
    }
}
