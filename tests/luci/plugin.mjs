// The half that runs on the box: a program of rpcd's, in the shell that OpenWrt has. jshn and sparelink are stubs, unless
// SPARELINK names a program.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { APP, HOME, boxWith, lineOf, meet } from "./meet.mjs";

const PLUGIN = `${APP}root/usr/libexec/rpcd/luci.sparelink`;
const BUSYBOX = ["/usr/bin/busybox", "/bin/busybox"].find((path) => existsSync(path));
const REAL = process.env.SPARELINK;

// As much of jshn as is used: values come back exactly, line breaks at their end too.
const JSHN = `
json_load() { REQUEST="$1"; }
json_get() { printf '%s' "$REQUEST" | "$NODE" -e '
  let value; try { value = JSON.parse(require("fs").readFileSync(0, "utf8"))[process.argv[1]]; } catch {}
  process.stdout.write(process.argv[2] === "type" ? (value === undefined ? "" : typeof value) : String(value ?? ""));
' "$2" "$1"; }
json_get_type() { eval "$1=\\$(json_get type $2)"; }
json_get_var() { local value; value="$(json_get value $2; echo .)"; eval "$1=\\"\\\${value%.}\\""; }
json_init() { ERROR=; }
json_add_string() { ERROR="$2"; }
json_dump() { ERROR="$ERROR" "$NODE" -e 'console.log(JSON.stringify({ error: process.env.ERROR }))'; }
`;

// It keeps what it was given, and how, and answers as it is told to.
const PROGRAM = `#!/bin/sh
dir="\${0%/*}"
printf '%s\\n' "$@" > "$dir/words"
cat > "$dir/text"
cat "$dir/answer"
exit "$(cat "$dir/code")"
`;

async function withPlugin(work) {
  const dir = await mkdtemp(join(tmpdir(), `sparelink-luci-${process.pid}-`));
  const put = (name, text) => writeFile(join(dir, name), text);
  await put("jshn.sh", JSHN);
  await put("sparelink", PROGRAM);
  await chmod(join(dir, "sparelink"), 0o755);
  const answer = async (text, code) => (await put("answer", text), await put("code", String(code)));
  await answer('{"ok":true,"mistakes":[],"more":0}\n', 0);
  const run = (args, input = "", env = {}) => {
    const named = { JSHN: join(dir, "jshn.sh"), SPARELINK: join(dir, "sparelink"), NODE: process.execPath };
    const done = spawnSync(BUSYBOX, ["sh", PLUGIN, ...args], { input, encoding: "utf8", env: { PATH: process.env.PATH, ...named, ...env } });
    return { ...done, json: done.stdout ? JSON.parse(done.stdout) : null };
  };
  const check = (text, env) => run(["call", "check"], JSON.stringify({ text, ubus_rpc_session: "0".repeat(32) }), env);
  const read = (name) => readFile(join(dir, name), "utf8");
  try {
    await work({ run, check, answer, read, dir });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const test = (work) => async (say) => (BUSYBOX ? withPlugin((plugin) => work(plugin, say)) : say("skipped: there is no busybox"));

export const plugin = {
  "it can be run, and says what it has": test(({ run }) => {
    assert.equal(spawnSync(BUSYBOX, ["sh", "-n", PLUGIN]).status, 0);
    assert.ok(spawnSync("test", ["-x", PLUGIN]).status === 0, "rpcd runs what may be run");
    assert.deepEqual(run(["list"]).json, { check: { text: "text" } });
  }),

  "the text arrives as it is, and in no file": test(async ({ check, read }) => {
    const text = "config uplink 'x'\n\toption ssid 'it'\\''s $(reboot) `x` \"q\" \\ %s ünï'\n\n";
    assert.deepEqual(check(text).json, { ok: true, mistakes: [], more: 0 });
    assert.equal(await read("text"), text);
    assert.deepEqual((await read("words")).trim().split("\n"), ["check", "--json", "--uci", "-"]);
  }),

  "mistakes are handed on": test(async ({ check, answer }) => {
    const said = { ok: false, mistakes: [{ line: 2, column: 9, text: "it's \"wrong\"", hint: null }], more: 0 };
    await answer(JSON.stringify(said), 2);
    assert.deepEqual(check("config x\n").json, said);
  }),

  "what goes wrong is one sentence": test(async ({ run, check, answer, dir }) => {
    assert.match(check("x", { SPARELINK: join(dir, "none") }).json.error, /none is missing: is the package sparelink installed\?$/);
    await answer("error: check has no flag --json\n", 2);
    assert.match(check("x").json.error, /could not check it \(exit code 2\)/);
    await answer("", 1);
    assert.match(check("x").json.error, /exit code 1/);
    await answer('{"ok":true}', 101);
    assert.match(check("x").json.error, /exit code 101/);
    assert.match(run(["call", "check"], "").json.error, /has no text/);
    assert.match(run(["call", "check"], "{").json.error, /has no text|no JSON/);
    assert.match(run(["call", "check"], '{"text":5}').json.error, /has no text/);
    assert.match(run(["call", "else"], "{}").json.error, /no method else/);
  }),

  "there is a limit, just below which it works": test(({ check }) => {
    assert.match(check("x".repeat(100_000)).json.error, /too long/);
    assert.equal(check("x".repeat(99_000)).json.ok, true);
  }),

  "nothing of a text is run": test(async ({ check, dir }) => {
    const mark = join(dir, "run");
    check(`'; touch ${mark}; '$(touch ${mark})\`touch ${mark}\`\n`);
    assert.ok(!existsSync(mark));
  }),

  "the real program, from the form to the field": test(async ({ check, run, dir }, say) => {
    if (!REAL) return say("skipped: SPARELINK names no program");
    const help = spawnSync(REAL, ["check", "--help"], { encoding: "utf8" }).stdout;
    if (!/--json/.test(help)) return say("skipped: its check has no --json yet");
    // What a configuration names is not read for who asks.
    const secret = join(dir, "secret");
    await writeFile(secret, "[[uplink]]\nname = 5\nhunter2\n");
    const named = spawnSync(BUSYBOX, ["sh", PLUGIN, "call", "check"], {
      input: JSON.stringify({ text: `config sparelink 'main'\n\toption config_file '${secret}'\n` }), encoding: "utf8",
      env: { PATH: process.env.PATH, JSHN: join(dir, "jshn.sh"), SPARELINK: REAL, NODE: process.execPath },
    });
    assert.deepEqual(JSON.parse(named.stdout), { ok: true, uplinks: [], mistakes: [], more: 0 });
    const real = (text) => run(["call", "check"], JSON.stringify({ text }), { SPARELINK: REAL }).json;
    const box = boxWith(HOME.filter(([type]) => type !== "ddns"), { "luci.sparelink check": ({ text }) => real(text) });
    const luci = meet(box);
    await luci.open("sparelink.chain");
    luci.type("main", "hold", "5");
    await luci.button("Save & Apply").click();
    const [mark] = luci.marks(luci.field("main", "hold"));
    assert.ok(mark, `no mark: ${luci.text().slice(0, 500)}`);
    say(mark.textContent);
    assert.equal(box.applied.length, 0);
    luci.type("main", "hold", "5m");
    await luci.button("Save & Apply").click();
    assert.equal(box.applied.length, 1, luci.text().slice(0, 300));
    const said = real("config uplink 'wan'\n\toption network 'wan'\n\toption gateway '192.168.1'\n");
    assert.deepEqual([said.ok, said.mistakes[0].line], [false, lineOf("a\nb\ngateway", "gateway")]);
  }),
};
