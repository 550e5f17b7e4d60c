//! The reconciler, on a thread of its own: a transaction of somebody else's, of some hundred
//! thousand elements, makes ours wait inside a system call, and the loop must not wait for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use super::thread;

use crate::engine::dataplane::Dataplane;
use crate::engine::dataplane::Left;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::dataplane::ruleset;
use crate::engine::input::{Counters, Input};
use crate::io::flows::Flows;
use crate::io::netlink::nfnl::NfnlError;
use crate::io::netlink::nft::Count;
use crate::io::{netlink, sysctl};
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

/// Work for the reconciler.
enum Job {
    Converge(u64, Box<Dataplane>, PerFamily<Option<IpAddr>>),
    Counters(Vec<IfIndex>),
    Refuse(PerFamily<bool>),
}

/// The way to the thread. It ends when this is dropped.
pub(super) struct Reconciler {
    jobs: mpsc::Sender<Job>,
    ended: oneshot::Receiver<()>,
}

/// The agent's end waits this long for what has been begun.
const LAST: Duration = Duration::from_secs(1);
/// The engine asks for one thing at a time.
const QUEUE: usize = 16;

/// What the reconciler's opening showed.
pub(super) struct Opened {
    pub(super) reconciler: Reconciler,
    /// None where this kernel can pin none.
    pub(super) flows: Option<Flows>,
    pub(super) left: Left,
}

/// Opens the reconciler on a thread of its own; what is done there comes back as inputs.
///
/// # Errors
///
/// When the kernel would not let us change what is ours, or lacks a part.
pub(super) async fn open(run_dir: PathBuf, done: mpsc::Sender<Input>) -> anyhow::Result<Opened> {
    let (jobs, work) = mpsc::channel(QUEUE);
    let (opened, open) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let labouring = done.clone();
    thread::start("reconciler", || async move {
        let _told_when_dropped: oneshot::Sender<()> = end;
        match tried(&run_dir).await {
            Ok((reconciler, pinning, left)) => {
                drop(opened.send(Ok((pinning, left))));
                labour(reconciler, work, labouring).await;
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    })?;
    let (pinning, left) = open.await.context("the thread for the kernel ended")??;
    Ok(Opened { reconciler: Reconciler { jobs, ended }, flows: flows(pinning, done)?, left })
}

/// The thread for flows. A kernel without a part of conntrack still has uplinks that die: their flows
/// are not pinned then, so that they follow the route by themselves.
fn flows(
    pinning: Result<(), NfnlError>,
    done: mpsc::Sender<Input>,
) -> Result<Option<Flows>, NfnlError> {
    match pinning {
        Ok(()) => Flows::start(done).map(Some),
        Err(missing @ NfnlError::Missing { .. }) => {
            tracing::warn!(
                "flows cannot be kept on their uplink, nor moved off a dead one; \
                 failover works all the same: {missing}"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn tried(
    run_dir: &Path,
) -> anyhow::Result<(netlink::Reconciler, Result<(), NfnlError>, Left)> {
    let mut reconciler = netlink::Reconciler::open(run_dir).await?;
    reconciler.check_filter()?;
    let pinning = reconciler.check_pinning();
    let found = reconciler.observe(&Dataplane::default()).await?;
    let left = Left::of(&found.routes);
    Ok((reconciler, pinning, left))
}

impl Reconciler {
    /// Makes the kernel so; then looks where packets to these targets would go.
    pub(super) fn converge(
        &self,
        generation: u64,
        desired: Box<Dataplane>,
        towards: PerFamily<Option<IpAddr>>,
    ) {
        self.push(Job::Converge(generation, desired, towards));
    }

    /// Reads the evidence counters, the byte counts of these interfaces, and how full conntrack is.
    pub(super) fn read_counters(&self, interfaces: Vec<IfIndex>) {
        self.push(Job::Counters(interfaces));
    }

    /// Goes on refusing new LAN flows of these families, and of no others.
    pub(super) fn refuse(&self, families: PerFamily<bool>) {
        self.push(Job::Refuse(families));
    }

    /// Carries out what has been asked for; then it is shut.
    pub(super) async fn shut(self) {
        drop(self.jobs);
        if tokio::time::timeout(LAST, self.ended).await.is_err() {
            tracing::warn!("the kernel is slow to answer; its last changes may not have been made");
        }
    }

    fn push(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            tracing::warn!("the kernel is slow to answer; left out");
        }
    }
}

async fn labour(
    mut reconciler: netlink::Reconciler,
    mut work: mpsc::Receiver<Job>,
    done: mpsc::Sender<Input>,
) {
    while let Some(job) = work.recv().await {
        let input = match job {
            Job::Converge(generation, desired, towards) => {
                let mut report = reconciler.converge(generation, &desired).await;
                report.verified = verify(&mut reconciler, &towards).await;
                log(&report);
                Input::Applied(Box::new(report))
            }
            Job::Refuse(families) => {
                if let Err(error) = reconciler.refuse(families) {
                    tracing::debug!(%error, "what refuses could not be renewed");
                }
                continue;
            }
            Job::Counters(interfaces) => {
                Input::Counters(counters(&mut reconciler, interfaces).await)
            }
        };
        // At the end of the agent nobody takes it any more, and what is left has to be done.
        drop(done.send(input).await);
    }
}

/// The kernel's own word on where packets to the Internet go now.
async fn verify(
    reconciler: &mut netlink::Reconciler,
    towards: &PerFamily<Option<IpAddr>>,
) -> PerFamily<Option<IfIndex>> {
    let mut verified = PerFamily::default();
    for family in Family::BOTH {
        if let Some(target) = towards.get(family) {
            *verified.get_mut(family) = reconciler.lookup(*target, 0).await.ok();
        }
    }
    verified
}

async fn counters(reconciler: &mut netlink::Reconciler, interfaces: Vec<IfIndex>) -> Counters {
    let bytes = reconciler.stats(&interfaces).await;
    let number = |name| sysctl::read(&format!("net/netfilter/{name}")).ok()?.parse().ok();
    let tracked = number("nf_conntrack_count").zip(number("nf_conntrack_max"));
    Counters { bytes, tracked, ..evidence(reconciler.counters()) }
}

/// What the counters of our table say.
pub(super) fn evidence<E>(found: Result<BTreeMap<String, Count>, E>) -> Counters {
    let mut counters = Counters::default();
    let Ok(named) = found else {
        return Counters { absent: true, ..counters };
    };
    let packets = |name: String| named.get(&name).map(|count| count.packets);
    counters.un_nated = packets(ruleset::WRONG_SOURCE.to_owned()).unwrap_or(0);
    for id in (1..=UplinkId::MAX).filter_map(UplinkId::new) {
        let of = |name: &dyn Fn(UplinkId, Family) -> String| {
            let v4 = packets(name(id, Family::V4));
            let v6 = packets(name(id, Family::V6));
            Some(PerFamily { v4: v4?, v6: v6? })
        };
        let (inward, outward) = (of(&ruleset::inward), of(&ruleset::outward));
        counters.inward.extend(inward.map(|count| (id, count)));
        counters.outward.extend(outward.map(|count| (id, count)));
    }
    counters
}

fn log(report: &ApplyReport) {
    let took = report.took.as_micros();
    for change in &report.changes {
        tracing::debug!(generation = report.generation, took, "{change}");
    }
}
