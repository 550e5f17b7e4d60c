//! What has been seen of a world so far: since when what is so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kernel::Kernel;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::events::causes::Cause;
use crate::engine::events::facts::{Event, Fact, SwitchKind};
use crate::engine::kernel::flow::FlushScope;
use crate::engine::output::FlushRequest;
use crate::engine::probe::ProbeRequest;
use crate::time::Instant;
use crate::units::{Family, PerFamily, UplinkId};

/// What has been seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When something last happened to the box itself.
    pub(super) troubled: Option<Instant>,
    /// Something was not heard, and has not been looked for since.
    pub(super) unheard: bool,
    /// When all that was asked for was last compared with what is there.
    pub(super) compared: Option<Instant>,
    /// Since when rules and table are not those that were asked for.
    pub(super) missing: Option<Instant>,
    /// Since when the kernel has refused something that was asked for.
    pub(super) broken: Option<Instant>,
    /// Since when each uplink works in each family, as the world knows it, and nobody has set it aside.
    pub(super) working: Vec<PerFamily<Option<Instant>>>,
    /// Since when traffic is on something that does not.
    pub(super) stuck: PerFamily<Option<Instant>>,
    /// Since when packets may leave with the LAN's addresses.
    pub(super) bare: Option<Instant>,
    /// Since when there is no agent.
    pub(super) absent: Option<Instant>,
    /// When each uplink was last left in a family because it had failed.
    left: BTreeMap<(String, Family), Instant>,
    /// What was seen elsewhere than in a step.
    pub(super) found: Vec<String>,
    /// How often each rule was looked at while it held anything: a rule that never applies shows nothing.
    pub(super) applied: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// Something happens to the box.
    pub(super) const fn troubled(&mut self, now: Instant) {
        self.troubled = Some(now);
    }

    /// The kernel has said something that nobody heard.
    pub(super) const fn missed(&mut self) {
        self.unheard = true;
    }

    /// A change of the kernel was tried.
    pub(super) fn converged(&mut self, report: &ApplyReport, now: Instant) {
        if report.ok() {
            (self.broken, self.unheard) = (None, false);
        } else {
            self.broken = self.broken.or(Some(now));
        }
    }

    /// Flows are to be forgotten: those of an uplink that there is.
    pub(super) fn flushes(&mut self, request: &FlushRequest, numbers: &[UplinkId], now: Instant) {
        if request.scope != FlushScope::All {
            return;
        }
        self.count("flush");
        if !numbers.contains(&request.uplink) {
            self.found.push(format!("{now:?}: flows of an uplink that nobody knows are flushed"));
        }
    }

    /// Traffic is back on an uplink that failed after its hold at the earliest, unless nothing else is left or a person
    /// wants it.
    pub(super) fn recorded(&mut self, event: &Event, hold: Duration) {
        let Fact::Switched { family, from, to, kind, cause, .. } = &event.fact else { return };
        match (kind, from, cause) {
            (SwitchKind::Failover, Some(from), Cause::Failed { .. }) => {
                self.left.insert((from.clone(), *family), event.at);
            }
            (SwitchKind::Failback, _, Cause::Stable { .. }) => {
                let Some(left) = self.left.get(&(to.clone(), *family)).copied() else { return };
                self.count("hold");
                let away = event.at.since(left);
                if away < hold {
                    self.found.push(format!("{family}: back on {to} {away:?} after it failed"));
                }
            }
            _ => {}
        }
    }

    /// A question leaves by the interface of the uplink that it is about.
    pub(super) fn asks(&mut self, request: &ProbeRequest, numbers: &[UplinkId], kernel: &Kernel) {
        let Some(by) = kernel.uplink_on(request.path.index) else { return };
        self.count("probe");
        let of = numbers.iter().position(|id| *id == request.path.uplink);
        if of.is_some_and(|of| of != by) {
            self.found.push(format!("a question to uplink {of:?} leaves by that of {by}"));
        }
    }

    /// A rule is looked at while it holds anything.
    pub(super) fn count(&mut self, rule: &'static str) {
        *self.applied.entry(rule).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::causes::{Order, Scope};
    use crate::engine::health::Condition;

    #[test]
    fn who_is_back_before_its_hold_is_found() {
        let back_after = |seconds: u64| {
            let mut watch = Watch::default();
            let mut moves = |at: u64, from: &str, to: &str, kind, cause| {
                let fact = Fact::Switched {
                    family: Family::V4,
                    from: Some(from.to_owned()),
                    to: to.to_owned(),
                    kind,
                    cause,
                    order: Order::Opens,
                    scope: Scope::Whole,
                };
                let at = Instant::from_micros(at * 1_000_000);
                watch.recorded(&Event { id: at.as_micros(), at, utc: None, fact }, HOLD);
            };
            let failed =
                Cause::Failed { uplink: "u0".to_owned(), condition: Condition::BeyondModem };
            moves(100, "u0", "u1", SwitchKind::Failover, failed);
            moves(100 + seconds, "u1", "u0", SwitchKind::Failback, Cause::Stable { hold: HOLD });
            (watch.applied.get("hold").copied(), watch.found.len())
        };
        assert_eq!(back_after(4), (Some(1), 1));
        assert_eq!(back_after(5), (Some(1), 0));
    }

    const HOLD: Duration = Duration::from_secs(5);
}
