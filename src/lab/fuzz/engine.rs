//! An engine that is told anything, and begins with anything.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{self, Config};
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::input::{Counters, Input};
use crate::engine::output::Output;
use crate::engine::probe::{Outcome, ProbeReply, ProbeRequest, Question};
use crate::engine::state::Restored;
use crate::engine::{Engine, Mode};
use crate::io::store;
use crate::lab::world::kernel::Kernel;
use crate::time::{Instant, Now, Utc};
use crate::units::{PerFamily, Rtt, UplinkId};

/// This many are waited for after a file was read.
pub(super) const TIMEOUTS: usize = 100;
/// This many between two inputs.
const BETWEEN: usize = 8;
/// More inputs of one file are not played.
const MOST_INPUTS: usize = 32;
/// What one input may ask for.
const MOST_OUTPUTS: usize = 2_000;
/// This often something may be due at the same moment.
const AT_ONCE: usize = 16;
/// The longest time between two inputs, in milliseconds.
const LONGEST_WAIT: u64 = 3_600_000;

const TEXT: &str = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n\
                    [[uplink]]\nname = \"mifi\"\ninterface = \"usb0\"\nkind = \"cellular\"\nmetered = true\n\
                    [lan]\ninterfaces = [\"lan0\"]\n";

/// What outlives a reboot and what outlives a restart, a line each; then a hundred times whatever is due.
pub(super) fn state(bytes: &[u8]) -> usize {
    let mut files = bytes.splitn(2, |byte| *byte == b'\n');
    let (state, run) = (files.next().unwrap_or_default(), files.next().unwrap_or_default());
    let (saved, run) = store::overhear(state, run.trim_ascii_end());
    let read = usize::from(saved.is_some()) + usize::from(run.is_some());
    if read > 0 {
        let (saved, run) = (saved.unwrap_or_default(), run.unwrap_or_default());
        let mut drive = Drive::usual(Restored { saved, run, ..Restored::default() });
        drive.timeouts(TIMEOUTS);
        drive.tell(Input::Stop);
    }
    read
}

/// What the engine is told: lines of a number of milliseconds and an [`Input`] as JSON. A number in its place says
/// which uplinks answer nothing from then on, by their bits.
pub(super) fn input(bytes: &[u8]) -> usize {
    let mut drive = Drive::usual(Restored::default());
    let mut read = 0;
    for line in bytes.split(|byte| *byte == b'\n').take(MOST_INPUTS) {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
        let (wait, input) = line.split_at(space);
        let Ok(wait) = serde_json::from_slice::<u64>(wait) else { continue };
        drive.wait(Duration::from_millis(wait.min(LONGEST_WAIT)));
        if let Ok(silent) = serde_json::from_slice(input) {
            drive.silent = silent;
        } else if let Ok(input) = serde_json::from_slice::<Input>(input) {
            // What is not from a file that was checked is nobody's.
            if !matches!(input, Input::Reload(_)) {
                read += 1;
                drive.tell(input);
            }
        }
    }
    drive.timeouts(BETWEEN);
    read
}

/// An engine, and a box that does what it is asked for.
pub(super) struct Drive {
    engine: Engine,
    now: Instant,
    /// Uplinks that answer nothing, by their bits.
    silent: u16,
}

impl Drive {
    /// With two uplinks.
    fn usual(restored: Restored) -> Self {
        let config = config::parse(TEXT, "lab").unwrap_or_else(|error| panic!("{error}"));
        Self::new(config, restored)
    }

    pub(super) fn new(config: Config, restored: Restored) -> Self {
        let now = Instant::from_micros(100_000_000);
        let view = Kernel::new(&config, &[]).view;
        let engine = Engine::new(config, Mode::Steer, restored, 1, clock(now));
        let mut this = Self { engine, now, silent: 0 };
        let (adopted, spares) = (PerFamily::default(), PerFamily::default());
        this.tell(Input::Started { view, adopted, spares });
        this
    }

