// Forms: a map of sections of fields, as form.js has them, as far as these views use them.

import { optionsOf } from "./options.mjs";

export function formOf(luci) {
  const { Base, E, dom, _ } = luci;
  const Element = Base.extend({ stripTags: (text) => String(text ?? "").replace(/<[^>]*>/g, "") });
  const Section = sectionOf(Element, E);
  const Map = mapOf(Element, Section, luci);
  const plain = plainOf(Section, E);
  return { Map, ...plain, ...tablesOf({ ...luci, ...plain, Map }), ...optionsOf(Element, E, dom, _) };
}

function sectionOf(Element, E) {
  return Element.extend({
    init(map, type, title, description) {
      Object.assign(this, { map, sectiontype: type, title, description, children: [], config: map.config });
    },
    option(Class, ...args) {
      const option = Class.instantiate([this.map, this, ...args]);
      this.children.push(option);
      return option;
    },
    load() {
      for (const sid of this.cfgsections()) for (const option of this.children) option.cfgvalue(sid, option.load(sid));
    },
    parse() {
      return Promise.all(this.cfgsections().flatMap((sid) => this.parsed().map((option) => option.parse(sid))));
    },
    parsed() {
      return this.children;
    },
    head(node) {
      if (this.title) node.appendChild(E("h3", {}, this.title));
      if (this.description) node.appendChild(E("div", { class: "cbi-section-descr" }, this.description));
      return node;
    },
    body(sid) {
      const nodes = this.children.map((option, index) => option.render(index, sid, false));
      return E("div", { class: "cbi-section-node", "data-section-id": sid }, nodes);
    },
  });
}

function mapOf(Element, Section, { E, dom, ui, uci, event, _ }) {
  return Element.extend({
    __init__(config, title, description) {
      Object.assign(this, { config, title, description, children: [], data: uci, event });
    },
    section(Class, ...args) {
      if (!Section.isSubclass(Class)) throw new TypeError("Class must be a descendent of CBIAbstractSection");
      const section = Class.instantiate([this, ...args]);
      this.children.push(section);
      return section;
    },
    findElement(...args) {
      const wanted = args.length === 1 ? args[0] : `[${args[0]}="${args[1]}"]`;
      return this.root.querySelector(wanted);
    },
    load() {
      return this.data.load([this.config]).then(() => this.children.forEach((section) => section.load()));
    },
    parse() {
      return Promise.all(this.children.map((section) => section.parse()));
    },
    save(cb, silent) {
      return this.parse()
        .then(cb)
        .then(() => this.data.save())
        .then(() => this.load())
        .catch((error) => {
          if (!silent) ui.showModal(_("Save error"), [E("p", {}, [error.message]), E("button", { click: ui.hideModal }, [_("Dismiss")])]);
          throw error;
        })
        .then(() => this.renderContents());
    },
    reset() {
      return Promise.resolve(this.renderContents());
    },
    render() {
      return this.load().then(() => this.renderContents());
    },
    renderContents() {
      this.root ??= E("div", { id: `cbi-${this.config}`, class: "cbi-map" });
      dom.bindClassInstance(this.root, this);
      const nodes = this.children.map((section) => section.render());
      dom.content(this.root, null);
      if (this.title) this.root.appendChild(E("h2", {}, this.title));
      if (this.description) this.root.appendChild(E("div", { class: "cbi-map-descr" }, this.description));
      dom.append(this.root, nodes);
      return this.root;
    },
  });
}

/** Sections one below the other, and a single one. */
function plainOf(Section, E) {
  const TypedSection = Section.extend({
    __init__(...args) {
      this.init(...args);
    },
    cfgsections() {
      return this.map.data.sections(this.map.config, this.sectiontype).map((section) => section[".name"]);
    },
    handleRemove(sid) {
      this.map.data.remove(this.map.config, sid);
      return this.map.save(null, true);
    },
    render() {
      const section = E("div", { id: `cbi-${this.map.config}-${this.sectiontype}`, class: "cbi-section" });
      this.head(section);
      for (const sid of this.cfgsections()) section.appendChild(this.body(sid));
      return section;
    },
  });

  const NamedSection = Section.extend({
    __init__(map, sid, type) {
      this.init(map, type);
      this.section = sid;
    },
    cfgsections() {
      return [this.section];
    },
    render() {
      return E("div", { class: "cbi-section" }, [this.body(this.section)]);
    },
  });

  return { TypedSection, NamedSection };
}

