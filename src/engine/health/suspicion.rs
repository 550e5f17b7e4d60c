//! The suspicion burst: many quick questions to several targets, ended by the first answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Condition;
use crate::config::Kind;
use crate::time::Instant;

/// What a line is to the household now; sets how closely it is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    Active,
    #[default]
    Spare,
    /// Could take over, but every probe costs.
    MeteredSpare,
}

/// How a line is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Between base probes, with traffic.
    pub base: Duration,
    /// Between base probes, without traffic.
    pub idle: Duration,
    /// Between base probes while traffic goes out and nothing comes back.
    pub one_sided: Duration,
    /// Between ticks of a burst.
    pub tick: Duration,
    /// A probe is late after SRTT + 4·RTTVAR, but not before …
    pub late_min: Duration,
    /// … and not after.
    pub late_max: Duration,
    /// The window of a spare is fixed; that of the active one is learned.
    pub fixed_window: Option<Duration>,
}

/// A window must contain so many ticks of the burst.
pub const MIN_TICKS: u32 = 5;

impl Profile {
    /// The profile of such a line in that duty.
    #[must_use]
    pub const fn of(kind: Kind, duty: Duty) -> Self {
        match (duty, kind) {
            (Duty::Active, Kind::Wired | Kind::Wifi) => Self {
                base: Duration::from_secs(1),
                idle: Duration::from_secs(1),
                one_sided: Duration::from_millis(250),
                tick: Duration::from_millis(50),
                late_min: Duration::from_millis(50),
                late_max: Duration::from_millis(300),
                fixed_window: None,
            },
            (Duty::Active, Kind::Cellular) => Self {
                base: Duration::from_secs(1),
                idle: Duration::from_secs(5),
                one_sided: Duration::from_secs(1),
                tick: Duration::from_millis(100),
                late_min: Duration::from_millis(100),
                late_max: Duration::from_millis(500),
                fixed_window: None,
            },
            (Duty::Spare, _) => Self {
                base: Duration::from_secs(5),
                idle: Duration::from_secs(5),
                one_sided: Duration::from_secs(5),
                tick: Duration::from_millis(500),
                late_min: Duration::from_secs(1),
                late_max: Duration::from_secs(1),
                fixed_window: Some(Duration::from_secs(5)),
            },
            (Duty::MeteredSpare, _) => Self {
                base: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                one_sided: Duration::from_secs(60),
                tick: Duration::from_millis(500),
                late_min: Duration::from_secs(3),
                late_max: Duration::from_secs(3),
                fixed_window: Some(Duration::from_secs(5)),
            },
        }
    }
}

/// Whether the silence of a line's gateway would say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// It has answered before.
    Known,
    /// There is none, or none that has ever answered.
    Unknown,
}

/// A burst under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    pub ticks: u32,
    /// When the next tick is due.
    pub next: Instant,
    /// When the last one was sent.
    pub last: Instant,
    /// When enough of them had been sent.
    pub enough: Option<Instant>,
    /// The gateway answered a question of this burst.
    pub gateway_answered: bool,
}

impl Burst {
    /// A burst that begins now.
    #[must_use]
    pub const fn begin(now: Instant) -> Self {
        Self { ticks: 0, next: now, last: now, enough: None, gateway_answered: false }
    }

    /// One tick is sent.
    pub fn tick(&mut self, now: Instant, every: Duration) {
        self.ticks += 1;
        self.last = now;
        self.next = now + every;
        if self.ticks == MIN_TICKS {
            self.enough = Some(now);
        }
    }

    /// When the verdict may fall: the window is over, it contained enough ticks, and the last of
    /// those had time to be answered.
    #[must_use]
    pub fn over_at(&self, silent_since: Instant, window: Duration, tick: Duration) -> Instant {
        let window_end = silent_since + window;
        let missing = MIN_TICKS.saturating_sub(self.ticks);
        let enough = self.enough.unwrap_or(self.last + tick * missing);
        window_end.max(enough + tick)
    }

    /// What the silence means.
    #[must_use]
    pub const fn condition(&self, gateway: Gateway) -> Condition {
        match gateway {
            Gateway::Known if !self.gateway_answered => Condition::ModemSilent,
            Gateway::Known | Gateway::Unknown => Condition::BeyondModem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_waits_for_the_window_and_for_enough_ticks_and_for_nothing_else() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let (window, tick) = (Duration::from_millis(300), Duration::from_millis(50));
        let mut burst = Burst::begin(at(200));
        for n in 0..20 {
            burst.tick(at(200 + 50 * n), tick);
            assert_eq!(
                burst.over_at(at(0), window, tick),
                at(450),
                "five ticks, and time to answer"
            );
            assert_eq!(burst.over_at(at(100), window * 2, tick), at(700), "the window is longer");
        }
    }
}
