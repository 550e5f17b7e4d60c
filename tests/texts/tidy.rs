//! The house rules, read off the source: who may import whom, how long files and functions may be,
//! and what the engine may not even name. A breach is reported as `file:line: what`.

#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod source;

use source::Source;

/// Production lines a file may have.
const FILE_LINES: usize = 500;
/// Entries that the engine's own folder may have.
const ENGINE_ROOMS: usize = 20;
/// Lines of code a function may have between its braces.
const FUNCTION_LINES: usize = 70;

/// Who may import whom. What is not named in a row may not be imported from there.
const IMPORTS: [(&str, &[&str]); 9] = [
    ("main", &["cli"]),
    ("cli", &["lab", "daemon", "io", "engine", "config", "time", "units"]),
    ("lab", &["io", "engine", "config", "time", "units"]),
    ("daemon", &["io", "engine", "config", "time", "units"]),
    ("io", &["engine", "config", "time", "units"]),
    ("engine", &["config", "time", "units"]),
    ("config", &["time", "units"]),
    ("time", &[]),
    ("units", &[]),
];

/// The floors of the engine: a room may import from floors below its own, and itself.
const FLOORS: [(&str, usize); 18] = [
    ("step", 9),
    ("input", 7),
    ("output", 7),
    ("state", 6),
    ("status", 6),
    ("doctor", 6),
    ("notify", 5),
    ("dataplane", 5),
    ("lan", 5),
    ("names", 5),
    ("flows", 5),
    ("policy", 4),
    ("report", 4),
    ("events", 3),
    ("uplink", 3),
    ("health", 2),
    ("probe", 1),
    ("kernel", 1),
];

/// The rooms of `io` that every other room of `io` may use.
const SHARED_IO: [&str; 11] = [
    "client",
    "clock",
    "disk",
    "faults",
    "journal",
    "resolv_conf",
    "socket",
    "sys",
    "sysctl",
    "thread",
    "trial",
];

/// Other imports inside `io`: the room, and what it may use.
const IO_EXCEPTIONS: [(&str, &[&str]); 5] = [
    ("flows", &["io", "netlink", "conntrack"]),
    ("flows", &["io", "netlink", "nfnl"]),
    ("flows", &["io", "netlink", "nft"]),
    ("flows", &["io", "netlink", "sock_diag"]),
    ("flows", &["io", "ack_probe"]),
];

/// Words that the engine may not have, not even in its tests: clocks, tasks, logs, prints, and
/// what gives another order on each run.
const IMPURE_WORDS: [&str; 14] = [
    "SystemTime",
    "tokio",
    "async",
    "await",
    "tracing",
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
    "HashMap",
    "HashSet",
    "rand",
    "RandomState",
];

/// Parts of the standard library that the engine may not use.
const IMPURE_STD: [&str; 5] = ["env", "fs", "os", "process", "thread"];

/// Words that belong to a desk, not to a house. Written in halves so that this file has none.
const DESK_WORDS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "wt"),
];

#[derive(Debug, PartialEq, Eq)]
struct Finding(String);

fn finding(source: &Source, line: usize, what: &str) -> Finding {
    Finding(format!("{}:{line}: {what}", source.path))
}

/// Every rule that reads code, in the order in which they are reported.
const RULES: [fn(&Source) -> Vec<Finding>; 11] = [
    imports_point_down,
    floors_of_the_engine,
    io_rooms_keep_apart,
    only_the_daemon_holds_the_engine,
    the_engine_is_pure,
    files_stay_small,
    functions_stay_small,
    parameters_have_names_at_the_call,
    exceptions_have_reasons,
    unsafe_has_one_place,
    desk_words_stay_at_the_desk,
];

