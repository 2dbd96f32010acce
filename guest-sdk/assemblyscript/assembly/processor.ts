//! Processors: a record at a time, with stores and timers. What a function writes in a call is held here and goes to the host at
//! once, behind the last record; what it writes for a record that it refuses never goes. Not the host's side.

import { Bytes } from "./bytes";
import { Buffer, Column, ColumnOut } from "./columns";
import { Clock, Handle, time } from "./host";

/** A timer that is due; the same object for each timer of a call. */
export class Timer {
  clock: Clock = Clock.EventTime;
  /** Null: it is the task's. */
  key: Bytes = new Bytes();
  name: string = "";
  /** The time for which it was set, milliseconds since 1970-01-01T00:00:00Z. */
  due: i64 = 0;
  /** @internal */
  reason: string | null = null;

  /** Refuses this timer, and says to people why; return after this. */
  reject(reason: string): void {
    this.reason = reason;
  }
}

/** An entry of a store. */
export class Entry {
  key: Bytes = new Bytes();
  value: Bytes = new Bytes();
}

/** An entry as this call sees it; of a null value it is not there. */
class Held {
  value: Bytes = new Bytes();
  /** False once a write of what was not known before was undone. */
  isKnown: bool = false;
  written: bool = false;

  constructor(public key: Bytes) {}
}

/** What was there before a write for the record at hand. */
class Undo {
  private value: Bytes;
  private isKnown: bool;
  private written: bool;

  constructor(private held: Held) {
    this.value = held.value;
    this.isKnown = held.isKnown;
    this.written = held.written;
  }

  back(): void {
    this.held.value = this.value;
    this.held.isKnown = this.isKnown;
    this.held.written = this.written;
  }
}

/** A change of a timer. */
class Change {
  constructor(public clock: Clock, public key: Bytes, public name: string, public due: i64, public sets: bool) {}

  isLike(other: Change): bool {
    return this.clock == other.clock && this.sets == other.sets && this.name == other.name;
  }
}

/** Stores that were opened, for as long as the instance lives: as many as the manifest gives the step. */
const handles: Handle[] = [];

function handleOf(name: string): Handle {
  for (let i = 0; i < handles.length; i++) if (handles[i].name == name) return handles[i];
  const made = Handle.open(name);
  handles.push(made);
  return made;
}

/** A store of a step. */
export class Store {
  /** In the order in which they were first seen, which is the one in which they go to the host. */
  private entries: Held[] = [];
  /** Where they are, by hash. */
  private places: Map<u32, i32[]> = new Map();

  /** @internal */
  constructor(private call: Call, private handle: Handle) {}

  /** @internal */
  get name(): string {
    return this.handle.name;
  }

  /** What this call holds of a key. */
  private held(key: Bytes): Held {
    const hash = key.hash();
    if (!this.places.has(hash)) this.places.set(hash, []);
    const places = this.places.get(hash);
    for (let i = 0; i < places.length; i++) if (this.entries[places[i]].key == key) return this.entries[places[i]];
    const made = new Held(key.copy());
    places.push(this.entries.length);
    this.entries.push(made);
    return made;
  }

  /** The value of a key; null when there is none. Good until the call ends. */
  get(key: Bytes): Bytes {
    const held = this.held(key);
    if (!held.isKnown) {
      held.value = this.handle.get(key);
      held.isKnown = true;
    }
    return held.value;
  }

  /** Sets the value of a key; null removes it. */
  put(key: Bytes, value: Bytes): void {
    const held = this.held(key);
    this.call.undo.push(new Undo(held));
    held.value = value.copy();
    held.isKnown = true;
    held.written = true;
  }

  /** Removes a key. */
  remove(key: Bytes): void {
    this.put(key, Bytes.none());
  }

