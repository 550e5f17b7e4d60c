//! The state as it was a moment ago, for everybody who asks: however many they are and however often they
//! ask, the loop is asked a few times a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Cell, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::ask::{Ask, ask};
use crate::engine::status::snapshot::Snapshot;
use crate::io::clock;
use crate::time::Instant;

/// Figures may be this old; what happened since is never missing.
const FRESH: Duration = Duration::from_millis(50);

/// What was last told to those who ask. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Rises with everything that happens.
    happened: AtomicU64,
    told: Cell<Option<Told>>,
    /// Only one asks; the others wait for what it is told.
    asking: Mutex<()>,
}

#[derive(Clone, Debug)]
struct Told {
    snapshot: Arc<Snapshot>,
    at: Instant,
    happened: u64,
}

impl Latest {
    /// Something happened: what was told before is not true any more.
    pub(super) fn outdate(&self) {
        self.0.happened.fetch_add(1, Ordering::AcqRel);
    }

    /// The state, asked of the loop if what is known is too old; `None` if it has no time.
    pub(super) async fn get(&self, asks: &mpsc::Sender<Ask>) -> Option<Arc<Snapshot>> {
        if let Some(known) = self.known() {
            return Some(known);
        }
        let _only = self.0.asking.lock().await;
        if let Some(known) = self.known() {
            return Some(known);
        }
        let happened = self.0.happened.load(Ordering::Acquire);
        let snapshot = Arc::new(ask(asks, Ask::Status).await?);
        let told = Told { snapshot: snapshot.clone(), at: clock::now().mono, happened };
        *self.0.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        Some(snapshot)
    }

    fn known(&self) -> Option<Arc<Snapshot>> {
        let told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let true_still = told.happened == self.0.happened.load(Ordering::Acquire);
        let fresh = clock::now().mono.since(told.at) < FRESH;
        (true_still && fresh).then_some(told.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    #[test]
    fn however_many_ask_the_loop_is_asked_once_until_something_happens() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (asks, mut asked) = mpsc::channel(64);
            let latest = Latest::default();
            let count = Arc::new(AtomicU64::new(0));
            let counted = count.clone();
            tokio::spawn(async move {
                while let Some(Ask::Status(reply)) = asked.recv().await {
                    let n = counted.fetch_add(1, Ordering::Relaxed);
                    let sentence = n.to_string();
                    tokio::task::yield_now().await;
                    drop(reply.send(Snapshot { sentence, ..snapshot() }));
                }
            });
            let all = (0..500).map(|_| latest.get(&asks));
            let told = futures_util::future::join_all(all).await;
            let asked = count.load(Ordering::Relaxed);
            // More than once only if this machine takes longer for it than an answer is good for.
            assert!((1..=50).contains(&asked), "{asked}");
            assert!(told.iter().all(Option::is_some));
            // What happened is never missing from the next answer, not even if it happens while the
            // loop answers.
            for _ in 0..20 {
                let before = count.load(Ordering::Relaxed);
                latest.outdate();
                let told = latest.get(&asks).await.unwrap();
                assert!(told.sentence.parse::<u64>().unwrap() >= before);
            }
        });
    }
}
