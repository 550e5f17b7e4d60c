//! The kernel's messages, read on a thread of their own: however many there are, the loop gets a few
//! changes at a time, and only those that matter.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::thread;
use crate::engine::input::Input;
use crate::engine::kernel::view::KernelView;
use crate::io::netlink::{Event, Monitor, Neighbours};
use crate::io::web;

/// This many events may wait for the loop; the rest waits in the kernel, and an overrun there is noticed.
const QUEUE: usize = 4;

/// Starts the thread: what it tells from now on, and all there is now.
///
/// # Errors
///
/// When the kernel refuses to tell.
pub(super) async fn start() -> anyhow::Result<(mpsc::Receiver<Input>, KernelView)> {
    let (news, told) = mpsc::channel(QUEUE);
    let (opened, open) = oneshot::channel();
    thread::start("netlink", || async move {
        let mut monitor = match Monitor::open().await {
            Ok((monitor, view)) => {
                drop(opened.send(Ok(view)));
                monitor
            }
            Err(error) => return drop(opened.send(Err(error))),
        };
        loop {
            let input = match monitor.next().await {
                Event::Changes(changes) => Input::Kernel(changes),
                Event::View(view) => Input::View(view),
            };
            if news.send(input).await.is_err() {
                return;
            }
        }
    })?;
    let view = open.await.context("the thread for netlink ended")??;
    Ok((told, view))
}

/// Tells the page which machine of the LAN has an address; without the socket nobody is told apart.
pub(super) fn neighbours() -> web::Neighbours {
    match Neighbours::open() {
        Ok(table) => Arc::new(move |of, dev| table.hardware(of, dev)),
        Err(error) => {
            tracing::debug!(%error, "neighbours cannot be looked up");
            Arc::new(|_, _| None)
        }
    }
}