    /// Tells it something and what comes of that, and no end of it is an error.
    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        let mut asked = 0;
        while let Some(input) = inputs.pop() {
            self.engine.handle(input, clock(self.now));
            while let Some(output) = self.engine.poll_output() {
                asked += 1;
                assert!(asked < MOST_OUTPUTS, "{asked} outputs at once, the last is {output:?}");
                inputs.extend(self.done(output));
            }
        }
    }

    /// Plays what is due, so many times at most.
    pub(super) fn timeouts(&mut self, most: usize) {
        self.until(None, most);
    }

    fn wait(&mut self, time: Duration) {
        let then = self.now + time;
        self.until(Some(then), BETWEEN);
        self.now = self.now.max(then);
    }

    fn until(&mut self, end: Option<Instant>, most: usize) {
        drop(self.engine.snapshot(clock(self.now)));
        let mut at_once = 0;
        for _ in 0..most {
            let Some((at, why)) = self.engine.poll_timeout() else { return };
            if end.is_some_and(|end| at > end) {
                return;
            }
            at_once = if at <= self.now { at_once + 1 } else { 0 };
            assert!(at_once < AT_ONCE, "{why} is due again and again");
            self.now = self.now.max(at);
            self.tell(Input::Timeout);
        }
    }

    /// What an output comes to.
    fn done(&self, output: Output) -> Option<Input> {
        match output {
            Output::Probe(request) => self.answered(request),
            Output::ReadCounters { .. } => Some(Input::Counters(Counters::default())),
            Output::Converge { generation, .. } => {
                let report = ApplyReport { generation, ..ApplyReport::default() };
                Some(Input::Applied(Box::new(report)))
            }
            Output::SaveState(state) => same_again(&*state),
            Output::SaveRun(run) => same_again(&*run),
            Output::Notify(_, known) => same_again(&*known),
            Output::Record(event) => same_again(&event),
            Output::Forget(_)
            | Output::Refuse(_)
            | Output::FlushUnNated
            | Output::Flush(_)
            | Output::LookAtFirewalls(_)
            | Output::CountFlows(_)
            | Output::Resolvers(_)
            | Output::Advertise(_)
            | Output::Listen(_)
            | Output::Leds(_)
            | Output::Heartbeat(_)
            | Output::Name(_)
            | Output::Outside(_)
            | Output::Answer(..) => None,
        }
    }

    fn answered(&self, request: ProbeRequest) -> Option<Input> {
        let ProbeRequest { id, path, question, .. } = request;
        let rtt = Rtt(Duration::from_millis(20));
        let outcome = match question {
            _ if self.is_silent(path.uplink) => Outcome::Silent,
            Question::Echo(_) | Question::TcpConnect(..) => Outcome::Answered(rtt),
            Question::Dns { resolver, .. } => Outcome::Resolved(rtt, vec![resolver]),
            Question::Http { .. } => Outcome::HttpExpected(rtt),
        };
        Some(Input::Probe(ProbeReply { id, uplink: path.uplink, outcome }))
    }

    fn is_silent(&self, uplink: UplinkId) -> bool {
        let names: Vec<&str> =
            self.engine.config().uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
        let name = self.engine.name(uplink);
        let place = names.iter().position(|known| *known == name);
        place.is_some_and(|place| self.silent.checked_shr(place as u32).unwrap_or(0) & 1 == 1)
    }
}

/// What is kept is read again as it was.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    kept: &T,
) -> Option<Input> {
    let text = serde_json::to_vec(kept).unwrap_or_default();
    let read = serde_json::from_slice::<T>(&text);
    assert!(read.as_ref().is_ok_and(|read| read == kept), "{kept:?} is read as {read:?}");
    None
}

/// The wall clock was right from the beginning.
fn clock(now: Instant) -> Now {
    Now { mono: now, utc: Some(Utc(1_767_225_600_000 + now.as_micros() / 1000)) }
}
