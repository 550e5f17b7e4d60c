//! Does. Thin shells with mirrored names; nothing here decides.
pub mod clock;
pub mod lock;
pub mod netlink;
pub mod probe;
pub mod socket;
pub(crate) mod sys;
pub mod sysctl;
