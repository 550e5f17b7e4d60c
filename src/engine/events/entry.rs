//! An event as it is told to programs and kept on disk: in words and numbers of the API, not in types, so that
//! what another version wrote can still be shown.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::args::Arg;
use super::facts::Event;
use crate::time::{Instant, Now, Utc};
use crate::units::{Family, Severity};

/// The longest text from outside, in characters.
const LONGEST: usize = 200;
/// A clock that was set moves times that differ by more than this.
const STEP: Duration = Duration::from_secs(10);

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, for people; `None` until the box knew.
    #[serde(default, with = "rfc3339")]
    pub at: Option<Utc>,
    /// The box learned only later when that was, or that its clock had been wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mended: bool,
    /// Its word in the catalogue.
    pub code: String,
    /// How much a person should care.
    #[serde(deserialize_with = "severity")]
    pub severity: Severity,
    /// The uplink it is about, if it is about one.
    pub uplink: Option<String>,
    /// The sentence, as it was told.
    pub text: String,
    /// Larger than that of everything before it.
    pub id: u64,
    /// Which boot of the box it belongs to.
    #[serde(default)]
    pub boot: String,
    /// Milliseconds since that boot.
    #[serde(default)]
    pub mono_ms: u64,
    /// `v4` or `v6` if it is about one IP version.
    pub family: Option<String>,
    /// What the sentence is made of: an object.
    pub args: Box<RawValue>,
}

impl Entry {
    /// An event of this boot.
    #[must_use]
    pub fn new(event: &Event, boot: &str) -> Self {
        let args = event.fact.args().into_iter();
        let args: Map<String, Value> =
            args.map(|(key, arg)| (key.to_owned(), value(arg))).collect();
        Self {
            at: event.utc,
            mended: false,
            code: event.fact.code().word().to_owned(),
            severity: event.fact.severity(),
            uplink: event.fact.uplink().map(str::to_owned),
            text: event.fact.to_string(),
            id: event.id,
            boot: boot.to_owned(),
            mono_ms: milliseconds(event.at),
            family: event.fact.family().map(|family| version(family).to_owned()),
            args: serde_json::value::to_raw_value(&args).unwrap_or_default(),
        }
    }

    /// Its time by a clock that was set later in the same boot, or set again. Whether that is news.
    pub fn mend(&mut self, now: Now) -> bool {
        let Some(utc) = now.utc else { return false };
        let since = milliseconds(now.mono).saturating_sub(self.mono_ms);
        let right = Utc(utc.0.saturating_sub(since));
        let step = STEP.as_millis() as u64;
        let is_right = self.at.is_some_and(|at| at.0.abs_diff(right.0) <= step);
        if !is_right {
            (self.at, self.mended) = (Some(right), true);
        }
        !is_right
    }
}

/// Which part of the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The last so many of the others.
    pub last: usize,
    /// Since then. What has no time is taken for new.
    pub since: Option<Utc>,
    /// Behind this number.
    pub after: u64,
    /// About this uplink: what names it.
    pub uplink: Option<String>,
    /// At least as serious.
    pub least: Severity,
}

impl Default for Wanted {
    /// Everything.
    fn default() -> Self {
        let (since, uplink, least) = (None, None, Severity::Debug);
        Self { last: usize::MAX, since, after: 0, uplink, least }
    }
}

impl Wanted {
    /// Whether this entry is asked for, but for how many are.
    #[must_use]
    pub fn is(&self, entry: &Entry) -> bool {
        let late = |since| entry.at.is_none_or(|at| at >= since);
        entry.id > self.after
            && entry.severity >= self.least
            && self.since.is_none_or(late)
            && self.uplink.as_deref().is_none_or(|name| entry.names(name))
    }

    /// What is asked for of these, which are in order.
    #[must_use]
    pub fn of<'a>(&self, all: impl DoubleEndedIterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        let mut found: Vec<&Entry> = all.rev().filter(|e| self.is(e)).take(self.last).collect();
        found.reverse();
        found
    }
}

