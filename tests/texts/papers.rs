//! What stands in files that are no code must hold too: examples are right, links lead somewhere,
//! and what tools read can be read.

#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]
#![expect(
    clippy::disallowed_methods,
    reason = "systemd is asked what it thinks of the unit, and scripts are run"
)]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use sparelink::config;
use sparelink::engine::events::catalogue::Code;
use toml::de::DeTable;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// README.md and every document below `docs`.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The insides of blocks fenced as this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let parts = text.split(opening.as_str()).skip(1);
    parts.map(|part| part.split("```").next().unwrap()).collect()
}

/// Where the links of a text lead, those into the web left out.
fn links(text: &str) -> Vec<&str> {
    let parts = text.split("](").skip(1);
    let targets = parts.filter_map(|part| part.split(')').next());
    targets.filter(|target| !target.starts_with("http")).collect()
}

#[test]
fn configurations_in_documents_are_right() {
    let mut count = 0;
    for path in documents() {
        for block in blocks(&fs::read_to_string(&path).unwrap(), "toml") {
            count += 1;
            if let Err(mistakes) = config::parse(block, &path.display().to_string()) {
                panic!("{mistakes}");
            }
        }
    }
    assert!(count > 0, "there is an example at least in README.md");
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            count += 1;
            let file = link.split('#').next().unwrap();
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", path.display());
        }
    }
    assert!(count > 5, "links were found");
}

/// The anchor of a heading, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn links_into_documents_lead_to_headings() {
    let mut count = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (file, wanted) in links(&text).iter().filter_map(|link| link.split_once('#')) {
            count += 1;
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let headings = fs::read_to_string(target).unwrap();
            let mut headings = headings.lines().filter(|line| line.starts_with('#'));
            let leads = headings.any(|line| anchor(line.trim_start_matches('#')) == wanted);
            assert!(leads, "{}: there is no heading {file}#{wanted}", path.display());
        }
    }
    assert!(count > 5, "links were found");
}

/// Whoever wants to know more follows a link.
#[test]
fn the_readme_is_short() {
    let words = read("README.md").split_whitespace().count();
    assert!((100..=900).contains(&words), "{words} words");
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let text = read("README.md");
    let top: Vec<&str> = text.lines().take(15).collect();
    for target in ["demo", "test"] {
        let command = format!("    make {target} ");
        assert!(top.iter().any(|line| line.starts_with(&command)), "{command}");
        assert!(read("Makefile").contains(&format!("\n{target}: ")), "{command} is a target");
    }
}

#[test]
fn what_tools_read_is_toml() {
    for name in ["cross.toml", "deny.toml"] {
        assert!(DeTable::parse(&read(name)).is_ok(), "{name}");
    }
    let text = read("cross.toml");
    let cross = DeTable::parse(&text).unwrap();
    let targets = cross.get_ref()["target"].get_ref().as_table().unwrap();
    for target in ["aarch64-unknown-linux-musl", "armv7-unknown-linux-musleabihf"] {
        assert!(targets.contains_key(target), "{target}");
    }
}

/// Directives that the program relies on. A unit that lacks one would start, and fail later.
#[test]
fn the_unit_keeps_what_must_outlive_a_restart() {
    let unit = read("systemd/sparelink.service");
    for line in [
        "Type=notify",
        "WatchdogSec=10",
        "ExecStart=/usr/bin/sparelink run",
        "ExecReload=/usr/bin/sparelink reload",
        "Restart=always",
        "RuntimeDirectory=sparelink",
        "RuntimeDirectoryPreserve=yes",
        "StateDirectory=sparelink",
        "User=sparelink",
        "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW",
    ] {
        assert!(unit.lines().any(|there| there == line), "{line}");
    }
    assert!(!unit.contains("ExecStop"), "stopping leaves the traffic as it is");
}

/// dnsmasq looks into the run directory before the agent has run.
#[test]
fn user_and_run_directory_are_as_the_unit_has_them() {
    let unit = read("systemd/sparelink.service");
    let setting = |key: &str| {
        let lead = format!("{key}=");
        unit.lines().find_map(|line| line.strip_prefix(lead.as_str())).unwrap()
    };
    let user = setting("User");
    let (dir, mode) = (setting("RuntimeDirectory"), setting("RuntimeDirectoryMode"));
    let made = format!("d /run/{dir} {mode} {user} {user}");
    assert!(read("systemd/tmpfiles.d/sparelink.conf").lines().any(|line| line == made), "{made}");
    let known = format!("u {user} - ");
    let users = read("systemd/sysusers.d/sparelink.conf");
    assert!(users.lines().any(|line| line.starts_with(&known)), "{known}");
}

