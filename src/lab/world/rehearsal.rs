//! Plays a scenario file on the virtual clock.

use std::fmt::Write as _;
use std::time::Duration;

use super::line::Nature;
use super::{Fault, Plan, World};
use crate::config;
use crate::engine::input::Command;
use crate::engine::status::snapshot::{Role, Snapshot, UplinkState};
use crate::lab::agent;
use crate::lab::script::{Action, Expect, LineEvent, Scenario, Settings, Wanted, What};
use crate::lab::topology;
use crate::lab::uplink::UplinkPlan;
use crate::time::Instant;
use crate::units::{Family, PerFamily};

/// How long everything has to be proven before the scenario's clock starts.
const PROVEN_LIMIT: Duration = Duration::from_secs(15);
/// How often the client opens a new flow.
const EVERY: Duration = Duration::from_millis(5);
/// How long the last flow's answer is waited for.
const SETTLED: Duration = Duration::from_secs(1);
/// How often the agent is looked at where something must not happen.
const LOOK: Duration = Duration::from_millis(10);

/// Plays a scenario; the seed decides what chance does.
///
/// # Errors
/// The first expectation that was not met, with its line and what happened until then.
pub fn play(scenario: &Scenario, seed: u64) -> Result<(), String> {
    let mut world = World::new(plan(&scenario.settings, seed)?);
    world.start_agent();
    world.net.people.flows = Some(Vec::new());
    world.net.people.only_names = scenario.settings.only_names.is_some();
    world.net.set_people(Some(scenario.settings.only_names.unwrap_or(EVERY)), world.now());
    let mut player = Player {
        last_action: world.now(),
        names: topology::Plan::of(&scenario.settings.uplinks).names(),
        world,
    };
    let result = player.play(scenario);
    let violations = player.world.net.kernel.violations.join("\n");
    let result = result.and_then(|()| match violations.as_str() {
        "" => Ok(()),
        some => Err(some.to_owned()),
    });
    result.map_err(|e| format!("{e}\n{}", player.story()))
}

/// The home that the settings describe, with the configuration that the lab's agent would get.
fn plan(settings: &Settings, seed: u64) -> Result<Plan, String> {
    let home = topology::Plan::of(&settings.uplinks);
    let natures: Vec<Nature> = home.uplinks.iter().map(nature).collect();
    let text = agent::config(&home, settings);
    Ok(Plan {
        config: config::parse(&text, "the scenario's home").map_err(|e| e.to_string())?,
        families: vec![PerFamily { v4: true, v6: true }; natures.len()],
        natures,
        seed,
    })
}

/// The plan names the delay of one way.
fn nature(uplink: &UplinkPlan) -> Nature {
    let (delay, jitter) = (uplink.delay * 2, Duration::from_micros(500));
    Nature { delay, jitter, loss: 0.0, bursts: None }
}

struct Player {
    world: World,
    names: Vec<String>,
    last_action: Instant,
}

impl Player {
    fn play(&mut self, scenario: &Scenario) -> Result<(), String> {
        self.until(PROVEN_LIMIT, "everything proven", |s| {
            let proven = |u: &UplinkState| matches!(u.role, Role::Active | Role::Ready);
            s.active.v4.is_some() && s.uplinks.iter().all(proven)
        })?;
        let zero = self.world.now();
        self.last_action = zero;
        for step in &scenario.steps {
            let done = match &step.what {
                What::At(time, action) => {
                    self.world.run_until(zero + *time);
                    self.act(action)
                }
                What::After(time, action) => {
                    self.world.run_for(*time);
                    self.act(action)
                }
                What::Expect(expect) => self.expect(expect),
            };
            done.map_err(|e| format!("line {}: {e}", step.line))?;
        }
        Ok(())
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        self.last_action = self.world.now();
        let world = &mut self.world;
        match action {
            Action::Line { uplink, event } => {
                let place = self.names.iter().position(|name| name == uplink);
                let place = place.ok_or_else(|| format!("there is no uplink {uplink}"))?;
                for fault in faults(*event) {
                    world.fault(place, fault);
                }
                Ok(())
            }
            Action::DropTarget(ip) => {
                world.net.dead_targets.insert(*ip);
                Ok(())
            }
            Action::RestoreTarget(ip) => {
                world.net.dead_targets.remove(ip);
                Ok(())
            }
            Action::Switch(Some(uplink)) => {
                self.command(Command::Switch { uplink: uplink.clone(), lasts: None })
            }
            Action::Switch(None) => self.command(Command::SwitchAuto),
            Action::Pause(uplink) => {
                self.command(Command::Pause { uplink: uplink.clone(), lasts: None, reason: None })
            }
            Action::Probe(uplink) => self.command(Command::Probe { uplink: uplink.clone() }),
            Action::Resume(uplink) => self.command(Command::Resume { uplink: uplink.clone() }),
            Action::KillAgent => {
                world.kill_agent();
                Ok(())
            }
            Action::StopAgent => {
                world.stop_agent();
                Ok(())
            }
            Action::StartAgent => {
                world.start_agent();
                Ok(())
            }
            Action::Stall(time) => {
                world.stall(*time);
                Ok(())
            }
        }
    }

