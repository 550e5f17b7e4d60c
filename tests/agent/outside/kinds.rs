//! The kinds of packets that somebody at an uplink sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sparelink::units::Family;

use super::place::Source;
use super::tag::{
    AH, DCCP, DESTINATION, FRAGMENT, HOP_BY_HOP, IPIP, MAGIC, ROUTING, SCTP, SIT, UDP_LITE,
};
use crate::packets::{
    ACK, FIN, Head, ICMP, ICMPV6, PSH, RST, SYN, TCP, UDP, URG, icmp, octets, tcp, udp,
    with_checksum,
};

/// A service of the box, by TCP and UDP.
pub(super) const SERVICE: u16 = 5300;
/// A port at which nobody listens.
const CLOSED: u16 = 5999;
/// More than fits the way to the unlisted network.
const LARGE: usize = 1400;
/// Fragments follow.
const MORE: u16 = 0x2000;
const WHOLE: u16 = 0x4000;

/// Makes the packets of a kind, most often one.
type Build = Box<dyn Fn(&Of) -> Vec<Vec<u8>>>;

/// A kind of packet.
pub(super) struct Kind {
    pub(super) name: String,
    /// The one IP version that has it.
    pub(super) only: Option<Family>,
    pub(super) source: Source,
    pub(super) build: Build,
}

/// One packet of a kind.
pub(super) struct Of {
    pub(super) head: Head,
    pub(super) tag: u16,
    /// The box's address on that uplink.
    pub(super) own: IpAddr,
    /// The sender's address on the link.
    pub(super) mac: [u8; 6],
}

impl Of {
    fn ends(&self) -> [IpAddr; 2] {
        [self.head.from, self.head.to]
    }

    fn tcp(&self, flags: u8, port: u16) -> Vec<u8> {
        tcp(self.head.from, self.head.to, [self.tag, port], flags)
    }

    fn udp(&self, port: u16, payload: &[u8]) -> Vec<u8> {
        udp(self.head.from, self.head.to, [self.tag, port], payload)
    }

    /// ICMP of that IP version.
    fn icmp(&self, what: [u8; 2], word: [u8; 4], rest: &[u8]) -> Vec<Vec<u8>> {
        let protocol = if self.own.is_ipv4() { ICMP } else { ICMPV6 };
        vec![self.head.packet(protocol, &icmp(self.ends(), what, word, rest))]
    }

    /// Four bytes with the tag in front, as messages with an identifier have it.
    fn identifier(&self) -> [u8; 4] {
        word(self.tag, MAGIC)
    }

    /// Four bytes that nothing but the tag is in.
    fn word(&self) -> [u8; 4] {
        word(MAGIC, self.tag)
    }

    /// What an error is about: a datagram that nobody here has sent.
    fn quoted(&self) -> Vec<u8> {
        let [from, to] = self.ends();
        let datagram = udp(to, from, [SERVICE, self.tag], b"quoted!!");
        Head::new(to, from).packet(UDP, &datagram)
    }

    /// The same with a longer head.
    fn with(&self, extra: &[(u8, Vec<u8>)], body: &[u8]) -> Vec<Vec<u8>> {
        let head = Head { extra: extra.to_vec(), ..self.head.clone() };
        vec![head.packet(UDP, body)]
    }

    /// UDP in two pieces, the second of which begins at `second`.
    fn pieces(&self, second: usize) -> Vec<Vec<u8>> {
        let datagram = self.udp(SERVICE, &[b'f'; 40]);
        vec![
            self.piece(UDP, 0, true, &datagram[..24]),
            self.piece(UDP, second, false, &datagram[second..]),
        ]
    }

    fn piece(&self, protocol: u8, offset: usize, more: bool, bytes: &[u8]) -> Vec<u8> {
        let offset = u16::try_from(offset).unwrap_or_default();
        if self.own.is_ipv4() {
            let fragment = (offset / 8) | if more { MORE } else { 0 };
            return Head { fragment, ..self.head.clone() }.packet(protocol, bytes);
        }
        let [high, tail] = (offset | u16::from(more)).to_be_bytes();
        let [a, b, c, d] = self.word();
        let extra = vec![(FRAGMENT, vec![0, 0, high, tail, a, b, c, d])];
        Head { extra, ..self.head.clone() }.packet(protocol, bytes)
    }

