//! What the LEDs show: one pattern for the whole, and one for each uplink that has a LED of its own.
//!
//! ```text
//! the whole       steady   on the first uplink, with a spare ready
//!                 slow     on a backup, with a spare ready
//!                 double   works, and no spare is left
//!                 fast     no Internet
//! one uplink      steady   carries traffic
//!                 slow     could take over now
//!                 double   is being proven
//!                 fast     is down
//!                 off      is not there, or set aside
//! ```
//!
//! The worst that is true is shown: on a backup without a spare it is the double blink. What a LED
//! shows while no agent runs is the system's own business; mostly that is nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::{Condition, Health};
use super::message::{Output, Refusal};
use super::uplink::Uplink;
use super::{Engine, Mode};
use crate::config::Led;
use crate::time::{Instant, Now};
use crate::units::Family;

/// What one LED does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// It is dark.
    Off,
    /// It is lit.
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
    /// Which one.
    pub led: Led,
    /// What it does until told otherwise.
    pub pattern: Pattern,
}

impl Pattern {
    /// For how many milliseconds it is lit, dark, lit, dark …, and then from the beginning; empty
    /// if it never changes.
    #[must_use]
    pub const fn beats(self) -> &'static [u64] {
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
        let period: u64 = self.beats().iter().sum();
        if period == 0 {
            return (self == Self::Steady, None);
        }
        let period = Duration::from_millis(period).as_micros();
        let mut into = elapsed.as_micros() % period;
        let mut lit = true;
        for beat in self.beats() {
            let beat = Duration::from_millis(*beat).as_micros();
            if into < beat {
                let left = u64::try_from(beat - into).unwrap_or(u64::MAX);
                return (lit, Some(Duration::from_micros(left)));
            }
            into -= beat;
            lit = !lit;
        }
        (lit, None)
    }
}

/// Where traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    None,
    First,
    Backup,
}

/// What could take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spares {
    Ready,
    NoneLeft,
    /// There is one uplink only: nobody waits for a spare.
    NoneWanted,
}

/// What one uplink is to the household.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Carries,
    Ready,
    BeingProven,
    Down,
    Away,
}

const fn of_the_whole(way: Way, spares: Spares) -> Pattern {
    match (way, spares) {
        (Way::None, _) => Pattern::Fast,
        (Way::First | Way::Backup, Spares::NoneLeft) => Pattern::Double,
        (Way::Backup, Spares::Ready | Spares::NoneWanted) => Pattern::Slow,
        (Way::First, Spares::Ready | Spares::NoneWanted) => Pattern::Steady,
    }
}

const fn of_an_uplink(standing: Standing) -> Pattern {
    match standing {
        Standing::Carries => Pattern::Steady,
        Standing::Ready => Pattern::Slow,
        Standing::BeingProven => Pattern::Double,
        Standing::Down => Pattern::Fast,
        Standing::Away => Pattern::Off,
    }
}

/// All LEDs lit and dark in turn, so that a person sees that they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Test {
    began: Instant,
    cause: Cause,
}

/// Why the LEDs are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Cause {
    /// The agent starts. Short, because it hides how things are.
    Start,
    /// A person wants to find them. It ends early when there is something to show.
    Person,
}

impl Test {
    /// How long they are lit, and dark; how often it goes from one to the other.
    const fn steps(self) -> (Duration, u32) {
        match self.cause {
            Cause::Start => (Duration::from_millis(600), 2),
            Cause::Person => (Duration::from_millis(750), 8),
        }
    }

    /// What is shown, and until when; `None`: it is over.
    fn at(self, now: Instant) -> Option<(Pattern, Instant)> {
        let (step, steps) = self.steps();
        let done = now.since(self.began).as_micros() / step.as_micros();
        let done = u32::try_from(done).ok().filter(|done| *done < steps)?;
        let pattern = if done.is_multiple_of(2) { Pattern::Steady } else { Pattern::Off };
        Some((pattern, self.began + step * (done + 1)))
    }
}

