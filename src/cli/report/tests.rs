//! A month of a home with everything in it, as people and programs read it.

use super::*;
use crate::cli::table::Colour;
use crate::cli::when;
use crate::io::history::{Broken, Fault, Place};

/// When it begins: 2026-11-01T00:00:00Z.
const BEGIN: u64 = 1_793_491_200_000;
const MINUTE: u64 = 60_000;

fn entry(id: u64, boot: &str, minute: f64, code: &str, uplink: &str, args: &str) -> Entry {
    let at = BEGIN + (minute * 60_000.0) as u64;
    let begun = BEGIN - 5000 + if boot == "b" { 900 * MINUTE } else { 0 };
    let uplink = if uplink.is_empty() { "null".to_owned() } else { format!("\"{uplink}\"") };
    let family = if args.contains("\"family\":\"v6\"") { "\"v6\"" } else { "null" };
    let text = format!(
        "{{\"at\":\"{}\",\"code\":\"{code}\",\"severity\":\"info\",\"uplink\":{uplink},\"text\":\"\",\
         \"id\":{id},\"boot\":\"{boot}\",\"mono_ms\":{},\"family\":{family},\"args\":{{{args}}}}}",
        Utc(at),
        at - begun
    );
    serde_json::from_str(&text).unwrap()
}

/// An outage of the cable, one of everything, one of IPv6, a power cut, a pause.
fn month_of_a_home() -> Vec<Entry> {
    let fails = |condition: &str, lasts: u64| {
        format!("\"family\":null,\"condition\":\"{condition}\",\"lasts_ms\":{lasts}")
    };
    let mut id = 0;
    let mut all = Vec::new();
    let mut add = |boot: &str, minute: f64, code: &str, uplink: &str, args: &str| {
        id += 1;
        all.push(entry(id, boot, minute, code, uplink, args));
    };
    add("a", 0.0, "started", "", "\"chain\":[\"cable\",\"mifi\"]");
    add("a", 0.1, "uplink_works", "cable", "\"lasts_ms\":2000");
    add("a", 0.2, "uplink_works", "mifi", "\"lasts_ms\":2000");
    add("a", 100.0, "uplink_fails", "cable", &fails("beyond_modem", 640));
    add("a", 100.02, "felt", "mifi", "\"felt_ms\":710");
    add("a", 177.0, "uplink_works", "cable", "\"lasts_ms\":3000");
    add("a", 300.0, "uplink_fails", "mifi", &fails("absent", 0));
    add("a", 310.0, "uplink_fails", "cable", &fails("no_carrier", 0));
    add("a", 310.1, "no_way_out", "cable", "\"stays_on\":\"cable\"");
    add("a", 326.0, "back_online", "cable", "\"felt_ms\":960000");
    add("a", 326.0, "felt", "cable", "\"felt_ms\":960000");
    add("a", 326.1, "uplink_works", "cable", "\"lasts_ms\":6000");
    add("a", 400.0, "uplink_works", "mifi", "\"lasts_ms\":0");
    add(
        "a",
        500.0,
        "uplink_fails",
        "cable",
        "\"family\":\"v6\",\"condition\":\"beyond_modem\",\"lasts_ms\":900",
    );
    add("a", 520.0, "uplink_works", "cable", "\"lasts_ms\":0");
    add("a", 600.0, "by_hand", "cable", "\"deed\":\"pause\"");
    add("a", 601.0, "uplink_fails", "cable", &fails("no_carrier", 0));
    add("a", 640.0, "uplink_works", "cable", "\"lasts_ms\":0");
    add("a", 641.0, "by_hand", "cable", "\"deed\":\"resume\"");
    add("b", 900.1, "started", "", "\"chain\":[\"cable\",\"mifi\"]");
    add("b", 900.2, "uplink_works", "cable", "\"lasts_ms\":2000");
    add("b", 900.2, "uplink_works", "mifi", "\"lasts_ms\":2000");
    all
}

fn shown() -> (Report, Verified) {
    let whole = Whole { entries: month_of_a_home(), marks: Vec::new() };
    let known = Known { whole, runs: true, verified: None };
    let now = Some(Utc(BEGIN + 1440 * MINUTE));
    let span = Span { from: BEGIN, to: BEGIN + 30 * 1440 * MINUTE };
    let report = reckon(&known, Some(span), &Asked::default(), now).unwrap();
    let head = "1f0e5d2c9a8b7c6d5e4f3a2b1c0d9e8f".to_owned();
    (report, Verified { lines: 23, head, broken: None })
}

