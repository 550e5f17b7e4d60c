//! Health: what is known of one line (an uplink in one IP version), as a state machine.
//!
//! ```text
//!             linked                     proven
//!  Unknown ───────────► Recovering ─────────────────► Up ◄────────┐
//!     │                  ▲      │                     │           │ life
//!     │ hard, silent     │      │ hard, silent        │ suspected │
//!     ▼        life,     │      ▼                     ▼           │
//!   Down ────────────────┘    Down ◄────────────── Failing ───────┘
//!             linked                 hard, silent
//! ```
//! Silence alone never leaves `Up`: it takes a suspicion first, and a burst that stays unanswered.

use serde::{Deserialize, Serialize};

use crate::time::Instant;

pub mod conduct;
pub mod line;
pub mod proof;
pub mod quality;
pub mod suspicion;
pub mod tally;
pub mod traffic;

/// What is known of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    #[default]
    Unknown,
    /// Proven: it leads to the Internet.
    Up {
        since: Instant,
    },
    /// Suspected: a burst of probes is under way.
    Failing {
        /// Since when it is suspected.
        since: Instant,
        /// Since when it had been up.
        up_since: Instant,
    },
    Down {
        since: Instant,
        condition: Condition,
    },
    /// It answers, or could: it is being proven.
    Recovering {
        since: Instant,
    },
}

/// Why a line is as it is (worst last).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Ok,
    /// Its own resolvers do not resolve, public ones by the same line do.
    ResolversSilent,
    /// It loses many packets.
    Degraded,
    /// It loads no web page, while another line does.
    NoWeb,
    /// It answers the web check with a page of its own.
    Portal,
    /// Nobody resolves names by it.
    DnsBroken,
    /// A firewall of somebody else on this box does not let the LAN out by it.
    Barred,
    /// The modem answers, nothing beyond it does.
    BeyondModem,
    /// Not even the modem answers.
    ModemSilent,
    /// Its subnet is the LAN's, too: it would take the LAN's packets.
    OverlapsLan,
    /// Nobody said where its gateway is.
    NoGateway,
    /// The interface has no address.
    NoAddress,
    /// Its network manager waits for a provider's answer.
    Pending,
    /// It belongs to a VRF, whose routes are apart from those of the box.
    InVrf,
    /// No cable, or nobody at its other end.
    NoCarrier,
    /// Somebody on this box has taken it down.
    SwitchedOff,
    /// There is no such interface.
    Absent,
    /// No network manager knows a network of that name.
    NoNetwork,
}

impl Condition {
    /// Whether it is hard evidence: seen on the box itself, at once and beyond doubt.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(
            self,
            Self::OverlapsLan
                | Self::NoGateway
                | Self::NoAddress
                | Self::Pending
                | Self::InVrf
                | Self::NoCarrier
                | Self::SwitchedOff
                | Self::Absent
                | Self::NoNetwork
        )
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::NoWeb => "no_web",
            Self::Portal => "portal",
            Self::ResolversSilent | Self::DnsBroken => "dns_broken",
            Self::Barred => "barred",
            Self::BeyondModem => "beyond_modem",
            Self::ModemSilent => "modem_silent",
            Self::OverlapsLan => "overlaps_lan",
            Self::NoGateway => "no_gateway",
            Self::NoAddress | Self::Pending => "no_address",
            Self::InVrf => "in_vrf",
            Self::NoCarrier => "no_carrier",
            Self::SwitchedOff => "switched_off",
            Self::Absent | Self::NoNetwork => "absent",
        }
    }

    /// The condition as the end of a sentence that begins with the uplink's name.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Ok => "works",
            Self::ResolversSilent => {
                "resolves names by public resolvers only; its own do not answer"
            }
            Self::Degraded => "loses many packets",
            Self::NoWeb => "answers, but loads no web page",
            Self::Portal => "shows a sign-in page instead of the Internet",
            Self::DnsBroken => "does not resolve names",
            Self::Barred => "is closed to the LAN by a firewall on this box",
            Self::BeyondModem => "has no Internet behind its modem",
            Self::ModemSilent => "does not answer, not even its modem",
            Self::OverlapsLan => "has the LAN's own subnet",
            Self::NoGateway => "has no gateway",
            Self::NoAddress => "has no address",
            Self::Pending => "waits for an address from its provider",
            Self::InVrf => "is in a VRF, whose routes are apart from the box's own",
            Self::NoCarrier => "has no carrier (cable out, or the modem is off)",
            Self::SwitchedOff => "is switched off on this box",
            Self::Absent => "is not plugged in",
            Self::NoNetwork => "is no network that netifd knows",
        }
    }
}

