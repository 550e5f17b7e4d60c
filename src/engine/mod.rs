//! Decides. Pure: no clock, socket, file, log, thread, async or randomness.
pub mod dataplane;
pub mod event;
pub mod health;
pub mod kernel;
pub mod link;
pub mod message;
pub mod policy;
pub mod probe;
