//! The doors from the command line to the rest of the program: what `run`, `plan`, `replay`,
//! `purge` and `lab` call.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

use super::args::Recording;
use super::terminal;
use crate::config::Config;
use crate::daemon::{self, LAST_RECORDING, Options, open_recording};
use crate::engine::message::{Input, Output, Restored};
use crate::engine::{Engine, Mode, dataplane::render};
use crate::io::lock::Lock;
use crate::io::netlink::{Door, Monitor};
use crate::io::record::Line;
use crate::io::{clock, store, sysctl};
use crate::units::PerFamily;

/// Is the agent, until a signal ends it.
pub(super) fn run(options: Options) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(daemon::run(options))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the desired dataplane as `ip` and `nft` text: what an agent that starts now would put into
/// the kernel before anything is proven.
pub(super) fn plan(config: &Config) -> anyhow::Result<ExitCode> {
    let (_, view) = runtime()?.block_on(Monitor::open())?;
    let names: BTreeMap<_, _> = view
        .links
        .values()
        .map(|link| (link.index, link.name.clone()))
        .collect();
    let now = clock::now();
    let run = store::restore(&config.state_dir, &config.run_dir).run;
    let restored = Restored {
        run,
        ..Restored::default()
    };
    let mut engine = Engine::new(config.clone(), Mode::Steer, restored, 0, now);
    engine.handle(
        Input::Started {
            view,
            adopted: PerFamily::default(),
            spares: PerFamily::default(),
        },
        now,
    );
    let text = render::dataplane(engine.wish(), &names);
    terminal::print(&text).map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// Runs a recording again; exit code 1 at the first difference.
pub(super) fn replay(recording: Recording, run_dir: &Path) -> anyhow::Result<ExitCode> {
    let path = match recording {
        Recording::Last => run_dir.join(LAST_RECORDING),
        Recording::File(path) => path,
    };
    let (mut engine, lines) = open_recording(&path)?;
    let mut text = String::new();
    let (mut inputs, mut outputs) = (0_u64, 0_u64);
    for line in lines {
        match line.with_context(|| format!("{}", path.display()))? {
            Line::In(now, input) => {
                inputs += 1;
                if let Some(extra) = engine.poll_output() {
                    return difference(&text, inputs, None, Some(&extra));
                }
                engine.handle(input, now);
            }
            Line::Out(recorded) => {
                outputs += 1;
                let again = engine.poll_output();
                if again.as_ref() != Some(&recorded) {
                    return difference(&text, inputs, Some(&recorded), again.as_ref());
                }
                if let Output::Record(event) = &recorded {
                    let at = event.utc.map_or_else(
                        || format!("{:>12.3} s", event.at.as_micros() as f64 / 1e6),
                        |utc| utc.to_string(),
                    );
                    text.push_str(&format!("{at}  {}\n", event.fact));
                }
            }
        }
    }
    text.push_str(&format!(
        "{inputs} inputs gave the same {outputs} outputs again\n"
    ));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn difference(
    text: &str,
    input: u64,
    recorded: Option<&Output>,
    again: Option<&Output>,
) -> anyhow::Result<ExitCode> {
    let show = |output: Option<&Output>| {
        output.map_or_else(|| Ok("nothing".to_owned()), serde_json::to_string)
    };
    print(&format!(
        "{text}input {input} gives something else now\n  then: {}\n  now:  {}\n",
        show(recorded)?,
        show(again)?,
    ))?;
    Ok(ExitCode::from(1))
}

/// Takes everything of ours out of the kernel, and puts sysctls back.
pub(super) fn purge(run_dir: &Path) -> anyhow::Result<ExitCode> {
    let _lock = Lock::take().context("stop the agent first")?;
    let report = runtime()?.block_on(async {
        let mut door = Door::open(run_dir).await?;
        anyhow::Ok(door.purge().await)
    })?;
    let mut text = String::new();
    for change in &report.changes {
        text.push_str(&format!("{change}\n"));
    }
    let restored = sysctl::restore(run_dir)?;
    for path in &restored {
        text.push_str(&format!("sysctl {path} as it was\n"));
    }
    print(&text)?;
    if let Some(error) = report.errors.first() {
        anyhow::bail!("not everything could be removed: {error}");
    }
    print("nothing of sparelink is left in the kernel\n")?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the home in network namespaces and plays.
#[cfg(feature = "lab")]
pub(super) fn lab(tour: bool, json: bool) -> anyhow::Result<ExitCode> {
    let args = crate::lab::LabArgs {
        tour,
        json,
        ..Default::default()
    };
    Ok(crate::lab::main(&args))
}

fn print(text: &str) -> anyhow::Result<()> {
    terminal::print(text)
        .map(drop)
        .map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// One thread: there is one loop, and what blocks has a thread of its own.
fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
}
