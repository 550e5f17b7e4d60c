//! The walk over the document: typed look-ups that note every mistake with its place and go on.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest;
use super::syntax::begins_header;

/// A mistake at a byte offset.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) at: usize,
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl Note {
    pub(super) fn new<'h>(at: usize, text: impl Into<String>, hint: impl Into<Hint<'h>>) -> Self {
        Self { at, text: text.into(), hint: hint.into().0.map(Into::into) }
    }
}

/// What to do about a mistake, if there is anything to say.
pub(super) struct Hint<'h>(Option<std::borrow::Cow<'h, str>>);

impl<'h> From<&'h str> for Hint<'h> {
    fn from(text: &'h str) -> Self {
        Self(Some(text.into()))
    }
}

impl From<String> for Hint<'_> {
    fn from(text: String) -> Self {
        Self(Some(text.into()))
    }
}

impl From<Option<String>> for Hint<'_> {
    fn from(text: Option<String>) -> Self {
        Self(text.map(Into::into))
    }
}

/// The mistakes found so far in a text.
pub(super) struct Notes<'t> {
    source: &'t str,
    found: RefCell<Vec<Note>>,
    broken: Vec<Range<usize>>,
}

impl<'t> Notes<'t> {
    pub(super) fn new(source: &'t str) -> Self {
        Self { source, found: RefCell::default(), broken: Vec::new() }
    }

    /// The same, knowing which statements were not TOML, so that what may stand there is not missed.
    pub(super) fn with_broken(mut self, broken: Vec<Range<usize>>) -> Self {
        self.broken = broken;
        self
    }

    pub(super) fn push<'h>(&self, at: usize, text: impl Into<String>, hint: impl Into<Hint<'h>>) {
        self.note(Note::new(at, text, hint));
    }

    pub(super) fn note(&self, note: Note) {
        self.found.borrow_mut().push(note);
    }

    pub(super) fn text(&self) -> &'t str {
        self.source
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Whether something in it was not TOML.
    pub(super) fn is_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// The mistakes in the order of the text.
    pub(super) fn into_sorted(self) -> Vec<Note> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|note| note.at);
        found
    }

    /// Whether something was not TOML between `start` and the next section.
    fn is_broken_after(&self, start: usize) -> bool {
        let rest = self.source.get(start..).unwrap_or_default();
        let mut end = start;
        for (index, line) in rest.split_inclusive('\n').enumerate() {
            if index > 0 && begins_header(line) {
                break;
            }
            end += line.len();
        }
        self.broken.iter().any(|b| b.start < end && b.end > start)
    }
}

/// Why a value is not what its key asks for; the key's name is put in front.
pub(super) struct Wrong {
    pub(super) text: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn new<'h>(text: impl Into<String>, hint: impl Into<Hint<'h>>) -> Self {
        Self { text: text.into(), hint: hint.into().0.map(Into::into) }
    }

    /// A value of the wrong type.
    pub(super) fn kind(value: &DeValue<'_>, wanted: &str, example: &str) -> Self {
        let found = type_in_words(value);
        Self::new(format!("this must be {wanted}, not {found}"), format!("for example {example}"))
    }
}

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

    /// Where it begins.
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
            let wrong = Wrong::kind(value.get_ref(), "a list", &format!("{key} = [ … ]"));
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
                let what = source_of(self.notes.text(), &element.span());
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
                        let wrong = Wrong::kind(value.get_ref(), "a table", "{ … }");
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

/// Where keys belong that people put into the wrong section, most often by writing them below it.
const HOMES: [(&str, &[&str]); 6] = [
    ("[[uplink]]", &["interface", "match", "kind", "metered", "gateway", "gateway6", "resolvers"]),
    ("[lan]", &["interfaces", "guard", "announce"]),
    ("[probe]", &["targets", "targets6", "dns", "http", "window"]),
    ("[failback]", &["hold", "hold_max"]),
    ("[web]", &["listen"]),
    ("[leds]", &["status", "uplinks", "board"]),
];

/// A piece of the file, short and without control characters, to be quoted in a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    let line = text.lines().next().unwrap_or_default().trim();
    let mut shown: String = line.chars().take(LONGEST).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.into() }
    };
    shown.chars().map(escape).collect()
}

fn source_of(text: &str, span: &Range<usize>) -> String {
    excerpt(text.get(span.clone()).unwrap_or_default())
}

fn is_array_of_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|a| !a.is_empty() && a.iter().all(|v| v.get_ref().is_table()))
}

fn type_in_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
