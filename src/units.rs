//! Newtypes for ids and units, with the numbers this project owns in the kernel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An uplink by its number, 1–14: numbered at first sight and kept by name over reloads and
/// restarts, because it is also its routing table and its bits in the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct UplinkId(u8);

impl TryFrom<u8> for UplinkId {
    type Error = &'static str;

    fn try_from(n: u8) -> Result<Self, Self::Error> {
        Self::new(n).ok_or("uplinks are numbered 1 to 14")
    }
}

impl From<UplinkId> for u8 {
    fn from(id: UplinkId) -> Self {
        id.0
    }
}

impl UplinkId {
    /// The highest number: four mark bits, without 0 (no uplink) and 15 (the agent's own ACK probes).
    pub const MAX: u8 = 14;

    /// The uplink numbered `n`, or `None` outside 1–14.
    #[must_use]
    pub const fn new(n: u8) -> Option<Self> {
        if n >= 1 && n <= Self::MAX { Some(Self(n)) } else { None }
    }

    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Its routing table, 8301–8314.
    #[must_use]
    pub const fn table(self) -> TableId {
        TableId(TableId::ACTIVE.0 + self.0 as u32)
    }

    /// The priority of its `fwmark` rule, equal to its table's number.
    #[must_use]
    pub const fn rule_priority(self) -> RulePriority {
        RulePriority(TableId::ACTIVE.0 + self.0 as u32)
    }

    /// Its value in the uplink bits of packet and conntrack marks.
    #[must_use]
    pub const fn mark(self) -> Fwmark {
        Fwmark { value: (self.0 as u32) << 24, mask: Fwmark::UPLINK_MASK }
    }
}

impl fmt::Display for UplinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value under a mask, in packet (`SO_MARK`) and conntrack (`CTA_MARK`) marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fwmark {
    /// The bits that are set.
    pub value: u32,
    /// The bits that count; never zero (a zero mask would match every flow).
    pub mask: u32,
}

impl Fwmark {
    pub const UPLINK_MASK: u32 = 0x0f00_0000;
    pub const CLASS_MASK: u32 = 0x7000_0000;
    /// All bits that are ours.
    pub const OURS_MASK: u32 = 0x7f00_0000;
    /// Flows that would leave with a source address which is not their uplink's: they began when
    /// our table was not there, and can only begin again. Uplinks are numbered 1 to 14.
    pub const UN_NATED: Self = Self { value: Self::UPLINK_MASK, mask: Self::UPLINK_MASK };
    /// Packets that a bridge hands from one of its ports to another: they are not routed, so their mark needs no
    /// uplink.
    pub const BRIDGED: Self = Self { value: Self::UPLINK_MASK, mask: Self::OURS_MASK };
    /// The agent's own ACK probes to idle TCP clients.
    pub const ACK_PROBE: Self = Self { value: Self::OURS_MASK, mask: Self::OURS_MASK };
}

impl fmt::Display for Fwmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}/{:#010x}", self.value, self.mask)
    }
}

/// A routing table (rtnetlink `RTA_TABLE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

impl TableId {
    /// The kernel's `main`, which sparelink reads and never writes.
    pub const MAIN: Self = Self(254);
    /// The active default route, with the ready spares behind it.
    pub const ACTIVE: Self = Self(8300);
    /// Subnets of the LAN that an uplink has, too; looked into before everything else.
    pub const LAN: Self = Self(8320);
    /// What others have of `main` while parts of it are passed over, see
    /// [`MAIN_NARROWED`](RulePriority::MAIN_NARROWED).
    pub const OTHERS: Self = Self(8321);
    /// The last table that could be ours (8301–8314 uplinks, 8341–8347 classes).
    pub const LAST: Self = Self(8399);

