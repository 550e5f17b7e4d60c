//! Configurations as they are met, and such as nobody should write.

use proptest::prelude::*;

use super::said::Names;
use super::*;
use crate::config::{self, Config, Kind};
use crate::engine::doctor::proposal::facts::{Device, Seen};
use crate::engine::doctor::proposal::{Extras, Origin, Proposal, Why, text};
use crate::engine::kernel::view::{Address, ForeignRoute, Link, RouteKind};
use crate::units::{IfIndex, IfName, Metric, TableId};

/// As mwan3 brings it: two lines, each with a twin for IPv6, and everything balanced.
const MWAN3: &str = include_str!("../../../../../tests/boxes/mwan3");
const NETWORK: &str = include_str!("../../../../../tests/boxes/network");
/// The profiles of a Raspberry Pi, one after the other.
const PI: &str = include_str!("../../../../../tests/boxes/nmconnections");

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn of_mwan3(text: &str) -> Said {
    let network = file("/etc/config/network", NETWORK);
    mwan3(&file("/etc/config/mwan3", text), Some(&network))
}

/// A profile begins with its name in a comment.
fn profiles(text: &str) -> Vec<File> {
    let parts = text.split("#= ").filter(|part| !part.trim().is_empty());
    let named = |part: &str| format!("/etc/NM/{}", part.lines().next().unwrap());
    parts.map(|part| file(&named(part), &format!("# {part}"))).collect()
}

fn of_networkmanager(text: &str, active: &[(&str, u32)], seen: &Seen) -> Said {
    let active = active.iter().map(|(uuid, index)| ((*uuid).to_owned(), IfIndex(*index)));
    networkmanager(&profiles(text), &active.collect(), seen)
}

/// A box: index, name, driver, address, and whether a default route leads out.
fn seen(devices: &[(u32, &str, &str, &str, bool)]) -> Seen {
    let mut seen = Seen::default();
    for &(index, name, driver, net, leads) in devices {
        let index = IfIndex(index);
        let mut link = Link::wired(index, name);
        link.mac = Some([2, 0, 0, 0, 0, u8::try_from(index.0).unwrap()]);
        link.hardware.driver = (!driver.is_empty()).then(|| driver.to_owned());
        let wireless = driver == "brcmfmac";
        seen.devices.insert(link.name.clone(), Device { wireless, ..Device::default() });
        seen.view.links.insert(index, link);
        if let Ok(net) = net.parse() {
            let address = Address { index, net, peer: None, global: true, deprecated: false };
            seen.view.addresses.push(address);
        }
        if leads {
            seen.view.routes.push(ForeignRoute {
                table: TableId::MAIN,
                dst: "0.0.0.0/0".parse().unwrap(),
                src: None,
                gateway: "192.0.2.1".parse().ok(),
                dev: index,
                metric: Metric(0),
                protocol: 4,
                onlink: false,
                mtu: None,
                prefsrc: None,
                kind: RouteKind::Unicast,
            });
        }
    }
    seen
}

/// What is written passes the checker and says what the proposal says.
fn checked(proposal: &Proposal) -> (String, Config) {
    let header = "by a test".to_owned();
    let text = text(proposal, &Extras { header, notify: None });
    let config = config::parse(&text, "x").unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.uplinks.len(), proposal.uplinks.len(), "{text}");
    assert_eq!(config.lan.as_ref().map_or(0, |lan| lan.interfaces.len()), proposal.lan.len());
    let comments = text.lines().filter(|line| line.starts_with("# dropped: ")).count();
    assert_eq!(comments, proposal.dropped.len(), "{text}");
    (text, config)
}

fn chain(proposal: &Proposal) -> Vec<String> {
    let (_, config) = checked(proposal);
    let uplinks = config.uplinks.iter().map(|uplink| {
        let kind = match uplink.kind {
            Kind::Wired => "wired",
            Kind::Wifi => "wifi",
            Kind::Cellular => "cellular",
        };
        let by = uplink.device.interface.as_ref().map_or("mac", IfName::as_str);
        let metered = if uplink.metered { " metered" } else { "" };
        format!("{} {by} {kind}{metered}", uplink.name)
    });
    uplinks.collect()
}

fn assert_told(said: &Said, told: &[&str]) {
    for words in told {
        assert!(said.dropped.iter().any(|line| line.contains(words)), "no `{words}`: {said:#?}");
    }
}

