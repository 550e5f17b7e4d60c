//! `/etc/config/sparelink`: OpenWrt's way to say what the TOML file says.
//!
//! It becomes the text of a TOML file, a value to a line, and goes through the one checker. What is wrong there is told at its
//! place here, in the words of this file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::error::{Error, Mistake};
use super::model::Config;
use super::nearest::nearest;
use super::notes::{MAX_MISTAKES, excerpt};
use super::uci::{self, Document, Section, Word, flag};

mod keys;

use keys::Form::{self, Addresses, Elsewhere, Flag, List, Number, Switch, Text};
use keys::{Key, SECTIONS};

/// Whether a text is in this language: TOML has no line that begins with two words.
pub(super) fn is_spoken(text: &str) -> bool {
    let mut words = first_line(text).split_ascii_whitespace();
    let (one, two) = (words.next().unwrap_or_default(), words.next());
    matches!(one.trim_matches(['\'', '"']), "config" | "package" | "option" | "list")
        && two.is_some_and(|word| !word.starts_with('='))
}

/// Whether it is TOML: that begins with a table or a value.
pub(super) fn is_toml(text: &str) -> bool {
    let first = first_line(text);
    first.starts_with('[') || first.contains('=')
}

/// The first line that says something.
fn first_line(text: &str) -> &str {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default()
}

/// The TOML file that is meant instead (`option config_file`), where it is named.
///
/// # Errors
/// If there are uplinks here as well: there is one configuration.
pub(super) fn elsewhere(text: &str, file: &str) -> Result<Option<Word>, Error> {
    let document = uci::read(text);
    let mut values =
        document.of_kind("sparelink").filter_map(|s| entry(s, "config_file")?.values.last());
    let Some(toml) = values.find(|value| !value.text.is_empty()) else { return Ok(None) };
    if document.of_kind("uplink").next().is_none() {
        return Ok(Some(toml.clone()));
    }
    let text = format!("the uplinks are here, in {file}, and {} is named as well", toml.text);
    let hint = Some("take away this option, or the sections uplink".to_owned());
    let mistakes = vec![Mistake { line: toml.line, column: toml.column, text, hint }];
    Err(Error::Mistakes { file: file.to_owned(), mistakes, more: 0 })
}

/// What the script that starts the agent has to know of a file in OpenWrt's language, whether it is right or wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basics {
    /// It shall run. What is not understood is no wish to stop.
    pub enabled: bool,
    /// The TOML file that is meant instead.
    pub config_file: Option<PathBuf>,
    /// `None`: what is usual.
    pub run_dir: Option<PathBuf>,
    /// `None`: what is usual.
    pub state_dir: Option<PathBuf>,
}

/// Reads what a service's script has to know.
pub(super) fn basics(text: &str) -> Basics {
    let document = uci::read(text);
    let said = |key: &str| {
        let all = document.of_kind("sparelink").filter_map(|section| section.option(key));
        all.filter(|value| !value.is_empty()).last()
    };
    let enabled = said("enabled").is_some_and(|said| flag(said).unwrap_or(true));
    Basics {
        enabled: enabled || !document.mistakes.is_empty(),
        config_file: said("config_file").map(PathBuf::from),
        run_dir: said("run_dir").map(PathBuf::from),
        state_dir: said("state_dir").map(PathBuf::from),
    }
}

/// Checks a configuration given as text. `network` is `/etc/config/network`, which knows the devices of a LAN's networks;
/// `check` is who checks TOML.
///
/// # Errors
/// If it holds mistakes: all of them, in the order of the text.
pub(super) fn parse(
    text: &str,
    file: &str,
    network: &Document,
    check: impl FnOnce(&str) -> Result<Config, Error>,
) -> Result<Config, Error> {
    let document = uci::read(text);
    let mut writer = Writer::new(network);
    writer.document(&document);
    let mut mistakes = std::mem::take(&mut writer.mistakes);
    // uci takes nothing of a file in which it does not understand something: what is missing elsewhere follows from it.
    if !document.mistakes.is_empty() {
        return Err(Error::Mistakes {
            file: file.to_owned(),
            mistakes: document.mistakes,
            more: 0,
        });
    }
    let checked = check(&writer.text);
    let mut more = 0;
    match checked {
        Ok(config) if mistakes.is_empty() => return Ok(config),
        Ok(_) => {}
        Err(Error::Mistakes { mistakes: found, more: rest, .. }) => {
            more = rest;
            mistakes.extend(found.into_iter().map(|mistake| writer.placed(mistake)));
        }
        Err(other) => return Err(other),
    }
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    mistakes.dedup_by_key(|mistake| (mistake.line, mistake.column, mistake.text.clone()));
    more += mistakes.len().saturating_sub(MAX_MISTAKES);
    mistakes.truncate(MAX_MISTAKES);
    Err(Error::Mistakes { file: file.to_owned(), mistakes, more })
}

