//! The metrics, read by a strict reader of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One family as a strict reader sees it.
#[derive(Debug, Default)]
struct Found {
    kind: String,
    unit: String,
    help: String,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// Reads both dialects; every line must be what the dialect allows, every family in one piece.
fn read(text: &str, open: bool) -> BTreeMap<String, Found> {
    let mut families: BTreeMap<String, Found> = BTreeMap::new();
    let (mut now, mut ended) = (String::new(), false);
    for line in text.lines() {
        assert!(!ended, "after the end: {line}");
        if line == "# EOF" {
            assert!(open, "no end mark in the plain dialect");
            ended = true;
            continue;
        }
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, said) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            if name != now {
                assert!(!families.contains_key(name), "{name} in two pieces");
                now = name.to_owned();
            }
            let family = families.entry(now.clone()).or_default();
            assert!(family.samples.is_empty(), "{line} after its samples");
            match what {
                "HELP" => family.help = said.to_owned(),
                "TYPE" => family.kind = said.to_owned(),
                "UNIT" => {
                    assert!(open && name.ends_with(&format!("_{said}")), "{line}");
                    family.unit = said.to_owned();
                }
                other => panic!("{other}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = families.get_mut(&now).unwrap();
        let ending = match (open, family.kind.as_str()) {
            (true, "counter") => "_total",
            (true, "info") => "_info",
            _ => "",
        };
        assert_eq!(name, format!("{now}{ending}"), "{line}");
        assert!(family.samples.iter().all(|(_, l, _)| *l != labels), "twice: {line}");
        family.samples.push((name, labels, value));
    }
    assert_eq!(ended, open, "the end mark");
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    families
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match head.split_once('{') {
        None => (head, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap()),
    };
    assert!(
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        "{line}"
    );
    let mut found = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").unwrap();
        let (mut text, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect("a quotation mark at the end") {
                (at, '"') => break at,
                (_, '\\') => text.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('"' | '\\') => c,
                    c => panic!("\\{c}"),
                }),
                (_, c) => text.push(c),
            }
        };
        assert!(found.insert(key.to_owned(), text).is_none(), "{line}");
        rest = after[end + 1..].trim_start_matches(',');
    }
    (name.to_owned(), found, value.parse().unwrap())
}

async fn metrics(accept: &str) -> (String, String) {
    let headers = ["Host: 192.168.1.1", accept];
    let answer = request(PAGE, "GET /metrics", &headers, "").await;
    let kind = answer.header("content-type").unwrap().to_owned();
    (kind, String::from_utf8(answer.body).unwrap())
}

const OPEN: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

#[test]
fn both_dialects_say_the_same() {
    run(async {
        let (kind, plain) = metrics("Accept: */*").await;
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let (kind, open) = metrics(OPEN).await;
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let (plain, open) = (read(&plain, false), read(&open, true));
        let samples = |families: &BTreeMap<String, Found>| -> Vec<_> {
            families.values().flat_map(|family| family.samples.clone()).collect()
        };
        let names = |all: &[(String, BTreeMap<String, String>, f64)]| -> BTreeSet<String> {
            all.iter().map(|(name, ..)| name.clone()).collect()
        };
        assert_eq!(names(&samples(&plain)), names(&samples(&open)));
        for (name, family) in &open {
            assert!(family.help.ends_with('.') && family.help.len() > 5, "{name}: {family:?}");
            let unit = ["_seconds", "_bytes", "_ratio"].iter().find(|unit| name.ends_with(**unit));
            assert_eq!(unit.map_or("", |unit| &unit[1..]), family.unit, "{name}");
        }
        let of = |name: &str, uplink: &str| {
            let family = &open[name].samples;
            let found = family
                .iter()
                .find(|(_, labels, _)| labels.get("uplink").is_none_or(|u| u == uplink));
            found.unwrap_or_else(|| panic!("{name} of {uplink}")).2
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
        close(of("sparelink_uplink_rtt_seconds", "cable"), 0.0125);
        close(of("sparelink_uplink_loss_ratio", "cable"), 0.025);
        close(of("sparelink_active", "cable"), 1.0);
        close(of("sparelink_active", "mi\"fi\\\n"), 0.0);
        close(of("sparelink_probe_bytes", "cable"), 7200.0);
        close(of("sparelink_loop_delay_seconds", ""), 0.0015);
        close(of("sparelink_switches", ""), 4.0);
    });
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push(root.join("target/tools"));
    let Some(promtool) = folders.iter().map(|dir| dir.join("promtool")).find(|file| file.exists())
    else {
        #[expect(clippy::print_stdout, reason = "a skipped test says so")]
        {
            println!("skipped: there is no promtool (.ci/setup test brings it)");
        }
        return;
    };
    run(async {
        let (_, plain) = metrics("Accept: */*").await;
        check(&promtool, &["check", "metrics"], &plain).unwrap();
        check(&promtool, &["check", "metrics"], &format!("{plain}half{{a\n")).unwrap_err();
        let rules = root.join("packaging/prometheus/sparelink.rules.yml");
        check(&promtool, &["check", "rules", &rules.to_string_lossy()], "").unwrap();
    });
}

/// What promtool has to say, if anything.
fn check(promtool: &std::path::Path, words: &[&str], input: &str) -> Result<(), String> {
    use std::process::Stdio;
    #[expect(clippy::disallowed_methods, reason = "a test compares with other people's tools")]
    let mut command = std::process::Command::new(promtool);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have heard enough before the end.
    drop(std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// Dashboards and alerts name metrics; a name that is no longer there shows nothing, silently.
#[test]
fn what_dashboards_and_alerts_name_is_there() {
    run(async {
        let (_, plain) = metrics("Accept: */*").await;
        let there: BTreeSet<String> = read(&plain, false).into_keys().collect();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
        for file in ["grafana/sparelink.json", "prometheus/sparelink.rules.yml"] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let named: BTreeSet<&str> =
                text.split(|c| !word(c)).filter(|w| w.starts_with("sparelink_")).collect();
            assert!(named.len() > 5, "control: {file} names {named:?}");
            for name in named {
                assert!(there.contains(name), "{file} names {name}, which there is not");
            }
        }
    });
}
