//! The words: one sentence for each fact. Log, command line, history and messages all say the same.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::causes::{Cause, Deed, Scope, Trouble, Undoing};
use super::facts::{Fact, SwitchKind};
use super::name_words::name_written;
use super::undone::{Count, Damage, Undone};
use crate::engine::health::Condition;
use crate::time::human;
use crate::units::{ByteCount, Family};

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { chain } => write!(f, "Agent started: {}", chain.join(", ")),
            Self::Stopped => f.write_str("Agent stopped; traffic goes on as it is"),
            Self::Health { uplink, family, from, to, condition } => {
                let (from, to, because) = (from.word(), to.word(), because(*condition));
                write!(f, "{uplink} ({family}): {from} to {to}{because}")
            }
            Self::Switched { family, from, to, kind, cause, scope, .. } => {
                f.write_str(&switched(*family, from.as_deref(), to, (*kind, cause, *scope)))
            }
            Self::Felt { to, gap } => {
                write!(f, "Internet answered again after {}, over {to}", human(*gap))
            }
            Self::BackOnline { uplink, gap: Some(gap) } => {
                write!(f, "Internet is back on {uplink} after {}", human(*gap))
            }
            Self::BackOnline { uplink, gap: None } => write!(f, "Internet is back on {uplink}"),
            Self::AllUplinksDown { stays_on, family, scope } => {
                f.write_str(&all_down(stays_on.as_deref(), *family, *scope))
            }
            Self::Works { .. }
            | Self::Fails { .. }
            | Self::Premature { .. }
            | Self::Quality { .. }
            | Self::Resolvers { .. } => self.say_of_a_line(f),
            Self::NoSpareLeft { others } => f.write_str(&no_spare_left(others)),
            Self::SpareBack { uplink } => write!(f, "{uplink} is ready to take over again"),
            Self::RoutesIgnored { uplink, networks } => write!(
                f,
                "routes by {uplink} to {} are ignored: they would take traffic over it whatever is active",
                listed(networks)
            ),
            Self::OverlapsLan { uplink, subnet: s } => write!(f, "{uplink} {}", overlaps_lan(*s)),
            Self::Manual { deed } => write!(f, "{deed}"),
            Self::Noted { uplink, note: Some(note) } => {
                write!(f, "Note on {uplink}: {}", note.text)
            }
            Self::Noted { uplink, note: None } => write!(f, "The note on {uplink} is gone"),
            Self::Reported { uplink } => write!(f, "{uplink} was reported to the provider as down"),
            Self::Stalled { gap } => {
                let gap = human(*gap);
                write!(f, "the agent stalled for {gap}; probes of that time are ignored")
            }
            Self::Reloaded { changes } if changes.is_empty() => {
                f.write_str("Configuration reloaded: nothing is different")
            }
            Self::Reloaded { changes } => {
                write!(f, "Configuration reloaded: {}", changes.join("; "))
            }
            Self::Flushed { .. }
            | Self::FlowsLeft { .. }
            | Self::Draining { .. }
            | Self::Drained { .. }
            | Self::DrainOver { .. }
            | Self::Repaired { .. }
            | Self::Fight { .. }
            | Self::FightOver
            | Self::Offload { .. }
            | Self::Claimed { .. }
            | Self::ClaimOver { .. }
            | Self::HostFollows { .. }
            | Self::NameWritten { .. }
            | Self::NameFails { .. }
            | Self::Barred { .. }
            | Self::Astray { .. }
            | Self::ApplyFailed { .. }
            | Self::Announced { .. } => self.say_of_flows_and_kernel(f),
        }
    }
}