fn imports_point_down(source: &Source) -> Vec<Finding> {
    let module = source.module();
    let Some(own) = module.first() else {
        return Vec::new();
    };
    if source.is_test() && !source.path.starts_with("src/") {
        return Vec::new();
    }
    let Some((_, below)) = IMPORTS.iter().find(|(name, _)| name == own) else {
        return vec![finding(source, 1, &format!("{own} has no row in the import table"))];
    };
    let mut found = Vec::new();
    for mention in source.mentions(&[]) {
        let Some(target) = mention.segments.first() else {
            continue;
        };
        let is_module = IMPORTS.iter().any(|(name, _)| name == target);
        if target != own && (!is_module || !below.contains(&target.as_str())) {
            let path = mention.segments.join("::");
            found.push(finding(source, mention.line, &format!("{own} may not import {path}")));
        }
    }
    found
}

/// Inside the engine imports point down, too. Its root stands on top of all floors but `step`, which is its own
/// hands; that nobody imports a step follows from its floor.
fn floors_of_the_engine(source: &Source) -> Vec<Finding> {
    let module = source.module();
    let [engine, own, ..] = module.as_slice() else {
        return Vec::new();
    };
    if engine != "engine" || source.is_test() {
        return Vec::new();
    }
    let floor_of = |room: &str| FLOORS.iter().find(|(name, _)| *name == room).map(|(_, f)| *f);
    let Some(own_floor) = floor_of(own) else {
        return vec![finding(source, 1, &format!("engine::{own} has no floor"))];
    };
    let mut found = Vec::new();
    for mention in source.production_mentions(&[]) {
        let [first, room, ..] = mention.segments.as_slice() else {
            continue;
        };
        if first != "engine" || room == own {
            continue;
        }
        let below = floor_of(room).map_or(own == "step", |floor| floor < own_floor);
        if !below {
            let what = format!("engine::{own} may not import {}", mention.segments.join("::"));
            found.push(finding(source, mention.line, &what));
        }
    }
    found
}

/// Files that import each other, directly or by way of others: each circle once, by its files.
fn import_circles(sources: &[Source]) -> Vec<Finding> {
    let files: Vec<(Vec<String>, &Source)> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| (source.module(), source))
        .collect();
    let index = |path: &[String]| {
        let longest = (1..=path.len()).rev();
        longest.into_iter().find_map(|n| files.iter().position(|(module, _)| *module == path[..n]))
    };
    let imports: Vec<BTreeSet<usize>> = files
        .iter()
        .enumerate()
        .map(|(own, (_, source))| {
            let named = source.production_mentions(&[]).into_iter().map(|m| m.segments);
            let all = named.chain(source.mentions_of_children());
            all.filter_map(|path| index(&path)).filter(|other| *other != own).collect()
        })
        .collect();
    let reaches = |from: usize| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<usize> = imports[from].iter().copied().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(&imports[file]);
            }
        }
        seen
    };
    let reach: Vec<BTreeSet<usize>> = (0..files.len()).map(reaches).collect();
    let circle_of = |file: usize| -> BTreeSet<usize> {
        reach[file].iter().copied().filter(|other| reach[*other].contains(&file)).collect()
    };
    let circles: BTreeSet<BTreeSet<usize>> = (0..files.len()).map(circle_of).collect();
    let name = |file: &usize| files[*file].1.path.as_str();
    circles
        .iter()
        .filter(|circle| circle.len() > 1)
        .map(|circle| {
            let names: Vec<&str> = circle.iter().map(name).collect();
            Finding(format!("{}: import each other in a circle", names.join(", ")))
        })
        .collect()
}

fn io_rooms_keep_apart(source: &Source) -> Vec<Finding> {
    let module = source.module();
    let [io, own, ..] = module.as_slice() else {
        return Vec::new();
    };
    if io != "io" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for mention in source.mentions(&[]) {
        let [first, room, ..] = mention.segments.as_slice() else {
            continue;
        };
        let is_exception = |(from, to): &(&str, &[&str])| {
            from == own
                && to.iter().zip(&mention.segments).all(|(a, b)| a == b)
                && mention.segments.len() >= to.len()
        };
        let may = room == own
            || SHARED_IO.contains(&room.as_str())
            || IO_EXCEPTIONS.iter().any(is_exception);
        if first == "io" && !may {
            let what = format!("io::{own} may not import {}", mention.segments.join("::"));
            found.push(finding(source, mention.line, &what));
        }
    }
    found
}

