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

/// The files that the page reads and writes.
#[derive(Clone, Debug)]
pub struct Files {
    /// The file of the page's password.
    pub password: PathBuf,
    /// The configuration; `None`: the agent runs without one.
    pub configuration: Option<PathBuf>,
}

/// What the routes stand on.
#[derive(Clone, Debug)]
pub(super) struct Site {
    asks: mpsc::Sender<Ask>,
    pub(super) feed: Feed,
    pub(super) streams: Arc<Semaphore>,
    pub(super) access: Access,
    pub(super) config: Config,
    #[cfg(feature = "settings")]
    pub(super) desk: super::settings::desk::Desk,
}

/// What the configuration says of the page now.
pub(super) type Config = watch::Receiver<WebConfig>;

impl Site {
    /// With these files.
    pub(super) fn new(asks: mpsc::Sender<Ask>, feed: Feed, files: Files, config: Config) -> Self {
        let access = Access::new(files.password, feed.has_password());
        let streams = Arc::new(Semaphore::new(STREAMS));
        #[cfg(feature = "settings")]
        let desk =
            super::settings::desk::Desk::new(files.configuration, asks.clone(), feed.clone());
        Self {
            asks,
            feed,
            streams,
            access,
            config,
            #[cfg(feature = "settings")]
            desk,
        }
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

#[cfg(feature = "settings")]
impl FromRef<Site> for super::settings::desk::Desk {
    fn from_ref(site: &Site) -> Self {
        site.desk.clone()
    }
}
