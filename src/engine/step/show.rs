//! What the LEDs show, and the record of the last day.

use crate::engine::events::causes::Deed;
use crate::engine::events::timeline::{Serving, View};
use crate::engine::health::Health;
use crate::engine::output::{Output, Refusal};
use crate::engine::status::leds::{Cause, InUse, Lamp, Lit, Spares, Test};
use crate::engine::status::leds::{of_an_uplink, of_the_whole};
use crate::engine::uplink::Uplink;
use crate::engine::uplink::standing::Standing;
use crate::engine::{Engine, Mode};
use crate::time::Now;
use crate::units::{Family, Gather as _};

impl Engine {
    /// Shows how things are on the LEDs, if they show anything else.
    pub(in crate::engine) fn light(&mut self, now: Now) {
        if self.life.started.is_none()
            || (self.fitted().is_none() && self.telling.leds.shown.is_empty())
        {
            return;
        }
        let real = self.picture(now);
        if !std::mem::replace(&mut self.telling.leds.greeted, true) {
            self.telling.leds.test = Some(Test { began: now.mono, cause: Cause::Start });
        } else if real != self.telling.leds.real {
            self.telling.leds.test.take_if(|test| test.cause == Cause::Person);
        }
        let step = self.telling.leds.test.and_then(|test| test.at(now.mono));
        self.telling.leds.test = self.telling.leds.test.filter(|_| step.is_some());
        self.telling.leds.next = step.map(|(_, until)| until);
        let mut lamps = real.clone();
        if let Some((pattern, _)) = step {
            lamps.iter_mut().for_each(|lamp| lamp.pattern = pattern);
        }
        self.telling.leds.real = real;
        self.show(lamps);
    }

    /// Leaves the LEDs to whom they belonged before.
    pub(in crate::engine) fn leave_leds(&mut self) {
        self.config.leds = crate::config::LedsConfig::default();
        self.telling.leds.test = None;
        self.show(Vec::new());
    }

    fn show(&mut self, lamps: Vec<Lamp>) {
        if lamps != self.telling.leds.shown {
            self.telling.leds.shown.clone_from(&lamps);
            self.outputs.push_back(Output::Leds(lamps));
        }
    }

    /// Lets a person see which LEDs there are.
    pub(in crate::engine) fn test_leds(&mut self, now: Now) -> Result<Deed, Refusal> {
        let refuse = |words: &str| Err(Refusal::NotNow(words.to_owned()));
        if self.life.mode == Mode::Observe {
            return refuse("the agent only observes, so it leaves the LEDs alone");
        }
        let Some(config) = self.fitted() else {
            return refuse("no LED is used on this box; [leds] in the configuration names one");
        };
        let status = config.status.iter().map(|led| format!("{led} (the whole)"));
        let uplinks = config.uplinks.iter().map(|(uplink, led)| format!("{led} ({uplink})"));
        let all: Vec<String> = status.chain(uplinks).collect();
        let test = Test { began: now.mono, cause: Cause::Person };
        self.telling.leds.test = Some(test);
        let (step, steps) = test.steps();
        Ok(Deed::TestLeds { leds: all, lasts: step * steps })
    }

    /// What the LEDs are called that show something.
    pub(in crate::engine) fn led_names(&self) -> Vec<String> {
        let config = self.fitted();
        let all = config.iter().flat_map(|c| c.status.iter().chain(c.uplinks.values()));
        all.map(ToString::to_string).collect()
    }

    /// The LEDs there are for us.
    fn fitted(&self) -> Option<&crate::config::LedsConfig> {
        let leds = &self.config.leds;
        let some = leds.status.is_some() || !leds.uplinks.is_empty();
        (some && self.life.mode == Mode::Steer).then_some(leds)
    }

    /// How things are, in patterns.
    fn picture(&self, now: Now) -> Vec<Lamp> {
        let Some(config) = self.fitted() else {
            return Vec::new();
        };
        let whole = || of_the_whole(self.in_use(now), self.spares(now));
        let status = config.status.iter().map(|led| Lamp { led: led.clone(), pattern: whole() });
        let uplinks = config.uplinks.iter().filter_map(|(name, led)| {
            let uplink = self.uplinks.values().find(|u| u.config.name == *name)?;
            Some(Lamp { led: led.clone(), pattern: of_an_uplink(self.on_led(uplink, now)) })
        });
        status.chain(uplinks).collect()
    }

