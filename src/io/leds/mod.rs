//! LEDs: shows what the engine says, on a thread of its own.
//!
//! Where the kernel can blink by itself it does (the triggers `timer` and `pattern` of an LED in
//! `/sys/class/leds`), and the thread sleeps until there is something else to show. A GPIO line, or
//! an LED on a kernel without those triggers, is blinked by the thread. Whenever there is something to show, and all the time
//! soon after a boot, when init scripts do so, it looks whether somebody else has taken an LED.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use embedded_hal::digital::OutputPin;

use super::clock;
use crate::config::Led;
use crate::engine::status::leds::{Lamp, Pattern};
use crate::time::Instant;

mod class;
mod error;
mod given;
mod kept;
mod line;

use class::Class;
pub use error::Error;
pub use given::{handed, running};
use kept::Kept;
use line::{Level, Line};

/// How often the thread looks whether the LEDs are still ours, until the box has been up for so long.
const LOOK: Duration = Duration::from_secs(5);
const BOOTED: Duration = Duration::from_secs(300);

/// All LEDs, as seen from the loop.
#[derive(Debug)]
pub struct Leds {
    root: PathBuf,
    run_dir: PathBuf,
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>,
}

impl Leds {
    /// The LEDs of the box whose `/` is `root`, which is `/` but for tests. What they showed before is
    /// kept in the run directory. Touches nothing yet.
    #[must_use]
    pub fn new(root: &Path, run_dir: &Path) -> Self {
        let (root, run_dir) = (root.to_owned(), run_dir.to_owned());
        Self { root, run_dir, slot: Arc::new(Slot::default()), thread: None }
    }

    /// Shows this from now on, and nothing on any other LED.
    pub fn show(&mut self, lamps: Vec<Lamp>) {
        if self.thread.is_none() {
            let (slot, root) = (Arc::clone(&self.slot), self.root.clone());
            let kept = Kept::open(&self.run_dir);
            let work = move || labour(&slot, Room::new(root, kept));
            let thread = super::thread::named("leds").spawn(work);
            match thread {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => tracing::warn!(%error, "the LEDs stay dark"),
            }
        }
        self.slot.lock().desired = Some(lamps);
        self.slot.changed.notify_all();
    }

    /// Gives every LED back and ends; waits a second for it at the most.
    pub fn stop(mut self) {
        /// A write to an LED takes microseconds, unless its driver hangs.
        const PATIENCE: Duration = Duration::from_secs(1);
        let Some(thread) = self.thread.take() else {
            return;
        };
        let mut state = self.slot.lock();
        state.over = true;
        self.slot.changed.notify_all();
        let waiting = |state: &mut State| !state.ended;
        let waited = self.slot.changed.wait_timeout_while(state, PATIENCE, waiting);
        if waited.is_ok_and(|(state, _)| state.ended) {
            drop(thread.join());
        }
    }
}

/// Gives back every LED that a killed agent has left. The names of those that it gave back.
///
/// # Errors
///
/// When one cannot be written.
pub fn give_back(root: &Path, run_dir: &Path) -> Result<Vec<String>, Error> {
    let mut kept = Kept::open(run_dir);
    let mut done = Vec::new();
    for (name, before) in kept.all() {
        if class::restore(root, &name, &before)? {
            done.push(name.clone());
        }
        kept.forget(&name)?;
    }
    Ok(done)
}

