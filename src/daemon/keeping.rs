//! What could not be kept on disk. A full or read-only disk is a nuisance, not a reason to stop, and said
//! once: not at every try, until one succeeds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What cannot be kept at the moment. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeping {
    failing: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Keeping {
    /// Takes note of how keeping `what` went, and says so if that is news.
    pub(super) fn tried<E>(&self, what: &'static str, result: Result<(), E>)
    where
        E: Into<anyhow::Error>,
    {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match result.map_err(Into::into) {
            Ok(()) if failing.remove(what) => tracing::info!("{what}: kept on disk again"),
            Ok(()) => {}
            Err(error) if failing.insert(what) => {
                tracing::warn!("{what}: kept in RAM only, until that can be written: {error:#}");
            }
            Err(error) => tracing::debug!("{what}: still in RAM only: {error:#}"),
        }
    }
}
