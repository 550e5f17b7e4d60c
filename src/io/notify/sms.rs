//! A message as one SMS (3GPP TS 23.038): each part costs, so that there is one; and one letter that the default
//! alphabet does not have would make it 70 letters instead of 160.

use super::outbox::Kept;

/// Of seven bits, in one part.
const SEPTETS: usize = 160;
/// What stands for the rest.
const MORE: &str = "...";
/// As many last digits make two numbers the same.
const SAME: usize = 9;
const SHORTEST: usize = 3;

/// The text, in plain ASCII.
pub(super) fn text(message: &Kept) -> String {
    let Kept { title, text, next, .. } = message;
    let seen = message.reply.as_ref();
    let seen =
        seen.map_or_else(String::new, |reply| format!("Answer {reply} if you have seen it."));
    let withheld = message.withheld_words().unwrap_or_default();
    let words = [&format!("{title}."), &seen, &withheld, text, next];
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

/// Whether a text from this sender is the answer: what people write around the number is theirs.
pub(super) fn is_answer(to: &str, sender: &str, text: &str, reply: &str) -> bool {
    let digits = |number: &str| number.chars().filter(char::is_ascii_digit).collect::<String>();
    let (to, sender) = (digits(to), digits(sender));
    // One is written as at home, the other with the country's code.
    let same = to.len().min(sender.len()).min(SAME);
    let is_same = same >= SHORTEST && to[to.len() - same..] == sender[sender.len() - same..];
    is_same && text.split(|c: char| !c.is_ascii_digit()).any(|number| number == reply)
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
            reply: None,
            withheld,
        }
    }

    #[test]
    fn an_answer_has_the_sender_and_the_number() {
        let to = "+4915112345678";
        for (sender, text, is) in [
            (to, "4711", true),
            ("+49 151 12345678", "ok 4711!", true),
            ("015112345678", "Habe ich gesehen (4711)", true),
            ("+4915112345679", "4711", false),
            (to, "47112", false),
            (to, "", false),
            ("", "4711", false),
            ("78", "4711", false),
        ] {
            assert_eq!(is_answer(to, sender, text, "4711"), is, "{sender} {text}");
        }
        let mut asked = message("No Internet since 14:00", "No uplink works.", 0);
        asked.reply = Some("4711".to_owned());
        assert!(text(&asked).starts_with(
            "No Internet since 14:00. Answer 4711 if you have seen it. No uplink works."
        ));
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