impl Fact {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are in the function before")]
    fn say_of_a_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { uplink, lasts } => {
                write!(f, "{uplink} leads to the Internet (for {})", human(*lasts))
            }
            Self::Fails { uplink, only, condition, lasts } => {
                let only = only.map(|family| format!(" ({family} only)")).unwrap_or_default();
                write!(f, "{uplink}{only} {} (for {})", condition.phrase(), human(*lasts))
            }
            Self::Premature { uplink, window } => {
                let window = human(*window);
                write!(f, "{uplink} answered again by itself; its window is {window} from now on")
            }
            Self::Quality { uplink, degraded: true, loss } => {
                write!(f, "{uplink} loses {loss:.0} % of the probes")
            }
            Self::Quality { uplink, degraded: false, .. } => {
                write!(f, "{uplink} no longer loses packets")
            }
            Self::Resolvers { uplink, family, silent, in_use } => {
                let order = if *in_use { "are asked first" } else { "would be asked first" };
                let what = if *silent {
                    format!("do not answer; public ones {order}")
                } else {
                    format!("answer again and {order}")
                };
                write!(f, "{uplink}'s resolvers ({family}) {what}")
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are in the function before")]
    fn say_of_flows_and_kernel(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flushed { uplink, flows, notified, destroyed } => {
                let told = told(*notified, *destroyed);
                write!(f, "{} of {uplink} flushed{told}", counted(*flows, "flow"))
            }
            Self::FlowsLeft { uplink, flows, after } => {
                write!(f, "{flows} flows are still on {uplink} {} after the switch", human(*after))
            }
            Self::Draining { uplink, family, flows, bytes, lasts } => {
                f.write_str(&draining(uplink, *family, (*flows, *bytes), *lasts))
            }
            Self::Drained { uplink, family, after } => write!(
                f,
                "the last old {family} connection on {uplink} ended {} after the switch",
                human(*after)
            ),
            Self::DrainOver { uplink, family, after } => write!(
                f,
                "old {family} connections had {} to finish on {uplink}; the rest is cut",
                human(*after)
            ),
            Self::Repaired { what, took } => {
                write!(f, "others {what}: restored in {}", human(*took))
            }
            Self::Fight { what, times, pause } => f.write_str(&fight(what, *times, *pause)),
            Self::Offload { uplinks, offloaded: true } => write!(
                f,
                "connections on {} are offloaded, so their packets are not counted; silence there is \
                 given twice the time",
                uplinks.join(", ")
            ),
            Self::Offload { uplinks, offloaded: false } => {
                write!(f, "packets on {} are counted again", uplinks.join(", "))
            }
            Self::FightOver => {
                f.write_str("no other program has changed sparelink's rules for a minute")
            }
            Self::Barred { uplink, family, firewall, barred: true } => write!(
                f,
                "the firewall {firewall} does not let the LAN out by {uplink} ({family}); \
                 `sparelink doctor` has the fix"
            ),
            Self::Barred { uplink, family, firewall, barred: false } => {
                write!(f, "the firewall {firewall} lets the LAN out by {uplink} again ({family})")
            }
            Self::Astray { uplink, family, by } => write!(
                f,
                "{family} packets to the Internet leave by {by}, not by {uplink}: a rule of another \
                 program comes before sparelink's; `ip rule` shows it"
            ),
            Self::Claimed { claim } => write!(f, "{claim}"),
            Self::ClaimOver { claim } => write!(f, "no longer so: {claim}"),
            Self::HostFollows { host } => write!(
                f,
                "packets to {host} follow the active uplink, although `main` has a route to it by one \
                 (keep_routes keeps it there)"
            ),
            Self::NameWritten { name, v4, v6, uplinks } => {
                f.write_str(&name_written(name, [*v4, *v6], uplinks))
            }
            Self::NameFails { name, why, .. } => write!(f, "{name} is not up to date: {why}"),
            Self::ApplyFailed { error } => write!(f, "the kernel refused: {error}"),
            Self::Announced { uplink, prefix, preferred } => {
                let what = if *preferred { "to use again" } else { "to begin nothing new with" };
                write!(f, "told the LAN {what} {prefix} of {uplink}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Cause {
    /// The end of a sentence that began with a move.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen by a person"),
            Self::Released => f.write_str("automatic again"),
            Self::Resumed => f.write_str("resumed by a person"),
            Self::Paused { uplink } => write!(f, "{uplink} is paused"),
            Self::FirstThatWorks => f.write_str("first in the chain that works"),
            Self::Stable { hold } => write!(f, "stable for {}", human(*hold)),
            Self::Failed { uplink, condition } => write!(f, "{uplink} {}", condition.phrase()),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Choose { uplink, lasts, trouble } => {
                let time = lasting(*lasts, "switch auto");
                match trouble {
                    None => write!(f, "Using {uplink} {time}"),
                    Some(trouble @ Trouble::Only(family, _)) => write!(
                        f,
                        "Using {uplink} {time}; it {trouble}, so {family} stays where it is until that works"
                    ),
                    Some(trouble) => write!(
                        f,
                        "{uplink} is preferred {time}; it {trouble}, so traffic stays where it is until it works"
                    ),
                }
            }
            Self::Automatic { chosen: Some(uplink) } => {
                write!(f, "Automatic again; {uplink} is no longer preferred")
            }
            Self::Automatic { chosen: None } => f.write_str("Automatic, as before"),
            Self::ChoiceOver => {
                f.write_str("The time of the manual switch is over; automatic again")
            }
            Self::Pause { uplink, lasts, instead } => {
                let time = lasting(*lasts, &format!("resume {uplink}"));
                match instead {
                    Some(_) => write!(f, "{uplink} is paused {time}"),
                    None => write!(
                        f,
                        "{uplink} is paused {time}; no other uplink is ready, so traffic stays on it until one is"
                    ),
                }
            }
            Self::Resume { uplink } => write!(f, "{uplink} is resumed"),
            Self::PauseOver { uplink } => write!(f, "The pause of {uplink} is over"),
            Self::TestLeds { leds, lasts } => {
                let noun = if leds.len() == 1 { "LED" } else { "LEDs" };
                write!(f, "{noun} {}: on and off for {} s", leds.join(", "), lasts.as_secs())
            }
            Self::Set { by, changes, within } => write!(
                f,
                "Settings changed on the page by {by}, on trial for {} s: {}",
                within.as_secs(),
                changes.join("; ")
            ),
            Self::Keep { by: Some(by) } => write!(f, "The new settings stay: confirmed by {by}"),
            Self::Keep { by: None } => {
                f.write_str("The trial was ended on the box; the configuration counts as it is now")
            }
            Self::Undo { why: Undoing::Asked { by } } => {
                write!(f, "The new settings are undone by {by}")
            }
            Self::Undo { why: Undoing::Unconfirmed } => {
                f.write_str("The new settings are undone: nobody confirmed them")
            }
            Self::Undo { why: Undoing::Edited } => f.write_str(
                "The new settings are undone; the file was edited meanwhile, and counts as it is now",
            ),
            Self::Password { by } => write!(f, "The password of the page was set by {by}"),
        }
    }
}

impl fmt::Display for Trouble {
    /// The end of a sentence that begins with the uplink's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("is paused"),
            Self::Testing => f.write_str("is being checked"),
            Self::Condition(condition) => f.write_str(condition.phrase()),
            Self::Only(family, condition) => write!(f, "{} ({family} only)", condition.phrase()),
        }
    }
}

