//! An eye on the router's conntrack: when it forgets flows, as the kernel announces it.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use sparelink::io::netlink::nfnl::Attributes;
use sparelink::lab::topology::Home;
use sparelink::units::{Family, Fwmark, UplinkId};
use tokio::time::Instant;

/// `NETLINK_NETFILTER`, `NFNLGRP_CONNTRACK_DESTROY`.
const NETFILTER: isize = 12;
const DESTROYED: u32 = 3;
/// `CTA_MARK`.
const MARK: u16 = 8;
/// Headers before the attributes: `nlmsghdr`, `nfgenmsg`.
const HEADERS: usize = 20;

/// What has been forgotten.
#[derive(Debug)]
pub(crate) struct Eye {
    seen: Arc<Mutex<Vec<Gone>>>,
}

/// A flow that has been forgotten.
#[derive(Clone, Copy, Debug)]
struct Gone {
    at: Instant,
    mark: u32,
    /// `NFPROTO_*`.
    protocol: u8,
}

/// The flush of an uplink's flows in one IP version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flushed {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
    pub(crate) flows: usize,
}

impl Eye {
    /// Opens it. The kernel announces the end of flows only that began while somebody looked.
    pub(crate) async fn open(home: &Home) -> Result<Self> {
        let open = async {
            let mut socket = Socket::new(NETFILTER)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(DESTROYED)?;
            io::Result::Ok(socket)
        };
        let socket = home.router.run(open).await?.context("conntrack's events")?;
        setsockopt(&socket, sockopt::RcvBufForce, &(16 << 20))
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &(16 << 20)))?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(200))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::downgrade(&seen);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // Ends when nobody wants to know any more.
            while let Some(notes) = notes.upgrade() {
                match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                    Ok(length) => {
                        let entry = Attributes(buffer.get(HEADERS..length).unwrap_or_default());
                        let (at, mark) = (Instant::now(), entry.be32(MARK).unwrap_or(0));
                        let gone = Gone { at, mark, protocol: buffer[HEADERS - 4] };
                        notes.lock().expect("no panics").push(gone);
                    }
                    Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(_) => return,
                }
            }
        });
        Ok(Self { seen })
    }

    /// The flush of an uplink's flows since then; `None`: there was none.
    pub(crate) fn flushed(&self, uplink: u8, family: Family, since: Instant) -> Option<Flushed> {
        let mark = UplinkId::new(uplink)?.mark().value;
        let protocol = match family {
            Family::V4 => 2,
            Family::V6 => 10,
        };
        let seen = self.seen.lock().expect("no panics");
        let ours = |gone: &&Gone| {
            gone.at >= since && gone.mark & Fwmark::UPLINK_MASK == mark && gone.protocol == protocol
        };
        let times: Vec<Instant> = seen.iter().filter(ours).map(|gone| gone.at).collect();
        Some(Flushed { first: *times.first()?, last: *times.last()?, flows: times.len() })
    }
}
