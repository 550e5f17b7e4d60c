//! Bytes that are nearly those of a good example.

use crate::lab::world::rng::Rng;

/// The same with some bytes changed, moved, doubled or left out, and cut off somewhere or not.
#[must_use]
pub fn garbled(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=rng.number() % 6 {
        if bytes.is_empty() {
            break;
        }
        let at = below(rng, bytes.len());
        let to = (at + 1 + below(rng, 16)).min(bytes.len());
        match rng.number() % 6 {
            0 => bytes[at] ^= 1 << (rng.number() % 8),
            1 => bytes[at] = *rng.number().to_le_bytes().first().unwrap_or(&0),
            2 => drop(bytes.drain(at..to)),
            3 => {
                let piece = bytes[at..to].to_vec();
                let place = below(rng, bytes.len());
                bytes.splice(place..place, piece);
            }
            4 => bytes.insert(at, [0, 1, 0x7f, 0x80, 0xff, b'\n'][below(rng, 6)]),
            _ if rng.chance(0.3) => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

/// Evenly from 0 up to, but not including, `most`.
fn below(rng: &mut Rng, most: usize) -> usize {
    usize::try_from(rng.number() >> 1).unwrap_or(usize::MAX) % most.max(1)
}
