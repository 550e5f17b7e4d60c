// What is said, and how: the agent's words, numbers with units, and how long ago.

import { left, moment, parsed } from "/page.js";

// What cannot be seen, or turns the reading direction of what follows.
const UNSEEN =
  /[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

export function clean(value, most = 600) {
  const text = String(value ?? "")
    .replace(UNSEEN, "")
    .replace(/\s+/g, " ");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** An uplink's name. One that cannot be seen must be pointed at all the same. */
export const called = (name) => clean(name, 64).trim() || "(no name)";

/** The agent's words begin small; an uplink's name stays as it is. */
export function sentence(text, names) {
  const said = clean(text);
  return names.some((name) => name && said.startsWith(name))
    ? said
    : said.charAt(0).toUpperCase() + said.slice(1);
}

/** How long, for people: "45 s", "12 min", "3 h 20 min", "4 days". */
export function span(seconds) {
  const s = Math.max(0, seconds);
  if (s > 0 && s < 0.1) return `${Math.round(s * 1000)} ms`;
  if (s < 1) return `${Math.round(s * 10) / 10} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 2880)
    return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.round(minutes / 1440)} days`;
}

/** The same for what has been: less than a second is not nothing. */
export const lasted = (seconds) => (seconds < 1 ? "less than 1 s" : span(seconds));

export function shortAgo(seconds) {
  if (seconds < 60) return "just now";
  const hours = Math.round(seconds / 3600);
  return seconds < 5400 || hours >= 48 ? `${span(seconds)} ago` : `${hours} h ago`;
}

export function bytes(count) {
  let value = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5)
      return `${value < 9.95 && unit !== "B" ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`;
    value /= 1000;
  }
  return `${Math.round(value * 10) / 10} TB`;
}

export function number(value, unit) {
  if (typeof value !== "number") return "–";
  if (unit === "ms" && value >= 999.5) return `${Math.round(value / 100) / 10} s`;
  return `${value < 9.95 ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`;
}

export const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const CONDITIONS = {
  ok: "being checked",
  resolvers_silent: "its own DNS is silent",
  degraded: "loses packets",
  no_web: "loads no web page",
  portal: "sign-in page",
  dns_broken: "names fail (DNS)",
  barred: "closed by a firewall",
  beyond_modem: "no Internet behind the modem",
  modem_silent: "no answer, not even from its modem",
  no_gateway: "no gateway",
  no_address: "no address",
  no_carrier: "not connected",
  switched_off: "switched off on this box",
  absent: "not plugged in",
};

/** It could take over: what the agent says, and nothing that a person would see first speaks against it. */
export const isReady = (u) => u.role === "ready" && ["ok", "resolvers_silent"].includes(u.condition ?? "ok");

/** In use or ready, and nothing about it needs to be explained. */
export const isFine = (u) =>
  (u.role === "active" && u.health === "up" && u.condition === "ok") || (isReady(u) && u.condition === "ok");

const isDown = (line) => line.health === "down";

/** The IP version that is down while the other is not. */
const downVersion = (u) => (u.v4 && u.v6 && isDown(u.v4) !== isDown(u.v6) ? (isDown(u.v4) ? "IPv4" : "IPv6") : null);

/** Nothing gets through where it carries the traffic; where it carries none, it is down as a whole. */
function fails(u, s) {
  const lines = [s.active === u.name && u.v4, s.active6 === u.name && u.v6].filter(Boolean);
  return lines.length ? lines.every(isDown) : isDown(u);
}

/** The tag of an uplink: its words, icon and tone. */
export function standing(u, s) {
  if (u.role === "active") {
    const apart = s.active && s.active6 && s.active !== s.active6;
    const word = apart ? `In use, ${s.active === u.name ? "IPv4" : "IPv6"}` : "In use";
    if (fails(u, s)) return ["Down", "bad", "bad"];
    const fine = u.health === "up" && u.condition === "ok";
    return [word, "run", fine && s.uplinks[0] === u ? "good" : "warn"];
  }
  if (isReady(u)) return ["Ready", "ok", "good"];
  if (u.role === "paused") return ["Paused", "pause", "idle"];
  if (u.condition === "portal") return ["Sign-in page", "warn", "warn"];
  if (u.condition === "switched_off") return ["Switched off", "none", "idle"];
  if (u.condition === "absent" || u.condition === "no_carrier" || u.carrier === false)
    return ["Not connected", "none", "idle"];
  if (u.health === "down") return downVersion(u) ? [`${downVersion(u)} down`, "warn", "warn"] : ["Down", "bad", "bad"];
  return u.condition === "degraded" ? ["Loses packets", "warn", "warn"] : ["Being checked", "wait", "idle"];
}

