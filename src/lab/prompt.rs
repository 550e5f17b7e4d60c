//! The lab with a keyboard: type what should happen, read what it did.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::agent::{Agent, Status};
use super::meter::Meter;
use super::modem::Condition;
use super::page;
use super::script::{Action, EVENTS};
use super::topology::Home;
use crate::time::human;
use crate::units::Family;

/// How often the agent is asked how things are.
const WATCH: Duration = Duration::from_millis(100);
/// When the answers of the flows around an event have all come in, or never will.
const SETTLED: Duration = Duration::from_millis(500);

const HELP: &str = "  unplug UPLINK     pull its cable out of the router
  sever UPLINK      cut the line beyond the modem; the modem itself goes on answering
  sever v6 UPLINK   the same for IPv6 alone; sever v4
  silence UPLINK    the modem itself dies, too; its cable stays lit
  break dns UPLINK  names are not resolved any more
  lose 40 UPLINK    lose 40 % of what comes from the Internet
  mute UPLINK       lose all that is sent to the Internet, and nothing that comes
  block echoes UPLINK   throw pings away somewhere on the way
  slow UPLINK       400 ms more, each way
  bloat UPLINK      fill it with an upload: up to two seconds of queue
  portal UPLINK     a login page in the way
  vanish UPLINK     pull its USB stick out; it returns under another index
  reboot UPLINK     restart its modem: carrier after 2 s, a dead line for a minute
  restore UPLINK    everything well again
  drop target IP    one of the probed addresses goes silent; restore target IP
  switch UPLINK     prefer it; switch auto; also: pause UPLINK, resume UPLINK
  kill agent        also: stop agent, start agent
  status            how the agent sees it
  history           what it has done
  code              take the page's password away: a new one is set there with this code
  quit";

/// Reads commands until `quit` or the end of input.
///
/// # Errors
/// If standard output is closed or the agent ends by itself.
pub async fn run(
    home: &Home,
    agent: &mut Option<Agent>,
    meter: &Meter,
    start: impl AsyncFn() -> Result<Agent>,
) -> Result<()> {
    let mut lines = standard_input();
    let mut watch = interval(WATCH);
    watch.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let active = match agent {
        Some(agent) => agent.status().await?.active,
        None => None,
    };
    let mut view = View { since: Instant::now(), active };
    say(&format!("Type {EVENTS}, then an uplink.\nAlso: status, history, help, quit."))?;
    prompt()?;
    loop {
        tokio::select! {
            line = lines.recv() => {
                let Some(line) = line else { return Ok(()) };
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    [] => {}
                    ["quit" | "exit" | "q"] => return Ok(()),
                    ["help" | "?"] => say(HELP)?,
                    ["status" | "s"] => say(&status(home, agent.as_ref()).await)?,
                    ["history"] => say(&history(agent.as_ref()).await?)?,
                    ["code"] => say(&code(agent.as_ref()))?,
                    words => match Action::parse(words) {
                        Ok(action) => match act(home, agent, &action, &start).await {
                            Ok(begun) => {
                                view.since = begun;
                                say(&done(&action))?;
                            }
                            Err(e) => say(&format!("{e:#}"))?,
                        },
                        Err(why) => say(&why)?,
                    },
                }
                prompt()?;
            }
            _ = watch.tick() => {
                let Some(agent) = agent else { continue };
                if let Ok(status) = agent.status().await {
                    view.look(&status, meter).await?;
                }
            }
        }
    }
}

/// The code by which the page's password is set.
fn code(agent: Option<&Agent>) -> String {
    let Some(agent) = agent else { return "  there is no agent; type `start agent`".to_owned() };
    match page::code(&agent.config_file()) {
        Ok(code) => format!("  set a password on the page with the code {code}"),
        Err(e) => format!("{e:#}"),
    }
}

/// What an action has done. What becomes of the traffic is told when it happens.
fn done(action: &Action) -> String {
    match action {
        Action::KillAgent => {
            "  agent killed (SIGKILL); traffic goes on as it was. `start agent` starts it again"
                .into()
        }
        Action::StopAgent => {
            "  agent stopped; traffic goes on as it was. `start agent` starts it again".into()
        }
        Action::StartAgent => "  agent started".into(),
        Action::Switch(_)
        | Action::Pause(_)
        | Action::Resume(_)
        | Action::Probe(_)
        | Action::Stall(_)
        | Action::Line { .. }
        | Action::DropTarget(_)
        | Action::RestoreTarget(_) => format!("  done: {action}"),
    }
}

