//! Router advertisements (RFC 4861): a question to all routers, and what they say.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::wire::{bytes, checksum, frame};
use crate::engine::doctor::Says;

/// `ETH_P_IPV6`.
pub(super) const ETHERTYPE: u16 = 0x86dd;
/// All routers on the link (RFC 4291 §2.7.1), and their Ethernet address (RFC 2464 §7).
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ROUTERS_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 2];
const ICMPV6: u8 = 58;
/// Anything less has come through a router, and is not believed (RFC 4861 §6.1.2).
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Where the message begins in a frame, and its options in it.
const MESSAGE: usize = 14 + 40;
const OPTIONS: usize = 16;
/// Option 1, one unit of eight bytes: who asks (RFC 4861 §4.6.1).
const SOURCE: [u8; 2] = [1, 1];
/// Option 3, four units of eight bytes (RFC 4861 §4.6.2).
const PREFIX: [u8; 2] = [3, 4];
/// Prefixes that are told of one router.
const MOST_PREFIXES: usize = 4;

/// The frame that asks all routers, from an address of this box on the link; from nobody (RFC 4861 §4.1) the answer is to all.
pub(super) fn question(mac: [u8; 6], source: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    if !source.is_unspecified() {
        message.extend(SOURCE);
        message.extend(mac);
    }
    // Eight or sixteen bytes.
    let length = message.len() as u8;
    let ends = [source.octets(), ROUTERS.octets()].concat();
    let pseudo = [&ends, &[0, 0, 0, length, 0, 0, 0, ICMPV6][..], &message].concat();
    let sum = checksum(&pseudo).to_be_bytes();
    message.splice(2..4, sum);
    let header = [0x60, 0, 0, 0, 0, length, ICMPV6, HOP_LIMIT];
    frame(ROUTERS_MAC, mac, ETHERTYPE, &[&header[..], &ends, &message].concat())
}

/// What a frame advertises, if it is as a host would believe it. Checksums are not looked at: on its way between virtual devices
/// a packet has none yet.
pub(super) fn read(frame: &[u8]) -> Option<Says> {
    let header = frame.get(14..MESSAGE)?;
    let router = Ipv6Addr::from(bytes::<16>(header, 8)?);
    let is_one = header.first()? >> 4 == 6
        && *header.get(6)? == ICMPV6
        && *header.get(7)? == HOP_LIMIT
        && router.is_unicast_link_local();
    let length = usize::from(u16::from_be_bytes(bytes(header, 4)?));
    let message = frame.get(MESSAGE..MESSAGE.checked_add(length)?)?;
    if !is_one || bytes(message, 0) != Some([ADVERTISEMENT, 0]) {
        return None;
    }
    let seconds = u16::from_be_bytes(bytes(message, 6)?);
    let prefixes = prefixes(message.get(OPTIONS..)?)?;
    Some(Says::Advertises { router, seconds, prefixes })
}

/// The prefixes among the options; `None` if these are none.
fn prefixes(mut options: &[u8]) -> Option<Vec<Ipv6Net>> {
    let mut found = Vec::new();
    while let [_, units, ..] = options {
        // A length of nothing makes the whole message none (RFC 4861 §4.6).
        let (option, rest) = options.split_at_checked(usize::from(*units) * 8)?;
        if option.is_empty() {
            return None;
        }
        if bytes(option, 0) == Some(PREFIX)
            && let Some(address) = bytes::<16>(option, 16)
            && let Ok(net) = Ipv6Net::new(Ipv6Addr::from(address), *option.get(2)?)
            && found.len() < MOST_PREFIXES
        {
            found.push(net.trunc());
        }
        options = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    /// An advertisement from fe80::1 with these options.
    fn advert(options: &[u8]) -> Vec<u8> {
        let mut frame = question(MAC, Ipv6Addr::UNSPECIFIED);
        frame.truncate(MESSAGE);
        frame[22..38].copy_from_slice(&"fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        frame.extend([ADVERTISEMENT, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        frame.extend(options);
        let length = u16::try_from(frame.len() - MESSAGE).unwrap();
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        frame
    }

    fn prefix(length: u8) -> Vec<u8> {
        let mut option = vec![3, 4, length, 0xc0];
        option.resize(16, 1);
        option.extend("2001:db8:1:2::".parse::<Ipv6Addr>().unwrap().octets());
        option
    }

    fn says(prefixes: &[&str]) -> Option<Says> {
        let prefixes = prefixes.iter().map(|net| net.parse().unwrap()).collect();
        Some(Says::Advertises { router: "fe80::1".parse().unwrap(), seconds: 0x0708, prefixes })
    }

    #[test]
    fn a_question_is_as_routers_expect_it() {
        for (source, length) in [("::", 8_u8), ("fe80::7", 16)] {
            let frame = question(MAC, source.parse().unwrap());
            assert_eq!(frame.len(), MESSAGE + usize::from(length));
            assert_eq!(frame[..14], [0x33, 0x33, 0, 0, 0, 2, 2, 0, 0, 0, 0, 7, 0x86, 0xdd]);
            assert_eq!(frame[18..22], [0, length, 58, 255]);
            let pseudo = [&frame[22..54], &[0, 0, 0, length, 0, 0, 0, 58], &frame[54..]].concat();
            assert_eq!(checksum(&pseudo), 0, "with its checksum it sums up to nothing");
            assert_eq!(frame[54], SOLICITATION);
            assert!(length == 8 || frame[62..] == [1, 1, 2, 0, 0, 0, 0, 7]);
        }
    }

    #[test]
    fn an_advertisement_is_read_and_everything_else_is_none() {
        let mtu = [5, 1, 0, 0, 0, 0, 5, 220];
        assert_eq!(read(&advert(&[])), says(&[]));
        let options = [&mtu[..], &prefix(64)].concat();
        assert_eq!(read(&advert(&options)), says(&["2001:db8:1:2::/64"]));
        assert_eq!(read(&advert(&prefix(200))), says(&[]), "no such prefix");
        let four = read(&advert(&prefix(64).repeat(9)));
        assert!(matches!(four, Some(Says::Advertises { prefixes, .. }) if prefixes.len() == 4));
        for (what, options) in [
            ("a length of nothing", &[3, 0, 0, 0, 0, 0, 0, 0][..]),
            ("a length beyond the end", &[3, 200, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(read(&advert(options)), None, "{what}");
        }
        for (at, byte, what) in [
            (14, 0x40, "IPv4"),
            (20, 17, "UDP"),
            (21, 64, "it came through a router"),
            (22, 0x20, "not from the link"),
            (54, 133, "a solicitation"),
            (55, 1, "another code"),
            (18, 9, "longer than the frame"),
            (19, 4, "too short"),
        ] {
            let mut frame = advert(&[]);
            frame[at] = byte;
            assert_eq!(read(&frame), None, "{what}");
        }
        let whole = advert(&prefix(64));
        assert!((0..whole.len()).all(|len| read(&whole[..len]).is_none()));
    }

    proptest! {
        #[test]
        fn rubbish_gets_an_answer(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            options in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let _ = read(&bytes);
            let _ = read(&advert(&options));
        }
    }
}
