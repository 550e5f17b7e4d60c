//! Outages as a provider sees them: the total loss of a line, from its beginning until it works again for good.

use super::cause::Cause;
use super::service::Incident;
use super::span::{End, Ms, Span};

/// A line that works for less than this in between has not been repaired, in milliseconds.
const MENDED: Ms = 3_600_000;

/// A total loss of an uplink that its provider may have to answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalLoss {
    pub span: Span,
    pub end: End,
    /// When the provider was told, in milliseconds since 1970; `None`: nobody said so.
    pub reported: Option<u64>,
}

/// Whether a cause is a total loss that is not surely the customer's own doing.
const fn is_the_providers(cause: Cause) -> bool {
    matches!(cause, Cause::BeyondModem | Cause::ModemSilent | Cause::NoAddress)
}

/// The total losses among incidents, which are in order. `reports` are the moments at which the provider was told.
pub(super) fn losses(incidents: &[Incident], reports: &[Ms]) -> Vec<TotalLoss> {
    let mut found: Vec<TotalLoss> = Vec::new();
    let total = |one: &&Incident| is_the_providers(one.cause) && one.only.is_none() && one.down > 0;
    for one in incidents.iter().filter(total) {
        match found.last_mut() {
            Some(last) if one.span.from.saturating_sub(last.span.to) < MENDED => {
                last.span.to = one.span.to;
                last.end = one.end;
            }
            _ => found.push(TotalLoss { span: one.span, end: one.end, reported: None }),
        }
    }
    for loss in &mut found {
        let told = |at: &&Ms| (loss.span.from..loss.span.to).contains(*at);
        loss.reported = reports.iter().find(told).copied();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Ms = 3_600_000;

    fn incident(from: Ms, to: Ms, cause: Cause) -> Incident {
        Incident {
            span: Span { from, to },
            end: End::Seen,
            cause,
            then: Vec::new(),
            only: None,
            down: to - from,
            partial: 0,
            apart: 0,
            others: Vec::new(),
        }
    }

    #[test]
    fn a_line_that_comes_for_a_moment_has_not_been_repaired() {
        let all = [
            incident(0, 2 * HOUR, Cause::BeyondModem),
            incident(2 * HOUR + 60_000, 5 * HOUR, Cause::ModemSilent),
            incident(7 * HOUR, 8 * HOUR, Cause::BeyondModem),
            incident(9 * HOUR, 20 * HOUR, Cause::Unplugged),
        ];
        let found = losses(&all, &[HOUR, 3 * HOUR, 6 * HOUR]);
        let spans: Vec<_> = found.iter().map(|f| (f.span.from, f.span.to, f.reported)).collect();
        assert_eq!(spans, [(0, 5 * HOUR, Some(HOUR)), (7 * HOUR, 8 * HOUR, None)]);
    }

    #[test]
    fn one_ip_version_is_no_total_loss() {
        let mut one = incident(0, HOUR, Cause::BeyondModem);
        one.only = Some("v6".to_owned());
        assert_eq!(losses(&[one], &[]), []);
        assert_eq!(losses(&[incident(0, HOUR, Cause::Maintenance)], &[]), []);
    }
}
