//! A client for the page, in whichever namespace it is wanted; as plain as can be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sparelink::lab::netns::Netns;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// The page's port.
pub(crate) const PORT: u16 = 8300;
/// How long an answer may take on a busy machine.
const ANSWER: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").context("no head")?;
        let head = String::from_utf8(bytes[..end].to_vec())?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok(Self { status, head, body: bytes[end + 4..].to_vec() })
    }

    /// The content type without what follows.
    pub(crate) fn kind(&self) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        found.map_or("", |(_, kind)| kind.split(';').next().unwrap_or_default())
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("no JSON")
    }
}

/// How an address is written in a URL and in `Host`.
pub(crate) fn host(ip: IpAddr) -> String {
    SocketAddr::new(ip, PORT).to_string()
}

/// One request on a connection of its own; `Connection: close` is added.
pub(crate) async fn ask(
    from: &Netns,
    to: SocketAddr,
    line: &str,
    headers: &str,
    body: &str,
) -> Result<Answer> {
    let text = format!(
        "{line} HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let talk = async move {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Answer::parse(&answer)
    };
    from.run(async move { timeout(ANSWER, talk).await }).await?.context("no answer")?
}

/// A plain GET at an address of the page.
pub(crate) async fn get(from: &Netns, ip: IpAddr, path: &str) -> Result<Answer> {
    let host = format!("Host: {}\r\n", host(ip));
    ask(from, SocketAddr::new(ip, PORT), &format!("GET {path}"), &host, "").await
}

/// Whether a connection is accepted there within this long.
pub(crate) async fn is_open(from: &Netns, to: SocketAddr, patience: Duration) -> Result<bool> {
    let open = async move { timeout(patience, TcpStream::connect(to)).await };
    Ok(matches!(from.run(open).await?, Ok(Ok(_))))
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Watches the page's events until dropped.
pub(crate) async fn watch(from: &Netns, ip: IpAddr) -> Result<mpsc::UnboundedReceiver<Seen>> {
    watch_from(from, None, ip).await
}

/// The same, from one of several addresses.
pub(crate) async fn watch_from(
    from: &Netns,
    own: Option<Ipv4Addr>,
    ip: IpAddr,
) -> Result<mpsc::UnboundedReceiver<Seen>> {
    let (tell, told) = mpsc::unbounded_channel();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", host(ip));
    let connect = async move {
        let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(own) = own {
            socket.bind(SocketAddr::from((own, 0)))?;
        }
        let mut stream = socket.connect(SocketAddr::new(ip, PORT)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.context("it ended at once")?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(stream)
    };
    let connect = from.run(async move { timeout(ANSWER, connect).await }).await?;
    let mut stream = connect.context("no answer")??;
    from.spawn(async move {
        let (mut text, mut buffer) = (String::new(), [0; 16 * 1024]);
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            text += &String::from_utf8_lossy(&buffer[..length]);
            while let Some((event, rest)) = text.split_once("\n\n") {
                let line = |key: &str| event.lines().find_map(|line| line.strip_prefix(key));
                if let (Some(name), Some(data)) = (line("event: "), line("data: ")) {
                    let data = serde_json::from_str(data).unwrap_or(Value::Null);
                    let seen = Seen { at: Instant::now(), name: name.to_owned(), data };
                    if tell.send(seen).is_err() {
                        return;
                    }
                }
                text = rest.to_owned();
            }
        }
    });
    Ok(told)
}