/** Sections as rows of a table, each with a dialog for all of its fields. */
function tablesOf(luci) {
  const { TypedSection, _ } = luci;
  const TableSection = TypedSection.extend({ ...rowsOf(luci), ...dialogsOf(luci) });
  const GridSection = TableSection.extend({
    handleAdd(event, name) {
      const sid = this.map.data.add(this.map.config, this.sectiontype, name);
      this.map.addedSection = sid;
      return this.renderMoreOptionsModal(sid);
    },
    handleModalSave(...args) {
      return this.super("handleModalSave", args);
    },
    handleModalCancel(map, event, isSaving) {
      if (this.map.addedSection && !isSaving) this.map.data.remove(this.map.config, this.map.addedSection);
      delete this.map.addedSection;
      return this.super("handleModalCancel", [map, event]);
    },
    renderRowActions(sid) {
      return this.super("renderRowActions", [sid, _("Edit")]);
    },
    parsed() {
      return this.children.filter((option) => option.editable && !option.modalonly);
    },
  });
  return { TableSection, GridSection };
}

function rowsOf({ E, dom, ui, _ }) {
  return {
    addModalOptions() {},
    renderSectionAdd() {
      const title = this.addbtntitle ?? _("Add");
      return E("div", { class: "cbi-section-create" }, [E("button", { class: "cbi-button cbi-button-add", click: ui.createHandlerFn(this, "handleAdd") }, [title])]);
    },
    renderRowActions(sid, more) {
      const button = (text, work) => E("button", { class: "btn cbi-button", click: ui.createHandlerFn(this, work, sid) }, [text]);
      const handle = this.sortable ? [E("button", { class: "cbi-button drag-handle", title: _("Drag to reorder") }, ["☰"])] : [];
      return E("td", { class: "td nowrap cbi-section-actions" }, [E("div", {}, [...handle, button(more, "renderMoreOptionsModal"), button(_("Delete"), "handleRemove")])]);
    },
    render() {
      const shown = this.children.filter((option) => !option.modalonly);
      const titles = shown.map((option) => E("th", { class: "th", click: this.sortable ? () => this.handleSort() : null }, option.title));
      const rows = this.cfgsections().map((sid) => {
        const cells = shown.map((option) => E("td", { class: "td", "data-title": option.title, "data-name": option.option }, option.textvalue(sid) ?? E("em", {}, [_("none")])));
        return E("tr", { class: "tr cbi-section-table-row", "data-sid": sid, "data-section-id": sid }, [...cells, this.renderRowActions(sid)]);
      });
      const section = this.head(E("div", { id: `cbi-${this.map.config}-${this.sectiontype}`, class: "cbi-section" }));
      section.appendChild(E("table", { class: "table" }, [E("tr", { class: "tr table-titles" }, [...titles, E("th", { class: "th" }, [])]), ...rows]));
      section.appendChild(this.renderSectionAdd("cbi-tblsection-create"));
      dom.bindClassInstance(section, this);
      return section;
    },
    handleSort() {
      throw new Error("LuCI sorts the whole table by this column");
    },
  };
}

function dialogsOf({ NamedSection, Map, E, ui, _ }) {
  return {
    cloneOptions(to) {
      for (const from of this.children) {
        if (from.modalonly === false) continue;
        const option = to.option(from.constructor, from.option, from.title, from.description);
        for (const key of Object.keys(from)) if (!["map", "section", "option", "title", "description", "__id__"].includes(key)) option[key] = from[key];
      }
    },
    renderMoreOptionsModal(sid, event) {
      const map = new Map(this.map.config, null, null);
      const section = map.section(NamedSection, sid, this.sectiontype);
      this.cloneOptions(section);
      return Promise.resolve(this.addModalOptions(section, sid, event))
        .then(() => map.render())
        .then((nodes) => {
          const title = typeof this.modaltitle === "function" ? this.modaltitle(sid) : sid;
          const button = (text, className, work) => E("button", { class: `btn cbi-button ${className}`, click: ui.createHandlerFn(this, work, map) }, [text]);
          const buttons = [button(_("Dismiss"), "", "handleModalCancel"), " ", button(_("Save"), "cbi-button-positive", "handleModalSave")];
          ui.showModal(title, [nodes, E("div", { class: "button-row" }, buttons)], "cbi-modal");
        });
    },
    handleModalCancel() {
      return Promise.resolve(ui.hideModal());
    },
    handleModalSave(map, event) {
      return map
        .save(null, true)
        .then(() => this.map.load())
        .then(() => this.map.reset())
        .then(() => this.handleModalCancel(map, event, true))
        .catch(() => {});
    },
  };
}
