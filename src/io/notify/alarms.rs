//! What is critical is kept until a person says that they have seen it; meanwhile the next are told.

use std::collections::BTreeMap;

use super::office::{Office, entry};
use super::outbox::{Kept, Raised};
use super::services::page;
use crate::config::NotifyConfig;
use crate::engine::notify::alarm::{Alarm, By, Seen};
use crate::engine::notify::{Acknowledge, Acknowledged, AlarmState};
use crate::io::clock;
use crate::time::{Instant, Now};
use crate::units::Severity;

/// How a person says that they have seen something.
pub(super) struct Invitation {
    /// The message with which it began.
    of: String,
    /// Where, if the page is to be had.
    link: Option<String>,
    /// With what an SMS is answered.
    reply: String,
}

impl Invitation {
    /// Has a message of the story say so. An answer by SMS is asked for once.
    pub(super) fn invite(&self, message: &mut Kept) {
        if !message.digest {
            message.ack.clone_from(&self.link);
            message.reply = (message.id == self.of).then(|| self.reply.clone());
        }
    }
}

impl Office {
    /// Notes what is critical, and what is over. Those who were told because nobody had seen it are told of its end.
    pub(super) fn raise(&mut self, message: &mut Kept, now: Now) {
        if message.digest {
            for mut one in self.raised_of(|one| one.alarm.story == message.story) {
                one.alarm.over = true;
                message.to.extend(one.alarm.told.iter().cloned());
                self.keep(one);
            }
        } else if message.severity == Severity::Critical {
            // Without a random number there is no link; page and command line are still there.
            let token = clock::random::<16>().unwrap_or_default();
            let token = token.iter().map(|byte| format!("{byte:02x}")).collect();
            let alarm = Alarm::new(message.story.clone(), now.mono);
            let (message, asks) = (message.clone(), BTreeMap::new());
            self.keep(Raised { alarm, token, message, asks });
        }
    }

    /// Tells whoever is next of what nobody has seen.
    pub(super) fn escalate(&mut self) {
        let now = clock::now();
        for mut one in self.raised_of(|one| one.alarm.is_open()) {
            while let Some((config, _)) =
                one.alarm.next(self.configs()).filter(|(_, at)| *at <= now.mono)
            {
                let (name, to) = (config.name.clone(), config.to.to_string());
                let title = &one.message.title;
                tracing::warn!("nobody has acknowledged: {title}; telling {to}");
                let mut message = one.message.clone();
                message.to = [name.clone()].into();
                let result = self.outbox.also(message);
                self.kept_on_disk(result);
                if let Some(channel) = self.channels.get_mut(&name) {
                    drop(channel.queue.push(entry(&one.message, now), now.mono));
                }
                one.alarm.told.insert(name);
                self.keep(one.clone());
            }
        }
    }

    /// When somebody else is to be told.
    pub(super) fn escalates_at(&self) -> Option<Instant> {
        let next = |one: &Raised| one.alarm.next(self.configs()).map(|(_, at)| at);
        self.outbox.raised().iter().filter_map(next).min()
    }

    /// For each story that nobody has seen, how a person says that they have.
    pub(super) fn invitations(&self) -> BTreeMap<String, Invitation> {
        let (now, page) = (clock::now().mono, page(&self.state));
        let open = |one: &&Raised| {
            one.alarm.is_open() && !one.alarm.is_old(now) && !is_nothing(&one.token)
        };
        let invitation = |one: &Raised| {
            let link = page.map(|page| format!("{page}ack/{}", one.token));
            let (of, reply) = (one.message.id.clone(), number(&one.token));
            (one.alarm.story.clone(), Invitation { of, link, reply })
        };
        self.outbox.raised().iter().filter(open).map(invitation).collect()
    }

