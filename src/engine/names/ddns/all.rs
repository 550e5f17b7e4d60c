//! All names that follow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::follower::{Follower, Kept};
use crate::config::DdnsConfig;
use crate::time::{Instant, Now};

/// All names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Followers {
    all: BTreeMap<String, Follower>,
    number: u64,
    /// The earliest deadline, worked out when they were last looked at.
    pub(in crate::engine) next: Option<Instant>,
}

impl Followers {
    /// Those of before.
    pub(in crate::engine) fn restored(kept: &BTreeMap<String, Kept>, now: Now) -> Self {
        let all = kept.iter().map(|(name, kept)| (name.clone(), Follower::kept(kept, now)));
        Self { all: all.collect(), ..Self::default() }
    }

    /// What outlives a restart, of those that are configured and whose server does not say what they have.
    pub(in crate::engine) fn keep(&self, names: &[DdnsConfig]) -> BTreeMap<String, Kept> {
        let silent = names.iter().filter(|config| !config.updater.answers());
        let kept = silent.filter_map(|config| {
            let kept = self.all.get(&config.name)?.keep();
            (kept != Kept::default()).then(|| (config.name.clone(), kept))
        });
        kept.collect()
    }

    /// Another configuration is in force: a name that is changed otherwise begins anew, and so does what was
    /// refused. The minute between two writes goes on.
    pub(in crate::engine) fn configure(&mut self, old: &[DdnsConfig], new: &[DdnsConfig]) {
        let of = |all: &[DdnsConfig], name: &str| all.iter().find(|c| c.name == name).cloned();
        self.all.retain(|name, _| of(new, name).is_some());
        for (name, follower) in &mut self.all {
            if of(old, name) != of(new, name) {
                *follower = follower.anew();
            }
        }
        self.all.values_mut().for_each(Follower::try_again);
    }

    pub(in crate::engine) fn get(&self, name: &str) -> Option<&Follower> {
        self.all.get(name)
    }

    pub(in crate::engine) fn of(&mut self, name: &str) -> &mut Follower {
        self.all.entry(name.to_owned()).or_default()
    }

    pub(in crate::engine) const fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}
