//! What the engine makes of what the reconciler reports.

use super::*;
use crate::config;
use crate::engine::Mode;
use crate::engine::dataplane::diff::Change;
use crate::engine::dataplane::drift;
use crate::engine::dataplane::drift::Drift;
use crate::engine::dataplane::nft::Table;
use crate::engine::events::facts::Event;
use crate::engine::events::undone;
use crate::engine::input::{Counters, Input};
use crate::engine::kernel::view::{Address, KernelChange, KernelView, Link, Touched};
use crate::engine::state::Restored;
use crate::time::Instant;
use crate::units::IfName;
use std::time::Duration;

const CONFIG: &str = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\ngateway = \"10.0.0.1\"\n";

/// The news that matter here.
const GUARDING: [&str; 6] =
    ["repaired", "fight", "fight_over", "offload", "astray", "apply_failed"];

/// An engine, what it said, and the time.
struct Bench {
    engine: Engine,
    now: Now,
    /// Desired states that the reconciler has not answered yet.
    asked: u32,
    told: Vec<String>,
}

impl Bench {
    /// One uplink, in use; its desired state stands in the kernel.
    fn new() -> Self {
        let now = Now { mono: Instant::from_micros(1_000_000), utc: None };
        let config = config::parse(CONFIG, "test.toml").unwrap();
        let engine = Engine::new(config, Mode::Steer, Restored::default(), 0, now);
        let told = Vec::new();
        let mut this = Self { engine, now, asked: 0, told };
        let mut view = KernelView::default();
        let link = Link::wired(IfIndex(2), "wan0");
        view.links.insert(IfIndex(2), link.clone());
        let other = Link { index: IfIndex(9), name: IfName::new("eth9").unwrap(), ..link };
        view.links.insert(IfIndex(9), other);
        view.addresses.push(Address {
            index: IfIndex(2),
            net: "10.0.0.2/24".parse().unwrap(),
            peer: None,
            global: true,
            deprecated: false,
        });
        let (adopted, spares) = (PerFamily::default(), PerFamily::default());
        this.give(Input::Started { view, adopted, spares });
        this.answer(|_| ());
        this.told.clear();
        this
    }

