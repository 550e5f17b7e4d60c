//! The server as a client sees it, on a pipe instead of a network, with a loop that answers from a
//! fixed state.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{mpsc, oneshot};

use super::api::router;
use super::ask::Ask;
use super::feed::Feed;
use super::json;
use super::server::converse;
use super::site::{Files, Site};
use super::slots::ConnectionSlots;
use super::via::Via;
use crate::config::WebConfig;
use crate::engine::events::entry::Entry;
use crate::engine::events::facts::{Event, Fact};
use crate::engine::events::note::Said;
use crate::engine::events::timeline::View;
use crate::engine::health::{Condition, Health};
use crate::engine::names::ddns::told::{NameState, State};
use crate::engine::notify::{Acknowledged, ChannelState, Shown, Tested};
use crate::engine::output::Refusal;
use crate::engine::status::snapshot::{Draining, LineState, Role, Snapshot, UplinkState};
use crate::engine::status::usage::Spent;
use crate::engine::uplink::standing::Standing;
use crate::time::{Instant, Now, Utc};
use crate::units::{LossPercent, PerFamily, Rtt};

mod access;
mod input;
mod login;
mod new_password;
mod numbers;
#[cfg(feature = "settings")]
mod settings;
mod streams;

/// At the page's address, from a machine in the LAN.
const PAGE: Via = Via::Page {
    local: IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 1)),
    peer: IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 20)),
};
/// Who may speak for others.
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));
/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// It is a problem in one plain sentence; which.
    fn sentence(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(!detail.is_empty() && detail.len() < 300 && !detail.contains('\n'), "{detail}");
        detail
    }
}

/// A site whose loop answers from a fixed state, and that has no password.
fn site() -> (Site, Feed) {
    site_with(PathBuf::from("/nonexistent/password"))
}

/// The same with this file for its password, and the configuration beside it.
fn site_with(password: PathBuf) -> (Site, Feed) {
    let configuration = Some(password.with_file_name("sparelink.toml"));
    let files = Files { password, configuration };
    let (asks, mut asked) = mpsc::channel(64);
    let feed = Feed::default();
    let (_, config) = tokio::sync::watch::channel(WebConfig {
        listen: Vec::new(),
        names: vec!["gw.office.example".to_owned()],
        trusted_proxy: vec![PROXY],
    });
    let site = Site::new(asks, feed.clone(), files, config);
    tokio::spawn(async move {
        while let Some(ask) = asked.recv().await {
            match ask {
                Ask::Status(reply) => drop(reply.send(snapshot())),
                Ask::Days(reply) => drop(reply.send(oneshot::channel().1)),
                Ask::Timeline(reply) => {
                    drop(reply.send(View { segments: Vec::new(), strips: Vec::new() }));
                }
                Ask::History(wanted, reply) => {
                    let told = [entry()];
                    drop(reply.send(wanted.of(told.iter()).into_iter().cloned().collect()));
                }
                Ask::Command(command, reply) => {
                    let known = format!("{command:?}").contains("cable");
                    let names = || vec!["cable".to_owned()];
                    let answer = if known {
                        Ok("done".to_owned())
                    } else {
                        Err(Refusal::UnknownUplink(names()))
                    };
                    drop(reply.send(answer));
                }
                Ask::Acknowledge(_, reply) => {
                    let (tell, told) = oneshot::channel();
                    drop(tell.send(Acknowledged::Nothing));
                    drop(reply.send(told));
                }
                Ask::TestChannel(channel, reply) => {
                    let (tell, told) = oneshot::channel();
                    let result = Ok(Duration::from_millis(12));
                    drop(tell.send(vec![Tested { channel: channel.unwrap_or_default(), result }]));
                    drop(reply.send(told));
                }
                Ask::Reload(reply) | Ask::Settings(_, reply) => {
                    drop(reply.send(Ok("in force".to_owned())));
                }
            }
        }
    });
    (site, feed)
}

/// Opens a connection; the task ends with it.
fn connect(site: &Site, via: Via) -> DuplexStream {
    let (client, server) = tokio::io::duplex(1 << 16);
    let slot = ConnectionSlots::default().take(IpAddr::from([127, 0, 0, 1]), None).unwrap();
    tokio::spawn(converse(Box::new(server), via, slot, router(site.clone())));
    client
}

/// Sends bytes and reads until the server closes.
async fn exchange(site: &Site, via: Via, bytes: &[u8]) -> Vec<u8> {
    let mut client = connect(site, via);
    // It may close before it has read all of it.
    drop(client.write_all(bytes).await);
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.expect("the server goes on for ever").ok();
    answer
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
        panic!("no head: {}", String::from_utf8_lossy(bytes));
    });
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

