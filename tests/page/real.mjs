// The page of a running agent, during a failover. Who runs the home brings the failover about:
// this side says `ready` when the page is live, waits until another uplink carries the traffic, and
// reports how long after the agent's own record of the switch the page showed it. With
// SPARELINK_BACK=1 it then says `switched` and waits for the way back up as well.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { watchFrom } from "./browser.mjs";

const SHOTS = fileURLToPath(new URL("../../target/page/", import.meta.url));
const PATIENCE = Number(process.env.SPARELINK_PATIENCE_S ?? 60) * 1000;

const carries = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll(".card[data-role=active] h3")].map((h) => h.textContent).join(" "),
  );

async function shoot(page, name) {
  await mkdir(SHOTS, { recursive: true });
  for (const [colorScheme, width] of [
    ["light", 360],
    ["dark", 1280],
  ]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 860 });
    await page.screenshot({ path: `${SHOTS}real-${name}-${colorScheme}-${width}.png`, fullPage: true });
  }
}

/** Waits until another uplink than `before` carries, on the screen; says how late the screen was. */
async function move(page, url, before) {
  const shown = await page.waitForFunction(
    (was) => {
      const now = [...document.querySelectorAll(".card[data-role=active] h3")]
        .map((h) => h.textContent)
        .join(" ");
      return now && now !== was && document.body.dataset.live === "yes"
        ? { now, head: document.getElementById("head").textContent }
        : null;
    },
    before,
    { timeout: PATIENCE, polling: "raf" },
  );
  const { now, head } = await shown.jsonValue();
  // The first of the changes that have said so ever since.
  const first = await page.evaluate((text) => {
    const { changes } = window.seen;
    return changes[changes.findLastIndex((change) => change.text !== text) + 1]?.at;
  }, head);
  const history = await (await fetch(new URL("api/v1/history", url))).json();
  const record = history.filter((entry) => entry.code === "switched").at(-1);
  const late = first && record?.at ? first - Date.parse(record.at) : null;
  return { now, head, late };
}

export const tests = {
  "the page follows a failover of a real agent": async (context, say, url) => {
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.addInitScript(watchFrom);
    await page.goto(url);
    await page.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
    const start = await carries(page);
    await shoot(page, "before");
    console.log("ready");
    const there = await move(page, url, start);
    console.log("switched");
    say(`from ${start} to ${there.now}: on the screen ${there.late ?? "?"} ms after the agent's record`);
    await shoot(page, "after");
    assert.match(there.head, /^Internet works, on /);
    assert.ok(there.late === null || there.late <= 1000, `the page is ${there.late} ms behind the agent`);
    if (process.env.SPARELINK_BACK) {
      const back = await move(page, url, there.now);
      say(`back on ${back.now}: on the screen ${back.late ?? "?"} ms after the agent's record`);
      await shoot(page, "back");
      assert.equal(back.now, start);
    }
    const seen = await page.evaluate(() => window.seen);
    say(
      `usable ${Math.round(seen.usable)} ms after the navigation began; layout shift ${seen.shifts.toFixed(4)}`,
    );
    assert.deepEqual(errors, []);
    assert.deepEqual(seen.violations, []);
    await page.close();
  },
};
