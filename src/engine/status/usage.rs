//! What asking costs, in bytes on the line. Estimated from the sizes of packets, as if every question
//! were answered: what is told is rather too much than too little.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::HttpCheck;
use crate::engine::health::proof::Plan;
use crate::engine::health::tally::Rest;
use crate::engine::probe::Question;
use crate::units::Family;

/// What asking an uplink costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes of both directions since the agent began.
    pub bytes: u64,
    /// Bytes in 30 days at the pace of a line on which nothing happens.
    pub month: u64,
}

/// 30 days.
const MONTH: Duration = Duration::from_secs(30 * 86_400);
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

/// Bytes in 30 days on a line that is asked at this pace.
pub(in crate::engine) fn a_month(rest: &Rest, targets: &[IpAddr], plan: Plan<'_>) -> u64 {
    let times = |every: Duration| MONTH.as_millis() / every.as_millis().max(1);
    let times = |every| u64::try_from(times(every)).unwrap_or(u64::MAX);
    let resolver = plan.resolvers.iter().find(|ip| Family::of(ip) == plan.family);
    let resolvers = plan.resolvers.iter().filter(|ip| Family::of(ip) == plan.family).count() as u64;
    let dns = |name: &str| {
        let of = |ip: &IpAddr| Question::Dns { resolver: *ip, name: name.to_owned() };
        resolver.map_or(0, |ip| price(&of(ip), plan.family))
    };
    let name = plan.name.map_or(0, dns);
    let page = |check: &HttpCheck| {
        let question = Question::Http {
            server: [0, 0, 0, 0].into(),
            port: check.port,
            host: check.host.clone(),
            path: check.path.clone(),
            expect: check.expect.clone(),
        };
        dns(&check.host) * resolvers + price(&question, plan.family)
    };
    let pages: u64 = plan.pages.iter().map(page).sum();
    let echo = targets.first().map_or(0, |ip| price(&Question::Echo(*ip), plan.family));
    times(rest.base) * echo
        + times(rest.names) * name
        + times(rest.pages) * (name * resolvers + pages)
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

    #[test]
    fn a_month_at_rest_is_its_echoes_and_a_little_more() {
        let every = Duration::from_secs;
        let rest = Rest { base: every(1), names: every(30), pages: every(300) };
        let targets = ["1.1.1.1".parse().unwrap()];
        let plan = Plan {
            name: None,
            family: Family::V4,
            resolvers: &targets,
            resolvers_known: false,
            public: &targets,
            pages: &[],
        };
        assert_eq!(a_month(&rest, &targets, plan), 30 * 86_400 * 72);
        let named = a_month(&rest, &targets, Plan { name: Some("example.com"), ..plan });
        assert_eq!(named - 30 * 86_400 * 72, (30 * 2_880 + 30 * 288) * 130);
    }
}
