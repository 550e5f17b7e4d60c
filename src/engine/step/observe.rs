//! What the engine makes of what it is told: links, probe ends, counters, news of lines.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::engine::Engine;
use crate::engine::events::facts::Fact;
use crate::engine::health::line::Line;
use crate::engine::health::traffic::Packets;
use crate::engine::health::{Condition, Health, Signal};
use crate::engine::input::Counters;
use crate::engine::kernel::network::{self, Networks};
use crate::engine::kernel::polls::{BYTES_EVERY, POLL_BUSY, POLL_IDLE, POLL_LOST, POLL_SUSPECTED};
use crate::engine::kernel::view::{KernelChange, KernelView};
use crate::engine::output::Output;
use crate::engine::probe::ProbeReply;
use crate::engine::uplink::attachment::{Attachment, spoken_for, subnets};
use crate::time::Now;
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

/// Whether an uplink is on the device that it was on before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Same,
    Other,
}

impl Engine {
    pub(in crate::engine) fn start(
        &mut self,
        view: KernelView,
        adopted: PerFamily<Option<IfIndex>>,
        now: Now,
    ) {
        self.life.started = Some(now.mono);
        let chain = self.uplinks.chain.iter().map(|id| self.name(*id)).collect();
        self.record(Fact::Started { chain }, now);
        self.seen.view = view;
        self.relink(now);
        for family in Family::BOTH {
            self.first_choice(family, *adopted.get(family), now);
        }
    }

    pub(in crate::engine) fn view_changed(&mut self, view: KernelView, now: Now) {
        let networks = std::mem::take(&mut self.seen.view.networks);
        let netifd_is_silent = self.seen.view.netifd_is_silent;
        self.seen.view = KernelView { networks, netifd_is_silent, ..view };
        self.kernel.look_again();
        self.relink(now);
    }

    /// The box's network manager says something else of its networks now.
    pub(in crate::engine) fn networks_named(&mut self, mut networks: Networks, now: Now) {
        network::remember(&mut networks, &self.seen.view.networks);
        self.seen.view.networks = networks;
        self.seen.view.netifd_is_silent = false;
        self.relink(now);
    }

    pub(in crate::engine) fn kernel_changed(&mut self, changes: &[KernelChange], now: Now) {
        let mut foreign = false;
        for change in changes {
            match change {
                KernelChange::Ours(_) => self.kernel.look_again(),
                KernelChange::Firewall => self.seen.firewalls.touched(now.mono),
                KernelChange::LinkGone(_) => {
                    // Its IPv4 routes went without a word, and its sysctls with it; the next device
                    // may look the same.
                    self.kernel.look_again();
                    foreign = true;
                    self.seen.view.apply(change);
                }
                KernelChange::Link(_)
                | KernelChange::Address(_)
                | KernelChange::AddressGone(_)
                | KernelChange::Route(_)
                | KernelChange::RouteGone(_)
                | KernelChange::Rules(_) => {
                    if matches!(change, KernelChange::Rules(_)) {
                        // One that stands before ours may lead packets astray.
                        self.kernel.look_again();
                    }
                    foreign = true;
                    self.seen.view.apply(change);
                }
            }
        }
        if foreign {
            self.relink(now);
        }
    }

    /// Compares what each uplink has now with what it had.
    pub(in crate::engine) fn relink(&mut self, now: Now) {
        let interfaces = self.config.lan.as_ref().map_or(&[][..], |lan| &lan.interfaces);
        let lan: Vec<IpNet> = subnets(interfaces, &self.seen.view).into_keys().collect();
        let mut given = BTreeSet::new();
        for id in self.uplinks.chain.clone() {
            let Some(uplink) = self.uplinks.get_mut(&id) else {
                continue;
            };
            let mut taken = spoken_for(&self.config, &self.seen.view, &uplink.config);
            taken.extend(&given);
            let attachment = Attachment::beside(&uplink.config, &self.seen.view, &lan, &taken);
            given.extend(attachment.link.iter().map(|(index, _)| *index));
            if attachment == uplink.attachment && uplink.lines.v4.health != Health::Unknown {
                continue;
            }
            let before = std::mem::replace(&mut uplink.attachment, attachment.clone());
            let overlap = attachment.overlap().filter(|_| before.overlap().is_none());
            // Sockets are bound to a name, but a device by another name is still the same line.
            if before.link != attachment.link && before.link.is_some() {
                self.outputs.push_back(Output::Forget(id));
            }
            let device = |a: &Attachment| a.link.as_ref().map(|(index, _)| *index);
            let same = device(&before) == device(&attachment);
            let device = if same { Device::Same } else { Device::Other };
            for family in Family::BOTH {
                self.relink_line(id, family, &attachment, device, now);
            }
            let new = attachment.detours.iter().filter(|net| !before.detours.contains(net));
            let new: Vec<IpNet> = new.copied().collect();
            if !new.is_empty() {
                self.ignore_detours(id, new, now);
            }
            if let Some(subnet) = overlap {
                let uplink = self.name(id);
                self.record(Fact::OverlapsLan { uplink, subnet }, now);
            }
            self.choice.undecided = true;
        }
        // Others' routes beside those that are passed over are kept apart.
        if self.uplinks.values().any(|u| !u.attachment.detours.is_empty()) {
            self.kernel.replan();
        }
        let before = self.lan.prefixes.clone();
        self.lan.prefixes.learn(&self.uplinks.chain, self.uplinks.values(), &self.seen.view);
        // Routes that are no way out may still say whose a prefix is.
        self.choice.undecided |= self.lan.prefixes != before;
        self.learn_resolvers();
        self.follow_lan();
        self.heed(now);
        self.follow_ways();
    }

