//! What a fact is made of, for programs: keys and values beside the sentence, so that nobody has to read
//! numbers out of English.

use std::net::IpAddr;
use std::time::Duration;

use super::causes::{Cause, Deed, Undoing};
use super::facts::Fact;
use super::note::Note;
use super::undone::Undone;
use crate::engine::kernel::claims::{By, Claim};
use crate::units::Family;

/// A value. Times are in milliseconds, loss is in percent, states are words of the API.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// One of a few words.
    Word(&'static str),
    /// A name, or text from outside.
    Text(String),
    /// A count, or bytes.
    Count(u64),
    /// Milliseconds, percent.
    Number(f64),
    Flag(bool),
    List(Vec<String>),
    /// Names, and a word for each.
    Words(Vec<(String, &'static str)>),
    /// Not known, or without an end.
    None,
}

/// What a fact is made of: each key, and its value.
pub type Args = Vec<(&'static str, Arg)>;

impl Fact {
    /// What it is made of.
    #[must_use]
    pub fn args(&self) -> Args {
        match self {
            Self::Started { chain } => vec![("chain", Arg::List(chain.clone()))],
            Self::Stopped | Self::FightOver | Self::SpareBack { .. } | Self::Reported { .. } => {
                Vec::new()
            }
            Self::Health { family, from, to, condition, .. } => vec![
                ("family", version(*family)),
                ("from", Arg::Word(from.word())),
                ("to", Arg::Word(to.word())),
                ("condition", Arg::Word(condition.word())),
            ],
            Self::Works { lasts, .. } => vec![("lasts_ms", time(*lasts))],
            Self::Fails { only, condition, lasts, .. } => vec![
                ("family", only.map_or(Arg::None, version)),
                ("condition", Arg::Word(condition.word())),
                ("lasts_ms", time(*lasts)),
            ],
            Self::Switched { family, from, to, kind, cause, .. } => {
                let mut args = vec![
                    ("family", version(*family)),
                    ("from", maybe(from.as_ref())),
                    ("to", text(to)),
                    ("kind", Arg::Word(kind.word())),
                ];
                args.extend(why(cause));
                args
            }
            Self::Felt { to, gap } => vec![("to", text(to)), ("felt_ms", time(*gap))],
            Self::BackOnline { gap, .. } => vec![("felt_ms", gap.map_or(Arg::None, time))],
            Self::AllUplinksDown { family, stays_on, .. } => {
                vec![("family", version(*family)), ("stays_on", maybe(stays_on.as_ref()))]
            }
            Self::Premature { window, .. } => vec![("window_ms", time(*window))],
            Self::Quality { degraded, loss, .. } => {
                vec![("degraded", Arg::Flag(*degraded)), ("loss_pct", Arg::Number((*loss).into()))]
            }
            Self::Resolvers { family, silent, in_use, .. } => vec![
                ("family", version(*family)),
                ("silent", Arg::Flag(*silent)),
                ("in_use", Arg::Flag(*in_use)),
            ],
            Self::Reloaded { changes } => vec![("changes", texts(changes))],
            Self::Stalled { gap } => vec![("gap_ms", time(*gap))],
            Self::Manual { deed } => person(deed),
            Self::NoSpareLeft { others } => {
                let words = others.iter().map(|(name, trouble)| (name.clone(), trouble.word()));
                vec![("others", Arg::Words(words.collect()))]
            }
            Self::RoutesIgnored { networks, .. } => vec![("networks", texts(networks))],
            Self::Noted { note, .. } => noted(note.as_ref()),
            Self::Claimed { claim } | Self::ClaimOver { claim } => claimed(claim),
            Self::NameWritten { name, v4, v6, uplinks } => written(name, [*v4, *v6], uplinks),
            Self::NameFails { name, why, stays } => unwritten(name, why, Arg::Flag(*stays)),
            Self::HostFollows { host } => vec![("host", Arg::Text(host.to_string()))],
            Self::OverlapsLan { subnet, .. } => vec![("subnet", Arg::Text(subnet.to_string()))],
            Self::Flushed { .. }
            | Self::FlowsLeft { .. }
            | Self::Draining { .. }
            | Self::Drained { .. }
            | Self::DrainOver { .. }
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::Offload { .. }
            | Self::Astray { .. }
            | Self::Barred { .. }
            | Self::ApplyFailed { .. }
            | Self::Announced { .. } => self.args_of_flows_and_kernel(),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are in the function before")]
    fn args_of_flows_and_kernel(&self) -> Args {
        match self {
            Self::Flushed { flows, notified, destroyed, .. } => vec![
                ("flows", Arg::Count(*flows)),
                ("told", Arg::Count(*notified)),
                ("ended", Arg::Count(*destroyed)),
            ],
            Self::FlowsLeft { flows, after, .. } => {
                vec![("flows", Arg::Count(*flows)), ("after_ms", time(*after))]
            }
            Self::Draining { family, flows, bytes, lasts, .. } => vec![
                ("family", version(*family)),
                ("flows", Arg::Count(*flows)),
                ("bytes", Arg::Count(*bytes)),
                ("lasts_ms", lasts.map_or(Arg::None, time)),
            ],
            Self::Drained { family, after, .. } | Self::DrainOver { family, after, .. } => {
                vec![("family", version(*family)), ("after_ms", time(*after))]
            }
            Self::Repaired { what, took } => {
                others(what).into_iter().chain([("took_ms", time(*took))]).collect()
            }
            Self::Fight { what, times, pause } => others(what)
                .into_iter()
                .chain([("times", Arg::Count(*times as u64)), ("pause_ms", time(*pause))])
                .collect(),
            Self::Offload { uplinks, offloaded } => {
                vec![("uplinks", Arg::List(uplinks.clone())), ("offloaded", Arg::Flag(*offloaded))]
            }
            Self::Astray { family, by, .. } => vec![("family", version(*family)), ("by", text(by))],
            Self::Barred { family, firewall, barred, .. } => vec![
                ("family", version(*family)),
                ("firewall", text(firewall)),
                ("barred", Arg::Flag(*barred)),
            ],
            Self::ApplyFailed { error } => vec![("error", text(error))],
            Self::Announced { prefix, preferred, .. } => vec![
                ("prefix", Arg::Text(prefix.to_string())),
                ("preferred", Arg::Flag(*preferred)),
            ],
            _ => Vec::new(),
        }
    }
}

fn texts<T: ToString>(all: &[T]) -> Arg {
    Arg::List(all.iter().map(ToString::to_string).collect())
}

/// What a name says, and of which uplinks.
fn written(name: &str, [v4, v6]: [Option<IpAddr>; 2], uplinks: &[String]) -> Args {
    let ip = |ip: Option<IpAddr>| ip.map_or(Arg::None, |ip| Arg::Text(ip.to_string()));
    let uplinks = Arg::List(uplinks.to_vec());
    vec![("name", text(name)), ("v4", ip(v4)), ("v6", ip(v6)), ("uplinks", uplinks)]
}

/// Why a name could not be written, and whether it is tried again soon.
fn unwritten(name: &str, why: &str, stays: Arg) -> Args {
    vec![("name", text(name)), ("why", text(why)), ("stays", stays)]
}

/// Why something happened: a word, and what belongs to it.
fn why(cause: &Cause) -> Args {
    let mut args = vec![("cause", Arg::Word(cause.word()))];
    match cause {
        Cause::Failed { uplink, .. } | Cause::Paused { uplink } => {
            args.push(("cause_uplink", text(uplink)));
        }
        Cause::Stable { hold } => args.push(("hold_ms", time(*hold))),
        Cause::Chosen | Cause::Released | Cause::Resumed | Cause::FirstThatWorks => {}
    }
    args
}

fn claimed(claim: &Claim) -> Args {
    let rule = match claim.by {
        By::Rule(priority) => Arg::Count(priority.0.into()),
        By::Default | By::WideRoutes => Arg::None,
    };
    vec![
        ("family", version(claim.family)),
        ("by", maybe(claim.dev.as_ref().map(ToString::to_string).as_ref())),
        ("rule", rule),
        ("whom", if claim.is_whole() { Arg::None } else { text(&claim.whom) }),
    ]
}

fn person(deed: &Deed) -> Args {
    let mut args = vec![("deed", Arg::Word(deed.word()))];
    match deed {
        Deed::Choose { lasts, trouble, .. } => {
            args.push(("lasts_ms", lasts.map_or(Arg::None, time)));
            let trouble = trouble.map_or(Arg::None, |trouble| Arg::Word(trouble.word()));
            args.push(("trouble", trouble));
        }
        Deed::Pause { lasts, instead, .. } => {
            args.push(("lasts_ms", lasts.map_or(Arg::None, time)));
            args.push(("instead", maybe(instead.as_ref())));
        }
        Deed::TestLeds { leds, lasts } => {
            args.push(("leds", Arg::List(leds.clone())));
            args.push(("lasts_ms", time(*lasts)));
        }
        Deed::Set { by, changes, within } => {
            args.push(("by", text(by)));
            args.push(("changes", texts(changes)));
            args.push(("lasts_ms", time(*within)));
        }
        Deed::Password { by } => args.push(("by", text(by))),
        Deed::Keep { by } => args.push(("by", maybe(by.as_ref()))),
        Deed::Undo { why } => {
            let by = if let Undoing::Asked { by } = why { Some(by) } else { None };
            args.push(("by", maybe(by)));
        }
        Deed::Automatic { .. }
        | Deed::ChoiceOver
        | Deed::Resume { .. }
        | Deed::PauseOver { .. } => {}
    }
    args
}

fn noted(note: Option<&Note>) -> Args {
    let due = note.and_then(|note| note.due).map(|due| due.to_string());
    vec![("note", maybe(note.map(|note| &note.text))), ("due", maybe(due.as_ref()))]
}

fn others(what: &Undone) -> Args {
    let count = |n: usize| Arg::Count(n as u64);
    vec![
        ("what", Arg::Text(what.to_string())),
        ("kinds", Arg::List(what.kinds().map(|kind| kind.word().to_owned()).collect())),
        ("deleted", count(what.deleted())),
        ("changed", count(what.changed())),
        ("added", count(what.added())),
    ]
}

const fn version(family: Family) -> Arg {
    match family {
        Family::V4 => Arg::Word("v4"),
        Family::V6 => Arg::Word("v6"),
    }
}

fn text(name: &str) -> Arg {
    Arg::Text(name.to_owned())
}

fn maybe(name: Option<&String>) -> Arg {
    name.map_or(Arg::None, |name| text(name))
}

fn time(time: Duration) -> Arg {
    Arg::Number((time.as_secs_f64() * 1e4).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::super::undone::{Count, Damage};
    use super::*;

    #[test]
    fn what_others_did_is_in_numbers_too() {
        let what = Undone {
            rules: Count { desired: 4, deleted: 3, ..Count::default() },
            routes: Count { desired: 3, changed: 1, added: 2, ..Count::default() },
            table: Some(Damage::Deleted),
            sets: 1,
            sysctls: [("net/ipv4/ip_forward".to_owned(), "0".to_owned())].into(),
        };
        let sentence = "deleted 3 of 4 rules and the nftables table, changed 1 route and 1 nftables set, \
                        added 2 routes, set net.ipv4.ip_forward to 0";
        let kinds = ["rules", "routes", "nftables", "sysctls"].map(str::to_owned).to_vec();
        let told = Fact::Repaired { what, took: Duration::from_millis(12) }.args();
        let expected = vec![
            ("what", Arg::Text(sentence.to_owned())),
            ("kinds", Arg::List(kinds)),
            ("deleted", Arg::Count(4)),
            ("changed", Arg::Count(3)),
            ("added", Arg::Count(2)),
            ("took_ms", Arg::Number(12.0)),
        ];
        assert_eq!(told, expected);
    }
}
