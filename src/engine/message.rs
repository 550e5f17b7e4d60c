//! The seam: what the engine is told and what it asks for. All of it is plain data that can be
//! written down and played again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Add;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::dataplane::{ApplyReport, Dataplane};
use super::event::Event;
use super::kernel::{KernelChange, KernelView};
use super::leds::Lamp;
use super::page::Place;
use super::probe::window::Learned;
use super::probe::{ProbeReply, ProbeRequest};
use super::resolvers::{Named, Resolvers};
use crate::config::Config;
use crate::time::{Instant, Utc};
use crate::units::{Family, IfIndex, IfName, PerFamily, UplinkId};

/// What happens to the engine. One at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// The first look at the box.
    Started {
        /// Links, addresses and foreign routes.
        view: KernelView,
        /// Where an earlier run's table 8300 points, which is adopted.
        adopted: PerFamily<Option<IfIndex>>,
        /// The spares that it left standing behind; they stay until they are judged.
        spares: PerFamily<Vec<IfIndex>>,
    },
    /// Netlink reported changes.
    Kernel(Vec<KernelChange>),
    /// Netlink lost messages, so everything was read again.
    View(KernelView),
    /// A probe ended.
    Probe(ProbeReply),
    /// The evidence counters, as asked for.
    Counters(Counters),
    /// A dataplane was applied.
    Applied(Box<ApplyReport>),
    /// Dead flows were flushed.
    Flushed(FlushReport),
    /// Flows were counted, by uplink.
    Flows(BTreeMap<UplinkId, PerFamily<FlowCount>>),
    /// The resolvers that the system names for its interfaces.
    Resolvers(Named),
    /// Somebody looks at the status, so that it is worth counting flows.
    Watched,
    /// A person wants something; the answer carries the same number.
    Command(u64, Command),
    /// A new configuration, already checked.
    Reload(Box<Config>),
    /// The agent is about to stop.
    Stop,
}

/// What the engine asks for. Carried out in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Send this probe.
    Probe(ProbeRequest),
    /// Close this uplink's probe sockets: its interface is gone or is another one now.
    Forget(UplinkId),
    /// Read the evidence counters; byte counts of the interfaces too if asked.
    ReadCounters {
        /// Also read the interfaces' byte counts.
        bytes: bool,
    },
    /// Make the kernel look like this.
    Converge {
        /// Rises by one with each new wish; an audit repeats the last.
        generation: u64,
        /// The whole wish.
        wish: Box<Dataplane>,
    },
    /// Flush the flows that are marked as strays ([`Fwmark::STRAY`](crate::units::Fwmark::STRAY)).
    FlushStrays,
    /// Flush the flows of an uplink that is dead.
    Flush(FlushRequest),
    /// Count the flows of every uplink, leaving out those that begin or end here: at the box itself,
    /// whose probes are nobody's flows, and at the modems, which are not the Internet.
    CountFlows(Vec<IpNet>),
    /// Write down whom the box should ask for names now.
    Resolvers(Resolvers),
    /// Tell the LAN about one of its prefixes.
    Advertise(Advert),
    /// The page is to be found at these addresses, and at no other.
    Listen(BTreeSet<Place>),
    /// The LEDs show this, and no others are ours. Only when it changes.
    Leds(Vec<Lamp>),
    /// Something worth a line in log and history.
    Record(Event),
    /// Keep this in the state directory.
    SaveState(Box<SavedState>),
    /// Keep this in the run directory.
    SaveRun(Box<RunState>),
    /// The answer to a command.
    Answer(u64, Result<String, Refusal>),
}

/// Packets and bytes seen so far, by uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets of proof: answers from beyond the uplink.
    pub inward: BTreeMap<UplinkId, PerFamily<u64>>,
    /// Packets of flows that began here, on their way out beyond the uplink.
    pub outward: BTreeMap<UplinkId, PerFamily<u64>>,
    /// Received and sent bytes of the interface.
    pub bytes: BTreeMap<IfIndex, (u64, u64)>,
    /// Packets that were held back for a source address which is not their uplink's.
    #[serde(default)]
    pub strays: u64,
    /// The counters could not be read (no table yet): no evidence either way.
    pub absent: bool,
}

