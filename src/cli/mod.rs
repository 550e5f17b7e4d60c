//! The command line, for people: what they type, and answers that they like to read.
//!
//! `spec` defines every command and flag, `args` turns words into a `args::Command`, `help`
//! prints the spec. Data goes to stdout, everything else to stderr. Exit codes: 0 yes, 1 no,
//! 2 error; each command's help says what that means there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{self, Config, Provider, RUN_DIR};
use crate::daemon::LAST_RECORDING;
#[cfg(feature = "lab")]
use crate::lab::LabArgs;
use crate::units::Gather as _;

mod args;
mod check;
mod client;
mod completions;
mod control;
mod doctor;
mod failure;
mod habits;
mod help;
mod history;
mod logs;
mod named;
mod note;
mod notify;
mod passwd;
mod plan;
#[cfg(feature = "replay")]
mod replay;
mod report;
mod run;
mod setup;
mod since;
mod spec;
mod status;
mod table;
mod terminal;
mod usual;
mod watch;
mod when;
mod why;
mod work;

use args::{Command, Line, Recording};
use client::Client;
use failure::Failure;
use history::Asked;
use run::Chain;

/// Does what the arguments say (the first is the program's name) and returns the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = args::parse(arguments).and_then(|line| {
        // A file with mistakes says no zone; who reads it for its own sake tells of them.
        let file = line.config.clone().unwrap_or_else(|| usual::config_file().to_owned());
        let missing = when::find_zone(config::load(&file).ok().and_then(|config| config.zone));
        dispatch(line, missing)
    });
    done.unwrap_or_else(|failure| terminal::tell(&failure))
}

/// What this program is: its version, the commit that it was built from where that is known, and what is in it.
fn version() -> String {
    let parts = [
        ("dbus", cfg!(feature = "dbus")),
        ("ddns", cfg!(feature = "ddns")),
        ("qr", cfg!(feature = "qr")),
        ("replay", cfg!(feature = "replay")),
        ("settings", cfg!(feature = "settings")),
        ("tls", cfg!(feature = "tls")),
        ("lab", cfg!(feature = "lab")),
        ("faults", cfg!(feature = "faults")),
    ];
    let parts: Vec<&str> =
        parts.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    let parts = if parts.is_empty() { "lite".to_owned() } else { parts.join(" ") };
    let commit = option_env!("SPARELINK_COMMIT").filter(|commit| !commit.is_empty());
    let commit =
        commit.map_or_else(|| "commit unknown".to_owned(), |commit| format!("commit {commit}"));
    format!("sparelink {} ({commit}; {parts})\n", env!("CARGO_PKG_VERSION"))
}

/// Carries out a command. `no_zone` is the zone of the configuration, if this box does not have it.
fn dispatch(line: Line, no_zone: Option<String>) -> Result<ExitCode, Failure> {
    let Line { command, config: file, run_dir } = line;
    let client = || Ok::<_, Failure>(Client::new(&find_run_dir(run_dir.clone(), file.as_deref())?));
    let config_file = || file.clone().unwrap_or_else(|| usual::config_file().to_owned());
    match command {
        Command::Unnamed => begin(&client()?),
        Command::Help(about) => terminal::print(&help::about(about, terminal::colour())),
        Command::Version => terminal::print(&version()),
        Command::Service => check::service(&config_file()),
        Command::Check { file: _, form } => check::check(&config_file(), form),
        Command::Setup(asked) => {
            let run_dir = find_run_dir(run_dir, None)?;
            setup::setup(asked, &config_file(), &run_dir)
        }
        Command::Run(how) => {
            let undone = run::end_trial(&config_file());
            let configured = match how.by {
                Chain::Configured => Some(load(&config_file(), run_dir.clone())?),
                Chain::Found => None,
            };
            run::run(how, configured, config_file(), run_dir, no_zone, undone)
        }
        Command::Doctor { form } => {
            doctor::doctor(find_config(file.as_deref(), run_dir.clone())?, run_dir, form)
        }
        Command::Plan(form) => plan::plan(&load(&config_file(), run_dir)?, form),
        Command::Why { host, form } => {
            why::why(&client()?, &load(&config_file(), run_dir)?, &host, form)
        }
        Command::Status { json: true, watch: false } => status::json(&client()?),
        Command::Status { json: false, watch: false } => status::show(&client()?),
        Command::Status { json: true, watch: true } => watch::watch(&client()?, watch::Form::Json),
        Command::Status { json: false, watch: true } => {
            watch::watch(&client()?, watch::Form::of_stdout())
        }
        Command::Switch { to, limit } => control::switch(&client()?, to, limit),
        Command::Pause { uplink, limit, reason } => {
            control::pause(&client()?, &uplink, limit, reason)
        }
        Command::Resume { uplink } => control::resume(&client()?, &uplink),
        Command::Probe { uplink } => control::probe(&client()?, &uplink),
        Command::Note { uplink, what } => note::note(&client()?, &uplink, what),
        Command::Passwd(what) => passwd::passwd(what, file.as_deref()),
        Command::Completions(word) => completions::print(&word, &config_file()),
        Command::Reload => control::reload(&client()?),
        Command::Notify(what) => notify::notify(&client()?, what),
        Command::History(asked) => tell_history(run_dir, file.as_deref(), &asked),
        Command::Report(asked) => tell_report(run_dir, file.as_deref(), &asked),
        Command::Replay(recording) => replay_one(recording, run_dir, file.as_deref()),
        Command::Purge => Ok(work::purge(&find_run_dir(run_dir, file.as_deref())?)?),
        #[cfg(feature = "lab")]
        Command::Lab { tour, stay, json } => {
            Ok(work::lab(LabArgs { tour, stay, json, ..LabArgs::default() }))
        }
    }
}

