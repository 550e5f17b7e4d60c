//! How often a password may be tried. Time is an argument.
//!
//! Whoever fails waits: one second, then two, four, up to a quarter of an hour. All together have this
//! many tries a minute, whoever they are. These come out of two token buckets: one for addresses that have not failed
//! lately, one for those that have. So a device that guesses all day uses up its own bucket and not that
//! of the person who comes home and types the password; and there is no number of failures after
//! which the box is closed to everybody. Over ssh, `sparelink` on the box needs no password.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::time::Instant;

/// The wait after the first failure; each one after doubles it …
const FIRST: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// An address that has failed is not remembered for longer after its last try.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Addresses that are remembered; who failed longest ago makes room.
const MOST: usize = 256;
/// Each bucket gets a try so often: ten a minute.
const EVERY: Duration = Duration::from_secs(6);
/// What the two hold at most.
const NEWCOMERS: u32 = 10;
const OTHERS: u32 = 5;

/// What is remembered of the tries.
#[derive(Debug)]
pub(super) struct Tries {
    failed: BTreeMap<IpAddr, Failed>,
    newcomers: TokenBucket,
    others: TokenBucket,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    times: u32,
    last: Instant,
}

impl Default for Tries {
    fn default() -> Self {
        Self {
            failed: BTreeMap::new(),
            newcomers: TokenBucket::new(NEWCOMERS),
            others: TokenBucket::new(OTHERS),
        }
    }
}

impl Tries {
    /// Lets somebody try. Until [`Self::forgive`] it counts as a failure, so that tries at the same moment
    /// are one after the other. Returns how many there have been in a row.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(super) fn admit(&mut self, from: IpAddr, now: Instant) -> Result<u32, Duration> {
        self.failed.retain(|_, failed| now.since(failed.last) < REMEMBERED);
        let who = shared(from);
        let before = self.failed.get(&who).copied();
        if let Some(failed) = before {
            let left = (failed.last + pause(failed.times)).since(now);
            if !left.is_zero() {
                return Err(left);
            }
        }
        let bucket = if before.is_some() { &mut self.others } else { &mut self.newcomers };
        bucket.take(now)?;
        if before.is_none() && self.failed.len() >= MOST {
            let oldest = self.failed.iter().min_by_key(|(_, failed)| failed.last);
            if let Some(oldest) = oldest.map(|(who, _)| *who) {
                self.failed.remove(&oldest);
            }
        }
        let times = before.unwrap_or_default().times.saturating_add(1);
        self.failed.insert(who, Failed { times, last: now });
        Ok(times)
    }

    /// The one who was admitted did not know the password, as is known now: the wait begins with the answer,
    /// however long that took.
    pub(super) fn refuse(&mut self, from: IpAddr, now: Instant) {
        if let Some(failed) = self.failed.get_mut(&shared(from)) {
            failed.last = now;
        }
    }

    /// The one who was admitted knew the password.
    pub(super) fn forgive(&mut self, from: IpAddr) {
        self.failed.remove(&shared(from));
    }
}

/// The wait after this many failures in a row.
pub(super) fn pause(times: u32) -> Duration {
    let doubled = 1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST.saturating_mul(doubled).min(LONGEST)
}

