//! The packets of MQTT 3.1.1 (OASIS standard of 2014) that a message and a lasting session need.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::config::Login;

/// More than this is read for nobody: what is said to us is a word.
const MOST: usize = 64 * 1024;

/// Kinds of packets, with their flags; a PUBLISH with a number is delivered at least once (QoS 1).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const NUMBERED: u8 = 0x02;
const RETAINED: u8 = 0x01;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;
const DISCONNECT: u8 = 0xe0;

/// What the broker publishes for us, and keeps, when we are gone without a good-bye.
pub(super) struct Will<'w> {
    pub(super) topic: &'w str,
    pub(super) payload: &'w str,
}

/// The packet that logs in, of a session of which nothing is kept. After `keep_alive` seconds of silence, and half
/// as many, the broker takes us for gone.
pub(super) fn connect(
    login: &Login,
    name: &str,
    keep_alive: u16,
    will: Option<&Will<'_>>,
) -> Vec<u8> {
    let secret = login.password.reveal();
    let mut flags = 0x02;
    let mut payload = text(name);
    if let Some(will) = will {
        flags |= 0x24;
        payload.extend(text(will.topic));
        payload.extend(text(will.payload));
    }
    if !login.user.is_empty() {
        flags |= 0x80;
        payload.extend(text(&login.user));
        if !secret.is_empty() {
            flags |= 0x40;
            payload.extend(text(secret));
        }
    }
    let mut inside = text("MQTT");
    inside.extend([4, flags]);
    inside.extend(keep_alive.to_be_bytes());
    inside.extend(payload);
    packet(CONNECT, &inside)
}

/// A message that the broker acknowledges by its number.
pub(super) fn numbered(topic: &str, payload: &[u8], number: u16) -> Vec<u8> {
    packet(PUBLISH | NUMBERED, &[&text(topic)[..], &number.to_be_bytes(), payload].concat())
}

/// A message that the broker passes on at once.
pub(super) fn passing(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(PUBLISH, &[&text(topic)[..], payload].concat())
}

/// The same, which those hear, too, who come later.
pub(super) fn lasting(topic: &str, payload: &[u8]) -> Vec<u8> {
    packet(PUBLISH | RETAINED, &[&text(topic)[..], payload].concat())
}

/// Asks for what is published there.
pub(super) fn subscribe(topics: &[String]) -> Vec<u8> {
    let mut inside = vec![0, 1];
    for topic in topics {
        inside.extend(text(topic));
        inside.push(0);
    }
    packet(SUBSCRIBE, &inside)
}

pub(super) fn ping() -> Vec<u8> {
    packet(PINGREQ, &[])
}

/// Without it the broker would say that we died.
pub(super) fn disconnect() -> Vec<u8> {
    packet(DISCONNECT, &[])
}

/// A packet with its length, seven bits a byte.
fn packet(kind: u8, inside: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let mut left = inside.len();
    loop {
        let seven = u8::try_from(left % 128).unwrap_or_default();
        left /= 128;
        bytes.push(if left > 0 { seven | 0x80 } else { seven });
        if left == 0 {
            break;
        }
    }
    bytes.extend(inside);
    bytes
}

/// A text with its length before it; none of ours is as long as would not fit.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or_default();
    let text = &text.as_bytes()[..usize::from(length)];
    [&length.to_be_bytes(), text].concat()
}

/// What a broker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To a login: 0 is yes (§3.2.2.3).
    Login(u8),
    /// It has the message of this number.
    Has(u16),
    /// To a subscription: whether it takes all of it.
    Subscribed {
        all: bool,
    },
    /// Somebody published something. `kept` is from before we came.
    Heard {
        topic: String,
        payload: Vec<u8>,
        kept: bool,
    },
    Alive,
}

