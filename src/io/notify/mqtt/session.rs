//! A lasting session with a broker, for Home Assistant: it is told how things stand, and may say what it wants.
//! Messages do not go by it: they have a connection of their own, whatever becomes of this one.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::home_assistant::{
    ACKNOWLEDGE, ANSWER, BIRTH, Components, ONLINE, SET, STATE, components, discovery, platforms,
    state, wish,
};
pub(in crate::io::notify) use super::home_assistant::{Platforms, Wish};
use super::packet::{self, Reader, Said, Will};
use super::{log_in, next, write};
use crate::config::{Commands, Mqtt};
use crate::engine::notify::queue::Failure;
use crate::io::client::{Addresses, Reach, Way, connect, secrets, tls};
use crate::io::notify::post::passing;

/// A broker has so long for the login, and for taking what it is sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so much silence it is asked whether it lives; it takes us for gone after three times as much.
const SILENCE: Duration = Duration::from_secs(20);
const KEEP_ALIVE: u16 = 40;
/// From one try to the next.
const PAUSES: [u64; 5] = [1, 2, 5, 10, 30];
/// Who wants something is answered within this, or never.
const ANSWERED: Duration = Duration::from_secs(5);

/// What a session tells of itself.
#[derive(Debug)]
pub(in crate::io::notify) enum News {
    /// It stands, and the broker has been told of these.
    Stands(Platforms),
    /// It does not, in words.
    Fails(Failure),
    /// Somebody wants something; the answer is a sentence.
    Wants(Wish, oneshot::Sender<String>),
}

/// A session, to be [worked](Self::work).
#[derive(Debug)]
pub(in crate::io::notify) struct Session {
    /// The broker, without what is in the secret file.
    pub(in crate::io::notify) to: Mqtt,
    /// That file, and the state directory.
    pub(in crate::io::notify) secret: Option<(PathBuf, PathBuf)>,
    /// What is this box's alone.
    pub(in crate::io::notify) id: String,
    /// The status document.
    pub(in crate::io::notify) states: watch::Receiver<Value>,
    /// What Home Assistant has of this box, from before.
    pub(in crate::io::notify) before: Platforms,
    /// What it has been told of by this session.
    pub(in crate::io::notify) told: Components,
    /// With the name of the channel.
    pub(in crate::io::notify) news: mpsc::Sender<(String, News)>,
    pub(in crate::io::notify) channel: String,
    /// How it ends, once it is dropped or told.
    pub(in crate::io::notify) ends: oneshot::Receiver<Farewell>,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io::notify) enum Farewell {
    /// The agent ends; it will be back.
    Offline,
    /// The configuration has it no more: the device goes.
    Gone,
}

