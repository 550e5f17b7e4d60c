use serde_json::{Value, json};

use super::*;
use crate::time::Utc;

const NOW: Utc = Utc(1_767_268_800_000); // 2026-01-01T12:00:00Z

fn shown_at(document: &Value, width: Option<usize>) -> String {
    let look = Look { colour: Colour::No, width, now: Some(NOW) };
    render(&Status::of(document).unwrap(), &look)
}

fn shown(document: &Value) -> String {
    shown_at(document, None)
}

/// On the second of three, as an agent tells it.
fn on_backup() -> Value {
    json!({
        "version": "0.1.0", "works": true, "active": "mifi", "active6": "mifi",
        "since": "2026-01-01T11:59:37Z", "sentence": "not read",
        "last_switch": { "at": "2026-01-01T11:59:37Z", "from": "cable", "to": "mifi",
            "reason": "not read", "felt_ms": 623 },
        "spares_ready": 1, "page": ["http://192.168.77.1:8300/", "http://[fd77::1]:8300/"],
        "uplinks": [
            { "name": "cable", "role": "not_ready", "health": "down", "condition": "beyond_modem",
              "reason": "has no Internet behind its modem",
              "next": "retried; used again after it passes the checks", "rtt_ms": 10.1, "loss_pct": 7 },
            { "name": "mifi", "role": "active", "health": "up", "condition": "ok",
              "rtt_ms": 26.4, "loss_pct": 0, "reason": "cable has no Internet behind its modem", "next": "" },
            { "name": "phone", "role": "ready", "health": "up", "condition": "ok", "reason": "ready",
              "rtt_ms": 52.2, "loss_pct": 0, "proven_s_ago": 20, "next": "" },
        ],
    })
}

/// Every kind of state that a person meets.
fn states() -> Vec<(&'static str, Value)> {
    let with = |change: fn(&mut Value)| {
        let mut document = on_backup();
        change(&mut document);
        document
    };
    let up = || with(goes_by_the_first);
    let mut alone = up();
    alone["uplinks"] = json!([alone["uplinks"][0]]);
    let mut observing = up();
    observing["observing"] = json!(true);
    let mut paused = up();
    say(
        &mut paused["uplinks"][1],
        "paused",
        "paused by a person: lent to Anna",
        "used again in 2 h",
    );
    let about_to_go_back = |d: &mut Value| {
        d["uplinks"][0]["health"] = json!("up");
        d["uplinks"][0]["condition"] = json!("ok");
        say(&mut d["uplinks"][0], "ready", "ready", "takes over in 38 s");
        d["uplinks"][1]["reason"] = json!("cable works again and takes over in 38 s");
    };
    let by_hand = |d: &mut Value| {
        d["manual"] = json!("mifi");
        d["uplinks"][1]["reason"] = json!("chosen by a person");
    };
    let first_paused = |d: &mut Value| {
        let until = "until \"sparelink resume\"";
        say(&mut d["uplinks"][0], "paused", "paused by a person", until);
    };
    vec![
        ("up", up()),
        ("one uplink", alone),
        ("on backup", on_backup()),
        ("about to go back", with(about_to_go_back)),
        ("no spare", with(no_spare)),
        ("one family", with(|d| d["active6"] = json!(null))),
        ("only IPv6", with(|d| d["active"] = json!(null))),
        ("two in use", with(two_in_use)),
        ("one version down", with(one_version_down)),
        ("by hand", with(by_hand)),
        ("paused", paused),
        ("the first paused", with(first_paused)),
        ("observing", observing),
        ("all dead", with(all_dead)),
    ]
}

fn say(uplink: &mut Value, role: &str, reason: &str, next: &str) {
    uplink["role"] = json!(role);
    uplink["reason"] = json!(reason);
    uplink["next"] = json!(next);
}

fn goes_by_the_first(document: &mut Value) {
    document["active"] = json!("cable");
    document["active6"] = json!("cable");
    document["last_switch"] = json!(null);
    document["uplinks"][0] = json!({ "name": "cable", "role": "active", "health": "up",
        "condition": "ok", "reason": "works", "next": "", "rtt_ms": 11.2, "loss_pct": 0 });
    say(&mut document["uplinks"][1], "ready", "ready", "");
    document["uplinks"][1]["proven_s_ago"] = json!(12);
}

fn no_spare(document: &mut Value) {
    let next = "retried; used again after it passes the checks";
    say(
        &mut document["uplinks"][2],
        "not_ready",
        "shows a sign-in page instead of the Internet",
        next,
    );
    document["uplinks"][2]["condition"] = json!("portal");
}

fn two_in_use(document: &mut Value) {
    document["active6"] = json!("phone");
    say(&mut document["uplinks"][2], "active", "mifi has no address", "");
}

