//! Does. Thin shells with mirrored names; nothing here decides.
pub mod lock;
pub mod netlink;
pub mod sysctl;