    fn give(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        while let Some(output) = self.engine.poll_output() {
            self.asked += u32::from(matches!(output, Output::Converge { .. }));
            if let Output::Record(Event { fact, .. }) = output
                && GUARDING.contains(&fact.code().word())
            {
                self.told.push(fact.to_string());
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some((at, _)) = self.engine.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now.mono = self.now.mono.max(at);
            self.give(Input::Timeout);
            if self.asked > 0 {
                self.answer(|_| ());
            }
        }
        self.now.mono = until;
        self.give(Input::Timeout);
    }

    fn applied(&mut self, report: ApplyReport) {
        self.give(Input::Applied(Box::new(report)));
    }

    /// The reconciler has done what it was asked for.
    fn answer(&mut self, found: impl Fn(&mut ApplyReport)) {
        while self.asked > 0 {
            self.asked = 0;
            let mut report = ApplyReport {
                generation: self.engine.kernel.generation(),
                took: Duration::from_millis(4),
                ..ApplyReport::default()
            };
            found(&mut report);
            self.applied(report);
        }
    }

    /// Somebody deletes our table; whether it is asked for at once.
    fn deletes(&mut self) -> bool {
        self.give(Input::Kernel(vec![KernelChange::Ours(Touched::Nftables)]));
        let at_once = self.asked > 0;
        if at_once {
            self.asked = 0;
            let generation = self.engine.kernel.generation();
            self.applied(ApplyReport { generation, ..rebuilt() });
            self.answer(|_| ());
        }
        at_once
    }
}

/// The table was not there, and has been built.
fn rebuilt() -> ApplyReport {
    ApplyReport {
        changes: vec![Change::BuildTable(Table::default())],
        drift: Drift { table: Some(undone::Damage::Deleted), ..Drift::default() },
        took: Duration::from_millis(4),
        ..ApplyReport::default()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_comes_after_what_it_speaks_of() {
    let mut bench = Bench::new();
    let pause = crate::engine::input::Command::Pause {
        uplink: "cable".to_owned(),
        lasts: None,
        reason: None,
    };
    bench.engine.handle(Input::Command(1, pause), bench.now);
    let mut outputs = Vec::new();
    while let Some(output) = bench.engine.poll_output() {
        outputs.push(output);
    }
    assert!(outputs.len() > 2, "control: it does something: {outputs:?}");
    let answers = outputs.iter().filter(|output| matches!(output, Output::Answer(..))).count();
    assert_eq!(answers, 1);
    assert!(matches!(outputs.last(), Some(Output::Answer(1, Ok(_)))), "{outputs:?}");
}

#[test]
fn what_is_undone_in_one_go_is_told_once() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        assert!(bench.deletes(), "put back at once");
        bench.wait(Duration::from_millis(20));
    }
    assert!(bench.told.is_empty(), "it may not be over");
    bench.wait(SECOND * 2);
    assert_eq!(bench.told, ["others deleted the nftables table: restored in 12 ms"]);
    let now = bench.now;
    let snapshot = bench.engine.snapshot(now);
    assert_eq!((snapshot.repairs, snapshot.repairs_of[&undone::Kind::Nftables]), (1, 1));
}

/// Found by chance: what the kernel refused in part was tried again, and each try was taken for another attack.
#[test]
fn what_the_kernel_refuses_meanwhile_is_no_fight() {
    let mut bench = Bench::new();
    bench.give(Input::Kernel(vec![KernelChange::Ours(Touched::Nftables)]));
    for _ in 0..8 {
        assert!(bench.asked > 0, "it is tried again");
        bench.asked = 0;
        let generation = bench.engine.kernel.generation();
        let errors = vec!["no buffer space available".to_owned()];
        bench.applied(ApplyReport { generation, errors, ..rebuilt() });
        let until = bench.now.mono + SECOND * 5;
        while let Some((at, _)) = bench.engine.poll_timeout().filter(|(at, _)| *at <= until) {
            bench.now.mono = bench.now.mono.max(at);
            bench.give(Input::Timeout);
            if bench.asked > 0 {
                break;
            }
        }
    }
    let fights = bench.told.iter().filter(|told| told.contains("in a minute")).count();
    let repairs = bench.told.iter().filter(|told| told.contains("restored in")).count();
    assert_eq!((fights, repairs), (0, 1), "{:#?}", bench.told);
}

#[test]
fn six_times_in_a_minute_are_a_fight_until_there_is_peace() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        assert!(bench.deletes());
        bench.wait(SECOND * 3);
    }
    assert_eq!(bench.told.len(), 7, "{:#?}", bench.told);
    assert!(bench.told[6].contains("6 times in a minute"), "{}", bench.told[6]);
    bench.told.clear();
    assert!(!bench.deletes(), "who fights is not fought");
    bench.wait(Duration::from_secs(9));
    assert!(bench.told.is_empty());
    bench.wait(Duration::from_secs(100));
    assert_eq!(bench.told, ["no other program has changed sparelink's rules for a minute"]);
    assert!(bench.deletes(), "all is as before");
}

#[test]
fn who_never_rests_is_a_fight_within_seconds() {
    let mut bench = Bench::new();
    let at_once = (0..100).filter(|_| {
        let at_once = bench.deletes();
        bench.wait(SECOND / 20);
        at_once
    });
    assert_eq!(at_once.count(), 20);
    bench.wait(SECOND * 2);
    assert_eq!(bench.told.len(), 2, "{:#?}", bench.told);
    assert!(bench.told[1].contains("20 times in a minute"), "{}", bench.told[1]);
}

