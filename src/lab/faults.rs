//! What goes wrong, and where: in the modem (a rule set of its own), in the provider (the shape of
//! the line), at the cable. Nothing is ever done to the router.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval, sleep};

use super::internet::DISCARD_PORT;
use super::modem::{self, BLOATED_RATE, Condition};
use super::script::{Action, LineEvent};
use super::topology::{ECHO4, Home};
use super::uplink::{Arp, Uplink};

/// How long a modem that restarts gives no carrier, and how long its line is dead afterwards.
const REBOOT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

impl Home {
    /// Lets something happen, and says when it began.
    ///
    /// # Errors
    /// If there is no such uplink, or the action is the agent's business.
    pub async fn apply(&self, action: &Action) -> Result<Instant> {
        let begun = Instant::now();
        match action {
            Action::Line { uplink, event } => {
                let uplink = self.shared(uplink)?;
                Uplink::happens(uplink, *event).await?;
                self.load_the_bloated();
            }
            Action::DropTarget(ip) => self.dropped_targets(|targets| targets.insert(*ip)).await?,
            Action::RestoreTarget(ip) => self.dropped_targets(|targets| targets.remove(ip)).await?,
            Action::Switch(_)
            | Action::Pause(_)
            | Action::Resume(_)
            | Action::Probe(_)
            | Action::KillAgent
            | Action::StopAgent
            | Action::StartAgent
            | Action::Stall(_) => {
                bail!("`{action}` is for the agent")
            }
        }
        Ok(begun)
    }

    async fn dropped_targets(
        &self,
        change: impl FnOnce(&mut BTreeSet<IpAddr>) -> bool,
    ) -> Result<()> {
        let table = {
            let mut targets = lock(&self.dropped);
            change(&mut targets);
            modem::silence(&targets)
        };
        modem::install(&self.core, table).await
    }

    /// An upload from the LAN client, for as long as any line is bloated.
    fn load_the_bloated(&self) {
        let bloated = self.uplinks.iter().any(|uplink| uplink.condition().bloat);
        let mut load = lock(&self.load);
        match (bloated, load.take()) {
            (true, None) => *load = Some(self.client.spawn(upload())),
            (true, running) => *load = running,
            (false, Some(running)) => running.abort(),
            (false, None) => {}
        }
    }
}

impl Uplink {
    /// What is wrong with it now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        *lock(&self.faults)
    }

    /// Something happens to the uplink.
    async fn happens(uplink: &Arc<Self>, event: LineEvent) -> Result<()> {
        let change = uplink.change(|now| match event {
            LineEvent::Unplug | LineEvent::Reboot => now.unplugged = true,
            LineEvent::Sever => now.severed = true,
            LineEvent::Lose(percent) => now.loss = percent,
            LineEvent::Hijack => (now.severed, now.hijacks) = (true, true),
            LineEvent::Pose(target) => now.poses_as = Some(target),
            LineEvent::Delay(time) => now.delay = time / 2,
            LineEvent::Slow => now.slow = true,
            LineEvent::Bloat => now.bloat = true,
            LineEvent::Portal => now.portal = true,
            LineEvent::SeverOnly(family) => now.severed_only = Some(family),
            LineEvent::Mute => now.mute = true,
            LineEvent::BlockEchoes => now.no_echoes = true,
            LineEvent::Silence => now.silent = true,
            LineEvent::BreakDns => now.dns_broken = true,
            LineEvent::BreakResolvers => now.resolvers_broken = true,
            LineEvent::Vanish => now.vanished = true,
            LineEvent::Restore => *now = Condition { changes: now.changes, ..Condition::default() },
        });
        let number = change.await?;
        if event == LineEvent::Reboot {
            let uplink = uplink.clone();
            tokio::spawn(async move {
                let _ = uplink.boot(number).await;
            });
        }
        Ok(())
    }

    /// A modem comes back: carrier long before the line. Void once anything else has happened.
    async fn boot(&self, number: u64) -> Result<()> {
        sleep(REBOOT.0).await;
        if self.condition().changes != number {
            return Ok(());
        }
        let number = self.change(|now| (now.unplugged, now.severed) = (false, true)).await?;
        sleep(REBOOT.1).await;
        if self.condition().changes == number {
            self.change(|now| now.severed = false).await?;
        }
        Ok(())
    }

    /// Changes the condition and makes it true.
    async fn change(&self, change: impl FnOnce(&mut Condition)) -> Result<u64> {
        let (old, new) = {
            let mut condition = lock(&self.faults);
            let old = *condition;
            change(&mut condition);
            condition.changes += 1;
            (old, *condition)
        };
        if new.unplugged && !old.unplugged {
            self.modem.down("lan").await?;
        }
        if new.vanished && !old.vanished {
            self.modem.delete("lan").await?;
        }
        if old.rules() != new.rules() {
            modem::install(&self.modem, new.table()).await?;
        }
        self.shape.send_replace(new.shape(self.base));
        if old.vanished && !new.vanished {
            self.connect_router().await?;
        } else if old.unplugged && !new.unplugged {
            self.modem.up("lan").await?;
            self.link_local().await?;
        }
        if old.silent != new.silent && !new.vanished {
            self.arp(if new.silent { Arp::Ignored } else { Arp::Answered }).await?;
        }
        Ok(new.changes)
    }
}

/// Fills the bloated line as an upload does: half as much again as it carries until two seconds of
/// packets wait, then just what it carries.
async fn upload() {
    const PACKET: u64 = 1_400;
    let packets_per_second = BLOATED_RATE / (8 * PACKET);
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0").await else {
        return;
    };
    let to = SocketAddr::new(ECHO4, DISCARD_PORT);
    let every = Duration::from_secs(1) / u32::try_from(packets_per_second).unwrap_or(1);
    let (mut filling, mut full) = (interval(every * 2 / 3), interval(every * 19 / 20));
    let payload = [0; PACKET as usize];
    for sent in 0u64.. {
        if sent < 6 * packets_per_second {
            filling.tick().await;
            full.reset();
        } else {
            full.tick().await;
        }
        let _ = socket.send_to(&payload, to).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half-changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
