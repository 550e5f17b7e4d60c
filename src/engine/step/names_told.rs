//! What people are told of names.

use crate::config::DdnsConfig;
use crate::engine::names::ddns::follower::Follower;
use crate::engine::names::ddns::request::Record;
use crate::engine::names::ddns::told::{NameState, State};
use crate::engine::{Engine, Mode};
use crate::time::{Now, human};
use crate::units::{Family, PerFamily};

impl Engine {
    /// How it stands with each name, in the order of the configuration.
    pub(in crate::engine) fn name_states(&self, now: Now) -> Vec<NameState> {
        self.config.ddns.iter().map(|config| self.name_state(config, now)).collect()
    }

    fn name_state(&self, config: &DdnsConfig, now: Now) -> NameState {
        let none = Follower::default();
        let follower = self.names.followers.get(&config.name).unwrap_or(&none);
        let wish = self.wish(config, now);
        let of = self.owners(config, now);
        let next = follower.next(&wish);
        let says = follower.says();
        let known = told(&config.name, follower, &of);
        let rest = match follower.state() {
            _ if self.life.mode == Mode::Observe => {
                "not written: the agent only observes".to_owned()
            }
            _ if !wish.clock => "waits until the clock of this box is set".to_owned(),
            State::Failing | State::Refused => {
                let why = follower.why().unwrap_or_default();
                match next {
                    Some(at) => format!("{why}; tried again in {}", human(at.since(now.mono))),
                    None if follower.gives_up() => {
                        format!("{why}; not tried again before the configuration changes")
                    }
                    None => format!("{why}; being tried again"),
                }
            }
            State::Waiting => waiting(follower, next.map(|at| human(at.since(now.mono)))),
            State::NoAddress => {
                "no address is known by which the Internet reaches this box".to_owned()
            }
            State::Right => match follower.seen() {
                (true, Some(after)) => format!("seen by the name server after {}", human(after)),
                (true, None) => "the name server says so".to_owned(),
                (false, _) if config.updater.answers() => {
                    "written; not seen by the name server yet".to_owned()
                }
                (false, _) => {
                    let unseen = if follower.is_missed() {
                        "; its name server does not say so yet"
                    } else {
                        ""
                    };
                    format!("taken by {}{unseen}", config.updater.server().host)
                }
            },
        };
        NameState {
            name: config.name.clone(),
            uplink: config.uplink.clone(),
            says,
            of,
            state: follower.state(),
            text: match self.hidden(config, now) {
                Some(hidden) => format!("{known}, {rest}; {hidden}"),
                None => format!("{known}, {rest}"),
            },
            written: follower.written(),
            seen_after: follower.seen().1,
            next,
            failing: follower.why().map(str::to_owned),
        }
    }
}

/// The name, and where it leads. An owner is named only where the address is the one that it should be.
fn told(name: &str, follower: &Follower, of: &PerFamily<Option<String>>) -> String {
    let says = follower.says();
    let mut each = Vec::new();
    let mut owners: Vec<&str> = Vec::new();
    for family in Family::BOTH {
        let Some(ip) = *says.get(family) else { continue };
        each.push(ip.to_string());
        let right = *follower.wanted().get(family) == Record::Is(ip);
        owners.extend(of.get(family).as_deref().filter(|_| right));
    }
    owners.dedup();
    if each.is_empty() {
        let known = if follower.written().is_none() { "nothing yet" } else { "not known" };
        return format!("{name} → {known}");
    }
    let owner =
        if owners.is_empty() { String::new() } else { format!(" ({})", owners.join(" and ")) };
    format!("{name} → {}{owner}", each.join(" and "))
}

/// What it waits for.
fn waiting(follower: &Follower, within: Option<String>) -> String {
    let new = Family::BOTH.iter().filter_map(|family| match follower.wanted().get(*family) {
        Record::Is(ip) if *follower.says().get(*family) != Some(*ip) => Some(ip.to_string()),
        Record::Is(_) | Record::Keep | Record::None => None,
    });
    let new = new.collect::<Vec<_>>().join(" and ");
    let what = if new.is_empty() { String::new() } else { format!("{new} ") };
    match within {
        Some(within) => format!("{what}is written in {within}"),
        None => format!("{what}is being written"),
    }
}
