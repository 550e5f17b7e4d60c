//! Flows of a dead uplink, on a thread of its own: a flush of 50,000 flows takes some 150 ms
//! inside one system call, and the loop must not wait for it.
//!
//! ```text
//! list (counts, TCP flows) → flush → end the box's own connections → notify the clients of the others
//!      → count the resets that they got
//! ```
//!
//! A client whose first packet had no answer is told as well: a SYN that is answered with an ACK that
//! fits nothing is sent again at once (RFC 9293 §3.10.7.3; Linux does not wait for its timer then),
//! and begins a flow on the active uplink.
//!
//! Flushed before anybody is told: who is told answers, and that answer must find no flow. Where
//! there are very many clients, other work goes first, so that the flows of the other IP version do
//! not wait for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::ack_probe::{AckProbed, AckProber};
use super::clock;
use super::netlink::conntrack::{Conntrack, Entry};
use super::netlink::nfnl::NfnlError;
use super::netlink::nft::Nft;
use super::netlink::sock_diag::{SockDiag, SockDiagError};
use crate::engine::dataplane::ruleset::reset_sent;
use crate::engine::input::{FlushReport, Input};
use crate::engine::kernel::flow::{Flow, FlowCount, FlushScope, TcpState};
use crate::engine::output::FlushRequest;
use crate::time::Instant;
use crate::units::{Family, Fwmark, Gather as _, NFT_TABLE, PerFamily, UplinkId};

/// Work for the thread.
#[derive(Debug)]
enum Job {
    Flush(FlushRequest),
    FlushUnNated,
    Count(Vec<IpNet>),
}

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Flows {
    jobs: SyncSender<Job>,
}

/// More work than this cannot wait: a switch asks for a handful.
const QUEUE: usize = 32;
/// This many TCP connections are told of in one flush; a home has some hundred.
const TOLD_AT_MOST: usize = 4096;
/// This many clients are notified before anything else is done: a home's are all told within some
/// milliseconds, sooner than the flows of the other IP version could be flushed.
const AT_ONCE: usize = 256;
/// This many of those that are left are notified together …
const VOLLEY: usize = 64;
/// … and then the LAN has this long to carry it: a wireless one queues no thousands.
const PAUSE: Duration = Duration::from_millis(1);
/// How often it is looked how many resets have been sent …
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// … and for how long after the last client was notified: a sleeping one answers late, if at all.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

impl Flows {
    /// Starts the thread; what it has done comes back as inputs.
    ///
    /// # Errors
    ///
    /// When the kernel has no conntrack netlink, or this process may not use it.
    pub fn start(done: mpsc::Sender<Input>) -> Result<Self, NfnlError> {
        let tools = Tools::open()?;
        let (jobs, work) = sync_channel(QUEUE);
        let thread = super::thread::named("conntrack");
        if let Err(error) = thread.spawn(move || labour(tools, &work, &done)) {
            tracing::warn!(%error, "no thread for conntrack; flows will not be flushed");
        }
        Ok(Self { jobs })
    }

    /// Flushes the flows of a dead uplink, and tells those who have them.
    pub fn flush(&self, request: FlushRequest) {
        self.push(Job::Flush(request));
    }

    /// Flushes the flows that are marked as un-NATed.
    pub fn flush_un_nated(&self) {
        self.push(Job::FlushUnNated);
    }

    /// Counts the flows of all uplinks but those that begin or end here.
    pub fn count(&self, except: Vec<IpNet>) {
        self.push(Job::Count(except));
    }

    fn push(&self, job: Job) {
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => tracing::warn!(?job, "conntrack is behind; left out"),
            Err(TrySendError::Disconnected(job)) => tracing::debug!(?job, "the thread has ended"),
        }
    }
}

/// Ways to the kernel, opened in the agent's own network namespace.
struct Tools {
    conntrack: Conntrack,
    /// `None`: the kernel cannot end connections.
    sockets: Option<SockDiag>,
    /// `None`: no permission.
    ack_prober: Option<AckProber>,
    /// `None`: no nftables, and no resets.
    nft: Option<Nft>,
}

impl Tools {
    /// What is missing is said here, once.
    fn open() -> Result<Self, NfnlError> {
        let conntrack = Conntrack::open()?;
        let sockets = SockDiag::open().inspect_err(|error| {
            tracing::info!("connections of this box end late on a dead uplink: {error}");
        });
        let ack_prober = AckProber::open().inspect_err(|error| {
            tracing::info!("idle clients of a dead uplink notice late: {error}");
        });
        let nft = Nft::open().ok();
        Ok(Self { conntrack, sockets: sockets.ok(), ack_prober: ack_prober.ok(), nft })
    }

