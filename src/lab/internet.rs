//! The servers of the lab's Internet and of its modems: DNS, a web page, echo.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// UDP and TCP port of the echo servers (RFC 862).
pub const ECHO_PORT: u16 = 7;
/// UDP port of the server that swallows what it gets (RFC 863).
pub const DISCARD_PORT: u16 = 9;
/// The longest request head that a web server here reads.
const HEAD_MAX: usize = 8192;

/// A name server's answers: one address for each family, whatever the name.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    pub v4: [u8; 4],
    pub v6: [u8; 16],
}

/// The web server that every name points to.
pub const WEB4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 80);
pub const WEB6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 0x80);
/// What every name server of the lab answers.
pub const ZONE: Zone = Zone { v4: WEB4.octets(), v6: WEB6.octets() };

/// A web page: the whole answer to a request for `host` and `path`.
pub type Page = fn(host: &str, path: &str) -> String;

/// Serves DNS over UDP at an address. TCP connections are accepted there, too, as at the well-known resolvers,
/// and closed.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn dns(at: IpAddr, zone: Zone) -> Result<()> {
    let socket = udp(SocketAddr::new(at, 53)).await?;
    each_datagram(socket, move |query| answer(query, &zone));
    each_connection(SocketAddr::new(at, 53), |_| async { Ok(()) }).await
}

/// Echoes UDP datagrams and TCP bytes at an address, and swallows what comes to the discard port.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn echo(at: IpAddr) -> Result<()> {
    each_datagram(udp(SocketAddr::new(at, ECHO_PORT)).await?, |datagram| Some(datagram.to_vec()));
    each_datagram(udp(SocketAddr::new(at, DISCARD_PORT)).await?, |_| None);
    each_connection(SocketAddr::new(at, ECHO_PORT), |mut stream| async move {
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await.map(|_| ())
    })
    .await
}

/// Serves a web page.
///
/// # Errors
/// If the address is taken or not ours.
pub async fn web(at: SocketAddr, page: Page) -> Result<()> {
    each_connection(at, move |stream| serve(stream, page)).await
}

/// What the two well-known connectivity checks expect, and a plain page for the rest.
#[must_use]
pub fn internet(host: &str, path: &str) -> String {
    match (host, path) {
        (_, "/generate_204") => {
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
        (_, "/success.txt") => ok("success\n"),
        _ => ok("Somewhere on the Internet of the lab.\n"),
    }
}

/// The page of a modem itself.
#[must_use]
pub fn modem(_: &str, _: &str) -> String {
    ok("The modem's own page: every light is green.\n")
}

/// A captive portal: whatever is asked for, go and log in.
#[must_use]
pub fn portal(host: &str, path: &str) -> String {
    if (host, path) == ("login.lab", "/") {
        return ok("Welcome. Accept the terms and pay.\n");
    }
    "HTTP/1.1 302 Found\r\nLocation: http://login.lab/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

async fn udp(at: SocketAddr) -> Result<UdpSocket> {
    UdpSocket::bind(at).await.with_context(|| format!("UDP {at}"))
}

/// Answers each datagram from the address it was sent to.
fn each_datagram(socket: UdpSocket, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) {
    tokio::spawn(async move {
        let mut buffer = vec![0; 2048];
        loop {
            // Errors here are ICMP messages about clients that have left.
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            if let Some(reply) = answer(&buffer[..length]) {
                let _ = socket.send_to(&reply, from).await;
            }
        }
    });
}

async fn each_connection<F>(
    at: SocketAddr,
    serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(at).await.with_context(|| format!("TCP {at}"))?;
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(())
}

async fn serve(mut stream: TcpStream, page: Page) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or("/");
    let host = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let reply = page(host.map_or("", |(_, value)| value), path);
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// Answers a DNS query of one question (RFC 1035 §4): A and AAAA with the zone's address, anything
/// else with no records. `None`: not a query.
fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let is_query = query.len() > HEADER && query[2] & 0x80 == 0 && query[4..6] == [0, 1];
    if !is_query {
        return None;
    }
    let mut at = HEADER;
    while *query.get(at)? != 0 {
        at += 1 + usize::from(query[at]);
    }
    let kind = query.get(at + 1..at + 3)?;
    let question_end = at + 5;
    let record: Option<&[u8]> = match kind {
        [0, 1] => Some(&zone.v4),
        [0, 28] => Some(&zone.v6),
        _ => None,
    };
    let mut reply = query.get(..question_end)?.to_vec();
    // QR and RA set, RD as asked, no error; one question, at most one answer, nothing else.
    reply[2] = 0x80 | (query[2] & 0x01);
    reply[3] = 0x80;
    reply[6..HEADER].copy_from_slice(&[0, u8::from(record.is_some()), 0, 0, 0, 0]);
    if let Some(data) = record {
        // The name is a pointer to the question's; class IN, 60 s to live.
        reply.extend([0xc0, 0x0c, kind[0], kind[1], 0, 1, 0, 0, 0, 60, 0]);
        reply.push(data.len() as u8);
        reply.extend(data);
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_answers_what_was_asked() {
        let mut query = vec![0xbe, 0xef, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x03www\x03lab\x00\x00\x01\x00\x01");
        let reply = answer(&query, &ZONE).unwrap();
        assert_eq!(&reply[..8], [0xbe, 0xef, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(&reply[reply.len() - 6..], [0, 4, 203, 0, 113, 80]);
        let at = query.len() - 3;
        query[at] = 28;
        assert!(answer(&query, &ZONE).unwrap().ends_with(&WEB6.octets()));
        query[at] = 16;
        assert_eq!(answer(&query, &ZONE).unwrap()[6..8], [0, 0], "no TXT");
    }

    #[test]
    fn dns_survives_nonsense() {
        assert_eq!(answer(&[0; 12], &ZONE), None);
        assert_eq!(answer(&[0xff; 64], &ZONE), None);
        let cut = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, b'a'];
        assert_eq!(answer(&cut, &ZONE), None);
    }
}