    /// Neighbour discovery is heard from the link alone (RFC 4861 §6.1.2).
    fn near_by(&self, kind: u8, word: [u8; 4], rest: &[u8]) -> Vec<Vec<u8>> {
        let message = icmp(self.ends(), [kind, 0], word, rest);
        vec![Head { ttl: 255, ..self.head.clone() }.packet(ICMPV6, &message)]
    }
}

fn word(a: u16, b: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
    [a, b, c, d]
}

fn kind(name: &str, build: impl Fn(&Of) -> Vec<Vec<u8>> + 'static) -> Kind {
    Kind { name: name.to_owned(), only: None, source: Source::Neighbour, build: Box::new(build) }
}

fn only(family: Family, kind: Kind) -> Kind {
    Kind { only: Some(family), ..kind }
}

/// All of them.
pub(super) fn kinds() -> Vec<Kind> {
    let all = [
        of_tcp(),
        of_udp(),
        of_icmp(),
        of_icmp4(),
        of_icmpv6(),
        of_others(),
        of_groups(),
        of_pieces(),
        of_options(),
        of_headers(),
        of_sources(),
    ];
    all.into_iter().flatten().collect()
}

fn of_tcp() -> Vec<Kind> {
    let all = [
        ("TCP SYN to a service", SYN, SERVICE),
        ("TCP SYN to a closed port", SYN, CLOSED),
        ("TCP SYN|ACK", SYN | ACK, CLOSED),
        ("TCP RST", RST, CLOSED),
        ("TCP RST|ACK", RST | ACK, CLOSED),
        ("TCP FIN|ACK", FIN | ACK, CLOSED),
        ("TCP ACK", ACK, CLOSED),
        ("TCP PSH|ACK", PSH | ACK, SERVICE),
        ("TCP NULL", 0, SERVICE),
        ("TCP XMAS", FIN | PSH | URG, SERVICE),
        ("TCP SYN|FIN", SYN | FIN, SERVICE),
        ("TCP with every flag", 0x3f, SERVICE),
    ];
    let one = |(name, flags, port): (&str, u8, u16)| {
        kind(name, move |of| vec![of.head.packet(TCP, &of.tcp(flags, port))])
    };
    let wrong = kind("TCP SYN with a bad checksum", |of| {
        let mut segment = of.tcp(SYN, SERVICE);
        segment[16] ^= 0x55;
        vec![of.head.packet(TCP, &segment)]
    });
    let short = kind("TCP SYN with a header too short", |of| {
        let mut segment = of.tcp(SYN, SERVICE);
        segment[12] = 0x10;
        vec![of.head.packet(TCP, &segment)]
    });
    all.map(one).into_iter().chain([wrong, short]).collect()
}

fn of_udp() -> Vec<Kind> {
    let all = [
        ("UDP to a service", SERVICE),
        ("UDP to a closed port", CLOSED),
        ("UDP to DNS", 53),
        ("UDP to NTP", 123),
        ("UDP to a DHCP server", 67),
        ("UDP to a DHCP client", 68),
        ("UDP to a DHCPv6 client", 546),
        ("UDP to SSDP", 1900),
        ("UDP to mDNS", 5353),
        ("UDP to the page", 8300),
    ];
    let one = |(name, port): (&str, u16)| {
        kind(name, move |of| vec![of.head.packet(UDP, &of.udp(port, b"anybody?"))])
    };
    let answer = kind("UDP as an answer of DNS", |of| {
        let [from, to] = of.ends();
        vec![of.head.packet(UDP, &udp(from, to, [53, of.tag], b"answered"))]
    });
    let wrong = kind("UDP with a bad checksum", |of| {
        let mut datagram = of.udp(SERVICE, b"anybody?");
        datagram[6] ^= 0x55;
        vec![of.head.packet(UDP, &datagram)]
    });
    let empty =
        kind("UDP without a payload", |of| vec![of.head.packet(UDP, &of.udp(SERVICE, &[]))]);
    let last = kind("UDP that may go no further", |of| {
        let head = Head { ttl: 1, ..of.head.clone() };
        vec![head.packet(UDP, &of.udp(SERVICE, b"anybody?"))]
    });
    let segment = kind("TCP SYN that may go no further", |of| {
        vec![Head { ttl: 1, ..of.head.clone() }.packet(TCP, &of.tcp(SYN, SERVICE))]
    });
    let large = kind("UDP that must not be cut", |of| {
        let head = Head { fragment: WHOLE, ..of.head.clone() };
        vec![head.packet(UDP, &of.udp(SERVICE, &[b'l'; LARGE]))]
    });
    all.map(one).into_iter().chain([answer, wrong, empty, last, segment, large]).collect()
}

