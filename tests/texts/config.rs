//! Every `tests/config/*.toml` is read, and what comes out is the `.expect` file beside it: the
//! mistakes as they are printed, or the configuration with its defaults. `UPDATE_GOLDEN=1` writes
//! them again.

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

/// The mistakes of a text, which is not right.
fn mistakes(text: &str) -> String {
    config::parse(text, "x").map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn one_uplink_in_single_brackets_hides_nothing_in_the_others() {
    let found = mistakes(
        "[uplink]\nname = \"cable\"\ninterface = \"eth1\"\nwindow = \"5\"\n\
         [[uplink]]\nnam = \"mifi\"\ninterface = \"usb0\"\nkind = \"lte\"\nhold = \"60s\"\n\
         [[uplink]]\nname = \"phone\"\nmatch = { drver = \"cdc_ether\" }\n[ uplink ]\nname = \"cable\"\n",
    );
    for place in ["1:1", "4:10", "6:1", "8:8", "9:1", "12:11", "13:1", "14:8"] {
        assert!(found.contains(&format!("x:{place}: ")), "{place} in\n{found}");
    }
    assert!(!found.contains("upli "), "{found}");
    assert_eq!(found.matches("so this must be [[uplink]]").count(), 2, "{found}");
}

#[test]
fn a_yaml_file_gets_one_sentence() {
    for text in [
        "# mine\nuplinks:\n  - name: cable\n    interface: eth1\n",
        "---\nuplink: cable\n",
        "- name: cable\n",
    ] {
        let found = mistakes(text);
        assert!(found.contains("this looks like YAML"), "{found}");
        assert_eq!(found.lines().count(), 2, "{found}");
    }
}

#[test]
fn targets_that_are_near_and_impossible_names_are_mistakes_with_examples() {
    let found = mistakes(
        "[[uplink]]\nname = \"a\"\ninterface = \"eth1\"\ngateway = \"192.168.8.1\"\n\
         [[uplink]]\nname = \"b\"\ninterface = \"a-name-that-is-too-long\"\n\
         [lan]\ninterfaces = \"br-lan\"\n\
         [probe]\ntargets = [\"1.1.1.1\", \"192.168.8.1\", \"10.0.0.1\", \"169.254.3.4\"]\n\
         targets6 = [\"fe80::1\", \"2620:fe::fe\"]\n[web]\nlisten = [\"10.0.0.1:80\"]\n",
    );
    for words in [
        "x:7:13: interface: \"a-name-that-is-too-long\" cannot be an interface",
        "for example interfaces = [\"br-lan\"]",
        "x:11:23: targets: 192.168.8.1 is the gateway of uplink a",
        "x:11:38: targets: 10.0.0.1 is this box",
        "x:11:50: targets: 169.254.3.4 is an address of the link itself",
        "x:12:13: targets6: fe80::1 is an address of the link itself",
    ] {
        assert!(found.contains(words), "{words} in\n{found}");
    }
    assert!(!found.contains("1.1.1.1 is") && !found.contains("2620"), "{found}");
}

#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the tests")]
fn update_golden() -> bool {
    std::env::var("UPDATE_GOLDEN").is_ok()
}
