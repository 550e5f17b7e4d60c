//! Others' firewalls are read on a thread of their own: they may be long, and a failover must not wait
//! behind them.

use std::time::Duration;

use tokio::sync::mpsc;

use super::thread;
use crate::engine::input::Input;
use crate::engine::kernel::firewall::{Ruleset, Way, closed};
use crate::io::clock;
use crate::io::netlink::nft::Nft;

/// Reading may take a hundredth of the time, so that rules without number cost no more than few.
const RESTS: u32 = 100;
/// Tries at rules that change while they are read, and the time between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// It does not rest longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// The way to the thread. It ends when this is dropped.
pub(super) struct Firewalls(mpsc::Sender<Vec<Way>>);

/// Reads the rules; while somebody builds his it may take several tries.
async fn read() -> Option<Ruleset> {
    for _ in 0..TRIES {
        match Nft::open().and_then(|mut nft| nft.forwarding()) {
            Ok(ruleset) => return Some(ruleset),
            Err(error) => tracing::debug!(%error, "others' firewalls cannot be read"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

impl Firewalls {
    /// Starts the thread; what it finds comes back as inputs.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread.
    pub(super) fn start(done: mpsc::Sender<Input>) -> std::io::Result<Self> {
        // One question at a time.
        let (ask, mut asked) = mpsc::channel::<Vec<Way>>(1);
        thread::start("firewalls", || async move {
            while let Some(ways) = asked.recv().await {
                let begun = clock::now().mono;
                let Some(ruleset) = read().await else { continue };
                let found = Input::Firewalls(closed(&ruleset, &ways));
                if done.send(found).await.is_err() {
                    return;
                }
                let took = clock::now().mono.since(begun);
                tokio::time::sleep(took.saturating_mul(RESTS).min(LONGEST)).await;
            }
        })?;
        Ok(Self(ask))
    }

    /// Looks whether the LAN gets out by these ways.
    pub(super) fn look(&self, ways: Vec<Way>) {
        if self.0.try_send(ways).is_err() {
            tracing::debug!("others' firewalls are still being read");
        }
    }
}
