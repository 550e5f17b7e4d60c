// As much of a document as the stand-in needs, for where there is no browser. What is set as HTML is kept as such, so that
// a test sees it.

class TinyNode {
  constructor(type, name = "") {
    Object.assign(this, { nodeType: type, tagName: name.toUpperCase(), childNodes: [], parentNode: null, attributes: new Map(), listeners: {}, style: {}, data: "", html: "" });
    this.disabled = this.checked = false;
  }
  get firstChild() { return this.childNodes[0] ?? null; }
  get lastChild() { return this.childNodes.at(-1) ?? null; }
  get children() { return this.childNodes.filter((node) => node.nodeType === 1); }
  get firstElementChild() { return this.children[0] ?? null; }
  get previousElementSibling() { return this.#beside(-1); }
  get nextElementSibling() { return this.#beside(1); }
  #beside(by) {
    const all = this.parentNode?.children ?? [];
    return all[all.indexOf(this) + by] ?? null;
  }
  get textContent() { return this.data + this.html + this.childNodes.map((node) => node.textContent).join(""); }
  set innerHTML(text) {
    this.childNodes = [];
    this.html = text;
  }
  get id() { return this.getAttribute("id"); }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  getAttribute(name) { return this.attributes.get(name) ?? null; }
  removeAttribute(name) { this.attributes.delete(name); }
  get classList() {
    const names = () => (this.getAttribute("class") ?? "").split(" ").filter(Boolean);
    const put = (list) => this.setAttribute("class", list.join(" "));
    return {
      add: (name) => put([...new Set([...names(), name])]),
      remove: (name) => put(names().filter((other) => other !== name)),
      contains: (name) => names().includes(name),
    };
  }
  appendChild(node) { return this.insertBefore(node, null); }
  insertBefore(node, before) {
    if (node.nodeType === 11) {
      for (const child of [...node.childNodes]) this.insertBefore(child, before);
      return node;
    }
    node.remove();
    const at = before === null || before === undefined ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(at, 0, node);
    node.parentNode = this;
    return node;
  }
  removeChild(node) {
    this.childNodes = this.childNodes.filter((child) => child !== node);
    node.parentNode = null;
    return node;
  }
  remove() { this.parentNode?.removeChild(this); }
  replaceChildren(...nodes) {
    for (const node of [...this.childNodes]) node.remove();
    for (const node of nodes) this.appendChild(typeof node === "string" ? text(node) : node);
  }
  addEventListener(name, work, how) { (this.listeners[name] ??= []).push([work, how?.once]); }
  dispatchEvent(event) {
    for (let node = this; node; node = event.bubbles ? node.parentNode : null) {
      event.currentTarget = node;
      const list = node.listeners[event.type] ?? [];
      node.listeners[event.type] = list.filter(([, once]) => !once);
      for (const [work] of list) event.done = work.call(node, event);
    }
    return true;
  }
  /** Presses it; resolved when what it does is done. */
  click() {
    const event = new TinyEvent("click", { bubbles: true });
    this.dispatchEvent(event);
    return event.done;
  }
  focus() {}
  matches(selector) {
    return selector.split(",").some((one) => {
      const parts = one.trim().match(/^([a-z0-9]+)?((?:#[\w-]+|\.[\w-]+|\[[^\]]+\]|:not\(\.[\w-]+\))*)$/i);
      if (!parts) throw new Error(`a selector that is not known here: ${one}`);
      if (parts[1] && parts[1].toUpperCase() !== this.tagName) return false;
      return (parts[2].match(/#[\w-]+|\.[\w-]+|\[[^\]]+\]|:not\(\.[\w-]+\)/g) ?? []).every((test) => this.#passes(test));
    });
  }
  #passes(test) {
    if (test.startsWith(":not")) return !this.classList.contains(test.slice(6, -1));
    if (test.startsWith("#")) return this.id === test.slice(1);
    if (test.startsWith(".")) return this.classList.contains(test.slice(1));
    const [, name, value] = test.match(/^\[([\w-]+)(?:="(.*)")?\]$/);
    return value === undefined ? this.attributes.has(name) : this.getAttribute(name) === value;
  }
  closest(selector) {
    for (let node = this; node; node = node.parentNode) if (node.nodeType === 1 && node.matches(selector)) return node;
    return null;
  }
  all() { return this.children.flatMap((child) => [child, ...child.all()]); }
  querySelectorAll(selector) {
    const alone = selector.split(",").every((one) => !one.trim().includes(" ") || one.includes("["));
    if (alone) return this.all().filter((node) => node.matches(selector));
    const [first, ...rest] = selector.trim().split(/\s+/);
    return this.all().filter((node) => node.matches(first)).flatMap((node) => [...node.querySelectorAll(rest.join(" "))]);
  }
  querySelector(selector) { return this.querySelectorAll(selector)[0] ?? null; }
}

class TinyEvent {
  constructor(type, { bubbles = false } = {}) { Object.assign(this, { type, bubbles }); }
  preventDefault() {}
}

function text(data) {
  const node = new TinyNode(3);
  node.data = data;
  return node;
}

/** A window with an empty page of LuCI in it. */
export function tinyWindow() {
  const body = new TinyNode(1, "body");
  const document = {
    body,
    createElement: (name) => new TinyNode(1, name),
    createTextNode: text,
    createDocumentFragment: () => new TinyNode(11),
    querySelector: (selector) => body.querySelector(selector),
    querySelectorAll: (selector) => body.querySelectorAll(selector),
  };
  for (const [id, inside] of [["maincontent", "view"], ["modal_overlay", null]]) {
    const node = document.createElement("div");
    node.setAttribute("id", id);
    body.appendChild(node);
    if (!inside) continue;
    const view = document.createElement("div");
    view.setAttribute("id", inside);
    node.appendChild(view);
  }
  return { document, CustomEvent: TinyEvent };
}
