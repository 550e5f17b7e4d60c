//! How many may be connected at a time: in all, from one address, and from one machine with many of them.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::units::IfIndex;

/// Connections to the page, whoever they are. A household has a handful of browsers open; each
/// connection costs the box some 20 kB at most.
pub(super) const ALL: usize = 64;
/// Connections from one address: browsers open six to a site, and two of them on one machine and a
/// monitoring system are plausible. One machine alone so never shuts out the others.
pub(super) const EACH: usize = 16;

/// Connections from one IPv6 prefix of 64 bits. Beyond a router one machine can have any number of addresses in
/// it: some slots are left for those who come from elsewhere.
pub(super) const PREFIX: usize = ALL - EACH;
/// Connections from one neighbour, whatever its addresses: a machine, or a router with machines behind it. Others
/// in the same prefix find a slot.
pub(super) const NEIGHBOUR: usize = ALL / 2;

/// The Ethernet address of a neighbour.
pub(super) type Hardware = [u8; 6];

/// Which machine has an address on an interface, where that is known.
pub type Neighbours = Arc<dyn Fn(IpAddr, IfIndex) -> Option<[u8; 6]> + Send + Sync>;

/// The connection slots of one listener, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    all: Vec<Arc<Holder>>,
}

#[derive(Debug)]
struct Holder {
    number: u64,
    who: IpAddr,
    /// Who in the LAN that comes from, if that is known.
    neighbour: Option<Hardware>,
    /// A whole request has come from there.
    asked: AtomicBool,
    leave: Notify,
}

/// One of them, free again when dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    of: ConnectionSlots,
    holder: Arc<Holder>,
}

