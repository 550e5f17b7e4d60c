//! Whether the kernel has what is wanted, when to look again, and how often others undo it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::engine::dataplane::Dataplane;
use crate::engine::dataplane::diff::Change;
use crate::engine::dataplane::drift::Drift;
use crate::time::Instant;
use crate::units::{IfIndex, PerFamily, UplinkId};

/// How it stands between the desired state and the kernel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Converging {
    pub(in crate::engine) desired: Dataplane,
    pub(in crate::engine) generation: u64,
    /// The generation that the kernel was last seen to be equal to.
    pub(in crate::engine) settled: u64,
    /// One is under way, since then.
    pub(in crate::engine) asked: Option<Instant>,
    pub(in crate::engine) look_again: bool,
    /// Something that the desired state depends on may have changed.
    pub(in crate::engine) stale: bool,
    pub(in crate::engine) audit_at: Instant,
    /// After a failure or a fight: not before.
    pub(in crate::engine) not_before: Instant,
    pub(in crate::engine) failures: u32,
    /// It was settled until others undid something that is not all back yet.
    pub(in crate::engine) undone: bool,
    /// And that has been counted: what the kernel refuses meanwhile is tried again, and nobody fights.
    #[serde(default)]
    pub(in crate::engine) counted: bool,
    /// What others did just now and was put back, until it is told.
    pub(in crate::engine) damage: Option<Damage>,
    /// When that began, and the times before in the last minute.
    pub(in crate::engine) repairs: Vec<Instant>,
    /// They do it so often that it has been said.
    pub(in crate::engine) fight: bool,
    /// Devices that are in somebody's flowtable.
    pub(in crate::engine) offloaded: BTreeSet<String>,
    /// Where packets were last seen to go instead of where they should. The kernel passes over an interface
    /// without carrier before that is news here, so once is nothing to speak of.
    #[serde(default)]
    pub(in crate::engine) doubted: PerFamily<Option<IfIndex>>,
    /// The same, as last said.
    pub(in crate::engine) astray: PerFamily<Option<IfIndex>>,
    pub(in crate::engine) last_error: Option<String>,
    /// Why there is no table of ours, without which nothing is steered.
    pub(in crate::engine) no_table: Option<String>,
    /// Families that are refused: the kernel forgets it unless it is told again, at that time.
    pub(in crate::engine) refusing: PerFamily<bool>,
    renew_at: Option<Instant>,
    /// The agent is about to end: what refuses ends with it.
    pub(in crate::engine) ending: bool,
    /// Spares that an earlier run left standing, until they are judged.
    pub(in crate::engine) kept: PerFamily<BTreeSet<UplinkId>>,
}

/// What others did in one go, and what it took to put it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::engine) struct Damage {
    pub(in crate::engine) since: Instant,
    pub(in crate::engine) last: Instant,
    pub(in crate::engine) drift: Drift,
    pub(in crate::engine) took: Duration,
    /// How often something was put back.
    pub(in crate::engine) repairs: usize,
}

impl Damage {
    /// When they are taken to be through with it.
    pub(in crate::engine) fn over_at(&self) -> Instant {
        (self.last + QUIET).min(self.since + IN_ONE_GO)
    }
}

/// Whoever flushes rules flushes tables too, one after the other: what is undone and put back
/// without a rest of so long is told and counted as one …
pub(in crate::engine) const QUIET: Duration = Duration::from_secs(1);
/// … but not longer than this …
pub(in crate::engine) const IN_ONE_GO: Duration = Duration::from_secs(5);
/// … and so many repairs in one go are a fight as well.
pub(in crate::engine) const TOO_MANY: usize = 20;
/// The whole desired state is compared with the kernel this often even if nothing seems to have happened.
pub(in crate::engine) const AUDIT_EVERY: Duration = Duration::from_secs(30);
/// The time in which repairs are counted.
pub(in crate::engine) const MINUTE: Duration = Duration::from_secs(60);
/// So many repairs a minute are a fight …
pub(in crate::engine) const FIGHT: usize = 6;
/// … which nobody wins: wait.
pub(in crate::engine) const TRUCE: Duration = Duration::from_secs(10);
/// What the kernel refused is tried again after this: others may just have been at it …
pub(in crate::engine) const ONCE_MORE: Duration = Duration::from_millis(50);
/// … then after so long, twice that, and so on.
pub(in crate::engine) const PAUSE: Duration = Duration::from_secs(1);
/// What refuses is renewed this often: thrice before the kernel forgets it
/// ([`REFUSED_FOR`](crate::engine::dataplane::ruleset::REFUSED_FOR)), so that a busy moment is no hole.
const RENEW_EVERY: Duration = Duration::from_millis(2500);
/// An answer that takes longer is not waited for.
pub(in crate::engine) const LOST: Duration = Duration::from_secs(10);

impl Converging {
    pub(in crate::engine) const fn desired(&self) -> &Dataplane {
        &self.desired
    }

    pub(in crate::engine) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Something that the desired state depends on may have changed.
    pub(in crate::engine) const fn replan(&mut self) {
        self.stale = true;
    }

    /// Somebody touched what is ours, or netlink lost messages.
    pub(in crate::engine) const fn look_again(&mut self) {
        self.look_again = true;
    }

    /// What is to be refused for another while, if its time has come.
    pub(in crate::engine) fn renew(&mut self, now: Instant) -> Option<PerFamily<bool>> {
        if self.ending || self.refusing == PerFamily::default() {
            self.renew_at = None;
            return None;
        }
        let at = *self.renew_at.get_or_insert(now + RENEW_EVERY);
        (at <= now).then(|| {
            self.renew_at = Some(now + RENEW_EVERY);
            self.refusing
        })
    }

    /// Whether a change of the kernel undoes what others did. An element that had its time is nobody's
    /// doing.
    pub(in crate::engine) fn undoes(&self, change: &Change) -> bool {
        let timed =
            |set: &String| self.desired.nft.sets.get(set).is_some_and(|s| s.timeout.is_some());
        !matches!(change, Change::Elements { set, .. } if timed(set))
    }

    /// Whether the kernel was last seen to be as wanted.
    pub(in crate::engine) const fn is_settled(&self) -> bool {
        self.settled == self.generation && !self.stale
    }

    pub(in crate::engine) fn deadline(&self) -> Option<Instant> {
        let lost = self.asked.map(|asked| asked + LOST);
        let wanted = self.look_again || self.settled != self.generation;
        let next = if wanted { self.not_before } else { self.audit_at };
        let tell = self.damage.as_ref().map(Damage::over_at);
        [Some(lost.unwrap_or(next)), tell, self.renew_at].into_iter().flatten().min()
    }
}
