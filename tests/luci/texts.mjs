// What would be saved, as text, and what stands on each of its lines.

import assert from "node:assert/strict";
import { HOME, boxWith, meet } from "./meet.mjs";

async function builder(sections = HOME) {
  const { load, uci } = meet(boxWith(sections));
  const ucitext = await load("sparelink.ucitext");
  await uci.load("sparelink");
  return { ucitext, uci };
}

/** uci's own way to read what is between its quotes, to see that it reads back. */
function unquoted(text) {
  assert.match(text, /^('[^']*'|\\')+$/s, text);
  return [...text.matchAll(/'([^']*)'|\\(')/gs)].map(([, inside, quote]) => inside ?? quote).join("");
}

export const texts = {
  "a whole file, as uci would write it": async () => {
    const { ucitext } = await builder();
    const { text } = ucitext.build();
    assert.equal(
      text,
      [
        "config sparelink 'main'\n\toption enabled '1'\n\tlist lan 'lan'\n\toption hold '60s'\n",
        "config probe 'probe'\n\tlist target '1.1.1.1'\n\tlist target '9.9.9.9'\n",
        "config uplink 'cable'\n\toption network 'wan'\n",
        "config uplink 'my_phone'\n\toption name 'my-phone'\n\toption network 'wwan'\n\toption kind 'cellular'\n\toption metered 'yes'\n",
        "config uplink 'dsl'\n\toption network 'wan2'\n\tlist resolver '192.0.2.53'\n",
        "config notify\n\toption to 'ntfy://ntfy.sh/our-secret-7f3k'\n\toption min 'notice'\n",
        "config ddns\n\toption name 'home.example.net'\n\toption protocol 'cloudflare'\n",
      ].join(""),
    );
  },

  "each line knows its section, its option and its element": async () => {
    const { ucitext } = await builder();
    const { text, places } = ucitext.build();
    const lines = text.trimEnd().split("\n");
    assert.equal(places.length, lines.length);
    const at = (part) => places[lines.findIndex((line) => line.includes(part))];
    assert.deepEqual(at("9.9.9.9"), { sid: "probe", type: "probe", option: "target", index: 1 });
    assert.deepEqual(at("config uplink 'dsl'"), { sid: "dsl", type: "uplink", option: null, index: null });
    assert.deepEqual(at("our-secret"), { sid: "cfg000005", type: "notify", option: "to", index: null });
  },

  "values of any kind read back as they were": async () => {
    const hard = ["it's", "'", "''", "a\\b", '"x"', "a#b; c", "$(reboot)`x`", " blank ", "ünï 漢", "two\nlines\n", "\\'"];
    const { ucitext } = await builder([["uplink", "x", { network: "wan", ssid: "it's", note: "a\nb", last: "z", keep_route: hard }]]);
    for (const value of hard) assert.equal(unquoted(ucitext.quoted(value)), value);
    const { text, places } = ucitext.build();
    assert.ok(text.includes("\toption ssid 'it'\\''s'\n"));
    // What follows a value of two lines is still at its own place.
    const lines = text.split("\n");
    assert.equal(places[lines.findIndex((line) => line.includes("option last"))].option, "last");
    assert.equal(places[lines.indexOf("b'")].option, "note");
  },

  "what is empty or removed is not there, what is new is": async () => {
    const { ucitext, uci } = await builder([["uplink", "x", { network: "wan", gateway: "192.0.2.1", prefix: [], resolver: ["", "192.0.2.53"], hold: "" }]]);
    uci.unset("sparelink", "x", "gateway");
    const { text } = ucitext.build({ x: { network: null, device: "eth1", metered: "1" } });
    assert.equal(text, "config uplink 'x'\n\tlist resolver '192.0.2.53'\n\toption device 'eth1'\n\toption metered '1'\n");
  },

  "the order is that of the chain, after dragging and with what is new": async () => {
    const { ucitext, uci } = await builder();
    const order = () => [...ucitext.build().text.matchAll(/config uplink(?: '(\w+)')?/g)].map((found) => found[1]);
    assert.deepEqual(order(), ["cable", "my_phone", "dsl"]);
    uci.move("sparelink", "dsl", "cable", false);
    uci.add("sparelink", "uplink", "lte");
    assert.deepEqual(order(), ["dsl", "cable", "my_phone", "lte"]);
    uci.move("sparelink", "lte", "dsl", true);
    uci.remove("sparelink", "cable");
    assert.deepEqual(order(), ["dsl", "lte", "my_phone"]);
  },

  "a section gets a name that uci takes, and one of its own": async () => {
    const { ucitext } = await builder();
    for (const [wanted, name] of [["lte", "lte"], ["my-lte", "my_lte"], ["my-phone", "my_phone_2"], ["cable", "cable_2"], ["büro.2", "b_ro_2"], ["main", "main_2"]])
      assert.equal(ucitext.sectionName(wanted), name);
  },

  "nothing is nothing": async () => {
    const { ucitext } = await builder([]);
    assert.deepEqual(ucitext.build(), { text: "", places: [] });
  },
};
