//! Policy rules, ours and others'.

use std::time::Duration;

use netlink_packet_route::rule::RuleMessage;

use super::decode;
use super::family;
use super::message::Message;
use super::talk::{Error, Talk};
use crate::engine::dataplane::Rule;
use crate::engine::kernel::rule::ForeignRule;
use crate::units::Family;

/// So long after a rule of others changed, all of them are read again: they come in groups.
pub(super) const SETTLE: Duration = Duration::from_millis(30);

/// Of more than this many rules of others in one family the last ones are passed over: nobody has
/// written those by hand, and each packet would be held against every one of them.
const AT_MOST: usize = 256;

/// Every rule of ours, of both families.
pub(super) async fn ours(talk: &mut Talk) -> Result<Vec<Rule>, Error> {
    let mut ours = Vec::new();
    for family in Family::BOTH {
        ours.extend(all(talk, family).await?.iter().filter_map(decode::rule));
    }
    Ok(ours)
}

/// Every rule that is not ours, of both families, but the kernel's own first one.
pub(super) async fn of_others(talk: &mut Talk) -> Result<Vec<ForeignRule>, Error> {
    let mut others = Vec::new();
    for family in Family::BOTH {
        others.extend(all(talk, family).await?.iter().filter_map(decode::foreign_rule));
    }
    Ok(others)
}

/// Those of them that can matter: they lead to a table. In the order in which they are looked at.
pub(super) async fn that_matter(talk: &mut Talk) -> Result<Vec<ForeignRule>, Error> {
    let all = of_others(talk).await?;
    let mut kept = Vec::new();
    for family in Family::BOTH {
        let lead = all.iter().filter(|rule| rule.family == family && rule.table.is_some());
        kept.extend(lead.take(AT_MOST).cloned());
    }
    Ok(kept)
}

/// Every rule of a family, in order. A kernel without IPv6 answers with those of every family it has.
pub(super) async fn all(talk: &mut Talk, family: Family) -> Result<Vec<RuleMessage>, Error> {
    let mut question = RuleMessage::default();
    question.header.family = family::of(family);
    let answer = talk.dump(&Message::GetRule(question)).await?;
    let rules = answer
        .into_iter()
        .filter_map(|message| if let Message::NewRule(rule) = message { Some(rule) } else { None });
    Ok(rules.filter(|rule| decode::family(rule.header.family) == Some(family)).collect())
}
