//! Rules of others that send packets to `main`, and host routes there: what they concern follows the
//! active uplink.
//!
//! A program that must not meet its own rules has its packets looked up in `main` before them
//! (Tailscale's `fwmark 0x80000/0xff0000 lookup main`), and a tunnel's far end gets a host route by the
//! gateway of the moment. Both mean "the Internet, as ever", and both would stay on a dead uplink. So a
//! rule of ours with the same selector stands before theirs; theirs is never touched.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Rule, RuleAction};
use crate::engine::kernel::rule::{ForeignRule, Selector};
use crate::units::{Family, RulePriority, TableId};

/// For more of others' rules in one family there is none of ours.
const AT_MOST: usize = 16;

/// Whether a rule of somebody else sends packets to `main` before ours are asked.
#[must_use]
pub fn leads_to_main(rule: &ForeignRule) -> bool {
    let priority = RulePriority(2)..=RulePriority::ACTIVE;
    rule.table == Some(TableId::MAIN)
        && rule.suppress_prefixlength.is_none()
        && !rule.narrower
        && priority.contains(&rule.priority)
}

/// The rules of ours that stand before those of others. `first`: the first of ours in that family, which
/// look into `main`, and at pins, before the active uplink.
pub(super) fn followers(
    others: &[ForeignRule],
    family: Family,
    first: RulePriority,
) -> BTreeSet<Rule> {
    let of_family = others.iter().filter(|rule| rule.family == family && leads_to_main(rule));
    let mut rules = BTreeSet::new();
    for other in of_family.take(AT_MOST) {
        // Of two rules with one priority the kernel looks at the older one first.
        let before = RulePriority(other.priority.0 - 1);
        let follow = |priority| Rule {
            selector: other.selector.clone(),
            ..Rule::look_up(family, priority, TableId::ACTIVE)
        };
        if before < first {
            rules.insert(Rule { then: RuleAction::GoTo(first), ..follow(before) });
            rules.insert(follow(RulePriority::FOLLOW));
        } else {
            rules.insert(follow(before));
        }
    }
    rules
}

/// Rules of ours for hosts to which `main` has a route by an uplink.
pub(super) fn hosts(hosts: &BTreeSet<IpNet>, family: Family) -> impl Iterator<Item = Rule> {
    let of_family = hosts.iter().filter(move |host| Family::of(&host.addr()) == family);
    of_family.map(move |host| Rule {
        selector: Selector { dst: Some(*host), ..Selector::default() },
        ..Rule::look_up(family, RulePriority::HOSTS, TableId::ACTIVE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Fwmark;

    fn to_main(priority: u32, selector: Selector) -> ForeignRule {
        ForeignRule {
            family: Family::V4,
            priority: RulePriority(priority),
            selector,
            narrower: false,
            table: Some(TableId::MAIN),
            suppress_prefixlength: None,
        }
    }

    fn shown(others: &[ForeignRule]) -> Vec<String> {
        let rules = followers(others, Family::V4, RulePriority::LOCAL_FIRST);
        rules.iter().map(|rule| super::super::render::rule("add", rule)).collect()
    }

    #[test]
    fn ours_stand_before_theirs_with_the_same_selector() {
        let tailscale = Selector::marked(Fwmark { value: 0x8_0000, mask: 0xff_0000 });
        assert_eq!(
            shown(&[to_main(5210, tailscale)]),
            [
                "-4 rule add pref 5209 fwmark 0x00080000/0x00ff0000 goto 8300 protocol 83",
                "-4 rule add pref 8391 fwmark 0x00080000/0x00ff0000 lookup 8300 protocol 83",
            ]
        );
        let client = Selector { src: Some("10.77.0.2/32".parse().unwrap()), ..Selector::default() };
        assert_eq!(
            shown(&[to_main(32_765, client)]),
            ["-4 rule add pref 32764 from 10.77.0.2/32 lookup 8300 protocol 83"]
        );
    }

    #[test]
    fn what_leads_elsewhere_or_cannot_be_copied_is_left_alone() {
        let all = to_main(100, Selector::default());
        for other in [
            ForeignRule { suppress_prefixlength: Some(0), ..all.clone() },
            ForeignRule { narrower: true, ..all.clone() },
            ForeignRule { table: Some(TableId(52)), ..all.clone() },
            ForeignRule { priority: RulePriority(32_766), ..all.clone() },
            ForeignRule { priority: RulePriority(1), ..all.clone() },
            ForeignRule { family: Family::V6, ..all.clone() },
        ] {
            assert_eq!(shown(std::slice::from_ref(&other)), [""; 0], "{other:?}");
        }
        assert_eq!(shown(&[all]).len(), 2, "control");
    }

    #[test]
    fn there_are_not_too_many() {
        let many: Vec<_> = (1000..3000).map(|n| to_main(n, Selector::default())).collect();
        assert!(shown(&many).len() <= 2 * AT_MOST);
    }
}
