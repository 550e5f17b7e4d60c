//! nftables: builds our table, changes its elements, and tells what is there.
//!
//! Everything that changes goes through one batch, which takes effect as a whole or not at all. The
//! structure is recognised by a digest in the table's userdata and one beside each rule.
//!
//! Overlaps: in an interval set the kernel refuses an element that overlaps another one (`EEXIST`),
//! unless the two are equal. A desired state must therefore not hold a prefix inside another prefix of the
//! same set, see [`Set::drop_covered`](crate::engine::dataplane::nft::Set::drop_covered); prefixes
//! side by side are fine, and one batch may replace a prefix by a wider one.

mod decode;
mod encode;
mod expr;
mod filter;
mod foreign;
mod key;
mod marks;
#[cfg(feature = "lab")]
pub(super) mod overhear;
mod uapi;

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::lacking::is_lacking;
use super::nfnl::{Attributes, Attrs, Message, Nfnl, NfnlError, SUBSYS_NFTABLES, missing};
use crate::engine::dataplane::nft::{
    Chain, ChainKind, Hook, HookPoint, Key, Set, Stmt, Table, Value,
};
use crate::engine::dataplane::render;
use crate::units::{Fwmark, Gather as _};
use decode::Shape;
use encode::{elements_messages, message};
use key::Element;
use uapi::{
    DELSETELEM, DELTABLE, ELEM_LIST_ELEMENTS, ELEM_LIST_SET, ELEM_LIST_TABLE, GEN_ID, GETCHAIN,
    GETGEN, GETOBJ, GETRULE, GETSET, GETSETELEM, GETTABLE, NEWSETELEM, OBJ_TABLE, OBJ_TYPE,
    OBJECT_COUNTER, RULE_TABLE, SET_TABLE, TABLE_NAME, TABLE_OWNER,
};

pub use decode::Count;

/// A table that never comes to be, and one that is not there.
const TRIAL: &str = "sparelink_trial";
const NO_TABLE: &str = "a table that is not there";
/// Tries at a listing that other people's changes interrupt.
const TRIES: u32 = 10;

/// A socket to nf_tables, in the network namespace in which it was opened. Calls block.
#[derive(Debug)]
pub struct Nft {
    link: Nfnl,
}

/// What changes in one set or map.
#[derive(Clone, Copy, Debug)]
pub struct ElementChange<'a> {
    /// The name of the set.
    pub set: &'a str,
    /// Elements to add; those that are there already are no error, and in a set with a timeout
    /// their time begins again.
    pub add: &'a [(Key, Option<Value>)],
    /// Elements to remove; those that are not there are no error.
    pub del: &'a [Key],
}

impl Nft {
    /// Opens the socket and makes sure that nf_tables is there and may be used.
    ///
    /// # Errors
    /// [`NfnlError::Permission`] or [`NfnlError::Missing`], each a sentence for people.
    pub fn open() -> Result<Self, NfnlError> {
        let mut nft = Self { link: Nfnl::open()? };
        // Netfilter answers EINVAL for a subsystem that it does not know.
        nft.generation().map_err(|error| match error.errno() {
            Some(Errno::EINVAL | Errno::EOPNOTSUPP) => {
                missing("nftables", "CONFIG_NF_TABLES", "nf_tables")
            }
            _ => error,
        })?;
        Ok(nft)
    }

    /// Builds the table again, atomically, whether or not one of its name was there.
    ///
    /// # Errors
    /// What the kernel refused; the old table is then untouched.
    pub fn build(&mut self, table: &Table) -> Result<(), NfnlError> {
        match self.link.batch(SUBSYS_NFTABLES, &encode::build(table)?) {
            // The same answer as without the capability, which was there when the socket was opened.
            Err(NfnlError::Permission) => {
                Err(self.owned(&table.name).unwrap_or(NfnlError::Permission))
            }
            other => other,
        }
    }

    /// The error that tells whose table it is, if it is somebody's alone (`NFT_TABLE_F_OWNER`).
    fn owned(&mut self, name: &str) -> Option<NfnlError> {
        let attrs = Attrs::new().text(TABLE_NAME, name);
        let object = format!("table inet {name}");
        let mut owner = None;
        let ask = message(GETTABLE, 0, attrs, object.clone());
        self.link.request(&ask, |table| owner = table.be32(TABLE_OWNER)).ok()?;
        owner.map(|port| NfnlError::Owned { object, port })
    }

