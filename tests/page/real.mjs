// The page of a running agent, steered with its password (in the lab), during a failover and, in the lab, the way back. Where there is no lab,
// somebody else brings the failover about: this side says `ready` when the page is live. It reports
// how long after the agent's own record of the switch the page showed it.

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

/** Pictures of a page of its own, so that the watched one keeps its width. */
async function shoot(context, url, name) {
  await mkdir(SHOTS, { recursive: true });
  const page = await context.newPage();
  for (const [colorScheme, width] of [
    ["light", 360],
    ["dark", 1280],
  ]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 860 });
    await page.goto(url);
    await page.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
    await page.screenshot({ path: `${SHOTS}real-${name}-${colorScheme}-${width}.png`, fullPage: true });
  }
  await page.close();
}

async function switches(url) {
  const history = await (await fetch(new URL("api/v1/history", url))).json();
  return history.filter((entry) => entry.code === "switched");
}

/** Waits until one other uplink carries both families, on the screen; says how late the screen was. */
async function move(page, url, act) {
  const [before, head, already] = [
    await carries(page),
    await page.textContent("#head"),
    (await switches(url)).length,
  ];
  act();
  const shown = await page.waitForFunction(
    (was) => {
      const names = [...document.querySelectorAll(".card[data-role=active] h3")];
      const [now] = names.map((h) => h.textContent);
      const live = document.body.dataset.live === "yes";
      return live && names.length === 1 && now !== was
        ? { now, head: document.getElementById("head").textContent }
        : null;
    },
    before,
    { timeout: PATIENCE, polling: "raf" },
  );
  // The sentence changes with the first family that moves.
  const first = await page.evaluate(
    (was) => window.seen.changes.slice(window.seen.changes.findLastIndex((c) => c.text === was) + 1)[0]?.at,
    head,
  );
  const record = (await switches(url))[already];
  const late = first && record?.at ? first - Date.parse(record.at) : null;
  return { ...(await shown.jsonValue()), late };
}

/** What the page says of the last thing that was asked of it. */
const said = (page, words) =>
  page.waitForFunction((w) => document.getElementById("said").textContent.includes(w), words, {
    timeout: PATIENCE,
  });

/** A page of the agent on a desk, live, and what goes wrong in it. */
async function meet(context, url) {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.goto(url);
  await page.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
  return { page, errors };
}

async function enter(page, password) {
  await page.locator("#enter-password").fill(password);
  await page.keyboard.press("Enter");
}

const refused = (page, words) =>
  page.waitForFunction((w) => document.getElementById("enter-error").textContent.includes(w), words);

/** Has the settings' difference shown; what the box says instead is a failure at once. */
async function preview(page) {
  await page.locator("#set-do").click();
  const said = await page.waitForFunction(
    () => {
      const difference = document.getElementById("set-difference");
      return difference.checkVisibility() ? "shown" : document.getElementById("set-error").textContent;
    },
    null,
    { timeout: PATIENCE },
  );
  assert.equal(await said.jsonValue(), "shown");
}

