// The stores and timers of a processor's call. What a function writes is held here and goes to the host at once, when the call ends;
// what it writes for a record that it refuses never goes. Not the host's side.

import { bytesOf } from "./columns.js";

/** About what an engine takes for an entry or a change of a timer besides its bytes. */
const HELD_BYTES = 200;

/** How many entries a range may have: the contract's `u32`. */
const LIMIT_MAX = 2 ** 32 - 1;

/** What time a timer goes by, as the contract names it. */
const CLOCKS = ["event-time", "wall-clock"];

/** Bytes as a text of as many characters: a Map finds it, and texts are in the order of their bytes. */
export function textOf(bytes) {
  let text = "";
  // In pieces: an engine's stack holds so many arguments and no more.
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode.apply(null, bytes.subarray(at, at + 4096));
  return text;
}

/** The bytes of a function's own, which it may change afterwards. */
const copied = (item, what) => {
  const bytes = bytesOf(item, what);
  return bytes === null ? null : new Uint8Array(bytes);
};

/** A store of the step. */
class Store {
  constructor(call, host, name) {
    this.call = call;
    this.host = host;
    this.name = name;
    /** Entries as this call sees them, by their key as text. */
    this.entries = new Map();
  }

  /** What this call holds of a key. `isKnown`: not to be asked for; `value`, null: it is not there; `isWritten`: the host is to get it. */
  held(given) {
    this.call.isAtHand();
    const key = copied(given, "a key of a store");
    if (key === null) throw new TypeError("a key of a store is bytes or text, not null");
    const text = textOf(key);
    let held = this.entries.get(text);
    if (!held) {
      held = { key, value: null, isKnown: false, isWritten: false };
      this.entries.set(text, held);
      this.call.bytes += HELD_BYTES + key.length;
    }
    return held;
  }

  get(key) {
    const held = this.held(key);
    if (!held.isKnown) {
      held.value = this.host.read(this.name, held.key);
      held.isKnown = true;
      this.call.bytes += held.value?.length ?? 0;
    }
    // A copy, so that nobody writes without `put`.
    return copied(held.value);
  }

  put(key, value) {
    const [held, own] = [this.held(key), copied(value, "a value of a store")];
    this.call.undo.push([held, { ...held }]);
    Object.assign(held, { value: own, isKnown: true, isWritten: true });
    this.call.bytes += own?.length ?? 0;
  }

  remove(key) {
    this.put(key, null);
  }

  range(start, end, limit) {
    this.call.isAtHand();
    const [first, last] = [start, end].map((bound) => bytesOf(bound, "a bound of a range") ?? new Uint8Array());
    if (!Number.isInteger(limit) || limit < 0 || limit > LIMIT_MAX) {
      throw new TypeError(`the limit of a range is a whole number up to ${LIMIT_MAX}, not ${limit}`);
    }
    // The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
    // forgets the call and asks again without it.
    this.call.flush();
    const found = this.host.range(this.name, first, last, limit);
    for (const [key, value] of found) this.call.bytes += key.length + value.length;
    return found;
  }

  /** Hands what was written over. */
  flush() {
    const written = [...this.entries.values()].filter((held) => held.isWritten);
    if (written.length === 0) return;
    this.host.write(this.name, written.map(({ key }) => key), written.map(({ value }) => value));
    for (const held of written) held.isWritten = false;
  }
}

/** The stores and timers of a call; `host` has `read`, `write`, `range` for stores and `time` for timers. */
export class Call {
  constructor(host) {
    this.host = host;
    this.stores = new Map();
    /** Entries with what they were before each write for the record at hand. */
    this.undo = [];
    /** Changes of timers in their order; without a due time it is cancelled. */
    this.changes = [];
    /** The earliest event time for which a timer was set, and the latest of a record. */
    this.earliest = Infinity;
    this.newest = -Infinity;
    /** About how much memory it has taken. */
    this.bytes = 0;
    this.isOver = false;
  }

  store(name) {
    this.isAtHand();
    if (!this.stores.has(name)) this.stores.set(name, new Store(this, this.host, name));
    return this.stores.get(name);
  }

  setTimer(clock, key, name, due) {
    if (!Number.isSafeInteger(due)) {
      throw new TypeError(`the due time of a timer is a whole number of milliseconds, not ${due}`);
    }
    this.change(clock, key, name, due);
    if (clock === "event-time") this.earliest = Math.min(this.earliest, due);
  }

  cancelTimer(clock, key, name) {
    this.change(clock, key, name, null);
  }

  change(clock, key, name, due) {
    this.isAtHand();
    if (!CLOCKS.includes(clock)) throw new TypeError(`a timer goes by ${CLOCKS.join(" or ")}, not by ${clock}`);
    if (typeof name !== "string") throw new TypeError(`the name of a timer is a text, not ${name}`);
    this.changes.push({ clock, key: copied(key, "the key of a timer"), name, due });
    this.bytes += HELD_BYTES;
  }

  /** Stores and timers are there while a function handles a record or a timer, and not behind it. */
  isAtHand() {
    if (this.isOver) throw new Error("stores and timers belong to the call in which they were asked for, and that is over");
  }

  /** Whether a timer that was set is due before a record of this time, which is then for the next call. */
  isForNext(timestamp) {
    this.newest = Math.max(this.newest, timestamp);
    return this.earliest <= this.newest;
  }

  /** Begins with a record, or with a timer. */
  begin() {
    this.undo.length = 0;
    this.before = { changes: this.changes.length, earliest: this.earliest };
  }

  /** The one at hand is refused: what was written for it is forgotten. */
  forget() {
    for (const [held, before] of this.undo.reverse()) Object.assign(held, before);
    // A range may have sent some of them.
    this.changes.length = Math.min(this.before.changes, this.changes.length);
    this.earliest = this.before.earliest;
  }

  /** Hands everything over that was written. */
  flush() {
    for (const store of this.stores.values()) store.flush();
    const changes = this.changes.splice(0);
    // Those that follow each other and are alike go together.
    for (let from = 0, to = 0; from < changes.length; from = to) {
      while (to < changes.length && isLike(changes[from], changes[to])) to++;
      const [{ clock, name, due }, run] = [changes[from], changes.slice(from, to)];
      this.host.time(clock, name, run.map(({ key }) => key), due === null ? null : run.map((change) => change.due));
    }
  }

  end() {
    this.flush();
    this.isOver = true;
  }
}

function isLike(one, other) {
  return one.clock === other.clock && one.name === other.name && (one.due === null) === (other.due === null);
}
