//! systemd: hears when the agent is ready, what it does, and that its loop still goes
//! round (`sd_notify(3)`). Without one, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::time::Instant;

/// What systemd was told.
#[derive(Debug)]
pub struct Systemd {
    /// How often it wants a sign of life: twice in the time after which it starts the agent again.
    every: Option<Duration>,
    fed: Option<Instant>,
    said: String,
}

impl Systemd {
    /// The one that started this process (`NOTIFY_SOCKET`), if any.
    #[must_use]
    pub fn find() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        let every = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Some(Self { every, fed: None, said: String::new() })
    }

    /// The agent steers from now on.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The one sentence that `systemctl status` shows.
    pub fn say(&mut self, sentence: &str) {
        if self.said != sentence {
            sentence.clone_into(&mut self.said);
            tell(&[NotifyState::Status(sentence)]);
        }
    }

    /// When the next sign of life is due, if any is wanted.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        Some(self.fed? + self.every?)
    }

    /// The loop has gone round. Said by the loop itself, so that it is not said when the loop hangs.
    pub fn alive(&mut self, now: Instant) {
        if self.every.is_some() && self.due().is_none_or(|due| due <= now) {
            self.fed = Some(now);
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The agent ends of its own will.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_given_when_it_is_due_and_not_before() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let every = Some(Duration::from_secs(5));
        let mut systemd = Systemd { every, fed: None, said: String::new() };
        systemd.alive(at(1000));
        assert_eq!(systemd.due(), Some(at(6000)));
        systemd.alive(at(5999));
        assert_eq!(systemd.due(), Some(at(6000)), "too early");
        systemd.alive(at(6500));
        assert_eq!(systemd.due(), Some(at(11_500)));
        let mut nobody = Systemd { every: None, ..systemd };
        nobody.alive(at(99_000));
        assert_eq!(nobody.due(), None);
    }
}
