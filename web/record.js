// What was: the last 24 hours, and the log.

import { $, cells, icon, keyed, make, makeSvg, put, set, show } from "/nodes.js";
import { CLOCK, SECONDS, boxNow, dayOf, moment, page, parsed, steady, timelineNow } from "/page.js";
import { called, clean, counted, lasted, span } from "/words.js";

/** A time so many seconds before the timeline was taken, in words. */
function timeAgo(seconds) {
  const now = timelineNow();
  return now === null ? `${span(seconds)} ago` : moment(now - seconds * 1000);
}

function segments() {
  return page.timeline?.segments ?? [];
}

export function outages(of = segments()) {
  return of.filter((s) => s.state === "none");
}

/** How many seconds of the timeline the agent was there to see. */
export function recorded(of = segments()) {
  const known = of.filter((s) => s.state !== "unknown");
  return known.reduce((sum, s) => sum + s.from_s_ago - s.to_s_ago, 0);
}

const SPANS = { day: [86400, "24 hours"], week: [604800, "7 days"], month: [2592000, "30 days"] };

/** The last 30 days as stretches, where the box tells of them. */
const record = () => page.days?.lanes;

/** Stretches of the record, aged since it was taken and cut to what is shown. */
function cut(list, full) {
  const aged = (steady() - page.days.taken) / 1000;
  return list
    .map((x) => ({
      ...x,
      from_s_ago: Math.min(full, x.from_s_ago + aged),
      to_s_ago: x.to_s_ago > 0 ? x.to_s_ago + aged : 0,
    }))
    .filter((x) => x.to_s_ago < full);
}

/** What the house had, over what is shown. */
function shownSegments(full) {
  if (page.span === "day" || !record()) return segments();
  return cut(record().house, full).map((x) => ({ ...x, state: x.state === "works" ? "first" : x.state }));
}

function segmentWords(s) {
  if (s.state === "none") return "no Internet";
  if (s.state === "first" && !s.uplink) return "works";
  return s.state === "unknown" ? "not recorded" : `works, on ${called(s.uplink)}`;
}

/** Neighbours of the same state as one. */
function merged(list) {
  const out = [];
  for (const x of list) {
    const before = out.at(-1);
    if (before?.state === x.state) before.to_s_ago = x.to_s_ago;
    else out.push({ ...x });
  }
  return out;
}

/** How each uplink stood: carried the traffic, ready, or not. */
function standings(s, full) {
  return s.uplinks.slice(0, 12).map((u, n) => {
    const lane = record().uplinks.find((other) => other.name === u.name);
    const states = { carried: n ? "backup" : "first", not_ready: "not" };
    const list = cut(lane?.stretches ?? [], full).map((x) => ({ ...x, state: states[x.state] ?? x.state }));
    return { name: u.name, segments: list };
  });
}

function lanes(s, full) {
  const all = shownSegments(full);
  const house = {
    name: "Internet",
    segments: merged(all.map((x) => ({ ...x, state: x.state === "backup" ? "first" : x.state }))),
  };
  if (record()) return [house, ...standings(s, full)];
  // A short chain in full, so that nothing moves when a spare carries for the first time.
  const carried = (u) => all.some((x) => x.uplink === u.name && x.state !== "none");
  const carriers = s.uplinks.filter((u) => s.uplinks.length <= 6 || carried(u));
  return [
    house,
    ...carriers.map((u) => ({
      name: u.name,
      segments: all.filter((x) => x.uplink === u.name && x.state !== "none"),
    })),
  ];
}

/** A line for each, and the hours below; without a span the lines only, until it is known what they show. */
function drawLanes(list, full) {
  const create = () => {
    const row = make("div", "lane");
    row.append(make("bdi"), makeSvg("svg"));
    return row;
  };
  const keyOf = (lane, index) => (lane.axis ? "axis" : index);
  keyed($("lanes"), [...list, { axis: true }], keyOf, create, (row, lane) => {
    const [name, svg] = row.children;
    if (!lane.axis) {
      put(name, called(lane.name));
      drawLane(svg, lane.segments, full);
    } else if (full) drawAxis(svg, full);
  });
}

