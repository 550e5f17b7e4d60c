// What the page knows, and since when. Times come from the box: this device's clock may be wrong.

export const page = {
  live: "wait", // "yes", "no": whether the box is heard
  status: null,
  heard: 0, // when the status came, by `steady`
  trouble: null, // since when the connection has been broken, by `steady`
  ends: new Map(), // what is counted down: when it ends, by `steady`
  timeline: null,
  days: null,
  span: "day", // or "week", "month": how far the lanes reach back
  entries: [], // oldest first
  shown: matchMedia("(min-width: 700px)").matches ? 30 : 3, // entries of the log; on a phone it is the end of a long way
  loggedIn: false,
};

// A sleeping phone may stop its steady clock; what it slept is added when it wakes.
let slept = 0;

export const steady = () => performance.now() + slept;

export function addSleep(milliseconds) {
  slept += milliseconds;
}

export function parsed(rfc3339) {
  const at = Date.parse(rfc3339 ?? "");
  return Number.isNaN(at) ? null : at;
}

export const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
export const SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const WEEKDAY = new Intl.DateTimeFormat("en-GB", { weekday: "long" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The box's own time in milliseconds since 1970, or null if it does not know. */
export function boxNow() {
  const at = Date.parse(page.status?.time ?? "");
  return Number.isNaN(at) ? null : at + (page.live === "yes" ? steady() - page.heard : 0);
}

export function dayOf(at, now) {
  const midnight = new Date(now ?? at).setHours(0, 0, 0, 0);
  const days = Math.round((midnight - new Date(at).setHours(0, 0, 0, 0)) / 864e5);
  if (days === 0) return "today";
  if (days === 1) return "yesterday";
  return days > 1 && days < 7 ? WEEKDAY.format(at) : DATE.format(at);
}

/** "14:02", with the day where it is not today. */
export function moment(at, format = CLOCK) {
  const day = dayOf(at, boxNow());
  return day === "today" ? format.format(at) : `${day} ${format.format(at)}`;
}

/** The box's time when the timeline was taken. It stays, unless the box's clock jumps. */
export function timelineNow() {
  const { timeline } = page;
  const at = parsed(page.status?.time);
  const now = at === null ? null : at + timeline.taken - page.heard;
  if (now === null || !(Math.abs(now - timeline.now) < 5000)) timeline.now = now;
  return timeline.now;
}

/** Keeps the end of a countdown: a status that says the same a little earlier or later is no news. */
export function note(key, seconds) {
  if (typeof seconds !== "number") return page.ends.delete(key);
  const end = page.heard + seconds * 1000;
  if (!(Math.abs(end - page.ends.get(key)) < 1500)) page.ends.set(key, end);
}

/** What is left of it, or null. */
export function left(key) {
  const end = page.ends.get(key);
  return end === undefined || page.live === "no" ? null : Math.max(0, Math.ceil((end - steady()) / 1000));
}

export const passed = (secondsAgo) => secondsAgo + (steady() - page.heard) / 1000;
