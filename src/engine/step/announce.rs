//! What the LAN is told of its prefixes while their uplinks are dead.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use ipnet::Ipv6Net;

use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::health::Health;
use crate::engine::lan::deprecation::{
    AGAIN, AT_FIRST, FOR, PREFERRED, SOON, Standing, Telling, VALID,
};
use crate::engine::lan::prefixes::Held;
use crate::engine::output::{Advert, Output};
use crate::engine::uplink::attachment::subnets;
use crate::time::Now;
use crate::units::{IfIndex, UplinkId};

impl Engine {
    /// Tells the LAN what is due.
    pub(in crate::engine) fn announce(&mut self, now: Now) {
        let due = self.lan.announcing.deadline().is_some_and(|at| at <= now.mono);
        if !std::mem::take(&mut self.lan.announcing.look) && !due {
            return;
        }
        let on_lan = self.prefixes_of_the_lan();
        self.lan.announcing.told.retain(|prefix, _| on_lan.contains_key(prefix));
        for (prefix, (index, uplink, standing)) in on_lan {
            let told = self.lan.announcing.told.get(&prefix).copied();
            match (told, standing) {
                (None, Standing::Alive | Standing::Unclear) => {}
                (None, Standing::Dead) => {
                    let (said, next) = (0, Some(now.mono));
                    let telling = Telling { since: now.mono, said, next };
                    let uplink = self.name(uplink);
                    self.record(Fact::Announced { uplink, prefix, preferred: false }, now);
                    self.say_dead(index, prefix, telling, now);
                }
                (Some(telling), Standing::Dead | Standing::Unclear) => {
                    self.say_dead(index, prefix, telling, now);
                }
                (Some(_), Standing::Alive) => {
                    self.lan.announcing.told.remove(&prefix);
                    let uplink = self.name(uplink);
                    self.record(Fact::Announced { uplink, prefix, preferred: true }, now);
                    self.advertise(index, prefix, PREFERRED);
                }
            }
        }
    }

    /// Says that a prefix is dead, if it is time.
    fn say_dead(&mut self, index: IfIndex, prefix: Ipv6Net, telling: Telling, now: Now) {
        let mut telling = telling;
        if telling.next.is_some_and(|at| at <= now.mono) {
            self.advertise(index, prefix, Duration::ZERO);
            telling.said += 1;
            let pause = if telling.said < AT_FIRST { SOON } else { AGAIN };
            let ended = now.mono.since(telling.since) >= FOR;
            telling.next = (!ended).then_some(now.mono + pause);
        }
        self.lan.announcing.told.insert(prefix, telling);
    }

    fn advertise(&mut self, index: IfIndex, prefix: Ipv6Net, preferred: Duration) {
        let Some(link) = self.seen.view.links.get(&index) else {
            return;
        };
        let advert = Advert { dev: link.name.clone(), prefix, preferred, valid: VALID };
        self.outputs.push_back(Output::Advertise(advert));
    }

    /// The LAN's prefixes that are known to come from one uplink, with the LAN's interface.
    fn prefixes_of_the_lan(&self) -> BTreeMap<Ipv6Net, (IfIndex, UplinkId, Standing)> {
        let Some(lan) = self.config.lan.as_ref().filter(|lan| lan.announce) else {
            return BTreeMap::new();
        };
        let mut found = BTreeMap::new();
        for (net, index) in subnets(&lan.interfaces, &self.seen.view) {
            // Where another router leads out of the LAN, its prefixes may be that one's.
            let other_router = |r: &crate::engine::kernel::view::ForeignRoute| {
                r.dev == index && r.dst.addr().is_ipv6() && r.is_default()
            };
            let IpNet::V6(net) = net else { continue };
            if self.seen.view.routes.iter().any(other_router) {
                continue;
            }
            let standing = |id: &UplinkId| Some((*id, self.standing_of(*id, &net)?));
            if let Some((id, standing)) = self.uplinks.chain.iter().find_map(standing) {
                found.insert(net, (index, id, standing));
            }
        }
        found
    }