    fn command(&mut self, command: Command) -> Result<(), String> {
        let number = self.world.command(command);
        match self.world.answers.remove(&number) {
            Some(Ok(_)) => Ok(()),
            other => Err(format!("the agent answered {other:?}")),
        }
    }

    fn expect(&mut self, expect: &Expect) -> Result<(), String> {
        let (at, now) = (self.last_action, self.world.now());
        match expect {
            Expect::Within(Wanted::Event(code), within) => self.event(code, at + *within),
            Expect::Within(wanted, within) => {
                let left = (at + *within).since(now);
                self.until(left, &wanted.to_string(), |snapshot| fits(snapshot, wanted))
            }
            Expect::NoSwitch(lasting) => {
                let active = self.look().map(|s| s.active);
                self.lasting(*lasting, |s| active.as_ref() == Some(&s.active))
            }
            Expect::NoDown { uplink, lasting } => {
                let down = |u: &UplinkState| u.name == *uplink && u.health.word() == "down";
                self.lasting(*lasting, |s| !s.uplinks.iter().any(down))
            }
            Expect::Lost(most) => {
                let lost = self.flows(now).iter().filter(|flow| !flow.1).count();
                if lost as u64 <= *most {
                    return Ok(());
                }
                Err(format!("{lost} flows were lost, more than {most}"))
            }
            Expect::Told(code, count) => {
                let events = self.world.events.iter().rev();
                let recent = events.take_while(|event| event.at >= at);
                let told = recent.filter(|event| event.fact.code().word() == code).count();
                if told == *count { Ok(()) } else { Err(format!("{code} was told {told} times")) }
            }
            Expect::Felt(most) => {
                let hole = longest_hole(&self.flows(now + SETTLED));
                let last = self.look().and_then(|s| s.last_switch);
                let felt = last.and_then(|(last, _)| last.felt).unwrap_or_default();
                if felt.abs_diff(hole) <= *most {
                    return Ok(());
                }
                Err(format!("felt {felt:?} by what the agent says, {hole:?} by the client"))
            }
            Expect::Gap(most) => {
                let flows = self.flows(now + SETTLED);
                let lost = flows.iter().skip_while(|flow| flow.1);
                let back = lost.skip_while(|flow| !flow.1).map(|flow| flow.0).next();
                let gap = match back {
                    Some(back) => back.since(at),
                    None if flows.iter().all(|flow| flow.1) => Duration::ZERO,
                    None => return Err("the client still has no answer".to_owned()),
                };
                if gap <= *most {
                    return Ok(());
                }
                Err(format!("the gap was {gap:?}, more than {most:?}"))
            }
        }
    }

    /// Waits until something like this has happened since the last action.
    fn event(&mut self, code: &str, end: Instant) -> Result<(), String> {
        loop {
            let events = self.world.events.iter().rev();
            let mut recent = events.take_while(|event| event.at >= self.last_action);
            if recent.any(|event| event.fact.code().word() == code) {
                return Ok(());
            }
            if !self.world.step(end) {
                return Err(format!("event {code} did not happen in time"));
            }
        }
    }

    /// The client's flows from the last action until `end`, and whether each was answered.
    fn flows(&mut self, end: Instant) -> Vec<(Instant, bool)> {
        self.world.run_until(end + SETTLED);
        let (begin, now) = (self.last_action, self.world.now());
        let flows = self.world.net.people.flows.iter().flatten();
        flows
            .filter(|(sent, _)| *sent >= begin && *sent < end)
            .map(|(sent, answered)| (*sent, answered.is_some_and(|at| at <= now)))
            .collect()
    }

    fn look(&self) -> Option<Snapshot> {
        let clock = self.world.clock();
        self.world.engine.as_ref().map(|engine| engine.snapshot(clock))
    }

