//! Questions that are on their way, and by which method the line is asked.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::probe::Question;
use crate::time::Instant;
use crate::units::Rtt;

/// Why a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Use {
    Base,
    Burst,
    Gateway,
    Proof,
    Sample,
    /// To learn whether echoes are answered again.
    Echo,
}

/// A question on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) sent: Instant,
    pub(super) target: IpAddr,
    pub(super) purpose: Use,
    pub(super) method: Method,
    pub(super) fate: Fate,
    /// It was sent while the line was neither dead nor suspected: its fate and its time say something
    /// of the line as it is. What a modem held back until the line was restored does not.
    pub(super) measures: bool,
}

impl Pending {
    /// Whether it is a base probe of which nothing is known.
    pub(super) fn is_open_base(&self) -> bool {
        self.purpose == Use::Base && self.fate == Fate::Open
    }
}

/// What has become of a question so far. An answer is a sign of life whatever its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    Open,
    /// Given up for the statistics.
    Lost,
    /// The agent itself did not run meanwhile: silence proves nothing.
    Void,
}

/// How a line is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    #[default]
    Echo,
    /// Its operator drops ICMP: handshakes with the targets' DNS port.
    Tcp,
    /// It lets nothing out but names and the web: handshakes with the targets' HTTPS port.
    Web,
}

/// The DNS port of the targets, for lines that drop ICMP.
const TCP_PORT: u16 = 53;
/// Their HTTPS port: the well-known resolvers serve DNS over HTTPS (RFC 8484) there.
const WEB_PORT: u16 = 443;
/// A handshake that took this long was asked for again (RFC 6298 §2.1, `TCP_TIMEOUT_INIT`): nobody
/// knows which question was answered (Karn and Partridge 1987).
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// After this many ambiguous handshakes in a row the line is believed to be that slow.
const BELIEVED: u32 = 8;

impl Method {
    /// Another method; which of the two depends on how often it has been tried.
    pub(super) const fn other(self, times: usize) -> Self {
        match (self, times.is_multiple_of(2)) {
            (Self::Echo, true) | (Self::Web, false) => Self::Tcp,
            (Self::Echo, false) | (Self::Tcp, false) => Self::Web,
            (Self::Tcp | Self::Web, true) => Self::Echo,
        }
    }

    pub(super) const fn question(self, target: IpAddr) -> Question {
        match self {
            Self::Echo => Question::Echo(target),
            Self::Tcp => Question::TcpConnect(target, TCP_PORT),
            Self::Web => Question::TcpConnect(target, WEB_PORT),
        }
    }
}

/// By which method a line is asked. Echoes are preferred: they cost less, and their time is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asking {
    method: Method,
    /// An echo has been answered since the line last came up.
    echoes: bool,
    ambiguous: u32,
}

impl Asking {
    pub(super) const fn method(self) -> Method {
        self.method
    }

    /// The line is proven again: what it answers must be found out anew.
    pub(super) const fn begin(&mut self) {
        self.echoes = false;
    }

    /// A question by this method was answered. While the line is not proven, another method than before
    /// may be the one that is answered.
    pub(super) const fn answered(&mut self, method: Method, state: Found) {
        match (method, state) {
            (Method::Echo, _) => {
                self.method = Method::Echo;
                self.echoes = true;
            }
            (Method::Tcp | Method::Web, Found::Proving) if !self.echoes => self.method = method,
            (Method::Tcp | Method::Web, _) => {}
        }
    }

    /// Whether the time of an answer is a measurement of the line.
    pub(super) fn is_measured(&mut self, pending: &Pending, rtt: Rtt, known: Option<Rtt>) -> bool {
        if !pending.measures {
            return false;
        }
        if pending.method == Method::Echo || rtt.0 < ASKED_AGAIN {
            self.ambiguous = 0;
            return true;
        }
        self.ambiguous = self.ambiguous.saturating_add(1);
        known.is_none_or(|known| known.0 >= ASKED_AGAIN) || self.ambiguous >= BELIEVED
    }
}

/// In which state an answer found the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Proven,
    Proving,
}
