//! Both families of an uplink that move together are told in one sentence, and one that stays is named.

use std::time::Duration;

use sparelink::config;
use sparelink::engine::events::causes::{Order, Scope};
use sparelink::engine::events::facts::Fact;
use sparelink::engine::input::Command;
use sparelink::lab::world::{Fault, Plan, World};
use sparelink::units::PerFamily;

use crate::nature;

const SECOND: Duration = Duration::from_secs(1);
const BOTH: PerFamily<bool> = PerFamily { v4: true, v6: true };
const NONE: PerFamily<bool> = PerFamily { v4: false, v6: false };
const V6: PerFamily<bool> = PerFamily { v4: false, v6: true };

/// A home with two uplinks that have both families, or a second one that has IPv4 only.
fn home(second: PerFamily<bool>) -> World {
    let text = "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\n[[uplink]]\nname = \"mifi\"\n\
                interface = \"wan1\"\n[lan]\ninterfaces = [\"br-lan\"]\n\
                [failback]\nhold = \"5s\"\nhold_max = \"5s\"\n";
    let mut world = World::new(Plan {
        config: config::parse(text, "families").unwrap(),
        natures: vec![nature(12, 0.0, None), nature(40, 0.0, None)],
        families: vec![BOTH, second],
        seed: 7,
    });
    world.start_agent();
    world.run_for(60 * SECOND);
    world.events.clear();
    world
}

/// The scope of each switch that began a story, and how many joined one.
fn told(world: &mut World) -> (Vec<Scope>, usize) {
    let switches = std::mem::take(&mut world.events).into_iter().filter_map(|event| {
        let Fact::Switched { order, scope, .. } = event.fact else { return None };
        Some((order, scope))
    });
    let (began, joined): (Vec<_>, Vec<_>) = switches.partition(|(order, _)| *order == Order::Opens);
    (began.into_iter().map(|(_, scope)| scope).collect(), joined.len())
}

fn chosen(world: &mut World, uplink: &str) -> (Vec<Scope>, usize) {
    world.command(Command::Switch { uplink: uplink.to_owned(), lasts: None });
    world.run_for(SECOND);
    told(world)
}

#[test]
fn who_chooses_an_uplink_for_both_is_told_of_both() {
    let mut world = home(BOTH);
    assert_eq!(chosen(&mut world, "mifi"), (vec![Scope::Whole], 1));
    assert_eq!(chosen(&mut world, "cable"), (vec![Scope::Whole], 1));
    let mut world = home(PerFamily { v4: true, v6: false });
    assert_eq!(chosen(&mut world, "mifi"), (vec![Scope::Family], 0), "control: IPv6 stays");
}

#[test]
fn a_family_that_follows_within_the_story_is_told_with_it() {
    // IPv6 is back so much later, and so its hold is over.
    let back = |later: Duration| {
        let mut world = home(BOTH);
        world.fault(0, Fault::Sever(BOTH));
        world.run_for(20 * SECOND);
        assert_eq!(told(&mut world), (vec![Scope::Whole], 1));
        world.fault(0, Fault::Sever(V6));
        world.run_for(later);
        world.fault(0, Fault::Sever(NONE));
        world.run_for(60 * SECOND);
        told(&mut world)
    };
    assert_eq!(back(SECOND), (vec![Scope::Whole], 1));
    assert_eq!(
        back(10 * SECOND),
        (vec![Scope::Family, Scope::Whole], 0),
        "control: it stays, for now"
    );
}

#[test]
fn what_only_one_family_lacks_is_said_of_that_one() {
    let mut world = home(BOTH);
    world.fault(1, Fault::Sever(V6));
    world.run_for(30 * SECOND);
    let reason = |world: &World| {
        let snapshot = world.engine.as_ref().unwrap().snapshot(world.clock());
        snapshot.uplinks[1].reason.clone()
    };
    assert_eq!(reason(&world), "has no Internet behind its modem (IPv6 only)");
    let number = world.command(Command::Switch { uplink: "mifi".to_owned(), lasts: None });
    world.run_for(SECOND);
    assert_eq!(
        world.answers[&number].as_deref(),
        Ok(
            "Using mifi until \"sparelink switch auto\"; it has no Internet behind its modem (IPv6 only), so IPv6 \
            stays where it is until that works"
        )
    );
    assert_eq!(told(&mut world), (vec![Scope::Family], 0));
    world.fault(1, Fault::Sever(BOTH));
    world.run_for(30 * SECOND);
    assert_eq!(reason(&world), "has no Internet behind its modem", "control: of both");
}
