//! Why the traffic goes where it goes, and what comes next: an answer in every state.

use super::document::{Status, Uplink};

/// Behind which label an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Why,
    Next,
    /// What else is not as it should be.
    Also,
    /// What a person wrote.
    Note,
}

impl Label {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Why => "Why:",
            Self::Next => "Next:",
            Self::Also => "Also:",
            Self::Note => "Note:",
        }
    }
}

/// Every answer with its label, in the order in which they are read. There is always a why and a next.
pub(super) fn answers(status: &Status) -> [(Label, Vec<String>); 4] {
    let noted = |uplink: &Uplink| {
        let note = uplink.note.as_ref()?;
        Some(format!("{}: {}", uplink.name, note.with_countdown()))
    };
    [
        (Label::Why, why(status)),
        (Label::Next, next(status)),
        (Label::Also, also(status)),
        (Label::Note, status.uplinks.iter().filter_map(noted).collect()),
    ]
}

/// The uplink in use and its place in the chain; IPv4 speaks for the box.
fn in_use(status: &Status) -> Option<(usize, &Uplink)> {
    let named = status.active.as_ref().or(status.active6.as_ref());
    let is_it = |uplink: &Uplink| match named {
        Some(name) => uplink.name == *name,
        None => uplink.role == "active",
    };
    status.uplinks.iter().enumerate().find(|(_, uplink)| is_it(uplink))
}

/// The uplinks that come before the one in use; all of them where none works.
fn before(status: &Status) -> &[Uplink] {
    let end = in_use(status).filter(|_| status.works()).map(|(place, _)| place);
    status.uplinks.get(..end.unwrap_or(status.uplinks.len())).unwrap_or_default()
}

/// Why the uplink in use is the one, or why none works.
pub(in crate::cli) fn why(status: &Status) -> Vec<String> {
    if status.uplinks.is_empty() {
        return vec!["the configuration names no uplink".to_owned()];
    }
    let passed_over = before(status);
    let Some((_, uplink)) = in_use(status).filter(|_| status.works()) else {
        return passed_over.iter().map(explained).collect();
    };
    let name = &uplink.name;
    if let Some(preferred) = &status.manual {
        let person =
            format!("{preferred} is preferred manually; `sparelink switch auto` ends that");
        let troubled = passed_over.iter().filter(|uplink| !uplink.is_fine()).map(explained);
        return std::iter::once(person).chain(troubled).collect();
    }
    if passed_over.is_empty() {
        let place =
            if status.uplinks.len() == 1 { "the only uplink" } else { "first in the chain" };
        let flaw = flaw(uplink).map(|flaw| format!("; {flaw}")).unwrap_or_default();
        return vec![format!("{name} is {place}{flaw}")];
    }
    // The agent explains a first one that works with the one in use, unless that has a trouble of its own to tell.
    let is_well = matches!(uplink.condition.as_str(), "ok" | "");
    let own = uplink.reason.as_deref().filter(|reason| is_well && !reason.is_empty());
    let of = |(place, uplink): (usize, &Uplink)| match own.filter(|_| place == 0) {
        Some(reason) if uplink.is_fine() => reason.to_owned(),
        _ => explained(uplink),
    };
    passed_over.iter().enumerate().map(of).collect()
}

/// What is amiss with an uplink in use, as far as the agent says more than that it works.
fn flaw(uplink: &Uplink) -> Option<&str> {
    let reason = uplink.reason.as_deref()?;
    let rest = reason.strip_prefix("works").map_or(reason, |rest| rest.trim_start_matches("; "));
    Some(rest).filter(|rest| !rest.is_empty())
}

/// `cable has no Internet behind its modem`, `mifi: paused by a person`.
fn explained(uplink: &Uplink) -> String {
    let reason = uplink.reason.as_deref().filter(|reason| !reason.is_empty());
    // Of a condition the agent says what the uplink does, of all else what it is.
    let is_verb = matches!(uplink.role.as_str(), "active" | "not_ready")
        && !matches!(uplink.condition.as_str(), "ok" | "");
    let joint = if is_verb { " " } else { ": " };
    format!("{}{joint}{}", uplink.name, reason.unwrap_or("not told"))
}

fn next(status: &Status) -> Vec<String> {
    if status.uplinks.is_empty() {
        return vec!["add an [[uplink]] to the configuration, then `sparelink reload`".to_owned()];
    }
    let mut all: Vec<String> = before(status)
        .iter()
        .filter(|uplink| !uplink.is_fine() || moves(uplink))
        .filter_map(coming)
        .collect();
    // Old connections that end elsewhere.
    let rest = status.uplinks.iter().skip(before(status).len());
    all.extend(rest.filter(|uplink| uplink.role == "ready").filter_map(coming));
    match in_use(status).filter(|_| status.works()) {
        Some((_, uplink)) => all.push(if_it_fails(status, &uplink.name)),
        None => {
            let paused = status.uplinks.iter().all(|uplink| uplink.role == "paused");
            // Of each the same would be said.
            all.retain(|text| !text.contains(RETRIED));
            all.push(if paused {
                "nothing, until one of them is used again".to_owned()
            } else {
                "all that are not paused are retried; the first that works is used".to_owned()
            });
        }
    }
    all
}

/// How the agent says that it asks again.
const RETRIED: &str = "retried";

/// Whether it will get the traffic.
fn moves(uplink: &Uplink) -> bool {
    uplink.next.as_deref().is_some_and(|next| next.starts_with("takes over"))
}

/// What comes next on an uplink, in the agent's words.
fn coming(uplink: &Uplink) -> Option<String> {
    let next = uplink.next.as_deref().filter(|next| !next.is_empty())?;
    let name = &uplink.name;
    Some(if uplink.role == "paused" && next.starts_with("until") {
        format!("{name} stays paused until `sparelink resume {name}`")
    } else if moves(uplink) {
        format!("{name} {next}")
    } else {
        format!("{name}: {next}")
    })
}

/// Which spare, should the one in use die.
fn if_it_fails(status: &Status, name: &str) -> String {
    match status.uplinks.iter().find(|uplink| uplink.role == "ready") {
        Some(spare) => format!("if {name} fails, {} takes over", spare.name),
        None if status.uplinks.len() == 1 => format!("if {name} fails, there is no other uplink"),
        None => format!("if {name} fails, nothing else is ready"),
    }
}

/// What is wrong with those that no other answer speaks of, and what comes of it.
fn also(status: &Status) -> Vec<String> {
    let told = before(status).len();
    let first = if told == 0 && status.works() { 1 } else { told };
    let rest = status.uplinks.iter().skip(first).filter(|uplink| !uplink.is_fine());
    let words = |uplink: &Uplink| {
        let next = uplink.next.as_deref().filter(|next| !next.is_empty());
        explained(uplink) + &next.map(|next| format!("; {next}")).unwrap_or_default()
    };
    rest.map(words).collect()
}
