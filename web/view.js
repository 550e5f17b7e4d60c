// What is drawn at each status: the sentence, the chain, the box.

import { $, cells, icon, keyed, make, put, set, show } from "/nodes.js";
import { SECONDS, boxNow, left, moment, page, parsed, passed, steady } from "/page.js";
import { outages, recorded } from "/record.js";
import {
  alarmWords,
  because,
  bytes,
  called,
  clean,
  counted,
  flowWords,
  headline,
  heroNext,
  isFine,
  lasted,
  manualWords,
  trialWords,
  median,
  messageWords,
  nextOf,
  noteWords,
  number,
  reach,
  sentence,
  shortAgo,
  span,
  spareNames,
  spareWords,
  standing,
  whyOf,
} from "/words.js";

const ICONS = { good: "/icon.svg", warn: "/icon-warn.svg", bad: "/icon-bad.svg", idle: "/icon-idle.svg" };

export function renderHero(s) {
  const first = s.uplinks[0];
  const onFirst = first && (s.active ?? s.active6) === first.name;
  const split = s.active && s.active6 && s.active !== s.active6;
  const calm = onFirst && !split && s.spares_ready > 0;
  const calls = s.uplinks.filter((u) => u.role !== "paused");
  // Just begun: what is not proven yet is not dead. Where one is known to be, it is an outage.
  const begins =
    !s.works &&
    calls.some((u) => u.health === "unknown" && u.condition === "ok") &&
    !calls.some((u) => u.health === "down");
  const [sign, tone] = s.works
    ? calm
      ? ["ok", "good"]
      : ["warn", "warn"]
    : begins
      ? ["wait", "idle"]
      : ["bad", "bad"];
  set($("hero"), "data-tone", page.live === "no" ? "idle" : tone);
  set($("hero-icon"), "href", page.live === "no" ? "#i-wait" : `#i-${sign}`);
  const { what, head } = headline(s);
  const why = because(s);
  put($("head"), head);
  const said = why || spareWords(s);
  put($("because"), said);
  show($("because"), said !== "");
  show($("manual"), Boolean(s.manual));
  put($("manual-words"), manualWords(s));
  show($("trial"), Boolean(s.settings?.trial));
  put($("trial-words"), trialWords(s, left("trial")));
  // What setup tries only the box itself can undo.
  show($("trial-undo"), s.settings?.trial?.of === "page");
  show($("observing"), s.observing === true);
  const alarm = s.messages?.alarm;
  show($("alarm"), Boolean(alarm));
  put($("alarm-words"), alarm ? alarmWords(alarm) : "");
  show($("seen"), Boolean(alarm) && !alarm.acknowledged);
  put($("next"), s.uplinks.length ? heroNext(s) : "The configuration names no uplink");
  // Read aloud only when it says something else, not when a count in it moves.
  put($("spoken"), why ? `${what}. ${why}` : what);
  const title = `${page.live === "no" ? "Not connected" : `${s.works ? "" : "✕ "}${head}`} · sparelink`;
  if (document.title !== title) document.title = title;
  // Among many tabs only this is seen of the page.
  set($("favicon"), "href", page.live === "no" ? "/icon-idle.svg" : ICONS[tone]);
  renderFacts(s);
}

function renderFacts(s) {
  fact("fact-spares", spareNames(s), s.works && !s.spares_ready ? "warn" : "");
  const last = s.last_switch;
  const at = parsed(last?.at);
  const felt =
    typeof last?.felt_ms === "number" ? `${at === null ? "" : ", "}${span(last.felt_ms / 1000)} interruption` : "";
  fact("fact-switch", last ? `${at === null ? "" : moment(at)}${felt}` || "yes" : "none");
  const lost = outages();
  const total = lost.reduce((sum, o) => sum + o.from_s_ago - o.to_s_ago, 0);
  fact(
    "fact-outage",
    lost.length ? lasted(total) : recorded() < 60 ? "–" : "none",
    lost.length ? "warn" : "",
  );
}

function fact(id, text, tone = "") {
  put($(id).lastElementChild, text);
  set($(id), "data-tone", tone);
}

/** From this many on a phone needs a way to them; fewer are in sight. */
const MANY = 5;

