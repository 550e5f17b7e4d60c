//! The rtnetlink half of the dataplane, and the whole of it through the one reconciler, on the real
//! kernel.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic and print, its helpers too"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use nix::net::if_::if_nametoindex;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use sparelink::engine::dataplane::diff::Change;
use sparelink::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, KeyPart, KeyType, Sense, Set, Stmt, Table, Verdict,
};
use sparelink::engine::dataplane::plan::plan;
use sparelink::engine::dataplane::report::ApplyReport;
use sparelink::engine::dataplane::wanted::{Answers, Lan, Uplink, Wanted};
use sparelink::engine::dataplane::{Dataplane, Route, Rule, Sysctl};
use sparelink::engine::kernel::egress::Egress;
use sparelink::engine::kernel::rule::Selector;
use sparelink::engine::kernel::view::{ForeignRoute, KernelChange, KernelView, Touched};
use sparelink::io::netlink::nft::Nft;
use sparelink::io::netlink::{Event, Monitor, Neighbours, Reconciler};
use sparelink::io::{lock, sysctl};
use sparelink::units::{
    Family, IfIndex, IfName, Metric, PROTOCOL, PerFamily, RulePriority, TableId, UplinkId,
};

use crate::common;

/// Two uplinks, `up1` and `up2`, with their modems `isp1` and `isp2` in the same namespace.
struct Lab {
    net: Handle,
    run_dir: PathBuf,
}

impl Lab {
    async fn new() -> Self {
        let (connection, net, _) = rtnetlink::new_connection_with_strict_check().unwrap();
        tokio::spawn(connection);
        std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap();
        let run_dir = std::env::temp_dir().join(format!("sparelink-route-{}", std::process::id()));
        std::fs::create_dir_all(&run_dir).unwrap();
        let lab = Self { net, run_dir };
        lab.up("lo").await;
        for n in [1, 2] {
            lab.net
                .link()
                .add(LinkVeth::new(&format!("up{n}"), &format!("isp{n}")).build())
                .execute()
                .await
                .unwrap();
            lab.up(&format!("up{n}")).await;
            lab.up(&format!("isp{n}")).await;
            lab.address(&format!("up{n}"), &format!("10.0.{n}.2/24")).await;
            lab.address(&format!("up{n}"), &format!("2001:db8:{n}::2/64")).await;
        }
        lab
    }

    async fn up(&self, name: &str) {
        self.set(LinkUnspec::new_with_name(name).up().build()).await;
    }

    async fn down(&self, name: &str) {
        self.set(LinkUnspec::new_with_name(name).down().build()).await;
    }

    async fn set(&self, message: netlink_packet_route::link::LinkMessage) {
        self.net.link().set(message).execute().await.unwrap();
    }

    async fn address(&self, dev: &str, net: &str) {
        let net: IpNet = net.parse().unwrap();
        self.net.address().add(index(dev).0, net.addr(), net.prefix_len()).execute().await.unwrap();
    }

    async fn route(&self, message: RouteMessage) {
        self.net.route().add(message).execute().await.unwrap();
    }

    /// All routes of a table, as the kernel tells them to somebody else.
    async fn table(&self, family: Family, table: u32) -> Vec<RouteMessage> {
        let mut question = RouteMessage::default();
        question.header.address_family = af(family);
        question.attributes.push(RouteAttribute::Table(table));
        self.net.route().get(question).execute().try_collect().await.unwrap()
    }

    async fn rules(&self, family: Family) -> Vec<RuleMessage> {
        let version = match family {
            Family::V4 => rtnetlink::IpVersion::V4,
            Family::V6 => rtnetlink::IpVersion::V6,
        };
        self.net.rule().get(version).execute().try_collect().await.unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.run_dir);
    }
}

/// Runs a test in namespaces of its own, on a runtime of one thread.
#[track_caller]
fn inside<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    common::in_netns(test, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body());
    });
}

fn af(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

fn index(name: &str) -> IfIndex {
    IfIndex(if_nametoindex(name).unwrap())
}

fn gateway(family: Family, n: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, n, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, u16::from(n), 0, 0, 0, 0, 1).into(),
    }
}

fn any(family: Family) -> IpNet {
    match family {
        Family::V4 => "0.0.0.0/0".parse().unwrap(),
        Family::V6 => "::/0".parse().unwrap(),
    }
}

fn default_via(family: Family, table: TableId, metric: u32, n: u8) -> Route {
    let (via, dev) = (Some(gateway(family, n)), index(&format!("up{n}")));
    Route {
        family,
        table,
        metric: Metric(metric),
        dst: any(family),
        via,
        dev,
        onlink: false,
        mtu: None,
        prefsrc: None,
    }
}

