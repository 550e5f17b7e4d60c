//! Words for what can happen to a home: typed at the lab's prompt, and in scenario files that run on
//! the real kernel and on a virtual clock alike. Pure: text in, values out.
//!
//! ```text
//! # The crew in the street severs the cable.
//! uplinks cable mifi phone              # the chain; this is the default
//! kind mifi cellular                    # wired unless said otherwise
//! metered phone                         # what goes over it costs
//! window 300ms                          # other settings: window UPLINK, hold, hold_max, on_return
//! only names 50ms                       # the LAN asks for names, and for nothing else; virtual only
//! chatter                               # clients keep asking the modems' DNS proxies and pages
//!
//! at 10s sever cable                    # from the moment when everything is proven
//! expect active mifi within 1.2s        # counted from the last action
//! expect health cable down within 2s
//! expect role cable active within 2s    # and spares, condition, online, event and others: see `Wanted`
//! expect no switch for 30s              # counted from here
//! after 5s restore cable                # counted from here
//! expect lost 0                         # of the client's flows since the last action
//! ```

mod line_event;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

pub use line_event::LineEvent;

use crate::units::Family;

/// Something that happens to the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Something happens to an uplink.
    Line {
        uplink: String,
        event: LineEvent,
    },
    /// One of the Internet's well-known addresses stops answering on every uplink.
    DropTarget(IpAddr),
    RestoreTarget(IpAddr),
    /// Somebody chooses an uplink manually; `None`: leaves the choice to the agent again.
    Switch(Option<String>),
    /// Somebody sets an uplink aside.
    Pause(String),
    /// Somebody takes it back.
    Resume(String),
    /// Somebody has an uplink tested now.
    Probe(String),
    /// The agent is killed (SIGKILL).
    KillAgent,
    /// The agent is asked to stop (SIGTERM).
    StopAgent,
    /// The agent is started again.
    StartAgent,
    /// The agent is not scheduled for this long. Virtual only.
    Stall(Duration),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The home before anything happens.
    pub settings: Settings,
    /// What happens and what is expected, in order.
    pub steps: Vec<Step>,
}

/// The home before anything happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The chain; empty: the three uplinks of the lab.
    pub uplinks: Vec<String>,
    pub kinds: Vec<(String, Kind)>,
    /// `metered UPLINK`: what goes over it costs.
    pub metered: Vec<String>,
    /// `window TIME` (no uplink) and `window UPLINK TIME`.
    pub windows: Vec<(Option<String>, Duration)>,
    /// `hold TIME`; the lab's is 3 s.
    pub hold: Option<Duration>,
    /// `hold_max TIME`; the lab's is 3 s.
    pub hold_max: Option<Duration>,
    /// `chatter`: LAN clients keep asking the modems' own DNS proxies and pages.
    pub chatter: bool,
    /// `only names TIME`: the LAN asks for names, one each TIME, and for nothing else. Virtual only.
    pub only_names: Option<Duration>,
    /// `on_return UPLINK drain|drain:TIME|cut`: what becomes of its flows when it is left alive.
    pub on_return: Vec<(String, String)>,
    /// `resolvers UPLINK ADDRESS…`: its own resolvers, known to the agent.
    pub resolvers: Vec<(String, Vec<IpAddr>)>,
    /// `virtual only`: too long for the real kernel, or nothing that the lab can do there.
    pub virtual_only: bool,
}

pub use crate::config::Kind;

/// A line of a scenario, with its number for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line number in the file, from 1.
    pub line: usize,
    pub what: What,
}

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// `at TIME ACTION`: at that time after the start.
    At(Duration, Action),
    /// `after TIME ACTION`: that long after the step before has ended.
    After(Duration, Action),
    Expect(Expect),
}

/// What a scenario demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// `expect WANTED within TIME` (of the last action).
    Within(Wanted, Duration),
    /// `expect no switch for TIME`, from now on.
    NoSwitch(Duration),
    /// `expect no down UPLINK for TIME`, from now on.
    NoDown {
        /// Whose health never becomes `down`.
        uplink: String,
        lasting: Duration,
    },
    /// `expect lost N`: at most so many of the client's flows since the last action.
    Lost(u64),
    /// `expect told CODE N`: so often since the last action.
    Told(String, usize),
    /// `expect felt right within TIME`: how long the agent says that the last interruption was felt, against
    /// the longest hole that the client had since the last action.
    Felt(Duration),
    /// `expect gap TIME`: from the last action to the first flow that was answered, at most.
    Gap(Duration),
}

