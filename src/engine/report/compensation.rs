//! What a provider owes for an outage by the rules of a country: an estimate, no legal advice.
//!
//! The rules stand in `compensation.json`, each with its source and the day on which that was read.

use serde::Deserialize;

use super::span::End;
use super::total_loss::TotalLoss;
use crate::config::{Country, Money};
use crate::time::day::Day;

const RULES: &str = include_str!("compensation.json");
/// Milliseconds of an hour.
const HOUR: u64 = 3_600_000;
/// Longer outages are not reckoned to the end: bounds the walk over days.
const LONGEST: i64 = 4000;

/// A rule of one country.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Rule {
    pub country: Country,
    pub name: String,
    /// Since when its figures hold.
    pub holds_from: Day,
    /// When its sources were read.
    pub read: Day,
    pub sources: Vec<String>,
    /// What else is to be known of it.
    pub remark: String,
    pub currency: String,
    pays: Pays,
}

/// When it begins to pay, and what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Pays {
    /// By the calendar day, if the loss still lasts so long after it was reported.
    AfterReport { wait: Wait, bands: Vec<Band> },
    /// A part of what a month costs for each 24 hours that have begun, if the outage lasts longer than so many hours.
    AfterOutage {
        hours: u64,
        parts_of_month: u64,
        /// In all.
        least_cents: u64,
    },
}

/// Full days after that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wait {
    Days(u32),
    /// Neither Saturdays nor Sundays.
    WorkingDays(u32),
}

/// What a day is worth from this one on: an amount, or a part of what a month costs if that is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Band {
    /// The first day that is paid is 1.
    from: i64,
    cents: u64,
    percent: u64,
}

/// How it stands with a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owing {
    /// It lasts, and the clock has not begun to run: report it.
    ReportNow,
    /// It is over, and nobody has said that it was reported.
    NotReported,
    /// Something is due if it lasts until then.
    Waits(Until),
    Due(Due),
    /// It was over before anything was due.
    Nothing,
}

/// From when on something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Day(Day),
    /// In milliseconds since 1970.
    Moment(u64),
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub amount: Money,
    /// For so many days.
    pub days: u64,
    /// It may be more: what a month costs is not known, and the rule goes by it.
    pub at_least: bool,
}

/// What a provider may owe for one loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compensation {
    pub loss: TotalLoss,
    /// The day on which it was reported.
    pub reported: Option<Day>,
    pub owing: Owing,
}

/// The rule of a country, if one is known.
#[must_use]
pub fn rule(country: Country) -> Option<Rule> {
    // A test reads the file, so that it is right.
    let rules: Vec<Rule> = serde_json::from_str(RULES).unwrap_or_default();
    rules.into_iter().find(|rule| rule.country == country)
}

/// What is agreed with a provider, as far as a rule goes by it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    pub monthly: Option<&'a Money>,
    /// On which day an outage was reported, by the configuration.
    pub reported: Option<Day>,
}

impl Rule {
    /// What it says of a loss. `day` says on which day a moment (in milliseconds since 1970) was where people are.
    #[must_use]
    pub fn compensation(
        &self,
        loss: TotalLoss,
        terms: &Terms<'_>,
        day: &dyn Fn(u64) -> Option<Day>,
    ) -> Option<Compensation> {
        let (first, last) = (day(loss.span.from)?, day(loss.span.to.saturating_sub(1))?);
        let by_file = terms.reported.filter(|told| (first..=last).contains(told));
        let reported = loss.reported.and_then(day).into_iter().chain(by_file).min();
        let monthly = terms.monthly.filter(|money| money.currency == self.currency);
        let owing = match &self.pays {
            Pays::AfterReport { wait, bands } => match reported {
                Some(told) => self.by_days(&loss, paid_from(*wait, told), last, (bands, monthly)),
                None if loss.end == End::GoesOn => Owing::ReportNow,
                None => Owing::NotReported,
            },
            Pays::AfterOutage { hours, parts_of_month, least_cents } => {
                let begins = loss.span.from + hours * HOUR;
                match loss.span.to > begins {
                    true => self.by_hours(&loss, monthly, (*parts_of_month, *least_cents)),
                    false if loss.end == End::GoesOn => Owing::Waits(Until::Moment(begins)),
                    false => Owing::Nothing,
                }
            }
        };
        Some(Compensation { loss, reported, owing })
    }

