//! A model of one line: how long an answer takes, and whether it comes at all.

use std::net::IpAddr;
use std::time::Duration;

use super::rng::Rng;
use crate::time::Instant;
use crate::units::{Family, PerFamily};

/// How a line behaves while nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nature {
    /// Round trip to the Internet.
    pub delay: Duration,
    /// Mean of what is added to it (exponentially distributed).
    pub jitter: Duration,
    /// Probability that a question or its answer is lost.
    pub loss: f64,
    /// Loss that comes in bursts (Gilbert 1960, Elliott 1963).
    pub bursts: Option<Bursts>,
}

/// A line that is bad for a moment, again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Mean length of a burst.
    pub length: Duration,
    /// Share of the time that is inside bursts.
    pub share: f64,
    /// Probability of loss inside.
    pub loss: f64,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Cut beyond the modem, which goes on answering by itself.
    pub severed: PerFamily<bool>,
    /// The modem is dead; the link to it still has carrier (a switch stands in between).
    pub modem_dead: bool,
    /// The modem answers names and plain web pages in the name of others while the line is cut.
    pub hijacks: bool,
    /// The modem answers echoes in the name of this target.
    pub poses_as: Option<IpAddr>,
    /// The modem lets through only DNS and ICMP, and answers the web itself.
    pub portal: bool,
    pub dns_broken: bool,
    /// The line's own resolvers do not answer.
    pub resolvers_broken: bool,
    /// Echoes to the Internet are thrown away.
    pub no_echoes: bool,
    /// 400 ms longer, each way.
    pub slow: bool,
    /// Answers take this much longer.
    pub delay: Duration,
    /// Probability of loss on top of the line's own.
    pub loss: f64,
    /// An upload fills the modem's queue, since then.
    pub bloated: Option<Instant>,
}

/// What goes through a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// To the modem itself.
    Gateway,
    /// ICMP echo to the Internet.
    Echo,
    Dns,
    Other,
}

/// A line at run time.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is like.
    pub nature: Nature,
    /// What is wrong with it.
    pub faults: Faults,
    rng: Rng,
    in_burst: bool,
    burst_ends: Instant,
    /// How long the modem's queue was when the upload ended, and when that was.
    drains: Option<(Instant, Duration)>,
}

/// A modem's queue is full at this much delay …
const BLOAT_FULL: Duration = Duration::from_secs(2);
/// … and fills by this much a second: the upload is half as fast again as the line.
const BLOAT_RATE: f64 = 0.5;
/// The way to the modem and back.
const TO_MODEM: Duration = Duration::from_micros(700);
const SLOW: Duration = Duration::from_millis(800);

impl Line {
    /// A line without faults.
    #[must_use]
    pub const fn new(nature: Nature, rng: Rng) -> Self {
        let faults = Faults {
            severed: PerFamily { v4: false, v6: false },
            modem_dead: false,
            hijacks: false,
            poses_as: None,
            portal: false,
            dns_broken: false,
            resolvers_broken: false,
            no_echoes: false,
            slow: false,
            delay: Duration::ZERO,
            loss: 0.0,
            bloated: None,
        };
        Self { nature, faults, rng, in_burst: false, burst_ends: Instant::ZERO, drains: None }
    }

    /// Whether anything gets through to the Internet at all.
    #[must_use]
    pub const fn is_dead(&self, family: Family) -> bool {
        *self.faults.severed.get(family) || self.faults.modem_dead || self.faults.loss >= 1.0
    }

    /// Whether the modem answers in the name of others.
    #[must_use]
    pub const fn answers_for_others(&self, family: Family) -> bool {
        self.faults.hijacks && *self.faults.severed.get(family) && !self.faults.modem_dead
    }

    /// The upload ends: the queue runs empty.
    pub fn end_bloat(&mut self, now: Instant) {
        let queue = self.queue(now);
        self.faults.bloated = None;
        self.drains = Some((now, queue));
    }

