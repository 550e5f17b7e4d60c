//! A sound box, and what is said when one thing about it is different.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::parts::{Part, Presence};
use super::*;
use crate::engine::kernel::firewall::{
    Chain, Expr, Field, Policy, Register, Relation, Table, Verdict,
};
use crate::engine::kernel::rule::{ForeignRule, Selector};
use crate::engine::kernel::view::{Address, ForeignRoute, Link, RouteKind};
use crate::units::{Family, Fwmark, RulePriority, TableId};
use crate::units::{IfIndex, Metric};

mod answers;
mod house;
mod strangers;
mod wishes;

const CONFIG: &str = r#"
[[uplink]]
name = "cable"
interface = "wan0"
[[uplink]]
name = "mifi"
interface = "usb0"
[lan]
interfaces = ["br-lan"]
"#;

fn config(text: &str) -> Config {
    crate::config::parse(text, "test.toml").expect("a right configuration")
}

fn link(index: u32, name: &str) -> Link {
    Link::wired(IfIndex(index), name)
}

fn default_route(dev: u32, table: TableId, gateway: &str) -> ForeignRoute {
    ForeignRoute {
        table,
        dst: "0.0.0.0/0".parse().unwrap(),
        src: None,
        gateway: Some(gateway.parse::<IpAddr>().unwrap()),
        dev: IfIndex(dev),
        metric: Metric(100),
        protocol: 16,
        onlink: false,
        mtu: None,
        prefsrc: None,
        kind: RouteKind::Unicast,
    }
}

/// A box on which nothing is wrong, with its agent.
fn sound() -> Facts {
    let neighbours = BTreeMap::from([("br-lan".to_owned(), 1)]);
    let mut facts = Facts { running: true, clock_set: true, neighbours, ..Facts::default() };
    for (index, name, net) in [
        (2, "wan0", "192.168.10.2/24"),
        (3, "usb0", "192.168.11.2/24"),
        (4, "br-lan", "192.168.77.1/24"),
    ] {
        facts.view.links.insert(IfIndex(index), link(index, name));
        let net = net.parse().unwrap();
        let index = IfIndex(index);
        let address = Address { index, net, peer: None, global: true, deprecated: false };
        facts.view.addresses.push(address);
    }
    facts.view.routes = vec![
        default_route(2, TableId::MAIN, "192.168.10.1"),
        default_route(3, TableId::MAIN, "192.168.11.1"),
    ];
    for (path, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/wan0/rp_filter", "2"),
        ("net/ipv4/conf/usb0/rp_filter", "0"),
        ("net/netfilter/nf_conntrack_tcp_loose", "1"),
        ("net/netfilter/nf_conntrack_max", "65536"),
        ("net/netfilter/nf_conntrack_count", "812"),
    ] {
        facts.sysctls.insert(path.to_owned(), value.to_owned());
    }
    facts.parts.insert(Part::Nftables, Presence::Works);
    facts
}

/// The kernel's first three rules, as others have them too.
fn rule(priority: u32, table: u32) -> ForeignRule {
    ForeignRule {
        family: Family::V4,
        priority: RulePriority(priority),
        table: Some(TableId(table)),
        suppress_prefixlength: None,
        narrower: false,
        selector: Selector::default(),
    }
}

/// What is said of a sound box after a change: `wrong` or `note`, and what was found.
fn said(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = sound();
    change(&mut facts);
    told(CONFIG, &facts)
}

fn told(text: &str, facts: &Facts) -> Vec<String> {
    let word = |level| if level == Level::Wrong { "wrong" } else { "note" };
    let findings = judge(&config(text), facts);
    for finding in &findings {
        assert!(finding.why.ends_with('.'), "{finding:?}");
        assert!(finding.level == Level::Note || !finding.mend.is_empty(), "no mend: {finding:?}");
    }
    findings.iter().map(|f| format!("{}: {}", word(f.level), f.what)).collect()
}

fn set(facts: &mut Facts, path: &str, value: &str) {
    facts.sysctls.insert(path.to_owned(), value.to_owned());
}