/// What was written, and where each line of it comes from.
struct Writer<'d> {
    network: &'d Document,
    text: String,
    /// Line and column of the key and of the value that a line was made of.
    lines: Vec<[(usize, usize); 2]>,
    mistakes: Vec<Mistake>,
}

impl<'d> Writer<'d> {
    const fn new(network: &'d Document) -> Self {
        Self { network, text: String::new(), lines: Vec::new(), mistakes: Vec::new() }
    }

    fn document(&mut self, document: &Document) {
        let mut single: BTreeMap<&str, &Section> = BTreeMap::new();
        let mut leds = Vec::new();
        for section in &document.sections {
            let kind = section.kind.text.as_str();
            let known = |kind: &str| SECTIONS.iter().find(|(known, ..)| *known == kind);
            let names = SECTIONS.map(|(name, ..)| name);
            if known(kind).is_none() {
                self.unknown(&section.kind, "is no section of sparelink", names);
            }
            // What was meant counts, so that nothing is missed because of it.
            let meant = known(kind).or_else(|| known(nearest(kind, names)?));
            let Some(&(kind, keys, list)) = meant else { continue };
            for entry in &section.entries {
                if entry.key.text == "enabled"
                    && let Some(said) = entry.values.last()
                    && kind == "sparelink"
                    && flag(&said.text).is_none()
                    && !said.text.is_empty()
                {
                    self.neither(said);
                }
                if !keys.iter().any(|known| known.0 == entry.key.text) {
                    let what = format!("is not known in a section {kind}");
                    self.unknown(&entry.key, &what, keys.iter().map(|key| key.0));
                }
            }
            if list.is_none() && single.insert(kind, section).is_some() {
                let text = format!("there is a section {kind} above already");
                self.mistake(&section.kind, text, Some("one is enough".to_owned()));
                continue;
            }
            if let Some(list) = list {
                self.line(&format!("[[{list}]]"), &section.kind, &section.kind);
                self.named(section, kind);
                self.keys(section, keys, list);
            }
            if kind == "uplink"
                && let Some(led) = entry(section, "led")
            {
                leds.push((name(section), led));
            }
        }
        for (kind, section) in single {
            let keys = SECTIONS.iter().find(|(known, ..)| *known == kind).map(|(_, keys, _)| *keys);
            self.keys(section, keys.unwrap_or_default(), "");
        }
        if let Some((_, first)) = leds.first() {
            self.line("[leds.uplinks]", &first.key, &first.key);
        }
        for (name, led) in leds {
            self.value(&text(&name.text), led, Text);
        }
    }

    /// An uplink without a name of its own is called like its section.
    fn named(&mut self, section: &Section, kind: &str) {
        if kind == "uplink"
            && section.option("name").is_none()
            && let Some(name) = &section.name
        {
            self.line(&format!("name = {}", text(&name.text)), name, name);
        }
    }

    /// The values of a section, those of one table after the other.
    fn keys(&mut self, section: &Section, keys: &[Key], list: &str) {
        // Those without a table come first, as in TOML they have to.
        let keys = || keys.iter().filter(|key| key.3 != Elsewhere);
        let mut tables: Vec<&str> = keys().map(|key| key.1).collect();
        tables.dedup();
        for table in tables {
            let mut open = table.is_empty();
            for Key(option, _, key, form) in keys().filter(|key| key.1 == table) {
                let Some(entry) = entry(section, option).filter(|entry| says(entry)) else {
                    continue;
                };
                if !std::mem::replace(&mut open, true) {
                    let dot = if list.is_empty() { "" } else { "." };
                    self.line(&format!("[{list}{dot}{table}]"), &section.kind, &section.kind);
                }
                self.value(key, entry, *form);
            }
        }
    }

