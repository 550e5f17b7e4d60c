//! Network namespaces for a test that stays on one thread: the thread steps into a namespace to
//! open something there, steps back, and what it opened stays behind.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags};
use rtnetlink::packet_route::link::{LinkAttribute, State};
use rtnetlink::packet_route::rule::RuleAction;
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::time::sleep;

/// A network namespace, as long as this value (or anything opened in it) lives.
pub(crate) struct Namespace {
    file: File,
    /// rtnetlink in it.
    pub(crate) net: Handle,
}

impl Namespace {
    /// The one this thread is in. Must be called within a tokio runtime.
    pub(crate) async fn here() -> Self {
        let file = File::open("/proc/thread-self/ns/net").unwrap();
        let (connection, net, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        // Link-local addresses come without looking for duplicates for a second.
        for scope in ["all", "default"] {
            fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), "0").unwrap();
        }
        let namespace = Self { file, net };
        namespace.up("lo").await;
        namespace
    }

    /// A new one; the thread stays where it is.
    pub(crate) async fn new() -> Self {
        let back = File::open("/proc/thread-self/ns/net").unwrap();
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let namespace = Self::here().await;
        setns(&back, CloneFlags::CLONE_NEWNET).unwrap();
        namespace
    }

    /// Does something in it.
    pub(crate) fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        let back = File::open("/proc/thread-self/ns/net").unwrap();
        setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
        let result = act();
        setns(&back, CloneFlags::CLONE_NEWNET).unwrap();
        result
    }

    /// The index of a device in it.
    pub(crate) fn index(&self, name: &str) -> u32 {
        self.inside(|| if_nametoindex(name)).unwrap()
    }

    /// A cable from `name` in this namespace to `far_name` in another.
    pub(crate) async fn cable(&self, name: &str, far: &Self, far_name: &str) {
        self.net.link().add(LinkVeth::new(name, "far").build()).execute().await.unwrap();
        let end = LinkUnspec::new_with_index(self.index("far"))
            .name(far_name)
            .setns_by_fd(far.file.as_raw_fd())
            .build();
        self.net.link().set(end).execute().await.unwrap();
        self.up(name).await;
        far.up(far_name).await;
        // The kernel opens the first end's queue later, in work that waits for its turn: until
        // then whatever is sent there is lost.
        while !self.is_running(name).await {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether the kernel says that a device passes packets (RFC 2863).
    async fn is_running(&self, name: &str) -> bool {
        let mut links = self.net.link().get().match_index(self.index(name)).execute();
        let link = links.try_next().await.unwrap().unwrap();
        link.attributes.contains(&LinkAttribute::OperState(State::Up))
    }

    pub(crate) async fn up(&self, name: &str) {
        let link = LinkUnspec::new_with_index(self.index(name)).up().build();
        self.net.link().set(link).execute().await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.net.link().del(self.index(name)).execute().await.unwrap();
    }

    pub(crate) async fn address(&self, name: &str, address: &str) {
        let net: IpNet = address.parse().unwrap();
        let index = self.index(name);
        let mut add = self.net.address().add(index, net.addr(), net.prefix_len());
        // Usable at once, without looking for duplicates.
        let flags = AddressAttribute::Flags(AddressFlags::Nodad);
        add.message_mut().attributes.push(flags);
        add.execute().await.unwrap();
    }

    /// Gives a device another address.
    pub(crate) async fn renumber(&self, name: &str, old: &str, new: &str) {
        let (old, index): (IpNet, u32) = (old.parse().unwrap(), self.index(name));
        let mut message = self.net.address().add(index, old.addr(), old.prefix_len());
        let message = message.message_mut().clone();
        self.net.address().del(message).execute().await.unwrap();
        self.address(name, new).await;
    }

    /// A default route in `main`.
    pub(crate) async fn default(&self, name: &str, gateway: &str, metric: u32) {
        let gateway: IpAddr = gateway.parse().unwrap();
        let everywhere = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        self.route(everywhere, name, gateway, metric).await;
    }

    /// A route in `main`.
    pub(crate) async fn route(&self, to: &str, name: &str, gateway: IpAddr, metric: u32) {
        let to: IpNet = to.parse().unwrap();
        let route = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(to.addr(), to.prefix_len())
            .unwrap()
            .gateway(gateway)
            .unwrap()
            .output_interface(self.index(name))
            .priority(metric)
            .build();
        self.net.route().add(route).execute().await.unwrap();
    }

    /// Sends what carries a mark through `name` to a gateway of its own. (An unreachable route would
    /// not do: for a socket bound to a device the kernel then takes every target to be on the link.)
    pub(crate) async fn detour(&self, mark: u32, table: u32, name: &str, gateway: Ipv4Addr) {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .table_id(table)
            .output_interface(self.index(name))
            .gateway(gateway)
            .build();
        self.net.route().add(route).execute().await.unwrap();
        let rule = self.net.rule().add().v4().fw_mark(mark).table_id(table).priority(table);
        rule.action(RuleAction::ToTable).execute().await.unwrap();
    }
}
