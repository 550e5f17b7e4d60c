// What can be set: shown as the file has it, tried, and confirmed or undone. Fetched when somebody opens it.

import { $, make, put, set, show } from "/nodes.js";
import { fetchSettings, post, say, steer } from "/steer.js";
import { called } from "/words.js";

const KINDS = { wired: "cable, fibre or DSL", wifi: "Wi-Fi", cellular: "mobile network" };
const MIN = { notice: "each switch", warning: "from warnings on", critical: "no Internet only" };
const PROVIDER = { name: "provider", account: "your number there", phone: "telephone", monthly: "a month, as 39.90 EUR" };
const LOOK = 5000; // so often it is looked whether somebody edited the file

let dialog = null;
let base = null; // what the file has, and which file that is
let look = 0;

const copy = (value) => structuredClone(value);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** What can be wanted, of what there is. */
const wantedOf = (s) => ({
  uplinks: s.uplinks.map((u) => ({ was: u.name, ...copy(u) })),
  hold: s.hold,
  notify: s.notify.map((c, was) => ({ was, min: c.min, quiet: c.quiet })),
  leds: { status: s.leds.status, uplinks: Object.fromEntries(s.uplinks.map((u) => [u.name, s.leds.uplinks[u.name] ?? ""])) },
});

let wanted = null; // what the person wants; drawn from it, and changed by what they do

/** What a person changed, put onto what the file has now. */
function rebase(mine, before, next) {
  const was = wantedOf(before);
  const now = wantedOf(next);
  const pick = (mine, was, now) => (same(mine, was) ? now : mine);
  const by = (list, name) => list.find((u) => u.was === name);
  const order = (list) => list.map((u) => u.was);
  const known = order(mine.uplinks).filter((name) => by(now.uplinks, name));
  const added = order(now.uplinks).filter((name) => !known.includes(name));
  const names = same(order(mine.uplinks), order(was.uplinks)) ? order(now.uplinks) : [...known, ...added];
  const uplinks = names.map((name) => {
    const [m, w, n] = [by(mine.uplinks, name), by(was.uplinks, name), by(now.uplinks, name)];
    if (!m || !w) return n;
    return Object.fromEntries(Object.keys(n).map((key) => [key, pick(m[key], w[key], n[key])]));
  });
  const channels = same(before.notify.map((c) => c.to), next.notify.map((c) => c.to));
  const fresh = mine.notify.filter((c) => c.was === undefined);
  const leds = Object.fromEntries(names.map((name) => [name, pick(mine.leds.uplinks[name], was.leds.uplinks[name], now.leds.uplinks[name])]));
  return {
    uplinks,
    hold: pick(mine.hold, was.hold, now.hold),
    notify: channels ? pick(mine.notify, was.notify, now.notify) : [...now.notify, ...fresh],
    leds: { status: pick(mine.leds.status, was.leds.status, now.leds.status), uplinks: leds },
  };
}

function field(label, input) {
  const line = make("label", "field");
  line.append(make("span", "", label), input);
  return line;
}

function input(value, change, { list = null, hint = "", type = "text" } = {}) {
  const node = make("input");
  node.type = type;
  node.value = value ?? "";
  node.autocomplete = "off";
  node.maxLength = 400;
  if (hint) node.placeholder = hint;
  if (list) node.setAttribute("list", list);
  node.addEventListener("input", () => {
    change(node.value.trim());
    unsure();
  });
  return node;
}

function select(value, words, change) {
  const node = make("select");
  for (const [key, text] of Object.entries(words)) {
    const option = make("option", "", text);
    option.value = key;
    node.append(option);
  }
  node.value = value;
  node.addEventListener("change", () => {
    change(node.value);
    unsure();
  });
  return node;
}

function button(text, work, { name = "", className = "small" } = {}) {
  const node = make("button", className, text);
  node.type = "button";
  if (name) node.append(make("span", "unseen", ` ${name}`));
  node.addEventListener("click", () => work(node));
  return node;
}

/** What is shown of a difference is of a moment ago. */
function unsure() {
  show($("set-difference"), false);
  put($("set-do"), "Show what changes");
  $("set-do").dataset.step = "preview";
  put($("set-error"), "");
}

function move(from, to) {
  if (to < 0 || to >= wanted.uplinks.length || from === to) return;
  wanted.uplinks.splice(to, 0, ...wanted.uplinks.splice(from, 1));
  unsure();
  drawUplinks();
}

