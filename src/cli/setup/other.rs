//! Whose configuration setup can begin with (`--from`).

use super::box_words::put;
use crate::cli::failure::Failure;
use crate::cli::table::printable;
use crate::cli::terminal;
use crate::config::nearest;
use crate::engine::doctor::proposal::from::{self, Said};
use crate::engine::doctor::proposal::{Proposal, Seen};
use crate::io::inspect::Roots;
use crate::io::inspect::others::{self, Unread};

/// A program that chooses uplinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Program {
    Mwan3,
    NetworkManager,
}

impl Program {
    const ALL: [(&'static str, Self); 2] =
        [("mwan3", Self::Mwan3), ("networkmanager", Self::NetworkManager)];

    /// The program that a person calls so.
    pub(super) fn named(word: &str) -> Result<Self, Failure> {
        let lower = word.to_lowercase();
        if let Some((_, found)) = Self::ALL.iter().find(|(name, _)| *name == lower) {
            return Ok(*found);
        }
        let near = nearest(&lower, Self::ALL.map(|(name, _)| name));
        let hint = near.map_or_else(
            || "mwan3 and networkmanager are understood".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        let word: String = word.chars().take(40).collect();
        Err(Failure::new(format!("--from: {:?} is not known", printable(&word)), hint))
    }

    /// What is to be done about it as soon as sparelink runs.
    const fn advice(self) -> Option<&'static str> {
        match self {
            Self::Mwan3 => Some(
                "mwan3 steers as long as it runs. Before sparelink starts: \
                 /etc/init.d/mwan3 stop; /etc/init.d/mwan3 disable\n",
            ),
            // It stays, and keeps the connections.
            Self::NetworkManager => None,
        }
    }
}

/// What a program's configuration comes to on this box. What is not taken over is told, a line each.
pub(super) fn proposal(program: Program, seen: &Seen) -> Result<Proposal, Failure> {
    let said = said(program, seen).map_err(|error| unread(program, error))?;
    let mut text = String::new();
    for line in &said.dropped {
        put(&mut text, format_args!("dropped: {}\n", printable(line)));
    }
    text.push_str(program.advice().unwrap_or_default());
    terminal::print_error(&text);
    Ok(from::named(&said, seen))
}

fn said(program: Program, seen: &Seen) -> Result<Said, Unread> {
    let roots = Roots::default();
    Ok(match program {
        Program::Mwan3 => {
            let (file, network) = others::mwan3(&roots)?;
            from::mwan3(&file, network.as_ref())
        }
        Program::NetworkManager => {
            let files = others::profiles(&roots)?;
            from::networkmanager(&files, &others::active_profiles(&roots), seen)
        }
    })
}

fn unread(program: Program, error: Unread) -> Failure {
    let hint = match (&error, program) {
        (Unread::Forbidden { .. }, _) => "try it as root, for example with sudo",
        (Unread::Missing { .. }, Program::Mwan3) => {
            "OpenWrt has it where mwan3 is installed; without --from setup looks for uplinks itself"
        }
        (Unread::Missing { .. }, Program::NetworkManager) => {
            "profiles are read from /etc, /run and /usr/lib; without --from setup looks for uplinks itself"
        }
        (Unread::TooLarge { .. } | Unread::TooMany { .. } | Unread::Other { .. }, _) => {
            "without --from setup looks for uplinks itself"
        }
    };
    Failure::new(format!("{:#}", anyhow::Error::from(error)), hint)
}
