//! The messages that wait for one channel: which is next, and when it is tried. Order is kept; what sums up a time
//! without Internet goes first; a channel that fails is left alone for longer and longer; what comes too often is
//! counted instead of sent.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::{Quiet, Service};
use crate::time::Instant;
use crate::units::Severity;

/// After a failure it is tried again after so long, the last one again and again.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// What was refused for good, such as a password, is tried again so seldom: some servers lock out who tries.
const REFUSED: Duration = Duration::from_secs(15 * 60);
/// The same for a mail server that said `not now`: many do so to whom they do not know, and take the next try only
/// after some time (greylisting).
const NOT_NOW: [Duration; 4] = [
    Duration::from_secs(75),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
];
/// Nobody wants to hear of it later than that.
const EXPIRES: Duration = Duration::from_secs(24 * 3600);
/// More than these do not wait: the oldest go.
const MOST: usize = 200;

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub severity: Severity,
    /// When it was made, on the clock of this boot; of an earlier boot, when the agent began.
    pub made: Instant,
    /// It sums up a time without Internet.
    pub digest: bool,
}

/// Why a message was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words, without anything secret.
    pub why: String,
    /// It will be refused again unless the configuration changes.
    pub refused: bool,
    /// The server asked to be left alone for so long.
    pub pause: Option<Duration>,
    /// It may have arrived all the same.
    pub unknown: bool,
}

/// How many messages a channel takes in a time, at most.
#[derive(Clone, Copy, Debug)]
struct Cap {
    most: usize,
    within: Duration,
}

/// What costs money, or gets the sender blocked, has a cap that no configuration lifts.
const fn caps(to: &Service) -> &'static [Cap] {
    const HOUR: Duration = Duration::from_secs(3600);
    const USUAL: [Cap; 1] = [Cap { most: 60, within: HOUR }];
    // Providers shut out who sends more.
    const MAIL: [Cap; 1] = [Cap { most: 30, within: HOUR }];
    // Each costs, and a mobile network shuts out who sends more.
    const SMS: [Cap; 2] =
        [Cap { most: 3, within: HOUR }, Cap { most: 10, within: HOUR.saturating_mul(24) }];
    match to {
        Service::Mail(_) => &MAIL,
        Service::Hilink(_) | Service::Modem { .. } => &SMS,
        Service::Webhook(_)
        | Service::Ntfy { .. }
        | Service::Gotify { .. }
        | Service::Pushover { .. }
        | Service::Telegram { .. }
        | Service::Mqtt(_)
        | Service::Exec { .. }
        | Service::Hooks { .. } => &USUAL,
    }
}

/// When something was delivered: it may have been before the box began to count.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Instant,
    /// How old it was at that time.
    old: Duration,
}

/// One channel's queue.
#[derive(Clone, Debug)]
pub struct Queue {
    quiet: Option<Quiet>,
    caps: &'static [Cap],
    /// What may have arrived is paid for: it is tried a second time, and no third.
    costs: bool,
    /// The message that may have arrived.
    unsure: Option<String>,
    /// It says `not now` to whom it does not know.
    slow_to_trust: bool,
    /// A cap has held something up, of which only the most important is sent.
    held: bool,
    /// Messages that a cap withheld, and of which the next one tells.
    withheld: usize,
    waiting: VecDeque<Entry>,
    /// The one that is being sent.
    sending: Option<String>,
    failures: usize,
    not_before: Instant,
    /// The server asked to be left alone until then.
    asked_until: Instant,
    /// What was delivered, as far back as caps look.
    sent: VecDeque<Sent>,
    /// The last failure, until something is delivered.
    pub failing: Option<Failure>,
}

impl Queue {
    #[must_use]
    pub fn new(to: &Service, quiet: Option<Quiet>) -> Self {
        Self {
            quiet,
            caps: caps(to),
            costs: matches!(to, Service::Hilink(_) | Service::Modem { .. }),
            unsure: None,
            slow_to_trust: matches!(to, Service::Mail(_)),
            held: false,
            withheld: 0,
            waiting: VecDeque::new(),
            sending: None,
            failures: 0,
            not_before: Instant::ZERO,
            asked_until: Instant::ZERO,
            sent: VecDeque::new(),
            failing: None,
        }
    }

