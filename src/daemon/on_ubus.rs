//! What is told over ubus, where there is one: the same as to browsers.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use crate::io::ubus;
use crate::io::web::{Ask, Feed};

/// Answers until the program ends.
pub(super) fn answer(feed: Feed, asks: mpsc::Sender<Ask>) {
    tokio::spawn(ubus::serve(Path::new(ubus::SOCKET), Known { feed, asks }));
}

struct Known {
    feed: Feed,
    asks: mpsc::Sender<Ask>,
}

impl ubus::Facts for Known {
    async fn status(&self) -> Option<Value> {
        self.feed.status(&self.asks).await
    }

    fn news(&self) -> broadcast::Receiver<Arc<str>> {
        self.feed.listen()
    }
}
