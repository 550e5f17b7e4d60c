//! What completes commands, flags and uplinks in a shell: scripts made from the spec.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::failure::Failure;
use super::spec::{COMMANDS, Command, Flag, Group, HELP, SHELLS, VERSION};
use super::terminal;
use crate::config;

/// What completes a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Files,
    Folders,
    Uplinks,
    /// Only a person knows.
    Free,
    /// These.
    Fixed(&'static str),
    /// Uplinks, and these.
    UplinksAnd(&'static str),
}

/// Prints the script for a shell, or the names of the uplinks in a configuration.
pub(super) fn print(word: &str, config: &Path) -> Result<ExitCode, Failure> {
    terminal::print(&match word {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        "uplinks" => {
            let names = config::load(config)?.uplinks;
            names.iter().map(|uplink| format!("{}\n", uplink.name)).collect()
        }
        _ => {
            let text = format!("there are no completions for {word}");
            return Err(Failure::new(text, "the shells are bash, zsh and fish"));
        }
    })
}

/// What the value of a flag may be.
fn of_flag(flag: &Flag) -> Option<Words> {
    Some(match flag.value? {
        "FILE" => Words::Files,
        "DIR" => Words::Folders,
        "NAME" => Words::Uplinks,
        "PROGRAM" => Words::Fixed("mwan3 networkmanager"),
        _ => Words::Free,
    })
}

/// What the argument of a command may be.
fn of_argument(command: &Command) -> Words {
    match command.argument {
        None => Words::Fixed(""),
        Some("UPLINK|auto") => Words::UplinksAnd("auto"),
        Some(text) if text.starts_with("UPLINK") => Words::Uplinks,
        Some("[test [CHANNEL]]") => Words::Fixed("test ack"),
        // Only a person knows which.
        Some("HOST") => Words::Free,
        Some(SHELLS) => Words::Fixed("bash zsh fish"),
        Some(_) => Words::Files,
    }
}

/// The commands of a box: the scripts are the same with and without the lab.
fn commands() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|command| command.group != Group::Try)
}

fn flags(command: &Command) -> impl Iterator<Item = &'static Flag> {
    command.flags.iter().copied().chain([&HELP])
}

/// A flag as it is typed: `--long`, and `-s` where it has a letter.
fn spellings(flag: &Flag) -> String {
    let short = flag.short.map(|letter| format!(" -{letter}")).unwrap_or_default();
    format!("--{}{short}", flag.long)
}

fn bash() -> String {
    let asks = |words: Words| match words {
        Words::Files => "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))".to_owned(),
        Words::Folders => "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\"))".to_owned(),
        Words::Uplinks | Words::UplinksAnd(_) => {
            let more = if let Words::UplinksAnd(more) = words { more } else { "" };
            format!(
                "COMPREPLY=($(compgen -W \"$(sparelink completions uplinks 2>/dev/null) {more}\" -- \"$word\"))"
            )
        }
        Words::Fixed(words) => format!("COMPREPLY=($(compgen -W \"{words}\" -- \"$word\"))"),
        Words::Free => "COMPREPLY=()".to_owned(),
    };
    let mut text = String::from(
        "# Completes sparelink's commands in bash. Made by `sparelink completions bash`.\n\
         _sparelink() {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n    \
         local command= at\n    for ((at = 1; at < COMP_CWORD; at++)); do\n        \
         case ${COMP_WORDS[at]} in\n            --config | --run-dir) ((at++)) ;;\n            -*) ;;\n            \
         *) command=${COMP_WORDS[at]} && break ;;\n        esac\n    done\n    case $before in\n",
    );
    for flag in valued() {
        let words = of_flag(flag).unwrap_or(Words::Free);
        let spelled = spellings(flag).replace(' ', " | ");
        let _ = writeln!(text, "        {spelled}) {}; return ;;", asks(words));
    }
    text += "    esac\n    case $command in\n";
    let names: Vec<&str> = commands().map(|command| command.name).collect();
    let _ = writeln!(
        text,
        "        '') {} ;;",
        asks(Words::Fixed(""))
            .replace("\"\"", &format!("\"{} --help --version\"", names.join(" ")))
    );
    for command in commands() {
        let all: Vec<String> = flags(command).map(spellings).collect();
        let _ = writeln!(
            text,
            "        {}) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"{}\" -- \"$word\")); else {}; fi ;;",
            command.name,
            all.join(" "),
            asks(of_argument(command))
        );
    }
    text + "    esac\n}\ncomplete -F _sparelink sparelink\n"
}

