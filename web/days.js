// What each of the last 90 days came to: a bar for each, which opens to its outages.

import { $, keyed, make, makeSvg, put, set, show } from "/nodes.js";
import { moment, page, parsed, steady } from "/page.js";
import { called, clean, counted, lasted, span } from "/words.js";

const NAMED = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "short", timeZone: "UTC" });
const TICK = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
/** An outage that long is more than a nuisance, in seconds. */
const LONG = 300;

const utc = (day) => Date.parse(`${day}T00:00:00Z`);
/** The day of a moment here, which is where the box is. */
const dayHere = (at) => new Date(at).toLocaleDateString("sv-SE");

function kindOf(sum) {
  if (!sum) return "unknown";
  return sum.down_s >= LONG ? "none" : sum.outages ? "backup" : "first";
}

const rows = (days) => [{ name: "Internet", days: days.house, of: null }, ...days.uplinks.map((u) => ({ ...u, of: u.name }))];

export function takeDays(days) {
  if (!Array.isArray(days?.days) || !Array.isArray(days.house) || !Array.isArray(days.uplinks)) return;
  const first = !page.days;
  page.days = { ...days, taken: steady() };
  set($("day-pick"), "max", days.days.length - 1);
  if (first) $("day-pick").value = lastWithOutage(days);
  renderDays();
}

/** The last day on which something was, else today. */
function lastWithOutage(days) {
  const any = (_, n) => rows(days).some((row) => row.days[n]?.outages > 0);
  const last = days.days.findLastIndex(any);
  return last < 0 ? days.days.length - 1 : last;
}

export function renderDays() {
  const { days } = page;
  show($("days-part"), Boolean(days));
  if (!days) return;
  const picked = Number($("day-pick").value);
  const create = () => {
    const row = make("div", "lane");
    row.append(make("bdi"), makeSvg("svg"));
    return row;
  };
  keyed($("bars"), rows(days), (_, n) => n, create, (row, lane) => {
    const [name, svg] = row.children;
    put(name, called(lane.name));
    drawBars(svg, lane.days, picked);
  });
  const recorded = days.house.filter(Boolean).length;
  const lost = days.house.reduce((sum, day) => sum + (day?.outages ?? 0), 0);
  set($("bars"), "aria-label", `${counted(recorded, "day")} of ${days.days.length} recorded, ${counted(lost, "time")} without Internet`);
  put($("days-from"), TICK.format(utc(days.days[0])));
  renderPicked(days, picked);
}

function drawBars(svg, list, picked) {
  const width = 100 / list.length;
  keyed(svg, list, (_, n) => n, () => makeSvg("rect"), (rect, sum, n) => {
    // Height says it, too: nothing known is low, an outage is high.
    const height = { unknown: 20, first: 60, backup: 85, none: 100 }[kindOf(sum)];
    set(rect, "class", `${kindOf(sum)}${n === picked ? " picked" : ""}`);
    set(rect, "x", `${(n * width).toFixed(3)}%`);
    set(rect, "width", `${(width * 0.8).toFixed(3)}%`);
    set(rect, "y", `${100 - height}%`);
    set(rect, "height", `${height}%`);
  });
}

function renderPicked(days, picked) {
  const day = days.days[picked];
  if (!day) return;
  const title = NAMED.format(utc(day));
  put($("day-title"), title);
  set($("day-pick"), "aria-valuetext", title);
  keyed($("day-lines"), rows(days), (_, n) => n, () => {
    const li = make("li");
    li.append(make("bdi"), make("span"));
    return li;
  }, (li, row) => {
    put(li.firstChild, called(row.name));
    put(li.lastChild, `: ${wordsOf(days, row, day, row.days[picked])}`);
  });
}

function wordsOf(days, row, day, sum) {
  if (!sum) return "not recorded";
  const part = sum.watched_s < 82_800 && day !== days.days.at(-1) ? ` (recorded for ${span(sum.watched_s)})` : "";
  if (!sum.outages) return `no outage${part}`;
  const own = (days.incidents ?? []).filter((one) => {
    const [from, to] = [parsed(one.from), parsed(one.to) ?? Date.now()];
    return one.uplink === row.of && from !== null && dayHere(from) <= day && day <= dayHere(to);
  });
  const each = own.slice(-8).map((one) => `${moment(parsed(one.from))} for ${lasted(one.down_s)}, ${clean(one.text, 60)}`);
  const all = `${counted(sum.outages, "outage")}, ${lasted(sum.down_s)} in all${part}`;
  return each.length ? `${all}: ${each.join("; ")}` : all;
}

export function listenToDays() {
  $("day-pick").addEventListener("input", renderDays);
  $("bars").addEventListener("click", (event) => {
    const svg = event.target.closest("svg");
    if (!svg || !page.days) return;
    const box = svg.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left) / box.width) * page.days.days.length);
    $("day-pick").value = Math.min(page.days.days.length - 1, Math.max(0, at));
    renderDays();
  });
}
