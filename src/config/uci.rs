//! OpenWrt's files below `/etc/config`, as `uci` itself reads them: `config TYPE [NAME]`, and below it `option KEY VALUE` and
//! `list KEY VALUE`. Every word keeps its place.
//!
//! Words are bare, in `'…'` where nothing has a meaning, or in `"…"` where a backslash has; parts that touch are one word.
//! A `#` outside of quotes begins a comment, even inside a word; a `;` ends a statement. A value in quotes may have several lines.
//!
//! `uci` takes nothing of a file in which anything is wrong. Here the rest is read on, from the next line, and it is the reader's
//! to refuse a file with mistakes.

use std::collections::BTreeMap;

use super::error::Mistake;
use super::notes::{MAX_MISTAKES, excerpt};

/// A word of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// What an option or a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Word,
    /// Of an option there is one; of a list there is at least one.
    pub values: Vec<Word>,
}

/// A section: what stands below `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub kind: Word,
    /// `None`: it is anonymous.
    pub name: Option<Word>,
    /// In the order of the file; each key is there once.
    pub entries: Vec<Entry>,
}

impl Section {
    /// The value of an option; of a list the last.
    #[must_use]
    pub fn option(&self, key: &str) -> Option<&str> {
        self.list(key).next_back()
    }

    /// All values of a list; an option is a list of one.
    pub fn list(&self, key: &str) -> impl DoubleEndedIterator<Item = &str> {
        let values = self.entries.iter().find(|entry| entry.key.text == key).map(|e| &*e.values);
        values.unwrap_or_default().iter().map(|value| value.text.as_str())
    }

    /// Whether an option is switched on; `None`: it is not there, or says neither yes nor no.
    #[must_use]
    pub fn flag(&self, key: &str) -> Option<bool> {
        flag(self.option(key)?)
    }

    /// Its name; of an anonymous one nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_ref().map_or("", |name| name.text.as_str())
    }
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// In the order of the file. What is said of a name a second time is added to what was said first.
    pub sections: Vec<Section>,
    /// What was not understood, in the order of the file, 100 at most.
    pub mistakes: Vec<Mistake>,
}

impl Document {
    /// The sections of a type.
    pub fn of_kind<'d>(&'d self, kind: &'d str) -> impl Iterator<Item = &'d Section> {
        self.sections.iter().filter(move |section| section.kind.text == kind)
    }

    /// The section of a type and a name.
    #[must_use]
    pub fn named(&self, kind: &str, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind.text == kind && section.name() == name)
    }
}

/// What a switch says, as `config_get_bool` of OpenWrt's functions.sh has it; `None`: neither yes nor no.
pub(super) fn flag(said: &str) -> Option<bool> {
    match said {
        "1" | "on" | "true" | "yes" | "enabled" => Some(true),
        "0" | "off" | "false" | "no" | "disabled" => Some(false),
        _ => None,
    }
}

/// Reads a file.
#[must_use]
pub fn read(text: &str) -> Document {
    let mut reader = Reader::default();
    let mut lexer = Lexer::new(text);
    while !lexer.is_at_end() && reader.document.mistakes.len() < MAX_MISTAKES {
        let begin = lexer;
        if let Err(mistake) = lexer.statement().and_then(|words| reader.take(words)) {
            reader.document.mistakes.push(mistake);
            // A quote that is never closed swallows the file: only its first line is lost.
            lexer = begin;
            lexer.skip_line();
        }
    }
    reader.document
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    document: Document,
    open: Open,
    /// Where each named section is, so that a file of nothing but sections is read in time.
    names: BTreeMap<String, usize>,
    /// Where each key of a section is in it.
    keys: BTreeMap<(usize, String), usize>,
}

/// To what an option belongs.
#[derive(Clone, Copy, Default)]
enum Open {
    #[default]
    Nothing,
    Section(usize),
    /// A section whose line was wrong, and has been told.
    Broken,
}

impl Reader {
    /// Takes a statement in.
    fn take(&mut self, words: Vec<Word>) -> Result<(), Mistake> {
        let mut words = words.into_iter();
        let Some(keyword) = words.next() else { return Ok(()) };
        let (one, two, surplus) = (words.next(), words.next(), words.next());
        let is_config = keyword.text == "config";
        if is_config {
            self.open = Open::Broken;
        }
        if let Some(surplus) = surplus {
            let hint = "a value with blanks needs quotes";
            return Err(wrong(&surplus, "is one word too many", hint));
        }
        match keyword.text.as_str() {
            "config" => {
                let need = || wrong(&keyword, "needs a type", "config interface 'wan'");
                self.open = Open::Section(self.section(one.ok_or_else(need)?, two)?);
                Ok(())
            }
            "option" | "list" => {
                let need = || wrong(&keyword, "needs a key and a value", "option enabled '1'");
                let key = one.ok_or_else(need)?;
                plain(&key)?;
                // For uci none is an empty one.
                let value = two.unwrap_or_else(|| Word { text: String::new(), ..key.clone() });
                self.enter(&keyword, key, value)
            }
            "package" if two.is_none() => Ok(()),
            _ => Err(wrong(&keyword, "begins no statement", "config, option and list do")),
        }
    }

