use super::*;
use crate::config::parse;

const FILE: &str = r#"# The house in Mill Lane.
# After an edit: sparelink check.

# The good one.
[[uplink]] # VDSL
name = "cable"   # by the window
interface = "eth1"
provider = { name = "Example", account = "C-1", country = "GB" }

[lan]
interfaces = ["eth0"]

# On loan until May.
[[uplink]]
name = "mifi"
interface = "usb0"
kind = "cellular" # more time
metered = true
[uplink.provider]
name = "Mobile"

[[uplink]]
name = "phone"
interface = "wlan0"

[leds]
uplinks = { mifi = "green:wan" }

[[ddns]]
name = "home.example.net"
protocol = "url"
server = "https://dyn.example.net/?t=SECRET&ip={ipv4}"
uplink = "mifi"

# Mine.
[[notify]]
to = "ntfy://ntfy.sh/our-house-7f3k"
quiet = "22:00-07:00"

[[notify]]
to = "gotify://gotify.lan/TOKEN"
# the end
"#;

fn wanted(json: &str) -> Wanted {
    serde_json::from_str(json).unwrap()
}

fn edited(text: &str, json: &str) -> Edited {
    edit(text, &wanted(json), "x.toml").unwrap()
}

/// What goes and comes.
fn changed(old: &str, new: &str) -> String {
    let line = |line: &Line| match line.sign {
        Sign::Stays => None,
        Sign::Comes => Some(format!("+{}\n", line.text)),
        Sign::Goes => Some(format!("-{}\n", line.text)),
    };
    difference(old, new).iter().filter_map(line).collect()
}

#[test]
fn what_is_as_wanted_is_not_touched() {
    let all = r#"{"uplinks": [
            {"was": "cable", "name": "cable", "kind": "wired", "metered": false,
             "provider": {"name": "Example", "account": "C-1", "phone": "", "monthly": ""}},
            {"was": "mifi", "kind": "cellular", "metered": true}, {"was": "phone"}],
        "hold": "60s", "notify": [{"was": 0, "min": "warning", "quiet": "22:00-07:00"}, {"was": 1}],
        "leds": {"status": "", "uplinks": {"mifi": "green:wan", "cable": ""}}}"#;
    let same = edited(FILE, all);
    assert_eq!((same.text.as_str(), same.changes.len()), (FILE, 0));
    assert_eq!(edited(FILE, "{}").text, FILE);
}

#[test]
fn a_value_is_set_where_it_stands_and_comments_stay() {
    let edited = edited(
        FILE,
        r#"{"uplinks": [{"was": "cable", "name": "fibre", "metered": true}, {"was": "mifi",
            "kind": "wifi", "provider": {"name": "Mobile", "account": "", "phone": "+44 1", "monthly": ""}},
            {"was": "phone"}], "hold": "5m", "notify": [{"was": 0, "min": "notice", "quiet": ""}, {"was": 1}]}"#,
    );
    let expected = r#"-name = "cable"   # by the window
+name = "fibre"   # by the window
+metered = true
-kind = "cellular" # more time
+kind = "wifi" # more time
+phone = "+44 1"
-quiet = "22:00-07:00"
+min = "notice"
+
+[failback]
+hold = "5m"
"#;
    assert_eq!(changed(FILE, &edited.text), expected, "{}", edited.text);
    let words = [
        "messages by ntfy from notice on",
        "messages by ntfy are quiet at no hour",
        "hold 1m → 5m",
        "cable is called fibre",
        "fibre is metered",
        "mifi is wifi",
        "provider of mifi",
    ];
    assert_eq!(edited.changes, words);
}

#[test]
fn an_uplink_moves_with_all_that_belongs_to_it() {
    let order = r#"{"uplinks": [{"was": "mifi"}, {"was": "phone"}, {"was": "cable"}]}"#;
    let edited = edited(FILE, order);
    assert_eq!(edited.changes, ["order: mifi, phone, cable"]);
    let expected = r#"# The house in Mill Lane.
# After an edit: sparelink check.

# On loan until May.
[[uplink]]
name = "mifi"
interface = "usb0"
kind = "cellular" # more time
metered = true
[uplink.provider]
name = "Mobile"

[lan]
interfaces = ["eth0"]

[[uplink]]
name = "phone"
interface = "wlan0"

# The good one.
[[uplink]] # VDSL
name = "cable"   # by the window
interface = "eth1"
provider = { name = "Example", account = "C-1", country = "GB" }

[leds]
"#;
    assert!(edited.text.starts_with(expected), "{}", edited.text);
    let names = |text: &str| {
        let config = parse(text, "x").unwrap();
        config.uplinks.into_iter().map(|uplink| uplink.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&edited.text), ["mifi", "phone", "cable"]);
    // And back: not a byte is different.
    let back = r#"{"uplinks": [{"was": "cable"}, {"was": "mifi"}, {"was": "phone"}]}"#;
    assert_eq!(edit(&edited.text, &wanted(back), "x").unwrap().text, FILE);
}

