//! The lab itself, on the real kernel: what it promises to those who stand on it.
//!
//! Most tests run inside, some look at it from outside. With a stand-in for the agent: what the real
//! one does is tested elsewhere.

pub(crate) mod inside;
mod outside;
pub(crate) mod stand_in;

use crate::runner::{Room, Test, within};

/// The tests of this module.
pub(crate) fn tests() -> Vec<Test> {
    let all = inside::tests().into_iter().chain(outside::tests());
    within("lab", Room::Little, all)
}
