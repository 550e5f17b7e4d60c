// The status page of one box. It shows what the agent says, and decides nothing.

import { $, show } from "/nodes.js";
import { listenToDays, takeDays } from "/days.js";
import { addSleep, note, page, steady } from "/page.js";
import { listenToSpans, renderDay, renderLog, takeHistory } from "/record.js";
import { listen, readLoggedIn, renderEnter, setLoggedIn } from "/steer.js";
import { renderBox, renderChain, renderHero, renderLive, renderPills } from "/view.js";

const SILENCE = 8000; // the box says something at least every 5 s
const HIDDEN = 60_000; // so often a page that nobody sees asks, for its title and icon
const GRACE = 1500; // an agent that restarts, a phone that changes its Wi-Fi

let source = null;
let triedAt = 0;
let timelineTimer = 0;
let daysTimer = 0;
let hiddenTimer = 0;
let wokeAt = -SILENCE; // when the page was last looked at again, by `steady`
const waiting = new Set(); // lists of what is heard while the history is fetched

function hear(status) {
  if (typeof status !== "object" || status === null || !Array.isArray(status.uplinks)) return;
  const before = page.status;
  if (before && before.version !== status.version) return location.reload();
  const comesBack = page.live === "no";
  page.status = status;
  page.heard = steady();
  page.trouble = null;
  page.live = "yes";
  const own = status.login?.in; // said to this browser only, when it asks or begins to listen
  if (typeof own === "boolean" && own !== page.loggedIn) setLoggedIn(own);
  note("trial", status.settings?.trial?.seconds_left);
  for (const u of status.uplinks) {
    note(`${u.name}/next`, u.next_in_s);
    note(`${u.name}/drain`, u.draining?.seconds_left);
  }
  for (const key of page.ends.keys()) {
    if (key !== "trial" && !status.uplinks.some((u) => key.startsWith(`${u.name}/`))) page.ends.delete(key);
  }
  render();
  if (comesBack && source.readyState !== EventSource.OPEN) catchUp();
  else if (before && (before.active !== status.active || before.works !== status.works)) askTimeline();
}

function render() {
  const s = page.status;
  if (s) {
    show($("rest"), true);
    renderHero(s);
    renderPills(s);
    renderChain(s);
    renderDay(s);
    renderBox(s);
    renderEnter(s);
  }
  renderLive();
}

async function fetchJson(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(6000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** The document with new values at these places, each a JSON pointer (RFC 6901). */
function changed(document, changes) {
  if ("" in changes) return changes[""];
  const copy = structuredClone(document);
  for (const [pointer, value] of Object.entries(changes)) {
    const keys = pointer.slice(1).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = keys.pop();
    keys.reduce((place, key) => place[key], copy)[last] = value;
  }
  return copy;
}

function connect() {
  source?.close();
  triedAt = steady();
  const own = (source = new EventSource("/api/v1/events?changes"));
  const reads = (handle) => (event) => {
    if (own !== source) return;
    try {
      handle(JSON.parse(event.data));
    } catch (error) {
      console.warn("what the box said cannot be read:", error);
    }
  };
  // What this stream said last. Differences are to that, whatever was heard in another way.
  let told = null;
  own.addEventListener("status", reads((status) => hear((told = status))));
  own.addEventListener("changes", reads((changes) => told && hear((told = changed(told, changes)))));
  own.addEventListener(
    "entry",
    reads((entry) => {
      for (const list of waiting) list.push(entry);
      page.entries = [...page.entries, entry].slice(-600);
      renderLog();
    }),
  );
  own.onopen = catchUp;
  own.onerror = () => {
    page.trouble ??= steady();
  };
}

/** Once a second: is the box still heard? Where only its stream is refused, it is asked instead. */
function watch() {
  if (document.hidden) return;
  const now = steady();
  const silent = now - Math.max(page.heard, wokeAt + GRACE - SILENCE) > SILENCE;
  const broken = page.trouble !== null && now - Math.max(page.trouble, page.heard) > GRACE;
  if (page.live === "yes" ? silent || broken : page.status === null && broken) page.live = "no";
  const dead = source.readyState === EventSource.CLOSED || (silent && now - triedAt > SILENCE);
  if (dead && now - triedAt > 2000) {
    connect();
    askStatus();
    if (!page.timeline) catchUp();
  }
}

async function askStatus() {
  const asked = steady();
  try {
    const status = await fetchJson("/api/v1/status");
    if (page.heard <= asked) hear(status);
  } catch {
    page.trouble ??= asked;
  }
}

async function askHistory() {
  const heard = [];
  waiting.add(heard);
  try {
    const list = await fetchJson("/api/v1/history");
    if (Array.isArray(list)) takeHistory(list, heard);
  } catch {
    // The next attempt comes with the next connection.
  }
  waiting.delete(heard);
}

async function askTimeline() {
  clearTimeout(timelineTimer);
  timelineTimer = setTimeout(askTimeline, 60_000);
  if (document.hidden) return;
  try {
    const timeline = await fetchJson("/api/v1/timeline");
    if (!Array.isArray(timeline?.segments)) return;
    page.timeline = { ...timeline, taken: steady(), now: null };
    render();
  } catch {
    // It is asked again within a minute.
  }
}

async function askDays() {
  clearTimeout(daysTimer);
  daysTimer = setTimeout(askDays, 300_000);
  if (document.hidden) return;
  try {
    takeDays(await fetchJson("/api/v1/days"));
    render();
  } catch {
    // A box without a clock knows no days.
  }
}

/** What happened while the page was not connected. */
function catchUp() {
  askHistory();
  askTimeline();
  askDays();
}

/** Nobody looks: the stream ends, and the box is asked now and then. */
function hide() {
  source.close();
  clearInterval(hiddenTimer);
  hiddenTimer = setInterval(async () => {
    await askStatus();
    if (steady() - page.heard > 2 * HIDDEN) page.live = page.status ? "no" : "wait";
    render();
  }, HIDDEN);
}

/** A phone that slept has an old picture, whatever its clocks say: the box is asked again. */
function sleepAndWake() {
  let [wall, own] = [0, 0];
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      [wall, own] = [Date.now(), performance.now()];
      return hide();
    }
    clearInterval(hiddenTimer);
    const missed = Date.now() - wall - (performance.now() - own);
    if (missed > 2000) addSleep(missed);
    // What is a moment old stands until the box has had time to answer.
    page.trouble = null;
    if (steady() - page.heard > HIDDEN + SILENCE) page.live = page.status ? "no" : "wait";
    wokeAt = steady();
    render();
    connect();
    askStatus();
  });
}

$("small-things").addEventListener("change", renderLog);
$("more").addEventListener("click", () => {
  page.shown += 100;
  renderLog();
});
// On paper the day stands as a table, whether it is open on the screen or not.
let wasOpen = false;
matchMedia("print").addEventListener("change", ({ matches }) => {
  if (matches) wasOpen = $("day-table").open;
  $("day-table").open = matches || wasOpen;
});
readLoggedIn();
listen();
listenToDays();
listenToSpans();
sleepAndWake();
connect();
if (document.hidden) hide();
askStatus();
setInterval(() => {
  watch();
  render();
}, 1000);
