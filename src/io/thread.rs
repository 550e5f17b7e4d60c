//! How the agent's threads are made.

use std::thread::Builder;

/// No thread needs so much. With the usual two megabytes and more, a kernel that hands out memory in pages of that size
/// (`transparent_hugepage/enabled` is `always`) gives one to a stack of which some kilobytes are used.
const STACK: usize = 1 << 20;

/// A thread of this name, still to be started.
pub(crate) fn named(name: &str) -> Builder {
    Builder::new().name(name.to_owned()).stack_size(STACK)
}