    /// Changes elements of any number of sets in one batch, removals first. `table` says how the
    /// sets are made; its elements are not looked at.
    ///
    /// # Errors
    /// What the kernel refused; nothing has changed then.
    pub fn change_elements(
        &mut self,
        table: &Table,
        changes: &[ElementChange<'_>],
    ) -> Result<(), NfnlError> {
        let removals = self.removals(table, changes, key::is_concat_interval)?;
        match self.link.batch(SUBSYS_NFTABLES, &change_messages(table, changes, &removals)?) {
            // Something that should be removed is gone already: a timeout, or somebody was faster.
            Err(error) if error.errno() == Some(Errno::ENOENT) => {
                let removals = self.removals(table, changes, |_| true)?;
                let messages = change_messages(table, changes, &removals)?;
                self.link.batch(SUBSYS_NFTABLES, &messages)
            }
            other => other,
        }
    }

    /// What is in the kernel of the table that is desired: the desired table's structure with the elements
    /// that are there, or an empty [`Table`] if it has to be built again, because it is missing, is of
    /// another structure, or somebody took something out of it.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn observe(&mut self, desired: &Table) -> Result<Table, NfnlError> {
        for _ in 0..TRIES {
            match self.observe_once(desired) {
                Err(NfnlError::Interrupted) => {}
                // There is none, or somebody has deleted it meanwhile.
                Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(Table::default()),
                other => return other,
            }
        }
        Err(NfnlError::Interrupted)
    }

    /// Removes a table, if it is there.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn delete(&mut self, name: &str) -> Result<(), NfnlError> {
        let attrs = Attrs::new().text(TABLE_NAME, name);
        let delete = message(DELTABLE, 0, attrs, format!("table inet {name}"));
        match self.link.batch(SUBSYS_NFTABLES, &[delete]) {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }

    /// Makes sure that the kernel would take a table like this. Nothing is changed: the batch that
    /// tries it cannot succeed. Modules that it needs are loaded by then.
    ///
    /// # Errors
    /// [`NfnlError::Missing`] names the part that this kernel lacks; else what it answered.
    pub fn check(&mut self, table: &Table) -> Result<(), NfnlError> {
        let mut batch = encode::build(&Table { name: TRIAL.to_owned(), ..table.clone() })?;
        let none = Attrs::new().text(TABLE_NAME, "sparelink_none");
        batch.push(message(DELTABLE, 0, none, NO_TABLE.to_owned()));
        match self.link.batch(SUBSYS_NFTABLES, &batch) {
            Err(NfnlError::Refused { object, .. }) if object == NO_TABLE => Ok(()),
            other => other,
        }
    }