/// The IPv6 of one that carries IPv4 is dead, and that of a spare; of the one that carries IPv6, IPv4 is.
fn one_version_down(document: &mut Value) {
    document["active6"] = json!("cable");
    let [cable, mifi, phone] = document["uplinks"].as_array_mut().unwrap().as_mut_slice() else {
        panic!("three uplinks")
    };
    let (up, down) = (json!({"health": "up"}), json!({"health": "down"}));
    for (uplink, role, only, v4, v6) in [
        (cable, "active", "IPv4", &down, &up),
        (mifi, "active", "IPv6", &up, &down),
        (phone, "not_ready", "IPv6", &up, &down),
    ] {
        let reason = format!("has no Internet behind its modem ({only} only)");
        say(uplink, role, &reason, "retried; used again after it passes the checks");
        (uplink["health"], uplink["condition"]) = (json!("down"), json!("beyond_modem"));
        (uplink["v4"], uplink["v6"]) = (v4.clone(), v6.clone());
    }
}

fn all_dead(document: &mut Value) {
    document["works"] = json!(false);
    (document["active"], document["active6"]) = (json!(null), json!(null));
    let [_, mifi, phone] = document["uplinks"].as_array_mut().unwrap().as_mut_slice() else {
        panic!("three uplinks")
    };
    let next = "moves as soon as any uplink answers";
    say(mifi, "active", "does not answer, not even its modem", next);
    (mifi["health"], mifi["condition"]) = (json!("down"), json!("modem_silent"));
    say(phone, "not_ready", "is not plugged in", "waits to be plugged in");
    (phone["health"], phone["condition"]) = (json!("unknown"), json!("absent"));
}

/// The golden text, which `UPDATE_GOLDEN=1` writes again.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/status.txt");

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the tests")]
fn every_state_reads_well_at_every_width() {
    let since = when::clock(Utc(NOW.0 - 23_000), Some(NOW)).unwrap();
    let mut text = String::new();
    for (name, document) in states() {
        for columns in [Some(40), Some(80), Some(120), None] {
            let shown = shown_at(&document, columns).replace(&since, "11:59");
            let wide = columns.map_or_else(|| "piped".to_owned(), |c| format!("{c} columns"));
            text += &format!("=== {name}, {wide}\n{shown}\n");
        }
    }
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    let expected = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(expected == text, "{GOLDEN} would be:\n{text}\nUPDATE_GOLDEN=1 accepts this");
}

#[test]
fn five_questions_are_answered_in_every_state() {
    for (name, document) in states() {
        for columns in [Some(40), Some(80), Some(120), None] {
            let text = shown_at(&document, columns);
            let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
            let which = if name == "all dead" { "No Internet" } else { "Internet works, on " };
            assert!(text.contains(which) && text.contains("since "), "{name}: {text}");
            assert!(begins("  Why:   ") && begins("  Next:  "), "{name}: {text}");
            let spares = ["spare ready (", "spares ready (", "No spare left.", "No other uplink"];
            assert!(spares.iter().any(|words| text.contains(words)), "{name}: {text}");
            let widest = text.lines().map(width).max().unwrap_or(0);
            assert!(columns.is_none_or(|c| widest <= c), "{name}, {columns:?}: {text}");
            let rows = text.lines().filter(|line| line.contains("mifi   ")).count();
            assert!(rows == usize::from(name != "one uplink"), "{name}: {text}");
        }
    }
}

#[test]
fn a_dead_line_has_no_figures_whatever_was_measured() {
    let mut document = on_backup();
    for (role, health, condition) in [
        ("not_ready", "down", "ok"),
        ("not_ready", "recovering", "modem_silent"),
        ("not_ready", "unknown", "absent"),
        ("active", "down", "ok"),
    ] {
        document["uplinks"][0]["role"] = json!(role);
        document["uplinks"][0]["health"] = json!(health);
        document["uplinks"][0]["condition"] = json!(condition);
        let text = shown(&document);
        assert!(!text.contains("10 ms") && !text.contains("7 %"), "{condition}: {text}");
    }
}

#[test]
fn a_narrow_terminal_gets_a_second_line() {
    let narrow = shown_at(&on_backup(), Some(40));
    assert!(narrow.contains("phone  ready   52 ms  0 %\n       checked 20 s ago\n"), "{narrow}");
}

#[test]
fn what_is_left_is_said() {
    let mut document = on_backup();
    no_spare(&mut document);
    let text = shown(&document);
    assert!(text.contains("\nNo spare left. Paused: none. Page: "), "{text}");
    assert!(text.contains("phone  sign-in page") && text.contains("  Also:  phone shows a"));
    document["uplinks"][2]["role"] = json!("paused");
    assert!(shown(&document).contains("\nNo spare left. Paused: phone. Page: "));
}

