//! Echo replies that somebody makes up: everything in them is right but for what was sent along.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, Socket, Type};
use sparelink::engine::probe::{Outcome, Question};

use super::{Asker, SERVER, SERVER6, SHORT, World, ip};

/// Bytes of an echo in front of its payload (RFC 792).
const HEAD: usize = 8;

pub(super) fn an_echo_with_another_payload_is_no_answer(world: &World) {
    world.isp.inside(|| {
        for family in ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"] {
            std::fs::write(format!("/proc/sys/net/{family}"), "1").unwrap();
        }
    });
    let honest = Arc::new(AtomicBool::new(false));
    for server in [SERVER, SERVER6] {
        let socket = world.isp.inside(|| open(ip(server)));
        let honest = honest.clone();
        // It ends with the process.
        std::thread::spawn(move || answer(&socket, &honest));
    }
    world.run(async {
        let mut asker = Asker::new();
        for (path, server) in [(world.one(), SERVER), (world.one6(), SERVER6)] {
            let echo = || Question::Echo(ip(server));
            honest.store(false, Ordering::Relaxed);
            let outcomes = asker.ask_all([(&path, echo())], SHORT).await;
            assert_eq!(outcomes, [Outcome::Silent], "{server}");
            honest.store(true, Ordering::Relaxed);
            let outcome = asker.ask(&path, echo()).await;
            assert!(matches!(outcome, Outcome::Answered(_)), "control: {server}: {outcome:?}");
        }
    });
}

/// A raw socket, in the clothes of a UDP one: the calls are the same.
fn open(server: IpAddr) -> UdpSocket {
    let (domain, protocol) = match server {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    socket.bind(&SocketAddr::new(server, 0).into()).unwrap();
    socket.into()
}

/// Answers each request with lies, and then, if honest, with what was asked.
fn answer(socket: &UdpSocket, honest: &AtomicBool) {
    let mut buffer = [0; 256];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some((request, reply)) = parts(&buffer[..length], from) else { continue };
        let (head, payload) = (&request[4..HEAD], &request[HEAD..]);
        let flipped: Vec<u8> = payload.iter().map(|byte| byte ^ 1).collect();
        let longer = [payload, &[0]].concat();
        for lie in [&flipped[..], &payload[..payload.len() - 1], &longer, &[]] {
            send(socket, from, reply, &[head, lie].concat());
        }
        if honest.load(Ordering::Relaxed) {
            send(socket, from, reply, &[head, payload].concat());
        }
    }
}

/// The request without the network's header, and the kind of a reply; `None` if it is no request.
fn parts(bytes: &[u8], from: SocketAddr) -> Option<(&[u8], u8)> {
    let v4 = from.is_ipv4();
    let request = if v4 { bytes.get(20..)? } else { bytes };
    let (kind, reply) = if v4 { (8, 0) } else { (128, 129) };
    (request.len() >= HEAD && request[0] == kind).then_some((request, reply))
}

fn send(socket: &UdpSocket, to: SocketAddr, kind: u8, rest: &[u8]) {
    let mut message = [&[kind, 0, 0, 0], rest].concat();
    // The kernel does it for IPv6 (RFC 3542 §3.1).
    if kind == 0 {
        let words = message.chunks(2).map(|pair| {
            u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        });
        let sum: u32 = words.sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let checksum = !u16::try_from(folded).unwrap();
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    drop(socket.send_to(&message, to));
}
