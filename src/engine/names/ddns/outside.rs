//! As whom the Internet sees an uplink whose own IPv4 address is behind another router: asked through that uplink.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::public::{Reach, reach};
use crate::engine::probe::Path;
use crate::time::Instant;
use crate::units::UplinkId;

/// The other router may get another address without a word: it is asked again so often.
const AGAIN: Duration = Duration::from_secs(600);
/// By an uplink that costs money.
const SELDOM: Duration = Duration::from_secs(3600);
/// If nobody answered.
const IN_VAIN: Duration = Duration::from_secs(60);
/// What is not answered by then never will be.
const LOST: Duration = Duration::from_secs(60);

/// Asks as whom the Internet sees the box by this way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideRequest {
    pub path: Path,
    /// Whom: `stun:HOST:PORT`, or a URL that answers with an address.
    pub servers: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideReply {
    pub uplink: UplinkId,
    /// The box's own address there, for which it was asked.
    pub source: IpAddr,
    pub seen: Result<IpAddr, String>,
}

/// Whether asking costs money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Cost {
    Free,
    Metered,
}

/// One uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outside {
    source: IpAddr,
    seen: Option<IpAddr>,
    /// Nobody answered the last time.
    in_vain: bool,
    asked: Option<Instant>,
    next: Instant,
}

/// All uplinks of which it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Outsides(BTreeMap<UplinkId, Outside>);

/// What is known of an uplink's public address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Public {
    /// The Internet reaches it by this address.
    Is(IpAddr),
    /// It is behind another router, which may be the provider's; outside it has this address, if that is known.
    Behind { own: IpAddr, seen: Option<IpAddr> },
    /// The same, and the first answer is awaited.
    Asking,
}

impl Public {
    /// Behind whose router it is, for people; `None`: behind nobody's.
    pub(in crate::engine) fn words(self, uplink: &str) -> Option<String> {
        let Self::Behind { own, seen } = self else { return None };
        let shared =
            [Some(own), seen].into_iter().flatten().find(|ip| reach(*ip) == Reach::Provider);
        Some(match (shared, seen) {
            (Some(ip), _) => format!(
                "{uplink} is behind the provider's NAT (CGNAT, {ip}): nobody gets in by IPv4"
            ),
            (None, Some(seen)) => format!(
                "{uplink} is behind another router ({own}, outside {seen}): behind_nat = true has that written"
            ),
            (None, None) => {
                format!("{uplink} is behind another router ({own}): nobody gets in by IPv4")
            }
        })
    }
}

impl Outsides {
    /// Whether it is to be asked by this way now; it counts as asked then.
    pub(in crate::engine) fn take(&mut self, path: &Path, now: Instant) -> bool {
        let source = path.source;
        let new = Outside { source, seen: None, in_vain: false, asked: None, next: now };
        let outside = self.0.entry(path.uplink).or_insert_with(|| new.clone());
        if outside.source != source {
            *outside = new;
        }
        let lost = outside.asked.is_none_or(|asked| asked + LOST <= now);
        let due = lost && outside.next <= now;
        if due {
            (outside.asked, outside.next) = (Some(now), now + LOST);
        }
        due
    }

    /// The line has died, or is nobody's any more: what was seen may be another's tomorrow.
    pub(in crate::engine) fn forget(&mut self, uplink: UplinkId) {
        self.0.remove(&uplink);
    }

    pub(in crate::engine) fn heard(&mut self, reply: &OutsideReply, cost: Cost, now: Instant) {
        let Some(outside) = self.0.get_mut(&reply.uplink).filter(|o| o.source == reply.source)
        else {
            return;
        };
        outside.asked = None;
        outside.in_vain = reply.seen.is_err();
        if let Ok(seen) = &reply.seen {
            outside.seen = Some(*seen);
        }
        let pause = match (&reply.seen, cost) {
            (Err(_), _) => IN_VAIN,
            (Ok(_), Cost::Free) => AGAIN,
            (Ok(_), Cost::Metered) => SELDOM,
        };
        outside.next = now + pause;
    }

    /// What is known of an uplink with this address of its own.
    pub(in crate::engine) fn public(&self, uplink: UplinkId, own: IpAddr) -> Public {
        if reach(own) == Reach::Everywhere {
            return Public::Is(own);
        }
        match self.0.get(&uplink).filter(|outside| outside.source == own) {
            Some(Outside { seen: Some(seen), .. }) => Public::Behind { own, seen: Some(*seen) },
            Some(Outside { in_vain: true, .. }) => Public::Behind { own, seen: None },
            Some(_) => Public::Asking,
            None => Public::Behind { own, seen: None },
        }
    }

    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|outside| outside.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Fwmark, IfIndex, IfName};

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn path(source: &str) -> Path {
        Path {
            uplink: UplinkId::new(1).unwrap(),
            dev: IfName::new("wan0").unwrap(),
            index: IfIndex(2),
            mark: Fwmark { value: 0, mask: 0 },
            source: source.parse().unwrap(),
        }
    }

    fn reply(source: &str, seen: Result<&str, &str>) -> OutsideReply {
        OutsideReply {
            uplink: UplinkId::new(1).unwrap(),
            source: source.parse().unwrap(),
            seen: seen.map(|ip| ip.parse().unwrap()).map_err(str::to_owned),
        }
    }

    #[test]
    fn it_is_asked_once_in_a_while_and_anew_for_another_address() {
        let (mut all, home) = (Outsides::default(), path("192.168.1.2"));
        assert!(all.take(&home, at(0)) && !all.take(&home, at(1)), "one at a time");
        assert_eq!(all.public(home.uplink, home.source), Public::Asking);
        all.heard(&reply("192.168.1.2", Err("no answer")), Cost::Free, at(2));
        assert!(!all.take(&home, at(61)) && all.take(&home, at(62)));
        all.heard(&reply("192.168.1.2", Ok("192.0.2.9")), Cost::Free, at(63));
        assert!(!all.take(&home, at(662)) && all.take(&home, at(663)));
        all.heard(&reply("192.168.1.2", Ok("192.0.2.9")), Cost::Metered, at(664));
        assert!(!all.take(&home, at(4263)));
        assert!(all.take(&path("192.168.1.3"), at(4263)), "another address");
        all.heard(&reply("192.168.1.2", Ok("192.0.2.9")), Cost::Free, at(4264));
        assert_eq!(
            all.public(home.uplink, path("192.168.1.3").source),
            Public::Asking,
            "of before"
        );
    }

    #[test]
    fn whose_router_it_is_behind_is_told() {
        let rows = [
            ("192.0.2.5", None, None),
            ("100.64.0.2", Some("192.0.2.9"), Some("the provider's NAT (CGNAT, 100.64.0.2)")),
            ("192.168.1.2", Some("100.64.9.2"), Some("the provider's NAT (CGNAT, 100.64.9.2)")),
            (
                "192.168.1.2",
                Some("192.0.2.9"),
                Some("another router (192.168.1.2, outside 192.0.2.9)"),
            ),
            ("192.168.1.2", None, Some("another router (192.168.1.2)")),
        ];
        for (own, seen, expected) in rows {
            let mut all = Outsides::default();
            if all.take(&path(own), at(0)) {
                all.heard(&reply(own, seen.ok_or("silence")), Cost::Free, at(1));
            }
            let words = all.public(path(own).uplink, path(own).source).words("cable");
            let fits = match (&words, expected) {
                (None, None) => true,
                (Some(words), Some(expected)) => words.contains(expected),
                _ => false,
            };
            assert!(fits, "{own} {seen:?}: {words:?}");
        }
    }
}
