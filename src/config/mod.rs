//! The configuration: a TOML file, read with every mistake at once.
//!
//! `syntax` reads TOML and goes on after each broken statement, `raw` walks the document, `value`
//! and `address` turn single values into types, `check` builds the [`Config`] and looks across it;
//! `leds`, `notify`, `heartbeat` and `ddns` do so for their sections. [`board`] reads the files that say what a board has,
//! [`uci`] those of OpenWrt, in whose language `openwrt` takes a configuration as well.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

mod address;
pub mod board;
mod boards;
mod changes;
mod channel_url;
mod channels;
mod check;
mod contract;
mod ddns;
mod error;
mod heartbeat;
mod leds;
mod model;
mod names;
mod nearest;
mod notes;
mod notify;
mod openwrt;
mod provider;
mod raw;
#[cfg(feature = "settings")]
pub mod settings;
mod syntax;
mod template;
pub mod uci;
mod value;
mod zone;

pub use channels::{
    BodyKind, Commands, Escalation, HeartbeatConfig, Hilink, Login, Mail, Mqtt, NotifyConfig,
    Quiet, Secret, Server, Service, Template, UPLINK, Verb, Webhook,
};
pub use contract::{Country, Money, Provider};
pub use error::{Error, Mistake};
pub use model::*;
pub use names::{DdnsConfig, IPV4, IPV6, NAME, SECRET, Updater};
pub(crate) use nearest::nearest;
use notes::{MAX_MISTAKES, Notes};
pub use template::{fill, in_json};
pub use value::parse_duration;

/// The largest configuration file that is read, in bytes; a real one has about a thousand.
const MAX_BYTES: u64 = 1 << 20;

/// Reads and checks a configuration file.
///
/// # Errors
/// If the file cannot be read, is too large, is not UTF-8 or holds mistakes.
pub fn load(path: &Path) -> Result<Config, Error> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|f| f.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    if let Err(source) = read {
        return Err(unreadable(file, source));
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge { file });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if openwrt::is_spoken(text) => match openwrt::elsewhere(text, &file)? {
            Some(toml) => load(Path::new(&toml)),
            None => {
                // What is not there, or not for us to read, says nothing.
                let network = std::fs::read_to_string(path.with_file_name("network"));
                let network = uci::read(&network.unwrap_or_default());
                openwrt::parse(text, &file, &network, |toml| parse_toml(toml, &file))
            }
        },
        Ok(text) => parse_toml(text, &file),
        Err(error) => {
            let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or(&[]));
            let notes = Notes::new(&good);
            notes.push(good.len(), "this is not UTF-8 text", "save the file as UTF-8");
            Err(mistakes(&file, notes))
        }
    }
}

/// Where OpenWrt has its configurations.
const UCI_DIR: &str = "/etc/config";

/// Where what belongs to a configuration is: beside it, and for OpenWrt's own files in `/etc/sparelink`, as in their folder
/// `uci` takes every file for one of its own.
#[must_use]
pub fn beside(config_file: &Path, name: &str) -> PathBuf {
    match config_file.parent() {
        Some(dir) if dir == Path::new(UCI_DIR) => Path::new("/etc/sparelink").join(name),
        _ => config_file.with_file_name(name),
    }
}

/// Whether a file is in the language of OpenWrt's own, which the page does not edit; one that is not there, whether it
/// would be.
#[must_use]
pub fn is_uci(config_file: &Path) -> bool {
    if !config_file.exists() {
        return config_file.parent() == Some(Path::new(UCI_DIR));
    }
    std::fs::read_to_string(config_file).is_ok_and(|text| openwrt::is_spoken(&text))
}

/// Checks a configuration given as text; `file` names it in the mistakes.
///
/// # Errors
/// If it holds mistakes: all of them, in the order of the text.
pub fn parse(text: &str, file: &str) -> Result<Config, Error> {
    if openwrt::is_spoken(text) {
        let network = uci::Document::default();
        return openwrt::parse(text, file, &network, |toml| parse_toml(toml, file));
    }
    parse_toml(text, file)
}

fn parse_toml(text: &str, file: &str) -> Result<Config, Error> {
    let notes = Notes::new(text);
    if let Some(note) = syntax::another_language(text) {
        notes.note(note);
        return Err(mistakes(file, notes));
    }
    let mended = syntax::mend(&syntax::as_list(text, &notes), &notes);
    let (document, structural) = syntax::read(&mended.text);
    for note in structural {
        notes.note(note);
    }
    let notes = notes.with_broken(mended.broken);
    let config = check::config(document.get_ref(), &notes);
    if notes.is_empty() { Ok(config) } else { Err(mistakes(file, notes)) }
}