impl Entry {
    /// Whether it is about this uplink: where traffic went, where it came from, or what was wrong with it.
    fn names(&self, name: &str) -> bool {
        let is_it = |value: &Value| match value {
            Value::String(text) => text == name,
            Value::Array(list) => list.iter().any(|one| one.as_str() == Some(name)),
            Value::Object(each) => each.contains_key(name),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        let in_args = || {
            let args = serde_json::from_str::<Map<String, Value>>(self.args.get());
            args.is_ok_and(|args| args.values().any(is_it))
        };
        self.uplink.as_deref() == Some(name) || in_args()
    }
}

fn milliseconds(at: Instant) -> u64 {
    at.as_micros() / 1000
}

/// The word in JSON.
#[must_use]
pub const fn version(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

fn value(arg: Arg) -> Value {
    match arg {
        Arg::Word(word) => Value::from(word),
        Arg::Text(text) => Value::from(plain(&text)),
        Arg::Count(count) => Value::from(count),
        Arg::Number(number) => Value::from(number),
        Arg::Flag(flag) => Value::from(flag),
        Arg::List(names) => Value::from(names),
        Arg::Words(words) => {
            words.into_iter().map(|(name, word)| (name, Value::from(word))).collect()
        }
        Arg::None => Value::Null,
    }
}

/// Text from outside without what no text is made of: control characters, and marks that turn the
/// direction of what follows. At most 200 characters.
#[must_use]
pub fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let kept = kept.filter(|c| !c.is_control() && !turns(*c)).take(LONGEST);
    kept.collect::<String>().trim().to_owned()
}

/// A word that this version does not know is taken for a serious one.
fn severity<'de, D: Deserializer<'de>>(from: D) -> Result<Severity, D::Error> {
    let word = String::deserialize(from)?;
    Ok(Severity::from_word(&word).unwrap_or(Severity::Warning))
}

mod rfc3339 {
    use super::{Deserialize as _, Deserializer, Serializer, Utc};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(at: &Option<Utc>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.collect_str(at),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<Utc>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<String>::deserialize(from)?.as_deref().and_then(Utc::parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::events::facts::Fact;

    fn entry(id: u64, seconds: u64, utc: Option<u64>) -> Entry {
        let others = vec![("phone".to_owned(), crate::engine::events::causes::Trouble::Testing)];
        let at = Instant::from_micros(seconds * 1_000_000);
        Entry::new(&Event { id, at, utc: utc.map(Utc), fact: Fact::NoSpareLeft { others } }, "b")
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_new_does_no_harm() {
        let kept = entry(3, 7, Some(1_700_000_000_123));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(
            text.starts_with("{\"at\":\"2023-11-14T22:13:20.123Z\",\"code\":\"no_spare_left\"")
        );
        let again: Entry = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert_eq!((again.at, again.mono_ms), (Some(Utc(1_700_000_000_123)), 7000));
        let newer = text.replace("\"warning\"", "\"fatal\"").replace("\"at\"", "\"new\":1,\"at\"");
        let newer: Entry = serde_json::from_str(&newer).unwrap();
        assert_eq!(newer.severity, Severity::Warning);
        let unset: Entry =
            serde_json::from_str(&text.replace("2023-11-14T22:13:20.123Z", "?")).unwrap();
        assert_eq!(unset.at, None);
    }

    #[test]
    fn times_are_mended_when_the_clock_is_known() {
        let at = |s: u64, utc: Option<u64>| Now {
            mono: Instant::from_micros(s * 1_000_000),
            utc: utc.map(|s| Utc(s * 1000)),
        };
        let mut unset = entry(1, 7, None);
        assert!(!unset.mend(at(60, None)) && unset.at.is_none());
        assert!(unset.mend(at(60, Some(1_700_000_060))));
        assert_eq!((unset.at, unset.mended), (Some(Utc(1_700_000_007_000)), true));
        assert!(!unset.mend(at(70, Some(1_700_000_075))), "a clock that is drawn near");
        assert!(unset.mend(at(80, Some(1_700_009_080))), "a clock that was set again");
        let mut known = entry(1, 7, Some(1_700_000_007_000));
        assert!(!known.mend(at(60, Some(1_700_000_060))) && !known.mended);
    }

    #[test]
    fn a_part_is_asked_for() {
        let all: Vec<Entry> = (1..=9).map(|id| entry(id, id, Some(id * 1000))).collect();
        let ids = |wanted: Wanted| -> Vec<u64> {
            wanted.of(all.iter()).into_iter().map(|entry| entry.id).collect()
        };
        assert_eq!(ids(Wanted::default()).len(), 9);
        assert_eq!(ids(Wanted { last: 2, ..Wanted::default() }), [8, 9]);
        assert_eq!(ids(Wanted { after: 7, ..Wanted::default() }), [8, 9]);
        let since = Some(Utc(8000));
        assert_eq!(ids(Wanted { since, last: 1, ..Wanted::default() }), [9]);
        let about = |name: &str| ids(Wanted { uplink: Some(name.to_owned()), ..Wanted::default() });
        assert_eq!((about("phone").len(), about("cable").len()), (9, 0));
    }
}