    /// The same, with what was sent before the agent began, as caps look further back than that.
    #[must_use]
    pub fn having_sent(mut self, ages: impl Iterator<Item = Duration>, now: Instant) -> Self {
        self.sent = ages.map(|old| Sent { at: now, old }).collect();
        self.forget_old(now);
        self
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a message. The way is worth another try at once, as something has changed. Returns what had to go for it.
    pub fn push(&mut self, entry: Entry, now: Instant) -> Option<Entry> {
        let refused = self.failing.as_ref().is_some_and(|failure| failure.refused);
        if !refused {
            self.not_before = now.max(self.asked_until);
        }
        if entry.digest {
            // Behind other digests and the one that is on its way.
            let behind = |e: &Entry| e.digest || Some(&e.id) == self.sending.as_ref();
            let at = self.waiting.iter().take_while(|e| behind(e)).count();
            self.waiting.insert(at, entry);
        } else {
            self.waiting.push_back(entry);
        }
        if self.waiting.len() <= MOST {
            return None;
        }
        let busy = usize::from(self.sending.is_some());
        self.waiting.remove(busy)
    }

    /// Takes out what has waited for too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Entry> {
        let sending = self.sending.clone();
        let old = |e: &Entry| now.since(e.made) >= EXPIRES && Some(&e.id) != sending.as_ref();
        let (gone, stay) = self.waiting.drain(..).partition(old);
        self.waiting = stay;
        gone.into()
    }

    /// Takes up what an older configuration of the same channel has sent: caps count on.
    #[must_use]
    pub fn after(self, old: &Self) -> Self {
        Self { sent: old.sent.clone(), held: old.held, withheld: old.withheld, ..self }
    }

    /// Takes out what caps withhold: of what came while they let nothing through, only the gravest is sent, and of
    /// these the last. The next message tells how many the others were.
    pub fn withhold(&mut self, now: Instant, minute: Option<u16>) -> Vec<Entry> {
        if self.sending.is_some() {
            return Vec::new();
        }
        let quiet = self.is_quiet(minute);
        let loud = |e: &Entry| !quiet || e.severity >= Severity::Critical;
        let due: Vec<&Entry> = self.waiting.iter().filter(|e| loud(e)).collect();
        if self.capped_until(now) > now {
            self.held |= !due.is_empty();
            return Vec::new();
        }
        if !self.held {
            return Vec::new();
        }
        let chosen = due.iter().max_by_key(|e| (e.severity, e.made)).map(|e| e.id.clone());
        let stays = |e: &Entry| !loud(e) || Some(&e.id) == chosen.as_ref();
        let (stay, gone): (VecDeque<_>, VecDeque<_>) = self.waiting.drain(..).partition(stays);
        self.waiting = stay;
        self.held = false;
        self.withheld += gone.len();
        gone.into()
    }

    /// How many messages caps withheld since the last one arrived.
    #[must_use]
    pub const fn withheld(&self) -> usize {
        self.withheld
    }

    /// The next message, if one may be sent now; it counts as being sent from here on. `minute` is that of the day,
    /// where people live, if that is known.
    pub fn next(&mut self, now: Instant, minute: Option<u16>) -> Option<Entry> {
        if self.sending.is_some() || now < self.not_before.max(self.capped_until(now)) {
            return None;
        }
        let quiet = self.is_quiet(minute);
        let entry = self.waiting.iter().find(|e| !quiet || e.severity >= Severity::Critical)?;
        self.sending = Some(entry.id.clone());
        Some(entry.clone())
    }

    /// When [`Self::next`] may have something although nothing happens.
    #[must_use]
    pub fn deadline(&self, now: Instant, minute: Option<u16>) -> Option<Instant> {
        if self.sending.is_some() || self.waiting.is_empty() {
            return None;
        }
        let next = self.not_before.max(self.capped_until(now));
        let loud = self.waiting.iter().any(|e| e.severity >= Severity::Critical);
        // Hours are looked at every minute.
        let quiet = self.is_quiet(minute) && !loud;
        Some(if quiet { next.max(now + Duration::from_secs(60)) } else { next })
    }

