//! The shapes of the API: the contract with programs, apart from the engine's own values so that
//! neither binds the other.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::said::{NoteOf, ProviderOf, Reader, ReportedOf};
use crate::engine::events::entry::{plain, version};
use crate::engine::events::timeline::{self, Minute, SPAN, View};
use crate::engine::kernel::claims::{By, Claim};
use crate::engine::notify::alarm::Seen;
use crate::engine::notify::{AlarmState, ChannelState, HeartbeatState, Shown, Tested};
use crate::engine::status::snapshot::{LineState, Snapshot, UplinkState};
use crate::time::{Instant, Now, human};
use crate::units::Gather as _;

mod names;
mod settings;

use names::NameOf;
pub(super) use settings::SettingsOf;

#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    time: Option<String>,
    host: Option<String>,
    login: Login,
    settings: SettingsOf,
    works: bool,
    observing: bool,
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
    claims: Vec<ClaimOf>,
    names: Vec<NameOf>,
    manual: Option<String>,
    manual_until: Option<String>,
    redundancy: &'static str,
    messages: Messages,
    history_head: Option<String>,
    /// Addresses of the page.
    page: Vec<String>,
    /// The LEDs that show something; a page without any has nothing to test.
    leds: Vec<String>,
    uplinks: Vec<Uplink>,
}

/// Who is told, and what waits.
#[derive(Debug, Serialize)]
struct Messages {
    waiting: usize,
    /// When the last one was delivered.
    last: Option<String>,
    channels: Vec<ChannelOf>,
    /// Something critical, until it is over.
    alarm: Option<AlarmOf>,
    /// The signs of life that have been given.
    heartbeats: Vec<HeartbeatOf>,
}

#[derive(Debug, Serialize)]
struct HeartbeatOf {
    uplink: Option<String>,
    last: Option<String>,
    failing: Option<String>,
}

/// Something critical, and whether somebody has seen it.
#[derive(Debug, Serialize)]
struct AlarmOf {
    title: String,
    at: Option<String>,
    acknowledged: Option<SeenOf>,
    /// Who is told next, and when, if nobody says that they have seen it.
    next: Option<NextOf>,
}

#[derive(Debug, Serialize)]
struct SeenOf {
    at: Option<String>,
    by: &'static str,
}

#[derive(Debug, Serialize)]
struct NextOf {
    to: String,
    in_s: u64,
}

impl AlarmOf {
    fn new(alarm: &AlarmState, now: Now) -> Self {
        let seen = |seen: Seen| SeenOf { at: seen.at.map(|at| at.to_string()), by: seen.by.word() };
        let next = |(to, at): &(String, Instant)| NextOf {
            to: plain(to),
            in_s: at.since(now.mono).as_secs(),
        };
        Self {
            title: plain(&alarm.title),
            at: alarm.at.map(|at| at.to_string()),
            acknowledged: alarm.seen.map(seen),
            next: alarm.next.as_ref().map(next),
        }
    }
}

#[derive(Debug, Serialize)]
struct ChannelOf {
    name: String,
    to: String,
    waiting: usize,
    last: Option<String>,
    failing: Option<String>,
    /// It is told only what nobody has acknowledged so long after it happened.
    escalation_s: Option<u64>,
}

impl Messages {
    fn new(messages: &Shown, now: Now) -> Self {
        let channels = &messages.channels;
        let of = |c: &ChannelState| ChannelOf {
            name: c.name.clone(),
            to: plain(&c.to),
            waiting: c.waiting,
            last: c.last.map(|last| last.to_string()),
            failing: c.failing.as_deref().map(plain),
            escalation_s: c.escalation.map(|after| after.as_secs()),
        };
        let beat = |beat: &HeartbeatState| HeartbeatOf {
            uplink: beat.uplink.clone(),
            last: beat.last.map(|last| last.to_string()),
            failing: beat.failing.as_deref().map(plain),
        };
        Self {
            waiting: channels.iter().map(|c| c.waiting).sum(),
            last: channels.iter().filter_map(|c| c.last).max().map(|last| last.to_string()),
            channels: channels.iter().map(of).collect(),
            alarm: messages.alarm.as_ref().map(|alarm| AlarmOf::new(alarm, now)),
            heartbeats: messages.heartbeats.iter().map(beat).collect(),
        }
    }
}

/// What came of testing channels.
#[derive(Debug, Serialize)]
pub(super) struct Tests {
    /// All of it in one sentence.
    message: String,
    tests: Vec<TestOf>,
}

#[derive(Debug, Serialize)]
struct TestOf {
    channel: String,
    delivered: bool,
    took_ms: Option<f64>,
    error: Option<String>,
}