#[test]
fn four_a_minute_are_no_fight() {
    let mut bench = Bench::new();
    for _ in 0..20 {
        assert!(bench.deletes());
        bench.wait(SECOND * 15);
    }
    assert_eq!(bench.told.len(), 20, "{:#?}", bench.told);
}

#[test]
fn what_happens_while_the_reconciler_is_busy_is_looked_at_again() {
    let mut bench = Bench::new();
    let ours = || Input::Kernel(vec![KernelChange::Ours(Touched::Nftables)]);
    bench.give(ours());
    assert_eq!(bench.asked, 1);
    bench.give(ours());
    assert_eq!(bench.asked, 1, "one at a time");
    // The reconciler had looked before the second deletion.
    bench.asked = 0;
    let generation = bench.engine.kernel.generation();
    bench.applied(ApplyReport { generation, ..rebuilt() });
    assert_eq!(bench.asked, 1, "it looks again");
    // Lost messages may have been about anything.
    bench.answer(|_| ());
    let view = bench.engine.seen.view.clone();
    bench.give(Input::View(view));
    assert_eq!(bench.asked, 1);
}

/// A rule came back; the table could not be looked at.
fn half_rebuilt() -> ApplyReport {
    let rule = plan(&Wanted::default()).rules.into_iter().next().unwrap();
    let missing = BTreeSet::from([rule.clone()]);
    let rules = drift::Tally { desired: 4, missing, ..drift::Tally::default() };
    ApplyReport {
        changes: vec![Change::AddRule(rule)],
        drift: Drift { rules, ..Drift::default() },
        errors: vec!["busy".to_owned()],
        took: Duration::from_millis(4),
        ..ApplyReport::default()
    }
}

#[test]
fn what_is_refused_for_a_moment_is_tried_again_at_once_and_told_as_theirs() {
    let mut bench = Bench::new();
    bench.give(Input::Kernel(vec![KernelChange::Ours(Touched::Rules)]));
    bench.asked = 0;
    let generation = bench.engine.kernel.generation();
    bench.applied(ApplyReport { generation, ..half_rebuilt() });
    assert_eq!(bench.asked, 0, "a breath");
    bench.now.mono = bench.now.mono + SECOND / 10;
    bench.give(Input::Timeout);
    assert_eq!(bench.asked, 1, "not after a second");
    bench.asked = 0;
    let mut rest = rebuilt();
    rest.drift.rules.desired = 4;
    bench.applied(ApplyReport { generation, ..rest });
    assert!(bench.engine.kernel.is_settled());
    bench.wait(SECOND * 2);
    let theirs = "others deleted 1 of 4 rules and the nftables table: restored in 8 ms";
    assert_eq!(bench.told, [theirs]);
}

#[test]
fn what_stays_refused_is_told_and_tried_less_and_less() {
    let mut bench = Bench::new();
    bench.give(Input::Kernel(vec![KernelChange::Ours(Touched::Rules)]));
    let generation = bench.engine.kernel.generation();
    let begun = bench.now.mono;
    let mut tries = Vec::new();
    while bench.now.mono.since(begun) < SECOND * 8 {
        if std::mem::take(&mut bench.asked) > 0 {
            tries.push(bench.now.mono.since(begun).as_millis());
            let errors = vec!["no".to_owned()];
            bench.applied(ApplyReport { generation, errors, ..ApplyReport::default() });
        }
        bench.now.mono = bench.engine.poll_timeout().unwrap().0.max(bench.now.mono);
        bench.give(Input::Timeout);
    }
    assert_eq!(tries, [0, 50, 1050, 3050, 7050]);
    assert_eq!(bench.told, ["the kernel refused: no"]);
}

