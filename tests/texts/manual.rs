//! The manual pages and docs/CONFIG.md are made here: the commands from what the program says of them, the keys from
//! a table that is held against the parser. `UPDATE_GOLDEN=1` writes them again.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use sparelink::config;

mod keys;

use keys::{Default, Key, LEAST, SECTIONS, Section};

/// What no key is like.
const STRANGE: &str = "qqqqqqqqqqqqqqqqqqqq";

/// A whole file with these keys in a section.
fn file(section: &Section, pairs: &[(&str, &str)]) -> String {
    let each: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let own = each.join(section.joint) + if section.joint == "\n" { "\n" } else { "" };
    section.around.replace('@', &own)
}

/// The keys that one does not go without, and this one with a value; `None`: without it.
fn with<'a>(key: &Key, value: Option<&'a str>) -> Vec<(&'a str, &'a str)>
where
    'static: 'a,
{
    let others = key.with.iter().copied().filter(|(name, _)| *name != key.name);
    others.chain(value.map(|value| (key.name, value))).collect()
}

/// What can be said in TOML can be said in OpenWrt's language.
#[test]
fn every_key_has_a_place_in_openwrts_language() {
    const KEYS: &str = include_str!("../../src/config/openwrt/keys.rs");
    // These are sections or lists of their own there.
    const OTHERWISE: [&str; 6] = ["match", "provider", "targets6", "http", "uplinks", "leds"];
    let table = |name: &str| {
        let begin = format!("const {name}: &[Key]");
        KEYS.split_once(&begin).and_then(|(_, rest)| rest.split_once("];")).unwrap().0
    };
    let mut lacking = Vec::new();
    for section in SECTIONS {
        let word = section.title.trim_matches(['[', ']']).split(' ').next().unwrap();
        let (table, inner) = match word {
            "uplink" | "http" | "notify" | "ddns" => (table(&word.to_uppercase()), ""),
            "match" | "provider" => (table("UPLINK"), word),
            "probe" | "heartbeat" => (table(&word.to_uppercase()), word),
            _ => (table("MAIN"), word),
        };
        let names = section.keys.iter().map(|key| key.name).filter(|key| !OTHERWISE.contains(key));
        let there = |name: &&str| table.contains(&format!("\"{inner}\", \"{name}\""));
        lacking.extend(names.filter(|name| !there(name)).map(|name| format!("{word}.{name}")));
    }
    assert_eq!(lacking, [""; 0]);
    assert!(!table("UPLINK").contains("\"\", \"strange\""), "control");
}

#[test]
fn the_table_has_the_keys_that_the_parser_knows() {
    for section in SECTIONS {
        let known: BTreeSet<&str> = section.keys.iter().map(|key| key.name).collect();
        let base = section.keys.iter().find(|key| key.name == "method").unwrap_or(&section.keys[0]);
        let mut pairs: Vec<_> = base.with.to_vec();
        // Without a protocol a name may have what belongs to any.
        pairs.retain(|(key, _)| *key != "protocol" && section.title != "[[ddns]]");
        pairs.push((STRANGE, "1"));
        let found = config::parse(&file(section, &pairs), "x").unwrap_err().to_string();
        let unknown = format!("unknown key {STRANGE} in {}\n  hint: known here: ", section.called);
        let (_, rest) = found.split_once(&unknown).unwrap_or_else(|| panic!("{unknown}:\n{found}"));
        let told: BTreeSet<&str> = rest.lines().next().unwrap().split(", ").collect();
        assert_eq!(told, known, "{}", section.title);
    }
    let found = config::parse(&format!("{LEAST}[{STRANGE}]\n"), "x").unwrap_err().to_string();
    let (_, rest) = found.split_once("known here: ").unwrap();
    let told: BTreeSet<&str> = rest.lines().next().unwrap().split(", ").collect();
    let name = |section: &Section| section.title.trim_matches(['[', ']']).to_owned();
    let top: BTreeSet<String> =
        SECTIONS.iter().filter(|s| s.title.starts_with('[')).map(name).collect();
    let told: BTreeSet<String> =
        told.into_iter().filter(|key| !key.contains(' ')).map(str::to_owned).collect();
    assert_eq!(told, top, "the sections themselves");
}

#[test]
fn every_example_and_every_default_is_right() {
    let mut examples = 0;
    for section in SECTIONS {
        for key in section.keys {
            let text = file(section, &with(key, Some(key.example)));
            let read = config::parse(&text, "x");
            assert!(read.is_ok(), "{} {}: {}\n{text}", section.title, key.name, read.unwrap_err());
            examples += 1;
            let without = config::parse(&file(section, &with(key, None)), "x");
            match key.default {
                Default::Value(value) => {
                    let text = file(section, &with(key, Some(value)));
                    let stated = config::parse(&text, "x").unwrap();
                    assert_eq!(stated, without.unwrap(), "{} {}", section.title, key.name);
                    assert_ne!(Ok(stated), read.map_err(drop), "the example of {}", key.name);
                }
                Default::Needed => {
                    assert!(without.is_err(), "{} {} is not needed", section.title, key.name);
                }
                Default::Words(_) => {}
            }
        }
    }
    assert!(examples > 60, "keys were found");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn assert_made(name: &str, made: &str) {
    let path = root().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, made).unwrap();
    }
    let hint = "run the test with UPDATE_GOLDEN=1 and look at the difference";
    assert!(fs::read_to_string(&path).unwrap_or_default() == made, "{name}: {hint}");
}

#[test]
fn the_reference_of_the_configuration_is_made_from_the_table() {
    assert_made("docs/CONFIG.md", &markdown());
    assert_made("packaging/deb/sparelink.toml.5", &page_of_the_keys());
}