/// `Engine` is named by daemon, cli and lab. In its own folder only by its root and the steps: a machine that
/// knew the whole would be no machine.
fn only_the_daemon_holds_the_engine(source: &Source) -> Vec<Finding> {
    let module = source.module();
    let words: Vec<&str> = module.iter().map(String::as_str).collect();
    if matches!(words.as_slice(), ["engine"] | ["engine", "step", ..]) {
        return Vec::new();
    }
    let may_hold = ["daemon", "cli", "lab"];
    let inside = words.first().is_none_or(|top| may_hold.contains(top)) || source.is_test();
    if inside && words.first() != Some(&"engine") {
        return Vec::new();
    }
    let named = source.mentions(&[]).into_iter().filter(|m| m.segments == ["engine", "Engine"]);
    let mut found: Vec<Finding> = named
        .map(|m| finding(source, m.line, "only daemon, cli, lab and the steps name Engine"))
        .collect();
    if let Some(line) = has_words(source, &["impl", "Engine"]) {
        found.push(finding(source, line, "impl Engine stands in engine/step"));
    }
    found
}

fn the_engine_is_pure(source: &Source) -> Vec<Finding> {
    if source.module().first().map(String::as_str) != Some("engine") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for token in &source.tokens {
        if IMPURE_WORDS.contains(&token.text.as_str()) {
            found.push(finding(
                source,
                token.line,
                &format!("the engine may not use {}", token.text),
            ));
        }
    }
    if let Some(line) = has_words(source, &["Instant", "::", "now"]) {
        found.push(finding(
            source,
            line,
            "time is an argument: the engine may not use Instant::now",
        ));
    }
    for mention in source.mentions(&["std", "core"]) {
        let [root, part, rest @ ..] = mention.segments.as_slice() else {
            continue;
        };
        let is_std = root == "std" || root == "core";
        let is_socket =
            |word: &String| ["Socket", "Stream", "Listener"].iter().any(|end| word.ends_with(end));
        let is_clock =
            part == "time" && rest.first().is_some_and(|word| word == "Instant" || word == "*");
        let is_impure = IMPURE_STD.contains(&part.as_str())
            || (part == "net" && rest.iter().any(is_socket))
            || is_clock;
        if is_std && mention.is_foreign && is_impure {
            let what = format!("the engine may not use {}", mention.segments.join("::"));
            found.push(finding(source, mention.line, &what));
        }
    }
    found
}

fn files_stay_small(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = source.production_lines();
    if !source.is_test() && lines > FILE_LINES {
        let what = format!("{lines} production lines, {FILE_LINES} are enough for one subject");
        found.push(finding(source, lines, &what));
    }
    if let Some(line) = source.code_after_tests() {
        found.push(finding(source, line, "tests come last in a file"));
    }
    found
}

fn functions_stay_small(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let above_tests = |line: usize| line <= source.production_lines();
    let long = source
        .functions()
        .into_iter()
        .filter(|(_, line, length)| above_tests(*line) && *length > FUNCTION_LINES);
    long.map(|(name, line, length)| {
        finding(source, line, &format!("fn {name} has {length} lines, {FUNCTION_LINES} are enough"))
    })
    .collect()
}

/// `f(true, false)` tells a reader nothing: what is said at a call is said by a type. Test code may.
fn parameters_have_names_at_the_call(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (name, line) in source.parameters_of("bool") {
        if line <= source.production_lines() {
            found.push(finding(source, line, &format!("{name}: bool says nothing at the call")));
        }
    }
    found
}

