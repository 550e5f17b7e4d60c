// A box, a page of LuCI before it, and words to look at them.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Box } from "./standin/box.mjs";
import { makeLuci } from "./standin/luci.mjs";
import { tinyWindow } from "./standin/tiny.mjs";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const APP = `${ROOT}packaging/openwrt/luci-app-sparelink/`;
export const RESOURCES = `${APP}htdocs/luci-static/resources/`;

export const HOME = [
  ["sparelink", "main", { enabled: "1", lan: ["lan"], hold: "60s" }],
  ["probe", "probe", { target: ["1.1.1.1", "9.9.9.9"] }],
  ["uplink", "cable", { network: "wan" }],
  ["uplink", "my_phone", { name: "my-phone", network: "wwan", kind: "cellular", metered: "yes" }],
  ["uplink", "dsl", { network: "wan2", resolver: ["192.0.2.53"] }],
  ["notify", null, { to: "ntfy://ntfy.sh/our-secret-7f3k", min: "notice" }],
  ["ddns", null, { name: "home.example.net", protocol: "cloudflare" }],
];
const NETWORKS = { interface: ["loopback", "lan", "wan", "wwan"].map((name) => ({ interface: name })) };

export const RIGHT = { ok: true, mistakes: [], more: 0 };
export const wrong = (...mistakes) => ({ ok: false, mistakes: mistakes.map(([line, text, hint = null]) => ({ line, column: 9, text, hint })), more: 0 });

/** Finds the line of a text that has this, so that a test need not count. */
export const lineOf = (text, part) => text.split("\n").findIndex((line) => line.includes(part)) + 1;

export function boxWith(sections = HOME, answers = {}) {
  const box = new Box(sections ? { sparelink: sections } : {});
  box.answers = { "network.interface dump": NETWORKS, "luci.sparelink check": RIGHT, ...answers };
  return box;
}

/** LuCI without a browser before this box. */
export function meet(box) {
  const window = tinyWindow();
  const luci = makeLuci({ window, box, read: (file) => readFile(RESOURCES + file, "utf8") });
  const { document } = window;
  const text = () => document.body.textContent;
  const all = (selector) => document.querySelectorAll(selector);
  const button = (words, among = document) => {
    const found = [...among.querySelectorAll("button")].find((node) => node.textContent === words);
    if (!found) throw new Error(`there is no button ${words}`);
    return found;
  };
  /** The field of an option, in the form or in the dialog. */
  const field = (sid, option, below = document) => below.querySelector(`[data-field="cbid.sparelink.${sid}.${option}"]`);
  const type = (sid, option, value, below = document) => {
    const input = field(sid, option, below).querySelectorAll("input, select")[0];
    input.value = value;
    input.dispatchEvent(new window.CustomEvent("input", { bubbles: true }));
  };
  const dialog = () => document.querySelector("#modal_overlay");
  const rows = () => all("[data-sid]").map((row) => row.getAttribute("data-sid"));
  const row = (sid) => all("[data-sid]").find((node) => node.getAttribute("data-sid") === sid);
  const marks = (below = document) => [...below.querySelectorAll("[data-sparelink-mistake]")];
  return { ...luci, document, window, text, all, button, field, type, dialog, rows, row, marks };
}
