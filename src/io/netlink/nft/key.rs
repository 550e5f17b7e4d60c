//! Set keys and elements as bytes, both ways.
//!
//! A single prefix is two elements, its first address and the one behind its last (the kernel's
//! red-black tree); a prefix inside a concatenation is one element with a first and a last key (the
//! kernel's pipapo).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::nfnl::{Attributes, Attrs};
use super::expr::{ifname, nfproto, verdict_data};
use super::uapi::{
    BYTEORDER_BIG, BYTEORDER_HOST, DATA_VALUE, DATA_VERDICT, ELEM_DATA, ELEM_FLAGS,
    ELEM_INTERVAL_END, ELEM_KEY, ELEM_KEY_END, LIST_ELEM, NF_ACCEPT, NF_DROP, NFPROTO_IPV4,
    NFPROTO_IPV6, NFT_GOTO, NFT_JUMP, NFT_RETURN, VERDICT_CHAIN, VERDICT_CODE,
};
use crate::engine::dataplane::nft::{Key, KeyPart, KeyType, Set, Value, Verdict};
use crate::units::{Family, IfIndex, IfName};

/// An element: its key, and what it maps to.
pub(super) type Element = (Key, Option<Value>);

/// A type of key as the kernel and `nft` know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bytes of a value.
    pub(super) len: usize,
    /// `nft`'s number of the type (its `datatype.h`); the kernel only stores it.
    pub(super) datatype: u32,
    /// Byte order of a value, for `nft`.
    pub(super) byteorder: u32,
}

/// How values of a type are laid out.
pub(super) const fn layout(key: KeyType) -> Layout {
    let (len, datatype, byteorder) = match key {
        KeyType::IfName => (16, 41, BYTEORDER_HOST),
        KeyType::IfIndex => (4, 20, BYTEORDER_HOST),
        KeyType::Ipv4 => (4, 7, BYTEORDER_BIG),
        KeyType::Ipv6 => (16, 8, BYTEORDER_BIG),
        KeyType::Family => (1, 2, BYTEORDER_HOST),
        KeyType::Mark => (4, 19, BYTEORDER_HOST),
    };
    Layout { len, datatype, byteorder }
}

/// Room for a value in a concatenation: whole registers of four bytes.
pub(super) const fn padded(key: KeyType) -> usize {
    layout(key).len.next_multiple_of(4)
}

/// Whether elements of the set carry a first and a last key.
pub(super) const fn is_concat_interval(set: &Set) -> bool {
    set.interval && set.key.len() > 1
}

/// An element as one or two entries of `NFTA_SET_ELEM_LIST_ELEMENTS`; `None` if the key does not
/// fit the set.
pub(super) fn element(set: &Set, key: &Key, maps_to: Option<&Value>) -> Option<Attrs> {
    let (first, last) = range(set, key)?;
    let mut entry = Attrs::new().nest(ELEM_KEY, &value(&first));
    if is_concat_interval(set) {
        entry = entry.nest(ELEM_KEY_END, &value(&last));
    }
    match maps_to {
        Some(Value::Verdict(verdict)) => entry = entry.nest(ELEM_DATA, &verdict_data(verdict)),
        Some(Value::Mss(bytes)) => entry = entry.nest(ELEM_DATA, &value(&bytes.to_be_bytes())),
        Some(Value::Address(IpAddr::V4(addr))) => {
            entry = entry.nest(ELEM_DATA, &value(&addr.octets()));
        }
        Some(Value::Address(IpAddr::V6(addr))) => {
            entry = entry.nest(ELEM_DATA, &value(&addr.octets()));
        }
        None => {}
    }
    let list = Attrs::new().nest(LIST_ELEM, &entry);
    if !set.interval || is_concat_interval(set) {
        return Some(list);
    }
    Some(match successor(&last) {
        Some(end) => {
            let end = Attrs::new().nest(ELEM_KEY, &value(&end));
            list.nest(LIST_ELEM, &end.be32(ELEM_FLAGS, ELEM_INTERVAL_END))
        }
        // A prefix up to the last address has no end.
        None => list,
    })
}

