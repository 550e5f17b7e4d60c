//! What others did to what is ours, in kinds and numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What others did in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    pub rules: Count,
    pub routes: Count,
    /// The nftables table as a whole.
    pub table: Option<Damage>,
    /// How many sets of the table had other elements.
    pub sets: usize,
    /// Sysctls by their paths below `/proc/sys`, with the value that was found; empty: none could be read.
    pub sysctls: BTreeMap<String, String>,
}

/// How many things of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// This many are desired.
    pub desired: usize,
    pub deleted: usize,
    pub changed: usize,
    /// There in our name, and not desired.
    pub added: usize,
}

/// What had happened to the nftables table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    Deleted,
    /// It was another one than ours, or parts of it were gone.
    Changed,
}

/// Kinds of things that others delete or change, for counting repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Rules,
    Routes,
    /// The nftables table and its sets.
    Nftables,
    Sysctls,
}

impl Kind {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Routes => "routes",
            Self::Nftables => "nftables",
            Self::Sysctls => "sysctls",
        }
    }
}

impl Undone {
    /// The kinds of things that they touched.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let kinds = [
            (Kind::Rules, self.rules.differs()),
            (Kind::Routes, self.routes.differs()),
            (Kind::Nftables, self.table.is_some() || self.sets > 0),
            (Kind::Sysctls, !self.sysctls.is_empty()),
        ];
        kinds.into_iter().filter_map(|(kind, differs)| differs.then_some(kind))
    }

    /// How many things they deleted.
    #[must_use]
    pub fn deleted(&self) -> usize {
        self.rules.deleted + self.routes.deleted + self.tables(Damage::Deleted)
    }

    /// How many they changed, sets and sysctls among them.
    #[must_use]
    pub fn changed(&self) -> usize {
        let (table, sysctls) = (self.tables(Damage::Changed), self.sysctls.len());
        self.rules.changed + self.routes.changed + table + self.sets + sysctls
    }

    /// How many they added in our name.
    #[must_use]
    pub const fn added(&self) -> usize {
        self.rules.added + self.routes.added
    }

    fn tables(&self, damage: Damage) -> usize {
        usize::from(self.table == Some(damage))
    }
}

impl Count {
    const fn differs(&self) -> bool {
        self.deleted + self.changed + self.added > 0
    }
}
