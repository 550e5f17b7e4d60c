// A box that says what a test tells it to: the files of web/ with the headers of the real one, and
// scripted documents. It keeps a log of what it was asked to do.

import { readFile, readdir } from "node:fs/promises";
import http from "node:http";

const WEB = new URL("../../web/", import.meta.url);
const KINDS = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  png: "image/png",
  ico: "image/x-icon",
  webmanifest: "application/manifest+json",
};
const FILES = Object.fromEntries(
  (await readdir(WEB)).map((name) => [
    name === "index.html" ? "/" : `/${name}`,
    [name, KINDS[name.split(".").pop()]],
  ]),
);
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
export const PASSWORD = "correct horse";

export class Box {
  constructor(state) {
    this.streams = new Set();
    this.asked = []; // { path, body } of writes that were let through
    this.sessions = 0;
    this.known = new Set();
    this.refuseStreams = false;
    this.requests = []; // the address of each GET
    this.revision = 0;
    this.settings = null;
    this.play(state);
  }

  /** What the file has; a test may give it another content, which is another revision. */
  file(change = () => {}) {
    this.revision += 1;
    this.settings ??= {
      uplinks: ["cable", "mifi", "phone"].map((name) => ({
        name,
        kind: name === "cable" ? "wired" : "cellular",
        metered: name === "phone",
        provider: { name: "", account: "", phone: "", monthly: "" },
      })),
      hold: "60s",
      notify: [{ name: "ntfy", to: "ntfy (our-h…)", min: "warning", quiet: "22:00-07:00" }],
      leds: { board: "auto", status: "", uplinks: { cable: "green:wan" } },
    };
    change(this.settings);
  }

  /** What the real one answers to who may see it. */
  shown() {
    if (!this.settings) this.file();
    const { revision, settings } = this;
    return { file: "/etc/sparelink/sparelink.toml", revision: String(revision), settings, leds: ["ACT", "green:wan"] };
  }

  /** Settings that are tried: what they would change is told, or they are on trial. */
  tries(body, problem, response) {
    if (body.revision !== String(this.revision))
      return problem(409, "the file was changed meanwhile; nothing was written", "look at it again");
    if (body.settings.hold === "5") return problem(422, "hold: \"5\" has no unit", "for example 5s, 5m or 5h");
    const changes = body.settings.hold === this.settings.hold ? [] : [`hold ${this.settings.hold} → ${body.settings.hold}`];
    const difference = [
      { sign: " ", text: "[failback]" },
      { sign: "-", text: `hold = "${this.settings.hold}"` },
      { sign: "+", text: `hold = "${body.settings.hold}" # <b>mine</b>` },
    ];
    if (!body.preview) {
      const trial = { of: "page", by: "192.168.77.20", seconds_left: 60 };
      this.say({ ...this.state.status, settings: { can: true, trial } });
    }
    const message = body.preview ? "this would change" : "in force; confirm it within 60 s";
    return this.json(response, 200, { message, changes, difference, confirm_within_s: body.preview ? null : 60 });
  }

  play(state) {
    this.state = structuredClone(state);
  }

  async listen(port = 0) {
    this.server = http.createServer((request, response) =>
      this.answer(request, response).catch((error) => response.destroy(error)),
    );
    await new Promise((done) => this.server.listen(port, "127.0.0.1", done));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/`;
    return this;
  }

  /** Ends as a stopped agent does: all connections are cut, the port is free. */
  async stop() {
    for (const stream of this.streams) stream.destroy();
    this.streams.clear();
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  send(event, data) {
    for (const stream of this.streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Says another status; returns when it was said. */
  say(status = this.state.status) {
    this.state.status = status;
    const at = Date.now();
    this.send("status", status);
    return at;
  }

  async answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    response.setHeader("Content-Security-Policy", POLICY);
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Referrer-Policy", "no-referrer");
    response.setHeader("Cache-Control", "no-store");
    if (request.method === "POST") return this.write(pathname, request, response);
    this.requests.push(request.url);
    if (FILES[pathname]) {
      const [file, kind] = FILES[pathname];
      response.setHeader("Content-Type", kind);
      return response.end(await readFile(new URL(file, WEB)));
    }
    if (pathname === "/api/v1/events") return this.stream(request, response);
    if (pathname === "/api/v1/settings") {
      const known = this.known.has(request.headers.cookie?.match(/session=(\d+)/)?.[1]);
      if (!known) return this.json(response, 401, { status: 401, detail: "changing things needs a login" });
      return this.json(response, 200, this.shown());
    }
    const part = pathname.match(/^\/api\/v1\/(status|history|timeline|days)$/)?.[1];
    if (part === "days" && !this.state.days) return this.json(response, 503, { status: 503, detail: "busy" });
    if (part) return this.json(response, 200, this.state[part]);
    return this.json(response, 404, { status: 404, title: "Not Found", detail: "there is nothing here" });
  }

  stream(request, response) {
    if (this.refuseStreams)
      return this.json(response, 503, { status: 503, detail: "too many pages are open" });
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("retry: 1000\n\n");
    this.streams.add(response);
    request.on("close", () => this.streams.delete(response));
    response.write(`event: status\ndata: ${JSON.stringify(this.state.status)}\n\n`);
  }

  json(response, code, body, headers = {}) {
    response.writeHead(code, {
      "Content-Type": code < 400 ? "application/json" : "application/problem+json",
      ...headers,
    });
    response.end(JSON.stringify(body));
  }

  /** A session, for who has shown what it takes. */
  begins(response) {
    this.sessions += 1;
    this.known.add(String(this.sessions));
    const cookie = { "Set-Cookie": `session=${this.sessions}; HttpOnly; SameSite=Strict; Path=/` };
    this.json(response, 200, { message: "logged in" }, cookie);
  }

  async write(pathname, request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString() || "{}");
    const problem = (status, detail, hint) =>
      this.json(response, status, { type: "about:blank", status, detail, hint });
    if (request.headers["x-sparelink"] !== "1") return problem(403, "a write needs the header X-Sparelink");
    if (pathname === "/api/v1/password" && body.code !== undefined) {
      if (body.code !== "7K2M-9QXD") return problem(401, "the code is not right", "try again in 1 s");
      this.asked.push({ path: "password", body });
      return this.begins(response);
    }
    if (pathname === "/api/v1/login") {
      if (body.password !== PASSWORD) return problem(401, "the password is not right", "try again in 1 s");
      return this.begins(response);
    }
    const shown = request.headers.cookie?.match(/session=(\d+)/)?.[1];
    if (!this.known.has(shown)) return problem(401, "changing things needs a login", "log in first");
    if (pathname === "/api/v1/logout")
      return this.json(
        response,
        200,
        { message: "logged out" },
        { "Set-Cookie": "session=; Max-Age=0; Path=/" },
      );
    const path = pathname.replace("/api/v1/", "");
    if (
      body.uplink &&
      body.uplink !== "auto" &&
      !this.state.status.uplinks.some((u) => u.name === body.uplink)
    ) {
      return problem(404, "there is no uplink of that name", "the uplinks are cable, mifi, phone");
    }
    this.asked.push({ path, body });
    if (path === "settings") return this.tries(body, problem, response);
    if (path.startsWith("settings/")) this.say({ ...this.state.status, settings: { can: true, trial: null } });
    return this.json(response, 200, { message: `${path} is done` });
  }
}
