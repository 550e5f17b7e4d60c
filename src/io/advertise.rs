//! Router advertisements about a prefix of the LAN, and about nothing else.
//!
//! They come from a link-local address that is nobody's: the box's own one is its advertising
//! daemon's voice, and a router lifetime from there, whether zero or not, would make hosts forget or
//! believe something about their default router (RFC 4861 §6.3.4). From an address that is no
//! router's, a lifetime of zero says nothing, while what is said of a prefix counts, whoever says it
//! (RFC 4862 §5.5.3). The kernel sends only from own addresses, so the frame is made here.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, send, socket,
};

use crate::engine::output::Advert;
use crate::units::IfName;

/// Ends in the letters of `sparelin`, and is on no interface.
const VOICE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x7370, 0x6172, 0x656c, 0x696e);
/// All nodes on the link (RFC 4291 §2.7.1), and its Ethernet address (RFC 2464 §7).
const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const EVERYBODY_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// `ETH_P_IPV6` (linux/if_ether.h), and the protocol number of ICMPv6 (RFC 4443 §1).
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
/// Anything less has come through a router, and is not believed (RFC 4861 §6.1.2).
const HOP_LIMIT: u8 = 255;
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Option 3, four units of eight bytes; the autonomous flag (RFC 4861 §4.6.2). Nothing is said of
/// what is on the link.
const PREFIX_INFORMATION: [u8; 2] = [3, 4];
const AUTONOMOUS: u8 = 0x40;

/// Speaks to the LAN.
#[derive(Debug, Default)]
pub struct Advertiser {
    told: bool,
}

impl Advertiser {
    /// Sends one advertisement. What hinders it is said once, and is no reason to stop.
    pub fn send(&mut self, advert: &Advert) {
        let Err(error) = transmit(advert) else {
            return;
        };
        if error.kind() == io::ErrorKind::PermissionDenied && !self.told {
            self.told = true;
            tracing::info!("telling the LAN of dead prefixes needs CAP_NET_RAW");
        } else {
            tracing::debug!(%error, dev = %advert.dev, "an advertisement could not be sent");
        }
    }
}

fn transmit(advert: &Advert) -> io::Result<()> {
    let link = link(&advert.dev)?;
    let mac = link.addr().filter(|mac| *mac != [0; 6]);
    let mac = mac.ok_or_else(|| io::Error::other("no Ethernet"))?;
    // Protocol 0: nothing is received.
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    bind(fd.as_raw_fd(), &link)?;
    send(fd.as_raw_fd(), &frame(mac, advert), MsgFlags::empty())?;
    Ok(())
}

/// The interface as bind(2) wants it, which getifaddrs(3) hands out.
fn link(dev: &IfName) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == dev.as_str())
        .filter_map(|entry| entry.address)
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .and_then(|address| address.as_link_addr().copied())
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

fn frame(mac: [u8; 6], advert: &Advert) -> Vec<u8> {
    let mut message = advertisement(advert);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut frame = [&EVERYBODY_MAC[..], &mac, &IPV6].concat();
    // Version 6, no traffic class, no flow label (RFC 8200 §3).
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, HOP_LIMIT]);
    frame.extend(VOICE.octets());
    frame.extend(EVERYBODY.octets());
    frame.extend(message);
    frame
}

/// The message without its checksum. Everything that is not about the prefix is unspecified, or
/// zero from somebody who is no router (RFC 4861 §4.2).
fn advertisement(advert: &Advert) -> Vec<u8> {
    let seconds = |lifetime: std::time::Duration| {
        u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
    };
    let mut message = vec![ROUTER_ADVERTISEMENT];
    message.resize(16, 0);
    message.extend(PREFIX_INFORMATION);
    message.extend([advert.prefix.prefix_len(), AUTONOMOUS]);
    message.extend(seconds(advert.valid));
    message.extend(seconds(advert.preferred));
    message.extend([0; 4]);
    message.extend(advert.prefix.network().octets());
    message
}

/// Over the message and its pseudo-header (RFC 8200 §8.1, RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let pseudo = [&VOICE.octets()[..], &EVERYBODY.octets(), &length, &[0, 0, 0, ICMPV6]].concat();
    let words = pseudo.chunks(2).chain(message.chunks(2));
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded + (folded >> 16)) as u16)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_frame_is_as_hosts_expect_it() {
        let advert = Advert {
            dev: IfName::new("br-lan").unwrap(),
            prefix: "2001:db8:a0:1::/64".parse().unwrap(),
            preferred: Duration::ZERO,
            valid: Duration::from_secs(7200),
        };
        let frame = frame([2, 0, 0, 0, 0, 7], &advert);
        assert_eq!(frame.len(), 14 + 40 + 48);
        assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 0x86, 0xdd]);
        assert_eq!(frame[18..22], [0, 48, 58, 255]);
        let message = &frame[54..];
        assert_eq!(checksum(message), 0, "a message with its checksum sums up to nothing");
        assert_eq!(message[..2], [134, 0]);
        assert_eq!(message[4..16], [0; 12], "nothing about routers");
        assert_eq!(message[16..20], [3, 4, 64, 0x40]);
        assert_eq!(message[20..28], [0, 0, 0x1c, 0x20, 0, 0, 0, 0]);
        assert_eq!(message[32..], "2001:db8:a0:1::".parse::<Ipv6Addr>().unwrap().octets());
    }
}