/// What both have, by other numbers.
fn of_icmp() -> Vec<Kind> {
    let query = |name, four: u8, six: u8| {
        kind(name, move |of| {
            let what = [if of.own.is_ipv4() { four } else { six }, 0];
            of.icmp(what, of.identifier(), b"echo")
        })
    };
    let error = |name, four: [u8; 2], six: [u8; 2], word: [u8; 4]| {
        kind(name, move |of| {
            let what = if of.own.is_ipv4() { four } else { six };
            of.icmp(what, word, &of.quoted())
        })
    };
    let wrong = kind("ICMP echo with a bad checksum", |of| {
        let (protocol, echo) = if of.own.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
        let mut message = icmp(of.ends(), [echo, 0], of.identifier(), b"echo");
        message[2] ^= 0x55;
        vec![of.head.packet(protocol, &message)]
    });
    let last = kind("ICMP echo that may go no further", |of| {
        let (protocol, echo) = if of.own.is_ipv4() { (ICMP, 8) } else { (ICMPV6, 128) };
        let message = icmp(of.ends(), [echo, 0], of.identifier(), b"echo");
        vec![Head { ttl: 1, ..of.head.clone() }.packet(protocol, &message)]
    });
    vec![
        query("ICMP echo request", 8, 128),
        query("ICMP echo reply", 0, 129),
        wrong,
        last,
        error("ICMP unreachable", [3, 3], [1, 4], [0; 4]),
        error("ICMP packet too big", [3, 4], [2, 0], [0, 0, 5, 0]),
        error("ICMP time exceeded", [11, 0], [3, 0], [0; 4]),
        error("ICMP parameter problem", [12, 0], [4, 0], [0; 4]),
    ]
}

fn of_icmp4() -> Vec<Kind> {
    let query =
        |name, number| kind(name, move |of| of.icmp([number, 0], of.identifier(), &[0; 12]));
    let all = [
        query("ICMP timestamp", 13),
        query("ICMP timestamp reply", 14),
        query("ICMP information request", 15),
        query("ICMP address mask", 17),
        kind("ICMP redirect", |of| {
            let gateway = octets(of.head.from);
            of.icmp([5, 1], [gateway[0], gateway[1], gateway[2], 77], &of.quoted())
        }),
        kind("ICMP source quench", |of| of.icmp([4, 0], [0; 4], &of.quoted())),
        kind("ICMP router advertisement", |of| {
            of.icmp([9, 0], [1, 2, 0, 0], &[of.word(), [0; 4]].concat())
        }),
        kind("ICMP router solicitation", |of| of.icmp([10, 0], of.word(), &[])),
        kind("ICMP of an unknown type", |of| of.icmp([42, 0], of.identifier(), &[0; 8])),
    ];
    all.map(|kind| only(Family::V4, kind)).into()
}

/// From the link, as it should be, and from an address that is routed.
fn of_icmpv6() -> Vec<Kind> {
    let on_link = |kind: Kind| {
        let name = format!("{} from the link", kind.name);
        Kind { name, source: Source::OnTheLink, ..kind }
    };
    let routed = |kind: Kind| Kind { source: Source::Tagged, ..kind };
    let linked = of_the_link().into_iter().map(on_link);
    linked.chain(of_the_link().into_iter().map(routed)).collect()
}

