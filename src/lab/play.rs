//! Plays a scenario file on the real kernel.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep, sleep_until};

use super::agent::{self, Agent, Status, UplinkStatus};
use super::chatter::Chatter;
use super::meter::Meter;
use super::prompt::act;
use super::script::{Action, Expect, Scenario, Wanted, What};
use super::topology::{ECHO4, ECHO6, Home, Plan};

/// How long everything has to be proven before the scenario's clock starts.
const PROVEN_LIMIT: Duration = Duration::from_secs(15);
/// How often the agent is looked at where something must not happen.
const LOOK: Duration = Duration::from_millis(50);
/// Times that something must happen within are stretched on the real kernel: `LIMIT × 3 + 300 ms`.
/// The machine is shared with whatever else it does; here only what such noise cannot break is
/// demanded. The virtual clock holds the very limit, the bench reports the real figures.
const STRETCH: (u32, Duration) = (3, Duration::from_millis(300));
/// How long nothing must happen on the real kernel, at most: every verdict falls sooner. The virtual clock holds out
/// for as long as the scenario says.
const QUIET: Duration = Duration::from_secs(8);
/// How long the last flow's answer is waited for.
const SETTLED: Duration = Duration::from_secs(1);

/// Plays a scenario with `program` as the agent, in a home built for it. Inside the lab only.
///
/// # Errors
/// The first expectation that was not met, with its line.
pub async fn play(scenario: &Scenario, program: &Path) -> Result<()> {
    let names = &scenario.settings.uplinks;
    let plan = Plan::of(names);
    let home = Home::build(&plan).await?;
    let config = agent::config(&plan, &scenario.settings);
    let start = async || Agent::start(&home, program, &config).await;
    let mut agent = start().await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    // A household uses both families.
    let meter6 = Meter::start(&home.client, ECHO6).await?;
    let _chatter = scenario.settings.chatter.then(|| Chatter::start(&home));
    agent.wait_proven(PROVEN_LIMIT).await?;
    let zero = Instant::now();
    let mut player = Player {
        home: &home,
        meter: &meter,
        meter6: &meter6,
        agent: Some(agent),
        last_action: zero,
        told: 0,
    };
    for step in &scenario.steps {
        let done = match &step.what {
            What::At(time, action) => {
                sleep_until(zero + *time).await;
                player.act(action, &start).await
            }
            What::After(time, action) => {
                sleep(*time).await;
                player.act(action, &start).await
            }
            What::Expect(expect) => player.expect(expect).await,
        };
        done.with_context(|| format!("line {}", step.line))?;
    }
    Ok(())
}

fn stretched(limit: Duration) -> Duration {
    limit * STRETCH.0 + STRETCH.1
}

/// Whether the agent says what is wanted; what happened is told by its history.
fn fits(status: &Status, wanted: &Wanted) -> bool {
    let of = |uplink: &str, fits: &dyn Fn(&UplinkStatus) -> bool| {
        status.uplink(uplink).is_some_and(fits)
    };
    match wanted {
        Wanted::Active(uplink) => status.active == *uplink,
        Wanted::Active6(uplink) => status.active6 == *uplink,
        Wanted::Health(uplink, state) => of(uplink, &|u| u.health == *state),
        Wanted::Condition(uplink, condition) => of(uplink, &|u| u.condition == *condition),
        Wanted::Role(uplink, role) => of(uplink, &|u| u.role == *role),
        Wanted::Reason(uplink, text) => of(uplink, &|u| u.reason.contains(text)),
        Wanted::Spares(count) => status.spares_ready as usize == *count,
        Wanted::Online(online) => status.works == *online,
        Wanted::Sentence(text) => status.sentence.contains(text),
        Wanted::Resolver(address) => status.resolvers.first() == Some(&address.to_string()),
        Wanted::Flows(uplink, some) => {
            of(uplink, &|u| u.flows.is_some_and(|flows| (flows > 0) == *some))
        }
        Wanted::Event(_) => false,
    }
}

struct Player<'a> {
    home: &'a Home,
    meter: &'a Meter,
    /// Of the client's IPv6 flows.
    meter6: &'a Meter,
    agent: Option<Agent>,
    last_action: Instant,
    /// Entries in the history before the last action.
    told: usize,
}

