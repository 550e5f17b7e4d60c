// The fields of a form: text, list, choice, switch, and what only shows something.

const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

/** All kinds of fields. */
export function optionsOf(Element, E, dom, _) {
  const AbstractValue = abstractOf(Element, dom);
  const Value = valueOf(AbstractValue, E, dom);
  return { AbstractValue, Value, ...listsOf(Value, E), ...othersOf(Value, E, _) };
}

function abstractOf(Element, dom) {
  return Element.extend({
    __init__(map, section, option, title, description) {
      Object.assign(this, { map, section, option, title, description, config: map.config, rmempty: true, optional: false, default: null });
    },
    cbid(sid) {
      return `cbid.${this.map.config}.${sid}.${this.option}`;
    },
    load(sid) {
      return this.map.data.get(this.map.config, sid, this.option);
    },
    cfgvalue(sid, value) {
      if (arguments.length === 2) (this.data ??= {})[sid] = value;
      return this.data?.[sid];
    },
    textvalue(sid) {
      const value = this.cfgvalue(sid) ?? this.default;
      return value === null ? null : "%h".format(Array.isArray(value) ? value.join(" ") : value);
    },
    widget(sid) {
      const node = this.map.findElement("id", this.cbid(sid));
      return node ? dom.findClassInstance(node) : null;
    },
    formvalue(sid) {
      return this.widget(sid)?.getValue() ?? null;
    },
    isActive(sid) {
      return this.map.findElement("data-field", this.cbid(sid)) !== null;
    },
    isValid(sid) {
      return this.validate(sid, this.formvalue(sid)) === true;
    },
    validate() {
      return true;
    },
    write(sid, value) {
      this.map.data.set(this.map.config, sid, this.option, value);
    },
    remove(sid) {
      this.map.data.unset(this.map.config, sid, this.option);
    },
    parse(sid) {
      if (!this.isActive(sid)) return Promise.resolve(this.remove(sid));
      if (!this.isValid(sid)) return Promise.reject(new TypeError(`Option "${this.title}" contains an invalid input value.`));
      const value = this.formvalue(sid);
      if (value === null || value === "" || value.length === 0) return Promise.resolve(this.remove(sid));
      return Promise.resolve(same(this.cfgvalue(sid), value) ? null : this.write(sid, value));
    },
  });
}

function valueOf(AbstractValue, E, dom) {
  return AbstractValue.extend({
    __name__: "CBI.Value",
    value(key, text) {
      (this.keys ??= []).push([String(key), text ?? key]);
    },
    render(index, sid, inTable) {
      const node = this.renderWidget(sid, this.cfgvalue(sid) ?? this.default);
      const field = { "data-field": this.cbid(sid), "data-name": this.option };
      if (inTable) return E("td", { class: "td", "data-name": this.option }, [E("div", { "data-field": this.cbid(sid) }, [node])]);
      const frame = E("div", { class: "cbi-value", ...field }, [
        E("label", { class: "cbi-value-title", for: `widget.${this.cbid(sid)}` }, this.title),
        E("div", { class: "cbi-value-field" }, [node, this.description ? E("div", { class: "cbi-value-description" }, this.description) : ""]),
      ]);
      dom.bindClassInstance(frame, this);
      return frame;
    },
    /** The frame of a widget, and what form asks it. */
    bind(sid, children, getValue) {
      const node = E("div", { id: this.cbid(sid) }, children);
      dom.bindClassInstance(node, { getValue });
      for (const event of ["input", "change"]) node.addEventListener(event, () => node.dispatchEvent(this.map.event("widget-change")));
      return node;
    },
    input(sid, value, more) {
      const node = E("input", { class: "cbi-input-text", type: this.password ? "password" : "text", placeholder: this.placeholder, ...more });
      node.value = value ?? "";
      return node;
    },
    renderWidget(sid, value) {
      const input = this.input(sid, Array.isArray(value) ? value.join(" ") : value, { id: `widget.${this.cbid(sid)}` });
      if (!this.keys) return this.bind(sid, [input], () => input.value);
      // A box of choices that also takes what is typed.
      const list = E("datalist", { id: `list.${this.cbid(sid)}` }, this.keys.map(([key, text]) => E("option", { value: key }, [text])));
      input.setAttribute("list", `list.${this.cbid(sid)}`);
      return this.bind(sid, [input, list], () => input.value);
    },
  });
}

/** Several values, and one of several. */
function listsOf(Value, E) {
  const DynamicList = Value.extend({
    __name__: "CBI.DynamicList",
    renderWidget(sid, value) {
      const values = Array.isArray(value) ? value : value ? String(value).split(/\s+/) : [];
      const inputs = [...values, ""].map((text, i) => this.input(sid, text, i ? { "aria-label": this.title } : { id: `widget.${this.cbid(sid)}` }));
      return this.bind(sid, inputs, () => inputs.map((input) => input.value).filter((text) => text !== ""));
    },
  });

  const ListValue = Value.extend({
    __name__: "CBI.ListValue",
    renderWidget(sid, value) {
      const usual = this.optional ? [["", this.placeholder ?? "-"]] : [];
      const select = E("select", { class: "cbi-input-select", id: `widget.${this.cbid(sid)}` }, [...usual, ...this.keys].map(([key, text]) => E("option", { value: key }, [text])));
      select.value = value ?? "";
      return this.bind(sid, [select], () => select.value);
    },
  });

  return { DynamicList, ListValue };
}

/** A switch, and what only shows something. */
function othersOf(Value, E, _) {
  const Flag = Value.extend({
    __name__: "CBI.FlagValue",
    __init__(...args) {
      this.super("__init__", args);
      Object.assign(this, { enabled: "1", disabled: "0", default: "0" });
    },
    renderWidget(sid, value) {
      const input = E("input", { type: "checkbox", id: `widget.${this.cbid(sid)}` });
      input.checked = value === this.enabled;
      return this.bind(sid, [input], () => (input.checked ? this.enabled : this.disabled));
    },
    textvalue(sid) {
      return (this.cfgvalue(sid) ?? this.default) === this.enabled ? _("Yes") : _("No");
    },
    parse(sid) {
      const value = this.formvalue(sid);
      if (!this.isActive(sid) || (value === this.default && (this.optional || this.rmempty))) return Promise.resolve(this.remove(sid));
      return Promise.resolve(this.write(sid, value));
    },
  });

  const DummyValue = Value.extend({
    __name__: "CBI.DummyValue",
    renderWidget(sid, value) {
      return this.bind(sid, [E("output", {}, [value ?? ""])], () => null);
    },
    write() {},
    remove() {},
  });

  return { Flag, DummyValue };
}