    fn until(
        &mut self,
        time: Duration,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<(), String> {
        let end = self.world.now() + time;
        loop {
            let now = self.look();
            if now.as_ref().is_some_and(&wanted) {
                return Ok(());
            }
            if !self.world.step(end) {
                let sentence = now.map_or_else(|| "no agent".to_owned(), |s| s.sentence);
                return Err(format!("{what} did not happen in time: {sentence}"));
            }
        }
    }

    fn lasting(&mut self, time: Duration, fine: impl Fn(&Snapshot) -> bool) -> Result<(), String> {
        let start = self.world.now();
        while self.world.now().since(start) < time {
            match self.look() {
                Some(now) if fine(&now) => self.world.run_for(LOOK),
                Some(now) => {
                    let after = self.world.now().since(start);
                    return Err(format!("broken after {after:?}: {}", now.sentence));
                }
                None => return Err("no agent".to_owned()),
            }
        }
        Ok(())
    }

    /// Everything that the agent recorded, for the person who looks for the cause.
    fn story(&self) -> String {
        let mut story = String::new();
        for event in &self.world.events {
            let at = event.at.since(Instant::ZERO).as_secs_f64();
            let _ = writeln!(story, "  {at:9.3} {}", event.fact);
        }
        let last = self.last_action.since(Instant::ZERO).as_secs_f64();
        let now = self.world.now().since(Instant::ZERO).as_secs_f64();
        let _ = writeln!(story, "  the last action was at {last:.3}, now it is {now:.3}");
        story
    }
}

/// The longest stretch without an answer, from the first flow that had none to the next that had one.
fn longest_hole(flows: &[(Instant, bool)]) -> Duration {
    let (mut longest, mut began) = (Duration::ZERO, None);
    for (sent, answered) in flows {
        let start = *began.get_or_insert(*sent);
        if *answered {
            longest = longest.max(sent.since(start));
            began = None;
        }
    }
    longest
}

/// Whether the agent says what is wanted; what happened is told by its events.
fn fits(snapshot: &Snapshot, wanted: &Wanted) -> bool {
    let of = |uplink: &str, fits: &dyn Fn(&UplinkState) -> bool| {
        snapshot.uplinks.iter().any(|u| u.name == uplink && fits(u))
    };
    match wanted {
        Wanted::Active(uplink) => snapshot.active.v4 == *uplink,
        Wanted::Active6(uplink) => snapshot.active.v6 == *uplink,
        Wanted::Health(uplink, state) => of(uplink, &|u| u.health.word() == state),
        Wanted::Condition(uplink, condition) => of(uplink, &|u| u.condition.word() == condition),
        Wanted::Role(uplink, role) => of(uplink, &|u| u.role.word() == role),
        Wanted::Reason(uplink, text) => of(uplink, &|u| u.reason.contains(text)),
        Wanted::Spares(count) => snapshot.spares_ready == *count,
        Wanted::Online(online) => snapshot.works == *online,
        Wanted::Sentence(text) => snapshot.sentence.contains(text),
        Wanted::Resolver(address) => snapshot.resolvers.first() == Some(&address.to_string()),
        Wanted::Flows(uplink, some) => {
            of(uplink, &|u| u.flows.is_some_and(|flows| (flows > 0) == *some))
        }
        Wanted::Event(_) => false,
    }
}

/// What an event of a scenario does to a line.
fn faults(event: LineEvent) -> Vec<Fault> {
    let both = PerFamily { v4: true, v6: true };
    match event {
        LineEvent::Unplug => vec![Fault::Carrier(false)],
        LineEvent::Sever => vec![Fault::Sever(both)],
        LineEvent::SeverOnly(family) => {
            vec![Fault::Sever(PerFamily { v4: family == Family::V4, v6: family == Family::V6 })]
        }
        LineEvent::Lose(percent) => vec![Fault::Loss(f64::from(percent) / 100.0)],
        // Nothing comes back either way.
        LineEvent::Mute => vec![Fault::Loss(1.0)],
        LineEvent::BlockEchoes => vec![Fault::NoEchoes],
        LineEvent::Hijack => vec![Fault::Hijack],
        LineEvent::Pose(target) => vec![Fault::Pose(target)],
        LineEvent::Delay(time) => vec![Fault::Delay(time)],
        LineEvent::Slow => vec![Fault::Slow(true)],
        LineEvent::Bloat => vec![Fault::Bloat(true)],
        LineEvent::Portal => vec![Fault::Portal(true)],
        LineEvent::BreakDns => vec![Fault::DnsBroken(true)],
        LineEvent::BreakResolvers => vec![Fault::ResolversBroken(true)],
        LineEvent::Silence => vec![Fault::ModemDead(true)],
        LineEvent::Vanish => vec![Fault::Absent(true)],
        LineEvent::Reboot => vec![Fault::Reboot],
        LineEvent::Restore => vec![Fault::Restore],
    }
}