    /// Ends a connection of the box itself; whether there was one.
    fn end(&mut self, local: SocketAddr, remote: SocketAddr) -> bool {
        let Some(sockets) = &mut self.sockets else { return false };
        sockets.destroy(local, remote).unwrap_or_else(|error: SockDiagError| {
            tracing::debug!(%error, %local, %remote, "not ended");
            false
        })
    }

    /// Tells the next `most` of those who have to be told.
    fn tell_some(&mut self, telling: &mut Telling, most: usize) {
        for flow in telling.flows.drain(..telling.flows.len().min(most)) {
            telling.probes += self.tell(&flow, &mut telling.report);
        }
        telling.last_told = clock::now().mono;
    }

    /// How many resets the kernel has sent so far to clients whose connection it does not know.
    fn resets(&mut self, family: Family) -> u64 {
        let counters = self.nft.as_mut().and_then(|nft| nft.counters(NFT_TABLE).ok());
        counters.and_then(|all| Some(all.get(&reset_sent(family))?.packets)).unwrap_or(0)
    }

    /// Whether all have been told who will be: whoever was notified has got a reset, or had the time to.
    fn is_over(&mut self, telling: &mut Telling) -> bool {
        if !telling.flows.is_empty() {
            return false;
        }
        if telling.open == 0 {
            return true;
        }
        // Of a table that was built anew in between all are new.
        let now = self.resets(telling.report.family);
        let sent = now.checked_sub(telling.resets).unwrap_or(now);
        telling.report.notified = sent.min(telling.open);
        let waited = clock::now().mono.since(telling.last_told);
        telling.report.notified >= telling.probes || waited >= ANSWERS_WITHIN
    }

    /// Tells whoever has this flow; how many clients have to answer now.
    fn tell(&mut self, flow: &Flow, report: &mut FlushReport) -> u64 {
        let ends = lan_ends(flow);
        // Not translated: this may be the box's own, at an address that it has no more.
        let [(a, b), (c, d)] = ends;
        if (a, b) == (d, c) && (self.end(a, b) || self.end(b, a)) {
            report.destroyed += 1;
            return 0;
        }
        let Some(ack_prober) = &self.ack_prober else { return 0 };
        for (to, from) in ends {
            match ack_prober.send(to, from) {
                AckProbed::Sent => return 1,
                AckProbed::NotHere => {}
                AckProbed::Lost => return 0,
            }
        }
        0
    }
}

/// A flush whose clients are still being told.
struct Telling {
    report: FlushReport,
    flows: VecDeque<Flow>,
    /// Connections of clients: no more than these were told.
    open: u64,
    /// Clients that were notified and have to answer.
    probes: u64,
    /// Resets that had been sent before.
    resets: u64,
    /// When the last one was notified.
    last_told: Instant,
}

/// Flows with a source that is not their uplink's begin again.
fn flush_un_nated(conntrack: &mut Conntrack) {
    for family in Family::BOTH {
        if let Err(error) = conntrack.flush(Fwmark::UN_NATED, family) {
            tracing::warn!(%error, "un-NATed flows could not be flushed");
        }
    }
}

