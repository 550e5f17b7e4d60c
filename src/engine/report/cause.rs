//! Whose fault an outage was.

/// Why an uplink did not lead to the Internet, or a home had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No cable, no carrier, or no such interface.
    Unplugged,
    /// The modem gave no address or no gateway.
    NoAddress,
    ModemSilent,
    /// The modem answers, nothing beyond it does: the provider's line.
    BeyondModem,
    /// Answers come, names do not resolve.
    NamesOnly,
    /// A page to sign in to, or none that loads.
    Portal,
    /// One IP version only.
    OneFamily,
    /// A person had paused the uplink.
    Maintenance,
    /// A setting of this box: a firewall, a VRF, the LAN's own subnet.
    ThisBox,
    /// The box lost its power, or crashed.
    Power,
    /// The box was restarted, or the agent.
    Restart,
    /// A word that this version does not know.
    Other,
}

impl Cause {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Unplugged,
        Self::NoAddress,
        Self::ModemSilent,
        Self::BeyondModem,
        Self::NamesOnly,
        Self::Portal,
        Self::OneFamily,
        Self::Maintenance,
        Self::ThisBox,
        Self::Power,
        Self::Restart,
        Self::Other,
    ];

    /// From the word of a condition.
    pub(super) fn of_condition(word: &str) -> Self {
        match word {
            "no_carrier" | "absent" => Self::Unplugged,
            "no_address" | "no_gateway" => Self::NoAddress,
            "modem_silent" => Self::ModemSilent,
            "beyond_modem" => Self::BeyondModem,
            "dns_broken" => Self::NamesOnly,
            "portal" | "no_web" => Self::Portal,
            "barred" | "in_vrf" | "overlaps_lan" | "switched_off" => Self::ThisBox,
            _ => Self::Other,
        }
    }

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unplugged => "unplugged",
            Self::NoAddress => "no_address",
            Self::ModemSilent => "modem_silent",
            Self::BeyondModem => "beyond_modem",
            Self::NamesOnly => "dns_only",
            Self::Portal => "portal",
            Self::OneFamily => "one_family",
            Self::Maintenance => "maintenance",
            Self::ThisBox => "this_box",
            Self::Power => "power",
            Self::Restart => "restart",
            Self::Other => "other",
        }
    }

    /// The same for people, in a few words.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Unplugged => "unplugged, or the modem off",
            Self::NoAddress => "no address from the modem",
            Self::ModemSilent => "modem silent",
            Self::BeyondModem => "no Internet behind the modem",
            Self::NamesOnly => "names did not resolve",
            Self::Portal => "a sign-in page",
            Self::OneFamily => "one IP version only",
            Self::Maintenance => "paused by a person",
            Self::ThisBox => "a setting of this box",
            Self::Power => "this box had no power",
            Self::Restart => "this box restarted",
            Self::Other => "not known",
        }
    }

    /// Whether the line itself was at fault, for all that can be told from this box: what an uplink's availability
    /// is about.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Maintenance | Self::ThisBox | Self::Power | Self::Restart)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::health::Condition;

    #[test]
    fn every_condition_that_fails_has_a_cause() {
        use Condition::{
            Absent, Barred, BeyondModem, DnsBroken, InVrf, ModemSilent, NoAddress, NoCarrier,
            NoGateway, NoWeb, OverlapsLan, Portal, SwitchedOff,
        };
        let failing = [
            NoWeb,
            Portal,
            DnsBroken,
            Barred,
            BeyondModem,
            ModemSilent,
            OverlapsLan,
            NoGateway,
            NoAddress,
            InVrf,
            NoCarrier,
            SwitchedOff,
            Absent,
        ];
        for condition in failing {
            assert_ne!(Cause::of_condition(condition.word()), Cause::Other, "{condition:?}");
        }
        assert_eq!(Cause::of_condition("eaten_by_a_martin"), Cause::Other);
    }

    #[test]
    fn each_has_a_word_of_its_own() {
        for (at, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at, "{cause:?}");
            let same = Cause::ALL.iter().filter(|other| other.word() == cause.word());
            assert_eq!(same.count(), 1, "{cause:?}");
        }
    }
}