export function renderPills(s) {
  set($("pills"), "data-few", s.uplinks.length < MANY ? "" : null);
  const create = () => {
    const li = make("li");
    const link = make("a");
    link.append(icon(), make("bdi"), make("span", "unseen"));
    li.append(link);
    return li;
  };
  keyed(
    $("pills"),
    s.uplinks,
    (u) => u.name,
    create,
    (li, u, index) => {
      const [word, sign, tone] = standing(u, s);
      const [svg, name, more] = li.firstChild.children;
      set(li.firstChild, "href", `#uplink-${index + 1}`);
      set(li.firstChild, "data-tone", tone);
      set(svg.firstChild, "href", `#i-${sign}`);
      put(name, called(u.name));
      put(more, `: ${word}`);
    },
  );
}

export function renderChain(s) {
  keyed(
    $("cards"),
    s.uplinks,
    (u) => u.name,
    makeCard,
    (card, u, index) => fillCard(card, u, index, s),
  );
}

function makeCard() {
  const card = $("card").content.firstElementChild.cloneNode(true);
  const f = (card.fields = {});
  for (const node of card.querySelectorAll("[data-f]")) f[node.dataset.f] = node;
  for (const [key, family] of [
    ["link", ""],
    ["a4", "v4"],
    ["a6", "v6"],
    ["n4", "v4"],
    ["n6", "v6"],
  ]) {
    f[key].append(icon(), make("span", "fam", family), make("bdi"));
  }
  f.opener.addEventListener("click", () => {
    const open = f.more.hidden;
    show(f.more, open);
    set(f.opener, "aria-expanded", open);
    set(card, "data-open", open ? "" : null);
    fillMore(card);
  });
  return card;
}

function line(dd, state, text) {
  set(dd, "data-s", state);
  set(dd.firstChild.firstChild, "href", `#i-${state}`);
  put(dd.lastChild, text);
}

function fillCard(card, u, index, s) {
  card.uplink = u;
  const f = card.fields;
  const name = called(u.name);
  const [word, , tone] = standing(u, s);
  set(card, "id", `uplink-${index + 1}`);
  set(card, "data-tone", tone);
  set(card, "data-role", u.role);
  put(f.nr, String(index + 1));
  put(f.name, name);
  put(f.tag, word);
  const names = s.uplinks.map((other) => other.name);
  const why = sentence(whyOf(u), names);
  put(f.why, why);
  // What the tag says already is not said again.
  show(f.why, why !== "" && why !== word);
  fillNote(f, u);
  fillLadder(f, u);
  // They are those of IPv4 where there is one.
  const lives = alive(u.v4 ?? u.v6 ?? u, u);
  put(f.rtt, number(lives.rtt_ms, "ms"));
  put(f.loss, number(lives.loss_pct, "%"));
  set(f.loss, "data-tone", lives.loss_pct >= 20 ? "bad" : lives.loss_pct >= 3 ? "warn" : "");
  put(f.proven, typeof u.proven_s_ago === "number" ? shortAgo(passed(u.proven_s_ago)) : "not yet");
  put(f["flows-word"], u.draining ? "Old connections" : "Connections");
  put(f.flows, flowWords(u));
  const data =
    typeof u.rx_bytes === "number" ? `${bytes(u.rx_bytes)} down, ${bytes(u.tx_bytes ?? 0)} up` : "–";
  put(f.data, u.metered ? `metered · ${data}` : data);
  put(f.probing, typeof u.probe_bytes_month === "number" ? `${bytes(u.probe_bytes_month)} a month` : "–");
  put(f.next, sentence(nextOf(u), []));
  show(f.next.parentNode, f.next.textContent !== "");
  const paused = u.role === "paused";
  put(f["pause-word"], paused ? "Resume" : "Pause");
  for (const node of card.querySelectorAll(".acts .unseen, .opener .unseen")) put(node, ` ${name}`);
  fillStrip(f, u);
  fillMore(card);
}