/// What the agent desires with uplink `active` first and the other one as its spare.
fn desired(active: u8) -> Dataplane {
    let spare = 3 - active;
    let mut desired = Dataplane::default();
    for family in Family::BOTH {
        desired.routes.insert(default_via(family, TableId::ACTIVE, 1, active));
        desired.routes.insert(default_via(family, TableId::ACTIVE, 2, spare));
        let rule = |priority, fwmark, table, suppress_prefixlength| Rule {
            selector: Selector { fwmark, ..Selector::default() },
            suppress_prefixlength,
            ..Rule::look_up(family, priority, table)
        };
        desired.rules.insert(rule(RulePriority::LOCAL_FIRST, None, TableId::MAIN, Some(0)));
        desired.rules.insert(rule(RulePriority::ACTIVE, None, TableId::ACTIVE, None));
        for n in [1, 2] {
            let id = UplinkId::new(n).unwrap();
            desired
                .routes
                .insert(Route { mtu: Some(1400), ..default_via(family, id.table(), 1, n) });
            desired.rules.insert(rule(id.rule_priority(), Some(id.mark()), id.table(), None));
        }
    }
    for (path, value) in [
        ("net/ipv4/conf/up1/rp_filter", "2"),
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/up1/accept_ra", "2"),
        ("net/ipv6/conf/all/forwarding", "1"),
    ] {
        desired.sysctls.insert(path.to_owned(), sysctl_of(value));
    }
    desired
}

fn sysctl_of(value: &str) -> Sysctl {
    Sysctl { value: value.to_owned(), ..Sysctl::default() }
}

fn assert_clean(report: &ApplyReport) {
    assert!(report.ok(), "{:#?}", report.errors);
}

#[test]
fn converges_from_nothing_and_then_has_nothing_to_do() {
    inside("converges_from_nothing_and_then_has_nothing_to_do", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        let desired = desired(1);
        let first = reconciler.converge(1, &desired).await;
        assert_clean(&first);
        assert_eq!(first.changes.len(), 8 + 8 + 4, "{:#?}", first.changes);
        println!("first converge: {:?}", first.took);
        let second = reconciler.converge(2, &desired).await;
        assert_clean(&second);
        assert_eq!(second.changes, [], "the second time there is nothing to do");
        println!("second converge: {:?}", second.took);
        assert_eq!(reconciler.observe(&desired).await.unwrap(), desired);
        assert_eq!((first.generation, second.generation), (1, 2));
        // An agent that starts again adopts what it finds.
        let adopted = Reconciler::open(&lab.run_dir).await.unwrap().converge(1, &desired).await;
        assert_eq!(adopted.changes, []);
        assert_eq!(sysctl::read("net/ipv4/ip_forward").unwrap(), "1");
    });
}

#[test]
fn what_others_delete_is_back_and_what_is_theirs_stays() {
    inside("what_others_delete_is_back_and_what_is_theirs_stays", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        // Other people's: a route in main, one in a table of their own, a rule.
        let gateway1 = Ipv4Addr::new(10, 0, 1, 1);
        for table in [254, 100] {
            let theirs = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway1).table_id(table);
            lab.route(theirs.protocol(RouteProtocol::Static).build()).await;
        }
        let mut rule = lab.net.rule().add();
        rule.message_mut().header.family = AddressFamily::Inet;
        rule.message_mut().header.action = RuleAction::ToTable;
        rule.message_mut().attributes = vec![
            RuleAttribute::Table(100),
            RuleAttribute::Priority(8301),
            RuleAttribute::FwMark(7),
        ];
        rule.execute().await.unwrap();
        let main_before = lab.table(Family::V4, 254).await;
        let rules_before = lab.rules(Family::V4).await;

        let desired = desired(1);
        assert_clean(&reconciler.converge(1, &desired).await);
        // Somebody clears our rules and flushes a table of ours.
        for ours in lab.rules(Family::V4).await.into_iter().filter(is_ours) {
            lab.net.rule().del(ours).execute().await.unwrap();
        }
        for ours in lab.table(Family::V6, 8300).await {
            lab.net.route().del(ours).execute().await.unwrap();
        }
        let repaired = reconciler.converge(1, &desired).await;
        assert_clean(&repaired);
        assert_eq!(repaired.changes.len(), 4 + 2, "{:#?}", repaired.changes);
        assert_eq!(reconciler.observe(&desired).await.unwrap(), desired);

        // What stands in our tables is ours, whoever put it there.
        let stray = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway1)
            .table_id(8300)
            .protocol(RouteProtocol::Static);
        lab.route(stray.build()).await;
        let swept = reconciler.converge(1, &desired).await;
        assert_clean(&swept);
        assert!(
            matches!(swept.changes.as_slice(), [Change::DelRoute(route)] if route.metric == Metric(0)),
            "{:?}",
            swept.changes
        );
        assert_eq!(lab.table(Family::V4, 8300).await.len(), 2);

        for _ in 0..2 {
            assert_clean(&reconciler.purge().await);
            assert_eq!(lab.table(Family::V4, 254).await, main_before);
            assert_eq!(lab.table(Family::V4, 100).await.len(), 1);
            assert_eq!(lab.rules(Family::V4).await, rules_before);
            assert_eq!(
                reconciler.observe(&Dataplane::default()).await.unwrap(),
                Dataplane::default()
            );
        }
    });
}