    fn is_quiet(&self, minute: Option<u16>) -> bool {
        self.quiet.zip(minute).is_some_and(|(quiet, minute)| quiet.contains(minute))
    }

    /// Until when caps let nothing through.
    fn capped_until(&self, now: Instant) -> Instant {
        let until = |cap: &Cap| {
            let first = self.sent.len().checked_sub(cap.most).and_then(|at| self.sent.get(at));
            first.map_or(Instant::ZERO, |first| first.at + cap.within.saturating_sub(first.old))
        };
        self.caps.iter().map(until).filter(|at| *at > now).max().unwrap_or(Instant::ZERO)
    }

    /// A message has arrived.
    pub fn delivered(&mut self, id: &str, now: Instant) {
        self.forget(id);
        (self.failures, self.failing, self.not_before) = (0, None, now);
        self.withheld = 0;
        self.count(now);
    }

    /// Counts what caps count.
    fn count(&mut self, now: Instant) {
        self.sent.push_back(Sent { at: now, old: Duration::ZERO });
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        let longest = self.caps.iter().map(|cap| cap.within).max().unwrap_or_default();
        while self.sent.front().is_some_and(|first| now.since(first.at) + first.old > longest) {
            self.sent.pop_front();
        }
    }

    /// It has not, or nobody knows. Returns whether that was the last try.
    pub fn failed(&mut self, id: &str, failure: Failure, now: Instant) -> bool {
        if self.sending.as_deref() == Some(id) {
            self.sending = None;
        }
        self.asked_until = failure.pause.map_or(Instant::ZERO, |pause| now + pause.min(EXPIRES));
        let not_now = self.slow_to_trust && failure.pause.is_some();
        let pauses = if not_now { &NOT_NOW[..] } else { &PAUSES };
        let usual = pauses.get(self.failures).or(pauses.last()).copied().unwrap_or(REFUSED);
        let pause = if failure.refused { REFUSED } else { usual };
        self.not_before = (now + pause).max(self.asked_until);
        self.failures += 1;
        let paid = failure.unknown && self.costs;
        self.failing = Some(failure);
        if paid {
            self.count(now);
            if self.unsure.as_deref() == Some(id) {
                self.forget(id);
                return true;
            }
            self.unsure = Some(id.to_owned());
        }
        // A digest that came while another message was on its way goes before that, too.
        self.waiting.make_contiguous().sort_by_key(|e| !e.digest);
        false
    }