impl Player<'_> {
    async fn act(
        &mut self,
        action: &Action,
        start: &impl AsyncFn() -> Result<Agent>,
    ) -> Result<()> {
        self.told = match &self.agent {
            Some(agent) => agent.history().await?.len(),
            None => 0,
        };
        self.last_action = act(self.home, &mut self.agent, action, start).await?;
        Ok(())
    }

    async fn expect(&mut self, expect: &Expect) -> Result<()> {
        match expect {
            Expect::Within(Wanted::Event(code), within) => self.event(code, *within).await,
            Expect::Within(wanted, within) => {
                self.within(*within, &wanted.to_string(), |status| fits(status, wanted)).await
            }
            Expect::NoSwitch(lasting) => {
                let active = self.status().await?.active;
                self.lasting(*lasting, "no switch", |status| status.active == active).await
            }
            Expect::NoDown { uplink, lasting } => {
                let fine =
                    |status: &Status| status.uplink(uplink).is_none_or(|u| u.health != "down");
                self.lasting(*lasting, &format!("no down {uplink}"), fine).await
            }
            Expect::Lost(most) => {
                let end = Instant::now();
                sleep(SETTLED).await;
                let lost = self.meter.flows(self.last_action, end).lost;
                ensure!(lost <= *most, "{lost} flows were lost, more than {most}");
                Ok(())
            }
            Expect::Told(code, count) => {
                let agent = self.agent.as_ref().context("there is no agent to look at")?;
                let codes = agent.history().await?.split_off(self.told);
                let told = codes.iter().filter(|told| *told == code).count();
                ensure!(told == *count, "{code} was told {told} times: {codes:?}");
                Ok(())
            }
            Expect::Felt(most) => {
                sleep(SETTLED).await;
                let status = self.status().await?;
                let felt = status.last_switch.and_then(|last| last.felt_ms).unwrap_or(0.0);
                let felt = Duration::try_from_secs_f64(felt / 1e3)?;
                let now = Instant::now();
                let hole = |meter: &Meter| meter.longest_hole(self.last_action, now);
                let hole = hole(self.meter).max(hole(self.meter6));
                ensure!(
                    felt.abs_diff(hole) <= stretched(*most),
                    "felt {felt:?} by what the agent says, {hole:?} by the client"
                );
                Ok(())
            }
            Expect::Gap(most) => {
                sleep(SETTLED).await;
                let gap = self
                    .meter
                    .gap_after(self.last_action)
                    .context("the client still has no answer")?;
                let most = stretched(*most);
                ensure!(gap.gap <= most, "the gap was {:?}, more than {most:?}", gap.gap);
                Ok(())
            }
        }
    }

    /// Waits until something like this is in the history that was not there before the last action.
    async fn event(&self, code: &str, within: Duration) -> Result<()> {
        let end = self.last_action + stretched(within);
        loop {
            let agent = self.agent.as_ref().context("there is no agent to look at")?;
            let codes = agent.history().await?;
            if codes.iter().skip(self.told).any(|told| told == code) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "event {code}: not within {within:?}: {codes:?}");
            sleep(LOOK).await;
        }
    }

    async fn within(
        &mut self,
        time: Duration,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> Result<()> {
        let left = (self.last_action + stretched(time)).saturating_duration_since(Instant::now());
        let agent = self.agent.as_mut().context("there is no agent to look at")?;
        agent.wait(left, what, wanted).await.map(|_| ())
    }

    async fn lasting(
        &self,
        time: Duration,
        what: &str,
        fine: impl Fn(&Status) -> bool,
    ) -> Result<()> {
        let (start, time) = (Instant::now(), time.min(QUIET));
        while start.elapsed() < time {
            let status = self.status().await?;
            ensure!(
                fine(&status),
                "{what} for {time:?}: broken after {:?}: {}",
                start.elapsed(),
                status.sentence
            );
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn status(&self) -> Result<Status> {
        self.agent.as_ref().context("there is no agent to look at")?.status().await
    }
}
