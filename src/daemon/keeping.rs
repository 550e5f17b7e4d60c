//! What is kept on disk, written by a thread of its own: a disk may take seconds for a flush, and the loop
//! must not wait for it. A full or read-only disk is a nuisance, not a reason to stop, and said once: not at
//! every try, until one succeeds.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// At the end this long is waited for the disk.
const LAST: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

/// The way to the thread that writes.
pub(super) struct Keeper {
    queue: Arc<Queue>,
    done: watch::Receiver<u64>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    more: Condvar,
}

#[derive(Default)]
struct Jobs {
    /// Numbered as they came. Of each thing there is one at most: the newest.
    waiting: VecDeque<(u64, &'static str, Job)>,
    given: u64,
    ended: bool,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the kernel gives none.
    pub(super) fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let (finished, done) = watch::channel(0);
        let thread = crate::io::thread::named("disk");
        let work = queue.clone();
        thread.spawn(move || {
            let mut failing = Failing::default();
            while let Some((number, what, job)) = work.next() {
                failing.tried(what, job());
                finished.send_replace(number);
            }
        })?;
        Ok(Self { queue, done })
    }

    /// Writes `what` as soon as the disk has time; of several that wait the newest. Its number.
    pub(super) fn keep<E: Into<anyhow::Error>>(
        &self,
        what: &'static str,
        job: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> u64 {
        let mut jobs = self.queue.lock();
        jobs.waiting.retain(|(_, other, _)| *other != what);
        jobs.given += 1;
        let number = jobs.given;
        jobs.waiting.push_back((number, what, Box::new(move || job().map_err(Into::into))));
        self.queue.more.notify_one();
        number
    }

    /// Where the number of the last thing that was written, or could not be, is told.
    pub(super) fn done(&self) -> watch::Receiver<u64> {
        self.done.clone()
    }

    /// Waits until everything is written, but not for ever.
    pub(super) async fn end(mut self) {
        self.queue.lock().ended = true;
        self.queue.more.notify_one();
        let closed = async { while self.done.changed().await.is_ok() {} };
        if tokio::time::timeout(LAST, closed).await.is_err() {
            tracing::warn!("the disk does not answer; what was learned since it last did is lost");
        }
    }
}

impl Queue {
    /// The next thing to write; `None`: the end.
    fn next(&self) -> Option<(u64, &'static str, Job)> {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.ended {
                return None;
            }
            jobs = self.more.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What cannot be kept at the moment.
#[derive(Debug, Default)]
pub(super) struct Failing(BTreeSet<&'static str>);

impl Failing {
    /// Takes note of how keeping `what` went, and says so if that is news.
    pub(super) fn tried<E>(&mut self, what: &'static str, result: Result<(), E>)
    where
        E: Into<anyhow::Error>,
    {
        match result.map_err(Into::into) {
            Ok(()) if self.0.remove(what) => tracing::info!("{what}: kept on disk again"),
            Ok(()) => {}
            Err(error) if self.0.insert(what) => {
                tracing::warn!("{what}: kept in RAM only, until that can be written: {error:#}");
            }
            Err(error) => tracing::debug!("{what}: still in RAM only: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn of_what_waits_for_a_slow_disk_the_newest_is_written() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let keeper = Keeper::start().unwrap();
        let (go, wait) = channel::<()>();
        let (told, written) = channel();
        let write = |value: u32| {
            let told = told.clone();
            move || told.send(value)
        };
        // The disk is busy from here on.
        keeper.keep("a", move || wait.recv().map(drop));
        while !keeper.queue.lock().waiting.is_empty() {
            std::thread::yield_now();
        }
        keeper.keep("b", write(1));
        keeper.keep("c", write(2));
        let last = keeper.keep("b", write(3));
        assert!(*keeper.done().borrow() < last, "nobody waited for the disk");
        go.send(()).unwrap();
        runtime.block_on(keeper.end());
        assert_eq!(written.try_iter().collect::<Vec<_>>(), [2, 3]);
    }
}
