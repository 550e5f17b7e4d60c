//! Days of lines on the virtual clock: how often is a living line taken for dead, and how soon is a
//! dead one noticed? Prints a table per kind of line. Of a line that was the spare when it died, because a lossy
//! one is left for a better one, the worst is shown apart: nobody was on it.
//!
//! `SPARELINK_SIM_DAYS` sets the number of days (45), `SPARELINK_SIM_SEED` the seed (1).

#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]
#![expect(clippy::disallowed_methods, reason = "how long it took is for people")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sparelink::config;
use sparelink::engine::events::facts::{Event, Fact};
use sparelink::lab::world::line::{Bursts, Nature};
use sparelink::lab::world::rng::Rng;
use sparelink::lab::world::{Fault, Plan, World};
use sparelink::time::Instant;
use sparelink::units::PerFamily;

#[path = "simulation/families.rs"]
mod families;
#[path = "simulation/names.rs"]
mod names;
#[path = "simulation/outages.rs"]
mod outages;

/// Days in `make test`: five of each kind.
const DAYS: usize = 45;
/// Days in `make test-all`.
const MANY_DAYS: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3600);
const MS: fn(u64) -> Duration = Duration::from_millis;

/// A kind of line.
struct Kind {
    name: &'static str,
    word: &'static str,
    nature: Nature,
    /// An upload fills the queue for minutes, several times an evening.
    bloat: bool,
    /// Most verdicts on a living line that are acceptable, per day.
    most_false: f64,
    /// The median of detection must be below.
    median: Duration,
}

const fn nature(delay: u64, loss: f64, bursts: Option<(u64, f64, f64)>) -> Nature {
    let bursts = match bursts {
        Some((length, share, loss)) => {
            Some(Bursts { length: Duration::from_millis(length), share, loss })
        }
        None => None,
    };
    Nature {
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(delay / 10),
        loss,
        bursts,
    }
}

const fn kind(
    name: &'static str,
    word: &'static str,
    nature: Nature,
    most_false: f64,
    median: u64,
) -> Kind {
    Kind { name, word, nature, bloat: false, most_false, median: Duration::from_millis(median) }
}

const KINDS: [Kind; 9] = [
    kind("wired, clean", "wired", nature(12, 0.0, None), 0.0, 900),
    kind("wired, 1 % loss", "wired", nature(12, 0.01, None), 0.0, 900),
    kind("wired, 5 % loss", "wired", nature(12, 0.05, None), 0.0, 900),
    kind("cable, bursts", "wired", nature(15, 0.0, Some((30, 0.002, 0.7))), 0.1, 900),
    Kind { bloat: true, ..kind("cable, bufferbloat", "wired", nature(15, 0.001, None), 0.1, 1500) },
    kind("Wi-Fi, bursts", "wifi", nature(20, 0.002, Some((50, 0.01, 0.7))), 0.2, 900),
    kind("LTE, good", "cellular", nature(45, 0.002, Some((60, 0.01, 0.9))), 0.1, 3600),
    kind("LTE, middling", "cellular", nature(60, 0.005, Some((150, 0.02, 0.9))), 0.2, 4000),
    kind("LTE, bad", "cellular", nature(80, 0.01, Some((400, 0.05, 0.95))), 1.0, 7000),
];

/// What came of some days.
#[derive(Clone, Debug, Default)]
struct Tally {
    days: usize,
    outages: usize,
    missed: usize,
    /// Verdicts on a living line, with the seed and the time of day.
    false_verdicts: Vec<(u64, Instant)>,
    detections: Vec<Duration>,
    /// The same of deaths that nobody felt: the line was the spare then, which is asked seldom.
    unfelt: Vec<Duration>,
    moved: usize,
    handled: u64,
    violations: Vec<String>,
}

/// A stretch in which the line is really dead.
#[derive(Clone, Copy, Debug)]
struct Outage {
    from: Instant,
    to: Instant,
    /// The line was in use when it died.
    felt: bool,
}