/// The first and last value that a key stands for.
fn range(set: &Set, key: &Key) -> Option<(Vec<u8>, Vec<u8>)> {
    if key.len() != set.key.len() {
        return None;
    }
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (part, kind) in key.iter().zip(&set.key) {
        let (low, high) = part_range(part, *kind)?;
        if !set.interval && low != high {
            return None;
        }
        for (to, from) in [(&mut first, low), (&mut last, high)] {
            to.extend(from);
            if key.len() > 1 {
                to.resize(to.len().next_multiple_of(4), 0);
            }
        }
    }
    Some((first, last))
}

fn part_range(part: &KeyPart, kind: KeyType) -> Option<(Vec<u8>, Vec<u8>)> {
    let exact = |bytes: Vec<u8>| Some((bytes.clone(), bytes));
    match (part, kind) {
        (KeyPart::IfName(name), KeyType::IfName) => exact(ifname(name).to_vec()),
        (KeyPart::IfIndex(index), KeyType::IfIndex) => exact(index.0.to_ne_bytes().to_vec()),
        (KeyPart::Family(family), KeyType::Family) => exact(vec![nfproto(*family)]),
        (KeyPart::Mark(mark), KeyType::Mark) => exact(mark.to_ne_bytes().to_vec()),
        (KeyPart::Net(IpNet::V4(n)), KeyType::Ipv4) => {
            Some((n.network().octets().to_vec(), n.broadcast().octets().to_vec()))
        }
        (KeyPart::Net(IpNet::V6(n)), KeyType::Ipv6) => {
            Some((n.network().octets().to_vec(), n.broadcast().octets().to_vec()))
        }
        _ => None,
    }
}

/// The number behind this one, big endian, of the same length.
fn successor(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = bytes.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, overflow) = byte.overflowing_add(1);
        *byte = sum;
        if !overflow {
            return Some(next);
        }
    }
    None
}

/// The number before this one.
fn predecessor(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut previous = bytes.to_vec();
    for byte in previous.iter_mut().rev() {
        let (difference, overflow) = byte.overflowing_sub(1);
        *byte = difference;
        if !overflow {
            return Some(previous);
        }
    }
    None
}

fn value(bytes: &[u8]) -> Attrs {
    Attrs::new().bytes(DATA_VALUE, bytes)
}

/// An element as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawElement {
    first: Vec<u8>,
    last: Option<Vec<u8>>,
    closes: bool,
    maps_to: Option<Value>,
}

/// Reads an entry of `NFTA_SET_ELEM_LIST_ELEMENTS`.
pub(super) fn read(entry: Attributes<'_>) -> Option<RawElement> {
    let data = entry.nested(ELEM_DATA);
    let maps_to = match (data.get(DATA_VERDICT), data.get(DATA_VALUE)) {
        (Some(verdict), _) => Some(Value::Verdict(read_verdict(Attributes(verdict))?)),
        (None, Some(bytes)) => Some(read_value(bytes)?),
        (None, None) => None,
    };
    Some(RawElement {
        first: entry.nested(ELEM_KEY).get(DATA_VALUE)?.to_vec(),
        last: entry.nested(ELEM_KEY_END).get(DATA_VALUE).map(<[u8]>::to_vec),
        closes: entry.be32(ELEM_FLAGS).unwrap_or(0) & ELEM_INTERVAL_END != 0,
        maps_to,
    })
}

/// What a map's element stands for, told by its length.
fn read_value(bytes: &[u8]) -> Option<Value> {
    match bytes.len() {
        4 => Some(Value::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into())),
        16 => Some(Value::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())),
        _ => Some(Value::Mss(u16::from_be_bytes(bytes.try_into().ok()?))),
    }
}

