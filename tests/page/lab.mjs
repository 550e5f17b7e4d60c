// A home in network namespaces, with the real agent and its page at this machine's own address.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const PATIENCE = 60_000;

/** Starts the lab; `type` types a command, `close` ends it and gives its exit code. */
export async function start(program) {
  const lab = spawn(program, ["lab"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((done) => lab.on("close", done));
  const late = setTimeout(() => lab.kill(), PATIENCE);
  const said = [];
  for await (const line of createInterface({ input: lab.stdout })) {
    said.push(line);
    const url = line.match(/The page is at (http:\S+\/)\./)?.[1];
    if (!url) continue;
    clearTimeout(late);
    lab.stdout.resume();
    const password = line.match(/Its password is (\w+)\./)?.[1];
    const type = (words) => lab.stdin.write(`${words}\n`);
    const close = () => (type("quit"), ended);
    return { url, password, type, close };
  }
  clearTimeout(late);
  throw new Error(`the lab shows no page:\n${said.join("\n")}`);
}