  /** Entries with `start` <= key < `end` in key order, at most `limit` of them; an empty `end` is no bound. */
  range(start: Bytes, end: Bytes, limit: u32): Entry[] {
    // The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
    // forgets the call and asks again without it.
    this.call.flush();
    const at = this.handle.range(start, end, limit);
    const keys = changetype<Column>(at);
    const values = changetype<Column>(at + offsetof<Column>());
    const all: Entry[] = [];
    for (let i = 0; i < keys.length; i++) {
      const entry = new Entry();
      keys.read(i, entry.key);
      values.read(i, entry.value);
      all.push(entry);
    }
    return all;
  }

  /** Hands what was written over. @internal */
  flush(): void {
    const keys = ColumnOut.make(0, 0);
    const values = ColumnOut.make(0, 0);
    for (let i = 0; i < this.entries.length; i++) {
      const held = this.entries[i];
      if (!held.written) continue;
      held.written = false;
      keys.push(held.key);
      values.push(held.value);
    }
    if (keys.len) this.handle.put(keys, values);
  }
}

/** The stores and timers of a call. */
export class Call {
  private stores: Store[] = [];
  /** @internal */
  undo: Undo[] = [];
  private timers: Change[] = [];
  /** The earliest event time for which a timer was set. */
  private earliest: i64 = i64.MAX_VALUE;
  private newest: i64 = i64.MIN_VALUE;
  /** How writes and changes go to the host; none where the function has none, so that it does not import them. */
  private puts: ((stores: Store[]) => void) | null = null;
  private sends: ((changes: Change[]) => void) | null = null;
  /** What was there before the record at hand. */
  private timersBefore: i32 = 0;
  private earliestBefore: i64 = 0;

  /** A store of the step, by the name that the manifest gives it. */
  store(name: string): Store {
    this.puts = putAll;
    for (let i = 0; i < this.stores.length; i++) if (this.stores[i].name == name) return this.stores[i];
    const made = new Store(this, handleOf(name));
    this.stores.push(made);
    return made;
  }

  /** Sets a timer. There is one for each clock, key and name: setting it again moves it. `key` null: it is the task's. */
  setTimer(clock: Clock, key: Bytes, name: string, due: i64): void {
    if (clock == Clock.EventTime) this.earliest = min(this.earliest, due);
    this.sends = sendAll;
    this.timers.push(new Change(clock, key.copy(), name, due, true));
  }

  /** Cancels a timer, where there is one. */
  cancelTimer(clock: Clock, key: Bytes, name: string): void {
    this.sends = sendAll;
    this.timers.push(new Change(clock, key.copy(), name, 0, false));
  }

  /** Hands what was written over. @internal */
  flush(): void {
    const puts = this.puts;
    const sends = this.sends;
    if (puts) puts(this.stores);
    if (sends) sends(this.timers);
    this.timers.length = 0;
  }

  /** Whether a timer that was set is due before a record of this time: it is for the next call. @internal */
  isForNext(timestamp: i64): bool {
    this.newest = max(this.newest, timestamp);
    return this.earliest <= this.newest;
  }

  /** Begins with a record, or with a timer. @internal */
  begin(): void {
    this.undo.length = 0;
    this.timersBefore = this.timers.length;
    this.earliestBefore = this.earliest;
  }

  /** The record at hand is refused: what was written for it is forgotten. @internal */
  forget(): void {
    while (this.undo.length) this.undo.pop().back();
    this.timers.length = min(this.timersBefore, this.timers.length);
    this.earliest = this.earliestBefore;
  }
}

function putAll(stores: Store[]): void {
  for (let i = 0; i < stores.length; i++) stores[i].flush();
}

/** Changes of timers in their order; those that follow each other and are alike go together. */
function sendAll(changes: Change[]): void {
  for (let from = 0; from < changes.length; ) {
    const first = changes[from];
    const keys = ColumnOut.make(0, 0);
    const due = Buffer.make(0);
    for (; from < changes.length && changes[from].isLike(first); from++) {
      keys.push(changes[from].key);
      due.push<i64>(changes[from].due);
    }
    time(first.clock, keys, first.name, first.sets ? due : null);
  }
}
