//! Connection tracking on the real kernel, with flows over loopback.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Stmt, Table};
use sparelink::engine::kernel::flow::FlowCount;
use sparelink::engine::kernel::flow::TcpState;
use sparelink::io::netlink::conntrack::Conntrack;
use sparelink::io::netlink::nfnl::NfnlError;
use sparelink::io::netlink::nft::Nft;
use sparelink::units::{Family, Fwmark, PerFamily, UplinkId};

use crate::common::{self, in_netns};

const ONE: u16 = 5001;
const TWO: u16 = 5002;
const UNMARKED: u16 = 5003;

#[test]
fn a_flush_by_mark_forgets_these_flows_and_no_others() {
    in_netns("a_flush_by_mark_forgets_these_flows_and_no_others", || {
        mark_by_port();
        let mut conntrack = Conntrack::open().unwrap();
        for port in [ONE, TWO, UNMARKED] {
            udp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            udp(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        }
        assert_eq!(counts(&mut conntrack), [(0, 2), (0x0100_0000, 2), (0x0200_0000, 2)].into());
        conntrack.flush(uplink(3), Family::V4).unwrap();
        assert_eq!(total(&mut conntrack), 6, "none has this mark");
        conntrack.flush(uplink(1), Family::V4).unwrap();
        assert_eq!(
            counts(&mut conntrack),
            [(0, 2), (0x0100_0000, 1), (0x0200_0000, 2)].into(),
            "a verdict on IPv4 leaves IPv6 flows alone"
        );
        conntrack.flush(uplink(1), Family::V6).unwrap();
        assert_eq!(counts(&mut conntrack), [(0, 2), (0x0200_0000, 2)].into());
        assert_eq!(conntrack.dump(uplink(1)).unwrap(), []);
        assert_eq!(conntrack.dump(uplink(2)).unwrap().len(), 2, "both families are left");
    });
}

#[test]
fn an_empty_mark_flushes_nothing() {
    in_netns("an_empty_mark_flushes_nothing", || {
        mark_by_port();
        let mut conntrack = Conntrack::open().unwrap();
        udp(SocketAddr::from((Ipv4Addr::LOCALHOST, ONE)));
        udp(SocketAddr::from((Ipv4Addr::LOCALHOST, UNMARKED)));
        for (value, mask) in
            [(0, 0), (0x0100_0000, 0), (0, 0x0f00_0000), (0xf000_0000, 0x0f00_0000)]
        {
            let mark = Fwmark { value, mask };
            assert!(
                matches!(conntrack.flush(mark, Family::V4), Err(NfnlError::EmptyMark)),
                "{mark}"
            );
            assert!(matches!(conntrack.dump(mark), Err(NfnlError::EmptyMark)), "{mark}");
        }
        assert_eq!(total(&mut conntrack), 2);
    });
}

#[test]
fn flows_are_listed_with_both_directions() {
    in_netns("flows_are_listed_with_both_directions", || {
        mark_by_port();
        let mut conntrack = Conntrack::open().unwrap();
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, ONE)).unwrap();
        let client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let _accepted = server.accept().unwrap();
        let flows = conntrack.dump(uplink(1)).unwrap();
        let [flow] = flows.as_slice() else { panic!("one flow, not {flows:?}") };
        assert_eq!((flow.protocol, flow.tcp), (6, Some(TcpState::Established)));
        assert_eq!(flow.original.src, client.local_addr().unwrap());
        assert_eq!(flow.original.dst, server.local_addr().unwrap());
        assert_eq!((flow.reply.src, flow.reply.dst), (flow.original.dst, flow.original.src));
        assert_eq!(flow.mark, 0x8100_0007, "other people's bits are listed too");
    });
}

#[test]
fn bytes_are_counted_where_the_kernel_counts_them() {
    in_netns("bytes_are_counted_where_the_kernel_counts_them", || {
        mark_by_port();
        let mut conntrack = Conntrack::open().unwrap();
        let mut carried = |port, accounting: &str| {
            std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", accounting).unwrap();
            udp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            let counts = conntrack.count_by(Fwmark::UPLINK_MASK, &[]).unwrap();
            counts.into_values().map(|count| count.v4.bytes).collect::<Vec<_>>()
        };
        assert_eq!(carried(UNMARKED, "0"), [0], "control: without accounting");
        // A header of 28 bytes and one byte, there and back.
        assert_eq!(carried(ONE, "1"), [0, 58]);
    });
}

#[test]
fn many_flows_are_counted_and_flushed() {
    in_netns("many_flows_are_counted_and_flushed", || {
        mark_by_port();
        let mut conntrack = Conntrack::open().unwrap();
        for _ in 0..20 {
            for host in 1..=100 {
                udp_once(SocketAddr::from(([127, 0, 1, host], ONE)));
            }
        }
        udp_once(SocketAddr::from((Ipv4Addr::LOCALHOST, TWO)));
        let before = counts(&mut conntrack);
        assert!(before[&0x0100_0000] > 1500, "{before:?}");
        conntrack.flush(uplink(1), Family::V4).unwrap();
        assert_eq!(counts(&mut conntrack), [(0x0200_0000, 1)].into());
    });
}

fn uplink(number: u8) -> Fwmark {
    UplinkId::new(number).unwrap().mark()
}

fn counts(conntrack: &mut Conntrack) -> BTreeMap<u32, u64> {
    let counts = conntrack.count_by(Fwmark::UPLINK_MASK, &[]).unwrap();
    let both = |(mark, count): (u32, PerFamily<FlowCount>)| (mark, (count.v4 + count.v6).flows);
    counts.into_iter().map(both).collect()
}

fn total(conntrack: &mut Conntrack) -> u64 {
    counts(conntrack).values().sum()
}

/// One packet there and one back.
fn udp(to: SocketAddr) {
    let server = UdpSocket::bind(to).unwrap();
    let client = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
    client.send_to(b"?", to).unwrap();
    let (_, from) = server.recv_from(&mut [0]).unwrap();
    server.send_to(b"!", from).unwrap();
    client.recv_from(&mut [0]).unwrap();
}

/// One packet that nobody answers.
fn udp_once(to: SocketAddr) {
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.send_to(b"?", to).unwrap();
}

/// Gives flows to two ports the marks of two uplinks, one with foreign bits beside it.
fn mark_by_port() {
    common::loopback_up();
    let to = |protocol, port, value, mask| {
        let mark = Stmt::SetCtMark(Fwmark { value, mask });
        vec![Stmt::L4proto(protocol), Stmt::Dport(port), mark]
    };
    let rules = vec![
        to(17, ONE, 0x0100_0000, 0x0f00_0000),
        to(6, ONE, 0x8100_0007, 0x8f00_000f),
        to(17, TWO, 0xf200_00ff, u32::MAX),
    ];
    let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Output, priority: -150 };
    let chains = vec![Chain { name: "mark".into(), hook: Some(hook), rules }];
    let table = Table { name: "flows".into(), chains, ..Table::default() };
    Nft::open().unwrap().build(&table).unwrap();
}