function drawUplinks() {
  const list = $("set-uplinks");
  list.replaceChildren(
    ...wanted.uplinks.map((u, at) => {
      const item = make("li");
      item.draggable = true;
      item.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", String(at)));
      item.addEventListener("dragover", (event) => event.preventDefault());
      item.addEventListener("drop", (event) => {
        event.preventDefault();
        const from = Number.parseInt(event.dataTransfer.getData("text/plain"), 10);
        if (Number.isInteger(from)) move(from, at);
      });
      // Text in a field is marked with the mouse, too.
      item.addEventListener("pointerdown", (event) => {
        item.draggable = !event.target.closest("input, select");
      });
      const metered = make("label", "check");
      const box = make("input");
      box.type = "checkbox";
      box.checked = u.metered;
      box.addEventListener("change", () => {
        u.metered = box.checked;
        unsure();
      });
      metered.append(box, " metered (data is limited or costs money)");
      const acts = make("p", "acts");
      const step = (text, to) => {
        const node = button(text, () => {
          move(at, to);
          list.children[to]?.querySelector("button")?.focus();
        }, { name: called(u.was) });
        node.disabled = to < 0 || to >= wanted.uplinks.length;
        return node;
      };
      acts.append(step("Up", at - 1), step("Down", at + 1));
      const more = make("details");
      more.append(make("summary", "", "Provider"));
      for (const [key, words] of Object.entries(PROVIDER)) {
        more.append(field(words, input(u.provider[key], (value) => (u.provider[key] = value))));
      }
      item.append(
        make("b", "nr", String(at + 1)),
        field("name", input(u.name, (value) => (u.name = value))),
        field("kind", select(u.kind, KINDS, (value) => (u.kind = value))),
        metered,
        acts,
        more,
      );
      return item;
    }),
  );
}

function drawChannels() {
  $("set-channels").replaceChildren(
    ...wanted.notify.map((channel, at) => {
      const had = base.settings.notify[channel.was];
      const item = make("li");
      item.append(
        had
          ? make("b", "", had.to)
          : field("where to", input(channel.to, (value) => (channel.to = value), { hint: "ntfy://ntfy.sh/TOPIC" })),
        field("tells", select(channel.min, MIN, (value) => (channel.min = value))),
        field("quiet hours", input(channel.quiet, (value) => (channel.quiet = value), { hint: "22:00-07:00" })),
      );
      const acts = make("p", "acts");
      if (had) {
        acts.append(
          button("Send a test", async (node) => {
            node.disabled = true;
            const answer = await post("notify/test", { channel: had.name });
            node.disabled = false;
            put($("set-error"), answer.ok ? "" : answer.text);
            if (answer.ok) say(answer.text);
          }, { name: had.to }),
        );
      }
      acts.append(
        button("Remove", () => {
          wanted.notify.splice(at, 1);
          unsure();
          drawChannels();
        }, { name: had?.to ?? "the new one" }),
      );
      item.append(acts);
      return item;
    }),
  );
}

function drawLeds() {
  const { leds } = wanted;
  $("set-leds").replaceChildren(
    field("status LED", input(leds.status, (value) => (leds.status = value), { list: "set-led-names", hint: "the board’s" })),
    ...wanted.uplinks.map((u) =>
      field(u.was, input(leds.uplinks[u.was], (value) => (leds.uplinks[u.was] = value), { list: "set-led-names", hint: "the board’s" })),
    ),
  );
  const options = base.leds.map((name) => {
    const option = make("option");
    option.value = name;
    return option;
  });
  $("set-led-names").replaceChildren(...options);
}

function draw() {
  put($("set-file"), base.file);
  drawUplinks();
  drawChannels();
  drawLeds();
  $("set-hold").value = wanted.hold;
}

/** What the file has, asked anew; what the person has changed stays. */
async function refresh() {
  const answer = await fetchSettings();
  if (!answer.ok) return answer;
  const fresh = answer.body;
  if (base && fresh.revision === base.revision) return answer;
  const was = base;
  base = fresh;
  wanted = was ? rebase(wanted, was.settings, fresh.settings) : wantedOf(fresh.settings);
  draw();
  unsure();
  if (was) put($("set-news"), "The file was edited meanwhile. What you have changed here is kept; the rest is as the file has it now.");
  return answer;
}

function drawDifference(lines) {
  const words = { "+": "comes: ", "-": "goes: ", " ": "" };
  $("set-lines").replaceChildren(
    ...lines.map(({ sign, text }) => {
      const line = make("span", sign === "+" ? "comes" : sign === "-" ? "goes" : "");
      line.append(make("span", "unseen", words[sign]), `${sign} ${text}\n`);
      return line;
    }),
  );
  show($("set-difference"), true);
}

