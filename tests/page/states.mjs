// What a box may say: one set of documents for each state that a person can meet.

/** The box's clock in these documents. On purpose not that of the machine that runs the test. */
export const BOX_TIME = Date.parse("2026-09-11T10:54:00Z");

const at = (secondsAgo) => new Date(BOX_TIME - secondsAgo * 1000).toISOString();

export function line(address, more = {}) {
  const gateway = address.includes(":") ? "fe80::1" : address.replace(/\.\d+$/, ".1");
  return {
    health: "up",
    condition: "ok",
    address,
    gateway,
    rtt_ms: 11.2,
    jitter_ms: 1.1,
    loss_pct: 0,
    window_ms: 600,
    silences: null,
    ...more,
  };
}

export function uplink(name, more = {}) {
  return {
    name,
    interface: `${name}0`,
    role: "ready",
    health: "up",
    condition: "ok",
    carrier: true,
    v4: line("84.12.9.70"),
    v6: null,
    private_address: false,
    reason: "ready",
    next: "",
    next_in_s: null,
    rtt_ms: 11.2,
    jitter_ms: 1.1,
    loss_pct: 0,
    window_ms: 600,
    metered: false,
    flows: 12,
    draining: null,
    rx_bytes: 212e9,
    tx_bytes: 31e9,
    proven_s_ago: 130,
    probe_bytes_month: 31e6,
    paused_until: null,
    ...more,
  };
}

/** A name that the box keeps up to date. */
export function named(name, text, state = "right") {
  return { name, uplink: null, state, text };
}

export function status(uplinks, more = {}) {
  const active = uplinks.find((u) => u.role === "active");
  return {
    version: "0.1.0",
    host: "home-router",
    time: at(0),
    works: true,
    active: active?.v4 ? active.name : null,
    active6: active?.v6 ? active.name : null,
    since: at(9240),
    sentence: `Internet works, on ${active?.name}`,
    last_switch: null,
    spares_ready: uplinks.filter((u) => u.role === "ready").length,
    switches: 4,
    repairs: 0,
    loop_gap_ms: 1.4,
    manual: null,
    manual_until: null,
    leds: ["ACT"],
    messages: {
      waiting: 0,
      last: at(372),
      channels: [{ name: "ntfy", to: "ntfy (our-h…)", waiting: 0, last: at(372), failing: null, escalation_s: null }],
      alarm: null,
      heartbeats: [],
    },
    names: [
      named("home.example.net", "home.example.net → 84.12.9.70 and 2001:db8:10::2 (cable), seen by the name server after 1.0 s"),
    ],
    login: { needed: true, set: true },
    settings: { can: true, trial: null },
    uplinks,
    ...more,
  };
}

/** An hour of a line, the same at each run. */
export function strip(base, { jitter = 0.1, spike = -1, down = [99, 99], known = 60, loss = -1 } = {}) {
  return Array.from({ length: 60 }, (_, i) => {
    if (i < 60 - known) return { rtt_ms: null, loss_pct: null, up: null };
    if (i >= down[0] && i < down[1]) return { rtt_ms: null, loss_pct: 100, up: false };
    const wave = Math.abs(Math.sin(i * 12.9898) * 43758.5453) % 1;
    const rtt = base * (1 + jitter * wave) + (i === spike ? base * 1.6 : 0);
    return { rtt_ms: Math.round(rtt * 10) / 10, loss_pct: i === loss ? 12 : 0, up: true };
  });
}

const whole = (uplink) => [{ from_s_ago: 86400, to_s_ago: 0, state: "first", uplink }];

function timeline(segments, strips) {
  return {
    span_s: 86400,
    segments,
    uplinks: Object.entries(strips).map(([name, s]) => ({ name, strip: s })),
  };
}

let count = 0;
const entry = (secondsAgo, severity, code, text, uplink = null) => ({
  id: ++count,
  at: at(secondsAgo),
  code,
  severity,
  uplink,
  text,
});

const cable = (more) => uplink("cable", { interface: "eth1", v6: line("2001:db8:41:7::2"), ...more });
const mifi = (more) =>
  uplink("mifi", {
    interface: "usb0",
    v4: line("192.168.8.100", { rtt_ms: 46.4, jitter_ms: 12.3, window_ms: 3000 }),
    private_address: true,
    rtt_ms: 46.4,
    jitter_ms: 12.3,
    loss_pct: 0.4,
    window_ms: 3000,
    metered: true,
    flows: 0,
    rx_bytes: 1.1e9,
    tx_bytes: 0.14e9,
    probe_bytes_month: 3.1e6,
    ...more,
  });
