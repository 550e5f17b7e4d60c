//! From words to a typed [`Command`]: first what was typed (checked against the spec), then what
//! was meant.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use super::history::{Asked, Form};
use super::note::What;
use super::notify::Notify;
use super::passwd::Passwd;
use super::run::{Chain, Run};
use super::spec::{self, COMMANDS, EARLY, Flag};
use super::{habits, help, plan, report, setup, spec::Command as Spec, terminal};
use crate::config::{nearest, parse_duration};
use crate::engine::Mode;
use crate::units::Severity;

/// The longest `--for`; a longer one is as good as no limit.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) command: Command,
    /// `--config`.
    pub(super) config: Option<PathBuf>,
    /// `--run-dir`.
    pub(super) run_dir: Option<PathBuf>,
}

/// A command with its arguments.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    /// No word was typed: the status if an agent runs, else the short help.
    Unnamed,
    /// The help of the program (`None`) or of one command.
    Help(Option<&'static Spec>),
    Version,
    Run(Run),
    Setup(setup::Asked),
    /// What the script that starts the agent has to know.
    Service,
    Check {
        /// Which file, if it was named without `--config`.
        file: Option<PathBuf>,
        form: terminal::Form,
    },
    Doctor {
        form: terminal::Form,
    },
    Plan(plan::Form),
    /// Which uplink the traffic of a host takes.
    Why {
        host: String,
        form: terminal::Form,
    },
    Status {
        json: bool,
        watch: bool,
    },
    Switch {
        /// An uplink's name or `auto`.
        to: String,
        limit: Option<Duration>,
    },
    Pause {
        uplink: String,
        limit: Option<Duration>,
        reason: Option<String>,
    },
    Resume {
        uplink: String,
    },
    Probe {
        uplink: String,
    },
    Note {
        uplink: String,
        what: What,
    },
    Reload,
    /// Who is told, and whether that works.
    Notify(Notify),
    Passwd(Passwd),
    History(Asked),
    Report(report::Asked),
    Replay(Recording),
    /// For a shell.
    Completions(String),
    Purge,
    #[cfg(feature = "lab")]
    Lab {
        tour: bool,
        stay: bool,
        json: bool,
    },
}

/// Which recording to replay.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recording {
    /// What was saved around the last switch.
    Last,
    File(PathBuf),
}

/// Understands a command line, of which the first word is the program.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Line, Failure> {
    let typed = match typed(arguments)? {
        Typed::Command(typed) => typed,
        Typed::Help(about) => return Ok(Line::of(Command::Help(about))),
        Typed::Version => return Ok(Line::of(Command::Version)),
    };
    let command = meant(&typed)?;
    let path = |flag: &Flag| typed.flags.get(flag.long).map(PathBuf::from);
    let mut config = match (path(&spec::CONFIG), path(&spec::UCI)) {
        (Some(toml), Some(uci)) => {
            let [toml, uci] = [toml, uci].map(|file| file.display().to_string());
            let text = format!("--config {toml} and --uci {uci}: there is one configuration");
            return Err(Failure::new(text, "name one of the two"));
        }
        (toml, uci) => toml.or(uci),
    };
    if let Command::Check { file: Some(file), .. } = &command
        && config.replace(file.clone()).is_some()
    {
        return Err(surplus(typed.spec, file.as_os_str()));
    }
    Ok(Line { command, config, run_dir: path(&spec::RUN_DIR) })
}

impl Line {
    fn of(command: Command) -> Self {
        Self { command, config: None, run_dir: None }
    }
}