/// What the LEDs were last told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leds {
    /// How things were.
    real: Vec<Lamp>,
    /// What was shown of it.
    shown: Vec<Lamp>,
    /// The test at the start has begun.
    greeted: bool,
    test: Option<Test>,
    /// When the test goes on.
    next: Option<Instant>,
}

impl Leds {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

impl Engine {
    /// Shows how things are on the LEDs, if they show anything else.
    pub(super) fn light(&mut self, now: Now) {
        if self.started.is_none() || (self.fitted().is_none() && self.leds.shown.is_empty()) {
            return;
        }
        let real = self.picture();
        if !std::mem::replace(&mut self.leds.greeted, true) {
            self.leds.test = Some(Test { began: now.mono, cause: Cause::Start });
        } else if real != self.leds.real {
            self.leds.test.take_if(|test| test.cause == Cause::Person);
        }
        let step = self.leds.test.and_then(|test| test.at(now.mono));
        self.leds.test = self.leds.test.filter(|_| step.is_some());
        self.leds.next = step.map(|(_, until)| until);
        let mut lamps = real.clone();
        if let Some((pattern, _)) = step {
            lamps.iter_mut().for_each(|lamp| lamp.pattern = pattern);
        }
        self.leds.real = real;
        self.show(lamps);
    }

    /// Leaves the LEDs to whom they belonged before.
    pub(super) fn leave_leds(&mut self) {
        self.config.leds = crate::config::LedsConfig::default();
        self.leds.test = None;
        self.show(Vec::new());
    }

    fn show(&mut self, lamps: Vec<Lamp>) {
        if lamps != self.leds.shown {
            self.leds.shown.clone_from(&lamps);
            self.outputs.push_back(Output::Leds(lamps));
        }
    }

    /// Lets a person see which LEDs there are.
    pub(super) fn test_leds(&mut self, now: Now) -> Result<String, Refusal> {
        let refuse = |words: &str| Err(Refusal::NotNow(words.to_owned()));
        if self.mode == Mode::Observe {
            return refuse("the agent only observes, so it leaves the LEDs alone");
        }
        let Some(config) = self.fitted() else {
            return refuse("no LED is used on this box; [leds] in the configuration names one");
        };
        let status = config.status.iter().map(|led| format!("{led} (the whole)"));
        let uplinks = config.uplinks.iter().map(|(uplink, led)| format!("{led} ({uplink})"));
        let all: Vec<String> = status.chain(uplinks).collect();
        let test = Test { began: now.mono, cause: Cause::Person };
        self.leds.test = Some(test);
        let (step, steps) = test.steps();
        let noun = if all.len() == 1 { "LED" } else { "LEDs" };
        Ok(format!("{noun} {}: on and off for {} s", all.join(", "), (step * steps).as_secs()))
    }

    /// What the LEDs are called that show something.
    pub(super) fn led_names(&self) -> Vec<String> {
        let config = self.fitted();
        let all = config.iter().flat_map(|c| c.status.iter().chain(c.uplinks.values()));
        all.map(ToString::to_string).collect()
    }

    /// The LEDs there are for us.
    fn fitted(&self) -> Option<&crate::config::LedsConfig> {
        let leds = &self.config.leds;
        let some = leds.status.is_some() || !leds.uplinks.is_empty();
        (some && self.mode == Mode::Steer).then_some(leds)
    }

    /// How things are, in patterns.
    fn picture(&self) -> Vec<Lamp> {
        let Some(config) = self.fitted() else {
            return Vec::new();
        };
        let whole = || of_the_whole(self.way(), self.spares());
        let status = config.status.iter().map(|led| Lamp { led: led.clone(), pattern: whole() });
        let uplinks = config.uplinks.iter().filter_map(|(name, led)| {
            let uplink = self.uplinks.values().find(|u| u.config.name == *name)?;
            Some(Lamp { led: led.clone(), pattern: of_an_uplink(self.standing_for_led(uplink)) })
        });
        status.chain(uplinks).collect()
    }

