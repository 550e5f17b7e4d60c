//! Who sees packets of a table, and where.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use sparelink::lab::forwarder::packet_socket;
use sparelink::lab::netns::Netns;
use sparelink::lab::topology::{Home, LAN_INTERFACE};
use sparelink::units::Family;
use tokio::net::{TcpListener, UdpSocket};

use super::UNLISTED;
use super::kinds::SERVICE;
use super::tag;

/// Room for everything that is sent at once, in bytes.
const ROOM: usize = 8 << 20;
/// Numbers of the protocols that are looked at where they reach the box itself.
const PROTOCOLS: [u8; 19] =
    [1, 2, 4, 6, 17, 33, 41, 47, 50, 51, 58, 59, 89, 103, 112, 115, 132, 136, 253];

/// Where a packet is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// At the box's end of the uplink, before anything is done to it.
    Ingress(usize),
    LanHost,
    UnlistedHost,
    /// Past the box's firewall, by whatever protocol.
    Box,
    /// Answers, errors and what is relayed, at the far end of an uplink.
    Out(usize),
}

type Seen = Arc<Mutex<BTreeSet<(u16, Place)>>>;

/// All of them. They look while the namespaces stand.
pub(super) struct Eyes {
    seen: Seen,
    /// What is asked for at the box.
    _services: (TcpListener, UdpSocket),
}

impl Eyes {
    pub(super) async fn open(home: &Home, unlisted: &Netns) -> Result<Self> {
        let seen = Seen::default();
        let router = &*home.router;
        let lan = router.mac(LAN_INTERFACE).await?;
        frames(&home.client, "eth0", lan, Place::LanHost, &seen).await?;
        let gate = router.mac(UNLISTED).await?;
        frames(unlisted, "eth0", gate, Place::UnlistedHost, &seen).await?;
        for (n, uplink) in home.uplinks.iter().enumerate() {
            let (own, modem) =
                (router.mac(&uplink.interface).await?, uplink.modem.mac("lan").await?);
            frames(router, &uplink.interface, modem, Place::Ingress(n), &seen).await?;
            frames(&uplink.modem, "lan", own, Place::Out(n), &seen).await?;
        }
        for family in Family::BOTH {
            for protocol in PROTOCOLS {
                delivered(router, family, protocol, &seen).await?;
            }
        }
        let at = SocketAddr::new("::".parse()?, SERVICE);
        let services =
            router
                .run(async move {
                    anyhow::Ok((TcpListener::bind(at).await?, UdpSocket::bind(at).await?))
                })
                .await??;
        Ok(Self { seen, _services: services })
    }

    /// Whether a packet with that tag was seen there.
    pub(super) fn saw(&self, tag: u16, place: Place) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&(tag, place))
    }
}

fn note(seen: &Seen, tag: u16, place: Place) {
    seen.lock().unwrap_or_else(PoisonError::into_inner).insert((tag, place));
}

/// Looks at the frames that somebody sends there.
async fn frames(
    netns: &Netns,
    interface: &str,
    from: [u8; 6],
    place: Place,
    seen: &Seen,
) -> Result<()> {
    let (interface, seen) = (interface.to_owned(), seen.clone());
    let open = async move {
        let socket = packet_socket(&interface)?;
        socket2::SockRef::from(&*socket).set_recv_buffer_size(ROOM)?;
        tokio::spawn(async move {
            let mut frame = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut frame).await {
                let frame = &frame[..length];
                if frame.get(6..12) == Some(&from)
                    && let Some(tag) = tag::of_frame(frame)
                {
                    note(&seen, tag, place);
                }
            }
        });
        anyhow::Ok(())
    };
    netns.run(open).await?.context("a packet socket")
}

/// Looks at what is delivered to the box itself.
async fn delivered(router: &Netns, family: Family, protocol: u8, seen: &Seen) -> Result<()> {
    let seen = seen.clone();
    let open = async move {
        let domain = match family {
            Family::V4 => Domain::IPV4,
            Family::V6 => Domain::IPV6,
        };
        let protocol_number = Protocol::from(i32::from(protocol));
        let raw = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol_number))?;
        raw.set_recv_buffer_size(ROOM)?;
        // Not UDP; but tokio's is the one socket type that takes any descriptor.
        let socket = UdpSocket::from_std(raw.into())?;
        tokio::spawn(async move {
            let mut packet = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let packet = &packet[..length];
                // IPv6 hands out what is behind its headers.
                if tag::is_asked(from.ip()) {
                    continue;
                }
                let found = match family {
                    Family::V4 => tag::of_packet(packet),
                    Family::V6 => {
                        tag::of_sender(from.ip()).or_else(|| tag::of_body(protocol, packet))
                    }
                };
                if let Some(tag) = found {
                    note(&seen, tag, Place::Box);
                }
            }
        });
        anyhow::Ok(())
    };
    router.run(open).await?.with_context(|| format!("a raw socket of protocol {protocol}"))
}
