//! What people have agreed on with who provides an uplink.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::channels::Secret;
use crate::time::day::Day;

/// Who provides an uplink, and on what terms (`provider`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    /// The customer's number. Who knows it may pass for the customer on the telephone, so that it is shown to those
    /// only who may change things.
    pub account: Option<Secret>,
    pub phone: Option<String>,
    /// Whose law holds.
    pub country: Option<Country>,
    /// What the line costs a month.
    pub monthly: Option<Money>,
    /// On which day an outage was reported, for one that `sparelink note --reported` was not told of.
    pub reported: Option<Day>,
}

/// A country, by its two letters (ISO 3166-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country([char; 2]);

/// All there are, without a space between them.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

impl Country {
    /// By its code, in letters of either case; `UK` is taken for GB, as people there write it.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let code = code.to_ascii_uppercase();
        let code = if code == "UK" { "GB" } else { code.as_str() };
        let is_known = COUNTRIES.as_bytes().chunks_exact(2).any(|one| one == code.as_bytes());
        let mut letters = code.chars();
        Some(Self([letters.next()?, letters.next()?])).filter(|_| is_known)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0;
        write!(f, "{first}{second}")
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::parse(&code).ok_or_else(|| serde::de::Error::custom("this is no country"))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// In hundredths of the currency.
    pub cents: u64,
    /// Its code (ISO 4217), such as EUR.
    pub currency: String,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} {}", self.cents / 100, self.cents % 100, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_known_by_their_letters() {
        assert_eq!(COUNTRIES.len(), 2 * 249);
        for (code, known) in [("de", "DE"), ("UK", "GB"), ("GB", "GB"), ("nl", "NL"), ("ZW", "ZW")]
        {
            assert_eq!(Country::parse(code).map(|c| c.to_string()).as_deref(), Some(known));
        }
        // The second letter of one and the first of the next are none.
        for none in ["DA", "XX", "", "D", "DEU", "€"] {
            assert_eq!(Country::parse(none), None, "{none}");
        }
    }

    #[test]
    fn money_reads_as_on_a_bill() {
        let money = Money { cents: 3905, currency: "EUR".to_owned() };
        assert_eq!(money.to_string(), "39.05 EUR");
    }
}