    /// Routes that would take traffic past the choice are passed over, and what has begun by them in
    /// the meantime begins again.
    fn ignore_detours(&mut self, id: UplinkId, networks: Vec<IpNet>, now: Now) {
        for family in Family::BOTH {
            let touched = networks.iter().any(|net| Family::of(&net.addr()) == family);
            if touched && self.choice.active.get(family).uplink != Some(id) {
                self.cut_off(id, family, now);
            }
        }
        let uplink = self.name(id);
        self.record(Fact::RoutesIgnored { uplink, networks }, now);
    }

    fn relink_line(
        &mut self,
        id: UplinkId,
        family: Family,
        attachment: &Attachment,
        device: Device,
        now: Now,
    ) {
        let egress = attachment.egress.get(family).clone();
        let fault = self.uplinks.get(&id).map_or(Condition::Absent, |u| u.fault(family));
        let forget = self.with_line(id, family, now, |line, s, _, news| {
            match (line.egress.clone(), egress) {
                (None, None) => {
                    // A family that was never here is missing, not broken.
                    if attachment.fault.is_some() || line.health != Health::Unknown {
                        line.signal(Signal::Hard(fault), s, news);
                    }
                    false
                }
                (Some(_), None) => {
                    line.relink(None, now.mono);
                    line.signal(Signal::Hard(fault), s, news);
                    true
                }
                (old, Some(new)) if device == Device::Other || old.is_none() => {
                    line.relink(Some(new), now.mono);
                    // Another interface is another line: it has to be proven anew.
                    if line.health.is_alive() {
                        line.signal(Signal::Hard(Condition::Absent), s, news);
                    }
                    line.signal(Signal::Linked, s, news);
                    false
                }
                (Some(old), Some(new)) => {
                    let other_address = old.source != new.source;
                    let other_gateway = old.gateway != new.gateway;
                    line.egress = Some(new);
                    if other_address || other_gateway {
                        line.signal(Signal::Suspected, s, news);
                    }
                    other_address
                }
                (None, Some(_)) => false,
            }
        });
        if forget == Some(true) {
            self.outputs.push_back(Output::Forget(id));
        }
    }

    pub(in crate::engine) fn probe_ended(&mut self, reply: &ProbeReply, now: Now) {
        // A probe belongs to one family; the other does not know its number.
        for family in Family::BOTH {
            self.with_line(reply.uplink, family, now, |line, s, asker, news| {
                line.reply(reply.id, &reply.outcome, s, asker, news);
            });
        }
        self.feel_first_answer(now);
    }

    pub(in crate::engine) fn counters_read(&mut self, counters: &Counters, now: Now) {
        self.seen.polls.asked = None;
        for uplink in self.uplinks.values_mut() {
            let index = uplink.attachment.link.as_ref().map(|(index, _)| *index);
            if let Some(bytes) = index.and_then(|index| counters.bytes.get(&index)) {
                uplink.bytes = Some(*bytes);
            }
        }
        if let Some(tracked) = counters.tracked {
            self.seen.polls.track(tracked);
        }
        if counters.absent {
            return;
        }
        self.un_nated_packets(counters.un_nated, now);
        for id in self.uplinks.chain.clone() {
            for family in Family::BOTH {
                let seen = Packets {
                    inward: counters.inward.get(&id).map_or(0, |c| *c.get(family)),
                    outward: counters.outward.get(&id).map_or(0, |c| *c.get(family)),
                };
                let line = self.uplinks.get_mut(&id).map(|u| u.lines.get_mut(family));
                let quiet = |line: &mut Line| {
                    line.egress.is_none() || line.traffic.is_quiet(seen, now.mono)
                };
                if line.is_none_or(quiet) {
                    continue;
                }
                self.with_line(id, family, now, |line, s, _, news| {
                    line.counters(seen, s, news);
                });
            }
        }
        self.see_use();
        self.feel_first_answer(now);
    }

    /// Asks for the counters when it is time.
    pub(in crate::engine) fn poll_counters(&mut self, now: Now) {
        if self.life.started.is_none() {
            return;
        }
        let pause = self.poll_interval(now);
        let next = now.mono + pause;
        // At rest they are read when the probes are sent.
        let next = if pause < POLL_IDLE { next } else { next.aligned(POLL_IDLE) };
        self.seen.polls.next = self.seen.polls.next.min(next);
        let lost = self.seen.polls.asked.is_some_and(|asked| now.mono.since(asked) >= POLL_LOST);
        if (self.seen.polls.asked.is_some() && !lost) || self.seen.polls.next > now.mono {
            return;
        }
        let mut bytes = Vec::new();
        if self.seen.polls.bytes_at <= now.mono {
            self.seen.polls.bytes_at = now.mono + BYTES_EVERY;
            bytes = self.interfaces();
        }
        self.seen.polls.asked = Some(now.mono);
        self.seen.polls.next = next;
        self.outputs.push_back(Output::ReadCounters { bytes });
    }

    fn poll_interval(&self, now: Now) -> Duration {
        let awaited = self.telling.stories.is_awaited(now.mono);
        let mut interval = if awaited { POLL_SUSPECTED } else { POLL_IDLE };
        for (family, id) in self.uplinks.shared.active.iter() {
            let line = id.and_then(|id| self.uplinks.get(&id)).map(|u| u.lines.get(family));
            let Some(line) = line else { continue };
            if matches!(line.health, Health::Failing { .. }) {
                interval = interval.min(POLL_SUSPECTED);
            } else if line.health.is_alive() && line.traffic.is_busy(now.mono) {
                interval = interval.min(POLL_BUSY);
            }
        }
        interval
    }
}