fn exceptions_have_reasons(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let tokens = &source.tokens;
    for (at, token) in tokens.iter().enumerate() {
        let opens = tokens.get(at + 1).is_some_and(|t| t.text == "(");
        let in_attribute = at > 0 && matches!(tokens[at - 1].text.as_str(), "[" | ",");
        if !opens || !in_attribute || !matches!(token.text.as_str(), "allow" | "expect") {
            continue;
        }
        let inside = tokens[at..].iter().take_while(|t| t.text != "]");
        if !inside.into_iter().any(|t| t.text == "reason") {
            found.push(finding(source, token.line, "an exception to a lint needs a reason"));
        }
        if token.text == "allow" && !source.is_test() {
            found.push(finding(
                source,
                token.line,
                "expect says when it is no longer needed, allow does not",
            ));
        }
    }
    found
}

fn unsafe_has_one_place(source: &Source) -> Vec<Finding> {
    if source.path == "src/io/sys.rs" {
        return Vec::new();
    }
    let named = source.tokens.iter().filter(|t| t.text == "unsafe");
    named.map(|t| finding(source, t.line, "unsafe code lives in src/io/sys.rs")).collect()
}

fn desk_words_stay_at_the_desk(source: &Source) -> Vec<Finding> {
    desk_words(&source.path, &source.text)
}

/// The same for every text of the house. Numbers of issues mean nothing to those who read later.
fn desk_words(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        for word in DESK_WORDS.iter().filter(|word| line.contains(**word)) {
            found.push(Finding(format!("{path}:{line_number}: {word} is for the desk")));
        }
        let lower = line.to_lowercase();
        let numbered = lower.match_indices("issue").any(|(at, word)| {
            let rest = lower[at + word.len()..].trim_start_matches([' ', '#']);
            rest.starts_with(|c: char| c.is_ascii_digit())
        });
        if numbered {
            found.push(Finding(format!("{path}:{line_number}: say what it was, not its number")));
        }
    }
    found
}

/// The line where these words stand in a row.
fn has_words(source: &Source, words: &[&str]) -> Option<usize> {
    let found = source
        .tokens
        .windows(words.len())
        .find(|w| w.iter().map(|t| t.text.as_str()).eq(words.iter().copied()));
    found.map(|window| window[0].line)
}

/// Every file below `folder` with one of these endings, by its path from the repository's root.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<Source> {
    let all = ["src", "tests", "benches"].iter().flat_map(|folder| files(folder, &[".rs"]));
    all.map(|(path, text)| Source::new(&path, &text)).collect()
}

fn complain(findings: &[Finding]) {
    let lines: Vec<&str> = findings.iter().map(|f| f.0.as_str()).collect();
    assert!(lines.is_empty(), "{} breaches of the house rules:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_house_is_tidy() {
    let sources = rust_files();
    let has = |path: &str| sources.iter().any(|source| source.path == path);
    assert!(
        sources.len() > 60 && has("src/main.rs") && has("src/engine/mod.rs"),
        "the files were found"
    );
    let all =
        |rule: &fn(&Source) -> Vec<Finding>| sources.iter().flat_map(*rule).collect::<Vec<_>>();
    let mut found: Vec<Finding> = RULES.iter().flat_map(all).collect();
    found.extend(import_circles(&sources));
    complain(&found);
}

/// A house is found one's way in by its doors: what is at the top of the engine.
#[test]
fn the_engine_has_few_rooms() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let rooms = fs::read_dir(folder).unwrap().count();
    assert!((5..=ENGINE_ROOMS).contains(&rooms), "{rooms} entries, {ENGINE_ROOMS} are enough");
}

#[test]
fn texts_are_for_those_who_come_later() {
    let endings = ["md", "toml", "Makefile", "service", "run", ".sh", ".html", ".js", ".css"];
    let folders = ["docs", "systemd", ".ci", "boards", "web", "packaging"];
    let mut texts: Vec<_> = folders.iter().flat_map(|folder| files(folder, &endings)).collect();
    for name in ["README.md", "CHANGELOG.md", "Makefile", "Cargo.toml", "deny.toml", "cross.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        texts.push((name.to_owned(), fs::read_to_string(path).unwrap()));
    }
    complain(&texts.iter().flat_map(|(path, text)| desk_words(path, text)).collect::<Vec<_>>());
}

