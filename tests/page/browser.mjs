// Debian's Chromium, without a window and without a word to anyone.

import { mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The context of a browser whose profile is empty and goes with it. */
export async function open() {
  if (!existsSync(CHROMIUM)) return null;
  const profile = await mkdtemp(join(tmpdir(), `sparelink-page-${process.pid}-`));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: FLAGS,
    headless: true,
    timezoneId: "Europe/Dublin",
    locale: "en-GB",
  });
  context.setDefaultTimeout(5000);
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, close };
}

/** Notes what a page does from its first moment on. */
export function watchFrom() {
  window.seen = { shifts: 0, worst: [], violations: [], dialogs: 0, changes: [], usable: null };
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
      if (shift.hadRecentInput) continue;
      window.seen.shifts += shift.value;
      const of = shift.sources.map((s) => s.node?.id || s.node?.className || s.node?.nodeName);
      window.seen.worst.push(`${shift.value.toFixed(4)} ${of.join(" ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
  document.addEventListener("securitypolicyviolation", (event) =>
    window.seen.violations.push(event.violatedDirective),
  );
  for (const name of ["alert", "confirm", "prompt"]) window[name] = () => (window.seen.dialogs += 1);
  document.addEventListener("DOMContentLoaded", () => {
    const note = () => {
      window.seen.changes.push({ at: Date.now(), text: document.getElementById("head").textContent });
      const cards = document.querySelectorAll("#cards .card").length;
      if (cards && window.seen.usable === null)
        requestAnimationFrame(() => (window.seen.usable ??= performance.now()));
    };
    const watched = { childList: true, subtree: true, characterData: true };
    new MutationObserver(note).observe(document.getElementById("head"), watched);
    new MutationObserver(note).observe(document.getElementById("cards"), { childList: true });
  });
}
