//! Programs that work beside sparelink on many boxes: what was seen of each, and whether there is something to
//! set.

use serde::Serialize;

use super::facts::Facts;

/// A program that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    pub name: &'static str,
    /// What there is to know of it, as one sentence.
    pub text: &'static str,
}

/// How one is recognised: by its processes (as `/proc/PID/comm` cuts them off), tables and chains.
struct Sign {
    neighbour: Neighbour,
    programs: &'static [&'static str],
    /// Family and name of a table.
    tables: &'static [&'static str],
    /// Chains at the hook where packets are forwarded, or reached from there.
    chains: &'static [&'static str],
}

const SIGNS: [Sign; 9] = [
    Sign {
        neighbour: Neighbour {
            name: "Docker",
            text: "it drops what others forward unless the chain DOCKER-USER lets it through; its containers leave by \
                   the uplink in use",
        },
        programs: &["dockerd"],
        tables: &[],
        chains: &["DOCKER-USER"],
    },
    Sign {
        neighbour: Neighbour {
            name: "UFW",
            text: "it forwards nothing but what `ufw route allow` names; what comes to the box itself is its alone to \
                   decide",
        },
        programs: &[],
        tables: &[],
        chains: &["ufw-user-forward", "ufw6-user-forward"],
    },
    Sign {
        neighbour: Neighbour {
            name: "firewalld",
            text: "every uplink belongs into the zone external, and a policy has to lead there from the LAN's zone",
        },
        programs: &["firewalld"],
        tables: &["inet firewalld", "ip firewalld"],
        chains: &[],
    },
    Sign {
        neighbour: Neighbour {
            name: "fail2ban",
            text: "its bans concern what comes to the box and are left alone: nothing to set",
        },
        programs: &["fail2ban-server"],
        tables: &["inet f2b-table"],
        chains: &[],
    },
    Sign {
        neighbour: Neighbour {
            name: "libvirt",
            text: "its guests leave by the uplink in use; name their bridge in [lan] interfaces if their connections \
                   are to be moved as the LAN's are",
        },
        programs: &["libvirtd", "virtqemud", "virtnetworkd"],
        tables: &["ip libvirt_network", "ip6 libvirt_network"],
        chains: &["LIBVIRT_FWO"],
    },
    Sign {
        neighbour: Neighbour {
            name: "strongSwan",
            text: "what its policies cover goes into the tunnel, and the tunnel by the uplink in use: nothing to set",
        },
        programs: &["charon", "charon-systemd", "charon-nm", "starter"],
        tables: &[],
        chains: &[],
    },
    Sign {
        neighbour: Neighbour {
            name: "igmpproxy",
            text: "multicast goes where it routes it, whatever uplink is in use; its upstream has to be the uplink \
                   that television comes by",
        },
        programs: &["igmpproxy", "mcproxy", "omcproxy"],
        tables: &[],
        chains: &[],
    },
    Sign {
        neighbour: Neighbour {
            name: "pbr",
            text: "it and sparelink both choose uplinks; only one of them should",
        },
        programs: &["pbr"],
        tables: &[],
        chains: &["pbr_forward"],
    },
    Sign {
        neighbour: Neighbour {
            name: "mwan3",
            text: "it and sparelink both choose uplinks; only one of them can",
        },
        programs: &["mwan3track", "mwan3rtmon"],
        tables: &[],
        chains: &[],
    },
];

/// Those that were seen, each once.
#[must_use]
pub fn seen(facts: &Facts) -> Vec<Neighbour> {
    let runs = |names: &[&str]| names.iter().any(|name| facts.programs.contains(*name));
    let has_table = |names: &[&str]| facts.tables.iter().any(|t| names.contains(&t.name.as_str()));
    let has_chain = |names: &[&str]| {
        let mut tables = facts.forwarding.tables.iter();
        tables.any(|table| names.iter().any(|name| table.chains.contains_key(*name)))
    };
    let there =
        |sign: &&Sign| runs(sign.programs) || has_table(sign.tables) || has_chain(sign.chains);
    SIGNS.iter().filter(there).map(|sign| sign.neighbour).collect()
}