#[test]
fn mwan3s_own_example_is_a_chain_of_what_is_switched_on() {
    let said = of_mwan3(MWAN3);
    let proposal = named(&said, &Seen::default());
    assert_eq!(chain(&proposal), ["wan eth1 wired"]);
    assert_told(
        &said,
        &[
            "/etc/config/mwan3: interface wanb: it is not enabled there",
            "interface wan6: an uplink is used for IPv4 and IPv6",
            "interface wan: reliability: sparelink learns by itself",
            "rule https: rules for some of the traffic are not there yet",
            "policy wan_wanb: there is one order for all traffic",
            "globals globals: sparelink has marks and tables of its own",
        ],
    );
    assert!(!said.dropped.iter().any(|line| line.contains("have one metric")), "{said:?}");
    assert!(!said.dropped.iter().any(|line| line.contains("policy balanced")), "{said:?}");
    let (_, config) = checked(&proposal);
    assert_eq!(config.probe.targets.v4.len(), 4);
    assert_eq!(config.probe.targets.v6.len(), 4);
    assert_eq!(said.kept_out.iter().map(IfName::as_str).collect::<Vec<_>>(), ["eth2"]);
}

#[test]
fn where_mwan3_balances_it_is_told_that_this_is_an_order() {
    let on = MWAN3.replace("enabled '0'", "enabled '1'");
    let said = of_mwan3(&on);
    assert_eq!(chain(&named(&said, &Seen::default())), ["wan eth1 wired", "wanb eth2 wired"]);
    assert_told(
        &said,
        &["policy balanced: wan and wanb have one metric: sparelink does not balance"],
    );
    // The weight says who is the better.
    let heavy = on.replace("option weight '2'", "option weight '9'");
    let said = of_mwan3(&heavy);
    assert_eq!(chain(&named(&said, &Seen::default())), ["wanb eth2 wired", "wan eth1 wired"]);
}

#[test]
fn the_policy_for_everything_is_the_order() {
    let on = MWAN3.replace("enabled '0'", "enabled '1'");
    for (policy, order) in [
        ("wan_wanb", ["wan eth1 wired", "wanb eth2 wired"]),
        ("wanb_wan", ["wanb eth2 wired", "wan eth1 wired"]),
    ] {
        let said =
            of_mwan3(&on.replace("use_policy 'balanced'", &format!("use_policy '{policy}'")));
        assert_eq!(chain(&named(&said, &Seen::default())), order, "{policy}");
        assert!(!said.dropped.iter().any(|line| line.contains("one metric")), "{said:#?}");
    }
    // A rule for some hosts before it is none for everything, whatever it is called.
    let first = format!(
        "config rule 'default_rule'\n\toption dest_ip '192.0.2.0/24'\n\toption use_policy 'wanb_only'\n{on}"
    );
    let said = of_mwan3(&first);
    assert_eq!(chain(&named(&said, &Seen::default())), ["wan eth1 wired", "wanb eth2 wired"]);
    assert_told(&said, &["rule default_rule: rules for some of the traffic"]);
    // What the policy does not use stands last; what it names that is not there does no harm.
    let only = on.replace("use_policy 'balanced'", "use_policy 'wanb_only'");
    let said = of_mwan3(&only);
    assert_eq!(chain(&named(&said, &Seen::default())), ["wanb eth2 wired", "wan eth1 wired"]);
    assert_told(&said, &["policy wanb_only: it does not use wan, which stands last here"]);
}

#[test]
fn without_a_policy_netifds_metrics_are_the_order() {
    const LINES: &str = "config interface wan\noption enabled 1\nconfig interface wanb\noption enabled 1\n\
                         config interface lte\noption enabled yes\nconfig interface tun\noption enabled 1\n\
                         config interface dsl\noption enabled 1\nconfig interface none\noption enabled 1\n\
                         config interface wwan\noption enabled 1\n";
    for rules in [
        "",
        "config rule r\noption use_policy default\n",
        "config rule r\noption use_policy gone\n",
    ] {
        let said = of_mwan3(&format!("{LINES}{rules}"));
        assert_eq!(
            chain(&named(&said, &Seen::default())),
            [
                "dsl pppoe-dsl wired",
                "wan eth1 wired",
                "wanb eth2 wired",
                "lte wwan0 cellular metered"
            ]
        );
        assert_told(
            &said,
            &[
                "the order is that of the metrics",
                "interface tun: it is a tunnel",
                "interface none: /etc/config/network has no such interface",
                "interface wwan: /etc/config/network names no device for it (a Wi-Fi client?)",
            ],
        );
    }
    // Without netifd's file a name is all there is.
    let alone =
        mwan3(&file("/etc/config/mwan3", &MWAN3.replace("enabled '0'", "enabled '1'")), None);
    assert_eq!(chain(&named(&alone, &Seen::default())), ["wan wan wired", "wanb wanb wired"]);
}

