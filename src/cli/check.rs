//! `sparelink check`.

use std::path::Path;
use std::process::ExitCode;

use super::failure::Failure;
use super::terminal;
use crate::config::{self, Config};

/// Says that a configuration is right, or lists what is wrong.
pub(super) fn check(file: &Path) -> Result<ExitCode, Failure> {
    let config = config::load(file)?;
    terminal::print(&format!("{}: ok, {}\n", file.display(), chain(&config)))
}

/// The chain in one line: `3 uplinks: cable > mifi > phone`.
fn chain(config: &Config) -> String {
    let names: Vec<_> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    let noun = if names.len() == 1 { "uplink" } else { "uplinks" };
    format!("{} {noun}: {}", names.len(), names.join(" > "))
}
