//! What is around the uplinks: who is in the LAN, who resolves names, what the Internet can reach; and what is fine.

use super::super::{Follows, Reader, fine};
use super::*;

fn whats(facts: &Facts) -> Vec<String> {
    judge(&config(CONFIG), facts).into_iter().map(|finding| finding.what).collect()
}

/// The sound box with this address on the cable, as in bridge mode.
fn with_cable_at(net: &str) -> Facts {
    let mut facts = sound();
    facts.view.addresses[0].net = net.parse().unwrap();
    facts
}

#[test]
fn ssh_on_an_address_of_the_internet_is_told() {
    let all: IpAddr = "0.0.0.0".parse().unwrap();
    let public: IpAddr = "84.12.9.70".parse().unwrap();
    let lan: IpAddr = "192.168.77.1".parse().unwrap();
    for (net, listens, told) in [
        ("84.12.9.70/22", all, true),
        ("84.12.9.70/22", public, true),
        ("84.12.9.70/22", lan, false),
        ("192.168.10.2/24", all, false),
        ("100.72.1.2/16", all, false),
    ] {
        let mut facts = with_cable_at(net);
        facts.ssh.insert(listens);
        let found = whats(&facts).iter().any(|what| what.starts_with("ssh listens on cable's"));
        assert_eq!(found, told, "{net} {listens}");
    }
}

#[test]
fn a_lan_without_machines_is_told_once_the_agent_runs() {
    let mut facts = sound();
    facts.neighbours.clear();
    assert_eq!(whats(&facts), ["no machine has been seen in the LAN on br-lan"]);
    facts.running = false;
    assert_eq!(whats(&facts), [""; 0]);
}

#[test]
fn a_cache_that_asks_others_is_told() {
    let mut facts = sound();
    facts.readers = vec![Reader { program: "dnsmasq", follows: Follows::Yes }];
    assert_eq!(whats(&facts), [""; 0]);
    facts.readers[0].follows = Follows::No;
    let findings = judge(&config(CONFIG), &facts);
    assert!(findings[0].what.starts_with("dnsmasq does not ask"), "{findings:?}");
    assert!(findings[0].mend.contains("resolv-file=/run/sparelink/resolv.conf"), "{findings:?}");
}

#[test]
fn a_manager_of_the_firmware_is_in_the_way() {
    let facts = Facts { kmwan: true, ..sound() };
    let findings = judge(&config(CONFIG), &facts);
    assert_eq!(findings[0].level, Level::Wrong);
    assert!(findings[0].mend.starts_with("uci set kmwan.global.enable=0"), "{findings:?}");
}

#[test]
fn what_is_fine_is_said() {
    let mut facts = sound();
    facts.readers = vec![
        Reader { program: "dnsmasq", follows: Follows::Yes },
        Reader { program: "unbound", follows: Follows::Itself },
        Reader { program: "systemd-resolved", follows: Follows::Every },
    ];
    assert_eq!(
        fine(&config(CONFIG), &facts),
        [
            "the agent is running",
            "cable: wan0, 192.168.10.2, IPv4",
            "mifi: usb0, 192.168.11.2, IPv4",
            "LAN: br-lan, 192.168.77.1/24, 1 machine seen",
            "no firewall keeps the LAN from an uplink",
            "dnsmasq asks the name servers of the uplink in use",
            "unbound asks the name servers that its own configuration names",
            "systemd-resolved asks the name servers of every uplink",
            "the page is at http://192.168.77.1:8300/",
        ]
    );
    // What is not as it should be is not said to be.
    facts.view.links.get_mut(&IfIndex(2)).unwrap().carrier = false;
    facts.running = false;
    let fine = fine(&config(CONFIG), &facts);
    assert!(
        !fine.iter().any(|line| line.starts_with("cable") || line.contains("page")),
        "{fine:?}"
    );
}
