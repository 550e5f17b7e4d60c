//! What the LEDs show: one pattern for the whole, and one for each uplink that has a LED of its own.
//!
//! ```text
//! the whole       steady   on the first uplink, with a spare ready
//!                 slow     on a backup, with a spare ready
//!                 double   works, and no spare is left
//!                 fast     no Internet
//! one uplink      steady   carries traffic
//!                 slow     could take over now
//!                 double   is being proven, loses packets, or resolves no names
//!                 fast     is down, or shows a sign-in page
//!                 off      is not there, or set aside
//! ```
//!
//! The worst that is true is shown: on a backup without a spare it is the double blink. What a LED
//! shows while no agent runs is the system's own business; mostly that is nothing.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::config::Led;
use crate::time::Instant;

/// What one LED does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    Off,
    Steady,
    /// It blinks once in two seconds.
    Slow,
    /// It blinks twice in two seconds.
    Double,
    /// It blinks four times a second.
    Fast,
}

/// One LED and what it shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lamp {
    pub led: Led,
    /// What it does until told otherwise.
    pub pattern: Pattern,
}

impl Pattern {
    /// For how many milliseconds it is lit, dark, lit, dark …, and then from the beginning; empty
    /// if it never changes.
    #[must_use]
    pub const fn steps(self) -> &'static [u64] {
        match self {
            Self::Off | Self::Steady => &[],
            Self::Slow => &[500, 1500],
            Self::Double => &[250, 250, 250, 1250],
            Self::Fast => &[125, 125],
        }
    }

    /// Whether it is lit after so long, and for how much longer; `None`: for ever.
    #[must_use]
    pub fn at(self, elapsed: Duration) -> (bool, Option<Duration>) {
        let period: u64 = self.steps().iter().sum();
        if period == 0 {
            return (self == Self::Steady, None);
        }
        let period = Duration::from_millis(period).as_micros();
        let mut into = elapsed.as_micros() % period;
        let mut lit = true;
        for step in self.steps() {
            let step = Duration::from_millis(*step).as_micros();
            if into < step {
                let left = u64::try_from(step - into).unwrap_or(u64::MAX);
                return (lit, Some(Duration::from_micros(left)));
            }
            into -= step;
            lit = !lit;
        }
        (lit, None)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum InUse {
    None,
    First,
    Backup,
}

/// What could take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Spares {
    Ready,
    NoneLeft,
    /// There is one uplink only: nobody waits for a spare.
    NoneWanted,
}

/// What the LED of one uplink tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Lit {
    Carries,
    Ready,
    BeingProven,
    Down,
    Away,
}

pub(in crate::engine) const fn of_the_whole(in_use: InUse, spares: Spares) -> Pattern {
    match (in_use, spares) {
        (InUse::None, _) => Pattern::Fast,
        (InUse::First | InUse::Backup, Spares::NoneLeft) => Pattern::Double,
        (InUse::Backup, Spares::Ready | Spares::NoneWanted) => Pattern::Slow,
        (InUse::First, Spares::Ready | Spares::NoneWanted) => Pattern::Steady,
    }
}

pub(in crate::engine) const fn of_an_uplink(lit: Lit) -> Pattern {
    match lit {
        Lit::Carries => Pattern::Steady,
        Lit::Ready => Pattern::Slow,
        Lit::BeingProven => Pattern::Double,
        Lit::Down => Pattern::Fast,
        Lit::Away => Pattern::Off,
    }
}

/// All LEDs lit and dark in turn, so that a person sees that they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Test {
    pub(in crate::engine) began: Instant,
    pub(in crate::engine) cause: Cause,
}

/// Why the LEDs are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) enum Cause {
    /// The agent starts. Short, because it hides how things are.
    Start,
    /// A person wants to find them. It ends early when there is something to show.
    Person,
}

impl Test {
    /// How long they are lit, and dark; how often it goes from one to the other.
    pub(in crate::engine) const fn steps(self) -> (Duration, u32) {
        match self.cause {
            Cause::Start => (Duration::from_millis(600), 2),
            Cause::Person => (Duration::from_millis(750), 8),
        }
    }

    /// What is shown, and until when; `None`: it is over.
    pub(in crate::engine) fn at(self, now: Instant) -> Option<(Pattern, Instant)> {
        let (step, steps) = self.steps();
        let done = now.since(self.began).as_micros() / step.as_micros();
        let done = u32::try_from(done).ok().filter(|done| *done < steps)?;
        let pattern = if done.is_multiple_of(2) { Pattern::Steady } else { Pattern::Off };
        Some((pattern, self.began + step * (done + 1)))
    }
}

/// What the LEDs were last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Leds {
    pub(in crate::engine) real: Vec<Lamp>,
    /// What was shown of it.
    pub(in crate::engine) shown: Vec<Lamp>,
    /// The test at the start has begun.
    pub(in crate::engine) greeted: bool,
    pub(in crate::engine) test: Option<Test>,
    /// When the test goes on.
    pub(in crate::engine) next: Option<Instant>,
}

impl Leds {
    pub(in crate::engine) const fn deadline(&self) -> Option<Instant> {
        self.next
    }
}
