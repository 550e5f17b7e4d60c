// Classes as LuCI has them: extend() makes one of properties, and super() finds the method above by counting from the
// object's own class, or from the class that is just being called.

const busy = new Map();
let count = 0;

export class Base {
  constructor(...args) {
    this.__id__ = ++count;
    if (typeof this.__init__ === "function") this.__init__(...args);
  }

  static extend(properties) {
    const Made = class extends this {};
    for (const [key, value] of Object.entries(properties)) Object.defineProperty(Made.prototype, key, { value, writable: true, configurable: true });
    return Made;
  }

  static instantiate(args = []) {
    return new this(...args);
  }

  static isSubclass(other) {
    return typeof other === "function" && other.prototype instanceof this;
  }

  super(key, args) {
    const slot = `${this.__id__}.${key}`;
    const calls = busy.get(slot) ?? [];
    let above = Object.getPrototypeOf(calls[0] ?? Object.getPrototypeOf(this));
    while (above && !Object.hasOwn(above, key)) above = Object.getPrototypeOf(above);
    if (!above) return null;
    busy.set(slot, [above, ...calls]);
    try {
      return above[key].apply(this, args);
    } finally {
      if (calls.length) busy.set(slot, calls);
      else busy.delete(slot);
    }
  }
}