fn is_ours(rule: &RuleMessage) -> bool {
    rule.attributes.contains(&RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)))
}

#[test]
fn a_switch_never_leaves_the_table_empty() {
    inside("a_switch_never_leaves_the_table_empty", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        assert_clean(&reconciler.converge(1, &desired(1)).await);
        let watch = Watch::start();
        for switch in 0..100u8 {
            let active = 1 + (switch + 1) % 2;
            let report = reconciler.converge(1, &desired(active)).await;
            assert_clean(&report);
            assert_eq!(report.changes.len(), 4, "{:#?}", report.changes);
            let (other, host) = (Family::V4, Ipv4Addr::new(192, 0, 2, 1));
            assert_eq!(
                reconciler.lookup(host.into(), 0).await.unwrap(),
                index(&format!("up{active}")),
                "{other}"
            );
        }
        // A mark decides for itself.
        let second = UplinkId::new(2).unwrap().mark().value;
        for host in [IpAddr::from([192, 0, 2, 1]), "2001:db8:ffff::1".parse().unwrap()] {
            assert_eq!(reconciler.lookup(host, second).await.unwrap(), index("up2"));
        }
        let (looks, empty) = watch.so_far();
        println!("{looks} looks at table 8300, {empty} of them at an empty one");
        assert!(looks > 50, "only {looks} looks");
        assert_eq!(empty, 0);
        // The watch sees an empty table when there is one.
        for route in lab.table(Family::V4, 8300).await {
            lab.net.route().del(route).execute().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(watch.so_far().1 > 0);
        watch.stop();
    });
}

/// Another thread that looks at table 8300 all the time.
struct Watch {
    counts: Arc<(AtomicU32, AtomicU32, AtomicBool)>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start() -> Self {
        let counts = Arc::new((AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false)));
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (connection, net, _) = rtnetlink::new_connection_with_strict_check().unwrap();
                tokio::spawn(connection);
                let lab = Lab { net, run_dir: PathBuf::new() };
                while !shared.2.load(Ordering::Relaxed) {
                    for family in Family::BOTH {
                        let empty = lab.table(family, 8300).await.is_empty();
                        shared.1.fetch_add(u32::from(empty), Ordering::Relaxed);
                        shared.0.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        });
        Self { counts, thread }
    }

    fn so_far(&self) -> (u32, u32) {
        (self.counts.0.load(Ordering::Relaxed), self.counts.1.load(Ordering::Relaxed))
    }

    fn stop(self) {
        self.counts.2.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

#[test]
fn an_error_keeps_the_old_and_does_not_stop_the_rest() {
    inside("an_error_keeps_the_old_and_does_not_stop_the_rest", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        assert_clean(&reconciler.converge(1, &desired(1)).await);
        // Desire the active IPv4 default to a neighbour that no link leads to.
        let mut bad = desired(1);
        let old = default_via(Family::V4, TableId::ACTIVE, 1, 1);
        bad.routes.remove(&old);
        bad.routes.remove(&default_via(Family::V4, TableId::ACTIVE, 2, 2));
        bad.routes.insert(Route { via: Some([203, 0, 113, 9].into()), metric: Metric(7), ..old });
        bad.routes.remove(&default_via(Family::V6, TableId::ACTIVE, 2, 2));
        bad.sysctls.insert("net/ipv4/conf/gone0/rp_filter".to_owned(), sysctl_of("2"));
        let report = reconciler.converge(1, &bad).await;
        println!("{:#?}", report.errors);
        // A sysctl of a device that has just gone is not missed; the route is.
        assert_eq!(report.errors.len(), 1);
        assert!(
            report.errors[0].contains("unreachable")
                && report.errors[0].contains("invalid gateway")
        );
        assert_eq!(lab.table(Family::V4, 8300).await.len(), 2, "the old ones stay");
        assert_eq!(lab.table(Family::V6, 8300).await.len(), 1, "the other family goes on");
        assert_eq!(report.changes.len(), 1);
    });
}

#[test]
fn without_an_active_default_the_last_one_stays_until_all_is_purged() {
    inside("without_an_active_default_the_last_one_stays_until_all_is_purged", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        assert_clean(&reconciler.converge(1, &desired(1)).await);
        let before = lab.table(Family::V4, 8300).await.len();
        assert!(before > 0, "control: there is one");
        let mut none = desired(1);
        none.routes.retain(|r| r.table != TableId::ACTIVE || r.family != Family::V4);
        let report = reconciler.converge(2, &none).await;
        assert_clean(&report);
        assert_eq!(report.changes, []);
        assert_eq!(lab.table(Family::V4, 8300).await.len(), before);
        // One that is desired takes its place.
        assert_clean(&reconciler.converge(3, &desired(2)).await);
        let host = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(reconciler.lookup(host.into(), 0).await.unwrap(), index("up2"));
        reconciler.purge().await;
        assert_eq!(lab.table(Family::V4, 8300).await.len(), 0);
    });
}