/// What the thread is told: the latest state counts.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    desired: Option<Vec<Lamp>>,
    over: bool,
    ended: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a new state, for the end, or until then.
    fn wait(&self, until: Option<Instant>) -> (Option<Vec<Lamp>>, bool) {
        let idle = |state: &mut State| state.desired.is_none() && !state.over;
        let state = self.lock();
        let mut state = match until {
            None => self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let left = until.since(clock::now().mono);
                let waited = self.changed.wait_timeout_while(state, left, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        (state.desired.take(), state.over)
    }
}

fn labour(slot: &Slot, mut room: Room) {
    let mut next = None;
    let mut look = None;
    loop {
        let (desired, over) = slot.wait([next, look].into_iter().flatten().min());
        let now = clock::now().mono;
        if desired.is_some() || look.is_some_and(|look| look <= now) {
            room.look(now);
            look = None;
        }
        if let Some(lamps) = desired {
            room.fit(&lamps, now);
        }
        if over {
            break;
        }
        let boots = now.since(Instant::ZERO) < BOOTED;
        look = look.or((boots && room.can_be_taken()).then(|| now + LOOK));
        next = room.tick(clock::now().mono);
    }
    room.fit(&[], clock::now().mono);
    slot.lock().ended = true;
    slot.changed.notify_all();
}

/// The LEDs that are ours now.
struct Room {
    root: PathBuf,
    kept: Kept,
    fitted: BTreeMap<Led, Fitted>,
    /// Those of which it has been said that they do not work.
    told: BTreeSet<Led>,
}

/// One LED that is ours.
struct Fitted {
    pin: Pin,
    /// What it is to show.
    pattern: Pattern,
    player: Player,
}

enum Pin {
    Class(Class),
    Line(Line),
}

impl Room {
    fn new(root: PathBuf, kept: Kept) -> Self {
        Self { root, kept, fitted: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Takes and gives back LEDs until they are those of the state, and shows it. One that does not
    /// work is said once and tried again with each new state.
    fn fit(&mut self, lamps: &[Lamp], now: Instant) {
        let wanted = |led: &Led| lamps.iter().any(|lamp| lamp.led == *led);
        let gone: Vec<Led> = self.fitted.keys().filter(|led| !wanted(led)).cloned().collect();
        for led in gone {
            self.release(&led);
        }
        for lamp in lamps {
            if let Err(error) = self.set(lamp, now) {
                self.fitted.remove(&lamp.led);
                self.tell(&lamp.led, &error);
            }
        }
        // A killed agent may have had others.
        for (name, before) in self.kept.all() {
            let ours = |fitted: &Fitted| matches!(&fitted.pin, Pin::Class(c) if c.name() == name);
            let wanted = lamps
                .iter()
                .any(|lamp| matches!(&lamp.led, Led::Class(all) if all.contains(&name)));
            if !wanted && !self.fitted.values().any(ours) {
                self.put_back(&name, &before);
            }
        }
    }

    fn set(&mut self, lamp: &Lamp, now: Instant) -> Result<(), Error> {
        let fitted = match self.fitted.get_mut(&lamp.led) {
            Some(fitted) => fitted,
            None => {
                let pin = self.open(&lamp.led)?;
                let player = Player::new(now);
                let fitted = Fitted { pin, pattern: lamp.pattern, player };
                self.fitted.entry(lamp.led.clone()).or_insert(fitted)
            }
        };
        fitted.show(lamp.pattern, now)
    }

    fn open(&mut self, led: &Led) -> Result<Pin, Error> {
        match led {
            Led::Class(names) => {
                let class = Class::open(&self.root, names)?;
                if let Err(error) = self.kept.keep(class.name(), class.before()) {
                    tracing::debug!(%error, "remembered in RAM only");
                }
                Ok(Pin::Class(class))
            }
            Led::Line { chip, line, active_low } => {
                let lit = if *active_low { Level::Low } else { Level::High };
                Line::open(&self.root, chip, *line, lit).map(Pin::Line)
            }
        }
    }

    /// Lets those be lit or dark that the thread blinks; when it has to be done again.
    fn tick(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let mut failed = Vec::new();
        for (led, fitted) in &mut self.fitted {
            match fitted.tick(now) {
                Ok(at) => next = [next, at].into_iter().flatten().min(),
                Err(error) => failed.push((led.clone(), error)),
            }
        }
        self.lose(failed);
        next
    }

    fn lose(&mut self, failed: Vec<(Led, Error)>) {
        for (led, error) in failed {
            self.fitted.remove(&led);
            self.tell(&led, &error);
        }
    }

    /// Whether there is an LED that others can write to as well: a line is ours alone.
    fn can_be_taken(&self) -> bool {
        self.fitted.values().any(|fitted| matches!(fitted.pin, Pin::Class(_)))
    }

    /// Looks whether somebody else has taken an LED, and takes it back: what he made it show is what it is given back with.
    fn look(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (led, fitted) in &mut self.fitted {
            let Pin::Class(class) = &mut fitted.pin else { continue };
            let Some(before) = class.taken() else { continue };
            if let Err(error) = self.kept.replace(class.name(), &before) {
                tracing::debug!(%error, "remembered in RAM only");
            }
            fitted.player.rest();
            if let Err(error) = fitted.show(fitted.pattern, now) {
                failed.push((led.clone(), error));
            }
        }
        self.lose(failed);
    }

    fn release(&mut self, led: &Led) {
        match self.fitted.remove(led).map(|fitted| fitted.pin) {
            Some(Pin::Class(class)) => {
                let name = class.name().to_owned();
                let before = self.kept.of(&name).unwrap_or_else(|| class.before().clone());
                self.put_back(&name, &before);
            }
            Some(Pin::Line(mut line)) => drop(line.set_low()),
            None => {}
        }
    }

    fn put_back(&mut self, name: &str, before: &kept::Before) {
        let done = class::restore(&self.root, name, before).map(drop);
        if let Err(error) = done.and_then(|()| self.kept.forget(name)) {
            tracing::debug!(%error, led = name, "could not be restored");
        }
    }

    /// Says once that an LED does not work.
    fn tell(&mut self, led: &Led, error: &Error) {
        if self.told.insert(led.clone()) {
            let why = std::error::Error::source(error).map(|source| format!(": {source}"));
            let why = why.unwrap_or_default();
            tracing::warn!("the LED {led} is left out: {error}{why} (docs/LEDS.md)");
        }
    }
}

impl Fitted {
    /// Shows a pattern: by the kernel, where that can.
    fn show(&mut self, pattern: Pattern, now: Instant) -> Result<(), Error> {
        self.pattern = pattern;
        if let Pin::Class(class) = &mut self.pin
            && class.blink(pattern)?
        {
            self.player.rest();
            return Ok(());
        }
        self.player.play(pattern, now);
        self.tick(now).map(drop)
    }

    fn tick(&mut self, now: Instant) -> Result<Option<Instant>, Error> {
        match &mut self.pin {
            Pin::Class(class) => self.player.tick(class, now),
            Pin::Line(line) => self.player.tick(line, now),
        }
    }
}

/// Plays a pattern on a pin by hand.
struct Player {
    pattern: Option<Pattern>,
    began: Instant,
    lit: Option<bool>,
}

impl Player {
    const fn new(now: Instant) -> Self {
        Self { pattern: None, began: now, lit: None }
    }

    const fn rest(&mut self) {
        (self.pattern, self.lit) = (None, None);
    }

    /// Begins a pattern, if it is another one.
    fn play(&mut self, pattern: Pattern, now: Instant) {
        if self.pattern != Some(pattern) {
            (self.pattern, self.began) = (Some(pattern), now);
        }
    }

    /// Lights the pin or not, if that changes anything; when it has to be done again.
    fn tick<P: OutputPin>(
        &mut self,
        pin: &mut P,
        now: Instant,
    ) -> Result<Option<Instant>, P::Error> {
        let Some(pattern) = self.pattern else {
            return Ok(None);
        };
        let (lit, left) = pattern.at(now.since(self.began));
        if self.lit != Some(lit) {
            pin.set_state(lit.into())?;
            self.lit = Some(lit);
        }
        Ok(left.map(|left| now + left))
    }
}

#[cfg(test)]
mod tests;
