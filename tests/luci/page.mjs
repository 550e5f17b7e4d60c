// The views in a browser: real fields, real keys, and pictures of them in target/luci.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { STATES } from "../page/states.mjs";
import { HOME, RIGHT, ROOT } from "./meet.mjs";

const SHOTS = `${ROOT}target/luci/`;
const WIDTHS = [360, 1280];
const AXE = createRequire(new URL("../page/package.json", import.meta.url)).resolve("axe-core/axe.min.js");
const NETWORKS = { interface: ["loopback", "lan", "wan", "wwan"].map((name) => ({ interface: name })) };

/** Opens a page of LuCI. What the check answers is a list of [part of a line, words, hint] that it does not like. */
async function open({ context, url }, what, { width = 1280, sections = HOME, status = STATES.ok().status, dislikes = [] } = {}) {
  const page = await context.newPage();
  const told = [];
  page.on("pageerror", (error) => told.push(error.message));
  page.on("dialog", (dialog) => (told.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  page.on("console", (line) => line.type() === "error" && told.push(line.text()));
  await page.setViewportSize({ width, height: 800 });
  await page.goto(url);
  await page.waitForFunction(() => window.ready);
  await page.evaluate(async ({ what, sections, status, dislikes, networks, right }) => {
    const answers = { "network.interface dump": networks };
    if (status !== null) answers["sparelink status"] = status;
    const luci = window.start({ sections, answers });
    window.dislikes = dislikes;
    answers["luci.sparelink check"] = ({ text }) => {
      const lines = text.split("\n");
      const found = window.dislikes.map(([part, said, hint]) => ({ line: lines.findIndex((line) => line.includes(part)) + 1, column: 9, text: said, hint: hint ?? null }));
      const mistakes = found.filter(({ line }) => line > 0);
      return mistakes.length ? { ok: false, mistakes, more: 0 } : right;
    };
    if (what === "overview") window.again = await luci.include("90_sparelink");
    else await luci.open("sparelink.chain");
  }, { what, sections: [...sections], status, dislikes, networks: NETWORKS, right: RIGHT });
  const close = async () => {
    await page.close();
    assert.deepEqual(told, [], "the page has no errors, and asks nothing");
  };
  return { page, close, told };
}

const field = (page, option, sid = "main") => page.locator(`[data-field="cbid.sparelink.${sid}.${option}"]`);
const order = (page) => page.locator("#cbi-sparelink-uplink [data-sid]").evaluateAll((rows) => rows.map((row) => row.dataset.sid));
const applied = (page) => page.evaluate(() => window.box.applied.length);
const apply = (page) => page.getByRole("button", { name: "Save & Apply" }).click();

/** Nothing is cut off at the side, and nobody is kept out: no fault of axe's that is of our making. */
async function look(page, name) {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
  await page.addScriptTag({ path: AXE });
  const faults = await page.evaluate(async () => {
    const rules = ["label", "button-name", "link-name", "color-contrast", "aria-allowed-attr", "aria-valid-attr-value", "duplicate-id-aria", "select-name"];
    const { violations } = await window.axe.run("#maincontent", { runOnly: rules });
    return violations.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  });
  assert.deepEqual(faults, [], name);
}

const TROUBLE = [["hold '5'", '"5" has no unit', "durations look like 250ms, 60s, 10m or 2h"], ["'wan2'", "there is no network wan2", "the networks are lan, wan and wwan"],
  ["192.0.2.53", "no resolver answers there"], ["config uplink 'cable'", "this uplink has no gateway", "write option gateway '192.168.1.1'"]];

export const page = {
  "the overview in its states": async (where) => {
    const off = HOME.map(([type, name, options]) => [type, name, type === "sparelink" ? { ...options, enabled: "0" } : options]);
    const alarm = () => {
      const { status } = STATES.none();
      status.messages.alarm = { title: "No Internet since 10:31", at: null, acknowledged: null, next: { to: "gotify (gotify.lan)", in_s: 240 } };
      return status;
    };
    const page0 = { page: ["http://192.168.77.1:8300/"] };
    const states = { none: alarm(), backup: { ...STATES.backup().status, ...page0 }, portal: STATES.portal().status, silent: null, off: null, ok: { ...STATES.ok().status, ...page0 } };
    for (const [name, status] of Object.entries(states)) {
      for (const width of WIDTHS) {
        const { page, close } = await open(where, "overview", { width, status, sections: name === "off" ? off : HOME });
        await look(page, `overview-${name}-${width}`);
        // The bus without the object is an error of the call, not of the page.
        await close();
      }
    }
  },

  "a mistake is at the field, nothing is applied; right, it is": async (where) => {
    for (const width of WIDTHS) {
      const { page, close } = await open(where, "chain", { width, dislikes: TROUBLE, status: STATES.backup().status });
      await field(page, "hold").locator("input").fill("5");
      await apply(page);
      await field(page, "hold").getByRole("alert").waitFor();
      assert.match(await field(page, "hold").getByRole("alert").innerText(), /"5" has no unit – durations look like/);
      assert.equal(await field(page, "hold").locator("input").getAttribute("aria-invalid"), "true");
      assert.equal(await page.locator("[data-sid=dsl] [role=alert]").count(), 2);
      assert.equal(await page.locator(".notification li").count(), 4);
      assert.equal(await applied(page), 0);
      await look(page, `chain-mistakes-${width}`);
      await page.evaluate(() => (window.dislikes = []));
      await field(page, "hold").locator("input").fill("5m");
      assert.equal(await field(page, "hold").getByRole("alert").count(), 0, "what is being mended is not marked");
      await apply(page);
      await page.waitForFunction(() => window.box.applied.length === 1);
      assert.equal(await page.evaluate(() => window.box.applied[0].sparelink.main.hold), "5m");
      assert.equal(await page.locator("[data-sparelink-mistake], .notification").count(), 0);
      await close();
    }
  },

  "the dialog shows its mistake and stays": async (where) => {
    for (const width of WIDTHS) {
      const { page, close } = await open(where, "chain", { width, dislikes: [["192.168.8'", '"192.168.8" is no IPv4 address', "for example 192.168.8.1"]] });
      await page.locator("[data-sid=dsl]").getByRole("button", { name: "Edit" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.locator("[data-name=gateway] input").fill("192.168.8");
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.getByRole("alert").waitFor();
      assert.match(await dialog.locator("[data-name=gateway]").getByRole("alert").innerText(), /is no IPv4 address/);
      assert.equal(await page.evaluate(() => window.box.staged), 0);
      await mkdir(SHOTS, { recursive: true });
      await page.screenshot({ path: `${SHOTS}dialog-mistake-${width}.png` });
      await dialog.locator("[data-name=gateway] input").fill("192.168.8.1");
      await dialog.getByRole("button", { name: "Save" }).click();
      await dialog.waitFor({ state: "detached" });
      assert.equal(await page.evaluate(() => window.box.files.sparelink.dsl.gateway), "192.168.8.1");
      assert.equal(await applied(page), 0, "a dialog applies nothing");
      await close();
    }
  },

  "the order by keyboard": async (where) => {
    const { page, close } = await open(where, "chain");
    assert.deepEqual(await order(page), ["cable", "my_phone", "dsl"]);
    await page.getByRole("button", { name: "Up: dsl" }).focus();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Enter");
    assert.deepEqual(await order(page), ["dsl", "cable", "my_phone"], "the button keeps the focus");
    await page.getByRole("button", { name: "Down: cable" }).press("Space");
    assert.deepEqual(await order(page), ["dsl", "my_phone", "cable"]);
    await apply(page);
    await page.waitForFunction(() => window.box.applied.length === 1);
    const kept = await page.evaluate(() => Object.values(window.box.applied[0].sparelink).filter((s) => s[".type"] === "uplink").map((s) => s[".name"]));
    assert.deepEqual(kept, ["dsl", "my_phone", "cable"]);
    await close();
  },

  "a new uplink by its name alone": async (where) => {
    const { page, close } = await open(where, "chain", { width: 360 });
    await page.getByLabel("Name of the new uplink").fill("lte-2");
    await page.getByRole("button", { name: "Add an uplink" }).click();
    const dialog = page.getByRole("dialog");
    assert.equal(await dialog.locator("[data-name=name] input").inputValue(), "lte-2");
    await dialog.locator("[data-name=network] input").fill("wwan");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.locator("[data-sid=lte_2]").waitFor();
    await look(page, "chain-new-360");
    await close();
  },

  "where nobody can check, a person is asked": async (where) => {
    for (const width of WIDTHS) {
      const { page, close } = await open(where, "chain", { width });
      await page.evaluate(() => (window.answers["luci.sparelink check"] = { error: "/usr/bin/sparelink is missing: is the package sparelink installed?" }));
      await apply(page);
      await page.getByRole("button", { name: "Apply without a check" }).waitFor();
      assert.equal(await applied(page), 0);
      await page.screenshot({ path: `${SHOTS}unchecked-${width}.png` });
      await page.getByRole("button", { name: "Back" }).click();
      await apply(page);
      await page.getByRole("button", { name: "Apply without a check" }).click();
      await page.waitForFunction(() => window.box.applied.length === 1);
      await close();
    }
  },

  "what the agent says moves along": async (where) => {
    const { page, close } = await open(where, "chain");
    assert.match(await page.locator("[data-sid=cable]").innerText(), /In use/);
    await page.evaluate((status) => {
      window.answers["sparelink status"] = status;
      return window.luci.polls[0][0]();
    }, STATES.backup().status);
    assert.match(await page.locator("[data-sid=cable]").innerText(), /Down/);
    assert.match(await page.locator("[data-sparelink-headline]").innerText(), /Internet works, on mifi/);
    await close();
  },

  "hostile names run nothing": async (where) => {
    const bad = "<img src=x onerror=alert(1)>";
    const status = STATES.backup().status;
    Object.assign(status, { sentence: bad, manual: bad });
    Object.assign(status.uplinks[0], { name: bad, interface: bad, reason: bad, next: bad });
    status.messages.alarm = { title: bad, at: null, acknowledged: { at: null, by: bad }, next: null };
    const sections = [...HOME, ["uplink", "evil", { name: bad, network: bad, kind: bad, ssid: bad }], ["notify", null, { to: bad }]];
    for (const what of ["overview", "chain"]) {
      const { page, close } = await open(where, what, { status, sections, dislikes: [["config uplink 'evil'", bad, bad], ["ssid", bad]] });
      if (what === "chain") {
        await apply(page);
        await page.locator(".notification").waitFor();
        await page.locator("[data-sid=evil]").getByRole("button", { name: "Edit" }).click();
        await page.getByRole("dialog").getByRole("alert").first().waitFor();
      }
      assert.equal(await page.locator("img").count(), 0);
      assert.match(await page.locator("body").innerText(), /<img src=x onerror=alert\(1\)>/);
      await close();
    }
  },
};
