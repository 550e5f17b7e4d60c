//! Where settings are tried, and kept or undone in time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc};

use super::store::{Asked, Refused, Store, Tried};
use crate::engine::events::causes::{Deed, Undoing};
use crate::io::trial::{By, OnTrial};
use crate::io::web::ask::{Ask, ask};
use crate::io::web::feed::Feed;

/// What is tried is undone after this, if nobody confirms it.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// So often it is looked whether somebody confirmed it elsewhere.
const LOOK: Duration = Duration::from_secs(1);

/// Where settings are changed. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::io::web) struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: the agent runs without a file.
    store: Option<Store>,
    asks: mpsc::Sender<Ask>,
    feed: Feed,
    /// One change at a time.
    one: Mutex<()>,
    /// Something is on trial now.
    begun: Notify,
}

impl Desk {
    /// For this configuration file, if there is one.
    pub(in crate::io::web) fn new(
        file: Option<PathBuf>,
        asks: mpsc::Sender<Ask>,
        feed: Feed,
    ) -> Self {
        let store = file.map(Store::new);
        Self(Arc::new(Inner { store, asks, feed, one: Mutex::default(), begun: Notify::new() }))
    }

    fn store(&self) -> Result<&Store, Refused> {
        self.0.store.as_ref().ok_or(Refused::NoFile)
    }

    /// Something that waits for a disk.
    pub(super) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = self.store()?.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or(Err(Refused::Busy))
    }

    /// The loop reads the file again, and tells in the history what was done.
    async fn tell(&self, deed: Deed) -> Result<(), Refused> {
        match ask(&self.0.asks, |answer| Ask::Settings(deed, answer)).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(mistakes)) => Err(Refused::Agent(mistakes)),
            None => Err(Refused::Busy),
        }
    }

    /// Writes it, has it taken over, and begins to wait for a confirmation.
    pub(super) async fn try_on(self, asked: Asked, who: String) -> Result<Tried, Refused> {
        let _only = self.0.one.lock().await;
        let by = By::Page(who.clone());
        let tried = self.aside(move |store| store.try_on(&asked, by, WITHIN)).await?;
        if tried.changes.is_empty() {
            return Ok(tried);
        }
        // What is told of the change shows that it is on trial.
        self.look().await;
        let deed = Deed::Set { by: who, changes: tried.changes.clone(), within: WITHIN };
        if let Err(refused) = self.tell(deed).await {
            self.aside(|store| store.undo(Duration::ZERO)).await?;
            self.look().await;
            return Err(refused);
        }
        self.0.begun.notify_one();
        Ok(tried)
    }

    pub(super) async fn keep(self, who: String) -> Result<(), Refused> {
        let _only = self.0.one.lock().await;
        self.aside(Store::keep).await?;
        self.look().await;
        self.tell(Deed::Keep { by: Some(who) }).await
    }

    pub(super) async fn undo(self, why: Undoing, after: Duration) -> Result<(), Refused> {
        let _only = self.0.one.lock().await;
        let was_edited = self.aside(move |store| store.undo(after)).await?;
        let why = if was_edited { Undoing::Edited } else { why };
        self.look().await;
        self.tell(Deed::Undo { why }).await
    }

    /// Looks what is on trial, and shows it to everybody.
    async fn look(&self) -> Option<OnTrial> {
        let state = self.aside(|store| Ok(store.state())).await.ok().flatten();
        self.0.feed.trial(state.as_ref().map(|state| (state.by.clone(), state.left)));
        state
    }

    /// The same; what is no more was ended by somebody on the box, and the file is another one perhaps.
    async fn look_again(&self) -> Option<OnTrial> {
        let _only = self.0.one.lock().await;
        let was_on = self.0.feed.settings().is_on();
        let state = self.look().await;
        if was_on
            && state.is_none()
            && let Err(refused) = self.tell(Deed::Keep { by: None }).await
        {
            tracing::warn!("the configuration is not taken over: {refused}");
        }
        state
    }

    /// Undoes in time what nobody confirms, until the program ends.
    pub(in crate::io::web) async fn watch(self) {
        // At most starts there is nothing, for which no thread is worth its memory.
        if !self.0.store.as_ref().is_some_and(Store::is_on_trial) {
            self.0.begun.notified().await;
        }
        loop {
            let Some(state) = self.look_again().await else {
                self.0.begun.notified().await;
                continue;
            };
            let is_over = state.left.is_none_or(|left| left.is_zero());
            if is_over && matches!(state.by, By::Page(_)) {
                // As long as the disk refuses, it is tried again.
                let undone = self.clone().undo(Undoing::Unconfirmed, WITHIN).await;
                if let Err(refused) = undone {
                    tracing::warn!("the settings on trial cannot be undone: {refused}");
                }
            }
            let left = state.left.filter(|left| !left.is_zero()).unwrap_or(LOOK);
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
