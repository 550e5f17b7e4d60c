// The form: what it shows, what it saves, and that nothing is applied that the agent would refuse.

import assert from "node:assert/strict";
import { STATES } from "../page/states.mjs";
import { HOME, RIGHT, boxWith, lineOf, meet, wrong } from "./meet.mjs";

/** Opens the form. `check` answers for the program; it is given the text. */
async function open({ sections = HOME, check = () => RIGHT, status = STATES.ok().status } = {}) {
  const box = boxWith(sections, { "luci.sparelink check": ({ text }) => check(text), "sparelink status": status });
  const luci = meet(box);
  const view = await luci.open("sparelink.chain");
  const press = (words, among) => luci.button(words, among).click();
  const asked = () => box.calls.filter(({ method }) => method === "check").map(({ params }) => params.text);
  return { ...luci, view, box, press, asked };
}

const saved = (box) => box.files.sparelink;
const message = (luci) => luci.all(".notification").map((node) => node.textContent).join("\n");
const uplinks = (box) => Object.values(saved(box)).filter((s) => s[".type"] === "uplink").map((s) => s[".name"]);

/** A program that does not like a value. */
const dislikes = (...pairs) => (text) => {
  const found = pairs.filter(([value]) => text.includes(value)).map(([value, said, hint]) => [lineOf(text, value), said, hint]);
  return found.length ? wrong(...found) : RIGHT;
};