impl From<Vec<Tested>> for Tests {
    fn from(tests: Vec<Tested>) -> Self {
        let of = |test: Tested| TestOf {
            channel: plain(&test.channel),
            delivered: test.result.is_ok(),
            took_ms: test.result.as_ref().ok().map(|took| round(took.as_secs_f64() * 1e3)),
            error: test.result.err().map(|why| plain(&why)),
        };
        let said = |test: &Tested| match &test.result {
            Ok(took) => format!("{}: delivered in {}", plain(&test.channel), human(*took)),
            Err(why) => format!("{}: not delivered: {}", plain(&test.channel), plain(why)),
        };
        let message = tests.iter().map(said).collect::<Vec<_>>().join("; ");
        Self { message, tests: tests.into_iter().map(of).collect() }
    }
}

/// The status document as messages and ubus carry it: without what only the page needs.
#[must_use]
pub fn document(snapshot: &Snapshot) -> Value {
    let login = Login { needed: true, set: true, inside: None };
    let settings = SettingsOf::new(None, snapshot.now.mono);
    let status = Status::new(snapshot, login, settings);
    let mut document = serde_json::to_value(status).unwrap_or_default();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("login");
        fields.remove("settings");
    }
    document
}

/// Somebody else's say in where packets go.
#[derive(Debug, Serialize)]
struct ClaimOf {
    family: &'static str,
    by: Option<String>,
    rule: Option<u32>,
    whom: Option<String>,
    text: String,
}

impl From<&Claim> for ClaimOf {
    fn from(claim: &Claim) -> Self {
        let rule = match claim.by {
            By::Rule(priority) => Some(priority.0),
            By::Default | By::WideRoutes => None,
        };
        Self {
            family: version(claim.family),
            by: claim.dev.as_ref().map(|dev| plain(dev.as_str())),
            rule,
            whom: (!claim.is_whole()).then(|| plain(&claim.whom)),
            text: plain(&claim.to_string()),
        }
    }
}

/// Whether changing things needs a login.
#[derive(Debug, Serialize)]
pub(super) struct Login {
    pub(super) needed: bool,
    /// There is a password.
    pub(super) set: bool,
    /// Whoever asks has logged in; absent where all hear the same.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub(super) inside: Option<bool>,
}

#[derive(Debug, Serialize)]
struct LastSwitch {
    at: Option<String>,
    from: Option<String>,
    to: String,
    cause: &'static str,
    reason: String,
    felt_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Uplink {
    name: String,
    interface: String,
    ssid: Option<String>,
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
    first: bool,
    carrier: bool,
    private_address: bool,
    proven_s_ago: Option<u64>,
    next_in_s: Option<u64>,
    paused_until: Option<String>,
    probe_bytes: u64,
    probe_bytes_month: u64,
    provider: Option<ProviderOf>,
    note: Option<NoteOf>,
    reported: Option<ReportedOf>,
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
    /// The firewall of somebody else that closes it to the LAN.
    barred_by: Option<String>,
    address: String,
    gateway: Option<String>,
    rtt_ms: Option<f64>,
    jitter_ms: Option<f64>,
    loss_pct: Option<f64>,
    window_ms: u64,
    silences: Option<Silences>,
}

/// Short silences that keep coming.
#[derive(Debug, Serialize)]
struct Silences {
    /// Mean time from one to the next.
    every_s: f64,
    longest_ms: u64,
}

impl Status {
    pub(super) fn new(snapshot: &Snapshot, login: Login, settings: SettingsOf) -> Self {
        let last_switch = snapshot.last_switch.as_ref().map(|(last, utc)| LastSwitch {
            at: utc.map(|utc| utc.to_string()),
            from: last.from.clone(),
            to: last.to.clone(),
            cause: last.cause,
            reason: last.reason.clone(),
            felt_ms: last.felt.map(|felt| round(felt.as_secs_f64() * 1e3)),
        });
        let reader = if login.inside == Some(true) { Reader::Known } else { Reader::Anybody };
        let uplinks =
            snapshot.uplinks.iter().map(|uplink| Uplink::new(uplink, snapshot.now, reader));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            time: snapshot.now.utc.map(|utc| utc.to_string()),
            host: crate::io::clock::hostname(),
            login,
            settings,
            works: snapshot.works,
            observing: snapshot.observing,
            active: snapshot.active.v4.clone(),
            active6: snapshot.active.v6.clone(),
            since: snapshot.since.map(|since| since.to_string()),
            sentence: snapshot.sentence.clone(),
            last_switch,
            spares_ready: snapshot.spares_ready,
            switches: snapshot.switches,
            repairs: snapshot.repairs,
            repairs_of: snapshot.repairs_of.iter().map(|(kind, n)| (kind.word(), *n)).gather(),
            loop_gap_ms: round(snapshot.loop_gap.as_secs_f64() * 1e3),
            resolvers: snapshot.resolvers.clone(),
            claims: snapshot.claims.iter().map(ClaimOf::from).collect(),
            names: snapshot.names.iter().map(|name| NameOf::new(name, snapshot.now)).collect(),
            manual: snapshot.manual.clone(),
            manual_until: snapshot.manual_until.map(|until| until.to_string()),
            redundancy: if snapshot.uplinks.len() > 1 && snapshot.spares_ready == 0 {
                "lost"
            } else {
                "ok"
            },
            messages: Messages::new(&snapshot.messages, snapshot.now),
            history_head: snapshot.history_head.clone(),
            page: snapshot.page.iter().map(|place| format!("http://{place}/")).collect(),
            leds: snapshot.leds.iter().map(|led| plain(led)).collect(),
            uplinks: uplinks.collect(),
        }
    }
}

