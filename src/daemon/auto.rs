//! The agent without a configuration (`run --auto`): the chain is what the system itself uses, and follows it.

use std::path::PathBuf;

use crate::config::{self, Config};
use crate::engine::doctor::proposal::{self, Proposal, Uplink};
use crate::engine::kernel::view::{Address, ForeignRoute, KernelView, Link};
use crate::io::inspect::{Roots, survey};
use crate::units::{Gather as _, TableId};

/// Makes configurations of what is seen.
#[derive(Debug)]
pub struct Auto {
    /// A run directory of one's own (`--run-dir`).
    run_dir: Option<PathBuf>,
    /// What was an uplink once has its place.
    before: Vec<Uplink>,
    brief: Option<Brief>,
    /// The chain as it was logged last.
    said: String,
}

/// The part of a view on which a proposal depends.
#[derive(Debug, PartialEq, Eq)]
struct Brief {
    links: Vec<Link>,
    addresses: Vec<Address>,
    defaults: Vec<ForeignRoute>,
}

impl Auto {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(run_dir: Option<PathBuf>) -> Self {
        Self { run_dir, before: Vec::new(), brief: None, said: String::new() }
    }

    /// What is to be done on this box now. Says it in the log where it is something else than before.
    ///
    /// # Errors
    ///
    /// What a checker found in it, which would be a fault of ours.
    pub fn configure(&mut self, view: &KernelView) -> Result<Config, config::Error> {
        let proposal = proposal::automatic(
            &survey::look(&Roots::default(), view.clone(), |_, _| None),
            &self.before,
        );
        let said = in_words(&proposal);
        if said != self.said {
            tracing::info!("automatic: {said}");
            self.said = said;
        }
        self.brief = Some(Brief::of(view));
        let mut config = proposal::configuration(&proposal)?;
        if let Some(run_dir) = &self.run_dir {
            config.run_dir.clone_from(run_dir);
            // What the usual agent has learned is not for one beside it.
            config.state_dir = run_dir.join("state");
        }
        self.before = proposal.uplinks;
        Ok(config)
    }

    /// Everything is news again.
    pub(super) fn forget(&mut self) {
        self.brief = None;
    }

    /// Whether a view differs from the one before in what matters here.
    pub(super) fn is_news(&self, view: &KernelView) -> bool {
        self.brief.as_ref() != Some(&Brief::of(view))
    }
}

impl Brief {
    fn of(view: &KernelView) -> Self {
        let defaults = view.routes.iter().filter(|r| r.is_default() && r.table == TableId::MAIN);
        Self {
            links: view.links.values().cloned().gather(),
            addresses: view.addresses.iter().filter(|a| a.global).copied().gather(),
            defaults: defaults.copied().gather(),
        }
    }
}

/// The chain in one line.
fn in_words(proposal: &Proposal) -> String {
    let uplink = |uplink: &Uplink| {
        let metered = if uplink.metered { ", metered" } else { "" };
        format!(
            "{} ({}{metered}, metric {})",
            uplink.interface,
            uplink.nature.words(),
            uplink.metric.0
        )
    };
    let chain: Vec<String> = proposal.uplinks.iter().map(uplink).collect();
    let lan: Vec<&str> = proposal.lan.iter().map(|lan| lan.interface.as_str()).collect();
    let chain =
        if chain.is_empty() { "no default route yet".to_owned() } else { chain.join(" > ") };
    let lan = if lan.is_empty() { "nothing is forwarded".to_owned() } else { lan.join(", ") };
    format!("{chain}; LAN: {lan}")
}
