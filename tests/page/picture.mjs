// The picture in README.md: the page of a box whose traffic is on its backup.
//
//   node tests/page/picture.mjs FILE

import { open } from "./browser.mjs";
import { Box } from "./server.mjs";
import { STATES } from "./states.mjs";

const WIDTH = 1000;
const HEIGHT = 900; // at most: it ends below the last card that fits

const browser = await open();
if (!browser) {
  console.log("skipped: there is no Chromium at /usr/bin/chromium (CHROMIUM names another)");
  process.exit(0);
}
const box = await new Box(STATES.backup()).listen();
const page = await browser.context.newPage();
await page.setViewportSize({ width: WIDTH, height: HEIGHT });
await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
await page.goto(box.url);
await page.waitForSelector("body[data-live=yes] #cards .card");
await page.waitForSelector("#lanes .lane");
const height = await page.evaluate((limit) => {
  const ends = [...document.querySelectorAll("#cards .card")].map((card) => card.getBoundingClientRect().bottom + 8);
  return Math.max(limit / 2, ...ends.filter((end) => end <= limit));
}, HEIGHT);
const clip = { x: 0, y: 0, width: WIDTH, height: Math.round(height) };
await page.screenshot({ path: process.argv[2], animations: "disabled", clip });
await browser.close();
await box.stop();