fn markdown() -> String {
    let mut text = String::from(
        "# Every setting\n\n\
         The file is `/etc/sparelink/sparelink.toml` (TOML). `sparelink check` lists every mistake in it, each with its\n\
         place and a hint; `sparelink reload` takes it over without touching a connection. Durations look like `250ms`,\n\
         `60s`, `10m` or `2h`. The least is one uplink:\n\n",
    );
    let _ = write!(text, "```toml\n{LEAST}```\n");
    for section in SECTIONS {
        let _ = write!(text, "\n## `{}`\n\n{}\n\n", section.title, section.about);
        text += "| key | default | example | what it says |\n| --- | --- | --- | --- |\n";
        for key in section.keys {
            let default = match key.default {
                Default::Needed => "needed".to_owned(),
                Default::Value(value) => format!("`{value}`"),
                Default::Words(words) => words.to_owned(),
            };
            let about = key.about.replace("docs/", "");
            let _ = writeln!(text, "| `{}` | {default} | `{}` | {about} |", key.name, key.example);
        }
    }
    text.replace("see docs/MESSAGES.md", "see [MESSAGES.md](MESSAGES.md)")
        .replace("see docs/NAMES.md", "see [NAMES.md](NAMES.md)")
        .replace("see docs/LEDS.md", "see [LEDS.md](LEDS.md)")
}

/// Text that roff takes as it is.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace('`', "");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Text in a literal, such as a value.
fn bold(text: &str) -> String {
    format!("\\fB{}\\fP", roff(text))
}

fn page_of_the_keys() -> String {
    let mut text = String::from(
        ".TH SPARELINK.TOML 5 \"\" \"sparelink\" \"File formats\"\n.SH NAME\n\
         sparelink.toml \\- configuration of sparelink\n.SH DESCRIPTION\n\
         .I /etc/sparelink/sparelink.toml\nis a TOML file.\n.B sparelink check\nlists every mistake in it, each with its \
         place and a hint;\n.B sparelink reload\ntakes it over without touching a connection.\n\
         Durations look like 250ms, 60s, 10m or 2h. The least is one uplink:\n.PP\n.EX\n",
    );
    text += LEAST;
    text += ".EE\n.SH SETTINGS\n";
    for section in SECTIONS {
        let about = section.about.replace("docs/", "/usr/share/doc/sparelink/docs/");
        let _ = write!(text, ".SS \"{}\"\n{}\n", roff(section.title), roff(&about));
        for key in section.keys {
            let default = match key.default {
                Default::Needed => "It is needed".to_owned(),
                Default::Value(value) => format!("Default: {}", bold(value)),
                Default::Words(words) => format!("Default: {}", roff(words)),
            };
            let example = bold(&format!("{} = {}", key.name, key.example));
            let _ = write!(
                text,
                ".TP\n.B {}\n{}\n{default}. For example {example}\n",
                roff(key.name),
                roff(key.about)
            );
        }
    }
    text + ".SH FILES\n.TP\n.I /etc/sparelink/sparelink.toml\nThe configuration.\n\
            .SH SEE ALSO\n.BR sparelink (8)\n"
}

/// What the program says to these words.
#[expect(clippy::disallowed_methods, reason = "the test starts what it tests")]
fn said(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sparelink")).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_manual_is_made_from_the_help() {
    assert_made("packaging/deb/sparelink.8", &page_of_the_commands());
}

fn page_of_the_commands() -> String {
    let mut text = String::from(include_str!("manual/head.roff"));
    let help = said(&["--help"]);
    let mut is_listed = false;
    for line in help.lines() {
        if let Some(title) = line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            // The lab is a matter of the computer at hand, and not of the box.
            is_listed = !matches!(title, "Try" | "Flags");
            if is_listed {
                let _ = writeln!(text, ".SS {title}");
            }
        } else if let Some(row) = line.strip_prefix("  ").filter(|_| is_listed) {
            text += &command(row.split_whitespace().next().unwrap_or_default());
        }
    }
    text + include_str!("manual/tail.roff")
}

/// A command of the manual: its line of use, what it does, and its flags.
fn command(name: &str) -> String {
    let help = said(&[name, "--help"]);
    let mut parts = help.split("\n\n");
    let about = parts.next().unwrap_or_default();
    let usage = parts.next().unwrap_or_default().trim_start_matches("Usage: sparelink ");
    let words = usage.trim_end_matches(" [FLAGS]").strip_prefix(name).unwrap_or_default().trim();
    let mut text = format!(".TP\n.B {}", roff(name));
    if !words.is_empty() {
        let _ = write!(text, " {}", bold(words).replace("\\fB", "\\fI"));
    }
    let _ = write!(text, "\n{}\n", roff(about));
    for part in parts {
        let Some(flags) = part.strip_prefix("Flags:\n") else {
            let example = part.strip_prefix("Example: ");
            let shown = example.map(|line| format!(".EX\n{}\n.EE", roff(line)));
            let apart = |line: &str| if line.starts_with("Exit code") { ".br\n" } else { "" };
            let lines: Vec<String> =
                part.lines().map(|line| format!("{}{}", apart(line), roff(line))).collect();
            let _ = write!(text, ".IP\n{}\n", shown.unwrap_or_else(|| lines.join("\n")));
            continue;
        };
        text += ".RS\n";
        for row in flags.lines().filter(|row| !row.contains("--help")) {
            let (flag, about) = row.trim_start().split_once("  ").unwrap_or((row, ""));
            let _ = write!(text, ".TP\n{}\n{}\n", bold(flag), roff(about.trim_start()));
        }
        text += ".RE\n";
    }
    text
}