/// Each rule is given what it is there to find, and something like it that is right.
mod each_rule_can_fail {
    use super::*;

    fn found(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::new(path, text)).into_iter().map(|f| f.0).collect()
    }

    #[test]
    fn an_import_that_points_up() {
        let rule = imports_point_down;
        for text in [
            "use crate::io::clock;",
            "use crate::{units::A, io};",
            "fn f() { crate::daemon::run() }",
            "use super::super::cli;",
            "mod tests { use super::super::super::io::clock; }",
            "use crate::Foo;",
        ] {
            let all = found(rule, "src/engine/link.rs", text);
            assert_eq!(all.len(), 1, "{text}: {all:?}");
            assert!(all[0].starts_with("src/engine/link.rs:1: engine may not import "), "{all:?}");
        }
        for text in [
            "use crate::{config::Config, units::{A, B}};",
            "use super::link;",
            "mod tests { use super::*; use super::super::probe; }",
            "// crate::io\nconst A: &str = \"crate::io::b\";",
        ] {
            assert_eq!(found(rule, "src/engine/link.rs", text), [""; 0], "{text}");
        }
        assert_eq!(found(rule, "src/main.rs", "fn main() { sparelink::daemon::run() }").len(), 1);
        assert_eq!(found(rule, "src/attic.rs", "").len(), 1);
    }

    #[test]
    fn a_floor_that_imports_from_above() {
        let rule = floors_of_the_engine;
        for (path, text) in [
            ("src/engine/health/line.rs", "use crate::engine::uplink::Uplink;"),
            ("src/engine/health/line.rs", "use crate::engine::Mode;"),
            ("src/engine/lan/listen.rs", "use crate::engine::{names::Named, kernel::view};"),
            ("src/engine/output.rs", "fn f() { crate::engine::step::select::f() }"),
            ("src/engine/attic/old.rs", ""),
        ] {
            assert_eq!(found(rule, path, text).len(), 1, "{path}: {text}");
        }
        for (path, text) in [
            (
                "src/engine/uplink/mod.rs",
                "use crate::engine::health::line::Line; use super::probe;",
            ),
            ("src/engine/step/judge.rs", "use crate::engine::{Engine, policy::hold};"),
            ("src/engine/lan/listen.rs", "use super::prefixes; use crate::units::Family;"),
            ("src/engine/lan/listen.rs", "pub(in crate::engine) fn f() {}"),
            ("src/engine/mod.rs", "use step::select;"),
        ] {
            assert_eq!(found(rule, path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn files_that_import_each_other() {
        let circles = |files: &[(&str, &str)]| {
            let sources: Vec<Source> = files.iter().map(|(p, t)| Source::new(p, t)).collect();
            import_circles(&sources).into_iter().map(|f| f.0).collect::<Vec<_>>()
        };
        let two = [
            ("src/io/a/mod.rs", "mod b;\nuse b::B;"),
            ("src/io/a/b.rs", "use super::A;"),
            ("src/time.rs", ""),
        ];
        assert_eq!(
            circles(&two),
            ["src/io/a/mod.rs, src/io/a/b.rs: import each other in a circle"]
        );
        let three = [
            ("src/io/a.rs", "use super::b::B;"),
            ("src/io/b.rs", "use crate::io::c::{C, D};"),
            ("src/io/c.rs", "fn f() { crate::io::a::f() }"),
        ];
        assert_eq!(circles(&three).len(), 1);
        let none = [
            ("src/io/a/mod.rs", "mod b;\nuse b::B;"),
            (
                "src/io/a/b.rs",
                "pub(in crate::io::a) struct B;\n#[cfg(test)]\nmod tests {\n    use super::super::A;\n}",
            ),
        ];
        assert_eq!(circles(&none), [""; 0]);
    }

    #[test]
    fn a_room_of_io_in_another() {
        let rule = io_rooms_keep_apart;
        for (path, text) in [
            ("src/io/flows.rs", "use super::netlink::talk::Talk;"),
            ("src/io/flows.rs", "use super::netlink;"),
            ("src/io/web/api.rs", "use crate::io::{clock, store};"),
        ] {
            assert_eq!(found(rule, path, text).len(), 1, "{text}");
        }
        for (path, text) in [
            ("src/io/flows.rs", "use super::netlink::conntrack::Conntrack;"),
            ("src/io/netlink/nft/mod.rs", "use super::nfnl; use crate::io::{clock, sysctl};"),
            ("src/io/mod.rs", "use self::netlink::Reconciler;"),
        ] {
            assert_eq!(found(rule, path, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_part_that_knows_the_whole() {
        let rule = only_the_daemon_holds_the_engine;
        let text = "use crate::engine::{Engine, Mode};";
        for path in ["src/io/record.rs", "src/engine/health/line.rs", "src/engine/link.rs"] {
            assert_eq!(found(rule, path, text).len(), 1, "{path}");
        }
        for path in ["src/engine/health/line.rs", "src/engine/uplink/standing.rs"] {
            assert_eq!(found(rule, path, "impl Engine {}").len(), 1, "{path}");
        }
        for path in ["src/engine/mod.rs", "src/engine/step/select.rs"] {
            assert_eq!(found(rule, path, "use crate::engine::Engine; impl Engine {}"), [""; 0]);
        }
        assert_eq!(found(rule, "src/daemon.rs", text), [""; 0]);
    }

    #[test]
    fn an_engine_that_looks_at_the_world() {
        let rule = the_engine_is_pure;
        for text in [
            "let t = Instant::now();",
            "use std::time::SystemTime;",
            "use std::time::{Duration, Instant};",
            "use std::{fs, collections::BTreeMap};",
            "let v = std::env::args();",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::thread;",
            "async fn f() {}",
            "f().await;",
            "tracing::info!();",
            "println!();",
            "let m: HashMap<u8, u8>;",
            "mod tests { use std::collections::HashSet; }",
            "rand::random();",
            "tokio::spawn(x);",
        ] {
            let all = found(rule, "src/engine/link.rs", text);
            assert_eq!(all.len(), 1, "{text}: {all:?}");
        }
        for text in [
            "use std::net::{IpAddr, SocketAddr};",
            "use std::time::Duration; use crate::time::Instant;",
            "/// Not tokio.\nlet a = \"async HashMap println!\"; // std::fs",
            "let operand = 1;",
        ] {
            assert_eq!(found(rule, "src/engine/link.rs", text), [""; 0], "{text}");
        }
        assert_eq!(found(rule, "src/io/clock.rs", "Instant::now()"), [""; 0]);
    }

    #[test]
    fn a_long_file() {
        let rule = files_stay_small;
        let long = "fn f() {}\n".repeat(FILE_LINES + 1);
        assert_eq!(found(rule, "src/time.rs", &long).len(), 1);
        assert_eq!(found(rule, "tests/route.rs", &long), [""; 0]);
        let tested = format!(
            "fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    // a test\n".repeat(FILE_LINES)
        );
        assert_eq!(found(rule, "src/time.rs", &tested), [""; 0]);
        // A gate on something small does not hide what follows it.
        let hidden = format!("#[cfg(test)]\nconst A: u8 = 1;\n{long}");
        assert_eq!(found(rule, "src/time.rs", &hidden).len(), 1);
        assert_eq!(found(rule, "src/time.rs", &format!("{tested}fn g() {{}}\n")).len(), 1);
    }

    #[test]
    fn a_long_function() {
        let rule = functions_stay_small;
        let body = |n: usize| {
            format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    g('{', \"}\");\n\n    // why\n".repeat(n))
        };
        assert_eq!(found(rule, "src/time.rs", &body(FUNCTION_LINES)), [""; 0]);
        let all = found(rule, "src/time.rs", &body(FUNCTION_LINES + 1));
        assert_eq!(all, ["src/time.rs:1: fn f has 71 lines, 70 are enough"]);
    }

    #[test]
    fn a_parameter_that_is_a_bool() {
        let rule = parameters_have_names_at_the_call;
        for text in [
            "fn f(a: bool) {}",
            "fn f<F: Fn(u8) -> u8>(\n    a: [u8; 2],\n    mut b: bool,\n) -> bool;",
            "trait A { fn f(&mut self, a: &mut bool); }",
            "fn f() { let g = |a: bool| !a; }",
            "fn f() { let g = move |a: u8, (b, c): (u8, u8), d: bool, e: u8| d; }",
        ] {
            let all = found(rule, "src/time.rs", text);
            assert_eq!(all.len(), 1, "{text}: {all:?}");
            assert_eq!(found(rule, "tests/route.rs", text), [""; 0]);
            let tested = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
            assert_eq!(found(rule, "src/time.rs", &tested), [""; 0]);
        }
        assert_eq!(found(rule, "src/time.rs", "fn f(a: bool, b: bool) {}").len(), 2);
        for text in [
            "struct A { a: bool, b: PerFamily<bool> }",
            "fn f(a: PerFamily<bool>, is: fn(&u8) -> bool) -> bool { let a: bool = is(&1); a }",
            "enum A { B { a: bool } }\nfn f(a: A) { matches!(a, A::B { a: true } | A::B { .. }) }",
            "fn f(a: u8) -> bool { let b = a | 1; S { c: bool::from(b) | true } }",
        ] {
            assert_eq!(found(rule, "src/time.rs", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn an_exception_without_a_reason() {
        let rule = exceptions_have_reasons;
        assert_eq!(found(rule, "src/time.rs", "#[expect(dead_code)]\nfn f() {}").len(), 1);
        assert_eq!(found(rule, "tests/a.rs", "#![allow(dead_code)]").len(), 1);
        assert_eq!(found(rule, "src/time.rs", "#[allow(dead_code, reason = \"x\")]").len(), 1);
        assert_eq!(found(rule, "tests/a.rs", "#![allow(dead_code, reason = \"x\")]"), [""; 0]);
        assert_eq!(found(rule, "src/time.rs", "#[expect(dead_code, reason = \"x\")]"), [""; 0]);
        assert_eq!(found(rule, "src/time.rs", "let a = b.expect(\"it is there\");"), [""; 0]);
    }

    #[test]
    fn unsafe_code_elsewhere() {
        let rule = unsafe_has_one_place;
        assert_eq!(found(rule, "src/io/socket.rs", "unsafe { f() }").len(), 1);
        assert_eq!(found(rule, "src/io/sys.rs", "unsafe { f() }"), [""; 0]);
        assert_eq!(found(rule, "src/io/socket.rs", "#![deny(unsafe_code)] // unsafe"), [""; 0]);
    }

    #[test]
    fn words_from_the_desk() {
        let rule = desk_words_stay_at_the_desk;
        for text in [
            concat!("// TO", "DO: later"),
            concat!("// see is", "sue #12"),
            concat!("/// Is", "sue 7"),
        ] {
            assert_eq!(found(rule, "src/time.rs", text).len(), 1, "{text}");
        }
        assert_eq!(found(rule, "src/time.rs", "// an issue of 12 lines"), [""; 0]);
    }
}

/// Literals and comments of every kind, so that no rule is fooled by them.
#[test]
fn literals_and_comments_are_no_code() {
    let text = r####"a /* b /* c */ d */ e "f\" g" h 'i' j '\'' k 'l: r#"m " n"# o b"p" br##"q"# r"## s // t
u"####;
    let source = Source::new("src/a.rs", text);
    let words: Vec<&str> = source.tokens.iter().map(|t| t.text.as_str()).collect();
    assert_eq!(words, ["a", "e", "h", "j", "k", "'", "l", ":", "o", "b", "s", "u"]);
    assert_eq!(source.tokens.last().unwrap().line, 2);
}
