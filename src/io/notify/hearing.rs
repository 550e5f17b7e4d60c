//! What comes in by a session with a broker, and what comes of it.

use tokio::sync::oneshot;

use super::asks::Wants;
use super::mqtt::session::{News, Wish};
use super::office::Office;
use crate::engine::notify::Tested;
use crate::engine::output::Refusal;
use crate::io::sys;
use crate::time::human;

impl Office {
    /// Something came in by a session.
    pub(super) fn hear(&mut self, channel: &str, news: News) {
        match news {
            News::Stands(has) => self.sessions.stands(channel, has),
            News::Fails(failure) => self.sessions.fails(channel, failure.why),
            News::Wants(Wish::Acknowledge(what), reply) => {
                drop(reply.send(self.acknowledge(&what).words(&sys::clock_time)));
            }
            News::Wants(Wish::Test, reply) => {
                let (tested, results) = oneshot::channel();
                self.test(None, tested);
                tokio::spawn(async move {
                    let results: Vec<Tested> = results.await.unwrap_or_default();
                    let said = |test: &Tested| match &test.result {
                        Ok(took) => format!("{}: delivered in {}", test.channel, human(*took)),
                        Err(why) => format!("{}: not delivered: {why}", test.channel),
                    };
                    drop(reply.send(results.iter().map(said).collect::<Vec<_>>().join("; ")));
                });
            }
            News::Wants(Wish::Command(command), reply) => {
                let (answers, answer) = oneshot::channel();
                tracing::info!("by MQTT: {command:?}");
                if self.to_loop.wishes.try_send(Wants::Command(command, answers)).is_err() {
                    return;
                }
                tokio::spawn(async move {
                    let answer = match answer.await {
                        Ok(Ok(done)) => done,
                        Ok(Err(Refusal::NotNow(why))) => why,
                        Ok(Err(Refusal::UnknownUplink(names))) => {
                            format!("there is no such uplink; there are {}", names.join(", "))
                        }
                        Err(_) => return,
                    };
                    drop(reply.send(answer));
                });
            }
        }
    }
}