/// One day of one line, with a clean cable behind it.
fn day(kind: &Kind, seed: u64) -> Tally {
    let text = format!(
        "[[uplink]]\nname = \"line\"\ninterface = \"wan0\"\nkind = \"{}\"\n\
         [[uplink]]\nname = \"spare\"\ninterface = \"wan1\"\n[lan]\ninterfaces = [\"br-lan\"]\n",
        kind.word
    );
    let v4_only = PerFamily { v4: true, v6: false };
    let mut world = World::new(Plan {
        config: config::parse(&text, "simulation").unwrap(),
        natures: vec![kind.nature, nature(10, 0.0, None)],
        families: vec![v4_only; 2],
        seed,
    });
    world.start_agent();
    let mut rng = Rng::new(seed ^ 0x5eed);
    let dawn = world.now();
    let mut outages = Vec::new();
    for hour in 0..24 {
        let start = dawn + HOUR * hour;
        let evening = (17..23).contains(&hour);
        // People are at home in the evening and now and then during the day.
        let at_home = if evening { HOUR } else { HOUR / 12 };
        let begin = start + rng.between(MS(1), HOUR - at_home);
        world.run_until(begin);
        world.net.set_people(Some(MS(70)), begin);
        if evening && kind.bloat {
            world.run_for(rng.between(MS(1_000), HOUR / 6));
            world.net.set_people(Some(MS(20)), world.now());
            world.fault(0, Fault::Bloat(true));
            world.run_for(rng.between(HOUR / 60, HOUR / 6));
            world.fault(0, Fault::Bloat(false));
            world.net.set_people(Some(MS(70)), world.now());
            world.run_for(MS(30_000));
        }
        if hour % 6 == 5 {
            outages.push(outage(&mut world, &mut rng, begin + at_home));
        }
        world.run_until((begin + at_home).max(world.now()));
        world.net.set_people(None, world.now());
    }
    world.run_until(dawn + HOUR * 24);
    judge(&world, &outages, seed)
}

/// The line dies for a while, with people at home.
fn outage(world: &mut World, rng: &mut Rng, before: Instant) -> Outage {
    let left = before.since(world.now()).saturating_sub(HOUR / 30);
    world.run_for(rng.between(MS(20_000), left));
    let from = world.now();
    let engine = world.engine.as_ref().unwrap();
    let felt = engine.snapshot(world.clock()).active.v4.as_deref() == Some("line");
    world.fault(0, Fault::Sever(PerFamily { v4: true, v6: true }));
    world.run_for(rng.between(MS(20_000), MS(110_000)));
    world.fault(0, Fault::Restore);
    Outage { from, to: world.now(), felt }
}

