//! Which board this is, and whose its LEDs are.

use std::path::Path;

use crate::config::board::{Board, GENERIC};
use crate::config::{BoardChoice, Config};
use crate::engine::Mode;
use crate::io::inspect::{self, Roots};
use crate::io::leds::{self, Leds};

/// Fills in which LEDs there are where `[leds]` says nothing: those that were given to us, then those of the board, then
/// the one that shows that the system is up.
pub(super) fn fit(config: &mut Config) {
    let (root, auto) = (Path::new("/"), config.leds.board == BoardChoice::Auto);
    for (section, led) in leds::handed(root) {
        config.take_led(Some(&section), led);
    }
    if let Some(board) = Board::choose(&config.leds.board, &inspect::compatible(&Roots::default()))
    {
        config.take_leds_of(&board);
    }
    if auto && let Some(led) = leds::running(root) {
        config.take_led(None, led);
    }
}

/// The LEDs of this box, and a word about a board that is not known.
pub(super) fn leds(config: &Config, mode: Mode) -> Leds {
    let root = Path::new("/");
    let words = inspect::compatible(&Roots::default());
    let board = Board::choose(&config.leds.board, &words);
    if config.leds.board == BoardChoice::Auto && board.is_some_and(|board| board.name == GENERIC) {
        let name = words.first().map_or("it has no device tree", String::as_str);
        let leds = match &config.leds.status {
            Some(led) => format!("the LED {led} shows how things are"),
            None => "only LEDs that [leds] names are used".to_owned(),
        };
        tracing::info!("this board is not known ({name}); {leds}");
    }
    let none = config.leds.status.is_none() && config.leds.uplinks.is_empty();
    if none
        && mode == Mode::Steer
        && let Err(error) = leds::give_back(root, &config.run_dir)
    {
        tracing::debug!(%error, "an LED shows what a killed agent left");
    }
    Leds::new(root, &config.run_dir)
}
