//! What is on trial, as it is told to everybody.

use serde::Serialize;

use crate::io::trial::By;
use crate::time::Instant;

/// Whether settings can be changed on the page, and what is on trial.
#[derive(Clone, Debug, Serialize)]
pub(in crate::io::web) struct SettingsOf {
    /// This program can change them; the lite one cannot.
    can: bool,
    trial: Option<TrialOf>,
}

#[derive(Clone, Debug, Serialize)]
struct TrialOf {
    /// `page` or `setup`.
    of: &'static str,
    /// The address of who tries it on the page.
    by: Option<String>,
    seconds_left: Option<u64>,
}

impl SettingsOf {
    /// With what is on trial until then.
    pub(in crate::io::web) fn new(trial: Option<(By, Option<Instant>)>, now: Instant) -> Self {
        let trial = trial.map(|(by, ends)| {
            let seconds_left = ends.map(|ends| ends.since(now).as_secs());
            match by {
                By::Setup => TrialOf { of: "setup", by: None, seconds_left },
                By::Page(who) => TrialOf { of: "page", by: Some(who), seconds_left },
            }
        });
        Self { can: cfg!(feature = "settings"), trial }
    }

    /// Something is on trial.
    #[cfg(feature = "settings")]
    pub(in crate::io::web) const fn is_on(&self) -> bool {
        self.trial.is_some()
    }
}
