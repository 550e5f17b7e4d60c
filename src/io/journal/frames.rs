//! How records stand in a file, and how they are found again in one that is damaged.
//!
//! A frame is a mark, the length of the record and a checksum over both length and record, then the record:
//! `ff 53 4c 4a · u32 · u32 · bytes`, numbers in little endian. The mark's first byte is in no UTF-8 text, so that
//! behind a damage the next frame is found again.

use std::io;

use crate::io::disk;

const MARK: [u8; 4] = *b"\xffSLJ";
pub(crate) const HEAD: usize = 12;
/// The largest record, in bytes.
pub(crate) const LARGEST: usize = 1 << 16;
/// Bytes that may be looked at in vain for a frame behind a damage: what looks like a frame everywhere and is none
/// was made on purpose, and must not keep a start waiting.
const IN_VAIN: usize = 1 << 23;

/// Appends a frame with this record.
///
/// # Errors
///
/// When it is larger than [`LARGEST`].
pub(super) fn put(bytes: &mut Vec<u8>, record: &[u8]) -> io::Result<()> {
    let length = u32::try_from(record.len()).ok().filter(|_| record.len() <= LARGEST);
    let Some(length) = length else {
        let what = format!("a record of {} bytes is too large", record.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    let begin = bytes.len();
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(record);
    let sum = sum(length.to_le_bytes(), record);
    if let Some(place) = bytes.get_mut(begin + 8..begin + HEAD) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    Ok(())
}

fn sum(length: [u8; 4], record: &[u8]) -> u32 {
    disk::checksum_of(&[&length, record])
}

/// What stands in a file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Record(&'a [u8]),
    /// Bytes that are no record.
    Damage(&'a [u8]),
}

/// The parts of a file.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    rest: &'a [u8],
    in_vain: usize,
}

/// Reads any bytes.
pub(crate) const fn parts(bytes: &[u8]) -> Parts<'_> {
    Parts { rest: bytes, in_vain: IN_VAIN }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = self.rest;
        if let Some(record) = self.frame(rest) {
            self.rest = rest.get(HEAD + record.len()..).unwrap_or_default();
            return Some(Part::Record(record));
        }
        let next = (1..rest.len()).find(|at| {
            rest.get(*at..)
                .is_some_and(|tail| tail.starts_with(&MARK) && self.frame(tail).is_some())
        });
        let (damage, rest) = rest.split_at(next.unwrap_or(rest.len()));
        self.rest = rest;
        Some(Part::Damage(damage))
    }
}

impl<'a> Parts<'a> {
    /// The record of the frame that stands here, if one does.
    fn frame(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let length: [u8; 4] = bytes.strip_prefix(&MARK)?.get(..4)?.try_into().ok()?;
        let sum_there: [u8; 4] = bytes.get(8..HEAD)?.try_into().ok()?;
        let size = usize::try_from(u32::from_le_bytes(length)).ok().filter(|n| *n <= LARGEST)?;
        let record = bytes.get(HEAD..)?.get(..size).filter(|_| self.in_vain >= size)?;
        if sum(length, record) == u32::from_le_bytes(sum_there) {
            return Some(record);
        }
        self.in_vain -= size;
        None
    }
}

/// Whether these last bytes of a file are the beginning of a frame, or what a file system makes of one that had not
/// yet reached the disk: nothing that was ever whole.
pub(super) fn is_torn(tail: &[u8]) -> bool {
    if tail.ends_with(&[0]) {
        // No record of ours does; a file that was made longer and not yet written does.
        return tail.len() <= HEAD + LARGEST;
    }
    let end = tail.len().min(MARK.len());
    if tail.get(..end) != MARK.get(..end) {
        return false;
    }
    let Some(length) = tail.get(4..8).and_then(|four| four.try_into().ok()) else {
        return true;
    };
    let size = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    size <= LARGEST && tail.len() < HEAD + size
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for record in records {
            put(&mut bytes, record).unwrap();
        }
        bytes
    }

    #[test]
    fn what_is_before_and_behind_a_damage_is_found() {
        let whole = file(&[b"one", b"", b"three", b"four"]);
        fn records(bytes: &[u8]) -> Vec<&[u8]> {
            let record = |part| if let Part::Record(record) = part { Some(record) } else { None };
            parts(bytes).filter_map(record).collect()
        }
        assert_eq!(records(&whole), [b"one".as_slice(), b"", b"three", b"four"]);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                let left = records(&bytes);
                assert_eq!(left.len(), 3, "one byte costs one record, at {at}");
                assert_eq!(parts(&bytes).count(), 4, "and the damage is one, at {at}");
            }
        }
        for end in 0..whole.len() {
            let damage = parts(&whole[..end]).filter(|part| matches!(part, Part::Damage(_)));
            assert!(damage.count() <= 1, "{end}");
            if let Some(Part::Damage(tail)) = parts(&whole[..end]).last() {
                assert!(is_torn(tail), "{end}");
            }
        }
        assert!(put(&mut Vec::new(), &vec![0; LARGEST + 1]).is_err());
    }

    #[test]
    fn what_looks_like_frames_everywhere_is_given_up_in_time() {
        let mut frame = MARK.to_vec();
        frame.extend_from_slice(&u32::try_from(LARGEST).unwrap().to_le_bytes());
        let bytes = frame.repeat(1 << 17);
        assert_eq!(parts(&bytes).count(), 1);
    }

    proptest! {
        /// Every byte is in one part, whatever the bytes are.
        #[test]
        fn any_bytes_have_parts(
            noise in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, n in 0usize..40,
        ) {
            let mut bytes = file(&[b"first", b"second", b"third"]);
            let at = at.min(bytes.len());
            let end = (at + n).min(bytes.len());
            bytes.splice(at..end, noise);
            let size = |part: Part<'_>| match part {
                Part::Record(record) => record.len() + HEAD,
                Part::Damage(damage) => damage.len(),
            };
            prop_assert_eq!(parts(&bytes).map(size).sum::<usize>(), bytes.len());
        }
    }
}