/// What the agent is to say of itself. States are spelled as `status --json` spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `active UPLINK|none`: which uplink works and carries IPv4.
    Active(Option<String>),
    /// `active6 UPLINK|none`: the same for IPv6.
    Active6(Option<String>),
    Health(String, String),
    Condition(String, String),
    Role(String, String),
    /// What is told of it has these words.
    Reason(String, String),
    /// `spares N`: uplinks that could take over now.
    Spares(usize),
    /// `online` or `offline`: whether the Internet works.
    Online(bool),
    /// `sentence TEXT`: the sentence of the whole contains this.
    Sentence(String),
    /// `resolver ADDRESS`: whom the box is told to ask first.
    Resolver(IpAddr),
    Flows(String, bool),
    /// `event CODE`: it has happened since the last action.
    Event(String),
}

/// A line that could not be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct Error {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// The words that people need most, for hints; the prompt's help has them all.
pub const EVENTS: &str = "unplug, sever, lose 40, slow, portal or restore";

impl Scenario {
    /// Reads a scenario, collecting every mistake.
    ///
    /// # Errors
    /// All lines that were not understood.
    pub fn parse(text: &str) -> Result<Self, Vec<Error>> {
        let mut scenario = Self::default();
        let mut errors = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let words: Vec<&str> = raw.split('#').next().unwrap_or("").split_whitespace().collect();
            let line = index + 1;
            if let Err(what) = scenario.line(line, &words) {
                errors.push(Error { line, what });
            }
        }
        if errors.is_empty() { Ok(scenario) } else { Err(errors) }
    }

    fn line(&mut self, line: usize, words: &[&str]) -> Result<(), String> {
        let settings = &mut self.settings;
        match words {
            [] => {}
            ["uplinks", names @ ..] if !names.is_empty() => {
                settings.uplinks = names.iter().map(|n| (*n).to_owned()).collect();
            }
            ["kind", uplink, kind] => {
                settings.kinds.push(((*uplink).to_owned(), parse_kind(kind)?))
            }
            ["metered", uplink] => settings.metered.push((*uplink).to_owned()),
            ["window", time] => settings.windows.push((None, parse_time(time)?)),
            ["window", uplink, time] => {
                settings.windows.push((Some((*uplink).to_owned()), parse_time(time)?));
            }
            ["only", "names", time] => settings.only_names = Some(parse_time(time)?),
            ["chatter"] => settings.chatter = true,
            ["hold", time] => settings.hold = Some(parse_time(time)?),
            ["hold_max", time] => settings.hold_max = Some(parse_time(time)?),
            ["resolvers", uplink, all @ ..] if !all.is_empty() => {
                let all: Result<_, _> = all.iter().map(|ip| parse_ip(ip)).collect();
                settings.resolvers.push(((*uplink).to_owned(), all?));
            }
            ["on_return", uplink, policy] => {
                settings.on_return.push(((*uplink).to_owned(), (*policy).to_owned()));
            }
            ["virtual", "only"] => settings.virtual_only = true,
            ["at", time, action @ ..] => {
                self.push(line, What::At(parse_time(time)?, Action::parse(action)?));
            }
            ["after", time, action @ ..] => {
                self.push(line, What::After(parse_time(time)?, Action::parse(action)?));
            }
            ["expect", rest @ ..] => self.push(line, What::Expect(parse_expect(rest)?)),
            [word, ..] => {
                return Err(format!(
                    "`{word}` is not known here; try at, after, expect, uplinks, kind, metered, window, hold, hold_max, on_return, chatter"
                ));
            }
        }
        Ok(())
    }

    fn push(&mut self, line: usize, what: What) {
        self.steps.push(Step { line, what });
    }
}

