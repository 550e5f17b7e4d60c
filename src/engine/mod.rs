//! Decides. Pure: no clock, socket, file, log, thread, async or randomness.
pub mod dataplane;
pub mod event;
pub mod kernel;
pub mod probe;
