// What a program exports: filled while it is loaded, or while a function of several starts. Not the calls themselves.

/** What answers for each of the contract's interfaces. */
export const exported = new Map();

/** The functions of a file that says its functions, in order. */
export const described = [];

const put = (name) => (answers) => {
  exported.set(name, answers);
  return answers;
};

export const filter = put("filter");
export const mapper = put("mapper");
export const joiner = put("joiner");
export const migrator = put("migrator");
export const processor = put("processor");
export const onTimer = put("on-timer");

export function router(answers) {
  exported.set("router", { answers, partitioned: false });
  return answers;
}

export function partitionedRouter(answers) {
  exported.set("router", { answers, partitioned: true });
  return answers;
}

/** Exports what it has of aggregator, merger, retractor and migrator. */
export function aggregator(made) {
  exported.set("aggregator", made);
  for (const [name, method] of [["merger", "merge"], ["retractor", "remove"], ["migrator", "migrate"]]) {
    if (made[method]) exported.set(name, made);
  }
  return made;
}

/** Exports a scanner, and what it has of a migrator. */
export function scanner(made) {
  exported.set("scanner", made);
  if (made.migrate) exported.set("migrator", made);
  return made;
}

/** Several functions in one file, or one with settings. */
export function functions(...all) {
  described.push(...all);
}

/** What the manifest gives a function: text by name. It remembers what was asked for. */
class Settings {
  constructor(given) {
    this.given = new Map(given);
    this.asked = new Set();
  }

  get(name) {
    this.asked.add(name);
    return this.given.get(name) ?? null;
  }

  required(name) {
    const value = this.get(name);
    if (value === null) throw new Error(`the setting \`${name}\` is missing`);
    return value;
  }

  /** Refuses settings that nobody asked for: a slip of the pen. */
  allKnown() {
    const unknown = [...this.given.keys()].find((name) => !this.asked.has(name));
    if (unknown === undefined) return;
    if (this.asked.size === 0) throw new Error(`it takes no settings, and \`${unknown}\` was given`);
    throw new Error(`there is no setting \`${unknown}\`; there are ${named([...this.asked])}`);
  }
}

const named = (names) => names.map((name) => `\`${name}\``).join(", ");

/** Makes this instance the function of this name; an empty name is the only one of a file with one. */
export function start(name, given) {
  const found = name === "" && described.length === 1 ? described[0] : described.find((one) => one.name === name);
  const known = named(described.map((one) => one.name));
  if (!found) {
    throw new Error(name === "" ? `which of its functions is meant: ${known}?` : `there is no function \`${name}\` in this file; there are ${known}`);
  }
  const settings = new Settings(given);
  found.start(settings);
  settings.allKnown();
}

/** The interfaces that a component of this program exports. */
export function interfaces() {
  const found = new Set([...exported.keys(), ...described.flatMap((one) => one.interfaces)]);
  if (described.length > 0) found.add("lifecycle");
  return [...found].sort();
}