/// Puts into words why a file could not be read.
fn unreadable(file: String, source: io::Error) -> Error {
    const OTHER: &str = "name another file with --config FILE";
    let (what, hint) = if source.kind() == io::ErrorKind::NotFound {
        let hint = "sudo sparelink setup writes one; sparelink run --auto needs none; or name another \
                    file with --config FILE";
        ("there is no such file".to_owned(), hint)
    } else if source.kind() == io::ErrorKind::PermissionDenied {
        ("this file may not be read by you".to_owned(), "try it as root, for example with sudo")
    } else if source.kind() == io::ErrorKind::IsADirectory {
        ("this is a directory, not a file".to_owned(), OTHER)
    } else {
        (format!("the file cannot be read: {source}"), OTHER)
    };
    Error::Unreadable { file, what, hint, source }
}

/// Sorts what was noted and finds its lines and columns.
fn mistakes(file: &str, notes: Notes<'_>) -> Error {
    let text = notes.text();
    let mut found = notes.into_sorted();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINIMAL: &str = "[[uplink]]\nname = \"cable\"\ninterface = \"eth1\"\n";

    fn mistakes_of(text: &str) -> String {
        parse(text, "x.toml").unwrap_err().to_string()
    }

    #[test]
    fn columns_count_characters() {
        let text = format!("{MINIMAL}kind = \"wired\"  \n[probe]\nä = 1\ndns = \"ö\" # ü\n");
        let listed = mistakes_of(&text);
        assert!(listed.contains("x.toml:6:1: "), "{listed}");
        assert!(listed.contains("x.toml:7:7: "), "{listed}");
    }

    #[test]
    fn a_byte_order_mark_and_crlf_do_no_harm() {
        let windows = format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"));
        assert_eq!(parse(&windows, "x").unwrap(), parse(MINIMAL, "x").unwrap());
    }

    #[test]
    fn unreadable_files_are_told_in_words() {
        let dir = std::env::temp_dir().join(format!("sparelink-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let told = |path: &Path| load(path).unwrap_err().to_string();
        assert!(told(&dir.join("none")).contains("none: there is no such file\n  hint: "));
        assert!(told(&dir).contains("this is a directory"));
        let latin = told(&put("latin", b"# gr\xfc\xdfe\n"));
        assert!(latin.contains("latin:1:5: this is not UTF-8 text"), "{latin}");
        let big = put("big", &b"#\n".repeat(600_000));
        assert!(told(&big).contains("larger than 1 MiB"));
        assert!(load(&put("good", MINIMAL.as_bytes())).is_ok());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_history_is_on_disk_but_where_told() {
        let put = |value: &str| format!("{MINIMAL}[state]\nhistory = {value}\n");
        let history = |text: &str| parse(text, "x").unwrap().history;
        assert_eq!(history(MINIMAL), HistoryOn::Disk);
        assert_eq!(history(&put("\"disk\"")), HistoryOn::Disk);
        assert_eq!(history(&put("\"ram\"")), HistoryOn::Ram);
        let listed = mistakes_of(&put("\"tape\""));
        assert!(
            listed.contains("history: \"tape\" is no place") && listed.contains("ram"),
            "{listed}"
        );
    }

    #[test]
    fn a_file_of_rubbish_ends_with_a_count() {
        let text = "x = 1\n".repeat(5000);
        let listed = mistakes_of(&text);
        assert!(listed.lines().count() < 250, "{listed}");
        assert!(listed.ends_with("more mistakes"), "{listed}");
    }

    proptest! {
        /// Never panics, and what is wrong has a place in the text.
        #[test]
        fn any_text_gets_an_answer(text in "\\PC*|[\\[\\]a-z=\"'#{}., \\n0-9]{0,200}") {
            check_answer(&text);
        }

        /// The same for a good file in which something was overwritten.
        #[test]
        fn a_damaged_file_gets_an_answer(
            at in 0usize..400, len in 0usize..40, put in "[\\[\\]=\"'\\n{}a-z0-9ä]{0,8}",
        ) {
            let good = include_str!("../../tests/config/design.toml");
            let start = at.min(good.len());
            let end = (start + len).min(good.len());
            check_answer(&format!("{}{put}{}", &good[..start], &good[end..]));
        }
    }

    fn check_answer(text: &str) {
        if let Err(Error::Mistakes { mistakes, .. }) = parse(text, "x") {
            let lines = text.split('\n').count();
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|m| (1..=lines).contains(&m.line) && m.column > 0));
            let order = |m: &Mistake| (m.line, m.column);
            assert!(mistakes.is_sorted_by_key(order));
        }
    }
}