/// What systemd itself says of the unit, and of the unit with each drop-in.
#[test]
fn the_unit_is_shut_in_well_enough() {
    let unit = read("systemd/sparelink.service").replace("/usr/bin/sparelink", "/bin/true");
    // In tenths. The last has two architectures where systemd is a 64-bit one, as here.
    let drop_ins = [
        ("", 22),
        ("systemd/drop-ins/no-raw.conf", 22),
        ("systemd/drop-ins/gpio-leds.conf", 22),
        ("packaging/deb/armhf.conf", 23),
    ];
    for (n, (drop_in, limit)) in drop_ins.into_iter().enumerate() {
        let dir = std::env::temp_dir().join(format!("sparelink-unit-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("sparelink.service");
        let more = if drop_in.is_empty() { String::new() } else { read(drop_in) };
        fs::write(&file, format!("{unit}\n{more}")).unwrap();
        let analyze = |words: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            command.args(words).arg(&file).output()
        };
        let Ok(verified) = analyze(&["verify", "--man=no"]) else {
            println!("skipped: there is no systemd-analyze");
            fs::remove_dir_all(&dir).unwrap();
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && said.is_empty(), "{drop_in}: {said}");
        let limit = format!("--threshold={limit}");
        let secure = analyze(&["security", "--offline=yes", "--no-pager", &limit]).unwrap();
        let table = String::from_utf8_lossy(&secure.stdout);
        assert!(secure.status.success(), "{drop_in}: {table}");
        println!("{drop_in} {}", table.lines().last().unwrap_or_default());
        let strict =
            analyze(&["security", "--offline=yes", "--no-pager", "--threshold=5"]).unwrap();
        assert!(!strict.status.success(), "control: it can say no");
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// Lines that are settings behind a `#`; prose has a blank after it.
fn uncommented(text: &str) -> String {
    let settings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let settings = settings.filter(|line| !line.is_empty() && !line.starts_with(' '));
    settings.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_packaged_configuration_names_no_uplink_and_its_example_is_right() {
    let name = "packaging/deb/sparelink.toml";
    let text = read(name);
    assert!(config::parse(&text, name).is_err(), "a fresh install must not start anything");
    let config = config::parse(&uncommented(&text), name).unwrap();
    assert_eq!(config.uplinks.len(), 2);
}

/// Where the files of the package come from, and where they go.
fn assets() -> Vec<(String, String)> {
    let text = read("Cargo.toml");
    let manifest = DeTable::parse(&text).unwrap();
    let mut at = manifest.get_ref();
    for key in ["package", "metadata", "deb"] {
        at = at[key].get_ref().as_table().unwrap();
    }
    let word =
        |value: &toml::Spanned<toml::de::DeValue<'_>>| value.get_ref().as_str().unwrap().to_owned();
    let assets = at["assets"].get_ref().as_array().unwrap().iter();
    assets.map(|asset| (word(&asset.get_ref()[0]), word(&asset.get_ref()[1]))).collect()
}

#[test]
fn what_the_package_says_to_read_is_in_it() {
    let readme = packed_readme();
    let mut count = 0;
    let packed = assets();
    for (file, folder) in packed.iter().filter(|(file, _)| file.ends_with(".md")) {
        let text = if file.ends_with("/README.md") { readme.clone() } else { read(file) };
        for link in links(&text).into_iter().filter(|link| !link.starts_with('#')) {
            count += 1;
            // A link is followed from where the package puts the file.
            let path = Path::new(folder).join(link.split('#').next().unwrap());
            let leads = |(file, folder): &(String, String)| {
                let name = Path::new(file).file_name().unwrap();
                Path::new(folder).join(name) == without_dots(&path)
            };
            assert!(packed.iter().any(leads), "{file}: {link} is not in the package");
        }
    }
    assert!(count > 5, "links were found");
    assert!(links(&readme).len() < links(&read("README.md")).len(), "some stay at home");
}

/// README.md as the package has it.
fn packed_readme() -> String {
    let output = Command::new(root().join("packaging/deb/readme")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `a/../b` is `b`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn the_package_has_every_file_of_systemd() {
    let assets = assets();
    let packed = |file: &str| assets.iter().any(|(from, _)| from == file);
    let mut folders = vec!["systemd".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().display());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                assert!(
                    packed(&name),
                    "{name} is in no package: Cargo.toml, [package.metadata.deb]"
                );
            }
        }
    }
}

#[test]
fn the_manual_has_every_command() {
    let manual = read("packaging/deb/sparelink.8");
    let help = read("tests/cli/help.txt");
    let program = help.split("\n$ ").next().unwrap();
    let commands = program.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    let commands = commands.filter(|word| !word.starts_with('-') && *word != "lab");
    let mut count = 0;
    for command in commands {
        count += 1;
        let heading =
            |line: &str| line.starts_with(".B") && line.split(' ').nth(1) == Some(command);
        assert!(manual.lines().any(heading), "{command} is not in packaging/deb/sparelink.8");
    }
    assert!(count > 10, "commands were found");
}

/// A row of a table, cell by cell.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(str::trim).collect())
}

#[test]
fn the_api_says_of_each_event_what_the_catalogue_says() {
    let text = read("docs/API.md");
    let (_, events) = text.split_once("### What an entry says").unwrap();
    let (args, messages) = events.split_once("### What is worth a message").unwrap();
    let quoted = |code: Code| format!("`{}`", code.word());
    let listed = |code: &Code| {
        let mut rows = args.lines().filter_map(cells);
        rows.any(|row| row[0].contains(&quoted(*code)))
    };
    assert_eq!(Code::ALL.iter().find(|code| !listed(code)), None, "it has no row for its args");
    let is_row = |row: &Vec<&str>| row.len() == 3 && row[0].starts_with('`');
    let messages = messages.split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = messages.lines().filter_map(cells).filter(is_row).collect();
    let expected: Vec<Vec<String>> = Code::ALL
        .into_iter()
        .filter(|code| !code.shows_after().is_zero() || !code.depends_on().is_empty())
        .map(|code| {
            let others: Vec<String> =
                code.depends_on().iter().map(|other| quoted(*other)).collect();
            vec![quoted(code), format!("{} s", code.shows_after().as_secs()), others.join(", ")]
        })
        .collect();
    assert_eq!(rows, expected);
    assert!(rows.len() > 5, "rows were found");
}

#[test]
fn the_readme_says_how_to_use_cross() {
    assert!(read("docs/PACKAGING.md").contains("CROSS_CONFIG=cross.toml cross build "));
}

#[test]
fn blocks_and_links_are_found() {
    let text = "a [b](c.md) [d](https://e)\n```toml\nf = 1\n```\n```text\ng\n```\n";
    assert_eq!(blocks(text, "toml"), ["f = 1\n"]);
    assert_eq!(links(text), ["c.md"]);
}
