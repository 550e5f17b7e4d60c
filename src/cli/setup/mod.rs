//! `sparelink setup`: finds the uplinks, proves them, and writes the configuration when told.
//!
//! Nothing is written before the last question has been answered. What is started then is on trial: without a
//! confirmation everything is as before, also when the terminal or the session is gone.

use std::path::Path;
use std::process::ExitCode;

use nix::unistd::geteuid;

use super::failure::Failure;
use super::terminal;
use crate::engine::doctor::proposal::{self, Extras};
use crate::io::service::Manager;

mod ask;
mod asked;
mod box_words;
mod dnsmasq;
mod found;
mod other;
mod plan;
mod proof;
#[cfg(feature = "qr")]
mod qr;
mod trial;

pub(super) use asked::Asked;
use asked::How;
use found::{chosen, find, shown};

/// Sets the box up.
pub(super) fn setup(asked: Asked, file: &Path, run_dir: &Path) -> Result<ExitCode, Failure> {
    let Asked { how, from } = asked;
    // Whoever undoes it later stands in another directory.
    let absolute = |path: &Path| {
        let path = std::path::absolute(path);
        path.map_err(|error| Failure::plain(format!("the directory is not known: {error}")))
    };
    let (file, run_dir) = (&*absolute(file)?, &*absolute(run_dir)?);
    match how {
        How::Keep => return trial::keep(file),
        How::Undo { after } => return trial::undo(file, run_dir, after),
        How::Ask { .. } if !terminal::can_ask() => {
            let hint = "--print shows the configuration, --yes writes it without questions";
            return Err(Failure::new("setup asks questions, and this is no terminal", hint));
        }
        How::Ask { .. } | How::Yes if !geteuid().is_root() => {
            let text = "setup writes below /etc, which you may not; nothing is written";
            return Err(Failure::new(text, "try it as root, for example with sudo"));
        }
        How::Ask { .. } | How::Yes | How::Print => {}
    }
    if matches!(how, How::Ask { .. } | How::Yes) && trial::is_on(file) {
        let hint = "sparelink setup --keep, or --undo";
        return Err(Failure::new("a setup is on trial already; nothing is written", hint));
    }
    let found = find(from, file, run_dir)?;
    let language = found.language.clone();
    let header = trial::HEADER.to_owned();
    match how {
        How::Ask { within } => ask::settle(found, header, file, run_dir, within),
        How::Yes => {
            terminal::print_error(&shown(&found));
            // Nobody has seen it work: it is not started, not at the next boot either.
            let text = language.text(&chosen(found), &Extras { header, notify: None });
            trial::write(file, &proposal::unstarted(&text))?;
            let start_it = Manager::find().start_it();
            terminal::print(&format!("written: {}\nstart it: {start_it}\n", file.display()))
        }
        How::Print | How::Keep | How::Undo { .. } => {
            terminal::print_error(&shown(&found));
            let extras = Extras { header, notify: None };
            terminal::print(&language.text(&chosen(found), &extras))
        }
    }
}
