//! The help, made from the spec.

use std::fmt::Write;

use super::spec::{COMMANDS, Command, Flag, Group, HELP, VERSION};

/// The help of the whole program.
pub(super) fn program() -> String {
    let mut help = String::from(
        "sparelink moves a home or small office to the next uplink when one dies,\n\
         and back when it is safe.\n\n\
         Usage: sparelink COMMAND [FLAGS]\n",
    );
    for (group, heading) in Group::ALL {
        let commands: Vec<_> = COMMANDS.iter().filter(|c| c.group == group).collect();
        if !commands.is_empty() {
            let rows = commands.iter().map(|c| (with_argument(c), c.about));
            let _ = write!(help, "\n{heading}:\n{}", columns(rows.collect(), 20));
        }
    }
    let _ = write!(help, "\nFlags:\n{}", flags(&[&HELP, &VERSION]));
    help.push_str("\nsparelink COMMAND --help tells more. Exit codes: 0 yes, 1 no, 2 error.\n");
    help
}

/// The help of one command.
pub(super) fn command(command: &Command) -> String {
    let mut about = command.about.chars();
    let first = about.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let mut help = format!("{first}{}.\n\nUsage: {}\n", about.as_str(), usage(command));
    if !command.more.is_empty() {
        let _ = write!(help, "\n{}\n", command.more);
    }
    let mut all = command.flags.to_vec();
    all.push(&HELP);
    let _ = write!(help, "\nFlags:\n{}", flags(&all));
    help
}

/// The usage line of one command, without `Usage:`.
pub(super) fn usage(command: &Command) -> String {
    format!("sparelink {} [FLAGS]", with_argument(command))
}

fn with_argument(command: &Command) -> String {
    command.argument.map_or_else(|| command.name.to_owned(), |a| format!("{} {a}", command.name))
}

fn flags(flags: &[&Flag]) -> String {
    let rows = flags.iter().map(|flag| {
        let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
        let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
        (format!("{short}--{}{value}", flag.long), flag.about)
    });
    columns(rows.collect(), 0)
}

/// Two aligned columns, the first at least `least` wide.
fn columns(rows: Vec<(String, &str)>, least: usize) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0).max(least);
    rows.iter().map(|(left, right)| format!("  {left:width$}  {right}\n")).collect()
}