impl ConnectionSlots {
    /// A connection slot for this client, if one is left. When all that it may have are taken, one who has not
    /// asked for anything yet makes room, if from there come more than from the newcomer.
    pub(super) fn take(&self, who: IpAddr, neighbour: Option<Hardware>) -> Option<ConnectionSlot> {
        let mut taken = self.lock();
        if taken.count(who) >= EACH {
            return None;
        }
        let near = |holder: &Holder| neighbour.is_some() && holder.neighbour == neighbour;
        let prefixed = |holder: &Holder| prefix(who).is_some() && prefix(holder.who) == prefix(who);
        let room = taken.has_room(NEIGHBOUR, near, who)
            && taken.has_room(PREFIX, prefixed, who)
            && taken.has_room(ALL, |_| true, who);
        if !room {
            return None;
        }
        taken.next += 1;
        let (number, asked) = (taken.next, AtomicBool::new(false));
        let holder = Arc::new(Holder { number, who, neighbour, asked, leave: Notify::new() });
        taken.all.push(holder.clone());
        Some(ConnectionSlot { of: self.clone(), holder })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The upper half of an IPv6 address.
fn prefix(who: IpAddr) -> Option<u64> {
    let upper = |ip: Ipv6Addr| ip.to_bits() >> 64;
    match who {
        IpAddr::V6(ip) => u64::try_from(upper(ip)).ok(),
        IpAddr::V4(_) => None,
    }
}

impl Taken {
    fn count(&self, who: IpAddr) -> usize {
        self.all.iter().filter(|holder| holder.who == who).count()
    }

    /// Whether one more of a crowd has room, if `most` are enough; one that only waits may make it.
    fn has_room(&mut self, most: usize, of: impl Fn(&Holder) -> bool, who: IpAddr) -> bool {
        let crowd: Vec<_> = self.all.iter().filter(|holder| of(holder)).collect();
        if crowd.len() < most {
            return true;
        }
        let own = self.count(who);
        let waits = |holder: &&&Arc<Holder>| !holder.asked.load(Ordering::Relaxed);
        // The oldest of the many: `max_by_key` takes the last of equals.
        let many = crowd.iter().filter(waits).rev().max_by_key(|holder| self.count(holder.who));
        let Some(holder) = many.filter(|holder| self.count(holder.who) > own + 1) else {
            return false;
        };
        holder.leave.notify_one();
        let number = holder.number;
        self.all.retain(|other| other.number != number);
        true
    }
}

impl ConnectionSlot {
    /// A whole request has come: this one is no mere crowd.
    pub(super) fn asked(&self) {
        self.holder.asked.store(true, Ordering::Relaxed);
    }

    /// Waits until the slot is needed for another client.
    pub(super) async fn is_needed(&self) {
        self.holder.leave.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.of.lock().all.retain(|holder| holder.number != self.holder.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: usize) -> IpAddr {
        IpAddr::from([192, 168, 1, u8::try_from(last).unwrap()])
    }

    #[test]
    fn one_address_cannot_take_them_all() {
        let slots = ConnectionSlots::default();
        let mut sat: Vec<ConnectionSlot> =
            (0..EACH).map(|_| slots.take(ip(1), None).unwrap()).collect();
        assert!(slots.take(ip(1), None).is_none());
        assert!(slots.take(ip(2), None).is_some(), "others can sit down");
        sat.remove(0);
        assert!(slots.take(ip(1), None).is_some(), "one is free again");
        drop(sat);
        assert_eq!(slots.lock().all.len(), 0);
    }

    #[test]
    fn one_machine_with_many_addresses_cannot_take_them_all() {
        let slots = ConnectionSlots::default();
        let of = |n: u16| IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, n]);
        let sat: Vec<ConnectionSlot> = (0..999).filter_map(|n| slots.take(of(n), None)).collect();
        assert_eq!(sat.len(), PREFIX);
        assert!(slots.take(ip(1), None).is_some(), "one who comes by IPv4 has no slot");
        let elsewhere = IpAddr::from([0xfd00, 0, 0, 2, 0, 0, 0, 1]);
        assert!(slots.take(elsewhere, None).is_some(), "one of another network has no slot");
    }

    #[test]
    fn one_neighbour_leaves_some_to_others_of_its_prefix() {
        let slots = ConnectionSlots::default();
        let of = |n: u16| IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, n]);
        let (greedy, other) = (Some([2, 0, 0, 0, 0, 1]), Some([2, 0, 0, 0, 0, 2]));
        let sat: Vec<_> = (0..999).filter_map(|n| slots.take(of(n), greedy)).collect();
        assert_eq!(sat.len(), NEIGHBOUR);
        assert!(slots.take(of(5000), other).is_some(), "its neighbour has no slot");
        assert!(slots.take(ip(1), greedy).is_none(), "another slot by IPv4");
        drop(sat);
        assert!(slots.take(ip(1), greedy).is_some());
    }

    #[test]
    fn a_crowd_makes_room_for_one_more() {
        let slots = ConnectionSlots::default();
        let crowd: Vec<ConnectionSlot> =
            (0..ALL).map(|n| slots.take(ip(1 + n % 4), None).unwrap()).collect();
        crowd[0].asked();
        let guest = slots.take(ip(99), None).unwrap();
        assert_eq!(slots.lock().all.len(), ALL);
        let gone: Vec<usize> = (0..ALL)
            .filter(|n| !slots.lock().all.iter().any(|h| h.number == crowd[*n].holder.number))
            .collect();
        assert_eq!(gone, [1], "the oldest that has not asked, and of those who are most");
        drop(guest);
        let more: Vec<_> = (0..ALL).filter_map(|_| slots.take(ip(99), None)).collect();
        assert!((4..EACH).contains(&more.len()), "no more than the others: {}", more.len());
        let busy = ConnectionSlots::default();
        let all: Vec<ConnectionSlot> =
            (0..ALL).map(|n| busy.take(ip(1 + n % 4), None).unwrap()).collect();
        all.iter().for_each(ConnectionSlot::asked);
        assert!(busy.take(ip(99), None).is_none(), "those who have asked stay");
    }
}
