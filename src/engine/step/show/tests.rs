use std::net::IpAddr;

use super::*;
use crate::engine::health::Condition;
use crate::engine::status::leds::*;
use crate::time::Instant;
use std::time::Duration;

use crate::engine::input::{Command, Input};
use crate::engine::kernel::egress::Egress;
use crate::engine::state::Restored;
use crate::engine::uplink::Paused;
use crate::units::{IfIndex, IfName};

#[test]
fn patterns_can_be_told_apart() {
    // Eight times in two seconds.
    let seen = |pattern: Pattern| -> String {
        let at = |n: u64| pattern.at(Duration::from_millis(n * 125)).0;
        (0..16).map(|n| if at(n) { '#' } else { '.' }).collect()
    };
    assert_eq!(seen(Pattern::Off), "................");
    assert_eq!(seen(Pattern::Steady), "################");
    assert_eq!(seen(Pattern::Slow), "####............");
    assert_eq!(seen(Pattern::Double), "##..##..........");
    assert_eq!(seen(Pattern::Fast), "#.#.#.#.#.#.#.#.");
    let after = |ms| Pattern::Double.at(Duration::from_millis(ms));
    assert_eq!(after(0), (true, Some(Duration::from_millis(250))));
    assert_eq!(after(60), (true, Some(Duration::from_millis(190))));
    assert_eq!(after(750), (false, Some(Duration::from_millis(1250))));
    assert_eq!(after(2000 * 40_000_000 + 250), (false, Some(Duration::from_millis(250))));
    assert_eq!(Pattern::Steady.at(Duration::MAX), (true, None));
}

#[test]
fn the_worst_that_is_true_is_shown() {
    use Spares::{NoneLeft, NoneWanted, Ready};
    let table = [
        (InUse::First, Ready, Pattern::Steady),
        (InUse::First, NoneWanted, Pattern::Steady),
        (InUse::First, NoneLeft, Pattern::Double),
        (InUse::Backup, Ready, Pattern::Slow),
        (InUse::Backup, NoneWanted, Pattern::Slow),
        (InUse::Backup, NoneLeft, Pattern::Double),
        (InUse::None, Ready, Pattern::Fast),
        (InUse::None, NoneWanted, Pattern::Fast),
        (InUse::None, NoneLeft, Pattern::Fast),
    ];
    for (in_use, spares, pattern) in table {
        assert_eq!(of_the_whole(in_use, spares), pattern, "{in_use:?} {spares:?}");
    }
}

fn at(milliseconds: u64) -> Now {
    Now { mono: Instant::from_micros(milliseconds * 1000), utc: None }
}

const UP: Health = Health::Up { since: Instant::ZERO };
const DOWN: Health = Health::Down { since: Instant::ZERO, condition: Condition::BeyondModem };
const RECOVERING: Health = Health::Recovering { since: Instant::ZERO };

/// A home with a LED for the whole (`S`), one for the cable (`c`) and one for the MiFi (`m`).
fn home(leds: &str, mode: Mode) -> Engine {
    let uplink = |name, dev| format!("[[uplink]]\nname = {name:?}\ninterface = {dev:?}\n");
    let chain = uplink("cable", "eth1") + &uplink("mifi", "usb0") + &uplink("phone", "usb1");
    let text = format!("{chain}[leds]\n{leds}\n");
    let config = crate::config::parse(&text, "test").unwrap();
    let mut engine = Engine::new(config, mode, Restored::default(), 0, at(0));
    engine.life.started = Some(at(0).mono);
    engine
}

const ALL: &str = "status = \"S\"\nuplinks = { cable = \"c\", mifi = \"m\" }";

/// How each uplink is (`None`: not there), which carries traffic, and what the LEDs are told.
fn show(
    engine: &mut Engine,
    health: [Option<Health>; 3],
    active: usize,
    now: u64,
) -> Option<String> {
    let chain = engine.uplinks.chain.clone();
    for (n, (id, health)) in chain.iter().zip(health).enumerate() {
        let u = engine.uplinks.get_mut(id).unwrap();
        let index = IfIndex(u32::try_from(n).unwrap() + 2);
        let dev = IfName::new("x").unwrap();
        let source = IpAddr::from([198, 51, 100, 7]);
        let hop = Egress {
            index,
            dev: dev.clone(),
            source,
            gateway: None,
            onlink: false,
            mtu: None,
            prefsrc: None,
        };
        u.attachment.link = health.map(|_| (index, dev));
        u.attachment.fault = None;
        u.lines.v4.egress = health.map(|_| hop);
        u.lines.v4.health = health.unwrap_or(Health::Unknown);
    }
    engine.choice.active.v4.uplink = chain.get(active).copied();
    light(engine, now)
}

fn light(engine: &mut Engine, now: u64) -> Option<String> {
    engine.light(at(now));
    let letter = |pattern| match pattern {
        Pattern::Off => "off",
        Pattern::Steady => "on",
        Pattern::Slow => "slow",
        Pattern::Double => "double",
        Pattern::Fast => "fast",
    };
    let told = engine.outputs.drain(..).filter_map(|output| {
        let Output::Leds(lamps) = output else { return None };
        let shown = |l: &Lamp| format!("{} {}", l.led, letter(l.pattern));
        Some(lamps.iter().map(shown).collect::<Vec<_>>().join(", "))
    });
    let mut told: Vec<String> = told.collect();
    assert!(told.len() <= 1, "{told:?}");
    told.pop()
}

