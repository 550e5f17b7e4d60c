//! Reads the clocks and the random source: the only place that does. Everybody else is given a [`Now`].

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::net::unix::pipe;

use super::sys::{self, LocalTime};
use crate::time::day::Day;
use crate::time::{Instant, Now, Utc};

/// Seconds of a day.
const DAY: i64 = 86_400;
/// A wall clock that reads earlier than this has never been set: 2024-01-01T00:00:00Z, in
/// milliseconds. A board without a battery-backed clock starts in 1970, or at its last shutdown.
const EARLIEST_PLAUSIBLE: u64 = 1_704_067_200_000;

/// What time it is. Monotonic time is `CLOCK_BOOTTIME`, which also runs while the box sleeps.
#[must_use]
pub fn now() -> Now {
    let mono = read(ClockId::CLOCK_BOOTTIME).map_or(Instant::ZERO, |t| {
        Instant::from_micros(u64::try_from(t.as_micros()).unwrap_or(u64::MAX))
    });
    Now { mono, utc: read(ClockId::CLOCK_REALTIME).and_then(plausible) }
}

/// The day of a moment where the box is.
#[must_use]
pub fn local_day(at: Utc) -> Option<Day> {
    let local = sys::local_time(at.0 / 1000)?;
    Day::new(local.year, local.month, local.day)
}

/// The moment at which a day begins where the box is.
#[must_use]
pub fn midnight(day: Day) -> Option<Utc> {
    utc_of(day.days() * DAY)
}

/// The moment at which clocks of the box's zone show this: seconds from 1970 to it as if it were UTC.
#[must_use]
pub fn utc_of(shown: i64) -> Option<Utc> {
    // Twice: what is an hour off by a change of the clocks is right the second time. An hour that does not exist
    // is the one behind it.
    let mut guess = shown;
    for _ in 0..2 {
        let local = sys::local_time(u64::try_from(guess).ok()?)?;
        guess += shown - seconds_of(local)?;
    }
    let since_1970 = Duration::from_secs(u64::try_from(guess).ok()?);
    Some(Utc(u64::try_from(since_1970.as_millis()).ok()?))
}

fn seconds_of(at: LocalTime) -> Option<i64> {
    let days = Day::new(at.year, at.month, at.day)?.days();
    let of_day = i64::from(at.hour) * 3600 + i64::from(at.minute) * 60 + i64::from(at.second);
    Some(days * DAY + of_day)
}

/// The day where the box is, if it knows.
#[must_use]
pub fn today() -> Option<Day> {
    local_day(now().utc?)
}

/// Waits until the monotonic clock reads at least `deadline`.
pub async fn sleep_until(deadline: Instant) {
    // tokio's timers stand still while the box sleeps, so the clock has the last word.
    loop {
        let left = deadline.since(now().mono);
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// A timer of the kernel's own (`timerfd_create(2)`), for whoever waits all the time. tokio's timers wake a thread on
/// the way, once or twice a second, to sort those that are far off.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// The same descriptor as tokio waits for it. It can be read as a pipe can.
    rings: pipe::Receiver,
    /// What it was last set to.
    set: Option<Instant>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(timerfd::ClockId::CLOCK_BOOTTIME, flags)?;
        let rings = timer.as_fd().try_clone_to_owned()?;
        Ok(Self { timer, rings: pipe::Receiver::from_owned_fd_unchecked(rings)?, set: None })
    }

    /// Waits until the monotonic clock reads at least `deadline`.
    pub async fn wait_until(&mut self, deadline: Instant) {
        while now().mono < deadline {
            if !self.is_set(deadline) || self.rings.readable().await.is_err() {
                return sleep_until(deadline).await;
            }
            // It may have rung for an earlier deadline while nobody waited: then it is set again.
            let _ = self.rings.try_read(&mut [0; 8]);
            self.set = None;
        }
    }

    /// Sets it, unless it is already; whether the kernel took that.
    fn is_set(&mut self, deadline: Instant) -> bool {
        if self.set != Some(deadline) {
            let at =
                Expiration::OneShot(TimeSpec::from(Duration::from_micros(deadline.as_micros())));
            let taken = self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME);
            self.set = taken.is_ok().then_some(deadline);
        }
        self.set.is_some()
    }
}

/// A random number to start generators from. It comes from the system's random source
/// (`getrandom(2)`, else `/dev/urandom`) by way of the standard library's hash keys, which
/// cannot fail and need no file.
#[must_use]
pub fn seed() -> u64 {
    RandomState::new().hash_one(0_u64)
}

/// Bytes that nobody can guess, from the system's random source (getrandom(2)). Waits for it if the box
/// has only just booted.
///
/// # Errors
///
/// When the system has none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// Time since a clock's origin. Both clocks exist in every kernel since 2.6.39.
fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(|t: TimeSpec| Duration::from(t))
}

/// The wall-clock time, unless nobody has set the clock yet.
fn plausible(since_1970: Duration) -> Option<Utc> {
    let millis = u64::try_from(since_1970.as_millis()).ok()?;
    (millis >= EARLIEST_PLAUSIBLE).then_some(Utc(millis))
}

/// Which boot this is: the same until the box boots again (`random(4)`, shortened).
#[must_use]
pub fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// What the box calls itself (`uname -n`).
/// `None` where it cannot be read or was never set.
#[must_use]
pub fn hostname() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty() && name != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_moves_on() {
        let before = now().mono;
        assert!(before > Instant::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert!(now().mono.since(before) >= Duration::from_millis(2));
    }

    #[test]
    fn a_clock_that_was_never_set_is_no_clock() {
        assert_eq!(plausible(Duration::from_secs(40)), None);
        assert_eq!(plausible(Duration::from_millis(EARLIEST_PLAUSIBLE - 1)), None);
        let set = Duration::from_millis(EARLIEST_PLAUSIBLE);
        assert_eq!(plausible(set), Some(Utc(EARLIEST_PLAUSIBLE)));
        assert_eq!(Utc(EARLIEST_PLAUSIBLE).to_string(), "2024-01-01T00:00:00.000Z");
    }

    #[test]
    fn sleeping_ends_at_the_deadline_and_not_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let start = now().mono;
        runtime.block_on(sleep_until(start + Duration::from_millis(20)));
        assert!(now().mono.since(start) >= Duration::from_millis(20));
        runtime.block_on(sleep_until(start));
        assert!(now().mono.since(start) < Duration::from_secs(5));
    }

    #[test]
    fn an_alarm_rings_at_its_deadline_however_often_it_is_set() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut alarm = Alarm::new().unwrap();
            let in_ms = |ms| now().mono + Duration::from_millis(ms);
            for _ in 0..3 {
                // One that nobody waits for any more, and that rings meanwhile.
                let dropped =
                    tokio::time::timeout(Duration::from_millis(1), alarm.wait_until(in_ms(10)));
                assert!(dropped.await.is_err());
                tokio::time::sleep(Duration::from_millis(20)).await;
                let deadline = in_ms(40);
                let rings =
                    tokio::time::timeout(Duration::from_secs(20), alarm.wait_until(deadline));
                rings.await.expect("it rings");
                assert!(now().mono >= deadline);
            }
            alarm.wait_until(Instant::ZERO).await;
        });
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(seed(), seed());
        assert_ne!(random::<16>().unwrap(), random().unwrap());
    }
}
