//! The longer sentences about what happened.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use super::facts::counted;
use crate::time::human;
use crate::units::{ByteCount, Family};

pub(super) fn no_way_out(stays_on: Option<&str>, family: Family) -> String {
    let stays = stays_on.map_or_else(String::new, |name| format!("stays on {name} and "));
    format!("{family}: no uplink works; {stays}keeps retrying")
}

pub(super) fn quality(uplink: &str, degraded: bool, loss: f32) -> String {
    if degraded {
        format!("{uplink} loses {loss:.0} % of the probes")
    } else {
        format!("{uplink} no longer loses packets")
    }
}

pub(super) fn draining(
    uplink: &str,
    family: Family,
    flows: u64,
    bytes: u64,
    lasts: Option<Duration>,
) -> String {
    let (count, bytes) = (counted(flows, "flow"), ByteCount(bytes));
    let verb = if flows == 1 { "finishes" } else { "finish" };
    let most = lasts.map_or_else(String::new, |lasts| format!(", at most {} more", human(lasts)));
    format!("{count} ({family}, {bytes}) {verb} on {uplink}{most}")
}

pub(super) fn drain_over(uplink: &str, family: Family, after: Duration) -> String {
    let after = human(after);
    format!("old {family} flows had {after} to finish on {uplink}; the rest is cut")
}

pub(super) fn fight(what: &str, times: usize, pause: Duration) -> String {
    let pause = human(pause);
    format!(
        "another program keeps undoing sparelink's rules, {times} times in a minute (last: {what}); from now \
         on they are restored every {pause} at most; `sparelink doctor` looks for the cause"
    )
}

pub(super) fn offload(uplinks: &[String], offloaded: bool) -> String {
    let uplinks = uplinks.join(", ");
    if offloaded {
        format!(
            "connections on {uplinks} are offloaded, so their packets are not counted; silence there is \
             given twice the time"
        )
    } else {
        format!("packets on {uplinks} are counted again")
    }
}

pub(super) fn astray(uplink: &str, family: Family, by: &str) -> String {
    format!(
        "{family} packets to the Internet leave by {by}, not by {uplink}: a rule of another program \
         comes before sparelink's; `ip rule` shows it"
    )
}

pub(super) fn ignored(f: &mut fmt::Formatter<'_>, uplink: &str, nets: &[IpNet]) -> fmt::Result {
    let (to, why) = (listed(nets), "they would take traffic over it whatever is active");
    write!(f, "routes by {uplink} to {to} are ignored: {why}")
}

/// Who was told of a flush.
pub(super) fn told(poked: u64, destroyed: u64) -> String {
    let clients = (poked > 0).then(|| format!("{} told", counted(poked, "client")));
    let own = (destroyed > 0).then(|| format!("{} ended", counted(destroyed, "own connection")));
    let both: Vec<String> = clients.into_iter().chain(own).collect();
    if both.is_empty() { String::new() } else { format!("; {}", both.join(", ")) }
}

/// `0.0.0.0/1, 128.0.0.0/1`, and how many more.
fn listed(networks: &[IpNet]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = networks.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = networks.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &rest
}
