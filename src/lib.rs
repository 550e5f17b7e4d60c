//! sparelink moves a home or small office to the next uplink when one dies, and back when it is safe.
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod io;
#[cfg(feature = "lab")]
pub mod lab;
pub mod time;
pub mod units;