/// A table with all that the reconciler has to do with: structure and elements.
fn table(name: &str, dead: &[&str]) -> Table {
    let mut uplinks = Set::new(&[KeyType::IfName]);
    let key = |dev: &&str| (vec![KeyPart::IfName(IfName::new(dev).unwrap())], None);
    uplinks.elements = dead.iter().map(key).collect();
    let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Forward, priority: 0 };
    let in_set = Stmt::OifnameIn { set: "dead".to_owned(), sense: Sense::Is };
    let rule = vec![in_set, Stmt::Counter("refused".to_owned()), Stmt::Verdict(Verdict::Drop)];
    Table {
        name: name.to_owned(),
        sets: [("dead".to_owned(), uplinks)].into(),
        counters: ["refused".to_owned()].into(),
        chains: vec![Chain { name: "forward".to_owned(), hook: Some(hook), rules: vec![rule] }],
    }
}

#[test]
fn the_nftables_table_goes_through_the_same_reconciler() {
    inside("the_nftables_table_goes_through_the_same_reconciler", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        let mut foreigner = Nft::open().unwrap();
        let theirs = table("theirs", &["up1"]);
        let mut desired = Dataplane { nft: table("sparelink", &["up1"]), ..desired(1) };
        let built = reconciler.converge(1, &desired).await;
        assert_clean(&built);
        assert_eq!(built.observed_digest, None);
        assert!(built.changes.contains(&Change::BuildTable(desired.nft.clone())));
        assert!(reconciler.counters().unwrap().contains_key("refused"));
        let again = reconciler.converge(1, &desired).await;
        assert_eq!((again.changes, again.observed_digest), (vec![], Some(desired.nft.digest())));
        println!("a converge without changes: {:?}", again.took);

        // What moves is elements; the table is not built again.
        desired.nft = table("sparelink", &["up2"]);
        let moved = reconciler.converge(1, &desired).await;
        assert_clean(&moved);
        assert!(
            matches!(moved.changes.as_slice(), [Change::Elements { .. }]),
            "{:?}",
            moved.changes
        );
        assert_eq!(reconciler.observe(&desired).await.unwrap(), desired);

        // Somebody flushes the ruleset: told at once, and put right.
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        foreigner.build(&theirs).unwrap();
        // A cable may still tell of its address.
        follow(&mut monitor, &mut view, |_, seen| {
            let ours = KernelChange::Ours(Touched::Nftables);
            assert!(!seen.contains(&ours), "other people's tables are no news of ours");
            seen.contains(&KernelChange::Firewall)
        })
        .await;
        foreigner.delete("sparelink").unwrap();
        follow(&mut monitor, &mut view, |_, seen| {
            seen.contains(&KernelChange::Ours(Touched::Nftables))
        })
        .await;
        assert_clean(&reconciler.converge(1, &desired).await);
        assert_eq!(reconciler.observe(&desired).await.unwrap(), desired);

        for _ in 0..2 {
            assert_clean(&reconciler.purge().await);
            assert!(reconciler.observe(&desired).await.unwrap().nft.name.is_empty());
            assert_eq!(foreigner.observe(&theirs).unwrap(), theirs);
        }
    });
}

/// What the agent plans for two uplinks and a LAN with `order` of the uplinks.
fn planned(order: [u8; 2]) -> Dataplane {
    let id = |n| UplinkId::new(n).unwrap();
    let uplink = |n: u8| {
        let dev = IfName::new(&format!("up{n}")).unwrap();
        let egress = |family, source: &str| {
            Some(Egress {
                index: index(dev.as_str()),
                dev: dev.clone(),
                source: source.parse().unwrap(),
                gateway: Some(gateway(family, n)),
                onlink: false,
                mtu: None,
                prefsrc: None,
            })
        };
        let (own4, own6) = (format!("10.0.{n}.2"), format!("2001:db8:{n}::2"));
        Uplink {
            id: id(n),
            dev: Some((index(dev.as_str()), dev.clone())),
            egress: PerFamily { v4: egress(Family::V4, &own4), v6: egress(Family::V6, &own6) },
            near: vec![
                format!("10.0.{n}.0/24").parse().unwrap(),
                format!("2001:db8:{n}::/64").parse().unwrap(),
            ],
            routed: Vec::new(),
            own6: vec![format!("2001:db8:{n}::/64").parse().unwrap()],
            others6: vec![],
            mtu: 1500,
            addresses: vec![own4.parse().unwrap(), own6.parse().unwrap()],
            answers: Answers::Own,
            parent: None,
        }
    };
    let order = order.map(id).to_vec();
    plan(&Wanted {
        uplinks: vec![uplink(1), uplink(2)],
        order: PerFamily { v4: order.clone(), v6: order },
        lan: Some(Lan {
            nets: vec!["10.77.0.0/24".parse().unwrap()],
            guard: true,
            disputed: ["198.51.100.0/24", "fd77::/64"]
                .map(|net| (net.parse().unwrap(), index("isp2")))
                .into(),
        }),
        ..Wanted::default()
    })
}