/** First what would change, then the change. */
async function submit(event) {
  event.preventDefault();
  const act = $("set-do");
  if (act.dataset.busy !== undefined) return;
  act.dataset.busy = "";
  put($("set-error"), "");
  const preview = act.dataset.step === "preview";
  const answer = await steer("settings", { revision: base.revision, settings: wanted, preview });
  delete act.dataset.busy;
  if (!answer) return;
  if (answer.status === 409) await refresh();
  if (!answer.ok) return put($("set-error"), answer.text);
  if (!answer.body.changes.length) return put($("set-error"), "Nothing is different from what the file has.");
  if (!preview) {
    dialog.close();
    say(answer.text);
    $("trial-keep").focus();
    return;
  }
  drawDifference(answer.body.difference);
  put(act, "Apply, and confirm within a minute");
  act.dataset.step = "apply";
  $("set-difference").scrollIntoView({ block: "nearest" });
}

async function setPassword() {
  put($("set-password-error"), "");
  const [current, password] = [$("set-current"), $("set-password")];
  const answer = await post("password", { current: current.value, password: password.value });
  put($("set-password-error"), answer.ok ? "The password is set; every other session has ended." : answer.text);
  if (answer.ok) [current.value, password.value] = ["", ""];
}

function build() {
  const sheet = make("link");
  [sheet.rel, sheet.href] = ["stylesheet", "/settings.css"];
  document.head.append(sheet);
  dialog = make("dialog", "settings");
  dialog.setAttribute("aria-labelledby", "set-title");
  const part = (title, ...nodes) => {
    const section = make("section");
    section.append(make("h3", "", title), ...nodes);
    return section;
  };
  const id = (tag, name, className = "") => Object.assign(make(tag, className), { id: name });
  const form = make("form");
  const hold = input("", (value) => (wanted.hold = value), { hint: "60s" });
  hold.id = "set-hold";
  const add = button("Add a channel", () => {
    wanted.notify.push({ to: "", min: "notice", quiet: "" });
    unsure();
    drawChannels();
    $("set-channels").lastChild.querySelector("input").focus();
  });
  const difference = id("div", "set-difference");
  const lines = Object.assign(id("pre", "set-lines"), { tabIndex: 0 });
  set(lines, "aria-label", "What changes in the file");
  difference.append(make("h3", "", "What changes in the file"), lines);
  const acts = make("p", "acts");
  const act = id("button", "set-do", "main");
  const close = button("Close", () => dialog.close(), { className: "" });
  acts.append(act, close);
  const news = Object.assign(id("p", "set-news", "news"), { role: "status" });
  const error = id("p", "set-error", "error");
  set(error, "role", "alert");
  const secret = (name, label, kind) => {
    const node = id("input", name);
    Object.assign(node, { type: "password", autocomplete: kind, maxLength: 256 });
    return field(label, node);
  };
  const told = id("p", "set-password-error", "error");
  set(told, "role", "status");
  const intro = make("p", "dim");
  intro.append("As in ", id("code", "set-file"), ". What you apply is in force at once, and undone after a minute unless you confirm it.");
  form.append(
    id("datalist", "set-led-names"),
    part("Uplinks, in order", make("p", "dim", "The first that works carries the traffic. Drag one, or use its buttons."), id("ol", "set-uplinks")),
    part("Going back", field("how long a better uplink must have been stable", hold)),
    part("Messages", id("ol", "set-channels"), add),
    part("LEDs", id("div", "set-leds")),
    difference,
    news,
    error,
    acts,
  );
  const password = part(
    "Password of this page",
    secret("set-current", "the present one", "current-password"),
    secret("set-password", "the new one (8 characters at least)", "new-password"),
    button("Set the password", setPassword),
    told,
  );
  const title = id("h2", "set-title");
  put(title, "Settings");
  dialog.append(title, intro, form, password);
  document.body.append(dialog);
  form.addEventListener("submit", submit);
  dialog.addEventListener("close", () => clearInterval(look));
}

/** Opens it, after a login. */
export async function openSettings() {
  if (!dialog) build();
  base = wanted = null;
  put($("set-news"), "");
  const answer = await refresh();
  if (!answer.ok) return answer.status === 401 ? null : say(answer.text, true);
  unsure();
  dialog.showModal();
  clearInterval(look);
  look = setInterval(refresh, LOOK);
}