export const tests = {
  "who knows the password steers the real agent": async (context, say, url, lab) => {
    if (!lab) return say("skipped: the password of this box is not known");
    const { page, errors } = await meet(context, url);
    const button = (name, words) =>
      page.locator(".card").filter({ hasText: name }).first().getByRole("button", { name: words });
    const first = await carries(page);
    await button("phone", "More").click();
    await button("phone", "Test").click();
    await page.waitForSelector("#enter[open]");
    await enter(page, "a wrong password");
    await refused(page, "The password is not right; try again in a second");
    // On a busy machine the first wait may be over before the next try; each one is longer.
    let wait = null;
    for (let tries = 0; tries < 6 && !wait; tries += 1) {
      await enter(page, "a wrong password");
      const told = await page.waitForFunction(() => document.getElementById("enter-error").textContent);
      wait = (await told.jsonValue()).match(/^Too many tries; wait (a|\d+) seconds?$/);
    }
    await page.waitForTimeout((Number(wait[1]) || 1) * 1000 + 100);
    await enter(page, lab.password);
    await said(page, "Phone is being tested");
    assert.equal(await page.textContent("#login"), "Log out");
    const [cookie] = await context.cookies(url);
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Strict", "/"]);
    assert.equal(await page.evaluate(() => document.cookie), "", "no script sees it");

    const other = await context.newPage();
    await other.goto(url);
    await other.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
    assert.equal(await other.textContent("#login"), "Log out", "a second tab knows");
    await page.bringToFront();

    await button("phone", "Pause").click();
    await page.locator("#ask-reason").fill("lent to a friend");
    await page.locator("#ask-do").click();
    await said(page, "is paused for");
    await page.waitForSelector(".card[data-role=paused]", { timeout: PATIENCE });
    await button("phone", "Resume").click();
    await said(page, "is resumed");
    await page.waitForFunction(() => !document.querySelector(".card[data-role=paused]"));
    await button("mifi", "Prefer").click();
    await page.locator("#ask-do").click();
    await said(page, "Using mifi for");
    await page.waitForFunction((was) => {
      const names = [...document.querySelectorAll(".card[data-role=active] h3")];
      return names.length === 1 && names[0].textContent !== was;
    }, first);
    await page.locator("#auto").click();
    await said(page, "Automatic again");
    await page.waitForFunction(
      (was) => {
        const names = [...document.querySelectorAll(".card[data-role=active] h3")];
        return names.length === 1 && names[0].textContent === was;
      },
      first,
      { timeout: PATIENCE },
    );

    // The agent dies and comes back: it knows nobody.
    lab.type("kill agent");
    await page.waitForSelector("body[data-live=no]", { timeout: PATIENCE });
    lab.type("start agent");
    await page.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
    await page.waitForFunction(() => document.getElementById("login").textContent === "Log in");
    await button("phone", "Test").click();
    await page.waitForSelector("#enter[open]");
    await enter(page, lab.password);
    await said(page, "Phone is being tested");
    await page.locator("#login").click();
    await said(page, "Logged out");
    await other.waitForFunction(() => document.getElementById("login").textContent === "Log in");
    assert.deepEqual(errors, []);
    await other.close();
    await page.close();
    // What follows begins with every uplink proven.
    for (let tries = 0; tries < 200; tries += 1) {
      const status = await (await fetch(new URL("api/v1/status", url))).json();
      if (status.spares_ready === status.uplinks.length - 1) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error("not every uplink is proven again");
  },

  "a new box is protected after three decisions: a password, an order, and to keep it": async (context, say, url, lab) => {
    if (!lab) return say("skipped: there is no lab");
    const [, code] = await lab.answer("code", /with the code (\S+)/);
    const { page, errors } = await meet(context, url);
    const typed = [];
    await page.locator("#settings").click();
    await page.waitForSelector("#enter-unset:visible", { timeout: PATIENCE });
    await page.screenshot({ path: `${SHOTS}real-first-1280.png` });
    await page.locator("#enter-code").fill(code.toLowerCase());
    typed.push("password");
    await enter(page, (lab.password = "correct horse 7"));
    await page.waitForSelector("dialog.settings[open]", { timeout: PATIENCE });
    const names = await page.locator("#set-uplinks > li").count();
    assert.ok(names >= 2, "what was found stands there");
    await page.locator("#set-uplinks > li").nth(1).getByRole("button", { name: "Up" }).click();
    typed.push("order");
    await preview(page);
    await page.locator("#set-do").click();
    await page.waitForSelector("#trial:visible", { timeout: PATIENCE });
    await page.locator("#trial-keep").click();
    typed.push("keep");
    await page.waitForSelector("#trial", { state: "hidden", timeout: PATIENCE });
    assert.deepEqual(typed, ["password", "order", "keep"]);
    // It is protected: the first dies, another carries.
    const first = await carries(page);
    lab.type(`sever ${first.toLowerCase()}`);
    await page.waitForFunction((was) => {
      const names = [...document.querySelectorAll(".card[data-role=active] h3")].map((h) => h.textContent);
      return names.length === 1 && names[0] !== was;
    }, first, { timeout: PATIENCE });
    lab.type(`restore ${first.toLowerCase()}`);
    // As it was, for who comes next.
    await page.locator("#settings").click();
    await page.waitForSelector("dialog.settings[open]", { timeout: PATIENCE });
    await page.locator("#set-uplinks > li").nth(1).getByRole("button", { name: "Up" }).click();
    await preview(page);
    await page.locator("#set-do").click();
    await page.waitForSelector("#trial:visible", { timeout: PATIENCE });
    await page.locator("#trial-keep").click();
    await page.waitForSelector("#trial", { state: "hidden", timeout: PATIENCE });
    assert.deepEqual(errors, []);
    await page.locator("#login").click();
    await page.close();
    for (let tries = 0; tries < 400; tries += 1) {
      const status = await (await fetch(new URL("api/v1/status", url))).json();
      if (status.spares_ready === status.uplinks.length - 1 && status.active === status.uplinks[0].name) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error("not every uplink is proven again");
  },

  "another order is tried on the real agent, and undone": async (context, say, url, lab) => {
    if (!lab) return say("skipped: the password of this box is not known");
    const { page, errors } = await meet(context, url);
    const first = await carries(page);
    const on = (name, other) =>
      page.waitForFunction(
        ([name, other]) => {
          const names = [...document.querySelectorAll(".card[data-role=active] h3")].map((h) => h.textContent);
          return names.length === 1 && (name ? names[0] === name : names[0] !== other);
        },
        [name, other],
        { timeout: PATIENCE },
      );
    await page.locator("#settings").click();
    await page.waitForSelector("#enter[open]");
    await enter(page, lab.password);
    await page.waitForSelector("dialog.settings[open]", { timeout: PATIENCE });
    await page.locator("#set-uplinks > li").first().getByRole("button", { name: "Down" }).click();
    await preview(page);
    assert.match(await page.locator("#set-lines").innerText(), /^[+-] /m);
    await page.screenshot({ path: `${SHOTS}real-settings-1280.png` });
    await page.locator("#set-do").click();
    await page.waitForSelector("#trial:visible", { timeout: PATIENCE });
    await on(null, first);
    await page.locator("#trial-undo").click();
    await said(page, "everything is as before");
    await page.waitForSelector("#trial", { state: "hidden", timeout: PATIENCE });
    await on(first);
    const told = await (await fetch(new URL("api/v1/history", url))).json();
    const texts = told.filter((entry) => entry.code === "by_hand").map((entry) => entry.text);
    assert.match(texts.at(-2), /^Settings changed on the page by .* order: /);
    assert.match(texts.at(-1), /^The new settings are undone by /);
    assert.deepEqual(errors, []);
    await page.locator("#login").click();
    await said(page, "Logged out");
    await page.close();
  },

  "at rest it is told little": async (context, say, url, lab) => {
    if (!lab) return say("skipped: this box may not be at rest");
    const SECONDS = 15;
    /** Bytes a second of a stream, after what comes at once. */
    const rate = async (path) => {
      const answer = await fetch(new URL(path, url), { signal: AbortSignal.timeout((SECONDS + 5) * 1000) });
      let [bytes, from] = [0, null];
      for await (const chunk of answer.body) {
        if (from === null) {
          from = Date.now();
          continue;
        }
        bytes += chunk.length;
        if (Date.now() - from > SECONDS * 1000) break;
      }
      return bytes / ((Date.now() - from) / 1000);
    };
    const [whole, changes] = await Promise.all([rate("api/v1/events"), rate("api/v1/events?changes")]);
    say(`${Math.round(changes)} bytes a second, ${Math.round(whole)} of the whole`);
    assert.ok(changes > 0 && changes <= 1000, `${changes}`);
    assert.ok(whole > 2 * changes, "control: it would have been more");
  },

  "the page follows a failover of a real agent": async (context, say, url, lab) => {
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.addInitScript(watchFrom);
    await page.goto(url);
    await page.waitForSelector("body[data-live=yes] .card[data-role=active]", { timeout: PATIENCE });
    const start = await carries(page);
    await shoot(context, url, "before");
    const there = await move(page, url, () => (lab ? lab.type(`sever ${start}`) : console.log("ready")));
    say(`from ${start} to ${there.now}: on the screen ${there.late ?? "?"} ms after the agent's record`);
    await shoot(context, url, "after");
    assert.match(there.head, /^Internet works, on /);
    assert.ok(there.late === null || there.late <= 1000, `the page is ${there.late} ms behind the agent`);
    if (lab) {
      const back = await move(page, url, () => lab.type(`restore ${start}`));
      say(`back on ${back.now}: on the screen ${back.late ?? "?"} ms after the agent's record`);
      await shoot(context, url, "back");
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
