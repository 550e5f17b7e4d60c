//! `sparelink run`: is the agent.

use std::path::PathBuf;
use std::process::ExitCode;

use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use super::{logs, when, work};
use crate::config::Config;
use crate::daemon::{Auto, Options};
use crate::engine::Mode;
use crate::io::netlink::Monitor;

/// How the agent is to run.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    pub(super) by: Chain,
    pub(super) mode: Mode,
    pub(super) record: Option<PathBuf>,
    pub(super) level: LevelFilter,
}

/// Where the chain comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Chain {
    /// The configuration.
    Configured,
    /// What the system itself uses (`--auto`).
    Found,
}

/// Is the agent until a signal ends it. Not `configured`, it follows what the system uses. `no_zone` is the zone of the configuration, if this box does not have it.
pub(super) fn run(
    how: Run,
    configured: Option<Config>,
    config_file: PathBuf,
    run_dir: Option<PathBuf>,
    no_zone: Option<String>,
) -> Result<ExitCode, Failure> {
    let Run { mode, record, level, .. } = how;
    logs::start(level);
    let (config, auto) = match configured {
        Some(config) => {
            no_zone.iter().for_each(|zone| when::miss(zone));
            (config, None)
        }
        None => {
            if config_file.exists() {
                tracing::warn!("--auto: {} is not read", config_file.display());
            }
            let opened = work::runtime()?.block_on(Monitor::open());
            let (_, view) = opened.map_err(anyhow::Error::from)?;
            let mut auto = Auto::new(run_dir.clone());
            (auto.configure(&view)?, Some(auto))
        }
    };
    Ok(work::run(Options { config_file, auto, config, run_dir, mode, record })?)
}
