//! Boards: what is known of a box from its device tree, so that a configuration need not say it.
//!
//! Each board is a file in `boards/`, built into the program. What it says of ports is advice for
//! people; what it says of LEDs is used where `[leds]` says nothing else.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::boards::FILES;
pub use super::boards::{GENERIC, NAMES};
use super::model::{BoardChoice, Config, Led, LedsConfig};
use super::notes::{Notes, Wrong};
use super::raw::{Section, plain};
use super::value::{interface, string};
use super::{Error, leds, syntax};
use crate::units::IfName;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// Its name in `[leds] board`.
    pub name: &'static str,
    /// What people call it.
    pub title: String,
    /// How a device tree names it (the property `compatible` of its root).
    pub compatible: Vec<String>,
    /// The port that is usually the LAN's.
    pub lan: Option<IfName>,
    /// Ports that usually lead out, and what is behind them.
    pub uplinks: BTreeMap<String, String>,
    /// Shows how the whole stands.
    pub status: Option<Led>,
    /// Show how the uplink at a port stands.
    pub ports: BTreeMap<String, Led>,
    /// What is worth knowing about it.
    pub quirks: Vec<String>,
    /// Where all this is from.
    pub sources: Vec<String>,
}

impl Board {
    /// The board that a choice means on a box whose device tree says `compatible`, the most specific
    /// word first; of a board that is not known, [`GENERIC`]. `None` where none is wanted.
    #[must_use]
    pub fn choose(choice: &BoardChoice, compatible: &[String]) -> Option<Self> {
        let named = |name: &str| FILES.iter().find(|file| file.0 == name).and_then(read);
        match choice {
            BoardChoice::None => None,
            BoardChoice::Named(name) => named(name),
            BoardChoice::Auto => {
                let fits = |word| move |board: &Self| board.compatible.contains(word);
                compatible
                    .iter()
                    .find_map(|word| FILES.iter().filter_map(read).find(fits(word)))
                    .or_else(|| named(GENERIC))
            }
        }
    }
}

impl Config {
    /// Takes an LED that the box gives: for the uplink of this name if there is one, else for the whole. What `[leds]` says
    /// comes first, and one that shows something already shows nothing else.
    pub fn take_led(&mut self, section: Option<&str>, name: String) {
        let led = Led::Class(vec![name]);
        let mut shown = self.leds.status.iter().chain(self.leds.uplinks.values());
        if shown.any(|other| leds::same(other, &led)) {
            return;
        }
        let uplink = self.uplinks.iter().find(|uplink| Some(uplink.name.as_str()) == section);
        match uplink {
            Some(uplink) => {
                self.leds.uplinks.entry(uplink.name.clone()).or_insert(led);
            }
            None => {
                self.leds.status.get_or_insert(led);
            }
        }
    }

    /// Takes the board's LEDs for what `[leds]` leaves open. One that shows something already shows
    /// nothing else.
    pub fn take_leds_of(&mut self, board: &Board) {
        let free = |leds: &LedsConfig, led: &Led| {
            !leds.status.iter().chain(leds.uplinks.values()).any(|other| leds::same(other, led))
        };
        let leds = &mut self.leds;
        if leds.status.is_none() {
            leds.status = board.status.clone().filter(|led| free(leds, led));
        }
        for uplink in &self.uplinks {
            let port = uplink.device.interface.as_ref().map(IfName::as_str);
            let led = port.and_then(|port| board.ports.get(port)).filter(|led| free(leds, led));
            if let Some(led) = led.cloned()
                && !leds.uplinks.contains_key(&uplink.name)
            {
                leds.uplinks.insert(uplink.name.clone(), led);
            }
        }
    }
}

