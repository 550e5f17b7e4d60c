// How LuCI makes elements. A bare string as the child is HTML there, and so it is here: what is careless with foreign text
// is caught.

export function domOf(document, classOf) {
  const isNode = (value) => value !== null && typeof value === "object" && typeof value.nodeType === "number";

  function append(node, children) {
    if (typeof children === "function") return append(node, children(node));
    if (Array.isArray(children)) {
      for (const child of children) {
        if (isNode(child)) node.appendChild(child);
        else if (child !== null && child !== undefined) node.appendChild(document.createTextNode(String(child)));
      }
    } else if (isNode(children)) node.appendChild(children);
    else if (children !== null && children !== undefined) node.innerHTML = String(children);
    return node.lastChild;
  }

  function content(node, children) {
    while (node.firstChild) node.removeChild(node.firstChild);
    return append(node, children);
  }

  function E(tag, attributes, children) {
    if (Array.isArray(tag)) {
      const fragment = document.createDocumentFragment();
      append(fragment, tag);
      return fragment;
    }
    const node = document.createElement(tag);
    if (Array.isArray(attributes) || isNode(attributes) || typeof attributes === "string") [attributes, children] = [{}, attributes];
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (value === null || value === undefined) continue;
      if (typeof value === "function") node.addEventListener(key, value);
      else node.setAttribute(key, typeof value === "object" ? JSON.stringify(value) : value);
    }
    append(node, children);
    return node;
  }

  const bindClassInstance = (node, instance) => classOf.set(node, instance);
  function findClassInstance(node) {
    for (let at = node; at; at = at.parentNode) if (classOf.has(at)) return classOf.get(at);
    return null;
  }

  return { E, append, content, bindClassInstance, findClassInstance };
}
