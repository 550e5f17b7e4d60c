//! The configuration: a TOML file, read with every mistake at once.
mod model;
pub use model::*;