/// A file of the program, as good as the tests left it.
fn read((name, text): &(&'static str, &str)) -> Option<Board> {
    parse(name, text).ok()
}

fn parse(name: &'static str, text: &str) -> Result<Board, Error> {
    let notes = Notes::new(text);
    let (document, structural) = syntax::read(text);
    for note in structural {
        notes.note(note);
    }
    let mut root = Section::root(document.get_ref(), &notes);
    let mut board = Board {
        name,
        title: root.read_or("title", sentence, String::new()),
        compatible: plain(root.list("compatible", sentence)),
        quirks: plain(root.list("quirks", sentence)),
        sources: plain(root.list("sources", sentence)),
        ..Board::default()
    };
    if let Some(mut ports) = root.section("ports", "[ports]") {
        board.lan = ports.read("lan", interface).map(Spanned::into_inner);
        if let Some(mut uplinks) = ports.section("uplinks", "uplinks = { … }") {
            for (port, _) in uplinks.keys() {
                let what = uplinks.read_or(port, sentence, String::new());
                board.uplinks.insert(port.to_owned(), what);
            }
        }
        ports.finish();
    }
    if let Some(mut given) = root.section("leds", "[leds]") {
        board.status = leds::led(&mut given, "status").map(Spanned::into_inner);
        let ports = given.section("ports", "ports = { … }");
        board.ports = ports.map(leds::by_port).unwrap_or_default();
        given.finish();
    }
    root.finish();
    drop(document);
    if notes.is_empty() { Ok(board) } else { Err(notes.into_error(name)) }
}

fn sentence(value: &DeValue<'_>) -> Result<String, Wrong> {
    string(value, "\"words\"").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn all() -> Vec<Board> {
        FILES.iter().map(|(name, text)| parse(name, text).unwrap()).collect()
    }

    #[test]
    fn every_board_is_whole_and_says_where_that_is_from() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/boards")).unwrap();
        let mut files: Vec<_> = files.map(|f| f.unwrap().file_name()).collect();
        files.sort();
        let names = NAMES.map(|name| OsString::from(format!("{name}.toml")));
        assert_eq!(files, names);
        for board in all() {
            assert!(!board.title.is_empty() && !board.sources.is_empty(), "{board:?}");
            let real = ![GENERIC, "lab"].contains(&board.name);
            assert_eq!(real, !board.compatible.is_empty(), "{board:?}");
            assert_eq!(real, board.sources.iter().any(|s| s.contains(".dts")), "{board:?}");
            assert!(!real || board.lan.is_some(), "{board:?}");
            // On OpenWrt the device tree says which LED is the system's.
            let says =
                board.status.is_some() || board.sources.iter().any(|s| s.contains("openwrt"));
            assert!(!real || says, "{board:?}");
            assert!(!board.uplinks.values().any(String::is_empty), "{board:?}");
        }
    }

    #[test]
    fn a_board_is_known_by_its_device_tree() {
        let name = |choice: &BoardChoice, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            Board::choose(choice, &words).map(|board| board.name)
        };
        let auto = BoardChoice::Auto;
        let known = [
            ("raspberrypi,3-model-b-plus", "brcm,bcm2837", "raspberry-pi-3b-plus"),
            ("raspberrypi,4-model-b", "brcm,bcm2711", "raspberry-pi-4b"),
            ("raspberrypi,5-model-b", "brcm,bcm2712", "raspberry-pi-5"),
            ("raspberrypi,model-zero-2-w", "brcm,bcm2837", "raspberry-pi-zero-2-w"),
            // Another board with a known chip is another board.
            ("raspberrypi,400", "brcm,bcm2711", GENERIC),
            ("glinet,gl-mt6000", "mediatek,mt7986a", "glinet-gl-mt6000"),
            ("linksys,e8450-ubi", "mediatek,mt7622", "linksys-e8450"),
            ("glinet,gl-mt2500", "mediatek,mt7981b", GENERIC),
        ];
        for (board, chip, expected) in known {
            assert_eq!(name(&auto, &[board, chip]), Some(expected));
        }
        assert_eq!(name(&auto, &[]), Some(GENERIC));
        assert_eq!(name(&BoardChoice::None, &["raspberrypi,4-model-b"]), None);
        assert_eq!(name(&BoardChoice::Named("lab".to_owned()), &[]), Some("lab"));
    }

    #[test]
    fn what_the_box_gives_fills_what_is_left_open() {
        let config = |leds: &str, given: &[(Option<&str>, &str)]| {
            let text = format!(
                "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n[leds]\nboard = \"none\"\n{leds}\n"
            );
            let mut config = super::super::parse(&text, "test").unwrap();
            given.iter().for_each(|(section, led)| config.take_led(*section, (*led).to_owned()));
            let status = config.leds.status.map(|led| led.to_string()).unwrap_or_default();
            let cable = config.leds.uplinks.get("cable").map(ToString::to_string);
            (status, cable.unwrap_or_default())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let given = [(Some("led_status"), "green:status"), (Some("cable"), "green:wan")];
        assert_eq!(config("", &given), pair("green:status", "green:wan"));
        assert_eq!(config("", &[(None, "white:system")]), pair("white:system", ""));
        let own = "status = \"ACT\"\nuplinks = { cable = \"green:status\" }";
        assert_eq!(config(own, &given), pair("ACT", "green:status"));
        // The first of two for the whole; the other stays as it is.
        let two = [(Some("a"), "one"), (Some("b"), "two"), (Some("c"), "one")];
        assert_eq!(config("", &two), pair("one", ""));
    }

    #[test]
    fn what_the_configuration_says_comes_first() {
        let config = |leds: &str| {
            let text = format!(
                "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n\
                 [[uplink]]\nname = \"mifi\"\ninterface = \"usb0\"\n\
                 [[uplink]]\nname = \"stick\"\nmatch = {{ usb_path = \"1-1\" }}\n[leds]\n{leds}\n"
            );
            let mut config = super::super::parse(&text, "test").unwrap();
            if let Some(board) = Board::choose(&config.leds.board, &[]) {
                config.take_leds_of(&board);
            }
            let shown = |(name, led): (&String, &Led)| format!("{name}: {led}");
            let mut all: Vec<_> = config.leds.uplinks.iter().map(shown).collect();
            all.extend(config.leds.status.map(|led| format!("status: {led}")));
            all.join(", ")
        };
        assert_eq!(
            config("board = \"lab\""),
            "cable: lab:first, mifi: lab:second, status: lab:status"
        );
        assert_eq!(config(""), "");
        assert_eq!(config("board = \"none\"\nstatus = \"ACT\""), "status: ACT");
        let own = "board = \"lab\"\nuplinks = { mifi = \"x\", stick = \"lab:status\" }";
        assert_eq!(config(own), "cable: lab:first, mifi: x, stick: lab:status");
    }
}
