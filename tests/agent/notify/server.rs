//! A server to which messages are sent: it keeps what it was asked, and answers as it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// What it does with who asks.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answers with this head and body.
    Says(String),
    /// Takes the connection and says nothing.
    Hangs,
}

/// What was asked so far, and how it behaves from now on.
#[derive(Clone, Debug)]
pub(crate) struct Server(Arc<Mutex<(Vec<Asked>, Manner)>>);

impl Server {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new((Vec::new(), says(200, "")))))
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<Asked>, Manner)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.lock().1 = manner;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().0.clone()
    }

    /// Serves, in the namespace in which it is spawned.
    pub(crate) async fn serve(self, at: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(at).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let this = self.clone();
            tokio::spawn(async move { this.answer(stream).await });
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let manner = self.lock().1.clone();
        if matches!(manner, Manner::Hangs) {
            tokio::time::sleep(std::time::Duration::from_secs(120)).await;
            return Ok(());
        }
        let asked = read(&mut stream).await?;
        self.lock().0.push(asked);
        if let Manner::Says(answer) = manner {
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }
}

/// An answer with a status and a body.
pub(crate) fn says(status: u16, body: &str) -> Manner {
    let length = body.len();
    Manner::Says(format!("HTTP/1.1 {status} Word\r\ncontent-length: {length}\r\n\r\n{body}"))
}

pub(crate) async fn read(stream: &mut TcpStream) -> Result<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await?;
        anyhow::ensure!(n > 0, "it ended in the head");
        bytes.extend_from_slice(&buffer[..n]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec())?;
    let mut lines = text.lines();
    let mut words = lines.next().context("no request")?.split(' ').map(str::to_owned);
    let (method, path) = words.next().zip(words.next()).context("no path")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(Ok(0), |(_, value)| value.parse())?;
    while bytes.len() < head + 4 + length {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await?;
        anyhow::ensure!(n > 0, "it ended in the body");
        bytes.extend_from_slice(&buffer[..n]);
    }
    let body = String::from_utf8(bytes[head + 4..].to_vec())?;
    Ok(Asked { at: Instant::now(), method, path, headers, body })
}
