//! `[[notify]]`: who is told what, and when not.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::channel_url;
use super::channels::{Escalation, Hilink, NotifyConfig, Quiet, Service};
use super::model::UplinkConfig;
use super::nearest::nearest;
use super::notes::{Notes, Wrong, excerpt};
use super::raw::{Section, plain};
use super::template::{template, verb};
use super::value;
use crate::units::Severity;

/// More channels than these are a mistake of whoever made the file.
const MOST: usize = 16;

/// Who is next is told after so long, if nobody has seen what is critical.
const AFTER: Duration = Duration::from_secs(5 * 60);
const SOONEST: Duration = Duration::from_secs(1);

/// Reads all `[[notify]]` sections; some name one of these uplinks. Those to whom it escalates are channels, too,
/// behind all others.
pub(super) fn all(sections: Vec<Section<'_>>, uplinks: &[&UplinkConfig]) -> Vec<NotifyConfig> {
    if let Some(surplus) = sections.get(MOST) {
        let text = format!("these are {} channels, and there can be {MOST}", sections.len());
        surplus.notes().push(surplus.at(), text, "leave out the last ones");
    }
    let (mut channels, mut escalations) = (Vec::new(), Vec::new());
    for section in sections.into_iter().take(MOST) {
        let (own, next, after) = one(section, uplinks);
        let mut first: Option<String> = None;
        for mut channel in own {
            channel.name = name(&channels, &channel.to);
            first.get_or_insert_with(|| channel.name.clone());
            channels.push(channel);
        }
        for (n, readers) in (1..).zip(next) {
            let of = first.clone().unwrap_or_default();
            let escalation = Escalation { of, after: after * n };
            escalations.extend(readers.into_iter().map(|to| {
                let escalation = Some(escalation.clone());
                NotifyConfig { escalation, ..plain_channel(to) }
            }));
        }
    }
    for mut channel in escalations {
        channel.name = name(&channels, &channel.to);
        channels.push(channel);
    }
    channels
}

/// The word for its kind, with a number from the second of a kind on.
fn name(channels: &[NotifyConfig], to: &Service) -> String {
    let word = to.word();
    match channels.iter().filter(|other| other.to.word() == word).count() {
        0 => word.to_owned(),
        same => format!("{word}-{}", same + 1),
    }
}

fn plain_channel(to: Service) -> NotifyConfig {
    let (name, min) = (String::new(), Severity::Critical);
    NotifyConfig { name, to, min, quiet: None, secret_file: None, escalation: None }
}

/// The channels of a section (as many as a mail has readers, as each is a delivery of its own), who is next, and
/// after how long.
fn one(
    mut section: Section<'_>,
    uplinks: &[&UplinkConfig],
) -> (Vec<NotifyConfig>, Vec<Vec<Service>>, Duration) {
    const EXAMPLE: &str = "add to = \"ntfy://ntfy.sh/our-house-7f3k\"";
    let mut to = section.read("to", services);
    if !section.has_like("to") {
        section.missing("this channel leads nowhere", EXAMPLE);
    }
    let secret_file = section.read("secret_file", file_or_name).map(Spanned::into_inner);
    if let Some(to) = &to
        && to.get_ref().iter().any(Service::lacks_secret)
        && !section.has_like("secret_file")
    {
        let hint = "write it into the URL, or name a file with secret_file = \"…\"";
        section.notes().push(to.span().start, "to: the secret is missing", hint);
    }
    if let Some(to) = &mut to {
        let at = to.span().start;
        to.as_mut().iter_mut().for_each(|to| leads_by(to, uplinks, at, section.notes()));
    }
    if let Some(to) = &mut to {
        to.as_mut().iter_mut().for_each(|to| words_of_its_own(to, &mut section));
    }
    let min = section.read_or("min", least, Severity::Warning);
    let quiet = section.read("quiet", quiet).map(Spanned::into_inner);
    let mut next = plain(section.list("escalate", next_one));
    let at = section.at();
    next.iter_mut().flatten().for_each(|to| leads_by(to, uplinks, at, section.notes()));
    let after = section.read("after", after);
    if let Some(after) = &after
        && !section.has_like("escalate")
    {
        let hint = "add escalate = [\"…\"]: who is told if nobody has seen a critical message";
        section.notes().push(after.span().start, "after: nobody is told then", hint);
    }
    section.finish();
    let channel = |to| {
        let secret_file = secret_file.clone();
        NotifyConfig { min, quiet, secret_file, ..plain_channel(to) }
    };
    let to = to.map(Spanned::into_inner).unwrap_or_default();
    (to.into_iter().map(channel).collect(), next, after.map_or(AFTER, Spanned::into_inner))
}

/// What a webhook is sent in place of our own JSON.
fn words_of_its_own(to: &mut Service, section: &mut Section<'_>) {
    let (body, verb) = (section.read("body", template), section.read("method", verb));
    if let Service::Webhook(to) = to {
        to.template = body.map(Spanned::into_inner);
        to.verb = verb.map(Spanned::into_inner).unwrap_or_default();
        return;
    }
    let starts = [body.map(|body| body.span().start), verb.map(|verb| verb.span().start)];
    if let Some(at) = starts.into_iter().flatten().min() {
        let text = "body, method: only a webhook has them";
        section.notes().push(at, text, "they belong to json:// and jsons://");
    }
}

/// Finds the uplink by which a channel leads, if it says one.
fn leads_by(to: &mut Service, uplinks: &[&UplinkConfig], at: usize, notes: &Notes<'_>) {
    let Service::Hilink(Hilink { uplink, interface, .. }) = to else { return };
    if let Some(found) = uplinks.iter().find(|known| known.name == *uplink) {
        interface.clone_from(&found.device.interface);
        return;
    }
    let names = || uplinks.iter().map(|known| known.name.as_str());
    let hint = nearest(uplink, names()).map_or_else(
        || format!("the uplinks are {}", names().collect::<Vec<_>>().join(", ")),
        |near| format!("did you mean {near}?"),
    );
    notes.push(at, format!("to: there is no uplink {}", excerpt(uplink)), hint);
}

fn services(value: &DeValue<'_>) -> Result<Vec<Service>, Wrong> {
    let url = value::string(value, "\"ntfy://ntfy.sh/our-house-7f3k\"")?;
    channel_url::parse(url).map_err(|unfit| Wrong::new(unfit.text, unfit.hint))
}

/// One of those to whom it escalates. There is no file for its secret.
fn next_one(value: &DeValue<'_>) -> Result<Vec<Service>, Wrong> {
    let to = services(value)?;
    if to.iter().any(Service::lacks_secret) {
        return Err(Wrong::new("the secret is missing", "write it into the URL"));
    }
    Ok(to)
}

fn after(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let after = value::duration(value)?;
    if after < SOONEST {
        return Err(Wrong::new("nobody can see it so soon", "for example \"5m\""));
    }
    Ok(after)
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

pub(super) fn file_or_name(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    const HINT: &str = "a full path, or the name of a systemd credential or of a file in \
                        /var/lib/sparelink/secrets";
    let text = value::string(value, "\"ntfy-token\"")?;
    let name = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    if (name && !text.starts_with('.'))
        || (text.starts_with('/') && !text.contains(char::is_control))
    {
        return Ok(PathBuf::from(text));
    }
    Err(Wrong::new(format!("{:?} is not a file", excerpt(text)), HINT))
}
