// The box behind the page: its files, what was staged and what was applied, and what it answers.

export class Box {
  constructor(files = {}) {
    this.files = {};
    for (const [name, sections] of Object.entries(files)) this.stage(name, sections.map((section, index) => this.#whole(section, index)));
    this.applied = [];
    this.staged = 0;
    this.calls = [];
    this.answers = {};
  }

  /** A section in short: [type, name or null, options]. */
  #whole([type, name, options], index) {
    const sid = name ?? `cfg${String(index).padStart(6, "0")}`;
    return { ".type": type, ".name": sid, ".anonymous": name === null, ".index": index, ...options };
  }

  read(config) {
    if (!this.files[config]) throw new Error("no such file");
    return structuredClone(this.files[config]);
  }

  stage(config, sections) {
    this.staged = (this.staged ?? -1) + 1;
    const made = {};
    sections.forEach((section, index) => {
      // rpcd gives what is anonymous a name of its own.
      const sid = section[".anonymous"] ? `cfg${String(index).padStart(6, "0")}` : section[".name"];
      const options = Object.fromEntries(Object.entries(section).filter(([key]) => !key.startsWith(".")));
      made[sid] = { ".type": section[".type"], ".name": sid, ".anonymous": section[".anonymous"], ".index": index, ...options };
    });
    this.files[config] = made;
  }

  /** ubus, as rpc.js hands it on: a number for what went wrong on the bus, rejected for what uhttpd refuses. */
  call(object, method, params) {
    this.calls.push({ object, method, params });
    const answer = this.answers[`${object} ${method}`];
    if (answer === undefined) return Promise.reject(new Error(`RPC call to ${object}/${method} failed with error -32000: Object not found`));
    return Promise.resolve().then(() => (typeof answer === "function" ? answer(params) : structuredClone(answer)));
  }

  apply() {
    this.applied.push(structuredClone(this.files));
  }
}
