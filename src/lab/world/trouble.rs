//! What happens: to a line, and to the box itself.

use std::net::IpAddr;
use std::time::Duration;

use crate::units::PerFamily;

/// Something that happens to the line of one uplink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The cable is pulled, or put back.
    Carrier(bool),
    /// The line is cut beyond the modem in these families, or mended.
    Sever(PerFamily<bool>),
    /// The line is cut beyond a modem that answers names and plain web pages in the name of others.
    Hijack,
    /// The modem answers echoes in the name of this target from now on, whatever its line does.
    Pose(IpAddr),
    /// Answers take this much longer.
    Delay(Duration),
    /// The modem dies behind its carrier, or lives again.
    ModemDead(bool),
    /// This much more is lost.
    Loss(f64),
    /// Echoes to the Internet are thrown away on the way.
    NoEchoes,
    /// Answers take 800 ms longer.
    Slow(bool),
    /// An upload fills the modem's queue, or ends.
    Bloat(bool),
    /// The modem wants to be signed in to.
    Portal(bool),
    DnsBroken(bool),
    /// The line's own resolvers do not answer.
    ResolversBroken(bool),
    /// The modem restarts: no carrier for two seconds, then a dead line for a minute.
    Reboot,
    /// The interface is gone, or back under another index.
    Absent(bool),
    /// Everything is well again.
    Restore,
}

/// Something that happens to the box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// The kernel refuses each change with this probability from now on.
    Refusals(f64),
    /// Netlink's messages are lost for so long (ENOBUFS); then everything is read anew.
    Overrun(Duration),
    /// A change of the kernel takes this much longer from now on.
    SlowKernel(Duration),
    /// Somebody takes what is ours out of the kernel.
    Vandal(Vandal),
    /// The lease of an uplink is another: its address, and every second time its gateway.
    Lease(usize),
    /// Somebody's routes by an uplink come, in a table of their own, and stay: so many.
    ForeignRoutes(usize, u8),
    /// The wall clock jumps by so many milliseconds.
    Clock(i64),
}

/// What a vandal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vandal {
    Rules,
    /// The routes of all our tables.
    Routes,
    /// The nftables table.
    Table,
    Everything,
}