#[test]
fn nothing_works_is_said_without_a_figure_of_the_dead() {
    let mut document = on_backup();
    document["works"] = json!(false);
    (document["active"], document["active6"]) = (json!(null), json!(null));
    document["uplinks"][1]["health"] = json!("down");
    let text = shown(&document);
    assert!(text.starts_with("No Internet since "), "{text}");
    assert!(text.contains("→  2  mifi   down       –\n"), "{text}");
    assert!(!text.contains("26 ms") && !text.contains("10 ms"), "{text}");
}

#[test]
fn a_note_is_told_with_its_countdown() {
    let mut document = on_backup();
    let note = json!({ "text": "ticket 4711,\u{7} 17 Nov", "countdown": "in 3 days" });
    document["uplinks"][0]["note"] = note;
    let text = shown(&document);
    assert!(text.contains("\n  Note:  cable: ticket 4711, 17 Nov (in 3 days)\n"), "{text}");
}

#[test]
fn who_only_watches_says_so_first() {
    let mut document = on_backup();
    assert!(!shown(&document).contains("observing"), "the control");
    document["observing"] = json!(true);
    assert!(shown(&document).starts_with("observing only: nothing is changed\nInternet works"));
}

#[test]
fn two_uplinks_in_use_and_a_preferred_one_are_told() {
    let mut document = on_backup();
    document["active6"] = json!("phone");
    document["uplinks"][2]["role"] = json!("active");
    document["manual"] = json!("phone");
    let text = shown(&document);
    assert!(text.starts_with("Internet works, on mifi (IPv4) and phone (IPv6) since"), "{text}");
    assert!(text.contains("in use, IPv4") && text.contains("in use, IPv6"), "{text}");
    assert!(text.contains("phone is preferred manually; `sparelink switch auto` ends that\n"));
}

#[test]
fn what_only_one_family_lacks_does_not_take_an_uplink_down() {
    let mut document = on_backup();
    one_version_down(&mut document);
    let text = shown(&document);
    assert!(text.contains("in use, IPv4") && text.contains("IPv6 down"), "{text}");
    assert!(text.contains("26 ms"), "of IPv4: {text}");
    assert!(text.contains("Why:   cable has no Internet behind its modem (IPv4 only)"), "{text}");
    // The first works again in both: what ails the one in use is no reason to be on it.
    let first = &mut document["uplinks"][0];
    (first["health"], first["condition"]) = (json!("up"), json!("ok"));
    (first["reason"], first["v4"]["health"]) = (json!("works"), json!("up"));
    let text = shown(&document);
    assert!(text.contains("Why:   cable: works\n"), "{text}");
    for uplink in [1, 2] {
        document["uplinks"][uplink]["v4"]["health"] = json!("down");
    }
    let text = shown(&document);
    let told = ["in use, IPv4", "IPv6 down", "26 ms"];
    assert!(told.iter().all(|words| !text.contains(words)), "control: {text}");
}

#[test]
fn public_resolvers_are_told_only_when_the_own_are_passed_over() {
    let mut document = on_backup();
    document["resolvers"] = json!(["192.168.8.1", "1.1.1.1", "8.8.8.8"]);
    assert!(!shown(&document).contains("DNS: "), "its own are not known");
    document["uplinks"][1]["resolvers"] = json!(["192.168.8.1"]);
    assert!(!shown(&document).contains("DNS: "), "they are asked");
    document["resolvers"] = json!(["1.1.1.1", "8.8.8.8", "9.9.9.9"]);
    let line = "\nDNS: 1.1.1.1, 8.8.8.8, 9.9.9.9 are asked, not mifi's own resolvers.\n";
    assert!(shown(&document).contains(line), "{}", shown(&document));
}

#[test]
fn an_agent_that_says_little_is_understood() {
    let text = shown(&json!({ "sentence": "So it is", "uplinks": [{ "name": "a" }] }));
    assert_eq!(
        text,
        "So it is.\n  Why:   a: not told\n  Next:  all that are not paused are retried; the first that works is \
         used\n\n    1  a    –\n\nNo other uplink is configured. Paused: none.\n"
    );
}

#[test]
fn works_means_that_traffic_gets_through() {
    let cases = [
        ("active", "up", true),
        ("active", "failing", true),
        ("active", "recovering", true),
        ("active", "down", false),
        ("active", "unknown", false),
        ("ready", "up", true),
        ("not_ready", "recovering", false),
        ("paused", "up", false),
    ];
    for (role, health, works) in cases {
        let uplink = Uplink { role: role.into(), health: health.into(), ..Uplink::default() };
        assert_eq!(uplink.works(), works, "{role} {health}");
    }
}
