//! TOML itself. Each broken statement is noted once and blanked out, so that the rest of the file
//! is checked as well and no mistake is told twice.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::notes::{MAX_MISTAKES, Note, Notes, begins_header, excerpt_of};

/// A text without its broken statements; every offset is as it was.
pub(super) struct Mended {
    /// The text, with blanks where it was broken.
    pub(super) text: String,
    /// Where it was broken.
    pub(super) broken: Vec<Range<usize>>,
}

/// What `[uplink]` in single brackets is read as where there are several: a list of a name that takes as much
/// room, so that what stands in it is checked like the others, and all of it in its place.
pub(super) const SINGLE: &str = "upli";

/// How much text is read again and again at most, in bytes: bounds the time for rubbish.
const READ_BUDGET: usize = 8 << 20;

/// Says so if this is the language that people take TOML for.
pub(super) fn another_language(text: &str) -> Option<Note> {
    let bare = text.trim_start_matches('\u{feff}');
    let line = bare.lines().find(|line| !matches!(line.trim().chars().next(), None | Some('#')))?;
    let key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let after = line.trim().trim_start_matches(key);
    let is_key = after.len() < line.trim().len() && (after == ":" || after.starts_with(": "));
    let is_yaml = is_key || line.trim() == "---" || line.trim().starts_with("- ");
    let at = text.find(line).unwrap_or(0);
    let hint = "write [[uplink]], and below it name = \"cable\" and interface = \"eth1\"";
    is_yaml.then(|| Note::new(at, "this looks like YAML, and the file has to be TOML", hint))
}

/// Where one of several uplinks stands in single brackets TOML takes it for the only one, and drops the
/// others unread: notes that, and has it read as one of a list.
pub(super) fn as_list(text: &str, notes: &Notes<'_>) -> String {
    let mut lists = 0;
    let mut singles = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let header = line.trim_start_matches([' ', '\t']);
        let at = start + line.len() - header.len();
        let name = |open: &str| {
            let (name, _) = header.strip_prefix(open)?.split_once(']')?;
            (name.trim_matches([' ', '\t', '"', '\'']) == "uplink").then_some(name.len())
        };
        lists += usize::from(name("[[").is_some());
        singles.extend(name("[").map(|length| at..at + length + 2));
        start += line.len();
    }
    let mut text = text.to_owned();
    if lists + singles.len() < 2 {
        return text;
    }
    for header in singles {
        let words = "uplink: there can be several, so this must be [[uplink]]";
        notes.push(header.start, words, "write [[uplink]], in two brackets");
        let list = format!("[[{SINGLE}]]");
        text.replace_range(header.clone(), &format!("{list:width$}", width = header.len()));
    }
    text
}

/// Notes what is not TOML, and takes it out.
pub(super) fn mend(text: &str, notes: &Notes<'_>) -> Mended {
    let mut mended = Mended { text: text.to_owned(), broken: Vec::new() };
    let rounds = (READ_BUDGET / text.len().max(1)).clamp(4, MAX_MISTAKES + 1);
    for _ in 0..rounds {
        let (_, errors) = DeTable::parse_recoverable(&mended.text);
        let broken = errors.iter().filter(|e| !is_structural(e));
        let first = broken.min_by_key(|e| e.span().map_or(text.len(), |span| span.start));
        let Some(error) = first else {
            return mended;
        };
        let Some(broken) = Broken::around(&mended.text, error) else {
            break;
        };
        notes.note(in_words(text, &broken.error, &broken.message));
        mended.text = blanked(&mended.text, &broken.lines);
        mended.broken.push(broken.lines);
    }
    // Nothing that would be said about the rest could be trusted.
    let last = mended.broken.last().map_or(0, |lines| lines.end);
    notes.push(last, "too much is wrong above: the rest was not checked", None);
    mended.text = blanked(&mended.text, &(0..text.len()));
    mended.broken.push(0..text.len());
    mended
}

/// Reads a mended text; what is left to note are keys given twice.
pub(super) fn read(text: &str) -> (Spanned<DeTable<'_>>, Vec<Note>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let notes = errors.iter().map(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let key = excerpt_of(text, &span);
        if error.message().starts_with("duplicate key") {
            let hint = if key == "uplink" {
                "every uplink begins with [[uplink]], in two brackets"
            } else {
                "keep one of them"
            };
            Note::new(span.start, format!("{key} is given twice"), hint)
        } else {
            Note::new(span.start, error.message().to_owned(), None)
        }
    });
    let notes = notes.collect();
    (document, notes)
}

/// Whether an error is about how statements fit together, not about one of them.
fn is_structural(error: &toml::de::Error) -> bool {
    error.message().starts_with("duplicate key") || error.message().starts_with("cannot extend")
}

