//! The reconciler: the desired state goes in, the kernel is changed where it differs, a report comes out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;

use super::conntrack::Conntrack;
use super::dump::{Look, Ours};
use super::encode::{add_route, del_route, rule_message};
use super::lacking::is_lacking;
use super::message::Message;
use super::nfnl::{NfnlError, missing};
use super::nft::{Count, ElementChange, Nft};
use super::talk::{Error, Talk};
use super::{dump, features, rules};
use crate::engine::dataplane::diff::{Change, diff};
use crate::engine::dataplane::drift::{Drift, Found};
use crate::engine::dataplane::failed::Failed;
use crate::engine::dataplane::nft::{Stmt, Table};
use crate::engine::dataplane::render;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::dataplane::ruleset;
use crate::engine::dataplane::{Dataplane, Route, Sysctl};
use crate::io::{clock, sysctl};
use crate::units::{
    Family, Gather as _, IfIndex, IfName, Metric, NFT_TABLE, PerFamily, TableId, UplinkId,
};

/// The one way in which sparelink changes the kernel.
#[derive(Debug)]
pub struct Reconciler {
    talk: Talk,
    ours: Ours,
    /// Of the last desired state.
    generation: Option<u64>,
    nft: Nft,
    run_dir: PathBuf,
    /// The kernel may be without IPv6; what cannot be there is not missed.
    has_ipv6: bool,
    /// The kernel may be without what pins flows and forgets them.
    can_pin: bool,
    /// Statements that this kernel does not know, and that few boxes need.
    unknown: Vec<Stmt>,
}

