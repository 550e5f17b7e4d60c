//! Every command and every flag, in the words of the help. The one place that defines them.

/// The shells for which there are completions.
pub(super) const SHELLS: &str = "bash|zsh|fish";

/// A flag, with or without a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// Its name after `--`.
    pub(super) long: &'static str,
    /// Its letter after `-`.
    pub(super) short: Option<char>,
    /// What its value is called, if it has one.
    pub(super) value: Option<&'static str>,
    pub(super) about: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: &'static str,
    /// What its one argument is called, if it has one.
    pub(super) argument: Option<&'static str>,
    /// What it does, in one line.
    pub(super) about: &'static str,
    /// What else there is to know.
    pub(super) more: &'static str,
    pub(super) flags: &'static [&'static Flag],
    /// Under which heading the help lists it.
    pub(super) group: Group,
}

/// The headings of the help, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Show,
    Control,
    Service,
    Try,
}

impl Group {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Show, "Show"),
        (Self::Control, "Control"),
        (Self::Service, "Service"),
        (Self::Try, "Try"),
    ];
}

pub(super) const HELP: Flag = switch("help", Some('h'), "print this help");
pub(super) const VERSION: Flag = switch("version", Some('V'), "print the version");
pub(super) const CONFIG: Flag =
    valued("config", "FILE", "the configuration [default: /etc/sparelink/sparelink.toml]");
pub(super) const UCI: Flag =
    valued("uci", "FILE", "the same in OpenWrt's language, as /etc/config/sparelink");
pub(super) const SERVICE: Flag =
    switch("service", None, "print what the script that starts it has to know (OpenWrt)");
pub(super) const RUN_DIR: Flag =
    valued("run-dir", "DIR", "where the agent keeps its socket [default: as configured]");
pub(super) const OBSERVE: Flag =
    switch("observe", None, "probe and log what it would do; change nothing");
pub(super) const AUTO: Flag =
    switch("auto", None, "without a configuration: follow the system's default routes");
pub(super) const PRINT: Flag = switch("print", None, "only show the configuration");
pub(super) const YES: Flag = switch("yes", Some('y'), "write it without questions, start nothing");
pub(super) const KEEP: Flag = switch("keep", None, "what was started on trial stays");
pub(super) const UNDO: Flag = switch("undo", None, "take back what is on trial");
pub(super) const FROM: Flag =
    valued("from", "PROGRAM", "begin with what mwan3 or networkmanager has been told");
pub(super) const WITHIN: Flag =
    valued("within", "DURATION", "how long \"keep\" is waited for (2m)");
pub(super) const RECORD: Flag =
    valued("record", "FILE", "write every input and decision to FILE, for replay");
pub(super) const VERBOSE: Flag = switch("verbose", Some('v'), "more detail");
pub(super) const JSON: Flag = switch("json", None, "print JSON, for programs");
pub(super) const WATCH: Flag =
    switch("watch", Some('w'), "show it again every second, until Ctrl-C");
pub(super) const ALL: Flag = switch("all", None, "details as well");
pub(super) const FULL: Flag = switch("full", None, "everything, as ip and nft text");
pub(super) const LINES: Flag =
    Flag { long: "lines", short: Some('n'), value: Some("N"), about: "only the last N of them" };
pub(super) const SINCE: Flag =
    valued("since", "TIME", "only since then: 2h ago, today, 2026-11-01, \"2026-11-01 18:30\"");
pub(super) const UPLINK: Flag = valued("uplink", "NAME", "only what is about this uplink");
pub(super) const MONTH: Flag = valued("month", "MONTH", "this month, such as 2026-10");
pub(super) const CSV: Flag = switch("csv", None, "print CSV, for spreadsheets");
pub(super) const HTML: Flag = switch("html", None, "print a page, to be printed or sent");
pub(super) const VERIFY: Flag =
    switch("verify", None, "check whether the records are as they were written");
pub(super) const HEAD: Flag =
    valued("head", "HASH", "with --verify: what is before the record of this hash");
pub(super) const FOLLOW: Flag =
    switch("follow", Some('f'), "go on with what happens, until Ctrl-C");
pub(super) const FOR: Flag = valued("for", "DURATION", "for how long, such as 30m or 2h");
pub(super) const REASON: Flag = valued("reason", "TEXT", "a note; others will see it");
pub(super) const CLEAR: Flag = switch("clear", None, "take the note away, and what was reported");
pub(super) const REPORTED: Flag =
    switch("reported", None, "you have just told the provider that it is down");
pub(super) const REMOVE: Flag =
    switch("remove", None, "delete the password; then no login is possible");
