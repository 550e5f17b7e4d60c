//! Every `tests/config/*.toml` is read, and what comes out is the `.expect` file beside it: the
//! mistakes as they are printed, or the configuration with its defaults. `UPDATE_GOLDEN=1` writes
//! them anew.

use std::fs;
use std::path::Path;

use sparelink::config::{self, HttpExpect, Kind, Listen, OnReturn};

#[test]
fn golden_files() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(files.len() >= 8, "there are golden files");
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        let got = match config::parse(&text, &name) {
            Ok(config) => format!("{config:#?}\n"),
            Err(error) => format!("{error}\n"),
        };
        let expect = file.with_extension("expect");
        if update_golden() {
            fs::write(&expect, &got).unwrap();
        }
        if fs::read_to_string(&expect).unwrap_or_default() != got {
            wrong.push(format!("--- {name} gives now:\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 accepts this", wrong.join("\n"));
}

#[test]
fn ten_lines_are_enough() {
    let config = config::parse(include_str!("../config/minimal.toml"), "minimal.toml").unwrap();
    let names: Vec<_> = config.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["cable", "mifi"]);
    assert!(config.uplinks.iter().all(|u| u.kind == Kind::Wired && u.on_return == OnReturn::Drain));
    assert!(config.lan.as_ref().is_some_and(|lan| lan.guard && !lan.announce));
    assert_eq!(config.probe.targets.v4.len(), 3);
    assert_eq!(config.probe.targets.v6.len(), 3);
    assert_eq!(config.probe.http.len(), 2);
    assert_eq!(config.probe.http[0].expect, HttpExpect::Status(204));
    assert_eq!(config.probe.dns.as_deref(), Some("example.com"));
    assert_eq!(config.failback.hold.as_secs(), 60);
    assert_eq!(config.failback.hold_max.as_secs(), 1800);
    assert_eq!(config.web.listen, [Listen::Lan(8300)]);
    assert_eq!(config.state_dir, Path::new("/var/lib/sparelink"));
    assert_eq!(config.run_dir, Path::new("/run/sparelink"));
}

#[test]
fn metered_flows_drain_for_ten_minutes() {
    let text = "[[uplink]]\nname = \"a\"\ninterface = \"eth1\"\nmetered = true\n";
    let config = config::parse(text, "x").unwrap();
    let ten_minutes = std::time::Duration::from_secs(600);
    assert_eq!(config.uplinks[0].on_return, OnReturn::DrainFor(ten_minutes));
    assert!(config.lan.is_none() && config.web.listen.is_empty());
}

#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the tests")]
fn update_golden() -> bool {
    std::env::var("UPDATE_GOLDEN").is_ok()
}