enum Typed {
    Help(Option<&'static Spec>),
    Version,
    Command(Low),
}

/// A command with its words, each known to the spec.
struct Low {
    spec: &'static Spec,
    argument: Option<OsString>,
    /// What follows it.
    second: Option<OsString>,
    /// Flags by their long names; empty for those without a value.
    flags: BTreeMap<&'static str, OsString>,
}

fn typed(arguments: impl IntoIterator<Item = OsString>) -> Result<Typed, Failure> {
    let mut parser = lexopt::Parser::from_iter(arguments);
    let mut spec: Option<&'static Spec> = None;
    let (mut argument, mut second) = (None, None);
    let mut flags = BTreeMap::new();
    while let Some(word) = parser.next().map_err(|error| unexpected_value(&error))? {
        let name = match word {
            lexopt::Arg::Value(word) => {
                match spec {
                    None if word == "help" => spec = Some(&HELP_COMMAND),
                    None => spec = Some(find_command(&word)?),
                    Some(spec) if argument.is_none() && spec.argument.is_some() => {
                        argument = Some(word);
                    }
                    Some(spec) if second.is_none() && spec.argument.is_some_and(has_two) => {
                        second = Some(word);
                    }
                    Some(spec) => return Err(surplus(spec, &word)),
                }
                continue;
            }
            lexopt::Arg::Long(long) => format!("--{long}"),
            lexopt::Arg::Short(short) => format!("-{short}"),
        };
        if is(&spec::HELP, &name) {
            return Ok(Typed::Help(spec.filter(|spec| spec.name != HELP_COMMAND.name)));
        }
        if is(&spec::VERSION, &name) {
            return Ok(Typed::Version);
        }
        let flag = find_flag(spec, &name)?;
        let value = match flag.value {
            None => OsString::new(),
            Some(what) => value_of(&mut parser, &name, what)?,
        };
        flags.insert(flag.long, value);
    }
    let spec = spec.unwrap_or(&UNNAMED);
    if spec.name == HELP_COMMAND.name {
        let about = argument.as_deref().map(find_command).transpose()?;
        return Ok(Typed::Help(about));
    }
    if let Some(early) = flags.keys().find(|long| !spec.flags.iter().any(|f| f.long == **long)) {
        return Err(unknown_flag(spec, &format!("--{early}")));
    }
    Ok(Typed::Command(Low { spec, argument, second, flags }))
}

/// Whether a command takes two words.
fn has_two(argument: &str) -> bool {
    argument.contains(' ')
}

/// `sparelink help [COMMAND]`, which people try; not listed, because `--help` is.
const HELP_COMMAND: Spec = Spec {
    name: "help",
    argument: Some("COMMAND"),
    about: "print help",
    more: "",
    flags: &[],
    group: spec::Group::Show,
};

/// What is meant by no word at all; as `status`, so that its socket is found in the same way.
const UNNAMED: Spec = Spec {
    name: "",
    argument: None,
    about: "show the status, or how to begin",
    more: "",
    flags: &EARLY,
    group: spec::Group::Show,
};

/// From what was typed to what was meant.
fn meant(low: &Low) -> Result<Command, Failure> {
    let given = |flag: &Flag| low.flags.contains_key(flag.long);
    let path = |flag: &Flag| low.flags.get(flag.long).map(PathBuf::from);
    Ok(match low.spec.name {
        "" => Command::Unnamed,
        "run" => Command::Run(Run {
            by: if given(&spec::AUTO) { Chain::Found } else { Chain::Configured },
            mode: if given(&spec::OBSERVE) { Mode::Observe } else { Mode::Steer },
            record: path(&spec::RECORD),
            level: if given(&spec::VERBOSE) { LevelFilter::DEBUG } else { LevelFilter::INFO },
        }),
        "setup" => Command::Setup(low.setup()?),
        "check" if given(&spec::SERVICE) => Command::Service,
        "check" => {
            Command::Check { file: low.argument.as_ref().map(PathBuf::from), form: low.form() }
        }
        "doctor" => Command::Doctor { form: low.form() },
        "plan" => {
            let full = given(&spec::FULL);
            Command::Plan(if full { plan::Form::Full } else { plan::Form::Summary })
        }
        "why" => Command::Why { host: low.word()?, form: low.form() },
        "status" => Command::Status { json: given(&spec::JSON), watch: given(&spec::WATCH) },
        "switch" => Command::Switch { to: low.word()?, limit: low.limit()? },
        "pause" => {
            let reason = low.flags.get(spec::REASON.long).map(|reason| text(reason)).transpose()?;
            Command::Pause { uplink: low.word()?, limit: low.limit()?, reason }
        }
        "resume" => Command::Resume { uplink: low.word()? },
        "probe" => Command::Probe { uplink: low.word()? },
        "note" => Command::Note { uplink: low.word()?, what: low.note()? },
        "reload" => Command::Reload,
        "notify" => match low.argument.as_deref() {
            None => Command::Notify(Notify::Channels),
            Some(word) if word == "ack" && low.second.is_none() => Command::Notify(Notify::Ack),
            Some(word) if word == "test" => {
                Command::Notify(Notify::Test(low.second.as_deref().map(text).transpose()?))
            }
            Some(word) => return Err(surplus(low.spec, word)),
        },
        "passwd" => Command::Passwd(match (given(&spec::REMOVE), given(&spec::CODE)) {
            (false, false) => Passwd::Set,
            (true, false) => Passwd::Remove,
            (false, true) => Passwd::Code,
            (true, true) => {
                return Err(Failure::new(
                    "--remove and --code do not go together",
                    "use one of them",
                ));
            }
        }),
        "history" => Command::History(low.history()?),
        "report" => Command::Report(low.report()?),
        "replay" => match low.required()? {
            last if last == "last" => Command::Replay(Recording::Last),
            file => Command::Replay(Recording::File(PathBuf::from(file))),
        },
        "completions" => Command::Completions(low.word()?),
        "purge" => Command::Purge,
        #[cfg(feature = "lab")]
        "lab" => Command::Lab {
            tour: given(&spec::TOUR),
            stay: given(&spec::STAY),
            json: given(&spec::JSON),
        },
        other => return Err(Failure::plain(format!("{other} is listed and not known"))),
    })
}

impl Low {
    /// For whom the answer is.
    fn form(&self) -> terminal::Form {
        let json = self.flags.contains_key(spec::JSON.long);
        if json { terminal::Form::Json } else { terminal::Form::Text }
    }