/// Every flag that has a value, once.
fn valued() -> Vec<&'static Flag> {
    let mut all: Vec<&'static Flag> = Vec::new();
    for flag in commands().flat_map(|command| command.flags.iter().copied()) {
        if flag.value.is_some() && !all.contains(&flag) {
            all.push(flag);
        }
    }
    all
}

/// Text between single quotes, for zsh and fish.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn zsh() -> String {
    let action = |words: Words| match words {
        Words::Files => "_files".to_owned(),
        Words::Folders => "_files -/".to_owned(),
        Words::Uplinks => "_sparelink_uplinks".to_owned(),
        Words::UplinksAnd(more) => format!("_sparelink_uplinks {more}"),
        Words::Fixed(words) => format!("({words})"),
        Words::Free => " ".to_owned(),
    };
    let mut text = String::from(
        "#compdef sparelink\n# Completes sparelink's commands in zsh. Made by `sparelink completions zsh`.\n\
         _sparelink_uplinks() {\n    local -a names\n    \
         names=(${(f)\"$(sparelink completions uplinks 2>/dev/null)\"} $@)\n    compadd -a names\n}\n\
         _sparelink() {\n    local context state line\n    local -a commands\n    commands=(\n",
    );
    for command in commands() {
        let _ =
            writeln!(text, "        {}", quoted(&format!("{}:{}", command.name, command.about)));
    }
    text += "    )\n    _arguments -C '1:command:->command' '*::word:->words' '--help' '--version'\n    \
             case $state in\n        command) _describe command commands ;;\n        words)\n            \
             case $line[1] in\n";
    for command in commands() {
        let _ = write!(text, "                {}) _arguments", command.name);
        for flag in flags(command) {
            // A bracket would end the explanation.
            let about = flag.about.replace('[', "(").replace(']', ")").replace(':', " -");
            let value = of_flag(flag)
                .map(|words| format!(":{}:{}", flag.value.unwrap_or_default(), action(words)));
            let value = value.unwrap_or_default();
            let mut spelled = vec![format!("--{}", flag.long)];
            spelled.extend(flag.short.map(|letter| format!("-{letter}")));
            for one in spelled {
                let _ = write!(text, " {}", quoted(&format!("{one}[{about}]{value}")));
            }
        }
        let words = of_argument(command);
        if words != Words::Fixed("") {
            let _ = write!(text, " {}", quoted(&format!("1:word:{}", action(words))));
        }
        text += " ;;\n";
    }
    // Where zsh finds it by itself it is the function, else it is read once.
    text + "            esac ;;\n    esac\n}\n\
            if [ \"$funcstack[1]\" = _sparelink ]; then\n    _sparelink \"$@\"\nelse\n    \
            compdef _sparelink sparelink\nfi\n"
}

fn fish() -> String {
    let asks = |words: Words| match words {
        Words::Files => " -F".to_owned(),
        Words::Folders => " -a '(__fish_complete_directories)'".to_owned(),
        Words::Uplinks => " -a '(sparelink completions uplinks 2>/dev/null)'".to_owned(),
        Words::UplinksAnd(more) => {
            format!(" -a '(sparelink completions uplinks 2>/dev/null) {more}'")
        }
        Words::Fixed("") | Words::Free => String::new(),
        Words::Fixed(words) => format!(" -a {}", quoted(words)),
    };
    let mut text = String::from(
        "# Completes sparelink's commands in fish. Made by `sparelink completions fish`.\n\
         complete -c sparelink -f\n",
    );
    for flag in [&HELP, &VERSION] {
        let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "complete -c sparelink -n __fish_use_subcommand -l {}{short} -d {}",
            flag.long,
            quoted(flag.about)
        );
    }
    for command in commands() {
        let (name, about) = (command.name, quoted(command.about));
        let _ =
            writeln!(text, "complete -c sparelink -n __fish_use_subcommand -a {name} -d {about}");
        let seen = quoted(&format!("__fish_seen_subcommand_from {name}"));
        let words = asks(of_argument(command));
        if !words.is_empty() {
            let _ = writeln!(text, "complete -c sparelink -n {seen}{words}");
        }
        for flag in flags(command) {
            let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
            let value = of_flag(flag).map(|words| {
                let alone = if words == Words::Files { "-r" } else { "-x" };
                format!(" {alone}{}", asks(words))
            });
            let _ = writeln!(
                text,
                "complete -c sparelink -n {seen} -l {}{short}{} -d {}",
                flag.long,
                value.unwrap_or_default(),
                quoted(flag.about)
            );
        }
    }
    text
}