    /// Whether the kernel knows such a statement; where that cannot be told, it counts as known. Nothing is
    /// changed.
    pub fn knows(&mut self, statement: &Stmt) -> bool {
        let name = render::statement(statement);
        if is_lacking(&name) {
            return false;
        }
        let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Postrouting, priority: 0 };
        let rules = vec![vec![statement.clone()]];
        let chains = vec![Chain { name: "try".to_owned(), hook: Some(hook), rules }];
        let tried = self.check(&Table { chains, ..Table::default() });
        if let Err(error) = &tried {
            tracing::info!("this kernel does not know `{name}`: {error}");
        }
        let unknown = [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ENOENT];
        !tried.is_err_and(|error| {
            matches!(error, NfnlError::Missing { .. })
                || error.errno().is_some_and(|errno| unknown.contains(&errno))
        })
    }

    /// Makes sure that the kernel has conntrack marks, which flows are pinned with. Nothing is
    /// changed.
    ///
    /// # Errors
    /// [`NfnlError::Missing`] if it has none; else what the kernel answered.
    pub fn check_ct_marks(&mut self) -> Result<(), NfnlError> {
        const OPTION: &str = "CONFIG_NF_CONNTRACK_MARK";
        let lacking = || missing("conntrack marks (`ct mark`)", OPTION, "nf_conntrack");
        if is_lacking(OPTION) {
            return Err(lacking());
        }
        let mark = Fwmark { value: 0, mask: Fwmark::UPLINK_MASK };
        let rules = vec![vec![Stmt::CtMark(mark), Stmt::SetCtMark(mark)]];
        let chains = vec![Chain { name: "try".to_owned(), hook: None, rules }];
        match self.check(&Table { chains, ..Table::default() }) {
            Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => Err(lacking()),
            other => other,
        }
    }

    /// Whether there is a table of that name.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn exists(&mut self, name: &str) -> Result<bool, NfnlError> {
        let attrs = Attrs::new().text(TABLE_NAME, name);
        match self.link.request(&message(GETTABLE, 0, attrs, format!("table inet {name}")), |_| ())
        {
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// All named counters of a table, in one dump.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn counters(&mut self, name: &str) -> Result<BTreeMap<String, Count>, NfnlError> {
        let attrs = Attrs::new().text(OBJ_TABLE, name).be32(OBJ_TYPE, OBJECT_COUNTER);
        let list = message(GETOBJ, 0, attrs, format!("counters of table inet {name}"));
        for _ in 0..TRIES {
            let mut found = BTreeMap::new();
            match self.link.dump(&list, |object| found.extend(decode::count(object))) {
                Err(NfnlError::Interrupted) => {}
                other => return other.map(|()| found),
            }
        }
        Err(NfnlError::Interrupted)
    }

    /// The number of the ruleset's generation; it changes whenever anybody changes a table.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn generation(&mut self) -> Result<u32, NfnlError> {
        let ask = message(GETGEN, 0, Attrs::new(), "the ruleset's generation".to_owned());
        let mut id = None;
        self.link.request(&ask, |answer| id = answer.be32(GEN_ID).or(id))?;
        Ok(id.unwrap_or(0))
    }

    fn observe_once(&mut self, desired: &Table) -> Result<Table, NfnlError> {
        let name = desired.name.as_str();
        if !self.has_digest(desired)? {
            return Ok(Table::default());
        }
        let mut shape = Shape::default();
        let of = |kind, key: u16, what: &str| {
            message(kind, 0, Attrs::new().text(key, name), format!("{what} of table inet {name}"))
        };
        let all = message(GETCHAIN, 0, Attrs::new(), "chains".to_owned());
        self.link.dump(&all, |chain| shape.chain(name, chain))?;
        self.link.dump(&of(GETRULE, RULE_TABLE, "rules"), |rule| shape.rule(rule))?;
        self.link.dump(&of(GETSET, SET_TABLE, "sets"), |set| shape.set(set))?;
        self.link.dump(&of(GETOBJ, OBJ_TABLE, "objects"), |object| shape.counter(object))?;
        shape.counters.sort_unstable();
        if shape != Shape::of(desired) {
            return Ok(Table::default());
        }
        let mut observed = desired.clone();
        for (set_name, set) in &mut observed.sets {
            match self.elements(name, set_name, set)? {
                Some(elements) => set.elements = elements.into_iter().gather(),
                None => return Ok(Table::default()),
            }
        }
        Ok(observed)
    }

    /// What to remove for each change: in sets that are to be `checked`, only what is there.
    ///
    /// Concatenations of prefixes must be: told to delete a prefix that is not in the set, the
    /// kernel (seen on 6.18) deletes a wider one around it.
    fn removals(
        &mut self,
        table: &Table,
        changes: &[ElementChange<'_>],
        checked: impl Fn(&Set) -> bool,
    ) -> Result<Vec<Vec<Key>>, NfnlError> {
        let mut removals = Vec::new();
        for change in changes {
            let set = definition(table, change.set)?;
            let mut keys = change.del.to_vec();
            if !keys.is_empty() && checked(set) {
                let there = self.elements(&table.name, change.set, set)?.unwrap_or_default();
                let there: BTreeSet<Key> = there.into_iter().map(|(key, _)| key).gather();
                keys.retain(|key| there.contains(key));
            }
            removals.push(keys);
        }
        Ok(removals)
    }

    fn has_digest(&mut self, desired: &Table) -> Result<bool, NfnlError> {
        let attrs = Attrs::new().text(TABLE_NAME, &desired.name);
        let ask = message(GETTABLE, 0, attrs, format!("table inet {}", desired.name));
        let digest = desired.digest();
        let mut same = false;
        self.link.request(&ask, |table| same |= decode::has_digest(table, digest))?;
        Ok(same)
    }

    fn elements(
        &mut self,
        table: &str,
        name: &str,
        set: &Set,
    ) -> Result<Option<Vec<Element>>, NfnlError> {
        let attrs = Attrs::new().text(ELEM_LIST_TABLE, table).text(ELEM_LIST_SET, name);
        let list = message(GETSETELEM, 0, attrs, format!("elements of set {name}"));
        let mut raw = Some(Vec::new());
        let each = |answer: Attributes<'_>| {
            for (_, entry) in answer.nested(ELEM_LIST_ELEMENTS) {
                match (key::read(Attributes(entry)), raw.as_mut()) {
                    (Some(element), Some(raw)) => raw.push(element),
                    _ => raw = None,
                }
            }
        };
        match self.link.dump(&list, each) {
            // Deleted since it was listed.
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
            other => other.map(|()| raw.and_then(|raw| key::keys(set, raw))),
        }
    }
}

/// Removals of all sets, then additions of all sets.
fn change_messages(
    table: &Table,
    changes: &[ElementChange<'_>],
    removals: &[Vec<Key>],
) -> Result<Vec<Message>, NfnlError> {
    let mut messages = Vec::new();
    for (change, removals) in changes.iter().zip(removals) {
        let set = definition(table, change.set)?;
        let gone: Vec<_> = removals.iter().map(|key| (key, None)).collect();
        messages.extend(elements_messages(DELSETELEM, &table.name, change.set, set, &gone)?);
    }
    for change in changes {
        let set = definition(table, change.set)?;
        let new: Vec<_> = change.add.iter().map(|(key, v)| (key, v.as_ref())).collect();
        let add = elements_messages(NEWSETELEM, &table.name, change.set, set, &new)?;
        if set.timeout.is_some() {
            // An element that is there keeps its old deadline, so it is taken out and put in again.
            let gone: Vec<_> = new.iter().map(|(key, _)| (*key, None)).collect();
            messages.extend(add.clone());
            messages.extend(elements_messages(DELSETELEM, &table.name, change.set, set, &gone)?);
        }
        messages.extend(add);
    }
    Ok(messages)
}

fn definition<'a>(table: &'a Table, name: &str) -> Result<&'a Set, NfnlError> {
    table.sets.get(name).ok_or_else(|| NfnlError::Unwritable {
        object: format!("a change of set {name}, which table {} does not have,", table.name),
    })
}