    /// Takes a message out.
    pub fn forget(&mut self, id: &str) {
        self.waiting.retain(|e| e.id != id);
        if self.sending.as_deref() == Some(id) {
            self.sending = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Hilink, Login, Mail, Secret, Server};

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn queue(quiet: Option<Quiet>) -> Queue {
        Queue::new(&Service::Exec { program: "/bin/true".into() }, quiet)
    }

    fn entry(id: &str, severity: Severity) -> Entry {
        Entry { id: id.to_owned(), severity, made: at(0), digest: id.starts_with("digest") }
    }

    fn down() -> Failure {
        Failure { why: "no route".to_owned(), refused: false, pause: None, unknown: false }
    }

    use Severity::{Critical, Warning};

    #[test]
    fn order_is_kept_and_a_digest_goes_first() {
        let mut queue = queue(None);
        for id in ["a", "b"] {
            queue.push(entry(id, Warning), at(0));
        }
        assert_eq!(queue.next(at(0), None).unwrap().id, "a");
        assert_eq!(queue.next(at(0), None), None, "one after the other");
        queue.push(entry("digest", Critical), at(1));
        queue.push(entry("digest2", Critical), at(1));
        queue.failed("a", down(), at(1));
        let mut order = Vec::new();
        while let Some(next) = queue.next(at(100), None) {
            queue.delivered(&next.id, at(100));
            order.push(next.id);
        }
        assert_eq!(order, ["digest", "digest2", "a", "b"]);
    }

    #[test]
    fn pauses_grow_and_end_when_something_happens() {
        let mut queue = queue(None);
        queue.push(entry("a", Warning), at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            queue.next(now, None).unwrap();
            queue.failed("a", down(), now);
            let due = queue.deadline(now, None).unwrap();
            pauses.push(due.since(now).as_secs());
            assert_eq!(queue.next(due - Duration::from_millis(1), None), None);
            now = due;
        }
        assert_eq!(pauses, [1, 2, 5, 15, 60, 120, 300, 300, 300]);
        queue.next(now, None).unwrap();
        queue.failed("a", down(), now);
        queue.push(entry("b", Warning), now + Duration::from_secs(1));
        assert_eq!(queue.next(now + Duration::from_secs(1), None).unwrap().id, "a");
    }

    #[test]
    fn what_is_refused_is_tried_seldom() {
        let mut queue = queue(None);
        queue.push(entry("a", Warning), at(0));
        queue.next(at(0), None).unwrap();
        queue.failed("a", Failure { refused: true, ..down() }, at(0));
        queue.push(entry("b", Warning), at(1));
        assert_eq!(queue.next(at(899), None), None);
        assert_eq!(queue.next(at(900), None).unwrap().id, "a");
        let asked = Failure { pause: Some(Duration::from_secs(1200)), ..down() };
        queue.failed("a", asked, at(900));
        assert_eq!(queue.deadline(at(900), None), Some(at(2100)), "the server asked for it");
        queue.push(entry("c", Warning), at(901));
        assert_eq!(queue.next(at(2099), None), None, "whatever happens");
    }

    #[test]
    fn at_night_only_what_is_critical_is_told() {
        let mut queue = queue(Some(Quiet { from: 22 * 60, to: 7 * 60 }));
        queue.push(entry("a", Warning), at(0));
        assert_eq!(queue.next(at(0), Some(23 * 60)), None);
        assert_eq!(queue.deadline(at(0), Some(23 * 60)), Some(at(60)));
        queue.push(entry("b", Critical), at(0));
        assert_eq!(queue.next(at(0), Some(23 * 60)).unwrap().id, "b");
        // What another configuration began to send ends nothing of this one's.
        queue.delivered("z", at(0));
        assert_eq!(queue.next(at(0), Some(7 * 60)), None);
        queue.delivered("b", at(0));
        assert_eq!(queue.next(at(0), Some(7 * 60)).unwrap().id, "a");
    }

    #[test]
    fn there_is_a_cap_an_end_and_a_bound() {
        let mut queue = queue(None);
        for n in 0..=MOST {
            let gone = queue.push(entry(&format!("{n}"), Warning), at(0));
            assert_eq!(gone.map(|gone| gone.id), (n == MOST).then(|| "0".to_owned()));
        }
        for _ in 0..60 {
            let next = queue.next(at(10), None).unwrap();
            queue.delivered(&next.id, at(10));
        }
        assert_eq!(queue.next(at(3609), None), None);
        assert!(queue.next(at(3610), None).is_some());
        assert_eq!(queue.expire(at(86_399)), []);
        assert_eq!(queue.expire(at(86_400)).len(), MOST - 61, "the one on its way stays");
    }

    fn mail() -> Queue {
        let server = Server { tls: true, host: "mail.example".to_owned(), port: 465 };
        let (from, to) = ("box@a.example".to_owned(), "anna@a.example".to_owned().into());
        Queue::new(&Service::Mail(Mail { server, login: Login::default(), from, to }), None)
    }

    #[test]
    fn a_mail_server_that_says_not_now_is_given_time() {
        let mut queue = mail();
        queue.push(entry("a", Warning), at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            queue.next(now, None).unwrap();
            queue.failed("a", Failure { pause: Some(Duration::from_secs(60)), ..down() }, now);
            let due = queue.deadline(now, None).unwrap();
            pauses.push(due.since(now).as_secs());
            now = due;
        }
        assert_eq!(pauses, [75, 300, 900, 1800, 1800]);
        // One that cannot be reached has not said so.
        let mut queue = mail();
        queue.push(entry("a", Warning), at(0));
        queue.next(at(0), None).unwrap();
        queue.failed("a", down(), at(0));
        assert_eq!(queue.deadline(at(0), None), Some(at(1)));
    }

    #[test]
    fn what_comes_too_often_is_counted_instead_of_sent() {
        let mut queue = mail();
        for n in 0..30 {
            queue.push(entry(&format!("{n}"), Warning), at(n));
            assert_eq!(queue.withhold(at(n), None), []);
            let next = queue.next(at(n), None).unwrap();
            queue.delivered(&next.id, at(n));
        }
        for (id, severity, made) in
            [("grave", Critical, 100), ("graver", Critical, 200), ("late", Warning, 300)]
        {
            queue.push(Entry { made: at(made), ..entry(id, severity) }, at(made));
            assert_eq!(queue.withhold(at(made), None), []);
            assert_eq!(queue.next(at(made), None), None);
        }
        // Another configuration of the same channel lifts nothing.
        let mut queue = Queue { waiting: queue.waiting.clone(), ..mail() }.after(&queue);
        assert_eq!((queue.withhold(at(3599), None), queue.next(at(3599), None)), (vec![], None));
        let gone: Vec<String> =
            queue.withhold(at(3600), None).into_iter().map(|gone| gone.id).collect();
        assert_eq!((gone, queue.withheld()), (vec!["grave".to_owned(), "late".to_owned()], 2));
        assert_eq!(queue.next(at(3600), None).unwrap().id, "graver");
        queue.failed("graver", down(), at(3600));
        assert_eq!(queue.withheld(), 2, "nobody has been told yet");
        assert_eq!(queue.next(at(3601), None).unwrap().id, "graver");
        queue.delivered("graver", at(3601));
        assert_eq!(queue.withheld(), 0);
        // There is room again: what comes now comes at once, and together.
        for id in ["a", "b"] {
            queue.push(entry(id, Warning), at(3700));
            assert_eq!(queue.withhold(at(3700), None), []);
            assert_eq!(queue.next(at(3700), None).unwrap().id, id);
            queue.delivered(id, at(3700));
        }
    }

    #[test]
    fn caps_outlive_the_agent() {
        // The box began half a minute ago, and the first of these is forgotten already.
        let ages = [90_000, 3000, 2000, 1000].map(Duration::from_secs);
        let mut sms = Queue::new(&Service::Modem { number: Secret::default() }, None)
            .having_sent(ages.into_iter(), at(30));
        sms.push(entry("a", Warning), at(30));
        assert_eq!(sms.next(at(629), None), None);
        assert_eq!(sms.next(at(630), None).unwrap().id, "a");
    }

    #[test]
    fn an_sms_that_may_have_arrived_is_sent_twice_at_most_and_counts() {
        let router = Hilink {
            server: Server { tls: false, host: "192.168.8.1".to_owned(), port: 80 },
            login: Login::default(),
            number: "+49151".to_owned().into(),
            uplink: "mifi".to_owned(),
            interface: None,
        };
        let mut sms = Queue::new(&Service::Hilink(router), None);
        let unknown = || Failure { unknown: true, ..down() };
        for id in ["a", "b"] {
            sms.push(entry(id, Warning), at(0));
        }
        assert_eq!(sms.next(at(0), None).unwrap().id, "a");
        // What surely was not sent costs nothing.
        assert!(!sms.failed("a", down(), at(0)));
        sms.next(at(60), None).unwrap();
        assert!(!sms.failed("a", unknown(), at(60)));
        sms.next(at(120), None).unwrap();
        assert!(sms.failed("a", unknown(), at(120)), "no third time");
        assert_eq!(sms.next(at(180), None).unwrap().id, "b");
        sms.delivered("b", at(180));
        sms.push(entry("c", Warning), at(181));
        assert_eq!(sms.next(at(3659), None), None, "three in an hour, two of them for nothing");
        assert_eq!(sms.next(at(3660), None).unwrap().id, "c");
        sms.delivered("c", at(3660));
        // Ten in a day.
        let mut now = at(3660);
        for n in 0..6 {
            now = now + Duration::from_secs(3600);
            sms.push(entry(&format!("{n}"), Warning), now);
            sms.next(now, None).unwrap();
            sms.delivered(&format!("{n}"), now);
        }
        sms.push(entry("d", Warning), now);
        assert_eq!(sms.deadline(now, None), Some(at(60 + 86_400)));
        // To another kind of channel it is only one more try.
        let mut queue = queue(None);
        queue.push(entry("a", Warning), at(0));
        for n in 0..5 {
            queue.next(at(n * 600), None).unwrap();
            assert!(!queue.failed("a", unknown(), at(n * 600)));
        }
    }
}