    /// IPv4 speaks for the box, IPv6 where there is no IPv4: as in the sentence.
    fn in_use(&self, now: Now) -> InUse {
        let carrying = Family::BOTH.iter().find_map(|family| self.carrying(*family, now));
        match carrying.map(|u| u.id) {
            None => InUse::None,
            Some(id) if self.uplinks.chain.first() == Some(&id) => InUse::First,
            Some(_) => InUse::Backup,
        }
    }

    fn spares(&self, now: Now) -> Spares {
        if self.uplinks.chain.len() < 2 {
            Spares::NoneWanted
        } else if self.ready_spares(now).next().is_some() {
            Spares::Ready
        } else {
            Spares::NoneLeft
        }
    }

    fn on_led(&self, u: &Uplink, now: Now) -> Lit {
        let carries = |family| self.carrying(family, now).is_some_and(|active| active.id == u.id);
        match self.whole(u, now) {
            _ if Family::BOTH.into_iter().any(carries) => Lit::Carries,
            Standing::Paused => Lit::Away,
            _ if u.attachment.link.is_none() => Lit::Away,
            Standing::Ready | Standing::Suspected => Lit::Ready,
            Standing::Lossy | Standing::Nameless | Standing::Unproven => Lit::BeingProven,
            Standing::Barred | Standing::Unfit(_) => Lit::Down,
        }
    }
}

impl Engine {
    /// Looks at the clock and at who carries the traffic.
    pub(in crate::engine) fn watch_time(&mut self, now: Now) {
        if self.life.started.is_none() {
            return;
        }
        let over = self.telling.timeline.minute_is_over(now.mono);
        if over {
            let mut take = |u: &mut Uplink| {
                let (family, _) = u.main_line();
                let tallies = [Family::V4, Family::V6].map(|f| u.lines.get_mut(f).take_tally());
                (u.id, tallies[usize::from(family == Family::V6)])
            };
            let tallies = self.uplinks.values_mut().map(&mut take).gather();
            self.telling.timeline.end_minute(&tallies, now.mono);
        }
        if !std::mem::take(&mut self.telling.look) && !over {
            return;
        }
        for u in self.uplinks.values() {
            let (family, _) = u.main_line();
            let fitness = u.fitness(&self.config, &self.uplinks.shared, family, now.mono);
            self.telling.timeline.look(u.id, is_up(u).map(|up| up && fitness.carries()));
        }
        let carrying = self.carrying(Family::V4, now).or_else(|| self.carrying(Family::V6, now));
        let known = self.choice.active.iter().any(|(_, a)| a.uplink.is_some() || a.all_down);
        let carrier = match carrying {
            Some(u) if self.uplinks.chain.first() == Some(&u.id) => Serving::First,
            Some(_) => Serving::Backup,
            None if known => Serving::None,
            None => Serving::Unknown,
        };
        let uplink = carrying.map(|u| u.config.name.as_str());
        if !self.telling.timeline.stands(carrier, uplink) {
            let uplink = uplink.map(str::to_owned);
            self.telling.timeline.note(carrier, uplink, now.mono);
        }
    }

    /// The last day and the last hour.
    #[must_use]
    pub fn timeline(&self, now: Now) -> View {
        let strip = |u: &Uplink| {
            let minutes = self.telling.timeline.strip(u.id, u.main_line().1.tally());
            (u.config.name.clone(), minutes)
        };
        let chain = self.uplinks.chain.iter().filter_map(|id| self.uplinks.get(id));
        View {
            segments: self.telling.timeline.segments(now.mono),
            strips: chain.map(strip).collect(),
        }
    }
}

/// Whether an uplink answers, as far as that is known.
fn is_up(u: &Uplink) -> Option<bool> {
    let (_, line) = u.main_line();
    match line.health {
        Health::Unknown => None,
        Health::Up { .. } | Health::Failing { .. } => Some(true),
        Health::Down { .. } => Some(false),
        // At the start it is no outage that nothing is proven yet.
        Health::Recovering { since } => line.proven().filter(|at| *at < since).map(|_| false),
    }
}

#[cfg(test)]
mod tests;