/// A firewall that lets forwarded packets through which come and go by these devices, and answers if asked to.
fn firewall(name: &str, policy: Policy, ways: &[(&str, &str)], answers: bool) -> Table {
    let ifname = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    };
    let is = |field, name: &str| {
        let register = Register(1);
        [Expr::Load(register, field), Expr::Compare(register, Relation::Equal, ifname(name))]
    };
    let accept = || Expr::End(Verdict::Accept);
    let way = |(lan, out): &(&str, &str)| {
        let path = [is(Field::InName, lan), is(Field::OutName, out)].concat();
        path.into_iter().chain([accept()]).collect::<Vec<_>>()
    };
    let mut rules: Vec<Vec<Expr>> = ways.iter().map(way).collect();
    if answers {
        const ESTABLISHED: u32 = 2;
        rules.push(vec![Expr::States(ESTABLISHED, Relation::Equal), accept()]);
    }
    let chain = Chain { policy: Some(policy), rules };
    Table {
        name: name.to_owned(),
        sees: vec![Family::V4],
        chains: [("forward".to_owned(), chain)].into(),
        ..Table::default()
    }
}

#[test]
fn of_a_sound_box_nothing_is_said() {
    assert_eq!(said(|_| ()), Vec::<String>::new());
    let usual = |facts: &mut Facts| {
        facts.view.rules = vec![rule(32766, 254), rule(32767, 253)];
        // Tailscale: its table has no default route unless there is an exit node.
        facts.view.rules.push(rule(5270, 52));
        let ways = [("br-lan", "wan0"), ("br-lan", "usb0")];
        let tables = &mut facts.forwarding.tables;
        tables.push(firewall("inet fw4", Policy::Drop, &ways, true));
        tables.push(firewall("ip filter", Policy::Accept, &[], false));
        facts.networkd = Networkd { running: true, leaves_routes: true, leaves_rules: true };
        facts.programs.insert("NetworkManager".to_owned());
    };
    assert_eq!(said(usual), Vec::<String>::new());
}

#[test]
fn missing_parts_are_named_with_option_and_module() {
    let mut facts = sound();
    let missing = || Presence::Missing("ENOENT".to_owned());
    facts.parts.insert(Part::Fib, missing());
    facts.parts.insert(Part::SocketDestroy, missing());
    facts.parts.insert(Part::RawSockets, missing());
    let all = judge(&config(CONFIG), &facts);
    assert_eq!(all[0].level, Level::Wrong);
    assert_eq!(all[0].what, "the kernel has no address look-ups in nftables (fib) (ENOENT)");
    assert_eq!(
        all[0].mend,
        "a kernel with CONFIG_NFT_FIB_INET: modprobe nft_fib_inet; on OpenWrt: opkg install kmod-nft-fib"
    );
    assert!(all[1..].iter().all(|finding| finding.level == Level::Note), "{all:?}");
    assert_eq!(all[2].what, "the permission CAP_NET_RAW is missing");
}

#[test]
fn settings() {
    let strict = |facts: &mut Facts| set(facts, "net/ipv4/conf/all/rp_filter", "1");
    assert_eq!(said(strict), ["wrong: reverse-path filtering is strict on usb0"]);
    let own = |facts: &mut Facts| set(facts, "net/ipv4/conf/wan0/rp_filter", "1");
    assert_eq!(said(own), ["wrong: reverse-path filtering is strict on wan0"]);
    let loosened = |facts: &mut Facts| {
        set(facts, "net/ipv4/conf/wan0/rp_filter", "1");
        set(facts, "net/ipv4/conf/all/rp_filter", "2");
    };
    assert_eq!(said(loosened), Vec::<String>::new());
    let before_the_start = |facts: &mut Facts| {
        facts.running = false;
        set(facts, "net/ipv4/ip_forward", "0");
        set(facts, "net/netfilter/nf_conntrack_tcp_loose", "0");
    };
    assert_eq!(
        said(before_the_start),
        ["note: forwarding of IPv4 is off", "note: nf_conntrack_tcp_loose is 0"]
    );
    let off = |facts: &mut Facts| {
        set(facts, "net/ipv4/ip_forward", "0");
        set(facts, "net/ipv6/conf/all/forwarding", "0");
    };
    assert_eq!(said(off), ["wrong: forwarding is off"]);
    let full = |facts: &mut Facts| set(facts, "net/netfilter/nf_conntrack_count", "60000");
    assert_eq!(
        said(full),
        ["wrong: the kernel's table of connections is nearly full: 60000 of 65536"]
    );
    let small = |facts: &mut Facts| set(facts, "net/netfilter/nf_conntrack_max", "2048");
    assert_eq!(said(small), ["note: the kernel's table has room for 2048 connections only"]);
    // Without a LAN, forwarding is nobody's business.
    let mut facts = sound();
    off(&mut facts);
    assert_eq!(told("[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n", &facts), [""; 0]);
}

