//! The routes of others that can matter, out of any number.
//!
//! A box may hold the Internet's whole routing table, and a hotspot can make it learn thousands of
//! routes by router advertisements. What is decided depends on default routes, whatever their table,
//! and on how `main` divides the world; so those are kept, of each interface and family the widest
//! few, and of the rest it is only known that there are some.

use std::collections::{BTreeMap, BTreeSet};

use nix::libc;
use socket2::SockFilter;

use super::frame::HEADER;
use crate::engine::kernel::view::{ForeignRoute, RouteKind, same_route};
use crate::io::socket::op;
use crate::units::{Family, IfIndex, Metric, PROTOCOL, TableId};

/// This many are kept of each interface and family. A home has two or three.
const AT_MOST: usize = 64;

/// Routes that can matter.
#[derive(Debug, Default)]
pub(super) struct Kept {
    all: BTreeSet<ForeignRoute>,
    by_device: BTreeMap<(IfIndex, Family), Few>,
}

/// Those of one interface and family, and whether there are more.
#[derive(Debug, Default)]
struct Few {
    widest_first: BTreeSet<(Rank, ForeignRoute)>,
    there_are_more: bool,
}

/// Which of two routes matters more: the wider one, one in `main`, an ordinary one, the preferred one.
type Rank = (u8, bool, bool, Metric);

fn rank(route: &ForeignRoute) -> Rank {
    let elsewhere = route.table != TableId::MAIN;
    (route.dst.prefix_len(), elsewhere, route.src.is_some(), route.metric)
}

/// What came of a route.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is kept, in the place of this one if there were too many.
    Kept(Option<ForeignRoute>),
    /// It was there already, or others matter more.
    No,
}

impl Kept {
    /// Takes a route, if it can matter.
    pub(super) fn take(&mut self, route: ForeignRoute) -> Taken {
        if !can_matter(&route) || self.all.contains(&route) {
            return Taken::No;
        }
        if let Some(old) = self.like(&route) {
            self.remove(&old);
        }
        let few = self.by_device.entry((route.dev, route.family())).or_default();
        let mut out = None;
        if few.widest_first.len() >= AT_MOST {
            few.there_are_more = true;
            // Among equals those that came first stay, so that no stream of them is news.
            if few.widest_first.last().is_some_and(|(last, _)| *last <= rank(&route)) {
                return Taken::No;
            }
            out = few.widest_first.pop_last().map(|(_, route)| route);
        }
        few.widest_first.insert((rank(&route), route));
        out.iter().for_each(|out| _ = self.all.remove(out));
        self.all.insert(route);
        Taken::Kept(out)
    }

    /// A route is gone: whether it was among these.
    pub(super) fn lose(&mut self, gone: &ForeignRoute) -> bool {
        let Some(old) = self.like(gone) else {
            return false;
        };
        self.remove(&old);
        true
    }

    /// An interface is gone, with everything on it.
    pub(super) fn lose_device(&mut self, dev: IfIndex) {
        for family in Family::BOTH {
            let few = self.by_device.remove(&(dev, family)).unwrap_or_default();
            few.widest_first.iter().for_each(|(_, route)| _ = self.all.remove(route));
        }
    }

    /// Whether another that is not kept may matter now: there is room, and there were more.
    pub(super) fn has_room_for_more(&self, dev: IfIndex, family: Family) -> bool {
        let few = self.by_device.get(&(dev, family));
        few.is_some_and(|few| few.there_are_more && few.widest_first.len() < AT_MOST)
    }

    /// Those to the same destination, in the same table.
    pub(super) fn beside(&self, route: &ForeignRoute) -> impl Iterator<Item = &ForeignRoute> {
        let name = |r: &ForeignRoute| (r.table, r.dst, r.src);
        let first = ForeignRoute {
            gateway: None,
            dev: IfIndex(0),
            metric: Metric(0),
            protocol: 0,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
            ..*route
        };
        let wanted = name(route);
        self.all.range(first..).take_while(move |other| name(other) == wanted)
    }

    /// Takes those of another family.
    pub(super) fn join(&mut self, other: Self) {
        self.all.extend(other.all);
        self.by_device.extend(other.by_device);
    }

    /// All of them, in order.
    pub(super) fn to_vec(&self) -> Vec<ForeignRoute> {
        self.all.iter().copied().collect()
    }

    fn like(&self, route: &ForeignRoute) -> Option<ForeignRoute> {
        self.beside(route).find(|other| same_route(other, route)).copied()
    }

    fn remove(&mut self, route: &ForeignRoute) {
        self.all.remove(route);
        if let Some(few) = self.by_device.get_mut(&(route.dev, route.family())) {
            few.widest_first.remove(&(rank(route), *route));
        }
    }
}

fn can_matter(route: &ForeignRoute) -> bool {
    route.table == TableId::MAIN || route.dst.prefix_len() == 0
}

/// Whether a route message is worth reading: it is about a route of ours or of a table that may be ours,
/// a default route, or a route in `main`. Only its `struct rtmsg` (linux/rtnetlink.h) is looked at.
pub(super) fn is_worth_reading(body: &[u8]) -> bool {
    let &[_, prefix_len, _, _, table, protocol, ..] = body else {
        return false;
    };
    prefix_len == 0 || protocol == PROTOCOL || table == MAIN || table == ABOVE_255
}

