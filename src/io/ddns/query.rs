//! Asks a name server which addresses a name has, by TCP (RFC 7766).

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::engine::probe::dns::{Answer, Query};
use crate::io::clock;
use crate::io::socket::{Stream, words};
use crate::units::{Family, PerFamily};

/// How long a name server has for one answer.
const ANSWERED: Duration = Duration::from_secs(5);
/// Authoritative answer (`AA`), truncated (`TC`), and the bits of the answer's code (RFC 1035 §4.1.1).
const AUTHORITATIVE: u8 = 0x04;
const CODE: u8 = 0x0f;
const NO_ERROR: u8 = 0;
const NO_SUCH_NAME: u8 = 3;

/// Sends one message and takes the answer.
///
/// # Errors
///
/// Why there is none, in words.
pub(super) async fn exchange(
    stream: &mut Box<dyn Stream>,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    let asked = async {
        let length = u16::try_from(message.len()).map_err(|_| "too long".to_owned())?;
        let framed = [&length.to_be_bytes()[..], message].concat();
        stream.write_all(&framed).await.map_err(|error| words(&error))?;
        let length = stream.read_u16().await.map_err(|error| ended(&error))?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.map_err(|error| ended(&error))?;
        Ok(answer)
    };
    let late = |_| "it took the connection and does not answer".to_owned();
    timeout(ANSWERED, asked).await.map_err(late)?
}

fn ended(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return "it ended the connection".to_owned();
    }
    words(error)
}

/// Which addresses a name has. The server has to be an authority for it: what others remember may be old.
///
/// # Errors
///
/// Why that is not known, in words.
pub(super) async fn says(
    stream: &mut Box<dyn Stream>,
    name: &str,
) -> Result<PerFamily<Vec<IpAddr>>, String> {
    let mut says = PerFamily::default();
    for family in Family::BOTH {
        *says.get_mut(family) = addresses(stream, name, family).await?;
    }
    Ok(says)
}

async fn addresses(
    stream: &mut Box<dyn Stream>,
    name: &str,
    family: Family,
) -> Result<Vec<IpAddr>, String> {
    let number = clock::random::<2>().map_err(|error| words(&error))?;
    let query = Query::new(u16::from_be_bytes(number), name, family).ok_or("it is no name")?;
    let answer = exchange(stream, &query.encode()).await?;
    read(&query, &answer)
}

/// What an answer says.
fn read(query: &Query, answer: &[u8]) -> Result<Vec<IpAddr>, String> {
    let found = query.decode(answer).ok_or("what answers there is no name server")?;
    let flags = |at: usize| answer.get(at).copied().unwrap_or_default();
    match (flags(2) & AUTHORITATIVE != 0, flags(3) & CODE) {
        (true, NO_ERROR | NO_SUCH_NAME) => Ok(match found {
            Answer::Addresses(addresses) => addresses,
            Answer::NoAddress => Vec::new(),
        }),
        _ => Err("it is not a name server of this zone".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_authority_is_believed() {
        let query = Query::new(7, "home.example.net", Family::V4).unwrap();
        let mut answer = query.encode();
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
        let rows: [(u8, u8, Option<usize>); 6] = [
            (0x84, 0, Some(1)),
            (0x84, 3, Some(0)),
            (0x80, 0, None),
            (0x84, 2, None),
            (0x80, 5, None),
            (0x04, 0, None),
        ];
        for (first, second, expected) in rows {
            (answer[2], answer[3]) = (first, second);
            let many = read(&query, &answer).map(|found| found.len()).ok();
            assert_eq!(many, expected, "{first:02x} {second:02x}");
        }
        for end in 0..answer.len() {
            drop(read(&query, &answer[..end]));
        }
    }
}
