//! `sparelink doctor` in the lab's router: a sound box, and one where things stand in the way.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sparelink::lab::agent::config;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{Home, Plan};

use crate::guard::shell;
use crate::kernel::dump;
use crate::stage::{AGENT, Said, Stage, file, in_router};

crate::tests![
    a_firewall_that_eats_answers_is_named_and_mended,
    a_sound_box_is_left_in_peace,
    what_stands_in_the_way_is_found
];

async fn doctor(home: &Home, flags: &[&str]) -> Result<Said> {
    let path = file("sparelink.toml").display().to_string();
    in_router(home, AGENT, &[&["doctor", "--config", &path], flags].concat()).await
}

async fn a_sound_box_is_left_in_peace() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    std::fs::write(file("sparelink.toml"), &text)?;
    let before = dump(&home).await?;
    let said = doctor(&home, &[]).await?.must(0)?;
    ensure!(said.out.starts_with("no problem found\n"), "{said:?}");
    // The agent will turn forwarding on.
    ensure!(said.out.contains("note   forwarding is off"), "{}", said.out);
    ensure!(said.out.contains("checked: 15 kernel features"), "{}", said.out);
    before.must_equal(&dump(&home).await?)?;

    let stage = Stage::in_home(home, Settings::default(), &[]).await?;
    let said = doctor(&stage.home, &["--json"]).await?.must(0)?;
    let report: Value = serde_json::from_str(&said.out).context("the report")?;
    ensure!(report["ok"] == true && report["findings"] == serde_json::json!([]), "{report}");
    Ok(())
}

/// What somebody else could have done to the router.
const TROUBLE: &str = "
    ip rule add pref 1000 lookup 200
    ip route add default via 192.168.11.1 dev usb0 table 200
    ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
    ip rule add pref 2002 fwmark 0x1000000/0x3000000 lookup 1
    ip address add 192.168.11.200/24 dev lan0
    nft 'table inet qos { chain dscp { type filter hook prerouting priority -160; ct mark set ct mark and 0x02ffffff or 0x01000000; }; }'
    nft 'table inet fine { chain own { type filter hook prerouting priority -160; ct mark set ct mark and 0xffffff00 or 0x6; meta mark 6 accept; }; }'
    nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; oifname \"docker0\" accept; }; }'
    nft 'table ip nat { chain POSTROUTING { type nat hook postrouting priority 100; oifname \"wan0\" snat to 192.168.10.2; }; }'
    ip route del default dev wlan0; ip -6 route del default dev wlan0
";

async fn what_stands_in_the_way_is_found() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let text = config(&Plan::default(), &Settings::default());
    std::fs::write(file("sparelink.toml"), &text)?;
    shell(&home, TROUBLE).await?;
    let before = dump(&home).await?;
    let said = doctor(&home, &[]).await?.must(1)?;
    for found in [
        "all IPv4 traffic goes by usb0, as rule 1000 says",
        "mwan3 is active",
        "mifi has the subnet 192.168.11.0/24, and the LAN on lan0 has 192.168.11.0/24",
        "the firewall ip filter does not let lan0 out by usb0, wan0 and wlan0",
        "iptables -I FORWARD -i lan0 -o wan0 -j ACCEPT",
        "iptables -I FORWARD -i wan0 -o lan0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "the firewall ip nat writes fixed source addresses into packets (snat)",
        "phone: wlan0 has an address, but no gateway is known",
        "ip rule del pref 1000",
        "an IPv4 rule (2002) looks at bits of packet marks that sparelink uses",
        "the firewall inet qos (chain dscp) sets bits of connection marks that sparelink uses (0x7f000000)",
    ] {
        ensure!(said.out.contains(found), "no `{found}` in:\n{}", said.out);
    }
    ensure!(!said.out.contains("inet fine"), "of other bits nothing is said:\n{}", said.out);
    before.must_equal(&dump(&home).await?)?;

    // Without permission it tells what it can, and what it could not see.
    let path = file("sparelink.toml").display().to_string();
    let words = ["--user", AGENT, "doctor", "--config", &path];
    let said = in_router(&home, "/usr/bin/unshare", &words).await?.must(1)?;
    ensure!(said.out.contains("mwan3 is active"), "{}", said.out);
    ensure!(said.out.contains("not checked: nftables tables of others"), "{}", said.out);
    ensure!(said.out.contains("not checked: kernel features"), "{}", said.out);
    ensure!(said.out.contains("not checked: other routers in the LAN"), "{}", said.out);
    std::fs::write(&path, "[[uplink]]\n")?;
    doctor(&home, &[]).await?.must(2).map(drop)
}

/// A firewall that lets the LAN out, and nothing in but from the LAN.
const DEAF: &str = "nft 'table inet deaf { chain early { type filter hook prerouting priority -300; }; \
    chain input { type filter hook input priority 0; policy drop; iifname \"lo\" accept; iifname \"lan0\" accept; }; }'";

async fn a_firewall_that_eats_answers_is_named_and_mended() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    std::fs::write(file("sparelink.toml"), config(&Plan::default(), &Settings::default()))?;
    shell(&home, DEAF).await?;
    let pings =
        "ping -n -c 1 -W 2 -I 192.168.10.2 192.168.10.1 >/dev/null && echo heard || echo deaf";
    ensure!(shell(&home, pings).await? == "deaf\n", "control: it is not deaf");
    let said = doctor(&home, &[]).await?.must(1)?;
    let lines = [
        "nft 'insert rule inet deaf input ct state established,related accept'",
        "nft 'insert rule inet deaf input icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept'",
    ];
    let what = "the firewall inet deaf drops echo replies, answers of name servers and IPv6 neighbour advertisements \
                that come in by usb0, wan0 and wlan0";
    for words in
        [what, "chain input has no rule for them, and its policy is drop", lines[0], lines[1]]
    {
        ensure!(said.out.contains(words), "no `{words}` in:\n{}", said.out);
    }
    shell(&home, &lines.join("\n")).await?;
    ensure!(shell(&home, pings).await? == "heard\n", "what is said mends nothing");
    let said = doctor(&home, &[]).await?.must(0)?;
    ensure!(!said.out.contains("inet deaf"), "{}", said.out);
    // One rule, early.
    shell(&home, "nft 'add rule inet deaf early iifname wan0 ip protocol icmp drop'").await?;
    ensure!(shell(&home, pings).await? == "deaf\n", "control: it is not deaf");
    let said = doctor(&home, &[]).await?.must(1)?;
    for words in [
        "the firewall inet deaf drops echo replies that come in by wan0",
        "rule 1 of chain early does it",
        "nft -a list chain inet deaf early # it is rule 1 there",
    ] {
        ensure!(said.out.contains(words), "no `{words}` in:\n{}", said.out);
    }
    Ok(())
}
