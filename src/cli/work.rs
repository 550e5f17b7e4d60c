//! The doors from the command line to the rest of the program: what `run`, `plan`, `replay`,
//! `purge` and `lab` call.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::Recording;
use crate::config::Config;

/// How the agent is to run.
#[derive(Debug)]
pub(super) struct RunOptions {
    /// The file that a reload reads again.
    pub(super) config_file: PathBuf,
    /// What it says now, with `run_dir` already applied.
    pub(super) config: Config,
    /// The run directory from the command line, to be applied again after a reload.
    pub(super) run_dir: Option<PathBuf>,
    /// Writes nothing to the kernel.
    pub(super) observe: bool,
    /// Records inputs and outputs to this file.
    pub(super) record: Option<PathBuf>,
}

/// Is the agent, until a signal ends it.
pub(super) fn run(options: RunOptions) -> anyhow::Result<ExitCode> {
    let RunOptions {
        config_file,
        config,
        run_dir,
        observe,
        record,
    } = options;
    let _ = (config_file, config, run_dir, observe, record);
    anyhow::bail!("run is not built yet")
}

/// Prints the desired dataplane as `ip` and `nft` text.
pub(super) fn plan(config: &Config) -> anyhow::Result<ExitCode> {
    let _ = config;
    anyhow::bail!("plan is not built yet")
}

/// Runs a recording again; exit code 1 at the first difference.
pub(super) fn replay(recording: Recording, run_dir: &Path) -> anyhow::Result<ExitCode> {
    let _ = (recording, run_dir);
    anyhow::bail!("replay is not built yet")
}

/// Takes everything of ours out of the kernel.
pub(super) fn purge(run_dir: &Path) -> anyhow::Result<ExitCode> {
    let _ = run_dir;
    anyhow::bail!("purge is not built yet")
}

/// How the lab is to run.
#[cfg(feature = "lab")]
#[derive(Debug)]
pub(super) struct LabOptions {
    /// Plays the story without a keyboard.
    pub(super) tour: bool,
    /// Prints one JSON line for each step.
    pub(super) json: bool,
}

/// Builds the home in network namespaces and plays.
#[cfg(feature = "lab")]
pub(super) fn lab(options: LabOptions) -> anyhow::Result<ExitCode> {
    let LabOptions { tour, json } = options;
    let args = crate::lab::LabArgs {
        tour,
        json,
        ..Default::default()
    };
    Ok(crate::lab::main(&args))
}