impl fmt::Display for Undone {
    /// What others did, as the rest of a sentence: `deleted all 10 rules and the nftables table, set
    /// net.ipv4.ip_forward to 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = |damage| (self.table == Some(damage)).then(|| "the nftables table".to_owned());
        let some = |n: usize, what: &str| (n > 0).then(|| counted(n as u64, what));
        let deleted =
            [missing(self.rules, "rule"), missing(self.routes, "route"), table(Damage::Deleted)];
        let changed = [
            some(self.rules.changed, "rule"),
            some(self.routes.changed, "route"),
            table(Damage::Changed),
            some(self.sets, "nftables set"),
        ];
        let added = [some(self.rules.added, "rule"), some(self.routes.added, "route")];
        let set = match self.sysctls.len() {
            0..=2 => self.sysctls.iter().map(|(path, found)| setting(path, found)).collect(),
            many => vec![format!("{many} sysctls to other values")],
        };
        let clauses = [
            ("deleted", row(deleted.into_iter().flatten().collect())),
            ("changed", row(changed.into_iter().flatten().collect())),
            ("added", row(added.into_iter().flatten().collect())),
            ("set", row(set)),
        ];
        let said: Vec<String> = clauses
            .into_iter()
            .filter_map(|(verb, what)| what.map(|what| format!("{verb} {what}")))
            .collect();
        f.write_str(&said.join(", "))
    }
}

