//! The network around the engine: lines, the kernel that leads to them, and the people who use them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::kernel::Kernel;
use super::line::{Line, Packet};
use crate::engine::input::{Counters, FlushReport};
use crate::engine::kernel::flow::{FlowCount, FlushScope};
use crate::engine::output::FlushRequest;
use crate::engine::probe::{Outcome, ProbeRequest, Question};
use crate::lab::topology::TARGETS;
use crate::time::Instant;
use crate::units::{Family, IfIndex, PerFamily, Rtt, UplinkId};

/// Everything that is not the engine.
#[derive(Clone, Debug)]
pub struct Network {
    pub kernel: Kernel,
    /// The lines, in the order of the chain.
    pub lines: Vec<Line>,
    /// Addresses of the Internet that answer nobody.
    pub dead_targets: BTreeSet<IpAddr>,
    /// What the people in the house do.
    pub people: People,
    books: Vec<PerFamily<Book>>,
}

/// People open a new flow every so often, and want an answer.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// How often, per family; `None`: nobody is at home.
    pub every: Option<Duration>,
    /// Whether they also use IPv6.
    pub use_v6: bool,
    /// They ask for names, and for nothing else.
    pub only_names: bool,
    /// What became of their IPv4 flows, if somebody wants to know: when each was begun and when it
    /// was answered.
    pub flows: Option<Vec<(Instant, Option<Instant>)>>,
    next: PerFamily<Instant>,
}

/// What passed through one line.
#[derive(Clone, Debug, Default)]
struct Book {
    outward: u64,
    inward: u64,
    coming: VecDeque<Instant>,
    flows: u64,
}

/// A device-bound packet that cannot leave fails so soon.
const REFUSED_AFTER: Duration = Duration::from_micros(50);
/// Bytes of a packet, for the interface counters.
const PACKET: u64 = 500;

impl Network {
    /// A network in which nothing has happened yet.
    #[must_use]
    pub fn new(kernel: Kernel, lines: Vec<Line>) -> Self {
        let books = lines.iter().map(|_| PerFamily::default_book()).collect();
        Self { kernel, lines, dead_targets: BTreeSet::new(), people: People::default(), books }
    }

    /// How a probe ends, and how long after it was sent.
    pub fn probe(&mut self, request: &ProbeRequest, now: Instant) -> (Duration, Outcome) {
        self.live(now);
        let Some(uplink) = self.kernel.uplink_on(request.path.index) else {
            return (REFUSED_AFTER, Outcome::Failed("no such device".to_owned()));
        };
        if !self.kernel.has_carrier(uplink) {
            return (REFUSED_AFTER, Outcome::Failed("network is unreachable".to_owned()));
        }
        // What goes out is counted, what comes back from ports 53 and 80 is not.
        let (target, packet, (outward, inward)) = match &request.question {
            Question::Echo(ip) if is_near(*ip) => (*ip, Packet::Gateway, (0, 0)),
            Question::Echo(ip) => (*ip, Packet::Echo, (1, 1)),
            Question::TcpConnect(ip, port) => (*ip, Packet::Other, (1, u64::from(*port != 53))),
            Question::Dns { resolver, .. } => (*resolver, Packet::Dns, (1, 0)),
            Question::Http { server, .. } => (*server, Packet::Other, (5, 0)),
        };
        let family = Family::of(&target);
        let (Some(line), Some(books)) = (self.lines.get_mut(uplink), self.books.get_mut(uplink))
        else {
            return (request.timeout, Outcome::Silent);
        };
        let book = books.get_mut(family);
        book.outward += outward;
        let is_web = matches!(request.question, Question::Http { .. });
        let signs_in = line.faults.portal && !line.is_dead(family);
        if is_web && (signs_in || line.answers_for_others(family)) {
            let location = Some("http://login.example/".to_owned());
            return (Duration::from_millis(5), Outcome::HttpOther { status: 302, location });
        }
        let answer = line.pass(packet, family, now);
        let posed = packet == Packet::Echo && line.faults.poses_as == Some(target);
        let answer = if posed { line.pass(Packet::Gateway, family, now) } else { answer };
        let answer = answer.filter(|_| !self.dead_targets.contains(&target));
        let own = packet == Packet::Dns && !is_public(target);
        let answer = answer.filter(|_| !own || !line.faults.resolvers_broken);
        let Some(rtt) = answer.filter(|rtt| *rtt < request.timeout) else {
            return (request.timeout, Outcome::Silent);
        };
        for _ in 0..inward {
            book.expect(now + rtt);
        }
        if matches!(request.question, Question::TcpConnect(..)) {
            book.outward += 2;
        }
        let outcome = match &request.question {
            Question::Echo(_) | Question::TcpConnect(..) => Outcome::Answered(Rtt(rtt)),
            Question::Dns { .. } if line.faults.dns_broken => Outcome::NoSuchName(Rtt(rtt)),
            Question::Dns { .. } => Outcome::Resolved(Rtt(rtt), vec![web_server(family)]),
            Question::Http { .. } => Outcome::HttpExpected(Rtt(rtt)),
        };
        (rtt, outcome)
    }

