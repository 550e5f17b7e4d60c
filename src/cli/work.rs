//! The entries from the command line to the rest of the program: what `run`, `purge` and `lab` call.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::terminal;
use crate::daemon::{self, Options};
use crate::io::lock::{self, Lock};
use crate::io::netlink::{Reconciler, in_words};
use crate::io::service::Manager;
use crate::io::{leds, sysctl};
#[cfg(feature = "lab")]
use crate::lab::{
    LabArgs,
    script::{Kind, Settings},
};

/// Is the agent, until a signal ends it.
pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(daemon::run(options))?;
    Ok(ExitCode::SUCCESS)
}

/// What sparelink switches on for a LAN.
const FORWARDING: &str = "net/ipv4/ip_forward";

/// Takes everything of ours out of the kernel, and puts sysctls back.
pub(super) fn purge(run_dir: &Path) -> anyhow::Result<ExitCode> {
    let held = Lock::take_in_passing(run_dir);
    if matches!(held, Err(lock::Error::Taken)) {
        anyhow::bail!("the agent is still running – `{}` first", Manager::find().stop_it());
    }
    let _lock = held?;
    let report = runtime()?.block_on(async {
        let mut reconciler = Reconciler::open(run_dir).await?;
        anyhow::Ok(reconciler.purge().await)
    })?;
    let mut text = String::new();
    for change in &report.changes {
        text.push_str(&format!("{}\n", in_words(change)));
    }
    let forwards = || sysctl::read(FORWARDING).is_ok_and(|value| value == "1");
    let forwarded = forwards();
    let restored = sysctl::restore(run_dir);
    for path in restored.iter().flatten() {
        text.push_str(&format!("sysctl {path} as it was\n"));
    }
    if forwarded && !forwards() {
        text.push_str("the LAN is no longer forwarded: its clients have no Internet by this box\n");
    }
    for led in leds::give_back(Path::new("/"), run_dir)? {
        text.push_str(&format!("LED {led} as it was\n"));
    }
    print(&text)?;
    if let Some(error) = report.errors.first() {
        anyhow::bail!("not everything could be removed: {error}");
    }
    restored?;
    print("nothing of sparelink is left in the kernel\n")?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the home in network namespaces and plays.
#[cfg(feature = "lab")]
pub(super) fn lab(args: LabArgs) -> ExitCode {
    // As in a real home: a MiFi and a phone are mobile lines, which are given more time.
    let kinds = ["mifi", "phone"].map(|name| (name.to_owned(), Kind::Cellular)).into();
    let settings = Settings { kinds, ..args.settings };
    crate::lab::main(&LabArgs { settings, ..args })
}

pub(super) fn print(text: &str) -> anyhow::Result<()> {
    terminal::print(text).map(drop).map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// One thread: there is one loop, and what blocks has a thread of its own.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start the event loop")
}
