//! What a webhook is sent in place of our own document: the words of services that nobody here knows.

use toml::de::DeValue;

use super::channels::{BodyKind, Template, Verb};
use super::notes::{Wrong, excerpt};
use super::value;

/// What can stand between braces.
const PLACES: [&str; 10] =
    ["title", "text", "next", "message", "severity", "uplink", "id", "story", "at", "ack"];
/// More than any service takes.
const LONGEST: usize = 4096;

/// Puts values into the places of a text. Braces around anything else stay.
#[must_use]
pub fn fill(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let place = place(rest).and_then(|place| Some((place, value(place)?)));
        match place {
            Some((place, value)) => {
                filled.push_str(&value);
                rest = &rest[place.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

/// The word between braces with which a text begins.
fn place(text: &str) -> Option<&str> {
    let (word, _) = text.strip_prefix('{')?.split_once('}')?;
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())).then_some(word)
}

/// A text within a string of JSON.
#[must_use]
pub fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

pub(super) fn template(value: &DeValue<'_>) -> Result<Template, Wrong> {
    let body = value::string(value, "'{\"text\": \"{title}: {message}\"}'")?;
    if body.len() > LONGEST {
        return Err(Wrong::new("this body is too long", "at most 4096 bytes"));
    }
    let mut rest = body;
    while let Some(open) = rest.find('{') {
        rest = &rest[open..];
        if let Some(word) = place(rest).filter(|word| !PLACES.contains(word)) {
            let hint = format!("known are {{{}}}", PLACES.join("}, {"));
            return Err(Wrong::new(format!("there is no {{{}}}", excerpt(word)), hint));
        }
        rest = &rest[1..];
    }
    let kind =
        if body.trim_start().starts_with(['{', '[']) { BodyKind::Json } else { BodyKind::Form };
    let filled = fill(body, &|_| Some("a \\\"b\\\"\\n".to_owned()));
    match kind {
        BodyKind::Json if serde_json::from_str::<serde_json::Value>(&filled).is_err() => {
            let hint = "places stand within quotes: '{\"text\": \"{title}: {message}\"}'";
            Err(Wrong::new("this is not JSON once it is filled", hint))
        }
        BodyKind::Form if !body.contains('=') || body.contains(char::is_whitespace) => {
            let hint = "JSON begins with {, a form looks like To=%2B4915112345678&Body={title}";
            Err(Wrong::new("this is neither JSON nor a form", hint))
        }
        BodyKind::Json | BodyKind::Form => Ok(Template { kind, body: body.to_owned().into() }),
    }
}

pub(super) fn verb(value: &DeValue<'_>) -> Result<Verb, Wrong> {
    match value::string(value, "\"PUT\"")? {
        "POST" => Ok(Verb::Post),
        "PUT" => Ok(Verb::Put),
        other => {
            let text = format!("{:?} is not a method of webhooks", excerpt(other));
            Err(Wrong::new(text, "write \"POST\" or \"PUT\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        let value = |place: &str| (place == "title").then(|| in_json("a \"b\"\n{text}"));
        assert_eq!(
            fill("{\"a\": \"{title}\", \"b\": {\"c\": \"{x}\"}, \"d\": \"{", &value),
            "{\"a\": \"a \\\"b\\\"\\n{text}\", \"b\": {\"c\": \"{x}\"}, \"d\": \"{"
        );
    }
}
