//! What the routes ask of the loop.

use std::time::Duration;

use axum::extract::State;
use tokio::sync::{mpsc, oneshot};

use crate::engine::events::causes::Deed;
use crate::engine::events::entry::{Entry, Wanted};
use crate::engine::events::timeline::View;
use crate::engine::input::Command;
use crate::engine::notify::{Acknowledge, Acknowledged, Tested};
use crate::engine::output::Refusal;
use crate::engine::report::days;
use crate::engine::status::snapshot::Snapshot;

/// What a request asks of the loop. Each carries where its answer goes.
#[derive(Debug)]
pub enum Ask {
    Status(oneshot::Sender<Snapshot>),
    /// The last day at a glance.
    Timeline(oneshot::Sender<View>),
    /// What each of the last days came to. The answer comes by itself.
    Days(oneshot::Sender<oneshot::Receiver<days::View>>),
    /// A part of what happened, oldest first.
    History(Wanted, oneshot::Sender<Vec<Entry>>),
    /// A person wants something.
    Command(Command, oneshot::Sender<Result<String, Refusal>>),
    /// Send a test to this channel or to all. What comes of it takes a while, and comes by itself.
    TestChannel(Option<String>, oneshot::Sender<oneshot::Receiver<Vec<Tested>>>),
    /// Somebody has seen what is critical, or wants to know what there is. The answer comes by itself.
    Acknowledge(Acknowledge, oneshot::Sender<oneshot::Receiver<Acknowledged>>),
    /// Settings were changed, kept or undone: it belongs to the history, and the file is read again where it is another
    /// one. The error is the file's mistakes, in words.
    Settings(Deed, oneshot::Sender<Result<String, String>>),
    /// Read the configuration again. The error is the file's mistakes, in words.
    Reload(oneshot::Sender<Result<String, String>>),
}

pub(super) type Asks = State<mpsc::Sender<Ask>>;

/// Asks the loop; `None` if it has no time, which a person is told rather than kept waiting.
pub(super) async fn ask<T>(
    asks: &mpsc::Sender<Ask>,
    question: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    asks.try_send(question(answer)).ok()?;
    tokio::time::timeout(Duration::from_secs(3), answered).await.ok()?.ok()
}
