//! `[time]`: in which zone people live.

use toml::Spanned;
use toml::de::DeValue;

use super::notes::{Wrong, excerpt};
use super::raw::Section;
use super::value;

pub(super) fn zone(section: Option<Section<'_>>) -> Option<String> {
    let mut section = section?;
    let zone = section.read("zone", one).map(Spanned::into_inner);
    section.finish();
    zone
}

/// A name of the time zone database, or a rule of POSIX (`TZ`, section 8.3 of the base definitions), which needs no
/// database.
fn one(value: &DeValue<'_>) -> Result<String, Wrong> {
    const HINT: &str =
        "for example \"Europe/Berlin\", or a rule such as \"CET-1CEST,M3.5.0,M10.5.0/3\"";
    let text = value::string(value, "\"Europe/Berlin\"")?;
    if matches!(text, "UTC" | "GMT") {
        return Ok("UTC0".to_owned());
    }
    if is_name(text) || is_rule(text) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(format!("{:?} is not a time zone", excerpt(text)), HINT))
}

/// `Europe/Berlin`, `America/Argentina/Salta`.
fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+');
    let parts = || text.split('/');
    (2..=3).contains(&parts().count())
        && parts().all(|p| p.starts_with(|c: char| c.is_ascii_uppercase()) && p.bytes().all(plain))
}

/// A name, an offset, and what rules the summer. The C library reads the rest.
fn is_rule(text: &str) -> bool {
    let (standard, summer) = text.split_once(',').map_or((text, ""), |(zone, rest)| (zone, rest));
    let name = |text: &'_ str| {
        let end = if text.starts_with('<') {
            text.find('>').map(|at| at + 1)
        } else {
            Some(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()))
        };
        end.filter(|end| *end >= 3)
    };
    let Some(end) = name(standard) else { return false };
    let rest = &standard[end..];
    let digits = rest.trim_start_matches(['+', '-']);
    let offset = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let summers = &digits[offset..];
    let plain = |b: u8| b.is_ascii_alphanumeric() || b",./:+-<>".contains(&b);
    offset > 0
        && text.len() < 100
        && text.bytes().all(plain)
        && (summers.is_empty() && summer.is_empty() || name(summers).is_some())
        && (summer.is_empty() || summer.split(',').count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_told_from_what_is_none() {
        for zone in [
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+3",
            "UTC0",
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "<+0330>-3:30",
            "EST5EDT,M3.2.0,M11.1.0",
            "CET-1CEST",
        ] {
            assert!(is_name(zone) || is_rule(zone), "{zone}");
        }
        for wrong in
            ["", "Berlin", "CET", "/etc/passwd", "../../x", "Europe/", "CET-1CEST,M3.5.0", "a b"]
        {
            assert!(!is_name(wrong) && !is_rule(wrong), "{wrong}");
        }
    }
}
