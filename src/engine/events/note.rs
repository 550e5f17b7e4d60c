//! What a person wrote about an uplink, and the day that it speaks of.

use serde::{Deserialize, Serialize};

use crate::time::Utc;
use crate::time::day::Day;

/// The longest, in characters: two lines of a card.
pub const LONGEST: usize = 200;
/// A day without a year is the next one of that date, unless it is no longer ago than this, in days.
const LATELY: i32 = 60;

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    pub text: String,
    /// When it was written, if the box knew.
    pub at: Option<Utc>,
    /// The day that it speaks of.
    pub due: Option<Day>,
}

/// What people said of an uplink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    pub note: Option<Note>,
    /// The provider was told that it is down.
    pub reported: Option<Reported>,
}

/// When the provider was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// If the box knew.
    pub at: Option<Utc>,
}

/// Why a text cannot be a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("a note has at most 200 characters")]
    Long,
    #[error("a note is one line without control characters")]
    Control,
}

impl Note {
    /// A note of this text; `None`: there is nothing in it. `today` is the day where the person is.
    ///
    /// # Errors
    ///
    /// When it is too long, or is no plain text.
    pub fn read(text: &str, at: Option<Utc>, today: Option<Day>) -> Result<Option<Self>, Unfit> {
        let text = text.trim();
        if text.chars().any(|c| c.is_control() || turns(c)) {
            return Err(Unfit::Control);
        }
        if text.chars().count() > LONGEST {
            return Err(Unfit::Long);
        }
        let due = day_in(text, today);
        Ok((!text.is_empty()).then(|| Self { text: text.to_owned(), at, due }))
    }

    /// The text, and how far the day is that it speaks of.
    #[must_use]
    pub fn with_countdown(&self, today: Option<Day>) -> String {
        match self.due.zip(today) {
            Some((due, today)) => format!("{} ({})", self.text, countdown(due, today)),
            None => self.text.clone(),
        }
    }
}

/// Marks that are not seen and turn the direction of what follows, or part lines.
const fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `in 3 days`, `today`, `2 days ago`.
#[must_use]
pub fn countdown(due: Day, today: Day) -> String {
    match due.since(today) {
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        -1 => "yesterday".to_owned(),
        days if days > 0 => format!("in {days} days"),
        days => format!("{} days ago", -days),
    }
}

/// The day that a text speaks of: of several the first that is to come, else the last of them.
fn day_in(text: &str, today: Option<Day>) -> Option<Day> {
    let words: Vec<&str> = text.split_whitespace().map(bare).collect();
    let mut found = None;
    for at in 0..words.len() {
        let Some(day) = words.get(at..).and_then(|rest| begins_with_day(rest, today)) else {
            continue;
        };
        if today.is_none_or(|today| day >= today) {
            return Some(day);
        }
        found = found.max(Some(day));
    }
    found
}

/// A word without what stands around it in a sentence. A point behind it may belong to it.
fn bare(word: &str) -> &str {
    let word = word.trim_start_matches(['(', '[', '"', '\'', '„', '“']);
    word.trim_end_matches([',', ';', ':', '!', '?', ')', ']', '"', '\'', '“', '”'])
}

/// `2026-11-17`, `17.11.`, `17.11.2026`, `17 Nov`, `17th of November 2026`, `Nov 17`.
fn begins_with_day(words: &[&str], today: Option<Day>) -> Option<Day> {
    let first = words.first()?;
    if let Some(day) = Day::parse(first.trim_end_matches('.')) {
        return Some(day);
    }
    if let Some(day) = with_points(first, today) {
        return Some(day);
    }
    let rest = words.get(1..).unwrap_or_default();
    let rest = rest.strip_prefix(&["of"]).unwrap_or(rest);
    let second = rest.first()?;
    let year = rest.get(1).and_then(|year| year_of(year.trim_end_matches('.')));
    let (day, month) = match (day_of_month(first), month_of(first)) {
        (Some(day), _) => (day, month_of(second)?),
        (None, Some(month)) => (day_of_month(second)?, month),
        (None, None) => return None,
    };
    placed(day, month, year, today)
}

/// `17.11.`, `17.11.2026` or `17.11.26`.
fn with_points(word: &str, today: Option<Day>) -> Option<Day> {
    let mut parts = word.split('.');
    let (day, month) = (digits(parts.next()?)?, digits(parts.next()?)?);
    let rest = parts.next()?;
    let year = match rest.len() {
        0 => None,
        2 => Some(2000 + i32::from(digits(rest)?)),
        _ => Some(year_of(rest)?),
    };
    let is_end = parts.next().is_none_or(str::is_empty);
    if is_end { placed(day, month, year, today) } else { None }
}

fn digits(text: &str) -> Option<u8> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// `17`, `17.`, `17th`.
fn day_of_month(word: &str) -> Option<u8> {
    let ends = ["st", "nd", "rd", "th", "."];
    let number = ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    digits(number).filter(|day| (1..=31).contains(day))
}