    fn value(&mut self, key: &str, entry: &uci::Entry, form: Form) {
        // For uci an empty value is none.
        let values: Vec<&Word> =
            entry.values.iter().filter(|value| !value.text.is_empty()).collect();
        let [value, more @ ..] = values.as_slice() else { return };
        let value = *value;
        if let [second, ..] = more
            && !matches!(form, List | Addresses(_))
        {
            let text = format!("{}: there is one value", entry.key.text);
            self.mistake(second, text, Some("keep one of them".to_owned()));
        }
        let said = value.text.as_str();
        let written = match form {
            Flag | Switch => match (flag(said), form) {
                (Some(is), Flag) => is.to_string(),
                (Some(false), _) => "false".to_owned(),
                (Some(true), _) => return,
                (_, Flag) => return self.neither(value),
                _ => text(said),
            },
            Number if !said.is_empty() && said.bytes().all(|b| b.is_ascii_digit()) => {
                // TOML takes a leading zero for a mistake of its own.
                said.trim_start_matches('0').parse::<u32>().unwrap_or_default().to_string()
            }
            Text | Number | Elsewhere => text(said),
            List => return self.list(key, entry, values),
            Addresses(six) => {
                let (v6, v4) = values.into_iter().partition(|value| value.text.contains(':'));
                self.list(key, entry, v4);
                return self.list(six, entry, v6);
            }
        };
        self.line(&format!("{key} = {written}"), &entry.key, value);
    }

    /// A list, an element to a line; none of nothing.
    fn list(&mut self, key: &str, entry: &uci::Entry, values: Vec<&Word>) {
        if values.is_empty() {
            return;
        }
        self.line(&format!("{key} = ["), &entry.key, &entry.key);
        for value in values {
            let device = if key == "interfaces" { self.device(value) } else { value.text.clone() };
            self.line(&format!("{},", text(&device)), value, value);
        }
        self.line("]", &entry.key, &entry.key);
    }

    /// The device of a network, as far as `/etc/config/network` says it; what is no network is a device.
    fn device(&mut self, said: &Word) -> String {
        // Another network's device is meant with `@`.
        let begin = said.text.strip_prefix('@').unwrap_or(&said.text);
        let mut name = begin;
        // There are no more networks than that in a row.
        for _ in 0..=self.network.sections.len() {
            let Some(section) = self.network.named("interface", name) else {
                return name.to_owned();
            };
            // `ifname` until 2021: of a bridge they are its ports, and its name follows from the network's.
            let device = match (section.option("device"), section.option("type")) {
                (Some(device), _) => Some(device),
                (None, Some("bridge")) => return format!("br-{name}"),
                (None, _) => section.option("ifname"),
            };
            match device.map(|device| (device.strip_prefix('@'), device)) {
                Some((Some(other), _)) => name = other,
                Some((None, device)) => {
                    return device.split(' ').next().unwrap_or(device).to_owned();
                }
                None => return name.to_owned(),
            }
        }
        self.mistake(said, format!("the network {begin} is an alias of itself"), None);
        begin.to_owned()
    }

    fn line(&mut self, line: &str, key: &Word, value: &Word) {
        let _ = writeln!(self.text, "{line}");
        self.lines.push([key, value].map(|word| (word.line, word.column)));
    }

    fn mistake(&mut self, at: &Word, text: String, hint: Option<String>) {
        self.mistakes.push(Mistake { line: at.line, column: at.column, text, hint });
    }

    fn neither(&mut self, said: &Word) {
        let what = format!("{:?} is neither yes nor no", excerpt(&said.text));
        self.mistake(said, what, Some("write 1 or 0".to_owned()));
    }

    fn unknown<'k>(&mut self, word: &Word, what: &str, known: impl IntoIterator<Item = &'k str>) {
        let hint = nearest(&word.text, known).map(|near| format!("did you mean {near}?"));
        self.mistake(word, format!("{:?} {what}", excerpt(&word.text)), hint);
    }

    /// A mistake of what was written, at its place in what was read and in its words.
    fn placed(&self, mistake: Mistake) -> Mistake {
        let written = self.text.lines().nth(mistake.line.saturating_sub(1)).unwrap_or_default();
        let is_value = written.find(" = ").is_some_and(|at| mistake.column > at);
        let places = self.lines.get(mistake.line.saturating_sub(1));
        let (line, column) = places.map_or((1, 1), |places| places[usize::from(is_value)]);
        let hint = mistake.hint.map(|hint| in_these_words(&hint));
        Mistake { line, column, text: in_these_words(&mistake.text), hint }
    }
}