impl Action {
    /// Reads an action from words, as typed at the prompt.
    ///
    /// # Errors
    /// A sentence for the person who typed it.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        match words {
            ["drop", "target", ip] => parse_ip(ip).map(Self::DropTarget),
            ["restore", "target", ip] => parse_ip(ip).map(Self::RestoreTarget),
            ["switch", "auto"] => Ok(Self::Switch(None)),
            ["switch", uplink] => Ok(Self::Switch(Some((*uplink).to_owned()))),
            ["pause", uplink] => Ok(Self::Pause((*uplink).to_owned())),
            ["resume", uplink] => Ok(Self::Resume((*uplink).to_owned())),
            ["probe", uplink] => Ok(Self::Probe((*uplink).to_owned())),
            ["stall", time] => parse_time(time).map(Self::Stall),
            ["sever", "v4", uplink] => Ok(Self::line(uplink, LineEvent::SeverOnly(Family::V4))),
            ["sever", "v6", uplink] => Ok(Self::line(uplink, LineEvent::SeverOnly(Family::V6))),
            ["block", "echoes", uplink] => Ok(Self::line(uplink, LineEvent::BlockEchoes)),
            ["break", "dns", uplink] => Ok(Self::line(uplink, LineEvent::BreakDns)),
            ["break", "resolvers", uplink] => Ok(Self::line(uplink, LineEvent::BreakResolvers)),
            ["kill", "agent"] => Ok(Self::KillAgent),
            ["stop", "agent"] => Ok(Self::StopAgent),
            ["start", "agent"] => Ok(Self::StartAgent),
            ["pose", ip, uplink] => Ok(Self::line(uplink, LineEvent::Pose(parse_ip(ip)?))),
            ["delay", time, uplink] => Ok(Self::line(uplink, LineEvent::Delay(parse_time(time)?))),
            ["lose", percent, uplink] => {
                let number = percent.trim_end_matches('%').parse().ok().filter(|n| *n <= 100);
                let number =
                    number.ok_or_else(|| format!("`{percent}` is not a percentage, like 40"))?;
                Ok(Self::line(uplink, LineEvent::Lose(number)))
            }
            [word, uplink] => match LineEvent::parse(word) {
                Some(event) => Ok(Self::line(uplink, event)),
                None => Err(format!("`{word}` is not known; try {EVENTS}, then an uplink")),
            },
            [word] if LineEvent::parse(word).is_some() => Err(format!("{word} which uplink?")),
            _ => Err(format!(
                "`{}` is not understood; try {EVENTS}, then an uplink",
                words.join(" ")
            )),
        }
    }

    /// Something that happens to an uplink.
    #[must_use]
    pub fn line(uplink: &str, event: LineEvent) -> Self {
        Self::Line { uplink: uplink.to_owned(), event }
    }
}

impl fmt::Display for Action {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { uplink, event } => write!(f, "{event} {uplink}"),
            Self::DropTarget(ip) => write!(f, "drop target {ip}"),
            Self::RestoreTarget(ip) => write!(f, "restore target {ip}"),
            Self::Switch(Some(uplink)) => write!(f, "switch {uplink}"),
            Self::Switch(None) => f.write_str("switch auto"),
            Self::Pause(uplink) => write!(f, "pause {uplink}"),
            Self::Resume(uplink) => write!(f, "resume {uplink}"),
            Self::Probe(uplink) => write!(f, "probe {uplink}"),
            Self::Stall(time) => write!(f, "stall {}ms", time.as_millis()),
            Self::KillAgent => f.write_str("kill agent"),
            Self::StopAgent => f.write_str("stop agent"),
            Self::StartAgent => f.write_str("start agent"),
        }
    }
}