#[test]
fn the_real_plan_is_carried_out_and_found_again() {
    inside("the_real_plan_is_carried_out_and_found_again", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        let first = reconciler.converge(1, &planned([1, 2])).await;
        assert_clean(&first);
        println!("the first: {} changes in {:?}", first.changes.len(), first.took);
        assert_eq!(reconciler.converge(1, &planned([1, 2])).await.changes, []);
        let switch = reconciler.converge(1, &planned([2, 1])).await;
        assert_clean(&switch);
        let lines: Vec<_> = switch.changes.iter().map(ToString::to_string).collect();
        println!("a switch, {:?}: {lines:#?}", switch.took);
        assert!(!switch.changes.iter().any(|c| matches!(c, Change::BuildTable(_))), "{lines:#?}");
        assert_eq!(reconciler.converge(1, &planned([2, 1])).await.changes, []);
    });
}

/// Others flush while it looks and changes: no list is so broken off that it is an error, and what
/// the kernel refuses in between it takes the next time.
#[test]
fn flushes_at_any_moment_are_put_right() {
    inside("flushes_at_any_moment_are_put_right", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        assert_clean(&reconciler.converge(1, &planned([1, 2])).await);
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let others = std::thread::spawn(move || {
            let run = |program: &str, words: &[&str]| {
                common::command(program).args(words).output().unwrap();
            };
            let mut times = 0;
            while !ends.load(Ordering::Relaxed) {
                run("nft", &["flush", "ruleset"]);
                if times % 4 == 0 {
                    run("ip", &["rule", "flush"]);
                    run("ip", &["-6", "rule", "flush"]);
                }
                times += 1;
            }
            times
        });
        let (mut put_back, mut refused) = (0, 0);
        for round in 0..600 {
            let report = reconciler.converge(1, &planned([[1, 2], [2, 1]][round % 2])).await;
            put_back += usize::from(!report.changes.is_empty());
            refused += report.errors.len();
            let reads = report.errors.iter().filter(|error| error.contains("could not be read"));
            assert_eq!(reads.count(), 0, "{:#?}", report.errors);
        }
        over.store(true, Ordering::Relaxed);
        let times = others.join().unwrap();
        println!("{times} flushes, {put_back} times put back, {refused} refusals");
        assert!(
            times > 10 && put_back > 100,
            "control: {times} flushes, {put_back} times put back"
        );
        // The first brings back the rules by which the kernel knows the way to gateways.
        reconciler.converge(1, &planned([1, 2])).await;
        assert_clean(&reconciler.converge(1, &planned([1, 2])).await);
        assert_eq!(reconciler.converge(1, &planned([1, 2])).await.changes, []);
    });
}

#[test]
fn sysctls_are_put_back_as_they_were_before_the_first_change() {
    inside("sysctls_are_put_back_as_they_were_before_the_first_change", || async {
        let lab = Lab::new().await;
        let before: Vec<_> =
            desired(1).sysctls.keys().map(|path| sysctl::read(path).unwrap()).collect();
        // The second agent must not take the first one's values for the originals.
        for value in ["2", "1"] {
            let mut desired = desired(1);
            desired.sysctls.insert("net/ipv4/conf/up1/rp_filter".to_owned(), sysctl_of(value));
            assert_clean(
                &Reconciler::open(&lab.run_dir).await.unwrap().converge(1, &desired).await,
            );
            assert_eq!(sysctl::read("net/ipv4/conf/up1/rp_filter").unwrap(), value);
        }
        let restored = sysctl::restore(&lab.run_dir).unwrap();
        assert!(restored.contains(&"net/ipv4/ip_forward".to_owned()), "{restored:?}");
        let after: Vec<_> =
            desired(1).sysctls.keys().map(|path| sysctl::read(path).unwrap()).collect();
        assert_eq!(after, before);
    });
}