/// `all 10 rules`, `2 of 10 rules`.
fn missing(count: Count, what: &str) -> Option<String> {
    match (count.deleted, count.desired) {
        (0, _) => None,
        (all, desired) if all >= desired && all > 1 => Some(format!("all {all} {what}s")),
        (some, desired) => Some(format!("{some} of {desired} {what}s")),
    }
}

fn setting(path: &str, found: &str) -> String {
    // A name such as eth0.7 would look like two parts.
    let name = if path.contains('.') { path.to_owned() } else { path.replace('/', ".") };
    if found.is_empty() { name } else { format!("{name} to {found}") }
}

/// A sentence begins with it.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `a, b and c`.
pub(in crate::engine) fn row(mut all: Vec<String>) -> Option<String> {
    let last = all.pop()?;
    if all.is_empty() { Some(last) } else { Some(format!("{} and {last}", all.join(", "))) }
}

fn lasting(lasts: Option<Duration>, ends: &str) -> String {
    lasts.map_or_else(|| format!("until \"sparelink {ends}\""), |d| format!("for {}", human(d)))
}

fn switched(
    family: Family,
    from: Option<&str>,
    to: &str,
    (kind, cause, scope): (SwitchKind, &Cause, Scope),
) -> String {
    let only = match scope {
        Scope::Whole => String::new(),
        Scope::Family => format!(" for {family}"),
    };
    match (kind, from) {
        (SwitchKind::First, _) | (_, None) => format!("Started on {to}{only}: {cause}"),
        (SwitchKind::Failback, _) => format!("Back on {to}{only} ({cause})"),
        (SwitchKind::Manual, Some(from)) => format!("Switched from {from} to {to}{only}: {cause}"),
        (SwitchKind::Failover | SwitchKind::Quality, Some(from)) => {
            let subject = match scope {
                Scope::Whole => "Traffic".to_owned(),
                Scope::Family => family.to_string(),
            };
            format!("{subject} fails over from {from} to {to}: {cause}")
        }
    }
}

fn all_down(stays_on: Option<&str>, family: Family, scope: Scope) -> String {
    let what = match scope {
        Scope::Whole => "No uplink works".to_owned(),
        Scope::Family => format!("No uplink carries {family}"),
    };
    match stays_on {
        Some(name) => format!("{what}; keeping {name} and retrying"),
        None => format!("{what}; retrying"),
    }
}

fn no_spare_left(others: &[(String, Trouble)]) -> String {
    let why: Vec<String> =
        others.iter().map(|(name, trouble)| format!("{name} {trouble}")).collect();
    format!("Internet works, but no spare is left: {}", why.join(", "))
}

/// What is wrong with a line, after what became of it.
fn because(condition: Condition) -> String {
    if condition == Condition::Ok { String::new() } else { format!(": it {}", condition.phrase()) }
}

/// Which clients were told of a flush.
fn told(notified: u64, destroyed: u64) -> String {
    let clients = (notified > 0).then(|| format!("{} notified", counted(notified, "client")));
    let own = (destroyed > 0).then(|| format!("{} ended", counted(destroyed, "own connection")));
    let both: Vec<String> = clients.into_iter().chain(own).collect();
    if both.is_empty() { String::new() } else { format!("; {}", both.join(", ")) }
}

fn draining(
    uplink: &str,
    family: Family,
    (flows, bytes): (u64, u64),
    lasts: Option<Duration>,
) -> String {
    let count = counted(flows, "open connection");
    let verb = if flows == 1 { "stays" } else { "stay" };
    let until = match lasts {
        Some(lasts) => format!("for at most {} more", human(lasts)),
        None => format!("until {}", if flows == 1 { "it ends" } else { "they end" }),
    };
    format!("{count} ({family}, {}) {verb} on {uplink} {until}", ByteCount(bytes))
}

fn fight(what: &Undone, times: usize, pause: Duration) -> String {
    let pause = human(pause);
    format!(
        "another program keeps undoing what is ours, {times} times in a minute (last: {what}); from now on \
         it is put back every {pause} at most; `sparelink doctor` looks for that program"
    )
}

/// `0.0.0.0/1, 128.0.0.0/1`, and how many more.
fn listed(networks: &[IpNet]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = networks.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = networks.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &rest
}

