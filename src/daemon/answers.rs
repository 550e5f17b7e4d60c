//! Answers to people: given when the kernel is as they say, so that a person who reads "on mifi" and opens
//! a connection is on the mifi; and when what they chose is on disk, so that it outlives a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::engine::output::Refusal;
use crate::time::Instant;

/// Longer than any change takes; people are not kept waiting by a kernel that does not answer.
const AT_MOST: Duration = Duration::from_millis(500);

/// Where the answer to a command goes.
pub(super) type Reply = oneshot::Sender<Result<String, Refusal>>;

/// What is answered later. Whether the kernel has followed the engine says; whether the disk has, this side
/// knows, so it is here that both are waited for.
#[derive(Default)]
pub(super) struct Answers {
    next: u64,
    replies: BTreeMap<u64, Reply>,
    /// What is being written, and since when.
    writing: Option<(u64, Instant)>,
    held: Vec<Box<dyn FnOnce() + Send>>,
}

impl Answers {
    /// A command was given; its number.
    pub(super) fn expect(&mut self, reply: Reply) -> u64 {
        self.next += 1;
        self.replies.insert(self.next, reply);
        self.next
    }

    /// The answer to a command.
    pub(super) fn command(&mut self, number: u64, answer: Result<String, Refusal>) {
        if let Some(reply) = self.replies.remove(&number) {
            self.give(reply, answer);
        }
    }

    /// Answers with the next [release](Self::release). Whoever asked may have gone by then.
    pub(super) fn give<T: Send + 'static>(&mut self, reply: oneshot::Sender<T>, answer: T) {
        self.held.push(Box::new(move || drop(reply.send(answer))));
    }

    /// The thing of this number is being written.
    pub(super) const fn writes(&mut self, number: u64, now: Instant) {
        self.writing = Some((number, now));
    }

    /// The thing of this number has been written, and all before it.
    pub(super) fn written(&mut self, number: u64) {
        self.writing.take_if(|(latest, _)| *latest <= number);
    }

    /// When answers are given in any case, where the kernel has been on its way since `converging`.
    pub(super) fn deadline(&self, converging: Option<Instant>) -> Option<Instant> {
        let over = |since| since + AT_MOST;
        let waits = [converging.map(over), self.writing.map(|(_, since)| over(since))];
        waits.into_iter().flatten().max().filter(|_| !self.held.is_empty())
    }

    /// Gives what was held, unless there is something to wait for.
    pub(super) fn release(&mut self, converging: Option<Instant>, now: Instant) {
        if self.deadline(converging).is_none_or(|at| at <= now) {
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
        let (reply, mut answer) = oneshot::channel();
        let number = answers.expect(reply);
        answers.command(number, Ok("done".to_owned()));
        answers.release(Some(at(1)), at(2));
        assert!(answer.try_recv().is_err(), "it is on its way");
        assert_eq!(answers.deadline(Some(at(1))), Some(at(501)));
        answers.release(None, at(3));
        assert_eq!(answer.try_recv().unwrap(), Ok("done".to_owned()));
        assert_eq!(answers.deadline(Some(at(4))), None, "nobody waits");
    }

    #[test]
    fn an_answer_waits_for_the_disk_but_not_for_ever() {
        let mut answers = Answers::default();
        let (reply, mut answer) = oneshot::channel();
        answers.writes(3, at(0));
        answers.give(reply, 1);
        answers.written(2);
        answers.release(None, at(10));
        assert!(answer.try_recv().is_err(), "something else was written");
        answers.written(3);
        answers.release(None, at(11));
        assert_eq!(answer.try_recv(), Ok(1));
        let (reply, mut answer) = oneshot::channel();
        answers.writes(4, at(100));
        answers.give(reply, 2);
        assert_eq!(answers.deadline(None), Some(at(600)));
        answers.release(None, at(600));
        assert_eq!(answer.try_recv(), Ok(2));
    }

    #[test]
    fn an_answer_waits_for_both() {
        let mut answers = Answers::default();
        let (reply, mut answer) = oneshot::channel();
        answers.writes(1, at(0));
        answers.give(reply, 1);
        assert_eq!(answers.deadline(Some(at(300))), Some(at(800)));
        answers.release(Some(at(300)), at(600));
        assert!(answer.try_recv().is_err(), "the kernel has more time");
        answers.release(None, at(601));
        assert_eq!(answer.try_recv(), Ok(1), "the disk had its time");
    }

    #[test]
    fn nobody_waits_for_a_kernel_that_does_not_answer() {
        let mut answers = Answers::default();
        let (reply, mut answer) = oneshot::channel();
        answers.give(reply, 5);
        answers.release(Some(at(0)), at(499));
        assert!(answer.try_recv().is_err());
        answers.release(Some(at(0)), at(500));
        assert_eq!(answer.try_recv(), Ok(5));
        let (reply, mut answer) = oneshot::channel();
        answers.give(reply, 6);
        answers.release(None, at(501));
        assert_eq!(answer.try_recv(), Ok(6), "at once when nothing is under way");
    }
}
