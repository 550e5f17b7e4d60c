//! What happened lately, in RAM.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::engine::events::facts::Event;

/// The last events, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    events: VecDeque<Event>,
}

impl History {
    /// How many events are kept.
    pub const SIZE: usize = 500;

    /// The number of the next one.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.events.back().map_or(1, |event| event.id + 1)
    }

    pub fn push(&mut self, event: Event) {
        if self.events.len() == Self::SIZE {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// From old to new.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }
}
