//! The whole state as one plain value, with the words that people read: page, command line, LED and
//! log say the same.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Provider;
use crate::engine::events::note::Said;
use crate::engine::events::undone::Kind;
use crate::engine::health::line::Pattern;
use crate::engine::health::{Condition, Health};
use crate::engine::kernel::claims::Claim;
use crate::engine::names::ddns::told::NameState;
use crate::engine::notify::Shown;
use crate::engine::status::usage::Spent;
use crate::engine::uplink::standing::Standing;
use crate::time::{Instant, Now, Utc};
use crate::units::{LossPercent, PerFamily, Rtt};

/// The last switch, or the last interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct LastSwitch {
    pub at: Instant,
    pub from: Option<String>,
    /// To which; the same, if it died and came back.
    pub to: String,
    /// Why: a word, and a sentence.
    pub cause: &'static str,
    /// The same as a sentence.
    pub reason: String,
    /// How long people felt it, once known.
    pub felt: Option<Duration>,
}

/// The state at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub now: Now,
    /// The uplink that carries each family, if that works.
    pub active: PerFamily<Option<String>>,
    /// Since when the active uplink has been the one.
    pub since: Option<Utc>,
    /// Everything in one sentence.
    pub sentence: String,
    pub works: bool,
    /// The agent only watches and tells what it would do; nothing is changed.
    pub observing: bool,
    /// The last switch, with its wall-clock time.
    pub last_switch: Option<(LastSwitch, Option<Utc>)>,
    /// How many uplinks could take over now.
    pub spares_ready: usize,
    /// Switches in all, over restarts.
    pub switches: u64,
    /// How often something of ours was put back.
    pub repairs: u64,
    /// The same by what had been changed; one repair may count for several.
    pub repairs_of: BTreeMap<Kind, u64>,
    /// How late the agent's own loop was at worst in the last ten to twenty seconds.
    pub loop_gap: Duration,
    /// Whom the box is told to ask for names, the best first.
    pub resolvers: Vec<String>,
    /// The box's names, and what they say.
    pub names: Vec<NameState>,
    /// Whose say others have in where packets go.
    pub claims: Vec<Claim>,
    /// The uplink that a person put first.
    pub manual: Option<String>,
    /// Until when, if that was said and the box knows the time.
    pub manual_until: Option<Utc>,
    /// Where the page is in the LAN, IPv4 first.
    pub page: Vec<SocketAddr>,
    /// Who is told what happens; filled in by whoever sends it.
    pub messages: Shown,
    /// The hash of the last record of the history, in short; filled in by whoever keeps it.
    pub history_head: Option<String>,
    /// The LEDs that show something.
    pub leds: Vec<String>,
    /// The chain in order.
    pub uplinks: Vec<UplinkState>,
}

/// One uplink at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct UplinkState {
    pub name: String,
    /// Its interface now, else the configured one.
    pub interface: String,
    /// The Wi-Fi network it is in.
    pub ssid: Option<String>,
    /// What it is to the chain.
    pub role: Role,
    /// Its health: the worse of its lines that count.
    pub health: Health,
    /// Why it is so.
    pub condition: Condition,
    /// Its own resolvers, configured or learned.
    pub resolvers: Vec<IpAddr>,
    /// Each line by itself; `None`: the family is missing here.
    pub lines: PerFamily<Option<LineState>>,
    /// Why it is, or is not, in use.
    pub reason: String,
    pub next: String,
    /// Data on it is precious.
    pub metered: bool,
    /// Packets of known flows go around the evidence counters, so that the window is twice as long.
    pub offloaded: bool,
    /// Flows on it, when last counted.
    pub flows: Option<u64>,
    /// Flows that finish there although new ones go elsewhere.
    pub draining: Option<Draining>,
    /// Received and sent bytes of its interface.
    pub bytes: Option<(u64, u64)>,
    /// It is the first of the chain.
    pub first: bool,
    /// There is somebody at the other end of its cable.
    pub carrier: bool,
    /// Its own IPv4 address is not the Internet's: another router is in between.
    pub private_address: bool,
    /// When it last passed every check.
    pub proven: Option<Instant>,
    /// When what comes next will come, if that is known.
    pub next_at: Option<Instant>,
    /// A person set it aside until then.
    pub paused_until: Option<Instant>,
    /// Whom to call when it is down.
    pub provider: Option<Provider>,
    /// What people said of it.
    pub said: Said,
    /// What asking it has cost so far, and what it costs a month at the present pace.
    pub probing: Spent,
}

/// One line at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct LineState {
    /// What is known of it.
    pub health: Health,
    /// Why it is so.
    pub condition: Condition,
    /// The firewall that closes it to the LAN, such as `inet fw4`.
    pub barred: Option<String>,
    /// What it is good for, a pause apart.
    pub standing: Standing,
    /// The box's own address.
    pub address: String,
    pub gateway: Option<String>,
    pub rtt: Option<Rtt>,
    pub jitter: Option<Rtt>,
    /// Loss of the last probes.
    pub loss: Option<LossPercent>,
    pub window: Duration,
    /// Short silences that keep coming, if they do.
    pub silences: Option<Pattern>,
}

/// Flows that finish on an uplink that gets no new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draining {
    /// How many, when last counted.
    pub flows: u64,
    /// What they have carried so far, in bytes of both directions.
    pub bytes: u64,
    /// For how long they may; `None`: until they end.
    pub lasts: Option<Duration>,
}

/// What an uplink is to the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Carries traffic of some family.
    Active,
    /// Could take over now.
    Ready,
    NotReady,
    /// Set aside by a person.
    Paused,
}

impl Role {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Paused => "paused",
        }
    }
}

impl Snapshot {
    /// Whether a person who saw the other one sees something new in this one. How late the loop was
    /// is nothing to see, and what is told of the past is a little inexact each time.
    #[must_use]
    pub fn shows_more_than(&self, other: &Self) -> bool {
        let (now, loop_gap, since) = (other.now, other.loop_gap, other.since);
        let mut this = Self { now, loop_gap, since, ..self.clone() };
        if let (Some((_, this)), Some((_, other))) = (&mut this.last_switch, &other.last_switch) {
            *this = *other;
        }
        this != *other
    }
}
