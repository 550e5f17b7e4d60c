//! Frames of ubus: a header of eight bytes, and attributes. Everything is big-endian.

use std::io;

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::blob::{self, Attributes, Garbled};

/// The longest that libubus itself takes, in bytes.
const LONGEST: usize = 1 << 20;
/// Version, type, sequence, peer.
const HEADER: usize = 8;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 0,
    Status = 1,
    Data = 2,
    Lookup = 4,
    Invoke = 5,
    AddObject = 6,
    Subscribe = 8,
    Unsubscribe = 9,
    Notify = 10,
}

const KINDS: [Kind; 9] = [
    Kind::Hello,
    Kind::Status,
    Kind::Data,
    Kind::Lookup,
    Kind::Invoke,
    Kind::AddObject,
    Kind::Subscribe,
    Kind::Unsubscribe,
    Kind::Notify,
];

/// Ids of attributes.
mod id {
    pub(crate) const STATUS: u8 = 1;
    pub(crate) const OBJECT_PATH: u8 = 2;
    pub(crate) const OBJECT_ID: u8 = 3;
    pub(crate) const METHOD: u8 = 4;
    pub(crate) const SIGNATURE: u8 = 6;
    pub(crate) const DATA: u8 = 7;
    pub(crate) const TARGET: u8 = 8;
    pub(crate) const NO_REPLY: u8 = 10;
}

/// What a frame says. What it may say besides is nothing to us.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Words {
    pub(crate) status: Option<u32>,
    pub(crate) path: Option<String>,
    pub(crate) object: Option<u32>,
    pub(crate) method: Option<String>,
    /// Methods of an object that is added, with the kinds of their arguments.
    pub(crate) signature: Option<Map<String, Value>>,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) target: Option<u32>,
    pub(crate) wants_no_reply: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// `None`: one that we do not know.
    pub(crate) kind: Option<Kind>,
    /// Chosen by who asks, and in every answer to it.
    pub(crate) sequence: u16,
    /// Of an answer: the object that gives it.
    pub(crate) peer: u32,
    pub(crate) words: Words,
}

impl Frame {
    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, self.kind.map_or(0, |kind| kind as u8)];
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.peer.to_be_bytes());
        let words = &self.words;
        blob::put(&mut out, 0, |out| {
            let number = |id, number: Option<u32>, out: &mut Vec<u8>| {
                if let Some(number) = number {
                    blob::put(out, id, |out| out.extend(number.to_be_bytes()));
                }
            };
            if words.wants_no_reply {
                blob::put(out, id::NO_REPLY, |out| out.push(1));
            }
            number(id::STATUS, words.status, out);
            number(id::OBJECT_ID, words.object, out);
            number(id::TARGET, words.target, out);
            let texts = [(id::OBJECT_PATH, &words.path), (id::METHOD, &words.method)];
            for (id, text) in texts {
                if let Some(text) = text {
                    blob::put(out, id, |out| blob::put_text(out, text));
                }
            }
            let tables = [(id::SIGNATURE, &words.signature), (id::DATA, &words.data)];
            for (id, table) in tables {
                if let Some(table) = table {
                    blob::put(out, id, |out| blob::put_table(out, table));
                }
            }
        });
        out
    }
}

/// Takes the first whole frame off what has come. `None`: there is more to come.
pub(super) fn take(buffer: &mut Vec<u8>) -> Result<Option<Frame>, Garbled> {
    let Some(&[version, kind, s0, s1, p0, p1, p2, p3, l0, l1, l2, l3]) = buffer.first_chunk()
    else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize & 0xff_ffff;
    if version != 0 || !(4..=LONGEST).contains(&length) {
        return Err(Garbled);
    }
    let Some(attributes) = buffer.get(HEADER + 4..HEADER + length) else { return Ok(None) };
    let frame = Frame {
        kind: KINDS.into_iter().find(|&known| known as u8 == kind),
        sequence: u16::from_be_bytes([s0, s1]),
        peer: u32::from_be_bytes([p0, p1, p2, p3]),
        words: words(attributes)?,
    };
    buffer.drain(..HEADER + length);
    Ok(Some(frame))
}

fn words(attributes: &[u8]) -> Result<Words, Garbled> {
    let mut words = Words::default();
    for attribute in Attributes(attributes) {
        let attribute = attribute?;
        let payload = attribute.payload;
        let number = || payload.first_chunk().map(|&four| u32::from_be_bytes(four)).ok_or(Garbled);
        let text = || blob::text(payload).map(str::to_owned);
        match attribute.kind {
            id::STATUS => words.status = Some(number()?),
            id::OBJECT_PATH => words.path = Some(text()?),
            id::OBJECT_ID => words.object = Some(number()?),
            id::METHOD => words.method = Some(text()?),
            id::DATA => words.data = Some(blob::table(payload)?),
            id::TARGET => words.target = Some(number()?),
            id::NO_REPLY => words.wants_no_reply = payload.first().is_some_and(|&byte| byte != 0),
            _ => {}
        }
    }
    Ok(words)
}

/// A connection, frame by frame.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    /// What has come, and is not yet a whole frame.
    came: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, came: Vec::new() }
    }

    /// The next frame. May be dropped at any time, and asked for again.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        loop {
            let garbled = |Garbled| io::Error::new(io::ErrorKind::InvalidData, "it talks nonsense");
            if let Some(frame) = take(&mut self.came).map_err(garbled)? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.came).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = frame.encode();
        if bytes.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.stream.write_all(&bytes).await
    }
}
