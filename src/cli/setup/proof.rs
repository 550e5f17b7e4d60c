//! Tries each uplink of a proposal: an agent that only looks is started for some seconds, and asked what it found, or the
//! one that runs, beside which there is no room for another. So setup, `status` and the page mean the same by every word.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::cli::client::Client;
use crate::engine::doctor::proposal::{self, Extras, Origin, Proposal, Uplink};
use crate::io::service::Observer;
use crate::io::{clock, disk};

/// How long an uplink is tried at most.
const TRIED: Duration = Duration::from_secs(8);
/// At least so long, so that a sign-in page shows itself.
const AT_LEAST: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(200);
const STATUS: &str = "/api/v1/status";
const NOT_TRIED: &str = "not tried";
const STRANGE: &str = "not tried: an agent is running, and this is none of its uplinks";

/// What an agent knows of one uplink.
struct Known {
    name: String,
    interface: String,
    proof: Proof,
}

/// What was found of one uplink.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Proof {
    health: String,
    reason: String,
    rtt_ms: Option<f64>,
    condition: String,
}

impl Proof {
    /// Whether it leads to the Internet.
    pub(super) fn works(&self) -> bool {
        self.health == "up" && matches!(self.condition.as_str(), "ok" | "degraded")
    }

    /// The same in words.
    pub(super) fn words(&self) -> String {
        match (self.works(), self.rtt_ms) {
            (true, Some(ms)) => format!("Internet works, {ms:.0} ms"),
            (true, None) => "Internet works".to_owned(),
            (false, _) if self.reason.is_empty() => NOT_TRIED.to_owned(),
            (false, _) => self.reason.clone(),
        }
    }
}

/// Tries all uplinks at once. One of which nothing could be learned is not tried.
pub(super) fn of(proposal: &Proposal, run_dir: &Path) -> Vec<Proof> {
    if let Ok(status) = Client::new(run_dir).get(STATUS) {
        let known = read(&status);
        let find = |uplink: &Uplink| {
            let proof = known.iter().find(|one| one.interface == uplink.interface.as_str());
            let strange = || Proof { reason: STRANGE.to_owned(), ..Proof::default() };
            proof.map_or_else(strange, |one| one.proof.clone())
        };
        return proposal.uplinks.iter().map(find).collect();
    }
    let none = || vec![Proof::default(); proposal.uplinks.len()];
    if proposal.uplinks.iter().all(|uplink| uplink.origin == Origin::Absent) {
        return none();
    }
    let dir = std::env::temp_dir().join(format!("sparelink-setup-{}", std::process::id()));
    // Nobody else may put anything into it.
    if DirBuilder::new().mode(0o700).create(&dir).is_err() {
        return none();
    }
    let found = observed(proposal, &dir).unwrap_or_default();
    drop(std::fs::remove_dir_all(&dir));
    let find =
        |name: &String| found.iter().find(|one| one.name == *name).map(|one| one.proof.clone());
    proposal.uplinks.iter().map(|uplink| find(&uplink.name).unwrap_or_default()).collect()
}

fn observed(proposal: &Proposal, dir: &Path) -> std::io::Result<Vec<Known>> {
    let file: PathBuf = dir.join("sparelink.toml");
    let text =
        proposal::text(&Proposal { lan: Vec::new(), ..proposal.clone() }, &Extras::default());
    let apart = format!(
        "{text}\n[state]\ndir = \"{}/state\"\nhistory = \"ram\"\n[web]\nlisten = []\n",
        dir.display()
    );
    disk::replace(&file, apart.as_bytes())?;
    let _observer = Observer::start(&file, &dir.join("run"))?;
    let client = Client::new(&dir.join("run"));
    let begun = clock::now().mono;
    loop {
        std::thread::sleep(LOOK);
        let found = client.get(STATUS).map(|status| read(&status)).unwrap_or_default();
        let tried = clock::now().mono.since(begun);
        let all_known = !found.is_empty() && found.iter().all(|one| one.proof.health != "unknown");
        if tried >= TRIED || (tried >= AT_LEAST && all_known) {
            return Ok(found);
        }
    }
}

fn read(status: &Value) -> Vec<Known> {
    let uplinks = status["uplinks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |uplink: &Value| {
        let proof = Proof {
            health: text(&uplink["health"]),
            reason: text(&uplink["reason"]),
            condition: text(&uplink["condition"]),
            rtt_ms: uplink["rtt_ms"].as_f64(),
        };
        Known { name: text(&uplink["name"]), interface: text(&uplink["interface"]), proof }
    };
    uplinks.iter().map(of).collect()
}