const phone = (more) =>
  uplink("phone", {
    interface: "wlan0",
    ssid: "Anna’s phone",
    v4: line("172.20.10.4", { rtt_ms: 61, jitter_ms: 18 }),
    private_address: true,
    rtt_ms: 61,
    jitter_ms: 18,
    loss_pct: 1.2,
    metered: true,
    flows: 0,
    rx_bytes: 88e6,
    tx_bytes: 9e6,
    proven_s_ago: 41,
    probe_bytes_month: 3.4e6,
    ...more,
  });

const STRIPS = {
  cable: strip(9, { jitter: 0.4, spike: 28 }),
  mifi: strip(38, { jitter: 0.7, loss: 44 }),
  phone: strip(52, { jitter: 0.9, known: 38 }),
};

const HISTORY = [
  entry(80_000, "info", "started", "Agent started: cable, mifi, phone"),
  entry(79_988, "info", "switched", "Started on cable", "cable"),
  entry(26_400, "warning", "no_spare_left", "Internet works, but no spare is left"),
  entry(26_280, "info", "spare_back", "mifi is a ready spare", "mifi"),
  entry(
    1384,
    "debug",
    "health",
    "cable (IPv4): failing to down: no Internet behind the modem (the modem itself answers)",
    "cable",
  ),
  entry(
    1383,
    "info",
    "switched",
    "Traffic moved from cable to mifi: no Internet behind the modem of cable",
    "mifi",
  ),
  entry(1383, "debug", "flushed", "41 flows of cable flushed; 12 clients told", "cable"),
  entry(1382, "debug", "felt", "Internet answered again after 0.8 s", "mifi"),
];

const ok = () => ({
  status: status([cable({ role: "active", reason: "works", flows: 318 }), mifi(), phone()], {
    last_switch: { at: at(9240), from: "mifi", to: "cable", reason: "cable works again", felt_ms: 3 },
  }),
  history: HISTORY.slice(0, 4),
  timeline: timeline(whole("cable"), STRIPS),
});

const dead = (more) => ({
  role: "not_ready",
  health: "down",
  condition: "beyond_modem",
  reason: "no Internet behind the modem (the modem itself answers)",
  next: "retried every second; used again after it passes the checks and 60 s",
  loss_pct: 100,
  rtt_ms: null,
  jitter_ms: null,
  flows: 0,
  proven_s_ago: 1391,
  v4: line("84.12.9.70", {
    health: "down",
    condition: "beyond_modem",
    loss_pct: 100,
    rtt_ms: null,
    jitter_ms: null,
  }),
  v6: line("2001:db8:41:7::2", {
    health: "down",
    condition: "beyond_modem",
    loss_pct: 100,
    rtt_ms: null,
    jitter_ms: null,
  }),
  ...more,
});

const backup = () => ({
  status: status(
    [
      cable(dead()),
      mifi({ role: "active", reason: "no Internet behind the modem of cable", flows: 41 }),
      phone(),
    ],
    {
      since: at(1383),
      sentence: "Internet works, on mifi: no Internet behind the modem of cable",
      last_switch: {
        at: at(1383),
        from: "cable",
        to: "mifi",
        reason: "no Internet behind the modem of cable",
        felt_ms: 812,
      },
      switches: 5,
    },
  ),
  history: HISTORY,
  timeline: timeline(
    [
      { from_s_ago: 86400, to_s_ago: 80_000, state: "unknown", uplink: null },
      { from_s_ago: 80_000, to_s_ago: 40_100, state: "first", uplink: "cable" },
      { from_s_ago: 40_100, to_s_ago: 39_820, state: "none", uplink: null },
      { from_s_ago: 39_820, to_s_ago: 31_000, state: "backup", uplink: "phone" },
      { from_s_ago: 31_000, to_s_ago: 1383, state: "first", uplink: "cable" },
      { from_s_ago: 1383, to_s_ago: 1383, state: "none", uplink: null },
      { from_s_ago: 1383, to_s_ago: 0, state: "backup", uplink: "mifi" },
    ],
    { ...STRIPS, cable: strip(9, { jitter: 0.4, down: [37, 60] }) },
  ),
});

const returning = () => {
  const state = backup();
  state.status.sentence = "Internet works, on mifi: cable works again and takes over in 44 s";
  Object.assign(
    state.status.uplinks[0],
    cable({ role: "ready", next: "takes over in 44 s", next_in_s: 44, proven_s_ago: 16 }),
  );
  return state;
};

