//! The seam, outwards: what the engine asks for. Plain data, carried out in order.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use ipnet::Ipv6Net;
use serde::Deserialize;
use serde::Serialize;

use crate::engine::dataplane::Dataplane;
use crate::engine::events::facts::Event;
use crate::engine::kernel::firewall::Way;
use crate::engine::kernel::flow::FlushScope;
use crate::engine::lan::listen::Place;
use crate::engine::names::ddns::outside::OutsideRequest;
use crate::engine::names::ddns::request::NameRequest;
use crate::engine::names::resolvers::Resolvers;
use crate::engine::notify::Message;
use crate::engine::notify::heartbeat::Heartbeat;
use crate::engine::notify::teller::Known;
use crate::engine::probe::ProbeRequest;
use crate::engine::state::{RunState, SavedState};
use crate::engine::status::leds::Lamp;
use crate::units::{Family, IfIndex, IfName, PerFamily, UplinkId};

/// What the engine asks for. Carried out in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    Probe(ProbeRequest),
    /// Close this uplink's probe sockets: its interface is gone or is another one now.
    Forget(UplinkId),
    /// Read the evidence counters.
    ReadCounters {
        /// Interfaces whose byte counts are read, too.
        bytes: Vec<IfIndex>,
    },
    /// Make the kernel look like this.
    Converge {
        /// Rises by one with each new desired state; an audit repeats the last.
        generation: u64,
        desired: Box<Dataplane>,
        /// Then tell where the kernel would send packets to these.
        towards: PerFamily<Option<IpAddr>>,
    },
    /// Go on refusing new LAN flows of these families for a while, and of no others: what refuses ends
    /// by itself unless it is said again.
    Refuse(PerFamily<bool>),
    /// Flush the flows that are marked as un-NATed ([`Fwmark::UN_NATED`](crate::units::Fwmark::UN_NATED)).
    FlushUnNated,
    /// Flush the flows of an uplink that is dead.
    Flush(FlushRequest),
    /// Look whether others' firewalls let the LAN out by these ways, and the answers back in.
    LookAtFirewalls(Vec<Way>),
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
    /// Tell people, and keep what they have been told.
    Notify(Vec<Message>, Box<Known>),
    /// Give these signs of life, through the uplinks that they are of.
    Heartbeat(Vec<Heartbeat>),
    /// Have a name say this, or look what it says.
    Name(NameRequest),
    /// Ask as whom the Internet sees the box by one uplink.
    Outside(OutsideRequest),
    /// Keep this in the state directory.
    SaveState(Box<SavedState>),
    /// Keep this in the run directory.
    SaveRun(Box<RunState>),
    /// The answer to a command.
    Answer(u64, Result<String, Refusal>),
}

/// Which flows to flush, and whom to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushRequest {
    pub uplink: UplinkId,
    /// The IP version whose flows are dead.
    pub family: Family,
    /// Which of its flows.
    #[serde(default)]
    pub scope: FlushScope,
    /// The box's own addresses: a flow that begins or ends at one of them is the box's, and its
    /// socket is closed; the client of any other is told.
    pub own: Vec<IpAddr>,
    /// Subnets that are reached all the same, on this side of the modem: the box's connections to them stay.
    #[serde(default)]
    pub near: Vec<IpNet>,
}

/// A router advertisement that says nothing but this about a prefix (RFC 4861 §4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    pub dev: IfName,
    pub prefix: Ipv6Net,
    /// Addresses in it may be chosen for new connections for so long; zero: they must not.
    pub preferred: Duration,
    /// Addresses in it may be used for so long.
    pub valid: Duration,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no uplink of that name; these are the names.
    UnknownUplink(Vec<String>),
    /// It makes no sense now, in words.
    NotNow(String),
}
