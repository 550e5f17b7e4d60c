// How the tests meet the page: a browser's page on a box in some state, and what is asked of it.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { watchFrom } from "./browser.mjs";
import { Box } from "./server.mjs";

export const WEB = new URL("../../web/", import.meta.url);
export const SHOTS = fileURLToPath(new URL("../../target/page/", import.meta.url));
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const PHONE = { width: 360, height: 740 };
export const TABLET = { width: 768, height: 1024 };
export const DESK = { width: 1280, height: 860 };

/** A page on a box in this state, live, and what went wrong in it. */
export async function meet(context, state, { size = PHONE, theme = "light", before = null } = {}) {
  const box = await new Box(state).listen();
  const page = await context.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme: theme });
  await page.addInitScript(watchFrom);
  if (before) await page.addInitScript(before);
  await page.goto(box.url);
  await live(page);
  return { box, page };
}

export const live = (page) => page.waitForSelector("body[data-live=yes] #cards");
export const text = (page, selector) => page.locator(selector).innerText();
export const names = (state) => state.status.uplinks.map((u) => u.name);
export const more = (page, name) => card(page, name).getByRole("button", { name: "More" }).click();
export const card = (page, name) => page.locator(".card", { has: page.locator("h3", { hasText: name }) });

export async function part({ box, page }) {
  const seen = await page.evaluate(() => window.seen);
  await page.close();
  await box.stop();
  assert.deepEqual(page.errors, [], "the page's script ran without an error");
  assert.deepEqual(seen.violations, [], "nothing ran into the content security policy");
  assert.equal(seen.dialogs, 0, "no foreign script ran");
  return seen;
}

export async function poll(what, check, limit = 5000) {
  const until = Date.now() + limit;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > until) throw new Error(`did not come: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

export const EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// Another theme changes colours only.
export const COLOURS = { type: "rule", values: ["color-contrast"] };

/** What axe finds, as one line each. */
export async function faults(page, rules = EVERYTHING) {
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(AXE);
  const found = await page.evaluate((runOnly) => {
    // Of a long chain the first cards are enough for the eye: the others are made alike.
    const where = {
      include: [["html"]],
      exclude: runOnly.type ? [[".card:nth-child(n + 5)"], ["#entries li:nth-child(n + 9)"]] : [],
    };
    return window.axe.run(where, { resultTypes: ["violations"], preload: false, iframes: false, runOnly });
  }, rules);
  return found.violations.map(
    (v) =>
      `${v.id}: ${v.nodes
        .slice(0, 3)
        .map((n) => `${n.html.slice(0, 120)} ${n.any[0]?.message ?? ""}`)
        .join(" | ")}`,
  );
}

export async function fits(page, what) {
  const { wide, room } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    room: window.innerWidth,
  }));
  assert.ok(wide <= room, `${what}: ${wide} px wide in ${room}`);
}

export async function shoot(page, name) {
  await mkdir(SHOTS, { recursive: true });
  // Of a very long page the top is enough.
  const { width } = page.viewportSize();
  const height = Math.min(4500, await page.evaluate(() => document.documentElement.scrollHeight));
  await page.screenshot({ path: `${SHOTS}${name}.png`, fullPage: true, clip: { x: 0, y: 0, width, height } });
}