fn read_verdict(data: Attributes<'_>) -> Option<Verdict> {
    let chain = || data.text(VERDICT_CHAIN).map(str::to_owned);
    match data.be32(VERDICT_CODE)?.cast_signed() {
        NF_ACCEPT => Some(Verdict::Accept),
        NF_DROP => Some(Verdict::Drop),
        NFT_RETURN => Some(Verdict::Return),
        NFT_JUMP => Some(Verdict::Jump(chain()?)),
        NFT_GOTO => Some(Verdict::Goto(chain()?)),
        _ => None,
    }
}

/// The elements of a set as keys; `None` if somebody put something there that no key of ours
/// stands for, such as a range that is not a prefix.
pub(super) fn keys(set: &Set, mut raw: Vec<RawElement>) -> Option<Vec<Element>> {
    if !set.interval || is_concat_interval(set) {
        let one = |e: RawElement| {
            let last = e.last.unwrap_or_else(|| e.first.clone());
            // Only ranges end elsewhere.
            let whole = set.interval || last == e.first;
            Some((whole.then(|| key(set, &e.first, &last))??, e.maps_to))
        };
        return raw.into_iter().map(one).collect();
    }
    // An end and the next start may share an address: the end stands before it.
    raw.sort_by(|a, b| (&a.first, !a.closes).cmp(&(&b.first, !b.closes)));
    let mut found = Vec::new();
    let mut rest = raw.into_iter().skip_while(|e| e.closes).peekable();
    while let Some(start) = rest.next() {
        let last = match rest.next_if(|e| e.closes) {
            Some(end) => predecessor(&end.first)?,
            None if rest.peek().is_none() => vec![u8::MAX; start.first.len()],
            None => return None,
        };
        found.push((key(set, &start.first, &last)?, start.maps_to));
    }
    Some(found)
}

fn key(set: &Set, first: &[u8], last: &[u8]) -> Option<Key> {
    let single = set.key.len() == 1;
    let mut at = 0;
    let mut parts = Vec::new();
    for kind in &set.key {
        let len = layout(*kind).len;
        parts.push(part(*kind, first.get(at..at + len)?, last.get(at..at + len)?)?);
        at += if single { len } else { padded(*kind) };
    }
    Some(parts)
}

fn part(kind: KeyType, first: &[u8], last: &[u8]) -> Option<KeyPart> {
    match kind {
        KeyType::Ipv4 => {
            let ends: [[u8; 4]; 2] = [first.try_into().ok()?, last.try_into().ok()?];
            let [a, b] = ends.map(|e| IpAddr::V4(Ipv4Addr::from(e)));
            prefix(
                a,
                b,
                (u32::from_be_bytes(ends[0]) ^ u32::from_be_bytes(ends[1])).leading_zeros(),
            )
        }
        KeyType::Ipv6 => {
            let ends: [[u8; 16]; 2] = [first.try_into().ok()?, last.try_into().ok()?];
            let [a, b] = ends.map(|e| IpAddr::V6(Ipv6Addr::from(e)));
            prefix(
                a,
                b,
                (u128::from_be_bytes(ends[0]) ^ u128::from_be_bytes(ends[1])).leading_zeros(),
            )
        }
        _ if first != last => None,
        KeyType::IfName => {
            let end = first.iter().position(|b| *b == 0).unwrap_or(first.len());
            Some(KeyPart::IfName(IfName::new(std::str::from_utf8(&first[..end]).ok()?)?))
        }
        KeyType::Family => match *first.first()? {
            NFPROTO_IPV4 => Some(KeyPart::Family(Family::V4)),
            NFPROTO_IPV6 => Some(KeyPart::Family(Family::V6)),
            _ => None,
        },
        KeyType::IfIndex => {
            Some(KeyPart::IfIndex(IfIndex(u32::from_ne_bytes(first.try_into().ok()?))))
        }
        KeyType::Mark => Some(KeyPart::Mark(u32::from_ne_bytes(first.try_into().ok()?))),
    }
}

