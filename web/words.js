// What is said, and how: the agent's words, numbers with units, and how long ago.

import { left, moment, page, parsed, passed } from "/page.js";

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

export function ago(seconds) {
  return seconds < 60 ? "less than a minute ago" : `${span(seconds)} ago`;
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
  return `${value < 9.95 ? Math.round(value * 10) / 10 : Math.round(value)} ${unit}`;
}

export const counted = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const CONDITIONS = {
  ok: "works",
  degraded: "loses packets",
  portal: "sign-in page",
  dns_broken: "names fail (DNS)",
  beyond_modem: "only up to the modem",
  modem_silent: "modem is silent",
  no_gateway: "no gateway",
  no_address: "no address",
  no_carrier: "not connected",
  absent: "not plugged in",
};

/** The tag of an uplink: its words, icon and tone. */
export function standing(u, s) {
  if (u.role === "active") {
    const apart = s.active && s.active6 && s.active !== s.active6;
    const word = apart ? `In use, ${s.active === u.name ? "IPv4" : "IPv6"}` : "In use";
    if (u.health === "down") return ["Down", "bad", "bad"];
    const fine = u.health === "up" && u.condition === "ok";
    return [word, "run", fine && s.uplinks[0] === u ? "good" : "warn"];
  }
  if (u.role === "ready") return ["Ready", "ok", "good"];
  if (u.role === "paused") return ["Paused", "pause", "idle"];
  if (u.condition === "portal") return ["Sign-in page", "warn", "warn"];
  if (u.condition === "absent" || u.condition === "no_carrier" || u.carrier === false)
    return ["Not connected", "none", "idle"];
  if (u.health === "down") return ["Down", "bad", "bad"];
  return [u.condition === "degraded" ? "Not ready" : "Being proven", "wait", "idle"];
}

/** How far a line reaches: state and words. */
export function reach(l, quiet) {
  if (!l) return ["none", quiet ? "none" : "not yet"];
  const why = CONDITIONS[l.condition] ?? clean(l.condition, 40);
  if (l.health === "up") return l.condition === "ok" ? ["ok", "works"] : ["warn", why];
  if (l.health === "down") return ["bad", l.condition === "ok" ? "down" : why];
  if (l.condition !== "ok") return ["wait", why];
  return ["wait", l.health === "failing" ? "suspected" : "being proven"];
}

// The agent's own count at the end of a text, replaced by one that runs.
export const COUNT = /( in | at most )[\d.]+ (?:ms|s|min|h|days)( more)?$/;

export function withCountdown(text, seconds) {
  const said = clean(text);
  if (seconds === null) return page.live === "no" ? said.replace(COUNT, "").replace(/,$/, "") : said;
  if (seconds < 1) return said.replace(COUNT, (_, before) => (before === " in " ? " now" : " a moment more"));
  return said.replace(COUNT, (_, before, after = "") => `${before}${span(seconds)}${after}`);
}

export function nextOf(u, s) {
  if (u.role === "paused") {
    if (typeof u.next_in_s !== "number") return "Stays aside until someone resumes it";
    const until = parsed(u.paused_until);
    return `${sentence(withCountdown(u.next, left(`${u.name}/next`)), [])}${until === null ? "" : `, at ${moment(until)}`}`;
  }
  if (u.next) return sentence(withCountdown(u.next, left(`${u.name}/next`)), []);
  if (u.role === "active") return "Stays in use as long as it works";
  const firstSpare = s.uplinks.find((other) => other.role === "ready") === u;
  return firstSpare
    ? `Takes over if ${clean(s.active ?? s.active6 ?? "the one in use")} fails`
    : "Takes over if those before it fail";
}

/** The sentence in two parts: what is, with since when, and why. */
export function headline(s) {
  const text = clean(s.sentence, 1200);
  const lead = s.works ? `Internet works, on ${clean(s.active ?? s.active6)}` : "No Internet";
  const rest = text.slice(lead.length);
  if (!text.startsWith(lead) || !(rest === "" || rest.startsWith(": "))) return [text, ""];
  const since = parsed(s.since);
  return [since === null ? lead : `${lead} since ${moment(since)}`, rest.slice(2)];
}

export function heroNext(s) {
  const name = (u) => called(u.name);
  const counts = (u) => left(`${u.name}/next`) !== null;
  const first = s.uplinks[0];
  const soon = s.uplinks.find((u) => u.role !== "paused" && !u.draining && counts(u));
  if (soon) return `${name(soon)} ${withCountdown(soon.next, left(`${soon.name}/next`))}`;
  if (!s.works) return "All are asked again and again; the first that answers is used";
  const drains = s.uplinks.find((u) => u.draining?.flows > 0);
  if (drains) return drainWords(drains);
  if (first.role === "not_ready" && first.next) return `${name(first)}: ${clean(first.next)}`;
  if (first.role === "paused")
    return counts(first)
      ? `${name(first)} ${withCountdown(first.next, left(`${first.name}/next`))}`
      : `${name(first)} stays aside until someone resumes it`;
  const spare = s.uplinks.find((u) => u.role === "ready");
  if (!spare) return s.uplinks.length > 1 ? "If it fails, nothing else is ready" : "There is no other uplink";
  return `If it fails, ${name(spare)} takes over`;
}

function drainWords(u) {
  const { flows } = u.draining;
  const words = `${counted(flows, "old flow")} ${flows === 1 ? "finishes" : "finish"} on ${called(u.name)}`;
  const time = left(`${u.name}/drain`);
  return time === null ? words : `${words}, at most ${span(time)} more`;
}

export function spareCount(s) {
  const others = s.uplinks.filter((u) => u.role !== "active").length;
  return others ? `${s.spares_ready || "none"} of ${others}` : "none";
}

export function spareWords(s) {
  if (!s.works) return "";
  const ready = s.uplinks.filter((u) => u.role === "ready");
  const others = s.uplinks.filter((u) => u.role !== "active");
  const more = (list) => (list.length > 3 ? ` and ${list.length - 3} more` : "");
  if (ready.length) {
    const each = ready
      .slice(0, 3)
      .map(
        (u) =>
          called(u.name) +
          (typeof u.proven_s_ago === "number" ? `, proven ${ago(passed(u.proven_s_ago))}` : ""),
      );
    return `Ready to take over: ${each.join("; ")}${more(ready)}`;
  }
  const each = others.slice(0, 3).map((u) => `${called(u.name)} (${standing(u, s)[0].toLowerCase()})`);
  return others.length ? `No spare is ready: ${each.join(", ")}${more(others)}` : "No spare is ready";
}

export function flowWords(u) {
  if (!u.draining) return typeof u.flows === "number" ? String(u.flows) : "–";
  const time = left(`${u.name}/drain`);
  return `${u.draining.flows}, ${bytes(u.draining.bytes)}, ${time === null ? "until they end" : `${span(time)} left`}`;
}

export function soonest(s) {
  const all = s.uplinks
    .filter((u) => !u.draining && u.role !== "paused")
    .map((u) => left(`${u.name}/next`))
    .filter((seconds) => seconds !== null);
  return all.length ? Math.min(...all) : null;
}
