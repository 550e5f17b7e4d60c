//! The frame of every netlink protocol: messages one after the other, each with a header of 16 bytes, and what the
//! kernel says of a refusal (linux/netlink.h). Whatever the bytes are, reading ends and never panics.

use nix::errno::Errno;

use super::attrs::Attributes;

/// `NLM_F_REQUEST`, which every message to the kernel has.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: an answer even to what succeeds.
pub(super) const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR`: the dump was overtaken by changes.
pub(super) const DUMP_INTR: u16 = 0x10;
/// `NLM_F_DUMP`: all that fits.
pub(super) const DUMP: u16 = 0x300;
/// The ack leaves out the request's payload (`NLM_F_CAPPED`).
const CAPPED: u16 = 0x100;
/// Attributes with the kernel's words follow (`NLM_F_ACK_TLVS`).
const ACK_TLVS: u16 = 0x200;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Numbers below are netlink's own: noop, error, done, overrun (`NLMSG_MIN_TYPE`).
const FIRST_OF_A_PROTOCOL: u16 = 16;

/// The length of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// Appends one message, whose body comes in parts.
pub(super) fn put(out: &mut Vec<u8>, kind: u16, flags: u16, seq: u32, body: &[&[u8]]) {
    let length = HEADER + body.iter().map(|part| part.len()).sum::<usize>();
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((flags | REQUEST).to_ne_bytes());
    out.extend(seq.to_ne_bytes());
    // The port of the sender, which the kernel fills in.
    out.extend([0; 4]);
    out.extend(body.concat());
}

/// One message of the kernel's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) seq: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Something that was asked for, or told.
    Content,
    /// The end of an answer, and why it is a refusal if it is one.
    End(Option<Errno>),
    /// Nothing.
    Noop,
}

/// The messages in a datagram. A length that makes no sense ends it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let len = usize::try_from(u32::from_ne_bytes(*self.0.first_chunk()?)).ok()?;
        let body = self.0.get(HEADER..len)?;
        let u16_at = |at: usize| Some(u16::from_ne_bytes(*self.0.get(at..)?.first_chunk()?));
        let frame = Frame {
            kind: u16_at(4)?,
            flags: u16_at(6)?,
            seq: u32::from_ne_bytes(*self.0.get(8..)?.first_chunk()?),
            body,
        };
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    }
}

impl<'a> Frame<'a> {
    pub(super) fn part(&self) -> Part {
        match self.kind {
            DONE | ERROR => Part::End(self.errno()),
            FIRST_OF_A_PROTOCOL.. => Part::Content,
            _ => Part::Noop,
        }
    }

    /// Whether it is about one message: success or a refusal. A dump ends otherwise.
    pub(super) const fn is_ack(&self) -> bool {
        self.kind == ERROR
    }

    /// The error in an ack or in the end of a dump; `None` is success.
    fn errno(&self) -> Option<Errno> {
        let code = self.body.first_chunk().map_or(0, |c| i32::from_ne_bytes(*c));
        (code != 0).then(|| Errno::from_raw(code.saturating_neg()))
    }

    /// The kernel's own words about a refusal, and the offset of the attribute that it disliked
    /// (`NLMSGERR_ATTR_*`).
    pub(super) fn extended(&self) -> (Option<&'a str>, Option<usize>) {
        if self.flags & ACK_TLVS == 0 {
            return (None, None);
        }
        // Behind the code an ack repeats the message in question, or its header only.
        let repeated = match self.kind {
            ERROR if self.flags & CAPPED == 0 => {
                let length = self.body.get(4..8).and_then(|bytes| bytes.first_chunk());
                length.map_or(HEADER, |bytes| u32::from_ne_bytes(*bytes) as usize)
            }
            ERROR => HEADER,
            _ => 0,
        };
        let at = repeated.saturating_add(4).next_multiple_of(4);
        let attrs = Attributes(self.body.get(at..).unwrap_or_default());
        let offset = attrs.get(2).and_then(|b| b.first_chunk());
        (attrs.text(1), offset.map(|b| u32::from_ne_bytes(*b) as usize))
    }
}

/// An error as the kernel sends it with `NETLINK_CAP_ACK` and `NETLINK_EXT_ACK`, for tests.
#[cfg(test)]
pub(super) fn error(errno: Errno, words: &str, offset: u32) -> Vec<u8> {
    let tail = super::attrs::Attrs::new().text(1, words).bytes(2, &offset.to_ne_bytes());
    let code = (-(errno as i32)).to_ne_bytes();
    let mut bytes = Vec::new();
    put(&mut bytes, ERROR, CAPPED | ACK_TLVS, 9, &[&code, &[0; HEADER], tail.as_bytes()]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::attrs::Attrs;
    use super::*;

    fn only(bytes: &[u8]) -> Frame<'_> {
        Frames(bytes).next().unwrap()
    }

    #[test]
    fn a_message_has_the_kernels_layout() {
        let mut bytes = Vec::new();
        put(&mut bytes, 0x10, ACK, 7, &[&[0, 0], &10_u16.to_be_bytes()]);
        assert_eq!(bytes, [20, 0, 0, 0, 0x10, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]);
        let read = only(&bytes);
        assert_eq!((read.kind, read.flags, read.seq, read.body.len()), (0x10, 5, 7, 4));
        assert_eq!(read.part(), Part::Content);
    }

    #[test]
    fn a_datagram_falls_into_its_messages() {
        let mut datagram = Vec::new();
        put(&mut datagram, 16, 0, 1, &[&[1, 1]]);
        datagram.extend([0; 2]);
        put(&mut datagram, 16, 0, 2, &[]);
        let lengths: Vec<_> = Frames(&datagram).map(|frame| frame.body.len()).collect();
        assert_eq!(lengths, [2, 0]);
    }

    #[test]
    fn nonsense_lengths_end_a_datagram() {
        for length in [0, 4, 15, 17, u32::MAX] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(16, 0);
            assert_eq!(Frames(&bytes).count(), 0, "{length}");
        }
        assert_eq!(Frames(&[1, 2]).count(), 0);
    }

    #[test]
    fn a_refusal_carries_the_kernels_words() {
        let refusal = error(Errno::ENETUNREACH, "no", 24);
        let read = only(&refusal);
        assert!(read.is_ack());
        assert_eq!(read.part(), Part::End(Some(Errno::ENETUNREACH)));
        assert_eq!(read.extended(), (Some("no"), Some(24)));
        // A kernel that repeats the whole message.
        let (code, words) = ((-1_i32).to_ne_bytes(), Attrs::new().text(1, "no"));
        let mut repeated = Vec::new();
        put(&mut repeated, 24, 0, 1, &[&[7; 12]]);
        let mut bytes = Vec::new();
        put(&mut bytes, ERROR, ACK_TLVS, 9, &[&code, &repeated, words.as_bytes()]);
        assert_eq!(only(&bytes).extended(), (Some("no"), None));
        // The end of a dump repeats nothing.
        let mut bytes = Vec::new();
        put(&mut bytes, DONE, ACK_TLVS, 9, &[&code, words.as_bytes()]);
        assert_eq!(only(&bytes).extended().0, Some("no"));
        assert_eq!(only(&bytes).part(), Part::End(Some(Errno::EPERM)));
        let mut bytes = Vec::new();
        put(&mut bytes, DONE, 0, 9, &[&[0; 4]]);
        assert_eq!((only(&bytes).part(), only(&bytes).extended()), (Part::End(None), (None, None)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_survived(bytes: Vec<u8>) {
            for frame in Frames(&bytes) {
                let _ = (frame.part(), frame.extended());
            }
        }
    }
}