/// Reads a broker's packets. What has been read of one is kept, so that waiting for the next can be ended any time.
pub(super) struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, buffer: Vec::new() }
    }

    /// The next that a broker says.
    ///
    /// # Errors
    ///
    /// `InvalidData` where it is no broker, `UnexpectedEof` at its end, and whatever the connection says.
    pub(super) async fn next(&mut self) -> io::Result<Said> {
        loop {
            if let Some((kind, inside, whole)) = split(&self.buffer)? {
                let said = read(kind, inside).ok_or(io::ErrorKind::InvalidData)?;
                self.buffer.drain(..whole);
                return Ok(said);
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The kind of the first packet, what is in it, and how long it is; `None` if not all of it is there.
fn split(bytes: &[u8]) -> io::Result<Option<(u8, &[u8], usize)>> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    let known = [CONNACK, PUBACK, SUBACK, PINGRESP].contains(kind) || kind & 0xf6 == PUBLISH;
    if !known {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut length = 0;
    for (n, byte) in rest.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * n);
        if length > MOST {
            break;
        }
        if byte & 0x80 == 0 {
            let whole = 2 + n + length;
            return Ok(bytes.get(2 + n..whole).map(|inside| (*kind, inside, whole)));
        }
    }
    if rest.len() < 4 && length <= MOST {
        return Ok(None);
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn read(kind: u8, inside: &[u8]) -> Option<Said> {
    match (kind, inside) {
        (CONNACK, [_, code]) => Some(Said::Login(*code)),
        (PUBACK, [high, low]) => Some(Said::Has(u16::from_be_bytes([*high, *low]))),
        (SUBACK, [0, 1, codes @ ..]) => {
            Some(Said::Subscribed { all: codes.iter().all(|code| *code < 0x80) })
        }
        (PINGRESP, []) => Some(Said::Alive),
        // Of those with a number there are none, as we subscribe to the others.
        (kind, inside) if kind & 0xf6 == PUBLISH => {
            let (length, rest) = inside.split_first_chunk()?;
            let (topic, payload) =
                rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let topic = String::from_utf8(topic.to_vec()).ok()?;
            Some(Said::Heard { topic, payload: payload.to_vec(), kept: kind & RETAINED != 0 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn all(bytes: &[u8], chunk: usize) -> Vec<Result<Said, io::ErrorKind>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            // No more than so many bytes are there at a time.
            let (near, mut far) = tokio::io::duplex(chunk);
            let written = async {
                // Whoever has read enough hangs up.
                let _ = far.write_all(bytes).await;
                drop(far);
            };
            let read = async {
                let mut reader = Reader::new(near);
                let mut all = Vec::new();
                loop {
                    let said = reader.next().await.map_err(|error| error.kind());
                    let over = said.is_err();
                    all.push(said);
                    if over {
                        return all;
                    }
                }
            };
            tokio::join!(written, read).1
        })
    }

    #[test]
    fn packets_are_read_whatever_the_pieces() {
        let mut bytes =
            b"\x20\x02\x00\x00\x90\x04\x00\x01\x00\x80\xd0\x00\x40\x02\x01\x02".to_vec();
        bytes.extend(b"\x31\x08\x00\x03a/bPRE");
        bytes.extend(packet(PUBLISH, &[&text("t")[..], &[b'x'; 300]].concat()));
        let heard = |topic: &str, payload: &[u8], kept| {
            Ok(Said::Heard { topic: topic.to_owned(), payload: payload.to_vec(), kept })
        };
        for chunk in [1, 3, 1000] {
            let wanted = [
                Ok(Said::Login(0)),
                Ok(Said::Subscribed { all: false }),
                Ok(Said::Alive),
                Ok(Said::Has(258)),
                heard("a/b", b"PRE", true),
                heard("t", &[b'x'; 300], false),
                Err(io::ErrorKind::UnexpectedEof),
            ];
            assert_eq!(all(&bytes, chunk), wanted, "{chunk}");
        }
    }

    #[test]
    fn what_is_no_broker_is_told_at_once() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"\x20\x03\x00\x00\x00",
            b"\x30\x02\x00\x09",
            b"\x30\x04\x00\x02\xff\xfe",
            b"\x30\xff\xff\xff\xff",
            b"\x32\x05\x00\x01t\x00\x01",
        ] {
            assert_eq!(all(bytes, 7), [Err(io::ErrorKind::InvalidData)], "{bytes:?}");
        }
    }

    #[test]
    fn a_will_stands_before_the_login() {
        let login = Login { user: "me".to_owned(), password: "pw".to_owned().into() };
        let will = Will { topic: "a/online", payload: "offline" };
        assert_eq!(
            connect(&login, "box", 30, Some(&will)),
            b"\x10\x2a\x00\x04MQTT\x04\xe6\x00\x1e\x00\x03box\x00\x08a/online\x00\x07offline\x00\x02me\x00\x02pw"
        );
        assert_eq!(
            subscribe(&["a".to_owned(), "b/#".to_owned()]),
            b"\x82\x0c\x00\x01\x00\x01a\x00\x00\x03b/#\x00"
        );
    }
}
