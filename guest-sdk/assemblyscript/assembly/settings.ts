//! Settings of the manifest, and how an instance becomes one of the functions of its module. Not their schema's meaning.

/**
 * What the manifest gives a function under `config`: text by name; nested values are JSON text. It remembers which settings
 * were asked for, so that one nobody asks for (a slip of the pen) is refused.
 */
export class Settings {
  private names: string[] = [];
  private values: string[] = [];
  private asked: string[] = [];
  /** @internal */
  reason: string | null = null;

  /** @internal */
  put(name: string, value: string): void {
    this.names.push(name);
    this.values.push(value);
  }

  /** The text of a setting; null when it is not given. */
  get(name: string): string | null {
    if (!this.asked.includes(name)) this.asked.push(name);
    const at = this.names.indexOf(name);
    return at < 0 ? null : this.values[at];
  }

  /** The text of a setting that must be given: without it the function does not start, and this is empty. */
  required(name: string): string {
    const value = this.get(name);
    if (value === null) this.refuse(`the setting \`${name}\` is missing`);
    return value === null ? "" : value;
  }

  /** A whole number of up to 18 digits; `otherwise` when it is not given. What is none or out of bounds is refused. */
  integer(name: string, otherwise: i64, least: i64 = i64.MIN_VALUE, most: i64 = i64.MAX_VALUE): i64 {
    const text = this.get(name);
    if (text === null) return otherwise;
    const negative = text.startsWith("-");
    let number: i64 = 0;
    let right = text.length > (negative ? 1 : 0) && text.length <= (negative ? 19 : 18);
    for (let i = negative ? 1 : 0; right && i < text.length; i++) {
      const digit = text.charCodeAt(i) - 48;
      right = <u32>digit <= 9;
      number = number * 10 + digit;
    }
    if (negative) number = -number;
    if (right && number >= least && number <= most) return number;
    this.refuse(`the setting \`${name}\` is \`${text}\`: a whole number from ${least} to ${most} is wanted`);
    return otherwise;
  }

  /** The function does not start with these settings, and says to people why; the first reason counts. */
  refuse(reason: string): void {
    if (this.reason === null) this.reason = reason;
  }

  /** Refuses settings that nobody asked for. @internal */
  refuseUnknown(): void {
    for (let i = 0; i < this.names.length; i++) {
      const name = this.names[i];
      if (this.asked.includes(name)) continue;
      if (!this.asked.length) return this.refuse(`it takes no settings, and \`${name}\` was given`);
      return this.refuse(`there is no setting \`${name}\`; there are ${quoted(this.asked)}`);
    }
  }
}

/** One function of a module. */
export class Definition {
  /** By this a manifest picks it. */
  name: string = "";
  /** The contract's interfaces that answer for it, of those that are exported. */
  interfaces: string[] = [];
  /** A line for people. */
  summary: string = "";
  /** JSON Schema of its settings; empty: it takes none. */
  settingsSchema: string = "";
  /** Told its settings before the first record; what it puts into global variables stays. */
  start: (settings: Settings) => void = withoutSettings;
}

function withoutSettings(settings: Settings): void {}

function quoted(names: string[]): string {
  let text = "";
  for (let i = 0; i < names.length; i++) text += (i ? ", `" : "`") + names[i] + "`";
  return text;
}

/** Starts the function `name`; an empty name is the only one of a module with one. Gives why not, or null. @internal */
export function started(functions: Definition[], name: string, settings: Settings): string | null {
  const names: string[] = [];
  for (let i = 0; i < functions.length; i++) {
    const one = functions[i];
    names.push(one.name);
    if (one.name != name && (name.length || functions.length != 1)) continue;
    one.start(settings);
    if (settings.reason === null) settings.refuseUnknown();
    return settings.reason;
  }
  if (!name.length) return `which of its functions is meant: ${quoted(names)}?`;
  return `there is no function \`${name}\` in this file; there are ${quoted(names)}`;
}