    /// The section that is meant, by its number: a new one, or one that is there under that name.
    fn section(&mut self, kind: Word, name: Option<Word>) -> Result<usize, Mistake> {
        let new = self.document.sections.len();
        // uci takes an empty name for none.
        let name = name.filter(|name| !name.text.is_empty());
        if let Some(name) = &name {
            plain(name)?;
            let at = *self.names.entry(name.text.clone()).or_insert(new);
            if let Some(old) = self.document.sections.get(at) {
                if old.kind.text == kind.text {
                    return Ok(at);
                }
                return Err(wrong(name, "is a section of another type already", "rename it"));
            }
        }
        self.document.sections.push(Section { kind, name, entries: Vec::new() });
        Ok(new)
    }

    /// Takes in what an option or a list says.
    fn enter(&mut self, keyword: &Word, key: Word, value: Word) -> Result<(), Mistake> {
        let at = match self.open {
            Open::Section(at) => at,
            Open::Broken => return Ok(()),
            Open::Nothing => {
                let hint = "a line with config comes before it";
                return Err(wrong(keyword, "stands in no section", hint));
            }
        };
        let Some(section) = self.document.sections.get_mut(at) else { return Ok(()) };
        let new = section.entries.len();
        let known = *self.keys.entry((at, key.text.clone())).or_insert(new);
        match section.entries.get_mut(known) {
            Some(entry) if keyword.text == "list" => entry.values.push(value),
            Some(entry) => entry.values = vec![value],
            None => section.entries.push(Entry { key, values: vec![value] }),
        }
        Ok(())
    }
}

/// Names of sections and options are letters, digits and `_`.
fn plain(word: &Word) -> Result<(), Mistake> {
    let fits = word.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits && !word.text.is_empty() {
        return Ok(());
    }
    Err(wrong(word, "cannot be a name", "letters, digits and _ can stand in one"))
}

fn wrong(word: &Word, what: &str, hint: &str) -> Mistake {
    Mistake {
        line: word.line,
        column: word.column,
        text: format!("{:?} {what}", excerpt(&word.text)),
        hint: Some(hint.to_owned()),
    }
}

