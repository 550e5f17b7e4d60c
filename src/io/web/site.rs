//! What the routes stand on.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc, watch};

use super::access::Access;
use super::ask::Ask;
use super::feed::Feed;
use crate::config::WebConfig;

/// The longest body of a request, in bytes.
pub(super) const MAX_BODY: usize = 16 * 1024;
/// Streams at a time: phones and screens of a large household.
pub(super) const STREAMS: usize = 32;

#[derive(Serialize)]
pub(super) struct Done {
    pub(super) message: String,
}

/// What the routes stand on.
#[derive(Clone, Debug)]
pub(super) struct Site {
    asks: mpsc::Sender<Ask>,
    pub(super) feed: Feed,
    pub(super) streams: Arc<Semaphore>,
    pub(super) access: Access,
    pub(super) config: Config,
}

/// What the configuration says of the page now.
pub(super) type Config = watch::Receiver<WebConfig>;

impl Site {
    /// With the password of this file.
    pub(super) fn new(
        asks: mpsc::Sender<Ask>,
        feed: Feed,
        password: PathBuf,
        config: Config,
    ) -> Self {
        let access = Access::new(password, feed.has_password());
        Self { asks, feed, streams: Arc::new(Semaphore::new(STREAMS)), access, config }
    }
}

impl FromRef<Site> for mpsc::Sender<Ask> {
    fn from_ref(site: &Site) -> Self {
        site.asks.clone()
    }
}

impl FromRef<Site> for Feed {
    fn from_ref(site: &Site) -> Self {
        site.feed.clone()
    }
}

impl FromRef<Site> for Access {
    fn from_ref(site: &Site) -> Self {
        site.access.clone()
    }
}
