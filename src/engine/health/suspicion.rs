//! How closely a line is watched: by what it is to the chain, and by its kind.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Kind;

/// What a line is to the chain now; sets how closely it is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    Active,
    #[default]
    Spare,
    /// Could take over, but every probe costs.
    MeteredSpare,
}

/// How a line is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Between base probes, with traffic.
    pub base: Duration,
    /// Between base probes, without traffic.
    pub idle: Duration,
    /// Between base probes while traffic goes out and nothing comes back.
    pub one_sided: Duration,
    /// Between ticks of a burst.
    pub tick: Duration,
    /// A probe is late after SRTT + 4·RTTVAR, but not before …
    pub late_min: Duration,
    /// … and not after.
    pub late_max: Duration,
    /// The window of a spare is fixed; that of the active one is learned.
    pub fixed_window: Option<Duration>,
}

impl Profile {
    /// The profile of such a line in that duty.
    #[must_use]
    pub const fn of(kind: Kind, duty: Duty) -> Self {
        match (duty, kind) {
            (Duty::Active, Kind::Wired | Kind::Wifi) => Self {
                base: Duration::from_secs(1),
                idle: Duration::from_secs(1),
                one_sided: Duration::from_millis(250),
                tick: Duration::from_millis(50),
                late_min: Duration::from_millis(50),
                late_max: Duration::from_millis(300),
                fixed_window: None,
            },
            (Duty::Active, Kind::Cellular) => Self {
                base: Duration::from_secs(1),
                idle: Duration::from_secs(5),
                one_sided: Duration::from_secs(1),
                tick: Duration::from_millis(100),
                late_min: Duration::from_millis(100),
                late_max: Duration::from_millis(500),
                fixed_window: None,
            },
            (Duty::Spare, _) => Self {
                base: Duration::from_secs(5),
                idle: Duration::from_secs(5),
                one_sided: Duration::from_secs(5),
                tick: Duration::from_millis(500),
                late_min: Duration::from_secs(1),
                late_max: Duration::from_secs(1),
                fixed_window: Some(Duration::from_secs(5)),
            },
            (Duty::MeteredSpare, _) => Self {
                base: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                one_sided: Duration::from_secs(60),
                tick: Duration::from_millis(500),
                late_min: Duration::from_secs(3),
                late_max: Duration::from_secs(3),
                fixed_window: Some(Duration::from_secs(5)),
            },
        }
    }
}
