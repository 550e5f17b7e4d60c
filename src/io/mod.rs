//! Does. Thin shells with mirrored names; nothing here decides.
pub mod netlink;
