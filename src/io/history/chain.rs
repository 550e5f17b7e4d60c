//! Where the lines are, and how each holds on to the one before.

use std::fmt::Write as _;

use blake2::{Blake2b512, Digest as _};

/// The name of the journal.
pub(super) const NAME: &str = "history";
/// Half of what the history takes on disk: some 1500 lines, months of a usual home.
pub(super) const MOST: u64 = 512 << 10;

/// 128 bits of it: to find another line with the same takes longer than there is time.
const HASHED: usize = 16;

/// The hash of a line (BLAKE2b, RFC 7693), in hexadecimal.
pub(super) fn hash(record: &[u8]) -> String {
    Blake2b512::digest(record).iter().take(HASHED).fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
