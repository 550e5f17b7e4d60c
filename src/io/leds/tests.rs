//! LEDs in a `/sys` of files, and pins that say what is done to them.

use std::fs;

use embedded_hal_mock::eh1::digital::{Mock, State as Level, Transaction};

use super::*;

/// A box of files, gone when dropped.
struct Sys(PathBuf);

impl Sys {
    fn new(test: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("sparelink-leds-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&root));
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir_all(root.join("sys/class/leds")).unwrap();
        Self(root)
    }

    /// An LED as the kernel shows it, with these triggers' files.
    fn led(&self, name: &str, trigger: &str, extra: &[&str]) {
        let dir = self.0.join("sys/class/leds").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("max_brightness"), "255\n").unwrap();
        fs::write(dir.join("brightness"), "7\n").unwrap();
        fs::write(dir.join("trigger"), trigger).unwrap();
        for file in extra {
            fs::write(dir.join(file), "0").unwrap();
        }
    }

    fn read(&self, name: &str, file: &str) -> String {
        let path = self.0.join("sys/class/leds").join(name).join(file);
        fs::read_to_string(path).unwrap_or_default()
    }

    fn room(&self) -> Room {
        Room::new(self.0.clone(), Kept::open(&self.run()))
    }

    fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    fn kept(&self) -> String {
        fs::read_to_string(self.run().join("leds.json")).unwrap_or_default()
    }
}