fn of_the_link() -> Vec<Kind> {
    /// An address that nobody has.
    const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x77);
    // The sender's address on the link (RFC 4861 §4.6.1).
    let link = |of: &Of| [&[1, 1][..], &of.mac].concat();
    let group = |of: &Of| {
        let [a, b, c, d] = of.word();
        [&[0xff, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[a, b, c, d][..]].concat()
    };
    let all = [
        kind("ICMPv6 router advertisement", move |of| {
            of.near_by(134, [64, 0, 0, 0], &[&[0; 8][..], &link(of)].concat())
        }),
        kind("ICMPv6 router solicitation", move |of| of.near_by(133, [0; 4], &link(of))),
        kind("ICMPv6 neighbour solicitation", move |of| {
            of.near_by(135, [0; 4], &[octets(of.head.to), link(of)].concat())
        }),
        kind("ICMPv6 neighbour advertisement", |of| {
            of.near_by(136, [0x20, 0, 0, 0], &NOBODY.octets())
        }),
        kind("ICMPv6 redirect", |of| {
            of.near_by(137, [0; 4], &[NOBODY.octets(), NOBODY.octets()].concat())
        }),
        kind("ICMPv6 query for listeners", move |of| {
            let message = icmp(of.ends(), [130, 0], [0; 4], &group(of));
            vec![Head { ttl: 1, ..of.head.clone() }.packet(ICMPV6, &message)]
        }),
        kind("ICMPv6 report of listeners", move |of| {
            let message = icmp(of.ends(), [131, 0], [0; 4], &group(of));
            vec![Head { ttl: 1, ..of.head.clone() }.packet(ICMPV6, &message)]
        }),
        kind("ICMPv6 query for names", |of| {
            of.icmp(
                [139, 0],
                [0, 2, 0, 0],
                &[&of.word()[..], &[0; 4], &octets(of.head.to)].concat(),
            )
        }),
        kind("ICMPv6 of an unknown type", |of| of.icmp([201, 0], of.identifier(), &[0; 8])),
    ];
    all.map(|kind| only(Family::V6, kind)).into()
}

fn of_others() -> Vec<Kind> {
    // The tag at the first or the second word.
    let first = |name, protocol| {
        kind(name, move |of| vec![of.head.packet(protocol, &[&of.word()[..], &[0; 20]].concat())])
    };
    let second = |name, protocol, head: [u8; 4]| {
        kind(name, move |of| {
            vec![of.head.packet(protocol, &[&head[..], &of.word(), &[0; 24]].concat())]
        })
    };
    let inside = |name, to: Option<IpAddr>| {
        kind(name, move |of| {
            let to = to.unwrap_or(of.head.to);
            let from = match to {
                IpAddr::V4(_) => Ipv4Addr::new(10, 0, 0, 1).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
            };
            let datagram = udp(from, to, [of.tag, SERVICE], b"inside");
            let protocol = if to.is_ipv4() { IPIP } else { SIT };
            vec![of.head.packet(protocol, &Head::new(from, to).packet(UDP, &datagram))]
        })
    };
    let ported = |name, protocol, rest: &'static [u8]| {
        kind(name, move |of| {
            let [high, tail] = of.tag.to_be_bytes();
            let ports = [&[high, tail][..], &SERVICE.to_be_bytes()].concat();
            vec![of.head.packet(protocol, &[&ports, rest].concat())]
        })
    };
    // RFC 9260 §3.3.2; RFC 4340 §5.1: a request of 20 bytes.
    const INIT: &[u8] =
        &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 64, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    const REQUEST: &[u8] = &[5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    vec![
        second("GRE", 47, [0x20, 0, 8, 0]),
        second("GRE of PPTP", 47, [0x20, 1, 0x88, 0x0b]),
        first("ESP", 50),
        second("AH", AH, [59, 4, 0, 0]),
        inside("IP in IP, for the same host", None),
        inside("IP in IP, for a LAN host", Some(Ipv4Addr::new(192, 168, 77, 2).into())),
        inside("6in4, for a LAN host", Some(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2).into())),
        ported("SCTP INIT", SCTP, INIT),
        ported("DCCP request", DCCP, REQUEST),
        ported("UDP-Lite", UDP_LITE, &[0, 8, 0, 0]),
        second("OSPF", 89, [2, 1, 0, 44]),
        second("PIM", 103, [0x20, 0, 0, 0]),
        second("VRRP", 112, [0x21, 1, 100, 1]),
        first("L2TP", 115),
        first("an unknown protocol", 253),
    ]
}

fn of_groups() -> Vec<Kind> {
    let igmp = |name, number| {
        kind(name, move |of: &Of| {
            let message = with_checksum([&[number, 0, 0, 0][..], &of.word()].concat());
            vec![Head { ttl: 1, ..of.head.clone() }.packet(2, &message)]
        })
    };
    [igmp("IGMP query", 0x11), igmp("IGMP report", 0x16), igmp("IGMP leave", 0x17)]
        .map(|kind| only(Family::V4, kind))
        .into()
}

