//! Messages on disk: what has been told of what happened, and which channel has it. One journal, so that a message is
//! written once for all channels, and before any of them sends it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::notify::alarm::Alarm;
use crate::engine::notify::teller::Known;
use crate::io::journal::Journal;
use crate::time::Utc;
use crate::units::Severity;

/// Below the state directory.
const NAME: &str = "messages";
/// A file of the journal has at most so many bytes; with 200 messages that wait it is a third full.
const MOST: u64 = 256 * 1024;
/// So many alarms are known by their tokens, be they old.
const RAISED: usize = 16;
/// No cap lets more through in the time that it looks back.
const SENT: usize = 64;
/// Messages that are kept, delivered or not.
const KEPT: usize = 256;

/// A message as it waits: its words are made, and nothing of it changes any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// No other message has it, and whoever gets it twice can tell.
    pub(crate) id: String,
    pub(crate) story: String,
    /// What happened, in one word for programs.
    #[serde(default)]
    pub(crate) event: String,
    pub(crate) severity: Severity,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) next: String,
    /// When it happened, if the box knew (RFC 3339).
    pub(crate) at: Option<String>,
    pub(crate) uplink: Option<String>,
    #[serde(default)]
    pub(crate) digest: bool,
    /// Which channels are to get it.
    pub(crate) to: BTreeSet<String>,
    /// How many others the channel that sends it has withheld.
    #[serde(skip)]
    pub(crate) withheld: usize,
    /// Where a person says that they have seen it, while nobody has. Only in what is sent.
    #[serde(skip)]
    pub(crate) ack: Option<String>,
    /// The number with which an SMS is answered that says so. Only in what is sent.
    #[serde(skip)]
    pub(crate) reply: Option<String>,
}

/// Something critical, with what a person shows who has seen it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Raised {
    pub(crate) alarm: Alarm,
    /// No log, answer or recording has it, only the message.
    pub(crate) token: String,
    /// What was told. It outlives its delivery, for those who are told next.
    pub(crate) message: Kept,
    /// By which each channel that can be asked knows it: a receipt, or the number that an SMS is answered with.
    #[serde(default)]
    pub(crate) asks: BTreeMap<String, String>,
}

impl Kept {
    /// Text and what next, for who shows one body.
    pub(crate) fn body(&self) -> String {
        let next = self.next_too();
        if next.is_empty() { self.text.clone() } else { format!("{}\n{next}", self.text) }
    }

    /// That, and where a person says that they have seen it, for who shows no button.
    pub(crate) fn letter(&self) -> String {
        let body = self.body();
        self.ack.as_ref().map_or(body.clone(), |ack| format!("{body}\nSeen it? {ack}"))
    }

    /// What next, and how many others are not sent at all.
    pub(crate) fn next_too(&self) -> String {
        let told = [Some(self.next.clone()), self.withheld_words()].into_iter().flatten();
        told.filter(|words| !words.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// How many others are not sent at all, if some are not.
    pub(crate) fn withheld_words(&self) -> Option<String> {
        match self.withheld {
            0 => None,
            1 => Some("1 message was withheld, as too many came.".to_owned()),
            many => Some(format!("{many} messages were withheld, as too many came.")),
        }
    }
}

/// How it ended for a message and a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    Delivered,
    /// It was too old, or too many waited.
    GivenUp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Told {
        boot: String,
        known: Box<Known>,
        messages: Vec<Kept>,
    },
    /// One that still waits, when the journal is written again.
    Waits(Box<Kept>),
    /// How it stands with what was critical; the latest of a story counts.
    Raised(Box<Raised>),
    Done {
        channel: String,
        id: String,
        ending: Ending,
        /// When it was delivered, if the box knew.
        #[serde(default)]
        at: Option<Utc>,
    },
    /// When a channel has sent something, or may have, as far back as caps look.
    Sent {
        channel: String,
        at: Vec<Utc>,
    },
}

/// The journal of messages, and what it says.
#[derive(Debug)]
pub(crate) struct Outbox {
    journal: Journal,
    boot: String,
    known: Box<Known>,
    /// Oldest first. `to` shrinks as channels are done.
    messages: Vec<Kept>,
    /// What was critical, the latest last.
    raised: Vec<Raised>,
    /// When each channel has sent something, oldest first.
    sent: BTreeMap<String, Vec<Utc>>,
    /// The disk did not take something: what is there is not what is here.
    behind: bool,
}

impl Outbox {
    /// Takes up what is there.
    pub(crate) fn open(dir: &Path, boot: String) -> Self {
        Self::of(dir, boot, MOST)
    }

    /// With files of at most so many bytes.
    fn of(dir: &Path, boot: String, most: u64) -> Self {
        let (mut messages, mut known) = (Vec::new(), Box::<Known>::default());
        let mut raised = Vec::new();
        let mut sent: BTreeMap<String, Vec<Utc>> = BTreeMap::new();
        let journal = Journal::open(dir, NAME, most, &mut |bytes| {
            match serde_json::from_slice(bytes) {
                Ok(Record::Told { boot: then, known: told, messages: new }) => {
                    // Its times are those of that boot.
                    *known = if then == boot { *told } else { told.after_reboot() };
                    messages.extend(new);
                }
                Ok(Record::Waits(message)) => waits(&mut messages, *message),
                Ok(Record::Raised(one)) => raise(&mut raised, *one),
                Ok(Record::Done { channel, id, at, .. }) => {
                    done(&mut messages, &channel, &id);
                    note(&mut sent, &channel, at);
                }
                Ok(Record::Sent { channel, at }) => note(&mut sent, &channel, at),
                Err(error) => tracing::debug!(%error, "a record of messages that is not known"),
            }
        });
        // What was so before the box started again is told anew if it still is.
        for one in &mut raised {
            one.alarm.over |= !one.alarm.story.starts_with(&boot);
        }
        let mut this = Self { journal, boot, known, messages, raised, sent, behind: false };
        this.forget();
        this
    }

