//! Which part of the history a request asks for: `?n=20&since=2026-11-01T00:00:00Z&uplink=mifi`.

use crate::engine::events::entry::Wanted;
use crate::time::Utc;
use crate::units::Severity;

/// What the part after the question mark says.
///
/// # Errors
///
/// In one sentence, when it says nothing that can be meant.
pub(super) fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or("the address is not UTF-8 text")?;
        let number = || value.parse::<u64>().map_err(|_| format!("{key} must be a number"));
        match key {
            "n" => wanted.last = usize::try_from(number()?).unwrap_or(usize::MAX),
            "after" => wanted.after = number()?,
            "since" => wanted.since = Some(moment(&value)?),
            "uplink" => wanted.uplink = Some(value),
            "severity" => wanted.least = least(&value)?,
            _ => {
                return Err(
                    "the history can be asked for n, since, after, uplink and severity".into()
                );
            }
        }
    }
    Ok(wanted)
}

/// RFC 3339, or milliseconds since 1970.
fn moment(text: &str) -> Result<Utc, String> {
    let milliseconds = text.parse().ok().map(Utc);
    let known = milliseconds.or_else(|| Utc::parse(text));
    known.ok_or_else(|| "since must be a time such as 2026-11-01T00:00:00Z".to_owned())
}

fn least(word: &str) -> Result<Severity, String> {
    let wrong = || "severity must be debug, info, notice, warning or critical".to_owned();
    Severity::from_word(word).ok_or_else(wrong)
}

/// The text without the escapes of an address (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            b'+' => b' ',
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_asked_for_in_an_address() {
        assert_eq!(wanted("").unwrap(), Wanted::default());
        let all =
            wanted("n=5&since=2023-11-14T22%3A13%3A20Z&uplink=my+m%C3%BCll&after=7&severity=info");
        let expected = Wanted {
            last: 5,
            since: Some(Utc(1_700_000_000_000)),
            after: 7,
            uplink: Some("my müll".to_owned()),
            least: Severity::Info,
        };
        assert_eq!(all.unwrap(), expected);
        assert_eq!(wanted("since=1700000000000").unwrap().since, expected.since);
        for wrong in
            ["n=many", "since=noon", "severity=loud", "page=2", "uplink=%zz", "uplink=%ff", "n"]
        {
            let words = wanted(wrong).unwrap_err();
            assert!(!words.is_empty() && !words.contains('\n'), "{wrong}: {words}");
        }
    }
}