/// The prefix from `first` to `last`, which have `common` leading bits in common.
fn prefix(first: IpAddr, last: IpAddr, common: u32) -> Option<KeyPart> {
    let net = IpNet::new(first, u8::try_from(common).ok()?).ok()?;
    (net.network() == first && net.broadcast() == last).then_some(KeyPart::Net(net))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> KeyPart {
        KeyPart::Net(text.parse().unwrap())
    }

    fn name(text: &str) -> KeyPart {
        KeyPart::IfName(IfName::new(text).unwrap())
    }

    /// Writes elements as messages do and reads them back as listings do.
    fn round(set: &Set, keys_in: &[Key]) -> Option<Vec<Element>> {
        let mut raw = Vec::new();
        for key in keys_in {
            for (_, entry) in Attributes(element(set, key, None)?.as_bytes()) {
                raw.push(read(Attributes(entry))?);
            }
        }
        raw.reverse();
        keys(set, raw)
    }

    #[test]
    fn a_single_prefix_is_its_first_address_and_the_one_behind() {
        let set = Set::prefixes(&[KeyType::Ipv4]);
        let bytes = element(&set, &vec![net("10.0.0.0/24")], None).unwrap();
        #[rustfmt::skip]
        let golden = [
            16, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 0, 0,
            24, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 10, 0, 1, 0, 8, 0, 3, 0, 0, 0, 0, 1,
        ];
        assert_eq!(bytes.as_bytes(), golden);
    }

    #[test]
    fn keys_come_back() {
        let single = Set::prefixes(&[KeyType::Ipv4]);
        let edges = [
            vec![net("0.0.0.0/8")],
            vec![net("10.0.0.0/24")],
            vec![net("10.0.1.0/24")],
            vec![net("255.255.255.255/32")],
        ];
        let back = round(&single, &edges).unwrap();
        assert_eq!(back.into_iter().map(|(k, _)| k).collect::<Vec<_>>(), edges);
        let pair = Set::prefixes(&[KeyType::IfName, KeyType::Ipv6]);
        let keys_in = [vec![name("wan0"), net("fe80::/10")]];
        assert_eq!(round(&pair, &keys_in).unwrap(), [(keys_in[0].clone(), None)]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let plain = Set::new(&[KeyType::Ipv4]);
        assert!(element(&plain, &vec![net("10.0.0.0/24")], None).is_none(), "prefix, plain set");
        assert!(element(&plain, &vec![net("::1/128")], None).is_none(), "other family");
        assert!(element(&plain, &vec![], None).is_none(), "too short");
        let set = Set::prefixes(&[KeyType::Ipv4]);
        let raw = |first: [u8; 4], closes| RawElement {
            first: first.to_vec(),
            last: None,
            closes,
            maps_to: None,
        };
        let three = vec![raw([10, 0, 0, 0], false), raw([10, 0, 0, 3], true)];
        assert_eq!(keys(&set, three), None, "a range that is no prefix");
        let ends =
            |last: u8| RawElement { last: Some(vec![10, 0, 0, last]), ..raw([10, 0, 0, 0], false) };
        assert_eq!(keys(&plain, vec![ends(255)]), None, "a range in a plain set");
        assert!(keys(&plain, vec![ends(0)]).is_some(), "control");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(first: Vec<u8>, last: Option<Vec<u8>>, closes: bool) {
            let _ = read(Attributes(&first));
            let raw = RawElement { first, last, closes, maps_to: None };
            for kind in [KeyType::IfName, KeyType::IfIndex, KeyType::Ipv4, KeyType::Ipv6, KeyType::Family, KeyType::Mark] {
                for set in [Set::new(&[kind]), Set::prefixes(&[kind]), Set::prefixes(&[kind, kind])] {
                    let _ = keys(&set, vec![raw.clone(), raw.clone()]);
                }
            }
        }
    }
}
