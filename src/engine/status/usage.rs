//! What asking costs, in bytes on the line. Estimated from the sizes of packets, as if every question
//! were answered: what is told is rather too much than too little.

use std::time::Duration;

use crate::engine::probe::Question;
use crate::units::Family;

/// What asking an uplink costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes of both directions since the agent began.
    pub bytes: u64,
    /// Bytes in 30 days at the pace of the last hour, or at the planned one until that is known.
    pub month: u64,
}

pub(in crate::engine) const MONTH: Duration = Duration::from_secs(30 * 86_400);
pub(in crate::engine) const MINUTES_A_MONTH: u64 = 30 * 24 * 60;
/// IPv6 headers are so much longer than IPv4's.
pub(in crate::engine) const V6_MORE: u64 = 20;

/// Both directions of one question, in bytes of IP packets.
pub(in crate::engine) fn price(question: &Question, family: Family) -> u64 {
    let long = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    let (packets, bytes) = match question {
        // IP, ICMP, and eight bytes of token, there and back.
        Question::Echo(_) => (2, 2 * (20 + 8 + 8)),
        // SYN, SYN-ACK and ACK with options, and a reset.
        Question::TcpConnect(..) => (4, 60 + 60 + 52 + 40),
        // IP, UDP, header, and the question twice; an address comes back.
        Question::Dns { name, .. } => (2, 2 * (20 + 8 + 12 + long(name) + 6) + 16),
        // A handshake, a request, an answer of a usual size, and the end.
        Question::Http { host, path, .. } => {
            (7, 60 + 60 + 52 + (52 + 80 + long(host) + long(path)) + (52 + 250) + 52 + 40)
        }
    };
    bytes + packets * if family == Family::V6 { V6_MORE } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_as_small_as_it_can_be() {
        let echo = Question::Echo([1, 1, 1, 1].into());
        assert_eq!(price(&echo, Family::V4), 72);
        assert_eq!(price(&echo, Family::V6), 112);
        let name = Question::Dns { resolver: [1, 1, 1, 1].into(), name: "example.com".to_owned() };
        assert_eq!(price(&name, Family::V4), 130);
    }
}
