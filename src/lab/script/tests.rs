use super::*;

#[test]
fn a_scenario_reads_as_it_is_written() {
    let text = "uplinks cable mifi # two\nkind mifi cellular\nwindow 300ms\nchatter\n\
                at 10s sever cable\nexpect active mifi within 1.2s\nexpect no switch for 30s\n\
                after 500ms restore cable\nexpect lost 0";
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.settings.uplinks, ["cable", "mifi"]);
    assert_eq!(scenario.settings.kinds, [("mifi".to_owned(), Kind::Cellular)]);
    assert_eq!(scenario.settings.windows, [(None, Duration::from_millis(300))]);
    assert!(scenario.settings.chatter);
    let what: Vec<&What> = scenario.steps.iter().map(|step| &step.what).collect();
    let sever = Action::line("cable", LineEvent::Sever);
    assert_eq!(*what[0], What::At(Duration::from_secs(10), sever));
    let mifi = Wanted::Active(Some("mifi".to_owned()));
    let active = Expect::Within(mifi, Duration::from_millis(1200));
    assert_eq!(*what[1], What::Expect(active));
    assert_eq!(*what[2], What::Expect(Expect::NoSwitch(Duration::from_secs(30))));
    assert_eq!(*what[4], What::Expect(Expect::Lost(0)));
    assert_eq!(scenario.steps[4].line, 9);
}

#[test]
fn what_is_wanted_prints_as_it_is_written() {
    let lines = [
        "active none",
        "active6 mifi",
        "health cable down",
        "condition cable portal",
        "role phone not_ready",
        "spares 1",
        "online",
        "offline",
        "sentence No Internet: cable",
        "resolver 1.1.1.1",
        "flows cable some",
        "flows cable none",
        "event no_spare_left",
    ];
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(Wanted::parse(&words).unwrap().unwrap().to_string(), line);
    }
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let errors =
        Scenario::parse("at 10 sever cable\nat 1s serve cable\nexpect joy\nkind x copper\n")
            .unwrap_err();
    assert_eq!(errors.iter().map(|e| e.line).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(
        errors[1].to_string().starts_with("line 2: `serve` is not known; try unplug"),
        "{}",
        errors[1]
    );
}

#[test]
fn actions_print_as_they_are_typed() {
    let lines = [
        "unplug cable",
        "sever cable",
        "lose 40 mifi",
        "slow phone",
        "bloat cable",
        "portal mifi",
        "reboot cable",
        "restore cable",
        "drop target 8.8.8.8",
        "restore target 2620:fe::fe",
        "switch mifi",
        "switch auto",
        "pause cable",
        "resume cable",
        "probe phone",
        "stall 700ms",
        "sever v6 cable",
        "break dns cable",
        "break resolvers cable",
        "silence cable",
        "vanish mifi",
        "kill agent",
        "stop agent",
        "start agent",
    ];
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(Action::parse(&words).unwrap().to_string(), line);
    }
    for wrong in ["sever", "lose 400 cable", "lose cable", "drop target x", "dance", ""] {
        let words: Vec<&str> = wrong.split_whitespace().collect();
        assert!(Action::parse(&words).is_err(), "{wrong}");
    }
}

#[test]
fn times_have_units() {
    let cases =
        [("300ms", 300), ("1.2s", 1200), ("10m", 600_000), ("1h", 3_600_000), ("0.5s", 500)];
    for (text, ms) in cases {
        assert_eq!(parse_time(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for wrong in ["5", "s", "-1s", "1 s", "infs", "1e999s", "nans"] {
        assert!(parse_time(wrong).is_err(), "{wrong}");
    }
}