    /// Paid by the day, from the first day that counts to the last one of the loss.
    fn by_days(
        &self,
        loss: &TotalLoss,
        from: Day,
        last: Day,
        (bands, monthly): (&[Band], Option<&Money>),
    ) -> Owing {
        let days = (last.since(from) + 1).min(LONGEST);
        if days < 1 {
            let lasts = loss.end == End::GoesOn;
            return if lasts { Owing::Waits(Until::Day(from)) } else { Owing::Nothing };
        }
        let worth = |day: i64| {
            let band = bands.iter().rev().find(|band| band.from <= day);
            let part = |band: &Band| monthly.map_or(0, |month| month.cents * band.percent / 100);
            band.map_or(0, |band| band.cents.max(part(band)))
        };
        let by_month = bands.iter().any(|band| band.percent > 0);
        let due = self.due((1..=days).map(worth).sum(), days.unsigned_abs());
        Owing::Due(Due { at_least: by_month && monthly.is_none(), ..due })
    }

    /// Paid for each 24 hours that have begun.
    fn by_hours(
        &self,
        loss: &TotalLoss,
        monthly: Option<&Money>,
        (parts, least): (u64, u64),
    ) -> Owing {
        let days = loss.span.ms().div_ceil(24 * HOUR);
        let cents = monthly.map_or(0, |month| (month.cents * days + parts / 2) / parts.max(1));
        Owing::Due(Due { at_least: monthly.is_none(), ..self.due(cents.max(least), days) })
    }

    fn due(&self, cents: u64, days: u64) -> Due {
        Due { amount: Money { cents, currency: self.currency.clone() }, days, at_least: false }
    }
}