impl Session {
    /// Is the session until it is told to end; comes back whatever the broker does.
    pub(in crate::io::notify) async fn work(mut self, addresses: Addresses) {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let failure = match self.once(&addresses).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            failures = if begun.elapsed() > SILENCE { 0 } else { failures };
            let pause = PAUSES.get(failures).or(PAUSES.last()).copied().unwrap_or(30);
            failures += 1;
            self.tell(News::Fails(failure)).await;
            tokio::select! {
                _ = &mut self.ends => return,
                () = sleep(Duration::from_secs(pause)) => {}
            }
        }
    }

    async fn tell(&self, news: News) {
        drop(self.news.send((self.channel.clone(), news)).await);
    }

    /// One connection. It is over without an error when it is told to end.
    async fn once(&mut self, addresses: &Addresses) -> Result<(), Failure> {
        if let Some((file, state_dir)) = &self.secret {
            self.to.login.password = secrets::read(file, state_dir).map_err(passing)?;
        }
        let opened = async {
            let stream = connect(&self.to.server, addresses, &Way::Any(Reach::Everywhere))
                .await
                .map_err(passing)?;
            tls::wrap(&self.to.server, stream).await.map_err(passing)
        };
        let mut stream = tokio::select! {
            _ = &mut self.ends => return Ok(()),
            stream = opened => stream?,
        };
        let (from, mut into) = tokio::io::split(&mut stream);
        let mut from = Reader::new(from);
        timeout(PATIENCE, self.begin(&mut from, &mut into))
            .await
            .map_err(|_| silent(&self.to))??;
        self.go_on(&mut from, &mut into).await
    }

    /// Logs in and says all there is.
    async fn begin(
        &mut self,
        from: &mut Reader<impl AsyncRead + Unpin>,
        into: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failure> {
        let online = self.at(ONLINE);
        let will = Will { topic: &online, payload: "offline" };
        log_in(&self.to, KEEP_ALIVE, Some(&will), from, into).await?;
        let mut topics = vec![self.at(ACKNOWLEDGE), self.birth()];
        if self.to.commands == Commands::Taken {
            topics.push(format!("{}/#", self.at(SET)));
        }
        write(into, &packet::subscribe(&topics)).await?;
        self.introduce(into).await
    }

    fn at(&self, below: &str) -> String {
        format!("{}/{below}", self.to.topic)
    }

    /// Where Home Assistant looks for devices.
    fn prefix(&self) -> &str {
        self.to.discovery.as_deref().unwrap_or_default()
    }

    fn place(&self) -> String {
        format!("{}/device/sparelink_{}/config", self.prefix(), self.id)
    }

    /// Where it says that it has begun.
    fn birth(&self) -> String {
        format!("{}/{BIRTH}", self.prefix())
    }

    /// Says what there is to be seen, that we are here, and how things stand.
    async fn introduce(&mut self, into: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failure> {
        let status = self.states.borrow_and_update().clone();
        if status.is_null() {
            return Ok(());
        }
        self.told = components(&self.id, &self.to, &status);
        let now = platforms(&self.told);
        let mut gone = std::mem::replace(&mut self.before, now.clone());
        gone.retain(|key, _| !now.contains_key(key));
        if !gone.is_empty() {
            // It forgets them by the first, and the second is what is kept.
            let last = discovery(&self.id, &self.to, &status, &gone).to_string();
            write(into, &packet::lasting(&self.place(), last.as_bytes())).await?;
        }
        let all = discovery(&self.id, &self.to, &status, &Platforms::new()).to_string();
        write(into, &packet::lasting(&self.place(), all.as_bytes())).await?;
        write(into, &packet::lasting(&self.at(ONLINE), b"online")).await?;
        write(into, &packet::lasting(&self.at(STATE), state(&status).to_string().as_bytes()))
            .await?;
        self.tell(News::Stands(now)).await;
        Ok(())
    }

    async fn go_on(
        &mut self,
        from: &mut Reader<impl AsyncRead + Unpin>,
        into: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failure> {
        let mut told = Value::Null;
        let mut heard_at = Instant::now();
        let mut asked = false;
        loop {
            let due = heard_at + if asked { SILENCE + PATIENCE } else { SILENCE };
            tokio::select! {
                farewell = &mut self.ends => {
                    self.end(into, farewell.unwrap_or(Farewell::Offline)).await;
                    return Ok(());
                }
                said = next(from) => {
                    (heard_at, asked) = (Instant::now(), false);
                    let answered = timeout(PATIENCE + ANSWERED, self.hear(said?, into)).await;
                    answered.map_err(|_| silent(&self.to))??;
                }
                Ok(()) = self.states.changed() => {
                    let written = timeout(PATIENCE, self.show(into, &mut told)).await;
                    written.map_err(|_| silent(&self.to))??;
                }
                () = sleep_until(due) => {
                    if std::mem::replace(&mut asked, true) {
                        return Err(silent(&self.to));
                    }
                    let written = timeout(PATIENCE, write(into, &packet::ping())).await;
                    written.map_err(|_| silent(&self.to))??;
                }
            }
        }
    }

    /// Tells how things stand, if that is another way than before.
    async fn show(
        &mut self,
        into: &mut (impl AsyncWrite + Unpin),
        told: &mut Value,
    ) -> Result<(), Failure> {
        let status = self.states.borrow_and_update().clone();
        if components(&self.id, &self.to, &status) != self.told {
            return self.introduce(into).await;
        }
        let now = state(&status);
        if now != *told {
            write(into, &packet::lasting(&self.at(STATE), now.to_string().as_bytes())).await?;
            *told = now;
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        said: Said,
        into: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failure> {
        let (topic, payload, kept) = match said {
            Said::Heard { topic, payload, kept } => (topic, payload, kept),
            Said::Subscribed { all: true } | Said::Alive => return Ok(()),
            Said::Subscribed { all: false } => {
                let why = "the broker lets this user read nothing, so Home Assistant cannot say what it wants";
                return Err(Failure { refused: true, ..passing(why.to_owned()) });
            }
            Said::Login(_) | Said::Has(_) => return Err(passing(super::NO_BROKER.to_owned())),
        };
        let payload = String::from_utf8_lossy(&payload).into_owned();
        if topic == self.birth() {
            return if payload == "online" { self.introduce(into).await } else { Ok(()) };
        }
        // What somebody wanted before we came would come back with each session.
        let below = topic.strip_prefix(&self.to.topic).and_then(|below| below.strip_prefix('/'));
        let wanted = below.filter(|_| !kept).map(|below| wish(self.to.commands, below, &payload));
        let answer = match wanted {
            None => return Ok(()),
            Some(None) => "this is not something that can be wanted".to_owned(),
            Some(Some(wish)) => {
                let (reply, answer) = oneshot::channel();
                self.tell(News::Wants(wish, reply)).await;
                match timeout(ANSWERED, answer).await {
                    Ok(Ok(answer)) => answer,
                    _ => "the agent has no time".to_owned(),
                }
            }
        };
        write(into, &packet::passing(&self.at(ANSWER), answer.as_bytes())).await
    }

    async fn end(&self, into: &mut (impl AsyncWrite + Unpin), farewell: Farewell) {
        let last = async {
            if farewell == Farewell::Gone {
                write(into, &packet::lasting(&self.place(), b"")).await?;
                write(into, &packet::lasting(&self.at(STATE), b"")).await?;
            }
            let payload: &[u8] = if farewell == Farewell::Gone { b"" } else { b"offline" };
            write(into, &packet::lasting(&self.at(ONLINE), payload)).await?;
            write(into, &packet::disconnect()).await
        };
        drop(timeout(PATIENCE / 5, last).await);
    }
}

fn silent(to: &Mqtt) -> Failure {
    passing(format!("{} took the connection and does not answer", to.server.host))
}
