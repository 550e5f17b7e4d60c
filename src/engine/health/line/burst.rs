//! The suspicion burst: many quick questions to several targets, ended by the first answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::health::Condition;
use crate::time::Instant;

/// A burst under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Burst {
    ticks: u32,
    next: Instant,
    last: Instant,
    /// When enough of them had been sent.
    enough: Option<Instant>,
    /// The gateway answered a question of this burst.
    gateway_answered: bool,
    /// The verdict has fallen, and it goes on until then.
    until: Option<Instant>,
}

/// Whether the silence of a line's gateway would say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    /// It has answered before.
    Known,
    /// There is none, or none that has ever answered.
    Unknown,
}

/// What is due in a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Questions; the number of the tick, from 1.
    Tick(u32),
    /// Its end.
    End,
}

/// A window must contain so many ticks of the burst.
pub(super) const MIN_TICKS: u32 = 5;

impl Burst {
    /// A burst that begins now.
    pub(super) const fn begin(now: Instant) -> Self {
        let (enough, gateway_answered, until) = (None, false, None);
        Self { ticks: 0, next: now, last: now, enough, gateway_answered, until }
    }

    /// The same from its beginning: what was not heard so far proves nothing.
    pub(super) const fn begin_again(self, now: Instant) -> Self {
        Self { until: self.until, ..Self::begin(now) }
    }

    /// The same, but it ends then.
    pub(super) const fn linger(self, until: Instant) -> Self {
        Self { until: Some(until), ..self }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.next
    }

    /// The gateway answered.
    pub(super) const fn gateway_answered(&mut self) {
        self.gateway_answered = true;
    }

    /// What is due, if ticks follow each other by `every`.
    pub(super) fn tick(&mut self, every: Duration, now: Instant) -> Due {
        if self.next > now {
            return Due::Nothing;
        }
        if self.until.is_some_and(|until| until <= now) {
            return Due::End;
        }
        self.ticks += 1;
        self.last = now;
        self.next = now + every;
        if self.ticks == MIN_TICKS {
            self.enough = Some(now);
        }
        Due::Tick(self.ticks)
    }

    /// When the verdict may fall: the window is over, it contained enough ticks, and the last of
    /// those had time to be answered.
    pub(super) fn over_at(
        &self,
        silent_since: Instant,
        window: Duration,
        tick: Duration,
    ) -> Instant {
        let window_end = silent_since + window;
        let missing = MIN_TICKS.saturating_sub(self.ticks);
        let enough = self.enough.unwrap_or(self.last + tick * missing);
        window_end.max(enough + tick)
    }

    /// What the silence means.
    pub(super) const fn condition(&self, gateway: Gateway) -> Condition {
        match gateway {
            Gateway::Known if !self.gateway_answered => Condition::ModemSilent,
            Gateway::Known | Gateway::Unknown => Condition::BeyondModem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn the_verdict_waits_for_the_window_and_for_enough_ticks_and_for_nothing_else() {
        let (window, tick) = (Duration::from_millis(300), Duration::from_millis(50));
        let mut burst = Burst::begin(at(200));
        for n in 0..20 {
            burst.tick(tick, at(200 + 50 * n));
            assert_eq!(
                burst.over_at(at(0), window, tick),
                at(450),
                "five ticks, and time to answer"
            );
            assert_eq!(burst.over_at(at(100), window * 2, tick), at(700), "the window is longer");
        }
    }

    #[test]
    fn after_the_verdict_it_goes_on_for_a_while() {
        let tick = Duration::from_millis(50);
        let mut burst = Burst::begin(at(0));
        assert_eq!(burst.tick(tick, at(0)), Due::Tick(1));
        assert_eq!(burst.tick(tick, at(49)), Due::Nothing);
        let mut burst = burst.linger(at(120));
        assert_eq!(burst.tick(tick, at(50)), Due::Tick(2));
        let mut again = burst.begin_again(at(90));
        assert_eq!(again.tick(tick, at(90)), Due::Tick(1), "from its beginning");
        for mut burst in [burst, again] {
            assert_eq!(burst.tick(tick, at(150)), Due::End);
        }
    }

    #[test]
    fn a_silent_gateway_is_blamed_only_if_it_ever_answered() {
        let mut burst = Burst::begin(at(0));
        assert_eq!(burst.condition(Gateway::Known), Condition::ModemSilent);
        assert_eq!(burst.condition(Gateway::Unknown), Condition::BeyondModem);
        burst.gateway_answered();
        assert_eq!(burst.condition(Gateway::Known), Condition::BeyondModem);
    }
}
