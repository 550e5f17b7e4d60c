// Runs the tests of LuCI's pages.
//
//   node tests/luci/run.mjs [WORDS…]     with words, only tests whose name has one
//
// Before a stand-in for LuCI (standin/luci.mjs): without a browser, and in Chromium where there is one. With
// SPARELINK=PROGRAM the check is that program's.

import { open } from "../page/browser.mjs";
import { chain } from "./chain.mjs";
import { files } from "./files.mjs";
import { overview } from "./overview.mjs";
import { page } from "./page.mjs";
import { plugin } from "./plugin.mjs";
import { serve } from "./server.mjs";
import { texts } from "./texts.mjs";

const words = process.argv.slice(2);
const named = (name) => !words.length || words.some((word) => name.includes(word));
const began = Date.now();
let [passed, failed] = [0, 0];

async function run(name, test, ...context) {
  const start = Date.now();
  const said = [];
  let result = "ok";
  try {
    await test(...context, (text) => said.push(text));
    passed += 1;
  } catch (error) {
    failed += 1;
    result = `FAILED\n${error.stack}`;
  }
  console.log(`test ${name} ... ${result} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  for (const text of said) console.log(`    ${text}`);
}

const groups = { texts, overview, chain, files, plugin };
for (const [group, tests] of Object.entries(groups)) {
  for (const [name, test] of Object.entries(tests)) if (named(`${group}: ${name}`)) await run(`${group}: ${name}`, test);
}

const wanted = Object.entries(page).filter(([name]) => named(`page: ${name}`));
const browser = wanted.length ? await open() : null;
if (wanted.length && !browser) console.log("skipped: there is no Chromium at /usr/bin/chromium (CHROMIUM names another)");
if (browser) {
  const server = await serve();
  for (const [name, test] of wanted) await run(`page: ${name}`, test, { context: browser.context, url: server.url });
  await browser.close();
  await server.close();
}

const result = failed ? "FAILED" : "ok";
console.log(`\ntest result: ${result}. ${passed} passed; ${failed} failed; finished in ${((Date.now() - began) / 1000).toFixed(1)} s`);
process.exit(failed ? 1 : 0);