/// What can happen to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Carrier, address and gateway are all there.
    Linked,
    /// One of them is not.
    Hard(Condition),
    /// A probe is late and nothing else came.
    Suspected,
    /// An answer, or return traffic.
    Life,
    /// The window is over without a sign of life.
    Silent(Condition),
    /// Enough answers, names resolve, the web check passes.
    Proven,
}

/// A change of health: one fact for log, page, message and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    pub from: Health,
    pub to: Health,
    pub signal: Signal,
}

impl Health {
    /// What follows from a signal; `None` if nothing changes.
    #[must_use]
    pub fn step(self, signal: Signal, now: Instant) -> Option<Transition> {
        let down = |condition| Self::Down { since: now, condition };
        let to = match (self, signal) {
            (Self::Down { since, condition: old }, Signal::Hard(new) | Signal::Silent(new)) => {
                // Hard evidence explains a silence better; a silence never hides hard evidence.
                if old == new || (old.is_hard() && !new.is_hard()) {
                    return None;
                }
                Self::Down { since, condition: new }
            }
            (_, Signal::Hard(condition)) => down(condition),

            (Self::Unknown | Self::Failing { .. } | Self::Recovering { .. }, Signal::Silent(c)) => {
                down(c)
            }
            (Self::Up { .. }, Signal::Silent(_)) => return None,

            (Self::Unknown | Self::Down { .. }, Signal::Linked) => Self::Recovering { since: now },
            (Self::Up { .. } | Self::Failing { .. } | Self::Recovering { .. }, Signal::Linked) => {
                return None;
            }

            (Self::Up { since }, Signal::Suspected) => {
                Self::Failing { since: now, up_since: since }
            }
            (
                Self::Unknown | Self::Failing { .. } | Self::Down { .. } | Self::Recovering { .. },
                Signal::Suspected,
            ) => return None,

            (Self::Failing { up_since, .. }, Signal::Life) => Self::Up { since: up_since },
            (Self::Unknown | Self::Down { .. }, Signal::Life) => Self::Recovering { since: now },
            (Self::Up { .. } | Self::Recovering { .. }, Signal::Life) => return None,

            (Self::Recovering { .. }, Signal::Proven) => Self::Up { since: now },
            (
                Self::Unknown | Self::Up { .. } | Self::Failing { .. } | Self::Down { .. },
                Signal::Proven,
            ) => return None,
        };
        Some(Transition { from: self, to, signal })
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up { .. } => "up",
            Self::Failing { .. } => "failing",
            Self::Down { .. } => "down",
            Self::Recovering { .. } => "recovering",
        }
    }

    /// Whether traffic that is on it may stay: up, or merely suspected.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Up { .. } | Self::Failing { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state against every signal, as the picture above has it.
    #[test]
    fn transition_table() {
        let t0 = Instant::from_micros(1);
        let now = Instant::from_micros(9);
        let c = Condition::BeyondModem;
        let unknown = Health::Unknown;
        let up = Health::Up { since: t0 };
        let failing = Health::Failing { since: t0, up_since: t0 };
        let down = Health::Down { since: t0, condition: c };
        let recovering = Health::Recovering { since: t0 };
        let (hard, silent) = (Signal::Hard(Condition::NoCarrier), Signal::Silent(c));
        let rows: [(Health, [&str; 6]); 5] = [
            //          linked        hard    suspected  life          silent  proven
            (unknown, ["recovering", "down", "-", "recovering", "down", "-"]),
            (up, ["-", "down", "failing", "-", "-", "-"]),
            (failing, ["-", "down", "-", "up", "down", "-"]),
            (down, ["recovering", "down", "-", "recovering", "-", "-"]),
            (recovering, ["-", "down", "-", "-", "down", "up"]),
        ];
        let signals =
            [Signal::Linked, hard, Signal::Suspected, Signal::Life, silent, Signal::Proven];
        for (state, expected) in rows {
            for (signal, word) in signals.into_iter().zip(expected) {
                let got = state.step(signal, now).map_or("-", |t| t.to.word());
                assert_eq!(got, word, "{} + {signal:?}", state.word());
            }
        }
    }

    #[test]
    fn a_short_suspicion_does_not_reset_the_time_of_being_up() {
        let up = Health::Up { since: Instant::from_micros(5) };
        let failing = up.step(Signal::Suspected, Instant::from_micros(7)).unwrap().to;
        let again = failing.step(Signal::Life, Instant::from_micros(8)).unwrap().to;
        assert_eq!(again, up);
    }

    #[test]
    fn hard_evidence_outlives_silence() {
        let gone = Health::Down { since: Instant::ZERO, condition: Condition::NoCarrier };
        assert_eq!(gone.step(Signal::Silent(Condition::ModemSilent), Instant::ZERO), None);
        let silent = Health::Down { since: Instant::ZERO, condition: Condition::ModemSilent };
        assert!(silent.step(Signal::Hard(Condition::NoCarrier), Instant::ZERO).is_some());
    }
}
