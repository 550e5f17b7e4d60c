use super::*;
use crate::config::Kind;
use crate::engine::health::line::PREMATURE;
use crate::engine::health::proof::Plan;
use crate::engine::health::suspicion::Duty;
use crate::engine::health::traffic::Packets;
use crate::engine::kernel::egress::Egress;
use crate::engine::probe::{Outcome, Path, ProbeRequest, Question};
use crate::units::{Family, Fwmark, IfIndex, IfName, Rtt, UplinkId};

/// A wired spare with two targets, on a clock that is turned by hand.
struct Bench {
    line: Line,
    now: Instant,
    next_id: u64,
    news: Vec<News>,
    /// What it resolves now and then.
    name: Option<&'static str>,
    asked_names: usize,
    packets: Packets,
}

const TICK: Duration = Duration::from_millis(10);

impl Bench {
    fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        let dev = IfName::new("eth1").unwrap();
        let source = "192.0.2.2".parse().unwrap();
        let egress = Egress {
            index: IfIndex(2),
            dev,
            source,
            gateway: None,
            onlink: false,
            mtu: None,
            prefsrc: None,
        };
        let mut line = Line::default();
        line.relink(Some(egress), now);
        let mut this = Self {
            line,
            now,
            next_id: 0,
            news: Vec::new(),
            name: None,
            asked_names: 0,
            packets: Packets::default(),
        };
        this.turn(|line, s, _, news| line.signal(Signal::Linked, s, news));
        this
    }

    /// One turn of the line at this moment: what it asks.
    fn turn(
        &mut self,
        turn: impl FnOnce(&mut Line, &Context<'_>, &mut Asker<'_>, &mut Vec<News>),
    ) -> Vec<ProbeRequest> {
        let targets = ["1.1.1.1", "8.8.8.8"].map(|target| target.parse().unwrap());
        let (index, mark) = (IfIndex(2), Fwmark { value: 0, mask: Fwmark::UPLINK_MASK });
        let (uplink, dev) = (UplinkId::new(1).unwrap(), IfName::new("eth1").unwrap());
        let path = Path { uplink, dev, index, mark, source: "192.0.2.2".parse().unwrap() };
        let (family, pages) = (Family::V4, &[]);
        let plan = Plan {
            name: self.name,
            family,
            resolvers: &targets,
            resolvers_known: false,
            public: &[],
            pages,
        };
        let s = Context {
            now: self.now,
            kind: Kind::Wired,
            duty: Duty::Spare,
            offloaded: false,
            metered: false,
            desperate: false,
            fixed_window: None,
            targets: &targets,
            plan,
            page_works_somewhere: false,
        };
        let mut requests = Vec::new();
        let mut asker = Asker { next_id: &mut self.next_id, requests: &mut requests, path: &path };
        turn(&mut self.line, &s, &mut asker, &mut self.news);
        requests
    }

    /// One tick of the clock, at whose begin these questions are answered.
    fn tick(&mut self, answers: impl Fn(&Question) -> bool) {
        for request in self.turn(|line, s, asker, news| line.timeout(s, asker, news)) {
            // As the kernel counts: what comes back from port 53 does not count.
            let (shake, inward) = match &request.question {
                Question::TcpConnect(_, 53) => (2, 0),
                Question::TcpConnect(..) => (2, 1),
                Question::Dns { .. } => (0, 0),
                Question::Echo(_) | Question::Http { .. } => (0, 1),
            };
            self.packets.outward += 1;
            let rtt = Rtt(Duration::from_millis(5));
            let answer = if let Question::Dns { resolver, .. } = &request.question {
                self.asked_names += 1;
                Outcome::Resolved(rtt, vec![*resolver])
            } else {
                Outcome::Answered(rtt)
            };
            if answers(&request.question) {
                self.packets.outward += shake;
                self.packets.inward += inward;
                let id = request.id;
                self.turn(|line, s, asker, news| line.reply(id, &answer, s, asker, news));
            }
        }
        self.now = self.now + TICK;
    }

    /// The line answers all, or nothing, until it is like that.
    fn until(&mut self, answers: bool, is: fn(&Health) -> bool) {
        let begun = self.now;
        while !is(&self.line.health) {
            self.tick(|_| answers);
            assert!(self.now.since(begun) < Duration::from_secs(60), "{:?}", self.line.health);
        }
    }

    /// The line answers all, or nothing, for so long.
    fn pass(&mut self, time: Duration, answers: bool) {
        let end = self.now + time;
        while self.now < end {
            self.tick(|_| answers);
        }
    }

    fn premature(&self) -> usize {
        self.news.iter().filter(|news| matches!(news, News::Premature)).count()
    }
}

const UP: fn(&Health) -> bool = |health| matches!(health, Health::Up { .. });
const DOWN: fn(&Health) -> bool = |health| matches!(health, Health::Down { .. });
const RECOVERING: fn(&Health) -> bool = |health| matches!(health, Health::Recovering { .. });
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_verdict_was_premature_if_the_line_answers_soon_after() {
    let mut bench = Bench::new();
    bench.until(true, UP);
    bench.pass(SECOND * 10, true);
    bench.until(false, DOWN);
    assert_eq!(bench.premature(), 0, "it is dead for all that is known");
    bench.pass(SECOND, false);
    bench.until(true, UP);
    assert_eq!(bench.premature(), 1);

    bench.pass(SECOND * 10, true);
    bench.until(false, DOWN);
    bench.pass(PREMATURE + SECOND, false);
    bench.until(true, UP);
    assert_eq!(bench.premature(), 1, "that was an outage");
}