#[test]
fn other_managers() {
    let mwan3 = |facts: &mut Facts| {
        facts.programs.insert("mwan3track".to_owned());
    };
    assert_eq!(said(mwan3), ["wrong: mwan3 is active"]);
    let marks = |facts: &mut Facts| {
        let fwmark = Fwmark { value: 0x100, mask: 0x3f00 };
        facts.view.rules.push(ForeignRule { selector: Selector::marked(fwmark), ..rule(2001, 1) });
    };
    assert_eq!(said(marks), ["wrong: mwan3 is active"]);
    let pbr = |facts: &mut Facts| {
        let fwmark = Fwmark { value: 0x1_0000, mask: 0xff_0000 };
        facts
            .view
            .rules
            .push(ForeignRule { selector: Selector::marked(fwmark), ..rule(29999, 256) });
    };
    assert_eq!(said(pbr), [""; 0], "its table is empty");
    let networkd = |facts: &mut Facts| {
        facts.networkd = Networkd { running: true, leaves_routes: true, leaves_rules: false };
    };
    assert_eq!(
        said(networkd),
        ["wrong: systemd-networkd deletes routes and rules of other programs when it restarts"]
    );
    let asleep = |facts: &mut Facts| facts.networkd.leaves_routes = true;
    assert_eq!(said(asleep), Vec::<String>::new());
}

/// What doctor says of a firewall, and how it is to be mended.
fn of_a_firewall(table: Table) -> Vec<(String, String)> {
    let mut facts = sound();
    facts.forwarding.tables.push(table);
    let findings = judge(&config(CONFIG), &facts);
    findings.into_iter().map(|f| (format!("{} {}", f.what, f.why), f.mend)).collect()
}

#[test]
fn firewalls_that_do_not_know_an_uplink() {
    let [(said, mend)] = &of_a_firewall(firewall("inet mine", Policy::Drop, &[], false))[..] else {
        panic!("one finding")
    };
    assert_eq!(
        said,
        "the firewall inet mine does not let br-lan out by usb0 and wan0 What the LAN sends there is \
         dropped (chain forward)."
    );
    assert_eq!(
        mend.lines().take(2).collect::<Vec<_>>(),
        [
            "nft 'insert rule inet mine forward iifname \"br-lan\" oifname \"usb0\" accept'",
            "nft 'insert rule inet mine forward iifname \"usb0\" oifname \"br-lan\" ct state \
             established,related accept'",
        ]
    );
    // One direction is not enough.
    let ways = [("br-lan", "wan0"), ("br-lan", "usb0")];
    let [(said, mend)] = &of_a_firewall(firewall("ip filter", Policy::Drop, &ways, false))[..]
    else {
        panic!("one finding")
    };
    assert!(said.ends_with("goes out, but the answers are dropped (chain forward)."), "{said}");
    assert!(
        mend.contains("-i wan0 -o br-lan -m conntrack --ctstate RELATED,ESTABLISHED"),
        "{mend}"
    );
    // A table of the other family has no say.
    let mut other = firewall("ip6 filter", Policy::Drop, &[], false);
    other.sees = vec![Family::V6];
    assert_eq!(of_a_firewall(other), []);
}

