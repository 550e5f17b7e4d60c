//! What is shown: the state for page and command line, LEDs, costs.

pub(super) mod housekeeping;
pub mod leds;
pub mod snapshot;
pub mod usage;
