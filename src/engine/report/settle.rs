//! What the providers may owe for what a report tells.

use std::collections::BTreeMap;

use super::compensation::{Compensation, Owing, Terms, rule};
use super::span::Ms;
use super::sum::Report;
use super::terms::Owed;
use crate::config::Provider;
use crate::time::day::Day;

/// A shorter outage would have come to nothing whether it was reported or not.
const WORTH: Ms = 2 * 86_400_000;

/// Adds who provides each uplink, and what they may owe. `day` says on which day a moment (in milliseconds since 1970)
/// was where people are.
pub fn settle(
    report: &mut Report,
    providers: &BTreeMap<String, Provider>,
    day: &dyn Fn(u64) -> Option<Day>,
) {
    for uplink in &mut report.uplinks {
        let Some(provider) = providers.get(&uplink.name) else { continue };
        uplink.provider = Some(provider.clone());
        let Some(rule) = provider.country.and_then(rule) else { continue };
        let terms = Terms { monthly: provider.monthly.as_ref(), reported: provider.reported };
        let each = uplink.losses.iter().filter_map(|loss| rule.compensation(*loss, &terms, day));
        // A short outage that is over and came to nothing is no news.
        let counts = |one: &Compensation| match one.owing {
            Owing::Nothing => false,
            Owing::NotReported => one.loss.span.ms() >= WORTH,
            Owing::ReportNow | Owing::Waits(_) | Owing::Due(_) => true,
        };
        let each: Vec<Compensation> = each.filter(counts).collect();
        uplink.owed = Some(Owed { rule, each });
    }
}
