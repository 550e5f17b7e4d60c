// Messages, dialogs and buttons, as ui.js has them.

export function uiOf(document, dom, box) {
  const { E } = dom;

  function message(title, children, ...classes) {
    const place = document.querySelector("#maincontent");
    const node = E("div", { class: ["alert-message", "notification", ...classes].join(" ") }, []);
    if (title) dom.append(node, [E("h4", {}, title)]);
    dom.append(node, children);
    dom.append(node, [E("button", { class: "btn", click: () => node.remove() }, ["Dismiss"])]);
    place.insertBefore(node, place.firstChild);
    return node;
  }

  function showModal(title, children, ...classes) {
    const overlay = document.querySelector("#modal_overlay");
    dom.content(overlay, [E("div", { class: ["modal", ...classes].join(" "), role: "dialog", "aria-modal": "true" }, [E("h4", {}, title), ...[children].flat()])]);
    document.body.classList.add("modal-overlay-active");
    return overlay.firstChild;
  }

  function hideModal() {
    dom.content(document.querySelector("#modal_overlay"), null);
    document.body.classList.remove("modal-overlay-active");
  }

  /** A button is off while what it does is under way. */
  function createHandlerFn(context, work, ...bound) {
    const call = typeof work === "string" ? context[work] : work;
    return (event) => {
      const button = event.currentTarget;
      if (button) button.disabled = true;
      return Promise.resolve(call.call(context, ...bound, event)).finally(() => {
        if (button) button.disabled = false;
      });
    };
  }

  const changes = { apply: (checked) => box.apply(checked) };
  return { addNotification: message, showModal, hideModal, createHandlerFn, changes };
}
