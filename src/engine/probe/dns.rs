//! DNS queries and their answers on the wire (RFC 1035 §4): as much as a probe needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::units::Family;

/// Length of a message's header, in bytes (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Longest name on the wire and longest label, in bytes (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
/// Most records that are read from one answer, and most names that an alias may lead through.
const MAX_RECORDS: u16 = 64;
const MAX_ALIASES: usize = 16;

/// `QR`: this is a response; `OPCODE`, which is zero for a query; `RD`: recursion, please.
const FLAG_RESPONSE: u16 = 0x8000;
const MASK_OPCODE: u16 = 0x7800;
const FLAG_RECURSE: u16 = 0x0100;
const MASK_RCODE: u16 = 0x000f;

/// Record types (RFC 1035 §3.2.2, RFC 3596 §2.1) and the Internet class.
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// The question for a name's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    id: u16,
    name: Name,
    kind: u16,
}

/// What a resolver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name has these addresses (at least one).
    Addresses(Vec<IpAddr>),
    /// The resolver works but has none to give: `NXDOMAIN`, `SERVFAIL`, refused, or none of this
    /// IP version.
    NoAddress,
}

impl Query {
    /// The question number `id` for the IPv4 or IPv6 addresses of `name`, or `None` if that is no
    /// name DNS could carry.
    #[must_use]
    pub fn new(id: u16, name: &str, family: Family) -> Option<Self> {
        let kind = match family {
            Family::V4 => TYPE_A,
            Family::V6 => TYPE_AAAA,
        };
        Some(Self { id, name: Name::parse(name)?, kind })
    }

    /// The question as a message that asks for recursion.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.name.0.len() + 4);
        for field in [self.id, FLAG_RECURSE, 1, 0, 0, 0] {
            message.extend_from_slice(&field.to_be_bytes());
        }
        message.extend_from_slice(&self.name.0);
        message.extend_from_slice(&self.kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message
    }

    /// The answer in `message`; `None` if it is none to this question (another number, another
    /// name) or no DNS message at all.
    #[must_use]
    pub fn decode(&self, message: &[u8]) -> Option<Answer> {
        let mut reader = Reader { message, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let (questions, answers) = (reader.u16()?, reader.u16()?);
        let _authorities_and_additionals = (reader.u16()?, reader.u16()?);
        let is_ours = id == self.id
            && flags & (FLAG_RESPONSE | MASK_OPCODE) == FLAG_RESPONSE
            && questions == 1
            && reader.name()? == self.name
            && reader.u16()? == self.kind
            && reader.u16()? == CLASS_IN;
        if !is_ours {
            return None;
        }
        if flags & MASK_RCODE != 0 {
            return Some(Answer::NoAddress);
        }
        let records = Records::read(&mut reader, answers.min(MAX_RECORDS), self.kind)?;
        Some(match records.addresses_of(&self.name) {
            addresses if addresses.is_empty() => Answer::NoAddress,
            addresses => Answer::Addresses(addresses),
        })
    }
}

/// A name as on the wire, uncompressed and in lower case (names compare without case, RFC 4343).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name(Vec<u8>);

impl Name {
    /// Reads `www.example.com`, with or without a dot at its end.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if !plain || label.is_empty() || label.len() > MAX_LABEL {
                return None;
            }
            wire.push(u8::try_from(label.len()).ok()?);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX_NAME).then_some(Self(wire))
    }
}

/// What an answer section holds that matters here.
#[derive(Default)]
struct Records {
    aliases: Vec<(Name, Name)>,
    addresses: Vec<(Name, IpAddr)>,
}

impl Records {
    /// Reads `count` records and keeps the aliases and the addresses of one type.
    fn read(reader: &mut Reader<'_>, count: u16, kind: u16) -> Option<Self> {
        let mut records = Self::default();
        for _ in 0..count {
            let owner = reader.name()?;
            let (record, class) = (reader.u16()?, reader.u16()?);
            let _ttl = reader.bytes(4)?;
            let length = usize::from(reader.u16()?);
            let mut data = *reader;
            let bytes = reader.bytes(length)?;
            if class != CLASS_IN {
                continue;
            }
            if record == TYPE_CNAME {
                // A name may point backwards, so it is read where it stands.
                let alias = data.name()?;
                if data.at != reader.at {
                    return None;
                }
                records.aliases.push((owner, alias));
            } else if record == kind {
                records.addresses.push((owner, address(kind, bytes)?));
            }
        }
        Some(records)
    }

