//! Netlink attributes: type, length, value, four-byte steps (linux/netlink.h), written and read.
//!
//! Numbers in netfilter's attributes are big endian, in rtnetlink's they are host order like all
//! lengths and types.

/// A stream of attributes being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attrs(Vec<u8>);

impl Attrs {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds raw bytes. One attribute holds at most 65 531 of them; callers keep lists shorter.
    #[must_use]
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        debug_assert!(value.len() <= usize::from(u16::MAX) - 4, "attribute too long");
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(len.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds a text with its closing NUL.
    #[must_use]
    pub fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds a big-endian 32-bit number.
    #[must_use]
    pub fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds a big-endian 64-bit number.
    #[must_use]
    pub fn be64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Adds attributes inside an attribute (`NLA_F_NESTED`).
    #[must_use]
    pub fn nest(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | 0x8000, &inner.0)
    }

    /// Adds the attributes of another stream behind these.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Attributes as they came.
impl From<Vec<u8>> for Attrs {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// A stream of attributes being read; whatever the bytes are, it ends and never panics.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// The first attribute of that kind.
    #[must_use]
    pub fn get(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find_map(|(k, value)| (k == kind).then_some(value))
    }

    /// The attributes inside the first of that kind; empty if there is none.
    #[must_use]
    pub fn nested(self, kind: u16) -> Self {
        Attributes(self.get(kind).unwrap_or_default())
    }

    /// A number of 32 bits in host order.
    #[must_use]
    pub fn ne32(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A number of 32 bits.
    #[must_use]
    pub fn be32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A number of 64 bits.
    #[must_use]
    pub fn be64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A text up to its closing NUL.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let bytes = self.get(kind)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).ok()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?);
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3fff, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_have_the_kernels_layout() {
        let inner = Attrs::new().text(1, "ct");
        let attrs = Attrs::new().bytes(3, &[7]).be32(4, 1).nest(2, &inner);
        #[rustfmt::skip]
        let golden = [
            5, 0, 3, 0,  7, 0, 0, 0,
            8, 0, 4, 0,  0, 0, 0, 1,
            12, 0, 2, 0x80,  7, 0, 1, 0,  b'c', b't', 0, 0,
        ];
        assert_eq!(attrs.as_bytes(), golden);
        let read = Attributes(attrs.as_bytes());
        assert_eq!(read.get(3), Some(&[7][..]));
        assert_eq!(read.be32(4), Some(1));
        assert_eq!(read.nested(2).text(1), Some("ct"));
        assert_eq!((read.be64(4), read.get(9)), (None, None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / 4 + 1);
            for kind in 0..4 {
                let read = Attributes(&bytes);
                let _ = (read.be32(kind), read.be64(kind), read.text(kind));
                let _ = read.nested(kind).count();
            }
        }
    }
}
