// uci as views know it: what the box has, and beside it what was changed in the page, until save().

/** What there is, with what was changed. */
const READING = {
  load(packages) {
    return Promise.resolve().then(() => {
      for (const name of [packages].flat()) this.state.values[name] ??= this.box.read(name);
      return packages;
    });
  },

  unload(name) {
    for (const part of Object.values(this.state)) delete part[name];
  },

  sections(config, type) {
    const { values, creates, changes, deletes } = this.state;
    const all = [];
    // As in LuCI, an option that was removed is still here: only get() knows.
    for (const [sid, section] of Object.entries(values[config] ?? {}))
      if (deletes[config]?.[sid] !== true) all.push({ ...section, ...changes[config]?.[sid] });
    all.push(...Object.values(creates[config] ?? {}).map((section) => ({ ...section })));
    all.sort((a, b) => a[".index"] - b[".index"]);
    return all.filter((section) => !type || section[".type"] === type);
  },

  get(config, sid, option) {
    const { values, creates, changes, deletes } = this.state;
    const made = creates[config]?.[sid];
    if (made) return option === undefined ? made : made[option];
    if (option === undefined) return values[config]?.[sid];
    const gone = deletes[config]?.[sid];
    if (gone === true || gone?.includes(option)) return undefined;
    return changes[config]?.[sid]?.[option] ?? values[config]?.[sid]?.[option];
  },
};

/** What is changed stays in the page. */
const CHANGING = {
  set(config, sid, option, value) {
    const { values, creates, changes, deletes } = this.state;
    const made = creates[config]?.[sid];
    const empty = value === null || value === undefined || value === "";
    if (made) {
      if (empty) delete made[option];
      else made[option] = value;
    } else if (!values[config]?.[sid] || deletes[config]?.[sid] === true) {
      return;
    } else if (empty) {
      if (this.get(config, sid, option) === undefined) return;
      ((deletes[config] ??= {})[sid] ??= []).push(option);
    } else {
      const gone = deletes[config]?.[sid];
      if (gone) deletes[config][sid] = gone.filter((other) => other !== option);
      ((changes[config] ??= {})[sid] ??= {})[option] = value;
    }
  },

  unset(config, sid, option) {
    this.set(config, sid, option, null);
  },

  add(config, type, name) {
    const sid = name || `new${String(++this.next).padStart(6, "0")}`;
    (this.state.creates[config] ??= {})[sid] = { ".type": type, ".name": sid, ".anonymous": !name, ".index": 1000 + this.next };
    this.next += 1;
    return sid;
  },

  remove(config, sid) {
    const { creates, deletes } = this.state;
    if (creates[config]?.[sid]) delete creates[config][sid];
    else (deletes[config] ??= {})[sid] = true;
  },

  move(config, sid, other, after) {
    const order = this.sections(config).map((section) => section[".name"]).filter((name) => name !== sid);
    order.splice(order.indexOf(other) + (after ? 1 : 0), 0, sid);
    order.forEach((name, index) => (this.get(config, name)[".index"] = index));
    this.state.reorder[config] = true;
    return true;
  },
};

/** All of it goes to the box, which stages it. */
const SAVING = {
  save() {
    return Promise.resolve().then(() => {
      for (const config of Object.keys(this.state.values)) {
        const sections = this.sections(config).map((section) => {
          const kept = Object.keys(section).filter((key) => key.startsWith(".") || this.get(config, section[".name"], key) !== undefined);
          return Object.fromEntries(kept.map((key) => [key, section[key]]));
        });
        this.box.stage(config, sections);
        this.unload(config);
        this.state.values[config] = this.box.read(config);
      }
    });
  },
};

export function uciOf(Base, box) {
  const Uci = Base.extend({
    __init__() {
      this.box = box;
      this.state = { values: {}, creates: {}, changes: {}, deletes: {}, reorder: {} };
      this.next = 0;
    },
    ...READING,
    ...CHANGING,
    ...SAVING,
  });
  return new Uci();
}