/// One request with these headers, on a connection of its own.
async fn request(via: Via, line: &str, headers: &[&str], body: &str) -> Answer {
    let (site, _feed) = site();
    request_to(&site, via, line, headers, body).await
}

/// The same to a site that goes on.
async fn request_to(site: &Site, via: Via, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    parse(&exchange(site, via, format!("{text}\r\n{body}").as_bytes()).await)
}

/// The way a browser in the LAN asks.
async fn get(path: &str) -> Answer {
    request(PAGE, &format!("GET {path}"), &["Host: 192.168.1.1:8300"], "").await
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

fn line() -> LineState {
    LineState {
        barred: None,
        health: Health::Up { since: Instant::ZERO },
        condition: Condition::Ok,
        standing: Standing::Ready,
        address: "192.168.8.100".to_owned(),
        gateway: Some("192.168.8.1".to_owned()),
        rtt: Some(Rtt(Duration::from_micros(12_500))),
        jitter: Some(Rtt(Duration::from_millis(1))),
        loss: Some(LossPercent(2.5)),
        window: Duration::from_millis(600),
        silences: None,
    }
}

fn uplink(name: &str, role: Role) -> UplinkState {
    UplinkState {
        name: name.to_owned(),
        interface: "wan0".to_owned(),
        ssid: Some("Anna\u{7}'s <b>phone".to_owned()),
        role,
        health: Health::Up { since: Instant::ZERO },
        condition: Condition::Ok,
        resolvers: Vec::new(),
        lines: PerFamily { v4: Some(line()), v6: None },
        reason: "works".to_owned(),
        next: String::new(),
        metered: false,
        offloaded: false,
        flows: Some(3),
        draining: Some(Draining { flows: 1, bytes: 9, lasts: Some(Duration::from_secs(60)) }),
        bytes: Some((1000, 2000)),
        first: role == Role::Active,
        carrier: true,
        private_address: true,
        proven: Some(Instant::from_micros(90_000_000)),
        next_at: Some(Instant::from_micros(130_000_000)),
        paused_until: Some(Instant::from_micros(160_000_000)),
        provider: None,
        said: Said::default(),
        probing: Spent { bytes: 7200, month: 190_000_000 },
    }
}

pub(super) fn snapshot() -> Snapshot {
    let now = Now { mono: Instant::from_micros(100_000_000), utc: Some(Utc(1_700_000_000_000)) };
    Snapshot {
        now,
        active: PerFamily { v4: Some("cable".to_owned()), v6: None },
        since: None,
        sentence: "Internet works, on cable".to_owned(),
        works: true,
        observing: false,
        last_switch: None,
        spares_ready: 1,
        switches: 4,
        repairs: 2,
        repairs_of: std::collections::BTreeMap::new(),
        resolvers: vec!["192.168.8.1".to_owned()],
        loop_gap: Duration::from_micros(1500),
        claims: Vec::new(),
        history_head: None,
        names: vec![name()],
        messages: Shown {
            alarm: None,
            heartbeats: Vec::new(),
            channels: vec![ChannelState {
                name: "ntfy".to_owned(),
                to: "ntfy (our-h…)".to_owned(),
                waiting: 2,
                last: Some(Utc(1_700_000_000_000)),
                failing: None,
                escalation: None,
            }],
        },
        manual: None,
        manual_until: None,
        page: vec!["192.168.1.1:8300".parse().unwrap()],
        leds: vec!["ACT".to_owned()],
        uplinks: vec![uplink("cable", Role::Active), uplink("mi\"fi\\\n", Role::Ready)],
    }
}

fn name() -> NameState {
    NameState {
        name: "home.example.net".to_owned(),
        uplink: None,
        says: PerFamily { v4: "192.0.2.9".parse().ok(), v6: None },
        of: PerFamily { v4: Some("cable".to_owned()), v6: None },
        state: State::Failing,
        text: "home.example.net → 192.0.2.9 (cable), \"no\"".to_owned(),
        written: Some(Utc(1_700_000_000_000)),
        seen_after: Some(Duration::from_millis(1200)),
        next: Some(Instant::from_micros(160_000_000)),
        failing: Some("connection refused".to_owned()),
    }
}

fn entry() -> Entry {
    let fact = Fact::NoSpareLeft { others: Vec::new() };
    Entry::new(&Event { id: 1, at: Instant::ZERO, utc: None, fact }, "b")
}
