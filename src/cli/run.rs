//! `sparelink run`: is the agent.

use std::path::PathBuf;
use std::process::ExitCode;

use super::args::{Chain, Run};
use super::failure::Failure;
use super::{load, logs, when, work};
use crate::daemon::{Auto, Options};
use crate::io::netlink::Monitor;

/// Is the agent until a signal ends it. `no_zone` is the zone of the configuration, if this box does not have it.
pub(super) fn run(
    how: Run,
    config_file: PathBuf,
    run_dir: Option<PathBuf>,
    no_zone: Option<String>,
) -> Result<ExitCode, Failure> {
    let Run { by, mode, record, level } = how;
    let (config, auto) = match by {
        Chain::Configured => {
            let config = load(&config_file, run_dir.clone())?;
            logs::start(level);
            no_zone.iter().for_each(|zone| when::miss(zone));
            (config, None)
        }
        Chain::Found => {
            logs::start(level);
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
