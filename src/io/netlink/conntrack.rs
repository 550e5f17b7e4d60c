//! ctnetlink.
