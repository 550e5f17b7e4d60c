//! Publishes a message by MQTT 3.1.1 (OASIS standard of 2014): a connection, one PUBLISH that the broker acknowledges,
//! and good-bye. It is over in a second, so that nothing has to be kept alive between messages.

use std::time::Duration;

mod home_assistant;
mod packet;
pub(super) mod session;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::time::timeout;

use packet::{Reader, Said, Will};

use super::outbox::Kept;
use super::post::passing;
use super::services;
use crate::config::Mqtt;
use crate::engine::notify::queue::Failure;
use crate::io::client::{Addresses, Reach, Way, connect, tls};
use crate::io::clock;
use crate::io::socket::{Stream, words};

/// A broker has so long for all of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Seconds after which a broker would take us for gone.
const KEEP_ALIVE: u16 = 60;
/// The number of the only packet that is acknowledged.
const NUMBER: u16 = 1;

/// Publishes a message.
///
/// # Errors
///
/// Why it may not have been taken.
pub(super) async fn send(
    to: &Mqtt,
    message: &Kept,
    state: &serde_json::Value,
    addresses: &Addresses,
    reach: Reach,
) -> Result<(), Failure> {
    let document = services::document(message, state).to_string();
    let stream = connect(&to.server, addresses, &Way::Any(reach)).await.map_err(passing)?;
    let stream = tls::wrap(&to.server, stream).await.map_err(passing)?;
    let host = &to.server.host;
    let published = publish(to, document.as_bytes(), stream);
    match timeout(PATIENCE, published).await {
        Ok(result) => result.map_err(|failure| {
            let why = format!("{host}: {}", failure.why);
            Failure { why, ..failure }
        }),
        Err(_) => Err(passing(format!("{host} took the connection and does not answer"))),
    }
}

async fn publish(to: &Mqtt, document: &[u8], mut stream: Box<dyn Stream>) -> Result<(), Failure> {
    let (from, mut into) = tokio::io::split(&mut stream);
    let mut from = Reader::new(from);
    log_in(to, KEEP_ALIVE, None, &mut from, &mut into).await?;
    write(&mut into, &packet::numbered(&to.topic, document, NUMBER)).await?;
    if next(&mut from).await? != Said::Has(NUMBER) {
        return Err(passing(NO_BROKER.to_owned()));
    }
    // It has the message; without good-bye it would say that we died.
    drop(into.write_all(&packet::disconnect()).await);
    drop(into.shutdown().await);
    Ok(())
}

const NO_BROKER: &str = "what answers there does not speak MQTT";

/// Introduces this box to the broker, by a name that no other client has.
async fn log_in(
    to: &Mqtt,
    keep_alive: u16,
    will: Option<&Will<'_>>,
    from: &mut Reader<impl AsyncRead + Unpin>,
    into: &mut (impl AsyncWriteExt + Unpin),
) -> Result<(), Failure> {
    let name = clock::random::<4>().map_err(|error| passing(words(&error)))?;
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let hello = packet::connect(&to.login, &format!("sparelink{name}"), keep_alive, will);
    write(into, &hello).await?;
    match next(from).await? {
        Said::Login(0) => Ok(()),
        Said::Login(code) => Err(no(code)),
        Said::Has(_) | Said::Subscribed { .. } | Said::Heard { .. } | Said::Alive => {
            Err(passing(NO_BROKER.to_owned()))
        }
    }
}

async fn write(into: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> Result<(), Failure> {
    let written = async {
        into.write_all(bytes).await?;
        into.flush().await
    };
    written.await.map_err(|error| passing(words(&error)))
}

async fn next(from: &mut Reader<impl AsyncRead + Unpin>) -> Result<Said, Failure> {
    from.next().await.map_err(|error| {
        let kind = error.kind();
        passing(if kind == std::io::ErrorKind::UnexpectedEof {
            "the broker ended the connection".to_owned()
        } else if kind == std::io::ErrorKind::InvalidData {
            NO_BROKER.to_owned()
        } else {
            words(&error)
        })
    })
}

/// What it means that a broker does not let us in (§3.2.2.3).
fn no(code: u8) -> Failure {
    let (why, refused) = match code {
        1 => ("the broker does not speak MQTT 3.1.1", true),
        2 => ("the broker refuses the name of this client", true),
        3 => ("the broker is not ready", false),
        4 | 5 => ("the broker refuses the login", true),
        _ => (NO_BROKER, false),
    };
    Failure { refused, ..passing(why.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    use crate::config::{Commands, Login, Server};

    fn to(user: &str) -> Mqtt {
        Mqtt {
            server: Server { tls: false, host: "broker".to_owned(), port: 1883 },
            login: Login { user: user.to_owned(), password: "pä".to_owned().into() },
            topic: "a/b".to_owned(),
            discovery: None,
            commands: Commands::Refused,
        }
    }

    /// What comes of a broker that answers with these, and what it was told.
    fn play(
        to: &Mqtt,
        document: &[u8],
        answers: &'static [&[u8]],
    ) -> (Result<(), Failure>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(1024 * 1024);
            let broker = async move {
                let mut heard = Vec::new();
                for answer in answers {
                    let mut buffer = vec![0; 512 * 1024];
                    let many = far.read(&mut buffer).await.unwrap();
                    heard.extend_from_slice(&buffer[..many]);
                    let _ = far.write_all(answer).await;
                }
                let _ = far.shutdown().await;
                let _ = far.read_to_end(&mut heard).await;
                heard
            };
            tokio::join!(publish(to, document, Box::new(near)), broker)
        })
    }

    #[test]
    fn a_message_is_published_and_acknowledged() {
        let (result, heard) =
            play(&to("me"), &[b'x'; 200], &[b"\x20\x02\x00\x00", b"\x40\x02\x00\x01"]);
        assert_eq!(result, Ok(()));
        let head = b"\x10\x26\x00\x04MQTT\x04\xc2\x00\x3c\x00\x11sparelink";
        assert!(heard.starts_with(head), "{heard:?}");
        let rest = &heard[head.len() + 8..];
        assert!(rest.starts_with(b"\x00\x02me\x00\x03p\xc3\xa4\x32\xcf\x01\x00\x03a/b\x00\x01xxx"));
        assert!(rest.ends_with(b"xxx\xe0\x00"), "{rest:?}");
        let (_, heard) = play(&to(""), b"x", &[b"\x20\x02\x00\x00", b"\x40\x02\x00\x01"]);
        assert_eq!(heard.get(9), Some(&0x02), "without a name no password either");
    }

    #[test]
    fn brokers_that_do_not_take_it() {
        let cases: [(&'static [&[u8]], &str, bool); 7] = [
            (&[b"\x20\x02\x00\x05"], "the broker refuses the login", true),
            (&[b"\x20\x02\x00\x03"], "the broker is not ready", false),
            (&[b"\x20\x02\x00\x63"], NO_BROKER, false),
            (&[b"HTTP/1.1 400"], NO_BROKER, false),
            (&[b"\x20"], "the broker ended the connection", false),
            (&[b"\x20\x02\x00\x00", b"\x40\x02\x00\x02"], NO_BROKER, false),
            (&[b"\x20\x02\x00\x00"], "the broker ended the connection", false),
        ];
        for (answers, why, refused) in cases {
            let (result, _) = play(&to("me"), b"x", answers);
            let failure = result.unwrap_err();
            assert_eq!((failure.why.as_str(), failure.refused), (why, refused));
        }
    }
}