/// Lets something happen; what concerns the agent goes to the agent.
pub(super) async fn act(
    home: &Home,
    agent: &mut Option<Agent>,
    action: &Action,
    start: &impl AsyncFn() -> Result<Agent>,
) -> Result<Instant> {
    use nix::sys::signal::Signal;
    let begun = Instant::now();
    let gone = || anyhow::anyhow!("there is no agent; type `start agent`");
    match action {
        Action::Switch(to) => {
            let to = to.as_deref().unwrap_or("auto");
            agent.as_ref().ok_or_else(gone)?.must(&["switch", to]).await?;
        }
        Action::Pause(uplink) | Action::Resume(uplink) => {
            let word = if matches!(action, Action::Pause(_)) { "pause" } else { "resume" };
            agent.as_ref().ok_or_else(gone)?.must(&[word, uplink]).await?;
        }
        Action::Probe(uplink) => agent.as_ref().ok_or_else(gone)?.must(&["probe", uplink]).await?,
        Action::Stall(_) => anyhow::bail!("`{action}` happens on the virtual clock only"),
        Action::KillAgent | Action::StopAgent => {
            let signal =
                if *action == Action::KillAgent { Signal::SIGKILL } else { Signal::SIGTERM };
            agent.as_mut().ok_or_else(gone)?.end(signal).await?;
            *agent = None;
        }
        Action::StartAgent => {
            anyhow::ensure!(agent.is_none(), "the agent runs already");
            *agent = Some(start().await?);
        }
        Action::Line { .. } | Action::DropTarget(_) | Action::RestoreTarget(_) => {
            return home.apply(action).await;
        }
    }
    Ok(begun)
}

/// What was last shown.
struct View {
    /// When something last happened.
    since: Instant,
    active: Option<String>,
}

impl View {
    /// Tells when the active uplink has changed, and what it cost.
    async fn look(&mut self, status: &Status, meter: &Meter) -> Result<()> {
        if status.active == self.active {
            return Ok(());
        }
        let seen = Instant::now();
        sleep(SETTLED).await;
        let to = status.active.as_deref().unwrap_or("no uplink");
        let lost = meter.flows(self.since, seen).lost;
        let hole = human(meter.longest_hole(self.since, seen));
        let cost = match (&self.active, lost) {
            (None, _) => String::new(),
            (Some(_), 0) => " (the client noticed nothing)".to_owned(),
            (Some(_), 1) => " (the client: one flow unanswered)".to_owned(),
            (Some(_), lost) => {
                format!(" (the client: {lost} flows unanswered, {hole} without answers)")
            }
        };
        let clear = if io::stdin().is_terminal() { "\r" } else { "" };
        say(&format!("{clear}  -> {to}{cost}. {}", status.sentence))?;
        self.active.clone_from(&status.active);
        prompt()
    }
}

async fn status(home: &Home, agent: Option<&Agent>) -> String {
    let said = match agent {
        Some(agent) => agent.status().await,
        None => return "There is no agent; type `start agent`.".to_owned(),
    };
    let status = match said {
        Ok(status) => status,
        Err(e) => return format!("{e:#}"),
    };
    let mut text = status.sentence.clone();
    for uplink in &home.uplinks {
        let name = uplink.name.as_str();
        let seen = status.uplink(name).cloned().unwrap_or_default();
        let fault = in_words(uplink.condition());
        text += &format!(
            "\n  {name:<8} {:<10} {:<10} {:<14} {fault}",
            seen.role, seen.health, seen.condition
        );
    }
    text
}

/// What the agent has done, in its own words.
async fn history(agent: Option<&Agent>) -> Result<String> {
    let Some(agent) = agent else {
        return Ok("There is no agent; type `start agent`.".to_owned());
    };
    let output = agent.command(&["history"]).await?;
    let all = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&all).trim_end().to_owned())
}

/// What the lab does to an uplink, in words.
fn in_words(now: Condition) -> String {
    let loses = format!("loses {} %", now.loss);
    let faults = [
        (now.unplugged, "unplugged"),
        (now.severed, "severed"),
        (now.severed_only == Some(Family::V4), "severed for IPv4"),
        (now.severed_only == Some(Family::V6), "severed for IPv6"),
        (now.silent, "silent"),
        (now.dns_broken, "no DNS"),
        (now.vanished, "gone"),
        (now.loss > 0, &loses),
        (now.slow || !now.delay.is_zero(), "slow"),
        (now.bloat, "bloated"),
        (now.portal, "portal"),
    ];
    let words: Vec<&str> = faults.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    if words.is_empty() { String::new() } else { format!("(in truth: {})", words.join(", ")) }
}

/// Lines of standard input. A thread, because reading a terminal blocks.
fn standard_input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Shows that it listens; to a script that would only be noise.
fn prompt() -> Result<()> {
    if !io::stdin().is_terminal() {
        return Ok(());
    }
    let mut out = io::stdout();
    write!(out, "lab> ")?;
    Ok(out.flush()?)
}