/// The status if an agent runs, else how to begin.
fn begin(client: &Client) -> Result<ExitCode, Failure> {
    match status::show(client) {
        Err(failure) if failure.means_no_agent() => {
            terminal::print(&help::short(terminal::colour()))
        }
        other => other,
    }
}

fn replay_one(
    recording: Recording,
    run_dir: Option<PathBuf>,
    config: Option<&Path>,
) -> Result<ExitCode, Failure> {
    const NONE: &str = "no switch is recorded yet; a recording is complete 10 s after its switch";
    match recording {
        Recording::File(path) => replay(&path),
        Recording::Last => {
            let last = find_run_dir(run_dir, config)?.join(LAST_RECORDING);
            if last.exists() { replay(&last) } else { Err(Failure::plain(NONE)) }
        }
    }
}

fn tell_history(
    run_dir: Option<PathBuf>,
    config: Option<&Path>,
    asked: &Asked,
) -> Result<ExitCode, Failure> {
    let files = find_state_dir(run_dir.as_deref(), config)?;
    let client = Client::new(&find_run_dir(run_dir, config)?);
    history::history(&client, files.as_deref(), asked)
}

fn tell_report(
    run_dir: Option<PathBuf>,
    config: Option<&Path>,
    asked: &report::Asked,
) -> Result<ExitCode, Failure> {
    let files = find_state_dir(run_dir.as_deref(), config)?;
    let providers = find_providers(run_dir.as_deref(), config)?;
    let client = Client::new(&find_run_dir(run_dir, config)?);
    report::print(&client, files.as_deref(), &providers, asked)
}

/// Where the agent's files are. Those of the usual configuration are not the ones of an agent with a run directory of
/// its own.
fn find_state_dir(flag: Option<&Path>, config: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    match (flag, config) {
        (_, Some(file)) => Ok(Some(config::load(file)?.state_dir)),
        (Some(_), None) => Ok(None),
        (None, None) => Ok(Some(
            config::load(usual::config_file())
                .map_or_else(|_| PathBuf::from(config::STATE_DIR), |config| config.state_dir),
        )),
    }
}

/// Who provides each uplink, as far as the configuration is known, which is found as for [`find_state_dir`].
fn find_providers(
    flag: Option<&Path>,
    config: Option<&Path>,
) -> Result<BTreeMap<String, Provider>, Failure> {
    let config = match (flag, config) {
        (_, Some(file)) => Some(config::load(file)?),
        (Some(_), None) => None,
        (None, None) => config::load(usual::config_file()).ok(),
    };
    let uplinks = config.into_iter().flat_map(|config| config.uplinks);
    Ok(uplinks.filter_map(|uplink| Some((uplink.name, uplink.provider?))).gather())
}

#[cfg(feature = "replay")]
fn replay(recording: &Path) -> Result<ExitCode, Failure> {
    Ok(replay::replay(recording)?)
}

#[cfg(not(feature = "replay"))]
fn replay(recording: &Path) -> Result<ExitCode, Failure> {
    Err(Failure::plain(format!(
        "this build records but cannot replay; copy {} to a machine with a full build, and replay it there",
        recording.display()
    )))
}

/// The configuration; `None`: none was named, and there is none in the usual place.
fn find_config(named: Option<&Path>, run_dir: Option<PathBuf>) -> Result<Option<Config>, Failure> {
    let usual = usual::config_file();
    // The package's own says nothing: every line is a comment.
    let says_nothing = |text: String| {
        text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#')
        })
    };
    let text = std::fs::read_to_string(usual);
    if named.is_none() && (!usual.exists() || text.is_ok_and(says_nothing)) {
        return Ok(None);
    }
    load(named.unwrap_or(usual), run_dir).map(Some)
}

/// The configuration, with the run directory from the command line if one was given.
fn load(file: &Path, run_dir: Option<PathBuf>) -> Result<Config, Failure> {
    let mut config = config::load(file)?;
    if let Some(run_dir) = run_dir {
        config.run_dir = run_dir;
    }
    Ok(config)
}

/// Where the agent's socket is: as the flag says, else as the configuration says. Only a file that
/// was named has to be there and right: `status` must work beside a half-edited configuration.
fn find_run_dir(flag: Option<PathBuf>, config: Option<&Path>) -> Result<PathBuf, Failure> {
    match (flag, config) {
        (Some(dir), _) => Ok(dir),
        (None, Some(file)) => Ok(config::load(file)?.run_dir),
        (None, None) => Ok(config::load(usual::config_file())
            .map_or_else(|_| PathBuf::from(RUN_DIR), |config| config.run_dir)),
    }
}
