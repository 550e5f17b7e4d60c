//! What is critical is done when a person has seen it: until then the next of those who can be told is told, one
//! after the other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::NotifyConfig;
use crate::time::{Instant, Utc};

/// So long a person may say that they have seen it.
pub const LASTS: Duration = Duration::from_secs(24 * 3600);

/// How somebody said that they have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// By the address in the message.
    Link,
    Page,
    CommandLine,
    /// On a phone, and its service has told us.
    Service,
    /// By a word at an MQTT broker.
    Broker,
    /// By an answer to the SMS.
    Sms,
}

impl By {
    /// `by link`, to be read in a sentence.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "by the link in the message",
            Self::Page => "on the page",
            Self::CommandLine => "on the command line",
            Self::Service => "on the phone",
            Self::Broker => "by MQTT",
            Self::Sms => "by SMS",
        }
    }
}

/// That somebody has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub by: By,
    /// When, if the box knew what time it was.
    pub at: Option<Utc>,
}

/// Something critical that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The story that began with it.
    pub story: String,
    /// On the clock of this boot.
    pub made: Instant,
    /// It has ended by itself.
    pub over: bool,
    pub seen: Option<Seen>,
    /// The channels that were told because nobody had seen it.
    pub told: BTreeSet<String>,
}

impl Alarm {
    /// That of a story that begins.
    #[must_use]
    pub const fn new(story: String, made: Instant) -> Self {
        Self { story, made, over: false, seen: None, told: BTreeSet::new() }
    }

    /// Whether somebody has still to see it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.over && self.seen.is_none()
    }

    /// Whether nobody can say any more that they have seen it.
    #[must_use]
    pub fn is_old(&self, now: Instant) -> bool {
        now.since(self.made) >= LASTS
    }

    /// Who is told next, and when that is due: the first of those that have not been.
    #[must_use]
    pub fn next<'a>(
        &self,
        channels: impl Iterator<Item = &'a NotifyConfig>,
    ) -> Option<(&'a NotifyConfig, Instant)> {
        if !self.is_open() {
            return None;
        }
        let waiting = channels.filter(|channel| !self.told.contains(&channel.name));
        let due = waiting.filter_map(|channel| {
            let escalation = channel.escalation.as_ref()?;
            Some((channel, self.made + escalation.after))
        });
        due.min_by_key(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Escalation, Service};
    use crate::units::Severity;

    fn channel(name: &str, after: Option<u64>) -> NotifyConfig {
        NotifyConfig {
            name: name.to_owned(),
            to: Service::Exec { program: "/bin/true".into() },
            min: Severity::Critical,
            quiet: None,
            secret_file: None,
            escalation: after.map(|after| Escalation {
                of: "first".to_owned(),
                after: Duration::from_secs(after),
            }),
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn one_after_the_other_is_told_until_somebody_has_seen_it() {
        let channels = [channel("first", None), channel("b", Some(600)), channel("a", Some(300))];
        let mut alarm = Alarm::new("s".to_owned(), at(100));
        let next = |alarm: &Alarm| {
            alarm.next(channels.iter()).map(|(channel, at)| (channel.name.clone(), at))
        };
        assert_eq!(next(&alarm), Some(("a".to_owned(), at(400))));
        alarm.told.insert("a".to_owned());
        assert_eq!(next(&alarm), Some(("b".to_owned(), at(700))));
        let seen = Some(Seen { by: By::Link, at: None });
        assert_eq!(next(&Alarm { seen, ..alarm.clone() }), None, "seen");
        assert_eq!(next(&Alarm { over: true, ..alarm.clone() }), None, "over by itself");
        alarm.told.insert("b".to_owned());
        assert_eq!(next(&alarm), None, "nobody is left");
        assert!(alarm.is_open() && !alarm.is_old(at(86_499)) && alarm.is_old(at(86_500)));
    }
}
