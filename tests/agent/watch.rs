//! What the kernel tells of table 8300, played back: whether there was ever a moment without a
//! default route.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Result, ensure};
use futures_util::StreamExt;
use netlink_packet_core::{NLM_F_REPLACE, NetlinkPayload};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Message};
use rtnetlink::MulticastGroup;
use sparelink::lab::topology::Home;

use crate::kernel;

/// The active table.
const ACTIVE: u32 = 8300;

/// A default route: family, metric, device.
type Default = (u8, u32, u32);

/// The default routes of table 8300 as they come and go.
pub(crate) struct Defaults(Arc<Mutex<Story>>);

#[derive(Default)]
struct Story {
    there: BTreeSet<Default>,
    events: usize,
    gaps: Vec<String>,
}

impl Defaults {
    /// Watches from now on.
    pub(crate) async fn watch(home: &Home) -> Result<Self> {
        let story = Arc::new(Mutex::new(Story::default()));
        let told = story.clone();
        let watch = async move {
            let groups = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route];
            let (connection, _, mut events) = rtnetlink::new_multicast_connection(&groups)?;
            tokio::spawn(connection);
            lock(&told).there = defaults().await?;
            tokio::spawn(async move {
                while let Some((event, _)) = events.next().await {
                    let replaces = event.header.flags & NLM_F_REPLACE != 0;
                    if let NetlinkPayload::InnerMessage(message) = event.payload {
                        lock(&told).take(&message, replaces);
                    }
                }
            });
            anyhow::Ok(())
        };
        home.router.run(watch).await??;
        Ok(Self(story))
    }

    /// Nothing that has been told before counts any more; how many events that was.
    pub(crate) fn forget(&self) -> usize {
        let mut story = lock(&self.0);
        story.gaps.clear();
        std::mem::take(&mut story.events)
    }

    /// There was no moment without a default route, and nothing was missed in the telling.
    pub(crate) async fn never_missing(&self, home: &Home) -> Result<()> {
        let there = home.router.run(defaults()).await??;
        // The last event may still be on its way.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let story = lock(&self.0);
        ensure!(story.gaps.is_empty(), "without a default route: {:?}", story.gaps);
        ensure!(story.there == there, "the story ends with {:?}, not {there:?}", story.there);
        Ok(())
    }

    /// How often there was none.
    pub(crate) fn gaps(&self) -> usize {
        lock(&self.0).gaps.len()
    }
}

impl Story {
    fn take(&mut self, message: &Message, replaces: bool) {
        let (Message::NewRoute(route) | Message::DelRoute(route)) = message else { return };
        let new = matches!(message, Message::NewRoute(_));
        let Some(default) = default_of(route) else {
            return;
        };
        self.events += 1;
        let (family, metric, _) = default;
        if new {
            if replaces {
                self.there.retain(|(f, m, _)| (*f, *m) != (family, metric));
            }
            self.there.insert(default);
            return;
        }
        self.there.remove(&default);
        if !self.there.iter().any(|(f, ..)| *f == family) {
            self.gaps.push(format!("{default:?} went and nothing was left"));
        }
    }
}

async fn defaults() -> Result<BTreeSet<Default>> {
    Ok(kernel::routes().await?.iter().filter_map(default_of).collect())
}

/// A default route of the active table.
fn default_of(route: &RouteMessage) -> Option<Default> {
    let all = &route.attributes;
    if !all.contains(&RouteAttribute::Table(ACTIVE)) || route.header.destination_prefix_length != 0
    {
        return None;
    }
    let number = |of: fn(&RouteAttribute) -> Option<u32>| all.iter().find_map(of).unwrap_or(0);
    let metric =
        number(|a| if let RouteAttribute::Priority(metric) = a { Some(*metric) } else { None });
    let dev = number(|a| if let RouteAttribute::Oif(index) = a { Some(*index) } else { None });
    let family = if route.header.address_family == AddressFamily::Inet { 4 } else { 6 };
    Some((family, metric, dev))
}

fn lock(story: &Mutex<Story>) -> MutexGuard<'_, Story> {
    story.lock().expect("no panics")
}
