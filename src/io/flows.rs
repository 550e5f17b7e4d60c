//! Conntrack on a thread of its own: a flush of 50,000 flows takes some 150 ms inside one system
//! call, and the loop must not wait for it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use ipnet::IpNet;
use tokio::sync::mpsc;

use super::clock;
use super::netlink::conntrack::Conntrack;
use super::netlink::nfnl::NfnlError;
use crate::engine::message::{FlowCount, FlushReport, FlushRequest, Input};
use crate::units::{Fwmark, Gather as _, PerFamily, UplinkId};

/// Work for the thread.
#[derive(Debug)]
enum Job {
    Flush(FlushRequest),
    Count(Vec<IpNet>),
}

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub struct Flows {
    jobs: SyncSender<Job>,
}

/// More work than this cannot wait: a switch asks for a handful.
const QUEUE: usize = 32;

impl Flows {
    /// Starts the thread; what it has done comes back as inputs.
    ///
    /// # Errors
    ///
    /// When the kernel has no conntrack netlink, or this process may not use it.
    pub fn start(done: mpsc::Sender<Input>) -> Result<Self, NfnlError> {
        let conntrack = Conntrack::open()?;
        let (jobs, work) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("conntrack".to_owned());
        if let Err(error) = thread.spawn(move || labour(conntrack, &work, &done)) {
            tracing::warn!(%error, "no thread for conntrack; flows will not be flushed");
        }
        Ok(Self { jobs })
    }

    /// Flushes the flows of a dead uplink.
    pub fn flush(&self, request: FlushRequest) {
        self.push(Job::Flush(request));
    }

    /// Counts the flows of all uplinks but those that begin or end here.
    pub fn count(&self, except: Vec<IpNet>) {
        self.push(Job::Count(except));
    }

    fn push(&self, job: Job) {
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => tracing::warn!(?job, "conntrack is behind; left out"),
            Err(TrySendError::Disconnected(job)) => tracing::debug!(?job, "nobody is there"),
        }
    }
}

fn labour(mut conntrack: Conntrack, work: &Receiver<Job>, done: &mpsc::Sender<Input>) {
    while let Ok(job) = work.recv() {
        let input = match job {
            Job::Flush(request) => Input::Flushed(flush(&mut conntrack, &request)),
            Job::Count(except) => match count(&mut conntrack, &except) {
                Ok(flows) => Input::Flows(flows),
                Err(error) => {
                    tracing::debug!(%error, "flows could not be counted");
                    continue;
                }
            },
        };
        if done.blocking_send(input).is_err() {
            return;
        }
    }
}

fn flush(conntrack: &mut Conntrack, request: &FlushRequest) -> FlushReport {
    let FlushRequest { uplink, family, .. } = *request;
    let mark = uplink.mark();
    let start = clock::now().mono;
    // Counted before, because the kernel does not say how many it forgot.
    let counts = conntrack.count_by(mark.mask, &[]).unwrap_or_default();
    let FlowCount { flows, bytes } =
        counts.get(&mark.value).map(|count| *count.get(family)).unwrap_or_default();
    let error = conntrack.flush(mark, family).err().map(|error| error.to_string());
    let took = clock::now().mono.since(start);
    FlushReport { uplink, family, flows, bytes, poked: 0, destroyed: 0, took, error }
}

fn count(
    conntrack: &mut Conntrack,
    except: &[IpNet],
) -> Result<BTreeMap<UplinkId, PerFamily<FlowCount>>, NfnlError> {
    let shift = Fwmark::UPLINK_MASK.trailing_zeros();
    let counts = conntrack.count_by(Fwmark::UPLINK_MASK, except)?.into_iter();
    let number = |mark: u32| u8::try_from(mark >> shift).ok().and_then(UplinkId::new);
    Ok(counts.filter_map(|(mark, count)| Some((number(mark)?, count))).gather())
}