/// After the test at the start.
fn running(leds: &str) -> Engine {
    let mut engine = home(leds, Mode::Steer);
    show(&mut engine, [Some(UP); 3], 0, 0);
    assert!(light(&mut engine, 600).is_some());
    assert!(light(&mut engine, 1200).is_some());
    engine
}

#[test]
fn every_state_has_its_pattern() {
    let mut engine = running(ALL);
    let (up, down, recovering) = (Some(UP), Some(DOWN), Some(RECOVERING));
    let table = [
        ([down, up, up], 1, Some("S slow, c fast, m on")),
        ([down, up, up], 1, None),
        ([down, up, down], 1, Some("S double, c fast, m on")),
        ([recovering, up, down], 1, Some("S double, c double, m on")),
        ([up, up, down], 1, Some("S slow, c slow, m on")),
        ([up, up, down], 0, Some("S on, c on, m slow")),
        ([up, None, down], 0, Some("S double, c on, m off")),
        ([down, None, down], 0, Some("S fast, c fast, m off")),
        ([down, down, up], 2, Some("S double, c fast, m fast")),
        ([None, None, None], 0, Some("S fast, c off, m off")),
        ([up, up, up], 0, Some("S on, c on, m slow")),
    ];
    for (n, (health, active, expected)) in table.into_iter().enumerate() {
        let told = show(&mut engine, health, active, 10_000 + n as u64);
        assert_eq!(told.as_deref(), expected, "row {n}");
    }
    let mifi = engine.uplinks.chain[1];
    let paused = Some(Paused { until: None, reason: None });
    engine.uplinks.get_mut(&mifi).unwrap().paused = paused;
    assert_eq!(light(&mut engine, 20_000).as_deref(), Some("S on, c on, m off"));
    engine.stop(at(21_000));
    assert_eq!(light(&mut engine, 21_000).as_deref(), Some(""), "given back");
    assert_eq!(light(&mut engine, 22_000), None);
}

#[test]
fn one_uplink_has_no_spare_to_lose() {
    let mut engine = running("status = \"S\"");
    engine.uplinks.chain.truncate(1);
    assert_eq!(show(&mut engine, [Some(DOWN), None, None], 0, 5000).as_deref(), Some("S fast"));
    assert_eq!(show(&mut engine, [Some(UP), None, None], 0, 6000).as_deref(), Some("S on"));
}

#[test]
fn the_test_at_the_start_is_short_and_comes_once() {
    let mut engine = home(ALL, Mode::Steer);
    let all_down = [Some(DOWN); 3];
    assert_eq!(show(&mut engine, all_down, 0, 0).as_deref(), Some("S on, c on, m on"));
    assert_eq!(engine.telling.leds.deadline(), Some(at(600).mono));
    assert_eq!(light(&mut engine, 300), None);
    assert_eq!(light(&mut engine, 600).as_deref(), Some("S off, c off, m off"));
    assert_eq!(light(&mut engine, 1200).as_deref(), Some("S fast, c fast, m fast"));
    assert_eq!(engine.telling.leds.deadline(), None, "the kernel blinks by itself");
    let config = engine.config.clone();
    engine.handle(Input::Reload(Box::new(config)), at(1300));
    // It looks at the kernel again, where there is nothing in this test.
    assert_eq!(light(&mut engine, 1300).as_deref(), Some("S fast, c off, m off"));
    assert_eq!(engine.telling.leds.deadline(), None);
}

#[test]
fn a_person_can_find_the_leds() {
    let mut engine = running(ALL);
    let test = |engine: &mut Engine, now| {
        engine.command(1, Command::LedTest, at(now));
        let answer = |output| if let Output::Answer(1, a) = output { Some(a) } else { None };
        engine.outputs.drain(..).find_map(answer).unwrap()
    };
    let said = test(&mut engine, 10_000).unwrap();
    assert_eq!(said, "LEDs S (the whole), c (cable), m (mifi): on and off for 6 s");
    assert_eq!(light(&mut engine, 10_000).as_deref(), Some("S on, c on, m on"));
    assert_eq!(light(&mut engine, 10_750).as_deref(), Some("S off, c off, m off"));
    assert_eq!(light(&mut engine, 11_400), None, "not yet");
    assert_eq!(light(&mut engine, 15_300), None, "dark again, as before");
    assert_eq!(light(&mut engine, 16_000).as_deref(), Some("S on, c on, m slow"));
    // Something to show ends it.
    test(&mut engine, 20_000).unwrap();
    light(&mut engine, 20_000);
    let told = show(&mut engine, [Some(DOWN); 3], 0, 20_100);
    assert_eq!(told.as_deref(), Some("S fast, c fast, m fast"));
    assert_eq!(engine.telling.leds.deadline(), None);
}

#[test]
fn a_box_without_leds_says_so() {
    for (leds, mode, words) in [
        ("board = \"none\"", Mode::Steer, "no LED is used on this box"),
        (ALL, Mode::Observe, "the agent only observes"),
    ] {
        let mut engine = home(leds, mode);
        assert_eq!(show(&mut engine, [Some(UP); 3], 0, 0), None);
        assert_eq!(engine.led_names(), [""; 0]);
        let refusal = engine.test_leds(at(0)).unwrap_err();
        assert!(matches!(refusal, Refusal::NotNow(said) if said.starts_with(words)));
        assert_eq!(light(&mut engine, 2000), None);
    }
}
