// The page, as people meet it: in a real browser, before a box that plays every state.

import assert from "node:assert/strict";
import { mkdir, readFile, readdir } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { watchFrom } from "./browser.mjs";
import { command } from "./command.mjs";
import { HOSTILE } from "./hostile.mjs";
import {
  COLOURS,
  DESK,
  EVERYTHING,
  PHONE,
  SHOTS,
  TABLET,
  WEB,
  card,
  faults,
  fits,
  live,
  meet,
  more,
  names,
  part,
  poll,
  shoot,
  text,
} from "./meet.mjs";
import { Box, PASSWORD } from "./server.mjs";
import { settings } from "./settings.mjs";
import { STATES, halves, line, named, status, uplink } from "./states.mjs";

const hostileState = (from) => {
  const h = (i) => HOSTILE[(from + i) % HOSTILE.length];
  const seven = (i) => h(i * 5);
  const all = Array.from({ length: 14 }, (_, i) =>
    uplink(h(i), {
      role: i ? ["ready", "not_ready", "paused"][i % 3] : "active",
      interface: h(i),
      ssid: h(i),
      reason: h(i),
      next: h(i),
      v4: line("192.0.2.7", { address: seven(i), gateway: h(i) }),
    }),
  );
  return {
    status: status(all, {
      host: h(0),
      sentence: `Internet works, on ${h(0)}: ${h(1)}`,
      manual: h(2),
      names: [named(h(3), h(3)), named(h(4), h(4), h(5))],
      last_switch: { at: null, from: h(1), to: h(0), reason: h(2), felt_ms: 1 },
    }),
    history: HOSTILE.map((name, i) => ({
      id: i,
      at: null,
      code: h(i),
      severity: i % 2 ? h(i) : "info",
      uplink: name,
      text: name,
    })),
    timeline: {
      span_s: 86400,
      segments: [{ from_s_ago: 86400, to_s_ago: 0, state: "first", uplink: h(0) }],
      uplinks: [],
    },
  };
};

