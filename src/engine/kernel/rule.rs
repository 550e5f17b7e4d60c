//! Policy rules: whom they concern, and those of others.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::units::{Family, Fwmark, IfName, RulePriority, TableId};

/// Whom a policy rule concerns (linux/fib_rules.h). What is not given fits every packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Selector {
    /// All others instead (`FIB_RULE_INVERT`).
    pub inverted: bool,
    /// Packets from there (`FRA_SRC`).
    pub src: Option<IpNet>,
    /// Packets to there (`FRA_DST`).
    pub dst: Option<IpNet>,
    pub fwmark: Option<Fwmark>,
    /// The interface that they came in by; `lo` for the box's own (`FRA_IIFNAME`).
    pub iif: Option<IfName>,
    /// The interface that their socket is bound to (`FRA_OIFNAME`).
    pub oif: Option<IfName>,
    /// The type of service; 0 fits all.
    pub tos: u8,
    /// First and last user of the socket (`FRA_UID_RANGE`).
    pub uids: Option<(u32, u32)>,
    /// The number of the protocol, such as 6 for TCP (`FRA_IP_PROTO`).
    pub ip_proto: Option<u8>,
    /// First and last source port (`FRA_SPORT_RANGE`).
    pub sports: Option<(u16, u16)>,
    /// First and last destination port (`FRA_DPORT_RANGE`).
    pub dports: Option<(u16, u16)>,
}

impl Selector {
    /// Packets with this mark.
    #[must_use]
    pub fn marked(mark: Fwmark) -> Self {
        Self { fwmark: Some(mark), ..Self::default() }
    }

    /// Packets that came from outside: all but the box's own.
    #[must_use]
    pub fn forwarded() -> Self {
        Self { inverted: true, iif: Some(IfName::loopback()), ..Self::default() }
    }

    /// Whether it concerns everything, or everything but one mark: then a tunnel's own packets are what
    /// is left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let but_a_mark = self.inverted && self.fwmark.is_some();
        *self == Self::default()
            || but_a_mark
                && Self { inverted: false, fwmark: None, ..self.clone() } == Self::default()
    }
}

impl fmt::Display for Selector {
    /// In the words of `ip rule`, each with a blank behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inverted {
            f.write_str("not ")?;
        }
        let nets = [("from", &self.src), ("to", &self.dst)];
        for (word, net) in nets.into_iter().filter_map(|(word, net)| Some((word, net.as_ref()?))) {
            write!(f, "{word} {net} ")?;
        }
        if let Some(mark) = self.fwmark {
            write!(f, "fwmark {mark} ")?;
        }
        let devices = [("iif", &self.iif), ("oif", &self.oif)];
        for (word, dev) in devices.into_iter().filter_map(|(word, dev)| Some((word, dev.as_ref()?)))
        {
            write!(f, "{word} {dev} ")?;
        }
        if self.tos != 0 {
            write!(f, "tos {:#04x} ", self.tos)?;
        }
        if let Some((first, last)) = self.uids {
            write!(f, "uidrange {first}-{last} ")?;
        }
        if let Some(number) = self.ip_proto {
            write!(f, "ipproto {number} ")?;
        }
        let ports = [("sport", self.sports), ("dport", self.dports)];
        for (word, (first, last)) in ports.into_iter().filter_map(|(word, p)| Some((word, p?))) {
            write!(f, "{word} {first}-{last} ")?;
        }
        Ok(())
    }
}

/// A policy rule of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignRule {
    pub family: Family,
    /// Its priority; lower is looked at first.
    pub priority: RulePriority,
    pub selector: Selector,
    /// It concerns fewer than the selector says: it has conditions that a rule of ours could not have.
    pub narrower: bool,
    /// The table it leads to, if it leads to one.
    pub table: Option<TableId>,
    /// Results with a prefix this short or shorter do not count there (`FRA_SUPPRESS_PREFIXLEN`).
    pub suppress_prefixlength: Option<u32>,
}

impl ForeignRule {
    /// Whether it concerns some packets only.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        self.narrower || self.selector != Selector::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_reads_as_ip_takes_it() {
        let all = Selector {
            inverted: true,
            src: Some("10.77.0.0/24".parse().unwrap()),
            dst: Some("203.0.113.9/32".parse().unwrap()),
            fwmark: Some(Fwmark { value: 0x8_0000, mask: 0xff_0000 }),
            iif: IfName::new("br-lan"),
            oif: IfName::new("wan0"),
            tos: 16,
            uids: Some((1000, 1000)),
            ip_proto: Some(17),
            sports: Some((1, 2)),
            dports: Some((53, 53)),
        };
        assert_eq!(
            all.to_string(),
            "not from 10.77.0.0/24 to 203.0.113.9/32 fwmark 0x00080000/0x00ff0000 iif br-lan oif wan0 \
             tos 0x10 uidrange 1000-1000 ipproto 17 sport 1-2 dport 53-53 "
        );
        assert_eq!(Selector::default().to_string(), "");
    }

    #[test]
    fn all_but_one_mark_is_everything() {
        let mark = Fwmark { value: 0xca6c, mask: u32::MAX };
        assert!(Selector::default().is_whole());
        assert!(!Selector::marked(mark).is_whole());
        assert!(Selector { inverted: true, ..Selector::marked(mark) }.is_whole());
        assert!(!Selector::forwarded().is_whole());
    }
}
