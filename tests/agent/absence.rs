//! The box after its agent's end, whatever it was doing then: LAN and box reach what they would reach if there had never
//! been an agent.
//!
//! Nobody leaves a line that is cut but has its carrier: neither what an agent left behind nor a box without one. So cuts
//! are what an agent has seen before its end, and cables are what is pulled after it.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Agent, Status};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{Action, LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, ECHO6, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{PROVEN, SOON, Stage, echo, shell};

crate::tests![
    #[ignore = "long: minutes"]
    a_box_whose_agent_has_ended_is_never_worse_than_one_without,
    #[ignore = "long: minutes"]
    a_box_whose_agent_crashes_over_and_over_is_never_worse_than_one_without,
];

const UPLINKS: [&str; 3] = ["cable", "mifi", "phone"];
/// What refuses new flows ends so long after the agent; and a little.
const REFUSED: Duration = Duration::from_secs(12);
/// How long a box without an agent has for a first answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long an agent lives that crashes over and over: before it has anything in the kernel, and after that.
const LIVES: [Duration; 4] = [
    Duration::from_millis(30),
    Duration::from_millis(150),
    Duration::from_millis(450),
    Duration::from_millis(900),
];
/// So often everybody is asked again while it goes on, and how long after the last time.
const REPEATED: usize = 3;
const BETWEEN: Duration = Duration::from_millis(400);
/// What a box without an agent may be set up with: it forwards and masquerades, as its owner wants it.
const OWN: &str = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1; \
                   nft add table inet own; \
                   nft add chain inet own post '{ type nat hook postrouting priority 100; }'; \
                   nft add rule inet own post oifname != lan0 masquerade";

/// What the agent is doing when it ends.
#[derive(Clone, Copy, Debug)]
enum State {
    AllWell,
    OnTheSpare,
    WithoutCable,
    Draining,
    ByHand,
    Paused,
    Refused,
    NoWayOut,
    HalfStarted,
}

/// How it ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Once(Signal),
    /// It is killed, started again and killed within a second, and so on.
    OverAndOver,
}

/// What happens after that.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// The cable of the uplink in use is pulled.
    Pulled,
    Mended,
}

const STATES: [State; 9] = [
    State::AllWell,
    State::OnTheSpare,
    State::WithoutCable,
    State::Draining,
    State::ByHand,
    State::Paused,
    State::Refused,
    State::NoWayOut,
    State::HalfStarted,
];

/// Who reaches the Internet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Reached {
    lan: [bool; 2],
    own: [bool; 2],
}

impl Reached {
    /// Who is reached at this moment and again a moment later, as long as it goes on.
    async fn again_and_again(home: &Home, limit: Duration) -> Result<Self> {
        let mut all = Self::within(home, limit).await?;
        for _ in 0..REPEATED {
            sleep(BETWEEN).await;
            let now = Self::within(home, PATIENCE).await?;
            let both = |a: [bool; 2], b: [bool; 2]| [a[0] && b[0], a[1] && b[1]];
            all = Self { lan: both(all.lan, now.lan), own: both(all.own, now.own) };
        }
        Ok(all)
    }

    /// Asks until everybody has an answer, or time is up.
    async fn within(home: &Home, limit: Duration) -> Result<Self> {
        let end = Instant::now() + limit;
        let [lan4, lan6, own4, own6] = [
            (&home.client, ECHO4),
            (&home.client, ECHO6),
            (&home.router, ECHO4),
            (&home.router, ECHO6),
        ]
        .map(|(netns, server)| reaches(netns, server, end));
        let (lan4, lan6, own4, own6) = tokio::try_join!(lan4, lan6, own4, own6)?;
        Ok(Self { lan: [lan4, lan6], own: [own4, own6] })
    }

    /// Whether somebody reaches nothing who does there.
    fn is_worse_than(self, other: Self) -> bool {
        let both = |r: Self| [r.lan, r.own].concat();
        both(self).into_iter().zip(both(other)).any(|(here, there)| there && !here)
    }

    fn is_all(self) -> bool {
        self.lan == [true; 2] && self.own == [true; 2]
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LAN {:?}, box {:?}", self.lan, self.own)
    }
}

async fn reaches(netns: &Netns, server: IpAddr, end: Instant) -> Result<bool> {
    loop {
        if netns.run(echo(server)).await? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
    }
}

async fn a_box_whose_agent_has_ended_is_never_worse_than_one_without() -> Result<()> {
    table(&[End::Once(Signal::SIGTERM), End::Once(Signal::SIGKILL)]).await
}

async fn a_box_whose_agent_crashes_over_and_over_is_never_worse_than_one_without() -> Result<()> {
    table(&[End::OverAndOver]).await
}

