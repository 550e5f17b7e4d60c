//! A conversation with ubusd: what is asked, what is answered, and what comes between.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::frame::{Frame, Kind, Wire, Words};

/// Who is asked answers within milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long after a failure it is tried again: doubled each time, between these.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Pauses between attempts.
pub(super) struct Again(Duration);

impl Again {
    pub(super) const fn new() -> Self {
        Self(AGAIN.0)
    }

    /// Waits after something that ended and had begun then.
    pub(super) async fn wait(&mut self, begun: Instant) {
        let (least, most) = AGAIN;
        // What has lasted is no failure of the same kind.
        let pause = if begun.elapsed() > most { least } else { self.0 };
        sleep(pause).await;
        self.0 = (pause * 2).min(most);
    }
}

pub(super) struct Bus {
    wire: Wire,
    sequence: u16,
    /// A notification came while an answer was waited for.
    was_told: bool,
}

impl Bus {
    pub(super) async fn connect(socket: &Path) -> io::Result<Self> {
        // Most boxes have none: then nothing more is begun.
        if !socket.exists() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Self::open(UnixStream::connect(socket).await?).await
    }

    /// ubusd speaks first.
    pub(super) async fn open(stream: UnixStream) -> io::Result<Self> {
        let mut wire = Wire::new(stream);
        let first = timeout(PATIENCE, wire.next()).await??;
        if first.kind != Some(Kind::Hello) {
            return Err(nonsense("it does not say hello"));
        }
        Ok(Self { wire, sequence: 0, was_told: false })
    }

    /// The next frame, whatever it is. May be dropped at any time, and asked for again.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        self.wire.next().await
    }

    /// Sends a frame of our own, and waits for no answer.
    pub(super) async fn say(&mut self, kind: Kind, peer: u32, words: Words) -> io::Result<u16> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&Frame { kind: Some(kind), sequence: self.sequence, peer, words }).await?;
        Ok(self.sequence)
    }

    /// Sends a frame as it is: an answer has the sequence of its question.
    pub(super) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        timeout(PATIENCE, self.wire.send(frame)).await?
    }

    /// Asks something, and gives what is answered before the status that ends it.
    async fn ask(&mut self, kind: Kind, peer: u32, words: Words) -> io::Result<Vec<Words>> {
        let answered = async {
            let sequence = self.say(kind, peer, words).await?;
            let mut answers = Vec::new();
            loop {
                let frame = self.wire.next().await?;
                match frame.kind {
                    Some(Kind::Data) if frame.sequence == sequence => answers.push(frame.words),
                    Some(Kind::Status) if frame.sequence == sequence => {
                        return match frame.words.status {
                            Some(0) => Ok(answers),
                            status => Err(nonsense(refused(status))),
                        };
                    }
                    _ => self.was_told |= is_news(&frame)?,
                }
            }
        };
        timeout(PATIENCE, answered).await?
    }

    /// The number of the object at this path.
    pub(super) async fn object(&mut self, path: &str) -> io::Result<u32> {
        let words = Words { path: Some(path.to_owned()), ..Words::default() };
        let found = self.ask(Kind::Lookup, 0, words).await?;
        // Whoever may not know of it is told that there is none.
        found
            .first()
            .and_then(|words| words.object)
            .ok_or_else(|| nonsense("there is no netifd, or it is not for us"))
    }

    /// An object of our own: without words one to which notifications go, else one that others find and ask.
    pub(super) async fn add_object(&mut self, words: Words) -> io::Result<u32> {
        let made = self.ask(Kind::AddObject, 0, words).await?;
        made.first().and_then(|words| words.object).ok_or_else(|| nonsense("it gives us no object"))
    }

    pub(super) async fn subscribe(&mut self, me: u32, target: u32) -> io::Result<()> {
        let words = Words { object: Some(me), target: Some(target), ..Words::default() };
        self.ask(Kind::Subscribe, 0, words).await.map(drop)
    }

    /// What an object answers to a question without words.
    pub(super) async fn call(
        &mut self,
        object: u32,
        method: &str,
    ) -> io::Result<Option<Map<String, Value>>> {
        let words = Words {
            object: Some(object),
            method: Some(method.to_owned()),
            data: Some(Map::new()),
            ..Words::default()
        };
        let said = self.ask(Kind::Invoke, object, words).await?;
        Ok(said.into_iter().find_map(|words| words.data))
    }

    /// Waits until a notification comes, and until `settled` has passed: more may come with it.
    pub(super) async fn told(&mut self, settled: Duration) -> io::Result<()> {
        while !std::mem::take(&mut self.was_told) {
            self.was_told = is_news(&self.wire.next().await?)?;
        }
        let settled = Instant::now() + settled;
        while let Ok(frame) = tokio::time::timeout_at(settled, self.wire.next()).await {
            is_news(&frame?)?;
        }
        Ok(())
    }
}

/// Whether a frame that answers nothing is a notification.
fn is_news(frame: &Frame) -> io::Result<bool> {
    match frame.kind {
        Some(Kind::Invoke) => Ok(true),
        // The object that we listened to is no more: netifd has ended.
        Some(Kind::Unsubscribe) => Err(nonsense("netifd is gone")),
        _ => Ok(false),
    }
}

pub(super) fn nonsense(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// What a status says, in ubus's own words.
fn refused(status: Option<u32>) -> &'static str {
    match status {
        Some(2) => "invalid argument",
        Some(3) => "method not found",
        Some(4) => "not found",
        Some(5) => "no data",
        Some(6) => "permission denied",
        Some(7) => "timeout",
        _ => "it fails",
    }
}