#[test]
fn one_agent_for_each_namespace() {
    inside("one_agent_for_each_namespace", || async {
        let dir = |name: &str| {
            let dir = std::env::temp_dir().join(format!("sparelink-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            dir
        };
        let (here, there) = (dir("here"), dir("there"));
        let first = lock::Lock::take(&here).unwrap();
        let seen = first.be_seen();
        let taken = async {
            // More often than may wait at a time, and by way of either.
            for run_dir in [&here, &there].into_iter().cycle().take(40) {
                let second = lock::Lock::take_in_passing(run_dir).unwrap_err();
                let said = "another sparelink already runs in this network namespace";
                assert!(second.to_string().starts_with(said), "{second}");
                assert!(lock::is_held(run_dir));
                tokio::time::sleep(Duration::from_millis(60)).await;
            }
            let third = lock::Lock::take(&here).unwrap_err();
            assert!(matches!(third, lock::Error::Taken), "{third}");
        };
        tokio::select! {
            () = seen => panic!("it is seen no more"),
            () = taken => {}
        }
        drop(first);
        assert!(!lock::is_held(&here) && !lock::is_held(&there));
        assert!(lock::Lock::take(&here).is_ok(), "the lock goes with its holder");
        for dir in [here, there] {
            std::fs::remove_dir_all(dir).unwrap();
        }
    });
}

#[test]
fn statistics_count_bytes() {
    inside("statistics_count_bytes", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        let lo = index("lo");
        let sent = |reconciler: &std::collections::BTreeMap<IfIndex, (u64, u64)>| reconciler[&lo].1;
        let before = sent(&reconciler.stats(&[lo, IfIndex(9999)]).await);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        let after = reconciler.stats(&[lo, IfIndex(9999)]).await;
        assert!(sent(&after) >= before + 1000, "{before} {after:?}");
        assert_eq!(after.len(), 1, "an interface that is gone is left out");
    });
}

/// Waits until the monitor's story makes `done` true of a view, at most for 5 s.
async fn follow(
    monitor: &mut Monitor,
    view: &mut KernelView,
    done: impl Fn(&KernelView, &[KernelChange]) -> bool,
) {
    let mut seen = Vec::new();
    let story = async {
        while !done(view, &seen) {
            match monitor.next().await {
                Event::Changes(changes) => {
                    changes.iter().for_each(|change| view.apply(change));
                    seen.extend(changes);
                }
                Event::View(all) => *view = all,
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(5), story).await.is_err() {
        panic!("it never came; the view is {view:#?}, seen {seen:#?}");
    }
}

fn sorted(mut view: KernelView) -> KernelView {
    view.addresses.sort_unstable();
    view.routes.sort_unstable();
    view
}

/// The view of a monitor that starts now.
async fn fresh() -> KernelView {
    sorted(Monitor::open().await.unwrap().1)
}

fn default_to(view: &KernelView) -> Vec<(IfIndex, Option<IpAddr>)> {
    let is_default = |r: &&ForeignRoute| r.dst == any(Family::V4) && r.table == TableId::MAIN;
    view.routes.iter().filter(is_default).map(|r| (r.dev, r.gateway)).collect()
}

#[test]
fn the_monitor_tells_what_happens() {
    inside("the_monitor_tells_what_happens", || async {
        let lab = Lab::new().await;
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        let up1 = index("up1");
        assert!(view.links[&up1].carrier && view.links[&up1].up);
        assert!(view.addresses.iter().any(|a| a.net.to_string() == "10.0.1.2/24" && a.global));

        // The other end goes down: the carrier is lost, and told at once.
        lab.down("isp1").await;
        follow(&mut monitor, &mut view, |view, _| !view.links[&up1].carrier).await;
        assert!(view.links[&up1].up);
        lab.up("isp1").await;
        follow(&mut monitor, &mut view, |view, _| view.links[&up1].carrier).await;

        // A new device, an address with a peer, and gone again.
        lab.net.link().add(LinkVeth::new("late0", "late1").build()).execute().await.unwrap();
        let late = index("late0");
        follow(&mut monitor, &mut view, |view, _| view.links.contains_key(&late)).await;
        lab.address("late0", "192.0.2.7/24").await;
        follow(&mut monitor, &mut view, |view, _| view.addresses.iter().any(|a| a.index == late))
            .await;
        lab.net.link().del(late.0).execute().await.unwrap();
        follow(&mut monitor, &mut view, |view, _| !view.links.contains_key(&late)).await;
        assert!(view.addresses.iter().all(|a| a.index != late));

        // A replaced gateway: the kernel says nothing about the old one.
        let via = |last| {
            RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(Ipv4Addr::new(10, 0, 1, last))
                .protocol(RouteProtocol::Dhcp)
                .build()
        };
        lab.route(via(1)).await;
        let to = |last: u8| vec![(up1, Some(IpAddr::from([10, 0, 1, last])))];
        follow(&mut monitor, &mut view, |view, _| default_to(view) == to(1)).await;
        lab.net.route().add(via(9)).replace().execute().await.unwrap();
        follow(&mut monitor, &mut view, |view, _| default_to(view) == to(9)).await;

        // A link that is taken down loses its IPv4 routes without a message.
        lab.down("up1").await;
        follow(&mut monitor, &mut view, |view, _| default_to(view).is_empty()).await;
        assert_eq!(sorted(view), fresh().await);
    });
}

#[test]
fn routes_that_vanish_with_their_source_address_are_noticed() {
    inside("routes_that_vanish_with_their_source_address_are_noticed", || async {
        let lab = Lab::new().await;
        lab.address("up1", "10.0.1.77/24").await;
        let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(10, 0, 1, 1));
        lab.route(route.pref_source(Ipv4Addr::new(10, 0, 1, 77)).build()).await;
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        assert_eq!(default_to(&view).len(), 1);
        let addresses: Vec<_> = lab.net.address().get().execute().try_collect().await.unwrap();
        let seventy_seven = addresses
            .into_iter()
            .find(|a| a.attributes.iter().any(|x| format!("{x:?}").contains("Local(10.0.1.77)")));
        lab.net.address().del(seventy_seven.unwrap()).execute().await.unwrap();
        follow(&mut monitor, &mut view, |view, _| default_to(view).is_empty()).await;
        assert_eq!(sorted(view), fresh().await);
    });
}

#[test]
fn touching_what_is_ours_is_told_and_foreign_rules_behind_are_not() {
    inside("touching_what_is_ours_is_told_and_foreign_rules_behind_are_not", || async {
        let lab = Lab::new().await;
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        assert_clean(&reconciler.converge(1, &desired(1)).await);
        let both = |_: &KernelView, seen: &[KernelChange]| {
            [Touched::Routes, Touched::Rules]
                .iter()
                .all(|what| seen.contains(&KernelChange::Ours(*what)))
        };
        follow(&mut monitor, &mut view, both).await;
        assert!(view.routes.iter().all(|r| !r.table.is_ours()), "ours are not foreign");
        // A dropped wait loses nothing.
        let rule = lab.rules(Family::V4).await.into_iter().find(is_ours).unwrap();
        lab.net.rule().del(rule).execute().await.unwrap();
        let mut told = Vec::new();
        for _ in 0..50 {
            tokio::select! {
                biased;
                event = monitor.next() => told.push(event),
                () = tokio::task::yield_now() => {}
            }
        }
        let rules = KernelChange::Ours(Touched::Rules);
        let says = |e: &Event| matches!(e, Event::Changes(c) if c.contains(&rules));
        assert!(told.iter().any(says), "{told:?}");
        // Of somebody else's rule it is told what rules of others there are now.
        let mut rule = lab.net.rule().add();
        rule.message_mut().header.family = AddressFamily::Inet;
        rule.message_mut().header.action = RuleAction::ToTable;
        rule.message_mut().attributes =
            vec![RuleAttribute::Table(100), RuleAttribute::Priority(500)];
        rule.execute().await.unwrap();
        let others = |view: &KernelView, seen: &[KernelChange]| {
            assert!(!seen.contains(&rules), "no news of ours: {seen:?}");
            view.rules.iter().any(|rule| rule.priority == RulePriority(500))
        };
        follow(&mut monitor, &mut view, others).await;
    });
}

/// Routes that stand at a time while many come and go.
const STAND: u32 = 30;

#[test]
fn an_overrun_ends_in_a_true_view() {
    inside("an_overrun_ends_in_a_true_view", || async {
        let lab = Lab::new().await;
        let (mut monitor, mut view) = Monitor::open_with_buffer(8192).await.unwrap();
        // Of thousands the monitor keeps but a few; here never more stand than it keeps.
        let at = |n: u32| Ipv4Addr::from(0x0a80_0000 + n * 256);
        let to = |n: u32| RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(at(n), 24);
        for n in 0..2500u32 {
            let [first, second] = [1, 2].map(|hop| to(n).gateway(Ipv4Addr::new(10, 0, hop, 1)));
            lab.route(first.build()).await;
            if n % 2 == 0 {
                lab.net.route().del(to(n).build()).execute().await.unwrap();
                lab.net.route().add(second.build()).execute().await.unwrap();
            }
            if let Some(old) = n.checked_sub(STAND) {
                lab.net.route().del(to(old).build()).execute().await.unwrap();
            }
        }
        let mut views = 0;
        while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), monitor.next()).await {
            match event {
                Event::Changes(changes) => changes.iter().for_each(|c| view.apply(c)),
                Event::View(all) => {
                    views += 1;
                    view = all;
                }
            }
        }
        assert!(views > 0, "the buffer was too large to overflow");
        let truth = fresh().await;
        assert!(truth.routes.len() > STAND as usize);
        assert_eq!(sorted(view), truth);
    });
}

