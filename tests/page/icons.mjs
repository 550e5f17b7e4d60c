// Draws the icons that a telephone keeps on its home screen, from web/icon.svg:
//
//   node tests/page/icons.mjs
//
// They have no corners of their own, because each system cuts its own shape out of them, and few colours, so
// that they are small.

import { readFile, writeFile } from "node:fs/promises";
import { crc32, deflateSync } from "node:zlib";
import { open } from "./browser.mjs";

const WEB = new URL("../../web/", import.meta.url);
/** What a round cut leaves of a square, as a part of its width; the drawing stays inside. */
const INSIDE = 0.86;
/** Bits of each pixel, and how many colours these can name. */
const DEPTH = 4;
const COLOURS = 1 << DEPTH;

/** The picture's pixels: red, green and blue for each. */
async function draw(page, svg, size) {
  const pixels = await page.evaluate(
    async ([source, width, inside]) => {
      const image = new Image();
      image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
      await image.decode();
      const canvas = new OffscreenCanvas(width, width);
      const on = canvas.getContext("2d");
      on.fillStyle = source.match(/fill="(#\w+)"/)[1];
      on.fillRect(0, 0, width, width);
      const edge = (width * (1 - inside)) / 2;
      on.drawImage(image, edge, edge, width - 2 * edge, width - 2 * edge);
      return [...on.getImageData(0, 0, width, width).data];
    },
    [svg, size, INSIDE],
  );
  return Array.from({ length: size * size }, (_, i) => pixels.slice(4 * i, 4 * i + 3));
}

/** The colours that are there most, and for each pixel the nearest of them. */
function reduced(pixels) {
  const count = new Map();
  for (const pixel of pixels) count.set(pixel.join(), (count.get(pixel.join()) ?? 0) + 1);
  const apart = (a, b) => a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0);
  const palette = [];
  for (const [key] of [...count].sort((a, b) => b[1] - a[1])) {
    const colour = key.split(",").map(Number);
    if (palette.length < COLOURS && palette.every((other) => apart(other, colour) > 900)) palette.push(colour);
  }
  const nearest = new Map();
  const indexOf = (pixel) => {
    const key = pixel.join();
    if (!nearest.has(key)) {
      const far = palette.map((colour) => apart(colour, pixel));
      nearest.set(key, far.indexOf(Math.min(...far)));
    }
    return nearest.get(key);
  };
  return { palette, indices: pixels.map(indexOf) };
}

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** A PNG with a palette. */
function png(pixels, size) {
  const { palette, indices } = reduced(pixels);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([DEPTH, 3, 0, 0, 0], 8);
  const per = 8 / DEPTH;
  const lines = Buffer.alloc(size * (1 + size / per));
  indices.forEach((index, i) => {
    const [x, y] = [i % size, Math.floor(i / size)];
    lines[y * (1 + size / per) + 1 + Math.floor(x / per)] |= index << (8 - DEPTH * (1 + (x % per)));
  });
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", head),
    chunk("PLTE", Buffer.from(palette.flat())),
    chunk("IDAT", deflateSync(lines, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** The old container, around one PNG. */
function ico(picture, size) {
  const head = Buffer.alloc(22);
  head.set([0, 0, 1, 0, 1, 0, size, size, 0, 0, 1, 0, DEPTH, 0]);
  head.writeUInt32LE(picture.length, 14);
  head.writeUInt32LE(head.length, 18);
  return Buffer.concat([head, picture]);
}

const browser = await open();
const page = await browser.context.newPage();
const svg = await readFile(new URL("icon.svg", WEB), "utf8");
for (const [name, size, wrap] of [
  ["icon-192.png", 192],
  ["icon-512.png", 512],
  ["apple-touch-icon.png", 180],
  ["favicon.ico", 32, ico],
]) {
  const picture = png(await draw(page, svg, size), size);
  const file = wrap ? wrap(picture, size) : picture;
  await writeFile(new URL(name, WEB), file);
  console.log(`${name}: ${file.length} bytes`);
}
await browser.close();
