//! What is wrong with a file: where, in which words, and what to do about it.

use std::cell::RefCell;
use std::ops::Range;

use toml::de::DeValue;

use super::error::{Error, Mistake};

/// The most mistakes that are listed; a file with more is not a configuration.
pub(super) const MAX_MISTAKES: usize = 100;

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

    /// Sorts what was noted and finds its lines and columns.
    pub(super) fn into_error(self, file: &str) -> Error {
        let text = self.source;
        let mut found = self.into_sorted();
        let more = found.len().saturating_sub(MAX_MISTAKES);
        found.truncate(MAX_MISTAKES);
        let (mut line, mut line_start, mut seen) = (1, 0, 0);
        let mistakes = found.into_iter().map(|note| {
            let near = (0..=note.at.min(text.len())).rev();
            let at = near.into_iter().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            for (offset, _) in text[seen..at].match_indices('\n') {
                line += 1;
                line_start = seen + offset + 1;
            }
            seen = at;
            let before = text[line_start..at].trim_start_matches('\u{feff}');
            Mistake { line, column: before.chars().count() + 1, text: note.text, hint: note.hint }
        });
        Error::Mistakes { file: file.to_owned(), mistakes: mistakes.collect(), more }
    }

    /// Whether something was not TOML between `start` and the next section.
    pub(super) fn is_broken_after(&self, start: usize) -> bool {
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

/// What somebody wrote, short and without control characters, to be quoted in a message.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 40;
    let text = text.trim();
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let escape = |c: char| match c {
        '\n' => "⏎".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.into(),
    };
    shown.chars().map(escape).collect()
}

/// What stands in a place of a file, as far as its first line goes.
pub(super) fn excerpt_of(text: &str, span: &Range<usize>) -> String {
    excerpt(text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default())
}

/// Whether a text begins with what looks like `[section]`.
pub(super) fn begins_header(text: &str) -> bool {
    let line = text.trim_start_matches([' ', '\t']);
    let name = line.trim_start_matches('[');
    name.len() < line.len() && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// What a value is, for a message.
pub(super) fn type_in_words(value: &DeValue<'_>) -> &'static str {
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
