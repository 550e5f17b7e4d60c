//! What can happen to one uplink, and the words for it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::units::Family;

/// What can happen to one uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEvent {
    /// Its cable is pulled: the router loses carrier.
    Unplug,
    /// The line is cut beyond the modem, which goes on answering by itself.
    Sever,
    /// The same, and the modem answers names and plain web pages in the name of others.
    Hijack,
    /// The same for one IP version only.
    SeverOnly(Family),
    /// What the router sends is lost; what comes from the Internet arrives. `lose 100` is the opposite.
    Mute,
    /// Somewhere on the way echoes are thrown away (ICMP and ICMPv6), and nothing else.
    BlockEchoes,
    /// The modem dies behind its carrier.
    Silence,
    /// Nobody resolves names on the uplink.
    BreakDns,
    /// Its own resolvers do not answer; public ones do.
    BreakResolvers,
    /// The interface is gone; it comes back under another index.
    Vanish,
    /// This many percent of the packets from the Internet are lost at random.
    Lose(u8),
    /// Every packet takes 400 ms longer, each way.
    Slow,
    /// The modem answers echoes in the name of this target from now on, whatever its line does.
    Pose(IpAddr),
    /// Answers take this much longer.
    Delay(Duration),
    /// The line is filled by an upload: packets queue for up to two seconds.
    Bloat,
    /// The modem shows a login page and lets nothing but DNS and ICMP echo through.
    Portal,
    /// The modem restarts: no carrier for two seconds, then carrier, and a dead line for a minute.
    Reboot,
    /// Everything is well again.
    Restore,
}

impl LineEvent {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "unplug" => Self::Unplug,
            "sever" => Self::Sever,
            "hijack" => Self::Hijack,
            "mute" => Self::Mute,
            "silence" => Self::Silence,
            "vanish" => Self::Vanish,
            "slow" => Self::Slow,
            "bloat" => Self::Bloat,
            "portal" => Self::Portal,
            "reboot" => Self::Reboot,
            "restore" => Self::Restore,
            _ => return None,
        })
    }
}

impl fmt::Display for LineEvent {
    /// The word of the prompt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unplug => f.write_str("unplug"),
            Self::Sever => f.write_str("sever"),
            Self::SeverOnly(Family::V4) => f.write_str("sever v4"),
            Self::SeverOnly(Family::V6) => f.write_str("sever v6"),
            Self::Mute => f.write_str("mute"),
            Self::BlockEchoes => f.write_str("block echoes"),
            Self::Silence => f.write_str("silence"),
            Self::BreakDns => f.write_str("break dns"),
            Self::BreakResolvers => f.write_str("break resolvers"),
            Self::Vanish => f.write_str("vanish"),
            Self::Lose(percent) => write!(f, "lose {percent}"),
            Self::Hijack => f.write_str("hijack"),
            Self::Pose(target) => write!(f, "pose {target}"),
            Self::Delay(time) => write!(f, "delay {}ms", time.as_millis()),
            Self::Slow => f.write_str("slow"),
            Self::Bloat => f.write_str("bloat"),
            Self::Portal => f.write_str("portal"),
            Self::Reboot => f.write_str("reboot"),
            Self::Restore => f.write_str("restore"),
        }
    }
}