/// Says what is wrong with a statement in our words where the parser's are those of a grammar.
fn in_words(text: &str, span: &Range<usize>, message: &str) -> Note {
    let found = excerpt_of(text, span);
    if message.starts_with("string values must be quoted") {
        if found.is_empty() {
            let hint = "write key = \"text\", key = true or key = [ … ]";
            return Note::new(span.start, "the value is missing", hint);
        }
        if ["yes", "no", "on", "off"].contains(&found.to_lowercase().as_str()) {
            return Note::new(span.start, format!("{found} is not a value"), "write true or false");
        }
        let bare = found.trim_matches(['“', '”', '„', '«', '»', '‘', '’', '"', '\'']);
        let hint = format!("write \"{bare}\", with plain quotes");
        return Note::new(span.start, format!("{found} is not in quotes"), hint);
    }
    if message.starts_with("key with no value") {
        return Note::new(span.start, "a key without a value", "write key = value");
    }
    if message.starts_with("unclosed table") {
        let hint = "section names stand in brackets, as in [lan] or [[uplink]]";
        return Note::new(span.start, "the bracket is not closed", hint);
    }
    if message.starts_with("invalid boolean") {
        return Note::new(span.start, format!("{found} is not a value"), "write true or false");
    }
    if message.starts_with("missing comma") {
        return Note::new(span.start, "a comma is missing here", None);
    }
    if message.starts_with("unclosed array") {
        return Note::new(span.start, "the list is not closed", "add ]");
    }
    if message.starts_with("unclosed inline table") {
        return Note::new(span.start, "the table is not closed", "add }");
    }
    if message.contains("multi-line") {
        return Note::new(span.start, "this text has no end", format!("add {found} behind it"));
    }
    if message.contains(" string, expected ") {
        return Note::new(span.start, "the closing quote is missing", None);
    }
    Note::new(span.start, message, None)
}

struct Broken {
    error: Range<usize>,
    /// What the parser says.
    message: String,
    /// The whole lines that it spoils; a section's header takes its section along.
    lines: Range<usize>,
}

impl Broken {
    /// Finds the statement that an error is about, which may have begun lines before; `None` if
    /// there is nothing left to take out.
    fn around(text: &str, error: &toml::de::Error) -> Option<Self> {
        let mut span = error.span().unwrap_or(text.len()..text.len());
        let mut message = error.message().to_owned();
        let line = line_start(text, span.start);
        let lines = if message.contains("multi-line") {
            // Reported at its end, where nobody looks for it.
            let open = text.rfind("\"\"\"").max(text.rfind("'''"))?;
            span = open..open + 3;
            line_start(text, open)..text.len()
        } else {
            let mut start = line;
            if let Some(before) = statement_before(text, line)
                && let Err(unclosed) = DeTable::parse(&text[before..line])
            {
                start = before;
                if begins_statement(&text[line..]) {
                    let at = unclosed.span().map_or(line, |span| before + span.start);
                    span = at..at;
                    message = unclosed.message().to_owned();
                }
            }
            start..statement_end(text, start, span.start.max(start))
        };
        let is_blank = text.get(lines.clone())?.trim().is_empty();
        (!is_blank).then_some(Self { error: span, message, lines })
    }
}

/// Where the statement above a line begins.
fn statement_before(text: &str, line: usize) -> Option<usize> {
    let mut start = line;
    while start > 0 {
        start = line_start(text, start - 1);
        if begins_statement(&text[start..]) {
            return Some(start);
        }
    }
    None
}

/// Where the lines of a statement end that begins at `start` and reaches `offset` at least.
fn statement_end(text: &str, start: usize, offset: usize) -> usize {
    let is_header = text[start..].trim_start_matches([' ', '\t']).starts_with('[');
    let mut end = line_end(text, offset.min(text.len()));
    while end < text.len() {
        let rest = &text[end..];
        if if is_header { begins_header(rest) } else { begins_statement(rest) } {
            break;
        }
        end = line_end(text, end);
    }
    end
}

fn line_start(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, offset: usize) -> usize {
    let rest = &text.as_bytes()[offset..];
    rest.iter().position(|b| *b == b'\n').map_or(text.len(), |newline| offset + newline + 1)
}

/// Whether a text begins with what looks like `[section]` or `key =`.
fn begins_statement(text: &str) -> bool {
    let line = text.trim_start_matches([' ', '\t']);
    let after_key = line.trim_start_matches(|c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"')
    });
    let assigns = after_key.trim_start_matches([' ', '\t']).starts_with('=');
    begins_header(text) || (after_key.len() < line.len() && assigns)
}

/// The text with blanks in place of a range (line ends stay).
fn blanked(text: &str, range: &Range<usize>) -> String {
    let blank = |b: u8| {
        if b == b'\n' || b == b'\r' { b as char } else { ' ' }
    };
    let blanks: String = text.as_bytes()[range.clone()].iter().map(|b| blank(*b)).collect();
    format!("{}{blanks}{}", &text[..range.start], &text[range.end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(text: &str) -> Vec<(usize, String)> {
        let notes = Notes::new(text);
        mend(text, &notes);
        notes.into_sorted().into_iter().map(|n| (n.at, n.text)).collect()
    }

    #[test]
    fn each_broken_statement_is_told_once() {
        let text =
            "a\nb = eth1\nc = [1,\n2\nd = 4\ne = \"x\n[f]\ng =\nh = 1\n!\ni = \"\"\"\nj = 1\n";
        let lines = |at: usize| text[..at].matches('\n').count() + 1;
        let at: Vec<_> = noted(text).into_iter().map(|(at, _)| lines(at)).collect();
        assert_eq!(at, [1, 2, 4, 6, 8, 10, 11]);
    }

    #[test]
    fn a_broken_header_takes_its_section_along() {
        let text = "[uplink\nname = \"a\"\n[lan]\nx = 1\n";
        let notes = Notes::new(text);
        let mended = mend(text, &notes);
        assert_eq!((mended.broken.len(), mended.broken[0].clone()), (1, 0..19));
        assert_eq!(mended.text.trim(), "[lan]\nx = 1");
        assert_eq!(mended.text.len(), text.len());
    }

    #[test]
    fn good_text_stays() {
        let text = "[a]\nb = [\n  1,\n]\n";
        let notes = Notes::new(text);
        assert_eq!(mend(text, &notes).text, text);
        assert!(notes.is_empty());
    }
}
