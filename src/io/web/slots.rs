//! How many may be connected at a time: in all, and from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Connections to the page, whoever they are. A household has a handful of browsers open; each
/// connection costs the box some 20 kB at most.
pub(super) const ALL: usize = 64;
/// Connections from one address: browsers open six to a site, and two of them on one machine and a
/// monitoring system are plausible. One machine alone so never shuts out the others.
pub(super) const EACH: usize = 16;

/// Connections from one IPv6 prefix of 64 bits. One machine can have any number of addresses in it, and other
/// machines of the LAN are in the same: some slots are left for those who come by IPv4.
pub(super) const PREFIX: usize = ALL - EACH;

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
    /// A connection slot for this client, if one is left. When all are taken, one who has not asked for
    /// anything yet makes room, if from there come more than from the newcomer.
    pub(super) fn take(&self, who: IpAddr) -> Option<ConnectionSlot> {
        let mut taken = self.lock();
        let own = taken.count(who);
        let crowded = prefix(who).is_some_and(|near| taken.near(near) >= PREFIX);
        if own >= EACH || crowded || (taken.all.len() >= ALL && !taken.make_room(own)) {
            return None;
        }
        taken.next += 1;
        let (number, asked) = (taken.next, AtomicBool::new(false));
        let holder = Arc::new(Holder { number, who, asked, leave: Notify::new() });
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

    fn near(&self, near: u64) -> usize {
        self.all.iter().filter(|holder| prefix(holder.who) == Some(near)).count()
    }

    fn make_room(&mut self, own: usize) -> bool {
        let waits = |holder: &&Arc<Holder>| !holder.asked.load(Ordering::Relaxed);
        // The oldest of the many: `max_by_key` takes the last of equals.
        let most = self.all.iter().filter(waits).rev().max_by_key(|holder| self.count(holder.who));
        let Some(holder) = most.filter(|holder| self.count(holder.who) > own + 1).cloned() else {
            return false;
        };
        holder.leave.notify_one();
        self.all.retain(|other| other.number != holder.number);
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
        let mut sat: Vec<ConnectionSlot> = (0..EACH).map(|_| slots.take(ip(1)).unwrap()).collect();
        assert!(slots.take(ip(1)).is_none());
        assert!(slots.take(ip(2)).is_some(), "others can sit down");
        sat.remove(0);
        assert!(slots.take(ip(1)).is_some(), "one is free again");
        drop(sat);
        assert_eq!(slots.lock().all.len(), 0);
    }

    #[test]
    fn one_machine_with_many_addresses_cannot_take_them_all() {
        let slots = ConnectionSlots::default();
        let of = |n: u16| IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, n]);
        let sat: Vec<ConnectionSlot> = (0..999).filter_map(|n| slots.take(of(n))).collect();
        assert_eq!(sat.len(), PREFIX);
        assert!(slots.take(ip(1)).is_some(), "one who comes by IPv4 has no slot");
        let elsewhere = IpAddr::from([0xfd00, 0, 0, 2, 0, 0, 0, 1]);
        assert!(slots.take(elsewhere).is_some(), "one of another network has no slot");
    }

    #[test]
    fn a_crowd_makes_room_for_one_more() {
        let slots = ConnectionSlots::default();
        let crowd: Vec<ConnectionSlot> =
            (0..ALL).map(|n| slots.take(ip(1 + n % 4)).unwrap()).collect();
        crowd[0].asked();
        let guest = slots.take(ip(99)).unwrap();
        assert_eq!(slots.lock().all.len(), ALL);
        let gone: Vec<usize> = (0..ALL)
            .filter(|n| !slots.lock().all.iter().any(|h| h.number == crowd[*n].holder.number))
            .collect();
        assert_eq!(gone, [1], "the oldest that has not asked, and of those who are most");
        drop(guest);
        let more: Vec<_> = (0..ALL).filter_map(|_| slots.take(ip(99))).collect();
        assert!((4..EACH).contains(&more.len()), "no more than the others: {}", more.len());
        let busy = ConnectionSlots::default();
        let all: Vec<ConnectionSlot> =
            (0..ALL).map(|n| busy.take(ip(1 + n % 4)).unwrap()).collect();
        all.iter().for_each(ConnectionSlot::asked);
        assert!(busy.take(ip(99)).is_none(), "those who have asked stay");
    }
}
