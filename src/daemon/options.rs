//! How the agent is to run.

use std::path::PathBuf;

use super::auto::Auto;
use crate::config::Config;
use crate::engine::Mode;
use crate::engine::events::causes::Undoing;

/// How the agent is to run.
#[derive(Debug)]
pub struct Options {
    /// The file that a reload reads again, and beside which the password is.
    pub config_file: PathBuf,
    /// Where there is no such file: makes configurations of what is seen.
    pub auto: Option<Auto>,
    /// What it says now, with the run directory already applied.
    pub config: Config,
    /// The run directory from the command line, to be applied again after a reload.
    pub run_dir: Option<PathBuf>,
    /// Whether it writes to the kernel.
    pub mode: Mode,
    /// Records inputs and outputs to this file.
    pub record: Option<PathBuf>,
    /// Settings that were on trial have been undone before the start, and why: the history is to say so.
    pub undone: Option<Undoing>,
}
