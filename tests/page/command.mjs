// `sparelink status` on every state that the page is shown: the same five questions are answered there.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { STATES } from "./states.mjs";

const PROGRAM = process.env.SPARELINK ?? fileURLToPath(new URL("../../target/debug/sparelink", import.meta.url));

/** What the program prints where the agent's socket answers with a state. */
async function status(dir, state) {
  const box = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(request.url.includes("/status") ? state.status : []));
  });
  await new Promise((done) => box.listen(join(dir, "sparelink.sock"), done));
  const said = await new Promise((done) =>
    execFile(PROGRAM, ["status", "--run-dir", dir], (error, out, err) => done({ code: error?.code ?? 0, out, err })),
  );
  await new Promise((done) => box.close(done));
  return said;
}

export const command = {
  "the command line answers the five questions in every state": async (_context, say) => {
    if (!existsSync(PROGRAM)) return say(`skipped: ${PROGRAM} is not there`);
    const dir = await mkdtemp(join(tmpdir(), `sparelink-status-${process.pid}-`));
    try {
      let works = 0;
      for (const [name, state] of Object.entries(STATES)) {
        const { code, out, err } = await status(dir, state());
        const shown = `${name}: ${out}${err}`;
        assert.ok(code === (out.startsWith("Internet works") ? 0 : 1) || state().status.observing, shown);
        // Which carries, since when, why, what next, and which spares there are.
        assert.match(out, /^(Internet works, on \S|No Internet|.*watching)/im, shown);
        // A box that has just begun knows of no time.
        if (state().status.since !== null || state().status.switches > 0) assert.match(out, /since /, shown);
        assert.match(out, /^ {2}Why: {3}\S/m, shown);
        assert.match(out, /^ {2}Next: {2}\S/m, shown);
        assert.match(out, /spares? ready \(|No spare left\.|No other uplink/, shown);
        for (const { name: uplink } of state().status.uplinks) assert.ok(out.includes(uplink), shown);
        works += out.startsWith("Internet works");
      }
      assert.ok(works > 3 && works < Object.keys(STATES).length, "control: some work, and some do not");
      say(`${Object.keys(STATES).length} states`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  },
};