#[test]
fn every_order_of_uplinks_says_what_is_wanted() {
    let names = ["cable", "mifi", "phone"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let order = order.map(|at| names[at]);
        let list = order.map(|name| format!("{{\"was\": \"{name}\"}}")).join(",");
        let edited = edited(FILE, &format!("{{\"uplinks\": [{list}]}}"));
        let (before, after) = (parse(FILE, "x").unwrap(), parse(&edited.text, "x").unwrap());
        let of = |name: &str| before.uplinks.iter().find(|u| u.name == name).cloned().unwrap();
        assert_eq!(after.uplinks, order.map(of), "{}", edited.text);
        assert_eq!((after.lan, after.ddns), (before.lan, before.ddns));
    }
}

#[test]
fn a_new_name_is_known_everywhere() {
    let edited = edited(
        FILE,
        r#"{"uplinks": [{"was": "cable"}, {"was": "mifi", "name": "lte"}, {"was": "phone"}]}"#,
    );
    let config = parse(&edited.text, "x").unwrap();
    assert_eq!(config.ddns[0].uplink.as_deref(), Some("lte"));
    assert!(config.leds.uplinks.contains_key("lte"), "{}", edited.text);
}

#[test]
fn channels_come_and_go() {
    let edited = edited(
        FILE,
        r#"{"notify": [{"was": 1}, {"to": "ntfy://ntfy.sh/other", "min": "notice", "quiet": ""}]}"#,
    );
    let config = parse(&edited.text, "x").unwrap();
    let shown: Vec<String> = config.notify.iter().map(|channel| channel.to.to_string()).collect();
    assert_eq!(shown, ["gotify (gotify.lan)", "ntfy (other…)"]);
    assert!(edited.text.ends_with("min = \"notice\"\n# the end\n"), "{}", edited.text);
    let none = edit(&edited.text, &wanted(r#"{"notify": []}"#), "x").unwrap();
    assert!(parse(&none.text, "x").unwrap().notify.is_empty() && !none.text.contains("[[notify]]"));
    // A first one, in a file without any.
    let first = edit(&none.text, &wanted(r#"{"notify": [{"to": "ntfy://ntfy.sh/t"}]}"#), "x");
    assert_eq!(parse(&first.unwrap().text, "x").unwrap().notify.len(), 1);
}

#[test]
fn leds_are_set_and_left_to_the_board() {
    let set = r#"{"leds": {"status": "ACT", "uplinks": {"cable": "green:lan", "mifi": ""}}}"#;
    let edited = edited(FILE, set);
    let leds = Settings::of(&parse(&edited.text, "x").unwrap()).leds;
    assert_eq!((leds.status.as_str(), leds.uplinks.len()), ("ACT", 1));
    assert_eq!(leds.uplinks["cable"], "green:lan");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let refused = |text: &str, json: &str| edit(text, &wanted(json), "x").unwrap_err().to_string();
    for (json, words) in [
        (r#"{"hold": "5"}"#, "hold"),
        (r#"{"uplinks": [{"was": "cable"}]}"#, "not the ones that the file has"),
        (r#"{"uplinks": [{"was": "cable"}, {"was": "cable"}, {"was": "phone"}]}"#, "not the ones"),
        (
            r#"{"uplinks": [{"was": "cable", "name": "mifi"}, {"was": "mifi"}, {"was": "phone"}]}"#,
            "mifi",
        ),
        (
            r#"{"uplinks": [{"was": "cable", "kind": "lte"}, {"was": "mifi"}, {"was": "phone"}]}"#,
            "kind",
        ),
        (
            r#"{"uplinks": [{"was": "cable", "name": "a\"b\nc"}, {"was": "mifi"}, {"was": "phone"}]}"#,
            "name",
        ),
        (r#"{"notify": [{"was": 7}]}"#, "not the ones that the file has"),
        (r#"{"notify": [{"was": 0}, {"was": 0}]}"#, "not the ones that the file has"),
        (r#"{"notify": [{"to": "carrier-pigeon://loft"}]}"#, "not the URL of a channel"),
        (r#"{"notify": [{"to": " EXEC:///bin/sh"}]}"#, "can only be named in the file itself"),
        (r#"{"leds": {"uplinks": {"nobody": "ACT"}}}"#, "nobody"),
    ] {
        let told = refused(FILE, json);
        assert!(told.contains(words), "{json}: {told}");
    }
    assert!(refused("[[uplink]]\nname = 1\n", "{}").contains("x:2:8"), "a file with mistakes");
    let inline = "uplink = [{ name = \"a\", interface = \"b\" }]\n";
    let told = refused(inline, r#"{"uplinks": [{"was": "a", "name": "c"}]}"#);
    assert_eq!(told, "uplinks are written in a form that only an editor can change");
}

#[test]
fn what_windows_writes_stays_windows() {
    let windows = format!("\u{feff}{}", FILE.replace('\n', "\r\n"));
    let edited = edited(&windows, r#"{"hold": "5m"}"#);
    assert!(edited.text.starts_with("\u{feff}# The house in Mill Lane.\r\n"), "{}", edited.text);
    assert_eq!(edited.text.matches('\n').count(), edited.text.matches("\r\n").count());
    assert!(edited.text.contains("[failback]\r\nhold = \"5m\"\r\n"));
}

#[test]
fn nothing_that_is_secret_is_shown() {
    let shown = serde_json::to_string(&Settings::of(&parse(FILE, "x").unwrap())).unwrap();
    for secret in ["our-house", "TOKEN", "SECRET"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("ntfy (our-h…)"), "the control");
}