#[test]
fn whom_mwan3_pings_is_whom_all_uplinks_ask() {
    let with = |wan: &str, wanb: &str| {
        let text = format!(
            "config interface wan\noption enabled 1\n{wan}\nconfig interface wanb\noption enabled 1\n{wanb}\n"
        );
        let said = of_mwan3(&text);
        checked(&named(&said, &Seen::default()));
        let targets: Vec<String> = said.targets.v4.iter().map(ToString::to_string).collect();
        (targets.join(" "), said)
    };
    let same = "list track_ip 192.0.32.8\nlist track_ip 192.0.32.8";
    // One alone is not enough: a line is dead if none of several answers.
    assert_eq!(with(same, same).0, "192.0.32.8 1.1.1.1 8.8.8.8");
    let (targets, said) = with("list track_ip 192.0.32.8", "list track_ip 192.0.33.8");
    assert_eq!(targets, "");
    assert_told(&said, &["interface wanb: track_ip 192.0.33.8: not every interface has it"]);
    let (targets, said) =
        with("list track_ip 192.168.1.1\nlist track_ip example.com\nlist track_ip 127.0.0.1", "");
    assert_eq!(targets, "");
    assert_told(
        &said,
        &[
            "track_ip 192.168.1.1: that it answers",
            "track_ip \"example.com\": targets are addresses",
        ],
    );
    let many: String = (1..30).map(|n| format!("list track_ip 192.0.32.{n}\n")).collect();
    assert_eq!(with(&many, "").1.targets.v4.len(), 8);
}

#[test]
fn what_is_there_is_described_and_what_is_not_is_kept() {
    let on = MWAN3.replace("enabled '0'", "enabled '1'");
    let now = seen(&[
        (2, "eth1", "igb", "100.64.3.4/24", true),
        (3, "br-lan", "", "192.168.1.1/24", false),
        (4, "usb0", "rndis_host", "192.168.42.9/24", true),
    ]);
    let proposal = named(&of_mwan3(&on), &now);
    let (text, config) = checked(&proposal);
    let origins: Vec<Origin> = proposal.uplinks.iter().map(|uplink| uplink.origin).collect();
    assert_eq!(origins, [Origin::Named, Origin::Absent]);
    assert!(
        text.contains("# Ethernet, behind NAT\nname = \"wan\"\ninterface = \"eth1\"\n"),
        "{text}"
    );
    assert!(text.contains("interface = \"eth2\" # not seen now\n"), "{text}");
    assert_eq!(config.lan.unwrap().interfaces, [IfName::new("br-lan").unwrap()]);
    let others: Vec<(&str, &Why)> =
        proposal.skipped.iter().map(|one| (one.interface.as_str(), &one.why)).collect();
    assert_eq!(others, [("usb0", &Why::NotNamed)]);
}

#[test]
fn a_garbled_line_is_told_and_the_rest_counts() {
    let garbled = MWAN3.replacen("config interface 'wan'", "optoin x\nconfig interface 'wan'", 1);
    let said = of_mwan3(&garbled);
    assert!(
        said.dropped[0].starts_with("/etc/config/mwan3:6:1: \"optoin\" begins no statement"),
        "{said:?}"
    );
    assert_eq!(chain(&named(&said, &Seen::default())), ["wan eth1 wired"]);
    let keys = "#= x.nmconnection\nkey=1\n[connection]\nid=x\ntype=ethernet\ninterface-name=eth0\nwhat is this\n";
    let said = of_networkmanager(keys, &[], &Seen::default());
    assert_eq!(said.dropped[0], "/etc/NM/x.nmconnection:2: this stands in no [group]");
    assert_eq!(
        said.dropped[1],
        "/etc/NM/x.nmconnection:7: this is neither a [group] nor key=value"
    );
    assert_eq!(chain(&named(&said, &Seen::default())), ["x eth0 wired"]);
}