fn entry<'s>(section: &'s Section, option: &str) -> Option<&'s uci::Entry> {
    section.entries.iter().find(|entry| entry.key.text == option)
}

/// Whether there is a value; for uci an empty one is none.
fn says(entry: &uci::Entry) -> bool {
    entry.values.iter().any(|value| !value.text.is_empty())
}

/// What an uplink is called.
fn name(section: &Section) -> &Word {
    let own = entry(section, "name").and_then(|entry| entry.values.last());
    own.or(section.name.as_ref()).unwrap_or(&section.kind)
}

/// A value as TOML has it, on one line.
fn text(value: &str) -> String {
    let mut text = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// What the checker says to somebody who writes TOML, for somebody who writes this.
fn in_these_words(said: &str) -> String {
    let mut said = said.to_owned();
    for (name, _, list) in SECTIONS {
        if let Some(list) = list {
            said = said.replace(&format!("[[{list}]]"), &format!("config {name}"));
        }
    }
    let keys = || SECTIONS.iter().flat_map(|(_, keys, _)| *keys);
    for Key(option, _, key, form) in keys().filter(|key| !key.2.is_empty()) {
        let (word, open, close) = match form {
            List | Addresses(_) => ("list", " = [\"", "\"]"),
            Text | Number | Flag | Switch | Elsewhere => ("option", " = \"", "\""),
        };
        let begin = format!("{key}{open}");
        // Not the end of another key.
        let at = said
            .match_indices(&begin)
            .map(|(at, _)| at)
            .find(|at| !said[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        let Some(at) = at else { continue };
        let value = at + begin.len();
        let Some(end) = said[value..].find(close) else { continue };
        let written = format!("{word} {option} '{}'", &said[value..value + end]);
        said.replace_range(at..value + end + close.len(), &written);
    }
    for table in ["match", "provider"] {
        let open = format!("{table} = {{ option ");
        if let Some((before, after)) = said.split_once(&open) {
            said = format!("{before}option {}", after.replacen(" }", "", 1));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::parse_toml;

    fn read(text: &str) -> Result<Config, String> {
        let network = uci::read("config interface 'lan'\n\toption device 'br-lan'\n");
        parse(text, "sparelink", &network, |toml| parse_toml(toml, ""))
            .map_err(|error| error.to_string())
    }

    const WHOLE: &str = "# An example.
config sparelink 'main'
\toption enabled '1'
\tlist lan 'lan'
\tlist lan 'eth7'
\toption guard '0'
\toption hold '2m'
\tlist listen 'lan:8300'
\toption state_dir '/etc/sparelink/state'
\toption led 'green:status'
config probe 'probe'
\tlist target '1.1.1.1'
\tlist target '2606:4700:4700::1111'
\tlist target '9.9.9.9'
\toption dns '0'
config http
\toption url 'http://example.com/ok'
\toption status '204'
config uplink 'wan'
\toption name 'my-cable'
\toption network 'wan'
\tlist led 'green:wan'
\toption provider 'Example \"Cable\" it'\\''s'
config uplink 'wwan'
\toption driver 'cdc_ether'
\toption metered 'yes'
\tlist resolver '192.0.2.53'
config notify
\toption to 'ntfy://ntfy.sh/our-house-7f3k'
";

    const SAME: &str = r#"
[[uplink]]
name = "my-cable"
network = "wan"
provider = { name = "Example \"Cable\" it's" }
[[uplink]]
name = "wwan"
match = { driver = "cdc_ether" }
metered = true
resolvers = ["192.0.2.53"]
[lan]
interfaces = ["br-lan", "eth7"]
guard = false
[failback]
hold = "2m"
[web]
listen = ["lan:8300"]
[probe]
targets = ["1.1.1.1", "9.9.9.9"]
targets6 = ["2606:4700:4700::1111"]
dns = false
http = [{ url = "http://example.com/ok", status = 204 }]
[[notify]]
to = "ntfy://ntfy.sh/our-house-7f3k"
[leds]
status = "green:status"
uplinks = { my-cable = "green:wan" }
[state]
dir = "/etc/sparelink/state"
"#;

    #[test]
    fn it_says_what_the_toml_file_says() {
        assert!(is_spoken(WHOLE) && !is_spoken(SAME));
        assert_eq!(read(WHOLE).unwrap(), crate::config::parse(SAME, "toml").unwrap());
        // The checker of files takes it for what it is.
        let crlf = WHOLE.replace("lan 'lan'", "lan 'br-lan'").replace('\n', "\r\n");
        assert_eq!(
            crate::config::parse(&format!("\u{feff}{crlf}"), "any").unwrap(),
            read(WHOLE).unwrap()
        );
        let others = ["config = 1\n", "config=1\n", "[[uplink]]\n", "# config a\n", ""];
        assert!(others.iter().all(|text| !is_spoken(text)));
    }

    #[test]
    fn mistakes_are_told_at_their_place_and_in_its_words() {
        let said = read(
            "config sparelink\n\toption gaurd 1\n\tlist lan br0\n\toption announce 'maybe'\nconfig uplink 'wan'\n\toption network 'my-net'\n\
             \toption gateway '192.168.1'\nconfig uplink 'lte'\nconfig uplinks\nconfig probe\n\tlist target '1.1.1.x'\n",
        );
        let told: Vec<String> = said.unwrap_err().lines().map(str::to_owned).collect();
        let mut places: Vec<&str> = told
            .iter()
            .filter(|line| !line.starts_with(' '))
            .map(|l| l.split(": ").next().unwrap())
            .collect();
        // An empty section of another name lacks what that lacks which was meant.
        places.dedup();
        assert_eq!(
            places,
            [
                "sparelink:2:9",
                "sparelink:4:18",
                "sparelink:6:17",
                "sparelink:7:17",
                "sparelink:8:8",
                "sparelink:9:8",
                "sparelink:11:14"
            ],
            "{told:#?}"
        );
        assert!(told[1].contains("did you mean guard?"), "{told:#?}");
        assert!(told.iter().any(|line| line.contains("option device 'eth1'")), "{told:#?}");
        assert!(!told.iter().any(|line| line.contains(" = ")), "{told:#?}");
    }

    #[test]
    fn a_file_elsewhere_is_taken_or_refused_beside_uplinks() {
        let named =
            "config sparelink 'main'\n\toption config_file '/etc/sparelink/sparelink.toml'\n";
        assert_eq!(
            elsewhere(named, "x").unwrap().map(|word| word.text).as_deref(),
            Some("/etc/sparelink/sparelink.toml")
        );
        assert_eq!(elsewhere(WHOLE, "x").unwrap(), None);
        assert_eq!(elsewhere("config sparelink\n\toption config_file ''\n", "x").unwrap(), None);
        let both = format!("{named}config uplink 'wan'\n\toption network 'wan'\n");
        let said = elsewhere(&both, "/etc/config/sparelink").unwrap_err().to_string();
        let whole = "/etc/config/sparelink:2:21: the uplinks are here, in /etc/config/sparelink, and \
                     /etc/sparelink/sparelink.toml is named as well";
        assert!(said.starts_with(whole), "{said}");
    }

    #[test]
    fn devices_of_networks_are_followed() {
        let network = uci::read(
            "config interface 'lan'\n\toption device 'br-lan'\nconfig interface 'guest'\n\toption device '@lan'\n\
             config interface 'old'\n\toption type 'bridge'\n\toption ifname 'eth0 eth1'\n\
             config interface 'one'\n\toption ifname 'eth0.2'\nconfig interface 'a'\n\toption device '@b'\n\
             config interface 'b'\n\toption device '@a'\nconfig interface 'empty'\n\toption type 'bridge'\n\
             config interface 'c'\n\toption device '@a'\n",
        );
        let lan = |name: &str| {
            let text = format!(
                "config sparelink\n\tlist lan '{name}'\nconfig uplink 'wan'\n\toption network 'wan'\n"
            );
            let read = parse(&text, "sparelink", &network, |toml| parse_toml(toml, ""));
            read.map(|config| config.lan.unwrap().interfaces[0].to_string())
                .map_err(|e| e.to_string())
        };
        for (name, device) in [
            ("lan", "br-lan"),
            ("guest", "br-lan"),
            ("@lan", "br-lan"),
            ("old", "br-old"),
            ("empty", "br-empty"),
            ("one", "eth0.2"),
            ("eth7", "eth7"),
        ] {
            assert_eq!(lan(name).as_deref(), Ok(device), "{name}");
        }
        // The second leads into a circle that it is no part of.
        for name in ["a", "c"] {
            let circle = lan(name).unwrap_err();
            let told = format!("2:11: the network {name} is an alias of itself");
            assert!(circle.contains(&told), "{circle}");
        }
    }

    #[test]
    fn an_empty_value_is_none_and_what_was_meant_counts() {
        let uplink = "config uplink 'wan'\n\toption network 'wan'\n";
        let empty = format!("{uplink}\toption gateway ''\n\tlist resolver ''\n\toption mac\n");
        assert_eq!(read(&empty), read(uplink));
        for (text, told) in [
            ("config uplimk 'wan'\n\toption network 'wan'\n", "1:8: \"uplimk\" is no section"),
            (
                "config uplink 'wan'\n\tlist network 'a'\n\tlist network 'b'\n",
                "3:15: network: there is one value",
            ),
            (
                "config uplink 'wan'\n\toption network 'wan\nx'\n",
                "2:17: network: \"wan⏎x\" cannot be a network",
            ),
            (
                &format!("{uplink}config sparelink\n\toption enabled 'maybe'\n"),
                "4:17: \"maybe\" is neither",
            ),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(told), "{said}");
            assert_eq!(said.lines().filter(|line| !line.starts_with(' ')).count(), 1, "{said}");
        }
    }

    #[test]
    fn a_second_value_is_told_and_a_one_is_the_usual() {
        let uplink = "config uplink 'wan'\n\toption network 'wan'\n";
        let said = read(&format!("{uplink}config sparelink\n\tlist led 'a'\n\tlist led 'b'\n"));
        assert!(said.unwrap_err().starts_with("sparelink:5:11: led: there is one value"));
        let usual = read(&format!("{uplink}config probe\n\toption dns '1'\n\toption http 'on'\n"));
        assert_eq!(usual, read(uplink));
    }

    #[test]
    fn what_uci_refuses_is_refused_with_its_place() {
        let said = read("config uplink 'my-cable'\n\toption network 'wan'\n").unwrap_err();
        assert!(said.starts_with("sparelink:1:15: \"my-cable\" cannot be a name"), "{said}");
        let said = read("config uplink 'wan'\n\toption network 'wan\n").unwrap_err();
        assert!(said.contains("sparelink:2:17: this quote is never closed"), "{said}");
        let said = read("config sparelink\n").unwrap_err();
        assert!(said.contains("sparelink:1:1:") && said.contains("config uplink"), "{said}");
    }

    /// Each option's TOML key is one that the checker knows.
    #[test]
    fn every_key_is_known_to_the_checker() {
        let mut all = BTreeSet::new();
        for (kind, keys, _) in SECTIONS {
            for key in keys.iter().filter(|key| key.3 != Elsewhere) {
                // Some are for some services only.
                let about = [
                    "",
                    "\toption to 'json://192.168.1.9/x'\n",
                    "\toption protocol 'rfc2136'\n",
                    "\toption protocol 'dyndns2'\n",
                ];
                let is_known = about.iter().any(|more| {
                    let said =
                        read(&format!("config {kind} 'x'\n{more}\toption {} '\u{1}'\n", key.0));
                    !said.is_err_and(|said| said.contains("unknown key"))
                });
                assert!(is_known, "{kind}.{}", key.0);
                all.insert((kind, key.2));
            }
        }
        assert!(all.len() > 50);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(
            text in "\\PC*|(config|option|list|uplink|sparelink|network|target|lan|led|name|[a-z0-9' \\n\"#;.:]){0,80}",
        ) {
            drop(read(&text));
        }

        #[test]
        fn any_value_is_a_value(value in "\\PC{0,40}|[\\x00-\\x1f'\"\\\\]{0,10}") {
            let toml = format!("x = {}", text(&value));
            let read: toml::de::DeTable<'_> = toml::de::DeTable::parse(&toml).unwrap().into_inner();
            prop_assert_eq!(read.get("x").and_then(|x| x.get_ref().as_str()), Some(value.as_str()));
        }
    }
}
