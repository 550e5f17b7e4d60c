//! Tells those who watch how things are: browsers, and Home Assistant.

use super::Agent;
use crate::io::{clock, web};

impl Agent {
    /// Waits until those who watch are to be told something, which [`Self::show`] does.
    pub(super) async fn time_to_show(&self) {
        if self.web.feed().is_watched() {
            clock::sleep_until(self.shown.due()).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until Home Assistant is to be told something, which [`Self::share`] does.
    pub(super) async fn time_to_share(&self) {
        if self.notifier.is_watched() {
            clock::sleep_until(self.shared.due()).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn share(&mut self) {
        let now = clock::now();
        self.shared.shared(now.mono);
        self.notifier.state(web::document(&self.snapshot(now)));
    }

    pub(super) fn show(&mut self) {
        let now = clock::now();
        if self.shown.is_overdue(now.mono) {
            // So that flows go on being counted.
            self.watched();
        }
        let snapshot = self.snapshot(now);
        if self.shown.is_news(&snapshot) {
            self.web.feed().state(&snapshot);
        }
    }
}