#[test]
fn the_report_reads_well() {
    let (report, records) = shown();
    let look = text::Look { colour: Colour::No, records: Some(&records) };
    let at = |minute: u64| when::clock(Utc(BEGIN + minute * MINUTE), None).unwrap();
    let full = |minute: u64| when::full(Utc(BEGIN + minute * MINUTE)).unwrap()[..16].to_owned();
    let text = text::render(&report, &look);
    let expected = format!(
        "\
Internet from {} to {}

  Home   98.64 %  once without Internet, for 16 min 00 s
                  felt: 16 min 01 s in 2 interruptions
  cable  92.13 %  2 outages, 1 h 33 min in all, the longest 1 h 17 min
  mifi   91.53 %  1 outage of 1 h 40 min, {}

No Internet at all
  {}  16 min 00 s  cable, mifi: unplugged, or the modem off

cable
  {}   1 h 17 min  no Internet behind the modem
                            mifi reached the Internet all the while
  {}  16 min 00 s  unplugged, or the modem off
  {}  20 min 01 s  IPv6 only
                            mifi reached the Internet all the while
  {}  39 min 00 s  paused by a person
                            mifi reached the Internet all the while

mifi
  {}  1 h 40 min  unplugged, or the modem off
                           cable reached the Internet for 1 h 24 min of it

Not counted: 4 h 19 min in which sparelink did not run.
  {}  ≤ 4 h 19 min  this box had no power, or crashed

From 23 records, each holding the hash of the one before; the last is
1f0e5d2c9a8b7c6d5e4f3a2b1c0d9e8f. `sparelink report --verify` names the first
that was changed.
",
        full(0),
        full(1440),
        at(300),
        at(310),
        at(99),
        at(310),
        at(499),
        at(601),
        at(300),
        at(641),
    );
    // In a zone far from here a day has two digits.
    let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(blanks(&text), blanks(&expected), "{text}\n---\n{expected}");
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 80, "{widest}: {text}");
}

