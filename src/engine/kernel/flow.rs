//! A flow as connection tracking has it.

use std::net::SocketAddr;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// A flow that connection tracking knows (ctnetlink).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// IP protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// As the first packet went.
    pub original: Tuple,
    /// As answers come, after NAT.
    pub reply: Tuple,
    /// Where a TCP connection stands.
    pub tcp: Option<TcpState>,
    pub mark: u32,
}

/// One direction of a flow. Ports are 0 in protocols without them; ICMP has its identifier in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tuple {
    pub src: SocketAddr,
    pub dst: SocketAddr,
}

/// Which flows of an uplink are flushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlushScope {
    #[default]
    All,
    /// Those that never had an answer: whatever the verdict is worth, they lose nothing.
    Unanswered,
}

/// TCP states as conntrack counts them (linux/netfilter/nf_conntrack_tcp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    /// No connection, or a state that the kernel did not have when this was written.
    None,
    SynSent,
    /// SYN and SYN-ACK seen.
    SynRecv,
    /// The handshake is complete.
    Established,
    /// One side has sent FIN.
    FinWait,
    /// The other side has acknowledged it.
    CloseWait,
    /// Both sides have sent FIN.
    LastAck,
    TimeWait,
    Close,
    /// SYNs from both sides.
    SynSent2,
}

/// Flows, and what they have carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowCount {
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