    /// People go on with their lives up to now.
    pub fn live(&mut self, now: Instant) {
        let Some(every) = self.people.every else {
            return;
        };
        for family in Family::BOTH {
            if family == Family::V6 && !self.people.use_v6 {
                continue;
            }
            while *self.people.next.get(family) <= now {
                let next = self.people.next.get_mut(family);
                let at = *next;
                *next = at + every;
                let answered = self.open_flow(family, at);
                if let (Family::V4, Some(flows)) = (family, &mut self.people.flows) {
                    flows.push((at, answered));
                }
            }
        }
    }

    /// People begin, change or stop what they do.
    pub fn set_people(&mut self, every: Option<Duration>, now: Instant) {
        self.live(now);
        self.people.every = every;
        self.people.next = PerFamily { v4: now, v6: now };
    }

    fn open_flow(&mut self, family: Family, at: Instant) -> Option<Instant> {
        if self.kernel.refuses(family, at) {
            return None;
        }
        let uplink = self.kernel.active(family)?;
        let book = self.books.get_mut(uplink)?.get_mut(family);
        book.outward += 1;
        book.flows += 1;
        let packet = if self.people.only_names { Packet::Dns } else { Packet::Other };
        let arrival = at + self.lines.get_mut(uplink)?.pass(packet, family, at)?;
        if packet != Packet::Dns {
            book.expect(arrival);
        }
        Some(arrival)
    }

    /// The counters as they stand now, and what these interfaces have carried.
    pub fn counters(&mut self, numbers: &[UplinkId], bytes: &[IfIndex], now: Instant) -> Counters {
        self.live(now);
        let mut counters =
            Counters { absent: self.kernel.plane.nft.name.is_empty(), ..Counters::default() };
        for (uplink, books) in self.books.iter_mut().enumerate() {
            let Some(id) = numbers.get(uplink) else {
                continue;
            };
            let mut packets = (0, 0);
            let mut read = |book: &mut Book| {
                book.arrive(now);
                packets = (packets.0 + book.inward, packets.1 + book.outward);
                (book.inward, book.outward)
            };
            let (v4, v6) = (read(&mut books.v4), read(&mut books.v6));
            counters.inward.insert(*id, PerFamily { v4: v4.0, v6: v6.0 });
            counters.outward.insert(*id, PerFamily { v4: v4.1, v6: v6.1 });
            if let Some(index) = self.kernel.index_of(uplink).filter(|index| bytes.contains(index))
            {
                counters.bytes.insert(index, (packets.0 * PACKET, packets.1 * PACKET));
            }
        }
        counters
    }

    /// Dead flows are forgotten.
    pub fn flush(
        &mut self,
        request: &FlushRequest,
        numbers: &[UplinkId],
        took: Duration,
    ) -> FlushReport {
        let FlushRequest { uplink, family, scope, .. } = *request;
        // Which of its flows had an answer is not in the books.
        let all = scope == FlushScope::All;
        let book = numbers.iter().position(|id| all && *id == uplink);
        let book = book.and_then(|book| self.books.get_mut(book));
        let flows = book.map_or(0, |book| std::mem::take(&mut book.get_mut(family).flows));
        let (bytes, notified, destroyed) = (0, 0, 0);
        FlushReport { uplink, family, scope, flows, bytes, notified, destroyed, took, error: None }
    }

    #[must_use]
    pub fn flows(&self, numbers: &[UplinkId]) -> BTreeMap<UplinkId, PerFamily<FlowCount>> {
        let count = |book: &Book| FlowCount { flows: book.flows, bytes: 0 };
        let both =
            |books: &PerFamily<Book>| PerFamily { v4: count(&books.v4), v6: count(&books.v6) };
        numbers.iter().copied().zip(self.books.iter().map(both)).collect()
    }
}

impl PerFamily<Book> {
    fn default_book() -> Self {
        Self { v4: Book::default(), v6: Book::default() }
    }
}

impl Book {
    /// A packet of proof will come in then.
    fn expect(&mut self, at: Instant) {
        // Answers overtake each other a little; an order that is nearly right is kept right.
        let place = self.coming.iter().rposition(|other| *other <= at).map_or(0, |p| p + 1);
        self.coming.insert(place, at);
    }

    fn arrive(&mut self, now: Instant) {
        while self.coming.front().is_some_and(|at| *at <= now) {
            self.coming.pop_front();
            self.inward += 1;
        }
    }
}

/// Modems live in these prefixes.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Public resolvers are the targets; every other one belongs to a line.
fn is_public(ip: IpAddr) -> bool {
    TARGETS.iter().any(|target| target.parse() == Ok(ip))
}

/// The one web server of this Internet.
fn web_server(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(198, 51, 100, 80).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 80).into(),
    }
}