#[test]
fn the_profiles_of_a_pi_are_a_chain_and_a_lan() {
    let now = seen(&[
        (2, "eth0", "bcmgenet", "10.42.0.1/24", false),
        (3, "eth1", "r8152", "192.168.178.20/24", true),
        (4, "wlan0", "brcmfmac", "172.16.4.9/20", true),
        (5, "usb0", "rndis_host", "192.168.42.9/24", true),
    ]);
    let said = of_networkmanager(PI, &[("11111111-0000-4000-8000-000000000003", 5)], &now);
    let proposal = named(&said, &now);
    assert_eq!(
        chain(&proposal),
        [
            "Wired-connection-1 eth1 wired",
            "office mac wired",
            "Anna-s-phone usb0 cellular metered",
            "preconfigured wlan0 wifi",
            "LTE wwan0 cellular",
        ]
    );
    let (text, config) = checked(&proposal);
    assert_eq!(config.lan.unwrap().interfaces, [IfName::new("eth0").unwrap()]);
    assert_eq!(config.uplinks[1].device.mac, Some([2, 0, 0, 0, 0, 0x99]));
    assert!(text.contains("match = { mac = \"02:00:00:00:00:99\" } # not seen now\n"), "{text}");
    assert!(text.contains("resolvers = [\"192.0.2.53\", \"2001:db8::53\"]"), "{text}");
    assert_told(
        &said,
        &[
            "wg.nmconnection: it is a tunnel; what carries it is an uplink",
            "work-vpn.nmconnection: it is a tunnel",
            "hotel.nmconnection: on wlan0 \"preconfigured\" counts",
            "spare.nmconnection: it says never-default, so it is no uplink",
            "manual.nmconnection: it has no gateway, so it is no uplink",
            "sometimes.nmconnection: it says autoconnect=false",
            "port.nmconnection: its device is a part of another one",
            "Wired connection 1.nmconnection: [ipv4]: route-table",
        ],
    );
    assert!(!text.contains("hunter2") && !said.dropped.iter().any(|line| line.contains("hunter2")));
    assert_eq!(proposal.skipped, []);
}

#[test]
fn a_device_is_what_the_profile_in_use_makes_of_it() {
    let two = "#= a.nmconnection\n[connection]\nid=out\nuuid=1\ntype=ethernet\ninterface-name=eth0\n\
               #= b.nmconnection\n[connection]\nid=in\nuuid=2\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=shared\n";
    let now = seen(&[(2, "eth0", "igb", "", false)]);
    let uses =
        |active: &[(&str, u32)]| chain_and_lan(&named(&of_networkmanager(two, active, &now), &now));
    assert_eq!(uses(&[("1", 2)]), (1, 0));
    assert_eq!(uses(&[("2", 2)]), (0, 1));
    // Nothing is in use: the priority says.
    let first = two.replace("id=in\n", "id=in\nautoconnect-priority=5\n");
    let said = of_networkmanager(&first, &[], &now);
    assert_eq!(chain_and_lan(&named(&said, &now)), (0, 1));
    assert_eq!(said.lan[0].address.to_string(), "10.42.0.1/24");
    // The same UUID below /etc comes first, and the other file is not looked at.
    let shadowed = two.replace("uuid=2", "uuid=1");
    let said = of_networkmanager(&shadowed, &[], &now);
    assert_eq!((said.uplinks.len(), said.lan.len(), said.dropped.len()), (1, 0, 0));
}

fn chain_and_lan(proposal: &Proposal) -> (usize, usize) {
    (proposal.uplinks.len(), proposal.lan.len())
}

#[test]
fn profiles_for_any_device_take_what_is_free() {
    let any = "#= a.nmconnection\n[connection]\nid=any\ntype=802-3-ethernet\n\
               #= b.nmconnection\n[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\
               #= c.nmconnection\n[connection]\nid=none left\ntype=ethernet\n\
               #= d.nmconnection\n[connection]\nid=Tel\ntype=bluetooth\n";
    let now = seen(&[
        (2, "eth0", "igb", "", true),
        (3, "eth1", "igb", "", false),
        (4, "veth0", "", "", false),
    ]);
    let said = of_networkmanager(any, &[], &now);
    assert_eq!(
        chain(&named(&said, &now)),
        ["any eth1 wired", "eth0 eth0 wired", "Tel bnep0 cellular metered"]
    );
    assert_told(&said, &["c.nmconnection: it is for no interface of its own"]);
}