    /// The addresses of a name, through its aliases.
    fn addresses_of(self, name: &Name) -> Vec<IpAddr> {
        let mut name = name;
        for _ in 0..MAX_ALIASES {
            match self.aliases.iter().find(|(owner, _)| owner == name) {
                Some((_, alias)) => name = alias,
                None => break,
            }
        }
        let own = self.addresses.iter().filter(|(owner, _)| owner == name);
        own.map(|&(_, address)| address).collect()
    }
}

fn address(kind: u16, bytes: &[u8]) -> Option<IpAddr> {
    if kind == TYPE_A {
        <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into())
    } else {
        <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
    }
}

/// Reads a message from front to back; every step is `None` at its end.
#[derive(Clone, Copy)]
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// Reads a name and follows its compression pointers (RFC 1035 §4.1.4). Each must lead
    /// further to the front than the one before, so that the walk ends.
    fn name(&mut self) -> Option<Name> {
        let mut wire = Vec::new();
        let mut walker = *self;
        let mut end = None;
        let mut barrier = self.at;
        loop {
            let length = walker.u8()?;
            match length {
                0 => break,
                1..=63 => {
                    wire.push(length);
                    let label = walker.bytes(usize::from(length))?;
                    wire.extend(label.iter().map(u8::to_ascii_lowercase));
                    if wire.len() >= MAX_NAME {
                        return None;
                    }
                }
                0xc0.. => {
                    let low = walker.u8()?;
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    end.get_or_insert(walker.at);
                    if target >= barrier {
                        return None;
                    }
                    barrier = target;
                    walker.at = target;
                }
                // Label types that were never used (RFC 6891 §5).
                64..=0xbf => return None,
            }
        }
        wire.push(0);
        self.at = end.unwrap_or(walker.at);
        Some(Name(wire))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        Query::new(0xbeef, "www.Example.com", Family::V4).unwrap()
    }

    /// A response to [`query`] with `answers` records, which start at byte 33.
    fn response(flags: u16, answers: u16, records: &[u8]) -> Vec<u8> {
        let mut message = query().encode();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[6..8].copy_from_slice(&answers.to_be_bytes());
        message.extend_from_slice(records);
        message
    }

    /// A record with a compressed owner name at `owner`.
    fn record(owner: u16, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = (0xc000 | owner).to_be_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn addresses(texts: &[&str]) -> Option<Answer> {
        Some(Answer::Addresses(texts.iter().map(|t| t.parse().unwrap()).collect()))
    }

    #[test]
    fn the_question_on_the_wire() {
        let golden = b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
            \x03www\x07example\x03com\x00\x00\x01\x00\x01";
        assert_eq!(query().encode(), golden);
        let six = Query::new(1, "a.b.", Family::V6).unwrap().encode();
        assert_eq!(six, b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x1c\0\x01");
    }

    #[test]
    fn the_answer_of_a_real_resolver() {
        // example.com A as a recursive resolver sends it: compressed, and with an EDNS record.
        let golden = b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x01\
            \x07example\x03com\x00\x00\x01\x00\x01\
            \xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\x5d\xb8\xd8\x22\
            \xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\x5d\xb8\xd8\x23\
            \x00\x00\x29\x02\x00\x00\x00\x00\x00\x00\x00";
        let query = Query::new(0x1234, "example.com", Family::V4).unwrap();
        assert_eq!(query.decode(golden), addresses(&["93.184.216.34", "93.184.216.35"]));
    }

    #[test]
    fn aliases_are_followed_in_any_order() {
        // www.example.com → cdn.example.com (its "example.com" is compressed) → 192.0.2.1; an
        // address of somebody else stands between them.
        let mut records = record(16, TYPE_A, &[203, 0, 113, 9]);
        let alias_at = u16::try_from(33 + records.len() + 12).unwrap();
        records.extend(record(12, TYPE_CNAME, b"\x03cdn\xc0\x10"));
        records.extend(record(alias_at, TYPE_A, &[192, 0, 2, 1]));
        assert_eq!(query().decode(&response(0x8180, 3, &records)), addresses(&["192.0.2.1"]));
    }

    #[test]
    fn an_alias_circle_ends() {
        let records = record(12, TYPE_CNAME, b"\xc0\x0c");
        assert_eq!(query().decode(&response(0x8180, 1, &records)), Some(Answer::NoAddress));
    }

    #[test]
    fn a_resolver_without_an_address_still_answers() {
        for flags in [0x8183, 0x8182, 0x8185, 0x8180] {
            let message = response(flags, 0, b"");
            assert_eq!(query().decode(&message), Some(Answer::NoAddress), "{flags:#x}");
        }
    }

    #[test]
    fn six_asks_for_six() {
        let query = Query::new(7, "v6.test", Family::V6).unwrap();
        let mut message = query.encode();
        message[2] = 0x81;
        message[7] = 2;
        message.extend(record(12, TYPE_A, &[192, 0, 2, 1]));
        message.extend(record(12, TYPE_AAAA, &Ipv6Addr::LOCALHOST.octets()));
        assert_eq!(query.decode(&message), addresses(&["::1"]));
    }

    #[test]
    fn what_answers_another_question_is_ignored() {
        let good = response(0x8180, 1, &record(12, TYPE_A, &[192, 0, 2, 1]));
        assert_eq!(query().decode(&good), addresses(&["192.0.2.1"]), "the positive control");
        let spoil = |at: usize, byte: u8| {
            let mut message = good.clone();
            message[at] = byte;
            query().decode(&message)
        };
        assert_eq!(spoil(0, 0xbf), None, "another number");
        assert_eq!(spoil(2, 0x01), None, "a question, not an answer");
        assert_eq!(spoil(2, 0xa9), None, "another opcode");
        assert_eq!(spoil(5, 0), None, "no question in it");
        assert_eq!(spoil(13, b'v'), None, "another name");
        assert_eq!(spoil(30, 28), None, "another type");
        assert_eq!(spoil(32, 3), None, "another class");
        assert_eq!(spoil(13, b'W'), addresses(&["192.0.2.1"]), "case does not matter");
    }

    #[test]
    fn broken_records_are_no_answer() {
        let cases: [(&str, Vec<u8>); 5] = [
            ("a pointer at itself", record(33, TYPE_A, &[192, 0, 2, 1])),
            ("a pointer forward", record(40, TYPE_A, &[192, 0, 2, 1])),
            ("an address of five bytes", record(12, TYPE_A, &[192, 0, 2, 1, 9])),
            ("an alias that leaves its record", record(12, TYPE_CNAME, b"\x09abc")),
            ("an alias with a tail", record(12, TYPE_CNAME, b"\xc0\x0c\x00")),
        ];
        for (what, records) in cases {
            assert_eq!(query().decode(&response(0x8180, 1, &records)), None, "{what}");
        }
        assert_eq!(query().decode(&response(0x8180, 1, b"")), None, "fewer than promised");
    }

    #[test]
    fn names_that_dns_cannot_carry_are_refused() {
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        for bad in ["", ".", "a..b", ".a", "a b", "naïve.test", &"a".repeat(64), &long] {
            assert_eq!(Query::new(1, bad, Family::V4), None, "{bad:?}");
        }
        for good in ["localhost", "_dmarc.example.com", "xn--nave-6pa.test", &label] {
            assert!(Query::new(1, good, Family::V4).is_some(), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = query().decode(&bytes);
        }

        #[test]
        fn arbitrary_records_never_panic(
            count in any::<u16>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Some(Answer::Addresses(found)) = query().decode(&response(0x8180, count, &bytes)) {
                prop_assert!(!found.is_empty() && found.len() <= usize::from(MAX_RECORDS));
            }
        }

        /// Bytes that look like names: pointers to everywhere, short labels.
        #[test]
        fn arbitrary_pointers_end(
            bytes in proptest::collection::vec(
                prop_oneof![Just(0xc0_u8), 0_u8..80, Just(1), Just(0)], 0..300),
            at in 0_usize..300,
        ) {
            let mut reader = Reader { message: &bytes, at };
            if let Some(name) = reader.name() {
                prop_assert!(name.0.len() <= MAX_NAME);
                prop_assert!(reader.at > at && reader.at <= bytes.len());
            }
        }

        #[test]
        fn every_flipped_bit_is_survived(at in 0_usize..49, bit in 0_u8..8) {
            let mut message = response(0x8180, 1, &record(12, TYPE_A, &[192, 0, 2, 1]));
            message[at] ^= 1 << bit;
            let _ = query().decode(&message);
        }
    }
}
