// Serves a page with the stand-in in it, and the views below /luci-static/resources as a box does.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { RESOURCES } from "./meet.mjs";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const TYPES = { js: "text/javascript", mjs: "text/javascript", css: "text/css", html: "text/html" };

function fileOf(path) {
  if (path === "/") return `${HERE}standin/page.html`;
  if (path.startsWith("/luci-static/resources/")) return RESOURCES + path.slice("/luci-static/resources/".length);
  return path.startsWith("/standin/") ? HERE + path.slice(1) : null;
}

export async function serve() {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://box/").pathname;
    const file = path.includes("..") ? null : fileOf(path);
    try {
      const body = await readFile(file);
      response.writeHead(200, { "Content-Type": TYPES[file.split(".").pop()] ?? "text/plain" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => new Promise((done) => server.close(done)) };
}
