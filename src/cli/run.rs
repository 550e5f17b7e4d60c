//! `sparelink run`: is the agent.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use super::{logs, terminal, when, work};
use crate::config::Config;
use crate::daemon::{Auto, Options};
use crate::engine::Mode;
use crate::engine::events::causes::Undoing;
use crate::io::netlink::Monitor;
use crate::io::trial::{self, By, OnTrial};

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

/// Undoes settings that were on trial when the power went, or an agent died for good: nobody has confirmed that a box
/// works with them. `None`: there were none.
pub(super) fn end_trial(config_file: &Path) -> Option<Undoing> {
    let record = trial::record(config_file);
    let Ok(Some(OnTrial { by: By::Page(_), left })) = trial::state(&record) else { return None };
    if left.is_some_and(|left| !left.is_zero()) {
        return None;
    }
    let undone = trial::undo(&record, Duration::ZERO);
    match undone.and_then(|before| trial::done(&record).map(|()| before)) {
        Ok(before) => {
            let was_edited = before.is_some_and(|before| before.was_edited);
            Some(if was_edited { Undoing::Edited } else { Undoing::Unconfirmed })
        }
        Err(error) => {
            let file = config_file.display();
            terminal::print_error(&format!("{file} cannot be put back: {error}\n"));
            None
        }
    }
}

/// Is the agent until a signal ends it. Not `configured`, it follows what the system uses. `no_zone` is the zone of the
/// configuration, if this box does not have it; `undone`, whether settings on trial had to be undone before.
pub(super) fn run(
    how: Run,
    configured: Option<Config>,
    config_file: PathBuf,
    run_dir: Option<PathBuf>,
    no_zone: Option<String>,
    undone: Option<Undoing>,
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
    Ok(work::run(Options { config_file, auto, config, run_dir, mode, record, undone })?)
}
