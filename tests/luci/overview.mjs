// The box of the overview, in each state that a person can meet.

import assert from "node:assert/strict";
import { HOSTILE } from "../page/hostile.mjs";
import { STATES, halves, status, uplink } from "../page/states.mjs";
import { HOME, boxWith, meet } from "./meet.mjs";

const OFF = HOME.map(([type, name, options]) => [type, name, type === "sparelink" ? { ...options, enabled: "0" } : options]);
const page = ["http://192.168.77.1:8300/"];

async function see(answer, sections = HOME) {
  const box = boxWith(sections, answer === undefined ? {} : { "sparelink status": answer });
  const luci = meet(box);
  await luci.include("90_sparelink");
  const rows = luci.all("tr.tr").slice(1).map((row) => row.children.map((cell) => cell.textContent));
  return { ...luci, rows, box };
}
const of = (state, more = {}) => ({ ...STATES[state]().status, page, ...more });

export const overview = {
  "all is well": async () => {
    const { text, rows, all } = await see(of("ok"));
    assert.match(text(), /Internet works, on cable/);
    assert.deepEqual(rows.map((row) => row[0]), ["cableeth1", "mifiusb0 · metered", "phonewlan0 · metered"]);
    assert.deepEqual(rows.map((row) => row[1]), ["In use", "Ready", "Ready"]);
    assert.deepEqual(rows.map((row) => row[2]), ["11 ms", "46 ms", "61 ms"]);
    assert.match(rows[0][3], /^in use since /);
    assert.match(rows[1][3], /^passed 2 min ago$/);
    assert.equal(all("a").find((a) => a.getAttribute("href").startsWith("http"))?.getAttribute("href"), page[0]);
  },

  "on the spare, which is metered": async () => {
    const { text, rows } = await see(of("backup"));
    assert.match(text(), /Internet works, on mifi: no Internet behind the modem of cable/);
    assert.match(rows[0][1], /^DownNo Internet behind the modem \(the modem itself answers\) · retried every second/);
    assert.equal(rows[0][2], "–");
    assert.match(rows[1][0], /metered/);
    assert.match(rows[1][1], /^In use/);
  },

  "no Internet": async () => {
    const { text, rows } = await see(of("none"));
    assert.match(text(), /No Internet: no Internet behind the modem of cable/);
    assert.deepEqual(rows.map((row) => row[2]), ["–", "–", "–"]);
    assert.match(rows[1][1], /^Not connectedIs not plugged in/);
    assert.doesNotMatch(text(), /No spare is ready/, "it is told already that nothing works");
  },

  "only one IP version works": async () => {
    const { status } = halves();
    const { rows } = await see({ ...status, page });
    assert.match(rows[1][1], /^In use, IPv4/);
    assert.equal(rows[1][2], "46 ms");
    assert.match(rows[2][1], /^IPv6 down.*\(IPv6 only\)/);
    status.uplinks[1].v4.health = "down";
    const { rows: control } = await see({ ...status, page });
    assert.match(control[1][1], /^Down/);
    assert.equal(control[1][2], "–");
  },

  "a sign-in page": async () => {
    const { text, rows } = await see(of("portal"));
    assert.ok(rows.some((row) => row[1].startsWith("Sign-in page")), text());
  },

  "paused, and preferred by hand": async () => {
    const { rows } = await see(of("paused"));
    assert.ok(rows.some((row) => row[1].startsWith("Paused")));
    const { text } = await see(of("manual"));
    assert.match(text(), /is preferred by hand/);
  },

  "a single uplink": async () => {
    const one = uplink("cable", { role: "active", reason: "works" });
    const { text, rows } = await see(status([one], { redundancy: "ok", page: [], spares_ready: 0 }));
    assert.equal(rows.length, 1);
    assert.match(text(), /There is no other uplink\./);
    assert.doesNotMatch(text(), /own page/, "it has none");
  },

  "no spare, and an alarm": async () => {
    const s = of("ok");
    Object.assign(s.uplinks[1], { role: "not_ready", condition: "portal" });
    Object.assign(s.uplinks[2], { role: "not_ready", condition: "absent" });
    s.messages.alarm = { title: "No Internet", at: null, acknowledged: null, next: { to: "gotify (gotify.lan)", in_s: 240 } };
    const { text, all } = await see(s);
    assert.match(text(), /No spare is ready\./);
    assert.equal(all("[role=\"alert\"]")[0].textContent, "No Internet – if nobody says that they have seen this, gotify (gotify.lan) is told in 4 min.");
    s.messages.alarm.acknowledged = { at: null, by: "by the link in ntfy" };
    assert.match((await see(s)).text(), /No Internet – acknowledged by the link in ntfy\./);
  },

  "only watching": async () => {
    assert.match((await see(of("observing", { observing: true }))).text(), /Observing only: nothing is changed/);
  },

  "switched off and no answer are two different things": async () => {
    const off = await see(undefined, OFF);
    assert.match(off.text(), /sparelink is switched off: nothing watches the uplinks/);
    assert.equal(off.all("a")[0].getAttribute("href"), "/cgi-bin/luci/admin/network/sparelink");
    const dead = await see(undefined);
    assert.match(dead.text(), /switched on but does not answer: its agent is not running/);
    assert.doesNotMatch(dead.text(), /switched off/);
    // No enabled at all is off; a file that nobody may read says nothing.
    const bare = HOME.map(([type, name, { enabled, ...options }]) => [type, name, options]);
    assert.match((await see(undefined, bare)).text(), /is switched off/);
    assert.match((await see(undefined, null)).text(), /sparelink does not answer/);
  },

  "what answers is shown, whatever the file says": async () => {
    assert.match((await see(of("ok"), OFF)).text(), /Internet works, on cable/);
  },

  "numbers and nonsense of the bus are no status": async () => {
    for (const answer of [4, 6, null, "x", [], {}, { uplinks: [] }, { sentence: "x" }])
      assert.match((await see(answer)).text(), /does not answer/, JSON.stringify(answer));
    assert.match((await see(of("ok", { uplinks: [] }))).text(), /The configuration names no uplink/);
  },

  "no answer is asked again": async () => {
    const box = boxWith();
    const luci = meet(box);
    const again = await luci.include("90_sparelink");
    assert.match(luci.text(), /does not answer/);
    box.answers["sparelink status"] = of("ok");
    await again();
    assert.match(luci.text(), /Internet works, on cable/);
  },

  "hostile names are text": async () => {
    for (const name of HOSTILE.filter((text) => text.length < 64).slice(0, 60)) {
      const bad = uplink(name, { interface: name, reason: name, next: name, condition: "portal", role: "not_ready" });
      const s = status([uplink("cable", { role: "active" }), bad], { page: [`javascript:${name}`], sentence: name, manual: name });
      s.messages.alarm = { title: name, at: null, acknowledged: { at: null, by: name }, next: null };
      const { all } = await see(s);
      // The stand-in keeps what was set as HTML: LuCI's own titles may be, nothing from outside.
      const html = all("td, th, span, strong, bdi, p, a, div, h3").filter((node) => node.html !== "");
      assert.deepEqual(html.map((node) => node.html), ["Internet uplinks"]);
      assert.ok(!all("a").some((a) => /^javascript/i.test(a.getAttribute("href"))));
    }
  },
};