#[test]
fn what_no_interface_can_be_is_none() {
    let keys = |more: &str| format!("#= x\n[connection]\nid=x\ntype=ethernet\n{more}\n");
    for more in [
        "interface-name=lo",
        "interface-name=eth*",
        "interface-name=a/b",
        "[ethernet]\nmac-address=01:00:5E:00:00:01",
        "[ethernet]\nmac-address=+2:00:00:00:00:01",
        "[ethernet]\nmac-address=00:00:00:00:00:00",
    ] {
        let said = of_networkmanager(&keys(more), &[], &Seen::default());
        assert_eq!(said.uplinks, [], "{more}");
        assert_told(&said, &["it is for no interface of its own"]);
    }
    // Of two that are for one address by different words each is a device of its own.
    let both = keys("interface-name=eth0\n[ethernet]\nmac-address=02:00:00:00:00:99")
        + "#= y\n[connection]\nid=y\ntype=ethernet\n[ethernet]\nmac-address=02:00:00:00:00:99\n";
    let said = of_networkmanager(&both, &[], &Seen::default());
    assert_eq!(chain(&named(&said, &Seen::default())), ["x eth0 wired", "y mac wired"]);
}

#[test]
fn hostile_words_stay_words() {
    let evil = "a\\\"]\\n[web]\\nlisten=[\\\"0.0.0.0:1\\\"] # \u{1b}[2J é";
    let keys = format!(
        "#= evil\n[[uplink]]\"\u{7}.nmconnection\n[connection]\nid={evil}\ntype=ethernet\ninterface-name=eth0\"\n\
         [ethernet]\nmac-address=\n[ipv4]\ndns=1.1.1.1\"];x\nmethod=manual\naddress1=10.0.0.2/24,10.0.0.1\n"
    );
    let said = of_networkmanager(&keys, &[], &Seen::default());
    let (text, config) = checked(&named(&said, &Seen::default()));
    assert_eq!(config.uplinks[0].device.interface, IfName::new("eth0\""));
    assert_eq!(config.web.listen.len(), 0, "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let uci = "config interface 'wan'\noption enabled 1\noption track_ip '\"]\n[web]\nx'\nconfig 'x\n[web]' y\n\
               option \"a\" b\nconfig rule\noption use_policy '\u{85}\n[[uplink]]'\n";
    let said = of_mwan3(uci);
    let (text, _) = checked(&named(&said, &Seen::default()));
    assert!(!text.lines().any(|line| line == "[web]"), "{text}");
}

#[test]
fn names_are_made_to_fit_and_each_is_there_once() {
    let mut names = Names::default();
    for (wanted, fits) in [
        ("Wired connection 1", "Wired-connection-1"),
        ("Wired connection 1", "Wired-connection-1-2"),
        ("auto", "cable"),
        ("--..", "cable-2"),
        ("", "cable-3"),
        ("Büro/Ost", "Büro-Ost"),
        (" .x", "x"),
    ] {
        assert_eq!(names.fit(wanted, "cable"), fits, "{wanted}");
    }
    let long = "x".repeat(100);
    assert_eq!(names.fit(&long, "cable").len(), 32);
    let second = names.fit(&long, "cable");
    assert!(second.len() == 32 && second.ends_with("x-2"), "{second}");
}

#[test]
fn there_is_room_for_fourteen() {
    let text: String = (0..20)
        .map(|n| format!("#= {n}\n[connection]\nid=n{n}\ntype=ethernet\ninterface-name=eth{n}\n"))
        .collect();
    let proposal = named(&of_networkmanager(&text, &[], &Seen::default()), &Seen::default());
    assert_eq!(chain(&proposal).len(), 14);
    assert_eq!(proposal.skipped.iter().filter(|one| one.why == Why::Surplus).count(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in the files, what is written passes the checker.
    #[test]
    fn any_text_becomes_a_configuration_or_nothing(
        mwan in "\\PC{0,80}|((config|option|list|interface|rule|use_policy|enabled|wan6?|'|\"|;|[01]) ?\n?){0,40}",
        keys in "\\PC{0,80}|((\\[connection\\]\n|\\[ipv4\\]\n|id=|type=ethernet|interface-name=|method=shared|address1=|\n|[a-z./0-9]{0,6})){0,30}",
        id in "\\PC{0,50}", name in "\\PC{1,15}",
    ) {
        let whole = format!("{keys}\n[connection]\nid={id}\ntype=wifi\ninterface-name={name}\n");
        for proposal in [
            named(&of_mwan3(&mwan), &Seen::default()),
            named(&of_networkmanager(&whole, &[], &Seen::default()), &Seen::default()),
        ] {
            if !proposal.uplinks.is_empty() {
                checked(&proposal);
            }
        }
    }
}