/// An IPv6 host has as many addresses as it likes in its network of 64 bits; they count as one.
fn shared(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// Tries that are there to be had.
#[derive(Debug)]
struct TokenBucket {
    holds: u32,
    /// When it is full again.
    full_at: Instant,
}

impl TokenBucket {
    const fn new(holds: u32) -> Self {
        Self { holds, full_at: Instant::ZERO }
    }

    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + EVERY;
        let missing = full_at.since(now);
        match missing.checked_sub(EVERY * self.holds) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.full_at = full_at;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NOW: Instant = Instant::from_micros(1_000_000_000);

    fn ip(n: usize) -> IpAddr {
        IpAddr::from([10, 0, u8::try_from(n / 256).unwrap(), u8::try_from(n % 256).unwrap()])
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour() {
        let mut tries = Tries::default();
        let mut now = NOW;
        for (failures, seconds) in
            (1_u32..).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900])
        {
            assert_eq!(tries.admit(ip(1), now), Ok(failures));
            let wait = SECOND * seconds;
            assert_eq!(tries.admit(ip(1), now), Err(wait), "after {failures}");
            now = now + wait - Duration::from_millis(1);
            assert_eq!(tries.admit(ip(1), now), Err(Duration::from_millis(1)));
            now = now + Duration::from_millis(1);
        }
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn who_knows_the_password_is_forgiven_and_who_gives_up_forgotten() {
        let mut tries = Tries::default();
        assert_eq!(tries.admit(ip(1), NOW), Ok(1));
        tries.forgive(ip(1));
        assert_eq!(tries.admit(ip(1), NOW), Ok(1));
        assert!(tries.admit(ip(1), NOW).is_err(), "control");
        tries.refuse(ip(1), NOW + SECOND * 3);
        assert_eq!(tries.admit(ip(1), NOW + SECOND * 3), Err(SECOND), "from the answer on");
        assert_eq!(tries.admit(ip(2), NOW), Ok(1), "another is not meant");
        assert_eq!(tries.admit(ip(1), NOW + SECOND * 3 + REMEMBERED), Ok(1));
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut tries = Tries::default();
        tries.admit(ip("fd00::1"), NOW).unwrap();
        assert!(tries.admit(ip("fd00::ffff:1"), NOW).is_err());
        assert!(tries.admit(ip("fd00:0:0:1::1"), NOW).is_ok());
        tries.admit(ip("192.168.1.1"), NOW).unwrap();
        assert!(tries.admit(ip("::ffff:192.168.1.1"), NOW).is_err());
        assert!(tries.admit(ip("192.168.1.2"), NOW).is_ok());
    }

    /// This many tries, one every so often, from this many addresses in turn: how many pass.
    fn pass(number: u32, every: Duration, addresses: usize) -> u32 {
        let mut tries = Tries::default();
        let (mut now, mut passed) = (NOW, 0);
        for n in 0..number {
            passed +=
                u32::from(tries.admit(ip(usize::try_from(n).unwrap() % addresses), now).is_ok());
            assert!(tries.failed.len() <= MOST);
            now = now + every;
        }
        passed
    }

    #[test]
    fn ten_thousand_tries_are_few() {
        // From one address, all at once: one. One a second: ten in the first 17 minutes, then four an hour.
        assert_eq!(pass(10_000, Duration::ZERO, 1), 1);
        let slow = pass(10_000, SECOND, 1);
        assert!((15..=21).contains(&slow), "{slow}");
        // From a whole network, and from more addresses than are remembered: what the buckets give.
        assert_eq!(pass(10_000, Duration::ZERO, 200), NEWCOMERS);
        for addresses in [200, 1000, 10_000] {
            let passed = pass(10_000, SECOND, addresses);
            let most = NEWCOMERS + OTHERS + 2 * 10_000 / 6;
            assert!(passed <= most, "{passed} from {addresses}");
        }
    }

    #[test]
    fn who_guesses_all_day_is_not_in_the_way_of_the_owner() {
        let mut tries = Tries::default();
        let mut now = NOW;
        for n in 0..20_000 {
            let _ = tries.admit(ip(n % 100), now);
            now = now + Duration::from_millis(500);
        }
        let owner = IpAddr::from([192, 168, 1, 20]);
        assert_eq!(tries.admit(owner, now), Ok(1), "at the first try");
        // Even one who never comes twice with the same address only makes the owner try again.
        let mut waited = 0;
        for n in 0..60_000 {
            let _ = tries.admit(ip(1000 + n), now);
            now = now + Duration::from_millis(100);
            if n % 70 == 0 {
                waited += 1;
                match tries.admit(IpAddr::from([192, 168, 1, 21]), now) {
                    Ok(_) => return,
                    Err(wait) => assert!(wait <= EVERY, "{wait:?}"),
                }
            }
        }
        panic!("not in {waited} tries");
    }
}
