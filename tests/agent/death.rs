//! The agent is killed at a change of the kernel, at each of them in turn. What it leaves behind
//! must carry traffic, and the next agent must make it whole.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use netlink_packet_route::route::RouteAttribute;
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::script::{LineEvent, Settings};
use sparelink::lab::topology::{ECHO4, ECHO6, Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::kernel::{self, Dump, dump};
use crate::stage::{AGENT, PROVEN, SOON, Stage, echo, file, in_router, with_environment};
use crate::watch::Defaults;

crate::tests![
    dying_at_every_change_of_a_start,
    dying_at_some_changes_of_a_switch,
    told_to_stop_in_the_middle_of_a_switch,
    #[ignore = "long: some minutes"]
    dying_before_every_change_of_a_switch_by_carrier,
    #[ignore = "long: some minutes"]
    dying_after_every_change_of_a_switch_by_carrier,
    #[ignore = "long: some minutes"]
    dying_before_every_change_of_a_switch_by_silence,
    #[ignore = "long: some minutes"]
    dying_after_every_change_of_a_switch_by_silence,
    #[ignore = "long: some minutes"]
    dying_before_every_change_of_a_first_start,
];

/// A switch is over if nothing is written for this long.
const QUIET: Duration = Duration::from_millis(1200);
/// A look at what somebody touched comes at once.
const LOOK: Duration = Duration::from_millis(300);
/// More changes than any switch makes.
const ENDLESS: u64 = 300;
/// Nobody wants to wait in a test.
const HOLD: Duration = Duration::from_millis(300);

/// The file that says when the agent dies, and the one with what it has changed.
struct Fate {
    when: PathBuf,
    log: PathBuf,
    program: PathBuf,
}

impl Fate {
    /// Before an agent is started.
    fn new() -> Result<Self> {
        let when = file("fate");
        let fate = when.display().to_string();
        let program = with_environment("mortal", &[("SPARELINK_DIE_AT_SEND", &fate)])?;
        let this = Self { log: when.with_extension("log"), when, program };
        this.never()?;
        Ok(this)
    }

    /// It dies then, counted from now on.
    fn at(&self, side: &str, number: u64) -> Result<()> {
        // Other words than before begin a new count.
        let _ = fs::remove_file(&self.log);
        Ok(fs::write(&self.when, format!("{side} {number}\n"))?)
    }

    /// It lives, and its changes are counted from now on.
    fn never(&self) -> Result<()> {
        self.at("never", 0)
    }

    /// What was changed since.
    fn changes(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a switch is over; how many changes it took.
    async fn quiet(&self) -> Result<u64> {
        self.quiet_for(QUIET).await
    }

    async fn quiet_for(&self, span: Duration) -> Result<u64> {
        let (begun, mut since, mut before) = (Instant::now(), Instant::now(), 0);
        loop {
            let now = self.changes().len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            if since.elapsed() > span {
                return Ok(now as u64);
            }
            ensure!(begun.elapsed() < PROVEN, "the agent never comes to rest");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A home whose agent can be killed at a change.
struct Mortal {
    stage: Stage,
    fate: Fate,
    defaults: Defaults,
    /// What stands while traffic is on the cable, everything being proven.
    whole: Dump,
}

impl Mortal {
    async fn new() -> Result<Self> {
        let fate = Fate::new()?;
        let home = Home::build(&Plan::default()).await?;
        let settings = Settings { hold: Some(HOLD), hold_max: Some(HOLD), ..Settings::default() };
        let text = config(&Plan::default(), &settings);
        let stage = Stage::configured(home, text, &fate.program, &[]).await?;
        let defaults = Defaults::watch(&stage.home).await?;
        fate.quiet().await?;
        let whole = dump(&stage.home).await?;
        Ok(Self { stage, fate, defaults, whole })
    }

    /// One way there and back without a death: what stands in between, and how many changes each
    /// way takes.
    async fn rehearse(&mut self, event: LineEvent) -> Result<(Dump, u64, u64)> {
        self.fate.never()?;
        self.stage.happens("cable", event).await?;
        self.stage.on("mifi").await?;
        let there = self.fate.quiet().await?;
        ensure!(there > 3, "control: a switch changes the kernel: {:?}", self.fate.changes());
        let away = dump(&self.stage.home).await?;
        self.fate.never()?;
        let back = self.return_to_cable().await?;
        ensure!(self.defaults.forget() > 3, "control: a switch is seen in the routes");
        Ok((away, there, back))
    }

    async fn return_to_cable(&mut self) -> Result<u64> {
        self.stage.happens("cable", LineEvent::Restore).await?;
        self.stage.on("cable").await?;
        self.stage.agent.wait_proven(PROVEN).await?;
        let count = self.fate.quiet().await?;
        self.stands(&self.whole.clone()).await.context("back on the cable")?;
        Ok(count)
    }

    /// Something happens, and the agent dies at its change of that number. `false`: it did not
    /// make so many.
    async fn dies_when(&mut self, event: LineEvent, to: &str) -> Result<bool> {
        let begun = self.stage.happens("cable", event).await?;
        loop {
            if let Some(status) = self.stage.agent.ended()? {
                ensure!(!status.success(), "it was killed: {status}");
                break;
            }
            let there = self.stage.agent.status().await;
            if there.is_ok_and(|status| status.active.as_deref() == Some(to))
                && begun.elapsed() > QUIET
            {
                self.fate.quiet().await?;
                if self.stage.agent.ended()?.is_none() {
                    self.fate.never()?;
                    return Ok(false);
                }
            }
            ensure!(begun.elapsed() < SOON, "neither dead nor on {to}");
            sleep(Duration::from_millis(5)).await;
        }
        self.defaults.never_missing(&self.stage.home).await?;
        // With the cable out, and after its return, the kernel alone knows a way; beyond a severed
        // line it may still be the dead one, as before.
        if event != LineEvent::Sever {
            self.lan_has_answers().await?;
        }
        Ok(true)
    }

    async fn lan_has_answers(&self) -> Result<()> {
        for to in [ECHO4, ECHO6] {
            let ask = echo(to);
            ensure!(
                self.stage.home.client.run(ask).await?,
                "a LAN client has no answer from {to}: {:?}",
                self.fate.changes()
            );
        }
        Ok(())
    }

    /// The next agent makes it whole, and then has nothing left to do.
    async fn next_start_converges(&mut self, desired: &Dump, on: &str) -> Result<()> {
        self.fate.never()?;
        self.stage.start_again().await?;
        self.stage.on(on).await?;
        self.stands(desired).await.context("the next start")?;
        self.defaults.never_missing(&self.stage.home).await.context("the next start")
    }

    async fn stands(&self, desired: &Dump) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = dump(&self.stage.home).await?;
            if now == *desired {
                return Ok(());
            }
            ensure!(begun.elapsed() < SOON, "not as desired:\n{}", desired.difference(&now));
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Another look finds nothing to do: somebody writes a route of ours that is there already.
    async fn a_second_audit_writes_nothing(&self) -> Result<()> {
        // Flows of a line that went silent are flushed when it has been silent for longer.
        let written = || {
            let changes = self.fate.changes().into_iter();
            changes.filter(|change| !change.ends_with("flush")).count()
        };
        self.fate.quiet_for(LOOK).await?;
        let before = written();
        self.stage.home.router.run(write_again()).await??;
        self.fate.quiet_for(LOOK).await?;
        ensure!(written() == before, "written although right: {:?}", self.fate.changes());
        Ok(())
    }

    /// Control: the same is noticed if there is something to do, and the watch sees an empty table.
    async fn controls(&self) -> Result<()> {
        self.fate.never()?;
        let deleted = self.stage.home.router.run(kernel::delete_our_routes(Some(8300))).await??;
        ensure!(deleted >= 2 && self.fate.quiet().await? >= 2, "control: a repair is a change");
        ensure!(self.defaults.gaps() > 0, "control: an empty table is noticed");
        self.stands(&self.whole.clone()).await?;
        self.defaults.forget();
        Ok(())
    }
}

/// Writes the route in use once more, as it is.
async fn write_again() -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let active = [RouteAttribute::Table(8300), RouteAttribute::Priority(1)];
    let routes = kernel::routes().await?;
    let mut found = routes.into_iter().filter(|r| active.iter().all(|a| r.attributes.contains(a)));
    let mut route = found.next().context("no route in use")?;
    route.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_)));
    route.header.flags = netlink_packet_route::route::RouteFlags::empty();
    Ok(handle.route().add(route).replace().execute().await?)
}

/// Dies at the changes of a failover and of the way back that `chosen` names, until there are none.
async fn switches(
    event: LineEvent,
    side: fn(u64) -> &'static str,
    next: fn(u64) -> u64,
) -> Result<()> {
    let mut mortal = Mortal::new().await?;
    mortal.controls().await?;
    let (away, there, back) = mortal.rehearse(event).await?;
    let (mut number, mut deaths, mut survived) = (1, [0, 0], [false; 2]);
    while survived != [true; 2] {
        ensure!(number < ENDLESS, "it never survives");
        for (leg, happens, to, desired) in
            [(0, event, "mifi", &away), (1, LineEvent::Restore, "cable", &mortal.whole.clone())]
        {
            mortal.defaults.forget();
            if survived[leg] {
                mortal.fate.never()?;
            } else {
                mortal.fate.at(side(number), number)?;
            }
            let what = || format!("dying {} change {number} on the way to {to}", side(number));
            if mortal.dies_when(happens, to).await.with_context(what)? {
                deaths[leg] += 1;
                mortal.next_start_converges(desired, to).await.with_context(what)?;
                mortal.a_second_audit_writes_nothing().await.with_context(what)?;
            } else {
                survived[leg] = true;
                mortal.stands(desired).await.with_context(what)?;
            }
            if leg == 1 {
                mortal.stage.agent.wait_proven(PROVEN).await.with_context(what)?;
            }
        }
        number = next(number);
    }
    ensure!(deaths[0] > 0 && deaths[1] > 0, "control: it dies: {deaths:?}");
    figure(&format!(
        "{} deaths in a failover (of {there} changes), {} on the way back (of {back})",
        deaths[0], deaths[1]
    ));
    Ok(())
}

async fn told_to_stop_in_the_middle_of_a_switch() -> Result<()> {
    let mut mortal = Mortal::new().await?;
    for milliseconds in [0, 1, 2, 4, 8, 30] {
        mortal.fate.never()?;
        mortal.stage.happens("cable", LineEvent::Unplug).await?;
        sleep(Duration::from_millis(milliseconds)).await;
        let status = mortal.stage.agent.end(Signal::SIGTERM).await?;
        ensure!(status.success(), "it ends as it was told: {status}");
        mortal.defaults.never_missing(&mortal.stage.home).await?;
        mortal.lan_has_answers().await.with_context(|| format!("after {milliseconds} ms"))?;
        mortal.stage.happens("cable", LineEvent::Restore).await?;
        mortal.stage.start_again().await?;
        mortal.stage.on("cable").await?;
        mortal.stage.agent.wait_proven(PROVEN).await?;
    }
    mortal.stands(&mortal.whole.clone()).await
}

async fn dying_at_some_changes_of_a_switch() -> Result<()> {
    let side = |n: u64| if n % 2 == 1 { "before" } else { "after" };
    switches(LineEvent::Unplug, side, |n| n + 3).await
}

async fn dying_before_every_change_of_a_switch_by_carrier() -> Result<()> {
    switches(LineEvent::Unplug, |_| "before", |n| n + 1).await
}

async fn dying_after_every_change_of_a_switch_by_carrier() -> Result<()> {
    switches(LineEvent::Unplug, |_| "after", |n| n + 1).await
}

async fn dying_before_every_change_of_a_switch_by_silence() -> Result<()> {
    switches(LineEvent::Sever, |_| "before", |n| n + 1).await
}

async fn dying_after_every_change_of_a_switch_by_silence() -> Result<()> {
    switches(LineEvent::Sever, |_| "after", |n| n + 1).await
}

/// A home in which no agent has been yet.
struct Young {
    home: Home,
    fate: Fate,
    defaults: Defaults,
    text: String,
}

impl Young {
    async fn new() -> Result<Self> {
        let fate = Fate::new()?;
        let home = Home::build(&Plan::default()).await?;
        let defaults = Defaults::watch(&home).await?;
        let text = config(&Plan::default(), &Settings::default());
        Ok(Self { home, fate, defaults, text })
    }

    async fn start(&self) -> Result<Agent> {
        Agent::start(&self.home, &self.fate.program, &self.text).await
    }

    /// Waits until it is dead, or has proven everything and come to rest.
    async fn dies(&self, agent: &mut Agent) -> Result<bool> {
        let begun = Instant::now();
        loop {
            if agent.ended()?.is_some() {
                self.box_has_answers().await?;
                self.defaults.never_missing(&self.home).await?;
                return Ok(true);
            }
            if agent.status().await.is_ok_and(|status| status.all_proven()) {
                self.fate.quiet().await?;
                if agent.ended()?.is_none() {
                    return Ok(false);
                }
            }
            if begun.elapsed() > PROVEN {
                bail!("neither dead nor at rest:\n{}", agent.last_words());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The box itself has been online before and stays so.
    async fn box_has_answers(&self) -> Result<()> {
        for to in [ECHO4, ECHO6] {
            let ask = echo(to);
            ensure!(
                self.home.router.run(ask).await?,
                "the box has no answer from {to} after {:?}",
                self.fate.changes()
            );
        }
        Ok(())
    }

    /// What a start leaves that nobody disturbs, how many changes it makes, and how many of them
    /// a start makes that finds everything in place: tries whether it may, and can.
    async fn undisturbed(&self) -> Result<(Dump, u64, u64)> {
        let mut counts = Vec::new();
        for _ in 0..2 {
            self.fate.never()?;
            let mut agent = self.start().await?;
            ensure!(!self.dies(&mut agent).await?, "nobody killed it: {}", agent.last_words());
            counts.push(self.fate.changes().len() as u64);
            agent.end(Signal::SIGTERM).await?;
        }
        let whole = dump(&self.home).await?;
        let mut agent = self.start().await?;
        agent.wait_proven(PROVEN).await?;
        self.end_and_purge(&mut agent).await?;
        Ok((whole, counts[0], counts[1]))
    }

    async fn end_and_purge(&self, agent: &mut Agent) -> Result<()> {
        agent.end(Signal::SIGTERM).await?;
        let dir = agent.run_dir().display().to_string();
        in_router(&self.home, AGENT, &["purge", "--run-dir", &dir]).await?.must(0)?;
        self.defaults.forget();
        Ok(())
    }
}

/// One agent after the other makes one change and dies: all states between nothing and everything.
async fn dying_at_every_change_of_a_start() -> Result<()> {
    let young = Young::new().await?;
    young.box_has_answers().await.context("control: before there was an agent")?;
    let (whole, changes, tries) = young.undisturbed().await?;
    ensure!(changes > 20, "control: a first start changes {changes} things");
    let mut deaths = 0;
    // A start on a busy machine may try more than once whether it may; then it dies a try later.
    let (mut known, mut more) = (dump(&young.home).await?, 0);
    loop {
        let (side, number) = if deaths == 0 { ("before", 1) } else { ("after", tries + 1 + more) };
        young.fate.at(side, number)?;
        let mut agent = young.start().await?;
        if !young.dies(&mut agent).await.with_context(|| format!("death {deaths}"))? {
            break;
        }
        deaths += 1;
        let left = dump(&young.home).await?;
        more = if left.must_equal(&known).is_ok() { more + 1 } else { 0 };
        known = left;
        ensure!(deaths < ENDLESS, "it never becomes whole: {:?}", young.fate.changes());
    }
    let now = dump(&young.home).await?;
    whole.must_equal(&now)?;
    figure(&format!("{deaths} deaths in a row, {changes} changes"));
    Ok(())
}

async fn dying_before_every_change_of_a_first_start() -> Result<()> {
    let young = Young::new().await?;
    let (whole, changes, _) = young.undisturbed().await?;
    for number in 1..ENDLESS {
        let what = || format!("dying before change {number}");
        young.fate.at("before", number)?;
        let mut agent = young.start().await?;
        let died = young.dies(&mut agent).await.with_context(what)?;
        if died {
            young.fate.never()?;
            agent = young.start().await?;
            ensure!(!young.dies(&mut agent).await?, "nobody killed it");
        }
        whole.must_equal(&dump(&young.home).await?).with_context(what)?;
        young.end_and_purge(&mut agent).await.with_context(what)?;
        if !died {
            figure(&format!("{} deaths, {changes} changes", number - 1));
            return Ok(());
        }
    }
    bail!("it never survives")
}
