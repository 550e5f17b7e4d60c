//! What becomes of connections when their uplink dies: the real agent in the lab's home, and fleets
//! of real clients.

mod eye;
mod failback;
mod failover;
mod fleet;
mod many;
mod missing;
mod own;
mod told;

use std::time::Duration;

use crate::runner::{Room, Test, within};

/// The tests of this module.
pub(crate) fn tests() -> Vec<Test> {
    let all = [
        failover::tests(),
        failback::tests(),
        own::tests(),
        many::tests(),
        missing::tests(),
        told::tests(),
    ];
    within("flows", Room::Much, all.into_iter().flatten())
}

/// Median and worst, in milliseconds.
fn spread(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    format!("median {:.0} ms, worst {:.0} ms", ms(times.get(times.len() / 2)), ms(times.last()))
}