/// Where in a text the reader is.
#[derive(Clone, Copy)]
struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text.trim_start_matches('\u{feff}'), line: 1, column: 1 }
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        (self.line, self.column) =
            if next == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(next)
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    /// The words up to the end of a statement: of a line, or a `;`.
    fn statement(&mut self) -> Result<Vec<Word>, Mistake> {
        let mut words = Vec::new();
        while let Some(next) = self.peek() {
            match next {
                '\n' | ';' => {
                    self.next();
                    return Ok(words);
                }
                '#' => {
                    self.skip_line();
                    return Ok(words);
                }
                blank if blank.is_ascii_whitespace() => {
                    self.next();
                }
                _ => words.push(self.word()?),
            }
        }
        Ok(words)
    }

    /// A word, which may have several parts.
    fn word(&mut self) -> Result<Word, Mistake> {
        let mut word = Word { text: String::new(), line: self.line, column: self.column };
        while let Some(next) = self.peek() {
            match next {
                ';' | '#' => break,
                blank if blank.is_ascii_whitespace() => break,
                '\'' | '"' => {
                    let open = *self;
                    self.next();
                    self.quoted(next, &mut word.text).ok_or_else(|| open.unclosed())?;
                }
                '\\' => {
                    self.next();
                    self.escaped(&mut word.text);
                }
                other => {
                    self.next();
                    word.text.push(other);
                }
            }
        }
        Ok(word)
    }

    /// What stands up to a closing quote; `None`: there is none.
    fn quoted(&mut self, quote: char, text: &mut String) -> Option<()> {
        loop {
            match self.next()? {
                end if end == quote => return Some(()),
                '\\' if quote == '"' => self.escaped(text),
                other => text.push(other),
            }
        }
    }

    /// What follows a backslash stands for itself; before the end of a line both are as if they were not there.
    fn escaped(&mut self, text: &mut String) {
        if let Some(next) = self.next().filter(|next| *next != '\n') {
            text.push(next);
        }
    }

    fn unclosed(&self) -> Mistake {
        Mistake {
            line: self.line,
            column: self.column,
            text: "this quote is never closed".to_owned(),
            hint: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<String> {
        let document = read(&format!("config a\noption k {text}"));
        assert_eq!(document.mistakes, [], "{text}");
        let section = document.sections.last().unwrap();
        section.list("k").map(str::to_owned).collect()
    }

    fn mistakes(text: &str) -> Vec<String> {
        let of = |m: &Mistake| format!("{}:{}: {}", m.line, m.column, m.text);
        read(text).mistakes.iter().map(of).collect()
    }

    #[test]
    fn words_are_read_as_uci_reads_them() {
        for (text, value) in [
            ("abc", "abc"),
            ("'a b'", "a b"),
            ("\"a b\"", "a b"),
            ("'a'\"b\"c", "abc"),
            ("it\\'s", "it's"),
            ("'it'\\''s'", "it's"),
            ("\"say \\\"x\\\"\"", "say \"x\""),
            ("'no \\n escape'", "no \\n escape"),
            ("a\\ b", "a b"),
            ("a#b", "a"),
            ("'a#b;c'", "a#b;c"),
            ("1 ; option z 2", "1"),
            ("'two\nlines'", "two\nlines"),
            ("ä'ö'", "äö"),
            ("1\r", "1"),
            ("  \t x", "x"),
            ("a\\\nb", "ab"),
        ] {
            assert_eq!(values(text), [value], "{text}");
        }
        assert_eq!(values("1\nlist k 2\nlist k 3"), ["1", "2", "3"]);
        assert_eq!(values("1\noption k 2"), ["2"]);
    }

    #[test]
    fn sections_have_names_or_none_and_are_added_to() {
        let text = "package x\nconfig uplink 'wan'\n\toption a '1'\n\tlist b '1'\n\nconfig uplink\n\toption a '2'\n\
                    config uplink 'wan' # again\n\toption a '3'\n\tlist b '2'\n\tlist b 3\nconfig my-type\n";
        let document = read(text);
        assert_eq!(document.mistakes, []);
        let names: Vec<_> = document.sections.iter().map(|s| (&*s.kind.text, s.name())).collect();
        assert_eq!(names, [("uplink", "wan"), ("uplink", ""), ("my-type", "")]);
        let wan = document.named("uplink", "wan").unwrap();
        assert_eq!(wan.option("a"), Some("3"));
        assert_eq!(wan.list("b").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!(document.of_kind("uplink").count(), 2);
        assert_eq!(wan.flag("a"), None);
        assert_eq!(document.sections[1].option("b"), None);
        let place = &wan.entries[1].values[1];
        assert_eq!((place.line, place.column), (10, 9));
    }

    #[test]
    fn flags_are_what_the_scripts_take_for_them() {
        let document = read("config x\noption a 1\noption b on\noption c disabled\noption d maybe");
        let section = &document.sections[0];
        let flags = ["a", "b", "c", "d", "e"].map(|key| section.flag(key));
        assert_eq!(flags, [Some(true), Some(true), Some(false), None, None]);
    }

    #[test]
    fn a_mistake_has_its_place_and_the_rest_is_read_on() {
        for (text, told) in [
            ("option a 1\n", "1:1: \"option\" stands in no section"),
            ("config\n", "1:1: \"config\" needs a type"),
            ("config a 'my-cable'\n", "1:10: \"my-cable\" cannot be a name"),
            ("config a\n  option a-b 1\n", "2:10: \"a-b\" cannot be a name"),
            ("config a\noption\n", "2:1: \"option\" needs a key and a value"),
            ("config a\noption a b c\n", "2:12: \"c\" is one word too many"),
            ("config a x\nconfig b x\n", "2:10: \"x\" is a section of another type already"),
            ("config a\nset a b\n", "2:1: \"set\" begins no statement"),
            ("config a\noption a 'b\n", "2:10: this quote is never closed"),
            ("config a\noption a \"b\n", "2:10: this quote is never closed"),
        ] {
            assert_eq!(mistakes(text), [told], "{text}");
            let rest = read(&format!("{text}config last l\noption a 1\n"));
            let last = rest.named("last", "l");
            assert_eq!(last.and_then(|last| last.option("a")), Some("1"), "{text}");
        }
        // What stands below a broken line is not told as well, and belongs to no other section.
        let broken = "config a\nconfig 'b c' 'd e'\noption x 1\n";
        assert_eq!(mistakes(broken), ["2:14: \"d e\" cannot be a name"]);
        assert_eq!(read(broken).sections[0].entries, []);
    }

    #[test]
    fn rubbish_ends_soon() {
        let text = "config a\n".to_owned() + &"option a 'b\n".repeat(80_001);
        assert!(read(&text).mistakes.len() <= MAX_MISTAKES);
        assert_eq!(read(&"x\n".repeat(500_000)).mistakes.len(), MAX_MISTAKES);
        let many: String = (0..60_000).map(|n| format!("config a s{n}\n")).collect();
        assert_eq!(read(&many).sections.len(), 60_000);
    }

    proptest! {
        /// What uci would write reads back.
        #[test]
        fn what_uci_writes_reads_back(value in "[ -~\\n\\täöü]{0,40}") {
            let quoted = value.replace('\'', "'\\''");
            prop_assert_eq!(values(&format!("'{quoted}'")), [value]);
        }

        #[test]
        fn any_text_gets_an_answer(text in "\\PC*|[a-z'\"#;\\\\ \\n]{0,200}|(config|option|list|[a-z' \\n]){0,60}") {
            let document = read(&text);
            let lines = text.split('\n').count();
            prop_assert!(document.mistakes.iter().all(|m| (1..=lines).contains(&m.line) && m.column > 0));
        }
    }
}
