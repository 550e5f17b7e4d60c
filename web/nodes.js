// Elements of the page: made, found, and changed only where they differ.
// Text goes in by textContent only, so that no name is ever taken for markup.

export const $ = (id) => document.getElementById(id);

/** Writes only what is new: what stays the same must not flicker, nor be read aloud again. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function set(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

export function makeSvg(tag) {
  return document.createElementNS("http://www.w3.org/2000/svg", tag);
}

export function icon() {
  const svg = makeSvg("svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  svg.append(makeSvg("use"));
  return svg;
}

/** Brings the children of `parent` in line with `items`. A node stays with its key, and with it the focus. */
export function keyed(parent, items, keyOf, create, fill) {
  const had = (parent.nodesByKey ??= new Map());
  const keys = items.map(keyOf);
  const wanted = new Set(keys);
  for (const [key, node] of had) {
    if (wanted.has(key)) continue;
    node.remove();
    had.delete(key);
  }
  let at = parent.firstChild;
  items.forEach((item, index) => {
    let node = had.get(keys[index]);
    if (!node) had.set(keys[index], (node = create(item)));
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    fill(node, item, index);
  });
}

/** The rows of a table; the first cell of each names it. */
export function cells(tbody, rows) {
  const create = () => make("tr");
  keyed(
    tbody,
    rows,
    (_, index) => index,
    create,
    (tr, row) => {
      row.forEach((text, index) => {
        let cell = tr.children[index];
        if (!cell) {
          cell = make(index ? "td" : "th");
          if (!index) cell.scope = "row";
          tr.append(cell);
        }
        put(cell, text);
      });
    },
  );
}