export const tests = {
  ...command,
  ...settings,

  "every state is readable for everyone, in both themes, on phone and desk": async (context, say) => {
    const { box, page } = await meet(context, STATES.ok());
    let [count, bad] = [0, []];
    for (const [name, state] of Object.entries({ ...STATES, hostile: () => hostileState(0) })) {
      box.play(state());
      await page.goto(box.url);
      await live(page);
      await page.waitForSelector("#lanes rect");
      for (const [size, theme] of [
        [PHONE, "light"],
        [PHONE, "dark"],
        [TABLET, "light"],
        [DESK, "dark"],
        [DESK, "light"],
      ]) {
        const what = `${name}-${theme}-${size.width}`;
        await page.setViewportSize(size);
        await page.emulateMedia({ colorScheme: theme });
        await fits(page, what);
        const rules = theme === "light" ? EVERYTHING : COLOURS;
        for (const fault of await faults(page, rules)) bad.push(`${what}: ${fault}`);
        await shoot(page, what);
        count += 1;
      }
    }
    assert.deepEqual(bad, []);
    // Would a fault have been noticed?
    await page.evaluate(() =>
      document.body.append(Object.assign(document.createElement("img"), { src: "/icon.svg" })),
    );
    assert.match((await faults(page)).join(), /image-alt/);
    say(`${count} pictures in target/page`);
    await part({ box, page });
  },

  "dialogs and the unconnected page are readable for everyone": async (context) => {
    for (const theme of ["light", "dark"]) {
      const { box, page } = await meet(context, STATES.ok(), { theme });
      const looks = async (name) => {
        await fits(page, name);
        assert.deepEqual(await faults(page), [], `${name} ${theme}`);
        await page.screenshot({ path: `${SHOTS}${name}-${theme}-360.png` });
      };
      await mkdir(SHOTS, { recursive: true });
      await more(page, "mifi");
      await card(page, "mifi").getByRole("button", { name: "Pause" }).click();
      await looks("dialog-pause");
      await page.keyboard.press("Escape");
      await card(page, "mifi").getByRole("button", { name: "Prefer" }).click();
      await looks("dialog-switch");
      await page.keyboard.press("Escape");
      await page.locator("#login").click();
      await looks("dialog-login");
      await page.keyboard.press("Escape");
      await page.locator("#day-table summary").click();
      await page.locator("#small-things").check();
      await looks("details-open");
      await shoot(page, `details-${theme}-360`);
      await box.stop();
      await page.waitForSelector("body[data-live=no]");
      await page.evaluate(() => scrollTo(0, 0));
      await looks("unconnected");
      await page.setViewportSize(DESK);
      await page.screenshot({ path: `${SHOTS}unconnected-${theme}-1280.png` });
      await page.close();
    }
  },

  "hostile names stay text": async (context, say) => {
    const { box, page } = await meet(context, hostileState(0), { size: DESK });
    await page.locator("#small-things").check();
    while (await page.locator("#more").isVisible()) await page.locator("#more").click();
    const shape = () =>
      page.evaluate(() =>
        [...document.querySelectorAll("*")]
          .map((n) => n.tagName)
          .filter(
            (tag) =>
              !/^(html|head|meta|title|link|script|body|svg|symbol|path|use|rect|text|a|header|main|div|img|b|bdi|p|span|button|noscript|section|h1|h2|h3|nav|ol|li|dl|dt|dd|article|figure|figcaption|details|summary|table|caption|thead|tbody|tr|th|td|label|input|time|dialog|form|select|option|template|code|iframe)$/i.test(
                tag,
              ),
          ),
      );
    const inert = async () => {
      assert.deepEqual(await shape(), [], "no element that the page does not make");
      const strange = await page.evaluate(
        () =>
          [...document.querySelectorAll("*")].filter((n) =>
            [...n.attributes].some(
              (a) => /^on/i.test(a.name) || a.name === "style" || /javascript:|^data:/i.test(a.value),
            ),
          ).length,
      );
      assert.equal(strange, 0, "no attribute that the page does not set");
      assert.equal(await page.locator("iframe, body img:not([alt=''])").count(), 0);
      const html = await page.evaluate(() => document.body.innerHTML);
      const raw = HOSTILE.filter((name) => /<[a-z!/%]/i.test(name) && html.includes(name));
      assert.deepEqual(raw, [], "no raw < anywhere");
    };
    await inert();
    // Positive control: they are there, to be read.
    const log = await page.locator("#entries").textContent();
    for (const name of HOSTILE.slice(0, 12)) assert.ok(log.includes(name), `the log says ${name}`);
    for (let from = 14; from < HOSTILE.length; from += 14) {
      box.play(hostileState(from));
      box.say();
      const last = HOSTILE[(from + 13) % HOSTILE.length];
      await page.waitForFunction(
        ([want, drop]) => document.querySelectorAll(".card")[13]?.uplink.name === want || drop,
        [JSON.parse(JSON.stringify(last)), false],
      );
      await inert();
      await fits(page, `hostile from ${from}`);
    }
    // Positive control: markup would have been noticed. It stands where the page does not write in the meantime.
    await page.evaluate(() => {
      const place = document.createElement("p");
      place.innerHTML = "<img src=x onerror=alert(1)><b style='color:red'>x</b>";
      document.body.append(place);
    });
    await assert.rejects(inert());
    await poll("the violation", () => page.evaluate(() => window.seen.violations.length > 0));
    say(`${HOSTILE.length} strings as uplink, interface, SSID, reason, entry and host`);
    await page.evaluate(() => {
      window.seen.violations = [];
    });
    await part({ box, page });
  },

  "a status is on the screen at once": async (context, say) => {
    const { box, page } = await meet(context, STATES.ok());
    const usable = await page.evaluate(() => window.seen.usable);
    const took = [];
    for (let i = 0; i < 10; i += 1) {
      const state = i % 2 ? STATES.ok() : STATES.backup();
      const said = box.say(state.status);
      const word = i % 2 ? "on cable" : "on mifi";
      const at = await poll(word, () =>
        page.evaluate((want) => {
          const last = window.seen.changes.at(-1);
          return last?.text.includes(want) ? last.at : 0;
        }, word),
      );
      took.push(at - said);
      await new Promise((done) => setTimeout(done, 60));
    }
    took.sort((a, b) => a - b);
    say(
      `on the screen ${took[5]} ms after the box said it (worst ${took.at(-1)} ms); usable ${Math.round(usable)} ms after the navigation began`,
    );
    assert.ok(took.at(-1) <= 1000, `${took}`);
    assert.ok(usable <= 3000, `${usable}`);
    await part({ box, page });
  },

  "nothing jumps under who reads": async (context, say) => {
    for (const size of [PHONE, DESK]) {
      const { box, page } = await meet(context, STATES.draining(), { size });
      await page.waitForSelector("#lanes rect");
      await page.evaluate(() => {
        window.kept = [...document.querySelectorAll(".card, #entries li")];
      });
      const loading = await page.evaluate(() => window.seen.shifts);
      const shifts = async () => (await page.evaluate(() => window.seen.shifts)) - loading;
      const settle = () => page.waitForTimeout(120);
      // Figures and counts change all the time, and move nothing.
      const { status } = box.state;
      for (let i = 1; i <= 9; i += 1) {
        for (const u of status.uplinks) Object.assign(u, { rtt_ms: 9.4 ** (i % 4), loss_pct: i, proven_s_ago: 47 * i });
        status.uplinks[1].draining = { flows: 10 - i, bytes: 3.3 ** i, seconds_left: 565 - i };
        box.say(status);
        await settle();
      }
      const resting = await shifts();
      // The sentence at the top is as long as it has to be; who reads further down does not see it grow.
      await page.locator(size === PHONE ? "#day" : "#log").evaluate((node) => node.scrollIntoView({ block: "start", behavior: "instant" }));
      await page.evaluate(() => scrollBy({ top: 60, behavior: "instant" }));
      await settle();
      const place = () => page.locator("#log").evaluate((node) => node.getBoundingClientRect().top);
      const top = await place();
      const heights = new Set();
      for (const name of ["ok", "backup", "returning", "none", "paused", "portal", "manual", "observing", "ok"]) {
        box.play({ ...STATES[name](), timeline: box.state.timeline });
        box.say();
        await settle();
        heights.add(await page.locator("#hero").evaluate((node) => node.offsetHeight));
        assert.ok(Math.abs((await place()) - top) < 3, `${name}: the log stays where it is read`);
      }
      say(`${size.width} px: layout shift ${loading.toFixed(4)} while loading, ${resting.toFixed(4)} in 9 changes of figures`);
      const { worst } = await page.evaluate(() => window.seen);
      assert.ok(loading < 0.02 && resting < 0.005, worst.join("\n"));
      assert.ok(heights.size > 2, "control: the top grows and shrinks");
      assert.ok(
        await page.evaluate(() => window.kept.every((node) => node.isConnected)),
        "nodes are kept, not rebuilt",
      );
      // Positive control: a jump would have been noticed.
      const last = await shifts();
      await page.evaluate(() => {
        scrollTo({ top: 0, behavior: "instant" });
        const spacer = document.createElement("div");
        spacer.append(..."xxxxxx".split("").map(() => document.createElement("hr")));
        document.getElementById("main").prepend(spacer);
      });
      await poll("the shift", async () => (await shifts()) > last + 0.02);
      await part({ box, page });
    }
  },

  "the first screen has no blank, and says what was done by hand": async (context) => {
    for (const size of [PHONE, TABLET, DESK]) {
      const { box, page } = await meet(context, STATES.ok(), { size });
      /** The widest gap between two parts of the hero, in pixels. */
      const gap = () =>
        page.evaluate(() => {
          const parts = [...document.querySelectorAll("#hero .words > *, #pills, #hero .facts")].filter((n) => n.offsetHeight);
          const all = parts.map((n) => n.getBoundingClientRect()).sort((a, b) => a.top - b.top);
          const boxes = all.filter((box) => box.left === all[0].left);
          let [end, widest] = [boxes[0].bottom, 0];
          for (const { top, bottom } of boxes.slice(1)) {
            widest = Math.max(widest, top - end);
            end = Math.max(end, bottom);
          }
          return widest;
        });
      for (const [name, state] of Object.entries(STATES)) {
        box.play(state());
        box.state.status.host = name;
        box.say();
        await poll(name, async () => (await page.locator("#host").textContent()) === name);
        assert.ok((await gap()) <= 16, `${name} at ${size.width}: a gap of ${await gap()} px`);
        const spares = { ok: "mifi, phone", backup: "phone", manual: "phone", none: "none of 2", many: "4 of 13" }[name];
        if (spares) assert.equal(await text(page, "#fact-spares dd"), spares);
        const manual = page.locator("#manual");
        assert.equal(await manual.isVisible(), name === "manual", name);
        if (name === "manual")
          assert.equal(await manual.innerText(), "mifi is preferred by hand until 19:10 · Back to automatic");
      }
      // Without an end none is named.
      const endless = STATES.manual().status;
      box.say({ ...endless, manual_until: null });
      await poll("no end", async () => (await text(page, "#manual")) === "mifi is preferred by hand · Back to automatic");
      // Nothing of it is animated but colours.
      const animated = await page.evaluate(() =>
        ["#hero", "#hero .words", ".card", ".card .more"].map((name) => getComputedStyle(document.querySelector(name)).transitionProperty),
      );
      assert.deepEqual([...new Set(animated)].sort(), ["all", "box-shadow"]);
      assert.equal(await page.locator(".words").evaluate((n) => getComputedStyle(n).transitionDuration), "0s");
      // Positive control: a blank would have been noticed.
      await page.evaluate(() => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync("#hero .next { margin-top: 60px }");
        document.adoptedStyleSheets = [sheet];
      });
      assert.ok((await gap()) > 16);
      await part({ box, page });
    }
  },

  "on a phone three uplinks are two screens": async (context, say) => {
    const { box, page } = await meet(context, STATES.ok());
    const height = () => page.evaluate(() => document.documentElement.scrollHeight);
    const said = [];
    for (const name of Object.keys(STATES).filter((name) => name !== "many")) {
      box.play(STATES[name]());
      await page.goto(box.url);
      await live(page);
      await page.waitForSelector("#lanes rect");
      said.push(`${name} ${await height()}`);
      // An alarm, a channel and a name that fail are told besides.
      assert.ok((await height()) <= (name === "outage_plugged" ? 1600 : 1500), `${name}: ${await height()} px high`);
      // No word is broken: a time and how long it was felt are two lines at most.
      const felt = await page.locator("#fact-switch dd").evaluate((dd) => {
        const range = document.createRange();
        range.selectNodeContents(dd);
        return new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size;
      });
      assert.ok(felt <= 2, `${name}: ${felt} lines`);
      // A card is a name, a tag, one sentence, three figures, and the way to more.
      const words = await card(page, "phone").innerText();
      assert.ok(words.split("\n").filter(Boolean).length <= 12, words);
      assert.equal(await card(page, "phone").locator("button:visible").count(), 1);
    }
    say(`px high at 360: ${said.join(", ")}`);
    // What is well needs no words.
    box.say(STATES.ok().status);
    await poll("calm", async () => (await page.locator(".card .why:visible").count()) === 0);
    const everything = await page.evaluate(() => document.body.innerText);
    assert.doesNotMatch(everything, /Stays in use|could take over|those before it|\bworks\n/i);
    box.say(STATES.backup().status);
    await poll("one sentence", async () => (await page.locator(".card .why:visible").count()) === 1);
    // A tag is not said again, and a long time has its own unit.
    const busy = STATES.backup().status;
    Object.assign(busy.uplinks[2], { role: "not_ready", health: "unknown", reason: "being checked", rtt_ms: 2346 });
    box.say(busy);
    await poll("the tag", async () => /^3\s+phone\s+Being checked\s+latency\s+2\.3 s/.test(await card(page, "phone").innerText()));
    assert.equal(await page.locator(".card .why:visible").count(), 1);
    box.say(STATES.backup().status);
    // Positive control: More has the rest, and makes the page longer.
    const before = await height();
    const opener = card(page, "cable").getByRole("button", { name: "More" });
    assert.equal(await opener.getAttribute("aria-expanded"), "false");
    await opener.click();
    assert.equal(await opener.getAttribute("aria-expanded"), "true");
    assert.ok((await height()) > before + 300);
    assert.match(await card(page, "cable").innerText(), /84\.12\.9\.70[\s\S]*gateway/);
    assert.equal(await card(page, "cable").locator("button:visible").count(), 5);
    assert.equal(await card(page, "mifi").locator("button:visible").count(), 1);
    await opener.click();
    assert.equal(await height(), before);
    // Who has logged in has the buttons at hand.
    await page.locator("#login").click();
    await page.locator("#enter-password").fill(PASSWORD);
    await page.locator("#enter-do").click();
    await poll("the buttons", async () => (await card(page, "mifi").locator("button:visible").count()) === 5);
    await shoot(page, "logged-in-360");
    await page.context().clearCookies();
    await page.evaluate(() => localStorage.clear());
    await part({ box, page });
  },

  "it has an icon on a home screen, and one that shows the state": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    const cdp = await context.newCDPSession(page);
    const { url, data, errors } = await cdp.send("Page.getAppManifest");
    assert.equal(url, `${box.url}manifest.webmanifest`);
    assert.deepEqual(errors, []);
    const manifest = JSON.parse(data);
    assert.deepEqual([manifest.name, manifest.start_url, manifest.display], ["sparelink", "/", "standalone"]);
    /** The width of a PNG as its head has it. */
    const width = async (path) => {
      const answer = await page.request.get(new URL(path, box.url).href);
      assert.equal(answer.status(), 200, path);
      assert.equal(answer.headers()["content-type"], "image/png", path);
      const bytes = await answer.body();
      assert.ok(bytes.length < 4000, `${path}: ${bytes.length} bytes`);
      return `${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`;
    };
    const pictures = manifest.icons.filter((icon) => icon.type === "image/png");
    assert.deepEqual(pictures.map((icon) => icon.sizes), ["192x192", "512x512"]);
    for (const icon of pictures) assert.equal(await width(icon.src), icon.sizes);
    const touch = await page.locator("link[rel=apple-touch-icon]").getAttribute("href");
    assert.equal(await width(touch), "180x180");
    assert.equal((await page.request.get(`${box.url}favicon.ico`)).status(), 200);
    // Among the tabs of a browser its icon says how it stands.
    const href = () => page.locator("link[rel=icon]").getAttribute("href");
    for (const [name, want] of [
      ["ok", "/icon.svg"],
      ["backup", "/icon-warn.svg"],
      ["none", "/icon-bad.svg"],
      ["first_boot", "/icon-idle.svg"],
      ["ok", "/icon.svg"],
    ]) {
      box.say(STATES[name]().status);
      await poll(`${want} for ${name}`, async () => (await href()) === want);
      const icon = await page.request.get(new URL(want, box.url).href);
      assert.equal(icon.headers()["content-type"], "image/svg+xml");
      // It can be drawn, and no two look alike.
      await page.evaluate((src) => Object.assign(new Image(), { src }).decode(), want);
    }
    const drawn = await Promise.all(["", "-warn", "-bad", "-idle"].map((end) => readFile(new URL(`icon${end}.svg`, WEB), "utf8")));
    assert.equal(new Set(drawn).size, 4);
    // Positive control: a picture that cannot be had is noticed.
    await assert.rejects(page.evaluate(() => Object.assign(new Image(), { src: "/icon-none.svg" }).decode()));
    await box.stop();
    await page.waitForSelector("body[data-live=no]");
    assert.equal(await href(), "/icon-idle.svg");
    await page.close();
  },

  "five questions are answered by labels, in every state": async (context, say) => {
    const { box, page } = await meet(context, STATES.ok(), { size: DESK });
    for (const [name, state] of Object.entries(STATES)) {
      box.play(state());
      await page.goto(box.url);
      await live(page);
      const { status } = state();
      const hero = await text(page, "#hero");
      // Which uplink, or that there is none, and since when.
      const carries = status.active ?? status.active6;
      const head = await text(page, "#head");
      assert.match(head, carries ? new RegExp(`on ${carries}`) : /No Internet|Looking|Starting|Checking/i, name);
      if (carries && status.since) assert.match(head, /since|for/, name);
      // Why that one: the first of the chain needs no reason but that it is; every other has a sentence.
      const first = status.uplinks[0].name;
      const why = `${await text(page, "#because")}${status.manual ? await text(page, "#manual") : ""}`;
      if (carries !== first) assert.ok(why.length > 10, `${name}: ${hero}`);
      assert.match(await text(page, ".chain h2"), /the first that works carries the traffic/i);
      // Which spare, and what comes next: each by its label.
      assert.match(await text(page, "#fact-spares"), /^Spares ready\s+\S/, name);
      assert.match(hero, /\nNext \S|^Next \S/m, `${name}: ${hero}`);
    }
    say(`${Object.keys(STATES).length} states`);
    await part({ box, page });
  },

  "of what changes it needs no more than that": async (context, say) => {
    const { box, page } = await meet(context, STATES.ok(), { size: DESK });
    assert.ok(box.requests.includes("/api/v1/events?changes"), "it asks for differences");
    const rtt = (name) => card(page, name).locator("[data-f=rtt]").innerText();
    box.send("changes", { "/uplinks/1/rtt_ms": 77, "/uplinks/2/rtt_ms": null, "/time": box.state.status.time });
    await poll("the figure", async () => (await rtt("mifi")) === "77 ms");
    assert.equal(await rtt("phone"), "–");
    assert.equal(await rtt("cable"), "11 ms", "what did not change stays");
    // A whole part at once; a key with a stroke and one with a tilde.
    const { uplinks } = STATES.backup().status;
    box.send("changes", { "/uplinks": uplinks, "/active": "mifi", "/active6": null, "/x~1y": 1, "/x~0y": 2 });
    await poll("the other uplink", async () => /on mifi/.test(await text(page, "#head")));
    // Differences are to what the stream said, not to what was heard in another way meanwhile.
    const other = STATES.backup().status;
    other.uplinks[1].rtt_ms = 500;
    box.state.status = other;
    await page.evaluate(() => {
      for (const hidden of [true, false]) {
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        if (hidden) document.dispatchEvent(new Event("visibilitychange"));
      }
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await poll("the whole", async () => (await rtt("mifi")) === "500 ms");
    await poll("a stream", () => box.streams.size === 1);
    box.send("changes", {});
    box.send("changes", { "/uplinks/1/loss_pct": 9 });
    await poll("the loss", async () => /^9 %/.test(await card(page, "mifi").locator("[data-f=loss]").innerText()));
    // What cannot be placed is left out, and breaks nothing.
    box.send("changes", { "/uplinks/9/rtt_ms": 3 });
    box.send("changes", { "/uplinks/1/loss_pct": 4 });
    await poll("the next", async () => /^4 %/.test(await card(page, "mifi").locator("[data-f=loss]").innerText()));
    await part({ box, page });
  },

  "a page that nobody sees is sent nothing": async (context) => {
    const turn = () => {
      let hidden = false;
      Object.defineProperty(document, "hidden", { get: () => hidden });
      window.turn = (off) => {
        hidden = off;
        document.dispatchEvent(new Event("visibilitychange"));
      };
      // A minute passes in a quarter of a second.
      const real = window.setInterval;
      window.setInterval = (work, every) => real(work, every === 60_000 ? 250 : every);
    };
    const { box, page } = await meet(context, STATES.ok(), { before: turn });
    await page.waitForTimeout(300);
    const streams = () => box.requests.filter((path) => path.startsWith("/api/v1/events")).length;
    assert.deepEqual([box.streams.size, streams()], [1, 1], "control: it listens while it is seen");
    await page.evaluate(() => window.turn(true));
    await poll("the end of the stream", () => box.streams.size === 0);
    box.requests.length = 0;
    box.state.status = STATES.none().status;
    await page.waitForTimeout(2500);
    assert.equal(streams(), 0, "it does not listen");
    // Once a minute it asks how things are, so that its title and its icon are true.
    const asked = new Set(box.requests.filter((path) => !path.startsWith("/icon")));
    assert.deepEqual([...asked], ["/api/v1/status"]);
    assert.match(await page.title(), /^✕ No Internet/);
    assert.equal(await page.locator("#favicon").getAttribute("href"), "/icon-bad.svg");
    await page.evaluate(() => window.turn(false));
    await poll("another stream", () => box.streams.size === 1);
    assert.equal(await page.evaluate(() => document.body.dataset.live), "yes");
    await part({ box, page });
  },

  "what stays the same is not touched": async (context) => {
    const { box, page } = await meet(context, STATES.draining());
    await page.waitForSelector("#lanes rect");
    await page.evaluate(() => {
      window.touched = [];
      const note = (list) => {
        for (const change of list) {
          const node = change.target.nodeType === Node.TEXT_NODE ? change.target.parentNode : change.target;
          window.touched.push(node.id || node.dataset?.f || node.className || node.nodeName);
        }
      };
      const all = { childList: true, subtree: true, characterData: true, attributes: true };
      new MutationObserver(note).observe(document, all);
    });
    const began = Date.parse(box.state.status.time);
    for (let i = 1; i <= 5; i += 1) {
      box.say({ ...box.state.status, time: new Date(began + i * 100).toISOString() });
      await page.waitForTimeout(100);
    }
    // The clock and the counts run; nothing else.
    const moved = new Set(await page.evaluate(() => window.touched));
    for (const runs of ["box-clock", "next", "flows"]) moved.delete(runs);
    assert.deepEqual([...moved], []);
    // Positive control: a change would have been noticed.
    box.say(STATES.backup().status);
    await poll("a change", () => page.evaluate(() => window.touched.includes("tag")));
    await part({ box, page });
  },

  "who wants no motion sees none": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    const moves = () =>
      page.evaluate(() =>
        [".card", "html"].map((name) => {
          const style = getComputedStyle(document.querySelector(name));
          return style.transitionDuration !== "0s" && style.transitionProperty !== "none"
            ? "moves"
            : style.scrollBehavior;
        }),
      );
    await page.emulateMedia({ reducedMotion: "no-preference" });
    assert.deepEqual(await moves(), ["moves", "smooth"]);
    await page.emulateMedia({ reducedMotion: "reduce" });
    assert.deepEqual(await moves(), ["auto", "auto"]);
    await part({ box, page });
  },

  "the box goes, and comes back": async (context, say) => {
    const state = STATES.ok();
    const { box, page } = await meet(context, state);
    await more(page, "mifi");
    await box.stop();
    await page.waitForSelector("body[data-live=no]");
    const bar = (await text(page, "#live")).replace(/\s+/g, " ");
    assert.match(bar, /Not connected to the box since 11:54:0\d/);
    assert.match(bar, /What you see is \d+ s old/);
    assert.equal(await card(page, "mifi").getByRole("button", { name: "Prefer" }).isDisabled(), true);
    assert.match(await page.locator("main").evaluate((n) => getComputedStyle(n).filter), /grayscale/);
    box.play(STATES.backup());
    await box.listen(box.port);
    const back = Date.now();
    await live(page);
    say(`live again ${Date.now() - back} ms after the box was`);
    assert.match(await text(page, "h1"), /on mifi/);
    await poll("what happened meanwhile", async () =>
      (await text(page, "#entries")).includes("moved from cable to mifi"),
    );
    assert.equal(await card(page, "mifi").getByRole("button", { name: "Prefer" }).isDisabled(), false);
    await part({ box, page });
  },

  "a box that falls silent without a word is noticed": async (context) => {
    const state = STATES.ok();
    const quick = () => {
      // Ten seconds pass in one: only the page's own steady clock is asked.
      const real = performance.now.bind(performance);
      performance.now = () => real() * 10;
    };
    const { box, page } = await meet(context, state, { before: quick });
    box.streams.clear(); // the connection stands, nothing comes
    box.answer = async () => {};
    await page.waitForSelector("body[data-live=no]");
    delete box.answer;
    await live(page);
    await part({ box, page });
  },

  "a phone that slept asks again": async (context) => {
    const sleepy = () => {
      let [hidden, slept] = [false, 0];
      const real = Date.now.bind(Date);
      Date.now = () => real() + slept;
      Object.defineProperty(document, "hidden", { get: () => hidden });
      window.turn = (off, missed) => {
        hidden = off;
        slept += missed;
        document.dispatchEvent(new Event("visibilitychange"));
      };
    };
    const { box, page } = await meet(context, STATES.ok(), { before: sleepy });
    // A look at another page is no sleep: what is shown stands.
    await page.evaluate(() => (window.turn(true, 0), window.turn(false, 0)));
    assert.equal(await page.evaluate(() => document.body.dataset.live), "yes");
    await poll("a stream again", () => box.streams.size === 1);
    const [stream] = box.streams;
    // Three hours, in which the steady clock stood still.
    const [live0, age] = await page.evaluate(() => {
      window.turn(true, 0);
      window.turn(false, 3 * 36e5);
      return [document.body.dataset.live, document.getElementById("live-age").textContent];
    });
    assert.equal(live0, "no");
    assert.equal(age, "What you see is 3 h old.");
    await live(page);
    await poll("another stream", () => box.streams.size === 1 && !box.streams.has(stream));
    await part({ box, page });
  },

  "an agent of another version brings its own page": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    await page.evaluate(() => {
      window.old = true;
    });
    const next = STATES.ok().status;
    box.say({ ...next });
    await page.waitForTimeout(100);
    assert.equal(await page.evaluate(() => window.old), true, "the same version does not");
    box.say({ ...next, version: "0.2.0" });
    await poll("the new page", () => page.evaluate(() => window.old === undefined).catch(() => false));
    await live(page);
    await part({ box, page });
  },

  "where the stream is refused, the box is asked": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    box.refuseStreams = true;
    for (const stream of box.streams) stream.destroy();
    box.play(STATES.backup());
    await poll("the new state", async () => /on mifi/.test(await text(page, "h1")), 8000);
    box.refuseStreams = false;
    await poll("a stream", () => box.streams.size === 1, 8000);
    await part({ box, page });
  },

  "times are the box's, whatever this device believes": async (context) => {
    const wrong = () => {
      const real = Date.now.bind(Date);
      let off = 400 * 864e5;
      Date.now = () => real() + off;
      window.leap = (by) => (off += by);
    };
    const { box, page } = await meet(context, STATES.returning(), { before: wrong });
    assert.match(await text(page, "#head"), /since 11:30$/);
    assert.equal(await card(page, "cable").locator("[data-f=proven]").innerText(), "just now");
    const count = async () => Number((await text(page, "#next")).match(/takes over in (\d+) s/)?.[1]);
    const first = await count();
    assert.ok(first <= 44 && first > 38, `${first}`);
    await poll("the count to run", async () => (await count()) < first);
    // A status that is half a second off does not make it stutter.
    const now = await count();
    box.say({
      ...box.state.status,
      uplinks: box.state.status.uplinks.map((u, i) => (i ? u : { ...u, next_in_s: now + 0.1 })),
    });
    await page.waitForTimeout(60);
    assert.ok((await count()) <= now, "it does not run backwards");
    // This device's clock jumps: nothing follows.
    const before = await count();
    await page.evaluate(() => window.leap(-36e5));
    await page.waitForTimeout(1200);
    assert.ok((await count()) <= before && (await count()) >= before - 3);
    const clock = () => page.locator("#box-clock").textContent();
    assert.match(await clock(), /^11:54/);
    // The box's clock jumps: what is shown follows, what is counted does not.
    const jumped = new Date(Date.parse(box.state.status.time) + 3 * 36e5).toISOString();
    const left = await count();
    box.say({
      ...box.state.status,
      time: jumped,
      uplinks: box.state.status.uplinks.map((u, i) => (i ? u : { ...u, next_in_s: left })),
    });
    await poll("the new time", async () => /^14:54/.test(await clock()));
    assert.ok((await count()) <= left && (await count()) >= left - 2);
    await part({ box, page });
  },

  "without a clock nothing is invented": async (context) => {
    const { box, page } = await meet(context, STATES.first_boot());
    assert.equal(await page.locator("#box-clock").textContent(), "not set yet");
    assert.equal(await text(page, "#head"), "No Internet");
    assert.equal(await page.locator("#no-entries").isVisible(), true);
    box.send("entry", { at: null, code: "started", severity: "info", uplink: null, text: "watching cable" });
    box.send("entry", { at: null, code: "started", severity: "info", uplink: null, text: "watching cable" });
    await poll("both entries", async () => (await page.locator("#entries li").count()) === 2);
    assert.match(await text(page, "#entries"), /no clock/);
    assert.equal(await page.locator("#no-entries").isVisible(), false);
    await part({ box, page });
  },

  "a person with a keyboard pauses an uplink": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    const tabTo = async (check) => {
      for (let i = 0; i < 60; i += 1) {
        await page.keyboard.press("Tab");
        const on = await page.evaluate(() => {
          const node = document.activeElement;
          const style = getComputedStyle(node);
          return {
            name: node.textContent.trim(),
            id: node.id,
            outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
          };
        });
        if (on.name || on.id) assert.ok(on.outline, `the focus is seen on ${on.name || on.id}`);
        if (check(on)) return;
      }
      throw new Error("tab never came there");
    };
    await tabTo((on) => on.name === "More mifi");
    await page.keyboard.press("Enter");
    await tabTo((on) => on.name === "Pause mifi");
    // What comes in meanwhile takes the focus from nobody.
    for (const name of ["backup", "ok"]) box.say(STATES[name]().status);
    await page.waitForTimeout(60);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Pause mifi");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#ask[open]");
    await tabTo((on) => on.id === "ask-reason");
    await page.keyboard.type("lent to a friend");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#enter[open]");
    assert.equal(await page.evaluate(() => document.activeElement.id), "enter-password");
    await page.keyboard.type("wrong");
    await page.keyboard.press("Enter");
    await poll("the refusal", async () =>
      /not right; try again in 1 s/.test(await text(page, "#enter-error")),
    );
    assert.equal(box.asked.length, 0);
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await poll("the answer", async () => (await text(page, "#said")) === "Pause is done");
    assert.deepEqual(box.asked, [
      { path: "pause", body: { uplink: "mifi", for_s: 86400, reason: "lent to a friend" } },
    ]);
    assert.equal(await page.locator("dialog[open]").count(), 0);
    assert.equal(
      await page.evaluate(() => document.activeElement.textContent),
      "Pause mifi",
      "the focus is where it was",
    );
    await page.context().clearCookies();
    await part({ box, page });
  },

  "every action reaches the box, and a second page knows": async (context) => {
    const { box, page } = await meet(context, STATES.manual(), { size: DESK });
    const other = await context.newPage();
    await other.goto(box.url);
    await live(other);
    await page.bringToFront();
    await page.locator("#login").click();
    await page.locator("#enter-password").fill(PASSWORD);
    await page.locator("#enter-do").click();
    await poll(
      "both pages to know",
      async () => (await text(page, "#login")) === "Log out" && (await text(other, "#login")) === "Log out",
    );
    await card(page, "mifi").getByRole("button", { name: "Prefer" }).click();
    await page.locator("#ask-for").selectOption("");
    await page.locator("#ask-do").click();
    await card(page, "cable").getByRole("button", { name: "Test" }).click();
    await page.locator("#auto").click();
    await page.locator(".box summary").click();
    await page.locator("#led").click();
    await page.locator("#tell").click();
    await poll("five actions", () => box.asked.length === 5);
    box.say(STATES.paused().status);
    await card(page, "phone").getByRole("button", { name: "Resume" }).click();
    await poll("six", () => box.asked.length === 6);
    assert.deepEqual(box.asked, [
      { path: "switch", body: { uplink: "mifi" } },
      { path: "probe", body: { uplink: "cable" } },
      { path: "switch", body: { uplink: "auto" } },
      { path: "led_test", body: {} },
      { path: "notify/test", body: {} },
      { path: "resume", body: { uplink: "phone" } },
    ]);
    // An uplink that another configuration no longer knows.
    await card(page, "cable").getByRole("button", { name: "Prefer" }).click();
    const gone = STATES.ok().status;
    gone.uplinks.shift();
    gone.uplinks[0].role = "active";
    box.state.status = gone;
    await page.locator("#ask-do").click();
    await poll("the refusal", async () =>
      /no uplink of that name; the uplinks are/.test(await text(page, "#ask-error")),
    );
    await page.keyboard.press("Escape");
    await page.locator("#login").click();
    await poll("both to be out", async () => (await text(other, "#login")) === "Log in");
    assert.equal(await text(page, "#login"), "Log in");
    await other.close();
    await page.context().clearCookies();
    await part({ box, page });
  },

  "a note is on the card, is written there, and can be printed": async (context) => {
    const state = STATES.backup();
    const [first] = state.status.uplinks;
    first.note = { text: "ticket 4711 <b>, repair promised 17 Nov", at: first.at, due: "2026-09-14", due_in_days: 3, countdown: "in 3 days" };
    first.provider = { name: "Example Cable", phone: "+44 800 1234", account: null, country: "GB", monthly: null, reported: null };
    for (const size of [PHONE, DESK]) {
      const { box, page } = await meet(context, state, { size });
      const own = card(page, first.name);
      assert.match(await own.innerText(), /Note: ticket 4711 <b>, repair promised 17 Nov \(in 3 days\)/);
      assert.equal(await own.locator("a").getAttribute("href"), "tel:+448001234");
      assert.deepEqual(await faults(page), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      await page.screenshot({ path: `${SHOTS}note-${size.width}.png`, fullPage: true });
      await page.locator("#login").click();
      await page.locator("#enter-password").fill(PASSWORD);
      await page.locator("#enter-do").click();
      await own.getByRole("button", { name: "Note" }).click();
      await page.locator("#ask-reason").fill("they come 18 Nov");
      assert.equal(await page.locator("#ask-for").isVisible(), false);
      await page.locator("#ask-do").click();
      await poll("the note", () => box.asked.length === 1);
      await own.getByRole("button", { name: "Note" }).click();
      await page.locator("#ask-told").click();
      await poll("the report", () => box.asked.length === 2);
      assert.deepEqual(box.asked, [
        { path: "note", body: { uplink: first.name, text: "they come 18 Nov" } },
        { path: "note", body: { uplink: first.name, reported: true } },
      ]);
      await page.emulateMedia({ media: "print" });
      await poll("the table", () => page.locator("#segments tr").first().isVisible());
      assert.equal(await page.locator("button:visible").count(), 0, "nothing to press on paper");
      assert.equal(await page.locator("#lanes").isVisible(), false);
      assert.ok(await page.locator("#entries li").first().isVisible());
      await page.screenshot({ path: `${SHOTS}print-${size.width}.png`, fullPage: true });
      await page.emulateMedia({ media: "screen" });
      await poll("the table to close", async () => !(await page.locator("#segments tr").first().isVisible()));
      await page.context().clearCookies();
      await part({ box, page });
    }
  },

  "bars of 90 days open to their outages": async (context) => {
    const state = STATES.backup();
    const today = Date.parse("2026-09-11T00:00:00Z");
    const days = Array.from({ length: 90 }, (_, n) => new Date(today - (89 - n) * 864e5).toISOString().slice(0, 10));
    const well = { watched_s: 86400, down_s: 0, outages: 0 };
    const of = (more) => days.map((_, n) => (n < 40 ? null : (more[n] ?? well)));
    state.days = {
      days,
      house: of({ 70: { watched_s: 86400, down_s: 12, outages: 1 } }),
      uplinks: [
        { name: "cable", days: of({ 70: { watched_s: 40000, down_s: 4200, outages: 2 } }) },
        { name: "mifi <i>", days: of({}) },
      ],
      lanes: {
        span_s: 2592000,
        house: [
          { from_s_ago: 2592000, to_s_ago: 1800000, state: "unknown" },
          { from_s_ago: 1800000, to_s_ago: 1640000, state: "works" },
          { from_s_ago: 1640000, to_s_ago: 1639988, state: "none" },
          { from_s_ago: 1639988, to_s_ago: 0, state: "works" },
        ],
        uplinks: [
          {
            name: "cable",
            stretches: [
              { from_s_ago: 2592000, to_s_ago: 1800000, state: "unknown" },
              { from_s_ago: 1800000, to_s_ago: 1500000, state: "ready" },
              { from_s_ago: 1500000, to_s_ago: 200000, state: "carried" },
              { from_s_ago: 200000, to_s_ago: 0, state: "not_ready" },
            ],
          },
          { name: "mifi", stretches: [{ from_s_ago: 200000, to_s_ago: 0, state: "carried" }] },
        ],
      },
      incidents: [
        { uplink: null, from: `${days[70]}T10:31:00Z`, to: `${days[70]}T10:31:12Z`, down_s: 12, cause: "power", text: "a <b>short</b> one" },
        { uplink: "cable", from: `${days[70]}T10:31:00Z`, to: `${days[70]}T11:41:00Z`, down_s: 4200, cause: "beyond_modem", text: "no Internet behind the modem" },
      ],
    };
    for (const size of [PHONE, DESK]) {
      const { box, page } = await meet(context, state, { size });
      await page.waitForSelector("#days-part:not([hidden])");
      // The last day with an outage is open.
      const lines = page.locator("#day-lines");
      await poll("the day", async () => /2 outages, 70 min in all/.test(await lines.innerText()));
      const told = await lines.innerText();
      assert.match(told, /cable: 2 outages, 70 min in all \(recorded for 11 h 7 min\): .* for 70 min, no Internet behind the modem/);
      assert.match(told, /a <b>short<\/b> one/, "text stays text");
      const kinds = await page.locator("#bars .lane").nth(1).locator("rect").evaluateAll((all) =>
        all.map((rect) => rect.getAttribute("class").split(" ")[0]),
      );
      assert.equal(kinds.filter((kind) => kind === "unknown").length, 40, "what was not recorded is not up");
      assert.deepEqual([kinds[70], kinds[71]], ["none", "first"]);
      // By key and by pointer.
      await page.locator("#day-pick").focus();
      await page.keyboard.press("ArrowLeft");
      await poll("the day before", async () => /cable: no outage/.test(await lines.innerText()));
      const bar = page.locator("#bars svg").first();
      const { width } = await bar.boundingBox();
      const press = (day) => bar.click({ position: { x: (width * (day + 0.4)) / 90, y: 22 } });
      await press(10);
      await poll("a day without record", async () => /Internet: not recorded/.test(await lines.innerText()));
      // Below the bar at the top nothing is covered.
      await page.evaluate(() => scrollTo({ top: 0, behavior: "instant" }));
      assert.deepEqual(await faults(page), []);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      await press(70);
      await page.locator("#days-part").screenshot({ path: `${SHOTS}days-${size.width}.png` });
      // The lanes reach back as far as is asked for, and say who was ready.
      const states = () =>
        page.locator("#lanes .lane").nth(1).locator("rect").evaluateAll((all) => all.map((rect) => rect.getAttribute("class")));
      assert.deepEqual(await states(), ["not"], "the last day");
      await page.getByRole("button", { name: "Month" }).click();
      assert.deepEqual(await states(), ["unknown", "ready", "first", "not"]);
      assert.match(await text(page, "#outages"), /^1 outage: /);
      assert.match(await text(page, "#day"), /^30 days/);
      await page.getByRole("button", { name: "Week" }).click();
      assert.deepEqual(await states(), ["first", "not"]);
      assert.deepEqual(await faults(page), []);
      await page.locator("section", { has: page.locator("#day") }).screenshot({ path: `${SHOTS}week-${size.width}.png` });
      await part({ box, page });
    }
  },

  "a box that has forgotten its sessions asks again": async (context) => {
    const { box, page } = await meet(context, STATES.ok(), { size: DESK });
    await page.locator("#login").click();
    await page.locator("#enter-password").fill(PASSWORD);
    await page.locator("#enter-do").click();
    await poll("the login", async () => (await text(page, "#login")) === "Log out");
    box.known.clear();
    await card(page, "cable").getByRole("button", { name: "Test" }).click();
    await page.waitForSelector("#enter[open]");
    assert.equal(await text(page, "#login"), "Log in");
    assert.deepEqual(box.asked, []);
    await page.locator("#enter-password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await poll("the answer", async () => (await text(page, "#said")) === "Probe is done");
    assert.deepEqual(box.asked, [{ path: "probe", body: { uplink: "cable" } }]);
    // What the box says to this browser when it begins to listen counts more than what was kept here.
    box.known.clear();
    box.state.status.login = { needed: true, set: true, in: false };
    await page.reload();
    await live(page);
    assert.equal(await text(page, "#login"), "Log in");
    await page.context().clearCookies();
    await part({ box, page });
  },

  "without a password it says how to set one, here too": async (context) => {
    const { box, page } = await meet(context, STATES.first_boot());
    await more(page, "mifi");
    await card(page, "mifi").getByRole("button", { name: "Test" }).click();
    await page.waitForSelector("#enter[open]");
    assert.match(await text(page, "#enter"), /Set a password[\s\S]*None is set yet[\s\S]*sparelink passwd --code/);
    assert.equal(await page.evaluate(() => document.activeElement.id), "enter-code");
    // Somebody sets one while the dialog is open.
    const unset = STATES.first_boot().status;
    box.say({ ...unset, login: { needed: true, set: true } });
    await page.waitForSelector("#enter-unset", { state: "hidden" });
    assert.equal(await text(page, "#enter-do"), "Log in");
    box.say(unset);
    await page.waitForSelector("#enter-unset:visible");
    for (const [code, answer] of [["0000-0000", /code is not right/], ["7K2M-9QXD", /^$/]]) {
      await page.locator("#enter-code").fill(code);
      await page.locator("#enter-password").fill("correct horse");
      await page.locator("#enter-do").click();
      await poll("the answer", async () => answer.test(await text(page, "#enter-error")) && !(await page.locator("#enter-do[data-busy]").count()));
    }
    assert.deepEqual(box.asked[0], { path: "password", body: { code: "7K2M-9QXD", password: "correct horse" } });
    // It is set, whatever the last status said: what is done next asks for nothing.
    await poll("the test", () => box.asked.some(({ path }) => path === "probe"));
    const asked = box.asked.length;
    await card(page, "mifi").getByRole("button", { name: "Test" }).click();
    await poll("another test", () => box.asked.length > asked);
    assert.equal(await page.locator("#enter[open]").count(), 0);
    await page.context().clearCookies();
    await part({ box, page });
  },

  "pictures have words": async (context) => {
    const { box, page } = await meet(context, STATES.backup());
    await poll("the strip", () => page.locator("[data-f=strip][aria-label*='down in 23 minutes']").count());
    assert.match(
      await page.locator("#lanes").getAttribute("aria-label"),
      /2 outages: 11:30 for less than 1 s; 00:45 for 5 min/,
    );
    const drawn = await page
      .locator("#lanes .none")
      .evaluateAll((all) => all.map((r) => r.getBoundingClientRect().width > 0));
    assert.deepEqual(drawn, [true, true], "the shortest outage is drawn");
    await page.locator("#day-table summary").click();
    assert.match(await text(page, "#segments"), /00:45\s+00:50\s+5 min\s+no Internet/);
    await more(page, "cable");
    const said = (part) => card(page, "cable").locator(`[data-f=${part}]`).innerText();
    await poll("the hour", async () => /0 to 10\s+–\s+100 %\s+0 of 10/.test(await said("hour")));
    assert.match(await said("lines"), /gateway\s+84\.12\.9\.1\s+fe80::1/);
    // A count in the sentence is not read aloud at each tick.
    const spoken = () => page.locator("#spoken").textContent();
    box.say(STATES.returning().status);
    await poll(
      "the news",
      async () => (await spoken()) === "Internet works, on mifi. cable works again",
    );
    await part({ box, page });
  },

  "trouble looks like trouble": async (context) => {
    const { box, page } = await meet(context, STATES.ok());
    const tone = () => page.locator("#hero").getAttribute("data-tone");
    const shows = async (name, want) => {
      box.play(STATES[name]());
      await page.goto(box.url);
      await live(page);
      assert.equal(await tone(), want, name);
    };
    // A total outage is red, whatever is paused or plugged in beside it; a start is not one.
    await shows("none", "bad");
    await shows("outage_paused", "bad");
    await shows("outage_plugged", "bad");
    // Who could not be told, and why; what nothing works says is as grave as a warning.
    assert.equal(await text(page, "#box-messages"), "ntfy: cannot connect to ntfy.sh:443: no uplink works; 2 waiting");
    const names = (part) => page.locator(`#${part} p`).allInnerTexts();
    const [failing, ...others] = await names("unnamed");
    assert.match(failing, /^cable\.example\.net → 84\.12\.9\.70 \(cable\), ns1.* tried again in 44 s$/);
    assert.deepEqual(others, [], "what is right is among the details");
    assert.equal(
      await text(page, "#alarm-words"),
      "gotify (192.168.1.9) is told in 4 min, unless somebody has seen it.",
    );
    assert.equal(await page.locator("#seen").isVisible(), true);
    const gravest = page.locator("#entries [data-severity=critical]");
    assert.match(await gravest.innerText(), /Warning:\s+No uplink works/);
    await shows("first_boot", "idle");
    // Ready is who could take over, and a dead line has no figures.
    await shows("contradicting", "warn");
    const said = (name, part) => card(page, name).locator(`[data-f=${part}]`).innerText();
    assert.equal(await said("phone", "tag"), "Sign-in page");
    assert.equal(await card(page, "phone").getAttribute("data-tone"), "warn");
    assert.equal(await page.locator("#pills a", { hasText: "phone" }).getAttribute("data-tone"), "warn");
    assert.match(await text(page, "#because"), /^No spare is ready: /);
    for (const part of ["rtt", "loss"]) assert.equal(await said("mifi", part), "–", part);
    // What carries IPv4 is not down because its IPv6 is, nor is a spare: it is said of that one.
    const half = halves();
    box.say(half.status);
    await poll("the halves", async () => (await said("phone", "tag")) === "IPv6 down");
    assert.equal(await said("mifi", "tag"), "In use, IPv4");
    assert.equal(await said("mifi", "rtt"), "46 ms");
    assert.match(await said("phone", "why"), /\(IPv6 only\)/);
    half.status.uplinks[1].v4.health = "down";
    box.say(half.status);
    await poll("control: of both", async () => (await said("mifi", "tag")) === "Down");
    assert.equal(await said("mifi", "rtt"), "–");
    await shows("ok", "good");
    assert.match(await text(page, "#box-messages"), /^ntfy: last .*11:47, none waiting$/);
    assert.match(await page.locator("#named dd").textContent(), /seen by the name server after 1\.0 s$/);
    assert.equal(await page.locator("#unnamed").isVisible(), false);
    assert.equal(await page.locator("#alarm").isVisible(), false);
    assert.equal(await said("mifi", "tag"), "Ready");
    assert.equal(await said("mifi", "rtt"), "46 ms");
    // A line that works, but for short silences again and again, says so; control: one without them says nothing.
    assert.equal(await said("cable", "why"), "");
    const hiccups = STATES.ok();
    hiccups.status.uplinks[0].reason = "works; falls silent for up to 1 s, about every 15 s";
    hiccups.status.uplinks[0].v4.silences = { every_s: 15, longest_ms: 1000 };
    box.play(hiccups);
    await page.goto(box.url);
    await live(page);
    assert.match(await said("cable", "why"), /falls silent for up to 1 s, about every 15 s/);
    await shows("ok", "good");
    // Who only watches says so.
    assert.equal(await page.locator("#observing").isVisible(), false);
    await shows("observing", "warn");
    assert.match(await text(page, "#observing"), /^Observing only: nothing is changed/);
    await part({ box, page });
  },

  "nothing breaks, collides or leaves a hole": async (context) => {
    const { box, page } = await meet(context, STATES.backup());
    await page.locator("#day-table summary").click();
    // Every time in the table stands in one line.
    const lines = () =>
      page.locator("#segments td:not(:last-child)").evaluateAll((cells) =>
        cells.map((cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size;
        }),
      );
    assert.deepEqual([...new Set(await lines())], [1]);
    // Whatever the hour, no label of the axis runs into another.
    const overlaps = () =>
      page.locator("#lanes text").evaluateAll((all) => {
        const boxes = all.map((t) => t.getBoundingClientRect()).sort((a, b) => a.left - b.left);
        return boxes.filter((b, i) => i && b.left < boxes[i - 1].right + 2).map((b) => `${b.left} ${JSON.stringify(boxes)}`);
      });
    for (let hour = 0; hour < 6; hour += 0.5) {
      const state = STATES.backup();
      state.status.time = new Date(Date.parse(state.status.time) + hour * 36e5).toISOString();
      box.play(state);
      await page.goto(box.url);
      await live(page);
      await page.waitForSelector("#lanes text");
      assert.deepEqual(await overlaps(), [], `${hour} h later`);
    }
    // On a tablet the cards are rows; on a desk they stand beside each other.
    const places = () =>
      page.locator(".card").evaluateAll((all) => new Set(all.map((c) => Math.round(c.getBoundingClientRect().left))).size);
    await page.setViewportSize(TABLET);
    assert.equal(await places(), 1);
    // Each is a row: its parts stand beside each other, in one line.
    const rows = await page.locator(".card").evaluateAll((all) => all.map((c) => c.offsetHeight));
    assert.ok(Math.max(...rows) < 130, `${rows} px high`);
    const captions = await page.locator(".strip figcaption").evaluateAll((all) => all.map((c) => c.offsetHeight));
    assert.ok(Math.max(...captions) < 24, `${captions}`);
    await fits(page, "rows");
    await shoot(page, "backup-light-768");
    await page.setViewportSize(DESK);
    assert.equal(await places(), 3);
    // No figure of a card runs into another, nor into the way to more, however narrow a card is.
    const collisions = () =>
      page.locator(".card").evaluateAll((cards) =>
        cards.flatMap((card) => {
          const parts = [...card.querySelectorAll(".figures dd, .opener")].map((node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return [node.textContent, range.getBoundingClientRect()];
          });
          return parts.filter(([, { right, bottom }], i) => {
            const next = parts[i + 1]?.[1];
            return next && right > next.left && bottom > next.top;
          }).map(([words]) => words);
        }),
      );
    for (const name of ["backup", "many"]) {
      box.play(STATES[name]());
      await page.goto(box.url);
      await live(page);
      for (const width of [320, 360, 699, 700, 768, 1040]) {
        await page.setViewportSize({ width, height: 800 });
        await fits(page, `${name} at ${width}`);
        assert.deepEqual(await collisions(), [], `${name} at ${width}`);
      }
    }
    // Positive control: figures too large for their place would have been noticed.
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(".figures dd { font-size: 40px !important }");
      document.adoptedStyleSheets = [sheet];
    });
    assert.ok((await collisions()).length > 0);
    await part({ box, page });
  },

  "an agent that says little breaks nothing": async (context) => {
    const bare = {
      name: "cable",
      interface: "eth1",
      role: "active",
      health: "up",
      condition: "ok",
      v4: null,
      v6: null,
      reason: "works",
      next: "",
    };
    const little = {
      version: "0.1.0",
      active: null,
      active6: null,
      since: null,
      sentence: "",
      last_switch: null,
      spares_ready: 0,
    };
    const { box, page } = await meet(context, {
      status: { ...little, uplinks: [bare] },
      history: [],
      timeline: { span_s: 86400, segments: [], uplinks: [] },
    });
    assert.equal(await page.locator(".card").count(), 1);
    box.say({ ...little, uplinks: [] });
    await poll("no card", async () => (await page.locator(".card").count()) === 0);
    box.send("status", null);
    box.send("status", { uplinks: 3 });
    for (const stream of box.streams) stream.write("event: status\ndata: {\n\n");
    box.say(STATES.ok().status);
    await page.waitForTimeout(100);
    await part({ box, page });
  },

  "it is small, and needs nobody else": async (_context, say) => {
    let [total, wire, later] = [0, 0, 0];
    // What a telephone keeps on its home screen is fetched once, when it is put there.
    for (const file of (await readdir(WEB)).filter((name) => !/\.(png|ico)$/.test(name))) {
      const content = await readFile(new URL(file, WEB));
      const packed = gzipSync(content, { level: 9 }).length;
      total += content.length;
      // Settings are fetched by who opens them.
      if (file.startsWith("settings.")) later += packed;
      else wire += packed;
    }
    say(`${total} bytes in all, ${wire} on the wire, and ${later} for who opens the settings`);
    assert.ok(wire <= 40_000 && later <= 8_000);
    const html = await readFile(new URL("index.html", WEB), "utf8");
    const scripts = (await readdir(WEB)).filter((file) => file.endsWith(".js"));
    const script = (await Promise.all(scripts.map((file) => readFile(new URL(file, WEB), "utf8")))).join(
      "\n",
    );
    const css = await readFile(new URL("app.css", WEB), "utf8");
    assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|<script>|(src|href)="(?!\/|#)/);
    assert.doesNotMatch(
      script,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|cssText/,
    );
    for (const source of [html, script, css])
      assert.doesNotMatch(source.replace("http://www.w3.org/2000/svg", ""), /https?:\/\//);
  },
};
