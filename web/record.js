// What was: the last 24 hours, and the log.

import { $, cells, icon, keyed, make, makeSvg, put, set, show } from "/nodes.js";
import { CLOCK, SECONDS, boxNow, dayOf, moment, page, parsed, timelineNow } from "/page.js";
import { called, clean, counted, lasted, span } from "/words.js";

/** A time so many seconds before the timeline was taken, in words. */
function timeAgo(seconds) {
  const now = timelineNow();
  return now === null ? `${span(seconds)} ago` : moment(now - seconds * 1000);
}

function segments() {
  return page.timeline?.segments ?? [];
}

export function outages() {
  return segments().filter((s) => s.state === "none");
}

/** How many seconds of the timeline the agent was there to see. */
export function recorded() {
  const known = segments().filter((s) => s.state !== "unknown");
  return known.reduce((sum, s) => sum + s.from_s_ago - s.to_s_ago, 0);
}

function segmentWords(s) {
  if (s.state === "none") return "no Internet";
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

function lanes(s) {
  const all = segments();
  const house = {
    name: "Internet",
    segments: merged(all.map((x) => ({ ...x, state: x.state === "backup" ? "first" : x.state }))),
  };
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

export function renderDay(s) {
  if (!page.timeline) return;
  const picture = `${innerWidth}\n${timelineNow()}\n${s.uplinks.map((u) => u.name).join("\n")}`;
  if (page.timeline.drawn === picture) return;
  page.timeline.drawn = picture;
  const full = page.timeline.span_s || 86400;
  const create = () => {
    const row = make("div", "lane");
    row.append(make("bdi"), makeSvg("svg"));
    return row;
  };
  const keyOf = (lane, index) => (lane.axis ? "axis" : index);
  keyed($("lanes"), [...lanes(s), { axis: true }], keyOf, create, (row, lane) => {
    const [name, svg] = row.children;
    if (lane.axis) return drawAxis(svg, full);
    put(name, called(lane.name));
    drawLane(svg, lane.segments, full);
  });
  const text = outageWords(full);
  put($("outages"), text);
  set($("lanes"), "aria-label", `Internet in the last 24 hours. ${text}`);
  const row = (x) => {
    const to = x.to_s_ago < 1 ? "now" : timeAgo(x.to_s_ago);
    return [timeAgo(x.from_s_ago), to, lasted(x.from_s_ago - x.to_s_ago), segmentWords(x)];
  };
  cells($("segments"), [...segments()].reverse().map(row));
}

function outageWords(full) {
  const seen = recorded();
  if (seen < 60) return "Recording has just begun.";
  const lost = outages();
  if (!lost.length)
    return `No outage in the ${seen < full - 60 ? `${span(seen)} on record` : "last 24 hours"}.`;
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
      set(rect, "height", "100%");
    },
  );
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
