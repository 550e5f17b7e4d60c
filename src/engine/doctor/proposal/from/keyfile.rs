//! The language of NetworkManager's profiles (nm-settings-keyfile(5), GLib's GKeyFile).

use std::collections::BTreeMap;

/// The most mistakes that are told of a file; one with more is none of NetworkManager's.
const MOST_MISTAKES: usize = 20;

/// A profile as it is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keyfile {
    /// Values by group and key; of one that is there twice, the last.
    values: BTreeMap<(String, String), String>,
    /// What was not understood: the line, from 1, and why. Nothing of the line, which may be a password.
    pub(super) mistakes: Vec<(usize, &'static str)>,
}

impl Keyfile {
    pub(super) fn read(text: &str) -> Self {
        let mut read = Self::default();
        let mut group = String::new();
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let pair = line.split_once('=').filter(|_| !line.starts_with('['));
            let mistake = match (header, pair) {
                (Some(name), _) => {
                    alias(name.trim()).clone_into(&mut group);
                    continue;
                }
                (None, Some(_)) if group.is_empty() => "this stands in no [group]",
                (None, Some((key, value))) => {
                    let place = (group.clone(), key.trim_end().to_owned());
                    read.values.insert(place, plain(value.trim_start()));
                    continue;
                }
                (None, None) => "this is neither a [group] nor key=value",
            };
            if read.mistakes.len() < MOST_MISTAKES {
                read.mistakes.push((number + 1, mistake));
            }
        }
        read
    }

    /// A value that is not empty.
    pub(super) fn get(&self, group: &str, key: &str) -> Option<&str> {
        let value = self.values.get(&(group.to_owned(), key.to_owned()));
        value.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The parts of a list.
    pub(super) fn list(&self, group: &str, key: &str) -> impl Iterator<Item = &str> {
        let parts = self.get(group, key).unwrap_or_default().split([';', ',']).map(str::trim);
        parts.filter(|part| !part.is_empty())
    }

    pub(super) fn number(&self, group: &str, key: &str) -> Option<i64> {
        self.get(group, key)?.parse().ok()
    }

    /// Whether it is switched on; `None`: it is not there, or says neither.
    pub(super) fn flag(&self, group: &str, key: &str) -> Option<bool> {
        match self.get(group, key)? {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        }
    }
}

/// Groups have older names.
fn alias(group: &str) -> &str {
    match group {
        "802-3-ethernet" => "ethernet",
        "802-11-wireless" => "wifi",
        other => other,
    }
}

/// A value without its escapes.
fn plain(value: &str) -> String {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        match chars.next() {
            Some('s') => plain.push(' '),
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}