/// Why the kernel could not be asked or changed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(
        "changing routes is not permitted: sparelink needs CAP_NET_ADMIN, so run it as root or from its service unit"
    )]
    Permission,
    #[error("cannot talk to the kernel")]
    Netlink(#[from] Error),
    #[error(transparent)]
    Nftables(#[from] NfnlError),
}

impl Reconciler {
    /// Opens the sockets, and tries whether changes are permitted. `run_dir` keeps what sysctls were.
    ///
    /// # Errors
    ///
    /// When the kernel would not let us change routes; nothing has been touched then.
    pub async fn open(run_dir: &Path) -> Result<Self, ReconcileError> {
        let mut talk = Talk::open()?;
        // The permission is checked before the route is looked for, and this one does not exist.
        let nowhere = Route {
            family: Family::V4,
            table: TableId::LAST,
            metric: Metric(u32::MAX),
            dst: ipnet::Ipv4Net::default().into(),
            via: None,
            dev: IfIndex(0),
            onlink: false,
            mtu: None,
            prefsrc: None,
        };
        match talk.order(&del_route(&nowhere), 0).await {
            Err(e) if e.errno() == Some(Errno::EPERM) => return Err(ReconcileError::Permission),
            Err(e) if e.errno().is_none() => return Err(e.into()),
            Ok(()) | Err(_) => {}
        }
        let nft = Nft::open()?;
        let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
        Ok(Self {
            talk,
            ours: Ours::default(),
            generation: None,
            nft,
            run_dir: run_dir.to_owned(),
            has_ipv6,
            can_pin: true,
            unknown: Vec::new(),
        })
    }

    /// Looks whether this kernel has every part of nftables that the table is made of. Without one,
    /// routes and rules would stand alone: packets would leave with addresses that nobody answers.
    ///
    /// # Errors
    /// What is missing, in a sentence. Nothing has been changed.
    pub fn check_filter(&mut self) -> Result<(), NfnlError> {
        const MASQUERADE: &str = "nft_masq";
        if is_lacking(MASQUERADE) {
            return Err(missing("nftables expression `masq`", "CONFIG_NFT_MASQ", MASQUERADE));
        }
        let unknown = features::optional().filter(|statement| !self.nft.knows(statement));
        self.unknown = unknown.collect();
        match self.nft.check(&features::whole()) {
            Err(missing @ NfnlError::Missing { .. }) => Err(missing),
            Err(error) => {
                // The table itself will tell, if it is not for this moment only.
                tracing::debug!(%error, "the parts of nftables could not be tested");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Looks whether this kernel can pin flows to their uplink, and can be made to forget them when
    /// it dies. Where it cannot, no flow is pinned from now on: one that is pinned and never
    /// forgotten would be stuck to a dead uplink for days. All else goes on.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    pub fn check_pinning(&mut self) -> Result<(), NfnlError> {
        let result = Conntrack::open().and_then(|_| self.nft.check_ct_marks());
        self.can_pin = result.is_ok();
        result
    }

    /// Makes the kernel so. What is so already is not touched; an error does not stop the rest,
    /// except where going on would leave less than there was: nothing old is removed whose
    /// successor could not be put in place, and nothing is steered or forwarded without the table.
    ///
    /// A desired state without an active default leaves the one that stands.
    pub async fn converge(&mut self, generation: u64, desired: &Dataplane) -> ApplyReport {
        self.make_so(generation, desired, Dataplane::keep_last_default).await
    }

    /// The same; `leave` takes into the desired state what is to stay as it is observed.
    async fn make_so(
        &mut self,
        generation: u64,
        desired: &Dataplane,
        leave: impl FnOnce(&mut Dataplane, &Dataplane),
    ) -> ApplyReport {
        let start = clock::now().mono;
        let mut report = ApplyReport { generation, ..ApplyReport::default() };
        let mut possible = self.possible(desired);
        if let Some(observed) = self.look(&possible, &mut report).await {
            possible.keep_only_settable(&observed);
            leave(&mut possible, &observed);
            let changes = diff(&possible, &observed);
            let rebuilds = changes.iter().any(|change| matches!(change, Change::BuildTable(_)));
            let there = !rebuilds || self.nft.exists(&desired.nft.name).unwrap_or(true);
            let found = if there { Found::Table } else { Found::NoTable };
            self.apply(changes, &possible, &observed, &mut report).await;
            report.drift = Drift::of(&possible, &observed, &report.changes, found);
        }
        report.took = clock::now().mono.since(start);
        report.offloaded = self.nft.offloaded().unwrap_or_default();
        report
    }

    /// What is in the kernel of ours now, with the sysctls that `desired` names. An nftables table of
    /// another structure than the one desired shows as none.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell; an error is never an empty answer.
    pub async fn observe(&mut self, desired: &Dataplane) -> Result<Dataplane, ReconcileError> {
        let nft = self.observe_nft(&desired.nft)?;
        Ok(Dataplane { nft, ..self.observe_routing(desired, Look::Thorough).await? })
    }

    /// What there is of ours, and what [`converge`](Self::converge) would change now. Nothing is written.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub async fn preview(
        &mut self,
        desired: &Dataplane,
    ) -> Result<(Dataplane, Vec<Change>), ReconcileError> {
        let mut possible = self.possible(desired);
        let observed = self.observe(&possible).await?;
        possible.keep_only_settable(&observed);
        possible.keep_last_default(&observed);
        let changes = diff(&possible, &observed);
        Ok((observed, changes))
    }

    /// Refuses new LAN flows of these families for some seconds from now, and of no others.
    ///
    /// # Errors
    ///
    /// When there is no such table.
    pub fn refuse(&mut self, refused: PerFamily<bool>) -> Result<(), NfnlError> {
        let table = ruleset::refusals(refused);
        let others = PerFamily { v4: !refused.v4, v6: !refused.v6 };
        let others = ruleset::refusals(others);
        let changes: Vec<_> = table.sets.iter().zip(others.sets.values()).collect();
        for ((set, refused), others) in changes {
            let add: Vec<_> = refused.elements.clone().into_iter().collect();
            let del: Vec<_> = others.elements.keys().cloned().collect();
            self.nft.change_elements(&table, &[ElementChange { set, add: &add, del: &del }])?;
        }
        Ok(())
    }

    /// Removes everything of ours: routes, rules, the nftables table. Needs no configuration and
    /// may be done twice. Sysctls are put back by [`sysctl::restore`].
    pub async fn purge(&mut self) -> ApplyReport {
        let mut report = self.make_so(0, &Dataplane::default(), |_, _| ()).await;
        let deleted = self.nft.delete(NFT_TABLE);
        report.errors.extend(deleted.err().map(|error| error.to_string()));
        report
    }

    /// The named counters of our nftables table.
    ///
    /// # Errors
    ///
    /// When there is no such table.
    pub fn counters(&mut self) -> Result<BTreeMap<String, Count>, ReconcileError> {
        Ok(self.nft.counters(NFT_TABLE)?)
    }

    /// Through which interface the kernel would send a packet to `to` with such a mark, to see
    /// that a switch took effect.
    ///
    /// # Errors
    ///
    /// When there is no route.
    pub async fn lookup(&mut self, to: IpAddr, mark: u32) -> Result<IfIndex, Error> {
        dump::lookup(&mut self.talk, to, mark).await
    }

    /// Bytes received and sent by each interface; those that are gone are left out.
    pub async fn stats(&mut self, indexes: &[IfIndex]) -> BTreeMap<IfIndex, (u64, u64)> {
        let mut all = BTreeMap::new();
        for index in indexes {
            if let Ok(bytes) = dump::stats(&mut self.talk, *index).await {
                all.insert(*index, bytes);
            }
        }
        all
    }

    /// The desired state without what this kernel cannot have.
    fn possible(&self, desired: &Dataplane) -> Dataplane {
        let mut desired = desired.clone();
        if !self.has_ipv6 {
            desired.routes.retain(|route| route.family != Family::V6);
            desired.rules.retain(|rule| rule.family != Family::V6);
            desired.sysctls.retain(|path, _| !path.starts_with("net/ipv6/"));
        }
        if !self.can_pin {
            desired.nft = desired.nft.without_ct_marks();
        }
        for statement in &self.unknown {
            desired.nft = desired.nft.without(statement);
        }
        desired
    }

    /// Looks before changing. Without a look at nftables the routes are still put right: the
    /// table then counts as being as it should.
    async fn look(&mut self, desired: &Dataplane, report: &mut ApplyReport) -> Option<Dataplane> {
        // An earlier desired state is only looked after; a new one is waited for.
        let again = self.generation.replace(report.generation) == Some(report.generation);
        let look = if again { Look::Thorough } else { Look::Quick };
        let nft = self.observe_nft(&desired.nft);
        report.observed_digest =
            nft.as_ref().ok().filter(|t| !t.name.is_empty()).map(Table::digest);
        let nft = nft.unwrap_or_else(|error| {
            report.errors.push(format!("nftables could not be read: {error}"));
            desired.nft.clone()
        });
        match self.observe_routing(desired, look).await {
            Ok(routing) => Some(Dataplane { nft, ..routing }),
            Err(error) => {
                report.errors.push(format!("routes and rules could not be read: {error}"));
                None
            }
        }
    }

    async fn observe_routing(
        &mut self,
        desired: &Dataplane,
        look: Look,
    ) -> Result<Dataplane, Error> {
        // What is desired, and what was left by an earlier desired state.
        let uplinks = (1..=UplinkId::MAX).filter_map(UplinkId::new).map(UplinkId::table);
        let desired_tables = desired.routes.iter().map(|route| route.table);
        let tables = uplinks.chain([TableId::ACTIVE, TableId::LAN]).chain(desired_tables).gather();
        Ok(Dataplane {
            routes: self.ours.look(&mut self.talk, &tables, look).await?,
            rules: rules::ours(&mut self.talk).await?.into_iter().gather(),
            nft: Table::default(),
            sysctls: read_sysctls(desired),
        })
    }

    fn observe_nft(&mut self, desired: &Table) -> Result<Table, NfnlError> {
        if desired.name.is_empty() { Ok(Table::default()) } else { self.nft.observe(desired) }
    }

    async fn apply(
        &mut self,
        changes: Vec<Change>,
        desired: &Dataplane,
        observed: &Dataplane,
        report: &mut ApplyReport,
    ) {
        // What could not be read may not stand.
        let mut failed = Failed::default();
        if !report.errors.is_empty() {
            failed.without_table();
        }
        let originals = self.save_originals(&changes, observed);
        if let Err(error) = &originals {
            report.errors.push(format!("sysctls stay as they are: {error}"));
        }
        let (elements, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change, Change::Elements { .. }));
        let mut elements = Some(elements).filter(|elements| !elements.is_empty());
        for change in others {
            // Elements come after the new routes and before the rules, all in one batch.
            if !matches!(change, Change::SetSysctl { .. } | Change::ReplaceRoute(_)) {
                self.change_elements(elements.take(), &desired.nft, report);
            }
            let is_sysctl = matches!(change, Change::SetSysctl { .. });
            if failed.forbids(&change) || (is_sysctl && originals.is_err()) {
                continue;
            }
            match self.make(&change).await {
                Ok(()) => report.changes.push(change),
                Err(error) => {
                    report.errors.push(format!("{}: {error}", in_words(&change)));
                    failed.remember(&change, |path| sysctl::read(path).is_ok());
                }
            }
        }
        self.change_elements(elements, &desired.nft, report);
    }

    fn change_elements(
        &mut self,
        all: Option<Vec<Change>>,
        table: &Table,
        report: &mut ApplyReport,
    ) {
        let Some(all) = all else { return };
        let batch: Vec<_> = all
            .iter()
            .filter_map(|change| {
                let Change::Elements { set, add, del } = change else {
                    return None;
                };
                Some(ElementChange { set, add, del })
            })
            .collect();
        match self.nft.change_elements(table, &batch) {
            Ok(()) => report.changes.extend(all),
            Err(error) => report.errors.push(format!("nft elements: {error}")),
        }
    }

    /// Remembers the values of sysctls that are about to change.
    fn save_originals(
        &self,
        changes: &[Change],
        observed: &Dataplane,
    ) -> Result<(), sysctl::Error> {
        let about_to_change = changes.iter().filter_map(|change| match change {
            Change::SetSysctl { path, .. } => observed.sysctls.get_key_value(path),
            Change::ReplaceRoute(_)
            | Change::DelRoute(_)
            | Change::AddRule(_)
            | Change::DelRule(_)
            | Change::BuildTable(_)
            | Change::Elements { .. } => None,
        });
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (path, now) in about_to_change {
            values.extend(sysctl::followers(path));
            values.insert(path.clone(), now.value.clone());
        }
        sysctl::save_originals(&self.run_dir, &values)
    }

    async fn make(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::SetSysctl { path, value } => {
                sysctl::write(path, value).map_err(|e| e.to_string())
            }
            Change::ReplaceRoute(route) => {
                let order = Message::NewRoute(add_route(route));
                done(self.talk.order(&order, NLM_F_CREATE | NLM_F_REPLACE).await, &[])
            }
            Change::DelRoute(route) => done(
                self.talk.order(&del_route(route), 0).await,
                &[Errno::ESRCH, Errno::ENOENT, Errno::ENODEV],
            ),
            Change::AddRule(rule) => {
                let order = Message::NewRule(rule_message(rule));
                done(self.talk.order(&order, NLM_F_CREATE | NLM_F_EXCL).await, &[Errno::EEXIST])
            }
            Change::DelRule(rule) => {
                let order = Message::DelRule(rule_message(rule));
                done(self.talk.order(&order, 0).await, &[Errno::ENOENT, Errno::ESRCH])
            }
            Change::BuildTable(table) if table.name.is_empty() => Ok(()),
            Change::BuildTable(table) => self.build(table),
            // These go together, see `change_elements`.
            Change::Elements { .. } => Ok(()),
        }
    }
}