    /// A channel has delivered a message. If that is critical, it can be asked whether somebody has seen it.
    pub(super) fn can_be_asked(&mut self, channel: &str, id: &str, receipt: Option<String>) {
        let by_sms = self.channels.get(channel).is_some_and(|c| c.config.to.word() == "sms");
        let open = |one: &Raised| one.message.id == id && one.alarm.is_open();
        let Some(mut one) = self.raised_of(open).pop() else { return };
        let handle = receipt.or_else(|| by_sms.then(|| number(&one.token)));
        if let Some(handle) = handle {
            one.asks.insert(channel.to_owned(), handle);
            self.keep(one);
        }
    }

    /// A person has seen something.
    pub(super) fn acknowledge(&mut self, what: &Acknowledge) -> Acknowledged {
        match what {
            Acknowledge::All(by) => self.all_seen(*by),
            Acknowledge::One(token) | Acknowledge::Look(token) => {
                let mine = |one: &Raised| is_same(&one.token, token) && !is_nothing(token);
                let Some(one) = self.raised_of(mine).pop() else { return Acknowledged::Unknown };
                let title = one.message.title.clone();
                match one.alarm.seen {
                    Some(seen) => Acknowledged::Before { title, seen },
                    None if one.alarm.is_old(clock::now().mono) => Acknowledged::Old { title },
                    None if matches!(what, Acknowledge::Look(_)) => Acknowledged::Open { title },
                    None => {
                        let over = one.alarm.over;
                        self.seen(one, By::Link);
                        Acknowledged::Now { title, over }
                    }
                }
            }
        }
    }

    fn all_seen(&mut self, by: By) -> Acknowledged {
        let mut last = None;
        for one in self.raised_of(|one| one.alarm.is_open()) {
            last = Some(one.message.title.clone());
            self.seen(one, by);
        }
        if let Some(title) = last {
            return Acknowledged::Now { title, over: false };
        }
        let before = self.current().and_then(|one| Some((one, one.alarm.seen?)));
        before.map_or(Acknowledged::Nothing, |(one, seen)| {
            let title = one.message.title.clone();
            Acknowledged::Before { title, seen }
        })
    }

    pub(super) fn seen(&mut self, mut one: Raised, by: By) {
        tracing::info!("acknowledged {}: {}", by.word(), one.message.title);
        one.alarm.seen = Some(Seen { by, at: clock::now().utc });
        self.keep(one);
    }

    pub(super) fn keep(&mut self, one: Raised) {
        let result = self.outbox.raise(one);
        self.kept_on_disk(result);
    }

    pub(super) fn raised_of(&self, wanted: impl Fn(&Raised) -> bool) -> Vec<Raised> {
        self.outbox.raised().iter().filter(|one| wanted(one)).cloned().collect()
    }

    /// The latest that is not over.
    fn current(&self) -> Option<&Raised> {
        self.outbox.raised().iter().rev().find(|one| !one.alarm.over)
    }

    fn configs(&self) -> impl Iterator<Item = &NotifyConfig> {
        self.channels.values().map(|channel| &channel.config)
    }

    /// As people are shown it.
    pub(super) fn alarm(&self) -> Option<AlarmState> {
        let one = self.current()?;
        let next = one.alarm.next(self.configs());
        Some(AlarmState {
            title: one.message.title.clone(),
            at: one.message.at.as_deref().and_then(crate::time::Utc::parse),
            seen: one.alarm.seen,
            next: next.map(|(config, at)| (config.to.to_string(), at)),
        })
    }
}

/// Four digits of a token, as people type them on a phone. Together with the sender's number they are enough.
fn number(token: &str) -> String {
    let start = token.get(..8).and_then(|start| u32::from_str_radix(start, 16).ok());
    (1000 + start.unwrap_or_default() % 9000).to_string()
}

/// Whether no random number was to be had for a token.
fn is_nothing(token: &str) -> bool {
    token.bytes().all(|b| b == b'0')
}

/// Compares without telling by its time how much is right.
fn is_same(one: &str, other: &str) -> bool {
    let differ = one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differ == 0
}
