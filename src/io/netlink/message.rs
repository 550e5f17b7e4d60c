//! The rtnetlink messages that we speak, and no others.
//!
//! netlink-packet-route knows all that there are. Its enum would bring every kind of tunnel, bond
//! and traffic class into the program, most of them by way of links; here links are read by our
//! own reader, and routes, rules and addresses by that crate.

use netlink_packet_core::{DecodeError, Emitable, Parseable};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use nix::libc;

use super::attrs::{Attributes, Attrs};
use super::frame::Frame;

/// A message to or from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    NewLink(LinkMessage),
    DelLink(LinkMessage),
    GetLink(LinkMessage),
    NewAddress(AddressMessage),
    DelAddress(AddressMessage),
    GetAddress(AddressMessage),
    NewRoute(RouteMessage),
    DelRoute(RouteMessage),
    GetRoute(RouteMessage),
    NewRule(RuleMessage),
    DelRule(RuleMessage),
    GetRule(RuleMessage),
}

/// A link: `struct ifinfomsg` (linux/rtnetlink.h), of which the device type and the change mask
/// are left out, and its attributes as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkMessage {
    /// `ifi_family`; `AF_UNSPEC`, or `AF_BRIDGE` where a bridge speaks about its ports.
    pub(super) family: u8,
    pub(super) index: u32,
    /// `ifi_flags`, the `IFF_*` of linux/if.h
    pub(super) flags: u32,
    attributes: Attrs,
}

/// The length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;

impl LinkMessage {
    /// The question for one link.
    pub(super) fn of(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    /// The question for every link, without the counters.
    pub(super) fn all() -> Self {
        let mask = libc::RTEXT_FILTER_SKIP_STATS.to_ne_bytes();
        Self { attributes: Attrs::new().bytes(libc::IFLA_EXT_MASK, &mask), ..Self::default() }
    }

    /// What it says about the link (`IFLA_*` of linux/if_link.h).
    pub(super) fn attributes(&self) -> Attributes<'_> {
        Attributes(self.attributes.as_bytes())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_at_checked(LINK_HEADER)?;
        Some(Self {
            family: *header.first()?,
            index: u32::from_ne_bytes(*header.get(4..)?.first_chunk()?),
            flags: u32::from_ne_bytes(*header.get(8..)?.first_chunk()?),
            attributes: Attrs::from(attributes.to_vec()),
        })
    }
}

impl Emitable for LinkMessage {
    fn buffer_len(&self) -> usize {
        LINK_HEADER + self.attributes.as_bytes().len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(LINK_HEADER);
        header.fill(0);
        header[0] = self.family;
        header[4..8].copy_from_slice(&self.index.to_ne_bytes());
        header[8..12].copy_from_slice(&self.flags.to_ne_bytes());
        attributes.copy_from_slice(self.attributes.as_bytes());
    }
}

impl Message {
    /// What stands in the header (`RTM_*`).
    pub(super) const fn kind(&self) -> u16 {
        match self {
            Self::NewLink(_) => libc::RTM_NEWLINK,
            Self::DelLink(_) => libc::RTM_DELLINK,
            Self::GetLink(_) => libc::RTM_GETLINK,
            Self::NewAddress(_) => libc::RTM_NEWADDR,
            Self::DelAddress(_) => libc::RTM_DELADDR,
            Self::GetAddress(_) => libc::RTM_GETADDR,
            Self::NewRoute(_) => libc::RTM_NEWROUTE,
            Self::DelRoute(_) => libc::RTM_DELROUTE,
            Self::GetRoute(_) => libc::RTM_GETROUTE,
            Self::NewRule(_) => libc::RTM_NEWRULE,
            Self::DelRule(_) => libc::RTM_DELRULE,
            Self::GetRule(_) => libc::RTM_GETRULE,
        }
    }