impl Drop for Sys {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn at(milliseconds: u64) -> Instant {
    Instant::from_micros(1_000_000_000 + milliseconds * 1000)
}

fn class(name: &str) -> Led {
    Led::Class(vec![name.to_owned()])
}

fn lamp(led: &Led, pattern: Pattern) -> Lamp {
    Lamp { led: led.clone(), pattern }
}

#[test]
fn a_pin_is_set_when_it_changes_and_not_else() {
    let level = |lit| Transaction::set(if lit { Level::High } else { Level::Low });
    let changes = [true, false, true, false, true, false, true, true, false];
    let mut pin = Mock::new(&changes.map(level));
    let mut player = Player::new(at(0));
    let mut play = |pattern, from: u64, expected: &[u64]| {
        player.play(pattern, at(from));
        let (mut now, mut woken) = (from, Vec::new());
        while let Some(next) = player.tick(&mut pin, at(now)).unwrap() {
            now = next.since(at(0)).as_millis() as u64;
            woken.push(now - from);
            if woken.len() == expected.len() {
                break;
            }
            // Being asked too early changes nothing.
            player.tick(&mut pin, at(now - 1)).unwrap();
        }
        assert_eq!(woken, expected, "{pattern:?}");
    };
    play(Pattern::Double, 0, &[250, 500, 750, 2000, 2250]);
    play(Pattern::Off, 3000, &[]);
    play(Pattern::Off, 4000, &[]);
    play(Pattern::Slow, 5000, &[500]);
    // The test of the mock counts: what was lit stays lit without a word.
    play(Pattern::Steady, 5100, &[]);
    player.rest();
    player.play(Pattern::Steady, at(6000));
    assert_eq!(player.tick(&mut pin, at(6000)).unwrap(), None, "after somebody else has played");
    player.play(Pattern::Fast, at(7000));
    player.tick(&mut pin, at(7130)).unwrap();
    pin.done();
}

#[test]
fn the_kernel_blinks_where_it_can() {
    let sys = Sys::new("kernel");
    sys.led("ACT", "none [mmc0] timer pattern", &["delay_on", "delay_off", "pattern"]);
    let (mut room, act) = (sys.room(), class("ACT"));
    let mut show = |pattern| {
        room.fit(&[lamp(&act, pattern)], at(0));
        assert_eq!(room.tick(at(0)), None, "{pattern:?}: nobody has to wake");
        let delays = (sys.read("ACT", "delay_on"), sys.read("ACT", "delay_off"));
        (sys.read("ACT", "trigger"), sys.read("ACT", "brightness"), delays)
    };
    let text = |words: [&str; 4]| {
        let [trigger, brightness, on, off] = words.map(str::to_owned);
        (trigger, brightness, (on, off))
    };
    assert_eq!(show(Pattern::Steady), text(["none", "255", "0", "0"]));
    assert_eq!(show(Pattern::Slow), text(["timer", "255", "500", "1500"]));
    assert_eq!(show(Pattern::Fast), text(["timer", "255", "125", "125"]));
    assert_eq!(show(Pattern::Double).0, "pattern");
    let rhythm = "255 250 255 0 0 250 0 0 255 250 255 0 0 1250 0 0";
    assert_eq!(sys.read("ACT", "pattern"), rhythm);
    assert_eq!(show(Pattern::Off), text(["none", "0", "125", "125"]));
    assert!(sys.kept().contains("mmc0"), "{}", sys.kept());
    room.fit(&[], at(0));
    assert_eq!(sys.read("ACT", "trigger"), "mmc0");
    assert_eq!(sys.kept(), "", "nothing is kept of what was given back");
}

#[test]
fn where_the_kernel_cannot_it_is_blinked_by_hand() {
    let sys = Sys::new("hand");
    sys.led("ACT", "[none] timer", &["delay_on", "delay_off"]);
    let (mut room, act) = (sys.room(), class("ACT"));
    room.fit(&[lamp(&act, Pattern::Double)], at(0));
    let mut woken = Vec::new();
    let mut now = at(0);
    for _ in 0..5 {
        now = room.tick(now).unwrap();
        room.tick(now);
        woken.push((now.since(at(0)).as_millis(), sys.read("ACT", "brightness")));
    }
    let lit = |at, level: &str| (at, level.to_owned());
    let expected =
        [lit(250, "0"), lit(500, "255"), lit(750, "0"), lit(2000, "255"), lit(2250, "0")];
    assert_eq!(woken, expected);
    room.fit(&[lamp(&act, Pattern::Slow)], now);
    assert_eq!(sys.read("ACT", "trigger"), "timer", "that it can");
    assert_eq!(room.tick(now), None);
    room.fit(&[], now);
    let after = (sys.read("ACT", "trigger"), sys.read("ACT", "brightness"));
    assert_eq!(after, ("none".to_owned(), "7".to_owned()), "as bright as it was");
}

#[test]
fn the_first_name_that_there_is_counts() {
    let sys = Sys::new("names");
    sys.led("led0", "[mmc0]", &[]);
    let led = Led::Class(vec!["ACT".to_owned(), "led0".to_owned()]);
    let mut room = sys.room();
    room.fit(&[lamp(&led, Pattern::Steady)], at(0));
    assert_eq!(sys.read("led0", "brightness"), "255");
    // A kernel without triggers.
    fs::remove_file(sys.0.join("sys/class/leds/led0/trigger")).unwrap();
    let mut room = Room::new(sys.0.clone(), Kept::open(&sys.0.join("nowhere")));
    room.fit(&[lamp(&led, Pattern::Slow)], at(0));
    assert!(room.tick(at(600)).is_some());
    assert_eq!(sys.read("led0", "brightness"), "0");
}

#[test]
fn what_does_not_work_is_said_once_and_tried_again() {
    let sys = Sys::new("missing");
    sys.led("here", "[none]", &[]);
    sys.led("locked", "[none]", &[]);
    let brightness = sys.0.join("sys/class/leds/locked/brightness");
    fs::remove_file(&brightness).unwrap();
    fs::create_dir(&brightness).unwrap();
    let line = Led::Line { chip: "gpiochip7".to_owned(), line: 3, active_low: false };
    let leds = [class("gone"), class("locked"), line, class("here")];
    let mut room = sys.room();
    let told = |room: &Room| room.told.iter().map(ToString::to_string).collect::<Vec<_>>();
    for pattern in [Pattern::Steady, Pattern::Off, Pattern::Steady] {
        room.fit(&leds.each_ref().map(|led| lamp(led, pattern)), at(0));
    }
    assert_eq!(told(&room), ["gone", "locked", "gpiochip7 line 3"]);
    assert_eq!(sys.read("here", "brightness"), "255", "the others go on");
    sys.led("gone", "[none]", &[]);
    room.fit(&leds.each_ref().map(|led| lamp(led, Pattern::Steady)), at(0));
    assert_eq!(sys.read("gone", "brightness"), "255", "plugged in");
    fs::remove_dir_all(sys.0.join("sys/class/leds/here")).unwrap();
    room.fit(&leds.each_ref().map(|led| lamp(led, Pattern::Off)), at(0));
    assert_eq!(told(&room).len(), 4, "unplugged");
    let mut room = sys.room();
    let mut error = |led: &Led| room.open(led).err().map_or_else(String::new, |e| e.to_string());
    assert!(error(&leds[3]).starts_with("there is no such LED in "), "{}", error(&leds[3]));
    assert!(error(&leds[1]).ends_with("locked/brightness cannot be written"));
    assert!(error(&leds[2]).ends_with("dev/gpiochip7"), "{}", error(&leds[2]));
    fs::create_dir_all(sys.0.join("dev")).unwrap();
    fs::write(sys.0.join("dev/gpiochip7"), "").unwrap();
    assert!(error(&leds[2]).starts_with("the line is not available ("), "{}", error(&leds[2]));
}

#[test]
fn a_killed_agent_does_not_lose_what_was_there() {
    let sys = Sys::new("killed");
    sys.led("ACT", "none [mmc0]", &["delay_on", "delay_off"]);
    sys.led("old", "none [heartbeat]", &[]);
    let (act, old) = (class("ACT"), class("old"));
    let mut room = sys.room();
    room.fit(&[lamp(&act, Pattern::Slow), lamp(&old, Pattern::Steady)], at(0));
    drop(room);
    // The next one finds its own trigger there, and another configuration.
    fs::write(sys.0.join("sys/class/leds/ACT/trigger"), "none mmc0 [timer]").unwrap();
    let mut room = sys.room();
    room.fit(&[lamp(&act, Pattern::Fast)], at(0));
    assert_eq!(sys.read("old", "trigger"), "heartbeat", "no longer wanted");
    drop(room);
    assert_eq!(give_back(&sys.0, &sys.run()).unwrap(), ["ACT"]);
    assert_eq!(sys.read("ACT", "trigger"), "mmc0");
    assert_eq!(give_back(&sys.0, &sys.run()).unwrap(), [""; 0], "once is enough");
    // What somebody wrote into the file leads nowhere.
    let evil = r#"{"../../../run/x":{"trigger":"y","brightness":"1"}}"#;
    fs::write(sys.run().join("leds.json"), evil).unwrap();
    fs::create_dir(sys.run().join("x")).unwrap();
    fs::write(sys.run().join("x/trigger"), "untouched").unwrap();
    assert_eq!(give_back(&sys.0, &sys.run()).unwrap(), [""; 0]);
    assert_eq!(fs::read_to_string(sys.run().join("x/trigger")).unwrap(), "untouched");
}

/// An init script that comes later at boot, or a person who tries something.
#[test]
fn who_takes_an_led_does_not_keep_it_and_gets_it_back_in_the_end() {
    let sys = Sys::new("taken");
    let files = ["delay_on", "delay_off"];
    sys.led("blinks", "none [heartbeat] timer", &files);
    sys.led("steady", "none [heartbeat]", &[]);
    let lamps = [lamp(&class("blinks"), Pattern::Slow), lamp(&class("steady"), Pattern::Steady)];
    let mut room = sys.room();
    room.fit(&lamps, at(0));
    let write = |led: &str, file: &str, text: &str| {
        fs::write(sys.0.join("sys/class/leds").join(led).join(file), text).unwrap();
    };
    let shown = || [sys.read("blinks", "trigger"), sys.read("steady", "brightness")];
    // As the kernel says that both are ours.
    write("blinks", "trigger", "none heartbeat [timer]");
    room.look(at(5000));
    assert_eq!(shown(), ["none heartbeat [timer]", "255"], "control: nobody has touched them");
    assert!(sys.kept().contains("heartbeat"));
    write("blinks", "trigger", "[none] heartbeat timer");
    write("blinks", "brightness", "200");
    write("steady", "trigger", "[none] heartbeat");
    write("steady", "brightness", "0");
    room.look(at(10_000));
    assert_eq!(shown(), ["timer", "255"]);
    room.fit(&[], at(11_000));
    assert_eq!(
        (sys.read("blinks", "trigger"), sys.read("blinks", "brightness")),
        ("none".into(), "200".into())
    );
    assert_eq!(
        (sys.read("steady", "trigger"), sys.read("steady", "brightness")),
        ("none".into(), "0".into())
    );
}

#[test]
fn the_thread_shows_the_latest_and_gives_back_in_the_end() {
    let sys = Sys::new("thread");
    sys.led("ACT", "none [mmc0]", &["delay_on", "delay_off"]);
    let act = class("ACT");
    let mut leds = Leds::new(&sys.0, &sys.run());
    for pattern in [Pattern::Steady, Pattern::Off, Pattern::Slow, Pattern::Fast] {
        leds.show(vec![lamp(&act, pattern)]);
    }
    let begun = clock::now().mono;
    while sys.read("ACT", "delay_off") != "125" {
        assert!(clock::now().mono.since(begun) < Duration::from_secs(10), "it shows nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    leds.show(Vec::new());
    leds.stop();
    assert_eq!(sys.read("ACT", "trigger"), "mmc0");
    Leds::new(&sys.0, &sys.run()).stop();
}
