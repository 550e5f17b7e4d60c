//! DHCP (RFC 2131): a question to everybody, and what servers offer. Nothing is taken.

use std::net::Ipv4Addr;

use super::wire::{bytes, checksum, frame};
use crate::engine::doctor::Says;

/// `ETH_P_IP`.
pub(super) const ETHERTYPE: u16 = 0x0800;
const EVERYBODY: [u8; 6] = [0xff; 6];
const UDP: u8 = 17;
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// Where the options begin (RFC 2131 §2), and what stands before them.
const OPTIONS: usize = 240;
const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// Ethernet, with addresses of six bytes.
const ETHERNET: [u8; 2] = [1, 6];
/// Answer to all: nobody has the offered address.
const BROADCAST: [u8; 2] = [0x80, 0];
/// Options (RFC 2132): routers, message type, server identifier, and what is asked for.
const ROUTER: u8 = 3;
const KIND: u8 = 53;
const IDENTIFIER: u8 = 54;
const WANTED: u8 = 55;
const PAD: u8 = 0;
const END: u8 = 255;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
/// The least that some servers take for a message (RFC 951).
const SHORTEST: usize = 300;

/// The frame that asks everybody for an offer.
pub(super) fn question(mac: [u8; 6], xid: u32) -> Vec<u8> {
    let mut message = vec![REQUEST];
    message.extend(ETHERNET);
    message.push(0);
    message.extend(xid.to_be_bytes());
    message.extend([0, 0]);
    message.extend(BROADCAST);
    message.extend([0; 16]);
    message.extend(mac);
    message.resize(OPTIONS - MAGIC.len(), 0);
    message.extend(MAGIC);
    message.extend([KIND, 1, DISCOVER, WANTED, 3, 1, ROUTER, IDENTIFIER, END]);
    message.resize(SHORTEST, PAD);
    let length =
        |more: usize| u16::try_from(message.len() + more).unwrap_or(u16::MAX).to_be_bytes();
    // Without a checksum, which IPv4 allows (RFC 768).
    let udp = [SERVER.to_be_bytes(), length(8), [0; 2]].concat();
    let udp = [&CLIENT.to_be_bytes()[..], &udp].concat();
    let mut ip = vec![0x45, 0x10];
    ip.extend(length(28));
    ip.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    ip.extend(Ipv4Addr::UNSPECIFIED.octets());
    ip.extend(Ipv4Addr::BROADCAST.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip.splice(10..12, sum);
    frame(EVERYBODY, mac, ETHERTYPE, &[ip, udp, message].concat())
}

/// What a frame offers, if it is an answer to that question. Anybody in the LAN may have sent it.
pub(super) fn read(frame: &[u8], mac: [u8; 6], xid: u32) -> Option<Says> {
    let packet = frame.get(14..)?;
    let (version, words) = (packet.first()? >> 4, usize::from(packet.first()? & 0xf));
    let fragment = u16::from_be_bytes(bytes(packet, 6)?) & 0x3fff;
    if version != 4 || words < 5 || fragment != 0 || *packet.get(9)? != UDP {
        return None;
    }
    let total = usize::from(u16::from_be_bytes(bytes(packet, 2)?));
    let udp = packet.get(words * 4..total)?;
    let ports = [0, 2].map(|at| bytes(udp, at).map(u16::from_be_bytes));
    if ports != [Some(SERVER), Some(CLIENT)] {
        return None;
    }
    let message = udp.get(8..usize::from(u16::from_be_bytes(bytes(udp, 4)?)))?;
    let ours = message.first() == Some(&REPLY)
        && bytes(message, 1) == Some(ETHERNET)
        && bytes(message, 4) == Some(xid.to_be_bytes())
        && bytes(message, 28) == Some(mac)
        && bytes(message, OPTIONS - MAGIC.len()) == Some(MAGIC);
    if !ours {
        return None;
    }
    let options = message.get(OPTIONS..)?;
    let kind: [u8; 1] = option(options, KIND)?.try_into().ok()?;
    let server: [u8; 4] = option(options, IDENTIFIER)?.try_into().ok()?;
    let (server, address) = (Ipv4Addr::from(server), Ipv4Addr::from(bytes::<4>(message, 16)?));
    if kind != [OFFER] || server.is_unspecified() || address.is_unspecified() {
        return None;
    }
    let routers = option(options, ROUTER).unwrap_or_default();
    let router = bytes::<4>(routers, 0).map(Ipv4Addr::from).filter(|at| !at.is_unspecified());
    Some(Says::Offers { server, address, router })
}

/// The first option of a kind.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [PAD, rest @ ..] => options = rest,
            [] | [END, ..] | [_] => return None,
            [kind, length, rest @ ..] => {
                let (value, behind) = rest.split_at_checked(usize::from(*length))?;
                if *kind == wanted {
                    return Some(value);
                }
                options = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    const XID: u32 = 0x1234_5678;

    /// An answer with these options.
    fn answer(options: &[u8]) -> Vec<u8> {
        let mut frame = question(MAC, XID);
        frame[14 + 20..14 + 24].copy_from_slice(&[0, 67, 0, 68]);
        let message = 14 + 28;
        frame[message] = REPLY;
        frame[message + 16..message + 20].copy_from_slice(&[192, 168, 1, 23]);
        frame.truncate(message + OPTIONS);
        frame.extend(options);
        let length = u16::try_from(frame.len() - 14).unwrap();
        frame[16..18].copy_from_slice(&length.to_be_bytes());
        frame[14 + 24..14 + 26].copy_from_slice(&(length - 20).to_be_bytes());
        frame
    }

    const GOOD: [u8; 16] = [53, 1, 2, 0, 54, 4, 192, 168, 1, 1, 3, 4, 192, 168, 1, 254];

    #[test]
    fn a_question_is_as_servers_expect_it() {
        let frame = question(MAC, XID);
        assert_eq!(frame.len(), 14 + 20 + 8 + SHORTEST);
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 7, 8, 0]);
        assert_eq!(checksum(&frame[14..34]), 0, "a header with its checksum sums up to nothing");
        assert_eq!(frame[16..18], 328_u16.to_be_bytes());
        assert_eq!(frame[34..42], [0, 68, 0, 67, 1, 52, 0, 0]);
        assert_eq!(frame[42..50], [1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(frame[70..76], MAC);
        assert_eq!(frame[278..285], [0x63, 0x82, 0x53, 0x63, 53, 1, 1]);
    }

    #[test]
    fn an_offer_is_read_and_everything_else_is_none() {
        let offer = |router: Option<[u8; 4]>| Says::Offers {
            server: [192, 168, 1, 1].into(),
            address: [192, 168, 1, 23].into(),
            router: router.map(Ipv4Addr::from),
        };
        assert_eq!(read(&answer(&GOOD), MAC, XID), Some(offer(Some([192, 168, 1, 254]))));
        assert_eq!(read(&answer(&GOOD[..10]), MAC, XID), Some(offer(None)));
        let ends = [&GOOD[..10], &[END], &GOOD[10..]].concat();
        assert_eq!(read(&answer(&ends), MAC, XID), Some(offer(None)), "behind the end is nothing");
        assert_eq!(read(&answer(&GOOD), MAC, XID + 1), None, "another question's");
        assert_eq!(read(&answer(&GOOD), [2, 0, 0, 0, 0, 8], XID), None, "another client's");
        assert_eq!(read(&question(MAC, XID), MAC, XID), None, "the question itself");
        for (what, options) in [
            ("an ACK", &[53, 1, 5, 54, 4, 192, 168, 1, 1][..]),
            ("no server", &[53, 1, 2]),
            ("a server of 3 bytes", &[53, 1, 2, 54, 3, 192, 168, 1]),
            ("a length beyond the end", &[53, 1, 2, 54, 200, 192, 168, 1, 1]),
            ("no length", &[53, 1, 2, 54]),
            ("no kind", &[54, 4, 192, 168, 1, 1]),
            ("nobody", &[53, 1, 2, 54, 4, 0, 0, 0, 0]),
            ("nothing", &[]),
        ] {
            assert_eq!(read(&answer(options), MAC, XID), None, "{what}");
        }
        for (at, byte) in
            [(14, 0x65), (14, 0x44), (14, 0x4f), (20, 0x20), (23, 6), (35, 1), (42, 1), (278, 0)]
        {
            let mut frame = answer(&GOOD);
            frame[at] = byte;
            assert_eq!(read(&frame, MAC, XID), None, "{byte} at {at}");
        }
        let whole = answer(&GOOD);
        assert!((0..whole.len()).all(|len| read(&whole[..len], MAC, XID).is_none()));
    }

    proptest! {
        #[test]
        fn rubbish_gets_an_answer(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            options in proptest::collection::vec(any::<u8>(), 0..80),
            flips in proptest::collection::vec((0usize..340, any::<u8>()), 0..8),
        ) {
            let _ = read(&bytes, MAC, XID);
            let _ = read(&answer(&options), MAC, XID);
            let mut frame = answer(&GOOD);
            for (at, byte) in flips {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = read(&frame, MAC, XID);
        }
    }
}