fn parse_expect(words: &[&str]) -> Result<Expect, String> {
    let not_understood = || {
        format!(
            "`expect {}` is not understood; try: active UPLINK, health UPLINK STATE, condition UPLINK CONDITION, \
             role UPLINK ROLE, reason UPLINK TEXT, spares N, online, offline, sentence TEXT, resolver ADDRESS, flows UPLINK some|none, event CODE, each within TIME; \
             or: no switch for TIME, no down UPLINK for TIME, lost N, gap TIME, told CODE N, felt right within TIME",
            words.join(" ")
        )
    };
    Ok(match words {
        ["no", "switch", "for", time] => Expect::NoSwitch(parse_time(time)?),
        ["no", "down", uplink, "for", time] => {
            Expect::NoDown { uplink: (*uplink).to_owned(), lasting: parse_time(time)? }
        }
        ["lost", count] => Expect::Lost(parse_count(count)?),
        ["gap", time] => Expect::Gap(parse_time(time)?),
        ["told", code, count] => Expect::Told((*code).to_owned(), parse_count(count)?),
        ["felt", "right", "within", time] => Expect::Felt(parse_time(time)?),
        [wanted @ .., "within", time] => {
            let wanted = Wanted::parse(wanted)?.ok_or_else(not_understood)?;
            Expect::Within(wanted, parse_time(time)?)
        }
        _ => return Err(not_understood()),
    })
}

impl Wanted {
    fn parse(words: &[&str]) -> Result<Option<Self>, String> {
        let owned = |word: &str| word.to_owned();
        let uplink = |word: &str| (word != "none").then(|| word.to_owned());
        Ok(Some(match words {
            ["active", name] => Self::Active(uplink(name)),
            ["active6", name] => Self::Active6(uplink(name)),
            ["health", uplink, state] => Self::Health(owned(uplink), owned(state)),
            ["condition", uplink, condition] => Self::Condition(owned(uplink), owned(condition)),
            ["role", uplink, role] => Self::Role(owned(uplink), owned(role)),
            ["reason", uplink, words @ ..] if !words.is_empty() => {
                Self::Reason(owned(uplink), words.join(" "))
            }
            ["spares", count] => Self::Spares(parse_count(count)?),
            ["online"] => Self::Online(true),
            ["offline"] => Self::Online(false),
            ["sentence", words @ ..] if !words.is_empty() => Self::Sentence(words.join(" ")),
            ["resolver", address] => Self::Resolver(parse_ip(address)?),
            ["flows", uplink, word @ ("some" | "none")] => {
                Self::Flows(owned(uplink), *word == "some")
            }
            ["event", code] => Self::Event(owned(code)),
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for Wanted {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |uplink: &Option<String>| uplink.clone().unwrap_or_else(|| "none".to_owned());
        match self {
            Self::Active(uplink) => write!(f, "active {}", or_none(uplink)),
            Self::Active6(uplink) => write!(f, "active6 {}", or_none(uplink)),
            Self::Health(uplink, state) => write!(f, "health {uplink} {state}"),
            Self::Condition(uplink, condition) => write!(f, "condition {uplink} {condition}"),
            Self::Role(uplink, role) => write!(f, "role {uplink} {role}"),
            Self::Reason(uplink, text) => write!(f, "reason {uplink} {text}"),
            Self::Spares(count) => write!(f, "spares {count}"),
            Self::Online(true) => f.write_str("online"),
            Self::Online(false) => f.write_str("offline"),
            Self::Sentence(text) => write!(f, "sentence {text}"),
            Self::Resolver(address) => write!(f, "resolver {address}"),
            Self::Flows(uplink, true) => write!(f, "flows {uplink} some"),
            Self::Flows(uplink, false) => write!(f, "flows {uplink} none"),
            Self::Event(code) => write!(f, "event {code}"),
        }
    }
}

fn parse_count<N: FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("`{word}` is not a number"))
}

fn parse_kind(word: &str) -> Result<Kind, String> {
    match word {
        "wired" => Ok(Kind::Wired),
        "wifi" => Ok(Kind::Wifi),
        "cellular" => Ok(Kind::Cellular),
        _ => Err(format!("`{word}` is not a kind of uplink; wired, wifi or cellular")),
    }
}

fn parse_ip(word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| format!("`{word}` is not an address"))
}

/// A time as people write it: `300ms`, `1.2s`, `10m`, `2h`.
fn parse_time(word: &str) -> Result<Duration, String> {
    let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (number, unit) = word.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{word}` is not a time, like 300ms, 1.2s or 10m")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{word}` is not a time, like 300ms, 1.2s or 10m"))?;
    Duration::try_from_secs_f64((number * seconds * 1e6).round() / 1e6)
        .map_err(|_| format!("`{word}` is not a time that can pass"))
}

#[cfg(test)]
mod tests;