async fn table(ends: &[End]) -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    shell(&home.router, OWN).await?;
    ensure!(Reached::within(&home, PATIENCE).await?.is_all(), "control: a box without an agent");
    let mut stage = Stage::in_home(home, Settings::default(), &[]).await?;
    let (mut cells, mut better) = (0, 0);
    for state in STATES {
        for change in [Change::Nothing, Change::Pulled, Change::Mended] {
            for end in ends {
                let cell = format!("{state:?}, {end:?}, then {change:?}");
                let (here, there) =
                    play(&mut stage, state, *end, change).await.context(cell.clone())?;
                ensure!(!here.is_worse_than(there), "{cell}: {here}; without an agent {there}");
                cells += 1;
                better += u32::from(there.is_worse_than(here));
                mend(&mut stage).await.context(cell)?;
            }
        }
    }
    ensure!(better > 0, "control: what was left behind is never better, so it is not looked at");
    // Control: what is left behind can be in the way.
    stage.agent.end(Signal::SIGKILL).await?;
    shell(&stage.home.router, "ip route add blackhole default metric 0 table 8300").await?;
    let here = Reached::within(&stage.home, PATIENCE).await?;
    stage.purge().await?.must(0)?;
    let there = Reached::within(&stage.home, PATIENCE).await?;
    ensure!(here.is_worse_than(there), "control: {here}; without an agent {there}");
    figure(&format!("0 of {cells} worse than without an agent, {better} better"));
    Ok(())
}

/// What is reached after the agent's end, and what without anything of it.
async fn play(
    stage: &mut Stage,
    state: State,
    end: End,
    change: Change,
) -> Result<(Reached, Reached)> {
    let used = bring_to(stage, state).await?;
    let here = match end {
        End::Once(signal) => {
            stage.agent.end(signal).await?;
            happens(&stage.home, used, change).await?;
            Reached::within(&stage.home, REFUSED).await?
        }
        End::OverAndOver => {
            stage.agent.end(Signal::SIGKILL).await?;
            let Stage { home, agent, program, text, .. } = &mut *stage;
            let world = async {
                sleep(LIVES.iter().sum()).await;
                happens(home, used, change).await?;
                Reached::again_and_again(home, REFUSED).await
            };
            tokio::select! {
                here = world => here?,
                ended = crash(home, agent, program, text) => bail!("no crash loop: {ended:?}"),
            }
        }
    };
    // It may be in the middle of one of its lives.
    drop(stage.agent.end(Signal::SIGKILL).await);
    stage.purge().await?.must(0)?;
    let there = Reached::within(&stage.home, PATIENCE).await?;
    Ok((here, there))
}

/// Starts it, and kills it within a second, for as long as somebody looks.
async fn crash(home: &Home, agent: &mut Agent, program: &Path, text: &str) -> Result<()> {
    for life in LIVES.into_iter().cycle() {
        *agent = Agent::start(home, program, text).await?;
        sleep(life).await;
        ensure!(agent.ended()?.is_none(), "it ended by itself: {}", agent.last_words());
        agent.end(Signal::SIGKILL).await?;
    }
    Ok(())
}

async fn happens(home: &Home, used: &str, change: Change) -> Result<()> {
    match change {
        Change::Nothing => {}
        Change::Pulled => drop(home.apply(&Action::line(used, LineEvent::Unplug)).await?),
        Change::Mended => mend_lines(home).await?,
    }
    Ok(())
}

/// The uplink in use then.
async fn bring_to(stage: &mut Stage, state: State) -> Result<&'static str> {
    match state {
        State::AllWell => Ok("cable"),
        State::OnTheSpare | State::WithoutCable | State::Draining => {
            let unplugged = matches!(state, State::WithoutCable);
            let event = if unplugged { LineEvent::Unplug } else { LineEvent::Sever };
            stage.happens("cable", event).await?;
            stage.on("mifi").await?;
            sleep(Duration::from_millis(500)).await;
            if !matches!(state, State::Draining) {
                return Ok("mifi");
            }
            stage.happens("cable", LineEvent::Restore).await?;
            stage.on("cable").await?;
            Ok("cable")
        }
        State::ByHand => {
            stage.agent.must(&["switch", "phone"]).await?;
            stage.on("phone").await?;
            Ok("phone")
        }
        State::Paused => {
            stage.agent.must(&["pause", "cable"]).await?;
            stage.on("mifi").await?;
            Ok("mifi")
        }
        State::Refused | State::NoWayOut => {
            let cut = matches!(state, State::Refused);
            let event = if cut { LineEvent::Sever } else { LineEvent::Unplug };
            for uplink in UPLINKS {
                stage.happens(uplink, event).await?;
            }
            let dead = |status: &Status| status.active.is_none();
            stage.agent.wait(SOON, "no way out", dead).await?;
            sleep(Duration::from_secs(1)).await;
            Ok("cable")
        }
        State::HalfStarted => {
            stage.agent.end(Signal::SIGKILL).await?;
            stage.purge().await?.must(0)?;
            stage.start_again().await?;
            Ok("cable")
        }
    }
}

async fn mend_lines(home: &Home) -> Result<()> {
    for uplink in UPLINKS {
        home.apply(&Action::line(uplink, LineEvent::Restore)).await?;
    }
    Ok(())
}

/// All is as in the beginning.
async fn mend(stage: &mut Stage) -> Result<()> {
    mend_lines(&stage.home).await?;
    stage.start_again().await?;
    stage.agent.wait(SOON, "an answer", |_| true).await?;
    // Refused where nobody has paused it.
    stage.agent.command(&["resume", "cable"]).await?;
    stage.agent.must(&["switch", "auto"]).await?;
    stage.agent.wait_proven(PROVEN * 2).await?;
    stage.on("cable").await
}
