//! Answers to people: given when the kernel is as they say, so that a person who reads "on mifi" and opens
//! a connection is on the mifi; and when what they chose is on disk, so that it outlives a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::output::Refusal;
use crate::time::Instant;

/// Longer than any change takes; people are not kept waiting by a kernel that does not answer.
const AT_MOST: Duration = Duration::from_millis(500);

/// The way back to whoever gave a command.
pub(super) type Way = oneshot::Sender<Result<String, Refusal>>;

/// What is answered later.
#[derive(Default)]
pub(super) struct Answers {
    next: u64,
    ways: BTreeMap<u64, Way>,
    /// The wish that the kernel is being made like, and since when.
    converging: Option<(u64, Instant)>,
    /// What is being written, and since when.
    writing: Option<(u64, Instant)>,
    held: Vec<Box<dyn FnOnce() + Send>>,
}

impl Answers {
    /// A command was given; its number.
    pub(super) fn expect(&mut self, way: Way) -> u64 {
        self.next += 1;
        self.ways.insert(self.next, way);
        self.next
    }

    /// The answer to a command.
    pub(super) fn command(&mut self, number: u64, answer: Result<String, Refusal>) {
        if let Some(way) = self.ways.remove(&number) {
            self.give(way, answer);
        }
    }

    /// Answers, now or when the kernel has followed. Whoever asked may have gone.
    pub(super) fn give<T: Send + 'static>(&mut self, way: oneshot::Sender<T>, answer: T) {
        if self.converging.is_some() || self.writing.is_some() {
            self.held.push(Box::new(move || drop(way.send(answer))));
        } else {
            drop(way.send(answer));
        }
    }

    /// The kernel is being made like this wish.
    pub(super) fn begins(&mut self, generation: u64, now: Instant) {
        self.converging = Some((generation, now));
    }

    /// The kernel has been made like this wish, or an older one.
    pub(super) fn applied(&mut self, generation: u64) {
        self.converging.take_if(|(latest, _)| *latest <= generation);
    }

    /// The thing of this number is being written.
    pub(super) const fn writes(&mut self, number: u64, now: Instant) {
        self.writing = Some((number, now));
    }

    /// The thing of this number has been written, and all before it.
    pub(super) fn written(&mut self, number: u64) {
        self.writing.take_if(|(latest, _)| *latest <= number);
    }

    /// When answers are given in any case.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = [self.converging, self.writing].into_iter().flatten();
        let first = waits.map(|(_, since)| since + AT_MOST).min();
        first.filter(|_| !self.held.is_empty())
    }

    /// Gives what was held, if its time has come.
    pub(super) fn release(&mut self, now: Instant) {
        self.converging.take_if(|(_, since)| *since + AT_MOST <= now);
        self.writing.take_if(|(_, since)| *since + AT_MOST <= now);
        if self.converging.is_none() && self.writing.is_none() {
            self.held.drain(..).for_each(|give| give());
        }
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn an_answer_waits_for_the_kernel() {
        let mut answers = Answers::default();
        let (way, mut answer) = oneshot::channel();
        let number = answers.expect(way);
        answers.begins(7, at(0));
        answers.begins(8, at(1));
        answers.command(number, Ok("done".to_owned()));
        answers.applied(7);
        answers.release(at(2));
        assert!(answer.try_recv().is_err(), "there is a newer wish");
        assert_eq!(answers.deadline(), Some(at(501)));
        answers.applied(8);
        answers.release(at(3));
        assert_eq!(answer.try_recv().unwrap(), Ok("done".to_owned()));
        assert_eq!(answers.deadline(), None);
    }

    #[test]
    fn an_answer_waits_for_the_disk_but_not_for_ever() {
        let mut answers = Answers::default();
        let (way, mut answer) = oneshot::channel();
        answers.writes(3, at(0));
        answers.give(way, 1);
        answers.written(2);
        answers.release(at(10));
        assert!(answer.try_recv().is_err(), "something else was written");
        answers.written(3);
        answers.release(at(11));
        assert_eq!(answer.try_recv(), Ok(1));
        let (way, mut answer) = oneshot::channel();
        answers.writes(4, at(100));
        answers.give(way, 2);
        assert_eq!(answers.deadline(), Some(at(600)));
        answers.release(at(600));
        assert_eq!(answer.try_recv(), Ok(2));
    }

    #[test]
    fn nobody_waits_for_a_kernel_that_does_not_answer() {
        let mut answers = Answers::default();
        answers.begins(1, at(0));
        let (way, mut answer) = oneshot::channel();
        answers.give(way, 5);
        answers.release(at(499));
        assert!(answer.try_recv().is_err());
        answers.release(at(500));
        assert_eq!(answer.try_recv(), Ok(5));
        let (way, mut answer) = oneshot::channel();
        answers.give(way, 6);
        assert_eq!(answer.try_recv(), Ok(6), "at once when nothing is under way");
    }
}
