//! The catalogue of what can happen: for each kind of event its word, how long what it tells has to last before
//! it is worth a message, and which other event makes it redundant.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Kinds of events. Which words go with one [`words`](super::words) says, how much a person should care
/// [`Fact::severity`](super::facts::Fact::severity).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Started,
    Stopped,
    Reloaded,
    Stalled,
    Health,
    Works,
    Fails,
    Switched,
    /// A move that belongs to a story which has been told of.
    Followed,
    Felt,
    AllUplinksDown,
    BackOnline,
    NoSpareLeft,
    SpareBack,
    Premature,
    Quality,
    Resolvers,
    Flushed,
    FlowsLeft,
    Draining,
    Drained,
    DrainOver,
    Repaired,
    Fight,
    FightOver,
    ApplyFailed,
    Astray,
    Offload,
    Barred,
    OverlapsLan,
    RoutesIgnored,
    Claimed,
    ClaimOver,
    HostFollows,
    Announced,
    NameWritten,
    NameFails,
    Manual,
    Noted,
    Reported,
}

/// What often ends by itself has lasted when it has lasted so long: as the peace that ends a fight.
const A_MINUTE: Duration = Duration::from_secs(60);

impl Code {
    /// Every kind.
    pub const ALL: [Self; 40] = [
        Self::Started,
        Self::Stopped,
        Self::Reloaded,
        Self::Stalled,
        Self::Health,
        Self::Works,
        Self::Fails,
        Self::Switched,
        Self::Followed,
        Self::Felt,
        Self::AllUplinksDown,
        Self::BackOnline,
        Self::NoSpareLeft,
        Self::SpareBack,
        Self::Premature,
        Self::Quality,
        Self::Resolvers,
        Self::Flushed,
        Self::FlowsLeft,
        Self::Draining,
        Self::Drained,
        Self::DrainOver,
        Self::Repaired,
        Self::Fight,
        Self::FightOver,
        Self::ApplyFailed,
        Self::Astray,
        Self::Offload,
        Self::Barred,
        Self::OverlapsLan,
        Self::RoutesIgnored,
        Self::Claimed,
        Self::ClaimOver,
        Self::HostFollows,
        Self::Announced,
        Self::NameWritten,
        Self::NameFails,
        Self::Manual,
        Self::Noted,
        Self::Reported,
    ];

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Reloaded => "reloaded",
            Self::Stalled => "stalled",
            Self::Health => "health",
            Self::Works => "uplink_works",
            Self::Fails => "uplink_fails",
            Self::Switched => "switched",
            Self::Followed => "followed",
            Self::Felt => "felt",
            Self::AllUplinksDown => "no_way_out",
            Self::BackOnline => "back_online",
            Self::NoSpareLeft => "no_spare_left",
            Self::SpareBack => "spare_back",
            Self::Premature => "premature",
            Self::Quality => "quality",
            Self::Resolvers => "resolvers",
            Self::Flushed => "flushed",
            Self::FlowsLeft => "flows_left",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::DrainOver => "drain_over",
            Self::Repaired => "repaired",
            Self::Fight => "fight",
            Self::FightOver => "fight_over",
            Self::ApplyFailed => "apply_failed",
            Self::Astray => "astray",
            Self::Offload => "offload",
            Self::Barred => "barred",
            Self::OverlapsLan => "overlaps_lan",
            Self::RoutesIgnored => "routes_ignored",
            Self::Claimed => "claimed",
            Self::ClaimOver => "claim_over",
            Self::HostFollows => "host_follows",
            Self::Announced => "announced",
            Self::NameWritten => "name_written",
            Self::NameFails => "name_fails",
            Self::Manual => "by_hand",
            Self::Noted => "noted",
            Self::Reported => "reported",
        }
    }

    /// How long the state that it tells of has to last before it is worth a message; zero for what has happened
    /// once and for all, and for what was waited for before it was told at all.
    #[must_use]
    pub const fn shows_after(self) -> Duration {
        match self {
            Self::NoSpareLeft
            | Self::Quality
            | Self::Resolvers
            | Self::ApplyFailed
            | Self::Astray
            | Self::Offload => A_MINUTE,
            Self::Started
            | Self::Stopped
            | Self::Reloaded
            | Self::Stalled
            | Self::Health
            | Self::Works
            | Self::Fails
            | Self::Switched
            | Self::Followed
            | Self::Felt
            | Self::AllUplinksDown
            | Self::BackOnline
            | Self::SpareBack
            | Self::Premature
            | Self::Flushed
            | Self::FlowsLeft
            | Self::Draining
            | Self::Drained
            | Self::DrainOver
            | Self::Repaired
            | Self::Fight
            | Self::FightOver
            | Self::Barred
            | Self::OverlapsLan
            | Self::RoutesIgnored
            | Self::Claimed
            | Self::ClaimOver
            | Self::HostFollows
            | Self::Announced
            | Self::NameWritten
            | Self::NameFails
            | Self::Manual
            | Self::Noted
            | Self::Reported => Duration::ZERO,
        }
    }

    /// The events beside which it tells nothing new, while what they tell of lasts.
    #[must_use]
    pub const fn depends_on(self) -> &'static [Self] {
        match self {
            // Where nothing works it does not matter what else does not.
            Self::NoSpareLeft | Self::Quality | Self::Resolvers | Self::FlowsLeft => {
                &[Self::AllUplinksDown]
            }
            // A line that dies is told of by what is done about it.
            Self::Health | Self::Works | Self::Fails => &[Self::Switched, Self::AllUplinksDown],
            Self::Followed | Self::Felt | Self::Flushed | Self::Draining => &[Self::Switched],
            Self::Drained | Self::DrainOver => &[Self::Draining],
            Self::Repaired => &[Self::Fight],
            // Packets go where they should not because the rules are not in place.
            Self::Astray => &[Self::Fight, Self::ApplyFailed],
            Self::Started
            | Self::Stopped
            | Self::Reloaded
            | Self::Stalled
            | Self::Switched
            | Self::AllUplinksDown
            | Self::BackOnline
            | Self::SpareBack
            | Self::Premature
            | Self::Fight
            | Self::FightOver
            | Self::ApplyFailed
            | Self::Offload
            | Self::Barred
            | Self::OverlapsLan
            | Self::RoutesIgnored
            | Self::Claimed
            | Self::ClaimOver
            | Self::HostFollows
            | Self::Announced
            | Self::NameWritten
            | Self::NameFails
            | Self::Manual
            | Self::Noted
            | Self::Reported => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that one depends on, by way of others, too.
    fn all_below(code: Code) -> Vec<Code> {
        let mut found = Vec::new();
        let mut next = code.depends_on().to_vec();
        while let Some(code) = next.pop() {
            if !found.contains(&code) {
                found.push(code);
                next.extend(code.depends_on());
            }
        }
        found
    }

    #[test]
    fn no_event_is_made_redundant_by_itself() {
        for code in Code::ALL {
            assert!(!all_below(code).contains(&code), "{code:?}");
        }
        assert_eq!(all_below(Code::Drained), [Code::Draining, Code::Switched], "the control");
    }

    #[test]
    fn what_makes_another_redundant_is_told_no_later() {
        for code in Code::ALL {
            for other in code.depends_on() {
                assert!(other.shows_after() <= code.shows_after(), "{code:?} waits for {other:?}");
            }
        }
    }

    #[test]
    fn each_kind_is_listed_once_by_its_own_word() {
        for (at, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, at, "{code:?}");
            let same = Code::ALL.iter().filter(|other| other.word() == code.word());
            assert_eq!(same.count(), 1, "{code:?}");
        }
    }
}