    /// How long the answer to a packet sent now takes; `None`: none comes. Time must not run
    /// backwards from one call to the next.
    pub fn pass(&mut self, packet: Packet, family: Family, now: Instant) -> Option<Duration> {
        if packet == Packet::Gateway {
            return (!self.faults.modem_dead).then_some(TO_MODEM);
        }
        if packet == Packet::Dns && self.answers_for_others(family) {
            return Some(TO_MODEM);
        }
        let refused = match packet {
            Packet::Echo => self.faults.no_echoes,
            Packet::Other => self.faults.portal,
            Packet::Gateway | Packet::Dns => false,
        };
        if self.is_dead(family) || refused {
            return None;
        }
        let in_burst = self.is_in_burst(now);
        let burst_loss = self.nature.bursts.map_or(0.0, |bursts| bursts.loss);
        if self.rng.chance(self.nature.loss)
            || self.rng.chance(self.faults.loss)
            || (in_burst && self.rng.chance(burst_loss))
        {
            return None;
        }
        let slow = self.faults.delay + if self.faults.slow { SLOW } else { Duration::ZERO };
        let jitter = self.rng.exponential(self.nature.jitter);
        Some(self.nature.delay + jitter + slow + self.queue(now))
    }

    fn is_in_burst(&mut self, now: Instant) -> bool {
        let Some(bursts) = self.nature.bursts else {
            return false;
        };
        let quiet = bursts.length.mul_f64((1.0 - bursts.share) / bursts.share);
        while self.burst_ends <= now {
            self.in_burst = !self.in_burst;
            let mean = if self.in_burst { bursts.length } else { quiet };
            self.burst_ends =
                self.burst_ends + self.rng.exponential(mean).max(Duration::from_micros(1));
        }
        self.in_burst
    }

    /// How long a packet waits in the modem's queue now.
    fn queue(&self, now: Instant) -> Duration {
        let filled = |since: Instant| now.since(since).mul_f64(BLOAT_RATE).min(BLOAT_FULL);
        match (self.faults.bloated, self.drains) {
            (Some(since), _) => filled(since),
            (None, Some((at, queue))) => queue.saturating_sub(now.since(at)),
            (None, None) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATURE: Nature = Nature {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(2),
        loss: 0.0,
        bursts: None,
    };

    #[test]
    fn bursts_take_their_share_of_the_time() {
        let bursts = Bursts { length: Duration::from_millis(50), share: 0.02, loss: 1.0 };
        let nature = Nature { bursts: Some(bursts), ..NATURE };
        let mut line = Line::new(nature, Rng::new(3));
        let at = |n: u64| Instant::from_micros(n * 1000);
        let lost = (0..2_000_000)
            .filter(|n| line.pass(Packet::Echo, Family::V4, at(*n)).is_none())
            .count();
        assert!((34_000..46_000).contains(&lost), "{lost} of 2 million");
    }

    #[test]
    fn a_full_queue_delays_and_runs_empty() {
        let mut line = Line::new(NATURE, Rng::new(1));
        let at = |s: u64| Instant::from_micros(s * 1_000_000);
        line.faults.bloated = Some(at(10));
        let rtt = |line: &mut Line, s| line.pass(Packet::Other, Family::V4, at(s)).unwrap();
        assert!(rtt(&mut line, 10) < Duration::from_millis(100));
        assert!(rtt(&mut line, 12) > Duration::from_secs(1));
        assert!(rtt(&mut line, 60) > Duration::from_secs(2));
        line.end_bloat(at(60));
        assert!(rtt(&mut line, 63) < Duration::from_millis(100));
    }

    #[test]
    fn a_portal_answers_echoes_and_names_and_a_severed_line_only_the_modem() {
        let mut line = Line::new(NATURE, Rng::new(1));
        line.faults.portal = true;
        let gets = |line: &mut Line, packet| line.pass(packet, Family::V4, Instant::ZERO).is_some();
        assert!(gets(&mut line, Packet::Echo) && gets(&mut line, Packet::Dns));
        assert!(!gets(&mut line, Packet::Other));
        line.faults = Faults::default();
        line.faults.severed.v4 = true;
        assert!(gets(&mut line, Packet::Gateway) && !gets(&mut line, Packet::Echo));
        assert!(line.pass(Packet::Echo, Family::V6, Instant::ZERO).is_some());
    }
}