/// `1 flow`, `2 flows`.
pub(in crate::engine) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whose rules do not let the LAN out by an uplink: why it is not used, or is of no use.
#[must_use]
pub fn barred_by(firewall: &str) -> String {
    format!(
        "the firewall {firewall} does not let the LAN out by it; `sparelink doctor` has the fix"
    )
}

/// What is wrong with an uplink that has the LAN's subnet, and the fix; the end of a sentence that
/// begins with its name.
#[must_use]
pub fn overlaps_lan(subnet: IpNet) -> String {
    format!(
        "has the LAN's own subnet {subnet} and is not used; change it on the modem or in the LAN"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::causes::Order;

    fn said(family: Family, kind: SwitchKind, cause: Cause, scope: Scope) -> String {
        let (from, to) = (Some("cable".to_owned()), "mifi".to_owned());
        let fact = Fact::Switched { family, from, to, kind, cause, order: Order::Opens, scope };
        fact.to_string()
    }

    #[test]
    fn a_move_says_where_to_and_why() {
        let (whole, v4) = (Scope::Whole, Family::V4);
        let uplink = || "cable".to_owned();
        let portal = || Cause::Failed { uplink: uplink(), condition: Condition::Portal };
        assert_eq!(
            said(v4, SwitchKind::Quality, portal(), whole),
            "Traffic fails over from cable to mifi: cable shows a sign-in page instead of the Internet"
        );
        assert_eq!(
            said(
                Family::V6,
                SwitchKind::Failover,
                Cause::Paused { uplink: uplink() },
                Scope::Family
            ),
            "IPv6 fails over from cable to mifi: cable is paused"
        );
        let stable = Cause::Stable { hold: Duration::from_secs(60) };
        assert_eq!(said(v4, SwitchKind::Failback, stable, whole), "Back on mifi (stable for 60 s)");
        let released = said(v4, SwitchKind::Failback, Cause::Released, whole);
        assert_eq!(released, "Back on mifi (automatic again)");
        let chosen = said(v4, SwitchKind::Manual, Cause::Chosen, whole);
        assert_eq!(chosen, "Switched from cable to mifi: chosen by a person");
    }

    #[test]
    fn what_is_lost_is_named_with_its_reason() {
        let portal = Trouble::Condition(Condition::Portal);
        let others = vec![("mifi".to_owned(), Trouble::Paused), ("phone".to_owned(), portal)];
        assert_eq!(
            Fact::NoSpareLeft { others }.to_string(),
            "Internet works, but no spare is left: mifi is paused, phone shows a sign-in page instead of the Internet"
        );
        let stays_on = Some("phone".to_owned());
        let all_down = Fact::AllUplinksDown { stays_on, family: Family::V4, scope: Scope::Whole };
        assert_eq!(all_down.to_string(), "No uplink works; keeping phone and retrying");
    }

    #[test]
    fn a_drain_says_how_long_it_may_last() {
        let (uplink, family) = ("mifi".to_owned(), Family::V4);
        let (flows, bytes) = (3, 12_345_678);
        let lasts = Some(Duration::from_secs(600));
        let limited = Fact::Draining { uplink: uplink.clone(), family, flows, bytes, lasts };
        let text = "3 open connections (IPv4, 12.3 MB) stay on mifi for at most 10 min more";
        assert_eq!(limited.to_string(), text);
        let free = Fact::Draining { uplink, family, flows: 1, bytes: 999, lasts: None };
        let text = "1 open connection (IPv4, 999 bytes) stays on mifi until it ends";
        assert_eq!(free.to_string(), text);
    }

    #[test]
    fn a_flush_says_which_clients_it_told() {
        let flushed = |flows, notified, destroyed| {
            let uplink = "cable".to_owned();
            Fact::Flushed { uplink, flows, notified, destroyed }.to_string()
        };
        assert_eq!(flushed(0, 0, 0), "0 flows of cable flushed");
        assert_eq!(flushed(1, 0, 1), "1 flow of cable flushed; 1 own connection ended");
        assert_eq!(
            flushed(12, 7, 2),
            "12 flows of cable flushed; 7 clients notified, 2 own connections ended"
        );
    }
}
