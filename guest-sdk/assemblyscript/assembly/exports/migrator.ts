//! Exports `migrator`, by what was given to `migrator()`, beside an aggregator, a scanner or a processor.

import { answer, migratorOf } from "../index";
import { Buffer, Column, ColumnOut, failed } from "../columns";
import { endCall } from "../memory";
import { Stored } from "../record";

export { cabi_realloc } from "../memory";

export function ms__migrator__describe(): usize {
  const migrator = migratorOf;
  const at = answer(20);
  // Another function of the module may have one; this has layout 0, for ever.
  if (!migrator) return at;
  store<u32>(at, migrator.current());
  numbers(at + 4, migrator.reads());
  numbers(at + 12, migrator.writes());
  return at;
}

function numbers(at: usize, list: u32[]): void {
  const made = Buffer.make(<usize>list.length << 2);
  for (let i = 0; i < list.length; i++) made.push<u32>(list[i]);
  store<usize>(at, made.at);
  store<usize>(at, list.length, 4);
}

export function ms_post__migrator__describe(_: usize): void {
  endCall();
}

export function ms__migrator__migrate(
  name: usize, nameLen: usize, old: u32, now: u32,
  ko: usize, kol: usize, kd: usize, kdl: usize, kv: usize, kvl: usize,
  so: usize, sol: usize, sd: usize, sdl: usize, sv: usize, svl: usize,
): usize {
  const migrator = migratorOf;
  const keys = Column.make(ko, kol, kd, kdl, kv, kvl);
  const states = Column.make(so, sol, sd, sdl, sv, svl);
  const at = answer(28);
  if (!migrator) return failed(at, "this function has no migrator; another function of its module may");
  const current = migrator.current();
  const known = (now == current && migrator.reads().includes(old)) || (old == current && migrator.writes().includes(now));
  if (!known) return failed(at, `no way from layout ${old} to ${now}`);
  const length = states.length;
  const migrated = ColumnOut.make(length, sdl + 16 * length);
  const stored = new Stored();
  stored.store = String.UTF8.decodeUnsafe(name, nameLen);
  for (let index = 0; index < length; index++) {
    states.read(index, stored.state);
    // Asked before, as what the function does with its object is its own.
    const isThere = !stored.state.isNull;
    if (isThere) {
      keys.read(index, stored.key);
      const wrong = migrator.migrate(stored, old, now, migrated.data);
      if (wrong) return failed(at, wrong);
    }
    migrated.end(isThere);
  }
  migrated.done(at + 4);
  return at;
}

export function ms_post__migrator__migrate(_: usize): void {
  endCall();
}