    /// The argument that the command cannot do without.
    fn required(&self) -> Result<&OsStr, Failure> {
        self.argument.as_deref().filter(|word| !word.is_empty()).ok_or_else(|| {
            let what = self.spec.argument.unwrap_or_default();
            let text = format!("{} needs {what}", self.spec.name);
            Failure::new(text, format!("usage: {}", help::usage(self.spec)))
        })
    }

    /// The same as text.
    fn word(&self) -> Result<String, Failure> {
        text(self.required()?)
    }

    /// What is to become of a note.
    fn note(&self) -> Result<What, Failure> {
        let given = |flag: &Flag| self.flags.contains_key(flag.long);
        let words = self.second.as_deref().map(text).transpose()?;
        match (words, given(&spec::CLEAR), given(&spec::REPORTED)) {
            (None, false, false) => Ok(What::Show),
            (None, true, false) => Ok(What::Clear),
            (None, false, true) => Ok(What::Reported),
            (Some(words), false, false) if words.trim().is_empty() => Ok(What::Clear),
            (Some(words), false, false) => Ok(What::Keep(words)),
            (..) => {
                let hint = "give either TEXT, --clear or --reported";
                Err(Failure::new("note does one thing at a time", hint))
            }
        }
    }

    /// Which part of the history.
    fn history(&self) -> Result<Asked, Failure> {
        let given = |flag: &Flag| self.flags.contains_key(flag.long);
        let said = |flag: &Flag| self.flags.get(flag.long).map(|word| text(word)).transpose();
        let wrong = |_| Failure::new("-n needs a number", "for example -n 20");
        Ok(Asked {
            form: if given(&spec::JSON) { Form::Json } else { Form::Text },
            least: if given(&spec::ALL) { Severity::Debug } else { Severity::Info },
            last: said(&spec::LINES)?.map(|n| n.parse().map_err(wrong)).transpose()?,
            since: said(&spec::SINCE)?,
            uplink: said(&spec::UPLINK)?,
            follow: given(&spec::FOLLOW),
        })
    }