const MAIN: u8 = libc::RT_TABLE_MAIN;
/// `RT_TABLE_COMPAT`: the number does not fit and stands in `RTA_TABLE`.
const ABOVE_255: u8 = libc::RT_TABLE_COMPAT;

/// The same for the kernel, which does not even wake us for the others: a program for
/// `SO_ATTACH_FILTER` (linux/filter.h). Messages that are not about routes pass.
pub(super) fn filter() -> [SockFilter; 12] {
    let load = |size: u32, at: usize| op(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, at as u32);
    let jump_if = |value: u32, yes: u8, no: u8| op(libc::BPF_JMP | libc::BPF_JEQ, yes, no, value);
    let answer = |bytes: u32| op(libc::BPF_RET, 0, 0, bytes);
    // Halves of a word are loaded as on the network; netlink has them as the machine does.
    let kind = |kind: u16| u32::from(kind.to_be());
    [
        load(libc::BPF_H, 4),
        jump_if(kind(libc::RTM_NEWROUTE), 1, 0),
        jump_if(kind(libc::RTM_DELROUTE), 0, 7),
        load(libc::BPF_B, HEADER + 1),
        jump_if(0, 5, 0),
        load(libc::BPF_B, HEADER + 5),
        jump_if(PROTOCOL.into(), 3, 0),
        load(libc::BPF_B, HEADER + 4),
        jump_if(MAIN.into(), 1, 0),
        jump_if(ABOVE_255.into(), 0, 1),
        answer(u32::MAX),
        answer(0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str, table: TableId) -> ForeignRoute {
        ForeignRoute {
            table,
            dst: dst.parse().unwrap(),
            src: None,
            gateway: None,
            dev: IfIndex(3),
            metric: Metric(0),
            protocol: 9,
            onlink: false,
            mtu: None,
            prefsrc: None,
            kind: RouteKind::Unicast,
        }
    }

    fn prefix(n: u32) -> ForeignRoute {
        route(&format!("2001:db8:{n:x}::/64"), TableId::MAIN)
    }

    #[test]
    fn of_thousands_a_few_are_kept_and_the_widest_always() {
        let mut kept = Kept::default();
        let default = route("::/0", TableId(100));
        for n in 0..12_000 {
            let taken = kept.take(prefix(n));
            assert_eq!(taken == Taken::Kept(None), n < AT_MOST as u32, "{n}");
        }
        assert_eq!(kept.take(default), Taken::Kept(Some(prefix(AT_MOST as u32 - 1))));
        let half = route("8000::/1", TableId::MAIN);
        assert!(matches!(kept.take(half), Taken::Kept(Some(_))));
        assert_eq!(kept.to_vec().len(), AT_MOST);
        assert!(kept.to_vec().contains(&default) && kept.to_vec().contains(&half));
        assert!(!kept.has_room_for_more(half.dev, Family::V6));
        assert!(!kept.lose(&prefix(11_999)), "it was not among them");
        assert!(kept.lose(&default));
        assert!(kept.has_room_for_more(half.dev, Family::V6), "another could take its place");
        // Other interfaces and the other family have their own.
        assert_eq!(kept.take(route("10.0.0.0/8", TableId::MAIN)), Taken::Kept(None));
        assert_eq!(kept.take(ForeignRoute { dev: IfIndex(4), ..default }), Taken::Kept(None));
        kept.lose_device(half.dev);
        assert_eq!(kept.to_vec(), [ForeignRoute { dev: IfIndex(4), ..default }]);
    }

    #[test]
    fn outside_main_only_default_routes_matter() {
        let mut kept = Kept::default();
        assert_eq!(kept.take(route("10.0.0.0/8", TableId(100))), Taken::No);
        assert_eq!(kept.take(route("0.0.0.0/0", TableId(100))), Taken::Kept(None));
        assert_eq!(kept.take(route("10.0.0.0/8", TableId::MAIN)), Taken::Kept(None));
    }

    #[test]
    fn a_route_that_changes_is_the_same_route() {
        let mut kept = Kept::default();
        let old = route("0.0.0.0/0", TableId::MAIN);
        let new = ForeignRoute { mtu: Some(1400), ..old };
        assert_eq!(kept.take(old), Taken::Kept(None));
        assert_eq!(kept.take(old), Taken::No);
        assert_eq!(kept.take(new), Taken::Kept(None));
        assert_eq!(kept.to_vec(), [new]);
        assert!(kept.lose(&old));
        assert_eq!(kept.to_vec(), []);
    }

    #[test]
    fn the_head_says_whether_a_message_is_worth_reading() {
        let message = |prefix_len: u8, table: u8, protocol: u8| {
            let mut bytes = vec![0; 12];
            bytes[1] = prefix_len;
            bytes[4] = table;
            bytes[5] = protocol;
            bytes
        };
        for (prefix_len, table, protocol, worth) in [
            (24, 100, 4, false),
            (0, 100, 4, true),
            (24, 254, 4, true),
            (24, 255, 2, false),
            (24, 252, 4, true),
            (24, 100, 83, true),
        ] {
            let is = is_worth_reading(&message(prefix_len, table, protocol));
            assert_eq!(is, worth, "{prefix_len} {table} {protocol}");
        }
        assert!(!is_worth_reading(&[0; 5]));
    }
}
