//! Whoever may know whether somebody has seen what is critical is asked, less and less often, until somebody has.

use tokio::time::timeout;

use super::answers::{Answer, Heard, PART, PATIENCE, SOONEST, ask};
use super::delivery::complete;
use super::office::Office;
use super::outbox::Raised;
use super::post;
use super::services;
use crate::config::Service;
use crate::io::client::{Reach, Way};
use crate::io::clock;
use crate::time::Instant;

impl Office {
    /// Asks whoever may know whether somebody has seen it, and takes back what need not be seen any more.
    pub(super) fn ask_for_answers(&mut self) {
        let now = clock::now().mono;
        // What a channel that is no more was to be asked, nobody is asked.
        let (channels, raised) = (&self.channels, self.outbox.raised());
        self.answers.next.retain(|(story, name), _| {
            let asks = |one: &Raised| one.alarm.story == *story && one.asks.contains_key(name);
            channels.contains_key(name) && raised.iter().any(asks)
        });
        for mut one in self.raised_of(|one| !one.asks.is_empty()) {
            if one.alarm.is_open() && !one.alarm.is_old(now) {
                self.ask_about(&one, now);
                continue;
            }
            for (name, handle) in std::mem::take(&mut one.asks) {
                self.answers.next.remove(&(one.alarm.story.clone(), name.clone()));
                self.take_back(&name, handle);
            }
            self.keep(one);
        }
    }

    fn ask_about(&mut self, one: &Raised, now: Instant) {
        for (name, handle) in &one.asks {
            let Some(channel) = self.channels.get(name) else { continue };
            let key = (one.alarm.story.clone(), name.clone());
            let due = *self.answers.next.entry(key.clone()).or_insert(Some(now + SOONEST));
            if due.is_none_or(|due| due > now) {
                continue;
            }
            self.answers.next.insert(key, None);
            let (config, dir) = (channel.config.clone(), self.state_dir.clone());
            let (addresses, state) = (self.addresses.clone(), self.state.clone());
            let (story, channel, handle) = (one.alarm.story.clone(), name.clone(), handle.clone());
            self.answers.asking.spawn(async move {
                let asked = ask(&config, &dir, &handle, &state, &addresses);
                let late = || Err(post::passing("no answer".to_owned()));
                let result = timeout(PATIENCE, asked).await.unwrap_or_else(|_| late());
                Answer { story, channel, result }
            });
        }
    }

    /// When somebody is to be asked.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        self.answers.next.values().copied().flatten().min()
    }

    /// Somebody has answered.
    pub(super) fn answered(&mut self, answer: Answer) {
        let Answer { story, channel, result } = answer;
        let now = clock::now().mono;
        let Some(mut one) = self.raised_of(|one| one.alarm.story == story).pop() else { return };
        let again = SOONEST.max(now.since(one.alarm.made) / PART);
        let key = (story, channel.clone());
        match result {
            Ok(Heard::Seen(by)) if one.alarm.is_open() => {
                self.answers.next.remove(&key);
                self.seen(one, by);
            }
            Ok(Heard::Seen(_) | Heard::Over) => {
                self.answers.next.remove(&key);
                one.asks.remove(&channel);
                self.keep(one);
            }
            Ok(Heard::Nothing) => drop(self.answers.next.insert(key, Some(now + again))),
            Err(failure) => {
                tracing::debug!("{channel}: whether somebody has seen it: {}", failure.why);
                self.answers.next.insert(key, Some(now + again));
            }
        }
    }

    /// Pushover rings until it is told to stop.
    fn take_back(&self, name: &str, handle: String) {
        let Some(channel) = self.channels.get(name) else { return };
        let (config, dir) = (channel.config.clone(), self.state_dir.clone());
        let addresses = self.addresses.clone();
        tokio::spawn(async move {
            let Ok(Service::Pushover { server, token, .. }) = complete(&config, &dir) else {
                return;
            };
            let post = services::take_back(&server, &token, &handle);
            let way = Way::Any(Reach::Everywhere);
            if let Ok(Err(failure)) = timeout(PATIENCE, post::send(post, &addresses, way)).await {
                tracing::debug!("pushover goes on ringing: {}", failure.why);
            }
        });
    }
}
