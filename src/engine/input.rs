//! The seam, inwards: what the engine is told. Plain data that can be written down and played again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::config::Config;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::events::causes::Deed;
use crate::engine::events::note::Note;
use crate::engine::kernel::flow::{FlowCount, FlushScope};
use crate::engine::kernel::network::Networks;
use crate::engine::kernel::view::{KernelChange, KernelView};
use crate::engine::names::ddns::outside::OutsideReply;
use crate::engine::names::ddns::request::NameReply;
use crate::engine::names::resolvers::Named;
use crate::engine::probe::ProbeReply;
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

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
    Kernel(Vec<KernelChange>),
    /// Netlink lost messages, so everything was read again.
    View(KernelView),
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
    /// What netifd says of its networks; none: nobody says anything.
    Networks(Networks),
    /// netifd should say something of its networks, and does not.
    NetifdIsSilent,
    /// Which interfaces of uplinks others' firewalls close to the LAN, as asked for.
    Firewalls(PerFamily<BTreeMap<IfIndex, String>>),
    /// What came of a request for a name of the box.
    Name(NameReply),
    /// As whom the Internet sees an uplink, as asked for.
    Outside(OutsideReply),
    /// Somebody looks at the status, so that it is worth counting flows.
    Watched,
    /// A person wants something; the answer carries the same number.
    Command(u64, Command),
    /// What a person did that others carry out; it belongs to the history.
    Did(Deed),
    /// A new configuration, already checked.
    Reload(Box<Config>),
    /// The agent is about to stop.
    Stop,
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
    pub un_nated: u64,
    /// How many connections the kernel tracks, and how many it can; read with the bytes.
    #[serde(default)]
    pub tracked: Option<(u64, u64)>,
    /// The counters could not be read (no table yet): no evidence either way.
    pub absent: bool,
}

/// What came of a flush.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushReport {
    pub uplink: UplinkId,
    /// The IP version whose flows were dead.
    pub family: Family,
    /// Which of its flows.
    #[serde(default)]
    pub scope: FlushScope,
    /// How many flows there were.
    pub flows: u64,
    /// What they had carried, in bytes of both directions.
    pub bytes: u64,
    /// How many TCP clients were sent a reset, by which they notice.
    pub notified: u64,
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
        uplink: String,
        /// For so long; `None`: until `switch auto`.
        lasts: Option<Duration>,
    },
    /// Follow the chain again.
    SwitchAuto,
    /// Set an uplink aside.
    Pause {
        uplink: String,
        /// For so long; `None`: until resumed.
        lasts: Option<Duration>,
        /// Why, in the person's words.
        reason: Option<String>,
    },
    Resume {
        uplink: String,
    },
    /// Light all LEDs for a while, so that a person finds them.
    LedTest,
    /// Prove it anew, at once.
    Probe {
        uplink: String,
    },
    /// Keep this note about an uplink, or take the one away that there is.
    Note {
        uplink: String,
        note: Option<Note>,
    },
    /// The provider has been told that it is down.
    Reported {
        uplink: String,
    },
}
