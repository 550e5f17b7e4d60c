//! The configuration: a TOML file, read with every mistake at once.
//!
//! `syntax` reads TOML and goes on after each broken statement, `raw` walks the document, `value`
//! and `address` turn single values into types, `check` builds the [`Config`] and looks across it;
//! `leds`, `notify`, `heartbeat` and `ddns` do so for their sections. `file` reads files. [`board`] reads the files that say what a board has,
//! [`uci`] those of OpenWrt, in whose language `openwrt` takes a configuration as well.

use std::io::Read;
use std::path::Path;

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
mod file;
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
pub use file::{beside, is_uci};
pub use model::*;
pub use names::{DdnsConfig, IPV4, IPV6, NAME, SECRET, Updater};
pub(crate) use nearest::nearest;
use notes::Notes;
pub use openwrt::Basics;
pub use template::{fill, in_json};
pub use value::parse_duration;

/// Reads and checks a configuration file.
///
/// # Errors
/// If the file cannot be read, is too large, is not UTF-8 or holds mistakes.
pub fn load(path: &Path) -> Result<Config, Error> {
    let (name, text) = file::read(path)?;
    if !file::is_openwrts(path, &text) {
        return parse_toml(&text, &name);
    }
    let Some(named) = openwrt::elsewhere(&text, &name)? else {
        let networks = file::networks(&path.with_file_name(file::NETWORK))?;
        return openwrt::parse(&text, &name, &networks, |toml| parse_toml(toml, &name));
    };
    let toml = Path::new(&named.text);
    let (inner, text) = file::read(toml)?;
    if file::is_openwrts(toml, &text) {
        let hint = Some("config_file names a TOML file; else take the option away".to_owned());
        let text = format!("{inner} is in OpenWrt's language");
        let mistake = Mistake { line: named.line, column: named.column, text, hint };
        return Err(Error::Mistakes { file: name, mistakes: vec![mistake], more: 0 });
    }
    parse_toml(&text, &inner)
}

/// Reads and checks a configuration that is in no file, as one that is not saved yet. `None`: it names another file,
/// which is not looked at.
///
/// # Errors
/// As of [`load`].
pub fn given(source: impl Read) -> Result<Option<Config>, Error> {
    let name = "standard input";
    let text = file::whole(source, name)?;
    // There is no place that would tell the language.
    if openwrt::is_toml(&text) && !openwrt::is_spoken(&text) {
        return parse_toml(&text, name).map(Some);
    }
    if openwrt::elsewhere(&text, name)?.is_some() {
        return Ok(None);
    }
    let networks = file::networks(&Path::new(file::UCI_DIR).join(file::NETWORK))?;
    openwrt::parse(&text, name, &networks, |toml| parse_toml(toml, name)).map(Some)
}

/// Reads what a service's script has to know.
///
/// # Errors
/// If the file cannot be read.
pub fn basics(path: &Path) -> Result<Basics, Error> {
    let (_, text) = file::read(path)?;
    let mut basics = openwrt::basics(&text);
    if let Ok(config) = load(path) {
        (basics.run_dir, basics.state_dir) = (Some(config.run_dir), Some(config.state_dir));
    }
    Ok(basics)
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
        return Err(notes.into_error(file));
    }
    let mended = syntax::mend(&syntax::as_list(text, &notes), &notes);
    let (document, structural) = syntax::read(&mended.text);
    for note in structural {
        notes.note(note);
    }
    let notes = notes.with_broken(mended.broken);
    let config = check::config(document.get_ref(), &notes);
    if notes.is_empty() { Ok(config) } else { Err(notes.into_error(file)) }
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