export function renderDay(s) {
  if (!page.timeline) return drawLanes([{ name: "Internet", segments: [] }, ...s.uplinks.slice(0, 6).map((u) => ({ name: u.name, segments: [] }))]);
  if (!record()) page.span = "day";
  const [full, words] = SPANS[page.span];
  const picture = `${innerWidth}\n${timelineNow()}\n${page.span} ${page.days?.taken}\n${s.uplinks.map((u) => u.name).join("\n")}`;
  if (page.timeline.drawn === picture) return;
  page.timeline.drawn = picture;
  put($("day-name"), words);
  for (const node of document.querySelectorAll("[data-span]")) set(node, "aria-pressed", node.dataset.span === page.span);
  for (const node of document.querySelectorAll("[data-record]")) show(node, Boolean(record()));
  const drawn = lanes(s, full);
  const states = new Set(drawn.flatMap((lane) => lane.segments.map((x) => x.state)));
  for (const node of $("key").children) show(node, states.has(node.className));
  drawLanes(drawn, full);
  const shown = shownSegments(full);
  const text = outageWords(shown, full, words);
  put($("outages"), text);
  set($("lanes"), "aria-label", `Internet in the last ${words}. ${text}`);
  const row = (x) => {
    const to = x.to_s_ago < 1 ? "now" : timeAgo(x.to_s_ago);
    return [timeAgo(x.from_s_ago), to, lasted(x.from_s_ago - x.to_s_ago), segmentWords(x)];
  };
  cells($("segments"), [...shown].reverse().map(row));
}

function outageWords(shown, full, words) {
  const seen = recorded(shown);
  if (seen < 60) return "Recording has just begun.";
  const lost = outages(shown);
  if (!lost.length)
    return `No outage in the ${seen < full - 60 ? `${span(seen)} on record` : `last ${words}`}.`;
  const listed = lost
    .slice(-5)
    .reverse()
    .map((o) => `${timeAgo(o.from_s_ago)} for ${lasted(o.from_s_ago - o.to_s_ago)}`);
  return `${counted(lost.length, "outage")}: ${listed.join("; ")}${lost.length > 5 ? ` and ${lost.length - 5} before` : ""}.`;
}

function drawLane(svg, list, full) {
  // Outages come last, so that they lie on top.
  const ordered = [...list].sort((a, b) => (a.state === "none") - (b.state === "none"));
  keyed(
    svg,
    ordered,
    (_, index) => index,
    () => makeSvg("rect"),
    (rect, x) => {
      // What has no width at all is not drawn, and a part of a second is cut to none.
      const width = Math.max(0.01, (100 * (x.from_s_ago - x.to_s_ago)) / full);
      const start = Math.max(0, 100 - (100 * x.from_s_ago) / full);
      set(rect, "class", x.state);
      set(rect, "x", `${start.toFixed(3)}%`);
      set(rect, "width", `${width.toFixed(3)}%`);
      // Ready is a line in the middle, not ready one at the foot: colour is not the only sign.
      set(rect, "y", { ready: "40%", not: "80%" }[x.state] ?? "0%");
      set(rect, "height", x.state === "ready" || x.state === "not" ? "20%" : "100%");
    },
  );
}

const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const TICK = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export function listenToSpans() {
  $("spans").addEventListener("click", (event) => {
    const { span: chosen } = event.target.closest("button")?.dataset ?? {};
    if (!SPANS[chosen] || !page.status) return;
    page.span = chosen;
    renderDay(page.status);
  });
}

/** The width of "now", of half a label, and of the gap between them, in pixels. */
const NOW_ROOM = 50;

