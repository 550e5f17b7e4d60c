//! The object `sparelink`: `ubus call sparelink status` for LuCI and scripts, which need no HTTP then, and `ubus listen
//! sparelink` for what happens.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::Instant;

use super::bus::{Again, Bus};
use super::frame::{Frame, Kind, Words};

/// Our object's path, and the name of our events.
const PATH: &str = "sparelink";
/// Its one method.
const STATUS: &str = "status";
/// The object that hands events on, in every ubusd.
const EVENTS: u32 = 1;
/// Statuses of ubus: a method that is not there, an answer that does not come in time.
const METHOD_NOT_FOUND: u32 = 3;
const TIMEOUT: u32 = 7;

/// What is told.
pub trait Facts: Sync {
    /// How things are; `None`: nobody has time to say so.
    fn status(&self) -> impl Future<Output = Option<Value>> + Send;

    /// What happens from now on, as JSON.
    fn news(&self) -> Receiver<Arc<str>>;
}

/// Answers on ubus for as long as this is polled.
pub async fn serve(socket: &Path, facts: impl Facts) {
    let mut again = Again::new();
    loop {
        let begun = Instant::now();
        if let Err(error) = answer(socket, &facts).await {
            tracing::debug!(%error, "there is no object on ubus");
        }
        again.wait(begun).await;
    }
}

async fn answer(socket: &Path, facts: &impl Facts) -> io::Result<()> {
    let mut bus = Bus::connect(socket).await?;
    // A method's signature are its arguments.
    let signature = object(json!({ STATUS: {} }));
    let path = Some(PATH.to_owned());
    let me = bus.add_object(Words { path, signature, ..Words::default() }).await?;
    let mut news = facts.news();
    let mut was_refused = false;
    loop {
        tokio::select! {
            frame = bus.next() => {
                let frame = frame?;
                if frame.kind == Some(Kind::Invoke) {
                    told(&mut bus, me, frame, facts).await?;
                } else if frame.words.status.is_some_and(|status| status != 0)
                    && !std::mem::replace(&mut was_refused, true)
                {
                    tracing::warn!(
                        "ubus refuses our events: /usr/share/acl.d/sparelink.json lacks \"send\", or ubusd has not read it"
                    );
                }
            }
            entry = news.recv() => match entry {
                Ok(entry) => tell(&mut bus, &entry).await?,
                // Whoever listens asks for the status again in any case.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Answers a question.
async fn told(bus: &mut Bus, me: u32, asked: Frame, facts: &impl Facts) -> io::Result<()> {
    let Frame { sequence, peer, words: asked, .. } = asked;
    let answer = |kind, words: Words| {
        let words = Words { object: Some(me), ..words };
        Frame { kind: Some(kind), sequence, peer, words }
    };
    let code = if asked.method.as_deref() != Some(STATUS) {
        METHOD_NOT_FOUND
    } else if let Some(status) = facts.status().await {
        let data = object(said(status));
        bus.send(&answer(Kind::Data, Words { data, ..Words::default() })).await?;
        0
    } else {
        TIMEOUT
    };
    if asked.wants_no_reply {
        return Ok(());
    }
    bus.send(&answer(Kind::Status, Words { status: Some(code), ..Words::default() })).await
}

/// Tells all who listen for `sparelink` what happened.
async fn tell(bus: &mut Bus, entry: &str) -> io::Result<()> {
    let entry = serde_json::from_str(entry).unwrap_or_default();
    let data = object(json!({ "id": PATH, "data": said(entry) }));
    let method = Some("send".to_owned());
    let words = Words { object: Some(EVENTS), method, data, ..Words::default() };
    bus.say(Kind::Invoke, EVENTS, words).await.map(drop)
}

fn object(value: Value) -> Option<Map<String, Value>> {
    if let Value::Object(map) = value { Some(map) } else { None }
}

/// The same without what is null: ubus has no word for it.
fn said(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let there = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(there.map(|(name, value)| (name, said(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(said).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}