    /// How it stands with a prefix of the LAN that comes from this uplink; `None`: it does not.
    fn standing_of(&self, id: UplinkId, net: &Ipv6Net) -> Option<Standing> {
        let held = self.lan.prefixes.delegated(id, net)?;
        let health = self.uplinks.get(&id)?.lines.v6.health;
        Some(match (health, held) {
            (Health::Down { .. }, _) | (_, Held::Once) => Standing::Dead,
            (Health::Up { .. } | Health::Failing { .. }, Held::Now) => Standing::Alive,
            (Health::Unknown | Health::Recovering { .. }, Held::Now) => Standing::Unclear,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Mode;
    use crate::engine::health::Condition;
    use crate::engine::kernel::view::{Address, KernelView, Link, RouteKind};
    use crate::engine::state::Restored;
    use crate::time::Instant;
    use crate::units::TableId;

    const CABLES: &str = "2001:db8:a0:1::/64";

    fn at(seconds: u64) -> Now {
        Now { mono: Instant::from_micros(seconds * 1_000_000), utc: None }
    }

    /// A cable with a delegated prefix, which the LAN has, beside one that nobody has delegated.
    fn home(announce: bool, mode: Mode) -> Engine {
        let text = format!(
            "[[uplink]]\nname = \"cable\"\ninterface = \"wan0\"\nprefixes6 = [\"2001:db8:a0::/48\"]\n\
             [lan]\ninterfaces = [\"br-lan\"]\nannounce = {announce}\n"
        );
        let config = crate::config::parse(&text, "test").unwrap();
        let mut engine = Engine::new(config, mode, Restored::default(), 0, at(0));
        let lan = Link::wired(IfIndex(3), "br-lan");
        let address = |net: &str| Address {
            index: IfIndex(3),
            net: net.parse().unwrap(),
            peer: None,
            global: true,
            deprecated: false,
        };
        engine.seen.view = KernelView {
            links: [(IfIndex(3), lan)].into(),
            addresses: ["2001:db8:a0:1::1/64", "2001:db8:c0:1::1/64", "fd77::1/64"]
                .map(address)
                .to_vec(),
            routes: Vec::new(),
            ..KernelView::default()
        };
        engine.lan.prefixes.learn(
            &engine.uplinks.chain,
            engine.uplinks.values(),
            &engine.seen.view,
        );
        engine
    }

    /// Sets the line's health and lets the time come; what is said: prefix and preferred lifetime.
    fn say(engine: &mut Engine, health: Health, now: u64) -> Vec<(String, u64)> {
        engine.uplinks.values_mut().for_each(|u| u.lines.v6.health = health);
        engine.lan.announcing.look();
        engine.announce(at(now));
        let said = std::iter::from_fn(|| engine.poll_output()).filter_map(|output| {
            let Output::Advertise(advert) = output else { return None };
            Some((advert.prefix.to_string(), advert.preferred.as_secs()))
        });
        said.collect()
    }

    const UP: Health = Health::Up { since: Instant::ZERO };
    const DOWN: Health = Health::Down { since: Instant::ZERO, condition: Condition::BeyondModem };
    const RECOVERING: Health = Health::Recovering { since: Instant::ZERO };

    #[test]
    fn a_dead_prefix_is_told_again_and_again_until_it_lives() {
        let mut engine = home(true, Mode::Steer);
        let dead = [(CABLES.to_owned(), 0)];
        assert_eq!(say(&mut engine, UP, 1), []);
        for (now, said) in
            [(10, true), (10, false), (11, true), (12, true), (30, false), (72, true)]
        {
            assert_eq!(say(&mut engine, DOWN, now), if said { &dead[..] } else { &[] }, "at {now}");
        }
        assert_eq!(engine.lan.announcing.deadline(), Some(at(132).mono));
        assert_eq!(say(&mut engine, RECOVERING, 132), dead, "what is being proven may be dead yet");
        assert_eq!(say(&mut engine, UP, 140), [(CABLES.to_owned(), 1800)]);
        assert_eq!(say(&mut engine, UP, 200), []);
        assert_eq!(engine.lan.announcing.deadline(), None);
    }

    #[test]
    fn it_has_an_end() {
        let mut engine = home(true, Mode::Steer);
        assert_eq!(say(&mut engine, DOWN, 10).len(), 1);
        assert_eq!(say(&mut engine, DOWN, 10 + 86_400).len(), 1);
        assert_eq!(engine.lan.announcing.deadline(), None);
        assert_eq!(say(&mut engine, DOWN, 10 + 90_000), []);
    }

    #[test]
    fn nobody_is_told_who_did_not_ask_or_has_another_router() {
        for mut engine in [home(false, Mode::Steer), home(true, Mode::Observe)] {
            assert_eq!(say(&mut engine, DOWN, 10), []);
        }
        let mut engine = home(true, Mode::Steer);
        engine.seen.view.routes.push(crate::engine::kernel::view::ForeignRoute {
            table: TableId::MAIN,
            dst: "::/0".parse().unwrap(),
            src: None,
            gateway: Some("fe80::99".parse().unwrap()),
            dev: IfIndex(3),
            metric: crate::units::Metric(1024),
            protocol: 9,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        });
        assert_eq!(say(&mut engine, DOWN, 10), []);
    }
}