/** Full hours of this place, every six; without a clock, how long ago. */
function drawAxis(svg, full) {
  const now = timelineNow();
  const ticks = [{ at: 100, text: "now" }];
  const room = svg.clientWidth || 200;
  if (now === null) {
    for (const part of [0.25, 0.5, 0.75])
      ticks.push({ at: part * 100, text: `${span(full * (1 - part))} ago` });
  } else if (full > 86400) {
    const day = new Date(now - full * 1000);
    day.setHours(24, 0, 0, 0);
    const every = full > 604800 ? 5 : 1;
    for (let n = 0; day.getTime() < now; n += 1, day.setDate(day.getDate() + 1)) {
      const at = 100 * (1 - (now - day.getTime()) / (full * 1000));
      const text = (every > 1 ? TICK : WEEKDAY).format(day);
      if (n % every === 0 && at >= 3 && at < 100 - (100 * NOW_ROOM) / room) ticks.push({ at, text });
    }
  } else {
    const hour = new Date(now - full * 1000);
    hour.setMinutes(0, 0, 0);
    for (let h = 0; h <= full / 3600 + 1; h += 1, hour.setTime(hour.getTime() + 36e5)) {
      const at = 100 * (1 - (now - hour.getTime()) / (full * 1000));
      if (hour.getHours() % 6 === 0 && at >= 2 && at < 100 - (100 * NOW_ROOM) / room) ticks.push({ at, text: CLOCK.format(hour) });
    }
  }
  keyed(
    svg,
    ticks,
    (_, index) => index,
    () => makeSvg("text"),
    (text, tick) => {
      set(text, "x", `${tick.at.toFixed(2)}%`);
      set(text, "y", "13");
      set(text, "text-anchor", tick.at === 100 ? "end" : "middle");
      put(text, tick.text);
    },
  );
}

function entryKey(entry) {
  return entry.id !== undefined ? `#${entry.id}` : `${entry.at}|${entry.code}|${entry.text}`;
}

/** What the box has on record, and what was heard while it answered. Both are oldest first. */
export function takeHistory(list, heard) {
  const had = new Set(list.map(entryKey));
  page.entries = [...list, ...heard.filter((entry) => !had.has(entryKey(entry)))];
  renderLog();
}

function makeEntry(item) {
  if (item.day) return make("li", "day", item.day);
  const li = make("li");
  const text = make("p");
  text.append(icon(), make("span", "unseen"), make("bdi"));
  li.append(make("time"), text);
  return li;
}

const SEVERITIES = ["debug", "info", "notice", "warning", "critical"];
const SIGNS = { switched: "#i-run", spare_back: "#i-ok", drained: "#i-ok" };

export function renderLog() {
  const small = $("small-things").checked;
  const wanted = page.entries.filter((entry) => small || entry.severity !== "debug").reverse();
  const items = [];
  const times = new Map();
  const unique = (key) => {
    times.set(key, (times.get(key) ?? 0) + 1);
    return `${times.get(key)}|${key}`;
  };
  let day = "today";
  for (const entry of wanted.slice(0, page.shown)) {
    const at = parsed(entry.at);
    const of = at === null ? day : dayOf(at, boxNow());
    if (of !== day) items.push({ day: (day = of), key: unique(`day ${of}`) });
    items.push({ entry, at, key: unique(entryKey(entry)) });
  }
  keyed(
    $("entries"),
    items,
    (item) => item.key,
    makeEntry,
    (li, item) => {
      if (item.day) return;
      const { entry, at } = item;
      const [time, text] = li.children;
      const severity = SEVERITIES.includes(entry.severity) ? entry.severity : "info";
      const warns = severity === "warning" || severity === "critical";
      set(li, "data-severity", severity);
      put(time, at === null ? "no clock" : SECONDS.format(at));
      set(time, "datetime", at === null ? null : new Date(at).toISOString());
      set(text.children[0].firstChild, "href", warns ? "#i-warn" : (SIGNS[entry.code] ?? "#i-dot"));
      put(text.children[1], warns ? "Warning: " : "");
      put(text.children[2], clean(entry.text));
    },
  );
  show($("no-entries"), items.length === 0);
  show($("more"), wanted.length > page.shown);
}
