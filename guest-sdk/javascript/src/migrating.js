// Migrators: states and entries that another version stored, brought into the layout of this one or back. Not when: the host says.

import { column, items } from "./columns.js";

/** Turns states from one layout into another; null stays null. `store` is empty for those of an aggregate or a scan; `keys` has one
 * for each of `states`. */
export function migrate(migrator, store, from, to, keys, states) {
  const { current, reads, writes } = migrator.layouts;
  if (!((to === current && reads.includes(from)) || (from === current && writes.includes(to)))) {
    const made = `layout ${current} is made of [${reads}], and made into [${writes}]`;
    throw new Error(`no way from layout ${from} to ${to}: ${made}`);
  }
  const all = items(keys);
  const turned = (state, index) => (state === null ? null : migrator.migrate({ store, key: all[index], state }, from, to));
  return column(items(states).map(turned));
}