fn labour(mut tools: Tools, work: &Receiver<Job>, done: &mpsc::Sender<Input>) {
    let mut telling: VecDeque<Telling> = VecDeque::new();
    loop {
        let job = if telling.is_empty() {
            work.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            let busy = telling.iter().any(|telling| !telling.flows.is_empty());
            work.recv_timeout(if busy { PAUSE } else { LOOK_EVERY })
        };
        let news = match job {
            Ok(Job::Flush(request)) => {
                let mut dead = flush(&mut tools, &request);
                tools.tell_some(&mut dead, AT_ONCE);
                telling.push_back(dead);
                finished(&mut tools, &mut telling)
            }
            Ok(Job::FlushUnNated) => {
                flush_un_nated(&mut tools.conntrack);
                None
            }
            Ok(Job::Count(except)) => count(&mut tools.conntrack, &except)
                .inspect_err(|error| tracing::debug!(%error, "flows could not be counted"))
                .ok()
                .map(Input::Flows),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(next) = telling.iter_mut().find(|telling| !telling.flows.is_empty()) {
                    tools.tell_some(next, VOLLEY);
                }
                finished(&mut tools, &mut telling)
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if let Some(input) = news
            && done.blocking_send(input).is_err()
        {
            return;
        }
    }
}

/// The report of a flush all of whose clients have been told.
fn finished(tools: &mut Tools, telling: &mut VecDeque<Telling>) -> Option<Input> {
    let told = telling.iter_mut().position(|telling| tools.is_over(telling))?;
    telling.remove(told).map(|told| Input::Flushed(told.report))
}

fn flush(tools: &mut Tools, request: &FlushRequest) -> Telling {
    let FlushRequest { uplink, family, scope, ref own, ref near } = *request;
    let mark = uplink.mark();
    let start = clock::now().mono;
    // Whoever sends something is told by that, from the flush on.
    let resets = tools.resets(family);
    let own = own.iter().copied().gather();
    let mut dead = Dead { scope, own, near: near.clone(), ..Dead::default() };
    // Listed before, because the kernel does not say whom it forgot.
    let flushed = match scope {
        FlushScope::Unanswered => {
            tools.conntrack.flush_unanswered(mark, family, |entry| dead.add(entry))
        }
        FlushScope::All => {
            // Without a list it forgets all the same.
            if let Err(error) = tools.conntrack.visit(mark, family, |entry| dead.add(entry)) {
                tracing::debug!(%error, "flows could not be listed");
            }
            tools.conntrack.flush(mark, family)
        }
    };
    let error = flushed.err().map(|error| error.to_string());
    let end = clock::now().mono;
    tracing::debug!(
        %uplink, %family, ?scope, flows = dead.count.flows, took = end.since(start).as_micros(),
        "flushed"
    );
    if dead.left_out > 0 {
        tracing::info!(
            left_out = dead.left_out,
            "too many connections to tell all of them that they are gone"
        );
    }
    let FlowCount { flows, bytes } = dead.count;
    let took = end.since(start);
    let mut report =
        FlushReport { uplink, family, scope, flows, bytes, notified: 0, destroyed: 0, took, error };
    if report.error.is_some() {
        // Of what is not forgotten nobody is told: an answer would leave by the dead uplink.
        return Telling {
            flows: VecDeque::new(),
            open: 0,
            probes: 0,
            report,
            resets,
            last_told: end,
        };
    }
    for (local, remote) in dead.ours {
        report.destroyed += u64::from(tools.end(local, remote));
    }
    let open = match scope {
        FlushScope::All => dead.others.len() as u64 + dead.left_out,
        // They send their SYN again, and get no reset.
        FlushScope::Unanswered => 0,
    };
    Telling { report, flows: dead.others, open, probes: 0, resets, last_told: end }
}

/// The ends of a flow that may be in the LAN, the likelier one first, each with the one that it
/// speaks to: who began it, or, for a port forward, who was made to answer. Where addresses do not
/// tell, the routing table will.
fn lan_ends(flow: &Flow) -> [(SocketAddr, SocketAddr); 2] {
    let (there, back) = (flow.original, flow.reply);
    let (begun, answers) = ((there.src, there.dst), (back.src, back.dst));
    let is_masqueraded = there.src != back.dst;
    let is_forwarded = there.dst != back.src;
    if is_forwarded && !is_masqueraded { [answers, begun] } else { [begun, answers] }
}

/// The two ends, ours first, of a flow that begins or ends at the box itself.
fn own_ends(flow: &Flow, own: &BTreeSet<IpAddr>) -> Option<(SocketAddr, SocketAddr)> {
    let Flow { original, reply, .. } = flow;
    if own.contains(&original.src.ip()) {
        return Some((original.src, original.dst));
    }
    own.contains(&reply.src.ip()).then_some((reply.src, reply.dst))
}

/// Flows that are about to be forgotten.
#[derive(Default)]
struct Dead {
    /// Which of the uplink's.
    scope: FlushScope,
    /// The box's own addresses.
    own: BTreeSet<IpAddr>,
    /// Where what is the box's own goes on.
    near: Vec<IpNet>,
    count: FlowCount,
    /// The box's own TCP connections, its end first.
    ours: Vec<(SocketAddr, SocketAddr)>,
    /// TCP connections of others, who are to be told.
    others: VecDeque<Flow>,
    /// Those that are too many.
    left_out: u64,
}

impl Dead {
    fn add(&mut self, entry: Entry<'_>) {
        self.count = self.count + FlowCount { flows: 1, bytes: entry.bytes() };
        if !entry.tcp().is_some_and(|state| self.waits(state)) {
            return;
        }
        let Some(flow) = entry.flow() else { return };
        let ours = own_ends(&flow, &self.own);
        if ours.is_some() && self.scope == FlushScope::Unanswered {
            // To end its own attempt would be to refuse it.
            return;
        }
        let stays =
            |(_, remote): (_, SocketAddr)| self.near.iter().any(|net| net.contains(&remote.ip()));
        if ours.is_some_and(stays) {
            return;
        }
        let told = if ours.is_some() { self.ours.len() } else { self.others.len() };
        match ours {
            _ if told >= TOLD_AT_MOST => self.left_out += 1,
            Some(ends) => self.ours.push(ends),
            None => self.others.push_back(flow),
        }
    }
}

impl Dead {
    /// Whether somebody waits at the end of such a connection who would otherwise not know.
    fn waits(&self, state: TcpState) -> bool {
        match self.scope {
            FlushScope::All => is_open(state),
            FlushScope::Unanswered => state == TcpState::SynSent,
        }
    }
}

/// Whether somebody may be waiting at the end of such a connection. One that is being opened
/// repeats its SYN and gets through by the new way; one that is closed has nobody.
const fn is_open(state: TcpState) -> bool {
    match state {
        TcpState::Established | TcpState::FinWait | TcpState::CloseWait => true,
        TcpState::None
        | TcpState::SynSent
        | TcpState::SynRecv
        | TcpState::LastAck
        | TcpState::TimeWait
        | TcpState::Close
        | TcpState::SynSent2 => false,
    }
}

fn count(
    conntrack: &mut Conntrack,
    except: &[IpNet],
) -> Result<BTreeMap<UplinkId, PerFamily<FlowCount>>, NfnlError> {
    let shift = Fwmark::UPLINK_MASK.trailing_zeros();
    let counts = conntrack.count_by(Fwmark::UPLINK_MASK, except)?.into_iter();
    let number = |mark: u32| u8::try_from(mark >> shift).ok().and_then(UplinkId::new);
    Ok(counts.filter_map(|(mark, count)| Some((number(mark)?, count))).gather())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernel::flow::Tuple;

    const CLIENT: &str = "192.168.77.2:4000";
    const SERVER: &str = "203.0.113.7:443";
    const BOX: &str = "192.0.2.9:5000";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn flow(there: [&str; 2], back: [&str; 2]) -> Flow {
        let tuple = |[src, dst]: [&str; 2]| Tuple { src: address(src), dst: address(dst) };
        let (original, reply) = (tuple(there), tuple(back));
        Flow { protocol: 6, original, reply, tcp: Some(TcpState::Established), mark: 0 }
    }

    /// Which client is notified first, and in whose name.
    fn first(flow: &Flow) -> (SocketAddr, SocketAddr) {
        lan_ends(flow)[0]
    }

    #[test]
    fn a_client_is_told_in_the_name_of_its_server() {
        let masqueraded = flow([CLIENT, SERVER], [SERVER, BOX]);
        assert_eq!(first(&masqueraded), (address(CLIENT), address(SERVER)));
        let plain = flow([CLIENT, SERVER], [SERVER, CLIENT]);
        assert_eq!(
            lan_ends(&plain),
            [(address(CLIENT), address(SERVER)), (address(SERVER), address(CLIENT))]
        );
    }

    #[test]
    fn a_server_behind_a_port_forward_is_told_in_the_name_of_its_client() {
        let outside = "198.51.100.1:6000";
        let forwarded = flow([outside, BOX], [CLIENT, outside]);
        assert_eq!(first(&forwarded), (address(CLIENT), address(outside)));
    }

    #[test]
    fn the_boxs_own_flows_are_known_by_its_addresses() {
        let own = BTreeSet::from([address(BOX).ip()]);
        let ends = |there, back| own_ends(&flow(there, back), &own);
        let ours = Some((address(BOX), address(SERVER)));
        assert_eq!(ends([BOX, SERVER], [SERVER, BOX]), ours, "begun here");
        assert_eq!(ends([SERVER, BOX], [BOX, SERVER]), ours, "begun there");
        assert_eq!(ends([CLIENT, SERVER], [SERVER, BOX]), None, "masqueraded");
        assert_eq!(ends([SERVER, BOX], [CLIENT, SERVER]), None, "forwarded");
    }

    #[test]
    fn only_open_connections_are_told() {
        assert!(is_open(TcpState::Established) && is_open(TcpState::CloseWait));
        for state in [TcpState::SynSent, TcpState::SynRecv, TcpState::TimeWait, TcpState::Close] {
            assert!(!is_open(state), "{state:?}");
        }
    }
}