#[test]
fn packets_that_go_astray_twice_are_told_once() {
    let mut bench = Bench::new();
    let look = |bench: &mut Bench, by: u32| {
        bench.give(Input::Kernel(vec![KernelChange::Ours(Touched::Rules)]));
        bench.answer(|report| report.verified.v4 = Some(IfIndex(by)));
    };
    for by in [2, 9, 2, 9] {
        look(&mut bench, by);
    }
    assert!(
        bench.told.is_empty(),
        "a cable was pulled, and the kernel knew it first: {:?}",
        bench.told
    );
    let again = bench.engine.poll_timeout().unwrap().0;
    assert!(again.since(bench.now.mono) <= SECOND, "it looks again soon");
    for by in [9, 9, 2, 9, 9] {
        look(&mut bench, by);
    }
    let astray = "IPv4 packets to the Internet leave by eth9, not by cable: a rule of another \
                  program comes before sparelink's; `ip rule` shows it";
    assert_eq!(bench.told, [astray, astray]);
}

#[test]
fn offloading_doubles_the_window() {
    let mut bench = Bench::new();
    let window = |bench: &Bench| {
        let snapshot = bench.engine.snapshot(bench.now);
        let uplink = &snapshot.uplinks[0];
        (uplink.offloaded, uplink.lines.v4.as_ref().unwrap().window.as_millis())
    };
    let before = window(&bench);
    let offload = |bench: &mut Bench, device: &str| {
        bench.give(Input::Kernel(vec![KernelChange::Ours(Touched::Nftables)]));
        let devices = || [device.to_owned()].into_iter().filter(|d| !d.is_empty()).collect();
        bench.answer(|report| report.offloaded = devices());
    };
    offload(&mut bench, "eth9");
    assert_eq!(window(&bench), before, "not an uplink's");
    offload(&mut bench, "wan0");
    assert_eq!(window(&bench), (true, before.1 * 2));
    offload(&mut bench, "");
    assert_eq!(window(&bench), before);
    assert_eq!(bench.told.len(), 2, "{:?}", bench.told);
    assert!(bench.told[0].starts_with("connections on cable are offloaded"));
}

/// Lines are well, and yet nothing new gets through.
#[test]
fn a_full_connection_table_is_told() {
    let mut bench = Bench::new();
    let mut says = |count| {
        let counters = Counters { tracked: Some((count, 1000)), ..Counters::default() };
        bench.give(Input::Counters(counters));
        bench.engine.seen.polls.full
    };
    assert_eq!([999, 1000, 980, 950, 999].map(&mut says), [false, true, true, false, false]);
    bench.give(Input::Counters(Counters { tracked: Some((1000, 1000)), ..Counters::default() }));
    let now = bench.now;
    bench.engine.choice.active.v4.uplink = bench.engine.uplinks.chain.first().copied();
    let snapshot = bench.engine.snapshot(now);
    assert_eq!(
        snapshot.works,
        snapshot.sentence.ends_with("conntrack is full"),
        "{}",
        snapshot.sentence
    );
    assert!(snapshot.works, "control: {}", snapshot.sentence);
}

#[test]
fn a_wall_clock_that_jumps_by_years_changes_nothing() {
    let year = 365 * 86_400 * 1000;
    let mut bench = Bench::new();
    let utc = 1_800_000_000_000;
    let active = |bench: &Bench| bench.engine.snapshot(bench.now).active;
    bench.now.utc = Some(crate::time::Utc(utc));
    bench.wait(SECOND * 10);
    let before = active(&bench);
    for clock in [Some(utc + 10 * year), Some(utc - 10 * year), None, Some(utc)] {
        bench.now.utc = clock.map(crate::time::Utc);
        // Beyond the hour in which lines are learned.
        bench.wait(SECOND * 3700);
        assert_eq!(active(&bench), before, "{clock:?}");
        assert_eq!(bench.told, Vec::<String>::new(), "{clock:?}");
        let state = serde_json::to_string(&bench.engine).unwrap();
        assert_eq!(serde_json::from_str::<Engine>(&state).unwrap(), bench.engine, "{clock:?}");
    }
}
