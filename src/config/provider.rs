//! `provider = { … }` of an uplink: whom to call when it is down, and what for.

use toml::Spanned;
use toml::de::DeValue;

use super::contract::{Country, Money, Provider};
use super::notes::{Wrong, excerpt};
use super::raw::Section;
use super::value;
use crate::time::day::Day;

/// The longest text, in characters: what fits into a line of the report.
const LONGEST: usize = 64;
const EXAMPLE: &str = "provider = { name = \"Example Cable\" }";
/// What no bill of a line says.
const MOST_UNITS: u64 = 100_000;
/// Signs that people write for a currency, and its code (ISO 4217).
const SIGNS: [(&str, &str); 4] = [("€", "EUR"), ("£", "GBP"), ("zł", "PLN"), ("Kč", "CZK")];

/// Who provides an uplink, if the file says so.
pub(super) fn provider(uplink: &mut Section<'_>) -> Option<Provider> {
    let mut section = uplink.section("provider", EXAMPLE)?;
    let name = section.read("name", text).map(Spanned::into_inner);
    if !section.has_like("name") {
        section.missing("provider: it has no name", "add name = \"Example Cable\"");
    }
    let account = section.read("account", text).map(Spanned::into_inner);
    let phone = section.read("phone", phone).map(Spanned::into_inner);
    let country = section.read("country", country).map(Spanned::into_inner);
    let monthly = section.read("monthly", money).map(Spanned::into_inner);
    let reported = section.read("reported", day).map(Spanned::into_inner);
    section.finish();
    Some(Provider {
        name: name?,
        account: account.map(Into::into),
        phone,
        country,
        monthly,
        reported,
    })
}

fn text(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = value::string(value, "\"Example Cable\"")?.trim();
    if text.is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(Wrong::new("this cannot be shown", "one line of 1 to 64 characters"));
    }
    Ok(text.to_owned())
}

fn phone(value: &DeValue<'_>) -> Result<String, Wrong> {
    const HINT: &str = "for example \"+44 800 1234\"";
    let number = value::string(value, "\"+44 800 1234\", in quotes")?.trim();
    let plain = |c: char| c.is_ascii_digit() || " +-/().*#".contains(c);
    let digits = number.chars().filter(char::is_ascii_digit).count();
    if number.chars().all(plain) && (3..=20).contains(&digits) && number.len() <= LONGEST {
        return Ok(number.to_owned());
    }
    Err(Wrong::new(format!("{:?} is not a telephone number", excerpt(number)), HINT))
}

fn country(value: &DeValue<'_>) -> Result<Country, Wrong> {
    const HINT: &str = "two letters of ISO 3166, such as GB, DE or NL";
    let code = value::string(value, "\"GB\"")?.trim();
    Country::parse(code)
        .ok_or_else(|| Wrong::new(format!("{:?} is not a country", excerpt(code)), HINT))
}

/// `39.90 EUR`, as the bill says it.
fn money(value: &DeValue<'_>) -> Result<Money, Wrong> {
    const HINT: &str = "amount and currency, for example \"39.90 EUR\"";
    let text = value::string(value, "\"39.90 EUR\", in quotes")?.trim();
    let wrong = || Wrong::new(format!("{:?} is not an amount of money", excerpt(text)), HINT);
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
    let first = text.find(is_number).ok_or_else(wrong)?;
    let last = text.rfind(is_number).ok_or_else(wrong)?;
    let (before, number, after) = (&text[..first], &text[first..=last], &text[last + 1..]);
    let currency = match (before.trim(), after.trim()) {
        ("", "") => return Err(Wrong::new("this amount has no currency", HINT)),
        (code, "") | ("", code) => code,
        _ => return Err(wrong()),
    };
    let sign = SIGNS.iter().find(|(sign, _)| *sign == currency).map(|(_, code)| *code);
    let currency = sign.unwrap_or(currency);
    let is_code = currency.len() == 3 && currency.chars().all(|c| c.is_ascii_alphabetic());
    let (units, cents) = number.split_once(['.', ',']).unwrap_or((number, "00"));
    let is_amount = cents.len() == 2 && !units.is_empty();
    let parsed = units.parse::<u64>().ok().zip(cents.parse::<u64>().ok());
    let (units, cents) = parsed
        .filter(|(units, _)| is_code && is_amount && *units <= MOST_UNITS)
        .ok_or_else(wrong)?;
    Ok(Money { cents: units * 100 + cents, currency: currency.to_ascii_uppercase() })
}

/// A day, as TOML's own kind or in quotes.
fn day(value: &DeValue<'_>) -> Result<Day, Wrong> {
    const HINT: &str = "for example reported = 2026-11-17";
    let text = if let DeValue::Datetime(date) = value {
        date.to_string()
    } else {
        value::string(value, "2026-11-17")?.to_owned()
    };
    Day::parse(text.trim())
        .ok_or_else(|| Wrong::new(format!("{:?} is not a day", excerpt(&text)), HINT))
}
