//! Whoever starts and stops services on this box, for `sparelink setup`.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where systemd says that it runs (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";
/// OpenWrt's, and where its scripts are.
const PROCD: &str = "/sbin/procd";
const SCRIPTS: &str = "/etc/init.d";

/// Whoever starts and stops services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    Systemd,
    Procd,
    /// Nobody that is known here: a person does.
    Nobody,
}

impl Manager {
    /// That of this box.
    #[must_use]
    pub fn find() -> Self {
        if Path::new(SYSTEMD).is_dir() {
            Self::Systemd
        } else if Path::new(PROCD).exists() {
            Self::Procd
        } else {
            Self::Nobody
        }
    }

    /// Whether a service runs.
    #[must_use]
    pub fn runs(self, service: &str) -> bool {
        match self {
            Self::Systemd => ask("systemctl", &["is-active", "--quiet", service]).is_ok(),
            Self::Procd => ask(&format!("{SCRIPTS}/{service}"), &["running"]).is_ok(),
            Self::Nobody => false,
        }
    }

    /// What a person types to start sparelink now and at every boot.
    #[must_use]
    pub const fn start_it(self) -> &'static str {
        match self {
            Self::Systemd => "systemctl enable --now sparelink",
            Self::Procd => {
                "uci set sparelink.main.enabled=1; uci commit sparelink; service sparelink restart"
            }
            Self::Nobody => "sparelink run",
        }
    }

    /// What a person types to stop it.
    #[must_use]
    pub const fn stop_it(self) -> &'static str {
        match self {
            Self::Systemd => "sudo systemctl stop sparelink",
            Self::Procd => "service sparelink stop",
            Self::Nobody => "pkill -x sparelink",
        }
    }

    /// Has something done to a service: `start`, `stop`, `restart`, `enable`.
    ///
    /// # Errors
    ///
    /// What the manager said; nobody is there to be told otherwise.
    pub fn tell(self, verb: &str, service: &str) -> io::Result<()> {
        match self {
            Self::Systemd => ask("systemctl", &[verb, service]).map(drop),
            Self::Procd => ask(&format!("{SCRIPTS}/{service}"), &[verb]).map(drop),
            Self::Nobody => Err(io::Error::other("no manager of services is known on this box")),
        }
    }
}

/// Runs a program to its end; what it said.
///
/// # Errors
///
/// When it cannot be run, or it failed: its last line on stderr.
pub fn ask(program: &str, arguments: &[&str]) -> io::Result<Output> {
    let output = command(program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("it failed and said nothing");
    Err(io::Error::other(format!("{program}: {last}")))
}

/// Runs a program later, whatever becomes of this one, of the terminal and of the session.
///
/// # Errors
///
/// When neither systemd nor a shell takes it.
pub fn later(after: Duration, program: &Path, arguments: &[String]) -> io::Result<()> {
    let seconds = after.as_secs();
    if Manager::find() == Manager::Systemd {
        let timer = format!("--on-active={seconds}s");
        let mut command = command("systemd-run");
        command.args(["--quiet", "--collect", "--timer-property=AccuracySec=1s", &timer]);
        command.arg(program).args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if command.status().is_ok_and(|status| status.success()) {
            return Ok(());
        }
    }
    // A group of its own, so that the terminal's signals do not reach it.
    const WAIT: &str = "trap '' HUP INT TERM; sleep \"$1\"; shift; exec \"$@\"";
    let mut command = command("sh");
    command.args(["-c", WAIT, "sparelink-undo", &seconds.to_string()]);
    command.arg(program).args(arguments).process_group(0).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

#[expect(clippy::disallowed_methods, reason = "a person sets the box up with its own tools")]
fn command(program: &str) -> Command {
    Command::new(program)
}

/// An observer ends after this, whatever becomes of whoever started it.
const LIFE: Duration = Duration::from_secs(30);

/// An agent that only looks (`run --observe`); it ends with this.
#[derive(Debug)]
pub struct Observer(std::process::Child);

impl Observer {
    /// Starts one with this configuration.
    ///
    /// # Errors
    ///
    /// When this very program cannot be started.
    pub fn start(config: &Path, run_dir: &Path) -> io::Result<Self> {
        // It ends although nobody is left to end it.
        let mut command = command("timeout");
        command.arg(LIFE.as_secs().to_string()).arg(std::env::current_exe()?);
        command.args(["run", "--observe", "--config"]).arg(config).arg("--run-dir").arg(run_dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // It may have ended by itself. What timeout is told it hands on.
        if let Ok(pid) = i32::try_from(self.0.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap_or_default();
        }
        drop(self.0.wait());
    }
}
