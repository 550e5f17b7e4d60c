//! What has been seen of a world so far: since when what is so.

use std::collections::BTreeMap;

use super::kernel::Kernel;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::kernel::flow::FlushScope;
use crate::engine::output::FlushRequest;
use crate::engine::probe::ProbeRequest;
use crate::time::Instant;
use crate::units::{PerFamily, UplinkId};

/// What has been seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// When something last happened to the box itself.
    pub(super) troubled: Option<Instant>,
    /// Something was not heard, and has not been looked for since.
    pub(super) unheard: bool,
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