fn of_pieces() -> Vec<Kind> {
    vec![
        kind("UDP in two fragments", |of| of.pieces(24)),
        kind("UDP in two that overlap", |of| of.pieces(16)),
        kind("a first fragment alone", |of| {
            vec![of.piece(UDP, 0, true, &of.udp(SERVICE, &[b'f'; 24]))]
        }),
        kind("a last fragment alone", |of| vec![of.piece(UDP, 64, false, &[b'f'; 24])]),
        kind("a tiny first fragment of TCP", |of| {
            let segment = of.tcp(SYN, SERVICE);
            vec![of.piece(TCP, 0, true, &segment[..8]), of.piece(TCP, 8, false, &segment[8..])]
        }),
        kind("a fragment that is all of it", |of| {
            vec![of.piece(UDP, 0, false, &of.udp(SERVICE, b"atomic"))]
        }),
        kind("a fragment beyond 64 KiB", |of| vec![of.piece(UDP, 65_528, false, &[b'f'; 64])]),
    ]
}

/// RFC 791 §3.1.
fn of_options() -> Vec<Kind> {
    let option = |name, bytes: &'static [u8]| {
        kind(name, move |of| of.with(&[(0, bytes.to_vec())], &of.udp(SERVICE, b"options")))
    };
    let routed = |name, number: u8| {
        kind(name, move |of| {
            let route = [&[number, 7, 4][..], &octets(of.head.to)].concat();
            let head = Head { to: of.own, extra: vec![(0, route)], ..of.head.clone() };
            vec![head.packet(UDP, &of.udp(SERVICE, b"options"))]
        })
    };
    let all = [
        option("IP option record route", &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
        option("IP option timestamp", &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        option("IP option router alert", &[148, 4, 0, 0]),
        option("IP option of an unknown kind", &[222, 4, 0, 0]),
        option("IP option cut short", &[7, 39, 4]),
        routed("IP option loose source route, by the box", 131),
        routed("IP option strict source route, by the box", 137),
    ];
    all.map(|kind| only(Family::V4, kind)).into()
}

/// RFC 8200 §4.
fn of_headers() -> Vec<Kind> {
    const PADDING: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    const ALERT: [u8; 8] = [0, 0, 5, 2, 0, 0, 1, 0];
    /// Whoever does not know it is to send an error, to a group, too.
    const UNKNOWN: [u8; 8] = [0, 0, 0x9e, 4, 0, 0, 0, 0];
    let header = |name, all: &'static [(u8, [u8; 8])]| {
        kind(name, move |of| {
            let extra: Vec<_> = all.iter().map(|(number, h)| (*number, h.to_vec())).collect();
            of.with(&extra, &of.udp(SERVICE, b"headers"))
        })
    };
    let routed = |name, number: u8| {
        kind(name, move |of| {
            let route = [&[0, 2, number, 1, 0, 0, 0, 0][..], &octets(of.head.to)].concat();
            let head = Head { to: of.own, extra: vec![(ROUTING, route)], ..of.head.clone() };
            vec![head.packet(UDP, &of.udp(SERVICE, b"headers"))]
        })
    };
    let all = [
        header("IPv6 hop-by-hop options", &[(HOP_BY_HOP, PADDING)]),
        header("IPv6 hop-by-hop router alert", &[(HOP_BY_HOP, ALERT)]),
        header("IPv6 hop-by-hop option of an unknown kind", &[(HOP_BY_HOP, UNKNOWN)]),
        header("IPv6 destination options", &[(DESTINATION, PADDING)]),
        header("IPv6 destination option of an unknown kind", &[(DESTINATION, UNKNOWN)]),
        header(
            "IPv6 headers in a row",
            &[(HOP_BY_HOP, PADDING), (DESTINATION, PADDING), (DESTINATION, PADDING)],
        ),
        routed("IPv6 routing header of type 0, by the box", 0),
        routed("IPv6 routing header of type 2, by the box", 2),
    ];
    all.map(|kind| only(Family::V6, kind)).into()
}

fn of_sources() -> Vec<Kind> {
    let from = |source: Source| {
        let datagram = move |of: &Of| vec![of.head.packet(UDP, &of.udp(SERVICE, b"anybody?"))];
        Kind { source, ..kind(&format!("UDP from {source}"), datagram) }
    };
    let echo = |source: Source| {
        let message = move |of: &Of| {
            let echo = if of.own.is_ipv4() { 8 } else { 128 };
            of.icmp([echo, 0], of.identifier(), b"echo")
        };
        Kind { source, ..kind(&format!("ICMP echo request from {source}"), message) }
    };
    let all = Source::FORGED.into_iter();
    all.flat_map(|source| [from(source), echo(source)]).collect()
}