    /// IPv4 speaks for the box, IPv6 where there is no IPv4: as in the sentence.
    fn way(&self) -> Way {
        let carrying = Family::BOTH.iter().find_map(|family| self.carrying(*family));
        match carrying.map(|u| u.id) {
            None => Way::None,
            Some(id) if self.chain.first() == Some(&id) => Way::First,
            Some(_) => Way::Backup,
        }
    }

    fn spares(&self) -> Spares {
        let active = [self.active.v4.uplink, self.active.v6.uplink];
        let is_spare = |u: &Uplink| u.is_ready() && !active.contains(&Some(u.id));
        if self.chain.len() < 2 {
            Spares::NoneWanted
        } else if self.uplinks.values().any(is_spare) {
            Spares::Ready
        } else {
            Spares::NoneLeft
        }
    }

    fn standing_for_led(&self, u: &Uplink) -> Standing {
        let carries = |family| self.carrying(family).is_some_and(|active| active.id == u.id);
        if Family::BOTH.into_iter().any(carries) {
            return Standing::Carries;
        }
        if u.paused.is_some() || u.attachment.link.is_none() {
            return Standing::Away;
        }
        if u.is_ready() {
            return Standing::Ready;
        }
        let faulty = u.attachment.fault.is_some_and(|fault| fault != Condition::Ok)
            || u.attachment.overlap().is_some();
        let down = u.present().any(|(_, line)| matches!(line.health, Health::Down { .. }));
        if faulty || down { Standing::Down } else { Standing::BeingProven }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::engine::link::Way as Hop;
    use crate::engine::message::{Command, Input, Restored};
    use crate::engine::uplink::Paused;
    use crate::units::{IfIndex, IfName};

    #[test]
    fn patterns_can_be_told_apart() {
        // Eight times in two seconds.
        let seen = |pattern: Pattern| -> String {
            let at = |n: u64| pattern.at(Duration::from_millis(n * 125)).0;
            (0..16).map(|n| if at(n) { '#' } else { '.' }).collect()
        };
        assert_eq!(seen(Pattern::Off), "................");
        assert_eq!(seen(Pattern::Steady), "################");
        assert_eq!(seen(Pattern::Slow), "####............");
        assert_eq!(seen(Pattern::Double), "##..##..........");
        assert_eq!(seen(Pattern::Fast), "#.#.#.#.#.#.#.#.");
        let after = |ms| Pattern::Double.at(Duration::from_millis(ms));
        assert_eq!(after(0), (true, Some(Duration::from_millis(250))));
        assert_eq!(after(60), (true, Some(Duration::from_millis(190))));
        assert_eq!(after(750), (false, Some(Duration::from_millis(1250))));
        assert_eq!(after(2000 * 40_000_000 + 250), (false, Some(Duration::from_millis(250))));
        assert_eq!(Pattern::Steady.at(Duration::MAX), (true, None));
    }

    #[test]
    fn the_worst_that_is_true_is_shown() {
        use Spares::{NoneLeft, NoneWanted, Ready};
        let table = [
            (Way::First, Ready, Pattern::Steady),
            (Way::First, NoneWanted, Pattern::Steady),
            (Way::First, NoneLeft, Pattern::Double),
            (Way::Backup, Ready, Pattern::Slow),
            (Way::Backup, NoneWanted, Pattern::Slow),
            (Way::Backup, NoneLeft, Pattern::Double),
            (Way::None, Ready, Pattern::Fast),
            (Way::None, NoneWanted, Pattern::Fast),
            (Way::None, NoneLeft, Pattern::Fast),
        ];
        for (way, spares, pattern) in table {
            assert_eq!(of_the_whole(way, spares), pattern, "{way:?} {spares:?}");
        }
    }

    fn at(milliseconds: u64) -> Now {
        Now { mono: Instant::from_micros(milliseconds * 1000), utc: None }
    }

    const UP: Health = Health::Up { since: Instant::ZERO };
    const DOWN: Health = Health::Down { since: Instant::ZERO, condition: Condition::BeyondModem };
    const RECOVERING: Health = Health::Recovering { since: Instant::ZERO };

    /// A home with a LED for the whole (`S`), one for the cable (`c`) and one for the MiFi (`m`).
    fn home(leds: &str, mode: Mode) -> Engine {
        let uplink = |name, dev| format!("[[uplink]]\nname = {name:?}\ninterface = {dev:?}\n");
        let chain = uplink("cable", "eth1") + &uplink("mifi", "usb0") + &uplink("phone", "usb1");
        let text = format!("{chain}[leds]\n{leds}\n");
        let config = crate::config::parse(&text, "test").unwrap();
        let mut engine = Engine::new(config, mode, Restored::default(), 0, at(0));
        engine.started = Some(at(0).mono);
        engine
    }

    const ALL: &str = "status = \"S\"\nuplinks = { cable = \"c\", mifi = \"m\" }";

    /// How each uplink is (`None`: not there), which carries traffic, and what the LEDs are told.
    fn show(
        engine: &mut Engine,
        health: [Option<Health>; 3],
        active: usize,
        now: u64,
    ) -> Option<String> {
        let chain = engine.chain.clone();
        for (n, (id, health)) in chain.iter().zip(health).enumerate() {
            let u = engine.uplinks.get_mut(id).unwrap();
            let index = IfIndex(u32::try_from(n).unwrap() + 2);
            let dev = IfName::new("x").unwrap();
            let source = IpAddr::from([198, 51, 100, 7]);
            let hop =
                Hop { index, dev: dev.clone(), source, gateway: None, onlink: false, mtu: None };
            u.attachment.link = health.map(|_| (index, dev));
            u.attachment.fault = None;
            u.lines.v4.way = health.map(|_| hop);
            u.lines.v4.health = health.unwrap_or(Health::Unknown);
        }
        engine.active.v4.uplink = chain.get(active).copied();
        light(engine, now)
    }

    fn light(engine: &mut Engine, now: u64) -> Option<String> {
        engine.light(at(now));
        let letter = |pattern| match pattern {
            Pattern::Off => "off",
            Pattern::Steady => "on",
            Pattern::Slow => "slow",
            Pattern::Double => "double",
            Pattern::Fast => "fast",
        };
        let told = engine.outputs.drain(..).filter_map(|output| {
            let Output::Leds(lamps) = output else { return None };
            let shown = |l: &Lamp| format!("{} {}", l.led, letter(l.pattern));
            Some(lamps.iter().map(shown).collect::<Vec<_>>().join(", "))
        });
        let mut told: Vec<String> = told.collect();
        assert!(told.len() <= 1, "{told:?}");
        told.pop()
    }

    /// After the test at the start.
    fn running(leds: &str) -> Engine {
        let mut engine = home(leds, Mode::Steer);
        show(&mut engine, [Some(UP); 3], 0, 0);
        assert!(light(&mut engine, 600).is_some());
        assert!(light(&mut engine, 1200).is_some());
        engine
    }

    #[test]
    fn every_state_has_its_pattern() {
        let mut engine = running(ALL);
        let (up, down, recovering) = (Some(UP), Some(DOWN), Some(RECOVERING));
        let table = [
            ([down, up, up], 1, Some("S slow, c fast, m on")),
            ([down, up, up], 1, None),
            ([down, up, down], 1, Some("S double, c fast, m on")),
            ([recovering, up, down], 1, Some("S double, c double, m on")),
            ([up, up, down], 1, Some("S slow, c slow, m on")),
            ([up, up, down], 0, Some("S on, c on, m slow")),
            ([up, None, down], 0, Some("S double, c on, m off")),
            ([down, None, down], 0, Some("S fast, c fast, m off")),
            ([down, down, up], 2, Some("S double, c fast, m fast")),
            ([None, None, None], 0, Some("S fast, c off, m off")),
            ([up, up, up], 0, Some("S on, c on, m slow")),
        ];
        for (n, (health, active, expected)) in table.into_iter().enumerate() {
            let told = show(&mut engine, health, active, 10_000 + n as u64);
            assert_eq!(told.as_deref(), expected, "row {n}");
        }
        let mifi = engine.chain[1];
        let paused = Some(Paused { until: None, reason: None });
        engine.uplinks.get_mut(&mifi).unwrap().paused = paused;
        assert_eq!(light(&mut engine, 20_000).as_deref(), Some("S on, c on, m off"));
        engine.stop(at(21_000));
        assert_eq!(light(&mut engine, 21_000).as_deref(), Some(""), "given back");
        assert_eq!(light(&mut engine, 22_000), None);
    }

    #[test]
    fn one_uplink_has_no_spare_to_lose() {
        let mut engine = running("status = \"S\"");
        engine.chain.truncate(1);
        assert_eq!(show(&mut engine, [Some(DOWN), None, None], 0, 5000).as_deref(), Some("S fast"));
        assert_eq!(show(&mut engine, [Some(UP), None, None], 0, 6000).as_deref(), Some("S on"));
    }

    #[test]
    fn the_test_at_the_start_is_short_and_comes_once() {
        let mut engine = home(ALL, Mode::Steer);
        let all_down = [Some(DOWN); 3];
        assert_eq!(show(&mut engine, all_down, 0, 0).as_deref(), Some("S on, c on, m on"));
        assert_eq!(engine.leds.deadline(), Some(at(600).mono));
        assert_eq!(light(&mut engine, 300), None);
        assert_eq!(light(&mut engine, 600).as_deref(), Some("S off, c off, m off"));
        assert_eq!(light(&mut engine, 1200).as_deref(), Some("S fast, c fast, m fast"));
        assert_eq!(engine.leds.deadline(), None, "the kernel blinks by itself");
        let config = engine.config.clone();
        engine.handle(Input::Reload(Box::new(config)), at(1300));
        // It looks at the kernel again, where there is nothing in this test.
        assert_eq!(light(&mut engine, 1300).as_deref(), Some("S fast, c off, m off"));
        assert_eq!(engine.leds.deadline(), None);
    }

    #[test]
    fn a_person_can_find_the_leds() {
        let mut engine = running(ALL);
        let test = |engine: &mut Engine, now| {
            engine.command(1, Command::LedTest, at(now));
            let answer = |output| if let Output::Answer(1, a) = output { Some(a) } else { None };
            engine.outputs.drain(..).find_map(answer).unwrap()
        };
        let said = test(&mut engine, 10_000).unwrap();
        assert_eq!(said, "LEDs S (the whole), c (cable), m (mifi): on and off for 6 s");
        assert_eq!(light(&mut engine, 10_000).as_deref(), Some("S on, c on, m on"));
        assert_eq!(light(&mut engine, 10_750).as_deref(), Some("S off, c off, m off"));
        assert_eq!(light(&mut engine, 11_400), None, "not yet");
        assert_eq!(light(&mut engine, 15_300), None, "dark again, as before");
        assert_eq!(light(&mut engine, 16_000).as_deref(), Some("S on, c on, m slow"));
        // Something to show ends it.
        test(&mut engine, 20_000).unwrap();
        light(&mut engine, 20_000);
        let told = show(&mut engine, [Some(DOWN); 3], 0, 20_100);
        assert_eq!(told.as_deref(), Some("S fast, c fast, m fast"));
        assert_eq!(engine.leds.deadline(), None);
    }

    #[test]
    fn a_box_without_leds_says_so() {
        for (leds, mode, words) in [
            ("board = \"none\"", Mode::Steer, "no LED is used on this box"),
            (ALL, Mode::Observe, "the agent only observes"),
        ] {
            let mut engine = home(leds, mode);
            assert_eq!(show(&mut engine, [Some(UP); 3], 0, 0), None);
            assert_eq!(engine.led_names(), [""; 0]);
            let refusal = engine.test_leds(at(0)).unwrap_err();
            assert!(matches!(refusal, Refusal::NotNow(said) if said.starts_with(words)));
            assert_eq!(light(&mut engine, 2000), None);
        }
    }
}