impl Uplink {
    fn new(uplink: &UplinkState, now: Now, reader: Reader) -> Self {
        let v4 = uplink.lines.v4.as_ref().map(Line::from);
        let v6 = uplink.lines.v6.as_ref().map(Line::from);
        // One number for people: of IPv4 where there is one.
        let main = v4.as_ref().or(v6.as_ref());
        Self {
            rtt_ms: main.and_then(|line| line.rtt_ms),
            jitter_ms: main.and_then(|line| line.jitter_ms),
            loss_pct: main.and_then(|line| line.loss_pct),
            window_ms: main.map(|line| line.window_ms),
            name: uplink.name.clone(),
            interface: plain(&uplink.interface),
            ssid: uplink.ssid.as_deref().map(plain),
            role: uplink.role.word(),
            health: uplink.health.word(),
            condition: uplink.condition.word(),
            resolvers: uplink.resolvers.iter().map(ToString::to_string).collect(),
            v4,
            v6,
            reason: plain(&uplink.reason),
            next: plain(&uplink.next),
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
            first: uplink.first,
            carrier: uplink.carrier,
            private_address: uplink.private_address,
            proven_s_ago: uplink.proven.map(|at| now.mono.since(at).as_secs()),
            next_in_s: uplink.next_at.map(|at| at.since(now.mono).as_secs()),
            paused_until: uplink.paused_until.and_then(|at| now.utc_at(at)).map(|u| u.to_string()),
            probe_bytes: uplink.probing.bytes,
            probe_bytes_month: uplink.probing.month,
            provider: uplink.provider.as_ref().map(|provider| ProviderOf::new(provider, reader)),
            note: uplink.said.note.as_ref().map(|note| NoteOf::new(note, now)),
            reported: uplink.said.reported.map(ReportedOf::from),
        }
    }
}

impl From<&LineState> for Line {
    fn from(line: &LineState) -> Self {
        Self {
            health: line.health.word(),
            condition: line.condition.word(),
            barred_by: line.barred.as_deref().map(plain),
            address: line.address.clone(),
            gateway: line.gateway.clone(),
            rtt_ms: line.rtt.map(|rtt| round(rtt.as_ms())),
            jitter_ms: line.jitter.map(|jitter| round(jitter.as_ms())),
            loss_pct: line.loss.map(|loss| round(f64::from(loss.0))),
            window_ms: u64::try_from(line.window.as_millis()).unwrap_or(u64::MAX),
            silences: line.silences.map(|pattern| Silences {
                every_s: round(pattern.every.as_secs_f64()),
                longest_ms: u64::try_from(pattern.longest.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Timeline {
    span_s: u64,
    segments: Vec<Segment>,
    uplinks: Vec<Strip>,
}

#[derive(Debug, Serialize)]
struct Segment {
    from_s_ago: u64,
    to_s_ago: u64,
    state: &'static str,
    uplink: Option<String>,
}

#[derive(Debug, Serialize)]
struct Strip {
    name: String,
    strip: Vec<OneMinute>,
}

#[derive(Debug, Serialize)]
struct OneMinute {
    rtt_ms: Option<f64>,
    loss_pct: Option<f64>,
    up: Option<bool>,
}

impl From<View> for Timeline {
    fn from(view: View) -> Self {
        let segment = |segment: timeline::Segment| Segment {
            from_s_ago: segment.from.as_secs(),
            to_s_ago: segment.to.as_secs(),
            state: segment.carrier.word(),
            uplink: segment.uplink,
        };
        let minute = |minute: Minute| OneMinute {
            rtt_ms: minute.rtt.map(|rtt| round(rtt.as_ms())),
            loss_pct: minute.loss.map(|loss| round(f64::from(loss.0))),
            up: minute.up,
        };
        let strip = |(name, minutes): (String, Vec<Minute>)| Strip {
            name,
            strip: minutes.into_iter().map(minute).collect(),
        };
        Self {
            span_s: SPAN.as_secs(),
            segments: view.segments.into_iter().map(segment).collect(),
            uplinks: view.strips.into_iter().map(strip).collect(),
        }
    }
}

/// To a tenth: more would be noise.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
