//! The walk over the document: typed look-ups that note every mistake with its place and go on.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::notes::{Hint, Notes, Wrong, excerpt, excerpt_of, type_in_words};

/// Turns one value into a type.
pub(super) type Reader<T> = fn(&DeValue<'_>) -> Result<T, Wrong>;

/// A table of the document, of which each known key is asked for once; [`Section::finish`] notes
/// the others.
pub(super) struct Section<'d> {
    /// As people write it, `[probe]`.
    title: String,
    at: usize,
    table: &'d DeTable<'d>,
    asked: Vec<&'d str>,
    notes: &'d Notes<'d>,
}

impl<'d> Section<'d> {
    pub(super) fn root(table: &'d DeTable<'d>, notes: &'d Notes<'d>) -> Self {
        let title = "this file".to_owned();
        Self { title, at: 0, table, asked: Vec::new(), notes }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn notes(&self) -> &'d Notes<'d> {
        self.notes
    }

    /// The value of a key as it stands.
    pub(super) fn value(&mut self, key: &'d str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of a key; `None` if it is not given or wrong (noted).
    pub(super) fn read<T>(&mut self, key: &'d str, reader: Reader<T>) -> Option<Spanned<T>> {
        let value = self.value(key)?;
        self.element(key, value, reader)
    }

    /// The value of a key or what stands for it.
    pub(super) fn read_or<T>(&mut self, key: &'d str, reader: Reader<T>, default: T) -> T {
        self.read(key, reader).map_or(default, Spanned::into_inner)
    }

    /// The good elements of a list, which must not repeat; `None` if there is no such key.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        reader: Reader<T>,
    ) -> Option<Vec<Spanned<T>>> {
        /// More than any list needs; bounds the search for repeats.
        const MAX_ELEMENTS: usize = 64;
        let value = self.value(key)?;
        let at = value.span().start;
        let DeValue::Array(array) = value.get_ref() else {
            let wrong = Wrong::kind(value.get_ref(), "a list", &example(key));
            self.wrong(key, at, wrong);
            return None;
        };
        if array.len() > MAX_ELEMENTS {
            let text = format!("{key}: these are more than {MAX_ELEMENTS}");
            self.notes.push(at, text, "leave some out");
            return None;
        }
        let mut elements: Vec<Spanned<T>> = Vec::new();
        for value in array.iter() {
            let Some(element) = self.element(key, value, reader) else {
                continue;
            };
            if elements.iter().any(|e| e.get_ref() == element.get_ref()) {
                let what = if SECRET.contains(&key) {
                    "one of them".to_owned()
                } else {
                    excerpt_of(self.notes.text(), &element.span())
                };
                let text = format!("{key}: {what} is given twice");
                self.notes.push(element.span().start, text, "keep one of them");
            } else {
                elements.push(element);
            }
        }
        Some(elements)
    }

    /// A table by its key.
    pub(super) fn section(&mut self, key: &'d str, title: &str) -> Option<Self> {
        let value = self.value(key)?;
        if let Some(table) = value.get_ref().as_table() {
            return Some(self.inner(title, value.span().start, table));
        }
        let hint = if is_array_of_tables(value.get_ref()) {
            format!("write it once, as {title} in single brackets")
        } else {
            format!("for example {title}")
        };
        let found = type_in_words(value.get_ref());
        let text = format!("{key}: this must be a section, not {found}");
        self.notes.push(value.span().start, text, hint);
        None
    }

    /// Every table of a list of tables, by its key; empty if there is no such key.
    pub(super) fn sections(&mut self, key: &'static str, title: &str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .filter_map(|value| {
                    let at = value.span().start;
                    let Some(table) = value.get_ref().as_table() else {
                        let wrong = Wrong::kind(value.get_ref(), "a table", &example(key));
                        self.wrong(key, at, wrong);
                        return None;
                    };
                    Some(self.inner(title, at, table))
                })
                .collect(),
            DeValue::Table(table) => {
                let text = format!("{key}: there can be several, so this must be {title}");
                self.notes.push(at, text, format!("write {title}, in two brackets"));
                vec![self.inner(title, at, table)]
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                let wrong = Wrong::kind(value.get_ref(), "a list of tables", title);
                self.wrong(key, at, wrong);
                Vec::new()
            }
        }
    }

    /// Every key of a table whose keys are the person's own words, and where it stands.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&'d str, usize)> + use<'d> {
        self.table.keys().map(|key| (key.get_ref().as_ref(), key.span().start))
    }

    /// Whether it has no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether a key is given, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a key is given, be it misspelt.
    pub(super) fn has_like(&self, key: &str) -> bool {
        self.has(key) || self.table.keys().any(|k| nearest(k.get_ref(), [key]).is_some())
    }

    /// Notes that something is missing, unless a broken statement may have been it.
    pub(super) fn missing<'h>(&self, text: impl Into<String>, hint: impl Into<Hint<'h>>) {
        if !self.notes.is_broken_after(self.at) {
            self.notes.push(self.at, text, hint);
        }
    }

    /// Notes the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let home = HOMES.iter().find(|(_, keys)| keys.contains(&name)).map(|(home, _)| home);
            let hint = if let Some(near) = nearest(name, self.asked.iter().copied()) {
                format!("did you mean {near}?")
            } else if let Some(home) = home {
                format!("this key belongs in {home}")
            } else {
                let mut known = self.asked.clone();
                known.sort_unstable();
                known.dedup();
                format!("known here: {}", known.join(", "))
            };
            let text = format!("unknown key {} in {}", excerpt(name), self.title);
            self.notes.push(key.span().start, text, hint);
        }
    }

    fn inner(&self, title: &str, at: usize, table: &'d DeTable<'d>) -> Self {
        Self { title: title.to_owned(), at, table, asked: Vec::new(), notes: self.notes }
    }

    fn element<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        reader: Reader<T>,
    ) -> Option<Spanned<T>> {
        match reader(value.get_ref()) {
            Ok(good) => Some(Spanned::new(value.span(), good)),
            Err(wrong) => {
                self.wrong(key, value.span().start, wrong);
                None
            }
        }
    }

    /// Notes a wrong value of a key.
    pub(super) fn wrong(&self, key: &str, at: usize, wrong: Wrong) {
        self.notes.push(at, format!("{key}: {}", wrong.text), wrong.hint);
    }
}

