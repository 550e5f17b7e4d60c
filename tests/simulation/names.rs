//! Names over a hundred switches and five minutes of flapping: right soon after each that lasts, written once a minute
//! at most, and never one uplink's address under another's name.

use std::net::IpAddr;
use std::time::Duration;

use sparelink::config;
use sparelink::lab::world::rng::Rng;
use sparelink::lab::world::{Fault, Plan, World};
use sparelink::time::Instant;
use sparelink::units::PerFamily;

use crate::nature;

const BOTH: PerFamily<bool> = PerFamily { v4: true, v6: true };
const MINUTE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// The moving name, and one for each of two uplinks, at a name server. By IPv4 they are behind modems.
fn world(seed: u64) -> World {
    let uplink = |name: &str| format!("[[uplink]]\nname = \"{name}\"\ninterface = \"if-{name}\"\n");
    let name = |name: &str, more: &str| {
        format!(
            "[[ddns]]\nname = \"{name}.example.net\"\nprotocol = \"rfc2136\"\nserver = \"192.0.2.53\"\n\
             key_name = \"home\"\nsecret_file = \"home.key\"\n{more}"
        )
    };
    let text = uplink("cable")
        + &uplink("mifi")
        + "[lan]\ninterfaces = [\"br-lan\"]\n[failback]\nhold = \"3s\"\nhold_max = \"3s\"\n"
        + &name("home", "")
        + &name("cable", "uplink = \"cable\"\n")
        + &name("mifi", "uplink = \"mifi\"\n");
    let config = config::parse(&text, "names").unwrap();
    let natures = vec![nature(8, 0.0, None), nature(25, 0.0, None)];
    let mut world = World::new(Plan { config, natures, families: vec![BOTH; 2], seed });
    world.start_agent();
    world
}

fn of(uplink: usize) -> IpAddr {
    format!("2001:db8:{uplink:x}::2").parse().unwrap()
}

fn says(world: &World, name: &str) -> Vec<IpAddr> {
    world
        .names
        .says
        .get(&format!("{name}.example.net"))
        .map(|says| says.v6.clone())
        .unwrap_or_default()
}

/// What must hold whenever one looks, and that writes are a minute apart.
fn check(world: &World) {
    for (n, name) in ["cable", "mifi"].into_iter().enumerate() {
        let says = says(world, name);
        assert!(says.iter().all(|ip| *ip == of(n)), "{name} is {says:?}");
    }
    for name in ["home", "cable", "mifi"] {
        let name = format!("{name}.example.net");
        let times: Vec<Instant> =
            world.names.written.iter().filter(|w| w.1 == name).map(|w| w.0).collect();
        let apart = times.windows(2).all(|pair| pair[1].since(pair[0]) >= MINUTE);
        assert!(apart, "{name} was written too often: {times:?}");
    }
    // By IPv4 nobody would get in, so nothing is said.
    assert!(world.names.says.values().all(|says| says.v4.is_empty()));
}

/// Plays for some time and looks all the while.
fn play(world: &mut World, time: Duration) {
    let steps = time.as_millis() / STEP.as_millis();
    for _ in 0..steps {
        world.run_for(STEP);
        check(world);
    }
}

fn active(world: &World) -> Option<usize> {
    let engine = world.engine.as_ref()?;
    let name = engine.snapshot(world.clock()).active.v6?;
    ["cable", "mifi"].iter().position(|known| *known == name)
}

#[test]
fn a_hundred_switches_swap_no_names() {
    let mut world = world(7);
    let mut rng = Rng::new(7);
    play(&mut world, Duration::from_secs(70));
    assert_eq!(says(&world, "home"), [of(0)]);
    let mut worst = Duration::ZERO;
    let mut lasting = 0;
    for round in 0..50 {
        for fault in [Fault::Sever(BOTH), Fault::Restore] {
            let before = active(&world);
            world.fault(0, fault);
            while active(&world) == before {
                play(&mut world, STEP);
            }
            let (to, switched) = (active(&world).unwrap(), world.clock().mono);
            // Every third one lasts long enough that it may be written at once.
            let lasts = round % 3 == 0;
            let last = world.names.written.iter().rfind(|w| w.1 == "home.example.net").map(|w| w.0);
            let may = last.is_none_or(|last| switched.since(last) >= MINUTE);
            if may && lasts {
                while says(&world, "home") != [of(to)] {
                    play(&mut world, STEP);
                    assert!(world.clock().mono.since(switched) < MINUTE, "it never follows");
                }
                worst = worst.max(world.clock().mono.since(switched));
                lasting += 1;
            }
            let stays = if lasts { 70_000 } else { 1000 + rng.number() % 15_000 };
            play(&mut world, Duration::from_millis(stays));
        }
    }
    let writes = world.names.written.iter().filter(|w| w.1 == "home.example.net").count();
    let told = format!("{writes} writes, {lasting} lasting switches right in {worst:?} at worst");
    assert!(lasting > 10 && worst <= Duration::from_secs(2), "{told}");
}

#[test]
fn five_minutes_of_flapping_are_written_five_times_at_most() {
    let mut world = world(11);
    play(&mut world, Duration::from_secs(70));
    let before = world.names.written.len();
    let end = world.clock().mono + 5 * MINUTE;
    let mut flaps = 0;
    while world.clock().mono < end {
        world.fault(0, Fault::Carrier(flaps % 2 == 1));
        flaps += 1;
        play(&mut world, Duration::from_millis(4700));
    }
    world.fault(0, Fault::Restore);
    let writes = world.names.written[before..].iter().filter(|w| w.1 == "home.example.net").count();
    assert!((1..=6).contains(&writes), "{writes} writes of {flaps} flaps");
    play(&mut world, 3 * MINUTE);
    let last = active(&world).unwrap();
    assert_eq!(says(&world, "home"), [of(last)], "right in the end");
}