#[test]
fn of_any_number_of_routes_those_that_matter_are_told() {
    inside("of_any_number_of_routes_those_that_matter_are_told", || async {
        let lab = Lab::new().await;
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        let to = |n: u32| {
            let dst = Ipv4Addr::from(0x1400_0000 + n * 256);
            let route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(dst, 24);
            route.gateway(Ipv4Addr::new(10, 0, 1, 1))
        };
        for n in 0..2000u32 {
            lab.route(to(n).table_id(100).build()).await;
            lab.route(to(n).build()).await;
        }
        let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(10, 0, 1, 1));
        lab.route(default.table_id(100).build()).await;
        let mut told = 0;
        while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), monitor.next()).await {
            let Event::Changes(changes) = event else { panic!("none were lost") };
            told += changes.len();
            changes.iter().for_each(|change| view.apply(change));
        }
        assert!(told < 200, "{told} changes were told");
        assert!(view.routes.len() < 200, "{} routes are kept", view.routes.len());
        let default_elsewhere = |view: &KernelView| {
            view.routes.iter().any(|r| r.dst == any(Family::V4) && r.table == TableId(100))
        };
        assert!(default_elsewhere(&view) && default_elsewhere(&fresh().await));
        // Where the ones that were kept go, others take their place.
        for n in 0..1990u32 {
            lab.net.route().del(to(n).build()).execute().await.unwrap();
        }
        let last = IpNet::new(Ipv4Addr::from(0x1400_0000 + 1999 * 256).into(), 24).unwrap();
        follow(&mut monitor, &mut view, |view, _| view.routes.iter().any(|r| r.dst == last)).await;
        assert_eq!(sorted(view), fresh().await);

        // What is ours is found among them, and without looking through them each time.
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        assert_clean(&reconciler.converge(1, &desired(1)).await);
        let report = reconciler.converge(1, &desired(1)).await;
        assert_clean(&report);
        assert_eq!(report.changes, []);
        let table = lab.table(Family::V4, TableId::ACTIVE.0).await;
        lab.net.route().del(table.into_iter().next().unwrap()).execute().await.unwrap();
        let report = reconciler.converge(1, &desired(1)).await;
        assert!(matches!(report.changes[..], [Change::ReplaceRoute(_)]), "{:?}", report.changes);
    });
}

