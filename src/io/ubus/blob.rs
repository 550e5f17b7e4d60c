//! blobmsg, in which ubus carries its words: JSON in binary, without null and without unsigned numbers.
//!
//! An attribute is one word `named << 31 | kind << 24 | length`, then the length of its name, the name with a NUL and padding
//! to four bytes, then its value, padded as well. The length counts the word and not the padding. Everything is big-endian.

use serde_json::{Map, Number, Value};

const ARRAY: u8 = 1;
const TABLE: u8 = 2;
const STRING: u8 = 3;
const INT64: u8 = 4;
const INT32: u8 = 5;
const INT16: u8 = 6;
/// One byte, which libubox's own JSON takes for true or false.
const INT8: u8 = 7;
const DOUBLE: u8 = 8;

const NAMED: u32 = 1 << 31;
/// In a word: the low 24 bits.
const LENGTH: u32 = 0xff_ffff;
/// How deep tables may stand in tables.
const DEEPEST: usize = 16;

/// What is wrong with what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// One attribute of a message or a table, its padding taken off.
pub(super) struct Attribute<'a> {
    pub(super) is_named: bool,
    /// What it is: for ubus itself its id, in blobmsg its kind.
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
}

/// The attributes that stand one after the other.
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Garbled>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = first(self.0);
        // After something that makes no sense there is nothing that does.
        self.0 = read.as_ref().map_or(&[], |&(_, rest)| rest);
        Some(read.map(|(attribute, _)| attribute))
    }
}

fn first(bytes: &[u8]) -> Result<(Attribute<'_>, &[u8]), Garbled> {
    let (&word, _) = bytes.split_first_chunk().ok_or(Garbled)?;
    let word = u32::from_be_bytes(word);
    let length = (word & LENGTH) as usize;
    let payload = bytes.get(4..length).ok_or(Garbled)?;
    // The last one may lack its padding.
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    let kind = (word >> 24 & 0x7f) as u8;
    Ok((Attribute { is_named: word & NAMED != 0, kind, payload }, rest))
}

/// Text that ends with a NUL.
pub(super) fn text(payload: &[u8]) -> Result<&str, Garbled> {
    let end = payload.iter().position(|&byte| byte == 0).ok_or(Garbled)?;
    std::str::from_utf8(&payload[..end]).map_err(|_| Garbled)
}

/// A table's entries, as they stand in the DATA of a message.
pub(super) fn table(bytes: &[u8]) -> Result<Map<String, Value>, Garbled> {
    entries(bytes, 0)
}

fn entries(bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Garbled> {
    let mut map = Map::new();
    for attribute in Attributes(bytes) {
        let (name, value) = entry(&attribute?, depth)?;
        map.insert(name.to_owned(), value);
    }
    Ok(map)
}

fn entry<'a>(attribute: &Attribute<'a>, depth: usize) -> Result<(&'a str, Value), Garbled> {
    if depth > DEEPEST || !attribute.is_named {
        return Err(Garbled);
    }
    let (&length, rest) = attribute.payload.split_first_chunk().ok_or(Garbled)?;
    let length = usize::from(u16::from_be_bytes(length));
    let name = text(rest.get(..=length).ok_or(Garbled)?)?;
    let at = (2 + length + 1).next_multiple_of(4);
    let bytes = attribute.payload.get(at..).unwrap_or_default();
    Ok((name, value(attribute.kind, bytes, depth)?))
}

fn value(kind: u8, bytes: &[u8], depth: usize) -> Result<Value, Garbled> {
    Ok(match kind {
        TABLE => Value::Object(entries(bytes, depth + 1)?),
        ARRAY => {
            let items = Attributes(bytes).map(|item| entry(&item?, depth + 1).map(|(_, v)| v));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        STRING => Value::from(text(bytes)?),
        INT64 => Value::from(i64::from_be_bytes(whole(bytes)?)),
        INT32 => Value::from(i32::from_be_bytes(whole(bytes)?)),
        INT16 => Value::from(i16::from_be_bytes(whole(bytes)?)),
        INT8 => Value::from(bytes.first().ok_or(Garbled)? != &0),
        DOUBLE => {
            let double = f64::from_be_bytes(whole(bytes)?);
            Number::from_f64(double).map_or(Value::Null, Value::Number)
        }
        // Kinds that come after this was written say nothing to us.
        _ => Value::Null,
    })
}

fn whole<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Garbled> {
    bytes.first_chunk().copied().ok_or(Garbled)
}

/// Adds an attribute of a message: what is in it is written by the closure.
pub(super) fn put(out: &mut Vec<u8>, id: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    write(out);
    close(out, at, u32::from(id) << 24);
}

/// Writes the word of the attribute that began there, and its padding.
fn close(out: &mut Vec<u8>, at: usize, word: u32) {
    // What is longer than 24 bits is longer than a frame may be, which its writer refuses.
    let length = (out.len() - at) as u32 & LENGTH;
    out[at..at + 4].copy_from_slice(&(word | length).to_be_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Adds a table's entries.
pub(super) fn put_table(out: &mut Vec<u8>, table: &Map<String, Value>) {
    for (name, value) in table {
        put_value(out, name, value);
    }
}

fn put_value(out: &mut Vec<u8>, name: &str, value: &Value) {
    let at = out.len();
    out.extend([0; 4]);
    out.extend((name.len() as u16).to_be_bytes());
    out.extend(name.as_bytes());
    out.push(0);
    out.resize(at + (out.len() - at).next_multiple_of(4), 0);
    let kind = match value {
        Value::Object(map) => {
            put_table(out, map);
            TABLE
        }
        Value::Array(items) => {
            items.iter().for_each(|item| put_value(out, "", item));
            ARRAY
        }
        Value::String(text) => {
            put_text(out, text);
            STRING
        }
        Value::Bool(is) => {
            out.push(u8::from(*is));
            INT8
        }
        Value::Number(number) => put_number(out, number),
        // There is no null: an empty text is the nearest that its readers know.
        Value::Null => {
            out.push(0);
            STRING
        }
    };
    close(out, at, NAMED | u32::from(kind) << 24);
}

fn put_number(out: &mut Vec<u8>, number: &Number) -> u8 {
    match number.as_i64() {
        Some(value) => {
            if let Ok(value) = i32::try_from(value) {
                out.extend(value.to_be_bytes());
                INT32
            } else {
                out.extend(value.to_be_bytes());
                INT64
            }
        }
        None => {
            out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            DOUBLE
        }
    }
}

/// Text with its NUL; what comes after one in the text would not be read.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().take_while(|&byte| byte != 0));
    out.push(0);
}
