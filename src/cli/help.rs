//! The help, made from the spec.

use std::fmt::Write;

use super::spec::{COMMANDS, Command, Flag, Group, HELP, VERSION};
use super::table::{Colour, Style};

/// What the program does.
const PURPOSE: &str = "sparelink moves a home or small office to the next uplink when one dies,\n\
                       and back when it is safe.\n";

/// What to do where no agent runs.
pub(super) fn short(colour: Colour) -> String {
    let mut rows = vec![
        ("sudo sparelink setup".to_owned(), "find the uplinks and write the configuration"),
        ("sparelink doctor".to_owned(), "check this box for problems and show fixes"),
        ("sudo systemctl start sparelink".to_owned(), "start the agent"),
        ("sparelink --help".to_owned(), "list all commands"),
    ];
    if COMMANDS.iter().any(|command| command.group == Group::Try) {
        rows.insert(
            0,
            ("sparelink lab".to_owned(), "try it: a simulated home with three lines to cut"),
        );
    }
    let no_agent = heading("No agent is running here. To begin:", colour);
    format!("{PURPOSE}\n{no_agent}\n{}", columns(rows, 0))
}

/// The help of the program, or of one command.
pub(super) fn about(spec: Option<&Command>, colour: Colour) -> String {
    spec.map_or_else(|| program(colour), |spec| command(spec, colour))
}

/// The help of the whole program.
fn program(colour: Colour) -> String {
    let usage = heading("Usage:", colour);
    let mut help = format!("{PURPOSE}\n{usage} sparelink COMMAND [FLAGS]\n");
    for (group, title) in Group::ALL {
        let commands: Vec<_> = COMMANDS.iter().filter(|c| c.group == group).collect();
        if !commands.is_empty() {
            let rows = commands.iter().map(|c| (with_argument(c), c.about));
            let _ = write!(
                help,
                "\n{}\n{}",
                heading(&format!("{title}:"), colour),
                columns(rows.collect(), 20)
            );
        }
    }
    let _ = write!(help, "\n{}\n{}", heading("Flags:", colour), flags(&[&HELP, &VERSION]));
    help.push_str("\nsparelink COMMAND --help tells more, its exit codes too.\n");
    help
}

/// The help of one command.
fn command(command: &Command, colour: Colour) -> String {
    let mut about = command.about.chars();
    let first = about.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let mut help =
        format!("{first}{}.\n\n{} {}\n", about.as_str(), heading("Usage:", colour), usage(command));
    if !command.more.is_empty() {
        let _ = write!(help, "\n{}\n", command.more);
    }
    let mut all = command.flags.to_vec();
    all.push(&HELP);
    let _ = write!(help, "\n{}\n{}", heading("Flags:", colour), flags(&all));
    help
}

/// The usage line of one command, without `Usage:`.
pub(super) fn usage(command: &Command) -> String {
    format!("sparelink {} [FLAGS]", with_argument(command))
}

fn heading(text: &str, colour: Colour) -> String {
    Style::Strong.paint(text, colour)
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