/// Flows, and what they have carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCount {
    /// How many.
    pub flows: u64,
    /// Bytes in both directions together; 0 for a flow that began before the kernel counted bytes.
    pub bytes: u64,
}

impl Add for FlowCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            flows: self.flows.saturating_add(other.flows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Which flows to flush, and whom to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushRequest {
    /// The dead uplink.
    pub uplink: UplinkId,
    /// The IP version whose flows are dead.
    pub family: Family,
    /// The box's own addresses: a flow that begins or ends at one of them is the box's, and its
    /// socket is closed; the client of any other is told.
    pub own: Vec<IpAddr>,
}

/// A router advertisement that says nothing but this about a prefix (RFC 4861 §4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// The LAN's interface.
    pub dev: IfName,
    /// The prefix.
    pub prefix: Ipv6Net,
    /// Addresses in it may be chosen for new connections for so long; zero: they must not.
    pub preferred: Duration,
    /// Addresses in it may be used for so long.
    pub valid: Duration,
}

/// What came of a flush.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushReport {
    /// The dead uplink.
    pub uplink: UplinkId,
    /// The IP version whose flows were dead.
    pub family: Family,
    /// How many flows there were.
    pub flows: u64,
    /// What they had carried, in bytes of both directions.
    pub bytes: u64,
    /// How many TCP clients were sent a packet that makes them notice.
    pub poked: u64,
    /// How many TCP connections of the box itself were ended.
    pub destroyed: u64,
    /// How long it took to list and forget them.
    pub took: Duration,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What a person can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Put this uplink first until told otherwise.
    Switch {
        /// Its name.
        uplink: String,
        /// For so long; `None`: until `switch auto`.
        lasts: Option<Duration>,
    },
    /// Follow the chain again.
    SwitchAuto,
    /// Set an uplink aside.
    Pause {
        /// Its name.
        uplink: String,
        /// For so long; `None`: until resumed.
        lasts: Option<Duration>,
        /// Why, in the person's words.
        reason: Option<String>,
    },
    /// Take it back.
    Resume {
        /// Its name.
        uplink: String,
    },
    /// Light all LEDs for a while, so that a person finds them.
    LedTest,
    /// Prove it anew, at once.
    Probe {
        /// Its name.
        uplink: String,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no uplink of that name; these are the names.
    UnknownUplink(Vec<String>),
    /// It makes no sense now, in words.
    NotNow(String),
}

/// What outlives a reboot: how each line has behaved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// What was learned of each uplink's silences, by uplink name.
    pub lines: BTreeMap<String, PerFamily<Learned>>,
    /// Failovers away from each uplink in the hour before `saved_at`, as seconds before it.
    pub departures: BTreeMap<String, Vec<u64>>,
    /// Switches in all.
    pub switches: u64,
    /// When it was written; without it the departures count as just before the start.
    pub saved_at: Option<Utc>,
}

/// What outlives a restart, but not a reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// Each uplink's number, by name.
    pub numbers: BTreeMap<String, UplinkId>,
    /// The uplink that a person put first, and until when.
    pub manual: Option<(String, Option<Instant>)>,
    /// Uplinks that a person set aside: name, until when, why.
    pub paused: BTreeMap<String, (Option<Instant>, Option<String>)>,
    /// Stale connections are reset until then.
    pub armed: Option<Instant>,
    /// Uplinks whose old flows may stay until then.
    pub drains: BTreeMap<String, Instant>,
}

/// What the engine is born with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    /// From the state directory.
    pub saved: SavedState,
    /// From the run directory.
    pub run: RunState,
}
