// Runs the tests of the status page.
//
//   node tests/page/run.mjs [WORDS…]            before a scripted box; with words, only tests whose name has one
//   node tests/page/run.mjs --lab PROGRAM       the page of the real agent in the lab, which is given faults
//   node tests/page/run.mjs --url URL           the page of a running agent, during a failover that
//                                               someone else brings about (see real.mjs)

import { open } from "./browser.mjs";
import { start } from "./lab.mjs";

const [mode, where] = process.argv[2]?.startsWith("--") ? process.argv.slice(2, 4) : ["--script"];
const words = process.argv.slice(where ? 4 : 2);
const lab = mode === "--lab" ? await start(where) : null;
const url = lab?.url ?? where;

const { tests } = await import(url ? "./real.mjs" : "./page.mjs");
const wanted = Object.entries(tests).filter(
  ([name]) => !words.length || words.some((word) => name.includes(word)),
);
let [passed, failed] = [0, 0];
const began = Date.now();

async function run(context, name, test) {
  const start = Date.now();
  const said = [];
  let result = "ok";
  try {
    await test(context, (text) => said.push(text), url, lab);
    passed += 1;
  } catch (error) {
    failed += 1;
    result = `FAILED\n${error.stack}`;
  }
  console.log(`test ${name} ... ${result} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
  for (const text of said) console.log(`    ${text}`);
}

/** Takes tests off the list with a browser of its own: no cookie of one test is known to the next. */
async function work(list) {
  const browser = await open();
  if (!browser) return false;
  for (let next = list.shift(); next; next = list.shift()) await run(browser.context, ...next);
  await browser.close();
  return true;
}

// Much of the time is spent waiting; a second browser uses it. A real agent is in one story at a time.
const workers = wanted.length > 1 && !url ? 2 : 1;
const list = [...wanted];
const all = await Promise.all(Array.from({ length: workers }, () => work(list)));
if (!all.every(Boolean)) {
  console.log("skipped: there is no Chromium at /usr/bin/chromium (CHROMIUM names another)");
  process.exit(0);
}
if (lab && (await lab.close()) !== 0) failed += 1;
const result = failed ? "FAILED" : "ok";
const took = ((Date.now() - began) / 1000).toFixed(1);
console.log(`\ntest result: ${result}. ${passed} passed; ${failed} failed; finished in ${took} s`);
process.exit(failed ? 1 : 0);