const none = () => ({
  status: status(
    [
      cable(dead({ role: "active", next: "moves as soon as any uplink answers" })),
      mifi({
        role: "not_ready",
        health: "unknown",
        condition: "absent",
        carrier: false,
        v4: null,
        private_address: false,
        interface: "usb0",
        reason: "is not plugged in",
        next: "waits to be plugged in",
        rtt_ms: null,
        jitter_ms: null,
        loss_pct: null,
        proven_s_ago: 7400,
        rx_bytes: null,
        tx_bytes: null,
      }),
      phone({
        role: "not_ready",
        health: "down",
        condition: "modem_silent",
        reason: "no answer, not even from its modem",
        next: "retried every second; used again after it passes the checks and 60 s",
        v4: line("172.20.10.4", {
          health: "down",
          condition: "modem_silent",
          rtt_ms: null,
          jitter_ms: null,
          loss_pct: 100,
        }),
        rtt_ms: null,
        jitter_ms: null,
        loss_pct: 100,
      }),
    ],
    {
      works: false,
      active: null,
      active6: null,
      since: at(372),
      spares_ready: 0,
      sentence:
        "No Internet: no Internet behind the modem of cable, mifi is not plugged in, phone: no answer, not even from its modem",
    },
  ),
  history: [
    ...HISTORY.slice(0, 5),
    entry(372, "critical", "no_way_out", "No uplink works. Keeping cable and retrying", "cable"),
  ],
  timeline: timeline(
    [
      { from_s_ago: 86400, to_s_ago: 372, state: "first", uplink: "cable" },
      { from_s_ago: 372, to_s_ago: 0, state: "none", uplink: null },
    ],
    {
      cable: strip(9, { down: [54, 60] }),
      mifi: strip(1, { known: 0 }),
      phone: strip(50, { down: [50, 60] }),
    },
  ),
});

const draining = () => {
  const state = ok();
  state.status.since = at(35);
  Object.assign(state.status.uplinks[1], {
    draining: { flows: 12, bytes: 34.2e6, seconds_left: 565 },
    flows: 12,
    next: "12 old connections finish on it",
  });
  Object.assign(state.status.uplinks[2], {
    draining: { flows: 1, bytes: 900, seconds_left: null },
    next: "1 old connection finishes on it",
  });
  return state;
};

const paused = () => {
  const state = ok();
  Object.assign(state.status.uplinks[1], {
    role: "paused",
    reason: "paused: lent to a friend until Sunday",
    next: "used again in 2 days",
    next_in_s: 190_000,
    paused_until: at(-190_000),
  });
  Object.assign(state.status.uplinks[2], {
    role: "paused",
    reason: "paused",
    next: "until it is resumed",
  });
  state.status.spares_ready = 0;
  return state;
};

const portal = () => {
  const state = ok();
  Object.assign(state.status.uplinks[2], {
    role: "not_ready",
    health: "down",
    condition: "portal",
    reason: "asks for a sign-in",
    next: "retried every second; used again after it passes the checks and 60 s",
    v4: line("10.5.0.77", { health: "down", condition: "portal" }),
    ssid: "Hotel Guest",
    proven_s_ago: null,
  });
  Object.assign(state.status.uplinks[1], {
    role: "not_ready",
    condition: "degraded",
    reason: "loses many packets",
    next: "retried every second; used again after it passes the checks and 60 s",
    loss_pct: 34.5,
    v4: line("100.72.3.9", { condition: "degraded", loss_pct: 34.5 }),
  });
  state.status.spares_ready = 0;
  return state;
};

const manual = () => {
  const state = ok();
  Object.assign(state.status, {
    manual: "mifi",
    manual_until: at(-26_160),
    active: "mifi",
    active6: "cable",
    since: at(200),
    spares_ready: 1,
    sentence: "Internet works, on mifi (IPv4) and cable (IPv6)",
  });
  Object.assign(state.status.uplinks[1], { role: "active", reason: "preferred manually", flows: 88 });
  return state;
};

const gone = { health: "down", condition: "beyond_modem" };

/** The IPv6 of one that carries IPv4 is dead, and that of a spare. */
export const halves = () => {
  const state = manual();
  for (const u of state.status.uplinks.slice(1)) {
    Object.assign(u, gone, { v6: line("2001:db8::2", gone), reason: "has no Internet behind its modem (IPv6 only)" });
  }
  state.status.uplinks[2].role = "not_ready";
  return state;
};

