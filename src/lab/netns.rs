//! A network namespace is a thread with a runtime of its own: whatever runs on it sees that
//! namespace's interfaces, and the namespace vanishes with the thread.

use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use futures_util::TryStreamExt;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteProtocol, RouteType};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinHandle as Task;

use super::stage;

#[derive(Debug)]
pub struct Netns {
    name: String,
    namespace: File,
    runtime: tokio::runtime::Handle,
    netlink: rtnetlink::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// One end of a cable between two namespaces.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where it is plugged in.
    pub netns: &'a Netns,
    /// The interface's name there.
    pub interface: &'a str,
}

/// An interface name in a namespace, for [`cable`].
#[must_use]
pub fn end<'a>(netns: &'a Netns, interface: &'a str) -> End<'a> {
    End { netns, interface }
}

/// A route to set.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Where to; the prefix of length 0 is the default route.
    pub to: IpNet,
    pub via: IpAddr,
    /// Out of which interface.
    pub dev: &'a str,
    pub metric: u32,
    /// Who is said to have put it there.
    pub protocol: RouteProtocol,
}

impl<'a> Route<'a> {
    /// A route that somebody wrote down once.
    #[must_use]
    pub fn fixed(to: IpNet, via: IpAddr, dev: &'a str) -> Self {
        Self { to, via, dev, metric: 100, protocol: RouteProtocol::Static }
    }
}

/// What the thread hands out once it lives in its namespace.
struct Started {
    namespace: File,
    runtime: tokio::runtime::Handle,
    netlink: rtnetlink::Handle,
}

impl Netns {
    /// Makes a namespace with `lo` up.
    ///
    /// # Errors
    /// If the kernel refuses the namespace or its netlink socket.
    pub async fn new(name: &str) -> Result<Self> {
        Self::start(name, || Ok(())).await
    }

