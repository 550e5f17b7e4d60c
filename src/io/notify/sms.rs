//! A message as one SMS (3GPP TS 23.038): each part costs, so that there is one; and one letter that the default
//! alphabet does not have would make it 70 letters instead of 160.

use super::outbox::Kept;

/// Of seven bits, in one part.
const SEPTETS: usize = 160;
/// What stands for the rest.
const MORE: &str = "...";

/// The text, in plain ASCII.
pub(super) fn text(message: &Kept) -> String {
    let Kept { title, text, next, .. } = message;
    let withheld = message.withheld_words().unwrap_or_default();
    let words = [&format!("{title}."), &withheld, text, next];
    let words: Vec<&str> = words.iter().flat_map(|words| words.split_whitespace()).collect();
    let plain: String = words.join(" ").chars().map(plain).collect();
    if septets(&plain) <= SEPTETS {
        return plain;
    }
    let mut cut = String::new();
    for c in plain.chars() {
        if septets(&cut) + cost(c) + MORE.len() > SEPTETS {
            break;
        }
        cut.push(c);
    }
    cut.trim_end().to_owned() + MORE
}

fn septets(text: &str) -> usize {
    text.chars().map(cost).sum()
}

/// Some stand in a second table and cost two.
const fn cost(c: char) -> usize {
    if matches!(c, '^' | '{' | '}' | '\\' | '[' | ']' | '~' | '|') { 2 } else { 1 }
}

/// What everybody can read, with the letters that there are.
fn plain(c: char) -> String {
    let text = match c {
        // Not in the default alphabet at all.
        '`' | '‘' | '’' => "'",
        ' '..='~' => return c.to_string(),
        '‐'..='—' | '−' => "-",
        '…' => "...",
        '“' | '”' | '„' => "\"",
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'Ä' => "Ae",
        'Ö' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' => "o",
        'ù' | 'ú' | 'û' => "u",
        'ç' => "c",
        'ñ' => "n",
        _ if c.is_control() => "",
        _ => "?",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::units::Severity;

    fn message(title: &str, text: &str, withheld: usize) -> Kept {
        Kept {
            id: "a-1".to_owned(),
            story: "a".to_owned(),
            event: "test".to_owned(),
            severity: Severity::Critical,
            title: title.to_owned(),
            text: text.to_owned(),
            next: "Left to fall back on: phone.".to_owned(),
            at: None,
            uplink: None,
            digest: false,
            to: BTreeSet::new(),
            ack: None,
            withheld,
        }
    }

    #[test]
    fn a_message_is_one_sms() {
        let sms = text(&message(
            "No Internet 14:00–14:20",
            "20 min without Internet.\nMüller’s “mifi” [2]…",
            0,
        ));
        assert_eq!(
            sms,
            "No Internet 14:00-14:20. 20 min without Internet. Mueller's \"mifi\" [2]... Left to fall back on: phone."
        );
        let sms = text(&message("日本", "", 3));
        assert_eq!(
            sms,
            "??. 3 messages were withheld, as too many came. Left to fall back on: phone."
        );
        for (filler, letters) in [("a", 160), ("[", 86), ("`", 160)] {
            let sms = text(&message("Title", &filler.repeat(400), 0));
            assert!(sms.is_ascii() && !sms.contains('`') && sms.ends_with("..."), "{sms}");
            assert!((letters - 2..=letters).contains(&sms.len()), "{} {sms}", sms.len());
            assert!((159..=160).contains(&septets(&sms)), "{sms}");
        }
    }
}
