//! Looks at what others have in the kernel, and tries what the kernel can do. For `sparelink doctor`;
//! nothing is changed where anybody could see it.

use std::collections::BTreeMap;
use std::io;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::conntrack::Conntrack;
use super::nft::Nft;
use super::talk::Talk;
use super::{features, rules, sock_diag};
use crate::engine::doctor::parts::{Part, Presence};
use crate::units::Family;

/// Tries every part of the kernel that sparelink uses, in a network namespace that exists for a
/// moment only.
///
/// # Errors
///
/// When such a namespace may not be made: it takes root.
pub fn try_parts() -> io::Result<BTreeMap<Part, Presence>> {
    let features = thread::Builder::new().name("trial".to_owned()).spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(tried())
    })?;
    features.join().unwrap_or_else(|_| Err(io::Error::other("the trial broke off")))
}

fn tried() -> BTreeMap<Part, Presence> {
    let mut parts = BTreeMap::new();
    let mut note = |part, result: Result<(), String>| {
        parts.insert(part, result.map_or_else(Presence::Missing, |()| Presence::Works));
    };
    match Nft::open() {
        Ok(mut nft) => {
            note(Part::Nftables, Ok(()));
            for (part, table) in features::parts() {
                note(part, nft.build(&table).map_err(|error| error.to_string()));
            }
        }
        Err(error) => note(Part::Nftables, Err(error.to_string())),
    }
    note(Part::ConntrackNetlink, Conntrack::open().map(drop).map_err(|error| error.to_string()));
    for (part, result) in policy_routing() {
        note(part, result);
    }
    note(Part::SocketDestroy, sock_diag::available().map_err(|error| error.to_string()));
    note(Part::BindToDevice, bind_to_device().map_err(|error| error.to_string()));
    parts
}

fn policy_routing() -> Vec<(Part, Result<(), String>)> {
    let ask = |family| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let mut talk = Talk::open().map_err(|error| error.to_string())?;
            rules::all(&mut talk, family).await.map(drop).map_err(|error| error.to_string())
        })
    };
    let mut results = vec![(Part::Rules4, ask(Family::V4))];
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        results.push((Part::Rules6, ask(Family::V6)));
    }
    results
}

fn bind_to_device() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.bind_device(Some(b"lo"))
}
