// What a person may change, and the login before it.

import { $, put, set, show } from "/nodes.js";
import { page } from "/page.js";
import { renderBox, renderLive } from "/view.js";
import { called, clean, sentence } from "/words.js";

const LOGGED_IN = "sparelink logged in";

/** The session's cookie is out of reach, on purpose; what is kept here only names the button. */
export function setLoggedIn(value) {
  page.loggedIn = value;
  try {
    if (value) localStorage.setItem(LOGGED_IN, "1");
    else localStorage.removeItem(LOGGED_IN);
  } catch {
    // Private windows may keep nothing.
  }
  if (page.status) renderBox(page.status);
}

export function readLoggedIn() {
  try {
    page.loggedIn = localStorage.getItem(LOGGED_IN) === "1";
  } catch {
    page.loggedIn = false;
  }
}

export async function post(path, body) {
  try {
    const answer = await fetch(`/api/v1/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Sparelink": "1" },
      body: JSON.stringify(body),
      // A test of channels may have to wait for a server.
      signal: AbortSignal.timeout(path === "notify/test" ? 75_000 : 15_000),
    });
    const said = await answer.json().catch(() => ({}));
    const text = answer.ok ? said.message : [said.detail, said.hint].filter(Boolean).join("; ");
    return {
      ok: answer.ok,
      status: answer.status,
      body: said,
      text: sentence(text || (answer.ok ? "done" : `the box refused (${answer.status})`), []),
    };
  } catch {
    return { ok: false, status: 0, text: "The box did not answer; it may or may not have done it" };
  }
}

let saidTimer = 0;

export function say(text, bad = false) {
  clearTimeout(saidTimer);
  put($("said"), text);
  set($("said"), "data-bad", bad ? "" : null);
  saidTimer = setTimeout(() => put($("said"), ""), 10_000);
}

/** Carries it out, after a login if the box wants one. Resolves to the answer, or null if the person gave up. */
export async function steer(path, body) {
  if (page.status?.login?.needed !== false && page.status?.login?.set === false)
    return (await logIn()) ? post(path, body) : null;
  const answer = await post(path, body);
  if (answer.status !== 401) {
    if (answer.ok && page.status?.login?.needed !== false) setLoggedIn(true);
    return answer;
  }
  setLoggedIn(false);
  return (await logIn()) ? post(path, body) : null;
}

/** What can be set, after a login. */
export async function fetchSettings() {
  const ask = async () => {
    try {
      const answer = await fetch("/api/v1/settings", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      const body = await answer.json();
      const text = [body.detail, body.hint].filter(Boolean).join("; ");
      return { ok: answer.ok, status: answer.status, body, text: sentence(text || "the box refused", []) };
    } catch {
      return { ok: false, status: 0, text: "The box did not answer" };
    }
  };
  const answer = await ask();
  if (answer.status !== 401) return answer;
  setLoggedIn(false);
  return (await logIn()) ? ask() : answer;
}

/** With a button that must not be pressed twice. */
async function press(button, work) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.dataset.busy = "";
  set(button, "aria-disabled", "true");
  const answer = await work();
  delete button.dataset.busy;
  renderLive();
  if (answer) say(answer.text, !answer.ok);
}

function askAbout(act, u, button) {
  if (act === "probe") return press(button, () => steer("probe", { uplink: u.name }));
  if (act === "pause" && u.role === "paused") return press(button, () => steer("resume", { uplink: u.name }));
  openAsk(act, u);
}

let asking = null;

function openAsk(act, u) {
  if (page.live !== "yes") return;
  const name = called(u.name);
  const pausing = act === "pause";
  const noting = act === "note";
  asking = { act, uplink: u.name };
  put($("ask-title"), `${{ pause: "Pause", note: "Note on" }[act] ?? "Prefer"} ${name}`);
  const ready = u.role === "active" || u.role === "ready";
  const doubt = ready ? "" : ` It is not ready now (${clean(u.reason, 160)}), and will be used once it is.`;
  put(
    $("ask-text"),
    noting
      ? "Such as a ticket and what was promised; a day in it, such as 17 Nov, is counted down. An empty one is taken away."
      : pausing
      ? "It carries nothing while it is paused, not even when the others fail."
      : `Traffic moves to it now; open connections stay where they are until they end. If it fails, the next in the chain takes over, and the traffic returns to it when it works again.${doubt}`,
  );
  put($("ask-do"), noting ? "Keep" : pausing ? "Pause" : "Prefer");
  show($("ask-why"), pausing || noting);
  show($("ask-span"), !noting);
  show($("ask-told"), noting && u.role !== "ready");
  $("ask-for").value = pausing ? "86400" : "3600";
  $("ask-reason").value = noting ? clean(u.note?.text ?? "", 200) : "";
  put($("ask-error"), "");
  show($("ask-day"), false);
  $("ask").showModal();
}

async function submitAsk(event, reported = false) {
  event.preventDefault();
  const { act, uplink } = asking;
  const reason = $("ask-reason").value.trim();
  if (act === "note") return send(act, reported ? { uplink, reported } : { uplink, text: reason });
  const body = { uplink };
  if ($("ask-for").value === "day") {
    const seconds = Math.round((Date.parse($("ask-until").value) - Date.now()) / 1000);
    if (!(seconds > 0)) return put($("ask-error"), "Choose a day and a time to come");
    body.for_s = seconds;
  } else if ($("ask-for").value) body.for_s = Number($("ask-for").value);
  if (act === "pause" && reason) body.reason = reason;
  return send(act, body);
}

/** What the dialog asks for; it stays open while the box refuses it. */
async function send(act, body) {
  put($("ask-error"), "");
  const button = $("ask-do");
  if (button.dataset.busy !== undefined) return;
  button.dataset.busy = "";
  const answer = await steer(act, body);
  delete button.dataset.busy;
  if (!answer) return;
  if (!answer.ok) return put($("ask-error"), answer.text);
  $("ask").close();
  say(answer.text);
}

let entered = null; // what waits for a login: called with whether it came

/** A password may be set, or taken away, while the dialog asks for it. */
export function renderEnter(s) {
  const unset = s?.login?.set === false;
  show($("enter-unset"), unset);
  put($("enter-title"), unset ? "Set a password" : "Log in");
  put($("enter-label"), unset ? "New password (8 characters at least)" : "Password");
  put($("enter-do"), unset ? "Set the password" : "Log in");
  set($("enter-password"), "autocomplete", unset ? "new-password" : "current-password");
}

function logIn() {
  entered?.(false);
  renderEnter(page.status);
  $("enter-password").value = $("enter-code").value = "";
  put($("enter-error"), "");
  $("enter").showModal();
  if (page.status?.login?.set === false) $("enter-code").focus();
  return new Promise((resolve) => (entered = resolve));
}

async function submitEnter(event) {
  event.preventDefault();
  const button = $("enter-do");
  if (button.dataset.busy !== undefined) return;
  button.dataset.busy = "";
  put($("enter-error"), "");
  const password = $("enter-password").value;
  const code = $("enter-code").value;
  const first = page.status?.login?.set === false;
  const answer = await (first ? post("password", { code, password }) : post("login", { password }));
  delete button.dataset.busy;
  $("enter-password").value = "";
  if (!answer.ok) {
    put($("enter-error"), answer.text);
    $("enter-password").focus();
    return;
  }
  // The box says so, too, with its next status; until then nobody is asked again.
  if (first) page.status.login.set = true;
  setLoggedIn(true);
  const done = entered;
  entered = null;
  $("enter").close();
  done?.(true);
}

async function inOrOut() {
  if (!page.loggedIn) return (await logIn()) && say("Logged in");
  const answer = await post("logout", {});
  if (answer.ok || answer.status === 401) setLoggedIn(false);
  say(answer.ok ? "Logged out" : answer.text, !answer.ok);
}

export function listen() {
  $("cards").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (button) askAbout(button.dataset.act, button.closest(".card").uplink, button);
  });
  $("login").addEventListener("click", inOrOut);
  $("auto").addEventListener("click", (event) =>
    press(event.currentTarget, () => steer("switch", { uplink: "auto" })),
  );
  $("trial-keep").addEventListener("click", (event) => press(event.currentTarget, () => steer("settings/keep", {})));
  $("trial-undo").addEventListener("click", (event) => press(event.currentTarget, () => steer("settings/undo", {})));
  $("settings").addEventListener("click", async () => {
    const { openSettings } = await import("/settings.js");
    return openSettings();
  });
  $("led").addEventListener("click", (event) => press(event.currentTarget, () => steer("led_test", {})));
  $("tell").addEventListener("click", (event) => press(event.currentTarget, () => steer("notify/test", {})));
  $("seen").addEventListener("click", (event) => press(event.currentTarget, () => steer("notify/ack", {})));
  $("ask-for").addEventListener("change", () => show($("ask-day"), $("ask-for").value === "day"));
  $("ask-form").addEventListener("submit", submitAsk);
  $("ask-told").addEventListener("click", (event) => submitAsk(event, true));
  $("enter-form").addEventListener("submit", submitEnter);
  $("enter").addEventListener("close", () => {
    entered?.(false);
    entered = null;
  });
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  window.addEventListener("storage", (event) => {
    if (event.key !== LOGGED_IN && event.key !== null) return;
    readLoggedIn();
    if (page.status) renderBox(page.status);
  });
}