#[test]
fn a_trial_that_failed_condemned_nobody_alive() {
    let mut bench = Bench::new();
    bench.until(true, UP);
    bench.pass(SECOND * 10, true);
    bench.until(false, DOWN);
    bench.pass(SECOND * 30, false);
    // One answer, and silence again: the trial is given up, and the line is dead as it was before.
    bench.until(true, RECOVERING);
    bench.until(false, DOWN);
    bench.pass(SECOND, false);
    bench.until(true, UP);
    assert_eq!(bench.premature(), 0, "nobody said of a living line that it is dead");
}

#[test]
fn questions_for_names_are_nobodys_traffic() {
    let mut bench = Bench::new();
    bench.name = Some("example.org");
    bench.until(true, UP);
    for second in 0..600 {
        bench.pass(SECOND, true);
        let packets = bench.packets;
        bench.turn(|line, s, _, news| line.counters(packets, s, news));
        let busy = bench.line.traffic.is_busy(bench.now);
        assert!(!busy, "after {second} s, {} questions for names", bench.asked_names);
    }
    assert!(bench.asked_names > 5, "control: names were asked for");
    bench.packets.outward += 1;
    let packets = bench.packets;
    bench.turn(|line, s, _, news| line.counters(packets, s, news));
    assert!(bench.line.traffic.is_busy(bench.now), "control: that was somebody else's");
}

#[test]
fn what_was_held_back_while_the_line_was_dead_measures_nothing() {
    let mut bench = Bench::new();
    bench.until(true, UP);
    bench.pass(SECOND * 40, true);
    let before = bench.line.rtt.clone();
    // A modem's queue keeps everything for a while, and delivers it then.
    let (cut, mut held) = (bench.now, Vec::new());
    while bench.now < cut + SECOND * 15 {
        let asked = bench.turn(|line, s, asker, news| line.timeout(s, asker, news));
        let sent = bench.now;
        held.extend(asked.into_iter().map(|request| (request, sent)));
        bench.now = bench.now + TICK;
    }
    assert!(DOWN(&bench.line.health));
    let handshakes = held.iter().filter(|h| matches!(h.0.question, Question::TcpConnect(..)));
    assert!(handshakes.count() > 0, "control: it was asked by the other method, too");
    for (request, sent) in held {
        let answer = Outcome::Answered(Rtt(bench.now.since(sent)));
        bench.turn(|line, s, asker, news| line.reply(request.id, &answer, s, asker, news));
    }
    assert!(RECOVERING(&bench.line.health), "control: it is life");
    assert_eq!(bench.line.rtt, before);
    assert_eq!(bench.line.loss.percent(), None);
    bench.until(true, UP);
    bench.pass(SECOND * 3, true);
    let asked = bench.line.pending.values().all(|p| p.method == Method::Echo || !p.measures);
    assert!(asked && bench.line.asking.method() == Method::Echo, "echoes are answered again");
    assert!(bench.line.rtt.late_after() < Duration::from_millis(50));
}

#[test]
fn a_line_asked_by_handshakes_is_asked_by_echoes_once_they_are_answered() {
    let echo = |q: &Question| matches!(q, Question::Echo(_));
    let mut bench = Bench::new();
    while !UP(&bench.line.health) {
        bench.tick(|question| !echo(question));
    }
    assert_ne!(bench.line.asking.method(), Method::Echo);
    for _ in 0..3_000 {
        bench.tick(|question| !echo(question));
    }
    assert!(UP(&bench.line.health), "control: handshakes are enough");
    assert_eq!(bench.line.loss.percent().map(|loss| loss.0), Some(0.0));
    for _ in 0..6_000 {
        bench.tick(|_| true);
    }
    assert_eq!(bench.line.asking.method(), Method::Echo);
}

/// When a line is proven that answers these questions from then on.
fn proven_after(wake: Duration, answers: fn(&Question) -> bool) -> Option<Duration> {
    let mut bench = Bench::new();
    let begun = bench.now;
    for _ in 0..2_000 {
        let awake = bench.now >= begun + wake;
        bench.tick(|question| awake && answers(question));
        if UP(&bench.line.health) {
            return Some(bench.now.since(begun));
        }
    }
    None
}

#[test]
fn a_line_that_wakes_late_is_proven_by_whatever_it_answers() {
    let echo = |q: &Question| matches!(q, Question::Echo(_));
    let handshake = |q: &Question| matches!(q, Question::TcpConnect(_, 53));
    let web = |q: &Question| matches!(q, Question::TcpConnect(_, 443));
    for answers in [echo, handshake, web] {
        // Asked otherwise in between, it must not be asked so for ever; and where the trial was
        // given up long ago, either answer must still be found.
        for wake in [0, 500, 600, 700, 1_500, 8_000] {
            let wake = Duration::from_millis(wake);
            let proven = proven_after(wake, answers);
            let limit = wake + Duration::from_secs(8);
            assert!(proven.is_some_and(|p| p < limit), "answers from {wake:?} on: {proven:?}");
        }
    }
}

#[test]
fn a_rest_after_an_answer_that_does_not_count_is_no_silence() {
    let mut bench = Bench::new();
    let look = |bench: &mut Bench| {
        bench.now = bench.now + Duration::from_millis(100);
        let packets = bench.packets;
        bench.turn(|line, s, _, news| line.counters(packets, s, news));
        bench.line.asked_since
    };
    look(&mut bench);
    bench.until(true, UP);
    bench.pass(Duration::from_secs(30), true);
    assert!(bench.line.pending.is_empty());
    look(&mut bench);
    // Somebody loads a page: it comes from port 80.
    bench.packets.outward += 4;
    assert!(look(&mut bench).is_some(), "control: that is a question");
    let after: Vec<_> = (0..25).map(|_| look(&mut bench)).collect();
    assert!(after[10].is_some(), "it may still be answered");
    assert_eq!(after[24], None, "nobody waits for it any more");
}