    /// What follows the header.
    pub(super) fn body(&self) -> Vec<u8> {
        let body: &dyn Emitable = match self {
            Self::NewLink(m) | Self::DelLink(m) | Self::GetLink(m) => m,
            Self::NewAddress(m) | Self::DelAddress(m) | Self::GetAddress(m) => m,
            Self::NewRoute(m) | Self::DelRoute(m) | Self::GetRoute(m) => m,
            Self::NewRule(m) | Self::DelRule(m) | Self::GetRule(m) => m,
        };
        let mut bytes = vec![0; body.buffer_len()];
        body.emit(&mut bytes);
        bytes
    }

    /// A message of the kernel's, if it is one that we understand.
    pub(super) fn of(frame: Frame<'_>) -> Option<Self> {
        let read = Self::parse(frame.kind, frame.body);
        read.inspect_err(|error| tracing::debug!(%error, "a netlink message is skipped")).ok()
    }

    fn parse(kind: u16, body: &[u8]) -> Result<Self, DecodeError> {
        let link = || {
            LinkMessage::parse(body)
                .ok_or_else(|| DecodeError::buffer_too_small(body.len(), LINK_HEADER))
        };
        Ok(match kind {
            libc::RTM_NEWLINK => Self::NewLink(link()?),
            libc::RTM_DELLINK => Self::DelLink(link()?),
            libc::RTM_NEWADDR => Self::NewAddress(AddressMessage::parse(body)?),
            libc::RTM_DELADDR => Self::DelAddress(AddressMessage::parse(body)?),
            libc::RTM_NEWROUTE => Self::NewRoute(RouteMessage::parse(body)?),
            libc::RTM_DELROUTE => Self::DelRoute(RouteMessage::parse(body)?),
            libc::RTM_NEWRULE => Self::NewRule(RuleMessage::parse(body)?),
            libc::RTM_DELRULE => Self::DelRule(RuleMessage::parse(body)?),
            other => return Err(format!("not asked for: message type {other}").into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NetlinkMessage, NetlinkSerializable};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags};

    use super::*;

    #[test]
    fn questions_for_links_are_those_of_the_crate() {
        let mut all = netlink_packet_route::link::LinkMessage::default();
        let skip = LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]);
        all.attributes.push(skip);
        let mut one = netlink_packet_route::link::LinkMessage::default();
        one.header.index = 7;
        for (ours, theirs) in [(LinkMessage::all(), all), (LinkMessage::of(7), one)] {
            let ours = Message::GetLink(ours);
            let theirs = RouteNetlinkMessage::GetLink(theirs);
            assert_eq!(ours.kind(), theirs.message_type());
            let mut golden = vec![0; NetlinkSerializable::buffer_len(&theirs)];
            theirs.serialize(&mut golden);
            assert_eq!(ours.body(), golden);
        }
    }

    #[test]
    fn a_link_is_read_as_the_crate_writes_it() {
        let mut link = netlink_packet_route::link::LinkMessage::default();
        link.header.index = 3;
        link.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        link.attributes.push(LinkAttribute::IfName("wan0".into()));
        link.attributes.push(LinkAttribute::Mtu(1500));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::DelLink(link));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let read = Message::parse(libc::RTM_DELLINK, &bytes[16..]).unwrap();
        let Message::DelLink(link) = read else {
            panic!("{read:?}");
        };
        assert_eq!((link.family, link.index, link.flags), (0, 3, 0x1_0001));
        assert_eq!(link.attributes().text(libc::IFLA_IFNAME), Some("wan0"));
        let mtu = link.attributes().get(libc::IFLA_MTU);
        assert_eq!(mtu, Some(&1500_u32.to_ne_bytes()[..]));
    }

    #[test]
    fn what_is_cut_short_or_was_not_asked_for_is_refused() {
        let headers = [
            (libc::RTM_NEWLINK, 16),
            (libc::RTM_NEWADDR, 8),
            (libc::RTM_DELROUTE, 12),
            (libc::RTM_NEWRULE, 12),
        ];
        for (kind, length) in headers {
            let read = |length| Message::parse(kind, &vec![0; length]);
            assert!(read(length).is_ok(), "{kind}");
            assert!(read(length - 1).is_err(), "{kind}");
        }
        assert!(Message::parse(libc::RTM_NEWNEIGH, &[0; 64]).is_err());
    }
}
