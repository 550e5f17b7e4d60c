//! The page of the lab's box at the machine's own address: people have a browser there, and not in
//! the lab's namespaces.
//!
//! The listener is opened before the lab leaves the machine's namespaces. Whoever comes in is led to
//! the same address in the router, where the agent listens.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::netns::Netns;
use crate::io::clock;
use crate::io::web::password;

/// Where the page is, on the machine and in the router.
pub const ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8300));
/// Connections at a time; the agent has its own limits.
const MOST: usize = 64;

/// Listens there, in the namespace this process is in.
///
/// # Errors
/// If somebody has the port already.
pub fn open() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(ADDRESS)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes the page's password away, and gives the code by which one is set there.
///
/// # Errors
/// If it cannot be kept.
pub(super) fn code(config_file: &Path) -> Result<String> {
    let file = password::file(config_file);
    password::remove(&file)?;
    Ok(password::new_code(&file, None)?)
}

/// Gives the agent with this configuration a password for its page, which nobody else knows.
///
/// # Errors
/// If it cannot be kept.
pub(super) fn password(config_file: &Path) -> Result<String> {
    let random = clock::random::<6>()?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    password::set(&password::file(config_file), &password, None)?;
    Ok(password)
}

/// Leads whoever comes in to the router, for as long as the lab lives.
pub(super) async fn lead(entrance: TcpListener, router: Arc<Netns>) -> Result<()> {
    let entrance = tokio::net::TcpListener::from_std(entrance)?;
    let slots = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok((guest, _)) = entrance.accept().await else {
            // Too many open files, most likely.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        // A socket belongs to the namespace it was made in, whichever thread uses it.
        let guest = guest.into_std()?;
        router.spawn(async move {
            let led = async {
                let mut guest = TcpStream::from_std(guest)?;
                let mut page = TcpStream::connect(ADDRESS).await?;
                tokio::io::copy_bidirectional(&mut guest, &mut page).await
            };
            // Who leaves, leaves.
            drop(led.await);
            drop(slot);
        });
    }
}
