// A stand-in for LuCI: its loader of modules, and of its interface as much as these views use. It is written from the
// documentation of that interface, so that the views can be tried where no OpenWrt is; it is no proof of LuCI itself.

import { Base } from "./classes.mjs";
import { domOf } from "./dom.mjs";
import { formOf } from "./form.mjs";
import { uciOf } from "./uci.mjs";
import { uiOf } from "./ui.mjs";

const DIRECTIVE = /^\s*'require ([a-z0-9_.]+)(?: as ([a-z0-9_]+))?';/gim;

String.prototype.format ??= function (...values) {
  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  return this.replace(/%([sdh])/g, (_, kind) => {
    const value = values.shift();
    return kind === "d" ? String(Math.trunc(Number(value))) : kind === "h" ? escaped(value) : String(value);
  });
};

const CODES = { 2: "Invalid argument", 3: "Method not found", 4: "Resource not found", 6: "Permission denied", 7: "Request timeout" };

/** Calls by name; what is no answer of the kind that is expected becomes that. */
function rpcOf(box) {
  return {
    declare: (call) => (...args) => {
      const params = Object.fromEntries((call.params ?? []).map((name, i) => [name, args[i]]));
      return box.call(call.object, call.method, params).then((answer) => {
        if (!call.expect) return answer;
        const [[key, usual]] = Object.entries(call.expect);
        const part = key === "" ? answer : answer?.[key];
        return typeof part === typeof usual && Array.isArray(part) === Array.isArray(usual) ? part : usual;
      });
    },
    getStatusText: (code) => CODES[code] ?? "Unknown error code",
  };
}

/** `read` gives the text of a file below /luci-static/resources; `window` has the document. */
export function makeLuci({ window, box, read }) {
  const { document } = window;
  const dom = domOf(document, new WeakMap());
  const { E } = dom;
  const _ = (text) => text;
  const event = (name) => new window.CustomEvent(name, { bubbles: true });
  const ui = uiOf(document, dom, box);
  const uci = uciOf(Base, box);
  const polls = [];
  const rpc = rpcOf(box);
  const L = {
    url: (path) => `/cgi-bin/luci/${path}`,
    resolveDefault: (promise, usual) => Promise.resolve(promise).catch(() => usual),
    toArray: (value) => (Array.isArray(value) ? value : value ? String(value).split(/\s+/) : []),
  };
  const form = formOf({ Base, E, dom, ui, uci, document, event, _ });
  const known = { baseclass: Base, view: Base, form, rpc, uci, ui, dom, poll: { add: (work, every) => polls.push([work, every]) } };

  async function load(name) {
    if (known[name]) return known[name];
    const source = await read(`${name.replaceAll(".", "/")}.js`);
    const [names, parts] = [[], []];
    for (const [, wanted, as] of source.matchAll(DIRECTIVE)) {
      names.push(as ?? wanted);
      parts.push(await load(wanted));
    }
    const run = new Function("window", "document", "L", "E", "_", ...names, source);
    const Class = run(window, document, L, E, _, ...parts);
    return (known[name] = new Class());
  }

  /** Shows a view as its page does, with the buttons below it. */
  async function open(name) {
    const view = await load(`view.${name}`);
    const node = await view.render(await view.load());
    const main = document.querySelector("#view");
    const button = (text, className, work) => E("button", { class: `btn cbi-button ${className}`, click: ui.createHandlerFn(view, work) }, [text]);
    const footer = [button("Save & Apply", "cbi-button-apply", "handleSaveApply"), " ", button("Save", "cbi-button-save", "handleSave")];
    dom.content(main, [node, ...(view.handleSave ? [E("div", { class: "cbi-page-actions" }, footer)] : [])]);
    return view;
  }

  /** Shows a box of the overview; `again` asks and draws it once more. */
  async function include(name) {
    const part = await load(`view.status.include.${name}`);
    const place = document.querySelector("#view");
    const again = async () => dom.content(place, [E("h3", {}, part.title), E("div", {}, [part.render(await part.load())])]);
    await again();
    return again;
  }

  return { load, open, include, uci, ui, form, polls, dom, E };
}