    /// Makes a namespace whose programs also see its interfaces in `/sys/class/net`.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub async fn with_sysfs(name: &str) -> Result<Self> {
        Self::start(name, || stage::own_sysfs().context("own /sys")).await
    }

    async fn start(name: &str, prepare: fn() -> Result<()>) -> Result<Self> {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || live(prepare, &tell, stopped))
            .context("starting a thread")?;
        let started = told.recv().map_err(|_| anyhow!("the thread of {name} ended at once"))?;
        let Started { namespace, runtime, netlink } =
            started.with_context(|| format!("namespace {name}"))?;
        let name = name.to_owned();
        let netns =
            Self { name, namespace, runtime, netlink, stop: Some(stop), thread: Some(thread) };
        for kind in ["all", "default"] {
            // No duplicate address detection: nobody else is there, and it takes a second.
            netns.sysctl(&format!("net/ipv6/conf/{kind}/accept_dad"), "0").await?;
            netns.sysctl(&format!("net/ipv4/conf/{kind}/rp_filter"), "0").await?;
        }
        netns.up("lo").await?;
        Ok(netns)
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a future in this namespace and waits for its result.
    ///
    /// # Errors
    /// If the future panicked or the namespace is gone.
    pub async fn run<F>(&self, future: F) -> Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future).await.with_context(|| format!("a task in {}", self.name))
    }

    /// Starts a task in this namespace. It ends with the namespace at the latest.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// Writes a sysctl, named by its path below `/proc/sys`.
    ///
    /// # Errors
    /// If it does not exist or must not be written.
    pub async fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = format!("/proc/sys/{path}");
        let value = value.to_owned();
        let what = format!("sysctl {path}={value} in {}", self.name);
        self.run(async move { std::fs::write(file, value) }).await?.context(what)
    }

    /// Reads a sysctl.
    ///
    /// # Errors
    /// If it does not exist.
    pub async fn read_sysctl(&self, path: &str) -> Result<String> {
        let file = format!("/proc/sys/{path}");
        let text = self.run(async move { std::fs::read_to_string(file) }).await?;
        Ok(text.with_context(|| format!("sysctl {path} in {}", self.name))?.trim().to_owned())
    }

    /// Takes an interface up.
    ///
    /// # Errors
    /// If there is none of that name.
    pub async fn up(&self, interface: &str) -> Result<()> {
        self.change(interface, LinkMessageBuilder::up).await
    }

    /// Takes an interface down; the other end of its cable loses carrier.
    ///
    /// # Errors
    /// If there is none of that name.
    pub async fn down(&self, interface: &str) -> Result<()> {
        self.change(interface, LinkMessageBuilder::down).await
    }

    /// Deletes an interface, and with it the other end of its cable.
    ///
    /// # Errors
    /// If there is none of that name.
    pub async fn delete(&self, interface: &str) -> Result<()> {
        let what = || format!("deleting {interface} in {}", self.name);
        let index = self.index(interface).await?;
        let gone = self.netlink.link().del(index).execute();
        gone.await.with_context(what)
    }

    /// Sends no segments larger than a packet out of this interface: a packet socket at the other
    /// end must be able to send on what it has received.
    ///
    /// # Errors
    /// If there is no interface of that name.
    pub async fn no_large_segments(&self, interface: &str) -> Result<()> {
        self.change(interface, |m| m.append_extra_attribute(LinkAttribute::GsoMaxSegs(1))).await
    }

    async fn change(
        &self,
        interface: &str,
        how: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let what = || format!("changing {interface} in {}", self.name);
        let index = self.index(interface).await?;
        let message = how(LinkUnspec::new_with_index(index)).build();
        self.netlink.link().set(message).execute().await.with_context(what)
    }

    /// Gives an interface an address.
    ///
    /// # Errors
    /// If there is no such interface, or it has the address already.
    pub async fn address(&self, interface: &str, address: &str) -> Result<()> {
        let what = || format!("address {address} on {interface} in {}", self.name);
        let net: IpNet = address.parse().with_context(what)?;
        let index = self.index(interface).await?;
        let mut request = self.netlink.address().add(index, net.addr(), net.prefix_len());
        if net.addr().is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.with_context(what)
    }

    /// Adds a route to table `main`.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub async fn route(&self, route: Route<'_>) -> Result<()> {
        let index = self.index(route.dev).await?;
        let builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(route.to.addr(), route.to.prefix_len())?
            .output_interface(index)
            .priority(route.metric)
            .kind(RouteType::Unicast)
            .protocol(route.protocol)
            .gateway(route.via)?;
        let what = || format!("route to {} by {} in {}", route.to, route.dev, self.name);
        self.netlink.route().add(builder.build()).replace().execute().await.with_context(what)
    }

    /// Lets packets through, in both families.
    ///
    /// # Errors
    /// As for [`Self::sysctl`].
    pub async fn forward(&self) -> Result<()> {
        self.sysctl("net/ipv4/ip_forward", "1").await?;
        self.sysctl("net/ipv6/conf/all/forwarding", "1").await
    }

    /// Sets the default routes of an interface, as DHCP and router advertisements would.
    ///
    /// # Errors
    /// If the kernel refuses one of them.
    pub async fn default_routes(
        &self,
        dev: &str,
        via4: Ipv4Addr,
        via6: Ipv6Addr,
        metric: u32,
    ) -> Result<()> {
        let route = |to, via, protocol| Route { to, via, dev, metric, protocol };
        let all4 = IpNet::V4(Ipv4Net::default());
        self.route(route(all4, IpAddr::V4(via4), RouteProtocol::Dhcp)).await?;
        let all6 = IpNet::V6(Ipv6Net::default());
        self.route(route(all6, IpAddr::V6(via6), RouteProtocol::Ra)).await
    }

    /// The interface's number.
    ///
    /// # Errors
    /// If there is none of that name.
    pub async fn index(&self, interface: &str) -> Result<u32> {
        Ok(self.link(interface).await?.header.index)
    }

    /// The interface's link-layer address.
    ///
    /// # Errors
    /// If there is no such interface, or it has none.
    pub async fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        let link = self.link(interface).await?;
        let bytes = link.attributes.iter().find_map(|attribute| {
            let LinkAttribute::Address(bytes) = attribute else {
                return None;
            };
            <[u8; 6]>::try_from(bytes.as_slice()).ok()
        });
        bytes.with_context(|| format!("{interface} in {} has no MAC address", self.name))
    }

    async fn link(&self, interface: &str) -> Result<LinkMessage> {
        let what = || format!("interface {interface} in {}", self.name);
        let mut links = self.netlink.link().get().match_name(interface.to_owned()).execute();
        let found = std::pin::pin!(links.try_next()).await.with_context(what)?;
        found.with_context(what)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

/// Lays a cable (a veth pair) between two namespaces and takes both ends up.
///
/// # Errors
/// If a name is taken.
pub async fn cable(a: End<'_>, b: End<'_>) -> Result<()> {
    cable_numbered(a, b, 0).await
}

/// The same, and the interface at the first end has this number; with 0 the kernel chooses.
///
/// # Errors
/// If a name or the number is taken.
pub async fn cable_numbered(a: End<'_>, b: End<'_>, index: u32) -> Result<()> {
    let what = || format!("cable from {} to {}", a.netns.name, b.netns.name);
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name(b.interface)
        .setns_by_fd(b.netns.namespace.as_raw_fd())
        .build();
    let pair = LinkVeth::new(a.interface, b.interface)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .index(index)
        .build();
    a.netns.netlink.link().add(pair).execute().await.with_context(what)?;
    a.netns.up(a.interface).await?;
    b.netns.up(b.interface).await
}

/// The life of a namespace's thread.
fn live(
    prepare: fn() -> Result<()>,
    tell: &mpsc::Sender<Result<Started>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match begin(prepare) {
        Ok((runtime, started)) => {
            if tell.send(Ok(started)).is_err() {
                return;
            }
            runtime
        }
        Err(e) => {
            let _ = tell.send(Err(e));
            return;
        }
    };
    // Ends when the sender is dropped.
    let _ = runtime.block_on(stopped);
}

fn begin(prepare: fn() -> Result<()>) -> Result<(tokio::runtime::Runtime, Started)> {
    unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
    prepare()?;
    let namespace = File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
    let guard = runtime.enter();
    let (connection, netlink, _) = rtnetlink::new_connection().context("netlink socket")?;
    runtime.spawn(connection);
    drop(guard);
    let started = Started { namespace, runtime: runtime.handle().clone(), netlink };
    Ok((runtime, started))
}
