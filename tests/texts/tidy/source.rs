//! Reads Rust as far as the house rules need it: words with their lines, paths with what they
//! resolve to, functions with their lengths. Comments and the insides of literals are no code.

use std::collections::BTreeSet;

/// A Rust file of this crate.
pub(crate) struct Source {
    /// From the root of the repository: `src/io/flows.rs`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// Line by line, with comments and literals blanked.
    pub(crate) code: Vec<String>,
    /// The words and marks of `code`.
    pub(crate) tokens: Vec<Token>,
}

/// A word or a mark, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// An identifier, a number, `::`, or a single mark.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
}

/// A path in the code, from the crate's root or from another crate's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// `["io", "netlink", "Reconciler"]`; of another crate, its name comes first.
    pub(crate) segments: Vec<String>,
    /// Whether it begins with another crate's name.
    pub(crate) is_foreign: bool,
    /// It stands in `pub(in …)`.
    pub(crate) is_visibility: bool,
    /// From 1.
    pub(crate) line: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let tokens = tokens(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, tokens }
    }

    /// Where the file hangs in the crate: `["io", "netlink"]` for `src/io/netlink/mod.rs`, nothing
    /// for `src/lib.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
            parts.pop();
        }
        parts
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        !self.path.starts_with("src/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    /// Lines above the test module; all of them if there is none.
    pub(crate) fn production_lines(&self) -> usize {
        self.tests_begin().unwrap_or(self.code.len())
    }

    /// The index of the line with the `#[cfg(test)]` of a module written out in this file.
    fn tests_begin(&self) -> Option<usize> {
        let is_module = |line: &str| line.starts_with("mod ") && line.ends_with('{');
        (0..self.code.len().saturating_sub(1)).find(|at| {
            let next = self.code[at + 1..].iter().find(|line| !line.starts_with("#["));
            self.code[*at].starts_with("#[cfg(test)]")
                && next.is_some_and(|line| is_module(line.trim_end()))
        })
    }

    /// The first line of code after the test module, from 1.
    pub(crate) fn code_after_tests(&self) -> Option<usize> {
        let begin = self.tests_begin()?;
        let end = begin + self.code[begin..].iter().position(|line| line.trim_end() == "}")?;
        let rest = self.code[end + 1..].iter().position(|line| !line.trim().is_empty())?;
        Some(end + 1 + rest + 1)
    }

    /// Every function with a body: its name, the line of its `fn`, and the lines of code between
    /// its braces.
    pub(crate) fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let Some(name) = self.tokens.get(at + 1) else {
                break;
            };
            if token.text != "fn" || !is_word(&name.text) {
                continue;
            }
            let Some(open) = self.body(at) else { continue };
            let close = closing(&self.tokens, open);
            let (first, last) = (self.tokens[open].line, self.tokens[close].line);
            let inside = self.code.get(first..last.saturating_sub(1)).unwrap_or_default();
            let lines = inside.iter().filter(|line| !line.trim().is_empty()).count();
            found.push((name.text.clone(), token.line, lines));
        }
        found
    }

    /// The brace that opens the body of the function at `at`; `None` if it has none.
    fn body(&self, at: usize) -> Option<usize> {
        let end = self.signature_end(at);
        self.tokens.get(end).filter(|token| token.text == "{").map(|_| end)
    }

    /// Every parameter of a function or closure that has this type, or refers to it: its name and its line.
    pub(crate) fn parameters_of(&self, kind: &str) -> Vec<(String, usize)> {
        let text = |at: usize| self.tokens.get(at).map_or("", |t| t.text.as_str());
        let mut found = BTreeSet::new();
        let mut look = |from: usize, to: usize| {
            for at in (from..to).filter(|at| is_word(text(*at)) && text(at + 1) == ":") {
                let named = (at + 2..to).find(|n| !matches!(text(*n), "&" | "mut"));
                if named.is_some_and(|n| text(n) == kind && text(n + 1) != "::") {
                    found.insert((self.tokens[at].line, text(at).to_owned()));
                }
            }
        };
        for at in 0..self.tokens.len() {
            match text(at) {
                "fn" if is_word(text(at + 1)) => look(at, self.signature_end(at)),
                // A closure begins with the first of two bars; between those of a pattern or of a sum
                // stands no name with a type.
                "|" => {
                    let ends = |n: &usize| matches!(text(*n), "|" | "{" | "}" | ";" | "=");
                    let end = (at + 1..self.tokens.len()).find(ends);
                    look(at, end.filter(|n| text(*n) == "|").unwrap_or(at));
                }
                _ => {}
            }
        }
        found.into_iter().map(|(line, name)| (name, line)).collect()
    }

    /// Where the signature of the function at `at` ends: at its body, or at its semicolon.
    fn signature_end(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token.text.as_str() {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "{" | ";" if depth == 0 => return index,
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// The same above the test module, and without those that only say how far a name may be seen.
    pub(crate) fn production_mentions(&self, foreign: &[&str]) -> Vec<Mention> {
        let mut all = self.mentions(foreign);
        all.retain(|m| m.line <= self.production_lines() && !m.is_visibility);
        all
    }

    /// Paths that begin with a module of this one's own: `mod raw;` and `use raw::Raw;`.
    pub(crate) fn mentions_of_children(&self) -> Vec<Vec<String>> {
        let declared = self.tokens.windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";");
        let children: Vec<&str> = declared.map(|w| w[1].text.as_str()).collect();
        let own = self.module();
        let named = self.production_mentions(&children).into_iter().filter(|m| m.is_foreign);
        named.map(|m| own.iter().cloned().chain(m.segments).collect()).collect()
    }

    /// Every path that begins with `crate`, `super`, `self`, `sparelink` or one of `foreign`, with
    /// trees in braces taken apart, and resolved from the module that it stands in.
    pub(crate) fn mentions(&self, foreign: &[&str]) -> Vec<Mention> {
        let mut found = Vec::new();
        let file = self.module();
        let mut modules = file;
        let mut opened: Vec<usize> = Vec::new();
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate() {
            let follows = |n: usize| self.tokens.get(at + n).map_or("", |t| t.text.as_str());
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if opened.last() == Some(&depth) {
                        opened.pop();
                        modules.pop();
                    }
                }
                "mod" if follows(2) == "{" => {
                    opened.push(depth);
                    modules.push(follows(1).to_owned());
                }
                first if follows(1) == "::" && !(at > 0 && self.tokens[at - 1].text == "::") => {
                    let Some(root) = root(first, &modules, foreign) else {
                        continue;
                    };
                    let mut end = at + 2;
                    for mut rest in tree(&self.tokens, &mut end) {
                        let mut base = root.clone();
                        while rest.first().is_some_and(|word| word == "super") {
                            rest.remove(0);
                            base.pop();
                        }
                        let is_foreign = foreign.contains(&first);
                        let is_visibility = at > 0 && self.tokens[at - 1].text == "in";
                        let segments = base.into_iter().chain(rest).collect();
                        found.push(Mention {
                            segments,
                            is_foreign,
                            is_visibility,
                            line: token.line,
                        });
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// What a path's first word stands for.
fn root(first: &str, modules: &[String], foreign: &[&str]) -> Option<Vec<String>> {
    match first {
        "crate" | "sparelink" => Some(Vec::new()),
        "self" => Some(modules.to_vec()),
        "super" => Some(modules[..modules.len().saturating_sub(1)].to_vec()),
        other if foreign.contains(&other) => Some(vec![other.to_owned()]),
        _ => None,
    }
}

/// The rest of a path from `at` on: one list of words for each leaf of its tree.
fn tree(tokens: &[Token], at: &mut usize) -> Vec<Vec<String>> {
    let mut head: Vec<String> = Vec::new();
    loop {
        let word = tokens.get(*at).map_or("", |t| t.text.as_str());
        if word == "{" {
            let mut leaves = Vec::new();
            while tokens.get(*at).is_some_and(|t| t.text != "}") {
                *at += 1;
                if tokens.get(*at).is_some_and(|t| t.text == "}") {
                    break;
                }
                for leaf in tree(tokens, at) {
                    leaves.push(head.iter().cloned().chain(leaf).collect());
                }
                while tokens.get(*at).is_some_and(|t| t.text != "," && t.text != "}") {
                    *at += 1;
                }
            }
            *at += 1;
            return leaves;
        }
        if !is_word(word) && word != "*" {
            return vec![head];
        }
        if word != "self" || head.is_empty() {
            head.push(word.to_owned());
        }
        *at += 1;
        if tokens.get(*at).is_none_or(|t| t.text != "::") {
            return vec![head];
        }
        *at += 1;
    }
}

/// The index of the brace that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len() - 1
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &[String]) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if is_part(c) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
                _ if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            let text = rest[..length].to_owned();
            found.push(Token { text, line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// The text with comments and the insides of literals made blanks; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself if there is none.
fn skip(chars: &[char], at: usize) -> usize {
    let peek = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (peek(0), peek(1)) {
        ('/', '/') => line_end(chars, at),
        ('/', '*') => comment_end(chars, at),
        ('"', _) => string_end(chars, at + 1),
        ('r', '"' | '#') if !in_word => raw_end(chars, at + 1).unwrap_or(at),
        ('b', 'r') if !in_word => raw_end(chars, at + 2).unwrap_or(at),
        // A character, not a lifetime: it is closed again.
        ('\'', '\\') => {
            let close = chars[at + 3..].iter().position(|c| *c == '\'');
            close.map_or(chars.len(), |n| at + 3 + n + 1)
        }
        ('\'', _) if peek(2) == '\'' => at + 3,
        _ => at,
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n)
}

fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `at` is behind the `r`; `None` if no string follows.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    let open = at + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut end = open + 1;
    while end < chars.len() {
        let closes = chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        end += 1;
        if closes {
            return Some(end + hashes);
        }
    }
    Some(chars.len())
}
