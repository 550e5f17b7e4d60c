//! `GET /metrics`: the state as numbers, for Prometheus and its like.
//!
//! Two dialects of one text: OpenMetrics 1.0 for those who ask for it, else Prometheus' own 0.0.4. They
//! differ in how a counter is announced, and in the end mark.

use std::fmt::{Display, Write as _};

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::ask::Asks;
use super::feed::Feed;
use super::problem::busy;
use crate::engine::notify::ChannelState;
use crate::engine::status::snapshot::{LineState, Role, Snapshot, UplinkState};
use crate::units::{Family, PerFamily};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Plain,
    Open,
}

impl Dialect {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up; its samples end in `_total`.
    Counter,
    /// A label that is always there; its sample ends in `_info`.
    Info,
}

/// What a family of metrics is: name without ending, unit, kind, help.
struct About(&'static str, &'static str, Kind, &'static str);

pub(super) async fn metrics(
    State(asks): Asks,
    State(feed): State<Feed>,
    headers: HeaderMap,
) -> Response {
    let wanted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let open = wanted.is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let dialect = if open { Dialect::Open } else { Dialect::Plain };
    match feed.latest.get(&asks).await {
        Some(snapshot) => {
            let kind = [(header::CONTENT_TYPE, dialect.content_type())];
            (kind, render(&snapshot, dialect)).into_response()
        }
        None => busy(),
    }
}

fn render(snapshot: &Snapshot, dialect: Dialect) -> String {
    let mut text = Text { text: String::with_capacity(8192), dialect };
    about_the_box(&mut text, snapshot);
    about_lines(&mut text, snapshot);
    about_uplinks(&mut text, snapshot);
    if dialect == Dialect::Open {
        text.text.push_str("# EOF\n");
    }
    text.text
}

fn about_the_box(text: &mut Text, snapshot: &Snapshot) {
    use Kind::{Counter, Gauge, Info};
    let one = |value: u64| [(String::new(), value)];
    let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    text.family(&About("sparelink", "", Info, "The agent."), [(version, 1)]);
    let help = "Whether some uplink leads to the Internet.";
    text.family(&About("sparelink_works", "", Gauge, help), one(snapshot.works.into()));
    let help = "Uplinks that could take over now.";
    let spares = u64::try_from(snapshot.spares_ready).unwrap_or(u64::MAX);
    text.family(&About("sparelink_spares_ready", "", Gauge, help), one(spares));
    let help = "How often traffic moved to another uplink, over restarts.";
    text.family(&About("sparelink_switches", "", Counter, help), one(snapshot.switches));
    let help = "How often something of the agent's in the kernel was put back, since it began.";
    text.family(&About("sparelink_repairs", "", Counter, help), one(snapshot.repairs));
    let help = "How late the agent's own loop was at worst in the last ten to twenty seconds.";
    let delay = [(String::new(), snapshot.loop_gap.as_secs_f64())];
    text.family(&About("sparelink_loop_delay_seconds", "seconds", Gauge, help), delay);
    let of = |c: &ChannelState| labels(&[("channel", &c.name)]);
    let waiting = snapshot.messages.channels.iter().map(|c| (of(c), c.waiting as u64));
    let help = "Messages that wait to be delivered.";
    text.family(&About("sparelink_messages_waiting", "", Gauge, help), waiting);
    let failing =
        snapshot.messages.channels.iter().map(|c| (of(c), u64::from(c.failing.is_some())));
    let help = "Whether the last try to deliver a message failed.";
    text.family(&About("sparelink_channel_failing", "", Gauge, help), failing);
    let alarm = snapshot.messages.alarm.as_ref().is_some_and(|alarm| alarm.seen.is_none());
    let help = "Whether something critical goes on that nobody has acknowledged.";
    text.family(&About("sparelink_unacknowledged", "", Gauge, help), one(alarm.into()));
    let right = snapshot
        .names
        .iter()
        .map(|name| (labels(&[("name", &name.name)]), u64::from(name.is_right())));
    let help = "Whether a name that the agent keeps up to date says what it should.";
    text.family(&About("sparelink_name_right", "", Gauge, help), right);
    let help =
        "From the last answer by the old way to the first by the new one, at the last switch.";
    let felt = snapshot.last_switch.as_ref().and_then(|(last, _)| last.felt);
    let felt = felt.map(|felt| (String::new(), felt.as_secs_f64()));
    text.family(&About("sparelink_last_switch_felt_seconds", "seconds", Gauge, help), felt);
}

/// One number of each line that has it.
fn per_line<V>(
    snapshot: &Snapshot,
    of: impl Fn(&UplinkState, Family, &LineState) -> Option<V>,
) -> Vec<(String, V)> {
    let mut all = Vec::new();
    for uplink in &snapshot.uplinks {
        let PerFamily { v4, v6 } = &uplink.lines;
        for (family, word, line) in [(Family::V4, "ipv4", v4), (Family::V6, "ipv6", v6)] {
            if let Some(value) = line.as_ref().and_then(|line| of(uplink, family, line)) {
                all.push((labels(&[("uplink", &uplink.name), ("family", word)]), value));
            }
        }
    }
    all
}

fn about_lines(text: &mut Text, snapshot: &Snapshot) {
    use Kind::Gauge;
    let help = "Whether the uplink leads to the Internet, by IP version.";
    let up = per_line(snapshot, |_, _, line| {
        Some(u64::from(line.health.is_alive() && line.standing.carries()))
    });
    text.family(&About("sparelink_uplink_up", "", Gauge, help), up);
    let help = "Whether the uplink carries the traffic of this IP version.";
    let active = per_line(snapshot, |uplink, family, _| {
        let active = snapshot.active.get(family).as_ref();
        Some(u64::from(active == Some(&uplink.name)))
    });
    text.family(&About("sparelink_active", "", Gauge, help), active);
    let help = "Round-trip time to the probe targets.";
    let rtt = per_line(snapshot, |_, _, line| line.rtt.map(|rtt| rtt.as_ms() / 1e3));
    text.family(&About("sparelink_uplink_rtt_seconds", "seconds", Gauge, help), rtt);
    let help = "Mean deviation of the round-trip time.";
    let jitter = per_line(snapshot, |_, _, line| line.jitter.map(|jitter| jitter.as_ms() / 1e3));
    text.family(&About("sparelink_uplink_jitter_seconds", "seconds", Gauge, help), jitter);
    let help = "Part of the last probes that was not answered, from 0 to 1.";
    let loss = per_line(snapshot, |_, _, line| line.loss.map(|loss| f64::from(loss.0) / 100.0));
    text.family(&About("sparelink_uplink_loss_ratio", "ratio", Gauge, help), loss);
    let help = "How long the uplink must be silent to be called dead.";
    let window = per_line(snapshot, |_, _, line| Some(line.window.as_secs_f64()));
    text.family(&About("sparelink_uplink_window_seconds", "seconds", Gauge, help), window);
}

/// One number of each uplink that has it.
fn per_uplink(snapshot: &Snapshot, of: impl Fn(&UplinkState) -> Option<u64>) -> Vec<(String, u64)> {
    let label = |uplink: &UplinkState| labels(&[("uplink", &uplink.name)]);
    snapshot.uplinks.iter().filter_map(|uplink| Some((label(uplink), of(uplink)?))).collect()
}

fn about_uplinks(text: &mut Text, snapshot: &Snapshot) {
    use Kind::{Counter, Gauge};
    let is = |role: Role| per_uplink(snapshot, move |u| Some(u64::from(u.role == role)));
    let help = "Whether the uplink is a spare that could take over now.";
    text.family(&About("sparelink_uplink_ready", "", Gauge, help), is(Role::Ready));
    let help = "Whether the uplink is paused.";
    text.family(&About("sparelink_uplink_paused", "", Gauge, help), is(Role::Paused));
    let help = "Flows on the uplink, when last counted.";
    let flows = per_uplink(snapshot, |uplink| uplink.flows);
    text.family(&About("sparelink_flows", "", Gauge, help), flows);
    let help = "Flows that finish on the uplink although new ones go elsewhere.";
    let draining = |uplink: &UplinkState| Some(uplink.draining.map_or(0, |drain| drain.flows));
    let draining = per_uplink(snapshot, draining);
    text.family(&About("sparelink_draining_flows", "", Gauge, help), draining);
    let help =
        "Bytes that probing the uplink took, both directions, estimated, since the agent began.";
    let probing = per_uplink(snapshot, |uplink| Some(uplink.probing.bytes));
    text.family(&About("sparelink_probe_bytes", "bytes", Counter, help), probing);
    let help = "Bytes that the uplink's interface has received.";
    let received = per_uplink(snapshot, |uplink| uplink.bytes.map(|(received, _)| received));
    text.family(&About("sparelink_uplink_received_bytes", "bytes", Counter, help), received);
    let help = "Bytes that the uplink's interface has sent.";
    let sent = per_uplink(snapshot, |uplink| uplink.bytes.map(|(_, sent)| sent));
    text.family(&About("sparelink_uplink_sent_bytes", "bytes", Counter, help), sent);
}

struct Text {
    text: String,
    dialect: Dialect,
}

impl Text {
    /// One family: what it is, and its samples.
    fn family<V: Display>(
        &mut self,
        About(name, unit, kind, help): &About,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let ending = match kind {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        let (family, word) = match (self.dialect, kind) {
            (Dialect::Open, Kind::Info) => ((*name).to_owned(), "info"),
            (Dialect::Open, Kind::Counter) => ((*name).to_owned(), "counter"),
            (Dialect::Plain, Kind::Counter) => (format!("{name}{ending}"), "counter"),
            (_, Kind::Gauge | Kind::Info) => (format!("{name}{ending}"), "gauge"),
        };
        // A String takes whatever is written to it.
        let _ = write!(self.text, "# HELP {family} {help}\n# TYPE {family} {word}\n");
        if self.dialect == Dialect::Open && !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {family} {unit}");
        }
        for (labels, value) in samples {
            let _ = writeln!(self.text, "{name}{ending}{labels} {value}");
        }
    }
}

fn labels(all: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    format!("{{{}}}", all.iter().map(one).collect::<Vec<_>>().join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