/// The first day that is paid for after a report.
fn paid_from(wait: Wait, reported: Day) -> Day {
    match wait {
        Wait::Days(days) => reported.plus(i32::try_from(days).unwrap_or(0) + 1),
        Wait::WorkingDays(days) => {
            let mut left = days;
            let mut day = reported;
            while left > 0 {
                day = day.plus(1);
                left -= u32::from(!day.is_weekend());
            }
            day.plus(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::span::Span;
    use super::*;

    /// A calendar without a zone.
    fn utc(ms: u64) -> Option<Day> {
        Day::from_days(i64::try_from(ms / (24 * HOUR)).ok()?)
    }

    /// `2026-11-16 10` and an hour.
    fn ms(text: &str) -> u64 {
        let (day, hour) = text.split_once(' ').unwrap();
        let days = Day::parse(day).unwrap().days().unsigned_abs();
        (days * 24 + hour.parse::<u64>().unwrap()) * HOUR
    }

    /// An outage that is over, or (`…`) goes on.
    fn loss(from: &str, to: &str, reported: Option<&str>) -> TotalLoss {
        let end = if to.ends_with('…') { End::GoesOn } else { End::Seen };
        let span = Span { from: ms(from), to: ms(to.trim_end_matches('…')) };
        TotalLoss { span, end, reported: reported.map(ms) }
    }

    fn monthly(cents: u64, currency: &str) -> Money {
        Money { cents, currency: currency.to_owned() }
    }

    fn owing(country: &str, loss: TotalLoss, month: Option<&Money>) -> String {
        let rule = rule(Country::parse(country).unwrap()).unwrap();
        let terms = Terms { monthly: month, reported: None };
        match rule.compensation(loss, &terms, &utc).unwrap().owing {
            Owing::ReportNow => "report now".to_owned(),
            Owing::NotReported => "not reported".to_owned(),
            Owing::Waits(Until::Day(day)) => format!("from {day}"),
            Owing::Waits(Until::Moment(at)) => format!("from {}", crate::time::Utc(at)),
            Owing::Nothing => "nothing".to_owned(),
            Owing::Due(due) => {
                let least = if due.at_least { "at least " } else { "" };
                format!("{least}{} for {}", due.amount, due.days)
            }
        }
    }

    #[test]
    fn every_rule_has_its_source_and_its_day() {
        let rules: Vec<Rule> = serde_json::from_str(RULES).unwrap();
        let countries: Vec<String> = rules.iter().map(|rule| rule.country.to_string()).collect();
        assert_eq!(countries, ["GB", "DE", "NL"]);
        for rule in rules {
            assert!(rule.sources.iter().all(|source| source.starts_with("https://")), "{rule:?}");
            assert!(!rule.sources.is_empty() && rule.read > rule.holds_from, "{rule:?}");
            if let Pays::AfterReport { bands, .. } = &rule.pays {
                assert!(bands.is_sorted_by(|a, b| a.from < b.from) && bands[0].from == 1);
            }
        }
        assert_eq!(rule(Country::parse("FR").unwrap()), None);
    }

    #[test]
    fn in_the_united_kingdom_two_full_working_days_are_free() {
        // 2026-11-16 is a Monday.
        let cases = [
            ("2026-11-16 9", "2026-11-16 12…", None, "report now"),
            ("2026-11-16 9", "2026-11-19 12", None, "not reported"),
            ("2026-11-16 9", "2026-11-16 12…", Some("2026-11-16 10"), "from 2026-11-19"),
            ("2026-11-16 9", "2026-11-19 0", Some("2026-11-16 10"), "nothing"),
            ("2026-11-16 9", "2026-11-19 1", Some("2026-11-16 10"), "10.34 GBP for 1"),
            ("2026-11-16 9", "2026-11-22 1", Some("2026-11-16 10"), "41.36 GBP for 4"),
            // Friday's two working days end on Tuesday, Saturday's and Sunday's as well.
            ("2026-11-20 9", "2026-11-25 5", Some("2026-11-20 10"), "10.34 GBP for 1"),
            ("2026-11-20 9", "2026-11-25 5", Some("2026-11-21 10"), "10.34 GBP for 1"),
            ("2026-11-20 9", "2026-11-25 5", Some("2026-11-22 10"), "10.34 GBP for 1"),
            ("2026-11-20 9", "2026-11-25 5", Some("2026-11-23 0"), "nothing"),
        ];
        for (from, to, reported, expected) in cases {
            let told = owing("GB", loss(from, to, reported), None);
            assert_eq!(told, expected, "{from} to {to}, reported {reported:?}");
        }
    }

    #[test]
    fn in_germany_days_three_and_four_are_worth_half_of_those_behind() {
        let (small, large) = (monthly(2999, "EUR"), monthly(9000, "EUR"));
        let reported = Some("2026-11-14 10");
        let of = |to: &str, month| owing("DE", loss("2026-11-14 9", to, reported), month);
        assert_eq!(of("2026-11-14 23…", Some(&small)), "from 2026-11-17");
        assert_eq!(of("2026-11-17 0", Some(&small)), "nothing");
        assert_eq!(of("2026-11-17 1", Some(&small)), "5.00 EUR for 1");
        assert_eq!(of("2026-11-18 23", Some(&small)), "10.00 EUR for 2");
        assert_eq!(of("2026-11-19 1", Some(&small)), "20.00 EUR for 3");
        assert_eq!(of("2026-11-19 1", Some(&large)), "36.00 EUR for 3", "9 + 9 + 18");
        assert_eq!(of("2026-11-19 1", None), "at least 20.00 EUR for 3");
        assert_eq!(of("2026-11-19 1", Some(&monthly(9000, "CHF"))), "at least 20.00 EUR for 3");
    }

    #[test]
    fn in_the_netherlands_the_outage_itself_counts() {
        let month = monthly(4650, "EUR");
        let of = |to: &str, month| owing("NL", loss("2026-11-14 0", to, None), month);
        assert_eq!(of("2026-11-14 12", Some(&month)), "nothing", "longer than twelve hours");
        assert_eq!(of("2026-11-14 12…", Some(&month)), "from 2026-11-14T12:00:00.000Z");
        assert_eq!(of("2026-11-14 13", Some(&month)), "1.55 EUR for 1");
        assert_eq!(of("2026-11-15 0", Some(&month)), "1.55 EUR for 1");
        assert_eq!(of("2026-11-15 2", Some(&month)), "3.10 EUR for 2");
        let small = monthly(1700, "EUR");
        assert_eq!(of("2026-11-14 14", Some(&small)), "1.00 EUR for 1", "the least");
        assert_eq!(of("2026-11-15 22", Some(&small)), "1.13 EUR for 2");
        assert_eq!(of("2026-11-15 22", None), "at least 1.00 EUR for 2");
    }

    #[test]
    fn a_day_of_the_configuration_counts_for_the_outage_in_which_it_lies() {
        let rule = rule(Country::parse("DE").unwrap()).unwrap();
        let outage = loss("2026-11-14 9", "2026-11-20 9", None);
        let of = |day: &str| {
            let terms = Terms { monthly: None, reported: Day::parse(day) };
            rule.compensation(outage, &terms, &utc).unwrap()
        };
        assert_eq!(of("2026-11-14").reported, Day::parse("2026-11-14"));
        assert!(matches!(of("2026-11-14").owing, Owing::Due(_)));
        for other in ["2026-11-13", "2026-11-21"] {
            assert_eq!(of(other).owing, Owing::NotReported, "{other}");
        }
    }
}
