// Runs the tests of the status page: by itself against a scripted box, with `--url` against a real one.
//
//   node tests/page/run.mjs [WORDS…]            only tests whose name has one of the words
//   node tests/page/run.mjs --url URL           the page of a running agent, during a failover that
//                                               someone else brings about (see real.mjs)

import { open } from "./browser.mjs";

const args = process.argv.slice(2);
const url = args[0] === "--url" ? args[1] : process.env.SPARELINK_URL;
const words = args[0] === "--url" ? args.slice(2) : args;

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
    await test(context, (text) => said.push(text), url);
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

// Much of the time is spent waiting; a second browser uses it.
const workers = wanted.length > 1 ? 2 : 1;
const list = [...wanted];
const all = await Promise.all(Array.from({ length: workers }, () => work(list)));
if (!all.every(Boolean)) {
  console.log("skipped: there is no Chromium at /usr/bin/chromium (CHROMIUM names another)");
  process.exit(0);
}
const result = failed ? "FAILED" : "ok";
const took = ((Date.now() - began) / 1000).toFixed(1);
console.log(`\ntest result: ${result}. ${passed} passed; ${failed} failed; finished in ${took} s`);
process.exit(failed ? 1 : 0);