#[test]
fn programs_get_the_same_figures() {
    let (report, _) = shown();
    let json = document::document(&report);
    let house = &json["house"]["outages"];
    assert_eq!(house.as_array().map(Vec::len), Some(2), "{house:#}");
    assert_eq!(house[0]["seconds"], 960.0);
    assert_eq!((&house[0]["cause"], &house[1]["cause"]), (&"unplugged".into(), &"power".into()));
    assert_eq!(house[0]["uplinks"], serde_json::json!(["cable", "mifi"]));
    let cable = &json["uplinks"][0];
    let causes: Vec<&str> = cable["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes, ["beyond_modem", "unplugged", "one_family", "maintenance"]);
    assert_eq!(cable["incidents"][0]["others"][0]["throughout"], true);
    let csv = csv::render(&report);
    assert_eq!(csv.lines().count(), 1 + 2 + 4 + 1, "{csv}");
    assert!(csv.lines().all(|line| line.split(',').count() == 9), "{csv}");
    let mut named = report;
    named.uplinks[0].name = "=cmd|' /C calc'!A0,<b>".to_owned();
    let csv = csv::render(&named);
    assert!(csv.contains("\r\n\"'=cmd|' /C calc'!A0,<b>\","), "{csv}");
    let look = text::Look { colour: Colour::No, records: None };
    let page = html::render(&named, &look);
    assert!(page.contains("A0,&lt;b&gt;") && !page.contains("<b>"), "{page}");
    assert!(page.contains("@media print") && !page.contains("http"), "it loads nothing");
}

#[test]
fn a_month_is_one_of_the_boxs_own_calendar() {
    let october = month("2026-10").unwrap();
    assert_eq!(when::full(Utc(october.from)).unwrap(), "2026-10-01 00:00:00");
    assert_eq!(when::full(Utc(october.to)).unwrap(), "2026-11-01 00:00:00");
    let december = month("2026-12").unwrap();
    assert_eq!(when::full(Utc(december.to)).unwrap(), "2027-01-01 00:00:00");
    for wrong in ["", "2026", "2026-13", "2026-0", "10-2026", "2026-10-01", "october"] {
        let told = month(wrong).unwrap_err().to_string();
        assert!(told.contains("for example --month 2026-10"), "{wrong}: {told}");
    }
}

#[test]
fn an_unknown_uplink_is_named_and_a_changed_record_too() {
    let known = Known {
        whole: Whole { entries: month_of_a_home(), marks: Vec::new() },
        runs: false,
        verified: None,
    };
    let asked = Asked { uplink: Some("cabel".to_owned()), ..Asked::default() };
    let told = reckon(&known, None, &asked, Some(Utc(BEGIN + MINUTE))).unwrap_err().to_string();
    assert!(told.contains("did you mean cable? the uplinks are cable, mifi"), "{told}");
    let broken = Broken { line: 17, id: Some(40), before: None, fault: Fault::Changed };
    let found = Verified { lines: 20, head: String::new(), broken: Some(broken) };
    let said = words::verdict(&found);
    assert_eq!(
        said,
        "Not as it was written: record 17 (event 40) was changed, or what followed it was removed.\n"
    );
    assert!(words::verdict(&Verified::default()).starts_with("There are no records"));
    let place = |line| Some(Place { line, id: Some(40) });
    let until = |line| words::verdict_until(&found, "1f0e5d2c9a8b", place(line));
    let good = "The hash 1f0e5d2c9a8b is that of record 16 (event 40): nothing was changed up to it. Behind it: ";
    assert!(until(16).starts_with(good), "{}", until(16));
    assert!(until(17).contains("Before it: record 17 (event 40) was changed"), "{}", until(17));
    assert!(words::verdict_until(&found, "00", None).starts_with("No record has the hash 00: "));
    assert!(hash("1F0E5D2C9A8B").is_ok() && hash("1f0e").is_err() && hash("ticket 4711").is_err());
}

#[test]
fn lengths_and_shares_read_well() {
    let said = [710, 59_940, 59_960, 960_000, 4_620_000, 300_000_000].map(words::length);
    assert_eq!(said, ["0.7 s", "59.9 s", "1 min 00 s", "16 min 00 s", "1 h 17 min", "3 d 11 h"]);
    let said = [Some(1.0), Some(0.999_999_99), Some(0.987_65), None].map(words::percent);
    assert_eq!(said, ["100.00 %", "99.9999 %", "98.77 %", "–"]);
}

/// A line that was severed for five days and a half, and came for a minute once; reported on the second day.
fn severed_for_days(reported: &str) -> Report {
    let fails = "\"family\":null,\"condition\":\"beyond_modem\",\"lasts_ms\":0";
    let works = "\"lasts_ms\":0";
    let day = 1440.0;
    let mut all = vec![
        entry(1, "a", 0.0, "started", "", "\"chain\":[\"cable\",\"mifi\"]"),
        entry(2, "a", 0.1, "uplink_works", "cable", works),
        entry(3, "a", 720.0, "uplink_fails", "cable", fails),
        entry(4, "a", day, "uplink_works", "cable", works),
        entry(5, "a", day + 1.0, "uplink_fails", "cable", fails),
        entry(7, "a", 3.0 * day, "noted", "cable", "\"note\":\"ticket <4711>\",\"due\":null"),
        entry(8, "a", 6.5 * day, "uplink_works", "cable", works),
    ];
    if !reported.is_empty() {
        all.insert(
            5,
            entry(6, "a", reported.parse::<f64>().unwrap() * day, "reported", "cable", ""),
        );
    }
    let known =
        Known { whole: Whole { entries: all, marks: Vec::new() }, runs: true, verified: None };
    let span = Span { from: BEGIN, to: BEGIN + 20 * 1440 * MINUTE };
    // While it lasts, if it was never reported.
    let now = BEGIN + if reported.is_empty() { 5 * 1440 } else { 7 * 1440 } * MINUTE;
    let mut known = known;
    known.whole.entries.retain(|entry| entry.at.is_some_and(|at| at.0 <= now));
    let mut report = reckon(&known, Some(span), &Asked::default(), Some(Utc(now))).unwrap();
    let provider = Provider {
        name: "Example Cable".to_owned(),
        account: Some("C-4711".to_owned().into()),
        phone: Some("+49 800 1234".to_owned()),
        country: crate::config::Country::parse("DE"),
        monthly: Some(crate::config::Money { cents: 3990, currency: "EUR".to_owned() }),
        reported: None,
    };
    let utc = |ms: u64| crate::time::day::Day::from_days(i64::try_from(ms / 86_400_000).ok()?);
    settle(&mut report, &[("cable".to_owned(), provider)].into(), &utc);
    report
}

#[test]
fn an_outage_that_nobody_reported_is_to_be_reported_now() {
    let report = severed_for_days("");
    let look = text::Look { colour: Colour::No, records: None };
    let told = text::render(&report, &look);
    assert!(told.contains("not reported: report it now, the clock starts with"), "{told}");
    assert!(told.contains("Example Cable, +49 800 1234, account C-4711"), "{told}");
    assert!(told.contains("Note: ticket <4711>") && told.contains("no legal advice"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    let page = html::render(&report, &look);
    assert!(page.contains("ticket &lt;4711&gt;") && page.contains("report it now"), "{page}");
    let json = document::document(&report);
    let owed = &json["uplinks"][0]["compensation"];
    assert_eq!(owed["losses"][0]["state"], "report_now");
    assert_eq!((&owed["country"], &owed["estimate"]), (&"DE".into(), &true.into()));
    assert!(json["uplinks"][1]["compensation"].is_null(), "nobody is known for it");
}

#[test]
fn what_is_due_is_reckoned_from_the_report() {
    // It failed at noon of the first day, was reported on the second and was back at noon of the seventh.
    let report = severed_for_days("1.5");
    let look = text::Look { colour: Colour::No, records: None };
    let told = text::render(&report, &look);
    assert!(told.contains("reported 2026-11-02: about 20.00 EUR for 3 days due"), "{told}");
    let due = &document::document(&report)["uplinks"][0]["compensation"]["losses"];
    assert_eq!(due.as_array().map(Vec::len), Some(1), "a minute in between is no repair: {due}");
    assert_eq!((&due[0]["amount"], &due[0]["days"]), (&20.0.into(), &3.into()));
    assert_eq!(due[0]["reported"], "2026-11-02");
    assert!(severed_for_days("4.5").uplinks[0].owed.as_ref().unwrap().each.is_empty());
}
