//! The door to the kernel, on a task of its own: while it waits for an answer the loop goes on.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::dataplane::Dataplane;
use crate::engine::dataplane::report::ApplyReport;
use crate::engine::dataplane::ruleset;
use crate::engine::input::{Counters, Input};
use crate::io::{netlink, sysctl};
use crate::units::{Family, IfIndex, PerFamily, UplinkId};

/// Work for the door.
enum Job {
    Converge(u64, Box<Dataplane>, PerFamily<Vec<IpAddr>>),
    Counters(Option<Vec<IfIndex>>),
    Refuse(PerFamily<bool>),
}

/// The way to the task. It ends when this is dropped.
pub(super) struct Door {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

/// The agent's end waits this long for what has been begun.
const LAST: Duration = Duration::from_secs(1);
/// The engine asks for one thing at a time.
const QUEUE: usize = 16;

/// Starts the task; what it has done comes back as inputs.
pub(super) fn start(door: netlink::Door, done: mpsc::Sender<Input>) -> Door {
    let (jobs, work) = mpsc::channel(QUEUE);
    let task = tokio::spawn(labour(door, work, done));
    Door { jobs, task }
}

impl Door {
    /// Makes the kernel so; then looks where packets to these targets would go.
    pub(super) fn converge(
        &self,
        generation: u64,
        wish: Box<Dataplane>,
        targets: PerFamily<Vec<IpAddr>>,
    ) {
        self.push(Job::Converge(generation, wish, targets));
    }

    /// Reads the evidence counters, and the byte counts of these interfaces.
    pub(super) fn read_counters(&self, interfaces: Option<Vec<IfIndex>>) {
        self.push(Job::Counters(interfaces));
    }

    /// Goes on refusing new LAN flows of these families, and of no others.
    pub(super) fn refuse(&self, families: PerFamily<bool>) {
        self.push(Job::Refuse(families));
    }

    /// Carries out what has been asked for; then it is shut.
    pub(super) async fn shut(self) {
        drop(self.jobs);
        if tokio::time::timeout(LAST, self.task).await.is_err() {
            tracing::warn!("the kernel is slow to answer; its last changes may not have been made");
        }
    }

    fn push(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            tracing::warn!("the kernel is slow to answer; left out");
        }
    }
}

async fn labour(mut door: netlink::Door, mut work: mpsc::Receiver<Job>, done: mpsc::Sender<Input>) {
    while let Some(job) = work.recv().await {
        let input = match job {
            Job::Converge(generation, wish, targets) => {
                let mut report = door.converge(generation, &wish).await;
                report.verified = verify(&mut door, &targets).await;
                log(&report);
                Input::Applied(Box::new(report))
            }
            Job::Refuse(families) => {
                if let Err(error) = door.refuse(families) {
                    tracing::debug!(%error, "what refuses could not be renewed");
                }
                continue;
            }
            Job::Counters(interfaces) => Input::Counters(counters(&mut door, interfaces).await),
        };
        // At the end of the agent nobody takes it any more, and what is left has to be done.
        drop(done.send(input).await);
    }
}

/// The kernel's own word on where packets to the Internet go now.
async fn verify(
    door: &mut netlink::Door,
    targets: &PerFamily<Vec<IpAddr>>,
) -> PerFamily<Option<IfIndex>> {
    let mut verified = PerFamily::default();
    for family in Family::BOTH {
        if let Some(target) = targets.get(family).first() {
            *verified.get_mut(family) = door.lookup(*target, 0).await.ok();
        }
    }
    verified
}

async fn counters(door: &mut netlink::Door, interfaces: Option<Vec<IfIndex>>) -> Counters {
    let mut counters = Counters::default();
    if let Some(interfaces) = interfaces {
        counters.bytes = door.stats(&interfaces).await;
        let number = |name| sysctl::read(&format!("net/netfilter/{name}")).ok()?.parse().ok();
        counters.tracked = number("nf_conntrack_count").zip(number("nf_conntrack_max"));
    }
    let Ok(named) = door.counters() else {
        return Counters { absent: true, ..counters };
    };
    let packets = |name: String| named.get(&name).map(|count| count.packets);
    counters.strays = packets(ruleset::WRONG_SOURCE.to_owned()).unwrap_or(0);
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