#[test]
fn many_next_hops_are_many_routes() {
    inside("many_next_hops_are_many_routes", || async {
        use rtnetlink::RouteNextHopBuilder;
        let lab = Lab::new().await;
        let (mut monitor, mut view) = Monitor::open().await.unwrap();
        let hop = |n: u8| {
            RouteNextHopBuilder::new_ipv4()
                .interface(index(&format!("up{n}")).0)
                .via(gateway(Family::V4, n))
                .unwrap()
                .build()
        };
        let multi = || RouteMessageBuilder::<Ipv4Addr>::new().multipath(vec![hop(1), hop(2)]);
        lab.route(multi().build()).await;
        follow(&mut monitor, &mut view, |view, _| default_to(view).len() == 2).await;
        let single =
            RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(10, 0, 2, 1)).build();
        lab.net.route().add(single).replace().execute().await.unwrap();
        follow(&mut monitor, &mut view, |view, _| default_to(view).len() == 1).await;
        assert_eq!(default_to(&view), [(index("up2"), Some(gateway(Family::V4, 2)))]);

        // In a table of ours it is a mistake that is put right in one step.
        let mut reconciler = Reconciler::open(&lab.run_dir).await.unwrap();
        lab.route(multi().table_id(8300).priority(1).build()).await;
        let mut desired = Dataplane::default();
        desired.routes.insert(default_via(Family::V4, TableId::ACTIVE, 1, 2));
        let report = reconciler.converge(1, &desired).await;
        assert_clean(&report);
        assert!(
            matches!(report.changes.as_slice(), [Change::ReplaceRoute(_)]),
            "{:?}",
            report.changes
        );
        assert_eq!(reconciler.converge(1, &desired).await.changes, []);
    });
}

#[test]
fn without_permission_there_is_one_clear_sentence() {
    // Outside of any namespace of ours: an ordinary user is refused, root is not asked to try.
    if nix::unistd::geteuid().is_root() {
        println!("skipped: root is permitted everything");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Reconciler::open(&std::env::temp_dir())).unwrap_err();
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
}

#[test]
fn a_neighbour_is_known_by_its_hardware() {
    inside("a_neighbour_is_known_by_its_hardware", || async {
        let lab = Lab::new().await;
        let up1 = if_nametoindex("up1").unwrap();
        let mac = [2, 0, 0, 0, 0, 9];
        let of: [IpAddr; 2] = ["10.0.1.9".parse().unwrap(), "fd00:1::9".parse().unwrap()];
        for ip in of {
            lab.net.neighbours().add(up1, ip).link_layer_address(&mac).execute().await.unwrap();
        }
        let neighbours = Neighbours::open().unwrap();
        for ip in of {
            assert_eq!(neighbours.hardware(ip, IfIndex(up1)), Some(mac), "{ip}");
            let up2 = IfIndex(if_nametoindex("up2").unwrap());
            assert_eq!(neighbours.hardware(ip, up2), None, "{ip} is a neighbour elsewhere, too");
        }
        let nobody = "10.0.1.77".parse().unwrap();
        assert_eq!(neighbours.hardware(nobody, IfIndex(up1)), None);
    });
}