#[test]
fn each_firewall_is_told_in_its_own_words() {
    let mend = |name: &str, chain: Option<&str>| {
        let mut table = firewall(name, Policy::Drop, &[("br-lan", "wan0")], true);
        table.chains.extend(chain.map(|chain| (chain.to_owned(), Chain::default())));
        let [(_, mend)] = &of_a_firewall(table)[..] else { panic!("one finding") };
        mend.lines().next().unwrap_or_default().to_owned()
    };
    let docker = mend("ip filter", Some("DOCKER-USER"));
    assert_eq!(docker, "iptables -I DOCKER-USER -i br-lan -o usb0 -j ACCEPT");
    let ufw = mend("ip filter", Some("ufw-user-forward"));
    assert_eq!(ufw, "ufw route allow in on br-lan out on usb0");
    let firewalld = mend("inet firewalld", None);
    assert_eq!(firewalld, "firewall-cmd --permanent --zone=external --change-interface=usb0");
    let fw4 = mend("inet fw4", None);
    assert_eq!(fw4, "zone=$(uci show firewall | sed -n \"s/\\.name='wan'$//p\")");
}

#[test]
fn what_cannot_be_told_of_a_firewall_is_said() {
    let mut table = firewall("inet mine", Policy::Accept, &[], false);
    let asks = Expr::Unknown("the match mac of iptables".to_owned());
    let chain = table.chains.get_mut("forward").unwrap();
    chain.rules.push(vec![asks, Expr::End(Verdict::Drop)]);
    let said = &of_a_firewall(table)[0].0;
    assert_eq!(
        said,
        "whether the firewall inet mine lets br-lan out by usb0 and wan0 cannot be told Its chain forward \
         depends on the match mac of iptables, which differs from packet to packet."
    );
    let legacy = |facts: &mut Facts| facts.legacy_filter = true;
    assert_eq!(
        self::said(legacy),
        ["note: there are rules of iptables-legacy, which are not looked at"]
    );
}

#[test]
fn those_who_work_beside_it_are_named_once() {
    let mut facts = sound();
    assert_eq!(neighbours::seen(&facts), []);
    facts.programs = ["dockerd", "charon", "bash"].map(str::to_owned).into();
    let name = "inet f2b-table".to_owned();
    facts.tables.push(ForeignTable { name, ..ForeignTable::default() });
    let mut table = firewall("ip filter", Policy::Accept, &[], false);
    for chain in ["DOCKER-USER", "ufw-user-forward"] {
        table.chains.insert(chain.to_owned(), Chain::default());
    }
    facts.forwarding.tables.push(table);
    let names: Vec<&str> = neighbours::seen(&facts).iter().map(|n| n.name).collect();
    assert_eq!(names, ["Docker", "UFW", "fail2ban", "strongSwan"]);
    // To be seen is no fault.
    assert_eq!(judge(&config(CONFIG), &facts), []);
}

#[test]
fn others_rewrite_and_offload() {
    let snat = |facts: &mut Facts| {
        let name = "ip nat".to_owned();
        facts.tables.push(ForeignTable { name, fixed_source: true, ..ForeignTable::default() });
    };
    assert_eq!(
        said(snat),
        ["note: the firewall ip nat writes fixed source addresses into packets (snat)"]
    );
    let flowtable = |device: &str, hardware| Flowtable {
        name: "ft".to_owned(),
        devices: [device.to_owned()].into(),
        hardware,
    };
    let offload = |facts: &mut Facts| {
        let flowtables = vec![flowtable("usb0", true)];
        facts.tables.push(ForeignTable {
            name: "inet fw4".to_owned(),
            flowtables,
            ..ForeignTable::default()
        });
    };
    assert_eq!(said(offload), ["note: inet fw4 offloads connections in hardware (flowtable ft)"]);
    let elsewhere = |facts: &mut Facts| {
        let flowtables = vec![flowtable("eth9", false)];
        facts.tables.push(ForeignTable {
            name: "inet fw4".to_owned(),
            flowtables,
            ..ForeignTable::default()
        });
    };
    assert_eq!(said(elsewhere), Vec::<String>::new());
}

