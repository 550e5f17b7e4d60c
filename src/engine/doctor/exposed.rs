//! What of the box itself the Internet can reach.

use std::net::IpAddr;

use super::facts::Facts;
use super::finding::Finding;
use crate::config::Config;
use crate::engine::uplink::attachment::Attachment;

/// ssh on an address of the Internet: an uplink in bridge mode has one.
pub(super) fn judge(config: &Config, facts: &Facts) -> Option<Finding> {
    let everywhere = facts.ssh.iter().any(|at| at.is_unspecified());
    let (name, address) = config.uplinks.iter().find_map(|uplink| {
        let (index, _) = Attachment::of(uplink, &facts.view, &[]).link?;
        let own = facts.view.addresses.iter().filter(|a| a.index == index && a.global);
        let mut public = own.map(|a| a.net.addr()).filter(|at| is_public(*at));
        let at = public.find(|at| everywhere || facts.ssh.contains(at))?;
        Some((&uplink.name, at))
    })?;
    Some(Finding::note(
        format!("ssh listens on {name}'s public address {address}"),
        "Anyone on the Internet can try passwords, unless a firewall of this box keeps them out.",
        "log in by keys only: write PasswordAuthentication no into /etc/ssh/sshd_config.d/keys.conf,\n\
         then systemctl reload ssh; or let your firewall take port 22 from the LAN alone",
    ))
}

/// Whether the Internet could send to an IPv4 address. By IPv6 nearly every address is one, and a modem's firewall stands
/// before most.
fn is_public(at: IpAddr) -> bool {
    let IpAddr::V4(at) = at else { return false };
    let [a, b, ..] = at.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(at.is_private() || at.is_loopback() || at.is_link_local() || at.is_documentation() || shared)
}
