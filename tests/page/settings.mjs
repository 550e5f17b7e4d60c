// Settings on the page: shown as the file has them, tried, confirmed or undone.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { DESK, PHONE, SHOTS, faults, fits, meet, part, poll, text } from "./meet.mjs";
import { PASSWORD } from "./server.mjs";
import { STATES } from "./states.mjs";

const uplinks = (page) => page.locator("#set-uplinks > li");
const order = (page) =>
  page.evaluate(() => [...document.querySelectorAll("#set-uplinks > li")].map((li) => li.querySelector("input").value));
const tried = (box) => box.asked.filter(({ path }) => path === "settings").map(({ body }) => body);

/** Opens them, after a login. */
async function open(context, size = PHONE, theme = "light") {
  const { box, page } = await meet(context, STATES.ok(), { size, theme });
  await page.locator("#settings").click();
  await page.waitForSelector("#enter[open]");
  await page.locator("#enter-password").fill(PASSWORD);
  await page.locator("#enter-do").click();
  await page.waitForSelector("dialog.settings[open]");
  return { box, page };
}

async function close({ box, page }) {
  await page.context().clearCookies();
  await part({ box, page });
}

export const settings = {
  "settings are readable for everyone": async (context) => {
    await mkdir(SHOTS, { recursive: true });
    for (const [size, theme] of [[PHONE, "light"], [PHONE, "dark"], [DESK, "light"]]) {
      const { box, page } = await open(context, size, theme);
      const what = `settings-${theme}-${size.width}`;
      await page.locator("#set-hold").fill("5m");
      await page.locator("#set-do").click();
      await page.waitForSelector("#set-difference:visible");
      await fits(page, what);
      assert.deepEqual(await faults(page), [], what);
      await page.screenshot({ path: `${SHOTS}${what}.png` });
      await page.locator("dialog.settings").evaluate((dialog) => dialog.scrollTo(0, 0));
      await page.screenshot({ path: `${SHOTS}${what}-top.png` });
      await page.locator("#set-do").click();
      await page.waitForSelector("#trial:visible");
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: `${SHOTS}${what}-trial.png` });
      await fits(page, `${what}-trial`);
      assert.deepEqual(await faults(page), [], `${what}-trial`);
      await page.close();
      await box.stop();
      await context.clearCookies();
    }
  },

  "a change is shown, tried, and kept": async (context) => {
    const { box, page } = await open(context, DESK);
    await page.locator("#set-hold").fill("5");
    await page.locator("#set-do").click();
    await poll("the mistake", async () => /has no unit; for example/.test(await text(page, "#set-error")));
    await page.locator("#set-hold").fill("5m");
    await uplinks(page).nth(1).getByRole("button", { name: "Up" }).click();
    assert.deepEqual(await order(page), ["mifi", "cable", "phone"]);
    await uplinks(page).nth(2).dragTo(uplinks(page).nth(0));
    assert.deepEqual(await order(page), ["phone", "mifi", "cable"]);
    await uplinks(page).nth(2).getByLabel("name").first().fill("fibre");
    await uplinks(page).nth(2).getByLabel("metered").check();
    await uplinks(page).nth(2).locator("summary").click();
    await uplinks(page).nth(2).getByLabel("telephone").fill("+44 1");
    await page.getByRole("button", { name: "Remove ntfy" }).click();
    await page.getByRole("button", { name: "Add a channel" }).click();
    await page.keyboard.type("ntfy://ntfy.sh/other");
    await page.locator("#set-leds").getByLabel("status LED").fill("ACT");
    await page.locator("#set-do").click();
    await page.waitForSelector("#set-difference:visible");
    assert.match(await text(page, "#set-lines"), /-.*hold = "60s"[\s\S]*\+.*hold = "5m" # <b>mine<\/b>/);
    assert.equal(await page.locator("#set-lines b").count(), 0, "text stays text");
    // Whoever changes their mind is shown again what would change.
    await page.locator("#set-hold").fill("6m");
    assert.equal(await text(page, "#set-do"), "Show what changes");
    await page.locator("#set-do").click();
    await poll("the second step", async () => (await text(page, "#set-do")).startsWith("Apply"));
    assert.ok(tried(box).every((body) => body.preview), "so far nothing was changed");
    await page.locator("#set-do").click();
    await page.waitForSelector("#trial:visible");
    const { settings, preview } = tried(box).at(-1);
    assert.equal(preview, false);
    assert.equal(settings.hold, "6m");
    assert.deepEqual(settings.uplinks.map((u) => [u.was, u.name, u.metered]), [
      ["phone", "phone", true],
      ["mifi", "mifi", false],
      ["cable", "fibre", true],
    ]);
    assert.equal(settings.uplinks[2].provider.phone, "+44 1");
    assert.deepEqual(settings.notify, [{ to: "ntfy://ntfy.sh/other", min: "notice", quiet: "" }]);
    assert.deepEqual(settings.leds, { status: "ACT", uplinks: { cable: "green:wan", mifi: "", phone: "" } });
    assert.match(await text(page, "#trial-words"), /on trial \(by 192.168.77.20\): undone in \d+ s unless somebody keeps them/);
    await page.locator("#trial-keep").click();
    await page.waitForSelector("#trial", { state: "hidden" });
    assert.equal(box.asked.at(-1).path, "settings/keep");
    await close({ box, page });
  },

  "who edits the file meanwhile takes nothing from anybody": async (context) => {
    const { box, page } = await open(context, DESK);
    await page.locator("#set-hold").fill("7m");
    await uplinks(page).nth(0).getByRole("button", { name: "Down" }).click();
    box.file((file) => {
      file.hold = "90s";
      file.uplinks[1].metered = true;
      file.notify[0].quiet = "";
    });
    await page.locator("#set-do").click();
    await poll("the refusal", async () => /changed meanwhile/.test(await text(page, "#set-error")));
    assert.match(await text(page, "#set-news"), /What you have changed here is kept/);
    assert.equal(await page.locator("#set-hold").inputValue(), "7m");
    assert.deepEqual(await order(page), ["mifi", "cable", "phone"]);
    assert.equal(await uplinks(page).nth(0).getByLabel("metered").isChecked(), true, "what they changed is here");
    await page.locator("#set-do").click();
    await page.waitForSelector("#set-difference:visible");
    assert.deepEqual(tried(box).at(-1).settings.notify, [{ was: 0, min: "warning", quiet: "" }]);
    await close({ box, page });
  },

  "a set-up on trial can be kept on the page": async (context) => {
    const state = STATES.ok();
    state.status.settings.trial = { of: "setup", by: null, seconds_left: 100 };
    const { box, page } = await meet(context, state);
    assert.match(await text(page, "#trial-words"), /A set-up is on trial: undone in \d+ s unless somebody keeps it/);
    assert.equal(await page.locator("#trial-undo").isVisible(), false, "that only the box can do");
    await close({ box, page });
  },
};
