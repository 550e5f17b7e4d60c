//! What people are told of the state: every reader gets one [`Snapshot`].

use std::time::Duration;

use crate::engine::events::causes::Trouble;
use crate::engine::events::words::{barred_by, counted, overlaps_lan};
use crate::engine::health::line::{Line, Pattern};
use crate::engine::health::{Condition, Health};
use crate::engine::kernel::claims::Claim;
use crate::engine::kernel::network;
use crate::engine::notify::Shown;
use crate::engine::policy::choice::Active;
use crate::engine::policy::select::Why;
use crate::engine::status::snapshot::{LastSwitch, LineState, Role, Snapshot, UplinkState};
use crate::engine::status::usage::{Spent, a_month};
use crate::engine::uplink::Uplink;
use crate::engine::uplink::standing::Standing;
use crate::engine::{Engine, Mode};
use crate::time::{Instant, Now, human};
use crate::units::{ByteCount, Family, PerFamily, UplinkId};

/// An interruption is told with the state if it was at least this long …
const NOTICED: Duration = Duration::from_secs(2);
/// … for this long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So many claims of others are shown.
const MOST_CLAIMS: usize = 16;

impl Engine {
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let uplinks: Vec<UplinkState> = self
            .uplinks
            .chain
            .iter()
            .filter_map(|id| self.uplinks.get(id))
            .map(|u| self.uplink_state(u, now))
            .collect();
        let carries = |family| self.carrying(family, now).map(|u| u.config.name.clone());
        let active = PerFamily { v4: carries(Family::V4), v6: carries(Family::V6) };
        let steered = self.kernel.no_table.is_none();
        let works = steered && (active.v4.is_some() || active.v6.is_some());
        let since = if works { self.works_since() } else { self.fails_since(now) };
        Snapshot {
            now,
            works,
            sentence: {
                let full = works && self.seen.polls.full;
                let but =
                    if full { ", but takes no new connections: conntrack is full" } else { "" };
                self.sentence(&active, now) + but
            },
            observing: self.life.mode == Mode::Observe,
            active,
            since: since.and_then(|at| now.utc_of(at)),
            last_switch: self.telling.stories.latest().map(|story| {
                let last = LastSwitch {
                    at: story.at,
                    from: story.from.clone(),
                    to: story.to.clone(),
                    cause: story.cause.word(),
                    reason: story.cause.to_string(),
                    felt: story.felt,
                };
                (last, now.utc_of(story.at))
            }),
            spares_ready: uplinks.iter().filter(|u| u.role == Role::Ready).count(),
            switches: self.choice.switch_count,
            repairs: self.telling.housekeeping.repairs,
            repairs_of: self.telling.housekeeping.repairs_of.clone(),
            loop_gap: self.telling.housekeeping.longest_delay(),
            resolvers: {
                let list = self.names.resolvers.iter().flat_map(|r| &r.list);
                list.map(ToString::to_string).collect()
            },
            names: self.name_states(now),
            claims: self.seen.claims.now.iter().take(MOST_CLAIMS).cloned().collect(),
            manual: self.run.manual.as_ref().map(|(name, _)| name.clone()),
            manual_until: {
                let until = self.run.manual.as_ref().and_then(|(_, until)| *until);
                until.and_then(|until| now.utc_at(until))
            },
            page: self.lan.page.iter().filter(|p| !p.is_link_local()).map(|p| p.addr).collect(),
            messages: Shown::default(),
            history_head: None,
            leds: self.led_names(),
            uplinks,
        }
    }

    /// Since when the uplink in use has carried the traffic without an interruption.
    fn works_since(&self) -> Option<Instant> {
        let v4 = self.choice.active.v4.uplink.is_some();
        let active = if v4 { &self.choice.active.v4 } else { &self.choice.active.v6 };
        active.since.max(self.telling.stories.latest().and_then(|story| story.ended))
    }

    /// Since when nobody has had an answer.
    fn fails_since(&self, now: Now) -> Option<Instant> {
        let lines = self.uplinks.values().flat_map(|u| u.lines.iter());
        let died = lines.filter_map(|(_, line)| match line.health {
            Health::Down { since, .. } => Some(since),
            Health::Unknown
            | Health::Up { .. }
            | Health::Failing { .. }
            | Health::Recovering { .. } => None,
        });
        self.telling.stories.without_answer_since(now.mono).or_else(|| died.max())
    }

    /// The uplink that carries a family, if that leads to the Internet.
    pub(in crate::engine) fn carrying(&self, family: Family, now: Now) -> Option<&Uplink> {
        if self.seen.claims.whole(family).is_some_and(Claim::bars) {
            return None;
        }
        let u = self.uplinks.get(&self.choice.active.get(family).uplink?)?;
        let fitness = u.fitness(&self.config, &self.uplinks.shared, family, now.mono);
        fitness.carries().then_some(u)
    }

    /// What an uplink is good for as a whole.
    pub(in crate::engine) fn whole(&self, u: &Uplink, now: Now) -> Standing {
        u.whole(&self.config, &self.uplinks.shared, now.mono)
    }

    /// The uplinks that carry nothing and could take over now.
    pub(in crate::engine) fn ready_spares(&self, now: Now) -> impl Iterator<Item = &Uplink> {
        let active = [self.choice.active.v4.uplink, self.choice.active.v6.uplink];
        let spares = self.uplinks.values().filter(move |u| !active.contains(&Some(u.id)));
        spares.filter(move |u| self.whole(u, now).is_ready())
    }

    fn sentence(&self, active: &PerFamily<Option<String>>, now: Now) -> String {
        if let Some(why) = &self.kernel.no_table {
            return format!("Traffic is not steered: {why}");
        }
        let claims = Family::BOTH.iter().filter_map(|family| self.seen.claims.whole(*family));
        let claims: Vec<String> = claims.map(ToString::to_string).collect();
        let others = claims.iter().map(|claim| format!("; {claim}")).collect::<String>();
        self.of_the_uplinks(active, now) + &others
    }

    /// How the uplinks are, and who carries what.
    fn of_the_uplinks(&self, active: &PerFamily<Option<String>>, now: Now) -> String {
        let barred =
            Family::BOTH.iter().any(|f| self.seen.claims.whole(*f).is_some_and(Claim::bars));
        let first = self.uplinks.chain.first().and_then(|id| self.uplinks.get(id));
        match (&active.v4, &active.v6) {
            (None, None) if barred => "No Internet".to_owned(),
            (None, None) => {
                let chain = self.uplinks.chain.iter().filter_map(|id| self.uplinks.get(id));
                let said = |u: &Uplink| format!("{} {}", u.config.name, self.trouble(u, now));
                let all: Vec<String> = chain.map(said).collect();
                format!("No Internet: {}", all.join(", "))
            }
            (Some(v4), Some(v6)) if v4 != v6 => {
                format!("Internet works, on {v4} (IPv4) and {v6} (IPv6)")
            }
            (Some(name), _) | (None, Some(name)) => {
                let flaw = self.flaw(name, now);
                match first.filter(|u| u.config.name != *name) {
                    Some(u) => {
                        let family = u.main_line().0;
                        let why = self.why_not_first(u, family, now);
                        format!("Internet works, on {name}{flaw}: {why}")
                    }
                    None => format!("Internet works, on {name}{flaw}"),
                }
            }
        }
    }

    /// What is amiss with the uplink in use although it carries the traffic, and what was lately.
    fn flaw(&self, name: &str, now: Now) -> String {
        let named = self.uplinks.values().find(|u| u.config.name == name);
        let worst = named.map_or(Condition::Ok, |u| self.worst(u.id, now));
        if matches!(worst, Condition::Degraded | Condition::DnsBroken | Condition::Barred) {
            return format!(", but {name} {}", worst.phrase());
        }
        let story = self.telling.stories.latest();
        let lately = |at: Instant| now.mono.since(at) < REMEMBERED;
        let long = story.filter(|story| story.ended.is_some_and(lately));
        match long.and_then(|story| story.felt).filter(|felt| *felt >= NOTICED) {
            Some(felt) => format!(" (after {} without)", human(felt)),
            None => String::new(),
        }
    }

    /// Why an uplink does not carry the traffic, while none does.
    pub(in crate::engine) fn trouble(&self, u: &Uplink, now: Now) -> Trouble {
        match (self.whole(u, now), self.worst(u.id, now)) {
            (Standing::Paused, _) => Trouble::Paused,
            (_, Condition::Ok) => Trouble::Testing,
            (_, condition) => match self.impaired(u, now) {
                Some(family) => Trouble::Only(family, condition),
                None => Trouble::Condition(condition),
            },
        }
    }

    /// The family that has the worst of an uplink's conditions, if the other one works, and has not.
    fn impaired(&self, u: &Uplink, now: Now) -> Option<Family> {
        let worst = self.worst(u.id, now);
        let has = |family: Family| self.condition(u.id, family, now) == worst;
        let works = |family: Family| {
            let standing = u.standing(&self.config, &self.uplinks.shared, family, now.mono);
            standing.is_ready() || standing == Standing::Lossy
        };
        let families = || u.present().map(|(family, _)| family);
        let other = families().find(|family| works(*family) && !has(*family))?;
        families().find(|family| *family != other && has(*family))
    }

    /// The uplinks that carry nothing, and why none of them is a spare.
    pub(in crate::engine) fn others(&self, now: Now) -> Vec<(String, Trouble)> {
        let active = [self.choice.active.v4.uplink, self.choice.active.v6.uplink];
        let chain = self.uplinks.chain.iter().filter(|id| !active.contains(&Some(**id)));
        let others = chain.filter_map(|id| self.uplinks.get(id));
        others.map(|u| (u.config.name.clone(), self.trouble(u, now))).collect()
    }

    /// Why the first uplink of the chain is not the one in use.
    fn why_not_first(&self, u: &Uplink, family: Family, now: Now) -> String {
        let name = &u.config.name;
        if u.paused.is_some() {
            return format!("{name} is paused");
        }
        match self.choice.active.get(family).whys.get(&u.id) {
            Some(Why::Holding(at)) => {
                format!("{name} works again and takes over in {}", human(at.since(now.mono)))
            }
            Some(Why::NotChosen) => "chosen by a person".to_owned(),
            Some(Why::NotCalm) => format!("{name} still loses packets now and then"),
            // What it lacks in this family says more than how it is on the whole.
            _ if u.lines.get(family).egress.is_none() => {
                format!("{name} {}", u.fault(family).phrase())
            }
            _ => format!("{name} {}", self.trouble(u, now)),
        }
    }

    /// The worst condition of an uplink's lines that count.
    fn worst(&self, id: UplinkId, now: Now) -> Condition {
        let Some(u) = self.uplinks.get(&id) else {
            return Condition::Absent;
        };
        let fault = u.attachment.fault.unwrap_or(Condition::Ok);
        let lines = u.present().map(|(family, _)| self.condition(id, family, now));
        let refused = u.attachment.overlap().map(|_| Condition::OverlapsLan);
        lines.chain(refused).max().unwrap_or(fault).max(fault)
    }

    fn uplink_state(&self, u: &Uplink, now: Now) -> UplinkState {
        let is_active =
            Family::BOTH.iter().any(|f| self.choice.active.get(*f).uplink == Some(u.id));
        let role = match (is_active, u.paused.is_some()) {
            (true, _) => Role::Active,
            (false, true) => Role::Paused,
            (false, false) if self.whole(u, now).is_ready() => Role::Ready,
            (false, false) => Role::NotReady,
        };
        let lines = PerFamily {
            v4: self.line_state(u, Family::V4, now),
            v6: self.line_state(u, Family::V6, now),
        };
        let worse = |a: Health, b: Health| if badness(b) > badness(a) { b } else { a };
        let present = u.present().map(|(_, line)| line.health);
        let health = present.reduce(worse).unwrap_or(u.lines.v4.health);
        let configured = u.config.device.interface.as_ref().map(ToString::to_string);
        let name = u.attachment.link.as_ref().map(|(_, name)| name.to_string());
        let link =
            u.attachment.link.as_ref().and_then(|(index, _)| self.seen.view.links.get(index));
        UplinkState {
            name: u.config.name.clone(),
            interface: name.or(configured).unwrap_or_default(),
            ssid: link.and_then(|link| link.hardware.ssid.clone()),
            role,
            health,
            condition: self.worst(u.id, now),
            resolvers: u.resolvers.clone(),
            lines,
            reason: self.told(u, role, now),
            next: self.next(u, role, now),
            metered: u.config.metered,
            offloaded: self.uplinks.shared.offloaded.contains(&u.id),
            flows: u.flows,
            draining: Self::draining(u, now),
            bytes: u.bytes,
            first: self.uplinks.chain.first() == Some(&u.id),
            carrier: u.attachment.carrier,
            private_address: u.has_private_address(),
            proven: u.proven(),
            next_at: self.next_at(u, now),
            paused_until: u.paused.as_ref().and_then(|paused| paused.until),
            provider: u.config.provider.clone(),
            said: self.telling.said.get(&u.config.name).cloned().unwrap_or_default(),
            probing: self.spent(u, now),
        }
    }

    /// When that will be which [`Self::next`] speaks of.
    fn next_at(&self, u: &Uplink, now: Now) -> Option<Instant> {
        let waiting = |(_, active): (Family, &Active)| {
            active.waiting().filter(|(_, id)| *id == u.id).map(|(at, _)| at)
        };
        let paused = u.paused.as_ref().and_then(|paused| paused.until);
        let drained = || Self::draining(u, now)?.lasts.map(|lasts| now.mono + lasts);
        self.choice.active.iter().find_map(waiting).or(paused).or_else(drained)
    }

    fn line_state(&self, u: &Uplink, family: Family, now: Now) -> Option<LineState> {
        let line = u.lines.get(family);
        let egress = line.egress.as_ref()?;
        let s = u.context(&self.config, &self.uplinks.shared, family, now.mono);
        let figures = line.figures();
        Some(LineState {
            health: line.health,
            condition: self.condition(u.id, family, now),
            barred: self.uplinks.shared.barred.get(family).get(&u.id).cloned(),
            standing: u.fitness(&self.config, &self.uplinks.shared, family, now.mono),
            address: egress.source.to_string(),
            gateway: egress.gateway.map(|gateway| gateway.to_string()),
            rtt: figures.rtt,
            jitter: figures.jitter,
            loss: figures.loss,
            window: line.window(&s),
            silences: line.pattern(now.mono),
        })
    }

    fn reason(&self, u: &Uplink, role: Role, now: Now) -> String {
        let worst = self.worst(u.id, now);
        match role {
            Role::Paused => match u.paused.as_ref().and_then(|paused| paused.reason.as_ref()) {
                Some(reason) => format!("paused by a person: {reason}"),
                None => "paused by a person".to_owned(),
            },
            Role::Active | Role::NotReady if worst != Condition::Ok => {
                let subnet = u.attachment.overlap().filter(|_| worst == Condition::OverlapsLan);
                let firewall = self.barred_by(u.id).filter(|_| worst == Condition::Barred);
                let metric = (worst == Condition::NoGateway && self.seen.view.netifd_is_silent)
                    .then(|| self.lacks_metric(u));
                let plain = || match self.impaired(u, now) {
                    Some(family) => Trouble::Only(family, worst).to_string(),
                    None => worst.phrase().to_owned(),
                };
                let waits = (worst == Condition::Pending).then(|| self.waits(u)).flatten();
                let told = subnet.map(overlaps_lan).or(firewall.map(barred_by));
                let told = told.or(metric).or(waits);
                told.unwrap_or_else(plain)
            }
            Role::Active => match u.present().map(|(_, line)| line.health).max_by_key(badness_of) {
                Some(Health::Failing { since, .. }) => {
                    format!("suspected for {}", human(now.mono.since(since)))
                }
                Some(Health::Up { .. }) | None => self.why_in_use(u, now),
                Some(_) => "being checked".to_owned(),
            },
            Role::Ready => "ready".to_owned(),
            Role::NotReady => "being checked".to_owned(),
        }
    }

    /// What an uplink waits for that has no address.
    fn waits(&self, u: &Uplink) -> Option<String> {
        let name = u.config.device.network.as_deref();
        let device = u.attachment.link.as_ref().map(|(_, device)| device);
        network::hindrance(network::stage(&self.seen.view.networks, name, device)?)
    }

    /// netifd may know the gateway that the kernel was not given.
    fn lacks_metric(&self, u: &Uplink) -> String {
        let place = self.uplinks.chain.iter().position(|id| *id == u.id).unwrap_or_default();
        let command = network::own_metric(u.config.device.network.as_deref(), place);
        format!("has no gateway, perhaps for want of an option metric: {command}")
    }

    /// The same, with what a person would wonder about on a line that works.
    fn told(&self, u: &Uplink, role: Role, now: Now) -> String {
        let reason = self.reason(u, role, now);
        let patterns = u.present().filter_map(|(_, line)| line.pattern(now.mono));
        match patterns.max_by_key(|pattern| pattern.longest) {
            Some(Pattern { every, longest }) if matches!(role, Role::Active | Role::Ready) => {
                let (longest, every) = (human(longest), human(every));
                format!("{reason}; falls silent for up to {longest}, about every {every}")
            }
            Some(_) | None => reason,
        }
    }

    /// Why a healthy uplink is the one in use.
    fn why_in_use(&self, u: &Uplink, now: Now) -> String {
        let carries = |(_, active): &(Family, &Active)| active.uplink == Some(u.id);
        let Some((family, active)) = self.choice.active.iter().find(carries) else {
            return "works".to_owned();
        };
        let why = active.whys.get(&u.id);
        let first = self.uplinks.chain.first().and_then(|id| self.uplinks.get(id));
        match (why, first.filter(|first| first.id != u.id)) {
            (Some(Why::Chosen), _) => "chosen by a person".to_owned(),
            (_, Some(first)) => self.why_not_first(first, family, now),
            (_, None) => "works".to_owned(),
        }
    }

    fn next(&self, u: &Uplink, role: Role, now: Now) -> String {
        for (_, active) in self.choice.active.iter() {
            if let Some((at, id)) = active.waiting()
                && id == u.id
            {
                return format!("takes over in {}", human(at.since(now.mono)));
            }
        }
        let until = u.paused.as_ref().and_then(|paused| paused.until);
        match (role, until) {
            (Role::Paused, Some(at)) => format!("used again in {}", human(at.since(now.mono))),
            (Role::Paused, None) => "until \"sparelink resume\"".to_owned(),
            (Role::Active, _) => {
                let stuck =
                    self.choice.active.iter().any(|(_, a)| a.all_down && a.uplink == Some(u.id));
                if stuck { "moves as soon as any uplink answers".to_owned() } else { String::new() }
            }
            (Role::Ready, _) => Self::draining(u, now).map_or_else(String::new, |drain| {
                let verb = if drain.flows == 1 { "finishes" } else { "finish" };
                let (flows, bytes) = (counted(drain.flows, "old flow"), ByteCount(drain.bytes));
                let text = format!("{flows} ({bytes}) {verb} on it");
                match drain.lasts {
                    Some(lasts) => format!("{text}, at most {} more", human(lasts)),
                    None => text,
                }
            }),
            (Role::NotReady, _) => match self.worst(u.id, now) {
                Condition::Absent => "waits to be plugged in".to_owned(),
                Condition::SwitchedOff => "checked as soon as it is switched on".to_owned(),
                Condition::NoNetwork => "waits to be set up".to_owned(),
                Condition::Pending => "checked as soon as it has an address".to_owned(),
                Condition::NoCarrier | Condition::NoAddress | Condition::NoGateway => {
                    "checked as soon as it is connected".to_owned()
                }
                Condition::OverlapsLan => "checked as soon as its subnet is another".to_owned(),
                Condition::InVrf => "checked as soon as it is out of the VRF".to_owned(),
                Condition::Barred => {
                    "used again as soon as the firewall lets the LAN out".to_owned()
                }
                Condition::Ok
                | Condition::ResolversSilent
                | Condition::Degraded
                | Condition::NoWeb
                | Condition::Portal
                | Condition::DnsBroken
                | Condition::BeyondModem
                | Condition::ModemSilent => {
                    "retried; used again after it passes the checks".to_owned()
                }
            },
        }
    }

    /// How selection sees an uplink in a family, for plans and tests.
    #[must_use]
    pub fn standing(&self, name: &str, family: Family, now: Now) -> Option<Standing> {
        let u = self.uplinks.values().find(|u| u.config.name == name)?;
        Some(u.standing(&self.config, &self.uplinks.shared, family, now.mono))
    }
}

const fn badness(health: Health) -> u8 {
    match health {
        Health::Up { .. } => 0,
        Health::Failing { .. } => 1,
        Health::Recovering { .. } => 2,
        Health::Unknown => 3,
        Health::Down { .. } => 4,
    }
}

const fn badness_of(health: &Health) -> u8 {
    badness(*health)
}

impl Engine {
    /// What asking an uplink has cost and will cost.
    pub(in crate::engine) fn spent(&self, u: &Uplink, now: Now) -> Spent {
        let rest = |(family, _): (Family, &Line)| {
            let s = u.context(&self.config, &self.uplinks.shared, family, now.mono);
            a_month(&Line::rest(&s), s.targets, s.plan)
        };
        Spent { bytes: self.telling.timeline.spent(u.id), month: u.present().map(rest).sum() }
    }
}
