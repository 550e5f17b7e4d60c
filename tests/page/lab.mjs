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
  let heard = () => {};
  for await (const line of createInterface({ input: lab.stdout })) {
    said.push(line);
    const url = line.match(/The page is at (http:\S+\/)\./)?.[1];
    if (!url) continue;
    clearTimeout(late);
    createInterface({ input: lab.stdout }).on("line", (line) => heard(line));
    const password = line.match(/Its password is (\w+)\./)?.[1];
    const type = (words) => lab.stdin.write(`${words}\n`);
    const close = () => (type("quit"), ended);
    /** Types a command, and waits until it has been answered like this. */
    const answer = (words, pattern) =>
      new Promise((done, failed) => {
        setTimeout(() => failed(new Error(`${words}: no answer`)), PATIENCE).unref();
        heard = (line) => pattern.test(line) && done(line.match(pattern));
        type(words);
      });
    return { url, password, type, answer, close };
  }
  clearTimeout(late);
  throw new Error(`the lab shows no page:\n${said.join("\n")}`);
}