#[test]
fn uplinks_and_lan() {
    let gone = |facts: &mut Facts| {
        facts.view.links.remove(&IfIndex(3));
    };
    assert_eq!(said(gone), ["note: mifi: there is no interface usb0"]);
    let unplugged = |facts: &mut Facts| {
        facts.view.links.get_mut(&IfIndex(3)).unwrap().carrier = false;
    };
    assert_eq!(said(unplugged), ["note: mifi: nothing is connected to usb0"]);
    let no_address = |facts: &mut Facts| facts.view.addresses.retain(|a| a.index != IfIndex(3));
    assert_eq!(said(no_address), ["wrong: mifi: usb0 has no address"]);
    let no_gateway = |facts: &mut Facts| facts.view.routes.retain(|r| r.dev != IfIndex(3));
    assert_eq!(said(no_gateway), ["wrong: mifi: usb0 has an address, but no gateway is known"]);
    let no_lan = |facts: &mut Facts| {
        facts.view.links.remove(&IfIndex(4));
    };
    assert_eq!(said(no_lan), ["wrong: there is no LAN interface br-lan"]);
    let overlap = |facts: &mut Facts| {
        facts.view.addresses[2].net = "192.168.11.254/25".parse().unwrap();
    };
    assert_eq!(
        said(overlap),
        ["wrong: mifi has the subnet 192.168.11.0/24, and the LAN on br-lan has 192.168.11.128/25"]
    );
    // The same subnet on two uplinks is fine.
    let twins = |facts: &mut Facts| {
        facts.view.addresses[1].net = "192.168.10.2/24".parse().unwrap();
    };
    assert_eq!(said(twins), Vec::<String>::new());
    let same = "[[uplink]]\nname = \"a\"\ninterface = \"wan0\"\n[[uplink]]\nname = \"b\"\nmatch = { mac = \"02:00:00:00:00:01\" }\n";
    let mut facts = sound();
    facts.view.links.get_mut(&IfIndex(2)).unwrap().mac = Some([2, 0, 0, 0, 0, 1]);
    assert_eq!(told(same, &facts), ["wrong: a and b are the same interface, wan0"]);
}

#[test]
fn the_house() {
    let full = |facts: &mut Facts| {
        let error = Some("Read-only file system".to_owned());
        let path = "/var/lib/sparelink".into();
        facts.directories.push(Directory { path, purpose: "what it has learned", error });
    };
    assert_eq!(
        said(full),
        ["wrong: /var/lib/sparelink cannot be written to: Read-only file system"]
    );
    assert_eq!(said(|facts| facts.clock_set = false), ["note: the clock has not been set"]);
}

#[test]
fn routes_that_take_traffic_past_the_choice_are_named() {
    let half = |facts: &mut Facts| {
        let whole = default_route(3, TableId::MAIN, "192.168.11.1");
        let dst = "128.0.0.0/1".parse().unwrap();
        facts.view.routes.push(ForeignRoute { dst, ..whole });
    };
    let words =
        "note: mifi: `main` has routes by usb0 that are ignored, such as 128.0.0.0/1 (1 in all)";
    assert_eq!(said(half), [words]);
}

#[test]
fn other_peoples_use_of_our_mark_bits_is_told() {
    let clash = |mark, how| MarkClash { chain: "qos".to_owned(), mark, how };
    let found = |facts: &mut Facts| {
        let sets = clash(Mark::Flow, MarkUse::Sets);
        let marks = vec![sets.clone(), sets, clash(Mark::Packet, MarkUse::Compares)];
        facts.tables =
            vec![ForeignTable { name: "inet qos".to_owned(), marks, ..ForeignTable::default() }];
    };
    assert_eq!(
        said(found),
        [
            "wrong: the firewall inet qos (chain qos) compares bits of packet marks that sparelink uses (0x7f000000)",
            "wrong: the firewall inet qos (chain qos) sets bits of connection marks that sparelink uses (0x7f000000)",
        ]
    );
    let with = |mask, value| {
        let selector = Selector::marked(Fwmark { value, mask });
        let rule = ForeignRule { selector, table: None, ..rule(5000, 0) };
        said(move |facts: &mut Facts| facts.view.rules = vec![rule])
    };
    assert_eq!(with(0x0f00_0000, 0x0100_0000).len(), 1);
    assert_eq!(with(u32::MAX, 0xca6c), [""; 0], "a whole mark of a tunnel");
    assert_eq!(with(0x00ff_0000, 0x0008_0000), [""; 0]);
}
