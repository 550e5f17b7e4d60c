//! `sparelink passwd`: the password of the page. Needs no agent; a running one looks at each login.

use std::error::Error as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::{User, geteuid};

use super::failure::Failure;
use super::terminal::{self, Secret};
use super::usual;
use crate::config;
use crate::io::web::password::{self, Error};

/// Where the agent keeps its state, if the configuration does not say.
const STATE_DIR: &str = "/var/lib/sparelink";
/// Whom the unit runs it as.
const USER: &str = "sparelink";

/// What becomes of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passwd {
    Set,
    Remove,
    /// Somebody may set it once on the page (`--code`).
    Code,
}

/// Sets the password, takes it away, or lets somebody set it on the page.
pub(super) fn passwd(what: Passwd, config: Option<&Path>) -> Result<ExitCode, Failure> {
    match what {
        Passwd::Set => set(config),
        Passwd::Remove => remove(config),
        Passwd::Code => code(config),
    }
}

/// Prints a code by which the password can be set once on the page.
fn code(config: Option<&Path>) -> Result<ExitCode, Failure> {
    let config_file = find_config(config)?;
    let code =
        password::new_code(&password::file(&config_file), owner(&config_file)).map_err(told)?;
    terminal::print(&format!("{code}\n"))?;
    terminal::print_error("type it on the page under Log in; it is good once\n");
    Ok(ExitCode::SUCCESS)
}

/// Sets the password.
fn set(config: Option<&Path>) -> Result<ExitCode, Failure> {
    let config_file = find_config(config)?;
    let file = password::file(&config_file);
    let password = ask()?;
    password::set(&file, &password, owner(&config_file)).map_err(told)?;
    terminal::print(&format!("the password is set; its hash is in {}\n", file.display()))
}

/// Takes the password away.
fn remove(config: Option<&Path>) -> Result<ExitCode, Failure> {
    let file = password::file(&find_config(config)?);
    let was_there = password::remove(&file).map_err(told)?;
    let shown = file.display();
    terminal::print(&if was_there {
        format!("{shown} is deleted; no login to the page is possible now\n")
    } else {
        format!("there was no password in {shown}; no login to the page is possible\n")
    })
}

/// The configuration file, whose directory is the password's, too. It need not be right, nor even be
/// there, unless it was named: a slip of the hand must not leave a password where no agent looks.
fn find_config(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let file = named.unwrap_or(usual::config_file());
    let directory = file.parent().filter(|here| !here.as_os_str().is_empty());
    let (missing, what) = match (named, directory) {
        (Some(file), _) => (!file.is_file(), file),
        (None, Some(directory)) => (!directory.is_dir(), directory),
        (None, None) => (false, file),
    };
    if missing {
        let hint = "name the agent's configuration with --config FILE";
        return Err(Failure::new(format!("there is no {}", what.display()), hint));
    }
    Ok(file.to_owned())
}

fn ask() -> Result<String, Failure> {
    let read = |prompt| {
        let line = terminal::secret(prompt);
        line.map_err(|error| Failure::plain(format!("the password cannot be read: {error}")))
    };
    let none = || {
        let hint = "type it at a terminal, or send one line: echo PASSWORD | sparelink passwd";
        Failure::new("there is no password; nothing has changed", hint)
    };
    let first = read("New password: ")?.line().ok_or_else(none)?;
    password::check(&first).map_err(|unfit| Failure::plain(unfit.to_string()))?;
    if terminal::can_ask() {
        let second = read("Once more: ")?.line().ok_or_else(none)?;
        if first != second {
            return Err(Failure::plain("the two are not the same; nothing has changed"));
        }
    }
    Ok(first)
}

/// A password, typed twice at a terminal; `Ok(None)`: it was left empty. The inner error is for the person, who may try
/// again.
pub(super) fn twice(prompt: &str) -> Result<Result<Option<String>, String>, Failure> {
    let read = |prompt| {
        let line = terminal::secret(prompt);
        line.map_err(|error| Failure::plain(format!("the password cannot be read: {error}")))
    };
    let over = || Failure::plain("the questions were not answered; nothing is written");
    let first = match read(prompt)? {
        Secret::Line(line) => line,
        Secret::Empty => return Ok(Ok(None)),
        Secret::Over => return Err(over()),
    };
    if let Err(unfit) = password::check(&first) {
        return Ok(Err(unfit.to_string()));
    }
    Ok(match read("Once more: ")? {
        Secret::Over => return Err(over()),
        Secret::Line(second) if second == first => Ok(Some(first)),
        Secret::Line(_) | Secret::Empty => Err("the two are not the same".to_owned()),
    })
}

/// Who the agent is, as the owner of its state directory; only root can give files away.
pub(super) fn owner(config_file: &Path) -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let configured = config::load(config_file).map(|config| config.state_dir);
    let directory = configured.unwrap_or_else(|_| PathBuf::from(STATE_DIR));
    let of_directory = directory.metadata().ok().map(|meta| (meta.uid(), meta.gid()));
    // The unit makes the directory at its first start; its user is there before.
    let of_user = || User::from_name(USER).ok()?.map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    of_directory.or_else(of_user)
}

fn told(error: Error) -> Failure {
    let denied = |cause: &(dyn std::error::Error + 'static)| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied)
    };
    let hint = error.source().filter(|cause| denied(*cause));
    let hint = hint.map(|_| "try it as root, for example with sudo".to_owned());
    Failure::from(anyhow::Error::from(error)).with_hint(hint)
}