/** What a person wrote of an uplink, how far the day is that it speaks of, and whether the provider was told. */
export function noteWords(u) {
  const said = [];
  if (u.note) {
    const far = u.note.countdown ? ` (${clean(u.note.countdown, 30)})` : "";
    said.push(`Note: ${clean(u.note.text, 200)}${far}`);
  }
  if (u.reported) {
    const at = parsed(u.reported.at);
    said.push(`Reported to the provider${at === null ? "" : `, ${moment(at)}`}`);
  }
  return said.join(" · ");
}

// Where there is little room.
const SHORTER = { beyond_modem: "only to the modem", modem_silent: "modem is silent" };

/** How far a line reaches: state and words. */
export function reach(l, quiet) {
  if (!l) return ["none", quiet ? "none" : "not yet"];
  const why = SHORTER[l.condition] ?? CONDITIONS[l.condition] ?? clean(l.condition, 40);
  if (l.health === "up") return l.condition === "ok" ? ["ok", "works"] : ["warn", why];
  if (l.health === "down") return ["bad", l.condition === "ok" ? "down" : why];
  if (l.condition !== "ok") return ["wait", why];
  return ["wait", l.health === "failing" ? "suspect" : "being checked"];
}

/** What must be seen of an uplink at once: what is wrong, and what is about to happen; of one that is well, nothing. */
export function whyOf(u) {
  const silences = u.v4?.silences || u.v6?.silences;
  const wrong = isFine(u) && !silences ? "" : clean(u.reason);
  const soon = u.role === "paused" || typeof u.next_in_s === "number" || u.draining?.flows > 0;
  return [wrong, soon ? nextOf(u) : ""].filter(Boolean).join(" · ");
}

/** What happens next on an uplink. Times and numbers are data, so that a count runs; the rest is the agent's. */
export function nextOf(u) {
  const seconds = left(`${u.name}/next`);
  if (u.role === "paused") {
    if (typeof u.next_in_s !== "number") return "until it is resumed";
    const until = parsed(u.paused_until);
    const at = until === null ? "" : `, ${moment(until)}`;
    return seconds === null ? `used again${at}` : `used again in ${span(seconds)}${at}`;
  }
  if (u.draining?.flows > 0) {
    const time = left(`${u.name}/drain`);
    return time === null ? "old connections end here" : `old connections end in ${span(time)} at most`;
  }
  if (typeof u.next_in_s === "number") return takesOver(seconds);
  return clean(u.next);
}

function takesOver(seconds) {
  if (seconds === null) return "takes over soon";
  return seconds < 1 ? "takes over now" : `takes over in ${span(seconds)}`;
}

/** What is: with since when, and in words that do not change while nothing does. */
export function headline(s) {
  const { active, active6 } = s;
  let what = "No Internet";
  if (s.works || (s.works === undefined && (active || active6)))
    what =
      active && active6 && active !== active6
        ? `Internet works, on ${called(active)} (IPv4) and ${called(active6)} (IPv6)`
        : `Internet works, on ${called(active ?? active6)}`;
  const since = parsed(s.since);
  return { what, head: since === null ? what : `${what} since ${moment(since)}` };
}

/** Why it is so: of the first uplink, or of all where none works. */
export function because(s) {
  const explained = (u) => `${called(u.name)}: ${clean(u.reason, 160)}`;
  // Of all in few words: there may be many, and each card says more.
  const short = (u) => `${called(u.name)}: ${u.role === "paused" ? "paused" : (CONDITIONS[u.condition] ?? clean(u.condition, 40))}`;
  if (!s.works) return s.uplinks.map(short).join("; ");
  const first = s.uplinks[0];
  if (!first || first.role === "active") return "";
  if (first.role === "paused" || !isReady(first)) return explained(first);
  return typeof first.next_in_s === "number" ? `${called(first.name)} works again` : "";
}

/** What is on trial, and what becomes of it. `left` is in seconds. */
export function trialWords(s, left) {
  const trial = s.settings?.trial;
  if (!trial) return "";
  const [what, it] =
    trial.of === "setup" ? ["A set-up is on trial", "it"] : [`New settings are on trial (by ${clean(trial.by ?? "", 60)})`, "them"];
  return `${what}: undone ${left === null ? "soon" : `in ${left} s`} unless somebody keeps ${it}.`;
}

