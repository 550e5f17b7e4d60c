//! Which machine of a link has an address, as the kernel's table of neighbours has it (linux/neighbour.h).

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use nix::libc;

use super::ask::Asker;
use super::attrs::{Attributes, Attrs};
use super::family;
use crate::units::{Family, IfIndex};

const PROTOCOL_ROUTE: isize = 0;
/// Bytes of a `struct ndmsg`.
const HEADER: usize = 12;
/// `NDA_DST` and `NDA_LLADDR`.
const ADDRESS: u16 = 1;
const HARDWARE: u16 = 2;

/// The kernel's table of neighbours. A question takes some microseconds.
#[derive(Debug)]
pub struct Neighbours(Mutex<Asker>);

impl Neighbours {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        Ok(Self(Mutex::new(Asker::open(PROTOCOL_ROUTE)?)))
    }

    /// The Ethernet address of the machine that has this address on this interface; `None`: it is not known, or no
    /// neighbour.
    #[must_use]
    pub fn hardware(&self, of: IpAddr, dev: IfIndex) -> Option<[u8; 6]> {
        let attrs = match of {
            IpAddr::V4(ip) => Attrs::new().bytes(ADDRESS, &ip.octets()),
            IpAddr::V6(ip) => Attrs::new().bytes(ADDRESS, &ip.octets()),
        };
        // Family, padding, interface; state, flags and type are the kernel's to tell.
        let family = u8::from(family::of(Family::of(&of)));
        let body =
            [&[family, 0, 0, 0], &dev.0.to_ne_bytes()[..], &[0; 4], attrs.as_bytes()].concat();
        let mut asker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = asker.ask(libc::RTM_GETNEIGH, 0, &body).ok()?;
        Attributes(answer.get(HEADER..)?).get(HARDWARE)?.try_into().ok()
    }
}
