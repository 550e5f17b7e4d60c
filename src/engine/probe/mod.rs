//! Questions to an uplink and their answers.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::HttpExpect;
use crate::units::{Fwmark, IfIndex, IfName, Rtt, UplinkId};

pub mod dns;
pub mod estimator;
pub mod http;
pub mod window;

/// Names one probe, so that its answer finds its way home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeId(pub u64);

/// By which device and source a probe leaves: device and mark, both (a mark alone would follow the active
/// default when the uplink's own table is empty and prove the wrong uplink).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The uplink that is asked.
    pub uplink: UplinkId,
    /// Its interface, for `SO_BINDTODEVICE`.
    pub dev: IfName,
    /// Its interface's index now; sockets of another index are stale.
    pub index: IfIndex,
    /// Its mark, for `SO_MARK`.
    pub mark: Fwmark,
    /// The uplink's own address; a change makes sockets stale.
    pub source: IpAddr,
}

/// Whether a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Answer,
    /// Not in time, or never.
    Silence,
}

/// A question to send now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    pub id: ProbeId,
    /// Which way it goes.
    pub path: Path,
    /// What is asked, and whom.
    pub question: Question,
    /// How long an answer still counts; late is slow, not lost.
    pub timeout: Duration,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// ICMP or ICMPv6 echo.
    Echo(IpAddr),
    /// A TCP handshake, closed at once.
    TcpConnect(IpAddr, u16),
    /// The addresses of a name, asked over UDP port 53 at that resolver.
    Dns { resolver: IpAddr, name: String },
    /// A plain HTTP GET.
    Http {
        server: IpAddr,
        port: u16,
        host: String,
        path: String,
        /// What it must answer.
        expect: HttpExpect,
    },
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReply {
    pub id: ProbeId,
    /// Which uplink it went through.
    pub uplink: UplinkId,
    pub outcome: Outcome,
}

/// How a probe can end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The right answer from the right one: echo reply, TCP handshake.
    Answered(Rtt),
    /// The resolver answered with these addresses.
    Resolved(Rtt, Vec<IpAddr>),
    /// The resolver answered, but without an address (`NXDOMAIN`, `SERVFAIL`, refused).
    NoSuchName(Rtt),
    /// The HTTP answer was the expected one.
    HttpExpected(Rtt),
    /// The HTTP answer was another: a portal. Where it sends people, if it says so.
    HttpOther { status: u16, location: Option<String> },
    /// Nothing came within the time limit.
    Silent,
    /// It could not even be sent, or the far end refused (the operating system's words).
    Failed(String),
}

/// Gives numbers to questions and hands them out in one place.
#[derive(Debug)]
pub struct Asker<'a> {
    pub next_id: &'a mut u64,
    pub requests: &'a mut Vec<ProbeRequest>,
    pub path: &'a Path,
}

impl Asker<'_> {
    /// Asks a question now; an answer counts for so long.
    pub fn ask(&mut self, question: Question, timeout: Duration) -> ProbeId {
        let id = ProbeId(*self.next_id);
        *self.next_id += 1;
        self.requests.push(ProbeRequest { id, path: self.path.clone(), question, timeout });
        id
    }
}
