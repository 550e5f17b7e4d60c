//! A home in network namespaces: the real agent on the real kernel, with lines that can be cut.
//!
//! `sparelink lab` and its tour are for people; scenario tests and the bench use the same parts:
//!
//! | | |
//! | --- | --- |
//! | [`stage`] | leaves the machine's namespaces, leaves nothing behind |
//! | [`netns`] | one namespace: a thread with a runtime |
//! | [`topology`], [`uplink`] | the home and the Internet; each uplink with its modem and provider |
//! | [`internet`] | servers: DNS, web, echo |
//! | [`forwarder`] | packets take their time |
//! | [`faults`], [`modem`] | what goes wrong, and the rules that make it so |
//! | [`meter`], [`chatter`] | what a LAN client sees of it; clients that only talk to modems |
//! | [`agent`] | the agent in the router |
//! | [`page`] | the agent's page at the machine's own address |
//! | [`script`] | words for what happens and what is expected |
//! | [`play`], [`tour`], [`prompt`] | a scenario file, the story, the keyboard |
//! | [`asked`] | how long, and with which seed |
//! | [`fuzz`] | what reads what others write, by name |
//! | [`world`] | the same without a kernel, on a virtual clock |
pub mod agent;
pub mod asked;
pub mod chatter;
pub mod faults;
pub mod forwarder;
pub mod fuzz;
pub mod internet;
pub mod meter;
pub mod modem;
pub mod netifd;
pub mod netns;
pub mod page;
pub mod play;
pub mod prompt;
pub mod script;
pub mod stage;
pub mod topology;
pub mod tour;
pub mod uplink;
pub mod world;

use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use agent::Agent;
use meter::Meter;
use script::{Kind, Settings};
use topology::{ECHO4, Home, Plan};
use tour::Telling;

use crate::engine::probe::window::Range;
use crate::time::human;

/// How long the agent has to prove every uplink.
const PROVEN_LIMIT: Duration = Duration::from_secs(15);
/// Exit code after Ctrl-C, as shells say it.
const INTERRUPTED: u8 = 130;

/// What `sparelink lab` was asked to do.
#[derive(Clone, Debug, Default)]
pub struct LabArgs {
    /// Play the story without a keyboard.
    pub tour: bool,
    /// Go on at the prompt afterwards.
    pub stay: bool,
    /// Tell it as JSON lines.
    pub json: bool,
    /// What differs from the lab's usual home: kinds of uplinks, windows, holds.
    pub settings: Settings,
    /// The program to run as the agent; `None`: this one.
    pub agent: Option<PathBuf>,
}

/// `sparelink lab`. Must be called before any thread is started: the program runs itself again.
///
/// Exit code 0: played; 1: the agent did not do what it should; 2: the lab could not be built.
#[must_use]
pub fn main(args: &LabArgs) -> ExitCode {
    stage::enter_with(page::open, |entrance| match run(args, entrance) {
        Ok(code) => code,
        Err(e) => {
            let _ = writeln!(io::stderr(), "sparelink: {e:#}");
            ExitCode::FAILURE
        }
    })
}

fn run(args: &LabArgs, entrance: io::Result<TcpListener>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::select! {
            done = lab(args, entrance) => done.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => Ok(if args.tour { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS }),
            _ = terminate.recv() => Ok(ExitCode::from(INTERRUPTED)),
            _ = hang_up.recv() => Ok(ExitCode::from(INTERRUPTED)),
        }
    });
    // Somebody may still sit at the keyboard's read: do not wait for that.
    runtime.shutdown_background();
    code
}

async fn lab(args: &LabArgs, entrance: io::Result<TcpListener>) -> Result<()> {
    let telling = if args.json { Telling::Json } else { Telling::Text };
    let out = &mut io::stdout();
    let names = &args.settings.uplinks;
    let plan = Plan::of(names);
    let home = Home::build(&plan).await.context("building the lab")?;
    let program = args.agent.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let config = agent::config(&plan, &args.settings);
    if telling == Telling::Text {
        introduce(out, &plan, &args.settings)?;
    }
    let mut page = match entrance {
        Ok(entrance) => {
            tokio::spawn(page::lead(entrance, home.router.clone()));
            format!("The page is at http://{}/.", page::ADDRESS)
        }
        Err(e) => format!("There is no page at http://{}/: {e}.", page::ADDRESS),
    };
    let start = async || Agent::start(&home, Path::new(&program), &config).await;
    let mut agent = start().await?;
    let password = page::password(&agent.config_file())?;
    page.push_str(&format!(" Its password is {password}."));
    let meter = Meter::start(&home.client, ECHO4).await?;
    let status = agent.wait_proven(PROVEN_LIMIT).await?;
    if telling == Telling::Text {
        let sentence = status.sentence.trim_end_matches('.');
        writeln!(out, "\nAll uplinks are proven. {sentence}. {page}\n")?;
    }
    if args.tour {
        tour::tour(&home, &mut agent, &meter, telling, out).await?;
        if !args.stay {
            return Ok(());
        }
        writeln!(out, "Now it is your turn. {page}\n")?;
    }
    prompt::run(&home, &mut Some(agent), &meter, start).await
}

fn introduce(out: &mut impl Write, plan: &Plan, settings: &Settings) -> Result<()> {
    writeln!(
        out,
        "A home with {} uplinks, in network namespaces; nothing of this machine is touched.\n",
        plan.uplinks.len()
    )?;
    for uplink in &plan.uplinks {
        let kind =
            settings.kinds.iter().rfind(|(name, _)| *name == uplink.name).map(|(_, kind)| *kind);
        let kind = kind.unwrap_or_default();
        let silence = human(Range::of(kind).start);
        let kind = match kind {
            Kind::Wired => "wired",
            Kind::Wifi => "wifi",
            Kind::Cellular => "cellular",
        };
        let round_trip = 2 * uplink.delay.as_millis();
        writeln!(
            out,
            "  {:<8} {:<6} {kind:<9} {round_trip:>3} ms to the Internet and back, dead after {silence} of silence",
            uplink.name, uplink.interface
        )?;
    }
    let every = meter::EVERY.as_millis();
    let hold = settings.hold.unwrap_or(agent::HOLD).as_secs_f64();
    writeln!(
        out,
        "\nThe router runs the real agent with default settings, except that failback waits only {hold} s."
    )?;
    writeln!(
        out,
        "A client in the LAN opens a new flow every {every} ms; what it misses is what is shown."
    )?;
    Ok(())
}
