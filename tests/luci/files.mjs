// What the views and their files promise each other: keys, rights, menu, size.

import assert from "node:assert/strict";
import { readFile, readdir, stat } from "node:fs/promises";
import { APP, ROOT, boxWith, meet } from "./meet.mjs";

const HTDOCS = `${APP}htdocs/luci-static/resources/`;

async function sources() {
  const files = (await readdir(HTDOCS, { recursive: true })).filter((file) => file.endsWith(".js"));
  return Promise.all(files.map(async (file) => [file, await readFile(HTDOCS + file, "utf8")]));
}

/** The tables of src/config/openwrt/keys.rs: for each type of section its keys, and how each stands in the file. */
async function keys() {
  const rust = await readFile(`${ROOT}src/config/openwrt/keys.rs`, "utf8");
  const tables = {};
  for (const [, name, body] of rust.matchAll(/const ([A-Z]+): &\[Key\] = &\[(.*?)\n\];/gs)) {
    tables[name] = Object.fromEntries([...body.matchAll(/Key\("(\w+)", "\w*", "\w*", (\w+)/g)].map((found) => [found[1], found[2]]));
  }
  const sections = [...rust.matchAll(/\("(\w+)", ([A-Z]+), (?:None|Some)/g)].map(([, type, name]) => [type, tables[name]]);
  assert.ok(sections.length >= 7, "the tables are found");
  return Object.fromEntries(sections);
}

async function offered() {
  const luci = meet(boxWith());
  const view = await luci.open("sparelink.chain");
  return view.map.children.flatMap((section) => section.children.map((option) => [section.sectiontype, option.option, option.constructor]))
    .filter(([, option]) => !option.startsWith("_"))
    .map(([type, option, Class]) => [type, option, Class === luci.form.DynamicList ? "list" : Class === luci.form.Flag ? "flag" : "text"]);
}

export const files = {
  "every key of the form is one that the agent knows, and of its kind": async () => {
    const known = await keys();
    const all = await offered();
    assert.ok(all.length > 25);
    for (const [type, option, kind] of all) {
      const form = known[type]?.[option];
      assert.ok(form, `${type}.${option} is not in src/config/openwrt/keys.rs`);
      const wanted = { List: "list", Addresses: "list", Flag: "flag", Elsewhere: "flag" }[form] ?? "text";
      assert.equal(kind, wanted, `${type}.${option}`);
    }
    for (const key of ["network", "device", "metered", "on_return", "keep_route", "ssid"]) assert.ok(all.some(([type, option]) => type === "uplink" && option === key), key);
  },

  "the rights are those that the views use, and no more": async () => {
    const { "luci-app-sparelink": acl } = JSON.parse(await readFile(`${APP}root/usr/share/rpcd/acl.d/luci-app-sparelink.json`, "utf8"));
    const used = {};
    const configs = new Set();
    for (const [, source] of await sources()) {
      const calls = [...source.matchAll(/rpc\.declare\(\{\s*object: '([\w.]+)',\s*method: '(\w+)'/g)];
      assert.equal(calls.length, source.split("rpc.declare(").length - 1, "each call is found");
      for (const [, object, method] of calls) (used[object] ??= new Set()).add(method);
      for (const [, name] of source.matchAll(/uci\.load\('(\w+)'\)|CONFIG = '(\w+)'/g)) if (name) configs.add(name);
    }
    // Who may only look has nothing read by root for him.
    assert.deepEqual(acl.write, { ubus: { "luci.sparelink": ["check"] }, uci: ["sparelink"] }, "nothing but the file is changed");
    const allowed = { ...acl.read.ubus, ...acl.write.ubus };
    assert.deepEqual(Object.fromEntries(Object.entries(allowed).map(([object, methods]) => [object, methods.sort()])),
      Object.fromEntries(Object.entries(used).map(([object, methods]) => [object, [...methods].sort()])));
    assert.deepEqual(acl.read.uci, [...configs]);
    assert.equal(typeof acl.description, "string");
  },

  "the menu leads to the view": async () => {
    const menu = JSON.parse(await readFile(`${APP}root/usr/share/luci/menu.d/luci-app-sparelink.json`, "utf8"));
    const entry = menu["admin/network/sparelink"];
    assert.deepEqual([entry.action.type, entry.depends.acl], ["view", ["luci-app-sparelink"]]);
    assert.ok((await stat(`${HTDOCS}view/${entry.action.path}.js`)).isFile());
    const links = (await sources()).flatMap(([, source]) => [...source.matchAll(/L\.url\('([\w/]+)'\)/g)].map((found) => found[1]));
    assert.ok(links.length > 0 && links.every((link) => menu[link]), "links of our own lead there, too");
  },

  "each file stays small, and sets no HTML": async () => {
    for (const [file, source] of await sources()) {
      assert.ok(source.split("\n").length <= 500, file);
      assert.ok(source.startsWith("'use strict';\n'require "), file);
      assert.doesNotMatch(source, /innerHTML|insertAdjacentHTML|rawhtml|document\.write|\beval\(/, file);
    }
  },

  "every module that is asked for is there": async () => {
    const own = new Set((await sources()).map(([file]) => file.replace(/\.js$/, "").replaceAll("/", ".")));
    const luci = new Set(["baseclass", "view", "form", "rpc", "uci", "ui", "poll", "dom"]);
    for (const [file, source] of await sources())
      for (const [, name] of source.matchAll(/^'require ([\w.]+)/gm)) assert.ok(own.has(name) || luci.has(name), `${file}: ${name}`);
  },
};