fn year_of(word: &str) -> Option<i32> {
    let plain = word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| word.parse().ok())?.filter(|year| (2000..2200).contains(year))
}

/// Months as people here write them: in full or short, in English, German and Dutch.
const MONTHS: [&[&str]; 12] = [
    &["jan", "january", "januar", "januari"],
    &["feb", "february", "februar", "februari"],
    &["mar", "march", "märz", "mrz", "maart", "mrt"],
    &["apr", "april"],
    &["may", "mai", "mei"],
    &["jun", "june", "juni"],
    &["jul", "july", "juli"],
    &["aug", "august", "augustus"],
    &["sep", "sept", "september"],
    &["oct", "october", "okt", "oktober"],
    &["nov", "november"],
    &["dec", "december", "dez", "dezember"],
];

fn month_of(word: &str) -> Option<u8> {
    // In small letters it is another word.
    if word == "may" {
        return None;
    }
    let word = word.trim_end_matches('.').to_lowercase();
    let at = MONTHS.iter().position(|names| names.contains(&word.as_str()))?;
    u8::try_from(at + 1).ok()
}

/// A date, in the year that is meant where none is given.
fn placed(day: u8, month: u8, year: Option<i32>, today: Option<Day>) -> Option<Day> {
    if let Some(year) = year {
        return Day::new(year, month, day);
    }
    let today = today?;
    let (this, ..) = today.date();
    // Four years on: the 29th of February is rare.
    let mut candidates = (this - 1..this + 5).filter_map(|year| Day::new(year, month, day));
    candidates.find(|day| *day >= today.plus(-LATELY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn days_are_found_as_people_write_them() {
        let today = day("2026-11-14");
        let cases = [
            ("ticket 4711, repair promised 17 Nov", "2026-11-17"),
            ("repair promised 17 November.", "2026-11-17"),
            ("technician on the 17th of November (morning)", "2026-11-17"),
            ("until 2026-11-17.", "2026-11-17"),
            ("Termin 17.11.", "2026-11-17"),
            ("Termin 17.11.2026, 8 Uhr", "2026-11-17"),
            ("Termin 7.1.27", "2027-01-07"),
            ("Nov 17: they come", "2026-11-17"),
            ("17. Dezember", "2026-12-17"),
            ("monteur 3 mei 2027", "2027-05-03"),
            ("done by 3 Jan", "2027-01-03"),
            ("called 1 Oct", "2026-10-01"),
            ("called 12 Nov, repair promised 17 Nov", "2026-11-17"),
            ("called 10 Nov and 12 Nov", "2026-11-12"),
            ("29 Feb", "2028-02-29"),
        ];
        for (text, due) in cases {
            assert_eq!(day_in(text, Some(today)), Some(day(due)), "{text}");
        }
        let none = [
            "ticket 4711",
            "1.5 Mbit",
            "31 Nov",
            "32.11.",
            "IP 10.11.12.13",
            "version 1.2.3.4",
            "17 may be too late",
            "room 17 second floor",
            "2026-13-01",
            "",
        ];
        for text in none {
            assert_eq!(day_in(text, Some(today)), None, "{text}");
        }
        // A box that does not know what day it is knows those only that have a year.
        assert_eq!(day_in("17 Nov", None), None);
        assert_eq!(day_in("17 Nov 2026", None), Some(day("2026-11-17")));
    }

    #[test]
    fn how_far_a_day_is_reads_well() {
        let due = day("2026-11-17");
        let told: Vec<String> = [-3, -1, 0, 1, 2].map(|n| countdown(due, due.plus(n))).into();
        assert_eq!(told, ["in 3 days", "tomorrow", "today", "yesterday", "2 days ago"]);
        let note = Note::read(" promised 17 Nov ", None, Some(day("2026-11-14"))).unwrap().unwrap();
        let shown = note.with_countdown(Some(day("2026-11-14")));
        assert_eq!(shown, "promised 17 Nov (in 3 days)");
        assert_eq!(note.with_countdown(None), "promised 17 Nov");
    }

    #[test]
    fn a_note_is_one_line_of_plain_text() {
        let read = |text: &str| Note::read(text, None, None);
        assert_eq!(read("  ").unwrap(), None);
        assert_eq!(read(&"ü".repeat(200)).unwrap().unwrap().text.chars().count(), 200);
        assert_eq!(read(&"x".repeat(201)), Err(Unfit::Long));
        for wrong in ["a\nb", "a\u{1b}[31mb", "a\u{202e}b", "a\u{2029}b", "\u{0}"] {
            assert_eq!(read(wrong), Err(Unfit::Control), "{wrong:?}");
        }
        assert_eq!(read("<b>it's</b>").unwrap().unwrap().text, "<b>it's</b>");
    }
}