/// Lists whose elements no message repeats: there may be a password in them.
const SECRET: [&str; 1] = ["escalate"];

/// What a list or a table looks like.
const EXAMPLES: [(&str, &str); 14] = [
    ("interfaces", "[\"br-lan\"]"),
    ("targets", "[\"1.1.1.1\", \"8.8.8.8\", \"9.9.9.9\"]"),
    ("targets6", "[\"2606:4700:4700::1111\", \"2620:fe::fe\"]"),
    ("resolvers", "[\"192.168.8.1\"]"),
    ("prefixes", "[\"198.51.100.8/29\"]"),
    ("prefixes6", "[\"2001:db8:1::/56\"]"),
    ("keep_routes", "[\"203.0.113.9\"]"),
    ("escalate", "[\"gotify://gotify.lan/TOKEN\"]"),
    ("listen", "[\"lan:8300\"]"),
    ("names", "[\"gw.office.example\"]"),
    ("trusted_proxy", "[\"192.168.1.5\"]"),
    ("http", "[{ url = \"http://HOST/PATH\", status = 204 }]"),
    ("echo", "[\"stun:stun.example.net:3478\"]"),
    ("match", "{ usb_path = \"1-1.3\" }"),
];

/// A line with a key that people can take over.
fn example(key: &str) -> String {
    let known = EXAMPLES.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
    format!("{key} = {}", known.unwrap_or("[\"text\", \"text\"]"))
}

/// Where keys belong that people put into the wrong section, most often by writing them below it.
const HOMES: [(&str, &[&str]); 11] = [
    (
        "[[uplink]]",
        &[
            "interface",
            "network",
            "match",
            "kind",
            "metered",
            "gateway",
            "gateway6",
            "resolvers",
            "prefixes",
            "provider",
        ],
    ),
    ("[lan]", &["interfaces", "guard", "announce"]),
    ("[probe]", &["targets", "targets6", "dns", "http", "window"]),
    ("[failback]", &["hold", "hold_max"]),
    ("[web]", &["listen", "names", "trusted_proxy"]),
    ("[[notify]]", &["to", "min", "quiet", "secret_file", "escalate", "after", "body", "method"]),
    ("[time]", &["zone"]),
    ("[heartbeat]", &["url", "every", "each_uplink"]),
    (
        "[[ddns]]",
        &["name", "protocol", "server", "zone", "key_name", "user", "uplink", "ttl", "behind_nat"],
    ),
    ("[leds]", &["status", "uplinks", "board"]),
    ("[state]", &["history"]),
];

/// The elements without their places.
pub(super) fn plain<T>(list: Option<Vec<Spanned<T>>>) -> Vec<T> {
    list.into_iter().flatten().map(Spanned::into_inner).collect()
}

fn is_array_of_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(|v| v.get_ref().is_table()))
}