export const chain = {
  "shows the chain, in its order and in words": async () => {
    const { rows, row, text, box } = await open();
    assert.deepEqual(rows().slice(0, 3), ["cable", "my_phone", "dsl"]);
    const cells = row("my_phone").children.map((cell) => cell.textContent);
    assert.deepEqual(cells.slice(0, 4), ["my-phone", "wwan", "mobile network", "Yes"]);
    assert.equal(row("cable").children[2].textContent, "cable, fibre or DSL (usual)");
    assert.match(row("cable").children[4].textContent, /^In use11 ms$/);
    assert.equal(row("dsl").children[4].textContent, "–", "the agent does not know it yet");
    assert.match(text(), /Internet works, on cable/);
    assert.equal(box.staged, 0, "looking changes nothing");
    assert.doesNotMatch(text(), /our-secret/, "a channel's secret is not read out");
  },

  "says when the agent does not answer, and asks again": async () => {
    const { text, box, polls, row } = await open({ status: 4 });
    assert.match(text(), /The agent does not answer/);
    box.answers["sparelink status"] = STATES.backup().status;
    assert.equal(polls.length, 1);
    await polls[0][0]();
    assert.match(text(), /Internet works, on mifi/);
    assert.match(row("cable").children[4].textContent, /^Down/);
  },

  "what is right is saved and applied": async () => {
    const luci = await open();
    luci.type("main", "hold", "5m");
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 1);
    assert.equal(saved(luci.box).main.hold, "5m");
    assert.equal(luci.asked().length, 1);
    assert.ok(luci.asked()[0].includes("\toption hold '5m'\n"), "what was checked is what is saved");
    // A switch that somebody wrote as yes is still on, and what the form does not know is still there.
    assert.equal(saved(luci.box).my_phone.metered, "yes");
    assert.ok(luci.asked()[0].includes("config ddns\n\toption name 'home.example.net'"));
    assert.deepEqual(luci.marks(), []);
  },

  "a mistake is at its field, and nothing is applied or even saved": async () => {
    const luci = await open({ check: dislikes(["hold '5'", "\"5\" has no unit", "for example 5m"]) });
    luci.type("main", "hold", "5");
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 0);
    assert.equal(luci.box.staged, 0);
    const [mark, ...more] = luci.marks();
    assert.deepEqual(more, []);
    assert.equal(mark.textContent, '"5" has no unit – for example 5m');
    assert.equal(mark.getAttribute("role"), "alert");
    assert.equal(mark.closest("[data-field]"), luci.field("main", "hold"));
    assert.equal(luci.field("main", "hold").querySelector("input").getAttribute("aria-invalid"), "true");
    assert.match(message(luci), /Nothing was applied.*sparelink main, Hold: "5" has no unit/s);
    // What is being mended is no longer marked.
    luci.type("main", "hold", "5m");
    assert.deepEqual(luci.marks(), []);
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 1, "the control: once it is right, it is applied");
    assert.equal(message(luci), "", "and the old message is gone");
  },

  "back to the old value is back": async () => {
    const luci = await open({ check: dislikes(["hold '5'", "no unit"]) });
    luci.type("main", "hold", "5");
    await luci.press("Save & Apply");
    luci.type("main", "hold", "60s");
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 1);
    assert.equal(saved(luci.box).main.hold, "60s");
  },

  "an element of a list, an uplink's option, an uplink, and what has no field": async () => {
    const luci = await open({
      check: dislikes(["'9.9.9.9'", "is unreachable"], ["'wan2'", "there is no network wan2"], ["config uplink 'cable'", "it has no gateway"],
        ["192.0.2.53", "it answers nothing"], ["home.example.net", "it is taken"]),
    });
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 0);
    const inField = luci.marks(luci.field("probe", "target"));
    assert.deepEqual(inField.map((mark) => mark.textContent), ["is unreachable"]);
    const dsl = luci.marks(luci.row("dsl"));
    const cell = (mark) => mark.closest("td").getAttribute("data-name");
    // What is in the dialog only is named where the uplink is.
    assert.deepEqual(dsl.map((mark) => [cell(mark), mark.textContent]), [["name", "resolver: it answers nothing"], ["network", "there is no network wan2"]]);
    assert.equal(luci.marks(luci.row("cable"))[0].textContent, "it has no gateway");
    assert.equal(luci.marks().length, 4);
    assert.match(message(luci), /ddns cfg000006, name: it is taken/);
    // In its dialog it is at its field.
    await luci.press("Edit", luci.row("dsl"));
    assert.equal(luci.marks(luci.field("dsl", "resolver", luci.dialog()))[0].textContent, "it answers nothing");
    assert.equal(luci.marks(luci.field("dsl", "network", luci.dialog())).length, 1);
  },

  "a line that is nobody's, and more than can be told": async () => {
    const luci = await open({ check: () => ({ ok: false, mistakes: [{ line: 999, column: 1, text: "what is this", hint: null }], more: 7 }) });
    await luci.press("Save & Apply");
    assert.match(message(luci), /somewhere else in the file: what is this/);
    assert.match(message(luci), /and 7 more/);
    assert.equal(luci.box.applied.length, 0);
  },

  "Save keeps a draft, and says what is wrong with it": async () => {
    const luci = await open({ check: dislikes(["hold '5'", "no unit"]) });
    luci.type("main", "hold", "5");
    await luci.press("Save");
    assert.equal(luci.box.staged, 1);
    assert.equal(luci.box.applied.length, 0);
    assert.equal(saved(luci.box).main.hold, "5");
    assert.match(message(luci), /Saved, but it cannot be applied like this/);
    assert.equal(luci.marks(luci.field("main", "hold")).length, 1, "in the form that was drawn again");
    await luci.press("Save & Apply");
    assert.equal(luci.box.applied.length, 0);
    luci.type("main", "hold", "6m");
    await luci.press("Save");
    assert.equal(message(luci), "");
  },

  "where nobody can check, a person decides": async () => {
    const ways = [
      [() => Promise.reject(new Error("RPC call to luci.sparelink/check failed with error -32000: Object not found")), /does not offer the check.*Object not found/],
      [() => 3, /does not offer the check.*Method not found/],
      [() => ({ error: "/usr/bin/sparelink is missing: is the package sparelink installed?" }), /sparelink is missing/],
      [() => ({}), /does not offer the check, or did not answer it\./],
      [() => ({ ok: false }), /does not offer the check/],
    ];
    for (const [check, said] of ways) {
      const luci = await open({ check });
      await luci.press("Save & Apply");
      assert.equal(luci.box.applied.length + luci.box.staged, 0, String(said));
      assert.match(luci.dialog().textContent, said);
      assert.match(luci.dialog().textContent, /keeps its old configuration/);
      await luci.press("Back", luci.dialog());
      assert.equal(luci.box.applied.length, 0);
      await luci.press("Save & Apply");
      await luci.press("Apply without a check", luci.dialog());
      assert.equal(luci.box.applied.length, 1);
      assert.equal(luci.dialog().textContent, "");
    }
  },

  "a draft that nobody could check is kept, and said to be one": async () => {
    const luci = await open({ check: () => 3 });
    luci.type("main", "hold", "6m");
    await luci.press("Save");
    assert.equal(saved(luci.box).main.hold, "6m");
    assert.match(message(luci), /Saved, but not checked/);
  },

  "what LuCI itself refuses is not sent anywhere": async () => {
    const luci = await open();
    luci.view.map.children[0].children.find((option) => option.option === "hold").validate = () => "no";
    await luci.press("Save & Apply");
    assert.deepEqual(luci.asked(), []);
    assert.match(luci.dialog().textContent, /invalid input value/);
    assert.equal(luci.box.applied.length, 0);
  },

  "up and down are priority, and saved as such": async () => {
    const luci = await open();
    await luci.press("↑", luci.row("dsl"));
    await luci.press("↑", luci.row("dsl"));
    assert.deepEqual(luci.rows().slice(0, 3), ["dsl", "cable", "my_phone"]);
    await luci.press("↑", luci.row("dsl"));
    await luci.press("↓", luci.row("my_phone"));
    assert.deepEqual(luci.rows().slice(0, 3), ["dsl", "cable", "my_phone"], "the ends are ends");
    assert.equal(luci.button("↑", luci.row("dsl")).getAttribute("aria-label"), "Up: dsl");
    await luci.press("Save & Apply");
    assert.deepEqual(uplinks(luci.box), ["dsl", "cable", "my_phone"]);
    const order = [...luci.asked()[0].matchAll(/config uplink '(\w+)'/g)].map((found) => found[1]);
    assert.deepEqual(order, ["dsl", "cable", "my_phone"]);
  },

  "a click on a title does not sort the chain": async () => {
    const luci = await open();
    const title = luci.all("th").find((th) => th.textContent === "Network" && th.closest("#cbi-sparelink-uplink"));
    title.click();
    assert.deepEqual(luci.rows().slice(0, 3), ["cable", "my_phone", "dsl"]);
  },

  "a new uplink, with a name that uci does not take": async () => {
    const luci = await open();
    const create = luci.document.querySelector("#cbi-sparelink-uplink .cbi-section-create");
    const name = create.querySelector("input");
    assert.equal(luci.button("Add an uplink").disabled, true);
    name.value = "lte-2";
    name.dispatchEvent(new luci.window.CustomEvent("input"));
    assert.equal(luci.button("Add an uplink").disabled, false);
    await luci.press("Add an uplink");
    assert.equal(luci.field("lte_2", "name", luci.dialog()).querySelector("input").value, "lte-2");
    luci.type("lte_2", "network", "wwan", luci.dialog());
    luci.type("lte_2", "kind", "cellular", luci.dialog());
    await luci.press("Save", luci.dialog());
    const { ".index": _, ...made } = saved(luci.box).lte_2;
    assert.deepEqual(made, { ".type": "uplink", ".name": "lte_2", ".anonymous": false, name: "lte-2", network: "wwan", kind: "cellular" });
    assert.equal(luci.dialog().textContent, "");
    assert.equal(luci.row("lte_2").children[0].textContent, "lte-2");
    assert.equal(luci.box.applied.length, 0);
  },

  "a plain name needs no second one, and who thinks again leaves nothing": async () => {
    const luci = await open();
    await luci.view.map.children[1].handleAdd(null, "lte");
    assert.equal(luci.field("lte", "name", luci.dialog()).querySelector("input").value, "");
    await luci.press("Dismiss", luci.dialog());
    await luci.press("Save & Apply");
    assert.deepEqual(uplinks(luci.box), ["cable", "my_phone", "dsl"]);
  },

  "in the dialog a mistake keeps it open": async () => {
    const luci = await open({ check: dislikes(["192.168.8'", "is no IPv4 address"], ["9.9.9.9", "elsewhere"]) });
    await luci.press("Edit", luci.row("dsl"));
    luci.type("dsl", "gateway", "192.168.8", luci.dialog());
    await luci.press("Save", luci.dialog());
    assert.equal(luci.box.staged, 0);
    assert.deepEqual(luci.marks(luci.dialog()).map((mark) => mark.textContent), ["is no IPv4 address"], "what is elsewhere is not told here");
    // Who leaves it leaves nothing behind.
    await luci.press("Dismiss", luci.dialog());
    await luci.press("Save");
    assert.equal(saved(luci.box).dsl.gateway, undefined);
    await luci.press("Edit", luci.row("dsl"));
    luci.type("dsl", "gateway", "192.168.8.1", luci.dialog());
    await luci.press("Save", luci.dialog());
    assert.equal(saved(luci.box).dsl.gateway, "192.168.8.1", "a mistake elsewhere is no reason to keep it open");
    assert.equal(luci.dialog().textContent, "");
  },

  "the dialog saves its draft where nobody can check": async () => {
    const luci = await open({ check: () => 3 });
    await luci.press("Edit", luci.row("dsl"));
    luci.type("dsl", "gateway", "192.168.8.1", luci.dialog());
    await luci.press("Save", luci.dialog());
    assert.equal(saved(luci.box).dsl.gateway, "192.168.8.1");
  },

  "a value that is no choice stays": async () => {
    const sections = HOME.map(([type, name, options]) => [type, name, name === "cable" ? { ...options, kind: "satellite" } : options]);
    const luci = await open({ sections });
    await luci.press("Edit", luci.row("cable"));
    await luci.press("Save", luci.dialog());
    assert.equal(saved(luci.box).cable.kind, "satellite", "the check says that it is wrong; the form does not quietly change it");
  },

  "an empty file gets its sections, when something is saved": async () => {
    const luci = await open({ sections: [] });
    assert.equal(luci.box.staged, 0);
    assert.equal(luci.field("main", "hold").querySelector("input").value, "");
    luci.type("main", "hold", "5m");
    await luci.press("Save");
    assert.equal(saved(luci.box).main.hold, "5m");
    assert.equal(saved(luci.box).main.enabled, "0");
  },

  "sections without a name are taken as they are": async () => {
    const luci = await open({ sections: [["sparelink", null, { enabled: "on", hold: "60s" }], ["uplink", null, { name: "cable", network: "wan" }]] });
    await luci.press("Save & Apply");
    assert.match(luci.asked()[0], /^config sparelink\n\toption enabled '1'\n/);
    assert.match(luci.asked()[0], /config uplink\n\toption name 'cable'\n/);
    assert.equal(luci.row("cfg000001").children[4].textContent, "In use11 ms");
  },

  "a configuration elsewhere is told": async () => {
    const luci = await open({ sections: [["sparelink", "main", { enabled: "1", config_file: "/etc/sparelink/sparelink.toml" }]] });
    assert.match(luci.text(), /The configuration is in \/etc\/sparelink\/sparelink\.toml: what is set here does not count/);
  },

  "hostile names in the file and in the check are text": async () => {
    const bad = "<img src=x onerror=alert(1)>";
    const sections = [...HOME, ["uplink", "evil", { name: bad, network: bad, kind: bad, ssid: bad }], ["notify", null, { to: bad }]];
    const luci = await open({ sections, check: dislikes(["config uplink 'evil'", bad, bad]), status: { ...STATES.ok().status, sentence: bad } });
    await luci.press("Save & Apply");
    await luci.press("Edit", luci.row("evil"));
    const html = [...luci.document.body.all()].map((node) => node.html).filter(Boolean);
    assert.ok(html.length > 20, "titles of our own may be");
    assert.deepEqual(html.filter((text) => text.includes("onerror")), []);
  },
};