    /// What people have been told.
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// What waits for a channel, oldest first.
    pub(crate) fn waiting<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a Kept> {
        self.messages.iter().filter(move |message| message.to.contains(channel))
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Kept> {
        self.messages.iter().find(|message| message.id == id)
    }

    /// Keeps new messages, and what has been told with them.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; they are kept in RAM then.
    pub(crate) fn told(&mut self, known: Known, new: Vec<Kept>) -> io::Result<()> {
        let record = Record::Told {
            boot: self.boot.clone(),
            known: Box::new(known.clone()),
            messages: new.clone(),
        };
        *self.known = known;
        self.messages.extend(new);
        self.forget();
        self.append(&record)
    }

    /// A channel is done with a message, at that time if the box knows it.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; it may be delivered again after a restart then.
    pub(crate) fn done(
        &mut self,
        channel: &str,
        id: &str,
        (ending, now): (Ending, Option<Utc>),
    ) -> io::Result<()> {
        let at = now.filter(|_| ending == Ending::Delivered);
        done(&mut self.messages, channel, id);
        note(&mut self.sent, channel, at);
        self.append(&Record::Done { channel: channel.to_owned(), id: id.to_owned(), ending, at })
    }

    /// A channel may have sent something.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; it does not count after a restart then.
    pub(crate) fn spent(&mut self, channel: &str, at: Utc) -> io::Result<()> {
        note(&mut self.sent, channel, [at]);
        self.append(&Record::Sent { channel: channel.to_owned(), at: vec![at] })
    }

    /// When a channel has sent something, oldest first.
    pub(crate) fn sent(&self, channel: &str) -> impl Iterator<Item = Utc> {
        self.sent.get(channel).into_iter().flatten().copied()
    }

    /// What was critical, the latest last.
    pub(crate) fn raised(&self) -> &[Raised] {
        &self.raised
    }

    /// Keeps how it stands with something critical.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; it is kept in RAM then.
    pub(crate) fn raise(&mut self, one: Raised) -> io::Result<()> {
        raise(&mut self.raised, one.clone());
        self.append(&Record::Raised(Box::new(one)))
    }

    /// One more channel is to get a message that is kept, or has been.
    ///
    /// # Errors
    ///
    /// When the disk does not take it; it is kept in RAM then.
    pub(crate) fn also(&mut self, message: Kept) -> io::Result<()> {
        waits(&mut self.messages, message.clone());
        self.append(&Record::Waits(Box::new(message)))
    }

    /// Whether the disk did not take something.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let bytes = serde_json::to_vec(record)?;
        if self.behind || self.journal.room() < 2 * bytes.len() as u64 + 64 {
            return self.write_all();
        }
        let result = self.journal.append(&[bytes]);
        self.behind = result.is_err();
        result
    }

    /// Writes everything again, but for what is delivered.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub(crate) fn write_all(&mut self) -> io::Result<()> {
        self.behind = true;
        self.forget();
        let (boot, known) = (self.boot.clone(), self.known.clone());
        let told = Record::Told { boot, known, messages: Vec::new() };
        let waiting = self.messages.iter().cloned().map(|one| Record::Waits(Box::new(one)));
        let raised = self.raised.iter().cloned().map(|one| Record::Raised(Box::new(one)));
        let sent = self
            .sent
            .iter()
            .map(|(channel, at)| Record::Sent { channel: channel.clone(), at: at.clone() });
        let records = [told].into_iter().chain(waiting).chain(raised).chain(sent);
        let records: Vec<_> = records.map(|r| serde_json::to_vec(&r)).collect::<Result<_, _>>()?;
        self.journal.replace(&records)?;
        self.behind = false;
        Ok(())
    }

    /// Lets go of what all channels have.
    fn forget(&mut self) {
        self.messages.retain(|message| !message.to.is_empty());
        let surplus = self.messages.len().saturating_sub(KEPT);
        self.messages.drain(..surplus);
    }
}

/// One that waits for these channels, besides those for which it did already.
fn waits(messages: &mut Vec<Kept>, message: Kept) {
    match messages.iter_mut().find(|kept| kept.id == message.id) {
        Some(kept) => kept.to.extend(message.to),
        None => messages.push(message),
    }
}

/// Notes when a channel has sent something.
fn note(sent: &mut BTreeMap<String, Vec<Utc>>, channel: &str, at: impl IntoIterator<Item = Utc>) {
    let all = sent.entry(channel.to_owned()).or_default();
    all.extend(at);
    let surplus = all.len().saturating_sub(SENT);
    all.drain(..surplus);
}

fn raise(raised: &mut Vec<Raised>, one: Raised) {
    raised.retain(|other| other.alarm.story != one.alarm.story);
    raised.push(one);
    let surplus = raised.len().saturating_sub(RAISED);
    raised.drain(..surplus);
}

fn done(messages: &mut [Kept], channel: &str, id: &str) {
    if let Some(message) = messages.iter_mut().find(|message| message.id == id) {
        message.to.remove(channel);
    }
}

/// The channels' names, each with whether it wants a message of that severity.
pub(crate) fn wanted(
    channels: &BTreeMap<String, Severity>,
    severity: Severity,
) -> BTreeSet<String> {
    let wants = channels.iter().filter(|(_, min)| severity >= **min);
    wants.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests;