fn judge(world: &World, outages: &[Outage], seed: u64) -> Tally {
    let is_verdict = |e: &&Event| matches!(&e.fact, Fact::Health { uplink, to, .. } if uplink == "line" && to.word() == "down");
    let verdicts: Vec<Instant> = world.events.iter().filter(is_verdict).map(|e| e.at).collect();
    // A trial that fails while the line is still dead, or was a moment ago, is no mistake.
    let was_dead = |at: &Instant| outages.iter().any(|o| *at >= o.from && *at <= o.to + MS(3_000));
    let first_in = |o: &Outage| verdicts.iter().find(|at| **at >= o.from && **at <= o.to);
    let found = |felt: bool| -> Vec<Duration> {
        let outages = outages.iter().filter(|o| o.felt == felt);
        outages.filter_map(|o| first_in(o).map(|at| at.since(o.from))).collect()
    };
    let (detections, unfelt) = (found(true), found(false));
    let moved = |e: &&Event| matches!(e.fact, Fact::Switched { .. });
    Tally {
        days: 1,
        outages: outages.len(),
        missed: outages.len() - detections.len() - unfelt.len(),
        false_verdicts: verdicts.iter().filter(|at| !was_dead(at)).map(|at| (seed, *at)).collect(),
        detections,
        unfelt,
        moved: world.events.iter().filter(moved).count(),
        handled: world.handled,
        violations: world.net.kernel.violations.clone(),
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.days += other.days;
        self.outages += other.outages;
        self.missed += other.missed;
        self.false_verdicts.extend(other.false_verdicts);
        self.detections.extend(other.detections);
        self.unfelt.extend(other.unfelt);
        self.moved += other.moved;
        self.handled += other.handled;
        self.violations.extend(other.violations);
    }

    fn median(&self) -> Duration {
        let mut sorted = self.detections.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn worst(&self) -> Duration {
        self.detections.iter().max().copied().unwrap_or_default()
    }

    /// How many deaths nobody felt, and the worst of them.
    fn unfelt(&self) -> String {
        let worst = self.unfelt.iter().max();
        worst
            .map_or("-".to_owned(), |worst| format!("{}: {}", self.unfelt.len(), worst.as_millis()))
    }
}

/// Days are dealt out to the kinds in turn, and worked off by as many threads as there are cores.
fn simulate(days: usize, seed: u64) -> Vec<Tally> {
    let tallies = Mutex::new(vec![Tally::default(); KINDS.len()]);
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= days {
                        return;
                    }
                    let tally = day(&KINDS[n % KINDS.len()], seed * 1_000_003 + n as u64);
                    tallies.lock().unwrap()[n % KINDS.len()].add(tally);
                }
            });
        }
    });
    tallies.into_inner().unwrap()
}

fn table(tallies: &[Tally]) -> String {
    let mut text = format!(
        "{:<20} {:>5} {:>8} {:>7} {:>7} {:>10} {:>9} {:>13} {:>14}\n",
        "line",
        "days",
        "outages",
        "missed",
        "false",
        "median ms",
        "worst ms",
        "as spare",
        "inputs per day"
    );
    for (kind, t) in KINDS.iter().zip(tallies) {
        let per_day = t.handled / t.days.max(1) as u64;
        let _ = writeln!(
            text,
            "{:<20} {:>5} {:>8} {:>7} {:>7} {:>10} {:>9} {:>13} {:>14}",
            kind.name,
            t.days,
            t.outages,
            t.missed,
            t.false_verdicts.len(),
            t.median().as_millis(),
            t.worst().as_millis(),
            t.unfelt(),
            per_day
        );
    }
    text
}

fn check(days: usize) {
    let number = |name| sparelink::lab::asked::number(name).unwrap_or_else(|e| panic!("{e}"));
    let seed = number("SPARELINK_SIM_SEED").unwrap_or(1);
    let days = number("SPARELINK_SIM_DAYS").map_or(days, |n| n as usize);
    let began = std::time::SystemTime::now();
    let tallies = simulate(days, seed);
    let took = began.elapsed().unwrap_or_default().as_secs_f64();
    // Past the test runner, which would keep it to itself: the table is for people.
    let mut out = std::io::stdout().lock();
    let head = format!("{days} uplink-days, seed {seed}, {took:.0} s");
    let _ = writeln!(out, "\n{head}\n\n{}", table(&tallies));
    for (kind, t) in KINDS.iter().zip(&tallies) {
        let name = kind.name;
        for (seed, at) in &t.false_verdicts {
            let hour = at.as_micros() as f64 / 3.6e9;
            let _ = writeln!(out, "{name}: a verdict on a living line, day {seed}, hour {hour:.3}");
        }
        assert_eq!(t.violations, Vec::<String>::new(), "{name}");
        assert_eq!(t.missed, 0, "{name}: outages that nobody noticed");
        let most = (kind.most_false * t.days as f64).ceil() as usize;
        assert!(t.false_verdicts.len() <= most, "{name}: more than {most} false verdicts");
        assert!(t.median() <= kind.median, "{name}: median {:?}", t.median());
    }
}

#[test]
fn days_of_lines() {
    check(DAYS);
}

#[test]
#[ignore = "minutes; part of make test-all"]
fn many_days_of_lines() {
    check(MANY_DAYS);
}
