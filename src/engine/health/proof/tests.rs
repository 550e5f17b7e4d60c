use super::*;
use crate::engine::probe::{Path, ProbeRequest};
use crate::units::{Fwmark, IfIndex, IfName, Rtt, UplinkId};

const RTT: Rtt = Rtt(Duration::from_millis(5));

fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// A line with two resolvers of its own; public ones are asked if they fail.
struct Table {
    proof: Proof,
    own: Vec<IpAddr>,
    known: bool,
    public: Vec<IpAddr>,
    pages: Vec<HttpCheck>,
    next_id: u64,
    /// Everybody who was asked for the name in the last round, in order.
    asked: Vec<IpAddr>,
    /// What all resolvers say of the pages' hosts, if they block them: no such name, or an address.
    blocking: Option<Option<&'static str>>,
    /// How a page is answered.
    page: Outcome,
}

impl Table {
    fn new(own: &str) -> Self {
        Self {
            proof: Proof::default(),
            own: ips(own),
            known: true,
            public: ips("1.1.1.1 8.8.8.8 2620:fe::fe"),
            pages: Vec::new(),
            next_id: 0,
            asked: Vec::new(),
            blocking: None,
            page: Outcome::HttpExpected(RTT),
        }
    }

    /// Plays a round in which only these resolve; everybody else is silent.
    fn round(&mut self, round: Round, answering: &str) {
        let answering = ips(answering);
        let plan = Plan {
            name: Some("example.com"),
            family: Family::V4,
            resolvers: &self.own,
            resolvers_known: self.known,
            public: &self.public,
            pages: &self.pages,
        };
        let path = Path {
            uplink: UplinkId::new(1).unwrap(),
            dev: IfName::loopback(),
            index: IfIndex(1),
            mark: Fwmark { value: 0, mask: 0 },
            source: self.own[0],
        };
        let mut requests: Vec<ProbeRequest> = Vec::new();
        let mut asker = Asker { next_id: &mut self.next_id, requests: &mut requests, path: &path };
        self.proof.begin(round, PATIENCE, plan, Instant::from_micros(1), &mut asker);
        self.asked.clear();
        let mut at = 0;
        while let Some(request) = asker.requests.get(at).cloned() {
            at += 1;
            let outcome = match request.question {
                Question::Dns { resolver, name } => {
                    if name == "example.com" {
                        self.asked.push(resolver);
                    }
                    let found = answering.contains(&resolver);
                    let host = name != "example.com";
                    if host && let Some(blocking) = self.blocking {
                        blocking
                            .map_or(Outcome::NoSuchName(RTT), |ip| Outcome::Resolved(RTT, ips(ip)))
                    } else if found {
                        Outcome::Resolved(RTT, ips("198.51.100.1"))
                    } else {
                        Outcome::Silent
                    }
                }
                Question::Echo(_) | Question::TcpConnect(..) | Question::Http { .. } => {
                    self.page.clone()
                }
            };
            assert!(self.proof.reply(request.id, &outcome, plan, &mut asker));
        }
        assert!(!self.proof.is_busy(), "a round ends");
    }

    fn names(&mut self, answering: &str) -> (Finding, u32, bool) {
        self.round(Round::Names, answering);
        let plan = Plan {
            name: Some("example.com"),
            family: Family::V4,
            resolvers: &self.own,
            resolvers_known: self.known,
            public: &self.public,
            pages: &self.pages,
        };
        let proof = &self.proof;
        (proof.dns().clone(), proof.dns_failures(), proof.own_are_silent(plan))
    }
}

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const BOTH: &str = "192.0.2.1 192.0.2.2";
const PUBLIC: &str = "8.8.8.8";

#[test]
fn public_ones_are_asked_before_the_line_is_blamed() {
    let mut table = Table::new(BOTH);
    assert_eq!(table.names(BOTH), (Finding::Passed, 0, false));
    assert_eq!(table.asked.len(), 1, "one in turn while all is well");
    // Its own fall silent, public ones resolve: names resolve, and after two rounds it is plain whose
    // fault it is.
    assert_eq!(table.names(PUBLIC), (Finding::Passed, 0, false));
    assert_eq!(table.asked.len(), 4, "both of its own, then the public ones of its family");
    assert_eq!(table.names(PUBLIC), (Finding::Passed, 0, true));
    // They are asked on, and believed again after two good rounds.
    assert_eq!(table.names(BOTH), (Finding::Passed, 0, true));
    assert_eq!(table.asked, ips(BOTH), "public ones only if need be");
    assert_eq!(table.names(BOTH), (Finding::Passed, 0, false));
}