pub(super) const CODE: Flag =
    switch("code", None, "print a code by which a password can be set once, on the page");
#[cfg(feature = "lab")]
pub(super) const TOUR: Flag = switch("tour", None, "play a 25-second demo");
#[cfg(feature = "lab")]
pub(super) const STAY: Flag = switch("stay", None, "with --tour: go on at the prompt, page open");

/// The flags that are understood before the command as well.
pub(super) const EARLY: [&Flag; 2] = [&CONFIG, &RUN_DIR];

/// Every command, in the order of the help.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "status",
        argument: None,
        about: "show which uplink is in use and what could take over",
        more: "Exit code: 0 if some uplink works, 1 if none does, 2 if no agent runs.",
        flags: &[&JSON, &WATCH, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "why",
        argument: Some("HOST"),
        about: "show which uplink a host's traffic takes, and why",
        more: "HOST is an address or a name in the Internet, or a device in the LAN. The kernel is asked, as for\n\
               a packet from the LAN where there is one, else from this box.\n\
               Exit code: 0 if it has a way, 1 if it has none, 2 if nobody can say.\n\n\
               Example: sparelink why 192.168.77.23",
        flags: &[&JSON, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "history",
        argument: None,
        about: "show what happened, and when",
        more: "The oldest first, in local time; a ~ behind a time: the clock was set only later. Of the last 500 events\n\
               unless -n or --since asks for more, which is read from the disk (as root), as is everything\n\
               while no agent runs. Of the details (--all) the disk has few. With --json one event a line.\n\n\
               Example: sparelink history --since yesterday --uplink mifi",
        flags: &[&LINES, &SINCE, &UPLINK, &FOLLOW, &ALL, &JSON, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "report",
        argument: None,
        about: "show how reliable home and uplinks were, with evidence",
        more: "Of the last 30 days, or of a month: how much of the time home and each uplink were online, each\n\
               outage with its cause, and which other uplinks worked meanwhile. Time in which sparelink did\n\
               not run is counted apart. Reads what is on disk (as root), with or without an agent.\n\
               Exit code with --verify: 0 if all records are as they were written, 1 if not. Messages say the hash\n\
               of the last record (history_head, the last line of a mail): with --head it shows whether what\n\
               was recorded until then is as it was. What providers owe is an estimate, no legal advice.\n\n\
               Example: sparelink report --month 2026-10 --html > october.html",
        flags: &[&MONTH, &UPLINK, &JSON, &CSV, &HTML, &VERIFY, &HEAD, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "notify",
        argument: Some("[test [CHANNEL]]"),
        about: "show who is told what happens; test it, acknowledge",
        more: "Lists the channels of [[notify]]: what waits, the last delivery, what is wrong.\n\
               test sends a message by CHANNEL, or by all of them, and waits for the answer.\n\
               sparelink notify ack says that you have seen what is critical, so that nobody else is told.\n\
               Exit code of a test: 0 if it was delivered, 1 if not.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "check",
        argument: Some("[FILE]"),
        about: "check the configuration and list every mistake",
        more: "A FILE of - is standard input. Exit code: 0 if it is right, 2 if not.\n\
               A running agent is not touched.",
        flags: &[&JSON, &SERVICE, &CONFIG, &UCI],
        group: Group::Show,
    },
    Command {
        name: "doctor",
        argument: None,
        about: "check this box for problems and show fixes",
        more: "Looks at the kernel, its settings, other programs that route or filter, and the uplinks, and\n\
               listens in the LAN for four seconds; changes nothing. Needs no running agent, and sees most as root.\n\
               Exit code: 0 if nothing is wrong, 1 if something is, 2 if the configuration is.",
        flags: &[&JSON, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "plan",
        argument: None,
        about: "show the routes and nftables rules it would install",
        more: "What it comes to, and the difference to the kernel as it is now: - would go, + would come. The\n\
               difference is seen as root. Changes nothing.",
        flags: &[&FULL, &CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "replay",
        argument: Some("FILE|last"),
        about: "replay a recorded switch",
        more: "Runs the recorded inputs again and compares the decisions. FILE is what run --record wrote;\n\
               last is the recording around the last switch.\n\
               Exit code: 0 if every decision is the same, 1 at the first that differs.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Show,
    },
    Command {
        name: "switch",
        argument: Some("UPLINK|auto"),
        about: "move the traffic to UPLINK, or back to automatic",
        more: "Without --for it stays until `sparelink switch auto` or a reboot. If UPLINK fails, the next\n\
               in the chain takes over, and the traffic returns to UPLINK when it works again.\n\n\
               Example: sparelink switch mifi --for 30m",
        flags: &[&FOR, &CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "pause",
        argument: Some("UPLINK"),
        about: "stop using an uplink",
        more: "Without --for it stays paused until `sparelink resume UPLINK`.\n\n\
               Example: sparelink pause mifi --for 2h --reason \"lent to Anna\"",
        flags: &[&FOR, &REASON, &CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "resume",
        argument: Some("UPLINK"),
        about: "use a paused uplink again",
        more: "",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "note",
        argument: Some("UPLINK [TEXT]"),
        about: "keep a note about an uplink",
        more: "Such as a ticket and what was promised. It is shown on the page, in the status, in messages\n\
               about the uplink and in the report, until it is taken away with --clear, or with \"\". A day\n\
               in it (17 Nov, 17.11., 2026-11-17) is counted down. Without TEXT it is shown: exit code 0 if\n\
               there is one, 1 if not. --reported keeps when you told the provider: the report reckons from it.\n\n\
               Example: sparelink note cable \"ticket 4711, repair promised 17 Nov\"",
        flags: &[&CLEAR, &REPORTED, &CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "probe",
        argument: Some("UPLINK"),
        about: "test an uplink now",
        more: "Probes its targets, its DNS resolvers and the web check. `sparelink status` shows the result.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "reload",
        argument: None,
        about: "reload the configuration",
        more: "No connection is touched. If the file is wrong, the agent keeps what it has.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Control,
    },
    Command {
        name: "setup",
        argument: None,
        about: "find the uplinks, and write the configuration",
        more: "Looks for what leads to the Internet, tries each for some seconds, proposes order, kind and LAN,\n\
               and asks. Enter takes what is proposed; nothing is written before the last question. What it\n\
               starts is on trial: unless you type \"keep\" in time, everything is as before, also when your\n\
               session is gone. With --from the uplinks are those of mwan3 (/etc/config/mwan3) or of NetworkManager's\n\
               profiles, in their order; what cannot be taken over is told, a line each.\n\n\
               Example: sparelink setup --from mwan3 --print",
        flags: &[&FROM, &PRINT, &YES, &KEEP, &UNDO, &WITHIN, &CONFIG, &RUN_DIR],
        group: Group::Service,
    },
    Command {
        name: "run",
        argument: None,
        about: "run the agent (normally done by systemd)",
        more: "Monitors the uplinks and fails over between them. When it ends, the traffic keeps flowing as\n\
               it was. With --auto the uplinks are the default routes of the table main in the order of their\n\
               metrics, new ones join, and the LAN is every private network that is forwarded.",
        flags: &[&AUTO, &OBSERVE, &RECORD, &VERBOSE, &CONFIG, &UCI, &RUN_DIR],
        group: Group::Service,
    },
    Command {
        name: "passwd",
        argument: None,
        about: "set the password of the page",
        more: "Anyone in the LAN can see the page; to change something there, the password is needed.\n\
               Asks for it twice, or takes one line of stdin if that is no terminal. It is valid at once, and\n\
               every session has to log in again. It is kept, as a hash, in the file password beside the\n\
               configuration. With --code it prints a code instead, for somebody who has a browser but\n\
               no shell: it is good for setting the password once, and replaces an older code.",
        flags: &[&REMOVE, &CODE, &CONFIG],
        group: Group::Service,
    },
    Command {
        name: "completions",
        argument: Some(SHELLS),
        about: "print what completes commands in a shell",
        more: "For the shell at hand: source <(sparelink completions bash), and for good in\n\
               /usr/share/bash-completion/completions/sparelink, where the package has it.\n\
               sparelink completions uplinks prints the uplinks' names, for which the scripts ask.",
        flags: &[&CONFIG],
        group: Group::Service,
    },
    Command {
        name: "purge",
        argument: None,
        about: "remove all routes, rules and settings of sparelink",
        more: "The routes, rules and settings of other programs stay. Stop the agent first:\n\
               sudo systemctl stop sparelink. Then the LAN is not forwarded any more.",
        flags: &[&CONFIG, &RUN_DIR],
        group: Group::Service,
    },
    #[cfg(feature = "lab")]
    Command {
        name: "lab",
        argument: None,
        about: "try it: a simulated home with three lines to cut",
        more: "Everything lives in network namespaces; your own network is not touched.\n\
               Type unplug, sever, lose 40, slow, portal or restore, and an uplink's name;\n\
               or status, or quit.",
        flags: &[&TOUR, &STAY, &JSON],
        group: Group::Try,
    },
];

const fn switch(long: &'static str, short: Option<char>, about: &'static str) -> Flag {
    Flag { long, short, value: None, about }
}

const fn valued(long: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { long, short: None, value: Some(value), about }
}
