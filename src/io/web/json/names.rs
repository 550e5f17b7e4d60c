//! The box's names, as programs are told of them.

use serde::Serialize;

use crate::engine::events::entry::plain;
use crate::engine::names::ddns::told::NameState;
use crate::time::Now;

/// A name that the box keeps up to date.
#[derive(Debug, Serialize)]
pub(super) struct NameOf {
    name: String,
    /// The uplink whose name it is; `null`: it follows the traffic.
    uplink: Option<String>,
    /// What it says, as far as is known.
    v4: Option<String>,
    v6: Option<String>,
    /// The uplinks whose addresses it should say.
    v4_of: Option<String>,
    v6_of: Option<String>,
    state: &'static str,
    text: String,
    written: Option<String>,
    /// How long after the move the name server said it.
    seen_after_s: Option<f64>,
    next_in_s: Option<u64>,
    failing: Option<String>,
}

impl NameOf {
    pub(super) fn new(name: &NameState, now: Now) -> Self {
        Self {
            name: plain(&name.name),
            uplink: name.uplink.clone(),
            v4: name.says.v4.map(|ip| ip.to_string()),
            v6: name.says.v6.map(|ip| ip.to_string()),
            v4_of: name.of.v4.clone(),
            v6_of: name.of.v6.clone(),
            state: name.state.word(),
            text: plain(&name.text),
            written: name.written.map(|at| at.to_string()),
            seen_after_s: name.seen_after.map(|after| (after.as_secs_f64() * 1e3).round() / 1e3),
            next_in_s: name.next.map(|at| at.since(now.mono).as_secs()),
            failing: name.failing.as_deref().map(plain),
        }
    }
}
