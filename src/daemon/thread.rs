//! What may wait for the kernel does so on a thread with a small event loop of its own, so that the loop
//! that decides never does.

use std::io;

use tokio::runtime::Builder;

/// Starts a thread of this name, which works until its future ends. It is in the network namespace of
/// the thread that starts it.
///
/// # Errors
///
/// When the kernel gives no thread, or no event loop for it.
pub(super) fn start<W>(name: &str, work: impl FnOnce() -> W + Send + 'static) -> io::Result<()>
where
    W: Future<Output = ()>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = crate::io::thread::named(name);
    thread.spawn(move || runtime.block_on(work()))?;
    Ok(())
}
