//! The shapes of the API: the contract with programs, apart from the engine's own values so that
//! neither binds the other.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::event::{Event, Severity};
use crate::engine::snapshot::{LineState, Snapshot, UplinkState};
use crate::units::{Gather as _, PerFamily};

/// `GET /api/v1/status`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    works: bool,
    active: Option<String>,
    active6: Option<String>,
    since: Option<String>,
    sentence: String,
    last_switch: Option<LastSwitch>,
    spares_ready: usize,
    switches: u64,
    repairs: u64,
    repairs_of: BTreeMap<&'static str, u64>,
    loop_gap_ms: f64,
    resolvers: Vec<String>,
    manual: Option<String>,
    uplinks: Vec<Uplink>,
}

#[derive(Debug, Serialize)]
struct LastSwitch {
    at: Option<String>,
    from: Option<String>,
    to: String,
    reason: String,
    felt_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Uplink {
    name: String,
    interface: String,
    role: &'static str,
    health: &'static str,
    condition: &'static str,
    resolvers: Vec<String>,
    v4: Option<Line>,
    v6: Option<Line>,
    reason: String,
    next: String,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
    loss_pct: Option<f64>,
    window_ms: Option<u64>,
    metered: bool,
    offloaded: bool,
    flows: Option<u64>,
    draining: Option<Drain>,
    rx_bytes: Option<u64>,
    tx_bytes: Option<u64>,
}

/// Flows that finish on an uplink although new ones go elsewhere.
#[derive(Debug, Serialize)]
struct Drain {
    flows: u64,
    bytes: u64,
    /// `null`: until they end.
    seconds_left: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Line {
    health: &'static str,
    condition: &'static str,
    address: String,
    gateway: Option<String>,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
    loss_pct: Option<f64>,
    window_ms: u64,
}

/// One event of `GET /api/v1/history`.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    at: Option<String>,
    code: &'static str,
    severity: &'static str,
    uplink: Option<String>,
    text: String,
}

impl From<Snapshot> for Status {
    fn from(snapshot: Snapshot) -> Self {
        let last_switch = snapshot.last_switch.map(|(last, utc)| LastSwitch {
            at: utc.map(|utc| utc.to_string()),
            from: last.from,
            to: last.to,
            reason: last.reason,
            felt_ms: last.felt.map(|felt| round(felt.as_secs_f64() * 1e3)),
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            works: snapshot.works,
            active: snapshot.active.v4,
            active6: snapshot.active.v6,
            since: snapshot.since.map(|since| since.to_string()),
            sentence: snapshot.sentence,
            last_switch,
            spares_ready: snapshot.spares_ready,
            switches: snapshot.switches,
            repairs: snapshot.repairs,
            repairs_of: snapshot.repairs_of.into_iter().map(|(k, n)| (k.word(), n)).gather(),
            loop_gap_ms: round(snapshot.loop_gap.as_secs_f64() * 1e3),
            resolvers: snapshot.resolvers,
            manual: snapshot.manual,
            uplinks: snapshot.uplinks.into_iter().map(Uplink::from).collect(),
        }
    }
}

impl From<UplinkState> for Uplink {
    fn from(uplink: UplinkState) -> Self {
        let PerFamily { v4, v6 } = uplink.lines;
        let (v4, v6) = (v4.map(Line::from), v6.map(Line::from));
        // One number for people: of IPv4 where there is one.
        let main = v4.as_ref().or(v6.as_ref());
        Self {
            rtt_ms: main.and_then(|line| line.rtt_ms),
            jitter_ms: main.and_then(|line| line.jitter_ms),
            loss_pct: main.and_then(|line| line.loss_pct),
            window_ms: main.map(|line| line.window_ms),
            name: uplink.name,
            interface: uplink.interface,
            role: uplink.role.word(),
            health: uplink.health.word(),
            condition: uplink.condition.word(),
            resolvers: uplink.resolvers.iter().map(ToString::to_string).collect(),
            v4,
            v6,
            reason: uplink.reason,
            next: uplink.next,
            metered: uplink.metered,
            offloaded: uplink.offloaded,
            flows: uplink.flows,
            draining: uplink.draining.map(|drain| Drain {
                flows: drain.flows,
                bytes: drain.bytes,
                seconds_left: drain.lasts.map(|lasts| lasts.as_secs()),
            }),
            rx_bytes: uplink.bytes.map(|(rx, _)| rx),
            tx_bytes: uplink.bytes.map(|(_, tx)| tx),
        }
    }
}

impl From<LineState> for Line {
    fn from(line: LineState) -> Self {
        Self {
            health: line.health.word(),
            condition: line.condition.word(),
            address: line.address,
            gateway: line.gateway,
            rtt_ms: line.rtt.map(|rtt| round(rtt.as_ms())),
            jitter_ms: line.jitter.map(|jitter| round(jitter.as_ms())),
            loss_pct: line.loss.map(|loss| round(f64::from(loss.0))),
            window_ms: u64::try_from(line.window.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        Self {
            at: event.utc.map(|utc| utc.to_string()),
            code: event.fact.code(),
            severity: match event.fact.severity() {
                Severity::Debug => "debug",
                Severity::Info => "info",
                Severity::Warning => "warning",
            },
            uplink: event.fact.uplink().map(str::to_owned),
            text: event.fact.to_string(),
        }
    }
}

/// To a tenth: more would be noise.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