impl Reconciler {
    fn build(&mut self, table: &Table) -> Result<(), String> {
        let built = self.nft.build(table);
        if let Err(NfnlError::Owned { .. }) = built {
            // It may have been switched on by us, before or in an earlier run; packets of the LAN
            // would leave with addresses that nobody answers.
            for path in FORWARDING {
                if sysctl::original(&self.run_dir, path).is_some_and(|before| before == "0")
                    && let Err(error) = sysctl::write(path, "0")
                {
                    tracing::debug!(%error, "forwarding stays on");
                }
            }
        }
        built.map_err(|error| error.to_string())
    }
}

/// What the dataplane switches on for a LAN.
const FORWARDING: [&str; 2] = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

fn read_sysctls(desired: &Dataplane) -> BTreeMap<String, Sysctl> {
    let beside = desired.sysctls.values().filter_map(|desired| desired.beside.as_ref());
    let values = sysctl::read_all(desired.sysctls.keys().chain(beside)).into_iter();
    values.map(|(path, value)| (path, Sysctl { value, ..Sysctl::default() })).gather()
}

/// A change in the words of `ip` and `nft`, interfaces by their names.
#[must_use]
pub fn in_words(change: &Change) -> String {
    let dev = match change {
        Change::ReplaceRoute(route) | Change::DelRoute(route) => Some(route.dev),
        Change::SetSysctl { .. }
        | Change::AddRule(_)
        | Change::DelRule(_)
        | Change::BuildTable(_)
        | Change::Elements { .. } => None,
    };
    let name = |dev: IfIndex| {
        let name = if_indextoname(dev.0).ok()?;
        Some((dev, IfName::new(name.to_str().ok()?)?))
    };
    render::change(change, &dev.and_then(name).into_iter().gather())
}

/// Success, also where the kernel says that there was nothing left to do.
fn done(result: Result<(), Error>, fine: &[Errno]) -> Result<(), String> {
    match result {
        Err(error) if error.errno().is_none_or(|errno| !fine.contains(&errno)) => {
            Err(error.to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