    /// Which report, and in which form.
    fn report(&self) -> Result<report::Asked, Failure> {
        let given = |flag: &Flag| self.flags.contains_key(flag.long);
        let said = |flag: &Flag| self.flags.get(flag.long).map(|word| text(word)).transpose();
        let forms = [
            (&spec::JSON, report::Form::Json),
            (&spec::CSV, report::Form::Csv),
            (&spec::HTML, report::Form::Html),
        ];
        let mut chosen = forms.into_iter().filter(|(flag, _)| given(flag)).map(|(_, form)| form);
        let form = chosen.next().unwrap_or_default();
        if chosen.next().is_some() {
            let hint = "choose one of --json, --csv and --html";
            return Err(Failure::new("a report has one form", hint));
        }
        let (month, uplink) = (said(&spec::MONTH)?, said(&spec::UPLINK)?);
        let (verify, head) = (given(&spec::VERIFY), said(&spec::HEAD)?);
        if head.is_some() && !verify {
            return Err(Failure::new("--head goes with --verify", "add --verify"));
        }
        Ok(report::Asked { form, month, uplink, verify, head })
    }

    /// `--for`.
    fn limit(&self) -> Result<Option<Duration>, Failure> {
        let Some((typed, limit)) = self.duration(&spec::FOR)? else { return Ok(None) };
        if limit.is_zero() || limit > LONGEST {
            let hint = "leave --for out for no limit";
            return Err(Failure::new(format!("--for: {typed} is out of range"), hint));
        }
        Ok(Some(limit))
    }

    /// The value of a flag that takes a duration, as it was typed and as it was meant.
    fn duration(&self, flag: &Flag) -> Result<Option<(String, Duration)>, Failure> {
        const HINT: &str = "durations look like 90s, 30m or 2h";
        let Some(typed) = self.flags.get(flag.long) else { return Ok(None) };
        let typed = text(typed)?;
        let wrong = |error| Failure::new(format!("--{}: {error}", flag.long), HINT);
        let meant = parse_duration(&typed).map_err(wrong)?;
        Ok(Some((typed, meant)))
    }

    /// How a box is set up.
    fn setup(&self) -> Result<setup::Asked, Failure> {
        let given = |flag: &Flag| self.flags.contains_key(flag.long);
        let from = self.flags.get(spec::FROM.long).map(|word| text(word)).transpose()?;
        setup::Asked::of(given, self.duration(&spec::WITHIN)?, from)
    }
}

fn text(word: &OsStr) -> Result<String, Failure> {
    let wrong = || Failure::plain(format!("{} is not UTF-8 text", word.to_string_lossy()));
    word.to_str().map(str::to_owned).ok_or_else(wrong)
}

fn is(flag: &Flag, name: &str) -> bool {
    name.strip_prefix("--") == Some(flag.long)
        || flag.short.is_some_and(|short| name == format!("-{short}"))
}

fn find_command(word: &OsStr) -> Result<&'static Spec, Failure> {
    if let Some(spec) = COMMANDS.iter().find(|spec| word == spec.name) {
        return Ok(spec);
    }
    let word = word.to_string_lossy();
    let usual = habits::command(&word);
    let near = || nearest(&word, COMMANDS.iter().map(|spec| spec.name));
    let hint = usual.or_else(|| near().map(|near| format!("did you mean {near}?")));
    let hint = hint.unwrap_or_else(|| "sparelink --help lists the commands".to_owned());
    Err(Failure::new(format!("there is no command {:?}", shown(&word)), hint))
}

