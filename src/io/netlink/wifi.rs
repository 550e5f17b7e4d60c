//! Which Wi-Fi network a device is in, from nl80211 (linux/genetlink.h, linux/nl80211.h).

use super::ask::Asker;
use super::attrs::{Attributes, Attrs};
use super::frame::DUMP;
use crate::units::IfIndex;

const PROTOCOL_GENERIC: isize = 16;
/// `GENL_ID_CTRL`: who knows the numbers of the others.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NL80211_CMD_GET_INTERFACE`, `NL80211_ATTR_IFINDEX`, `NL80211_ATTR_SSID`.
const GET_INTERFACE: u8 = 5;
const IFINDEX: u16 = 3;
const SSID: u16 = 52;
/// `NL80211_CMD_GET_SCAN`, `NL80211_ATTR_BSS`, and in it `NL80211_BSS_INFORMATION_ELEMENTS`,
/// `NL80211_BSS_STATUS` with `NL80211_BSS_STATUS_ASSOCIATED`.
const GET_SCAN: u8 = 32;
const NETWORK: u16 = 47;
const ELEMENTS: u16 = 6;
const STATUS: u16 = 9;
const ASSOCIATED: u32 = 1;
/// The element of a beacon that is the network's name (IEEE 802.11-2020, table 9-92).
const NAME_ELEMENT: u8 = 0;
const HEADER: usize = 4;

/// nl80211, once a Wi-Fi device made it necessary.
#[derive(Debug, Default)]
pub(super) struct Wifi(Option<(Asker, u16)>);

impl Wifi {
    /// The network that a Wi-Fi device is associated with, if any.
    pub(super) fn ssid(&mut self, index: IfIndex) -> Option<String> {
        if self.0.is_none() {
            self.0 = open();
        }
        let (asker, family) = self.0.as_mut()?;
        let which = Attrs::new().bytes(IFINDEX, &index.0.to_ne_bytes());
        let answer = asker.ask(*family, 0, &request(GET_INTERFACE, &which)).ok()?;
        // Some kernels (6.1 is one) do not name it here, only among the networks that are in sight.
        ssid(&answer).or_else(|| {
            let seen = asker.ask_all(*family, DUMP, &request(GET_SCAN, &which)).ok()?;
            seen.iter().find_map(|network| joined(network))
        })
    }
}

fn open() -> Option<(Asker, u16)> {
    let mut asker = Asker::open(PROTOCOL_GENERIC).ok()?;
    let who = Attrs::new().text(FAMILY_NAME, "nl80211");
    let answer = asker.ask(CONTROLLER, 0, &request(GET_FAMILY, &who)).ok()?;
    let id = Attributes(answer.get(HEADER..)?).get(FAMILY_ID)?;
    Some((asker, u16::from_ne_bytes(id.try_into().ok()?)))
}

fn request(command: u8, attributes: &Attrs) -> Vec<u8> {
    [&[command, 1, 0, 0], attributes.as_bytes()].concat()
}

/// A network's name is up to 32 bytes of any kind (IEEE 802.11-2020, 9.4.2.2); nearly always it is text.
pub(super) fn ssid(answer: &[u8]) -> Option<String> {
    named(Attributes(answer.get(HEADER..)?).get(SSID)?)
}

fn named(name: &[u8]) -> Option<String> {
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The name of a network in sight, if it is the one that the device is in.
pub(super) fn joined(answer: &[u8]) -> Option<String> {
    let network = Attributes(answer.get(HEADER..)?).get(NETWORK)?;
    if Attributes(network).ne32(STATUS)? != ASSOCIATED {
        return None;
    }
    let mut elements = Attributes(network).get(ELEMENTS)?;
    while let [kind, length, rest @ ..] = elements {
        let (value, others) = rest.split_at_checked(usize::from(*length))?;
        if *kind == NAME_ELEMENT {
            return named(value);
        }
        elements = others;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(attributes: &Attrs) -> Vec<u8> {
        request(7, attributes)
    }

    #[test]
    fn the_name_is_read_whatever_it_is() {
        let named = |name: &[u8]| ssid(&answer(&Attrs::new().be32(9, 1).bytes(SSID, name)));
        assert_eq!(named(b"Anna's phone").as_deref(), Some("Anna's phone"));
        assert_eq!(named("Büro".as_bytes()).as_deref(), Some("Büro"));
        assert_eq!(named(&[0xff, b'a']).as_deref(), Some("\u{fffd}a"));
        assert_eq!(named(b""), None);
        assert_eq!(ssid(&answer(&Attrs::new())), None);
        assert_eq!(ssid(&[]), None);
    }

    #[test]
    fn the_network_that_it_is_in_is_told_from_others() {
        let in_sight = |status: Option<u32>, elements: &[u8]| {
            let network = Attrs::new().bytes(1, &[2, 0, 0, 0, 1, 0]).bytes(ELEMENTS, elements);
            let network = match status {
                Some(status) => network.bytes(STATUS, &status.to_ne_bytes()),
                None => network,
            };
            joined(&answer(&Attrs::new().be32(9, 1).nest(NETWORK, &network)))
        };
        let beacon = b"\x01\x02\x82\x84\0\x04Anna\x03\x01\x06";
        assert_eq!(in_sight(Some(ASSOCIATED), beacon).as_deref(), Some("Anna"));
        assert_eq!(in_sight(Some(0), beacon), None, "only authenticated");
        assert_eq!(in_sight(None, beacon), None);
        assert_eq!(in_sight(Some(ASSOCIATED), b"\0\0"), None, "a hidden name");
        assert_eq!(in_sight(Some(ASSOCIATED), b"\x01\x02\x82\x84\0\x05Anna"), None, "cut off");
        assert_eq!(joined(&[]), None);
    }

    #[test]
    fn a_request_has_the_kernels_layout() {
        let bytes = request(GET_FAMILY, &Attrs::new().text(FAMILY_NAME, "nl80211"));
        assert_eq!(bytes, *b"\x03\x01\0\0\x0c\0\x02\0nl80211\0");
    }

    /// Generic netlink itself is in every kernel.
    #[test]
    fn the_controller_is_asked_for_real() {
        let mut asker = Asker::open(PROTOCOL_GENERIC).unwrap();
        let mut family = |name: &str| {
            let who = Attrs::new().text(FAMILY_NAME, name);
            let answer = asker.ask(CONTROLLER, 0, &request(GET_FAMILY, &who)).ok()?;
            Attributes(answer.get(HEADER..)?).get(FAMILY_ID)?.first_chunk().copied()
        };
        assert_eq!(family("nlctrl").map(u16::from_ne_bytes), Some(CONTROLLER));
        assert_eq!(family("nobody"), None);
    }
}