/** What a person wrote of it, and whom to call while something is wrong. */
function fillNote(f, u) {
  const words = noteWords(u);
  put(f.noted, words);
  show(f.noted, words !== "");
  const { name, phone } = u.provider ?? {};
  const wanted = Boolean(name) && !isFine(u);
  show(f.provider, wanted);
  const [who, call] = f.provider.children;
  put(who, wanted ? clean(name, 64) : "");
  put(call, wanted && phone ? clean(phone, 64) : "");
  set(call, "href", wanted && phone ? `tel:${phone.replace(/[^+\d]/g, "")}` : null);
}

/** The figures of a line, or of an uplink by it; a dead one has none, whatever was measured before. */
const alive = (line, of = line) => (line.health === "down" ? {} : of);

function fillLadder(f, u) {
  const absent = u.condition === "absent";
  const carrier = u.carrier ?? !(absent || ["no_carrier", "switched_off"].includes(u.condition));
  const place = [clean(u.interface, 64), u.ssid ? `“${clean(u.ssid, 64)}”` : ""].filter(Boolean).join(" · ");
  const linkWord = carrier
    ? place
    : `${place ? `${place}: ` : ""}${absent ? "not plugged in" : u.condition === "switched_off" ? "switched off" : "no carrier"}`;
  line(f.link, carrier ? "ok" : "bad", linkWord || "–");
  const any = Boolean(u.v4 || u.v6);
  for (const [family, address, net] of [
    ["v4", f.a4, f.n4],
    ["v6", f.a6, f.n6],
  ]) {
    const l = u[family];
    line(
      address,
      l ? "ok" : carrier && !any && family === "v4" ? "bad" : "none",
      l ? clean(l.address, 64) : "none",
    );
    line(net, ...reach(l, any || !carrier));
  }
  put(
    f.hint,
    u.private_address ? "behind another router (NAT)" : u.v4 && u.private_address === false ? "public" : "",
  );
}

const EMPTY = [];
const numbers = (slots, key) => slots.map((slot) => slot[key]).filter((value) => typeof value === "number");
const mean = (values) => (values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);

/** The hour as paths, a unit wide for each minute: latency, what is below it, loss, and minutes without life. */
function stripPaths(strip) {
  const top = Math.max(10, ...numbers(strip, "rtt_ms")) * 1.15;
  const measured = (slot) => typeof slot?.rtt_ms === "number";
  let [rtt, area, lost, down] = ["", "", "", ""];
  strip.forEach((slot, i) => {
    const x = 60 - strip.length + i;
    if (measured(slot)) {
      const y = (38 - (34 * slot.rtt_ms) / top).toFixed(1);
      rtt += measured(strip[i - 1]) ? `L${x + 0.5} ${y}` : `M${x} ${y}H${x + 0.5}`;
      if (!measured(strip[i + 1])) rtt += `H${x + 1}`;
      area += `M${x} 40V${y}H${x + 1}V40Z`;
    }
    if (slot.up === false) down += `M${x} 0h1.02v40h-1.02Z`;
    else if (slot.loss_pct > 0) lost += `M${x} 40v${-Math.max(2.5, 0.4 * slot.loss_pct).toFixed(1)}h1V40Z`;
  });
  return { rtt, area, lost, down };
}

function fillStrip(f, u) {
  const strip = page.timeline?.uplinks?.find((other) => other.name === u.name)?.strip ?? EMPTY;
  if (f.strip.drawn === strip) return;
  f.strip.drawn = strip;
  const paths = stripPaths(strip);
  for (const path of f.strip.children) set(path, "d", paths[path.getAttribute("class")]);
  const rtt = numbers(strip, "rtt_ms");
  const range = rtt.length
    ? `${number(Math.min(...rtt), "ms")} to ${number(Math.max(...rtt), "ms")}`
    : "nothing measured";
  const loss = mean(numbers(strip, "loss_pct"));
  const silent = strip.filter((slot) => slot.up === false).length;
  put(f.range, range);
  const words = [`Latency of the last hour: ${range}`];
  if (loss !== null) words.push(`loss ${number(loss, "%")}`);
  if (silent) words.push(`down in ${counted(silent, "minute")}`);
  set(f.strip, "aria-label", words.join(", "));
}