#[test]
fn where_nobody_resolves_the_line_is_to_blame_and_no_resolver() {
    let mut table = Table::new(BOTH);
    assert_eq!(table.names(""), (Finding::NoAnswer, 1, false));
    assert_eq!(table.names(""), (Finding::NoAnswer, 2, false));
    assert_eq!(table.names(PUBLIC), (Finding::Passed, 0, false), "one miss so far");
}

#[test]
fn one_good_resolver_is_enough_and_the_bad_one_is_known() {
    let mut table = Table::new(BOTH);
    for _ in 0..4 {
        assert_eq!(table.names(B), (Finding::Passed, 0, false));
    }
    assert!(table.proof.conduct().is_silent(&ips(A)[0]));
    assert!(!table.proof.conduct().is_silent(&ips(B)[0]));
}

#[test]
fn without_resolvers_of_its_own_silence_proves_nothing() {
    let mut table = Table::new("1.1.1.1 8.8.8.8");
    table.known = false;
    assert_eq!(table.names(""), (Finding::Unknown, 0, false));
    assert_eq!(table.asked.len(), 1);
    assert_eq!(table.names("1.1.1.1 8.8.8.8"), (Finding::Passed, 0, false));
    // Nor where public ones are its own.
    let mut table = Table::new("1.1.1.1 8.8.8.8");
    assert_eq!(table.names(""), (Finding::NoAnswer, 1, false));
    assert_eq!(table.asked.len(), 2, "nobody is asked twice");
}

#[test]
fn a_blocking_resolver_is_no_portal_and_no_silence() {
    let pages = || {
        let text = "[[uplink]]\nname = \"a\"\ninterface = \"b\"\n";
        crate::config::parse(text, "test").unwrap().probe.http
    };
    // Own address, nobody's address, and a private one at which nobody answers.
    let blocking = [None, Some("0.0.0.0"), Some("127.0.0.1"), Some(A), Some("10.77.0.1")];
    for blocking in blocking {
        let mut table = Table::new(A);
        (table.pages, table.blocking, table.page) = (pages(), Some(blocking), Outcome::Silent);
        table.round(Round::All, A);
        assert_eq!(table.proof.http(), &Finding::Blocked, "{blocking:?}");
        assert!(table.proof.passed().is_some(), "nothing is wrong");
    }
    let sign_in = Outcome::HttpOther { status: 302, location: None };
    let mut table = Table::new(A);
    (table.pages, table.blocking, table.page) = (pages(), Some(Some("10.77.0.1")), sign_in);
    table.round(Round::All, A);
    assert_eq!(table.proof.http(), &Finding::Wrong(None), "control: a portal was seen there");
    let mut table = Table::new(A);
    (table.pages, table.page) = (pages(), Outcome::Silent);
    table.round(Round::All, A);
    assert_eq!(table.proof.http(), &Finding::NoAnswer, "control: the server is silent");
}

#[test]
fn a_slow_line_is_waited_for() {
    assert_eq!(patience(None), PATIENCE);
    assert_eq!(patience(Some(Duration::from_millis(20))), PATIENCE);
    assert!(patience(Some(Duration::from_secs(2))) >= Duration::from_secs(6));
    assert_eq!(patience(Some(Duration::from_secs(60))), PATIENCE_MAX);
}

#[test]
fn a_page_is_found_by_public_resolvers_too() {
    let mut table = Table::new(A);
    table.pages = crate::config::parse("[[uplink]]\nname = \"a\"\ninterface = \"b\"\n", "test")
        .unwrap()
        .probe
        .http;
    table.round(Round::All, PUBLIC);
    assert_eq!((table.proof.http(), table.proof.dns()), (&Finding::Passed, &Finding::Passed));
    table.round(Round::All, "");
    assert_eq!(table.proof.http(), &Finding::NoAnswer, "control");
}