/** That a person chose, and until when. */
export function manualWords(s) {
  if (!s.manual) return "";
  const until = parsed(s.manual_until);
  return `${called(s.manual)} is preferred by hand${until === null ? "" : ` until ${moment(until)}`}`;
}

/** Who is told, and whether that works. */
export function messageWords(messages) {
  const channels = messages?.channels ?? [];
  const failing = channels.filter((c) => c.failing !== null && c.failing !== undefined);
  const names = channels.map((c) => clean(c.name, 40)).join(", ");
  const wait = messages?.waiting ? `${messages.waiting} waiting` : "none waiting";
  if (failing.length > 0) return `${clean(failing[0].name, 40)}: ${clean(failing[0].failing, 120)}; ${wait}`;
  const last = parsed(messages?.last);
  return last === null ? `${names}: ${wait}` : `${names}: last ${moment(last)}, ${wait}`;
}

/** Whether somebody has seen what is critical, and who is told if not. */
export function alarmWords(alarm) {
  const seen = alarm.acknowledged;
  if (seen) {
    const at = parsed(seen.at);
    return `Acknowledged ${at === null ? "" : `at ${moment(at)} `}${clean(seen.by, 40)}.`;
  }
  if (!alarm.next) return "Nobody has said yet that they have seen this.";
  return `${clean(alarm.next.to, 60)} is told in ${span(alarm.next.in_s)}, unless somebody has seen it.`;
}

const UNLINKED = ["absent", "no_carrier", "switched_off", "no_address", "no_gateway", "in_vrf"];

export function heroNext(s) {
  const name = (u) => called(u.name);
  const first = s.uplinks[0];
  const soon = s.uplinks.find((u) => u.role !== "paused" && !u.draining && typeof u.next_in_s === "number");
  if (soon) return `${name(soon)} ${takesOver(left(`${soon.name}/next`))}`;
  if (!s.works) return "All are retried every second; the first that answers is used";
  const drains = s.uplinks.find((u) => u.draining?.flows > 0);
  if (drains) return drainWords(drains);
  if (first.role === "not_ready" || (first.role === "ready" && !isReady(first)))
    return UNLINKED.includes(first.condition)
      ? `${name(first)} is checked as soon as it is connected`
      : `${name(first)} is used again after it passes all checks`;
  if (first.role === "paused") {
    const seconds = left(`${first.name}/next`);
    return seconds === null
      ? `${name(first)} stays paused until it is resumed`
      : `${name(first)} is used again in ${span(seconds)}`;
  }
  const [spare, second] = s.uplinks.filter(isReady);
  if (!spare) return s.uplinks.length > 1 ? "If it fails, nothing else is ready" : "There is no other uplink";
  return `If it fails, ${name(spare)} takes over${second ? `, then ${name(second)}` : ""}`;
}

function drainWords(u) {
  const { flows } = u.draining;
  const words = `${counted(flows, "old connection")} ${flows === 1 ? "finishes" : "finish"} on ${called(u.name)}`;
  const time = left(`${u.name}/drain`);
  return time === null ? words : `${words}, at most ${span(time)} more`;
}

/** Which spares are ready, by name where these fit; of many, how many. */
export function spareNames(s) {
  const others = s.uplinks.filter((u) => u.role !== "active").length;
  const names = s.uplinks.filter(isReady).map((u) => called(u.name)).join(", ");
  if (!names) return others ? `none of ${others}` : "none";
  return names.length <= 18 ? names : `${s.spares_ready} of ${others}`;
}

/** What is said where no spare is ready; those that are need no words, what happens next names them. */
export function spareWords(s) {
  if (!s.works || s.uplinks.some(isReady)) return "";
  const others = s.uplinks.filter((u) => u.role !== "active");
  const more = others.length > 3 ? ` and ${others.length - 3} more` : "";
  const each = others.slice(0, 3).map((u) => `${called(u.name)} (${standing(u, s)[0].toLowerCase()})`);
  return others.length ? `No spare is ready: ${each.join(", ")}${more}` : "No spare is ready";
}

export function flowWords(u) {
  if (!u.draining) return typeof u.flows === "number" ? String(u.flows) : "–";
  const time = left(`${u.name}/drain`);
  return `${u.draining.flows}, ${bytes(u.draining.bytes)}, ${time === null ? "until they end" : `${span(time)} left`}`;
}
