//! What must not follow a change that failed: nothing old is removed whose successor is missing, and nothing
//! is steered or forwarded without the table.

use std::collections::BTreeSet;

use super::diff::{Change, is_forwarding};
use crate::units::{Family, TableId};

/// What failed, as far as later changes depend on it.
#[derive(Debug, Default)]
pub struct Failed {
    routes: BTreeSet<(Family, TableId)>,
    rules: BTreeSet<Family>,
    accept_ra: bool,
    /// Without the table packets would leave as they are, with addresses that nobody answers.
    table: bool,
}

impl Failed {
    /// The table could not be looked at: it may not stand.
    pub const fn without_table(&mut self) {
        self.table = true;
    }

    /// Takes note of a change that could not be made. `is_there` says of a sysctl whether it still is.
    pub fn remember(&mut self, change: &Change, is_there: impl Fn(&str) -> bool) {
        match change {
            Change::ReplaceRoute(route) => {
                self.routes.insert((route.family, route.table));
            }
            Change::AddRule(rule) => {
                self.rules.insert(rule.family);
            }
            // Of a device that is gone there is nothing to be lost.
            Change::SetSysctl { path, .. } if path.ends_with("/accept_ra") => {
                self.accept_ra |= is_there(path);
            }
            Change::BuildTable(_) => self.table = true,
            Change::SetSysctl { .. }
            | Change::DelRoute(_)
            | Change::DelRule(_)
            | Change::Elements { .. } => {}
        }
    }

    /// Whether a change must not be made any more.
    #[must_use]
    pub fn forbids(&self, change: &Change) -> bool {
        match change {
            Change::DelRoute(route) => self.routes.contains(&(route.family, route.table)),
            Change::DelRule(rule) => self.table || self.rules.contains(&rule.family),
            Change::AddRule(_) => self.table,
            Change::SetSysctl { path, .. } => {
                let guarded = self.accept_ra && path.starts_with("net/ipv6/");
                (guarded || self.table) && is_forwarding(path)
            }
            Change::ReplaceRoute(_) | Change::BuildTable(_) | Change::Elements { .. } => false,
        }
    }
}
