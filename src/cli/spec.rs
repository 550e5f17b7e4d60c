//! Every command and every flag, in the words of the help. The one place that defines them.

/// A flag, with or without a value.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name after `--`.
    pub(super) long: &'static str,
    /// Its letter after `-`.
    pub(super) short: Option<char>,
    /// What its value is called, if it has one.
    pub(super) value: Option<&'static str>,
    /// What it does.
    pub(super) about: &'static str,
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// What its one argument is called, if it has one.
    pub(super) argument: Option<&'static str>,
    /// What it does, in one line.
    pub(super) about: &'static str,
    /// What else there is to know.
    pub(super) more: &'static str,
    /// Its flags.
    pub(super) flags: &'static [&'static Flag],
    /// Under which heading the help lists it.
    pub(super) group: Group,
}

/// The headings of the help, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Look,
    Act,
    Operate,
    Try,
}

impl Group {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Look, "Look"),
        (Self::Act, "Act"),
        (Self::Operate, "Operate"),
        (Self::Try, "Try out"),
    ];
}

pub(super) const HELP: Flag = switch("help", Some('h'), "print this help");
pub(super) const VERSION: Flag = switch("version", Some('V'), "print the version");
pub(super) const CONFIG: Flag =
    valued("config", "FILE", "the configuration [default: /etc/sparelink/sparelink.toml]");
pub(super) const RUN_DIR: Flag =
    valued("run-dir", "DIR", "where the agent keeps its socket [default: as configured]");
pub(super) const OBSERVE: Flag =
    switch("observe", None, "probe, judge and tell what it would do; change nothing");
pub(super) const RECORD: Flag =
    valued("record", "FILE", "write every input and decision to FILE, for replay");
pub(super) const VERBOSE: Flag = switch("verbose", Some('v'), "log every condition as well");
pub(super) const JSON: Flag = switch("json", None, "print JSON, for programs");
pub(super) const WATCH: Flag =
    switch("watch", Some('w'), "show it anew every second, until Ctrl-C");
pub(super) const FOR: Flag = valued("for", "DURATION", "for how long, such as 30m or 2h");
pub(super) const REASON: Flag = valued("reason", "TEXT", "why, for those who wonder later");
pub(super) const REMOVE: Flag =
    switch("remove", None, "take the password away; nobody can log in then");
#[cfg(feature = "lab")]
pub(super) const TOUR: Flag = switch("tour", None, "play the story without a keyboard");

/// The flags that are understood before the command as well.
pub(super) const EARLY: [&Flag; 2] = [&CONFIG, &RUN_DIR];

/// Every command, in the order of the help.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "status",
        argument: None,
        about: "what works, what is spare, and why",
        more: "Exit code: 0 if some uplink works, 1 if none does, 2 if no agent runs.",
        flags: &[&JSON, &WATCH, &CONFIG, &RUN_DIR],
        group: Group::Look,
    },
    Command {
        name: "history",
        argument: None,
        about: "what happened, and when",
        more: "",
        flags: &[&JSON, &CONFIG, &RUN_DIR],
        group: Group::Look,
    },
    Command {
        name: "check",
        argument: Some("[FILE]"),
        about: "read the configuration and list every mistake",
        more: "Exit code: 0 if it is right, 2 if not. A running agent is not touched.",
        flags: &[&CONFIG],
        group: Group::Look,
    },
    Command {
        name: "doctor",
        argument: None,
        about: "what on this box stands in the way, and the mend",
        more: "Looks at the kernel, its settings, other programs that steer or filter, and the uplinks as\n\
               they are; changes nothing. Needs no agent, and sees most as root.\n\
               Exit code: 0 if nothing is wrong, 1 if something is, 2 if the configuration is.",
        flags: &[&JSON, &CONFIG, &RUN_DIR],
        group: Group::Look,
    },
    Command {
        name: "plan",
        argument: None,
        about: "print what would stand in the kernel, as ip and nft text",
        more: "Changes nothing.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Look,
    },
    Command {
        name: "replay",
        argument: Some("FILE|last"),
        about: "decide a recording again, and print the decisions",
        more: "FILE is what run --record wrote; last is the recording around the last switch.\n\
               Exit code: 0 if every decision is the same, 1 at the first that differs.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Look,
    },
    Command {
        name: "switch",
        argument: Some("UPLINK|auto"),
        about: "move the traffic to UPLINK, or back to the chain",
        more: "Without --for it stays until `sparelink switch auto` or a reboot. If UPLINK dies, the\n\
               chain takes over, and returns to UPLINK when it is back.",
        flags: &[&FOR, &CONFIG, &RUN_DIR],
        group: Group::Act,
    },
    Command {
        name: "pause",
        argument: Some("UPLINK"),
        about: "set an uplink aside",
        more: "Without --for it stays aside until `sparelink resume UPLINK`.",
        flags: &[&FOR, &REASON, &CONFIG, &RUN_DIR],
        group: Group::Act,
    },
    Command {
        name: "resume",
        argument: Some("UPLINK"),
        about: "take a paused uplink back into the chain",
        more: "",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Act,
    },
    Command {
        name: "probe",
        argument: Some("UPLINK"),
        about: "prove an uplink anew, at once",
        more: "Asks its targets, its resolvers and the web check. `sparelink status` tells what came of it.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Act,
    },
    Command {
        name: "reload",
        argument: None,
        about: "let the agent read its configuration again",
        more: "No connection is touched. If the file is wrong, the agent keeps what it has.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Act,
    },
    Command {
        name: "run",
        argument: None,
        about: "be the agent: watch the uplinks, and switch between them",
        more: "Usually started by the system. When it ends, the traffic keeps flowing as it was.",
        flags: &[&OBSERVE, &RECORD, &VERBOSE, &CONFIG, &RUN_DIR],
        group: Group::Operate,
    },
    Command {
        name: "passwd",
        argument: None,
        about: "set the password of the page",
        more: "Everyone in the LAN may read the page; who knows the password may change things from there.\n\
               Asks for it twice, or takes one line of stdin if that is no terminal. A running agent knows it\n\
               at once, and who was logged in has to log in again. It is kept, as a hash, in the file password\n\
               beside the configuration.",
        flags: &[&REMOVE, &CONFIG],
        group: Group::Operate,
    },
    Command {
        name: "purge",
        argument: None,
        about: "take everything of sparelink's out of the kernel",
        more: "The routes, rules and settings of others stay. Works without an agent; stop it first.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Operate,
    },
    #[cfg(feature = "lab")]
    Command {
        name: "lab",
        argument: None,
        about: "a home with three providers on this computer, to pull cables in",
        more: "Everything lives in network namespaces; your own network is not touched.\n\
               Type unplug, sever, lose 40, slow, portal or restore, and an uplink's name;\n\
               or status, or quit.",
        flags: &[&TOUR, &JSON],
        group: Group::Try,
    },
];

const fn switch(long: &'static str, short: Option<char>, about: &'static str) -> Flag {
    Flag { long, short, value: None, about }
}

const fn valued(long: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, value: Some(value), about }
}
