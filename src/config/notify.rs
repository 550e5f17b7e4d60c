//! `[[notify]]`: who is told what, and when not.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::channel_url;
use super::channels::{NotifyConfig, Quiet, Service};
use super::nearest::nearest;
use super::notes::{Wrong, excerpt};
use super::raw::Section;
use super::value;
use crate::units::Severity;

/// More channels than these are a mistake of whoever made the file.
const MOST: usize = 16;

/// Reads all `[[notify]]` sections.
pub(super) fn all(sections: Vec<Section<'_>>) -> Vec<NotifyConfig> {
    if let Some(surplus) = sections.get(MOST) {
        let text = format!("these are {} channels, and there can be {MOST}", sections.len());
        surplus.notes().push(surplus.at(), text, "leave out the last ones");
    }
    let mut channels: Vec<NotifyConfig> = Vec::new();
    for section in sections.into_iter().take(MOST) {
        let mut channel = one(section);
        let word = channel.to.word();
        let same = channels.iter().filter(|other| other.to.word() == word).count();
        channel.name = if same == 0 { word.to_owned() } else { format!("{word}-{}", same + 1) };
        channels.push(channel);
    }
    channels
}

fn one(mut section: Section<'_>) -> NotifyConfig {
    const EXAMPLE: &str = "add to = \"ntfy://ntfy.sh/our-house-7f3k\"";
    let to = section.read("to", service);
    if !section.has_like("to") {
        section.missing("this channel leads nowhere", EXAMPLE);
    }
    let secret_file = section.read("secret_file", file_or_name).map(Spanned::into_inner);
    if let Some(to) = &to
        && to.get_ref().lacks_secret()
        && !section.has_like("secret_file")
    {
        let hint = "write it into the URL, or name a file with secret_file = \"…\"";
        section.notes().push(to.span().start, "to: the secret is missing", hint);
    }
    let config = NotifyConfig {
        name: String::new(),
        min: section.read_or("min", least, Severity::Warning),
        quiet: section.read("quiet", quiet).map(Spanned::into_inner),
        secret_file,
        to: to.map(Spanned::into_inner).unwrap_or(Service::Exec { program: PathBuf::new() }),
    };
    section.finish();
    config
}

fn service(value: &DeValue<'_>) -> Result<Service, Wrong> {
    let url = value::string(value, "\"ntfy://ntfy.sh/our-house-7f3k\"")?;
    channel_url::parse(url).map_err(|unfit| Wrong::new(unfit.text, unfit.hint))
}

fn least(value: &DeValue<'_>) -> Result<Severity, Wrong> {
    const WORDS: [Severity; 3] = [Severity::Notice, Severity::Warning, Severity::Critical];
    let text = value::string(value, "\"warning\"")?;
    WORDS.into_iter().find(|known| known.word() == text).ok_or_else(|| {
        let near = nearest(text, WORDS.map(Severity::word));
        let hint = near.map_or_else(
            || "write \"notice\", \"warning\" or \"critical\"".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        Wrong::new(format!("{:?} is not a severity of messages", excerpt(text)), hint)
    })
}

fn quiet(value: &DeValue<'_>) -> Result<Quiet, Wrong> {
    const HINT: &str = "hours look like \"22:00-07:00\", in local time";
    let text = value::string(value, "\"22:00-07:00\"")?;
    let minute = |text: &str| -> Option<u16> {
        let (hour, minute) = text.trim().split_once(':')?;
        let two = |digits: &str| {
            let plain = (1..=2).contains(&digits.len());
            digits.parse::<u16>().ok().filter(|_| plain && !digits.starts_with('+'))
        };
        let (hour, minute) = (two(hour)?, two(minute)?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    };
    let hours = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
    match hours {
        Some((from, to)) if from == to => {
            Err(Wrong::new("these hours are none, or the whole day", HINT))
        }
        Some((from, to)) => Ok(Quiet { from, to }),
        None => Err(Wrong::new(format!("{:?} are not hours of a day", excerpt(text)), HINT)),
    }
}

fn file_or_name(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    const HINT: &str = "a full path, or the name of a systemd credential or of a file in \
                        /var/lib/sparelink/secrets";
    let text = value::string(value, "\"ntfy-token\"")?;
    let name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if (name && !text.starts_with('.')) || (text.starts_with('/') && !text.contains('\0')) {
        return Ok(PathBuf::from(text));
    }
    Err(Wrong::new(format!("{:?} is not a file", excerpt(text)), HINT))
}