const first_boot = () => {
  const fresh = (name, face, more) =>
    uplink(name, {
      interface: face,
      role: "not_ready",
      health: "unknown",
      condition: "ok",
      reason: "being checked",
      next: "retried every second; used again after it passes the checks and 60 s",
      rtt_ms: null,
      jitter_ms: null,
      loss_pct: null,
      flows: null,
      rx_bytes: null,
      tx_bytes: null,
      proven_s_ago: null,
      probe_bytes_month: null,
      v4: line("192.0.2.2", { health: "unknown", rtt_ms: null, jitter_ms: null, loss_pct: null }),
      ...more,
    });
  return {
    status: status(
      [
        fresh("cable", "eth1"),
        fresh("mifi", "usb0", {
          condition: "no_address",
          v4: null,
          reason: "has no address",
          next: "checked as soon as it is connected",
        }),
        fresh("phone", "", {
          condition: "absent",
          carrier: false,
          v4: null,
          reason: "is not plugged in",
          next: "waits to be plugged in",
        }),
      ],
      {
        works: false,
        active: null,
        active6: null,
        since: null,
        time: null,
        spares_ready: 0,
        switches: 0,
        login: { needed: true, set: false },
        sentence: "No Internet: cable works, mifi has no address, phone is not plugged in",
      },
    ),
    history: [],
    timeline: timeline([{ from_s_ago: 86400, to_s_ago: 0, state: "unknown", uplink: null }], {}),
  };
};

const many = () => {
  const names = [
    "fibre",
    "cable",
    "vdsl-line-of-the-upper-flat-with-a-long-name",
    "mifi",
    "phone",
    "starlink",
    "wlan-neighbour",
    "lte-stick",
    "office",
    "garage",
    "caravan",
    "roof-antenna",
    "guest",
    "emergency",
  ];
  const role = (i) => ["active", "ready", "paused", "not_ready"][Math.min(i, i % 4)];
  const all = names.map((name, i) =>
    uplink(name, {
      role: i ? (role(i) === "active" ? "not_ready" : role(i)) : "active",
      interface: `eth${i}`,
      metered: i % 3 === 2,
      private_address: i % 4 === 3,
      v4: line(`10.${i}.0.2`),
      v6: i % 2 ? null : line(`2001:db8:${i}:aaaa:bbbb:cccc:dddd:eeee`),
      reason: i ? "ready" : "works",
      health: i % 4 === 3 || (i && i % 4 === 0) ? "down" : "up",
      flows: i * 7919,
      rx_bytes: 10 ** (i % 13),
      tx_bytes: 10 ** (i % 11),
      rtt_ms: 3.3 ** (i / 2),
      jitter_ms: i,
    }),
  );
  return {
    status: status(all, { host: "a-box-with-a-rather-long-name.attic.example.net" }),
    history: Array.from({ length: 200 }, (_, i) =>
      entry(
        86_000 - i * 400,
        i % 9 ? "info" : "warning",
        "by_hand",
        `entry ${i} in a long list of things that happened to ${names[i % 14]}`,
        names[i % 14],
      ),
    ),
    timeline: timeline(
      names.map((name, i) => ({
        from_s_ago: 86400 - i * 6171,
        to_s_ago: i === 13 ? 0 : 86400 - (i + 1) * 6171,
        state: i ? "backup" : "first",
        uplink: name,
      })),
      Object.fromEntries(names.map((name, i) => [name, strip(5 + i * 7, { jitter: 0.1 * i })])),
    ),
  };
};

/** Nothing works, one is paused: as red as any outage. */
const outage_paused = () => {
  const state = none();
  const { uplinks } = state.status;
  uplinks[1] = mifi({ role: "paused", reason: "paused: lent to a friend", next: "" });
  return state;
};

/** Nothing works, and one that was plugged in again is looked at. */
const outage_plugged = () => {
  const state = none();
  const { messages } = state.status;
  messages.waiting = 2;
  Object.assign(messages.channels[0], { waiting: 2, failing: "cannot connect to ntfy.sh:443: no uplink works" });
  const next = { to: "gotify (192.168.1.9)", in_s: 240 };
  state.status.names.push(
    named("cable.example.net", "cable.example.net → 84.12.9.70 (cable), ns1.example.net: it does not know key home; tried again in 44 s", "failing"),
  );
  messages.alarm = { title: "No Internet since 12:47", at: at(400), acknowledged: null, next };
  Object.assign(state.status.uplinks[1], { health: "unknown", condition: "ok", carrier: true, reason: "being checked" });
  return state;
};

/** What no agent should say: called ready, although a sign-in is asked for. And a dead line with old figures. */
const contradicting = () => {
  const state = portal();
  Object.assign(state.status.uplinks[2], { role: "ready", health: "up" });
  Object.assign(state.status.uplinks[1], dead({ rtt_ms: 10.2, jitter_ms: 1, loss_pct: 7 }));
  return state;
};

const observing = () => {
  const state = backup();
  state.status.observing = true;
  return state;
};

export const STATES = { ok, backup, returning, none, draining, paused, portal, manual, first_boot, many, outage_paused, outage_plugged, contradicting, observing };
