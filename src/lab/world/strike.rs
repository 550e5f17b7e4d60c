//! What comes of what happens to a line, or to the box.

use std::time::Duration;

use super::kernel::Cable;
use super::line::Faults;
use super::trouble::{Fault, Trouble};
use super::{Happening, World};
use crate::engine::input::Input;
use crate::engine::kernel::view::KernelChange;
use crate::units::PerFamily;

/// How long the modem of the story has no carrier, and how long its line is dead after that.
const REBOOT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

impl World {
    /// Something happens to the box; uplinks are counted round.
    pub fn trouble(&mut self, trouble: Trouble) {
        self.net.live(self.now);
        self.watch.troubled(self.now);
        let of = |uplink: usize| uplink % self.net.lines.len().max(1);
        match trouble {
            Trouble::Refusals(probability) => self.net.kernel.refuses_changes = probability,
            Trouble::SlowKernel(time) => self.lag = time,
            Trouble::Overrun(time) => {
                let until = self.now + time;
                self.lost_until = self.lost_until.max(until);
                self.schedule(until, Happening::Resync(self.agent));
            }
            Trouble::Vandal(what) => {
                let touched = self.net.kernel.vandalise(what);
                self.hear(touched.into_iter().map(KernelChange::Ours).collect());
            }
            Trouble::Lease(uplink) => {
                let changes = self.net.kernel.renew(of(uplink));
                self.hear(changes);
            }
            Trouble::ForeignRoutes(uplink, count) => {
                let changes = self.net.kernel.foreign_routes(of(uplink), count);
                self.hear(changes);
            }
            Trouble::Clock(milliseconds) => {
                self.clock_shift = self.clock_shift.saturating_add(milliseconds);
            }
        }
    }

    /// Whether the box is as it should be: nothing is refused, lost or slow.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.net.kernel.refuses_changes <= 0.0
            && self.lag.is_zero()
            && self.now >= self.lost_until
            && !self.is_stalled()
    }

    /// The kernel says something, if it is heard.
    pub(super) fn hear(&mut self, changes: Vec<KernelChange>) {
        if changes.is_empty() {
            return;
        }
        if self.now >= self.lost_until {
            self.tell(Input::Kernel(changes));
        } else {
            self.watch.missed();
        }
    }

    /// Something happens to a line.
    pub(super) fn strike(&mut self, uplink: usize, fault: Fault) {
        self.net.live(self.now);
        let now = self.now;
        let Some(line) = self.net.lines.get_mut(uplink) else {
            return;
        };
        let faults = &mut line.faults;
        let kernel = &mut self.net.kernel;
        let mut changes: Vec<KernelChange> = Vec::new();
        match fault {
            Fault::Carrier(true) => changes = kernel.plug(uplink, Cable::In),
            Fault::Carrier(false) => changes = kernel.plug(uplink, Cable::Out),
            Fault::Sever(severed) => faults.severed = severed,
            Fault::Hijack => {
                faults.severed = PerFamily { v4: true, v6: true };
                faults.hijacks = true;
            }
            Fault::Pose(target) => faults.poses_as = Some(target),
            Fault::Delay(delay) => faults.delay = delay,
            Fault::ModemDead(dead) => faults.modem_dead = dead,
            Fault::Loss(loss) => faults.loss = loss,
            Fault::NoEchoes => faults.no_echoes = true,
            Fault::Slow(slow) => faults.slow = slow,
            Fault::Bloat(true) => faults.bloated = Some(now),
            Fault::Bloat(false) => line.end_bloat(now),
            Fault::Portal(portal) => faults.portal = portal,
            Fault::DnsBroken(broken) => faults.dns_broken = broken,
            Fault::ResolversBroken(broken) => faults.resolvers_broken = broken,
            Fault::Reboot => {
                changes = kernel.plug(uplink, Cable::Out);
                faults.severed = PerFamily { v4: true, v6: true };
                let chapter = self.chapters.get(uplink).copied().unwrap_or_default();
                let back = Happening::Fault(uplink, chapter, Fault::Carrier(true));
                let well = Happening::Fault(uplink, chapter, Fault::Restore);
                self.schedule(now + REBOOT.0, back);
                self.schedule(now + REBOOT.0 + REBOOT.1, well);
            }
            Fault::Absent(true) => changes = kernel.vanish(uplink),
            Fault::Absent(false) => changes = kernel.appear(uplink),
            Fault::Restore => {
                if faults.bloated.is_some() {
                    line.end_bloat(now);
                }
                line.faults = Faults::default();
                changes = kernel.appear(uplink);
                changes.extend(kernel.plug(uplink, Cable::In));
            }
        }
        self.hear(changes);
    }
}