fn find_flag(spec: Option<&'static Spec>, name: &str) -> Result<&'static Flag, Failure> {
    let known: &[&Flag] = spec.map_or(&EARLY, |spec| spec.flags);
    if let Some(flag) = known.iter().find(|flag| is(flag, name)) {
        return Ok(flag);
    }
    match spec {
        Some(spec) => Err(unknown_flag(spec, name)),
        None => {
            let belongs = COMMANDS.iter().any(|spec| spec.flags.iter().any(|f| is(f, name)));
            let hint = match habits::flag(name) {
                Some(hint) => hint,
                None if belongs => {
                    "it belongs behind a command, as in sparelink status --json".into()
                }
                None => "sparelink --help lists commands and flags".into(),
            };
            Err(Failure::new(format!("there is no flag {} here", shown(name)), hint))
        }
    }
}

fn unknown_flag(spec: &Spec, name: &str) -> Failure {
    let near = nearest(name.trim_start_matches('-'), spec.flags.iter().map(|flag| flag.long));
    let usual = habits::flag(name).filter(|hint| {
        // Only what the command has.
        name != "-j" || spec.flags.iter().any(|f| hint.contains(f.long))
    });
    let hint = match near {
        _ if usual.is_some() => usual.unwrap_or_default(),
        Some(near) if !name.ends_with(near) => format!("did you mean --{near}?"),
        _ => format!("sparelink {} --help lists its flags", spec.name),
    };
    Failure::new(format!("{} has no flag {}", spec.name, shown(name)), hint)
}

fn surplus(spec: &Spec, word: &OsStr) -> Failure {
    let word = word.to_string_lossy();
    let text = if spec.argument.is_some() {
        format!("{} takes one argument, and {:?} is one more", spec.name, shown(&word))
    } else {
        format!("{} takes no argument, and {:?} is one", spec.name, shown(&word))
    };
    Failure::new(text, format!("usage: {}", help::usage(spec)))
}

fn value_of(parser: &mut lexopt::Parser, name: &str, what: &str) -> Result<OsString, Failure> {
    let missing = || {
        let hint = format!("write {name} and then the {}", what.to_lowercase());
        Failure::new(format!("{name} needs a {what}"), hint)
    };
    parser.value().ok().filter(|value| !value.is_empty()).ok_or_else(missing)
}

fn unexpected_value(error: &lexopt::Error) -> Failure {
    match error {
        lexopt::Error::UnexpectedValue { option, .. } => {
            Failure::new(format!("{option} takes no value"), format!("write {option} alone"))
        }
        lexopt::Error::MissingValue { .. }
        | lexopt::Error::UnexpectedOption(_)
        | lexopt::Error::UnexpectedArgument(_)
        | lexopt::Error::ParsingFailed { .. }
        | lexopt::Error::NonUnicodeValue(_)
        | lexopt::Error::Custom(_) => Failure::plain(error.to_string()),
    }
}

/// A word from the command line, short enough to be repeated.
fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<Line, String> {
        let words = std::iter::once("sparelink").chain(words.split_whitespace());
        parse(words.map(OsString::from)).map_err(|failure| failure.to_string())
    }

    fn command(words: &str) -> Command {
        line(words).unwrap().command
    }

    #[test]
    fn every_command_is_understood() {
        let minutes = |m: u64| Some(Duration::from_secs(m * 60));
        let name = |n: &str| n.to_owned();
        let people = terminal::Form::Text;
        let cases = [
            ("", Command::Unnamed),
            ("--run-dir r", Command::Unnamed),
            ("check", Command::Check { file: None, form: people }),
            ("check a.toml", Command::Check { file: Some("a.toml".into()), form: people }),
            ("check -", Command::Check { file: Some("-".into()), form: people }),
            ("check --service --uci x", Command::Service),
            ("check --json", Command::Check { file: None, form: terminal::Form::Json }),
            ("history", Command::History(Asked::default())),
            (
                "history --all --json -f",
                Command::History(Asked {
                    form: Form::Json,
                    least: Severity::Debug,
                    follow: true,
                    ..Asked::default()
                }),
            ),
            (
                "history -n 5 --since 2h --uplink mifi",
                Command::History(Asked {
                    last: Some(5),
                    since: Some(name("2h")),
                    uplink: Some(name("mifi")),
                    ..Asked::default()
                }),
            ),
            ("report", Command::Report(report::Asked::default())),
            (
                "report --month 2026-10 --csv",
                Command::Report(report::Asked {
                    form: report::Form::Csv,
                    month: Some(name("2026-10")),
                    ..report::Asked::default()
                }),
            ),
            ("status", Command::Status { json: false, watch: false }),
            ("status --json -w", Command::Status { json: true, watch: true }),
            ("switch mifi --for 30m", Command::Switch { to: name("mifi"), limit: minutes(30) }),
            ("switch --for=2h auto", Command::Switch { to: name("auto"), limit: minutes(120) }),
            (
                "pause mifi --reason lent",
                Command::Pause { uplink: name("mifi"), limit: None, reason: Some(name("lent")) },
            ),
            ("resume mifi", Command::Resume { uplink: name("mifi") }),
            ("probe mifi", Command::Probe { uplink: name("mifi") }),
            ("plan", Command::Plan(plan::Form::Summary)),
            ("plan --full", Command::Plan(plan::Form::Full)),
            ("why 192.0.2.1", Command::Why { host: name("192.0.2.1"), form: people }),
            ("passwd", Command::Passwd(Passwd::Set)),
            ("passwd --remove", Command::Passwd(Passwd::Remove)),
            ("passwd --code", Command::Passwd(Passwd::Code)),
            ("replay last", Command::Replay(Recording::Last)),
            ("replay x.jsonl", Command::Replay(Recording::File("x.jsonl".into()))),
            (
                "run -v --observe --record r",
                Command::Run(Run {
                    by: Chain::Configured,
                    mode: Mode::Observe,
                    record: Some("r".into()),
                    level: LevelFilter::DEBUG,
                }),
            ),
        ];
        for (words, meant) in cases {
            assert_eq!(command(words), meant, "{words}");
        }
    }

    #[test]
    fn common_flags_stand_before_or_behind_the_command() {
        for words in ["--config c --run-dir r status", "status --run-dir=r --config c"] {
            let line = line(words).unwrap();
            assert_eq!(line.config.as_deref(), Some("c".as_ref()), "{words}");
            assert_eq!(line.run_dir.as_deref(), Some("r".as_ref()), "{words}");
        }
    }

    #[test]
    fn every_listed_command_is_known_and_has_help() {
        for spec in COMMANDS {
            let argument = spec.argument.unwrap_or_default().replace(['[', ']'], "");
            let words = format!("{} {argument}", spec.name);
            assert!(!matches!(command(&words), Command::Help(_)), "{words}");
            let about = command(&format!("{} --help", spec.name));
            assert_eq!(about, command(&format!("help {}", spec.name)));
            assert!(matches!(about, Command::Help(Some(about)) if about.name == spec.name));
        }
    }

    #[test]
    fn mistakes_come_with_a_hint() {
        let cases = [
            ("start", "systemctl start sparelink"),
            ("stop", "systemctl stop sparelink"),
            ("log", "did you mean history?"),
            ("version", "did you mean --version?"),
            ("-j", "did you mean --json?"),
            ("status -j", "did you mean --json?"),
            ("plan -j", "plan --help lists its flags"),
            ("status -n 5", "history -n 20"),
            ("history -n all", "for example -n 20"),
            ("history --since", "--since needs a TIME"),
            ("statsu", "did you mean status?"),
            ("frobnicate", "--help lists the commands"),
            ("status --jsn", "did you mean --json?"),
            ("status --observe", "status --help lists its flags"),
            ("report --json --html", "choose one of"),
            ("--json status", "behind a command"),
            ("status now", "takes no argument"),
            ("check a b", "\"b\" is one more"),
            ("check a --config b", "\"a\" is one more"),
            ("passwd secret", "takes no argument"),
            ("passwd --code --remove", "do not go together"),
            ("switch", "needs UPLINK|auto"),
            ("switch a b", "\"b\" is one more"),
            ("switch a --for", "--for needs a DURATION"),
            ("switch a --for 5", "\"5\" has no unit"),
            ("switch a --for 0s", "out of range"),
            ("status --json=yes", "--json takes no value"),
            ("check --run-dir x", "check has no flag --run-dir"),
        ];
        for (words, told) in cases {
            let error = line(words).unwrap_err();
            assert!(error.contains(told), "{words}: {error}");
            assert!(error.starts_with("error: ") && error.contains("\n  hint: "), "{error}");
        }
    }
}
