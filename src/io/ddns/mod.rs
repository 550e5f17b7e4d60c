//! Writes names where they are kept, and looks what name servers say. A thread of its own does it, with a task for
//! each request: whatever a server does, neither the loop nor another name waits.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Addresses, Way, secrets};
use crate::config::{DdnsConfig, Secret, Updater};
use crate::engine::input::Input;
use crate::engine::names::ddns::outside::OutsideRequest;
use crate::engine::names::ddns::request::{NameFailure, NameReply, NameRequest, Seen};

#[cfg(feature = "ddns")]
mod authority;
mod cloudflare;
mod job;
mod outside;
#[cfg(feature = "ddns")]
mod query;
#[cfg(feature = "ddns")]
mod rfc2136;
mod web;

use job::{Job, passing, unclear};

/// Whatever is done for a name takes no longer.
const LONGEST: Duration = Duration::from_secs(30);
/// Requests that the loop may hand over before the thread takes them: names are few, and each has one at a time.
const QUEUE: usize = 64;

/// What whatever a server of names says on this connection means: whether the name is what it should be, or a sentence.
#[cfg(feature = "lab")]
pub async fn overhear(stream: Box<dyn super::socket::Stream>) -> Result<(), String> {
    let (status, body) = super::client::overhear(stream).await?;
    let said = web::Said { status, pause: None, body };
    web::judge(&said, "dyn.example", "home.example").map_err(|failure| failure.why)
}

/// What is asked of the thread.
enum Ask {
    /// A request, and what the configuration says of its name.
    Name(NameRequest, Box<DdnsConfig>),
    Outside(OutsideRequest),
}

/// The way to the thread.
#[derive(Debug)]
pub struct Names {
    asks: mpsc::Sender<Ask>,
}

impl Names {
    /// Starts the thread. What comes of each request goes into `done`.
    ///
    /// # Errors
    ///
    /// When the kernel gives no thread.
    pub fn start(state_dir: PathBuf, done: mpsc::Sender<Input>) -> io::Result<Self> {
        let (asks, asked) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        super::thread::named("names").spawn(move || {
            runtime.block_on(work(asked, &state_dir, &done));
            // A look-up that hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { asks })
    }

    /// Has a request carried out. If so many wait that it is lost, the engine asks again after some time.
    pub fn ask(&self, request: NameRequest, config: DdnsConfig) {
        drop(self.asks.try_send(Ask::Name(request, Box::new(config))));
    }

    /// Has it asked as whom the Internet sees an uplink.
    pub fn ask_outside(&self, request: OutsideRequest) {
        drop(self.asks.try_send(Ask::Outside(request)));
    }
}

async fn work(mut asked: mpsc::Receiver<Ask>, state_dir: &Path, done: &mpsc::Sender<Input>) {
    let addresses = Addresses::default();
    let mut under_way: JoinSet<()> = JoinSet::new();
    loop {
        tokio::select! {
            ask = asked.recv() => {
                let Some(ask) = ask else { return };
                let (addresses, dir, done) = (addresses.clone(), state_dir.to_owned(), done.clone());
                under_way.spawn(async move {
                    let reply = match ask {
                        Ask::Name(request, config) => {
                            Input::Name(carry_out(&request, &config, &dir, &addresses).await)
                        }
                        Ask::Outside(request) => {
                            Input::Outside(outside::ask(&request, &addresses).await)
                        }
                    };
                    // Nobody listens any more at the end.
                    drop(done.send(reply).await);
                });
            }
            Some(ended) = under_way.join_next() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a name's task");
                }
            }
        }
    }
}

async fn carry_out(
    request: &NameRequest,
    config: &DdnsConfig,
    state_dir: &Path,
    addresses: &Addresses,
) -> NameReply {
    let job = Job { request, config, addresses, way: Way::From(request.paths.clone()) };
    let late = || unclear(format!("{} does not answer in time", config.updater.server()));
    let result = match secret(config, state_dir) {
        Ok(secret) => timeout(LONGEST, run(&job, &secret)).await.unwrap_or_else(|_| Err(late())),
        Err(failure) => Err(failure),
    };
    NameReply { number: request.number, name: request.name.clone(), result }
}

async fn run(job: &Job<'_>, secret: &Secret) -> Result<Seen, NameFailure> {
    if job.only_looks() && !job.config.updater.answers() {
        return Ok(Seen { others_say: authority::says(job).await, ..Seen::default() });
    }
    match &job.config.updater {
        #[cfg(feature = "ddns")]
        Updater::Rfc2136 { server, zone, key_name } => {
            rfc2136::run(job, &rfc2136::Zone { server, zone, key_name }, secret).await
        }
        #[cfg(not(feature = "ddns"))]
        Updater::Rfc2136 { .. } => {
            let why = "this program has no RFC 2136; use dyndns2 or url in the LAN";
            Err(NameFailure {
                then: crate::engine::names::ddns::request::Then::Stay,
                ..passing(why.to_owned())
            })
        }
        Updater::Dyndns2 { server, login, path } => {
            web::dyndns2(job, server, (login, path), secret).await
        }
        Updater::Cloudflare { server, zone } => cloudflare::run(job, server, zone, secret).await,
        Updater::Url { server, login, template } => {
            web::url(job, server, (login, template), secret).await
        }
    }
}

/// Without DNS no name server is asked.
#[cfg(not(feature = "ddns"))]
mod authority {
    use std::net::IpAddr;

    use super::Job;
    use crate::units::PerFamily;

    #[expect(clippy::unused_async, reason = "as where there is DNS")]
    pub(super) async fn says(_: &Job<'_>) -> Option<PerFamily<Vec<IpAddr>>> {
        None
    }
}

/// What the secret file says; nothing where there is none.
fn secret(config: &DdnsConfig, state_dir: &Path) -> Result<Secret, NameFailure> {
    let Some(file) = &config.secret_file else { return Ok(Secret::default()) };
    secrets::read(file, state_dir).map_err(passing)
}