function fillMore(card) {
  const { fields: f, uplink: u } = card;
  if (f.more.hidden) return;
  const pair = (label, of) => [label, ...[u.v4, u.v6].map((l) => (l ? of(l) : "–"))];
  cells(f.lines, [
    pair("health", (l) => clean(l.health, 20)),
    pair("gateway", (l) => clean(l.gateway ?? "none", 64)),
    pair("latency", (l) => number(alive(l).rtt_ms, "ms")),
    pair("jitter", (l) => number(alive(l).jitter_ms, "ms")),
    pair("loss", (l) => number(alive(l).loss_pct, "%")),
    pair("dead after", (l) =>
      typeof l.window_ms === "number" ? `${span(l.window_ms / 1000)} of silence` : "–",
    ),
    pair("short silences", (l) =>
      l.silences ? `${span(l.silences.longest_ms / 1000)}, every ${span(l.silences.every_s)}` : "none",
    ),
  ]);
  const strip = f.strip.drawn;
  const rows = [];
  for (let to = strip.length; to > 0; to -= 10) {
    const part = strip.slice(Math.max(0, to - 10), to);
    const up = part.map((slot) => slot.up).filter((value) => typeof value === "boolean");
    rows.push([
      `${strip.length - to} to ${strip.length - to + part.length}`,
      number(median(numbers(part, "rtt_ms")), "ms"),
      number(mean(numbers(part, "loss_pct")), "%"),
      up.length ? `${up.filter(Boolean).length} of ${up.length}` : "–",
    ]);
  }
  cells(f.hour, rows);
}

export function renderBox(s) {
  const now = boxNow();
  put($("host"), clean(s.host, 64));
  put($("box-version"), clean(s.version, 40));
  put($("box-clock"), now === null ? "not set yet" : SECONDS.format(now));
  put($("box-switches"), String(s.switches ?? "–"));
  const channels = s.messages?.channels ?? [];
  show($("told"), channels.length > 0);
  show($("tell"), channels.length > 0);
  put($("box-messages"), messageWords(s.messages));
  // What is right need not be read each time.
  const right = (name) => name.state === "right";
  const names = s.names ?? [];
  for (const [part, list] of [["named", names.filter(right)], ["unnamed", names.filter((name) => !right(name))]]) {
    show($(part), list.length > 0);
    keyed($(part).lastElementChild, list, (_, index) => index, () => make("p"), (p, name) => put(p, clean(name.text, 300)));
  }
  const costs = s.uplinks.map((u) => u.probe_bytes_month).filter((cost) => typeof cost === "number");
  const sum = costs.reduce((a, b) => a + b, 0);
  put($("box-cost"), costs.length ? `about ${bytes(sum)} a month on all uplinks, at this pace` : "–");
  put($("box-repairs"), String(s.repairs ?? "–"));
  put($("box-late"), number(s.loop_gap_ms, "ms"));
  // A box without a login lets nobody change anything from here.
  set(document.body, "data-reading", s.login === null ? "only" : null);
  const needed = s.login?.needed !== false;
  show($("login"), needed);
  show($("settings"), s.settings?.can === true);
  // A box without LEDs has none to test; one that says nothing of them may have some.
  show($("led"), s.leds?.length !== 0);
  put($("login"), page.loggedIn ? "Log out" : "Log in");
  // Who can press them sees the buttons at once; for the others they are behind More.
  set(document.body, "data-in", page.loggedIn || !needed ? "" : null);
}

export function renderLive() {
  const { live, status } = page;
  set(document.body, "data-live", live);
  const at = parsed(status?.time);
  const since = at === null ? "" : ` since ${moment(at, SECONDS)}`;
  put(
    $("live-word"),
    live === "yes" ? "live" : live === "no" ? `Not connected to the box${since}.` : "connecting",
  );
  const age = Math.floor((steady() - page.heard) / 1000);
  put($("live-age"), live === "no" && status ? `What you see is ${span(age)} old.` : "");
  for (const button of document.querySelectorAll("main button[data-act], #auto, #led, #trial button")) {
    const off = live !== "yes" || button.dataset.busy !== undefined;
    if (button.disabled !== off && button !== document.activeElement) button.disabled = off;
    set(button, "aria-disabled", off ? "true" : null);
  }
}