    /// Whether the number lies in the range that belongs to sparelink.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        self.0 >= Self::ACTIVE.0 && self.0 <= Self::LAST.0
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The priority (`pref`) of a policy rule; lower is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RulePriority(pub u32);

impl RulePriority {
    /// While an uplink has a subnet of the LAN: the LAN's own route wins, `lookup 8320`.
    pub const LAN: Self = Self(8299);
    /// The same while [`MAIN_NARROWED`](Self::MAIN_NARROWED) stands.
    pub const LAN_NARROWED: Self = Self(8298);
    /// While an uplink has routes in `main` that would take traffic past the choice: `lookup main`
    /// without prefixes as wide as those, and behind it, at 8300, `lookup 8321` for the rest of them.
    pub const MAIN_NARROWED: Self = Self(8299);
    /// LAN and connected routes win: `lookup main suppress_prefixlength 0`.
    pub const LOCAL_FIRST: Self = Self(8300);
    /// Hosts to which `main` has a route by an uplink: `to HOST lookup 8300`.
    pub const HOSTS: Self = Self(8297);
    /// What others' rules sent to `main`, see `followers`: `lookup 8300`, behind pins and classes.
    pub const FOLLOW: Self = Self(8391);
    /// Everything else follows the active default: `lookup 8300`. Right before `main` and behind the rules
    /// of others, who thereby have their say whoever came first: the kernel puts a rule without a
    /// priority before all that are there.
    pub const ACTIVE: Self = Self(32_765);
    /// Behind everybody's rules (`main` stands at 32766, `default` at 32767): what nothing routes.
    pub const NOWHERE: Self = Self(32_800);
}

/// The metric (`priority`, `RTA_PRIORITY`) of a route; lower wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metric(pub u32);

/// The route and rule protocol (`RTA_PROTOCOL`, `FRA_PROTOCOL`) that marks what is ours.
pub const PROTOCOL: u8 = 83;

/// The name of our nftables table, family `inet`.
pub const NFT_TABLE: &str = "sparelink";

/// A kernel interface index; changes when a device is unplugged and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IfIndex(pub u32);

/// An interface name, shared rather than copied: every probe carries one. 1–15 bytes without `/` and white space (`IFNAMSIZ` in linux/if.h).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IfName(Arc<str>);

impl IfName {
    /// Takes a name as the kernel would (`dev_valid_name`), or `None`.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
        let plain =
            !name.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        (fits && plain).then(|| Self(name.into()))
    }

    /// `lo`, where nothing that is meant for the Internet gets anywhere.
    #[must_use]
    pub fn loopback() -> Self {
        Self("lo".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Both, in the order in which people read them.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(addr: &std::net::IpAddr) -> Self {
        match addr {
            std::net::IpAddr::V4(_) => Self::V4,
            std::net::IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One value per IP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PerFamily<T> {
    pub v4: T,
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// The value of one family.
    pub const fn get(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The value of one family, to change it.
    pub const fn get_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Both, with their family.
    pub fn iter(&self) -> impl Iterator<Item = (Family, &T)> {
        [(Family::V4, &self.v4), (Family::V6, &self.v6)].into_iter()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rtt(pub Duration);

impl Rtt {
    /// In milliseconds, with fractions.
    #[must_use]
    pub fn as_ms(self) -> f64 {
        self.0.as_secs_f64() * 1e3
    }
}

/// A share of lost probes, in percent (0–100).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LossPercent(pub f32);

/// Builds maps and sets one by one.
///
/// `collect` puts everything into a vector and sorts it first, and with every type of key another
/// sorting algorithm of 6 kB comes into the program. Nothing here is long enough to gain from that.
pub trait Gather: Iterator + Sized {
    /// Everything, as `collect` would return it.
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut all = C::default();
        all.extend(self);
        all
    }
}

impl<I: Iterator> Gather for I {}

/// Bytes; shown to people in the largest fitting unit (SI, powers of 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        match units.into_iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => {
                let tenths = self.0 / (size / 10);
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

/// How much a person should care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For those who look closely.
    Debug,
    /// A change that a user would notice.
    Info,
    /// Something that whoever watches over the box wants to hear of, and need do nothing about: a switch.
    Notice,
    /// Something a person should look at.
    Warning,
    /// Nothing works: somebody has to know now.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 5] =
        [Self::Debug, Self::Info, Self::Notice, Self::Warning, Self::Critical];

    /// The one with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word() == word)
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uplink_has_its_table_rule_and_mark() {
        let third = UplinkId::new(3).unwrap();
        assert_eq!(third.table(), TableId(8303));
        assert_eq!(third.rule_priority(), RulePriority(8303));
        assert_eq!(third.mark().to_string(), "0x03000000/0x0f000000");
        assert_eq!(UplinkId::new(0), None);
        assert_eq!(UplinkId::new(15), None);
        let read = |text: &str| serde_json::from_str::<UplinkId>(text).ok();
        assert_eq!((read("3"), read("0"), read("15"), read("-1")), (Some(third), None, None, None));
    }

    #[test]
    fn interface_names_are_the_kernels() {
        for good in ["eth0", "br-lan", "wlan0.12", "enx001122334455"] {
            assert!(IfName::new(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "sixteen-bytes-xx", "eth0:1"] {
            assert!(IfName::new(bad).is_none(), "{bad}");
        }
    }
}
